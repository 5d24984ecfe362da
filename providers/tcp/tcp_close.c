/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Acknowledgement and the end. What the peer's kernel has is asked with SIOCOUTQ; TCP has no event
 * for it, so a timer looks again, at first after 50 us, then less and less often.
 *
 * A socket closed with unread bytes in it sends a reset that can overtake data on its way to the
 * peer. So an orderly close discards what comes in, and closes the socket once all is acknowledged.
 */
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "tcp.h"

#define ACK_WAIT_MIN INT64_C(50000)
#define ACK_WAIT_MAX INT64_C(10000000)

/* Bytes that the peer has not acknowledged, the end of the stream counting as one. */
static int unacked(struct tcp_stream *ts)
{
	int n = 0;

	ts->s->stat.tx_syscalls++;
	return ioctl(ts->src.fd, SIOCOUTQ, &n) ? 0 : n;
}

bool nmti_tcp_acked(struct tcp_stream *ts, uint64_t wire)
{
	if (wire > ts->wire_sent)
		return false;
	return ts->wire_sent - wire >= (uint64_t)unacked(ts);
}

void nmti_tcp_ack_watch(struct tcp_stream *ts)
{
	if (ts->ack.slot)
		return;
	if (ts->ack_wait < ACK_WAIT_MIN)
		ts->ack_wait = ACK_WAIT_MIN;
	nmti_timer_set(ts->s->dom, &ts->ack, nmti_now() + ts->ack_wait);
	ts->ack_wait = ts->ack_wait * 2 > ACK_WAIT_MAX ? ACK_WAIT_MAX : ts->ack_wait * 2;
}

void nmti_tcp_ack_fire(struct nmti_timer *t)
{
	struct tcp_stream *ts =
		(struct tcp_stream *)((char *)t - offsetof(struct tcp_stream, ack));

	if (ts->closing) {
		nmti_tcp_close_step(ts);
	} else if (nmti_tcp_flush_waits(ts)) {
		nmti_tell(ts->s);
		nmti_tcp_ack_watch(ts);
	}
}

/* ---- ending a direction ---- */

void nmti_tcp_fin(struct tcp_stream *ts)
{
	if (!ts->fin_due || ts->fin_sent || nmti_tcp_unsent(ts))
		return;
	ts->fin_sent = true;
	nmti_send_fin(ts->s, ts->tx_off, ts->tx_records, false);
	shutdown(ts->src.fd, SHUT_WR);
}

int nmti_tcp_shutdown(struct nmt_stream *s, int how)
{
	struct tcp_stream *ts = tcp_of(s);

	if (how == SHUT_RD) {
		nmti_tcp_posts_end(ts, 0);
		ts->pos = ts->fill;
		nmti_tcp_cell_idle(ts);
		nmti_tcp_rx_discard(ts);
		return 0;
	}
	ts->fin_due = true;
	if (nmti_tcp_unsent(ts) && s->tx_ready && nmti_tcp_push(ts, 16))
		nmti_work(s);
	nmti_tcp_fin(ts);
	return 0;
}

/* ---- orderly close ---- */

static void finish(struct tcp_stream *ts, int status)
{
	nmti_timer_cancel(ts->s->dom, &ts->ack);
	nmti_forget(ts->s->dom, &ts->src);
	close(ts->src.fd);
	ts->src.fd = -1;
	ts->acked = !status;
	nmti_stream_closed(ts->s, status);
}

/* The connection is over, by a reset or a time-out. */
static bool over(struct tcp_stream *ts)
{
	struct tcp_info info;
	socklen_t len = sizeof(info);

	return !getsockopt(ts->src.fd, IPPROTO_TCP, TCP_INFO, &info, &len) &&
	       info.tcpi_state == TCP_CLOSE;
}

/* A reset after all bytes were acknowledged leaves nothing undelivered, even if it met our end. */
static int over_status(struct tcp_stream *ts)
{
	return nmti_tcp_unsent(ts) || unacked(ts) > ts->fin_sent ? -ECONNRESET : 0;
}

/*
 * Whether the socket can be closed without waiting for the peer to acknowledge the end. A reset,
 * for bytes that come in too late, must not take the place of the end: either the peer has ended
 * too and sends nothing more, or it was sent nothing that it could miss the end of.
 */
static bool may_close_now(struct tcp_stream *ts)
{
	return !ts->wire_sent || (ts->rx_end && nmti_tcp_acked(ts, ts->wire_queued));
}

static void close_now(struct tcp_stream *ts)
{
	nmti_send_fin(ts->s, ts->tx_off, ts->tx_records, true);
	ts->fin_sent = true;
	finish(ts, 0);
}

/* MSG_ZEROCOPY calls are not complete: the device may still read borrowed memory. */
static bool borrowed(struct tcp_stream *ts)
{
	const struct tcp_zc *zc = nmti_tcp_tx_zc(ts);

	if (!zc || zc->base == zc->next)
		return false;
	nmti_tcp_zc_drain(ts);
	return zc->base != zc->next;
}

/* Everything is with the kernel: wait for the acknowledgement, then go. */
static void close_acked(struct tcp_stream *ts)
{
	bool lent = borrowed(ts);

	if (!ts->fin_sent && !lent && may_close_now(ts)) {
		close_now(ts);
		return;
	}
	if (over(ts)) {
		finish(ts, over_status(ts));
		return;
	}
	ts->fin_due = true;
	nmti_tcp_fin(ts);
	nmti_tcp_rx_discard(ts);
	if (lent || unacked(ts))
		nmti_tcp_ack_watch(ts);
	else
		finish(ts, 0);
}

void nmti_tcp_close_step(struct tcp_stream *ts)
{
	if (nmti_tcp_unsent(ts) && nmti_tcp_push(ts, 16))
		nmti_work(ts->s);
	if (!ts->closing || ts->src.fd < 0) /* the push found the stream broken */
		return;
	if (!nmti_tcp_unsent(ts))
		close_acked(ts);
	else if (over(ts))
		finish(ts, over_status(ts));
}

void nmti_tcp_close_stream(struct nmt_stream *s)
{
	struct tcp_stream *ts = tcp_of(s);

	nmti_tcp_posts_end(ts, -ECANCELED);
	ts->pos = ts->fill;
	nmti_tcp_cell_idle(ts);
	ts->closing = true;
	ts->ack_wait = 0;
	nmti_timer_cancel(s->dom, &ts->ack);
	nmti_tcp_close_step(ts);
}

void nmti_tcp_abort(struct nmt_stream *s)
{
	struct tcp_stream *ts = tcp_of(s);
	struct linger now = { .l_onoff = 1 };

	ts->closing = false;
	nmti_timer_cancel(s->dom, &ts->ack);
	nmti_tcp_posts_end(ts, s->error ? s->error : -ECANCELED);
	if (ts->src.fd < 0)
		return;
	nmti_forget(s->dom, &ts->src);
	setsockopt(ts->src.fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(ts->src.fd);
	ts->src.fd = -1;
}
