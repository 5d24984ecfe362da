/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Design 5.2: in negotiated mode a connection that ends without the peer's orderly end is
 * -ECONNRESET on both sides, never an end of stream. Where the bytes do not travel on sockets, a
 * control channel that is cut comes back, and the stream does not notice (T_REJOIN).
 */
#include <unistd.h>

#include "suite.h"

struct cut {
	struct pair p;
	struct proxy *proxy;
	char target[NMT_ADDR_MAX];
};

static struct lis *open_via_proxy(struct env *env, struct cut *c)
{
	char addr[NMT_ADDR_MAX];
	struct lis *l;

	env_open(env, NULL);
	l = lis_open(env, "127.0.0.1:0", NULL);
	c->proxy = proxy_open(env, l->addr, addr);
	c->p.c = end_connect(env, CLIENT, addr, NULL);
	c->p.s = lis_accept(l, SERVER);
	wait_for(env, c->p.c->connected && c->p.s->connected);
	return l;
}

static void both_reset(struct env *env, struct pair *p)
{
	end_expect_error(p->s, -ECONNRESET);
	end_expect_error(p->c, -ECONNRESET);
	wait_for(env, p->c->error && p->s->error);
	assert_int_equal(p->c->error, -ECONNRESET);
	assert_int_equal(p->s->error, -ECONNRESET);
}

static void t_cut_control_channel_is_reset(struct env *env)
{
	struct cut c;

	open_via_proxy(env, &c);
	pair_works(&c.p, 10000);
	proxy_cut(c.proxy, 0);
	both_reset(env, &c.p);
	proxy_close(c.proxy);
}

/* The side that sees an end first waits a few seconds for the words that would explain it. */
static void t_cut_data_socket_is_reset(struct env *env)
{
	struct lis *l;
	struct pair p;

	env_open(env, NULL);
	l = lis_open(env, "127.0.0.1:0", NULL);
	p.c = end_connect(env, CLIENT, l->addr, NULL);
	p.s = lis_accept(l, SERVER);
	wait_for(env, p.c->connected && p.s->connected);
	pair_works(&p, 10000);
	assert_true(socks_cut(socks_port(l->addr), true));
	both_reset(env, &p);
}

static void t_cut_with_bytes_under_way_is_reset(struct env *env)
{
	struct lis *l;
	struct pair p;

	env_open(env, NULL);
	l = lis_open(env, "127.0.0.1:0", NULL);
	p.c = end_connect(env, CLIENT, l->addr, NULL);
	p.s = lis_accept(l, SERVER);
	wait_for(env, p.c->connected && p.s->connected);
	end_fill(p.c, 1, 0);
	end_fill(p.s, 2, 0);
	assert_true(socks_cut(socks_port(l->addr), true));
	both_reset(env, &p);
}

/* The other streams of the domain go on. */
static void t_cut_hits_one_stream_only(struct env *env)
{
	struct pair other;
	struct cut c;

	open_via_proxy(env, &c);
	pair_open(env, &other);
	proxy_cut(c.proxy, 0);
	both_reset(env, &c.p);
	pair_works(&other, 100000);
	proxy_close(c.proxy);
}

static void t_cut_after_half_close_is_reset(struct env *env)
{
	struct cut c;

	open_via_proxy(env, &c);
	end_put_pattern(c.p.c, 3, 0, 1000);
	assert_ok(env, nmt_shutdown(c.p.c->s, SHUT_WR));
	end_expect(c.p.s, 3, 0, 1000);
	end_expect_eof(c.p.s);
	proxy_cut(c.proxy, 0);
	end_expect_error(c.p.c, -ECONNRESET);
	proxy_close(c.proxy);
}

static void t_cut_tells_posts_and_borrows(struct env *env)
{
	struct nmt_event ev;
	struct nmt_frag frag;
	struct nmt_mr *mr;
	struct cut c;

	open_via_proxy(env, &c);
	mr = env_mr(env, 8 * MIB, NMT_ACCESS_ALL);
	frag = (struct nmt_frag){ .mr = mr, .len = 8 * MIB };
	assert_ok(env, nmt_recv_into(c.p.c->s, env_mr(env, 100, NMT_ACCESS_RECV), 0, 100, 0, 5));
	assert_ok(env, nmt_send_mr(c.p.c->s, &frag, 1, 0, 6));
	env_idle(env, 5 * MS);
	proxy_cut(c.proxy, 0);
	end_wait(c.p.c, NMT_EV_RECEIVED, &ev);
	assert_int_equal(ev.cookie, 5);
	assert_int_equal(ev.status, -ECONNRESET);
	end_wait(c.p.c, NMT_EV_SENT, &ev);
	assert_int_equal(ev.cookie, 6);
	assert_true(ev.status < 0);
	assert_ok(env, env_mr_close(env, mr));
	proxy_close(c.proxy);
}

static void accept_any(struct env *env, struct lis *l)
{
	struct nmt_stream *s;

	while (nmt_accept(l->l, NULL, &s) == 0) {
		struct end *e = end_new(env, SERVER);

		e->s = s;
		nmt_stream_set_user(s, e);
	}
}

/* ---- the control channel comes back ---- */

/* Once is enough for the library to have to find out which of both ends it was. */
static void t_cut_channel_comes_back(struct env *env)
{
	struct pair p;

	pair_open(env, &p);
	for (unsigned int i = 0; i < 6; i++) {
		wait_short(env, socks_cut_any(i)); /* when it is back */
		if (i % 2)
			env_idle(env, 5 * MS);
		pair_works(&p, 3000);
	}
	env_idle(env, 20 * MS);
	pair_close(&p);
}

/* A middlebox that is gone for good: the client finds the way past it, to the rendezvous port. */
static void t_cut_proxy_is_passed_by(struct env *env)
{
	struct lis *l;
	struct cut c;

	l = open_via_proxy(env, &c);
	lis_close(l);
	pair_works(&c.p, 10000);
	proxy_cut(c.proxy, 0);
	pair_works(&c.p, 10000);
	proxy_close(c.proxy);
	pair_works(&c.p, 10000);
	pair_close(&c.p);
}

/* Only the stream that it belongs to has anything to do with it. */
static void t_cut_channel_of_one_of_many(struct env *env)
{
	struct pair p[4];

	for (int i = 0; i < 4; i++)
		pair_open(env, &p[i]);
	for (unsigned int i = 0; i < 16; i++) {
		wait_short(env, socks_cut_any((unsigned int)rng_next(&env->rng)));
		pair_works(&p[i % 4], 2000);
	}
	for (int i = 0; i < 4; i++)
		pair_works(&p[i], 2000);
	for (int i = 0; i < 4; i++)
		pair_close(&p[i]);
}

/* Again and again, whatever state it is in, with traffic both ways. */
static void t_cut_again_and_again_under_traffic(struct env *env)
{
	struct flow f[2];
	struct pair p;

	pair_open(env, &p);
	socks_cutter_start(rng_next(&env->rng));
	for (int i = 0; i < 20 || socks_cutter_cuts() <= 10; i++) {
		flow_init(env, &f[0], p.c, p.s, 100 * KIB);
		flow_init(env, &f[1], p.s, p.c, 100 * KIB);
		flows_run(env, f, 2);
		env_idle(env, 5 * MS);
	}
	socks_cutter_stop();
	pair_works(&p, 10000);
	pair_close(&p);
}

/* All is delivered and both ends close in order, however early or late the cut comes. */
static void t_cut_while_closing_is_no_reset(struct env *env)
{
	for (int at = 0; at < 12; at++) {
		struct pair p;

		pair_open(env, &p);
		end_put_pattern(p.c, 3, 0, 5000);
		end_expect(p.s, 3, 0, 5000);
		if (at % 3)
			end_close(p.c);
		else
			assert_ok(env, nmt_shutdown(p.c->s, SHUT_WR));
		env_spin(env, at);
		socks_cut_any((unsigned int)at);
		if (at % 2)
			end_expect_eof(p.s);
		if (!(at % 3))
			end_close(p.c);
		end_close(p.s);
		env_spin(env, at / 2);
		socks_cut_any((unsigned int)at / 2);
		end_closed(p.c, 0);
		end_closed(p.s, 0);
	}
}

/* The server's listener, which it does not need, and its stream are gone: found out at once. */
static void t_cut_from_a_stream_that_is_gone(struct env *env)
{
	int64_t start = now_ns();
	struct pair p;

	pair_open(env, &p);
	pair_works(&p, 1000);
	assert_true(socks_cut_any(0));
	end_abort(p.s);
	end_expect_error(p.c, -ECONNRESET);
	assert_true(now_ns() - start < 2 * SEC * TIME_SCALE);
}

/* A client that does not come back: the recovery time is what the server waits. */
static void t_cut_without_the_client(struct env *env)
{
	struct pair_opt opt;
	struct pair p;
	int64_t start;

	pair_defaults(env, &opt);
	opt.s.recovery_timeout = 300 * MS;
	pair_open_opt(env, &p, &opt);
	pair_works(&p, 1000);
	assert_true(socks_cut_any(0));
	start = now_ns();
	while (!p.s->error) { /* the client's domain is not polled */
		struct nmt_event ev[8];
		int n = nmt_poll(env->dom[SERVER], ev, 8, 10 * MS);

		for (int i = 0; i < n; i++)
			end_event(env, &ev[i]);
		assert_true(now_ns() - start < 4 * SEC);
	}
	assert_int_equal(p.s->error, -ETIMEDOUT);
	assert_true(now_ns() - start >= 280 * MS);
	end_expect_error(p.c, -ECONNRESET);
}

/* Wherever the handshake is cut, the client learns of it and nothing hangs. */
static void t_cut_in_the_handshake(struct env *env)
{
	char addr[NMT_ADDR_MAX];
	struct proxy *proxy;
	struct lis *l;

	env_open(env, NULL);
	l = lis_open(env, "127.0.0.1:0", NULL);
	for (uint64_t at = 1; at < 200; at += 1 + at / 3) {
		struct end *e;

		proxy = proxy_open(env, l->addr, addr);
		proxy_cut(proxy, at);
		e = end_connect(env, CLIENT, addr, NULL);
		while (!e->error && !e->connected) {
			accept_any(env, l);
			env_turn(env, "the end of a cut handshake", __FILE__, __LINE__);
		}
		proxy_cut(proxy, 0);
		if (e->connected && config_has(env->cfg) & T_KERNEL)
			end_expect_error(e, -ECONNRESET);
		end_abort(e);
		wait_for(env, e->closed);
		proxy_close(proxy);
	}
}

const struct test tests_cut[] = {
	TEST(t_cut_control_channel_is_reset, T_NEGOTIATED | T_KERNEL),
	TEST_MS(t_cut_data_socket_is_reset, T_NEGOTIATED | T_HOST | T_KERNEL, 12000),
	TEST(t_cut_with_bytes_under_way_is_reset, T_NEGOTIATED | T_KERNEL),
	TEST(t_cut_hits_one_stream_only, T_NEGOTIATED | T_HOST | T_KERNEL),
	TEST(t_cut_after_half_close_is_reset, T_NEGOTIATED | T_HOST | T_KERNEL),
	TEST(t_cut_tells_posts_and_borrows, T_NEGOTIATED | T_KERNEL),
	TEST(t_cut_in_the_handshake, T_NEGOTIATED | T_HOST),
	TEST(t_cut_channel_comes_back, T_REJOIN),
	TEST(t_cut_proxy_is_passed_by, T_REJOIN),
	TEST(t_cut_channel_of_one_of_many, T_REJOIN),
	TEST_MS(t_cut_again_and_again_under_traffic, T_REJOIN, 20000),
	TEST_MS(t_cut_while_closing_is_no_reset, T_REJOIN, 30000),
	TEST(t_cut_from_a_stream_that_is_gone, T_REJOIN),
	TEST(t_cut_without_the_client, T_REJOIN),
	TESTS_END,
};
