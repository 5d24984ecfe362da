/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The loops of raw-write. Streaming: chains of 16 writes with immediate, a doorbell and a signalled
 * request for each, as many in flight as the depth allows; the receiver posts its receives again in
 * batches and gives credit for them, so that the sender never meets an empty receive queue.
 * Ping-pong: a write each way, inline if it fits. An end that has nothing to do spins and then sleeps,
 * as streams do by default: where the adapter is software, a processor that spins is one that it lacks.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <string.h>

#include "cpu.h"
#include "engine.h"
#include "raw.h"

#define CHAIN 16u
#define WCS 32
#define CREDIT_AT (RAW_SLOTS / 4) /* receives posted again that are worth telling */
#define PONG_ASKS 8u              /* one write in so many asks for its completion */
#define NAP_MS 20                 /* longest sleep, since the phase changes without an event */

#define IMM_DATA 0u
#define IMM_LAST 1u

struct loop {
	struct worker *w;
	struct raw *r;
	bool sends, receives; /* messages */
	bool counts_sent;     /* progress is what was sent */
	bool last_sent, last_came;
	uint64_t left;        /* messages to send */

	/* Requests are numbered from 1 in the order of the send queue. */
	uint64_t posted, done;
	uint64_t uses, credit;       /* receives of the peer that were used; that writes may use */
	uint32_t used;               /* receives to be posted again */
	uint64_t reposted, told;     /* in all; what the peer was told of */
	uint64_t messages;           /* received */

	int64_t spin;     /* before sleep, in ns; < 0: for ever */
	int64_t idle;     /* since then nothing came; 0: something did */
	bool armed;       /* the next completion makes an event, or it is there */
	struct ibv_send_wr wr[CHAIN];
	struct ibv_sge sge;
};

static int64_t spin_of(const struct perf_params *p)
{
	if (p->wait == WAIT_POLL)
		return -1;
	return p->wait == WAIT_SLEEP || (int64_t)p->spin_ns < 0 ? 0 : (int64_t)p->spin_ns;
}

static void init(struct loop *l, struct worker *w)
{
	struct raw *r = w->raw;

	memset(l, 0, sizeof(*l));
	l->w = w;
	l->r = r;
	l->credit = RAW_SLOTS;
	l->spin = spin_of(&w->run->p);
	l->left = w->run->p.iterations ? w->run->p.warm_iterations + w->run->p.iterations : ENDLESS;
	l->sge = (struct ibv_sge){ (uintptr_t)r->buf, (uint32_t)w->run->p.size, r->mr->lkey };
	for (uint32_t i = 0; i < CHAIN; i++) {
		struct ibv_send_wr *wr = &l->wr[i];

		wr->next = i + 1 < CHAIN ? wr + 1 : NULL;
		wr->sg_list = &l->sge;
		wr->num_sge = 1;
		wr->opcode = IBV_WR_RDMA_WRITE_WITH_IMM;
		wr->send_flags = r->inlined ? IBV_SEND_INLINE : 0;
		wr->wr.rdma.remote_addr = r->peer.addr;
		wr->wr.rdma.rkey = r->peer.rkey;
	}
}

static int post(struct loop *l, struct ibv_send_wr *wr, uint32_t n)
{
	struct ibv_send_wr *bad;
	int rc;

	l->posted += n;
	rc = ibv_post_send(l->r->id->qp, wr, &bad);
	return rc ? worker_fail(l->w, -rc, "raw-write: ibv_post_send: %s", strerror(rc)) : 0;
}

/* The last N of the prepared chain; the very last asks for its completion. */
static int post_chain(struct loop *l, uint32_t n)
{
	struct ibv_send_wr *first = &l->wr[CHAIN - n], *last = &l->wr[CHAIN - 1];

	last->wr_id = l->posted + n;
	last->send_flags |= IBV_SEND_SIGNALED;
	l->uses += n;
	return post(l, first, n);
}

/* A request without bytes. */
static int post_word(struct loop *l, enum ibv_wr_opcode opcode, uint32_t imm)
{
	struct ibv_send_wr wr = { .wr_id = l->posted + 1, .opcode = opcode,
				  .send_flags = IBV_SEND_SIGNALED, .imm_data = htonl(imm) };

	wr.wr.rdma.remote_addr = l->r->peer.addr;
	wr.wr.rdma.rkey = l->r->peer.rkey;
	l->uses++;
	return post(l, &wr, 1);
}

/* ---- completions ---- */

static int received(struct loop *l, const struct ibv_wc *wc)
{
	l->used++;
	if (wc->opcode != IBV_WC_RECV_RDMA_WITH_IMM) { /* how many were taken, modulo 2^32 */
		l->credit += (uint32_t)(ntohl(wc->imm_data) + RAW_SLOTS - (uint32_t)l->credit);
		return 0;
	}
	if (ntohl(wc->imm_data) == IMM_LAST) {
		l->last_came = true;
		return 0;
	}
	l->messages++;
	if (!l->counts_sent)
		worker_count(l->w, wc->byte_len);
	return 0;
}

static int complete(struct loop *l, const struct ibv_wc *wc)
{
	if (wc->status)
		return worker_fail(l->w, -EIO, "raw-write: %s", ibv_wc_status_str(wc->status));
	if (wc->opcode & IBV_WC_RECV)
		return received(l, wc);
	l->done = wc->wr_id;
	return 0;
}

/* ---- waiting ---- */

static int nap(struct loop *l)
{
	struct pollfd pfd = { .fd = l->r->events->fd, .events = POLLIN };
	struct ibv_cq *cq;
	void *context;

	if (poll(&pfd, 1, NAP_MS) <= 0)
		return 0;
	if (ibv_get_cq_event(l->r->events, &cq, &context))
		return worker_fail(l->w, -errno, "raw-write: ibv_get_cq_event: %s", strerror(errno));
	ibv_ack_cq_events(cq, 1);
	l->armed = false;
	return 0;
}

/* Nothing came. What comes between the last look and the arming is seen by the look that follows. */
static int idle(struct loop *l)
{
	int64_t now;
	int rc;

	if (l->spin < 0)
		return 0;
	if (l->armed)
		return nap(l);
	now = clock_ns();
	if (!l->idle)
		l->idle = now;
	if (now - l->idle < l->spin)
		return 0;
	rc = ibv_req_notify_cq(l->r->cq, 0);
	if (rc)
		return worker_fail(l->w, -rc, "raw-write: ibv_req_notify_cq: %s", strerror(rc));
	l->armed = true;
	return 0;
}

/* Take what is there; < 0: it failed. */
static int take(struct loop *l, int most)
{
	struct ibv_wc wc[WCS];
	int err = 0, n = ibv_poll_cq(l->r->cq, most, wc);

	if (n < 0)
		return worker_fail(l->w, -EIO, "raw-write: ibv_poll_cq failed");
	if (n == 0)
		return idle(l);
	l->idle = 0;
	for (int i = 0; i < n && err == 0; i++)
		err = complete(l, &wc[i]);
	while (err == 0 && l->used >= RAW_BATCH) {
		err = raw_post_recvs(l->r, RAW_BATCH);
		l->used -= RAW_BATCH;
		l->reposted += RAW_BATCH;
	}
	return err;
}

/* ---- streaming ---- */

static int give_credit(struct loop *l)
{
	if (!l->receives || l->reposted - l->told < CREDIT_AT ||
	    l->posted - l->done >= l->w->run->p.depth + RAW_CREDITS)
		return 0;
	l->told = l->reposted;
	return post_word(l, IBV_WR_SEND_WITH_IMM, (uint32_t)l->told);
}

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* Whole chains, as long as there is something in flight to wait for. */
static int send_some(struct loop *l)
{
	struct worker *w = l->w;
	uint64_t inflight = l->posted - l->done, depth = w->run->p.depth;
	uint64_t n = inflight < depth ? depth - inflight : 0;
	uint64_t room = l->credit > l->uses + 1 ? l->credit - l->uses - 1 : 0; /* the last word's */
	uint64_t whole = least(CHAIN, l->left);
	int err;

	n = least(least(n, whole), room);
	if (!n || (n < whole && inflight))
		return 0;
	err = post_chain(l, (uint32_t)n);
	if (l->left != ENDLESS)
		l->left -= n;
	if (l->counts_sent)
		worker_count(w, n * w->run->p.size);
	return err;
}

static int send_last(struct loop *l)
{
	l->last_sent = true;
	return post_word(l, IBV_WR_RDMA_WRITE_WITH_IMM, IMM_LAST);
}

static bool stopped(const struct loop *l)
{
	return run_phase_now(l->w->run) >= PHASE_STOP && !l->w->run->p.iterations;
}

static int stream_step(struct loop *l)
{
	int err = 0;

	if (run_phase_now(l->w->run) == PHASE_ABORT)
		return -ECANCELED;
	if (l->sends && (stopped(l) || (l->last_came && !l->w->run->p.iterations)))
		l->left = 0;
	if (l->sends && l->left)
		err = send_some(l);
	else if (l->sends && !l->last_sent && (!l->w->run->server || l->last_came))
		err = send_last(l);
	if (err == 0)
		err = take(l, WCS);
	return err ? err : give_credit(l);
}

/*
 * Both ways, the server's last word answers the client's: who has it may disconnect, although the
 * acknowledgement of it is then lost. One way, the completion of the last word answers it.
 */
static bool over(const struct loop *l)
{
	if (l->receives)
		return l->last_came && (!l->sends || l->last_sent);
	return l->last_sent && l->done == l->posted;
}

static int stream(struct worker *w, bool sends, bool receives)
{
	struct loop l;
	int err = 0;

	init(&l, w);
	l.sends = sends;
	l.receives = receives;
	l.counts_sent = sends && !receives;
	while (err == 0 && !over(&l))
		err = stream_step(&l);
	if (err == 0)
		raw_bye(w);
	return err;
}

/* ---- ping-pong ---- */

static int pong(struct loop *l)
{
	struct ibv_send_wr *wr = &l->wr[CHAIN - 1];

	wr->wr_id = l->posted + 1;
	wr->send_flags &= ~(unsigned int)IBV_SEND_SIGNALED;
	if (wr->wr_id % PONG_ASKS == 0)
		wr->send_flags |= IBV_SEND_SIGNALED;
	return post(l, wr, 1);
}

/* Poll until message number N is there, or the last word. */
static int await(struct loop *l, uint64_t n)
{
	int err = 0;

	while (err == 0 && l->messages < n && !l->last_came) {
		err = take(l, 2);
		if (run_phase_now(l->w->run) == PHASE_ABORT)
			return -ECANCELED;
	}
	return err;
}

static int lat_client(struct worker *w)
{
	int64_t before, now = clock_ns();
	struct loop l;
	int err = 0;

	init(&l, w);
	for (uint64_t i = 1; err == 0 && i <= l.left && !stopped(&l); i++) {
		before = now;
		err = pong(&l);
		if (err == 0)
			err = await(&l, i);
		now = clock_ns();
		if (run_phase_now(w->run) == PHASE_MEASURE)
			hist_add(w->hist, (uint64_t)(now - before));
	}
	if (err == 0)
		err = send_last(&l);
	while (err == 0 && l.done != l.posted)
		err = take(&l, WCS);
	if (err == 0)
		raw_bye(w);
	return err;
}

static int lat_server(struct worker *w)
{
	struct loop l;
	int err;

	init(&l, w);
	for (uint64_t i = 1; (err = await(&l, i)) == 0 && !l.last_came; i++) {
		err = pong(&l);
		if (err < 0)
			break;
	}
	if (err == 0)
		raw_bye(w);
	return err;
}

/* ---- the tests ---- */

static int one_way(struct worker *w)
{
	return stream(w, !w->run->server, w->run->server);
}

static int both_ways(struct worker *w)
{
	return stream(w, true, true);
}

#define RAW_OPS .listen = raw_listen, .setup = raw_setup, .close = raw_close

const struct test_ops raw_bw = { RAW_OPS, .client = one_way, .server = one_way };
const struct test_ops raw_bidir = { RAW_OPS, .client = both_ways, .server = both_ways };
const struct test_ops raw_lat = { RAW_OPS, .client = lat_client, .server = lat_server };
