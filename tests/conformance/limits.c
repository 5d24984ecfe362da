/* SPDX-License-Identifier: BSD-2-Clause */
/* Limits of the process: descriptors and locked memory. What cannot be done now waits or falls back. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "suite.h"

struct starve {
	struct rlimit before;
	int top;
};

/* No descriptor is free any more until feed(). */
static void starve(struct env *env, struct starve *st)
{
	struct rlimit low;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &st->before), 0);
	st->top = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0);
	if (st->top < 0)
		failf(env, "no descriptor: %s", strerror(errno));
	close(st->top);
	low = st->before;
	low.rlim_cur = (rlim_t)st->top;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
}

static void feed(const struct starve *st)
{
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &st->before), 0);
}

/* The connection keeps waiting, and NMT_EV_ACCEPT comes again when there is room. */
static void t_accept_without_descriptors(struct env *env)
{
	unsigned int before;
	struct nmt_stream *s;
	struct starve st;
	struct pair p;
	struct lis *l;
	int ret;

	env_open(env, NULL);
	l = lis_open(env, "127.0.0.1:0", NULL);
	p.c = end_connect(env, CLIENT, l->addr, NULL);
	starve(env, &st);
	for (int i = 0; i < 20 && !l->accepts; i++) {
		struct nmt_event ev;

		if (nmt_poll(env->dom[SERVER], &ev, 1, 10 * MS) == 1)
			l->accepts += ev.type == NMT_EV_ACCEPT;
	}
	ret = nmt_accept(l->l, NULL, &s);
	before = l->accepts;
	feed(&st);
	if (ret != -EMFILE && ret != -EAGAIN)
		failf(env, "nmt_accept without descriptors gives %d", ret);
	if (ret == -EMFILE)
		wait_for(env, l->accepts > before);
	p.s = lis_accept(l, SERVER);
	wait_for(env, p.c->connected && p.s->connected);
	pair_works(&p, 1000);
}

static void t_connect_without_descriptors(struct env *env)
{
	struct nmt_stream_attr attr;
	struct nmt_stream *s = NULL;
	struct starve st;
	struct pair p;
	int ret;

	pair_open(env, &p);
	attr = env_attr(env);
	starve(env, &st);
	ret = nmt_connect(env->dom[CLIENT], "127.0.0.1:9", &attr, &s);
	feed(&st);
	assert_int_equal(ret, -EMFILE);
	pair_works(&p, 1000);
}

static void zerocopy_sends(struct env *env)
{
	struct nmt_frag frag = { .len = 200 * KIB };
	struct pair_opt opt;
	struct nmt_event ev;
	struct pair p;

	pair_defaults(env, &opt);
	opt.c.zerocopy_min = 1;
	pair_open_opt(env, &p, &opt);
	frag.mr = env_mr(env, 200 * KIB, NMT_ACCESS_SEND);
	for (uint64_t i = 0; i < 5; i++) {
		mr_pattern(frag.mr, 0, i, 0, 200 * KIB);
		assert_ok(env, nmt_send_mr(p.c->s, &frag, 1, 0, i));
		end_expect(p.s, i, 0, 200 * KIB);
		end_wait(p.c, NMT_EV_SENT, &ev);
		if (ev.status)
			failf(env, "NMT_EV_SENT says %d", ev.status);
	}
	assert_int_equal(STAT(p.c, zc_sends), 0);
	assert_true(STAT(p.c, fallback_zerocopy) >= 5);
	env_close(env);
}

/* The kernel pins memory for MSG_ZEROCOPY and refuses beyond the limit: then it is copied. */
static void t_zerocopy_without_locked_memory(struct env *env)
{
	struct rlimit none = { 0, 0 };
	int status = 0;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		env->child = true;
		/* The super-user is not bound by the limit. */
		if (setrlimit(RLIMIT_MEMLOCK, &none) || (!getuid() && setuid(65534)))
			_exit(4);
		zerocopy_sends(env);
		_exit(0);
	}
	env_open(env, NULL);
	wait_short(env, waitpid(pid, &status, WNOHANG) == pid);
	if (status)
		failf(env, "the child without locked memory ends with status %#x", status);
}

const struct test tests_limits[] = {
	TEST(t_accept_without_descriptors, T_HOST),
	TEST(t_connect_without_descriptors, T_HOST),
	TEST(t_zerocopy_without_locked_memory, T_HOST | T_KERNEL),
	TESTS_END,
};
