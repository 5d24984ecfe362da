/* SPDX-License-Identifier: BSD-2-Clause */
/* Faults of events, of ends of streams, and of what a stream tells about itself. */
#include <unistd.h>

#include "faults.h"

#include "internal.h"

/* ---- events ---- */

static int early_events(struct nmt_stream *s, struct nmt_event *ev, int max)
{
	struct fault_stream *f = fault_of(s);
	int n = 0;

	if (f->owe_sent && n < max) {
		ev[n++] = (struct nmt_event){ .type = NMT_EV_SENT, .cookie = f->cookie,
					      .len = f->frag.len };
		f->owe_sent = false;
	}
	while (f->nflushes && n < max)
		ev[n++] = (struct nmt_event){ .type = NMT_EV_FLUSHED,
					      .cookie = f->flushes[--f->nflushes] };
	return n;
}

/* Keep the first SENT back until the next one has gone. */
static int swap_sent(struct fault_stream *f, struct nmt_event *ev, int n, int max)
{
	for (int i = 0; i < n; i++) {
		if (ev[i].type != NMT_EV_SENT)
			continue;
		if (f->calls++ == 0) {
			f->held = ev[i];
			f->have_held = true;
			memmove(&ev[i], &ev[i + 1], (size_t)(--n - i) * sizeof(*ev));
			i--;
		} else if (f->have_held && n < max) {
			ev[n++] = f->held;
			f->have_held = false;
			break;
		}
	}
	return n;
}

static bool lost(struct fault_stream *f, const struct nmt_event *ev)
{
	if (fault_on == SENT_LOST && ev->type == NMT_EV_SENT)
		return f->calls++ == 5;
	if (fault_on == RECEIVED_LOST && ev->type == NMT_EV_RECEIVED)
		return f->calls++ == 3;
	if (f->swallow && ev->type == NMT_EV_SENT && ev->cookie == f->cookie) {
		f->swallow = false;
		return true;
	}
	return false;
}

static void write_beyond(struct fault_stream *f)
{
	unsigned int slot = f->nreceived++ % ARRAY_LEN(f->mr);

	if (f->beyond[slot] < nmt_mr_size(f->mr[slot]))
		nmt_mr_write(f->mr[slot], f->beyond[slot], "X", 1);
}

static void spoil_received(struct fault_stream *f, struct nmt_event *ev)
{
	if (fault_on == POST_BEYOND)
		write_beyond(f);
	if (fault_on == RECEIVED_SHORT && ev->len > 1)
		ev->len--;
	if (fault_on == RX_EOR_LOST)
		ev->flags &= ~NMT_EVF_EOR;
	if (fault_on == RX_CUT_AS_EOF && ev->status == -ECONNRESET) {
		ev->status = 0;
		ev->flags |= NMT_EVF_EOF;
	}
	if (fault_on == COOKIE_WRONG)
		ev->cookie ^= 1;
}

static void spoil_readiness(struct nmt_stream *s)
{
	struct fault_stream *f = fault_of(s);

	if (fault_on == READABLE_LOST && s->rx_ready && !s->rx_told && f->calls++ == 4)
		s->rx_told = true;
	if (fault_on == READABLE_TOO_OFTEN && s->rx_ready && !s->rx_told)
		nmti_work(s);
	if (fault_on == WRITABLE_LOST)
		s->tx_want = false;
}

/* Take away what is lost of the N events; how many are left. */
static int lose(struct fault_stream *f, struct nmt_event *ev, int n)
{
	for (int i = 0; i < n; i++) {
		if (!lost(f, &ev[i]))
			continue;
		memmove(&ev[i], &ev[i + 1], (size_t)(n - i - 1) * sizeof(*ev));
		n--;
		i--;
	}
	return n;
}

static int fault_reap_tx(struct nmt_stream *s, struct nmt_event *ev, int max)
{
	struct fault_stream *f = fault_of(s);
	int n = early_events(s, ev, max);

	n += lose(f, ev + n, fault_real.reap_tx(s, ev + n, max - n));
	if (fault_on == SENT_OUT_OF_ORDER)
		n = swap_sent(f, ev, n, max);
	spoil_readiness(s);
	s->tx_untold = true; /* to be asked each time */
	f->sends_told = n;
	return n;
}

static int fault_reap_rx(struct nmt_stream *s, struct nmt_event *ev, int max)
{
	struct fault_stream *f = fault_of(s);
	int n;

	if (fault_on == RECEIVES_STARVED && f->sends_told)
		return 0;
	n = lose(f, ev, fault_real.reap_rx(s, ev, max));
	for (int i = 0; i < n; i++)
		spoil_received(f, &ev[i]);
	return n;
}

static bool fault_work(struct nmt_stream *s, uint32_t budget)
{
	bool more = fault_real.work(s, budget);

	if (fault_on == READABLE_TOO_OFTEN && s->rx_told && fault_of(s)->calls++ < 3) {
		s->rx_told = false;
		nmti_tell(s);
	}
	return fault_tx_work(s) || more;
}

/* The budget is the core's: this fault sits in the domain, not in the table. */
static int fault_attach(struct nmt_stream *s, const struct nmti_path *path)
{
	if (fault_on == BUDGET_IGNORED)
		s->dom->budget = 1000000;
	s->tx_untold = true;
	return fault_real.attach(s, path);
}

/* ---- ends ---- */

static void fault_close(struct nmt_stream *s)
{
	if (fault_on != CLOSE_LOSES_TAIL) {
		fault_real.close_stream(s);
		return;
	}
	fault_real.abort(s);
	nmti_stream_closed(s, 0);
}

/* A second descriptor keeps the socket from being reset, so that it can be ended in order. */
static void fault_abort(struct nmt_stream *s)
{
	struct linger off = { 0 };
	int fd = -1;

	if (fault_on == ABORT_AS_EOF)
		fd = dup(fault_real.fd(s));
	fault_real.abort(s);
	if (fd < 0)
		return;
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &off, sizeof(off));
	shutdown(fd, SHUT_RDWR);
	close(fd);
}

static int fault_shutdown(struct nmt_stream *s, int how)
{
	if (fault_on == SHUTDOWN_LOST && how == SHUT_WR)
		return 0;
	if (fault_on == SHUTDOWN_BOTH && how == SHUT_WR) {
		s->rx_shut = true;
		fault_real.shutdown(s, SHUT_RD);
	}
	return fault_real.shutdown(s, how);
}

/* ---- observation ---- */

static void fault_info(const struct nmt_stream *s, struct nmt_stream_info *info)
{
	fault_real.info(s, info);
	if (fault_on == WAITS_HIDDEN)
		info->unsent = info->unacked = info->waits = 0;
}

static int fault_setopt(struct nmt_stream *s, enum nmt_opt opt, const void *val, size_t len)
{
	return fault_on == OPTION_IGNORED ? 0 : fault_real.setopt(s, opt, val, len);
}

void fault_life_ops(struct nmt_provider_ops *ops)
{
	ops->reap_tx = fault_reap_tx;
	ops->reap_rx = fault_reap_rx;
	ops->work = fault_work;
	ops->attach = fault_attach;
	ops->close_stream = fault_close;
	ops->abort = fault_abort;
	ops->shutdown = fault_shutdown;
	ops->info = fault_info;
	ops->setopt = fault_setopt;
}
