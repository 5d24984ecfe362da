/* SPDX-License-Identifier: BSD-2-Clause */
/* What nmt.h says of events: when each comes, when it comes again, and what it carries. */
#include "suite.h"

/* Setting up may leave a READABLE behind that finds nothing; a receive settles it. */
static void settle(struct env *env, struct end *e)
{
	unsigned char byte;

	env_idle(env, 5 * MS);
	assert_err(env, nmt_recv(e->s, &byte, 1, 0), -EAGAIN);
	e->readable = 0;
}

static void t_readable_comes_once_per_receive(struct env *env)
{
	unsigned char buf[100];
	struct pair p;

	pair_open(env, &p);
	settle(env, p.s);
	end_put_pattern(p.c, 1, 0, 1000);
	wait_for(env, p.s->readable > 0);
	env_idle(env, 10 * MS);
	assert_int_equal(p.s->readable, 1);
	assert_int_equal(nmt_recv(p.s->s, buf, 100, 0), 100);
	wait_for(env, p.s->readable > 1);
	env_idle(env, 10 * MS);
	assert_int_equal(p.s->readable, 2);
	end_expect(p.s, 1, 100, 900);
}

static void t_readable_comes_again_for_new_bytes(struct env *env)
{
	struct pair p;

	pair_open(env, &p);
	settle(env, p.s);
	for (uint64_t i = 0; i < 20; i++) {
		unsigned int before = p.s->readable;

		end_put_pattern(p.c, 1, i * 10, 10);
		wait_for(env, p.s->readable > before);
		end_expect(p.s, 1, i * 10, 10);
		assert_err(env, nmt_recv(p.s->s, &before, 1, 0), -EAGAIN);
	}
}

static void t_readable_tells_the_end(struct env *env)
{
	struct pair p;

	pair_open(env, &p);
	settle(env, p.s);
	end_close(p.c);
	wait_for(env, p.s->readable > 0);
	end_expect_eof(p.s);
	assert_int_equal(p.s->error, 0);
}

static void t_readable_or_error_tells_an_abort(struct env *env)
{
	struct pair p;

	pair_open(env, &p);
	end_abort(p.c);
	wait_for(env, p.s->error);
	end_expect_error(p.s, -ECONNRESET);
}

/* Bytes that are there, and behind them an abort that was told before they are taken. */
static void broken_behind(struct env *env, struct pair *p, size_t len)
{
	pair_open(env, p);
	settle(env, p->s);
	end_put_pattern(p->c, 1, 0, len);
	wait_for(env, p->s->readable > 0);
	end_abort(p->c);
	wait_for(env, p->s->error);
	p->s->readable = 0;
}

/* Who takes the last bytes and waits for READABLE hears of the error. */
static void t_readable_tells_the_error(struct env *env)
{
	unsigned char buf[100];
	struct pair p;

	broken_behind(env, &p, sizeof(buf));
	assert_int_equal(nmt_recv(p.s->s, buf, sizeof(buf), 0), sizeof(buf));
	wait_for(env, p.s->readable > 0);
	assert_err(env, nmt_recv(p.s->s, buf, sizeof(buf), 0), -ECONNRESET);
}

static void t_readable_tells_the_error_behind_loans(struct env *env)
{
	struct nmt_frag frag;
	struct pair p;

	broken_behind(env, &p, 100);
	assert_int_equal(nmt_recv_frags(p.s->s, &frag, 1, 0), 1);
	assert_int_equal(frag.len, 100);
	wait_for(env, p.s->readable > 0);
	assert_err(env, nmt_recv_frags(p.s->s, &frag, 1, 0), -ECONNRESET);
}

static void t_writable_comes_after_eagain(struct env *env)
{
	uint64_t sent;
	struct pair p;

	pair_open(env, &p);
	assert_int_equal(p.c->writable, 0);
	sent = end_fill(p.c, 1, 0);
	p.c->writable = 0;
	end_expect(p.s, 1, 0, sent);
	wait_for(env, p.c->writable > 0);
	env_idle(env, 5 * MS);
	assert_int_equal(p.c->writable, 1);
	end_put_pattern(p.c, 1, sent, 1000);
	end_expect(p.s, 1, sent, 1000);
}

static void t_no_writable_unasked(struct env *env)
{
	struct pair p;

	pair_open(env, &p);
	pair_works(&p, 1000);
	env_idle(env, 10 * MS);
	assert_int_equal(p.c->writable + p.s->writable, 0);
}

static void t_events_name_stream_and_user(struct env *env)
{
	struct pair p;

	pair_open(env, &p);
	assert_ptr_equal(nmt_stream_user(p.c->s), p.c);
	assert_ptr_equal(nmt_stream_user(p.s->s), p.s);
	end_put_pattern(p.c, 1, 0, 10);
	end_expect(p.s, 1, 0, 10);
	assert_true(p.c->connected && p.s->connected);
}

static void t_closed_is_the_last_event(struct env *env)
{
	struct pair p;

	pair_open(env, &p);
	end_put_pattern(p.c, 1, 0, 10);
	end_put_pattern(p.s, 1, 0, 10);
	end_close(p.c);
	end_close(p.s);
	wait_for(env, p.c->closed && p.s->closed);
	env_idle(env, 20 * MS);
}

static void t_max_bounds_the_batch(struct env *env)
{
	struct nmt_event ev[4];
	struct nmt_mr *mr;
	struct pair p;
	int n, seen = 0;

	pair_open(env, &p);
	mr = env_mr(env, 100, NMT_ACCESS_RECV);
	for (uint64_t i = 0; i < 8; i++)
		assert_ok(env, nmt_recv_into(p.s->s, mr, i, 1, 0, i));
	end_put_pattern(p.c, 1, 0, 8);
	while (seen < 8) {
		ev[2] = ev[3] = (struct nmt_event){ .cookie = 12345 };
		n = nmt_poll(env->dom[SERVER], ev, 2, SEC);
		if (n < 1 || n > 2)
			failf(env, "nmt_poll gives %d, the most is 2", n);
		for (int i = 0; i < n; i++)
			if (ev[i].type == NMT_EV_RECEIVED)
				assert_int_equal(ev[i].cookie, seen++);
		assert_int_equal(ev[2].cookie, 12345);
	}
}

static void t_poll_without_events_times_out(struct env *env)
{
	int64_t start, took;
	struct nmt_event ev;
	struct pair p;

	pair_open(env, &p);
	env_idle(env, 5 * MS);
	assert_int_equal(nmt_poll(env->dom[CLIENT], &ev, 1, 0), 0);
	start = now_ns();
	assert_int_equal(nmt_poll(env->dom[CLIENT], &ev, 1, 50 * MS), 0);
	took = now_ns() - start;
	assert_true(took >= 49 * MS && took < 2 * SEC);
	assert_err(env, nmt_poll(env->dom[CLIENT], &ev, 0, 0), -EINVAL);
	assert_err(env, nmt_poll(env->dom[CLIENT], &ev, -1, 0), -EINVAL);
}

static void t_received_comes_without_being_polled_for(struct env *env)
{
	struct nmt_event ev;
	struct nmt_mr *mr;
	struct pair p;

	pair_open(env, &p);
	mr = env_mr(env, 1000, NMT_ACCESS_RECV);
	assert_ok(env, nmt_recv_into(p.s->s, mr, 0, 1000, 0, 1));
	end_put_pattern(p.c, 1, 0, 400);
	env_idle(env, 5 * MS);
	assert_int_equal(end_count(p.s, NMT_EV_RECEIVED), 0);
	end_put_pattern(p.c, 1, 400, 600);
	end_wait(p.s, NMT_EV_RECEIVED, &ev);
	assert_int_equal(ev.len, 1000);
}

const struct test tests_events[] = {
	TEST(t_readable_comes_once_per_receive, T_POOL),
	TEST(t_readable_comes_again_for_new_bytes, T_POOL),
	TEST(t_readable_tells_the_end, T_POOL),
	TEST(t_readable_or_error_tells_an_abort, T_POOL),
	TEST(t_readable_tells_the_error, T_POOL),
	TEST(t_readable_tells_the_error_behind_loans, T_POOL),
	TEST(t_writable_comes_after_eagain, 0),
	TEST(t_no_writable_unasked, 0),
	TEST(t_events_name_stream_and_user, 0),
	TEST(t_closed_is_the_last_event, 0),
	TEST(t_max_bounds_the_batch, T_BUFFER | T_ALONE),
	TEST(t_poll_without_events_times_out, 0),
	TEST(t_received_comes_without_being_polled_for, 0),
	TESTS_END,
};
