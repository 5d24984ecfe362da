/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Completion queues. An endpoint reserves an entry for each receive and request that it can have
 * with the adapter, and a shared receive queue one for each of its slots, whoever takes them: so no
 * queue overruns, whatever peers do. When one is full, a further one is made. All of a device report
 * to one channel, which is the source that wakes the domain.
 *
 * Receives are posted again before the peer is told of credit for them: it never has credit for a
 * slot that is not posted. Until then they gather, so that one call posts many. Shared ones are posted
 * again by the next poll, since the endpoint that took them may be gone. Messages are copied out.
 */
#include <arpa/inet.h>

#include "verbs.h"

#define ACK_AT 1024u /* events taken before they are acknowledged, which takes a lock */

/* ---- capacity ---- */

bool nmti_verbs_cq_room(const struct verbs_cq *cq, uint32_t entries)
{
	return cq->cq && cq->size >= (uint64_t)cq->shared + cq->reserved + cq->stale + entries;
}

static struct verbs_cq *cq_new(struct nmti_rma_dev *dev, uint32_t entries)
{
	uint32_t most = (uint32_t)dev->port.attr.max_cqe, size;
	struct verbs_cq *cq = &dev->cqs[dev->ncqs];

	if (dev->ncqs == VERBS_CQS || entries > most)
		return NULL;
	size = dev->ncqs < 16 ? VERBS_CQ_FIRST << dev->ncqs : most;
	size = size < entries ? entries : size > most ? most : size;
	memset(cq, 0, sizeof(*cq));
	cq->cq = ibv_create_cq(dev->port.ctx, (int)size, cq, dev->comp, 0);
	if (!cq->cq) {
		nmti_log(dev->pd->ctx, NMT_LOG_ERROR,
			 "verbs: %s: completion queue of %u entries: %s", dev->port.name, size,
			 strerror(errno));
		return NULL;
	}
	cq->size = size; /* it may have more, which is not needed */
	dev->ncqs++;
	return cq;
}

struct verbs_cq *nmti_verbs_cq_find(struct nmti_rma_dev *dev, uint32_t entries)
{
	for (uint32_t i = 0; i < dev->ncqs; i++)
		if (nmti_verbs_cq_room(&dev->cqs[i], entries))
			return &dev->cqs[i];
	return cq_new(dev, entries);
}

void nmti_verbs_cq_take(struct nmti_rma_ep *ep, struct verbs_cq *cq, uint32_t entries)
{
	ep->cq = cq;
	ep->cq_share = entries;
	cq->reserved += entries;
}

void nmti_verbs_cq_give(struct nmti_rma_ep *ep)
{
	if (ep->cq)
		ep->cq->reserved -= ep->cq_share;
	ep->cq = NULL;
}

void nmti_verbs_cqs_free(struct nmti_rma_dev *dev)
{
	for (uint32_t i = 0; i < dev->ncqs; i++) {
		struct verbs_cq *cq = &dev->cqs[i];

		if (cq->unacked)
			ibv_ack_cq_events(cq->cq, cq->unacked);
		ibv_destroy_cq(cq->cq);
		cq->cq = NULL;
	}
	dev->ncqs = 0;
}

/* ---- errors in words ---- */

static const struct {
	enum ibv_wc_status status;
	int err;
	const char *hint;
} words[] = {
	{ IBV_WC_RETRY_EXC_ERR, -ETIMEDOUT,
	  "the peer or the path does not answer (NMT_VERBS_TIMEOUT, NMT_VERBS_RETRY_COUNT)" },
	{ IBV_WC_RESP_TIMEOUT_ERR, -ETIMEDOUT, "the peer does not answer (NMT_VERBS_TIMEOUT)" },
	{ IBV_WC_RNR_RETRY_EXC_ERR, -EPROTO, "the peer has no receive posted: it broke its credits" },
	{ IBV_WC_REM_ACCESS_ERR, -EACCES, "the peer's memory is not open to this key and range" },
	{ IBV_WC_REM_INV_REQ_ERR, -EPROTO, "the peer's adapter calls the request invalid (unequal "
	  "path MTUs: NMT_VERBS_MTU; a message longer than its receive)" },
	{ IBV_WC_REM_OP_ERR, -EREMOTEIO, "the peer's adapter could not do it" },
	{ IBV_WC_LOC_LEN_ERR, -EPROTO, "a message is longer than its receive" },
	{ IBV_WC_LOC_QP_OP_ERR, -EIO,
	  "the adapter found a request or a receive unfit (SoftRoCE: also a message longer than its "
	  "receive)" },
	{ IBV_WC_LOC_PROT_ERR, -EFAULT, "local memory is not registered for this" },
	{ IBV_WC_WR_FLUSH_ERR, -ECONNRESET, "the queue pair is in the error state" },
};

static void fail_words(struct nmti_rma_ep *ep, const struct ibv_wc *wc)
{
	const char *name = ibv_wc_status_str(wc->status);
	size_t i = 0;

	while (i < sizeof(words) / sizeof(words[0]) && words[i].status != wc->status)
		i++;
	if (i < sizeof(words) / sizeof(words[0]))
		nmti_verbs_fail(ep, words[i].err, "%s: %s", name, words[i].hint);
	else
		nmti_verbs_fail(ep, -EIO, "%s (vendor error 0x%x)", name, wc->vendor_err);
}

/* ---- one completion: how many entries of OUT it filled ---- */

static void fill(struct nmti_rma_wc *out, struct nmti_rma_ep *ep, enum nmti_rma_event event)
{
	out->ep = ep;
	out->owner = ep->owner;
	out->event = (uint8_t)event;
}

nmti_hot static int on_sent(struct nmti_rma_ep *ep, const struct ibv_wc *wc,
			    struct nmti_rma_wc *out)
{
	uint64_t number = ep->done + ((wc->wr_id - ep->done) & VERBS_LOW);

	if (number > ep->rung) { /* the marker, behind all others */
		ep->marked = false;
		ep->done = ep->rung;
		return 0;
	}
	ep->done = number;
	if (wc->status) {
		fail_words(ep, wc);
		return 0;
	}
	fill(out, ep, NMTI_RMA_WRITTEN);
	out->number = number;
	return 1;
}

/* Put the slot on the list of those to post again. The request is filled in when it is posted. */
static inline void use_again(struct nmti_rma_ep *ep, uint32_t slot)
{
	struct nmti_rma_dev *dev = ep->dev;
	struct ibv_recv_wr *wr = &dev->used[dev->nused++];

	wr->wr_id = slot;
	wr->next = NULL;
	if (ep->repost)
		ep->repost_last->next = wr;
	else
		ep->repost = wr;
	ep->repost_last = wr;
	if (nmti_list_empty(&ep->touched))
		nmti_list_add_tail(&ep->touched, &dev->touched);
}

static void fill_imm(struct nmti_rma_wc *out, struct nmti_rma_ep *ep, const struct ibv_wc *wc)
{
	fill(out, ep, NMTI_RMA_IMM);
	out->imm = ntohl(wc->imm_data);
	out->len = wc->byte_len;
}

static void fill_message(struct nmti_rma_ep *ep, const struct ibv_wc *wc, const uint8_t *bytes,
			 struct nmti_rma_wc *out)
{
	uint8_t *copy = ep->dev->msgs[ep->dev->nmsgs++];

	fill(out, ep, NMTI_RMA_MESSAGE);
	out->len = wc->byte_len < ep->msg_max ? wc->byte_len : ep->msg_max;
	if (out->len)
		memcpy(copy, bytes, out->len);
	out->data = copy;
}

/* Of a shared queue; nobody wants it any more where EP is NULL, an orphan, or of a void attempt. */
static int on_shared(struct nmti_rma_dev *dev, struct nmti_rma_ep *ep, const struct ibv_wc *wc,
		     struct nmti_rma_wc *out)
{
	const uint8_t *bytes = nmti_verbs_srq_slot(dev, wc->wr_id);

	if (!ep || ep->orphan || (!ep->connected && ep->state != VERBS_ACCEPTED))
		return 0;
	if (wc->status) {
		fail_words(ep, wc);
		return 0;
	}
	if (wc->opcode == IBV_WC_RECV_RDMA_WITH_IMM) {
		fill_imm(out, ep, wc);
		return 1;
	}
	if (wc->byte_len > ep->msg_max) {
		nmti_verbs_fail(ep, -EPROTO, "a message is longer than its receive");
		return 0;
	}
	fill_message(ep, wc, bytes, out);
	return 1;
}

nmti_hot static int on_received(struct nmti_rma_ep *ep, const struct ibv_wc *wc,
				struct nmti_rma_wc *out)
{
	uint32_t slot = wc->wr_id & VERBS_LOW;

	ep->posted--;
	if (wc->status) {
		fail_words(ep, wc);
		return 0;
	}
	if (wc->opcode == IBV_WC_RECV_RDMA_WITH_IMM)
		fill_imm(out, ep, wc);
	else
		fill_message(ep, wc, ep->msgs + (size_t)slot * ep->msg_max, out);
	use_again(ep, slot);
	return 1;
}

/* ---- poll ---- */

static void fill_in(struct nmti_rma_ep *ep)
{
	struct nmti_rma_dev *dev = ep->dev;
	struct ibv_recv_wr *next;

	for (struct ibv_recv_wr *wr = ep->repost; wr; wr = next) {
		next = wr->next;
		nmti_verbs_recv_wr(ep, (uint32_t)wr->wr_id, wr, &dev->used_sge[wr - dev->used]);
		wr->next = next;
	}
}

static void repost_own(struct nmti_rma_dev *dev)
{
	struct nmti_list *node;

	while ((node = nmti_list_pop(&dev->touched))) {
		struct nmti_rma_ep *ep = nmti_container(node, struct nmti_rma_ep, touched);
		struct ibv_recv_wr *bad = NULL;
		int rc = 0;

		if (ep->state == VERBS_UP && !ep->failed) {
			fill_in(ep);
			rc = ibv_post_recv(ep->qp, ep->repost, &bad);
		}
		if (rc ? !bad : ep->state != VERBS_UP || ep->failed)
			bad = ep->repost;
		for (struct ibv_recv_wr *wr = ep->repost; wr != bad; wr = wr->next)
			ep->posted++;
		ep->repost = NULL;
		if (rc)
			nmti_verbs_fail(ep, -EIO, "posting a receive: %s", strerror(rc));
	}
}

nmti_hot void nmti_verbs_repost(struct nmti_rma_dev *dev)
{
	if (!dev->nused && !dev->srq_used)
		return;
	repost_own(dev);
	nmti_verbs_srq_repost(dev);
	dev->nused = 0;
}

static bool is_shared(const struct ibv_wc *wc)
{
	return (wc->wr_id & (VERBS_RECV | VERBS_SHARED)) == (VERBS_RECV | VERBS_SHARED);
}

static struct nmti_rma_ep *ep_of(const struct nmti_rma_dev *dev, const struct ibv_wc *wc)
{
	return is_shared(wc) ? nmti_verbs_srq_ep(dev, wc->qp_num) : verbs_wr_ep(dev, wc->wr_id);
}

static int look_at(struct nmti_rma_dev *dev, struct nmti_rma_ep *ep, const struct ibv_wc *wc,
		   struct nmti_rma_wc *out)
{
	int n;

	if (is_shared(wc))
		return on_shared(dev, ep, wc, out);
	if (!ep)
		return 0;
	n = wc->wr_id & VERBS_RECV ? on_received(ep, wc, out) : on_sent(ep, wc, out);
	return ep->orphan ? 0 : n;
}

/* Not all was looked at that was taken from a queue. */
static inline bool ahead(const struct nmti_rma_dev *dev)
{
	return dev->ahead_pos < dev->nahead;
}

/* Look at what was taken from a queue while there is room for what it says. */
nmti_hot static int look(struct nmti_rma_dev *dev, struct nmti_rma_wc *out, int max)
{
	int n = 0;

	while (ahead(dev) && n < max) {
		const struct ibv_wc *wc = &dev->ahead[dev->ahead_pos];
		struct nmti_rma_ep *ep = ep_of(dev, wc);

		/* Bytes can overtake the last word of the handshake. */
		if (ep && ep->state == VERBS_ACCEPTED && !wc->status) {
			nmti_verbs_established(ep);
			ep->events &= (uint8_t)~VERBS_TELL_CONNECTED;
			fill(&out[n++], ep, NMTI_RMA_CONNECTED);
			continue;
		}
		dev->ahead_pos++;
		n += look_at(dev, ep, wc, &out[n]);
		if (ep && ep->state == VERBS_FENCED)
			nmti_verbs_drained(ep);
	}
	return n;
}

static void broken(struct nmti_rma_dev *dev, const struct verbs_cq *cq)
{
	for (struct nmti_list *i = dev->eps.next; i != &dev->eps; i = i->next) {
		struct nmti_rma_ep *ep = nmti_container(i, struct nmti_rma_ep, all);

		if (ep->cq == cq)
			nmti_verbs_fail(ep, -EIO, "its completion queue cannot be read");
	}
}

/* A queue had less than was asked for; some of it may still have to be looked at. */
static inline void emptied(struct nmti_rma_dev *dev, struct verbs_cq *cq)
{
	cq->stale = 0;
	if (unlikely(!nmti_list_empty(&dev->quitting)) && !ahead(dev))
		nmti_verbs_srq_emptied(dev, cq);
}

/* GOT of at most WANT were taken from a queue: go on until it is empty or OUT is full. */
nmti_hot static int poll_on(struct nmti_rma_dev *dev, struct verbs_cq *cq,
			    struct nmti_rma_wc *out, int want, int got)
{
	int n = 0, max = want;

	for (; got > 0; got = ibv_poll_cq(cq->cq, want, dev->ahead)) {
		cq->armed = false;
		dev->ahead_pos = 0;
		dev->nahead = got;
		n += look(dev, out + n, max - n);
		if (got < want || ahead(dev))
			break;
		if (n == max)
			return n;
		want = max - n;
	}
	if (got < 0)
		broken(dev, cq);
	else if (got < want)
		emptied(dev, cq);
	return n;
}

/* Take from one queue until it is empty or OUT is full. */
static inline int poll_one(struct nmti_rma_dev *dev, struct verbs_cq *cq, struct nmti_rma_wc *out,
			   int max)
{
	int got = ibv_poll_cq(cq->cq, max, dev->ahead);

	if (unlikely(got))
		return poll_on(dev, cq, out, max, got);
	emptied(dev, cq);
	return 0;
}

/* Several queues, each in turn first. */
static int poll_many(struct nmti_rma_dev *dev, struct nmti_rma_wc *out, int max)
{
	int n = 0;

	for (uint32_t i = 0, at = dev->turn; i < dev->ncqs && n < max; i++, at++) {
		struct verbs_cq *cq = &dev->cqs[at < dev->ncqs ? at : at - dev->ncqs];

		if (cq->reserved || cq->stale)
			n += poll_one(dev, cq, out + n, max - n);
	}
	return n;
}

static inline int poll_all(struct nmti_rma_dev *dev, struct nmti_rma_wc *out, int max)
{
	int n = unlikely(ahead(dev)) ? look(dev, out, max) : 0;

	if (n < max && dev->ncqs == 1 && (dev->cqs->reserved || dev->cqs->stale))
		n += poll_one(dev, dev->cqs, out + n, max - n);
	else if (n < max && dev->ncqs > 1)
		n += poll_many(dev, out + n, max - n);
	if (n == max)
		dev->turn = dev->turn + 1 < dev->ncqs ? dev->turn + 1 : 0;
	return n;
}

/* ---- what is no completion ---- */

/* Tell the first of WHICH of the endpoint. */
static bool tell_one(struct nmti_rma_ep *ep, uint8_t which, struct nmti_rma_wc *out)
{
	uint8_t what = ep->events & which;

	if (!what)
		return false;
	what &= (uint8_t)-what;
	ep->events &= (uint8_t)~what;
	fill(out, ep, what == VERBS_TELL_CONNECTED ? NMTI_RMA_CONNECTED :
	     what == VERBS_TELL_FAILED ? NMTI_RMA_FAILED : NMTI_RMA_DRAINED);
	if (what == VERBS_TELL_FAILED) {
		out->status = ep->status;
		out->text = ep->text;
	}
	return true;
}

static int tell(struct nmti_rma_dev *dev, uint8_t which, struct nmti_rma_wc *out, int max)
{
	struct nmti_list *node = dev->events.next, *next;
	int n = 0;

	for (; node != &dev->events && n < max; node = next) {
		struct nmti_rma_ep *ep = nmti_container(node, struct nmti_rma_ep, event);

		next = node->next;
		if (ep->orphan) {
			nmti_verbs_ep_free(ep);
			continue;
		}
		while (n < max && tell_one(ep, which, &out[n]))
			n++;
		if (!ep->events)
			nmti_list_del(&ep->event);
	}
	return n;
}

nmti_hot int nmti_verbs_poll(struct nmti_rma_dev *dev, struct nmti_rma_wc *wc, int max)
{
	int n = 0, keep;

	max = max < VERBS_BATCH ? max : VERBS_BATCH;
	dev->nmsgs = 0;
	if (unlikely(dev->srq_used || dev->nused > VERBS_USED - VERBS_BATCH))
		nmti_verbs_repost(dev);
	if (unlikely(!nmti_list_empty(&dev->events)))
		n = tell(dev, VERBS_TELL_CONNECTED, wc, max);
	keep = n < max && !nmti_list_empty(&dev->events); /* room, so that busy queues hide none */
	n += poll_all(dev, wc + n, max - n - keep);
	if (unlikely(!nmti_list_empty(&dev->events)))
		n += tell(dev, UINT8_MAX, wc + n, max - n);
	return n;
}

/* ---- sleep ---- */

/* An interrupt for the next completion; what came before it was asked for is taken now. */
int nmti_verbs_arm(struct nmti_rma_dev *dev)
{
	if (!nmti_list_empty(&dev->events) || !nmti_list_empty(&dev->quitting) || ahead(dev))
		return -EAGAIN;
	if (dev->srq_used)
		nmti_verbs_repost(dev);
	for (uint32_t i = 0; i < dev->ncqs; i++) {
		struct verbs_cq *cq = &dev->cqs[i];

		if (cq->armed || (!cq->reserved && !cq->stale))
			continue;
		cq->armed = !ibv_req_notify_cq(cq->cq, 0);
		dev->asked += cq->armed;
		dev->ahead_pos = 0;
		dev->nahead = ibv_poll_cq(cq->cq, VERBS_BATCH, dev->ahead);
		if (dev->nahead > 0) {
			cq->armed = false;
			return -EAGAIN;
		}
		dev->nahead = 0;
	}
	return 0;
}

/*
 * The domain is awake; poll comes next. A look that finds no event is a system call for nothing: with
 * one queue there is none behind the last event that was asked for. With several the events say which
 * one is not armed any more, so all are read.
 */
void nmti_verbs_comp_ready(struct nmti_source *src, uint32_t events)
{
	struct nmti_rma_dev *dev = nmti_container(src, struct nmti_rma_dev, comp_src);
	struct ibv_cq *ibcq;
	void *context;

	(void)events;
	do {
		struct verbs_cq *cq;

		if (ibv_get_cq_event(dev->comp, &ibcq, &context)) {
			dev->asked = 0;
			return;
		}
		cq = context;
		cq->armed = false;
		if (++cq->unacked == ACK_AT) {
			ibv_ack_cq_events(ibcq, ACK_AT);
			cq->unacked = 0;
		}
		dev->asked -= dev->asked > 0;
	} while (dev->asked || dev->ncqs > 1);
}
