/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The program of nmt(7): 8 MiB through a negotiated stream, borrowed from a memory region on one
 * side and lent as fragments on the other. Both ends are in this process.
 *
 * run: "$EXAMPLES/overview"
 */
#include <errno.h>
#include <nmt/nmt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TOTAL (8u << 20)

struct app {
	struct nmt_ctx *ctx;
	struct nmt_domain *domain;
	struct nmt_listener *listener;
	struct nmt_stream *client, *server;
	struct nmt_mr *mr;
	size_t received;
	int done;
};

static void check(const char *what, int rc)
{
	if (rc < 0) {
		fprintf(stderr, "%s: %s\n", what, nmt_strerror(rc));
		exit(1);
	}
}

static void app_open(struct app *app)
{
	char addr[NMT_ADDR_MAX];

	check("nmt_ctx_open", nmt_ctx_open(NULL, &app->ctx));
	check("nmt_domain_open", nmt_domain_open(app->ctx, "auto", NULL, &app->domain));
	check("nmt_mr_alloc",
	      nmt_mr_alloc(app->ctx, NMT_MEM_HOST, TOTAL, NMT_ACCESS_SEND, &app->mr));
	memset(nmt_mr_addr(app->mr), 'x', TOTAL);
	check("nmt_listen", nmt_listen(app->domain, "127.0.0.1:0", NULL, &app->listener));
	check("nmt_listener_addr", nmt_listener_addr(app->listener, addr, sizeof(addr)));
	check("nmt_connect", nmt_connect(app->domain, addr, NULL, &app->client));
}

/* The memory is the stream's until NMT_EV_SENT with this cookie. */
static void send_all(struct app *app)
{
	struct nmt_frag frag = { .mr = app->mr, .len = TOTAL };

	check("nmt_send_mr", nmt_send_mr(app->client, &frag, 1, 0, 42));
	check("nmt_shutdown", nmt_shutdown(app->client, SHUT_WR));
}

/* What was lent is ours to read until it is released; releasing it lets the sender go on. */
static void receive(struct app *app)
{
	struct nmt_frag frag[16];
	int n = nmt_recv_frags(app->server, frag, 16, 0);

	if (n == -EAGAIN)
		return;
	check("nmt_recv_frags", n);
	for (int i = 0; i < n; i++)
		app->received += frag[i].len;
	if (n)
		check("nmt_release", nmt_release(app->server, frag, n));
	else
		app->done = 1;
}

static void handle(struct app *app, const struct nmt_event *ev)
{
	switch (ev->type) {
	case NMT_EV_ACCEPT: /* one client is enough here */
		if (!app->server)
			check("nmt_accept", nmt_accept(ev->listener, NULL, &app->server));
		break;
	case NMT_EV_CONNECTED:
		if (ev->stream == app->client)
			send_all(app);
		break;
	case NMT_EV_READABLE:
		if (ev->stream == app->server)
			receive(app);
		break;
	case NMT_EV_SENT:
		check("sending", ev->status);
		printf("the memory of send %d is ours again\n", (int)ev->cookie);
		break;
	case NMT_EV_ERROR:
		check("stream", ev->status);
	}
}

int main(void)
{
	struct nmt_event ev[16];
	struct app app = { 0 };
	int n;

	app_open(&app);
	while (!app.done) {
		n = nmt_poll(app.domain, ev, 16, NMT_FOREVER);
		if (n != -EINTR) /* a signal, or SIGCONT after a stop: go on */
			check("nmt_poll", n);
		for (int i = 0; i < n; i++)
			handle(&app, &ev[i]);
	}
	printf("%zu bytes received\n", app.received);
	check("nmt_domain_close", nmt_domain_close(app.domain));
	check("nmt_mr_close", nmt_mr_close(app.mr));
	check("nmt_ctx_close", nmt_ctx_close(app.ctx));
	return app.received != TOTAL;
}
