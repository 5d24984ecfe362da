/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Sends TEXT to an echo server, ends its direction, and prints what comes back until the other
 * direction ends too. Works with any TCP server that echoes. Run by echo_server.c.
 *
 * Usage: echo_client ADDRESS TEXT
 */
#include <errno.h>
#include <nmt/nmt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct client {
	struct nmt_stream *stream;
	const char *text;
	size_t len, sent, got;
	int ended;
};

static void check(const char *what, int rc)
{
	if (rc < 0) {
		fprintf(stderr, "echo_client: %s: %s\n", what, nmt_strerror(rc));
		exit(1);
	}
}

/* A send may take a part only; NMT_EV_WRITABLE tells when to go on. */
static void send_some(struct client *c)
{
	ssize_t n;

	if (c->sent == c->len)
		return;
	n = nmt_send(c->stream, c->text + c->sent, c->len - c->sent, 0);
	if (n == -EAGAIN)
		return;
	check("nmt_send", (int)n);
	c->sent += (size_t)n;
	if (c->sent == c->len)
		check("nmt_shutdown", nmt_shutdown(c->stream, SHUT_WR));
}

static void receive_some(struct client *c)
{
	char buf[4096];
	ssize_t n = nmt_recv(c->stream, buf, sizeof(buf), 0);

	if (n == -EAGAIN)
		return;
	check("nmt_recv", (int)n);
	fwrite(buf, 1, (size_t)n, stdout);
	c->got += (size_t)n;
	c->ended = n == 0;
}

static void handle(struct client *c, const struct nmt_event *ev)
{
	switch (ev->type) {
	case NMT_EV_CONNECTED:
	case NMT_EV_WRITABLE:
		send_some(c);
		break;
	case NMT_EV_READABLE:
		receive_some(c);
		break;
	case NMT_EV_ERROR: /* also how a connect fails */
		check("stream", ev->status);
	}
}

int main(int argc, char **argv)
{
	struct nmt_domain *domain;
	struct nmt_event ev[8];
	struct nmt_ctx *ctx;
	struct client c = { 0 };
	int n;

	if (argc != 3) {
		fprintf(stderr, "usage: echo_client ADDRESS TEXT\n");
		return 2;
	}
	c.text = argv[2];
	c.len = strlen(c.text);
	check("nmt_ctx_open", nmt_ctx_open(NULL, &ctx));
	check("nmt_domain_open", nmt_domain_open(ctx, "tcp", NULL, &domain));
	check("nmt_connect", nmt_connect(domain, argv[1], NULL, &c.stream));
	while (!c.ended) {
		n = nmt_poll(domain, ev, 8, NMT_FOREVER);
		if (n != -EINTR) /* a signal, or SIGCONT after a stop: go on */
			check("nmt_poll", n);
		for (int i = 0; i < n; i++)
			handle(&c, &ev[i]);
	}
	putchar('\n');
	check("nmt_domain_close", nmt_domain_close(domain));
	check("nmt_ctx_close", nmt_ctx_close(ctx));
	return c.got != c.len;
}
