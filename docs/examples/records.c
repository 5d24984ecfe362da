/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Records: MSG_EOR marks where a message ends, and the receiver sees it there, however the bytes
 * were cut on the way. Needs negotiated mode. Both ends are in this process.
 *
 * run: "$EXAMPLES/records"
 */
#include <errno.h>
#include <nmt/nmt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct app {
	struct nmt_domain *domain;
	struct nmt_stream *client, *server;
	char record[64]; /* what has come of the current one */
	size_t have;
	int count, ended;
};

static const char *const message[] = { "first", "", "a record in two sends", "last" };

#define MESSAGES (int)(sizeof(message) / sizeof(message[0]))

static void check(const char *what, ssize_t rc)
{
	if (rc < 0) {
		fprintf(stderr, "%s: %s\n", what, nmt_strerror((int)rc));
		exit(1);
	}
}

/* So few bytes always fit into a fresh stream; see echo_client.c for what to do when they do not. */
static void send_all(struct app *app)
{
	for (int i = 0; i < MESSAGES; i++) {
		size_t len = strlen(message[i]), half = len / 2;

		check("nmt_send", nmt_send(app->client, message[i], half, MSG_MORE));
		check("nmt_send", nmt_send(app->client, message[i] + half, len - half, MSG_EOR));
	}
	check("nmt_shutdown", nmt_shutdown(app->client, SHUT_WR));
}

static void record_done(struct app *app)
{
	printf("record %d: \"%.*s\"\n", app->count, (int)app->have, app->record);
	if (app->count >= MESSAGES || app->have != strlen(message[app->count]) ||
	    memcmp(app->record, message[app->count], app->have)) {
		fprintf(stderr, "that is not what was sent\n");
		exit(1);
	}
	app->count++;
	app->have = 0;
}

/* A receive never goes past the end of a record. 0 bytes with MSG_EOR are an empty record or the
 * end of one whose bytes came before; 0 bytes without it are the end of the stream. */
static void receive(struct app *app)
{
	struct iovec iov = { .iov_base = app->record + app->have,
			     .iov_len = sizeof(app->record) - app->have };
	int flags;
	ssize_t n = nmt_recvmsg(app->server, &iov, 1, 0, &flags);

	if (n == -EAGAIN)
		return;
	check("nmt_recvmsg", n);
	app->have += (size_t)n;
	if (flags & MSG_EOR)
		record_done(app);
	else if (!n)
		app->ended = 1;
}

static void handle(struct app *app, const struct nmt_event *ev)
{
	switch (ev->type) {
	case NMT_EV_ACCEPT: /* one client is enough here */
		if (!app->server)
			check("nmt_accept", nmt_accept(ev->listener, NULL, &app->server));
		break;
	case NMT_EV_CONNECTED: /* comes on both sides once the handshake is over */
		if (ev->stream == app->client)
			send_all(app);
		break;
	case NMT_EV_READABLE:
		if (ev->stream == app->server)
			receive(app);
		break;
	case NMT_EV_ERROR:
		check("stream", ev->status);
	}
}

int main(void)
{
	struct nmt_stream_attr attr = NMT_STREAM_ATTR_INIT;
	struct nmt_listener *listener;
	struct app app = { 0 };
	struct nmt_event ev[16];
	struct nmt_ctx *ctx;
	char addr[NMT_ADDR_MAX];
	int n;

	attr.mode = NMT_MODE_NEGOTIATED;
	attr.flags = NMT_STREAM_RECORDS;
	check("nmt_ctx_open", nmt_ctx_open(NULL, &ctx));
	check("nmt_domain_open", nmt_domain_open(ctx, "tcp", NULL, &app.domain));
	check("nmt_listen", nmt_listen(app.domain, "127.0.0.1:0", &attr, &listener));
	check("nmt_listener_addr", nmt_listener_addr(listener, addr, sizeof(addr)));
	check("nmt_connect", nmt_connect(app.domain, addr, &attr, &app.client));
	while (!app.ended) {
		n = nmt_poll(app.domain, ev, 16, NMT_FOREVER);
		if (n != -EINTR) /* a signal, or SIGCONT after a stop: go on */
			check("nmt_poll", n);
		for (int i = 0; i < n; i++)
			handle(&app, &ev[i]);
	}
	check("nmt_domain_close", nmt_domain_close(app.domain));
	check("nmt_ctx_close", nmt_ctx_close(ctx));
	return app.count != MESSAGES;
}
