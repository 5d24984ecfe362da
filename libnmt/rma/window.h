/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The window of a stream over remote writes: segments, grants, credits, runs, records, end and
 * resume point of both directions. Pure state: no I/O, no clock, no memory of the application is
 * touched, and nothing is allocated after nmti_win_open() but by a REGION or nmti_win_region() that
 * names an id beyond those before. The rules are those of docs/wire.md.
 *
 * Who does what. The adapter (rma.c) owns source and destination memory and the queue pairs. It
 * asks the window what to write next, says what completed, hands over what arrived, takes it out in
 * stream order, and carries control messages. Whatever a peer says is checked here: -EPROTO means
 * that the peer broke a rule and that the stream has to fail.
 *
 * One thread at a time, as the domain.
 */
#ifndef NMTI_RMA_WINDOW_H
#define NMTI_RMA_WINDOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wire.h"

#define NMTI_WIN_REGIONS 256u /* announced at one time by each side, at most */
#define NMTI_WIN_CANCELS 16u  /* unanswered, at most */
/* Bytes from which on a run does not go on in the next segment: its receiver has all or nothing. */
#define NMTI_WIN_SPAN (UINT32_C(1) << 20)

/* Fixed at set-up. tx: what this end sends, rx: what it receives. */
struct nmti_win_attr {
	uint8_t rails, rails_max;     /* of the first epoch; the most of any: 1..NMTI_RAILS_MAX */
	uint8_t tx_stripe, rx_stripe; /* log2 of bytes, NMTI_STRIPE_MIN..NMTI_STRIPE_MAX */
	bool tx_posted, rx_posted;    /* the receiver of that direction is in posted mode */
	bool rx_unordered;            /* runs of a rail may arrive in another order than sent */
	uint16_t tx_slots, rx_slots;  /* run slots a rail, of the peer and of this end */
	uint16_t tx_ctrl, rx_ctrl;    /* control slots, the same */
	uint16_t ctrl_max;            /* longest control message to send, bytes */
	uint32_t tx_depth;            /* runs in flight, all rails together; a power of 2 */
	uint32_t tx_segs;             /* segments that the peer may have granted at one time, as told
				       * to it at set-up; a power of 2, 2..32768 */
	uint32_t rx_segs;             /* own segments until they are taken; a power of 2, to 32768 */
	uint16_t rx_grants;           /* the peer's tx_segs, >= 2 */
};

struct nmti_win;

/* -ENOMEM; -EINVAL: ATTR. nmti_win_bytes: memory of a window with ATTR, before regions beyond 4. */
int nmti_win_open(const struct nmti_win_attr *attr, struct nmti_win **out);
void nmti_win_close(struct nmti_win *w);
size_t nmti_win_bytes(const struct nmti_win_attr *attr);

/* ---- sending ------------------------------------------------------------------------------ */

/* One RDMA write with immediate, as the adapter should post it. */
struct nmti_run {
	uint8_t rail;    /* index into the rails of this epoch */
	uint8_t type;    /* enum nmti_run_type of wire.h */
	bool eor;
	uint32_t len;    /* 0: nothing but the immediate */
	uint32_t imm;
	uint64_t remote; /* base of the region + offset */
	uint64_t key;
	uint64_t offset; /* stream position of its first byte */
};

enum nmti_win_wait {
	NMTI_WIN_GO,      /* there is a run to post */
	NMTI_WIN_NOTHING, /* nothing was asked for, or FIN was posted */
	NMTI_WIN_DISCARD, /* drop what the record has left, then nmti_win_discarded() */
	NMTI_WIN_SEGMENT, /* wait: no granted memory */
	NMTI_WIN_CREDIT,  /* wait: no slot on the rail of this position */
	NMTI_WIN_DEPTH,   /* wait: too many runs in flight */
};

/*
 * What to write next when LEN bytes stand ready in one piece and, if EOR, the record ends behind
 * them (LEN 0: an empty rest of a record). Changes nothing. The run may take less than LEN; its eor
 * is set only when it takes all. A STOP or TRUNC run takes no bytes; it goes first, then ask again.
 * Ask also with nothing ready (LEN 0, no EOR) after a control message: a STOP may be owed.
 * Behind a TRUNC the record has no stream positions. What is dropped of it can be wanted again as
 * long as the TRUNC is not complete.
 */
enum nmti_win_wait nmti_win_next(const struct nmti_win *w, uint64_t len, bool eor,
				 struct nmti_run *run);
/* The end, when all is written or dropped. Nothing can be written afterwards. */
enum nmti_win_wait nmti_win_next_fin(const struct nmti_win *w, struct nmti_run *run);
void nmti_win_discarded(struct nmti_win *w);

/*
 * RUN, as it came, was posted. Returns its number: runs are numbered from 1 over all epochs. What a
 * resume takes back loses its number, the next run has it.
 */
uint64_t nmti_win_posted(struct nmti_win *w, const struct nmti_run *run);

/* All runs up to number RUN on RAIL completed (a reliable completion says so of those before it). */
void nmti_win_complete(struct nmti_win *w, uint8_t rail, uint64_t run);
uint64_t nmti_win_granted(const struct nmti_win *w); /* segments that are not full */

/* Where the sending direction stands. */
struct nmti_win_pos {
	uint64_t offset, records;
	bool fin; /* it was posted */
};
void nmti_win_tx_pos(const struct nmti_win *w, struct nmti_win_pos *pos);
/* What the peer said it has; fin is not told. */
void nmti_win_acked(const struct nmti_win *w, struct nmti_win_pos *pos);

/* ---- receiving ---------------------------------------------------------------------------- */

/*
 * Memory that the peer may write: region ID has this address and key on RAIL. Once for each rail of
 * the epoch, of the same length; told before the first segment that names it is granted.
 * Once no unfinished segment names an id, it may be announced with other memory, on all rails.
 * -ENOSPC: ID is not below NMTI_WIN_REGIONS; -EINVAL; -EBUSY: a segment names it; -ENOMEM.
 */
int nmti_win_region(struct nmti_win *w, uint16_t id, uint8_t rail, uint64_t base, uint64_t len,
		    uint64_t key);

/* Memory for the stream's next bytes. COOKIE comes back with the pieces. */
struct nmti_seg {
	uint64_t offset; /* into the region */
	uint64_t len;
	uint64_t cookie;
	uint16_t region;
	bool whole;      /* NMT_RECV_WHOLE; posted mode only */
};

/*
 * Add a segment; it will be granted: in posted mode behind the others, in pool mode behind those that
 * are granted, and those of one region that follow each other in the order of their memory.
 * 0; -ENOSPC: see nmti_win_room(); -EPIPE: the end was taken; -EINVAL: not in a known region.
 * Each segment ends once: by a piece with last, or by nmti_win_returned().
 */
int nmti_win_add(struct nmti_win *w, const struct nmti_seg *seg);
uint32_t nmti_win_room(const struct nmti_win *w); /* how many more nmti_win_add() takes */
/* Bytes granted or waiting to be granted, and not yet filled. */
uint64_t nmti_win_unfilled(const struct nmti_win *w);

/*
 * A write with immediate of LEN bytes arrived on RAIL. -EPROTO: it breaks a rule, or is more than
 * the peer had credit for.
 */
int nmti_win_arrived(struct nmti_win *w, uint8_t rail, uint32_t imm, uint32_t len);

/*
 * What the stream brings next, in order. A piece is at most one run, and of one segment; consecutive
 * pieces of the same segment are neighbours in memory.
 */
struct nmti_piece {
	uint64_t cookie; /* of the segment; none if the piece has no bytes and is not its last */
	uint64_t offset; /* of its first byte, into the segment */
	uint32_t len;
	uint32_t rest;   /* of its run, behind it: the next pieces */
	bool eor;        /* a record ends behind it */
	bool last;       /* the segment ends behind it: no one writes to it any more */
	bool fin;        /* the peer's orderly end; nothing comes after it */
	int status;      /* of a segment that ends: 0, -ECANCELED, -EMSGSIZE (the rest was cut off) */
};

/*
 * nmti_win_peek: false: there is none yet. nmti_win_take: remove it, and return its credit; only
 * after a peek that said true. Posted mode takes at once; pool mode when the application asks.
 */
bool nmti_win_peek(const struct nmti_win *w, struct nmti_piece *piece);
void nmti_win_take(struct nmti_win *w);

/*
 * To look further without taking: a place among the pieces, the first one to begin with. What is
 * taken or arrives ends its use. nmti_win_look: the piece at AT, and go on to the next; false: there
 * is none.
 */
struct nmti_win_at {
	uint32_t ready, done, out;
	uint64_t out_at;
};
void nmti_win_first(const struct nmti_win *w, struct nmti_win_at *at);
bool nmti_win_look(const struct nmti_win *w, struct nmti_win_at *at, struct nmti_piece *piece);

/*
 * Posted mode: give the segment with COOKIE back. 0: a piece with last, or nmti_win_returned(),
 * tells when. -ENOENT: it is full, or there is none.
 */
int nmti_win_cancel(struct nmti_win *w, uint64_t cookie);

/*
 * The next segment that ended with no piece to tell it, if any: cancelled, or left when the end of
 * the stream was taken. No one writes to it any more; what pieces brought before stays. Ask after
 * cancel, ctrl_put, fence, and a piece with fin.
 */
bool nmti_win_returned(struct nmti_win *w, uint64_t *cookie);

/* ---- control messages --------------------------------------------------------------------- */

enum nmti_win_due {
	NMTI_WIN_IDLE,  /* nothing to tell */
	NMTI_WIN_LATER, /* worth telling with the next message */
	NMTI_WIN_NOW,   /* the peer may be waiting for it */
};
enum nmti_win_due nmti_win_due(const struct nmti_win *w);

/*
 * Build the next control message into BUF (attr.ctrl_max bytes) and count it as sent. Its length;
 * 0: nothing to tell; -EAGAIN: no control credit. Call again until it says 0 or -EAGAIN.
 */
int nmti_win_ctrl_get(struct nmti_win *w, void *buf);
/* A control message of the peer. -EPROTO, -EPROTONOSUPPORT, -ENOMEM. */
int nmti_win_ctrl_put(struct nmti_win *w, const void *buf, size_t len);

/* ---- failure and resume ------------------------------------------------------------------- */

struct nmti_win_resume {
	uint8_t epoch;     /* the one that begins */
	uint8_t rails;     /* offered for it */
	bool fin;          /* the peer's end arrived in order */
	uint16_t slots;    /* initial run credit of each rail */
	uint64_t offset, records;
	uint64_t seg;      /* index of the first grant of the epoch */
};

/*
 * All queue pairs of the epoch are drained: nothing of it is written any more, nothing arrives, and
 * every completion was told. Runs in order are kept for nmti_win_take(), others dropped; segments
 * to be cancelled end. Until nmti_win_resume() nothing can be sent or can arrive.
 * nmti_win_resume_point: what to tell the peer, with RAILS rails to offer; else the same each time
 * until the next epoch.
 */
void nmti_win_fence(struct nmti_win *w);
void nmti_win_resume_point(const struct nmti_win *w, uint8_t rails, struct nmti_win_resume *r);
/*
 * Begin the next epoch with the peer's word, and RAILS rails, no more than either end offered. Sending goes on at the peer's
 * position: nmti_win_tx_pos() tells where the adapter has to take its bytes up again; runs posted
 * before count as complete up to there. What was dropped behind a TRUNC that the peer does not have
 * follows again; nmti_win_next() says whether to drop what a record has left.
 * Regions have to be announced anew, before the next control message.
 * -EAGAIN: the peer is at a later epoch, which is this end's next one now: tell it the resume point
 * of that, then call again; -ESTALE: an old message, ignored; -EPROTO: a position that was never
 * sent; -ECONNRESET: the peer lost what it had confirmed; -EINVAL: RAILS, or there was no fence.
 */
int nmti_win_resume(struct nmti_win *w, const struct nmti_win_resume *peer, uint8_t rails);

uint8_t nmti_win_epoch(const struct nmti_win *w);

/* What the stream waits for, for nmt_stream_info and tests. */
struct nmti_win_stat {
	uint64_t runs_sent, runs_taken, ctrl_sent, ctrl_taken;
	uint64_t grants_sent, grants_got; /* segments */
	uint32_t granted;  /* by the peer, unfilled segments */
	uint32_t ready;    /* runs that nobody took */
	uint32_t held;     /* arrivals that are not in order yet */
};
void nmti_win_stats(const struct nmti_win *w, struct nmti_win_stat *st);

#endif
