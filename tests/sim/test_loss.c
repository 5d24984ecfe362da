/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The path of a stream is lost at every step: both directions carry random traffic, and delivery
 * number 1, 2, 3, ... breaks its rail, before or behind it, told to both ends or to one. The control
 * channel is cut at every step too, with no loss, or a little before it, in it, or behind it. Every byte
 * arrives once, in order, and both ends close in order.
 *
 * sim_loss [CONFIG [FIRST [LAST [SEED]]]]: some of it again; CONFIG as in the conformance suite.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "sim.h"
#include "suite.h"

#define BYTES (24u * KIB)
#define STEP_MAX 4000u

static struct {
	const char *config;
	uint64_t first, last, seed;
} only;

static struct sim_knobs knobs;
static uint64_t steps; /* of the last run */

static unsigned int cuts; /* in this run; also which socket is next */

static void cut_channel(void)
{
	cuts += socks_cut_any(cuts);
}

/* End both in order; the loss may hit the very end. */
static void close_both(struct pair *p)
{
	end_close(p->c);
	end_close(p->s);
	end_closed(p->c, 0);
	end_closed(p->s, 0);
}

static void t_flow(struct env *env)
{
	struct sim_counts counts;
	struct flow f[2];
	struct pair p;

	pair_open(env, &p);
	sim_set(&knobs);
	flow_init(env, &f[0], p.c, p.s, BYTES);
	flow_init(env, &f[1], p.s, p.c, BYTES);
	for (int i = 0; i < 2; i++)
		f[i].tx_max = f[i].rx_max = 6 * KIB;
	flows_run(env, f, 2);
	assert_ok(env, nmt_shutdown(p.c->s, SHUT_WR));
	end_expect_eof(p.s);
	close_both(&p);
	sim_read(&counts);
	steps = counts.deliveries;
	assert_true(!knobs.lose_at || steps < knobs.lose_at || counts.losses);
	if (counts.violations)
		failf(env, "%llu violations", (unsigned long long)counts.violations);
}

/* A cancel that crosses the loss, and posts that wait through it. */
static void t_cancel(struct env *env)
{
	struct nmt_event ev;
	struct nmt_mr *mr;
	struct pair p;

	pair_open(env, &p);
	sim_set(&knobs);
	mr = env_mr(env, 8192, NMT_ACCESS_RECV);
	for (uint64_t i = 0; i < 6; i++)
		assert_ok(env, nmt_recv_into(p.s->s, mr, i * 1000, 1000, 0, i));
	end_put_pattern(p.c, 1, 0, 1500);
	assert_ok(env, nmt_recv_cancel(p.s->s, 3));
	env_spin(env, (int)rng_below(&env->rng, 8));
	nmt_recv_cancel(p.s->s, 1); /* half full, or untouched, or over */
	end_put_pattern(p.c, 1, 1500, 6000);
	for (uint64_t i = 0, got = 0; i < 6; i++) {
		end_wait(p.s, NMT_EV_RECEIVED, &ev);
		assert_true(ev.status == 0 || ev.status == -ECANCELED);
		assert_true(ev.cookie != 3 || (ev.status == -ECANCELED && !ev.len));
		if (ev.len) {
			assert_int_equal(mr_check(mr, ev.cookie * 1000, 1, got, ev.len), -1);
			got += ev.len;
		}
	}
	end_abort(p.c);
	end_abort(p.s);
}

/* Records that are too long for their posts lose their rest once, and no other record anything. */
static void t_whole(struct env *env)
{
	static const size_t len[] = { 500, 1000, 1001, 3000, 0, 20000, 7, 1000, 9000, 1 };
	struct nmt_mr *mr;
	struct pair p;

	pair_open(env, &p);
	sim_set(&knobs);
	mr = env_mr(env, ARRAY_LEN(len) * 1000, NMT_ACCESS_RECV);
	for (uint64_t i = 0; i < ARRAY_LEN(len); i++)
		assert_ok(env, nmt_recv_into(p.s->s, mr, i * 1000, 1000, NMT_RECV_WHOLE, i));
	for (uint64_t i = 0; i < ARRAY_LEN(len); i++) {
		static unsigned char buf[20000];
		size_t first = len[i] / 3;

		pattern_fill(i, 0, buf, len[i]);
		if (first)
			end_put(p.c, buf, first, i % 2 ? MSG_MORE : 0);
		end_put(p.c, buf + first, len[i] - first, MSG_EOR);
	}
	for (uint64_t i = 0; i < ARRAY_LEN(len); i++) {
		size_t want = len[i] < 1000 ? len[i] : 1000;
		struct nmt_event ev;

		end_wait(p.s, NMT_EV_RECEIVED, &ev);
		if (ev.cookie != i || ev.len != want ||
		    ev.status != (len[i] > 1000 ? -EMSGSIZE : 0))
			failf(env, "record %llu: cookie %llu, %llu bytes, status %d",
			      (unsigned long long)i, (unsigned long long)ev.cookie,
			      (unsigned long long)ev.len, ev.status);
		assert_int_equal(mr_check(mr, i * 1000, i, 0, want), -1);
	}
	close_both(&p);
}

/* Memory that the device does not reach goes through the stage and bounce memory. */
static void t_staged(struct env *env)
{
	struct nmt_frag frag = { .len = 200000 };
	struct nmt_event ev;
	struct nmt_mr *mr;
	struct pair p;

	pair_open(env, &p);
	sim_set(&knobs);
	frag.mr = env_mr(env, frag.len, NMT_ACCESS_SEND);
	mr = env_mr(env, frag.len, NMT_ACCESS_RECV);
	mr_pattern(frag.mr, 0, 1, 0, frag.len);
	assert_ok(env, nmt_recv_into(p.s->s, mr, 0, frag.len, 0, 1));
	assert_ok(env, nmt_send_mr(p.c->s, &frag, 1, 0, 1));
	end_wait(p.s, NMT_EV_RECEIVED, &ev);
	assert_int_equal(ev.len, frag.len);
	assert_int_equal(mr_check(mr, 0, 1, 0, frag.len), -1);
	end_wait(p.c, NMT_EV_SENT, &ev);
	assert_int_equal(ev.status, 0);
	close_both(&p);
}

static void run(const char *config, void (*fn)(struct env *env), uint64_t seed)
{
	struct test test = { .name = config, .run = fn, .limit_ms = 10000 };
	struct suite suite = { .seed = seed };
	struct sim_counts counts;

	if (!config_find(config, &suite.cfg)) {
		fprintf(stderr, "no configuration %s\n", config);
		abort();
	}
	sim_set(&(struct sim_knobs){ .seed = seed });
	env_run(&suite, &test);
	sim_read(&counts);
	assert_int_equal(counts.endpoints, 0);
	assert_int_equal(counts.regs, 0);
}

/* Cut at each step; LOSS: the path is lost near it as well. */
static void every_cut(const char *config, void (*fn)(struct env *env), bool loss)
{
	uint64_t seed = only.seed ? only.seed : 7, end;

	knobs = (struct sim_knobs){ .seed = seed };
	run(config, fn, seed);
	end = steps;
	for (uint64_t at = only.first ? only.first : 1; at <= end && at < STEP_MAX; at++) {
		if (only.last && at > only.last)
			return;
		knobs = (struct sim_knobs){ .seed = seed + at, .call_at = at, .call = cut_channel,
					    .call_again = at % 3 ? 0 : (uint32_t)(at % 5 + 1) };
		if (loss) {
			knobs.lose_at = at + at % 4 > 2 ? at + at % 4 - 2 : 1;
			knobs.lose_after = at % 2;
			knobs.heard = (uint32_t)(at / 2 % 3);
		}
		cuts = (unsigned int)at / 4; /* the one end or the other finds out first */
		print_message("%s: cut at %llu of %llu%s\n", config, (unsigned long long)at,
			      (unsigned long long)end, loss ? ", and a loss" : "");
		run(config, fn, seed);
	}
}

static void every_step(const char *config, void (*fn)(struct env *env))
{
	uint64_t seed = only.seed ? only.seed : 7;

	knobs = (struct sim_knobs){ .seed = seed };
	run(config, fn, seed);
	for (uint64_t at = only.first ? only.first : 1; at <= steps + 2 && at < STEP_MAX; at++) {
		if (only.last && at > only.last)
			return;
		knobs = (struct sim_knobs){ .seed = seed + at, .lose_at = at,
					    .lose_after = at % 2, .heard = (uint32_t)(at / 2 % 3),
					    .lose_again = at % 5 ? 0 : (uint32_t)(at % 7 + 1) };
		print_message("%s: loss at %llu of %llu\n", config, (unsigned long long)at,
			      (unsigned long long)steps);
		run(config, fn, seed);
	}
}

static void test_flow(void **state)
{
	static const char *const configs[] = {
		"sim.negotiated.pool.host", "sim.records.posted.host",
		"sim@3.records.pool.host", "sim@3.negotiated.posted.host",
		"sim/tiny.records.pool.host", "sim/tiny@3.records.posted.host",
		"sim/mixed.negotiated.pool.host", "sim/mixed@3.records.posted.host",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(configs); i++)
		if (!only.config || !strcmp(configs[i], only.config))
			every_step(configs[i], t_flow);
}

static void test_cut(void **state)
{
	static const char *const configs[] = {
		"sim.records.pool.host", "sim/tiny@3.negotiated.posted.host",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(configs); i++) {
		if (only.config && strcmp(configs[i], only.config))
			continue;
		every_cut(configs[i], t_flow, false);
		every_cut(configs[i], t_flow, true);
	}
}

static void test_cancel(void **state)
{
	(void)state;
	if (only.config)
		return;
	steps = 30;
	every_step("sim.negotiated.posted.host", t_cancel);
	steps = 30;
	every_step("sim/tiny@3.negotiated.posted.host", t_cancel);
}

static void test_whole(void **state)
{
	(void)state;
	if (only.config)
		return;
	steps = 60;
	every_step("sim.records.posted.host", t_whole);
	steps = 60;
	every_step("sim/tiny@3.records.posted.host", t_whole);
}

static void test_staged(void **state)
{
	(void)state;
	if (only.config)
		return;
	steps = 40;
	every_step("sim.negotiated.posted.opaque", t_staged);
	steps = 40;
	every_step("sim.negotiated.pool.opaque", t_staged);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_flow),
		cmocka_unit_test(test_cut),
		cmocka_unit_test(test_cancel),
		cmocka_unit_test(test_whole),
		cmocka_unit_test(test_staged),
	};

	only.config = argc > 1 ? argv[1] : NULL;
	only.first = argc > 2 ? strtoull(argv[2], NULL, 0) : 0;
	only.last = argc > 3 ? strtoull(argv[3], NULL, 0) : 0;
	only.seed = argc > 4 ? strtoull(argv[4], NULL, 0) : 0;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
