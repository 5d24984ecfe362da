/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Receive memory of a domain: cells of one size, allocated in slabs when first needed.
 *
 * Each stream has a reserve that nobody else can take, and a share that it cannot exceed. Cells
 * beyond the reserves come out of one shared budget. Memory follows demand: a reserve costs
 * address space only once it is used. A provider whose peers write into memory takes slabs of its
 * streams' own; their cells count as others do.
 */
#include <stdlib.h>

#include "internal.h"
#include "mem/mem.h"

#define POOL_DEFAULT (UINT64_C(256) << 20)
#define CELL_DEFAULT (128u << 10)
#define CELL_MIN (4u << 10)
#define CELL_MAX (16u << 20)
#define SLAB_BYTES (UINT64_C(2) << 20)
#define STAGING_BYTES (256u << 10)
#define RETRY_NS INT64_C(100000000)

struct nmti_slab {
	struct nmti_slab *next; /* of the domain's own */
	struct nmt_mr *mr;
	struct nmti_cell *free; /* of a stream's own slab: the one free for the longest time */
	struct nmti_cell *newest;
	uint32_t count;
	struct nmti_cell cell[];
};

static void unstall(struct nmt_stream *s);

/* The system had no memory: whoever stalled for it may try again. */
static void pool_retry(struct nmti_timer *t)
{
	struct nmt_domain *dom = nmti_container(t, struct nmt_domain, pool.retry);
	struct nmti_list *node;

	for (node = dom->streams.next; node != &dom->streams; node = node->next)
		unstall(nmti_container(node, struct nmt_stream, all));
}

int nmti_pool_init(struct nmt_domain *dom, const struct nmt_domain_attr *attr)
{
	struct nmti_pool *pool = &dom->pool;

	pool->cell_size = attr->cell_size ? attr->cell_size : CELL_DEFAULT;
	if (pool->cell_size < CELL_MIN || pool->cell_size > CELL_MAX ||
	    pool->cell_size & (pool->cell_size - 1))
		return -EINVAL;
	pool->shared_max = (attr->pool_size ? attr->pool_size : POOL_DEFAULT) / pool->cell_size;
	pool->kind = attr->pool_kind ? (enum nmt_mem_kind)attr->pool_kind : NMT_MEM_HOST;
	pool->retry.fire = pool_retry;
	return nmti_mem_check(dom->ctx, pool->kind);
}

void nmti_pool_fini(struct nmt_domain *dom)
{
	struct nmti_slab *slab;

	while ((slab = dom->pool.slabs)) {
		dom->pool.slabs = slab->next;
		nmti_mr_free(slab->mr);
		free(slab);
	}
	free(dom->staging);
}

/* Put the cells of a slab on a list. */
static void slab_cut(struct nmti_pool *pool, struct nmti_slab *slab, struct nmti_cell **list)
{
	for (uint32_t i = slab->count; i--;) {
		struct nmti_cell *cell = &slab->cell[i];

		cell->mr = slab->mr;
		cell->offset = (uint64_t)i * pool->cell_size;
		cell->next = *list;
		*list = cell;
	}
}

static struct nmti_slab *slab_alloc(struct nmt_domain *dom, uint32_t count)
{
	struct nmti_pool *pool = &dom->pool;
	struct nmti_slab *slab = calloc(1, sizeof(*slab) + count * sizeof(slab->cell[0]));
	int rc;

	if (!slab)
		return NULL;
	rc = nmti_mr_new(dom->ctx, nmti_mem_kind(dom->ctx, pool->kind),
			 (size_t)count * pool->cell_size, NMT_ACCESS_ALL, &slab->mr);
	if (rc) {
		nmti_err(dom->ctx, "domain %s: no memory for the receive pool: %s", dom->spec,
			 nmt_strerror(rc));
		free(slab);
		nmti_timer_set(dom, &pool->retry, nmti_now() + RETRY_NS);
		return NULL;
	}
	slab->count = count;
	pool->cells += count;
	return slab;
}

static int pool_grow(struct nmt_domain *dom)
{
	struct nmti_pool *pool = &dom->pool;
	uint32_t count = (uint32_t)(SLAB_BYTES / pool->cell_size);
	struct nmti_slab *slab = slab_alloc(dom, count ? count : 1);

	if (!slab)
		return -ENOMEM;
	slab->next = pool->slabs;
	pool->slabs = slab;
	slab_cut(pool, slab, &pool->free);
	return 0;
}

void nmti_pool_join(struct nmt_stream *s)
{
	s->dom->pool.reserved += s->tune.pool_reserve;
}

void nmti_pool_leave(struct nmt_stream *s)
{
	s->dom->pool.reserved -= s->tune.pool_reserve;
}

uint32_t nmti_cell_size(const struct nmt_domain *dom)
{
	return dom->pool.cell_size;
}

bool nmti_cell_may(const struct nmt_stream *s)
{
	const struct nmti_pool *pool = &s->dom->pool;

	if (s->held < s->tune.pool_reserve)
		return true;
	return s->held < s->tune.pool_share && pool->shared < pool->shared_max;
}

static struct nmti_cell *cell_take(struct nmt_stream *s, struct nmti_cell *cell)
{
	struct nmti_pool *pool = &s->dom->pool;

	cell->refs = 1;
	cell->owner = s;
	if (s->held++ >= s->tune.pool_reserve)
		pool->shared++;
	pool->held++;
	return cell;
}

/*
 * To the shared cells, of which the warmest goes next; or to the stream's own, which go in turn: so
 * they stay in the order of their addresses, and many in a row are one grant.
 */
static void cell_free(struct nmti_pool *pool, struct nmti_cell *cell)
{
	struct nmti_slab *slab = cell->slab;

	cell->owner = NULL;
	if (!slab) {
		cell->next = pool->free;
		pool->free = cell;
		return;
	}
	cell->next = NULL;
	*(slab->free ? &slab->newest->next : &slab->free) = cell;
	slab->newest = cell;
}

static void cell_drop(struct nmt_stream *s, struct nmti_cell *cell)
{
	struct nmti_pool *pool = &s->dom->pool;

	if (--s->held >= s->tune.pool_reserve)
		pool->shared--;
	pool->held--;
	cell_free(pool, cell);
}

struct nmti_cell *nmti_cell_get(struct nmt_stream *s)
{
	struct nmti_pool *pool = &s->dom->pool;
	struct nmti_cell *cell;

	if (!nmti_cell_may(s) || (!pool->free && pool_grow(s->dom))) {
		s->stalled = true;
		s->stat.stall_memory++;
		return NULL;
	}
	cell = pool->free;
	pool->free = cell->next;
	return cell_take(s, cell);
}

/* The stream may receive again; one that waits only for shared memory holds its own reserve, so
 * that its next release comes from itself. */
static void unstall(struct nmt_stream *s)
{
	if (!s->stalled || !nmti_cell_may(s))
		return;
	s->stalled = false;
	s->rx_told = false;
	if (s->posted || (s->ops && !s->ops->data_socket))
		nmti_work(s);
	nmti_tell(s);
}

void nmti_cell_put(struct nmti_cell *cell)
{
	struct nmt_stream *s = cell->owner;

	if (--cell->refs)
		return;
	cell_drop(s, cell);
	unstall(s);
}

/* ---- slabs of one stream ---- */

struct nmti_slab *nmti_slab_new(struct nmt_stream *s, uint32_t count)
{
	struct nmti_slab *slab = slab_alloc(s->dom, count);

	if (!slab)
		return NULL;
	slab_cut(&s->dom->pool, slab, &slab->free);
	slab->newest = &slab->cell[count - 1];
	for (uint32_t i = 0; i < count; i++)
		slab->cell[i].slab = slab;
	return slab;
}

void nmti_slab_free(struct nmt_stream *s, struct nmti_slab *slab)
{
	for (uint32_t i = 0; i < slab->count; i++)
		if (slab->cell[i].owner)
			cell_drop(s, &slab->cell[i]);
	if (__atomic_load_n(&slab->mr->busy, __ATOMIC_ACQUIRE)) {
		/* Lent bytes are being sent on another stream: keep it as long as the domain. */
		slab->next = s->dom->pool.slabs;
		s->dom->pool.slabs = slab;
		return;
	}
	s->dom->pool.cells -= slab->count;
	nmti_mr_free(slab->mr);
	free(slab);
}

struct nmti_cell *nmti_slab_get(struct nmt_stream *s, struct nmti_slab *slab)
{
	struct nmti_cell *cell = slab->free;

	if (!cell || !nmti_cell_may(s))
		return NULL;
	slab->free = cell->next;
	return cell_take(s, cell);
}

struct nmt_mr *nmti_slab_mr(const struct nmti_slab *slab)
{
	return slab->mr;
}

bool nmti_slab_has(const struct nmti_slab *slab)
{
	return slab->free;
}

void *nmti_staging(struct nmt_domain *dom, size_t *len)
{
	if (!dom->staging)
		dom->staging = malloc(STAGING_BYTES);
	*len = STAGING_BYTES;
	return dom->staging;
}

int nmti_mr_move(struct nmt_domain *dom, struct nmt_mr *dst, uint64_t dst_off,
		 const struct nmt_mr *src, uint64_t src_off, size_t len)
{
	size_t room;
	char *bounce;
	int rc = 0;

	if (src->cpu)
		return nmt_mr_write(dst, dst_off, nmti_mr_cpu(src, src_off), len);
	if (dst->cpu)
		return nmt_mr_read(src, src_off, nmti_mr_cpu(dst, dst_off), len);
	bounce = nmti_staging(dom, &room);
	if (!bounce)
		return -ENOMEM;
	for (size_t done = 0, n; done < len && !rc; done += n) {
		n = len - done < room ? len - done : room;
		rc = nmt_mr_read(src, src_off + done, bounce, n);
		if (!rc)
			rc = nmt_mr_write(dst, dst_off + done, bounce, n);
	}
	return rc;
}
