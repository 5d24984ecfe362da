/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Posting. Requests that MORE holds back, and those that the provider does not take now (-FI_EAGAIN),
 * wait in the endpoint's ring; the latter are tried again by each poll. An endpoint never has more
 * than DEPTH requests that are not known complete, and at least every DEPTH/2th tells its completion,
 * so a full ring always has one under way.
 *
 * A completion that is told says that the peer's memory has the bytes (FI_DELIVERY_COMPLETE; dev->level).
 * Where requests of an endpoint are ordered, those before it are there as well, and need not say so.
 */
#include <stdlib.h>

#include "ofi.h"

/* ---- hand over ---- */

static ssize_t post_write(struct nmti_rma_ep *ep, const struct ofi_req *r, uint64_t flags)
{
	struct iovec iov = { (void *)(uintptr_t)(r->copy ? r->copy : r->addr), r->len };
	struct fi_rma_iov to = { r->remote, r->len, r->key };
	void *desc = r->desc;
	struct fi_msg_rma msg = {
		.msg_iov = &iov, .desc = &desc, .iov_count = 1, .addr = ep->to,
		.rma_iov = &to, .rma_iov_count = 1, .context = (void *)(uintptr_t)&r->ctx.fi,
		.data = r->data,
	};

	flags |= r->op == OFI_WRITE && !ep->dev->notes ? FI_REMOTE_CQ_DATA : 0;
	return fi_writemsg(ep->fid, &msg, flags);
}

static ssize_t post_send(struct nmti_rma_ep *ep, const struct ofi_req *r, uint64_t flags)
{
	struct iovec iov = { (void *)(uintptr_t)(r->copy ? r->copy : r->addr), r->len };
	void *desc = r->desc;
	struct fi_msg msg = {
		.msg_iov = &iov, .desc = &desc, .iov_count = 1, .addr = ep->to,
		.context = (void *)(uintptr_t)&r->ctx.fi,
	};

	return fi_sendmsg(ep->fid, &msg, flags);
}

ssize_t nmti_ofi_post(struct nmti_rma_ep *ep, struct ofi_req *r, bool more)
{
	uint64_t flags = more ? FI_MORE : 0;

	if (r->signal || ep->dev->tracked)
		flags |= FI_COMPLETION | ep->dev->level;
	if (r->inject)
		flags |= FI_INJECT;
	return r->op == OFI_SEND ? post_send(ep, r, flags) : post_write(ep, r, flags);
}

static void wait_on(struct nmti_rma_ep *ep)
{
	if (!nmti_list_empty(&ep->waiting))
		return;
	nmti_list_add_tail(&ep->waiting, &ep->dev->waiting);
	if (ep->peer)
		ep->peer->nwaiting++;
}

static void wait_off(struct nmti_rma_ep *ep)
{
	if (nmti_list_empty(&ep->waiting))
		return;
	nmti_list_del(&ep->waiting);
	if (ep->peer)
		ep->peer->nwaiting--;
}

/* All that waits, in order, as far as the provider takes it. */
static void flush(struct nmti_rma_ep *ep)
{
	ssize_t rc = ep->notes ? nmti_ofi_notes_post(ep) : 0;

	if (ep->posted != ep->number && ep->doorbells)
		++*ep->doorbells;
	while (!rc && ep->posted != ep->number && (!ep->failed || ep->state == OFI_FENCED)) {
		struct ofi_req *r = &ep->reqs[(ep->posted + 1) & ep->mask];

		rc = nmti_ofi_post(ep, r, ep->posted + 1 != ep->number);
		if (rc)
			break;
		ep->posted++;
		free(r->copy);
		r->copy = NULL;
	}
	if (rc == -FI_EAGAIN)
		wait_on(ep);
	else if (rc)
		nmti_ofi_fail(ep, -EIO, "posting a request: %s", nmti_ofi_strerror((int)-rc));
}

/* Behind those that wait for the same peer already. */
static void flush_in_turn(struct nmti_rma_ep *ep)
{
	if (!nmti_list_empty(&ep->waiting))
		return;
	if (ep->peer && ep->peer->nwaiting)
		wait_on(ep);
	else
		flush(ep);
}

void nmti_ofi_kick(struct nmti_rma_ep *ep)
{
	if (ep->state == OFI_UP && !ep->failed)
		flush_in_turn(ep);
}

/*
 * A peer that took nothing is not asked again in this round: a provider may try to connect each time,
 * and hundreds of endpoints may wait for a peer that is gone.
 */
void nmti_ofi_retry(struct nmti_rma_dev *dev)
{
	struct nmti_list *node = dev->waiting.next, *last = dev->waiting.prev, *next;
	bool end = false;

	dev->round++;
	for (; !end; node = next) {
		struct nmti_rma_ep *ep = nmti_container(node, struct nmti_rma_ep, waiting);

		next = node->next;
		end = node == last;
		if (ep->peer && ep->peer->refused == dev->round)
			continue;
		wait_off(ep);
		flush(ep);
		if (ep->peer && !nmti_list_empty(&ep->waiting)) {
			ep->peer->refused = dev->round;
			nmti_ofi_rdm_refused(ep);
		}
	}
}

void nmti_ofi_drop(struct nmti_rma_ep *ep)
{
	wait_off(ep);
	nmti_ofi_notes_drop(ep);
	for (; ep->number != ep->posted; ep->number--) {
		struct ofi_req *r = &ep->reqs[ep->number & ep->mask];

		free(r->copy);
		r->copy = NULL;
	}
}

/* ---- requests ---- */

/* 0: there is room for one more. */
static int room(struct nmti_rma_ep *ep)
{
	if (__builtin_expect(ep->state != OFI_UP || ep->failed, 0))
		return -ENOTCONN;
	if (__builtin_expect(ep->number - ep->done < ep->depth, 1))
		return 0;
	nmti_ofi_kick(ep);
	return -EAGAIN;
}

static struct ofi_req *next(struct nmti_rma_ep *ep, enum ofi_op op)
{
	struct ofi_req *r = &ep->reqs[(ep->number + 1) & ep->mask];

	r->op = (uint8_t)op;
	r->done = r->inject = false;
	return r;
}

/* An injected request that has to wait: its bytes may be gone when it goes. */
static void keep(struct nmti_rma_ep *ep, struct ofi_req *r)
{
	if (!r->inject || ep->failed || (int64_t)(r->number - ep->posted) <= 0 ||
	    r->addr == ep->dev->zero)
		return;
	r->copy = malloc(r->len);
	if (r->copy)
		memcpy(r->copy, r->addr, r->len);
	else
		nmti_ofi_fail(ep, -ENOMEM, "no memory for a request that has to wait");
}

/* The request that next() gave is filled in. */
static uint64_t submit(struct nmti_rma_ep *ep, struct ofi_req *r, uint32_t flags)
{
	bool signal = flags & NMTI_RMA_SIGNAL || ++ep->quiet >= ep->depth / 2;
	bool hold = flags & NMTI_RMA_MORE && !r->inject &&
		    ep->number + 1 - ep->posted < OFI_CHAIN;

	if (signal)
		ep->quiet = 0;
	r->signal = signal;
	r->number = ++ep->number;
	if (!hold)
		flush_in_turn(ep);
	keep(ep, r);
	return r->number;
}

static void fill_empty(struct nmti_rma_ep *ep, struct ofi_req *r)
{
	r->addr = ep->dev->zero;
	r->desc = ep->dev->zero_desc;
	r->len = OFI_SCRATCH;
	r->inject = ep->dev->inject >= OFI_SCRATCH;
	r->remote = ep->scratch;
	r->key = ep->scratch_key;
}

int nmti_ofi_write(struct nmti_rma_ep *ep, const struct nmti_rma_local *from, uint64_t remote,
		   uint64_t key, uint32_t imm, uint32_t flags, uint64_t *number)
{
	const struct ofi_reg *own;
	struct ofi_req *r;
	int rc = room(ep);

	if (rc)
		return rc;
	r = next(ep, OFI_WRITE);
	r->data = ofi_data_pack(ep->peer_id, imm, from->len);
	if (from->len) {
		own = from->reg ? from->reg->handle : NULL;
		r->addr = from->addr || !own ? from->addr :
					       (const void *)(uintptr_t)(own->local + from->offset);
		r->len = from->len;
		r->desc = own ? own->desc : NULL;
		r->inject = flags & NMTI_RMA_INLINE;
		r->remote = remote;
		r->key = key;
	} else if (ep->dev->notes) {
		nmti_ofi_note_fill(r);
	} else {
		fill_empty(ep, r);
	}
	*number = submit(ep, r, flags);
	return 0;
}

/*
 * A message that cannot be injected goes from a slot, which is free again when its request is
 * complete: that one tells its completion.
 */
static uint8_t *msg_slot(struct nmti_rma_ep *ep)
{
	uint32_t slot = ep->msg_out % OFI_MSG_OUT;

	if (ep->msg_number[slot] > ep->done) {
		nmti_ofi_kick(ep);
		return NULL;
	}
	ep->msg_number[slot] = ep->number + 1;
	ep->msg_out++;
	return ep->msgs + (size_t)(ep->msg_in + slot) * (ep->msg_max + OFI_MSG_HEAD);
}

int nmti_ofi_send(struct nmti_rma_ep *ep, const void *msg, uint32_t len, uint32_t flags,
		  uint64_t *number)
{
	uint32_t head = ep->dev->tracked ? OFI_MSG_HEAD : 0;
	uint8_t small[OFI_MSG_MAX + OFI_MSG_HEAD], *at = small;
	bool inject = head + len <= ep->dev->inject;
	struct ofi_req *r;
	int rc = room(ep);

	if (rc)
		return rc;
	if (len > ep->msg_max || !ep->ctrl_slots)
		return -EMSGSIZE;
	if (!inject) {
		at = msg_slot(ep);
		flags |= NMTI_RMA_SIGNAL;
	}
	if (!at)
		return -EAGAIN;
	if (head)
		nmti_ofi_head(ep, OFI_MESSAGE, at);
	memcpy(at + head, msg, len);
	r = next(ep, OFI_SEND);
	r->addr = at;
	r->len = head + len;
	r->desc = inject ? NULL : ofi_desc(ep->msg_mr);
	r->inject = inject;
	*number = submit(ep, r, flags);
	return 0;
}

void nmti_ofi_say(struct nmti_rma_ep *ep, uint32_t len)
{
	struct ofi_req *r = next(ep, OFI_SEND);

	r->addr = ep->word;
	r->len = len;
	r->desc = ofi_desc(ep->word_mr);
	ep->own_words = submit(ep, r, NMTI_RMA_SIGNAL);
}

int nmti_ofi_ask(struct nmti_rma_ep *ep, uint64_t *number)
{
	struct ofi_req *r;
	int rc = room(ep);

	if (rc)
		return rc;
	r = next(ep, OFI_TOUCH);
	fill_empty(ep, r);
	*number = submit(ep, r, NMTI_RMA_SIGNAL);
	return 0;
}
