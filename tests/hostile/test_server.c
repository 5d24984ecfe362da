/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Hostile servers against nmt_connect: no answer, half an answer, another protocol, a SELECT that
 * does not fit the HELLO, a rendezvous port where nobody is, DECLINE for every reason. The
 * connecting stream must fail with the right errno, in time; the well-behaved pair goes on.
 */
#include "foe.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static struct rig rig;

struct server_case {
	const char *name;
	void (*attack)(struct foe *f); /* NULL: the bytes below are the answer */
	const char *answer;
	size_t n;
	int error;
};

/* ---- answers to HELLO ------------------------------------------------------------------------ */

static void send_select(struct foe *f)
{
	uint8_t buf[NMTI_MSG_MAX];
	int len = nmti_select_encode(&f->select, buf, sizeof(buf));

	assert_true(len > 0);
	foe_send(f->ctl, buf, (size_t)len);
}

/* Send the good SELECT with the byte at AT (behind the header) replaced. */
static void send_patched(struct foe *f, size_t at, uint8_t value)
{
	uint8_t buf[NMTI_MSG_MAX];
	int len = nmti_select_encode(&f->select, buf, sizeof(buf));

	assert_true(len > NMTI_MSG_HDR_LEN);
	buf[NMTI_MSG_HDR_LEN + at] = value;
	foe_send(f->ctl, buf, (size_t)len);
}

static void closes(struct foe *f)
{
	foe_shut(&f->ctl);
}

static void resets(struct foe *f)
{
	foe_reset(&f->ctl);
}

static void unknown_session(struct foe *f)
{
	f->select.session[7] ^= 0x10;
	send_select(f);
}

static void version_not_offered(struct foe *f)
{
	f->select.version = (uint8_t)(f->hello.ver_max + 1);
	send_select(f);
}

static void version_zero(struct foe *f)
{
	send_patched(f, 16, 0);
}

static void offer_out_of_range(struct foe *f)
{
	f->select.offer = (uint8_t)f->hello.noffers;
	if (f->select.offer < NMTI_OFFERS_MAX)
		send_select(f);
	else
		send_patched(f, 17, NMTI_OFFERS_MAX);
}

static void offer_255(struct foe *f)
{
	send_patched(f, 17, 255);
}

static void receive_mode_2(struct foe *f)
{
	send_patched(f, 18, 2);
}

static void zero_field_set(struct foe *f)
{
	send_patched(f, 19, 1);
}

static void feature_not_offered(struct foe *f)
{
	f->select.features |= UINT64_C(1) << 40;
	send_select(f);
}

static void no_rails(struct foe *f)
{
	send_patched(f, 29, 0);
}

static void more_rails(struct foe *f)
{
	f->select.rails = (uint16_t)(f->hello.offer[f->select.offer].rails + 1);
	if (f->select.rails <= NMTI_RAILS_MAX)
		send_select(f);
	else
		send_patched(f, 29, NMTI_RAILS_MAX + 1);
}

static void blob_beyond_end(struct foe *f)
{
	send_patched(f, 33, 1);
}

static void port_zero(struct foe *f)
{
	f->select.port = 0;
	send_select(f);
}

static void port_closed(struct foe *f)
{
	struct foe other;

	foe_init(&other);
	foe_listen(&other);
	f->select.port = other.port;
	foe_close(&other);
	send_select(f);
}

static void critical_extension(struct foe *f)
{
	uint8_t buf[NMTI_MSG_MAX];
	int len = nmti_select_encode(&f->select, buf, sizeof(buf));

	memcpy(buf + len, "\x80\2\0\0", 4);
	buf[7] = (uint8_t)(len - NMTI_MSG_HDR_LEN + 4);
	foe_send(f->ctl, buf, (size_t)len + 4);
}

static void select_twice(struct foe *f)
{
	send_select(f);
	send_select(f);
}

static void confirm_before_join(struct foe *f)
{
	send_select(f);
	foe_send_confirm(f, 0);
}

static void gives_up_before_join(struct foe *f)
{
	send_select(f);
	foe_send_confirm(f, NMT_WHY_PATH);
}

#define DO(fn) (fn), NULL, 0
#define SEND(bytes) NULL, (bytes), sizeof(bytes) - 1
#define ZERO8 "\0\0\0\0\0\0\0\0"

static const struct server_case answers[] = {
	{ "closes", DO(closes), -ECONNRESET },
	{ "resets", DO(resets), -ECONNRESET },
	{ "another protocol", SEND("220 mail.example ESMTP ready\r\n"), -EPROTO },
	{ "zeros", SEND(ZERO8 ZERO8), -EPROTO },
	{ "header version 2", SEND("\0\2\2\0\0\0\0\x34"), -EPROTONOSUPPORT },
	{ "unknown type", SEND("\0\x63\1\0\0\0\0\x08"), -EPROTO },
	{ "flags", SEND("\0\2\1\1\0\0\0\x34"), -EPROTO },
	{ "SELECT of 1025 bytes", SEND("\0\2\1\0\0\0\4\1"), -EPROTO },
	{ "SELECT of 4 GiB", SEND("\0\2\1\0\xff\xff\xff\xff"), -EPROTO },
	{ "SELECT of 51 bytes", SEND("\0\2\1\0\0\0\0\x33"), -EPROTO },
	{ "CONFIRM instead", SEND("\0\4\1\0\0\0\0\x08\0\0\0\1\0\0\0\0"), -EPROTO },
	{ "FIN instead", SEND("\0\6\1\0\0\0\0\x10" ZERO8 ZERO8), -EPROTO },
	{ "ABORT instead", SEND("\0\7\1\0\0\0\0\x08" ZERO8), -EPROTO },
	{ "DECLINE whose text is longer than it", SEND("\0\3\1\0\0\0\0\x05\0\2\0\2x"), -EPROTO },
	{ "DECLINE of 257 bytes", SEND("\0\3\1\0\0\0\1\1"), -EPROTO },
	{ "unknown session", DO(unknown_session), -EPROTO },
	{ "version not offered", DO(version_not_offered), -EPROTO },
	{ "version 0", DO(version_zero), -EPROTO },
	{ "offer out of range", DO(offer_out_of_range), -EPROTO },
	{ "offer 255", DO(offer_255), -EPROTO },
	{ "receive mode 2", DO(receive_mode_2), -EPROTO },
	{ "zero field set", DO(zero_field_set), -EPROTO },
	{ "feature not offered", DO(feature_not_offered), -EPROTO },
	{ "no rails", DO(no_rails), -EPROTO },
	{ "more rails than offered", DO(more_rails), -EPROTO },
	{ "blob beyond the end", DO(blob_beyond_end), -EPROTO },
	{ "critical extension", DO(critical_extension), -EPROTONOSUPPORT },
	{ "no rendezvous port", DO(port_zero), -EPROTO },
	{ "rendezvous port closed", DO(port_closed), -ECONNREFUSED },
	{ "SELECT twice", DO(select_twice), -EPROTO },
	{ "CONFIRM before the JOIN can be there", DO(confirm_before_join), -EPROTO },
	{ "gives up after SELECT", DO(gives_up_before_join), -ECONNABORTED },
};

/* The victim has failed with ERROR; nothing else noticed. */
static void expect_failure(struct foe *f, int error, int ms)
{
	int64_t start = rig_now();

	assert_int_equal(side_await_error(&rig, &f->victim, ms), error);
	assert_in_range(rig_now() - start, 0, ms * MS);
	assert_false(f->victim.connected);
	pair_move(&rig, &rig.good, MIB);
	side_close(&rig, &f->victim);
	foe_close(f);
}

static void run_answer(const struct server_case *c)
{
	struct counts before = rig_counts(&rig);
	struct foe f;

	foe_init(&f);
	foe_called(&rig, &f);
	if (c->attack)
		c->attack(&f);
	else
		foe_send(f.ctl, c->answer, c->n);
	expect_failure(&f, c->error, REACT_MS);
	rig_prove(&rig);
	rig_settle(&rig, &before);
}

static void test_answer(void **state)
{
	rig_open(&rig, NULL);
	run_answer(*state);
	rig_close(&rig);
}

/* A stream that asked for records does not go on without them. */
static void test_required_feature_left_out(void **state)
{
	const struct rig_options opt = { .flags = NMT_STREAM_RECORDS };
	struct counts before;
	struct foe f;

	(void)state;
	rig_open(&rig, &opt);
	before = rig_counts(&rig);
	foe_init(&f);
	foe_called(&rig, &f);
	assert_true(f.hello.required & NMTI_FEAT_RECORDS);
	f.select.features &= ~NMTI_FEAT_RECORDS;
	send_select(&f);
	expect_failure(&f, -EPROTO, REACT_MS);
	rig_prove(&rig);
	rig_settle(&rig, &before);
	rig_close(&rig);
}

/* ---- DECLINE --------------------------------------------------------------------------------- */

static int declined_as(int reason)
{
	switch (reason) {
	case NMT_WHY_VERSION:
	case NMT_WHY_NO_PROVIDER:
		return -EPROTONOSUPPORT;
	default:
		return -ECONNABORTED;
	}
}

static void decline(int reason)
{
	struct nmti_decline m = { .reason = (uint16_t)reason, .text = "because of the test" };
	struct counts before = rig_counts(&rig);
	struct nmt_stream_info info = NMT_STREAM_INFO_INIT;
	uint8_t buf[300];
	struct foe f;

	foe_init(&f);
	foe_called(&rig, &f);
	foe_send(f.ctl, buf, (size_t)nmti_decline_encode(&m, buf, sizeof(buf)));
	assert_int_equal(side_await_error(&rig, &f.victim, REACT_MS), declined_as(reason));
	assert_int_equal(nmt_stream_info(f.victim.stream, &info), 0);
	assert_int_equal(info.state, NMT_STATE_FAILED);
	assert_int_equal(info.error, declined_as(reason));
	assert_int_equal(info.why, reason);
	expect_failure(&f, declined_as(reason), REACT_MS);
	rig_settle(&rig, &before);
}

static void test_declined(void **state)
{
	(void)state;
	rig_open(&rig, NULL);
	for (int reason = 0; reason <= NMT_WHY_NO_DEVICE + 1; reason++)
		decline(reason);
	decline(UINT16_MAX);
	rig_prove(&rig);
	rig_close(&rig);
}

/* ---- after JOIN ------------------------------------------------------------------------------ */

static const struct server_case confirms[] = {
	{ "after JOIN: closes", DO(closes), -ECONNRESET },
	{ "after JOIN: resets", DO(resets), -ECONNRESET },
	{ "after JOIN: garbage", SEND("\0\0\1\0garbage, not a message"), -EPROTO },
	{ "after JOIN: path is not up",
	  SEND("\0\4\1\0\0\0\0\x08\0\x08\0\0\0\0\0\0"), -ECONNABORTED },
	{ "after JOIN: token unknown",
	  SEND("\0\4\1\0\0\0\0\x08\0\x09\0\0\0\0\0\0"), -ECONNABORTED },
	{ "after JOIN: unknown status",
	  SEND("\0\4\1\0\0\0\0\x08\xff\xff\0\0\0\0\0\0"), -ECONNABORTED },
	{ "after JOIN: up without a rail", SEND("\0\4\1\0\0\0\0\x08" ZERO8), -EPROTO },
	{ "after JOIN: up with 2 rails of 1", SEND("\0\4\1\0\0\0\0\x08\0\0\0\2\0\0\0\0"), -EPROTO },
	{ "after JOIN: CONFIRM of 65 bytes", SEND("\0\4\1\0\0\0\0\x41"), -EPROTO },
	{ "after JOIN: CONFIRM of header version 2",
	  SEND("\0\4\2\0\0\0\0\x08" ZERO8), -EPROTONOSUPPORT },
	{ "after JOIN: critical extension", SEND("\0\4\1\0\0\0\0\x0c\0\0\0\1\0\0\0\0\x80\3\0\0"),
	  -EPROTONOSUPPORT },
	{ "after JOIN: FIN instead", SEND("\0\6\1\0\0\0\0\x10" ZERO8 ZERO8), -EPROTO },
	{ "after JOIN: DECLINE, too late", SEND("\0\3\1\0\0\0\0\x04\0\5\0\0"), -EPROTO },
};

static void run_confirm(const struct server_case *c)
{
	struct counts before = rig_counts(&rig);
	struct foe f;

	foe_init(&f);
	foe_called(&rig, &f);
	foe_select(&rig, &f);
	if (c->attack)
		c->attack(&f);
	else
		foe_send(f.ctl, c->answer, c->n);
	expect_failure(&f, c->error, REACT_MS);
	rig_prove(&rig);
	rig_settle(&rig, &before);
}

static void test_confirm(void **state)
{
	rig_open(&rig, NULL);
	run_confirm(*state);
	rig_close(&rig);
}

/* ---- the end at each byte -------------------------------------------------------------------- */

enum step { AT_SELECT, AT_DECLINE, AT_CONFIRM };

/* The bytes that a good server would send at STEP. */
static size_t good_bytes(struct foe *f, enum step step, uint8_t *buf, size_t cap)
{
	struct nmti_decline no = { .reason = NMT_WHY_BUSY, .text = "busy" };
	struct nmti_confirm up = { .status = 0, .rails = 1 };

	switch (step) {
	case AT_SELECT:
		return (size_t)nmti_select_encode(&f->select, buf, cap);
	case AT_DECLINE:
		return (size_t)nmti_decline_encode(&no, buf, cap);
	default:
		return (size_t)nmti_confirm_encode(&up, buf, cap);
	}
}

/* One cut; whether the message was still longer. */
static bool cut_and_close(enum step step, size_t cut)
{
	struct counts before = rig_counts(&rig);
	uint8_t buf[NMTI_MSG_MAX];
	struct foe f;
	size_t len;

	foe_init(&f);
	foe_called(&rig, &f);
	if (step == AT_CONFIRM)
		foe_select(&rig, &f);
	len = good_bytes(&f, step, buf, sizeof(buf));
	assert_true(cut < len);
	foe_send(f.ctl, buf, cut);
	rig_run(&rig, 2);
	foe_shut(&f.ctl);
	expect_failure(&f, -ECONNRESET, REACT_MS);
	rig_settle(&rig, &before);
	return cut + 1 < len;
}

static void test_truncated_then_closed(void **state)
{
	(void)state;
	rig_open(&rig, NULL);
	for (int step = AT_SELECT; step <= AT_CONFIRM; step++)
		for (size_t cut = 0; cut_and_close(step, cut); cut++)
			;
	rig_prove(&rig);
	rig_close(&rig);
}

/* ---- silence --------------------------------------------------------------------------------- */

/* Connect with a time-out to a server that goes as far as STEPS and no further. */
static void silent(int steps)
{
	struct nmt_stream_attr attr;
	struct counts before = rig_counts(&rig);
	int64_t start = rig_now();
	uint8_t buf[NMTI_MSG_MAX];
	char addr[NMT_ADDR_MAX];
	struct foe f;

	foe_init(&f);
	foe_listen(&f);
	attr = rig_attr(&rig, &f.victim);
	attr.connect_timeout = 300 * MS;
	snprintf(addr, sizeof(addr), "127.0.0.1:%u", f.port);
	assert_int_equal(nmt_connect(rig.client, addr, &attr, &f.victim.stream), 0);
	if (steps > 0) {
		f.ctl = foe_accept(&rig, &f);
		foe_take_hello(&rig, &f);
	}
	if (steps == 1)
		foe_send(f.ctl, buf, good_bytes(&f, AT_SELECT, buf, sizeof(buf)) - 1);
	if (steps > 1)
		foe_select(&rig, &f);
	if (steps > 2)
		foe_send(f.ctl, buf, good_bytes(&f, AT_CONFIRM, buf, sizeof(buf)) - 1);
	assert_int_equal(side_await_error(&rig, &f.victim, 300 + REACT_MS), -ETIMEDOUT);
	assert_in_range(rig_now() - start, 300 * MS, (300 + REACT_MS) * MS);
	expect_failure(&f, -ETIMEDOUT, REACT_MS);
	rig_settle(&rig, &before);
}

static void test_silence(void **state)
{
	(void)state;
	rig_open(&rig, NULL);
	for (int steps = 0; steps < 4; steps++)
		silent(steps);
	rig_prove(&rig);
	rig_close(&rig);
}

/* A byte now and then does not move the deadline. */
static void test_drip(void **state)
{
	struct nmt_stream_attr attr;
	uint8_t buf[NMTI_MSG_MAX];
	char addr[NMT_ADDR_MAX];
	struct counts before;
	struct foe f;
	int64_t start;
	size_t i = 0;

	(void)state;
	rig_open(&rig, NULL);
	before = rig_counts(&rig);
	foe_init(&f);
	foe_listen(&f);
	attr = rig_attr(&rig, &f.victim);
	attr.connect_timeout = 400 * MS;
	snprintf(addr, sizeof(addr), "127.0.0.1:%u", f.port);
	start = rig_now();
	assert_int_equal(nmt_connect(rig.client, addr, &attr, &f.victim.stream), 0);
	f.ctl = foe_accept(&rig, &f);
	foe_take_hello(&rig, &f);
	good_bytes(&f, AT_SELECT, buf, sizeof(buf));
	while (!f.victim.error && i < 40) {
		foe_send(f.ctl, buf + i++, 1);
		rig_run(&rig, 50);
	}
	assert_int_equal(f.victim.error, -ETIMEDOUT);
	assert_in_range(rig_now() - start, 400 * MS, (400 + REACT_MS) * MS);
	expect_failure(&f, -ETIMEDOUT, REACT_MS);
	rig_prove(&rig);
	rig_settle(&rig, &before);
	rig_close(&rig);
}

/* The same as the result of a blocking connect. */
static void test_blocking(void **state)
{
	struct nmt_stream_attr attr;
	struct nmt_stream *stream = NULL;
	struct counts before;
	char addr[NMT_ADDR_MAX];
	int64_t start;
	struct foe f;

	(void)state;
	rig_open(&rig, NULL);
	before = rig_counts(&rig);
	foe_init(&f);
	foe_listen(&f);
	attr = rig_attr(&rig, NULL);
	attr.flags |= NMT_STREAM_BLOCKING;
	attr.connect_timeout = 300 * MS;
	snprintf(addr, sizeof(addr), "127.0.0.1:%u", f.port);
	start = rig_now();
	assert_int_equal(nmt_connect(rig.client, addr, &attr, &stream), -ETIMEDOUT);
	assert_in_range(rig_now() - start, 300 * MS, (300 + REACT_MS) * MS);
	foe_close(&f);
	assert_int_equal(nmt_connect(rig.client, addr, &attr, &stream), -ECONNREFUSED);
	rig_prove(&rig);
	rig_settle(&rig, &before);
	rig_close(&rig);
}

int main(int argc, char **argv)
{
	struct CMUnitTest tests[6 + ARRAY_SIZE(answers) + ARRAY_SIZE(confirms)] = {
		cmocka_unit_test(test_required_feature_left_out),
		cmocka_unit_test(test_declined),
		cmocka_unit_test(test_truncated_then_closed),
		cmocka_unit_test(test_silence),
		cmocka_unit_test(test_drip),
		cmocka_unit_test(test_blocking),
	};
	size_t n = 6;

	for (size_t i = 0; i < ARRAY_SIZE(answers); i++)
		tests[n++] = rig_test(answers[i].name, test_answer, &answers[i]);
	for (size_t i = 0; i < ARRAY_SIZE(confirms); i++)
		tests[n++] = rig_test(confirms[i].name, test_confirm, &confirms[i]);
	return rig_run_tests(argc, argv, tests, n);
}
