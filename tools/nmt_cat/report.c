/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * --stats: the domain's counters under their names in nmt.h.
 */
#include "report.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define COUNTER(f)                                \
	{                                         \
#f, offsetof(struct nmt_stats, f) \
	}

static const struct {
	const char *name;
	size_t at;
} counters[] = {
	COUNTER(tx_bytes),	   COUNTER(rx_bytes),
	COUNTER(tx_ops),	   COUNTER(rx_ops),
	COUNTER(tx_copied),	   COUNTER(rx_copied),
	COUNTER(tx_syscalls),	   COUNTER(rx_syscalls),
	COUNTER(poll_syscalls),	   COUNTER(zc_sends),
	COUNTER(zc_copied),	   COUNTER(spins),
	COUNTER(sleeps),	   COUNTER(events),
	COUNTER(stall_window),	   COUNTER(stall_memory),
	COUNTER(accepts),	   COUNTER(connects),
	COUNTER(failures),	   COUNTER(declined),
	COUNTER(streams),	   COUNTER(pool_bytes),
	COUNTER(pool_held),	   COUNTER(pool_reserved),
	COUNTER(stream_memory),	   COUNTER(fallback_zerocopy),
	COUNTER(fallback_staging), COUNTER(fallback_path),
};

void cat_print_stats(const struct nmt_domain *domain)
{
	struct nmt_stats stats = NMT_STATS_INIT;
	uint64_t v;

	if (nmt_stats(domain, NULL, &stats) < 0)
		return;
	for (size_t i = 0; i < sizeof(counters) / sizeof(counters[0]); i++) {
		memcpy(&v, (char *)&stats + counters[i].at, sizeof(v));
		if (v)
			fprintf(stderr, "%-18s %" PRIu64 "\n", counters[i].name, v);
	}
}
