/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Heads of messages, and notifications by message. Where completion data has no room for what the peer
 * is to know of a write (dev->notes), the write goes without; when it is complete, which says that the
 * bytes are in place (dev->level), its request becomes a NOTE that says it. So the request, with its
 * slot in the send queue, is complete when the NOTE is.
 *
 * A NOTE does not go earlier where the provider orders messages behind writes (FI_ORDER_SAW): that is
 * an order of headers, and says nothing of bytes (fi_endpoint(3)).
 */
#include <stdlib.h>

#include "ofi.h"

/* ---- heads ---- */

uint32_t nmti_ofi_head(const struct nmti_rma_ep *ep, uint8_t kind, uint8_t *buf)
{
	const struct ofi_head head = { .kind = kind, .id = ep->peer_id };

	return nmti_ofi_head_encode(&head, buf);
}

static bool of_connection(struct nmti_rma_ep *ep, const uint8_t *bytes, uint32_t len,
			  struct ofi_head *head)
{
	if (!nmti_ofi_head_decode(bytes, len, head) && head->kind != OFI_READY &&
	    head->id == ep->id)
		return true;
	nmti_ofi_fail(ep, -EPROTO, "a message of the peer is none of this protocol");
	return false;
}

bool nmti_ofi_headed(struct nmti_rma_dev *dev, const uint8_t *bytes, uint32_t len,
		     struct ofi_head *head, struct nmti_rma_ep **ep)
{
	if (*ep)
		return of_connection(*ep, bytes, len, head);
	if (nmti_ofi_head_decode(bytes, len, head)) {
		nmti_ofi_rdm_word(dev, bytes, len);
		return false;
	}
	*ep = ofi_ep_of(dev, head->id);
	return *ep && (head->kind == OFI_MESSAGE || (head->kind == OFI_NOTE && dev->notes));
}

struct nmti_rma_ep *nmti_ofi_addressee(struct nmti_rma_dev *dev, const uint8_t *bytes,
				       uint32_t len)
{
	struct ofi_head head;

	return nmti_ofi_head_decode(bytes, len, &head) ? NULL : ofi_ep_of(dev, head.id);
}

/* ---- notes ---- */

int nmti_ofi_notes_new(struct nmti_rma_ep *ep)
{
	size_t len = ((size_t)ep->mask + 1) * OFI_NOTE_LEN;

	ep->notes_end = &ep->notes;
	ep->note_bytes = calloc(1, len);
	return ep->note_bytes ? nmti_ofi_mr_new(ep->dev, ep->note_bytes, len, false, &ep->note_mr) :
				-FI_ENOMEM;
}

void nmti_ofi_notes_free(struct nmti_rma_ep *ep)
{
	nmti_ofi_mr_free(&ep->note_mr);
	free(ep->note_bytes);
}

void nmti_ofi_note_fill(struct ofi_req *r)
{
	struct nmti_rma_ep *ep = r->ctx.ep;
	uint8_t *slot = ep->note_bytes + (size_t)(r - ep->reqs) * OFI_NOTE_LEN;
	const struct ofi_head head = { .kind = OFI_NOTE, .id = ofi_data_id(r->data),
				       .data = r->data };

	r->op = OFI_SEND;
	r->addr = slot;
	r->len = nmti_ofi_head_encode(&head, slot);
	r->desc = ofi_desc(ep->note_mr);
	r->inject = false;
}

bool nmti_ofi_note_follows(struct ofi_req *r)
{
	struct nmti_rma_ep *ep = r->ctx.ep;

	if (r->op != OFI_WRITE)
		return false;
	if (ep->state != OFI_UP || ep->failed) {
		ep->note_lost = true;
		return false;
	}
	nmti_ofi_note_fill(r);
	r->next = NULL;
	*ep->notes_end = r;
	ep->notes_end = &r->next;
	nmti_ofi_kick(ep);
	return true;
}

static struct ofi_req *take_first(struct nmti_rma_ep *ep)
{
	struct ofi_req *r = ep->notes;

	ep->notes = r->next;
	if (!ep->notes)
		ep->notes_end = &ep->notes;
	return r;
}

ssize_t nmti_ofi_notes_post(struct nmti_rma_ep *ep)
{
	ssize_t rc = 0;

	while (ep->notes && !rc) {
		rc = nmti_ofi_post(ep, ep->notes, false);
		if (!rc)
			take_first(ep);
	}
	return rc;
}

/* The peer is told otherwise how far it was. */
void nmti_ofi_notes_drop(struct nmti_rma_ep *ep)
{
	ep->note_lost |= ep->notes != NULL;
	while (ep->notes)
		ofi_count_done(ep, take_first(ep)->number);
}
