/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A TCP relay on a thread of its own, between client and server of one test, that cuts its
 * connections on request or at a chosen byte. A cut ends both sides with a FIN, as a middlebox or a
 * dying host's kernel does: only a protocol above TCP can tell it from an orderly end.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "suite.h"

#define LINKS 4

struct link {
	int client, server; /* -1: not in use */
};

struct proxy {
	struct env *env;
	pthread_t thread;
	int listener;
	uint16_t target;
	struct link link[LINKS];
	uint64_t passed; /* client to server */
	uint64_t cut_at; /* atomic; UINT64_MAX: never */
	int stop;        /* atomic */
};

static struct sockaddr_in loopback(uint16_t port)
{
	return (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons(port),
				     .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
}

static void drop(struct link *l)
{
	if (l->client >= 0)
		close(l->client);
	if (l->server >= 0)
		close(l->server);
	l->client = l->server = -1;
}

static void take(struct proxy *p)
{
	struct sockaddr_in to = loopback(p->target);
	int fd = accept4(p->listener, NULL, NULL, SOCK_CLOEXEC);

	for (int i = 0; i < LINKS; i++) {
		struct link *l = &p->link[i];

		if (l->client >= 0)
			continue;
		l->client = fd;
		l->server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (connect(l->server, (struct sockaddr *)&to, sizeof(to)))
			drop(l);
		return;
	}
	close(fd);
}

/* Relay what is there; false: this direction has ended. */
static bool relay(int from, int to, uint64_t *count)
{
	char buf[4096];
	ssize_t n = recv(from, buf, sizeof(buf), MSG_DONTWAIT);

	if (n <= 0)
		return n < 0 && errno == EAGAIN;
	for (ssize_t off = 0, w; off < n; off += w) {
		w = send(to, buf + off, (size_t)(n - off), MSG_NOSIGNAL);
		if (w <= 0)
			return false;
	}
	*count += (uint64_t)n;
	return true;
}

static void serve(struct proxy *p, struct link *l)
{
	uint64_t back = 0;

	if (l->client < 0)
		return;
	if (!relay(l->client, l->server, &p->passed) || !relay(l->server, l->client, &back) ||
	    p->passed >= __atomic_load_n(&p->cut_at, __ATOMIC_ACQUIRE))
		drop(l);
}

static void *proxy_thread(void *arg)
{
	struct proxy *p = arg;

	while (!__atomic_load_n(&p->stop, __ATOMIC_ACQUIRE)) {
		struct pollfd pfd[1 + 2 * LINKS] = { { .fd = p->listener, .events = POLLIN } };

		for (int i = 0; i < LINKS; i++) {
			pfd[1 + 2 * i] = (struct pollfd){ p->link[i].client, POLLIN, 0 };
			pfd[2 + 2 * i] = (struct pollfd){ p->link[i].server, POLLIN, 0 };
		}
		poll(pfd, ARRAY_LEN(pfd), 2);
		if (pfd[0].revents & POLLIN)
			take(p);
		for (int i = 0; i < LINKS; i++)
			serve(p, &p->link[i]);
	}
	for (int i = 0; i < LINKS; i++)
		drop(&p->link[i]);
	return NULL;
}

struct proxy *proxy_open(struct env *env, const char *target, char addr[NMT_ADDR_MAX])
{
	struct proxy *p = calloc(1, sizeof(*p));
	struct sockaddr_in sin = loopback(0);
	socklen_t len = sizeof(sin);

	p->env = env;
	p->target = socks_port(target);
	p->cut_at = UINT64_MAX;
	for (int i = 0; i < LINKS; i++)
		p->link[i].client = p->link[i].server = -1;
	p->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (bind(p->listener, (struct sockaddr *)&sin, sizeof(sin)) || listen(p->listener, 8) ||
	    getsockname(p->listener, (struct sockaddr *)&sin, &len))
		failf(env, "proxy: %s", strerror(errno));
	snprintf(addr, NMT_ADDR_MAX, "127.0.0.1:%u", ntohs(sin.sin_port));
	assert_int_equal(pthread_create(&p->thread, NULL, proxy_thread, p), 0);
	return p;
}

void proxy_cut(struct proxy *p, uint64_t at)
{
	__atomic_store_n(&p->cut_at, at, __ATOMIC_RELEASE);
}

void proxy_close(struct proxy *p)
{
	__atomic_store_n(&p->stop, 1, __ATOMIC_RELEASE);
	pthread_join(p->thread, NULL);
	close(p->listener);
	free(p);
}
