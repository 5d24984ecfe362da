/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Hostile clients that take their time, or come in numbers: silence after each byte of every
 * message of the handshake, one byte now and then, floods of connections that say nothing or stop
 * half way. Each must be gone when attr.handshake_timeout is over, not before, and not much later;
 * what they can make the victim hold is bounded.
 */
#include "foe.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define HANDSHAKE_MS 1000
#define FIN_MS 5000 /* docs/wire.md */
#define LATE_MS 1500 /* the most that a time-out may be late, on a busy machine */
#define HELLO_LEN 71
#define JOIN_LEN 56
#define CONFIRM_LEN 16
#define FLOOD 64
#define PENDING 8

static struct rig rig;
static struct foe foes[FLOOD];

static void open_rig(uint32_t max_pending)
{
	const struct rig_options opt = {
		.handshake_timeout = HANDSHAKE_MS * MS,
		.max_pending = max_pending,
	};

	rig_open(&rig, &opt);
}

/* Whether the victim ended this connection; reads nothing. */
static bool ended(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLRDHUP };

	return poll(&p, 1, 0) > 0 && p.revents & (POLLRDHUP | POLLHUP | POLLERR);
}

/* Every one of the N connections ends MS after START, not before, and at most LATE_MS later. */
static void all_time_out(int *fds, size_t n, int64_t start, int ms)
{
	bool early = false;

	while (rig_now() < start + (ms - 50) * MS) {
		for (size_t i = 0; i < n; i++)
			early |= ended(fds[i]);
		pair_move(&rig, &rig.good, MIB / 8);
		rig_run(&rig, ms / 100);
	}
	assert_false(early);
	for (size_t i = 0; i < n; i++)
		assert_true(foe_ends(&rig, fds[i], LATE_MS));
	assert_in_range(rig_now() - start, 0, (ms + LATE_MS) * MS);
	for (size_t i = 0; i < n; i++)
		foe_shut(&fds[i]);
}

/* One connection for each length of BYTES short of LEN, all at once. */
static void silence_at_each_byte(uint16_t port, const uint8_t *bytes, size_t len, int *fds)
{
	for (size_t cut = 0; cut < len; cut++) {
		fds[cut] = foe_dial(&rig, port);
		foe_send(fds[cut], bytes, cut);
	}
}

static void test_silent_hello(void **state)
{
	struct counts before;
	int fds[HELLO_LEN];
	uint8_t buf[128];
	int64_t start;
	struct foe f;

	(void)state;
	open_rig(0);
	before = rig_counts(&rig);
	foe_init(&f);
	assert_int_equal(foe_hello_bytes(&f, buf, sizeof(buf)), HELLO_LEN);
	start = rig_now();
	silence_at_each_byte(foe_port(rig.addr), buf, HELLO_LEN, fds);
	all_time_out(fds, HELLO_LEN, start, HANDSHAKE_MS);
	rig_expect_declined(&rig, HELLO_LEN, REACT_MS);
	rig_prove(&rig);
	rig_settle(&rig, &before);
	rig_close(&rig);
}

/*
 * On the rendezvous port: silence at each byte of a good JOIN, a flood of connections that say
 * nothing at all. Whoever has the token still gets in at once.
 */
static void test_silent_join(void **state)
{
	int fds[JOIN_LEN + FLOOD];
	struct counts before;
	uint8_t buf[128];
	int64_t start;
	struct foe f;

	(void)state;
	open_rig(0);
	before = rig_counts(&rig);
	foe_init(&f);
	foe_hello(&rig, &f);
	assert_int_equal(foe_join_bytes(&f, buf, sizeof(buf)), JOIN_LEN);
	start = rig_now();
	silence_at_each_byte(f.select.port, buf, JOIN_LEN, fds);
	for (size_t i = 0; i < FLOOD; i++)
		fds[JOIN_LEN + i] = foe_dial(&rig, f.select.port);
	foe_join(&rig, &f);
	foe_confirm(&rig, &f);
	foe_warm_up(&rig, &f);
	all_time_out(fds, ARRAY_SIZE(fds), start, HANDSHAKE_MS);
	rig_expect_declined(&rig, ARRAY_SIZE(fds), REACT_MS);
	foe_warm_up(&rig, &f);
	foe_close(&f);
	assert_int_equal(side_await_error(&rig, &f.victim, REACT_MS), -ECONNRESET);
	side_close(&rig, &f.victim);
	rig_prove(&rig);
	rig_settle(&rig, &before);
	rig_close(&rig);
}

/* COUNT foes stop at the same place of their handshakes; each stream must time out. */
static void streams_time_out(size_t count, int64_t start)
{
	struct counts now = rig_counts(&rig);

	pair_move(&rig, &rig.good, MIB);
	assert_in_range(rig_now() - start, 0, HANDSHAKE_MS * MS);
	for (size_t i = 0; i < count; i++)
		assert_int_equal(foes[i].victim.error, 0);
	/* nothing of the pool before a stream is open, but for the good pair's */
	assert_in_range(now.held, 0, 4 * MIB);
	for (size_t i = 0; i < count; i++) {
		assert_int_equal(side_await_error(&rig, &foes[i].victim, HANDSHAKE_MS + LATE_MS),
				 -ETIMEDOUT);
		side_close(&rig, &foes[i].victim);
		assert_true(foe_ends(&rig, foes[i].ctl, REACT_MS));
		foe_close(&foes[i]);
	}
	assert_in_range(rig_now() - start, HANDSHAKE_MS * MS, (2 * HANDSHAKE_MS + LATE_MS) * MS);
}

static void test_silent_after_select(void **state)
{
	struct counts before;
	int64_t start;

	(void)state;
	open_rig(0);
	before = rig_counts(&rig);
	start = rig_now();
	for (size_t i = 0; i < FLOOD; i++) {
		foe_init(&foes[i]);
		foe_hello(&rig, &foes[i]);
	}
	streams_time_out(FLOOD, start);
	rig_prove(&rig);
	rig_settle(&rig, &before);
	rig_close(&rig);
}

static void test_silent_confirm(void **state)
{
	static const uint8_t confirm[CONFIRM_LEN] = { 0, 4, 1, 0, 0, 0, 0, 8, 0, 0, 0, 1 };
	struct counts before;
	int64_t start;

	(void)state;
	open_rig(0);
	before = rig_counts(&rig);
	start = rig_now();
	for (size_t cut = 0; cut < CONFIRM_LEN; cut++) {
		foe_init(&foes[cut]);
		foe_hello(&rig, &foes[cut]);
		foe_join(&rig, &foes[cut]);
		foe_send(foes[cut].ctl, confirm, cut);
	}
	streams_time_out(CONFIRM_LEN, start);
	rig_prove(&rig);
	rig_settle(&rig, &before);
	rig_close(&rig);
}

/* A byte now and then does not move the deadline. */
static void drip(const uint8_t *bytes, size_t len, uint16_t port)
{
	int64_t start = rig_now();
	int fd = foe_dial(&rig, port);

	for (size_t i = 0; i < len && !ended(fd); i++) {
		foe_send(fd, bytes + i, 1);
		rig_run(&rig, 40);
	}
	assert_true(ended(fd));
	assert_in_range(rig_now() - start, (HANDSHAKE_MS - 50) * MS, (HANDSHAKE_MS + LATE_MS) * MS);
	foe_shut(&fd);
}

static void test_drip(void **state)
{
	struct counts before;
	uint8_t buf[128];
	struct foe f;

	(void)state;
	open_rig(0);
	before = rig_counts(&rig);
	foe_init(&f);
	drip(buf, foe_hello_bytes(&f, buf, sizeof(buf)), foe_port(rig.addr));
	rig_expect_declined(&rig, 1, REACT_MS);
	rig_prove(&rig);
	rig_settle(&rig, &before);
	rig_close(&rig);
}

/* The data socket ends, and no FIN ever says that this is the end. */
static void test_end_without_fin(void **state)
{
	struct counts before;
	int64_t start;
	struct foe f;

	(void)state;
	rig_open(&rig, NULL);
	before = rig_counts(&rig);
	foe_init(&f);
	foe_open_client(&rig, &f);
	foe_warm_up(&rig, &f);
	shutdown(f.data, SHUT_WR);
	start = rig_now();
	rig_run(&rig, 100);
	pair_move(&rig, &rig.good, MIB);
	assert_int_equal(side_await_error(&rig, &f.victim, FIN_MS + LATE_MS), -ECONNRESET);
	assert_in_range(rig_now() - start, (FIN_MS - 50) * MS, (FIN_MS + LATE_MS) * MS);
	assert_int_not_equal(f.victim.recv_result, 0);
	side_close(&rig, &f.victim);
	foe_close(&f);
	rig_prove(&rig);
	rig_settle(&rig, &before);
	rig_close(&rig);
}

/*
 * More silent connections than attr.max_pending: the oldest make room, so that no more than that
 * many are held, the pair that is open moves on, and a good client gets in at once.
 */
static void test_flood_of_silence(void **state)
{
	struct counts before, during;
	int fds[FLOOD];
	int64_t start;

	(void)state;
	open_rig(PENDING);
	before = rig_counts(&rig);
	for (size_t i = 0; i < FLOOD; i++)
		fds[i] = foe_dial(&rig, foe_port(rig.addr));
	rig_expect_declined(&rig, FLOOD - PENDING, HANDSHAKE_MS / 2);
	during = rig_counts(&rig);
	assert_int_equal(during.fds, before.fds + FLOOD + PENDING);
	assert_int_equal(during.streams, before.streams);
	assert_int_equal(during.memory, before.memory);
	start = rig_now();
	rig_prove(&rig);
	assert_in_range(rig_now() - start, 0, REACT_MS * MS);
	for (size_t i = 0; i < FLOOD; i++)
		assert_true(foe_ends(&rig, fds[i], HANDSHAKE_MS + LATE_MS));
	rig_expect_declined(&rig, FLOOD, REACT_MS);
	for (size_t i = 0; i < FLOOD; i++)
		foe_shut(&fds[i]);
	rig_prove(&rig);
	rig_settle(&rig, &before);
	rig_close(&rig);
}

/* HELLOs that the application does not accept wait in the kernel beyond attr.backlog of them. */
static void test_flood_of_hellos(void **state)
{
	const struct rig_options opt = { .handshake_timeout = HANDSHAKE_MS * MS,
					 .backlog = PENDING };
	struct counts before, during;
	uint8_t buf[128];
	struct foe f;
	int fds[FLOOD];

	(void)state;
	rig_open(&rig, &opt);
	before = rig_counts(&rig);
	rig.no_accept = true;
	rig.drop_accepted = true;
	for (size_t i = 0; i < PENDING + 1; i++) {
		foe_init(&f);
		fds[i] = foe_dial(&rig, foe_port(rig.addr));
		foe_send(fds[i], buf, foe_hello_bytes(&f, buf, sizeof(buf)));
		rig_run(&rig, 20);
	}
	during = rig_counts(&rig);
	assert_in_range(during.fds, before.fds + PENDING + 1, before.fds + 2 * PENDING + 1);
	assert_int_equal(during.streams, before.streams);
	pair_move(&rig, &rig.good, MIB);
	rig.no_accept = false;
	rig_accept(&rig);
	for (size_t i = 0; i < PENDING + 1; i++) {
		assert_true(foe_ends(&rig, fds[i], REACT_MS));
		foe_shut(&fds[i]);
	}
	rig.drop_accepted = false;
	rig_prove(&rig);
	rig_settle(&rig, &before);
	rig_close(&rig);
}

/* A client that waits for the server to speak first is raw when the time for a HELLO is over. */
static void late_raw(const char *bytes, size_t len)
{
	struct counts before = rig_counts(&rig);
	int64_t start = rig_now();
	char got[16];
	struct foe f;

	foe_init(&f);
	f.victim.reading = false;
	rig.accept_into = &f.victim;
	f.ctl = foe_dial(&rig, foe_port(rig.addr));
	foe_send(f.ctl, bytes, len);
	assert_true(rig_until(&rig, &f.victim.connected, HANDSHAKE_MS + LATE_MS));
	assert_in_range(rig_now() - start, (HANDSHAKE_MS - 50) * MS, (HANDSHAKE_MS + LATE_MS) * MS);
	if (len) {
		assert_int_equal(nmt_recv(f.victim.stream, got, sizeof(got), 0), len);
		assert_memory_equal(got, bytes, len);
	}
	assert_int_equal(nmt_send(f.victim.stream, "220 hello", 9, 0), 9);
	rig_run(&rig, 5);
	assert_int_equal(recv(f.ctl, got, sizeof(got), 0), 9);
	foe_close(&f);
	side_close(&rig, &f.victim);
	rig_settle(&rig, &before);
}

static void test_either_late(void **state)
{
	const struct rig_options opt = { .handshake_timeout = HANDSHAKE_MS * MS,
					 .listener_mode = NMT_MODE_EITHER };
	struct foe f;

	(void)state;
	rig_open(&rig, &opt);
	late_raw("", 0);
	late_raw("\x89NMT\r\n\x1a", 7);
	assert_int_equal(rig_declined(&rig), 0);
	/* with the whole opener it is no raw client any more */
	foe_init(&f);
	f.ctl = foe_dial(&rig, foe_port(rig.addr));
	foe_send(f.ctl, NMTI_MAGIC, NMTI_MAGIC_LEN);
	assert_int_equal(foe_declined(&rig, &f, HANDSHAKE_MS + LATE_MS), NMT_WHY_TIMEOUT);
	rig_expect_declined(&rig, 1, REACT_MS);
	foe_close(&f);
	rig_prove(&rig);
	rig_close(&rig);
}

/* A listener that closes while peers are silent lets them go, and forgets their time-outs. */
static void test_listener_closed_meanwhile(void **state)
{
	struct counts before;
	int fds[PENDING];

	(void)state;
	open_rig(0);
	before = rig_counts(&rig);
	for (size_t i = 0; i < PENDING; i++) {
		fds[i] = foe_dial(&rig, foe_port(rig.addr));
		foe_send(fds[i], NMTI_MAGIC, i);
	}
	rig_run(&rig, 20);
	assert_int_equal(nmt_listener_close(rig.listener), 0);
	rig.listener = NULL;
	for (size_t i = 0; i < PENDING; i++) {
		assert_true(foe_ends(&rig, fds[i], REACT_MS));
		foe_shut(&fds[i]);
	}
	rig_run(&rig, HANDSHAKE_MS + 100);
	pair_move(&rig, &rig.good, MIB);
	before.fds--;
	rig_settle(&rig, &before);
	rig_close(&rig);
}

/* The domain closes while peers hang in every step of the handshake: it takes all of it along. */
static void test_domain_closed_meanwhile(void **state)
{
	const struct rig_options opt = { .handshake_timeout = 60000 * MS };
	uint8_t buf[128];
	int64_t start;
	int fd;

	(void)state;
	rig_open(&rig, &opt);
	for (size_t i = 0; i < 4; i++)
		foe_init(&foes[i]);
	foes[0].ctl = foe_dial(&rig, foe_port(rig.addr));
	foe_send(foes[0].ctl, buf, foe_hello_bytes(&foes[0], buf, sizeof(buf)) - 1);
	foe_hello(&rig, &foes[1]);
	fd = foe_dial(&rig, foes[1].select.port);
	foe_send(fd, buf, foe_join_bytes(&foes[1], buf, sizeof(buf)) - 1);
	foe_hello(&rig, &foes[2]);
	foe_join(&rig, &foes[2]);
	rig.no_accept = true;
	foes[3].ctl = foe_dial(&rig, foe_port(rig.addr));
	foe_send(foes[3].ctl, buf, foe_hello_bytes(&foes[3], buf, sizeof(buf)));
	rig_run(&rig, 20);
	pair_close(&rig, &rig.good);
	start = rig_now();
	assert_int_equal(nmt_domain_close(rig.server), 0);
	assert_in_range(rig_now() - start, 0, REACT_MS * MS);
	rig.server = NULL;
	rig.listener = NULL;
	for (size_t i = 0; i < 4; i++) {
		assert_true(foe_ends(&rig, foes[i].ctl, REACT_MS));
		foe_close(&foes[i]);
	}
	assert_true(foe_ends(&rig, fd, REACT_MS));
	foe_shut(&fd);
	rig_close(&rig);
}

/* Connections that come and go at once, faster than anybody accepts. */
static void test_flood_of_resets(void **state)
{
	struct counts before;
	int fds[FLOOD];

	(void)state;
	open_rig(PENDING);
	before = rig_counts(&rig);
	for (int round = 0; round < 10; round++) {
		for (size_t i = 0; i < FLOOD; i++)
			fds[i] = foe_dial(&rig, foe_port(rig.addr));
		for (size_t i = 0; i < FLOOD; i++)
			foe_reset(&fds[i]);
		pair_move(&rig, &rig.good, MIB / 4);
	}
	rig_prove(&rig);
	rig_settle(&rig, &before);
	rig_close(&rig);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_silent_hello),
		cmocka_unit_test(test_silent_join),
		cmocka_unit_test(test_silent_after_select),
		cmocka_unit_test(test_silent_confirm),
		cmocka_unit_test(test_drip),
		cmocka_unit_test(test_end_without_fin),
		cmocka_unit_test(test_flood_of_silence),
		cmocka_unit_test(test_flood_of_resets),
		cmocka_unit_test(test_flood_of_hellos),
		cmocka_unit_test(test_either_late),
		cmocka_unit_test(test_listener_closed_meanwhile),
		cmocka_unit_test(test_domain_closed_meanwhile),
	};

	return rig_run_tests(argc, argv, tests, ARRAY_SIZE(tests));
}
