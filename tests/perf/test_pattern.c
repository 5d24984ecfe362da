/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The data of --verify: every kind of damage that a stream could do must show.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "pattern.h"

#define LEN (2u << 20)

static uint8_t *ref, *data;

static int setup(void **state)
{
	(void)state;
	ref = malloc(PATTERN_PERIOD + LEN);
	data = malloc(LEN);
	if (!ref || !data)
		return -1;
	pattern_fill(ref, PATTERN_PERIOD + LEN, 42);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	free(ref);
	free(data);
	return 0;
}

static void test_equal_at_any_position(void **state)
{
	static const uint64_t at[] = { 0, 1, PATTERN_PERIOD - 1, PATTERN_PERIOD,
				       UINT64_C(1) << 40 };

	(void)state;
	for (size_t i = 0; i < sizeof(at) / sizeof(at[0]); i++) {
		memcpy(data, ref + at[i] % PATTERN_PERIOD, LEN);
		assert_int_equal(pattern_compare(ref, at[i], data, LEN), -1);
	}
	assert_int_equal(pattern_compare(ref, 5, data, 0), -1);
}

static void test_each_damage_is_found_where_it_is(void **state)
{
	static const size_t at[] = { 0, 1, 4095, PATTERN_PERIOD - 1, PATTERN_PERIOD, LEN - 1 };

	(void)state;
	for (size_t i = 0; i < sizeof(at) / sizeof(at[0]); i++) {
		memcpy(data, ref, LEN);
		data[at[i]] ^= 1;
		assert_int_equal(pattern_compare(ref, 0, data, LEN), at[i]);
	}
}

/* Lost or repeated pieces of the sizes that networks and libraries work in. */
static void test_shifts_show(void **state)
{
	(void)state;
	for (uint64_t shift = 1; shift <= UINT64_C(1) << 32; shift *= 2) {
		memcpy(data, ref + shift % PATTERN_PERIOD, 4096);
		assert_true(pattern_compare(ref, 0, data, 4096) >= 0);
	}
	memset(data, 0, 64);
	assert_true(pattern_compare(ref, 0, data, 64) >= 0);
}

static void test_seeds_and_streams_differ(void **state)
{
	uint8_t other[64];

	(void)state;
	pattern_fill(other, sizeof(other), 43);
	assert_memory_not_equal(other, ref, sizeof(other));
	pattern_fill(other, sizeof(other), 42);
	assert_memory_equal(other, ref, sizeof(other));
	assert_int_not_equal(pattern_start(1, 0, 0), pattern_start(1, 0, 1));
	assert_int_not_equal(pattern_start(1, 0, 0), pattern_start(1, 1, 0));
	assert_true(pattern_start(7, 65535, 1) < PATTERN_PERIOD);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_equal_at_any_position),
		cmocka_unit_test(test_each_damage_is_found_where_it_is),
		cmocka_unit_test(test_shifts_show),
		cmocka_unit_test(test_seeds_and_streams_differ),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
