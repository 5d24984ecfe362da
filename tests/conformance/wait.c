/* SPDX-License-Identifier: BSD-2-Clause */
/* Sleeping: armed descriptors in any event loop lose no wake-up; nmt_wake; signals. */
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/time.h>
#include <unistd.h>

#include "suite.h"

/* The loop of the harness sleeps on armed descriptors and fails on a lost wake-up. */
static void flow_over(struct env *env, enum waiter waiter)
{
	struct flow f[2];
	struct pair p;

	env->waiter = waiter;
	pair_open(env, &p);
	flow_init(env, &f[0], p.c, p.s, 500 * KIB);
	flow_init(env, &f[1], p.s, p.c, 500 * KIB);
	flows_run(env, f, 2);
	for (int i = 0; i < 50; i++)
		pair_works(&p, 10);
	pair_close(&p);
}

static void t_arm_with_epoll_level_triggered(struct env *env)
{
	flow_over(env, WAIT_EPOLL);
}

static void t_arm_with_epoll_edge_triggered(struct env *env)
{
	flow_over(env, WAIT_EPOLL_EDGE);
}

static void t_arm_with_poll(struct env *env)
{
	flow_over(env, WAIT_POLL);
}

static void t_arm_with_select(struct env *env)
{
	flow_over(env, WAIT_SELECT);
}

static void t_arm_gives_one_descriptor(struct env *env)
{
	int first = -1, again = -2, ret;
	struct pair p;

	pair_open(env, &p);
	for (int i = 0; i < 3; i++) {
		wait_short(env, (ret = nmt_domain_arm(env->dom[SERVER], &again)) != -EAGAIN);
		assert_int_equal(ret, 0);
		if (first >= 0)
			assert_int_equal(first, again);
		first = again;
	}
	pair_works(&p, 100);
}

static void t_arm_is_eagain_with_something_to_do(struct env *env)
{
	struct nmt_event ev;
	struct nmt_mr *mr;
	struct pair p;
	int fd;

	pair_open(env, &p);
	mr = env_mr(env, 100, NMT_ACCESS_RECV);
	assert_ok(env, nmt_recv_into(p.s->s, mr, 0, 100, 0, 7));
	env_idle(env, 5 * MS);
	end_put_pattern(p.c, 1, 0, 100);
	for (int i = 0; i < 200 && nmt_domain_arm(env->dom[SERVER], &fd) == 0; i++) {
		struct pollfd pfd = { .fd = fd, .events = POLLIN };

		if (poll(&pfd, 1, 10) == 1)
			break;
	}
	assert_int_equal(nmt_poll(env->dom[SERVER], &ev, 1, 0), 1);
	assert_int_equal(ev.type, NMT_EV_RECEIVED);
	assert_ptr_equal(ev.user, p.s);
	assert_int_equal(ev.cookie, 7);
}

/* An event that could not be given out for want of room is something to do. */
static void t_arm_is_eagain_with_events_left(struct env *env)
{
	struct nmt_event ev;
	struct nmt_mr *mr;
	struct pair p;
	int fd, ret;

	pair_open(env, &p);
	mr = env_mr(env, 100, NMT_ACCESS_RECV);
	for (uint64_t i = 0; i < 4; i++)
		assert_ok(env, nmt_recv_into(p.s->s, mr, i, 1, 0, i));
	end_put_pattern(p.c, 1, 0, 4);
	assert_int_equal(nmt_poll(env->dom[SERVER], &ev, 1, SEC), 1);
	assert_int_equal(ev.type, NMT_EV_RECEIVED);
	ret = nmt_domain_arm(env->dom[SERVER], &fd);
	if (ret == 0) {
		struct pollfd pfd = { .fd = fd, .events = POLLIN };

		assert_int_equal(poll(&pfd, 1, 1000), 1);
	} else {
		assert_int_equal(ret, -EAGAIN);
	}
	for (int i = 1; i < 4; i++)
		assert_int_equal(nmt_poll(env->dom[SERVER], &ev, 1, SEC), 1);
}

#define ROUNDS 1500

struct pong {
	struct end *e;
	enum waiter waiter;
};

static int wait_armed(struct worker *w, struct nmt_domain *dom, int epfd, bool *added)
{
	struct epoll_event ev = { .events = EPOLLIN | EPOLLET };
	int fd, ret = nmt_domain_arm(dom, &fd);

	if (ret == -EAGAIN)
		return 1;
	if (ret)
		return ret;
	if (!*added && epoll_ctl(epfd, EPOLL_CTL_ADD, fd, &ev))
		return -errno;
	*added = true;
	(void)w;
	return epoll_wait(epfd, &ev, 1, 2000);
}

/* Echo bytes one by one, asleep in edge-triggered epoll in between. */
static void pong(struct worker *w)
{
	struct end *e = w->arg;
	struct nmt_domain *dom = w->env->dom[SERVER];
	int epfd = epoll_create1(EPOLL_CLOEXEC);
	struct nmt_event ev[4];
	bool added = false;

	for (int i = 0; i < ROUNDS;) {
		unsigned char byte;
		ssize_t n = nmt_recv(e->s, &byte, 1, 0);

		if (n == 1) {
			worker_check(w, byte == (unsigned char)i);
			worker_check(w, nmt_send(e->s, &byte, 1, 0) == 1);
			i++;
			continue;
		}
		worker_check(w, n == -EAGAIN);
		if (nmt_poll(dom, ev, 4, 0) == 0)
			worker_check(w, wait_armed(w, dom, epfd, &added) > 0);
	}
	close(epfd);
}

static void t_no_lost_wakeup_between_threads(struct env *env)
{
	struct nmt_event ev[4];
	struct worker w;
	struct pair p;

	pair_open(env, &p);
	worker_start(env, &w, pong, p.s);
	for (int i = 0; i < ROUNDS; i++) {
		unsigned char byte = (unsigned char)i;
		ssize_t n;

		assert_int_equal(nmt_send(p.c->s, &byte, 1, 0), 1);
		while ((n = nmt_recv(p.c->s, &byte, 1, 0)) == -EAGAIN) {
			if (worker_done(&w) && w.err[0])
				worker_join(&w);
			assert_true(now_ns() < env->deadline);
			nmt_poll(env->dom[CLIENT], ev, 4, 100 * MS);
		}
		assert_int_equal(n, 1);
		assert_int_equal(byte, (unsigned char)i);
	}
	worker_join(&w);
}

static void t_wake_before_poll(struct env *env)
{
	struct nmt_event ev;
	int64_t start;
	struct pair p;

	pair_open(env, &p);
	env_idle(env, 5 * MS);
	start = now_ns();
	assert_ok(env, nmt_wake(env->dom[CLIENT]));
	assert_int_equal(nmt_poll(env->dom[CLIENT], &ev, 1, 10 * SEC), 0);
	assert_true(now_ns() - start < 2 * SEC);
	assert_int_equal(nmt_poll(env->dom[CLIENT], &ev, 1, 20 * MS), 0);
	assert_true(now_ns() - start >= 19 * MS);
}

static void wake_later(struct worker *w)
{
	usleep(30000);
	worker_check(w, nmt_wake(w->arg) == 0);
}

static void t_wake_of_a_sleeping_poll(struct env *env)
{
	struct nmt_event ev;
	struct worker w;
	int64_t start;
	struct pair p;

	pair_open(env, &p);
	env_idle(env, 5 * MS);
	start = now_ns();
	worker_start(env, &w, wake_later, env->dom[CLIENT]);
	assert_int_equal(nmt_poll(env->dom[CLIENT], &ev, 1, NMT_FOREVER), 0);
	assert_true(now_ns() - start >= 25 * MS);
	worker_join(&w);
}

static void t_wake_makes_an_armed_descriptor_readable(struct env *env)
{
	struct pollfd pfd = { .events = POLLIN };
	struct nmt_event ev;
	struct worker w;
	struct pair p;
	int ret;

	pair_open(env, &p);
	wait_short(env, (ret = nmt_domain_arm(env->dom[CLIENT], &pfd.fd)) != -EAGAIN);
	assert_int_equal(ret, 0);
	worker_start(env, &w, wake_later, env->dom[CLIENT]);
	assert_int_equal(poll(&pfd, 1, 3000), 1);
	worker_join(&w);
	assert_int_equal(nmt_poll(env->dom[CLIENT], &ev, 1, 0), 0);
}

static void on_signal(int sig)
{
	(void)sig;
}

struct interrupted {
	pthread_t thread;
	pid_t tid;
	bool naps;
	int over; /* atomic */
};

static bool asleep(pid_t tid)
{
	char path[64], state = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", (int)tid);
	f = fopen(path, "re");
	if (f && fscanf(f, "%*d (%*[^)]) %c", &state) != 1)
		state = 0;
	if (f)
		fclose(f);
	return state == 'S';
}

/*
 * One signal, once the other thread sleeps. A provider without a descriptor to wait for sleeps often and
 * briefly, and between two sleeps nobody can tell: there it is sent until one has come in a sleep.
 */
static void interrupt(struct worker *w)
{
	struct interrupted *i = w->arg;

	do {
		usleep(30000);
		while (!asleep(i->tid) && !__atomic_load_n(&i->over, __ATOMIC_ACQUIRE))
			usleep(1000);
		pthread_kill(i->thread, SIGUSR1);
	} while (i->naps && !__atomic_load_n(&i->over, __ATOMIC_ACQUIRE));
}

static void t_signal_gives_eintr(struct env *env)
{
	struct sigaction sa = { .sa_handler = on_signal };
	struct interrupted self = { .thread = pthread_self(), .tid = gettid(),
				    .naps = strstr(env->cfg->spec, "shm") ||
					    strstr(env->cfg->name, ":nofd") };
	struct nmt_event ev;
	struct worker w;
	struct pair p;
	int rc;

	sigaction(SIGUSR1, &sa, NULL);
	pair_open(env, &p);
	env_idle(env, 5 * MS);
	worker_start(env, &w, interrupt, &self);
	rc = nmt_poll(env->dom[CLIENT], &ev, 1, 4 * SEC);
	__atomic_store_n(&self.over, 1, __ATOMIC_RELEASE);
	worker_join(&w); /* before a failure leaves its stack */
	assert_err(env, rc, -EINTR);
	pair_works(&p, 1000);
}

/* A timer of the library (here: connect_timeout) wakes the armed descriptor too. */
static void t_arm_wakes_for_deadlines(struct env *env)
{
	struct nmt_stream_attr attr;
	struct end *e;

	env_open(env, NULL);
	attr = env_attr(env);
	attr.connect_timeout = 100 * MS;
	attr.mode = NMT_MODE_NEGOTIATED;
	attr.flags = 0;
	struct lis *l = lis_open(env, "127.0.0.1:0", NULL);
	char addr[NMT_ADDR_MAX];
	struct nmt_domain *away = env->dom[SERVER];

	memcpy(addr, l->addr, sizeof(addr));
	env->dom[SERVER] = NULL;
	e = end_connect(env, CLIENT, addr, &attr);
	wait_for(env, e->error);
	assert_int_equal(e->error, -ETIMEDOUT);
	env->dom[SERVER] = away;
}

static void t_spin_and_sleep_are_counted(struct env *env)
{
	struct nmt_stats st = NMT_STATS_INIT;
	struct nmt_event ev;
	struct pair p;

	pair_open(env, &p);
	nmt_poll(env->dom[CLIENT], &ev, 1, 30 * MS);
	assert_ok(env, nmt_stats(env->dom[CLIENT], NULL, &st));
	assert_true(st.sleeps > 0);
	assert_true(st.events > 0);
}

const struct test tests_wait[] = {
	TEST(t_arm_with_epoll_level_triggered, T_HOST),
	TEST(t_arm_with_epoll_edge_triggered, T_HOST),
	TEST(t_arm_with_poll, T_HOST),
	TEST(t_arm_with_select, T_HOST),
	TEST(t_arm_gives_one_descriptor, T_HOST),
	TEST(t_arm_is_eagain_with_something_to_do, T_HOST | T_ALONE),
	TEST(t_arm_is_eagain_with_events_left, T_HOST | T_BUFFER | T_ALONE),
	TEST(t_no_lost_wakeup_between_threads, T_HOST | T_POOL | T_ALONE),
	TEST(t_wake_before_poll, T_HOST),
	TEST(t_wake_of_a_sleeping_poll, T_HOST),
	TEST(t_wake_makes_an_armed_descriptor_readable, T_HOST),
	TEST(t_signal_gives_eintr, T_HOST),
	TEST(t_arm_wakes_for_deadlines, T_HOST | T_NEGOTIATED),
	TEST(t_spin_and_sleep_are_counted, T_HOST),
	TESTS_END,
};
