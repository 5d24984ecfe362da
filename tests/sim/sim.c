/* SPDX-License-Identifier: BSD-2-Clause */
/* The simulated fabric: devices, registrations, connecting, completions, waiting. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "sim_int.h"

#define container(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

struct sim_fabric sim = { .lock = PTHREAD_MUTEX_INITIALIZER, .rng = 1 };

#define WRITE_MAX (1u << 30)
#define WRITE_SHORT (32u << 10)

static const struct sim_profile profiles[] = {
	{ "", 64, 512, 64, 0, 0, 0, false, WRITE_MAX },
	{ "tiny", 4, 6, 0, 12, 20000, 0, false, WRITE_MAX },
	{ "slow", 16, 32, 16, 13, 300000, 0, false, WRITE_MAX },
	{ "scarce", 64, 512, 64, 0, 0, 3, false, WRITE_MAX },
	{ "left", 64, 512, 64, 14, 0, 0, false, WRITE_MAX },
	{ "right", 12, 200, 16, 15, 5000, 0, false, WRITE_SHORT },
	{ "far", 128, 512, 64, 0, 20000, 0, false, WRITE_MAX },
	{ "mixed", 64, 512, 64, 13, 50000, 0, true, WRITE_MAX },
	{ "short", 64, 512, 64, 0, 0, 0, false, WRITE_SHORT },
};

static void hear_again(void);

void sim_set(const struct sim_knobs *knobs)
{
	bool deaf;

	pthread_mutex_lock(&sim.lock);
	deaf = sim.knobs.deaf;
	sim.knobs = *knobs;
	sim.rng = knobs->seed;
	sim.counts = (struct sim_counts){ .regs = sim.counts.regs,
					  .endpoints = sim.counts.endpoints,
					  .violations = sim.counts.violations };
	sim.lose_at = knobs->lose_at;
	sim.call_at = knobs->call_at;
	if (deaf && !knobs->deaf)
		hear_again();
	pthread_mutex_unlock(&sim.lock);
}

void sim_read(struct sim_counts *counts)
{
	pthread_mutex_lock(&sim.lock);
	*counts = sim.counts;
	pthread_mutex_unlock(&sim.lock);
}

/* ---- completions -------------------------------------------------------------------------- */

void sim_wake(struct nmti_rma_dev *dev)
{
	uint64_t one = 1;

	if (!dev->armed)
		return;
	dev->armed = false;
	if (write(dev->src.fd, &one, sizeof(one)) < 0)
		sim_violation("eventfd");
}

struct sim_cqe *sim_complete(struct nmti_rma_ep *ep, uint8_t event)
{
	struct nmti_rma_dev *dev = ep->dev;
	struct sim_cqe *c;

	if (dev->head && dev->tail == dev->cap) {
		memmove(dev->cq, dev->cq + dev->head, (dev->tail - dev->head) * sizeof(*dev->cq));
		dev->tail -= dev->head;
		dev->head = 0;
	}
	if (dev->tail == dev->cap) {
		dev->cap = dev->cap ? 2 * dev->cap : 64;
		dev->cq = realloc(dev->cq, dev->cap * sizeof(*dev->cq));
	}
	c = &dev->cq[dev->tail++];
	c->wc = (struct nmti_rma_wc){ .ep = ep, .owner = ep->attr.owner, .event = event };
	return c;
}

static void post_again(struct nmti_rma_dev *dev)
{
	for (struct nmti_rma_ep *ep = dev->eps; ep; ep = ep->next) {
		ep->imms -= ep->took_imms;
		ep->messages -= ep->took_messages;
		ep->took_imms = ep->took_messages = 0;
	}
}

/* Not before: an engine that tells of credit without it is found out. */
static void sim_repost(struct nmti_rma_dev *dev)
{
	pthread_mutex_lock(&sim.lock);
	post_again(dev);
	pthread_mutex_unlock(&sim.lock);
}

static int sim_poll(struct nmti_rma_dev *dev, struct nmti_rma_wc *wc, int max)
{
	bool imm = false;
	int n = 0;

	pthread_mutex_lock(&sim.lock);
	sim_run(dev, nmti_now());
	dev->told = realloc(dev->told, (size_t)max * sizeof(*dev->told));
	while (n < max && dev->head != dev->tail) {
		struct sim_cqe *c = &dev->cq[dev->head++];

		if (!c->wc.ep)
			continue;
		c->wc.ep->took_imms += c->wc.event == NMTI_RMA_IMM;
		c->wc.ep->took_messages += c->wc.event == NMTI_RMA_MESSAGE;
		if (c->wc.event == NMTI_RMA_WRITTEN)
			c->wc.ep->told = c->wc.number;
		imm |= c->wc.event == NMTI_RMA_IMM;
		wc[n] = c->wc;
		if (c->wc.event == NMTI_RMA_MESSAGE) {
			memcpy(dev->told[n], c->data, c->wc.len);
			wc[n].data = dev->told[n];
		}
		n++;
	}
	if (sim.knobs.hostile)
		post_again(dev);
	pthread_mutex_unlock(&sim.lock);
	if (imm && sim.knobs.turn)
		sim.knobs.turn(true);
	return n;
}

static int sim_arm(struct nmti_rma_dev *dev)
{
	int64_t next;
	int rc = 0;

	pthread_mutex_lock(&sim.lock);
	next = sim_run(dev, nmti_now());
	if (dev->head != dev->tail)
		rc = -EAGAIN;
	dev->armed = !rc;
	pthread_mutex_unlock(&sim.lock);
	if (!rc && next != INT64_MAX)
		nmti_timer_set(dev->pd->dom, &dev->timer, next);
	return rc;
}

static void news(struct nmti_source *src, uint32_t events)
{
	uint64_t count;

	(void)events;
	if (read(src->fd, &count, sizeof(count)) < 0 && errno != EAGAIN)
		sim_violation("eventfd");
}

static void later(struct nmti_timer *t)
{
	(void)t; /* poll follows in the same turn */
}

/* ---- devices ------------------------------------------------------------------------------ */

static const struct sim_profile *profile_of(const char *device)
{
	for (size_t i = 0; i < sizeof(profiles) / sizeof(profiles[0]); i++)
		if (!strcmp(profiles[i].name, device))
			return &profiles[i];
	return NULL;
}

static int sim_open(struct nmt_pdomain *pd, const char *device, struct nmti_rma_limits *lim,
		    struct nmti_rma_dev **out)
{
	const struct sim_profile *p = profile_of(device);
	struct nmti_rma_dev *dev;

	if (!p)
		return -ENODEV;
	dev = calloc(1, sizeof(*dev));
	if (!dev)
		return -ENOMEM;
	dev->pd = pd;
	dev->profile = p;
	dev->net = (uint32_t)(p - profiles);
	dev->timer.fire = later;
	dev->src.ready = news;
	dev->src.bell = true;
	dev->src.fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (dev->src.fd < 0 || nmti_watch(pd->dom, &dev->src, EPOLLIN)) {
		free(dev);
		return -EMFILE;
	}
	*lim = (struct nmti_rma_limits){
		.send_depth = p->send_depth, .recv_slots = p->recv_slots,
		.inline_max = p->inline_max, .ctrl_max = 256, .write_max = p->write_max,
		.stripe_log2 = p->stripe_log2, .numa = -1,
		.unordered = p->shared, .shared = p->shared,
		.caps = NMT_CAP_NEGOTIATED | NMT_CAP_RECORDS | NMT_CAP_PLACEMENT |
			NMT_CAP_ZEROCOPY | NMT_CAP_RAILS | NMT_CAP_RESUME | NMT_CAP_REMOTE_FLUSH,
	};
	pthread_mutex_lock(&sim.lock);
	dev->next = sim.devs;
	sim.devs = dev;
	pthread_mutex_unlock(&sim.lock);
	*out = dev;
	return 0;
}

static void sim_close(struct nmti_rma_dev *dev)
{
	struct nmti_rma_dev **at = &sim.devs;

	pthread_mutex_lock(&sim.lock);
	while (*at != dev)
		at = &(*at)->next;
	*at = dev->next;
	if (dev->eps || dev->regs)
		sim_violation("a device is closed with endpoints or registrations");
	pthread_mutex_unlock(&sim.lock);
	nmti_timer_cancel(dev->pd->dom, &dev->timer);
	nmti_unwatch(dev->pd->dom, &dev->src);
	close(dev->src.fd);
	free(dev->cq);
	free(dev->told);
	free(dev);
}

static int sim_reg(struct nmti_rma_dev *dev, struct nmt_mr *mr, uint64_t offset, uint64_t len,
		   bool remote, struct nmti_rma_reg *reg, const char **reason)
{
	struct sim_reg *r;
	int rc = 0;

	if (dev->lost == -ENODEV)
		return -ENODEV;
	if (!mr->cpu) {
		*reason = "the simulated device reaches what the CPU reaches";
		return -EOPNOTSUPP;
	}
	pthread_mutex_lock(&sim.lock);
	if (dev->profile->reg_fails && !mr->pool && !(sim_random() % dev->profile->reg_fails))
		rc = -ENOMEM;
	r = rc ? NULL : calloc(1, sizeof(*r));
	if (r) {
		*r = (struct sim_reg){ dev->regs, mr, offset, len, sim_random() >> 8 << 4,
				       ++sim.keys, remote };
		dev->regs = r;
		*reg = (struct nmti_rma_reg){ r->base, remote ? r->key : 0, r };
		sim.counts.regs++;
	}
	pthread_mutex_unlock(&sim.lock);
	return rc;
}

static void sim_dereg(struct nmti_rma_dev *dev, struct nmti_rma_reg *reg)
{
	struct sim_reg **at = &dev->regs;

	pthread_mutex_lock(&sim.lock);
	while (*at && *at != reg->handle)
		at = &(*at)->next;
	if (*at) {
		*at = (*at)->next;
		free(reg->handle);
		sim.counts.regs--;
	} else {
		sim_violation("a registration is given back that there is not");
	}
	pthread_mutex_unlock(&sim.lock);
}

static int sim_query(struct nmt_ctx *ctx, nmti_info_fn *emit, void *arg)
{
	struct nmt_info info = { .size = sizeof(info), .numa_node = -1, .flags = NMT_INFO_UP };
	int rc = 0;

	(void)ctx;
	for (size_t i = 0; i < sizeof(profiles) / sizeof(profiles[0]) && !rc; i++) {
		snprintf(info.device, sizeof(info.device), "%s",
			 profiles[i].name[0] ? profiles[i].name : "any");
		rc = emit(arg, &info);
	}
	return 0;
}

/* ---- endpoints ---------------------------------------------------------------------------- */

static int sim_address(struct nmti_rma_dev *dev, void *blob, uint32_t cap)
{
	if (dev->lost == -ENODEV)
		return -ENODEV;
	if (cap < SIM_BLOB)
		return -ENOSPC;
	memcpy(blob, "simd", 4);
	((uint8_t *)blob)[4] = (uint8_t)dev->net;
	return SIM_BLOB;
}

static bool same(const struct nmti_rma_ep *a, const struct nmti_rma_ep *b)
{
	return a->server != b->server && a->net == b->net && a->attr.rail == b->attr.rail &&
	       a->attr.epoch == b->attr.epoch && !memcmp(a->token, b->token, sizeof(a->token));
}

static void pair_up(struct nmti_rma_ep *a, struct nmti_rma_ep *b)
{
	a->peer = b;
	b->peer = a;
	a->state = b->state = SIM_UP;
	sim_complete(a, NMTI_RMA_CONNECTED);
	sim_complete(b, NMTI_RMA_CONNECTED);
	sim_wake(a->dev);
	sim_wake(b->dev);
}

/* Whoever tried while the fabric was deaf is connected now. */
static void hear_again(void)
{
	struct nmti_rma_ep *a = sim.waiting, *b;

	while (a) {
		for (b = a->other; b && !same(a, b); b = b->other)
			;
		if (b) {
			sim_wait_no_more(a);
			sim_wait_no_more(b);
			pair_up(a, b);
		}
		a = b ? sim.waiting : a->other;
	}
}

static int begin(struct nmti_rma_dev *dev, const struct nmti_rma_ep_attr *attr, bool server,
		 uint32_t net, struct nmti_rma_ep **out)
{
	struct nmti_rma_ep *ep, *peer, **at;

	if (dev->lost == -ENODEV)
		return -ENODEV;
	if (attr->send_depth > dev->profile->send_depth)
		return -EINVAL;
	ep = calloc(1, sizeof(*ep));
	if (!ep)
		return -ENOMEM;
	ep->dev = dev;
	ep->attr = *attr;
	ep->server = server;
	ep->net = net;
	memcpy(ep->token, attr->token, sizeof(ep->token));
	*out = ep;
	pthread_mutex_lock(&sim.lock);
	sim.counts.endpoints++;
	ep->next = dev->eps;
	dev->eps = ep;
	for (at = &sim.waiting; *at && (sim.knobs.deaf || !same(*at, ep)); at = &(*at)->other)
		;
	peer = *at;
	if (peer && !peer->dev->lost && !dev->lost) {
		*at = peer->other;
		pair_up(ep, peer);
	} else {
		ep->other = sim.waiting;
		sim.waiting = ep;
		if (!server && (peer || dev->lost))
			sim_refuse(ep);
		else if (peer)
			sim_refuse(peer);
	}
	pthread_mutex_unlock(&sim.lock);
	return 0;
}

static int sim_connect(struct nmti_rma_dev *dev, const struct nmti_rma_ep_attr *attr,
		       const void *blob, uint32_t len, struct nmti_rma_ep **ep)
{
	if (len != SIM_BLOB || memcmp(blob, "simd", 4))
		return -EPROTO;
	return begin(dev, attr, false, ((const uint8_t *)blob)[4], ep);
}

static int sim_expect(struct nmti_rma_dev *dev, const struct nmti_rma_ep_attr *attr,
		      struct nmti_rma_ep **ep)
{
	return begin(dev, attr, true, dev->net, ep);
}

void sim_wait_no_more(struct nmti_rma_ep *ep)
{
	struct nmti_rma_ep **at = &sim.waiting;

	while (*at && *at != ep)
		at = &(*at)->other;
	if (*at)
		*at = ep->other;
}

static void sim_fence(struct nmti_rma_ep *ep)
{
	pthread_mutex_lock(&sim.lock);
	sim_wait_no_more(ep);
	sim_stop(ep);
	pthread_mutex_unlock(&sim.lock);
}

static void sim_destroy(struct nmti_rma_ep *ep)
{
	struct nmti_rma_dev *dev = ep->dev;
	struct nmti_rma_ep **at = &dev->eps;

	pthread_mutex_lock(&sim.lock);
	sim_strays_check(ep);
	sim_wait_no_more(ep);
	sim_drop_items(ep);
	for (uint32_t i = dev->head; i != dev->tail; i++)
		if (dev->cq[i].wc.ep == ep)
			dev->cq[i].wc.ep = NULL;
	while (*at != ep)
		at = &(*at)->next;
	*at = ep->next;
	if (ep->peer) {
		ep->peer->peer = NULL;
		sim_wake(ep->peer->dev);
	}
	sim.counts.endpoints--;
	pthread_mutex_unlock(&sim.lock);
	free(ep);
}

static void sim_describe(const struct nmti_rma_ep *ep, struct nmt_stream_info *info)
{
	snprintf(info->device, sizeof(info->device), "%s",
		 ep->dev->profile->name[0] ? ep->dev->profile->name : "any");
	info->adapter_port = 1;
	info->gid_index = 3;
	info->gid_type = NMT_GID_ROCE_V2;
	snprintf(info->gid, sizeof(info->gid), "fd77::1");
	info->mtu = 4096;
	info->speed_mbps = 1000;
}

static const struct nmti_rma_ops sim_ops = {
	.open = sim_open,
	.close = sim_close,
	.reg = sim_reg,
	.dereg = sim_dereg,
	.address = sim_address,
	.fit = sim_fit,
	.status = sim_status,
	.connect = sim_connect,
	.expect = sim_expect,
	.write = sim_write,
	.send = sim_send,
	.ask = sim_ask,
	.kick = sim_kick,
	.poll = sim_poll,
	.repost = sim_repost,
	.arm = sim_arm,
	.fence = sim_fence,
	.destroy = sim_destroy,
	.describe = sim_describe,
};

static int add(struct nmt_ctx *ctx, uint32_t rank)
{
	const struct nmt_provider_ops provider = {
		.abi = NMT_PROVIDER_ABI,
		.size = sizeof(provider),
		.name = "sim",
		.caps = NMTI_RMA_CAPS | NMT_CAP_PLACEMENT | NMT_CAP_ZEROCOPY | NMT_CAP_RAILS |
			NMT_CAP_RESUME | NMT_CAP_REMOTE_FLUSH,
		.rank = rank,
		.max_rails = 16,
		.query = sim_query,
		.rma = &sim_ops,
	};

	return nmti_provider_add(ctx, &provider);
}

int sim_add(struct nmt_ctx *ctx)
{
	return add(ctx, 99);
}

int sim_add_best(struct nmt_ctx *ctx)
{
	return add(ctx, 0);
}
