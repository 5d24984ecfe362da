/* SPDX-License-Identifier: BSD-2-Clause */
/* Regions of the configuration's memory kind, touched only through nmt_mr_read and nmt_mr_write. */
#include <stdlib.h>

#include "suite.h"

#define CHUNK 8192u

struct nmt_mr *env_mr(struct env *env, size_t size, uint32_t access)
{
	struct region *r = calloc(1, sizeof(*r));

	if (!r)
		failf(env, "no memory");
	r->next = env->regions;
	r->size = size;
	env->regions = r;
	assert_ok(env, nmt_mr_alloc(env->ctx, env->cfg->kind, size, access, &r->mr));
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
