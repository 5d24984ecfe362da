/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What every message asks of a window, inline, beside window.h.
 *
 * The "plain" calls are the short way of a run that most messages are: bytes, in order, in the middle
 * of segment and stripe. Each says 0, and has done nothing, where it is not so simple; then the
 * call of window.h that it stands for knows what to do. Both leave the same state behind.
 */
#ifndef NMTI_RMA_WINDOW_HOT_H
#define NMTI_RMA_WINDOW_HOT_H

#include "rma/window_int.h"

/* ---- sending ------------------------------------------------------------------------------- */

/* The last number of which it and all before are complete, over all rails. */
static inline uint64_t nmti_win_done(const struct nmti_win *w)
{
	return w->tx.done;
}

/* Bytes of the runs behind that. */
static inline uint64_t nmti_win_flight(const struct nmti_win *w)
{
	return w->tx.flight;
}

/* The rail of the next run. */
static inline uint8_t nmti_win_rail(const struct nmti_win *w)
{
	return w->tx.rail;
}

/* nmti_win_next() for LEN bytes, 1 at least, and nmti_win_posted(), where one run takes all of them: its number, or 0. */
static inline uint64_t nmti_win_post_plain(struct nmti_win *w, uint32_t len, bool eor,
					   struct nmti_run *run)
{
	struct win_tx *t = &w->tx;

	if (len >= t->stop - t->offset || win_tx_wait(t) != NMTI_WIN_GO || (eor && t->posted))
		return 0;
	win_tx_run(t, run, NMTI_RUN_DATA, len, eor);
	win_tx_count(t, run);
	return t->number;
}

/* ---- receiving ----------------------------------------------------------------------------- */

/* nmti_win_arrived(); nothing that came before waits for it. */
static inline bool nmti_win_arrived_plain(struct nmti_win *w, uint8_t rail, uint32_t imm,
					  uint32_t len)
{
	static const struct nmti_imm end = { .eor = true };
	struct win_rx *r = &w->rx;
	struct rx_rail *q = &r->rails[r->rail];
	bool eor = imm & nmti_imm_encode(&end);

	if (rail != r->rail || (imm & ~nmti_imm_encode(&end)) != (r->imm | r->seq) || !len ||
	    len >= r->stop - r->offset || q->arrived == q->limit || r->held || (eor && r->posted))
		return false;
	q->arrived++;
	win_rx_ready(r, len, eor);
	r->offset += len;
	return true;
}

/* What nmti_win_peek() says, and no more. */
static inline bool nmti_win_ready(const struct nmti_win *w)
{
	return w->rx.ready_head != w->rx.ready_tail;
}

/*
 * nmti_win_peek() and nmti_win_take(), of a piece that is a whole run of at most MAX bytes. Of PIECE
 * only cookie, offset, len and eor are filled in.
 */
static inline bool nmti_win_take_plain(struct nmti_win *w, uint64_t max, struct nmti_piece *piece)
{
	struct win_rx *r = &w->rx;
	const struct rx_ready *e = &r->ready[r->ready_head & r->ready_mask];
	const struct rx_seg *s = win_rx_seg(r, r->out);

	if (r->ready_head == r->ready_tail || e->flags & ~READY_EOR || !e->len || e->len > max ||
	    e->len > s->len - r->out_at || r->old)
		return false;
	piece->cookie = s->cookie;
	piece->offset = r->out_at;
	piece->len = e->len;
	piece->eor = e->flags;
	win_rx_took(r, e);
	win_rx_credit(r, e->rail);
	return true;
}

/* ---- control messages ---------------------------------------------------------------------- */

/*
 * Whether nmti_win_due() says NMTI_WIN_NOW. MORE: the application may take more pieces at once; then
 * a peer that has nothing left is told with them, and the caller asks again when it does not.
 */
static inline bool nmti_win_due_now(const struct nmti_win *w, bool more)
{
	if (likely(!w->rx.now && !w->rx.pending && !w->rx.wants && !w->answer))
		return false;
	return nmti_win_due_any(w, more);
}

#endif
