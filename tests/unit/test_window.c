/* SPDX-License-Identifier: BSD-2-Clause */
/* The rules of the window for credit, order, records and the end, one test for each: docs/wire.md. */
#include "window_duo.h"

/* ---- memory --------------------------------------------------------------------------------- */

static void test_attr(void **state)
{
	struct nmti_win_attr attr = duo_plain;
	struct nmti_win *w;

	(void)state;
#define bad(change)                                                                                \
	do {                                                                                       \
		attr = duo_plain;                                                                  \
		change;                                                                            \
		assert_int_equal(nmti_win_open(&attr, &w), -EINVAL);                               \
	} while (0)
	bad(attr.rails = 0);
	bad(attr.rails = 2);
	bad(attr.rails_max = NMTI_RAILS_MAX + 1);
	bad(attr.tx_stripe = 11);
	bad(attr.rx_stripe = 31);
	bad(attr.tx_slots = 1);
	bad(attr.rx_slots = NMTI_SLOTS_MAX + 1);
	bad(attr.tx_ctrl = 3);
	bad(attr.rx_ctrl = 0);
	bad(attr.ctrl_max = 127);
	bad(attr.tx_depth = 0);
	bad(attr.tx_depth = 12);
	bad(attr.tx_segs = 3);
	bad(attr.rx_segs = 0);
	bad(attr.tx_segs = 1);
	bad(attr.rx_grants = 1);
#undef bad
}

static void test_small(void **state)
{
	struct nmti_win_attr attr = duo_plain;

	(void)state;
	attr.tx_slots = attr.rx_slots = attr.tx_segs = attr.rx_segs = 64;
	attr.tx_depth = 128;
	assert_in_range(nmti_win_bytes(&attr), 1024, 6 * 1024);
}

/* ---- run credit ----------------------------------------------------------------------------- */

static void test_run_credit(void **state)
{
	(void)state;
	duo_start(false, 1, 4, 4096);
	for (int i = 0; i < 8; i++)
		duo_pass(10, false);
	assert_int_equal(duo_next(10, false), NMTI_WIN_CREDIT);
	duo_tell(b, a); /* arrived, but not taken: no credit */
	assert_int_equal(duo_next(10, false), NMTI_WIN_CREDIT);
	duo_take();
	assert_int_equal(nmti_win_due(b), NMTI_WIN_LATER);
	duo_tell(b, a);
	duo_pass(10, false);
	assert_int_equal(duo_next(10, false), NMTI_WIN_CREDIT);
	duo_close();
}

/* What is under way, in bytes, and what the peer still takes. */
static void test_flight(void **state)
{
	(void)state;
	duo_start(false, 1, 2, 100);
	assert_int_equal(nmti_win_granted(a), 2);
	for (int i = 1; i <= 4; i++) {
		duo_pass(50, false);
		assert_int_equal(nmti_win_flight(a), i * 50);
		assert_int_equal(nmti_win_granted(a), 2 - i / 2);
	}
	nmti_win_complete(a, 0, 3);
	assert_int_equal(nmti_win_flight(a), 50);
	nmti_win_complete(a, 0, 4);
	assert_int_equal(nmti_win_flight(a), 0);
	duo_close();
}

/* Half of the slots owed have to be told at once. */
static void test_credit_due(void **state)
{
	(void)state;
	duo_start(false, 1, 4, 4096);
	for (int i = 0; i < 8; i++)
		duo_pass(10, false);
	for (int i = 0; i < 4; i++) {
		assert_int_not_equal(nmti_win_due(b), NMTI_WIN_NOW);
		duo_take();
	}
	assert_int_equal(nmti_win_due(b), NMTI_WIN_NOW);
	assert_int_equal(duo_tell(b, a), 1);
	assert_int_equal(nmti_win_due(b), NMTI_WIN_IDLE);
	for (int i = 0; i < 4; i++)
		duo_pass(10, false);
	assert_int_equal(duo_next(10, false), NMTI_WIN_CREDIT);
	duo_close();
}

/* Each rail has slots of its own. */
static void test_credit_per_rail(void **state)
{
	(void)state;
	duo_start(false, 2, 4, 4096);
	duo_post(4090, false);
	for (int i = 0; i < 7; i++)
		duo_post(0, true);
	assert_int_equal(duo_next(6, false), NMTI_WIN_CREDIT);
	duo_close();

	duo_start(false, 2, 4, 4096);
	for (int i = 0; i < 7; i++)
		duo_post(0, true);
	assert_int_equal(duo_post(4096, false).rail, 0);
	assert_int_equal(duo_post(1, false).rail, 1);
	duo_close();
}

static void test_run_without_credit(void **state)
{
	(void)state;
	duo_start(false, 1, 4, 4096);
	for (uint32_t i = 0; i < 8; i++)
		assert_int_equal(nmti_win_arrived(b, 0, duo_imm(0, false, 0, i), 1), 0);
	duo_take_all(); /* taken, but not told */
	assert_int_equal(nmti_win_arrived(b, 0, duo_imm(0, false, 0, 8), 1), -EPROTO);
	duo_close();
}

/* Also for those that wait for another rail, and not on rails that there are not. */
static void test_held_without_credit(void **state)
{
	(void)state;
	duo_start(false, 2, 4, 4096);
	for (uint32_t i = 0; i < 8; i++)
		assert_int_equal(nmti_win_arrived(b, 1, duo_imm(0, true, 0, i + 1), 0), 0);
	assert_int_equal(nmti_win_arrived(b, 1, duo_imm(0, true, 0, 9), 0), -EPROTO);
	assert_int_equal(nmti_win_arrived(b, 2, duo_imm(0, true, 0, 0), 0), -EPROTO);
	duo_close();
}

/* ---- control credit ------------------------------------------------------------------------- */

/* The last slot is kept for a message that gives one back. */
static void test_ctrl_reserve(void **state)
{
	uint8_t buf[NMTI_CTRL_MAX];

	(void)state;
	duo_start(false, 1, 0, 0);
	duo_add(0, 100, false);
	duo_tell(b, a); /* REGION and GRANT */
	duo_add(100, 100, false);
	assert_true(nmti_win_ctrl_get(b, buf) > 0); /* lost on purpose: A returns nothing for it */
	duo_add(200, 100, false);
	assert_int_equal(nmti_win_due(b), NMTI_WIN_LATER);
	assert_int_equal(nmti_win_ctrl_get(b, buf), -EAGAIN);
	/* A returns two; then there are three. */
	assert_int_equal(nmti_win_due(a), NMTI_WIN_NOW);
	assert_true(duo_tell1(a, b) > 0);
	assert_true(nmti_win_ctrl_get(b, buf) > 0);
	duo_close();
}

static void test_ctrl_last_slot(void **state)
{
	struct nmti_ctrl m = duo_msg(NMTI_CTRL_GRANT);
	uint8_t buf[NMTI_CTRL_MAX];

	(void)state;
	duo_open(false, 1);
	duo_regions(1);
	for (int i = 0; i < 3; i++) {
		duo_add(i * 10, 10, false);
		assert_true(nmti_win_ctrl_get(b, buf) > 0);
	}
	duo_add(30, 10, false);
	assert_int_equal(nmti_win_ctrl_get(b, buf), -EAGAIN);
	assert_int_equal(duo_put(b, &m, NULL), 0);
	assert_true(nmti_win_ctrl_get(b, buf) > 0);
	assert_int_equal(duo_put(b, &m, NULL), 0);
	assert_int_equal(nmti_win_ctrl_get(b, buf), -EAGAIN);
	duo_close();
}

/* Two ends that only return control credit to each other stop by themselves. */
static void test_ctrl_no_echo(void **state)
{
	int n = 0;

	(void)state;
	duo_start(false, 1, 4, 4096);
	duo_pass(10, false);
	duo_tell(a, b);
	duo_tell(b, a);
	while (nmti_win_due(a) == NMTI_WIN_NOW || nmti_win_due(b) == NMTI_WIN_NOW) {
		duo_tell1(a, b);
		duo_tell1(b, a);
		assert_in_range(++n, 1, 4);
	}
	duo_close();
}

static void test_ctrl_without_credit(void **state)
{
	struct nmti_ctrl m = duo_msg(NMTI_CTRL_GRANT);

	(void)state;
	duo_open(false, 1);
	for (int i = 0; i < 4; i++)
		assert_int_equal(duo_put(b, &m, NULL), 0);
	assert_int_equal(duo_put(b, &m, NULL), -EPROTO);
	duo_close();
}

/* Two ends that both write before they read: messages pass though all run slots are full. */
static void test_ctrl_beside_runs(void **state)
{
	(void)state;
	duo_start(false, 1, 4, 4096);
	for (int i = 0; i < 8; i++)
		duo_pass(1, false);
	assert_int_equal(nmti_win_region(a, 0, 0, 1, 100, 1), 0);
	assert_int_equal(nmti_win_add(a, &(struct nmti_seg){ .len = 100 }), 0);
	duo_settle();
	struct nmti_win_stat st;
	nmti_win_stats(b, &st);
	assert_int_equal(st.granted, 1);
	duo_close();
}

/* ---- what a peer says of counts ------------------------------------------------------------- */

static void test_counts(void **state)
{
	struct nmti_win_stat st;
	struct nmti_ctrl m;

	(void)state;
#define is(want, change)                                                                           \
	do {                                                                                       \
		duo_start(false, 1, 4, 4096);                                                      \
		nmti_win_stats(a, &st);                                                            \
		duo_pass(10, true);                                                                \
		duo_pass(10, true);                                                                \
		m = duo_msg(NMTI_CTRL_GRANT);							   \
		m.ctrl_credit = (uint32_t)st.ctrl_sent;						   \
		m.run_credit[0] = 1;								   \
		m.offset = 10;									   \
		m.records = 1;									   \
		assert_int_equal(duo_put(a, &m, NULL), 0);                                         \
		change;                                                                            \
		assert_int_equal(duo_put(a, &m, NULL), want);                                      \
		duo_close();                                                                       \
	} while (0)
	is(0, );
	is(0, m.run_credit[0] = 2);
	is(-EPROTO, m.run_credit[0] = 0); /* goes back */
	is(-EPROTO, m.run_credit[0] = 3); /* more than was used */
	is(-EPROTO, m.ctrl_credit--);
	is(-EPROTO, m.ctrl_credit++);
	is(0, m.offset = 20);
	is(-EPROTO, m.offset = 9);
	is(-EPROTO, m.offset = 21); /* more than was sent */
	is(-EPROTO, m.records = 0);
	is(-EPROTO, m.records = 3);
	is(-EPROTO, m.epoch = 1);
	is(-EPROTO, m.epoch = 255);
	is(-EPROTO, m.nrails = 2);
#undef is
}

static void test_acked(void **state)
{
	struct nmti_win_pos pos;

	(void)state;
	duo_start(false, 1, 4, 4096);
	duo_pass(10, true);
	nmti_win_acked(a, &pos);
	assert_int_equal(pos.offset, 0);
	duo_tell(b, a); /* arrived counts, taken or not */
	nmti_win_acked(a, &pos);
	assert_int_equal(pos.offset, 10);
	assert_int_equal(pos.records, 1);
	duo_close();
}

/* ---- order ---------------------------------------------------------------------------------- */

/* A run ends where memory does not adjoin and at a stripe's end; its rail follows from its position. */
static void test_cut(void **state)
{
	static const uint32_t lens[] = { 3000, 1096, 1904, 2192, 808, 3000 };
	static const uint8_t rails[] = { 0, 0, 1, 1, 2, 2 };
	struct nmti_run run;

	(void)state;
	duo_start(false, 3, 0, 0);
	for (uint32_t i = 0; i < 4; i++)
		duo_add(i * 3001, 3000, false);
	duo_settle();
	for (int i = 0; i < 6; i++) {
		run = duo_post(100000, true);
		assert_int_equal(run.len, lens[i]);
		assert_int_equal(run.rail, rails[i]);
		assert_false(run.eor); /* not its end */
		assert_int_equal(run.key, DUO_KEY + run.rail);
	}
	duo_close();
}

/* Pool mode: one run for segments that adjoin, as far as the stripe goes; a piece for each. */
static void test_span(void **state)
{
	struct nmti_win_at at;
	struct nmti_piece piece;
	struct nmti_run run;

	(void)state;
	duo_start(false, 2, 4, 1500);
	duo_pass(100, false);
	run = duo_pass(9000, true);
	assert_int_equal(run.len, 3996); /* the stripe's end */
	assert_int_equal(run.remote, DUO_BASE + 100);
	assert_false(run.eor);
	run = duo_pass(1000, true);
	assert_int_equal(run.len, 1000);
	assert_int_equal(run.rail, 1);
	assert_int_equal(run.remote, DUO_BASE + 1 + 4096);
	nmti_win_first(b, &at);
	for (int i = 0; i < 6; i++)
		assert_true(nmti_win_look(b, &at, &piece));
	assert_int_equal(piece.len, 596);
	assert_true(piece.eor);
	assert_false(nmti_win_look(b, &at, &piece));
	duo_expect(0, 0, 100, false, false, 0);
	assert_true(nmti_win_peek(b, &piece));
	assert_int_equal(piece.rest, 3996 - 1400);
	duo_expect(0, 100, 1400, false, true, 0);
	duo_expect(1500, 0, 1500, false, true, 0);
	assert_true(nmti_win_peek(b, &piece));
	assert_int_equal(piece.rest, 0);
	duo_expect(3000, 0, 1096, false, false, 0);
	duo_expect(3000, 1096, 404, false, true, 0);
	duo_expect(4500, 0, 596, true, false, 0);
	duo_pass(904, false); /* to the end of what is granted */
	duo_expect(4500, 596, 904, false, true, 0);
	assert_int_equal(duo_next(1, false), NMTI_WIN_SEGMENT);
	duo_close();
}

/* The credit of a run is returned with the last of its pieces; who granted more meanwhile may. */
static void test_span_credit(void **state)
{
	(void)state;
	duo_attr.tx_slots = duo_attr.rx_slots = 2;
	duo_attr.tx_segs = 4;
	duo_attr.rx_grants = 4;
	duo_start(false, 1, 4, 100);
	assert_int_equal(duo_pass(250, false).len, 250);
	assert_int_equal(nmti_win_granted(a), 2);
	duo_add(400, 100, false);
	duo_add(500, 100, false);
	duo_tell(b, a);
	assert_int_equal(nmti_win_granted(a), 4);
	assert_int_equal(duo_pass(300, true).len, 300); /* into the grant that came meanwhile */
	assert_int_equal(duo_next(1, false), NMTI_WIN_CREDIT);
	for (int i = 0; i < 2; i++)
		duo_take();
	assert_int_not_equal(nmti_win_due(b), NMTI_WIN_NOW);
	duo_take();
	assert_int_equal(nmti_win_due(b), NMTI_WIN_NOW);
	duo_settle();
	assert_int_equal(duo_pass(1, false).len, 1);
	duo_expect(200, 50, 50, false, true, 0);
	duo_expect(300, 0, 100, false, true, 0);
	duo_expect(400, 0, 100, false, true, 0);
	duo_expect(500, 0, 50, true, false, 0);
	duo_expect(500, 50, 1, false, false, 0);
	duo_close();
}

/* A run does not grow without end, nor into another region, nor from one receive to the next. */
static void test_span_ends(void **state)
{
	const struct nmti_seg other = { .offset = 100, .len = 100, .region = 1 };

	(void)state;
	duo_attr.tx_stripe = duo_attr.rx_stripe = 30;
	duo_open(false, 1);
	assert_int_equal(nmti_win_region(b, 0, 0, 0, 1u << 30, 1), 0);
	for (uint32_t i = 0; i < 4; i++)
		duo_add(i * (NMTI_WIN_SPAN - 1), NMTI_WIN_SPAN - 1, false);
	duo_settle();
	assert_int_equal(duo_pass(UINT32_MAX, false).len, 2 * (NMTI_WIN_SPAN - 1));
	duo_close();
	duo_open(false, 1);
	duo_regions(1);
	assert_int_equal(nmti_win_region(b, 1, 0, DUO_BASE, DUO_REGION, 5), 0);
	duo_add(0, 100, false);
	assert_int_equal(nmti_win_add(b, &other), 0);
	duo_settle();
	assert_int_equal(duo_pass(200, false).len, 100);
	assert_int_equal(duo_pass(200, false).key, 5);
	duo_close();
	duo_start(true, 1, 4, 100);
	assert_int_equal(duo_pass(200, false).len, 100);
	duo_close();
}

/* What a peer cannot write with one run. */
static void test_span_checks(void **state)
{
	const uint32_t imm = duo_imm(0, false, 0, 0);

	(void)state;
	duo_start(false, 1, 4, 100);
	assert_int_equal(nmti_win_arrived(b, 0, imm, 401), -EPROTO);
	duo_close();
	duo_start(false, 1, 4, 100);
	duo_add(400, 100, false); /* not granted */
	assert_int_equal(nmti_win_arrived(b, 0, imm, 401), -EPROTO);
	duo_close();
	duo_start(false, 1, 4, 100);
	assert_int_equal(nmti_win_arrived(b, 0, duo_imm(NMTI_RUN_FIN, false, 0, 0), 101), -EPROTO);
	duo_close();
	duo_start(false, 1, 4, 100);
	assert_int_equal(nmti_win_arrived(b, 0, duo_imm(0, false, 0, 1), 101), -EPROTO);
	duo_close();
	duo_open(false, 1);
	duo_regions(1);
	duo_add(0, 100, false);
	duo_add(101, 100, false);
	duo_settle();
	assert_int_equal(nmti_win_arrived(b, 0, imm, 101), -EPROTO);
	duo_close();
	duo_start(false, 1, 4, 2000);
	assert_int_equal(nmti_win_arrived(b, 0, imm, 4097), -EPROTO); /* the stripe */
	duo_close();
	duo_start(true, 1, 4, 100);
	assert_int_equal(nmti_win_arrived(b, 0, imm, 101), -EPROTO);
	duo_close();
}

/* The end of a record at that of a stripe. */
static void test_record_ends_with_stripe(void **state)
{
	(void)state;
	duo_start(false, 2, 2, 6000);
	duo_pass(4096, true);
	assert_int_equal(duo_pass(1904, true).remote, DUO_BASE + 1 + 4096); /* the cell goes on */
	duo_expect(0, 0, 4096, true, false, 0);
	duo_expect(0, 4096, 1904, true, true, 0);
	duo_close();
	duo_start(true, 2, 2, 6000);
	duo_pass(4096, true);
	duo_pass(4096, true);
	duo_expect(0, 0, 4096, true, true, 0);
	duo_expect(6000, 0, 4096, true, true, 0);
	duo_close();
}

static void test_empty_on_rail_of_position(void **state)
{
	struct nmti_run run;

	(void)state;
	duo_start(false, 2, 4, 4096);
	assert_int_equal(duo_pass(0, true).rail, 0);
	duo_pass(4096, false);
	run = duo_post(0, true);
	assert_int_equal(run.rail, 1);
	assert_int_equal(nmti_win_arrived(b, 1, run.imm, 0), 0);
	duo_take_all();
	run = duo_post_fin();
	assert_int_equal(run.rail, 1);
	duo_close();
	duo_start(true, 2, 4, 4096);
	assert_int_equal(duo_pass(0, true).rail, 0);
	assert_int_equal(duo_pass(1, true).rail, 0);
	duo_close();
}

/* Rails overtake each other; the stream does not show it. */
static void test_rails_overtake(void **state)
{
	struct nmti_run run[4];

	(void)state;
	duo_start(false, 2, 4, 4096);
	for (int i = 0; i < 4; i++)
		run[i] = duo_post(4096, i == 3);
	assert_int_equal(duo_arrive(&run[1]), 0);
	assert_int_equal(duo_arrive(&run[3]), 0);
	assert_true(duo_empty());
	assert_int_equal(duo_arrive(&run[0]), 0);
	duo_expect(0, 0, 4096, false, true, 0);
	duo_expect(4096, 0, 4096, false, true, 0);
	assert_true(duo_empty());
	assert_int_equal(duo_arrive(&run[2]), 0);
	duo_expect(8192, 0, 4096, false, true, 0);
	duo_expect(12288, 0, 4096, true, true, 0);
	duo_close();
}

/* Each is valid but for one thing. */
static void test_run_checks(void **state)
{
	(void)state;
#define is(want, imm, len)                                                                         \
	do {                                                                                       \
		duo_start(false, 1, 1, 5000);                                                      \
		duo_pass(100, false);                                                              \
		assert_int_equal(nmti_win_arrived(b, 0, imm, len), want);                          \
		duo_close();                                                                       \
	} while (0)
	is(0, duo_imm(NMTI_RUN_DATA, false, 0, 1), 1);
	is(0, duo_imm(NMTI_RUN_DATA, false, 0, 1), 3996);
	is(-EPROTO, duo_imm(NMTI_RUN_DATA, false, 0, 1), 3997); /* over the stripe */
	is(-EPROTO, duo_imm(NMTI_RUN_DATA, false, 0, 1), UINT32_MAX);
	is(-EPROTO, duo_imm(NMTI_RUN_DATA, false, 0, 1), 0);
	is(0, duo_imm(NMTI_RUN_DATA, true, 0, 1), 0);
	is(-EPROTO, duo_imm(NMTI_RUN_DATA, false, 0, 0), 1);
	is(-EPROTO, duo_imm(NMTI_RUN_DATA, false, 0, 2), 1);
	is(-EPROTO, duo_imm(NMTI_RUN_DATA, true, 0, 2), 0);
	is(-EPROTO, duo_imm(NMTI_RUN_DATA, false, 1, 1), 1);
	is(-EPROTO, duo_imm(NMTI_RUN_DATA, true, 255, 1), 0);
	is(0, duo_imm(NMTI_RUN_FIN, false, 0, 1), 0);
	is(-EPROTO, duo_imm(NMTI_RUN_FIN, false, 0, 1), 1);
	is(-EPROTO, duo_imm(NMTI_RUN_FIN, true, 0, 1), 0);
	is(-EPROTO, duo_imm(NMTI_RUN_STOP, false, 0, 1), 0);
	is(-EPROTO, duo_imm(NMTI_RUN_TRUNC, false, 0, 1), 0);
	is(-EPROTO, duo_imm(4, false, 0, 1), 0);
	is(-EPROTO, duo_imm(7, false, 0, 1), 1);
#undef is
}

static void test_run_beyond_segment(void **state)
{
	(void)state;
	duo_start(false, 1, 1, 100);
	assert_int_equal(nmti_win_arrived(b, 0, duo_imm(0, false, 0, 0), 101), -EPROTO);
	assert_int_equal(nmti_win_arrived(b, 0, duo_imm(0, false, 0, 0), 100), 0);
	assert_int_equal(nmti_win_arrived(b, 0, duo_imm(0, false, 0, 1), 1), -EPROTO);
	duo_close();
}

/* ---- records -------------------------------------------------------------------------------- */

static void test_records_pool(void **state)
{
	(void)state;
	duo_start(false, 1, 2, 100);
	duo_pass(30, true); /* the cell goes on */
	duo_pass(0, true);
	duo_pass(70, false);
	duo_pass(100, false);
	assert_int_equal(duo_next(1, false), NMTI_WIN_SEGMENT);
	duo_pass(0, true); /* late, between cells: needs none */
	duo_expect(0, 0, 30, true, false, 0);
	duo_expect(0, 30, 0, true, false, 0);
	duo_expect(0, 30, 70, false, true, 0);
	duo_expect(100, 0, 100, false, true, 0);
	duo_expect(0, 0, 0, true, false, 0);
	duo_close();
}

static void test_records_posted(void **state)
{
	(void)state;
	duo_start(true, 1, 5, 100);
	duo_pass(30, true);   /* ends the segment */
	duo_pass(100, true);  /* full with its record */
	duo_pass(100, false); /* full */
	duo_pass(0, true);    /* its end is late: the next one tells it */
	duo_expect(0, 0, 30, true, true, 0);
	duo_expect(100, 0, 100, true, true, 0);
	duo_expect(200, 0, 100, false, true, 0);
	duo_expect(300, 0, 0, true, true, 0);
	duo_pass(100, false);
	assert_int_equal(duo_next(0, true), NMTI_WIN_SEGMENT);
	assert_int_equal(nmti_win_arrived(b, 0, duo_imm(0, true, 0, 5), 0), -EPROTO);
	duo_close();
}

static void whole(void)
{
	duo_open(true, 1);
	duo_regions(1);
	duo_add(0, 100, true);
	duo_add(100, 100, true);
	duo_settle();
}

static void test_whole_fits(void **state)
{
	(void)state;
	whole();
	duo_pass(100, true);
	duo_expect(0, 0, 100, true, true, 0);
	duo_pass(60, false);
	duo_pass(40, false);
	assert_int_equal(duo_next(0, false), NMTI_WIN_NOTHING);
	duo_expect(100, 0, 60, false, false, 0);
	duo_expect(100, 60, 40, false, false, 0); /* not finished: its end is not known */
	duo_pass(0, true);
	duo_expect(100, 100, 0, true, true, 0);
	duo_close();
}

static void test_whole_truncated(void **state)
{
	struct nmti_win_pos pos;
	struct nmti_run run;

	(void)state;
	whole();
	duo_pass(1000, true);
	run = duo_pass(900, true);
	assert_int_equal(run.type, NMTI_RUN_TRUNC);
	assert_int_equal(run.len, 0);
	assert_int_equal(duo_next(900, true), NMTI_WIN_DISCARD);
	nmti_win_discarded(a);
	nmti_win_tx_pos(a, &pos);
	assert_int_equal(pos.offset, 100);
	assert_int_equal(pos.records, 1);
	duo_pass(10, true);
	duo_expect(0, 0, 100, false, false, 0);
	duo_expect(0, 100, 0, false, true, -EMSGSIZE);
	duo_expect(100, 0, 10, true, true, 0);
	duo_close();
}

/* TRUNC needs a full WHOLE segment. */
static void test_trunc_checks(void **state)
{
	(void)state;
	whole();
	duo_pass(99, false);
	assert_int_equal(nmti_win_arrived(b, 0, duo_imm(NMTI_RUN_TRUNC, false, 0, 1), 0), -EPROTO);
	duo_close();
	whole();
	duo_pass(100, false);
	assert_int_equal(nmti_win_arrived(b, 0, duo_imm(NMTI_RUN_DATA, false, 0, 1), 1), -EPROTO);
	duo_close();
	duo_start(true, 1, 1, 100);
	duo_pass(100, false);
	assert_int_equal(nmti_win_arrived(b, 0, duo_imm(NMTI_RUN_TRUNC, false, 0, 1), 0), -EPROTO);
	duo_close();
}

/* ---- the end -------------------------------------------------------------------------------- */

static void test_fin(void **state)
{
	struct nmti_piece piece;
	struct nmti_win_pos pos;
	struct nmti_run run;
	uint64_t cookie;

	(void)state;
	duo_start(false, 2, 3, 3000);
	run = duo_post(3000, false);
	duo_post_fin();
	nmti_win_tx_pos(a, &pos);
	assert_true(pos.fin);
	assert_int_equal(duo_next(1, false), NMTI_WIN_NOTHING);
	assert_int_equal(nmti_win_next_fin(a, &run), NMTI_WIN_NOTHING);
	assert_int_equal(nmti_win_arrived(b, 0, duo_imm(NMTI_RUN_DATA, false, 0, 0), 3000), 0);
	assert_int_equal(nmti_win_arrived(b, 0, duo_imm(NMTI_RUN_FIN, false, 0, 1), 0), 0);
	duo_expect(0, 0, 3000, false, true, 0);
	assert_false(nmti_win_returned(b, &cookie));
	piece = duo_take();
	assert_true(piece.fin);
	/* What is left comes back, and nothing can be added. */
	assert_true(nmti_win_returned(b, &cookie));
	assert_int_equal(cookie, 3000);
	assert_true(nmti_win_returned(b, &cookie));
	assert_int_equal(cookie, 6000);
	assert_false(nmti_win_returned(b, &cookie));
	assert_int_equal(nmti_win_add(b, &(struct nmti_seg){ .len = 1 }), -EPIPE);
	assert_int_equal(nmti_win_arrived(b, 0, duo_imm(NMTI_RUN_DATA, true, 0, 2), 0), -EPROTO);
	assert_int_equal(nmti_win_arrived(b, 1, duo_imm(NMTI_RUN_DATA, true, 0, 2), 0), -EPROTO);
	duo_close();
}

/* It counts at its position, and behind it nothing may come: not even what came before it. */
static void test_fin_in_order(void **state)
{
	struct nmti_run data, fin;

	(void)state;
	duo_start(false, 2, 2, 4096);
	data = duo_post(4096, false);
	fin = duo_post_fin();
	assert_int_equal(fin.rail, 1);
	assert_int_equal(duo_arrive(&fin), 0);
	assert_true(duo_empty());
	assert_int_equal(duo_arrive(&data), 0);
	assert_false(duo_take().fin);
	assert_true(duo_take().fin);
	duo_close();

	duo_start(false, 2, 2, 4096);
	assert_int_equal(nmti_win_arrived(b, 1, duo_imm(0, true, 0, 1), 0), 0);
	assert_int_equal(nmti_win_arrived(b, 0, duo_imm(NMTI_RUN_FIN, false, 0, 0), 0), -EPROTO);
	duo_close();
}

/* ---- completions ---------------------------------------------------------------------------- */

static void test_done(void **state)
{
	(void)state;
	duo_start(false, 2, 4, 4096);
	for (int i = 0; i < 4; i++) /* 1 and 3 on rail 0, 2 and 4 on rail 1 */
		duo_post(4096, false);
	assert_int_equal(nmti_win_done(a), 0);
	nmti_win_complete(a, 1, 4);
	assert_int_equal(nmti_win_done(a), 0);
	nmti_win_complete(a, 0, 1);
	assert_int_equal(nmti_win_done(a), 2);
	nmti_win_complete(a, 0, 3);
	assert_int_equal(nmti_win_done(a), 4);
	duo_close();
}

static void test_depth(void **state)
{
	(void)state;
	duo_attr.tx_depth = 2;
	duo_start(false, 1, 4, 4096);
	duo_post(0, true);
	duo_post(0, true);
	assert_int_equal(duo_next(0, true), NMTI_WIN_DEPTH);
	nmti_win_complete(a, 0, 1);
	assert_int_equal(duo_next(0, true), NMTI_WIN_GO);
	duo_close();
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_attr), cmocka_unit_test(test_small),
	cmocka_unit_test(test_run_credit), cmocka_unit_test(test_credit_due),
		cmocka_unit_test(test_flight),
	cmocka_unit_test(test_credit_per_rail), cmocka_unit_test(test_run_without_credit),
	cmocka_unit_test(test_held_without_credit), cmocka_unit_test(test_ctrl_reserve),
	cmocka_unit_test(test_ctrl_last_slot), cmocka_unit_test(test_ctrl_no_echo),
	cmocka_unit_test(test_ctrl_without_credit), cmocka_unit_test(test_ctrl_beside_runs),
	cmocka_unit_test(test_counts), cmocka_unit_test(test_acked), cmocka_unit_test(test_cut),
	cmocka_unit_test(test_span), cmocka_unit_test(test_span_credit),
	cmocka_unit_test(test_span_ends), cmocka_unit_test(test_span_checks),
	cmocka_unit_test(test_record_ends_with_stripe),
	cmocka_unit_test(test_empty_on_rail_of_position), cmocka_unit_test(test_rails_overtake),
	cmocka_unit_test(test_run_checks), cmocka_unit_test(test_run_beyond_segment),
	cmocka_unit_test(test_records_pool), cmocka_unit_test(test_records_posted),
	cmocka_unit_test(test_whole_fits), cmocka_unit_test(test_whole_truncated),
	cmocka_unit_test(test_trunc_checks), cmocka_unit_test(test_fin),
	cmocka_unit_test(test_fin_in_order), cmocka_unit_test(test_done),
	cmocka_unit_test(test_depth),
};

int main(void)
{
	return cmocka_run_group_tests(tests, NULL, NULL);
}
