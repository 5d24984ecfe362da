/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The clock, and the CPU time of this process.
 */
#ifndef PERF_CPU_H
#define PERF_CPU_H

#include <stdint.h>
#include <time.h>

struct cpu_time {
	uint64_t user_ns, sys_ns;
};

/* All threads of the process together. */
void cpu_now(struct cpu_time *t);

static inline int64_t clock_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * INT64_C(1000000000) + ts.tv_nsec;
}

#endif
