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
#include "rma/rma_int.h"

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

/* Queues have a descriptor, which messages pay for, unless the domain never sleeps. */
static void t_descriptor(void **state)
{
	static const struct {
		uint32_t flags;
		const char *knob;
		bool has;
	} cases[] = {
		{ 0, NULL, true }, { NMT_DOMAIN_SPIN_ALWAYS, NULL, false }, { 0, "0", false },
		{ NMT_DOMAIN_SPIN_ALWAYS, "1", true }, { 0, "2", true },
	};
	struct nmt_domain_attr attr = NMT_DOMAIN_ATTR_INIT;
	struct nmt_domain *dom;
	struct nmt_ctx *ctx;
	int fd;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		attr.flags = cases[i].flags;
		if (cases[i].knob)
			setenv("NMT_OFI_WAIT_FD", cases[i].knob, 1);
		else
			unsetenv("NMT_OFI_WAIT_FD");
		assert_int_equal(nmt_ctx_open(NULL, &ctx), 0);
		assert_int_equal(nmt_domain_open(ctx, "ofi/tcp", &attr, &dom), 0);
		assert_int_equal(((struct rma_dom *)dom->pd[0].priv)->dev[0].dev->sleeps,
				 cases[i].has);
		assert_int_equal(nmt_domain_arm(dom, &fd), 0);
		assert_int_equal(nmt_domain_close(dom), 0);
		assert_int_equal(nmt_ctx_close(ctx), 0);
	}
	unsetenv("NMT_OFI_WAIT_FD");
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
		cmocka_unit_test(t_descriptor),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
