/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Memory kind "udmabuf": pages of a memfd that /dev/udmabuf makes a dma-buf of. The CPU reaches them
 * by the memfd's own mapping, which sockets and ibv_reg_mr can pin; devices by the dma-buf.
 *
 * One memfd is one item of one dma-buf, so the driver's list_limit does not matter; size_limit_mb
 * bounds the dma-buf, however many items it has.
 */
#include <fcntl.h>
#include <linux/udmabuf.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "internal.h"
#include "mem/dmabuf.h"

#define SIZE_LIMIT "/sys/module/udmabuf/parameters/size_limit_mb"

static int device(char *reason, size_t len)
{
	return nmti_dmabuf_device("/dev/udmabuf", O_RDWR,
				  "load the module udmabuf, or ask for access to the device",
				  reason, len);
}

static int udmabuf_probe(struct nmt_ctx *ctx, char *reason, size_t len)
{
	int dev = device(reason, len);

	(void)ctx;
	if (dev < 0)
		return dev;
	close(dev);
	return 0;
}

/* Sealed as the driver wants it: what it has pinned must stay in the file. */
static int memfd_of(size_t len)
{
	int fd = memfd_create("nmt-udmabuf", MFD_CLOEXEC | MFD_ALLOW_SEALING), rc;

	if (fd >= 0 && !ftruncate(fd, (off_t)len) && !fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK))
		return fd;
	rc = -errno;
	if (fd >= 0)
		close(fd);
	return rc;
}

/* The driver says EINVAL to what is over its limit; memory that cannot be had is ENOMEM here. */
static int refused(struct nmt_ctx *ctx, size_t len, int err)
{
	nmti_err(ctx, "udmabuf of %zu bytes: %s; " SIZE_LIMIT " is %d", len, strerror(err),
		 nmti_sysfs_number(SIZE_LIMIT, -1));
	return err == EINVAL ? -ENOMEM : -err;
}

static int create(struct nmt_ctx *ctx, int memfd, size_t len)
{
	struct udmabuf_create arg = { .memfd = (uint32_t)memfd, .flags = UDMABUF_FLAGS_CLOEXEC,
				      .size = len };
	char reason[128];
	int dev = device(reason, sizeof(reason)), fd;

	if (dev < 0)
		return dev;
	fd = ioctl(dev, UDMABUF_CREATE, &arg);
	if (fd < 0)
		fd = refused(ctx, len, errno);
	close(dev);
	return fd;
}

static int udmabuf_alloc(struct nmt_mr *mr)
{
	size_t len = nmti_round_up(mr->size, (size_t)sysconf(_SC_PAGESIZE));
	struct nmti_dmabuf *b;
	int memfd, fd, rc;

	if (len < mr->size || len > INT64_MAX)
		return -ENOMEM;
	memfd = memfd_of(len);
	if (memfd < 0)
		return memfd;
	fd = create(mr->ctx, memfd, len);
	rc = fd < 0 ? fd : nmti_dmabuf_init(mr, fd, 0, memfd);
	close(memfd);
	if (rc)
		return rc;
	b = mr->priv;
	mr->cpu = NMTI_DMA_COHERENT ? b->bytes : NULL;
	return 0;
}

const struct nmt_mem_ops nmti_mem_udmabuf = {
	.kind = NMT_MEM_UDMABUF,
	.name = "udmabuf",
	.probe = udmabuf_probe,
	.alloc = udmabuf_alloc,
	.free = nmti_dmabuf_free,
	.copy_in = nmti_dmabuf_in,
	.copy_out = nmti_dmabuf_out,
	.export_fd = nmti_dmabuf_export,
	.locality = nmti_dmabuf_locality,
};
