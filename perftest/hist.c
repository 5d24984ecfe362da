/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Log-linear histogram of times.
 */
#include "hist.h"

#include <math.h>
#include <string.h>

void hist_init(struct hist *h)
{
	memset(h, 0, sizeof(*h));
	h->min = UINT64_MAX;
}

void hist_merge(struct hist *into, const struct hist *from)
{
	into->count += from->count;
	into->sum += from->sum;
	into->squares += from->squares;
	if (from->min < into->min)
		into->min = from->min;
	if (from->max > into->max)
		into->max = from->max;
	for (uint32_t i = 0; i < HIST_BUCKETS; i++)
		into->bucket[i] += from->bucket[i];
}

static double middle(uint32_t index)
{
	uint32_t shift;

	if (index < HIST_SUBS)
		return index;
	shift = index / HIST_SUBS - 1;
	return ldexp(HIST_SUBS + index % HIST_SUBS + 0.5, (int)shift) - 0.5;
}

double hist_percentile(const struct hist *h, double percent)
{
	uint64_t rank = (uint64_t)ceil(percent / 100 * (double)h->count);
	uint64_t seen = 0;
	uint32_t i = 0;

	if (!h->count)
		return 0;
	if (rank < 1)
		rank = 1;
	if (rank >= h->count)
		return (double)h->max;
	while ((seen += h->bucket[i]) < rank)
		i++;
	return fmin(fmax(middle(i), (double)h->min), (double)h->max);
}

double hist_mean(const struct hist *h)
{
	return h->count ? (double)h->sum / (double)h->count : 0;
}

double hist_stdev(const struct hist *h)
{
	long double n = h->count, mean, square;

	if (!h->count)
		return 0;
	mean = (long double)h->sum / n;
	square = (long double)h->squares / n - mean * mean;
	return square > 0 ? (double)sqrtl(square) : 0;
}
