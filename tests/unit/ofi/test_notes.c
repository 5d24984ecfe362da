/* SPDX-License-Identifier: BSD-2-Clause */
/* Completion data too small to tell of a write: a message does, when the bytes are there. */
#include <stdlib.h>

#include "devs.h"

static const char *const specs[] = { "ofi/tcp:msg:lo", "ofi/tcp:rdm", "ofi/shm" };

struct rig {
	struct side a, b;
	struct memory from, to;
	uint8_t *put, *got;
};

static void rig_open(struct rig *r, const char *spec)
{
	sides_join(&r->a, &r->b, spec);
	assert_true(r->a.dev->notes);
	r->put = memory_new(&r->a, false, &r->from);
	r->got = memory_new(&r->b, true, &r->to);
}

static void rig_close(struct rig *r)
{
	memory_free(&r->a, &r->from);
	memory_free(&r->b, &r->to);
	side_leave(&r->a);
	side_leave(&r->b);
}

static void check_one(struct rig *r, uint32_t len)
{
	memset(r->put, (int)len + 1, len);
	r->a.seen = r->b.seen = 0;
	write_one(r->a.ep, &r->from, &r->to, len);
	assert_true(sides_until(&r->b, &r->a, NMTI_RMA_IMM, 5000 * MS));
	assert_int_equal(r->b.imm & ~NMTI_RMA_IMM_EPOCH, 1);
	assert_int_equal(r->b.len, len);
	assert_memory_equal(r->put, r->got, len);
	assert_true(sides_until(&r->a, &r->b, NMTI_RMA_WRITTEN, 5000 * MS));
}

static void t_told_with_the_bytes(void **state)
{
	static const uint32_t sizes[] = { 0, 1, 100, 4096, 4097, MEMORY };
	struct rig r;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(specs); i++) {
		rig_open(&r, specs[i]);
		for (size_t k = 0; k < ARRAY_LEN(sizes); k++)
			check_one(&r, sizes[k]);
		rig_close(&r);
	}
}

/* As many as fit are under way at once; each is told once. */
static void t_full_queue(void **state)
{
	struct rig r;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(specs); i++) {
		rig_open(&r, specs[i]);
		/* What set it up is complete. */
		assert_false(sides_until(&r.b, &r.a, NMTI_RMA_IMM, 20 * MS));
		for (uint32_t n = 0; n < r.a.ep->depth; n++)
			write_one(r.a.ep, &r.from, &r.to, n);
		while (r.b.imms < r.a.ep->depth) {
			r.b.seen = 0;
			assert_true(sides_until(&r.b, &r.a, NMTI_RMA_IMM, 5000 * MS));
		}
		r.b.seen = 0;
		assert_false(sides_until(&r.b, &r.a, NMTI_RMA_IMM, 20 * MS));
		rig_close(&r);
	}
}

/* It goes when the write is complete, and the sender finds that. */
static void t_not_told_before(void **state)
{
	struct rig r;

	(void)state;
	rig_open(&r, "ofi/tcp:msg:lo");
	write_one(r.a.ep, &r.from, &r.to, 100);
	assert_false(sides_until(&r.b, NULL, NMTI_RMA_IMM, 30 * MS));
	assert_false(side_saw(&r.a, NMTI_RMA_WRITTEN));
	assert_true(sides_until(&r.b, &r.a, NMTI_RMA_IMM, 5000 * MS));
	rig_close(&r);
}

/* The peer does not know of it, and says so when the stream resumes. */
static void t_fenced_before_it_is_told(void **state)
{
	struct rig r;

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		rig_open(&r, specs[i]);
		write_one(r.a.ep, &r.from, &r.to, 100);
		assert_false(sides_until(&r.b, NULL, NMTI_RMA_IMM, 30 * MS));
		nmti_ofi_ops.fence(r.a.ep);
		nmti_ofi_ops.fence(r.b.ep);
		assert_true(sides_until(&r.a, &r.b, NMTI_RMA_DRAINED, 5000 * MS));
		assert_true(sides_until(&r.b, &r.a, NMTI_RMA_DRAINED, 5000 * MS));
		assert_false(side_saw(&r.a, NMTI_RMA_WRITTEN));
		assert_false(side_saw(&r.b, NMTI_RMA_IMM));
		rig_close(&r);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(t_told_with_the_bytes), cmocka_unit_test(t_full_queue),
		cmocka_unit_test(t_not_told_before), cmocka_unit_test(t_fenced_before_it_is_told),
	};

	setenv("NMT_OFI_CQ_DATA", "4", 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
