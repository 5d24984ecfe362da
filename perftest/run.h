/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One measurement at one end: its threads, the phases they go through, and the two marks between
 * which everything is counted.
 *
 * The main thread opens a domain for each worker, starts the threads, and steers them with the
 * phase and nmt_wake(). Workers tell it by counters and by waking the main thread's domain.
 * Between its start and its end a worker's fields are its own, but "progress", which all may read.
 */
#ifndef PERF_RUN_H
#define PERF_RUN_H

#include <nmt/nmt.h>
#include <pthread.h>
#include <stdatomic.h>

#include "cpu.h"
#include "hist.h"
#include "params.h"
#include "path.h"
#include "wire.h"

enum phase {
	PHASE_SETUP,   /* connecting */
	PHASE_WARM,    /* bytes flow, nothing counts yet */
	PHASE_MEASURE, /* between the marks */
	PHASE_STOP,    /* finish the message, end the streams */
	PHASE_ABORT,   /* drop everything */
};

struct mark {
	int64_t ns;
	uint64_t progress;
	struct cpu_time cpu;
};

/* A data stream. */
struct flow {
	/* One cache line for what every message touches. */
	_Alignas(64) struct nmt_stream *stream;
	uint64_t todo;	  /* messages not yet allowed */
	uint64_t tx_left; /* messages that may be sent now */
	uint64_t tx_pos;  /* bytes of the current message that are sent */
	uint64_t tx_off;  /* position in the pattern */
	uint64_t rx_pos;  /* bytes of the current message that are received */
	uint32_t slot;	  /* of the flow in its worker */
	uint32_t sent, answered; /* positions in its part of worker.sent_at */
	bool ready : 1, blocked : 1, eof : 1, shut : 1, done : 1, open : 1;

	struct flow *next_ready;
	uint64_t rx_off;
	uint32_t index;	   /* of the stream in the session */
	uint32_t borrowed; /* sends whose memory is not back yet */
	uint32_t hello_pos; /* bytes of the hello; server */
	uint8_t hello[WIRE_HELLO_LEN];
};

struct run;

struct worker {
	_Alignas(64) _Atomic uint64_t progress; /* as in struct wire_result */
	uint64_t count;				/* the same, unpublished */
	uint64_t next_mark;			/* at this count a mark is due */

	_Alignas(64) struct run *run;
	struct nmt_domain *dom;
	struct nmt_listener *listener; /* server */
	struct flow *flows;
	uint32_t nflows, live;
	struct flow *ready_head, **ready_tail; /* flows that may send on without an event */
	uint32_t nready;
	uint8_t *rx_buf;      /* receives by copy */
	struct nmt_mr *rx_mr; /* posted receives */
	uint64_t rx_cap;      /* most bytes of a receive */
	int64_t now;	      /* when the last nmt_poll returned; latency tests */
	struct hist *hist;
	int64_t *sent_at;     /* params.depth send times a flow, client of rr and lat */
	struct raw *raw;      /* raw-write */
	uint64_t verified;
	uint32_t index;
	uint16_t port;
	int error;
	char text[WIRE_TEXT_MAX];
	pthread_t thread;
	bool started;
};

struct test_ops;

struct run {
	struct perf_params p;
	const struct test_ops *test;
	bool server;
	struct nmt_ctx *ctx;
	struct nmt_domain *main_dom; /* woken when a worker has news */
	struct nmt_stream_attr attr; /* of data streams */
	char peer[NMT_ADDR_MAX];     /* client: "host:port" of the control stream */
	char listen_host[NMT_ADDR_MAX];
	struct path path;            /* client: of its first stream, once that is open */
	uint16_t *ports;      /* client: where thread T connects */
	uint8_t *tx_buf;      /* what messages are made of: a period of the pattern, and one */
	struct nmt_mr *tx_mr; /* the same as a region, when sends borrow */
	struct worker *workers;
	uint32_t nworkers;

	_Atomic int phase;
	_Atomic uint32_t ready, finished, failed;
	_Atomic uint32_t ends_left; /* workers that have not reached their last mark */
	atomic_flag begun, ended;
	struct mark begin, end;
	uint64_t stat[WIRE_MAX_STATS];
	uint32_t nstats;
	pthread_mutex_t lock; /* stat, path, the first failure */
	char text[WIRE_TEXT_MAX];
	int error;
};

/* What a test does in a worker. All return 0 or a negative errno, with the reason told by
 * worker_fail(). */
struct test_ops {
	int (*listen)(struct worker *w, uint16_t port); /* server, main thread: finds w->port */
	int (*setup)(struct worker *w); /* before the start; NULL: nothing */
	int (*client)(struct worker *w);
	int (*server)(struct worker *w);
	void (*close)(struct worker *w); /* main thread; NULL: nothing */
};
extern const struct test_ops test_bw, test_lat, test_rr, test_conn, test_bidir;
extern const struct test_ops raw_bw, raw_lat, raw_bidir;

/* ---- main thread ---- */

/* Prepare a run: context's domains, buffers. 0 or a negative errno, the reason in run->text. */
int run_open(struct run *run, const struct perf_params *p, bool server);

/* Start the threads. */
int run_start(struct run *run);

/* Enter a phase (never backwards) and wake everybody. */
void run_phase(struct run *run, enum phase phase);

/* Take a mark now, once; the first also starts PHASE_MEASURE. Any thread. */
void run_begin(struct run *run);
void run_end(struct run *run);

uint64_t run_progress(const struct run *run);

/* Wait for the threads, then free everything. run->error says how it went. */
void run_join(struct run *run);
void run_close(struct run *run);

/* Results of this end; after run_join. */
void run_result(const struct run *run, struct wire_result *r);

/* ---- workers ---- */

/* When message K of what flow F has in flight was sent. */
static inline int64_t *worker_sent_at(const struct worker *w, const struct flow *f, uint32_t k)
{
	return &w->sent_at[(size_t)f->slot * w->run->p.depth + k];
}

static inline int run_phase_now(const struct run *run)
{
	return atomic_load_explicit(&run->phase, memory_order_relaxed);
}

void worker_mark(struct worker *w);

/* Count progress; two compares and a store. */
static inline void worker_count(struct worker *w, uint64_t n)
{
	w->count += n;
	atomic_store_explicit(&w->progress, w->count, memory_order_relaxed);
	if (__builtin_expect(w->count >= w->next_mark, 0))
		worker_mark(w);
}

/* Remember the first failure with its reason; returns ERR. */
int worker_fail(struct worker *w, int err, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* Note the path of an open stream for the report; as it is at the END, before it is shut down. */
void worker_note_path(struct worker *w, const struct nmt_stream *s, bool end);

/* Connect or accept the worker's flows; setup_client.c, setup_server.c. */
int setup_client(struct worker *w);
int setup_server(struct worker *w);
int setup_flows(struct worker *w); /* the one of both that fits */

/* Server: open the worker's listener and learn its port; main thread, before run_start. */
int setup_listen(struct worker *w, uint16_t port);

/* ADDR, which may be of any form, with another port; or with PORT only if it has none. */
void setup_addr(char *out, size_t len, const char *addr, uint16_t port);
void setup_addr_default(char *out, size_t len, const char *addr, uint16_t port);

#endif
