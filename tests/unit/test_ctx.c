/* SPDX-License-Identifier: BSD-2-Clause */
/* Contexts: attributes, environment, -EBUSY while something lives, several at once, threads. */
#include "unit.h"

static void test_open_close(void **state)
{
	struct nmt_ctx *a, *b;

	(void)state;
	assert_int_equal(nmt_ctx_open(NULL, NULL), -EINVAL);
	assert_int_equal(nmt_ctx_close(NULL), -EINVAL);
	assert_int_equal(nmt_ctx_open(NULL, &a), 0);
	assert_int_equal(nmt_ctx_open(NULL, &b), 0);
	assert_ptr_not_equal(a, b);
	assert_int_equal(nmt_ctx_close(a), 0);
	assert_int_equal(nmt_ctx_close(b), 0);
}

static int try_attr(const struct nmt_ctx_attr *attr)
{
	struct nmt_ctx *ctx;
	int rc = nmt_ctx_open(attr, &ctx);

	if (!rc)
		assert_int_equal(nmt_ctx_close(ctx), 0);
	return rc;
}

static void test_attr(void **state)
{
	struct nmt_ctx_attr attr = NMT_CTX_ATTR_INIT;
	struct {
		struct nmt_ctx_attr known;
		uint64_t later;
	} newer = { .known.size = sizeof(newer) };

	(void)state;
	assert_int_equal(try_attr(&attr), 0);
	attr.flags = 1;
	assert_int_equal(try_attr(&attr), -EINVAL);
	attr.flags = 0;
	attr.log_level = NMT_LOG_DEBUG + 1;
	assert_int_equal(try_attr(&attr), 0);
	attr.log_level = NMT_LOG_DEBUG + 2;
	assert_int_equal(try_attr(&attr), -EINVAL);
	attr.log_level = 0;
	attr.size = 4;
	assert_int_equal(try_attr(&attr), -EINVAL);
	attr.size = sizeof(size_t);
	assert_int_equal(try_attr(&attr), 0);
	assert_int_equal(try_attr(&newer.known), 0);
	newer.later = 1;
	assert_int_equal(try_attr(&newer.known), -EINVAL);
}

static void test_busy(void **state)
{
	struct nmt_domain *dom;
	struct nmt_ctx *ctx;
	struct nmt_mr *mr;

	(void)state;
	assert_int_equal(nmt_ctx_open(NULL, &ctx), 0);
	assert_int_equal(nmt_domain_open(ctx, "tcp", NULL, &dom), 0);
	assert_int_equal(nmt_ctx_close(ctx), -EBUSY);
	assert_int_equal(nmt_mr_alloc(ctx, NMT_MEM_HOST, 1, NMT_ACCESS_ALL, &mr), 0);
	assert_int_equal(nmt_domain_close(dom), 0);
	assert_int_equal(nmt_ctx_close(ctx), -EBUSY);
	assert_int_equal(nmt_mr_write(mr, 0, "x", 1), 0); /* nothing was closed */
	assert_int_equal(nmt_mr_close(mr), 0);
	assert_int_equal(nmt_ctx_close(ctx), 0);
}

/* A domain that could not be opened does not hold its context open. */
static void test_not_busy(void **state)
{
	struct nmt_domain *dom;
	struct unit u;

	(void)state;
	unit_ctx(&u);
	assert_int_equal(nmt_domain_open(u.ctx, "nosuch", NULL, &dom), -ENODEV);
	assert_int_equal(nmt_domain_open(u.ctx, "tcp/nosuch0", NULL, &dom), -ENODEV);
	unit_close(&u);
}

static void check_path(const char *attr_path, const char *env, const char *want)
{
	struct nmt_ctx_attr attr = NMT_CTX_ATTR_INIT;
	struct nmt_ctx *ctx;

	if (env)
		setenv("NMT_PROVIDER_PATH", env, 1);
	else
		unsetenv("NMT_PROVIDER_PATH");
	attr.provider_path = attr_path;
	assert_int_equal(nmt_ctx_open(&attr, &ctx), 0);
	if (want)
		assert_string_equal(ctx->provider_path, want);
	else
		assert_true(ctx->provider_path[0] == '/');
	assert_int_equal(nmt_ctx_close(ctx), 0);
	unsetenv("NMT_PROVIDER_PATH");
}

static void test_provider_path(void **state)
{
	(void)state;
	check_path("/a", "/b", "/a");
	check_path(NULL, "/b:/c", "/b:/c");
	check_path(NULL, NULL, NULL);
}

#define THREADS 4
#define ROUNDS 300

static void *regions(void *arg)
{
	struct nmt_ctx *ctx = arg;
	char text[8] = "", own[64];
	struct nmt_mr *mr[2];

	for (int i = 0; i < ROUNDS; i++) {
		if (nmt_mr_alloc(ctx, NMT_MEM_HOST, 4096, NMT_ACCESS_ALL, &mr[0]) ||
		    nmt_mr_reg(ctx, own, sizeof(own), NMT_ACCESS_SEND, &mr[1]) ||
		    nmt_mr_write(mr[0], 8, "regions", 8) || nmt_mr_read(mr[0], 8, text, 8) ||
		    strcmp(text, "regions") || nmt_mr_close(mr[1]) || nmt_mr_close(mr[0]))
			return ctx;
	}
	return NULL;
}

static void *domains(void *arg)
{
	struct nmt_ctx *ctx = arg;
	struct nmt_domain *dom;
	struct nmt_info *list;

	for (int i = 0; i < ROUNDS / 10; i++) {
		if (nmt_domain_open(ctx, "tcp", NULL, &dom) || nmt_domain_close(dom) ||
		    nmt_getinfo(ctx, NULL, &list))
			return ctx;
		nmt_freeinfo(list);
	}
	return NULL;
}

static void test_threads(void **state)
{
	pthread_t thread[THREADS];
	struct nmt_ctx *ctx;
	void *failed;

	(void)state;
	assert_int_equal(nmt_ctx_open(NULL, &ctx), 0);
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, i % 2 ? regions : domains, ctx),
				 0);
	for (int i = 0; i < THREADS; i++) {
		assert_int_equal(pthread_join(thread[i], &failed), 0);
		assert_null(failed);
	}
	assert_int_equal(nmt_ctx_close(ctx), 0);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_open_close), cmocka_unit_test(test_attr),
	cmocka_unit_test(test_busy),	   cmocka_unit_test(test_not_busy),
	cmocka_unit_test(test_provider_path), cmocka_unit_test(test_threads),
};

UNIT_MAIN(tests)
