/* SPDX-License-Identifier: BSD-2-Clause */
/* From one epoch of a window to the next: what a fence keeps, and where both directions go on. */
#include "rma/window_int.h"

/* ---- fence ---------------------------------------------------------------------------------- */

static void fence_tx(struct nmti_win *w)
{
	struct win_tx *t = &w->tx;

	for (uint32_t i = 0; i < t->nrails; i++)
		t->rails[i].limit = t->rails[i].used;
	t->cur = t->tail;
	nmti_win_tx_load(w);
	if (w->answer)
		w->answer->head = w->answer->tail;
}

/* Nothing arrives; what waits for its turn is for nothing, and goes with the rings. */
static void drop_held(struct win_rx *r)
{
	for (uint32_t i = 0; i < r->nrails; i++)
		r->rails[i].limit = r->rails[i].arrived;
	r->held = 0;
}

/* Nothing is granted any more; the current segment keeps what was written to it. */
static void revoke(struct nmti_win *w)
{
	struct win_rx *r = &w->rx;

	if (r->in == r->grant)
		return;
	r->index = win_rx_index(r, win_rx_seg(r, r->in));
	if (!(win_rx_seg(r, r->in)->flags & SEG_GONE))
		r->part = win_rx_seg(r, r->in)->len - (r->end - r->offset);
	for (uint32_t pos = r->in; pos != r->grant; pos++) {
		struct rx_seg *s = win_rx_seg(r, pos);

		s->flags &= (uint8_t)~SEG_STOPS;
		if (!(s->flags & SEG_GONE))
			r->pending++;
	}
	r->grantable += win_rx_open(r);
	r->granted = r->open = 0;
	r->grant = r->in;
	nmti_win_rx_skip(w);
}

static void finish_cancels(struct nmti_win *w)
{
	struct win_rx *r = &w->rx;

	for (uint32_t pos = r->in; pos != r->tail; pos++) {
		struct rx_seg *s = win_rx_seg(r, pos);

		if (s->flags & (SEG_WANT | SEG_ASKED) && !(s->flags & SEG_GONE))
			nmti_win_rx_drop(w, pos);
	}
	if (w->ask)
		w->ask->head = w->ask->tail;
}

void nmti_win_fence(struct nmti_win *w)
{
	struct win_rx *r = &w->rx;
	uint32_t most = w->attr.rails_max;

	if (w->fenced)
		return;
	w->fenced = true;
	w->next = (uint8_t)(w->tx.epoch + 1);
	fence_tx(w);
	drop_held(r);
	revoke(w);
	finish_cancels(w);
	r->old = r->ready_tail - r->ready_head;
	r->slots = w->attr.rx_slots - (r->old + most - 1) / most;
	r->extra = 0;
}

void nmti_win_resume_point(const struct nmti_win *w, uint8_t rails, struct nmti_win_resume *r)
{
	r->epoch = w->fenced ? w->next : (uint8_t)(w->tx.epoch + 1);
	r->rails = rails;
	r->fin = w->rx.fin;
	r->slots = (uint16_t)w->rx.slots;
	r->offset = w->rx.offset;
	r->records = w->rx.records;
	r->seg = w->rx.index;
}

/* ---- resume --------------------------------------------------------------------------------- */

/* From the position behind run N to that before it. */
static void step_back(const struct win_tx *t, uint64_t n, struct nmti_win_pos *pos)
{
	const struct tx_run *r = &t->runs[n & (t->depth - 1)];

	pos->offset -= r->len;
	pos->records -= r->eor || r->type == NMTI_RUN_TRUNC;
	if (r->type == NMTI_RUN_FIN)
		pos->fin = false;
}

/* The last run that the peer has, by the position that it tells; *N is done or above. */
static int find_point(const struct nmti_win *w, const struct nmti_win_resume *peer, uint64_t *n)
{
	const struct win_tx *t = &w->tx;
	struct nmti_win_pos pos;

	nmti_win_tx_pos(w, &pos);
	for (*n = t->number;; step_back(t, (*n)--, &pos)) {
		if (pos.offset == peer->offset && pos.records == peer->records &&
		    pos.fin == peer->fin)
			return 0;
		if (*n == t->done)
			break;
	}
	if (peer->offset <= pos.offset && peer->records <= pos.records && peer->fin <= pos.fin)
		return -ECONNRESET;
	return -EPROTO;
}

static int check(const struct nmti_win *w, const struct nmti_win_resume *peer, uint8_t rails,
		 uint64_t *n)
{
	if ((int8_t)(peer->epoch - w->tx.epoch) <= 0 ||
	    (w->fenced && (int8_t)(peer->epoch - w->next) < 0))
		return -ESTALE;
	if (!w->fenced || !rails || rails > w->attr.rails_max || rails > peer->rails)
		return -EINVAL;
	if (peer->slots > w->attr.tx_slots)
		return -EPROTO;
	if (peer->seg < w->tx.first || peer->seg > w->tx.tail)
		return -EPROTO;
	if (peer->offset < w->ctl.acked.offset || peer->records < w->ctl.acked.records)
		return -EPROTO;
	return find_point(w, peer, n);
}

static void resume_tx(struct nmti_win *w, const struct nmti_win_resume *peer, uint64_t n)
{
	struct win_tx *t = &w->tx;

	/* Discarding goes on if its TRUNC, behind which there is no other record, has arrived. */
	if (peer->records != t->records)
		t->flags &= (uint8_t)~TX_DISCARD;
	if (!peer->fin)
		t->flags &= (uint8_t)~TX_FIN;
	t->offset = peer->offset;
	t->records = peer->records;
	t->number = t->done = n;
	t->flight = 0;
	t->seq = 0;
	t->slots = peer->slots;
	t->first = t->cur = t->tail = peer->seg;
	t->rail = (uint8_t)((t->offset >> w->attr.tx_stripe) % t->nrails);
	for (uint32_t i = 0; i < t->nrails; i++)
		t->rails[i] = (struct tx_rail){ .limit = peer->slots, .completed = n };
	nmti_win_tx_load(w);
}

static void resume_rx(struct nmti_win *w)
{
	struct win_rx *r = &w->rx;

	r->seq = 0;
	r->imm = (uint32_t)w->tx.epoch << 20;
	r->rail = (uint8_t)((r->offset >> w->attr.rx_stripe) % r->nrails);
	for (uint32_t i = 0; i < r->nrails; i++)
		r->rails[i] = (struct rx_rail){ .limit = r->fin ? 0 : r->slots };
	r->owed = r->extra;
	r->now = r->extra >= r->half;
}

static void forget_regions(struct nmti_win *w)
{
	for (uint32_t i = 0; i < w->tx_regions.count; i++)
		win_region(&w->tx_regions, i)->known = 0;
	for (uint32_t i = 0; i < w->rx_regions.count; i++) {
		win_region(&w->rx_regions, i)->known = 0;
		win_region(&w->rx_regions, i)->due = 0;
	}
	w->ctl.regions = 0;
}

int nmti_win_resume(struct nmti_win *w, const struct nmti_win_resume *peer, uint8_t rails)
{
	uint64_t n;
	int err = check(w, peer, rails, &n);

	if (err)
		return err;
	if (peer->epoch != w->next) {
		w->next = peer->epoch;
		return -EAGAIN;
	}
	w->fenced = false;
	w->tx.epoch = peer->epoch;
	w->tx.nrails = w->rx.nrails = rails;
	w->ctl.used = w->ctl.arrived = w->ctl.told = 0;
	w->ctl.limit = w->attr.tx_ctrl;
	w->ctl.acked = (struct nmti_win_pos){ .offset = peer->offset, .records = peer->records };
	resume_tx(w, peer, n);
	resume_rx(w);
	forget_regions(w);
	return 0;
}
