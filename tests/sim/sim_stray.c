/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where endpoints are one for the fabric, what a peer wrote may land behind the fence of its stream:
 * until the key is closed. What lands here is not what was written, so that nobody takes it for that.
 */
#include <stdlib.h>

#include "sim_int.h"

#define LATEST 20000000u /* ns */

void sim_stray_from(struct nmti_rma_ep *ep)
{
	struct nmti_rma_dev *dev = ep->dev;
	struct nmti_rma_ep *from = ep->peer;

	if (!dev->profile->shared)
		return;
	for (struct sim_item *it = from ? from->head : NULL; it && it != from->held;
	     it = it->next) {
		struct sim_stray *s;

		if (it->delivered || it->message || !it->len)
			continue;
		s = calloc(1, sizeof(*s));
		*s = (struct sim_stray){ dev->strays, it->remote, it->key, it->len,
					 nmti_now() + (int64_t)(sim_random() % LATEST) };
		dev->strays = s;
	}
}

static void land(struct nmti_rma_dev *dev, const struct sim_stray *s)
{
	const struct sim_reg *r = sim_target(dev, s->remote, s->key, s->len);

	if (r)
		memset((char *)r->mr->cpu + r->offset + (s->remote - r->base), 0xee, s->len);
}

int64_t sim_strays_run(struct nmti_rma_dev *dev, int64_t now)
{
	struct sim_stray **at = &dev->strays, *s;
	int64_t next = INT64_MAX;

	while ((s = *at)) {
		if (s->due > now) {
			next = s->due < next ? s->due : next;
			at = &s->next;
			continue;
		}
		land(dev, s);
		*at = s->next;
		free(s);
	}
	return next;
}

void sim_strays_free(struct nmti_rma_dev *dev)
{
	struct sim_stray *s;

	while ((s = dev->strays)) {
		dev->strays = s->next;
		free(s);
	}
}
