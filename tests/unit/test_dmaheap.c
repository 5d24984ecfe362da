/* SPDX-License-Identifier: BSD-2-Clause */
/* Memory kind "dmaheap" on the real system heap; without it, that it is refused with the reason. */
#include "dmabuf_unit.h"

#define DMA_KIND NMT_MEM_DMAHEAP
#define DEVICE "/dev/dma_heap/system"

DMA_TESTS

/* Its pages cannot be pinned by address, so none is shown. */
static void test_no_address(void **state)
{
	struct nmt_mr *mr;
	struct unit u;

	(void)state;
	unit_ctx(&u);
	mr = dma_alloc(&u, DMA_KIND, 100000);
	assert_null(nmt_mr_addr(mr));
	assert_false(mr->no_cpu);
	assert_int_equal(nmt_mr_close(mr), 0);
	unit_close(&u);
}

/* The variable names the heap, now and later. */
static void test_other_heap(void **state)
{
	(void)state;
	setenv("NMT_DMA_HEAP", "no-such", 1);
	dma_refused(DMA_KIND, "/dev/dma_heap/no-such: No such file or directory");
	unsetenv("NMT_DMA_HEAP");
}

static void test_named_heap(void **state)
{
	setenv("NMT_DMA_HEAP", "system", 1);
	test_copies(state);
	unsetenv("NMT_DMA_HEAP");
}

static void test_refused(void **state)
{
	(void)state;
	dma_refused(DMA_KIND, DEVICE);
}

static const struct CMUnitTest present[] = {
	DMA_TEST_ENTRIES,
	cmocka_unit_test(test_no_address),
	cmocka_unit_test(test_other_heap),
	cmocka_unit_test(test_named_heap),
};

static const struct CMUnitTest absent[] = {
	cmocka_unit_test(test_refused),
	cmocka_unit_test(test_other_heap),
};

int main(void)
{
	alarm(120);
	unsetenv("NMT_DMA_HEAP");
	if (!access(DEVICE, R_OK))
		return cmocka_run_group_tests(present, NULL, NULL);
	printf("SKIP: " DEVICE ": %s\n", strerror(errno));
	return cmocka_run_group_tests(absent, NULL, NULL) ? 1 : 77;
}
