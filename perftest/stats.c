/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The library's counters as a list.
 */
#include "stats.h"

#include <string.h>

static const struct stat_field {
	const char *name;
	size_t at;
} fields[] = {
#define STAT(f)                                   \
	{                                         \
#f, offsetof(struct nmt_stats, f) \
	}
	STAT(tx_bytes),		STAT(rx_bytes),
	STAT(tx_ops),		STAT(rx_ops),
	STAT(tx_copied),	STAT(rx_copied),
	STAT(tx_syscalls),	STAT(rx_syscalls),
	STAT(poll_syscalls),	STAT(zc_sends),
	STAT(zc_copied),	STAT(spins),
	STAT(sleeps),		STAT(events),
	STAT(stall_window),	STAT(stall_memory),
	STAT(accepts),		STAT(connects),
	STAT(failures),		STAT(declined),
	STAT(pool_bytes),	STAT(fallback_zerocopy),
	STAT(fallback_staging), STAT(fallback_path),
	STAT(rma_writes),	STAT(rma_doorbells),
	STAT(rma_signalled),	STAT(ctrl_sent),
	STAT(grants),		STAT(stall_credit),
	STAT(stall_queue),	STAT(recoveries),
#undef STAT
};

#define FIELDS (sizeof(fields) / sizeof(fields[0]))
_Static_assert(FIELDS <= WIRE_MAX_STATS, "the result message is too small");

const char *stats_name(uint32_t i)
{
	return i < FIELDS ? fields[i].name : NULL;
}

uint64_t stats_of(const struct wire_result *r, const char *name)
{
	for (uint32_t i = 0; i < r->stats && i < FIELDS; i++) {
		if (strcmp(fields[i].name, name) == 0)
			return r->stat[i];
	}
	return 0;
}

uint32_t stats_add(uint64_t *sum, const struct nmt_stats *stats)
{
	for (uint32_t i = 0; i < FIELDS; i++)
		sum[i] += *(const uint64_t *)((const char *)stats + fields[i].at);
	return FIELDS;
}
