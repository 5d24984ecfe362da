/* SPDX-License-Identifier: BSD-2-Clause */
/* Listeners: addresses, accepting (also elsewhere, also blocking), no descriptors left, closing. */
#include <sys/resource.h>

#include "hello.h"

static uint16_t port_of(const struct nmt_listener *l)
{
	return unit_port(l->src.fd);
}

/* ---- listening ---- */

static void test_arguments(void **state)
{
	static const char *const bad[] = { "", "host:", "127.0.0.1:x", "[::1", "1.2.3.4:5:6",
					   "a b:1" };
	struct nmt_stream_attr attr = NMT_STREAM_ATTR_INIT;
	struct nmt_stream *s;
	char buf[NMT_ADDR_MAX];
	struct unit u;

	(void)state;
	unit_open(&u, "tcp");
	assert_int_equal(nmt_listen(NULL, ":0", NULL, &u.l), -EINVAL);
	assert_int_equal(nmt_listen(u.dom, ":0", NULL, NULL), -EINVAL);
	assert_int_equal(nmt_listen(u.dom, NULL, NULL, &u.l), -EINVAL);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		unit_log_clear(&u);
		assert_int_equal(nmt_listen(u.dom, bad[i], NULL, &u.l), -EINVAL);
		assert_true(u.lines > 0);
	}
	attr.flags = 1u << 30;
	assert_int_equal(nmt_listen(u.dom, ":0", &attr, &u.l), -EINVAL);
	assert_int_equal(nmt_listener_close(NULL), -EINVAL);
	assert_int_equal(nmt_listener_addr(NULL, buf, sizeof(buf)), -EINVAL);
	assert_int_equal(nmt_accept(NULL, NULL, &s), -EINVAL);
	unit_close(&u);
}

static void test_address(void **state)
{
	char buf[NMT_ADDR_MAX];
	struct unit u;

	(void)state;
	unit_open(&u, "tcp");
	assert_int_equal(nmt_listen(u.dom, "127.0.0.1:0", NULL, &u.l), 0);
	assert_int_equal(nmt_listener_addr(u.l, buf, sizeof(buf)), 0);
	assert_int_equal(strncmp(buf, "127.0.0.1:", 10), 0);
	assert_true(atoi(buf + 10) > 0);
	assert_int_equal(nmt_listener_addr(u.l, buf, strlen(buf)), -ENOSPC);
	assert_int_equal(nmt_listener_addr(u.l, NULL, 80), -EINVAL);
	assert_int_equal(nmt_listen(u.dom, ":0", NULL, &u.l), 0);
	assert_int_equal(nmt_listener_addr(u.l, buf, sizeof(buf)), 0);
	assert_true(!strncmp(buf, "[::]:", 5) || !strncmp(buf, "0.0.0.0:", 8));
	assert_int_equal(nmt_listen(u.dom, "localhost:0", NULL, &u.l), 0);
	unit_close(&u);
}

static void test_in_use(void **state)
{
	struct nmt_stream_attr attr = NMT_STREAM_ATTR_INIT;
	char addr[NMT_ADDR_MAX];
	struct nmt_listener *l;
	struct unit u;

	(void)state;
	unit_open(&u, "tcp");
	unit_listen(&u, NULL, addr);
	unit_log_clear(&u);
	assert_int_equal(nmt_listen(u.dom, addr, NULL, &l), -EADDRINUSE);
	assert_true(unit_logged(&u, addr));
	assert_int_equal(nmt_listen(u.dom, "192.0.2.1:0", NULL, &l), -EADDRNOTAVAIL);
	assert_int_equal(nmt_listener_close(u.l), 0);
	assert_int_equal(nmt_listen(u.dom, addr, NULL, &l), 0); /* free again */
	attr.flags = NMT_STREAM_REUSEPORT;
	unit_listen(&u, &attr, addr);
	assert_int_equal(nmt_listen(u.dom, addr, &attr, &l), 0);
	unit_close(&u);
}

/* A wildcard takes IPv4 too, unless told otherwise. */
static void test_v6only(void **state)
{
	struct sockaddr_in sin = { .sin_family = AF_INET,
				   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct nmt_stream_attr attr = NMT_STREAM_ATTR_INIT;
	struct unit u;
	int fd;

	(void)state;
	unit_open(&u, "tcp");
	if (nmt_listen(u.dom, "[::]:0", NULL, &u.l)) {
		print_message("SKIP: no IPv6 here\n");
		unit_close(&u);
		skip();
	}
	close(unit_tcp_connect(port_of(u.l)));
	attr.flags = NMT_STREAM_V6ONLY;
	assert_int_equal(nmt_listen(u.dom, "[::]:0", &attr, &u.l), 0);
	sin.sin_port = htons(port_of(u.l));
	fd = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&sin, sizeof(sin)), -1);
	assert_int_equal(errno, ECONNREFUSED);
	close(fd);
	unit_close(&u);
}

/* ---- accepting ---- */

static void test_accept(void **state)
{
	struct nmt_stream_attr attr = NMT_STREAM_ATTR_INIT;
	struct nmt_stream *s[3];
	struct nmt_event ev;
	char addr[NMT_ADDR_MAX];
	struct unit u;
	int fd[3];

	(void)state;
	unit_open(&u, "tcp");
	attr.user = &attr;
	unit_listen(&u, &attr, addr);
	assert_int_equal(nmt_accept(u.l, NULL, &s[0]), -EAGAIN);
	assert_int_equal(nmt_accept(u.l, NULL, NULL), -EINVAL);
	for (int i = 0; i < 3; i++)
		fd[i] = unit_tcp_connect(port_of(u.l));
	ev = unit_take(&u, u.l, NMT_EV_ACCEPT);
	assert_null(ev.stream);
	assert_ptr_equal(ev.listener, u.l);
	assert_ptr_equal(ev.user, &attr);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(nmt_accept(u.l, NULL, &s[i]), 0);
		assert_ptr_equal(nmt_stream_user(s[i]), &attr);
	}
	assert_int_equal(nmt_accept(u.l, NULL, &u.b), -EAGAIN);
	assert_false(unit_has(&u, u.l, NMT_EV_ACCEPT)); /* there is none to tell of */
	fd[0] = (close(fd[0]), unit_tcp_connect(port_of(u.l)));
	unit_take(&u, u.l, NMT_EV_ACCEPT);
	for (int i = 0; i < 3; i++)
		close(fd[i]);
	u.b = NULL;
	unit_close(&u);
}

/* An application that takes one connection an event gets the others too. */
static void test_accept_one_by_one(void **state)
{
	char addr[NMT_ADDR_MAX];
	struct nmt_stream *s;
	struct unit u;
	int fd[5];

	(void)state;
	unit_open(&u, "tcp");
	unit_listen(&u, NULL, addr);
	for (int i = 0; i < 5; i++)
		fd[i] = unit_tcp_connect(port_of(u.l));
	for (int i = 0; i < 5; i++) {
		unit_take(&u, u.l, NMT_EV_ACCEPT);
		assert_int_equal(nmt_accept(u.l, NULL, &s), 0);
		close(fd[i]);
	}
	unit_close(&u);
}

static void test_accept_elsewhere(void **state)
{
	struct nmt_domain *dom;
	char addr[NMT_ADDR_MAX];
	struct unit u, other;
	int fd;

	(void)state;
	unit_open(&u, "tcp");
	unit_open(&other, "tcp");
	unit_listen(&u, NULL, addr);
	fd = unit_tcp_connect(port_of(u.l));
	unit_take(&u, u.l, NMT_EV_ACCEPT);
	assert_int_equal(nmt_accept(u.l, other.dom, &u.b), -EINVAL);
	assert_int_equal(nmt_domain_open(u.ctx, "tcp", NULL, &dom), 0);
	assert_int_equal(nmt_accept(u.l, dom, &u.b), 0);
	assert_ptr_equal(u.b->dom, dom);
	assert_int_equal(nmt_accept(u.l, dom, &u.b), -EAGAIN);
	assert_int_equal(nmt_domain_close(dom), 0);
	u.b = NULL;
	close(fd);
	unit_close(&other);
	unit_close(&u);
}

/* ---- accepting, blocking ---- */

static void open_spinning(struct unit *u)
{
	struct nmt_domain_attr attr = NMT_DOMAIN_ATTR_INIT;

	attr.spin_ns = 10 * UNIT_MS;
	unit_open_with(u, "tcp", &attr);
}

/* The connection is there before the call, and is found while it spins or when it sleeps. */
static void test_blocking(void **state)
{
	struct nmt_stream_attr attr = NMT_STREAM_ATTR_INIT;
	char addr[NMT_ADDR_MAX];
	struct unit u;
	int fd;

	(void)state;
	attr.flags = NMT_STREAM_BLOCKING;
	for (int spin = 0; spin < 2; spin++) {
		if (spin)
			open_spinning(&u);
		else
			unit_open(&u, "tcp");
		unit_listen(&u, &attr, addr);
		fd = unit_tcp_connect(port_of(u.l));
		assert_int_equal(nmt_accept(u.l, NULL, &u.b), 0);
		assert_int_equal(u.b->state, NMT_STATE_OPEN);
		close(fd);
		unit_close(&u);
	}
}

static void *connect_blocking(void *addr)
{
	struct nmt_stream_attr attr = NMT_STREAM_ATTR_INIT;
	struct nmt_stream *s;
	struct unit u;
	int rc;

	unit_open(&u, "tcp");
	attr.mode = NMT_MODE_NEGOTIATED;
	attr.flags = NMT_STREAM_BLOCKING;
	rc = nmt_connect(u.dom, addr, &attr, &s);
	unit_close(&u);
	return (void *)(intptr_t)rc;
}

/* Only a stream that came up is given out; who talks rubbish is passed over. */
static void blocking_negotiated(void (*open)(struct unit *u))
{
	struct nmt_stream_attr attr = NMT_STREAM_ATTR_INIT;
	char addr[NMT_ADDR_MAX];
	pthread_t thread;
	struct unit u;
	void *rc;
	int fd;

	open(&u);
	attr.mode = NMT_MODE_NEGOTIATED;
	attr.flags = NMT_STREAM_BLOCKING;
	unit_listen(&u, &attr, addr);
	fd = unit_tcp_connect(port_of(u.l));
	unit_write(fd, "GET / HTTP/1.0\r\n\r\n", 18);
	assert_int_equal(pthread_create(&thread, NULL, connect_blocking, addr), 0);
	assert_int_equal(nmt_accept(u.l, NULL, &u.b), 0);
	assert_int_equal(u.b->state, NMT_STATE_OPEN);
	assert_int_equal(u.b->tune.mode, NMT_MODE_NEGOTIATED);
	pthread_join(thread, &rc);
	assert_null(rc);
	close(fd);
	unit_close(&u);
}

static void open_sleeping(struct unit *u)
{
	unit_open(u, "tcp");
}

static void test_blocking_negotiated(void **state)
{
	(void)state;
	blocking_negotiated(open_sleeping);
	blocking_negotiated(open_spinning);
}

/* ---- no room ---- */

/* The connection keeps waiting, the application is told, and it comes once there is room. */
static void no_descriptors(uint32_t mode)
{
	struct nmt_stream_attr attr = NMT_STREAM_ATTR_INIT;
	struct rlimit old, low;
	char addr[NMT_ADDR_MAX];
	struct unit u;
	int fd, next;

	unit_open(&u, "tcp");
	attr.mode = mode;
	unit_listen(&u, &attr, addr);
	fd = unit_tcp_connect(port_of(u.l));
	unit_write(fd, "hello", 5);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	next = dup(0);
	close(next);
	low = old;
	low.rlim_cur = (rlim_t)next;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
	unit_log_clear(&u);
	if (mode == NMT_MODE_RAW) {
		unit_take(&u, u.l, NMT_EV_ACCEPT);
		assert_int_equal(nmt_accept(u.l, NULL, &u.b), -EMFILE);
		unit_take(&u, u.l, NMT_EV_ACCEPT); /* again */
		assert_int_equal(nmt_accept(u.l, NULL, &u.b), -EMFILE);
	} else {
		assert_false(unit_has(&u, u.l, NMT_EV_ACCEPT));
	}
	assert_true(unit_logged(&u, "RLIMIT_NOFILE"));
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	unit_take(&u, u.l, NMT_EV_ACCEPT);
	assert_int_equal(nmt_accept(u.l, NULL, &u.b), 0);
	unit_take(&u, u.b, NMT_EV_READABLE);
	close(fd);
	unit_close(&u);
}

static void test_no_descriptors(void **state)
{
	(void)state;
	no_descriptors(NMT_MODE_RAW);
	no_descriptors(NMT_MODE_EITHER);
}

/* ---- closing ---- */

static void close_resets(uint32_t mode, bool speak)
{
	struct nmt_stream_attr attr = NMT_STREAM_ATTR_INIT;
	char addr[NMT_ADDR_MAX], c;
	struct unit u;
	int fd, before;

	unit_open(&u, "tcp");
	before = unit_open_fds();
	attr.mode = mode;
	unit_listen(&u, &attr, addr);
	fd = unit_tcp_connect(port_of(u.l));
	if (speak)
		unit_write(fd, "hello", 5);
	unit_has(&u, u.l, 0);
	assert_int_equal(nmt_listener_close(u.l), 0);
	assert_true(unit_fd_ready(fd));
	assert_int_equal(recv(fd, &c, 1, 0), -1);
	assert_int_equal(errno, ECONNRESET);
	close(fd);
	assert_int_equal(unit_open_fds(), before);
	unit_close(&u);
}

/* "connections not accepted yet are reset", wherever they wait. */
static void test_close_resets(void **state)
{
	(void)state;
	close_resets(NMT_MODE_RAW, false);
	close_resets(NMT_MODE_RAW, true);
	close_resets(NMT_MODE_EITHER, false);
	close_resets(NMT_MODE_EITHER, true);
	close_resets(NMT_MODE_NEGOTIATED, false);
}

/* Accepted streams live on, and events of the listener that were not taken are gone. */
static void test_close_and_go_on(void **state)
{
	char addr[NMT_ADDR_MAX], c;
	struct unit u;
	int fd, more;

	(void)state;
	unit_open(&u, "tcp");
	unit_listen(&u, NULL, addr);
	fd = unit_tcp_connect(port_of(u.l));
	unit_take(&u, u.l, NMT_EV_ACCEPT);
	assert_int_equal(nmt_accept(u.l, NULL, &u.b), 0);
	more = unit_tcp_connect(port_of(u.l));
	nmti_progress(u.dom, 0);
	nmti_listener_tell(u.l);
	assert_int_equal(nmt_listener_close(u.l), 0);
	assert_false(unit_has(&u, u.l, NMT_EV_ACCEPT));
	unit_write(fd, "x", 1);
	unit_take(&u, u.b, NMT_EV_READABLE);
	assert_int_equal(nmt_recv(u.b, &c, 1, 0), 1);
	close(fd);
	close(more);
	unit_close(&u);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_arguments),
	cmocka_unit_test(test_address),
	cmocka_unit_test(test_in_use),
	cmocka_unit_test(test_v6only),
	cmocka_unit_test(test_accept),
	cmocka_unit_test(test_accept_one_by_one),
	cmocka_unit_test(test_accept_elsewhere),
	cmocka_unit_test(test_blocking),
	cmocka_unit_test(test_blocking_negotiated),
	cmocka_unit_test(test_no_descriptors),
	cmocka_unit_test(test_close_resets),
	cmocka_unit_test(test_close_and_go_on),
};

UNIT_MAIN(tests)
