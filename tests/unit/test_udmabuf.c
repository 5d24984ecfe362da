/* SPDX-License-Identifier: BSD-2-Clause */
/* Memory kind "udmabuf" on the real device; without it, that it is refused with the reason. */
#include "dmabuf_unit.h"

#define DMA_KIND NMT_MEM_UDMABUF
#define DEVICE "/dev/udmabuf"
#define SIZE_LIMIT "/sys/module/udmabuf/parameters/size_limit_mb"

DMA_TESTS

/* What is written at the address is in the dma-buf, without any call in between. */
static void test_address(void **state)
{
	struct nmt_mr *mr;
	struct unit u;

	(void)state;
	unit_ctx(&u);
	mr = dma_alloc(&u, DMA_KIND, 100000);
	if (NMTI_DMA_COHERENT) {
		assert_non_null(nmt_mr_addr(mr));
		unit_fill(nmt_mr_addr(mr), 100000, 41);
		dma_seen_by_others(mr, 41);
		dma_fill(mr, 42);
		unit_check(nmt_mr_addr(mr), 100000, 42);
	} else {
		assert_null(nmt_mr_addr(mr));
	}
	assert_int_equal(nmt_mr_close(mr), 0);
	unit_close(&u);
}

/* The limit of the driver, from both sides; the log names it. */
static void test_size_limit(void **state)
{
	FILE *f = fopen(SIZE_LIMIT, "re");
	int fds = unit_open_fds() - !!f;
	struct nmt_mr *mr = NULL;
	struct unit u;
	size_t mb = 0;

	(void)state;
	assert_non_null(f);
	assert_int_equal(fscanf(f, "%zu", &mb), 1);
	fclose(f);
	unit_ctx(&u);
	unit_log_clear(&u);
	assert_int_equal(nmt_mr_alloc(u.ctx, DMA_KIND, mb * DMA_MIB + 1, 1, &mr), -ENOMEM);
	assert_null(mr);
	assert_int_equal(u.lines, 1);
	assert_true(unit_logged(&u, "size_limit_mb"));
	if (mb <= 256) {
		mr = dma_alloc(&u, DMA_KIND, mb * DMA_MIB);
		assert_int_equal(nmt_mr_write(mr, mb * DMA_MIB - 4, "end", 4), 0);
		assert_int_equal(nmt_mr_close(mr), 0);
	}
	unit_close(&u);
	assert_int_equal(unit_open_fds(), fds);
}

static void test_refused(void **state)
{
	(void)state;
	dma_refused(DMA_KIND, DEVICE);
}

static const struct CMUnitTest present[] = {
	DMA_TEST_ENTRIES,
	cmocka_unit_test(test_address),
	cmocka_unit_test(test_size_limit),
};

static const struct CMUnitTest absent[] = { cmocka_unit_test(test_refused) };

int main(void)
{
	alarm(120);
	if (!access(DEVICE, R_OK | W_OK))
		return cmocka_run_group_tests(present, NULL, NULL);
	printf("SKIP: " DEVICE ": %s\n", strerror(errno));
	return cmocka_run_group_tests(absent, NULL, NULL) ? 1 : 77;
}
