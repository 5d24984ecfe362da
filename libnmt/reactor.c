/* SPDX-License-Identifier: BSD-2-Clause */
/* What a domain waits for: descriptors (one epoll instance, edge-triggered) and deadlines (a heap). */
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "internal.h"

#define BATCH 256

struct batch {
	struct epoll_event ev[BATCH];
	int next, count; /* being dispatched */
};

int64_t nmti_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * NMTI_NSEC + ts.tv_nsec;
}

int64_t nmti_deadline(int64_t timeout)
{
	int64_t now;

	if (timeout < 0)
		return INT64_MAX;
	now = nmti_now();
	return timeout > INT64_MAX - now ? INT64_MAX : now + timeout;
}

/* ---- descriptors ---- */

/* Events that were collected but not dispatched yet must not reach freed memory. */
static void forget(struct nmt_domain *dom, int fd)
{
	struct batch *b = dom->ready_batch;

	for (int i = b->next; i < b->count; i++) {
		const struct nmti_source *src = b->ev[i].data.ptr;

		if (src && src->fd == fd)
			b->ev[i].data.ptr = NULL;
	}
}

int nmti_watch(struct nmt_domain *dom, struct nmti_source *src, uint32_t events)
{
	struct epoll_event ev = { .events = events | EPOLLET, .data.ptr = src };

	if (!epoll_ctl(dom->epfd, EPOLL_CTL_ADD, src->fd, &ev))
		return 0;
	if (errno == EEXIST && !epoll_ctl(dom->epfd, EPOLL_CTL_MOD, src->fd, &ev)) {
		forget(dom, src->fd);
		return 0;
	}
	return -errno;
}

void nmti_unwatch(struct nmt_domain *dom, struct nmti_source *src)
{
	epoll_ctl(dom->epfd, EPOLL_CTL_DEL, src->fd, NULL);
	forget(dom, src->fd);
}

static int to_ms(int64_t timeout)
{
	if (timeout < 0)
		return -1;
	return timeout > INT64_C(1000000000000) ? 1000000 : (int)((timeout + 999999) / 1000000);
}

static int wait_events(struct nmt_domain *dom, struct batch *b, int64_t timeout)
{
	struct timespec ts = { .tv_sec = timeout / NMTI_NSEC, .tv_nsec = timeout % NMTI_NSEC };
	int n;

	dom->stat.poll_syscalls++;
	if (timeout == 0)
		n = epoll_wait(dom->epfd, b->ev, BATCH, 0);
	else if (dom->whole_ms)
		n = epoll_wait(dom->epfd, b->ev, BATCH, to_ms(timeout));
	else
		n = epoll_pwait2(dom->epfd, b->ev, BATCH, timeout < 0 ? NULL : &ts, NULL);
	if (n < 0 && errno == ENOSYS && !dom->whole_ms) { /* before Linux 5.11 */
		dom->whole_ms = true;
		return wait_events(dom, b, timeout);
	}
	return n < 0 ? -errno : n;
}

int nmti_reactor_wait(struct nmt_domain *dom, int64_t timeout)
{
	struct batch *b = dom->ready_batch;
	int n = wait_events(dom, b, timeout);

	if (n < 0)
		return n;
	b->count = n;
	for (b->next = 0; b->next < b->count;) {
		struct epoll_event *ev = &b->ev[b->next++];
		struct nmti_source *src = ev->data.ptr;

		if (src)
			src->ready(src, ev->events);
	}
	b->count = 0;
	b->next = 0;
	return n;
}

/* ---- deadlines: a binary heap, slot 1 is due first ---- */

static void heap_put(struct nmti_heap *h, uint32_t slot, struct nmti_timer *t)
{
	h->slot[slot] = t;
	t->slot = slot;
}

static void heap_up(struct nmti_heap *h, uint32_t slot)
{
	struct nmti_timer *t = h->slot[slot];

	while (slot > 1 && h->slot[slot / 2]->at > t->at) {
		heap_put(h, slot, h->slot[slot / 2]);
		slot /= 2;
	}
	heap_put(h, slot, t);
}

static void heap_down(struct nmti_heap *h, uint32_t slot)
{
	struct nmti_timer *t = h->slot[slot];
	uint32_t child;

	while ((child = 2 * slot) <= h->count) {
		if (child < h->count && h->slot[child + 1]->at < h->slot[child]->at)
			child++;
		if (h->slot[child]->at >= t->at)
			break;
		heap_put(h, slot, h->slot[child]);
		slot = child;
	}
	heap_put(h, slot, t);
}

static int heap_grow(struct nmti_heap *h)
{
	uint32_t cap = h->cap ? 2 * h->cap : 64;
	struct nmti_timer **slot;

	if (h->count + 1 < h->cap)
		return 0;
	slot = realloc(h->slot, cap * sizeof(*slot));
	if (!slot)
		return -ENOMEM;
	h->slot = slot;
	h->cap = cap;
	return 0;
}

int nmti_timer_set(struct nmt_domain *dom, struct nmti_timer *t, int64_t at)
{
	struct nmti_heap *h = &dom->timers;
	int rc;

	nmti_timer_cancel(dom, t);
	if (at == INT64_MAX)
		return 0;
	rc = heap_grow(h);
	if (rc)
		return rc;
	t->at = at;
	heap_put(h, ++h->count, t);
	heap_up(h, t->slot);
	return 0;
}

void nmti_timer_cancel(struct nmt_domain *dom, struct nmti_timer *t)
{
	struct nmti_heap *h = &dom->timers;
	uint32_t slot = t->slot;
	struct nmti_timer *last;

	if (!slot)
		return;
	t->slot = 0;
	last = h->slot[h->count--];
	if (last == t)
		return;
	heap_put(h, slot, last);
	heap_up(h, slot);
	heap_down(h, last->slot);
}

int64_t nmti_timers_next(const struct nmt_domain *dom)
{
	return dom->timers.count ? dom->timers.slot[1]->at : INT64_MAX;
}

int nmti_timers_run(struct nmt_domain *dom)
{
	int64_t now;
	int n = 0;

	if (!dom->timers.count)
		return 0;
	now = nmti_now();
	while (dom->timers.count && dom->timers.slot[1]->at <= now) {
		struct nmti_timer *t = dom->timers.slot[1];

		nmti_timer_cancel(dom, t);
		t->fire(t);
		n++;
	}
	return n;
}

/* ---- set-up ---- */

static void timerfd_ready(struct nmti_source *src, uint32_t events)
{
	struct nmt_domain *dom = nmti_container(src, struct nmt_domain, timer_src);

	(void)events;
	dom->timerfd_at = 0;
}

/* Edge-triggered: each write to the eventfd is an edge, so it is never read. */
static void wake_ready(struct nmti_source *src, uint32_t events)
{
	struct nmt_domain *dom = nmti_container(src, struct nmt_domain, wake_src);

	(void)events;
	dom->woken = true;
}

int nmti_reactor_init(struct nmt_domain *dom)
{
	int rc;

	dom->ready_batch = calloc(1, sizeof(struct batch));
	if (!dom->ready_batch)
		return -ENOMEM;
	dom->epfd = epoll_create1(EPOLL_CLOEXEC);
	dom->timer_src.fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	dom->wake_src.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	dom->timer_src.ready = timerfd_ready;
	dom->wake_src.ready = wake_ready;
	if (dom->epfd < 0 || dom->timer_src.fd < 0 || dom->wake_src.fd < 0)
		return -errno;
	rc = nmti_watch(dom, &dom->timer_src, EPOLLIN);
	return rc ? rc : nmti_watch(dom, &dom->wake_src, EPOLLIN);
}

static void close_fd(int fd)
{
	if (fd >= 0)
		close(fd);
}

void nmti_reactor_fini(struct nmt_domain *dom)
{
	close_fd(dom->epfd);
	close_fd(dom->timer_src.fd);
	close_fd(dom->wake_src.fd);
	free(dom->ready_batch);
	free(dom->timers.slot);
}
