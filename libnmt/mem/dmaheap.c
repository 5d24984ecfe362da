/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Memory kind "dmaheap": dma-bufs out of one of the kernel's heaps, /dev/dma_heap/system unless
 * NMT_DMA_HEAP names another. The system heap zeroes what it hands out.
 */
#include <fcntl.h>
#include <linux/dma-heap.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "internal.h"
#include "mem/dmabuf.h"

static int heap_open(char *reason, size_t len)
{
	const char *name = secure_getenv("NMT_DMA_HEAP");
	char path[128];

	snprintf(path, sizeof(path), "/dev/dma_heap/%s", name && *name ? name : "system");
	return nmti_dmabuf_device(path, O_RDONLY,
				  "needs CONFIG_DMABUF_HEAPS_SYSTEM, another heap in NMT_DMA_HEAP, "
				  "or access to the device", reason, len);
}

static int dmaheap_probe(struct nmt_ctx *ctx, char *reason, size_t len)
{
	int heap = heap_open(reason, len);

	(void)ctx;
	if (heap < 0)
		return heap;
	close(heap);
	return 0;
}

static int take(struct nmt_ctx *ctx, size_t len)
{
	struct dma_heap_allocation_data arg = { .len = len, .fd_flags = O_RDWR | O_CLOEXEC };
	char reason[192];
	int heap = heap_open(reason, sizeof(reason)), rc = 0;

	if (heap < 0)
		return heap;
	if (ioctl(heap, DMA_HEAP_IOCTL_ALLOC, &arg)) {
		rc = -errno;
		nmti_err(ctx, "dma-buf heap: %zu bytes: %s", len, strerror(-rc));
	}
	close(heap);
	return rc ? rc : (int)arg.fd;
}

/*
 * The system heap takes what it is asked for page by page, with the OOM killer's help, and its pages
 * are charged to nobody, so a size that cannot be had has to be found out before.
 */
static bool too_much(struct nmt_ctx *ctx, size_t len)
{
	size_t available = nmti_meminfo("MemAvailable", 1024, SIZE_MAX);

	if (len <= available)
		return false;
	nmti_err(ctx, "dma-buf heap: %zu bytes: the machine has %zu available", len, available);
	return true;
}

static int dmaheap_alloc(struct nmt_mr *mr)
{
	size_t len = nmti_round_up(mr->size, (size_t)sysconf(_SC_PAGESIZE));
	int fd;

	if (len < mr->size || too_much(mr->ctx, len))
		return -ENOMEM;
	fd = take(mr->ctx, len);
	return fd < 0 ? fd : nmti_dmabuf_init(mr, fd, 0, fd);
}

const struct nmt_mem_ops nmti_mem_dmaheap = {
	.kind = NMT_MEM_DMAHEAP,
	.name = "dmaheap",
	.probe = dmaheap_probe,
	.alloc = dmaheap_alloc,
	.free = nmti_dmabuf_free,
	.copy_in = nmti_dmabuf_in,
	.copy_out = nmti_dmabuf_out,
	.export_fd = nmti_dmabuf_export,
	.locality = nmti_dmabuf_locality,
};
