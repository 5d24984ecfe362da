/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An echo server in one event loop. It prints its address, then serves any TCP client (nc, curl,
 * echo_client) until COUNT streams have ended; without COUNT for ever.
 *
 * Usage: echo_server [ADDRESS [COUNT]]
 *
 * run: mkfifo addr; "$EXAMPLES/echo_server" 127.0.0.1:0 2 >addr & read -r a <addr; "$EXAMPLES/echo_client" "$a" one; "$EXAMPLES/echo_client" "$a" two; wait $!
 */
#include <errno.h>
#include <nmt/nmt.h>
#include <stdio.h>
#include <stdlib.h>

/* Bytes [sent, have) were received and not sent back yet. */
struct conn {
	size_t sent, have;
	char buf[65536];
};

static void check(const char *what, int rc)
{
	if (rc < 0) {
		fprintf(stderr, "echo_server: %s: %s\n", what, nmt_strerror(rc));
		exit(1);
	}
}

/*
 * One receive and one send an event: READABLE comes again while bytes are left, WRITABLE after a
 * send that found no room, so other streams get their turn in between.
 */
static void echo(struct nmt_stream *stream, struct conn *c)
{
	ssize_t n;

	if (c->sent == c->have) {
		n = nmt_recv(stream, c->buf, sizeof(c->buf), 0);
		if (n == -EAGAIN)
			return;
		if (n <= 0) { /* the end, or broken: what was sent is still delivered */
			nmt_close(stream);
			return;
		}
		c->have = (size_t)n;
		c->sent = 0;
	}
	n = nmt_send(stream, c->buf + c->sent, c->have - c->sent, 0);
	if (n > 0)
		c->sent += (size_t)n;
	else if (n != -EAGAIN)
		nmt_close(stream);
}

static void accept_all(struct nmt_listener *listener)
{
	struct nmt_stream *stream;
	struct conn *c;

	while (!nmt_accept(listener, NULL, &stream)) {
		c = calloc(1, sizeof(*c));
		if (c)
			nmt_stream_set_user(stream, c);
		else
			nmt_abort(stream);
	}
}

/* Returns 1 when a stream has ended. */
static int handle(const struct nmt_event *ev)
{
	switch (ev->type) {
	case NMT_EV_ACCEPT:
		accept_all(ev->listener);
		return 0;
	case NMT_EV_READABLE:
	case NMT_EV_WRITABLE:
		echo(ev->stream, ev->user);
		return 0;
	case NMT_EV_ERROR:
		nmt_close(ev->stream);
		return 0;
	case NMT_EV_CLOSED: /* the last event: nothing refers to the stream any more */
		free(ev->user);
		return 1;
	}
	return 0;
}

int main(int argc, char **argv)
{
	const char *where = argc > 1 ? argv[1] : ":0";
	long left = argc > 2 ? atol(argv[2]) : -1;
	struct nmt_listener *listener;
	struct nmt_domain *domain;
	struct nmt_event ev[64];
	struct nmt_ctx *ctx;
	char addr[NMT_ADDR_MAX];
	int n;

	check("nmt_ctx_open", nmt_ctx_open(NULL, &ctx));
	check("nmt_domain_open", nmt_domain_open(ctx, "tcp", NULL, &domain));
	check("nmt_listen", nmt_listen(domain, where, NULL, &listener));
	check("nmt_listener_addr", nmt_listener_addr(listener, addr, sizeof(addr)));
	puts(addr);
	fflush(stdout);
	while (left) {
		n = nmt_poll(domain, ev, 64, NMT_FOREVER);
		if (n != -EINTR) /* a signal, or SIGCONT after a stop: go on */
			check("nmt_poll", n);
		for (int i = 0; i < n; i++)
			if (handle(&ev[i]) && left > 0)
				left--;
	}
	check("nmt_domain_close", nmt_domain_close(domain));
	check("nmt_ctx_close", nmt_ctx_close(ctx));
	return 0;
}
