/* SPDX-License-Identifier: BSD-2-Clause */
/* Requests of the simulated fabric: posted, delivered, acknowledged, lost. */
#include <stdio.h>
#include <stdlib.h>

#include "sim_int.h"

uint64_t sim_random(void)
{
	uint64_t z = (sim.rng += UINT64_C(0x9e3779b97f4a7c15));

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

void sim_violation(const char *what)
{
	sim.counts.violations++;
	fprintf(stderr, "sim: %s\n", what);
}

static int64_t delay(const struct nmti_rma_dev *dev)
{
	int64_t most = dev->profile->delay;

	return most ? (int64_t)(sim_random() % (uint64_t)most) : 0;
}

/* ---- posting ------------------------------------------------------------------------------ */

static void release(struct nmti_rma_ep *ep)
{
	if (!ep->held)
		return;
	sim.counts.doorbells++;
	if (ep->attr.doorbells)
		++*ep->attr.doorbells;
	for (struct sim_item *it = ep->held; it; it = it->next) {
		it->due = nmti_now() + delay(ep->dev);
		if (ep->dev->profile->shared && !it->message)
			continue;
		it->due = ep->last_due = it->due > ep->last_due ? it->due : ep->last_due;
	}
	ep->held = NULL;
	if (ep->peer)
		sim_wake(ep->peer->dev);
}

static void count_depth(const struct nmti_rma_ep *ep)
{
	uint64_t deep = ep->number - ep->acked;

	sim.counts.deepest = deep > sim.counts.deepest ? deep : sim.counts.deepest;
}

static int post(struct nmti_rma_ep *ep, struct sim_item *it, uint32_t flags, uint64_t *number)
{
	it->number = *number = ++ep->number;
	count_depth(ep);
	it->signal = flags & NMTI_RMA_SIGNAL;
	sim.counts.signalled += it->signal;
	if (ep->tail)
		ep->tail->next = it;
	else
		ep->head = it;
	ep->tail = it;
	if (!ep->held)
		ep->held = it;
	if (!(flags & NMTI_RMA_MORE))
		release(ep);
	return 0;
}

/* A request holds its place until the completion of it, or of a later one, was polled. */
static void tell_acked(struct nmti_rma_ep *ep)
{
	if (ep->acked == ep->queued)
		return;
	ep->queued = ep->acked;
	ep->starved = false;
	sim_complete(ep, NMTI_RMA_WRITTEN)->wc.number = ep->acked;
	sim_wake(ep->dev);
}

static int may_post(struct nmti_rma_ep *ep)
{
	if (ep->state == SIM_WAITS || ep->state >= SIM_FENCING)
		sim_violation("a request on an endpoint that is not connected");
	if (ep->number - ep->told < ep->attr.send_depth)
		return 0;
	release(ep); /* the queue is full: the device gets all of it */
	ep->starved = true;
	tell_acked(ep);
	return -EAGAIN;
}

static const void *source(const struct nmti_rma_local *from)
{
	const struct sim_reg *reg;

	if (!from->len || from->addr)
		return from->addr;
	reg = from->reg->handle;
	return (const char *)reg->mr->cpu + reg->offset + from->offset;
}

static void check_source(const struct nmti_rma_ep *ep, const struct nmti_rma_local *from,
			 uint32_t flags)
{
	const struct sim_reg *reg;

	if (!from->len)
		return;
	if (flags & NMTI_RMA_INLINE) {
		if (from->len > ep->dev->profile->inline_max)
			sim_violation("inline bytes beyond inline_max");
		return;
	}
	reg = from->reg ? from->reg->handle : NULL;
	if (!reg || from->offset > reg->len || from->len > reg->len - from->offset)
		sim_violation("a source outside of its registration");
	else if (from->addr != (const char *)reg->mr->cpu + reg->offset + from->offset)
		sim_violation("a source whose address is not that of its registration");
}

int sim_write(struct nmti_rma_ep *ep, const struct nmti_rma_local *from, uint64_t remote,
	      uint64_t key, uint32_t imm, uint32_t flags, uint64_t *number)
{
	bool copy = flags & NMTI_RMA_INLINE;
	struct sim_item *it;
	int rc;

	if (sim.knobs.turn)
		sim.knobs.turn(false);
	pthread_mutex_lock(&sim.lock);
	rc = may_post(ep);
	if (!rc) {
		it = calloc(1, sizeof(*it) + (copy ? from->len : 0));
		check_source(ep, from, flags);
		it->addr = copy ? NULL : source(from);
		if (copy)
			memcpy(it->data, from->addr, from->len);
		it->len = from->len;
		it->remote = remote;
		it->key = key;
		it->imm = imm;
		sim.counts.writes++;
		rc = post(ep, it, flags, number);
	}
	pthread_mutex_unlock(&sim.lock);
	return rc;
}

int sim_send(struct nmti_rma_ep *ep, const void *msg, uint32_t len, uint32_t flags,
	     uint64_t *number)
{
	struct sim_item *it;
	int rc;

	pthread_mutex_lock(&sim.lock);
	rc = may_post(ep);
	if (!rc) {
		it = calloc(1, sizeof(*it) + len);
		it->message = true;
		it->len = len;
		memcpy(it->data, msg, len);
		sim.counts.sends++;
		rc = post(ep, it, flags, number);
	}
	pthread_mutex_unlock(&sim.lock);
	return rc;
}

int sim_ask(struct nmti_rma_ep *ep, uint64_t *number)
{
	struct sim_item *it;
	int rc;

	pthread_mutex_lock(&sim.lock);
	rc = may_post(ep);
	if (!rc) {
		it = calloc(1, sizeof(*it));
		it->empty = true;
		sim.counts.asks++;
		rc = post(ep, it, NMTI_RMA_SIGNAL, number);
	}
	pthread_mutex_unlock(&sim.lock);
	return rc;
}

void sim_kick(struct nmti_rma_ep *ep)
{
	pthread_mutex_lock(&sim.lock);
	if (ep->state == SIM_UP)
		release(ep);
	pthread_mutex_unlock(&sim.lock);
}

void sim_drop_items(struct nmti_rma_ep *ep)
{
	struct sim_item *it;

	while ((it = ep->head)) {
		ep->head = it->next;
		free(it);
	}
	ep->tail = ep->held = NULL;
}

/* ---- loss --------------------------------------------------------------------------------- */

static bool hears(const struct nmti_rma_ep *ep)
{
	return sim.knobs.heard == SIM_HEARD_BOTH ||
	       (sim.knobs.heard == SIM_HEARD_SERVER) == ep->server;
}

/* What happens to requests under way when their end is stopped takes no longer. */
static int64_t spell(const struct nmti_rma_dev *dev)
{
	return dev->profile->delay ? dev->profile->delay : 30000;
}

/* From now on no more than some of what is under way to EP arrives, and later than it would have. */
static void cut(struct nmti_rma_ep *ep)
{
	struct nmti_rma_ep *from = ep->peer;
	struct sim_item *it = from ? from->head : NULL;
	int64_t due = nmti_now();

	if (ep->cut)
		return;
	ep->cut = true;
	for (; it && it != from->held && (it->delivered || sim_random() % 4); it = it->next) {
		if (!it->delivered && sim_random() % 2)
			due += (int64_t)(sim_random() % (uint64_t)spell(ep->dev));
		it->due = it->due > due ? it->due : due;
		ep->last_in = it->number;
	}
	if (it && it != from->held && sim_random() % 2)
		ep->torn = it->number;
}

static void cut_both(struct nmti_rma_ep *ep)
{
	cut(ep);
	if (ep->peer)
		cut(ep->peer);
}

void sim_break(struct nmti_rma_ep *ep, bool here)
{
	struct sim_cqe *c;

	if (ep->state != SIM_UP)
		return;
	cut_both(ep);
	ep->state = SIM_BROKEN;
	if (!here)
		return;
	c = sim_complete(ep, NMTI_RMA_FAILED);
	c->wc.status = ep->dev->lost ? ep->dev->lost : -ECONNRESET;
	c->wc.text = "the simulated path is lost";
	sim_wake(ep->dev);
}

static void lose(struct nmti_rma_ep *ep)
{
	sim.counts.losses++;
	sim.lose_at = sim.knobs.lose_again ? sim.counts.deliveries + sim.knobs.lose_again : 0;
	sim.knobs.lose_again = 0;
	if (sim.knobs.lost) {
		sim_dev_lose(ep);
		return;
	}
	if (ep->peer)
		sim_break(ep->peer, hears(ep->peer));
	sim_break(ep, hears(ep));
}

/* The device of TO refuses a request. False. */
static bool deny(struct nmti_rma_ep *to, const char *what)
{
	if (!sim.knobs.hostile) {
		sim_violation(what);
		return true;
	}
	sim.counts.denied++;
	if (to->peer)
		sim_break(to->peer, true);
	sim_break(to, true);
	return false;
}

/* ---- delivery ----------------------------------------------------------------------------- */

const struct sim_reg *sim_target(const struct nmti_rma_dev *dev, uint64_t remote, uint64_t key,
				 uint32_t len)
{
	const struct sim_reg *r = dev->regs;

	while (r && r->key != key)
		r = r->next;
	if (!r || !r->remote || remote < r->base || remote - r->base > r->len ||
	    len > r->len - (remote - r->base))
		return NULL;
	return r;
}

static bool put_bytes(struct nmti_rma_ep *ep, const struct sim_item *it)
{
	const struct sim_reg *r;

	if (!it->len)
		return true;
	r = sim_target(ep->dev, it->remote, it->key, it->len);
	if (!r)
		return deny(ep, "a write outside of what the peer opened");
	memcpy((char *)r->mr->cpu + r->offset + (it->remote - r->base),
	       it->addr ? it->addr : it->data, it->len);
	sim.counts.bytes += it->len;
	return true;
}

static bool land(struct nmti_rma_ep *ep, struct sim_item *it)
{
	struct sim_cqe *c;

	if (!put_bytes(ep, it))
		return false;
	if (ep->imms >= ep->attr.run_slots && !deny(ep, "a run without a receive slot"))
		return false;
	ep->imms++;
	c = sim_complete(ep, NMTI_RMA_IMM);
	c->wc.imm = it->imm;
	c->wc.len = it->len;
	return true;
}

static bool land_message(struct nmti_rma_ep *ep, struct sim_item *it)
{
	struct sim_cqe *c;

	if ((ep->messages >= ep->attr.ctrl_slots || it->len > ep->attr.ctrl_max) &&
	    !deny(ep, "a message without a receive slot, or too long"))
		return false;
	ep->messages++;
	c = sim_complete(ep, NMTI_RMA_MESSAGE);
	c->wc.len = it->len;
	memcpy(c->data, it->data, it->len < sizeof(c->data) ? it->len : sizeof(c->data));
	return true;
}

static void call_out(void)
{
	if (sim.counts.deliveries != sim.call_at)
		return;
	sim.call_at = sim.knobs.call_again ? sim.counts.deliveries + sim.knobs.call_again : 0;
	sim.knobs.call_again = 0;
	sim.knobs.call();
}

static void deliver(struct nmti_rma_ep *to, struct nmti_rma_ep *from, struct sim_item *it,
		    int64_t now)
{
	bool loss = ++sim.counts.deliveries >= sim.lose_at && sim.lose_at && !to->cut;

	call_out();
	sim.counts.on_net[to->net] += !to->cut;
	if (loss && !sim.knobs.lose_after) {
		lose(to);
		return;
	}
	if (!it->empty && !(it->message ? land_message(to, it) : land(to, it)))
		return;
	it->delivered = true;
	it->ack_due = now + delay(to->dev);
	sim_wake(from->dev);
	if (loss)
		lose(to);
}

static bool may_arrive(const struct nmti_rma_ep *ep, const struct sim_item *it)
{
	return ep->state != SIM_FENCED && (!ep->cut || it->number <= ep->last_in);
}

/* What the peer sent to EP. */
static int64_t arrive(struct nmti_rma_ep *ep, int64_t now)
{
	bool ordered = !ep->dev->profile->shared;
	struct nmti_rma_ep *from = ep->peer;
	int64_t next = INT64_MAX;

	if (ep->dev->lost == -ENODEV)
		return INT64_MAX;
	for (struct sim_item *it = from ? from->head : NULL; it && it != from->held;
	     it = it->next) {
		if (it->delivered)
			continue;
		if (!may_arrive(ep, it))
			return next;
		if (it->due <= now)
			deliver(ep, from, it, now);
		else if (it->due < next)
			next = it->due;
		if (ordered && !it->delivered)
			return next;
	}
	return next;
}

static bool hears_acks(const struct nmti_rma_ep *ep)
{
	return ep->state != SIM_WAITS && ep->state != SIM_FENCED;
}

/* What EP sent and the peer has. */
static int64_t acknowledge(struct nmti_rma_ep *ep, int64_t now)
{
	struct sim_item *it;

	while ((it = ep->head) && it->delivered && it->ack_due <= now && hears_acks(ep)) {
		bool tell = it->signal || ep->starved;

		ep->acked = it->number;
		ep->head = it->next;
		ep->tail = ep->head ? ep->tail : NULL;
		free(it);
		if (tell)
			tell_acked(ep);
	}
	return it && it->delivered && hears_acks(ep) ? it->ack_due : INT64_MAX;
}

/* ---- fence -------------------------------------------------------------------------------- */

void sim_stop(struct nmti_rma_ep *ep)
{
	int64_t now = nmti_now();

	if (ep->state >= SIM_FENCING)
		return;
	cut_both(ep);
	ep->state = SIM_FENCING;
	ep->drained_at = now + (int64_t)(sim_random() % (uint64_t)(2 * spell(ep->dev)));
	/* A device does not wait to be polled. */
	arrive(ep, now);
	if (!ep->peer)
		return;
	acknowledge(ep->peer, now);
	arrive(ep->peer, now);
	sim_wake(ep->peer->dev);
}

static void tear(struct nmti_rma_ep *ep)
{
	for (struct sim_item *it = ep->peer ? ep->peer->head : NULL; it; it = it->next)
		if (it->number == ep->torn && !it->message)
			put_bytes(ep, it);
}

/* When EP will be drained; INT64_MAX: it is, or nobody wants it to be. */
static int64_t drain(struct nmti_rma_ep *ep, int64_t now)
{
	if (ep->state != SIM_FENCING)
		return INT64_MAX;
	if (ep->drained_at > now)
		return ep->drained_at;
	if (sim_strays_until(ep, now))
		return sim_strays_until(ep, now);
	tear(ep);
	sim_strays_land(ep);
	sim_strays_land(ep->peer);
	ep->state = SIM_FENCED;
	sim_drop_items(ep);
	sim_complete(ep, NMTI_RMA_DRAINED);
	if (ep->peer)
		sim_wake(ep->peer->dev);
	return INT64_MAX;
}

/* The peer is gone: what was sent to it comes to nothing. */
static void find_loss(struct nmti_rma_ep *ep)
{
	bool sent = ep->head && ep->head != ep->held;

	if (ep->state == SIM_UP && sent && (!ep->peer || ep->peer->state == SIM_FENCED ||
					    ep->peer->state == SIM_BROKEN))
		sim_break(ep, true);
}

int64_t sim_run(struct nmti_rma_dev *dev, int64_t now)
{
	int64_t next = INT64_MAX, at;

	for (struct nmti_rma_ep *ep = dev->eps; ep; ep = ep->next) {
		at = arrive(ep, now);
		next = at < next ? at : next;
		at = acknowledge(ep, now);
		next = at < next ? at : next;
		at = drain(ep, now);
		next = at < next ? at : next;
		find_loss(ep);
	}
	return next;
}
