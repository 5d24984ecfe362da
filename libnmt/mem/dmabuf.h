/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the memory kinds that are a dma-buf (udmabuf, dmaheap, dmabuf) have in common.
 *
 * The CPU may look into a dma-buf only between DMA_BUF_SYNC_START and DMA_BUF_SYNC_END: there the
 * exporter waits for devices, moves the memory, or writes caches back and drops stale lines. An
 * address that is handed to recv(2), to a zero-copy send or to the application has no such moments,
 * and the mapping of a dma-buf is often one that the kernel will not pin (VM_PFNMAP), so it is of no
 * use to MSG_ZEROCOPY or ibv_reg_mr either. So these regions show no CPU address (mr->cpu is NULL)
 * and copy_in and copy_out do the bracketing: providers stage, as for any memory that the CPU does
 * not see, or map the dma-buf with their device and copy nothing. The exception is udmabuf, whose
 * pages are ordinary ones that we can map past the dma-buf: NMTI_DMA_COHERENT.
 */
#ifndef NMTI_DMABUF_H
#define NMTI_DMABUF_H

#include <pthread.h>

#include "mem/mem.h"

/*
 * Devices snoop the CPU's caches on these machines, so ordinary pages need no sync. On others it
 * depends on the device, which is not known when the memory is made.
 */
#if defined(__x86_64__) || defined(__i386__) || defined(__s390x__)
#define NMTI_DMA_COHERENT 1
#else
#define NMTI_DMA_COHERENT 0
#endif

/* In mr->priv. */
struct nmti_dmabuf {
	pthread_mutex_t lock; /* one bracket at a time, see bracket() */
	int fd;
	uint64_t offset;      /* of the region's byte 0 in the dma-buf */
	char *bytes;          /* where the copies find byte 0; NULL: the CPU cannot reach it */
	bool writable;
};

/*
 * Make the dma-buf FD, from OFFSET on, the memory of MR. It is taken over, also on failure. The
 * copies go through a mapping of MAP_FD (the dma-buf itself, or the file it was made of); where that
 * cannot be mapped the region is for devices only (mr->no_cpu). -ENOMEM.
 */
int nmti_dmabuf_init(struct nmt_mr *mr, int fd, uint64_t offset, int map_fd);

/* Open DEVICE for a probe or an allocation; -EOPNOTSUPP with "DEVICE: why; HINT" in REASON. */
int nmti_dmabuf_device(const char *device, int flags, const char *hint, char *reason, size_t len);

/* The ops that these kinds share. */
void nmti_dmabuf_free(struct nmt_mr *mr);
int nmti_dmabuf_in(struct nmt_mr *mr, uint64_t offset, const void *src, size_t len);
int nmti_dmabuf_out(const struct nmt_mr *mr, uint64_t offset, void *dst, size_t len);
int nmti_dmabuf_export(const struct nmt_mr *mr, uint64_t *offset);
int nmti_dmabuf_locality(const struct nmt_mr *mr, int *numa, char *pci, size_t len);

#endif
