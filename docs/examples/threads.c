/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How libnmt scales: a thread, a domain and a listener each, all on one port. The kernel shards the
 * connections (SO_REUSEPORT); threads share nothing but the context, and take no locks. Four
 * threads echo; the main thread connects 64 streams and sends a word over each.
 *
 * run: "$EXAMPLES/threads"
 */
#include <errno.h>
#include <nmt/nmt.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#define THREADS 4
#define STREAMS 64

struct worker {
	struct nmt_domain *domain;
	struct nmt_listener *listener;
	pthread_t thread;
	atomic_bool stop;
	int accepted;
};

static void check(const char *what, int rc)
{
	if (rc < 0) {
		fprintf(stderr, "%s: %s\n", what, nmt_strerror(rc));
		exit(1);
	}
}

/* ---- a worker ---- */

static void accept_all(struct worker *w)
{
	struct nmt_stream *stream;

	while (!nmt_accept(w->listener, NULL, &stream))
		w->accepted++;
}

static void echo(struct nmt_stream *stream)
{
	char buf[64];
	ssize_t n = nmt_recv(stream, buf, sizeof(buf), 0);

	if (n == -EAGAIN)
		return;
	/* A few bytes a stream: there is always room for the answer. */
	if (n <= 0 || nmt_send(stream, buf, (size_t)n, 0) != n)
		nmt_close(stream);
}

static void *work(void *arg)
{
	struct worker *w = arg;
	struct nmt_event ev[32];
	int n;

	while (!atomic_load(&w->stop)) {
		n = nmt_poll(w->domain, ev, 32, NMT_FOREVER); /* nmt_wake ends it */
		if (n != -EINTR) /* a signal, or SIGCONT after a stop: go on */
			check("nmt_poll", n);
		for (int i = 0; i < n; i++) {
			if (ev[i].type == NMT_EV_ACCEPT)
				accept_all(w);
			else if (ev[i].type == NMT_EV_READABLE)
				echo(ev[i].stream);
			else if (ev[i].type == NMT_EV_ERROR)
				nmt_close(ev[i].stream);
		}
	}
	return NULL;
}

/* ADDR: in, where to listen; out, the port that the first worker got. */
static void worker_start(struct worker *w, struct nmt_ctx *ctx, char addr[NMT_ADDR_MAX])
{
	struct nmt_stream_attr attr = NMT_STREAM_ATTR_INIT;

	attr.flags = NMT_STREAM_REUSEPORT;
	check("nmt_domain_open", nmt_domain_open(ctx, "tcp", NULL, &w->domain));
	check("nmt_listen", nmt_listen(w->domain, addr, &attr, &w->listener));
	check("nmt_listener_addr", nmt_listener_addr(w->listener, addr, NMT_ADDR_MAX));
	if (pthread_create(&w->thread, NULL, work, w))
		exit(1);
}

static void worker_stop(struct worker *w)
{
	atomic_store(&w->stop, true);
	nmt_wake(w->domain); /* the one call that may come from another thread */
	pthread_join(w->thread, NULL);
	/* Closed here, not by the worker: it might be gone before nmt_wake. */
	check("nmt_domain_close", nmt_domain_close(w->domain));
	printf("a worker had %d streams\n", w->accepted);
}

/* ---- the client ---- */

static void use_stream(struct nmt_domain *domain, const char *addr)
{
	struct nmt_stream_attr attr = NMT_STREAM_ATTR_INIT;
	struct nmt_stream *stream;
	struct nmt_event ev;
	char answer[4];

	attr.flags = NMT_STREAM_BLOCKING;
	check("nmt_connect", nmt_connect(domain, addr, &attr, &stream));
	check("nmt_send", (int)nmt_send(stream, "word", 4, 0));
	if (nmt_recv(stream, answer, sizeof(answer), MSG_WAITALL) != sizeof(answer)) {
		fprintf(stderr, "no answer\n");
		exit(1);
	}
	nmt_close(stream);
	do /* the stream's memory is freed with its last event */
		check("nmt_poll", nmt_poll(domain, &ev, 1, NMT_FOREVER));
	while (ev.type != NMT_EV_CLOSED);
}

int main(void)
{
	struct worker worker[THREADS] = { 0 };
	char addr[NMT_ADDR_MAX] = "127.0.0.1:0";
	struct nmt_domain *domain;
	struct nmt_ctx *ctx;
	int sum = 0;

	check("nmt_ctx_open", nmt_ctx_open(NULL, &ctx));
	for (int i = 0; i < THREADS; i++)
		worker_start(&worker[i], ctx, addr);
	check("nmt_domain_open", nmt_domain_open(ctx, "tcp", NULL, &domain));
	for (int i = 0; i < STREAMS; i++)
		use_stream(domain, addr);
	check("nmt_domain_close", nmt_domain_close(domain));
	for (int i = 0; i < THREADS; i++) {
		worker_stop(&worker[i]);
		sum += worker[i].accepted;
	}
	check("nmt_ctx_close", nmt_ctx_close(ctx));
	return sum != STREAMS;
}
