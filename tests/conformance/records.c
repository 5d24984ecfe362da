/* SPDX-License-Identifier: BSD-2-Clause */
/* Design 5.4: record boundaries are kept under any receive sizes. */
#include "suite.h"

static void put_record(struct end *e, uint64_t seed, size_t len)
{
	unsigned char buf[20000];

	pattern_fill(seed, 0, buf, len);
	end_put(e, buf, len, MSG_EOR);
}

/* The next LEN bytes, and whether a record ends with them. */
static void expect_part(struct end *e, uint64_t seed, uint64_t pos, size_t len, size_t want,
			bool eor)
{
	unsigned char buf[20000];
	struct got got = end_get(e, buf, len);

	if (got.status || got.len != want || got.flags != (eor ? NMT_EVF_EOR : 0))
		failf(e->env, "got %zu bytes, status %d, flags %u; want %zu, end of record %d",
		      got.len, got.status, got.flags, want, eor);
	if (pattern_check(seed, pos, buf, got.len) >= 0)
		failf(e->env, "wrong bytes in a record");
}

static void t_record_boundaries_are_kept(struct env *env)
{
	struct pair p;

	pair_open(env, &p);
	put_record(p.c, 1, 100);
	put_record(p.c, 2, 1);
	put_record(p.c, 3, 10000);
	expect_part(p.s, 1, 0, 15000, 100, true);
	expect_part(p.s, 2, 0, 15000, 1, true);
	expect_part(p.s, 3, 0, 15000, 10000, true);
}

static void t_record_read_in_parts(struct env *env)
{
	struct pair p;

	pair_open(env, &p);
	put_record(p.c, 1, 1000);
	put_record(p.c, 2, 10);
	expect_part(p.s, 1, 0, 400, 400, false);
	expect_part(p.s, 1, 400, 400, 400, false);
	expect_part(p.s, 1, 800, 400, 200, true);
	expect_part(p.s, 2, 0, 400, 10, true);
}

static void t_record_of_exactly_the_size(struct env *env)
{
	struct pair p;

	pair_open(env, &p);
	put_record(p.c, 1, 1000);
	put_record(p.c, 2, 5);
	expect_part(p.s, 1, 0, 1000, 1000, true);
	expect_part(p.s, 2, 0, 5, 5, true);
}

static void t_empty_records_exist(struct env *env)
{
	struct pair p;

	pair_open(env, &p);
	put_record(p.c, 1, 0);
	put_record(p.c, 2, 7);
	put_record(p.c, 3, 0);
	put_record(p.c, 4, 0);
	expect_part(p.s, 1, 0, 100, 0, true);
	expect_part(p.s, 2, 0, 100, 7, true);
	expect_part(p.s, 3, 0, 100, 0, true);
	expect_part(p.s, 4, 0, 100, 0, true);
	end_close(p.c);
	end_expect_eof(p.s);
}

static void t_empty_record_is_a_run_of_length_zero(struct env *env)
{
	struct nmt_frag frag;
	struct pair p;
	int n;

	pair_open(env, &p);
	put_record(p.c, 1, 0);
	wait_for(env, (n = nmt_recv_frags(p.s->s, &frag, 1, 0)) != -EAGAIN);
	assert_int_equal(n, 1);
	assert_int_equal(frag.len, 0);
	assert_true(frag.flags & NMT_FRAG_EOR);
	assert_ok(env, nmt_release(p.s->s, &frag, 1));
	end_close(p.c);
	end_expect_eof(p.s);
}

static void t_record_from_several_sends(struct env *env)
{
	struct nmt_frag frag = { .len = 300 };
	struct nmt_event ev;
	unsigned char buf[500];
	struct pair p;

	pair_open(env, &p);
	frag.mr = env_mr(env, 300, NMT_ACCESS_SEND);
	pattern_fill(1, 0, buf, 500);
	mr_pattern(frag.mr, 0, 1, 200, 300);
	end_put(p.c, buf, 200, 0);
	assert_ok(env, nmt_send_mr(p.c->s, &frag, 1, 0, 9));
	pattern_fill(1, 500, buf, 100);
	end_put(p.c, buf, 100, MSG_EOR);
	expect_part(p.s, 1, 0, 1000, 600, true);
	end_wait(p.c, NMT_EV_SENT, &ev);
	assert_int_equal(ev.len, 300);
}

static void t_borrowed_sends_carry_eor(struct env *env)
{
	struct nmt_frag frag = { .len = 300 };
	struct pair p;

	pair_open(env, &p);
	frag.mr = env_mr(env, 300, NMT_ACCESS_SEND);
	mr_pattern(frag.mr, 0, 1, 0, 300);
	assert_ok(env, nmt_send_mr(p.c->s, &frag, 1, MSG_EOR, 1));
	assert_ok(env, nmt_send_mr(p.c->s, &frag, 1, MSG_EOR, 2));
	expect_part(p.s, 1, 0, 1000, 300, true);
	expect_part(p.s, 1, 0, 1000, 300, true);
	wait_for(env, end_count(p.c, NMT_EV_SENT) == 2);
}

static void post(struct env *env, struct pair *p, struct nmt_mr *mr, uint64_t offset, size_t len,
		 int flags, uint64_t cookie)
{
	mr_fill(mr, offset, 0x5a, len + 32);
	assert_ok(env, nmt_recv_into(p->s->s, mr, offset, len, flags, cookie));
}

static void received(struct env *env, struct pair *p, uint64_t cookie, uint64_t len, int status,
		     uint32_t flags)
{
	struct nmt_event ev;

	end_wait(p->s, NMT_EV_RECEIVED, &ev);
	if (ev.cookie != cookie || ev.len != len || ev.status != status || ev.flags != flags)
		failf(env, "receive %llu (want %llu): %llu bytes (%llu), status %d (%d), flags %u (%u)",
		      (unsigned long long)ev.cookie, (unsigned long long)cookie,
		      (unsigned long long)ev.len, (unsigned long long)len, ev.status, status,
		      ev.flags, flags);
}

static void t_eor_ends_a_posted_receive_early(struct env *env)
{
	struct nmt_mr *mr;
	struct pair p;

	pair_open(env, &p);
	mr = env_mr(env, 4096, NMT_ACCESS_RECV);
	post(env, &p, mr, 0, 1000, 0, 1);
	post(env, &p, mr, 2000, 1000, 0, 2);
	put_record(p.c, 1, 300);
	received(env, &p, 1, 300, 0, NMT_EVF_EOR);
	assert_int_equal(mr_check(mr, 0, 1, 0, 300), -1);
	assert_true(mr_is(mr, 300, 0x5a, 732));
	put_record(p.c, 2, 10);
	received(env, &p, 2, 10, 0, NMT_EVF_EOR);
	assert_int_equal(mr_check(mr, 2000, 2, 0, 10), -1);
}

static void t_longer_record_fills_and_goes_on(struct env *env)
{
	struct nmt_mr *mr;
	struct pair p;

	pair_open(env, &p);
	mr = env_mr(env, 4096, NMT_ACCESS_RECV);
	post(env, &p, mr, 0, 1000, 0, 1);
	post(env, &p, mr, 2000, 1000, 0, 2);
	put_record(p.c, 1, 1500);
	received(env, &p, 1, 1000, 0, 0);
	received(env, &p, 2, 500, 0, NMT_EVF_EOR);
	assert_int_equal(mr_check(mr, 0, 1, 0, 1000), -1);
	assert_int_equal(mr_check(mr, 2000, 1, 1000, 500), -1);
}

static void t_recv_whole_is_emsgsize(struct env *env)
{
	struct nmt_event ev;
	struct nmt_mr *mr;
	struct pair p;

	pair_open(env, &p);
	mr = env_mr(env, 4096, NMT_ACCESS_RECV);
	post(env, &p, mr, 0, 1000, NMT_RECV_WHOLE, 1);
	post(env, &p, mr, 2000, 1000, NMT_RECV_WHOLE, 2);
	put_record(p.c, 1, 15000);
	put_record(p.c, 2, 600);
	put_record(p.c, 3, 5);
	end_wait(p.s, NMT_EV_RECEIVED, &ev);
	assert_int_equal(ev.cookie, 1);
	assert_int_equal(ev.status, -EMSGSIZE);
	assert_true(ev.len <= 1000);
	assert_int_equal(mr_check(mr, 0, 1, 0, ev.len), -1);
	assert_true(mr_is(mr, 1000, 0x5a, 32));
	received(env, &p, 2, 600, 0, NMT_EVF_EOR);
	assert_int_equal(mr_check(mr, 2000, 2, 0, 600), -1);
	assert_true(mr_is(mr, 2600, 0x5a, 432));
	expect_part(p.s, 3, 0, 100, 5, true);
}

static void t_recv_whole_that_fits(struct env *env)
{
	struct nmt_mr *mr;
	struct pair p;

	pair_open(env, &p);
	mr = env_mr(env, 4096, NMT_ACCESS_RECV);
	post(env, &p, mr, 0, 1000, NMT_RECV_WHOLE, 1);
	put_record(p.c, 1, 1000);
	received(env, &p, 1, 1000, 0, NMT_EVF_EOR);
	post(env, &p, mr, 0, 1000, NMT_RECV_WHOLE, 2);
	put_record(p.c, 2, 0);
	received(env, &p, 2, 0, 0, NMT_EVF_EOR);
}

static void t_many_records_in_frags(struct env *env)
{
	struct flow f;
	struct pair p;

	pair_open(env, &p);
	flow_init(env, &f, p.c, p.s, 2 * MIB);
	f.rx_how &= RX_FRAGS | RX_INTO;
	flows_run(env, &f, 1);
}

static void t_close_after_a_record(struct env *env)
{
	struct pair p;

	pair_open(env, &p);
	put_record(p.c, 1, 5000);
	end_close(p.c);
	expect_part(p.s, 1, 0, 10000, 5000, true);
	end_expect_eof(p.s);
}

static void t_eor_without_records_is_refused(struct env *env)
{
	struct nmt_frag frag = { .len = 10 };
	struct pair p;

	pair_open(env, &p);
	frag.mr = env_mr(env, 100, NMT_ACCESS_SEND);
	assert_err(env, nmt_send(p.c->s, "x", 1, MSG_EOR), -EOPNOTSUPP);
	assert_err(env, nmt_send_mr(p.c->s, &frag, 1, MSG_EOR, 1), -EOPNOTSUPP);
	pair_works(&p, 1000);
}

const struct test tests_records[] = {
	TEST(t_record_boundaries_are_kept, T_RECORDS),
	TEST(t_record_read_in_parts, T_RECORDS),
	TEST(t_record_of_exactly_the_size, T_RECORDS),
	TEST(t_empty_records_exist, T_RECORDS),
	TEST(t_empty_record_is_a_run_of_length_zero, T_RECORDS | T_POOL),
	TEST(t_record_from_several_sends, T_RECORDS),
	TEST(t_borrowed_sends_carry_eor, T_RECORDS),
	TEST(t_eor_ends_a_posted_receive_early, T_RECORDS),
	TEST(t_longer_record_fills_and_goes_on, T_RECORDS),
	TEST(t_recv_whole_is_emsgsize, T_RECORDS),
	TEST(t_recv_whole_that_fits, T_RECORDS),
	TEST(t_many_records_in_frags, T_RECORDS),
	TEST(t_close_after_a_record, T_RECORDS),
	TEST(t_eor_without_records_is_refused, T_STREAM),
	TESTS_END,
};
