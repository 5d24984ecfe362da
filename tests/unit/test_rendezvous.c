/* SPDX-License-Identifier: BSD-2-Clause */
/* The rendezvous port: who gets to a stream, with which token, how often, and who is let go. */
#include "hello.h"

static void open_listener(struct unit *u, int64_t timeout)
{
	struct nmt_stream_attr attr = NMT_STREAM_ATTR_INIT;
	char addr[NMT_ADDR_MAX];

	unit_open(u, "tcp");
	attr.mode = NMT_MODE_NEGOTIATED;
	attr.handshake_timeout = timeout;
	unit_listen(u, &attr, addr);
}

static uint64_t declined(struct unit *u)
{
	struct nmt_stats st = NMT_STATS_INIT;

	assert_int_equal(nmt_stats(u->dom, NULL, &st), 0);
	return st.declined;
}

/* Says LEN bytes on the rendezvous port and is let go for it. */
static void check_refused(struct unit *u, const struct hand *h, const void *bytes, size_t len)
{
	uint64_t before = declined(u);
	int fd = unit_tcp_connect(h->port);

	unit_write(fd, bytes, len);
	wait_gone(u, fd);
	assert_int_equal(declined(u), before + 1);
	close(fd);
}

/* The stream still waits for its own data socket, and comes up with it. */
static void check_comes_up(struct unit *u, struct hand *h)
{
	struct nmti_confirm m = { .rails = 1 };
	uint8_t buf[64];
	char c;

	hand_join(u, h);
	unit_write(h->ctl, buf, (size_t)nmti_confirm_encode(&m, buf, sizeof(buf)));
	unit_take(u, u->b, NMT_EV_CONNECTED);
	unit_write(h->data, "x", 1);
	unit_take(u, u->b, NMT_EV_READABLE);
	assert_int_equal(nmt_recv(u->b, &c, 1, 0), 1);
}

static void test_lazily(void **state)
{
	struct unit u;
	int before, port;

	(void)state;
	unit_open(&u, "tcp");
	before = unit_open_fds();
	assert_null(u.dom->rdv);
	port = nmti_rdv_port(u.dom, UNIT_SEC);
	assert_in_range(port, 1, 65535);
	assert_int_equal(unit_open_fds(), before + 1);
	assert_int_equal(nmti_rdv_port(u.dom, UNIT_SEC), port); /* one for all streams */
	nmti_rdv_close(u.dom);
	assert_int_equal(unit_open_fds(), before);
	nmti_rdv_close(u.dom); /* there is none: harmless */
	unit_close(&u);
}

static void test_join(void **state)
{
	struct hand h;
	struct unit u;

	(void)state;
	open_listener(&u, 0);
	hand_hello(&u, &h, 1, 0);
	check_comes_up(&u, &h);
	assert_int_equal(declined(&u), 0);
	hand_close(&h);
	unit_close(&u);
}

static void test_byte_by_byte(void **state)
{
	uint8_t buf[256];
	struct hand h;
	struct unit u;
	int fd, n;

	(void)state;
	open_listener(&u, 0);
	hand_hello(&u, &h, 1, 0);
	n = join_bytes(&h, buf, sizeof(buf), NMTI_JOIN_DATA);
	fd = unit_tcp_connect(h.port);
	for (int i = 0; i < n; i++) {
		struct pollfd p = { .fd = h.ctl, .events = POLLIN };

		assert_int_equal(poll(&p, 1, 0), 0);
		unit_write(fd, buf + i, 1);
		unit_poll(&u, 0);
		unit_poll(&u, 0);
	}
	pump(&u, h.ctl);
	msg_read(h.ctl, buf, sizeof(buf));
	assert_int_equal(msg_type(buf), NMTI_MSG_CONFIRM);
	close(fd);
	hand_close(&h);
	unit_close(&u);
}

/* A token with one bit wrong, wherever, and the token of one stream with the session of another. */
static void test_wrong_token(void **state)
{
	uint8_t buf[256];
	struct hand h, bad;
	struct unit u;
	int n;

	(void)state;
	open_listener(&u, 0);
	hand_hello(&u, &h, 1, 0);
	for (int bit = 0; bit < 8 * NMTI_TOKEN_LEN; bit += 13) {
		bad = h;
		bad.token[bit / 8] ^= (uint8_t)(1 << bit % 8);
		n = join_bytes(&bad, buf, sizeof(buf), NMTI_JOIN_DATA);
		check_refused(&u, &h, buf, (size_t)n);
	}
	bad = h;
	bad.session++;
	n = join_bytes(&bad, buf, sizeof(buf), NMTI_JOIN_DATA);
	check_refused(&u, &h, buf, (size_t)n);
	assert_true(unit_logged(&u, nmt_reason_str(NMT_WHY_TOKEN)));
	check_comes_up(&u, &h);
	hand_close(&h);
	unit_close(&u);
}

static void test_two_streams(void **state)
{
	struct nmt_stream *first;
	struct hand h1, h2;
	struct unit u;

	(void)state;
	open_listener(&u, 0);
	hand_hello(&u, &h1, 1, 0);
	first = u.b;
	hand_hello(&u, &h2, 1, 0);
	assert_int_equal(h1.port, h2.port);
	assert_memory_not_equal(h1.token, h2.token, NMTI_TOKEN_LEN);
	check_comes_up(&u, &h2); /* exactly this stream */
	assert_int_equal(first->state, NMT_STATE_HANDSHAKE);
	u.a = u.b;
	u.b = first;
	check_comes_up(&u, &h1);
	hand_close(&h1);
	hand_close(&h2);
	unit_close(&u);
}

/* A token is used once: before the stream is open, and after. */
static void test_replay(void **state)
{
	uint8_t buf[256];
	struct hand h;
	struct unit u;
	int n;

	(void)state;
	open_listener(&u, 0);
	hand_hello(&u, &h, 1, 0);
	n = join_bytes(&h, buf, sizeof(buf), NMTI_JOIN_DATA);
	hand_join(&u, &h);
	check_refused(&u, &h, buf, (size_t)n);
	assert_int_equal(u.b->state, NMT_STATE_HANDSHAKE);
	hand_close(&h);
	hand_hello(&u, &h, 2, 0);
	check_comes_up(&u, &h);
	n = join_bytes(&h, buf, sizeof(buf), NMTI_JOIN_DATA);
	check_refused(&u, &h, buf, (size_t)n);
	assert_int_equal(u.b->state, NMT_STATE_OPEN);
	hand_close(&h);
	unit_close(&u);
}

static void test_malformed(void **state)
{
	uint8_t buf[NMTI_MSG_MAX + NMTI_MAGIC_LEN];
	struct hand h;
	struct unit u;
	int n;

	(void)state;
	open_listener(&u, 0);
	hand_hello(&u, &h, 1, 0);
	check_refused(&u, &h, "GET / HTTP/1.0\r\n", 16);
	n = hello_bytes(buf, sizeof(buf), 1, 0);
	check_refused(&u, &h, buf, (size_t)n);
	n = join_bytes(&h, buf, sizeof(buf), NMTI_JOIN_CONTROL); /* not in this version */
	check_refused(&u, &h, buf, (size_t)n);
	n = join_bytes(&h, buf, sizeof(buf), NMTI_JOIN_DATA);
	check_refused(&u, &h, buf, (size_t)n + 1); /* bytes before CONFIRM */
	buf[NMTI_MAGIC_LEN + 4] = 0x7f; /* length */
	check_refused(&u, &h, buf, (size_t)n);
	check_comes_up(&u, &h);
	hand_close(&h);
	unit_close(&u);
}

/* A JOIN cut anywhere. */
static void test_cut(void **state)
{
	uint8_t buf[256];
	struct hand h;
	struct unit u;
	int n, fd;

	(void)state;
	open_listener(&u, 0);
	hand_hello(&u, &h, 1, 0);
	n = join_bytes(&h, buf, sizeof(buf), NMTI_JOIN_DATA);
	for (int cut = 0; cut < n; cut++) {
		uint64_t before = declined(&u);

		fd = unit_tcp_connect(h.port);
		unit_write(fd, buf, (size_t)cut);
		shutdown(fd, SHUT_WR);
		wait_gone(&u, fd);
		assert_int_equal(declined(&u), before + 1);
		close(fd);
	}
	check_comes_up(&u, &h);
	hand_close(&h);
	unit_close(&u);
}

/* Silence, on the rendezvous port and of a client that never comes there. */
static void test_silent(void **state)
{
	struct hand h;
	struct unit u;
	int fd;

	(void)state;
	open_listener(&u, 30 * UNIT_MS);
	hand_hello(&u, &h, 1, 0);
	fd = unit_tcp_connect(h.port);
	wait_gone(&u, fd);
	assert_int_equal(unit_take(&u, u.b, NMT_EV_ERROR).status, -ETIMEDOUT);
	wait_gone(&u, h.ctl);
	close(fd);
	hand_close(&h);
	unit_close(&u);
}

/* The client goes while its stream waits. */
static void test_client_gone(void **state)
{
	struct hand h;
	struct unit u;

	(void)state;
	open_listener(&u, 0);
	hand_hello(&u, &h, 1, 0);
	close(h.ctl);
	h.ctl = dup(0);
	assert_int_equal(unit_take(&u, u.b, NMT_EV_ERROR).status, -ECONNRESET);
	hand_close(&h);
	unit_close(&u);
}

/* A domain that closes lets go of those who still talk. */
static void test_close_with_joins(void **state)
{
	int before, fd[3];
	struct hand h;
	struct unit u;

	(void)state;
	open_listener(&u, 0);
	before = unit_open_fds();
	hand_hello(&u, &h, 1, 0);
	for (int i = 0; i < 3; i++) {
		fd[i] = unit_tcp_connect(h.port);
		unit_write(fd[i], NMTI_MAGIC, (size_t)i);
	}
	unit_has(&u, u.l, 0);
	assert_int_equal(unit_open_fds(), before + 1 + 2 + 6);
	nmti_rdv_close(u.dom);
	for (int i = 0; i < 3; i++) {
		wait_gone(&u, fd[i]);
		close(fd[i]);
	}
	hand_close(&h);
	unit_close(&u);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_lazily),	     cmocka_unit_test(test_join),
	cmocka_unit_test(test_byte_by_byte), cmocka_unit_test(test_wrong_token),
	cmocka_unit_test(test_two_streams),  cmocka_unit_test(test_replay),
	cmocka_unit_test(test_malformed),    cmocka_unit_test(test_cut),
	cmocka_unit_test(test_silent),	     cmocka_unit_test(test_client_gone),
	cmocka_unit_test(test_close_with_joins),
};

UNIT_MAIN(tests)
