/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The runs of a stream: the window says what may be written next, the device gets it.
 *
 * One run is held back until it is known whether another follows on its rail: only then can it say
 * so (one doorbell for the burst). The window counts a run that is held back as posted.
 *
 * Completions. Of runs that follow each other one of sixteen or more asks for its completion, which
 * tells of those before it: the last of a burst if it can be, or sooner where memory of ours fills
 * up. The last of a burst asks too when with it a MiB would not have asked, or when somebody waits
 * for it (for borrowed memory, a flush, the end) and nothing else on its rail has yet to be told. What
 * is told later finds runs behind it that did not ask: if nothing is posted until the turn after that,
 * an empty request asks for them.
 */
#include "rma/rma_int.h"

static struct rma_chunk *chunk_at(struct rma_tx *tx, uint32_t i)
{
	return &tx->chunk[i & tx->mask];
}

/* ---- to the device ------------------------------------------------------------------------ */

/* Somebody waits for what is under way. */
static inline bool awaited(const struct rma_stream *rs)
{
	return rs->tx->op_done != rs->tx->op_tail || !rs->s->tx_ready || rs->fin_sent ||
	       rs->peer_done || rs->queue_full || rs->wait == NMTI_WIN_DEPTH;
}

/* Within a burst some more may go by, so that its last one tells of them. */
static uint32_t signal_at(const struct rma_tx *tx, bool more)
{
	return more ? tx->signal_runs + tx->signal_runs / 2 : tx->signal_runs;
}

static inline uint32_t flags_of(const struct rma_stream *rs, const struct rma_rail *rail,
				const struct rma_held *h, bool more)
{
	uint32_t flags = more ? NMTI_RMA_MORE : 0;

	if (rail->quiet + 1 >= signal_at(rs->tx, more) ||
	    rail->quiet_kept + h->kept >= rs->tx->ring.size / 2 ||
	    (!more && (rail->quiet_bytes + h->run.len >= RMA_FLIGHT ||
		       (rail->asked == rail->told && awaited(rs)))))
		flags |= NMTI_RMA_SIGNAL;
	if (h->from.addr && h->run.len <= rail->inline_max)
		flags |= NMTI_RMA_INLINE;
	return flags;
}

/* ASKED: number of the request if it asks for its completion, else 0. */
static inline void posted(struct rma_stream *rs, struct rma_rail *rail, const struct rma_held *h,
			  uint64_t asked)
{
	rs->s->stat.rma_writes++;
	rs->tx->settled = false;
	rail->quiet++;
	rail->quiet_kept += h->kept;
	rail->quiet_bytes += h->run.len;
	if (!asked)
		return;
	rs->s->stat.rma_signalled++;
	rma_asks(rail, asked);
}

/* Run H goes. False: the device takes no more, or is lost. */
static inline bool post(struct rma_stream *rs, struct rma_rail *rail, const struct rma_held *h,
			bool more)
{
	struct rma_tx *tx = rs->tx;
	uint32_t flags = flags_of(rs, rail, h, more);
	uint64_t number;
	int rc = rs->rd->ops->write(rail->ep, &h->from, h->run.remote, h->run.key, h->run.imm,
				    flags, &number);

	if (rc == -EAGAIN) {
		rs->queue_full = true;
		return false;
	}
	if (rc) {
		nmti_rma_failed(rail, rc, "writing");
		return false;
	}
	if (more)
		tx->unrung |= 1u << h->run.rail;
	else if (tx->unrung)
		tx->unrung &= ~(1u << h->run.rail);
	posted(rs, rail, h, flags & NMTI_RMA_SIGNAL ? number : 0);
	rail->last_run = rail->run_of[number & rs->send_mask] = h->number;
	return true;
}

/* The older run that is held back goes. False as post(). */
static bool post_first(struct rma_stream *rs)
{
	struct rma_held *h = rs->tx->held;
	bool more = rs->nheld > 1 && h[1].run.rail == h->run.rail;

	if (!post(rs, &rs->rails[h->run.rail], h, more))
		return false;
	if (--rs->nheld)
		h[0] = h[1];
	return true;
}

static void ring_doorbells(struct rma_stream *rs)
{
	uint32_t rails = rs->tx->unrung;

	rs->tx->unrung = 0;
	for (; rails && rs->path == PATH_UP; rails &= rails - 1)
		rs->rd->ops->kick(rs->rails[__builtin_ctz(rails)].ep);
}

/* ---- memory of a run ---------------------------------------------------------------------- */

/* A device that went while MEM was registered has no part in it; the rail breaks soon. */
static bool knows(const struct rma_rail *rail, const struct rma_mem *mem)
{
	return mem->have >> rail->dev & 1;
}

/* A free block of the stage, or -EAGAIN. */
static int stage_block(struct rma_stream *rs)
{
	struct rma_stage *st = &rs->tx->stage;
	int rc = 0;

	if (!st->mem.mr)
		rc = nmti_rma_bounce_new(rs->rd, STAGE_BLOCKS * STAGE_BLOCK, false, &st->mem);
	if (rc)
		return rc;
	if (st->run[st->next] > nmti_win_done(rs->w))
		return -EAGAIN;
	return (int)st->next;
}

/* Copy a run's bytes of a chunk into the stage; it gets the next number. */
static int stage(struct rma_stream *rs, const struct rma_chunk *c, const struct rma_rail *rail,
		 uint32_t len, struct rma_held *h)
{
	struct rma_stage *st = &rs->tx->stage;
	int block = stage_block(rs), rc;
	uint64_t at;

	if (block < 0)
		return block;
	if (!knows(rail, &st->mem.mem))
		return -EAGAIN;
	at = (uint64_t)block * STAGE_BLOCK;
	rc = nmt_mr_read(c->mr, c->at + rs->tx->done, (char *)st->mem.mr->cpu + at, len);
	if (rc)
		return rc;
	rs->s->stat.tx_copied += len;
	h->from = (struct nmti_rma_local){ (char *)st->mem.mr->cpu + at,
					   rma_reg_at(&st->mem.mem, rail), at, len };
	h->kept = rs->tx->ring.size / STAGE_BLOCKS;
	st->run[block] = rs->last + 1;
	st->next = (st->next + 1) % STAGE_BLOCKS;
	return 0;
}

/* Bytes of the ring from position AT on. */
static inline int in_ring(const struct rma_ring *ring, uint64_t at, const struct rma_rail *rail,
			  uint32_t len, struct rma_held *h)
{
	const struct rma_bounce *mem = at < ring->from ? &ring->old : &ring->mem;

	if (!knows(rail, &mem->mem))
		return -EAGAIN;
	at &= mem->mr->size - 1;
	h->from = (struct nmti_rma_local){ (char *)mem->mr->cpu + at, rma_reg_at(&mem->mem, rail),
					   at, len };
	h->kept = mem == &ring->mem ? len : 0;
	return 0;
}

/* Where LEN bytes, from tx->done of the chunk on, are for RAIL. -EAGAIN: not now. */
static inline int locate(struct rma_stream *rs, const struct rma_chunk *c,
			 const struct rma_rail *rail, uint32_t len, struct rma_held *h)
{
	uint64_t at = c->at + rs->tx->done;

	if (!c->mr)
		return in_ring(&rs->tx->ring, at, rail, len, h);
	if (!c->mem)
		return stage(rs, c, rail, len, h);
	if (!knows(rail, c->mem))
		return -EAGAIN;
	h->from = (struct nmti_rma_local){ nmti_mr_cpu(c->mr, at), rma_reg_at(c->mem, rail), at,
					   len };
	h->kept = 0;
	return 0;
}

static void nothing_of(struct rma_held *h)
{
	h->from = (struct nmti_rma_local){ .len = 0 };
	h->kept = 0;
}

/* ---- from the window ---------------------------------------------------------------------- */

static uint32_t left_of(const struct rma_stream *rs, const struct rma_chunk *c)
{
	uint64_t most = c->mr && !c->mem ? STAGE_BLOCK : rs->rd->lim.write_max;
	uint32_t left = c->len - rs->tx->done;

	return left > most ? (uint32_t)most : left;
}

/* As many are kept as runs can be in flight. */
static struct rma_place *place_before(const struct rma_stream *rs, uint64_t run)
{
	return &rs->tx->log[run & (rs->attr.tx_depth - 1)];
}

/* The window counts H as posted, as NUMBER. */
static inline void count(struct rma_stream *rs, struct rma_held *h, uint64_t number)
{
	struct rma_tx *tx = rs->tx;

	h->number = rs->last = number;
	*place_before(rs, number) = (struct rma_place){ tx->cur, tx->done };
}

/* H lies behind the runs that are held back, and is one of them. */
static void hold(struct rma_stream *rs, struct rma_held *h)
{
	count(rs, h, nmti_win_posted(rs->w, &h->run));
	rs->nheld++;
}

static void chunk_passed(struct rma_tx *tx)
{
	tx->cur++;
	tx->done = 0;
}

/* The run of H takes bytes, or the end of a record, of chunk C. */
static int take_data(struct rma_stream *rs, struct rma_chunk *c, struct rma_held *h)
{
	struct rma_tx *tx = rs->tx;
	int rc = 0;

	if (h->run.len)
		rc = locate(rs, c, &rs->rails[h->run.rail], h->run.len, h);
	else
		nothing_of(h);
	if (rc)
		return rc;
	hold(rs, h);
	tx->done += h->run.len;
	c->run = rs->last;
	if (tx->done == c->len && (h->run.eor || !(c->flags & CHUNK_EOR)))
		chunk_passed(tx);
	return 0;
}

static void take_empty(struct rma_stream *rs, struct rma_held *h)
{
	nothing_of(h);
	hold(rs, h);
	if (h->run.type != NMTI_RUN_TRUNC)
		return;
	chunk_at(rs->tx, rs->tx->cur)->run = rs->last;
	rs->tx->trunc = rs->last;
}

/* The peer takes no more of this record. What is dropped lives until the TRUNC is complete. */
static void drop_record(struct rma_stream *rs)
{
	struct rma_tx *tx = rs->tx;
	bool end = false;

	while (!end && tx->cur != tx->tail) {
		struct rma_chunk *c = chunk_at(tx, tx->cur);

		end = c->flags & CHUNK_EOR;
		c->run = rs->last;
		chunk_passed(tx);
	}
	/* Runs since the TRUNC have no bytes: from each of them on, what was dropped is behind. */
	for (uint64_t n = tx->trunc + 1; n <= rs->last; n++)
		*place_before(rs, n) = (struct rma_place){ tx->cur, tx->done };
	if (end)
		nmti_win_discarded(rs->w);
}

/* Chunks that are nothing to send: a flush, an empty run. */
static void pass_empty(struct rma_stream *rs)
{
	struct rma_tx *tx = rs->tx;

	while (tx->cur != tx->tail) {
		struct rma_chunk *c = chunk_at(tx, tx->cur);

		if (c->len || c->flags & CHUNK_EOR)
			return;
		c->run = rs->last;
		chunk_passed(tx);
	}
}

static void waits_for(struct rma_stream *rs, enum nmti_win_wait wait)
{
	if (wait == NMTI_WIN_GO || wait == rs->wait) {
		rs->wait = (uint8_t)wait;
		return;
	}
	rs->wait = (uint8_t)wait;
	rs->s->stat.stall_credit += wait == NMTI_WIN_CREDIT;
	rs->s->stat.stall_queue += wait == NMTI_WIN_DEPTH;
}

/*
 * So much is under way that more of it would only keep the word of credit waiting, which goes behind
 * it. Two bursts do: when the first is complete, the third one goes. N: runs of this one, which takes
 * the end of what is granted along, since that would be a small one of its own.
 */
static bool enough(const struct rma_stream *rs, uint32_t n)
{
	uint32_t burst = rs->tx->signal_runs * rs->nrails;

	if (nmti_win_flight(rs->w) < RMA_FLIGHT)
		return false;
	if (!n)
		return rs->last - nmti_win_done(rs->w) > burst;
	return n >= burst + burst / 2 || (n >= burst && nmti_win_granted(rs->w) > burst / 2);
}

static bool fin_waits(const struct rma_stream *rs)
{
	return rs->fin_due && !rs->fin_sent && !rs->peer_done;
}

static enum nmti_win_wait next_run(struct rma_stream *rs, struct nmti_run *run)
{
	struct rma_tx *tx = rs->tx;
	const struct rma_chunk *c;
	uint32_t left;

	pass_empty(rs);
	if (tx->cur != tx->tail) {
		c = chunk_at(tx, tx->cur);
		left = left_of(rs, c);
		return nmti_win_next(rs->w, left,
				     c->flags & CHUNK_EOR && left == c->len - tx->done, run);
	}
	if (rs->stop_check) {
		enum nmti_win_wait wait = nmti_win_next(rs->w, 0, false, run);

		rs->stop_check = wait != NMTI_WIN_NOTHING;
		if (wait != NMTI_WIN_NOTHING)
			return wait;
	}
	if (fin_waits(rs))
		return nmti_win_next_fin(rs->w, run);
	return NMTI_WIN_NOTHING;
}

/* Hold the next run, if there is one. 0, 1: there is none now, < 0: failed. */
static int hold_next(struct rma_stream *rs)
{
	struct rma_tx *tx = rs->tx;
	struct rma_held *h = &tx->held[rs->nheld];
	int rc = 0;

	for (;;) {
		waits_for(rs, next_run(rs, &h->run));
		if (rs->wait != NMTI_WIN_DISCARD)
			break;
		if (tx->cur == tx->tail)
			return 1;
		drop_record(rs);
	}
	if (rs->wait != NMTI_WIN_GO)
		return 1;
	if (h->run.type == NMTI_RUN_DATA) {
		rc = take_data(rs, chunk_at(tx, tx->cur), h);
		return rc == -EAGAIN ? 1 : rc;
	}
	take_empty(rs, h);
	if (h->run.type == NMTI_RUN_FIN) {
		rs->fin_sent = true;
		rs->fin_run = rs->last;
	}
	return 0;
}

/* A STOP can go now. */
static bool stop_goes(struct rma_stream *rs)
{
	struct nmti_run run;
	enum nmti_win_wait wait = nmti_win_next(rs->w, 0, false, &run);

	rs->stop_check = wait != NMTI_WIN_NOTHING;
	return wait == NMTI_WIN_GO;
}

/* There may be a run behind those that are held back. */
static bool follows(const struct rma_stream *rs)
{
	return rs->tx->cur != rs->tx->tail || rs->stop_check || fin_waits(rs);
}

/* Whether there may be something to send; what sending needs is allocated then. */
static bool wanted(struct rma_stream *rs)
{
	if (rs->tx) {
		if (rs->nheld || follows(rs))
			return true;
		rs->wait = NMTI_WIN_NOTHING;
		return false;
	}
	if (!fin_waits(rs) && !(rs->stop_check && stop_goes(rs)))
		return false;
	if (!nmti_rma_tx_alloc(rs))
		return true;
	nmti_stream_fail(rs->s, -ENOMEM);
	return false;
}

static inline bool can_post(const struct rma_stream *rs)
{
	return rs->path == PATH_UP && !rs->s->error;
}

nmti_hot static bool pump(struct rma_stream *rs, uint32_t budget)
{
	uint32_t n = 0;
	int rc = 0;

	do {
		while (!rc && rs->nheld < 2 && n < budget && !enough(rs, n)) {
			rc = follows(rs) ? hold_next(rs) : 1;
			n += !rc;
		}
	} while (rs->nheld && post_first(rs) && can_post(rs));
	if (rc < 0) {
		nmti_warn(rs->s->ctx, "%s: reading memory to send: %s", rs->s->ops->name,
			  nmt_strerror(rc));
		nmti_stream_fail(rs->s, rc);
	}
	return !rc && n == budget && !rs->queue_full;
}

/* ---- a message alone: one run takes all of it, and nothing else is to be sent ------------- */

static inline bool nothing_waits(const struct rma_stream *rs)
{
	return can_post(rs) && !rs->nheld && !rs->stop_check && !rs->fin_due &&
	       nmti_win_flight(rs->w) < RMA_FLIGHT;
}

/* Post the LEN bytes of H, whose place is known, of chunk C, the current one. False: not so. */
static inline bool post_alone(struct rma_stream *rs, struct rma_rail *rail, struct rma_chunk *c,
			      uint32_t len, bool eor)
{
	struct rma_held *h = &rs->tx->held[0];
	uint64_t number = nmti_win_post_plain(rs->w, len, eor, &h->run);

	if (!number)
		return false;
	rs->wait = NMTI_WIN_GO;
	count(rs, h, number);
	c->run = number;
	chunk_passed(rs->tx);
	rs->nheld = !post(rs, rail, h, false);
	return true;
}

/* What pump() does with a single chunk. False: it is not so simple, and nothing was done. */
static bool pump_alone(struct rma_stream *rs)
{
	struct rma_rail *rail = &rs->rails[nmti_win_rail(rs->w)];
	struct rma_tx *tx = rs->tx;
	struct rma_chunk *c = chunk_at(tx, tx->cur);

	if (tx->cur + 1 != tx->tail || !nothing_waits(rs) || !c->len || left_of(rs, c) != c->len ||
	    (c->mr && !c->mem) || locate(rs, c, rail, c->len, &tx->held[0]))
		return false;
	return post_alone(rs, rail, c, c->len, c->flags & CHUNK_EOR);
}

nmti_hot bool nmti_rma_send_alone(struct rma_stream *rs, const struct iovec *iov, bool eor)
{
	struct rma_rail *rail = &rs->rails[nmti_win_rail(rs->w)];
	struct rma_tx *tx = rs->tx;
	struct rma_ring *ring = &tx->ring;
	struct rma_chunk *c = chunk_at(tx, tx->tail);
	uint32_t at = (uint32_t)ring->tail & (ring->size - 1), len = (uint32_t)iov->iov_len;

	if (tx->cur != tx->tail || !nothing_waits(rs) || !iov->iov_len ||
	    iov->iov_len > min32(rma_ring_room(ring), ring->size - at) ||
	    iov->iov_len > rs->rd->lim.write_max || !rma_chunks_room(tx) ||
	    in_ring(ring, ring->tail, rail, len, &tx->held[0]))
		return false;
	memcpy((char *)ring->mem.mr->cpu + at, iov->iov_base, len);
	*c = (struct rma_chunk){ .at = ring->tail, .len = len, .flags = eor ? CHUNK_EOR : 0 };
	tx->tail++;
	if (!post_alone(rs, rail, c, len, eor)) {
		tx->tail--;
		return false;
	}
	ring->tail += len;
	return true;
}

nmti_hot bool nmti_rma_pump(struct rma_stream *rs, uint32_t budget)
{
	bool more = false;

	if (can_post(rs) && !(rs->tx && budget && pump_alone(rs)))
		more = wanted(rs) && pump(rs, budget);
	if (rs->tx && rs->tx->unrung)
		ring_doorbells(rs);
	return more;
}

/* An empty request that tells when it, and so all before it, is complete. */
static void ask(struct rma_stream *rs, struct rma_rail *rail)
{
	uint64_t number;
	int rc = rs->rd->ops->ask(rail->ep, &number);

	if (rc == -EAGAIN) /* the queue is full: the device tells */
		return;
	if (rc) {
		nmti_rma_failed(rail, rc, "asking for completions");
		return;
	}
	rail->run_of[number & rs->send_mask] = rail->last_run;
	rma_asks(rail, number);
}

void nmti_rma_settle(struct rma_stream *rs)
{
	struct rma_tx *tx = rs->tx;
	bool open = false;

	if (!tx || rs->path != PATH_UP || !awaited(rs))
		return;
	for (uint8_t i = 0; i < rs->nrails && rs->path == PATH_UP; i++) {
		struct rma_rail *rail = &rs->rails[i];

		if (!rail->quiet || rail->asked != rail->told)
			continue;
		open = true;
		if (tx->settled)
			ask(rs, rail);
	}
	if (open && !tx->settled)
		nmti_work(rs->s); /* the application may send more until then */
	tx->settled = open && !tx->settled;
}

/* ---- resume ------------------------------------------------------------------------------- */

void nmti_rma_tx_rewind(struct rma_stream *rs)
{
	uint64_t last = rs->last;
	struct rma_tx *tx = rs->tx;
	struct nmti_win_pos pos;
	struct rma_place at;

	nmti_win_tx_pos(rs->w, &pos);
	rs->last = nmti_win_done(rs->w);
	rs->fin_sent = pos.fin;
	rs->fin_run = rs->last;
	rs->stop_check = false;
	if (!tx)
		return;
	if (rs->last != last) {
		at = *place_before(rs, rs->last + 1);
		tx->cur = at.chunk;
		tx->done = at.done;
	}
	memset(tx->stage.run, 0, sizeof(tx->stage.run));
	if (rs->peer_done)
		nmti_rma_tx_drop(rs);
}
