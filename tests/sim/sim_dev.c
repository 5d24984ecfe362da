/* SPDX-License-Identifier: BSD-2-Clause */
/* Devices of the simulated fabric that go, for good, with all that is connected by them. */
#include "sim_int.h"

/* A device is connected to what has its network: those with the same name. */
uint32_t sim_fit(const void *server, uint32_t slen, const void *client, uint32_t clen)
{
	if (slen != SIM_BLOB || clen != SIM_BLOB)
		return 0;
	return 1 + !memcmp(server, client, SIM_BLOB);
}

int sim_status(const struct nmti_rma_dev *dev)
{
	return dev->lost == -ETIMEDOUT ? 0 : dev->lost;
}

/* An endpoint that nobody comes to. */
void sim_refuse(struct nmti_rma_ep *ep)
{
	struct sim_cqe *c = sim_complete(ep, NMTI_RMA_FAILED);

	sim_wait_no_more(ep);
	ep->state = SIM_BROKEN;
	c->wc.status = ep->dev->lost == -ENODEV ? -ENODEV : -ETIMEDOUT;
	c->wc.text = "the simulated device does not connect";
	sim.counts.refused++;
	sim_wake(ep->dev);
}

static bool hears(const struct nmti_rma_ep *ep)
{
	return sim.knobs.heard == SIM_HEARD_BOTH ||
	       (sim.knobs.heard == SIM_HEARD_SERVER) == ep->server;
}

static void go(struct nmti_rma_dev *dev, int status)
{
	dev->lost = status;
	for (struct nmti_rma_ep *ep = dev->eps; ep; ep = ep->next) {
		if (ep->state == SIM_WAITS && (status == -ENODEV || !ep->server))
			sim_refuse(ep);
		else
			sim_break(ep, status != -ETIMEDOUT || hears(ep));
	}
}

void sim_dev_lose(struct nmti_rma_ep *ep)
{
	int status = sim.knobs.lost == SIM_LOST_CABLE ? -ENETDOWN : -ETIMEDOUT;
	uint32_t net = ep->dev->net;

	if (sim.knobs.lost == SIM_LOST_ADAPTER) {
		go(hears(ep) || !ep->peer ? ep->dev : ep->peer->dev, -ENODEV);
		return;
	}
	for (struct nmti_rma_dev *dev = sim.devs; dev; dev = dev->next)
		if (dev->net == net)
			go(dev, status);
}
