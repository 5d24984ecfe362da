/* SPDX-License-Identifier: BSD-2-Clause */
/* The same bytes under other settings: cells, spinning, buffers, devices, the socket in poll(2). */
#include <poll.h>
#include <stdlib.h>

#include "suite.h"

static void flow_with(struct env *env, const struct nmt_domain_attr *attr)
{
	struct flow f[2];
	struct pair p;

	env_open(env, attr);
	pair_open(env, &p);
	flow_init(env, &f[0], p.c, p.s, MIB);
	flow_init(env, &f[1], p.s, p.c, MIB);
	flows_run(env, f, 2);
	pair_close(&p);
}

static void t_smallest_cells(struct env *env)
{
	struct nmt_domain_attr attr = env_domain_attr(env);

	attr.cell_size = 4 * KIB;
	attr.pool_size = 64 * KIB;
	flow_with(env, &attr);
}

static void t_large_cells(struct env *env)
{
	struct nmt_domain_attr attr = env_domain_attr(env);

	attr.cell_size = 4 * MIB;
	attr.pool_size = 32 * MIB;
	flow_with(env, &attr);
}

static void t_default_domain(struct env *env)
{
	struct nmt_domain_attr attr = NMT_DOMAIN_ATTR_INIT;

	attr.pool_kind = config_pool(env->cfg);
	flow_with(env, &attr);
}

static void t_budget_of_one(struct env *env)
{
	struct nmt_domain_attr attr = env_domain_attr(env);

	attr.budget = 1;
	flow_with(env, &attr);
}

static void t_spinning_and_never_spinning(struct env *env)
{
	struct nmt_domain_attr attr = env_domain_attr(env);
	struct nmt_event ev;
	int64_t start;

	attr.spin_ns = -1;
	attr.flags = NMT_DOMAIN_SPIN_ALWAYS;
	flow_with(env, &attr);
	start = now_ns();
	assert_int_equal(nmt_poll(env->dom[CLIENT], &ev, 1, 20 * MS), 0);
	assert_true(now_ns() - start >= 19 * MS);
}

static void t_small_queues_and_buffers(struct env *env)
{
	struct pair_opt opt;
	struct flow f;
	struct pair p;

	pair_defaults(env, &opt);
	opt.c.sndbuf = 8 * KIB;
	opt.s.rcvbuf = 128 * KIB;
	opt.c.send_depth = 1;
	opt.s.recv_depth = FLOW_POSTS;
	opt.s.pool_share = 64 * KIB;
	pair_open_opt(env, &p, &opt);
	flow_init(env, &f, p.c, p.s, 200 * KIB);
	flows_run(env, &f, 1);
}

/* The most buffers that nmt.h allows; some are empty. */
static void t_1024_buffers_in_a_call(struct env *env)
{
	unsigned char *out = malloc(40 * KIB), *in = malloc(40 * KIB);
	struct iovec iov[1024];
	size_t total = 0, got = 0, done;
	struct pair p;

	pair_open(env, &p);
	for (size_t i = 0; i < 1024; total += i++ % 60)
		iov[i] = (struct iovec){ out + total, i % 60 };
	pattern_fill(1, 0, out, total);
	done = (size_t)nmt_sendmsg(p.c->s, iov, 1024, 0);
	assert_true(done > 0 && done <= total);
	end_put(p.c, out + done, total - done, 0);
	for (size_t i = 0, at = 0; i < 1024; at += i++ % 60)
		iov[i].iov_base = in + at;
	while (got == 0) {
		ssize_t n = nmt_recvmsg(p.s->s, iov, 1024, 0, NULL);

		assert_true(n == -EAGAIN || n > 0);
		if (n > 0)
			got = (size_t)n;
		else
			env_turn(env, "bytes in 1024 buffers", __FILE__, __LINE__);
	}
	assert_int_equal(pattern_check(1, 0, in, got), -1);
	end_expect(p.s, 1, got, total - got);
	free(out);
	free(in);
}

static void t_receive_of_length_zero(struct env *env)
{
	char byte;
	struct pair p;

	pair_open(env, &p);
	assert_err(env, nmt_recv(p.s->s, &byte, 0, 0), 0);
	end_put_pattern(p.c, 1, 0, 10);
	wait_for(env, p.s->readable > 0);
	assert_err(env, nmt_recv(p.s->s, &byte, 0, 0), 0);
	end_expect(p.s, 1, 0, 10);
}

/* The loopback device by name; binding sockets to it needs no privilege on kernels since 5.7. */
static void t_provider_on_a_device(struct env *env)
{
	struct nmt_domain *old[2];
	struct pair p;

	env_open(env, NULL);
	for (int i = 0; i < 2; i++) {
		old[i] = env->dom[i];
		assert_ok(env, nmt_domain_open(env->ctx, "tcp/lo", NULL, &env->dom[i]));
		assert_ok(env, nmt_domain_close(old[i]));
	}
	pair_open(env, &p);
	assert_string_equal(end_info(p.c).provider, "tcp");
	pair_works(&p, 10000);
}

/* The socket of a raw stream wakes poll(2); the domain need not be polled in between. */
static void t_socket_in_another_loop(struct env *env)
{
	unsigned char buf[64];
	struct pollfd pfd = { .events = POLLIN };
	struct pair p;

	pair_open(env, &p);
	pfd.fd = nmt_stream_fd(p.s->s);
	assert_true(pfd.fd >= 0);
	for (uint64_t i = 0; i < 50; i++) {
		pattern_fill(1, i * 50, buf, 50);
		assert_int_equal(nmt_send(p.c->s, buf, 50, 0), 50);
		assert_int_equal(poll(&pfd, 1, 1000), 1);
		assert_int_equal(nmt_recv(p.s->s, buf, sizeof(buf), 0), 50);
		assert_int_equal(pattern_check(1, i * 50, buf, 50), -1);
	}
	end_close(p.c);
	assert_int_equal(poll(&pfd, 1, 1000), 1);
	assert_int_equal(nmt_recv(p.s->s, buf, sizeof(buf), 0), 0);
}

const struct test tests_variants[] = {
	TEST(t_smallest_cells, 0),
	TEST(t_large_cells, 0),
	TEST(t_default_domain, T_HOST),
	TEST(t_budget_of_one, T_HOST),
	TEST(t_spinning_and_never_spinning, T_HOST),
	TEST(t_small_queues_and_buffers, 0),
	TEST(t_1024_buffers_in_a_call, T_POOL),
	TEST(t_receive_of_length_zero, T_POOL),
	TEST(t_provider_on_a_device, T_KERNEL | T_HOST),
	TEST(t_socket_in_another_loop, T_RAW | T_POOL),
	TESTS_END,
};
