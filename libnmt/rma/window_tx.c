/* SPDX-License-Identifier: BSD-2-Clause */
/* The sending direction of a window: which run comes next, what is in flight, what is done. */
#include "rma/window_hot.h"

void nmti_win_tx_load(struct nmti_win *w)
{
	struct win_tx *t = &w->tx;
	const struct tx_seg *s = win_tx_seg(t, t->cur);

	t->flags &= (uint8_t)~(TX_STOP | TX_FULL);
	t->end = t->stop = t->offset;
	if (t->cur == t->tail)
		return;
	if (s->flags & SEG_SKIP) {
		nmti_win_tx_stop(w);
		return;
	}
	t->end = t->offset + s->len;
	t->shift = s->at - t->offset;
	t->region = win_region(&w->tx_regions, s->region);
	if (!s->len)
		t->flags |= TX_FULL;
	if (!(t->flags & (TX_DISCARD | TX_FIN)))
		t->stop = win_stop(t->offset, t->end, t->stripe);
}

void nmti_win_tx_stop(struct nmti_win *w)
{
	w->tx.flags |= TX_STOP;
	w->tx.end = w->tx.stop = w->tx.offset;
}

/* ---- the next run --------------------------------------------------------------------------- */

static inline enum nmti_win_wait offer(const struct win_tx *t, struct nmti_run *run, uint8_t type,
				       uint32_t len, bool eor)
{
	enum nmti_win_wait wait = win_tx_wait(t);

	if (likely(wait == NMTI_WIN_GO))
		win_tx_run(t, run, type, len, eor);
	return wait;
}

/* Anything but bytes into the current segment. */
static enum nmti_win_wait next_other(const struct win_tx *t, uint64_t len, bool eor,
				     struct nmti_run *run)
{
	if (t->flags & TX_FIN)
		return NMTI_WIN_NOTHING;
	if (t->flags & TX_STOP)
		return offer(t, run, NMTI_RUN_STOP, 0, false);
	if (t->flags & TX_DISCARD)
		return NMTI_WIN_DISCARD;
	if (!len && !eor)
		return NMTI_WIN_NOTHING;
	if (t->flags & TX_FULL)
		return offer(t, run, len ? NMTI_RUN_TRUNC : NMTI_RUN_DATA, 0, !len);
	if (t->cur == t->tail && (len || t->posted))
		return NMTI_WIN_SEGMENT;
	return offer(t, run, NMTI_RUN_DATA, 0, true);
}

/*
 * How many of LEN bytes one run takes when the current segment has room for N, not for all: those
 * behind it may adjoin, too.
 */
static uint64_t span(const struct win_tx *t, uint64_t n, uint64_t len)
{
	uint64_t most = win_min(len, win_stripe_left(t->offset, t->stripe));

	for (uint64_t i = t->cur; n < most && n < NMTI_WIN_SPAN && i + 1 != t->tail; i++) {
		const struct tx_seg *s = win_tx_seg(t, i), *next = win_tx_seg(t, i + 1);

		if (next->region != s->region || next->at != s->at + s->len)
			break;
		n += next->len;
	}
	return win_min(n, most);
}

nmti_hot enum nmti_win_wait nmti_win_next(const struct nmti_win *w, uint64_t len, bool eor,
					  struct nmti_run *run)
{
	const struct win_tx *t = &w->tx;
	uint64_t n = win_min(len, t->stop - t->offset);

	if (unlikely(!n))
		return next_other(t, len, eor, run);
	if (unlikely(n != len) && !t->posted)
		n = span(t, n, len);
	return offer(t, run, NMTI_RUN_DATA, (uint32_t)n, eor && n == len);
}

enum nmti_win_wait nmti_win_next_fin(const struct nmti_win *w, struct nmti_run *run)
{
	if (w->tx.flags & TX_FIN)
		return NMTI_WIN_NOTHING;
	return offer(&w->tx, run, NMTI_RUN_FIN, 0, false);
}

void nmti_win_discarded(struct nmti_win *w)
{
	struct win_tx *t = &w->tx;

	t->flags &= (uint8_t)~TX_DISCARD;
	if (!(t->flags & TX_FIN))
		t->stop = win_stop(t->offset, t->end, t->stripe);
}

/* ---- what was posted ------------------------------------------------------------------------ */

static void next_segment(struct nmti_win *w)
{
	w->tx.cur++;
	nmti_win_tx_load(w);
}

/* A run that ends a segment or the stream, or filled the segment. */
static void posted_end(struct nmti_win *w, const struct nmti_run *run)
{
	struct win_tx *t = &w->tx;

	if (run->type == NMTI_RUN_FIN) {
		t->flags |= TX_FIN;
		t->stop = t->offset;
		return;
	}
	if (run->type == NMTI_RUN_TRUNC) {
		t->records++;
		t->flags |= TX_DISCARD;
	}
	if (t->cur == t->tail) /* end of a record in pool mode, between two segments */
		return;
	if (!run->type && !run->eor && win_tx_seg(t, t->cur)->flags & SEG_WHOLE)
		t->flags |= TX_FULL;
	else
		next_segment(w);
}

/* A run that is not just bytes in the middle of segment and stripe. */
static void posted_edge(struct nmti_win *w, const struct nmti_run *run)
{
	struct win_tx *t = &w->tx;

	if (run->len)
		t->rail = win_rail_behind(t->rail, t->nrails, t->offset, t->stripe);
	while (t->offset > t->end) /* into segments that adjoin */
		t->end += win_tx_seg(t, ++t->cur)->len;
	if (t->offset == t->end || run->type || (run->eor && t->posted))
		posted_end(w, run);
	else
		t->stop = win_stop(t->offset, t->end, t->stripe);
}

nmti_hot uint64_t nmti_win_posted(struct nmti_win *w, const struct nmti_run *run)
{
	struct win_tx *t = &w->tx;

	win_tx_count(t, run);
	if (unlikely(t->offset >= t->stop || run->type || (run->eor && t->posted)))
		posted_edge(w, run);
	return t->number;
}

/* ---- what completed ------------------------------------------------------------------------- */

nmti_hot void nmti_win_complete(struct nmti_win *w, uint8_t rail, uint64_t run)
{
	struct win_tx *t = &w->tx;
	uint64_t done = t->done;

	t->rails[rail].completed = run;
	while (done != t->number) {
		const struct tx_run *r = &t->runs[(done + 1) & (t->depth - 1)];

		if (t->rails[r->rail].completed <= done)
			break;
		t->flight -= r->len;
		done++;
	}
	t->done = done;
}

uint64_t nmti_win_granted(const struct nmti_win *w)
{
	return w->tx.tail - w->tx.cur;
}

void nmti_win_tx_pos(const struct nmti_win *w, struct nmti_win_pos *pos)
{
	pos->offset = w->tx.offset;
	pos->records = w->tx.records;
	pos->fin = w->tx.flags & TX_FIN;
}

void nmti_win_acked(const struct nmti_win *w, struct nmti_win_pos *pos)
{
	*pos = w->ctl.acked;
}
