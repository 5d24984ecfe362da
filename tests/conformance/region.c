/* SPDX-License-Identifier: BSD-2-Clause */
/* Regions of the configuration's memory kind, touched only through nmt_mr_read and nmt_mr_write. */
#include <stdlib.h>

#include <unistd.h>

#include <nmt/provider.h>

#include "suite.h"

#define CHUNK 8192u
#define IMPORT_AT 4097u /* not at a page, nor at the start of one */

/* A part of somebody's dma-buf, which lives on in the region alone. */
static int import(struct nmt_ctx *ctx, size_t size, uint32_t access, struct nmt_mr **mr)
{
	struct nmt_mr *whole;
	uint64_t offset;
	int ret = nmt_mr_alloc(ctx, NMT_MEM_UDMABUF, IMPORT_AT + size, NMT_ACCESS_ALL, &whole), fd;

	if (ret)
		return ret;
	fd = whole->ops->export_fd(whole, &offset);
	ret = nmt_mr_import(ctx, fd, offset + IMPORT_AT, size, access, mr);
	if (fd >= 0)
		close(fd);
	nmt_mr_close(whole);
	return ret;
}

int config_mr(struct nmt_ctx *ctx, const struct config *cfg, size_t size, uint32_t access,
	      struct nmt_mr **mr)
{
	if (cfg->kind == NMT_MEM_DMABUF)
		return import(ctx, size, access, mr);
	return nmt_mr_alloc(ctx, cfg->kind, size, access, mr);
}

uint32_t config_pool(const struct config *cfg)
{
	return cfg->kind == NMT_MEM_DMABUF ? NMT_MEM_HOST : cfg->kind;
}

struct nmt_mr *env_mr(struct env *env, size_t size, uint32_t access)
{
	struct region *r = calloc(1, sizeof(*r));

	if (!r)
		failf(env, "no memory");
	r->next = env->regions;
	r->size = size;
	env->regions = r;
	assert_ok(env, config_mr(env->ctx, env->cfg, size, access, &r->mr));
	return r->mr;
}

int env_mr_close(struct env *env, struct nmt_mr *mr)
{
	int ret = nmt_mr_close(mr);

	if (ret)
		return ret;
	for (struct region *r = env->regions; r; r = r->next)
		if (r->mr == mr)
			r->mr = NULL;
	return 0;
}

void mr_pattern(struct nmt_mr *mr, uint64_t offset, uint64_t seed, uint64_t pos, size_t len)
{
	unsigned char buf[CHUNK];

	for (size_t i = 0; i < len; i += CHUNK) {
		size_t n = len - i < CHUNK ? len - i : CHUNK;

		pattern_fill(seed, pos + i, buf, n);
		assert_int_equal(nmt_mr_write(mr, offset + i, buf, n), 0);
	}
}

ssize_t mr_check(const struct nmt_mr *mr, uint64_t offset, uint64_t seed, uint64_t pos, size_t len)
{
	unsigned char buf[CHUNK];

	for (size_t i = 0; i < len; i += CHUNK) {
		size_t n = len - i < CHUNK ? len - i : CHUNK;
		ssize_t bad;

		assert_int_equal(nmt_mr_read(mr, offset + i, buf, n), 0);
		bad = pattern_check(seed, pos + i, buf, n);
		if (bad >= 0)
			return (ssize_t)i + bad;
	}
	return -1;
}

void mr_fill(struct nmt_mr *mr, uint64_t offset, int byte, size_t len)
{
	unsigned char buf[CHUNK];

	memset(buf, byte, sizeof(buf));
	for (size_t i = 0; i < len; i += CHUNK) {
		size_t n = len - i < CHUNK ? len - i : CHUNK;

		assert_int_equal(nmt_mr_write(mr, offset + i, buf, n), 0);
	}
}

bool mr_is(const struct nmt_mr *mr, uint64_t offset, int byte, size_t len)
{
	unsigned char buf[CHUNK], want[CHUNK];

	memset(want, byte, sizeof(want));
	for (size_t i = 0; i < len; i += CHUNK) {
		size_t n = len - i < CHUNK ? len - i : CHUNK;

		assert_int_equal(nmt_mr_read(mr, offset + i, buf, n), 0);
		if (memcmp(buf, want, n))
			return false;
	}
	return true;
}
