/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The victim's side of the hostile-peer tests: a context with a listening and a connecting domain,
 * a well-behaved pair of streams between them that must not notice anything, and the counts that
 * must come back to where they were.
 *
 * All of it runs on one thread; time passes in rig_turn(), which every wait here calls.
 */
#ifndef HOSTILE_RIG_H
#define HOSTILE_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <nmt/nmt.h>
#include <stdbool.h>

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define MS INT64_C(1000000)
#define MIB (1u << 20)

/* Longest time that a victim may take to see an attack that needs no time-out to be seen. */
#define REACT_MS 3000

#define NO_RESULT 1

/* One libnmt end of a stream and what the application saw of it. */
struct side {
	struct nmt_stream *stream;
	bool connected;
	bool closed;      /* NMT_EV_CLOSED came */
	bool reading;     /* take bytes as they come */
	unsigned int sent_events, sent_failed;         /* NMT_EV_SENT; of them, with an error */
	unsigned int received_events, received_failed; /* NMT_EV_RECEIVED */
	int error;        /* status of NMT_EV_ERROR; 0: none */
	int recv_result;  /* NO_RESULT, 0: end of stream, or the error of a receive */
	int close_status; /* of NMT_EV_CLOSED */
	uint64_t sent, received;
	bool corrupt;     /* a received byte was not the one of its position */
	uint8_t seed;     /* of what the peer sends */
};

struct pair {
	struct side client, server;
};

struct rig {
	struct nmt_ctx *ctx;
	struct nmt_domain *server, *client; /* of the listener; of nmt_connect */
	struct nmt_listener *listener;
	struct nmt_mr *mr;                  /* a region that no attack may touch */
	char addr[NMT_ADDR_MAX];            /* of the listener */
	struct side *accept_into;           /* who gets the next accepted stream */
	struct nmt_domain *accept_domain;   /* and where; NULL: the listener's */
	bool no_accept;                     /* the application is busy elsewhere */
	bool drop_accepted;                 /* abort what nobody waits for */
	unsigned int surprises;             /* streams accepted that nobody waited for */
	struct pair good;                   /* moves bytes during attacks */
	uint32_t flags;                     /* of every stream: NMT_STREAM_RECORDS or 0 */
	uint32_t recv_mode;                 /* of the streams that are attacked */
	uint16_t rails;                     /* of all streams; 0: one */
};

struct rig_options {
	const char *spec;          /* of the domains */
	uint32_t flags;            /* NMT_STREAM_RECORDS or 0 */
	uint32_t listener_mode;    /* 0: negotiated */
	uint32_t max_pending;      /* 0: the default */
	uint32_t backlog;          /* 0: the default */
	int64_t handshake_timeout; /* ns; 0: 60 s, longer than any test */
	uint16_t rails;            /* 0: one */
	int (*add)(struct nmt_ctx *ctx); /* providers of the tests; NULL: none */
};

/* Spec of the domains in this run: "tcp", or the first argument of the program. */
extern const char *rig_spec;

/* A test of one case of a table; the case is its state. */
struct CMUnitTest rig_test(const char *name, CMUnitTestFunction fn, const void *state);
/* Run them. Arguments of the program: [SPEC [PATTERN]], a pattern for names of tests to run. */
int rig_run_tests(int argc, char **argv, const struct CMUnitTest *tests, size_t n);

/* Fails the test on any error. OPT may be NULL. */
void rig_open(struct rig *r, const struct rig_options *opt);
/* Also checks that nothing is left that would keep the context busy. */
void rig_close(struct rig *r);

int64_t rig_now(void); /* ns */

/* Accept what waits. */
void rig_accept(struct rig *r);
/* Let both domains run for a moment. */
void rig_turn(struct rig *r);
void rig_run(struct rig *r, int ms);
/* Run until *DONE, at most MS milliseconds; whether it came. */
bool rig_until(struct rig *r, const bool *done, int ms);

/* Attributes of a stream that connects in this rig. */
struct nmt_stream_attr rig_attr(const struct rig *r, struct side *side);

void side_init(struct side *s);
/* Byte at a position of the stream with this seed. */
uint8_t side_byte(uint8_t seed, uint64_t pos);
/* Close if open and wait for the last event. */
void side_close(struct rig *r, struct side *s);
/*
 * Wait for NMT_EV_ERROR; gives its status, 0 if none came in time. A receive that failed must have
 * failed with the same.
 */
int side_await_error(struct rig *r, struct side *s, int ms);

/* A pair through the listener, open on both sides. */
void pair_open(struct rig *r, struct pair *p);
/* Send LEN bytes client to server and LEN / 16 back, verified. */
void pair_move(struct rig *r, struct pair *p, uint64_t len);
/* Orderly close of both, which must succeed. */
void pair_close(struct rig *r, struct pair *p);

/* What must be the same after an attack as before it. */
struct counts {
	int fds;
	uint64_t streams, held, reserved, memory;
};

struct counts rig_counts(const struct rig *r);
/* Wait until the counts are BEFORE again; fail if they do not get there. */
void rig_settle(struct rig *r, const struct counts *before);
uint64_t rig_declined(const struct rig *r);
/* Wait until the listening domain declined COUNT peers; fail if not, or if more. */
void rig_expect_declined(struct rig *r, uint64_t count, int ms);

/* What a good peer must be able to do right after an attack: connect, 1 MiB, close. */
void rig_prove(struct rig *r);

#endif
