/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A program of a user: built from the installed tree, in C and in C++. It listens, connects to
 * itself in the same domain, and moves one message.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <nmt/nmt.h>

#define SECOND INT64_C(1000000000)

static const char message[] = "straight into memory";

struct app {
	struct nmt_ctx *ctx;
	struct nmt_domain *domain;
	struct nmt_listener *listener;
	struct nmt_stream *client, *server;
	char got[sizeof(message)];
	size_t len;
};

static int check(const char *what, int rc)
{
	if (rc < 0)
		fprintf(stderr, "%s: %s\n", what, nmt_strerror(rc));
	return rc;
}

static int app_open(struct app *app)
{
	struct nmt_stream_attr attr = NMT_STREAM_ATTR_INIT;
	char addr[NMT_ADDR_MAX];

	if (check("nmt_ctx_open", nmt_ctx_open(NULL, &app->ctx)) ||
	    check("nmt_domain_open", nmt_domain_open(app->ctx, "tcp", NULL, &app->domain)) ||
	    check("nmt_listen", nmt_listen(app->domain, "127.0.0.1:0", &attr, &app->listener)) ||
	    check("nmt_listener_addr", nmt_listener_addr(app->listener, addr, sizeof(addr))))
		return -1;
	return check("nmt_connect", nmt_connect(app->domain, addr, &attr, &app->client));
}

/* One connection is expected; an event may come when it has been accepted already. */
static int app_accept(struct app *app)
{
	struct nmt_stream *stream;
	int rc = nmt_accept(app->listener, NULL, &stream);

	if (rc == -EAGAIN)
		return 0;
	app->server = stream;
	return check("nmt_accept", rc);
}

static int app_receive(struct app *app)
{
	ssize_t n = nmt_recv(app->server, app->got + app->len, sizeof(app->got) - app->len, 0);

	if (n == -EAGAIN)
		return 0;
	if (n <= 0)
		return check("nmt_recv", n ? (int)n : -EPIPE);
	app->len += (size_t)n;
	return 0;
}

static int app_event(struct app *app, const struct nmt_event *ev)
{
	switch (ev->type) {
	case NMT_EV_ACCEPT:
		return app_accept(app);
	case NMT_EV_CONNECTED:
		if (ev->stream != app->client)
			return 0;
		if (nmt_send(app->client, message, sizeof(message), 0) != sizeof(message))
			return check("nmt_send", -EIO);
		return 0;
	case NMT_EV_READABLE:
		return ev->stream == app->server ? app_receive(app) : 0;
	case NMT_EV_ERROR:
		return check("stream", ev->status);
	}
	return 0;
}

static int app_run(struct app *app)
{
	struct nmt_event ev[8];
	int i, n;

	while (app->len < sizeof(message)) {
		n = check("nmt_poll", nmt_poll(app->domain, ev, 8, 10 * SECOND));
		if (n <= 0)
			return -1;
		for (i = 0; i < n; i++)
			if (app_event(app, &ev[i]) < 0)
				return -1;
	}
	return memcmp(app->got, message, sizeof(message));
}

int main(void)
{
	struct app app;

	memset(&app, 0, sizeof(app));
	if (nmt_version() != NMT_VERSION) {
		fprintf(stderr, "header and library differ: %s\n", nmt_version_string());
		return 1;
	}
	if (app_open(&app) || app_run(&app))
		return 1;
	if (check("nmt_domain_close", nmt_domain_close(app.domain)) ||
	    check("nmt_ctx_close", nmt_ctx_close(app.ctx)))
		return 1;
	printf("libnmt %s: %s\n", nmt_version_string(), app.got);
	return 0;
}
