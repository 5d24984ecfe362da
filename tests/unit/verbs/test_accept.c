/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The side of provider verbs that expects a connection, with an adapter and a connection manager that
 * are played here: a peer that begins anew, with what its first queue pair left in the completion
 * queue, where that has room for both, and where it has not, and with receives that others share; and
 * the knobs of its queue pair.
 */
#include "adapter.h"

#include <arpa/inet.h>

#define SLOTS 24u
#define DEPTH 7u
#define ENTRIES (SLOTS + DEPTH + 1)

/* ---- the connection manager ---- */

static struct rdma_cm_event *queued;
static struct rdma_cm_id listener, ids[4];
static struct rdma_event_channel channel;
static uint32_t nids, live_ids, accepts, refusals;
static uint8_t refusal[2];

int rdma_get_cm_event(struct rdma_event_channel *ch, struct rdma_cm_event **ev)
{
	(void)ch;
	*ev = queued;
	queued = NULL;
	errno = EAGAIN;
	return *ev ? 0 : -1;
}

int rdma_ack_cm_event(struct rdma_cm_event *ev)
{
	(void)ev;
	return 0;
}

int rdma_reject(struct rdma_cm_id *id, const void *data, uint8_t len)
{
	(void)id;
	assert_int_equal(len, sizeof(refusal));
	memcpy(refusal, data, len);
	refusals++;
	return 0;
}

int rdma_destroy_id(struct rdma_cm_id *id)
{
	(void)id;
	live_ids--;
	return 0;
}

int rdma_init_qp_attr(struct rdma_cm_id *id, struct ibv_qp_attr *attr, int *mask)
{
	(void)id;
	attr->path_mtu = IBV_MTU_4096;
	attr->ah_attr.is_global = 1;
	*mask = IBV_QP_STATE;
	return 0;
}

int rdma_accept(struct rdma_cm_id *id, struct rdma_conn_param *param)
{
	(void)id;
	assert_int_equal(((const uint8_t *)param->private_data)[0], 1);
	accepts++;
	return 0;
}

/* ---- the endpoint, and its peer ---- */

static const uint8_t token[NMTI_RMA_TOKEN] = "accept";
static struct nmti_rma_ep *ep;

static void expect_with(int max_cqe, int srq)
{
	struct nmti_rma_ep_attr attr = { .run_slots = SLOTS, .send_depth = DEPTH, .token = token };

	adapter_open(max_cqe);
	nids = live_ids = accepts = refusals = 0;
	dev->cm = &channel;
	dev->opt.srq = srq;
	dev->opt.mtu = dev->opt.sl = dev->opt.traffic_class = -1;
	dev->opt.connect_timeout = 10000;
	dev->port.pattr.active_mtu = IBV_MTU_4096;
	dev->port.naddrs = 1;
	dev->port.addrs[0].listen = &listener;
	assert_int_equal(nmti_verbs_expect(dev, &attr, &ep), 0);
}

static void expect(int max_cqe)
{
	expect_with(max_cqe, -1);
}

static int over(void **state)
{
	(void)state;
	adapter_close();
	assert_int_equal(live_ids, 0);
	return 0;
}

/* The peer asks for a connection, with an id of its own each time. */
static void request(void)
{
	uint8_t data[20] = { 1, 0, 0, IBV_MTU_4096 };
	struct rdma_cm_event ev = { .event = RDMA_CM_EVENT_CONNECT_REQUEST, .id = &ids[nids++],
				    .listen_id = &listener };

	memcpy(data + 4, token, sizeof(token));
	ev.param.conn.private_data = data;
	ev.param.conn.private_data_len = sizeof(data);
	live_ids++;
	queued = &ev;
	nmti_verbs_cm_ready(&dev->cm_src, 0);
	assert_null(queued);
}

static void arrive(uint64_t receive, uint32_t imm)
{
	struct ibv_wc wc = { .wr_id = receive, .qp_num = ep->qp->qp_num,
			     .opcode = IBV_WC_RECV_RDMA_WITH_IMM, .imm_data = htonl(imm) };

	complete(ep->cq->cq, &wc);
}

/* It uses all its credit at once; immediates are FIRST and those behind it. */
static void use_all(uint32_t first)
{
	struct qp *q = (struct qp *)ep->qp;

	assert_int_equal(q->n, SLOTS);
	for (; q->n; q->n--)
		arrive(q->ids[q->head++ % q->max], first++);
}

/* The endpoint is connected and hears of the immediates from FIRST on, and of nothing else. */
static void hears_only(uint32_t first)
{
	struct nmti_rma_wc wc[2 * SLOTS];

	assert_int_equal(nmti_verbs_poll(dev, wc, 2 * SLOTS), 1 + SLOTS);
	assert_int_equal(wc[0].event, NMTI_RMA_CONNECTED);
	for (uint32_t i = 0; i < SLOTS; i++) {
		assert_int_equal(wc[1 + i].event, NMTI_RMA_IMM);
		assert_int_equal(wc[1 + i].imm, first + i);
	}
	assert_int_equal(nmti_verbs_poll(dev, wc, 1), 0);
	assert_int_equal(live_ids, 1);
}

/* The receives are posted again before the peer is told of credit for them, and no sooner. */
static void hears(uint32_t first)
{
	hears_only(first);
	assert_int_equal(ep->posted, 0);
	nmti_verbs_repost(dev);
	assert_int_equal(ep->posted, SLOTS);
	assert_int_equal(((struct qp *)ep->qp)->n, SLOTS);
}

/* What the first queue pair left fills the queue: the peer is to come again, and does. */
static void test_full(void **state)
{
	struct nmti_rma_wc wc;

	(void)state;
	expect(ENTRIES);
	request();
	assert_int_equal(accepts, 1);
	use_all(100);
	request();
	assert_int_equal(accepts, 1);
	assert_int_equal(refusals, 1);
	assert_int_equal(refusal[0], 1);
	assert_int_equal(refusal[1], 1); /* nobody expects it: come again */
	assert_int_equal(live_ids, 0);
	assert_int_equal(live_qps, 0);
	assert_false(ep->failed);
	assert_int_equal(nmti_verbs_poll(dev, &wc, 1), 0);
	request();
	assert_int_equal(accepts, 2);
	assert_int_equal(refusals, 1);
	use_all(200);
	hears(200);
}

/* There is room for both: the second is taken at once, and hears nothing of the first. */
static void test_room(void **state)
{
	(void)state;
	expect(2 * ENTRIES);
	request();
	use_all(100);
	request();
	assert_int_equal(accepts, 2);
	assert_int_equal(refusals, 0);
	use_all(200);
	hears(200);
}

/* The same of a shared queue. */
static void use_shared(uint32_t first)
{
	struct srq *q = (struct srq *)ep->srq->srq;

	assert_int_equal(q->n, SLOTS);
	for (; q->n; q->n--)
		arrive(q->ids[q->head++ % q->max], first++);
}

static void shared_is_full(void)
{
	nmti_verbs_repost(dev);
	assert_int_equal(ep->srq->posted, SLOTS);
	assert_int_equal(((struct srq *)ep->srq->srq)->n, SLOTS);
}

/*
 * What the first queue pair took from receives that others share is posted again, though the adapter
 * forgets completions with their queue pair: that stays until all are known. LAST: the adapter tells
 * of the last one; else some time goes by.
 */
static void begin_anew(bool last)
{
	struct nmti_rma_wc wc[2 * SLOTS];
	struct nmt_event ev;

	expect_with(1 << 12, 0);
	drops = true;
	request();
	assert_int_equal(accepts, 1);
	use_shared(100);
	for (uint32_t i = 1; i <= 2; i++) {
		request();
		assert_int_equal(refusals, i);
		assert_int_equal(refusal[1], 1);
		assert_int_equal(live_qps, 1);
	}
	assert_int_equal(moved[IBV_QPS_ERR].qp_state, IBV_QPS_ERR);
	if (last)
		nmti_verbs_srq_last(ep);
	for (int64_t end = nmti_now() + INT64_C(5000000000); live_qps && nmti_now() < end;) {
		assert_int_equal(nmt_poll(pd.dom, &ev, 1, 0), 0);
		assert_int_equal(nmti_verbs_poll(dev, wc, 2 * SLOTS), 0);
	}
	assert_int_equal(live_qps, 0);
	assert_false(ep->failed);
	shared_is_full();
	request();
	assert_int_equal(accepts, 2);
	use_shared(200);
	hears_only(200);
	shared_is_full();
}

static void test_shared(void **state)
{
	(void)state;
	begin_anew(true);
}

static void test_shared_settles(void **state)
{
	(void)state;
	begin_anew(false);
}

/* Fenced meanwhile: it drains, and all is given back. */
static void test_shared_fenced(void **state)
{
	struct nmti_rma_wc wc[2 * SLOTS];
	struct nmt_event ev;
	int n = 0;

	(void)state;
	expect_with(1 << 12, 0);
	drops = true;
	request();
	use_shared(100);
	request();
	nmti_verbs_fence(ep);
	for (int64_t end = nmti_now() + INT64_C(2000000000); !n && nmti_now() < end;) {
		assert_int_equal(nmt_poll(pd.dom, &ev, 1, 0), 0);
		n = nmti_verbs_poll(dev, wc, 2 * SLOTS);
	}
	assert_int_equal(n, 1);
	assert_int_equal(wc[0].event, NMTI_RMA_DRAINED);
	shared_is_full();
	nmti_verbs_destroy(ep);
	assert_int_equal(dev->neps, 0);
	assert_int_equal(dev->srqs[0].reserved, 0);
}

static void test_knobs(void **state)
{
	(void)state;
	expect(ENTRIES);
	dev->port.pattr.link_layer = IBV_LINK_LAYER_ETHERNET;
	dev->opt.mtu = IBV_MTU_1024;
	dev->opt.sl = 3;
	dev->opt.traffic_class = 104;
	dev->opt.flow_label = 700;
	dev->opt.timeout = 12;
	dev->opt.retry_count = 2;
	request();
	assert_int_equal(accepts, 1);
	assert_int_equal(moved[IBV_QPS_INIT].qp_access_flags, IBV_ACCESS_REMOTE_WRITE);
	assert_int_equal(moved[IBV_QPS_RTR].path_mtu, IBV_MTU_1024);
	assert_int_equal(moved[IBV_QPS_RTR].ah_attr.sl, 3);
	assert_int_equal(moved[IBV_QPS_RTR].ah_attr.grh.traffic_class, 104);
	assert_int_equal(moved[IBV_QPS_RTR].ah_attr.grh.flow_label, 700);
	assert_int_equal(moved[IBV_QPS_RTS].timeout, 12);
	assert_int_equal(moved[IBV_QPS_RTS].retry_cnt, 2);
	assert_int_equal(moved[IBV_QPS_RTS].rnr_retry, 6);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_full, over),
		cmocka_unit_test_teardown(test_room, over),
		cmocka_unit_test_teardown(test_shared, over),
		cmocka_unit_test_teardown(test_shared_settles, over),
		cmocka_unit_test_teardown(test_shared_fenced, over),
		cmocka_unit_test_teardown(test_knobs, over),
	};

	return cmocka_run_group_tests_name("verbs accept", tests, NULL, NULL);
}
