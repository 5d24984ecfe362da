/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One measurement at one end: opening, phases, marks, closing.
 */
#include "run.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "engine.h"
#include "pattern.h"
#include "raw.h"
#include "stats.h"
#include "tk_exit.h"

#define CAUGHT_S 5 /* beyond the stall time, before a thread is given up */

static const struct test_ops *const tests[] = {
	[TEST_BW] = &test_bw,	  [TEST_LAT] = &test_lat,     [TEST_RR] = &test_rr,
	[TEST_CONN] = &test_conn, [TEST_BIDIR] = &test_bidir,
};

/* The same without libnmt's streams. */
static const struct test_ops *const raw_tests[TEST_BIDIR + 1] = {
	[TEST_BW] = &raw_bw,
	[TEST_LAT] = &raw_lat,
	[TEST_BIDIR] = &raw_bidir,
};

static bool is_raw(const struct perf_params *p)
{
	return p->call == CALL_RAW_WRITE;
}

static int run_fail(struct run *run, int err, const char *what)
{
	snprintf(run->text, sizeof(run->text), "%s: %s", what, nmt_strerror(err));
	run->error = err;
	return err;
}

/* ---- opening ---- */

static void fill_attr(struct run *run)
{
	struct nmt_stream_attr *a = &run->attr;
	const struct perf_params *p = &run->p;

	a->size = sizeof(*a);
	a->mode = p->mode;
	a->rails = p->rails;
	a->recv_mode = p->call == CALL_INTO ? NMT_RECV_POSTED : NMT_RECV_POOL;
	a->flags |= p->flags & PARAM_NAGLE ? NMT_STREAM_NAGLE : 0;
	a->flags |= p->flags & PARAM_RECORDS ? NMT_STREAM_RECORDS : 0;
	a->sndbuf = p->sndbuf;
	a->rcvbuf = p->rcvbuf;
	a->zerocopy_min = p->zerocopy_min;
	a->send_timeout = (int64_t)p->stall_ns;
	a->recv_timeout = (int64_t)p->stall_ns;
	a->linger = (int64_t)p->stall_ns;
	a->send_depth = params_borrows(p);
	a->recv_depth = params_posts(p);
}

static void fill_domain_attr(const struct perf_params *p, struct nmt_domain_attr *a)
{
	a->pool_size = p->pool;
	a->cell_size = p->cell;
	a->pool_kind = p->mem;
	a->spin_ns = p->wait == WAIT_SLEEP ? -1 : (int64_t)p->spin_ns;
	a->flags = p->wait == WAIT_POLL ? NMT_DOMAIN_SPIN_ALWAYS : 0;
}

static int open_tx(struct run *run)
{
	const struct perf_params *p = &run->p;
	size_t len = p->size + (p->flags & PARAM_VERIFY ? PATTERN_PERIOD : 0);
	int err;

	run->tx_buf = aligned_alloc(4096, (len + 4095) / 4096 * 4096);
	if (!run->tx_buf)
		return run_fail(run, -ENOMEM, "memory to send from");
	pattern_fill(run->tx_buf, len, p->seed);
	if (p->call == CALL_COPY || is_raw(p))
		return 0;
	err = nmt_mr_alloc(run->ctx, p->mem, len, NMT_ACCESS_SEND, &run->tx_mr);
	if (err == 0)
		err = nmt_mr_write(run->tx_mr, 0, run->tx_buf, len);
	return err < 0 ? run_fail(run, err, "memory to send from") : 0;
}

static int open_worker(struct run *run, uint32_t i)
{
	struct nmt_domain_attr attr = NMT_DOMAIN_ATTR_INIT;
	struct worker *w = &run->workers[i];
	const char *spec;
	int err;

	w->run = run;
	w->index = i;
	w->ready_tail = &w->ready_head;
	fill_domain_attr(&run->p, &attr);
	spec = is_raw(&run->p) ? "tcp" : run->p.provider; /* it is only woken then */
	err = nmt_domain_open(run->ctx, spec, &attr, &w->dom);
	if (err < 0) {
		w->dom = NULL;
		return run_fail(run, err, spec);
	}
	err = engine_open(w);
	return err < 0 ? run_fail(run, err, "buffers") : 0;
}

int run_open(struct run *run, const struct perf_params *p, bool server)
{
	const char *why;
	int err;

	run->p = *p;
	run->server = server;
	run->test = is_raw(p) ? raw_tests[p->test] : tests[p->test];
	if (is_raw(p) && !raw_ops_of(p->provider, &why))
		return run_fail(run, -EOPNOTSUPP, why);
	run->ends_left = p->threads;
	atomic_flag_clear(&run->begun);
	atomic_flag_clear(&run->ended);
	pthread_mutex_init(&run->lock, NULL);
	fill_attr(run);
	run->workers = aligned_alloc(64, p->threads * sizeof(struct worker));
	if (!run->workers)
		return run_fail(run, -ENOMEM, "threads");
	memset(run->workers, 0, p->threads * sizeof(struct worker));
	run->nworkers = p->threads;
	err = open_tx(run);
	for (uint32_t i = 0; err == 0 && i < run->nworkers; i++)
		err = open_worker(run, i);
	return err;
}

/* ---- a worker's thread ---- */

int worker_fail(struct worker *w, int err, const char *fmt, ...)
{
	struct run *run = w->run;
	va_list ap;

	pthread_mutex_lock(&run->lock);
	if (!run->error && run_phase_now(run) != PHASE_ABORT) {
		va_start(ap, fmt);
		vsnprintf(run->text, sizeof(run->text), fmt, ap);
		va_end(ap);
		run->error = err;
	}
	pthread_mutex_unlock(&run->lock);
	return err;
}

void worker_note_path(struct worker *w, const struct nmt_stream *s, bool end)
{
	struct nmt_stream_info info = NMT_STREAM_INFO_INIT;
	struct run *run = w->run;

	if (nmt_stream_info(s, &info) < 0)
		return;
	pthread_mutex_lock(&run->lock);
	run->path.end = info;
	if (!end)
		run->path.begin = info;
	pthread_mutex_unlock(&run->lock);
}

static int wait_start(struct worker *w)
{
	struct nmt_event ev[16];
	int n;

	while (run_phase_now(w->run) < PHASE_WARM) {
		n = nmt_poll(w->dom, ev, 16, NMT_FOREVER);
		for (int i = 0; i < n; i++) {
			/* Data that is early: the engine looks at each stream as it starts. */
			if (ev[i].type == NMT_EV_ERROR)
				return worker_fail(w, ev[i].status, "a data stream broke: %s",
						   nmt_strerror(ev[i].status));
		}
	}
	return run_phase_now(w->run) == PHASE_ABORT ? -ECANCELED : 0;
}

int setup_flows(struct worker *w)
{
	return w->run->server ? setup_server(w) : setup_client(w);
}

static void note_stats(struct worker *w)
{
	struct nmt_stats stats = NMT_STATS_INIT;

	if (nmt_stats(w->dom, NULL, &stats) < 0)
		return;
	pthread_mutex_lock(&w->run->lock);
	w->run->nstats = stats_add(w->run->stat, &stats);
	pthread_mutex_unlock(&w->run->lock);
}

static void close_flows(struct worker *w, bool abort)
{
	for (uint32_t i = 0; i < w->nflows; i++) {
		if (w->flows[i].stream && abort)
			nmt_abort(w->flows[i].stream);
		else if (w->flows[i].stream)
			nmt_close(w->flows[i].stream);
		w->flows[i].stream = NULL;
	}
}

static void *worker_thread(void *arg)
{
	struct worker *w = arg;
	struct run *run = w->run;
	int err = run->test->setup ? run->test->setup(w) : 0;

	if (err == 0) {
		atomic_fetch_add(&run->ready, 1);
		nmt_wake(run->main_dom);
		err = wait_start(w);
	}
	if (err == 0)
		err = run->server ? run->test->server(w) : run->test->client(w);
	if (err < 0 && err != -ECANCELED)
		worker_fail(w, err, "%s", nmt_strerror(err));
	w->error = err;
	note_stats(w);
	if (err < 0 && !run->server && w->index == 0 && w->nflows && w->flows[0].stream)
		worker_note_path(w, w->flows[0].stream, true);
	close_flows(w, err < 0);
	if (err < 0)
		atomic_fetch_add(&run->failed, 1);
	atomic_fetch_add(&run->finished, 1);
	nmt_wake(run->main_dom);
	return NULL;
}

int run_start(struct run *run)
{
	int err;

	for (uint32_t i = 0; i < run->nworkers; i++) {
		err = -pthread_create(&run->workers[i].thread, NULL, worker_thread,
				      &run->workers[i]);
		if (err < 0)
			return run_fail(run, err, "threads");
		run->workers[i].started = true;
	}
	return 0;
}

/* ---- phases and marks ---- */

void run_phase(struct run *run, enum phase phase)
{
	int now = atomic_load(&run->phase);

	while (now < (int)phase && !atomic_compare_exchange_weak(&run->phase, &now, phase))
		;
	for (uint32_t i = 0; i < run->nworkers; i++) {
		if (run->workers[i].dom)
			nmt_wake(run->workers[i].dom);
	}
}

uint64_t run_progress(const struct run *run)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < run->nworkers; i++)
		sum += atomic_load_explicit(&run->workers[i].progress, memory_order_relaxed);
	return sum;
}

static void take_mark(const struct run *run, struct mark *m)
{
	cpu_now(&m->cpu);
	m->progress = run_progress(run);
	m->ns = clock_ns();
}

void run_begin(struct run *run)
{
	int warm = PHASE_WARM;

	if (atomic_flag_test_and_set(&run->begun))
		return;
	take_mark(run, &run->begin);
	atomic_compare_exchange_strong(&run->phase, &warm, PHASE_MEASURE);
}

void run_end(struct run *run)
{
	if (!atomic_flag_test_and_set(&run->ended))
		take_mark(run, &run->end);
}

/* With a fixed number of iterations the counts are the marks: the first begins, the last ends. */
void worker_mark(struct worker *w)
{
	struct run *run = w->run;

	if (w->next_mark < engine_last_mark(w)) {
		w->next_mark = engine_last_mark(w);
		run_begin(run);
		if (w->count < w->next_mark)
			return;
	}
	w->next_mark = UINT64_MAX;
	if (atomic_fetch_sub(&run->ends_left, 1) == 1)
		run_end(run);
}

/* ---- the end ---- */

/*
 * A blocking call may last as long as the stall time. Longer than that, the thread is caught: shared
 * memory of libfabric, for one, has locks that a peer may take along when it is killed.
 */
static void join(struct run *run, struct worker *w)
{
	struct timespec end;

	if (run_phase_now(run) != PHASE_ABORT) {
		pthread_join(w->thread, NULL);
		return;
	}
	clock_gettime(CLOCK_REALTIME, &end);
	end.tv_sec += (time_t)(run->p.stall_ns / 1000000000) + CAUGHT_S;
	if (!pthread_timedjoin_np(w->thread, NULL, &end))
		return;
	fprintf(stderr, "nmt_perf: a thread does not come back from provider %s (is the peer gone?)\n",
		run->p.provider);
	_exit(TK_EXIT_FAILURE);
}

void run_join(struct run *run)
{
	for (uint32_t i = 0; i < run->nworkers; i++) {
		if (run->workers[i].started)
			join(run, &run->workers[i]);
		run->workers[i].started = false;
	}
}

void run_close(struct run *run)
{
	for (uint32_t i = 0; i < run->nworkers; i++) {
		if (run->test->close)
			run->test->close(&run->workers[i]);
		if (run->workers[i].dom)
			nmt_domain_close(run->workers[i].dom);
		engine_close(&run->workers[i]);
	}
	if (run->tx_mr)
		nmt_mr_close(run->tx_mr);
	free(run->tx_buf);
	if (run->workers)
		pthread_mutex_destroy(&run->lock);
	free(run->workers);
}

void run_result(const struct run *run, struct wire_result *r)
{
	memset(r, 0, sizeof(*r));
	r->status = (uint32_t)-run->error;
	memcpy(r->text, run->text, sizeof(r->text));
	r->elapsed_ns = (uint64_t)(run->end.ns - run->begin.ns);
	r->progress = run->end.progress - run->begin.progress;
	r->user_ns = run->end.cpu.user_ns - run->begin.cpu.user_ns;
	r->sys_ns = run->end.cpu.sys_ns - run->begin.cpu.sys_ns;
	r->stats = run->nstats;
	memcpy(r->stat, run->stat, sizeof(r->stat));
	for (uint32_t i = 0; i < run->nworkers; i++)
		r->verified += run->workers[i].verified;
}
