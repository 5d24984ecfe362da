/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Faults of a provider that can write remote memory, made by a decorator around its RMA ops (those
 * of the simulated fabric). Endpoints, and what may be written, are kept in tables of the process.
 */
#ifndef CONFORMANCE_FAULT_RMA_H
#define CONFORMANCE_FAULT_RMA_H

#include "faults.h"

#include "rma/rma.h"

#define TOLD_MAX 8

/* A request kept back. */
struct fault_req {
	bool have;
	const void *msg; /* of a message; NULL: a write */
	struct nmti_rma_local from;
	uint64_t remote, key;
	uint32_t imm, len;
	uint8_t copy[256]; /* of a message, or of inline bytes */
};

/* Bytes that reach the memory behind KEY some polls later. */
struct fault_late {
	struct fault_late *next;
	uint64_t remote, key;
	uint32_t len;
	unsigned int polls;
	uint8_t data[];
};

struct fault_ep {
	struct nmti_rma_ep *ep; /* NULL: the entry is free */
	struct nmti_rma_dev *dev;
	struct nmti_rma_ep_attr attr;
	uint8_t token[NMTI_RMA_TOKEN];
	bool server, fenced, drained;
	bool ahead; /* a completion was told: the next request is done as well, it says */
	unsigned int writes, sends, imms, messages;
	uint64_t last;            /* number of the last request, as the engine knows it */
	int64_t skew;             /* what the engine's numbers are above the fabric's */
	uint64_t signals;         /* bit for each of the last 64 numbers: with SIGNAL */
	struct fault_req held;
	struct fault_late *newest; /* copy of the last write, for RMA_OLD_EPOCH_WRITES */
	struct nmti_rma_wc told[TOLD_MAX]; /* to be told before anything else */
	unsigned int ntold;
};

extern struct nmti_rma_ops fault_rma_real;

struct fault_ep *fault_ep_of(const struct nmti_rma_ep *ep);
struct fault_ep *fault_ep_peer(const struct fault_ep *f);
struct fault_ep *fault_ep_at(unsigned int i); /* NULL: there are no more; entries may be free */
/* Tell the engine EVENT of F at the next poll. */
void fault_tell(struct fault_ep *f, uint8_t event, uint64_t number);

struct fault_late *fault_late_new(const void *data, uint32_t len, uint64_t remote, uint64_t key);
void fault_late_start(struct fault_late *l, unsigned int polls);
/* A poll went by. */
void fault_late_step(void);

/* A registration that peers may write to; they are looked up by key. */
void fault_reg_add(struct nmt_mr *mr, uint64_t offset, uint64_t len,
		   const struct nmti_rma_reg *reg);
void fault_reg_del(const struct nmti_rma_reg *reg);

void fault_rma_tx_ops(struct nmti_rma_ops *ops);
void fault_rma_rx_ops(struct nmti_rma_ops *ops);
/* Post what is held back. */
void fault_post_held(struct fault_ep *f);

int faults_rma_add(struct nmt_ctx *ctx);

#endif
