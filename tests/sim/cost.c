/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sim_cost COUNT [oneway|turn|answer|bulk]: COUNT messages of 64 bytes over the simulated fabric,
 * each taken before the next is sent. Under callgrind the difference of two runs tells what they
 * cost.
 *
 * oneway  all of them go to the server
 * turn    each end answers, as nmt_perf lat does: poll, event, receive, send
 * answer  the same, of which callgrind --collect-atstart=no collects only what lies between the
 *         poll of the device that told of a message and the write of the answer
 * bulk    messages of 64 KiB of borrowed memory go to the server, 16 under way, and are lent there
 */
#include <stdio.h>
#include <stdlib.h>

#if defined(__has_include)
#if __has_include(<valgrind/callgrind.h>)
#include <valgrind/callgrind.h>
#endif
#endif
#ifndef CALLGRIND_TOGGLE_COLLECT
#define CALLGRIND_TOGGLE_COLLECT (void)0
#endif

#include "sim.h"
#include "suite.h"

#define SIZE 64
#define BLOCK (64u << 10)
#define EVENTS 64

static unsigned long count;

static void t_oneway(struct env *env)
{
	struct nmt_domain_attr attr = NMT_DOMAIN_ATTR_INIT;
	char buf[SIZE] = "";
	struct pair p;

	env_open(env, &attr);
	pair_open(env, &p);
	for (unsigned long i = 0; i < count; i++) {
		assert_int_equal(nmt_send(p.c->s, buf, SIZE, 0), SIZE);
		while (nmt_recv(p.s->s, buf, SIZE, 0) != SIZE)
			env_spin(env, 1);
	}
}

/* Answer what comes. */
static void answer(struct env *env, struct end *e)
{
	struct nmt_event ev[EVENTS];
	char buf[SIZE];
	int n = nmt_poll(env->dom[e->side], ev, EVENTS, 0);

	for (int i = 0; i < n; i++) {
		if (ev[i].type != NMT_EV_READABLE)
			continue;
		assert_int_equal(nmt_recv(e->s, buf, SIZE, 0), SIZE);
		assert_int_equal(nmt_send(e->s, buf, SIZE, 0), SIZE);
	}
}

static void t_turn(struct env *env)
{
	struct nmt_domain_attr attr = NMT_DOMAIN_ATTR_INIT;
	struct sim_counts c = { 0 };
	char buf[SIZE] = "";
	struct pair p;

	env_open(env, &attr);
	pair_open(env, &p);
	assert_int_equal(nmt_send(p.c->s, buf, SIZE, 0), SIZE);
	while (c.writes < count) {
		for (int i = 0; i < 16; i++) {
			answer(env, p.s);
			answer(env, p.c);
		}
		sim_read(&c);
	}
}

static void take_loans(struct env *env, struct end *e, uint64_t *got)
{
	struct nmt_event ev[EVENTS];
	struct nmt_frag frags[16];
	int n = nmt_poll(env->dom[e->side], ev, EVENTS, 0);

	for (int i = 0; i < n; i++) {
		int have = ev[i].type == NMT_EV_READABLE ? nmt_recv_frags(e->s, frags, 16, 0) : 0;

		for (int k = 0; k < have; k++)
			*got += frags[k].len;
		if (have > 0)
			assert_int_equal(nmt_release(e->s, frags, have), 0);
	}
}

static void t_bulk(struct env *env)
{
	struct nmt_domain_attr attr = NMT_DOMAIN_ATTR_INIT;
	uint64_t sent = 0, done = 0, got = 0;
	struct nmt_event ev[EVENTS];
	struct nmt_frag frag;
	struct pair p;

	env_open(env, &attr);
	pair_open(env, &p);
	frag = (struct nmt_frag){ .mr = env_mr(env, BLOCK, NMT_ACCESS_SEND), .len = BLOCK };
	while (got < count * BLOCK) {
		int n = nmt_poll(env->dom[p.c->side], ev, EVENTS, 0);

		for (int i = 0; i < n; i++)
			done += ev[i].type == NMT_EV_SENT;
		while (sent < count && sent - done < 16 &&
		       !nmt_send_mr(p.c->s, &frag, 1, 0, sent))
			sent++;
		take_loans(env, p.s, &got);
	}
}

static void collect(bool begins)
{
	static bool on;

	if (on != begins)
		CALLGRIND_TOGGLE_COLLECT;
	on = begins;
}

int main(int argc, char **argv)
{
	struct test test = { .name = "cost", .run = t_turn, .limit_ms = 300000 };
	struct suite suite = { .seed = 1 };
	struct sim_knobs knobs = { .seed = 1 };

	count = argc >= 2 ? strtoul(argv[1], NULL, 0) : 0;
	if (argc <= 2 || !strcmp(argv[2], "oneway"))
		test.run = t_oneway;
	else if (!strcmp(argv[2], "answer"))
		knobs.turn = collect;
	else if (!strcmp(argv[2], "bulk"))
		test.run = t_bulk;
	else if (strcmp(argv[2], "turn") != 0)
		count = 0;
	if (!count || argc > 3) {
		fprintf(stderr, "usage: sim_cost COUNT [oneway|turn|answer|bulk]\n");
		return 2;
	}
	if (!config_find("sim.negotiated.pool.host", &suite.cfg))
		return 1;
	snprintf(suite.cfg.spec, sizeof(suite.cfg.spec), "sim");
	sim_set(&knobs);
	env_run(&suite, &test);
	return 0;
}
