/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * From the source into the stream. Blocks are filled and sent in a ring; NMT_EV_SENT gives them
 * back in order.
 */
#include "sender.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "die.h"

#define COOKIE_BLOCK 1
#define COOKIE_FLUSH 2

/* ---- memory ------------------------------------------------------------------------------- */

static int alloc_region(struct sender_memory *m, struct nmt_ctx *ctx, uint32_t kind)
{
	int err = nmt_mr_alloc(ctx, kind ? (enum nmt_mem_kind)kind : NMT_MEM_HOST,
			       m->block * m->depth, NMT_ACCESS_SEND, &m->mr);

	if (err < 0) {
		tk_warn("cannot allocate memory to send from: %s", nmt_strerror(err));
		return err;
	}
	m->cpu = nmt_mr_addr(m->mr);
	return 0;
}

int sender_memory_alloc(struct sender_memory *m, struct nmt_ctx *ctx, const struct cat_options *o)
{
	int err;

	memset(m, 0, sizeof(*m));
	if (!cat_sends(o))
		return 0;
	m->block = o->block;
	m->depth = o->copy ? 1 : (uint32_t)o->depth;
	err = o->copy ? 0 : alloc_region(m, ctx, o->stream.mem);
	if (err < 0 || m->cpu)
		return err;
	m->stage = malloc(m->block);
	if (!m->stage) {
		tk_warn("cannot allocate a block of %zu bytes", m->block);
		return -ENOMEM;
	}
	return 0;
}

void sender_memory_free(struct sender_memory *m)
{
	int err = m->mr ? nmt_mr_close(m->mr) : 0;

	if (err < 0)
		tk_warn("send memory is still in use: %s", nmt_strerror(err));
	free(m->stage);
	memset(m, 0, sizeof(*m));
}

/* ---- life --------------------------------------------------------------------------------- */

int sender_start(struct sender *tx, const struct sender_memory *m, const struct cat_options *o,
		 struct nmt_stream *stream)
{
	int err;

	memset(tx, 0, sizeof(*tx));
	tx->mem = m;
	tx->stream = stream;
	source_open(&tx->src, o);
	tx->state = cat_sends(o) ? SENDER_SENDING : SENDER_OFF;
	err = checksum_init(&tx->sum, o->sum);
	if (err < 0)
		tk_warn("cannot start the checksum: %s", strerror(-err));
	return err;
}

void sender_stop(struct sender *tx)
{
	source_close(&tx->src);
	checksum_free(&tx->sum);
}

void sender_cut(struct sender *tx)
{
	source_close(&tx->src);
}

int sender_fd(const struct sender *tx)
{
	bool wants = tx->state == SENDER_SENDING && tx->starved && !tx->blocked &&
		     tx->in_flight < tx->mem->depth;

	return wants ? source_fd(&tx->src) : -1;
}

/* ---- filling a block ---------------------------------------------------------------------- */

static char *block_address(const struct sender *tx)
{
	const struct sender_memory *m = tx->mem;

	return m->cpu ? m->cpu + (size_t)tx->block * m->block : m->stage;
}

/* Fill the block as far as the source goes without waiting. */
static int fill_block(struct sender *tx)
{
	char *at = block_address(tx);
	ssize_t n = 1;

	while (tx->fill < tx->mem->block) {
		n = source_read(&tx->src, at + tx->fill, tx->mem->block - tx->fill);
		if (n <= 0)
			break;
		checksum_update(&tx->sum, at + tx->fill, (size_t)n);
		tx->fill += (size_t)n;
	}
	tx->starved = n == -EAGAIN;
	tx->end = n == 0;
	return n < 0 && n != -EAGAIN ? CAT_TOLD : 0;
}

/* ---- sending it --------------------------------------------------------------------------- */

static int send_borrowed(struct sender *tx)
{
	struct nmt_frag frag = {
		.mr = tx->mem->mr,
		.offset = (uint64_t)tx->block * tx->mem->block,
		.len = (uint32_t)tx->fill,
	};
	int err = 0;

	if (!tx->mem->cpu)
		err = nmt_mr_write(frag.mr, frag.offset, tx->mem->stage, tx->fill);
	if (!err)
		err = nmt_send_mr(tx->stream, &frag, 1, 0, COOKIE_BLOCK);
	if (err < 0)
		return err;
	tx->in_flight++;
	tx->block = (tx->block + 1) % tx->mem->depth;
	tx->fill = 0;
	return 1;
}

static int send_copied(struct sender *tx)
{
	ssize_t n = nmt_send(tx->stream, tx->mem->stage + tx->taken, tx->fill - tx->taken, 0);

	if (n < 0)
		return (int)n;
	tx->taken += (size_t)n;
	if (tx->taken == tx->fill)
		tx->taken = tx->fill = 0;
	return 1;
}

static int send_block(struct sender *tx)
{
	int n = tx->mem->mr ? send_borrowed(tx) : send_copied(tx);

	if (n == -EAGAIN) {
		tx->blocked = true;
		return 0;
	}
	return n;
}

/* Flush, and tell the peer that this was all. */
static int send_end(struct sender *tx)
{
	int err = tx->ended ? 0 : nmt_flush(tx->stream, COOKIE_FLUSH);

	if (err == -EAGAIN) {
		tx->blocked = true;
		return 0;
	}
	if (err < 0)
		return err;
	tx->ended = true;
	tx->state = SENDER_FLUSHING;
	err = nmt_shutdown(tx->stream, SHUT_WR);
	return err < 0 ? err : 1;
}

int sender_step(struct sender *tx)
{
	int err;

	if (tx->state != SENDER_SENDING || tx->blocked || tx->in_flight == tx->mem->depth)
		return 0;
	if (!tx->fill && !tx->end) {
		err = fill_block(tx);
		if (err < 0)
			return err;
	}
	if (tx->fill)
		return send_block(tx);
	return tx->end ? send_end(tx) : 0;
}

int sender_event(struct sender *tx, const struct nmt_event *ev)
{
	tx->blocked = false;
	if (ev->type == NMT_EV_SENT)
		tx->in_flight--;
	if (ev->type == NMT_EV_FLUSHED && ev->status == 0)
		tx->state = SENDER_DONE;
	return ev->status;
}
