/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Design 5.9: bad arguments of the transfer calls give the error that nmt.h names, send nothing and
 * change nothing: after each test the stream still carries exactly the bytes sent.
 */
#include "suite.h"

static const uint64_t far_away = UINT64_MAX - 10;

/* Nothing was sent before, and both directions work. */
static void intact(struct pair *p)
{
	assert_int_equal(p->c->error, 0);
	assert_int_equal(p->s->error, 0);
	assert_int_equal(STAT(p->c, tx_bytes), 0);
	pair_works(p, 3000);
	assert_int_equal(STAT(p->s, rx_bytes), 3000);
}

static void t_bad_send(struct env *env)
{
	struct pair p;

	pair_open(env, &p);
	assert_bad(env, nmt_send(NULL, "x", 1, 0));
	assert_bad(env, nmt_send(p.c->s, NULL, 1, 0));
	assert_err(env, nmt_send(p.c->s, "x", 1, MSG_OOB), -EOPNOTSUPP);
	assert_err(env, nmt_send(p.c->s, "x", 1, 1 << 30), -EINVAL);
	assert_err(env, nmt_send(p.c->s, "x", 1, MSG_PEEK), -EINVAL);
	assert_err(env, nmt_send(p.c->s, "x", 0, 0), 0);
	intact(&p);
}

static void t_bad_sendmsg(struct env *env)
{
	struct iovec iov[2] = { { (void *)(uintptr_t)"x", 1 }, { NULL, 5 } };
	struct pair p;

	pair_open(env, &p);
	assert_bad(env, nmt_sendmsg(NULL, iov, 1, 0));
	assert_bad(env, nmt_sendmsg(p.c->s, NULL, 1, 0));
	assert_err(env, nmt_sendmsg(p.c->s, iov, -1, 0), -EINVAL);
	assert_err(env, nmt_sendmsg(p.c->s, iov, 1025, 0), -EINVAL);
	assert_bad(env, nmt_sendmsg(p.c->s, iov, 2, 0));
	assert_err(env, nmt_sendmsg(p.c->s, iov, 1, MSG_OOB), -EOPNOTSUPP);
	assert_err(env, nmt_sendmsg(p.c->s, iov, 1, 1 << 30), -EINVAL);
	assert_err(env, nmt_sendmsg(p.c->s, iov, 0, 0), 0);
	intact(&p);
}

static void t_bad_recv(struct env *env)
{
	struct iovec iov;
	char byte;
	struct pair p;

	pair_open(env, &p);
	iov = (struct iovec){ &byte, 1 };
	assert_bad(env, nmt_recv(NULL, &byte, 1, 0));
	assert_bad(env, nmt_recv(p.s->s, NULL, 1, 0));
	assert_err(env, nmt_recv(p.s->s, &byte, 1, MSG_OOB), -EOPNOTSUPP);
	assert_err(env, nmt_recv(p.s->s, &byte, 1, MSG_TRUNC), -EINVAL);
	assert_err(env, nmt_recv(p.s->s, &byte, 1, 1 << 30), -EINVAL);
	assert_bad(env, nmt_recvmsg(p.s->s, NULL, 1, 0, NULL));
	assert_err(env, nmt_recvmsg(p.s->s, &iov, -1, 0, NULL), -EINVAL);
	assert_err(env, nmt_recvmsg(p.s->s, &iov, 1025, 0, NULL), -EINVAL);
	assert_err(env, nmt_recvmsg(p.s->s, &iov, 1, MSG_OOB, NULL), -EOPNOTSUPP);
	intact(&p);
}

static void t_bad_send_mr_arguments(struct env *env)
{
	struct nmt_frag frag = { .len = 10 }, many[65];
	struct pair p;

	pair_open(env, &p);
	frag.mr = env_mr(env, 100, NMT_ACCESS_SEND);
	for (int i = 0; i < 65; i++)
		many[i] = frag;
	assert_bad(env, nmt_send_mr(NULL, &frag, 1, 0, 1));
	assert_bad(env, nmt_send_mr(p.c->s, NULL, 1, 0, 1));
	assert_err(env, nmt_send_mr(p.c->s, &frag, 0, 0, 1), -EINVAL);
	assert_err(env, nmt_send_mr(p.c->s, &frag, -1, 0, 1), -EINVAL);
	assert_err(env, nmt_send_mr(p.c->s, many, 65, 0, 1), -EINVAL);
	assert_err(env, nmt_send_mr(p.c->s, &frag, 1, MSG_OOB, 1), -EOPNOTSUPP);
	assert_err(env, nmt_send_mr(p.c->s, &frag, 1, 1 << 30, 1), -EINVAL);
	frag.mr = NULL;
	assert_bad(env, nmt_send_mr(p.c->s, &frag, 1, 0, 1));
	intact(&p);
	assert_int_equal(p.c->ndone, 0);
}

/* All or nothing: a good run beside a bad one is not sent. */
static void t_bad_send_mr_ranges(struct env *env)
{
	struct nmt_frag frags[2];
	struct nmt_mr *mr;
	struct pair p;

	pair_open(env, &p);
	mr = env_mr(env, 100, NMT_ACCESS_SEND);
	frags[0] = (struct nmt_frag){ .mr = mr, .len = 50 };
	frags[1] = (struct nmt_frag){ .mr = mr, .offset = 91, .len = 10 };
	assert_err(env, nmt_send_mr(p.c->s, frags, 2, 0, 1), -EFAULT);
	frags[1] = (struct nmt_frag){ .mr = mr, .offset = 101, .len = 1 };
	assert_err(env, nmt_send_mr(p.c->s, frags, 2, 0, 1), -EFAULT);
	frags[1] = (struct nmt_frag){ .mr = mr, .offset = far_away, .len = 50 };
	assert_err(env, nmt_send_mr(p.c->s, frags, 2, 0, 1), -EFAULT);
	frags[1] = (struct nmt_frag){ .mr = mr, .len = UINT32_MAX };
	assert_err(env, nmt_send_mr(p.c->s, frags, 2, 0, 1), -EFAULT);
	frags[1] = (struct nmt_frag){ .mr = env_mr(env, 100, NMT_ACCESS_RECV), .len = 10 };
	assert_err(env, nmt_send_mr(p.c->s, frags, 2, 0, 1), -EACCES);
	intact(&p);
	assert_ok(env, env_mr_close(env, mr));
}

static void t_bad_recv_into(struct env *env)
{
	struct nmt_mr *mr;
	struct pair p;

	pair_open(env, &p);
	mr = env_mr(env, 100, NMT_ACCESS_RECV);
	assert_bad(env, nmt_recv_into(NULL, mr, 0, 10, 0, 1));
	assert_bad(env, nmt_recv_into(p.s->s, NULL, 0, 10, 0, 1));
	assert_err(env, nmt_recv_into(p.s->s, mr, 0, 0, 0, 1), -EINVAL);
	assert_err(env, nmt_recv_into(p.s->s, mr, 0, 10, 1 << 20, 1), -EINVAL);
	assert_err(env, nmt_recv_into(p.s->s, mr, 0, 101, 0, 1), -EFAULT);
	assert_err(env, nmt_recv_into(p.s->s, mr, 91, 10, 0, 1), -EFAULT);
	assert_err(env, nmt_recv_into(p.s->s, mr, far_away, 100, 0, 1), -EFAULT);
	assert_err(env, nmt_recv_into(p.s->s, mr, 0, SIZE_MAX, 0, 1), -EFAULT);
	assert_err(env, nmt_recv_into(p.s->s, env_mr(env, 100, NMT_ACCESS_SEND), 0, 10, 0, 1),
		   -EACCES);
	intact(&p);
	assert_ok(env, env_mr_close(env, mr));
}

static void t_regions_of_another_context(struct env *env)
{
	struct nmt_frag frag = { .len = 10 };
	struct nmt_ctx *other = env_context(env);
	struct nmt_mr *mr;
	struct pair p;

	pair_open(env, &p);
	assert_ok(env, config_mr(other, env->cfg, 100, NMT_ACCESS_ALL, &mr));
	frag.mr = mr;
	assert_err(env, nmt_send_mr(p.c->s, &frag, 1, 0, 1), -EINVAL);
	assert_err(env, nmt_recv_into(p.s->s, mr, 0, 10, 0, 1), -EINVAL);
	intact(&p);
	assert_ok(env, nmt_mr_close(mr));
	assert_ok(env, nmt_ctx_close(other));
}

static void t_bad_recv_frags_and_release(struct env *env)
{
	struct nmt_frag frag = { .token = 1 };
	struct pair p;

	pair_open(env, &p);
	assert_bad(env, nmt_recv_frags(NULL, &frag, 1, 0));
	assert_bad(env, nmt_recv_frags(p.s->s, NULL, 1, 0));
	assert_err(env, nmt_recv_frags(p.s->s, &frag, 0, 0), -EINVAL);
	assert_err(env, nmt_recv_frags(p.s->s, &frag, -1, 0), -EINVAL);
	assert_err(env, nmt_recv_frags(p.s->s, &frag, 1, MSG_PEEK), -EINVAL);
	assert_bad(env, nmt_release(NULL, &frag, 1));
	assert_bad(env, nmt_release(p.s->s, NULL, 1));
	assert_err(env, nmt_release(p.s->s, &frag, -1), -EINVAL);
	assert_err(env, nmt_release(p.s->s, &frag, 1), -EINVAL);
	intact(&p);
}

static void t_null_streams(struct env *env)
{
	struct nmt_stream_info info = NMT_STREAM_INFO_INIT;
	int64_t v = 0;
	size_t len = sizeof(v);

	env_open(env, NULL);
	assert_bad(env, nmt_flush(NULL, 1));
	assert_bad(env, nmt_shutdown(NULL, SHUT_WR));
	assert_bad(env, nmt_close(NULL));
	assert_bad(env, nmt_abort(NULL));
	assert_bad(env, nmt_recv_cancel(NULL, 1));
	assert_bad(env, nmt_stream_info(NULL, &info));
	assert_bad(env, nmt_stream_fd(NULL));
	assert_bad(env, nmt_stream_setopt(NULL, NMT_OPT_BLOCKING, &v, sizeof(v)));
	assert_bad(env, nmt_stream_getopt(NULL, NMT_OPT_BLOCKING, &v, &len));
}

static void t_null_domains_and_listeners(struct env *env)
{
	struct nmt_stats st = NMT_STATS_INIT;
	struct nmt_listener *l;
	struct nmt_stream *s;
	struct nmt_event ev;
	char addr[NMT_ADDR_MAX];
	int fd;

	env_open(env, NULL);
	assert_bad(env, nmt_poll(NULL, &ev, 1, 0));
	assert_bad(env, nmt_poll(env->dom[0], NULL, 1, 0));
	assert_bad(env, nmt_domain_arm(NULL, &fd));
	assert_bad(env, nmt_domain_arm(env->dom[0], NULL));
	assert_bad(env, nmt_wake(NULL));
	assert_bad(env, nmt_domain_close(NULL));
	assert_bad(env, nmt_stats(NULL, NULL, &st));
	assert_bad(env, nmt_stats(env->dom[0], NULL, NULL));
	assert_bad(env, nmt_listen(NULL, ":0", NULL, &l));
	assert_bad(env, nmt_listen(env->dom[0], NULL, NULL, &l));
	assert_bad(env, nmt_listen(env->dom[0], ":0", NULL, NULL));
	assert_bad(env, nmt_accept(NULL, NULL, &s));
	assert_bad(env, nmt_listener_addr(NULL, addr, sizeof(addr)));
	assert_bad(env, nmt_listener_close(NULL));
	assert_bad(env, nmt_connect(NULL, "127.0.0.1:1", NULL, &s));
	assert_bad(env, nmt_connect(env->dom[0], NULL, NULL, &s));
	assert_bad(env, nmt_connect(env->dom[0], "127.0.0.1:1", NULL, NULL));
}

/* Calls on a stream that is not open yet. */
static void t_transfer_before_open_is_eagain(struct env *env)
{
	struct end *e;
	char byte;

	env_open(env, NULL);
	e = end_connect(env, CLIENT, "localhost:9", NULL);
	assert_err(env, nmt_send(e->s, "x", 1, 0), -EAGAIN);
	if (env->cfg->recv == NMT_RECV_POOL)
		assert_err(env, nmt_recv(e->s, &byte, 1, 0), -EAGAIN);
	assert_err(env, nmt_shutdown(e->s, SHUT_WR), -ENOTCONN);
}

const struct test tests_args[] = {
	TEST(t_bad_send, T_HOST),
	TEST(t_bad_sendmsg, T_HOST),
	TEST(t_bad_recv, T_HOST | T_POOL),
	TEST(t_bad_send_mr_arguments, T_HOST),
	TEST(t_bad_send_mr_ranges, 0),
	TEST(t_bad_recv_into, 0),
	TEST(t_regions_of_another_context, 0),
	TEST(t_bad_recv_frags_and_release, T_HOST | T_POOL),
	TEST(t_null_streams, T_HOST),
	TEST(t_null_domains_and_listeners, T_HOST),
	TEST(t_transfer_before_open_is_eagain, T_HOST),
	TESTS_END,
};
