/* SPDX-License-Identifier: BSD-2-Clause */
/* The built-in memory kinds, and regions that are not the application's (pool memory). */
#ifndef NMTI_MEM_H
#define NMTI_MEM_H

#include <nmt/provider.h>

extern const struct nmt_mem_ops nmti_mem_host;
extern const struct nmt_mem_ops nmti_mem_huge;

/* A region that the context does not list: it does not hold the context open. */
int nmti_mr_new(struct nmt_ctx *ctx, const struct nmt_mem_ops *ops, size_t size, uint32_t access,
		struct nmt_mr **out);
void nmti_mr_free(struct nmt_mr *mr);

#endif
