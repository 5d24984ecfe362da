/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Memory that the devices know. Regions of the application are registered when they are first used
 * and stay so until they are closed: what happens on any thread is a note, and the domain's thread
 * gives the registration back when it looks next.
 */
#include <stdlib.h>

#include "mem/mem.h"
#include "rma/rma_int.h"

static struct rma_reg **bucket_of(struct rma_dom *rd, const struct nmt_mr *mr)
{
	return &rd->bucket[((uintptr_t)mr >> 6) % RMA_BUCKETS];
}

static struct nmt_mr *region_of(const struct rma_reg *reg)
{
	return __atomic_load_n(&reg->mr, __ATOMIC_ACQUIRE);
}

/* The region closes, on some thread. */
static void gone(struct nmti_map *map)
{
	struct rma_reg *reg = nmti_container(map, struct rma_reg, map);

	__atomic_store_n(&reg->mr, NULL, __ATOMIC_RELEASE);
	__atomic_store_n(&reg->rd->stale, true, __ATOMIC_RELEASE);
}

static struct rma_reg *find(struct rma_dom *rd, struct nmt_mr *mr, const void *of)
{
	struct rma_reg *reg = *bucket_of(rd, mr);

	while (reg && (region_of(reg) != mr || reg->of != of))
		reg = reg->next;
	return reg;
}

static struct rma_reg *reg_new(struct rma_dom *rd, struct nmt_mr *mr, const void *of)
{
	struct rma_reg **bucket = bucket_of(rd, mr), *reg = calloc(1, sizeof(*reg));

	if (!reg)
		return NULL;
	reg->rd = rd;
	reg->mr = mr;
	reg->of = of;
	reg->map.gone = gone;
	reg->next = *bucket;
	*bucket = reg;
	nmti_mr_map(mr, &reg->map);
	return reg;
}

/* ---- memory and devices ------------------------------------------------------------------- */

void nmti_rma_mem_dereg(struct rma_dom *rd, struct rma_mem *mem)
{
	for (uint32_t i = 0; i < rd->ndevs; i++)
		if (mem->have >> i & 1)
			rd->ops->dereg(rd->dev[i].dev, &mem->at[i]);
	mem->have = 0;
}

int nmti_rma_mem_reg(struct rma_dom *rd, struct nmt_mr *mr, bool remote, struct rma_mem *mem,
		     const char **why)
{
	int rc = -ENODEV, one;

	memset(mem, 0, sizeof(*mem));
	for (uint32_t i = 0; i < rd->ndevs; i++) {
		one = rd->ops->reg(rd->dev[i].dev, mr, 0, mr->size, remote, &mem->at[i], why);
		if (one == -ENODEV)
			continue;
		rc = one;
		if (rc)
			break;
		mem->have |= (uint8_t)(1u << i);
	}
	if (rc)
		nmti_rma_mem_dereg(rd, mem);
	return rc;
}

/* ---- regions ------------------------------------------------------------------------------ */

/* Tell the devices, once; what they cannot do now they are not asked again. */
static void try_devices(struct rma_dom *rd, struct rma_reg *reg, struct nmt_mr *mr, bool remote)
{
	const char *why = NULL;
	int rc = nmti_rma_mem_reg(rd, mr, remote, &reg->mem[remote], &why);

	reg->tried |= (uint8_t)(1u << remote);
	if (!rc)
		reg->have |= (uint8_t)(1u << remote);
	else
		nmti_info(rd->pd->ctx, "%s: memory of kind %s is staged: %s", rd->pd->ops->name,
			  mr->ops->name, why ? why : nmt_strerror(rc));
}

void nmti_rma_reg_close(struct rma_reg *reg)
{
	nmti_rma_mem_dereg(reg->rd, &reg->mem[1]);
	reg->closed = reg->have & 2u;
	reg->have &= (uint8_t)~2u;
}

/* Of a region that was closed meanwhile nothing is opened, and nothing is posted. */
int nmti_rma_reg_reopen(struct rma_reg *reg)
{
	struct nmt_mr *mr = region_of(reg);
	const char *why = NULL;
	int rc;

	if (!reg->closed || !mr)
		return 0;
	rc = nmti_rma_mem_reg(reg->rd, mr, true, &reg->mem[1], &why);
	reg->have |= rc ? 0 : 2u;
	reg->closed = rc;
	return rc;
}

struct rma_reg *nmti_rma_reg_get(struct rma_dom *rd, struct nmt_mr *mr, bool remote,
				 const void *of)
{
	struct rma_reg *reg;

	if (__atomic_load_n(&rd->stale, __ATOMIC_ACQUIRE))
		nmti_rma_regs_sweep(rd);
	reg = find(rd, mr, of);
	if (!reg)
		reg = reg_new(rd, mr, of);
	if (!reg)
		return NULL;
	if (!(reg->tried & 1u << remote))
		try_devices(rd, reg, mr, remote);
	else if (remote)
		nmti_rma_reg_reopen(reg);
	return reg->have & 1u << remote ? reg : NULL;
}

static void dereg(struct rma_dom *rd, struct rma_reg *reg)
{
	for (int i = 0; i < 2; i++)
		nmti_rma_mem_dereg(rd, &reg->mem[i]);
	reg->have = 0;
}

void nmti_rma_reg_put(struct rma_reg *reg)
{
	if (!--reg->refs && reg->of)
		dereg(reg->rd, reg);
	if (!reg->refs && (reg->of || !region_of(reg)))
		__atomic_store_n(&reg->rd->stale, true, __ATOMIC_RELEASE); /* the sweep frees it */
}

void nmti_rma_regs_sweep(struct rma_dom *rd)
{
	__atomic_store_n(&rd->stale, false, __ATOMIC_RELEASE);
	for (uint32_t i = 0; i < RMA_BUCKETS; i++) {
		struct rma_reg **at = &rd->bucket[i], *reg;

		while ((reg = *at)) {
			if (region_of(reg) && (!reg->of || reg->refs)) {
				at = &reg->next;
				continue;
			}
			dereg(rd, reg);
			if (reg->refs) { /* a stream still has its id; look again later */
				at = &reg->next;
				continue;
			}
			*at = reg->next;
			nmti_mr_unmap(rd->pd->ctx, &reg->map);
			free(reg);
		}
	}
}

void nmti_rma_regs_fini(struct rma_dom *rd)
{
	for (uint32_t i = 0; i < RMA_BUCKETS; i++) {
		struct rma_reg *reg;

		while ((reg = rd->bucket[i])) {
			rd->bucket[i] = reg->next;
			nmti_mr_unmap(rd->pd->ctx, &reg->map);
			dereg(rd, reg);
			free(reg);
		}
	}
}

int nmti_rma_bounce_new(struct rma_dom *rd, size_t len, bool remote, struct rma_bounce *b)
{
	struct nmt_ctx *ctx = rd->pd->ctx;
	const char *why = NULL;
	struct nmt_mr *mr;
	int rc;

	rc = nmti_mr_new(ctx, nmti_mem_kind(ctx, NMT_MEM_HOST), len, NMT_ACCESS_ALL, &mr);
	if (rc)
		return rc;
	rc = nmti_rma_mem_reg(rd, mr, remote, &b->mem, &why);
	if (rc) {
		nmti_err(ctx, "%s: registering %zu bytes of host memory: %s", rd->pd->ops->name,
			 len, why ? why : nmt_strerror(rc));
		nmti_mr_free(mr);
		return rc;
	}
	b->mr = mr;
	return 0;
}

void nmti_rma_bounce_free(struct rma_dom *rd, struct rma_bounce *b)
{
	if (!b->mr)
		return;
	nmti_rma_mem_dereg(rd, &b->mem);
	nmti_mr_free(b->mr);
	b->mr = NULL;
}
