/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Name look-ups on a helper thread, so that a connect never resolves on the caller's time. The look-up is
 * shared by that thread and the one that asked; whoever lets go last frees it.
 */
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "internal.h"

struct nmti_lookup {
	struct nmti_hostport hp;
	struct nmti_addr addr[NMTI_ADDRS_MAX];
	int result;
	int fd;
	uint32_t refs; /* atomic */
};

static void lookup_put(struct nmti_lookup *l)
{
	if (__atomic_sub_fetch(&l->refs, 1, __ATOMIC_ACQ_REL))
		return;
	close(l->fd);
	free(l);
}

static void *lookup_run(void *arg)
{
	struct nmti_lookup *l = arg;
	uint64_t one = 1;

	l->result = nmti_addr_resolve(&l->hp, false, l->addr, NMTI_ADDRS_MAX);
	/* Cannot fail: the counter is 0 and the descriptor lives until the last reference. */
	if (write(l->fd, &one, sizeof(one)) < 0)
		abort();
	lookup_put(l);
	return NULL;
}

static int lookup_thread(struct nmti_lookup *l)
{
	sigset_t all, old;
	pthread_attr_t attr;
	pthread_t thread;
	int rc;

	rc = pthread_attr_init(&attr);
	if (rc)
		return -rc;
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	/* Signals are for the application's threads. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	rc = pthread_create(&thread, &attr, lookup_run, l);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attr);
	return -rc;
}

int nmti_lookup_start(const struct nmti_hostport *hp, struct nmti_lookup **out, int *fd)
{
	struct nmti_lookup *l = calloc(1, sizeof(*l));
	int rc;

	if (!l)
		return -ENOMEM;
	l->hp = *hp;
	l->refs = 2;
	l->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (l->fd < 0) {
		rc = -errno;
		free(l);
		return rc;
	}
	*fd = l->fd;
	rc = lookup_thread(l);
	if (rc) {
		close(l->fd);
		free(l);
		return rc;
	}
	*out = l;
	return 0;
}

int nmti_lookup_finish(struct nmti_lookup *l, struct nmti_addr *out, int max)
{
	uint64_t count;
	int n;

	if (read(l->fd, &count, sizeof(count)) < 0)
		return -EAGAIN;
	n = l->result < max ? l->result : max;
	if (n > 0)
		memcpy(out, l->addr, (size_t)n * sizeof(*out));
	lookup_put(l);
	return n;
}

void nmti_lookup_cancel(struct nmti_lookup *l)
{
	lookup_put(l);
}
