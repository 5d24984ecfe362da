/* SPDX-License-Identifier: BSD-2-Clause */
/* Reading and writing of whole set-up and control messages on a socket. */
#include <sys/epoll.h>

#include "setup.h"

static void drop(struct nmti_inbox *in, uint32_t n)
{
	in->have -= n;
	memmove(in->buf, in->buf + n, in->have);
}

/* > 0: a message is there; 0: more bytes needed; < 0: it is none. */
static int parse(struct nmti_inbox *in)
{
	struct nmti_msg_hdr hdr;
	int n;

	if (!in->magic) {
		n = nmti_magic_match(in->buf, in->have);
		if (n <= 0)
			return n;
		drop(in, NMTI_MAGIC_LEN);
		in->magic = true;
	}
	n = nmti_msg_peek(in->buf, in->have, &hdr);
	if (!n && in->have >= NMTI_MSG_HDR_LEN && NMTI_MSG_HDR_LEN + hdr.len > in->cap)
		return -EMSGSIZE;
	return n;
}

/* 1: bytes came, and there may be more; 0: bytes came, and that was all. */
static int receive(struct nmti_inbox *in, int fd)
{
	uint32_t room = in->cap - in->have;
	ssize_t r;

	if (!room)
		return -EMSGSIZE;
	r = recv(fd, in->buf + in->have, room, MSG_DONTWAIT);
	if (!r)
		return -ECONNRESET;
	if (r < 0)
		return errno == EINTR ? -EAGAIN : -errno;
	in->have += (uint32_t)r;
	return (uint32_t)r == room || in->hup;
}

int nmti_inbox_read(struct nmti_inbox *in, int fd, uint32_t events)
{
	int n = parse(in), more = 1;

	in->hup |= !!(events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR));
	while (!n && more) {
		more = receive(in, fd);
		if (more < 0)
			return more;
		n = parse(in);
	}
	return n ? n : -EAGAIN;
}

void nmti_inbox_next(struct nmti_inbox *in, int len)
{
	drop(in, (uint32_t)len);
}

int nmti_msg_send(int fd, const void *msg, int len, int flags)
{
	ssize_t r;

	if (len < 0)
		return len;
	r = send(fd, msg, (size_t)len, flags | MSG_DONTWAIT | MSG_NOSIGNAL);
	if (r < 0)
		return -errno;
	/* The first bytes of a connection always fit into its send buffer. */
	return r == len ? 0 : -ENOBUFS;
}
