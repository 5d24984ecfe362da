/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * conn: the client keeps a number of connections in flight and closes each when it sees its end;
 * the server closes each as it accepts it. One thread at each end. Done as in textbooks: the client
 * asks SO_ERROR when a connection becomes writable, so that it knows of each whether it opened.
 */
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base.h"

#define EVENTS 64

struct conn {
	const struct base_options *o;
	struct base_counts *c;
	struct sockaddr_in to;
	int ep;
	uint32_t live;
	bool ending;
};

static void begin_one(struct conn *k)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

	if (fd < 0)
		base_die("socket");
	if (connect(fd, (struct sockaddr *)&k->to, sizeof(k->to)) < 0 && errno != EINPROGRESS)
		base_die("connect");
	base_watch(k->ep, fd, EPOLLIN | EPOLLOUT | EPOLLET, (uint64_t)fd);
	k->c->other += 3;
	k->live++;
}

static void check_open(struct conn *k, int fd)
{
	socklen_t len = sizeof(int);
	int err = 0;

	k->c->other++;
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len) < 0)
		err = errno;
	if (err && !k->ending) {
		errno = err;
		base_die("connect");
	}
}

static void conn_event(struct conn *k, const struct epoll_event *ev)
{
	int fd = (int)ev->data.u64;
	char byte;

	if (ev->events & (EPOLLOUT | EPOLLERR))
		check_open(k, fd);
	if (!(ev->events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
		return;
	k->c->recv++;
	if (recv(fd, &byte, 1, 0) < 0 && errno == EAGAIN)
		return;
	close(fd);
	k->c->other++;
	k->live--;
	k->c->turns++;
	if (!k->ending)
		begin_one(k);
}

static void conn_turn(struct conn *k)
{
	struct epoll_event ev[EVENTS];
	int n = epoll_wait(k->ep, ev, EVENTS, 1000);

	if (n < 0)
		base_die("epoll_wait");
	k->c->wait++;
	for (int i = 0; i < n; i++)
		conn_event(k, &ev[i]);
}

static void conn_until(struct conn *k, uint64_t turns, int64_t end)
{
	while (k->c->turns < turns && base_now() < end)
		conn_turn(k);
}

int conn_client(const struct base_options *o, struct base_counts *c)
{
	struct conn k = { .o = o, .c = c, .ep = base_epoll() };
	int64_t begin;

	k.to = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons(o->port) };
	k.to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	for (uint32_t i = 0; i < o->streams; i++)
		begin_one(&k);
	if (!o->count)
		conn_until(&k, UINT64_MAX, base_now() + o->duration_ns / 10);
	*c = (struct base_counts){ 0 };
	begin = base_now();
	conn_until(&k, o->count ? o->count : UINT64_MAX,
		   o->count ? INT64_MAX : begin + o->duration_ns);
	c->elapsed_ns = base_now() - begin;
	k.ending = true;
	return 0;
}

/* Ends when the client has been silent for half a second after its first connection. */
int conn_server(const struct base_options *o, struct base_counts *c)
{
	int fd, n, ep = base_epoll(), listener = base_listen(o);
	int64_t begin = base_now();
	struct epoll_event ev;

	base_watch(ep, listener, EPOLLIN, 0);
	while ((n = epoll_wait(ep, &ev, 1, c->turns ? 500 : 30000)) > 0) {
		c->wait++;
		while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
			close(fd);
			c->turns++;
			c->other += 2;
		}
		c->other++;
		if (errno != EAGAIN && errno != ECONNABORTED)
			base_die("accept");
	}
	c->elapsed_ns = base_now() - begin;
	if (n < 0)
		base_die("epoll_wait");
	return 0;
}
