/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Looks at a run's progress from the main thread.
 */
#include "monitor.h"

#include <errno.h>
#include <string.h>

void monitor_start(struct monitor *m, const struct run *run)
{
	memset(m, 0, sizeof(*m));
	m->run = run;
	m->moved_at = clock_ns();
}

static void restart(struct monitor *m, int64_t now)
{
	m->sample_at = m->interval_at = now;
	m->sample_from = m->interval_from = m->progress;
}

static bool moved(struct monitor *m, int64_t now)
{
	uint64_t progress = run_progress(m->run);
	int phase = atomic_load(&m->run->phase);

	if (progress == m->progress && phase == m->phase)
		return now - m->moved_at < (int64_t)m->run->p.stall_ns;
	m->progress = progress;
	m->moved_at = now;
	if (phase != m->phase)
		restart(m, now);
	m->phase = phase;
	return true;
}

static void sample(struct monitor *m, int64_t now)
{
	int64_t ns = now - m->sample_at;
	uint64_t rate;

	if (ns < MONITOR_SAMPLE_NS)
		return;
	rate = (uint64_t)((double)(m->progress - m->sample_from) * 1e9 / (double)ns);
	if (rate > m->peak)
		m->peak = rate;
	m->sample_at = now;
	m->sample_from = m->progress;
}

int monitor_tick(struct monitor *m, struct wire_interval *out)
{
	int64_t now = clock_ns();
	uint64_t interval = m->run->p.interval_ns;

	if (!moved(m, now))
		return -ETIMEDOUT;
	if (m->phase != PHASE_MEASURE)
		return 0;
	sample(m, now);
	if (!interval || now - m->interval_at < (int64_t)interval)
		return 0;
	out->from_ns = (uint64_t)(m->interval_at - m->run->begin.ns);
	if (m->interval_at < m->run->begin.ns)
		out->from_ns = 0;
	out->to_ns = (uint64_t)(now - m->run->begin.ns);
	out->bytes = m->progress - m->interval_from;
	m->interval_at = now;
	m->interval_from = m->progress;
	return 1;
}
