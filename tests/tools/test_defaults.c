/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The defaults that nmt_info prints are the library's own: nmt_info/settings.c against what a
 * domain and an attribute of zeros become.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "internal.h"
#include "report.h"

static uint64_t printed(const char *key)
{
	for (const struct info_default *d = info_defaults; d->key; d++) {
		if (strcmp(d->key, key) == 0)
			return d->value;
	}
	fail_msg("nmt_info prints no default called %s", key);
	return 0;
}

static struct nmt_ctx *ctx;
static struct nmt_domain *dom;

static int set_up(void **state)
{
	(void)state;
	assert_int_equal(nmt_ctx_open(NULL, &ctx), 0);
	assert_int_equal(nmt_domain_open(ctx, "tcp", NULL, &dom), 0);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	assert_int_equal(nmt_domain_close(dom), 0);
	assert_int_equal(nmt_ctx_close(ctx), 0);
	return 0;
}

static void of_streams(void **state)
{
	struct nmt_stream_attr zero = NMT_STREAM_ATTR_INIT, a;

	(void)state;
	assert_int_equal(nmti_stream_attr(dom, &zero, true, &a), 0);
	assert_int_equal(printed("connect_timeout"), a.connect_timeout);
	assert_int_equal(printed("handshake_timeout"), a.handshake_timeout);
	assert_int_equal(printed("linger"), a.linger);
	assert_int_equal(printed("send_depth"), a.send_depth);
	assert_int_equal(printed("recv_depth"), a.recv_depth);
	assert_int_equal(printed("zerocopy_min"), a.zerocopy_min);
	assert_int_equal(printed("max_pending"), a.max_pending);
}

static void of_domains(void **state)
{
	(void)state;
	assert_int_equal(printed("budget"), dom->budget);
	assert_int_equal(printed("cell_size"), dom->pool.cell_size);
	assert_int_equal(printed("pool_size"), dom->pool.shared_max * dom->pool.cell_size);
	if (sysconf(_SC_NPROCESSORS_ONLN) > 1)
		assert_int_equal(printed("spin"), dom->spin_max);
	assert_int_equal(printed("port"), NMT_DEFAULT_PORT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(of_streams),
		cmocka_unit_test(of_domains),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
