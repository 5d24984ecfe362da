/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The codec of the control stream: every byte where it is documented to be, round trips, refusals;
 * and the limits of parameters, which a peer may have made up.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <nmt/nmt.h>

#include "wire.h"

static struct perf_params good(void)
{
	return (struct perf_params){
		.test = TEST_BW,
		.call = CALL_COPY,
		.wait = WAIT_ADAPTIVE,
		.streams = 4,
		.threads = 2,
		.depth = 8,
		.size = 4096,
		.recv_size = 131072,
		.duration_ns = 1000000000,
		.stall_ns = 30000000000,
		.provider = "tcp",
	};
}

static void test_hello_bytes(void **state)
{
	static const uint8_t want[WIRE_HELLO_LEN] = {
		'N', 'M', 'T', 'P', 'E',  'R',	'F',  0,    0,	  0,	0,    1,    0, 0, 0, 2,
		0,   0,	  1,   2,   0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0, 0, 0, 0,
	};
	struct wire_hello h = { HELLO_DATA, 0x102, UINT64_C(0x1122334455667788) }, back;
	uint8_t buf[WIRE_HELLO_LEN];

	(void)state;
	wire_put_hello(buf, &h);
	assert_memory_equal(buf, want, sizeof(want));
	assert_int_equal(wire_get_hello(buf, &back), 0);
	assert_memory_equal(&h, &back, sizeof(h));
	buf[11] = 2;
	assert_int_equal(wire_get_hello(buf, &back), -EPROTONOSUPPORT);
	buf[0] = 'G';
	assert_int_equal(wire_get_hello(buf, &back), -EPROTO);
}

static void test_heads(void **state)
{
	uint8_t buf[WIRE_HEAD_LEN];

	(void)state;
	for (uint32_t type = MSG_PARAMS; type <= MSG_LAST; type++) {
		assert_in_range(wire_body_len(type), 0, WIRE_BODY_MAX);
		wire_put_head(buf, type);
		assert_int_equal(wire_get_head(buf), type);
		buf[7] ^= 1; /* another length */
		assert_int_equal(wire_get_head(buf), -EPROTO);
		buf[7] ^= 1;
		buf[4] = 0x80;
		assert_int_equal(wire_get_head(buf), -EPROTO);
	}
	assert_int_equal(wire_body_len(0), -EPROTO);
	assert_int_equal(wire_body_len(MSG_LAST + 1), -EPROTO);
	memset(buf, 0xff, sizeof(buf));
	assert_int_equal(wire_get_head(buf), -EPROTO);
}

/* Numbers that no two fields share, without touching the padding. */
static void fill(uint32_t type, void *body, size_t len)
{
	uint8_t bytes[WIRE_BODY_MAX];

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 7 + i / 251 + 1);
	memset(body, 0, len);
	/* Texts end, counts are in their limits. */
	if (type == MSG_PARAMS)
		bytes[wire_body_len(type) - 1] = 0;
	if (type == MSG_READY) {
		memset(bytes + 4, 0, 4);
		bytes[wire_body_len(type) - 1] = 0;
	}
	if (type == MSG_RESULT) {
		memset(bytes + 4, 0, 4);
		bytes[wire_body_len(type) - 1] = 0;
	}
	assert_int_equal(wire_get_body(type, bytes, body), 0);
}

static void test_round_trips(void **state)
{
	union {
		struct perf_params params;
		struct wire_ready ready;
		struct wire_interval interval;
		struct wire_result result;
	} first, second;
	uint8_t buf[WIRE_BODY_MAX], again[WIRE_BODY_MAX];

	(void)state;
	for (uint32_t type = MSG_PARAMS; type <= MSG_LAST; type++) {
		fill(type, &first, sizeof(first));
		wire_put_body(type, buf, &first);
		memset(&second, 0, sizeof(second));
		assert_int_equal(wire_get_body(type, buf, &second), 0);
		assert_memory_equal(&first, &second, sizeof(first));
		wire_put_body(type, again, &second);
		assert_memory_equal(buf, again, (size_t)wire_body_len(type));
	}
}

static void test_big_endian(void **state)
{
	struct wire_interval i = { 1, 2, UINT64_C(0x0102030405060708) };
	uint8_t buf[WIRE_BODY_MAX];

	(void)state;
	wire_put_body(MSG_INTERVAL, buf, &i);
	assert_int_equal(wire_body_len(MSG_INTERVAL), 24);
	assert_memory_equal(buf, "\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0\2\1\2\3\4\5\6\7\10", 24);
}

static void test_bad_bodies(void **state)
{
	struct wire_ready ready = { .ports = PERF_MAX_THREADS + 1 };
	struct wire_result result = { .stats = WIRE_MAX_STATS + 1 };
	struct perf_params p = good();
	uint8_t buf[WIRE_BODY_MAX];

	(void)state;
	wire_put_body(MSG_READY, buf, &ready);
	assert_int_equal(wire_get_body(MSG_READY, buf, &ready), -EPROTO);
	wire_put_body(MSG_RESULT, buf, &result);
	assert_int_equal(wire_get_body(MSG_RESULT, buf, &result), -EPROTO);
	memset(p.provider, 'x', sizeof(p.provider));
	wire_put_body(MSG_PARAMS, buf, &p);
	assert_int_equal(wire_get_body(MSG_PARAMS, buf, &p), -EPROTO);
}

static void refuse(const struct perf_params *p, const char *word)
{
	char why[128] = "";

	assert_int_equal(params_check(p, why, sizeof(why)), -EINVAL);
	if (!strstr(why, word))
		fail_msg("\"%s\" does not speak of %s", why, word);
}

#define REFUSE(field, value, word)             \
	do {                                   \
		struct perf_params p = good(); \
		p.field = (value);             \
		refuse(&p, word);              \
	} while (0)

static void test_limits(void **state)
{
	struct perf_params p = good();
	char why[128];

	(void)state;
	assert_int_equal(params_check(&p, why, sizeof(why)), 0);
	REFUSE(test, 0, "test");
	REFUSE(test, 6, "test");
	REFUSE(call, 6, "--call");
	REFUSE(call, CALL_RAW_WRITE, "raw-write");
	REFUSE(wait, 0, "waiting");
	REFUSE(flags, PARAM_ALL_FLAGS + 1, "flags");
	REFUSE(mode, NMT_MODE_EITHER, "--mode");
	REFUSE(streams, 0, "--streams");
	REFUSE(streams, PERF_MAX_STREAMS + 1, "--streams");
	REFUSE(threads, 5, "threads");
	REFUSE(threads, UINT32_MAX, "--threads");
	REFUSE(depth, UINT32_MAX, "--tx-depth");
	REFUSE(size, 0, "--size");
	REFUSE(size, UINT64_MAX, "--size");
	REFUSE(recv_size, PERF_MAX_SIZE + 1, "--recv-size");
	REFUSE(iterations, 5, "not both");
	REFUSE(duration_ns, 0, "not both");
	REFUSE(duration_ns, UINT64_MAX, "--duration");
	REFUSE(stall_ns, 0, "--stall");
	REFUSE(cell, UINT32_MAX, "--cell");
	REFUSE(pool, UINT64_MAX, "--pool");
	REFUSE(provider[0], '\0', "--provider");
	REFUSE(flags, PARAM_BLOCKING, "--blocking");
	REFUSE(flags, PARAM_RECORDS, "--records");
	REFUSE(test, TEST_LAT, "lat");
}

static void test_memory_limit(void **state)
{
	struct perf_params p = good();

	(void)state;
	p.call = CALL_INTO;
	p.streams = PERF_MAX_STREAMS;
	refuse(&p, "memory");
	p = good();
	p.streams = PERF_MAX_STREAMS;
	p.depth = PERF_MAX_DEPTH;
	p.recv_size = PERF_MAX_SIZE;
	p.threads = PERF_MAX_THREADS;
	refuse(&p, "memory");
}

static void test_shares(void **state)
{
	struct perf_params p = good();
	uint32_t sum = 0;

	(void)state;
	p.streams = 11;
	p.threads = 4;
	for (uint32_t t = 0; t < p.threads; t++)
		sum += params_share(&p, t);
	assert_int_equal(sum, 11);
	assert_int_equal(params_share(&p, 0), 3);
	assert_int_equal(params_share(&p, 3), 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hello_bytes),  cmocka_unit_test(test_heads),
		cmocka_unit_test(test_round_trips),  cmocka_unit_test(test_big_endian),
		cmocka_unit_test(test_bad_bodies),   cmocka_unit_test(test_limits),
		cmocka_unit_test(test_memory_limit), cmocka_unit_test(test_shares),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
