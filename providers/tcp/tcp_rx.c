/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Receiving from the socket: straight into the caller's buffers, or into a cell of pool memory that
 * is lent run by run.
 *
 * rx_ready follows the socket's edges: a receive that leaves nothing behind clears it, so that the
 * next call answers -EAGAIN without a system call. Once the peer's end was seen (hup) no edge will
 * come any more, and it stays set until the end is reached.
 */
#include <netinet/tcp.h>
#include <stdint.h>

#include "tcp.h"

#ifndef TCP_INQ
#define TCP_INQ 36
#endif

/* A larger receive that is exactly filled has most likely left something behind: just try again. */
#define INQ_MAX NMTI_HOT_BYTES
#define INQ_RECEIVES 64

/* A cell with less room than this is not worth a system call: take a fresh one. */
#define ROOM_MIN 4096u

bool nmti_tcp_may_recv(const struct tcp_stream *ts)
{
	return ts->s->rx_ready || ts->outside;
}

/* TCP_INQ: how many bytes the receive left in the socket (1 for a waiting end), -1: not told. */
static int inq_of(struct msghdr *msg)
{
	struct cmsghdr *c = CMSG_FIRSTHDR(msg);
	int left;

	if (!c || c->cmsg_level != SOL_TCP || c->cmsg_type != TCP_INQ)
		return -1;
	memcpy(&left, CMSG_DATA(c), sizeof(left));
	return left;
}

static void set_inq(struct tcp_stream *ts, int on)
{
	ts->inq = on;
	setsockopt(ts->src.fd, SOL_TCP, TCP_INQ, &on, sizeof(on));
}

/*
 * An exactly filled buffer does not tell whether more is there. When it happens again soon, the kernel
 * is asked; not for ever, since asking costs at every receive.
 */
static void filled(struct tcp_stream *ts)
{
	if (ts->inq_left && !ts->inq)
		set_inq(ts, 1);
	ts->inq_left = INQ_RECEIVES;
}

static void not_filled(struct tcp_stream *ts)
{
	if (ts->inq_left && !--ts->inq_left && ts->inq)
		set_inq(ts, 0);
}

static ssize_t sock_error(struct tcp_stream *ts, int err)
{
	if (err == EAGAIN) {
		ts->hup = false;
		ts->s->rx_ready = false;
		return -EAGAIN;
	}
	if (err == EINTR)
		return -EAGAIN;
	/* A reset behind the orderly end that the control channel told of takes nothing away. */
	if (ts->s->tune.mode == NMT_MODE_RAW ||
	    nmti_peer_fin(ts->s, ts->rx_off, ts->rx_records) != 1)
		nmti_stream_fail(ts->s, -err);
	return 0;
}

/*
 * One recvmsg. > 0: bytes; 0: the socket ended or broke (ask tcp_rx_end); -EAGAIN.
 */
ssize_t nmti_tcp_sock_recv(struct tcp_stream *ts, const struct iovec *iov, int n, size_t want,
		      int flags)
{
	char control[CMSG_SPACE(sizeof(int))];
	struct msghdr msg = { .msg_iov = (struct iovec *)iov, .msg_iovlen = (size_t)n };
	bool inq = ts->inq && want < INQ_MAX;
	ssize_t r;

	if (inq) {
		msg.msg_control = control;
		msg.msg_controllen = sizeof(control);
	}
	ts->s->stat.rx_syscalls++;
	flags |= MSG_DONTWAIT;
	if (n == 1 && !inq)
		r = tcp_sys_recv(ts->src.fd, iov->iov_base, iov->iov_len, flags);
	else
		r = recvmsg(ts->src.fd, &msg, flags);
	if (r < 0)
		return sock_error(ts, errno);
	if (!r || ts->hup || flags & MSG_PEEK)
		return r;
	if ((size_t)r == want && want < INQ_MAX)
		filled(ts);
	else
		not_filled(ts);
	if ((size_t)r < want || (inq && inq_of(&msg) == 0))
		ts->s->rx_ready = false;
	return r;
}

ssize_t nmti_tcp_rx_end(struct tcp_stream *ts)
{
	struct nmt_stream *s = ts->s;
	int rc;

	if (ts->frame_left || ts->hdr_have || ts->pos != ts->fill)
		rc = -ECONNRESET;
	else
		rc = nmti_peer_fin(s, ts->rx_off, ts->rx_records);
	if (rc == 1 && (!s->error || ts->tx_epipe || s->tune.mode == NMT_MODE_NEGOTIATED)) {
		ts->rx_end = true;
		s->rx_ready = false;
		return 0;
	}
	s->rx_ready = false;
	if (s->error)
		return s->error;
	if (!rc)
		return -EAGAIN;
	nmti_log(s->ctx, NMT_LOG_INFO, "tcp: the stream ended without an orderly end after %llu bytes",
		 (unsigned long long)ts->rx_off);
	nmti_stream_fail(s, -ECONNRESET);
	s->rx_ready = false;
	return -ECONNRESET;
}

/* ---- the cell ---- */

void nmti_tcp_cell_idle(struct tcp_stream *ts)
{
	if (!ts->cell || ts->pos != ts->fill)
		return;
	if (ts->cell->refs > 1 && nmti_cell_size(ts->s->dom) - ts->fill >= ROOM_MIN)
		return;
	nmti_cell_put(ts->cell);
	ts->cell = NULL;
}

void nmti_tcp_consume(struct tcp_stream *ts, uint32_t n)
{
	ts->pos += n;
}

/* Nobody else refers to an empty cell: begin at its start again. */
static bool cell_ready(struct tcp_stream *ts)
{
	if (ts->cell && ts->pos == ts->fill && ts->cell->refs == 1)
		ts->pos = ts->fill = 0;
	nmti_tcp_cell_idle(ts);
	if (ts->cell)
		return true;
	ts->cell = nmti_cell_get(ts->s);
	ts->pos = ts->fill = 0;
	return ts->cell;
}

/* The CPU cannot touch the cell: receive into staging memory and hand over to the memory kind. */
static ssize_t fill_staged(struct tcp_stream *ts, uint32_t room)
{
	struct nmti_cell *cell = ts->cell;
	struct iovec iov;
	size_t len;
	ssize_t r;
	int rc;

	iov.iov_base = nmti_staging(ts->s->dom, &len);
	iov.iov_len = len < room ? len : room;
	if (!iov.iov_base)
		return -ENOBUFS;
	r = nmti_tcp_sock_recv(ts, &iov, 1, iov.iov_len, 0);
	if (r <= 0)
		return r;
	rc = nmt_mr_write(cell->mr, cell->offset + ts->fill, iov.iov_base, (size_t)r);
	if (rc) {
		nmti_stream_fail(ts->s, rc);
		return rc;
	}
	ts->s->stat.rx_copied += (uint64_t)r;
	ts->s->stat.fallback_staging++;
	return r;
}

/* Looks TRIES times at most for bytes. */
static ssize_t fill_upto(struct tcp_stream *ts, uint32_t limit, int tries)
{
	struct iovec iov;
	uint32_t room;
	ssize_t r;

	if (!cell_ready(ts))
		return -ENOBUFS;
	room = nmti_cell_size(ts->s->dom) - ts->fill;
	room = room < limit ? room : limit;
	if (!room)
		return -ENOBUFS;
	iov.iov_base = nmti_mr_cpu(ts->cell->mr, ts->cell->offset + ts->fill);
	iov.iov_len = room;
	do {
		r = iov.iov_base ? nmti_tcp_sock_recv(ts, &iov, 1, room, 0) : fill_staged(ts, room);
	} while (r == -EAGAIN && --tries);
	if (r > 0)
		ts->fill += (uint32_t)r;
	else
		nmti_tcp_cell_idle(ts);
	return r;
}

ssize_t nmti_tcp_fill(struct tcp_stream *ts)
{
	return fill_upto(ts, UINT32_MAX, 1);
}

/* Bytes found go through the cell: a copy of so few costs less than the system call it saves. */
bool nmti_tcp_spin(struct nmt_stream *s)
{
	struct tcp_stream *ts = tcp_of(s);
	ssize_t r;

	if (s->rx_ready || s->records || s->posted || s->rx_shut || ts->rx_end ||
	    ts->pos != ts->fill || s->posting)
		return false;
	r = fill_upto(ts, NMTI_HOT_BYTES, NMTI_HOT_TRIES);
	if (r == -EAGAIN)
		return true;
	if (r < 0)
		return false;
	ts->spun = r && !s->rx_ready;
	s->rx_ready = true; /* bytes in the cell, or an end that the next receive finds */
	s->rx_told = false;
	nmti_tell(s);
	return true;
}

/* ---- copying calls ---- */

int nmti_tcp_iov_clip(const struct iovec *iov, int n, size_t limit, struct iovec *out, int max,
		 size_t *total)
{
	int m = 0;

	*total = 0;
	for (int i = 0; i < n && m < max && *total < limit; i++) {
		if (!iov[i].iov_len)
			continue;
		out[m] = iov[i];
		if (out[m].iov_len > limit - *total)
			out[m].iov_len = limit - *total;
		*total += out[m++].iov_len;
	}
	return m;
}

int nmti_tcp_copy_out(struct tcp_stream *ts, const struct iovec *iov, int n, uint32_t len)
{
	uint64_t from = ts->cell->offset + ts->pos;
	int rc = 0;

	for (int i = 0; i < n && len && !rc; i++) {
		uint32_t part = iov[i].iov_len < len ? (uint32_t)iov[i].iov_len : len;

		rc = nmt_mr_read(ts->cell->mr, from, iov[i].iov_base, part);
		ts->s->stat.rx_copied += part;
		from += part;
		len -= part;
	}
	return rc;
}

/* What a spin had found is gone, and there was no more. */
static void buffer_empty(struct tcp_stream *ts)
{
	nmti_tcp_cell_idle(ts);
	if (!ts->spun || ts->pos != ts->fill)
		return;
	ts->spun = false;
	ts->s->rx_ready = ts->hup;
}

/* Bytes that a spin found, or a failed loan left, in the cell. */
static ssize_t recv_buffered(struct tcp_stream *ts, const struct iovec *iov, int n, int flags)
{
	size_t want = tcp_iov_total(iov, n);
	uint32_t len = ts->fill - ts->pos;
	int rc;

	len = want < len ? (uint32_t)want : len;
	rc = nmti_tcp_copy_out(ts, iov, n, len);
	if (rc)
		return rc;
	if (!(flags & MSG_PEEK)) {
		nmti_tcp_consume(ts, len);
		ts->rx_off += len;
		buffer_empty(ts);
	}
	return len;
}

ssize_t nmti_tcp_recv(struct nmt_stream *s, const struct iovec *iov, int n, int flags,
		      int *out_flags)
{
	struct tcp_stream *ts = tcp_of(s);
	ssize_t r;

	flags &= MSG_PEEK;
	if (ts->rx_end)
		return 0;
	if (s->records)
		return nmti_tcp_rec_recv(ts, iov, n, flags, out_flags);
	if (ts->pos != ts->fill)
		return recv_buffered(ts, iov, n, flags);
	if (!nmti_tcp_may_recv(ts))
		return s->error ? s->error : -EAGAIN;
	r = nmti_tcp_sock_recv(ts, iov, n, tcp_iov_total(iov, n), flags);
	if (!r)
		return nmti_tcp_rx_end(ts);
	if (r == -EAGAIN && s->error)
		return s->error;
	if (r > 0 && !flags)
		ts->rx_off += (uint64_t)r;
	return r;
}

/* ---- loans ---- */

/* The next run in the cell: its length and fragment flags; -1: none. */
static int64_t next_run(struct tcp_stream *ts, uint32_t *flags)
{
	uint32_t len = ts->fill - ts->pos;
	int rc;

	*flags = 0;
	if (!ts->s->records)
		return len ? (int64_t)len : -1;
	rc = nmti_tcp_rec_next(ts);
	if (rc <= 0)
		return -1;
	len = ts->fill - ts->pos;
	if (!ts->mark && !len)
		return -1;
	len = len < ts->frame_left ? len : ts->frame_left;
	if (len == ts->frame_left && ts->frame_eor)
		*flags = NMT_FRAG_EOR;
	return len;
}

static void run_taken(struct tcp_stream *ts, uint32_t len)
{
	nmti_tcp_consume(ts, len);
	if (ts->s->records)
		nmti_tcp_rec_take(ts, len);
	else
		ts->rx_off += len;
}

static int lend_runs(struct tcp_stream *ts, struct nmt_frag *frags, int max)
{
	uint32_t flags;
	int64_t len;
	int n = 0;

	while (n < max && ts->cell && (len = next_run(ts, &flags)) >= 0) {
		if (nmti_lend(ts->s, ts->cell, ts->pos, (uint32_t)len, flags, &frags[n]))
			break;
		run_taken(ts, (uint32_t)len);
		n++;
	}
	return n;
}

/* A header was read behind a payload: an empty record needs a cell to be lent from. */
static bool header_ahead(const struct tcp_stream *ts)
{
	return !ts->cell && (ts->mark || ts->hdr_have == TCP_REC_HDR);
}

int nmti_tcp_recv_frags(struct nmt_stream *s, struct nmt_frag *frags, int max)
{
	struct tcp_stream *ts = tcp_of(s);
	ssize_t r;
	int n;

	if (ts->rx_end)
		return 0;
	for (;;) {
		if (header_ahead(ts) && !cell_ready(ts))
			return -ENOBUFS;
		n = lend_runs(ts, frags, max);
		if (n)
			break;
		if (ts->lost || (s->error && !s->rx_ready))
			return s->error;
		if (!nmti_tcp_may_recv(ts)) {
			nmti_tcp_cell_idle(ts);
			return -EAGAIN;
		}
		r = nmti_tcp_fill(ts);
		if (r == -EAGAIN && s->error)
			return s->error;
		if (r < 0)
			return (int)r;
		if (!r)
			return (int)nmti_tcp_rx_end(ts);
	}
	/* Bytes that did not fit into MAX runs are still here, whatever the socket has. */
	if (tcp_here(ts))
		s->rx_ready = true;
	else if (ts->spun)
		buffer_empty(ts);
	return n;
}

int nmti_tcp_release(struct nmt_stream *s, const struct nmt_frag *frags, int n)
{
	int rc = nmti_release(s, frags, n);
	struct tcp_stream *ts = tcp_of(s);

	if (!rc && ts->cell && ts->cell->refs == 1)
		nmti_tcp_cell_idle(ts);
	return rc;
}

void nmti_tcp_rx_discard(struct tcp_stream *ts)
{
	ssize_t r;

	/* MSG_TRUNC: TCP drops the bytes without copying them (tcp(7)). */
	for (int i = 0; i < 16; i++) {
		ts->s->stat.rx_syscalls++;
		r = tcp_sys_recv(ts->src.fd, NULL, 1 << 20, MSG_TRUNC | MSG_DONTWAIT);
		if (r <= 0)
			break;
	}
}
