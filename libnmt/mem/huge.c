/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Memory kind "huge": pages of the default huge page size; where none are free, ordinary pages with
 * transparent huge pages asked for, and a log line.
 */
#include <stdio.h>
#include <sys/mman.h>

#include "internal.h"
#include "mem/mem.h"

#define HUGE_DEFAULT (UINT64_C(2) << 20)

static int huge_probe(struct nmt_ctx *ctx, char *reason, size_t len)
{
	(void)ctx;
	if (!nmti_meminfo("HugePages_Free", 1, 0))
		snprintf(reason, len, "no huge page is free (vm.nr_hugepages): ordinary pages");
	return 0;
}

/* The mapped length goes into priv: it is the region's size rounded up to whole pages. */
static int huge_alloc(struct nmt_mr *mr)
{
	size_t page = nmti_meminfo("Hugepagesize", 1024, HUGE_DEFAULT);
	size_t len = nmti_round_up(mr->size, page);
	void *p = mmap(NULL, len, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);

	if (p == MAP_FAILED) {
		nmti_warn(mr->ctx, "no huge pages for %zu bytes (%s): using ordinary pages; "
			  "raise vm.nr_hugepages", mr->size, strerror(errno));
		p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (p == MAP_FAILED)
			return -ENOMEM;
		madvise(p, len, MADV_HUGEPAGE);
	}
	mr->cpu = p;
	mr->priv = (void *)len;
	return 0;
}

static void huge_free(struct nmt_mr *mr)
{
	munmap(mr->cpu, (size_t)mr->priv);
}

const struct nmt_mem_ops nmti_mem_huge = {
	.kind = NMT_MEM_HUGE,
	.name = "huge",
	.probe = huge_probe,
	.alloc = huge_alloc,
	.free = huge_free,
};
