/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Two devices in a domain: rails and streams go over both; one of them is lost for good at every
 * step of random traffic, by its adapter at one end, by its cable, or with nobody told, and every
 * byte arrives once, in order, over the other; both are lost, and the streams end.
 *
 * sim_devices [CONFIG [FIRST [LAST [SEED]]]]: some losses again; CONFIG as in the conformance suite.
 */
#include <stdio.h>
#include <stdlib.h>

#include "sim.h"
#include "suite.h"

#define BYTES (64u * KIB)
#define LEFT 4u /* networks: the numbers of the profiles */
#define RIGHT 5u

static struct {
	const char *config;
	uint64_t first, last, seed;
} only;

static struct sim_knobs knobs;
static uint64_t steps; /* of the last run */

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
	assert_int_equal(counts.violations, 0);
}

static void both_ways(struct env *env, struct pair *p)
{
	struct flow f[2];

	flow_init(env, &f[0], p->c, p->s, BYTES);
	flow_init(env, &f[1], p->s, p->c, BYTES);
	for (int i = 0; i < 2; i++)
		f[i].tx_max = f[i].rx_max = 12 * KIB;
	flows_run(env, f, 2);
}

static void close_both(struct pair *p)
{
	end_close(p->c);
	end_close(p->s);
	end_closed(p->c, 0);
	end_closed(p->s, 0);
}

/* ---- all work ---- */

static void t_spread_rails(struct env *env)
{
	struct sim_counts counts;
	struct pair p;

	pair_open(env, &p);
	both_ways(env, &p);
	close_both(&p);
	sim_read(&counts);
	assert_true(counts.on_net[LEFT] >= 2 && counts.on_net[RIGHT] >= 2);
	assert_int_equal(counts.refused, 0);
}

/* Streams of one rail take either device. */
static void t_spread_streams(struct env *env)
{
	struct sim_counts counts;
	struct pair p[32];

	for (size_t i = 0; i < ARRAY_LEN(p); i++)
		pair_open(env, &p[i]);
	sim_set(&(struct sim_knobs){ .seed = 1 });
	for (size_t i = 0; i < ARRAY_LEN(p); i++)
		end_put_pattern(p[i].c, i, 0, 100);
	for (size_t i = 0; i < ARRAY_LEN(p); i++)
		end_expect(p[i].s, i, 0, 100);
	sim_read(&counts);
	assert_true(counts.on_net[LEFT] && counts.on_net[RIGHT]);
}

/* The ends have different devices: only what fits is used, and a failed rail comes back over it. */
static void one_end_has(struct env *env, int side, const char *spec)
{
	struct nmt_domain_attr attr = env_domain_attr(env);
	struct sim_counts counts;
	struct pair p;

	env->ctx = env_context(env);
	assert_ok(env, nmt_domain_open(env->ctx, spec, &attr, &env->dom[side]));
	assert_ok(env, nmt_domain_open(env->ctx, "sim/left,slow,right", &attr, &env->dom[!side]));
	pair_open(env, &p);
	sim_set(&(struct sim_knobs){ .seed = 3, .lose_at = 5 });
	both_ways(env, &p);
	close_both(&p);
	sim_read(&counts);
	assert_int_equal(counts.losses, 1);
	assert_true(counts.on_net[RIGHT]);
	for (uint32_t i = 0; i < SIM_NETS; i++)
		assert_true(i == RIGHT || !counts.on_net[i]);
}

static void t_client_has_one(struct env *env)
{
	one_end_has(env, CLIENT, "sim/right");
}

static void t_server_has_one(struct env *env)
{
	one_end_has(env, SERVER, "sim/right");
}

static void t_server_has_others(struct env *env)
{
	one_end_has(env, SERVER, "sim/tiny,scarce,right");
}

static void test_unequal_ends(void **state)
{
	(void)state;
	if (only.config)
		return;
	run("sim/left,right@3.records.pool.host", t_client_has_one, 1);
	run("sim/left,right@3.records.posted.host", t_server_has_one, 2);
	run("sim/left,right@3.records.pool.host", t_server_has_others, 3);
}

static void test_spread(void **state)
{
	(void)state;
	if (only.config)
		return;
	run("sim/left,right@3.records.pool.host", t_spread_rails, 1);
	run("sim/left,right@3.records.posted.host", t_spread_rails, 2);
	run("sim/left,right.negotiated.pool.host", t_spread_streams, 1);
}

/* ---- one is lost ---- */

static void t_lost(struct env *env)
{
	struct sim_counts counts, before;
	struct pair p;

	pair_open(env, &p);
	sim_set(&knobs);
	both_ways(env, &p);
	sim_read(&before);
	both_ways(env, &p);
	close_both(&p);
	sim_read(&counts);
	steps = before.deliveries;
	assert_true(!knobs.lose_at || counts.losses);
	if (knobs.lose_at && before.losses) /* nothing goes over the lost one */
		assert_true(counts.on_net[LEFT] == before.on_net[LEFT] ||
			    counts.on_net[RIGHT] == before.on_net[RIGHT]);
	if (counts.violations)
		failf(env, "%llu violations", (unsigned long long)counts.violations);
}

static void every_step(const char *config)
{
	uint64_t seed = only.seed ? only.seed : 11;

	knobs = (struct sim_knobs){ .seed = seed };
	run(config, t_lost, seed);
	for (uint64_t at = only.first ? only.first : 1; at <= steps; at++) {
		if (only.last && at > only.last)
			return;
		knobs = (struct sim_knobs){ .seed = seed + at, .lose_at = at,
					    .lose_after = at % 2, .heard = (uint32_t)(at / 2 % 3),
					    .lost = SIM_LOST_ADAPTER + (uint32_t)(at / 6 % 3) };
		print_message("%s: loss at %llu of %llu\n", config, (unsigned long long)at,
			      (unsigned long long)steps);
		run(config, t_lost, seed);
	}
}

static void test_lost(void **state)
{
	static const char *const configs[] = {
		"sim/left,right.negotiated.pool.host", "sim/left,right@3.records.pool.host",
		"sim/left,right@3.records.posted.host", "sim/left,right@3.negotiated.pool.opaque",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(configs); i++)
		if (!only.config || !strcmp(configs[i], only.config))
			every_step(configs[i]);
}

/*
 * An adapter is gone and the engine has not been told yet: memory that it is handed now is not known
 * to that adapter, and no rail over it may write from there.
 */
static void t_new_memory(struct env *env)
{
	struct sim_counts counts = { 0 };
	struct nmt_frag frag;
	struct nmt_event ev;
	struct pair p;
	char byte;

	pair_open(env, &p);
	frag = (struct nmt_frag){ .mr = env_mr(env, MIB, NMT_ACCESS_ALL), .len = MIB };
	mr_pattern(frag.mr, 0, 5, 1, MIB);
	pattern_fill(5, 0, &byte, 1);
	sim_set(&knobs);
	assert_int_equal(nmt_send(p.c->s, &byte, 1, 0), 1);
	while (!counts.losses) { /* found by the server; the client sleeps */
		if (nmt_poll(env->dom[SERVER], &ev, 1, MS) == 1)
			end_event(env, &ev);
		sim_read(&counts);
	}
	assert_ok(env, nmt_send_mr(p.c->s, &frag, 1, 0, 1));
	end_expect(p.s, 5, 0, 1 + MIB);
	end_wait(p.c, NMT_EV_SENT, &ev);
	assert_int_equal(ev.status, 0);
	assert_ok(env, env_mr_close(env, frag.mr));
	close_both(&p);
}

static void test_new_memory(void **state)
{
	static const char *const configs[] = { "sim/left,right@3.negotiated.pool.host",
					       "sim/left,right@3.negotiated.pool.opaque" };

	(void)state;
	for (size_t i = 0; !only.config && i < ARRAY_LEN(configs); i++) {
		knobs = (struct sim_knobs){ .seed = 1, .lose_at = 1, .lost = SIM_LOST_ADAPTER,
					    .heard = SIM_HEARD_CLIENT };
		run(configs[i], t_new_memory, 1);
	}
}

/* Streams of the other device feel nothing of it. */
static void t_undisturbed(struct env *env)
{
	struct pair p[16];

	for (size_t i = 0; i < ARRAY_LEN(p); i++)
		pair_open(env, &p[i]);
	sim_set(&(struct sim_knobs){ .seed = 1, .lose_at = 1, .lost = SIM_LOST_ADAPTER });
	for (size_t i = 0; i < ARRAY_LEN(p); i++)
		end_put_pattern(p[i].c, i, 0, 20000);
	for (size_t i = 0; i < ARRAY_LEN(p); i++)
		end_expect(p[i].s, i, 0, 20000);
	for (size_t i = 0; i < ARRAY_LEN(p); i++)
		close_both(&p[i]);
}

static void test_undisturbed(void **state)
{
	(void)state;
	if (!only.config)
		run("sim/left,right.negotiated.pool.host", t_undisturbed, 1);
}

/* ---- both are lost ---- */

static void t_both(struct env *env)
{
	struct sim_counts counts;
	struct pair_opt opt;
	struct nmt_frag frag;
	struct nmt_event ev;
	struct pair p;
	int64_t start;

	pair_defaults(env, &opt);
	opt.c.recovery_timeout = opt.s.recovery_timeout = 300 * MS;
	pair_open_opt(env, &p, &opt);
	frag = (struct nmt_frag){ .mr = env_mr(env, MIB, NMT_ACCESS_ALL), .len = MIB };
	assert_ok(env, nmt_send_mr(p.c->s, &frag, 1, 0, 1));
	sim_set(&knobs);
	start = now_ns();
	while (!(p.c->error && p.s->error)) { /* read, or it stops before there is a loss */
		char buf[4096];

		nmt_recv(p.s->s, buf, sizeof(buf), 0);
		env_spin(env, 1);
		assert_true(now_ns() - start < 5 * SEC);
	}
	end_wait(p.c, NMT_EV_SENT, &ev);
	assert_true(ev.status < 0);
	sim_read(&counts);
	assert_int_equal(counts.losses, 2);
	assert_ok(env, env_mr_close(env, frag.mr));
}

static void test_both(void **state)
{
	(void)state;
	if (only.config)
		return;
	for (uint32_t lost = SIM_LOST_ADAPTER; lost <= SIM_LOST_SILENT; lost++) {
		for (uint32_t again = 1; again < 12; again += 5) {
			knobs = (struct sim_knobs){ .seed = again, .lose_at = 2 + again,
						    .lose_again = again, .lost = lost,
						    .heard = again % 3 };
			if (lost == SIM_LOST_ADAPTER) /* both of one end: else one each is left */
				knobs.heard = SIM_HEARD_CLIENT + again % 2;
			run("sim/left,right.negotiated.pool.host", t_both, again);
			run("sim/left,right@3.records.pool.host", t_both, again);
		}
	}
}

/* ---- names ---- */

static void t_names(struct env *env)
{
	static const struct {
		const char *spec;
		int rc;
	} cases[] = {
		{ "sim/left,right", 0 }, { "sim/right,left,slow,tiny", 0 },
		{ "sim/left,", -EINVAL }, { "sim/,left", -EINVAL }, { "sim/left,,right", -EINVAL },
		{ "sim/left,right,left", -EINVAL }, { "sim/,", -EINVAL },
		{ "sim/left,right,slow,tiny,scarce", -EINVAL }, { "sim/left,wrong", -ENODEV },
	};
	struct nmt_domain *dom;

	env->ctx = env_context(env);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		int rc = nmt_domain_open(env->ctx, cases[i].spec, NULL, &dom);

		if (rc != cases[i].rc)
			failf(env, "%s: %d", cases[i].spec, rc);
		if (!rc)
			assert_ok(env, nmt_domain_close(dom));
	}
}

static void test_names(void **state)
{
	(void)state;
	if (!only.config)
		run("sim/left,right.negotiated.pool.host", t_names, 1);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_spread),
		cmocka_unit_test(test_unequal_ends),
		cmocka_unit_test(test_lost),
		cmocka_unit_test(test_new_memory),
		cmocka_unit_test(test_undisturbed),
		cmocka_unit_test(test_both),
	};

	only.config = argc > 1 ? argv[1] : NULL;
	only.first = argc > 2 ? strtoull(argv[2], NULL, 0) : 0;
	only.last = argc > 3 ? strtoull(argv[3], NULL, 0) : 0;
	only.seed = argc > 4 ? strtoull(argv[4], NULL, 0) : 0;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
