/* SPDX-License-Identifier: BSD-2-Clause */
/* Design 5.1: bytes arrive in order, once, unchanged, whatever calls move them. */
#include <stdlib.h>

#include "suite.h"

static void one_flow(struct env *env, unsigned int tx, unsigned int rx, uint64_t total)
{
	struct flow f;
	struct pair p;

	pair_open(env, &p);
	flow_init(env, &f, p.c, p.s, total);
	f.tx_how &= tx;
	f.rx_how &= rx;
	flows_run(env, &f, 1);
	end_close(p.c);
	end_expect_eof(p.s);
	end_close(p.s);
	end_closed(p.c, 0);
	end_closed(p.s, 0);
}

static void t_send_recv(struct env *env)
{
	one_flow(env, TX_SEND, env->cfg->recv == NMT_RECV_POOL ? RX_RECV : RX_INTO, 2 * MIB);
}

static void t_sendmsg_recvmsg(struct env *env)
{
	one_flow(env, TX_SENDMSG, RX_RECVMSG, MIB);
}

static void t_peek(struct env *env)
{
	one_flow(env, TX_SEND, RX_PEEK, MIB);
}

static void t_send_mr_frags(struct env *env)
{
	one_flow(env, TX_BORROW, RX_FRAGS, 2 * MIB);
}

static void t_send_mr_into(struct env *env)
{
	one_flow(env, TX_BORROW, RX_INTO, 2 * MIB);
}

static void t_all_calls_mixed(struct env *env)
{
	one_flow(env, TX_ALL, RX_ALL, 4 * MIB);
}

static void t_tiny_sends_and_receives(struct env *env)
{
	struct flow f;
	struct pair p;

	pair_open(env, &p);
	flow_init(env, &f, p.c, p.s, 20000);
	f.tx_max = f.rx_max = 40;
	flows_run(env, &f, 1);
}

static void t_both_directions_at_once(struct env *env)
{
	struct flow f[2];
	struct pair p;

	pair_open(env, &p);
	flow_init(env, &f[0], p.c, p.s, MIB);
	flow_init(env, &f[1], p.s, p.c, MIB);
	flows_run(env, f, 2);
	pair_close(&p);
}

static void t_streams_do_not_mix(struct env *env)
{
	struct flow f[6];
	struct pair p[3];

	for (int i = 0; i < 3; i++) {
		pair_open(env, &p[i]);
		flow_init(env, &f[2 * i], p[i].c, p[i].s, 400 * KIB);
		flow_init(env, &f[2 * i + 1], p[i].s, p[i].c, 400 * KIB);
	}
	flows_run(env, f, 6);
}

/* The kernel takes only part of a large send; the count has to be right. */
static void t_partial_send_counts(struct env *env)
{
	uint64_t seed = rng_next(&env->rng), sent;
	struct pair_opt opt;
	struct pair p;

	pair_defaults(env, &opt);
	opt.c.sndbuf = 16 * KIB;
	opt.s.rcvbuf = 16 * KIB;
	pair_open_opt(env, &p, &opt);
	sent = end_fill(p.c, seed, 0);
	assert_true(sent > 0);
	end_expect(p.s, seed, 0, sent);
	end_put_pattern(p.c, seed, sent, 1000);
	end_expect(p.s, seed, sent, 1000);
}

static void t_large_send_from_one_call(struct env *env)
{
	uint64_t seed = rng_next(&env->rng), total = 8 * MIB;
	unsigned char *buf = malloc(total), *in = malloc(total);
	struct pair_opt opt;
	size_t sent = 0, got = 0;
	struct pair p;

	pair_defaults(env, &opt);
	pair_open_opt(env, &p, &opt);
	pattern_fill(seed, 0, buf, total);
	while (got < total) {
		ssize_t n = nmt_send(p.c->s, buf + sent, total - sent, 0);

		assert_true(n == -EAGAIN || n >= 0);
		sent += n > 0 ? (size_t)n : 0;
		n = nmt_recv(p.s->s, in + got, total - got, 0);
		assert_true(n == -EAGAIN || n > 0);
		if (n > 0)
			got += (size_t)n;
		else
			env_turn(env, "a large send", __FILE__, __LINE__);
	}
	assert_int_equal(pattern_check(seed, 0, in, total), -1);
	free(buf);
	free(in);
}

static void t_eagain_when_nothing_came(struct env *env)
{
	struct nmt_frag frag;
	unsigned char byte;
	struct pair p;

	pair_open(env, &p);
	assert_err(env, nmt_recv(p.s->s, &byte, 1, 0), -EAGAIN);
	assert_err(env, nmt_recv(p.s->s, &byte, 1, MSG_PEEK), -EAGAIN);
	assert_err(env, nmt_recv(p.s->s, &byte, 1, MSG_DONTWAIT), -EAGAIN);
	assert_err(env, nmt_recv_frags(p.s->s, &frag, 1, 0), -EAGAIN);
	pair_works(&p, 100);
}

static void t_peek_keeps_bytes(struct env *env)
{
	char buf[16] = { 0 };
	struct pair p;
	ssize_t n;

	pair_open(env, &p);
	end_put(p.c, "hello", 5, 0);
	for (int i = 0; i < 3; i++) {
		wait_for(env, (n = nmt_recv(p.s->s, buf, sizeof(buf), MSG_PEEK)) == 5 ||
				      (n != -EAGAIN && n < 5));
		assert_int_equal(n, 5);
		assert_memory_equal(buf, "hello", 5);
	}
	assert_int_equal(nmt_recv(p.s->s, buf, 2, 0), 2);
	assert_int_equal(nmt_recv(p.s->s, buf, sizeof(buf), MSG_PEEK), 3);
	assert_memory_equal(buf, "llo", 3);
	assert_int_equal(nmt_recv(p.s->s, buf, sizeof(buf), 0), 3);
}

/* As on a socket: a peek is as long as what is there, whatever calls sent it. */
static void t_peek_spans_sends(struct env *env)
{
	unsigned char buf[300];
	struct pair p;
	ssize_t n;

	pair_open(env, &p);
	for (uint64_t i = 0; i < 5; i++)
		end_put_pattern(p.c, 1, i * 50, 50);
	wait_for(env, (n = nmt_recv(p.s->s, buf, sizeof(buf), MSG_PEEK)) == 250 ||
			      (n != -EAGAIN && n < 0));
	assert_int_equal(n, 250);
	assert_int_equal(pattern_check(1, 0, buf, 250), -1);
	assert_int_equal(nmt_recv(p.s->s, buf, 70, 0), 70);
	assert_int_equal(nmt_recv(p.s->s, buf, sizeof(buf), MSG_PEEK), 180);
	assert_int_equal(pattern_check(1, 70, buf, 180), -1);
	assert_int_equal(nmt_recv(p.s->s, buf, sizeof(buf), 0), 180);
	assert_int_equal(nmt_recv(p.s->s, buf, sizeof(buf), MSG_PEEK), -EAGAIN);
}

/* Small sends that arrived together are one loan, and not one each. */
static void t_small_sends_are_few_loans(struct env *env)
{
	struct nmt_frag frag[32];
	struct pair p;
	int n;

	pair_open(env, &p);
	for (uint64_t i = 0; i < 20; i++)
		end_put_pattern(p.c, 1, i * 50, 50);
	end_put_pattern(p.c, 1, 1000, 24);
	env_idle(env, 20 * MS);
	n = nmt_recv_frags(p.s->s, frag, 32, 0);
	assert_true(n > 0 && n <= 4);
	assert_ok(env, nmt_release(p.s->s, frag, n));
}

static void t_more_is_sent_by_poll(struct env *env)
{
	uint64_t seed = rng_next(&env->rng);
	unsigned char buf[100];
	struct pair p;

	pair_open(env, &p);
	pattern_fill(seed, 0, buf, sizeof(buf));
	end_put(p.c, buf, 40, MSG_MORE);
	end_put(p.c, buf + 40, 60, MSG_MORE);
	end_expect(p.s, seed, 0, sizeof(buf));
}

/* Bytes lent are the loan's: a receive goes on after them. */
static void t_recv_goes_on_after_lent_bytes(struct env *env)
{
	uint64_t seed = rng_next(&env->rng);
	struct nmt_frag frag;
	unsigned char buf[50];
	struct pair p;
	int n;

	pair_open(env, &p);
	end_put_pattern(p.c, seed, 0, 1000);
	wait_for(env, (n = nmt_recv_frags(p.s->s, &frag, 1, 0)) != -EAGAIN);
	assert_int_equal(n, 1);
	assert_int_equal(mr_check(frag.mr, frag.offset, seed, 0, frag.len), -1);
	end_put_pattern(p.c, seed, 1000, 50);
	if (frag.len < 1000)
		end_expect(p.s, seed, frag.len, 1000 - frag.len);
	assert_int_equal(end_get(p.s, buf, 50).len, 50);
	assert_int_equal(pattern_check(seed, 1000, buf, 50), -1);
	assert_ok(env, nmt_release(p.s->s, &frag, 1));
}

const struct test tests_bytes[] = {
	TEST(t_send_recv, 0),
	TEST(t_sendmsg_recvmsg, T_POOL),
	TEST(t_peek, T_POOL),
	TEST(t_send_mr_frags, T_POOL),
	TEST(t_send_mr_into, 0),
	TEST(t_all_calls_mixed, 0),
	TEST(t_tiny_sends_and_receives, 0),
	TEST(t_both_directions_at_once, 0),
	TEST(t_streams_do_not_mix, 0),
	TEST(t_partial_send_counts, 0),
	TEST(t_large_send_from_one_call, T_POOL),
	TEST(t_eagain_when_nothing_came, T_POOL),
	TEST(t_peek_keeps_bytes, T_POOL),
	TEST(t_peek_spans_sends, T_POOL | T_STREAM | T_BUFFER),
	TEST(t_small_sends_are_few_loans, T_POOL | T_STREAM | T_BUFFER | T_HOST),
	TEST(t_more_is_sent_by_poll, 0),
	TEST(t_recv_goes_on_after_lent_bytes, T_POOL),
	TESTS_END,
};
