/* SPDX-License-Identifier: BSD-2-Clause */
/* The control channel: FIN, ABORT, its loss, and rubbish, as a peer by hand sends and sees them. */
#include "hello.h"

static void open_hand(struct unit *u, struct hand *h, uint32_t flags)
{
	struct nmt_stream_attr attr = NMT_STREAM_ATTR_INIT;
	char addr[NMT_ADDR_MAX];

	unit_open(u, "tcp");
	attr.mode = NMT_MODE_NEGOTIATED;
	attr.flags = flags;
	unit_listen(u, &attr, addr);
	hand_shake(u, h, flags & NMT_STREAM_RECORDS ? NMTI_FEAT_RECORDS : 0);
}

static void close_hand(struct unit *u, struct hand *h)
{
	hand_close(h);
	unit_close(u);
}

static int fin_bytes(uint8_t *buf, uint64_t offset, uint64_t records)
{
	struct nmti_fin m = { .offset = offset, .records = records };

	return nmti_fin_encode(&m, buf, 64);
}

static int abort_bytes(uint8_t *buf, uint16_t reason)
{
	struct nmti_abort m = { .reason = reason };

	return nmti_abort_encode(&m, buf, 64);
}

static void send_fin(struct hand *h, uint64_t offset, uint64_t records)
{
	uint8_t buf[64];

	unit_write(h->ctl, buf, (size_t)fin_bytes(buf, offset, records));
}

static void send_abort(struct hand *h, uint16_t reason)
{
	uint8_t buf[64];

	unit_write(h->ctl, buf, (size_t)abort_bytes(buf, reason));
}

/* What nmt_recv says in the end. */
static ssize_t outcome(struct unit *u)
{
	char buf[64];
	ssize_t r;

	while ((r = nmt_recv(u->b, buf, sizeof(buf), 0)) == -EAGAIN || r > 0)
		if (r < 0)
			unit_take(u, u->b, NMT_EV_READABLE);
	return r;
}

static void check_error(struct unit *u, int want)
{
	assert_int_equal(unit_take(u, u->b, NMT_EV_ERROR).status, want);
	assert_int_equal(outcome(u), want);
}

static void expect_fin(struct unit *u, struct hand *h, uint64_t offset, uint64_t records)
{
	struct nmti_fin m;
	uint8_t buf[64];
	int n;

	pump(u, h->ctl);
	n = msg_read(h->ctl, buf, sizeof(buf));
	assert_int_equal(nmti_fin_decode(buf, (size_t)n, &m), 0);
	assert_int_equal(m.offset, offset);
	assert_int_equal(m.records, records);
}

static void expect_abort(struct unit *u, struct hand *h, uint16_t reason)
{
	struct nmti_abort m;
	uint8_t buf[64];
	int n;

	pump(u, h->ctl);
	n = msg_read(h->ctl, buf, sizeof(buf));
	assert_int_equal(nmti_abort_decode(buf, (size_t)n, &m), 0);
	if (reason)
		assert_int_equal(m.reason, reason);
	else
		assert_int_not_equal(m.reason, NMT_WHY_CLOSED);
}

/* ---- the peer ends its direction ---- */

static void test_fin(void **state)
{
	struct hand h;
	struct unit u;

	(void)state;
	for (int order = 0; order < 2; order++) {
		open_hand(&u, &h, 0);
		unit_write(h.data, "hello", 5);
		if (order)
			send_fin(&h, 5, 0);
		shutdown(h.data, SHUT_WR);
		if (!order) {
			char buf[8];

			unit_take(&u, u.b, NMT_EV_READABLE);
			assert_int_equal(nmt_recv(u.b, buf, sizeof(buf), 0), 5);
			/* The socket's end alone is no end of the stream. */
			while (unit_has(&u, u.b, NMT_EV_READABLE))
				assert_int_equal(nmt_recv(u.b, buf, sizeof(buf), 0), -EAGAIN);
			send_fin(&h, 5, 0);
		}
		assert_int_equal(outcome(&u), 0);
		assert_int_equal(nmt_send(u.b, "x", 1, 0), 1); /* this direction goes on */
		assert_false(unit_has(&u, u.b, NMT_EV_ERROR));
		close_hand(&u, &h);
	}
}

/* The end is where the FIN says, or the stream was cut. */
static void test_fin_elsewhere(void **state)
{
	static const uint64_t offsets[] = { 0, 4, 6, UINT64_MAX };
	struct hand h;
	struct unit u;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(offsets); i++) {
		open_hand(&u, &h, 0);
		unit_write(h.data, "hello", 5);
		send_fin(&h, offsets[i], 0);
		shutdown(h.data, SHUT_WR);
		assert_int_equal(outcome(&u), -ECONNRESET);
		close_hand(&u, &h);
	}
}

static void test_fin_in_pieces(void **state)
{
	uint8_t buf[64];
	struct hand h;
	struct unit u;
	int n = fin_bytes(buf, 0, 0);

	(void)state;
	open_hand(&u, &h, 0);
	shutdown(h.data, SHUT_WR);
	for (int i = 0; i < n; i++) {
		unit_write(h.ctl, buf + i, 1);
		unit_poll(&u, 0);
		unit_poll(&u, 0);
	}
	assert_int_equal(outcome(&u), 0);
	close_hand(&u, &h);
}

/* FIN and the end of everything in one segment. */
static void test_fin_and_closed(void **state)
{
	uint8_t buf[128];
	struct hand h;
	struct unit u;
	int n;

	(void)state;
	open_hand(&u, &h, 0);
	n = fin_bytes(buf, 0, 0);
	n += abort_bytes(buf + n, NMT_WHY_CLOSED);
	unit_write(h.ctl, buf, (size_t)n);
	shutdown(h.data, SHUT_WR);
	assert_int_equal(outcome(&u), 0);
	assert_int_equal(nmt_send(u.b, "x", 1, 0), -EPIPE); /* it takes no more */
	assert_false(unit_has(&u, u.b, NMT_EV_ERROR));
	close_hand(&u, &h);
}

/* What is sent behind the last CONFIRM belongs to the channel, also in the same segment. */
static void test_behind_confirm(void **state)
{
	struct nmt_stream_attr attr = NMT_STREAM_ATTR_INIT;
	struct nmti_confirm m = { .rails = 1 };
	char addr[NMT_ADDR_MAX];
	uint8_t buf[128];
	struct hand h;
	struct unit u;
	int n;

	(void)state;
	unit_open(&u, "tcp");
	attr.mode = NMT_MODE_NEGOTIATED;
	unit_listen(&u, &attr, addr);
	hand_hello(&u, &h, 1, 0);
	hand_join(&u, &h);
	n = nmti_confirm_encode(&m, buf, sizeof(buf));
	n += fin_bytes(buf + n, 0, 0);
	unit_write(h.ctl, buf, (size_t)n);
	shutdown(h.data, SHUT_WR);
	unit_take(&u, u.b, NMT_EV_CONNECTED);
	assert_int_equal(outcome(&u), 0);
	close_hand(&u, &h);
}

/* ---- the peer breaks it ---- */

static void test_aborted(void **state)
{
	static const uint16_t reasons[] = { NMT_WHY_NONE, NMT_WHY_SHUTDOWN, NMT_WHY_PATH,
					    NMT_WHY_CLOSED, 999 };
	struct hand h;
	struct unit u;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(reasons); i++) { /* without FIN, also CLOSED is a cut */
		open_hand(&u, &h, 0);
		send_abort(&h, reasons[i]);
		check_error(&u, -ECONNRESET);
		close_hand(&u, &h);
	}
}

static void test_lost(void **state)
{
	struct hand h;
	struct unit u;

	(void)state;
	open_hand(&u, &h, 0);
	close(h.ctl);
	h.ctl = dup(0);
	check_error(&u, -ECONNRESET);
	assert_int_equal(nmt_close(u.b), 0);
	u.b = NULL;
	wait_gone(&u, h.data); /* the peer hears of it */
	close_hand(&u, &h);
}

/* Without FIN an end of the data socket is a cut once the channel is gone too. */
static void test_all_lost(void **state)
{
	struct hand h;
	struct unit u;

	(void)state;
	open_hand(&u, &h, 0);
	unit_write(h.data, "hello", 5);
	hand_close(&h);
	assert_int_equal(outcome(&u), -ECONNRESET);
	unit_take(&u, u.b, NMT_EV_ERROR);
	unit_close(&u);
}

/* It breaks the stream, the log says why, and the peer is told what it did. */
static void rubbish(const void *bytes, size_t len)
{
	struct hand h;
	struct unit u;

	open_hand(&u, &h, 0);
	unit_write(h.ctl, bytes, len);
	check_error(&u, -ECONNRESET);
	assert_true(unit_logged(&u, "control channel"));
	expect_abort(&u, &h, NMT_WHY_MALFORMED);
	close_hand(&u, &h);
}

static void test_rubbish(void **state)
{
	struct nmti_confirm confirm = { .rails = 1 };
	uint8_t buf[NMTI_MSG_MAX + NMTI_MAGIC_LEN];
	int n;

	(void)state;
	rubbish("GET / HTTP/1.0\r\n", 16);
	rubbish("\0\0\0\0\0\0\0\0", 8);
	n = hello_bytes(buf, sizeof(buf), 1, 0); /* a message, but none for here */
	rubbish(buf + NMTI_MAGIC_LEN, (size_t)n - NMTI_MAGIC_LEN);
	n = nmti_confirm_encode(&confirm, buf, sizeof(buf));
	rubbish(buf, (size_t)n);
	n = fin_bytes(buf, 0, 0);
	buf[7]++; /* one byte too long */
	rubbish(buf, (size_t)n + 1);
	n = fin_bytes(buf, 0, 0);
	n += fin_bytes(buf + n, 0, 0); /* twice */
	rubbish(buf, (size_t)n);
}

/* ---- this side ends ---- */

static void test_shutdown(void **state)
{
	struct hand h;
	struct unit u;
	char c;

	(void)state;
	open_hand(&u, &h, NMT_STREAM_RECORDS);
	assert_int_equal(nmt_send(u.b, "abc", 3, MSG_EOR), 3);
	assert_int_equal(nmt_send(u.b, "de", 2, MSG_EOR), 2);
	assert_int_equal(nmt_send(u.b, NULL, 0, MSG_EOR), 0);
	assert_int_equal(nmt_shutdown(u.b, SHUT_WR), 0);
	expect_fin(&u, &h, 5, 3);
	assert_int_equal(recv(h.ctl, &c, 1, MSG_DONTWAIT), -1); /* once, and no more than that */
	assert_int_equal(nmt_shutdown(u.b, SHUT_WR), 0);
	unit_has(&u, u.b, 0);
	assert_int_equal(recv(h.ctl, &c, 1, MSG_DONTWAIT), -1);
	close_hand(&u, &h);
}

static void test_close(void **state)
{
	struct nmt_stream *b;
	struct hand h;
	struct unit u;
	char buf[8];

	(void)state;
	open_hand(&u, &h, 0);
	b = u.b;
	assert_int_equal(nmt_send(b, "hello", 5, 0), 5);
	assert_int_equal(nmt_close(b), 0);
	expect_fin(&u, &h, 5, 0);
	expect_abort(&u, &h, NMT_WHY_CLOSED);
	unit_read(h.data, buf, 5);
	assert_int_equal(recv(h.data, buf, 1, 0), 0);
	assert_int_equal(unit_take(&u, b, NMT_EV_CLOSED).status, 0);
	u.b = NULL;
	close_hand(&u, &h);
}

static void test_abort(void **state)
{
	struct hand h;
	struct unit u;

	(void)state;
	open_hand(&u, &h, 0);
	assert_int_equal(nmt_abort(u.b), 0);
	expect_abort(&u, &h, NMT_WHY_NONE);
	wait_gone(&u, h.data);
	u.b = NULL;
	close_hand(&u, &h);
}

/* ---- both at once ---- */

static void fill_up(struct unit *u)
{
	static char big[1 << 20];

	while (nmt_send(u->b, big, sizeof(big), 0) > 0)
		;
}

/* The peer aborts a stream that is closing, with bytes on their way. */
static void while_closing(void (*what)(struct hand *h), int want)
{
	struct nmt_stream *b;
	struct hand h;
	struct unit u;

	open_hand(&u, &h, 0);
	fill_up(&u);
	b = u.b;
	assert_int_equal(nmt_close(b), 0);
	unit_poll(&u, 0);
	what(&h);
	assert_int_equal(unit_take(&u, b, NMT_EV_CLOSED).status, want);
	u.b = NULL;
	close_hand(&u, &h);
}

static void abort_it(struct hand *h)
{
	send_abort(h, NMT_WHY_SHUTDOWN);
}

static void abort_twice(struct hand *h)
{
	uint8_t buf[128];
	int n = abort_bytes(buf, NMT_WHY_SHUTDOWN);

	n += abort_bytes(buf + n, NMT_WHY_SHUTDOWN);
	unit_write(h->ctl, buf, (size_t)n);
}

static void reset_data(struct hand *h)
{
	struct linger now = { .l_onoff = 1 };

	setsockopt(h->data, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(h->data);
	h->data = -1;
}

static void lose_channel(struct hand *h)
{
	close(h->ctl);
	h->ctl = dup(0);
}

static void talk_rubbish(struct hand *h)
{
	unit_write(h->ctl, "rubbish!rubbish!rubbish!", 24);
}

static void test_while_closing(void **state)
{
	(void)state;
	while_closing(abort_it, -ECONNRESET);
	while_closing(abort_twice, -ECONNRESET);
	while_closing(reset_data, -ECONNRESET);
	while_closing(lose_channel, -ECONNRESET);
	while_closing(talk_rubbish, -ECONNRESET);
}

/* Control channel and data socket break in one batch of events. */
static void test_both_break(void **state)
{
	struct hand h;
	struct unit u;

	(void)state;
	for (int order = 0; order < 2; order++) {
		open_hand(&u, &h, 0);
		if (order)
			reset_data(&h);
		send_abort(&h, NMT_WHY_SHUTDOWN);
		if (!order)
			reset_data(&h);
		check_error(&u, -ECONNRESET);
		close_hand(&u, &h);
	}
}

/* The data socket is reset in the very moment the handshake ends. */
static void test_reset_with_confirm(void **state)
{
	struct nmt_stream_attr attr = NMT_STREAM_ATTR_INIT;
	struct nmti_confirm m = { .rails = 1 };
	char addr[NMT_ADDR_MAX];
	uint8_t buf[64];
	struct hand h;
	struct unit u;

	(void)state;
	unit_open(&u, "tcp");
	attr.mode = NMT_MODE_NEGOTIATED;
	unit_listen(&u, &attr, addr);
	hand_hello(&u, &h, 1, 0);
	hand_join(&u, &h);
	unit_write(h.ctl, buf, (size_t)nmti_confirm_encode(&m, buf, sizeof(buf)));
	reset_data(&h);
	assert_int_equal(unit_take(&u, u.b, NMT_EV_ERROR).status, -ECONNRESET);
	close_hand(&u, &h);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_fin),	      cmocka_unit_test(test_fin_elsewhere),
	cmocka_unit_test(test_fin_in_pieces), cmocka_unit_test(test_fin_and_closed),
	cmocka_unit_test(test_behind_confirm), cmocka_unit_test(test_aborted),
	cmocka_unit_test(test_lost),	      cmocka_unit_test(test_all_lost),
	cmocka_unit_test(test_rubbish),	      cmocka_unit_test(test_shutdown),
	cmocka_unit_test(test_close),	      cmocka_unit_test(test_abort),
	cmocka_unit_test(test_while_closing), cmocka_unit_test(test_both_break),
	cmocka_unit_test(test_reset_with_confirm),
};

UNIT_MAIN(tests)
