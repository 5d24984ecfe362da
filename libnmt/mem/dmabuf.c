/* SPDX-License-Identifier: BSD-2-Clause */
/* Memory kind "dmabuf", imported dma-bufs, and what the kinds that are dma-bufs share (dmabuf.h). */
#include <fcntl.h>
#include <linux/dma-buf.h>
#include <linux/magic.h>
#include <linux/mempolicy.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "internal.h"
#include "mem/dmabuf.h"

/* ---- shared: life ---- */

/* Mappings begin at a page; the region may not. */
static size_t page_skip(const struct nmti_dmabuf *b)
{
	return b->offset & ((size_t)sysconf(_SC_PAGESIZE) - 1);
}

static int map(struct nmt_mr *mr, int fd)
{
	struct nmti_dmabuf *b = mr->priv;
	size_t skip = page_skip(b);
	int prot = b->writable ? PROT_READ | PROT_WRITE : PROT_READ;
	char *p = mmap(NULL, skip + mr->size, prot, MAP_SHARED, fd, (off_t)(b->offset - skip));

	if (p == MAP_FAILED)
		return -errno;
	b->bytes = p + skip;
	return 0;
}

/* Exporters need not allow mappings; running out of memory is another thing. */
static int map_if_allowed(struct nmt_mr *mr, int fd)
{
	struct nmti_dmabuf *b = mr->priv;
	int rc;

	b->writable = (fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDWR;
	rc = map(mr, fd);
	if (rc == -ENOMEM)
		return rc;
	if (rc)
		nmti_info(mr->ctx, "dma-buf: mmap: %s: the CPU cannot reach the region, only "
			  "providers whose device maps dma-bufs can", strerror(-rc));
	else if (!b->writable)
		nmti_info(mr->ctx, "dma-buf: the descriptor is read-only: the CPU cannot write");
	mr->no_cpu = rc || (!b->writable && mr->access & NMT_ACCESS_RECV);
	return 0;
}

int nmti_dmabuf_init(struct nmt_mr *mr, int fd, uint64_t offset, int map_fd)
{
	struct nmti_dmabuf *b = calloc(1, sizeof(*b));
	int rc;

	if (!b) {
		close(fd);
		return -ENOMEM;
	}
	pthread_mutex_init(&b->lock, NULL);
	b->fd = fd;
	b->offset = offset;
	mr->priv = b;
	rc = map_if_allowed(mr, map_fd);
	if (rc)
		nmti_dmabuf_free(mr);
	return rc;
}

void nmti_dmabuf_free(struct nmt_mr *mr)
{
	struct nmti_dmabuf *b = mr->priv;
	size_t skip = page_skip(b);

	if (b->bytes)
		munmap(b->bytes - skip, skip + mr->size);
	close(b->fd);
	pthread_mutex_destroy(&b->lock);
	free(b);
}

int nmti_dmabuf_device(const char *device, int flags, const char *hint, char *reason, size_t len)
{
	int fd = open(device, flags | O_CLOEXEC);

	if (fd >= 0)
		return fd;
	snprintf(reason, len, "%s: %s; %s", device, strerror(errno), hint);
	return -EOPNOTSUPP;
}

/* ---- shared: access by the CPU ---- */

static int sync_cpu(const struct nmti_dmabuf *b, uint64_t flags)
{
	struct dma_buf_sync sync = { .flags = flags };
	int rc;

	do
		rc = ioctl(b->fd, DMA_BUF_IOCTL_SYNC, &sync);
	while (rc && (errno == EINTR || errno == EAGAIN));
	return rc ? -errno : 0;
}

/*
 * memcpy between START and END. The calls are about the whole dma-buf: where caches are not
 * coherent, a START for one thread drops lines that another has written and not ended yet, so
 * brackets of a region never overlap.
 */
static int bracket(struct nmti_dmabuf *b, uint64_t way, void *dst, const void *src, size_t len)
{
	int rc;

	pthread_mutex_lock(&b->lock);
	rc = sync_cpu(b, DMA_BUF_SYNC_START | way);
	if (!rc) {
		memcpy(dst, src, len);
		rc = sync_cpu(b, DMA_BUF_SYNC_END | way);
	}
	pthread_mutex_unlock(&b->lock);
	return rc;
}

int nmti_dmabuf_in(struct nmt_mr *mr, uint64_t offset, const void *src, size_t len)
{
	struct nmti_dmabuf *b = mr->priv;

	if (!b->bytes)
		return -EOPNOTSUPP;
	if (!b->writable)
		return -EACCES;
	return len ? bracket(b, DMA_BUF_SYNC_WRITE, b->bytes + offset, src, len) : 0;
}

int nmti_dmabuf_out(const struct nmt_mr *mr, uint64_t offset, void *dst, size_t len)
{
	struct nmti_dmabuf *b = mr->priv;

	if (!b->bytes)
		return -EOPNOTSUPP;
	return len ? bracket(b, DMA_BUF_SYNC_READ, dst, b->bytes + offset, len) : 0;
}

/* ---- shared: for providers ---- */

int nmti_dmabuf_export(const struct nmt_mr *mr, uint64_t *offset)
{
	const struct nmti_dmabuf *b = mr->priv;
	int fd = fcntl(b->fd, F_DUPFD_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	*offset = b->offset;
	return fd;
}

/* The node of the first page, where the kernel tells; nobody tells the exporter's device. */
int nmti_dmabuf_locality(const struct nmt_mr *mr, int *numa, char *pci, size_t len)
{
	int node = -1;

	if (!mr->cpu || syscall(SYS_get_mempolicy, &node, NULL, 0UL, mr->cpu,
				(unsigned long)(MPOL_F_NODE | MPOL_F_ADDR)))
		node = -1;
	*numa = node;
	if (len)
		pci[0] = '\0';
	return 0;
}

/* ---- the kind "dmabuf" ---- */

/* The kernel's dma-bufs are files of a file system of their own (since 5.3). */
static int check(struct nmt_ctx *ctx, int fd, uint64_t offset, size_t size)
{
	struct statfs fs;
	off_t end;

	if (fstatfs(fd, &fs)) {
		nmti_err(ctx, "dma-buf import: %d is no open descriptor", fd);
		return -EBADF;
	}
	end = fs.f_type == DMA_BUF_MAGIC ? lseek(fd, 0, SEEK_END) : -1;
	if (end < 0) {
		nmti_err(ctx, "dma-buf import: descriptor %d is no dma-buf", fd);
		return -EINVAL;
	}
	if (offset > (uint64_t)end || size > (uint64_t)end - offset) {
		nmti_err(ctx, "dma-buf import: %zu bytes at %llu are not within its %lld", size,
			 (unsigned long long)offset, (long long)end);
		return -EINVAL;
	}
	return 0;
}

static int dmabuf_import(struct nmt_mr *mr, int fd, uint64_t offset)
{
	int rc = check(mr->ctx, fd, offset, mr->size);

	if (rc)
		return rc;
	fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	return fd < 0 ? -errno : nmti_dmabuf_init(mr, fd, offset, fd);
}

const struct nmt_mem_ops nmti_mem_dmabuf = {
	.kind = NMT_MEM_DMABUF,
	.name = "dmabuf",
	.import = dmabuf_import,
	.free = nmti_dmabuf_free,
	.copy_in = nmti_dmabuf_in,
	.copy_out = nmti_dmabuf_out,
	.export_fd = nmti_dmabuf_export,
	.locality = nmti_dmabuf_locality,
};
