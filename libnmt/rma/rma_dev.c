/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The devices of a domain. A peer is told those that are usable, and both ends pair them by the same
 * rule, so that no further word is needed about which rail goes where: docs/wire.md, "Devices".
 */
#include <stdlib.h>

#include "rma/rma_int.h"

/* ---- open --------------------------------------------------------------------------------- */

/* What streams can rely on, whichever devices their rails take. */
static void limits_join(struct nmti_rma_limits *all, const struct nmti_rma_limits *one)
{
	if (one->send_depth > all->send_depth)
		all->send_depth = one->send_depth;
	all->recv_slots = min32(all->recv_slots, one->recv_slots);
	all->inline_max = min32(all->inline_max, one->inline_max);
	all->ctrl_max = min32(all->ctrl_max, one->ctrl_max);
	if (one->write_max < all->write_max)
		all->write_max = one->write_max;
	all->caps &= one->caps;
	all->unordered |= one->unordered;
	all->shared |= one->shared;
	if (!all->stripe_log2 || (one->stripe_log2 && one->stripe_log2 < all->stripe_log2))
		all->stripe_log2 = one->stripe_log2;
	if (all->numa != one->numa)
		all->numa = -1;
}

static int open_one(struct rma_dom *rd, const char *device)
{
	struct rma_dev *d = &rd->dev[rd->ndevs];
	int rc = rd->ops->open(rd->pd, device, &d->lim, &d->dev);

	if (rc)
		return rc;
	if (rd->ndevs++)
		limits_join(&rd->lim, &d->lim);
	else
		rd->lim = d->lim;
	return 0;
}

/* Whether the LEN bytes at NAME are an element of LIST, before NAME. */
static bool named_before(const char *list, const char *name, size_t len)
{
	for (; list < name; list += strcspn(list, ",") + 1)
		if (strcspn(list, ",") == len && !memcmp(list, name, len))
			return true;
	return false;
}

static int refuse(const struct rma_dom *rd, const char *list)
{
	nmti_err(rd->pd->ctx, "%s/%s: write up to %u different devices with commas between them",
		 rd->pd->ops->name, list, RMA_DEVS);
	return -EINVAL;
}

int nmti_rma_devs_open(struct rma_dom *rd, const char *list)
{
	const char *at = list;
	char name[NMT_DEV_MAX];
	int rc;

	for (;;) {
		size_t len = strcspn(at, ",");

		if (rd->ndevs == RMA_DEVS || (*list && !len) || named_before(list, at, len))
			return refuse(rd, list);
		memcpy(name, at, len);
		name[len] = '\0';
		rc = open_one(rd, name);
		if (rc || !at[len])
			return rc;
		at += len + 1;
	}
}

void nmti_rma_devs_close(struct rma_dom *rd)
{
	while (rd->ndevs)
		rd->ops->close(rd->dev[--rd->ndevs].dev);
}

/* ---- what the peer is told ---------------------------------------------------------------- */

/* Bits of the devices that are usable; of all that are there if none is. */
static uint32_t usable(const struct rma_dom *rd)
{
	uint32_t now = 0, there = 0;

	for (uint32_t i = 0; i < rd->ndevs; i++) {
		int status = rd->ops->status ? rd->ops->status(rd->dev[i].dev) : 0;

		now |= (uint32_t)!status << i;
		there |= (uint32_t)(status != -ENODEV) << i;
	}
	return now ? now : there;
}

/* The addresses of devices MASK, which share the room; what one leaves the next ones may use. */
static int collect(const struct rma_dom *rd, uint32_t mask, uint8_t doubt, uint8_t *bytes,
		   struct rma_own *own, struct nmti_rma_addrs *m)
{
	uint32_t len = 0;
	int n = -ENODEV;

	m->n = 0;
	for (; mask; mask &= mask - 1) {
		uint32_t i = (uint32_t)__builtin_ctz(mask);
		uint32_t share = (NMTI_RMA_BLOB_MAX - len) / (uint32_t)__builtin_popcount(mask);

		n = rd->ops->address(rd->dev[i].dev, bytes + len, share - NMTI_RMA_ADDR_HEAD);
		if (n <= 0)
			continue;
		m->at[m->n] = (struct nmti_rma_addr){ doubt >> i & 1 ? NMTI_RMA_DOUBT : 0,
						      (uint8_t)n, bytes + len };
		own->dev[m->n++] = (uint8_t)i;
		len += NMTI_RMA_ADDR_HEAD + (uint32_t)n;
	}
	return m->n || !n ? 0 : n;
}

int nmti_rma_own_addrs(const struct rma_dom *rd, uint8_t *doubt, struct rma_own *own)
{
	uint32_t mask = usable(rd);
	uint8_t bytes[NMTI_RMA_BLOB_MAX];
	struct nmti_rma_addrs m;
	int n;

	if (!(mask & ~(uint32_t)*doubt))
		*doubt = 0;
	n = collect(rd, mask, *doubt, bytes, own, &m);
	if (!n)
		n = nmti_rma_addrs_encode(&m, own->bytes, sizeof(own->bytes));
	own->ndevs = n < 0 ? 0 : m.n;
	own->len = n < 0 ? 0 : (uint8_t)n;
	return n < 0 ? n : 0;
}

/* ---- pairs -------------------------------------------------------------------------------- */

/* How good a pair is: how well it fits first, then by how many ends doubt it. 0: not at all. */
static uint32_t quality(const struct nmti_rma_ops *ops, const struct nmti_rma_addr *server,
			const struct nmti_rma_addr *client)
{
	uint32_t doubts = (server->flags & NMTI_RMA_DOUBT) + (client->flags & NMTI_RMA_DOUBT);
	uint32_t fit = 1;

	if (ops->fit)
		fit = ops->fit(server->bytes, server->len, client->bytes, client->len);
	return fit ? 2 * fit + 1 - doubts : 0;
}

/* A device of the server and one of the client, by their numbers in the lists. */
struct pairs {
	uint32_t n;
	struct {
		uint8_t server, client;
	} at[RMA_DEVS * RMA_DEVS];
};

/*
 * The best pairs, in an order in which neighbours have no device in common if that can be. If
 * nothing fits, the first of both: the provider has the words for what is wrong with it.
 */
static void find_pairs(const struct nmti_rma_ops *ops, const struct nmti_rma_addrs *server,
		       const struct nmti_rma_addrs *client, struct pairs *p)
{
	uint32_t best = 0;

	*p = (struct pairs){ .n = 1 };
	for (uint32_t i = 0; i < (uint32_t)server->n * client->n; i++) {
		uint32_t s = i % server->n, c = (s + i / server->n) % client->n;
		uint32_t q = quality(ops, &server->at[s], &client->at[c]);

		if (!q || q < best)
			continue;
		p->n = q > best ? 0 : p->n;
		best = q;
		p->at[p->n].server = (uint8_t)s;
		p->at[p->n++].client = (uint8_t)c;
	}
}

void nmti_rma_assign(struct rma_stream *rs, const struct nmti_rma_addrs *peer)
{
	uint32_t first = ((uint32_t)nmti_win_epoch(rs->w) + rs->token[0]) * rs->nrails;
	struct nmti_rma_addrs own;
	struct pairs p;

	nmti_rma_addrs_decode(rs->own.bytes, rs->own.len, &own); /* was encoded here */
	find_pairs(rs->rd->ops, rs->server ? &own : peer, rs->server ? peer : &own, &p);
	for (uint32_t i = 0; i < rs->nrails; i++) {
		uint32_t k = (first + i) % p.n;
		uint8_t number = rs->server ? p.at[k].server : p.at[k].client;

		rs->rails[i].dev = rs->own.dev[number];
		rs->rails[i].to = rs->server ? p.at[k].client : p.at[k].server;
		rs->rails[i].inline_max = rs->rd->dev[rs->rails[i].dev].lim.inline_max;
	}
}
