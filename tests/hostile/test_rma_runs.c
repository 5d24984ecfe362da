/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Hostile runs of the engine: immediates of no type, of another epoch or number, lengths that fit
 * no segment or stripe, ends where there is nothing to end; and what an attacker can write with the
 * keys that it was given, and for how long.
 */
#include "rma_foe.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static struct nmti_imm imm_of(const struct rfoe *x)
{
	return (struct nmti_imm){ .epoch = x->epoch, .seq = x->seq };
}

/* ---- immediates ------------------------------------------------------------------------------ */

static void type_4(struct rig *r, struct rfoe *x)
{
	(void)r;
	rfoe_imm_run(x, rfoe_imm(x, 4, false), 0);
}

static void type_7(struct rig *r, struct rfoe *x)
{
	(void)r;
	rfoe_imm_run(x, rfoe_imm(x, 7, true), 10);
}

static void other_epoch(struct rig *r, struct rfoe *x)
{
	struct nmti_imm m = imm_of(x);

	(void)r;
	m.epoch = 255;
	rfoe_imm_run(x, nmti_imm_encode(&m), 10);
}

static void next_number(struct rig *r, struct rfoe *x)
{
	(void)r;
	x->seq++;
	rfoe_imm_run(x, rfoe_imm(x, NMTI_RUN_DATA, false), 10);
}

static void same_number(struct rig *r, struct rfoe *x)
{
	rfoe_put(r, x, 10);
	x->seq--;
	rfoe_imm_run(x, rfoe_imm(x, NMTI_RUN_DATA, false), 10);
}

static void last_number(struct rig *r, struct rfoe *x)
{
	(void)r;
	x->seq = NMTI_SEQ_MASK;
	rfoe_imm_run(x, rfoe_imm(x, NMTI_RUN_DATA, false), 10);
}

static void nothing(struct rig *r, struct rfoe *x)
{
	(void)r;
	rfoe_imm_run(x, rfoe_imm(x, NMTI_RUN_DATA, false), 0);
}

static void eor(struct rig *r, struct rfoe *x)
{
	(void)r;
	rfoe_imm_run(x, rfoe_imm(x, NMTI_RUN_DATA, true), 0);
}

static void fin_with_bytes(struct rig *r, struct rfoe *x)
{
	(void)r;
	rfoe_imm_run(x, rfoe_imm(x, NMTI_RUN_FIN, false), 1);
}

static void fin_with_eor(struct rig *r, struct rfoe *x)
{
	(void)r;
	rfoe_imm_run(x, rfoe_imm(x, NMTI_RUN_FIN, true), 0);
}

static void stop(struct rig *r, struct rfoe *x)
{
	(void)r;
	rfoe_imm_run(x, rfoe_imm(x, NMTI_RUN_STOP, false), 0);
}

static void trunc_run(struct rig *r, struct rfoe *x)
{
	(void)r;
	rfoe_imm_run(x, rfoe_imm(x, NMTI_RUN_TRUNC, false), 0);
}

static void behind_fin(struct rig *r, struct rfoe *x)
{
	(void)r;
	rfoe_imm_run(x, rfoe_imm(x, NMTI_RUN_FIN, false), 0);
	rfoe_imm_run(x, rfoe_imm(x, NMTI_RUN_DATA, false), 10);
}

static void fin_twice(struct rig *r, struct rfoe *x)
{
	(void)r;
	rfoe_imm_run(x, rfoe_imm(x, NMTI_RUN_FIN, false), 0);
	rfoe_imm_run(x, rfoe_imm(x, NMTI_RUN_FIN, false), 0);
}

/* Several in one batch of completions: after the first bad one nothing counts. */
static void bad_and_more(struct rig *r, struct rfoe *x)
{
	(void)r;
	rfoe_imm_run(x, rfoe_imm(x, 5, false), 0);
	for (int i = 0; i < 20; i++)
		rfoe_imm_run(x, rfoe_imm(x, i % 8, i % 3), i % 2 ? 0 : 100);
}

/* ---- lengths --------------------------------------------------------------------------------- */

/* Behind the first N bytes one byte more than there is in the cells, which adjoin. */
static void too_long(struct rig *r, struct rfoe *x, uint32_t n)
{
	uint64_t len = x->segs * x->seg[0].len;

	assert_true(x->segs > 1 && x->seg[x->segs - 1].offset == len - x->seg[0].len);
	rfoe_put(r, x, n);
	rfoe_imm_run(x, rfoe_imm(x, NMTI_RUN_DATA, false), (uint32_t)(len - n) + 1);
}

static void beyond_cells(struct rig *r, struct rfoe *x)
{
	too_long(r, x, (uint32_t)x->seg[0].len);
}

static void beyond_rest_of_cells(struct rig *r, struct rfoe *x)
{
	too_long(r, x, 100);
}

/* The position is at the start of a stripe, on rail 1; FIN came too early, on rail 0. */
static void fin_too_early(struct rig *r, struct rfoe *x)
{
	const struct nmti_region *to = &x->region[1][0];

	assert_int_equal(x->seg[0].len, 32768); /* half a stripe */
	rfoe_imm_run(x, rfoe_imm(x, NMTI_RUN_DATA, false), 32768);
	rfoe_imm_run(x, rfoe_imm(x, NMTI_RUN_DATA, false), 32768);
	rfoe_run_turns(r, x, 2);
	assert_int_equal(x->f.victim.error, 0);
	rfoe_imm_run(x, rfoe_imm(x, NMTI_RUN_FIN, false), 0);
	rfoe_write(x, 1, rfoe_imm(x, NMTI_RUN_DATA, false), 10, to->base, to->key);
}

/* Without a segment: all that were granted are full. */
static void no_segment(struct rig *r, struct rfoe *x)
{
	x->f.victim.reading = false;
	for (uint64_t i = 0; i < x->segs; i++)
		rfoe_imm_run(x, rfoe_imm(x, NMTI_RUN_DATA, false), (uint32_t)x->seg[i].len);
	rfoe_run_turns(r, x, 2);
	assert_int_equal(x->f.victim.error, 0);
	rfoe_imm_run(x, rfoe_imm(x, NMTI_RUN_DATA, false), 1);
}

/* More runs than slots, none of them taken: the last one is one too many. */
static void flood(struct rig *r, struct rfoe *x)
{
	x->f.victim.reading = false;
	for (uint32_t i = 0; i <= x->peer.slots; i++) {
		rfoe_imm_run(x, rfoe_imm(x, NMTI_RUN_DATA, false), 1);
		if (i % 16 == 15)
			rfoe_run_turns(r, x, 1);
	}
}

/* One rail after the other, so that none is next in order. */
static void flood_out_of_order(struct rig *r, struct rfoe *x)
{
	const struct nmti_region *to = &x->region[2][0];

	for (uint32_t i = 0; i <= x->peer.slots; i++) {
		rfoe_write(x, 2, rfoe_imm(x, NMTI_RUN_DATA, false), 1, to->base, to->key);
		if (i % 16 == 15)
			rfoe_run_turns(r, x, 1);
	}
}

/* ---- posted mode ----------------------------------------------------------------------------- */

#define POST 1000u

static void post(struct rig *r, struct rfoe *x, int flags)
{
	int64_t end = rig_now() + REACT_MS * MS;

	for (uint64_t i = 0; i < 2; i++)
		assert_int_equal(nmt_recv_into(x->f.victim.stream, r->mr, POST + i * POST, POST,
					       flags, i), 0);
	while (x->segs < 2 && rig_now() < end)
		rfoe_turn(r, x);
	assert_int_equal(x->segs, 2);
}

static void beyond_post(struct rig *r, struct rfoe *x)
{
	post(r, x, 0);
	rfoe_imm_run(x, rfoe_imm(x, NMTI_RUN_DATA, false), POST + 1);
}

static void bytes_without_post(struct rig *r, struct rfoe *x)
{
	post(r, x, 0);
	for (int i = 0; i < 3; i++)
		rfoe_imm_run(x, rfoe_imm(x, NMTI_RUN_DATA, false), i < 2 ? POST : 1);
}

/* One post over the end of a stripe of 64 KiB: the run must end there. */
static void beyond_stripe(struct rig *r, struct rfoe *x)
{
	int64_t end = rig_now() + REACT_MS * MS;
	struct nmt_mr *mr;

	assert_int_equal(nmt_mr_alloc(r->ctx, NMT_MEM_HOST, 70000, NMT_ACCESS_RECV, &mr), 0);
	assert_int_equal(nmt_recv_into(x->f.victim.stream, mr, 0, 70000, 0, 1), 0);
	while (!x->segs && rig_now() < end)
		rfoe_turn(r, x);
	rfoe_imm_run(x, rfoe_imm(x, NMTI_RUN_DATA, false), 65537);
	rfoe_expect_malformed(r, x);
	side_close(r, &x->f.victim);
	assert_int_equal(nmt_mr_close(mr), 0);
}

static void stop_unasked(struct rig *r, struct rfoe *x)
{
	post(r, x, 0);
	stop(r, x);
}

static void trunc_of_plain_post(struct rig *r, struct rfoe *x)
{
	post(r, x, 0);
	rfoe_imm_run(x, rfoe_imm(x, NMTI_RUN_DATA, false), POST);
	trunc_run(r, x);
}

static void trunc_too_early(struct rig *r, struct rfoe *x)
{
	post(r, x, NMT_RECV_WHOLE);
	rfoe_imm_run(x, rfoe_imm(x, NMTI_RUN_DATA, false), POST - 1);
	trunc_run(r, x);
}

/* ---- what keys open -------------------------------------------------------------------------- */

/* An immediate of bytes that were never written: the application gets what the memory had. */
static void immediate_without_bytes(struct rig *r, struct rfoe *x)
{
	const struct nmti_region *to = &x->region[0][x->seg[0].region];
	int64_t end = rig_now() + REACT_MS * MS;

	/* the bytes go elsewhere in the slab */
	rfoe_write(x, 0, rfoe_imm(x, NMTI_RUN_DATA, false), 100,
		   to->base + x->seg[x->segs - 1].offset, to->key);
	while (x->f.victim.received < 100 && rig_now() < end)
		rfoe_turn(r, x);
	assert_int_equal(x->f.victim.received, 100);
	assert_int_equal(x->f.victim.error, 0);
}

/* The slab's key ends with the slab, on both sides: the device refuses, the path is lost. */
static void beyond_slab(struct rig *r, struct rfoe *x)
{
	const struct nmti_region *to = &x->region[0][0];

	rfoe_write(x, 0, rfoe_imm(x, NMTI_RUN_DATA, false), 10, to->base + to->length - 9, to->key);
	rfoe_run_turns(r, x, 3);
	assert_true(x->failed);
	assert_int_equal(x->f.victim.received, 0);
}

static void other_key(struct rig *r, struct rfoe *x)
{
	const struct nmti_region *to = &x->region[0][0];

	rfoe_write(x, 0, rfoe_imm(x, NMTI_RUN_DATA, false), 10, to->base, to->key + 1);
	rfoe_run_turns(r, x, 3);
	assert_true(x->failed);
	assert_int_equal(x->f.victim.received, 0);
}

/* Bytes on loan can change under the application's eyes, as long as the stream is open. */
static void rewrites_loan(struct rig *r, struct rfoe *x)
{
	const struct nmti_region *to = &x->region[0][x->seg[0].region];
	int64_t end = rig_now() + REACT_MS * MS;
	struct nmt_frag frag;
	uint8_t byte;
	int n;

	x->f.victim.reading = false;
	rfoe_put(r, x, 1);
	while ((n = nmt_recv_frags(x->f.victim.stream, &frag, 1, 0)) == -EAGAIN && rig_now() < end)
		rfoe_turn(r, x);
	assert_int_equal(n, 1);
	assert_int_equal(nmt_mr_read(frag.mr, frag.offset, &byte, 1), 0);
	assert_int_equal(byte, side_byte(x->f.seed, 0));
	memset((uint8_t *)nmt_mr_addr(x->mr) + RFOE_MEM / 2, 0x77, 1);
	rfoe_write(x, 0, rfoe_imm(x, NMTI_RUN_DATA, false), 1, to->base + x->seg[0].offset,
		   to->key);
	x->f.sent++;
	rfoe_run_turns(r, x, 3);
	assert_int_equal(nmt_mr_read(frag.mr, frag.offset, &byte, 1), 0);
	assert_int_equal(x->f.victim.error, 0);
	assert_int_equal(byte, 0x77);
	assert_int_equal(nmt_release(x->f.victim.stream, &frag, 1), 0);
}

/* The key of a posted receive opens the whole region, as long as it is registered. */
static void beside_the_post(struct rig *r, struct rfoe *x)
{
	const struct nmti_region *to;
	uint8_t *p = nmt_mr_addr(r->mr);

	post(r, x, 0);
	to = &x->region[0][x->seg[0].region];
	assert_int_equal(to->length, nmt_mr_size(r->mr));
	p[0] = p[POST] = 0;
	memset((uint8_t *)nmt_mr_addr(x->mr) + RFOE_MEM / 2, 0x77, 10);
	rfoe_write(x, 0, rfoe_imm(x, NMTI_RUN_DATA, false), 10, to->base, to->key);
	rfoe_run_turns(r, x, 3);
	assert_int_equal(x->f.victim.error, 0);
	assert_int_equal(p[0], 0x77);
	assert_int_equal(p[POST], 0);
}

/* Closed: the same key opens nothing, though the attacker keeps its rails. */
static void after_close(struct rig *r, struct rfoe *x)
{
	const struct nmti_region *to = &x->region[0][x->seg[0].region];

	assert_int_equal(nmt_abort(x->f.victim.stream), 0);
	x->f.victim.stream = NULL;
	rfoe_write(x, 0, rfoe_imm(x, NMTI_RUN_DATA, false), 10, to->base, to->key);
	rfoe_run_turns(r, x, 3);
	assert_true(x->f.victim.closed);
	assert_true(x->failed);
}

static const struct rma_case cases[] = {
	{ "type 4", type_4, 0, MALFORMED },
	{ "type 7", type_7, 0, MALFORMED },
	{ "another epoch", other_epoch, 0, MALFORMED },
	{ "a run number too high", next_number, 0, MALFORMED },
	{ "a run number again", same_number, 0, MALFORMED },
	{ "the highest run number", last_number, 0, MALFORMED },
	{ "DATA without bytes or EOR", nothing, FOE_RECORDS, MALFORMED },
	{ "FIN with a byte", fin_with_bytes, 0, MALFORMED },
	{ "FIN with EOR", fin_with_eor, FOE_RECORDS, MALFORMED },
	{ "STOP in pool mode", stop, 0, MALFORMED },
	{ "TRUNC in pool mode", trunc_run, FOE_RECORDS, MALFORMED },
	{ "bytes behind FIN", behind_fin, 0, MALFORMED },
	{ "FIN twice", fin_twice, 0, MALFORMED },
	{ "a bad run, and twenty more", bad_and_more, FOE_RECORDS, MALFORMED },
	{ "longer than the cells", beyond_cells, 0, MALFORMED },
	{ "longer than the rest of the cells", beyond_rest_of_cells, 0, MALFORMED },
	{ "FIN with runs before it missing", fin_too_early, FOE_RAILS3, MALFORMED },
	{ "no segment left", no_segment, 0, MALFORMED },
	{ "more runs than slots", flood, 0, MALFORMED },
	{ "more runs than slots, out of order", flood_out_of_order, FOE_RAILS3, MALFORMED },
	{ "longer than the post", beyond_post, FOE_POSTED, MALFORMED },
	{ "STOP that nobody asked for", stop_unasked, FOE_POSTED, MALFORMED },
	{ "TRUNC of a plain post", trunc_of_plain_post, FOE_POSTED | FOE_RECORDS, MALFORMED },
	{ "TRUNC of a post that is not full", trunc_too_early, FOE_POSTED | FOE_RECORDS, MALFORMED },
	{ "EOR, and nothing is posted", eor, FOE_POSTED | FOE_RECORDS, MALFORMED },
	{ "bytes, and nothing is posted", bytes_without_post, FOE_POSTED, MALFORMED },
	{ "longer than the stripe", beyond_stripe, FOE_POSTED | FOE_RAILS3, OWN },
	{ "an immediate, its bytes elsewhere", immediate_without_bytes, 0, OWN },
	{ "beyond the slab", beyond_slab, 0, OWN },
	{ "a key that was not told", other_key, 0, OWN },
	{ "rewrites a loan", rewrites_loan, 0, OWN },
	{ "beside the post", beside_the_post, FOE_POSTED, OWN },
	{ "writes after the close", after_close, 0, OWN },
};

int main(int argc, char **argv)
{
	return rma_cases_main(argc, argv, cases, ARRAY_SIZE(cases), NULL, 0);
}
