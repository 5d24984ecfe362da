/* SPDX-License-Identifier: BSD-2-Clause */
/* What a domain waits for: descriptors (one epoll instance, edge-triggered) and deadlines (a heap). */
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "internal.h"

#define BATCH 256

/* Clang's thread sanitizer does not know epoll_pwait2 and would sit in it through signals. */
#if defined(__SANITIZE_THREAD__)
#define NO_PWAIT2 true
#elif defined(__has_feature)
#define NO_PWAIT2 __has_feature(thread_sanitizer)
#else
#define NO_PWAIT2 false
#endif

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

/*
 * The kernel is given (generation, descriptor), not a pointer: an event of a descriptor that was
 * closed, or passed on, since it was collected finds the slot empty or changed, and is dropped.
 */
struct slot {
	struct nmti_source *src; /* NULL: not watched */
	uint32_t gen;
	uint32_t mask;           /* what epoll was asked for */
	uint32_t seen;           /* reported since it was watched, for the next owner */
	bool replay;
};

static uint64_t tag_of(const struct nmt_domain *dom, int fd)
{
	return (uint64_t)dom->slots[fd].gen << 32 | (uint32_t)fd;
}

static int slots_grow(struct nmt_domain *dom, int fd)
{
	uint32_t count = dom->nslots ? dom->nslots : 64;
	struct slot *slots;

	if ((uint32_t)fd < dom->nslots)
		return 0;
	while (count <= (uint32_t)fd)
		count *= 2;
	slots = realloc(dom->slots, count * sizeof(*slots));
	if (!slots)
		return -ENOMEM;
	memset(slots + dom->nslots, 0, (count - dom->nslots) * sizeof(*slots));
	dom->slots = slots;
	dom->nslots = count;
	return 0;
}

/* The new owner hears what the old one heard: edges do not come twice. */
static int hand_over(struct nmt_domain *dom, struct slot *slot, struct nmti_source *src)
{
	slot->src = src;
	if (!slot->seen || slot->replay)
		return 0;
	if (dom->nreplay == ARRAY_LEN(dom->replay))
		return -ENOBUFS;
	dom->replay[dom->nreplay++] = src->fd;
	slot->replay = true;
	return 0;
}

/* The slot of its descriptor is there. MASK: events, and how they are told. */
static int ask_kernel(struct nmt_domain *dom, struct nmti_source *src, uint32_t mask)
{
	struct slot *slot = &dom->slots[src->fd];
	struct epoll_event ev = { .events = mask };

	slot->gen++;
	ev.data.u64 = tag_of(dom, src->fd);
	if (epoll_ctl(dom->epfd, slot->src ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, src->fd, &ev))
		return -errno;
	slot->src = src;
	slot->mask = mask;
	slot->seen = 0;
	return 0;
}

int nmti_watch(struct nmt_domain *dom, struct nmti_source *src, uint32_t events)
{
	uint32_t mask = events | EPOLLET;
	struct slot *slot;

	if (slots_grow(dom, src->fd))
		return -ENOMEM;
	slot = &dom->slots[src->fd];
	if (slot->src && slot->mask == mask && !hand_over(dom, slot, src))
		return 0;
	return ask_kernel(dom, src, mask);
}

int nmti_watch_once(struct nmt_domain *dom, struct nmti_source *src, uint32_t events)
{
	return slots_grow(dom, src->fd) ? -ENOMEM : ask_kernel(dom, src, events | EPOLLONESHOT);
}

void nmti_unwatch(struct nmt_domain *dom, struct nmti_source *src)
{
	nmti_forget(dom, src);
	epoll_ctl(dom->epfd, EPOLL_CTL_DEL, src->fd, NULL);
}

void nmti_forget(struct nmt_domain *dom, struct nmti_source *src)
{
	nmti_forget_fd(dom, src->fd);
}

void nmti_drained(struct nmt_domain *dom, const struct nmti_source *src)
{
	dom->slots[src->fd].seen &= ~(uint32_t)EPOLLIN;
}

void nmti_forget_fd(struct nmt_domain *dom, int fd)
{
	struct slot *slot;

	if ((uint32_t)fd >= dom->nslots) /* never watched */
		return;
	slot = &dom->slots[fd];
	slot->src = NULL;
	slot->seen = 0;
	slot->gen++;
}

/* True: it was a bell. */
static bool dispatch(struct nmt_domain *dom, uint64_t tag, uint32_t events)
{
	struct slot *slot = &dom->slots[(uint32_t)tag];
	bool bell;

	if (!slot->src || slot->gen != tag >> 32)
		return false;
	bell = slot->src->bell;
	slot->seen |= events;
	slot->src->ready(slot->src, events); /* may free the source */
	return bell;
}

static void run_replay(struct nmt_domain *dom)
{
	while (dom->nreplay) {
		int fd = dom->replay[--dom->nreplay];
		struct slot *slot = &dom->slots[fd];

		slot->replay = false;
		if (slot->src && slot->seen)
			slot->src->ready(slot->src, slot->seen);
	}
}

static int to_ms(int64_t timeout)
{
	if (timeout < 0)
		return -1;
	return timeout > INT64_C(1000000000000) ? 1000000 : (int)((timeout + 999999) / 1000000);
}

/* A look without waiting is no cancellation point, which would cost as much as the look. */
static int look(int epfd, struct epoll_event *ev)
{
	return (int)syscall(SYS_epoll_pwait, epfd, ev, BATCH, 0, NULL, (size_t)0);
}

static int wait_events(struct nmt_domain *dom, struct epoll_event *ev, int64_t timeout)
{
	struct timespec ts = { .tv_sec = timeout / NMTI_NSEC, .tv_nsec = timeout % NMTI_NSEC };
	int n;

	dom->stat.poll_syscalls++;
	if (timeout == 0)
		n = look(dom->epfd, ev);
	else if (dom->whole_ms)
		n = epoll_wait(dom->epfd, ev, BATCH, to_ms(timeout));
	else
		n = epoll_pwait2(dom->epfd, ev, BATCH, timeout < 0 ? NULL : &ts, NULL);
	if (n < 0 && errno == ENOSYS && !dom->whole_ms) { /* before Linux 5.11 */
		dom->whole_ms = true;
		return wait_events(dom, ev, timeout);
	}
	return n < 0 ? -errno : n;
}

int nmti_reactor_wait(struct nmt_domain *dom, int64_t timeout)
{
	struct epoll_event ev[BATCH];
	int n = wait_events(dom, ev, dom->nreplay ? 0 : timeout), bells = 0;

	if (n < 0)
		return n;
	for (int i = 0; i < n; i++) /* thousands of sources do not fit into the nearest cache */
		__builtin_prefetch(dom->slots[(uint32_t)ev[i].data.u64].src);
	run_replay(dom);
	for (int i = 0; i < n; i++)
		bells += dispatch(dom, ev[i].data.u64, ev[i].events);
	return n - bells;
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

	struct nmti_list *node;

	(void)events;
	dom->woken = true;
	for (node = dom->listeners.next; node != &dom->listeners; node = node->next)
		nmti_listener_woken(nmti_container(node, struct nmt_listener, node));
}

int nmti_reactor_init(struct nmt_domain *dom)
{
	int rc;

	dom->whole_ms = NO_PWAIT2;
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
	free(dom->slots);
	free(dom->timers.slot);
}
