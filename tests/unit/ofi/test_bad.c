/* SPDX-License-Identifier: BSD-2-Clause */
/* What a provider of libfabric's lacks, registrations that it refuses, and names that are none. */
#include <stdlib.h>
#include <unistd.h>

#include "devs.h"

/* ---- providers that cannot carry streams ---- */

static struct fi_info *good(void)
{
	struct fi_info *info = fi_allocinfo();

	assert_non_null(info);
	info->fabric_attr->prov_name = strdup("some");
	info->ep_attr->type = FI_EP_RDM;
	info->caps = FI_MSG | FI_RMA;
	info->domain_attr->cq_data_size = 8;
	return info;
}

static void check(struct fi_info *info, const char *why)
{
	const char *is = nmti_ofi_refusal(info);

	if (!strstr(is, why))
		fail_msg("\"%s\" is not in: %s", why, is);
	fi_freeinfo(info);
}

static void t_lacks(void **state)
{
	struct fi_info *info = good();

	(void)state;
	info->caps = FI_MSG;
	check(info, "FI_RMA");
	info = good();
	info->domain_attr->mr_mode = FI_MR_RAW;
	check(info, "FI_MR_RAW");
	info = good();
	info->ep_attr->type = FI_EP_DGRAM;
	check(info, "FI_EP_DGRAM");
	info = good();
	info->ep_attr->type = FI_EP_MSG;
	info->domain_attr->mr_mode = FI_MR_ENDPOINT;
	check(info, "FI_MR_ENDPOINT");
	check(good(), "FI_DELIVERY_COMPLETE");
}

/* ---- registrations ---- */

static int refuse_with;

static int refuse(struct fid *fid, const struct fi_mr_attr *attr, uint64_t flags,
		  struct fid_mr **mr)
{
	(void)fid, (void)attr, (void)flags, (void)mr;
	return refuse_with;
}

static void t_no_more_registrations(void **state)
{
	static const struct { int rc, status; const char *why; } cases[] = {
		{ -FI_ENOSPC, -ENOMEM, "limit of registrations" },
		{ -FI_ENOMEM, -ENOMEM, "ulimit -l" },
		{ -FI_EOPNOTSUPP, -EOPNOTSUPP, "staged" },
	};
	struct fi_ops_mr ops = { .size = sizeof(ops), .regattr = refuse };
	struct fid_domain fake = { .mr = &ops }, *real;
	struct nmti_rma_reg reg;
	const char *why;
	struct nmt_mr *mr;
	struct side s;

	(void)state;
	side_open(&s, "ofi/tcp");
	assert_int_equal(nmt_mr_alloc(s.ctx, NMT_MEM_HOST, 4096, NMT_ACCESS_ALL, &mr), 0);
	real = s.dev->domain;
	s.dev->domain = &fake;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		refuse_with = cases[i].rc;
		s.logged[0] = '\0';
		assert_int_equal(nmti_ofi_ops.reg(s.dev, mr, 0, 4096, true, &reg, &why),
				 cases[i].status);
		assert_true(why[0]);
		if (!strstr(s.logged, cases[i].why))
			fail_msg("\"%s\" is not in: %s", cases[i].why, s.logged);
	}
	s.dev->domain = real;
	assert_int_equal(nmt_mr_close(mr), 0);
	side_close(&s);
}

static int export_nothing(const struct nmt_mr *mr, uint64_t *offset)
{
	(void)mr, (void)offset;
	return -EMFILE;
}

/* Memory that the CPU does not see is staged, and the reason says what it would take. */
static void t_memory_without_an_address(void **state)
{
	const struct nmt_mem_ops none = { .name = "none" };
	const struct nmt_mem_ops buf = { .name = "buf", .export_fd = export_nothing };
	struct nmt_mr mr = { .ops = &none, .size = 4096 };
	struct nmti_rma_reg reg;
	const char *why;
	struct side s;

	(void)state;
	side_open(&s, "ofi/tcp");
	assert_int_equal(nmti_ofi_ops.reg(s.dev, &mr, 0, 4096, true, &reg, &why), -EOPNOTSUPP);
	assert_non_null(strstr(why, "no dma-buf"));
	mr.ops = &buf;
	assert_int_equal(nmti_ofi_ops.reg(s.dev, &mr, 0, 4096, true, &reg, &why), -EOPNOTSUPP);
#ifdef FI_MR_DMABUF
	assert_non_null(strstr(why, "has no FI_HMEM"));
#else
	assert_non_null(strstr(why, "this libfabric has no dma-buf registration"));
#endif
	side_close(&s);
}

#ifdef FI_MR_DMABUF
static int export_some(const struct nmt_mr *mr, uint64_t *offset)
{
	(void)mr;
	*offset = 8192;
	return dup(0);
}

static struct fi_mr_dmabuf asked;
static uint64_t asked_flags;

static int take_dmabuf(struct fid *fid, const struct fi_mr_attr *attr, uint64_t flags,
		       struct fid_mr **mr)
{
	static struct fid_mr fake = { .mem_desc = &asked, .key = 55 };

	(void)fid;
	asked = *attr->dmabuf;
	asked_flags = flags;
	*mr = &fake;
	return 0;
}

static void t_dmabuf(void **state)
{
	const struct nmt_mem_ops buf = { .name = "buf", .export_fd = export_some };
	struct fi_ops_mr ops = { .size = sizeof(ops), .regattr = take_dmabuf };
	struct fid_domain fake = { .mr = &ops }, *real;
	struct nmt_mr mr = { .ops = &buf, .size = 65536 };
	struct nmti_rma_reg reg;
	const char *why;
	struct side s;

	(void)state;
	side_open(&s, "ofi/tcp");
	real = s.dev->domain;
	s.dev->domain = &fake;
	s.dev->info->caps |= FI_HMEM;
	assert_int_equal(nmti_ofi_ops.reg(s.dev, &mr, 4096, 100, true, &reg, &why), 0);
	assert_int_equal(asked.offset, 8192 + 4096);
	assert_int_equal(asked.len, 100);
	assert_null(asked.base_addr);
	assert_int_equal(asked_flags, FI_MR_DMABUF);
	assert_int_equal(reg.key, 55);
	assert_int_equal(((struct ofi_reg *)reg.handle)->local, 8192 + 4096);
	free(reg.handle); /* what it names is no registration */
	s.dev->domain = real;
	side_close(&s);
}
#endif

/* ---- names ---- */

static int connect_to(struct side *s, struct ofi_addr *addr)
{
	static const uint8_t token[NMTI_RMA_TOKEN] = { 1 };
	struct nmti_rma_ep_attr attr = side_attr(token);
	uint8_t blob[NMTI_RMA_BLOB_MAX];
	int len = nmti_ofi_addr_encode(addr, blob, sizeof(blob)), rc;

	assert_true(len > 0);
	s->seen = 0;
	rc = nmti_ofi_ops.connect(s->dev, &attr, blob, (uint32_t)len, &s->ep);
	if (rc)
		return rc;
	assert_true(sides_until(s, NULL, NMTI_RMA_FAILED, 1000 * MS));
	nmti_ofi_ops.destroy(s->ep);
	return s->status;
}

static void t_names_of_wrong_length(void **state)
{
	static const char *const specs[] = { "ofi/tcp", "ofi/tcp:rdm" };
	struct side s;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(specs); i++) {
		struct ofi_addr addr;

		side_open(&s, specs[i]);
		for (uint8_t len = 1; len <= OFI_ADDR_MAX; len++) {
			addr = s.dev->name;
			if (len == addr.alen)
				continue;
			addr.alen = len;
			assert_int_equal(connect_to(&s, &addr), -EPROTO);
		}
		addr = s.dev->name;
		addr.type ^= OFI_TYPE_MSG ^ OFI_TYPE_RDM;
		assert_int_equal(connect_to(&s, &addr), -EADDRNOTAVAIL);
		addr = s.dev->name;
		addr.notes = true;
		assert_int_equal(connect_to(&s, &addr), -EADDRNOTAVAIL);
		addr = s.dev->name;
		addr.prov[0] ^= 1;
		assert_int_equal(connect_to(&s, &addr), -EADDRNOTAVAIL);
		side_close(&s);
	}
}

/* A name that is text ends with a NUL, and has no other. */
static void t_names_that_are_no_text(void **state)
{
	struct ofi_addr addr;
	struct side s;

	(void)state;
	side_open(&s, "ofi/shm");
	addr = s.dev->name;
	addr.addr[addr.alen - 1] = 'x';
	assert_int_equal(connect_to(&s, &addr), -EPROTO);
	addr = s.dev->name;
	addr.addr[0] = '\0';
	assert_int_equal(connect_to(&s, &addr), -EPROTO);
	side_close(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(t_lacks),
		cmocka_unit_test(t_no_more_registrations),
		cmocka_unit_test(t_memory_without_an_address),
#ifdef FI_MR_DMABUF
		cmocka_unit_test(t_dmabuf),
#endif
		cmocka_unit_test(t_names_of_wrong_length),
		cmocka_unit_test(t_names_that_are_no_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
