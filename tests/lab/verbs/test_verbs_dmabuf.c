/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * In the guest: memory that is a dma-buf, with the verbs ops.
 *
 *   test_verbs_dmabuf works    the device registers dma-bufs: bytes land in place, at odd offsets
 *   test_verbs_dmabuf absent   it does not: what the CPU's mapping reaches is registered by that, the
 *                              rest is refused with the reason
 */
#include "rig.h"

static bool works;
static struct side a, b;
static struct end x, y;

#define LEN 100000u
#define GUARD 64u

static int setup(void **state)
{
	(void)state;
	side_open(&a, "a", "rxe_a");
	side_open(&b, "b", "rxe_b");
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	side_close(&a);
	side_close(&b);
	return 0;
}

static void test_capability(void **state)
{
	(void)state;
	assert_int_equal(!!(a.limits.caps & NMT_CAP_DMABUF), works);
}

/* Write into a part of a region of KIND, from a part of another; look by the kind's own copies. */
static void move(enum nmt_mem_kind kind, uint64_t offset, uint32_t len)
{
	uint8_t *bytes = malloc(LEN), *seen = malloc(LEN);
	struct nmti_rma_reg ra, rb;
	const char *reason = NULL;
	struct nmt_mr *ma, *mb;

	assert_int_equal(nmt_mr_alloc(a.ctx, kind, LEN, NMT_ACCESS_ALL, &ma), 0);
	assert_int_equal(nmt_mr_alloc(b.ctx, kind, LEN, NMT_ACCESS_ALL, &mb), 0);
	for (uint32_t i = 0; i < LEN; i++)
		bytes[i] = (uint8_t)rig_random();
	assert_int_equal(nmt_mr_write(ma, 0, bytes, LEN), 0);
	memset(seen, 0xa5, LEN);
	assert_int_equal(nmt_mr_write(mb, 0, seen, LEN), 0);
	assert_int_equal(ops->reg(a.dev, ma, offset, len, false, &ra, &reason), 0);
	assert_string_equal(reason, "");
	assert_int_equal(ops->reg(b.dev, mb, offset + GUARD, len, true, &rb, &reason), 0);
	if (works)
		assert_true(rb.base < 4096); /* no address of ours is told */
	else
		assert_true(rb.base >= 4096);
	y.imms = 0;
	side_enter(&a);
	assert_int_equal(end_write(&x, &ra, 0, len, &rb, 0, 5, NMTI_RMA_SIGNAL), 0);
	RIG_UNTIL(&a, &b, RIG_LIMIT, y.imms || x.failed || y.failed);
	if (x.failed || y.failed)
		fail_msg("%s %s", x.text, y.text);
	assert_int_equal(nmt_mr_read(mb, 0, seen, LEN), 0);
	assert_memory_equal(seen + offset + GUARD, bytes + offset, len);
	for (uint64_t i = 0; i < LEN; i++)
		if (i < offset + GUARD || i >= offset + GUARD + len)
			assert_int_equal(seen[i], 0xa5);
	ops->dereg(a.dev, &ra);
	ops->dereg(b.dev, &rb);
	assert_int_equal(nmt_mr_close(ma), 0);
	assert_int_equal(nmt_mr_close(mb), 0);
	free(bytes);
	free(seen);
}

static void move_all(enum nmt_mem_kind kind)
{
	static const uint32_t lens[] = { 1, 63, 4096, 4097, 50001 };
	static const uint64_t offsets[] = { 0, 1, 4095, 4096, 12411 };

	ends_join(&x, &a, &y, &b, NULL);
	for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++)
		for (size_t k = 0; k < sizeof(offsets) / sizeof(offsets[0]); k++)
			move(kind, offsets[k], lens[i]);
	ends_part(&x, &y);
}

/* Its pages are ordinary ones as well, so it is registered one way or the other. */
static void test_udmabuf(void **state)
{
	(void)state;
	move_all(NMT_MEM_UDMABUF);
}

static void test_dmaheap(void **state)
{
	const char *reason = NULL;
	struct nmti_rma_reg reg;
	struct nmt_mr *mr;

	(void)state;
	if (works) {
		move_all(NMT_MEM_DMAHEAP);
		return;
	}
	assert_int_equal(nmt_mr_alloc(a.ctx, NMT_MEM_DMAHEAP, LEN, NMT_ACCESS_ALL, &mr), 0);
	assert_int_equal(ops->reg(a.dev, mr, 0, LEN, true, &reg, &reason), -EOPNOTSUPP);
	assert_non_null(strstr(reason, "no dma-buf registration"));
	assert_true(side_logged(&a, "no dma-buf registration"));
	assert_int_equal(nmt_mr_close(mr), 0);
}

static void test_host(void **state)
{
	struct mem m;

	(void)state;
	mem_new(&m, &a, LEN);
	assert_int_equal(m.reg.base, (uintptr_t)m.p);
	mem_free(&m);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_capability),
		cmocka_unit_test(test_udmabuf),
		cmocka_unit_test(test_dmaheap),
		cmocka_unit_test(test_host),
	};

	if (argc != 2 || (strcmp(argv[1], "works") && strcmp(argv[1], "absent"))) {
		fprintf(stderr, "usage: test_verbs_dmabuf works|absent\n");
		return 2;
	}
	works = !strcmp(argv[1], "works");
	alarm(120);
	return cmocka_run_group_tests_name("verbs dma-buf", tests, setup, teardown);
}
