/* SPDX-License-Identifier: BSD-2-Clause */
/* What nmt.h says of threads: contexts are shared, domains pass on, accept crosses over. */
#include <stdlib.h>
#include <unistd.h>

#include "suite.h"

struct cross {
	struct nmt_listener *l;
	struct nmt_stream *s;
	int stop; /* atomic */
};

/* Accept on this thread into its own domain, and give back what comes. */
static void accept_here(struct worker *w)
{
	struct cross *x = w->arg;
	struct nmt_domain *dom = w->env->dom[SERVER];
	unsigned char buf[512];
	struct nmt_event ev[8];
	ssize_t n = -EAGAIN;
	int ret;

	while ((ret = nmt_accept(x->l, dom, &x->s)) == -EAGAIN) {
		worker_check(w, now_ns() < w->env->deadline);
		nmt_poll(dom, ev, 8, 5 * MS);
	}
	worker_check(w, ret == 0);
	while (n != 0) {
		worker_check(w, now_ns() < w->env->deadline);
		n = nmt_recv(x->s, buf, sizeof(buf), 0);
		worker_check(w, n >= 0 || n == -EAGAIN);
		if (n > 0)
			worker_check(w, nmt_send(x->s, buf, (size_t)n, 0) == n);
		else if (n < 0)
			nmt_poll(dom, ev, 8, 5 * MS);
	}
	worker_check(w, nmt_close(x->s) == 0);
	for (bool closed = false; !closed;) {
		worker_check(w, now_ns() < w->env->deadline);
		for (n = nmt_poll(dom, ev, 8, 5 * MS); n > 0; n--)
			closed |= ev[n - 1].type == NMT_EV_CLOSED;
	}
}

/* The listener's domain is polled here, the stream lives in the other thread's domain. */
static void t_accept_on_another_thread(struct env *env)
{
	struct nmt_domain *away;
	struct nmt_stream_attr attr;
	char addr[NMT_ADDR_MAX];
	struct lis *l;
	struct cross x = { 0 };
	struct worker w;
	struct end *e;

	env_open(env, NULL);
	attr = env_attr(env);
	away = env->dom[SERVER];
	env->dom[SERVER] = env->dom[CLIENT]; /* lis_open listens in the server's domain */
	l = lis_open(env, "127.0.0.1:0", &attr);
	env->dom[SERVER] = away;
	memcpy(addr, l->addr, sizeof(addr));
	x.l = l->l;
	worker_start(env, &w, accept_here, &x);
	env->one_side = true;
	e = end_connect(env, CLIENT, addr, NULL);
	wait_for(env, e->connected || worker_done(&w));
	for (uint64_t i = 0; i < 20; i++) {
		end_put_pattern(e, i, 0, 300);
		end_expect(e, i, 0, 300);
	}
	assert_ok(env, nmt_shutdown(e->s, SHUT_WR));
	end_expect_eof(e);
	worker_join(&w);
	env->one_side = false;
}

static void use_regions(struct worker *w)
{
	struct cross *x = w->arg;
	uint64_t n = 0;

	while (!__atomic_load_n(&x->stop, __ATOMIC_ACQUIRE)) {
		unsigned char a[64], b[64] = { 0 };
		struct nmt_mr *mr;

		pattern_fill(++n, 0, a, sizeof(a));
		worker_check(w, config_mr(w->env->ctx, w->env->cfg, 5000, NMT_ACCESS_ALL,
					  &mr) == 0);
		worker_check(w, nmt_mr_write(mr, 4000, a, sizeof(a)) == 0);
		worker_check(w, nmt_mr_read(mr, 4000, b, sizeof(b)) == 0);
		worker_check(w, !memcmp(a, b, sizeof(a)));
		worker_check(w, nmt_mr_close(mr) == 0);
	}
}

static void t_regions_from_several_threads(struct env *env)
{
	struct cross x = { 0 };
	struct worker w[2];
	struct flow f;
	struct pair p;

	pair_open(env, &p);
	for (int i = 0; i < 2; i++)
		worker_start(env, &w[i], use_regions, &x);
	flow_init(env, &f, p.c, p.s, MIB);
	flows_run(env, &f, 1);
	__atomic_store_n(&x.stop, 1, __ATOMIC_RELEASE);
	for (int i = 0; i < 2; i++)
		worker_join(&w[i]);
}

/* Domains of one context on several threads, each opened, used and closed there. */
static void own_domain(struct worker *w)
{
	struct nmt_stream_attr attr = env_attr(w->env);
	struct nmt_domain *dom;
	struct nmt_listener *l;
	struct nmt_event ev[4];
	struct nmt_stream *s;

	for (int i = 0; i < 10; i++) {
		worker_check(w, nmt_domain_open(w->env->ctx, w->env->cfg->spec, NULL, &dom) == 0);
		worker_check(w, nmt_listen(dom, "127.0.0.1:0", &attr, &l) == 0);
		worker_check(w, nmt_connect(dom, "127.0.0.1:9", &attr, &s) == 0);
		nmt_poll(dom, ev, 4, MS);
		worker_check(w, nmt_listener_close(l) == 0);
		nmt_domain_close(dom);
	}
}

static void t_domains_on_several_threads(struct env *env)
{
	struct worker w[3];

	env_open(env, NULL);
	for (int i = 0; i < 3; i++)
		worker_start(env, &w[i], own_domain, NULL);
	for (int i = 0; i < 3; i++)
		worker_join(&w[i]);
}

static void use_pair(struct worker *w)
{
	struct pair *p = w->arg;
	unsigned char out[700], in[700];
	struct nmt_event ev[8];
	size_t got = 0;

	pattern_fill(9, 0, out, sizeof(out));
	worker_check(w, nmt_send(p->c->s, out, sizeof(out), 0) == sizeof(out));
	while (got < sizeof(in)) {
		ssize_t n = nmt_recv(p->s->s, in + got, sizeof(in) - got, 0);

		worker_check(w, n > 0 || n == -EAGAIN);
		worker_check(w, now_ns() < w->env->deadline);
		if (n > 0)
			got += (size_t)n;
		else
			nmt_poll(w->env->dom[SERVER], ev, 8, 5 * MS);
	}
	worker_check(w, pattern_check(9, 0, in, sizeof(in)) < 0);
}

/* Both domains go to another thread and come back, several times. */
static void t_domains_pass_between_threads(struct env *env)
{
	struct worker w;
	struct pair p;

	pair_open(env, &p);
	for (int i = 0; i < 5; i++) {
		pair_works(&p, 1000);
		worker_start(env, &w, use_pair, &p);
		worker_join(&w);
	}
}

static void wake_often(struct worker *w)
{
	struct cross *x = w->arg;

	while (!__atomic_load_n(&x->stop, __ATOMIC_ACQUIRE))
		worker_check(w, nmt_wake(w->env->dom[CLIENT]) == 0);
}

/* Waking may come at any time and spoils nothing. */
static void t_wakes_during_traffic(struct env *env)
{
	struct cross x = { 0 };
	struct worker w;
	struct flow f;
	struct pair p;

	pair_open(env, &p);
	flow_init(env, &f, p.c, p.s, 500 * KIB);
	worker_start(env, &w, wake_often, &x);
	flows_run(env, &f, 1);
	__atomic_store_n(&x.stop, 1, __ATOMIC_RELEASE);
	worker_join(&w);
}

const struct test tests_threads[] = {
	TEST(t_accept_on_another_thread, T_HOST | T_POOL),
	TEST(t_regions_from_several_threads, 0),
	TEST(t_domains_on_several_threads, T_HOST),
	TEST(t_domains_pass_between_threads, T_HOST | T_POOL | T_ALONE),
	TEST(t_wakes_during_traffic, T_HOST),
	TESTS_END,
};
