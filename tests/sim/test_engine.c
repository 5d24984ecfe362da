/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The engine's adapter over the simulated fabric: a path that does not come back, registrations that
 * fail, what a stream says of its path, and what bulk traffic costs in requests, doorbells,
 * completions and control messages.
 */
#include <stdio.h>
#include <stdlib.h>

#include "sim.h"
#include "suite.h"

static void run(const char *config, const char *spec, void (*fn)(struct env *env), uint64_t seed)
{
	struct test test = { .name = config, .run = fn, .limit_ms = 15000 };
	struct suite suite = { .seed = seed };
	struct sim_counts counts;

	assert_true(config_find(config, &suite.cfg));
	snprintf(suite.cfg.spec, sizeof(suite.cfg.spec), "%s", spec);
	snprintf(suite.cfg.server, sizeof(suite.cfg.server), "%s", spec);
	sim_set(&(struct sim_knobs){ .seed = seed });
	env_run(&suite, &test);
	sim_read(&counts);
	assert_int_equal(counts.endpoints, 0);
	assert_int_equal(counts.regs, 0);
	assert_int_equal(counts.violations, 0);
}

/* ---- a path that stays away ---- */

static void t_never_back(struct env *env)
{
	struct nmt_event ev;
	struct pair_opt opt;
	struct nmt_frag frag;
	int64_t start;
	struct pair p;

	pair_defaults(env, &opt);
	opt.c.recovery_timeout = opt.s.recovery_timeout = 300 * MS;
	pair_open_opt(env, &p, &opt);
	frag = (struct nmt_frag){ .mr = env_mr(env, MIB, NMT_ACCESS_ALL), .len = MIB };
	assert_ok(env, nmt_send_mr(p.c->s, &frag, 1, 0, 1));
	assert_ok(env, nmt_recv_into(p.c->s, env_mr(env, 100, NMT_ACCESS_ALL), 0, 100, 0, 2));
	sim_set(&(struct sim_knobs){ .seed = 1, .lose_at = 1, .deaf = true });
	start = now_ns();
	wait_for(env, p.c->error && p.s->error);
	assert_true(now_ns() - start >= 250 * MS && now_ns() - start < 3 * SEC);
	assert_true(p.c->error == -ETIMEDOUT || p.s->error == -ETIMEDOUT);
	assert_true(p.c->error == -ETIMEDOUT || p.c->error == -ECONNRESET);
	assert_true(p.s->error == -ETIMEDOUT || p.s->error == -ECONNRESET);
	end_wait(p.c, NMT_EV_SENT, &ev);
	assert_true(ev.status < 0);
	end_wait(p.c, NMT_EV_RECEIVED, &ev);
	assert_int_equal(ev.status, p.c->error);
	assert_ok(env, env_mr_close(env, frag.mr));
}

static void test_never_back(void **state)
{
	(void)state;
	run("sim.negotiated.pool.host", "sim", t_never_back, 1);
	run("sim@3.negotiated.pool.host", "sim/tiny", t_never_back, 2);
}

#define STEP_BYTES (256u * KIB)
#define OUTAGE (20 * MS)

/* What happens at a delivery: the path is lost for good, or for a while, or the peer goes. */
enum step_what { STEP_NEVER_BACK, STEP_BACK, STEP_PEER_GONE, STEPS };

static struct {
	enum step_what what;
	struct sim_knobs knobs;
	bool hit; /* in this run */
} step;

static void step_hit(void)
{
	step.hit = true;
}

/* What arrives is a beginning of what was sent. */
static void take_beginning(struct env *env, struct end *e, uint64_t *got)
{
	char buf[3000];
	ssize_t n = nmt_recv(e->s, buf, sizeof(buf), 0);

	if (n > 0 && pattern_check(1, *got, buf, (size_t)n) >= 0)
		failf(env, "wrong bytes at %llu", (unsigned long long)*got);
	*got += n > 0 ? (uint64_t)n : 0;
}

/* It happened: the rest of it. True: the path was given back, or the peer is gone. */
static bool step_on(struct pair *p, int64_t since)
{
	if (step.what == STEP_PEER_GONE)
		end_abort(p->s);
	else if (step.what == STEP_NEVER_BACK || now_ns() - since < OUTAGE)
		return false;
	else
		sim_set(&(struct sim_knobs){ .seed = step.knobs.seed });
	return true;
}

static bool step_over(const struct pair *p, const uint64_t *got)
{
	if (!step.hit || step.what == STEP_BACK)
		return got[0] == STEP_BYTES && got[1] == STEP_BYTES;
	return p->c->error && (p->s->error || step.what == STEP_PEER_GONE);
}

/* Who is left hears of it in time, and lent memory comes back; or all bytes arrive. */
static void t_step(struct env *env)
{
	struct nmt_frag frag = { .len = STEP_BYTES };
	int64_t start, since = 0;
	struct sim_counts counts;
	uint64_t got[2] = { 0 };
	struct pair_opt opt;
	bool done = false;
	struct pair p;

	pair_defaults(env, &opt);
	opt.c.recovery_timeout = opt.s.recovery_timeout =
		step.what == STEP_NEVER_BACK ? 50 * MS : 5 * SEC;
	pair_open_opt(env, &p, &opt);
	frag.mr = env_mr(env, STEP_BYTES, NMT_ACCESS_ALL);
	mr_pattern(frag.mr, 0, 1, 0, STEP_BYTES);
	sim_set(&step.knobs);
	assert_ok(env, nmt_send_mr(p.c->s, &frag, 1, 0, 1));
	assert_ok(env, nmt_send_mr(p.s->s, &frag, 1, 0, 1));
	for (start = now_ns(); !step_over(&p, got); env_spin(env, 1)) {
		assert_true(now_ns() - start < 5 * SEC);
		sim_read(&counts);
		step.hit |= counts.losses > 0;
		since = step.hit && !since ? now_ns() : since;
		if (step.hit && !done)
			done = step_on(&p, since);
		take_beginning(env, p.c, &got[0]);
		if (step.what != STEP_PEER_GONE || !done)
			take_beginning(env, p.s, &got[1]);
	}
	assert_true((p.c->error == 0) == (!step.hit || step.what == STEP_BACK));
	end_abort(p.c);
	if (step.what != STEP_PEER_GONE || !done)
		end_abort(p.s);
	wait_for(env, p.c->closed && p.s->closed);
	assert_ok(env, env_mr_close(env, frag.mr));
}

static struct sim_knobs step_knobs(uint64_t at)
{
	struct sim_knobs knobs = { .seed = at };

	if (step.what == STEP_PEER_GONE) {
		knobs.call_at = at;
		knobs.call = step_hit;
		return knobs;
	}
	knobs.lose_at = at;
	knobs.deaf = true;
	knobs.lose_after = at % 2;
	knobs.heard = (uint32_t)(at / 2 % 3);
	return knobs;
}

/* Each at delivery 1, 2, 3, ... to the last. */
static void steps(const char *spec, uint64_t rails)
{
	uint64_t at = 0;

	do {
		at++;
		step.hit = false;
		step.knobs = step_knobs(at);
		run(rails > 1 ? "sim@3.negotiated.pool.host" : "sim.negotiated.pool.host", spec,
		    t_step, at);
	} while (step.hit);
	print_message("%s: event %d at each of %llu deliveries\n", spec, step.what,
		      (unsigned long long)at - 1);
	assert_true(at > 4);
}

static void test_steps(void **state)
{
	(void)state;
	for (step.what = 0; step.what < STEPS; step.what++) {
		steps("sim/short", 1);
		steps("sim/tiny", 3);
		steps("sim/mixed", 1);
	}
}

/* ---- memory that cannot be registered ---- */

static void t_flows(struct env *env)
{
	struct flow f[4];
	struct pair p[2];

	for (int i = 0; i < 2; i++) {
		pair_open(env, &p[i]);
		flow_init(env, &f[2 * i], p[i].c, p[i].s, 300 * KIB);
		flow_init(env, &f[2 * i + 1], p[i].s, p[i].c, 300 * KIB);
	}
	flows_run(env, f, 4);
	pair_close(&p[0]);
	pair_close(&p[1]);
}

static void test_scarce(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 8; seed++) {
		run("sim.records.posted.host", "sim/scarce", t_flows, seed);
		run("sim@3.negotiated.pool.host", "sim/scarce", t_flows, seed);
		run("sim@3.records.pool.host", "sim/slow", t_flows, seed);
	}
}

/* ---- "auto", and a path that is lost before the stream is open ---- */

static struct sim_knobs auto_knobs;
static unsigned int on_tcp, on_sim;

static void t_auto(struct env *env)
{
	struct nmt_domain_attr attr = env_domain_attr(env);
	struct nmt_stream_info info[2];
	struct pair p;

	env->ctx = env_context(env);
	assert_ok(env, sim_add_best(env->ctx));
	for (int i = 0; i < 2; i++)
		assert_ok(env, nmt_domain_open(env->ctx, "auto", &attr, &env->dom[i]));
	sim_set(&auto_knobs);
	pair_open(env, &p);
	info[0] = end_info(p.c);
	info[1] = end_info(p.s);
	assert_string_equal(info[0].provider, info[1].provider);
	if (!strcmp(info[0].provider, "tcp")) {
		on_tcp++;
		for (int i = 0; i < 2; i++) {
			assert_int_equal(info[i].why, NMT_WHY_PATH);
			assert_int_equal(strncmp(info[i].why_text, "sim: ", 5), 0);
		}
	} else {
		assert_string_equal(info[0].provider, "sim");
		on_sim++;
	}
	pair_works(&p, 100000);
	pair_close(&p);
}

/* Whoever hears of it, both ends are on one path, and nothing of the other one is left. */
static void test_auto(void **state)
{
	(void)state;
	on_tcp = on_sim = 0;
	for (uint32_t i = 0; i < 72; i++) {
		auto_knobs = (struct sim_knobs){ .seed = i + 1, .lose_at = i % 12 + 1,
						 .lose_after = i / 12 % 2, .heard = i / 24 };
		run("auto.negotiated.pool.host", "auto", t_auto, i + 1);
	}
	print_message("lost at the beginning: %u on tcp, %u on sim\n", on_tcp, on_sim);
	assert_true(on_tcp >= 4 && on_sim >= 4);
}

static void test_auto_never(void **state)
{
	int64_t start = now_ns();

	(void)state;
	on_tcp = on_sim = 0;
	auto_knobs = (struct sim_knobs){ .seed = 1, .deaf = true };
	run("auto.records.pool.host", "auto", t_auto, 1);
	assert_int_equal(on_tcp, 1);
	assert_true(now_ns() - start >= 1800 * MS); /* half of the 4 s, and not the other half */
	assert_true(now_ns() - start < 3500 * MS * TIME_SCALE);
	auto_knobs.deaf = false;
	run("auto.records.pool.host", "auto", t_auto, 2);
	assert_int_equal(on_sim, 1);
}

/* ---- what it costs ---- */

#define BLOCK (64u * KIB)
#define BLOCKS 512u
#define BURST 16u
#define LARGE (4u * MIB)
#define LARGES 32u
#define LARGE_CELLS (LARGES / 2 * LARGE / (128u * KIB)) /* of those that are counted */
/* Under a sanitizer the receiver takes longer to come back, and less is granted at a time. */
#define MOST (TIME_SCALE == 1 ? LARGE_CELLS / 16 : LARGE_CELLS / 8)

static void tell(const char *what, const struct sim_counts *c)
{
	print_message("%s: %llu writes, %llu control messages, %llu doorbells, %llu signalled, "
		      "%llu empty requests\n", what, (unsigned long long)c->writes,
		      (unsigned long long)c->sends, (unsigned long long)c->doorbells,
		      (unsigned long long)c->signalled, (unsigned long long)c->asks);
}

static void give_back(struct env *env, struct end *e, uint64_t *got)
{
	struct nmt_frag frags[32];
	int n = nmt_recv_frags(e->s, frags, 32, 0);

	assert_true(n > 0 || n == -EAGAIN);
	for (int i = 0; i < n; i++)
		*got += frags[i].len;
	if (n > 0)
		assert_ok(env, nmt_release(e->s, frags, n));
}

#define LATE 4

struct late {
	struct nmt_frag frags[LATE];
	int n;
};

/* As give_back, by an application that always has some of it: what it took last. */
static void give_back_late(struct env *env, struct end *e, struct late *l, uint64_t *got)
{
	struct nmt_frag frags[LATE];
	int n;

	while ((n = nmt_recv_frags(e->s, frags, LATE, 0)) > 0) {
		if (l->n)
			assert_ok(env, nmt_release(e->s, l->frags, l->n));
		memcpy(l->frags, frags, sizeof(frags));
		l->n = n;
		for (int i = 0; i < n; i++)
			*got += frags[i].len;
	}
	assert_int_equal(n, -EAGAIN);
}

/* Borrowed blocks into the default pool, read by loans; MORE: flags of all in a burst but the last. */
static void borrowed(struct env *env, struct pair *p, int more)
{
	struct nmt_frag frag = { .len = BLOCK };
	uint64_t got = 0, sent = 0, back = 0;
	struct nmt_event ev;

	frag.mr = env_mr(env, BLOCK, NMT_ACCESS_SEND);
	sim_set(&(struct sim_knobs){ .seed = 1 });
	while (got < (uint64_t)BLOCKS * BLOCK || back < BLOCKS) {
		for (uint32_t i = 0; i < BURST && sent < BLOCKS; i++, sent++)
			if (nmt_send_mr(p->c->s, &frag, 1, i + 1 < BURST ? more : 0, 0))
				break;
		env_spin(env, 1);
		for (; end_take(p->c, NMT_EV_SENT, &ev); back++)
			assert_int_equal(ev.status, 0);
		give_back(env, p->s, &got);
	}
}

/* What every kind of bulk traffic keeps to. */
static void check_bulk(const struct sim_counts *c)
{
	assert_true(c->writes <= BLOCKS + 4);     /* one write a block: it fits its cell */
	assert_true(c->sends <= BLOCKS / 18); /* one a 9 cells of two blocks, the first ones too */
	assert_true(c->signalled <= c->writes / 16 + 4);
	assert_true(c->asks <= 4); /* once the sender has nothing more */
	assert_in_range(c->deepest, 17, 40); /* a burst, and one more with what is granted behind it */
}

static void t_bulk(struct env *env)
{
	struct nmt_domain_attr attr = NMT_DOMAIN_ATTR_INIT;
	struct nmt_stats st = NMT_STATS_INIT;
	struct sim_counts counts;
	struct pair p;

	env_open(env, &attr);
	pair_open(env, &p);
	borrowed(env, &p, MSG_MORE);
	sim_read(&counts);
	tell("bursts", &counts);
	check_bulk(&counts);
	/* The window is small at first, which parts a burst. */
	assert_true(counts.doorbells <= counts.writes / 16 + counts.sends + counts.asks + 1);
	assert_ok(env, nmt_stats(NULL, p.c->s, &st));
	assert_int_equal(st.rma_writes, BLOCKS);
	assert_true(st.rma_signalled <= counts.signalled);
	assert_true(st.rma_doorbells <= counts.doorbells + 4);
}

/* Each on its own: a doorbell each, but no more completions than of bursts. */
static void t_singles(struct env *env)
{
	struct nmt_domain_attr attr = NMT_DOMAIN_ATTR_INIT;
	struct sim_counts counts;
	struct pair p;

	env_open(env, &attr);
	pair_open(env, &p);
	borrowed(env, &p, 0);
	sim_read(&counts);
	tell("singles", &counts);
	check_bulk(&counts);
	assert_true(counts.doorbells <= counts.writes + counts.sends + counts.asks);
}

/*
 * Large borrowed messages over a path on which runs arrive one by one, to a receiver that takes each
 * at once, or some late: the window grows none the less, and runs take many cells.
 */
static void large(struct env *env, struct late *late, struct sim_counts *counts)
{
	struct nmt_domain_attr attr = NMT_DOMAIN_ATTR_INIT;
	struct nmt_frag frag = { .len = LARGE };
	uint64_t got = 0, sent = 0;
	struct nmt_event ev;
	struct pair p;

	env_open(env, &attr);
	pair_open(env, &p);
	frag.mr = env_mr(env, LARGE, NMT_ACCESS_SEND);
	while (got < (uint64_t)LARGES * LARGE) {
		while (sent < LARGES && !nmt_send_mr(p.c->s, &frag, 1, 0, 0))
			sent++;
		if (got < LARGES / 2 * (uint64_t)LARGE) /* what it takes to grow is not told */
			sim_set(&(struct sim_knobs){ .seed = 1 });
		env_turn(env, "large messages", __FILE__, __LINE__);
		while (end_take(p.c, NMT_EV_SENT, &ev))
			assert_int_equal(ev.status, 0);
		if (late)
			give_back_late(env, p.s, late, &got);
		else
			give_back(env, p.s, &got);
	}
	sim_read(counts);
	tell(late ? "large, given back late" : "large", counts);
}

static void t_large(struct env *env)
{
	struct sim_counts counts;

	large(env, NULL, &counts);
	assert_true(counts.writes <= LARGE_CELLS / 3); /* a write takes cells that adjoin together */
	assert_true(counts.sends <= MOST);
	assert_true(counts.doorbells - counts.sends - counts.asks <= MOST);
	assert_true(counts.signalled <= MOST);
	assert_true(counts.asks <= MOST); /* more on a slow machine: turns with nothing to send */
}

/* More cells are in use than the window has, so they come from two slabs: many of each in turn. */
static void t_large_late(struct env *env)
{
	struct late late = { .n = 0 };
	struct sim_counts counts;

	large(env, &late, &counts);
	assert_true(counts.writes <= LARGE_CELLS / 4);
}

/* Each message is taken before the next is sent: the window grows none the less, since all come fast. */
static void t_one_by_one(struct env *env)
{
	static char block[128 * KIB];
	struct nmt_domain_attr attr = NMT_DOMAIN_ATTR_INIT;
	struct nmt_stats st = NMT_STATS_INIT;
	uint64_t got = 0, sent = 0;
	struct pair p;

	env_open(env, &attr);
	pair_open(env, &p);
	for (int i = 0; i < 64; i++) {
		while (sent < (i + 1) * sizeof(block)) {
			ssize_t n = nmt_send(p.c->s, block, (i + 1) * sizeof(block) - sent, 0);

			assert_true(n > 0 || n == -EAGAIN);
			sent += n > 0 ? (uint64_t)n : 0;
			env_spin(env, 1);
			give_back(env, p.s, &got);
		}
		while (got < sent) {
			env_spin(env, 1);
			give_back(env, p.s, &got);
		}
	}
	assert_ok(env, nmt_stats(env->dom[SERVER], NULL, &st));
	print_message("one by one: %llu KiB of pool\n", (unsigned long long)(st.pool_bytes / KIB));
	assert_true(st.pool_bytes >= MIB);
}

/* Copied blocks: the ring grows until it holds what is in flight. */
static void t_copied(struct env *env)
{
	static const char block[BLOCK];
	struct nmt_domain_attr attr = NMT_DOMAIN_ATTR_INIT;
	uint64_t got = 0, sent = 0, total = (uint64_t)BLOCKS * BLOCK;
	struct sim_counts counts;
	struct pair p;

	env_open(env, &attr);
	pair_open(env, &p);
	sim_set(&(struct sim_knobs){ .seed = 1 });
	while (got < total) {
		ssize_t n = sent < total ? nmt_send(p.c->s, block, BLOCK, 0) : 0;

		assert_true(n >= 0 || n == -EAGAIN);
		sent += n > 0 ? (uint64_t)n : 0;
		if (n < (ssize_t)BLOCK)
			env_spin(env, 1);
		give_back(env, p.s, &got);
	}
	sim_read(&counts);
	tell("copied", &counts);
	assert_true(counts.writes <= BLOCKS + BLOCKS / 8);
	assert_true(counts.signalled <= counts.writes / 8);
	assert_true(STAT(p.c, stream_memory) <= 3 * MIB);
}

/*
 * A run, alone on its rail, asks for no completion. On another rail as many follow as may be under
 * way, each after the one before has arrived: then somebody has to ask for that one. (Of rail 0
 * control messages tell.)
 */
static void t_depth(struct env *env)
{
	struct nmt_domain_attr attr = NMT_DOMAIN_ATTR_INIT;
	uint64_t at = 8192; /* two stripes */
	struct pair p;

	env->waiter = WAIT_POLL;
	env_open(env, &attr);
	pair_open(env, &p);
	end_put_pattern(p.c, 1, 0, at);
	end_expect(p.s, 1, 0, at);
	for (int i = 0; i < 40; i++, at += 10) {
		env_idle(env, 2 * MS); /* nothing is under way any more, neither way */
		end_put_pattern(p.c, 1, at, 10);
		end_expect(p.s, 1, at, 10);
	}
}

/* A sender that waits for its event, as programs do, and a receiver that copies out. */
static void t_events(struct env *env)
{
	static char out[MIB], in[MIB];
	struct nmt_domain_attr attr = NMT_DOMAIN_ATTR_INIT;
	uint64_t got = 0, sent = 0, total = 200 * MIB;
	bool blocked = false;
	struct pair p;

	env_open(env, &attr);
	pair_open(env, &p);
	while (got < total) {
		ssize_t n;

		while (!blocked && sent < total) {
			size_t left = MIB - sent % MIB;

			n = nmt_send(p.c->s, out, left, 0);
			assert_true(n >= 0 || n == -EAGAIN);
			sent += n > 0 ? (uint64_t)n : 0;
			blocked = n < (ssize_t)left;
		}
		env_turn(env, "an event", __FILE__, __LINE__);
		blocked = blocked && !p.c->writable;
		p.c->writable = 0;
		while ((n = nmt_recv(p.s->s, in, sizeof(in), 0)) > 0)
			got += (uint64_t)n;
		assert_int_equal(n, -EAGAIN);
	}
}

static void test_bulk(void **state)
{
	(void)state;
	run("sim.negotiated.pool.host", "sim", t_bulk, 1);
	run("sim.negotiated.pool.host", "sim", t_singles, 1);
	run("sim.negotiated.pool.host", "sim/far", t_large, 1);
	run("sim.negotiated.pool.host", "sim/far", t_large_late, 1);
	run("sim.negotiated.pool.host", "sim", t_copied, 1);
	run("sim.negotiated.pool.host", "sim", t_one_by_one, 1);
	run("sim.negotiated.pool.host", "sim", t_events, 1);
	run("sim.negotiated.pool.host", "sim/slow", t_events, 1);
	run("sim@3.negotiated.pool.host", "sim", t_events, 1);
	run("sim@3.negotiated.pool.host", "sim/tiny", t_depth, 1);
}

/* ---- the end, which came with the last bytes ---- */

static void t_end(struct env *env)
{
	struct pair p;
	char buf[100];

	pair_open(env, &p);
	assert_int_equal(nmt_send(p.c->s, "0123456789", 10, 0), 10);
	assert_ok(env, nmt_shutdown(p.c->s, SHUT_WR));
	env_spin(env, 10);
	p.s->readable = 0;
	assert_int_equal(nmt_recv(p.s->s, buf, sizeof(buf), 0), 10);
	wait_for(env, p.s->readable > 0);
	assert_int_equal(nmt_recv(p.s->s, buf, sizeof(buf), 0), 0);
}

static void test_end(void **state)
{
	(void)state;
	run("sim.negotiated.pool.host", "sim", t_end, 1);
}

/* ---- what a stream says of its path ---- */

static void t_path(struct env *env)
{
	struct nmt_stream_info info;
	struct pair p;

	pair_open(env, &p);
	info = end_info(p.c);
	assert_int_equal(info.adapter_port, 1);
	assert_int_equal(info.gid_index, 3);
	assert_int_equal(info.gid_type, NMT_GID_ROCE_V2);
	assert_string_equal(info.gid, "fd77::1");
	assert_int_equal(info.mtu, 4096);
	assert_int_equal(info.speed_mbps, 1000);
	assert_int_equal(info.epoch, 0);
	assert_int_equal(info.recoveries, 0);
	sim_set(&(struct sim_knobs){ .seed = 1, .lose_at = 1 });
	pair_works(&p, 100000);
	info = end_info(p.c);
	assert_int_equal(info.recoveries, 1);
	assert_int_equal(info.epoch, 1);
	assert_true(info.attempts >= 1);
	assert_int_equal(STAT(p.c, recoveries), 1);
	assert_true(STAT(p.s, ctrl_sent) > 0 && STAT(p.s, grants) > 0);
}

static void test_path(void **state)
{
	(void)state;
	run("sim.negotiated.pool.host", "sim", t_path, 1);
}

/* A stream that carries nothing. */
static void t_idle(struct env *env)
{
	struct nmt_domain_attr attr = NMT_DOMAIN_ATTR_INIT;
	struct pair p;

	env_open(env, &attr);
	pair_open(env, &p);
	print_message("idle, %u rail(s): %llu bytes, and %llu of pool\n", env->cfg->rails,
		      (unsigned long long)STAT(p.c, stream_memory),
		      (unsigned long long)STAT(p.c, pool_held));
	assert_true(STAT(p.c, stream_memory) <= 16 * KIB + 8 * KIB * env->cfg->rails);
	assert_true(STAT(p.c, pool_held) <= 128 * KIB);
}

static void test_idle(void **state)
{
	(void)state;
	run("sim.negotiated.pool.host", "sim", t_idle, 1);
	run("sim@3.records.pool.host", "sim", t_idle, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_never_back),
		cmocka_unit_test(test_steps),
		cmocka_unit_test(test_scarce),
		cmocka_unit_test(test_auto),
		cmocka_unit_test(test_auto_never),
		cmocka_unit_test(test_bulk),
		cmocka_unit_test(test_end),
		cmocka_unit_test(test_path),
		cmocka_unit_test(test_idle),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
