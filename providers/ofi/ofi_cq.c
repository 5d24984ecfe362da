/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Completions. One queue of the device has all; it cannot overrun, since only providers with resource
 * management (FI_RM_ENABLED) are taken. What the peer wrote names its endpoint in the completion
 * data, requests and receives by their context.
 *
 * Receives are posted again before poll returns, so that the peer's credit and the slot come back
 * together. That is why messages are copied out.
 */
#include <poll.h>
#include <stdio.h>
#include <sys/epoll.h>

#include "ofi.h"

#define IDLE 20 /* times as long between looks when nothing comes */
#define EQ_SHARE 256 /* of looks at the completion queue one is at the event queue as well */
#define AGAIN INT64_C(1000000) /* before requests that were not taken are tried again, asleep */

/* ---- one completion: how many entries of OUT it filled ---- */

static void fill(struct nmti_rma_wc *out, struct nmti_rma_ep *ep, enum nmti_rma_event event)
{
	memset(out, 0, sizeof(*out));
	out->ep = ep;
	out->owner = ep->owner;
	out->event = (uint8_t)event;
}

/* Request R is complete. */
static int on_sent(struct ofi_req *r, bool ok, struct nmti_rma_wc *out)
{
	struct nmti_rma_ep *ep = r->ctx.ep;
	uint64_t before = ep->done;

	if (__builtin_expect(ep->peer && ep->peer->broken, 0))
		ep->peer->broken = !ok;
	if (ep->dev->notes && ok && nmti_ofi_note_follows(r))
		return 0;
	ofi_count_done(ep, r->number);
	if (!ok || ep->failed || ep->orphan || ep->note_lost || ep->done == before ||
	    ep->done <= ep->own_words)
		return 0;
	fill(out, ep, NMTI_RMA_WRITTEN);
	out->number = ep->done;
	return 1;
}

/* Whether the engine is to know what came for EP. */
static bool hears(const struct nmti_rma_ep *ep)
{
	return ep && ep->state >= OFI_ACCEPTED && ep->state != OFI_DRAINED && !ep->orphan &&
	       !ep->early;
}

/* A write is in place whose completion data is DATA. */
static int on_written(struct nmti_rma_dev *dev, uint64_t data, struct nmti_rma_wc *out)
{
	struct nmti_rma_ep *ep = ofi_ep_of(dev, ofi_data_id(data));

	if (!hears(ep))
		return 0;
	fill(out, ep, NMTI_RMA_IMM);
	out->imm = ofi_data_imm(data, ep->epoch);
	out->len = ofi_data_len(data);
	return 1;
}

static const uint8_t *bytes_of(const struct nmti_rma_dev *dev, const struct ofi_recv *r)
{
	const struct nmti_rma_ep *ep = r->ctx.ep;

	if (!ep)
		return dev->msgs + (size_t)r->slot * (OFI_MSG_MAX + OFI_MSG_HEAD);
	return ep->msgs + (size_t)r->slot * (ep->msg_max + OFI_MSG_HEAD);
}

static int on_received(struct nmti_rma_dev *dev, struct ofi_recv *r, size_t got,
		       struct nmti_rma_wc *out)
{
	const uint8_t *bytes = bytes_of(dev, r);
	struct nmti_rma_ep *ep = r->ctx.ep;
	uint32_t head_len = dev->tracked ? OFI_MSG_HEAD : 0, len = (uint32_t)got - head_len;
	uint8_t *copy = dev->told[dev->nused];
	struct ofi_head head = { .kind = OFI_MESSAGE };

	if (ep && ep->orphan)
		return 0;
	dev->used[dev->nused++] = r;
	if (dev->tracked && !nmti_ofi_headed(dev, bytes, (uint32_t)got, &head, &ep))
		return 0;
	if (head.kind == OFI_NOTE)
		return on_written(dev, head.data, out);
	if (!hears(ep))
		return 0;
	fill(out, ep, NMTI_RMA_MESSAGE);
	out->len = len < ep->msg_max ? len : ep->msg_max;
	memcpy(copy, bytes + head_len, out->len);
	out->data = copy;
	return 1;
}

/* ---- errors ---- */

static int errno_of(int err)
{
	switch (err) {
	case FI_ETIMEDOUT:
	case FI_EHOSTUNREACH:
	case FI_ENETUNREACH:
		return -ETIMEDOUT;
	case FI_EACCES:
	case FI_EPERM:
	case FI_ENOKEY:
		return -EACCES;
	case FI_ECANCELED:
	case FI_ECONNRESET:
	case FI_ENOTCONN:
	case FI_ESHUTDOWN:
	case FI_ECONNABORTED:
	case FI_ECONNREFUSED:
	case EPIPE:
		return -ECONNRESET;
	default:
		return -EIO;
	}
}

static void on_error(struct nmti_rma_dev *dev, const struct fi_cq_err_entry *e,
		     const char *text)
{
	struct ofi_ctx *ctx = e->op_context;
	struct nmti_rma_wc none;

	if (!ctx) {
		nmti_log(dev->pd->ctx, NMT_LOG_INFO, "ofi: %s: a peer's request failed: %s",
			 dev->found.name, text);
		return;
	}
	if (!ctx->recv) {
		if (ctx->ep->peer)
			ctx->ep->peer->broken = errno_of(e->err) != -EACCES;
		on_sent(nmti_container(ctx, struct ofi_req, ctx), false, &none);
		nmti_ofi_unsaid(ctx->ep);
		if (dev->rdm && ctx->ep->state < OFI_UP && !ctx->ep->failed) {
			nmti_ofi_rdm_unheard(ctx->ep);
			return;
		}
		nmti_ofi_fail(ctx->ep, errno_of(e->err), "a request: %s: %s", nmti_ofi_strerror(e->err),
			      text);
		return;
	}
	if (e->err == FI_ECANCELED) /* of an endpoint that is closed, or whose peer is gone */
		return;
	if (ctx->ep)
		nmti_ofi_fail(ctx->ep, e->err == FI_ETRUNC ? -EPROTO : errno_of(e->err),
			      "a receive: %s: %s", nmti_ofi_strerror(e->err), text);
	else if (dev->nused < OFI_BATCH)
		dev->used[dev->nused++] = nmti_container(ctx, struct ofi_recv, ctx);
}

static void read_error(struct nmti_rma_dev *dev)
{
	struct fi_cq_err_entry e = { .err_data_size = 0 };
	char buf[128] = "";
	const char *text;

	if (fi_cq_readerr(dev->cq, &e, 0) != 1)
		return;
	text = fi_cq_strerror(dev->cq, e.prov_errno, e.err_data, buf, sizeof(buf));
	on_error(dev, &e, text ? text : "");
}

/* ---- poll ---- */

int nmti_ofi_post_recv(struct nmti_rma_dev *dev, struct ofi_recv *r)
{
	struct nmti_rma_ep *ep = r->ctx.ep;
	void *desc = ofi_desc(ep ? ep->msg_mr : dev->msg_mr);
	size_t len = (ep ? ep->msg_max : OFI_MSG_MAX) + (dev->tracked ? OFI_MSG_HEAD : 0);

	return (int)fi_recv(ep ? ep->fid : dev->ep, (void *)(uintptr_t)bytes_of(dev, r), len, desc,
			    FI_ADDR_UNSPEC, &r->ctx.fi);
}

static void repost(struct nmti_rma_dev *dev)
{
	for (uint32_t i = 0; i < dev->nused; i++) {
		struct nmti_rma_ep *ep = dev->used[i]->ctx.ep;
		int rc;

		if (ep && (!ep->fid || ep->failed || ep->state >= OFI_FENCED))
			continue;
		rc = nmti_ofi_post_recv(dev, dev->used[i]);
		if (rc && ep)
			nmti_ofi_fail(ep, -EIO, "posting a receive: %s", nmti_ofi_strerror(-rc));
		else if (rc)
			nmti_log(dev->pd->ctx, NMT_LOG_ERROR, "ofi: %s: posting a receive: %s",
				 dev->found.name, nmti_ofi_strerror(-rc));
	}
}

static struct nmti_rma_ep *receiver(struct nmti_rma_dev *dev, const struct ofi_ctx *ctx,
				    uint32_t len)
{
	const struct ofi_recv *r = nmti_container(ctx, const struct ofi_recv, ctx);

	return ctx->ep ? ctx->ep : nmti_ofi_addressee(dev, bytes_of(dev, r), len);
}

/* The endpoint that E is for, if it is not known to be connected: bytes can overtake that word. */
static struct nmti_rma_ep *early(struct nmti_rma_dev *dev, const struct fi_cq_data_entry *e)
{
	const struct ofi_ctx *ctx = e->op_context;
	struct nmti_rma_ep *ep;

	if (e->flags & FI_REMOTE_WRITE)
		ep = ofi_ep_of(dev, ofi_data_id(e->data));
	else
		ep = ctx && ctx->recv ? receiver(dev, ctx, (uint32_t)e->len) : NULL;
	if (!ep || ep->failed || ep->orphan)
		return NULL;
	if (ep->state == OFI_CONNECTING && dev->eq)
		nmti_ofi_eq_read(dev);
	if (ep->state == OFI_ACCEPTED)
		nmti_ofi_established(ep);
	return ep->events & OFI_TELL_CONNECTED ? ep : NULL;
}

static int look_at(struct nmti_rma_dev *dev, const struct fi_cq_data_entry *e,
		   struct nmti_rma_wc *out)
{
	struct ofi_ctx *ctx = e->op_context;

	if (e->flags & FI_REMOTE_WRITE)
		return on_written(dev, e->data, out);
	if (!ctx) /* an injected message; none is to be told, and ofi_rxd tells them (libfabric 1.17) */
		return 0;
	if (ctx->recv)
		return on_received(dev, nmti_container(ctx, struct ofi_recv, ctx), e->len, out);
	return on_sent(nmti_container(ctx, struct ofi_req, ctx), true, out);
}

/* Look at what was read while there is room for what it says. */
static int look(struct nmti_rma_dev *dev, struct nmti_rma_wc *out, int max)
{
	int n = 0;

	while (dev->ahead_pos < dev->nahead && n < max && dev->nused < OFI_BATCH) {
		const struct fi_cq_data_entry *e = &dev->ahead[dev->ahead_pos];
		struct nmti_rma_ep *ep = NULL;

		if (__builtin_expect(dev->settling || !nmti_list_empty(&dev->events), 0))
			ep = early(dev, e);
		if (ep) {
			ep->events &= (uint8_t)~OFI_TELL_CONNECTED;
			fill(&out[n++], ep, NMTI_RMA_CONNECTED);
			continue;
		}
		dev->ahead_pos++;
		n += look_at(dev, e, &out[n]);
	}
	return n;
}

/*
 * A look at an empty queue is a system call or more, and what came is to be answered: so none follows
 * a read that got less than it asked for, but where somebody waits for the queue to be empty.
 */
static int poll_cq(struct nmti_rma_dev *dev, struct nmti_rma_wc *out, int max)
{
	int n = look(dev, out, max);

	while (n < max && dev->nused < OFI_BATCH && dev->ahead_pos == dev->nahead) {
		size_t room = (size_t)(max - n);
		ssize_t got = fi_cq_read(dev->cq, dev->ahead, room);

		dev->ahead_pos = dev->nahead = 0;
		if (got == -FI_EAVAIL) {
			read_error(dev);
		} else if (got > 0) {
			dev->nahead = (int)got;
			n += look(dev, out + n, max - n);
			if ((size_t)got < room && !nmti_ofi_ends(dev))
				break;
		} else if (!nmti_ofi_emptied(dev)) {
			break;
		}
	}
	return n;
}

/* ---- what is no completion ---- */

/* Tell the first of WHICH of the endpoint. */
static bool tell_one(struct nmti_rma_ep *ep, uint8_t which, struct nmti_rma_wc *out)
{
	uint8_t what = ep->events & which;

	if (!what)
		return false;
	what &= (uint8_t)-what;
	ep->events &= (uint8_t)~what;
	fill(out, ep, what == OFI_TELL_CONNECTED ? NMTI_RMA_CONNECTED :
	     what == OFI_TELL_FAILED ? NMTI_RMA_FAILED : NMTI_RMA_DRAINED);
	if (what == OFI_TELL_FAILED) {
		out->status = ep->status;
		out->text = ep->text;
	}
	return true;
}

static int tell(struct nmti_rma_dev *dev, uint8_t which, struct nmti_rma_wc *out, int max)
{
	struct nmti_list *node = dev->events.next, *next;
	int n = 0;

	for (; node != &dev->events && n < max; node = next) {
		struct nmti_rma_ep *ep = nmti_container(node, struct nmti_rma_ep, event);

		next = node->next;
		while (n < max && tell_one(ep, which, &out[n]))
			n++;
		if (!ep->events)
			nmti_list_del(&ep->event);
	}
	return n;
}

int nmti_ofi_poll(struct nmti_rma_dev *dev, struct nmti_rma_wc *wc, int max)
{
	int n = 0, keep;

	max = max < OFI_BATCH ? max : OFI_BATCH;
	dev->nused = 0;
	if (__builtin_expect(dev->settling || ++dev->looks % EQ_SHARE == 0, 0) && dev->eq)
		nmti_ofi_eq_read(dev);
	if (__builtin_expect(!nmti_list_empty(&dev->waiting), 0))
		nmti_ofi_retry(dev);
	if (__builtin_expect(!nmti_list_empty(&dev->events), 0))
		n = tell(dev, OFI_TELL_CONNECTED, wc, max);
	keep = n < max && !nmti_list_empty(&dev->events); /* room, so that a busy queue hides none */
	n += poll_cq(dev, wc + n, max - n - keep);
	dev->nap = n ? 0 : dev->nap;
	repost(dev);
	if (__builtin_expect(!nmti_list_empty(&dev->events), 0))
		n += tell(dev, UINT8_MAX, wc + n, max - n);
	return n;
}

/* ---- sleep ---- */

static bool pending(const struct nmti_rma_dev *dev)
{
	return dev->fenced || !nmti_list_empty(&dev->events) || !nmti_list_empty(&dev->closed) ||
	       dev->ahead_pos < dev->nahead;
}

/* Edges tell of it from now on. */
static bool eq_low(struct nmti_rma_dev *dev)
{
	struct pollfd fd = { .fd = dev->eq_src.fd, .events = POLLIN };

	if (dev->eq && !dev->eq_low)
		dev->eq_low = poll(&fd, 1, 0) == 0;
	return !dev->eq || dev->eq_low;
}

/*
 * Libfabric promises levels, no edges, and those behind fi_trywait(): so the descriptor of the event
 * queue is for sleepers alone, and who does not sleep looks there now and then.
 */
static int arm_fds(struct nmti_rma_dev *dev)
{
	struct fid *fids[2];
	int n = 0;

	if (dev->sleeps)
		fids[n++] = &dev->cq->fid;
	if (dev->eq)
		fids[n++] = &dev->eq->fid;
	if ((n && fi_trywait(dev->fabric, fids, n)) || !eq_low(dev)) {
		if (dev->eq)
			nmti_ofi_eq_read(dev);
		return -EAGAIN;
	}
	if (dev->sleeps && !dev->cq_watched && nmti_watch_once(dev->pd->dom, &dev->cq_src, EPOLLIN))
		return -EAGAIN;
	dev->cq_watched = dev->sleeps;
	return 0;
}

static void look_later(struct nmti_timer *t)
{
	(void)t; /* poll follows in the same turn */
}

/* What cannot wake the domain is looked at by time, the less often the longer nothing came. */
static int64_t next_nap(struct nmti_rma_dev *dev)
{
	int64_t least = dev->opt.poll_us * INT64_C(1000), nap = dev->nap;

	if (nap < least)
		nap = least;
	dev->nap = 2 * nap < IDLE * least ? 2 * nap : IDLE * least;
	return nap;
}

int nmti_ofi_arm(struct nmti_rma_dev *dev)
{
	int64_t wait = 0;
	int rc;

	if (pending(dev))
		return -EAGAIN;
	if (!nmti_list_empty(&dev->waiting))
		wait = AGAIN;
	if (!dev->sleeps && !nmti_list_empty(&dev->eps))
		wait = next_nap(dev);
	rc = arm_fds(dev);
	if (rc || !wait)
		return rc;
	dev->look.fire = look_later;
	return nmti_timer_set(dev->pd->dom, &dev->look, nmti_now() + wait) ? -EAGAIN : 0;
}

/* The domain is awake; poll comes next. */
void nmti_ofi_cq_ready(struct nmti_source *src, uint32_t events)
{
	(void)events;
	nmti_container(src, struct nmti_rma_dev, cq_src)->cq_watched = false;
}
