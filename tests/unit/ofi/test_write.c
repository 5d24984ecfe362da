/* SPDX-License-Identifier: BSD-2-Clause */
/* Writes between two devices: whose turn it takes until the bytes are there. */
#include "devs.h"

/* A sender may compute, or sleep, as soon as it has posted. */
static void t_takes_no_turn_of_the_sender(void **state)
{
	static const uint32_t sizes[] = { 1, 100, 300, 4096, 4097, MEMORY };
	struct side a, b;
	struct memory from, to;
	uint8_t *put, *got;

	(void)state;
	sides_join(&a, &b, "ofi/shm");
	put = memory_new(&a, false, &from);
	got = memory_new(&b, true, &to);
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		memset(put, (int)i + 1, sizes[i]);
		write_one(a.ep, &from, &to, sizes[i]);
		b.seen = 0;
		assert_true(sides_until(&b, NULL, NMTI_RMA_IMM, 1000 * MS));
		assert_memory_equal(put, got, sizes[i]);
		a.seen = 0;
		assert_true(sides_until(&a, NULL, NMTI_RMA_WRITTEN, 1000 * MS));
	}
	memory_free(&a, &from);
	memory_free(&b, &to);
	side_leave(&a);
	side_leave(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(t_takes_no_turn_of_the_sender),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
