/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The ring that copied bytes wait in until the peer has them. It begins small, since most streams
 * send little. One that is full while the peer takes more gets a larger one; what lies in the old
 * memory is sent from there, and the memory goes when it is free.
 *
 * A position counts all bytes that were ever put; which memory it lies in, and where, follows.
 */
#include "rma/rma_int.h"

#define RING_MOST (2u << 20)
#define RING_STEP 4u
#define RINGS_MOST (64u << 20) /* of a domain, beyond the first ones */

int nmti_rma_ring_new(struct rma_stream *rs)
{
	int rc = nmti_rma_bounce_new(rs->rd, RMA_RING_FIRST, false, &rs->tx->ring.mem);

	if (rc)
		return rc;
	rs->tx->ring.size = RMA_RING_FIRST;
	rs->s->memory += RMA_RING_FIRST;
	return 0;
}

static void old_free(struct rma_stream *rs)
{
	struct rma_ring *ring = &rs->tx->ring;

	rs->s->memory -= (uint32_t)ring->old.mr->size;
	nmti_rma_bounce_free(rs->rd, &ring->old);
}

void nmti_rma_ring_free(struct rma_stream *rs)
{
	struct rma_ring *ring = &rs->tx->ring;

	if (ring->old.mr)
		old_free(rs);
	if (ring->size > RMA_RING_FIRST)
		rs->rd->rings -= ring->size;
	nmti_rma_bounce_free(rs->rd, &ring->mem);
}

bool nmti_rma_ring_grow(struct rma_stream *rs)
{
	struct rma_ring *ring = &rs->tx->ring;
	uint32_t size = ring->size, more = size * RING_STEP;
	struct rma_bounce mem = { .mr = NULL };

	/* A run that is held back names the registration. */
	if (rs->nheld || ring->old.mr || more > RING_MOST || rs->rd->rings + more > RINGS_MOST)
		return false;
	if (nmti_rma_bounce_new(rs->rd, more, false, &mem))
		return false;
	rs->rd->rings += more - (size > RMA_RING_FIRST ? size : 0);
	rs->s->memory += more;
	ring->old = ring->mem;
	ring->mem = mem;
	ring->size = more;
	ring->from = ring->tail;
	return true;
}

nmti_hot void nmti_rma_ring_drop(struct rma_stream *rs, uint64_t to)
{
	struct rma_ring *ring = &rs->tx->ring;

	ring->head = to;
	if (ring->old.mr && to >= ring->from)
		old_free(rs);
}
