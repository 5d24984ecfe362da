/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a client asks of a server: one set of parameters describes one measurement (one row).
 */
#ifndef PERF_PARAMS_H
#define PERF_PARAMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "names.h"

enum perf_test {
	TEST_BW = 1,
	TEST_LAT,
	TEST_RR,
	TEST_CONN,
	TEST_BIDIR,
};

/* Which calls of the library move the bytes. */
enum perf_call {
	CALL_COPY = 1, /* nmt_send, nmt_recv */
	CALL_BORROW,   /* nmt_send_mr, nmt_recv */
	CALL_FRAGS,    /* nmt_send_mr, nmt_recv_frags + nmt_release */
	CALL_INTO,     /* nmt_send_mr, nmt_recv_into in posted mode */
	CALL_RAW_WRITE, /* none: remote writes, without libnmt's streams */
};

/* How a thread waits. */
enum perf_wait {
	WAIT_ADAPTIVE = 1, /* the library's default: spin a little, then sleep */
	WAIT_POLL,	   /* never sleep */
	WAIT_SLEEP,	   /* never spin */
};

#define PARAM_VERIFY 1u	  /* random data, compared by the receiver */
#define PARAM_BLOCKING 2u /* lat: blocking calls */
#define PARAM_NAGLE 4u
#define PARAM_RECORDS 8u /* each message is a record */
#define PARAM_ALL_FLAGS 15u

#define PERF_MAX_THREADS 128
#define PERF_MAX_STREAMS 65536
#define PERF_MAX_DEPTH 4096
#define PERF_MAX_SIZE (UINT64_C(1) << 30)
#define PERF_MAX_TIME (INT64_C(86400) * 1000000000)
#define PERF_MAX_MEMORY (UINT64_C(4) << 30) /* buffers of one end */
#define PERF_SPEC_MAX 64

struct perf_params {
	uint32_t test, call, wait, flags;
	uint32_t mode, mem, rails; /* as in nmt_stream_attr and nmt_domain_attr, 0: the default */
	uint32_t streams, threads;
	uint32_t depth;		  /* operations in flight of a stream */
	uint64_t size;		  /* bytes of a message */
	uint64_t recv_size;	  /* largest receive */
	uint64_t iterations;	  /* messages of a stream; 0: duration_ns counts */
	uint64_t warm_iterations; /* of them more before the measurement */
	uint64_t duration_ns, warm_ns;
	uint64_t interval_ns; /* between the receiver's interim figures; 0: none */
	uint64_t stall_ns;    /* give up when nothing moves for so long */
	uint64_t seed, session;
	uint32_t sndbuf, rcvbuf, zerocopy_min, cell;
	uint64_t pool;
	uint64_t spin_ns; /* int64_t of nmt_domain_attr */
	char provider[PERF_SPEC_MAX];
};

extern const struct tk_name perf_tests[];
extern const struct tk_name perf_calls[];
extern const struct tk_name perf_waits[];

/* 0, or -EINVAL and the reason for people. For own options and for what a peer sent. */
int params_check(const struct perf_params *p, char *why, size_t len);

/* Streams of thread T: stream I is served by thread I modulo threads on both ends. */
uint32_t params_share(const struct perf_params *p, uint32_t t);

/* Posted receives kept by a stream, and borrowed sends that it may have. */
uint32_t params_posts(const struct perf_params *p);
uint32_t params_borrows(const struct perf_params *p);

/* Is the figure that people want a latency? */
bool params_is_latency(const struct perf_params *p);

#endif
