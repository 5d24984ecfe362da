/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * In the guest: streams over verbs between two hosts with SoftRoCE, with traffic both ways, while
 * links go down and come back, the network loses, delays and reorders, a queue pair breaks, the peer
 * is killed, the adapter is removed. What goes on has every byte once; what cannot says so at both
 * ends, in time. The ends, flows and configurations are the conformance suite's; the handshake is on
 * loopback, so that the RDMA path fails alone.
 *
 * Runs on host a; arguments: a pattern of tests, and a configuration for all of them.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "rma/rma_int.h"
#include "verbs.h"

#include "cable.h"
#include "suite.h"

#define BYTES (1024u * KIB)

static int shell(const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return system(text);
}

static void link_down(void)
{
	cable_out("");
}

static void link_up(void)
{
	cable_in("");
}

static void netem(const char *how)
{
	shell("ip netns exec b tc qdisc del dev veth_b root 2>/dev/null");
	if (how)
		assert_int_equal(shell("ip netns exec b tc qdisc add dev veth_b root netem %s", how), 0);
}

static bool path_up(const struct pair *p)
{
	return rma_of(p->c->s)->path == PATH_UP && rma_of(p->s->s)->path == PATH_UP;
}

static uint64_t recoveries(const struct pair *p)
{
	return end_info(p->c).recoveries;
}

/* ---- traffic ---- */

static void flows_begin(struct env *env, struct flow f[2], const struct pair *p)
{
	flow_init(env, &f[0], p->c, p->s, BYTES);
	flow_init(env, &f[1], p->s, p->c, BYTES);
	while (flows_turn(env, f, 2) && (f[0].in.pos < BYTES / 4 || f[1].in.pos < BYTES / 4))
		;
}

static void flows_for(struct env *env, struct flow f[2], int64_t ns)
{
	int64_t until = now_ns() + ns;

	while (now_ns() < until) {
		flows_turn(env, f, 2);
		env_spin(env, 1);
	}
}

static void finish(struct env *env, struct flow f[2], struct pair *p)
{
	flows_run(env, f, 2);
	pair_close(p);
}

/* ---- faults that pass ---- */

static void t_link_down_for_a_second(struct env *env)
{
	struct flow f[2];
	struct pair p;
	int64_t up;

	pair_open(env, &p);
	flows_begin(env, f, &p);
	link_down();
	flows_for(env, f, SEC);
	assert_true(f[0].in.pos < BYTES && f[1].in.pos < BYTES);
	assert_false(path_up(&p));
	link_up();
	up = now_ns();
	while (!path_up(&p) || !recoveries(&p))
		flows_for(env, f, 5 * MS);
	print_message("resumed %lld ms after the link came back\n",
		      (long long)((now_ns() - up) / MS));
	assert_true(now_ns() - up < 5 * SEC);
	finish(env, f, &p);
}

/*
 * Outages of all lengths, the next one when the path has been up for a while: a link that goes down
 * in the middle of a handshake breaks SoftRoCE's management queue pair for good.
 */
static void t_link_flaps(struct env *env)
{
	struct flow f[2];
	struct pair p;

	pair_open(env, &p);
	flows_begin(env, f, &p);
	for (int i = 0; i < 4; i++) {
		link_down();
		flows_for(env, f, (int64_t)rng_below(&env->rng, 300) * MS);
		link_up();
		flows_for(env, f, 300 * MS);
		while (!path_up(&p))
			flows_for(env, f, 50 * MS);
	}
	finish(env, f, &p);
}

static void t_lossy_network(struct env *env)
{
	struct flow f[2];
	struct pair p;

	pair_open(env, &p);
	netem("delay 2ms 1ms loss 1% reorder 5%");
	flows_begin(env, f, &p);
	finish(env, f, &p);
	netem(NULL);
}

/* Nothing gets through for longer than the retries last, and no one says so. */
static void t_silent_loss(struct env *env)
{
	struct flow f[2];
	struct pair p;

	pair_open(env, &p);
	flows_begin(env, f, &p);
	netem("loss 100%");
	while (path_up(&p))
		flows_for(env, f, 5 * MS);
	netem(NULL);
	finish(env, f, &p);
	assert_true(p.c->closed && p.s->closed);
}

static void break_queue_pair(struct end *e)
{
	struct ibv_qp_attr attr = { .qp_state = IBV_QPS_ERR };
	struct nmti_rma_ep *ep = rma_of(e->s)->rails[0].ep;

	assert_non_null(ep);
	assert_int_equal(ibv_modify_qp(ep->qp, &attr, IBV_QP_STATE), 0);
}

/* Another stream of the same domains hears nothing of it. */
static void t_queue_pair_breaks(struct env *env)
{
	struct flow f[2];
	struct pair p, other;

	pair_open(env, &other);
	pair_open(env, &p);
	flows_begin(env, f, &p);
	break_queue_pair(p.c);
	flows_for(env, f, 50 * MS);
	if (path_up(&p))
		break_queue_pair(p.s);
	finish(env, f, &p);
	assert_int_equal(recoveries(&other), 0);
	pair_works(&other, 10000);
}

/* ---- faults that stay ---- */

static bool path_error(int error)
{
	return error == -ETIMEDOUT || error == -ECONNRESET || error == -ENODEV;
}

/*
 * Both ends say so within the recovery time and what it takes to notice; -ENODEV where the adapter is
 * gone.
 */
static void both_fail(struct env *env, struct pair *p, int64_t within)
{
	int64_t begin = now_ns();

	while (!p->c->error || !p->s->error)
		env_turn_short(env, "errors at both ends", __FILE__, __LINE__);
	print_message("known after %lld ms: %d and %d\n", (long long)((now_ns() - begin) / MS),
		      p->c->error, p->s->error);
	assert_true(now_ns() - begin < within);
	assert_true(path_error(p->c->error) && path_error(p->s->error));
}

static void lost_for_ever(struct env *env, void (*lose)(void))
{
	struct pair_opt opt;
	struct pair p;

	pair_defaults(env, &opt);
	opt.c.recovery_timeout = opt.s.recovery_timeout = 2 * SEC;
	pair_open_opt(env, &p, &opt);
	pair_works(&p, 10000);
	if (env->cfg->recv == NMT_RECV_POOL)
		end_fill(p.c, 1, 0);
	else
		end_put_pattern(p.c, 1, 0, 1000);
	lose();
	if (env->cfg->recv == NMT_RECV_POOL)
		end_put_pattern(p.s, 2, 0, 1000); /* who says nothing hears of nothing */
	both_fail(env, &p, 10 * SEC);
	end_close(p.c);
	end_close(p.s);
}

static void t_link_down_for_ever(struct env *env)
{
	lost_for_ever(env, link_down);
	link_up();
}

static void lose_all(void)
{
	netem("loss 100%");
}

static void t_silence_for_ever(struct env *env)
{
	lost_for_ever(env, lose_all);
	netem(NULL);
}

/* ---- many streams ---- */

#define MANY 60u

/* Objects of the kernel's for a device: of queue pairs and registrations. */
static void objects(const char *device, int *qp, int *mr)
{
	char cmd[64], line[512] = "";
	FILE *f;

	snprintf(cmd, sizeof(cmd), "rdma res show %s", device);
	f = popen(cmd, "r");
	assert_non_null(f);
	assert_non_null(fgets(line, sizeof(line), f));
	pclose(f);
	*qp = atoi(strstr(line, " qp ") + 4);
	*mr = atoi(strstr(line, " mr ") + 4);
}

/* Streams come and go under traffic, in order and not, and the device has what it had before. */
static void t_streams_leave_nothing(struct env *env)
{
	int qp[2], mr[2], qp_now[2], mr_now[2];
	static const char *const device[] = { "rxe_a", "rxe_b" };

	env_open(env, NULL);
	for (int i = 0; i < 2; i++)
		objects(device[i], &qp[i], &mr[i]);
	for (int round = 0; round < 2; round++) {
		static struct pair p[MANY];

		for (unsigned int i = 0; i < MANY; i++)
			pair_open(env, &p[i]);
		for (unsigned int i = 0; i < MANY; i++)
			pair_works(&p[i], 3000);
		for (unsigned int i = 0; i < MANY; i++) {
			if (i % 3)
				end_put_pattern(p[i].c, 1, 0, 1000);
			if (i % 3 == 2)
				end_abort(p[i].s);
			else
				end_close(p[i].s);
			if (i % 2)
				end_abort(p[i].c);
			else
				end_close(p[i].c);
		}
		for (unsigned int i = 0; i < MANY; i++)
			wait_for(env, p[i].c->closed && p[i].s->closed);
	}
	for (int i = 0; i < 2; i++) {
		objects(device[i], &qp_now[i], &mr_now[i]);
		assert_int_equal(qp_now[i], qp[i]);
		assert_int_equal(mr_now[i], mr[i]);
	}
}

/* ---- the peer dies ---- */

/* A server that takes all that comes, on host b's device; its address goes to FD. */
static _Noreturn void peer_main(const struct suite *suite, int fd)
{
	struct test none = { .name = "peer" };
	struct env env = { .suite = suite, .cfg = &suite->cfg, .test = &none, .epfd = -1,
			   .child = true, .deadline = now_ns() + 60 * SEC };
	struct lis *l;
	struct end *e;
	char buf[4096];

	env_open(&env, NULL);
	l = lis_open(&env, "127.0.0.1:0", NULL);
	if (write(fd, l->addr, sizeof(l->addr)) < 0)
		_exit(1);
	e = lis_accept(l, SERVER);
	for (;;) {
		env_spin(&env, 1);
		if (e->connected)
			nmt_recv(e->s, buf, sizeof(buf), 0);
	}
}

static void t_peer_killed(struct env *env)
{
	char addr[NMT_ADDR_MAX], buf[4096] = "";
	struct end *e;
	int64_t begin;
	int fds[2];
	pid_t pid;

	assert_int_equal(pipe(fds), 0);
	fflush(NULL);
	pid = fork();
	if (!pid)
		peer_main(env->suite, fds[1]);
	assert_int_equal(read(fds[0], addr, sizeof(addr)), sizeof(addr));
	env_open(env, NULL);
	e = end_connect(env, CLIENT, addr, NULL);
	wait_for(env, e->connected || e->error);
	assert_true(e->connected);
	for (int i = 0; i < 200; i++) {
		nmt_send(e->s, buf, sizeof(buf), 0);
		env_spin(env, 1);
	}
	begin = now_ns();
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	wait_short(env, e->error);
	print_message("known after %lld ms: %d\n", (long long)((now_ns() - begin) / MS), e->error);
	assert_int_equal(e->error, -ECONNRESET);
	close(fds[0]);
	close(fds[1]);
}

/* ---- the adapter goes ---- */

static void t_adapter_removed(struct env *env)
{
	struct nmt_domain *dom;
	struct pair_opt opt;
	struct pair p;
	int64_t until;
	int status;
	pid_t pid;

	pair_defaults(env, &opt);
	opt.c.recovery_timeout = opt.s.recovery_timeout = 2 * SEC;
	pair_open_opt(env, &p, &opt);
	pair_works(&p, 10000);
	end_put_pattern(p.c, 1, 0, 1000);
	pid = fork();
	if (!pid) { /* another program, or the mappings of this one would hold the adapter */
		execlp("rdma", "rdma", "link", "delete", "rxe_a", NULL);
		_exit(99);
	}
	both_fail(env, &p, 10 * SEC);
	wait_short(env, waitpid(pid, &status, WNOHANG) == pid);
	assert_int_equal(status, 0);
	end_close(p.c);
	end_close(p.s);
	assert_true(nmt_domain_open(env->ctx, "verbs", NULL, &dom) < 0);
	assert_int_equal(shell("rdma link add rxe_a type rxe netdev veth_a"), 0);
	for (until = now_ns() + 5 * SEC; nmt_domain_open(env->ctx, "verbs", NULL, &dom);) {
		assert_true(now_ns() < until);
		usleep(100000);
	}
	nmt_domain_close(dom);
}

/* ---- which, over what ---- */

static const char *only;

static void run(const char *name, void (*fn)(struct env *env), const char *config)
{
	struct test test = { .name = name, .run = fn, .limit_ms = 40000 };
	struct suite suite = { .seed = (uint64_t)now_ns(), .host = "b" };

	if (getenv("NMT_SEED"))
		suite.seed = strtoull(getenv("NMT_SEED"), NULL, 0);
	if (!config_find(config, &suite.cfg)) {
		fprintf(stderr, "no configuration %s\n", config);
		abort();
	}
	print_message("%s over %s, seed %llu\n", name, config, (unsigned long long)suite.seed);
	env_run(&suite, &test);
}

#define POOL "verbs.negotiated.pool.host"
#define POSTED "verbs.records.posted.host"
#define RAILS "verbs@3.records.pool.host"

#define BOTH(test, one, two)                                                                       \
	static void test_##test(void **state)                                                      \
	{                                                                                          \
		(void)state;                                                                       \
		run(#test, t_##test, only ? only : one);                                           \
		if (two && !only)                                                                  \
			run(#test, t_##test, two);                                                 \
	}

BOTH(link_down_for_a_second, POOL, POSTED)
BOTH(link_flaps, RAILS, NULL)
BOTH(lossy_network, RAILS, POSTED)
BOTH(silent_loss, POOL, NULL)
BOTH(queue_pair_breaks, POOL, RAILS)
BOTH(link_down_for_ever, POOL, POSTED)
BOTH(silence_for_ever, POOL, NULL)
BOTH(streams_leave_nothing, POOL, NULL)
BOTH(peer_killed, POOL, NULL)
BOTH(adapter_removed, POOL, NULL)

static int network_as_before(void **state)
{
	(void)state;
	netem(NULL);
	link_up();
	return 0;
}

#define TEST_OF(f) cmocka_unit_test_teardown(test_##f, network_as_before)

/* What the libraries below open once and keep is open then, so that no test is blamed for it. */
static void warm_up(void)
{
	struct test none = { .name = "warm-up" };
	struct suite suite = { .host = "b" };
	struct env env = { .suite = &suite, .cfg = &suite.cfg, .test = &none, .epfd = -1 };

	if (!config_find(POOL, &suite.cfg))
		abort();
	env_open(&env, NULL);
	nmt_domain_close(env.dom[CLIENT]);
	nmt_domain_close(env.dom[SERVER]);
	nmt_ctx_close(env.ctx);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		TEST_OF(queue_pair_breaks),
		TEST_OF(lossy_network),
		TEST_OF(silent_loss),
		TEST_OF(link_down_for_a_second),
		TEST_OF(link_flaps),
		TEST_OF(link_down_for_ever),
		TEST_OF(silence_for_ever),
		TEST_OF(streams_leave_nothing),
		TEST_OF(peer_killed),
		TEST_OF(adapter_removed),
	};

	only = argc > 2 ? argv[2] : NULL;
	warm_up();
	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests_name("streams over verbs", tests, NULL, NULL);
}
