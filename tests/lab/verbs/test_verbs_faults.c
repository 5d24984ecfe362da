/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * In the guest: what breaks a path of the verbs ops, between two hosts with SoftRoCE: a fence or an
 * end under traffic, a peer that is killed, links that go down or lose everything, a queue pair that
 * breaks, an adapter that is removed. Argument: a pattern of tests, as test_verbs_ops.
 */
#include "cable.h"
#include "rig.h"

#include <signal.h>
#include <sys/wait.h>

static struct side a, b;
static struct end x, y, x2, y2;
static struct mem ma, mb;

#define LEN 4096u

static int setup(void **state)
{
	(void)state;
	side_open(&a, "a", "rxe_a");
	side_open(&b, "b", "rxe_b");
	mem_new(&ma, &a, 64 * LEN);
	mem_new(&mb, &b, 64 * LEN);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	rig_shell("ip netns exec b tc qdisc del dev veth_b root 2>/dev/null");
	mem_free(&ma);
	mem_free(&mb);
	side_close(&a);
	side_close(&b);
	return 0;
}

static struct nmti_rma_ep_attr deep(void)
{
	struct nmti_rma_ep_attr attr = rig_attr(NULL, NULL);

	attr.run_slots = 200;
	return attr;
}

/* Post until the queue is full; every byte is VALUE. Returns how many were taken. */
static uint32_t flood(struct end *from, uint32_t len, uint8_t value)
{
	uint32_t n = 0;

	memset(ma.p, value, len);
	side_enter(from->side);
	while (!end_write(from, &ma.reg, 0, len, &mb.reg, n % 64 * LEN, n, NMTI_RMA_MORE))
		n++;
	return n;
}

/* ---- fence and destroy ---- */

/* The receiver fences while the peer writes: after DRAINED its memory stands still. */
static void test_fence_receiver(void **state)
{
	struct nmti_rma_ep_attr attr = deep();
	uint8_t *copy = malloc(64 * LEN);

	(void)state;
	for (int turn = 0; turn < 10; turn++) {
		ends_join(&x, &a, &y, &b, &attr);
		flood(&x, LEN, (uint8_t)(turn * 2 + 1));
		RIG_UNTIL(&a, &b, RIG_LIMIT, y.imms > (unsigned int)turn);
		side_enter(&b);
		ops->fence(y.ep);
		RIG_UNTIL(NULL, &b, RIG_LIMIT, y.drained);
		assert_int_equal(y.failed, 0);
		memcpy(copy, mb.p, 64 * LEN);
		nmti_verbs_cm_unpark(b.dev); /* now, so that the peer hears of it */
		memset(ma.p, turn * 2 + 2, LEN);
		for (int k = 0; k < 30; k++) {
			side_enter(&a);
			end_write(&x, &ma.reg, 0, LEN, &mb.reg, 0, 0, 0);
			side_step(&a);
			side_step(&b);
		}
		RIG_UNTIL(&a, &b, RIG_LIMIT, x.failed);
		assert_memory_equal(copy, mb.p, 64 * LEN);
		ops->fence(y.ep); /* again: nothing */
		side_enter(&a);
		ops->fence(x.ep);
		RIG_UNTIL(&a, &b, RIG_LIMIT, x.drained);
		end_destroy(&x);
		end_destroy(&y);
	}
	assert_false(side_logged(&a, "did not drain"));
	assert_false(side_logged(&b, "did not drain"));
	free(copy);
}

/* The sender fences: with requests that asked for no completion, done or not, and a chain held. */
static void test_fence_sender(void **state)
{
	struct nmti_rma_ep_attr attr = deep();

	(void)state;
	for (uint32_t n = 0; n < 40; n += 3) {
		int64_t begin;
		uint64_t number;

		ends_join(&x, &a, &y, &b, &attr);
		side_enter(&a);
		for (uint32_t i = 0; i < n; i++)
			assert_int_equal(end_write(&x, &ma.reg, 0, 64, &mb.reg, 0, i,
						   i % 2 ? 0 : NMTI_RMA_MORE), 0);
		if (n % 2)
			RIG_UNTIL(&a, &b, RIG_LIMIT, y.imms >= n - 1); /* most are done, unheard of */
		begin = nmti_now();
		side_enter(&a);
		number = x.number;
		ops->fence(x.ep);
		nmti_verbs_cm_unpark(a.dev);
		RIG_UNTIL(&a, &b, RIG_LIMIT, x.drained && y.failed);
		assert_true(nmti_now() - begin < 4 * SEC); /* not by the guard's 5 s */
		assert_true(x.number >= number);
		assert_int_equal(x.failed, 0);
		assert_int_equal(end_write(&x, &ma.reg, 0, 64, &mb.reg, 0, 0, 0), -ENOTCONN);
		assert_int_equal(end_send(&x, "", 0, 0), -ENOTCONN);
		ends_part(&x, &y);
		assert_true(x.number <= y.imms); /* what was told complete did arrive */
	}
	assert_false(side_logged(&a, "did not drain"));
}

static void test_fence_unconnected(void **state)
{
	struct nmti_rma_ep_attr attr = rig_attr(&x, NULL), peer = attr;

	(void)state;
	assert_int_equal(end_expect(&y, &b, &attr), 0);
	ops->fence(y.ep);
	RIG_UNTIL(NULL, &b, RIG_LIMIT, y.drained);
	assert_int_equal(end_connect(&x, &a, &b, &peer), 0);
	ops->fence(x.ep);
	RIG_UNTIL(&a, &b, RIG_LIMIT, x.drained);
	end_destroy(&x);
	end_destroy(&y);
	/* At each step of the handshake. */
	for (int steps = 0; steps < 12; steps++) {
		attr = rig_attr(&y, NULL);
		peer = attr;
		assert_int_equal(end_expect(&y, &b, &attr), 0);
		assert_int_equal(end_connect(&x, &a, &b, &peer), 0);
		for (int i = 0; i < steps * 20; i++) {
			side_step(&a);
			side_step(&b);
		}
		side_enter(&b);
		ops->fence(y.ep);
		RIG_UNTIL(&a, &b, RIG_LIMIT, y.drained && x.failed);
		ends_part(&x, &y);
	}
	assert_false(side_logged(&b, "did not drain"));
}

/* No completion of a destroyed endpoint is told, and one in its place hears nothing of it. */
static void test_destroy(void **state)
{
	struct nmti_rma_ep_attr attr = deep();
	uint8_t *copy = malloc(64 * LEN);

	(void)state;
	for (int turn = 0; turn < 10; turn++) {
		uint32_t n;

		ends_join(&x, &a, &y, &b, &attr);
		n = flood(&x, LEN, (uint8_t)(turn + 100));
		RIG_FOR(&a, NULL, turn * 5 * MS);
		end_destroy(&y);
		memcpy(copy, mb.p, 64 * LEN);
		ends_join(&x2, &a, &y2, &b, &attr); /* the same place in the table */
		RIG_UNTIL(&a, &b, RIG_LIMIT, x.failed);
		assert_memory_equal(copy, mb.p, 64 * LEN);
		end_destroy(&x);
		side_enter(&a);
		assert_int_equal(end_write(&x2, &ma.reg, 0, 1, &mb.reg, 0, 7, NMTI_RMA_SIGNAL), 0);
		RIG_UNTIL(&a, &b, RIG_LIMIT, x2.number == 1 && y2.imms);
		assert_int_equal(y2.imms, 1);
		assert_int_equal(y2.imm[0].imm, 7);
		assert_int_equal(n, attr.send_depth);
		ends_part(&x2, &y2);
	}
	for (uint32_t c = 0; c < b.dev->ncqs; c++)
		assert_int_equal(b.dev->cqs[c].reserved + b.dev->cqs[c].stale, 0);
	free(copy);
}

/* ---- memory that is not open ---- */

static void test_bad_key(void **state)
{
	static const uint64_t at[] = { 0, 64 * LEN - 1, UINT64_MAX, 64 * LEN };
	struct nmti_rma_reg wrong;

	(void)state;
	for (int i = 0; i < 4; i++) {
		ends_join(&x, &a, &y, &b, NULL);
		ends_join(&x2, &a, &y2, &b, NULL);
		wrong = mb.reg;
		wrong.key ^= i == 0 ? 0x10 : 0;
		memset(mb.p, 1, 64 * LEN);
		memset(ma.p, 2, 64 * LEN);
		side_enter(&a);
		assert_int_equal(end_write(&x, &ma.reg, 0, LEN, &wrong, at[i], 1,
					   NMTI_RMA_SIGNAL), 0);
		RIG_UNTIL(&a, &b, RIG_LIMIT, x.failed);
		assert_int_equal(x.status, -EACCES);
		assert_non_null(strstr(x.text, "not open to this key"));
		for (uint32_t k = 0; k < 64 * LEN; k++)
			assert_int_equal(mb.p[k], 1);
		/* Only this endpoint. */
		side_enter(&a);
		assert_int_equal(end_write(&x2, &ma.reg, 0, LEN, &mb.reg, 0, 1, 0), 0);
		RIG_UNTIL(&a, &b, RIG_LIMIT, y2.imms);
		ends_part(&x, &y);
		ends_part(&x2, &y2);
	}
}

/* A registration without remote access, and one that was taken back. */
static void test_closed_memory(void **state)
{
	struct nmti_rma_reg local;
	const char *reason;
	struct mem m;

	(void)state;
	side_enter(&b);
	assert_int_equal(ops->reg(b.dev, mb.mr, 0, 64 * LEN, false, &local, &reason), 0);
	assert_int_equal(local.key, 0);
	for (int i = 0; i < 2; i++) {
		struct nmti_rma_reg to = local;

		mem_new(&m, &b, LEN);
		if (i == 0)
			to.key = ((struct verbs_reg *)local.handle)->mr->rkey;
		else
			to = m.reg;
		mem_free(&m);
		ends_join(&x, &a, &y, &b, NULL);
		side_enter(&a);
		assert_int_equal(end_write(&x, &ma.reg, 0, 64, &to, 0, 1, NMTI_RMA_SIGNAL), 0);
		RIG_UNTIL(&a, &b, RIG_LIMIT, x.failed);
		assert_int_equal(x.status, -EACCES);
		ends_part(&x, &y);
	}
	ops->dereg(b.dev, &local);
}

/* ---- the queue pair breaks ---- */

static void test_queue_pair(void **state)
{
	struct ibv_qp_attr attr = { .qp_state = IBV_QPS_ERR };

	(void)state;
	ends_join(&x, &a, &y, &b, NULL);
	ends_join(&x2, &a, &y2, &b, NULL);
	assert_int_equal(ibv_modify_qp(x.ep->qp, &attr, IBV_QP_STATE), 0);
	side_enter(&a);
	if (x.ep->srq) /* flushes no receives, and SoftRoCE does not tell: a request finds out */
		assert_int_equal(end_write(&x, &ma.reg, 0, 64, &mb.reg, 0, 1, NMTI_RMA_SIGNAL), 0);
	RIG_UNTIL(&a, &b, RIG_LIMIT, x.failed);
	assert_int_equal(x.status, -ECONNRESET);
	assert_non_null(strstr(x.text, "error state"));
	side_enter(&a);
	ops->fence(x.ep);
	RIG_UNTIL(&a, &b, RIG_LIMIT, x.drained && y.failed);
	assert_int_equal(x2.failed + y2.failed, 0);
	side_enter(&a);
	assert_int_equal(end_write(&x2, &ma.reg, 0, LEN, &mb.reg, 0, 1, 0), 0);
	RIG_UNTIL(&a, &b, RIG_LIMIT, y2.imms);
	ends_part(&x, &y);
	ends_part(&x2, &y2);
}

/* ---- the peer dies ---- */

/* A process on host b that expects one connection and says where; it takes all that comes. */
static pid_t peer_start(struct side *seen)
{
	int fds[2];
	pid_t pid;

	assert_int_equal(pipe(fds), 0);
	pid = fork();
	if (!pid) {
		static struct side mine;
		struct nmti_rma_ep_attr attr = deep();

		side_open(&mine, "b", "rxe_b");
		mem_new(&mb, &mine, 64 * LEN);
		if (end_expect(&y, &mine, &attr) || write(fds[1], &mine, sizeof(mine)) < 0 ||
		    write(fds[1], &mb.reg, sizeof(mb.reg)) < 0)
			_exit(1);
		for (;;)
			side_step(&mine);
	}
	close(fds[1]);
	for (size_t got = 0; got < sizeof(*seen);) {
		ssize_t n = read(fds[0], (char *)seen + got, sizeof(*seen) - got);

		assert_true(n > 0);
		got += (size_t)n;
	}
	assert_int_equal(read(fds[0], &mb.reg, sizeof(mb.reg)), sizeof(mb.reg));
	close(fds[0]);
	return pid;
}

static void peer_killed(bool busy)
{
	static struct side peer;
	struct nmti_rma_ep_attr attr = deep();
	struct nmti_rma_reg own = mb.reg;
	pid_t pid = peer_start(&peer);
	int64_t begin;

	assert_int_equal(end_connect(&x, &a, &peer, &attr), 0);
	RIG_UNTIL(&a, NULL, RIG_LIMIT, x.connected);
	if (busy)
		RIG_UNTIL(&a, NULL, RIG_LIMIT, (flood(&x, LEN, 1), x.number > 100));
	begin = nmti_now();
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	RIG_UNTIL(&a, NULL, 6 * SEC, x.failed);
	print_message("%s: known after %lld ms: %s\n", busy ? "busy" : "idle",
		      (long long)((x.failed_at - begin) / MS), x.text);
	assert_true(x.status == -ECONNRESET || x.status == -ETIMEDOUT || x.status == -EACCES ||
		    x.status == -EPROTO);
	side_enter(&a);
	ops->fence(x.ep);
	RIG_UNTIL(&a, NULL, RIG_LIMIT, x.drained);
	end_destroy(&x);
	mb.reg = own;
}

static void test_killed_idle(void **state)
{
	(void)state;
	peer_killed(false);
}

static void test_killed_busy(void **state)
{
	(void)state;
	peer_killed(true);
}

/* ---- the network ---- */

/* Nothing gets through, and no one says so: the retries end it. */
static void test_lost_packets(void **state)
{
	int64_t begin;

	(void)state;
	ends_join(&x, &a, &y, &b, NULL);
	assert_int_equal(rig_shell("ip netns exec b tc qdisc add dev veth_b root netem loss 100%%"), 0);
	begin = nmti_now();
	side_enter(&a);
	assert_int_equal(end_write(&x, &ma.reg, 0, 64, &mb.reg, 0, 1, NMTI_RMA_SIGNAL), 0);
	RIG_UNTIL(&a, &b, 12 * SEC, x.failed);
	print_message("known after %lld ms: %s\n", (long long)((x.failed_at - begin) / MS), x.text);
	assert_int_equal(x.status, -ETIMEDOUT);
	assert_non_null(strstr(x.text, "NMT_VERBS_TIMEOUT"));
	assert_non_null(strstr(x.text, "10.77.0.1:0 -> 10.77.0.2"));
	assert_true(x.failed_at - begin > 800 * MS && x.failed_at - begin < 8 * SEC);
	begin = nmti_now();
	side_enter(&a);
	ops->fence(x.ep); /* telling a peer that does not answer is nothing to wait for */
	assert_true(nmti_now() - begin < 1 * SEC);
	assert_int_equal(rig_shell("ip netns exec b tc qdisc del dev veth_b root"), 0);
	ends_part(&x, &y);
}

/* A first connection to nowhere fails soon; one that resumes goes on until its deadline. */
static void test_nowhere(void **state)
{
	struct nmti_rma_ep_attr attr = rig_attr(&x, NULL);
	int64_t begin = nmti_now();

	(void)state;
	b.blob[1] = 1;
	b.blob_len = 24;
	b.blob[11] = 99;
	assert_int_equal(end_connect(&x, &a, &b, &attr), 0);
	side_enter(&a);
	ops->destroy(x.ep);
	x.strict = true;
	assert_int_equal(end_connect(&x, &a, &b, &attr), 0);
	RIG_UNTIL(&a, NULL, RIG_LIMIT, x.failed);
	print_message("known after %lld ms: %s\n", (long long)((nmti_now() - begin) / MS), x.text);
	assert_true(nmti_now() - begin < 6 * SEC);
	end_destroy(&x);
	a.dev->opt.connect_timeout = 3500; /* twice what the first takes */
	attr.epoch = 1;
	begin = nmti_now();
	assert_int_equal(end_connect(&x, &a, &b, &attr), 0);
	RIG_UNTIL(&a, NULL, RIG_LIMIT, x.failed);
	assert_in_range(nmti_now() - begin, 3 * SEC, 6 * SEC);
	end_destroy(&x);
}

/* The side that expects looks so late that the first attempts are over. */
static void test_looks_late(void **state)
{
	struct nmti_rma_ep_attr attr = rig_attr(&x, NULL), peer = attr;

	(void)state;
	assert_int_equal(end_expect(&y, &b, &peer), 0);
	assert_int_equal(end_connect(&x, &a, &b, &attr), 0);
	RIG_FOR(&a, NULL, 3500 * MS);
	assert_int_equal(x.connected + x.failed, 0);
	RIG_UNTIL(&a, &b, RIG_LIMIT, x.failed || y.failed || (x.connected && y.connected));
	assert_int_equal(x.failed + y.failed, 0);
	ends_part(&x, &y);
}

static void test_nobody_comes(void **state)
{
	struct nmti_rma_ep_attr attr = rig_attr(&y, NULL);

	(void)state;
	b.dev->opt.connect_timeout = 300;
	assert_int_equal(end_expect(&y, &b, &attr), 0);
	RIG_UNTIL(NULL, &b, RIG_LIMIT, y.failed);
	assert_int_equal(y.status, -ETIMEDOUT);
	assert_non_null(strstr(y.text, "NMT_VERBS_CONNECT_TIMEOUT"));
	end_destroy(&y);
}

/* The link goes down: both sides know at once. It comes back: so does the connection. */
static void test_link(void **state)
{
	struct nmti_rma_ep_attr attr = rig_attr(&x, NULL), peer;
	int64_t begin;

	(void)state;
	ends_join(&x, &a, &y, &b, NULL);
	begin = nmti_now();
	cable_out("");
	side_enter(&a);
	end_write(&x, &ma.reg, 0, 64, &mb.reg, 0, 1, NMTI_RMA_SIGNAL);
	RIG_UNTIL(&a, &b, 6 * SEC, x.failed && y.failed);
	print_message("known after %lld and %lld ms: %s\n", (long long)((x.failed_at - begin) / MS),
		      (long long)((y.failed_at - begin) / MS), y.text);
	ends_part(&x, &y);
	attr.epoch = 1;
	peer = attr;
	assert_int_equal(end_expect(&y, &b, &attr), 0);
	assert_int_equal(end_connect(&x, &a, &b, &peer), 0);
	RIG_FOR(&a, &b, 1500 * MS);
	assert_int_equal(x.connected + y.connected + x.failed + y.failed, 0);
	cable_in("");
	begin = nmti_now();
	RIG_UNTIL(&a, &b, 8 * SEC, x.connected && y.connected);
	print_message("connected %lld ms after the link\n", (long long)((nmti_now() - begin) / MS));
	assert_true(nmti_now() - begin < 5 * SEC);
	side_enter(&a);
	assert_int_equal(end_write(&x, &ma.reg, 0, 64, &mb.reg, 0, 9, NMTI_RMA_SIGNAL), 0);
	RIG_UNTIL(&a, &b, RIG_LIMIT, y.imms && x.number == 1);
	assert_int_equal(y.imm[0].imm, 9);
	ends_part(&x, &y);
}

/*
 * The link goes down in the middle of a handshake, which is given up. What is said of that cannot go
 * out; with SoftRoCE no connection would ever be made again.
 */
static void test_link_in_handshake(void **state)
{
	struct nmti_rma_ep_attr attr = rig_attr(&y, NULL);

	(void)state;
	ends_join(&x, &a, &y, &b, NULL); /* the neighbours know each other */
	ends_part(&x, &y);
	assert_int_equal(rig_shell("ip netns exec a tc qdisc add dev veth_a root netem loss 100%%"), 0);
	assert_int_equal(end_connect(&y, &b, &a, &attr), 0);
	RIG_FOR(&a, &b, 500 * MS);
	assert_int_equal(y.connected + y.failed, 0);
	cable_out("");
	end_destroy(&y);
	assert_int_equal(rig_shell("ip netns exec a tc qdisc del dev veth_a root"), 0);
	cable_in("");
	ends_join(&x, &a, &y, &b, NULL);
	ends_part(&x, &y);
}

/* An interface that has its cable but does not run yet may drop what it is given. */
static void test_not_running(void **state)
{
	struct nmti_rma_ep_attr attr = rig_attr(&x, NULL), peer = attr;

	(void)state;
	attr.epoch = peer.epoch = 1;
	assert_int_equal(rig_shell("ip -n a link set veth_a mode dormant state dormant"), 0);
	assert_int_equal(end_expect(&y, &b, &peer), 0);
	assert_int_equal(end_connect(&x, &a, &b, &attr), 0);
	RIG_FOR(&a, &b, 1500 * MS);
	assert_int_equal(x.connected + y.connected + x.failed + y.failed, 0);
	assert_int_equal(rig_shell("ip -n a link set veth_a mode default state up"), 0);
	RIG_UNTIL(&a, &b, RIG_LIMIT, x.connected && y.connected);
	ends_part(&x, &y);
}

/* Packets get lost, late and out of order: all arrives, once, in order. */
static void test_lossy(void **state)
{
	uint32_t n = 0;

	(void)state;
	ends_join(&x, &a, &y, &b, NULL);
	assert_int_equal(rig_shell("ip netns exec b tc qdisc add dev veth_b root netem delay 2ms 1ms "
				   "loss 1%% reorder 5%%"), 0);
	for (int turn = 0; turn < 10; turn++) {
		for (uint32_t i = 0; i < 64 * LEN; i++)
			ma.p[i] = (uint8_t)rig_random();
		memset(mb.p, 0, 64 * LEN);
		side_enter(&a);
		for (uint32_t i = 0; i < 32; i++, n++)
			assert_int_equal(end_write(&x, &ma.reg, i * 2 * LEN, 2 * LEN, &mb.reg,
						   i * 2 * LEN, n, NMTI_RMA_MORE), 0);
		ops->kick(x.ep);
		RIG_UNTIL(&a, &b, RIG_LIMIT,
			  (y.imms == n && x.number == n) || x.failed || y.failed);
		if (x.failed || y.failed)
			fail_msg("%s%s", x.text, y.text);
		assert_memory_equal(ma.p, mb.p, 64 * LEN);
		for (uint32_t i = n - 32; i < n; i++)
			assert_int_equal(y.imm[i].imm, i);
	}
	assert_int_equal(rig_shell("ip netns exec b tc qdisc del dev veth_b root"), 0);
	ends_part(&x, &y);
}

/* ---- the adapter goes ---- */

/*
 * The kernel's removal waits for everyone who has the adapter open, so it must come through while
 * this process lives on; what was opened and registered can still be given back.
 */
static void test_removed(void **state)
{
	struct nmti_rma_ep_attr attr = rig_attr(&x, NULL);
	const char *reason;
	struct nmti_rma_reg reg;
	int64_t begin;
	int status;
	pid_t pid;

	(void)state;
	ends_join(&x, &a, &y, &b, NULL);
	assert_int_equal(end_expect(&x2, &a, &attr), 0);
	flood(&x, LEN, 1);
	begin = nmti_now();
	pid = fork();
	if (!pid) { /* another program, or the mappings of this one would hold the adapter */
		execlp("rdma", "rdma", "link", "delete", "rxe_a", NULL);
		_exit(99);
	}
	RIG_UNTIL(&a, &b, RIG_LIMIT, waitpid(pid, &status, WNOHANG) == pid);
	assert_int_equal(status, 0);
	print_message("removed after %lld ms\n", (long long)((nmti_now() - begin) / MS));
	RIG_UNTIL(&a, &b, RIG_LIMIT, x.failed && x2.failed && y.failed);
	assert_int_equal(x.status, -ENODEV);
	assert_int_equal(x2.status, -ENODEV);
	assert_non_null(strstr(x.text, "the adapter is gone"));
	side_enter(&a);
	assert_int_equal(end_connect(&y2, &a, &b, &attr), -ENODEV);
	assert_int_equal(ops->reg(a.dev, ma.mr, 0, 64, false, &reg, &reason), -ENODEV);
	assert_int_equal(ops->address(a.dev, a.blob, sizeof(a.blob)), -ENODEV);
	assert_int_equal(ops->arm(a.dev), 0);
	ends_part(&x, &y);
	ops->fence(x2.ep);
	RIG_UNTIL(&a, &b, RIG_LIMIT, x2.drained);
	end_destroy(&x2);
	mem_free(&ma);
	side_close(&a);
	assert_int_equal(rig_shell("ip netns exec a rdma link add rxe_a type rxe netdev veth_a"), 0);
	for (int64_t until = nmti_now() + RIG_LIMIT; side_try(&a, "a", "rxe_a");) {
		side_close(&a);
		assert_true(nmti_now() < until);
		usleep(100000);
	}
	mem_new(&ma, &a, 64 * LEN);
	ends_join(&x, &a, &y, &b, NULL);
	ends_part(&x, &y);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		TEST(test_fence_receiver),
		TEST(test_fence_sender),
		TEST(test_fence_unconnected),
		TEST(test_destroy),
		TEST(test_bad_key),
		TEST(test_closed_memory),
		TEST(test_queue_pair),
		TEST(test_killed_idle),
		TEST(test_killed_busy),
		TEST(test_lost_packets),
		TEST(test_lossy),
		TEST(test_nowhere),
		TEST(test_nobody_comes),
		TEST(test_looks_late),
		TEST(test_link),
		TEST(test_link_in_handshake),
		TEST(test_not_running),
		TEST(test_removed),
	};

	alarm(240);
	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests_name("verbs faults", tests, NULL, NULL);
}
