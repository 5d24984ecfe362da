/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * libnmt in somebody else's event loop: nmt_domain_arm gives one descriptor for the whole domain,
 * which an epoll loop watches beside its own (here a timer). Both ends are in this process; a ball
 * is passed between them 20 times, once a tick.
 *
 * run: "$EXAMPLES/epoll"
 */
#include <errno.h>
#include <nmt/nmt.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define ROUNDS 20
#define TICK_NS 2000000

struct app {
	struct nmt_domain *domain;
	struct nmt_stream *client, *server;
	int epfd, timerfd, domainfd;
	int thrown, returned;
};

static void check(const char *what, int rc)
{
	if (rc < 0) {
		fprintf(stderr, "%s: %s\n", what, nmt_strerror(rc));
		exit(1);
	}
}

static void watch(struct app *app, int fd)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.fd = fd };

	check("epoll_ctl", epoll_ctl(app->epfd, EPOLL_CTL_ADD, fd, &ev) ? -errno : 0);
}

static void tick(struct app *app)
{
	uint64_t n;

	if (read(app->timerfd, &n, sizeof(n)) != sizeof(n))
		return;
	if (!app->server || app->thrown == ROUNDS)
		return;
	check("nmt_send", (int)nmt_send(app->client, "o", 1, 0));
	app->thrown++;
}

static void readable(struct app *app, struct nmt_stream *stream)
{
	char ball;
	ssize_t n = nmt_recv(stream, &ball, 1, 0);

	if (n == -EAGAIN)
		return;
	check("nmt_recv", (int)n);
	if (stream == app->client)
		app->returned++;
	else if (n)
		check("nmt_send", (int)nmt_send(stream, &ball, 1, 0));
}

static void handle(struct app *app, const struct nmt_event *ev)
{
	if (ev->type == NMT_EV_ACCEPT && !app->server)
		check("nmt_accept", nmt_accept(ev->listener, NULL, &app->server));
	else if (ev->type == NMT_EV_READABLE)
		readable(app, ev->stream);
	else if (ev->type == NMT_EV_ERROR)
		check("stream", ev->status);
}

/* Take events until there are none, then arm: only then may the loop sleep on the descriptor. */
static void run_domain(struct app *app)
{
	struct nmt_event ev[16];
	int n, rc, fd;

	do {
		n = nmt_poll(app->domain, ev, 16, 0);
		check("nmt_poll", n);
		for (int i = 0; i < n; i++)
			handle(app, &ev[i]);
		rc = nmt_domain_arm(app->domain, &fd);
	} while (rc == -EAGAIN);
	check("nmt_domain_arm", rc);
	if (app->domainfd < 0)
		watch(app, app->domainfd = fd); /* it stays the same */
}

static void loop(struct app *app)
{
	struct epoll_event ev[8];
	int n;

	while (app->returned < ROUNDS) {
		run_domain(app); /* before each sleep: a tick may have sent something */
		n = epoll_wait(app->epfd, ev, 8, 5000);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			fprintf(stderr, "nothing for 5 seconds\n");
			exit(1);
		}
		for (int i = 0; i < n; i++)
			if (ev[i].data.fd == app->timerfd)
				tick(app);
	}
}

int main(void)
{
	struct itimerspec each = { .it_interval.tv_nsec = TICK_NS, .it_value.tv_nsec = TICK_NS };
	struct nmt_listener *listener;
	struct app app = { .domainfd = -1 };
	struct nmt_ctx *ctx;
	char addr[NMT_ADDR_MAX];

	app.epfd = epoll_create1(EPOLL_CLOEXEC);
	app.timerfd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (app.epfd < 0 || app.timerfd < 0 || timerfd_settime(app.timerfd, 0, &each, NULL))
		return 1;
	watch(&app, app.timerfd);
	check("nmt_ctx_open", nmt_ctx_open(NULL, &ctx));
	check("nmt_domain_open", nmt_domain_open(ctx, "tcp", NULL, &app.domain));
	check("nmt_listen", nmt_listen(app.domain, "127.0.0.1:0", NULL, &listener));
	check("nmt_listener_addr", nmt_listener_addr(listener, addr, sizeof(addr)));
	check("nmt_connect", nmt_connect(app.domain, addr, NULL, &app.client));
	loop(&app);
	printf("%d balls returned\n", app.returned);
	check("nmt_domain_close", nmt_domain_close(app.domain));
	check("nmt_ctx_close", nmt_ctx_close(ctx));
	close(app.timerfd);
	close(app.epfd);
	return 0;
}
