/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Set-up of connected endpoints. The side that connects sends a HELLO as the connection's data, the
 * other one answers in the same way (ofi_wire.h). Nothing waits: each step is an event of the queue.
 *
 * A first connection fails at the first obstacle, so that another path gets its turn; one that
 * replaces a lost path is tried again until its deadline, since the network may come back.
 */
#include "ofi.h"

#define AGAIN INT64_C(50000000)      /* before the next attempt */
#define PATIENCE INT64_C(2000000000) /* how long our connect may overtake the peer's expect */

static void start(struct nmti_rma_ep *ep);

/* ---- both sides ---- */

/* An endpoint of libfabric's for EP, with its receives. */
static int fid_new(struct nmti_rma_ep *ep, struct fi_info *info)
{
	struct nmti_rma_dev *dev = ep->dev;
	int rc = fi_endpoint(dev->domain, info, &ep->fid, ep);

	if (rc) {
		ep->fid = NULL;
		return rc;
	}
	rc = fi_ep_bind(ep->fid, &dev->eq->fid, 0);
	if (!rc)
		rc = fi_ep_bind(ep->fid, &dev->cq->fid,
				FI_TRANSMIT | (dev->tracked ? 0 : FI_SELECTIVE_COMPLETION));
	if (!rc)
		rc = fi_ep_bind(ep->fid, &dev->cq->fid, FI_RECV);
	if (!rc)
		rc = fi_enable(ep->fid);
	for (uint32_t i = 0; i < ep->msg_in && !rc; i++)
		rc = nmti_ofi_post_recv(dev, &ep->recvs[i]);
	return rc;
}

static void late(struct nmti_timer *t)
{
	struct nmti_rma_ep *ep = nmti_container(t, struct nmti_rma_ep, timer);

	if (ep->state == OFI_CONNECTING && nmti_now() < ep->deadline)
		start(ep);
	else
		nmti_ofi_fail(ep, -ETIMEDOUT, "no connection within %d ms "
			      "(NMT_OFI_CONNECT_TIMEOUT)", (int)(ep->limit / 1000000));
}

/* ---- the side that connects ---- */

static void again(struct nmti_rma_ep *ep)
{
	nmti_ofi_fid_close(ep);
	nmti_ofi_set_timer(ep, nmti_now() + AGAIN);
}

static void attempt_failed(struct nmti_rma_ep *ep, int rc, const char *what)
{
	if (ep->epoch && nmti_now() + AGAIN < ep->deadline)
		again(ep);
	else
		nmti_ofi_fail(ep, rc == -FI_ETIMEDOUT ? -ETIMEDOUT : -ECONNREFUSED, "%s: %s", what,
			      nmti_ofi_strerror(-rc));
}

static void start(struct nmti_rma_ep *ep)
{
	uint8_t hello[OFI_HELLO_LEN];
	int rc;

	ep->attempt++;
	nmti_ofi_set_timer(ep, ep->deadline);
	nmti_ofi_hello(ep, OFI_HELLO, hello);
	rc = fid_new(ep, ep->dev->info);
	if (!rc)
		rc = fi_connect(ep->fid, ep->goal.addr, hello, sizeof(hello));
	if (rc)
		attempt_failed(ep, rc, "fi_connect");
}

static void on_answer(struct nmti_rma_ep *ep, const void *data, uint32_t len)
{
	struct ofi_hello m;

	if (nmti_ofi_hello_decode(data, len, &m) || m.kind != OFI_ANSWER || m.to != ep->id) {
		nmti_ofi_fail(ep, -EPROTO, "the peer's answer is none of this protocol");
		return;
	}
	nmti_ofi_met(ep, &m);
	nmti_ofi_established(ep);
}

/* Our connect can be faster than the word by which the peer learns to expect it. */
static void on_refusal(struct nmti_rma_ep *ep, int err, const void *data, uint32_t len)
{
	int64_t now = nmti_now();
	struct ofi_hello m;

	if (!data || nmti_ofi_hello_decode(data, len, &m) || m.kind != OFI_REFUSE) {
		attempt_failed(ep, -err, "connecting");
		return;
	}
	if (!ep->patience)
		ep->patience = now + PATIENCE;
	if (m.why == OFI_WHY_UNEXPECTED && now < ep->patience)
		again(ep);
	else
		nmti_ofi_fail(ep, -ECONNREFUSED, m.why == OFI_WHY_UNEXPECTED ?
			      "the peer does not expect this connection" :
			      "the peer refuses this connection");
}

int nmti_ofi_connect(struct nmti_rma_dev *dev, const struct nmti_rma_ep_attr *attr,
		     const void *blob, uint32_t len, struct nmti_rma_ep **out)
{
	struct ofi_addr goal;
	struct nmti_rma_ep *ep;
	int rc;

	if (nmti_ofi_addr_decode(blob, len, &goal))
		return -EPROTO;
	if (goal.format != FI_ADDR_STR && goal.format == dev->name.format &&
	    goal.alen != dev->name.alen)
		return -EPROTO;
	rc = nmti_ofi_ep_new(dev, attr, &ep);
	if (rc)
		return rc;
	ep->state = OFI_CONNECTING;
	ep->goal = goal;
	ep->timer.fire = late;
	*out = ep;
	if (!nmti_ofi_addr_fit(&goal, &dev->name))
		nmti_ofi_fail(ep, -EADDRNOTAVAIL, "the peer has %.*s, another type of endpoint, or "
			      "other completion data (NMT_OFI_CQ_DATA)", (int)goal.plen, goal.prov);
	else if (dev->rdm)
		nmti_ofi_rdm_connect(ep);
	else
		start(ep);
	return 0;
}

/* ---- the side that expects ---- */

int nmti_ofi_expect(struct nmti_rma_dev *dev, const struct nmti_rma_ep_attr *attr,
		    struct nmti_rma_ep **out)
{
	struct nmti_rma_ep *ep;
	int rc = nmti_ofi_ep_new(dev, attr, &ep);

	if (rc)
		return rc;
	ep->state = OFI_EXPECTING;
	ep->timer.fire = late;
	nmti_list_add_tail(&ep->expected, &dev->expected);
	*out = ep;
	nmti_ofi_set_timer(ep, ep->deadline);
	return 0;
}

static void refuse(struct nmti_rma_dev *dev, fid_t handle, uint8_t why)
{
	const struct ofi_hello m = { .kind = OFI_REFUSE, .why = why };
	uint8_t buf[OFI_HELLO_LEN];

	nmti_log(dev->pd->ctx, NMT_LOG_DEBUG, "ofi: %s: a connection is refused: %s",
		 dev->found.name, why == OFI_WHY_UNEXPECTED ? "nobody expects its token" :
		 why == OFI_WHY_NO_ROOM ? "no endpoint for it" : "not understood");
	nmti_ofi_hello_encode(&m, buf);
	fi_reject(dev->pep, handle, buf, sizeof(buf));
}

static void accept_from(struct nmti_rma_ep *ep, struct fi_info *info, const struct ofi_hello *m)
{
	uint8_t answer[OFI_HELLO_LEN];
	int rc;

	nmti_ofi_fid_close(ep); /* an earlier attempt of the peer is void */
	nmti_ofi_met(ep, m);
	nmti_ofi_hello(ep, OFI_ANSWER, answer);
	rc = fid_new(ep, info);
	if (!ep->fid) {
		refuse(ep->dev, info->handle, OFI_WHY_NO_ROOM);
	} else if (!rc) {
		ep->state = OFI_ACCEPTED;
		rc = fi_accept(ep->fid, answer, sizeof(answer));
	}
	if (rc)
		nmti_ofi_fail(ep, -EIO, "answering the peer: %s", nmti_ofi_strerror(-rc));
}

static void on_request(struct nmti_rma_dev *dev, struct fi_info *info, const void *data,
		       uint32_t len)
{
	struct nmti_rma_ep *ep;
	struct ofi_hello m;

	if (nmti_ofi_hello_decode(data, len, &m) || m.kind != OFI_HELLO) {
		refuse(dev, info->handle, OFI_WHY_MALFORMED);
	} else {
		ep = nmti_ofi_expected(dev, &m);
		if (ep)
			accept_from(ep, info, &m);
		else
			refuse(dev, info->handle, OFI_WHY_UNEXPECTED);
	}
	nmti_ofi_freeinfo(info);
}

int nmti_ofi_listen(struct nmti_rma_dev *dev)
{
	int rc = fi_passive_ep(dev->fabric, dev->info, &dev->pep, dev);
	size_t len = sizeof(dev->name.addr), data = 0, size = sizeof(data);

	if (!rc)
		rc = fi_pep_bind(dev->pep, &dev->eq->fid, 0);
	if (!rc && !fi_getopt(&dev->pep->fid, FI_OPT_ENDPOINT, FI_OPT_CM_DATA_SIZE, &data, &size) &&
	    data < OFI_HELLO_LEN)
		rc = -FI_EMSGSIZE;
	if (!rc)
		rc = fi_listen(dev->pep);
	if (!rc)
		rc = fi_getname(&dev->pep->fid, dev->name.addr, &len);
	dev->name.alen = (uint8_t)len;
	return rc;
}

/* ---- events ---- */

/* The endpoint of an event, if it is still there. */
static struct nmti_rma_ep *find(struct nmti_rma_dev *dev, const struct fid *fid)
{
	for (struct nmti_list *i = dev->eps.next; i != &dev->eps; i = i->next) {
		struct nmti_rma_ep *ep = nmti_container(i, struct nmti_rma_ep, all);

		if (ep->fid && &ep->fid->fid == fid)
			return ep;
	}
	return NULL;
}

static void on_event(struct nmti_rma_dev *dev, uint32_t event, const struct fi_eq_cm_entry *e,
		     uint32_t len)
{
	struct nmti_rma_ep *ep = event == FI_CONNREQ ? NULL : find(dev, e->fid);

	if (event == FI_CONNREQ)
		on_request(dev, e->info, e->data, len);
	else if (!ep)
		return;
	else if (event == FI_CONNECTED && ep->state == OFI_CONNECTING)
		on_answer(ep, e->data, len);
	else if (event == FI_CONNECTED)
		nmti_ofi_established(ep);
	else if (event == FI_SHUTDOWN)
		nmti_ofi_fail(ep, -ECONNRESET, "the peer closed the connection, or died");
}

static void on_eq_error(struct nmti_rma_dev *dev)
{
	struct fi_eq_err_entry e = { .err_data_size = 0 };
	struct nmti_rma_ep *ep;

	if (fi_eq_readerr(dev->eq, &e, 0) <= 0)
		return;
	ep = find(dev, e.fid);
	if (!ep)
		return;
	if (ep->state == OFI_CONNECTING)
		on_refusal(ep, e.err, e.err_data, (uint32_t)e.err_data_size);
	else if (ep->state == OFI_ACCEPTED) /* the peer tries again */
		ep->state = OFI_EXPECTING;
	else
		nmti_ofi_fail(ep, -ECONNRESET, "the connection broke: %s", nmti_ofi_strerror(e.err));
}

void nmti_ofi_eq_read(struct nmti_rma_dev *dev)
{
	union {
		struct fi_eq_cm_entry entry;
		uint8_t bytes[sizeof(struct fi_eq_cm_entry) + 256];
	} buf;
	uint32_t event;
	ssize_t n;

	for (;;) {
		n = fi_eq_read(dev->eq, &event, &buf, sizeof(buf), 0);
		if (n == -FI_EAVAIL)
			on_eq_error(dev);
		else if (n >= (ssize_t)sizeof(buf.entry))
			on_event(dev, event, &buf.entry, (uint32_t)n - sizeof(buf.entry));
		else
			return;
	}
}

void nmti_ofi_eq_ready(struct nmti_source *src, uint32_t events)
{
	struct nmti_rma_dev *dev = nmti_container(src, struct nmti_rma_dev, eq_src);

	(void)events;
	dev->eq_low = false;
	nmti_ofi_eq_read(dev);
}
