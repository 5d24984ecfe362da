/* SPDX-License-Identifier: BSD-2-Clause */
/* Design 5.6: borrowed sends give memory back in order, flush tells delivery, closing is safe. */
#include "suite.h"

static struct nmt_frag run_of(struct nmt_mr *mr, uint64_t offset, size_t len)
{
	return (struct nmt_frag){ .mr = mr, .offset = offset, .len = (uint32_t)len };
}

static void sent(struct env *env, struct end *e, uint64_t cookie, uint64_t len)
{
	struct nmt_event ev;

	end_wait(e, NMT_EV_SENT, &ev);
	if (ev.cookie != cookie || ev.status || ev.len != len)
		failf(env, "NMT_EV_SENT %llu (want %llu): status %d, %llu bytes (%llu)",
		      (unsigned long long)ev.cookie, (unsigned long long)cookie, ev.status,
		      (unsigned long long)ev.len, (unsigned long long)len);
}

/* Each block goes out of the same memory, which is changed as soon as it is back. */
static void reuse(struct env *env, uint32_t zerocopy_min)
{
	struct pair_opt opt;
	struct nmt_frag frag;
	struct nmt_mr *mr;
	struct pair p;

	pair_defaults(env, &opt);
	opt.c.zerocopy_min = zerocopy_min;
	pair_open_opt(env, &p, &opt);
	mr = env_mr(env, 64 * KIB, NMT_ACCESS_SEND);
	frag = run_of(mr, 0, 64 * KIB);
	for (uint64_t i = 0; i < 10; i++) {
		mr_pattern(mr, 0, i, 0, 64 * KIB);
		assert_ok(env, nmt_send_mr(p.c->s, &frag, 1, 0, i));
		sent(env, p.c, i, 64 * KIB);
		mr_fill(mr, 0, 0xbb, 64 * KIB);
		end_expect(p.s, i, 0, 64 * KIB);
	}
}

static void t_memory_may_change_after_sent(struct env *env)
{
	reuse(env, UINT32_MAX);
}

static void t_memory_may_change_after_sent_zerocopy(struct env *env)
{
	reuse(env, 1);
}

#define SLOT (24u * KIB)

struct slow {
	struct nmt_mr *mr;
	size_t len[4];
	uint64_t pos, total;
};

/* Memory is overwritten the moment it is back. */
static void spoil_returned(struct env *env, struct end *e, struct slow *w)
{
	struct nmt_event ev;

	while (end_take(e, NMT_EV_SENT, &ev)) {
		assert_true(ev.cookie < 4);
		if (ev.status)
			failf(env, "NMT_EV_SENT says %d", ev.status);
		mr_fill(w->mr, ev.cookie * SLOT, 0xee, w->len[ev.cookie]);
	}
}

static void borrow_four(struct env *env, struct end *e, struct slow *w, uint64_t seed)
{
	for (uint64_t i = 0; i < 4; i++) {
		struct nmt_frag frag;

		w->len[i] = 1 + rng_below(&env->rng, SLOT);
		mr_pattern(w->mr, i * SLOT, seed, w->total, w->len[i]);
		frag = run_of(w->mr, i * SLOT, w->len[i]);
		assert_ok(env, nmt_send_mr(e->s, &frag, 1, 0, i));
		w->total += w->len[i];
	}
}

/* The path is full before the borrows begin, so each of them waits in the kernel for a while. */
static void slow_round(struct env *env, uint64_t seed)
{
	struct slow w = { 0 };
	struct pair_opt opt;
	struct pair p;

	pair_defaults(env, &opt);
	opt.c.zerocopy_min = 1;
	opt.c.sndbuf = opt.s.rcvbuf = 64 * KIB;
	pair_open_opt(env, &p, &opt);
	w.mr = env_mr(env, 4 * SLOT, NMT_ACCESS_SEND);
	w.total = end_fill(p.c, seed, 0);
	borrow_four(env, p.c, &w, seed);
	while (w.pos < w.total) {
		size_t n = rng_size(&env->rng, 32 * KIB);

		n = n < w.total - w.pos ? n : w.total - w.pos;
		end_expect(p.s, seed, w.pos, n);
		w.pos += n;
		env_spin(env, 2);
		spoil_returned(env, p.c, &w);
	}
	pair_close(&p);
}

/* Zero-copy sends that the kernel takes in pieces, and keeps, are done when it has let go. */
static void t_waiting_zerocopy_keeps_memory(struct env *env)
{
	for (uint64_t i = 0; i < 8; i++)
		slow_round(env, i);
}

/* The peer does not read, so SENT comes when the library is done with the memory, not before. */
static void t_memory_is_ours_while_the_peer_is_slow(struct env *env)
{
	struct nmt_event ev;
	struct pair_opt opt;
	struct nmt_frag frag;
	struct nmt_mr *mr;
	struct pair p;

	pair_defaults(env, &opt);
	opt.c.sndbuf = opt.s.rcvbuf = 128 * KIB;
	pair_open_opt(env, &p, &opt);
	mr = env_mr(env, 3 * MIB, NMT_ACCESS_SEND);
	mr_pattern(mr, 0, 1, 0, 3 * MIB);
	frag = run_of(mr, 0, 3 * MIB);
	assert_ok(env, nmt_send_mr(p.c->s, &frag, 1, 0, 1));
	env_idle(env, 50 * MS);
	if (end_take(p.c, NMT_EV_SENT, &ev))
		failf(env, "NMT_EV_SENT for 3 MiB while the peer does not read");
	assert_int_equal(env_mr_close(env, mr), -EBUSY);
	end_expect(p.s, 1, 0, 3 * MIB);
	sent(env, p.c, 1, 3 * MIB);
	assert_ok(env, env_mr_close(env, mr));
}

static void t_sent_comes_in_order(struct env *env)
{
	uint64_t pos = 0, next = 0;
	struct nmt_mr *mr;
	struct pair p;

	pair_open(env, &p);
	mr = env_mr(env, 2 * MIB, NMT_ACCESS_SEND);
	mr_pattern(mr, 0, 1, 0, 2 * MIB);
	for (uint64_t i = 0; i < 40; i++) {
		size_t len = i % 3 ? 100 + i : 40000;
		struct nmt_frag frag = run_of(mr, pos, len);

		assert_ok(env, nmt_send_mr(p.c->s, &frag, 1, 0, i));
		pos += len;
	}
	end_expect(p.s, 1, 0, pos);
	for (; next < 40; next++)
		sent(env, p.c, next, next % 3 ? 100 + next : 40000);
}

/* Nothing is sent after the burst, yet all of it completes. */
static void t_tail_of_a_burst_completes(struct env *env)
{
	struct nmt_mr *mr;
	struct pair p;

	pair_open(env, &p);
	mr = env_mr(env, 64 * KIB, NMT_ACCESS_SEND);
	for (int round = 0; round < 3; round++) {
		for (uint64_t i = 0; i < 17; i++) {
			struct nmt_frag frag = run_of(mr, i * 100, 100);

			assert_ok(env, nmt_send_mr(p.c->s, &frag, 1, i < 16 ? MSG_MORE : 0, i));
		}
		for (uint64_t i = 0; i < 17; i++)
			sent(env, p.c, i, 100);
	}
}

static void t_borrows_and_copies_keep_order(struct env *env)
{
	struct nmt_mr *mr;
	uint64_t pos = 0;
	struct pair p;

	pair_open(env, &p);
	mr = env_mr(env, 100000, NMT_ACCESS_SEND);
	for (uint64_t i = 0; i < 20; i++) {
		struct nmt_frag frag = run_of(mr, i * 5000, 5000);

		mr_pattern(mr, i * 5000, 1, pos, 5000);
		assert_ok(env, nmt_send_mr(p.c->s, &frag, 1, 0, i));
		end_put_pattern(p.c, 1, pos + 5000, 700);
		pos += 5700;
	}
	end_expect(p.s, 1, 0, pos);
	for (uint64_t i = 0; i < 20; i++)
		sent(env, p.c, i, 5000);
}

static void t_64_runs_in_one_call(struct env *env)
{
	struct nmt_frag frags[64];
	uint64_t pos = 0;
	struct nmt_mr *mr;
	struct pair p;

	pair_open(env, &p);
	mr = env_mr(env, 300000, NMT_ACCESS_SEND);
	mr_pattern(mr, 0, 1, 0, 300000);
	for (unsigned int i = 0; i < 64; i++) {
		frags[i] = run_of(mr, pos, 1 + i * 100);
		pos += 1 + i * 100;
	}
	assert_ok(env, nmt_send_mr(p.c->s, frags, 64, 0, 5));
	end_expect(p.s, 1, 0, pos);
	sent(env, p.c, 5, pos);
}

static void t_send_depth_is_eagain(struct env *env)
{
	struct pair_opt opt;
	struct nmt_frag frag;
	struct pair p;
	int ret = 0, n = 0;

	pair_defaults(env, &opt);
	opt.c.send_depth = 4;
	opt.c.sndbuf = opt.s.rcvbuf = 128 * KIB;
	pair_open_opt(env, &p, &opt);
	frag = run_of(env_mr(env, 3 * MIB, NMT_ACCESS_SEND), 0, 3 * MIB);
	mr_pattern(frag.mr, 0, 1, 0, 3 * MIB);
	for (; n < 10 && ret == 0; n += ret == 0)
		ret = nmt_send_mr(p.c->s, &frag, 1, 0, (uint64_t)n);
	assert_int_equal(ret, -EAGAIN);
	assert_int_equal(n, 4);
	assert_err(env, nmt_flush(p.c->s, 99), -EAGAIN);
	p.c->writable = 0;
	end_expect(p.s, 1, 0, 3 * MIB);
	sent(env, p.c, 0, 3 * MIB);
	wait_for(env, p.c->writable > 0);
	assert_ok(env, nmt_send_mr(p.c->s, &frag, 1, 0, 4));
}

static void t_flush_is_after_delivery(struct env *env)
{
	struct nmt_event ev;
	struct pair_opt opt;
	struct nmt_frag frag;
	struct pair p;

	pair_defaults(env, &opt);
	opt.c.sndbuf = opt.s.rcvbuf = 128 * KIB;
	pair_open_opt(env, &p, &opt);
	frag = run_of(env_mr(env, 3 * MIB, NMT_ACCESS_SEND), 0, 3 * MIB);
	mr_pattern(frag.mr, 0, 1, 0, 3 * MIB);
	assert_ok(env, nmt_send_mr(p.c->s, &frag, 1, 0, 1));
	assert_ok(env, nmt_flush(p.c->s, 77));
	env_idle(env, 50 * MS);
	if (end_count(p.c, NMT_EV_FLUSHED))
		failf(env, "NMT_EV_FLUSHED while the peer's window is closed");
	end_expect(p.s, 1, 0, 3 * MIB);
	end_wait(p.c, NMT_EV_FLUSHED, &ev);
	assert_int_equal(ev.cookie, 77);
	assert_int_equal(ev.status, 0);
	assert_int_equal(end_info(p.c).unsent, 0);
	assert_int_equal(end_info(p.c).unacked, 0);
}

/* All is with the own kernel already, and the peer's takes no more. */
static void t_flush_waits_for_the_peers_kernel(struct env *env)
{
	struct nmt_event ev;
	uint64_t sent;
	struct pair p;

	pair_open(env, &p);
	sent = end_fill(p.c, 1, 0);
	assert_ok(env, nmt_flush(p.c->s, 5));
	env_idle(env, 50 * MS);
	if (end_count(p.c, NMT_EV_FLUSHED))
		failf(env, "NMT_EV_FLUSHED with %llu bytes not acknowledged",
		      (unsigned long long)end_info(p.c).unacked);
	end_expect(p.s, 1, 0, sent);
	end_wait(p.c, NMT_EV_FLUSHED, &ev);
	assert_int_equal(ev.cookie, 5);
	assert_int_equal(ev.status, 0);
}

/* The peer has closed, and all that was ever sent is delivered: there is nothing to wait for. */
static void t_flush_after_the_peer_closed(struct env *env)
{
	struct nmt_event ev;
	struct pair p;

	pair_open(env, &p);
	end_put_pattern(p.s, 2, 0, 1000);
	end_expect(p.c, 2, 0, 1000);
	end_put_pattern(p.c, 1, 0, 1000);
	end_close(p.c);
	end_expect(p.s, 1, 0, 1000);
	end_expect_eof(p.s);
	end_closed(p.c, 0);
	env_idle(env, 20 * MS);
	assert_ok(env, nmt_flush(p.s->s, 6));
	end_wait(p.s, NMT_EV_FLUSHED, &ev);
	assert_int_equal(ev.cookie, 6);
	assert_int_equal(ev.status, 0);
}

static void t_flush_of_an_idle_stream(struct env *env)
{
	struct nmt_event ev;
	struct pair p;

	pair_open(env, &p);
	for (uint64_t i = 0; i < 3; i++) {
		assert_ok(env, nmt_flush(p.c->s, i));
		end_wait(p.c, NMT_EV_FLUSHED, &ev);
		assert_int_equal(ev.cookie, i);
	}
	end_put_pattern(p.c, 1, 0, 1000);
	assert_ok(env, nmt_flush(p.c->s, 9));
	end_wait(p.c, NMT_EV_FLUSHED, &ev);
	assert_int_equal(ev.status, 0);
	end_expect(p.s, 1, 0, 1000);
}

static void t_sent_of_a_small_borrow_needs_no_reader(struct env *env)
{
	struct nmt_frag frag;
	struct pair p;

	pair_open(env, &p);
	frag = run_of(env_mr(env, 1000, NMT_ACCESS_SEND), 0, 1000);
	assert_ok(env, nmt_send_mr(p.c->s, &frag, 1, 0, 1));
	sent(env, p.c, 1, 1000);
}

static void t_close_with_borrows_delivers(struct env *env)
{
	struct nmt_event ev;
	struct nmt_frag frag;
	struct nmt_mr *mr;
	struct pair p;

	pair_open(env, &p);
	mr = env_mr(env, 8 * MIB, NMT_ACCESS_SEND);
	mr_pattern(mr, 0, 1, 0, 8 * MIB);
	frag = run_of(mr, 0, 8 * MIB);
	assert_ok(env, nmt_send_mr(p.c->s, &frag, 1, 0, 1));
	end_close(p.c);
	end_expect(p.s, 1, 0, 8 * MIB);
	end_expect_eof(p.s);
	end_close(p.s);
	end_closed(p.c, 0);
	assert_true(end_take(p.c, NMT_EV_SENT, &ev));
	assert_int_equal(ev.status, 0);
	assert_ok(env, env_mr_close(env, mr));
}

static void t_abort_with_borrows_gives_them_back(struct env *env)
{
	struct nmt_event ev;
	struct nmt_frag frag;
	struct nmt_mr *mr;
	struct pair p;

	pair_open(env, &p);
	mr = env_mr(env, 16 * MIB, NMT_ACCESS_SEND);
	frag = run_of(mr, 0, 16 * MIB);
	assert_ok(env, nmt_send_mr(p.c->s, &frag, 1, 0, 1));
	env_idle(env, 5 * MS);
	end_abort(p.c);
	end_closed(p.c, -ECONNABORTED);
	assert_true(end_take(p.c, NMT_EV_SENT, &ev));
	assert_int_equal(ev.cookie, 1);
	assert_true(ev.status < 0);
	assert_ok(env, env_mr_close(env, mr));
	end_expect_error(p.s, -ECONNRESET);
}

static void t_peer_abort_gives_borrows_back(struct env *env)
{
	struct nmt_event ev;
	struct nmt_frag frag;
	struct nmt_mr *mr;
	struct pair p;

	pair_open(env, &p);
	mr = env_mr(env, 16 * MIB, NMT_ACCESS_SEND);
	frag = run_of(mr, 0, 16 * MIB);
	assert_ok(env, nmt_send_mr(p.c->s, &frag, 1, 0, 1));
	assert_ok(env, nmt_flush(p.c->s, 2));
	env_idle(env, 5 * MS);
	end_abort(p.s);
	end_wait(p.c, NMT_EV_SENT, &ev);
	assert_true(ev.status < 0);
	end_wait(p.c, NMT_EV_FLUSHED, &ev);
	assert_int_equal(ev.cookie, 2);
	assert_true(ev.status < 0);
	assert_ok(env, env_mr_close(env, mr));
}

const struct test tests_borrow[] = {
	TEST(t_memory_may_change_after_sent, T_BUFFER),
	TEST(t_memory_may_change_after_sent_zerocopy, T_BUFFER),
	TEST_MS(t_waiting_zerocopy_keeps_memory, 0, 15000),
	TEST(t_memory_is_ours_while_the_peer_is_slow, 0),
	TEST(t_sent_comes_in_order, 0),
	TEST(t_tail_of_a_burst_completes, T_BUFFER),
	TEST(t_borrows_and_copies_keep_order, 0),
	TEST(t_64_runs_in_one_call, 0),
	TEST(t_send_depth_is_eagain, 0),
	TEST(t_flush_is_after_delivery, 0),
	TEST(t_flush_waits_for_the_peers_kernel, 0),
	TEST(t_flush_of_an_idle_stream, T_BUFFER),
	TEST(t_flush_after_the_peer_closed, T_BUFFER),
	TEST(t_sent_of_a_small_borrow_needs_no_reader, T_BUFFER),
	TEST(t_close_with_borrows_delivers, 0),
	TEST(t_abort_with_borrows_gives_them_back, 0),
	TEST(t_peer_abort_gives_borrows_back, 0),
	TESTS_END,
};
