/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Inside of the window, for window*.c. One block of memory: struct nmti_win and behind it the
 * arrays that it points to; only tables of regions may move to a larger block of their own.
 *
 * What a run touches lies at the front of win_tx and win_rx. No path of a run divides: stripes and
 * rings are powers of 2, and the rail of the position runs along with it, since no run crosses a
 * stripe. Where the current segment and the next run must end are stream positions, so that a run
 * in the middle of both moves only the position itself.
 */
#ifndef NMTI_RMA_WINDOW_INT_H
#define NMTI_RMA_WINDOW_INT_H

#include "hint.h"
#include "rma/window.h"

/* ---- regions ------------------------------------------------------------------------------- */

struct win_mr {
	uint64_t base, key;
};

struct win_region {
	uint64_t len;         /* 0: never announced */
	uint16_t known, due;  /* bit for each rail: announced in this epoch; not told yet (rx) */
	struct win_mr rail[]; /* as many as an epoch may have */
};

struct win_regions {
	char *mem;
	uint32_t count, stride;
	bool grown; /* MEM is a block of its own */
};

static inline struct win_region *win_region(const struct win_regions *t, uint32_t id)
{
	return (struct win_region *)(t->mem + (size_t)id * t->stride);
}

/* Room for ID, below NMTI_WIN_REGIONS. -ENOMEM. Moves the table: pointers into it are stale. */
int nmti_win_regions_grow(struct win_regions *t, uint32_t id);
/* RAIL of the region has BASE and KEY; a second announcement begins another life of the id. */
void nmti_win_region_set(struct win_region *r, uint8_t rail, const struct nmti_region *m);

/* ---- sending ------------------------------------------------------------------------------- */

/* What tx.flags tells: the next run is not simply data. */
enum {
	TX_STOP = 1,    /* a STOP is owed to the current segment */
	TX_FULL = 2,    /* the current segment is WHOLE and full; its end was not told */
	TX_DISCARD = 4, /* behind a TRUNC, in its record */
	TX_FIN = 8,     /* FIN was posted */
};

/* Flags of segments, of both directions. */
enum {
	SEG_WHOLE = 1,
	SEG_SKIP = 2,   /* tx: cancelled before anything was written to it */
	SEG_WANT = 4,   /* rx: a CANCEL is to be sent */
	SEG_ASKED = 8,  /* rx: CANCEL was sent in this epoch */
	SEG_GONE = 16,  /* rx: the application may have it, or has it */
	SEG_UNTOLD = 32, /* rx: GONE, but nmti_win_returned() has not told so */
	SEG_STOPS = 64, /* rx: GONE, and still in the peer's order, until its STOP */
};

struct tx_seg {
	uint64_t at; /* offset into the region */
	uint64_t len;
	uint16_t region;
	uint8_t flags;
};

struct tx_rail {
	uint32_t used, limit; /* runs of the epoch, modulo 2^32 */
	uint64_t completed;   /* number of the last run that did */
};

struct tx_run {
	uint32_t len;
	uint8_t rail, type;
	bool eor;
};

struct win_tx {
	uint64_t offset; /* stream position */
	uint64_t stop;   /* up to where the next run may go; OFFSET: it is something else than bytes */
	uint64_t end;    /* of the current segment; OFFSET: it has no bytes left, or there is none */
	uint64_t shift;  /* from the stream position to the offset into its region */
	uint64_t number, done; /* of the last run posted, and of the last complete one */
	uint64_t flight; /* bytes of the runs between them */
	uint64_t records;
	uint32_t stripe; /* mask */
	uint32_t seq;

	uint8_t flags, rail, nrails, epoch;
	bool posted;
	uint32_t depth;  /* of the ring of runs */
	const struct win_region *region; /* of the current segment */
	struct tx_rail *rails;
	struct tx_run *runs;

	struct tx_seg *segs;
	uint32_t nsegs;
	uint64_t first, cur, tail; /* segment indexes: of the epoch's first grant, current, next grant */
	uint32_t slots;            /* initial run credit of the epoch */
};

static inline struct tx_seg *win_tx_seg(const struct win_tx *t, uint64_t index)
{
	return &t->segs[index & (t->nsegs - 1)];
}

/* What a run on the rail of the position waits for, apart from memory. */
static inline enum nmti_win_wait win_tx_wait(const struct win_tx *t)
{
	const struct tx_rail *rail = &t->rails[t->rail];

	if (unlikely(rail->used == rail->limit))
		return NMTI_WIN_CREDIT;
	return unlikely(t->number - t->done >= t->depth) ? NMTI_WIN_DEPTH : NMTI_WIN_GO;
}

/* RUN is the next one. */
static inline void win_tx_run(const struct win_tx *t, struct nmti_run *run, uint8_t type,
			      uint32_t len, bool eor)
{
	struct nmti_imm imm = { type, eor, t->epoch, t->seq & NMTI_SEQ_MASK };

	run->rail = t->rail;
	run->type = type;
	run->eor = eor;
	run->len = len;
	run->imm = nmti_imm_encode(&imm);
	run->offset = t->offset;
	run->remote = 0;
	run->key = 0;
	if (likely(len)) {
		const struct win_mr *at = &t->region->rail[t->rail];

		run->remote = at->base + t->offset + t->shift;
		run->key = at->key;
	}
}

/* RUN was posted; what follows from where it ends is not seen to. */
static inline void win_tx_count(struct win_tx *t, const struct nmti_run *run)
{
	t->runs[++t->number & (t->depth - 1)] =
		(struct tx_run){ run->len, run->rail, run->type, run->eor };
	t->rails[run->rail].used++;
	t->seq++;
	t->offset += run->len;
	t->flight += run->len;
	t->records += run->eor;
}

/* ---- receiving ----------------------------------------------------------------------------- */

struct rx_seg {
	uint64_t cookie, offset, len;
	uint32_t index; /* low bits of what it was granted as */
	uint16_t region;
	uint8_t flags;
};

/* Ends of a ready run, beside EOR. */
enum {
	READY_EOR = 1,
	READY_LAST = 2,   /* ends its segment */
	READY_FIN = 4,
	READY_STOP = 8,   /* -ECANCELED */
	READY_TRUNC = 16, /* -EMSGSIZE */
};

struct rx_ready {
	uint32_t len;
	uint8_t rail, flags;
};

struct rx_held {
	uint32_t imm, len;
};

struct rx_rail {
	uint32_t arrived, limit; /* runs of the epoch; how many the peer may know that it may send */
	uint32_t taken, told;    /* runs of the epoch taken; credit that the peer was told of */
	uint32_t head, tail;     /* of its ring of held arrivals */
};

/*
 * Positions in the ring of segments, head <= out <= in <= grant <= tail: the oldest one remembered,
 * that of the next piece to take, that of the next run to arrive, the next to be granted, the next
 * to be added.
 */
struct win_rx {
	uint64_t offset; /* stream position, of what arrived in order */
	uint64_t stop;   /* up to where the next run may go */
	uint64_t end;    /* of the segment at IN; OFFSET: it has no bytes left, or there is none */
	uint64_t records;
	uint64_t granted;  /* bytes granted behind the segment at IN */
	uint64_t out_at;   /* where in the segment at OUT the next piece is */
	uint64_t took;     /* stream position of what was taken */
	uint32_t stripe;   /* mask */
	uint32_t imm, seq; /* of the next run: epoch in place, number */
	uint32_t held;     /* arrivals that are not in order yet */

	uint8_t rail, nrails;
	bool posted, fin; /* fin: arrived in order */
	bool owed, now;   /* run credit is owed; so much, or of control messages, that it has to be told now */
	uint32_t half;    /* that much */
	uint32_t ready_head, ready_tail, ready_mask;
	uint32_t out, in;
	struct rx_ready *ready;
	struct rx_rail *rails;
	struct rx_seg *segs;
	uint32_t seg_mask;
	uint32_t head, grant, tail;

	struct rx_held *heldq; /* a ring for each rail; NULL when an epoch has one rail at most */
	uint32_t held_mask;
	uint32_t old;      /* ready runs of earlier epochs */
	uint32_t slots, extra; /* initial run credit of the epoch; grown since by runs of earlier ones */
	uint32_t untold, wants; /* segments with SEG_UNTOLD, SEG_WANT */
	uint32_t open;     /* segments granted and not over */
	uint32_t pending;  /* segments to be granted */
	uint64_t grantable; /* bytes of them */
	uint64_t part;     /* bytes that earlier epochs wrote to the segment at IN */
	uint64_t index;    /* of the next grant */
	uint64_t taken;    /* runs, for statistics */
};

static inline struct rx_seg *win_rx_seg(const struct win_rx *r, uint32_t pos)
{
	return &r->segs[pos & r->seg_mask];
}

/* Bytes that the peer may write. */
static inline uint64_t win_rx_open(const struct win_rx *r)
{
	return r->granted + (r->end - r->offset);
}

/* Bytes that arrived in order and were not taken. */
static inline uint64_t win_rx_untaken(const struct win_rx *r)
{
	return r->offset - r->took;
}

/* The run at rx.seq goes to the ready queue. The checks are behind us. */
static inline struct rx_ready *win_rx_ready(struct win_rx *r, uint32_t len, bool eor)
{
	struct rx_ready *e = &r->ready[r->ready_tail++ & r->ready_mask];

	*e = (struct rx_ready){ len, r->rail, eor };
	r->seq = (r->seq + 1) & NMTI_SEQ_MASK;
	r->records += eor;
	return e;
}

/* A run of this epoch was taken: its slot is free again. */
static inline void win_rx_credit(struct win_rx *r, uint8_t rail)
{
	struct rx_rail *q = &r->rails[rail];

	if (++q->taken + r->extra - q->told >= r->half)
		r->now = true;
}

/* The first ready run, which is E, was taken; its credit is not seen to. */
static inline void win_rx_took(struct win_rx *r, const struct rx_ready *e)
{
	r->ready_head++;
	r->taken++;
	r->took += e->len;
	r->out_at += e->len;
	r->owed = true;
}

/* What a granted segment was granted as. */
static inline uint64_t win_rx_index(const struct win_rx *r, const struct rx_seg *s)
{
	return r->index - (uint32_t)((uint32_t)r->index - s->index);
}

/* ---- both ---------------------------------------------------------------------------------- */

struct win_ctl {
	uint32_t used, limit;   /* own control messages of the epoch */
	uint32_t arrived, told; /* the peer's; credit that it was told of */
	uint32_t half;          /* credit that has to be told now */
	uint64_t told_offset, told_records;
	struct nmti_win_pos acked; /* fin: not used */
	uint32_t regions;          /* REGION messages due */
	uint64_t sent, got, grants_sent, grants_got; /* for statistics */
};

/* Cancels that wait: asked by this end (ASK) or to be answered by it (ANSWER). */
struct win_cancels {
	uint64_t index[NMTI_WIN_CANCELS];
	uint32_t head, tail;
	uint32_t kept; /* bit for each slot: the answer is KEPT */
};

struct nmti_win {
	_Alignas(64) struct win_tx tx; /* cache lines: two of each direction do for a run */
	_Alignas(64) struct win_rx rx;
	struct win_ctl ctl;
	bool fenced;
	uint8_t next; /* fenced: the epoch to come */
	struct win_cancels *ask, *answer; /* NULL: the direction is not in posted mode */
	struct win_regions tx_regions, rx_regions;
	struct nmti_win_attr attr;
};

static inline uint64_t win_min(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static inline uint64_t win_stripe_left(uint64_t offset, uint32_t mask)
{
	return mask + UINT64_C(1) - (offset & mask);
}

/* Where a run from OFFSET that stays in its segment has to stop: at END, or at its stripe's end. */
static inline uint64_t win_stop(uint64_t offset, uint64_t end, uint32_t mask)
{
	return offset + win_min(end - offset, win_stripe_left(offset, mask));
}

/* The rail behind bytes that ended at OFFSET. */
static inline uint8_t win_rail_behind(uint8_t rail, uint8_t nrails, uint64_t offset, uint32_t mask)
{
	if (offset & mask)
		return rail;
	return (uint8_t)(rail + 1) == nrails ? 0 : (uint8_t)(rail + 1);
}

/* window_get.c: nmti_win_due_now() where there may be something. */
bool nmti_win_due_any(const struct nmti_win *w, bool more);

/* window_tx.c: the segment at tx.cur becomes the current one. */
void nmti_win_tx_load(struct nmti_win *w);
/* The current segment was cancelled: a STOP is the next run. */
void nmti_win_tx_stop(struct nmti_win *w);

/* window_rx.c: the first segment from rx.in on that is not gone becomes the current one. */
void nmti_win_rx_load(struct nmti_win *w);
/* The segment at POS is the application's again; nmti_win_returned() will tell. */
void nmti_win_rx_gone(struct nmti_win *w, uint32_t pos, uint8_t how);
/* What is gone before it was granted needs no grant. */
void nmti_win_rx_skip(struct nmti_win *w);
/* A segment that is not granted, though an earlier epoch may have filled it partly, ends. */
void nmti_win_rx_drop(struct nmti_win *w, uint32_t pos);

#endif
