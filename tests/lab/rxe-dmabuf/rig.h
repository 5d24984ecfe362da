/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * For test_dmabuf.c: two RDMA devices with a connected queue pair between them, and memory that is
 * a dma-buf. Everything here fails the test (cmocka) when it does not work.
 */
#ifndef LAB_RIG_H
#define LAB_RIG_H

#include <infiniband/verbs.h>
#include <stddef.h>
#include <stdint.h>

/* One end: a device with all that one connected queue pair needs. */
struct end {
	struct ibv_context *ctx;
	struct ibv_pd *pd;
	struct ibv_cq *cq;
	struct ibv_qp *qp;
	union ibv_gid gid;
};

/* Opens device NAME; its GID 1 is the IPv4 address. */
void end_open(struct end *end, const char *name);
void end_close(struct end *end);

/* Connect, or reset and connect again. */
void ends_connect(struct end *a, struct end *b);

/* The next completion on END, waited for up to 10 s. */
struct ibv_wc end_completion(struct end *end);

enum exporter { UDMABUF, HEAP, EXPORTERS };
extern const char *const exporter_names[EXPORTERS];

/* A dma-buf that the CPU sees too. LEN: a multiple of the page. */
struct dmabuf {
	enum exporter from;
	int fd;			/* of the dma-buf; -1 once closed */
	unsigned char *cpu;
	size_t len;
};

void dmabuf_make(struct dmabuf *buf, enum exporter from, size_t len);
void dmabuf_free(struct dmabuf *buf);

/* Around every look of the CPU at it. */
void dmabuf_begin(struct dmabuf *buf);
void dmabuf_end(struct dmabuf *buf);

/* How many dma-bufs there are in the kernel. */
long dmabufs_in_kernel(void);

#endif
