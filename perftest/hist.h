/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Log-linear histogram of times: fixed memory, any 64-bit value, at most 0.4 % wide buckets. Count,
 * smallest, largest and mean are exact. Pure: no clock, no allocation.
 */
#ifndef PERF_HIST_H
#define PERF_HIST_H

#include <stdint.h>

#define HIST_SUB_BITS 8
#define HIST_SUBS (1u << HIST_SUB_BITS)
#define HIST_BUCKETS ((64 - HIST_SUB_BITS + 1) * HIST_SUBS)

struct hist {
	uint64_t count, min, max, sum;
	unsigned __int128 squares;
	uint64_t bucket[HIST_BUCKETS];
};

void hist_init(struct hist *h);

/* Bucket of a value: values below HIST_SUBS have one each, then HIST_SUBS a power of two. */
static inline uint32_t hist_index(uint64_t v)
{
	uint32_t shift;

	if (v < HIST_SUBS)
		return (uint32_t)v;
	shift = 63u - (uint32_t)__builtin_clzll(v) - HIST_SUB_BITS;
	return (shift + 1) * HIST_SUBS + (uint32_t)((v >> shift) - HIST_SUBS);
}

static inline void hist_add(struct hist *h, uint64_t v)
{
	h->count++;
	h->sum += v;
	h->squares += (unsigned __int128)v * v;
	if (v < h->min)
		h->min = v;
	if (v > h->max)
		h->max = v;
	h->bucket[hist_index(v)]++;
}

void hist_merge(struct hist *into, const struct hist *from);

/* The middle of the bucket that holds the value of rank PERCENT, within min..max; 0 when empty. */
double hist_percentile(const struct hist *h, double percent);
double hist_mean(const struct hist *h);
double hist_stdev(const struct hist *h);

#endif
