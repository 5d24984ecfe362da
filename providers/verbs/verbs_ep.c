/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Life of an endpoint: its queue pair, its receives, its end.
 *
 * A fence moves the queue pair to the error state. From then on the adapter takes nothing more, and
 * each receive and request that is with it comes back as a completion; when all have, nothing can
 * write any more. Requests that asked for no completion and were done before do not come back: so a
 * last one, the marker, is posted behind them.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "verbs.h"

#define DRAIN_LIMIT INT64_C(5000000000) /* then the queue pair is destroyed instead */
#define BRIEF INT64_C(3000000000)       /* for set-up when another device may do better */

/* ---- what is told ---- */

void nmti_verbs_tell(struct nmti_rma_ep *ep, uint8_t what)
{
	ep->events |= what;
	if (nmti_list_empty(&ep->event))
		nmti_list_add_tail(&ep->event, &ep->dev->events);
}

/* "rxe_a 10.0.0.1 -> 10.0.0.2 rail 0: " */
static int text_head(const struct nmti_rma_ep *ep, char *buf, size_t len)
{
	char from[NMT_ADDR_MAX] = "?", to[NMT_ADDR_MAX] = "?";

	if (ep->from)
		nmti_addr_format(&ep->from->ss, from, sizeof(from));
	if (ep->peer.ss_family)
		nmti_addr_format(&ep->peer, to, sizeof(to));
	return snprintf(buf, len, "%s %s -> %s rail %u: ", ep->dev->port.name, from, to, ep->rail);
}

void nmti_verbs_fail(struct nmti_rma_ep *ep, int status, const char *fmt, ...)
{
	va_list ap;
	int n;

	if (ep->failed || ep->state >= VERBS_FENCED)
		return;
	ep->failed = true;
	ep->status = status;
	nmti_list_del(&ep->expected);
	n = text_head(ep, ep->text, sizeof(ep->text));
	va_start(ap, fmt);
	vsnprintf(ep->text + n, sizeof(ep->text) - (size_t)n, fmt, ap);
	va_end(ap);
	nmti_timer_cancel(ep->dev->pd->dom, &ep->timer);
	nmti_verbs_tell(ep, VERBS_TELL_FAILED);
}

/* ---- table of endpoints ---- */

static int slots_grow(struct nmti_rma_dev *dev)
{
	uint32_t n = dev->nslots ? dev->nslots * 2 : 16;
	struct verbs_slot *slots;

	if (n > VERBS_EPS)
		return -ENOMEM;
	slots = realloc(dev->slots, n * sizeof(*slots));
	if (!slots)
		return -ENOMEM;
	for (uint32_t i = dev->nslots; i < n; i++)
		slots[i] = (struct verbs_slot){ .next_free = i + 1 < n ? i + 1 : VERBS_EPS };
	dev->free_slot = dev->nslots;
	dev->slots = slots;
	dev->nslots = n;
	return 0;
}

/* Completions that are about already are nobody's from now on. */
static void next_generation(struct nmti_rma_ep *ep)
{
	struct verbs_slot *slot = &ep->dev->slots[ep->index];

	slot->generation = (slot->generation + 1) & VERBS_GENERATION;
	ep->generation = (uint16_t)slot->generation;
}

static int slot_take(struct nmti_rma_ep *ep)
{
	struct nmti_rma_dev *dev = ep->dev;
	struct verbs_slot *slot;

	if (dev->free_slot == VERBS_EPS && slots_grow(dev))
		return -ENOMEM;
	ep->index = dev->free_slot;
	slot = &dev->slots[ep->index];
	dev->free_slot = slot->next_free;
	slot->ep = ep;
	next_generation(ep);
	return 0;
}

static void slot_give(struct nmti_rma_ep *ep)
{
	struct nmti_rma_dev *dev = ep->dev;
	struct verbs_slot *slot = &dev->slots[ep->index];

	if (slot->ep != ep)
		return;
	slot->ep = NULL;
	slot->next_free = dev->free_slot;
	dev->free_slot = ep->index;
}

/* ---- make ---- */

static int msgs_new(struct nmti_rma_ep *ep, const struct nmti_rma_ep_attr *attr)
{
	uint32_t out = ep->inline_max < attr->ctrl_max ? VERBS_MSG_OUT : 0;
	size_t len;

	if (!attr->ctrl_slots)
		return 0;
	ep->msg_max = attr->ctrl_max;
	ep->msg_in = ep->srq ? 0 : ep->slots;
	len = (size_t)(ep->msg_in + out) * ep->msg_max;
	if (!len)
		return 0;
	ep->msgs = calloc(1, len);
	if (!ep->msgs)
		return -ENOMEM;
	ep->msg_mr = ibv_reg_mr(ep->dev->ibpd, ep->msgs, len, IBV_ACCESS_LOCAL_WRITE);
	if (ep->msg_mr)
		return 0;
	nmti_log(ep->dev->pd->ctx, NMT_LOG_ERROR,
		 "verbs: %s: registering %zu bytes for messages: %s (ulimit -l)", ep->dev->port.name,
		 len, strerror(errno));
	return -ENOMEM;
}

static bool attr_fits(const struct nmti_rma_dev *dev, const struct nmti_rma_ep_attr *attr)
{
	uint32_t slots = (uint32_t)attr->run_slots + attr->ctrl_slots;

	return slots && slots <= dev->limits.recv_slots && attr->send_depth >= 2 &&
	       attr->send_depth <= dev->limits.send_depth && attr->ctrl_max <= VERBS_MSG_MAX &&
	       (!attr->ctrl_slots || attr->ctrl_max);
}

static void ep_init(struct nmti_rma_ep *ep, struct nmti_rma_dev *dev,
		    const struct nmti_rma_ep_attr *attr)
{
	ep->dev = dev;
	ep->owner = attr->owner;
	ep->rail = attr->rail;
	ep->epoch = attr->epoch;
	ep->depth = attr->send_depth;
	ep->slots = (uint32_t)attr->run_slots + attr->ctrl_slots;
	ep->inline_max = dev->limits.inline_max;
	ep->doorbells = attr->doorbells;
	ep->limit = dev->opt.connect_timeout * INT64_C(1000000);
	if (attr->brief && ep->limit > BRIEF)
		ep->limit = BRIEF;
	ep->deadline = nmti_now() + ep->limit;
	memcpy(ep->token, attr->token, NMTI_RMA_TOKEN);
	nmti_list_init(&ep->touched);
	nmti_list_init(&ep->expected);
	nmti_list_init(&ep->event);
	nmti_list_init(&ep->quitting);
	nmti_list_add_tail(&ep->all, &dev->eps);
	dev->neps++;
	ep->index = VERBS_EPS;
}

/* Where its receives are, and its completions. */
static int queues_take(struct nmti_rma_ep *ep)
{
	uint32_t entries = ep->slots + ep->depth + 1;
	struct verbs_cq *cq;

	nmti_verbs_srq_take(ep);
	if (ep->srq)
		return 0;
	cq = nmti_verbs_cq_find(ep->dev, entries);
	if (!cq)
		return -ENOMEM;
	nmti_verbs_cq_take(ep, cq, entries);
	return 0;
}

int nmti_verbs_ep_new(struct nmti_rma_dev *dev, const struct nmti_rma_ep_attr *attr,
		      struct nmti_rma_ep **out)
{
	struct nmti_rma_ep *ep;
	int rc;

	if (verbs_is_gone(dev))
		return -ENODEV;
	if (!attr_fits(dev, attr))
		return -EINVAL;
	ep = calloc(1, sizeof(*ep));
	if (!ep)
		return -ENOMEM;
	ep_init(ep, dev, attr);
	rc = slot_take(ep);
	if (!rc)
		rc = queues_take(ep);
	if (!rc)
		rc = msgs_new(ep, attr);
	if (!rc)
		rc = nmti_verbs_qp_new(ep);
	if (rc) {
		nmti_verbs_ep_free(ep);
		return rc;
	}
	*out = ep;
	return 0;
}

int nmti_verbs_qp_new(struct nmti_rma_ep *ep)
{
	struct ibv_qp_init_attr attr = {
		.qp_context = ep,
		.send_cq = ep->cq->cq,
		.recv_cq = ep->cq->cq,
		.srq = ep->srq ? ep->srq->srq : NULL,
		.cap = { .max_send_wr = ep->depth + 1, .max_recv_wr = ep->srq ? 0 : ep->slots,
			 .max_send_sge = 1, .max_recv_sge = 1, .max_inline_data = ep->inline_max },
		.qp_type = IBV_QPT_RC,
	};

	ep->qp = ibv_create_qp(ep->dev->ibpd, &attr);
	if (ep->qp) {
		if (ep->srq)
			nmti_verbs_srq_add(ep);
		return 0;
	}
	nmti_log(ep->dev->pd->ctx, NMT_LOG_ERROR, "verbs: %s: queue pair of %u receives and %u "
		 "requests: %s (ulimit -l, NMT_VERBS_SEND_DEPTH)", ep->dev->port.name, ep->slots,
		 ep->depth, strerror(errno));
	return -ENOMEM;
}

/* What it had with the adapter and was not polled yet may still lie in the completion queue. */
void nmti_verbs_qp_free(struct nmti_rma_ep *ep)
{
	if (!ep->qp)
		return;
	if (ep->srq)
		nmti_verbs_srq_remove(ep);
	ep->cq->stale += ep->posted + (uint32_t)(ep->rung - ep->done) + ep->marked;
	ibv_destroy_qp(ep->qp);
	ep->qp = NULL;
	ep->posted = 0;
	ep->done = ep->rung;
	ep->marked = false;
	next_generation(ep);
}

/* ---- receives ---- */

nmti_hot void nmti_verbs_recv_wr(struct nmti_rma_ep *ep, uint32_t slot, struct ibv_recv_wr *wr,
				 struct ibv_sge *sge)
{
	memset(wr, 0, sizeof(*wr));
	wr->wr_id = verbs_wr_id(ep, slot) | VERBS_RECV;
	if (!ep->msgs)
		return;
	sge->addr = (uintptr_t)(ep->msgs + (size_t)slot * ep->msg_max);
	sge->length = ep->msg_max;
	sge->lkey = ep->msg_mr->lkey;
	wr->sg_list = sge;
	wr->num_sge = 1;
}

int nmti_verbs_post_recvs(struct nmti_rma_ep *ep)
{
	struct ibv_recv_wr wr, *bad;
	struct ibv_sge sge;
	int rc;

	if (ep->srq)
		return nmti_verbs_srq_fill(ep->dev, ep->srq);
	for (uint32_t i = 0; i < ep->slots; i++) {
		nmti_verbs_recv_wr(ep, i, &wr, &sge);
		rc = ibv_post_recv(ep->qp, &wr, &bad);
		if (rc)
			return -rc;
		ep->posted++;
	}
	return 0;
}

/* ---- fence ---- */

void nmti_verbs_drained(struct nmti_rma_ep *ep)
{
	if (ep->posted || ep->done != ep->rung || ep->marked)
		return;
	if (ep->srq && ep->qp && !nmti_verbs_srq_clean(ep))
		return;
	ep->state = VERBS_DRAINED;
	nmti_timer_cancel(ep->dev->pd->dom, &ep->timer);
	nmti_verbs_tell(ep, VERBS_TELL_DRAINED);
}

/* Completions are missing: a queue pair that is destroyed writes nothing either. */
static void drain_late(struct nmti_timer *t)
{
	struct nmti_rma_ep *ep = nmti_container(t, struct nmti_rma_ep, timer);

	nmti_log(ep->dev->pd->ctx, NMT_LOG_WARN, "verbs: %s: a queue pair did not drain (%u receives, "
		 "%u requests left): destroyed", ep->dev->port.name, ep->posted,
		 (uint32_t)(ep->rung - ep->done));
	nmti_verbs_qp_free(ep);
	nmti_verbs_drained(ep);
}

bool nmti_verbs_qp_error(struct nmti_rma_ep *ep)
{
	struct ibv_qp_attr attr = { .qp_state = IBV_QPS_ERR };

	return !ibv_modify_qp(ep->qp, &attr, IBV_QP_STATE);
}

static void to_error(struct nmti_rma_ep *ep)
{
	if (ep->srq && ep->qp->state < IBV_QPS_RTR)
		ep->recv_end = VERBS_CLEAN; /* nothing can have come */
	else if (ep->recv_end == VERBS_SETTLING)
		ep->recv_end = VERBS_OPEN; /* of a void attempt: the timer begins anew */
	ep->timer.fire = drain_late;
	if (!nmti_verbs_qp_error(ep) ||
	    nmti_timer_set(ep->dev->pd->dom, &ep->timer, nmti_now() + DRAIN_LIMIT)) {
		nmti_verbs_qp_free(ep);
		return;
	}
	if (ep->done != ep->rung)
		nmti_verbs_mark(ep);
}

void nmti_verbs_fence(struct nmti_rma_ep *ep)
{
	if (ep->state >= VERBS_FENCED)
		return;
	ep->state = VERBS_FENCED;
	ep->events = 0;
	nmti_list_del(&ep->event);
	nmti_list_del(&ep->expected);
	nmti_timer_cancel(ep->dev->pd->dom, &ep->timer);
	ep->number -= ep->chained; /* never posted */
	ep->chained = 0;
	if (ep->qp)
		to_error(ep);
	nmti_verbs_cm_end(ep);
	nmti_verbs_drained(ep);
}

void nmti_verbs_strip(struct nmti_rma_ep *ep)
{
	nmti_verbs_cm_end(ep);
	nmti_verbs_qp_free(ep);
	if (ep->msg_mr)
		ibv_dereg_mr(ep->msg_mr);
	ep->msg_mr = NULL;
}

void nmti_verbs_destroy(struct nmti_rma_ep *ep)
{
	if (!nmti_verbs_srq_orphan(ep))
		nmti_verbs_ep_free(ep);
}

void nmti_verbs_ep_free(struct nmti_rma_ep *ep)
{
	nmti_timer_cancel(ep->dev->pd->dom, &ep->timer);
	nmti_verbs_strip(ep);
	free(ep->msgs);
	nmti_verbs_cq_give(ep);
	nmti_verbs_srq_give(ep);
	if (ep->index < VERBS_EPS)
		slot_give(ep);
	nmti_list_del(&ep->event);
	nmti_list_del(&ep->expected);
	nmti_list_del(&ep->touched);
	nmti_list_del(&ep->all);
	ep->dev->neps--;
	nmti_verbs_ep_left(ep->dev);
	free(ep);
}

/* ---- observation ---- */

void nmti_verbs_describe(const struct nmti_rma_ep *ep, struct nmt_stream_info *info)
{
	const struct verbs_port *port = &ep->dev->port;

	snprintf(info->device, sizeof(info->device), "%s", port->name);
	if (!port->ctx)
		return;
	info->adapter_port = port->port;
	info->gid_index = ep->sgid_index;
	info->gid_type = nmti_verbs_gid(port->ctx, port->port, ep->sgid_index, info->gid);
	info->mtu = nmti_verbs_mtu(ep->mtu);
	info->speed_mbps = nmti_verbs_speed(&port->pattr);
	info->retries = nmti_verbs_retries(ibv_get_device_name(port->ctx->device), port->port);
}
