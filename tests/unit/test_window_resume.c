/* SPDX-License-Identifier: BSD-2-Clause */
/* The rules of the window for a path that fails and comes back: docs/wire.md, "The engine". */
#include "window_duo.h"

/* ---- resume --------------------------------------------------------------------------------- */

static struct nmti_win_resume from_a, from_b;

static void fence(uint8_t rails)
{
	nmti_win_fence(a);
	nmti_win_fence(b);
	nmti_win_resume_point(a, rails, &from_a);
	nmti_win_resume_point(b, rails, &from_b);
}

static void resume(uint8_t rails)
{
	assert_int_equal(nmti_win_resume(a, &from_b, rails), 0);
	assert_int_equal(nmti_win_resume(b, &from_a, rails), 0);
	duo_regions(rails);
	duo_settle();
}

static struct nmti_win_pos at(void)
{
	struct nmti_win_pos pos;

	nmti_win_tx_pos(a, &pos);
	return pos;
}

/* What arrived in order is kept, what did not is written again. */
static void test_resume_rewinds(void **state)
{
	struct nmti_run run;

	(void)state;
	duo_start(false, 2, 4, 4096);
	duo_pass(4096, true);
	duo_post(2000, false);
	run = duo_post(96, true);
	duo_post(2000, false);
	run = duo_post(1, false); /* rail 0: arrives, and is not next */
	assert_int_equal(run.rail, 0);
	assert_int_equal(duo_arrive(&run), 0);
	fence(2);
	assert_int_equal(from_b.epoch, 1);
	assert_int_equal(from_b.offset, 4096);
	assert_int_equal(from_b.records, 1);
	assert_int_equal(from_b.seg, 1);
	resume(2);
	assert_int_equal(nmti_win_epoch(a), 1);
	assert_int_equal(at().offset, 4096);
	assert_int_equal(at().records, 1);
	assert_int_equal(nmti_win_done(a), 1);
	run = duo_pass(4096, false);
	assert_int_equal(run.rail, 1);
	assert_int_equal(run.imm, duo_imm(NMTI_RUN_DATA, false, 1, 0));
	assert_int_equal(run.remote, DUO_BASE + 1 + 4096);
	duo_expect(0, 0, 4096, true, true, 0);
	duo_expect(4096, 0, 4096, false, true, 0);
	duo_close();
}

/* A run of several segments is there or is not; taken in part it holds its slot. */
static void test_resume_span(void **state)
{
	(void)state;
	duo_start(false, 1, 5, 100);
	duo_pass(250, false);
	duo_post(200, false);
	duo_expect(0, 0, 100, false, true, 0);
	fence(1);
	assert_int_equal(from_b.offset, 250);
	assert_int_equal(from_b.seg, 2);
	assert_int_equal(from_b.slots, 7);
	duo_add(40, 10, false); /* lies before the rest of the third one, and goes behind it */
	resume(1);
	assert_int_equal(at().offset, 250);
	assert_int_equal(duo_pass(250, false).remote, DUO_BASE + 250);
	duo_expect(100, 0, 100, false, true, 0);
	duo_expect(200, 0, 50, false, false, 0);
	duo_expect(200, 50, 50, false, true, 0);
	duo_close();
}

/* The number of a run that was taken back is that of the next. */
static void test_resume_numbers(void **state)
{
	struct nmti_run run;

	(void)state;
	duo_start(false, 1, 4, 4096);
	duo_pass(10, false);
	duo_post(10, false);
	duo_post(10, false);
	fence(1);
	resume(1);
	assert_int_equal(nmti_win_next(a, 5, false, &run), NMTI_WIN_GO);
	assert_int_equal(nmti_win_posted(a, &run), 2);
	assert_int_equal(nmti_win_done(a), 1);
	nmti_win_complete(a, 0, 2);
	assert_int_equal(nmti_win_done(a), 2);
	duo_close();
}

/* Other rails, more or fewer: the rail follows from the position. */
static void test_resume_rails(void **state)
{
	(void)state;
	duo_start(false, 3, 4, 4096);
	duo_pass(4096, false);
	duo_pass(4096, false);
	fence(2);
	resume(2);
	assert_int_equal(duo_pass(4096, false).rail, 0);
	assert_int_equal(duo_pass(1, false).rail, 1);
	fence(1);
	resume(1);
	assert_int_equal(duo_pass(1, false).rail, 0);
	fence(3);
	resume(3);
	assert_int_equal(duo_pass(1, false).rail, 0);
	duo_close();
}

static void test_resume_fenced(void **state)
{
	struct nmti_ctrl m = duo_msg(NMTI_CTRL_GRANT);
	struct nmti_run run;
	uint8_t buf[NMTI_CTRL_MAX];

	(void)state;
	duo_start(false, 1, 2, 100);
	duo_pass(10, false);
	duo_add(200, 100, false);
	fence(1);
	assert_int_not_equal(duo_next(10, false), NMTI_WIN_GO);
	assert_int_not_equal(nmti_win_next_fin(a, &run), NMTI_WIN_GO);
	assert_int_equal(nmti_win_due(b), NMTI_WIN_IDLE);
	assert_int_equal(nmti_win_ctrl_get(b, buf), 0);
	assert_int_equal(duo_put(b, &m, NULL), -EPROTO);
	assert_int_equal(nmti_win_arrived(b, 0, duo_imm(0, true, 0, 1), 0), -EPROTO);
	duo_expect(0, 0, 10, false, false, 0); /* reading goes on */
	duo_close();
}

static void test_resume_epochs(void **state)
{
	struct nmti_ctrl m = duo_msg(NMTI_CTRL_GRANT);

	(void)state;
	duo_start(false, 1, 2, 100);
	nmti_win_resume_point(b, 1, &from_b);
	assert_int_equal(nmti_win_resume(a, &from_b, 1), -EINVAL); /* no fence */
	fence(1);
	assert_int_equal(nmti_win_resume(a, &from_b, 0), -EINVAL);
	assert_int_equal(nmti_win_resume(a, &from_b, 2), -EINVAL);
	from_b.epoch = 0;
	assert_int_equal(nmti_win_resume(a, &from_b, 1), -ESTALE);
	from_b.epoch = 255;
	assert_int_equal(nmti_win_resume(a, &from_b, 1), -ESTALE);
	from_b.epoch = 1;
	resume(1);
	assert_int_equal(nmti_win_resume(a, &from_b, 1), -ESTALE);
	assert_int_equal(nmti_win_arrived(b, 0, duo_imm(0, true, 0, 0), 0), -EPROTO);
	assert_int_equal(duo_put(a, &m, NULL), -EPROTO);
	duo_close();
}

/* A's word for epoch 1 is lost, A goes on to 2: B follows, and tells its point for 2. */
static void test_resume_later_epoch(void **state)
{
	(void)state;
	duo_start(false, 1, 2, 100);
	duo_pass(10, false);
	fence(1);
	assert_int_equal(nmti_win_resume(a, &from_b, 1), 0);
	nmti_win_fence(a);
	nmti_win_resume_point(a, 1, &from_a);
	assert_int_equal(from_a.epoch, 2);
	assert_int_equal(nmti_win_resume(b, &from_a, 1), -EAGAIN);
	nmti_win_resume_point(b, 1, &from_b);
	assert_int_equal(from_b.epoch, 2);
	from_a.epoch = 1;
	assert_int_equal(nmti_win_resume(b, &from_a, 1), -ESTALE);
	from_a.epoch = 2;
	resume(1);
	assert_int_equal(nmti_win_epoch(b), 2);
	duo_pass(90, false);
	duo_close();
}

/* The epoch is a byte. */
static void test_resume_wraps(void **state)
{
	(void)state;
	duo_start(false, 1, 2, 4000);
	for (int i = 0; i < 600; i++) {
		duo_pass(1, true);
		duo_take();
		fence(1);
		resume(1);
	}
	assert_int_equal(nmti_win_epoch(a), 600 % 256);
	assert_int_equal(at().offset, 600);
	duo_close();
}

static void test_resume_checks(void **state)
{
	(void)state;
#define is(want, change)                                                                           \
	do {                                                                                       \
		duo_start(false, 1, 2, 100);                                                       \
		duo_pass(10, true);                                                                \
		duo_pass(10, true);                                                                \
		duo_post(10, true);                                                                \
		nmti_win_complete(a, 0, 1);                                                        \
		fence(1);                                                                          \
		change;                                                                            \
		assert_int_equal(nmti_win_resume(a, &from_b, 1), want);                            \
		duo_close();                                                                       \
	} while (0)
	is(0, );
	is(0, (from_b.offset = 10, from_b.records = 1));
	is(0, (from_b.offset = 30, from_b.records = 3));
	is(-EPROTO, (from_b.offset = 31, from_b.records = 3)); /* never sent */
	is(-EPROTO, (from_b.offset = 40, from_b.records = 4));
	is(-EPROTO, from_b.fin = true);
	is(-EPROTO, from_b.offset = 15); /* no run ended there */
	is(-EPROTO, from_b.records = 1);
	is(-ECONNRESET, (from_b.offset = 0, from_b.records = 0)); /* was complete */
	is(-EPROTO, from_b.slots = 9);
	is(0, from_b.slots = 0);
	is(-EPROTO, from_b.seg = 3);
#undef is
	/* Not below what it acknowledged, even if that was not complete. */
	duo_start(false, 1, 2, 100);
	duo_pass(10, true);
	duo_tell(b, a);
	fence(1);
	from_b.offset = from_b.records = 0;
	assert_int_equal(nmti_win_resume(a, &from_b, 1), -EPROTO);
	duo_close();
}

/* Runs that nobody took hold their slots in the next epoch, until they are taken. */
static void test_resume_slots(void **state)
{
	int n;

	(void)state;
	duo_start(false, 1, 4, 4096);
	for (int i = 0; i < 6; i++)
		duo_pass(10, false);
	fence(1);
	assert_int_equal(from_b.slots, 2);
	resume(1);
	duo_pass(10, false);
	duo_pass(10, false);
	assert_int_equal(duo_next(1, false), NMTI_WIN_CREDIT);
	assert_int_equal(nmti_win_arrived(b, 0, duo_imm(0, false, 1, 2), 1), -EPROTO);
	for (n = 0; n < 4; n++)
		duo_take();
	assert_int_equal(nmti_win_due(b), NMTI_WIN_NOW);
	duo_settle();
	for (n = 0; duo_next(10, false) == NMTI_WIN_GO; n++)
		duo_pass(10, false);
	assert_int_equal(n, 4);
	for (n = 0; !duo_empty(); n++)
		duo_take();
	assert_int_equal(n, 8);
	duo_settle();
	for (n = 0; duo_next(10, false) == NMTI_WIN_GO; n++)
		duo_pass(10, false);
	assert_int_equal(n, 8);
	duo_close();
}

/* Taken between fence and resume: not in the slots told, so returned in the new epoch. */
static void test_resume_slots_meanwhile(void **state)
{
	struct nmti_win_resume again;
	int n;

	(void)state;
	duo_start(false, 1, 4, 4096);
	for (int i = 0; i < 8; i++)
		duo_pass(10, false);
	fence(1);
	assert_int_equal(from_b.slots, 0);
	duo_take_all();
	nmti_win_resume_point(b, 1, &again);
	assert_int_equal(again.slots, 0); /* what was told stands */
	resume(1);
	for (n = 0; duo_next(10, false) == NMTI_WIN_GO; n++)
		duo_pass(10, false);
	assert_int_equal(n, 8);
	duo_close();
}

/* Regions have to be announced for the new rails before anything in them is granted. */
static void test_resume_regions(void **state)
{
	struct nmti_ctrl m = duo_msg(NMTI_CTRL_GRANT);

	(void)state;
	duo_start(false, 1, 2, 100);
	fence(1);
	assert_int_equal(nmti_win_resume(a, &from_b, 1), 0);
	assert_int_equal(nmti_win_resume(b, &from_a, 1), 0);
	duo_tell(b, a);
	assert_int_equal(duo_next(1, false), NMTI_WIN_SEGMENT);
	m.epoch = 1;
	m.count = 1;
	assert_int_equal(duo_put(a, &m, &(struct nmti_grant){ 0, 0, 1, 0, 10 }), -EPROTO);
	duo_close();
}

/* A partly filled segment is granted again as its rest, under its index. */
static void test_resume_rest(void **state)
{
	struct nmti_run run;

	(void)state;
	duo_start(true, 1, 2, 100);
	duo_pass(100, false);
	duo_pass(30, false);
	fence(1);
	assert_int_equal(from_b.seg, 1);
	resume(1);
	run = duo_pass(100, false);
	assert_int_equal(run.len, 70);
	assert_int_equal(run.remote, DUO_BASE + 130);
	duo_expect(0, 0, 100, false, true, 0);
	duo_expect(100, 0, 30, false, false, 0);
	duo_expect(100, 30, 70, false, true, 0);
	duo_close();
}

static void whole_full(void)
{
	duo_open(true, 1);
	duo_regions(1);
	duo_add(0, 100, true);
	duo_add(100, 100, false);
	duo_settle();
	duo_pass(100, false);
}

/* Full, and its end not known: granted again with nothing left. */
static void test_resume_whole_full(void **state)
{
	(void)state;
	whole_full();
	fence(1);
	resume(1);
	assert_int_equal(duo_pass(0, true).type, NMTI_RUN_DATA);
	duo_expect(0, 0, 100, false, false, 0);
	duo_expect(0, 100, 0, true, true, 0);
	duo_close();
	whole_full();
	fence(1);
	resume(1);
	assert_int_equal(duo_pass(1, true).type, NMTI_RUN_TRUNC);
	duo_close();
}

/* A TRUNC that arrived stays: the record goes on being dropped. One that did not comes again. */
static void test_resume_trunc(void **state)
{
	struct nmti_run trunc;

	(void)state;
	whole_full();
	trunc = duo_post(10, false);
	assert_int_equal(duo_arrive(&trunc), 0);
	fence(1);
	resume(1);
	assert_int_equal(at().records, 1);
	assert_int_equal(duo_next(10, false), NMTI_WIN_DISCARD);
	duo_close();

	whole_full();
	trunc = duo_post(10, false);
	assert_int_equal(trunc.type, NMTI_RUN_TRUNC);
	fence(1);
	resume(1);
	assert_int_equal(at().records, 0);
	assert_int_equal(duo_pass(10, false).type, NMTI_RUN_TRUNC);
	duo_close();
}

/* It was lost, and the segment was cancelled: the record goes on in the next one. */
static void test_resume_trunc_cancelled(void **state)
{
	struct nmti_run run;

	(void)state;
	whole_full();
	duo_take();
	duo_post(10, true);
	nmti_win_discarded(a);
	assert_int_equal(nmti_win_cancel(b, 0), 0);
	fence(1);
	duo_returned(0);
	resume(1);
	run = duo_pass(10, true);
	assert_int_equal(run.type, NMTI_RUN_DATA);
	assert_int_equal(run.len, 10);
	assert_int_equal(run.remote, DUO_BASE + 100);
	duo_expect(100, 0, 10, true, true, 0);
	duo_close();
}

/* At a fence all that was to be cancelled ends; the rest is granted under new indexes. */
static void test_fence_cancels(void **state)
{
	struct nmti_run run;

	(void)state;
	duo_start(true, 1, 4, 100);
	duo_pass(10, false);
	assert_int_equal(nmti_win_cancel(b, 100), 0);
	duo_tell(b, a); /* asked, and no answer */
	assert_int_equal(nmti_win_cancel(b, 200), 0); /* not even asked */
	fence(1);
	duo_returned(100);
	duo_returned(200);
	duo_returned(-1);
	resume(1);
	assert_int_equal(duo_next(0, false), NMTI_WIN_NOTHING); /* no STOP */
	assert_int_equal(duo_pass(90, false).remote, DUO_BASE + 10);
	run = duo_pass(10, true);
	assert_int_equal(run.remote, DUO_BASE + 300);
	duo_expect(0, 0, 10, false, false, 0);
	duo_expect(0, 10, 90, false, true, 0);
	duo_expect(300, 0, 10, true, true, 0);
	duo_close();
}

/* The one that has bytes ends behind them: with the last piece, or, if that was taken, by itself. */
static void test_fence_cancels_partly(void **state)
{
	(void)state;
	duo_start(true, 1, 2, 100);
	duo_pass(10, false);
	assert_int_equal(nmti_win_cancel(b, 0), 0);
	fence(1);
	duo_returned(-1);
	duo_expect(0, 0, 10, false, true, -ECANCELED);
	resume(1);
	assert_int_equal(duo_pass(1, false).remote, DUO_BASE + 100);
	duo_close();

	duo_start(true, 1, 2, 100);
	duo_pass(10, false);
	duo_expect(0, 0, 10, false, false, 0);
	assert_int_equal(nmti_win_cancel(b, 0), 0);
	fence(1);
	duo_returned(0);
	resume(1);
	assert_int_equal(duo_pass(1, false).remote, DUO_BASE + 100);
	duo_close();
}

/* A run is of the current segment, also while its cancel has no answer: it is not lost at a fence. */
static void test_fence_keeps_run_of_cancelled(void **state)
{
	(void)state;
	duo_start(true, 1, 2, 100);
	assert_int_equal(nmti_win_cancel(b, 0), 0);
	duo_tell1(b, a);
	fence(1);
	duo_returned(0);
	duo_close();

	duo_start(true, 1, 2, 100);
	struct nmti_run run = duo_post(10, false);

	nmti_win_complete(a, 0, 1); /* its memory was given back */
	assert_int_equal(nmti_win_cancel(b, 0), 0);
	duo_tell(b, a);
	assert_int_equal(duo_arrive(&run), 0); /* and the answer is lost */
	fence(1);
	resume(1);
	duo_expect(0, 0, 10, false, true, -ECANCELED);
	duo_close();
}

/* Cancelled after the resume: what an earlier epoch brought comes before the end. */
static void test_resume_then_cancel(void **state)
{
	struct nmti_run stop;

	(void)state;
	duo_start(true, 1, 2, 100);
	duo_pass(10, false);
	fence(1);
	resume(1);
	assert_int_equal(nmti_win_cancel(b, 0), 0);
	duo_settle();
	duo_returned(-1);
	stop = duo_post_type(NMTI_RUN_STOP, 0, false);
	assert_int_equal(duo_arrive(&stop), 0);
	duo_expect(0, 0, 10, false, false, 0);
	duo_expect(0, 10, 0, false, true, -ECANCELED);
	duo_close();
}

static void test_resume_fin(void **state)
{
	struct nmti_run fin;

	(void)state;
	duo_start(false, 1, 2, 100);
	duo_post_fin();
	fence(1); /* lost */
	assert_false(from_b.fin);
	resume(1);
	assert_false(at().fin);
	assert_int_equal(duo_next(1, false), NMTI_WIN_GO);
	fin = duo_post_fin();
	assert_int_equal(duo_arrive(&fin), 0);
	fence(1); /* arrived */
	assert_true(from_b.fin);
	resume(1);
	assert_true(at().fin);
	assert_int_equal(nmti_win_next_fin(a, &fin), NMTI_WIN_NOTHING);
	assert_int_equal(nmti_win_arrived(b, 0, duo_imm(0, true, 2, 0), 0), -EPROTO);
	assert_true(duo_take().fin);
	duo_close();
}

/* Grants that were lost are made again; those after FIN are not needed. */
static void test_resume_fin_index(void **state)
{
	uint8_t buf[NMTI_CTRL_MAX];
	struct nmti_run fin;

	(void)state;
	duo_start(false, 1, 2, 100);
	duo_add(200, 100, false);
	duo_add(300, 100, false);
	assert_true(nmti_win_ctrl_get(b, buf) > 0); /* lost */
	fin = duo_post_fin();
	assert_int_equal(duo_arrive(&fin), 0);
	assert_true(duo_take().fin);
	fence(1);
	assert_int_equal(nmti_win_resume(a, &from_b, 1), 0);
	duo_close();
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_resume_rewinds), cmocka_unit_test(test_resume_span),
	cmocka_unit_test(test_resume_numbers),
	cmocka_unit_test(test_resume_rails), cmocka_unit_test(test_resume_fenced),
	cmocka_unit_test(test_resume_epochs), cmocka_unit_test(test_resume_later_epoch),
	cmocka_unit_test(test_resume_wraps), cmocka_unit_test(test_resume_checks),
	cmocka_unit_test(test_resume_slots), cmocka_unit_test(test_resume_slots_meanwhile),
	cmocka_unit_test(test_resume_regions), cmocka_unit_test(test_resume_rest),
	cmocka_unit_test(test_resume_whole_full), cmocka_unit_test(test_resume_trunc),
	cmocka_unit_test(test_resume_trunc_cancelled), cmocka_unit_test(test_fence_cancels),
	cmocka_unit_test(test_fence_cancels_partly),
	cmocka_unit_test(test_fence_keeps_run_of_cancelled),
	cmocka_unit_test(test_resume_then_cancel), cmocka_unit_test(test_resume_fin),
	cmocka_unit_test(test_resume_fin_index),
};

int main(void)
{
	return cmocka_run_group_tests(tests, NULL, NULL);
}
