/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The life of a stream: made, attached to a provider, open, failed, closing, closed; and the events
 * that it owes the application on the way.
 */
#include <stdlib.h>
#include <unistd.h>

#include "internal.h"

#define BYE_WAIT INT64_C(1000000)
#define CACHE_LINE 64u

_Static_assert(offsetof(struct nmt_stream, stat.tx_copied) <= 2 * CACHE_LINE,
	       "what every transfer touches is in two lines");

void nmti_counters_add(struct nmti_counters *sum, const struct nmti_counters *c)
{
	uint64_t *to = (uint64_t *)sum;
	const uint64_t *from = (const uint64_t *)c;

	for (size_t i = 0; i < sizeof(*sum) / sizeof(*to); i++)
		to[i] += from[i];
}

const char *nmti_stream_peer(const struct nmt_stream *s, char buf[static NMT_ADDR_MAX])
{
	struct nmt_stream_info info = NMT_STREAM_INFO_INIT;

	buf[0] = '?';
	buf[1] = '\0';
	if (!nmt_stream_info(s, &info) && info.peer[0])
		memcpy(buf, info.peer, sizeof(info.peer));
	return buf;
}

nmti_hot void nmti_tell(struct nmt_stream *s)
{
	s->dom->happened++;
	if (nmti_list_empty(&s->tell))
		nmti_list_add_tail(&s->tell, &s->dom->tell);
}

void nmti_work(struct nmt_stream *s)
{
	if (nmti_list_empty(&s->work))
		nmti_list_add_tail(&s->work, &s->dom->work);
}

/* ---- linger ---- */

static bool quiet(const struct nmt_stream *s)
{
	return !s->priv || !s->ops->quiet || s->ops->quiet(s);
}

/* Break the path and close, now or when nobody has its memory in hand any more. */
static void break_off(struct nmt_stream *s, int status)
{
	if (s->priv)
		s->ops->abort(s);
	if (quiet(s)) {
		nmti_stream_closed(s, status);
		return;
	}
	nmti_timer_cancel(s->dom, &s->closer);
	if (s->ctl)
		nmti_ctl_abort(s, NMT_WHY_SHUTDOWN); /* the peer is to let go as well */
	nmti_ctl_end(s);
	s->close_status = status;
	s->aborting = true;
}

static void linger_over(struct nmti_timer *t)
{
	struct nmt_stream *s = nmti_container(t, struct nmt_stream, closer);
	char peer[NMT_ADDR_MAX];

	nmti_warn(s->ctx, "%s: closing the stream to %s: linger time is over with bytes not "
		  "acknowledged; raise attr.linger", s->ops->name, nmti_stream_peer(s, peer));
	break_off(s, -ETIMEDOUT);
}

/* ---- made and freed ---- */

/* Zeroed memory that begins and ends with a cache line. */
static void *lines_alloc(size_t size)
{
	void *p;

	size = (size + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE;
	p = aligned_alloc(CACHE_LINE, size);
	return p ? memset(p, 0, size) : NULL;
}

int nmti_stream_new(struct nmt_domain *dom, const struct nmt_stream_attr *attr, uint32_t mode,
		    struct nmt_stream **out)
{
	struct nmt_stream *s = lines_alloc(sizeof(*s));

	if (!s)
		return -ENOMEM;
	s->dom = dom;
	s->ctx = dom->ctx;
	s->user = attr->user;
	s->state = NMT_STATE_CONNECTING;
	s->closer.fire = linger_over;
	nmti_tuning_from(dom, attr, mode, &s->tune);
	s->blocking = s->tune.flags & NMT_STREAM_BLOCKING;
	s->posting = s->tune.recv_mode == NMT_RECV_POSTED;
	nmti_list_init(&s->tell);
	nmti_list_init(&s->work);
	nmti_list_add_tail(&s->all, &dom->streams);
	nmti_pool_join(s);
	dom->nstreams++;
	*out = s;
	return 0;
}

void nmti_stream_free(struct nmt_stream *s)
{
	struct nmt_domain *dom = s->dom;

	if (dom->hot == s)
		dom->hot = NULL;
	nmti_timer_cancel(dom, &s->closer);
	nmti_boot_free(s);
	nmti_ctl_free(s);
	nmti_loans_drop(s);
	nmti_stream_detach(s);
	nmti_pool_leave(s);
	nmti_list_del(&s->tell);
	nmti_list_del(&s->work);
	nmti_list_del(&s->all);
	nmti_counters_add(&dom->gone, &s->stat);
	dom->nstreams--;
	free(s->why_text);
	free(s);
}

int nmti_stream_attach(struct nmt_stream *s, struct nmt_pdomain *pd, const struct nmti_path *path)
{
	int rc = -ENOMEM;

	s->pd = pd;
	s->ops = pd->ops;
	s->priv = lines_alloc(pd->ops->stream_size);
	if (s->priv)
		rc = s->ops->attach(s, path);
	else if (path->fd >= 0)
		close(path->fd);
	if (rc && path->fd >= 0) /* closed, and perhaps watched by its owner before */
		nmti_forget_fd(s->dom, path->fd);
	if (rc && s->priv)
		nmti_stream_detach(s);
	return rc;
}

/* The provider's part, whether attach made all of it or not. Nothing calls the provider after this. */
void nmti_stream_detach(struct nmt_stream *s)
{
	if (!s->priv)
		return;
	s->ops->detach(s);
	free(s->priv);
	s->priv = NULL;
	nmti_list_del(&s->work);
}

void nmti_stream_open(struct nmt_stream *s)
{
	s->state = NMT_STATE_OPEN;
	s->owe |= NMTI_OWE_CONNECTED;
	nmti_tell(s);
}

void nmti_stream_fail(struct nmt_stream *s, int err)
{
	enum nmt_reason why = NMT_WHY_PATH;

	if (s->error || s->aborting)
		return;
	if (err == -EPROTO && s->state >= NMT_STATE_OPEN) {
		err = -ECONNRESET;
		why = NMT_WHY_MALFORMED;
	}
	s->error = err;
	nmti_boot_broken(s);
	if (s->ctl)
		nmti_ctl_abort(s, (uint16_t)why);
	if (s->state == NMTI_STATE_CLOSING) {
		break_off(s, err);
		return;
	}
	if (s->state > NMT_STATE_OPEN)
		return;
	s->state = NMT_STATE_FAILED;
	s->owe |= NMTI_OWE_ERROR;
	s->rx_ready = true;
	s->rx_told = false;
	s->dom->stat.failures++;
	if (s->priv)
		nmti_work(s);
	nmti_tell(s);
}

/* ---- closing ---- */

static void bye_again(struct nmti_timer *t)
{
	nmti_stream_closed(nmti_container(t, struct nmt_stream, closer), 0);
}

/* The last message of the control channel must be with the peer before its socket closes. */
static bool bye_waits(struct nmt_stream *s)
{
	if (!s->bye_by)
		s->bye_by = nmti_deadline(s->tune.linger);
	nmti_ctl_bye(s);
	if (nmti_ctl_drained(s) || nmti_now() >= s->bye_by)
		return false;
	s->closer.fire = bye_again;
	return !nmti_timer_set(s->dom, &s->closer, nmti_now() + BYE_WAIT);
}

void nmti_stream_closed(struct nmt_stream *s, int status)
{
	if (s->state == NMTI_STATE_CLOSED)
		return;
	if (s->aborting)
		status = s->close_status;
	nmti_timer_cancel(s->dom, &s->closer);
	if (s->ctl && !status && bye_waits(s))
		return;
	if (s->ctl && status)
		nmti_ctl_abort(s, NMT_WHY_SHUTDOWN);
	nmti_ctl_end(s);
	nmti_list_del(&s->work);
	s->close_status = status;
	if (status && s->at_domain_close && !s->dom->close_status)
		s->dom->close_status = status;
	s->state = NMTI_STATE_CLOSED;
	s->owe = NMTI_OWE_CLOSED;
	nmti_tell(s);
}

/* Close what is not open (any more): there is nothing to deliver. */
static void close_broken(struct nmt_stream *s, int status)
{
	nmti_boot_free(s);
	s->state = NMTI_STATE_CLOSING;
	break_off(s, status);
}

static void close_open(struct nmt_stream *s)
{
	s->state = NMTI_STATE_CLOSING;
	if (nmti_timer_set(s->dom, &s->closer, nmti_deadline(s->tune.linger))) {
		close_broken(s, -ENOMEM);
		return;
	}
	s->ops->close_stream(s);
}

static bool handle_ok(const struct nmt_stream *s)
{
	return s && s->state < NMTI_STATE_CLOSING;
}

int nmt_close(struct nmt_stream *s)
{
	if (!handle_ok(s))
		return -EINVAL;
	nmti_loans_drop(s);
	s->owe = 0;
	if (s->dom->hot == s)
		s->dom->hot = NULL;
	if (s->state == NMT_STATE_OPEN)
		close_open(s);
	else
		close_broken(s, s->error ? s->error : -ECONNABORTED);
	return 0;
}

int nmt_abort(struct nmt_stream *s)
{
	if (!handle_ok(s))
		return -EINVAL;
	nmti_loans_drop(s);
	s->owe = 0;
	if (s->ctl)
		nmti_ctl_abort(s, NMT_WHY_NONE);
	close_broken(s, -ECONNABORTED);
	return 0;
}

/* ---- events ---- */

static struct nmt_event *event_init(struct nmt_event *ev, struct nmt_stream *s, uint32_t type,
				    int status)
{
	memset(ev, 0, sizeof(*ev));
	ev->type = type;
	ev->status = status;
	ev->stream = s;
	ev->user = s->user;
	return ev;
}

/* Neither waits for ever behind the other: see where rx_first is turned round. */
static int reap(struct nmt_stream *s, struct nmt_event *ev, int max)
{
	bool sends = s->priv && s->tx_untold, receives = s->priv && s->rx_untold;
	int n = receives && s->rx_first ? s->ops->reap_rx(s, ev, max) : 0;

	if (sends)
		n += s->ops->reap_tx(s, ev + n, max - n);
	if (receives && !s->rx_first)
		n += s->ops->reap_rx(s, ev + n, max - n);
	for (int i = 0; i < n; i++) {
		ev[i].stream = s;
		ev[i].user = s->user;
	}
	return n;
}

static bool readable(const struct nmt_stream *s)
{
	return s->rx_ready && !s->rx_told && !s->posted && !s->rx_untold &&
	       s->state >= NMT_STATE_OPEN && s->state < NMTI_STATE_CLOSING;
}

static bool writable(const struct nmt_stream *s)
{
	return s->tx_want && s->state == NMT_STATE_OPEN && (s->tx_ready || s->tx_slot);
}

static int readable_event(struct nmt_stream *s, struct nmt_event *ev, int max)
{
	if (!max || !readable(s))
		return 0;
	event_init(ev, s, NMT_EV_READABLE, 0);
	s->rx_told = true;
	return 1;
}

/* What comes after the finished operations; at most one of each. */
nmti_hot static int state_events(struct nmt_stream *s, struct nmt_event *ev, int max)
{
	int n = readable_event(s, ev, max);

	if (n < max && writable(s)) {
		event_init(&ev[n++], s, NMT_EV_WRITABLE, 0);
		s->tx_want = s->tx_slot = false;
	}
	if (n < max && s->owe & NMTI_OWE_ERROR) {
		event_init(&ev[n++], s, NMT_EV_ERROR, s->error);
		s->owe &= (uint8_t)~NMTI_OWE_ERROR;
	}
	return n;
}

/* Whether the stream can have more to tell than that there is something to receive. */
static bool owes(const struct nmt_stream *s)
{
	return s->owe || s->tx_want || s->tx_untold || s->rx_untold;
}

nmti_hot int nmti_stream_events(struct nmt_stream *s, struct nmt_event *ev, int max)
{
	int n = 0;

	if (likely(!owes(s)) && max > 1)
		return readable_event(s, ev, max);
	if (s->owe & NMTI_OWE_CONNECTED) {
		event_init(&ev[n++], s, NMT_EV_CONNECTED, 0);
		s->owe &= (uint8_t)~NMTI_OWE_CONNECTED;
	}
	if (s->rx_first)
		n += readable_event(s, ev + n, max - n);
	n += reap(s, ev + n, max - n);
	n += state_events(s, ev + n, max - n);
	if (n == max) {
		s->rx_first = !s->rx_first;
		nmti_tell(s);
	} else if (s->owe & NMTI_OWE_CLOSED) {
		event_init(&ev[n++], s, NMT_EV_CLOSED, s->close_status);
		nmti_stream_free(s);
	}
	return n;
}
