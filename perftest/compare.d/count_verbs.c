/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * nmt_count_verbs.so: preloaded into a program, counts what it gives to RDMA adapters and takes from
 * them, between libibverbs and the driver, and writes it at exit to the file that NMT_COUNT_FILE
 * names, one "name value" a line. Posting and polling are inline functions that call the ops of a
 * context, so it is these that are replaced when a device is opened.
 */
#include <dlfcn.h>
#include <infiniband/verbs.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define EXPORT __attribute__((visibility("default")))

enum counter {
	DOORBELLS,   /* calls of post_send */
	REQUESTS,    /* of these: */
	WRITES,      /* with immediate */
	MESSAGES,    /* sends */
	EMPTY,       /* neither: nothing but a completion */
	SIGNALLED,
	RECV_CALLS,
	RECVS,
	COMPLETIONS,
	COUNTERS,
};

static const char *const names[COUNTERS] = { "doorbells", "requests", "writes", "messages", "empty",
					     "signalled", "recv_calls", "recvs", "completions" };

static atomic_uint_fast64_t counters[COUNTERS];

/* One driver's; a program that opens adapters of two drivers is not counted right, and ends. */
static int (*driver_send)(struct ibv_qp *qp, struct ibv_send_wr *wr, struct ibv_send_wr **bad);
static int (*driver_recv)(struct ibv_qp *qp, struct ibv_recv_wr *wr, struct ibv_recv_wr **bad);
static int (*driver_poll)(struct ibv_cq *cq, int n, struct ibv_wc *wc);

static void count(enum counter c, uint64_t n)
{
	atomic_fetch_add_explicit(&counters[c], n, memory_order_relaxed);
}

static enum counter kind_of(const struct ibv_send_wr *wr)
{
	if (wr->opcode == IBV_WR_RDMA_WRITE_WITH_IMM)
		return WRITES;
	if (wr->opcode == IBV_WR_RDMA_WRITE && wr->num_sge)
		return WRITES;
	return wr->opcode == IBV_WR_RDMA_WRITE ? EMPTY : MESSAGES;
}

static int count_send(struct ibv_qp *qp, struct ibv_send_wr *wr, struct ibv_send_wr **bad)
{
	count(DOORBELLS, 1);
	for (const struct ibv_send_wr *i = wr; i; i = i->next) {
		count(REQUESTS, 1);
		count(kind_of(i), 1);
		count(SIGNALLED, !!(i->send_flags & IBV_SEND_SIGNALED));
	}
	return driver_send(qp, wr, bad);
}

static int count_recv(struct ibv_qp *qp, struct ibv_recv_wr *wr, struct ibv_recv_wr **bad)
{
	count(RECV_CALLS, 1);
	for (const struct ibv_recv_wr *i = wr; i; i = i->next)
		count(RECVS, 1);
	return driver_recv(qp, wr, bad);
}

static int count_poll(struct ibv_cq *cq, int n, struct ibv_wc *wc)
{
	int got = driver_poll(cq, n, wc);

	if (got > 0)
		count(COMPLETIONS, (uint64_t)got);
	return got;
}

EXPORT struct ibv_context *ibv_open_device(struct ibv_device *device)
{
	struct ibv_context *(*next)(struct ibv_device *device);
	struct ibv_context *ctx;

	*(void **)&next = dlvsym(RTLD_NEXT, "ibv_open_device", "IBVERBS_1.1");
	ctx = next ? next(device) : NULL;
	if (!ctx || ctx->ops.post_send == count_send)
		return ctx;
	if (driver_send && driver_send != ctx->ops.post_send)
		abort();
	driver_send = ctx->ops.post_send;
	driver_recv = ctx->ops.post_recv;
	driver_poll = ctx->ops.poll_cq;
	ctx->ops.post_send = count_send;
	ctx->ops.post_recv = count_recv;
	ctx->ops.poll_cq = count_poll;
	return ctx;
}

static __attribute__((destructor)) void finish(void)
{
	const char *path = getenv("NMT_COUNT_FILE");
	FILE *f = path ? fopen(path, "w") : NULL;

	if (!f)
		return;
	for (int i = 0; i < COUNTERS; i++)
		fprintf(f, "%s %llu\n", names[i], (unsigned long long)counters[i]);
	fclose(f);
}
