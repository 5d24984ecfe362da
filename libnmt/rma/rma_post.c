/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Posted receives. In posted mode each is a segment of the window: the peer writes into it, or, where
 * the device cannot reach it, into bounce memory of the same length. In pool mode posts gather from
 * the cells.
 */
#include <stdlib.h>

#include "rma/rma_int.h"

static struct rma_post *at(struct rma_posts *p, uint32_t i)
{
	return &p->ring[i & p->mask];
}

static uint64_t cookie_of(uint32_t i)
{
	return (uint64_t)i << 1 | 1;
}

static struct rma_post *by_cookie(struct rma_stream *rs, uint64_t cookie)
{
	return at(rs->posts, (uint32_t)(cookie >> 1));
}

static int posts_alloc(struct rma_stream *rs)
{
	uint32_t cap = rma_pow2(2 * rs->s->tune.recv_depth);
	size_t bytes = sizeof(*rs->posts) + cap * sizeof(rs->posts->ring[0]);

	rs->posts = calloc(1, bytes);
	if (!rs->posts)
		return -ENOMEM;
	rs->s->memory += (uint32_t)bytes;
	rs->posts->mask = cap - 1;
	return 0;
}

void nmti_rma_posts_free(struct rma_stream *rs)
{
	free(rs->posts);
	rs->posts = NULL;
}

/* ---- regions of posted memory ------------------------------------------------------------- */

static int announce(struct rma_stream *rs, uint32_t i)
{
	const struct rma_region *r = &rs->rx.region[i];
	int rc = 0;

	for (uint8_t rail = 0; rail < rs->nrails && !rc; rail++) {
		const struct nmti_rma_reg *at = rma_reg_at(r->mem, &rs->rails[rail]);

		rc = nmti_win_region(rs->w, (uint16_t)(RMA_SLABS + i), rail, at->base, r->len,
				     at->key);
	}
	return rc;
}

int nmti_rma_posts_announce(struct rma_stream *rs)
{
	int rc = 0;

	for (uint32_t i = 0; i < rs->rx.nregions && !rc; i++) {
		rs->rx.region[i].told = rs->rx.region[i].users;
		if (rs->rx.region[i].told)
			rc = announce(rs, i);
	}
	return rc;
}

/* Bounce memory of posts that are not finished is the peer's to write, too. */
static int bounces(struct rma_stream *rs, bool open)
{
	const char *why;
	int rc = 0;

	if (!rs->posts || !rs->s->posting)
		return 0;
	for (uint32_t i = rs->posts->head; i != rs->posts->tail && !rc; i++) {
		struct rma_bounce *b = &at(rs->posts, i)->bounce;

		if (b->mr && open && !b->mem.have)
			rc = nmti_rma_mem_reg(rs->rd, b->mr, true, &b->mem, &why);
		else if (b->mr && !open)
			nmti_rma_mem_dereg(rs->rd, &b->mem);
	}
	return rc;
}

void nmti_rma_posts_close(struct rma_stream *rs)
{
	for (uint32_t i = 0; i < rs->rx.nregions; i++)
		if (rs->rx.region[i].reg)
			nmti_rma_reg_close(rs->rx.region[i].reg);
	bounces(rs, false);
}

int nmti_rma_posts_reopen(struct rma_stream *rs)
{
	int rc = bounces(rs, true);

	for (uint32_t i = 0; i < rs->rx.nregions && !rc; i++)
		if (rs->rx.region[i].reg)
			rc = nmti_rma_reg_reopen(rs->rx.region[i].reg);
	return rc;
}

/* A free entry: a new one, or one that nothing is posted in. */
static int region_slot(struct rma_stream *rs)
{
	struct rma_rx *rx = &rs->rx;
	struct rma_region *more;

	for (uint32_t i = 0; i < rx->nregions; i++)
		if (!rx->region[i].users && (!rx->region[i].reg || !rx->region[i].reg->mr ||
					     rx->nregions == RMA_REGIONS_POSTED))
			return (int)i;
	if (rx->nregions == RMA_REGIONS_POSTED)
		return -EAGAIN;
	if (!(rx->nregions & (rx->nregions - 1))) { /* a power of 2: it is full */
		more = realloc(rx->region, (rx->nregions ? 2 * rx->nregions : 1) * sizeof(*more));
		if (!more)
			return -ENOMEM;
		rx->region = more;
	}
	rx->region[rx->nregions] = (struct rma_region){ .users = 0 };
	return (int)rx->nregions++;
}

/* The id under which the peer knows this memory; REG is NULL for bounce memory. */
static int region_of(struct rma_stream *rs, struct rma_reg *reg, const struct rma_mem *mem,
		     uint64_t len)
{
	struct rma_rx *rx = &rs->rx;
	struct rma_region *r;
	int i, rc = 0;

	for (i = 0; reg && i < (int)rx->nregions; i++)
		if (rx->region[i].reg == reg)
			break;
	if (!reg || i == (int)rx->nregions) {
		i = region_slot(rs);
		if (i < 0)
			return i;
		r = &rx->region[i];
		if (r->reg)
			nmti_rma_reg_put(r->reg);
		if (reg)
			reg->refs++;
		*r = (struct rma_region){ .reg = reg, .mem = mem, .len = len };
	}
	r = &rx->region[i];
	if (!r->told)
		rc = announce(rs, (uint32_t)i);
	r->told = !rc;
	return rc ? rc : i;
}

/* ---- posting ------------------------------------------------------------------------------ */

/* Memory that the peer may write for the post. */
static int place(struct rma_stream *rs, struct rma_post *post, struct nmti_seg *seg)
{
	struct rma_reg *reg = nmti_rma_reg_get(rs->rd, post->mr, true,
					       rs->rd->lim.shared ? rs : NULL);
	int rc;

	seg->offset = post->offset;
	if (reg) {
		rc = region_of(rs, reg, &reg->mem[1], post->mr->size);
	} else {
		rc = nmti_rma_bounce_new(rs->rd, post->len, true, &post->bounce);
		if (rc)
			return rc;
		seg->offset = 0;
		rc = region_of(rs, NULL, &post->bounce.mem, post->len);
	}
	if (rc < 0)
		return rc;
	post->region = (uint16_t)rc;
	seg->region = (uint16_t)(RMA_SLABS + post->region);
	return 0;
}

static int add_segment(struct rma_stream *rs, struct rma_post *post, uint32_t i)
{
	struct nmti_seg seg = { .len = post->len, .cookie = cookie_of(i),
				.whole = post->opts & NMT_RECV_WHOLE && rs->s->records };
	int rc = place(rs, post, &seg);

	if (!rc)
		rc = nmti_win_add(rs->w, &seg);
	if (rc) {
		nmti_rma_bounce_free(rs->rd, &post->bounce);
		return rc == -ENOSPC ? -EAGAIN : rc;
	}
	rs->rx.region[post->region].users++;
	return 0;
}

static void finish(struct rma_stream *rs, struct rma_post *post, int status, uint32_t ev_flags)
{
	struct nmt_stream *s = rs->s;

	if (post->bounce.mr) {
		if (post->done && nmti_mr_move(s->dom, post->mr, post->offset, post->bounce.mr, 0,
					       post->done))
			status = status ? status : -EFAULT;
		s->stat.rx_copied += post->done;
		s->stat.fallback_staging++;
		nmti_rma_bounce_free(rs->rd, &post->bounce);
	}
	if (s->posting && post->placed)
		rs->rx.region[post->region].users--;
	post->state = POST_DONE;
	post->status = status;
	post->ev_flags = ev_flags;
	nmti_mr_drop(post->mr);
	rs->posts->ndone++;
	s->rx_untold = true;
	s->posted--;
	nmti_tell(s);
}

int nmti_rma_recv_into(struct nmt_stream *s, struct nmt_mr *mr, uint64_t offset, size_t len,
		       int flags, uint64_t cookie)
{
	struct rma_stream *rs = rma_of(s);
	struct rma_post *post;
	int rc;

	if (!rs->posts && posts_alloc(rs))
		return -ENOMEM;
	if (s->posted + rs->posts->ndone >= s->tune.recv_depth ||
	    rs->posts->tail - rs->posts->head > rs->posts->mask)
		return -EAGAIN;
	post = at(rs->posts, rs->posts->tail);
	*post = (struct rma_post){ .mr = mr, .offset = offset, .len = len, .cookie = cookie,
				   .opts = (uint16_t)flags, .state = POST_WAITS };
	if (s->posting && !rs->rx.end && !s->error) {
		rc = add_segment(rs, post, rs->posts->tail);
		if (rc && rc != -EPIPE)
			return rc;
		post->placed = !rc;
	}
	rs->posts->tail++;
	nmti_mr_hold(mr);
	s->posted++;
	s->rx_told = false;
	nmti_work(s);
	return 0;
}

/* The first post that still waits, or NULL. */
static struct rma_post *current(struct rma_posts *p)
{
	while (p->next != p->tail && at(p, p->next)->state != POST_WAITS)
		p->next++;
	return p->next == p->tail ? NULL : at(p, p->next);
}

void nmti_rma_posts_end(struct rma_stream *rs, int status)
{
	struct rma_post *post;

	while (rs->posts && (post = current(rs->posts)))
		finish(rs, post, status, status ? 0 : NMT_EVF_EOF);
}

/* ---- cancel ------------------------------------------------------------------------------- */

static bool ask_back(struct rma_stream *rs, struct rma_post *post, uint32_t i)
{
	if (post->state != POST_WAITS)
		return false;
	if (!rs->s->posting || !post->placed) {
		finish(rs, post, rs->s->rx_shut ? 0 : -ECANCELED, rs->s->rx_shut ? NMT_EVF_EOF : 0);
		return true;
	}
	return nmti_win_cancel(rs->w, cookie_of(i)) == 0;
}

int nmti_rma_recv_cancel(struct nmt_stream *s, uint64_t cookie)
{
	struct rma_stream *rs = rma_of(s);
	struct rma_posts *p = rs->posts;
	bool found = false;

	for (uint32_t i = p ? p->head : 0; p && i != p->tail; i++)
		if (at(p, i)->cookie == cookie)
			found |= ask_back(rs, at(p, i), i);
	if (found)
		nmti_work(s);
	if (found && s->rx_ready)
		nmti_tell(s);
	return found ? 0 : -ENOENT;
}

void nmti_rma_posts_cancel(struct rma_stream *rs)
{
	struct rma_posts *p = rs->posts;

	for (uint32_t i = p ? p->head : 0; p && i != p->tail; i++)
		ask_back(rs, at(p, i), i);
}

void nmti_rma_post_back(struct rma_stream *rs, uint64_t cookie)
{
	struct rma_post *post = by_cookie(rs, cookie);

	if (post->state != POST_WAITS)
		return;
	if (rs->rx.end || (rs->s->rx_shut && !rs->closing))
		finish(rs, post, 0, NMT_EVF_EOF);
	else
		finish(rs, post, -ECANCELED, 0);
}

/* ---- filling ------------------------------------------------------------------------------ */

static void fill(struct rma_stream *rs, struct rma_post *post, uint32_t n)
{
	post->done += n;
	rs->s->stat.rx_bytes += n;
	rs->s->stat.rx_ops += n > 0;
}

void nmti_rma_posts_take(struct rma_stream *rs)
{
	struct nmti_piece p;

	while (!rs->rx.end && nmti_rma_piece(rs, &p)) {
		struct rma_post *post;

		if (!(p.cookie & 1)) { /* a cell for what nobody wants */
			nmti_rma_use(rs, &p, p.len);
			continue;
		}
		post = by_cookie(rs, p.cookie);
		nmti_win_take(rs->w);
		fill(rs, post, p.len);
		if (p.last)
			finish(rs, post, p.status, p.eor ? NMT_EVF_EOR : 0);
	}
	if (rs->rx.end)
		nmti_rma_posts_end(rs, 0);
}

/* A full post under NMT_RECV_WHOLE waits to learn whether its record is over. */
static void gather_end(struct rma_stream *rs, struct rma_post *post, bool eor)
{
	bool whole = rs->s->records && post->opts & NMT_RECV_WHOLE;

	if (eor)
		finish(rs, post, 0, NMT_EVF_EOR);
	else if ((post->done == post->len && !whole) || (post->done && post->opts & NMT_RECV_SOME))
		finish(rs, post, 0, 0);
}

/* One piece, or a part of it, for the post. */
static int gather(struct rma_stream *rs, struct rma_post *post, const struct nmti_piece *p)
{
	uint32_t left = p->len - rs->rx.used;
	uint32_t n = post->len - post->done < left ? (uint32_t)(post->len - post->done) : left;
	int rc = 0;

	if (rs->rx.discard) {
		rs->rx.discard = !p->eor;
		nmti_rma_use(rs, p, left);
		return 0;
	}
	if (!n && left) { /* only under NMT_RECV_WHOLE */
		rs->rx.discard = true;
		finish(rs, post, -EMSGSIZE, 0);
		return 0;
	}
	if (n)
		rc = nmti_rma_piece_move(rs, p, post->mr, post->offset + post->done, n);
	if (rc)
		return rc;
	if (n && !post->mr->cpu)
		rs->s->stat.fallback_staging++;
	nmti_rma_use(rs, p, n);
	fill(rs, post, n);
	gather_end(rs, post, p->eor && n == left);
	return 0;
}

bool nmti_rma_posts_run(struct rma_stream *rs, uint32_t budget)
{
	struct nmt_stream *s = rs->s;
	struct rma_post *post;
	struct nmti_piece p;
	int rc;

	while (rs->posts && (post = current(rs->posts))) {
		if (!budget--)
			return true;
		if (!rs->rx.end && nmti_rma_piece(rs, &p)) {
			rc = gather(rs, post, &p);
			if (rc)
				nmti_rma_posts_end(rs, rc);
			continue;
		}
		if (!rs->rx.end && !s->error)
			break;
		nmti_rma_posts_end(rs, rs->rx.end ? 0 : s->error);
	}
	s->rx_ready = nmti_win_ready(rs->w) || rs->rx.end || s->error;
	if (s->rx_ready)
		nmti_tell(s);
	return false;
}

int nmti_rma_posts_reap(struct nmt_stream *s, struct nmt_event *ev, int max)
{
	struct rma_posts *p = rma_of(s)->posts;
	int n = 0;

	for (uint32_t i = p->head; p->ndone && n < max && i != p->tail; i++) {
		struct rma_post *post = at(p, i);

		if (post->state != POST_DONE)
			continue;
		memset(&ev[n], 0, sizeof(ev[n]));
		ev[n].type = NMT_EV_RECEIVED;
		ev[n].status = post->status;
		ev[n].cookie = post->cookie;
		ev[n].len = post->done;
		ev[n++].flags = post->ev_flags;
		post->state = POST_FREE;
		p->ndone--;
	}
	while (p->head != p->tail && at(p, p->head)->state == POST_FREE) {
		if (p->next == p->head)
			p->next++;
		p->head++;
	}
	s->rx_untold = p->ndone;
	return n;
}
