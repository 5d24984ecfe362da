/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The CPU time of this process.
 */
#include "cpu.h"

#include <sys/resource.h>

static uint64_t to_ns(const struct timeval *tv)
{
	return (uint64_t)tv->tv_sec * 1000000000u + (uint64_t)tv->tv_usec * 1000u;
}

void cpu_now(struct cpu_time *t)
{
	struct rusage ru;

	getrusage(RUSAGE_SELF, &ru);
	t->user_ns = to_ns(&ru.ru_utime);
	t->sys_ns = to_ns(&ru.ru_stime);
}
