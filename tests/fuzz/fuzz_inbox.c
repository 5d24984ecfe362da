/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fuzz target of the inbox: set-up and control messages read from a socket. The input is a size of
 * the buffer, how to cut, and the bytes of a peer. They go through a socket in pieces; the messages
 * taken and the error at the end must be those of a straight look at all bytes at once.
 */
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "setup.h"

#define must(cond) ((cond) ? (void)0 : abort())

#define HEAD 3 /* of the input: buffer, flags, seed of the cuts */
#define BYTES_MAX (4 * NMTI_MSG_MAX)

enum {
	NO_MAGIC = 1,
	END = 2,
	END_TOLD = 4
};

struct run {
	struct nmti_inbox in;
	const uint8_t *data; /* all bytes of the peer */
	size_t size, put;    /* put: of them, in the socket */
	size_t at;	     /* of them, taken */
	int fd[2];
	uint32_t seed;
	uint8_t buf[NMTI_MAGIC_LEN + NMTI_MSG_MAX];
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The buffers that libnmt gives: control channel, JOIN, client, server; and ones that no one has. */
static uint32_t capacity(uint8_t choice)
{
	static const uint32_t caps[] = { 48, 16, 72, NMTI_MSG_MAX, NMTI_MAGIC_LEN + NMTI_MSG_MAX };

	return caps[choice % ARRAY_LEN(caps)];
}

/* What reading must come to with the bytes up to END: as nmti_inbox_read. */
static int expected(const struct run *r, size_t end, bool magic)
{
	const uint8_t *p = r->data + r->at;
	struct nmti_msg_hdr hdr = { 0 };
	size_t len = end - r->at;
	int n = NMTI_MAGIC_LEN;

	if (!magic) {
		n = nmti_magic_match(p, len);
		if (n <= 0)
			return n ? n : -EAGAIN;
		p += n;
		len -= (size_t)n;
	}
	n = nmti_msg_peek(p, len, &hdr);
	if (n > 0 && (uint32_t)n > r->in.cap)
		return -EMSGSIZE;
	if (!n && len >= NMTI_MSG_HDR_LEN && NMTI_MSG_HDR_LEN + hdr.len > r->in.cap)
		return -EMSGSIZE;
	return n ? n : -EAGAIN;
}

static void next_piece(struct run *r)
{
	size_t n;

	r->seed = r->seed * 1103515245 + 12345;
	n = 1 + (r->seed >> 16) % (r->seed & 0x400 ? 8 : 700);
	n = n < r->size - r->put ? n : r->size - r->put;
	if (n)
		must(send(r->fd[0], r->data + r->put, n, MSG_NOSIGNAL) == (ssize_t)n);
	r->put += n;
}

/* One message, or why there is none. Bytes beyond it stay in the buffer as they came. */
static int step(struct run *r, uint32_t events)
{
	bool magic = r->in.magic;
	int want = expected(r, r->put, magic);
	int n = nmti_inbox_read(&r->in, r->fd[1], events);

	must(r->in.have <= r->in.cap);
	if (want == -EAGAIN && events)
		want = -ECONNRESET;
	must(n == want);
	if (r->in.magic && !magic)
		r->at += NMTI_MAGIC_LEN;
	must(!memcmp(r->buf, r->data + r->at, r->in.have));
	if (n > 0) {
		nmti_inbox_next(&r->in, n);
		r->at += (size_t)n;
	}
	return n;
}

static void drive(struct run *r, uint8_t flags)
{
	int n = -EAGAIN;

	while (r->put < r->size && n == -EAGAIN) {
		next_piece(r);
		do
			n = step(r, 0);
		while (n > 0);
	}
	if (n != -EAGAIN || !(flags & END))
		return;
	shutdown(r->fd[0], SHUT_WR);
	must(step(r, EPOLLRDHUP) == -ECONNRESET);
}

/* All bytes and the end are there before the first look. */
static void drive_late(struct run *r)
{
	while (r->put < r->size)
		next_piece(r);
	shutdown(r->fd[0], SHUT_WR);
	while (step(r, EPOLLIN | EPOLLRDHUP) > 0)
		;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct run r = { .data = data + HEAD, .size = size - HEAD };

	if (size < HEAD || r.size > BYTES_MAX)
		return 0;
	r.in.buf = r.buf;
	r.in.cap = capacity(data[0]);
	r.in.magic = data[1] & NO_MAGIC;
	r.seed = data[2];
	must(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, r.fd));
	if (data[1] & END_TOLD)
		drive_late(&r);
	else
		drive(&r, data[1]);
	close(r.fd[0]);
	close(r.fd[1]);
	return 0;
}
