/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * raw-write on libfabric: raw_ofi_conn.c brings the endpoints up, raw_ofi.c moves the bytes.
 */
#ifndef PERF_RAW_OFI_H
#define PERF_RAW_OFI_H

#include <rdma/fabric.h>
#include <rdma/fi_cm.h>
#include <rdma/fi_domain.h>
#include <rdma/fi_endpoint.h>
#include <rdma/fi_errno.h>
#include <rdma/fi_rma.h>

#include "raw.h"

#define OFI_NAME_MAX 256

/* What each end tells the other over the bootstrap's socket. */
struct ofi_hello {
	uint64_t session, addr, key;
	size_t name_len; /* of the endpoint, or of what listens for it */
	uint8_t name[OFI_NAME_MAX];
};

struct raw_ofi {
	struct raw raw;
	enum fi_ep_type type;
	int listener, sock; /* bootstrap, and the end; -1: none */
	struct fi_info *info;
	struct fid_fabric *fabric;
	struct fid_domain *domain;
	struct fid_pep *pep;
	struct fid_ep *ep;
	struct fid_eq *eq;
	struct fid_cq *cq;
	struct fid_av *av;
	struct fid_mr *mr;
	fi_addr_t dest;
	struct ofi_hello peer;

	bool in_order; /* completions: one settles all that were posted before it */
	bool injected; /* messages fit into a request */
	uint64_t unasked; /* requests whose completion the next one that asks will tell */
	struct iovec iov;
	void *desc;
	struct fi_rma_iov to;
	struct fi_msg_rma msg;
};

static inline struct raw_ofi *ofi_of(const struct worker *w)
{
	return (struct raw_ofi *)w->raw;
}

int ofi_listen(struct worker *w, uint16_t port);
int ofi_accept(struct worker *w);
int ofi_connect(struct worker *w);
void ofi_close(struct worker *w);
void ofi_bye(struct worker *w);

#endif
