/* SPDX-License-Identifier: BSD-2-Clause */
/* libfabric comes when it is asked for, and leaves the process's signals as they were. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <dlfcn.h>
#include <signal.h>

#include "ofi.h"

static const int signals[] = { SIGABRT, SIGBUS, SIGILL, SIGINT, SIGSEGV, SIGTERM };
#define SIGNALS (sizeof(signals) / sizeof(signals[0]))

static void t_load(void **state)
{
	struct sigaction before[SIGNALS], after;

	(void)state;
	for (size_t i = 0; i < SIGNALS; i++)
		assert_int_equal(sigaction(signals[i], NULL, &before[i]), 0);
	assert_null(dlopen("libfabric.so.1", RTLD_NOW | RTLD_NOLOAD));
	assert_null(nmti_ofi_missing());
	assert_non_null(dlopen("libfabric.so.1", RTLD_NOW | RTLD_NOLOAD));
	for (size_t i = 0; i < SIGNALS; i++) {
		assert_int_equal(sigaction(signals[i], NULL, &after), 0);
		assert_ptr_equal(after.sa_handler, before[i].sa_handler);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(t_load),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
