/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The event loop of a worker. This is what is measured: between two events there is nothing but
 * the library's calls, a counter and a few branches.
 */
#include "engine.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "io.h"
#include "pattern.h"

#define EVENTS 64
#define TURN 16		/* messages of a flow before the next flow's turn */
#define TURN_ALONE 1024 /* the same with one flow that does nothing but send */

struct loop {
	struct worker *w;
	const struct engine_hooks *hooks;
	uint32_t turn;
	bool stopping;
};

/* ---- the ready queue: flows that may send on without an event ---- */

static void ready_push(struct worker *w, struct flow *f)
{
	if (f->ready)
		return;
	f->ready = true;
	f->next_ready = NULL;
	*w->ready_tail = f;
	w->ready_tail = &f->next_ready;
	w->nready++;
}

static struct flow *ready_pop(struct worker *w)
{
	struct flow *f = w->ready_head;

	w->ready_head = f->next_ready;
	if (!w->ready_head)
		w->ready_tail = &w->ready_head;
	f->ready = false;
	w->nready--;
	return f;
}

/* ---- ending ---- */

static int flow_check(struct loop *l, struct flow *f)
{
	struct worker *w = l->w;
	int err = 0;

	if (!f->shut && !f->todo && !f->tx_left && (!w->run->server || f->eof)) {
		f->shut = true;
		if (!w->run->server && f->index == 0)
			worker_note_path(w, f->stream, true);
		err = nmt_shutdown(f->stream, SHUT_WR);
	}
	if (f->shut && f->eof && !f->borrowed && !f->done) {
		f->done = true;
		w->live--;
	}
	return err;
}

/* No new messages, but the one that is half sent. */
static void flow_cut(struct flow *f)
{
	f->todo = 0;
	if (f->tx_left == ENDLESS)
		f->tx_left = f->tx_pos ? 1 : 0;
}

/* ---- sending ---- */

static inline void note_sent(struct loop *l, struct flow *f, uint64_t before)
{
	struct worker *w = l->w;

	if (l->hooks->sender)
		worker_count(w, f->tx_off - before);
}

static inline void message_sent(struct loop *l, struct flow *f)
{
	if (f->tx_left != ENDLESS)
		f->tx_left--;
	if (!l->hooks->timed)
		return;
	*worker_sent_at(l->w, f, f->sent) = l->w->now;
	if (++f->sent == l->w->run->p.depth)
		f->sent = 0;
}

static int flow_tx(struct loop *l, struct flow *f)
{
	struct run *run = l->w->run;
	uint64_t before;
	int ret;

	for (uint32_t i = 0; f->tx_left; i++) {
		if (i == l->turn || (run_phase_now(run) >= PHASE_STOP && !l->stopping)) {
			ready_push(l->w, f);
			return 0;
		}
		before = f->tx_off;
		ret = io_tx(l->w, f);
		note_sent(l, f, before);
		if (ret <= 0) {
			f->blocked = true;
			return ret;
		}
		message_sent(l, f);
	}
	return flow_check(l, f);
}

static int flow_unblock(struct loop *l, struct flow *f)
{
	f->blocked = false;
	return f->ready ? 0 : flow_tx(l, f);
}

/* ---- receiving ---- */

static inline int received(struct loop *l, struct flow *f, uint64_t n)
{
	uint64_t size = l->w->run->p.size;
	uint64_t messages;

	if (!l->hooks->sender)
		worker_count(l->w, n);
	if (!l->hooks->messages)
		return 0;
	f->rx_pos += n;
	if (f->rx_pos < size)
		return 0;
	messages = f->rx_pos == size ? 1 : f->rx_pos / size;
	f->rx_pos -= messages * size;
	l->hooks->messages(l->w, f, messages);
	return f->tx_left && !f->blocked && !f->ready ? flow_tx(l, f) : 0;
}

static int flow_eof(struct loop *l, struct flow *f)
{
	if (!l->w->run->server && !f->shut)
		return worker_fail(l->w, -ECONNRESET, "the server ended stream %u early", f->index);
	if (!l->w->run->p.iterations)
		flow_cut(f);
	return flow_check(l, f);
}

static int flow_rx(struct loop *l, struct flow *f)
{
	int err = 0;

	for (int i = 0; i < TURN && err == 0 && !f->eof; i++) {
		bool more = false;
		ssize_t n = io_rx(l->w, f, &more);

		if (n < 0)
			return n == -EAGAIN || n == -ENOBUFS ? 0 : (int)n;
		if (n > 0)
			err = received(l, f, (uint64_t)n);
		if (!more)
			break;
	}
	return err == 0 && f->eof && !f->done ? flow_eof(l, f) : err;
}

static int flow_received(struct loop *l, struct flow *f, const struct nmt_event *ev)
{
	bool before = f->eof;
	int err = io_posted(l->w, f, ev);

	if (err == -ECANCELED && f->done)
		return 0;
	if (err == 0 && ev->len > 0)
		err = received(l, f, ev->len);
	if (err < 0)
		return err;
	if (f->eof)
		return before ? 0 : flow_eof(l, f);
	return io_post(l->w, f, (uint32_t)ev->cookie);
}

/* ---- events ---- */

static int take_event(struct loop *l, const struct nmt_event *ev)
{
	struct flow *f = ev->user;

	switch (ev->type) {
	case NMT_EV_READABLE:
		return l->w->run->p.call == CALL_INTO || f->eof ? 0 : flow_rx(l, f);
	case NMT_EV_WRITABLE:
		return flow_unblock(l, f);
	case NMT_EV_SENT:
		f->borrowed--;
		if (ev->status < 0)
			return ev->status;
		return f->blocked ? flow_unblock(l, f) : flow_check(l, f);
	case NMT_EV_RECEIVED:
		return flow_received(l, f, ev);
	case NMT_EV_ERROR:
		return f->done ? 0 : ev->status;
	default:
		return 0;
	}
}

static int turn(struct loop *l)
{
	struct worker *w = l->w;
	struct nmt_event ev[EVENTS];
	int err, n;

	n = nmt_poll(w->dom, ev, EVENTS, w->ready_head ? 0 : NMT_FOREVER);
	if (n < 0)
		return n == -EINTR ? 0 : n;
	if (l->hooks->timed)
		w->now = clock_ns();
	for (int i = 0; i < n; i++) {
		if (i + 2 < n) /* a thousand flows do not fit into the nearest cache */
			__builtin_prefetch(ev[i + 2].user);
		err = ev[i].user ? take_event(l, &ev[i]) : 0;
		if (err < 0) {
			struct flow *f = ev[i].user;

			return worker_fail(w, err, "stream %u: %s", f->index, nmt_strerror(err));
		}
	}
	return 0;
}

static int stop(struct loop *l)
{
	struct worker *w = l->w;
	int err = 0;

	l->stopping = true;
	for (uint32_t i = 0; err == 0 && i < w->nflows; i++) {
		flow_cut(&w->flows[i]);
		if (!w->flows[i].blocked && !w->flows[i].ready)
			err = flow_tx(l, &w->flows[i]);
	}
	return err;
}

static int check_phase(struct loop *l)
{
	int phase = run_phase_now(l->w->run);

	if (phase == PHASE_ABORT)
		return -ECANCELED;
	return phase == PHASE_STOP && !l->stopping ? stop(l) : 0;
}

/* Each flow that is ready when the round begins has one turn. */
static int send_round(struct loop *l)
{
	int err = 0;

	for (uint32_t n = l->w->nready; err == 0 && n > 0; n--)
		err = flow_tx(l, ready_pop(l->w));
	return err;
}

static int start(struct loop *l, struct flow *f)
{
	struct worker *w = l->w;
	int err = 0;

	f->tx_off = pattern_start(w->run->p.seed, f->index, w->run->server);
	f->rx_off = pattern_start(w->run->p.seed, f->index, !w->run->server);
	l->hooks->start(w, f);
	if (w->run->p.call != CALL_INTO)
		err = flow_rx(l, f); /* its first event may have come before the start */
	for (uint32_t k = 0;
	     err == 0 && w->run->p.call == CALL_INTO && k < params_posts(&w->run->p); k++)
		err = io_post(w, f, k);
	if (err == 0 && f->tx_left && !f->ready && !f->blocked)
		ready_push(w, f);
	return err;
}

int engine_run(struct worker *w, const struct engine_hooks *hooks)
{
	struct loop l = { .w = w, .hooks = hooks };
	int err = 0;

	l.turn = w->nflows == 1 && hooks->sender ? TURN_ALONE : TURN;
	w->live = w->nflows;
	w->now = clock_ns();
	for (uint32_t i = 0; err == 0 && i < w->nflows; i++)
		err = start(&l, &w->flows[i]);
	while (err == 0 && w->live) {
		err = send_round(&l);
		if (err == 0)
			err = check_phase(&l);
		if (err == 0 && w->live)
			err = turn(&l);
	}
	return err;
}

/* ---- buffers ---- */

uint64_t engine_last_mark(const struct worker *w)
{
	const struct perf_params *p = &w->run->p;
	uint64_t unit = p->test == TEST_CONN ? 1 : p->size;

	if (!p->iterations)
		return UINT64_MAX;
	return (p->warm_iterations + p->iterations) * w->nflows * unit;
}

static int open_receive(struct worker *w)
{
	const struct perf_params *p = &w->run->p;
	size_t len = (w->rx_cap + 4095) / 4096 * 4096;
	uint64_t posted;

	w->rx_buf = aligned_alloc(4096, len);
	if (!w->rx_buf)
		return -ENOMEM;
	if (p->call != CALL_INTO)
		return 0;
	posted = (uint64_t)w->nflows * params_posts(p) * io_stride(w);
	return nmt_mr_alloc(w->run->ctx, p->mem, posted, NMT_ACCESS_RECV, &w->rx_mr);
}

static int open_rings(struct worker *w)
{
	w->sent_at = calloc((size_t)w->nflows * w->run->p.depth, sizeof(*w->sent_at));
	w->hist = malloc(sizeof(*w->hist));
	if (!w->sent_at || !w->hist)
		return -ENOMEM;
	hist_init(w->hist);
	return 0;
}

static int open_flows(struct worker *w)
{
	size_t len = w->nflows * sizeof(*w->flows);

	w->flows = aligned_alloc(_Alignof(struct flow), len);
	if (!w->flows)
		return -ENOMEM;
	memset(w->flows, 0, len);
	for (uint32_t i = 0; i < w->nflows; i++) {
		w->flows[i].slot = i;
		w->flows[i].index = w->index + i * w->run->p.threads;
	}
	return 0;
}

int engine_open(struct worker *w)
{
	const struct perf_params *p = &w->run->p;

	w->nflows = params_share(p, w->index);
	w->rx_cap = p->recv_size;
	if (open_flows(w) < 0)
		return -ENOMEM;
	w->next_mark = UINT64_MAX;
	if (p->iterations)
		w->next_mark =
			p->warm_iterations * w->nflows * (p->test == TEST_CONN ? 1 : p->size);
	if (params_is_latency(p) && !w->run->server && open_rings(w) < 0)
		return -ENOMEM;
	return open_receive(w);
}

void engine_close(struct worker *w)
{
	if (w->rx_mr)
		nmt_mr_close(w->rx_mr);
	free(w->sent_at);
	free(w->flows);
	free(w->rx_buf);
	free(w->hist);
}
