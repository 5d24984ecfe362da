/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Sending: what waits to be sent. Copied bytes lie in a ring that the device knows, borrowed ones
 * stay where they are; both are chunks of one queue, in stream order. rma_run.c makes runs of them.
 * A chunk is given back when the last run that carries any of it is complete.
 */
#include <stdlib.h>

#include "rma/rma_int.h"

#define CHUNKS_MIN 256u
#define SIGNAL_RUNS 16u
/* Part of the ring at which a sender that found no room is told: not at each byte. */
#define ROOM_PART 4u

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
	rs->tx = tx;
	rc = nmti_rma_ring_new(rs);
	if (rc) {
		rs->tx = NULL;
		free(tx);
		return rc;
	}
	tx->chunk = (struct rma_chunk *)(tx + 1);
	tx->op = (struct rma_op *)(tx->chunk + chunks);
	tx->log = (struct rma_place *)(tx->op + ops);
	tx->mask = chunks - 1;
	tx->signal_runs = min32(SIGNAL_RUNS, (rs->rd->lim.send_depth + 2) / 3);
	tx->op_mask = ops - 1;
	rs->s->memory += (uint32_t)tx_bytes(rs, chunks, ops);
	return 0;
}

static void chunk_drop(struct rma_stream *rs)
{
	struct rma_chunk *c = chunk_at(rs->tx, rs->tx->head++);

	if (c->mr)
		nmti_mr_drop(c->mr);
	else if (c->len)
		nmti_rma_ring_drop(rs, c->at + c->len);
}

void nmti_rma_tx_free(struct rma_stream *rs)
{
	struct rma_tx *tx = rs->tx;

	if (!tx)
		return;
	while (tx->head != tx->tail)
		chunk_drop(rs);
	nmti_rma_ring_free(rs);
	nmti_rma_bounce_free(rs->rd, &tx->stage.mem);
	free(tx);
	rs->tx = NULL;
}

bool nmti_rma_unsent(const struct rma_stream *rs)
{
	return rs->tx && rs->tx->cur != rs->tx->tail;
}

/* ---- copying calls ------------------------------------------------------------------------ */

/* Bytes directly behind those of the newest chunk, which still waits, can join it. */
static struct rma_chunk *joinable(struct rma_tx *tx)
{
	const struct rma_ring *ring = &tx->ring;
	struct rma_chunk *c;

	if (tx->cur == tx->tail)
		return NULL;
	c = chunk_at(tx, tx->tail - 1);
	if (c->mr || c->flags || !c->len || c->at + c->len != ring->tail || c->at < ring->from ||
	    !(ring->tail & (ring->size - 1)))
		return NULL;
	return c;
}

static struct rma_chunk *chunk_new(struct rma_tx *tx)
{
	struct rma_chunk *c = chunk_at(tx, tx->tail++);

	*c = (struct rma_chunk){ .at = tx->ring.tail };
	return c;
}

/* Copied bytes that wait to be sent. */
static uint32_t waiting(const struct rma_stream *rs)
{
	struct rma_tx *tx = rs->tx;

	for (uint32_t i = tx->cur; i != tx->tail; i++) {
		const struct rma_chunk *c = chunk_at(tx, i);

		if (!c->mr && c->len)
			return (uint32_t)(tx->ring.tail - c->at) - (i == tx->cur ? tx->done : 0);
	}
	return 0;
}

/*
 * How many bytes the ring takes now. The most of a large one is for bytes in flight: what waits for
 * the peer's memory or credit needs the application to be driven on, and stays little.
 */
static uint32_t ring_room(struct rma_stream *rs)
{
	uint32_t room = rma_ring_room(&rs->tx->ring), wait = nmti_rma_unsent(rs) ? waiting(rs) : 0;
	uint32_t left = wait < RMA_RING_FIRST ? RMA_RING_FIRST - wait : 0; /* a resume takes back */

	if (!room && left && nmti_rma_ring_grow(rs))
		room = rma_ring_room(&rs->tx->ring);
	return room < left ? room : left;
}

/* Copy what fits into one piece of the ring; how much. */
static uint32_t put_piece(struct rma_stream *rs, const char *from, size_t len)
{
	struct rma_tx *tx = rs->tx;
	struct rma_ring *ring = &tx->ring;
	uint32_t room = ring_room(rs); /* the ring may grow */
	uint32_t at = (uint32_t)ring->tail & (ring->size - 1);
	uint32_t n = min32(room, ring->size - at);
	struct rma_chunk *c = joinable(tx);

	n = n < len ? n : (uint32_t)len;
	if (!n || (!c && !rma_chunks_room(tx)))
		return 0;
	if (!c)
		c = chunk_new(tx);
	memcpy((char *)ring->mem.mr->cpu + at, from, n);
	c->len += n;
	ring->tail += n;
	return n;
}

/* Copy what fits; how much. */
static uint32_t put_bytes(struct rma_stream *rs, const char *from, size_t len)
{
	uint32_t done = 0, n;

	while (done < len && (n = put_piece(rs, from + done, len - done)))
		done += n;
	return done;
}

/* A record ends behind what was put, all of which was copied if BYTES. */
static bool put_eor(struct rma_tx *tx, bool bytes)
{
	if (!bytes) {
		if (!rma_chunks_room(tx))
			return false;
		chunk_new(tx);
	}
	chunk_at(tx, tx->tail - 1)->flags |= CHUNK_EOR;
	return true;
}

/* What is left of the buffers of a call. */
struct source {
	const struct iovec *iov;
	int n;     /* 0: nothing */
	size_t at; /* into the first one */
};

/* Copy what fits; how much. */
nmti_hot static size_t put_all(struct rma_stream *rs, struct source *from)
{
	size_t sum = 0;

	while (from->n) {
		uint32_t done = put_bytes(rs, (char *)from->iov->iov_base + from->at,
					  from->iov->iov_len - from->at);

		sum += done;
		from->at += done;
		if (from->at < from->iov->iov_len)
			break;
		from->iov++;
		from->n--;
		from->at = 0;
	}
	return sum;
}

/* Copy and send in turn, until the peer or the device takes no more; how much was copied. */
static size_t put_and_send(struct rma_stream *rs, struct source *from)
{
	size_t done, more;

	done = more = put_all(rs, from);
	while (from->n && more) {
		nmti_rma_go_on(rs, 0);
		if (rs->s->error || nmti_rma_unsent(rs))
			break;
		more = put_all(rs, from);
		done += more;
	}
	return done;
}

/* Something is in the way that a completion, perhaps there already, would take away. */
static bool blocked(const struct rma_stream *rs)
{
	return rs->path == PATH_UP && (rs->nheld || nmti_rma_unsent(rs));
}

nmti_hot void nmti_rma_go_on(struct rma_stream *rs, int flags)
{
	if (flags & MSG_MORE || rs->path != PATH_UP || nmti_rma_pump(rs, UINT32_MAX)) {
		nmti_work(rs->s);
		return;
	}
	if (!rs->s->tx_ready) /* somebody waits for what is under way */
		nmti_work(rs->s);
	if (!blocked(rs))
		return;
	nmti_rma_progress(rs->s->pd);
	nmti_rma_completed(rs);
	if (nmti_rma_pump(rs, UINT32_MAX) || rs->wait == NMTI_WIN_DEPTH) /* a turn asks for completions */
		nmti_work(rs->s);
}

static ssize_t send_all(struct nmt_stream *s, const struct iovec *iov, int n, int flags)
{
	struct rma_stream *rs = rma_of(s);
	struct source from = { .iov = iov, .n = n };
	size_t done;
	bool all;

	done = put_and_send(rs, &from);
	all = !from.n && (!(flags & MSG_EOR) || put_eor(rs->tx, done));
	s->stat.tx_copied += done;
	if (!all)
		s->tx_ready = false;
	nmti_rma_go_on(rs, flags);
	if (s->error)
		return s->error;
	return all || done ? (ssize_t)done : -EAGAIN;
}

nmti_hot ssize_t nmti_rma_send(struct nmt_stream *s, const struct iovec *iov, int n, int flags)
{
	struct rma_stream *rs = rma_of(s);
	int rc = rs->tx ? 0 : nmti_rma_tx_alloc(rs);

	if (rc)
		return rc;
	if (n != 1 || flags & MSG_MORE || !nmti_rma_send_alone(rs, iov, flags & MSG_EOR))
		return send_all(s, iov, n, flags);
	s->stat.tx_copied += iov->iov_len;
	if (unlikely(!s->tx_ready || rs->nheld))
		nmti_rma_go_on(rs, flags);
	return s->error ? s->error : (ssize_t)iov->iov_len;
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
	struct rma_reg *reg = nmti_rma_reg_get(rs->rd, frag->mr, false, NULL);
	struct rma_chunk *c = chunk_new(rs->tx);

	c->mr = frag->mr;
	c->mem = reg ? &reg->mem[0] : NULL;
	c->at = frag->offset;
	c->len = frag->len;
	nmti_mr_hold(frag->mr);
	if (!reg && frag->len)
		rs->s->stat.fallback_staging++;
}

nmti_hot int nmti_rma_send_mr(struct nmt_stream *s, const struct nmt_frag *frags, int n, int flags,
			      uint64_t cookie)
{
	struct rma_stream *rs = rma_of(s);
	struct rma_op *op;
	int rc = rs->tx ? 0 : nmti_rma_tx_alloc(rs);

	if (rc)
		return rc;
	if (rma_chunks_room(rs->tx) < (uint32_t)n) {
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
	nmti_rma_go_on(rs, flags);
	return 0;
}

int nmti_rma_flush(struct nmt_stream *s, uint64_t cookie)
{
	struct rma_stream *rs = rma_of(s);
	struct rma_op *op;
	int rc = rs->tx ? 0 : nmti_rma_tx_alloc(rs);

	if (rc)
		return rc;
	op = rma_chunks_room(rs->tx) ? op_new(rs, cookie) : NULL;
	if (!op) {
		rs->tx->refused = true;
		return -EAGAIN;
	}
	op->flush = true;
	chunk_new(rs->tx)->flags = CHUNK_OP;
	if (rs->path == PATH_GONE) /* both ends are done: what is delivered is, and nothing follows */
		nmti_rma_tx_end(rs, 0, rs->lost_bytes ? -EPIPE : 0);
	nmti_work(s);
	return 0;
}

/* ---- giving back -------------------------------------------------------------------------- */

static void op_finish(struct rma_stream *rs, int status)
{
	op_at(rs->tx, rs->tx->op_done++)->status = status;
	rs->s->tx_untold = true;
	nmti_tell(rs->s);
}

nmti_hot static void finish_first(struct rma_stream *rs, int status)
{
	if (chunk_at(rs->tx, rs->tx->head)->flags & CHUNK_OP)
		op_finish(rs, status);
	chunk_drop(rs);
}

nmti_hot void nmti_rma_completed(struct rma_stream *rs)
{
	struct rma_tx *tx = rs->tx;
	uint64_t done = nmti_win_done(rs->w);
	const struct rma_chunk *c;
	bool any = false;

	while (tx->head != tx->cur && (c = chunk_at(tx, tx->head))->run <= done) {
		finish_first(rs, c->flags & CHUNK_LOST ? -EPIPE : 0);
		any = true;
	}
	if (!any || rs->s->tx_ready)
		return;
	if (rma_ring_room(&tx->ring) < tx->ring.size / ROOM_PART ||
	    waiting(rs) > RMA_RING_FIRST - RMA_RING_FIRST / ROOM_PART ||
	    rma_chunks_room(tx) < CHUNKS_MIN / 4)
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

int nmti_rma_tx_reap(struct nmt_stream *s, struct nmt_event *ev, int max)
{
	struct rma_tx *tx = rma_of(s)->tx;
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
		s->tx_slot = true;
	}
	s->tx_untold = tx->op_head != tx->op_done;
	return n;
}
