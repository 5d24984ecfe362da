/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pp: a ping-pong on one connection whose ends never sleep: send, then recv until it finds bytes.
 * That is the least that such a program can do. With --watched the socket is in an epoll set too,
 * which is never asked: what the kernel takes for that.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base.h"

#define SAMPLES (1u << 20)

struct pp {
	const struct base_options *o;
	struct base_counts *c;
	char *buf;
	int fd, ep;
};

static void pp_open(struct pp *p, const struct base_options *o, struct base_counts *c, int fd)
{
	*p = (struct pp){ .o = o, .c = c, .fd = fd, .ep = base_epoll(), .buf = calloc(1, o->size) };
	if (!p->buf)
		base_die("memory");
	if (o->watched)
		base_watch(p->ep, fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, 0);
}

static void pp_close(struct pp *p)
{
	close(p->fd);
	close(p->ep);
	free(p->buf);
}

static void pp_send(struct pp *p)
{
	p->c->send++;
	if (send(p->fd, p->buf, p->o->size, MSG_NOSIGNAL) != (ssize_t)p->o->size)
		base_die("send");
}

/* False: the peer has ended. */
static bool pp_recv(struct pp *p)
{
	for (uint32_t have = 0; have < p->o->size;) {
		ssize_t n = recv(p->fd, p->buf, p->o->size - have, 0);

		p->c->recv++;
		if (n > 0)
			have += (uint32_t)n;
		else if (n == 0 || errno != EAGAIN)
			return false;
	}
	p->c->turns++;
	return true;
}

static int by_time(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

/* Turns until END; the times of at most MAX of them. Returns how many those are. */
static size_t pp_turns(struct pp *p, int64_t end, uint32_t *times, size_t max)
{
	int64_t before = base_now(), now = before;
	size_t n = 0;

	while (now < end && (!p->o->count || p->c->turns < p->o->count)) {
		pp_send(p);
		if (!pp_recv(p))
			base_die("the server");
		now = base_now();
		if (n < max)
			times[n++] = (uint32_t)(now - before);
		before = now;
	}
	return n;
}

int pp_client(const struct base_options *o, struct base_counts *c)
{
	uint32_t *times = malloc(SAMPLES * sizeof(*times));
	int64_t begin;
	struct pp p;
	size_t n;

	if (!times)
		base_die("memory");
	pp_open(&p, o, c, base_connect(o));
	if (!o->count)
		pp_turns(&p, base_now() + o->duration_ns / 10, times, 0);
	*c = (struct base_counts){ 0 };
	begin = base_now();
	n = pp_turns(&p, o->count ? INT64_MAX : begin + o->duration_ns, times, SAMPLES);
	c->elapsed_ns = base_now() - begin;
	qsort(times, n, sizeof(*times), by_time);
	c->typical_ns = n ? times[n / 2] : 0;
	pp_close(&p);
	free(times);
	return 0;
}

int pp_server(const struct base_options *o, struct base_counts *c)
{
	int listener = base_listen(o), fd;
	struct pp p;

	while ((fd = base_accept(listener)) < 0)
		;
	close(listener);
	pp_open(&p, o, c, fd);
	while (pp_recv(&p))
		pp_send(&p);
	pp_close(&p);
	return 0;
}
