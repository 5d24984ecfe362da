/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * raw-write on libibverbs: raw_verbs_conn.c brings the queue pair up, raw_verbs.c moves the bytes.
 */
#ifndef PERF_RAW_VERBS_H
#define PERF_RAW_VERBS_H

#include <infiniband/verbs.h>
#include <rdma/rdma_cma.h>

#include "raw.h"

/* What each end tells the other by the handshake's private data. */
struct verbs_hello {
	uint64_t session, addr;
	uint32_t rkey;
};

struct raw_verbs {
	struct raw raw;
	struct rdma_event_channel *channel;
	struct rdma_cm_id *listen, *id;
	struct ibv_comp_channel *events;
	struct ibv_cq *cq;
	bool armed; /* the next completion makes an event, or it is there */
	struct ibv_mr *mr;
	bool inlined; /* messages fit into a request */
	struct verbs_hello peer;
	struct ibv_send_wr wr[RAW_CHAIN]; /* messages; wr_id: r->posted with the last of them */
	struct ibv_sge sge;
};

static inline struct raw_verbs *verbs_of(const struct worker *w)
{
	return (struct raw_verbs *)w->raw;
}

int verbs_listen(struct worker *w, uint16_t port);
int verbs_accept(struct worker *w);
int verbs_connect(struct worker *w);
void verbs_close(struct worker *w);
void verbs_bye(struct worker *w);

#endif
