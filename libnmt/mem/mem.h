/* SPDX-License-Identifier: BSD-2-Clause */
/* The built-in memory kinds, and regions that are not the application's (pool memory). */
#ifndef NMTI_MEM_H
#define NMTI_MEM_H

#include <nmt/provider.h>

extern const struct nmt_mem_ops nmti_mem_host;
extern const struct nmt_mem_ops nmti_mem_huge;
extern const struct nmt_mem_ops nmti_mem_udmabuf;
extern const struct nmt_mem_ops nmti_mem_dmaheap;
extern const struct nmt_mem_ops nmti_mem_dmabuf;

/* Wraps to less than N where N is within UNIT of SIZE_MAX. */
static inline size_t nmti_round_up(size_t n, size_t unit)
{
	return (n + unit - 1) / unit * unit;
}

/* FIELD of /proc/meminfo (the one place that tells the default huge page size) times UNIT. */
size_t nmti_meminfo(const char *field, size_t unit, size_t missing);

/* 0 if memory of KIND can be allocated here; else -EINVAL: no kind, -EOPNOTSUPP: the log says why. */
int nmti_mem_check(struct nmt_ctx *ctx, uint32_t kind);

/* A region that the context does not list: it does not hold the context open. */
int nmti_mr_new(struct nmt_ctx *ctx, const struct nmt_mem_ops *ops, size_t size, uint32_t access,
		struct nmt_mr **out);
void nmti_mr_free(struct nmt_mr *mr);

#endif
