/* SPDX-License-Identifier: BSD-2-Clause */
/* Whole messages from a socket: in any pieces, several at once, every broken one told. */
#include "hello.h"

#define ROOM (NMTI_MAGIC_LEN + NMTI_MSG_MAX)

struct box {
	struct nmti_inbox in;
	uint8_t buf[ROOM];
	int fd[2]; /* the test writes to 0, the inbox reads from 1 */
};

static void box_open(struct box *b, uint32_t cap, bool magic)
{
	memset(b, 0, sizeof(*b));
	b->in.buf = b->buf;
	b->in.cap = cap;
	b->in.magic = magic;
	unit_tcp_pair(b->fd);
}

static void box_close(struct box *b)
{
	close(b->fd[0]);
	close(b->fd[1]);
}

static void feed(struct box *b, const void *buf, int len)
{
	unit_write(b->fd[0], buf, (size_t)len);
	unit_arrived(b->fd[1], len);
}

static int confirm_bytes(uint8_t *buf, size_t cap, uint16_t status)
{
	struct nmti_confirm m = { .status = status, .rails = 1 };

	return nmti_confirm_encode(&m, buf, cap);
}

/* At each cut: nothing before the last byte, the message after it. */
static void test_pieces(void **state)
{
	uint8_t msg[ROOM];
	int n = hello_bytes(msg, sizeof(msg), 3, 0);
	struct box b;

	(void)state;
	for (int cut = 1; cut < n; cut++) {
		box_open(&b, ROOM, false);
		feed(&b, msg, cut);
		assert_int_equal(nmti_inbox_read(&b.in, b.fd[1], EPOLLIN), -EAGAIN);
		feed(&b, msg + cut, n - cut);
		assert_int_equal(nmti_inbox_read(&b.in, b.fd[1], EPOLLIN), n - NMTI_MAGIC_LEN);
		assert_memory_equal(b.buf, msg + NMTI_MAGIC_LEN, n - NMTI_MAGIC_LEN);
		box_close(&b);
	}
}

static void test_byte_by_byte(void **state)
{
	uint8_t msg[ROOM];
	int rc = -EAGAIN, n = hello_bytes(msg, sizeof(msg), 3, 0);
	struct box b;

	(void)state;
	box_open(&b, ROOM, false);
	for (int i = 0; i < n; i++) {
		assert_int_equal(rc, -EAGAIN);
		feed(&b, msg + i, 1);
		rc = nmti_inbox_read(&b.in, b.fd[1], EPOLLIN);
	}
	assert_int_equal(rc, n - NMTI_MAGIC_LEN);
	box_close(&b);
}

/* Messages that come together are given out one by one, unchanged. */
static void test_several(void **state)
{
	uint8_t msg[3][64];
	int n = 0;
	struct box b;

	(void)state;
	box_open(&b, NMTI_MSG_MAX, true);
	for (uint16_t i = 0; i < 3; i++) {
		n = confirm_bytes(msg[i], sizeof(msg[i]), i);
		unit_write(b.fd[0], msg[i], (size_t)n);
	}
	unit_arrived(b.fd[1], 3 * n);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(nmti_inbox_read(&b.in, b.fd[1], EPOLLIN), n);
		assert_memory_equal(b.buf, msg[i], n);
		assert_int_equal(nmti_inbox_read(&b.in, b.fd[1], 0), n); /* not taken yet */
		nmti_inbox_next(&b.in, n);
	}
	assert_int_equal(nmti_inbox_read(&b.in, b.fd[1], 0), -EAGAIN);
	assert_int_equal(b.in.have, 0);
	box_close(&b);
}

/* The magic is refused at the first byte that differs, though the rest never comes. */
static void test_magic(void **state)
{
	struct box b;

	(void)state;
	for (int i = 0; i < NMTI_MAGIC_LEN; i++) {
		char bad[NMTI_MAGIC_LEN + 1] = NMTI_MAGIC;

		bad[i] ^= 1;
		box_open(&b, ROOM, false);
		feed(&b, bad, i + 1);
		assert_int_equal(nmti_inbox_read(&b.in, b.fd[1], EPOLLIN), -EPROTO);
		box_close(&b);
	}
}

/* Reads LEN bytes of MSG and what comes of it. */
static int outcome(const void *msg, int len, uint32_t cap)
{
	struct box b;
	int rc;

	box_open(&b, cap, true);
	feed(&b, msg, len);
	rc = nmti_inbox_read(&b.in, b.fd[1], EPOLLIN);
	box_close(&b);
	return rc;
}

static void test_broken(void **state)
{
	uint8_t good[64], bad[64];
	int n = confirm_bytes(good, sizeof(good), 0);

	(void)state;
	assert_int_equal(outcome(good, n, NMTI_MSG_MAX), n);
	assert_int_equal(outcome(good, n, (uint32_t)n), n);
	assert_int_equal(outcome(good, n, (uint32_t)n - 1), -EMSGSIZE);
	memcpy(bad, good, sizeof(good));
	bad[2]++; /* version */
	assert_int_equal(outcome(bad, NMTI_MSG_HDR_LEN, NMTI_MSG_MAX), -EPROTONOSUPPORT);
	memcpy(bad, good, sizeof(good));
	bad[0] = bad[1] = 0xff; /* type */
	assert_int_equal(outcome(bad, NMTI_MSG_HDR_LEN, NMTI_MSG_MAX), -EPROTO);
	memcpy(bad, good, sizeof(good));
	bad[4] = 0x7f; /* length */
	assert_int_equal(outcome(bad, NMTI_MSG_HDR_LEN, NMTI_MSG_MAX), -EMSGSIZE);
}

/* The end behind any part of a message, seen at once or by a later event. */
static void test_end(void **state)
{
	uint8_t msg[64];
	int n = confirm_bytes(msg, sizeof(msg), 0);
	struct box b;

	(void)state;
	for (int cut = 0; cut < n; cut++) {
		box_open(&b, NMTI_MSG_MAX, true);
		unit_write(b.fd[0], msg, (size_t)cut);
		if (cut)
			unit_arrived(b.fd[1], cut);
		if (cut % 2)
			assert_int_equal(nmti_inbox_read(&b.in, b.fd[1], EPOLLIN), -EAGAIN);
		shutdown(b.fd[0], SHUT_WR);
		assert_true(unit_fd_ready(b.fd[1]));
		/* With EPOLLRDHUP all is there: the bytes and the end. */
		while (poll(&(struct pollfd){ .fd = b.fd[1], .events = POLLRDHUP }, 1, -1) != 1)
			;
		assert_int_equal(nmti_inbox_read(&b.in, b.fd[1], EPOLLIN | EPOLLRDHUP),
				 -ECONNRESET);
		box_close(&b);
	}
}

/* A message before the end is given out, and then the end. */
static void test_message_and_end(void **state)
{
	uint8_t msg[64];
	int n = confirm_bytes(msg, sizeof(msg), 0);
	struct box b;

	(void)state;
	box_open(&b, NMTI_MSG_MAX, true);
	feed(&b, msg, n);
	shutdown(b.fd[0], SHUT_WR);
	while (poll(&(struct pollfd){ .fd = b.fd[1], .events = POLLRDHUP }, 1, -1) != 1)
		;
	assert_int_equal(nmti_inbox_read(&b.in, b.fd[1], EPOLLIN | EPOLLRDHUP), n);
	nmti_inbox_next(&b.in, n);
	assert_int_equal(nmti_inbox_read(&b.in, b.fd[1], 0), -ECONNRESET);
	box_close(&b);
}

static void test_send(void **state)
{
	uint8_t buf[64];
	int fd[2];

	(void)state;
	unit_tcp_pair(fd);
	assert_int_equal(nmti_msg_send(fd[1], "hello", 5, 0), 0);
	unit_read(fd[0], buf, 5);
	assert_memory_equal(buf, "hello", 5);
	assert_int_equal(nmti_msg_send(fd[1], "hello", -ENOSPC, 0), -ENOSPC); /* of an encoder */
	close(fd[0]);
	shutdown(fd[1], SHUT_WR);
	assert_int_equal(nmti_msg_send(fd[1], "hello", 5, 0), -EPIPE); /* and no SIGPIPE */
	close(fd[1]);
	assert_int_equal(nmti_msg_send(fd[1], "hello", 5, 0), -EBADF);
}

/* A socket that takes only a part of a message has failed. */
static void test_send_no_room(void **state)
{
	static uint8_t big[64 << 20]; /* more than a socket buffer may grow to */
	int fd[2];

	(void)state;
	unit_tcp_pair(fd);
	assert_int_equal(nmti_msg_send(fd[1], big, sizeof(big), 0), -ENOBUFS);
	while (send(fd[1], big, sizeof(big), MSG_DONTWAIT) > 0)
		;
	assert_int_equal(nmti_msg_send(fd[1], big, 100, 0), -EAGAIN);
	close(fd[0]);
	close(fd[1]);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_pieces), cmocka_unit_test(test_byte_by_byte),
	cmocka_unit_test(test_several), cmocka_unit_test(test_magic),
	cmocka_unit_test(test_broken), cmocka_unit_test(test_end),
	cmocka_unit_test(test_message_and_end), cmocka_unit_test(test_send),
	cmocka_unit_test(test_send_no_room),
};

UNIT_MAIN(tests)
