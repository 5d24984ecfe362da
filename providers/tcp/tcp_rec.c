/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Record frames in band: an 8-byte header before each run of payload (docs/wire.md). Payload goes
 * straight into the caller's memory where it can; the next header is read behind it in the same
 * system call.
 */
#include <stdint.h>

#include "tcp.h"

/* Receives at least this long read a lone header first, so that the payload lands in place. */
#define DIRECT_MIN (32u << 10)

static int parse(struct tcp_stream *ts)
{
	if (nmti_rec_get(ts->hdr, &ts->frame_left, &ts->frame_eor)) {
		ts->lost = true; /* nothing behind it can be told from payload */
		nmti_log(ts->s->ctx, NMT_LOG_ERROR, "tcp: the peer sent no record header where one "
			 "is due, after %llu bytes", (unsigned long long)ts->rx_off);
		ts->frame_left = 0;
		nmti_stream_fail(ts->s, -EPROTO);
		ts->s->rx_ready = false;
		return ts->s->error;
	}
	ts->hdr_have = 0;
	ts->mark = !ts->frame_left;
	return 1;
}

/* Payload of a record that nobody wants is passed over. */
static bool skip(struct tcp_stream *ts)
{
	uint32_t here = ts->fill - ts->pos;

	if (!ts->discard)
		return false;
	here = here < ts->frame_left ? here : ts->frame_left;
	nmti_tcp_consume(ts, here);
	if (nmti_tcp_rec_take(ts, here) & NMT_FRAG_EOR)
		ts->discard = false;
	return !ts->frame_left;
}

int nmti_tcp_rec_next(struct tcp_stream *ts)
{
	for (;;) {
		uint32_t n = TCP_REC_HDR - ts->hdr_have, here = ts->fill - ts->pos;
		int rc;

		if (ts->lost)
			return ts->s->error;
		if (ts->frame_left || ts->mark) {
			if (!ts->discard)
				return 1;
			if (!skip(ts))
				return 0;
			continue;
		}
		n = n < here ? n : here;
		if (n && nmt_mr_read(ts->cell->mr, ts->cell->offset + ts->pos,
				     ts->hdr + ts->hdr_have, n))
			return 0;
		nmti_tcp_consume(ts, n);
		ts->hdr_have += (uint8_t)n;
		if (ts->hdr_have < TCP_REC_HDR)
			return 0;
		rc = parse(ts);
		if (rc < 0)
			return rc;
	}
}

uint32_t nmti_tcp_rec_take(struct tcp_stream *ts, uint32_t n)
{
	ts->frame_left -= n;
	ts->rx_off += n;
	if (ts->frame_left)
		return 0;
	ts->mark = false;
	if (!ts->frame_eor)
		return 0;
	ts->rx_records++;
	return NMT_FRAG_EOR;
}

ssize_t nmti_tcp_rec_direct(struct tcp_stream *ts, const struct iovec *iov, int n)
{
	struct iovec part[TCP_IOV_MAX + 1];
	size_t want;
	ssize_t r;

	n = nmti_tcp_iov_clip(iov, n, ts->frame_left, part, TCP_IOV_MAX, &want);
	if (want == ts->frame_left) {
		part[n].iov_base = ts->hdr;
		part[n++].iov_len = TCP_REC_HDR;
		r = nmti_tcp_sock_recv(ts, part, n, want + TCP_REC_HDR, 0);
	} else {
		r = nmti_tcp_sock_recv(ts, part, n, want, 0);
	}
	if (r > (ssize_t)want) {
		ts->hdr_have = (uint8_t)((size_t)r - want);
		/* It may be of an empty record, which is all there already. */
		ts->s->rx_ready |= ts->hdr_have == TCP_REC_HDR;
		r = (ssize_t)want;
	}
	return r;
}

ssize_t nmti_tcp_rec_header(struct tcp_stream *ts)
{
	size_t want = TCP_REC_HDR - ts->hdr_have;
	struct iovec iov = { .iov_base = ts->hdr + ts->hdr_have, .iov_len = want };
	ssize_t r = nmti_tcp_sock_recv(ts, &iov, 1, want, 0);

	if (r > 0)
		ts->hdr_have += (uint8_t)r;
	return r;
}

/* Give payload of the current frame to the caller, out of the cell or from the socket. */
static ssize_t give(struct tcp_stream *ts, const struct iovec *iov, int n, int flags,
		    int *out_flags)
{
	uint32_t here = ts->fill - ts->pos;
	struct iovec part[TCP_IOV_MAX];
	size_t want;
	ssize_t r;

	if (!here && !ts->mark && !flags) {
		r = nmti_tcp_may_recv(ts) ? nmti_tcp_rec_direct(ts, iov, n) : -EAGAIN;
		if (r == -EAGAIN && ts->s->error)
			return ts->s->error;
		if (r > 0 && nmti_tcp_rec_take(ts, (uint32_t)r))
			*out_flags |= MSG_EOR;
		return r ? r : nmti_tcp_rx_end(ts);
	}
	here = here < ts->frame_left ? here : ts->frame_left;
	n = nmti_tcp_iov_clip(iov, n, here, part, TCP_IOV_MAX, &want);
	r = want ? nmti_tcp_copy_out(ts, part, n, (uint32_t)want) : 0;
	if (r)
		return r;
	if (want == ts->frame_left && ts->frame_eor)
		*out_flags |= MSG_EOR;
	if (flags & MSG_PEEK)
		return (ssize_t)want;
	nmti_tcp_consume(ts, (uint32_t)want);
	nmti_tcp_rec_take(ts, (uint32_t)want);
	nmti_tcp_cell_idle(ts);
	return (ssize_t)want;
}

static ssize_t more_bytes(struct tcp_stream *ts, const struct iovec *iov, int flags)
{
	ssize_t r;

	if (!nmti_tcp_may_recv(ts))
		return ts->s->error ? ts->s->error : -EAGAIN;
	if (!ts->discard && !flags && iov->iov_len >= DIRECT_MIN && !ts->frame_left)
		r = nmti_tcp_rec_header(ts);
	else
		r = nmti_tcp_fill(ts);
	if (r)
		return r;
	r = nmti_tcp_rx_end(ts);
	return r ? r : -ENODATA; /* the end: told apart from "go on" below */
}

ssize_t nmti_tcp_rec_recv(struct tcp_stream *ts, const struct iovec *iov, int n, int flags,
		     int *out_flags)
{
	ssize_t r;

	for (;;) {
		int rc = nmti_tcp_rec_next(ts);

		if (rc < 0)
			return rc;
		if (rc && (ts->mark || ts->pos != ts->fill || !flags)) {
			r = give(ts, iov, n, flags, out_flags);
			if (tcp_here(ts))
				ts->s->rx_ready = true;
			return r;
		}
		r = more_bytes(ts, iov, flags);
		if (r == -ENODATA)
			return 0;
		if (r == -EAGAIN && ts->s->error)
			return ts->s->error;
		if (r < 0)
			return r;
	}
}
