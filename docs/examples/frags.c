/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A relay without copies: what arrives is lent by nmt_recv_frags, sent back out of the same memory
 * by nmt_send_mr, and released when NMT_EV_SENT gives it back. The client sends 16 MiB of numbers
 * and checks that they return. Both ends are in this process.
 *
 * run: "$EXAMPLES/frags"
 */
#include <errno.h>
#include <nmt/nmt.h>
#include <stdio.h>
#include <stdlib.h>

#define TOTAL (16u << 20)
#define PIECE (256u << 10) /* of the client's sends */
#define SLOTS 64	   /* loans that the relay has on their way at most */

struct app {
	struct nmt_domain *domain;
	struct nmt_stream *client, *relay;
	struct nmt_mr *mr; /* what the client sends */
	uint32_t sent, received;
	struct nmt_frag loan[SLOTS];
	uint64_t taken, given; /* loans taken and given back so far */
	int relay_ended, done;
};

static void check(const char *what, int rc)
{
	if (rc < 0) {
		fprintf(stderr, "%s: %s\n", what, nmt_strerror(rc));
		exit(1);
	}
}

/* ---- the relay ---- */

static void relay_forward(struct app *app)
{
	struct nmt_frag *loan;
	int n;

	while (app->taken - app->given < SLOTS && !app->relay_ended) {
		loan = &app->loan[app->taken % SLOTS];
		n = nmt_recv_frags(app->relay, loan, 1, 0);
		if (n == -EAGAIN || n == -ENOBUFS)
			return; /* -ENOBUFS: bytes wait, but so many are lent already */
		check("nmt_recv_frags", n);
		if (n) {
			check("nmt_send_mr", nmt_send_mr(app->relay, loan, 1, 0, app->taken++));
		} else {
			app->relay_ended = 1;
			check("nmt_shutdown", nmt_shutdown(app->relay, SHUT_WR));
		}
	}
}

/* Borrows come back in order, so the oldest loan is the one that is free. */
static void relay_sent(struct app *app, const struct nmt_event *ev)
{
	check("relay", ev->status);
	check("nmt_release", nmt_release(app->relay, &app->loan[ev->cookie % SLOTS], 1));
	app->given++;
	relay_forward(app);
}

/* ---- the client ---- */

static void client_send(struct app *app)
{
	while (app->sent < TOTAL) {
		struct nmt_frag frag = { .mr = app->mr, .offset = app->sent, .len = PIECE };
		int rc = nmt_send_mr(app->client, &frag, 1, 0, 0);

		if (rc == -EAGAIN)
			return; /* attr.send_depth are in flight: NMT_EV_WRITABLE or a SENT */
		check("nmt_send_mr", rc);
		app->sent += PIECE;
		if (app->sent == TOTAL)
			check("nmt_shutdown", nmt_shutdown(app->client, SHUT_WR));
	}
}

/* Byte I of the stream is byte I of the region; runs may have any length. */
static void client_verify(struct app *app, const struct nmt_frag *frag)
{
	const unsigned char *got = (const unsigned char *)nmt_mr_addr(frag->mr) + frag->offset;
	const unsigned char *want = (const unsigned char *)nmt_mr_addr(app->mr) + app->received;

	for (uint32_t i = 0; i < frag->len; i++) {
		if (got[i] != want[i]) {
			fprintf(stderr, "byte %u came back wrong\n", app->received + i);
			exit(1);
		}
	}
	app->received += frag->len;
}

static void client_receive(struct app *app)
{
	struct nmt_frag frag[16];
	int n = nmt_recv_frags(app->client, frag, 16, 0);

	if (n == -EAGAIN)
		return;
	check("nmt_recv_frags", n);
	for (int i = 0; i < n; i++)
		client_verify(app, &frag[i]);
	if (n)
		check("nmt_release", nmt_release(app->client, frag, n));
	else
		app->done = 1;
}

/* ---- events ---- */

static void handle(struct app *app, const struct nmt_event *ev)
{
	int client = ev->stream == app->client;

	switch (ev->type) {
	case NMT_EV_ACCEPT: /* one client is enough here */
		if (!app->relay)
			check("nmt_accept", nmt_accept(ev->listener, NULL, &app->relay));
		break;
	case NMT_EV_CONNECTED:
	case NMT_EV_WRITABLE:
		if (client)
			client_send(app);
		break;
	case NMT_EV_READABLE:
		if (client)
			client_receive(app);
		else
			relay_forward(app);
		break;
	case NMT_EV_SENT:
		if (client)
			client_send(app);
		else
			relay_sent(app, ev);
		break;
	case NMT_EV_ERROR:
		check("stream", ev->status);
	}
}

static void fill(struct nmt_mr *mr)
{
	uint32_t *word = nmt_mr_addr(mr);

	for (uint32_t i = 0; i < TOTAL / sizeof(*word); i++)
		word[i] = i;
}

int main(void)
{
	struct nmt_listener *listener;
	struct app app = { 0 };
	struct nmt_event ev[32];
	struct nmt_ctx *ctx;
	char addr[NMT_ADDR_MAX];
	int n;

	check("nmt_ctx_open", nmt_ctx_open(NULL, &ctx));
	check("nmt_domain_open", nmt_domain_open(ctx, "tcp", NULL, &app.domain));
	check("nmt_mr_alloc", nmt_mr_alloc(ctx, NMT_MEM_HOST, TOTAL, NMT_ACCESS_SEND, &app.mr));
	fill(app.mr);
	check("nmt_listen", nmt_listen(app.domain, "127.0.0.1:0", NULL, &listener));
	check("nmt_listener_addr", nmt_listener_addr(listener, addr, sizeof(addr)));
	check("nmt_connect", nmt_connect(app.domain, addr, NULL, &app.client));
	while (!app.done) {
		n = nmt_poll(app.domain, ev, 32, NMT_FOREVER);
		if (n != -EINTR) /* a signal, or SIGCONT after a stop: go on */
			check("nmt_poll", n);
		for (int i = 0; i < n; i++)
			handle(&app, &ev[i]);
	}
	printf("%u bytes went there and back in %llu loans\n", app.received,
	       (unsigned long long)app.given);
	check("nmt_domain_close", nmt_domain_close(app.domain));
	check("nmt_mr_close", nmt_mr_close(app.mr));
	check("nmt_ctx_close", nmt_ctx_close(ctx));
	return app.received != TOTAL;
}
