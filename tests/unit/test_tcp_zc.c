/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * MSG_ZEROCOPY: completions as ranges in any order, numbers that wrap at 2^32, the window of calls
 * in flight, and giving up on a path where the kernel copies. The source is included for its
 * statics: the completions that loopback gives are all alike, so these are made here.
 */
#include "../../providers/tcp/tcp_zc.c"

#include "unit.h"

struct zc {
	struct unit u;
	struct tcp_stream *ts;
	struct tcp_zc *zc;
	struct nmt_mr *mr;
	int peer;
};

/* A stream with send queues, whose calls are numbered from FIRST. */
static void open_zc(struct zc *t, uint32_t first)
{
	int fd[2];

	memset(t, 0, sizeof(*t));
	unit_open(&t->u, "tcp");
	unit_tcp_pair(fd);
	t->peer = fd[0];
	t->u.a = unit_adopt(&t->u, fd[1], false, NULL);
	t->ts = tcp_of(t->u.a);
	assert_int_equal(nmt_flush(t->u.a, 0), 0); /* makes the queues */
	unit_take(&t->u, t->u.a, NMT_EV_FLUSHED);
	t->zc = nmti_tcp_tx_zc(t->ts);
	assert_non_null(t->zc);
	t->zc->base = t->zc->next = first;
	assert_int_equal(nmt_mr_alloc(t->u.ctx, NMT_MEM_HOST, 1 << 20, NMT_ACCESS_ALL, &t->mr), 0);
}

static void close_zc(struct zc *t)
{
	t->zc->base = t->zc->next; /* or the close waits for calls that never were */
	nmt_domain_close(t->u.dom);
	t->u.a = NULL;
	t->u.dom = NULL;
	close(t->peer);
	assert_int_equal(nmt_mr_close(t->mr), 0);
	unit_close(&t->u);
}

/* The kernel says: calls LO to HI are done. */
static void complete(struct zc *t, uint32_t lo, uint32_t hi)
{
	struct sock_extended_err ee = { .ee_origin = SO_EE_ORIGIN_ZEROCOPY, .ee_info = lo,
					.ee_data = hi };

	completed(t->ts, &ee);
}

static void test_window(void **state)
{
	struct zc t;

	(void)state;
	open_zc(&t, 0);
	assert_true(nmti_tcp_zc_may(t.ts, t.zc));
	assert_true(t.ts->zc_on);
	t.zc->next = t.zc->base + ZC_WINDOW - 1;
	assert_true(nmti_tcp_zc_may(t.ts, t.zc));
	t.zc->next++;
	assert_false(nmti_tcp_zc_may(t.ts, t.zc));
	t.zc->next = t.zc->base;
	t.ts->zc_off = true;
	assert_false(nmti_tcp_zc_may(t.ts, t.zc));
	close_zc(&t);
}

/* base <= id: not complete; also where the numbers wrap. */
static void test_complete(void **state)
{
	struct tcp_zc zc = { .base = 5, .next = 9 };

	(void)state;
	assert_true(tcp_zc_complete(&zc, 4));
	assert_true(tcp_zc_complete(&zc, UINT32_MAX));
	assert_false(tcp_zc_complete(&zc, 5));
	assert_false(tcp_zc_complete(&zc, 8));
	zc.base = UINT32_MAX;
	assert_true(tcp_zc_complete(&zc, UINT32_MAX - 1));
	assert_false(tcp_zc_complete(&zc, UINT32_MAX));
	assert_false(tcp_zc_complete(&zc, 0));
	zc.base = 2;
	assert_true(tcp_zc_complete(&zc, UINT32_MAX));
	assert_true(tcp_zc_complete(&zc, 1));
}

/* ---- ranges ---- */

static void test_in_order(void **state)
{
	struct zc t;

	(void)state;
	open_zc(&t, 0);
	t.zc->next = 10;
	complete(&t, 0, 0);
	assert_int_equal(t.zc->base, 1);
	complete(&t, 1, 4);
	assert_int_equal(t.zc->base, 5);
	complete(&t, 5, 9);
	assert_int_equal(t.zc->base, 10);
	close_zc(&t);
}

/* A gap holds all behind it back, wherever the numbers are. */
static void test_out_of_order(void **state)
{
	static const uint32_t firsts[] = { 0, 1, 1000, 1023, 0x7ffffffe, 0x80000000, 0xfffffffb,
					   0xfffffc05, UINT32_MAX };
	struct zc t;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(firsts); i++) {
		uint32_t f = firsts[i];

		open_zc(&t, f);
		t.zc->next = f + 8;
		complete(&t, f + 6, f + 7);
		assert_int_equal(t.zc->base, f);
		complete(&t, f + 1, f + 2);
		assert_int_equal(t.zc->base, f);
		complete(&t, f, f);
		assert_int_equal(t.zc->base, f + 3);
		assert_true(tcp_zc_complete(t.zc, f + 2));
		assert_false(tcp_zc_complete(t.zc, f + 3));
		complete(&t, f + 3, f + 5);
		assert_int_equal(t.zc->base, f + 8);
		close_zc(&t);
	}
}

/* A whole window, in random pieces in random order, around the wrap, against a plain table. */
static void test_random(void **state)
{
	static bool done[1 << 16];
	uint32_t first = (uint32_t)-20000, next = first, base = first, lo, hi;
	unsigned int seed = 3;
	struct zc t;

	(void)state;
	open_zc(&t, first);
	while (base - first < 40000) {
		if (next - base < ZC_WINDOW)
			next += 1 + (uint32_t)rand_r(&seed) % (ZC_WINDOW - (next - base));
		t.zc->next = next;
		lo = base + (uint32_t)rand_r(&seed) % (next - base);
		if (rand_r(&seed) % 4 == 0)
			lo = base;
		if (done[lo - first])
			continue;
		for (hi = lo; hi + 1 != next && !done[hi + 1 - first] && rand_r(&seed) % 8; hi++)
			;
		complete(&t, lo, hi);
		for (uint32_t id = lo; id != hi + 1; id++)
			done[id - first] = true;
		while (base != next && done[base - first])
			base++;
		assert_int_equal(t.zc->base, base);
	}
	close_zc(&t);
}

/* What is no completion of ours, or too late, changes nothing. */
static void test_odd(void **state)
{
	struct sock_extended_err ee = { .ee_origin = SO_EE_ORIGIN_ZEROCOPY, .ee_info = 0,
					.ee_data = 1 };
	struct zc t;

	(void)state;
	open_zc(&t, 10);
	t.zc->next = 20;
	complete(&t, 5, 9); /* again, for calls that were complete long ago */
	assert_int_equal(t.zc->base, 10);
	complete(&t, 11, 11);
	complete(&t, 11, 11);
	assert_int_equal(t.zc->base, 10);
	ee.ee_info = 10;
	ee.ee_data = 12;
	ee.ee_origin = SO_EE_ORIGIN_ICMP;
	completed(t.ts, &ee);
	ee.ee_origin = SO_EE_ORIGIN_ZEROCOPY;
	ee.ee_errno = EIO;
	completed(t.ts, &ee);
	assert_int_equal(t.zc->base, 10);
	complete(&t, 10, 10);
	assert_int_equal(t.zc->base, 12);
	assert_false(t.ts->zc_off);
	close_zc(&t);
}

static void test_copied(void **state)
{
	struct sock_extended_err ee = { .ee_origin = SO_EE_ORIGIN_ZEROCOPY, .ee_info = 0,
					.ee_data = 2, .ee_code = SO_EE_CODE_ZEROCOPY_COPIED };
	struct zc t;

	(void)state;
	open_zc(&t, 0);
	t.zc->next = 6;
	completed(t.ts, &ee);
	assert_int_equal(t.zc->base, 3); /* complete all the same */
	assert_true(t.ts->zc_off);
	ee.ee_info = 3;
	ee.ee_data = 5;
	completed(t.ts, &ee);
	assert_int_equal(t.u.a->stat.zc_copied, 6);
	assert_int_equal(t.u.a->stat.fallback_zerocopy, 1); /* one stream that gave up */
	close_zc(&t);
}

/* ---- on a socket ---- */

static void borrow(struct zc *t, uint32_t len, uint64_t cookie)
{
	struct nmt_frag f = { .mr = t->mr, .len = len };

	assert_int_equal(nmt_send_mr(t->u.a, &f, 1, 0, cookie), 0);
}

/* The kernel copied after all, as it does on loopback: asked once, and not again. */
static void test_gives_up(void **state)
{
	static uint8_t buf[1 << 16];
	struct zc t;

	(void)state;
	open_zc(&t, 0);
	borrow(&t, 60000, 1);
	unit_read(t.peer, buf, 60000);
	assert_int_equal(unit_take(&t.u, t.u.a, NMT_EV_SENT).cookie, 1);
	assert_int_equal(t.u.a->stat.zc_sends, 1);
	assert_int_equal(t.u.a->stat.zc_copied, 1);
	assert_int_equal(t.u.a->stat.fallback_zerocopy, 1);
	borrow(&t, 60000, 2);
	unit_read(t.peer, buf, 60000);
	unit_take(&t.u, t.u.a, NMT_EV_SENT);
	assert_int_equal(t.u.a->stat.zc_sends, 1);
	close_zc(&t);
}

static void test_small(void **state)
{
	int64_t never = UINT32_MAX;
	struct zc t;

	(void)state;
	open_zc(&t, 0);
	borrow(&t, (32 << 10) - 1, 1);
	unit_take(&t.u, t.u.a, NMT_EV_SENT);
	assert_int_equal(nmt_stream_setopt(t.u.a, NMT_OPT_ZEROCOPY_MIN, &never, sizeof(never)), 0);
	borrow(&t, 60000, 2);
	unit_take(&t.u, t.u.a, NMT_EV_SENT);
	assert_int_equal(t.u.a->stat.zc_sends, 0);
	close_zc(&t);
}

/* The memory is the stream's until its completion came, also for what was queued behind it. */
static void test_sent_waits(void **state)
{
	static uint8_t buf[1 << 17];
	struct zc t;

	(void)state;
	open_zc(&t, 100000); /* the kernel counts from 0: its completions fit no call of ours */
	borrow(&t, 60000, 1);
	borrow(&t, 10, 2);
	unit_read(t.peer, buf, 60010);
	assert_false(unit_has(&t.u, t.u.a, NMT_EV_SENT));
	assert_int_equal(t.mr->busy, 2);
	complete(&t, 100000, 100000);
	nmti_tell(t.u.a);
	assert_int_equal(unit_take(&t.u, t.u.a, NMT_EV_SENT).cookie, 1);
	assert_int_equal(unit_take(&t.u, t.u.a, NMT_EV_SENT).cookie, 2);
	assert_int_equal(t.mr->busy, 0);
	close_zc(&t);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_window),	cmocka_unit_test(test_complete),
	cmocka_unit_test(test_in_order), cmocka_unit_test(test_out_of_order),
	cmocka_unit_test(test_random),	cmocka_unit_test(test_odd),
	cmocka_unit_test(test_copied),	cmocka_unit_test(test_gives_up),
	cmocka_unit_test(test_small),	cmocka_unit_test(test_sent_waits),
};

UNIT_MAIN(tests)
