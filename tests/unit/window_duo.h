/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Two windows for scenarios: A sends to B, and the test carries each run and message by hand. What
 * an honest peer would not send is encoded here. For test_window*.c.
 */
#ifndef TESTS_WINDOW_DUO_H
#define TESTS_WINDOW_DUO_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "rma/window_hot.h"

#define DUO_BASE 0x10000u /* of region ID on RAIL: times (1 + ID), plus RAIL */
#define DUO_KEY 100u
#define DUO_REGION 65536u

static struct nmti_win *a, *b;

#define DUO_PLAIN                                                                                  \
	{                                                                                          \
		.rails = 1, .rails_max = 1, .tx_stripe = 12, .rx_stripe = 12, .tx_slots = 8,       \
		.rx_slots = 8, .tx_ctrl = 4, .rx_ctrl = 4, .ctrl_max = 256, .tx_depth = 16,        \
		.tx_segs = 16, .rx_segs = 16, .rx_grants = 16                                      \
	}

static const struct nmti_win_attr duo_plain = DUO_PLAIN;

/* Of the next duo_open(); duo_close() resets it. */
static struct nmti_win_attr duo_attr = DUO_PLAIN;

/* B receives in posted mode, or not; on RAILS rails. */
static inline void duo_open(bool posted, uint8_t rails)
{
	struct nmti_win_attr attr = duo_attr;

	attr.rails = attr.rails_max = rails;
	attr.tx_posted = posted;
	assert_int_equal(nmti_win_open(&attr, &a), 0);
	attr.tx_posted = false;
	attr.rx_posted = posted;
	assert_int_equal(nmti_win_open(&attr, &b), 0);
}

static inline void duo_close(void)
{
	nmti_win_close(a);
	nmti_win_close(b);
	duo_attr = duo_plain;
}

static inline void duo_regions(uint8_t rails)
{
	for (uint8_t rail = 0; rail < rails; rail++)
		assert_int_equal(nmti_win_region(b, 0, rail, DUO_BASE + rail, DUO_REGION,
						 DUO_KEY + rail), 0);
}

/* A segment of LEN bytes at OFFSET of region 0; its cookie is its offset. */
static inline void duo_add(uint64_t offset, uint64_t len, bool whole)
{
	struct nmti_seg seg = { offset, len, offset, 0, whole };

	assert_int_equal(nmti_win_add(b, &seg), 0);
}

/* One message, or none. */
static inline int duo_tell1(struct nmti_win *from, struct nmti_win *to)
{
	uint8_t buf[NMTI_CTRL_MAX];
	int n = nmti_win_ctrl_get(from, buf);

	if (n > 0)
		assert_int_equal(nmti_win_ctrl_put(to, buf, (size_t)n), 0);
	return n;
}

/* All there is to tell. How many messages. */
static inline int duo_tell(struct nmti_win *from, struct nmti_win *to)
{
	int n = 0;

	while (duo_tell1(from, to) > 0)
		n++;
	return n;
}

/* Messages both ways until nothing is due. */
static inline void duo_settle(void)
{
	while (nmti_win_due(a) == NMTI_WIN_NOW || nmti_win_due(b) == NMTI_WIN_NOW) {
		duo_tell1(a, b);
		duo_tell1(b, a);
	}
}

/* Open with COUNT segments of LEN bytes granted, one behind the other. */
static inline void duo_start(bool posted, uint8_t rails, uint32_t count, uint64_t len)
{
	duo_open(posted, rails);
	duo_regions(rails);
	for (uint32_t i = 0; i < count; i++)
		duo_add(i * len, len, false);
	duo_settle();
}

static inline enum nmti_win_wait duo_next(uint64_t len, bool eor)
{
	struct nmti_run run;

	return nmti_win_next(a, len, eor, &run);
}

static inline struct nmti_run duo_post(uint64_t len, bool eor)
{
	struct nmti_run run;

	assert_int_equal(nmti_win_next(a, len, eor, &run), NMTI_WIN_GO);
	nmti_win_posted(a, &run);
	return run;
}

static inline struct nmti_run duo_post_fin(void)
{
	struct nmti_run run;

	assert_int_equal(nmti_win_next_fin(a, &run), NMTI_WIN_GO);
	assert_int_equal(run.type, NMTI_RUN_FIN);
	nmti_win_posted(a, &run);
	return run;
}

static inline int duo_arrive(const struct nmti_run *run)
{
	return nmti_win_arrived(b, run->rail, run->imm, run->len);
}

/* Write and arrive. */
static inline struct nmti_run duo_pass(uint64_t len, bool eor)
{
	struct nmti_run run = duo_post(len, eor);

	assert_int_equal(duo_arrive(&run), 0);
	return run;
}

static inline struct nmti_piece duo_take(void)
{
	struct nmti_piece piece;

	assert_true(nmti_win_peek(b, &piece));
	nmti_win_take(b);
	return piece;
}

static inline bool duo_empty(void)
{
	struct nmti_piece piece;

	return !nmti_win_peek(b, &piece);
}

static inline void duo_take_all(void)
{
	while (!duo_empty())
		nmti_win_take(b);
}

/* The bytes, record and segment ends of a piece. */
static inline void duo_expect(uint64_t cookie, uint64_t offset, uint32_t len, bool eor, bool last,
			      int status)
{
	struct nmti_piece piece = duo_take();

	if (len || last) {
		assert_int_equal(piece.cookie, cookie);
		assert_int_equal(piece.offset, offset);
	}
	assert_int_equal(piece.len, len);
	assert_int_equal(piece.eor, eor);
	assert_int_equal(piece.last, last);
	assert_int_equal(piece.status, status);
	assert_false(piece.fin);
}

/* A control message of our own making, from the peer of TO; credits are what they were. */
static inline struct nmti_ctrl duo_msg(uint8_t type)
{
	return (struct nmti_ctrl){ .type = type, .nrails = 1 };
}

static inline int duo_put(struct nmti_win *to, const struct nmti_ctrl *m,
			  const struct nmti_grant *grants)
{
	uint8_t buf[NMTI_CTRL_MAX];
	int n = nmti_ctrl_encode(m, grants, buf, sizeof(buf));

	assert_true(n > 0);
	return nmti_win_ctrl_put(to, buf, (size_t)n);
}

static inline int duo_put_index(struct nmti_win *to, uint8_t type, uint64_t index)
{
	struct nmti_ctrl m = duo_msg(type);
	struct nmti_win_stat st;

	nmti_win_stats(to, &st);
	m.ctrl_credit = (uint32_t)st.ctrl_sent;
	m.index = index;
	return duo_put(to, &m, NULL);
}

static inline uint32_t duo_imm(uint8_t type, bool eor, uint8_t epoch, uint32_t seq)
{
	struct nmti_imm m = { type, eor, epoch, seq };

	return nmti_imm_encode(&m);
}

/* B gives back the segment with cookie WANT, without a piece; -1: none. */
static inline void duo_returned(int64_t want)
{
	uint64_t cookie;

	assert_int_equal(nmti_win_returned(b, &cookie), want >= 0);
	if (want >= 0)
		assert_int_equal(cookie, want);
}

/* A posts a run of TYPE, which has no bytes. */
static inline struct nmti_run duo_post_type(uint8_t type, uint64_t len, bool eor)
{
	struct nmti_run run = duo_post(len, eor);

	assert_int_equal(run.type, type);
	assert_int_equal(run.len, 0);
	return run;
}

#endif
