/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An adapter for tests of provider verbs that is played in this program: the functions of libibverbs
 * that queues need, and a device on it. Receives and completions lie in rings, which a test fills as
 * peers would; a completion queue that overruns fails the test. For one source file of a program.
 */
#ifndef TESTS_VERBS_ADAPTER_H
#define TESTS_VERBS_ADAPTER_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "verbs.h"

#undef ibv_reg_mr

struct srq {
	struct ibv_srq ibv;
	uint64_t *ids; /* receives, by turns */
	uint32_t max, head, n;
};

struct qp {
	struct ibv_qp ibv;
	uint64_t *ids; /* of a queue of its own */
	uint32_t max, head, n;
};

struct cq {
	struct ibv_cq ibv;
	struct ibv_wc wc[1u << 16];
	uint32_t size, head, n;
};

static struct ibv_context context;
static uint32_t qp_number, live_qps, live_srqs, live_mrs, posts;
static bool drops; /* completions of a queue pair that is destroyed */
static bool no_srq;
static struct ibv_qp_attr moved[IBV_QPS_ERR + 1]; /* what the last queue pair got, by state */

static int post_srq(struct ibv_srq *ibv, struct ibv_recv_wr *wr, struct ibv_recv_wr **bad)
{
	struct srq *q = (struct srq *)ibv;

	for (; wr; wr = wr->next) {
		*bad = wr;
		if (q->n == q->max)
			return ENOMEM;
		q->ids[(q->head + q->n++) % q->max] = wr->wr_id;
		posts++;
	}
	return 0;
}

static int post_recv(struct ibv_qp *ibv, struct ibv_recv_wr *wr, struct ibv_recv_wr **bad)
{
	struct qp *q = (struct qp *)ibv;

	for (; wr; wr = wr->next) {
		if (q->n == q->max) {
			*bad = wr;
			return ENOMEM;
		}
		q->ids[(q->head + q->n++) % q->max] = wr->wr_id;
	}
	return 0;
}

static int poll_cq(struct ibv_cq *ibv, int max, struct ibv_wc *wc)
{
	struct cq *q = (struct cq *)ibv;
	int n = 0;

	for (; n < max && q->n; n++, q->n--)
		wc[n] = q->wc[q->head++ % (1u << 16)];
	return n;
}

static void complete(struct ibv_cq *ibv, const struct ibv_wc *wc)
{
	struct cq *q = (struct cq *)ibv;

	assert_true(q->n < q->size); /* else the adapter breaks it */
	q->wc[(q->head + q->n++) % (1u << 16)] = *wc;
}

/* Every request completes at once; only markers are posted here. */
static int post_send(struct ibv_qp *qp, struct ibv_send_wr *wr, struct ibv_send_wr **bad)
{
	struct ibv_wc wc = { .wr_id = wr->wr_id, .qp_num = qp->qp_num,
			     .status = IBV_WC_WR_FLUSH_ERR };

	(void)bad;
	complete(qp->send_cq, &wc);
	return 0;
}

struct ibv_srq *ibv_create_srq(struct ibv_pd *pd, struct ibv_srq_init_attr *attr)
{
	struct srq *q = no_srq ? NULL : calloc(1, sizeof(*q));

	(void)pd;
	errno = ENOMEM;
	if (!q)
		return NULL;
	q->max = attr->attr.max_wr;
	q->ids = calloc(q->max, sizeof(*q->ids));
	q->ibv.context = &context;
	live_srqs++;
	return &q->ibv;
}

int ibv_destroy_srq(struct ibv_srq *ibv)
{
	free(((struct srq *)ibv)->ids);
	free(ibv);
	live_srqs--;
	return 0;
}

struct ibv_cq *ibv_create_cq(struct ibv_context *c, int n, void *arg, struct ibv_comp_channel *comp,
			     int vector)
{
	struct cq *q = calloc(1, sizeof(*q));

	(void)arg, (void)comp, (void)vector;
	q->size = (uint32_t)n;
	q->ibv.context = c;
	return &q->ibv;
}

int ibv_destroy_cq(struct ibv_cq *cq)
{
	free(cq);
	return 0;
}

struct ibv_qp *ibv_create_qp(struct ibv_pd *pd, struct ibv_qp_init_attr *attr)
{
	struct qp *q = calloc(1, sizeof(*q));
	struct ibv_qp *qp = &q->ibv;

	(void)pd;
	q->max = attr->cap.max_recv_wr;
	q->ids = calloc(q->max + 1, sizeof(*q->ids));
	qp->context = &context;
	qp->srq = attr->srq;
	qp->send_cq = qp->recv_cq = attr->recv_cq;
	qp->qp_num = ++qp_number;
	live_qps++;
	return qp;
}

int ibv_modify_qp(struct ibv_qp *qp, struct ibv_qp_attr *attr, int mask)
{
	(void)mask;
	moved[attr->qp_state] = *attr;
	qp->state = attr->qp_state;
	return 0;
}

int ibv_destroy_qp(struct ibv_qp *qp)
{
	struct cq *q = (struct cq *)qp->recv_cq;

	for (uint32_t n = drops ? q->n : 0; n; n--) {
		struct ibv_wc wc = q->wc[q->head++ % (1u << 16)];

		q->n--;
		if (wc.qp_num != qp->qp_num)
			complete(&q->ibv, &wc);
	}
	free(((struct qp *)qp)->ids);
	free(qp);
	live_qps--;
	return 0;
}

static struct ibv_mr *reg(void)
{
	live_mrs++;
	return calloc(1, sizeof(struct ibv_mr));
}

struct ibv_mr *ibv_reg_mr(struct ibv_pd *pd, void *addr, size_t len, int access)
{
	(void)pd, (void)addr, (void)len, (void)access;
	return reg();
}

struct ibv_mr *ibv_reg_mr_iova2(struct ibv_pd *pd, void *addr, size_t len, uint64_t iova,
				unsigned int access)
{
	(void)pd, (void)addr, (void)len, (void)iova, (void)access;
	return reg();
}

int ibv_dereg_mr(struct ibv_mr *mr)
{
	live_mrs--;
	free(mr);
	return 0;
}

/* ---- a device on it ---- */

static struct nmt_ctx *ctx;
static struct nmt_pdomain pd;
static struct nmti_rma_dev *dev;

static void adapter_open(int max_cqe)
{
	assert_int_equal(nmt_ctx_open(NULL, &ctx), 0);
	assert_int_equal(nmt_domain_open(ctx, "tcp", NULL, &pd.dom), 0);
	pd.ctx = ctx;
	dev = calloc(1, sizeof(*dev));
	dev->pd = &pd;
	dev->sock = -1;
	dev->port.ctx = &context;
	dev->port.attr = (struct ibv_device_attr){ .max_cqe = max_cqe, .max_srq = 8,
						   .max_srq_wr = 1 << 13 };
	dev->limits = (struct nmti_rma_limits){ .send_depth = 64, .recv_slots = 1000,
						.inline_max = 256 };
	verbs_dev_empty(dev);
	context.ops.post_srq_recv = post_srq;
	context.ops.post_recv = post_recv;
	context.ops.post_send = post_send;
	context.ops.poll_cq = poll_cq;
	posts = 0;
	drops = no_srq = false;
}

static void adapter_close(void)
{
	while (!nmti_list_empty(&dev->eps))
		nmti_verbs_ep_free(nmti_container(dev->eps.next, struct nmti_rma_ep, all));
	nmti_verbs_srqs_free(dev);
	nmti_verbs_cqs_free(dev);
	assert_int_equal(live_qps + live_srqs + live_mrs, 0);
	free(dev->slots);
	free(dev);
	assert_int_equal(nmt_domain_close(pd.dom), 0);
	assert_int_equal(nmt_ctx_close(ctx), 0);
}

#endif
