/* SPDX-License-Identifier: BSD-2-Clause */
/* The first bytes of a connection: who is let in, as what, and who is let go, and when. */
#include "hello.h"

static void open_mode(struct unit *u, uint32_t mode, int64_t timeout, uint32_t max_pending)
{
	struct nmt_stream_attr attr = NMT_STREAM_ATTR_INIT;
	char addr[NMT_ADDR_MAX];

	unit_open(u, "tcp");
	attr.mode = mode;
	attr.handshake_timeout = timeout;
	attr.max_pending = max_pending;
	unit_listen(u, &attr, addr);
}

static int client(struct unit *u)
{
	return unit_tcp_connect(unit_port(u->l->src.fd));
}

static uint64_t declined(struct unit *u)
{
	struct nmt_stats st = NMT_STATS_INIT;

	assert_int_equal(nmt_stats(u->dom, NULL, &st), 0);
	return st.declined;
}

/* The client is gone, counted, and the application has seen nothing of it. */
static void check_refused(struct unit *u, int fd, uint64_t before)
{
	wait_gone(u, fd);
	assert_int_equal(declined(u), before + 1);
	assert_false(unit_has(u, u->l, NMT_EV_ACCEPT));
	assert_int_equal(nmt_accept(u->l, NULL, &u->b), -EAGAIN);
	assert_int_equal(u->l->ngreets, 0);
	u->b = NULL;
	close(fd);
}

/* A raw stream comes out, whose first bytes are TEXT. */
static void check_raw(struct unit *u, const char *text)
{
	struct nmt_stream_info info = NMT_STREAM_INFO_INIT;
	size_t len = strlen(text);
	char buf[64] = "";

	unit_take(u, u->l, NMT_EV_ACCEPT);
	assert_int_equal(nmt_accept(u->l, NULL, &u->b), 0);
	assert_int_equal(nmt_stream_info(u->b, &info), 0);
	assert_int_equal(info.mode, NMT_MODE_RAW);
	unit_take(u, u->b, NMT_EV_CONNECTED);
	if (!len)
		return;
	unit_take(u, u->b, NMT_EV_READABLE);
	assert_int_equal(nmt_recv(u->b, buf, sizeof(buf), 0), len);
	assert_string_equal(buf, text);
}

/* ---- negotiated listeners ---- */

static void test_hello(void **state)
{
	uint8_t buf[NMTI_MSG_MAX];
	struct unit u;
	int fd, n;

	(void)state;
	open_mode(&u, NMT_MODE_NEGOTIATED, 0, 0);
	fd = client(&u);
	n = hello_bytes(buf, sizeof(buf), 1, 0);
	unit_write(fd, buf, (size_t)n);
	unit_take(&u, u.l, NMT_EV_ACCEPT);
	assert_int_equal(nmt_accept(u.l, NULL, &u.b), 0);
	assert_int_equal(u.b->state, NMT_STATE_HANDSHAKE);
	msg_read(fd, buf, sizeof(buf));
	assert_int_equal(msg_type(buf), NMTI_MSG_SELECT);
	assert_int_equal(declined(&u), 0);
	close(fd);
	unit_close(&u);
}

/* A HELLO that comes byte by byte is a HELLO. */
static void test_hello_in_pieces(void **state)
{
	uint8_t buf[NMTI_MSG_MAX];
	struct unit u;
	int fd, n;

	(void)state;
	for (uint32_t mode = NMT_MODE_NEGOTIATED; mode <= NMT_MODE_EITHER; mode++) {
		open_mode(&u, mode, 0, 0);
		fd = client(&u);
		n = hello_bytes(buf, sizeof(buf), 1, 0);
		for (int i = 0; i < n; i++) {
			assert_int_equal(nmt_accept(u.l, NULL, &u.b), -EAGAIN);
			unit_write(fd, buf + i, 1);
			unit_poll(&u, 0);
			unit_poll(&u, 0);
		}
		unit_take(&u, u.l, NMT_EV_ACCEPT);
		assert_int_equal(nmt_accept(u.l, NULL, &u.b), 0);
		assert_int_equal(u.b->tune.mode, NMT_MODE_NEGOTIATED);
		close(fd);
		unit_close(&u);
	}
}

static void test_garbage(void **state)
{
	static const char *const texts[] = { "GET / HTTP/1.0\r\n", "\x89PNG\r\n\x1a\n", "\x89NMT\n",
					     "\x89NMT\r\n\x1a\nxxxxxxxxxxxxxxxx" };
	struct unit u;
	int fd;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		open_mode(&u, NMT_MODE_NEGOTIATED, 0, 0);
		fd = client(&u);
		unit_write(fd, texts[i], strlen(texts[i]));
		check_refused(&u, fd, 0);
		unit_close(&u);
	}
}

/* A HELLO cut anywhere by the end of the connection. */
static void test_cut(void **state)
{
	uint8_t buf[NMTI_MSG_MAX];
	uint64_t before;
	struct unit u;
	int fd, n = hello_bytes(buf, sizeof(buf), 1, 0);

	(void)state;
	open_mode(&u, NMT_MODE_NEGOTIATED, 0, 0);
	for (int cut = 0; cut < n; cut += cut < 20 ? 1 : 7) {
		before = declined(&u);
		fd = client(&u);
		unit_write(fd, buf, (size_t)cut);
		shutdown(fd, SHUT_WR);
		check_refused(&u, fd, before);
	}
	unit_close(&u);
}

static void test_wrong_version(void **state)
{
	uint8_t buf[NMTI_MSG_MAX];
	struct nmti_decline m;
	struct unit u;
	int fd, n = hello_bytes(buf, sizeof(buf), 1, 0);

	(void)state;
	open_mode(&u, NMT_MODE_NEGOTIATED, 0, 0);
	fd = client(&u);
	buf[NMTI_MAGIC_LEN + 2]++; /* version of the header */
	unit_write(fd, buf, (size_t)n);
	pump(&u, fd);
	n = msg_read(fd, buf, sizeof(buf));
	assert_int_equal(nmti_decline_decode(buf, (size_t)n, &m), 0);
	assert_int_equal(m.reason, NMT_WHY_VERSION);
	check_refused(&u, fd, 0);
	unit_close(&u);
}

/* Refused before the application hears of it: what cannot be agreed on is in the HELLO. */
static void test_feature(void **state)
{
	uint8_t buf[NMTI_MSG_MAX];
	struct nmti_decline m;
	struct unit u;
	int fd, n = hello_bytes(buf, sizeof(buf), 1, NMTI_FEAT_RECORDS);

	(void)state;
	open_mode(&u, NMT_MODE_NEGOTIATED, 0, 0); /* without records */
	fd = client(&u);
	unit_write(fd, buf, (size_t)n);
	pump(&u, fd);
	n = msg_read(fd, buf, sizeof(buf));
	assert_int_equal(nmti_decline_decode(buf, (size_t)n, &m), 0);
	assert_int_equal(m.reason, NMT_WHY_FEATURE);
	check_refused(&u, fd, 0);
	unit_close(&u);
}

static void test_silent(void **state)
{
	struct unit u;
	int fd;

	(void)state;
	open_mode(&u, NMT_MODE_NEGOTIATED, 10 * UNIT_MS, 0);
	fd = client(&u);
	check_refused(&u, fd, 0);
	fd = client(&u);
	unit_write(fd, NMTI_MAGIC, NMTI_MAGIC_LEN); /* it knows the word, and then nothing */
	check_refused(&u, fd, 1);
	unit_close(&u);
}

/* The oldest silent one makes room for the newest. */
static void test_max_pending(void **state)
{
	struct unit u;
	int fd[5];

	(void)state;
	open_mode(&u, NMT_MODE_NEGOTIATED, 0, 3);
	for (int i = 0; i < 5; i++) {
		fd[i] = client(&u);
		unit_has(&u, u.l, 0);
		assert_in_range(u.l->ngreets, 1, 3);
	}
	wait_gone(&u, fd[0]);
	wait_gone(&u, fd[1]);
	assert_int_equal(u.l->ngreets, 3);
	assert_int_equal(declined(&u), 2);
	for (int i = 2; i < 5; i++) {
		struct pollfd p = { .fd = fd[i], .events = POLLIN };

		assert_int_equal(poll(&p, 1, 0), 0); /* still listened to */
	}
	for (int i = 0; i < 5; i++)
		close(fd[i]);
	unit_close(&u);
}

/* What nobody accepts stays in the kernel beyond attr.backlog, and comes when there is room. */
static void test_backlog(void **state)
{
	struct nmt_stream_attr attr = NMT_STREAM_ATTR_INIT;
	char addr[NMT_ADDR_MAX];
	struct nmt_stream *s;
	struct unit u;
	int fd[4];

	(void)state;
	unit_open(&u, "tcp");
	attr.mode = NMT_MODE_EITHER;
	attr.backlog = 2;
	unit_listen(&u, &attr, addr);
	for (int i = 0; i < 3; i++) {
		fd[i] = client(&u);
		unit_write(fd[i], "hello", 5);
		unit_has(&u, u.l, 0);
	}
	unit_has(&u, u.l, 0);
	assert_int_equal(u.l->queued, 2);
	for (int i = 0; i < 3; i++) {
		unit_take(&u, u.l, NMT_EV_ACCEPT);
		assert_int_equal(nmt_accept(u.l, NULL, &s), 0);
		close(fd[i]);
	}
	unit_close(&u);
}

/* ---- either listeners ---- */

static void test_either_raw(void **state)
{
	static const char *const texts[] = { "GET / HTTP/1.0\r\n", "x", "\x89PNG\r\n",
					     "\x89NMT\n" };
	struct unit u;
	int fd;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		open_mode(&u, NMT_MODE_EITHER, 0, 0);
		fd = client(&u);
		unit_write(fd, texts[i], strlen(texts[i]));
		check_raw(&u, texts[i]);
		close(fd);
		unit_close(&u);
	}
}

/* Silence, or a beginning that could still become the magic: raw once the time is over. */
static void test_either_silent(void **state)
{
	static const char *const texts[] = { "", "\x89", "\x89NM" };
	struct unit u;
	int fd;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		open_mode(&u, NMT_MODE_EITHER, 10 * UNIT_MS, 0);
		fd = client(&u);
		unit_write(fd, texts[i], strlen(texts[i]));
		check_raw(&u, texts[i]);
		assert_int_equal(declined(&u), 0);
		close(fd);
		unit_close(&u);
	}
}

/* A client that says nothing and ends: an empty raw stream. */
static void test_either_empty(void **state)
{
	struct unit u;
	char c;
	int fd;

	(void)state;
	open_mode(&u, NMT_MODE_EITHER, 0, 0);
	fd = client(&u);
	shutdown(fd, SHUT_WR);
	check_raw(&u, "");
	unit_take(&u, u.b, NMT_EV_READABLE);
	assert_int_equal(nmt_recv(u.b, &c, 1, 0), 0);
	close(fd);
	unit_close(&u);
}

/* A client that begins like the magic and ends there is a raw stream of those bytes. */
static void test_either_short(void **state)
{
	struct unit u;
	int fd;

	(void)state;
	open_mode(&u, NMT_MODE_EITHER, 10 * UNIT_MS, 0);
	fd = client(&u);
	unit_write(fd, "\x89N", 2);
	shutdown(fd, SHUT_WR);
	check_raw(&u, "\x89N");
	close(fd);
	unit_close(&u);
}

/* Behind the magic there is no way back to raw. */
static void test_either_liar(void **state)
{
	struct unit u;
	int fd;

	(void)state;
	open_mode(&u, NMT_MODE_EITHER, 0, 0);
	fd = client(&u);
	unit_write(fd, NMTI_MAGIC "GET / HTTP/1.0\r\n\r\n", NMTI_MAGIC_LEN + 18);
	check_refused(&u, fd, 0);
	unit_close(&u);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_hello),	     cmocka_unit_test(test_hello_in_pieces),
	cmocka_unit_test(test_garbage),	     cmocka_unit_test(test_cut),
	cmocka_unit_test(test_wrong_version), cmocka_unit_test(test_feature),
	cmocka_unit_test(test_silent),	     cmocka_unit_test(test_max_pending),
	cmocka_unit_test(test_backlog),	     cmocka_unit_test(test_either_raw),
	cmocka_unit_test(test_either_silent), cmocka_unit_test(test_either_empty),
	cmocka_unit_test(test_either_short), cmocka_unit_test(test_either_liar),
};

UNIT_MAIN(tests)
