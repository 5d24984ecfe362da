/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The loops of raw-write. Streaming: chains of 16 writes with data (of half the depth where that is
 * less), a completion asked for each, as many in flight as the depth allows. Where writes use up
 * receives, the receiver posts them again in batches and gives credit for them, so that the sender never
 * meets an empty receive queue. Ping-pong: a write each way. An end that has nothing to do spins and
 * then sleeps, as streams do by default: where the adapter is software, a processor that spins is one
 * that it lacks.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "engine.h"
#include "raw.h"

#define TAKES 32
#define CREDIT_AT (RAW_SLOTS / 4) /* receives posted again that are worth telling */
#define PONG_ASKS 8u		  /* one write in so many asks for its completion */
#define NAP_MS 20		  /* longest sleep, since the phase changes without an event */
#define NO_LIMIT (UINT64_MAX / 2)

struct loop {
	struct worker *w;
	struct raw *r;
	const struct raw_ops *ops;
	bool sends, receives; /* messages */
	bool last_sent;
	uint64_t left, sent; /* messages */
	uint64_t uses;	     /* receives of the peer that were used */
	uint64_t told;	     /* own receives posted again that the peer knows of */
	int64_t spin;	     /* before sleep, in ns; < 0: for ever */
	int64_t idle;	     /* since then nothing came; 0: something did */
};

static int64_t spin_of(const struct run *run, const struct raw_ops *ops)
{
	if (run->p.wait == WAIT_POLL || !ops->nap)
		return -1;
	if (run->p.wait == WAIT_SLEEP || (int64_t)run->p.spin_ns < 0)
		return 0;
	return (int64_t)run->p.spin_ns;
}

static void init(struct loop *l, struct worker *w)
{
	struct raw *r = w->raw;

	memset(l, 0, sizeof(*l));
	l->w = w;
	l->r = r;
	l->ops = r->ops;
	l->spin = spin_of(w->run, r->ops);
	l->left = w->run->p.iterations ? w->run->p.warm_iterations + w->run->p.iterations : ENDLESS;
	r->counts_received = true;
	r->credit = r->takes_recvs ? RAW_SLOTS : NO_LIMIT;
}

static int post(struct loop *l, uint32_t n, bool ask)
{
	l->uses += n;
	l->sent += n;
	l->r->posted += n;
	return l->ops->post(l->r, n, ask);
}

static int post_word(struct loop *l, uint32_t data)
{
	l->uses++;
	l->r->posted++;
	return l->ops->word(l->r, data);
}

static int idle(struct loop *l)
{
	int64_t now = clock_ns();

	if (!l->idle)
		l->idle = now;
	return now - l->idle < l->spin ? 0 : l->ops->nap(l->r, NAP_MS);
}

/* Changes with each completion. */
static uint64_t sum(const struct raw *r)
{
	return r->done + r->messages + r->credit + r->last_came;
}

static int take(struct loop *l, int most)
{
	uint64_t before = sum(l->r);
	int err = raw_take(l->r, most);

	if (err < 0 || l->spin < 0)
		return err;
	if (sum(l->r) == before)
		return idle(l);
	l->idle = 0;
	return 0;
}

static uint64_t inflight(const struct loop *l)
{
	return l->r->posted - l->r->done;
}

/* ---- streaming ---- */

static int give_credit(struct loop *l)
{
	if (!l->receives || l->r->reposted - l->told < CREDIT_AT ||
	    inflight(l) >= l->w->run->p.depth + RAW_CREDITS)
		return 0;
	l->told = l->r->reposted;
	return post_word(l, RAW_CREDIT | (l->told & RAW_COUNT));
}

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t chain_of(uint64_t depth)
{
	return depth < 2 ? 1 : least(RAW_CHAIN, depth / 2);
}

/* Whole chains, as long as there is something in flight to wait for. */
static int send_some(struct loop *l)
{
	struct worker *w = l->w;
	uint64_t busy = inflight(l), depth = w->run->p.depth, credit = l->r->credit;
	uint64_t n = busy < depth ? depth - busy : 0;
	uint64_t room = credit > l->uses + 1 ? credit - l->uses - 1 : 0; /* the last word's */
	uint64_t whole = least(chain_of(depth), l->left);
	int err;

	n = least(least(n, whole), room);
	if (!n || (n < whole && busy))
		return 0;
	err = post(l, (uint32_t)n, true);
	if (l->left != ENDLESS)
		l->left -= n;
	if (!l->r->counts_received)
		worker_count(w, n * w->run->p.size);
	return err;
}

static int send_last(struct loop *l)
{
	l->last_sent = true;
	return post_word(l, RAW_LAST | (l->sent & RAW_COUNT));
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
	if (l->sends && (stopped(l) || (l->r->last_came && !l->w->run->p.iterations)))
		l->left = 0;
	if (l->sends && l->left)
		err = send_some(l);
	else if (l->sends && !l->last_sent && (!l->w->run->server || l->r->last_came))
		err = send_last(l);
	if (err == 0)
		err = take(l, TAKES);
	return err ? err : give_credit(l);
}

/* The last word may overtake messages where the fabric has no order. */
static bool all_came(const struct raw *r)
{
	return r->last_came && (r->messages & RAW_COUNT) == r->last;
}

/*
 * Both ways, the server's last word answers the client's: who has it may disconnect, although the
 * acknowledgement of it is then lost. One way, the completion of the last word answers it.
 */
static bool over(const struct loop *l)
{
	if (l->receives)
		return all_came(l->r) && (!l->sends || l->last_sent);
	return l->last_sent && !inflight(l);
}

/* Bytes are in each place of the window that a message was meant for; before the first one none were. */
static int check_window(const struct raw *r)
{
	uint64_t size = r->w->run->p.size, n = least(r->messages, r->window / size);
	const uint8_t *place = r->buf + size;

	for (uint64_t i = 0; i < n; i++, place += size)
		if (!place[0] || !place[size - 1])
			return worker_fail(r->w, -EIO,
					   "raw-write: nothing arrived at byte %llu of the window",
					   (unsigned long long)(i * size));
	return 0;
}

static int stream(struct worker *w, bool sends, bool receives)
{
	struct loop l;
	int err = 0;

	init(&l, w);
	l.sends = sends;
	l.receives = receives;
	l.r->counts_received = receives;
	while (err == 0 && !over(&l))
		err = stream_step(&l);
	if (err == 0 && receives)
		err = check_window(l.r);
	if (err == 0)
		l.ops->bye(w);
	return err;
}

/* ---- ping-pong ---- */

static int pong(struct loop *l)
{
	return post(l, 1, l->sent % PONG_ASKS == PONG_ASKS - 1);
}

/* Poll until message number N is there, or the last word. */
static int await(struct loop *l, uint64_t n)
{
	int err = 0;

	while (err == 0 && l->r->messages < n && !l->r->last_came) {
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
	while (err == 0 && inflight(&l))
		err = take(&l, TAKES);
	if (err == 0)
		l.ops->bye(w);
	return err;
}

static int lat_server(struct worker *w)
{
	struct loop l;
	int err;

	init(&l, w);
	for (uint64_t i = 1; (err = await(&l, i)) == 0 && !l.r->last_came; i++) {
		err = pong(&l);
		if (err < 0)
			break;
	}
	if (err == 0)
		l.ops->bye(w);
	return err;
}

/* ---- receives ---- */

int raw_take(struct raw *r, int most)
{
	int err = r->ops->take(r, most);

	while (err == 0 && r->used >= RAW_BATCH) {
		err = r->ops->recvs(r, RAW_BATCH);
		r->used -= RAW_BATCH;
		r->reposted += RAW_BATCH;
	}
	return err;
}

int raw_post_recvs(struct raw *r)
{
	int err = 0;

	for (uint32_t i = 0; err == 0 && i < RAW_RECVS; i += RAW_BATCH)
		err = r->ops->recvs(r, RAW_BATCH);
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

const struct raw_ops *raw_ops_of(const char *spec, const char **why)
{
	bool ofi = strncmp(spec, "ofi", 3) == 0 && (!spec[3] || spec[3] == '/');

	*why = ofi ? "built without libfabric (1.17 or later), which raw-write over ofi needs"
		   : "built without libibverbs and librdmacm, which raw-write needs; over libfabric: "
		     "--provider ofi/tcp";
#ifdef PERF_RAW_OFI
	if (ofi)
		return &raw_ofi;
#endif
#ifdef PERF_RAW_VERBS
	if (!ofi)
		return &raw_verbs;
#endif
	return NULL;
}

static int open_raw(struct worker *w)
{
	const char *why;
	const struct raw_ops *ops = raw_ops_of(w->run->p.provider, &why);

	w->raw = calloc(1, ops->size);
	if (!w->raw)
		return worker_fail(w, -ENOMEM, "raw-write: %s", strerror(ENOMEM));
	w->raw->w = w;
	w->raw->ops = ops;
	return 0;
}

static int raw_listen(struct worker *w, uint16_t port)
{
	int err = open_raw(w);

	return err ? err : w->raw->ops->listen(w, port);
}

static int raw_setup(struct worker *w)
{
	int err = w->raw ? 0 : open_raw(w);

	if (err == 0)
		err = w->run->server ? w->raw->ops->accept(w) : w->raw->ops->connect(w);
	if (err == 0)
		w->raw->ops->prepare(w->raw);
	return err;
}

static void raw_close(struct worker *w)
{
	if (!w->raw)
		return;
	w->raw->ops->close(w);
	free(w->raw->buf);
	free(w->raw);
	w->raw = NULL;
}

#define RAW_OPS .listen = raw_listen, .setup = raw_setup, .close = raw_close

const struct test_ops raw_bw = { RAW_OPS, .client = one_way, .server = one_way };
const struct test_ops raw_bidir = { RAW_OPS, .client = both_ways, .server = both_ways };
const struct test_ops raw_lat = { RAW_OPS, .client = lat_client, .server = lat_server };
