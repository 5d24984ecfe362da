/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Placed receives: the receiver says where the bytes go before they come. Its stream is in posted
 * mode, so that nothing ever lands anywhere else; four receives are kept posted. Both ends are in
 * this process.
 *
 * run: "$EXAMPLES/posted"
 */
#include <errno.h>
#include <nmt/nmt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TOTAL (8u << 20)
#define BLOCK (1u << 20)
#define POSTS 4

struct app {
	struct nmt_domain *domain;
	struct nmt_stream *client, *server;
	struct nmt_mr *from, *to;
	uint32_t posted;   /* bytes of TO for which a receive was posted */
	uint32_t received; /* bytes that arrived */
	int ended;
};

static void check(const char *what, int rc)
{
	if (rc < 0) {
		fprintf(stderr, "%s: %s\n", what, nmt_strerror(rc));
		exit(1);
	}
}

static void post(struct app *app)
{
	if (app->posted == TOTAL)
		return;
	check("nmt_recv_into",
	      nmt_recv_into(app->server, app->to, app->posted, BLOCK, 0, app->posted));
	app->posted += BLOCK;
}

static void accepted(struct app *app, struct nmt_listener *listener)
{
	check("nmt_accept", nmt_accept(listener, NULL, &app->server));
	for (int i = 0; i < POSTS; i++)
		post(app);
}

static void send_all(struct app *app)
{
	struct nmt_frag frag = { .mr = app->from, .len = TOTAL };

	check("nmt_send_mr", nmt_send_mr(app->client, &frag, 1, 0, 0));
	check("nmt_shutdown", nmt_shutdown(app->client, SHUT_WR));
}

/* COOKIE is the offset that was posted. The stream's end completes what is still posted. */
static void received(struct app *app, const struct nmt_event *ev)
{
	check("receive", ev->status);
	printf("%7llu bytes at offset %llu%s\n", (unsigned long long)ev->len,
	       (unsigned long long)ev->cookie, ev->flags & NMT_EVF_EOF ? ", end" : "");
	app->received += (uint32_t)ev->len;
	if (ev->flags & NMT_EVF_EOF || app->received == TOTAL)
		app->ended = 1;
	else
		post(app);
}

static void handle(struct app *app, const struct nmt_event *ev)
{
	switch (ev->type) {
	case NMT_EV_ACCEPT: /* one client is enough here */
		if (!app->server)
			accepted(app, ev->listener);
		break;
	case NMT_EV_CONNECTED:
		if (ev->stream == app->client)
			send_all(app);
		break;
	case NMT_EV_RECEIVED:
		received(app, ev);
		break;
	case NMT_EV_ERROR:
		check("stream", ev->status);
	}
}

static void app_open(struct app *app, struct nmt_ctx *ctx)
{
	struct nmt_stream_attr attr = NMT_STREAM_ATTR_INIT;
	struct nmt_listener *listener;
	char addr[NMT_ADDR_MAX];

	check("nmt_domain_open", nmt_domain_open(ctx, "tcp", NULL, &app->domain));
	check("nmt_mr_alloc", nmt_mr_alloc(ctx, NMT_MEM_HOST, TOTAL, NMT_ACCESS_SEND, &app->from));
	check("nmt_mr_alloc", nmt_mr_alloc(ctx, NMT_MEM_HOST, TOTAL, NMT_ACCESS_RECV, &app->to));
	for (uint32_t i = 0; i < TOTAL; i++)
		((unsigned char *)nmt_mr_addr(app->from))[i] = (unsigned char)(i >> 8);
	attr.recv_mode = NMT_RECV_POSTED; /* of the accepted streams */
	check("nmt_listen", nmt_listen(app->domain, "127.0.0.1:0", &attr, &listener));
	check("nmt_listener_addr", nmt_listener_addr(listener, addr, sizeof(addr)));
	check("nmt_connect", nmt_connect(app->domain, addr, NULL, &app->client));
}

int main(void)
{
	struct app app = { 0 };
	struct nmt_event ev[16];
	struct nmt_ctx *ctx;
	int n, same;

	check("nmt_ctx_open", nmt_ctx_open(NULL, &ctx));
	app_open(&app, ctx);
	while (!app.ended) {
		n = nmt_poll(app.domain, ev, 16, NMT_FOREVER);
		if (n != -EINTR) /* a signal, or SIGCONT after a stop: go on */
			check("nmt_poll", n);
		for (int i = 0; i < n; i++)
			handle(&app, &ev[i]);
	}
	same = !memcmp(nmt_mr_addr(app.from), nmt_mr_addr(app.to), TOTAL);
	check("nmt_domain_close", nmt_domain_close(app.domain));
	check("nmt_mr_close", nmt_mr_close(app.from));
	check("nmt_mr_close", nmt_mr_close(app.to));
	check("nmt_ctx_close", nmt_ctx_close(ctx));
	return app.received == TOTAL && same ? 0 : 1;
}
