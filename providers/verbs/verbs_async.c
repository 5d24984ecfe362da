/* SPDX-License-Identifier: BSD-2-Clause */
/* What the adapter says unasked. Only the endpoints that it concerns fail. */
#include "verbs.h"

static void fail_all(struct nmti_rma_dev *dev, const struct ibv_cq *cq, int status, const char *why)
{
	for (struct nmti_list *i = dev->eps.next; i != &dev->eps; i = i->next) {
		struct nmti_rma_ep *ep = nmti_container(i, struct nmti_rma_ep, all);

		if (cq && ep->cq->cq != cq)
			continue;
		if (ep->state != VERBS_EXPECTING && ep->state != VERBS_CONNECTING)
			nmti_verbs_fail(ep, status, "%s", why);
	}
}

static void port_down(struct nmti_rma_dev *dev)
{
	nmti_log(dev->pd->ctx, NMT_LOG_INFO, "verbs: %s: the port is down", dev->port.name);
	dev->port_down = true;
	fail_all(dev, NULL, -ENETDOWN, "the port is down (cable, ip link)");
}

static void port_up(struct nmti_rma_dev *dev)
{
	nmti_log(dev->pd->ctx, NMT_LOG_INFO, "verbs: %s: the port is up", dev->port.name);
	dev->port_down = false;
	nmti_verbs_cm_up(dev);
}

static void on_event(struct nmti_rma_dev *dev, const struct ibv_async_event *ev,
		     struct nmti_rma_ep *ep)
{
	switch (ev->event_type) {
	case IBV_EVENT_QP_FATAL:
	case IBV_EVENT_QP_REQ_ERR:
	case IBV_EVENT_QP_ACCESS_ERR:
		nmti_verbs_fail(ep, -EIO, "the adapter broke the queue pair: %s",
				ibv_event_type_str(ev->event_type));
		break;
	case IBV_EVENT_COMM_EST:
		if (ep->state == VERBS_ACCEPTED)
			nmti_verbs_established(ep);
		break;
	case IBV_EVENT_QP_LAST_WQE_REACHED:
		nmti_verbs_srq_last(ep);
		break;
	case IBV_EVENT_CQ_ERR:
		fail_all(dev, ev->element.cq, -EIO, "the adapter broke the completion queue");
		break;
	case IBV_EVENT_PORT_ERR:
		if (ev->element.port_num == dev->port.port)
			port_down(dev);
		break;
	case IBV_EVENT_PORT_ACTIVE:
		if (ev->element.port_num == dev->port.port)
			port_up(dev);
		break;
	case IBV_EVENT_DEVICE_FATAL:
		nmti_verbs_gone(dev, "fatal error, or removed");
		break;
	default:
		nmti_log(dev->pd->ctx, NMT_LOG_DEBUG, "verbs: %s: %s", dev->port.name,
			 ibv_event_type_str(ev->event_type));
	}
}

static bool of_queue_pair(enum ibv_event_type type)
{
	return type == IBV_EVENT_QP_FATAL || type == IBV_EVENT_QP_REQ_ERR ||
	       type == IBV_EVENT_QP_ACCESS_ERR || type == IBV_EVENT_COMM_EST ||
	       type == IBV_EVENT_QP_LAST_WQE_REACHED;
}

/* Acknowledged first: what an event is about can only be destroyed after that. */
void nmti_verbs_async_ready(struct nmti_source *src, uint32_t events)
{
	struct nmti_rma_dev *dev = nmti_container(src, struct nmti_rma_dev, async_src);
	struct ibv_async_event ev;

	(void)events;
	while (dev->port.ctx && !ibv_get_async_event(dev->port.ctx, &ev)) {
		struct nmti_rma_ep *ep = NULL;

		if (of_queue_pair(ev.event_type))
			ep = ev.element.qp->qp_context;
		ibv_ack_async_event(&ev);
		on_event(dev, &ev, ep);
	}
}
