/* SPDX-License-Identifier: BSD-2-Clause */
/* Devices of provider ofi that are none, or of no use: documented errors, and the reason in the log. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "ofi.h"

static char logged[4096];

static void keep(void *arg, enum nmt_log_level level, const char *text)
{
	size_t len = strlen(logged);

	(void)arg, (void)level;
	strncat(logged, text, sizeof(logged) - len - 1);
}

static int open_it(const char *spec, struct nmt_domain **dom, struct nmt_ctx **ctx)
{
	struct nmt_ctx_attr attr = NMT_CTX_ATTR_INIT;

	logged[0] = '\0';
	attr.log = keep;
	attr.log_level = NMT_LOG_ERROR + 1;
	assert_int_equal(nmt_ctx_open(&attr, ctx), 0);
	return nmt_domain_open(*ctx, spec, NULL, dom);
}

static void refused(const char *spec, const char *why)
{
	struct nmt_domain *dom;
	struct nmt_ctx *ctx;

	assert_int_equal(open_it(spec, &dom, &ctx), -ENODEV);
	if (!strstr(logged, why))
		fail_msg("%s: \"%s\" is not in: %s", spec, why, logged);
	assert_int_equal(nmt_ctx_close(ctx), 0);
}

static void t_unknown_fabric(void **state)
{
	(void)state;
	refused("ofi/nosuch", "libfabric has no \"nosuch\" here");
	refused("ofi/tcp:msg:nosuch0", "libfabric has no");
	refused("ofi/shm:msg", "libfabric has no");
}

static void t_opens_what_it_lists(void **state)
{
	struct nmt_domain *dom;
	struct nmt_ctx *ctx;

	(void)state;
	assert_int_equal(open_it("ofi/tcp", &dom, &ctx), 0);
	assert_int_equal(nmt_domain_close(dom), 0);
	assert_int_equal(nmt_domain_open(ctx, "ofi/tcp:rdm", NULL, &dom), 0);
	assert_int_equal(nmt_domain_close(dom), 0);
	assert_int_equal(nmt_domain_open(ctx, "ofi/tcp:msg:lo", NULL, &dom), 0);
	assert_int_equal(nmt_domain_close(dom), 0);
	assert_int_equal(nmt_ctx_close(ctx), 0);
}

/* Files of endpoints of this process that nobody has, as a killed one leaves them, are passed by. */
static void t_names_of_the_dead(void **state)
{
	struct nmt_domain *dom, *other;
	char from[64], to[64], cmd[160];
	struct nmt_ctx *ctx, *ctx2;
	int n = 63;

	(void)state;
	assert_int_equal(open_it("ofi/shm", &dom, &ctx), 0);
	do
		snprintf(from, sizeof(from), "/dev/shm/%d:%d:%d", getpid(), getuid(), n);
	while (access(from, F_OK) && n-- > 0);
	assert_true(n >= 0);
	for (int i = 1; i <= 3; i++) {
		snprintf(to, sizeof(to), "/dev/shm/%d:%d:%d", getpid(), getuid(), n + i);
		snprintf(cmd, sizeof(cmd), "cp %s %s", from, to);
		assert_int_equal(system(cmd), 0);
	}
	assert_int_equal(open_it("ofi/shm", &other, &ctx2), 0);
	assert_int_equal(nmt_domain_close(other), 0);
	assert_int_equal(nmt_ctx_close(ctx2), 0);
	assert_int_equal(nmt_domain_close(dom), 0);
	assert_int_equal(nmt_ctx_close(ctx), 0);
	snprintf(cmd, sizeof(cmd), "rm -f /dev/shm/%d:%d:*", getpid(), getuid());
	assert_int_equal(system(cmd), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(t_unknown_fabric),
		cmocka_unit_test(t_names_of_the_dead),
		cmocka_unit_test(t_opens_what_it_lists),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
