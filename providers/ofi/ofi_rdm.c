/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One endpoint for all streams of a device: its peers, and set-up over it.
 *
 * Each message begins with 8 bytes that say what it is and which endpoint it is for; the words of
 * set-up are a struct ofi_hello, HELLO with the name of the sender's endpoint behind it. The side that
 * connects says HELLO until it is answered; a HELLO that nobody expects (yet) is dropped without a
 * word, so that a stranger cannot make this end talk to an address of his choice. READY ends it. BYE is
 * the last word of an endpoint, in either direction.
 */
#include <stdlib.h>

#include "ofi.h"

#define HELLO_AGAIN INT64_C(100000000)
#define LOST_AFTER INT64_C(1000000000)
#define IDLE_PEERS 256u
#define EP_TRIES 64

/* ---- peers ---- */

static struct ofi_peer *peer_new(struct nmti_rma_dev *dev, const uint8_t *name, uint8_t len)
{
	struct ofi_peer *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	memcpy(p->name, name, len);
	p->len = len;
	if (fi_av_insert(dev->av, p->name, 1, &p->addr, 0, NULL) != 1) {
		free(p);
		return NULL;
	}
	nmti_list_add_tail(&p->node, &dev->peers);
	dev->nidle++;
	return p;
}

static int meet(struct nmti_rma_ep *ep, const uint8_t *name, uint8_t len)
{
	struct nmti_rma_dev *dev = ep->dev;
	struct ofi_peer *p = NULL;

	for (struct nmti_list *i = dev->peers.next; i != &dev->peers && !p; i = i->next) {
		struct ofi_peer *at = nmti_container(i, struct ofi_peer, node);

		if (at->len == len && !memcmp(at->name, name, len))
			p = at;
	}
	if (!p)
		p = peer_new(dev, name, len);
	if (!p)
		return -ENOMEM;
	dev->nidle -= !p->refs++;
	ep->peer = p;
	ep->to = p->addr;
	return 0;
}

static void peer_forget(struct nmti_rma_dev *dev, struct ofi_peer *p)
{
	fi_av_remove(dev->av, &p->addr, 1, 0);
	nmti_list_del(&p->node);
	dev->nidle--;
	free(p);
}

/*
 * A peer without streams is kept for the next one, since providers take their connection to it down
 * with the address, whatever the peer begins to send; the one that was not used longest goes.
 */
void nmti_ofi_rdm_leave(struct nmti_rma_ep *ep)
{
	struct nmti_rma_dev *dev = ep->dev;
	struct ofi_peer *p = ep->peer;

	nmti_ofi_drop(ep);
	ep->peer = NULL;
	if (!p || --p->refs)
		return;
	nmti_list_del(&p->node);
	nmti_list_add_tail(&p->node, &dev->peers);
	dev->nidle++;
	for (struct nmti_list *i = dev->peers.next; dev->nidle > IDLE_PEERS; i = i->next) {
		p = nmti_container(i, struct ofi_peer, node);
		if (p->refs)
			continue;
		peer_forget(dev, p);
		return;
	}
}

static void peer_lost(struct nmti_rma_dev *dev, const struct ofi_peer *p)
{
	for (struct nmti_list *i = dev->eps.next; i != &dev->eps; i = i->next) {
		struct nmti_rma_ep *ep = nmti_container(i, struct nmti_rma_ep, all);

		if (ep->peer == p && ep->state == OFI_UP)
			nmti_ofi_fail(ep, -ECONNRESET, "the peer's endpoint is not to be reached");
	}
}

/*
 * A provider may connect again without a word, and try that for ever. So streams that have nothing under
 * way, or have what it does not take, hear of a lost peer here. One that is only slow is not broken.
 */
void nmti_ofi_rdm_refused(struct nmti_rma_ep *ep)
{
	struct ofi_peer *p = ep->peer;

	if (!p->broken)
		p->since = 0;
	else if (!p->since)
		p->since = nmti_now();
	else if (nmti_now() - p->since > LOST_AFTER)
		peer_lost(ep->dev, p);
}

/* What was said in set-up did not reach the peer: it is said, or waited for, again. */
void nmti_ofi_rdm_unheard(struct nmti_rma_ep *ep)
{
	if (ep->state != OFI_ACCEPTED)
		return; /* HELLO has its timer */
	nmti_ofi_rdm_leave(ep);
	ep->state = OFI_EXPECTING;
	nmti_list_add_tail(&ep->expected, &ep->dev->expected);
}

static bool name_fits(const struct nmti_rma_dev *dev, const uint8_t *name, uint32_t len)
{
	if (dev->name.format == FI_ADDR_STR)
		return len > 1 && len <= OFI_ADDR_MAX &&
		       strnlen((const char *)name, len) == len - 1;
	return len == dev->name.alen;
}

/* ---- words ---- */

static void say_hello(struct nmti_rma_ep *ep)
{
	const struct ofi_addr *name = &ep->dev->name;

	nmti_ofi_set_timer(ep, nmti_now() + HELLO_AGAIN);
	if (ep->number != ep->done)
		return;
	nmti_ofi_hello(ep, OFI_HELLO, ep->word);
	ep->word[OFI_HELLO_LEN] = name->alen;
	memcpy(ep->word + OFI_HELLO_LEN + 1, name->addr, name->alen);
	nmti_ofi_say(ep, OFI_HELLO_LEN + 1 + name->alen);
}

static void hello_again(struct nmti_timer *t)
{
	struct nmti_rma_ep *ep = nmti_container(t, struct nmti_rma_ep, timer);

	if (nmti_now() < ep->deadline)
		say_hello(ep);
	else
		nmti_ofi_fail(ep, -ETIMEDOUT, "no answer within %d ms (NMT_OFI_CONNECT_TIMEOUT)",
			      (int)(ep->limit / 1000000));
}

void nmti_ofi_rdm_connect(struct nmti_rma_ep *ep)
{
	ep->timer.fire = hello_again;
	if (!name_fits(ep->dev, ep->goal.addr, ep->goal.alen))
		nmti_ofi_fail(ep, -EPROTO, "the peer's endpoint has a name of %u bytes",
			      ep->goal.alen);
	else if (meet(ep, ep->goal.addr, ep->goal.alen))
		nmti_ofi_fail(ep, -EADDRNOTAVAIL, "the peer's endpoint name is refused");
	else
		say_hello(ep);
}

static void on_hello(struct nmti_rma_dev *dev, const struct ofi_hello *m, const uint8_t *name,
		     uint32_t len)
{
	struct nmti_rma_ep *ep = nmti_ofi_expected(dev, m);

	if (!ep || !len || name[0] != len - 1 || !name_fits(dev, name + 1, len - 1) ||
	    len - 1 > OFI_ADDR_MAX) {
		nmti_log(dev->pd->ctx, NMT_LOG_DEBUG, "ofi: %s: a hello is dropped: %s",
			 dev->found.name, ep ? "its name is none" : "nobody expects its token");
		return;
	}
	if (meet(ep, name + 1, (uint8_t)(len - 1))) {
		nmti_ofi_fail(ep, -EADDRNOTAVAIL, "the peer's endpoint name is refused");
		return;
	}
	nmti_ofi_met(ep, m);
	nmti_list_del(&ep->expected);
	ep->state = OFI_ACCEPTED;
	nmti_ofi_hello(ep, OFI_ANSWER, ep->word);
	nmti_ofi_say(ep, OFI_HELLO_LEN);
}

static void on_answer(struct nmti_rma_dev *dev, const struct ofi_hello *m)
{
	struct nmti_rma_ep *ep = ofi_ep_of(dev, m->to);

	if (!ep || ep->state != OFI_CONNECTING || ep->failed ||
	    memcmp(ep->token, m->token, OFI_TOKEN))
		return;
	nmti_ofi_met(ep, m);
	nmti_ofi_established(ep);
	nmti_ofi_say(ep, nmti_ofi_head(ep, OFI_READY, ep->word));
}

void nmti_ofi_rdm_bye(struct nmti_rma_ep *ep)
{
	struct ofi_hello m = { .kind = OFI_BYE, .rail = ep->rail, .epoch = ep->epoch,
			       .id = ep->id, .to = ep->peer_id };

	memcpy(m.token, ep->token, sizeof(m.token));
	nmti_ofi_hello_encode(&m, ep->word);
	nmti_ofi_say(ep, OFI_HELLO_LEN);
}

static void on_bye(struct nmti_rma_dev *dev, const struct ofi_hello *m)
{
	struct nmti_rma_ep *ep = nmti_ofi_known(dev, m);

	if (!ep)
		return;
	ep->bye_heard = true;
	nmti_ofi_fail(ep, -ECONNRESET, "the peer has fenced its end");
}

void nmti_ofi_rdm_word(struct nmti_rma_dev *dev, const uint8_t *p, uint32_t len)
{
	struct ofi_hello m;

	if (nmti_ofi_hello_decode(p, len, &m))
		return;
	if (m.kind == OFI_HELLO)
		on_hello(dev, &m, p + OFI_HELLO_LEN, len - OFI_HELLO_LEN);
	else if (m.kind == OFI_ANSWER)
		on_answer(dev, &m);
	else if (m.kind == OFI_BYE)
		on_bye(dev, &m);
}

/* ---- the shared endpoint ---- */

static int recvs_new(struct nmti_rma_dev *dev)
{
	size_t each = OFI_MSG_MAX + OFI_MSG_HEAD, most = dev->info->rx_attr->size;
	int rc;

	dev->nrecvs = most < OFI_RDM_RECVS ? (uint32_t)most : OFI_RDM_RECVS;
	dev->msgs = calloc(dev->nrecvs, each);
	dev->recvs = calloc(dev->nrecvs, sizeof(*dev->recvs));
	if (!dev->msgs || !dev->recvs)
		return -FI_ENOMEM;
	rc = nmti_ofi_mr_new(dev, dev->msgs, dev->nrecvs * each, false, &dev->msg_mr);
	for (uint32_t i = 0; i < dev->nrecvs && !rc; i++) {
		dev->recvs[i] = (struct ofi_recv){ .ctx = { .recv = true }, .slot = i };
		rc = nmti_ofi_post_recv(dev, &dev->recvs[i]);
	}
	return rc;
}

static int ep_open(struct nmti_rma_dev *dev)
{
	int rc = fi_endpoint(dev->domain, dev->info, &dev->ep, NULL);

	if (rc)
		return rc;
	rc = fi_ep_bind(dev->ep, &dev->av->fid, 0);
	if (!rc)
		rc = fi_ep_bind(dev->ep, &dev->cq->fid, FI_TRANSMIT | FI_RECV);
	if (!rc)
		rc = fi_enable(dev->ep);
	if (rc) {
		fi_close(&dev->ep->fid);
		dev->ep = NULL;
	}
	return rc;
}

/*
 * shm names endpoints by process and number. A killed process leaves its names in /dev/shm, where a
 * later one with its process number finds them busy: the next number is free.
 */
int nmti_ofi_rdm_open(struct nmti_rma_dev *dev)
{
	struct fi_av_attr attr = { .type = dev->info->domain_attr->av_type };
	size_t len = sizeof(dev->name.addr);
	int rc = fi_av_open(dev->domain, &attr, &dev->av, NULL);

	if (!rc)
		rc = ep_open(dev);
	for (int i = 1; i < EP_TRIES && rc == -FI_EBUSY; i++)
		rc = ep_open(dev);
	if (!rc)
		rc = fi_getname(&dev->ep->fid, dev->name.addr, &len);
	dev->name.alen = (uint8_t)len;
	return rc ? rc : recvs_new(dev);
}

void nmti_ofi_rdm_close(struct nmti_rma_dev *dev)
{
	struct nmti_list *node;

	while ((node = nmti_list_pop(&dev->peers))) /* the addresses go with the endpoint */
		free(nmti_container(node, struct ofi_peer, node));
	if (dev->ep)
		fi_close(&dev->ep->fid);
	dev->ep = NULL;
	nmti_ofi_mr_free(&dev->msg_mr);
	free(dev->msgs);
	free(dev->recvs);
	if (dev->av)
		fi_close(&dev->av->fid);
}
