/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Requests and completions of raw-write on libibverbs: a doorbell and a signalled request for a
 * chain; inline if a message fits.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <string.h>

#include "raw_verbs.h"

#define WCS 32

static void verbs_prepare(struct raw *r)
{
	struct raw_verbs *v = (struct raw_verbs *)r;

	v->sge = (struct ibv_sge){ (uintptr_t)r->buf, (uint32_t)r->w->run->p.size, v->mr->lkey };
	for (uint32_t i = 0; i < RAW_CHAIN; i++) {
		struct ibv_send_wr *wr = &v->wr[i];

		wr->next = i + 1 < RAW_CHAIN ? wr + 1 : NULL;
		wr->sg_list = &v->sge;
		wr->num_sge = 1;
		wr->opcode = IBV_WR_RDMA_WRITE_WITH_IMM;
		wr->send_flags = v->inlined ? IBV_SEND_INLINE : 0;
		wr->wr.rdma.rkey = v->peer.rkey;
	}
}

static int ring(struct raw_verbs *v, struct ibv_send_wr *wr)
{
	struct ibv_send_wr *bad;
	int rc = ibv_post_send(v->id->qp, wr, &bad);

	return rc ? worker_fail(v->raw.w, -rc, "raw-write: ibv_post_send: %s", strerror(rc)) : 0;
}

/* The last N of the prepared chain. */
static int verbs_post(struct raw *r, uint32_t n, bool ask)
{
	struct raw_verbs *v = (struct raw_verbs *)r;
	struct ibv_send_wr *last = &v->wr[RAW_CHAIN - 1];

	for (struct ibv_send_wr *wr = last + 1 - n; wr <= last; wr++)
		wr->wr.rdma.remote_addr = v->peer.addr + raw_next_place(r);
	last->wr_id = r->posted;
	last->send_flags &= ~(unsigned int)IBV_SEND_SIGNALED;
	if (ask)
		last->send_flags |= IBV_SEND_SIGNALED;
	return ring(v, &v->wr[RAW_CHAIN - n]);
}

static int verbs_word(struct raw *r, uint32_t data)
{
	struct raw_verbs *v = (struct raw_verbs *)r;
	struct ibv_send_wr wr = { .wr_id = r->posted, .opcode = IBV_WR_RDMA_WRITE_WITH_IMM,
				  .send_flags = IBV_SEND_SIGNALED, .imm_data = htonl(data) };

	wr.wr.rdma.remote_addr = v->peer.addr;
	wr.wr.rdma.rkey = v->peer.rkey;
	return ring(v, &wr);
}

static int verbs_recvs(struct raw *r, uint32_t n)
{
	struct raw_verbs *v = (struct raw_verbs *)r;
	struct ibv_recv_wr wr[RAW_BATCH], *bad;

	memset(wr, 0, n * sizeof(wr[0]));
	for (uint32_t i = 0; i + 1 < n; i++)
		wr[i].next = &wr[i + 1];
	return -ibv_post_recv(v->id->qp, wr, &bad);
}

static int complete(struct raw *r, const struct ibv_wc *wc)
{
	if (wc->status)
		return worker_fail(r->w, -EIO, "raw-write: %s", ibv_wc_status_str(wc->status));
	if (wc->opcode & IBV_WC_RECV)
		raw_came(r, ntohl(wc->imm_data));
	else
		r->done = wc->wr_id;
	return 0;
}

static int verbs_take(struct raw *r, int most)
{
	struct raw_verbs *v = (struct raw_verbs *)r;
	struct ibv_wc wc[WCS];
	int err = 0, n = ibv_poll_cq(v->cq, most < WCS ? most : WCS, wc);

	if (n < 0)
		return worker_fail(r->w, -EIO, "raw-write: ibv_poll_cq failed");
	for (int i = 0; i < n && err == 0; i++)
		err = complete(r, &wc[i]);
	return err;
}

static int verbs_nap(struct raw *r, int ms)
{
	struct raw_verbs *v = (struct raw_verbs *)r;
	struct pollfd pfd = { .fd = v->events->fd, .events = POLLIN };
	struct ibv_cq *cq;
	void *context;
	int rc;

	if (!v->armed) {
		rc = ibv_req_notify_cq(v->cq, 0);
		v->armed = true;
		return rc ? worker_fail(r->w, -rc, "raw-write: ibv_req_notify_cq: %s", strerror(rc)) : 0;
	}
	if (poll(&pfd, 1, ms) <= 0)
		return 0;
	if (ibv_get_cq_event(v->events, &cq, &context))
		return worker_fail(r->w, -errno, "raw-write: ibv_get_cq_event: %s", strerror(errno));
	ibv_ack_cq_events(cq, 1);
	v->armed = false;
	return 0;
}

const struct raw_ops raw_verbs = {
	.size = sizeof(struct raw_verbs),
	.listen = verbs_listen,
	.accept = verbs_accept,
	.connect = verbs_connect,
	.prepare = verbs_prepare,
	.close = verbs_close,
	.bye = verbs_bye,
	.post = verbs_post,
	.word = verbs_word,
	.take = verbs_take,
	.recvs = verbs_recvs,
	.nap = verbs_nap,
};
