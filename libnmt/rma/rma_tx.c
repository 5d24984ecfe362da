/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Sending: what waits to be sent. Copied bytes lie in a ring that the device knows, borrowed ones
 * stay where they are; both are chunks of one queue, in stream order. rma_run.c makes runs of them.
 * A chunk is given back when the last run that carries any of it is complete.
 */
#include <stdlib.h>

#include "rma/rma_int.h"

#define RING_BYTES (128u << 10)
#define CHUNKS_MIN 256u
/* Room at which a sender that found none is told: not at each byte. */
#define ROOM_MIN (RING_BYTES / 4)

static struct rma_chunk *chunk_at(struct rma_tx *tx, uint32_t i)
{
	return &tx->chunk[i & tx->mask];
}

static struct rma_op *op_at(struct rma_tx *tx, uint32_t i)
{
	return &tx->op[i & tx->op_mask];
}

/* ---- memory ------------------------------------------------------------------------------- */

static size_t tx_bytes(const struct rma_stream *rs, uint32_t chunks, uint32_t ops)
{
	return sizeof(struct rma_tx) + chunks * sizeof(struct rma_chunk) +
	       ops * sizeof(struct rma_op) + rs->attr.tx_depth * sizeof(struct rma_place);
}

int nmti_rma_tx_alloc(struct rma_stream *rs)
{
	uint32_t ops = rma_pow2(rs->s->tune.send_depth), chunks = 2 * ops;
	struct rma_tx *tx;
	int rc;

	chunks = chunks < CHUNKS_MIN ? CHUNKS_MIN : chunks;
	tx = calloc(1, tx_bytes(rs, chunks, ops));
	if (!tx)
		return -ENOMEM;
	rc = nmti_rma_bounce_new(rs->rd, RING_BYTES, false, &tx->ring);
	if (rc) {
		free(tx);
		return rc;
	}
	tx->chunk = (struct rma_chunk *)(tx + 1);
	tx->op = (struct rma_op *)(tx->chunk + chunks);
	tx->log = (struct rma_place *)(tx->op + ops);
	tx->mask = chunks - 1;
	tx->op_mask = ops - 1;
	rs->s->memory += (uint32_t)tx_bytes(rs, chunks, ops) + RING_BYTES;
	rs->tx = tx;
	return 0;
}

static void chunk_drop(struct rma_tx *tx)
{
	struct rma_chunk *c = chunk_at(tx, tx->head++);

	if (c->mr)
		nmti_mr_drop(c->mr);
	else if (c->len)
		tx->ring_head = c->at + c->len;
}

void nmti_rma_tx_free(struct rma_stream *rs)
{
	struct rma_tx *tx = rs->tx;

	if (!tx)
		return;
	while (tx->head != tx->tail)
		chunk_drop(tx);
	nmti_rma_bounce_free(rs->rd, &tx->ring);
	nmti_rma_bounce_free(rs->rd, &tx->stage.mem);
	free(tx);
	rs->tx = NULL;
}

bool nmti_rma_unsent(const struct rma_stream *rs)
{
	return rs->tx && rs->tx->cur != rs->tx->tail;
}

/* ---- copying calls ------------------------------------------------------------------------ */

static uint32_t ring_room(const struct rma_tx *tx)
{
	return RING_BYTES - (uint32_t)(tx->ring_tail - tx->ring_head);
}

static uint32_t chunks_room(const struct rma_tx *tx)
{
	return tx->mask + 1 - (tx->tail - tx->head);
}

/* Bytes directly behind those of the newest chunk, which still waits, can join it. */
static struct rma_chunk *joinable(struct rma_tx *tx)
{
	struct rma_chunk *c;

	if (tx->cur == tx->tail)
		return NULL;
	c = chunk_at(tx, tx->tail - 1);
	if (c->mr || c->flags || !c->len || c->at + c->len != tx->ring_tail ||
	    !(tx->ring_tail & (RING_BYTES - 1)))
		return NULL;
	return c;
}

static struct rma_chunk *chunk_new(struct rma_tx *tx)
{
	struct rma_chunk *c = chunk_at(tx, tx->tail++);

	*c = (struct rma_chunk){ .at = tx->ring_tail };
	return c;
}

/* Copy what fits; how much. */
static uint32_t put_bytes(struct rma_tx *tx, const char *from, size_t len)
{
	char *ring = tx->ring.mr->cpu;
	uint32_t done = 0;

	while (done < len) {
		uint32_t at = (uint32_t)tx->ring_tail & (RING_BYTES - 1), n = RING_BYTES - at;
		struct rma_chunk *c = joinable(tx);

		n = n < ring_room(tx) ? n : ring_room(tx);
		n = n < len - done ? n : (uint32_t)(len - done);
		if (!n || (!c && !chunks_room(tx)))
			break;
		c = c ? c : chunk_new(tx);
		memcpy(ring + at, from + done, n);
		c->len += n;
		tx->ring_tail += n;
		done += n;
	}
	return done;
}

/* A record ends behind what was put, all of which was copied if BYTES. */
static bool put_eor(struct rma_tx *tx, bool bytes)
{
	if (!bytes) {
		if (!chunks_room(tx))
			return false;
		chunk_new(tx);
	}
	chunk_at(tx, tx->tail - 1)->flags |= CHUNK_EOR;
	return true;
}

static size_t put_all(struct rma_tx *tx, const struct iovec *iov, int n)
{
	size_t sum = 0;

	for (int i = 0; i < n; i++) {
		uint32_t done = put_bytes(tx, iov[i].iov_base, iov[i].iov_len);

		sum += done;
		if (done < iov[i].iov_len)
			break;
	}
	return sum;
}

static size_t total_of(const struct iovec *iov, int n)
{
	size_t sum = 0;

	for (int i = 0; i < n; i++)
		sum += iov[i].iov_len;
	return sum;
}

/* Something is in the way that a completion, perhaps there already, would take away. */
static bool blocked(const struct rma_stream *rs)
{
	return rs->path == PATH_UP && (rs->nheld || nmti_rma_unsent(rs));
}

static void go_on(struct rma_stream *rs, int flags)
{
	uint32_t budget = rs->s->dom->budget;

	if (flags & MSG_MORE || rs->path != PATH_UP || nmti_rma_pump(rs, budget)) {
		nmti_work(rs->s);
		return;
	}
	if (!blocked(rs))
		return;
	nmti_rma_progress(rs->s->pd);
	nmti_rma_completed(rs);
	if (nmti_rma_pump(rs, budget))
		nmti_work(rs->s);
}

ssize_t nmti_rma_send(struct nmt_stream *s, const struct iovec *iov, int n, int flags)
{
	struct rma_stream *rs = rma_of(s);
	size_t want = total_of(iov, n), done;
	int rc = rs->tx ? 0 : nmti_rma_tx_alloc(rs);

	if (rc)
		return rc;
	done = put_all(rs->tx, iov, n);
	if (flags & MSG_EOR && done == want && !put_eor(rs->tx, want))
		done = SIZE_MAX;
	s->stat.tx_copied += done == SIZE_MAX ? 0 : done;
	if (done != want)
		s->tx_ready = false;
	go_on(rs, flags);
	if (s->error)
		return s->error;
	return done == SIZE_MAX || (!done && want) ? -EAGAIN : (ssize_t)done;
}

/* ---- borrowed runs ------------------------------------------------------------------------ */

static struct rma_op *op_new(struct rma_stream *rs, uint64_t cookie)
{
	struct rma_tx *tx = rs->tx;
	struct rma_op *op;

	if (tx->op_tail - tx->op_head >= rs->s->tune.send_depth) {
		tx->refused = true;
		return NULL;
	}
	op = op_at(tx, tx->op_tail++);
	*op = (struct rma_op){ .cookie = cookie };
	return op;
}

static void borrow(struct rma_stream *rs, const struct nmt_frag *frag)
{
	struct rma_reg *reg = nmti_rma_reg_get(rs->rd, frag->mr, false);
	struct rma_chunk *c = chunk_new(rs->tx);

	c->mr = frag->mr;
	c->mem = reg ? &reg->mem[0] : NULL;
	c->at = frag->offset;
	c->len = frag->len;
	nmti_mr_hold(frag->mr);
	if (!reg && frag->len)
		rs->s->stat.fallback_staging++;
}

int nmti_rma_send_mr(struct nmt_stream *s, const struct nmt_frag *frags, int n, int flags,
		     uint64_t cookie)
{
	struct rma_stream *rs = rma_of(s);
	struct rma_op *op;
	int rc = rs->tx ? 0 : nmti_rma_tx_alloc(rs);

	if (rc)
		return rc;
	if (chunks_room(rs->tx) < (uint32_t)n) {
		rs->tx->refused = true;
		s->tx_ready = false;
		return -EAGAIN;
	}
	op = op_new(rs, cookie);
	if (!op)
		return -EAGAIN;
	for (int i = 0; i < n; i++) {
		borrow(rs, &frags[i]);
		op->len += frags[i].len;
	}
	chunk_at(rs->tx, rs->tx->tail - 1)->flags = CHUNK_OP | (flags & MSG_EOR ? CHUNK_EOR : 0);
	go_on(rs, flags);
	return 0;
}

int nmti_rma_flush(struct nmt_stream *s, uint64_t cookie)
{
	struct rma_stream *rs = rma_of(s);
	struct rma_op *op;
	int rc = rs->tx ? 0 : nmti_rma_tx_alloc(rs);

	if (rc)
		return rc;
	op = chunks_room(rs->tx) ? op_new(rs, cookie) : NULL;
	if (!op) {
		rs->tx->refused = true;
		return -EAGAIN;
	}
	op->flush = true;
	chunk_new(rs->tx)->flags = CHUNK_OP;
	nmti_work(s);
	return 0;
}

/* ---- giving back -------------------------------------------------------------------------- */

static void op_finish(struct rma_stream *rs, int status)
{
	op_at(rs->tx, rs->tx->op_done++)->status = status;
	nmti_tell(rs->s);
}

static void finish_first(struct rma_stream *rs, int status)
{
	if (chunk_at(rs->tx, rs->tx->head)->flags & CHUNK_OP)
		op_finish(rs, status);
	chunk_drop(rs->tx);
}

void nmti_rma_completed(struct rma_stream *rs)
{
	struct rma_tx *tx = rs->tx;
	uint64_t done = nmti_win_done(rs->w);
	bool any = false;

	while (tx->head != tx->cur && chunk_at(tx, tx->head)->run <= done) {
		finish_first(rs, chunk_at(tx, tx->head)->flags & CHUNK_LOST ? -EPIPE : 0);
		any = true;
	}
	if (!any || rs->s->tx_ready)
		return;
	if (ring_room(tx) < ROOM_MIN || chunks_room(tx) < CHUNKS_MIN / 4)
		return;
	rs->s->tx_ready = true;
	if (rs->s->tx_want)
		nmti_tell(rs->s);
}

void nmti_rma_tx_end(struct rma_stream *rs, int sent, int unsent)
{
	struct rma_tx *tx = rs->tx;
	uint64_t done = nmti_win_done(rs->w);

	while (tx && tx->head != tx->tail) {
		bool waits = (int32_t)(tx->cur - tx->head) <= 0;

		if (!waits && chunk_at(tx, tx->head)->flags & CHUNK_LOST)
			finish_first(rs, -EPIPE);
		else if (!waits && chunk_at(tx, tx->head)->run <= done)
			finish_first(rs, 0);
		else
			finish_first(rs, waits ? unsent : sent);
	}
	if (!tx)
		return;
	tx->cur = tx->head;
	tx->done = 0;
	rs->nheld = 0;
}

void nmti_rma_tx_drop(struct rma_stream *rs)
{
	struct rma_tx *tx = rs->tx;

	while (tx && tx->cur != tx->tail) {
		struct rma_chunk *c = chunk_at(tx, tx->cur++);

		rs->lost_bytes |= c->len || c->flags & CHUNK_EOR;
		c->flags |= c->len || c->flags & CHUNK_EOR ? CHUNK_LOST : 0;
		c->run = rs->last;
	}
	if (tx)
		tx->done = 0;
}

int nmti_rma_tx_reap(struct rma_stream *rs, struct nmt_event *ev, int max)
{
	struct rma_tx *tx = rs->tx;
	int n = 0;

	while (n < max && tx->op_head != tx->op_done) {
		const struct rma_op *op = op_at(tx, tx->op_head++);

		memset(&ev[n], 0, sizeof(ev[n]));
		ev[n].type = op->flush ? NMT_EV_FLUSHED : NMT_EV_SENT;
		ev[n].status = op->status;
		ev[n].cookie = op->cookie;
		ev[n++].len = op->len;
	}
	if (n && tx->refused) {
		tx->refused = false;
		rs->s->tx_slot = true;
	}
	return n;
}
