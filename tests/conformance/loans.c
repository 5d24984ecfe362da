/* SPDX-License-Identifier: BSD-2-Clause */
/* Design 5.5 and 5.7: lent bytes stay unchanged until released; releases are checked. */
#include "suite.h"

#define LOANS_MAX 128

/* Take everything that comes as loans, at least WANT bytes of it. Returns bytes. */
static uint64_t borrow_bytes(struct env *env, struct end *e, struct nmt_frag *frags, int *n,
			     uint64_t want)
{
	uint64_t sum = 0;

	while (sum < want) {
		int got;

		wait_for(env, (got = nmt_recv_frags(e->s, frags + *n, LOANS_MAX - *n, 0)) !=
				      -EAGAIN);
		if (got <= 0)
			failf(env, "nmt_recv_frags gives %d after %llu bytes", got,
			      (unsigned long long)sum);
		for (int i = 0; i < got; i++)
			sum += frags[(*n)++].len;
	}
	return sum;
}

static void check_all(struct env *env, const struct nmt_frag *frags, int n, uint64_t seed)
{
	uint64_t pos = 0;

	for (int i = 0; i < n; i++) {
		if (mr_check(frags[i].mr, frags[i].offset, seed, pos, frags[i].len) >= 0)
			failf(env, "loan %d of %d has changed", i, n);
		pos += frags[i].len;
	}
}

static void open_lent(struct env *env, struct pair *p, struct nmt_frag *frags, int *n)
{
	pair_open(env, p);
	*n = 0;
	end_put_pattern(p->c, 1, 0, 50000);
	assert_int_equal(borrow_bytes(env, p->s, frags, n, 50000), 50000);
}

static void t_loans_stay_unchanged(struct env *env)
{
	struct nmt_frag frags[LOANS_MAX], one;
	struct pair p;
	uint64_t more = 0;
	int n, got;

	open_lent(env, &p, frags, &n);
	while (more < 300 * KIB) {
		end_put_pattern(p.c, 2, more, 30000);
		for (uint64_t end = more + 30000; more < end; more += one.len) {
			wait_for(env, (got = nmt_recv_frags(p.s->s, &one, 1, 0)) != -EAGAIN);
			assert_int_equal(got, 1);
			assert_int_equal(mr_check(one.mr, one.offset, 2, more, one.len), -1);
			assert_ok(env, nmt_release(p.s->s, &one, 1));
		}
		check_all(env, frags, n, 1);
	}
	assert_ok(env, nmt_release(p.s->s, frags, n));
}

static void t_release_in_any_order(struct env *env)
{
	struct nmt_frag frags[LOANS_MAX];
	struct pair p;
	int n;

	pair_open(env, &p);
	for (uint64_t round = 0; round < 10; round++) {
		n = 0;
		for (uint64_t i = 0; i < 10; i++) {
			end_put_pattern(p.c, round, i * 3000, 3000);
			borrow_bytes(env, p.s, frags, &n, 3000);
		}
		check_all(env, frags, n, round);
		while (n > 0) {
			int i = (int)rng_below(&env->rng, (uint64_t)n);

			assert_ok(env, nmt_release(p.s->s, &frags[i], 1));
			frags[i] = frags[--n];
		}
	}
}

static void t_info_counts_loans(struct env *env)
{
	struct nmt_frag frags[LOANS_MAX];
	struct pair p;
	int n;

	open_lent(env, &p, frags, &n);
	assert_int_equal(end_info(p.s).lent, 50000);
	assert_true(end_info(p.s).held >= 50000);
	assert_ok(env, nmt_release(p.s->s, frags, n));
	assert_int_equal(end_info(p.s).lent, 0);
}

static void t_double_release_is_einval(struct env *env)
{
	struct nmt_frag frags[LOANS_MAX];
	struct pair p;
	int n;

	open_lent(env, &p, frags, &n);
	assert_ok(env, nmt_release(p.s->s, &frags[0], 1));
	assert_err(env, nmt_release(p.s->s, &frags[0], 1), -EINVAL);
	if (n > 1)
		assert_ok(env, nmt_release(p.s->s, &frags[1], n - 1));
	assert_int_equal(end_info(p.s).lent, 0);
	pair_works(&p, 1000);
}

/* An old token names nothing, although what it named is lent again. */
static void t_stale_token_is_einval(struct env *env)
{
	struct nmt_frag old[LOANS_MAX], frags[LOANS_MAX];
	struct pair p;
	int n;

	open_lent(env, &p, old, &n);
	assert_ok(env, nmt_release(p.s->s, old, n));
	for (uint64_t i = 0; i < 20; i++) {
		n = 0;
		end_put_pattern(p.c, i, 0, 1000);
		borrow_bytes(env, p.s, frags, &n, 1000);
		assert_err(env, nmt_release(p.s->s, &old[0], 1), -EINVAL);
		check_all(env, frags, n, i);
		assert_ok(env, nmt_release(p.s->s, frags, n));
		old[0] = frags[0];
	}
}

static void t_token_twice_in_a_call_is_einval(struct env *env)
{
	struct nmt_frag frags[LOANS_MAX];
	uint64_t lent;
	struct pair p;
	int n;

	open_lent(env, &p, frags, &n);
	lent = end_info(p.s).lent;
	frags[n] = frags[0];
	assert_err(env, nmt_release(p.s->s, frags, n + 1), -EINVAL);
	assert_int_equal(end_info(p.s).lent, lent);
	check_all(env, frags, n, 1);
	assert_ok(env, nmt_release(p.s->s, frags, n));
}

static void t_foreign_token_is_einval(struct env *env)
{
	struct nmt_frag frags[LOANS_MAX], bad;
	struct pair p, other;
	int n;

	open_lent(env, &p, frags, &n);
	pair_open(env, &other);
	assert_err(env, nmt_release(other.s->s, frags, 1), -EINVAL);
	assert_err(env, nmt_release(p.c->s, frags, 1), -EINVAL);
	bad = frags[0];
	bad.token = ~bad.token;
	assert_err(env, nmt_release(p.s->s, &bad, 1), -EINVAL);
	bad.token = 0;
	assert_err(env, nmt_release(p.s->s, &bad, 1), -EINVAL);
	assert_int_equal(end_info(p.s).lent, 50000);
	assert_ok(env, nmt_release(p.s->s, frags, n));
}

/* All or nothing: the good tokens beside a bad one stay loans. */
static void t_release_is_all_or_nothing(struct env *env)
{
	struct nmt_frag frags[LOANS_MAX];
	struct pair p;
	int n;

	open_lent(env, &p, frags, &n);
	frags[n] = frags[0];
	frags[n].token ^= UINT64_C(1) << 40;
	assert_err(env, nmt_release(p.s->s, frags, n + 1), -EINVAL);
	assert_int_equal(end_info(p.s).lent, 50000);
	assert_ok(env, nmt_release(p.s->s, frags, n));
	assert_int_equal(end_info(p.s).lent, 0);
}

static void t_release_after_the_peer_closed(struct env *env)
{
	struct nmt_frag frags[LOANS_MAX];
	struct pair p;
	int n;

	open_lent(env, &p, frags, &n);
	end_close(p.c);
	end_expect_eof(p.s);
	check_all(env, frags, n, 1);
	assert_ok(env, nmt_release(p.s->s, frags, n));
}

static void t_release_after_the_peer_aborted(struct env *env)
{
	struct nmt_frag frags[LOANS_MAX];
	struct pair p;
	int n;

	open_lent(env, &p, frags, &n);
	end_abort(p.c);
	wait_for(env, p.s->error);
	check_all(env, frags, n, 1);
	assert_ok(env, nmt_release(p.s->s, frags, n));
}

static void close_lent(struct env *env, void (*end)(struct end *e), int status)
{
	struct nmt_frag frags[LOANS_MAX];
	struct pair p, other;
	int n;

	open_lent(env, &p, frags, &n);
	pair_open(env, &other);
	end(p.s);
	end_close(p.c);
	end_closed(p.s, status);
	for (int i = 0; i < 4; i++)
		pair_works(&other, 100000);
	assert_int_equal(STAT(other.s, failures), 0);
}

static void t_close_with_loans_out(struct env *env)
{
	close_lent(env, end_close, 0);
}

static void t_abort_with_loans_out(struct env *env)
{
	close_lent(env, end_abort, -ECONNABORTED);
}

/* A small receive must not hold a cell for each byte run for ever. */
static void t_many_small_loans(struct env *env)
{
	struct nmt_frag frags[LOANS_MAX];
	struct pair p;
	int n = 0;

	pair_open(env, &p);
	for (uint64_t i = 0; i < 100; i++) {
		end_put_pattern(p.c, 1, i * 10, 10);
		borrow_bytes(env, p.s, frags, &n, 10);
	}
	check_all(env, frags, n, 1);
	assert_ok(env, nmt_release(p.s->s, frags, n));
	pair_works(&p, 1000);
}

#define ROUNDS 400u

static uint64_t server_pool(struct env *env)
{
	struct nmt_stats st = NMT_STATS_INIT;

	assert_ok(env, nmt_stats(env->dom[SERVER], NULL, &st));
	return st.pool_bytes;
}

/*
 * The same cells go round many times: no leak, no loan counted twice. Where a peer writes into them a
 * window may grow at any time, up to 4 MiB; that all rounds keep theirs would be 50 MiB.
 */
static void t_loans_recycle_memory(struct env *env)
{
	struct nmt_frag frags[LOANS_MAX];
	uint64_t pool = 0;
	struct pair p;
	int n;

	pair_open(env, &p);
	for (uint64_t i = 0; i < ROUNDS; i++) {
		n = 0;
		end_put_pattern(p.c, i, 0, 20000);
		borrow_bytes(env, p.s, frags, &n, 20000);
		check_all(env, frags, n, i);
		assert_ok(env, nmt_release(p.s->s, frags, n));
		if (i == 50)
			pool = server_pool(env);
	}
	if (config_has(env->cfg) & T_KERNEL)
		assert_int_equal(server_pool(env), pool);
	assert_true(server_pool(env) <= 12 * MIB);
}

const struct test tests_loans[] = {
	TEST(t_loans_stay_unchanged, T_POOL),
	TEST(t_release_in_any_order, T_POOL),
	TEST(t_info_counts_loans, T_POOL),
	TEST(t_double_release_is_einval, T_POOL),
	TEST(t_stale_token_is_einval, T_POOL),
	TEST(t_token_twice_in_a_call_is_einval, T_POOL),
	TEST(t_foreign_token_is_einval, T_POOL),
	TEST(t_release_is_all_or_nothing, T_POOL),
	TEST(t_release_after_the_peer_closed, T_POOL),
	TEST(t_release_after_the_peer_aborted, T_POOL),
	TEST(t_close_with_loans_out, T_POOL),
	TEST(t_abort_with_loans_out, T_POOL),
	TEST(t_many_small_loans, T_POOL),
	TEST(t_loans_recycle_memory, T_POOL),
	TESTS_END,
};
