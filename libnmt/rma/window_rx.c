/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The receiving direction of a window: segments, arrivals and their order, pieces, credit.
 *
 * Runs wait in the ring of their rail until it is their turn, then go to the ready queue and are
 * checked there and then; a piece is a ready run, or what it has in one segment.
 */
#include "rma/window_hot.h"

/* ---- segments ------------------------------------------------------------------------------- */

/* Forget what nobody needs of the segments that are taken. */
static void trim(struct win_rx *r)
{
	if (likely(!r->untold))
		r->head = r->out;
	while (r->head != r->out && !(win_rx_seg(r, r->head)->flags & SEG_UNTOLD))
		r->head++;
}

/* Pieces do not come from segments that are gone. */
static void settle_out(struct win_rx *r)
{
	while (r->out != r->in && win_rx_seg(r, r->out)->flags & SEG_GONE) {
		r->out++;
		r->out_at = 0;
	}
	trim(r);
}

static bool passed(const struct rx_seg *s)
{
	return (s->flags & (SEG_GONE | SEG_STOPS)) == SEG_GONE;
}

void nmti_win_rx_load(struct nmti_win *w)
{
	struct win_rx *r = &w->rx;
	const struct rx_seg *s = win_rx_seg(r, r->in);

	while (r->in != r->grant && passed(s)) {
		s = win_rx_seg(r, ++r->in);
		r->part = 0;
	}
	r->end = r->offset;
	if (r->in != r->grant && !(s->flags & SEG_GONE)) {
		r->end += s->len - r->part;
		r->granted -= s->len - r->part;
	}
	r->stop = win_stop(r->offset, r->end, r->stripe);
	settle_out(r);
}

void nmti_win_rx_gone(struct nmti_win *w, uint32_t pos, uint8_t how)
{
	struct win_rx *r = &w->rx;
	struct rx_seg *s = win_rx_seg(r, pos);

	if ((int32_t)(r->grant - pos) <= 0) {
		r->pending--;
		r->grantable -= s->len - (pos == r->in ? r->part : 0);
	} else if (pos != r->in) {
		r->granted -= s->len;
	}
	if (s->flags & SEG_WANT)
		r->wants--;
	s->flags = (uint8_t)((s->flags & ~SEG_WANT) | SEG_GONE | SEG_UNTOLD | how);
	r->untold++;
}

static bool region_has(const struct nmti_win *w, const struct nmti_seg *seg)
{
	uint64_t len;

	if (seg->region >= w->rx_regions.count)
		return false;
	len = win_region(&w->rx_regions, seg->region)->len;
	return seg->len && seg->len <= len && seg->offset <= len - seg->len;
}

static bool before(const struct rx_seg *a, const struct rx_seg *b)
{
	return a->region == b->region && a->offset < b->offset;
}

/*
 * The newest segment goes before those that wait and lie behind it in its region, so that many adjoin;
 * not past one of another region, whose neighbours would be parted.
 * One with bytes of an earlier epoch stays the first.
 */
static void sort_last(struct win_rx *r)
{
	uint32_t first = r->grant + (r->grant == r->in && r->part), pos = r->tail - 1;
	struct rx_seg s = *win_rx_seg(r, pos);

	for (; pos != first && before(&s, win_rx_seg(r, pos - 1)); pos--)
		*win_rx_seg(r, pos) = *win_rx_seg(r, pos - 1);
	*win_rx_seg(r, pos) = s;
}

int nmti_win_add(struct nmti_win *w, const struct nmti_seg *seg)
{
	struct win_rx *r = &w->rx;

	if (!region_has(w, seg) || (seg->whole && !r->posted))
		return -EINVAL;
	if (r->fin && r->ready_head == r->ready_tail)
		return -EPIPE;
	if (!nmti_win_room(w))
		return -ENOSPC;
	*win_rx_seg(r, r->tail++) = (struct rx_seg){
		.cookie = seg->cookie,
		.offset = seg->offset,
		.len = seg->len,
		.region = seg->region,
		.flags = seg->whole ? SEG_WHOLE : 0,
	};
	r->pending++;
	r->grantable += seg->len;
	if (!r->posted)
		sort_last(r);
	return 0;
}

uint32_t nmti_win_room(const struct nmti_win *w)
{
	return w->rx.seg_mask + 1 - (w->rx.tail - w->rx.head);
}

uint64_t nmti_win_unfilled(const struct nmti_win *w)
{
	return win_rx_open(&w->rx) + w->rx.grantable;
}

/* ---- credit --------------------------------------------------------------------------------- */

/* A run of an earlier epoch was taken: the slots that it held are for all rails. */
static void credit_old(struct nmti_win *w)
{
	struct win_rx *r = &w->rx;
	uint32_t most = w->attr.rails_max;

	r->old--;
	r->extra = w->attr.rx_slots - (r->old + most - 1) / most - r->slots;
	for (uint32_t i = 0; i < r->nrails; i++)
		if (r->rails[i].taken + r->extra - r->rails[i].told >= r->half)
			r->now = true;
}

/* ---- runs in order -------------------------------------------------------------------------- */

/* The current segment is over: the next one. */
static void next_segment(struct nmti_win *w)
{
	w->rx.open--;
	w->rx.in++;
	w->rx.part = 0;
	nmti_win_rx_load(w);
}

/* The current segment ends with the run E. */
static void end_segment(struct nmti_win *w, struct rx_ready *e, uint8_t how)
{
	struct win_rx *r = &w->rx;

	if (win_rx_seg(r, r->in)->flags & SEG_WANT)
		r->wants--;
	e->flags |= READY_LAST | how;
	next_segment(w);
}

/* Bytes up to the end of a stripe or a segment, or to an EOR that ends the segment. */
static void arrive_edge(struct nmti_win *w, struct rx_ready *e)
{
	struct win_rx *r = &w->rx;
	bool eor = e->flags & READY_EOR;

	r->rail = win_rail_behind(r->rail, r->nrails, r->offset, r->stripe);
	r->stop = win_stop(r->offset, r->end, r->stripe);
	if (r->offset != r->end && !(eor && r->posted))
		return;
	if (eor || !(win_rx_seg(r, r->in)->flags & SEG_WHOLE))
		end_segment(w, e, 0);
}

static inline void arrive_bytes(struct nmti_win *w, uint32_t len, bool eor)
{
	struct win_rx *r = &w->rx;
	struct rx_ready *e = win_rx_ready(r, len, eor);

	r->offset += len;
	if (unlikely(r->offset == r->stop || (eor && r->posted)))
		arrive_edge(w, e);
}

/* Whether the granted segments from the current one on that adjoin in memory have room for LEN bytes. */
static bool adjoins(const struct win_rx *r, uint32_t len)
{
	uint64_t room = r->end - r->offset;

	for (uint32_t pos = r->in; room && room < len && pos + 1 != r->grant; pos++) {
		const struct rx_seg *s = win_rx_seg(r, pos), *next = win_rx_seg(r, pos + 1);

		if (next->region != s->region || next->offset != s->offset + s->len)
			break;
		room += next->len;
	}
	return room >= len;
}

/* Pool mode: bytes of several segments. */
static int arrive_across(struct nmti_win *w, uint32_t len, bool eor)
{
	struct win_rx *r = &w->rx;
	uint64_t end = r->offset + len;
	struct rx_ready *e;

	if (r->posted || len > win_stripe_left(r->offset, r->stripe) || !adjoins(r, len))
		return -EPROTO;
	e = win_rx_ready(r, len, eor);
	while (r->end < end) {
		r->offset = r->end;
		next_segment(w);
	}
	r->offset = end;
	if (end == r->stop)
		arrive_edge(w, e);
	return 0;
}

/* The end of a record, without bytes. */
static int arrive_eor(struct nmti_win *w)
{
	struct win_rx *r = &w->rx;
	struct rx_ready *e;

	if (r->posted && (r->in == r->grant || win_rx_seg(r, r->in)->flags & SEG_GONE))
		return -EPROTO;
	e = win_rx_ready(r, 0, true);
	if (r->posted)
		end_segment(w, e, 0);
	return 0;
}

static int arrive_stop(struct nmti_win *w)
{
	struct win_rx *r = &w->rx;
	struct rx_seg *s = win_rx_seg(r, r->in);

	if (r->in == r->grant || !(s->flags & SEG_ASKED))
		return -EPROTO;
	if (!(s->flags & SEG_GONE)) {
		end_segment(w, win_rx_ready(r, 0, false), READY_STOP);
		return 0;
	}
	/* The application has it already: nothing to take. */
	s->flags &= (uint8_t)~SEG_STOPS;
	r->open--;
	r->seq = (r->seq + 1) & NMTI_SEQ_MASK;
	r->owed = true;
	win_rx_credit(r, r->rail);
	nmti_win_rx_load(w);
	return 0;
}

static int arrive_trunc(struct nmti_win *w)
{
	struct win_rx *r = &w->rx;
	const struct rx_seg *s = win_rx_seg(r, r->in);

	if (r->in == r->grant || r->end != r->offset ||
	    (s->flags & (SEG_WHOLE | SEG_GONE)) != SEG_WHOLE)
		return -EPROTO;
	r->records++;
	end_segment(w, win_rx_ready(r, 0, false), READY_TRUNC);
	return 0;
}

/* Nothing is valid behind it. */
static int arrive_fin(struct win_rx *r)
{
	if (r->held)
		return -EPROTO;
	win_rx_ready(r, 0, false)->flags = READY_FIN;
	r->fin = true;
	r->wants = 0;
	for (uint32_t i = 0; i < r->nrails; i++)
		r->rails[i].limit = r->rails[i].arrived;
	return 0;
}

/* All but bytes of the current segment. */
static int arrive_other(struct nmti_win *w, uint32_t imm, uint32_t len)
{
	struct nmti_imm m;
	int err = nmti_imm_decode(imm, len, &m);

	if (err)
		return err;
	if (m.epoch != w->tx.epoch || m.seq != w->rx.seq)
		return -EPROTO;
	if (len)
		return arrive_across(w, len, m.eor);
	if (m.type == NMTI_RUN_DATA)
		return arrive_eor(w);
	if (m.type == NMTI_RUN_STOP)
		return arrive_stop(w);
	return m.type == NMTI_RUN_TRUNC ? arrive_trunc(w) : arrive_fin(&w->rx);
}

static inline int arrive(struct nmti_win *w, uint32_t imm, uint32_t len)
{
	static const struct nmti_imm eor = { .eor = true };
	struct win_rx *r = &w->rx;
	uint64_t room = r->stop - r->offset;
	uint32_t bit = nmti_imm_encode(&eor);

	if (unlikely((imm & ~bit) != (r->imm | r->seq) || len - UINT64_C(1) >= room))
		return arrive_other(w, imm, len);
	arrive_bytes(w, len, imm & bit);
	return 0;
}

/* ---- arrivals ------------------------------------------------------------------------------- */

static inline struct rx_held *held_at(const struct win_rx *r, uint8_t rail, uint32_t pos)
{
	return &r->heldq[rail * (r->held_mask + 1) + (pos & r->held_mask)];
}

/* Not its turn: other rails have runs before it. */
static int hold(struct win_rx *r, uint8_t rail, uint32_t imm, uint32_t len)
{
	*held_at(r, rail, r->rails[rail].tail++) = (struct rx_held){ imm, len };
	r->held++;
	return 0;
}

/* Runs that waited, as far as they are next now. */
static int drain(struct nmti_win *w)
{
	struct win_rx *r = &w->rx;

	while (r->rails[r->rail].head != r->rails[r->rail].tail) {
		struct rx_held *h = held_at(r, r->rail, r->rails[r->rail].head++);
		int err;

		r->held--;
		err = arrive(w, h->imm, h->len);
		if (err)
			return err;
	}
	return 0;
}

/* ---- arrivals of a fabric that keeps no order: each rail's ring is kept by run number --------- */

static inline uint32_t ahead_of(const struct win_rx *r, uint32_t imm)
{
	return (imm - r->seq) & NMTI_SEQ_MASK;
}

/* More than can be under way is a number that was had before, or never given. */
static int sort_in(struct nmti_win *w, uint8_t rail, uint32_t imm, uint32_t len)
{
	struct win_rx *r = &w->rx;
	struct rx_rail *q = &r->rails[rail];
	uint32_t ahead = ahead_of(r, imm), i = q->tail;

	if (ahead >= (uint32_t)w->attr.rx_slots * r->nrails)
		return -EPROTO;
	for (; i != q->head && ahead_of(r, held_at(r, rail, i - 1)->imm) >= ahead; i--)
		*held_at(r, rail, i) = *held_at(r, rail, i - 1);
	*held_at(r, rail, i) = (struct rx_held){ imm, len };
	q->tail++;
	r->held++;
	return 0;
}

static int arrived_any(struct nmti_win *w, uint8_t rail, uint32_t imm, uint32_t len)
{
	struct win_rx *r = &w->rx;
	int err = 0;

	if (rail == r->rail && !ahead_of(r, imm))
		err = arrive(w, imm, len);
	else
		err = sort_in(w, rail, imm, len);
	while (!err && r->rails[r->rail].head != r->rails[r->rail].tail) {
		struct rx_held *h = held_at(r, r->rail, r->rails[r->rail].head);

		if (ahead_of(r, h->imm))
			break;
		r->rails[r->rail].head++;
		r->held--;
		err = arrive(w, h->imm, h->len);
	}
	return err;
}

nmti_hot int nmti_win_arrived(struct nmti_win *w, uint8_t rail, uint32_t imm, uint32_t len)
{
	struct win_rx *r = &w->rx;
	struct rx_rail *q = &r->rails[rail];
	int err;

	if (unlikely(rail >= r->nrails || q->arrived == q->limit))
		return -EPROTO;
	q->arrived++;
	if (unlikely(w->attr.rx_unordered))
		return arrived_any(w, rail, imm, len);
	if (rail != r->rail)
		return hold(r, rail, imm, len);
	err = arrive(w, imm, len);
	return likely(!r->held) || err ? err : drain(w);
}

/* ---- pieces --------------------------------------------------------------------------------- */

/* The part of LEN bytes of a run in its first segment, which it fills. */
static void make_part(const struct rx_seg *s, uint64_t out_at, uint32_t len,
		      struct nmti_piece *piece)
{
	uint32_t part = (uint32_t)(s->len - out_at);

	*piece = (struct nmti_piece){
		.cookie = s->cookie,
		.offset = out_at,
		.len = part,
		.rest = len - part,
		.last = true,
	};
}

/* The ready run E as a piece, LEN bytes of it: of segment OUT, at OUT_AT. */
static inline void make_piece(const struct win_rx *r, const struct rx_ready *e, uint32_t len,
			      uint32_t out, uint64_t out_at, struct nmti_piece *piece)
{
	const struct rx_seg *s = win_rx_seg(r, out);

	if (unlikely(len > s->len - out_at)) {
		make_part(s, out_at, len, piece);
		return;
	}
	piece->cookie = s->cookie;
	piece->offset = out_at;
	piece->len = len;
	piece->rest = 0;
	piece->eor = e->flags & READY_EOR;
	piece->last = e->flags & READY_LAST;
	piece->fin = e->flags & READY_FIN;
	piece->status = 0;
	if (unlikely(e->flags & (READY_STOP | READY_TRUNC)))
		piece->status = e->flags & READY_STOP ? -ECANCELED : -EMSGSIZE;
}

nmti_hot bool nmti_win_peek(const struct nmti_win *w, struct nmti_piece *piece)
{
	const struct win_rx *r = &w->rx;
	const struct rx_ready *e = &r->ready[r->ready_head & r->ready_mask];

	if (r->ready_head == r->ready_tail)
		return false;
	make_piece(r, e, e->len, r->out, r->out_at, piece);
	return true;
}

void nmti_win_first(const struct nmti_win *w, struct nmti_win_at *at)
{
	*at = (struct nmti_win_at){ w->rx.ready_head, 0, w->rx.out, w->rx.out_at };
}

bool nmti_win_look(const struct nmti_win *w, struct nmti_win_at *at, struct nmti_piece *piece)
{
	const struct win_rx *r = &w->rx;
	const struct rx_ready *e = &r->ready[at->ready & r->ready_mask];

	if (at->ready == r->ready_tail)
		return false;
	make_piece(r, e, e->len - at->done, at->out, at->out_at, piece);
	at->out_at += piece->len;
	at->done += piece->len;
	if (at->done == e->len) {
		at->ready++;
		at->done = 0;
	}
	if (!piece->last)
		return true;
	at->out_at = 0;
	do
		at->out++;
	while (at->out != r->in && win_rx_seg(r, at->out)->flags & SEG_GONE);
	return true;
}

/* The end was taken: nobody writes to what is left. */
static void finish(struct nmti_win *w)
{
	struct win_rx *r = &w->rx;

	for (uint32_t pos = r->out; pos != r->tail; pos++) {
		struct rx_seg *s = win_rx_seg(r, pos);

		if (!(s->flags & SEG_GONE)) {
			s->flags |= SEG_GONE | SEG_UNTOLD;
			r->untold++;
		}
	}
	if (r->in != r->grant) /* the peer may not have heard of all grants */
		r->index = win_rx_index(r, win_rx_seg(r, r->in));
	r->in = r->grant = r->out = r->tail;
	r->open = r->pending = r->wants = 0;
	r->granted = r->grantable = r->part = r->out_at = 0;
	r->end = r->stop = r->offset;
	trim(r);
}

static void segment_taken(struct win_rx *r)
{
	r->out++;
	r->out_at = 0;
	settle_out(r);
}

/* N bytes of the run E, and their segment; the rest of it is a piece of the next one. */
static void take_part(struct win_rx *r, struct rx_ready *e, uint64_t n)
{
	e->len -= (uint32_t)n;
	r->took += n;
	segment_taken(r);
}

nmti_hot void nmti_win_take(struct nmti_win *w)
{
	struct win_rx *r = &w->rx;
	struct rx_ready *e = &r->ready[r->ready_head & r->ready_mask];
	uint64_t left = win_rx_seg(r, r->out)->len - r->out_at;

	if (unlikely(e->len > left)) {
		take_part(r, e, left);
		return;
	}
	win_rx_took(r, e);
	if (likely(!r->old))
		win_rx_credit(r, e->rail);
	else
		credit_old(w);
	if (likely(!(e->flags & (READY_LAST | READY_FIN))))
		return;
	if (e->flags & READY_FIN) {
		finish(w);
		return;
	}
	segment_taken(r);
}

/* ---- cancel --------------------------------------------------------------------------------- */

void nmti_win_rx_skip(struct nmti_win *w)
{
	struct win_rx *r = &w->rx;
	bool none = r->in == r->grant;

	while (r->grant != r->tail && win_rx_seg(r, r->grant)->flags & SEG_GONE)
		r->grant++;
	if (none)
		nmti_win_rx_load(w);
}

void nmti_win_rx_drop(struct nmti_win *w, uint32_t pos)
{
	struct win_rx *r = &w->rx;

	if (r->fin) /* gives it back when it is taken */
		return;
	if (pos == r->in && r->part && r->ready_head != r->ready_tail) {
		if (win_rx_seg(r, pos)->flags & SEG_WANT)
			r->wants--;
		r->ready[(r->ready_tail - 1) & r->ready_mask].flags |= READY_LAST | READY_STOP;
		r->pending--;
		r->grantable -= win_rx_seg(r, pos)->len - r->part;
		r->part = 0;
		r->in = ++r->grant;
	} else {
		nmti_win_rx_gone(w, pos, 0);
	}
	nmti_win_rx_skip(w);
}

int nmti_win_cancel(struct nmti_win *w, uint64_t cookie)
{
	struct win_rx *r = &w->rx;

	for (uint32_t pos = r->in; r->posted && pos != r->tail; pos++) {
		struct rx_seg *s = win_rx_seg(r, pos);

		if (s->cookie != cookie || s->flags & SEG_GONE)
			continue;
		if ((int32_t)(r->grant - pos) <= 0) {
			nmti_win_rx_drop(w, pos);
		} else if (!r->fin && !(s->flags & (SEG_WANT | SEG_ASKED))) {
			s->flags |= SEG_WANT;
			r->wants++;
		}
		return 0;
	}
	return -ENOENT;
}

bool nmti_win_returned(struct nmti_win *w, uint64_t *cookie)
{
	struct win_rx *r = &w->rx;

	for (uint32_t pos = r->head; r->untold && pos != r->tail; pos++) {
		struct rx_seg *s = win_rx_seg(r, pos);

		if (!(s->flags & SEG_UNTOLD))
			continue;
		s->flags &= (uint8_t)~SEG_UNTOLD;
		r->untold--;
		*cookie = s->cookie;
		trim(r);
		return true;
	}
	return false;
}
