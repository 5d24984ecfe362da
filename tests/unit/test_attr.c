/* SPDX-License-Identifier: BSD-2-Clause */
/* Attributes: sizes of other versions, defaults, ranges, what a provider cannot do, tuning. */
#include "unit.h"

/* ---- structs of other versions ---- */

struct v1 {
	size_t size;
	uint64_t a;
};

struct v2 {
	size_t size;
	uint64_t a, b;
};

static void test_copy(void **state)
{
	struct v1 small = { sizeof(small), 7 };
	struct v2 large = { sizeof(large), 7, 0 };
	struct v1 known1 = { 0, 1 };
	struct v2 known2 = { 0, 1, 2 };

	(void)state;
	/* An older caller: what it does not know keeps its default. */
	assert_int_equal(nmti_attr_copy(&known2, sizeof(known2), &small), 0);
	assert_int_equal(known2.size, sizeof(known2));
	assert_int_equal(known2.a, 7);
	assert_int_equal(known2.b, 2);
	/* A newer caller that does not use what is new. */
	assert_int_equal(nmti_attr_copy(&known1, sizeof(known1), &large), 0);
	assert_int_equal(known1.size, sizeof(known1));
	assert_int_equal(known1.a, 7);
}

static void test_copy_refused(void **state)
{
	struct v2 large = { sizeof(large), 7, 1 };
	struct v1 known = { 3, 1 };

	(void)state;
	assert_int_equal(nmti_attr_copy(&known, sizeof(known), &large), -EINVAL);
	large.b = UINT64_C(1) << 63; /* also when only the last byte is set */
	assert_int_equal(nmti_attr_copy(&known, sizeof(known), &large), -EINVAL);
	for (size_t size = 0; size < sizeof(size_t); size++) {
		large.size = size;
		assert_int_equal(nmti_attr_copy(&known, sizeof(known), &large), -EINVAL);
	}
	assert_int_equal(known.size, 3);
	assert_int_equal(known.a, 1);
}

/* ---- defaults ---- */

static void test_defaults(void **state)
{
	struct nmt_stream_attr a;
	struct unit u;

	(void)state;
	unit_open(&u, "tcp");
	assert_int_equal(nmti_stream_attr(u.dom, NULL, false, &a), 0);
	assert_int_equal(a.size, sizeof(a));
	assert_int_equal(a.mode, NMT_MODE_RAW);
	assert_int_equal(a.recv_mode, NMT_RECV_POOL);
	assert_int_equal(a.rails, 1);
	assert_true(a.connect_timeout == 30 * UNIT_SEC);
	assert_true(a.handshake_timeout == 10 * UNIT_SEC);
	assert_true(a.send_timeout == NMT_FOREVER);
	assert_true(a.recv_timeout == NMT_FOREVER);
	assert_true(a.linger == 30 * UNIT_SEC);
	assert_int_equal(a.send_depth, 64);
	assert_int_equal(a.recv_depth, 64);
	assert_int_equal(a.zerocopy_min, 32 << 10);
	assert_int_equal(a.backlog, SOMAXCONN);
	assert_int_equal(a.max_pending, 1024);
	unit_close(&u);
	unit_open(&u, "auto");
	assert_int_equal(nmti_stream_attr(u.dom, NULL, false, &a), 0);
	assert_int_equal(a.mode, NMT_MODE_NEGOTIATED);
	unit_close(&u);
}

static void test_given(void **state)
{
	struct nmt_stream_attr a, user = NMT_STREAM_ATTR_INIT;
	struct unit u;

	(void)state;
	unit_open(&u, "tcp");
	user.mode = NMT_MODE_NEGOTIATED;
	user.flags = NMT_STREAM_RECORDS | NMT_STREAM_NAGLE;
	user.connect_timeout = NMT_FOREVER;
	user.linger = 1;
	user.send_depth = 3;
	user.zerocopy_min = UINT32_MAX;
	user.congestion = "reno";
	assert_int_equal(nmti_stream_attr(u.dom, &user, true, &a), 0);
	assert_memory_equal((char *)&a.mode, (char *)&user.mode,
			    offsetof(struct nmt_stream_attr, rails) - sizeof(size_t));
	assert_true(a.connect_timeout == NMT_FOREVER);
	assert_true(a.linger == 1);
	assert_int_equal(a.send_depth, 3);
	assert_int_equal(a.zerocopy_min, UINT32_MAX);
	assert_ptr_equal(a.congestion, user.congestion);
	unit_close(&u);
}

/* ---- ranges ---- */

#define WITH(field, value) ((struct nmt_stream_attr){ .size = sizeof(struct nmt_stream_attr), \
						      .field = (value) })

static void test_invalid(void **state)
{
	const struct nmt_stream_attr bad[] = {
		WITH(mode, NMT_MODE_EITHER + 1), WITH(recv_mode, NMT_RECV_POSTED + 1),
		WITH(flags, 1u << 31),           WITH(flags, 32u),
		WITH(send_depth, 65537),         WITH(recv_depth, 65537),
		WITH(backlog, UINT32_MAX),       WITH(tos, 256),
		WITH(connect_timeout, -2),       WITH(handshake_timeout, -2),
		WITH(send_timeout, -2),          WITH(recv_timeout, INT64_MIN),
		WITH(linger, -2),                { .size = 3 },
	};
	struct nmt_stream_attr a, either = WITH(mode, NMT_MODE_EITHER);
	struct unit u;
	int failed = 0;

	(void)state;
	unit_open(&u, "tcp");
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		int rc = nmti_stream_attr(u.dom, &bad[i], true, &a);

		if (rc != -EINVAL) {
			print_error("bad attribute %zu gave %d\n", i, rc);
			failed++;
		}
	}
	assert_int_equal(nmti_stream_attr(u.dom, &either, true, &a), 0);
	assert_int_equal(nmti_stream_attr(u.dom, &either, false, &a), -EINVAL);
	unit_close(&u);
	assert_int_equal(failed, 0);
}

static void test_not_supported(void **state)
{
	struct nmt_stream_attr a, user = WITH(flags, NMT_STREAM_RECORDS);
	struct unit u;

	(void)state;
	unit_open(&u, "tcp");
	unit_log_clear(&u);
	assert_int_equal(nmti_stream_attr(u.dom, &user, false, &a), -EOPNOTSUPP);
	assert_true(unit_logged(&u, "records need negotiated mode"));
	user.mode = NMT_MODE_NEGOTIATED;
	assert_int_equal(nmti_stream_attr(u.dom, &user, false, &a), 0);
	user = WITH(rails, 2);
	assert_int_equal(nmti_stream_attr(u.dom, &user, false, &a), -EOPNOTSUPP);
	user = WITH(rails, 1000); /* also more than any provider has */
	assert_int_equal(nmti_stream_attr(u.dom, &user, false, &a), -EOPNOTSUPP);
	unit_close(&u);
}

/* A provider with CAPS and nothing else. */
static void test_modes_of_provider(void **state)
{
	struct nmt_stream_attr a, raw = WITH(mode, NMT_MODE_RAW),
				  either = WITH(mode, NMT_MODE_EITHER),
				  negotiated = WITH(mode, NMT_MODE_NEGOTIATED);
	struct nmt_provider_ops ops;
	struct unit u;

	(void)state;
	unit_open(&u, "tcp");
	ops = *u.dom->pd[0].ops;
	u.dom->pd[0].ops = &ops;
	ops.caps = NMT_CAP_NEGOTIATED;
	assert_int_equal(nmti_stream_attr(u.dom, &raw, false, &a), -EOPNOTSUPP);
	assert_int_equal(nmti_stream_attr(u.dom, &either, true, &a), -EOPNOTSUPP);
	assert_int_equal(nmti_stream_attr(u.dom, &negotiated, false, &a), 0);
	ops.caps = NMT_CAP_RAW;
	assert_int_equal(nmti_stream_attr(u.dom, &raw, false, &a), 0);
	assert_int_equal(nmti_stream_attr(u.dom, &negotiated, false, &a), -EOPNOTSUPP);
	unit_close(&u);
}

/* ---- tuning ---- */

static void tune(struct unit *u, uint32_t reserve, uint32_t share, struct nmti_tuning *t)
{
	struct nmt_stream_attr a, user = NMT_STREAM_ATTR_INIT;

	user.pool_reserve = reserve;
	user.pool_share = share;
	assert_int_equal(nmti_stream_attr(u->dom, &user, false, &a), 0);
	nmti_tuning_from(u->dom, &a, NMT_MODE_RAW, t);
}

static void test_tuning_pool(void **state)
{
	struct nmti_tuning t;
	struct unit u;

	(void)state;
	unit_open(&u, "tcp"); /* 64 cells of 4096 */
	tune(&u, 0, 0, &t);
	assert_int_equal(t.pool_reserve, 1);
	assert_int_equal(t.pool_share, 16); /* a quarter of the pool */
	tune(&u, 1, 1, &t);
	assert_int_equal(t.pool_reserve, 1);
	assert_int_equal(t.pool_share, 1);
	tune(&u, 4097, 3 * 4096, &t);
	assert_int_equal(t.pool_reserve, 2);
	assert_int_equal(t.pool_share, 3);
	tune(&u, 5 * 4096, 4096, &t); /* a share below the reserve is the reserve */
	assert_int_equal(t.pool_share, 5);
	tune(&u, UINT32_MAX, UINT32_MAX, &t);
	assert_int_equal(t.pool_reserve, 1u << 20);
	u.dom->pool.shared_max = 8; /* a small pool: at least 4 cells */
	tune(&u, 0, 0, &t);
	assert_int_equal(t.pool_share, 4);
	unit_close(&u);
}

static void test_tuning_rest(void **state)
{
	struct nmt_stream_attr a, user = NMT_STREAM_ATTR_INIT;
	struct nmti_tuning t;
	struct unit u;

	(void)state;
	unit_open(&u, "tcp");
	user.flags = NMT_STREAM_BLOCKING;
	user.recv_mode = NMT_RECV_POSTED;
	user.send_timeout = 5;
	user.recv_timeout = 6;
	user.linger = 7;
	user.send_depth = 8;
	user.recv_depth = 9;
	user.zerocopy_min = 10;
	assert_int_equal(nmti_stream_attr(u.dom, &user, false, &a), 0);
	nmti_tuning_from(u.dom, &a, NMT_MODE_NEGOTIATED, &t);
	assert_int_equal(t.flags, NMT_STREAM_BLOCKING);
	assert_int_equal(t.recv_mode, NMT_RECV_POSTED);
	assert_int_equal(t.mode, NMT_MODE_NEGOTIATED);
	assert_int_equal(t.send_timeout, 5);
	assert_int_equal(t.recv_timeout, 6);
	assert_int_equal(t.linger, 7);
	assert_int_equal(t.send_depth, 8);
	assert_int_equal(t.recv_depth, 9);
	assert_int_equal(t.zerocopy_min, 10);
	assert_int_equal(t.rails, 1);
	unit_close(&u);
}

/* ---- texts ---- */

static void test_strings(void **state)
{
	char congestion[] = "reno", local[] = "127.0.0.1";
	struct nmt_stream_attr a = NMT_STREAM_ATTR_INIT;
	char *block = (char *)1;

	(void)state;
	assert_int_equal(nmti_attr_strings(&a, &block), 0);
	assert_null(block);
	a.congestion = congestion;
	a.local_addr = local;
	assert_int_equal(nmti_attr_strings(&a, &block), 0);
	assert_non_null(block);
	memset(congestion, 'x', 4); /* the caller's copies are no longer used */
	memset(local, 'x', 9);
	assert_string_equal(a.congestion, "reno");
	assert_string_equal(a.local_addr, "127.0.0.1");
	assert_null(a.bind_device);
	free(block);
	a = WITH(bind_device, "lo");
	assert_int_equal(nmti_attr_strings(&a, &block), 0);
	assert_string_equal(a.bind_device, "lo");
	free(block);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_copy),
	cmocka_unit_test(test_copy_refused),
	cmocka_unit_test(test_defaults),
	cmocka_unit_test(test_given),
	cmocka_unit_test(test_invalid),
	cmocka_unit_test(test_not_supported),
	cmocka_unit_test(test_modes_of_provider),
	cmocka_unit_test(test_tuning_pool),
	cmocka_unit_test(test_tuning_rest),
	cmocka_unit_test(test_strings),
};

UNIT_MAIN(tests)
