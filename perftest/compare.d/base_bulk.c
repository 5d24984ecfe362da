/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bulk: the client sends without a pause, the server fills buffers in turn, as a receiver does that
 * says where bytes are to go; a turn is a full buffer. One buffer is always warm, many are not.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base.h"

static char *buffers(const struct base_options *o, uint32_t n)
{
	size_t len = ((size_t)n * o->size + 4095) & ~(size_t)4095;
	char *buf = aligned_alloc(4096, len);

	if (!buf)
		base_die("memory");
	return memset(buf, 1, len);
}

static void wait_for(int fd, short events)
{
	struct pollfd p = { .fd = fd, .events = events };

	if (poll(&p, 1, -1) < 0)
		base_die("poll");
}

int bulk_client(const struct base_options *o, struct base_counts *c)
{
	int fd = base_connect(o);
	char *buf = buffers(o, 1);
	int64_t begin = base_now(), now = begin;
	uint64_t bytes = 0;

	while (now < begin + o->duration_ns) {
		ssize_t n = send(fd, buf, o->size, MSG_NOSIGNAL);

		c->send++;
		if (n < 0 && errno != EAGAIN)
			base_die("send");
		if (n < 0)
			wait_for(fd, POLLOUT);
		else
			bytes += (uint64_t)n;
		now = base_now();
	}
	c->turns = bytes / o->size;
	c->elapsed_ns = now - begin;
	close(fd);
	free(buf);
	return 0;
}

int bulk_server(const struct base_options *o, struct base_counts *c)
{
	int listener = base_listen(o), fd;
	uint32_t n = o->streams, at = 0;
	char *buf = buffers(o, n);
	ssize_t got = 1;
	int64_t begin;

	wait_for(listener, POLLIN);
	while ((fd = base_accept(listener)) < 0)
		;
	close(listener);
	begin = base_now();
	while (got) {
		got = recv(fd, buf + c->turns % n * o->size + at, o->size - at, 0);
		c->recv++;
		if (got < 0 && errno != EAGAIN)
			base_die("recv");
		if (got < 0)
			wait_for(fd, POLLIN);
		at += got > 0 ? (uint32_t)got : 0;
		c->turns += at == o->size;
		at = at == o->size ? 0 : at;
	}
	c->elapsed_ns = base_now() - begin;
	close(fd);
	free(buf);
	return 0;
}
