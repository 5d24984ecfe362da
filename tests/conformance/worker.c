/* SPDX-License-Identifier: BSD-2-Clause */
/* A second thread of a test. It may not use cmocka, so it keeps its failure for worker_join. */
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

#include "suite.h"

static void *run(void *arg)
{
	struct worker *w = arg;

	w->fn(w);
	__atomic_store_n(&w->done, 1, __ATOMIC_RELEASE);
	return NULL;
}

void worker_start(struct env *env, struct worker *w, void (*fn)(struct worker *w), void *arg)
{
	pthread_t t;

	w->env = env;
	w->fn = fn;
	w->arg = arg;
	w->done = 0;
	w->err[0] = '\0';
	assert_int_equal(pthread_create(&t, NULL, run, w), 0);
	w->thread = t;
}

bool worker_done(const struct worker *w)
{
	return __atomic_load_n(&w->done, __ATOMIC_ACQUIRE);
}

void worker_join(struct worker *w)
{
	while (!worker_done(w) && now_ns() < w->env->deadline)
		usleep(200);
	if (!worker_done(w))
		failf(w->env, "time limit: the second thread hangs");
	pthread_join(w->thread, NULL);
	if (w->err[0])
		failf(w->env, "second thread: %s", w->err);
}

void worker_fail(struct worker *w, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(w->err, sizeof(w->err), fmt, ap);
	va_end(ap);
}
