/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Registrations. Memory that is a dma-buf is registered as such where adapter and library can, and
 * its remote addresses then begin at 0; other memory by its address for the CPU.
 */
#include <stdlib.h>
#include <unistd.h>

#include "verbs.h"

/*
 * A descriptor that is none: a driver that has the call says so, one that has not says that. An
 * adapter may still refuse a particular dma-buf.
 */
bool nmti_verbs_has_dmabuf(struct ibv_pd *pd)
{
	struct ibv_mr *mr = ibv_reg_dmabuf_mr(pd, 0, 4096, 0, -1, 0);

	if (mr)
		ibv_dereg_mr(mr);
	return mr || errno == EBADF;
}

static int access_of(bool remote)
{
	return remote ? IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE : 0;
}

/* The adapter wants the place in the dma-buf and the address equal within the page. */
static struct ibv_mr *reg_dmabuf(struct nmti_rma_dev *dev, struct nmt_mr *mr, uint64_t offset,
				 uint64_t len, bool remote, uint64_t *base)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), start;
	int fd = mr->ops->export_fd(mr, &start), saved;
	struct ibv_mr *ibmr;

	if (fd < 0) {
		errno = -fd;
		return NULL;
	}
	start += offset;
	*base = start & (page - 1);
	ibmr = ibv_reg_dmabuf_mr(dev->ibpd, start, len, *base, fd, access_of(remote));
	saved = errno;
	close(fd);
	errno = saved;
	return ibmr;
}

static struct ibv_mr *reg_host(struct nmti_rma_dev *dev, struct nmt_mr *mr, uint64_t offset,
			       uint64_t len, bool remote, uint64_t *base)
{
	void *addr = nmti_mr_cpu(mr, offset);

	*base = (uintptr_t)addr;
	return ibv_reg_mr(dev->ibpd, addr, len, access_of(remote));
}

/* What a dma-buf is refused with, its pages by the CPU's mapping may still be reached. */
static struct ibv_mr *reg_any(struct nmti_rma_dev *dev, struct nmt_mr *mr, uint64_t offset,
			      uint64_t len, bool remote, uint64_t *base, const char **reason)
{
	struct ibv_mr *ibmr = NULL;

	errno = EOPNOTSUPP;
	if (mr->ops->export_fd && dev->limits.caps & NMT_CAP_DMABUF) {
		ibmr = reg_dmabuf(dev, mr, offset, len, remote, base);
		*reason = "the adapter refuses this dma-buf (ibv_reg_dmabuf_mr)";
	} else if (mr->ops->export_fd) {
		*reason = "the adapter or its library has no dma-buf registration";
	} else {
		*reason = "the CPU does not see the memory, and it is no dma-buf";
	}
	if (ibmr || !mr->cpu)
		return ibmr;
	ibmr = reg_host(dev, mr, offset, len, remote, base);
	if (!ibmr)
		*reason = "the adapter refuses this memory (ibv_reg_mr)";
	return ibmr;
}

static int refused(struct nmti_rma_dev *dev, uint64_t len, int err, const char *reason)
{
	if (err == ENOMEM || err == EMFILE || err == ENFILE) {
		nmti_log(dev->pd->ctx, NMT_LOG_ERROR, "verbs: %s: registering %llu bytes: %s "
			 "(ulimit -l, ulimit -n)", dev->port.name, (unsigned long long)len,
			 strerror(err));
		return -ENOMEM;
	}
	nmti_log(dev->pd->ctx, NMT_LOG_INFO, "verbs: %s: %s: %s; staged", dev->port.name, reason,
		 strerror(err));
	return -EOPNOTSUPP;
}

int nmti_verbs_reg(struct nmti_rma_dev *dev, struct nmt_mr *mr, uint64_t offset, uint64_t len,
		   bool remote, struct nmti_rma_reg *reg, const char **reason)
{
	struct verbs_reg *own;

	*reason = "";
	if (verbs_is_gone(dev))
		return -ENODEV;
	own = calloc(1, sizeof(*own));
	if (!own)
		return -ENOMEM;
	own->mr = reg_any(dev, mr, offset, len, remote, &reg->base, reason);
	if (!own->mr) {
		int err = errno;

		free(own);
		return refused(dev, len, err, *reason);
	}
	*reason = "";
	own->lkey = own->mr->lkey;
	nmti_list_add_tail(&own->node, &dev->regs);
	reg->key = remote ? own->mr->rkey : 0;
	reg->handle = own;
	return 0;
}

static void drop(struct verbs_reg *own)
{
	if (own->mr)
		ibv_dereg_mr(own->mr);
	own->mr = NULL;
}

void nmti_verbs_dereg(struct nmti_rma_dev *dev, struct nmti_rma_reg *reg)
{
	struct verbs_reg *own = reg->handle;

	(void)dev;
	drop(own);
	nmti_list_del(&own->node);
	free(own);
	memset(reg, 0, sizeof(*reg));
}

void nmti_verbs_regs_free(struct nmti_rma_dev *dev)
{
	for (struct nmti_list *i = dev->regs.next; i != &dev->regs; i = i->next)
		drop(nmti_container(i, struct verbs_reg, node));
}
