/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Posting. Requests that MORE holds back wait in a chain and go to the adapter by one doorbell.
 * An endpoint never has more than DEPTH requests that are not known complete, and at least every
 * DEPTH/2th asks for a completion: so a full queue always has one under way.
 */
#include <arpa/inet.h>

#include "verbs.h"

/* Hand N requests of the chain over; what the adapter refuses breaks the endpoint. */
nmti_hot static void ring(struct nmti_rma_ep *ep, struct ibv_send_wr *first, uint32_t n)
{
	struct ibv_send_wr *bad = NULL;
	int rc = ibv_post_send(ep->qp, first, &bad);

	if (rc && bad)
		n = (uint32_t)(nmti_container(bad, struct verbs_tx, wr) - ep->chain);
	ep->rung += n;
	ep->chained = 0;
	ep->staged = 0;
	if (ep->doorbells)
		++*ep->doorbells;
	if (rc)
		nmti_verbs_fail(ep, -EIO, "posting a request: %s", strerror(rc));
}

void nmti_verbs_kick(struct nmti_rma_ep *ep)
{
	if (ep->chained && ep->state == VERBS_UP && !ep->failed)
		ring(ep, &ep->chain[0].wr, ep->chained);
}

/* 0: there is room for one more. */
static int room(struct nmti_rma_ep *ep)
{
	if (unlikely(ep->state != VERBS_UP || ep->failed))
		return -ENOTCONN;
	if (likely(ep->number - ep->done < ep->depth))
		return 0;
	nmti_verbs_kick(ep);
	return -EAGAIN;
}

/* Whether the bytes of an inline request can wait with it. */
static bool stage(struct nmti_rma_ep *ep, struct verbs_tx *tx)
{
	if (ep->staged + tx->sge.length > VERBS_STAGE)
		return false;
	memcpy(ep->stage + ep->staged, (const void *)(uintptr_t)tx->sge.addr, tx->sge.length);
	tx->sge.addr = (uintptr_t)(ep->stage + ep->staged);
	ep->staged += tx->sge.length;
	return true;
}

/* The request at the end of the chain is filled in, but for what all have in common. */
nmti_hot static uint64_t submit(struct nmti_rma_ep *ep, struct verbs_tx *tx, uint32_t flags)
{
	bool hold = flags & NMTI_RMA_MORE && ep->chained + 1 < VERBS_CHAIN;
	bool signal = flags & NMTI_RMA_SIGNAL || ++ep->quiet >= ep->depth / 2;

	if (signal)
		ep->quiet = 0;
	if (hold && tx->wr.send_flags & IBV_SEND_INLINE)
		hold = stage(ep, tx);
	tx->wr.send_flags |= signal ? IBV_SEND_SIGNALED : 0;
	tx->wr.wr_id = verbs_wr_id(ep, ++ep->number);
	tx->wr.sg_list = &tx->sge;
	tx->wr.num_sge = tx->sge.length ? 1 : 0;
	tx->wr.next = NULL;
	if (ep->chained)
		tx[-1].wr.next = &tx->wr;
	ep->chained++;
	if (!hold)
		ring(ep, &ep->chain[0].wr, ep->chained);
	return ep->number;
}

nmti_hot int nmti_verbs_write(struct nmti_rma_ep *ep, const struct nmti_rma_local *from,
			      uint64_t remote, uint64_t key, uint32_t imm, uint32_t flags,
			      uint64_t *number)
{
	struct verbs_tx *tx;
	int rc = room(ep);

	if (rc)
		return rc;
	tx = &ep->chain[ep->chained];
	tx->wr.opcode = IBV_WR_RDMA_WRITE_WITH_IMM;
	tx->wr.imm_data = htonl(imm);
	tx->wr.wr.rdma.remote_addr = remote;
	tx->wr.wr.rdma.rkey = (uint32_t)key;
	tx->sge.length = from->len;
	if (flags & NMTI_RMA_INLINE) {
		tx->wr.send_flags = IBV_SEND_INLINE;
		tx->sge.addr = (uintptr_t)from->addr;
	} else {
		tx->wr.send_flags = 0;
		tx->sge.addr = from->reg ? from->reg->base + from->offset : 0;
		tx->sge.lkey = from->reg ? ((struct verbs_reg *)from->reg->handle)->lkey : 0;
	}
	*number = submit(ep, tx, flags);
	return 0;
}

/*
 * A message that does not fit into a request goes from a registered slot, which is free again when
 * its request is complete: that one asks for its completion.
 */
static int msg_slot(struct nmti_rma_ep *ep, struct verbs_tx *tx, const void *msg, uint32_t len)
{
	uint32_t slot = ep->msg_out % VERBS_MSG_OUT;
	uint8_t *at = ep->msgs + (size_t)(ep->msg_in + slot) * ep->msg_max;

	if (ep->msg_number[slot] > ep->done) {
		nmti_verbs_kick(ep);
		return -EAGAIN;
	}
	memcpy(at, msg, len);
	ep->msg_number[slot] = ep->number + 1;
	ep->msg_out++;
	tx->wr.send_flags = 0;
	tx->sge.addr = (uintptr_t)at;
	tx->sge.lkey = ep->msg_mr->lkey;
	return 0;
}

int nmti_verbs_send(struct nmti_rma_ep *ep, const void *msg, uint32_t len, uint32_t flags,
		    uint64_t *number)
{
	struct verbs_tx *tx;
	int rc = room(ep);

	if (rc)
		return rc;
	if (len > ep->msg_max)
		return -EMSGSIZE;
	tx = &ep->chain[ep->chained];
	if (len > ep->inline_max) {
		rc = msg_slot(ep, tx, msg, len);
		if (rc)
			return rc;
		flags |= NMTI_RMA_SIGNAL;
	} else {
		tx->wr.send_flags = IBV_SEND_INLINE;
		tx->sge.addr = (uintptr_t)msg;
	}
	tx->wr.opcode = IBV_WR_SEND;
	tx->sge.length = len;
	*number = submit(ep, tx, flags);
	return 0;
}

int nmti_verbs_ask(struct nmti_rma_ep *ep, uint64_t *number)
{
	struct verbs_tx *tx;
	int rc = room(ep);

	if (rc)
		return rc;
	tx = &ep->chain[ep->chained];
	tx->wr.opcode = IBV_WR_RDMA_WRITE;
	tx->wr.send_flags = 0;
	tx->wr.wr.rdma.remote_addr = 0;
	tx->wr.wr.rdma.rkey = 0;
	tx->sge.length = 0;
	*number = submit(ep, tx, NMTI_RMA_SIGNAL);
	return 0;
}

void nmti_verbs_mark(struct nmti_rma_ep *ep)
{
	struct ibv_send_wr wr = { .wr_id = verbs_wr_id(ep, ep->rung + 1),
				  .opcode = IBV_WR_RDMA_WRITE, .send_flags = IBV_SEND_SIGNALED };
	struct ibv_send_wr *bad;

	if (ibv_post_send(ep->qp, &wr, &bad))
		nmti_verbs_qp_free(ep);
	else
		ep->marked = true;
}
