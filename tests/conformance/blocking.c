/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Design 5.3: with NMT_STREAM_BLOCKING the copying calls, connect and accept wait, and the rest of
 * the domain makes progress meanwhile. Client and server each have a thread and a domain.
 */
#include <stdlib.h>
#include <unistd.h>

#include "suite.h"

struct side_b {
	struct nmt_listener *l;
	struct end *e;
	uint64_t total;
	char addr[NMT_ADDR_MAX];
};

static struct nmt_stream_attr blocking_attr(struct env *env)
{
	struct nmt_stream_attr attr = env_attr(env);

	attr.flags |= NMT_STREAM_BLOCKING;
	return attr;
}

/* A pair whose client blocks and whose server does not. */
static void open_blocking(struct env *env, struct pair *p)
{
	pair_open(env, p);
	assert_ok(env, nmt_stream_setopt(p->c->s, NMT_OPT_BLOCKING, &(int64_t){ 1 },
					 sizeof(int64_t)));
}

static void accept_blocking(struct worker *w)
{
	struct side_b *b = w->arg;
	struct nmt_stream *s;
	unsigned char buf[1000];

	worker_check(w, nmt_accept(b->l, NULL, &s) == 0);
	b->e->s = s;
	nmt_stream_set_user(s, b->e);
	worker_check(w, nmt_recv(s, buf, sizeof(buf), MSG_WAITALL) == sizeof(buf));
	worker_check(w, pattern_check(1, 0, buf, sizeof(buf)) < 0);
	pattern_fill(2, 0, buf, sizeof(buf));
	worker_check(w, nmt_send(s, buf, sizeof(buf), 0) == sizeof(buf));
	worker_check(w, nmt_recv(s, buf, sizeof(buf), 0) == 0);
}

static void t_blocking_connect_and_accept(struct env *env)
{
	struct nmt_stream_attr attr;
	struct side_b b = { 0 };
	unsigned char buf[1000];
	struct worker w;
	struct end *e;
	struct lis *l;

	env_open(env, NULL);
	attr = blocking_attr(env);
	l = lis_open(env, "127.0.0.1:0", &attr);
	b.l = l->l;
	b.e = end_new(env, SERVER);
	worker_start(env, &w, accept_blocking, &b);
	e = end_connect(env, CLIENT, l->addr, &attr);
	assert_int_equal(end_info(e).state, NMT_STATE_OPEN);
	pattern_fill(1, 0, buf, sizeof(buf));
	assert_int_equal(nmt_send(e->s, buf, 400, 0), 400);
	usleep(10000);
	assert_int_equal(nmt_send(e->s, buf + 400, 600, 0), 600);
	assert_int_equal(nmt_recv(e->s, buf, sizeof(buf), MSG_WAITALL), sizeof(buf));
	assert_int_equal(pattern_check(2, 0, buf, sizeof(buf)), -1);
	assert_ok(env, nmt_shutdown(e->s, SHUT_WR));
	worker_join(&w);
}

static void t_blocking_connect_refused(struct env *env)
{
	struct nmt_stream_attr attr;
	struct nmt_stream *s;
	struct lis *l;
	char addr[NMT_ADDR_MAX];

	env_open(env, NULL);
	attr = blocking_attr(env);
	l = lis_open(env, "127.0.0.1:0", NULL);
	memcpy(addr, l->addr, sizeof(addr));
	lis_close(l);
	assert_err(env, nmt_connect(env->dom[CLIENT], addr, &attr, &s), -ECONNREFUSED);
}

/* Server thread: reads everything slowly. */
static void read_slowly(struct worker *w)
{
	struct side_b *b = w->arg;
	unsigned char *buf = malloc(256 * KIB);
	struct nmt_event ev[8];
	uint64_t at = 0;

	usleep(20000);
	while (at < b->total && now_ns() < w->env->deadline) {
		ssize_t n = nmt_recv(b->e->s, buf, 256 * KIB, 0);

		if (n == -EAGAIN) {
			nmt_poll(w->env->dom[SERVER], ev, 8, 50 * MS);
			continue;
		}
		if (n <= 0 || pattern_check(3, at, buf, (size_t)n) >= 0)
			break;
		at += (uint64_t)n;
	}
	if (at != b->total)
		worker_fail(w, "read %llu of %llu, %s", (unsigned long long)at,
			    (unsigned long long)b->total,
			    now_ns() < w->env->deadline ? "then wrong bytes or an error" :
							  "then the time was over");
	free(buf);
}

static void t_blocking_send_takes_all(struct env *env)
{
	struct side_b b = { .total = 16 * MIB };
	unsigned char *buf = malloc(b.total);
	struct worker w;
	struct pair p;

	open_blocking(env, &p);
	b.e = p.s;
	pattern_fill(3, 0, buf, b.total);
	worker_start(env, &w, read_slowly, &b);
	assert_int_equal(nmt_send(p.c->s, buf, b.total, 0), b.total);
	worker_join(&w);
	free(buf);
}

static void send_later(struct worker *w)
{
	struct side_b *b = w->arg;
	unsigned char buf[100];

	pattern_fill(4, 0, buf, sizeof(buf));
	usleep(30000);
	worker_check(w, nmt_send(b->e->s, buf, 40, 0) == 40);
	usleep(30000);
	worker_check(w, nmt_send(b->e->s, buf + 40, 60, 0) == 60);
}

static void t_blocking_recv_waits(struct env *env)
{
	struct side_b b = { 0 };
	unsigned char buf[100];
	struct worker w;
	struct pair p;
	ssize_t n;

	open_blocking(env, &p);
	b.e = p.s;
	worker_start(env, &w, send_later, &b);
	n = nmt_recv(p.c->s, buf, sizeof(buf), 0);
	if (n != 40 && n != 100)
		failf(env, "a blocking nmt_recv gives %zd", n);
	if (n == 40)
		assert_int_equal(nmt_recv(p.c->s, buf + 40, 60, MSG_WAITALL), 60);
	assert_int_equal(pattern_check(4, 0, buf, 100), -1);
	worker_join(&w);
}

static void t_waitall_waits_for_all(struct env *env)
{
	struct side_b b = { 0 };
	unsigned char buf[100];
	struct worker w;
	struct pair p;

	open_blocking(env, &p);
	b.e = p.s;
	worker_start(env, &w, send_later, &b);
	assert_int_equal(nmt_recv(p.c->s, buf, 100, MSG_WAITALL), 100);
	assert_int_equal(pattern_check(4, 0, buf, 100), -1);
	worker_join(&w);
}

static void t_dontwait_never_waits(struct env *env)
{
	unsigned char byte;
	int64_t start;
	struct pair p;

	open_blocking(env, &p);
	start = now_ns();
	assert_err(env, nmt_recv(p.c->s, &byte, 1, MSG_DONTWAIT), -EAGAIN);
	assert_true(now_ns() - start < SEC);
}

static void t_recv_timeout_is_eagain(struct env *env)
{
	int64_t start, took, limit = 60 * MS;
	unsigned char byte;
	struct pair p;

	open_blocking(env, &p);
	assert_ok(env, nmt_stream_setopt(p.c->s, NMT_OPT_RECV_TIMEOUT, &limit, sizeof(limit)));
	start = now_ns();
	assert_err(env, nmt_recv(p.c->s, &byte, 1, 0), -EAGAIN);
	took = now_ns() - start;
	assert_true(took >= 59 * MS && took < 2 * SEC);
	end_put_pattern(p.s, 1, 0, 1);
	assert_int_equal(nmt_recv(p.c->s, &byte, 1, 0), 1);
}

static void t_send_timeout_gives_the_count(struct env *env)
{
	int64_t start, limit = 100 * MS;
	unsigned char *buf = calloc(1, 32 * MIB);
	struct pair p;
	ssize_t n;

	open_blocking(env, &p);
	assert_ok(env, nmt_stream_setopt(p.c->s, NMT_OPT_SEND_TIMEOUT, &limit, sizeof(limit)));
	start = now_ns();
	n = nmt_send(p.c->s, buf, 32 * MIB, 0);
	if (n <= 0 || n >= (ssize_t)(32 * MIB))
		failf(env, "a send that cannot end in time gives %zd", n);
	assert_true(now_ns() - start >= 99 * MS);
	assert_err(env, nmt_send(p.c->s, buf, 1 * MIB, 0), -EAGAIN);
	free(buf);
}

/* The server takes 8 MiB of a borrowed send of one stream, then wakes the other. */
static void drain_then_wake(struct worker *w)
{
	struct pair *p = w->arg;
	unsigned char *buf = malloc(256 * KIB);
	struct nmt_event ev[8];
	uint64_t at = 0;

	while (at < 8 * MIB && now_ns() < w->env->deadline) {
		ssize_t n = nmt_recv(p[0].s->s, buf, 256 * KIB, 0);

		if (n > 0)
			at += (uint64_t)n;
		else
			nmt_poll(w->env->dom[SERVER], ev, 8, 50 * MS);
	}
	free(buf);
	worker_check(w, at == 8 * MIB);
	worker_check(w, nmt_send(p[1].s->s, "x", 1, 0) == 1);
}

static void t_domain_progresses_while_one_blocks(struct env *env)
{
	struct nmt_frag frag = { .len = 8 * MIB };
	struct nmt_event ev;
	struct pair p[2];
	struct worker w;
	char byte;

	pair_open(env, &p[0]);
	open_blocking(env, &p[1]);
	frag.mr = env_mr(env, 8 * MIB, NMT_ACCESS_SEND);
	assert_ok(env, nmt_send_mr(p[0].c->s, &frag, 1, 0, 1));
	worker_start(env, &w, drain_then_wake, p);
	assert_int_equal(nmt_recv(p[1].c->s, &byte, 1, 0), 1);
	worker_join(&w);
	end_wait(p[0].c, NMT_EV_SENT, &ev);
	assert_int_equal(ev.status, 0);
}

static void abort_later(struct worker *w)
{
	struct end *e = w->arg;
	struct nmt_stream *s = e->s;

	usleep(30000);
	e->s = NULL;
	worker_check(w, nmt_abort(s) == 0);
}

static void t_abort_ends_a_blocking_recv(struct env *env)
{
	struct worker w;
	struct pair p;
	char byte;

	open_blocking(env, &p);
	worker_start(env, &w, abort_later, p.s);
	assert_err(env, nmt_recv(p.c->s, &byte, 1, 0), -ECONNRESET);
	worker_join(&w);
}

static void close_later(struct worker *w)
{
	struct end *e = w->arg;
	struct nmt_stream *s = e->s;
	struct nmt_event ev[4];

	usleep(30000);
	worker_check(w, nmt_send(s, "abc", 3, 0) == 3);
	e->s = NULL;
	worker_check(w, nmt_close(s) == 0);
	for (int i = 0; i < 20 && !e->closed; i++) {
		int n = nmt_poll(w->env->dom[SERVER], ev, 4, 20 * MS);

		for (int k = 0; k < n; k++)
			e->closed |= ev[k].type == NMT_EV_CLOSED;
	}
}

static void t_end_of_stream_ends_waitall(struct env *env)
{
	struct worker w;
	char buf[10];
	struct pair p;

	open_blocking(env, &p);
	worker_start(env, &w, close_later, p.s);
	assert_int_equal(nmt_recv(p.c->s, buf, sizeof(buf), MSG_WAITALL), 3);
	assert_int_equal(nmt_recv(p.c->s, buf, sizeof(buf), MSG_WAITALL), 0);
	worker_join(&w);
}

const struct test tests_blocking[] = {
	TEST(t_blocking_connect_and_accept, T_HOST | T_POOL),
	TEST(t_blocking_connect_refused, T_HOST),
	TEST(t_blocking_send_takes_all, T_HOST | T_POOL | T_BUFFER | T_ALONE),
	TEST(t_blocking_recv_waits, T_POOL | T_HOST | T_ALONE),
	TEST(t_waitall_waits_for_all, T_POOL | T_HOST | T_ALONE),
	TEST(t_dontwait_never_waits, T_HOST | T_POOL),
	TEST(t_recv_timeout_is_eagain, T_HOST | T_POOL | T_ALONE),
	TEST(t_send_timeout_gives_the_count, T_HOST),
	TEST(t_domain_progresses_while_one_blocks, T_HOST | T_POOL | T_ALONE),
	TEST(t_abort_ends_a_blocking_recv, T_HOST | T_POOL),
	TEST(t_end_of_stream_ends_waitall, T_HOST | T_POOL),
	TESTS_END,
};
