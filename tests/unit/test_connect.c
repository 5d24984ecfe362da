/* SPDX-License-Identifier: BSD-2-Clause */
/* nmt_connect: what is refused at once, what comes by event, names, addresses in turn. */
#include "hello.h"

static int state_of(const struct nmt_stream *s)
{
	struct nmt_stream_info info = NMT_STREAM_INFO_INIT;

	assert_int_equal(nmt_stream_info(s, &info), 0);
	return (int)info.state;
}

static void test_arguments(void **state)
{
	static const char *const bad[] = { "", "host:", "127.0.0.1:x", "[::1", "1.2.3.4:5:6",
					   "a b:1" };
	struct nmt_stream_attr attr = NMT_STREAM_ATTR_INIT;
	struct unit u;

	(void)state;
	unit_open(&u, "tcp");
	assert_int_equal(nmt_connect(NULL, ":1", NULL, &u.a), -EINVAL);
	assert_int_equal(nmt_connect(u.dom, ":1", NULL, NULL), -EINVAL);
	assert_int_equal(nmt_connect(u.dom, NULL, NULL, &u.a), -EINVAL);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(nmt_connect(u.dom, bad[i], NULL, &u.a), -EINVAL);
	attr.mode = NMT_MODE_EITHER;
	assert_int_equal(nmt_connect(u.dom, ":1", &attr, &u.a), -EINVAL);
	attr.mode = NMT_MODE_RAW;
	attr.flags = NMT_STREAM_RECORDS;
	assert_int_equal(nmt_connect(u.dom, ":1", &attr, &u.a), -EOPNOTSUPP);
	assert_int_equal(u.dom->nstreams, 0);
	u.a = NULL;
	unit_close(&u);
}

static void test_bad_local_address(void **state)
{
	static const char *const bad[] = { "[::", "a b", "1.2.3.4:x", "1.2.3.4:5:6" };
	struct nmt_stream_attr attr = NMT_STREAM_ATTR_INIT;
	struct unit u;

	(void)state;
	unit_open(&u, "tcp");
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		attr.local_addr = bad[i];
		assert_int_equal(nmt_connect(u.dom, "127.0.0.1:1", &attr, &u.a), -EINVAL);
	}
	u.a = NULL;
	unit_close(&u);
}

/* ---- failing by event ---- */

static void check_error(struct unit *u, int want)
{
	struct nmt_event ev = unit_take(u, u->a, NMT_EV_ERROR);

	assert_int_equal(ev.status, want);
	assert_int_equal(state_of(u->a), NMT_STATE_FAILED);
	assert_false(unit_has(u, u->a, NMT_EV_CONNECTED));
	assert_false(unit_has(u, u->a, NMT_EV_ERROR)); /* once */
}

/* A port on which nobody listens: it was ours a moment ago. */
static uint16_t dead_port(void)
{
	int fd = unit_tcp_listen();
	uint16_t port = unit_port(fd);

	close(fd);
	return port;
}

static void test_refused(void **state)
{
	struct nmt_stream_attr attr = NMT_STREAM_ATTR_INIT;
	char addr[64];
	struct unit u;

	(void)state;
	unit_open(&u, "tcp");
	snprintf(addr, sizeof(addr), "127.0.0.1:%u", dead_port());
	assert_int_equal(nmt_connect(u.dom, addr, NULL, &u.a), 0);
	check_error(&u, -ECONNREFUSED);
	assert_true(unit_logged(&u, addr)); /* whom, and why */
	attr.flags = NMT_STREAM_BLOCKING;
	u.a = NULL;
	assert_int_equal(nmt_connect(u.dom, addr, &attr, &u.a), -ECONNREFUSED);
	assert_null(u.a);
	assert_int_equal(u.dom->nstreams, 1);
	unit_close(&u);
}

static void test_unknown_name(void **state)
{
	struct unit u;

	(void)state;
	unit_open(&u, "tcp");
	assert_int_equal(nmt_connect(u.dom, "no..such..name:5", NULL, &u.a), 0);
	check_error(&u, -ENOENT);
	unit_close(&u);
}

static void test_bad_device(void **state)
{
	struct nmt_stream_attr attr = NMT_STREAM_ATTR_INIT;
	struct unit u;
	int l = unit_tcp_listen(), rc;
	char addr[64];

	(void)state;
	unit_open(&u, "tcp");
	snprintf(addr, sizeof(addr), "127.0.0.1:%u", unit_port(l));
	attr.bind_device = "nosuch0";
	rc = nmt_connect(u.dom, addr, &attr, &u.a);
	if (!rc)
		rc = unit_take(&u, u.a, NMT_EV_ERROR).status;
	else
		u.a = NULL;
	assert_int_equal(rc, -ENODEV);
	assert_true(unit_logged(&u, "nosuch0"));
	close(l);
	unit_close(&u);
}

/* Connects in negotiated mode to a plain server; returns the server's end. */
static int negotiate(struct unit *u, int64_t timeout)
{
	struct nmt_stream_attr attr = NMT_STREAM_ATTR_INIT;
	int l = unit_tcp_listen(), fd;
	char addr[64];

	unit_open(u, "tcp");
	attr.mode = NMT_MODE_NEGOTIATED;
	attr.connect_timeout = timeout;
	snprintf(addr, sizeof(addr), "127.0.0.1:%u", unit_port(l));
	assert_int_equal(nmt_connect(u->dom, addr, &attr, &u->a), 0);
	fd = unit_tcp_accept(l);
	close(l);
	return fd;
}

/* The deadline covers the handshake with a peer that accepts and then says nothing. */
static void test_timeout(void **state)
{
	struct unit u;
	int fd = negotiate(&u, 20 * UNIT_MS);

	(void)state;
	check_error(&u, -ETIMEDOUT);
	wait_gone(&u, fd);
	close(fd);
	unit_close(&u);
}

static void test_not_libnmt(void **state)
{
	struct unit u;
	int fd = negotiate(&u, 0);

	(void)state;
	unit_write(fd, "220 mail.example ESMTP\r\n", 24);
	check_error(&u, -EPROTO);
	close(fd);
	unit_close(&u);
}

/* An echo server sends our own HELLO back. */
static void test_echo(void **state)
{
	uint8_t buf[NMTI_MSG_MAX + NMTI_MAGIC_LEN];
	struct unit u;
	int fd = negotiate(&u, 0), n;

	(void)state;
	pump(&u, fd);
	unit_read(fd, buf, NMTI_MAGIC_LEN);
	n = msg_read(fd, buf + NMTI_MAGIC_LEN, NMTI_MSG_MAX);
	unit_write(fd, buf, (size_t)n + NMTI_MAGIC_LEN);
	check_error(&u, -EPROTO);
	close(fd);
	unit_close(&u);
}

static void test_declined(void **state)
{
	static const struct {
		uint16_t reason;
		int err;
	} cases[] = {
		{ NMT_WHY_VERSION, -EPROTONOSUPPORT }, { NMT_WHY_NO_PROVIDER, -EPROTONOSUPPORT },
		{ NMT_WHY_BUSY, -ECONNABORTED },       { NMT_WHY_FEATURE, -ECONNABORTED },
		{ 60000, -ECONNABORTED },
	};
	struct nmt_stream_info info = NMT_STREAM_INFO_INIT;
	uint8_t buf[256];
	struct unit u;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct nmti_decline m = { .reason = cases[i].reason, .text = "no thank you" };
		int fd = negotiate(&u, 0), n = nmti_decline_encode(&m, buf, sizeof(buf));

		unit_write(fd, buf, (size_t)n);
		check_error(&u, cases[i].err);
		assert_int_equal(nmt_stream_info(u.a, &info), 0);
		assert_int_equal(info.why, cases[i].reason);
		assert_true(unit_logged(&u, "no thank you"));
		close(fd);
		unit_close(&u);
	}
}

/* ---- names and addresses ---- */

static void test_name(void **state)
{
	char addr[64];
	struct unit u;
	int l = unit_tcp_listen();

	(void)state;
	unit_open(&u, "tcp");
	snprintf(addr, sizeof(addr), "localhost:%u", unit_port(l));
	assert_int_equal(nmt_connect(u.dom, addr, NULL, &u.a), 0);
	assert_int_equal(state_of(u.a), NMT_STATE_RESOLVING);
	unit_take(&u, u.a, NMT_EV_CONNECTED);
	assert_int_equal(state_of(u.a), NMT_STATE_OPEN);
	close(l);
	unit_close(&u);
}

/* ":port" tries ::1 first; the server is on 127.0.0.1 only. */
static void test_in_turn(void **state)
{
	struct nmt_stream_info info = NMT_STREAM_INFO_INIT;
	char addr[64];
	struct unit u;
	int l = unit_tcp_listen();

	(void)state;
	unit_open(&u, "tcp");
	snprintf(addr, sizeof(addr), ":%u", unit_port(l));
	assert_int_equal(nmt_connect(u.dom, addr, NULL, &u.a), 0);
	unit_take(&u, u.a, NMT_EV_CONNECTED);
	assert_int_equal(nmt_stream_info(u.a, &info), 0);
	assert_int_equal(strncmp(info.peer, "127.0.0.1:", 10), 0);
	close(l);
	unit_close(&u);
}

/* Connects from LOCAL; returns the address that the stream has. */
static void connect_from(struct unit *u, const char *listen, const char *local,
			 struct nmt_stream_info *info)
{
	struct nmt_stream_attr attr = NMT_STREAM_ATTR_INIT;
	char addr[NMT_ADDR_MAX];

	info->size = sizeof(*info);
	assert_int_equal(nmt_listen(u->dom, listen, NULL, &u->l), 0);
	assert_int_equal(nmt_listener_addr(u->l, addr, sizeof(addr)), 0);
	attr.local_addr = local;
	assert_int_equal(nmt_connect(u->dom, addr, &attr, &u->a), 0);
	unit_take(u, u->a, NMT_EV_CONNECTED);
	assert_int_equal(nmt_stream_info(u->a, info), 0);
	nmt_abort(u->a);
	unit_take(u, u->a, NMT_EV_CLOSED);
	u->a = NULL;
}

static void test_local_address(void **state)
{
	struct nmt_stream_info info;
	char want[64];
	struct unit u;

	(void)state;
	unit_open(&u, "tcp");
	snprintf(want, sizeof(want), "127.0.0.2:%u", dead_port());
	connect_from(&u, "127.0.0.1:0", want, &info);
	assert_string_equal(info.local, want);
	connect_from(&u, "127.0.0.1:0", "127.0.0.3", &info); /* an address alone binds no port */
	assert_int_equal(strncmp(info.local, "127.0.0.3:", 10), 0);
	assert_int_not_equal(atoi(info.local + 10), NMT_DEFAULT_PORT);
	connect_from(&u, "127.0.0.1:0", "127.0.0.3:0", &info);
	assert_int_not_equal(atoi(info.local + 10), 0);
	unit_close(&u);
}

static void test_local_address_v6(void **state)
{
	static const char *const local[] = { "::1", "[::1]", "[::1]:0" };
	struct nmt_stream_info info;
	struct unit u;

	(void)state;
	unit_open(&u, "tcp");
	if (nmt_listen(u.dom, "[::1]:0", NULL, &u.l)) {
		print_message("SKIP: no IPv6 here\n");
		unit_close(&u);
		skip();
	}
	for (size_t i = 0; i < ARRAY_LEN(local); i++) {
		connect_from(&u, "[::1]:0", local[i], &info);
		assert_int_equal(strncmp(info.local, "[::1]:", 6), 0);
		assert_int_not_equal(atoi(info.local + 6), NMT_DEFAULT_PORT);
	}
	unit_close(&u);
}

static void test_local_address_not_ours(void **state)
{
	struct nmt_stream_attr attr = NMT_STREAM_ATTR_INIT;
	struct unit u;

	(void)state;
	unit_open(&u, "tcp");
	attr.local_addr = "192.0.2.1";
	assert_int_equal(nmt_connect(u.dom, "127.0.0.1:1", &attr, &u.a), 0);
	check_error(&u, -EADDRNOTAVAIL);
	unit_close(&u);
}

/* ---- giving up ---- */

/* Closing in each state of the set-up leaves no descriptor and ends with NMT_EV_CLOSED. */
static void test_close_early(void **state)
{
	static const char *const hosts[] = { "127.0.0.1", "localhost" };
	struct nmt_stream_attr attr = NMT_STREAM_ATTR_INIT;
	char addr[64];
	struct unit u;
	int l = unit_tcp_listen(), before;
	int64_t limit = nmti_now() + UNIT_LIMIT;

	(void)state;
	unit_open(&u, "tcp");
	before = unit_open_fds();
	attr.mode = NMT_MODE_NEGOTIATED;
	for (int polls = 0; polls < 10; polls++) {
		snprintf(addr, sizeof(addr), "%s:%u", hosts[polls % 2], unit_port(l));
		assert_int_equal(nmt_connect(u.dom, addr, &attr, &u.a), 0);
		for (int i = 0; i < polls / 2; i++)
			unit_poll(&u, 0);
		assert_int_equal(polls % 3 ? nmt_close(u.a) : nmt_abort(u.a), 0);
		unit_take(&u, u.a, NMT_EV_CLOSED);
	}
	while (unit_open_fds() > before) /* the look-ups' helper threads end by themselves */
		assert_true(nmti_now() < limit);
	u.a = NULL;
	close(l);
	unit_close(&u);
}

static void test_blocking(void **state)
{
	struct nmt_stream_attr attr = NMT_STREAM_ATTR_INIT;
	char addr[64];
	struct unit u;
	int l = unit_tcp_listen();

	(void)state;
	attr.flags = NMT_STREAM_BLOCKING;
	for (int spin = 0; spin < 2; spin++) {
		if (spin)
			unit_open_with(&u, "tcp", NULL);
		else
			unit_open(&u, "tcp");
		snprintf(addr, sizeof(addr), "localhost:%u", unit_port(l));
		assert_int_equal(nmt_connect(u.dom, addr, &attr, &u.a), 0);
		assert_int_equal(state_of(u.a), NMT_STATE_OPEN);
		unit_take(&u, u.a, NMT_EV_CONNECTED); /* told all the same */
		unit_close(&u);
	}
	close(l);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_arguments),
	cmocka_unit_test(test_bad_local_address),
	cmocka_unit_test(test_refused),
	cmocka_unit_test(test_unknown_name),
	cmocka_unit_test(test_bad_device),
	cmocka_unit_test(test_timeout),
	cmocka_unit_test(test_not_libnmt),
	cmocka_unit_test(test_echo),
	cmocka_unit_test(test_declined),
	cmocka_unit_test(test_name),
	cmocka_unit_test(test_in_turn),
	cmocka_unit_test(test_local_address),
	cmocka_unit_test(test_local_address_v6),
	cmocka_unit_test(test_local_address_not_ours),
	cmocka_unit_test(test_close_early),
	cmocka_unit_test(test_blocking),
};

UNIT_MAIN(tests)
