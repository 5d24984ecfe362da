/* SPDX-License-Identifier: BSD-2-Clause */
/* The rules of the window for regions and grants, one test for each: docs/wire.md, "The engine". */
#include "window_duo.h"

/* ---- grants --------------------------------------------------------------------------------- */

/* In bulk a control message grants eight segments and more. */
static void test_grant_batch(void **state)
{
	struct nmti_win_stat before, st;

	(void)state;
	duo_attr.tx_slots = duo_attr.rx_slots = 32;
	duo_start(false, 1, 16, 1024);
	nmti_win_stats(b, &before);
	for (int i = 0; i < 1000; i++) {
		if (duo_next(1024, false) != NMTI_WIN_GO)
			fail_msg("stuck at %d", i);
		duo_pass(1024, false);
		nmti_win_complete(a, 0, (uint64_t)i + 1);
		duo_take();
		duo_add(i % 16 * 1024, 1024, false);
		duo_settle();
	}
	nmti_win_stats(b, &st);
	assert_true((st.grants_sent - before.grants_sent) / (st.ctrl_sent - before.ctrl_sent) >= 8);
	duo_close();
}

static void test_grant_due(void **state)
{
	(void)state;
	duo_start(false, 1, 4, 512);
	duo_add(2048, 512, false);
	assert_int_not_equal(nmti_win_due(b), NMTI_WIN_NOW); /* a fifth of the window */
	duo_add(2560, 512, false);
	duo_add(3072, 512, false);
	assert_int_not_equal(nmti_win_due(b), NMTI_WIN_NOW);
	duo_add(3584, 512, false);
	assert_int_equal(nmti_win_due(b), NMTI_WIN_NOW); /* half */
	duo_settle();
	for (int i = 0; i < 8; i++)
		duo_pass(512, false);
	duo_take_all();
	duo_settle();
	assert_int_equal(duo_next(1, false), NMTI_WIN_SEGMENT);
	duo_add(0, 1, false);
	assert_int_equal(nmti_win_due(b), NMTI_WIN_NOW); /* little, but the peer has nothing */
	assert_int_equal(nmti_win_unfilled(b), 1);
	duo_close();
}

/* While there is more to take, half of the window has to be free, not half of what the peer has. */
static void test_grant_more(void **state)
{
	(void)state;
	duo_start(false, 1, 4, 512);
	for (int i = 0; i < 3; i++)
		duo_pass(512, false);
	duo_take();
	duo_add(2048, 512, false); /* as much as the peer has left */
	assert_false(nmti_win_due_now(b, true));
	assert_false(nmti_win_due_now(b, false));
	duo_pass(512, false);
	assert_false(nmti_win_due_now(b, true));
	assert_true(nmti_win_due_now(b, false)); /* it has nothing left, and no more is taken */
	duo_take();
	duo_add(2560, 512, false);
	assert_true(nmti_win_due_now(b, true));
	duo_close();
}

/* Pool mode: segments that wait are granted in the order of their memory, in posted mode as added. */
static void test_grant_sorted(void **state)
{
	static const uint32_t offs[] = { 300, 100, 400, 0, 200 };

	(void)state;
	duo_start(false, 1, 0, 0);
	for (int i = 0; i < 5; i++)
		duo_add(offs[i], 100, false);
	duo_settle();
	duo_add(600, 100, false); /* behind what is granted */
	duo_add(500, 100, false);
	duo_tell(b, a);
	assert_int_equal(duo_pass(700, false).len, 700);
	for (uint32_t i = 0; i < 7; i++)
		duo_expect(100 * i, 0, 100, false, true, 0);
	duo_close();
	duo_start(true, 1, 0, 0);
	for (int i = 0; i < 5; i++)
		duo_add(offs[i], 100, false);
	duo_settle();
	for (int i = 0; i < 5; i++)
		assert_int_equal(duo_pass(700, false).remote, DUO_BASE + offs[i]);
	duo_close();
}

/* Those of one region that follow each other; regions stay in turn. */
static void test_grant_in_turn(void **state)
{
	static const struct nmti_seg segs[] = {
		{ 100, 100, 1, 1, false }, { 0, 100, 0, 1, false }, { 100, 100, 3, 0, false },
		{ 0, 100, 2, 0, false },   { 200, 100, 4, 1, false },
	};

	(void)state;
	duo_open(false, 1);
	duo_regions(1);
	assert_int_equal(nmti_win_region(b, 1, 0, 0x900000, 5000, 77), 0);
	for (uint32_t i = 0; i < 5; i++)
		assert_int_equal(nmti_win_add(b, &segs[i]), 0);
	duo_settle();
	assert_int_equal(duo_pass(500, false).len, 200);
	assert_int_equal(duo_pass(500, false).len, 200);
	assert_int_equal(duo_pass(100, false).len, 100);
	for (uint32_t i = 0; i < 5; i++)
		duo_expect(i, 0, 100, false, true, 0);
	duo_close();
}

/* Segments of several regions and lengths, more than a message holds. */
static void test_grant_many(void **state)
{
	struct nmti_run run;

	(void)state;
	duo_open(false, 1);
	duo_regions(1);
	assert_int_equal(nmti_win_region(b, 200, 0, 0x900000, 5000, 77), 0);
	for (uint32_t i = 0; i < 16; i++) {
		struct nmti_seg seg = { i * 300, 100 + i, i, i < 8 ? 0 : 200, false };

		assert_int_equal(nmti_win_add(b, &seg), 0);
	}
	assert_int_equal(nmti_win_add(b, &(struct nmti_seg){ .len = 1 }), -ENOSPC);
	assert_int_equal(nmti_win_room(b), 0);
	duo_settle();
	for (uint32_t i = 0; i < 12; i++) {
		run = duo_pass(1000, false);
		assert_int_equal(run.len, 100 + i);
		assert_int_equal(run.key, i < 8 ? DUO_KEY : 77);
		assert_int_equal(run.remote, (i < 8 ? DUO_BASE : 0x900000u) + i * 300);
		duo_expect(i, 0, 100 + i, false, true, 0);
		duo_settle();
	}
	assert_int_equal(nmti_win_room(b), 12);
	duo_close();
}

/* No more than the peer remembers, and in batches of half of it. */
static void test_grant_most(void **state)
{
	struct nmti_win_stat st;
	uint32_t n = 0;

	(void)state;
	duo_attr.rx_grants = duo_attr.tx_segs = 4;
	duo_start(false, 1, 16, 100);
	nmti_win_stats(a, &st);
	assert_int_equal(st.granted, 4);
	for (n = 0; n < 16; n++) {
		nmti_win_complete(a, 0, n);
		duo_pass(100, false);
		duo_take();
		nmti_win_stats(b, &st);
		if (n < 12)
			assert_int_equal(st.grants_sent, 4 + n / 2 * 2);
		duo_settle();
	}
	duo_close();
}

static void region_msg(uint16_t id, uint8_t rail, uint64_t len, int want)
{
	struct nmti_ctrl m = duo_msg(NMTI_CTRL_REGION);
	struct nmti_win_stat st;

	nmti_win_stats(a, &st);
	m.nrails = 2;
	m.ctrl_credit = (uint32_t)st.ctrl_sent;
	m.region = (struct nmti_region){ id, rail, 4096, len, 9 };
	assert_int_equal(duo_put(a, &m, NULL), want);
}

static void test_grant_checks(void **state)
{
	struct nmti_ctrl m = duo_msg(NMTI_CTRL_GRANT);

	(void)state;
	m.nrails = 2;
	m.count = 1;
#define is(want, ...)                                                                              \
	do {                                                                                       \
		struct nmti_grant g = { .region = 7, .repeat = 1, .length = 10 };                  \
                                                                                                   \
		duo_open(false, 2);                                                                \
		region_msg(7, 0, 100, 0);                                                          \
		region_msg(7, 1, 100, 0);                                                          \
		region_msg(8, 1, 100, 0);                                                          \
		m.index = 0;                                                                       \
		__VA_ARGS__;                                                                       \
		assert_int_equal(duo_put(a, &m, &g), want);                                        \
		duo_close();                                                                       \
	} while (0)
	is(0, );
	is(0, g.offset = 90);
	is(-EPROTO, g.offset = 91);
	is(-EPROTO, g.offset = UINT64_MAX - 10);
	is(0, g.repeat = 10);
	is(-EPROTO, g.repeat = 11);
	is(-EPROTO, g.repeat = 17, g.length = 1); /* more than there are places for */
	is(-EPROTO, g.region = 6);
	is(-EPROTO, g.region = 65535);
	is(-EPROTO, g.region = 8); /* only one of two rails */
	is(-EPROTO, m.index = 1);
	is(-EPROTO, g.flags = NMTI_GRANT_WHOLE);                /* pool mode */
	is(-EPROTO, g.flags = NMTI_GRANT_WHOLE, g.length = 0);
#undef is
	duo_start(true, 1, 1, 10);
	m = duo_msg(NMTI_CTRL_GRANT);
	m.count = m.index = 1;
	assert_int_equal(duo_put(a, &m, &(struct nmti_grant){ 0, NMTI_GRANT_WHOLE, 1, 0, 0 }),
			 -EPROTO); /* nothing but the first of an epoch may be full */
	duo_close();
}

/* Never a grant before each rail of its region. */
static void test_region_first(void **state)
{
	uint8_t buf[NMTI_CTRL_MAX];

	(void)state;
	duo_open(false, 2);
	assert_int_equal(nmti_win_region(b, 0, 1, 1, 100, 1), 0);
	duo_add(0, 10, false);
	assert_true(duo_tell1(b, a) > 0);
	assert_int_equal(nmti_win_ctrl_get(b, buf), 0);
	assert_int_equal(nmti_win_region(b, 0, 0, 1, 99, 1), -EBUSY);
	assert_int_equal(nmti_win_region(b, 0, 0, 1, 100, 1), 0);
	assert_true(duo_tell1(b, a) > 0);
	assert_int_equal(duo_next(1, false), NMTI_WIN_SEGMENT);
	duo_settle();
	assert_int_equal(duo_next(1, false), NMTI_WIN_GO);
	duo_close();
}

static void test_region_args(void **state)
{
	(void)state;
	duo_open(false, 2);
	assert_int_equal(nmti_win_region(b, 256, 0, 0, 1, 1), -ENOSPC);
	assert_int_equal(nmti_win_region(b, 0, 2, 0, 1, 1), -EINVAL);
	assert_int_equal(nmti_win_region(b, 0, 0, 0, 0, 1), -EINVAL);
	assert_int_equal(nmti_win_region(b, 0, 0, UINT64_MAX, 1, 1), -EINVAL);
	assert_int_equal(nmti_win_region(b, 0, 0, 0, 100, 1), 0);
	assert_int_equal(nmti_win_region(b, 0, 1, 0, 101, 1), -EINVAL);
	assert_int_equal(nmti_win_add(b, &(struct nmti_seg){ .len = 101 }), -EINVAL);
	assert_int_equal(nmti_win_add(b, &(struct nmti_seg){ .len = 0 }), -EINVAL);
	assert_int_equal(nmti_win_add(b, &(struct nmti_seg){ .offset = 100, .len = 1 }), -EINVAL);
	assert_int_equal(nmti_win_add(b, &(struct nmti_seg){ .len = 1, .region = 1 }), -EINVAL);
	assert_int_equal(nmti_win_add(b, &(struct nmti_seg){ .len = 1, .region = 999 }), -EINVAL);
	assert_int_equal(nmti_win_add(b, &(struct nmti_seg){ .len = 1, .whole = true }), -EINVAL);
	duo_close();
}

/* An id gets other memory only when no segment names it, on both sides. */
static void test_region_again(void **state)
{
	struct nmti_run run;

	(void)state;
	duo_start(false, 1, 1, 100);
	assert_int_equal(nmti_win_region(b, 0, 0, 1, 50, 1), -EBUSY);
	run = duo_pass(100, false);
	assert_int_equal(nmti_win_region(b, 0, 0, 0x7000, 50, 555), 0);
	duo_take();
	duo_add(0, 50, false);
	duo_settle();
	run = duo_pass(1, false);
	assert_int_equal(run.remote, 0x7000);
	assert_int_equal(run.key, 555);
	duo_close();

	duo_open(false, 2);
	region_msg(7, 0, 100, 0);
	region_msg(7, 1, 101, -EPROTO);
	region_msg(256, 0, 100, -EPROTO);
	duo_close();
	duo_start(false, 2, 1, 100);
	region_msg(0, 0, 100, -EPROTO); /* in use */
	duo_close();
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_grant_batch), cmocka_unit_test(test_grant_due),
		cmocka_unit_test(test_grant_more), cmocka_unit_test(test_grant_sorted),
		cmocka_unit_test(test_grant_in_turn),
	cmocka_unit_test(test_grant_many), cmocka_unit_test(test_grant_most),
	cmocka_unit_test(test_grant_checks), cmocka_unit_test(test_region_first),
	cmocka_unit_test(test_region_args), cmocka_unit_test(test_region_again),
};

int main(void)
{
	return cmocka_run_group_tests(tests, NULL, NULL);
}
