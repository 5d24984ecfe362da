/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Design 5.5: memory that is not released stops its own sender and nothing else, loses nothing, and
 * never starves another stream; a stream's turn does not wait behind more than a budget of another.
 */
#include <unistd.h>

#include "suite.h"

#define LOANS_MAX 4096

struct hoard {
	struct nmt_frag frags[LOANS_MAX];
	int n;
	uint64_t bytes;
};

/* Lend until the stream holds its share: -ENOBUFS. */
static void hoard_all(struct env *env, struct hoard *h, struct end *e)
{
	int got = 0;

	while (got != -ENOBUFS) {
		wait_for(env, (got = nmt_recv_frags(e->s, h->frags + h->n,
						    LOANS_MAX - h->n, 0)) != -EAGAIN);
		if (got == 0 || (got < 0 && got != -ENOBUFS))
			failf(env, "nmt_recv_frags gives %d, want -ENOBUFS", got);
		for (int i = 0; i < got; i++)
			h->bytes += h->frags[h->n++].len;
	}
}

static void check_hoard(struct env *env, const struct hoard *h, uint64_t seed)
{
	uint64_t pos = 0;

	for (int i = 0; i < h->n; i++) {
		if (mr_check(h->frags[i].mr, h->frags[i].offset, seed, pos, h->frags[i].len) >= 0)
			failf(env, "loan %d has changed", i);
		pos += h->frags[i].len;
	}
}

static void small_pool(struct env *env, struct pair_opt *opt, uint32_t share)
{
	struct nmt_domain_attr attr = env_domain_attr(env);

	attr.cell_size = 4 * KIB;
	attr.pool_size = 256 * KIB;
	env_open(env, &attr);
	pair_defaults(env, opt);
	opt->s.pool_reserve = 8 * KIB;
	opt->s.pool_share = share;
	opt->c.sndbuf = 64 * KIB;
	opt->s.rcvbuf = 64 * KIB;
}

static void t_unreleased_memory_stops_the_sender(struct env *env)
{
	static struct hoard h;
	struct pair_opt opt;
	uint64_t sent = 0, pos;
	struct pair p;

	h = (struct hoard){ 0 };
	small_pool(env, &opt, 64 * KIB);
	pair_open_opt(env, &p, &opt);
	sent = end_fill(p.c, 1, 0);
	assert_true(sent > 64 * KIB);
	hoard_all(env, &h, p.s);
	assert_true(h.bytes <= 64 * KIB);
	assert_true(end_info(p.s).held <= 64 * KIB);
	assert_true(end_info(p.s).waits & NMT_WAIT_MEMORY);
	assert_true(STAT(p.s, stall_memory) > 0);
	sent += end_fill(p.c, 1, sent);
	assert_err(env, nmt_send(p.c->s, "x", 1, 0), -EAGAIN);
	check_hoard(env, &h, 1);
	pos = h.bytes;
	p.s->readable = 0;
	assert_ok(env, nmt_release(p.s->s, h.frags, h.n));
	wait_for(env, p.s->readable > 0);
	end_expect(p.s, 1, pos, sent - pos);
}

static void t_unreleased_memory_stops_nothing_else(struct env *env)
{
	static struct hoard h;
	struct pair p, other;
	struct pair_opt opt;
	struct flow f;

	h = (struct hoard){ 0 };
	small_pool(env, &opt, 64 * KIB);
	pair_open_opt(env, &p, &opt);
	pair_open_opt(env, &other, &opt);
	end_fill(p.c, 1, 0);
	hoard_all(env, &h, p.s);
	flow_init(env, &f, other.c, other.s, MIB);
	f.rx_how &= ~RX_FRAGS;
	flows_run(env, &f, 1);
	check_hoard(env, &h, 1);
	assert_ok(env, nmt_release(p.s->s, h.frags, h.n));
}

/* Receive by loans, one at a time: each needs receive memory, unlike a copying receive. */
static void lend_all(struct env *env, struct end *e, uint64_t seed, uint64_t total)
{
	uint64_t pos = 0;

	while (pos < total) {
		struct nmt_frag frag;
		int n;

		wait_for(env, (n = nmt_recv_frags(e->s, &frag, 1, 0)) != -EAGAIN);
		if (n != 1)
			failf(env, "nmt_recv_frags gives %d: no memory of its own", n);
		assert_int_equal(mr_check(frag.mr, frag.offset, seed, pos, frag.len), -1);
		pos += frag.len;
		assert_ok(env, nmt_release(e->s, &frag, 1));
	}
}

/* One stream may take all that is shared; the reserve of another is still there. */
static void t_reserve_is_kept_for_each_stream(struct env *env)
{
	static struct hoard h;
	struct pair p, other;
	struct pair_opt opt;

	h = (struct hoard){ 0 };
	small_pool(env, &opt, MIB);
	pair_open_opt(env, &p, &opt);
	pair_open_opt(env, &other, &opt);
	for (int i = 0; i < 8; i++) {
		uint64_t before = h.bytes;

		end_put_pattern(p.c, 1, i * 30000ull, 30000);
		while (h.bytes < before + 30000 && h.bytes < 220 * KIB) {
			int got = nmt_recv_frags(p.s->s, h.frags + h.n, LOANS_MAX - h.n, 0);

			if (got == -ENOBUFS)
				break;
			for (int k = 0; k < got; k++)
				h.bytes += h.frags[h.n++].len;
			if (got < 0)
				env_turn(env, "loans", __FILE__, __LINE__);
		}
	}
	end_fill(p.c, 1, 240000);
	hoard_all(env, &h, p.s);
	assert_true(h.bytes > 64 * KIB);
	end_put_pattern(other.c, 2, 0, 64 * KIB);
	lend_all(env, other.s, 2, 64 * KIB);
	end_put_pattern(other.c, 3, 0, 64 * KIB);
	end_expect(other.s, 3, 0, 64 * KIB);
	check_hoard(env, &h, 1);
	assert_ok(env, nmt_release(p.s->s, h.frags, h.n));
}

static void t_closing_a_hoarder_frees_the_pool(struct env *env)
{
	static struct hoard h;
	struct pair_opt opt;

	small_pool(env, &opt, MIB);
	for (int i = 0; i < 4; i++) {
		struct pair p;

		h = (struct hoard){ 0 };
		pair_open_opt(env, &p, &opt);
		end_fill(p.c, 1, 0);
		while (h.bytes < 100 * KIB) {
			int got;

			wait_for(env, (got = nmt_recv_frags(p.s->s, h.frags + h.n, 16, 0)) !=
					      -EAGAIN);
			assert_true(got > 0);
			for (int k = 0; k < got; k++)
				h.bytes += h.frags[h.n++].len;
		}
		end_abort(p.s);
		end_abort(p.c);
		wait_for(env, p.s->closed && p.c->closed);
	}
	struct nmt_stats st = NMT_STATS_INIT;

	assert_ok(env, nmt_stats(env->dom[SERVER], NULL, &st));
	assert_int_equal(st.pool_held, 0);
	assert_int_equal(st.pool_reserved, 0);
}

#define BUDGET 4

/* Events of OTHER before the first one of WANT. */
static int poll_until(struct env *env, struct end *want, struct end *other, int max)
{
	int others = 0;

	for (;;) {
		struct nmt_event ev[64];
		int n = nmt_poll(env->dom[SERVER], ev, max, 20 * MS);

		for (int i = 0; i < n; i++) {
			if (ev[i].user == want && ev[i].type != NMT_EV_CONNECTED)
				return others;
			others += ev[i].user == other;
		}
		if (now_ns() > env->deadline)
			failf(env, "time limit: no event of the quiet stream");
	}
}

/* 60 finished receives of one stream do not go before the one of another. */
static void one_turn(struct env *env, struct pair *busy, struct pair *quiet, struct nmt_mr *mr,
		     int max)
{
	struct nmt_event ev[64];
	int others;

	for (uint64_t i = 0; i < 60; i++)
		assert_ok(env, nmt_recv_into(busy->s->s, mr, i, 1, 0, i));
	assert_ok(env, nmt_recv_into(quiet->s->s, mr, 100, 1, 0, 100));
	end_put_pattern(busy->c, 1, 0, 60);
	end_put_pattern(quiet->c, 1, 0, 1);
	usleep(50000); /* both are there before the first turn */
	others = poll_until(env, quiet->s, busy->s, max);
	if (others > 4 * BUDGET)
		failf(env, "%d events of another stream came first; the budget is %d", others,
		      BUDGET);
	while (nmt_poll(env->dom[SERVER], ev, 64, 20 * MS) > 0)
		;
}

static void t_turns_are_bounded_by_the_budget(struct env *env)
{
	struct nmt_domain_attr attr = env_domain_attr(env);
	struct pair busy, quiet;
	struct nmt_mr *mr;

	attr.budget = BUDGET;
	env_open(env, &attr);
	pair_open(env, &busy);
	pair_open(env, &quiet);
	mr = env_mr(env, 4096, NMT_ACCESS_RECV);
	for (int round = 0; round < 4; round++) {
		one_turn(env, &busy, &quiet, mr, 1);
		one_turn(env, &busy, &quiet, mr, 64);
	}
}

/* A sender that never stops, and a reader that takes little at a time. */
static void t_endless_stream_starves_nobody(struct env *env)
{
	bool in_kernel = config_has(env->cfg) & T_KERNEL;
	struct pair busy, quiet;
	unsigned char buf[64];

	pair_open(env, &busy);
	pair_open(env, &quiet);
	end_fill(busy.c, 1, 0);
	for (uint64_t round = 0; round < 20; round++) {
		int64_t arrives = now_ns() + (in_kernel ? 0 : SEC); /* by then at the latest */
		unsigned int rounds = 0;
		ssize_t n;

		end_put_pattern(quiet.c, 2, round, 1);
		while ((n = nmt_recv(quiet.s->s, buf, 1, 0)) == -EAGAIN) {
			ssize_t got = nmt_recv(busy.s->s, buf, sizeof(buf), 0);

			/* Of the kernel's all are there; others may be on their way. */
			assert_true(got > 0 || (got == -EAGAIN && !in_kernel));
			if (got == -EAGAIN)
				env_turn_short(env, "bytes on their way", __FILE__, __LINE__);
			else
				env_spin(env, 1);
			assert_true(got == -EAGAIN || ++rounds < 1000 || now_ns() < arrives);
		}
		assert_int_equal(n, 1);
	}
}

/* ---- the two directions of one stream ---- */

#define SENDS 64 /* in flight: several turns of them */

/* The client's sends, each of which begins again as soon as it is finished. */
struct churn {
	struct env *env;
	struct pair p;
	struct nmt_mr *tx, *rx;
	uint64_t sent;
	bool placed, received; /* the client's RECEIVED; what it waits for */
};

static void churn_send(struct churn *c)
{
	struct nmt_frag frag = { .mr = c->tx, .len = 64 };
	int rc = nmt_send_mr(c->p.c->s, &frag, 1, 0, 0);

	if (rc != -EAGAIN)
		assert_ok(c->env, rc);
}

/* Setting up may leave a READABLE behind that finds nothing. */
static void settle_reads(struct pair *p)
{
	unsigned char byte;

	env_idle(p->c->env, 5 * MS);
	assert_err(p->c->env, nmt_recv(p->c->s, &byte, 1, 0), -EAGAIN);
	assert_err(p->c->env, nmt_recv(p->s->s, &byte, 1, 0), -EAGAIN);
}

static void churn_post(struct churn *c, uint64_t slot)
{
	assert_ok(c->env, nmt_recv_into(c->p.s->s, c->rx, slot * 4096, 4096, 0, slot));
}

static void churn_event(struct churn *c, const struct nmt_event *ev)
{
	unsigned char buf[4096];

	if (ev->stream == c->p.c->s) {
		if (ev->type == NMT_EV_READABLE && !c->placed && c->sent)
			failf(c->env, "READABLE comes before RECEIVED of earlier bytes");
		c->placed |= ev->type == NMT_EV_RECEIVED;
		c->received |= c->placed && (c->env->cfg->recv == NMT_RECV_POSTED ||
					     ev->type == NMT_EV_READABLE);
		c->sent += ev->type == NMT_EV_SENT;
		if (ev->type == NMT_EV_SENT)
			churn_send(c);
	} else if (ev->type == NMT_EV_RECEIVED) {
		churn_post(c, ev->cookie);
	} else if (ev->type == NMT_EV_READABLE) {
		while (nmt_recv(c->p.s->s, buf, sizeof(buf), 0) > 0)
			;
	}
}

/* A turn of each domain, of MAX events. */
static void churn_turn(struct churn *c, int max)
{
	struct nmt_event ev[16];

	for (int side = 0; side < 2; side++) {
		int n = nmt_poll(c->env->dom[side], ev, max, 0);

		assert_true(n >= 0);
		for (int i = 0; i < n; i++)
			churn_event(c, &ev[i]);
	}
}

/* Finished sends that never stop leave room for what arrives on the same stream. */
static void churn_until_received(struct env *env, int max)
{
	struct churn c = { .env = env };
	uint64_t before;

	pair_open(env, &c.p);
	c.tx = env_mr(env, 64, NMT_ACCESS_SEND);
	c.rx = env_mr(env, (SENDS + 1) * 4096, NMT_ACCESS_RECV);
	for (uint64_t i = 0; i < SENDS && env->cfg->recv == NMT_RECV_POSTED; i++)
		churn_post(&c, i);
	if (env->cfg->recv == NMT_RECV_POOL)
		settle_reads(&c.p);
	assert_ok(env, nmt_recv_into(c.p.c->s, c.rx, SENDS * 4096, 50, 0, SENDS));
	for (int i = 0; i < SENDS; i++)
		churn_send(&c);
	while (c.sent < SENDS)
		churn_turn(&c, max);
	end_put_pattern(c.p.s, 1, 0, 100);
	for (before = c.sent; !c.received && c.sent < before + 50 * SENDS;)
		churn_turn(&c, max);
	if (!c.received)
		failf(env, "%d sends finished, and nothing is told of what arrived", 50 * SENDS);
}

static void t_sends_do_not_starve_receives(struct env *env)
{
	churn_until_received(env, 16);
}

static void t_sends_do_not_starve_receives_by_one_event(struct env *env)
{
	churn_until_received(env, 1);
}

const struct test tests_share[] = {
	TEST(t_unreleased_memory_stops_the_sender, T_POOL),
	TEST(t_unreleased_memory_stops_nothing_else, T_POOL),
	TEST(t_reserve_is_kept_for_each_stream, T_POOL),
	TEST(t_closing_a_hoarder_frees_the_pool, T_POOL),
	TEST(t_turns_are_bounded_by_the_budget, T_BUFFER | T_ALONE),
	TEST(t_endless_stream_starves_nobody, T_POOL),
	TEST(t_sends_do_not_starve_receives, 0),
	TEST(t_sends_do_not_starve_receives_by_one_event, 0),
	TESTS_END,
};
