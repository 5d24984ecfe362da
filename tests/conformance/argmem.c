/* SPDX-License-Identifier: BSD-2-Clause */
/* Design 5.9: bad arguments of contexts, domains, regions, addresses and attributes. */
#include "suite.h"

static void t_bad_context(struct env *env)
{
	struct nmt_ctx_attr attr = NMT_CTX_ATTR_INIT;
	struct nmt_ctx *ctx;

	env_open(env, NULL);
	assert_bad(env, nmt_ctx_open(NULL, NULL));
	assert_bad(env, nmt_ctx_close(NULL));
	attr.flags = 1u << 31;
	assert_err(env, nmt_ctx_open(&attr, &ctx), -EINVAL);
	attr = (struct nmt_ctx_attr){ .size = 3 };
	assert_err(env, nmt_ctx_open(&attr, &ctx), -EINVAL);
	assert_err(env, nmt_ctx_close(env->ctx), -EBUSY);
}

static void t_context_is_busy_with_a_region(struct env *env)
{
	struct nmt_ctx *ctx = env_context(env);
	struct nmt_mr *mr;

	env_open(env, NULL);
	assert_ok(env, nmt_mr_alloc(ctx, NMT_MEM_HOST, 100, NMT_ACCESS_ALL, &mr));
	assert_err(env, nmt_ctx_close(ctx), -EBUSY);
	assert_ok(env, nmt_mr_close(mr));
	assert_ok(env, nmt_ctx_close(ctx));
}

static void t_bad_domain(struct env *env)
{
	struct nmt_domain_attr attr;
	struct nmt_domain *dom;

	env_open(env, NULL);
	assert_bad(env, nmt_domain_open(NULL, "tcp", NULL, &dom));
	assert_bad(env, nmt_domain_open(env->ctx, "tcp", NULL, NULL));
	assert_err(env, nmt_domain_open(env->ctx, "no-such", NULL, &dom), -ENODEV);
	assert_err(env, nmt_domain_open(env->ctx, "tcp/no-such-dev0", NULL, &dom), -ENODEV);
	assert_err(env, nmt_domain_open(env->ctx, "", NULL, &dom), -EINVAL);
	assert_err(env, nmt_domain_open(env->ctx, "/", NULL, &dom), -EINVAL);
	attr = env_domain_attr(env);
	attr.cell_size = 5000;
	assert_err(env, nmt_domain_open(env->ctx, "tcp", &attr, &dom), -EINVAL);
	attr.cell_size = 1024;
	assert_err(env, nmt_domain_open(env->ctx, "tcp", &attr, &dom), -EINVAL);
	attr = env_domain_attr(env);
	attr.flags = 1u << 31;
	assert_err(env, nmt_domain_open(env->ctx, "tcp", &attr, &dom), -EINVAL);
	attr = env_domain_attr(env);
	attr.size = 1;
	assert_err(env, nmt_domain_open(env->ctx, "tcp", &attr, &dom), -EINVAL);
}

static void t_bad_addresses(struct env *env)
{
	static const char *const bad[] = {
		"", ":", "1.2.3.4:", "1.2.3.4:65536", "1.2.3.4:-1", "1.2.3.4:x", "[::1",
		"[::1]x", "[]:5", "a b:5", "1.2.3.4:5:6", "[::1]:70000", "host:0x10",
	};
	struct nmt_listener *l;
	struct nmt_stream *s;

	env_open(env, NULL);
	for (unsigned int i = 0; i < ARRAY_LEN(bad); i++) {
		int ret = nmt_connect(env->dom[CLIENT], bad[i], NULL, &s);

		if (ret != -EINVAL)
			failf(env, "nmt_connect(\"%s\") gives %d, want -EINVAL", bad[i], ret);
		ret = nmt_listen(env->dom[SERVER], bad[i], NULL, &l);
		if (ret != -EINVAL)
			failf(env, "nmt_listen(\"%s\") gives %d, want -EINVAL", bad[i], ret);
	}
}

static void expect_attr(struct env *env, const struct nmt_stream_attr *attr, int want)
{
	struct nmt_stream *s;
	int ret = nmt_connect(env->dom[CLIENT], "127.0.0.1:9", attr, &s);

	if (ret != want)
		failf(env, "flags %x mode %u rails %u: nmt_connect gives %d, want %d", attr->flags,
		      attr->mode, attr->rails, ret, want);
}

static void t_bad_stream_attributes(struct env *env)
{
	struct nmt_stream_attr attr;

	env_open(env, NULL);
	attr = env_attr(env);
	attr.flags |= 1u << 31;
	expect_attr(env, &attr, -EINVAL);
	attr = env_attr(env);
	attr.size = 5;
	expect_attr(env, &attr, -EINVAL);
	attr = env_attr(env);
	attr.mode = 99;
	expect_attr(env, &attr, -EINVAL);
	attr = env_attr(env);
	attr.mode = NMT_MODE_EITHER;
	expect_attr(env, &attr, -EINVAL);
	attr = env_attr(env);
	attr.recv_mode = 99;
	expect_attr(env, &attr, -EINVAL);
	attr = env_attr(env);
	attr.rails = 17;
	expect_attr(env, &attr, -EOPNOTSUPP);
}

static void t_records_need_negotiated_mode(struct env *env)
{
	struct nmt_stream_attr attr;
	struct nmt_stream *s;
	int ret;

	env_open(env, NULL);
	attr = env_attr(env);
	attr.flags |= NMT_STREAM_RECORDS;
	ret = nmt_connect(env->dom[CLIENT], "127.0.0.1:9", &attr, &s);
	assert_true(ret == -EINVAL || ret == -EOPNOTSUPP);
}

static void t_bad_regions(struct env *env)
{
	struct nmt_mr *mr;
	char byte;

	env_open(env, NULL);
	assert_bad(env, nmt_mr_alloc(NULL, NMT_MEM_HOST, 10, NMT_ACCESS_ALL, &mr));
	assert_bad(env, nmt_mr_alloc(env->ctx, NMT_MEM_HOST, 10, NMT_ACCESS_ALL, NULL));
	assert_err(env, nmt_mr_alloc(env->ctx, NMT_MEM_HOST, 0, NMT_ACCESS_ALL, &mr), -EINVAL);
	assert_err(env, nmt_mr_alloc(env->ctx, NMT_MEM_HOST, 10, 0, &mr), -EINVAL);
	assert_err(env, nmt_mr_alloc(env->ctx, NMT_MEM_HOST, 10, 8, &mr), -EINVAL);
	assert_err(env, nmt_mr_alloc(env->ctx, 9999, 10, NMT_ACCESS_ALL, &mr), -EINVAL);
	assert_err(env, nmt_mr_reg(env->ctx, NULL, 10, NMT_ACCESS_ALL, &mr), -EFAULT);
	assert_err(env, nmt_mr_reg(env->ctx, (void *)(UINTPTR_MAX - 5), 10, NMT_ACCESS_ALL, &mr),
		   -EFAULT);
	assert_err(env, nmt_mr_reg(env->ctx, &byte, 0, NMT_ACCESS_ALL, &mr), -EINVAL);
	assert_err(env, nmt_mr_reg(env->ctx, &byte, 1, 0, &mr), -EINVAL);
	assert_bad(env, nmt_mr_close(NULL));
	assert_true(nmt_mr_import(env->ctx, -1, 0, 10, NMT_ACCESS_ALL, &mr) < 0);
	assert_true(nmt_mr_import(env->ctx, 0, 0, 10, NMT_ACCESS_ALL, &mr) < 0);
}

static void t_region_access_is_bounded(struct env *env)
{
	struct nmt_mr *mr;
	char buf[16];

	env_open(env, NULL);
	mr = env_mr(env, 100, NMT_ACCESS_ALL);
	assert_int_equal(nmt_mr_size(mr), 100);
	assert_ok(env, nmt_mr_write(mr, 90, "0123456789", 10));
	assert_err(env, nmt_mr_write(mr, 91, "0123456789", 10), -EFAULT);
	assert_err(env, nmt_mr_write(mr, UINT64_MAX - 4, "0123456789", 10), -EFAULT);
	assert_ok(env, nmt_mr_read(mr, 90, buf, 10));
	assert_memory_equal(buf, "0123456789", 10);
	assert_err(env, nmt_mr_read(mr, 101, buf, 1), -EFAULT);
	assert_err(env, nmt_mr_read(mr, 0, buf, SIZE_MAX), -EFAULT);
}

static void t_listener_addr_needs_room(struct env *env)
{
	struct lis *l;
	char buf[4];

	env_open(env, NULL);
	l = lis_open(env, "127.0.0.1:0", NULL);
	assert_err(env, nmt_listener_addr(l->l, buf, sizeof(buf)), -ENOSPC);
}

static void t_bad_options(struct env *env)
{
	int64_t v = 5;
	size_t len = sizeof(v);
	struct pair p;

	pair_open(env, &p);
	assert_err(env, nmt_stream_setopt(p.c->s, 9999, &v, sizeof(v)), -ENOPROTOOPT);
	assert_err(env, nmt_stream_getopt(p.c->s, 9999, &v, &len), -ENOPROTOOPT);
	assert_err(env, nmt_stream_setopt(p.c->s, NMT_OPT_LINGER, &v, 3), -EINVAL);
	assert_err(env, nmt_stream_setopt(p.c->s, NMT_OPT_BLOCKING, &v, sizeof(v)), -EINVAL);
	assert_bad(env, nmt_stream_setopt(p.c->s, NMT_OPT_LINGER, NULL, sizeof(v)));
	assert_bad(env, nmt_stream_getopt(p.c->s, NMT_OPT_LINGER, NULL, &len));
	pair_works(&p, 1000);
}

const struct test tests_argmem[] = {
	TEST(t_bad_context, T_HOST),
	TEST(t_context_is_busy_with_a_region, T_HOST),
	TEST(t_bad_domain, T_HOST),
	TEST(t_bad_addresses, T_HOST),
	TEST(t_bad_stream_attributes, T_HOST),
	TEST(t_records_need_negotiated_mode, T_HOST | T_RAW),
	TEST(t_bad_regions, T_HOST),
	TEST(t_region_access_is_bounded, 0),
	TEST(t_listener_addr_needs_room, T_HOST),
	TEST(t_bad_options, T_HOST),
	TESTS_END,
};
