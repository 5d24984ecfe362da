/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Moving the bytes of one flow with the calls that the parameters choose. What each small message
 * goes through is here, inline.
 */
#ifndef PERF_IO_H
#define PERF_IO_H

#include <errno.h>

#include "pattern.h"
#include "run.h"

int io_tx_borrow(struct worker *w, struct flow *f);
ssize_t io_rx_frags(struct worker *w, struct flow *f, bool *more);
/* -EBADMSG, and the worker failed: bytes of F at DATA are not what was sent. */
int io_verify(struct worker *w, struct flow *f, const uint8_t *data, size_t len);

static inline bool io_verifying(const struct worker *w)
{
	return w->run->p.flags & PARAM_VERIFY;
}

/* Offset in the send buffer of the flow's next byte. */
static inline uint64_t io_tx_at(const struct worker *w, const struct flow *f)
{
	return io_verifying(w) ? f->tx_off % PATTERN_PERIOD : f->tx_pos;
}

static inline int io_end_flag(const struct worker *w)
{
	return w->run->p.flags & PARAM_RECORDS ? MSG_EOR : 0;
}

static inline int io_tx_copy(struct worker *w, struct flow *f)
{
	uint64_t left = w->run->p.size - f->tx_pos;
	ssize_t n = nmt_send(f->stream, w->run->tx_buf + io_tx_at(w, f), left, io_end_flag(w));

	if (n < 0)
		return n == -EAGAIN ? 0 : (int)n;
	f->tx_off += (uint64_t)n;
	f->tx_pos += (uint64_t)n;
	if ((uint64_t)n < left)
		return 0;
	f->tx_pos = 0;
	return 1;
}

/* Send the current message, or the rest of it. 1: sent; 0: blocked; else a negative errno. */
static inline int io_tx(struct worker *w, struct flow *f)
{
	return w->run->p.call == CALL_COPY ? io_tx_copy(w, f) : io_tx_borrow(w, f);
}

static inline ssize_t io_rx_copy(struct worker *w, struct flow *f, bool *more)
{
	ssize_t n = nmt_recv(f->stream, w->rx_buf, w->rx_cap, 0);

	if (n > 0) {
		*more = (uint64_t)n == w->rx_cap;
		if (io_verifying(w) && io_verify(w, f, w->rx_buf, (size_t)n) < 0)
			return -EBADMSG;
	} else if (n == 0) {
		f->eof = true;
	}
	return n;
}

/*
 * Receive once: the number of bytes, or 0 with f->eof, or -EAGAIN. Not for CALL_INTO. *MORE: there
 * may be more at once.
 */
static inline ssize_t io_rx(struct worker *w, struct flow *f, bool *more)
{
	return w->run->p.call == CALL_FRAGS ? io_rx_frags(w, f, more) : io_rx_copy(w, f, more);
}

/* CALL_INTO: post receive K of the flow, and take its bytes when the event has come. */
int io_post(struct worker *w, struct flow *f, uint32_t k);
int io_posted(struct worker *w, struct flow *f, const struct nmt_event *ev);

/* Where in the worker's region receive K of a flow is, and how far apart they are. */
uint64_t io_slot(const struct worker *w, const struct flow *f, uint32_t k);
uint64_t io_stride(const struct worker *w);

#endif
