/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Life of an endpoint: its id, its receives, its end.
 *
 * Connected: a fence closes libfabric's endpoint as soon as the completion queue was read empty, since
 * what the peer was told of must have been told here; what closing itself completes is read next, and
 * then nothing can come. Datagram: the endpoint is shared, and stays. When the own requests have
 * completed each side says BYE; the fence ends when the peer's has come as well, and the queue was read
 * empty. A peer that does not say it is given up after a while; what it writes then finds its keys
 * closed (limits.shared).
 *
 * Completions name requests and receives of endpoints that are destroyed meanwhile. So these lie in
 * the graves until none can come.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "ofi.h"

#define BRIEF INT64_C(3000000000)       /* for set-up when another device may do better */
#define DRAIN_LIMIT INT64_C(5000000000) /* for requests to a peer that may be gone, and its BYE */
#define GONE_LIMIT INT64_C(1000000000)  /* for a peer that not even BYE can be said to */
#define BYE_AGAIN INT64_C(50000000)
#define FIRST_IDS 1024u

/* ---- what is told ---- */

void nmti_ofi_tell(struct nmti_rma_ep *ep, uint8_t what)
{
	ep->events |= what;
	if (nmti_list_empty(&ep->event))
		nmti_list_add_tail(&ep->event, &ep->dev->events);
}

void nmti_ofi_settled(struct nmti_rma_ep *ep)
{
	nmti_list_del(&ep->expected);
	nmti_timer_cancel(ep->dev->pd->dom, &ep->timer);
	ep->dev->settling -= ep->settling;
	ep->settling = false;
}

void nmti_ofi_fail(struct nmti_rma_ep *ep, int status, const char *fmt, ...)
{
	va_list ap;
	int n;

	if (ep->failed || ep->state >= OFI_FENCED)
		return;
	ep->failed = true;
	ep->status = status;
	nmti_ofi_settled(ep);
	n = snprintf(ep->text, sizeof(ep->text), "%s rail %u: ", ep->dev->found.name, ep->rail);
	va_start(ap, fmt);
	vsnprintf(ep->text + n, sizeof(ep->text) - (size_t)n, fmt, ap);
	va_end(ap);
	nmti_log(ep->dev->pd->ctx, NMT_LOG_INFO, "ofi: %s", ep->text);
	nmti_ofi_tell(ep, OFI_TELL_FAILED);
}

void nmti_ofi_established(struct nmti_rma_ep *ep)
{
	if (ep->state >= OFI_UP || ep->failed)
		return;
	ep->state = OFI_UP;
	nmti_ofi_settled(ep);
	nmti_ofi_tell(ep, OFI_TELL_CONNECTED);
	nmti_log(ep->dev->pd->ctx, NMT_LOG_INFO, "ofi: %s: rail %u, epoch %u is connected",
		 ep->dev->found.name, ep->rail, ep->epoch);
}

void nmti_ofi_set_timer(struct nmti_rma_ep *ep, int64_t at)
{
	if (at > ep->deadline)
		at = ep->deadline;
	if (nmti_timer_set(ep->dev->pd->dom, &ep->timer, at))
		nmti_ofi_fail(ep, -ENOMEM, "no memory for a deadline");
}

/* ---- hello ---- */

void nmti_ofi_hello(const struct nmti_rma_ep *ep, uint8_t kind, uint8_t buf[OFI_HELLO_LEN])
{
	const struct nmti_rma_dev *dev = ep->dev;
	const uint8_t *at = dev->rdm ? ep->own : dev->scratch;
	struct ofi_hello m = {
		.kind = kind, .rail = ep->rail, .epoch = ep->epoch, .id = ep->id,
		.to = ep->peer_id, .scratch = ofi_base(dev, at),
		.key = fi_mr_key(dev->rdm ? ep->own_mr : dev->scratch_mr),
	};

	memcpy(m.token, ep->token, sizeof(m.token));
	nmti_ofi_hello_encode(&m, buf);
}

void nmti_ofi_met(struct nmti_rma_ep *ep, const struct ofi_hello *m)
{
	ep->peer_id = m->id;
	ep->scratch = m->scratch;
	ep->scratch_key = m->key;
}

/* In a time that does not tell how much of the token was right. */
static bool token_is(const struct nmti_rma_ep *ep, const uint8_t *token)
{
	uint8_t diff = 0;

	for (unsigned int i = 0; i < OFI_TOKEN; i++)
		diff |= ep->token[i] ^ token[i];
	return !diff;
}

static bool is_for(const struct nmti_rma_ep *ep, const struct ofi_hello *m)
{
	return token_is(ep, m->token) && ep->rail == m->rail && ep->epoch == m->epoch;
}

struct nmti_rma_ep *nmti_ofi_expected(struct nmti_rma_dev *dev, const struct ofi_hello *m)
{
	for (struct nmti_list *i = dev->expected.next; i != &dev->expected; i = i->next) {
		struct nmti_rma_ep *ep = nmti_container(i, struct nmti_rma_ep, expected);

		if (is_for(ep, m))
			return ep;
	}
	return NULL;
}

/* The peer may not know the id yet. */
struct nmti_rma_ep *nmti_ofi_known(struct nmti_rma_dev *dev, const struct ofi_hello *m)
{
	struct nmti_rma_ep *ep = ofi_ep_of(dev, m->to);

	if (ep && is_for(ep, m))
		return ep;
	for (struct nmti_list *i = dev->eps.next; i != &dev->eps; i = i->next) {
		ep = nmti_container(i, struct nmti_rma_ep, all);
		if (is_for(ep, m))
			return ep;
	}
	return NULL;
}

/* ---- ids ---- */

static int ids_grow(struct nmti_rma_dev *dev)
{
	uint32_t n = dev->nids ? 2 * dev->nids : FIRST_IDS;
	struct nmti_rma_ep **ids;

	if (n > OFI_IDS)
		return -ENOMEM;
	ids = realloc(dev->ids, n * sizeof(struct nmti_rma_ep *));
	if (!ids)
		return -ENOMEM;
	memset(ids + dev->nids, 0, (n - dev->nids) * sizeof(struct nmti_rma_ep *));
	dev->next_id = dev->nids;
	dev->ids = ids;
	dev->nids = n;
	return 0;
}

static int id_take(struct nmti_rma_ep *ep)
{
	struct nmti_rma_dev *dev = ep->dev;

	for (uint32_t i = 0; i < dev->nids; i++) {
		uint32_t id = (dev->next_id + i) % dev->nids;

		if (dev->ids[id])
			continue;
		dev->ids[id] = ep;
		dev->next_id = id + 1;
		ep->id = id;
		return 0;
	}
	return ids_grow(dev) ? -ENOMEM : id_take(ep);
}

static void id_give(struct nmti_rma_ep *ep)
{
	if (ofi_ep_of(ep->dev, ep->id) == ep)
		ep->dev->ids[ep->id] = NULL;
}

/* ---- make ---- */

/* On a shared endpoint messages are received by the device. A NOTE takes a receive as well. */
static int msgs_new(struct nmti_rma_ep *ep, const struct nmti_rma_ep_attr *attr)
{
	struct nmti_rma_dev *dev = ep->dev;
	uint32_t least = dev->notes ? OFI_NOTE_LEN - OFI_MSG_HEAD : 0;
	size_t each, len;
	uint32_t out;

	ep->msg_max = attr->ctrl_max > least ? attr->ctrl_max : least;
	each = ep->msg_max + OFI_MSG_HEAD;
	out = attr->ctrl_slots && dev->inject < each ? OFI_MSG_OUT : 0;
	ep->ctrl_slots = attr->ctrl_slots;
	if (!dev->rdm)
		ep->msg_in = attr->ctrl_slots + (dev->notes ? attr->run_slots : 0u);
	len = (ep->msg_in + out) * each;
	if (!len)
		return 0;
	ep->msgs = calloc(1, len);
	ep->recvs = calloc(ep->msg_in + 1, sizeof(*ep->recvs));
	if (!ep->msgs || !ep->recvs)
		return -ENOMEM;
	for (uint32_t i = 0; i < ep->msg_in; i++)
		ep->recvs[i] = (struct ofi_recv){ .ctx = { .ep = ep, .recv = true }, .slot = i };
	return nmti_ofi_mr_new(dev, ep->msgs, len, false, &ep->msg_mr);
}

static int reqs_new(struct nmti_rma_ep *ep)
{
	uint32_t n = 2;

	while (n < ep->depth)
		n *= 2;
	ep->mask = n - 1;
	ep->reqs = calloc(n, sizeof(*ep->reqs));
	if (!ep->reqs)
		return -ENOMEM;
	for (uint32_t i = 0; i < n; i++)
		ep->reqs[i].ctx.ep = ep;
	return 0;
}

static bool attr_fits(const struct nmti_rma_dev *dev, const struct nmti_rma_ep_attr *attr)
{
	uint32_t slots = (uint32_t)attr->run_slots + attr->ctrl_slots;

	return slots && slots <= dev->limits.recv_slots && attr->send_depth >= 2 &&
	       attr->send_depth <= dev->limits.send_depth && attr->ctrl_max <= OFI_MSG_MAX &&
	       (!attr->ctrl_slots || attr->ctrl_max);
}

static void ep_init(struct nmti_rma_ep *ep, struct nmti_rma_dev *dev,
		    const struct nmti_rma_ep_attr *attr)
{
	ep->dev = dev;
	ep->owner = attr->owner;
	ep->rail = attr->rail;
	ep->epoch = attr->epoch;
	ep->depth = attr->send_depth;
	ep->doorbells = attr->doorbells;
	ep->fid = dev->ep;
	ep->id = OFI_IDS;
	ep->to = FI_ADDR_UNSPEC;
	ep->limit = dev->opt.connect_timeout * INT64_C(1000000);
	if (attr->brief && ep->limit > BRIEF)
		ep->limit = BRIEF;
	ep->deadline = nmti_now() + ep->limit;
	memcpy(ep->token, attr->token, OFI_TOKEN);
	nmti_list_init(&ep->expected);
	nmti_list_init(&ep->event);
	nmti_list_init(&ep->waiting);
	nmti_list_init(&ep->ending);
	nmti_list_add_tail(&ep->all, &dev->eps);
	ep->settling = true;
	dev->settling++;
}

static void ep_free(struct nmti_rma_ep *ep)
{
	nmti_ofi_settled(ep);
	nmti_ofi_fid_close(ep);
	nmti_ofi_mr_free(&ep->msg_mr);
	nmti_ofi_mr_free(&ep->own_mr);
	nmti_ofi_mr_free(&ep->word_mr);
	nmti_ofi_rdm_leave(ep);
	id_give(ep);
	nmti_list_del(&ep->event);
	nmti_list_del(&ep->ending);
	nmti_list_del(&ep->all);
	nmti_ofi_drop(ep);
	nmti_ofi_notes_free(ep);
	free(ep->msgs);
	free(ep->recvs);
	free(ep->reqs);
	free(ep);
}

int nmti_ofi_ep_new(struct nmti_rma_dev *dev, const struct nmti_rma_ep_attr *attr,
		    struct nmti_rma_ep **out)
{
	struct nmti_rma_ep *ep;
	int rc;

	if (!attr_fits(dev, attr))
		return -EINVAL;
	ep = calloc(1, sizeof(*ep));
	if (!ep)
		return -ENOMEM;
	ep_init(ep, dev, attr);
	rc = id_take(ep);
	if (!rc)
		rc = reqs_new(ep);
	if (!rc)
		rc = msgs_new(ep, attr);
	if (!rc && dev->notes)
		rc = nmti_ofi_notes_new(ep);
	if (!rc && dev->rdm)
		rc = nmti_ofi_mr_new(dev, ep->own, sizeof(ep->own), true, &ep->own_mr);
	if (!rc && dev->rdm)
		rc = nmti_ofi_mr_new(dev, ep->word, sizeof(ep->word), false, &ep->word_mr);
	if (rc) {
		nmti_log(dev->pd->ctx, NMT_LOG_ERROR, "ofi: %s: an endpoint of %u requests: %s",
			 dev->found.name, attr->send_depth, nmti_ofi_strerror(-rc));
		ep_free(ep);
		return -ENOMEM;
	}
	*out = ep;
	return 0;
}

/* ---- end ---- */

void nmti_ofi_fid_close(struct nmti_rma_ep *ep)
{
	if (ep->fid && !ep->dev->rdm)
		fi_close(&ep->fid->fid);
	ep->fid = NULL;
}

/* No completion can name it any more. */
static bool quiet(const struct nmti_rma_ep *ep)
{
	return !ep->dev->rdm || ep->posted == ep->done;
}

/* What comes next gets its time. */
static void drain_step(struct nmti_rma_ep *ep, enum ofi_drain step, int64_t limit)
{
	if (ep->drain == step)
		return;
	ep->drain = (uint8_t)step;
	ep->deadline = nmti_now() + limit;
	nmti_timer_set(ep->dev->pd->dom, &ep->timer, ep->deadline);
}

/* Said again later: a provider may take a while to see that a connection is lost. */
void nmti_ofi_unsaid(struct nmti_rma_ep *ep)
{
	ep->unsaid = true;
	if (ep->state == OFI_FENCED && ep->drain == OFI_DRAIN_SAYS_BYE)
		nmti_timer_set(ep->dev->pd->dom, &ep->timer, nmti_now() + BYE_AGAIN);
}

/* Datagram: whether both sides are done with it; says BYE when it is time. */
static bool both_done(struct nmti_rma_ep *ep)
{
	if (ep->posted != ep->done || ep->number != ep->posted)
		return false;
	if (ep->bye_due) {
		ep->bye_due = ep->unsaid = false;
		drain_step(ep, OFI_DRAIN_SAYS_BYE, GONE_LIMIT);
		nmti_ofi_rdm_bye(ep);
		return false;
	}
	if (!ep->awaits_bye)
		return true;
	if (ep->unsaid)
		return false;
	if (!ep->bye_heard)
		drain_step(ep, OFI_DRAIN_HEARS_BYE, DRAIN_LIMIT);
	return ep->bye_heard;
}

static void drained(struct nmti_rma_ep *ep)
{
	nmti_list_del(&ep->ending);
	nmti_timer_cancel(ep->dev->pd->dom, &ep->timer);
	ep->state = OFI_DRAINED;
	if (ep->orphan)
		nmti_list_add_tail(&ep->ending, &ep->dev->graves);
	else if (!ep->early)
		nmti_ofi_tell(ep, OFI_TELL_DRAINED);
}

static void bury(struct nmti_rma_dev *dev)
{
	struct nmti_list *node = dev->graves.next, *next;

	for (; node != &dev->graves; node = next) {
		struct nmti_rma_ep *ep = nmti_container(node, struct nmti_rma_ep, ending);

		next = node->next;
		if (quiet(ep))
			ep_free(ep);
	}
}

bool nmti_ofi_ends(const struct nmti_rma_dev *dev)
{
	return dev->fenced || !nmti_list_empty(&dev->ending) || !nmti_list_empty(&dev->closed) ||
	       !nmti_list_empty(&dev->graves);
}

bool nmti_ofi_emptied(struct nmti_rma_dev *dev)
{
	struct nmti_list *node, *next;

	while (!nmti_list_empty(&dev->closed))
		drained(nmti_container(dev->closed.next, struct nmti_rma_ep, ending));
	bury(dev);
	dev->fenced = false;
	for (node = dev->ending.next; node != &dev->ending; node = next) {
		struct nmti_rma_ep *ep = nmti_container(node, struct nmti_rma_ep, ending);

		next = node->next;
		if (dev->rdm && !both_done(ep))
			continue;
		nmti_ofi_fid_close(ep);
		nmti_list_del(&ep->ending);
		nmti_list_add_tail(&ep->ending, &dev->closed);
	}
	return !nmti_list_empty(&dev->closed);
}

static void drain_late(struct nmti_timer *t)
{
	struct nmti_rma_ep *ep = nmti_container(t, struct nmti_rma_ep, timer);
	uint32_t left = (uint32_t)(ep->posted - ep->done);

	if (nmti_now() < ep->deadline) {
		ep->bye_due = true;
		nmti_timer_set(ep->dev->pd->dom, t, ep->deadline);
		return;
	}
	nmti_log(ep->dev->pd->ctx, left ? NMT_LOG_WARN : NMT_LOG_INFO,
		 "ofi: %s: a peer is given up: %u requests to it did not complete%s",
		 ep->dev->found.name, left, ep->bye_heard ? "" : ", and it did not say BYE");
	nmti_ofi_drop(ep);
	drained(ep);
}

void nmti_ofi_fence(struct nmti_rma_ep *ep)
{
	struct nmti_rma_dev *dev = ep->dev;
	uint8_t before = ep->state;

	if (before >= OFI_FENCED)
		return;
	nmti_ofi_settled(ep);
	ep->state = OFI_FENCED;
	ep->events = 0;
	nmti_list_del(&ep->event);
	nmti_ofi_drop(ep);
	nmti_list_add_tail(&ep->ending, &dev->ending);
	dev->fenced = true;
	if (!dev->rdm)
		return;
	ep->awaits_bye = before == OFI_ACCEPTED || before == OFI_UP;
	ep->bye_due = ep->peer;
	ep->timer.fire = drain_late;
	ep->deadline = nmti_now() + DRAIN_LIMIT;
	nmti_timer_set(dev->pd->dom, &ep->timer, ep->deadline);
	ep->early = !ep->awaits_bye;
	if (ep->early)
		nmti_ofi_tell(ep, OFI_TELL_DRAINED);
}

void nmti_ofi_destroy(struct nmti_rma_ep *ep)
{
	struct nmti_rma_dev *dev = ep->dev;

	if (dev->rdm)
		nmti_ofi_fence(ep); /* the peer is to know, and its last words are not for another one */
	ep->orphan = true;
	ep->owner = ep->doorbells = NULL;
	ep->events = 0;
	nmti_list_del(&ep->event);
	if (dev->rdm && ep->state == OFI_FENCED)
		return;
	nmti_ofi_settled(ep);
	ep->state = OFI_DRAINED;
	nmti_ofi_fid_close(ep);
	nmti_ofi_drop(ep);
	nmti_list_del(&ep->ending);
	nmti_list_add_tail(&ep->ending, &dev->graves);
}

void nmti_ofi_eps_free(struct nmti_rma_dev *dev)
{
	while (!nmti_list_empty(&dev->eps))
		ep_free(nmti_container(dev->eps.next, struct nmti_rma_ep, all));
	free(dev->ids);
}

/* ---- observation ---- */

void nmti_ofi_describe(const struct nmti_rma_ep *ep, struct nmt_stream_info *info)
{
	const struct fi_info *fi = ep->dev->info;

	snprintf(info->device, sizeof(info->device), "%s", ep->dev->found.name);
	if (!fi->nic || !fi->nic->link_attr)
		return;
	info->mtu = (uint32_t)fi->nic->link_attr->mtu;
	info->speed_mbps = (uint32_t)(fi->nic->link_attr->speed / 1000000);
}
