/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Codec of the engine: round trips, every field at and beyond its limits, every message cut and
 * changed at every byte, and random messages. The bytes themselves are held against vectors in
 * test_rmavectors.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "rmamsg.h"

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define RANDOM_MESSAGES 200000

/* ---- samples -------------------------------------------------------------------------------- */

static const struct nmti_rma_setup sample_setup = {
	.stripe_log2 = 16, .rails = 3, .slots = 0x1234, .ctrl_slots = 0x567, .ctrl_max = 200,
	.segments = 0x89ab
};

static const struct nmti_grant sample_grants[] = {
	{ .region = 0x1122, .repeat = 7, .offset = 0x33445566778899aa, .length = 65537 },
	{ .region = 3, .flags = NMTI_GRANT_WHOLE, .repeat = 1, .offset = 1, .length = 1 },
	{ .region = 3, .repeat = UINT32_MAX, .length = UINT32_MAX },
};

static void sample_region(struct nmti_region *r, uint8_t rail)
{
	r->id = 0x1357;
	r->rail = rail;
	r->base = 0x7f0011223344;
	r->length = 0x55667788;
	r->key = 0x99aabbccddeeff00;
}

/* A message of TYPE with no field left at zero. */
static void sample_ctrl(uint8_t type, uint8_t nrails, union msg *m)
{
	struct nmti_ctrl *c = &m->ctrl.head;

	memset(m, 0, sizeof(*m));
	c->type = type;
	c->epoch = 200;
	c->nrails = nrails;
	c->offset = UINT64_C(0x123456789abcdef0);
	c->records = UINT64_C(0xfedcba9876543210);
	c->ctrl_credit = 0xc001d00d;
	for (uint32_t i = 0; i < nrails; i++)
		c->run_credit[i] = 0xa0000000 + i;
	if (type == NMTI_CTRL_REGION)
		sample_region(&c->region, nrails - 1);
	else
		c->index = UINT64_C(0x1020304050607080);
	if (type != NMTI_CTRL_GRANT)
		return;
	c->count = ARRAY_SIZE(sample_grants);
	memcpy(m->ctrl.grants, sample_grants, sizeof(sample_grants));
}

#define CTRL_SAMPLES 12

/* Every type, with an odd and an even number of rails, and a GRANT without entries. */
static size_t sample_bytes(uint32_t i, union msg *m, uint8_t buf[NMTI_CTRL_MAX])
{
	uint8_t type = (uint8_t)(i / 2), rails = i % 2 ? 16 : 3;
	int len;

	sample_ctrl(type ? type : NMTI_CTRL_GRANT, rails, m);
	if (!type) {
		m->ctrl.head.count = 0;
		m->ctrl.head.index = 0;
		memset(m->ctrl.grants, 0, sizeof(m->ctrl.grants));
	}
	len = codec_ctrl.encode(m, buf, NMTI_CTRL_MAX);
	assert_in_range(len, nmti_ctrl_head(rails), NMTI_CTRL_MAX);
	return (size_t)len;
}

/* ---- control messages as a whole ------------------------------------------------------------ */

static void test_round_trip(void **state)
{
	uint8_t buf[NMTI_CTRL_MAX];
	union msg in, out;

	(void)state;
	for (uint32_t i = 0; i < CTRL_SAMPLES; i++) {
		size_t len = sample_bytes(i, &in, buf);

		assert_int_equal(decode_exact(&codec_ctrl, buf, len, &out), 0);
		assert_memory_equal(&in, &out, codec_ctrl.size);
	}
}

static void test_encode_space(void **state)
{
	uint8_t buf[NMTI_CTRL_MAX + 16];
	union msg m;

	(void)state;
	for (uint32_t i = 0; i < CTRL_SAMPLES; i++) {
		size_t len = sample_bytes(i, &m, buf);

		for (size_t cap = 0; cap <= len; cap++) {
			memset(buf, 0x5a, sizeof(buf));
			assert_int_equal(codec_ctrl.encode(&m, buf, cap),
					 cap < len ? -ENOSPC : (int)len);
			for (size_t k = cap; k < len + 16; k++)
				assert_int_equal(buf[k], 0x5a);
		}
	}
}

static void set_length(uint8_t *buf, size_t len)
{
	buf[4] = (uint8_t)(len >> 8);
	buf[5] = (uint8_t)len;
}

/* Cut at each byte, also when the header tells the shorter length; and the same with more bytes. */
static void test_length(void **state)
{
	uint8_t buf[NMTI_CTRL_MAX + 32] = { 0 };
	union msg m;

	(void)state;
	for (uint32_t i = 0; i < CTRL_SAMPLES; i++) {
		size_t len = sample_bytes(i, &m, buf);

		memset(buf + len, 0, sizeof(buf) - len);
		for (size_t cut = 0; cut <= sizeof(buf); cut++) {
			int want = cut == len ? 0 : -EPROTO;

			set_length(buf, len);
			assert_int_equal(decode_exact(&codec_ctrl, buf, cut, &m), want);
			set_length(buf, cut);
			assert_int_equal(decode_exact(&codec_ctrl, buf, cut, &m), want);
		}
	}
}

/* Each byte set to each value: refused, or what was decoded encodes to the same bytes. */
static void mutate(const struct codec *c, uint8_t *buf, size_t len, size_t at, size_t version)
{
	uint8_t again[NMTI_CTRL_MAX], keep = buf[at];
	union msg m;

	for (int v = 0; v < 256; v++) {
		int err;

		buf[at] = (uint8_t)v;
		err = decode_exact(c, buf, len, &m);
		if (at == version)
			assert_int_equal(err, v == NMTI_RMA_VERSION ? 0 : -EPROTONOSUPPORT);
		if (err) {
			assert_true(err == -EPROTO || at == version);
			continue;
		}
		assert_int_equal(c->encode(&m, again, sizeof(again)), len);
		assert_memory_equal(again, buf, len);
	}
	buf[at] = keep;
}

static void test_mutation(void **state)
{
	uint8_t buf[NMTI_CTRL_MAX];
	union msg m;

	(void)state;
	for (uint32_t i = 0; i < CTRL_SAMPLES; i++) {
		size_t len = sample_bytes(i, &m, buf);

		for (size_t at = 0; at < len; at++)
			mutate(&codec_ctrl, buf, len, at, 1);
	}
	m.setup = sample_setup;
	assert_int_equal(codec_setup.encode(&m, buf, sizeof(buf)), NMTI_RMA_SETUP_LEN);
	for (size_t at = 0; at < NMTI_RMA_SETUP_LEN; at++)
		mutate(&codec_setup, buf, NMTI_RMA_SETUP_LEN, at, 0);
}

/* ---- addresses ------------------------------------------------------------------------------ */

/* N devices of LEN bytes each, the second one in doubt. */
static void sample_addrs(uint8_t n, uint8_t len, union msg *m)
{
	memset(m, 0, sizeof(*m));
	m->addrs.head.n = n;
	for (uint8_t i = 0; i < n && i < NMTI_RMA_DEVS_MAX; i++) {
		m->addrs.head.at[i].len = len;
		m->addrs.head.at[i].flags = i == 1 ? NMTI_RMA_DOUBT : 0;
		memset(m->addrs.bytes[i], 0xb0 + i, len);
	}
}

static void test_addrs(void **state)
{
	static const uint8_t lens[] = { 1, 2, 58, UINT8_MAX };
	uint8_t buf[RMA_ADDRS_LEN];
	union msg m, out;

	(void)state;
	for (uint8_t n = 1; n <= NMTI_RMA_DEVS_MAX; n++) {
		for (size_t i = 0; i < ARRAY_SIZE(lens); i++) {
			int want = n * (NMTI_RMA_ADDR_HEAD + lens[i]);

			sample_addrs(n, lens[i], &m);
			for (int cap = 0; cap < want; cap++)
				assert_int_equal(codec_addrs.encode(&m, buf, (size_t)cap), -ENOSPC);
			assert_int_equal(codec_addrs.encode(&m, buf, (size_t)want), want);
			for (int len = 0; len <= want; len++) {
				int whole = len && len % (NMTI_RMA_ADDR_HEAD + lens[i]) == 0;

				assert_int_equal(decode_exact(&codec_addrs, buf, (size_t)len, &out),
						 whole ? 0 : -EPROTO);
			}
			assert_memory_equal(&m, &out, codec_addrs.size);
		}
	}
}

static void test_addrs_limits(void **state)
{
	uint8_t buf[RMA_ADDRS_LEN + 3];
	union msg m, out;
	int len;

	(void)state;
	sample_addrs(0, 1, &m);
	assert_int_equal(codec_addrs.encode(&m, buf, sizeof(buf)), -EINVAL);
	sample_addrs(NMTI_RMA_DEVS_MAX + 1, 1, &m);
	assert_int_equal(codec_addrs.encode(&m, buf, sizeof(buf)), -EINVAL);
	sample_addrs(2, 0, &m);
	assert_int_equal(codec_addrs.encode(&m, buf, sizeof(buf)), -EINVAL);
	sample_addrs(2, 1, &m);
	m.addrs.head.at[1].flags = 2;
	assert_int_equal(codec_addrs.encode(&m, buf, sizeof(buf)), -EINVAL);
	sample_addrs(3, 4, &m);
	len = codec_addrs.encode(&m, buf, sizeof(buf));
	for (size_t at = 0; at < (size_t)len; at++)
		mutate(&codec_addrs, buf, (size_t)len, at, SIZE_MAX);
	/* One more device than there may be. */
	sample_addrs(NMTI_RMA_DEVS_MAX, 1, &m);
	len = codec_addrs.encode(&m, buf, sizeof(buf));
	memcpy(buf + len, buf, 3);
	assert_int_equal(decode_exact(&codec_addrs, buf, (size_t)len + 3, &out), -EPROTO);
}

/* ---- fields at and beyond their limits ------------------------------------------------------ */

/* Encode a sample with one assignment made: WANT is 0 or an error. What encodes must decode. */
#define with(kind, rails, assignment, want)                                         \
	do {                                                                       \
		uint8_t buf_[NMTI_CTRL_MAX];                                       \
		union msg u_, out_;                                                \
		struct nmti_ctrl *c = &u_.ctrl.head;                               \
		struct nmti_grant *g = u_.ctrl.grants;                             \
		int got_;                                                          \
		sample_ctrl(NMTI_CTRL_##kind, rails, &u_);                         \
		(void)c, (void)g;                                                  \
		assignment;                                                        \
		got_ = codec_ctrl.encode(&u_, buf_, sizeof(buf_));                 \
		assert_int_equal(got_ < 0 ? got_ : 0, want);                       \
		if (got_ > 0)                                                      \
			assert_int_equal(decode_exact(&codec_ctrl, buf_,           \
						      (size_t)got_, &out_), 0);    \
	} while (0)

#define END NMTI_SEGMENT_END

static void test_head_limits(void **state)
{
	(void)state;
	with(KEPT, 1, c->type = 0, -EINVAL);
	with(KEPT, 1, c->type = 6, -EINVAL);
	with(KEPT, 1, c->type = 255, -EINVAL);
	with(KEPT, 1, c->nrails = 0, -EINVAL);
	with(KEPT, 1, c->nrails = 16, 0);
	with(KEPT, 1, c->nrails = 17, -EINVAL);
	with(KEPT, 1, c->nrails = 255, -EINVAL);
	with(KEPT, 1, c->count = 1, -EINVAL);
	with(REGION, 1, c->count = 1, -EINVAL);
	with(GRANT, 1, c->count = 1, 0);
	with(GRANT, 1, c->count = 10, -ENOSPC);
	with(GRANT, 1, c->count = UINT16_MAX, -ENOSPC);
	with(GRANT, 1, c->offset = UINT64_MAX, 0);
	with(GRANT, 1, c->records = UINT64_MAX, 0);
	with(CANCEL, 1, c->index = END - 1, 0);
	with(CANCEL, 1, c->index = END, -EINVAL);
	with(SKIPPED, 1, c->index = END - 1, 0);
	with(SKIPPED, 1, c->index = END, -EINVAL);
	with(KEPT, 1, c->index = UINT64_MAX, -EINVAL);
}

static void test_grant_limits(void **state)
{
	(void)state;
	with(GRANT, 2, g[1].flags = 2, -EINVAL);
	with(GRANT, 2, g[1].flags = 0x8000, -EINVAL);
	with(GRANT, 2, g[2].repeat = 0, -EINVAL);
	with(GRANT, 2, g[2].length = 0, -EINVAL);
	with(GRANT, 2, (g[0].repeat = 1, g[0].length = 0), -EINVAL);
	with(GRANT, 2, (g[0].flags = NMTI_GRANT_WHOLE, g[0].length = 0), -EINVAL);
	with(GRANT, 2, g[1].length = 0, 0);
	with(GRANT, 2, g[1].offset = UINT64_MAX - 1, 0);
	with(GRANT, 2, g[1].offset = UINT64_MAX, -EINVAL);
	with(GRANT, 2, g[1].length = UINT64_MAX - 1, 0);
	with(GRANT, 2, g[1].length = UINT64_MAX, -EINVAL);
	with(GRANT, 2, (g[0].repeat = 2, g[0].offset = 0, g[0].length = INT64_MAX), 0);
	with(GRANT, 2, (g[0].repeat = 2, g[0].offset = 1, g[0].length = INT64_MAX), 0);
	with(GRANT, 2, (g[0].repeat = 2, g[0].offset = 2, g[0].length = INT64_MAX), -EINVAL);
	with(GRANT, 2, (g[0].repeat = 2, g[0].offset = 0, g[0].length = END), -EINVAL);
	with(GRANT, 2, (g[0].repeat = UINT32_MAX, g[0].length = UINT64_MAX / UINT32_MAX), -EINVAL);
	with(GRANT, 2, (g[0].repeat = UINT32_MAX, g[0].length = END), -EINVAL);
	with(GRANT, 2, (c->count = 1, c->index = END - 7), 0);
	with(GRANT, 2, (c->count = 1, c->index = END - 6), -EINVAL);
	with(GRANT, 2, (c->count = 2, c->index = END - 8), 0);
	with(GRANT, 2, (c->count = 2, c->index = END - 7), -EINVAL);
	with(GRANT, 2, c->index = END, -EINVAL);
	with(GRANT, 2, c->index = UINT64_MAX, -EINVAL);
	with(GRANT, 2, c->index = UINT64_MAX - UINT32_MAX, -EINVAL);
}

static void test_region_limits(void **state)
{
	(void)state;
	with(REGION, 16, c->region.rail = 15, 0);
	with(REGION, 16, c->region.rail = 16, -EINVAL);
	with(REGION, 3, c->region.rail = 3, -EINVAL);
	with(REGION, 3, c->region.length = 0, -EINVAL);
	with(REGION, 3, c->region.base = 0, 0);
	with(REGION, 3, (c->region.base = 0, c->region.length = UINT64_MAX), 0);
	with(REGION, 3, (c->region.base = 1, c->region.length = UINT64_MAX), -EINVAL);
	with(REGION, 3, (c->region.base = UINT64_MAX, c->region.length = 1), -EINVAL);
}

#define setup_with(assignment, want)                                                \
	do {                                                                       \
		uint8_t buf_[NMTI_RMA_SETUP_LEN];                                  \
		struct nmti_rma_setup u_ = sample_setup, *s = &u_;                 \
		assignment;                                                        \
		assert_int_equal(nmti_rma_setup_encode(s, buf_, sizeof(buf_)),     \
				 (want) ? (want) : NMTI_RMA_SETUP_LEN);            \
	} while (0)

static void test_setup_limits(void **state)
{
	(void)state;
	setup_with(s->stripe_log2 = 11, -EINVAL);
	setup_with(s->stripe_log2 = 12, 0);
	setup_with(s->stripe_log2 = 30, 0);
	setup_with(s->stripe_log2 = 31, -EINVAL);
	setup_with(s->rails = 0, -EINVAL);
	setup_with(s->rails = 16, 0);
	setup_with(s->rails = 17, -EINVAL);
	setup_with(s->slots = 1, -EINVAL);
	setup_with(s->slots = 2, 0);
	setup_with(s->slots = 32767, 0);
	setup_with(s->slots = 32768, -EINVAL);
	setup_with(s->ctrl_slots = 3, -EINVAL);
	setup_with(s->ctrl_slots = 4, 0);
	setup_with(s->ctrl_slots = 32767, 0);
	setup_with(s->ctrl_slots = 32768, -EINVAL);
	setup_with(s->ctrl_max = 127, -EINVAL);
	setup_with(s->ctrl_max = 128, 0);
	setup_with(s->ctrl_max = 256, 0);
	setup_with(s->ctrl_max = 257, -EINVAL);
	setup_with(s->segments = 1, -EINVAL);
	setup_with(s->segments = 2, 0);
	setup_with(s->segments = 65535, 0);
}

/* The provider's bytes follow; fewer than the engine's own are no blob. */
static void test_setup_blob(void **state)
{
	uint8_t blob[NMTI_BLOB_MAX];
	union msg m, out;

	(void)state;
	m.setup = sample_setup;
	for (size_t cap = 0; cap < NMTI_RMA_SETUP_LEN; cap++)
		assert_int_equal(codec_setup.encode(&m, blob, cap), -ENOSPC);
	memset(blob, 0xff, sizeof(blob));
	assert_int_equal(codec_setup.encode(&m, blob, sizeof(blob)), NMTI_RMA_SETUP_LEN);
	assert_int_equal(blob[NMTI_RMA_SETUP_LEN], 0xff);
	for (size_t len = 0; len < sizeof(blob); len++)
		assert_int_equal(decode_exact(&codec_setup, blob, len, &out),
				 len < NMTI_RMA_SETUP_LEN ? -EPROTO : 0);
	assert_memory_equal(&m, &out, codec_setup.size);
}

/* None is longer than NMTI_CTRL_MAX, whatever the buffer. */
static void test_longest(void **state)
{
	uint8_t buf[2 * NMTI_CTRL_MAX];
	union msg m;

	(void)state;
	sample_ctrl(NMTI_CTRL_GRANT, 1, &m);
	for (int i = 0; i < 10; i++)
		m.ctrl.grants[i] = sample_grants[0];
	m.ctrl.head.count = 9;
	assert_int_equal(codec_ctrl.encode(&m, buf, sizeof(buf)), NMTI_CTRL_MAX);
	m.ctrl.head.count = 10;
	assert_int_equal(codec_ctrl.encode(&m, buf, sizeof(buf)), -ENOSPC);
}

/* Every control message but a long GRANT fits into what every receiver takes. */
static void test_room(void **state)
{
	uint8_t buf[NMTI_CTRL_MAX];
	union msg m;

	(void)state;
	assert_int_equal(nmti_ctrl_room(1, NMTI_CTRL_MAX), 9);
	assert_int_equal(nmti_ctrl_room(16, NMTI_CTRL_MAX), 6);
	assert_int_equal(nmti_ctrl_room(16, NMTI_CTRL_MAX_MIN), 1);
	for (uint8_t rails = 1; rails <= NMTI_RAILS_MAX; rails++) {
		uint32_t most = nmti_ctrl_room(rails, NMTI_CTRL_MAX);

		sample_ctrl(NMTI_CTRL_REGION, rails, &m);
		assert_true(codec_ctrl.encode(&m, buf, NMTI_CTRL_MAX_MIN) > 0);
		sample_ctrl(NMTI_CTRL_GRANT, rails, &m);
		for (uint32_t i = 0; i <= most; i++)
			m.ctrl.grants[i] = sample_grants[i % 2];
		m.ctrl.head.count = (uint16_t)nmti_ctrl_room(rails, NMTI_CTRL_MAX_MIN);
		assert_true(codec_ctrl.encode(&m, buf, NMTI_CTRL_MAX_MIN) > 0);
		m.ctrl.head.count++;
		assert_int_equal(codec_ctrl.encode(&m, buf, NMTI_CTRL_MAX_MIN), -ENOSPC);
		m.ctrl.head.count = (uint16_t)most;
		assert_true(codec_ctrl.encode(&m, buf, NMTI_CTRL_MAX) > 0);
		m.ctrl.head.count++;
		assert_int_equal(codec_ctrl.encode(&m, buf, NMTI_CTRL_MAX), -ENOSPC);
	}
}

/* ---- immediates ----------------------------------------------------------------------------- */

/* What an immediate may be, told once more: of each type, with and without EOR and bytes. */
static bool run_allowed(uint32_t type, bool eor, uint32_t len)
{
	switch (type) {
	case NMTI_RUN_DATA:
		return eor || len > 0;
	case NMTI_RUN_FIN:
	case NMTI_RUN_STOP:
	case NMTI_RUN_TRUNC:
		return !eor && !len;
	default:
		return false;
	}
}

static void check_imm(uint32_t imm, uint32_t len)
{
	bool ok = run_allowed(imm >> 29, imm >> 28 & 1, len);
	struct nmti_imm m;

	assert_int_equal(nmti_imm_decode(imm, len, &m), ok ? 0 : -EPROTO);
	if (!ok)
		return;
	assert_int_equal(m.epoch, imm >> 20 & 0xff);
	assert_int_equal(m.seq, imm & 0xfffff);
	assert_int_equal(nmti_imm_encode(&m), imm);
}

static void test_immediates(void **state)
{
	static const uint32_t lengths[] = { 0, 1, 64, UINT32_MAX };

	(void)state;
	for (uint32_t head = 0; head < 4096; head++)
		for (uint32_t seq = 0; seq <= NMTI_SEQ_MASK; seq = seq * 2 + 1)
			for (size_t i = 0; i < ARRAY_SIZE(lengths); i++)
				check_imm(head << 20 | seq, lengths[i]);
}

/* ---- random messages ------------------------------------------------------------------------ */

static uint64_t rng = 0x9e3779b97f4a7c15;

static uint64_t random64(void)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return rng;
}

/* 0..MAX, any magnitude alike. */
static uint64_t upto(uint64_t max)
{
	uint64_t v = random64() >> random64() % 64;

	return max == UINT64_MAX ? v : v % (max + 1);
}

static void random_grants(union msg *m)
{
	struct nmti_ctrl *c = &m->ctrl.head;
	uint64_t next;

	c->count = (uint16_t)upto(nmti_ctrl_room(c->nrails, NMTI_CTRL_MAX));
	if (!c->count)
		return;
	next = c->index = upto(END - c->count);
	for (uint32_t i = 0; i < c->count; i++) {
		struct nmti_grant *g = &m->ctrl.grants[i];
		uint64_t indexes = END - next - (c->count - i); /* to spare */

		g->region = (uint16_t)random64();
		g->flags = random64() & NMTI_GRANT_WHOLE;
		g->repeat = 1 + (uint32_t)upto(indexes < UINT32_MAX ? indexes : UINT32_MAX - 1);
		g->length = 1 + upto(UINT64_MAX / g->repeat - 1);
		g->offset = upto(UINT64_MAX - g->length * g->repeat);
		if (g->flags && g->repeat == 1 && random64() % 2)
			g->length = 0;
		next += g->repeat;
	}
}

static void random_region(struct nmti_region *r, uint8_t nrails)
{
	r->id = (uint16_t)random64();
	r->rail = (uint8_t)upto(nrails - 1);
	r->length = 1 + upto(UINT64_MAX - 1);
	r->base = upto(UINT64_MAX - r->length);
	r->key = random64();
}

static void random_ctrl(union msg *m)
{
	struct nmti_ctrl *c = &m->ctrl.head;

	memset(m, 0, sizeof(*m));
	c->type = (uint8_t)(1 + random64() % 5);
	c->epoch = (uint8_t)random64();
	c->nrails = (uint8_t)(1 + random64() % NMTI_RAILS_MAX);
	c->offset = upto(UINT64_MAX);
	c->records = upto(UINT64_MAX);
	c->ctrl_credit = (uint32_t)random64();
	for (uint32_t i = 0; i < c->nrails; i++)
		c->run_credit[i] = (uint32_t)random64();
	if (c->type == NMTI_CTRL_GRANT)
		random_grants(m);
	else if (c->type == NMTI_CTRL_REGION)
		random_region(&c->region, c->nrails);
	else
		c->index = upto(END - 1);
}

static void test_random(void **state)
{
	uint8_t buf[NMTI_CTRL_MAX];
	union msg in, out;

	(void)state;
	for (int i = 0; i < RANDOM_MESSAGES; i++) {
		int len;

		random_ctrl(&in);
		len = codec_ctrl.encode(&in, buf, sizeof(buf));
		if (len <= 0)
			fail_msg("message %d is refused: %d", i, len);
		assert_int_equal(decode_exact(&codec_ctrl, buf, (size_t)len, &out), 0);
		assert_memory_equal(&in, &out, codec_ctrl.size);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_encode_space),
		cmocka_unit_test(test_length),
		cmocka_unit_test(test_mutation),
		cmocka_unit_test(test_head_limits),
		cmocka_unit_test(test_grant_limits),
		cmocka_unit_test(test_region_limits),
		cmocka_unit_test(test_setup_limits),
		cmocka_unit_test(test_setup_blob),
		cmocka_unit_test(test_addrs),
		cmocka_unit_test(test_addrs_limits),
		cmocka_unit_test(test_longest),
		cmocka_unit_test(test_room),
		cmocka_unit_test(test_immediates),
		cmocka_unit_test(test_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
