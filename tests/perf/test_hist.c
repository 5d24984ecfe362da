/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The histogram: bucket borders, width, percentiles against sorted values, extremes, merging.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "hist.h"

static struct hist h, other;

static void test_buckets_are_ordered_and_narrow(void **state)
{
	uint64_t v = 0, step;
	uint32_t last = 0, i;

	(void)state;
	for (step = 1; v < UINT64_MAX - step; v += step) {
		i = hist_index(v);
		assert_true(i < HIST_BUCKETS);
		assert_true(i == last || i == last + 1);
		last = i;
		step = v / 1024 + 1; /* finer than a bucket */
	}
	assert_int_equal(hist_index(UINT64_MAX), HIST_BUCKETS - 1);
	assert_int_equal(hist_index(HIST_SUBS - 1) + 1, hist_index(HIST_SUBS));
}

static void test_empty(void **state)
{
	(void)state;
	hist_init(&h);
	assert_true(hist_percentile(&h, 50) == 0);
	assert_true(hist_mean(&h) == 0);
	assert_true(hist_stdev(&h) == 0);
}

static void test_one_value(void **state)
{
	(void)state;
	hist_init(&h);
	hist_add(&h, 123456789);
	assert_true(hist_percentile(&h, 0) == 123456789);
	assert_true(hist_percentile(&h, 99.99) == 123456789);
	assert_true(hist_mean(&h) == 123456789);
	assert_true(hist_stdev(&h) == 0);
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static void check_percentile(const uint64_t *sorted, uint32_t n, double percent)
{
	double want = (double)sorted[(uint32_t)ceil(percent / 100 * n) - 1];
	double got = hist_percentile(&h, percent);

	if (fabs(got - want) > want / HIST_SUBS)
		fail_msg("%g %%: %f, not %f", percent, got, want);
}

static void test_percentiles(void **state)
{
	static uint64_t v[20000];
	const uint32_t n = sizeof(v) / sizeof(v[0]);
	uint64_t seed = 1;
	double sum = 0, squares = 0;

	(void)state;
	hist_init(&h);
	for (uint32_t i = 0; i < n; i++) {
		seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407u;
		v[i] = (seed >> 33) % (i % 100 == 0 ? 50000000 : 20000);
		hist_add(&h, v[i]);
		sum += (double)v[i];
		squares += (double)v[i] * (double)v[i];
	}
	qsort(v, n, sizeof(v[0]), compare);
	for (double p = 0.5; p <= 99.5; p += 0.5)
		check_percentile(v, n, p);
	check_percentile(v, n, 99.9);
	check_percentile(v, n, 99.99);
	assert_true(hist_percentile(&h, 100) == (double)v[n - 1]);
	assert_true(h.min == v[0] && h.max == v[n - 1]);
	assert_true(fabs(hist_mean(&h) - sum / n) < 1e-6);
	assert_true(fabs(hist_stdev(&h) - sqrt(squares / n - sum / n * (sum / n))) < 1);
}

static void test_extremes(void **state)
{
	(void)state;
	hist_init(&h);
	hist_add(&h, 0);
	hist_add(&h, UINT64_MAX);
	assert_true(hist_percentile(&h, 50) == 0);
	assert_true(hist_percentile(&h, 100) == (double)UINT64_MAX);
	assert_true(h.min == 0 && h.max == UINT64_MAX);
}

static void test_merge(void **state)
{
	(void)state;
	hist_init(&h);
	hist_init(&other);
	for (uint64_t i = 0; i < 100; i++) {
		hist_add(&h, i);
		hist_add(&other, 100 + i);
	}
	hist_merge(&h, &other);
	assert_int_equal(h.count, 200);
	assert_int_equal(h.max, 199);
	assert_true(hist_percentile(&h, 50) == 99);
	assert_true(hist_percentile(&h, 75) == 149);
	hist_init(&other);
	hist_merge(&h, &other);
	assert_int_equal(h.min, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_buckets_are_ordered_and_narrow),
		cmocka_unit_test(test_empty),
		cmocka_unit_test(test_one_value),
		cmocka_unit_test(test_percentiles),
		cmocka_unit_test(test_extremes),
		cmocka_unit_test(test_merge),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
