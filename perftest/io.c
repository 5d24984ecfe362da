/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Moving the bytes of one flow. Without --verify all messages are the same bytes, as in other
 * benchmarks; with it a message is the next piece of the pattern, sent from where it lies.
 */
#include "io.h"

#include <string.h>

#include "pattern.h"

int io_tx_borrow(struct worker *w, struct flow *f)
{
	struct nmt_frag frag = {
		.mr = w->run->tx_mr,
		.offset = io_tx_at(w, f),
		.len = (uint32_t)w->run->p.size,
	};
	int err;

	if (f->borrowed >= params_borrows(&w->run->p))
		return 0;
	err = nmt_send_mr(f->stream, &frag, 1, io_end_flag(w), 0);
	if (err < 0)
		return err == -EAGAIN ? 0 : err;
	f->borrowed++;
	f->tx_off += frag.len;
	return 1;
}

int io_verify(struct worker *w, struct flow *f, const uint8_t *data, size_t len)
{
	const struct run *run = w->run;
	int64_t bad = pattern_compare(run->tx_buf, f->rx_off, data, len);
	uint64_t at;

	w->verified += len;
	if (bad >= 0) {
		at = f->rx_off + (uint64_t)bad - pattern_start(run->p.seed, f->index, !run->server);
		return worker_fail(w, -EBADMSG, "stream %u: byte %llu is not what was sent",
				   f->index, (unsigned long long)at);
	}
	f->rx_off += len;
	return 0;
}

/* Verify bytes that the CPU may be unable to see where they are. */
static int verify_mr(struct worker *w, struct flow *f, const struct nmt_mr *mr, uint64_t offset,
		     uint64_t len)
{
	const uint8_t *cpu = nmt_mr_addr(mr);
	int err = 0;

	if (cpu)
		return io_verify(w, f, cpu + offset, len);
	while (err == 0 && len > 0) {
		uint64_t n = len < w->rx_cap ? len : w->rx_cap;

		err = nmt_mr_read(mr, offset, w->rx_buf, n);
		if (err == 0)
			err = io_verify(w, f, w->rx_buf, n);
		offset += n;
		len -= n;
	}
	return err;
}

#define RX_FRAGS 16

ssize_t io_rx_frags(struct worker *w, struct flow *f, bool *more)
{
	struct nmt_frag frags[RX_FRAGS];
	int n = nmt_recv_frags(f->stream, frags, RX_FRAGS, 0);
	ssize_t bytes = 0;
	int err = 0;

	if (n <= 0) {
		f->eof = n == 0;
		return n;
	}
	for (int i = 0; i < n; i++) {
		bytes += frags[i].len;
		if (io_verifying(w) && err == 0)
			err = verify_mr(w, f, frags[i].mr, frags[i].offset, frags[i].len);
	}
	*more = true;
	if (err == 0)
		err = nmt_release(f->stream, frags, n);
	return err < 0 ? err : bytes;
}

uint64_t io_stride(const struct worker *w)
{
	uint64_t len = w->rx_cap < WIRE_HELLO_LEN ? WIRE_HELLO_LEN : w->rx_cap;

	return (len + 63) & ~UINT64_C(63);
}

uint64_t io_slot(const struct worker *w, const struct flow *f, uint32_t k)
{
	return ((uint64_t)f->slot * params_posts(&w->run->p) + k) * io_stride(w);
}

int io_post(struct worker *w, struct flow *f, uint32_t k)
{
	return nmt_recv_into(f->stream, w->rx_mr, io_slot(w, f, k), w->rx_cap, 0, k);
}

int io_posted(struct worker *w, struct flow *f, const struct nmt_event *ev)
{
	uint32_t k = (uint32_t)ev->cookie;

	if (ev->status < 0)
		return ev->status;
	if (ev->flags & NMT_EVF_EOF)
		f->eof = true;
	if (io_verifying(w) && ev->len > 0)
		return verify_mr(w, f, w->rx_mr, io_slot(w, f, k), ev->len);
	return 0;
}
