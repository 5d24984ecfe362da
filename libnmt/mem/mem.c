/* SPDX-License-Identifier: BSD-2-Clause */
/* Memory regions: the table of kinds, and the public calls on regions. */
#include <stdio.h>
#include <stdlib.h>

#include "internal.h"
#include "mem/mem.h"

static const struct nmt_mem_ops *const builtin[] = {
	&nmti_mem_host, &nmti_mem_huge, &nmti_mem_udmabuf, &nmti_mem_dmaheap, &nmti_mem_dmabuf,
};

void nmti_mem_init(struct nmt_ctx *ctx)
{
	for (size_t i = 0; i < ARRAY_LEN(builtin); i++)
		ctx->kinds[ctx->nkinds++] = builtin[i];
}

static const struct nmt_mem_ops *kind_locked(struct nmt_ctx *ctx, uint32_t kind)
{
	for (int i = 0; i < ctx->nkinds; i++)
		if (ctx->kinds[i]->kind == kind)
			return ctx->kinds[i];
	return NULL;
}

const struct nmt_mem_ops *nmti_mem_kind(struct nmt_ctx *ctx, uint32_t kind)
{
	const struct nmt_mem_ops *ops;

	if (kind == NMT_MEM_DEFAULT)
		kind = NMT_MEM_HOST;
	pthread_mutex_lock(&ctx->lock);
	ops = kind_locked(ctx, kind);
	pthread_mutex_unlock(&ctx->lock);
	return ops;
}

int nmti_mem_kind_add(struct nmt_ctx *ctx, const struct nmt_mem_ops *ops)
{
	int rc = 0;

	pthread_mutex_lock(&ctx->lock);
	if (kind_locked(ctx, ops->kind))
		rc = -EEXIST;
	else if (ctx->nkinds == NMTI_KINDS_MAX)
		rc = -ENOSPC;
	else
		ctx->kinds[ctx->nkinds++] = ops;
	pthread_mutex_unlock(&ctx->lock);
	return rc;
}

size_t nmti_meminfo(const char *field, size_t unit, size_t missing)
{
	char line[128];
	size_t value = missing, n;
	FILE *f = fopen("/proc/meminfo", "re");

	if (!f)
		return missing;
	while (fgets(line, sizeof(line), f))
		if (!strncmp(line, field, strlen(field)) &&
		    sscanf(line + strlen(field), ": %zu", &n) == 1)
			value = n * unit;
	fclose(f);
	return value;
}

int nmti_mem_check(struct nmt_ctx *ctx, uint32_t kind)
{
	const struct nmt_mem_ops *ops = nmti_mem_kind(ctx, kind);
	char reason[192] = "";

	if (!ops && kind > NMT_MEM_DMABUF)
		return -EINVAL;
	if (!ops) /* the others of nmt.h are always built */
		nmti_err(ctx, "memory kind cuda is not in this build (nmt_info lists the kinds)");
	else if (!ops->alloc)
		nmti_err(ctx, "memory kind %s cannot be allocated", ops->name);
	else if (ops->probe && ops->probe(ctx, reason, sizeof(reason)))
		nmti_err(ctx, "memory kind %s: %s", ops->name, reason);
	else
		return 0;
	return -EOPNOTSUPP;
}

static int args_check(struct nmt_ctx *ctx, size_t size, uint32_t access, struct nmt_mr **out)
{
	if (!ctx || !out || !size || !access || access & ~NMT_ACCESS_ALL)
		return -EINVAL;
	return 0;
}

static struct nmt_mr *mr_new(struct nmt_ctx *ctx, size_t size, uint32_t access)
{
	struct nmt_mr *mr = calloc(1, sizeof(*mr));

	if (!mr)
		return NULL;
	mr->ctx = ctx;
	mr->size = size;
	mr->access = access;
	nmti_list_init(&mr->node);
	nmti_list_init(&mr->maps);
	return mr;
}

static int mr_publish(struct nmt_mr *mr, struct nmt_mr **out)
{
	mr->pool = 0;
	pthread_mutex_lock(&mr->ctx->lock);
	nmti_list_add_tail(&mr->node, &mr->ctx->mrs);
	pthread_mutex_unlock(&mr->ctx->lock);
	*out = mr;
	return 0;
}

int nmti_mr_new(struct nmt_ctx *ctx, const struct nmt_mem_ops *ops, size_t size, uint32_t access,
		struct nmt_mr **out)
{
	struct nmt_mr *mr = mr_new(ctx, size, access);
	int rc;

	if (!mr)
		return -ENOMEM;
	mr->ops = ops;
	mr->owned = 1;
	mr->pool = 1;
	rc = ops->alloc(mr);
	if (rc) {
		free(mr);
		return rc;
	}
	*out = mr;
	return 0;
}

static void maps_gone(struct nmt_mr *mr)
{
	struct nmti_list *node;

	pthread_mutex_lock(&mr->ctx->lock);
	while ((node = nmti_list_pop(&mr->maps))) {
		struct nmti_map *map = nmti_container(node, struct nmti_map, node);

		map->gone(map);
	}
	pthread_mutex_unlock(&mr->ctx->lock);
}

void nmti_mr_free(struct nmt_mr *mr)
{
	maps_gone(mr);
	if (mr->ops->free)
		mr->ops->free(mr);
	free(mr);
}

int nmt_mr_alloc(struct nmt_ctx *ctx, enum nmt_mem_kind kind, size_t size, uint32_t access,
		 struct nmt_mr **out)
{
	struct nmt_mr *mr;
	int rc = args_check(ctx, size, access, out);

	if (!rc)
		rc = nmti_mem_check(ctx, kind);
	if (rc)
		return rc;
	rc = nmti_mr_new(ctx, nmti_mem_kind(ctx, kind), size, access, &mr);
	return rc ? rc : mr_publish(mr, out);
}

/* Ask the kinds, the most special first, whose address this is. */
static int mr_detect(struct nmt_mr *mr, void *addr)
{
	int rc = -ENXIO;

	for (int i = mr->ctx->nkinds - 1; i >= 0 && rc == -ENXIO; i--) {
		mr->ops = mr->ctx->kinds[i];
		if (mr->ops->reg)
			rc = mr->ops->reg(mr, addr);
	}
	return rc;
}

int nmt_mr_reg(struct nmt_ctx *ctx, void *addr, size_t size, uint32_t access, struct nmt_mr **out)
{
	struct nmt_mr *mr;
	int rc = args_check(ctx, size, access, out);

	if (rc)
		return rc;
	if (!addr || (uintptr_t)addr + size < (uintptr_t)addr)
		return -EFAULT;
	mr = mr_new(ctx, size, access);
	if (!mr)
		return -ENOMEM;
	rc = mr_detect(mr, addr);
	if (rc) {
		free(mr);
		return rc;
	}
	return mr_publish(mr, out);
}

int nmt_mr_import(struct nmt_ctx *ctx, int fd, uint64_t offset, size_t size, uint32_t access,
		  struct nmt_mr **out)
{
	struct nmt_mr *mr;
	int rc = args_check(ctx, size, access, out);

	if (rc)
		return rc;
	mr = mr_new(ctx, size, access);
	if (!mr)
		return -ENOMEM;
	mr->ops = nmti_mem_kind(ctx, NMT_MEM_DMABUF);
	rc = mr->ops->import(mr, fd, offset);
	if (rc) {
		free(mr);
		return rc;
	}
	return mr_publish(mr, out);
}

void nmti_mr_map(struct nmt_mr *mr, struct nmti_map *map)
{
	pthread_mutex_lock(&mr->ctx->lock);
	nmti_list_add_tail(&map->node, &mr->maps);
	pthread_mutex_unlock(&mr->ctx->lock);
}

void nmti_mr_unmap(struct nmt_ctx *ctx, struct nmti_map *map)
{
	pthread_mutex_lock(&ctx->lock);
	nmti_list_del(&map->node);
	pthread_mutex_unlock(&ctx->lock);
}

int nmt_mr_close(struct nmt_mr *mr)
{
	if (!mr)
		return -EINVAL;
	if (mr->pool) /* seen in fragments, the domain's */
		return -EBUSY;
	if (__atomic_load_n(&mr->busy, __ATOMIC_ACQUIRE))
		return -EBUSY;
	pthread_mutex_lock(&mr->ctx->lock);
	nmti_list_del(&mr->node);
	pthread_mutex_unlock(&mr->ctx->lock);
	nmti_mr_free(mr);
	return 0;
}

void *nmt_mr_addr(const struct nmt_mr *mr)
{
	return mr ? mr->cpu : NULL;
}

size_t nmt_mr_size(const struct nmt_mr *mr)
{
	return mr ? mr->size : 0;
}

enum nmt_mem_kind nmt_mr_kind(const struct nmt_mr *mr)
{
	return mr ? (enum nmt_mem_kind)mr->ops->kind : NMT_MEM_DEFAULT;
}

static bool outside(const struct nmt_mr *mr, uint64_t offset, size_t len)
{
	return offset > mr->size || len > mr->size - offset;
}

int nmti_mr_check(const struct nmt_stream *s, const struct nmt_mr *mr, uint64_t offset, size_t len,
		  uint32_t access)
{
	if (!mr || mr->ctx != s->ctx)
		return -EINVAL;
	if (outside(mr, offset, len))
		return -EFAULT;
	if (mr->no_cpu && s->ops && !(s->ops->caps & NMT_CAP_DMABUF))
		return -EOPNOTSUPP;
	return mr->access & access ? 0 : -EACCES;
}

int nmt_mr_read(const struct nmt_mr *mr, uint64_t offset, void *dst, size_t len)
{
	if (!mr || (!dst && len))
		return -EINVAL;
	if (outside(mr, offset, len))
		return -EFAULT;
	if (mr->ops->copy_out)
		return mr->ops->copy_out(mr, offset, dst, len);
	if (len)
		memcpy(dst, (const char *)mr->cpu + offset, len);
	return 0;
}

int nmt_mr_write(struct nmt_mr *mr, uint64_t offset, const void *src, size_t len)
{
	if (!mr || (!src && len))
		return -EINVAL;
	if (outside(mr, offset, len))
		return -EFAULT;
	if (mr->ops->copy_in)
		return mr->ops->copy_in(mr, offset, src, len);
	if (len)
		memcpy((char *)mr->cpu + offset, src, len);
	return 0;
}
