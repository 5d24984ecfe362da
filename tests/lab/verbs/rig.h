/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * For the tests of the verbs ops in the guest: two sides, each in a network namespace of rxe-pair
 * with its own context, domain and RDMA device, driven by one thread that changes the namespace
 * before it touches a side. Everything here fails the test when it does not work.
 */
#ifndef LAB_VERBS_RIG_H
#define LAB_VERBS_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "verbs.h"

#define MS INT64_C(1000000)
#define SEC (1000 * MS)
#define RIG_EVENTS 4096

extern const struct nmti_rma_ops *const ops;

struct side {
	char host[4]; /* "a" or "b" */
	int ns;
	struct nmt_ctx *ctx;
	struct nmt_domain *dom;
	struct nmt_pdomain pd;
	struct nmti_rma_limits limits;
	struct nmti_rma_dev *dev;
	uint8_t blob[NMTI_RMA_BLOB_MAX];
	uint32_t blob_len;
	char log[65536];
	size_t log_len;
};

/* An endpoint and what was told of it. */
struct end {
	struct side *side;
	struct nmti_rma_ep *ep;
	unsigned int connected, failed, drained, imms, msgs, written;
	uint64_t number; /* of the last WRITTEN */
	int status;
	int64_t failed_at;
	char text[VERBS_TEXT];
	struct { uint32_t imm, len; } imm[RIG_EVENTS]; /* by turns */
	struct { uint32_t len; uint8_t data[VERBS_MSG_MAX]; } msg[64];
	bool strict; /* nothing may come for it any more */
};

/* What the adapter was asked to do, on all contexts that rig_count() was called for. */
struct counts {
	unsigned int doorbells, requests, signalled, longest;
	unsigned int recv_calls, recvs;
};
extern struct counts counts;

void side_open(struct side *s, const char *host, const char *device);
int side_try(struct side *s, const char *host, const char *device); /* answers what open answers */
void side_close(struct side *s);
void side_enter(struct side *s); /* be on this host */
void side_step(struct side *s); /* NULL: nothing */
void side_told(struct side *s, const struct nmti_rma_wc *wc); /* note a completion, check it */
bool side_logged(const struct side *s, const char *word);
void rig_count(struct side *s);

struct nmti_rma_ep_attr rig_attr(struct end *e, const uint8_t *token);
int end_connect(struct end *e, struct side *from, struct side *to, struct nmti_rma_ep_attr *attr);
int end_expect(struct end *e, struct side *s, struct nmti_rma_ep_attr *attr);
void end_destroy(struct end *e);

/* Two ends that are connected to each other; ATTR NULL: the default. */
void ends_join(struct end *x, struct side *a, struct end *y, struct side *b,
	       const struct nmti_rma_ep_attr *attr);
void ends_part(struct end *x, struct end *y); /* fence, drain, destroy both */

int end_write(struct end *e, struct nmti_rma_reg *from, uint64_t offset, uint32_t len,
	      const struct nmti_rma_reg *to, uint64_t to_offset, uint32_t imm, uint32_t flags);
int end_send(struct end *e, const void *msg, uint32_t len, uint32_t flags);

/* Registered memory of a side. */
struct mem {
	struct side *side;
	struct nmt_mr *mr;
	struct nmti_rma_reg reg;
	uint8_t *p;
	size_t len;
};
void mem_new(struct mem *m, struct side *s, size_t len);
void mem_free(struct mem *m);

uint64_t rig_random(void); /* by NMT_SEED */
int rig_shell(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
int rig_fds(void);
/* Objects that the kernel has for DEVICE: queue pairs, completion queues, registrations. */
void rig_objects(const char *device, int *qp, int *cq, int *mr);

/* Step both sides until COND; A and B are the sides, either may be NULL. */
#define RIG_UNTIL(a, b, limit, cond)                                                               \
	do {                                                                                       \
		int64_t until_ = nmti_now() + (limit);                                             \
		while (!(cond)) {                                                                  \
			if (nmti_now() >= until_)                                                  \
				fail_msg("not within %lld ms: %s", (long long)((limit) / MS), #cond); \
			side_step(a);                                                              \
			side_step(b);                                                              \
		}                                                                                  \
	} while (0)

/* Step both for a time. */
#define RIG_FOR(a, b, time)                                                                        \
	do {                                                                                       \
		int64_t end_ = nmti_now() + (time);                                                \
		while (nmti_now() < end_) {                                                        \
			side_step(a);                                                              \
			side_step(b);                                                              \
		}                                                                                  \
	} while (0)

#define RIG_LIMIT (20 * SEC)

#endif
