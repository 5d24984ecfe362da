/* SPDX-License-Identifier: BSD-2-Clause */
/* The rules of the window for cancels, one test for each: docs/wire.md, "The engine". */
#include "window_duo.h"

/* ---- cancel --------------------------------------------------------------------------------- */

/* Nothing was written to it: memory comes back with the answer, its place goes with a STOP. */
static void test_cancel_untouched(void **state)
{
	struct nmti_run stop;

	(void)state;
	duo_start(true, 1, 3, 100);
	assert_int_equal(nmti_win_cancel(b, 0), 0);
	assert_int_equal(nmti_win_due(b), NMTI_WIN_NOW);
	duo_returned(-1); /* not before the peer knows */
	duo_tell(b, a);
	duo_returned(-1);
	assert_int_equal(nmti_win_due(a), NMTI_WIN_NOW);
	duo_tell(a, b);
	duo_returned(0);
	duo_returned(-1);
	stop = duo_post_type(NMTI_RUN_STOP, 0, false);
	assert_int_equal(duo_arrive(&stop), 0);
	assert_true(duo_empty()); /* told already */
	duo_pass(10, true);
	duo_expect(100, 0, 10, true, true, 0);
	duo_close();
}

/* The STOP goes even before bytes that are ready, and a write to the segment is a lie. */
static void test_cancel_then_data(void **state)
{
	(void)state;
	duo_start(true, 1, 3, 100);
	assert_int_equal(nmti_win_cancel(b, 0), 0);
	duo_tell(b, a);
	duo_tell(a, b);
	duo_post_type(NMTI_RUN_STOP, 50, true);
	assert_int_equal(nmti_win_arrived(b, 0, duo_imm(NMTI_RUN_DATA, false, 0, 0), 1), -EPROTO);
	duo_close();
	duo_start(true, 1, 3, 100);
	assert_int_equal(nmti_win_cancel(b, 0), 0);
	duo_tell(b, a);
	duo_tell(a, b);
	assert_int_equal(nmti_win_arrived(b, 0, duo_imm(NMTI_RUN_DATA, true, 0, 0), 0), -EPROTO);
	duo_close();
}

/* Behind others: memory comes back at once, the STOP when its turn has come. */
static void test_cancel_later(void **state)
{
	(void)state;
	duo_start(true, 1, 3, 100);
	assert_int_equal(nmti_win_cancel(b, 100), 0);
	duo_tell(b, a);
	duo_tell(a, b);
	duo_returned(100);
	duo_pass(100, false);
	duo_pass(0, false); /* the STOP */
	duo_pass(20, true);
	duo_expect(0, 0, 100, false, true, 0);
	duo_expect(200, 0, 20, true, true, 0);
	assert_int_equal(nmti_win_room(b), 16);
	duo_close();
}

/* The STOP on another rail is faster than the answer. */
static void test_stop_before_answer(void **state)
{
	uint8_t buf[NMTI_CTRL_MAX];
	struct nmti_run stop;
	int n;

	(void)state;
	duo_start(true, 1, 3, 100);
	assert_int_equal(nmti_win_cancel(b, 0), 0);
	duo_tell(b, a);
	n = nmti_win_ctrl_get(a, buf);
	stop = duo_post_type(NMTI_RUN_STOP, 0, false);
	assert_int_equal(duo_arrive(&stop), 0);
	duo_expect(0, 0, 0, false, true, -ECANCELED);
	assert_int_equal(nmti_win_ctrl_put(b, buf, (size_t)n), 0);
	duo_returned(-1); /* once is enough */
	duo_pass(10, true);
	duo_expect(100, 0, 10, true, true, 0);
	duo_close();
}

/* Bytes that crossed the CANCEL are received; the STOP behind them ends it. */
static void test_cancel_partly(void **state)
{
	struct nmti_run data, stop;

	(void)state;
	duo_start(true, 1, 3, 100);
	data = duo_post(30, false);
	assert_int_equal(nmti_win_cancel(b, 0), 0);
	duo_tell(b, a);
	stop = duo_post_type(NMTI_RUN_STOP, 10, false);
	duo_tell(a, b);
	assert_int_equal(duo_arrive(&data), 0);
	assert_int_equal(duo_arrive(&stop), 0);
	duo_expect(0, 0, 30, false, false, 0);
	duo_expect(0, 30, 0, false, true, -ECANCELED);
	duo_returned(-1);
	duo_close();
}

static void test_cancel_whole_full(void **state)
{
	(void)state;
	duo_open(true, 1);
	duo_regions(1);
	duo_add(0, 10, true);
	duo_add(10, 10, false);
	duo_settle();
	duo_pass(10, false);
	assert_int_equal(nmti_win_cancel(b, 0), 0);
	duo_settle();
	assert_int_equal(duo_pass(5, true).type, NMTI_RUN_STOP); /* no TRUNC */
	duo_pass(5, true);
	duo_expect(0, 0, 10, false, false, 0);
	duo_expect(0, 10, 0, false, true, -ECANCELED);
	duo_expect(10, 0, 5, true, true, 0);
	duo_close();
}

/* It ended before the CANCEL came: as if there had been none. */
static void test_cancel_too_late(void **state)
{
	struct nmti_run run;

	(void)state;
	duo_start(true, 1, 2, 100);
	run = duo_post(100, true);
	assert_int_equal(nmti_win_cancel(b, 0), 0);
	duo_tell(b, a);
	assert_int_equal(duo_next(0, false), NMTI_WIN_NOTHING);
	duo_tell(a, b);
	assert_int_equal(duo_arrive(&run), 0);
	assert_int_equal(nmti_win_cancel(b, 0), -ENOENT);
	duo_expect(0, 0, 100, true, true, 0);
	assert_int_equal(nmti_win_cancel(b, 0), -ENOENT);
	assert_int_equal(nmti_win_cancel(b, 4711), -ENOENT);
	duo_close();
}

/* Not granted: nobody to ask. Its place is free at once, and the next one is granted in its stead. */
static void test_cancel_not_granted(void **state)
{
	(void)state;
	duo_open(true, 1);
	duo_regions(1);
	duo_add(0, 10, false);
	duo_add(10, 10, false);
	assert_int_equal(nmti_win_cancel(b, 0), 0);
	duo_returned(0);
	assert_int_equal(nmti_win_room(b), 15);
	duo_settle();
	duo_pass(10, false);
	duo_expect(10, 0, 10, false, true, 0);
	duo_close();
}

static void test_cancel_pool(void **state)
{
	(void)state;
	duo_start(false, 1, 2, 100);
	assert_int_equal(nmti_win_cancel(b, 0), -ENOENT);
	assert_int_equal(duo_put_index(a, NMTI_CTRL_CANCEL, 0), -EPROTO);
	duo_close();
}

/* Sixteen unanswered; the next one waits. The peer of a longer queue lies. */
static void test_cancel_most(void **state)
{
	uint8_t buf[NMTI_CTRL_MAX];
	int n = 0;

	(void)state;
	duo_attr.tx_segs = duo_attr.rx_segs = duo_attr.rx_grants = 32;
	duo_attr.tx_ctrl = duo_attr.rx_ctrl = 64;
	duo_start(true, 1, 20, 100);
	for (uint64_t i = 0; i < 20; i++)
		assert_int_equal(nmti_win_cancel(b, i * 100), 0);
	while (nmti_win_due(b) == NMTI_WIN_NOW && nmti_win_ctrl_get(b, buf) > 0)
		n++;
	assert_int_equal(n, 16);
	for (uint64_t i = 0; i < 16; i++)
		assert_int_equal(duo_put_index(a, NMTI_CTRL_CANCEL, i), 0);
	assert_int_equal(duo_put_index(a, NMTI_CTRL_CANCEL, 16), -EPROTO);
	duo_close();
}

static void test_cancel_checks(void **state)
{
	(void)state;
#define is(to, want, type, index)                                                                  \
	do {                                                                                       \
		duo_start(true, 1, 3, 100);                                                        \
		duo_post(100, false);                                                              \
		assert_int_equal(nmti_win_cancel(b, 100), 0);                                      \
		duo_tell(b, a);                                                                    \
		assert_int_equal(duo_put_index(to, type, index), want);                            \
		duo_close();                                                                       \
	} while (0)
	is(b, 0, NMTI_CTRL_SKIPPED, 1);
	is(b, 0, NMTI_CTRL_KEPT, 1);
	is(b, -EPROTO, NMTI_CTRL_SKIPPED, 0); /* not asked for */
	is(b, -EPROTO, NMTI_CTRL_KEPT, 2);
	is(b, -EPROTO, NMTI_CTRL_CANCEL, 0); /* the other direction is in pool mode */
	is(a, -EPROTO, NMTI_CTRL_SKIPPED, 0);
#undef is
#define is(want, at)                                                                               \
	do {                                                                                       \
		duo_start(true, 1, 3, 100);                                                        \
		assert_int_equal(nmti_win_cancel(b, 100), 0);                                      \
		duo_tell(b, a);                                                                    \
		assert_int_equal(duo_put_index(a, NMTI_CTRL_CANCEL, at), want);                    \
		duo_close();                                                                       \
	} while (0)
	is(0, 0);
	is(-EPROTO, 1); /* once is enough */
	is(0, 2);
	is(-EPROTO, 3); /* never granted */
#undef is
	/* Something arrived for it, so it cannot have been skipped. */
	duo_start(true, 1, 3, 100);
	duo_pass(1, false);
	assert_int_equal(nmti_win_cancel(b, 0), 0);
	duo_tell(b, a);
	assert_int_equal(duo_put_index(b, NMTI_CTRL_SKIPPED, 0), -EPROTO);
	duo_close();
}

/* After FIN a CANCEL is not answered: FIN gives all back. */
static void test_cancel_and_fin(void **state)
{
	struct nmti_run data, fin;
	uint8_t buf[NMTI_CTRL_MAX];

	(void)state;
	duo_start(true, 1, 2, 100);
	data = duo_post(30, false);
	fin = duo_post_fin();
	assert_int_equal(nmti_win_cancel(b, 0), 0);
	duo_tell(b, a);
	assert_true(nmti_win_ctrl_get(a, buf) > 0);
	assert_int_equal(buf[0], NMTI_CTRL_GRANT); /* credit only */
	assert_int_equal(duo_next(0, false), NMTI_WIN_NOTHING);
	assert_int_equal(duo_arrive(&data), 0);
	assert_int_equal(duo_arrive(&fin), 0);
	duo_expect(0, 0, 30, false, false, 0);
	assert_int_equal(nmti_win_cancel(b, 100), 0);
	assert_true(duo_take().fin);
	duo_returned(0);
	duo_returned(100);
	duo_returned(-1);
	duo_close();
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_cancel_untouched), cmocka_unit_test(test_cancel_then_data),
	cmocka_unit_test(test_cancel_later), cmocka_unit_test(test_stop_before_answer),
	cmocka_unit_test(test_cancel_partly), cmocka_unit_test(test_cancel_whole_full),
	cmocka_unit_test(test_cancel_too_late), cmocka_unit_test(test_cancel_not_granted),
	cmocka_unit_test(test_cancel_pool), cmocka_unit_test(test_cancel_most),
	cmocka_unit_test(test_cancel_checks), cmocka_unit_test(test_cancel_and_fin),
};

int main(void)
{
	return cmocka_run_group_tests(tests, NULL, NULL);
}
