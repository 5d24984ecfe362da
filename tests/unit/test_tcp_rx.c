/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Receives that fill the buffer exactly: the kernel is asked what is left only while it pays, and
 * then the receive that would find nothing costs no system call.
 */
#include <netinet/tcp.h>

#include "../../providers/tcp/tcp.h"
#include "unit.h"

#define SIZE 64
#define FOR_GOOD 64 /* receives in a row that did not fill their buffers */

struct rx {
	struct unit u;
	struct nmt_stream *s;
	int peer;
};

static void open_rx(struct rx *t)
{
	t->peer = unit_open_tcp(&t->u, false, NULL);
	t->s = t->u.a;
}

static void close_rx(struct rx *t)
{
	unit_close(&t->u);
	close(t->peer);
}

static bool asked(const struct rx *t)
{
	int on = -1;
	socklen_t len = sizeof(on);

	assert_int_equal(getsockopt(tcp_of(t->s)->src.fd, SOL_TCP, TCP_INQ, &on, &len), 0);
	return on;
}

/* A message of SIZE that comes alone, received into ROOM bytes. */
static void message(struct rx *t, size_t room)
{
	uint8_t out[SIZE], in[2 * SIZE];

	unit_fill(out, SIZE, 0);
	unit_write(t->peer, out, SIZE);
	unit_take(&t->u, t->s, NMT_EV_READABLE);
	assert_int_equal(nmt_recv(t->s, in, room, 0), SIZE);
	assert_memory_equal(in, out, SIZE);
}

/* System calls of a receive that finds nothing. */
static uint64_t calls_for_nothing(struct rx *t)
{
	uint64_t before = t->s->stat.rx_syscalls;
	uint8_t in[SIZE];

	assert_int_equal(nmt_recv(t->s, in, SIZE, 0), -EAGAIN);
	return t->s->stat.rx_syscalls - before;
}

static void test_filled_once(void **state)
{
	struct rx t;

	(void)state;
	open_rx(&t);
	message(&t, SIZE);
	assert_int_equal(calls_for_nothing(&t), 1);
	assert_false(asked(&t));
	close_rx(&t);
}

static void test_filled_again(void **state)
{
	struct rx t;

	(void)state;
	open_rx(&t);
	for (int i = 0; i < 2; i++) {
		message(&t, SIZE);
		assert_int_equal(calls_for_nothing(&t), 1);
	}
	assert_true(asked(&t));
	message(&t, SIZE);
	assert_int_equal(calls_for_nothing(&t), 0);
	close_rx(&t);
}

static void test_not_for_ever(void **state)
{
	struct rx t;

	(void)state;
	open_rx(&t);
	message(&t, SIZE);
	message(&t, SIZE);
	for (int i = 0; i < FOR_GOOD; i++) {
		assert_true(asked(&t));
		message(&t, 2 * SIZE);
	}
	assert_false(asked(&t));
	message(&t, SIZE); /* once more is once */
	assert_false(asked(&t));
	close_rx(&t);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_filled_once),
	cmocka_unit_test(test_filled_again),
	cmocka_unit_test(test_not_for_ever),
};

UNIT_MAIN(tests)
