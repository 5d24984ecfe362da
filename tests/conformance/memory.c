/* SPDX-License-Identifier: BSD-2-Clause */
/* Regions of the configuration's memory kind: allocated, brought by the application, detected. */
#include <stdlib.h>

#include "suite.h"

static void t_region_is_zeroed_and_of_its_kind(struct env *env)
{
	struct nmt_mr *mr;

	env_open(env, NULL);
	mr = env_mr(env, 100000, NMT_ACCESS_ALL);
	assert_int_equal(nmt_mr_kind(mr), env->cfg->kind);
	assert_true(mr_is(mr, 0, 0, 100000));
	if (config_has(env->cfg) & T_OPAQUE)
		assert_null(nmt_mr_addr(mr));
	else
		assert_non_null(nmt_mr_addr(mr));
}

/* Application memory is detected by its address, and is the application's after closing. */
static void t_application_memory_is_detected(struct env *env)
{
	bool opaque = env->cfg->kind == OPAQUE_KIND;
	char *own = opaque ? opaque_malloc(200000) : malloc(200000);
	struct nmt_frag frag;
	struct nmt_mr *mr;
	struct nmt_event ev;
	struct pair p;

	pair_open(env, &p);
	assert_ok(env, nmt_mr_reg(env->ctx, own + 4096, 100000, NMT_ACCESS_ALL, &mr));
	assert_int_equal(nmt_mr_kind(mr), opaque ? OPAQUE_KIND : NMT_MEM_HOST);
	mr_pattern(mr, 0, 1, 0, 100000);
	frag = (struct nmt_frag){ .mr = mr, .len = 50000 };
	assert_ok(env, nmt_recv_into(p.s->s, mr, 50000, 50000, 0, 1));
	assert_ok(env, nmt_send_mr(p.c->s, &frag, 1, 0, 1));
	end_wait(p.s, NMT_EV_RECEIVED, &ev);
	end_wait(p.c, NMT_EV_SENT, &ev);
	assert_int_equal(mr_check(mr, 50000, 1, 0, 50000), -1);
	assert_ok(env, nmt_mr_close(mr));
	if (opaque)
		opaque_free(own);
	else
		free(own);
}

static void t_pool_is_of_the_kind(struct env *env)
{
	struct nmt_frag frag;
	struct pair p;
	int n;

	pair_open(env, &p);
	end_put_pattern(p.c, 1, 0, 1000);
	wait_for(env, (n = nmt_recv_frags(p.s->s, &frag, 1, 0)) != -EAGAIN);
	assert_int_equal(n, 1);
	if (!(frag.flags & NMT_FRAG_LINEAR))
		assert_int_equal(nmt_mr_kind(frag.mr), config_pool(env->cfg));
	assert_int_equal(mr_check(frag.mr, frag.offset, 1, 0, frag.len), -1);
	assert_ok(env, nmt_release(p.s->s, &frag, 1));
}

/* What was lent can be sent on from where it lies. */
static void t_lent_memory_can_be_sent(struct env *env)
{
	struct nmt_frag frag;
	struct nmt_event ev;
	struct pair p;
	int n;

	pair_open(env, &p);
	end_put_pattern(p.c, 1, 0, 1000);
	wait_for(env, (n = nmt_recv_frags(p.s->s, &frag, 1, 0)) != -EAGAIN);
	assert_int_equal(n, 1);
	assert_ok(env, nmt_send_mr(p.s->s, &frag, 1, 0, 1));
	end_expect(p.c, 1, 0, frag.len);
	end_wait(p.s, NMT_EV_SENT, &ev);
	assert_ok(env, nmt_release(p.s->s, &frag, 1));
}

static void t_regions_may_overlap_in_use(struct env *env)
{
	struct nmt_event ev;
	struct nmt_frag frag;
	struct nmt_mr *mr;
	struct pair p, q;

	pair_open(env, &p);
	pair_open(env, &q);
	mr = env_mr(env, 30000, NMT_ACCESS_SEND);
	mr_pattern(mr, 0, 1, 0, 30000);
	frag = (struct nmt_frag){ .mr = mr, .len = 30000 };
	assert_ok(env, nmt_send_mr(p.c->s, &frag, 1, 0, 1));
	assert_ok(env, nmt_send_mr(q.c->s, &frag, 1, 0, 1));
	end_expect(p.s, 1, 0, 30000);
	end_expect(q.s, 1, 0, 30000);
	end_wait(p.c, NMT_EV_SENT, &ev);
	end_wait(q.c, NMT_EV_SENT, &ev);
	assert_ok(env, env_mr_close(env, mr));
}

const struct test tests_memory[] = {
	TEST(t_region_is_zeroed_and_of_its_kind, 0),
	TEST(t_application_memory_is_detected, 0),
	TEST(t_pool_is_of_the_kind, T_POOL),
	TEST(t_lent_memory_can_be_sent, T_POOL),
	TEST(t_regions_may_overlap_in_use, 0),
	TESTS_END,
};
