/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The first bytes of a connection on a negotiated or either listener: is it a libnmt client, and
 * what does it say in its HELLO? Whoever says nothing sensible in time is let go; at most
 * attr.max_pending are listened to at once, and the oldest makes room for a new one.
 */
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "setup.h"

#define ACCEPTS_PER_TURN 64

void nmti_greet_free(struct nmti_greet *g)
{
	nmti_list_del(&g->node);
	if (g->src.fd >= 0)
		close(g->src.fd);
	free(g);
}

/* Stop listening to what it says; its socket lives on. */
static void greet_leave(struct nmti_greet *g)
{
	nmti_timer_cancel(g->l->dom, &g->timer);
	nmti_unwatch(g->l->dom, &g->src);
	nmti_list_del(&g->node);
	g->l->ngreets--;
}

/* Closed with a reset: nobody is going to take it. */
static void greet_reset(struct nmti_greet *g)
{
	struct linger now = { .l_onoff = 1 };

	setsockopt(g->src.fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	nmti_greet_free(g);
}

void nmti_greets_drop(struct nmt_listener *l)
{
	while (!nmti_list_empty(&l->greets)) {
		struct nmti_greet *g = nmti_container(l->greets.next, struct nmti_greet, node);

		greet_leave(g);
		greet_reset(g);
	}
	while (!nmti_list_empty(&l->queue))
		greet_reset(nmti_container(l->queue.next, struct nmti_greet, node));
}

static void peer_text(int fd, char buf[static NMT_ADDR_MAX])
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);

	if (getpeername(fd, (struct sockaddr *)&ss, &len) ||
	    nmti_addr_format(&ss, buf, NMT_ADDR_MAX))
		memcpy(buf, "?", 2);
}

static void greet_refuse(struct nmti_greet *g, enum nmt_reason why)
{
	char peer[NMT_ADDR_MAX];

	peer_text(g->src.fd, peer);
	nmti_info(g->l->dom->ctx, "declined %s: %s", peer, nmt_reason_str(why));
	g->l->dom->stat.declined++;
	greet_leave(g);
	if (g->in.magic) /* who is no libnmt client would not understand */
		nmti_decline(g->src.fd, why);
	nmti_greet_free(g);
}

static void greet_done(struct nmti_greet *g, bool raw)
{
	struct nmt_listener *l = g->l;

	greet_leave(g);
	g->raw = raw;
	pthread_mutex_lock(&l->lock);
	nmti_list_add_tail(&g->node, &l->queue);
	l->queued++;
	pthread_mutex_unlock(&l->lock);
	nmti_listener_tell(l);
}

/* 1: libnmt, 0: too early to tell, -EPROTO: something else, -ECONNRESET: gone. */
static int peek_magic(int fd)
{
	uint8_t buf[NMTI_MAGIC_LEN];
	ssize_t r = recv(fd, buf, sizeof(buf), MSG_PEEK | MSG_DONTWAIT);

	if (!r)
		return -EPROTO; /* a raw client that sent nothing and ended: still a stream */
	if (r < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -ECONNRESET;
	return nmti_magic_match(buf, (size_t)r);
}

static void greet_hello(struct nmti_greet *g, uint32_t events)
{
	int n = nmti_inbox_read(&g->in, g->src.fd, events);
	enum nmt_reason why;
	uint8_t index = 0;

	if (n == -EAGAIN)
		return;
	if (n > 0 && g->in.have > (uint32_t)n)
		n = -EPROTO; /* nothing may follow before our answer */
	if (n > 0)
		n = nmti_hello_decode(g->in.buf, (size_t)n, &g->hello);
	if (n == -EPROTONOSUPPORT)
		why = NMT_WHY_VERSION;
	else if (n)
		why = NMT_WHY_MALFORMED;
	else
		why = nmti_choose(g->l->dom, &g->l->attr, &g->hello, &index);
	if (why)
		greet_refuse(g, why);
	else
		greet_done(g, false);
}

static void greet_ready(struct nmti_source *src, uint32_t events)
{
	struct nmti_greet *g = nmti_container(src, struct nmti_greet, src);
	int rc = 1;

	if (g->l->attr.mode == NMT_MODE_EITHER && !g->in.magic && !g->in.have)
		rc = peek_magic(src->fd);
	if (rc > 0)
		greet_hello(g, events);
	else if (rc == -EPROTO)
		greet_done(g, true);
	else if (rc == -ECONNRESET)
		greet_refuse(g, NMT_WHY_MALFORMED);
}

/* A client that says nothing to an either listener may wait for the server to speak: raw. */
static void greet_late(struct nmti_timer *t)
{
	struct nmti_greet *g = nmti_container(t, struct nmti_greet, timer);

	if (g->l->attr.mode == NMT_MODE_EITHER && !g->in.magic && !g->in.have)
		greet_done(g, true);
	else
		greet_refuse(g, NMT_WHY_TIMEOUT);
}

static void greet_new(struct nmt_listener *l, int fd)
{
	struct nmti_greet *g;

	if (l->ngreets >= l->attr.max_pending)
		greet_refuse(nmti_container(l->greets.next, struct nmti_greet, node), NMT_WHY_BUSY);
	g = malloc(sizeof(*g));
	if (!g) {
		close(fd);
		return;
	}
	memset(g, 0, offsetof(struct nmti_greet, hello)); /* the rest is large, and written later */
	g->in.buf = g->inbuf;
	g->in.cap = sizeof(g->inbuf);
	g->l = l;
	g->src.fd = fd;
	g->src.ready = greet_ready;
	g->timer.fire = greet_late;
	nmti_list_add_tail(&g->node, &l->greets);
	l->ngreets++;
	if (nmti_watch(l->dom, &g->src, NMTI_SOCK_EVENTS) ||
	    nmti_timer_set(l->dom, &g->timer, nmti_deadline(l->attr.handshake_timeout)))
		greet_refuse(g, NMT_WHY_BUSY);
}

static bool queue_full(struct nmt_listener *l)
{
	bool full;

	pthread_mutex_lock(&l->lock);
	full = l->queued >= l->attr.backlog;
	pthread_mutex_unlock(&l->lock);
	return full;
}

void nmti_greet_accept(struct nmt_listener *l)
{
	for (int i = 0; l->ready; i++) {
		int fd;

		/* Let others have their turn; and what nobody accepts stays in the kernel. */
		if (i == ACCEPTS_PER_TURN || queue_full(l)) {
			nmti_timer_set(l->dom, &l->retry, nmti_now() + (i ? 0 : 10000000));
			return;
		}
		fd = accept4(l->src.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd >= 0)
			greet_new(l, fd);
		else if (nmti_accept_error(l, errno))
			return;
	}
}
