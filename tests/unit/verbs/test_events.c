/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What an adapter that is played here says unasked, and the statuses of its completions: they reach the
 * endpoints concerned and no other, and say device, peer, status and what to look at.
 */
#include "adapter.h"

#include <stdio.h>

#define N 4 /* endpoints, two to a completion queue */
#define OTHER_PORT 2

static struct nmti_rma_ep *ep[N];
static const struct ibv_async_event *said;

int ibv_get_async_event(struct ibv_context *c, struct ibv_async_event *ev)
{
	(void)c;
	errno = EAGAIN;
	if (!said)
		return -1;
	*ev = *said;
	said = NULL;
	return 0;
}

void ibv_ack_async_event(struct ibv_async_event *ev)
{
	(void)ev;
}

static void address(struct sockaddr_storage *ss, uint32_t ip)
{
	struct sockaddr_in *in = (void *)ss;

	in->sin_family = AF_INET;
	in->sin_addr.s_addr = htonl(ip);
}

static int setup(void **state)
{
	static const uint8_t token[NMTI_RMA_TOKEN];
	struct nmti_rma_ep_attr attr = { .run_slots = 8, .send_depth = 7, .token = token };

	(void)state;
	adapter_open(2 * (8 + 7 + 1));
	dev->opt.srq = -1;
	dev->port.port = 1;
	snprintf(dev->port.name, sizeof(dev->port.name), "rxe_a");
	address(&dev->port.addrs[0].ss, 0x0a4d0001);
	for (int i = 0; i < N; i++) {
		attr.owner = &ep[i];
		attr.rail = (uint8_t)i;
		assert_int_equal(nmti_verbs_ep_new(dev, &attr, &ep[i]), 0);
		ep[i]->from = &dev->port.addrs[0];
		address(&ep[i]->peer, 0x0a4d0002);
		ep[i]->qp->qp_context = ep[i];
		ep[i]->state = VERBS_UP;
		ep[i]->rung = ep[i]->number = 1;
	}
	assert_ptr_equal(ep[0]->cq, ep[1]->cq);
	assert_ptr_not_equal(ep[1]->cq, ep[2]->cq);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	adapter_close();
	return 0;
}

/* What poll tells: bits of the endpoints that failed, all of them with STATUS and WORDS. */
static uint32_t failed(int status, const char *words)
{
	struct nmti_rma_wc wc[2 * N];
	uint32_t bits = 0;
	int n = nmti_verbs_poll(dev, wc, 2 * N);

	for (int i = 0; i < n; i++) {
		char head[64];

		assert_int_equal(wc[i].event, NMTI_RMA_FAILED);
		assert_int_equal(wc[i].status, status);
		snprintf(head, sizeof(head), "rxe_a 10.77.0.1:0 -> 10.77.0.2:0 rail %u: ",
			 wc[i].ep->rail);
		if (strncmp(wc[i].text, head, strlen(head)) || !strstr(wc[i].text, words))
			fail_msg("%s", wc[i].text);
		bits |= 1u << wc[i].ep->rail;
	}
	assert_int_equal(nmti_verbs_poll(dev, wc, 2 * N), 0);
	return bits;
}

static void say(struct ibv_async_event ev)
{
	said = &ev;
	nmti_verbs_async_ready(&dev->async_src, 0);
	assert_null(said);
}

/* ---- events ---- */

static void test_queue_pair(void **state)
{
	static const enum ibv_event_type type[] = { IBV_EVENT_QP_FATAL, IBV_EVENT_QP_REQ_ERR,
						    IBV_EVENT_QP_ACCESS_ERR };

	(void)state;
	for (uint32_t i = 0; i < 3; i++) {
		say((struct ibv_async_event){ .event_type = type[i], .element.qp = ep[i]->qp });
		assert_int_equal(failed(-EIO, ibv_event_type_str(type[i])), 1u << i);
	}
	say((struct ibv_async_event){ .event_type = type[0], .element.qp = ep[0]->qp });
	assert_int_equal(failed(0, ""), 0); /* once */
}

static void test_completion_queue(void **state)
{
	(void)state;
	say((struct ibv_async_event){ .event_type = IBV_EVENT_CQ_ERR,
				      .element.cq = ep[2]->cq->cq });
	assert_int_equal(failed(-EIO, "completion queue"), 0xc);
}

static void test_port(void **state)
{
	(void)state;
	say((struct ibv_async_event){ .event_type = IBV_EVENT_PORT_ERR,
				      .element.port_num = OTHER_PORT });
	assert_int_equal(failed(0, ""), 0);
	assert_int_equal(nmti_verbs_status(dev), 0);
	ep[3]->state = VERBS_CONNECTING; /* goes on trying */
	say((struct ibv_async_event){ .event_type = IBV_EVENT_PORT_ERR,
				      .element.port_num = 1 });
	assert_int_equal(failed(-ENETDOWN, "the port is down (cable, ip link)"), 0x7);
	assert_int_equal(nmti_verbs_status(dev), -ENETDOWN);
	say((struct ibv_async_event){ .event_type = IBV_EVENT_PORT_ACTIVE,
				      .element.port_num = OTHER_PORT });
	assert_int_equal(nmti_verbs_status(dev), -ENETDOWN);
	say((struct ibv_async_event){ .event_type = IBV_EVENT_PORT_ACTIVE,
				      .element.port_num = 1 });
	assert_int_equal(nmti_verbs_status(dev), 0);
}

static void test_adapter(void **state)
{
	(void)state;
	say((struct ibv_async_event){ .event_type = IBV_EVENT_DEVICE_FATAL });
	assert_int_equal(failed(-ENODEV, "the adapter is gone"), 0xf);
	assert_int_equal(nmti_verbs_status(dev), -ENODEV);
	nmti_timer_cancel(pd.dom, &dev->leaver);
	dev->leaving = false;
}

static void test_no_matter(void **state)
{
	static const enum ibv_event_type type[] = { IBV_EVENT_GID_CHANGE, IBV_EVENT_LID_CHANGE,
						    IBV_EVENT_PKEY_CHANGE, IBV_EVENT_SM_CHANGE,
						    IBV_EVENT_CLIENT_REREGISTER };

	(void)state;
	for (size_t i = 0; i < sizeof(type) / sizeof(type[0]); i++)
		say((struct ibv_async_event){ .event_type = type[i], .element.port_num = 1 });
	assert_int_equal(failed(0, ""), 0);
}

/* ---- statuses ---- */

static const struct {
	enum ibv_wc_status status;
	int err;
	const char *words; /* the status is added */
} statuses[] = {
	{ IBV_WC_RETRY_EXC_ERR, -ETIMEDOUT, "NMT_VERBS_TIMEOUT, NMT_VERBS_RETRY_COUNT" },
	{ IBV_WC_RESP_TIMEOUT_ERR, -ETIMEDOUT, "NMT_VERBS_TIMEOUT" },
	{ IBV_WC_RNR_RETRY_EXC_ERR, -EPROTO, "no receive posted" },
	{ IBV_WC_REM_ACCESS_ERR, -EACCES, "not open to this key" },
	{ IBV_WC_REM_INV_REQ_ERR, -EPROTO, "NMT_VERBS_MTU" },
	{ IBV_WC_REM_OP_ERR, -EREMOTEIO, "the peer's adapter" },
	{ IBV_WC_LOC_LEN_ERR, -EPROTO, "longer than its receive" },
	{ IBV_WC_LOC_QP_OP_ERR, -EIO, "longer than its receive" },
	{ IBV_WC_LOC_PROT_ERR, -EFAULT, "not registered" },
	{ IBV_WC_WR_FLUSH_ERR, -ECONNRESET, "error state" },
	{ IBV_WC_FATAL_ERR, -EIO, "vendor error 0x57" },
	{ IBV_WC_GENERAL_ERR, -EIO, "vendor error 0x57" },
};

/* Of the endpoint that the completion is of, requests and receives alike. */
static void test_statuses(void **state)
{
	for (size_t i = 0; i < 2 * sizeof(statuses) / sizeof(statuses[0]); i++) {
		uint32_t of = i % N;
		struct ibv_wc wc = { .status = statuses[i / 2].status, .vendor_err = 0x57,
				     .wr_id = verbs_wr_id(ep[of], 1) | (i % 2 ? VERBS_RECV : 0) };

		complete(ep[of]->cq->cq, &wc);
		ep[of]->posted = 1;
		assert_int_equal(failed(statuses[i / 2].err, statuses[i / 2].words), 1u << of);
		assert_non_null(strstr(ep[of]->text, ibv_wc_status_str(wc.status)));
		if (of == N - 1) {
			teardown(state);
			setup(state);
		}
	}
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(test_queue_pair),
		TEST(test_completion_queue),
		TEST(test_port),
		TEST(test_adapter),
		TEST(test_no_matter),
		TEST(test_statuses),
	};

	return cmocka_run_group_tests_name("verbs events", tests, NULL, NULL);
}
