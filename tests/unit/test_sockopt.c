/* SPDX-License-Identifier: BSD-2-Clause */
/* TCP options: what attributes and nmt_stream_setopt say is what the sockets have. */
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/epoll.h>

#include "unit.h"

static int get(int fd, int level, int name)
{
	socklen_t len = sizeof(int);
	int v = -1;

	assert_int_equal(getsockopt(fd, level, name, &v, &len), 0);
	return v;
}

static void check_congestion(int fd, const char *want)
{
	char text[16] = "";
	socklen_t len = sizeof(text);

	assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, text, &len), 0);
	assert_string_equal(text, want);
}

/* ---- attributes ---- */

static void test_defaults(void **state)
{
	struct nmt_stream *both[2];
	struct unit u;

	(void)state;
	unit_open(&u, "tcp");
	unit_pair(&u, NULL);
	both[0] = u.a;
	both[1] = u.b;
	for (int i = 0; i < 2; i++) {
		int fd = nmt_stream_fd(both[i]);

		assert_true(fd >= 0);
		assert_int_equal(get(fd, IPPROTO_TCP, TCP_NODELAY), 1);
		assert_int_equal(get(fd, SOL_SOCKET, SO_KEEPALIVE), 0);
		assert_int_equal(get(fd, IPPROTO_TCP, TCP_USER_TIMEOUT), 0);
	}
	unit_close(&u);
}

static void set_all(struct nmt_stream_attr *attr)
{
	attr->flags = NMT_STREAM_NAGLE;
	attr->sndbuf = 50000;
	attr->rcvbuf = 60000;
	attr->keepalive_idle = 33;
	attr->keepalive_intvl = 7;
	attr->keepalive_cnt = 5;
	attr->user_timeout_ms = 4321;
	attr->tos = 0x10;
	attr->congestion = "reno";
}

static void check_all(int fd)
{
	assert_int_equal(get(fd, IPPROTO_TCP, TCP_NODELAY), 0);
	assert_int_equal(get(fd, SOL_SOCKET, SO_SNDBUF), 100000); /* the kernel doubles it */
	assert_int_equal(get(fd, SOL_SOCKET, SO_RCVBUF), 120000);
	assert_int_equal(get(fd, SOL_SOCKET, SO_KEEPALIVE), 1);
	assert_int_equal(get(fd, IPPROTO_TCP, TCP_KEEPIDLE), 33);
	assert_int_equal(get(fd, IPPROTO_TCP, TCP_KEEPINTVL), 7);
	assert_int_equal(get(fd, IPPROTO_TCP, TCP_KEEPCNT), 5);
	assert_int_equal(get(fd, IPPROTO_TCP, TCP_USER_TIMEOUT), 4321);
	assert_int_equal(get(fd, IPPROTO_IP, IP_TOS), 0x10);
	check_congestion(fd, "reno");
}

static void test_attributes(void **state)
{
	struct nmt_stream_attr attr = NMT_STREAM_ATTR_INIT;
	struct unit u;

	(void)state;
	unit_open(&u, "tcp");
	set_all(&attr);
	unit_pair(&u, &attr);
	check_all(nmt_stream_fd(u.a));
	check_all(nmt_stream_fd(u.b));
	unit_close(&u);
}

/* An IPv4 client of a dual-stack listener gets what was asked for too. */
static void test_dual_stack(void **state)
{
	struct nmt_stream_attr attr = NMT_STREAM_ATTR_INIT;
	char addr[NMT_ADDR_MAX];
	struct unit u;

	(void)state;
	unit_open(&u, "tcp");
	set_all(&attr);
	assert_int_equal(nmt_listen(u.dom, ":0", &attr, &u.l), 0);
	snprintf(addr, sizeof(addr), "127.0.0.1:%u", unit_port(u.l->src.fd));
	unit_join(&u, addr, &attr);
	check_all(nmt_stream_fd(u.b));
	unit_close(&u);
}

static void test_v6(void **state)
{
	struct nmt_stream_attr attr = NMT_STREAM_ATTR_INIT;
	char addr[NMT_ADDR_MAX];
	struct unit u;

	(void)state;
	unit_open(&u, "tcp");
	attr.tos = 0x20;
	if (nmt_listen(u.dom, "[::1]:0", &attr, &u.l)) {
		print_message("SKIP: no IPv6 here\n");
		unit_close(&u);
		skip();
	}
	assert_int_equal(nmt_listener_addr(u.l, addr, sizeof(addr)), 0);
	unit_join(&u, addr, &attr);
	assert_int_equal(get(nmt_stream_fd(u.a), IPPROTO_IPV6, IPV6_TCLASS), 0x20);
	assert_int_equal(get(nmt_stream_fd(u.b), IPPROTO_IPV6, IPV6_TCLASS), 0x20);
	unit_close(&u);
}

static void test_device(void **state)
{
	struct nmt_stream_attr attr = NMT_STREAM_ATTR_INIT;
	char text[16] = "";
	socklen_t len = sizeof(text);
	struct unit u;

	(void)state;
	unit_open(&u, "tcp/lo");
	unit_pair(&u, NULL);
	assert_int_equal(getsockopt(nmt_stream_fd(u.a), SOL_SOCKET, SO_BINDTODEVICE, text, &len),
			 0);
	assert_string_equal(text, "lo");
	unit_close(&u);
	unit_open(&u, "tcp");
	attr.bind_device = "lo";
	unit_pair(&u, &attr);
	len = sizeof(text);
	memset(text, 0, sizeof(text));
	assert_int_equal(getsockopt(nmt_stream_fd(u.b), SOL_SOCKET, SO_BINDTODEVICE, text, &len),
			 0);
	assert_string_equal(text, "lo");
	unit_close(&u);
}

/* A value that the kernel refuses fails, with a line that names it, and no descriptor is left. */
static void test_refused(void **state)
{
	struct nmt_stream_attr attr = NMT_STREAM_ATTR_INIT;
	int before;
	struct unit u;

	(void)state;
	unit_open(&u, "tcp");
	before = unit_open_fds();
	attr.congestion = "nosuch";
	unit_log_clear(&u);
	assert_int_equal(nmti_socket(u.ctx, AF_INET, &attr, ""), -ENOENT);
	assert_true(unit_logged(&u, "nosuch"));
	assert_int_equal(nmt_listen(u.dom, "127.0.0.1:0", &attr, &u.l), -ENOENT);
	attr.congestion = NULL;
	attr.bind_device = "nosuch0";
	assert_int_equal(nmti_socket(u.ctx, AF_INET, &attr, ""), -ENODEV);
	attr.bind_device = NULL;
	assert_int_equal(nmti_socket(u.ctx, AF_INET, &attr, "nosuch0"), -ENODEV);
	attr.keepalive_idle = 1000000;
	assert_int_equal(nmti_socket(u.ctx, AF_INET, &attr, ""), -EINVAL);
	assert_true(unit_logged(&u, "TCP_KEEPIDLE"));
	assert_int_equal(unit_open_fds(), before);
	unit_close(&u);
}

/* The control channel has a liveness of its own; the data socket has none. */
static void test_control(void **state)
{
	struct nmt_stream_attr attr = NMT_STREAM_ATTR_INIT;
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	(void)state;
	nmti_socket_control(fd, &attr);
	assert_int_equal(get(fd, SOL_SOCKET, SO_KEEPALIVE), 1);
	assert_int_equal(get(fd, IPPROTO_TCP, TCP_KEEPIDLE), 60);
	assert_true(get(fd, IPPROTO_TCP, TCP_USER_TIMEOUT) > 60000);
	attr.keepalive_idle = 5;
	attr.keepalive_intvl = 3;
	nmti_socket_control(fd, &attr);
	assert_int_equal(get(fd, IPPROTO_TCP, TCP_KEEPIDLE), 5);
	assert_int_equal(get(fd, IPPROTO_TCP, TCP_KEEPINTVL), 3);
	close(fd);
}

/* A connect that is under way is asked for its result when epoll says something of it. */
static void test_connect_result(void **state)
{
	struct sockaddr_in to = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(to);
	int l = socket(AF_INET, SOCK_STREAM, 0);

	(void)state;
	assert_int_equal(bind(l, (struct sockaddr *)&to, len), 0);
	assert_int_equal(getsockname(l, (struct sockaddr *)&to, &len), 0);
	for (int listens = 0; listens < 2; listens++) {
		int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
		struct pollfd pfd = { .fd = fd, .events = POLLOUT };

		if (listens)
			assert_int_equal(listen(l, 1), 0);
		assert_int_equal(connect(fd, (struct sockaddr *)&to, len), -1);
		assert_int_equal(errno, EINPROGRESS);
		assert_int_equal(nmti_connect_result(fd, EPOLLIN), -EAGAIN);
		assert_int_equal(poll(&pfd, 1, 1000), 1);
		assert_int_equal(nmti_connect_result(fd, (uint32_t)pfd.revents),
				 listens ? 0 : -ECONNREFUSED);
		close(fd);
	}
	close(l);
	assert_int_equal(nmti_connect_result(-1, EPOLLERR), -EBADF);
}

/* ---- options of an open stream ---- */

static const struct {
	enum nmt_opt opt;
	int level, name;
	int64_t set, kernel;
} options[] = {
	{ NMT_OPT_NODELAY, IPPROTO_TCP, TCP_NODELAY, 0, 0 },
	{ NMT_OPT_NODELAY, IPPROTO_TCP, TCP_NODELAY, 1, 1 },
	{ NMT_OPT_SNDBUF, SOL_SOCKET, SO_SNDBUF, 40000, 80000 },
	{ NMT_OPT_RCVBUF, SOL_SOCKET, SO_RCVBUF, 40000, 80000 },
	{ NMT_OPT_KEEPALIVE_IDLE, IPPROTO_TCP, TCP_KEEPIDLE, 77, 77 },
	{ NMT_OPT_USER_TIMEOUT, IPPROTO_TCP, TCP_USER_TIMEOUT, 1234, 1234 },
	{ NMT_OPT_TOS, IPPROTO_IP, IP_TOS, 0x08, 0x08 },
};

static void test_options(void **state)
{
	struct unit u;

	(void)state;
	unit_open(&u, "tcp");
	unit_pair(&u, NULL);
	for (size_t i = 0; i < ARRAY_LEN(options); i++) {
		int64_t v = options[i].set;
		size_t len = sizeof(v);

		assert_int_equal(nmt_stream_setopt(u.a, options[i].opt, &v, sizeof(v)), 0);
		assert_int_equal(get(nmt_stream_fd(u.a), options[i].level, options[i].name),
				 options[i].kernel);
		v = -1;
		assert_int_equal(nmt_stream_getopt(u.a, options[i].opt, &v, &len), 0);
		assert_int_equal(v, options[i].kernel);
		assert_int_equal(len, sizeof(v));
	}
	unit_close(&u);
}

static void test_keepalive_off(void **state)
{
	int64_t v = 9;
	size_t len = sizeof(v);
	struct unit u;

	(void)state;
	unit_open(&u, "tcp");
	unit_pair(&u, NULL);
	assert_int_equal(nmt_stream_getopt(u.a, NMT_OPT_KEEPALIVE_IDLE, &v, &len), 0);
	assert_int_equal(v, 0);
	v = 9;
	assert_int_equal(nmt_stream_setopt(u.a, NMT_OPT_KEEPALIVE_IDLE, &v, sizeof(v)), 0);
	assert_int_equal(get(nmt_stream_fd(u.a), SOL_SOCKET, SO_KEEPALIVE), 1);
	v = 0;
	assert_int_equal(nmt_stream_setopt(u.a, NMT_OPT_KEEPALIVE_IDLE, &v, sizeof(v)), 0);
	assert_int_equal(get(nmt_stream_fd(u.a), SOL_SOCKET, SO_KEEPALIVE), 0);
	assert_int_equal(nmt_stream_getopt(u.a, NMT_OPT_KEEPALIVE_IDLE, &v, &len), 0);
	assert_int_equal(v, 0);
	unit_close(&u);
}

static void test_congestion(void **state)
{
	char text[16] = "";
	size_t len = sizeof(text);
	struct unit u;

	(void)state;
	unit_open(&u, "tcp");
	unit_pair(&u, NULL);
	assert_int_equal(nmt_stream_setopt(u.a, NMT_OPT_CONGESTION, "reno", 4), 0);
	check_congestion(nmt_stream_fd(u.a), "reno");
	assert_int_equal(nmt_stream_getopt(u.a, NMT_OPT_CONGESTION, text, &len), 0);
	assert_string_equal(text, "reno");
	assert_int_equal(len, 4);
	assert_int_equal(nmt_stream_setopt(u.a, NMT_OPT_CONGESTION, "nosuch", 6), -ENOENT);
	check_congestion(nmt_stream_fd(u.a), "reno");
	unit_close(&u);
}

static void test_kept(void **state)
{
	static const struct {
		enum nmt_opt opt;
		int64_t good, bad;
	} kept[] = {
		{ NMT_OPT_BLOCKING, 1, 2 },	    { NMT_OPT_BLOCKING, 0, -1 },
		{ NMT_OPT_SEND_TIMEOUT, 5, -2 },    { NMT_OPT_RECV_TIMEOUT, -1, INT64_MIN },
		{ NMT_OPT_LINGER, 0, -2 },	    { NMT_OPT_ZEROCOPY_MIN, 4096, -1 },
		{ NMT_OPT_ZEROCOPY_MIN, UINT32_MAX, INT64_C(1) << 32 },
	};
	struct unit u;

	(void)state;
	unit_open(&u, "tcp");
	unit_pair(&u, NULL);
	for (size_t i = 0; i < ARRAY_LEN(kept); i++) {
		int64_t v = kept[i].bad, got = 99;
		size_t len = sizeof(got);

		assert_int_equal(nmt_stream_setopt(u.a, kept[i].opt, &kept[i].good, 8), 0);
		assert_int_equal(nmt_stream_setopt(u.a, kept[i].opt, &v, 8), -EINVAL);
		assert_int_equal(nmt_stream_getopt(u.a, kept[i].opt, &got, &len), 0);
		assert_true(got == kept[i].good);
	}
	unit_close(&u);
}

/* Values that the option does not have, although the kernel would take them somehow. */
static void test_bad_values(void **state)
{
	static const struct {
		enum nmt_opt opt;
		int64_t v;
	} bad[] = {
		{ NMT_OPT_NODELAY, 2 },	  { NMT_OPT_NODELAY, -1 }, { NMT_OPT_TOS, 256 },
		{ NMT_OPT_TOS, -1 },	  { NMT_OPT_SNDBUF, -1 },
		{ NMT_OPT_RCVBUF, INT64_C(1) << 32 }, { NMT_OPT_KEEPALIVE_IDLE, 1000000 },
		{ NMT_OPT_USER_TIMEOUT, -1 }, { NMT_OPT_KEEPALIVE_IDLE, INT64_C(1) << 40 },
	};
	int64_t before, after;
	struct unit u;
	int failed = 0;

	(void)state;
	unit_open(&u, "tcp");
	unit_pair(&u, NULL);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		size_t len = 8;

		assert_int_equal(nmt_stream_getopt(u.a, bad[i].opt, &before, &len), 0);
		if (nmt_stream_setopt(u.a, bad[i].opt, &bad[i].v, 8) != -EINVAL) {
			print_error("option %d took %lld\n", bad[i].opt, (long long)bad[i].v);
			failed++;
		}
		assert_int_equal(nmt_stream_getopt(u.a, bad[i].opt, &after, &len), 0);
		if (before != after) {
			print_error("option %d was changed\n", bad[i].opt);
			failed++;
		}
	}
	unit_close(&u);
	assert_int_equal(failed, 0);
}

static void test_arguments(void **state)
{
	int64_t v = 1;
	size_t len = 8;
	struct unit u;

	(void)state;
	unit_open(&u, "tcp");
	unit_pair(&u, NULL);
	assert_int_equal(nmt_stream_setopt(NULL, NMT_OPT_NODELAY, &v, 8), -EINVAL);
	assert_int_equal(nmt_stream_setopt(u.a, NMT_OPT_NODELAY, NULL, 8), -EINVAL);
	assert_int_equal(nmt_stream_setopt(u.a, NMT_OPT_NODELAY, &v, 4), -EINVAL);
	assert_int_equal(nmt_stream_setopt(u.a, NMT_OPT_NODELAY, &v, 16), -EINVAL);
	assert_int_equal(nmt_stream_setopt(u.a, (enum nmt_opt)0, &v, 8), -ENOPROTOOPT);
	assert_int_equal(nmt_stream_setopt(u.a, (enum nmt_opt)99, &v, 8), -ENOPROTOOPT);
	assert_int_equal(nmt_stream_getopt(NULL, NMT_OPT_NODELAY, &v, &len), -EINVAL);
	assert_int_equal(nmt_stream_getopt(u.a, NMT_OPT_NODELAY, NULL, &len), -EINVAL);
	assert_int_equal(nmt_stream_getopt(u.a, NMT_OPT_NODELAY, &v, NULL), -EINVAL);
	assert_int_equal(nmt_stream_getopt(u.a, (enum nmt_opt)99, &v, &len), -ENOPROTOOPT);
	len = 4;
	assert_int_equal(nmt_stream_getopt(u.a, NMT_OPT_NODELAY, &v, &len), -EINVAL);
	unit_close(&u);
}

static void test_fd_of_negotiated(void **state)
{
	struct nmt_stream_attr attr = NMT_STREAM_ATTR_INIT;
	struct unit u;

	(void)state;
	unit_open(&u, "tcp");
	attr.mode = NMT_MODE_NEGOTIATED;
	unit_pair(&u, &attr);
	assert_int_equal(nmt_stream_fd(u.a), -EOPNOTSUPP);
	assert_int_equal(nmt_stream_fd(NULL), -EINVAL);
	unit_close(&u);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_defaults),   cmocka_unit_test(test_attributes),
	cmocka_unit_test(test_dual_stack), cmocka_unit_test(test_v6),
	cmocka_unit_test(test_device),	   cmocka_unit_test(test_refused),
	cmocka_unit_test(test_control),	   cmocka_unit_test(test_connect_result),
	cmocka_unit_test(test_options),
	cmocka_unit_test(test_keepalive_off), cmocka_unit_test(test_congestion),
	cmocka_unit_test(test_kept),	   cmocka_unit_test(test_bad_values),
	cmocka_unit_test(test_arguments),  cmocka_unit_test(test_fd_of_negotiated),
};

UNIT_MAIN(tests)
