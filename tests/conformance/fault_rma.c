/* SPDX-License-Identifier: BSD-2-Clause */
/* The decorator around RMA ops: its tables, late bytes, and endpoints from connect to destroy. */
#include <stdlib.h>

#include "fault_rma.h"

#define EPS_MAX 512
#define REGS_MAX 512

struct reg {
	struct nmt_mr *mr; /* NULL: free */
	uint64_t offset, len, base, key;
};

struct nmti_rma_ops fault_rma_real;
static struct nmti_rma_ops decorated;
static struct fault_ep eps[EPS_MAX];
static struct reg regs[REGS_MAX];
static struct fault_late *late;

/* ---- tables ---- */

struct fault_ep *fault_ep_at(unsigned int i)
{
	return i < EPS_MAX ? &eps[i] : NULL;
}

struct fault_ep *fault_ep_of(const struct nmti_rma_ep *ep)
{
	for (unsigned int i = 0; i < EPS_MAX; i++)
		if (eps[i].ep == ep)
			return &eps[i];
	abort();
}

struct fault_ep *fault_ep_peer(const struct fault_ep *f)
{
	for (unsigned int i = 0; i < EPS_MAX; i++)
		if (eps[i].ep && eps[i].server != f->server && eps[i].attr.rail == f->attr.rail &&
		    eps[i].attr.epoch == f->attr.epoch &&
		    !memcmp(eps[i].token, f->token, sizeof(f->token)))
			return &eps[i];
	return NULL;
}

void fault_tell(struct fault_ep *f, uint8_t event, uint64_t number)
{
	if (f->ntold < TOLD_MAX)
		f->told[f->ntold++] = (struct nmti_rma_wc){ .ep = f->ep, .owner = f->attr.owner,
							    .event = event, .number = number };
}

void fault_reg_add(struct nmt_mr *mr, uint64_t offset, uint64_t len,
		   const struct nmti_rma_reg *reg)
{
	for (unsigned int i = 0; i < REGS_MAX; i++) {
		if (regs[i].mr)
			continue;
		regs[i] = (struct reg){ mr, offset, len, reg->base, reg->key };
		return;
	}
}

void fault_reg_del(const struct nmti_rma_reg *reg)
{
	for (unsigned int i = 0; i < REGS_MAX; i++)
		if (regs[i].mr && regs[i].key == reg->key && regs[i].base == reg->base)
			regs[i].mr = NULL;
}

/* ---- late bytes ---- */

struct fault_late *fault_late_new(const void *data, uint32_t len, uint64_t remote, uint64_t key)
{
	struct fault_late *l = malloc(sizeof(*l) + len);

	*l = (struct fault_late){ .remote = remote, .key = key, .len = len };
	memcpy(l->data, data, len);
	return l;
}

void fault_late_start(struct fault_late *l, unsigned int polls)
{
	l->polls = polls;
	l->next = late;
	late = l;
}

static void put_late(const struct fault_late *l)
{
	for (unsigned int i = 0; i < REGS_MAX; i++) {
		const struct reg *r = &regs[i];

		if (r->mr && r->key == l->key && l->remote >= r->base &&
		    l->remote - r->base + l->len <= r->len)
			nmt_mr_write(r->mr, r->offset + (l->remote - r->base), l->data, l->len);
	}
}

void fault_late_step(void)
{
	struct fault_late **at = &late, *l;

	while ((l = *at)) {
		if (--l->polls) {
			at = &l->next;
			continue;
		}
		*at = l->next;
		put_late(l);
		free(l);
	}
}

/* ---- endpoints ---- */

static void ep_new(struct nmti_rma_ep *ep, struct nmti_rma_dev *dev,
		   const struct nmti_rma_ep_attr *attr, bool server)
{
	unsigned int i = 0;

	while (eps[i].ep)
		if (++i == EPS_MAX)
			abort();
	eps[i] = (struct fault_ep){ .ep = ep, .dev = dev, .attr = *attr, .server = server };
	memcpy(eps[i].token, attr->token, sizeof(eps[i].token));
}

static int fault_connect(struct nmti_rma_dev *dev, const struct nmti_rma_ep_attr *attr,
			 const void *blob, uint32_t len, struct nmti_rma_ep **ep)
{
	int rc = fault_rma_real.connect(dev, attr, blob, len, ep);

	if (!rc)
		ep_new(*ep, dev, attr, false);
	return rc;
}

static int fault_expect(struct nmti_rma_dev *dev, const struct nmti_rma_ep_attr *attr,
			struct nmti_rma_ep **ep)
{
	int rc = fault_rma_real.expect(dev, attr, ep);

	if (!rc)
		ep_new(*ep, dev, attr, true);
	return rc;
}

static void fault_fence(struct nmti_rma_ep *ep)
{
	struct fault_ep *f = fault_ep_of(ep);

	f->fenced = true;
	fault_rma_real.fence(ep);
	if (fault_on == RMA_DRAINED_EARLY) {
		fault_tell(f, NMTI_RMA_DRAINED, 0);
		f->drained = true;
	}
}

static void fault_destroy(struct nmti_rma_ep *ep)
{
	struct fault_ep *f = fault_ep_of(ep);

	fault_rma_real.destroy(ep);
	free(f->newest);
	*f = (struct fault_ep){ .ep = NULL };
}

int faults_rma_add(struct nmt_ctx *ctx)
{
	const struct nmt_provider_ops *real = nmti_provider_find(ctx, "sim");
	struct nmt_provider_ops ops;

	if (!real)
		return -ENODEV;
	ops = *real;
	decorated = fault_rma_real = *real->rma;
	decorated.connect = fault_connect;
	decorated.expect = fault_expect;
	decorated.fence = fault_fence;
	decorated.destroy = fault_destroy;
	fault_rma_tx_ops(&decorated);
	fault_rma_rx_ops(&decorated);
	ops.rma = &decorated;
	return nmti_provider_add(ctx, &ops);
}
