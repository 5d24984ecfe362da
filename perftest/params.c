/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Names and limits of the parameters.
 */
#include "params.h"

#include <errno.h>
#include <nmt/nmt.h>
#include <stdio.h>
#include <string.h>

const struct tk_name perf_tests[] = {
	{ TEST_BW, "bw", "one way streaming" },
	{ TEST_LAT, "lat", "ping-pong, half a round trip is reported" },
	{ TEST_RR, "rr", "requests and responses on many streams" },
	{ TEST_CONN, "conn", "connections a second" },
	{ TEST_BIDIR, "bidir", "streaming both ways at once" },
	{ 0, NULL, NULL },
};

const struct tk_name perf_calls[] = {
	{ CALL_COPY, "copy", "nmt_send and nmt_recv" },
	{ CALL_BORROW, "borrow", "nmt_send_mr and nmt_recv" },
	{ CALL_FRAGS, "frags", "nmt_send_mr and nmt_recv_frags" },
	{ CALL_INTO, "into", "nmt_send_mr and nmt_recv_into" },
	{ CALL_RAW_WRITE, "raw-write", "RDMA writes without libnmt" },
	{ 0, NULL, NULL },
};

const struct tk_name perf_waits[] = {
	{ WAIT_ADAPTIVE, "adaptive", "spin a little, then sleep" },
	{ WAIT_POLL, "poll", "never sleep" },
	{ WAIT_SLEEP, "sleep", "never spin" },
	{ 0, NULL, NULL },
};

static const struct limit {
	size_t at;
	uint32_t width;
	uint64_t min, max;
	const char *name;
} limits[] = {
#define LIMIT(f, min, max, name)                                                                 \
	{                                                                                        \
		offsetof(struct perf_params, f), sizeof(((struct perf_params *)0)->f), min, max, \
			name                                                                     \
	}
	LIMIT(test, TEST_BW, TEST_BIDIR, "test"),
	LIMIT(call, CALL_COPY, CALL_RAW_WRITE, "--call"),
	LIMIT(wait, WAIT_ADAPTIVE, WAIT_SLEEP, "waiting"),
	LIMIT(flags, 0, PARAM_ALL_FLAGS, "flags"),
	LIMIT(mode, NMT_MODE_DEFAULT, NMT_MODE_NEGOTIATED, "--mode"),
	LIMIT(mem, 0, NMT_MEM_CUSTOM + 63, "--mem"),
	LIMIT(rails, 0, 64, "--rails"),
	LIMIT(streams, 1, PERF_MAX_STREAMS, "--streams"),
	LIMIT(threads, 1, PERF_MAX_THREADS, "--threads"),
	LIMIT(depth, 1, PERF_MAX_DEPTH, "--tx-depth"),
	LIMIT(size, 1, PERF_MAX_SIZE, "--size"),
	LIMIT(recv_size, 1, PERF_MAX_SIZE, "--recv-size"),
	LIMIT(iterations, 0, UINT64_C(1) << 40, "--iters"),
	LIMIT(warm_iterations, 0, UINT64_C(1) << 40, "warm-up"),
	LIMIT(duration_ns, 0, PERF_MAX_TIME, "--duration"),
	LIMIT(warm_ns, 0, PERF_MAX_TIME, "--warmup"),
	LIMIT(interval_ns, 0, PERF_MAX_TIME, "--interval"),
	LIMIT(stall_ns, 100000000, PERF_MAX_TIME, "--stall"),
	LIMIT(sndbuf, 0, 1u << 30, "--sndbuf"),
	LIMIT(rcvbuf, 0, 1u << 30, "--rcvbuf"),
	LIMIT(cell, 0, 16u << 20, "--cell"),
	LIMIT(pool, 0, PERF_MAX_MEMORY, "--pool"),
#undef LIMIT
};

static int fail(char *why, size_t len, const char *text)
{
	snprintf(why, len, "%s", text);
	return -EINVAL;
}

static int check_limits(const struct perf_params *p, char *why, size_t len)
{
	for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
		const struct limit *l = &limits[i];
		const char *at = (const char *)p + l->at;
		uint64_t v = l->width == 8 ? *(const uint64_t *)at : *(const uint32_t *)at;

		if (v < l->min || v > l->max) {
			snprintf(why, len, "%s: %llu is not in %llu..%llu", l->name,
				 (unsigned long long)v, (unsigned long long)l->min,
				 (unsigned long long)l->max);
			return -EINVAL;
		}
	}
	return 0;
}

/* More posted memory than the cache holds only makes it cold. */
#define POSTED_BYTES (UINT32_C(256) << 10)

uint32_t params_posts(const struct perf_params *p)
{
	uint64_t fit = p->recv_size ? POSTED_BYTES / p->recv_size : 64;

	fit = fit < p->depth ? fit : p->depth;
	return fit < 2 ? 2 : fit < 64 ? (uint32_t)fit : 64;
}

uint32_t params_borrows(const struct perf_params *p)
{
	/* Memory comes back later than the answer to what was in it. */
	return p->depth < 16 ? 16 : p->depth;
}

static bool too_much_memory(const struct perf_params *p)
{
	uint64_t rings = (uint64_t)p->streams * p->depth * sizeof(int64_t);
	uint64_t receive = (uint64_t)p->threads * p->recv_size;

	if (p->call == CALL_INTO)
		receive = (uint64_t)p->streams * params_posts(p) * p->recv_size;
	return rings + receive + p->size > PERF_MAX_MEMORY;
}

static int check_raw(const struct perf_params *p, char *why, size_t len)
{
	if (p->test != TEST_BW && p->test != TEST_LAT && p->test != TEST_BIDIR)
		return fail(why, len, "raw-write has the tests bw, lat and bidir");
	if (p->streams != 1 || p->threads != 1 || p->rails > 1)
		return fail(why, len, "raw-write has one stream, one thread and one rail");
	if (p->flags & ~PARAM_NAGLE)
		return fail(why, len, "raw-write has no --verify, --blocking or --records");
	if (p->mem && p->mem != NMT_MEM_HOST)
		return fail(why, len, "raw-write has only --mem host");
	return 0;
}

int params_check(const struct perf_params *p, char *why, size_t len)
{
	int err = check_limits(p, why, len);

	if (err < 0)
		return err;
	if (!p->iterations == !p->duration_ns)
		return fail(why, len, "give a number of iterations or a duration, not both");
	if (p->threads > p->streams)
		return fail(why, len, "--threads: more threads than streams");
	if (p->test == TEST_LAT && p->streams != p->threads)
		return fail(why, len, "lat has one stream a thread; use rr for more streams");
	if ((p->flags & PARAM_BLOCKING) && p->test != TEST_LAT)
		return fail(why, len, "--blocking is for lat");
	if ((p->flags & PARAM_BLOCKING) && p->call != CALL_COPY)
		return fail(why, len, "--blocking goes with --call copy");
	if ((p->flags & PARAM_RECORDS) && p->mode != NMT_MODE_NEGOTIATED)
		return fail(why, len, "--records needs --mode negotiated");
	if (!p->provider[0] || !memchr(p->provider, '\0', sizeof(p->provider)))
		return fail(why, len, "--provider: empty or too long");
	if (p->call == CALL_RAW_WRITE && check_raw(p, why, len) < 0)
		return -EINVAL;
	if (too_much_memory(p))
		return fail(why, len, "streams, depth and sizes need too much memory together");
	return 0;
}

uint32_t params_share(const struct perf_params *p, uint32_t t)
{
	return p->streams / p->threads + (t < p->streams % p->threads);
}

bool params_is_latency(const struct perf_params *p)
{
	return p->test == TEST_LAT || p->test == TEST_RR || p->test == TEST_CONN;
}
