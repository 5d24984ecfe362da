/* SPDX-License-Identifier: BSD-2-Clause */
/* Design 5.2 and 5.7: ends of streams, half-close, close that delivers, abort. */
#include "suite.h"

static void t_end_of_stream_is_zero(struct env *env)
{
	struct nmt_frag frag;
	struct pair p;

	pair_open(env, &p);
	end_put_pattern(p.c, 1, 0, 1000);
	end_close(p.c);
	end_expect(p.s, 1, 0, 1000);
	end_expect_eof(p.s);
	end_expect_eof(p.s);
	if (env->cfg->recv == NMT_RECV_POOL)
		assert_err(env, nmt_recv_frags(p.s->s, &frag, 1, 0), 0);
	end_close(p.s);
	end_closed(p.c, 0);
	end_closed(p.s, 0);
}

static void t_half_close_client_first(struct env *env)
{
	struct pair p;

	pair_open(env, &p);
	end_put_pattern(p.c, 1, 0, 5000);
	assert_ok(env, nmt_shutdown(p.c->s, SHUT_WR));
	end_expect(p.s, 1, 0, 5000);
	end_expect_eof(p.s);
	end_put_pattern(p.s, 2, 0, 50000);
	end_expect(p.c, 2, 0, 50000);
	assert_ok(env, nmt_shutdown(p.s->s, SHUT_WR));
	end_expect_eof(p.c);
	pair_close(&p);
}

static void t_half_close_server_first(struct env *env)
{
	struct pair p;

	pair_open(env, &p);
	assert_ok(env, nmt_shutdown(p.s->s, SHUT_WR));
	end_expect_eof(p.c);
	end_put_pattern(p.c, 1, 0, 50000);
	end_expect(p.s, 1, 0, 50000);
	assert_ok(env, nmt_shutdown(p.c->s, SHUT_WR));
	end_expect_eof(p.s);
	pair_close(&p);
}

static void t_half_close_both_at_once(struct env *env)
{
	struct pair p;

	pair_open(env, &p);
	end_put_pattern(p.c, 1, 0, 3000);
	end_put_pattern(p.s, 2, 0, 3000);
	assert_ok(env, nmt_shutdown(p.c->s, SHUT_WR));
	assert_ok(env, nmt_shutdown(p.s->s, SHUT_WR));
	end_expect(p.s, 1, 0, 3000);
	end_expect(p.c, 2, 0, 3000);
	end_expect_eof(p.s);
	end_expect_eof(p.c);
	pair_close(&p);
}

static void t_send_after_shutdown_is_epipe(struct env *env)
{
	struct nmt_frag frag = { .len = 10 };
	struct pair p;

	pair_open(env, &p);
	frag.mr = env_mr(env, 100, NMT_ACCESS_SEND);
	assert_ok(env, nmt_shutdown(p.c->s, SHUT_WR));
	assert_err(env, nmt_send(p.c->s, "x", 1, 0), -EPIPE);
	assert_err(env, nmt_send_mr(p.c->s, &frag, 1, 0, 1), -EPIPE);
	end_expect_eof(p.s);
	end_put_pattern(p.s, 3, 0, 100);
	end_expect(p.c, 3, 0, 100);
}

static void t_shut_rd_gives_zero(struct env *env)
{
	struct nmt_mr *mr;
	char byte;
	struct pair p;

	pair_open(env, &p);
	mr = env_mr(env, 100, NMT_ACCESS_RECV);
	assert_ok(env, nmt_shutdown(p.s->s, SHUT_RD));
	assert_err(env, nmt_recv_into(p.s->s, mr, 0, 10, 0, 1), -EPIPE);
	if (env->cfg->recv == NMT_RECV_POOL)
		assert_int_equal(nmt_recv(p.s->s, &byte, 1, 0), 0);
	end_put_pattern(p.s, 4, 0, 1000);
	end_expect(p.c, 4, 0, 1000);
}

static void t_shutdown_of_bad_direction(struct env *env)
{
	struct pair p;

	pair_open(env, &p);
	assert_err(env, nmt_shutdown(p.c->s, 77), -EINVAL);
	pair_works(&p, 1000);
}

/* As much as the path takes is under way when the sender closes, and the peer is slow to read. */
static void t_close_delivers_to_a_slow_reader(struct env *env)
{
	uint64_t sent, at = 0;
	struct pair p;

	pair_open(env, &p);
	sent = end_fill(p.c, 5, 0);
	end_close(p.c);
	env_idle(env, 30 * MS);
	while (at < sent) {
		size_t n = sent - at < 300 * KIB ? sent - at : 300 * KIB;

		end_expect(p.s, 5, at, n);
		at += n;
		env_idle(env, MS);
	}
	end_expect_eof(p.s);
	end_close(p.s);
	end_closed(p.c, 0);
}

/* A close with unread bytes makes TCP send a reset, which would throw away bytes under way. */
static void t_close_with_unread_input_delivers(struct env *env)
{
	uint64_t sent;
	struct pair p;

	pair_open(env, &p);
	end_put_pattern(p.s, 6, 0, 64 * KIB);
	sent = end_fill(p.c, 7, 0);
	env_idle(env, 5 * MS);
	end_close(p.c);
	end_expect(p.s, 7, 0, sent / 2);
	(void)nmt_send(p.s->s, "more for nobody", 15, 0);
	end_expect(p.s, 7, sent / 2, sent - sent / 2);
	end_expect_eof(p.s);
	end_close(p.s);
	end_closed(p.c, 0);
}

/* The peer is still sending, more than the closing end can drop at once. */
static void t_close_against_a_sender_delivers(struct env *env)
{
	struct pair_opt opt;
	struct pair p;

	pair_defaults(env, &opt);
	opt.c.rcvbuf = 4 * KIB;
	pair_open_opt(env, &p, &opt);
	end_put_pattern(p.c, 7, 0, 1000);
	end_fill(p.s, 6, 0);
	env_idle(env, 5 * MS);
	end_close(p.c);
	end_expect(p.s, 7, 0, 1000);
	end_expect_eof(p.s);
	end_close(p.s);
	end_closed(p.c, 0);
}

struct reader {
	struct end *e;
	uint64_t seed, total, at;
	int status;
};

/* Second thread: has the server domain for itself and reads to the end. */
static void read_all(struct worker *w)
{
	struct reader *r = w->arg;
	unsigned char buf[4096];
	struct nmt_event ev[8];
	ssize_t n;

	while ((n = nmt_recv(r->e->s, buf, sizeof(buf), 0)) != 0) {
		worker_check(w, n > 0 || n == -EAGAIN);
		worker_check(w, now_ns() < w->env->deadline);
		if (n < 0) {
			nmt_poll(w->env->dom[SERVER], ev, 8, 100 * MS);
			continue;
		}
		worker_check(w, pattern_check(r->seed, r->at, buf, (size_t)n) < 0);
		r->at += (uint64_t)n;
	}
	worker_check(w, r->at == r->total);
	nmt_close(r->e->s);
	r->e->s = NULL;
	while (!r->e->closed) {
		worker_check(w, now_ns() < w->env->deadline);
		for (n = nmt_poll(w->env->dom[SERVER], ev, 8, 10 * MS); n > 0; n--)
			r->e->closed |= ev[n - 1].type == NMT_EV_CLOSED;
	}
}

static void t_domain_close_delivers(struct env *env)
{
	struct reader r = { .seed = 8 };
	struct nmt_domain *dom;
	struct worker w;
	struct pair p;

	pair_open(env, &p);
	r.e = p.s;
	r.total = end_fill(p.c, 8, 0);
	worker_start(env, &w, read_all, &r);
	dom = env->dom[CLIENT];
	env->dom[CLIENT] = NULL;
	p.c->s = NULL;
	assert_ok(env, nmt_domain_close(dom));
	worker_join(&w);
}

static void t_linger_ends_with_etimedout(struct env *env)
{
	struct pair_opt opt;
	int64_t start;
	struct pair p;

	pair_defaults(env, &opt);
	opt.c.linger = 200 * MS;
	pair_open_opt(env, &p, &opt);
	end_fill(p.c, 9, 0);
	start = now_ns();
	end_close(p.c);
	end_closed(p.c, -ETIMEDOUT);
	assert_true(now_ns() - start >= 190 * MS);
	end_expect_error(p.s, -ECONNRESET);
}

static void t_abort_is_reset_at_the_peer(struct env *env)
{
	struct pair p;

	pair_open(env, &p);
	end_put_pattern(p.c, 10, 0, 1000);
	end_expect(p.s, 10, 0, 1000);
	end_abort(p.c);
	end_closed(p.c, -ECONNABORTED);
	end_expect_error(p.s, -ECONNRESET);
	wait_for(env, p.s->error);
	assert_int_equal(p.s->error, -ECONNRESET);
	assert_int_equal(end_info(p.s).state, NMT_STATE_FAILED);
	assert_true(nmt_send(p.s->s, "x", 1, 0) < 0);
}

/* The receive call meets the reset itself, before any event has told of it. */
static void t_abort_before_the_next_poll(struct env *env)
{
	unsigned char buf[100];
	struct pair p;
	ssize_t n;

	pair_open(env, &p);
	assert_err(env, nmt_recv(p.s->s, buf, 1, 0), -EAGAIN);
	end_put_pattern(p.c, 1, 0, sizeof(buf));
	env_idle(env, 10 * MS);
	end_abort(p.c);
	assert_int_equal(nmt_recv(p.s->s, buf, sizeof(buf), 0), sizeof(buf));
	wait_for(env, (n = nmt_recv(p.s->s, buf, sizeof(buf), 0)) != -EAGAIN);
	if (n != -ECONNRESET)
		failf(env, "nmt_recv gives %zd, want -ECONNRESET", n);
}

/* Also with much under way in both directions. */
static void t_abort_in_the_middle(struct env *env)
{
	struct pair p;

	pair_open(env, &p);
	end_fill(p.c, 11, 0);
	end_fill(p.s, 12, 0);
	end_abort(p.s);
	end_closed(p.s, -ECONNABORTED);
	end_expect_error(p.c, -ECONNRESET);
	end_close(p.c);
	wait_for(env, p.c->closed);
	assert_int_equal(p.c->closed_status, -ECONNRESET);
}

static void t_sender_learns_of_abort(struct env *env)
{
	struct pair p;
	ssize_t n;

	pair_open(env, &p);
	end_fill(p.c, 13, 0);
	end_abort(p.s);
	wait_for(env, p.c->error);
	assert_int_equal(p.c->error, -ECONNRESET);
	n = nmt_send(p.c->s, "x", 1, 0);
	assert_true(n == -ECONNRESET || n == -EPIPE);
}

static void t_close_of_a_failed_stream(struct env *env)
{
	struct pair p;

	pair_open(env, &p);
	end_abort(p.s);
	wait_for(env, p.c->error);
	end_close(p.c);
	wait_for(env, p.c->closed);
	assert_true(p.c->closed_status == 0 || p.c->closed_status == -ECONNRESET);
}

static void t_close_at_once_after_open(struct env *env)
{
	struct pair p;

	for (int i = 0; i < 5; i++) {
		pair_open(env, &p);
		end_close(p.c);
		end_expect_eof(p.s);
		end_close(p.s);
		end_closed(p.c, 0);
		end_closed(p.s, 0);
	}
}

static void t_simultaneous_close(struct env *env)
{
	struct pair p;

	for (int i = 0; i < 5; i++) {
		pair_open(env, &p);
		end_put_pattern(p.c, 14, 0, 100);
		end_expect(p.s, 14, 0, 100);
		pair_close(&p);
	}
}

const struct test tests_close[] = {
	TEST(t_end_of_stream_is_zero, 0),
	TEST(t_half_close_client_first, 0),
	TEST(t_half_close_server_first, 0),
	TEST(t_half_close_both_at_once, 0),
	TEST(t_send_after_shutdown_is_epipe, 0),
	TEST(t_shut_rd_gives_zero, 0),
	TEST(t_shutdown_of_bad_direction, T_HOST),
	TEST(t_close_delivers_to_a_slow_reader, 0),
	TEST(t_close_with_unread_input_delivers, 0),
	TEST(t_close_against_a_sender_delivers, 0),
	TEST(t_domain_close_delivers, T_POOL | T_HOST),
	TEST(t_linger_ends_with_etimedout, T_HOST),
	TEST(t_abort_is_reset_at_the_peer, 0),
	TEST(t_abort_before_the_next_poll, T_POOL),
	TEST(t_abort_in_the_middle, 0),
	TEST(t_sender_learns_of_abort, 0),
	TEST(t_close_of_a_failed_stream, 0),
	TEST(t_close_at_once_after_open, 0),
	TEST(t_simultaneous_close, T_HOST),
	TESTS_END,
};
