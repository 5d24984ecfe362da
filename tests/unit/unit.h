/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the unit tests of the core share: a context with a log that can be looked at, one domain
 * that both ends of a connection live in, and waiting for an event without sleeping.
 */
#ifndef TESTS_UNIT_H
#define TESTS_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "internal.h"

#define UNIT_MS INT64_C(1000000)
#define UNIT_SEC (1000 * UNIT_MS)
#define UNIT_LIMIT (10 * UNIT_SEC) /* no wait of a test that works comes near */
#define UNIT_EVENTS 512

/* Ends a program that hangs, long before ctest would. */
#define UNIT_MAIN(tests)                                                                           \
	int main(void)                                                                             \
	{                                                                                          \
		alarm(120);                                                                        \
		return cmocka_run_group_tests(tests, NULL, NULL);                                  \
	}

struct unit {
	struct nmt_ctx *ctx;
	struct nmt_domain *dom;
	struct nmt_listener *l;
	struct nmt_stream *a, *b; /* connected to each other */
	pthread_mutex_t lock;     /* of the log */
	char log[16384];
	size_t log_len;
	unsigned int lines;
	struct nmt_event ev[UNIT_EVENTS]; /* not asked for yet */
	int nev;
};

/* ---- log ----------------------------------------------------------------------------------- */

static inline void unit_log_line(void *arg, enum nmt_log_level level, const char *line)
{
	struct unit *u = arg;
	size_t len = strlen(line);

	(void)level;
	pthread_mutex_lock(&u->lock);
	u->lines++;
	if (u->log_len + len + 2 <= sizeof(u->log)) {
		memcpy(u->log + u->log_len, line, len);
		u->log_len += len;
		u->log[u->log_len++] = '\n';
		u->log[u->log_len] = '\0';
	}
	pthread_mutex_unlock(&u->lock);
}

static inline void unit_log_clear(struct unit *u)
{
	u->log_len = 0;
	u->log[0] = '\0';
	u->lines = 0;
}

static inline bool unit_logged(struct unit *u, const char *what)
{
	return strstr(u->log, what);
}

/* ---- context and domain -------------------------------------------------------------------- */

static inline void unit_ctx(struct unit *u)
{
	struct nmt_ctx_attr attr = NMT_CTX_ATTR_INIT;

	memset(u, 0, sizeof(*u));
	pthread_mutex_init(&u->lock, NULL);
	attr.log = unit_log_line;
	attr.log_arg = u;
	attr.log_level = NMT_LOG_DEBUG + 1;
	attr.provider_path = "/nonexistent";
	assert_int_equal(nmt_ctx_open(&attr, &u->ctx), 0);
}

static inline void unit_open_with(struct unit *u, const char *spec,
				  const struct nmt_domain_attr *attr)
{
	unit_ctx(u);
	assert_int_equal(nmt_domain_open(u->ctx, spec, attr, &u->dom), 0);
}

/* Small cells, and no spinning, so that every wait is a sleep. */
static inline void unit_open(struct unit *u, const char *spec)
{
	struct nmt_domain_attr attr = NMT_DOMAIN_ATTR_INIT;

	attr.cell_size = 4096;
	attr.pool_size = 64 * 4096;
	attr.spin_ns = -1;
	unit_open_with(u, spec, &attr);
}

/* Closes what is open; asserts that the context has nothing left. */
static inline void unit_close(struct unit *u)
{
	if (u->a)
		nmt_abort(u->a);
	if (u->b)
		nmt_abort(u->b);
	if (u->dom)
		nmt_domain_close(u->dom);
	assert_int_equal(nmt_ctx_close(u->ctx), 0);
	pthread_mutex_destroy(&u->lock);
}

/* ---- events -------------------------------------------------------------------------------- */

static inline void unit_poll(struct unit *u, int64_t timeout)
{
	int n;

	assert_in_range(u->nev, 0, UNIT_EVENTS - 16);
	n = nmt_poll(u->dom, u->ev + u->nev, 16, timeout);
	assert_true(n >= 0 || n == -EINTR);
	u->nev += n > 0 ? n : 0;
}

static inline bool unit_find(struct unit *u, const void *who, uint32_t type, struct nmt_event *out)
{
	for (int i = 0; i < u->nev; i++) {
		struct nmt_event *ev = &u->ev[i];

		if (ev->type != type || (ev->stream != who && (void *)ev->listener != who))
			continue;
		*out = *ev;
		memmove(ev, ev + 1, (size_t)(--u->nev - i) * sizeof(*ev));
		return true;
	}
	return false;
}

/* The next event of TYPE of a stream or listener; others wait until they are asked for. */
static inline struct nmt_event unit_take(struct unit *u, const void *who, uint32_t type)
{
	int64_t limit = nmti_now() + UNIT_LIMIT;
	struct nmt_event ev;

	while (!unit_find(u, who, type, &ev)) {
		if (nmti_now() > limit)
			fail_msg("no event of type %u came", type);
		unit_poll(u, 100 * UNIT_MS);
	}
	return ev;
}

/* Whether an event of TYPE is there without waiting. */
static inline bool unit_has(struct unit *u, const void *who, uint32_t type)
{
	struct nmt_event ev;

	for (int i = 0; i < 8; i++)
		unit_poll(u, 0);
	return unit_find(u, who, type, &ev);
}

/* ---- plain sockets ------------------------------------------------------------------------- */

static inline uint16_t unit_port(int fd)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);

	assert_int_equal(getsockname(fd, (struct sockaddr *)&ss, &len), 0);
	return ntohs(ss.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&ss)->sin6_port
					      : ((struct sockaddr_in *)&ss)->sin_port);
}

static inline int unit_tcp_listen(void)
{
	struct sockaddr_in sin = { .sin_family = AF_INET,
				   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&sin, sizeof(sin)), 0);
	assert_int_equal(listen(fd, 16), 0);
	return fd;
}

static inline int unit_tcp_connect(uint16_t port)
{
	struct sockaddr_in sin = { .sin_family = AF_INET, .sin_port = htons(port),
				   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&sin, sizeof(sin)), 0);
	return fd;
}

static inline int unit_tcp_accept(int listener)
{
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

/* Two ends of a TCP connection over loopback; the second is non-blocking. */
static inline void unit_tcp_pair(int fd[2])
{
	int l = unit_tcp_listen(), on = 1;

	fd[0] = unit_tcp_connect(unit_port(l));
	fd[1] = unit_tcp_accept(l);
	assert_int_equal(ioctl(fd[1], FIONBIO, &on), 0);
	close(l);
}

/* Wait until FD has something to read; false: it has not, for a long time. */
static inline bool unit_fd_ready(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, (int)(UNIT_LIMIT / UNIT_MS)) == 1;
}

/* Wait until at least N bytes wait in the socket. */
static inline void unit_arrived(int fd, int n)
{
	int64_t limit = nmti_now() + UNIT_LIMIT;
	int have = 0;

	do {
		assert_int_equal(ioctl(fd, FIONREAD, &have), 0);
		assert_true(nmti_now() < limit);
	} while (have < n);
}

static inline void unit_write(int fd, const void *buf, size_t len)
{
	while (len) {
		ssize_t r = send(fd, buf, len, MSG_NOSIGNAL);

		assert_true(r > 0);
		buf = (const char *)buf + r;
		len -= (size_t)r;
	}
}

static inline void unit_read(int fd, void *buf, size_t len)
{
	while (len) {
		ssize_t r;

		assert_true(unit_fd_ready(fd));
		r = recv(fd, buf, len, 0);
		assert_true(r > 0);
		buf = (char *)buf + r;
		len -= (size_t)r;
	}
}

/* Bytes that differ by place, so that a shift, a loss or a swap shows. */
static inline uint8_t unit_byte(uint64_t pos)
{
	return (uint8_t)(pos * 131 + (pos >> 8) * 17 + (pos >> 16) * 7 + 5);
}

static inline void unit_fill(void *buf, size_t len, uint64_t pos)
{
	for (size_t i = 0; i < len; i++)
		((uint8_t *)buf)[i] = unit_byte(pos + i);
}

static inline void unit_check(const void *buf, size_t len, uint64_t pos)
{
	for (size_t i = 0; i < len; i++)
		if (((const uint8_t *)buf)[i] != unit_byte(pos + i))
			fail_msg("byte %zu of %zu (stream position %llu) is wrong", i, len,
				 (unsigned long long)(pos + i));
}

static inline int unit_open_fds(void)
{
	int n = 0;

	for (int fd = 0; fd < 1024; fd++) {
		struct pollfd p = { .fd = fd };

		n += poll(&p, 1, 0) >= 0 && !(p.revents & POLLNVAL);
	}
	return n;
}

/* ---- streams ------------------------------------------------------------------------------- */

/* A listener on 127.0.0.1; its address goes to ADDR. */
static inline void unit_listen(struct unit *u, const struct nmt_stream_attr *attr,
			       char addr[static NMT_ADDR_MAX])
{
	assert_int_equal(nmt_listen(u->dom, "127.0.0.1:0", attr, &u->l), 0);
	assert_int_equal(nmt_listener_addr(u->l, addr, NMT_ADDR_MAX), 0);
}

/* Connect u->a to u->b through the listener; both are open on return. */
static inline void unit_join(struct unit *u, const char *addr, const struct nmt_stream_attr *attr)
{
	assert_int_equal(nmt_connect(u->dom, addr, attr, &u->a), 0);
	unit_take(u, u->l, NMT_EV_ACCEPT);
	assert_int_equal(nmt_accept(u->l, NULL, &u->b), 0);
	unit_take(u, u->a, NMT_EV_CONNECTED);
	unit_take(u, u->b, NMT_EV_CONNECTED);
}

static inline void unit_pair(struct unit *u, const struct nmt_stream_attr *attr)
{
	char addr[NMT_ADDR_MAX];

	unit_listen(u, attr, addr);
	unit_join(u, addr, attr);
}

/* A stream over the given socket, with record frames or without, and no control channel. */
static inline struct nmt_stream *unit_adopt(struct unit *u, int fd, bool records,
					    const struct nmt_stream_attr *user)
{
	struct nmti_path path = { .fd = fd };
	struct nmt_stream_attr attr;
	struct nmt_stream *s;

	assert_int_equal(nmti_stream_attr(u->dom, user, false, &attr), 0);
	assert_int_equal(nmti_stream_new(u->dom, &attr, NMT_MODE_RAW, &s), 0);
	s->records = records;
	assert_int_equal(nmti_stream_attach(s, &u->dom->pd[0], &path), 0);
	unit_take(u, s, NMT_EV_CONNECTED);
	return s;
}

/* A domain with a stream, u->a, whose peer is a plain socket: its descriptor. */
static inline int unit_open_tcp(struct unit *u, bool records, const struct nmt_stream_attr *attr)
{
	int fd[2];

	unit_open(u, "tcp");
	unit_tcp_pair(fd);
	u->a = unit_adopt(u, fd[1], records, attr);
	return fd[0];
}

#endif
