/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Control messages that a window sends: what is due, in which order. Regions go before the segments
 * in them, and a cancel is asked for only after the grant. Each message carries all counts.
 */
#include "rma/window_hot.h"

/* ---- what is due ---------------------------------------------------------------------------- */

static uint32_t ctrl_owed(const struct win_ctl *c)
{
	return c->arrived - c->told;
}

/*
 * The peer has nothing, or what can be granted now is half: of the bytes that there are, or of the
 * segments that it remembers. MORE: it can wait, since there is something to take.
 */
static bool grants_due(const struct nmti_win *w, bool more)
{
	const struct win_rx *r = &w->rx;
	uint32_t room;

	if (!r->pending)
		return false;
	room = w->attr.rx_grants - r->open;
	if (!room || r->fin)
		return false;
	if (!win_rx_open(r) && !more)
		return true;
	if (r->pending <= room)
		return r->grantable >= win_rx_open(r) + win_rx_untaken(r);
	return room >= w->attr.rx_grants / 2u;
}

static bool answer_due(const struct nmti_win *w)
{
	return w->answer && w->answer->head != w->answer->tail;
}

static bool cancel_due(const struct nmti_win *w)
{
	return w->rx.wants && w->ask->tail - w->ask->head < NMTI_WIN_CANCELS;
}

static bool counts_due(const struct nmti_win *w)
{
	return w->rx.owed || ctrl_owed(&w->ctl) || w->rx.offset != w->ctl.told_offset ||
	       w->rx.records != w->ctl.told_records;
}

bool nmti_win_due_any(const struct nmti_win *w, bool more)
{
	return !w->fenced &&
	       (w->rx.now || grants_due(w, more) || answer_due(w) || cancel_due(w));
}

enum nmti_win_due nmti_win_due(const struct nmti_win *w)
{
	if (w->fenced)
		return NMTI_WIN_IDLE;
	if (nmti_win_due_now(w, false))
		return NMTI_WIN_NOW;
	if (w->rx.pending || w->ctl.regions || counts_due(w))
		return NMTI_WIN_LATER;
	return NMTI_WIN_IDLE;
}

/* The last slot at the peer is for messages that give it one back. */
static bool may_send(const struct win_ctl *c)
{
	uint32_t slots = c->limit - c->used;

	return slots > 1 || (slots && ctrl_owed(c));
}

/* ---- bodies --------------------------------------------------------------------------------- */

static void take_region(struct nmti_win *w, struct nmti_ctrl *m)
{
	struct win_region *r = win_region(&w->rx_regions, 0);
	uint16_t id = 0;
	uint8_t rail;

	while (!r->due)
		r = win_region(&w->rx_regions, ++id);
	rail = (uint8_t)__builtin_ctz(r->due);
	r->due &= (uint16_t)(r->due - 1);
	w->ctl.regions--;
	m->type = NMTI_CTRL_REGION;
	m->region = (struct nmti_region){ id, rail, r->rail[rail].base, r->len, r->rail[rail].key };
}

static void take_answer(struct win_cancels *c, struct nmti_ctrl *m)
{
	uint32_t slot = c->head++ % NMTI_WIN_CANCELS;

	m->type = c->kept & 1u << slot ? NMTI_CTRL_KEPT : NMTI_CTRL_SKIPPED;
	m->index = c->index[slot];
}

static void take_cancel(struct nmti_win *w, struct nmti_ctrl *m)
{
	struct win_rx *r = &w->rx;
	uint32_t pos = r->in;
	struct rx_seg *s;

	while (!((s = win_rx_seg(r, pos))->flags & SEG_WANT))
		pos++;
	s->flags = (uint8_t)((s->flags & ~SEG_WANT) | SEG_ASKED);
	r->wants--;
	m->type = NMTI_CTRL_CANCEL;
	m->index = win_rx_index(r, s);
	w->ask->index[w->ask->tail++ % NMTI_WIN_CANCELS] = m->index;
}

/* All rails of the epoch have it. */
static bool region_ready(const struct nmti_win *w, uint16_t id)
{
	return win_region(&w->rx_regions, id)->known == (uint16_t)((1u << w->rx.nrails) - 1);
}

/* Directly behind G, and alike. */
static bool extends(const struct nmti_grant *g, const struct nmti_grant *next)
{
	return g->region == next->region && g->flags == next->flags && g->length == next->length &&
	       next->offset == g->offset + g->length * g->repeat;
}

/* The segment at rx.grant as a grant of its own. */
static void as_grant(const struct win_rx *r, struct nmti_grant *g)
{
	const struct rx_seg *s = win_rx_seg(r, r->grant);
	uint64_t part = r->grant == r->in ? r->part : 0;

	g->region = s->region;
	g->flags = s->flags & SEG_WHOLE ? NMTI_GRANT_WHOLE : 0;
	g->repeat = 1;
	g->offset = s->offset + part;
	g->length = s->len - part;
}

static void count_grant(struct win_rx *r, uint64_t len)
{
	win_rx_seg(r, r->grant++)->index = (uint32_t)r->index++;
	r->open++;
	r->pending--;
	r->granted += len;
	r->grantable -= len;
}

/* Segments as they were added, in at most MAX entries. How many entries. */
static uint16_t collect(struct nmti_win *w, struct nmti_grant *g, uint32_t max)
{
	struct win_rx *r = &w->rx;
	struct nmti_grant next;
	uint16_t n = 0;

	while (r->grant != r->tail && r->open != w->attr.rx_grants) {
		if (win_rx_seg(r, r->grant)->flags & SEG_GONE) {
			r->grant++;
			continue;
		}
		as_grant(r, &next);
		if (!region_ready(w, next.region))
			break;
		if (n && next.length && extends(&g[n - 1], &next))
			g[n - 1].repeat++;
		else if (n < max)
			g[n++] = next;
		else
			break;
		count_grant(r, next.length);
	}
	return n;
}

static void take_grants(struct nmti_win *w, struct nmti_ctrl *m, struct nmti_grant *g)
{
	struct win_rx *r = &w->rx;
	bool none = r->in == r->grant;

	m->type = NMTI_CTRL_GRANT;
	m->index = r->index;
	m->count = 0;
	if (r->pending && !r->fin)
		m->count = collect(w, g, nmti_ctrl_room(r->nrails, w->attr.ctrl_max));
	w->ctl.grants_sent += r->index - m->index;
	if (none)
		nmti_win_rx_load(w);
}

/* ---- the message ---------------------------------------------------------------------------- */

/* What every message tells, which then is told. */
static void take_counts(struct nmti_win *w, struct nmti_ctrl *m)
{
	struct win_rx *r = &w->rx;
	struct win_ctl *c = &w->ctl;

	m->epoch = w->tx.epoch;
	m->nrails = r->nrails;
	m->offset = c->told_offset = r->offset;
	m->records = c->told_records = r->records;
	m->ctrl_credit = c->told = c->arrived;
	for (uint32_t i = 0; i < r->nrails; i++) {
		struct rx_rail *q = &r->rails[i];

		m->run_credit[i] = q->told = q->taken + r->extra;
		if (!r->fin)
			q->limit = r->slots + q->told;
	}
	r->owed = r->now = false;
}

static void take_body(struct nmti_win *w, struct nmti_ctrl *m, struct nmti_grant *g)
{
	m->count = 0;
	if (answer_due(w))
		take_answer(w->answer, m);
	else if (w->ctl.regions)
		take_region(w, m);
	else if (cancel_due(w))
		take_cancel(w, m);
	else
		take_grants(w, m, g);
}

int nmti_win_ctrl_get(struct nmti_win *w, void *buf)
{
	struct nmti_grant grants[(NMTI_CTRL_MAX - 40) / NMTI_GRANT_LEN];
	struct nmti_ctrl m;

	if (w->fenced || (nmti_win_due(w) == NMTI_WIN_IDLE))
		return 0;
	if (!may_send(&w->ctl))
		return -EAGAIN;
	take_body(w, &m, grants);
	if (m.type == NMTI_CTRL_GRANT && !m.count && !counts_due(w))
		return 0;
	take_counts(w, &m);
	w->ctl.used++;
	w->ctl.sent++;
	return nmti_ctrl_encode(&m, grants, buf, w->attr.ctrl_max);
}
