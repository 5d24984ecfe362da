/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Every byte that nmt_perf itself puts on a stream: fixed-width big-endian fields. Pure: no I/O.
 *
 * Each stream begins with a hello of the client. On the control stream messages follow, both ways:
 * type and length of the body as 32-bit numbers, then the body. A type has one length.
 */
#ifndef PERF_WIRE_H
#define PERF_WIRE_H

#include <stddef.h>
#include <stdint.h>

#include "params.h"

#define WIRE_VERSION 1

enum wire_hello_kind {
	HELLO_CONTROL = 1,
	HELLO_DATA = 2,
};

struct wire_hello {
	uint32_t kind;
	uint32_t index;	  /* of the data stream */
	uint64_t session; /* as in the parameters; 0 on the control stream */
};
#define WIRE_HELLO_LEN 32

void wire_put_hello(uint8_t buf[WIRE_HELLO_LEN], const struct wire_hello *h);

/* -EPROTO: not of nmt_perf; -EPROTONOSUPPORT: another version. */
int wire_get_hello(const uint8_t buf[WIRE_HELLO_LEN], struct wire_hello *h);

enum wire_type {
	MSG_PARAMS = 1, /* client: measure this */
	MSG_READY,	/* server: connect the data streams to these ports, or a refusal */
	MSG_STARTED,	/* server: all data streams are here; no body */
	MSG_MARK,	/* client: the warm-up is over; no body */
	MSG_STOP,	/* client: the measured time is over; no body */
	MSG_INTERVAL,	/* server: interim figures of the receiver */
	MSG_RESULT,	/* server: final figures */
	MSG_BUSY,	/* server: serves another client, closes; no body */
	MSG_LAST = MSG_BUSY,
};

#define WIRE_TEXT_MAX 160
#define WIRE_MAX_STATS 32

struct wire_ready {
	uint32_t status; /* 0, or a positive errno and why in text */
	uint32_t ports;	 /* one a thread */
	uint16_t port[PERF_MAX_THREADS];
	char text[WIRE_TEXT_MAX];
};

struct wire_interval {
	uint64_t from_ns, to_ns; /* since the begin of the measurement */
	uint64_t bytes;
};

/* What one end found out. */
struct wire_result {
	uint32_t status;     /* 0, or a positive errno and why in text */
	uint32_t stats;	     /* how many counters follow */
	uint64_t elapsed_ns; /* of the measurement */
	uint64_t progress;   /* bytes received in it; sender of bw: sent; conn: connections */
	uint64_t peak;	     /* the same a second in the best tenth of a second; 0: too short */
	uint64_t user_ns, sys_ns;      /* CPU time in the measurement, of the process */
	uint64_t verified;	       /* bytes that were compared, from the first on */
	uint64_t stat[WIRE_MAX_STATS]; /* in the order of perf_stat_fields */
	char text[WIRE_TEXT_MAX];
};

#define WIRE_HEAD_LEN 8
#define WIRE_BODY_MAX 1024

/* Length of a body of TYPE; -EPROTO: no such type. */
int wire_body_len(uint32_t type);

void wire_put_head(uint8_t buf[WIRE_HEAD_LEN], uint32_t type);

/* Type of the message that begins here; -EPROTO: unknown type, or not its length. */
int wire_get_head(const uint8_t buf[WIRE_HEAD_LEN]);

/* Body of TYPE between its struct and its bytes; the struct is perf_params for MSG_PARAMS. */
void wire_put_body(uint32_t type, uint8_t *buf, const void *body);

/* -EPROTO: a text without end or a count out of its limits. Parameters still need params_check. */
int wire_get_body(uint32_t type, const uint8_t *buf, void *body);

#endif
