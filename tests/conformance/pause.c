/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Design 5.10: a process that is stopped for longer than every time-out keeps its streams. The peer
 * is a child process, once as server and once as client, with all time-outs short.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "suite.h"

#define PAUSE_MS 2500u

struct child {
	pid_t pid;
	int in, out; /* a line each way: the address */
};

static struct nmt_stream_attr short_attr(const struct env *env)
{
	struct nmt_stream_attr attr = env_attr(env);

	attr.handshake_timeout = 500 * MS;
	attr.connect_timeout = 500 * MS;
	attr.send_timeout = 300 * MS;
	attr.recv_timeout = 300 * MS;
	attr.linger = 300 * MS;
	attr.keepalive_idle = 1;
	attr.keepalive_intvl = 1;
	attr.keepalive_cnt = 1;
	return attr;
}

/* Child: give every byte back until the end of the stream. Posted mode: 1000 bytes at a time. */
static int echo(struct env *env, struct end *e)
{
	unsigned char *buf = malloc(1000);
	struct got got;

	do {
		got = end_get(e, buf, 1000);
		if (got.len)
			end_put(e, buf, got.len, 0);
	} while (!got.status && !(got.flags & NMT_EVF_EOF));
	free(buf);
	end_close(e);
	wait_for(env, e->closed);
	return got.status ? 1 : 0;
}

static int child_server(struct env *env, int out)
{
	struct nmt_stream_attr attr = short_attr(env);
	struct lis *l;

	env_open(env, NULL);
	l = lis_open(env, "127.0.0.1:0", &attr);
	if (write(out, l->addr, sizeof(l->addr)) != sizeof(l->addr))
		return 2;
	return echo(env, lis_accept(l, SERVER));
}

static int child_client(struct env *env, int in)
{
	struct nmt_stream_attr attr = short_attr(env);
	char addr[NMT_ADDR_MAX];

	if (read(in, addr, sizeof(addr)) != sizeof(addr))
		return 2;
	env_open(env, NULL);
	return echo(env, end_connect(env, CLIENT, addr, &attr));
}

static struct child start(struct env *env, bool server)
{
	struct child c;
	int p[4];

	assert_int_equal(pipe(p), 0);
	assert_int_equal(pipe(p + 2), 0);
	fflush(NULL);
	c.pid = fork();
	assert_true(c.pid >= 0);
	if (c.pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		env->child = true;
		_exit(server ? child_server(env, p[1]) : child_client(env, p[2]));
	}
	close(p[1]);
	close(p[2]);
	c.out = p[0];
	c.in = p[3];
	return c;
}

static void finish(struct env *env, struct child *c)
{
	int status = 0;

	wait_short(env, waitpid(c->pid, &status, WNOHANG) == c->pid);
	close(c->in);
	close(c->out);
	if (!WIFEXITED(status) || WEXITSTATUS(status))
		failf(env, "the other process ends with status %#x", status);
}

static void through_pause(struct env *env, struct end *e, pid_t pid)
{
	uint64_t seed = rng_next(&env->rng), sent;

	end_put_pattern(e, seed, 0, 10000);
	end_expect(e, seed, 0, 10000);
	assert_int_equal(kill(pid, SIGSTOP), 0);
	end_put_pattern(e, seed, 10000, 20000);
	env_idle(env, PAUSE_MS * MS);
	assert_int_equal(e->error, 0);
	assert_int_equal(kill(pid, SIGCONT), 0);
	end_expect(e, seed, 10000, 20000);
	sent = 30000;
	end_put_pattern(e, seed, sent, 5000);
	end_expect(e, seed, sent, 5000);
	end_close(e);
}

static void t_stopped_server_keeps_the_stream(struct env *env)
{
	struct nmt_stream_attr attr = short_attr(env);
	struct child c = start(env, true);
	char addr[NMT_ADDR_MAX];
	struct end *e;

	assert_int_equal(read(c.out, addr, sizeof(addr)), sizeof(addr));
	env_open(env, NULL);
	e = end_connect(env, CLIENT, addr, &attr);
	wait_for(env, e->connected);
	through_pause(env, e, c.pid);
	finish(env, &c);
}

static void t_stopped_client_keeps_the_stream(struct env *env)
{
	struct nmt_stream_attr attr = short_attr(env);
	struct child c = start(env, false);
	struct end *e;
	struct lis *l;

	env_open(env, NULL);
	l = lis_open(env, "127.0.0.1:0", &attr);
	assert_int_equal(write(c.in, l->addr, sizeof(l->addr)), sizeof(l->addr));
	e = lis_accept(l, SERVER);
	wait_for(env, e->connected);
	through_pause(env, e, c.pid);
	finish(env, &c);
}

/* A process that is killed: the kernel ends its sockets, and negotiated streams tell it apart. */
static void t_killed_peer_is_reset(struct env *env)
{
	struct nmt_stream_attr attr = short_attr(env);
	struct child c = start(env, true);
	char addr[NMT_ADDR_MAX];
	struct end *e;

	assert_int_equal(read(c.out, addr, sizeof(addr)), sizeof(addr));
	env_open(env, NULL);
	e = end_connect(env, CLIENT, addr, &attr);
	wait_for(env, e->connected);
	end_put_pattern(e, 1, 0, 10000);
	end_expect(e, 1, 0, 10000);
	kill(c.pid, SIGKILL);
	end_expect_error(e, -ECONNRESET);
	waitpid(c.pid, NULL, 0);
	close(c.in);
	close(c.out);
}

const struct test tests_pause[] = {
	TEST_MS(t_stopped_server_keeps_the_stream, T_HOST | T_KERNEL, PAUSE_MS + 5000),
	TEST_MS(t_stopped_client_keeps_the_stream, T_HOST | T_KERNEL, PAUSE_MS + 5000),
	TEST(t_killed_peer_is_reset, T_HOST | T_NEGOTIATED | T_KERNEL),
	TESTS_END,
};
