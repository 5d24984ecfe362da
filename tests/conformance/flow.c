/* SPDX-License-Identifier: BSD-2-Clause */
/* Random flows: several sources and sinks side by side until every byte has arrived. */
#include "suite.h"

#define STEPS 8

void flow_init(struct env *env, struct flow *f, struct end *tx, struct end *rx, uint64_t total)
{
	*f = (struct flow){ .env = env, .tx = tx, .rx = rx, .total = total, .tx_how = TX_ALL,
			    .rx_how = RX_ALL, .tx_max = 64 * KIB, .rx_max = 64 * KIB };
	f->seed = rng_next(&env->rng);
	if (env->cfg->recv == NMT_RECV_POSTED)
		f->rx_how = RX_INTO;
	f->tx_mr = env_mr(env, FLOW_SLOTS * 64 * KIB, NMT_ACCESS_SEND);
	f->rx_mr = env_mr(env, FLOW_POSTS * (64 * KIB + 256), NMT_ACCESS_RECV);
	recs_init(&f->out, f->seed, total, env->cfg->records);
	recs_init(&f->in, f->seed, total, env->cfg->records);
}

static bool arrived(struct flow *f)
{
	return recs_done(&f->in) && recs_done(&f->out) && f->returned == f->borrowed;
}

static bool steps(struct flow *f)
{
	bool any = false;

	for (int i = 0; i < STEPS && source_step(f); i++)
		any = true;
	for (int i = 0; i < STEPS && sink_step(f); i++)
		any = true;
	return any;
}

static bool all_done(struct flow *f, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++)
		if (!arrived(&f[i]))
			return false;
	return true;
}

bool flows_turn(struct env *env, struct flow *f, unsigned int n)
{
	bool any = false;

	for (unsigned int i = 0; i < n; i++)
		any |= steps(&f[i]);
	for (unsigned int i = 0; i < n && !any; i++)
		sink_release(&f[i], 0);
	if (any)
		env_spin(env, 1);
	else if (!all_done(f, n))
		env_turn(env, "all bytes of a flow", __FILE__, __LINE__);
	if (now_ns() > env->deadline)
		failf(env, "time limit: flow at %llu of %llu", (unsigned long long)f->in.pos,
		      (unsigned long long)f->total);
	return !all_done(f, n);
}

void flows_run(struct env *env, struct flow *f, unsigned int n)
{
	while (flows_turn(env, f, n))
		;
	for (unsigned int i = 0; i < n; i++)
		sink_release(&f[i], 0);
}
