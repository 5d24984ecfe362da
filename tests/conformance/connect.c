/* SPDX-License-Identifier: BSD-2-Clause */
/* Connecting: never on the caller's time, with the errors that nmt.h names. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <unistd.h>

#include "suite.h"

/* A plain TCP socket on a free loopback port; LISTEN < 0: bound only. */
static int plain_socket(struct env *env, int backlog, char addr[NMT_ADDR_MAX])
{
	struct sockaddr_in sin = { .sin_family = AF_INET,
				   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(sin);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&sin, sizeof(sin)) ||
	    (backlog >= 0 && listen(fd, backlog)) ||
	    getsockname(fd, (struct sockaddr *)&sin, &len))
		failf(env, "plain socket: %s", strerror(errno));
	snprintf(addr, NMT_ADDR_MAX, "127.0.0.1:%u", ntohs(sin.sin_port));
	return fd;
}

static void fails_with(struct env *env, struct end *e, int error)
{
	wait_for(env, e->error || e->connected);
	if (e->error != error)
		failf(env, "connect ends with %d, want %d", e->error, error);
	assert_int_equal(end_info(e).state, NMT_STATE_FAILED);
	assert_int_equal(end_info(e).error, error);
	assert_true(nmt_send(e->s, "x", 1, 0) < 0);
	end_close(e);
	wait_for(env, e->closed);
}

static void by_address(struct env *env, const char *listen, const char *fmt)
{
	char addr[NMT_ADDR_MAX];
	struct pair p;
	struct lis *l;

	env_open(env, NULL);
	l = lis_open(env, listen, NULL);
	snprintf(addr, sizeof(addr), fmt, socks_port(l->addr));
	p.c = end_connect(env, CLIENT, addr, NULL);
	p.s = lis_accept(l, SERVER);
	wait_for(env, p.c->connected && p.s->connected);
	pair_works(&p, 1000);
}

static void t_connect_by_name(struct env *env)
{
	by_address(env, "127.0.0.1:0", "localhost:%u");
}

static void t_connect_without_host_is_loopback(struct env *env)
{
	by_address(env, ":0", ":%u");
}

static bool have_ipv6(void)
{
	struct sockaddr_in6 sin6 = { .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT };
	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool ok = fd >= 0 && bind(fd, (struct sockaddr *)&sin6, sizeof(sin6)) == 0;

	if (fd >= 0)
		close(fd);
	return ok;
}

static void t_connect_over_ipv6(struct env *env)
{
	if (!have_ipv6()) {
		puts("SKIP: t_connect_over_ipv6: this machine has no IPv6");
		return;
	}
	by_address(env, "[::1]:0", "[::1]:%u");
}

/* The name service of the machine may be slow or away; that is never the caller's time. */
static void t_connect_returns_at_once(struct env *env)
{
	struct nmt_stream_attr attr;
	struct end *e;
	int64_t start;

	env_open(env, NULL);
	attr = env_attr(env);
	attr.connect_timeout = 300 * MS;
	start = now_ns();
	e = end_connect(env, CLIENT, "no-such-host.invalid:7", &attr);
	if (now_ns() - start > 200 * MS)
		failf(env, "nmt_connect took %lld ms", (long long)((now_ns() - start) / MS));
	assert_int_equal(end_info(e).state, NMT_STATE_RESOLVING);
	wait_for(env, e->error);
	/* -EHOSTUNREACH: a host without name service. */
	assert_true(e->error == -ENOENT || e->error == -ETIMEDOUT || e->error == -EHOSTUNREACH);
	assert_true(now_ns() - start < 3 * SEC);
}

/* Closing a stream whose name is still looked up. */
static void t_close_while_resolving(struct env *env)
{
	struct end *e;

	env_open(env, NULL);
	for (int i = 0; i < 3; i++) {
		e = end_connect(env, CLIENT, "localhost:9", NULL);
		if (i % 2)
			end_abort(e);
		else
			end_close(e);
		wait_for(env, e->closed);
	}
}

static void t_connect_refused(struct env *env)
{
	char addr[NMT_ADDR_MAX];
	int fd;

	env_open(env, NULL);
	fd = plain_socket(env, -1, addr);
	fails_with(env, end_connect(env, CLIENT, addr, NULL), -ECONNREFUSED);
	close(fd);
}

/* A listener whose queue is full drops what comes. */
static void t_connect_times_out(struct env *env)
{
	struct nmt_stream_attr attr;
	char addr[NMT_ADDR_MAX];
	struct end *e[4];
	int fd;

	env_open(env, NULL);
	attr = env_attr(env);
	attr.connect_timeout = 200 * MS;
	attr.mode = NMT_MODE_NEGOTIATED;
	attr.flags = 0;
	fd = plain_socket(env, 0, addr);
	for (int i = 0; i < 4; i++)
		e[i] = end_connect(env, CLIENT, addr, &attr);
	for (int i = 0; i < 4; i++)
		fails_with(env, e[i], -ETIMEDOUT);
	close(fd);
}

static void t_connect_time_out_is_on_time(struct env *env)
{
	struct nmt_stream_attr attr;
	char addr[NMT_ADDR_MAX];
	int64_t start, took;
	int fd;

	env_open(env, NULL);
	attr = env_attr(env);
	attr.connect_timeout = 250 * MS;
	fd = plain_socket(env, 8, addr);
	start = now_ns();
	fails_with(env, end_connect(env, CLIENT, addr, &attr), -ETIMEDOUT);
	took = now_ns() - start;
	assert_true(took >= 240 * MS && took < 3 * SEC);
	close(fd);
}

static void t_peer_that_speaks_no_libnmt_is_eproto(struct env *env)
{
	char addr[NMT_ADDR_MAX];
	struct end *e;
	int fd, conn;

	env_open(env, NULL);
	fd = plain_socket(env, 8, addr);
	e = end_connect(env, CLIENT, addr, NULL);
	conn = accept(fd, NULL, NULL);
	assert_true(conn >= 0);
	assert_true(write(conn, "220 mail.example.org ESMTP ready, say hello please and wait\r\n"
				"421 bye bye bye bye bye bye bye bye bye bye bye bye bye\r\n", 117) > 0);
	fails_with(env, e, -EPROTO);
	close(conn);
	close(fd);
}

static void t_connected_comes_once_on_both_sides(struct env *env)
{
	struct pair p;

	pair_open(env, &p);
	env_idle(env, 10 * MS);
	assert_int_equal(end_info(p.c).state, NMT_STATE_OPEN);
	assert_int_equal(end_info(p.s).state, NMT_STATE_OPEN);
	pair_works(&p, 100);
}

static void t_local_address_is_used(struct env *env)
{
	struct pair_opt opt;
	char addr[NMT_ADDR_MAX];
	struct pair p;
	int fd;

	fd = plain_socket(env, -1, addr);
	close(fd);
	pair_defaults(env, &opt);
	opt.c.local_addr = addr;
	pair_open_opt(env, &p, &opt);
	if (env->cfg->mode == NMT_MODE_RAW)
		assert_string_equal(end_info(p.c).local, addr);
	pair_works(&p, 100);
}

static void t_sockets_of_a_stream_are_given_back(struct env *env)
{
	struct pair p;
	int before;

	pair_open(env, &p);
	pair_close(&p);
	before = socks_open_fds();
	for (int i = 0; i < 20; i++) {
		pair_open(env, &p);
		if (i % 3 == 0) {
			end_abort(p.c);
			end_abort(p.s);
			wait_for(env, p.c->closed && p.s->closed);
		} else {
			pair_close(&p);
		}
	}
	assert_int_equal(socks_open_fds(), before);
}

const struct test tests_connect[] = {
	TEST(t_connect_by_name, T_HOST),
	TEST(t_connect_without_host_is_loopback, T_HOST),
	TEST(t_connect_over_ipv6, T_HOST),
	TEST(t_connect_returns_at_once, T_HOST),
	TEST(t_close_while_resolving, T_HOST),
	TEST(t_connect_refused, T_HOST),
	TEST(t_connect_times_out, T_HOST | T_NEGOTIATED),
	TEST(t_connect_time_out_is_on_time, T_HOST | T_NEGOTIATED),
	TEST(t_peer_that_speaks_no_libnmt_is_eproto, T_HOST | T_NEGOTIATED),
	TEST(t_connected_comes_once_on_both_sides, T_HOST),
	TEST(t_local_address_is_used, T_HOST),
	TEST(t_sockets_of_a_stream_are_given_back, T_HOST),
	TESTS_END,
};
