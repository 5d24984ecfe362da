/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * libnmt as a plain socket: blocking calls, no events. A server thread answers requests of
 * 8 bytes; the main thread asks. Each thread has a domain of its own.
 *
 * run: "$EXAMPLES/blocking"
 */
#include <nmt/nmt.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REQUESTS 1000

struct server {
	struct nmt_domain *domain;
	struct nmt_listener *listener;
};

static void check(const char *what, ssize_t rc)
{
	if (rc < 0) {
		fprintf(stderr, "%s: %s\n", what, nmt_strerror((int)rc));
		exit(1);
	}
}

/* A request is 8 bytes of text, the answer its first byte. */
static void *serve(void *arg)
{
	struct server *srv = arg;
	struct nmt_stream *stream;
	char request[8];
	ssize_t n;

	check("nmt_accept", nmt_accept(srv->listener, NULL, &stream));
	for (;;) {
		n = nmt_recv(stream, request, sizeof(request), MSG_WAITALL);
		check("nmt_recv", n);
		if (n < (ssize_t)sizeof(request))
			break;
		check("nmt_send", nmt_send(stream, request, 1, 0));
	}
	check("nmt_domain_close", nmt_domain_close(srv->domain));
	return NULL;
}

static void ask(struct nmt_stream *stream, int i)
{
	char request[8] = "0 please", answer;

	request[0] = (char)('0' + i % 10);
	check("nmt_send", nmt_send(stream, request, sizeof(request), 0));
	check("nmt_recv", nmt_recv(stream, &answer, 1, 0));
	if (answer != request[0]) {
		fprintf(stderr, "request %d: wrong answer\n", i);
		exit(1);
	}
}

int main(void)
{
	struct nmt_stream_attr attr = NMT_STREAM_ATTR_INIT;
	struct nmt_domain *domain;
	struct nmt_stream *stream;
	struct nmt_ctx *ctx;
	struct server srv;
	char addr[NMT_ADDR_MAX];
	pthread_t thread;

	attr.flags = NMT_STREAM_BLOCKING;
	attr.recv_timeout = INT64_C(10000000000); /* then -EAGAIN */
	check("nmt_ctx_open", nmt_ctx_open(NULL, &ctx));
	check("nmt_domain_open", nmt_domain_open(ctx, "tcp", NULL, &srv.domain));
	check("nmt_domain_open", nmt_domain_open(ctx, "tcp", NULL, &domain));
	check("nmt_listen", nmt_listen(srv.domain, "127.0.0.1:0", &attr, &srv.listener));
	check("nmt_listener_addr", nmt_listener_addr(srv.listener, addr, sizeof(addr)));
	/* The server's domain passes to its thread; pthread_create orders the two uses. */
	if (pthread_create(&thread, NULL, serve, &srv))
		return 1;
	check("nmt_connect", nmt_connect(domain, addr, &attr, &stream));
	for (int i = 0; i < REQUESTS; i++)
		ask(stream, i);
	check("nmt_domain_close", nmt_domain_close(domain));
	pthread_join(thread, NULL);
	check("nmt_ctx_close", nmt_ctx_close(ctx));
	printf("%d requests answered\n", REQUESTS);
	return 0;
}
