/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Shared receive queues of provider verbs with an adapter that is played here. Peers use all the credit
 * they have, whenever they like; no receive may ever be missing, and the books must agree with the
 * adapter's in the end.
 */
#include "adapter.h"

#include <arpa/inet.h>

#define MANY 48
#define SLOTS 90u

/* ---- endpoints whose peers write ---- */

struct peer {
	struct nmti_rma_ep *ep;
	uint32_t sent, told;
	bool drained;
};

static struct peer peers[MANY];

static int setup(void **state)
{
	(void)state;
	adapter_open(1 << 16);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	adapter_close();
	return 0;
}

static void peer_new(struct peer *p)
{
	static const uint8_t token[NMTI_RMA_TOKEN];
	struct nmti_rma_ep_attr attr = { .run_slots = SLOTS - 4, .ctrl_slots = 4,
		.ctrl_max = 64, .send_depth = 4, .token = token, .owner = p };
	struct ibv_qp_attr up = { .qp_state = IBV_QPS_RTS };

	memset(p, 0, sizeof(*p));
	assert_int_equal(nmti_verbs_ep_new(dev, &attr, &p->ep), 0);
	assert_int_equal(nmti_verbs_post_recvs(p->ep), 0);
	ibv_modify_qp(p->ep->qp, &up, IBV_QP_STATE);
	p->ep->state = VERBS_UP;
	p->ep->connected = true;
}

/* A write with immediate, or a message, of the peer arrives. */
static void arrive(struct peer *p, uint32_t imm, bool message)
{
	struct srq *q = (struct srq *)p->ep->srq->srq;
	struct ibv_wc wc = { .qp_num = p->ep->qp->qp_num, .byte_len = message ? 4 : 100,
			     .opcode = message ? IBV_WC_RECV : IBV_WC_RECV_RDMA_WITH_IMM,
			     .imm_data = htonl(imm) };
	const struct verbs_srq *b = p->ep->srq;

	if (!q->n)
		fail_msg("receiver not ready");
	wc.wr_id = q->ids[q->head++ % q->max];
	q->n--;
	assert_ptr_equal(&dev->srqs[wc.wr_id >> 28 & (VERBS_EPS - 1)], b);
	if (message)
		memcpy(b->msgs + (wc.wr_id & VERBS_LOW) * VERBS_MSG_MAX, &imm, 4);
	complete(p->ep->qp->recv_cq, &wc);
	p->sent++;
}

static void look(void)
{
	struct nmti_rma_wc wc[48];
	struct nmt_event ev;
	int n;

	assert_int_equal(nmt_poll(pd.dom, &ev, 1, 0), 0);
	n = nmti_verbs_poll(dev, wc, 1 + rand() % 48);
	nmti_verbs_repost(dev); /* as who tells the peers of credit does */
	for (int i = 0; i < n; i++) {
		struct peer *p = wc[i].owner;
		uint32_t word = wc[i].imm;

		assert_ptr_equal(wc[i].ep, p->ep);
		assert_false(p->drained);
		if (wc[i].event == NMTI_RMA_DRAINED) {
			assert_int_equal(p->told, p->sent); /* all that was acknowledged */
			p->drained = true;
			continue;
		}
		if (wc[i].event == NMTI_RMA_MESSAGE)
			memcpy(&word, wc[i].data, 4);
		else
			assert_int_equal(wc[i].event, NMTI_RMA_IMM);
		assert_int_equal(word, p->told++);
	}
}

/* Everything came back: what a block counts is what the adapter has. */
static void books(void)
{
	for (int64_t until = nmti_now() + INT64_C(5000000000); dev->neps && nmti_now() < until;)
		look();
	for (int i = 0; i < 10000; i++)
		look();
	assert_int_equal(dev->neps, 0);
	for (uint32_t k = 0; k < dev->nsrqs; k++) {
		assert_int_equal(dev->srqs[k].reserved, 0);
		assert_int_equal(dev->srqs[k].posted, ((struct srq *)dev->srqs[k].srq)->n);
	}
}

static void step(struct peer *p)
{
	int what = rand() % 100;
	uint32_t credit = SLOTS - (p->sent - p->told);

	if (p->drained) {
		nmti_verbs_destroy(p->ep);
		peer_new(p);
	} else if (p->ep->state == VERBS_UP && what < 60) {
		for (uint32_t n = what % 2 ? credit : credit / 3; n; n--)
			arrive(p, p->sent, rand() % 4 == 0);
	} else if (what < 63) {
		nmti_verbs_destroy(p->ep);
		peer_new(p);
	} else if (what < 66) {
		nmti_verbs_fence(p->ep);
	} else if (what < 80) {
		if (p->ep->state == VERBS_FENCED)
			nmti_verbs_srq_last(p->ep);
	} else {
		look();
	}
}

static void churn(bool dropping)
{
	srand(7);
	drops = dropping;
	for (uint32_t i = 0; i < MANY; i++)
		peer_new(&peers[i]);
	assert_int_equal(dev->nsrqs, 2);
	for (uint32_t i = 0; i < 40000; i++)
		step(&peers[rand() % MANY]);
	for (uint32_t i = 0; i < MANY; i++)
		nmti_verbs_destroy(peers[i].ep);
	assert_true(dev->neps > 0); /* orphans */
	books();
}

static void test_churn(void **state)
{
	(void)state;
	churn(false);
}

static void test_churn_dropping(void **state)
{
	(void)state;
	churn(true);
}

/* An answer does not post the receive again; who tells of credit for it does, before. */
static void test_answer_first(void **state)
{
	struct nmti_rma_local nothing = { .len = 0 };
	struct nmti_rma_wc wc;
	uint64_t number;

	(void)state;
	peer_new(&peers[0]);
	arrive(&peers[0], 0, false);
	assert_int_equal(nmti_verbs_poll(dev, &wc, 1), 1);
	assert_int_equal(nmti_verbs_write(peers[0].ep, &nothing, 0, 0, 0, 0, &number), 0);
	assert_int_equal(posts, SLOTS);
	nmti_verbs_repost(dev);
	assert_int_equal(posts, SLOTS + 1);
	nmti_verbs_destroy(peers[0].ep);
	books();
}

/* An endpoint that goes leaves its receives to the next one. */
static void test_surplus(void **state)
{
	(void)state;
	peer_new(&peers[0]);
	assert_int_equal(posts, SLOTS);
	nmti_verbs_destroy(peers[0].ep);
	books();
	peer_new(&peers[0]);
	peer_new(&peers[1]);
	assert_int_equal(posts, 2 * SLOTS);
	for (uint32_t i = 0; i < SLOTS; i++)
		arrive(&peers[1], i, false);
	nmti_verbs_fence(peers[0].ep);
	while (peers[1].told < SLOTS)
		look();
	assert_int_equal(posts, 3 * SLOTS); /* reserved until it has drained */
	while (!peers[0].drained)
		look();
	nmti_verbs_destroy(peers[0].ep);
	for (uint32_t i = 0; i < SLOTS; i++)
		arrive(&peers[1], SLOTS + i, false);
	while (peers[1].told < 2 * SLOTS)
		look();
	assert_int_equal(posts, 3 * SLOTS);
	nmti_verbs_destroy(peers[1].ep);
	books();
}

/*
 * A peer without credits takes all receives of its block while nobody polls, and every request of the
 * others completes: there is an entry for each.
 */
static void test_flood(void **state)
{
	struct nmti_rma_wc wc[8];
	int told = 0, n;

	(void)state;
	for (uint32_t i = 0; i < MANY; i++)
		peer_new(&peers[i]);
	for (uint32_t i = 0; i < MANY; i++) {
		struct nmti_rma_ep *ep = peers[i].ep;

		while (((struct srq *)ep->srq->srq)->n)
			arrive(&peers[i], 0, false);
		for (uint32_t k = 1; k <= ep->depth + 1; k++) {
			struct ibv_wc sent = { .wr_id = verbs_wr_id(ep, k),
					       .qp_num = ep->qp->qp_num };

			ep->rung = k;
			complete(ep->qp->send_cq, &sent);
		}
	}
	while ((n = nmti_verbs_poll(dev, wc, 8)))
		told += n;
	assert_int_equal(told, MANY * (SLOTS + 4 + 1));
}

/* Below the number, without shared queues, or where none can be made: queues of their own. */
static void test_own(void **state)
{
	(void)state;
	dev->opt.srq = 2;
	for (uint32_t i = 0; i < 3; i++) {
		static const uint8_t token[NMTI_RMA_TOKEN];
		struct nmti_rma_ep_attr attr = { .run_slots = 8, .send_depth = 4, .token = token };
		struct nmti_rma_ep *ep;

		assert_int_equal(nmti_verbs_ep_new(dev, &attr, &ep), 0);
		assert_int_equal(!ep->srq, i < 2);
		if (i < 2)
			continue;
		nmti_verbs_ep_free(ep);
		dev->port.attr.max_srq = 0;
		assert_int_equal(nmti_verbs_ep_new(dev, &attr, &ep), 0);
		assert_null(ep->srq);
		dev->port.attr.max_srq = 8;
		nmti_verbs_srqs_free(dev);
		no_srq = true;
		assert_int_equal(nmti_verbs_ep_new(dev, &attr, &ep), 0);
		assert_null(ep->srq);
		no_srq = false;
		dev->opt.srq = -1;
		assert_int_equal(nmti_verbs_ep_new(dev, &attr, &ep), 0);
		assert_null(ep->srq);
	}
}

/* The adapter's word of the last receive can come first; a completion tells better why. */
static void test_last_words(void **state)
{
	struct nmti_rma_wc wc[8];

	(void)state;
	for (int told = 0; told < 2; told++) {
		struct peer *p = &peers[told];
		struct ibv_wc refused = { .status = IBV_WC_REM_ACCESS_ERR };

		peer_new(p);
		p->ep->rung = told;
		refused.wr_id = verbs_wr_id(p->ep, 1);
		refused.qp_num = p->ep->qp->qp_num;
		if (told)
			complete(p->ep->qp->send_cq, &refused);
		nmti_verbs_srq_last(p->ep);
		assert_int_equal(nmti_verbs_arm(dev), -EAGAIN); /* it is not forgotten */
		assert_int_equal(nmti_verbs_poll(dev, wc, 8), 1);
		assert_int_equal(wc[0].event, NMTI_RMA_FAILED);
		assert_int_equal(wc[0].status, told ? -EACCES : -ECONNRESET);
		nmti_verbs_fence(p->ep);
		while (!p->drained)
			look();
		nmti_verbs_destroy(p->ep);
	}
	books();
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(test_churn),
		TEST(test_churn_dropping),
		TEST(test_answer_first),
		TEST(test_surplus),
		TEST(test_flood),
		TEST(test_own),
		TEST(test_last_words),
	};

	return cmocka_run_group_tests_name("verbs srq", tests, NULL, NULL);
}
