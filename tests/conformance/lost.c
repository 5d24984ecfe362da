/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Paths that are lost while a stream is busy, and come back. Only the simulated fabric loses them
 * on demand; sim.loss does so at every step of a few exchanges, this at random steps of many.
 */
#include <stdio.h>
#include <stdlib.h>

#include "sim.h"
#include "suite.h"

#define LEN 1000u
#define SLOTS 8u

/* One of the next WITHIN deliveries breaks its rail, and perhaps another one soon after. */
static void lose_soon(struct env *env, uint64_t within)
{
	sim_set(&(struct sim_knobs){
		.seed = rng_next(&env->rng),
		.lose_at = 1 + rng_below(&env->rng, within),
		.lose_after = rng_below(&env->rng, 2),
		.lose_again = rng_below(&env->rng, 3) ? 0 : 1 + (uint32_t)rng_below(&env->rng, 9),
		.heard = (uint32_t)rng_below(&env->rng, 3),
	});
}

static void lose_none(struct env *env)
{
	sim_set(&(struct sim_knobs){ .seed = rng_next(&env->rng) });
}

static void t_lost_path_loses_no_bytes(struct env *env)
{
	struct flow f[2];
	struct pair p;

	for (int i = 0; i < 14; i++) {
		pair_open(env, &p);
		lose_soon(env, 40);
		flow_init(env, &f[0], p.c, p.s, 60 * KIB);
		flow_init(env, &f[1], p.s, p.c, 60 * KIB);
		f[0].tx_max = f[0].rx_max = f[1].tx_max = f[1].rx_max = 8 * KIB;
		flows_run(env, f, 2);
		lose_none(env);
		pair_close(&p);
	}
}

/* Each send is a run whose completion is asked for; what completed must not be lost any more. */
static void t_completed_sends_survive_a_lost_path(struct env *env)
{
	struct nmt_frag frag = { .len = 100 };
	struct nmt_event ev;
	struct nmt_mr *in;
	struct pair p;

	for (int i = 0; i < 60; i++) {
		pair_open(env, &p);
		in = env_mr(env, 2000, NMT_ACCESS_ALL);
		frag.mr = env_mr(env, 2000, NMT_ACCESS_ALL);
		mr_pattern(frag.mr, 0, 3, 0, 2000);
		assert_ok(env, nmt_recv_into(p.s->s, in, 0, 2000, 0, 1));
		env_spin(env, 3);
		lose_soon(env, 24);
		for (uint64_t n = 0; n < 20; n++) {
			frag.offset = n * 100;
			assert_ok(env, nmt_send_mr(p.c->s, &frag, 1, 0, n));
			env_spin(env, (int)rng_below(&env->rng, 2));
		}
		for (uint64_t n = 0; n < 20; n++) {
			end_wait(p.c, NMT_EV_SENT, &ev);
			if (ev.status || ev.cookie != n)
				failf(env, "round %d: send %llu says %d", i,
				      (unsigned long long)ev.cookie, ev.status);
			mr_fill(frag.mr, n * 100, 0xee, 100);
		}
		end_wait(p.s, NMT_EV_RECEIVED, &ev);
		if (ev.status || mr_check(in, 0, 3, 0, 2000) >= 0)
			failf(env, "round %d: the receive says %d, or has wrong bytes", i,
			      ev.status);
		lose_none(env);
		pair_close(&p);
	}
}

/* ---- all requests that the device takes, and none of them arrives ---- */

static void fill_queue(struct env *env, struct pair *p, struct nmt_mr *mr, size_t len)
{
	unsigned char byte;
	size_t sent = 0;

	if (env->cfg->recv == NMT_RECV_POSTED) {
		assert_ok(env, nmt_recv_into(p->s->s, mr, 0, len, 0, 1));
		env_spin(env, 4);
	}
	for (; sent < len; sent++) {
		pattern_fill(1, sent, &byte, 1);
		if (nmt_send(p->c->s, &byte, 1, 0) != 1)
			break;
	}
	if (sent < len)
		failf(env, "%zu of %zu bytes fit", sent, len);
}

static void t_full_queue_on_a_lost_path(struct env *env)
{
	static unsigned char buf[200];
	struct nmt_event ev;
	struct nmt_mr *mr;
	struct pair p;

	mr = NULL;
	for (int i = 0; i < 16; i++) {
		pair_open(env, &p);
		if (!mr)
			mr = env_mr(env, sizeof(buf), NMT_ACCESS_ALL);
		sim_set(&(struct sim_knobs){
			.seed = rng_next(&env->rng),
			.lose_at = 1 + (i % 4 ? 0 : rng_below(&env->rng, 70)) });
		fill_queue(env, &p, mr, sizeof(buf));
		if (env->cfg->recv == NMT_RECV_POSTED) {
			end_wait(p.s, NMT_EV_RECEIVED, &ev);
			assert_int_equal(ev.len, sizeof(buf));
			assert_int_equal(mr_check(mr, 0, 1, 0, sizeof(buf)), -1);
		} else {
			end_expect(p.s, 1, 0, sizeof(buf));
		}
		lose_none(env);
		pair_close(&p);
	}
}

/* ---- a record whose rest is dropped, bit by bit ---- */

static void put_part(struct end *e, uint64_t at, size_t len, int flags)
{
	unsigned char buf[2000];

	pattern_fill(2, at, buf, len);
	end_put(e, buf, len, flags);
}

static void cut_record(struct env *env, struct pair *p, struct nmt_mr *mr)
{
	for (uint64_t i = 0; i < 4; i++)
		assert_ok(env, nmt_recv_into(p->s->s, mr, i * LEN, LEN, NMT_RECV_WHOLE, i));
	put_part(p->c, 0, 1500, MSG_MORE);
	env_spin(env, (int)rng_below(&env->rng, 6));
	assert_ok(env, nmt_recv_cancel(p->s->s, 1));
	env_spin(env, (int)rng_below(&env->rng, 6));
	put_part(p->c, 1500, 700, MSG_EOR);
	put_part(p->c, 5000, 300, MSG_EOR);
	put_part(p->c, 6000, 400, MSG_EOR);
}

/* The cancelled post is over with nothing, or too late to be: then it has the next record. */
static void cut_record_arrives(struct env *env, struct pair *p, struct nmt_mr *mr, int round)
{
	static const struct {
		uint64_t at;
		size_t len;
		int status;
	} want[] = { { 0, LEN, -EMSGSIZE }, { 5000, 300, 0 }, { 6000, 400, 0 } };
	struct nmt_event ev;

	for (unsigned int n = 0; n < ARRAY_LEN(want);) {
		end_wait(p->s, NMT_EV_RECEIVED, &ev);
		if (ev.cookie == 1 && ev.status == -ECANCELED && !ev.len)
			continue;
		if (ev.len != want[n].len || ev.status != want[n].status ||
		    mr_check(mr, ev.cookie * LEN, 2, want[n].at, ev.len) >= 0)
			failf(env, "round %d: post %llu, record %u: %llu bytes, status %d", round,
			      (unsigned long long)ev.cookie, n, (unsigned long long)ev.len,
			      ev.status);
		n++;
	}
}

static void t_cut_record_on_a_lost_path(struct env *env)
{
	struct nmt_mr *mr;
	struct pair p;

	for (int i = 0; i < 40; i++) {
		pair_open(env, &p);
		mr = env_mr(env, 4 * LEN, NMT_ACCESS_ALL);
		lose_soon(env, 14);
		cut_record(env, &p, mr);
		cut_record_arrives(env, &p, mr, i);
		lose_none(env);
		pair_close(&p);
	}
}

/* ---- memory that the application has back ---- */

struct slots {
	struct nmt_mr *mr;
	struct pair p;
	uint64_t next, pos; /* of the next cookie to post; of the next byte to come */
	bool back[SLOTS];
};

static void post(struct env *env, struct slots *s)
{
	uint64_t at = s->next % SLOTS;

	s->back[at] = false;
	assert_ok(env, nmt_recv_into(s->p.s->s, s->mr, at * LEN, LEN, 0, s->next++));
}

/* Nobody may write to it until it is posted again. */
static void left_alone(struct env *env, const struct slots *s)
{
	for (size_t i = 0; i < SLOTS; i++)
		if (s->back[i] && !mr_is(s->mr, i * LEN, 0xc3, LEN))
			failf(env, "memory of slot %zu was written behind its NMT_EV_RECEIVED", i);
}

static void take(struct env *env, struct slots *s)
{
	struct nmt_event ev;
	size_t at;

	while (end_take(s->p.s, NMT_EV_RECEIVED, &ev)) {
		at = ev.cookie % SLOTS;
		if (ev.status && ev.status != -ECANCELED)
			failf(env, "NMT_EV_RECEIVED says %d", ev.status);
		if (mr_check(s->mr, at * LEN, 1, s->pos, ev.len) >= 0)
			failf(env, "bytes from %llu on are wrong", (unsigned long long)s->pos);
		s->pos += ev.len;
		mr_fill(s->mr, at * LEN, 0xc3, LEN);
		s->back[at] = true;
	}
	left_alone(env, s);
}

static void one_round(struct env *env, struct slots *s, uint64_t total)
{
	uint64_t sent = 0;

	while (s->pos < total) {
		if (s->next < SLOTS || s->back[s->next % SLOTS])
			post(env, s);
		else if (!rng_below(&env->rng, 6))
			nmt_recv_cancel(s->p.s->s, s->next - 1 - rng_below(&env->rng, SLOTS));
		if (sent < total && sent < s->pos + 4000) {
			uint64_t left = total - sent;
			size_t n = 1 + rng_below(&env->rng, left < 700 ? left : 700);

			end_put_pattern(s->p.c, 1, sent, n);
			sent += n;
		}
		env_spin(env, 1);
		take(env, s);
		if (now_ns() > env->deadline)
			failf(env, "time limit: at %llu of %llu", (unsigned long long)s->pos,
			      (unsigned long long)total);
	}
}

static void t_memory_that_came_back_is_left_alone(struct env *env)
{
	struct slots s = { .mr = NULL };

	for (int i = 0; i < 24; i++) {
		struct nmt_mr *mr = s.mr;

		s = (struct slots){ .mr = mr };
		pair_open(env, &s.p);
		if (!mr)
			s.mr = env_mr(env, SLOTS * LEN, NMT_ACCESS_ALL);
		lose_soon(env, 40);
		one_round(env, &s, 20000);
		for (int k = 0; k < 20; k++) {
			env_spin(env, 1);
			left_alone(env, &s);
		}
		lose_none(env);
		end_abort(s.p.c);
		end_abort(s.p.s);
		wait_for(env, s.p.c->closed && s.p.s->closed);
	}
}

const struct test tests_lost[] = {
	TEST_MS(t_lost_path_loses_no_bytes, T_SIM, 10000),
	TEST_MS(t_completed_sends_survive_a_lost_path, T_SIM, 10000),
	TEST(t_full_queue_on_a_lost_path, T_SIM),
	TEST_MS(t_cut_record_on_a_lost_path, T_SIM | T_POSTED | T_RECORDS, 10000),
	TEST_MS(t_memory_that_came_back_is_left_alone, T_SIM | T_POSTED, 10000),
	TESTS_END,
};
