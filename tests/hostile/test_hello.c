/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Hostile clients before the handshake gets anywhere: what they send instead of a HELLO, HELLOs
 * that are broken in one place, and HELLOs that end early. None of them may become a stream; each
 * is counted as declined; the well-behaved pair goes on.
 */
#include "foe.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Where the fields of the base HELLO lie, counted from the opener. */
enum {
	AT_TYPE = 8,
	AT_VERSION = 10,
	AT_FLAGS = 11,
	AT_LENGTH = 12,
	AT_VER_MIN = 32,
	AT_RECV_MODE = 34,
	AT_ZERO = 35,
	AT_FEATURES = 40,
	AT_REQUIRED = 48,
	AT_NOFFERS = 56,
	AT_RAILS = 60,
	AT_NAME_LEN = 62,
	AT_NAME = 68,
	AT_END = 71,
};

/* What is no libnmt client gets no DECLINE, just the end. */
#define JUST_THE_END (-1)

struct hello_case {
	const char *name;
	size_t at;         /* first byte that differs from the base HELLO ... */
	const char *put;   /* ... and what is there */
	size_t n;
	const char *tail;  /* bytes at its end; its length is made to include them */
	size_t ntail;
	bool behind;       /* the tail is no part of the HELLO */
	int reason;        /* of the DECLINE, or JUST_THE_END */
};

#define PUT(bytes) .put = (bytes), .n = sizeof(bytes) - 1
#define TAIL(bytes) .tail = (bytes), .ntail = sizeof(bytes) - 1

static const struct hello_case cases[] = {
	{ "opener wrong in its first byte", 0, PUT("\x88"), .reason = JUST_THE_END },
	{ "opener wrong in its last byte", 7, PUT("\x0b"), .reason = JUST_THE_END },
	{ "text instead", 0, PUT("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"),
	  .reason = JUST_THE_END },
	{ "zeros instead", 0, PUT("\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"), .reason = JUST_THE_END },
	{ "header version 0", AT_VERSION, PUT("\0"), .reason = NMT_WHY_VERSION },
	{ "header version 2", AT_VERSION, PUT("\2"), .reason = NMT_WHY_VERSION },
	{ "flags", AT_FLAGS, PUT("\1"), .reason = NMT_WHY_MALFORMED },
	{ "type 0", AT_TYPE, PUT("\0\0"), .reason = NMT_WHY_MALFORMED },
	{ "type 99", AT_TYPE, PUT("\0\x63"), .reason = NMT_WHY_MALFORMED },
	{ "SELECT instead", AT_TYPE, PUT("\0\2"), .reason = NMT_WHY_MALFORMED },
	{ "DECLINE instead", AT_TYPE, PUT("\0\3"), .reason = NMT_WHY_MALFORMED },
	{ "CONFIRM instead", AT_TYPE, PUT("\0\4"), .reason = NMT_WHY_MALFORMED },
	{ "JOIN instead", AT_TYPE, PUT("\0\5"), .reason = NMT_WHY_MALFORMED },
	{ "FIN instead", AT_TYPE, PUT("\0\6\1\0\0\0\0\x10"), .reason = NMT_WHY_MALFORMED },
	{ "ABORT instead", AT_TYPE, PUT("\0\7\1\0\0\0\0\x08"), .reason = NMT_WHY_MALFORMED },
	{ "length one over the limit", AT_LENGTH, PUT("\0\0\x10\1"), .reason = NMT_WHY_MALFORMED },
	{ "length 4 GiB", AT_LENGTH, PUT("\xff\xff\xff\xff"), .reason = NMT_WHY_MALFORMED },
	{ "length 0", AT_LENGTH, PUT("\0\0\0\0"), .reason = NMT_WHY_MALFORMED },
	{ "length one too small", AT_LENGTH, PUT("\0\0\0\x36"), .reason = NMT_WHY_MALFORMED },
	{ "no common version", AT_VER_MIN, PUT("\2\xff"), .reason = NMT_WHY_VERSION },
	{ "lowest version 0", AT_VER_MIN, PUT("\0\1"), .reason = NMT_WHY_MALFORMED },
	{ "versions the wrong way round", AT_VER_MIN, PUT("\3\2"), .reason = NMT_WHY_MALFORMED },
	{ "receive mode 2", AT_RECV_MODE, PUT("\2"), .reason = NMT_WHY_MALFORMED },
	{ "zero field set", AT_ZERO, PUT("\1"), .reason = NMT_WHY_MALFORMED },
	{ "unknown feature required", AT_FEATURES,
	  PUT("\x80\0\0\0\0\0\0\2\x80\0\0\0\0\0\0\0"), .reason = NMT_WHY_FEATURE },
	{ "records required that the listener does not have", AT_FEATURES,
	  PUT("\0\0\0\0\0\0\0\3\0\0\0\0\0\0\0\1"), .reason = NMT_WHY_FEATURE },
	{ "feature required that is not offered", AT_REQUIRED, PUT("\0\0\0\0\0\0\1\0"),
	  .reason = NMT_WHY_MALFORMED },
	{ "no offers", AT_NOFFERS, PUT("\0\0"), .reason = NMT_WHY_MALFORMED },
	{ "more offers than there are", AT_NOFFERS, PUT("\0\2"), .reason = NMT_WHY_MALFORMED },
	{ "nine offers", AT_NOFFERS, PUT("\0\x09"), .reason = NMT_WHY_MALFORMED },
	{ "no rails", AT_RAILS, PUT("\0\0"), .reason = NMT_WHY_MALFORMED },
	{ "17 rails", AT_RAILS, PUT("\0\x11"), .reason = NMT_WHY_MALFORMED },
	{ "name longer than the message", AT_NAME_LEN, PUT("\x0f"), .reason = NMT_WHY_MALFORMED },
	{ "unknown provider", AT_NAME, PUT("zzz"), .reason = NMT_WHY_NO_PROVIDER },
	{ "provider name with a path", AT_NAME, PUT("../"), .reason = NMT_WHY_MALFORMED },
	{ "provider name in capitals", AT_NAME, PUT("TCP"), .reason = NMT_WHY_MALFORMED },
	{ "critical extension", TAIL("\x80\1\0\0"), .reason = NMT_WHY_VERSION },
	{ "extension beyond the end", TAIL("\0\1\0\5abcd"), .reason = NMT_WHY_MALFORMED },
	{ "a byte behind it", TAIL("x"), .behind = true, .reason = NMT_WHY_MALFORMED },
	{ "CONFIRM behind it", TAIL("\0\4\1\0\0\0\0\x08\0\0\0\1\0\0\0\0"), .behind = true,
	  .reason = NMT_WHY_MALFORMED },
	{ "half an extension", TAIL("\0\1\0"), .reason = NMT_WHY_MALFORMED },
};

static struct rig rig;

static size_t base_hello(struct foe *f, uint8_t *buf, size_t cap)
{
	size_t len;

	f->hello.features = NMTI_FEAT_DATA_SOCKET;
	len = foe_hello_bytes(f, buf, cap);
	assert_int_equal(len, AT_END);
	return len;
}

/* The bytes of a case. */
static size_t spoil(struct foe *f, const struct hello_case *c, uint8_t *buf, size_t cap)
{
	size_t len = base_hello(f, buf, cap);

	if (c->ntail) {
		memcpy(buf + len, c->tail, c->ntail);
		len += c->ntail;
		if (!c->behind)
			buf[AT_LENGTH + 3] = (uint8_t)(len - NMTI_MAGIC_LEN - NMTI_MSG_HDR_LEN);
	}
	if (c->n)
		memcpy(buf + c->at, c->put, c->n);
	return len > c->at + c->n ? len : c->at + c->n;
}

static void run_case(const struct hello_case *c)
{
	struct counts before = rig_counts(&rig);
	uint64_t declined = rig_declined(&rig);
	int64_t start = rig_now();
	uint8_t buf[256];
	struct foe f;
	size_t len;

	foe_init(&f);
	len = spoil(&f, c, buf, sizeof(buf));
	f.ctl = foe_dial(&rig, foe_port(rig.addr));
	foe_send(f.ctl, buf, len);
	assert_int_equal(foe_declined(&rig, &f, REACT_MS), c->reason);
	assert_in_range(rig_now() - start, 0, REACT_MS * MS);
	pair_move(&rig, &rig.good, MIB);
	rig_expect_declined(&rig, declined + 1, REACT_MS);
	foe_close(&f);
	rig_prove(&rig);
	rig_settle(&rig, &before);
}

static void test_case(void **state)
{
	rig_open(&rig, NULL);
	run_case(*state);
	rig_close(&rig);
}

/* The base HELLO is good: what the cases change is what makes them fail. */
static void test_base_is_good(void **state)
{
	struct counts before;
	struct foe f;

	(void)state;
	rig_open(&rig, NULL);
	before = rig_counts(&rig);
	foe_init(&f);
	foe_open_client(&rig, &f);
	foe_warm_up(&rig, &f);
	foe_close(&f);
	assert_int_equal(side_await_error(&rig, &f.victim, REACT_MS), -ECONNRESET);
	side_close(&rig, &f.victim);
	rig_prove(&rig);
	rig_settle(&rig, &before);
	rig_close(&rig);
}

static void cut_and_close(size_t cut)
{
	struct counts before = rig_counts(&rig);
	uint64_t declined = rig_declined(&rig);
	uint8_t buf[256];
	struct foe f;

	foe_init(&f);
	base_hello(&f, buf, sizeof(buf));
	f.ctl = foe_dial(&rig, foe_port(rig.addr));
	foe_send(f.ctl, buf, cut);
	rig_run(&rig, 2);
	foe_close(&f);
	rig_expect_declined(&rig, declined + 1, REACT_MS);
	pair_move(&rig, &rig.good, MIB);
	rig_settle(&rig, &before);
}

static void test_truncated_then_closed(void **state)
{
	(void)state;
	rig_open(&rig, NULL);
	for (size_t cut = 0; cut < AT_END; cut++)
		cut_and_close(cut);
	rig_prove(&rig);
	rig_close(&rig);
}

/* Reset instead of an orderly end, at a few places. */
static void test_reset(void **state)
{
	static const size_t cuts[] = { 0, 4, 8, 12, 16, 40, AT_END - 1 };
	struct counts before;
	uint8_t buf[256];
	struct foe f;

	(void)state;
	rig_open(&rig, NULL);
	before = rig_counts(&rig);
	for (size_t i = 0; i < ARRAY_SIZE(cuts); i++) {
		foe_init(&f);
		base_hello(&f, buf, sizeof(buf));
		f.ctl = foe_dial(&rig, foe_port(rig.addr));
		foe_send(f.ctl, buf, cuts[i]);
		rig_run(&rig, 2);
		foe_reset(&f.ctl);
		pair_move(&rig, &rig.good, MIB);
	}
	rig_expect_declined(&rig, ARRAY_SIZE(cuts), REACT_MS);
	rig_prove(&rig);
	rig_settle(&rig, &before);
	rig_close(&rig);
}

/* Random bytes behind the opener and without it, seeded. */
static void garbage(unsigned int seed)
{
	uint64_t declined = rig_declined(&rig);
	uint8_t buf[6000];
	struct foe f;

	srand(seed);
	foe_init(&f);
	for (size_t i = 0; i < sizeof(buf); i++)
		buf[i] = (uint8_t)(rand() >> 9);
	if (seed & 1)
		memcpy(buf, NMTI_MAGIC, NMTI_MAGIC_LEN);
	f.ctl = foe_dial(&rig, foe_port(rig.addr));
	foe_send(f.ctl, buf, sizeof(buf));
	assert_true(foe_ends(&rig, f.ctl, REACT_MS));
	foe_close(&f);
	rig_expect_declined(&rig, declined + 1, REACT_MS);
}

static void test_garbage(void **state)
{
	struct counts before;

	(void)state;
	rig_open(&rig, NULL);
	before = rig_counts(&rig);
	for (unsigned int seed = 1; seed <= 40; seed++) {
		garbage(seed);
		pair_move(&rig, &rig.good, MIB / 8);
	}
	rig_prove(&rig);
	rig_settle(&rig, &before);
	rig_close(&rig);
}

/* On a listener that takes raw clients too, what is no HELLO is theirs, to the last byte. */
static void raw_client(const char *bytes, size_t len)
{
	struct counts before = rig_counts(&rig);
	char got[64];
	struct foe f;

	foe_init(&f);
	f.victim.reading = false;
	rig.accept_into = &f.victim;
	f.ctl = foe_dial(&rig, foe_port(rig.addr));
	foe_send(f.ctl, bytes, len);
	assert_true(rig_until(&rig, &f.victim.connected, REACT_MS));
	assert_int_equal(nmt_recv(f.victim.stream, got, sizeof(got), 0), len);
	assert_memory_equal(got, bytes, len);
	foe_close(&f);
	side_close(&rig, &f.victim);
	rig_prove(&rig);
	rig_settle(&rig, &before);
}

static void test_either(void **state)
{
	const struct rig_options opt = { .listener_mode = NMT_MODE_EITHER };

	(void)state;
	rig_open(&rig, &opt);
	raw_client("G", 1);
	raw_client("GET / HTTP/1.0\r\n\r\n", 18);
	raw_client("\x89NMT\r\n\x1ax", 8);
	raw_client("\x89NMT\n\x1a\n", 7);
	assert_int_equal(rig_declined(&rig), 0);
	/* the opener makes it a libnmt client, for better or worse */
	run_case(&(const struct hello_case){ "type 99", AT_TYPE, PUT("\0\x63"),
					     .reason = NMT_WHY_MALFORMED });
	rig_close(&rig);
}

int main(int argc, char **argv)
{
	struct CMUnitTest tests[ARRAY_SIZE(cases) + 5] = {
		cmocka_unit_test(test_base_is_good),
		cmocka_unit_test(test_truncated_then_closed),
		cmocka_unit_test(test_reset),
		cmocka_unit_test(test_garbage),
		cmocka_unit_test(test_either),
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		tests[5 + i] = rig_test(cases[i].name, test_case, &cases[i]);
	return rig_run_tests(argc, argv, tests, ARRAY_SIZE(tests));
}
