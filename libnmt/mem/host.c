/* SPDX-License-Identifier: BSD-2-Clause */
/* Memory kind "host": ordinary pages, allocated here or brought by the application. */
#include <sys/mman.h>

#include "internal.h"
#include "mem/mem.h"

static int host_alloc(struct nmt_mr *mr)
{
	void *p = mmap(NULL, mr->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return -ENOMEM;
	mr->cpu = p;
	return 0;
}

static int host_reg(struct nmt_mr *mr, void *addr)
{
	mr->cpu = addr;
	return 0;
}

static void host_free(struct nmt_mr *mr)
{
	if (mr->owned)
		munmap(mr->cpu, mr->size);
}

const struct nmt_mem_ops nmti_mem_host = {
	.kind = NMT_MEM_HOST,
	.name = "host",
	.alloc = host_alloc,
	.reg = host_reg,
	.free = host_free,
};
