/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The suite tested: every fault in a process of its own has to make its test fail, and the same test
 * has to pass without it.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "suite.h"

#define JOBS 4
#define SEED "20240229"

struct job {
	pid_t pid;
	const struct fault *fault;
	bool with; /* the fault is on, so the test has to fail */
};

struct run {
	const char *self;
	struct job job[JOBS];
	unsigned int checked, wrong;
};

static void exec_suite(const char *self, const struct job *j)
{
	char limit[16];
	char *argv[] = { "nmt_conformance", "--config", (char *)(uintptr_t)j->fault->config,
			 "--test", (char *)(uintptr_t)j->fault->test, "--seed", SEED,
			 "--limit", limit, "--fault", (char *)(uintptr_t)j->fault->name, NULL };
	int null = open("/dev/null", O_WRONLY);

	snprintf(limit, sizeof(limit), "%u", (j->with ? 1500 : 10000) * TIME_SCALE);
	if (!j->with)
		argv[9] = NULL;
	dup2(null, STDOUT_FILENO);
	dup2(null, STDERR_FILENO);
	execv(self, argv);
	_exit(127);
}

static void start(struct run *r, struct job *j, const struct fault *fault, bool with)
{
	*j = (struct job){ .fault = fault, .with = with };
	fflush(NULL);
	j->pid = fork();
	if (j->pid == 0)
		exec_suite(r->self, j);
}

static void judge(struct run *r, const struct job *j, int status)
{
	int code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
	int want = j->with ? 1 : 0;

	r->checked++;
	if (code == want) {
		printf("ok   %-26s %s %s\n", j->with ? j->fault->name : "(no fault)",
		       j->fault->test, j->with ? "fails" : "passes");
		return;
	}
	r->wrong++;
	printf("FAIL %-26s %s %s: exit %d, want %d\n", j->with ? j->fault->name : "(no fault)",
	       j->fault->config, j->fault->test, code, want);
}

static bool reap(struct run *r)
{
	int status;
	pid_t pid = wait(&status);

	for (int i = 0; i < JOBS; i++) {
		if (pid < 0 || r->job[i].pid != pid)
			continue;
		judge(r, &r->job[i], status);
		r->job[i].pid = 0;
	}
	return pid > 0;
}

static struct job *free_job(struct run *r)
{
	for (;;) {
		for (int i = 0; i < JOBS; i++)
			if (r->job[i].pid == 0)
				return &r->job[i];
		reap(r);
	}
}

/* A test that finds several faults passes without any of them once. */
static bool shown(unsigned int n, const char *only)
{
	for (unsigned int i = 0; i < n && !only; i++)
		if (!strcmp(fault_at(i)->test, fault_at(n)->test) &&
		    !strcmp(fault_at(i)->config, fault_at(n)->config))
			return true;
	return false;
}

static bool wanted(const struct fault *f, const char *only, const char *layer)
{
	if (only)
		return !strcmp(only, f->name);
	return !layer || !strcmp(layer, strncmp(f->name, "rma-", 4) ? "provider" : "rma");
}

int faults_check(const char *self, const char *only, const char *layer)
{
	struct run r = { .self = self };
	const struct fault *f;

	for (unsigned int i = 0; (f = fault_at(i)); i++) {
		if (!wanted(f, only, layer))
			continue;
		if (!shown(i, only))
			start(&r, free_job(&r), f, false);
		start(&r, free_job(&r), f, true);
	}
	while (reap(&r))
		;
	printf("%u runs, %u wrong\n", r.checked, r.wrong);
	return r.wrong || !r.checked;
}
