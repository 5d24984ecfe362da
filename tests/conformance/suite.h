/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the files of the conformance suite share: configurations, the world of one test (a context,
 * a client and a server domain, polled together under a hard time limit), ends of streams with the
 * events they saw, seeded data, random flows, and helpers that break connections from outside.
 */
#ifndef CONFORMANCE_SUITE_H
#define CONFORMANCE_SUITE_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <nmt/nmt.h>

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define MS INT64_C(1000000)
#define SEC INT64_C(1000000000)
#define KIB 1024u
#define MIB (1024u * 1024u)

/* Time limits are for plain builds; sanitizers make everything slower. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define TIME_SCALE 6u
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define TIME_SCALE 6u
#endif
#endif
#ifndef TIME_SCALE
#define TIME_SCALE 1u
#endif

/* ---- configurations and tests ---- */

#define OPAQUE_KIND NMT_MEM_CUSTOM

struct config {
	char name[64];
	char spec[32];   /* of the client's domain */
	char server[32]; /* of the server's */
	const char *set; /* NAME=VALUE of the environment, "\n" between them; NULL: none */
	uint32_t rails;
	bool brief;      /* without the tests of T_HOST */
	enum nmt_mode mode;
	bool records;
	enum nmt_recv_mode recv;
	uint32_t kind;
};

bool config_at(unsigned int n, struct config *out); /* false: there are no more */
bool config_find(const char *name, struct config *out);
unsigned int config_has(const struct config *c); /* T_* that hold */

/* What a test needs of the configuration; it is left out where one is missing. */
#define T_POOL 1u
#define T_POSTED 2u
#define T_RAW 4u
#define T_NEGOTIATED 8u
#define T_RECORDS 16u
#define T_STREAM 32u /* no records */
#define T_HOST 64u   /* plain host memory: the memory kind does not matter to the test */
#define T_CPU 128u   /* memory that the CPU can touch */
#define T_KERNEL 512u /* the bytes travel on sockets of the kernel */
#define T_REJOIN 2048u /* a control channel that was cut comes back */
#define T_BUFFER 1024u /* bytes are taken for the peer before it posts or is polled */
#define T_ALONE 8192u /* what is sent arrives though the sender does nothing more */
#define T_SIM 4096u /* paths can be lost on demand */
#define T_OPAQUE 256u /* memory that it cannot touch, or only by nmt_mr_read and _write */

struct env;

struct test {
	const char *name;
	void (*run)(struct env *env);
	unsigned int needs;
	unsigned int limit_ms; /* 0: the default */
};
#define TEST(fn, need) TEST_MS(fn, need, 0)
#define TEST_MS(fn, need, ms) { .name = #fn, .run = fn, .needs = need, .limit_ms = ms }
#define TESTS_END { .name = NULL }

/* One array a topic, ended by a NULL name; topics is ended by NULL. */
extern const struct test tests_bytes[], tests_close[], tests_cut[], tests_records[], tests_loans[],
	tests_share[], tests_borrow[], tests_posted[], tests_events[], tests_wait[], tests_args[],
	tests_argmem[], tests_connect[], tests_listen[], tests_blocking[], tests_pause[],
	tests_observe[], tests_memory[], tests_limits[], tests_threads[], tests_variants[],
	tests_lost[];
extern const struct test *const topics[];

/* What the command line fixed for the run. */
struct suite {
	struct config cfg;
	uint64_t seed;
	const char *fault;     /* NULL: none */
	const char *host;      /* network namespace of the server's devices; NULL: this one */
	unsigned int limit_ms; /* cap of each test's time limit; 0: none */
};

/* ---- the world of one test (env.c) ---- */

enum side { CLIENT, SERVER };
enum waiter { WAIT_POLL, WAIT_SELECT, WAIT_EPOLL, WAIT_EPOLL_EDGE };

struct env {
	const struct suite *suite;
	const struct config *cfg;
	const struct test *test;
	struct nmt_ctx *ctx;
	struct nmt_domain *dom[2];
	struct end *ends;
	struct lis *listeners;
	struct region *regions;
	uint64_t rng;
	int64_t deadline;
	enum waiter waiter;
	int epfd;
	int fds;         /* open descriptors before */
	uint64_t violations, regs, endpoints; /* of the simulated fabric before */
	bool one_side;   /* the server's domain is another thread's now */
	bool child;      /* a forked process: it ends when something fails */
};

void env_run(const struct suite *suite, const struct test *test);
/* The server's domain, on its host. */
int env_open_server(const struct suite *suite, struct nmt_ctx *ctx,
		    const struct nmt_domain_attr *attr, struct nmt_domain **dom);
/* Context and both domains; ATTR NULL: small cells, small pool, the configuration's memory kind. */
void env_open(struct env *env, const struct nmt_domain_attr *attr);
struct nmt_domain_attr env_domain_attr(const struct env *env);
struct nmt_ctx *env_context(struct env *env); /* a further context with kinds and faults set up */
/* Close what is left, and check that nothing leaked. */
void env_close(struct env *env);
_Noreturn void env_fail(struct env *env, const char *file, int line, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
#define failf(env, ...) env_fail(env, __FILE__, __LINE__, __VA_ARGS__)

int64_t now_ns(void);
/* Poll both domains once; with nothing to do sleep until an armed descriptor wakes. */
void env_turn(struct env *env, const char *what, const char *file, int line);
/* The same, but sleep at most 2 ms: for conditions that no event tells. */
void env_turn_short(struct env *env, const char *what, const char *file, int line);
/* Poll without sleeping, COUNT rounds. */
void env_spin(struct env *env, int count);
/* Poll both for NS, to show that something does not happen. */
void env_idle(struct env *env, int64_t ns);

#define wait_for(env, cond)                                                                        \
	do {                                                                                       \
		while (!(cond))                                                                    \
			env_turn(env, #cond, __FILE__, __LINE__);                                  \
	} while (0)
#define wait_short(env, cond)                                                                      \
	do {                                                                                       \
		while (!(cond))                                                                    \
			env_turn_short(env, #cond, __FILE__, __LINE__);                            \
	} while (0)

#define assert_ok(env, call)                                                                       \
	do {                                                                                       \
		long ret_ = (call);                                                                \
		if (ret_ != 0)                                                                     \
			failf(env, "%s gives %ld (%s), want 0", #call, ret_,                       \
			      nmt_strerror((int)ret_));                                            \
	} while (0)
#define assert_err(env, call, want)                                                                \
	do {                                                                                       \
		long ret_ = (call);                                                                \
		if (ret_ != (want))                                                                \
			failf(env, "%s gives %ld (%s), want %s", #call, ret_,                      \
			      nmt_strerror((int)ret_), #want);                                     \
	} while (0)
/* NULL or a wild pointer: -EINVAL or -EFAULT, as the design says. */
#define assert_bad(env, call)                                                                      \
	do {                                                                                       \
		long ret_ = (call);                                                                \
		if (ret_ != -EINVAL && ret_ != -EFAULT)                                            \
			failf(env, "%s gives %ld, want -EINVAL or -EFAULT", #call, ret_);          \
	} while (0)

/* ---- memory of a test (region.c, opaque.c) ---- */

struct region {
	struct region *next;
	struct nmt_mr *mr;
	void *own; /* application memory behind it, or NULL */
	size_t size;
};

/* A region of the configuration's kind: nmt_mr_alloc, or an import of such. */
int config_mr(struct nmt_ctx *ctx, const struct config *cfg, size_t size, uint32_t access,
	      struct nmt_mr **mr);
/* What receive pools are of there: imports cannot make one. */
uint32_t config_pool(const struct config *cfg);
/* The same for env's context; env_close closes it. */
struct nmt_mr *env_mr(struct env *env, size_t size, uint32_t access);
/* Close it now; the result of nmt_mr_close. */
int env_mr_close(struct env *env, struct nmt_mr *mr);
void mr_pattern(struct nmt_mr *mr, uint64_t offset, uint64_t seed, uint64_t pos, size_t len);
/* -1: as expected, else offset of the first wrong byte. */
ssize_t mr_check(const struct nmt_mr *mr, uint64_t offset, uint64_t seed, uint64_t pos, size_t len);
void mr_fill(struct nmt_mr *mr, uint64_t offset, int byte, size_t len);
/* True when all LEN bytes are BYTE. */
bool mr_is(const struct nmt_mr *mr, uint64_t offset, int byte, size_t len);

int opaque_add(struct nmt_ctx *ctx);
void *opaque_malloc(size_t size); /* an address that faults */
void opaque_free(void *addr);

/* ---- data (data.c) ---- */

uint64_t rng_next(uint64_t *state);
uint64_t rng_below(uint64_t *state, uint64_t n);
/* 1..MAX, small ones as often as large ones. */
size_t rng_size(uint64_t *state, size_t max);
void pattern_fill(uint64_t seed, uint64_t pos, void *buf, size_t len);
ssize_t pattern_check(uint64_t seed, uint64_t pos, const void *buf, size_t len);
void pattern_explain(uint64_t seed, uint64_t pos, const void *buf, size_t len, char *out,
		     size_t max);

/* ---- ends of streams (end.c) ---- */

struct end {
	struct end *next;
	struct env *env;
	enum side side;
	struct nmt_stream *s; /* NULL after end_close and end_abort */
	bool connected, closed;
	int error;            /* of NMT_EV_ERROR, 0: none */
	int closed_status;
	unsigned int readable, writable;
	struct nmt_event *done; /* SENT, RECEIVED, FLUSHED not taken yet, in order */
	unsigned int ndone, cap;
	struct nmt_mr *scratch;
	uint64_t cookie;        /* of end_get */
};

struct lis {
	struct lis *next;
	struct env *env;
	struct nmt_listener *l;
	unsigned int accepts; /* NMT_EV_ACCEPT seen */
	char addr[NMT_ADDR_MAX];
};

struct pair {
	struct end *c, *s;
};

struct pair_opt {
	struct nmt_stream_attr c, s;
	const char *via;            /* connect here instead of to the listener */
	enum side c_side, s_side;   /* domains */
};

struct end *end_new(struct env *env, enum side side);
void end_event(struct env *env, const struct nmt_event *ev);
bool end_take(struct end *e, uint32_t type, struct nmt_event *out);
unsigned int end_count(const struct end *e, uint32_t type);
void end_wait(struct end *e, uint32_t type, struct nmt_event *out);
void end_close(struct end *e);
void end_abort(struct end *e);
/* Wait for NMT_EV_CLOSED with this status. */
void end_closed(struct end *e, int status);

struct nmt_stream_attr env_attr(const struct env *env);
struct lis *lis_open(struct env *env, const char *addr, const struct nmt_stream_attr *attr);
void lis_close(struct lis *l);
struct end *lis_accept(struct lis *l, enum side side);
struct end *end_connect(struct env *env, enum side side, const char *addr,
			const struct nmt_stream_attr *attr);

void pair_defaults(struct env *env, struct pair_opt *opt);
void pair_open(struct env *env, struct pair *p);
void pair_open_opt(struct env *env, struct pair *p, const struct pair_opt *opt);
/* Close both ends in order and wait for NMT_EV_CLOSED with 0. */
void pair_close(struct pair *p);

/* What a receive found: bytes, NMT_EVF_*, and 0 or why it broke off. */
struct got {
	size_t len;
	uint32_t flags;
	int status;
};

/* Receive LEN bytes, or up to the end of a record or the stream, in either receive mode. */
struct got end_get(struct end *e, void *buf, size_t len);
/* Send all. */
void end_put(struct end *e, const void *buf, size_t len, int flags);
void end_put_pattern(struct end *e, uint64_t seed, uint64_t pos, size_t len);
/* Receive LEN bytes and compare; fails at the end of the stream. Goes on over ends of records. */
void end_expect(struct end *e, uint64_t seed, uint64_t pos, size_t len);
void end_expect_eof(struct end *e);
void end_expect_error(struct end *e, int error);
/* Send a pattern until -EAGAIN has shown NS long; returns bytes taken. */
uint64_t end_fill(struct end *e, uint64_t seed, uint64_t pos);
/* Both directions still carry LEN bytes. */
void pair_works(struct pair *p, size_t len);
uint64_t end_stat(const struct end *e, size_t field);
#define STAT(e, field) end_stat(e, offsetof(struct nmt_stats, field))
struct nmt_stream_info end_info(const struct end *e);

/* ---- random flows (flow.c, source.c, sink.c) ---- */

#define TX_SEND 1u
#define TX_SENDMSG 2u
#define TX_BORROW 4u
#define TX_ALL 7u
#define RX_RECV 1u
#define RX_RECVMSG 2u
#define RX_PEEK 4u
#define RX_FRAGS 8u
#define RX_INTO 16u
#define RX_ALL 31u

/* Where a side is in the sequence of records; every length follows from the seed. */
struct recs {
	uint64_t seed, index, left, pos, total;
	bool on, open;
};

struct loan {
	struct nmt_frag frag;
	uint64_t pos;
};

struct post {
	uint64_t cookie, offset;
	size_t len;
};

#define FLOW_LOANS 32
#define FLOW_POSTS 4
#define FLOW_SLOTS 16

struct flow {
	struct env *env;
	struct end *tx, *rx;
	uint64_t seed, total;
	unsigned int tx_how, rx_how;
	size_t tx_max, rx_max;
	bool done;

	struct recs out;
	struct nmt_mr *tx_mr;
	size_t slot_len[FLOW_SLOTS];
	uint64_t borrowed, returned;
	bool tx_blocked;

	struct recs in;
	struct nmt_mr *rx_mr;
	struct loan loan[FLOW_LOANS];
	unsigned int nloans;
	struct post post[FLOW_POSTS];
	unsigned int nposts;
};

void flow_init(struct env *env, struct flow *f, struct end *tx, struct end *rx, uint64_t total);
void flows_run(struct env *env, struct flow *f, unsigned int n);
/* One turn of them; false: all bytes have arrived. */
bool flows_turn(struct env *env, struct flow *f, unsigned int n);
bool source_step(struct flow *f); /* true: something was done */
bool sink_step(struct flow *f);
void sink_release(struct flow *f, unsigned int keep);
void recs_init(struct recs *r, uint64_t seed, uint64_t total, bool on);
bool recs_done(const struct recs *r);
/* How many of WANT bytes the record still takes; an empty record gives 0. */
size_t recs_clip(const struct recs *r, size_t want);
/* N bytes passed; EOR: the record ended with them. False: that is not where it ends. */
bool recs_advance(struct recs *r, size_t n, bool eor);

/* ---- a second thread (worker.c) ---- */

struct worker {
	struct env *env;
	void (*fn)(struct worker *w);
	void *arg;
	char err[200];  /* set by worker_fail: the test fails with it at worker_join */
	int done;       /* atomic */
	unsigned long thread;
};

void worker_start(struct env *env, struct worker *w, void (*fn)(struct worker *w), void *arg);
bool worker_done(const struct worker *w);
/* Wait for its end within the test's limit, without polling any domain. */
void worker_join(struct worker *w);
void worker_fail(struct worker *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
#define worker_check(w, cond)                                                                      \
	do {                                                                                       \
		if (!(cond)) {                                                                     \
			worker_fail(w, "%s:%d: %s", __FILE__, __LINE__, #cond);                    \
			return;                                                                    \
		}                                                                                  \
	} while (0)

/* ---- breaking things from outside (proxy.c, socks.c) ---- */

/* A TCP relay between client and server on a thread of its own. */
struct proxy;
struct proxy *proxy_open(struct env *env, const char *target, char addr[NMT_ADDR_MAX]);
/* Cut every connection once AT bytes in all went from client to server; 0: now. */
void proxy_cut(struct proxy *p, uint64_t at);
void proxy_close(struct proxy *p);

/* Descriptors open in this process. */
int socks_open_fds(void);
/* Connected TCP sockets of this process; LOCAL and PEER ports. Returns how many. */
struct sock {
	int fd;
	uint16_t local, peer;
};
int socks_list(struct sock *out, int max);
uint16_t socks_port(const char *addr);
/* shutdown(2) both ways of one connected socket; data: not through the listener's port. */
bool socks_cut(uint16_t listener_port, bool data);
/* The same of connected socket number N modulo their number, whichever it is. */
bool socks_cut_any(unsigned int n);
/* A thread that does so now and then; the next test stops it, if it runs still. */
void socks_cutter_start(uint64_t seed);
int socks_cutter_cuts(void); /* so far */
void socks_cutter_stop(void);

/* ---- faults (faults.c) ---- */

struct fault {
	const char *name;
	const char *config, *test; /* the test that must fail */
};
const struct fault *fault_at(unsigned int n);
const struct fault *fault_find(const char *name);
/* Put the fault between the core and the providers of a context. */
int faults_add(struct nmt_ctx *ctx, const struct fault *fault);
/*
 * Run every fault in a process of its own; 0: each was found. ONLY: the one of this name; LAYER:
 * those under the "provider" ops, or under the "rma" ops. NULL: all.
 */
int faults_check(const char *self, const char *only, const char *layer);

#endif
