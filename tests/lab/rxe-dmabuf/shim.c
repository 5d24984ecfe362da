/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * LD_PRELOAD: ibv_reg_dmabuf_mr() that asks the kernel. librxe has no such operation, so libibverbs
 * would answer EOPNOTSUPP without asking; the operation that drivers of real adapters use is
 * exported, though only for them. For tests in the guest, beside an rdma_rxe with dma-bufs.
 */
#include <dlfcn.h>
#include <errno.h>
#include <infiniband/verbs.h>
#include <stdlib.h>

/* Holds libibverbs' private struct verbs_mr, which begins with struct ibv_mr. */
union mr_space {
	struct ibv_mr mr;
	char space[1024];
};

/* Since rdma-core 54 there is an eighth argument, which may be NULL; older ones do not look at it. */
typedef int reg_fn(struct ibv_pd *pd, uint64_t offset, size_t length, uint64_t iova, int fd,
		   int access, union mr_space *mr, void *driver);

struct ibv_mr *ibv_reg_dmabuf_mr(struct ibv_pd *pd, uint64_t offset, size_t length, uint64_t iova,
				 int fd, int access)
{
	reg_fn *reg = (reg_fn *)dlsym(RTLD_NEXT, "ibv_cmd_reg_dmabuf_mr");
	union mr_space *space;
	int err;

	if (!reg) {
		errno = EOPNOTSUPP;
		return NULL;
	}
	space = calloc(1, sizeof(*space)); /* librxe's dereg frees it */
	if (!space)
		return NULL;
	err = reg(pd, offset, length, iova, fd, access, space, NULL);
	if (err) {
		free(space);
		errno = err;
		return NULL;
	}
	space->mr.context = pd->context;
	space->mr.pd = pd;
	space->mr.addr = (void *)(uintptr_t)offset;
	space->mr.length = length;
	return &space->mr;
}
