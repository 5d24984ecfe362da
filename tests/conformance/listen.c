/* SPDX-License-Identifier: BSD-2-Clause */
/* Listeners: addresses, modes, accept into any domain, sharing a port, closing. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <unistd.h>

#include "suite.h"

static void open_at(struct env *env, struct lis *l, struct pair *p, enum side c, enum side s)
{
	p->c = end_connect(env, c, l->addr, NULL);
	p->s = lis_accept(l, s);
	wait_for(env, p->c->connected && p->s->connected);
}

static void t_listener_tells_its_port(struct env *env)
{
	struct lis *l;
	struct pair p;

	env_open(env, NULL);
	l = lis_open(env, "127.0.0.1:0", NULL);
	assert_true(socks_port(l->addr) != 0);
	assert_int_equal(strncmp(l->addr, "127.0.0.1:", 10), 0);
	open_at(env, l, &p, CLIENT, SERVER);
	assert_string_equal(end_info(p.c).peer[0] ? "set" : "", "set");
	pair_works(&p, 100);
}

static void t_address_in_use(struct env *env)
{
	struct nmt_stream_attr attr;
	struct nmt_listener *other;
	struct lis *l;

	env_open(env, NULL);
	attr = env_attr(env);
	l = lis_open(env, "127.0.0.1:0", NULL);
	assert_err(env, nmt_listen(env->dom[SERVER], l->addr, &attr, &other), -EADDRINUSE);
	assert_err(env, nmt_listen(env->dom[SERVER], "203.0.113.77:0", &attr, &other),
		   -EADDRNOTAVAIL);
}

static void t_listen_by_name(struct env *env)
{
	struct nmt_stream_attr attr;
	struct nmt_listener *other;
	struct pair p;
	int ret;

	env_open(env, NULL);
	attr = env_attr(env);
	open_at(env, lis_open(env, "localhost:0", NULL), &p, CLIENT, SERVER);
	pair_works(&p, 100);
	/* -EHOSTUNREACH: a host without name service. */
	ret = nmt_listen(env->dom[SERVER], "no-such-host.invalid:0", &attr, &other);
	assert_true(ret == -ENOENT || ret == -EHOSTUNREACH);
}

static void t_accept_with_nothing_is_eagain(struct env *env)
{
	struct nmt_stream *s;
	struct lis *l;

	env_open(env, NULL);
	l = lis_open(env, "127.0.0.1:0", NULL);
	assert_err(env, nmt_accept(l->l, NULL, &s), -EAGAIN);
	env_idle(env, 5 * MS);
	assert_err(env, nmt_accept(l->l, NULL, &s), -EAGAIN);
	assert_int_equal(l->accepts, 0);
}

static void t_accept_event_comes(struct env *env)
{
	struct end *e[5];
	struct lis *l;

	env_open(env, NULL);
	l = lis_open(env, "127.0.0.1:0", NULL);
	for (int i = 0; i < 5; i++)
		e[i] = end_connect(env, CLIENT, l->addr, NULL);
	wait_for(env, l->accepts > 0);
	for (int i = 0; i < 5; i++)
		lis_accept(l, SERVER);
	for (int i = 0; i < 5; i++)
		wait_for(env, e[i]->connected);
}

static void t_accept_into_another_domain(struct env *env)
{
	struct lis *l;
	struct pair p;

	env_open(env, NULL);
	l = lis_open(env, "127.0.0.1:0", NULL);
	open_at(env, l, &p, CLIENT, CLIENT);
	pair_works(&p, 50000);
	if (env->suite->host) /* its device has no address in this network namespace */
		return;
	open_at(env, l, &p, SERVER, SERVER);
	pair_works(&p, 50000);
}

static void t_streams_outlive_the_listener(struct env *env)
{
	struct pair p;

	pair_open(env, &p); /* closes its listener */
	pair_works(&p, 50000);
	pair_close(&p);
}

static void t_closing_a_listener_resets_what_waits(struct env *env)
{
	struct end *e;
	struct lis *l;

	env_open(env, NULL);
	l = lis_open(env, "127.0.0.1:0", NULL);
	e = end_connect(env, CLIENT, l->addr, NULL);
	wait_for(env, l->accepts > 0);
	lis_close(l);
	wait_for(env, e->error || e->connected);
	if (!e->error)
		end_expect_error(e, -ECONNRESET);
	else
		assert_true(e->error == -ECONNRESET || e->error == -ECONNABORTED);
}

static void t_many_connections_at_once(struct env *env)
{
	struct end *c[30], *s[30];
	struct lis *l;

	env_open(env, NULL);
	l = lis_open(env, "127.0.0.1:0", NULL);
	for (int i = 0; i < 30; i++)
		c[i] = end_connect(env, CLIENT, l->addr, NULL);
	for (int i = 0; i < 30; i++)
		s[i] = lis_accept(l, SERVER);
	for (int i = 0; i < 30; i++)
		wait_for(env, c[i]->connected && s[i]->connected);
	for (int i = 0; i < 30; i++)
		end_put_pattern(c[i], 1, 0, 100);
	for (int i = 0; i < 30; i++)
		end_expect(s[i], 1, 0, 100);
}

static void t_reuseport_shares_a_port(struct env *env)
{
	struct nmt_stream_attr attr;
	struct nmt_stream *s;
	unsigned int got[2] = { 0 };
	struct lis *l[2];

	env_open(env, NULL);
	attr = env_attr(env);
	attr.flags |= NMT_STREAM_REUSEPORT;
	l[0] = lis_open(env, "127.0.0.1:0", &attr);
	l[1] = lis_open(env, l[0]->addr, &attr);
	assert_string_equal(l[0]->addr, l[1]->addr);
	for (int i = 0; i < 40; i++)
		end_connect(env, CLIENT, l[0]->addr, NULL);
	while (got[0] + got[1] < 40) {
		for (int i = 0; i < 2; i++) {
			if (nmt_accept(l[i]->l, env->dom[SERVER], &s))
				continue;
			struct end *e = end_new(env, SERVER);

			e->s = s;
			nmt_stream_set_user(s, e);
			got[i]++;
		}
		env_turn(env, "40 connections", __FILE__, __LINE__);
	}
	assert_true(got[0] > 0 && got[1] > 0);
}

/* A listener of mode "either" serves libnmt peers and, if they speak first, raw ones. */
static void t_either_serves_both(struct env *env)
{
	struct nmt_stream_attr attr;
	struct pair raw, neg;
	struct lis *l;

	env_open(env, NULL);
	attr = env_attr(env);
	attr.flags = 0;
	attr.mode = NMT_MODE_EITHER;
	l = lis_open(env, "127.0.0.1:0", &attr);
	attr.mode = NMT_MODE_NEGOTIATED;
	neg.c = end_connect(env, CLIENT, l->addr, &attr);
	neg.s = lis_accept(l, SERVER);
	wait_for(env, neg.c->connected && neg.s->connected);
	assert_int_equal(end_info(neg.s).mode, NMT_MODE_NEGOTIATED);
	pair_works(&neg, 1000);
	attr.mode = NMT_MODE_RAW;
	raw.c = end_connect(env, CLIENT, l->addr, &attr);
	wait_for(env, raw.c->connected);
	end_put_pattern(raw.c, 1, 0, 1000);
	raw.s = lis_accept(l, SERVER);
	wait_for(env, raw.s->connected);
	assert_int_equal(end_info(raw.s).mode, NMT_MODE_RAW);
	end_expect(raw.s, 1, 0, 1000);
	pair_works(&raw, 1000);
}

static int plain_connect(struct env *env, uint16_t port)
{
	struct sockaddr_in sin = { .sin_family = AF_INET, .sin_port = htons(port),
				   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || connect(fd, (struct sockaddr *)&sin, sizeof(sin)))
		failf(env, "plain client: %s", strerror(errno));
	return fd;
}

/* The peer of a raw stream is any TCP program. */
static void t_raw_peer_is_any_tcp_program(struct env *env)
{
	unsigned char buf[1000];
	struct end *e;
	struct lis *l;
	size_t got = 0;
	int fd;

	env_open(env, NULL);
	l = lis_open(env, "127.0.0.1:0", NULL);
	fd = plain_connect(env, socks_port(l->addr));
	e = lis_accept(l, SERVER);
	pattern_fill(1, 0, buf, sizeof(buf));
	assert_int_equal(write(fd, buf, sizeof(buf)), sizeof(buf));
	end_expect(e, 1, 0, sizeof(buf));
	end_put_pattern(e, 2, 0, sizeof(buf));
	while (got < sizeof(buf)) {
		ssize_t n = recv(fd, buf + got, sizeof(buf) - got, MSG_DONTWAIT);

		if (n > 0)
			got += (size_t)n;
		else
			env_turn_short(env, "bytes at a plain socket", __FILE__, __LINE__);
	}
	assert_int_equal(pattern_check(2, 0, buf, sizeof(buf)), -1);
	close(fd);
	end_expect_eof(e);
}

/* A peer that says nothing is dropped when its time for the handshake is over. */
static void t_silent_peer_is_dropped(struct env *env)
{
	struct nmt_stats st = NMT_STATS_INIT;
	struct nmt_stream_attr attr;
	struct pair p;
	struct lis *l;
	char byte;
	int fd;

	env_open(env, NULL);
	attr = env_attr(env);
	attr.handshake_timeout = 150 * MS;
	l = lis_open(env, "127.0.0.1:0", &attr);
	fd = plain_connect(env, socks_port(l->addr));
	wait_short(env, recv(fd, &byte, 1, MSG_DONTWAIT | MSG_PEEK) >= 0 || errno != EAGAIN);
	close(fd);
	assert_ok(env, nmt_stats(env->dom[SERVER], NULL, &st));
	assert_int_equal(st.declined, 1);
	open_at(env, l, &p, CLIENT, SERVER);
	pair_works(&p, 1000);
}

const struct test tests_listen[] = {
	TEST(t_listener_tells_its_port, T_HOST),
	TEST(t_address_in_use, T_HOST),
	TEST(t_listen_by_name, T_HOST),
	TEST(t_accept_with_nothing_is_eagain, T_HOST),
	TEST(t_accept_event_comes, T_HOST),
	TEST(t_accept_into_another_domain, T_HOST),
	TEST(t_streams_outlive_the_listener, T_HOST),
	TEST(t_closing_a_listener_resets_what_waits, T_HOST),
	TEST(t_many_connections_at_once, T_HOST),
	TEST(t_reuseport_shares_a_port, T_HOST),
	TEST(t_either_serves_both, T_KERNEL | T_HOST | T_STREAM | T_NEGOTIATED | T_POOL),
	TEST(t_raw_peer_is_any_tcp_program, T_HOST | T_RAW),
	TEST(t_silent_peer_is_dropped, T_HOST | T_NEGOTIATED),
	TESTS_END,
};
