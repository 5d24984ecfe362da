/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Codec of the bootstrap: round trips, every field at and beyond its limits, every message cut and
 * changed at every byte. The bytes themselves are held against vectors in test_bootvectors.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "bootmsg.h"

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

/* ---- samples -------------------------------------------------------------------------------- */

static void fill(uint8_t *p, size_t n, uint8_t first)
{
	for (size_t i = 0; i < n; i++)
		p[i] = (uint8_t)(first + i);
}

static void sample_offer(struct nmti_offer *o, const char *name, const char *device, uint16_t blob)
{
	o->rails = 3;
	strcpy(o->name, name);
	strcpy(o->device, device);
	o->blob_len = blob;
	fill(o->blob, blob, 0x33);
}

static void sample_hello(struct nmti_hello *h)
{
	fill(h->session, sizeof(h->session), 0x10);
	h->ver_min = 1;
	h->ver_max = 3;
	h->recv_mode = NMT_RECV_POSTED;
	h->features = UINT64_C(0x8000000000000003);
	h->required = NMTI_FEAT_RECORDS;
	h->noffers = 3;
	sample_offer(&h->offer[0], "verbs", "mlx5_0/1", 40);
	sample_offer(&h->offer[1], "ofi_x9", "", 1);
	sample_offer(&h->offer[2], "tcp", "eth0", 0);
}

static void sample_select(struct nmti_select *s)
{
	fill(s->session, sizeof(s->session), 0x10);
	s->version = 2;
	s->offer = 1;
	s->recv_mode = NMT_RECV_POOL;
	s->features = NMTI_FEAT_RECORDS;
	s->rails = 2;
	s->port = 54321;
	fill(s->token, sizeof(s->token), 0x90);
	s->blob_len = 19;
	fill(s->blob, 19, 0xf8);
}

static void sample_resume(struct nmti_resume *r)
{
	r->epoch = 255;
	r->flags = NMTI_RESUME_FIN;
	r->rails = 3;
	r->slots = 513;
	r->offset = UINT64_C(0x123456789abcdef0);
	r->records = 0xfedcba98;
	r->segment = UINT64_C(0x1122334455667788);
	r->blob_len = 40;
	fill(r->blob, 40, 0x41);
}

/* A message of the I-th type with no field left at zero. */
static void sample(size_t i, union msg *m)
{
	memset(m, 0, sizeof(*m));
	switch (i) {
	case 0:
		sample_hello(&m->hello);
		return;
	case 1:
		sample_select(&m->select);
		return;
	case 2:
		m->decline.reason = NMT_WHY_BUSY;
		strcpy(m->decline.text, "1024 handshakes are going on ~");
		return;
	case 3:
		m->confirm = (struct nmti_confirm){ .status = NMT_WHY_PATH, .rails = 2 };
		return;
	case 4:
		fill(m->join.session, sizeof(m->join.session), 0x10);
		fill(m->join.token, sizeof(m->join.token), 0x90);
		m->join.rail = 7;
		m->join.kind = NMTI_JOIN_CONTROL;
		return;
	case 5:
		m->fin = (struct nmti_fin){ UINT64_C(0x123456789abcdef0), 0xfedcba98 };
		return;
	case 6:
		m->abort.reason = NMT_WHY_SHUTDOWN;
		return;
	case 7:
		sample_resume(&m->resume);
		return;
	default:
		m->path_down = (struct nmti_path_down){ .epoch = 254, .reason = NMT_WHY_NO_DEVICE };
	}
}

/* The I-th sample, encoded. */
static size_t sample_bytes(size_t i, uint8_t buf[NMTI_MSG_MAX])
{
	union msg m;
	int len;

	sample(i, &m);
	len = messages[i].encode(&m, buf, NMTI_MSG_MAX);
	assert_in_range(len, NMTI_MSG_HDR_LEN + 1, NMTI_MSG_MAX);
	return (size_t)len;
}

static void test_round_trip(void **state)
{
	uint8_t buf[NMTI_MSG_MAX];
	struct nmti_msg_hdr hdr;
	union msg in, out;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(messages); i++) {
		size_t len = sample_bytes(i, buf);

		sample(i, &in);
		assert_int_equal(nmti_msg_peek(buf, len, &hdr), len);
		assert_int_equal(hdr.type, i + 1);
		assert_int_equal(hdr.version, 1);
		assert_int_equal(hdr.flags, 0);
		assert_int_equal(hdr.len, len - NMTI_MSG_HDR_LEN);
		memset(&out, 0xee, sizeof(out));
		assert_int_equal(decode_exact(&messages[i], buf, len, &out), 0);
		assert_memory_equal(&in, &out, messages[i].size);
	}
}

static void test_encode_space(void **state)
{
	uint8_t buf[NMTI_MSG_MAX];
	union msg m;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(messages); i++) {
		size_t len = sample_bytes(i, buf);

		sample(i, &m);
		for (size_t cap = 0; cap <= len; cap++) {
			int want = cap < len ? -ENOSPC : (int)len;

			memset(buf, 0x5a, sizeof(buf));
			assert_int_equal(messages[i].encode(&m, buf, cap), want);
			for (size_t k = cap; k < len + 16; k++)
				assert_int_equal(buf[k], 0x5a);
		}
	}
}

/* Cut at each byte: peek waits, decoders refuse; also when the header tells the shorter length. */
static void test_truncation(void **state)
{
	uint8_t buf[NMTI_MSG_MAX];
	union msg m;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(messages); i++) {
		size_t len = sample_bytes(i, buf);

		for (size_t cut = 0; cut < len; cut++) {
			assert_int_equal(nmti_msg_peek(buf, cut, NULL), 0);
			assert_int_equal(decode_exact(&messages[i], buf, cut, &m), -EPROTO);
		}
		for (size_t cut = len - 1; cut >= NMTI_MSG_HDR_LEN; cut--) {
			buf[6] = (uint8_t)((cut - NMTI_MSG_HDR_LEN) >> 8);
			buf[7] = (uint8_t)(cut - NMTI_MSG_HDR_LEN);
			assert_int_equal(decode_exact(&messages[i], buf, cut, &m), -EPROTO);
		}
	}
}

static void test_trailing(void **state)
{
	uint8_t buf[NMTI_MSG_MAX + 1];
	union msg m;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(messages); i++) {
		size_t len = sample_bytes(i, buf);

		buf[len] = 0;
		assert_int_equal(decode_exact(&messages[i], buf, len + 1, &m), -EPROTO);
		assert_int_equal(nmti_msg_peek(buf, len + 1, NULL), len);
		buf[7]++; /* no sample has a multiple of 256 bytes */
		assert_int_equal(decode_exact(&messages[i], buf, len + 1, &m), -EPROTO);
	}
}

static void test_wrong_type(void **state)
{
	uint8_t buf[NMTI_MSG_MAX];
	union msg m;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(messages); i++) {
		size_t len = sample_bytes(i, buf);

		for (size_t k = 0; k < ARRAY_SIZE(messages); k++)
			assert_int_equal(decode_exact(&messages[k], buf, len, &m),
					 k == i ? 0 : -EPROTO);
	}
}

/*
 * Each byte set to each value: refused, or what was decoded encodes to the same bytes (but for the
 * text of DECLINE, which is cleaned).
 */
static void mutate(const struct codec *c, uint8_t *buf, size_t len, size_t at)
{
	uint8_t again[NMTI_MSG_MAX], keep = buf[at];
	union msg m;

	for (int v = 0; v < 256; v++) {
		int err;

		buf[at] = (uint8_t)v;
		err = decode_exact(c, buf, len, &m);
		if (err) {
			assert_true(err == -EPROTO || err == -EPROTONOSUPPORT);
			continue;
		}
		assert_int_equal(c->encode(&m, again, sizeof(again)), len);
		if (c == &messages[NMTI_MSG_DECLINE - 1] && again[at] == '?')
			again[at] = (uint8_t)v;
		assert_memory_equal(again, buf, len);
	}
	buf[at] = keep;
}

static void test_mutation(void **state)
{
	uint8_t buf[NMTI_MSG_MAX];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(messages); i++) {
		size_t len = sample_bytes(i, buf);

		for (size_t at = 0; at < len; at++)
			mutate(&messages[i], buf, len, at);
	}
}

/* ---- fields beyond their limits, encoding ---------------------------------------------------- */

#define assert_encodes(X, m, want)                                                  \
	do {                                                                       \
		uint8_t buf_[NMTI_MSG_MAX];                                        \
		int got_ = nmti_##X##_encode(m, buf_, sizeof(buf_));               \
		assert_int_equal(got_ < 0 ? got_ : 0, want);                       \
	} while (0)

/* Encode the sample with one assignment made: WANT is 0 or -EINVAL. */
#define with(X, nth, assignment, want)                                              \
	do {                                                                       \
		union msg u_;                                                      \
		struct nmti_##X *m = &u_.X;                                        \
		sample(nth, &u_);                                                  \
		assignment;                                                        \
		assert_encodes(X, m, want);                                        \
	} while (0)

static void test_hello_limits(void **state)
{
	(void)state;
	with(hello, 0, m->ver_min = 0, -EINVAL);
	with(hello, 0, m->ver_min = 3, 0);
	with(hello, 0, m->ver_min = 4, -EINVAL);
	with(hello, 0, m->ver_max = 255, 0);
	with(hello, 0, m->recv_mode = 2, -EINVAL);
	with(hello, 0, m->required = 0, 0);
	with(hello, 0, m->required = m->features, 0);
	with(hello, 0, m->required = 4, -EINVAL);
	with(hello, 0, m->noffers = 0, -EINVAL);
	with(hello, 0, m->noffers = 1, 0);
	with(hello, 0, m->noffers = 4, -EINVAL); /* the fourth is empty */
	with(hello, 0, m->noffers = NMTI_OFFERS_MAX + 1, -EINVAL);
	with(hello, 0, m->noffers = UINT16_MAX, -EINVAL);
}

static void test_offer_limits(void **state)
{
	(void)state;
	with(hello, 0, m->offer[2].rails = 0, -EINVAL);
	with(hello, 0, m->offer[2].rails = 1, 0);
	with(hello, 0, m->offer[2].rails = 16, 0);
	with(hello, 0, m->offer[2].rails = 17, -EINVAL);
	with(hello, 0, m->offer[2].blob_len = 256, 0);
	with(hello, 0, m->offer[2].blob_len = 257, -EINVAL);
	with(hello, 0, m->offer[2].name[0] = 0, -EINVAL);
	with(hello, 0, m->offer[2].name[1] = '-', -EINVAL);
	with(hello, 0, m->offer[2].name[1] = 'C', -EINVAL);
	with(hello, 0, m->offer[2].name[1] = '_', 0);
	with(hello, 0, m->offer[2].name[1] = '0', 0);
	with(hello, 0, strcpy(m->offer[2].name, "abcdefghijklmno"), 0);
	with(hello, 0, memset(m->offer[2].name, 'a', NMT_NAME_MAX), -EINVAL);
	with(hello, 0, m->offer[2].device[0] = ' ', -EINVAL);
	with(hello, 0, m->offer[2].device[0] = '!', 0);
	with(hello, 0, m->offer[2].device[0] = '~', 0);
	with(hello, 0, m->offer[2].device[0] = '\x7f', -EINVAL);
	with(hello, 0, m->offer[2].device[0] = '\x80', -EINVAL);
	with(hello, 0, m->offer[2].device[0] = '\n', -EINVAL);
	with(hello, 0, memset(m->offer[2].device, 'd', NMT_DEV_MAX - 1), 0);
	with(hello, 0, memset(m->offer[2].device, 'd', NMT_DEV_MAX), -EINVAL);
}

static void test_select_limits(void **state)
{
	(void)state;
	with(select, 1, m->version = 0, -EINVAL);
	with(select, 1, m->version = 255, 0);
	with(select, 1, m->offer = 7, 0);
	with(select, 1, m->offer = 8, -EINVAL);
	with(select, 1, m->recv_mode = 1, 0);
	with(select, 1, m->recv_mode = 2, -EINVAL);
	with(select, 1, m->rails = 0, -EINVAL);
	with(select, 1, m->rails = 16, 0);
	with(select, 1, m->rails = 17, -EINVAL);
	with(select, 1, m->port = 0, 0);
	with(select, 1, m->blob_len = 256, 0);
	with(select, 1, m->blob_len = 257, -EINVAL);
}

static void test_small_limits(void **state)
{
	(void)state;
	with(decline, 2, m->text[0] = 0, 0);
	with(decline, 2, m->text[3] = '\n', -EINVAL);
	with(decline, 2, m->text[3] = '\x9b', -EINVAL);
	with(decline, 2, m->text[3] = '\x7f', -EINVAL);
	with(decline, 2, memset(m->text, 'x', NMTI_TEXT_MAX), 0);
	with(decline, 2, memset(m->text, 'x', sizeof(m->text)), -EINVAL);
	with(decline, 2, m->reason = UINT16_MAX, 0);
	with(confirm, 3, m->status = UINT16_MAX, 0);
	with(confirm, 3, m->rails = 0, 0);
	with(confirm, 3, m->rails = 16, 0);
	with(confirm, 3, m->rails = 17, -EINVAL);
	with(confirm, 3, m->status = 0, 0);
	with(confirm, 3, (m->status = 0, m->rails = 0), -EINVAL);
	with(join, 4, m->rail = 15, 0);
	with(join, 4, m->rail = 16, -EINVAL);
	with(join, 4, m->kind = 0, -EINVAL);
	with(join, 4, m->kind = 1, 0);
	with(join, 4, m->kind = 3, -EINVAL);
}

static void test_resume_limits(void **state)
{
	(void)state;
	with(resume, 7, m->flags = 0, 0);
	with(resume, 7, m->flags = 2, -EINVAL);
	with(resume, 7, m->flags = 0x81, -EINVAL);
	with(resume, 7, m->rails = 0, -EINVAL);
	with(resume, 7, m->rails = 16, 0);
	with(resume, 7, m->rails = 17, -EINVAL);
	with(resume, 7, m->slots = 0, 0);
	with(resume, 7, m->slots = 32767, 0);
	with(resume, 7, m->slots = 32768, -EINVAL);
	with(resume, 7, m->offset = UINT64_MAX, 0);
	with(resume, 7, m->records = UINT64_MAX, 0);
	with(resume, 7, m->segment = UINT64_C(1) << 63, 0);
	with(resume, 7, m->segment = (UINT64_C(1) << 63) + 1, -EINVAL);
	with(resume, 7, m->blob_len = 0, 0);
	with(resume, 7, m->blob_len = 256, 0);
	with(resume, 7, m->blob_len = 257, -EINVAL);
	with(path_down, 8, m->reason = UINT16_MAX, 0);
}

/* ---- the rest ------------------------------------------------------------------------------- */

/* The largest fields fit, and extensions may fill the body up to its limit, not beyond. */
static void test_longest_hello(void **state)
{
	uint8_t buf[NMTI_MSG_MAX + 1] = { 0 };
	union msg m;
	size_t len, ext;

	(void)state;
	sample(0, &m);
	m.hello.noffers = NMTI_OFFERS_MAX;
	for (int i = 0; i < NMTI_OFFERS_MAX; i++) {
		sample_offer(&m.hello.offer[i], "abcdefghijklmno", "", 256);
		memset(m.hello.offer[i].device, 'd', NMT_DEV_MAX - 1);
	}
	len = (size_t)nmti_hello_encode(&m.hello, buf, sizeof(buf));
	assert_int_equal(len, 8 + 44 + 8 * (8 + 15 + 63 + 256));
	ext = NMTI_MSG_MAX - len - 4;
	buf[len + 1] = 77;
	buf[len + 2] = (uint8_t)(ext >> 8);
	buf[len + 3] = (uint8_t)ext;
	buf[6] = 4096 >> 8;
	buf[7] = 0;
	assert_int_equal(nmti_hello_decode(buf, NMTI_MSG_MAX, &m.hello), 0);
	buf[7] = 1;
	buf[len + 3]++;
	assert_int_equal(nmti_msg_peek(buf, sizeof(buf), NULL), -EMSGSIZE);
	assert_int_equal(nmti_hello_decode(buf, sizeof(buf), &m.hello), -EPROTO);
}

#define check_with(assignment, want)                                                \
	do {                                                                       \
		union msg h_, s_;                                                  \
		struct nmti_hello *hello = &h_.hello;                              \
		struct nmti_select *sel = &s_.select;                              \
		sample(0, &h_);                                                    \
		sample(1, &s_);                                                    \
		assignment;                                                        \
		assert_int_equal(nmti_select_check(sel, hello), want);             \
	} while (0)

static void test_select_check(void **state)
{
	(void)state;
	check_with((void)hello, 0);
	check_with(sel->session[15] ^= 1, -EPROTO);
	check_with(sel->version = 0, -EPROTO);
	check_with(sel->version = 3, 0);
	check_with(sel->version = 4, -EPROTO);
	check_with(sel->offer = 2, 0);
	check_with(sel->offer = 3, -EPROTO);
	check_with(sel->rails = 3, 0);
	check_with(sel->rails = 4, -EPROTO);
	check_with(sel->features = 0, -EPROTO);
	check_with(sel->features |= NMTI_FEAT_DATA_SOCKET, 0);
	check_with(sel->features |= 4, -EPROTO);
	check_with(hello->required |= NMTI_FEAT_DATA_SOCKET, -EPROTO);
}

static void test_record_header(void **state)
{
	static const uint32_t lengths[] = { 1, 255, 256, 65536, 0x01020304, UINT32_MAX };
	uint8_t hdr[NMTI_REC_HDR_LEN];
	uint32_t len;
	bool eor;

	(void)state;
	for (size_t i = 0; i < 2 * ARRAY_SIZE(lengths); i++) {
		nmti_rec_put(hdr, lengths[i / 2], i & 1);
		assert_int_equal(nmti_rec_get(hdr, &len, &eor), 0);
		assert_int_equal(len, lengths[i / 2]);
		assert_int_equal(eor, i & 1);
	}
	nmti_rec_put(hdr, 0, true);
	assert_int_equal(nmti_rec_get(hdr, &len, &eor), 0);
	nmti_rec_put(hdr, 0, false);
	assert_int_equal(nmti_rec_get(hdr, &len, &eor), -EPROTO);
}

static void test_peek_header(void **state)
{
	const uint8_t bad[] = { 0, 0x34, 9, 0x80, 1, 2, 3, 4 };
	struct nmti_msg_hdr hdr = { 0 };

	(void)state;
	assert_int_equal(nmti_msg_peek(bad, 7, &hdr), 0);
	assert_int_equal(hdr.type, 0);
	assert_int_equal(nmti_msg_peek(bad, 8, &hdr), -EPROTONOSUPPORT);
	assert_int_equal(hdr.type, 0x34);
	assert_int_equal(hdr.version, 9);
	assert_int_equal(hdr.flags, 0x80);
	assert_int_equal(hdr.len, 0x01020304);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_encode_space),
		cmocka_unit_test(test_truncation),
		cmocka_unit_test(test_trailing),
		cmocka_unit_test(test_wrong_type),
		cmocka_unit_test(test_mutation),
		cmocka_unit_test(test_hello_limits),
		cmocka_unit_test(test_offer_limits),
		cmocka_unit_test(test_select_limits),
		cmocka_unit_test(test_small_limits),
		cmocka_unit_test(test_resume_limits),
		cmocka_unit_test(test_longest_hello),
		cmocka_unit_test(test_select_check),
		cmocka_unit_test(test_record_header),
		cmocka_unit_test(test_peek_header),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
