/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Looks at a run's progress from the main thread, about ten times a second: the best rate, interim
 * figures, and whether anything moves at all.
 */
#ifndef PERF_MONITOR_H
#define PERF_MONITOR_H

#include "run.h"

#define MONITOR_SAMPLE_NS 100000000

struct monitor {
	const struct run *run;
	int64_t moved_at; /* when progress or phase last changed */
	int64_t sample_at, interval_at;
	uint64_t progress, sample_from, interval_from;
	int phase;
	uint64_t peak; /* most progress a second in a sample */
};

void monitor_start(struct monitor *m, const struct run *run);

/*
 * To be called after every wait of at most MONITOR_SAMPLE_NS. -ETIMEDOUT: nothing has moved for
 * stall_ns; 1: an interval is over and *OUT filled; else 0.
 */
int monitor_tick(struct monitor *m, struct wire_interval *out);

#endif
