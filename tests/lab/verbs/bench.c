/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * In the guest: the rate of a plain loop of writes with immediate through the verbs ops, one process
 * a host, both polling, as ib_write_bw measures writes: bench SIZE COUNT
 */
#include "rig.h"

#include <sys/wait.h>

#define BURST 16u

static struct side s, other;
static struct end e;
static struct mem m;

/* The domain's sources (the handshake, the end) are looked at now and then only. */
static void step(void)
{
	static unsigned int turn;
	struct nmti_rma_wc wc[64];
	int n;

	if (!e.connected || turn++ % 256 == 0) {
		side_step(&s);
		return;
	}
	n = ops->poll(s.dev, wc, 64);
	for (int i = 0; i < n; i++)
		side_told(&s, &wc[i]);
}

static struct nmti_rma_ep_attr attr(void)
{
	struct nmti_rma_ep_attr at = rig_attr(&e, NULL);

	at.run_slots = 1024;
	at.send_depth = 128;
	return at;
}

/* Tell the other process where to write, and take all of it. It says its own side when it is over. */
static void receiver(int out, uint32_t size, uint32_t count)
{
	struct nmti_rma_ep_attr at = attr();
	uint32_t told = 0;

	side_open(&s, "b", "rxe_b");
	mem_new(&m, &s, size);
	assert_int_equal(end_expect(&e, &s, &at), 0);
	assert_int_equal(write(out, &s, sizeof(s)), sizeof(s));
	assert_int_equal(write(out, &m.reg, sizeof(m.reg)), sizeof(m.reg));
	while (e.imms < count) {
		step();
		if (e.imms - told < 256 && e.imms != count)
			continue;
		ops->repost(s.dev);
		if (end_send(&e, &e.imms, sizeof(e.imms), 0)) /* credit */
			continue;
		told = e.imms;
	}
	while (!e.failed)
		side_step(&s);
	_exit(0);
}

static void take(int in, void *buf, size_t len)
{
	for (size_t got = 0; got < len;) {
		ssize_t n = read(in, (char *)buf + got, len - got);

		assert_true(n > 0);
		got += (size_t)n;
	}
}

static uint32_t credit(void)
{
	uint32_t taken = 0;

	if (e.msgs)
		memcpy(&taken, e.msg[(e.msgs - 1) % 64].data, sizeof(taken));
	return taken;
}

static void sender(int in, uint32_t size, uint32_t count)
{
	struct nmti_rma_ep_attr at = attr();
	struct nmti_rma_reg to;
	uint32_t n = 0;
	int64_t begin;
	double sec;

	take(in, &other, sizeof(other));
	take(in, &to, sizeof(to));
	side_open(&s, "a", "rxe_a");
	mem_new(&m, &s, size);
	assert_int_equal(end_connect(&e, &s, &other, &at), 0);
	RIG_UNTIL(&s, NULL, RIG_LIMIT, e.connected);
	rig_count(&s);
	begin = nmti_now();
	while (credit() < count) {
		uint32_t burst = 0;

		while (n < count && n - credit() < 1000 && burst++ < BURST) {
			uint32_t more = burst < BURST && n + 1 < count ? NMTI_RMA_MORE : 0;

			if (end_write(&e, &m.reg, 0, size, &to, 0, n, more))
				break;
			n++;
		}
		ops->kick(e.ep);
		step();
	}
	sec = (double)(nmti_now() - begin) / 1e9;
	printf("%u B x %u: %.1f MB/s, %.0f/s, %.2f doorbells and %.3f completions a write\n", size,
	       count, size * (double)count / 1e6 / sec, count / sec,
	       (double)counts.doorbells / count, (double)counts.signalled / count);
}

int main(int argc, char **argv)
{
	uint32_t size, count;
	int fds[2];
	pid_t pid;

	if (argc != 3) {
		fprintf(stderr, "usage: bench SIZE COUNT\n");
		return 2;
	}
	size = (uint32_t)atoi(argv[1]);
	count = (uint32_t)atoi(argv[2]);
	alarm(120);
	if (pipe(fds))
		return 1;
	pid = fork();
	if (!pid)
		receiver(fds[1], size, count);
	sender(fds[0], size, count);
	side_enter(&s);
	end_destroy(&e);
	mem_free(&m);
	side_close(&s);
	waitpid(pid, NULL, 0);
	return 0;
}
