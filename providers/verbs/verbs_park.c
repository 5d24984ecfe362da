/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The end of a connection's id, which tells the peer. With the cable out that reaches nobody, and on
 * SoftRoCE a message that cannot go out breaks the management queue pair of the whole device, for
 * good. A path is often known to be lost before the port is known to be down (the kernel takes up to
 * a second). So the id of a path that was lost, or whose interface lets nothing out, waits: until
 * shortly after the port came up, for another connection, or for so long that the port would have been
 * heard of.
 */
#include <stdlib.h>

#include "verbs.h"

#define PARK INT64_C(2000000000) /* until when a port that is down would have been heard of */
#define ANSWERS INT64_C(500000000) /* until when the far end of a cable can send, too */

static bool park(struct nmti_rma_dev *dev, struct rdma_cm_id *id)
{
	uint32_t cap = dev->parked_cap ? dev->parked_cap * 2 : 16;
	struct rdma_cm_id **list;

	if (dev->nparked == dev->parked_cap) {
		list = realloc(dev->parked, cap * sizeof(*list));
		if (!list)
			return false;
		dev->parked = list;
		dev->parked_cap = cap;
	}
	id->context = dev; /* what it still hears is nobody's */
	nmti_timer_set(dev->pd->dom, &dev->park_timer, nmti_now() + PARK);
	dev->parked[dev->nparked++] = id;
	return true;
}

void nmti_verbs_cm_unpark(struct nmti_rma_dev *dev)
{
	while (dev->nparked)
		rdma_destroy_id(dev->parked[--dev->nparked]);
}

static bool cut_off(const struct nmti_rma_ep *ep)
{
	return ep->dev->port_down || (ep->connected && (ep->failed || ep->state >= VERBS_FENCED)) ||
	       (ep->from && !nmti_verbs_sends(ep->dev, ep->from));
}

void nmti_verbs_cm_end(struct nmti_rma_ep *ep)
{
	if (ep->id && !(cut_off(ep) && park(ep->dev, ep->id)))
		rdma_destroy_id(ep->id);
	ep->id = NULL;
}

/* Every interface of the device. */
static bool all_send(const struct nmti_rma_dev *dev)
{
	for (int i = 0; i < dev->port.naddrs; i++)
		if (!nmti_verbs_sends(dev, &dev->port.addrs[i]))
			return false;
	return true;
}

void nmti_verbs_cm_late(struct nmti_timer *t)
{
	struct nmti_rma_dev *dev = nmti_container(t, struct nmti_rma_dev, park_timer);

	if (dev->port_down) /* nmti_verbs_cm_up() */
		return;
	if (all_send(dev))
		nmti_verbs_cm_unpark(dev);
	else
		nmti_timer_set(dev->pd->dom, t, nmti_now() + PARK);
}

void nmti_verbs_cm_up(struct nmti_rma_dev *dev)
{
	if (dev->nparked)
		nmti_timer_set(dev->pd->dom, &dev->park_timer, nmti_now() + ANSWERS);
}
