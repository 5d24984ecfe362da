/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The applications on both ends of test_window_model.c, as an adapter would carry them out. The
 * sender has a number of bytes and the ends of its records; the receiver checks each piece against
 * them, and keeps track of who may touch which memory.
 */
#ifndef TESTS_WINDOW_APP_H
#define TESTS_WINDOW_APP_H

#include "window_fab.h"

#define LOG 512u      /* runs remembered; more than the deepest window has in flight */
#define SEGS_MOST 64u
#define RECORDS 65536u
#define BACKLOG 40000u
#define DICE 128u

struct fab fab;

/* A segment as the application knows it. */
struct useg {
	bool used, whole, cancelled, over; /* over: no one writes to it any more */
	struct fab_region *region;
	uint32_t off, len, got;
	uint64_t src; /* of its first byte */
};

struct place {
	uint64_t src, record;
};

struct end {
	struct nmti_win *w;
	struct nmti_win_attr attr;
	struct flow out;
	bool fenced;

	/* sending */
	uint64_t src, record;   /* next byte, and the record that it is in */
	uint64_t given, freed;  /* bytes that the application sent; that it has back */
	uint64_t *ends, nends;  /* of records, as places of bytes */
	uint64_t number;        /* of the last run */
	bool closing, fin;      /* the application has ended; FIN was posted */
	struct place log[LOG];  /* where src stood behind each run */

	/* receiving */
	struct fab_region region[REGIONS];
	uint64_t keys;
	struct useg seg[SEGS_MOST];
	uint64_t want, got_records; /* next byte to come, and its record */
	uint32_t added;             /* the last slot: often the next one adjoins */
	bool skipping, ended;       /* TRUNC: the rest of the record does not come; FIN was taken */
};

struct pair {
	struct end end[2];
	uint8_t rails;
	uint32_t seg_len;   /* longest */
	uint64_t ops;
	uint8_t dice[DICE]; /* kinds of operations, as often as they are to happen */
	bool calm;          /* everything goes on as soon as it can */
};

static struct pair p;

void fab_fail(const char *what, const char *file, int line)
{
	fprintf(stderr, "%s:%d: %s; again with: unit_window_model %llu 1\n", file, line, what,
		(unsigned long long)fab.seed);
	abort();
}

static struct end *other(struct end *e)
{
	return &p.end[e == &p.end[0]];
}

/* ---- the receiving application -------------------------------------------------------------- */

static uint64_t cookie_of(const struct end *e, const struct useg *u)
{
	return (uint64_t)(u - e->seg) * 1000 + 7;
}

static struct useg *seg_of(struct end *e, uint64_t cookie)
{
	must(cookie % 1000 == 7 && cookie / 1000 < SEGS_MOST);
	return &e->seg[cookie / 1000];
}

static void announce(struct end *e, struct fab_region *g)
{
	for (uint8_t rail = 0; rail < p.rails; rail++) {
		g->base[rail] = rnd() << 12;
		g->key[rail] = ++e->keys;
		must(!nmti_win_region(e->w, g->id, rail, g->base[rail], SEGS_MOST * p.seg_len,
				      g->key[rail]));
	}
}

/* Other memory under an id that no segment names. */
static void move_region(struct end *e)
{
	struct fab_region *g = &e->region[below(REGIONS)];

	if (!e->fenced && !g->users)
		announce(e, g);
}

static void draw_segment(struct end *e, struct useg *u)
{
	uint32_t slot = (uint32_t)(u - e->seg);

	*u = (struct useg){ .used = true };
	u->region = &e->region[e->attr.rx_posted ? below(REGIONS) : slot / 16 % REGIONS];
	u->off = slot * p.seg_len;
	u->len = p.seg_len;
	if (e->attr.rx_posted) {
		u->len = between(1, p.seg_len);
		u->off += below(p.seg_len - u->len + 1);
		u->whole = one_in(3);
	}
}

static void add(struct end *e)
{
	uint32_t slot = e->added = one_in(3) ? below(SEGS_MOST) : (e->added + 1) % SEGS_MOST;
	struct useg *u = &e->seg[slot];
	struct nmti_seg seg;
	int err;

	for (uint32_t i = 0; i < SEGS_MOST && u->used; i++)
		u = &e->seg[++slot % SEGS_MOST];
	if (u->used)
		return;
	draw_segment(e, u);
	seg = (struct nmti_seg){ u->off, u->len, cookie_of(e, u), u->region->id, u->whole };
	err = nmti_win_add(e->w, &seg);
	if (err) {
		must(err == (e->ended ? -EPIPE : -ENOSPC));
		must(e->ended || !nmti_win_room(e->w));
		u->used = false;
		return;
	}
	must(all(u->region->map + u->off, u->len, MINE));
	memset(u->region->map + u->off, OPEN, u->len);
	u->region->users++;
}

/* No one writes to U any more: the application has it, and does with it what it likes. */
static void over(struct useg *u)
{
	must(u->used && !u->over);
	u->over = true;
	u->region->users--;
	memset(u->region->map + u->off, MINE, u->len);
	memset(u->region->mem + u->off + u->got, 0xee, u->len - u->got);
}

/* The application is done with a segment that ended: what it read must still be there. */
static void let_go(struct end *e)
{
	struct useg *u = &e->seg[below(SEGS_MOST)];

	for (uint32_t i = 0; i < SEGS_MOST && !(u->used && u->over); i++)
		u = u == &e->seg[SEGS_MOST - 1] ? e->seg : u + 1;
	if (!u->used || !u->over)
		return;
	must(!memcmp(u->region->mem + u->off, pattern(u->src), u->got));
	memset(u->region->mem + u->off, 0xdd, u->len);
	u->used = false;
}

static void returned(struct end *e)
{
	uint64_t cookie;

	while (nmti_win_returned(e->w, &cookie)) {
		struct useg *u = seg_of(e, cookie);

		must(u->cancelled || e->ended);
		over(u);
	}
}

static void cancel(struct end *e)
{
	struct useg *u = &e->seg[below(SEGS_MOST)];
	int err;

	if (!e->attr.rx_posted)
		return;
	if (one_in(2)) /* the one that is being filled, if there is one */
		for (uint32_t i = 0; i < SEGS_MOST; i++)
			if (e->seg[i].used && !e->seg[i].over && e->seg[i].got)
				u = &e->seg[i];
	err = nmti_win_cancel(e->w, cookie_of(e, u));
	must(!err || err == -ENOENT);
	must(err || (u->used && !u->over));
	u->cancelled |= !err;
	returned(e);
}

/* Where the record that comes in ends, or beyond everything when that is not known yet. */
static uint64_t record_end(const struct end *from, uint64_t record)
{
	return record < from->nends ? from->ends[record] : UINT64_MAX;
}

static void piece_bytes(struct end *e, struct useg *u, const struct nmti_piece *piece)
{
	uint64_t limit;

	if (e->skipping) {
		must(e->got_records <= other(e)->nends);
		e->want = other(e)->ends[e->got_records - 1];
		e->skipping = false;
	}
	limit = record_end(other(e), e->got_records);
	must(u->used && !u->over && piece->offset == u->got && piece->len <= u->len - u->got);
	must(e->want + piece->len <= limit && e->want + piece->len <= other(e)->given);
	must(all(u->region->map + u->off + u->got, piece->len, OPEN));
	must(!memcmp(u->region->mem + u->off + u->got, pattern(e->want), piece->len));
	memset(u->region->map + u->off + u->got, TAKEN, piece->len);
	if (!u->got)
		u->src = e->want;
	u->got += piece->len;
	e->want += piece->len;
}

static void piece_eor(struct end *e)
{
	if (e->skipping)
		e->want = record_end(other(e), e->got_records - 1);
	e->skipping = false;
	must(e->want == record_end(other(e), e->got_records));
	e->got_records++;
}

static void piece_last(struct end *e, struct useg *u, const struct nmti_piece *piece)
{
	over(u);
	if (piece->status == -EMSGSIZE) {
		must(u->whole && u->got == u->len && !piece->eor && !piece->len);
		must(e->want < record_end(other(e), e->got_records));
		e->skipping = true;
		e->got_records++;
	} else if (piece->status == -ECANCELED) {
		must(u->cancelled);
	} else {
		must(!piece->status && (u->got == u->len || (piece->eor && e->attr.rx_posted)));
		must(piece->eor || !u->whole);
	}
}

/* Take PIECE, by the short way if it is one for it. */
static void take_it(struct end *e, const struct nmti_piece *piece)
{
	struct nmti_piece plain;
	uint64_t max = one_in(2) ? piece->len : UINT64_MAX;

	must(!piece->len || !nmti_win_take_plain(e->w, piece->len - 1, &plain));
	if (one_in(3) || !nmti_win_take_plain(e->w, max, &plain)) {
		nmti_win_take(e->w);
		return;
	}
	must(piece->len && !piece->rest && !piece->last && !piece->fin && !piece->status);
	must(plain.cookie == piece->cookie && plain.offset == piece->offset);
	must(plain.len == piece->len && plain.eor == piece->eor);
}

/* Look ahead, take the first piece, and see that the second one is what the look told. */
static void take_looking(struct end *e, const struct nmti_piece *piece)
{
	struct nmti_piece first, second, now;
	struct nmti_win_at at;
	bool more;

	nmti_win_first(e->w, &at);
	must(nmti_win_look(e->w, &at, &first));
	must(first.len == piece->len && first.eor == piece->eor && first.last == piece->last &&
	     first.fin == piece->fin && first.status == piece->status);
	must(!first.len || (first.cookie == piece->cookie && first.offset == piece->offset));
	more = !first.fin && nmti_win_look(e->w, &at, &second);
	take_it(e, piece);
	if (first.fin)
		return;
	must(nmti_win_peek(e->w, &now) == more);
	if (!more)
		return;
	must(now.len == second.len && now.eor == second.eor && now.last == second.last &&
	     now.fin == second.fin && now.status == second.status);
	if (now.len || now.last)
		must(now.cookie == second.cookie && now.offset == second.offset);
}

static bool take(struct end *e)
{
	struct nmti_piece piece;
	struct useg *u;

	if (!nmti_win_peek(e->w, &piece))
		return false;
	must(!e->ended);
	take_looking(e, &piece);
	if (piece.fin) {
		must(!piece.len && !piece.eor && !piece.last);
		e->ended = true;
		returned(e);
		return true;
	}
	must(piece.len || piece.eor || piece.last);
	u = piece.len || piece.last ? seg_of(e, piece.cookie) : NULL;
	if (piece.len)
		piece_bytes(e, u, &piece);
	if (piece.eor)
		piece_eor(e);
	if (e->attr.rx_posted)
		must(!piece.eor || piece.last);
	if (piece.last)
		piece_last(e, u, &piece);
	return true;
}

/* ---- the sending application ---------------------------------------------------------------- */

static void submit(struct end *e)
{
	uint64_t last = e->nends ? e->ends[e->nends - 1] : 0;

	if (e->closing)
		return;
	if (e->given - e->src < BACKLOG && !one_in(3))
		e->given += one_in(3) ? between(1, 4 * p.seg_len) : between(1, 40);
	if (one_in(8)) /* often a stripe's end */
		e->given = (e->given | 4095) + 1;
	/* Empty records, too. */
	if ((one_in(3) || (e->given == last && one_in(4))) && e->nends < RECORDS)
		e->ends[e->nends++] = e->given;
}

/* A step of dropping what the record has behind a TRUNC, which is the last run. */
static bool discard(struct end *e)
{
	uint64_t end = record_end(e, e->record - 1), old = e->src;

	e->src = end == UINT64_MAX ? e->given : end;
	if (end == UINT64_MAX)
		return e->src != old;
	e->log[e->number % LOG].src = end;
	nmti_win_discarded(e->w);
	return true;
}

static void count_room(const struct end *e, const struct lane *l, uint8_t rail)
{
	must(rail < p.rails && l->runs <= e->attr.tx_slots);
	must(e->out.tail - e->out.head <= e->attr.tx_ctrl);
}

/* By the short way, if it is a run for it: the same run comes of it. */
static uint64_t count_posted(struct end *e, const struct nmti_run *run)
{
	struct nmti_run plain;
	uint64_t number;

	if (one_in(3) || !run->len)
		return nmti_win_posted(e->w, run);
	number = nmti_win_post_plain(e->w, run->len, run->eor, &plain);
	if (!number)
		return nmti_win_posted(e->w, run);
	must(plain.offset == run->offset && plain.remote == run->remote && plain.key == run->key);
	must(plain.len == run->len && plain.imm == run->imm && plain.rail == run->rail);
	must(plain.type == run->type && plain.eor == run->eor);
	return number;
}

static void post(struct end *e, const struct nmti_run *run)
{
	struct lane *l = &e->out.lane[run->rail];
	struct item *it = &l->q[l->tail++ % QUEUE];

	*it = (struct item){ .run = *run, .src = e->src };
	it->number = e->number = count_posted(e, run);
	l->runs++;
	count_room(e, l, run->rail);
	must(it->number - nmti_win_done(e->w) <= e->attr.tx_depth);
	must(run->rail == (run->offset >> e->attr.tx_stripe) % p.rails);
	e->src += run->len;
	e->record += run->eor || run->type == NMTI_RUN_TRUNC;
	e->fin |= run->type == NMTI_RUN_FIN;
	e->log[it->number % LOG] = (struct place){ e->src, e->record };
}

/* One run, or a step of dropping. */
static bool pump(struct end *e)
{
	uint64_t end = record_end(e, e->record), len;
	struct nmti_run run;
	enum nmti_win_wait wait;
	bool eor;

	len = (end == UINT64_MAX ? e->given : end) - e->src;
	if (!p.calm && len > 1 && one_in(2))
		len = between(1, (uint32_t)len);
	len = len < RUN_MOST ? len : RUN_MOST;
	eor = end != UINT64_MAX && e->src + len == end;
	wait = nmti_win_next(e->w, len, eor, &run);
	if (wait == NMTI_WIN_DISCARD && discard(e))
		return true;
	if (e->closing && e->src == e->given &&
	    (wait == NMTI_WIN_NOTHING || wait == NMTI_WIN_DISCARD))
		wait = nmti_win_next_fin(e->w, &run);
	if (wait != NMTI_WIN_GO)
		return false;
	must(run.len <= len && (!run.eor || (eor && run.len == len)));
	post(e, &run);
	return true;
}

static void finish_sending(struct end *e)
{
	uint64_t last = e->nends ? e->ends[e->nends - 1] : 0;

	if (e->closing)
		return;
	if (e->given != last && one_in(2))
		e->ends[e->nends++] = e->given;
	e->closing = true;
}

static void complete(struct end *e, uint8_t rail)
{
	uint64_t done;

	nmti_win_complete(e->w, rail, e->out.lane[rail].delivered);
	done = nmti_win_done(e->w);
	if (done)
		e->freed = e->log[done % LOG].src;
}

#endif
