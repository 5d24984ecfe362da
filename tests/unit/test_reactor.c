/* SPDX-License-Identifier: BSD-2-Clause */
/* Descriptors: watching, unwatching inside a callback, handing over. Deadlines: the heap. */
#include <sys/eventfd.h>

#include "unit.h"

struct probe {
	struct nmti_source src;
	struct unit *u;
	int calls;
	uint32_t events;
	struct probe *victim; /* unwatched by the callback */
	struct probe *heir;   /* gets the victim's descriptor */
	bool freed;
};

static void ready(struct nmti_source *src, uint32_t events)
{
	struct probe *p = nmti_container(src, struct probe, src);

	assert_false(p->freed);
	p->calls++;
	p->events |= events;
	if (p->heir) {
		p->heir->src.fd = p->victim->src.fd;
		assert_int_equal(nmti_watch(p->u->dom, &p->heir->src, EPOLLIN | EPOLLOUT), 0);
		p->victim->freed = true;
		p->heir = NULL;
	} else if (p->victim) {
		nmti_unwatch(p->u->dom, &p->victim->src);
		p->victim->freed = true;
		p->victim = NULL;
	}
}

static void probe(struct unit *u, struct probe *p, int fd, uint32_t events)
{
	memset(p, 0, sizeof(*p));
	p->u = u;
	p->src.fd = fd;
	p->src.ready = ready;
	if (events)
		assert_int_equal(nmti_watch(u->dom, &p->src, events), 0);
}

static void kick(int fd)
{
	uint64_t one = 1;

	assert_int_equal(write(fd, &one, sizeof(one)), sizeof(one));
}

/* ---- descriptors ---- */

/* A bell is run, and is no news of sockets. */
static void test_bell(void **state)
{
	int fd = eventfd(0, EFD_NONBLOCK), other = eventfd(0, EFD_NONBLOCK);
	struct probe bell, p;
	struct unit u;

	(void)state;
	unit_open(&u, "tcp");
	probe(&u, &bell, fd, 0);
	bell.src.bell = true;
	assert_int_equal(nmti_watch(u.dom, &bell.src, EPOLLIN), 0);
	probe(&u, &p, other, EPOLLIN);
	kick(fd);
	assert_int_equal(nmti_reactor_wait(u.dom, UNIT_LIMIT), 0);
	assert_int_equal(bell.calls, 1);
	kick(fd);
	kick(other);
	assert_int_equal(nmti_reactor_wait(u.dom, UNIT_LIMIT), 1);
	assert_int_equal(bell.calls, 2);
	assert_int_equal(p.calls, 1);
	nmti_unwatch(u.dom, &bell.src);
	nmti_unwatch(u.dom, &p.src);
	close(fd);
	close(other);
	unit_close(&u);
}

static void test_watch(void **state)
{
	int fd = eventfd(0, EFD_NONBLOCK);
	struct probe p;
	struct unit u;

	(void)state;
	unit_open(&u, "tcp");
	probe(&u, &p, fd, EPOLLIN);
	assert_int_equal(nmti_reactor_wait(u.dom, 0), 0);
	kick(fd);
	assert_int_equal(nmti_reactor_wait(u.dom, UNIT_LIMIT), 1);
	assert_int_equal(p.calls, 1);
	assert_true(p.events & EPOLLIN);
	assert_int_equal(nmti_reactor_wait(u.dom, 0), 0); /* edge-triggered */
	kick(fd);
	assert_int_equal(nmti_reactor_wait(u.dom, 0), 1);
	nmti_unwatch(u.dom, &p.src);
	kick(fd);
	assert_int_equal(nmti_reactor_wait(u.dom, 0), 0);
	assert_int_equal(p.calls, 2);
	close(fd);
	p.src.fd = fd;
	assert_int_equal(nmti_watch(u.dom, &p.src, EPOLLIN), -EBADF);
	unit_close(&u);
}

/* What is ready by then is told, and nothing more until it is watched again. */
static void test_watch_once(void **state)
{
	int fd = eventfd(1, EFD_NONBLOCK);
	uint64_t count;
	struct probe p;
	struct unit u;

	(void)state;
	unit_open(&u, "tcp");
	probe(&u, &p, fd, 0);
	for (int i = 1; i <= 2; i++) {
		assert_int_equal(nmti_watch_once(u.dom, &p.src, EPOLLIN), 0);
		assert_int_equal(nmti_reactor_wait(u.dom, 0), 1);
		assert_int_equal(p.calls, i);
		kick(fd);
		assert_int_equal(nmti_reactor_wait(u.dom, 0), 0);
	}
	assert_int_equal(read(fd, &count, sizeof(count)), sizeof(count));
	assert_int_equal(nmti_watch_once(u.dom, &p.src, EPOLLIN), 0);
	assert_int_equal(nmti_reactor_wait(u.dom, 0), 0);
	kick(fd);
	assert_int_equal(nmti_reactor_wait(u.dom, 0), 1);
	assert_int_equal(nmti_watch(u.dom, &p.src, EPOLLIN), 0); /* as others from now on */
	assert_int_equal(nmti_reactor_wait(u.dom, 0), 1);
	kick(fd);
	assert_int_equal(nmti_reactor_wait(u.dom, 0), 1);
	nmti_unwatch(u.dom, &p.src);
	assert_int_equal(p.calls, 5);
	close(fd);
	unit_close(&u);
}

/* A callback may take its own source away. */
static void test_unwatch_self(void **state)
{
	int fd = eventfd(1, EFD_NONBLOCK);
	struct probe p;
	struct unit u;

	(void)state;
	unit_open(&u, "tcp");
	probe(&u, &p, fd, EPOLLIN);
	p.victim = &p;
	assert_int_equal(nmti_reactor_wait(u.dom, 0), 1);
	kick(fd);
	assert_int_equal(nmti_reactor_wait(u.dom, 0), 0);
	assert_int_equal(p.calls, 1);
	close(fd);
	unit_close(&u);
}

/* Both are ready in one batch; the first takes the second away, which must not run. */
static void test_unwatch_other(void **state)
{
	int fd[2] = { eventfd(0, EFD_NONBLOCK), eventfd(0, EFD_NONBLOCK) };
	struct probe p[2];
	struct unit u;

	(void)state;
	unit_open(&u, "tcp");
	for (int i = 0; i < 2; i++)
		probe(&u, &p[i], fd[i], EPOLLIN);
	p[0].victim = &p[1];
	p[1].victim = &p[0];
	kick(fd[0]);
	kick(fd[1]);
	assert_int_equal(nmti_reactor_wait(u.dom, 0), 2);
	assert_int_equal(p[0].calls + p[1].calls, 1);
	close(fd[0]);
	close(fd[1]);
	unit_close(&u);
}

/* A second watch of a descriptor takes it over, and the new source hears what it is ready for. */
static void handover(uint32_t first, uint32_t second)
{
	int fd = eventfd(1, EFD_NONBLOCK);
	struct probe old, heir;
	struct unit u;

	unit_open(&u, "tcp");
	probe(&u, &old, fd, first);
	assert_int_equal(nmti_reactor_wait(u.dom, 0), 1);
	probe(&u, &heir, fd, second);
	old.freed = true;
	nmti_reactor_wait(u.dom, 0);
	assert_int_equal(heir.calls, 1);
	assert_int_equal(heir.events & (EPOLLIN | EPOLLOUT), second);
	nmti_reactor_wait(u.dom, 0);
	assert_int_equal(heir.calls, 1);
	kick(fd); /* and what comes from now on */
	nmti_reactor_wait(u.dom, 0);
	assert_int_equal(heir.calls, 2);
	assert_int_equal(old.calls, 1);
	nmti_unwatch(u.dom, &heir.src);
	close(fd);
	unit_close(&u);
}

static void test_handover(void **state)
{
	(void)state;
	handover(EPOLLIN, EPOLLIN | EPOLLOUT);
	handover(EPOLLIN | EPOLLOUT, EPOLLIN | EPOLLOUT);
	handover(EPOLLIN, EPOLLIN);
}

/* One that has reported nothing yet has nothing to pass on. */
static void test_handover_silent(void **state)
{
	int fd = eventfd(0, EFD_NONBLOCK);
	struct probe old, heir;
	struct unit u;

	(void)state;
	unit_open(&u, "tcp");
	probe(&u, &old, fd, EPOLLIN);
	probe(&u, &heir, fd, EPOLLIN);
	old.freed = true;
	nmti_reactor_wait(u.dom, 0);
	assert_int_equal(heir.calls, 0);
	kick(fd);
	nmti_reactor_wait(u.dom, 0);
	assert_int_equal(heir.calls, 1);
	nmti_unwatch(u.dom, &heir.src);
	close(fd);
	unit_close(&u);
}

/* More hand-overs at once than any list of fixed length holds. */
static void test_handover_many(void **state)
{
	struct probe *old = calloc(200, sizeof(*old)), *heir = calloc(200, sizeof(*heir));
	struct unit u;

	(void)state;
	unit_open(&u, "tcp");
	for (int i = 0; i < 200; i++)
		probe(&u, &old[i], eventfd(1, EFD_NONBLOCK), EPOLLIN);
	while (nmti_reactor_wait(u.dom, 0) > 0)
		;
	for (int i = 0; i < 200; i++) {
		probe(&u, &heir[i], old[i].src.fd, EPOLLIN);
		old[i].freed = true;
	}
	for (int i = 0; i < 10; i++)
		nmti_reactor_wait(u.dom, 0);
	for (int i = 0; i < 200; i++) {
		assert_int_equal(heir[i].calls, 1);
		assert_true(heir[i].events & EPOLLIN);
		nmti_unwatch(u.dom, &heir[i].src);
		close(heir[i].src.fd);
	}
	free(old);
	free(heir);
	unit_close(&u);
}

/* What was handed over and is not told yet keeps the domain from sleeping, in any event loop. */
static void test_handover_arm(void **state)
{
	int fd = eventfd(1, EFD_NONBLOCK), arm;
	struct probe old, heir;
	struct unit u;

	(void)state;
	unit_open(&u, "tcp");
	probe(&u, &old, fd, EPOLLIN);
	nmti_reactor_wait(u.dom, 0);
	probe(&u, &heir, fd, EPOLLIN);
	for (int i = 0; i < 3 && nmt_domain_arm(u.dom, &arm) == -EAGAIN; i++)
		unit_poll(&u, 0);
	assert_int_equal(heir.calls, 1);
	nmti_unwatch(u.dom, &heir.src);
	close(fd);
	unit_close(&u);
}

/* A hand-over that is not told yet when the heir goes: nothing reaches it, nor who comes next. */
static void test_handover_and_forget(void **state)
{
	int fd = eventfd(1, EFD_NONBLOCK);
	struct probe old, heir, next;
	struct unit u;

	(void)state;
	unit_open(&u, "tcp");
	probe(&u, &old, fd, EPOLLIN);
	nmti_reactor_wait(u.dom, 0);
	probe(&u, &heir, fd, EPOLLIN);
	nmti_forget(u.dom, &heir.src);
	heir.freed = true;
	close(fd);
	assert_int_equal(eventfd(0, EFD_NONBLOCK), fd);
	probe(&u, &next, fd, EPOLLIN);
	nmti_reactor_wait(u.dom, 0);
	assert_int_equal(next.events & EPOLLIN, 0);
	kick(fd);
	nmti_reactor_wait(u.dom, 0);
	assert_true(next.events & EPOLLIN);
	nmti_unwatch(u.dom, &next.src);
	close(fd);
	unit_close(&u);
}

/*
 * Two descriptors are ready in one batch, and the callback of the first hands the second to another
 * source and frees the old one, as the end of a handshake does with the data socket.
 */
static void handover_of_pending(uint32_t events)
{
	int fd[2] = { eventfd(0, EFD_NONBLOCK), eventfd(0, EFD_NONBLOCK) };
	struct probe p[2], heir;
	struct unit u;

	unit_open(&u, "tcp");
	for (int i = 0; i < 2; i++)
		probe(&u, &p[i], fd[i], events);
	probe(&u, &heir, -1, 0);
	p[0].victim = &p[1];
	p[0].heir = &heir;
	kick(fd[0]);
	kick(fd[1]);
	assert_int_equal(nmti_reactor_wait(u.dom, 0), 2);
	assert_int_equal(p[0].calls, 1);
	assert_int_equal(p[1].calls, 0);
	nmti_reactor_wait(u.dom, 0);
	assert_int_equal(heir.calls, 1);
	assert_true(heir.events & EPOLLIN);
	nmti_unwatch(u.dom, &heir.src);
	nmti_unwatch(u.dom, &p[0].src);
	close(fd[0]);
	close(fd[1]);
	unit_close(&u);
}

static void test_handover_of_pending(void **state)
{
	(void)state;
	handover_of_pending(EPOLLIN);
	handover_of_pending(EPOLLIN | EPOLLOUT); /* as the heir wants it */
}

static void test_many_sources(void **state)
{
	struct probe *p = calloc(600, sizeof(*p)); /* more than a batch */
	struct unit u;
	int calls = 0;

	(void)state;
	unit_open(&u, "tcp");
	for (int i = 0; i < 600; i++)
		probe(&u, &p[i], eventfd(1, EFD_NONBLOCK), EPOLLIN);
	while (nmti_reactor_wait(u.dom, 0) > 0)
		;
	for (int i = 0; i < 600; i++) {
		assert_int_equal(p[i].calls, 1);
		calls += p[i].calls;
		nmti_unwatch(u.dom, &p[i].src);
		close(p[i].src.fd);
	}
	assert_int_equal(calls, 600);
	free(p);
	unit_close(&u);
}

/* ---- deadlines ---- */

struct bell {
	struct nmti_timer t;
	struct unit *u;
	int n, fired;
	int64_t again;  /* set itself anew to this */
	struct bell *stop;
};

static int order[1024], rung;

static void ring(struct nmti_timer *t)
{
	struct bell *b = nmti_container(t, struct bell, t);

	assert_int_equal(t->slot, 0); /* not set any more: it may be set again */
	b->fired++;
	order[rung++] = b->n;
	if (b->again) {
		assert_int_equal(nmti_timer_set(b->u->dom, t, b->again), 0);
		b->again = 0;
	}
	if (b->stop)
		nmti_timer_cancel(b->u->dom, &b->stop->t);
}

static void bell(struct unit *u, struct bell *b, int n)
{
	memset(b, 0, sizeof(*b));
	b->t.fire = ring;
	b->u = u;
	b->n = n;
}

static void test_timer_order(void **state)
{
	static const int64_t at[] = { 50, 10, 40, 20, 30 };
	static const int want[] = { 1, 3, 4, 2, 0 };
	struct bell b[5];
	struct unit u;

	(void)state;
	rung = 0;
	unit_open(&u, "tcp");
	for (int i = 0; i < 5; i++) {
		bell(&u, &b[i], i);
		assert_int_equal(nmti_timer_set(u.dom, &b[i].t, at[i]), 0);
	}
	assert_int_equal(nmti_timers_next(u.dom), 10);
	assert_int_equal(nmti_timers_run(u.dom), 5);
	assert_memory_equal(order, want, sizeof(want));
	assert_true(nmti_timers_next(u.dom) == INT64_MAX);
	assert_int_equal(nmti_timers_run(u.dom), 0);
	unit_close(&u);
}

static void test_timer_not_due(void **state)
{
	int64_t later = nmti_now() + 3600 * UNIT_SEC;
	struct bell b[3];
	struct unit u;

	(void)state;
	rung = 0;
	unit_open(&u, "tcp");
	for (int i = 0; i < 3; i++)
		bell(&u, &b[i], i);
	assert_int_equal(nmti_timer_set(u.dom, &b[0].t, later), 0);
	assert_int_equal(nmti_timer_set(u.dom, &b[1].t, 1), 0);
	assert_int_equal(nmti_timer_set(u.dom, &b[2].t, INT64_MAX), 0); /* "never" */
	assert_int_equal(b[2].t.slot, 0);
	assert_int_equal(nmti_timers_run(u.dom), 1);
	assert_int_equal(order[0], 1);
	assert_true(nmti_timers_next(u.dom) == later);
	assert_int_equal(nmti_timer_set(u.dom, &b[0].t, INT64_MAX), 0); /* takes it back */
	assert_true(nmti_timers_next(u.dom) == INT64_MAX);
	unit_close(&u);
}

static void test_timer_in_callback(void **state)
{
	int64_t later = nmti_now() + 3600 * UNIT_SEC;
	struct bell b[3];
	struct unit u;

	(void)state;
	rung = 0;
	unit_open(&u, "tcp");
	for (int i = 0; i < 3; i++) {
		bell(&u, &b[i], i);
		assert_int_equal(nmti_timer_set(u.dom, &b[i].t, i + 1), 0);
	}
	b[0].again = later;
	b[0].stop = &b[1];
	assert_int_equal(nmti_timers_run(u.dom), 2);
	assert_int_equal(b[0].fired, 1);
	assert_int_equal(b[1].fired, 0);
	assert_int_equal(b[2].fired, 1);
	assert_true(nmti_timers_next(u.dom) == later);
	nmti_timer_cancel(u.dom, &b[0].t);
	nmti_timer_cancel(u.dom, &b[0].t); /* again: harmless */
	unit_close(&u);
}

/* ---- the heap against a plain table ---- */

#define BELLS 700
#define STEPS 40000

static void check_heap(const struct nmti_heap *h)
{
	for (uint32_t i = 1; i <= h->count; i++) {
		assert_int_equal(h->slot[i]->slot, i);
		if (i > 1)
			assert_true(h->slot[i / 2]->at <= h->slot[i]->at);
	}
}

static int64_t earliest(const int64_t *at)
{
	int64_t best = INT64_MAX;

	for (int i = 0; i < BELLS; i++)
		if (at[i] && at[i] < best)
			best = at[i];
	return best;
}

static void test_heap_random(void **state)
{
	static struct bell b[BELLS];
	static int64_t at[BELLS]; /* 0: not set */
	unsigned int seed = 42;
	uint32_t set = 0;
	struct unit u;

	(void)state;
	unit_open(&u, "tcp");
	for (int i = 0; i < BELLS; i++)
		bell(&u, &b[i], i);
	for (int step = 0; step < STEPS; step++) {
		int i = rand_r(&seed) % BELLS;

		set -= at[i] != 0;
		if (rand_r(&seed) % 3) {
			at[i] = nmti_now() + 3600 * UNIT_SEC + rand_r(&seed) % 1000;
			assert_int_equal(nmti_timer_set(u.dom, &b[i].t, at[i]), 0);
			set++;
		} else {
			nmti_timer_cancel(u.dom, &b[i].t);
			at[i] = 0;
		}
		assert_int_equal(u.dom->timers.count, set);
		if (step % 100)
			continue;
		assert_true(nmti_timers_next(u.dom) == earliest(at));
		check_heap(&u.dom->timers);
	}
	for (int i = 0; i < BELLS; i++)
		nmti_timer_cancel(u.dom, &b[i].t);
	assert_int_equal(u.dom->timers.count, 0);
	unit_close(&u);
}

/* Thousands of deadlines in random order fire sorted. */
static void test_heap_sorts(void **state)
{
	static struct bell b[1000];
	static int64_t at[1000];
	unsigned int seed = 1;
	struct unit u;

	(void)state;
	rung = 0;
	unit_open(&u, "tcp");
	for (int i = 0; i < 1000; i++) {
		bell(&u, &b[i], i);
		at[i] = 1 + rand_r(&seed) % 5000;
		assert_int_equal(nmti_timer_set(u.dom, &b[i].t, at[i]), 0);
	}
	assert_int_equal(nmti_timers_run(u.dom), 1000);
	for (int i = 1; i < 1000; i++)
		assert_true(at[order[i - 1]] <= at[order[i]]);
	unit_close(&u);
}

static void test_deadline(void **state)
{
	int64_t now = nmti_now(), d = nmti_deadline(UNIT_SEC);

	(void)state;
	assert_true(nmti_deadline(NMT_FOREVER) == INT64_MAX);
	assert_true(nmti_deadline(INT64_MAX) == INT64_MAX); /* no overflow */
	assert_true(d >= now + UNIT_SEC && d <= nmti_now() + UNIT_SEC);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_watch), cmocka_unit_test(test_bell),
	cmocka_unit_test(test_watch_once),
	cmocka_unit_test(test_unwatch_self),
	cmocka_unit_test(test_unwatch_other),
	cmocka_unit_test(test_handover),
	cmocka_unit_test(test_handover_silent),
	cmocka_unit_test(test_handover_many),
	cmocka_unit_test(test_handover_arm),
	cmocka_unit_test(test_handover_and_forget),
	cmocka_unit_test(test_handover_of_pending),
	cmocka_unit_test(test_many_sources),
	cmocka_unit_test(test_timer_order),
	cmocka_unit_test(test_timer_not_due),
	cmocka_unit_test(test_timer_in_callback),
	cmocka_unit_test(test_heap_random),
	cmocka_unit_test(test_heap_sorts),
	cmocka_unit_test(test_deadline),
};

UNIT_MAIN(tests)
