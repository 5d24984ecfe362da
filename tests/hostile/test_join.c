/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Hostile clients between SELECT and CONFIRM: on the rendezvous port (wrong, replayed and truncated
 * JOINs, things that are no JOIN) and on the control connection (messages out of order, ends at
 * every byte). A bad data connection is closed and counted and leaves the stream that it aims at
 * alone; a bad control connection fails exactly its own stream.
 */
#include "foe.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

enum {
	AT_TYPE = 8,
	AT_VERSION = 10,
	AT_FLAGS = 11,
	AT_LENGTH = 12,
	AT_SESSION = 16,
	AT_TOKEN = 32,
	AT_RAIL = 48,
	AT_KIND = 50,
	AT_ZERO = 52,
	JOIN_LEN = 56,
	CONFIRM_LEN = 16,
};

static struct rig rig;

/* ---- on the rendezvous port ------------------------------------------------------------------ */

struct join_case {
	const char *name;
	size_t at;       /* first byte that differs from the right JOIN */
	const char *put;
	size_t n;
	bool flip;       /* or: this byte has one bit changed */
};

#define PUT(bytes) .put = (bytes), .n = sizeof(bytes) - 1

static const struct join_case join_cases[] = {
	{ "opener wrong", 0, PUT("\x88"), false },
	{ "text instead", 0, PUT("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"), false },
	{ "header version 2", AT_VERSION, PUT("\2"), false },
	{ "flags", AT_FLAGS, PUT("\x80"), false },
	{ "CONFIRM instead", AT_TYPE, PUT("\0\4\1\0\0\0\0\x08"), false },
	{ "FIN instead", AT_TYPE, PUT("\0\6\1\0\0\0\0\x10"), false },
	{ "type 0", AT_TYPE, PUT("\0\0"), false },
	{ "length over the limit", AT_LENGTH, PUT("\0\0\0\x41"), false },
	{ "length 4 GiB", AT_LENGTH, PUT("\xff\xff\xff\xff"), false },
	{ "length 39", AT_LENGTH, PUT("\0\0\0\x27"), false },
	{ "session changed in its first bit", AT_SESSION, .flip = true },
	{ "session changed in its last byte", AT_SESSION + 15, .flip = true },
	{ "token changed in its first byte", AT_TOKEN, .flip = true },
	{ "token changed in its last byte", AT_TOKEN + 15, .flip = true },
	{ "token all zero", AT_TOKEN, PUT("\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"), false },
	{ "rail 1 of 1", AT_RAIL, PUT("\0\1"), false },
	{ "rail 16", AT_RAIL, PUT("\0\x10"), false },
	{ "control channel comes back", AT_KIND, PUT("\0\2"), false },
	{ "kind 0", AT_KIND, PUT("\0\0"), false },
	{ "kind 3", AT_KIND, PUT("\0\3"), false },
	{ "zero field set", AT_ZERO, PUT("\0\0\0\1"), false },
};

static size_t spoil(const struct foe *f, const struct join_case *c, uint8_t *buf, size_t cap)
{
	size_t len = foe_join_bytes(f, buf, cap);

	assert_int_equal(len, JOIN_LEN);
	if (c->flip)
		buf[c->at] ^= 1;
	else
		memcpy(buf + c->at, c->put, c->n);
	return len > c->at + c->n ? len : c->at + c->n;
}

/* Bytes that the rendezvous port must answer by closing the connection, and by nothing else. */
static void refused(struct foe *f, const uint8_t *buf, size_t len)
{
	uint64_t declined = rig_declined(&rig);
	int fd = foe_dial(&rig, f->select.port);

	foe_send(fd, buf, len);
	assert_true(foe_ends(&rig, fd, REACT_MS));
	foe_shut(&fd);
	rig_expect_declined(&rig, declined + 1, REACT_MS);
}

/* The stream that was aimed at can still be opened by the right client, and works. */
static void still_waits(struct foe *f)
{
	assert_int_equal(f->victim.error, 0);
	assert_false(f->victim.connected);
	foe_join(&rig, f);
	foe_confirm(&rig, f);
	foe_warm_up(&rig, f);
}

static void leave(struct foe *f)
{
	foe_close(f);
	assert_int_equal(side_await_error(&rig, &f->victim, REACT_MS), -ECONNRESET);
	side_close(&rig, &f->victim);
}

static void run_join_case(const struct join_case *c)
{
	struct counts before = rig_counts(&rig);
	uint8_t buf[128];
	struct foe f;
	size_t len;

	foe_init(&f);
	foe_hello(&rig, &f);
	len = spoil(&f, c, buf, sizeof(buf));
	refused(&f, buf, len);
	pair_move(&rig, &rig.good, MIB);
	still_waits(&f);
	leave(&f);
	rig_prove(&rig);
	rig_settle(&rig, &before);
}

static void test_join_case(void **state)
{
	rig_open(&rig, NULL);
	run_join_case(*state);
	rig_close(&rig);
}

static void test_join_truncated_then_closed(void **state)
{
	struct counts before;
	uint64_t declined;
	uint8_t buf[128];
	struct foe f;

	(void)state;
	rig_open(&rig, NULL);
	before = rig_counts(&rig);
	foe_init(&f);
	foe_hello(&rig, &f);
	assert_int_equal(foe_join_bytes(&f, buf, sizeof(buf)), JOIN_LEN);
	for (size_t cut = 0; cut < JOIN_LEN; cut++) {
		int fd = foe_dial(&rig, f.select.port);

		declined = rig_declined(&rig);
		foe_send(fd, buf, cut);
		rig_run(&rig, 2);
		foe_shut(&fd);
		rig_expect_declined(&rig, declined + 1, REACT_MS);
		pair_move(&rig, &rig.good, MIB);
	}
	still_waits(&f);
	leave(&f);
	rig_prove(&rig);
	rig_settle(&rig, &before);
	rig_close(&rig);
}

/* The rendezvous port is no listener. */
static void test_hello_instead_of_join(void **state)
{
	struct counts before;
	uint8_t buf[128];
	struct foe f;

	(void)state;
	rig_open(&rig, NULL);
	before = rig_counts(&rig);
	foe_init(&f);
	foe_hello(&rig, &f);
	refused(&f, buf, foe_hello_bytes(&f, buf, sizeof(buf)));
	still_waits(&f);
	leave(&f);
	rig_prove(&rig);
	rig_settle(&rig, &before);
	rig_close(&rig);
}

/* A token works once: not while its stream is open, not when it is gone. */
static void test_join_replayed(void **state)
{
	struct counts before;
	uint8_t buf[128];
	struct foe f;
	size_t len;

	(void)state;
	rig_open(&rig, NULL);
	before = rig_counts(&rig);
	foe_init(&f);
	foe_hello(&rig, &f);
	len = foe_join_bytes(&f, buf, sizeof(buf));
	foe_join(&rig, &f);
	refused(&f, buf, len); /* joined, not confirmed */
	foe_confirm(&rig, &f);
	foe_warm_up(&rig, &f);
	refused(&f, buf, len); /* open */
	foe_warm_up(&rig, &f);
	pair_move(&rig, &rig.good, MIB);
	leave(&f);
	refused(&f, buf, len); /* gone */
	rig_prove(&rig);
	rig_settle(&rig, &before);
	rig_close(&rig);
}

/* A stream with data sockets has no control channel that comes back. */
static void test_control_join_of_an_open_stream(void **state)
{
	struct counts before;
	uint8_t buf[128];
	struct foe f;
	size_t len;

	(void)state;
	rig_open(&rig, NULL);
	before = rig_counts(&rig);
	foe_init(&f);
	foe_open_client(&rig, &f);
	foe_warm_up(&rig, &f);
	len = foe_join_bytes(&f, buf, sizeof(buf));
	buf[AT_KIND + 1] = NMTI_JOIN_CONTROL;
	for (int i = 0; i < 20; i++) {
		refused(&f, buf, len);
		foe_warm_up(&rig, &f);
	}
	pair_move(&rig, &rig.good, MIB);
	leave(&f);
	refused(&f, buf, len); /* and not when that is gone */
	rig_prove(&rig);
	rig_settle(&rig, &before);
	rig_close(&rig);
}

/* The token of a handshake that was given up is dead; so is one whose stream the victim closed. */
static void test_join_for_a_stream_that_is_gone(void **state)
{
	struct counts before;
	uint8_t buf[128];
	struct foe f;
	size_t len;

	(void)state;
	rig_open(&rig, NULL);
	before = rig_counts(&rig);
	for (int by_victim = 0; by_victim < 2; by_victim++) {
		foe_init(&f);
		foe_hello(&rig, &f);
		len = foe_join_bytes(&f, buf, sizeof(buf));
		if (by_victim)
			side_close(&rig, &f.victim);
		foe_close(&f);
		if (!by_victim)
			assert_int_equal(side_await_error(&rig, &f.victim, REACT_MS), -ECONNRESET);
		refused(&f, buf, len);
		pair_move(&rig, &rig.good, MIB);
		side_close(&rig, &f.victim);
	}
	rig_prove(&rig);
	rig_settle(&rig, &before);
	rig_close(&rig);
}

/* Two handshakes: the session of one with the token of the other opens neither. */
static void test_join_crossed(void **state)
{
	struct counts before;
	uint8_t one[128], two[128];
	struct foe f, g;

	(void)state;
	rig_open(&rig, NULL);
	before = rig_counts(&rig);
	foe_init(&f);
	foe_init(&g);
	foe_hello(&rig, &f);
	foe_hello(&rig, &g);
	assert_memory_not_equal(f.select.token, g.select.token, NMTI_TOKEN_LEN);
	foe_join_bytes(&f, one, sizeof(one));
	foe_join_bytes(&g, two, sizeof(two));
	memcpy(one + AT_TOKEN, g.select.token, NMTI_TOKEN_LEN);
	memcpy(two + AT_TOKEN, f.select.token, NMTI_TOKEN_LEN);
	refused(&f, one, JOIN_LEN);
	refused(&g, two, JOIN_LEN);
	still_waits(&f);
	still_waits(&g);
	leave(&f);
	leave(&g);
	rig_prove(&rig);
	rig_settle(&rig, &before);
	rig_close(&rig);
}

/* Bytes of the stream are due after CONFIRM, not right behind JOIN. */
static void test_bytes_behind_join(void **state)
{
	struct counts before;
	uint8_t buf[128];
	struct foe f;
	size_t len;

	(void)state;
	rig_open(&rig, NULL);
	before = rig_counts(&rig);
	foe_init(&f);
	foe_hello(&rig, &f);
	len = foe_join_bytes(&f, buf, sizeof(buf));
	memcpy(buf + len, "stream", 6);
	refused(&f, buf, len + 6);
	still_waits(&f);
	leave(&f);
	rig_prove(&rig);
	rig_settle(&rig, &before);
	rig_close(&rig);
}

/* Tokens are of one domain: the rendezvous port of another one does not know them. */
static void test_join_at_another_domain(void **state)
{
	struct counts before;
	uint8_t buf[128];
	struct foe f, g;
	int fd;

	(void)state;
	rig_open(&rig, NULL);
	foe_init(&f);
	foe_init(&g);
	rig.accept_domain = rig.client;
	foe_open_client(&rig, &g); /* the connecting domain has a rendezvous port from now on */
	rig.accept_domain = NULL;
	before = rig_counts(&rig);
	foe_hello(&rig, &f);
	assert_int_not_equal(f.select.port, g.select.port);
	fd = foe_dial(&rig, g.select.port);
	foe_send(fd, buf, foe_join_bytes(&f, buf, sizeof(buf)));
	assert_true(foe_ends(&rig, fd, REACT_MS));
	foe_shut(&fd);
	pair_move(&rig, &rig.good, MIB);
	still_waits(&f);
	foe_warm_up(&rig, &g);
	leave(&f);
	rig_settle(&rig, &before);
	leave(&g);
	rig_prove(&rig);
	rig_close(&rig);
}

/* The listener may be gone by the time that the data connection comes. */
static void test_listener_closed_meanwhile(void **state)
{
	struct counts before;
	struct foe f;

	(void)state;
	rig_open(&rig, NULL);
	before = rig_counts(&rig);
	foe_init(&f);
	foe_hello(&rig, &f);
	assert_int_equal(nmt_listener_close(rig.listener), 0);
	rig.listener = NULL;
	before.fds--;
	pair_move(&rig, &rig.good, MIB);
	still_waits(&f);
	leave(&f);
	pair_move(&rig, &rig.good, MIB);
	rig_settle(&rig, &before);
	rig_close(&rig);
}

/* A client in a hurry: stream bytes and their end at once, CONFIRM and FIN in one: all in order. */
static void test_everything_at_once(void **state)
{
	const struct nmti_confirm up = { .status = 0, .rails = 1 };
	struct nmti_fin fin = { 0 };
	struct counts before;
	uint8_t buf[128];
	struct foe f;
	int len;

	(void)state;
	rig_open(&rig, NULL);
	before = rig_counts(&rig);
	foe_init(&f);
	foe_hello(&rig, &f);
	foe_join(&rig, &f);
	foe_send_stream(&f, 5000, false);
	shutdown(f.data, SHUT_WR);
	fin.offset = f.sent;
	len = nmti_confirm_encode(&up, buf, sizeof(buf));
	len += nmti_fin_encode(&fin, buf + len, sizeof(buf) - (size_t)len);
	foe_send(f.ctl, buf, (size_t)len);
	assert_true(rig_until(&rig, &f.victim.connected, REACT_MS));
	foe_expect_end(&rig, &f);
	side_close(&rig, &f.victim);
	foe_close(&f);
	rig_prove(&rig);
	rig_settle(&rig, &before);
	rig_close(&rig);
}

/* ---- on the control connection --------------------------------------------------------------- */

enum when { AFTER_SELECT, AFTER_JOIN };

struct ctl_case {
	const char *name;
	enum when when;
	const char *put; /* NULL: close */
	size_t n;
	int error;       /* that the victim's stream fails with */
};

#define SEND(bytes) (bytes), sizeof(bytes) - 1
#define BODY8 "\0\0\0\1\0\0\0\0"
#define ZERO16 "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"

static const struct ctl_case ctl_cases[] = {
	{ "closes after SELECT", AFTER_SELECT, NULL, 0, -ECONNRESET },
	{ "garbage after SELECT", AFTER_SELECT, SEND("garbage, not a message"), -EPROTO },
	{ "CONFIRM(0) before JOIN", AFTER_SELECT, SEND("\0\4\1\0\0\0\0\x08" BODY8), -EPROTO },
	{ "gives up after SELECT", AFTER_SELECT,
	  SEND("\0\4\1\0\0\0\0\x08\0\x08\0\0\0\0\0\0"), -ECONNABORTED },
	{ "JOIN on the control connection", AFTER_SELECT,
	  SEND("\0\5\1\0\0\0\0\x28" ZERO16 ZERO16 BODY8), -EPROTO },
	{ "FIN before CONFIRM", AFTER_SELECT, SEND("\0\6\1\0\0\0\0\x10" ZERO16), -EPROTO },
	{ "length over the limit of CONFIRM", AFTER_JOIN, SEND("\0\4\1\0\0\0\0\x41"), -EPROTO },
	{ "closes after JOIN", AFTER_JOIN, NULL, 0, -ECONNRESET },
	{ "garbage after JOIN", AFTER_JOIN, SEND("garbage, not a message"), -EPROTO },
	{ "gives up after JOIN", AFTER_JOIN, SEND("\0\4\1\0\0\0\0\x08\0\x08\0\0\0\0\0\0"),
	  -ECONNABORTED },
	{ "gives up for an unknown reason", AFTER_JOIN,
	  SEND("\0\4\1\0\0\0\0\x08\xff\xff\0\0\0\0\0\0"), -ECONNABORTED },
	{ "CONFIRM(0) without a rail", AFTER_JOIN, SEND("\0\4\1\0\0\0\0\x08" "\0\0\0\0\0\0\0\0"),
	  -EPROTO },
	{ "CONFIRM(0) with 2 rails of 1", AFTER_JOIN,
	  SEND("\0\4\1\0\0\0\0\x08" "\0\0\0\2\0\0\0\0"), -EPROTO },
	{ "CONFIRM with a critical extension", AFTER_JOIN,
	  SEND("\0\4\1\0\0\0\0\x0c" BODY8 "\x80\x09\0\0"), -EPROTONOSUPPORT },
	{ "CONFIRM of header version 2", AFTER_JOIN, SEND("\0\4\2\0\0\0\0\x08" BODY8),
	  -EPROTONOSUPPORT },
	{ "FIN instead of CONFIRM", AFTER_JOIN, SEND("\0\6\1\0\0\0\0\x10" ZERO16), -EPROTO },
	{ "SELECT instead of CONFIRM", AFTER_JOIN,
	  SEND("\0\2\1\0\0\0\0\x34" ZERO16 ZERO16 ZERO16 "\0\0\0\0"), -EPROTO },
};

static void run_ctl_case(const struct ctl_case *c)
{
	struct counts before = rig_counts(&rig);
	int64_t start = rig_now();
	struct foe f;

	foe_init(&f);
	foe_hello(&rig, &f);
	if (c->when == AFTER_JOIN)
		foe_join(&rig, &f);
	if (c->put)
		foe_send(f.ctl, c->put, c->n);
	else
		foe_shut(&f.ctl);
	assert_int_equal(side_await_error(&rig, &f.victim, REACT_MS), c->error);
	assert_false(f.victim.connected);
	assert_in_range(rig_now() - start, 0, 2 * REACT_MS * MS);
	pair_move(&rig, &rig.good, MIB);
	side_close(&rig, &f.victim);
	if (f.ctl >= 0)
		assert_true(foe_ends(&rig, f.ctl, REACT_MS));
	foe_close(&f);
	rig_prove(&rig);
	rig_settle(&rig, &before);
}

static void test_control_case(void **state)
{
	rig_open(&rig, NULL);
	run_ctl_case(*state);
	rig_close(&rig);
}

/* A client that offers as much as it may, and then wants none of it: each offer has one turn. */
static void test_every_offer_given_up(void **state)
{
	struct counts before;
	struct foe f;

	(void)state;
	rig_open(&rig, NULL);
	before = rig_counts(&rig);
	foe_init(&f);
	f.hello.noffers = NMTI_OFFERS_MAX;
	for (int i = 1; i < NMTI_OFFERS_MAX; i++)
		f.hello.offer[i] = f.hello.offer[0];
	foe_hello(&rig, &f);
	for (int i = 0; i < NMTI_OFFERS_MAX; i++) {
		if (i)
			assert_int_equal(foe_next(&rig, &f, REACT_MS), NMTI_MSG_SELECT);
		if (i % 2)
			foe_send_confirm(&f, NMT_WHY_PATH); /* twice: one of them counts for the next */
		foe_send_confirm(&f, NMT_WHY_PATH);
		assert_int_equal(foe_next(&rig, &f, REACT_MS), NMTI_MSG_CONFIRM);
		if (i % 2 && ++i < NMTI_OFFERS_MAX) {
			assert_int_equal(foe_next(&rig, &f, REACT_MS), NMTI_MSG_SELECT);
			assert_int_equal(foe_next(&rig, &f, REACT_MS), NMTI_MSG_CONFIRM);
		}
		pair_move(&rig, &rig.good, MIB / 8);
	}
	assert_int_equal(foe_declined(&rig, &f, REACT_MS), NMT_WHY_PATH);
	assert_int_equal(side_await_error(&rig, &f.victim, REACT_MS), -ECONNABORTED);
	side_close(&rig, &f.victim);
	foe_close(&f);
	rig_prove(&rig);
	rig_settle(&rig, &before);
	rig_close(&rig);
}

static void test_confirm_truncated_then_closed(void **state)
{
	static const char confirm[] = "\0\4\1\0\0\0\0\x08" BODY8;
	struct counts before;
	struct foe f;

	(void)state;
	rig_open(&rig, NULL);
	for (size_t cut = 0; cut < CONFIRM_LEN; cut++) {
		before = rig_counts(&rig);
		foe_init(&f);
		foe_hello(&rig, &f);
		foe_join(&rig, &f);
		foe_send(f.ctl, confirm, cut);
		rig_run(&rig, 2);
		foe_shut(&f.ctl);
		pair_move(&rig, &rig.good, MIB);
		assert_int_equal(side_await_error(&rig, &f.victim, REACT_MS), -ECONNRESET);
		assert_false(f.victim.connected);
		side_close(&rig, &f.victim);
		foe_close(&f);
		rig_settle(&rig, &before);
	}
	rig_prove(&rig);
	rig_close(&rig);
}

/* The data connection goes away between JOIN and CONFIRM. */
static void test_data_lost_before_confirm(void **state)
{
	struct counts before;
	struct foe f;

	(void)state;
	rig_open(&rig, NULL);
	before = rig_counts(&rig);
	foe_init(&f);
	foe_hello(&rig, &f);
	foe_join(&rig, &f);
	foe_reset(&f.data);
	rig_run(&rig, 5);
	foe_send_confirm(&f, 0);
	assert_int_equal(side_await_error(&rig, &f.victim, REACT_MS), -ECONNRESET);
	pair_move(&rig, &rig.good, MIB);
	side_close(&rig, &f.victim);
	foe_close(&f);
	rig_prove(&rig);
	rig_settle(&rig, &before);
	rig_close(&rig);
}

int main(int argc, char **argv)
{
	struct CMUnitTest tests[13 + ARRAY_SIZE(join_cases) + ARRAY_SIZE(ctl_cases)] = {
		cmocka_unit_test(test_join_truncated_then_closed),
		cmocka_unit_test(test_join_replayed),
		cmocka_unit_test(test_hello_instead_of_join),
		cmocka_unit_test(test_join_for_a_stream_that_is_gone),
		cmocka_unit_test(test_join_crossed),
		cmocka_unit_test(test_bytes_behind_join),
		cmocka_unit_test(test_join_at_another_domain),
		cmocka_unit_test(test_listener_closed_meanwhile),
		cmocka_unit_test(test_everything_at_once),
		cmocka_unit_test(test_confirm_truncated_then_closed),
		cmocka_unit_test(test_data_lost_before_confirm),
		cmocka_unit_test(test_every_offer_given_up),
		cmocka_unit_test(test_control_join_of_an_open_stream),
	};
	size_t n = 13;

	for (size_t i = 0; i < ARRAY_SIZE(join_cases); i++)
		tests[n++] = rig_test(join_cases[i].name, test_join_case, &join_cases[i]);
	for (size_t i = 0; i < ARRAY_SIZE(ctl_cases); i++)
		tests[n++] = rig_test(ctl_cases[i].name, test_control_case, &ctl_cases[i]);
	return rig_run_tests(argc, argv, tests, n);
}
