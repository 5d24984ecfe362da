/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Hostile words about the path: set-up blobs beyond their range in HELLO, SELECT and RESUME,
 * positions, segments and epochs of RESUME that lie, PATH_DOWN without end; and peers by dice that
 * send good messages with something changed.
 */
#include "rma_foe.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- set-up blobs ---------------------------------------------------------------------------- */

static struct rig rig;

struct blob_patch {
	uint8_t at, width;
	uint32_t value;
	bool fits;
};

static const struct blob_patch blobs[] = {
	{ 0, 1, 0, false }, { 0, 1, 2, false }, { 0, 1, 255, false }, { 1, 1, 1, false },
	{ 2, 1, 11, false }, { 2, 1, 31, false }, { 2, 1, 255, false }, { 2, 1, 12, true },
	{ 3, 1, 0, false }, { 3, 1, 17, false }, { 4, 2, 0, false }, { 4, 2, 1, false },
	{ 4, 2, 2, true }, { 4, 2, 32767, true }, { 4, 2, 32768, false }, { 4, 2, 65535, false },
	{ 6, 2, 0, false }, { 6, 2, 3, false }, { 6, 2, 4, true }, { 6, 2, 32768, false },
	{ 8, 2, 0, false }, { 8, 2, 127, false }, { 8, 2, 128, true }, { 8, 2, 257, false },
	{ 8, 2, 65535, false }, { 10, 2, 0, false }, { 10, 2, 1, false }, { 10, 2, 2, true },
	{ 10, 2, 65535, true }, { 12, 4, 1, false }, { 12, 4, UINT32_MAX, false },
};

static bool ended(const struct rfoe *x)
{
	return x->f.victim.connected || x->f.victim.error;
}

/* A HELLO, or a SELECT, with a blob that is patched, or too short by CUT. */
static void greet(const struct blob_patch *p, int cut, bool server)
{
	struct counts before = rig_counts(&rig);
	int64_t end = rig_now() + REACT_MS * MS;
	static struct rfoe x;

	rfoe_init(&rig, &x, server);
	x.blob_value = p ? p->value : 0;
	x.blob_at = p ? p->at : 0;
	x.blob_width = p ? p->width : 0;
	x.blob_cut = (uint8_t)cut;
	rfoe_try(&rig, &x);
	while (!ended(&x) && rig_now() < end)
		rfoe_turn(&rig, &x);
	if (p && p->fits ? !x.f.victim.connected : !x.f.victim.error)
		fail_msg("blob %d, cut %d: connected %d, error %d", p ? (int)(p - blobs) : -1, cut,
			 x.f.victim.connected, x.f.victim.error);
	rfoe_close(&rig, &x);
	rig.accept_into = NULL;
	rig_settle(&rig, &before);
}

static void test_blobs(void **state)
{
	(void)state;
	rma_rig_open(&rig, 0);
	for (int server = 0; server < 2; server++) {
		for (unsigned int i = 0; i < ARRAY_SIZE(blobs); i++)
			greet(&blobs[i], 0, server);
		for (int cut = 5; cut <= NMTI_RMA_SETUP_LEN + 4; cut += 5)
			greet(NULL, cut, server);
	}
	rma_rig_close(&rig);
}

static void resume_blobs(struct rig *r, const struct blob_patch *p)
{
	struct counts before = rig_counts(r);
	struct nmti_resume m;
	static struct rfoe x;

	rfoe_init(r, &x, false);
	rfoe_open(r, &x);
	m = rfoe_resume(&x);
	rfoe_patch(m.blob, p->at, p->width, p->value);
	rfoe_send_resume(&x, &m);
	if (p->fits) {
		rfoe_next_epoch(r, &x, &m);
		rfoe_expect_alive(r, &x);
	} else {
		rfoe_expect_malformed(r, &x);
	}
	rfoe_close(r, &x);
	rig_settle(r, &before);
}

static void test_resume_blobs(void **state)
{
	(void)state;
	rma_rig_open(&rig, 0);
	for (unsigned int i = 0; i < ARRAY_SIZE(blobs); i++)
		resume_blobs(&rig, &blobs[i]);
	rma_rig_close(&rig);
}

/* ---- RESUME ---------------------------------------------------------------------------------- */

static void good(struct rig *r, struct rfoe *x)
{
	struct nmti_resume m = rfoe_resume(x);

	rfoe_put(r, x, 100);
	rfoe_send_resume(x, &m);
	rfoe_next_epoch(r, x, &m);
}

static void far_epoch(struct rig *r, struct rfoe *x)
{
	struct nmti_resume m = rfoe_resume(x);

	m.epoch = 127;
	rfoe_send_resume(x, &m);
	rfoe_next_epoch(r, x, &m);
}

static void old_epoch(struct rig *r, struct rfoe *x)
{
	struct nmti_resume m = rfoe_resume(x);

	(void)r;
	m.epoch = 0;
	rfoe_send_resume(x, &m);
	m.epoch = 128;
	rfoe_send_resume(x, &m);
	m.epoch = 255;
	rfoe_send_resume(x, &m);
}

static void position_above(struct rig *r, struct rfoe *x)
{
	struct nmti_resume m = rfoe_resume(x);

	(void)r;
	m.offset = 1;
	rfoe_send_resume(x, &m);
}

static void records_above(struct rig *r, struct rfoe *x)
{
	struct nmti_resume m = rfoe_resume(x);

	(void)r;
	m.records = UINT64_MAX;
	rfoe_send_resume(x, &m);
}

static void fin_that_was_not(struct rig *r, struct rfoe *x)
{
	struct nmti_resume m = rfoe_resume(x);

	(void)r;
	m.flags = NMTI_RESUME_FIN;
	rfoe_send_resume(x, &m);
}

static void segment_above(struct rig *r, struct rfoe *x)
{
	struct nmti_resume m = rfoe_resume(x);

	(void)r;
	m.segment = x->next_grant + 1;
	rfoe_send_resume(x, &m);
}

static void segment_of_an_older_epoch(struct rig *r, struct rfoe *x)
{
	struct nmti_resume m = rfoe_resume(x);

	m.segment = 1;
	rfoe_send_resume(x, &m);
	rfoe_next_epoch(r, x, &m);
	m = rfoe_resume(x);
	m.segment = 0;
	rfoe_send_resume(x, &m);
}

static void more_slots_than_told(struct rig *r, struct rfoe *x)
{
	struct nmti_resume m = rfoe_resume(x);

	(void)r;
	m.slots = x->own.slots + 1;
	rfoe_send_resume(x, &m);
}

/* No slots at all: the victim cannot write, and waits. */
static void no_slots(struct rig *r, struct rfoe *x)
{
	struct nmti_resume m = rfoe_resume(x);

	m.slots = 0;
	rfoe_send_resume(x, &m);
	rfoe_next_epoch(r, x, &m);
}

static void send_all(struct rig *r, struct rfoe *x, uint32_t n)
{
	static const uint8_t buf[4096];
	int64_t end = rig_now() + REACT_MS * MS;

	assert_int_equal(nmt_send(x->f.victim.stream, buf, n, 0), n);
	while (x->bytes < n && rig_now() < end)
		rfoe_turn(r, x);
	assert_int_equal(x->bytes, n);
	rfoe_run_turns(r, x, 3);
}

/* Less than what its device acknowledged, and what the victim has given back. */
static void position_back(struct rig *r, struct rfoe *x)
{
	struct nmti_resume m;

	send_all(r, x, 1000);
	m = rfoe_resume(x);
	m.offset = 999;
	rfoe_send_resume(x, &m);
	assert_int_equal(side_await_error(r, &x->f.victim, REACT_MS), -ECONNRESET);
}

/* Less than what it said itself. */
static void position_below_acknowledged(struct rig *r, struct rfoe *x)
{
	struct nmti_ctrl ack;
	struct nmti_resume m;

	send_all(r, x, 1000);
	ack = rfoe_ctrl(x, NMTI_CTRL_GRANT);
	ack.offset = 1000;
	rfoe_send(x, &ack, NULL);
	rfoe_run_turns(r, x, 2);
	m = rfoe_resume(x);
	m.offset = 10;
	rfoe_send_resume(x, &m);
}

/* The victim connects to what the blob names: it names nothing. */
static void no_address(struct rig *r, struct rfoe *x)
{
	struct nmti_resume m = rfoe_resume(x);

	(void)r;
	m.blob[NMTI_RMA_SETUP_LEN + NMTI_RMA_ADDR_HEAD] ^= 1;
	rfoe_send_resume(x, &m);
}

static void resume_raw(struct rfoe *x, size_t at, uint8_t value)
{
	struct nmti_resume m = rfoe_resume(x);
	uint8_t buf[512];
	int n = nmti_resume_encode(&m, buf, sizeof(buf));

	buf[at] = value;
	foe_send(x->f.ctl, buf, (size_t)n);
}

static void flag_1(struct rig *r, struct rfoe *x)
{
	(void)r;
	resume_raw(x, NMTI_MSG_HDR_LEN + 1, 2);
}

static void rails_17(struct rig *r, struct rfoe *x)
{
	(void)r;
	resume_raw(x, NMTI_MSG_HDR_LEN + 2, 17);
}

static void rails_0(struct rig *r, struct rfoe *x)
{
	(void)r;
	resume_raw(x, NMTI_MSG_HDR_LEN + 2, 0);
}

static void zero_set(struct rig *r, struct rfoe *x)
{
	(void)r;
	resume_raw(x, NMTI_MSG_HDR_LEN + 3, 1);
}

static void segment_2_63(struct rig *r, struct rfoe *x)
{
	(void)r;
	resume_raw(x, NMTI_MSG_HDR_LEN + 24, 0xff);
}

/* ---- PATH_DOWN ------------------------------------------------------------------------------- */

static void path_down_flood(struct rig *r, struct rfoe *x)
{
	struct nmti_resume m;

	for (int i = 0; i < 1000; i++) {
		rfoe_send_path_down(x, 0);
		if (i % 50 == 0)
			rfoe_turn(r, x);
	}
	m = rfoe_resume(x);
	rfoe_send_resume(x, &m);
	rfoe_next_epoch(r, x, &m);
}

static void path_down_of_others(struct rig *r, struct rfoe *x)
{
	(void)r;
	for (int i = 1; i < 256; i++)
		rfoe_send_path_down(x, (uint8_t)i);
}

/* A new epoch again and again, and none is ever brought up. */
static void resume_flood(struct rig *r, struct rfoe *x)
{
	struct nmti_resume m = rfoe_resume(x);

	for (int i = 0; i < 300; i++) {
		m.epoch++;
		rfoe_send_resume(x, &m);
		rfoe_turn(r, x);
	}
	rfoe_run_turns(r, x, 20);
	assert_int_equal(x->f.victim.error, 0);
}

/* Up, and lost again, at once. */
static void up_and_down(struct rig *r, struct rfoe *x)
{
	for (int i = 0; i < 20; i++) {
		struct nmti_resume m = rfoe_resume(x);

		rfoe_send_resume(x, &m);
		rfoe_next_epoch(r, x, &m);
	}
}

/* It is done before it sent its end; the victim's close does not wait for it for ever. */
static void closed_without_fin(struct rig *r, struct rfoe *x)
{
	foe_send_abort(&x->f, NMT_WHY_CLOSED);
	rfoe_run_turns(r, x, 3);
	assert_int_equal(nmt_close(x->f.victim.stream), 0);
	x->f.victim.stream = NULL;
	assert_true(rig_until(r, &x->f.victim.closed, 5000 + REACT_MS));
	assert_true(x->f.victim.close_status < 0);
}

/* ---- by dice --------------------------------------------------------------------------------- */

#define ROUNDS 2500

static unsigned int dice;

static unsigned int roll(unsigned int n)
{
	dice = dice * 1103515245u + 12345u;
	return (dice >> 16) % n;
}

/* A number near where the limits are. */
static uint64_t number(void)
{
	switch (roll(6)) {
	case 0:
		return UINT64_MAX - roll(3);
	case 1:
		return UINT64_C(1) << roll(64);
	case 2:
		return RFOE_MEM - 2 + roll(4);
	default:
		return roll(70);
	}
}

static void random_ctrl(struct rfoe *x)
{
	struct nmti_ctrl m = rfoe_ctrl(x, (uint8_t)(1 + roll(roll(12) ? 2 : 5)));
	struct nmti_grant g = rfoe_grant(1 + roll(3), roll(8) ? roll(9000) : number(),
					 1 + (roll(8) ? roll(2000) : number() % 5000));
	uint8_t buf[NMTI_CTRL_MAX];
	int n;

	m.offset = x->bytes;
	m.run_credit[0] = x->arrived;
	if (m.type == NMTI_CTRL_GRANT && roll(3)) {
		m.count = 1;
		m.index = x->next_grant + (roll(20) ? 0 : number() % 5);
	} else if (m.type == NMTI_CTRL_REGION) {
		m.region = (struct nmti_region){ (uint16_t)(roll(20) * 12), 0, x->reg.base,
						 1 + number() % RFOE_MEM, x->reg.key };
	} else if (m.type != NMTI_CTRL_GRANT) {
		m.index = number() % NMTI_SEGMENT_END;
	}
	n = nmti_ctrl_encode(&m, &g, buf, sizeof(buf));
	if (n < 0)
		return;
	x->next_grant += m.type == NMTI_CTRL_GRANT && m.count ? g.repeat : 0;
	if (!roll(40))
		buf[roll((unsigned int)n)] ^= (uint8_t)(1u << roll(8));
	rfoe_raw(x, 0, buf, (uint32_t)(roll(60) ? n : (int)roll((unsigned int)n)));
}

static void random_run(struct rfoe *x)
{
	const struct nmti_region *to = &x->region[0][x->seg[0].region];
	uint32_t imm = rfoe_imm(x, roll(40) ? NMTI_RUN_DATA : (uint8_t)roll(8), !roll(4));
	uint32_t len = (uint32_t)(roll(30) ? 1 + roll(300) : number() % 40000);

	if (!roll(60))
		imm ^= UINT32_C(1) << roll(32);
	rfoe_write(x, 0, imm, len, to->base + (roll(40) ? 0 : number()), to->key);
}

static void random_path(struct rfoe *x)
{
	struct nmti_resume m = rfoe_resume(x);

	m.epoch = (uint8_t)(m.epoch + (roll(4) ? 0 : roll(256)));
	m.offset += roll(4) ? 0 : number();
	m.segment = roll(4) ? x->next_grant : number() % NMTI_SEGMENT_END;
	m.slots = (uint16_t)(roll(4) ? m.slots : number() % 32768);
	if (!roll(4))
		m.blob[roll(m.blob_len)] ^= (uint8_t)(1u << roll(8));
	if (roll(2))
		rfoe_send_resume(x, &m);
	else
		rfoe_send_path_down(x, (uint8_t)roll(3));
}

/* What the application does meanwhile. */
static void random_use(struct rig *r, struct rfoe *x)
{
	static const uint8_t buf[3000];
	struct nmt_stream *s = x->f.victim.stream;

	if (roll(2))
		nmt_send(s, buf, 1 + roll(sizeof(buf)), 0);
	else if (x->server)
		nmt_recv_into(s, r->mr, roll(30000), 1 + roll(30000), 0, roll(8));
	if (x->server && !roll(3))
		nmt_recv_cancel(s, roll(8));
}

static void random_step(struct rig *r, struct rfoe *x)
{
	switch (roll(8)) {
	case 0:
	case 1:
	case 2:
		random_ctrl(x);
		break;
	case 3:
	case 4:
	case 5:
		random_run(x);
		break;
	case 6:
		random_use(r, x);
		break;
	default:
		if (!roll(6))
			random_path(x);
	}
	if (roll(3))
		rfoe_turn(r, x);
}

/* One attacker, until the victim has enough of it. How many steps. */
static unsigned int random_foe(struct rig *r, unsigned int seed)
{
	struct counts before = rig_counts(r);
	static struct rfoe x;
	unsigned int n = 0;

	dice = seed;
	r->recv_mode = roll(2) ? NMT_RECV_POSTED : NMT_RECV_POOL;
	rfoe_init(r, &x, roll(2));
	x.recv_mode = roll(2) ? NMT_RECV_POSTED : NMT_RECV_POOL;
	rfoe_open(r, &x);
	while (!x.f.victim.error && !x.failed && n++ < 200)
		random_step(r, &x);
	if (roll(2)) /* the control channel ends first; it might come back */
		foe_close(&x.f);
	rfoe_close(r, &x);
	r->recv_mode = NMT_RECV_POOL;
	rig_settle(r, &before);
	return n;
}

static void test_random(void **state)
{
	const char *text = getenv("NMT_TEST_SEED");
	unsigned int seed = text ? (unsigned int)strtoul(text, NULL, 0) : 1, n = 0, foes = 0;

	(void)state;
	rma_rig_open(&rig, FOE_RECORDS);
	for (; n < ROUNDS; foes++) {
		print_message("seed %u\n", seed + foes);
		n += random_foe(&rig, seed + foes);
		pair_move(&rig, &rig.good, MIB / 64);
	}
	print_message("%u attackers, %u steps\n", foes, n);
	rma_rig_close(&rig);
}

static const struct rma_case cases[] = {
	{ "RESUME that fits", good, 0, ALIVE },
	{ "RESUME that fits, attacker is the server", good, FOE_SERVER, ALIVE },
	{ "127 epochs ahead", far_epoch, 0, ALIVE },
	{ "older epochs", old_epoch, 0, ALIVE },
	{ "position above what was sent", position_above, 0, MALFORMED },
	{ "records above what was sent", records_above, FOE_RECORDS, MALFORMED },
	{ "an end that was not sent", fin_that_was_not, 0, MALFORMED },
	{ "segment above what was granted", segment_above, 0, MALFORMED },
	{ "segment of an older epoch", segment_of_an_older_epoch, 0, MALFORMED },
	{ "more slots than told", more_slots_than_told, 0, MALFORMED },
	{ "no slots", no_slots, 0, ALIVE },
	{ "position below what was completed", position_back, 0, OWN },
	{ "position below what was acknowledged", position_below_acknowledged, 0, MALFORMED },
	{ "address that is none", no_address, FOE_SERVER, MALFORMED },
	{ "flag 1", flag_1, 0, MALFORMED },
	{ "no rails", rails_0, 0, MALFORMED },
	{ "17 rails", rails_17, 0, MALFORMED },
	{ "a zero field set", zero_set, 0, MALFORMED },
	{ "segment beyond 2^63", segment_2_63, 0, MALFORMED },
	{ "PATH_DOWN 1000 times", path_down_flood, 0, ALIVE },
	{ "PATH_DOWN of other epochs", path_down_of_others, 0, ALIVE },
	{ "RESUME 300 times, and nobody connects", resume_flood, 0, OWN },
	{ "up and down 20 times", up_and_down, 0, ALIVE },
	{ "CLOSED without an end", closed_without_fin, 0, OWN },
};

int main(int argc, char **argv)
{
	const struct CMUnitTest more[] = {
		cmocka_unit_test(test_blobs),
		cmocka_unit_test(test_resume_blobs),
		cmocka_unit_test(test_random),
	};

	return rma_cases_main(argc, argv, cases, ARRAY_SIZE(cases), more, ARRAY_SIZE(more));
}
