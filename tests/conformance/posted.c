/* SPDX-License-Identifier: BSD-2-Clause */
/* nmt_recv_into in both receive modes: order, bounds, cancel, ends, and closing (design 5.7). */
#include "suite.h"

#define GUARD 32u

static void post(struct env *env, struct end *e, struct nmt_mr *mr, uint64_t offset, size_t len,
		 uint64_t cookie)
{
	mr_fill(mr, offset, 0x5a, len + GUARD);
	assert_ok(env, nmt_recv_into(e->s, mr, offset, len, 0, cookie));
}

static void received(struct env *env, struct end *e, uint64_t cookie, uint64_t len, int status,
		     uint32_t flags)
{
	struct nmt_event ev;

	end_wait(e, NMT_EV_RECEIVED, &ev);
	if (ev.cookie != cookie || ev.len != len || ev.status != status || ev.flags != flags)
		failf(env, "receive %llu (want %llu): %llu bytes (%llu), status %d (%d), flags %u (%u)",
		      (unsigned long long)ev.cookie, (unsigned long long)cookie,
		      (unsigned long long)ev.len, (unsigned long long)len, ev.status, status,
		      ev.flags, flags);
}

static void t_posts_fill_in_order(struct env *env)
{
	struct nmt_mr *mr;
	struct pair p;

	pair_open(env, &p);
	mr = env_mr(env, 64 * KIB, NMT_ACCESS_RECV);
	for (uint64_t i = 0; i < 10; i++)
		post(env, p.s, mr, i * 6000, 5000 - i, i);
	end_put_pattern(p.c, 1, 0, 50000 - 45);
	for (uint64_t i = 0, pos = 0; i < 10; pos += 5000 - i, i++) {
		received(env, p.s, i, 5000 - i, 0, 0);
		assert_int_equal(mr_check(mr, i * 6000, 1, pos, 5000 - i), -1);
		assert_true(mr_is(mr, i * 6000 + 5000 - i, 0x5a, GUARD));
	}
}

/* No byte before the offset or after the length is touched, whatever else arrives. */
static void t_nothing_outside_the_post_is_touched(struct env *env)
{
	struct nmt_mr *mr;
	struct pair p;

	pair_open(env, &p);
	mr = env_mr(env, 16 * KIB, NMT_ACCESS_RECV);
	mr_fill(mr, 0, 0x5a, 16 * KIB);
	assert_ok(env, nmt_recv_into(p.s->s, mr, 4001, 1003, 0, 1));
	end_put_pattern(p.c, 1, 0, 60000);
	received(env, p.s, 1, 1003, 0, 0);
	env_idle(env, 5 * MS);
	assert_int_equal(mr_check(mr, 4001, 1, 0, 1003), -1);
	assert_true(mr_is(mr, 0, 0x5a, 4001));
	assert_true(mr_is(mr, 5004, 0x5a, 16 * KIB - 5004));
	end_expect(p.s, 1, 1003, 60000 - 1003);
}

static void t_recv_depth_is_eagain(struct env *env)
{
	struct pair_opt opt;
	struct nmt_mr *mr;
	struct pair p;

	pair_defaults(env, &opt);
	opt.s.recv_depth = 4;
	pair_open_opt(env, &p, &opt);
	mr = env_mr(env, 4096, NMT_ACCESS_RECV);
	for (uint64_t i = 0; i < 4; i++)
		assert_ok(env, nmt_recv_into(p.s->s, mr, i * 100, 100, 0, i));
	assert_err(env, nmt_recv_into(p.s->s, mr, 400, 100, 0, 4), -EAGAIN);
	end_put_pattern(p.c, 1, 0, 100);
	received(env, p.s, 0, 100, 0, 0);
	assert_ok(env, nmt_recv_into(p.s->s, mr, 400, 100, 0, 4));
	end_put_pattern(p.c, 1, 100, 400);
	for (uint64_t i = 1; i < 5; i++)
		received(env, p.s, i, 100, 0, 0);
	assert_int_equal(mr_check(mr, 0, 1, 0, 500), -1);
}

static void t_bytes_that_came_before_the_post(struct env *env)
{
	struct nmt_mr *mr;
	struct pair p;

	pair_open(env, &p);
	mr = env_mr(env, 20000, NMT_ACCESS_RECV);
	end_put_pattern(p.c, 1, 0, 10000);
	env_idle(env, 10 * MS);
	post(env, p.s, mr, 0, 4000, 1);
	received(env, p.s, 1, 4000, 0, 0);
	post(env, p.s, mr, 4000, 6000, 2);
	received(env, p.s, 2, 6000, 0, 0);
	assert_int_equal(mr_check(mr, 0, 1, 0, 10000), -1);
}

/* Part of what came was taken by copy; the post goes on behind it. */
static void t_post_goes_on_behind_a_receive(struct env *env)
{
	unsigned char buf[1000];
	struct nmt_mr *mr;
	struct pair p;

	pair_open(env, &p);
	mr = env_mr(env, 20000, NMT_ACCESS_RECV);
	end_put_pattern(p.c, 1, 0, 10000);
	assert_int_equal(end_get(p.s, buf, 1000).len, 1000);
	post(env, p.s, mr, 0, 5000, 1);
	received(env, p.s, 1, 5000, 0, 0);
	assert_int_equal(mr_check(mr, 0, 1, 1000, 5000), -1);
	end_expect(p.s, 1, 6000, 4000);
}

static void t_other_receives_are_ebusy(struct env *env)
{
	struct nmt_frag frag;
	struct nmt_mr *mr;
	char byte;
	struct pair p;

	pair_open(env, &p);
	mr = env_mr(env, 1000, NMT_ACCESS_RECV);
	post(env, p.s, mr, 0, 100, 1);
	assert_err(env, nmt_recv(p.s->s, &byte, 1, 0), -EBUSY);
	assert_err(env, nmt_recv_frags(p.s->s, &frag, 1, 0), -EBUSY);
	end_put_pattern(p.c, 1, 0, 100);
	received(env, p.s, 1, 100, 0, 0);
	assert_int_equal(mr_check(mr, 0, 1, 0, 100), -1);
	pair_works(&p, 100);
}

static void t_recv_some_takes_what_is_there(struct env *env)
{
	struct nmt_event ev;
	struct nmt_mr *mr;
	uint64_t pos = 0;
	struct pair p;

	pair_open(env, &p);
	mr = env_mr(env, 4096, NMT_ACCESS_RECV);
	assert_ok(env, nmt_recv_into(p.s->s, mr, 0, 4000, NMT_RECV_SOME, 1));
	end_put_pattern(p.c, 1, 0, 10);
	end_wait(p.s, NMT_EV_RECEIVED, &ev);
	assert_int_equal(ev.status, 0);
	assert_int_equal(ev.len, 10);
	assert_int_equal(mr_check(mr, 0, 1, pos, ev.len), -1);
}

static void t_copying_calls_are_refused(struct env *env)
{
	struct iovec iov;
	struct nmt_frag frag;
	char byte;
	struct pair p;

	pair_open(env, &p);
	iov = (struct iovec){ &byte, 1 };
	end_put_pattern(p.c, 1, 0, 10);
	assert_err(env, nmt_recv(p.s->s, &byte, 1, 0), -EOPNOTSUPP);
	assert_err(env, nmt_recvmsg(p.s->s, &iov, 1, 0, NULL), -EOPNOTSUPP);
	assert_err(env, nmt_recv_frags(p.s->s, &frag, 1, 0), -EOPNOTSUPP);
	end_expect(p.s, 1, 0, 10);
}

static void t_end_of_stream_completes_posts(struct env *env)
{
	struct nmt_mr *mr;
	struct pair p;

	pair_open(env, &p);
	mr = env_mr(env, 4096, NMT_ACCESS_RECV);
	post(env, p.s, mr, 0, 1000, 1);
	post(env, p.s, mr, 2000, 1000, 2);
	end_put_pattern(p.c, 1, 0, 300);
	end_close(p.c);
	received(env, p.s, 1, 300, 0, NMT_EVF_EOF);
	received(env, p.s, 2, 0, 0, NMT_EVF_EOF);
	assert_int_equal(mr_check(mr, 0, 1, 0, 300), -1);
	assert_true(mr_is(mr, 300, 0x5a, 700 + GUARD));
	assert_true(mr_is(mr, 2000, 0x5a, 1000));
	end_expect_eof(p.s);
}

static void t_abort_completes_posts(struct env *env)
{
	struct nmt_event ev;
	struct nmt_mr *mr;
	struct pair p;

	pair_open(env, &p);
	mr = env_mr(env, 4096, NMT_ACCESS_RECV);
	post(env, p.s, mr, 0, 1000, 1);
	post(env, p.s, mr, 2000, 1000, 2);
	end_abort(p.c);
	for (uint64_t i = 1; i <= 2; i++) {
		end_wait(p.s, NMT_EV_RECEIVED, &ev);
		assert_int_equal(ev.cookie, i);
		assert_int_equal(ev.status, -ECONNRESET);
		assert_int_equal(ev.len, 0);
	}
	assert_ok(env, env_mr_close(env, mr));
}

static void t_cancel_tells_the_count(struct env *env)
{
	struct nmt_event ev;
	struct nmt_mr *mr;
	struct pair p;

	pair_open(env, &p);
	mr = env_mr(env, 4096, NMT_ACCESS_RECV);
	post(env, p.s, mr, 0, 1000, 1);
	end_put_pattern(p.c, 1, 0, 300);
	env_idle(env, 10 * MS);
	assert_ok(env, nmt_recv_cancel(p.s->s, 1));
	end_wait(p.s, NMT_EV_RECEIVED, &ev);
	assert_int_equal(ev.cookie, 1);
	assert_int_equal(ev.status, -ECANCELED);
	assert_true(ev.len <= 300);
	assert_int_equal(mr_check(mr, 0, 1, 0, ev.len), -1);
	end_put_pattern(p.c, 1, 300, 500);
	end_expect(p.s, 1, ev.len, 800 - ev.len);
	assert_true(mr_is(mr, ev.len, 0x5a, 1000 - ev.len));
}

static void t_cancel_of_a_later_post(struct env *env)
{
	struct nmt_event ev;
	struct nmt_mr *mr;
	struct pair p;

	pair_open(env, &p);
	mr = env_mr(env, 4096, NMT_ACCESS_RECV);
	post(env, p.s, mr, 0, 500, 1);
	post(env, p.s, mr, 1000, 500, 2);
	post(env, p.s, mr, 2000, 500, 3);
	assert_ok(env, nmt_recv_cancel(p.s->s, 2));
	wait_for(env, end_count(p.s, NMT_EV_RECEIVED) == 1);
	assert_true(end_take(p.s, NMT_EV_RECEIVED, &ev));
	assert_int_equal(ev.cookie, 2);
	assert_int_equal(ev.status, -ECANCELED);
	assert_int_equal(ev.len, 0);
	end_put_pattern(p.c, 1, 0, 1000);
	received(env, p.s, 1, 500, 0, 0);
	received(env, p.s, 3, 500, 0, 0);
	assert_int_equal(mr_check(mr, 2000, 1, 500, 500), -1);
	assert_true(mr_is(mr, 1000, 0x5a, 500));
}

static void t_cancel_of_nothing_is_enoent(struct env *env)
{
	struct nmt_mr *mr;
	struct pair p;

	pair_open(env, &p);
	assert_err(env, nmt_recv_cancel(p.s->s, 1), -ENOENT);
	mr = env_mr(env, 1000, NMT_ACCESS_RECV);
	post(env, p.s, mr, 0, 100, 1);
	assert_err(env, nmt_recv_cancel(p.s->s, 2), -ENOENT);
	end_put_pattern(p.c, 1, 0, 100);
	received(env, p.s, 1, 100, 0, 0);
	assert_err(env, nmt_recv_cancel(p.s->s, 1), -ENOENT);
}

/* Whatever completion the posts get, the memory is the application's after NMT_EV_CLOSED. */
static void end_with_posts(struct env *env, void (*end)(struct end *e), int status)
{
	struct nmt_event ev;
	struct nmt_mr *mr;
	struct pair p;

	pair_open(env, &p);
	mr = env_mr(env, 4096, NMT_ACCESS_RECV);
	post(env, p.s, mr, 0, 1000, 1);
	post(env, p.s, mr, 2000, 1000, 2);
	assert_int_equal(env_mr_close(env, mr), -EBUSY);
	end(p.s);
	(void)nmt_send(p.c->s, "late bytes", 10, 0);
	env_idle(env, 5 * MS);
	end_close(p.c);
	end_closed(p.s, status);
	while (end_take(p.s, NMT_EV_RECEIVED, &ev))
		assert_int_equal(ev.status, -ECANCELED);
	assert_true(mr_is(mr, 2000, 0x5a, 1000));
	assert_ok(env, env_mr_close(env, mr));
}

static void t_close_with_posts_outstanding(struct env *env)
{
	end_with_posts(env, end_close, 0);
}

static void t_abort_with_posts_outstanding(struct env *env)
{
	end_with_posts(env, end_abort, -ECONNABORTED);
}

static void t_posted_region_is_busy(struct env *env)
{
	struct nmt_mr *mr;
	struct pair p;

	pair_open(env, &p);
	mr = env_mr(env, 1000, NMT_ACCESS_RECV);
	post(env, p.s, mr, 0, 100, 1);
	assert_int_equal(env_mr_close(env, mr), -EBUSY);
	end_put_pattern(p.c, 1, 0, 100);
	received(env, p.s, 1, 100, 0, 0);
	assert_ok(env, env_mr_close(env, mr));
}

static void t_large_posts(struct env *env)
{
	struct flow f;
	struct pair p;

	pair_open(env, &p);
	flow_init(env, &f, p.c, p.s, 4 * MIB);
	f.rx_how = RX_INTO;
	flows_run(env, &f, 1);
}

const struct test tests_posted[] = {
	TEST(t_posts_fill_in_order, 0),
	TEST(t_nothing_outside_the_post_is_touched, 0),
	TEST(t_recv_depth_is_eagain, 0),
	TEST(t_bytes_that_came_before_the_post, 0),
	TEST(t_post_goes_on_behind_a_receive, 0),
	TEST(t_other_receives_are_ebusy, T_POOL),
	TEST(t_recv_some_takes_what_is_there, T_POOL),
	TEST(t_copying_calls_are_refused, T_POSTED),
	TEST(t_end_of_stream_completes_posts, 0),
	TEST(t_abort_completes_posts, 0),
	TEST(t_cancel_tells_the_count, 0),
	TEST(t_cancel_of_a_later_post, 0),
	TEST(t_cancel_of_nothing_is_enoent, 0),
	TEST(t_close_with_posts_outstanding, 0),
	TEST(t_abort_with_posts_outstanding, 0),
	TEST(t_posted_region_is_busy, 0),
	TEST(t_large_posts, 0),
	TESTS_END,
};
