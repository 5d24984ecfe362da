/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * rr: requests and responses of one size on many connections, one request in flight on each, one
 * thread at each end. A turn costs a receive and a send, and a wait is shared by all connections
 * that are ready: 2 + 1/n system calls. Edge-triggered: what arrives after a receive wakes again.
 * The server ends when the client has closed all.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base.h"

#define EVENTS 128 /* measured: 64 and 1024 are no faster */

struct peer {
	int fd;
	uint32_t have; /* bytes of the message that is arriving */
};

struct rr {
	const struct base_options *o;
	struct base_counts *c;
	struct peer *peers;
	uint32_t live;
	int ep;
	char *buf;
};

static void rr_open(struct rr *r, const struct base_options *o, struct base_counts *c)
{
	*r = (struct rr){ .o = o, .c = c, .live = o->streams, .ep = base_epoll() };
	r->peers = calloc(o->streams, sizeof(*r->peers));
	r->buf = calloc(1, o->size);
	if (!r->peers || !r->buf)
		base_die("memory");
}

static void rr_close(struct rr *r)
{
	free(r->peers);
	free(r->buf);
	close(r->ep);
}

static void rr_send(struct rr *r, struct peer *p)
{
	ssize_t n = send(p->fd, r->buf, r->o->size, MSG_NOSIGNAL);

	r->c->send++;
	if (n != (ssize_t)r->o->size && errno != EPIPE && errno != ECONNRESET)
		base_die("send");
}

/* 1: a message is complete; 0: not yet; -1: the peer is gone. */
static int rr_recv(struct rr *r, struct peer *p)
{
	ssize_t n = recv(p->fd, r->buf, r->o->size - p->have, 0);

	r->c->recv++;
	if (n <= 0)
		return n < 0 && errno == EAGAIN ? 0 : -1;
	p->have += (uint32_t)n;
	if (p->have < r->o->size)
		return 0;
	p->have = 0;
	r->c->turns++;
	return 1;
}

/* One wait and a turn of every connection that is ready. */
static void rr_turn(struct rr *r)
{
	struct epoll_event ev[EVENTS];
	int n = epoll_wait(r->ep, ev, EVENTS, -1);
	struct peer *p;
	int got;

	if (n < 0)
		base_die("epoll_wait");
	r->c->wait++;
	for (int i = 0; i < n; i++) {
		p = ev[i].data.ptr;
		got = rr_recv(r, p);
		if (got > 0) {
			rr_send(r, p);
		} else if (got < 0) {
			close(p->fd);
			r->live--;
		}
	}
}

static void rr_client_until(struct rr *r, uint64_t turns, int64_t end)
{
	while (r->live && r->c->turns < turns && base_now() < end)
		rr_turn(r);
	if (!r->live) {
		errno = ECONNRESET;
		base_die("the server");
	}
}

int rr_client(const struct base_options *o, struct base_counts *c)
{
	int64_t begin, warm = o->duration_ns / 10;
	struct rr r;

	rr_open(&r, o, c);
	for (uint32_t i = 0; i < o->streams; i++) {
		r.peers[i].fd = base_connect(o);
		base_watch(r.ep, r.peers[i].fd, EPOLLIN | EPOLLET, (uintptr_t)&r.peers[i]);
	}
	for (uint32_t i = 0; i < o->streams; i++)
		rr_send(&r, &r.peers[i]);
	if (!o->count)
		rr_client_until(&r, UINT64_MAX, base_now() + warm);
	*c = (struct base_counts){ 0 };
	begin = base_now();
	rr_client_until(&r, o->count ? o->count : UINT64_MAX,
			o->count ? INT64_MAX : begin + o->duration_ns);
	c->elapsed_ns = base_now() - begin;
	for (uint32_t i = 0; i < o->streams; i++)
		close(r.peers[i].fd);
	rr_close(&r);
	return 0;
}

static void accept_streams(struct rr *r, int listener)
{
	struct epoll_event ev;
	int ep = base_epoll();

	base_watch(ep, listener, EPOLLIN, 0);
	for (uint32_t i = 0; i < r->o->streams;) {
		r->peers[i].fd = base_accept(listener);
		if (r->peers[i].fd < 0 && epoll_wait(ep, &ev, 1, 30000) <= 0)
			base_die("waiting for the client");
		if (r->peers[i].fd < 0)
			continue;
		base_watch(r->ep, r->peers[i].fd, EPOLLIN | EPOLLET, (uintptr_t)&r->peers[i]);
		i++;
	}
	close(ep);
}

int rr_server(const struct base_options *o, struct base_counts *c)
{
	int listener = base_listen(o);
	int64_t begin;
	struct rr r;

	rr_open(&r, o, c);
	accept_streams(&r, listener);
	close(listener);
	begin = base_now();
	while (r.live)
		rr_turn(&r);
	c->elapsed_ns = base_now() - begin;
	rr_close(&r);
	return 0;
}
