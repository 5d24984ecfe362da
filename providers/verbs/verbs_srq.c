/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Receive queues that endpoints share, once a device has many of them. Each endpoint reserves its
 * slots in a block, which is never overcommitted; when one is full, a further one is made. So a
 * peer that keeps to its credits always finds a receive, however long nobody polls. One that does not
 * takes those of others in its block; the completion queue of the block has an entry for each.
 *
 * A block keeps POSTED receives at the adapter, and posts while these are fewer than RESERVED. An
 * endpoint that goes leaves a surplus, which the next one takes first. A receive says by its wr_id
 * which slot of which block it is; whose completion it is tells the number of the queue pair.
 *
 * A queue pair in the error state flushes no receives here. Its receive side is at its end when the adapter
 * says that it took its last receive, or a while after the last request came back; then the
 * completion queue is polled empty once. Only then is the reservation given back: completions that
 * nobody polled are receives that are missing. A destroyed endpoint lives on as an orphan until then.
 */
#include <stdlib.h>

#include "verbs.h"

#define SETTLE INT64_C(200000000) /* for adapters that do not tell of the last receive */
#define FIRST 4096u               /* slots of the first block; each further one has twice as many */
#define MOST 65536u

/* ---- blocks ---- */

static void block_free(struct verbs_srq *b)
{
	if (b->srq)
		ibv_destroy_srq(b->srq);
	if (b->cq)
		b->cq->shared -= b->size;
	if (b->mr)
		ibv_dereg_mr(b->mr);
	free(b->msgs);
	free(b->idle);
	memset(b, 0, sizeof(*b));
}

void nmti_verbs_srqs_free(struct nmti_rma_dev *dev)
{
	while (dev->nsrqs)
		block_free(&dev->srqs[--dev->nsrqs]);
}

/* Entries for all receives of a block of SIZE, and for the requests of endpoints like EP in it. */
static uint32_t cq_entries(const struct nmti_rma_ep *ep, uint32_t size)
{
	return size + size / ep->slots * (ep->depth + 1);
}

/* 0, or an errno. */
static int block_make(struct verbs_srq *b, const struct nmti_rma_ep *ep, uint32_t size)
{
	struct ibv_srq_init_attr attr = { .attr = { .max_wr = size, .max_sge = 1 } };
	struct nmti_rma_dev *dev = ep->dev;

	b->idle = malloc(size * sizeof(*b->idle));
	b->msgs = malloc((size_t)size * VERBS_MSG_MAX);
	if (!b->idle || !b->msgs)
		return ENOMEM;
	b->mr = ibv_reg_mr(dev->ibpd, b->msgs, (size_t)size * VERBS_MSG_MAX,
			   IBV_ACCESS_LOCAL_WRITE);
	if (!b->mr)
		return errno;
	b->srq = ibv_create_srq(dev->ibpd, &attr);
	if (!b->srq)
		return errno;
	b->cq = nmti_verbs_cq_find(dev, cq_entries(ep, size));
	if (!b->cq)
		return ENOMEM;
	b->cq->shared += size;
	b->size = size;
	for (uint32_t i = 0; i < size; i++)
		b->idle[i] = size - 1 - i;
	return 0;
}

/* As large as its turn and the adapter say, or smaller when that does not fit. */
static struct verbs_srq *block_new(struct nmti_rma_dev *dev, const struct nmti_rma_ep *ep)
{
	uint32_t size = dev->nsrqs < 4 ? FIRST << dev->nsrqs : MOST;
	uint32_t eps = (uint32_t)dev->port.attr.max_cqe / (ep->slots + ep->depth + 1);
	struct verbs_srq *b = &dev->srqs[dev->nsrqs];
	int err = ENOMEM;

	if (dev->nsrqs == VERBS_SRQS)
		return NULL;
	size = size < ep->slots ? ep->slots : size;
	size = min32(size, (uint32_t)dev->port.attr.max_srq_wr);
	size = min32(size, eps * ep->slots);
	for (; size >= ep->slots; size /= 2) {
		err = block_make(b, ep, size);
		if (!err) {
			dev->nsrqs++;
			return b;
		}
		block_free(b);
	}
	nmti_log(dev->pd->ctx, NMT_LOG_WARN, "verbs: %s: shared receive queue of %u: %s (ulimit -l, "
		 "NMT_VERBS_SRQ); using one an endpoint", dev->port.name, ep->slots, strerror(err));
	return NULL;
}

/* ---- reservation ---- */

static bool fits(const struct verbs_srq *b, const struct nmti_rma_ep *ep)
{
	return b->size - b->reserved >= ep->slots && nmti_verbs_cq_room(b->cq, ep->depth + 1);
}

void nmti_verbs_srq_take(struct nmti_rma_ep *ep)
{
	struct nmti_rma_dev *dev = ep->dev;
	uint32_t i = 0;

	if (dev->opt.srq < 0 || dev->neps <= (uint32_t)dev->opt.srq ||
	    dev->port.attr.max_srq <= 0 ||
	    ep->slots > (uint32_t)dev->port.attr.max_srq_wr)
		return;
	while (i < dev->nsrqs && !fits(&dev->srqs[i], ep))
		i++;
	ep->srq = i < dev->nsrqs ? &dev->srqs[i] : block_new(dev, ep);
	if (!ep->srq)
		return;
	ep->srq->reserved += ep->slots;
	nmti_verbs_cq_take(ep, ep->srq->cq, ep->depth + 1);
}

/* What may be lost with a queue pair stays reserved: so many receives more are posted, at least. */
void nmti_verbs_srq_give(struct nmti_rma_ep *ep)
{
	if (ep->srq && !ep->lost)
		ep->srq->reserved -= ep->slots;
	ep->srq = NULL;
}

/* ---- queue pairs by number ---- */

static struct nmti_rma_ep **bucket(struct nmti_rma_dev *dev, uint32_t qp_num)
{
	return &dev->by_qp[qp_num % VERBS_QPS];
}

void nmti_verbs_srq_add(struct nmti_rma_ep *ep)
{
	struct nmti_rma_ep **head = bucket(ep->dev, ep->qp->qp_num);

	ep->last = false;
	ep->recv_end = VERBS_OPEN;
	ep->next_qp = *head;
	*head = ep;
}

void nmti_verbs_srq_remove(struct nmti_rma_ep *ep)
{
	struct nmti_rma_ep **at = bucket(ep->dev, ep->qp->qp_num);

	nmti_list_del(&ep->quitting);
	ep->lost |= ep->state >= VERBS_UP && ep->recv_end != VERBS_CLEAN;
	while (*at != ep)
		at = &(*at)->next_qp;
	*at = ep->next_qp;
}

/* Adapters give numbers by turns, so none is given again while completions of it can be about. */
struct nmti_rma_ep *nmti_verbs_srq_ep(const struct nmti_rma_dev *dev, uint32_t qp_num)
{
	struct nmti_rma_ep *ep = dev->by_qp[qp_num % VERBS_QPS];

	while (ep && ep->qp->qp_num != qp_num)
		ep = ep->next_qp;
	return ep;
}

/* ---- receives ---- */

static void chain(const struct nmti_rma_dev *dev, const struct verbs_srq *b, uint32_t n,
		  struct ibv_recv_wr *wr, struct ibv_sge *sge)
{
	uint64_t id = VERBS_RECV | VERBS_SHARED | (uint64_t)(b - dev->srqs) << 28;

	for (uint32_t i = 0; i < n; i++) {
		uint32_t slot = b->idle[b->size - b->posted - 1 - i];

		sge[i].addr = (uintptr_t)(b->msgs + (size_t)slot * VERBS_MSG_MAX);
		sge[i].length = VERBS_MSG_MAX;
		sge[i].lkey = b->mr->lkey;
		wr[i] = (struct ibv_recv_wr){ .wr_id = id | slot, .sg_list = &sge[i], .num_sge = 1,
					      .next = i + 1 < n ? &wr[i + 1] : NULL };
	}
}

/* Post what is missing; so many at a time as a poll gives back at most. */
int nmti_verbs_srq_fill(struct nmti_rma_dev *dev, struct verbs_srq *b)
{
	struct ibv_recv_wr wr[VERBS_BATCH], *bad;
	struct ibv_sge sge[VERBS_BATCH];

	while (b->posted < b->reserved) {
		uint32_t n = b->reserved - b->posted;
		int rc;

		n = n < VERBS_BATCH ? n : VERBS_BATCH;
		chain(dev, b, n, wr, sge);
		bad = NULL;
		rc = ibv_post_srq_recv(b->srq, wr, &bad);
		b->posted += !rc ? n : bad ? (uint32_t)(bad - wr) : 0;
		if (rc)
			return -rc;
	}
	return 0;
}

static void fail_all(struct nmti_rma_dev *dev, const struct verbs_srq *b, int rc)
{
	for (struct nmti_list *i = dev->eps.next; i != &dev->eps; i = i->next) {
		struct nmti_rma_ep *ep = nmti_container(i, struct nmti_rma_ep, all);

		if (ep->srq == b)
			nmti_verbs_fail(ep, -EIO, "posting a receive: %s", strerror(-rc));
	}
}

void nmti_verbs_srq_repost(struct nmti_rma_dev *dev)
{
	for (uint32_t i = 0; dev->srq_used && i < dev->nsrqs; i++) {
		int rc = nmti_verbs_srq_fill(dev, &dev->srqs[i]);

		if (rc)
			fail_all(dev, &dev->srqs[i], rc);
	}
	dev->srq_used = false;
}

/* The slot of a completion is idle again; its bytes stand until the end of this poll. */
const uint8_t *nmti_verbs_srq_slot(struct nmti_rma_dev *dev, uint64_t wr_id)
{
	struct verbs_srq *b = &dev->srqs[wr_id >> 28 & (VERBS_EPS - 1)];
	uint32_t slot = wr_id & VERBS_LOW;

	b->idle[b->size - b->posted] = slot;
	b->posted--;
	dev->srq_used = true;
	return b->msgs + (size_t)slot * VERBS_MSG_MAX;
}

/* ---- end ---- */

static void look_once(struct nmti_rma_ep *ep)
{
	if (nmti_list_empty(&ep->quitting))
		nmti_list_add_tail(&ep->quitting, &ep->dev->quitting);
}

/* The adapter adds nothing more for it. */
static void no_more(struct nmti_rma_ep *ep)
{
	nmti_timer_cancel(ep->dev->pd->dom, &ep->timer);
	ep->recv_end = VERBS_LAST;
	look_once(ep);
}

static void settled(struct nmti_timer *t)
{
	no_more(nmti_container(t, struct nmti_rma_ep, timer));
}

bool nmti_verbs_srq_clean(struct nmti_rma_ep *ep)
{
	if (ep->recv_end == VERBS_OPEN) {
		ep->recv_end = VERBS_SETTLING;
		ep->timer.fire = settled;
		if (ep->last ||
		    nmti_timer_set(ep->dev->pd->dom, &ep->timer, nmti_now() + SETTLE))
			no_more(ep);
	}
	return ep->recv_end == VERBS_CLEAN;
}

bool nmti_verbs_srq_empty(struct nmti_rma_ep *ep)
{
	if (!ep->srq || !ep->qp || ep->qp->state < IBV_QPS_RTR)
		return false;
	if (!nmti_verbs_qp_error(ep)) {
		ep->lost = true;
		return false;
	}
	nmti_verbs_srq_clean(ep);
	return true;
}

/* Where the queue pair broke by itself, a completion that is about tells better why. */
void nmti_verbs_srq_last(struct nmti_rma_ep *ep)
{
	ep->last = true;
	if (ep->recv_end == VERBS_SETTLING)
		no_more(ep);
	else if (ep->state < VERBS_FENCED)
		look_once(ep);
}

static void looked(struct nmti_rma_ep *ep)
{
	if (ep->state == VERBS_EMPTYING) {
		nmti_verbs_expect_again(ep);
		return;
	}
	if (ep->state < VERBS_FENCED) {
		nmti_verbs_fail(ep, -ECONNRESET, "the queue pair is in the error state");
		return;
	}
	ep->recv_end = VERBS_CLEAN;
	nmti_verbs_drained(ep);
}

void nmti_verbs_srq_emptied(struct nmti_rma_dev *dev, const struct verbs_cq *cq)
{
	struct nmti_list *node = dev->quitting.next, *next;

	for (; node != &dev->quitting; node = next) {
		struct nmti_rma_ep *ep = nmti_container(node, struct nmti_rma_ep, quitting);

		next = node->next;
		if (ep->cq != cq)
			continue;
		nmti_list_del(&ep->quitting);
		looked(ep);
	}
}

bool nmti_verbs_srq_orphan(struct nmti_rma_ep *ep)
{
	if (!ep->srq || !ep->qp || ep->recv_end == VERBS_CLEAN || verbs_is_gone(ep->dev))
		return false;
	ep->orphan = true;
	ep->doorbells = NULL;
	ep->events = 0;
	nmti_list_del(&ep->event);
	nmti_verbs_cm_end(ep); /* at once: the path is not lost */
	nmti_verbs_fence(ep);
	return ep->state != VERBS_DRAINED;
}
