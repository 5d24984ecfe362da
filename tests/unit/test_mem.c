/* SPDX-License-Identifier: BSD-2-Clause */
/* Memory regions: making them, every error, reading and writing at the edges, kinds, busy ones. */
#include <sys/mman.h>

#include "unit.h"

/* ---- making and closing ---- */

static void test_alloc(void **state)
{
	static const enum nmt_mem_kind kinds[] = { NMT_MEM_DEFAULT, NMT_MEM_HOST, NMT_MEM_HUGE };
	struct unit u;

	(void)state;
	unit_ctx(&u);
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		struct nmt_mr *mr;
		char *p;

		assert_int_equal(nmt_mr_alloc(u.ctx, kinds[i], 10001, NMT_ACCESS_SEND, &mr), 0);
		assert_int_equal(nmt_mr_size(mr), 10001);
		assert_int_equal(nmt_mr_kind(mr), kinds[i] ? kinds[i] : NMT_MEM_HOST);
		p = nmt_mr_addr(mr);
		assert_non_null(p);
		for (int k = 0; k < 10001; k++)
			assert_int_equal(p[k], 0);
		p[0] = p[10000] = 1;
		assert_int_equal(nmt_mr_close(mr), 0);
	}
	unit_close(&u);
}

static void test_alloc_refused(void **state)
{
	struct nmt_mr *mr = NULL;
	struct unit u;

	(void)state;
	unit_ctx(&u);
	assert_int_equal(nmt_mr_alloc(NULL, NMT_MEM_HOST, 1, 1, &mr), -EINVAL);
	assert_int_equal(nmt_mr_alloc(u.ctx, NMT_MEM_HOST, 1, 1, NULL), -EINVAL);
	assert_int_equal(nmt_mr_alloc(u.ctx, NMT_MEM_HOST, 0, 1, &mr), -EINVAL);
	assert_int_equal(nmt_mr_alloc(u.ctx, NMT_MEM_HOST, 1, 0, &mr), -EINVAL);
	assert_int_equal(nmt_mr_alloc(u.ctx, NMT_MEM_HOST, 1, 4, &mr), -EINVAL);
	assert_int_equal(nmt_mr_alloc(u.ctx, NMT_MEM_HOST, 1, ~0u, &mr), -EINVAL);
	assert_int_equal(nmt_mr_alloc(u.ctx, NMT_MEM_CUSTOM, 1, 1, &mr), -EINVAL);
	assert_int_equal(nmt_mr_alloc(u.ctx, (enum nmt_mem_kind)7, 1, 1, &mr), -EINVAL);
	assert_int_equal(nmt_mr_alloc(u.ctx, (enum nmt_mem_kind)-1, 1, 1, &mr), -EINVAL);
	unit_log_clear(&u);
	assert_int_equal(nmt_mr_alloc(u.ctx, NMT_MEM_CUDA, 1, 1, &mr), -EOPNOTSUPP);
	assert_true(unit_logged(&u, "memory kind cuda is not in this build"));
	assert_int_equal(u.lines, 1);
	assert_int_equal(nmt_mr_alloc(u.ctx, NMT_MEM_DMABUF, 1, 1, &mr), -EOPNOTSUPP);
	assert_null(mr);
	unit_close(&u);
}

static void test_alloc_too_much(void **state)
{
	static const size_t sizes[] = { SIZE_MAX, SIZE_MAX - 4096, SIZE_MAX / 2,
					SIZE_MAX - (2 << 20) };
	struct nmt_mr *mr;
	struct unit u;

	(void)state;
	unit_ctx(&u);
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		assert_int_equal(nmt_mr_alloc(u.ctx, NMT_MEM_HOST, sizes[i], 1, &mr), -ENOMEM);
		assert_int_equal(nmt_mr_alloc(u.ctx, NMT_MEM_HUGE, sizes[i], 1, &mr), -ENOMEM);
	}
	unit_close(&u);
}

static void test_reg(void **state)
{
	char own[100] = "mine";
	struct nmt_mr *mr, *again;
	struct unit u;

	(void)state;
	unit_ctx(&u);
	assert_int_equal(nmt_mr_reg(u.ctx, own, sizeof(own), NMT_ACCESS_ALL, &mr), 0);
	assert_ptr_equal(nmt_mr_addr(mr), own);
	assert_int_equal(nmt_mr_size(mr), sizeof(own));
	assert_int_equal(nmt_mr_kind(mr), NMT_MEM_HOST);
	assert_int_equal(nmt_mr_reg(u.ctx, own + 10, 5, NMT_ACCESS_SEND, &again), 0);
	assert_int_equal(nmt_mr_close(mr), 0);
	assert_int_equal(nmt_mr_close(again), 0);
	assert_string_equal(own, "mine"); /* still the application's */
	unit_close(&u);
}

static void test_reg_refused(void **state)
{
	char own[8];
	struct nmt_mr *mr = NULL;
	struct unit u;

	(void)state;
	unit_ctx(&u);
	assert_int_equal(nmt_mr_reg(NULL, own, 8, 1, &mr), -EINVAL);
	assert_int_equal(nmt_mr_reg(u.ctx, own, 8, 1, NULL), -EINVAL);
	assert_int_equal(nmt_mr_reg(u.ctx, own, 0, 1, &mr), -EINVAL);
	assert_int_equal(nmt_mr_reg(u.ctx, own, 8, 0, &mr), -EINVAL);
	assert_int_equal(nmt_mr_reg(u.ctx, own, 8, 8, &mr), -EINVAL);
	assert_int_equal(nmt_mr_reg(u.ctx, NULL, 8, 1, &mr), -EFAULT);
	assert_int_equal(nmt_mr_reg(u.ctx, own, SIZE_MAX, 1, &mr), -EFAULT);
	assert_null(mr);
	unit_close(&u);
}

static void test_import_refused(void **state)
{
	struct nmt_mr *mr = NULL;
	struct unit u;

	(void)state;
	unit_ctx(&u);
	assert_int_equal(nmt_mr_import(NULL, 0, 0, 1, 1, &mr), -EINVAL);
	assert_int_equal(nmt_mr_import(u.ctx, 0, 0, 0, 1, &mr), -EINVAL);
	assert_int_equal(nmt_mr_import(u.ctx, 0, 0, 1, 1, NULL), -EINVAL);
	assert_null(mr);
	unit_close(&u);
}

static void test_busy(void **state)
{
	struct nmt_mr *mr;
	struct unit u;

	(void)state;
	unit_ctx(&u);
	assert_int_equal(nmt_mr_close(NULL), -EINVAL);
	assert_int_equal(nmt_mr_alloc(u.ctx, NMT_MEM_HOST, 8, 1, &mr), 0);
	nmti_mr_hold(mr);
	nmti_mr_hold(mr);
	assert_int_equal(nmt_mr_close(mr), -EBUSY);
	nmti_mr_drop(mr);
	assert_int_equal(nmt_mr_close(mr), -EBUSY);
	assert_int_equal(nmt_mr_write(mr, 0, "alive", 6), 0);
	nmti_mr_drop(mr);
	assert_int_equal(nmt_mr_close(mr), 0);
	unit_close(&u);
}

static void test_null(void **state)
{
	(void)state;
	assert_null(nmt_mr_addr(NULL));
	assert_int_equal(nmt_mr_size(NULL), 0);
	assert_int_equal(nmt_mr_kind(NULL), NMT_MEM_DEFAULT);
	assert_int_equal(nmt_mr_read(NULL, 0, &(char){ 0 }, 1), -EINVAL);
	assert_int_equal(nmt_mr_write(NULL, 0, "x", 1), -EINVAL);
}

/* ---- reading and writing ---- */

static const struct {
	uint64_t offset;
	size_t len;
	int rc;
} ranges[] = {
	{ 0, 100, 0 },	       { 0, 0, 0 },		   { 100, 0, 0 },
	{ 99, 1, 0 },	       { 50, 50, 0 },		   { 0, 101, -EFAULT },
	{ 100, 1, -EFAULT },   { 101, 0, -EFAULT },	   { 1, 100, -EFAULT },
	{ 1, SIZE_MAX, -EFAULT }, { UINT64_MAX, 1, -EFAULT }, { UINT64_MAX - 1, 2, -EFAULT },
	{ 1, SIZE_MAX - 1, -EFAULT },
};

static void test_ranges(void **state)
{
	char own[102], buf[128];
	struct nmt_mr *mr;
	struct unit u;

	(void)state;
	unit_ctx(&u);
	memset(buf, 'b', sizeof(buf));
	assert_int_equal(nmt_mr_reg(u.ctx, own + 1, 100, NMT_ACCESS_ALL, &mr), 0);
	for (size_t i = 0; i < ARRAY_LEN(ranges); i++) {
		memset(own, 'o', sizeof(own));
		assert_int_equal(nmt_mr_write(mr, ranges[i].offset, buf, ranges[i].len),
				 ranges[i].rc);
		for (size_t k = 0; k < sizeof(own); k++) {
			bool in = !ranges[i].rc && k >= 1 + ranges[i].offset &&
				  k < 1 + ranges[i].offset + ranges[i].len;

			assert_int_equal(own[k], in ? 'b' : 'o');
		}
		memset(own, 'r', sizeof(own));
		memset(buf, 'b', sizeof(buf));
		assert_int_equal(nmt_mr_read(mr, ranges[i].offset, buf, ranges[i].len),
				 ranges[i].rc);
		for (size_t k = 0; k < sizeof(buf); k++)
			assert_int_equal(buf[k], !ranges[i].rc && k < ranges[i].len ? 'r' : 'b');
		memset(buf, 'b', sizeof(buf));
	}
	assert_int_equal(nmt_mr_write(mr, 0, NULL, 1), -EINVAL);
	assert_int_equal(nmt_mr_read(mr, 0, NULL, 1), -EINVAL);
	assert_int_equal(nmt_mr_write(mr, 0, NULL, 0), 0);
	assert_int_equal(nmt_mr_close(mr), 0);
	unit_close(&u);
}

static void test_check(void **state)
{
	struct nmt_mr *send, *recv;
	struct nmt_stream s = { 0 };
	struct unit u, other;

	(void)state;
	unit_ctx(&u);
	unit_ctx(&other);
	s.ctx = u.ctx;
	assert_int_equal(nmt_mr_alloc(u.ctx, NMT_MEM_HOST, 100, NMT_ACCESS_SEND, &send), 0);
	assert_int_equal(nmt_mr_alloc(other.ctx, NMT_MEM_HOST, 100, NMT_ACCESS_RECV, &recv), 0);
	assert_int_equal(nmti_mr_check(&s, send, 0, 100, NMT_ACCESS_SEND), 0);
	assert_int_equal(nmti_mr_check(&s, send, 0, 100, NMT_ACCESS_RECV), -EACCES);
	assert_int_equal(nmti_mr_check(&s, send, 1, 100, NMT_ACCESS_SEND), -EFAULT);
	assert_int_equal(nmti_mr_check(&s, send, UINT64_MAX, 2, NMT_ACCESS_SEND), -EFAULT);
	assert_int_equal(nmti_mr_check(&s, recv, 0, 1, NMT_ACCESS_RECV), -EINVAL);
	assert_int_equal(nmti_mr_check(&s, NULL, 0, 1, NMT_ACCESS_RECV), -EINVAL);
	assert_int_equal(nmt_mr_close(send), 0);
	assert_int_equal(nmt_mr_close(recv), 0);
	unit_close(&u);
	unit_close(&other);
}

/* ---- kinds ---- */

static int calls_in, calls_out, calls_free;
static char far[64];

static int far_alloc(struct nmt_mr *mr)
{
	mr->priv = far;
	return 0;
}

static int far_reg(struct nmt_mr *mr, void *addr)
{
	if ((char *)addr < far || (char *)addr >= far + sizeof(far))
		return -ENXIO;
	mr->priv = addr;
	return 0;
}

static void far_free(struct nmt_mr *mr)
{
	(void)mr;
	calls_free++;
}

static int far_in(struct nmt_mr *mr, uint64_t offset, const void *src, size_t len)
{
	calls_in++;
	memcpy((char *)mr->priv + offset, src, len);
	return 0;
}

static int far_out(const struct nmt_mr *mr, uint64_t offset, void *dst, size_t len)
{
	calls_out++;
	memcpy(dst, (char *)mr->priv + offset, len);
	return 0;
}

static const struct nmt_mem_ops far_kind = {
	.kind = NMT_MEM_CUSTOM, .name = "far", .alloc = far_alloc, .reg = far_reg,
	.free = far_free, .copy_in = far_in, .copy_out = far_out,
};

/* Memory that the CPU does not see goes through the kind's own copies. */
static void test_custom_kind(void **state)
{
	char text[8] = "";
	struct nmt_mr *mr;
	struct unit u;

	(void)state;
	calls_in = calls_out = calls_free = 0;
	unit_ctx(&u);
	assert_null(nmti_mem_kind(u.ctx, NMT_MEM_CUSTOM));
	assert_int_equal(nmti_mem_kind_add(u.ctx, &far_kind), 0);
	assert_int_equal(nmti_mem_kind_add(u.ctx, &far_kind), -EEXIST);
	assert_ptr_equal(nmti_mem_kind(u.ctx, NMT_MEM_CUSTOM), &far_kind);
	assert_int_equal(nmti_mem_kind(u.ctx, NMT_MEM_DEFAULT)->kind, NMT_MEM_HOST);
	assert_int_equal(nmt_mr_alloc(u.ctx, NMT_MEM_CUSTOM, 64, NMT_ACCESS_ALL, &mr), 0);
	assert_null(nmt_mr_addr(mr));
	assert_int_equal(nmt_mr_kind(mr), NMT_MEM_CUSTOM);
	assert_int_equal(nmt_mr_write(mr, 56, "seventy", 8), 0);
	assert_int_equal(nmt_mr_read(mr, 56, text, 8), 0);
	assert_string_equal(text, "seventy");
	assert_int_equal(nmt_mr_write(mr, 57, "seventy", 8), -EFAULT);
	assert_int_equal(calls_in, 1);
	assert_int_equal(calls_out, 1);
	assert_int_equal(nmt_mr_close(mr), 0);
	assert_int_equal(calls_free, 1);
	unit_close(&u);
}

/* Addresses are detected: the most special kind that knows one takes it. */
static void test_detect(void **state)
{
	char near[8];
	struct nmt_mr *mr;
	struct unit u;

	(void)state;
	unit_ctx(&u);
	assert_int_equal(nmti_mem_kind_add(u.ctx, &far_kind), 0);
	assert_int_equal(nmt_mr_reg(u.ctx, far + 8, 8, NMT_ACCESS_ALL, &mr), 0);
	assert_int_equal(nmt_mr_kind(mr), NMT_MEM_CUSTOM);
	assert_int_equal(nmt_mr_close(mr), 0);
	assert_int_equal(nmt_mr_reg(u.ctx, near, 8, NMT_ACCESS_ALL, &mr), 0);
	assert_int_equal(nmt_mr_kind(mr), NMT_MEM_HOST);
	assert_int_equal(nmt_mr_close(mr), 0);
	unit_close(&u);
}

/* A kind that the machine lacks is refused before its alloc is asked, with the probe's words. */
static int far_missing(struct nmt_ctx *ctx, char *reason, size_t len)
{
	(void)ctx;
	snprintf(reason, len, "too far away");
	return -ENODEV;
}

static void test_probe(void **state)
{
	struct nmt_domain_attr attr = NMT_DOMAIN_ATTR_INIT;
	struct nmt_mem_ops kind = far_kind;
	struct nmt_domain *dom;
	struct nmt_mr *mr = NULL;
	struct unit u;

	(void)state;
	kind.probe = far_missing;
	unit_ctx(&u);
	assert_int_equal(nmti_mem_kind_add(u.ctx, &kind), 0);
	unit_log_clear(&u);
	assert_int_equal(nmt_mr_alloc(u.ctx, NMT_MEM_CUSTOM, 8, 1, &mr), -EOPNOTSUPP);
	assert_null(mr);
	assert_int_equal(u.lines, 1);
	assert_true(unit_logged(&u, "memory kind far: too far away"));
	attr.pool_kind = NMT_MEM_CUSTOM;
	unit_log_clear(&u);
	assert_int_equal(nmt_domain_open(u.ctx, "tcp", &attr, &dom), -EOPNOTSUPP);
	assert_int_equal(u.lines, 1);
	assert_true(unit_logged(&u, "too far away"));
	unit_close(&u);
}

static void test_too_many_kinds(void **state)
{
	struct nmt_mem_ops kinds[NMTI_KINDS_MAX];
	struct unit u;
	int rc = 0, n = 0;

	(void)state;
	unit_ctx(&u);
	for (; !rc && n < NMTI_KINDS_MAX; n++) {
		kinds[n] = far_kind;
		kinds[n].kind = NMT_MEM_CUSTOM + (uint32_t)n;
		rc = nmti_mem_kind_add(u.ctx, &kinds[n]);
	}
	assert_int_equal(rc, -ENOSPC);
	assert_int_equal(n, NMTI_KINDS_MAX - 5 + 1); /* five are built in */
	unit_close(&u);
}

/* With no huge page free there are ordinary ones and a line that says so; both work. */
static void test_huge(void **state)
{
	struct nmt_mr *mr;
	struct unit u;
	bool told;

	(void)state;
	unit_ctx(&u);
	assert_int_equal(nmt_mr_alloc(u.ctx, NMT_MEM_HUGE, (3 << 20) + 1, NMT_ACCESS_ALL, &mr), 0);
	told = unit_logged(&u, "vm.nr_hugepages");
	assert_int_equal(nmt_mr_size(mr), (3 << 20) + 1);
	assert_int_equal(nmt_mr_write(mr, 3 << 20, "x", 1), 0);
	assert_int_equal(nmt_mr_write(mr, (3 << 20) + 1, "x", 1), -EFAULT);
	assert_int_equal(nmt_mr_close(mr), 0);
	/* 64 TiB of huge pages: never free anywhere, so this one takes the other way for sure. */
	unit_log_clear(&u);
	if (!nmt_mr_alloc(u.ctx, NMT_MEM_HUGE, (size_t)1 << 36, NMT_ACCESS_ALL, &mr)) {
		assert_true(unit_logged(&u, "vm.nr_hugepages"));
		assert_int_equal(nmt_mr_kind(mr), NMT_MEM_HUGE);
		assert_int_equal(nmt_mr_close(mr), 0);
	}
	if (!told)
		print_message("huge pages are free here\n");
	unit_close(&u);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_alloc),	     cmocka_unit_test(test_alloc_refused),
	cmocka_unit_test(test_alloc_too_much), cmocka_unit_test(test_reg),
	cmocka_unit_test(test_reg_refused),  cmocka_unit_test(test_import_refused),
	cmocka_unit_test(test_busy),	     cmocka_unit_test(test_null),
	cmocka_unit_test(test_ranges),	     cmocka_unit_test(test_check),
	cmocka_unit_test(test_custom_kind),  cmocka_unit_test(test_detect),
	cmocka_unit_test(test_probe),	     cmocka_unit_test(test_too_many_kinds),
	cmocka_unit_test(test_huge),
};

UNIT_MAIN(tests)
