/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Hostile control messages of the engine: every field of every message beyond its range, messages
 * cut at every byte, credits and acknowledgements that lie, grants, regions and cancels that do not
 * fit. The stream breaks with -ECONNRESET and ABORT(MALFORMED); nothing else notices.
 */
#include "rma_foe.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* ---- fields ---------------------------------------------------------------------------------- */

enum base { CREDIT, GRANT, REGION, CANCEL, SKIPPED, KEPT, BASES };

/* A good message (cancels and answers fit no stream that did not ask, but are well-formed). */
static int make(const struct rfoe *x, enum base base, uint8_t *buf)
{
	struct nmti_grant g = rfoe_grant(2, 4096, 1000);
	struct nmti_ctrl m = rfoe_ctrl(x, NMTI_CTRL_GRANT);

	if (base == GRANT) {
		m.count = 1;
		m.index = x->next_grant;
	} else if (base == REGION) {
		m.type = NMTI_CTRL_REGION;
		m.region = (struct nmti_region){ 5, 0, x->reg.base, RFOE_MEM, x->reg.key };
	} else if (base != CREDIT) {
		m.type = (uint8_t)(NMTI_CTRL_CANCEL + base - CANCEL);
	}
	return nmti_ctrl_encode(&m, &g, buf, NMTI_CTRL_MAX);
}

/* One field of it changed. Bytes of a head with one rail: body from 32 on. */
struct patch {
	enum base base;
	uint8_t at, width;
	uint64_t value;
	bool fits; /* it is no lie */
};

static const struct patch patches[] = {
	{ CREDIT, 0, 1, 0, false },	       { CREDIT, 0, 1, 2, false },
	{ CREDIT, 0, 1, 6, false },	       { CREDIT, 0, 1, 255, false },
	{ CREDIT, 1, 1, 0, false },	       { CREDIT, 1, 1, 2, false },
	{ CREDIT, 1, 1, 255, false },	       { CREDIT, 2, 1, 1, false },
	{ CREDIT, 2, 1, 255, false },	       { CREDIT, 3, 1, 0, false },
	{ CREDIT, 3, 1, 2, false },	       { CREDIT, 3, 1, 16, false },
	{ CREDIT, 3, 1, 17, false },	       { CREDIT, 3, 1, 255, false },
	{ CREDIT, 4, 2, 0, false },	       { CREDIT, 4, 2, 31, false },
	{ CREDIT, 4, 2, 40, false },	       { CREDIT, 4, 2, 65535, false },
	{ CREDIT, 6, 2, 1, false },	       { CREDIT, 6, 2, 65535, false },
	{ CREDIT, 8, 8, 0, true },	       { CREDIT, 8, 8, 1, false },
	{ CREDIT, 8, 8, UINT64_MAX, false },   { CREDIT, 16, 8, 0, true },
	{ CREDIT, 16, 8, 1, false },	       { CREDIT, 16, 8, UINT64_MAX, false },
	{ CREDIT, 24, 4, 1000, false },	       { CREDIT, 24, 4, 0x80000000, false },
	{ CREDIT, 24, 4, UINT32_MAX, false },  { CREDIT, 28, 4, 0, true },
	{ CREDIT, 28, 4, 1, false },	       { CREDIT, 28, 4, UINT32_MAX, false },
	{ GRANT, 6, 2, 0, false },	       { GRANT, 6, 2, 2, false },
	{ GRANT, 6, 2, 65535, false },	       { GRANT, 32, 8, 0, false },
	{ GRANT, 32, 8, 1, true },	       { GRANT, 32, 8, 2, false },
	{ GRANT, 32, 8, NMTI_SEGMENT_END, false },
	{ GRANT, 32, 8, NMTI_SEGMENT_END - 1, false },
	{ GRANT, 32, 8, UINT64_MAX, false },   { GRANT, 40, 2, 1, false },
	{ GRANT, 40, 2, 255, false },	       { GRANT, 40, 2, 256, false },
	{ GRANT, 40, 2, 65535, false },	       { GRANT, 42, 2, 1, false },
	{ GRANT, 42, 2, 2, false },	       { GRANT, 42, 2, 0x8000, false },
	{ GRANT, 44, 4, 0, false },	       { GRANT, 44, 4, 1, true },
	{ GRANT, 44, 4, 63, true },	       { GRANT, 44, 4, 64, false },
	{ GRANT, 44, 4, UINT32_MAX, false },   { GRANT, 48, 8, RFOE_MEM - 2000, true },
	{ GRANT, 48, 8, RFOE_MEM - 1999, false },
	{ GRANT, 48, 8, RFOE_MEM, false },     { GRANT, 48, 8, UINT64_MAX - 1999, false },
	{ GRANT, 48, 8, UINT64_MAX, false },   { GRANT, 56, 8, 0, false },
	{ GRANT, 56, 8, (RFOE_MEM - 4096) / 2, true },
	{ GRANT, 56, 8, (RFOE_MEM - 4096) / 2 + 1, false },
	{ GRANT, 56, 8, UINT64_C(1) << 63, false },
	{ GRANT, 56, 8, UINT64_MAX / 2, false },
	{ GRANT, 56, 8, UINT64_MAX, false },   { REGION, 32, 2, 255, true },
	{ REGION, 32, 2, 256, false },	       { REGION, 32, 2, 65535, false },
	{ REGION, 32, 2, 0, false }, /* a segment is in it */
	{ REGION, 34, 1, 1, false },	       { REGION, 34, 1, 255, false },
	{ REGION, 35, 1, 1, false },	       { REGION, 36, 4, 1, false },
	{ REGION, 40, 8, 0, true },	       { REGION, 40, 8, UINT64_MAX - RFOE_MEM, true },
	{ REGION, 40, 8, UINT64_MAX - RFOE_MEM + 1, false },
	{ REGION, 40, 8, UINT64_MAX, false },  { REGION, 48, 8, 0, false },
	{ REGION, 48, 8, 1, true },	       { REGION, 48, 8, UINT64_MAX, false },
	{ REGION, 56, 8, 0, true },	       { REGION, 56, 8, UINT64_MAX, true },
	{ CANCEL, 32, 8, 0, false }, /* the attacker is in pool mode */
	{ CANCEL, 32, 8, UINT64_MAX, false },  { SKIPPED, 32, 8, 0, false },
	{ SKIPPED, 32, 8, UINT64_MAX, false }, { KEPT, 32, 8, 0, false },
	{ KEPT, 32, 8, UINT64_MAX, false },
};

static struct rig rig;

/* One message to a fresh stream: patched, or with LEN bytes instead of as many as it has. */
static void one(enum base base, const struct patch *p, int len, bool fits)
{
	uint8_t buf[NMTI_CTRL_MAX] = { 0 };
	struct counts before = rig_counts(&rig);
	static struct rfoe x;
	int whole;

	rfoe_init(&rig, &x, false);
	rfoe_open(&rig, &x);
	whole = make(&x, base, buf);
	if (p)
		rfoe_patch(buf, p->at, p->width, p->value);
	rfoe_raw(&x, 0, buf, (uint32_t)(len < 0 ? whole : len));
	rfoe_run_turns(&rig, &x, 3);
	if (fits == !!x.f.victim.error)
		fail_msg("message %d, patch %d, %d of %d bytes: error %d", base,
			 p ? (int)(p - patches) : -1, len, whole, x.f.victim.error);
	if (fits)
		rfoe_expect_alive(&rig, &x);
	else
		rfoe_expect_malformed(&rig, &x);
	rfoe_close(&rig, &x);
	rig_settle(&rig, &before);
}

static void test_fields(void **state)
{
	(void)state;
	rma_rig_open(&rig, 0);
	for (unsigned int i = 0; i < ARRAY_SIZE(patches); i++)
		one(patches[i].base, &patches[i], -1, patches[i].fits);
	rma_rig_close(&rig);
}

static void test_cut(void **state)
{
	static const int whole[] = { [CREDIT] = 32, [GRANT] = 64, [REGION] = 64 };

	(void)state;
	rma_rig_open(&rig, 0);
	for (enum base b = CREDIT; b <= REGION; b++) {
		for (int len = b == CREDIT ? 0 : 32; len < whole[b]; len++)
			one(b, NULL, len, false);
		one(b, NULL, whole[b], true);
		one(b, NULL, whole[b] + 8, false);
		one(b, NULL, NMTI_CTRL_MAX, false);
	}
	rma_rig_close(&rig);
}

/* ---- credits and acknowledgements ------------------------------------------------------------ */

static void credit(struct rfoe *x, uint32_t ctrl, uint32_t run, uint64_t offset, uint64_t records)
{
	struct nmti_ctrl m = rfoe_ctrl(x, NMTI_CTRL_GRANT);

	m.ctrl_credit = ctrl;
	m.run_credit[0] = run;
	m.offset = offset;
	m.records = records;
	rfoe_send(x, &m, NULL);
}

/* The victim sends N bytes, and they arrive. */
static void hear(struct rig *r, struct rfoe *x, uint32_t n)
{
	static const uint8_t buf[4096];
	int64_t end = rig_now() + REACT_MS * MS;

	assert_int_equal(nmt_send(x->f.victim.stream, buf, n, 0), n);
	while (x->bytes < n && rig_now() < end)
		rfoe_turn(r, x);
	assert_int_equal(x->bytes, n);
}

static void ctrl_credit_above(struct rig *r, struct rfoe *x)
{
	(void)r;
	credit(x, x->messages + 1, 0, 0, 0);
}

static void ctrl_credit_back(struct rig *r, struct rfoe *x)
{
	(void)r;
	credit(x, x->messages, 0, 0, 0);
	credit(x, x->messages - 1, 0, 0, 0);
}

static void run_credit_back(struct rig *r, struct rfoe *x)
{
	hear(r, x, 10);
	credit(x, x->messages, 1, 10, 0);
	credit(x, x->messages, 0, 10, 0);
}

static void run_credit_above(struct rig *r, struct rfoe *x)
{
	hear(r, x, 10);
	credit(x, x->messages, x->arrived + 1, 10, 0);
}

static void ack_above(struct rig *r, struct rfoe *x)
{
	hear(r, x, 10);
	credit(x, x->messages, 1, 11, 0);
}

static void ack_back(struct rig *r, struct rfoe *x)
{
	hear(r, x, 10);
	credit(x, x->messages, 1, 10, 0);
	credit(x, x->messages, 1, 9, 0);
}

static void ack_records(struct rig *r, struct rfoe *x)
{
	hear(r, x, 10);
	credit(x, x->messages, 1, 10, 1);
}

static void all_right(struct rig *r, struct rfoe *x)
{
	hear(r, x, 10);
	credit(x, x->messages, 1, 10, 0);
	credit(x, x->messages, 1, 10, 0);
}

/* More messages than there are slots, at once: the device refuses, or the window does. */
static void flood(struct rig *r, struct rfoe *x)
{
	uint32_t n = x->peer.ctrl_slots + 1;

	while (n--)
		credit(x, x->messages, 0, 0, 0);
	rfoe_run_turns(r, x, 4);
	assert_true(x->f.victim.error == -ECONNRESET || x->failed);
}

static void other_rail(struct rig *r, struct rfoe *x)
{
	uint8_t buf[NMTI_CTRL_MAX];
	struct nmti_ctrl m = rfoe_ctrl(x, NMTI_CTRL_GRANT);
	int n = nmti_ctrl_encode(&m, NULL, buf, sizeof(buf));

	(void)r;
	rfoe_raw(x, 1, buf, (uint32_t)n);
	rfoe_run_turns(r, x, 3);
	/* that rail has no slot for messages */
	assert_true(x->failed || x->f.victim.error == -ECONNRESET);
}

/* ---- grants and regions ---------------------------------------------------------------------- */

static void grant(struct rfoe *x, uint16_t region, uint32_t n, uint64_t offset, uint64_t len)
{
	struct nmti_grant g = rfoe_grant(n, offset, len);

	g.region = region;
	rfoe_send_grant(x, &g);
}

static void grant_unknown_region(struct rig *r, struct rfoe *x)
{
	(void)r;
	grant(x, 7, 1, 0, 100);
}

static void grant_region_of_one_rail(struct rig *r, struct rfoe *x)
{
	(void)r;
	rfoe_region(x, 1, 0, x->reg.base, RFOE_MEM, x->reg.key);
	grant(x, 1, 1, 0, 100);
}

static void region_of_two_lengths(struct rig *r, struct rfoe *x)
{
	(void)r;
	rfoe_region(x, 1, 0, x->reg.base, RFOE_MEM, x->reg.key);
	rfoe_region(x, 1, 1, x->reg.base, RFOE_MEM - 1, x->reg.key);
}

static void grants_overlap(struct rig *r, struct rfoe *x)
{
	for (int i = 0; i < 8; i++)
		grant(x, 0, 1, 100, 1000 + i);
	hear(r, x, 4096);
}

static void regions_overlap(struct rig *r, struct rfoe *x)
{
	rfoe_region(x, 1, 0, x->reg.base + 50, 4000, x->reg.key);
	grant(x, 1, 2, 0, 2000);
	hear(r, x, 4096);
}

static void too_many_segments(struct rig *r, struct rfoe *x)
{
	grant(x, 0, x->peer.segments - 1, 0, 10);
	rfoe_run_turns(r, x, 2);
	assert_int_equal(x->f.victim.error, 0);
	grant(x, 0, 1, 0, 10);
}

static void region_again_in_use(struct rig *r, struct rfoe *x)
{
	(void)r;
	rfoe_region(x, 0, 0, x->reg.base, RFOE_MEM, x->reg.key);
}

static void region_again_out_of_use(struct rig *r, struct rfoe *x)
{
	hear(r, x, 4096);
	rfoe_region(x, 0, 0, x->reg.base + 4096, RFOE_MEM - 4096, x->reg.key);
	grant(x, 0, 1, 0, 100);
}

static void all_regions(struct rig *r, struct rfoe *x)
{
	for (uint16_t id = 1; id < 256; id++) {
		rfoe_region(x, id, 0, x->reg.base, RFOE_MEM, x->reg.key);
		if (id % 4 == 0)
			rfoe_run_turns(r, x, 1);
	}
}

/* What the victim writes there is refused by the attacker's own device: the path is lost. */
static void wrong_key(struct rig *r, struct rfoe *x)
{
	static const uint8_t buf[5000];
	int64_t end = rig_now() + REACT_MS * MS;

	rfoe_region(x, 1, 0, x->reg.base, RFOE_MEM, x->reg.key + 1000);
	grant(x, 1, 1, 0, 4096);
	rfoe_run_turns(r, x, 2);
	assert_int_equal(nmt_send(x->f.victim.stream, buf, sizeof(buf), 0), sizeof(buf));
	while (!x->failed && rig_now() < end)
		rfoe_turn(r, x);
	assert_true(x->failed);
	assert_int_equal(foe_next(r, &x->f, REACT_MS), NMTI_MSG_PATH_DOWN);
	assert_int_equal(foe_next(r, &x->f, REACT_MS), NMTI_MSG_RESUME);
	assert_int_equal(x->f.victim.error, 0);
}

static void byte_by_byte(struct rig *r, struct rfoe *x)
{
	static const uint8_t buf[4096 + 300];
	int64_t end = rig_now() + REACT_MS * MS;

	assert_int_equal(nmt_send(x->f.victim.stream, buf, sizeof(buf), 0), sizeof(buf));
	while (x->bytes < sizeof(buf) && rig_now() < end) {
		rfoe_turn(r, x);
		if (x->bytes == 4096 + x->next_grant - 1 && x->bytes < sizeof(buf)) {
			struct nmti_ctrl m = rfoe_ctrl(x, NMTI_CTRL_GRANT);
			struct nmti_grant g = rfoe_grant(1, 0, 1);

			m.count = 1;
			m.index = x->next_grant++;
			m.run_credit[0] = x->arrived;
			m.offset = x->bytes;
			rfoe_send(x, &m, &g);
		}
	}
	assert_int_equal(x->bytes, sizeof(buf));
}

/* It grants nothing more, returns no credit, and takes no loan: the victim just waits. */
static void miser(struct rig *r, struct rfoe *x)
{
	static const uint8_t buf[65536];
	ssize_t n;

	for (int i = 0; i < 100; i++) {
		n = nmt_send(x->f.victim.stream, buf, sizeof(buf), 0);
		rfoe_turn(r, x);
	}
	assert_int_equal(n, -EAGAIN);
	assert_true(x->bytes <= 4096);
}

/* ---- cancels: the attacker as a receiver in posted mode, or as one that is asked --------------- */

static void send_index(struct rfoe *x, uint8_t type, uint64_t index)
{
	struct nmti_ctrl m = rfoe_ctrl(x, type);

	m.index = index;
	rfoe_send(x, &m, NULL);
}

static void cancel_ungranted(struct rig *r, struct rfoe *x)
{
	(void)r;
	send_index(x, NMTI_CTRL_CANCEL, x->next_grant);
}

static void cancel_twice(struct rig *r, struct rfoe *x)
{
	(void)r;
	send_index(x, NMTI_CTRL_CANCEL, 0);
	send_index(x, NMTI_CTRL_CANCEL, 0);
}

static void cancel_17(struct rig *r, struct rfoe *x)
{
	grant(x, 0, 20, 0, 10);
	rfoe_run_turns(r, x, 1);
	for (uint64_t i = 0; i < 15; i++)
		send_index(x, NMTI_CTRL_CANCEL, i);
	rfoe_run_turns(r, x, 1);
	/* answers need control credit, which this attacker does not return */
	for (uint64_t i = 15; i < 20; i++) {
		struct nmti_ctrl m = rfoe_ctrl(x, NMTI_CTRL_CANCEL);

		m.ctrl_credit = 0;
		m.index = i;
		rfoe_send(x, &m, NULL);
	}
}

static void answer_unasked(struct rig *r, struct rfoe *x)
{
	(void)r;
	send_index(x, NMTI_CTRL_SKIPPED, 0);
}

/* The victim posts receives and cancels the second. */
static void ask(struct rig *r, struct rfoe *x)
{
	int64_t end = rig_now() + REACT_MS * MS;

	for (uint64_t i = 0; i < 3; i++)
		assert_int_equal(nmt_recv_into(x->f.victim.stream, r->mr, i * 1000, 1000, 0, i), 0);
	while (x->segs < 3 && rig_now() < end)
		rfoe_turn(r, x);
	assert_int_equal(x->segs, 3);
	assert_int_equal(nmt_recv_cancel(x->f.victim.stream, 1), 0);
	while (x->last.type != NMTI_CTRL_CANCEL && rig_now() < end)
		rfoe_turn(r, x);
	assert_int_equal(x->last.type, NMTI_CTRL_CANCEL);
	assert_int_equal(x->last.index, 1);
}

static void answer_other(struct rig *r, struct rfoe *x)
{
	ask(r, x);
	send_index(x, NMTI_CTRL_SKIPPED, 2);
}

static void answer_twice(struct rig *r, struct rfoe *x)
{
	ask(r, x);
	send_index(x, NMTI_CTRL_KEPT, 1);
	send_index(x, NMTI_CTRL_SKIPPED, 1);
}

/* SKIPPED for a segment with bytes, and bytes for one that was skipped. */
static void skipped_but_written(struct rig *r, struct rfoe *x)
{
	ask(r, x);
	rfoe_imm_run(x, rfoe_imm(x, NMTI_RUN_DATA, false), 1000);
	rfoe_imm_run(x, rfoe_imm(x, NMTI_RUN_DATA, false), 10);
	rfoe_run_turns(r, x, 2);
	send_index(x, NMTI_CTRL_SKIPPED, 1);
}

static void written_but_skipped(struct rig *r, struct rfoe *x)
{
	ask(r, x);
	rfoe_imm_run(x, rfoe_imm(x, NMTI_RUN_DATA, false), 1000);
	send_index(x, NMTI_CTRL_SKIPPED, 1);
	rfoe_run_turns(r, x, 2);
	rfoe_imm_run(x, rfoe_imm(x, NMTI_RUN_DATA, false), 10);
}

static const struct rma_case cases[] = {
	{ "nothing wrong", all_right, 0, ALIVE },
	{ "nothing wrong, attacker is the server", all_right, FOE_SERVER, ALIVE },
	{ "control credit above what was sent", ctrl_credit_above, 0, MALFORMED },
	{ "control credit goes back", ctrl_credit_back, 0, MALFORMED },
	{ "run credit goes back", run_credit_back, 0, MALFORMED },
	{ "run credit above what was sent", run_credit_above, 0, MALFORMED },
	{ "acknowledged above what was sent", ack_above, 0, MALFORMED },
	{ "acknowledgement goes back", ack_back, 0, MALFORMED },
	{ "records acknowledged that were not sent", ack_records, FOE_RECORDS, MALFORMED },
	{ "a flood of messages", flood, 0, OWN },
	{ "a message on another rail", other_rail, FOE_RAILS3, OWN },
	{ "grant in an unknown region", grant_unknown_region, 0, MALFORMED },
	{ "grant in a region of one rail", grant_region_of_one_rail, FOE_RAILS3, MALFORMED },
	{ "region of two lengths", region_of_two_lengths, FOE_RAILS3, MALFORMED },
	{ "grants that overlap", grants_overlap, 0, ALIVE },
	{ "regions that overlap", regions_overlap, 0, ALIVE },
	{ "more segments than agreed on", too_many_segments, 0, MALFORMED },
	{ "region told again while in use", region_again_in_use, 0, MALFORMED },
	{ "region told again", region_again_out_of_use, 0, ALIVE },
	{ "all regions there can be", all_regions, 0, ALIVE },
	{ "a key that opens nothing", wrong_key, 0, OWN },
	{ "grants of one byte", byte_by_byte, 0, ALIVE },
	{ "no grant, no credit", miser, 0, ALIVE },
	{ "SKIPPED that nobody asked for", answer_unasked, FOE_POSTED, MALFORMED },
	{ "SKIPPED of another segment", answer_other, FOE_POSTED, MALFORMED },
	{ "two answers to one CANCEL", answer_twice, FOE_POSTED, MALFORMED },
	{ "SKIPPED, but it has bytes", skipped_but_written, FOE_POSTED, MALFORMED },
	{ "SKIPPED, and then bytes", written_but_skipped, FOE_POSTED, MALFORMED },
	{ "CANCEL of what was not granted", cancel_ungranted, FOE_WANTS, MALFORMED },
	{ "CANCEL twice", cancel_twice, FOE_WANTS, MALFORMED },
	{ "more CANCELs than allowed", cancel_17, FOE_WANTS, MALFORMED },
};

int main(int argc, char **argv)
{
	const struct CMUnitTest more[] = {
		cmocka_unit_test(test_fields),
		cmocka_unit_test(test_cut),
	};

	return rma_cases_main(argc, argv, cases, ARRAY_SIZE(cases), more, ARRAY_SIZE(more));
}
