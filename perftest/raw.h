/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * raw-write: the load of bw, bidir and lat written directly on libibverbs, by RDMA writes with
 * immediate into one buffer of the peer, with nothing of libnmt's engine: what the adapter and its
 * driver can do. raw_conn.c brings the queue pair up, raw_write.c moves the bytes.
 */
#ifndef PERF_RAW_H
#define PERF_RAW_H

#include <infiniband/verbs.h>
#include <rdma/rdma_cma.h>

#include "run.h"

#define RAW_SLOTS 512u /* writes that the receiver takes before it has to give credit */
#define RAW_BATCH 32u  /* receives that are posted again together */
#define RAW_RECVS (RAW_SLOTS + 2 * RAW_BATCH) /* with those for credits, and those not yet posted again */
#define RAW_CREDITS 16u /* that may be in the send queue */

/* What each end tells the other by the handshake's private data. */
struct raw_hello {
	uint64_t session, addr;
	uint32_t rkey;
};

struct raw {
	struct rdma_event_channel *channel;
	struct rdma_cm_id *listen, *id;
	struct ibv_comp_channel *events;
	struct ibv_cq *cq;
	struct ibv_mr *mr;
	uint8_t *buf;  /* what is sent, then what is received into */
	bool inlined;  /* messages fit into a request */
	struct raw_hello peer;
};

/* Ops of struct test_ops. */
int raw_listen(struct worker *w, uint16_t port);
int raw_setup(struct worker *w);
void raw_close(struct worker *w);

int raw_post_recvs(struct raw *r, uint32_t n);

/* All is sent and received. The client says so, the server waits for it. */
void raw_bye(struct worker *w);

#endif
