/* SPDX-License-Identifier: BSD-2-Clause */
/* Waiting: time-outs, waking, arming for other event loops, spinning, signals, turns. */
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/time.h>

#include "unit.h"

/* Longest that a call may take which must not wait. */
#define SOON (2 * UNIT_SEC)

static void open_spin(struct unit *u, int64_t spin_ns, uint32_t flags)
{
	struct nmt_domain_attr attr = NMT_DOMAIN_ATTR_INIT;

	attr.spin_ns = spin_ns;
	attr.flags = flags;
	unit_open_with(u, "tcp", &attr);
}

/* How long a poll for TIMEOUT takes that gets no event. */
static int64_t idle_poll(struct unit *u, int64_t timeout)
{
	int64_t start = nmti_now();
	struct nmt_event ev;

	assert_int_equal(nmt_poll(u->dom, &ev, 1, timeout), 0);
	return nmti_now() - start;
}

static struct nmt_stats stats(struct unit *u)
{
	struct nmt_stats st = NMT_STATS_INIT;

	assert_int_equal(nmt_stats(u->dom, NULL, &st), 0);
	return st;
}

static void test_arguments(void **state)
{
	struct nmt_event ev;
	struct unit u;
	int fd;

	(void)state;
	unit_open(&u, "tcp");
	assert_int_equal(nmt_poll(NULL, &ev, 1, 0), -EINVAL);
	assert_int_equal(nmt_poll(u.dom, NULL, 1, 0), -EINVAL);
	assert_int_equal(nmt_poll(u.dom, &ev, 0, 0), -EINVAL);
	assert_int_equal(nmt_poll(u.dom, &ev, -1, 0), -EINVAL);
	assert_int_equal(nmt_domain_arm(NULL, &fd), -EINVAL);
	assert_int_equal(nmt_domain_arm(u.dom, NULL), -EINVAL);
	assert_int_equal(nmt_wake(NULL), -EINVAL);
	unit_close(&u);
}

static void test_timeouts(void **state)
{
	static const int64_t spins[] = { -1, 0, 10 * UNIT_MS };
	struct unit u;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(spins); i++) {
		open_spin(&u, spins[i], 0);
		assert_true(idle_poll(&u, 0) < SOON);
		assert_true(idle_poll(&u, 1) < SOON);
		assert_in_range(idle_poll(&u, 20 * UNIT_MS), 20 * UNIT_MS, SOON);
		unit_close(&u);
	}
}

/* A kernel without epoll_pwait2 waits whole milliseconds, and never too short. */
static void test_timeout_ms(void **state)
{
	struct unit u;

	(void)state;
	open_spin(&u, -1, 0);
	u.dom->whole_ms = true;
	assert_in_range(idle_poll(&u, 1500000), 1500000, SOON);
	assert_in_range(idle_poll(&u, 1), 1, SOON);
	unit_close(&u);
}

/* ---- waking ---- */

static void test_wake_before(void **state)
{
	struct unit u;

	(void)state;
	open_spin(&u, -1, 0);
	assert_int_equal(nmt_wake(u.dom), 0);
	assert_int_equal(nmt_wake(u.dom), 0);
	assert_true(idle_poll(&u, NMT_FOREVER) < SOON);
	assert_in_range(idle_poll(&u, 10 * UNIT_MS), 10 * UNIT_MS, SOON); /* it counts once */
	unit_close(&u);
}

static void *waker(void *arg)
{
	struct unit *u = arg;
	int64_t limit = nmti_now() + SOON;

	/* Wake it until it says that it returned: it may not have been in nmt_poll yet. */
	while (!__atomic_load_n(&u->nev, __ATOMIC_ACQUIRE) && nmti_now() < limit)
		nmt_wake(u->dom);
	return NULL;
}

static void wake_from_thread(int64_t spin_ns, uint32_t flags)
{
	pthread_t thread;
	struct unit u;

	open_spin(&u, spin_ns, flags);
	assert_int_equal(pthread_create(&thread, NULL, waker, &u), 0);
	assert_true(idle_poll(&u, NMT_FOREVER) < SOON);
	__atomic_store_n(&u.nev, 1, __ATOMIC_RELEASE);
	pthread_join(thread, NULL);
	u.nev = 0;
	unit_close(&u);
}

static void test_wake_thread(void **state)
{
	(void)state;
	wake_from_thread(-1, 0);
	wake_from_thread(100 * UNIT_SEC, 0);
	wake_from_thread(0, NMT_DOMAIN_SPIN_ALWAYS);
}

/* Waking is no event of a stream and hides none. */
static void test_wake_and_event(void **state)
{
	struct nmt_event ev;
	int fd[2];
	struct unit u;

	(void)state;
	unit_open(&u, "tcp");
	unit_tcp_pair(fd);
	u.a = unit_adopt(&u, fd[1], false, NULL);
	unit_write(fd[0], "x", 1);
	unit_arrived(fd[1], 1);
	assert_int_equal(nmt_wake(u.dom), 0);
	assert_int_equal(nmt_poll(u.dom, &ev, 1, NMT_FOREVER), 1);
	assert_int_equal(ev.type, NMT_EV_READABLE);
	close(fd[0]);
	unit_close(&u);
}

/* ---- signals ---- */

static volatile sig_atomic_t signals;

static void on_signal(int sig)
{
	(void)sig;
	signals++;
}

/* Signals come until the first one that the poll saw, so that none can come too early. */
static void test_signal(void **state)
{
	struct sigaction sa = { .sa_handler = on_signal }, old;
	struct itimerval it = { { 0, 5000 }, { 0, 5000 } }, off = { { 0, 0 }, { 0, 0 } };
	struct nmt_event ev;
	struct unit u;
	int rc;

	(void)state;
	signals = 0;
	open_spin(&u, -1, 0);
	sigaction(SIGALRM, &sa, &old);
	setitimer(ITIMER_REAL, &it, NULL);
	rc = nmt_poll(u.dom, &ev, 1, UNIT_LIMIT);
	setitimer(ITIMER_REAL, &off, NULL);
	sigaction(SIGALRM, &old, NULL);
	alarm(120); /* of UNIT_MAIN, which the timer replaced */
	assert_int_equal(rc, -EINTR);
	assert_true(signals > 0);
	unit_close(&u);
}

/* ---- spinning ---- */

static void test_never_spins(void **state)
{
	struct nmt_stats st;
	struct unit u;

	(void)state;
	open_spin(&u, -1, 0);
	idle_poll(&u, 5 * UNIT_MS);
	st = stats(&u);
	assert_int_equal(st.spins, 0);
	assert_true(st.sleeps >= 1);
	unit_close(&u);
}

static void test_spins_then_sleeps(void **state)
{
	struct nmt_stats st;
	struct unit u;

	(void)state;
	open_spin(&u, 2 * UNIT_MS, 0);
	idle_poll(&u, 20 * UNIT_MS);
	st = stats(&u);
	assert_true(st.spins > 0);
	assert_true(st.sleeps > 0);
	unit_close(&u);
}

static void test_spins_always(void **state)
{
	struct nmt_stats st;
	struct unit u;

	(void)state;
	open_spin(&u, 0, NMT_DOMAIN_SPIN_ALWAYS);
	for (int i = 0; i < 10; i++)
		idle_poll(&u, 2 * UNIT_MS);
	st = stats(&u);
	assert_true(st.spins > 0);
	assert_int_equal(st.sleeps, 0);
	unit_close(&u);
}

/* What blocking calls wait in. */
static void test_blocks_spinning(void **state)
{
	int64_t deadline = nmti_now() + 5 * UNIT_MS;
	struct unit u;
	int rc;

	(void)state;
	open_spin(&u, UNIT_MS / 100, NMT_DOMAIN_SPIN_ALWAYS);
	do
		rc = nmti_block(u.dom, deadline);
	while (!rc);
	assert_int_equal(rc, -EAGAIN);
	assert_true(nmti_now() >= deadline);
	assert_true(stats(&u).spins > 0);
	assert_int_equal(stats(&u).sleeps, 0);
	unit_close(&u);
}

/* Long sleeps shorten the spin to nothing; one that a spin would have outlasted restores it. */
static void test_spin_adapts(void **state)
{
	int64_t most = 8 * UNIT_MS;
	struct nmt_stats before;
	struct unit u;

	(void)state;
	open_spin(&u, most, 0);
	assert_true(u.dom->spin == most);
	idle_poll(&u, 3 * most);
	assert_true(u.dom->spin < most);
	u.dom->spin = 0;
	before = stats(&u);
	idle_poll(&u, most * 2); /* slept through: no spin, and still none */
	assert_int_equal(stats(&u).spins, before.spins);
	assert_true(u.dom->spin == 0);
	assert_int_equal(nmt_wake(u.dom), 0);
	idle_poll(&u, NMT_FOREVER);
	assert_true(u.dom->spin == most);
	unit_close(&u);
}

/* An event that is there already costs neither a spin nor a sleep. */
static void test_no_wait_for_event(void **state)
{
	struct nmt_stats before, after;
	int fd[2];
	struct unit u;

	(void)state;
	unit_open(&u, "tcp");
	unit_tcp_pair(fd);
	u.a = unit_adopt(&u, fd[1], false, NULL);
	unit_write(fd[0], "x", 1);
	unit_take(&u, u.a, NMT_EV_READABLE);
	before = stats(&u);
	nmti_tell(u.a);
	u.a->rx_told = false;
	unit_take(&u, u.a, NMT_EV_READABLE);
	after = stats(&u);
	assert_int_equal(after.sleeps, before.sleeps);
	assert_int_equal(after.events, before.events + 1);
	close(fd[0]);
	unit_close(&u);
}

/* ---- arming ---- */

static bool fd_readable(int fd, int timeout_ms)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, timeout_ms) == 1;
}

static int arm(struct unit *u)
{
	int fd = -1, first = -1;

	assert_int_equal(nmt_domain_arm(u->dom, &first), 0);
	assert_int_equal(nmt_domain_arm(u->dom, &fd), 0);
	assert_true(fd >= 0 && fd == first);
	return fd;
}

static void test_arm_event(void **state)
{
	int fd[2], arm_fd;
	struct unit u;

	(void)state;
	unit_open(&u, "tcp");
	unit_tcp_pair(fd);
	u.a = unit_adopt(&u, fd[1], false, NULL);
	unit_has(&u, u.a, 0);
	arm_fd = arm(&u);
	assert_false(fd_readable(arm_fd, 0));
	unit_write(fd[0], "x", 1);
	assert_true(fd_readable(arm_fd, (int)(UNIT_LIMIT / UNIT_MS)));
	assert_int_equal(nmt_domain_arm(u.dom, &arm_fd), -EAGAIN);
	unit_take(&u, u.a, NMT_EV_READABLE);
	arm_fd = arm(&u);
	assert_false(fd_readable(arm_fd, 0));
	close(fd[0]);
	unit_close(&u);
}

static void test_arm_wake(void **state)
{
	struct unit u;
	int fd;

	(void)state;
	unit_open(&u, "tcp");
	fd = arm(&u);
	assert_int_equal(nmt_wake(u.dom), 0);
	assert_true(fd_readable(fd, (int)(UNIT_LIMIT / UNIT_MS)));
	assert_int_equal(nmt_domain_arm(u.dom, &fd), -EAGAIN);
	assert_true(idle_poll(&u, NMT_FOREVER) < SOON);
	fd = arm(&u);
	assert_false(fd_readable(fd, 0));
	unit_close(&u);
}

static int fired;

static void fire(struct nmti_timer *t)
{
	(void)t;
	fired++;
}

/* A deadline of the library makes the descriptor readable too, and one taken back does not. */
static void test_arm_timer(void **state)
{
	struct nmti_timer t = { .fire = fire };
	struct unit u;
	int fd;

	(void)state;
	fired = 0;
	unit_open(&u, "tcp");
	assert_int_equal(nmti_timer_set(u.dom, &t, nmti_now() + 10 * UNIT_MS), 0);
	fd = arm(&u);
	assert_true(fd_readable(fd, (int)(UNIT_LIMIT / UNIT_MS)));
	assert_true(idle_poll(&u, 0) < SOON);
	assert_int_equal(fired, 1);
	assert_int_equal(nmti_timer_set(u.dom, &t, nmti_now() + 20 * UNIT_MS), 0);
	arm(&u);
	nmti_timer_cancel(u.dom, &t);
	fd = arm(&u);
	assert_false(fd_readable(fd, 40));
	assert_int_equal(fired, 1);
	unit_close(&u);
}

/* Two deadlines, one after the other: arming follows the next one. */
static void test_arm_timer_again(void **state)
{
	struct nmti_timer t = { .fire = fire };
	struct unit u;
	int fd;

	(void)state;
	fired = 0;
	unit_open(&u, "tcp");
	for (int i = 1; i <= 3; i++) {
		assert_int_equal(nmti_timer_set(u.dom, &t, nmti_now() + 5 * UNIT_MS), 0);
		fd = arm(&u);
		assert_true(fd_readable(fd, (int)(UNIT_LIMIT / UNIT_MS)));
		assert_true(idle_poll(&u, 0) < SOON);
		assert_int_equal(fired, i);
	}
	unit_close(&u);
}

/* ---- turns ---- */

/* A stream with more than its budget waits until the others had theirs. */
static void test_turns(void **state)
{
	struct nmt_domain_attr attr = NMT_DOMAIN_ATTR_INIT;
	struct nmt_event ev[64];
	int fd[2][2], n, first_b = -1, from_a = 0;
	struct nmt_mr *mr;
	struct unit u;

	(void)state;
	attr.budget = 4;
	attr.spin_ns = -1;
	unit_open_with(&u, "tcp", &attr);
	for (int i = 0; i < 2; i++)
		unit_tcp_pair(fd[i]);
	u.a = unit_adopt(&u, fd[0][1], false, NULL);
	u.b = unit_adopt(&u, fd[1][1], false, NULL);
	assert_int_equal(nmt_mr_alloc(u.ctx, NMT_MEM_HOST, 64, NMT_ACCESS_ALL, &mr), 0);
	for (int i = 0; i < 20; i++) {
		struct nmt_frag f = { .mr = mr, .len = 1 };

		assert_int_equal(nmt_send_mr(u.a, &f, 1, 0, 1), 0);
		assert_int_equal(nmt_send_mr(u.b, &f, 1, 0, 2), 0);
	}
	n = nmt_poll(u.dom, ev, 64, 0);
	assert_int_equal(n, 8);
	for (int i = 0; i < n; i++) {
		from_a += ev[i].stream == u.a;
		if (ev[i].stream == u.b && first_b < 0)
			first_b = i;
	}
	assert_int_equal(from_a, 4);
	assert_true(first_b == 0 || first_b == 4);
	for (; n < 40; n += nmt_poll(u.dom, ev, 64, UNIT_LIMIT))
		;
	assert_int_equal(n, 40);
	assert_int_equal(nmt_mr_close(mr), 0);
	close(fd[0][0]);
	close(fd[1][0]);
	unit_close(&u);
}

/* MAX smaller than what there is: nothing is lost, and the order of one stream stays. */
static void test_max(void **state)
{
	struct nmt_event ev;
	struct nmt_mr *mr;
	int fd[2];
	struct unit u;

	(void)state;
	unit_open(&u, "tcp");
	unit_tcp_pair(fd);
	u.a = unit_adopt(&u, fd[1], false, NULL);
	assert_int_equal(nmt_mr_alloc(u.ctx, NMT_MEM_HOST, 64, NMT_ACCESS_ALL, &mr), 0);
	for (uint64_t i = 0; i < 40; i++) {
		struct nmt_frag f = { .mr = mr, .len = 1 };

		assert_int_equal(nmt_send_mr(u.a, &f, 1, 0, i), 0);
	}
	for (uint64_t i = 0; i < 40; i++) {
		assert_int_equal(nmt_poll(u.dom, &ev, 1, UNIT_LIMIT), 1);
		assert_int_equal(ev.type, NMT_EV_SENT);
		assert_int_equal(ev.cookie, i);
	}
	assert_int_equal(nmt_mr_close(mr), 0);
	close(fd[0]);
	unit_close(&u);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_arguments),	 cmocka_unit_test(test_timeouts),
	cmocka_unit_test(test_timeout_ms),	 cmocka_unit_test(test_wake_before),
	cmocka_unit_test(test_wake_thread),	 cmocka_unit_test(test_wake_and_event),
	cmocka_unit_test(test_signal),		 cmocka_unit_test(test_never_spins),
	cmocka_unit_test(test_spins_then_sleeps), cmocka_unit_test(test_spins_always),
	cmocka_unit_test(test_blocks_spinning),
	cmocka_unit_test(test_spin_adapts),	 cmocka_unit_test(test_no_wait_for_event),
	cmocka_unit_test(test_arm_event),	 cmocka_unit_test(test_arm_wake),
	cmocka_unit_test(test_arm_timer),	 cmocka_unit_test(test_arm_timer_again),
	cmocka_unit_test(test_turns),		 cmocka_unit_test(test_max),
};

UNIT_MAIN(tests)
