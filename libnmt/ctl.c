/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The control channel of an open negotiated stream: the orderly end of each direction (FIN), the
 * end of the whole stream (after FIN, ABORT with NMT_WHY_CLOSED: "I take no more"), a broken end
 * (ABORT with any other reason). At most one of each is ever sent, so its window cannot close.
 *
 * Providers without data sockets have the FIN in band: the channel carries ABORT, and what the
 * provider says of its path. It may be cut and come back (rejoin.c); then both ends say again what the
 * other one may not have heard: the last RESUME, and that the stream is over.
 */
#include <linux/sockios.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "setup.h"

/* A data socket that ended waits this long for the FIN that should explain it. */
#define FIN_GRACE (INT64_C(5) * NMTI_NSEC)
#define CTL_MSG_MAX (NMTI_MSG_HDR_LEN + 16)
#define CTL_BUF (2 * CTL_MSG_MAX) /* FIN and ABORT */
#define PATH_BUF 512              /* RESUME and ABORT */
#define DROPS_MAX 64              /* reads at the end; who sends more than that is no good peer */

struct nmti_ctl {
	struct nmt_stream *s;
	struct nmti_source src; /* fd -1: lost or done */
	struct nmti_timer grace;
	struct nmti_rejoin *rejoin; /* NULL: it does not come back */
	bool peer_fin, own_fin, bye;
	bool inband;            /* no data socket */
	bool done;              /* CLOSED was told by nmti_done() */
	bool told;              /* and was with the peer's kernel when the channel was lost */
	bool last;              /* ABORT came on this channel: nothing else may */
	struct nmti_fin fin;    /* the peer's */
	struct nmti_inbox in;
	uint8_t buf[];          /* CTL_BUF or PATH_BUF */
};

static bool drained(const struct nmti_ctl *c)
{
	int n = 0;

	return c->src.fd < 0 || ioctl(c->src.fd, SIOCOUTQ, &n) || !n;
}

static void ctl_drop(struct nmti_ctl *c)
{
	if (c->src.fd < 0)
		return;
	c->told = c->done && drained(c);
	nmti_forget(c->s->dom, &c->src);
	close(c->src.fd);
	c->src.fd = -1;
}

static void ctl_fail(struct nmti_ctl *c, int err, const char *what)
{
	struct nmt_stream *s = c->s;
	char peer[NMT_ADDR_MAX];

	if (c->bye) { /* all that this side sent is with the peer: nothing is lost */
		ctl_drop(c);
		nmti_stream_closed(s, 0);
		return;
	}
	if (!s->error)
		nmti_info(s->ctx, "%s: stream to %s: %s", s->ops->name, nmti_stream_peer(s, peer),
			  what);
	nmti_stream_fail(s, err); /* tells the peer, if it is still there */
	ctl_drop(c);
}

static void peer_gone(struct nmti_ctl *c)
{
	if (c->s->peer_gone) /* it said so again, on a new channel */
		return;
	c->s->peer_gone = true;
	if (c->inband)
		c->s->ops->peer_done(c->s);
	c->s->tx_ready = true; /* a send that waits finds out */
	nmti_tell(c->s);
}

/* The channel is gone. That is in order once both directions have ended. */
static void ctl_ended(struct nmti_ctl *c, int err, const char *what)
{
	if (c->inband && c->done && !c->s->peer_gone && !c->bye) {
		ctl_drop(c); /* the peer went without a word: it needed nothing more */
		peer_gone(c);
	} else if (c->s->peer_gone || (c->peer_fin && c->own_fin)) {
		ctl_drop(c);
	} else {
		ctl_fail(c, err, what);
	}
}

/* ERR: how. Unless all was said and heard, it may come back. */
static void ctl_lost(struct nmti_ctl *c, int err)
{
	struct nmt_stream *s = c->s;

	if (!c->rejoin || c->bye || (c->done && c->s->peer_gone)) {
		ctl_ended(c, -ECONNRESET, "control channel lost");
		return;
	}
	ctl_drop(c);
	nmti_info(s->ctx, "%s: stream to %s: control channel lost: %s: %s", s->ops->name,
		  c->rejoin->peer, nmt_strerror(err),
		  c->rejoin->server ? "waiting for the client" : "connecting again");
	nmti_rejoin_start(c->rejoin, err == -ECONNRESET || err == -EPIPE);
}

void nmti_ctl_gone(struct nmt_stream *s, int err, const char *what)
{
	nmti_rejoin_free(s->ctl->rejoin);
	s->ctl->rejoin = NULL;
	ctl_ended(s->ctl, err, what);
}

static void rx_again(struct nmt_stream *s)
{
	s->rx_ready = true;
	if (s->posted)
		nmti_work(s);
	nmti_tell(s);
}

static void on_fin(struct nmti_ctl *c, int len)
{
	if (c->peer_fin || nmti_fin_decode(c->buf, (size_t)len, &c->fin)) {
		ctl_fail(c, -EPROTO, "bad FIN on the control channel");
		return;
	}
	c->peer_fin = true;
	nmti_timer_cancel(c->s->dom, &c->grace);
	rx_again(c->s);
}

static void on_abort(struct nmti_ctl *c, int len)
{
	struct nmti_abort m;

	c->last = true;
	if (nmti_abort_decode(c->buf, (size_t)len, &m)) {
		ctl_fail(c, -EPROTO, "bad ABORT on the control channel");
	} else if (m.reason != NMT_WHY_CLOSED || !(c->peer_fin || c->inband)) {
		ctl_fail(c, -ECONNRESET, nmt_reason_str(m.reason));
	} else {
		peer_gone(c);
	}
}

static void on_path(struct nmti_ctl *c, int len)
{
	if (!c->s->ops->peer_path || c->s->ops->peer_path(c->s, c->buf, (uint32_t)len))
		ctl_fail(c, -EPROTO, "bad word about the path on the control channel");
}

static void on_message(struct nmti_ctl *c, int len, uint16_t type)
{
	if (type == NMTI_MSG_FIN && !c->inband)
		on_fin(c, len);
	else if (type == NMTI_MSG_ABORT && !c->last)
		on_abort(c, len);
	else if ((type == NMTI_MSG_RESUME || type == NMTI_MSG_PATH_DOWN) && c->inband)
		on_path(c, len);
	else
		ctl_fail(c, -EPROTO, "unexpected message on the control channel");
}

static void ctl_ready(struct nmti_source *src, uint32_t events)
{
	struct nmti_ctl *c = nmti_container(src, struct nmti_ctl, src);
	struct nmti_msg_hdr hdr;

	while (src->fd >= 0) {
		int n = nmti_inbox_read(&c->in, src->fd, events);

		if (n == -EAGAIN)
			return;
		if (n == -EPROTO || n == -EPROTONOSUPPORT || n == -EMSGSIZE) {
			ctl_fail(c, -EPROTO, "garbage on the control channel");
		} else if (n < 0) {
			ctl_lost(c, n);
		} else {
			nmti_msg_peek(c->buf, (size_t)n, &hdr);
			on_message(c, n, hdr.type);
			nmti_inbox_next(&c->in, n);
		}
	}
}

static void grace_over(struct nmti_timer *t)
{
	struct nmti_ctl *c = nmti_container(t, struct nmti_ctl, grace);

	ctl_fail(c, -ECONNRESET, "the data socket ended without a FIN");
}

int nmti_ctl_open(struct nmt_stream *s, int fd, const void *bytes, size_t len)
{
	uint32_t cap = s->ops->data_socket ? CTL_BUF : PATH_BUF;
	struct nmti_ctl *c = calloc(1, sizeof(*c) + cap);
	int rc;

	rc = !c ? -ENOMEM : len > cap ? -EPROTO : 0;
	if (rc) {
		close(fd);
		free(c);
		return rc;
	}
	c->in.buf = c->buf;
	c->in.cap = cap;
	c->inband = !s->ops->data_socket;
	if (c->inband && s->boot && (s->boot->server || s->boot->port)) /* else it cannot come back */
		c->rejoin = nmti_rejoin_new(s->boot, fd);
	c->in.magic = true;
	c->in.have = (uint32_t)len;
	memcpy(c->buf, bytes, len);
	s->memory += (uint32_t)sizeof(*c) + cap;
	c->s = s;
	c->src.fd = fd;
	c->src.ready = ctl_ready;
	c->grace.fire = grace_over;
	s->ctl = c;
	rc = nmti_watch(s->dom, &c->src, NMTI_SOCK_EVENTS);
	return rc;
}

/*
 * A peer that closed its socket may have said before that it is done, and that was not read yet. So
 * its end is found by reading, behind what it said; that the socket has it is an event to come.
 */
static void ctl_send(struct nmti_ctl *c, const void *msg, int len, int flags)
{
	int rc = c->src.fd >= 0 ? nmti_msg_send(c->src.fd, msg, len, flags) : 0;

	if (rc && rc != -EPIPE && rc != -ECONNRESET)
		ctl_lost(c, rc);
}

void nmti_send_fin(struct nmt_stream *s, uint64_t tx_offset, uint64_t records, bool last)
{
	struct nmti_fin m = { .offset = tx_offset, .records = records };
	uint8_t buf[CTL_MSG_MAX];

	if (!s->ctl)
		return;
	s->ctl->own_fin = true;
	/* With MSG_MORE it shares a segment with the ABORT(CLOSED) that follows. */
	ctl_send(s->ctl, buf, nmti_fin_encode(&m, buf, sizeof(buf)), last ? MSG_MORE : 0);
}

static void send_abort(struct nmti_ctl *c, uint16_t reason)
{
	struct nmti_abort m = { .reason = reason };
	uint8_t buf[CTL_MSG_MAX];
	int n = nmti_abort_encode(&m, buf, sizeof(buf));

	if (c->src.fd >= 0)
		nmti_msg_send(c->src.fd, buf, n, 0); /* best effort: the sockets close next */
}

/* It does not come back. */
static void ctl_finish(struct nmti_ctl *c)
{
	uint8_t drop[1024];

	nmti_rejoin_free(c->rejoin);
	c->rejoin = NULL;
	/* A socket closed with unread bytes sends a reset, which could overtake our last message. */
	for (int i = 0; i < DROPS_MAX && c->src.fd >= 0; i++)
		if (recv(c->src.fd, drop, sizeof(drop), MSG_DONTWAIT) <= 0)
			break;
	ctl_drop(c);
}

void nmti_ctl_abort(struct nmt_stream *s, uint16_t reason)
{
	if (!s->ctl->done) /* else the peer knows that it is over, and in order */
		send_abort(s->ctl, reason);
	ctl_finish(s->ctl);
}

void nmti_ctl_back(struct nmt_stream *s, int fd, const void *bytes, size_t len)
{
	struct nmti_ctl *c = s->ctl;

	ctl_drop(c); /* when this end did not notice that it broke */
	c->src.fd = fd;
	c->last = false;
	c->in.hup = false;
	c->in.have = (uint32_t)len;
	if (len)
		memcpy(c->buf, bytes, len);
	nmti_info(s->ctx, "%s: stream to %s: the control channel is back", s->ops->name,
		  c->rejoin->peer);
	if (nmti_watch(s->dom, &c->src, NMTI_SOCK_EVENTS)) {
		ctl_fail(c, -ENOMEM, "no memory for the control channel");
		return;
	}
	if (c->rejoin->said_len)
		nmti_msg_send(fd, c->rejoin->said, c->rejoin->said_len, 0);
	if (c->done)
		send_abort(c, NMT_WHY_CLOSED);
}

void nmti_ctl_bye(struct nmt_stream *s)
{
	if (!s->ctl->bye && !s->ctl->done)
		send_abort(s->ctl, NMT_WHY_CLOSED);
	s->ctl->bye = true;
}

void nmti_done(struct nmt_stream *s)
{
	if (!s->ctl || s->ctl->done)
		return;
	s->ctl->done = true;
	send_abort(s->ctl, NMT_WHY_CLOSED);
}

bool nmti_done_told(const struct nmt_stream *s)
{
	const struct nmti_ctl *c = s->ctl;

	if (c && c->src.fd < 0 && c->rejoin && c->rejoin->away)
		return c->told;
	return !c || drained(c);
}

void nmti_path_tell(struct nmt_stream *s, const void *msg, int len)
{
	struct nmti_ctl *c = s->ctl;

	if (!c)
		return;
	ctl_send(c, msg, len, 0);
	if (c->rejoin)
		nmti_rejoin_path(c->rejoin, msg, len);
}

void nmti_ctl_addrs(const struct nmt_stream *s, char *local, char *peer)
{
	const struct nmti_ctl *c = s->ctl;

	if (c && c->rejoin) {
		memcpy(local, c->rejoin->local, NMT_ADDR_MAX);
		memcpy(peer, c->rejoin->peer, NMT_ADDR_MAX);
	} else if (c && c->src.fd >= 0) {
		nmti_addr_of_socket(c->src.fd, false, local);
		nmti_addr_of_socket(c->src.fd, true, peer);
	}
}

bool nmti_ctl_drained(struct nmt_stream *s)
{
	return drained(s->ctl);
}

void nmti_ctl_end(struct nmt_stream *s)
{
	if (!s->ctl)
		return;
	nmti_timer_cancel(s->dom, &s->ctl->grace);
	ctl_finish(s->ctl);
}

void nmti_ctl_free(struct nmt_stream *s)
{
	nmti_ctl_end(s);
	free(s->ctl);
	s->ctl = NULL;
}

int nmti_peer_fin(struct nmt_stream *s, uint64_t rx_offset, uint64_t rx_records)
{
	struct nmti_ctl *c = s->ctl;

	if (s->tune.mode == NMT_MODE_RAW)
		return 1;
	if (!c)
		return -ECONNRESET;
	if (c->peer_fin)
		return c->fin.offset == rx_offset && c->fin.records == rx_records ? 1 : -ECONNRESET;
	if (c->src.fd < 0)
		return -ECONNRESET;
	if (!c->grace.slot)
		nmti_timer_set(s->dom, &c->grace, nmti_deadline(FIN_GRACE));
	return 0;
}
