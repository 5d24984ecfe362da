/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fuzz target of what nmt_perf's two ends say to each other: the hello of each stream, the messages
 * of the control stream, the parameters. What is accepted must encode to the same bytes, and must
 * be within the limits that the rest of the program relies on.
 */
#include "../../perftest/params.c"
#include "../../perftest/wire.c"

#include <stdlib.h>

#define must(cond) ((cond) ? (void)0 : abort())

union body {
	struct perf_params params;
	struct wire_ready ready;
	struct wire_interval interval;
	struct wire_result result;
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void hello(const uint8_t *data, size_t size)
{
	uint8_t buf[WIRE_HELLO_LEN];
	struct wire_hello h;

	if (size < WIRE_HELLO_LEN || wire_get_hello(data, &h))
		return;
	wire_put_hello(buf, &h);
	must(!memcmp(buf, data, 28)); /* what is behind the fields means nothing */
}

/* Accepted parameters are shared out completely, and their buffers fit. */
static void params(const struct perf_params *p)
{
	char why[128] = "";
	uint64_t streams = 0;

	if (params_check(p, why, sizeof(why))) {
		must(why[0] && strlen(why) < sizeof(why));
		return;
	}
	must(p->threads >= 1 && p->threads <= PERF_MAX_THREADS);
	for (uint32_t t = 0; t < p->threads; t++) {
		must(params_share(p, t) >= 1);
		streams += params_share(p, t);
	}
	must(streams == p->streams && streams <= PERF_MAX_STREAMS);
	must(params_posts(p) >= 1 && params_posts(p) <= 64);
	must(params_borrows(p) >= p->depth);
	must((uint64_t)p->streams * p->depth * sizeof(int64_t) <= PERF_MAX_MEMORY);
	must((uint64_t)p->threads * p->recv_size <= PERF_MAX_MEMORY);
}

static void limits_kept(uint32_t type, const union body *b)
{
	if (type == MSG_PARAMS) {
		must(strnlen(b->params.provider, PERF_SPEC_MAX) < PERF_SPEC_MAX);
		params(&b->params);
	} else if (type == MSG_READY) {
		must(b->ready.ports <= PERF_MAX_THREADS);
		must(strnlen(b->ready.text, WIRE_TEXT_MAX) < WIRE_TEXT_MAX);
	} else if (type == MSG_RESULT) {
		must(b->result.stats <= WIRE_MAX_STATS);
		must(strnlen(b->result.text, WIRE_TEXT_MAX) < WIRE_TEXT_MAX);
	}
}

static void one_body(uint32_t type, const uint8_t *data, size_t len)
{
	uint8_t buf[WIRE_BODY_MAX];
	union body b;

	must(len <= WIRE_BODY_MAX);
	if (wire_get_body(type, data, &b))
		return;
	limits_kept(type, &b);
	wire_put_body(type, buf, &b);
	must(!memcmp(buf, data, len));
}

/* As the control stream brings them. Returns the bytes of the message; 0: none is there. */
static size_t message(const uint8_t *data, size_t size)
{
	uint8_t head[WIRE_HEAD_LEN];
	int type, len;

	if (size < WIRE_HEAD_LEN)
		return 0;
	type = wire_get_head(data);
	if (type < 0)
		return 0;
	len = wire_body_len((uint32_t)type);
	must(len >= 0);
	wire_put_head(head, (uint32_t)type);
	must(!memcmp(head, data, WIRE_HEAD_LEN));
	if (size - WIRE_HEAD_LEN < (size_t)len)
		return 0;
	one_body((uint32_t)type, data + WIRE_HEAD_LEN, (size_t)len);
	return WIRE_HEAD_LEN + (size_t)len;
}

/* The input as a body of every type, made long enough with zeros. */
static void bare_bodies(const uint8_t *data, size_t size)
{
	uint8_t body[WIRE_BODY_MAX] = { 0 };

	memcpy(body, data, size < sizeof(body) ? size : sizeof(body));
	for (uint32_t type = MSG_PARAMS; type <= MSG_LAST; type++)
		one_body(type, body, (size_t)wire_body_len(type));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t n;

	hello(data, size);
	bare_bodies(data, size);
	for (; (n = message(data, size)); size -= n)
		data += n;
	return 0;
}
