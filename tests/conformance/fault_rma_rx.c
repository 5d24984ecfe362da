/* SPDX-License-Identifier: BSD-2-Clause */
/* Faults of RMA completions, of fences, of waiting, and of registrations. */
#include <stdlib.h>

#include "fault_rma.h"

/* The wake-up is lost: whoever wakes up by chance finds nothing either. */
static bool asleep;

/* ---- completions ---- */

static bool spoil_written(struct fault_ep *f, struct nmti_rma_wc *wc)
{
	wc->number += (uint64_t)f->skew;
	f->ahead = true;
	return fault_on != RMA_ROOM_UNTOLD || f->signals >> wc->number % 64 & 1;
}

static void other_rail(struct nmti_rma_wc *wc, const struct fault_ep *f)
{
	struct fault_ep *o;

	for (unsigned int i = 0; (o = fault_ep_at(i)); i++) {
		if (!o->ep || o->dev != f->dev || o->server != f->server || o == f ||
		    memcmp(o->token, f->token, sizeof(f->token)))
			continue;
		wc->ep = o->ep;
		wc->owner = o->attr.owner;
		return;
	}
}

static bool spoil_imm(struct fault_ep *f, struct nmti_rma_wc *wc)
{
	f->imms++;
	if (fault_on == RMA_SLOT_LOST)
		return f->imms <= f->attr.run_slots;
	if (fault_on == RMA_LENGTH_LIES && wc->len > 1 && f->imms > 2)
		wc->len--;
	if (fault_on == RMA_WRONG_RAIL && f->imms > 1)
		other_rail(wc, f);
	return fault_on != RMA_FENCE_LOSES || !f->fenced;
}

/*
 * The newest write of the peer happens again when nobody of this epoch may, now and then: each time
 * its memory may have come back to the application, or not.
 */
static void write_again(const struct fault_ep *f)
{
	static const unsigned int polls[] = { 25, 50, 100, 200, 400 };
	struct fault_ep *peer = fault_ep_peer(f);
	struct fault_late *l;

	if (!peer || !peer->newest)
		return;
	l = peer->newest;
	for (size_t i = 0; i < ARRAY_LEN(polls); i++)
		fault_late_start(fault_late_new(l->data, l->len, l->remote, l->key), polls[i]);
	free(l);
	peer->newest = NULL;
}

static bool spoil_drained(struct fault_ep *f)
{
	if (fault_on == RMA_OLD_EPOCH_WRITES)
		write_again(f);
	return fault_on != RMA_DRAINED_LOST && !f->drained;
}

/* Whether the engine is told. */
static bool spoil(struct nmti_rma_wc *wc)
{
	struct fault_ep *f = fault_ep_of(wc->ep);

	switch (wc->event) {
	case NMTI_RMA_WRITTEN:
		return spoil_written(f, wc);
	case NMTI_RMA_IMM:
		return spoil_imm(f, wc);
	case NMTI_RMA_MESSAGE:
		return fault_on != RMA_CTRL_SLOT_LOST || ++f->messages <= f->attr.ctrl_slots;
	case NMTI_RMA_CONNECTED:
		return fault_on != RMA_CONNECTED_LOST;
	case NMTI_RMA_FAILED:
		return fault_on != RMA_FAILED_LOST;
	default:
		return spoil_drained(f);
	}
}

/* What the fault tells of itself; how many. */
static int tell_own(const struct nmti_rma_dev *dev, struct nmti_rma_wc *wc, int max)
{
	struct fault_ep *f;
	int n = 0;

	for (unsigned int i = 0; (f = fault_ep_at(i)); i++)
		for (; f->ep && f->dev == dev && f->ntold && n < max; f->ntold--)
			wc[n++] = f->told[f->ntold - 1];
	return n;
}

static void post_late(const struct nmti_rma_dev *dev)
{
	struct fault_ep *f;

	for (unsigned int i = 0; (f = fault_ep_at(i)); i++)
		if (f->ep && f->dev == dev && fault_on == RMA_MESSAGE_READ_LATE)
			fault_post_held(f);
}

static int fault_poll(struct nmti_rma_dev *dev, struct nmti_rma_wc *wc, int max)
{
	int n = tell_own(dev, wc, max), kept = 0;

	if (n || asleep)
		return n;
	fault_late_step();
	post_late(dev);
	n = fault_rma_real.poll(dev, wc, max);
	for (int i = 0; i < n; i++)
		if (spoil(&wc[i]))
			wc[kept++] = wc[i];
	return kept;
}

static int fault_arm(struct nmti_rma_dev *dev)
{
	asleep = fault_on == RMA_ARM_LOSES;
	return asleep ? 0 : fault_rma_real.arm(dev);
}

/* ---- registrations ---- */

static int fault_reg(struct nmti_rma_dev *dev, struct nmt_mr *mr, uint64_t offset, uint64_t len,
		     bool remote, struct nmti_rma_reg *reg, const char **reason)
{
	struct nmti_rma_reg copy;
	int rc;

	rc = fault_rma_real.reg(dev, mr, offset, len, remote && fault_on != RMA_REG_NOT_REMOTE, reg,
				reason);
	if (rc || !remote)
		return rc;
	fault_reg_add(mr, offset, len, reg);
	copy = *reg;
	if (fault_on == RMA_DEREG_EARLY)
		fault_rma_real.dereg(dev, &copy);
	return 0;
}

static void fault_dereg(struct nmti_rma_dev *dev, struct nmti_rma_reg *reg)
{
	bool remote = reg->key;

	fault_reg_del(reg);
	if (fault_on == RMA_DEREG_LOST || (fault_on == RMA_DEREG_EARLY && remote))
		return;
	fault_rma_real.dereg(dev, reg);
}

void fault_rma_rx_ops(struct nmti_rma_ops *ops)
{
	ops->poll = fault_poll;
	ops->arm = fault_arm;
	ops->reg = fault_reg;
	ops->dereg = fault_dereg;
}
