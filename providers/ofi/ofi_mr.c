/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Registrations. Keys are the provider's where it insists (FI_MR_PROV_KEY), else random ones, so that
 * a peer cannot guess another's. Remote addresses are offsets where the provider can (without
 * FI_MR_VIRT_ADDR). What only this end reads is registered where FI_MR_LOCAL asks for it.
 *
 * Memory that the CPU does not see is registered as a dma-buf where libfabric (1.20) and the provider
 * (FI_HMEM) can; else it is staged, and the reason says what is missing.
 */
#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>

#include "ofi.h"

#define TRIES 8 /* for a random key that nobody has yet */

static uint64_t random_key(const struct nmti_rma_dev *dev)
{
	size_t bytes = dev->info->domain_attr->mr_key_size;
	uint64_t key = 0;

	if (getrandom(&key, sizeof(key), 0) != sizeof(key))
		return 0;
	return bytes < sizeof(key) ? key & ((UINT64_C(1) << 8 * bytes) - 1) : key;
}

static int bind_mr(struct nmti_rma_dev *dev, struct fid_mr *mr)
{
	int rc;

	if (!(dev->info->domain_attr->mr_mode & FI_MR_ENDPOINT))
		return 0;
	rc = fi_mr_bind(mr, &dev->ep->fid, 0);
	return rc ? rc : fi_mr_enable(mr);
}

static uint64_t access_of(bool remote)
{
	return FI_SEND | FI_RECV | FI_WRITE | (remote ? FI_REMOTE_WRITE : 0);
}

/* *MR is NULL when it fails. */
static int reg_attr(struct nmti_rma_dev *dev, struct fi_mr_attr *attr, uint64_t flags, bool remote,
		    struct fid_mr **mr)
{
	uint64_t mode = (uint64_t)dev->info->domain_attr->mr_mode;
	int rc = -FI_ENOKEY;

	attr->access = access_of(remote);
	for (int i = 0; i < TRIES && rc == -FI_ENOKEY; i++) {
		attr->requested_key = mode & FI_MR_PROV_KEY ? 0 : random_key(dev);
		rc = fi_mr_regattr(dev->domain, attr, flags, mr);
	}
	if (rc) {
		*mr = NULL;
		return rc;
	}
	rc = bind_mr(dev, *mr);
	if (rc)
		nmti_ofi_mr_free(mr);
	return rc;
}

int nmti_ofi_mr_new(struct nmti_rma_dev *dev, void *addr, size_t len, bool remote,
		    struct fid_mr **mr)
{
	struct iovec iov = { addr, len };
	struct fi_mr_attr attr = { .mr_iov = &iov, .iov_count = 1 };

	*mr = NULL;
	if (!remote && !(dev->info->domain_attr->mr_mode & FI_MR_LOCAL))
		return 0;
	return reg_attr(dev, &attr, 0, remote, mr);
}

void nmti_ofi_mr_free(struct fid_mr **mr)
{
	if (*mr)
		fi_close(&(*mr)->fid);
	*mr = NULL;
}

/* ---- memory without an address ---- */

#ifdef FI_MR_DMABUF
/* Without a base address, its bytes are called by their place in the dma-buf. */
static int reg_dmabuf(struct nmti_rma_dev *dev, struct nmt_mr *mr, uint64_t offset, uint64_t len,
		      bool remote, struct ofi_reg *own, struct nmti_rma_reg *reg)
{
	bool virt = dev->info->domain_attr->mr_mode & FI_MR_VIRT_ADDR;
	struct fi_mr_dmabuf buf = { .len = len };
	struct fi_mr_attr attr = { .dmabuf = &buf, .iov_count = 1 };
	int rc;

	buf.fd = mr->ops->export_fd(mr, &buf.offset);
	if (buf.fd < 0)
		return buf.fd;
	buf.offset += offset;
	rc = reg_attr(dev, &attr, FI_MR_DMABUF, remote, &own->mr);
	close(buf.fd);
	own->local = buf.offset;
	reg->base = virt ? buf.offset : 0;
	return rc;
}
#else
static int reg_dmabuf(struct nmti_rma_dev *dev, struct nmt_mr *mr, uint64_t offset, uint64_t len,
		      bool remote, struct ofi_reg *own, struct nmti_rma_reg *reg)
{
	(void)dev, (void)mr, (void)offset, (void)len, (void)remote, (void)own, (void)reg;
	return -FI_EOPNOTSUPP;
}
#endif

/* Why memory that the CPU does not see cannot be registered; NULL: it may be. */
static const char *unreachable(const struct nmti_rma_dev *dev, const struct nmt_mr *mr)
{
	if (!mr->ops->export_fd)
		return "the CPU does not see the memory, and it is no dma-buf";
	if (!OFI_DMABUF)
		return "the CPU does not see the memory, and this libfabric has no dma-buf registration (1.20)";
	if (!(dev->info->caps & FI_HMEM))
		return "the CPU does not see the memory, and the provider has no FI_HMEM";
	return NULL;
}

static int reg_any(struct nmti_rma_dev *dev, struct nmt_mr *mr, uint64_t offset, uint64_t len,
		   bool remote, struct ofi_reg *own, struct nmti_rma_reg *reg)
{
	void *addr = nmti_mr_cpu(mr, offset);

	if (!addr)
		return reg_dmabuf(dev, mr, offset, len, remote, own, reg);
	reg->base = ofi_base(dev, addr);
	return nmti_ofi_mr_new(dev, addr, len, remote, &own->mr);
}

/* ---- ops ---- */

static int refused(struct nmti_rma_dev *dev, uint64_t len, int rc, const char **reason)
{
	bool room = rc == -FI_ENOMEM || rc == -FI_ENOSPC || rc == -FI_EMFILE || rc == -FI_ENOKEY;

	*reason = nmti_ofi_strerror(-rc);
	nmti_log(dev->pd->ctx, room ? NMT_LOG_ERROR : NMT_LOG_INFO,
		 "ofi: %s: registering %llu bytes: %s%s", dev->found.name, (unsigned long long)len,
		 *reason, room ? " (ulimit -l; the provider's limit of registrations)" : "; staged");
	return room ? -ENOMEM : -EOPNOTSUPP;
}

int nmti_ofi_reg(struct nmti_rma_dev *dev, struct nmt_mr *mr, uint64_t offset, uint64_t len,
		 bool remote, struct nmti_rma_reg *reg, const char **reason)
{
	const char *why = nmti_mr_cpu(mr, offset) ? NULL : unreachable(dev, mr);
	struct ofi_reg *own;
	int rc;

	*reason = why ? why : "";
	if (why)
		return -EOPNOTSUPP;
	own = calloc(1, sizeof(*own));
	if (!own)
		return -ENOMEM;
	rc = reg_any(dev, mr, offset, len, remote, own, reg);
	if (rc) {
		free(own);
		return refused(dev, len, rc, reason);
	}
	own->desc = ofi_desc(own->mr);
	reg->key = remote ? fi_mr_key(own->mr) : 0;
	reg->handle = own;
	return 0;
}

void nmti_ofi_dereg(struct nmti_rma_dev *dev, struct nmti_rma_reg *reg)
{
	struct ofi_reg *own = reg->handle;

	(void)dev;
	nmti_ofi_mr_free(&own->mr);
	free(own);
	memset(reg, 0, sizeof(*reg));
}
