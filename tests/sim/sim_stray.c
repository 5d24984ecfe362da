/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where endpoints are one for the fabric, what a peer wrote may land behind the fence of its stream:
 * until DRAINED. What lands here is not what was written, so that nobody takes it for that.
 */
#include "sim_int.h"

#define PATIENCE 2000000000 /* ns, for a peer that does not stop */

static bool writes(const struct nmti_rma_ep *ep)
{
	return ep && (ep->state == SIM_UP || ep->state == SIM_BROKEN);
}

static bool strays(const struct sim_item *it)
{
	return !it->delivered && !it->message && it->len;
}

/* A fabric takes a write to a closed key badly: all streams to the peer suffer. */
static void land(struct nmti_rma_ep *ep, const struct sim_item *it)
{
	const struct sim_reg *r = sim_target(ep->dev, it->remote, it->key, it->len);

	if (r)
		memset((char *)r->mr->cpu + r->offset + (it->remote - r->base), 0xee, it->len);
	else if (!sim.knobs.hostile)
		sim_violation("memory was closed before its endpoint was drained");
}

void sim_strays_land(struct nmti_rma_ep *ep)
{
	if (!ep || !ep->peer || !ep->dev->profile->shared || ep->state == SIM_FENCED)
		return;
	for (struct sim_item *it = ep->peer->head; it; it = it->next)
		if (strays(it))
			land(ep, it);
}

int64_t sim_strays_until(const struct nmti_rma_ep *ep, int64_t now)
{
	int64_t limit = ep->drained_at + PATIENCE;

	return ep->dev->profile->shared && writes(ep->peer) && now < limit ? limit : 0;
}

static void check_sent(const struct nmti_rma_ep *ep)
{
	for (const struct sim_item *it = ep ? ep->head : NULL; it; it = it->next)
		if (strays(it) && !sim.knobs.hostile)
			sim_violation("an endpoint was destroyed with writes under way");
}

void sim_strays_check(const struct nmti_rma_ep *ep)
{
	if (!ep->dev->profile->shared || ep->state == SIM_FENCED)
		return;
	check_sent(ep);
	check_sent(ep->peer);
}
