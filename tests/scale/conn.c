/* SPDX-License-Identifier: BSD-2-Clause */
/* One stream: sends its bytes, checks the peer's, ends as planned. */
#include <stdlib.h>

#include "scale.h"

#define RECV_ROUNDS 4

struct conn *conn_new(struct side *side, uint64_t id)
{
	struct conn *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->side = side;
	c->id = id;
	c->tx_sum = XXH3_createState();
	c->rx_sum = XXH3_createState();
	if (!c->tx_sum || !c->rx_sum) {
		conn_free(c);
		return NULL;
	}
	XXH3_64bits_reset(c->tx_sum);
	XXH3_64bits_reset(c->rx_sum);
	side->open++;
	c->next_open = side->conns;
	c->prev_open = &side->conns;
	if (c->next_open)
		c->next_open->prev_open = &c->next_open;
	side->conns = c;
	if (side->client) {
		c->known = true;
		plan_make(side->opt, id, &c->plan);
	}
	return c;
}

void conn_free(struct conn *c)
{
	if (c->prev_open)
		*c->prev_open = c->next_open;
	if (c->next_open)
		c->next_open->prev_open = c->prev_open;
	XXH3_freeState(c->tx_sum);
	XXH3_freeState(c->rx_sum);
	free(c);
}

/* ---- sending ---- */

static void unlist(struct conn *c)
{
	if (!c->prev)
		return;
	*c->prev = c->next;
	if (c->next)
		c->next->prev = c->prev;
	c->prev = NULL;
}

static void enlist(struct conn *c)
{
	struct side *side = c->side;

	if (c->prev || !c->s || c->tx_over || c->borrowing)
		return;
	c->next = side->sending;
	if (c->next)
		c->next->prev = &c->next;
	c->prev = &side->sending;
	side->sending = c;
}

static uint64_t tx_total(const struct conn *c)
{
	return c->plan.len[c->side->client ? 0 : 1];
}

static bool own_fate(const struct conn *c)
{
	return c->plan.fate != FATE_NORMAL && c->plan.by_client == c->side->client;
}

/* Where this side stops sending. */
static uint64_t tx_stop(const struct conn *c)
{
	return own_fate(c) ? c->plan.at : tx_total(c);
}

/* Bytes at the sending position: head, payload or digest, whichever comes. */
static size_t tx_fill(struct conn *c, uint8_t *buf)
{
	uint64_t end = tx_total(c) - DIGEST, n;

	if (c->side->client && c->tx < HEAD) {
		memcpy(buf, &c->id, HEAD);
		memmove(buf, buf + c->tx, HEAD - c->tx);
		return HEAD - c->tx;
	}
	if (c->tx >= end) {
		uint64_t sum = XXH3_64bits_digest(c->tx_sum);

		memcpy(buf, &sum, DIGEST);
		memmove(buf, buf + (c->tx - end), DIGEST - (c->tx - end));
		return DIGEST - (c->tx - end);
	}
	n = end - c->tx < CHUNK ? end - c->tx : CHUNK;
	plan_bytes(c->side->opt, c->id, c->side->client, c->tx, buf, n);
	return n;
}

static void tx_taken(struct conn *c, const uint8_t *buf, size_t n)
{
	uint64_t end = tx_total(c) - DIGEST;

	if (c->tx < end)
		XXH3_64bits_update(c->tx_sum, buf, n);
	c->tx += n;
	c->side->bytes += n;
}

static void end_own(struct conn *c)
{
	struct nmt_stream *s = c->s;

	unlist(c);
	c->s = NULL;
	c->ended = true;
	if (c->plan.fate == FATE_ABORT)
		nmt_abort(s);
	else
		nmt_close(s);
}

static void close_if_over(struct conn *c)
{
	struct nmt_stream *s = c->s;

	if (!s || !c->rx_over || !c->tx_over || c->borrowing)
		return;
	unlist(c);
	c->s = NULL;
	nmt_close(s);
}

static void tx_end(struct conn *c)
{
	unlist(c);
	c->tx_over = true;
	if (!c->tx_failed && nmt_shutdown(c->s, SHUT_WR) && !c->rx_over)
		c->tx_failed = true;
	close_if_over(c);
}

static void tx_error(struct conn *c, long err)
{
	if (err != -EPIPE && err != -ECONNRESET)
		side_fail(c->side, c->id, "send gives %ld", err);
	c->tx_failed = true;
	tx_end(c);
}

/* Borrow this chunk; false: copy it instead. */
static bool send_borrowed(struct conn *c, const uint8_t *buf, size_t n)
{
	struct side *side = c->side;
	struct nmt_frag frag = { .mr = side->slots, .len = (uint32_t)n };
	int ret;

	if (!c->plan.send || !side->nfree)
		return false;
	c->slot = side->free_slot[--side->nfree];
	frag.offset = (uint64_t)c->slot * CHUNK;
	nmt_mr_write(side->slots, frag.offset, buf, n);
	ret = nmt_send_mr(c->s, &frag, 1, 0, c->id);
	if (ret) {
		side->free_slot[side->nfree++] = c->slot;
		return false;
	}
	c->borrowing = true;
	unlist(c);
	tx_taken(c, buf, n);
	return true;
}

/* One chunk; false: the connection leaves the list. */
static void tx_step(struct conn *c)
{
	uint8_t buf[CHUNK];
	uint64_t stop = tx_stop(c);
	size_t n = tx_fill(c, buf);
	ssize_t r;

	if (n > stop - c->tx)
		n = stop - c->tx;
	if (n && !send_borrowed(c, buf, n)) {
		r = nmt_send(c->s, buf, n, 0);
		if (r == -EAGAIN) {
			unlist(c);
			return;
		}
		if (r < 0) {
			tx_error(c, r);
			return;
		}
		tx_taken(c, buf, (size_t)r);
	}
	if (c->tx < stop)
		return;
	if (own_fate(c))
		end_own(c);
	else if (!c->borrowing)
		tx_end(c);
}

void conn_start(struct conn *c)
{
	if (c->known)
		enlist(c);
}

static void on_sent(struct conn *c, const struct nmt_event *ev)
{
	c->borrowing = false;
	c->side->free_slot[c->side->nfree++] = c->slot;
	if (!c->s)
		return;
	if (ev->status) {
		if (!c->tx_over)
			tx_error(c, ev->status);
	} else if (c->tx == tx_stop(c) && !c->tx_over) {
		tx_end(c);
	} else {
		enlist(c);
	}
	close_if_over(c);
}

/* ---- receiving ---- */

/* The last DIGEST bytes stay in c->tail, and out of the sum. */
static void rx_take(struct conn *c, const uint8_t *buf, size_t n)
{
	uint8_t join[DIGEST + CHUNK];
	size_t have = c->rx < DIGEST ? (size_t)c->rx : DIGEST;

	memcpy(join, c->tail, have);
	memcpy(join + have, buf, n);
	c->rx += n;
	have += n;
	if (have > DIGEST) {
		XXH3_64bits_update(c->rx_sum, join, have - DIGEST);
		memcpy(c->tail, join + have - DIGEST, DIGEST);
	} else {
		memcpy(c->tail, join, have);
	}
}

static void learn_number(struct conn *c, const uint8_t *buf, size_t n)
{
	if (c->known || c->rx >= HEAD)
		return;
	for (size_t i = 0; i < n && c->rx + i < HEAD; i++)
		c->head[c->rx + i] = buf[i];
	if (c->rx + n < HEAD)
		return;
	memcpy(&c->id, c->head, HEAD);
	plan_make(c->side->opt, c->id, &c->plan);
	c->known = true;
	enlist(c);
}

/* Each byte is known, so a wrong one is found where it is. */
static void compare(struct conn *c, const uint8_t *buf, size_t n)
{
	uint64_t skip = c->side->client ? 0 : HEAD;
	uint64_t end = c->plan.len[c->side->client ? 1 : 0] - DIGEST;
	uint8_t want[CHUNK];
	uint64_t pos = c->rx;

	if (!c->known || c->side->wrong)
		return;
	plan_bytes(c->side->opt, c->id, !c->side->client, pos, want, n);
	for (size_t i = 0; i < n; i++, pos++)
		if (pos >= skip && pos < end && buf[i] != want[i]) {
			side_fail(c->side, c->id, "byte %llu is wrong", (unsigned long long)pos);
			return;
		}
}

static void rx_bytes(struct conn *c, const uint8_t *buf, size_t n)
{
	for (size_t at = 0; at < n;) {
		size_t part = n - at < CHUNK ? n - at : CHUNK;

		learn_number(c, buf + at, part);
		compare(c, buf + at, part);
		rx_take(c, buf + at, part);
		at += part;
	}
}

static ssize_t recv_copy(struct conn *c)
{
	uint8_t buf[16384];
	ssize_t n = nmt_recv(c->s, buf, sizeof(buf), 0);

	if (n > 0)
		rx_bytes(c, buf, (size_t)n);
	return n;
}

static ssize_t recv_lent(struct conn *c)
{
	struct nmt_frag frags[4];
	int n = nmt_recv_frags(c->s, frags, 4, 0), ret;

	for (int i = 0; i < n; i++)
		rx_bytes(c, (uint8_t *)nmt_mr_addr(frags[i].mr) + frags[i].offset, frags[i].len);
	if (n <= 0)
		return n;
	ret = nmt_release(c->s, frags, n);
	if (ret)
		side_fail(c->side, c->id, "nmt_release gives %d", ret);
	return n;
}

static void rx_steps(struct conn *c)
{
	for (int i = 0; i < RECV_ROUNDS && c->s && !c->rx_over; i++) {
		ssize_t n = c->plan.recv ? recv_lent(c) : recv_copy(c);

		if (n == -EAGAIN)
			return;
		if (n > 0)
			continue;
		c->rx_over = true;
		c->rx_status = (int)n;
		if (n < 0 && !c->tx_over) {
			c->tx_failed = true;
			tx_end(c);
		}
		/* A peer that never said its number has nothing to get either. */
		if (!c->known)
			c->tx_over = true;
		close_if_over(c);
	}
}

/* ---- events ---- */

static void on_error(struct conn *c)
{
	if (!c->s)
		return;
	rx_steps(c);
	if (!c->s || c->rx_over)
		return;
	/* Not open yet, or more to read: READABLE goes on. */
	if (!c->connected) {
		c->rx_over = c->tx_over = c->tx_failed = true;
		c->rx_status = -ECONNRESET;
		close_if_over(c);
	}
}

void conn_event(struct conn *c, const struct nmt_event *ev)
{
	switch (ev->type) {
	case NMT_EV_CONNECTED:
		c->connected = true;
		break;
	case NMT_EV_READABLE:
		if (c->s)
			rx_steps(c);
		break;
	case NMT_EV_WRITABLE:
		enlist(c);
		break;
	case NMT_EV_SENT:
		on_sent(c, ev);
		break;
	case NMT_EV_ERROR:
		on_error(c);
		break;
	case NMT_EV_CLOSED:
		unlist(c);
		c->closed = true;
		c->closed_status = ev->status;
		c->side->open--;
		verdict(c);
		conn_free(c);
		break;
	default:
		side_fail(c->side, c->id, "event %u", ev->type);
	}
}

/* Let those on the list send a chunk each, a bounded number of them. */
static void send_some(struct side *side)
{
	struct conn *c = side->sending, *next;

	for (int i = 0; c && i < 256; c = next, i++) {
		next = c->next;
		tx_step(c);
	}
}

int side_turn(struct side *side, int64_t timeout)
{
	struct nmt_event ev[64];
	int n;

	send_some(side);
	n = nmt_poll(side->dom, ev, 64, side->sending ? 0 : timeout);
	if (n == -EINTR)
		return 0;
	for (int i = 0; i < n; i++) {
		if (ev[i].listener)
			side->on_event(side, &ev[i]);
		else
			conn_event(ev[i].user, &ev[i]);
		if (ev[i].type == NMT_EV_CONNECTED && side->on_event)
			side->on_event(side, &ev[i]);
	}
	return n < 0 ? n : 0;
}
