/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Receiving into pool memory. The cells of a stream come from slabs of its own, each a region that
 * the peer may write. A cell is a segment of the window until it is full and taken; runs of it are
 * lent or copied out.
 *
 * Where the device cannot reach pool memory the peer writes to a shadow of the slab, and what is
 * lent is copied over first.
 */
#include <stdlib.h>

#include "mem/mem.h"
#include "rma/rma_int.h"

#define WINDOW_MIN (128u << 10)
#define SLAB_MAX (4u << 20)
#define SLAB_CELLS 32u
#define RUNS_BUSY 16u     /* under way: a message waits behind them */
#define WINDOW_NS INT64_C(10000000) /* a window holds what comes in that time */

static struct nmti_cell *cell_of(const struct nmti_piece *p)
{
	return (struct nmti_cell *)(uintptr_t)p->cookie;
}

/* ---- slabs -------------------------------------------------------------------------------- */

/* To begin with: the reserve, or what a small window needs. */
static uint32_t first_cells(const struct rma_stream *rs)
{
	uint32_t n = WINDOW_MIN / nmti_cell_size(rs->s->dom);

	n = n ? n : 1;
	return n < rs->s->tune.pool_reserve ? rs->s->tune.pool_reserve : n;
}

static uint32_t slab_cells(const struct rma_stream *rs)
{
	uint32_t n = rs->rx.cells, left = rs->s->tune.pool_share - rs->rx.cells;
	uint32_t most = SLAB_MAX / nmti_cell_size(rs->s->dom);

	if (!n)
		n = first_cells(rs);
	n = n < SLAB_CELLS ? n : SLAB_CELLS;
	n = n < most || !most ? n : most;
	n = n ? n : 1;
	return n < left ? n : left;
}

static int announce_slab(struct rma_stream *rs, uint32_t i)
{
	const struct rma_slab *sl = &rs->rx.slab[i];
	uint64_t len = nmti_slab_mr(sl->slab)->size;
	int rc = 0;

	for (uint8_t r = 0; r < rs->nrails && !rc; r++) {
		const struct nmti_rma_reg *at = rma_reg_at(&sl->mem, &rs->rails[r]);

		rc = nmti_win_region(rs->w, (uint16_t)i, r, at->base, len, at->key);
	}
	return rc;
}

static void slab_free(struct rma_stream *rs, struct rma_slab *sl)
{
	nmti_rma_mem_dereg(rs->rd, &sl->mem);
	if (sl->shadow)
		nmti_mr_free(sl->shadow);
	nmti_slab_free(rs->s, sl->slab);
}

/* Make it known to the devices, or a shadow of it. */
static int slab_reg(struct rma_stream *rs, struct rma_slab *sl)
{
	struct nmt_mr *mr = nmti_slab_mr(sl->slab);
	struct rma_bounce shadow;
	const char *why = NULL;
	int rc = nmti_rma_mem_reg(rs->rd, mr, true, &sl->mem, &why);

	if (!rc)
		return 0;
	if (!rs->rx.nslabs)
		nmti_info(rs->s->ctx, "%s: receive memory of kind %s is staged: %s",
			  rs->s->ops->name, mr->ops->name, why ? why : nmt_strerror(rc));
	rc = nmti_rma_bounce_new(rs->rd, mr->size, true, &shadow);
	if (rc)
		return rc;
	rs->rx.staged = true;
	sl->shadow = shadow.mr;
	sl->mem = shadow.mem;
	return 0;
}

static struct rma_slab *slab_new(struct rma_stream *rs)
{
	struct rma_slab *sl = &rs->rx.slab[rs->rx.nslabs];
	uint32_t count = slab_cells(rs);

	if (rs->rx.nslabs == RMA_SLABS || !count)
		return NULL;
	*sl = (struct rma_slab){ .slab = nmti_slab_new(rs->s, count) };
	if (!sl->slab)
		return NULL;
	if (slab_reg(rs, sl)) {
		nmti_slab_free(rs->s, sl->slab);
		return NULL;
	}
	if (announce_slab(rs, rs->rx.nslabs)) {
		slab_free(rs, sl);
		return NULL;
	}
	rs->rx.apart |= sl->shadow || !nmti_slab_mr(sl->slab)->cpu;
	rs->rx.nslabs++;
	rs->rx.cells += count;
	return sl;
}

/*
 * The slab that gave the last cell, while it has one; then the newest, which is the largest: cells that
 * go in turn adjoin. NULL: none has one.
 */
static struct rma_slab *slab_with_cell(struct rma_rx *rx)
{
	uint32_t i = rx->nslabs;

	if (i && nmti_slab_has(rx->slab[rx->turn].slab))
		return &rx->slab[rx->turn];
	while (i && !nmti_slab_has(rx->slab[i - 1].slab))
		i--;
	return i ? &rx->slab[i - 1] : NULL;
}

static struct nmti_cell *cell_get(struct rma_stream *rs, uint16_t *region)
{
	struct rma_rx *rx = &rs->rx;
	struct rma_slab *sl;

	if (!nmti_cell_may(rs->s))
		return NULL;
	sl = slab_with_cell(rx);
	if (!sl)
		sl = slab_new(rs);
	if (!sl)
		return NULL;
	rx->turn = *region = (uint16_t)(sl - rx->slab);
	return nmti_slab_get(rs->s, sl->slab);
}

void nmti_rma_rx_free(struct rma_stream *rs)
{
	while (rs->rx.nslabs)
		slab_free(rs, &rs->rx.slab[--rs->rx.nslabs]);
	for (uint32_t i = 0; i < rs->rx.nregions; i++)
		if (rs->rx.region[i].reg)
			nmti_rma_reg_put(rs->rx.region[i].reg);
	free(rs->rx.region);
}

/* ---- the window's memory ------------------------------------------------------------------ */

static uint32_t target_max(const struct rma_stream *rs)
{
	uint32_t n = RMA_WINDOW / nmti_cell_size(rs->s->dom), share = rs->s->tune.pool_share;

	n = n < 4 ? 4 : n;
	return n < share ? n : share;
}

/* Cells that there are to be; in posted mode only to drop what comes after SHUT_RD. */
static uint32_t target_of(struct rma_stream *rs)
{
	struct rma_rx *rx = &rs->rx;

	if (rs->s->posting)
		return (rs->s->rx_shut || rs->closing) && !rs->s->posted;
	if (!rx->target)
		rx->target = min32(first_cells(rs), target_max(rs));
	return rx->target;
}

static bool add_cell(struct rma_stream *rs)
{
	struct nmti_seg seg = { .len = nmti_cell_size(rs->s->dom) };
	struct nmti_cell *cell = cell_get(rs, &seg.region);

	if (!cell)
		return false;
	seg.offset = cell->offset;
	seg.cookie = (uintptr_t)cell;
	if (nmti_win_add(rs->w, &seg)) {
		nmti_cell_put(cell);
		return false;
	}
	rs->rx.segs++;
	rs->rx.last = cell;
	return true;
}

void nmti_rma_refill(struct rma_stream *rs)
{
	uint32_t target = target_of(rs);

	while (rs->rx.segs < target && !rs->rx.end && nmti_win_room(rs->w)) {
		if (!add_cell(rs)) {
			/* The system has no memory: the pool will call again. */
			rs->s->stalled |= !rs->rx.segs && nmti_cell_may(rs->s);
			return;
		}
		rs->s->stalled = false;
	}
}

/* ---- keys, where a fence alone keeps no peer from writing ----------------------------------- */

void nmti_rma_keys_close(struct rma_stream *rs)
{
	if (!rs->rd->lim.shared)
		return;
	for (uint32_t i = 0; i < rs->rx.nslabs; i++)
		nmti_rma_mem_dereg(rs->rd, &rs->rx.slab[i].mem);
	nmti_rma_posts_close(rs);
}

static int keys_reopen(struct rma_stream *rs)
{
	const char *why;
	int rc = 0;

	if (!rs->rd->lim.shared)
		return 0;
	for (uint32_t i = 0; i < rs->rx.nslabs && !rc; i++) {
		struct rma_slab *sl = &rs->rx.slab[i];

		if (sl->mem.have)
			continue;
		rc = nmti_rma_mem_reg(rs->rd, sl->shadow ? sl->shadow : nmti_slab_mr(sl->slab),
				      true, &sl->mem, &why);
	}
	return rc ? rc : nmti_rma_posts_reopen(rs);
}

int nmti_rma_announce(struct rma_stream *rs)
{
	int rc = keys_reopen(rs);

	if (!rc)
		rc = nmti_rma_posts_announce(rs);
	for (uint32_t i = 0; i < rs->rx.nslabs && !rc; i++)
		rc = announce_slab(rs, i);
	return rc;
}

/*
 * A whole window came in little time. That the peer has none left tells too little: who takes each
 * cell at once, and grants it again, keeps it going by one at a time.
 */
static bool came_fast(struct rma_rx *rx)
{
	int64_t now, before = rx->since;

	if (++rx->done < rx->target)
		return false;
	now = nmti_now();
	rx->done = 0;
	rx->since = now;
	return now - before < WINDOW_NS;
}

/*
 * The window is too small: the peer has used up most of it, and the application takes it away; or the
 * peer writes a quarter of it at a time, of which REST is to come; or what this end has under way
 * holds up the word of more, which goes behind it; or it is gone in no time.
 */
static bool short_of_window(struct rma_stream *rs, uint32_t rest)
{
	uint64_t window = (uint64_t)rs->rx.target * nmti_cell_size(rs->s->dom);

	return came_fast(&rs->rx) || nmti_win_unfilled(rs->w) <= window / 4 || rest >= window / 4 ||
	       rs->last - nmti_win_done(rs->w) >= RUNS_BUSY;
}

/* A cell is no segment any more; REST: of the run that filled it, behind it. */
static void cell_done(struct rma_stream *rs, struct nmti_cell *cell, uint32_t rest)
{
	struct rma_rx *rx = &rs->rx;

	rx->segs--;
	if (cell == rx->last)
		rx->last = NULL;
	nmti_cell_put(cell);
	if (rx->target < target_max(rs) && short_of_window(rs, rest))
		rx->target = min32(2 * rx->target, target_max(rs));
}

/* ---- pieces ------------------------------------------------------------------------------- */

/* Segments that ended with no piece to tell it. */
static void take_returned(struct rma_stream *rs)
{
	uint64_t cookie;

	while (nmti_win_returned(rs->w, &cookie)) {
		if (cookie & 1)
			nmti_rma_post_back(rs, cookie);
		else
			cell_done(rs, (struct nmti_cell *)(uintptr_t)cookie, 0);
	}
}

static void take_fin(struct rma_stream *rs)
{
	nmti_win_take(rs->w);
	rs->rx.end = true;
	take_returned(rs);
}

bool nmti_rma_piece(struct rma_stream *rs, struct nmti_piece *p)
{
	if (!nmti_win_peek(rs->w, p))
		return false;
	if (!p->fin)
		return true;
	take_fin(rs);
	return false;
}

void nmti_rma_use(struct rma_stream *rs, const struct nmti_piece *p, uint32_t n)
{
	struct rma_rx *rx = &rs->rx;

	rx->used += n;
	if (rx->used < p->len)
		return;
	rx->used = 0;
	nmti_win_take(rs->w);
	if (p->last)
		cell_done(rs, cell_of(p), p->rest);
}

/* Memory in which the bytes of CELL are; *AT: of its first byte. */
static struct nmt_mr *landed(const struct rma_stream *rs, const struct nmti_cell *cell,
			     uint64_t *at)
{
	*at = cell->offset;
	for (uint32_t i = 0; rs->rx.staged && i < rs->rx.nslabs; i++)
		if (rs->rx.slab[i].slab == cell->slab && rs->rx.slab[i].shadow)
			return rs->rx.slab[i].shadow;
	return cell->mr;
}

int nmti_rma_piece_move(struct rma_stream *rs, const struct nmti_piece *p, struct nmt_mr *mr,
			uint64_t offset, uint32_t n)
{
	uint64_t at;
	const struct nmt_mr *src = landed(rs, cell_of(p), &at);

	rs->s->stat.rx_copied += n;
	return nmti_mr_move(rs->s->dom, mr, offset, src, at + p->offset + rs->rx.used, n);
}

/* Copy N bytes of a piece, behind the first SKIP, to CPU memory. */
static int piece_read(struct rma_stream *rs, const struct nmti_piece *p, uint32_t skip, void *dst,
		      uint32_t n)
{
	uint64_t at;
	const struct nmt_mr *src = landed(rs, cell_of(p), &at);

	at += p->offset + skip;
	if (!src->cpu)
		return nmt_mr_read(src, at, dst, n);
	memcpy(dst, nmti_mr_cpu(src, at), n);
	return 0;
}

void nmti_rma_rx_discard(struct rma_stream *rs)
{
	struct nmti_piece p;

	while (nmti_rma_piece(rs, &p)) {
		if (p.last && p.cookie & 1) {
			nmti_win_take(rs->w);
			nmti_rma_post_back(rs, p.cookie);
		} else {
			nmti_rma_use(rs, &p, p.len - rs->rx.used);
		}
	}
}

static void tell_ready(struct nmt_stream *s)
{
	s->rx_ready = true;
	if (!s->rx_told)
		nmti_tell(s);
}

nmti_hot bool nmti_rma_rx_bytes(struct rma_stream *rs)
{
	struct nmt_stream *s = rs->s;

	if (s->posting || s->posted || s->rx_shut || rs->closing || rs->path != PATH_UP ||
	    nmti_win_due_now(rs->w, false))
		return false;
	if (!s->rx_ready && nmti_win_ready(rs->w))
		tell_ready(s);
	return true;
}

void nmti_rma_rx_news(struct rma_stream *rs)
{
	struct nmt_stream *s = rs->s;

	take_returned(rs);
	if (s->posting && s->posted)
		nmti_rma_posts_take(rs);
	if (s->rx_shut || rs->closing) {
		if (!s->posting || !s->posted)
			nmti_rma_rx_discard(rs);
		return;
	}
	if (s->posting)
		nmti_rma_posts_take(rs);
	if (!s->rx_ready && nmti_win_ready(rs->w))
		tell_ready(s);
}

/* What was taken may be worth telling the peer; what is left may be taken before the next turn. */
nmti_hot static void taken(struct rma_stream *rs)
{
	bool more = nmti_win_ready(rs->w);

	/* The end, and what broke the stream, are to be told, too. */
	rs->s->rx_ready = more || rs->rx.end || rs->s->error;
	if (rs->path != PATH_UP)
		return;
	if (rs->rx.segs < rs->rx.target)
		nmti_rma_refill(rs);
	nmti_rma_ctrl(rs, more, true);
	if (rs->rx.end || (more && nmti_win_due_now(rs->w, false)))
		nmti_work(rs->s);
}

/* Nothing is there to take: why. */
static int nothing(struct rma_stream *rs)
{
	rs->s->rx_ready = false;
	if (rs->rx.end)
		return 0;
	return rs->s->error ? rs->s->error : -EAGAIN;
}

/* ---- copying calls ------------------------------------------------------------------------ */

struct copy {
	const struct iovec *iov;
	int n;
	size_t at, done; /* into the first iovec; all told */
};

/* Copy from the piece, of which USED bytes are gone, as far as the buffers go. */
static inline int copy_piece(struct rma_stream *rs, const struct nmti_piece *p, uint32_t used,
		      struct copy *c, uint32_t *got)
{
	uint32_t left = p->len - used;

	*got = 0;
	while (*got < left && c->n) {
		size_t room = c->iov->iov_len - c->at;
		uint32_t n = room < left - *got ? (uint32_t)room : left - *got;
		char *to = (char *)c->iov->iov_base + c->at;
		int rc = n ? piece_read(rs, p, used + *got, to, n) : 0;

		if (rc)
			return rc;
		*got += n;
		c->at += n;
		c->done += n;
		if (c->at == c->iov->iov_len) {
			c->iov++;
			c->n--;
			c->at = 0;
		}
	}
	return 0;
}

static ssize_t peek(struct rma_stream *rs, struct copy *c, int *out_flags)
{
	uint32_t used = rs->rx.used, got;
	struct nmti_win_at at;
	struct nmti_piece p;
	int rc;

	if (!nmti_rma_piece(rs, &p))
		return nothing(rs);
	nmti_win_first(rs->w, &at);
	while (!(*out_flags & MSG_EOR) && nmti_win_look(rs->w, &at, &p) && !p.fin) {
		if (!c->n && p.len)
			break;
		rc = copy_piece(rs, &p, used, c, &got);
		if (rc)
			return rc;
		if (p.eor && used + got == p.len)
			*out_flags |= MSG_EOR;
		used = 0;
	}
	return (ssize_t)c->done;
}

/* The next run, if the first buffer takes all of it, and it is nothing but bytes: most messages. */
static inline bool copy_plain(struct rma_stream *rs, struct copy *c, int *out_flags)
{
	const struct nmti_cell *cell;
	struct nmti_piece p;

	if (rs->rx.used || rs->rx.apart || !nmti_win_take_plain(rs->w, c->iov->iov_len, &p))
		return false;
	cell = cell_of(&p);
	memcpy(c->iov->iov_base, (char *)cell->mr->cpu + cell->offset + p.offset, p.len);
	rs->s->stat.rx_copied += p.len;
	c->done = c->at = p.len;
	if (p.len == c->iov->iov_len)
		*c = (struct copy){ c->iov + 1, c->n - 1, 0, p.len };
	*out_flags |= p.eor ? MSG_EOR : 0;
	return true;
}

/* There is more, and room for it, or perhaps the end of a record. */
static inline bool goes_on(const struct rma_stream *rs, const struct copy *c)
{
	return nmti_win_ready(rs->w) && (c->n || rs->s->records);
}

/* Take pieces until the buffers are full or a record ends. 1: there was any. */
static int copy_pieces(struct rma_stream *rs, struct copy *c, int *out_flags)
{
	struct nmti_piece p;
	uint32_t got;
	int any = 0, rc;

	while (!(*out_flags & MSG_EOR) && nmti_rma_piece(rs, &p)) {
		if (!c->n && p.len)
			break;
		rc = copy_piece(rs, &p, rs->rx.used, c, &got);
		if (rc)
			return rc;
		if (p.eor && rs->rx.used + got == p.len)
			*out_flags |= MSG_EOR;
		nmti_rma_use(rs, &p, got);
		rs->s->stat.rx_copied += got;
		any = 1;
		if (!c->n && !rs->s->records) /* only the end of a record could still be taken */
			break;
	}
	return any;
}

nmti_hot ssize_t nmti_rma_recv(struct nmt_stream *s, const struct iovec *iov, int n, int flags,
			       int *out_flags)
{
	struct rma_stream *rs = rma_of(s);
	struct copy c = { .iov = iov, .n = n };
	int rc = 0;

	if (rs->rx.end)
		return nothing(rs);
	if (flags & MSG_PEEK)
		return peek(rs, &c, out_flags);
	if (unlikely(!n) || !copy_plain(rs, &c, out_flags) || goes_on(rs, &c))
		rc = copy_pieces(rs, &c, out_flags);
	if (rc < 0)
		return rc;
	if (!rc && !c.done)
		return nothing(rs);
	taken(rs);
	return (ssize_t)c.done;
}

/* ---- loans -------------------------------------------------------------------------------- */

/* The cell that an empty run is lent from; it has no bytes of it. */
static struct nmti_cell *any_cell(struct rma_stream *rs)
{
	uint16_t region;
	struct nmti_cell *cell;

	if (rs->rx.last)
		return rs->rx.last;
	cell = cell_get(rs, &region);
	return cell;
}

static int lend_empty(struct rma_stream *rs, struct nmt_frag *frag)
{
	struct nmti_cell *cell = any_cell(rs);
	int rc;

	if (!cell)
		return -ENOBUFS;
	rc = nmti_lend(rs->s, cell, 0, 0, NMT_FRAG_EOR, frag);
	if (cell != rs->rx.last)
		nmti_cell_put(cell);
	return rc;
}

static int lend_piece(struct rma_stream *rs, const struct nmti_piece *p, struct nmt_frag *frag)
{
	struct nmti_cell *cell = cell_of(p);
	uint64_t pos = p->offset, at;
	struct nmt_mr *mr;
	int rc;

	if (!p->len)
		return lend_empty(rs, frag);
	mr = landed(rs, cell, &at);
	if (mr != cell->mr) {
		rc = nmti_mr_move(rs->s->dom, cell->mr, cell->offset + pos, mr, at + pos, p->len);
		if (rc)
			return rc;
		rs->s->stat.rx_copied += p->len;
		rs->s->stat.fallback_staging++;
	}
	return nmti_lend(rs->s, cell, (uint32_t)pos, p->len, p->eor ? NMT_FRAG_EOR : 0, frag);
}

/*
 * The next bytes that lie in one piece, as P: small runs that follow each other in a cell are one
 * loan. How many runs; 0: there is none.
 */
static uint32_t piece_join(struct rma_stream *rs, struct nmti_piece *p)
{
	struct nmti_win_at at;
	struct nmti_piece next;
	uint32_t n = 1;

	if (!nmti_rma_piece(rs, p))
		return 0;
	p->offset += rs->rx.used;
	p->len -= rs->rx.used;
	nmti_win_first(rs->w, &at);
	nmti_win_look(rs->w, &at, &next);
	while (!p->eor && !p->last && nmti_win_look(rs->w, &at, &next) && !next.fin) {
		p->len += next.len; /* of one cell */
		p->eor = next.eor;
		p->last = next.last;
		n++;
	}
	return n;
}

static void use_all(struct rma_stream *rs, uint32_t n)
{
	struct nmti_piece p;

	while (n-- && nmti_rma_piece(rs, &p))
		nmti_rma_use(rs, &p, p.len - rs->rx.used);
}

/* All memory that the stream may hold is lent. */
static bool starved(struct rma_stream *rs)
{
	return rs->path == PATH_UP && !rs->rx.segs && !nmti_cell_may(rs->s);
}

nmti_hot int nmti_rma_recv_frags(struct nmt_stream *s, struct nmt_frag *frags, int max)
{
	struct rma_stream *rs = rma_of(s);
	struct nmti_piece p;
	uint32_t runs;
	int n = 0, rc = 0;

	while (n < max && !rs->rx.end && (runs = piece_join(rs, &p))) {
		rc = lend_piece(rs, &p, &frags[n]);
		if (rc)
			break;
		use_all(rs, runs);
		n++;
	}
	if (n || rs->rx.end)
		taken(rs);
	if (n)
		return n;
	if (rc == -ENOBUFS || (!rc && !rs->rx.end && starved(rs))) {
		s->stalled = true;
		s->stat.stall_memory++;
		return -ENOBUFS;
	}
	return rc ? rc : nothing(rs);
}

int nmti_rma_release(struct nmt_stream *s, const struct nmt_frag *frags, int n)
{
	struct rma_stream *rs = rma_of(s);
	int rc = nmti_release(s, frags, n);

	if (!rc && rs->path == PATH_UP) {
		nmti_rma_refill(rs);
		nmti_rma_ctrl(rs, false, true);
	}
	return rc;
}
