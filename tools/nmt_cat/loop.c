/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The event loop. Signals are blocked and read from a signalfd, so that there is no handler and
 * no race between a look at a flag and the sleep.
 */
#include "loop.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

/* Turns between looks at signals while the loop never sleeps. */
#define SIGNAL_TURNS 64

int loop_init(struct loop *l, struct nmt_domain *domain, int64_t spin, const uint32_t *log_errors)
{
	sigset_t set;

	memset(l, 0, sizeof(*l));
	l->domain = domain;
	l->spin = spin;
	l->log_errors = log_errors;
	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	l->sigfd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	return l->sigfd < 0 ? -errno : 0;
}

void loop_close(struct loop *l)
{
	close(l->sigfd);
	l->sigfd = -1;
}

static bool took_signal(struct loop *l)
{
	struct signalfd_siginfo info;

	l->turns = 0;
	if (read(l->sigfd, &info, sizeof(info)) == (ssize_t)sizeof(info))
		l->signal = (int)info.ssi_signo;
	return l->signal != 0;
}

static int take_events(struct loop *l, struct nmt_event *events, int max, int64_t timeout)
{
	int n = nmt_poll(l->domain, events, max, timeout);

	return n == -EINTR ? 0 : n;
}

int loop_look(struct loop *l, struct nmt_event *events, int max)
{
	if (++l->turns >= SIGNAL_TURNS && took_signal(l))
		return -EINTR;
	return take_events(l, events, max, 0);
}

static int sleep_on(struct pollfd *fds, nfds_t n, int64_t timeout)
{
	struct timespec ts = { timeout / 1000000000, timeout % 1000000000 };
	int r = ppoll(fds, n, timeout < 0 ? NULL : &ts, NULL);

	return r < 0 && errno != EINTR ? -errno : 0;
}

int loop_wait(struct loop *l, struct nmt_event *events, int max, int in_fd, int out_fd,
	      int64_t timeout)
{
	struct pollfd fds[4] = {
		{ .fd = -1, .events = POLLIN },
		{ .fd = l->sigfd, .events = POLLIN },
		{ .fd = in_fd, .events = POLLIN },
		{ .fd = out_fd, .events = POLLOUT },
	};
	int n = take_events(l, events, max, timeout >= 0 && timeout < l->spin ? timeout : l->spin);

	if (n != 0)
		return n;
	n = nmt_domain_arm(l->domain, &fds[0].fd);
	if (n == -EAGAIN)
		return loop_look(l, events, max);
	if (n == 0)
		n = sleep_on(fds, 4, timeout);
	if (n < 0)
		return n;
	if ((fds[1].revents & POLLIN) && took_signal(l))
		return -EINTR;
	return loop_look(l, events, max);
}
