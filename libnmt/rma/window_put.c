/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Control messages of the peer. The codec made sure that each is well-formed; here it has to fit
 * the stream: epoch, rails, counts that only grow and only so far, indexes, regions.
 */
#include "rma/window_int.h"

/* ---- counts --------------------------------------------------------------------------------- */

/*
 * *LIMIT becomes TOLD, not below it. USED of it are used; SLOTS is the most that the peer has. Both
 * are at hand modulo 2^32, so two small differences say all.
 */
static int raise_limit(uint32_t *limit, uint32_t told, uint32_t used, uint32_t slots)
{
	if (told - *limit > slots || told - used > slots)
		return -EPROTO;
	*limit = told;
	return 0;
}

static int acked(struct nmti_win *w, const struct nmti_ctrl *m)
{
	struct nmti_win_pos *a = &w->ctl.acked;

	if (m->offset < a->offset || m->offset > w->tx.offset || m->records < a->records ||
	    m->records > w->tx.records)
		return -EPROTO;
	a->offset = m->offset;
	a->records = m->records;
	return 0;
}

static int counts(struct nmti_win *w, const struct nmti_ctrl *m)
{
	const struct nmti_win_attr *a = &w->attr;
	int err = acked(w, m);

	if (!err)
		err = raise_limit(&w->ctl.limit, a->tx_ctrl + m->ctrl_credit, w->ctl.used,
				  a->tx_ctrl);
	for (uint32_t i = 0; !err && i < m->nrails; i++) {
		struct tx_rail *t = &w->tx.rails[i];

		err = raise_limit(&t->limit, w->tx.slots + m->run_credit[i], t->used, a->tx_slots);
	}
	return err;
}

/* ---- regions and grants --------------------------------------------------------------------- */

/* Whether a segment that could be written to is in region ID. */
static bool region_busy(const struct win_tx *t, uint16_t id)
{
	if (t->flags & TX_FIN)
		return false;
	for (uint64_t i = t->cur; i != t->tail; i++)
		if (win_tx_seg(t, i)->region == id && !(win_tx_seg(t, i)->flags & SEG_SKIP))
			return true;
	return false;
}

static int put_region(struct nmti_win *w, const struct nmti_region *m)
{
	struct win_tx *t = &w->tx;
	struct win_region *r;
	bool again;

	if (m->id >= NMTI_WIN_REGIONS)
		return -EPROTO;
	if (nmti_win_regions_grow(&w->tx_regions, m->id))
		return -ENOMEM;
	if (t->cur != t->tail)
		t->region = win_region(&w->tx_regions, win_tx_seg(t, t->cur)->region);
	r = win_region(&w->tx_regions, m->id);
	again = r->known & 1u << m->rail;
	if (again && region_busy(t, m->id))
		return -EPROTO;
	if (!again && r->known && r->len != m->length)
		return -EPROTO;
	nmti_win_region_set(r, m->rail, m);
	return 0;
}

static bool region_holds(const struct nmti_win *w, const struct nmti_grant *g)
{
	const struct win_region *r;

	if (g->region >= w->tx_regions.count)
		return false;
	r = win_region(&w->tx_regions, g->region);
	return r->known == (uint16_t)((1u << w->tx.nrails) - 1) && g->offset <= r->len &&
	       g->length * g->repeat <= r->len - g->offset;
}

/* No bytes only where an earlier epoch filled the segment and its end is not known. */
static bool length_ok(const struct win_tx *t, const struct nmti_grant *g)
{
	return g->length || (g->flags & NMTI_GRANT_WHOLE && g->repeat == 1 && t->tail == t->first);
}

static int put_grant(struct nmti_win *w, const struct nmti_grant *g)
{
	struct win_tx *t = &w->tx;

	if (!region_holds(w, g) || !length_ok(t, g) || (g->flags && !t->posted) ||
	    g->repeat > t->nsegs - (t->tail - t->cur))
		return -EPROTO;
	for (uint32_t i = 0; i < g->repeat; i++)
		*win_tx_seg(t, t->tail++) = (struct tx_seg){
			.at = g->offset + i * g->length,
			.len = g->length,
			.region = g->region,
			.flags = g->flags & NMTI_GRANT_WHOLE ? SEG_WHOLE : 0,
		};
	w->ctl.grants_got += g->repeat;
	return 0;
}

static int put_grants(struct nmti_win *w, const struct nmti_ctrl *m)
{
	bool none = w->tx.cur == w->tx.tail;
	struct nmti_grant g;
	int err = 0;

	if (m->count && m->index != w->tx.tail)
		return -EPROTO;
	for (uint32_t i = 0; !err && i < m->count; i++) {
		nmti_ctrl_grant(m, i, &g);
		err = put_grant(w, &g);
	}
	if (none && !err)
		nmti_win_tx_load(w);
	return err;
}

/* ---- cancels -------------------------------------------------------------------------------- */

/* Whether something was written to segment INDEX in this epoch, or it is full. */
static bool begun(const struct win_tx *t, uint64_t index)
{
	if (index != t->cur)
		return index < t->cur;
	return t->flags & TX_FULL || t->end - t->offset != win_tx_seg(t, index)->len;
}

static int put_cancel(struct nmti_win *w, uint64_t index)
{
	struct win_cancels *c = w->answer;
	struct win_tx *t = &w->tx;
	uint32_t slot;
	bool kept;

	if (!c || index < t->first || index >= t->tail)
		return -EPROTO;
	if (t->flags & TX_FIN)
		return 0;
	if (c->tail - c->head == NMTI_WIN_CANCELS)
		return -EPROTO;
	if (index >= t->cur && win_tx_seg(t, index)->flags & SEG_ASKED)
		return -EPROTO;
	kept = begun(t, index);
	slot = c->tail++ % NMTI_WIN_CANCELS;
	c->index[slot] = index;
	c->kept = (c->kept & ~(1u << slot)) | (uint32_t)kept << slot;
	if (index < t->cur)
		return 0;
	win_tx_seg(t, index)->flags |= kept ? SEG_ASKED : SEG_ASKED | SEG_SKIP;
	if (index == t->cur)
		nmti_win_tx_stop(w);
	return 0;
}

static bool awaits(const struct rx_seg *s, uint64_t index)
{
	return s->index == (uint32_t)index && (s->flags & (SEG_ASKED | SEG_GONE)) == SEG_ASKED;
}

/* The position of a granted segment that is not over, or rx.grant. */
static uint32_t find(const struct win_rx *r, uint64_t index)
{
	uint32_t pos = r->in;

	while (pos != r->grant && !awaits(win_rx_seg(r, pos), index))
		pos++;
	return pos;
}

/* Nothing arrived for the segment at POS since it was granted. */
static bool untouched(const struct win_rx *r, uint32_t pos)
{
	return pos != r->in || r->end - r->offset == win_rx_seg(r, pos)->len - r->part;
}

static int put_answer(struct nmti_win *w, uint64_t index, bool skipped)
{
	struct win_cancels *c = w->ask;
	struct win_rx *r = &w->rx;
	uint32_t pos;

	if (!c || c->head == c->tail || c->index[c->head++ % NMTI_WIN_CANCELS] != index)
		return -EPROTO;
	pos = find(r, index);
	if (!skipped || pos == r->grant)
		return 0;
	if (!untouched(r, pos))
		return -EPROTO;
	if (pos == r->in && r->part)
		return 0; /* has bytes of an earlier epoch: its STOP ends it, behind them */
	nmti_win_rx_gone(w, pos, SEG_STOPS);
	if (pos == r->in)
		nmti_win_rx_load(w);
	return 0;
}

/* ---- the message ---------------------------------------------------------------------------- */

static int body(struct nmti_win *w, const struct nmti_ctrl *m)
{
	switch (m->type) {
	case NMTI_CTRL_GRANT:
		return put_grants(w, m);
	case NMTI_CTRL_REGION:
		return put_region(w, &m->region);
	case NMTI_CTRL_CANCEL:
		return put_cancel(w, m->index);
	default:
		return put_answer(w, m->index, m->type == NMTI_CTRL_SKIPPED);
	}
}

int nmti_win_ctrl_put(struct nmti_win *w, const void *buf, size_t len)
{
	struct nmti_ctrl m;
	int err;

	if (w->fenced || w->ctl.arrived - w->ctl.told == w->attr.rx_ctrl)
		return -EPROTO;
	err = nmti_ctrl_decode(buf, len, &m);
	if (err)
		return err;
	if (m.epoch != w->tx.epoch || m.nrails != w->tx.nrails)
		return -EPROTO;
	w->ctl.arrived++;
	w->ctl.got++;
	w->rx.now |= w->ctl.arrived - w->ctl.told >= w->ctl.half;
	err = counts(w, &m);
	return err ? err : body(w, &m);
}
