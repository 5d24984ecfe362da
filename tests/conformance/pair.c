/* SPDX-License-Identifier: BSD-2-Clause */
/* Listeners and connected pairs of ends for the configuration of the run. */
#include <stdlib.h>

#include "suite.h"

struct nmt_stream_attr env_attr(const struct env *env)
{
	struct nmt_stream_attr attr = NMT_STREAM_ATTR_INIT;

	attr.mode = env->cfg->mode;
	attr.rails = env->cfg->rails;
	attr.recv_mode = env->cfg->recv;
	attr.flags = env->cfg->records ? NMT_STREAM_RECORDS : 0;
	attr.linger = 4 * SEC;
	attr.connect_timeout = 4 * SEC;
	attr.handshake_timeout = 4 * SEC;
	return attr;
}

struct lis *lis_open(struct env *env, const char *addr, const struct nmt_stream_attr *attr)
{
	struct lis *l = calloc(1, sizeof(*l));
	struct nmt_stream_attr a = attr ? *attr : env_attr(env);

	if (!l)
		failf(env, "no memory");
	l->env = env;
	l->next = env->listeners;
	env->listeners = l;
	a.user = l;
	assert_ok(env, nmt_listen(env->dom[SERVER], addr, &a, &l->l));
	assert_ok(env, nmt_listener_addr(l->l, l->addr, sizeof(l->addr)));
	return l;
}

void lis_close(struct lis *l)
{
	struct nmt_listener *dead = l->l;

	l->l = NULL;
	if (dead)
		assert_int_equal(nmt_listener_close(dead), 0);
}

static int try_accept(struct env *env, struct lis *l, enum side side, struct nmt_stream **s)
{
	int ret = nmt_accept(l->l, env->dom[side], s);

	if (ret && ret != -EAGAIN)
		failf(env, "nmt_accept gives %d", ret);
	return ret;
}

struct end *lis_accept(struct lis *l, enum side side)
{
	struct env *env = l->env;
	struct end *e = end_new(env, side);
	struct nmt_stream *s;

	wait_for(env, try_accept(env, l, side, &s) == 0);
	e->s = s;
	nmt_stream_set_user(s, e);
	return e;
}

struct end *end_connect(struct env *env, enum side side, const char *addr,
			const struct nmt_stream_attr *attr)
{
	struct nmt_stream_attr a = attr ? *attr : env_attr(env);
	struct end *e = end_new(env, side);

	a.user = e;
	assert_ok(env, nmt_connect(env->dom[side], addr, &a, &e->s));
	return e;
}

void pair_defaults(struct env *env, struct pair_opt *opt)
{
	*opt = (struct pair_opt){ .c = env_attr(env), .s = env_attr(env), .c_side = CLIENT,
				  .s_side = SERVER };
}

void pair_open_opt(struct env *env, struct pair *p, const struct pair_opt *opt)
{
	struct lis *l;

	if (!env->ctx)
		env_open(env, NULL);
	l = lis_open(env, "127.0.0.1:0", &opt->s);
	p->c = end_connect(env, opt->c_side, opt->via ? opt->via : l->addr, &opt->c);
	p->s = lis_accept(l, opt->s_side);
	wait_for(env, (p->c->connected && p->s->connected) || p->c->error || p->s->error);
	if (p->c->error || p->s->error)
		failf(env, "no connection: client %d, server %d", p->c->error, p->s->error);
	lis_close(l);
}

void pair_open(struct env *env, struct pair *p)
{
	struct pair_opt opt;

	pair_defaults(env, &opt);
	pair_open_opt(env, p, &opt);
}

void pair_close(struct pair *p)
{
	end_close(p->c);
	end_close(p->s);
	end_closed(p->c, 0);
	end_closed(p->s, 0);
}

void pair_works(struct pair *p, size_t len)
{
	uint64_t seed = rng_next(&p->c->env->rng);

	end_put_pattern(p->c, seed, 0, len);
	end_expect(p->s, seed, 0, len);
	end_put_pattern(p->s, ~seed, 0, len);
	end_expect(p->c, ~seed, 0, len);
}
