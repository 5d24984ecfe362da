/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Set-up of a connection. The side that connects resolves address and route, and sends the token;
 * the side that expects it answers. librdmacm carries the messages and tells what the queue pair's
 * states need; the queue pair itself is moved here. Nothing waits: each step is an event.
 *
 * An attempt that gets no answer is given up and made anew, with growing patience, until the
 * deadline of the whole; so a link that comes back is noticed soon. The side that expects takes the
 * latest attempt. What travels, all numbers big-endian:
 *
 * address blob  version u8 (1), count u8, 0 u16, then by address: family u8 (4, 6), bits of its
 *               subnet u8, port u16, address (16 bytes; IPv4 in the first four)
 * request       version u8 (1), rail u8, epoch u8, MTU u8 (1: 256 to 5: 4096 bytes), token (16)
 * answer        version u8 (1), MTU u8 (the smaller of both sides'), 0 u16
 * refusal       version u8 (1), reason u8 (1: nobody expects this token; 2: not understood)
 */
#include <arpa/inet.h>
#include <stdlib.h>

#include "verbs.h"

#define VERSION 1
#define BLOB_HEAD 4u
#define BLOB_ADDR 20u
#define REQUEST 20u
#define ANSWER 4u
#define REFUSAL 2u
#define UNEXPECTED 1
#define NOT_UNDERSTOOD 2

#define BACKLOG 1024
#define ROUTE_MS 2000
/*
 * The kernel looks for an address's neighbour at once and then only when the limit is over (seen on
 * Linux 7.2; an address that is new costs all of it), so it gets short ones: 64 ms, and twice
 * as much each time; in all about 2 s.
 */
#define ADDR_MS 64
#define ADDR_LAST_MS 1024
#define ATTEMPT INT64_C(1000000000)  /* patience with the first; each further one gets twice as much */
#define AGAIN INT64_C(50000000)      /* after a refusal or a failure, before the next */
#define PATIENCE INT64_C(2000000000) /* how long our connect may overtake the peer's expect */
#define RNR_RETRIES 6                /* finite: a peer without receives broke its credits */
#define RNR_TIMER 14                 /* 1 ms */

static void start(struct nmti_rma_ep *ep);

/* ---- address blob ---- */

static void put16(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

int nmti_verbs_address(struct nmti_rma_dev *dev, void *blob, uint32_t cap)
{
	uint8_t *p = blob;
	int n = 0;

	if (verbs_is_gone(dev))
		return -ENODEV;
	if (cap < BLOB_HEAD + BLOB_ADDR)
		return -ENOSPC;
	memset(p, 0, cap);
	for (; n < dev->port.naddrs && BLOB_HEAD + BLOB_ADDR * (uint32_t)(n + 1) <= cap; n++) {
		const struct verbs_addr *a = &dev->port.addrs[n];
		const struct sockaddr_in6 *in6 = (const void *)&a->ss;
		const struct sockaddr_in *in = (const void *)&a->ss;
		uint8_t *at = p + BLOB_HEAD + BLOB_ADDR * (uint32_t)n;

		at[0] = a->ss.ss_family == AF_INET ? 4 : 6;
		at[1] = a->prefix;
		put16(at + 2, ntohs(rdma_get_src_port(a->listen)));
		if (at[0] == 4)
			memcpy(at + 4, &in->sin_addr, 4);
		else
			memcpy(at + 4, &in6->sin6_addr, 16);
	}
	p[0] = VERSION;
	p[1] = (uint8_t)n;
	return (int)(BLOB_HEAD + BLOB_ADDR * (uint32_t)n);
}

static void read_addr(const uint8_t *at, struct sockaddr_storage *ss)
{
	struct sockaddr_in6 *in6 = (void *)ss;
	struct sockaddr_in *in = (void *)ss;

	memset(ss, 0, sizeof(*ss));
	if (at[0] == 4) {
		in->sin_family = AF_INET;
		memcpy(&in->sin_port, at + 2, 2);
		memcpy(&in->sin_addr, at + 4, 4);
	} else {
		in6->sin6_family = AF_INET6;
		memcpy(&in6->sin6_port, at + 2, 2);
		memcpy(&in6->sin6_addr, at + 4, 16);
	}
}

static bool blob_valid(const uint8_t *p, uint32_t len)
{
	if (len < BLOB_HEAD || p[0] != VERSION || !p[1] || len != BLOB_HEAD + BLOB_ADDR * p[1])
		return false;
	for (int i = 0; i < p[1]; i++) {
		const uint8_t *at = p + BLOB_HEAD + BLOB_ADDR * (uint32_t)i;

		if (!(at[0] == 4 && at[1] <= 32) && !(at[0] == 6 && at[1] <= 128))
			return false;
	}
	return true;
}

static const uint8_t *bytes_of(const struct sockaddr_storage *ss)
{
	if (ss->ss_family == AF_INET)
		return (const uint8_t *)&((const struct sockaddr_in *)ss)->sin_addr;
	return ((const struct sockaddr_in6 *)ss)->sin6_addr.s6_addr;
}

static bool same_bits(const uint8_t *a, const uint8_t *b, int bits)
{
	int whole = bits / 8, rest = bits % 8;

	return !memcmp(a, b, (size_t)whole) &&
	       (!rest || !((a[whole] ^ b[whole]) >> (8 - rest)));
}

/* How well two addresses go together: 0 not at all, 1 by a router, 2 in one subnet. */
static uint32_t addrs_fit(const struct sockaddr_storage *a, int a_bits,
			  const struct sockaddr_storage *b, int b_bits)
{
	if (a->ss_family != b->ss_family)
		return 0;
	return 1 + same_bits(bytes_of(a), bytes_of(b), a_bits > b_bits ? a_bits : b_bits);
}

/* The first best address of a blob for FROM, if any is better than BEST: how well it fits. */
static uint32_t best_of(const uint8_t *p, const struct sockaddr_storage *from, int bits,
			uint32_t best, struct sockaddr_storage *to)
{
	struct sockaddr_storage ss;

	for (uint32_t k = 0; k < p[1]; k++) {
		const uint8_t *at = p + BLOB_HEAD + BLOB_ADDR * k;
		uint32_t fit;

		read_addr(at, &ss);
		fit = addrs_fit(from, bits, &ss, at[1]);
		if (fit <= best)
			continue;
		best = fit;
		*to = ss;
	}
	return best;
}

/* The pair of addresses to use; the order of our own, then of the peer's, decides between equals. */
static int choose_pair(struct nmti_rma_ep *ep, const uint8_t *p)
{
	uint32_t best = 0;

	for (int i = 0; i < ep->dev->port.naddrs; i++) {
		struct verbs_addr *a = &ep->dev->port.addrs[i];
		uint32_t fit = best_of(p, &a->ss, a->prefix, best, &ep->peer);

		ep->from = fit > best ? a : ep->from;
		best = fit;
	}
	return best ? 0 : -EADDRNOTAVAIL;
}

uint32_t nmti_verbs_fit(const void *server, uint32_t slen, const void *client, uint32_t clen)
{
	const uint8_t *s = server;
	struct sockaddr_storage from, to;
	uint32_t best = 0;

	if (!blob_valid(server, slen) || !blob_valid(client, clen))
		return 0;
	for (uint32_t i = 0; i < s[1]; i++) {
		const uint8_t *at = s + BLOB_HEAD + BLOB_ADDR * i;

		read_addr(at, &from);
		best = best_of(client, &from, at[1], best, &to);
	}
	return best;
}

int nmti_verbs_status(const struct nmti_rma_dev *dev)
{
	return verbs_is_gone(dev) ? -ENODEV : dev->port_down ? -ENETDOWN : 0;
}

/* ---- states of the queue pair ---- */

static int own_mtu(const struct nmti_rma_dev *dev)
{
	int mtu = dev->port.pattr.active_mtu;

	return dev->opt.mtu > 0 && dev->opt.mtu < mtu ? dev->opt.mtu : mtu;
}

/*
 * UDP source ports of RoCE v2 come from the flow label: rails, and the epochs of one, get different
 * ones, so that they spread over the paths of a network that has several.
 */
static uint32_t flow_label(const struct nmti_rma_ep *ep)
{
	uint32_t hash = 2166136261u;

	if (ep->dev->opt.flow_label >= 0)
		return ep->dev->opt.flow_label ?
			       ((uint32_t)ep->dev->opt.flow_label + ep->rail) & 0xfffff : 0;
	for (unsigned int i = 0; i < NMTI_RMA_TOKEN; i++)
		hash = (hash ^ ep->token[i]) * 16777619u;
	hash = (hash ^ ep->rail) * 16777619u;
	hash = (hash ^ ep->epoch) * 16777619u;
	hash = (hash ^ hash >> 20) & 0xfffff;
	return hash ? hash : 1;
}

static void tune_path(struct nmti_rma_ep *ep, struct ibv_qp_attr *attr)
{
	const struct verbs_opt *opt = &ep->dev->opt;

	if (opt->sl >= 0)
		attr->ah_attr.sl = (uint8_t)opt->sl;
	if (!attr->ah_attr.is_global)
		return;
	ep->sgid_index = attr->ah_attr.grh.sgid_index;
	if (opt->traffic_class >= 0)
		attr->ah_attr.grh.traffic_class = (uint8_t)opt->traffic_class;
	if (ep->dev->port.pattr.link_layer == IBV_LINK_LAYER_ETHERNET && flow_label(ep))
		attr->ah_attr.grh.flow_label = flow_label(ep);
}

/* -ENOTCONN: the attempt is over, which an event tells, or told. */
static int cm_error(void)
{
	return errno == EINVAL ? -ENOTCONN : -errno;
}

/* What librdmacm knows of a state, with our own say in it. */
static int move(struct nmti_rma_ep *ep, enum ibv_qp_state state)
{
	struct ibv_qp_attr attr = { .qp_state = state };
	int mask = 0;

	if (rdma_init_qp_attr(ep->id, &attr, &mask))
		return cm_error();
	mask &= ~0xe00000; /* of the kernel alone */
	if (state == IBV_QPS_INIT)
		attr.qp_access_flags = IBV_ACCESS_REMOTE_WRITE;
	if (state == IBV_QPS_RTR) {
		ep->mtu = ep->mtu < attr.path_mtu ? ep->mtu : (uint8_t)attr.path_mtu;
		attr.path_mtu = ep->mtu;
		attr.max_dest_rd_atomic = 0;
		attr.min_rnr_timer = RNR_TIMER;
		tune_path(ep, &attr);
	}
	if (state == IBV_QPS_RTS) {
		attr.timeout = (uint8_t)ep->dev->opt.timeout;
		attr.retry_cnt = (uint8_t)ep->dev->opt.retry_count;
		attr.rnr_retry = RNR_RETRIES;
		attr.max_rd_atomic = 0;
	}
	return -ibv_modify_qp(ep->qp, &attr, mask);
}

static int to_init(struct nmti_rma_ep *ep)
{
	int rc = ep->qp->state == IBV_QPS_RESET ? move(ep, IBV_QPS_INIT) : 0;

	return rc || ep->posted ? rc : nmti_verbs_post_recvs(ep);
}

static int to_rts(struct nmti_rma_ep *ep)
{
	int rc = move(ep, IBV_QPS_RTR);

	return rc ? rc : move(ep, IBV_QPS_RTS);
}

/* ---- both sides ---- */

void nmti_verbs_established(struct nmti_rma_ep *ep)
{
	char peer[NMT_ADDR_MAX] = "?";

	if (ep->state == VERBS_UP || ep->state >= VERBS_FENCED || ep->failed)
		return;
	ep->state = VERBS_UP;
	ep->connected = true;
	nmti_verbs_cm_unpark(ep->dev);
	nmti_list_del(&ep->expected);
	nmti_timer_cancel(ep->dev->pd->dom, &ep->timer);
	nmti_verbs_tell(ep, VERBS_TELL_CONNECTED);
	nmti_addr_format(&ep->peer, peer, sizeof(peer));
	nmti_log(ep->dev->pd->ctx, NMT_LOG_INFO, "verbs: %s: rail %u, epoch %u to %s: GID %u, MTU %u",
		 ep->dev->port.name, ep->rail, ep->epoch, peer, ep->sgid_index,
		 nmti_verbs_mtu(ep->mtu));
}

/* ---- the side that connects ---- */

static void on_connect_timer(struct nmti_timer *t)
{
	struct nmti_rma_ep *ep = nmti_container(t, struct nmti_rma_ep, timer);

	nmti_verbs_cm_end(ep);
	if (nmti_now() < ep->deadline)
		start(ep);
	else
		nmti_verbs_fail(ep, -ETIMEDOUT, "no connection within %d ms after %d attempts "
				"(NMT_VERBS_CONNECT_TIMEOUT)", (int)(ep->limit / 1000000),
				ep->attempt);
}

static void set_timer(struct nmti_rma_ep *ep, int64_t at)
{
	if (nmti_timer_set(ep->dev->pd->dom, &ep->timer, nmti_min64(at, ep->deadline)))
		nmti_verbs_fail(ep, -ENOMEM, "no memory for a deadline");
}

/*
 * This attempt failed. A first connection fails with it, so that another provider gets its turn;
 * one that replaces a lost path goes on until the deadline, since the network may come back.
 */
static void attempt_failed(struct nmti_rma_ep *ep, int status, const char *what)
{
	if (ep->epoch && nmti_now() + AGAIN < ep->deadline) {
		nmti_log(ep->dev->pd->ctx, NMT_LOG_DEBUG, "verbs: %s: rail %u, attempt %d: %s: %s",
			 ep->dev->port.name, ep->rail, ep->attempt, what, strerror(-status));
		nmti_verbs_cm_end(ep);
		set_timer(ep, nmti_now() + 5 * AGAIN);
		return;
	}
	nmti_verbs_fail(ep, status, "%s: %s", what, strerror(-status));
}

static int find_peer(struct nmti_rma_ep *ep, int ms)
{
	ep->addr_ms = ms;
	return rdma_resolve_addr(ep->id, (struct sockaddr *)&ep->from->ss,
				 (struct sockaddr *)&ep->peer, ms) ? -errno : 0;
}

static int resolve(struct nmti_rma_ep *ep)
{
	uint8_t tos = (uint8_t)ep->dev->opt.traffic_class;

	if (rdma_create_id(ep->dev->cm, &ep->id, ep, RDMA_PS_TCP))
		return -errno;
	if (ep->dev->opt.traffic_class >= 0 &&
	    rdma_set_option(ep->id, RDMA_OPTION_ID, RDMA_OPTION_ID_TOS, &tos, sizeof(tos)))
		return -errno;
	return find_peer(ep, ADDR_MS);
}

static void start(struct nmti_rma_ep *ep)
{
	int rc;

	ep->attempt++;
	ep->timer.fire = on_connect_timer;
	rc = resolve(ep);
	if (rc)
		attempt_failed(ep, rc, "rdma_resolve_addr");
	else
		set_timer(ep, ep->deadline); /* resolving has limits of its own */
}

static bool on_our_port(const struct nmti_rma_ep *ep)
{
	return ep->id->verbs && ep->id->port_num == ep->dev->port.port &&
	       !strcmp(ibv_get_device_name(ep->id->verbs->device),
		       ibv_get_device_name(ep->dev->port.ctx->device));
}

static void on_address(struct nmti_rma_ep *ep)
{
	if (!on_our_port(ep))
		nmti_verbs_fail(ep, -ENODEV, "the address belongs to another device");
	else if (rdma_resolve_route(ep->id, ROUTE_MS))
		attempt_failed(ep, -errno, "rdma_resolve_route");
}

/* An event of a failure does not always say why. */
static int why_failed(int status)
{
	return status < 0 ? status : -EHOSTUNREACH;
}

static void on_no_address(struct nmti_rma_ep *ep, int status)
{
	bool again = status == -ETIMEDOUT && ep->addr_ms < ADDR_LAST_MS;

	if (!again || (status = find_peer(ep, 2 * ep->addr_ms)))
		attempt_failed(ep, why_failed(status), "rdma_resolve_addr");
}

static void on_route(struct nmti_rma_ep *ep)
{
	uint8_t request[REQUEST] = { VERSION, ep->rail, ep->epoch, (uint8_t)own_mtu(ep->dev) };
	struct rdma_conn_param param = {
		.private_data = request, .private_data_len = sizeof(request),
		.retry_count = (uint8_t)ep->dev->opt.retry_count, .rnr_retry_count = RNR_RETRIES,
		.qp_num = ep->qp->qp_num,
	};
	int rc = to_init(ep), shift = ep->attempt < 6 ? ep->attempt - 1 : 5;

	memcpy(request + 4, ep->token, NMTI_RMA_TOKEN);
	if (rc)
		nmti_verbs_fail(ep, rc, "queue pair to INIT: %s", strerror(-rc));
	else if (!nmti_verbs_sends(ep->dev, ep->from)) /* what cannot go out: verbs_park.c */
		attempt_failed(ep, -ENETDOWN, "no carrier, or the interface is not running");
	else if (rdma_connect(ep->id, &param))
		attempt_failed(ep, -errno, "rdma_connect");
	else
		set_timer(ep, nmti_now() + (ATTEMPT << shift));
}

static void on_answer(struct nmti_rma_ep *ep, const uint8_t *data, uint32_t len)
{
	int rc;

	if (len < ANSWER || data[0] != VERSION || !data[1] || data[1] > own_mtu(ep->dev)) {
		nmti_verbs_fail(ep, -EPROTO, "the peer's answer is none of this protocol");
		return;
	}
	ep->mtu = data[1];
	rc = to_rts(ep);
	if (!rc && rdma_establish(ep->id))
		rc = -errno;
	if (rc)
		nmti_verbs_fail(ep, rc, "queue pair to RTS: %s", strerror(-rc));
	else
		nmti_verbs_established(ep);
}

/* Our connect can be faster than the word by which the peer learns to expect it. */
static void on_refusal(struct nmti_rma_ep *ep, int status, const uint8_t *data, uint32_t len)
{
	int64_t now = nmti_now();

	if (len < REFUSAL || data[0] != VERSION) {
		attempt_failed(ep, -ECONNREFUSED, status == 8 ? "nobody listens there" :
			       "refused by the connection manager");
		return;
	}
	if (!ep->patience)
		ep->patience = nmti_min64(now + PATIENCE, ep->deadline);
	if (data[1] != UNEXPECTED || now >= ep->patience) {
		nmti_verbs_fail(ep, -ECONNREFUSED, data[1] == UNEXPECTED ?
				"the peer does not expect this connection" :
				"the peer does not understand the request");
		return;
	}
	nmti_verbs_cm_end(ep);
	set_timer(ep, now + AGAIN);
}

int nmti_verbs_connect(struct nmti_rma_dev *dev, const struct nmti_rma_ep_attr *attr,
		       const void *blob, uint32_t len, struct nmti_rma_ep **out)
{
	struct nmti_rma_ep *ep;
	int rc;

	if (!blob_valid(blob, len))
		return -EPROTO;
	rc = nmti_verbs_ep_new(dev, attr, &ep);
	if (rc)
		return rc;
	ep->state = VERBS_CONNECTING;
	*out = ep;
	if (choose_pair(ep, blob))
		nmti_verbs_fail(ep, -EADDRNOTAVAIL, "the peer has no address of our families");
	else
		start(ep);
	return 0;
}

/* ---- the side that expects ---- */

static void on_expect_timer(struct nmti_timer *t)
{
	struct nmti_rma_ep *ep = nmti_container(t, struct nmti_rma_ep, timer);

	nmti_verbs_fail(ep, -ETIMEDOUT, "the peer did not connect within %d ms "
			"(NMT_VERBS_CONNECT_TIMEOUT)", (int)(ep->limit / 1000000));
}

int nmti_verbs_expect(struct nmti_rma_dev *dev, const struct nmti_rma_ep_attr *attr,
		      struct nmti_rma_ep **out)
{
	struct nmti_rma_ep *ep;
	int rc = nmti_verbs_ep_new(dev, attr, &ep);

	if (rc)
		return rc;
	ep->state = VERBS_EXPECTING;
	ep->timer.fire = on_expect_timer;
	nmti_list_add_tail(&ep->expected, &dev->expected);
	*out = ep;
	set_timer(ep, ep->deadline);
	return 0;
}

/* In a time that does not tell how much of the token was right. */
static bool token_is(const struct nmti_rma_ep *ep, const uint8_t *token)
{
	uint8_t diff = 0;

	for (unsigned int i = 0; i < NMTI_RMA_TOKEN; i++)
		diff |= ep->token[i] ^ token[i];
	return !diff;
}

static struct nmti_rma_ep *find_expected(struct nmti_rma_dev *dev, const uint8_t *request)
{
	for (struct nmti_list *i = dev->expected.next; i != &dev->expected; i = i->next) {
		struct nmti_rma_ep *ep = nmti_container(i, struct nmti_rma_ep, expected);

		if (token_is(ep, request + 4) && ep->rail == request[1] && ep->epoch == request[2])
			return ep;
	}
	return NULL;
}

static void refuse(struct nmti_rma_dev *dev, struct rdma_cm_id *id, uint8_t reason)
{
	uint8_t refusal[REFUSAL] = { VERSION, reason };
	char peer[NMT_ADDR_MAX] = "?";

	nmti_addr_format((void *)rdma_get_peer_addr(id), peer, sizeof(peer));
	nmti_log(dev->pd->ctx, NMT_LOG_DEBUG, "verbs: %s: connection of %s refused: %s",
		 dev->port.name, peer, reason == UNEXPECTED ? "nobody expects its token" :
		 "not understood");
	rdma_reject(id, refusal, sizeof(refusal));
	rdma_destroy_id(id);
}

static struct verbs_addr *addr_of(struct nmti_rma_dev *dev, const struct rdma_cm_id *listener)
{
	for (int i = 0; i < dev->port.naddrs; i++)
		if (dev->port.addrs[i].listen == listener)
			return &dev->port.addrs[i];
	return NULL;
}

static int answer(struct nmti_rma_ep *ep)
{
	uint8_t data[ANSWER] = { VERSION };
	struct rdma_conn_param param = {
		.private_data = data, .private_data_len = sizeof(data),
		.rnr_retry_count = RNR_RETRIES, .qp_num = ep->qp->qp_num,
	};
	int rc = to_init(ep);

	if (!rc)
		rc = to_rts(ep);
	data[1] = ep->mtu;
	if (!rc && rdma_accept(ep->id, &param))
		rc = cm_error();
	return rc;
}

/*
 * An attempt of the peer is void: it tries again. What the peer wrote before that, against the rules,
 * has taken shared receives; the queue pair stays until these are known.
 */
static void expect_another(struct nmti_rma_ep *ep)
{
	nmti_verbs_cm_end(ep);
	ep->state = VERBS_EMPTYING;
	if (!nmti_verbs_srq_empty(ep))
		nmti_verbs_expect_again(ep);
}

void nmti_verbs_expect_again(struct nmti_rma_ep *ep)
{
	ep->state = VERBS_EXPECTING;
	nmti_verbs_qp_free(ep);
	ep->timer.fire = on_expect_timer;
	set_timer(ep, ep->deadline);
}

/* -EAGAIN: the completion queue has room when what the last queue pair left there was polled. */
static int qp_ready(struct nmti_rma_ep *ep)
{
	if (ep->state == VERBS_EMPTYING)
		return -EAGAIN;
	if (ep->qp)
		return 0;
	return nmti_verbs_cq_room(ep->cq, 0) ? nmti_verbs_qp_new(ep) : -EAGAIN;
}

static void accept_from(struct nmti_rma_ep *ep, struct rdma_cm_id *id, struct rdma_cm_id *listener,
			int mtu)
{
	struct nmti_rma_dev *dev = ep->dev;
	int rc;

	if (ep->id)
		expect_another(ep);
	rc = qp_ready(ep);
	if (rc == -EAGAIN) {
		refuse(dev, id, UNEXPECTED);
		return;
	}
	ep->id = id;
	id->context = ep;
	ep->from = addr_of(dev, listener);
	memcpy(&ep->peer, rdma_get_peer_addr(id), sizeof(ep->peer));
	ep->mtu = (uint8_t)(mtu < own_mtu(dev) ? mtu : own_mtu(dev));
	if (!rc)
		rc = answer(ep);
	if (rc == -ENOTCONN) /* the peer's patience was over before this side looked */
		expect_another(ep);
	else if (rc)
		nmti_verbs_fail(ep, rc, "answering the peer: %s", strerror(-rc));
	else
		ep->state = VERBS_ACCEPTED;
}

static void on_request(struct nmti_rma_dev *dev, struct rdma_cm_id *id, struct rdma_cm_id *listener,
		       const uint8_t *data, uint32_t len)
{
	struct nmti_rma_ep *ep;

	if (len < REQUEST || data[0] != VERSION || data[3] < IBV_MTU_256 ||
	    data[3] > IBV_MTU_4096) {
		refuse(dev, id, NOT_UNDERSTOOD);
		return;
	}
	ep = find_expected(dev, data);
	if (ep)
		accept_from(ep, id, listener, data[3]);
	else
		refuse(dev, id, UNEXPECTED);
}

int nmti_verbs_cm_listen(struct nmti_rma_dev *dev, struct verbs_addr *addr)
{
	struct rdma_cm_id *id;
	int rc = 0;

	if (rdma_create_id(dev->cm, &id, dev, RDMA_PS_TCP))
		return -errno;
	if (rdma_bind_addr(id, (struct sockaddr *)&addr->ss) || rdma_listen(id, BACKLOG))
		rc = -errno;
	else if (!id->verbs || id->port_num != dev->port.port ||
		 strcmp(ibv_get_device_name(id->verbs->device),
			ibv_get_device_name(dev->port.ctx->device)))
		rc = -EADDRNOTAVAIL;
	if (rc)
		rdma_destroy_id(id);
	else
		addr->listen = id;
	return rc;
}

/* ---- events ---- */

/* What is kept of an event, since it is acknowledged before it is looked at. */
struct cm_event {
	enum rdma_cm_event_type type;
	int status;
	struct rdma_cm_id *id, *listener;
	uint32_t len;
	uint8_t data[REQUEST];
};

static bool has_data(enum rdma_cm_event_type type)
{
	return type == RDMA_CM_EVENT_CONNECT_REQUEST || type == RDMA_CM_EVENT_CONNECT_RESPONSE ||
	       type == RDMA_CM_EVENT_REJECTED;
}

static void keep(struct cm_event *e, const struct rdma_cm_event *ev)
{
	const struct rdma_conn_param *param = &ev->param.conn;

	memset(e, 0, sizeof(*e));
	e->type = ev->event;
	e->status = ev->status;
	e->id = ev->id;
	e->listener = ev->listen_id;
	if (!has_data(ev->event) || !param->private_data)
		return;
	e->len = param->private_data_len < REQUEST ? param->private_data_len : REQUEST;
	memcpy(e->data, param->private_data, e->len);
}

/* The handshake broke down, or did not come to its end. */
static void on_cm_error(struct nmti_rma_ep *ep, const struct cm_event *e)
{
	if (ep->state == VERBS_CONNECTING)
		attempt_failed(ep, why_failed(e->status), rdma_event_str(e->type));
	else if (ep->state == VERBS_UP)
		nmti_verbs_fail(ep, -ECONNRESET, "the peer gave the connection up");
	else if (ep->state == VERBS_ACCEPTED)
		expect_another(ep);
}

static void on_ep_event(struct nmti_rma_ep *ep, const struct cm_event *e)
{
	bool connecting = ep->state == VERBS_CONNECTING && !ep->failed;

	switch (e->type) {
	case RDMA_CM_EVENT_ADDR_RESOLVED:
		if (connecting)
			on_address(ep);
		break;
	case RDMA_CM_EVENT_ROUTE_RESOLVED:
		if (connecting)
			on_route(ep);
		break;
	case RDMA_CM_EVENT_CONNECT_RESPONSE:
		if (connecting)
			on_answer(ep, e->data, e->len);
		break;
	case RDMA_CM_EVENT_REJECTED:
		if (connecting)
			on_refusal(ep, e->status, e->data, e->len);
		else
			on_cm_error(ep, e);
		break;
	case RDMA_CM_EVENT_ESTABLISHED:
		nmti_verbs_established(ep);
		break;
	case RDMA_CM_EVENT_DISCONNECTED:
		nmti_verbs_fail(ep, -ECONNRESET, "the peer closed the connection, or died");
		break;
	case RDMA_CM_EVENT_ADDR_ERROR:
		if (connecting)
			on_no_address(ep, e->status);
		break;
	case RDMA_CM_EVENT_ROUTE_ERROR:
	case RDMA_CM_EVENT_UNREACHABLE:
	case RDMA_CM_EVENT_CONNECT_ERROR:
		on_cm_error(ep, e);
		break;
	default:
		break;
	}
}

static void on_event(struct nmti_rma_dev *dev, const struct cm_event *e)
{
	if (e->type == RDMA_CM_EVENT_DEVICE_REMOVAL)
		nmti_verbs_gone(dev, "removed");
	else if (e->type == RDMA_CM_EVENT_CONNECT_REQUEST)
		on_request(dev, e->id, e->listener, e->data, e->len);
	else if (e->id->context != dev)
		on_ep_event(e->id->context, e);
}

void nmti_verbs_cm_ready(struct nmti_source *src, uint32_t events)
{
	struct nmti_rma_dev *dev = nmti_container(src, struct nmti_rma_dev, cm_src);
	struct rdma_cm_event *ev;
	struct cm_event e;

	(void)events;
	while (dev->cm && !rdma_get_cm_event(dev->cm, &ev)) {
		keep(&e, ev);
		rdma_ack_cm_event(ev);
		on_event(dev, &e);
	}
}
