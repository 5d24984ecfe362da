/* SPDX-License-Identifier: BSD-2-Clause */
/* A window's memory, the regions of both sides, and what a window tells about itself. */
#include <stdlib.h>
#include <string.h>

#include "rma/window_int.h"

#define REGIONS_FIRST 4u
#define LINE 64u /* bytes of a cache line */
#define SEGS_MAX (UINT32_C(1) << 15) /* the wire has 16 bits for it */
#define DEPTH_MAX (UINT32_C(1) << 20)

/* ---- layout --------------------------------------------------------------------------------- */

static bool power_of_2(uint32_t v, uint32_t max)
{
	return v && v <= max && !(v & (v - 1));
}

static bool between(uint32_t v, uint32_t min, uint32_t max)
{
	return v >= min && v <= max;
}

static bool attr_ok(const struct nmti_win_attr *a)
{
	return between(a->rails_max, 1, NMTI_RAILS_MAX) && between(a->rails, 1, a->rails_max) &&
	       between(a->tx_stripe, NMTI_STRIPE_MIN, NMTI_STRIPE_MAX) &&
	       between(a->rx_stripe, NMTI_STRIPE_MIN, NMTI_STRIPE_MAX) &&
	       between(a->tx_slots, NMTI_SLOTS_MIN, NMTI_SLOTS_MAX) &&
	       between(a->rx_slots, NMTI_SLOTS_MIN, NMTI_SLOTS_MAX) &&
	       between(a->tx_ctrl, NMTI_CTRL_SLOTS_MIN, NMTI_SLOTS_MAX) &&
	       between(a->rx_ctrl, NMTI_CTRL_SLOTS_MIN, NMTI_SLOTS_MAX) &&
	       between(a->ctrl_max, NMTI_CTRL_MAX_MIN, NMTI_CTRL_MAX) &&
	       power_of_2(a->tx_depth, DEPTH_MAX) && power_of_2(a->tx_segs, SEGS_MAX) &&
	       power_of_2(a->rx_segs, SEGS_MAX) && a->tx_segs >= 2 && a->rx_grants >= 2;
}

static uint32_t round_up(uint32_t v)
{
	uint32_t p = 1;

	while (p < v)
		p <<= 1;
	return p;
}

static uint32_t region_stride(const struct nmti_win_attr *a)
{
	return (uint32_t)(sizeof(struct win_region) + a->rails_max * sizeof(struct win_mr));
}

/* Byte offsets of the arrays behind struct nmti_win, and of the end. */
struct layout {
	size_t tx_rails, tx_runs, tx_segs, tx_regions, answer;
	size_t rx_rails, rx_ready, rx_segs, rx_held, rx_regions, ask;
	size_t bytes;
};

static size_t take(size_t *at, size_t count, size_t size)
{
	size_t here = *at;

	*at += (count * size + 7) & ~(size_t)7;
	return here;
}

/* Whether arrivals can have to wait for earlier ones. */
static bool sorts(const struct nmti_win_attr *a)
{
	return a->rails_max > 1 || a->rx_unordered;
}

static void lay_out(const struct nmti_win_attr *a, struct layout *l)
{
	uint32_t held = sorts(a) ? a->rails_max * round_up(a->rx_slots) : 0;
	size_t at = sizeof(struct nmti_win);

	l->tx_rails = take(&at, a->rails_max, sizeof(struct tx_rail));
	l->rx_rails = take(&at, a->rails_max, sizeof(struct rx_rail));
	l->tx_regions = take(&at, REGIONS_FIRST, region_stride(a));
	l->tx_runs = take(&at, a->tx_depth, sizeof(struct tx_run));
	l->tx_segs = take(&at, a->tx_segs, sizeof(struct tx_seg));
	l->rx_ready = take(&at, round_up((uint32_t)a->rails_max * a->rx_slots),
			   sizeof(struct rx_ready));
	l->rx_segs = take(&at, a->rx_segs, sizeof(struct rx_seg));
	l->rx_held = take(&at, held, sizeof(struct rx_held));
	l->rx_regions = take(&at, REGIONS_FIRST, region_stride(a));
	l->answer = take(&at, a->tx_posted, sizeof(struct win_cancels));
	l->ask = take(&at, a->rx_posted, sizeof(struct win_cancels));
	l->bytes = (at + LINE - 1) & ~(size_t)(LINE - 1);
}

size_t nmti_win_bytes(const struct nmti_win_attr *attr)
{
	struct layout l;

	lay_out(attr, &l);
	return l.bytes;
}

/* ---- open and close ------------------------------------------------------------------------- */

static void regions_init(struct win_regions *t, char *mem, const struct nmti_win_attr *a)
{
	t->mem = mem;
	t->count = REGIONS_FIRST;
	t->stride = region_stride(a);
}

static void tx_init(struct nmti_win *w, char *mem, const struct layout *l)
{
	const struct nmti_win_attr *a = &w->attr;
	struct win_tx *t = &w->tx;

	t->stripe = (UINT32_C(1) << a->tx_stripe) - 1;
	t->nrails = a->rails;
	t->posted = a->tx_posted;
	t->depth = a->tx_depth;
	t->nsegs = a->tx_segs;
	t->slots = a->tx_slots;
	t->rails = (struct tx_rail *)(mem + l->tx_rails);
	t->runs = (struct tx_run *)(mem + l->tx_runs);
	t->segs = (struct tx_seg *)(mem + l->tx_segs);
	for (uint32_t i = 0; i < a->rails; i++)
		t->rails[i].limit = a->tx_slots;
	regions_init(&w->tx_regions, mem + l->tx_regions, a);
	if (a->tx_posted)
		w->answer = (struct win_cancels *)(mem + l->answer);
}

static void rx_init(struct nmti_win *w, char *mem, const struct layout *l)
{
	const struct nmti_win_attr *a = &w->attr;
	struct win_rx *r = &w->rx;

	r->stripe = (UINT32_C(1) << a->rx_stripe) - 1;
	r->nrails = a->rails;
	r->posted = a->rx_posted;
	r->half = a->rx_slots / 2;
	r->slots = a->rx_slots;
	r->ready_mask = round_up((uint32_t)a->rails_max * a->rx_slots) - 1;
	r->ready = (struct rx_ready *)(mem + l->rx_ready);
	r->rails = (struct rx_rail *)(mem + l->rx_rails);
	r->segs = (struct rx_seg *)(mem + l->rx_segs);
	r->seg_mask = a->rx_segs - 1;
	r->heldq = sorts(a) ? (struct rx_held *)(mem + l->rx_held) : NULL;
	r->held_mask = round_up(a->rx_slots) - 1;
	for (uint32_t i = 0; i < a->rails; i++)
		r->rails[i].limit = a->rx_slots;
	regions_init(&w->rx_regions, mem + l->rx_regions, a);
	if (a->rx_posted)
		w->ask = (struct win_cancels *)(mem + l->ask);
}

int nmti_win_open(const struct nmti_win_attr *attr, struct nmti_win **out)
{
	struct nmti_win *w;
	struct layout l;

	if (!attr_ok(attr))
		return -EINVAL;
	lay_out(attr, &l);
	w = aligned_alloc(LINE, l.bytes);
	if (!w)
		return -ENOMEM;
	memset(w, 0, l.bytes);
	w->attr = *attr;
	w->ctl.limit = attr->tx_ctrl;
	w->ctl.half = attr->rx_ctrl / 2;
	tx_init(w, (char *)w, &l);
	rx_init(w, (char *)w, &l);
	*out = w;
	return 0;
}

void nmti_win_close(struct nmti_win *w)
{
	if (w->tx_regions.grown)
		free(w->tx_regions.mem);
	if (w->rx_regions.grown)
		free(w->rx_regions.mem);
	free(w);
}

/* ---- regions -------------------------------------------------------------------------------- */

int nmti_win_regions_grow(struct win_regions *t, uint32_t id)
{
	uint32_t count = round_up(id + 1);
	char *mem;

	if (id < t->count)
		return 0;
	mem = calloc(count, t->stride);
	if (!mem)
		return -ENOMEM;
	memcpy(mem, t->mem, (size_t)t->count * t->stride);
	if (t->grown)
		free(t->mem);
	t->mem = mem;
	t->count = count;
	t->grown = true;
	return 0;
}

void nmti_win_region_set(struct win_region *r, uint8_t rail, const struct nmti_region *m)
{
	if (r->known & 1u << rail)
		r->known = 0;
	r->known |= (uint16_t)(1u << rail);
	r->len = m->length;
	r->rail[rail] = (struct win_mr){ m->base, m->key };
}

/* Whether a segment that is not over yet is in region ID. */
static bool region_busy(const struct win_rx *r, uint16_t id)
{
	for (uint32_t pos = r->in; pos != r->tail; pos++)
		if (win_rx_seg(r, pos)->region == id && !(win_rx_seg(r, pos)->flags & SEG_GONE))
			return true;
	return false;
}

/* May the region become M? It may grow only from the rails that have it already. */
static int region_check(const struct nmti_win *w, const struct win_region *r,
			const struct nmti_region *m)
{
	bool again = r->known & 1u << m->rail;

	if ((again || r->len != m->length) && region_busy(&w->rx, m->id))
		return -EBUSY;
	return !again && r->known && r->len != m->length ? -EINVAL : 0;
}

int nmti_win_region(struct nmti_win *w, uint16_t id, uint8_t rail, uint64_t base, uint64_t len,
		    uint64_t key)
{
	struct nmti_region m = { id, rail, base, len, key };
	struct win_region *r;
	uint64_t end;
	int err;

	if (id >= NMTI_WIN_REGIONS)
		return -ENOSPC;
	if (rail >= w->rx.nrails || !len || __builtin_add_overflow(base, len, &end))
		return -EINVAL;
	err = nmti_win_regions_grow(&w->rx_regions, id);
	if (err)
		return err;
	r = win_region(&w->rx_regions, id);
	err = region_check(w, r, &m);
	if (err)
		return err;
	nmti_win_region_set(r, rail, &m);
	if (!(r->due & 1u << rail))
		w->ctl.regions++;
	r->due |= (uint16_t)(1u << rail);
	return 0;
}

/* ---- what it tells -------------------------------------------------------------------------- */

uint8_t nmti_win_epoch(const struct nmti_win *w)
{
	return w->tx.epoch;
}

void nmti_win_stats(const struct nmti_win *w, struct nmti_win_stat *st)
{
	st->runs_sent = w->tx.number;
	st->runs_taken = w->rx.taken;
	st->ctrl_sent = w->ctl.sent;
	st->ctrl_taken = w->ctl.got;
	st->grants_sent = w->ctl.grants_sent;
	st->grants_got = w->ctl.grants_got;
	st->granted = (uint32_t)nmti_win_granted(w);
	st->ready = w->rx.ready_tail - w->rx.ready_head;
	st->held = w->rx.held;
}
