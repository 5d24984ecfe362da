/* SPDX-License-Identifier: BSD-2-Clause */
/* Opening a port of an adapter for a domain: what it can do, its listeners, its event sources. */
#include <fcntl.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "verbs.h"

#define LEAVE_LIMIT INT64_C(1000000000) /* for the endpoints of an adapter that goes to drain */

/* ---- choice of the port ---- */

struct choice {
	const char *device;
	struct verbs_port best;
	int status; /* of the port that was named, or the first unusable one */
	char reason[256];
};

static bool named(const struct verbs_port *port, const char *device)
{
	size_t len = strlen(port->name);

	return !*device || !strcmp(port->name, device) ||
	       (!strncmp(port->name, device, len) && !strcmp(device + len, ":1"));
}

/* The fastest usable port, the first of equals. */
static bool consider(void *arg, struct verbs_port *port)
{
	struct choice *c = arg;

	if (!named(port, c->device))
		return true;
	if (port->status) {
		if (!c->status)
			snprintf(c->reason, sizeof(c->reason), "%s: %s", port->name, port->reason);
		c->status = c->status ? c->status : port->status;
		return true;
	}
	if (c->best.ctx && nmti_verbs_speed(&c->best.pattr) >= nmti_verbs_speed(&port->pattr))
		return true;
	if (c->best.ctx)
		ibv_close_device(c->best.ctx);
	c->best = *port;
	port->ctx = NULL;
	return true;
}

/* -ENODEV with the log line, or the port's own errno. */
static int choose(struct nmti_rma_dev *dev, const char *device)
{
	struct choice c = { .device = device };
	int rc = nmti_verbs_ports(&dev->opt, consider, &c, c.reason, sizeof(c.reason));

	if (!rc && c.best.ctx) {
		dev->port = c.best;
		return 0;
	}
	if (!rc && !c.status)
		snprintf(c.reason, sizeof(c.reason), "no device called %s (rdma link)", device);
	nmti_log(dev->pd->ctx, NMT_LOG_ERROR, "verbs: %s", c.reason);
	return c.status == -EACCES || c.status == -EPERM ? -EACCES : -ENODEV;
}

/* ---- limits ---- */

/* What fits into a work request; the answer is known only once a queue pair was made. */
static uint32_t probe_inline(struct nmti_rma_dev *dev)
{
	struct ibv_cq *cq = ibv_create_cq(dev->port.ctx, 2, NULL, NULL, 0);
	struct ibv_qp_init_attr attr = { .send_cq = cq, .recv_cq = cq, .qp_type = IBV_QPT_RC };
	uint32_t want = (uint32_t)dev->opt.inline_max, got = 0;
	struct ibv_qp *qp = NULL;

	if (!cq)
		return 0;
	for (; !qp && want; want /= 2) {
		attr.cap = (struct ibv_qp_cap){ .max_send_wr = 1, .max_recv_wr = 1,
			.max_send_sge = 1, .max_recv_sge = 1, .max_inline_data = want };
		qp = ibv_create_qp(dev->ibpd, &attr);
		got = attr.cap.max_inline_data;
	}
	if (qp)
		ibv_destroy_qp(qp);
	ibv_destroy_cq(cq);
	if (!qp)
		return 0;
	return got < (uint32_t)dev->opt.inline_max ? got : (uint32_t)dev->opt.inline_max;
}

static uint32_t smaller(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

static void find_limits(struct nmti_rma_dev *dev)
{
	uint32_t wr = (uint32_t)dev->port.attr.max_qp_wr, cqe = (uint32_t)dev->port.attr.max_cqe;
	struct nmti_rma_limits *l = &dev->limits;

	/* A queue pair's completions fit into one queue; one request is the marker of a fence. */
	l->send_depth = smaller(smaller(wr, cqe / 2) - 1, (uint32_t)dev->opt.send_depth);
	l->recv_slots = smaller(smaller(wr, cqe / 2), (uint32_t)dev->opt.recv_depth);
	l->inline_max = probe_inline(dev);
	l->ctrl_max = VERBS_MSG_MAX;
	l->write_max = dev->port.pattr.max_msg_sz;
	l->caps = VERBS_CAPS;
	if (!nmti_verbs_has_dmabuf(dev->ibpd))
		l->caps &= ~NMT_CAP_DMABUF;
	l->numa = nmti_verbs_numa(ibv_get_device_name(dev->port.ctx->device));
}

/* ---- open ---- */

static int watch(struct nmti_rma_dev *dev, struct nmti_source *src, int fd,
		 void (*ready)(struct nmti_source *src, uint32_t events))
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK))
		return -errno;
	src->ready = ready;
	src->fd = fd;
	return nmti_watch(dev->pd->dom, src, EPOLLIN);
}

static int watch_all(struct nmti_rma_dev *dev)
{
	int rc;

	dev->comp_src.bell = true;
	rc = watch(dev, &dev->comp_src, dev->comp->fd, nmti_verbs_comp_ready);
	if (!rc)
		rc = watch(dev, &dev->async_src, dev->port.ctx->async_fd, nmti_verbs_async_ready);
	if (!rc)
		rc = watch(dev, &dev->cm_src, dev->cm->fd, nmti_verbs_cm_ready);
	return rc;
}

static int failed(struct nmti_rma_dev *dev, const char *what)
{
	int err = errno ? errno : EIO;

	nmti_log(dev->pd->ctx, NMT_LOG_ERROR, "verbs: %s: %s: %s", dev->port.name, what,
		 strerror(err));
	return err == ENOMEM ? -ENOMEM : err == EACCES || err == EPERM ? -EACCES : -ENODEV;
}

/* Addresses that cannot be listened on are dropped: they belong to another device after all. */
static int listen_all(struct nmti_rma_dev *dev)
{
	int kept = 0, rc = -EADDRNOTAVAIL;

	for (int i = 0; i < dev->port.naddrs; i++) {
		struct verbs_addr a = dev->port.addrs[i];

		rc = nmti_verbs_cm_listen(dev, &a);
		if (!rc)
			dev->port.addrs[kept++] = a;
	}
	dev->port.naddrs = kept;
	if (kept)
		return 0;
	errno = -rc;
	return failed(dev, "no address of it can be listened on");
}

static int set_up(struct nmti_rma_dev *dev)
{
	errno = 0;
	dev->ibpd = ibv_alloc_pd(dev->port.ctx);
	if (!dev->ibpd)
		return failed(dev, "ibv_alloc_pd");
	dev->comp = ibv_create_comp_channel(dev->port.ctx);
	if (!dev->comp)
		return failed(dev, "ibv_create_comp_channel");
	dev->cm = rdma_create_event_channel();
	if (!dev->cm)
		return failed(dev, "rdma_create_event_channel");
	dev->sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (dev->sock < 0)
		return failed(dev, "socket");
	find_limits(dev);
	errno = -watch_all(dev);
	if (errno)
		return failed(dev, "epoll");
	return listen_all(dev);
}

int nmti_verbs_open(struct nmt_pdomain *pd, const char *device, struct nmti_rma_limits *limits,
		    struct nmti_rma_dev **out)
{
	struct nmti_rma_dev *dev = calloc(1, sizeof(*dev));
	int rc;

	if (!dev)
		return -ENOMEM;
	dev->pd = pd;
	dev->comp_src.fd = dev->async_src.fd = dev->cm_src.fd = dev->sock = -1;
	dev->park_timer.fire = nmti_verbs_cm_late;
	verbs_dev_empty(dev);
	nmti_verbs_options(pd->ctx, &dev->opt);
	rc = choose(dev, device ? device : "");
	if (!rc)
		rc = set_up(dev);
	if (rc) {
		nmti_verbs_close(dev);
		return rc;
	}
	*limits = dev->limits;
	*out = dev;
	return 0;
}

/* The carrier goes at once with a cable; RUNNING comes back when the kernel takes packets again. */
bool nmti_verbs_sends(const struct nmti_rma_dev *dev, const struct verbs_addr *addr)
{
	struct ethtool_value value = { .cmd = ETHTOOL_GLINK };
	struct ifreq req = { 0 };

	memcpy(req.ifr_name, addr->netdev, sizeof(req.ifr_name));
	if (!ioctl(dev->sock, SIOCGIFFLAGS, &req) && !(req.ifr_flags & IFF_RUNNING))
		return false;
	req.ifr_data = (void *)&value;
	return ioctl(dev->sock, SIOCETHTOOL, &req) || value.data;
}

/* ---- close ---- */

static void forget(struct nmti_rma_dev *dev, struct nmti_source *src)
{
	if (src->fd >= 0)
		nmti_forget(dev->pd->dom, src);
	src->fd = -1;
}

static void close_listeners(struct nmti_rma_dev *dev)
{
	for (int i = 0; i < dev->port.naddrs; i++)
		if (dev->port.addrs[i].listen)
			rdma_destroy_id(dev->port.addrs[i].listen);
	dev->port.naddrs = 0;
}

/* Everything of the adapter, with no queue pair left. */
static void release(struct nmti_rma_dev *dev)
{
	close_listeners(dev);
	nmti_timer_cancel(dev->pd->dom, &dev->park_timer);
	nmti_verbs_cm_unpark(dev);
	nmti_verbs_regs_free(dev);
	nmti_verbs_srqs_free(dev);
	nmti_verbs_cqs_free(dev);
	forget(dev, &dev->cm_src);
	forget(dev, &dev->comp_src);
	forget(dev, &dev->async_src);
	if (dev->cm)
		rdma_destroy_event_channel(dev->cm);
	if (dev->comp)
		ibv_destroy_comp_channel(dev->comp);
	if (dev->ibpd)
		ibv_dealloc_pd(dev->ibpd);
	if (dev->port.ctx)
		ibv_close_device(dev->port.ctx);
	if (dev->sock >= 0)
		close(dev->sock);
	dev->sock = -1;
	dev->cm = NULL;
	dev->comp = NULL;
	dev->ibpd = NULL;
	dev->port.ctx = NULL;
}

void nmti_verbs_close(struct nmti_rma_dev *dev)
{
	while (!nmti_list_empty(&dev->eps))
		nmti_verbs_ep_free(nmti_container(dev->eps.next, struct nmti_rma_ep, all));
	nmti_timer_cancel(dev->pd->dom, &dev->leaver);
	release(dev);
	free(dev->parked);
	free(dev->slots);
	free(dev);
}

/*
 * librdmacm opens adapters too, and keeps them open for its life: only when it looks for adapters
 * anew does it let go of those that are gone. Until then the kernel's removal may have to wait.
 */
static void let_librdmacm_go(void)
{
	struct ibv_context **list = rdma_get_devices(NULL);

	if (list)
		rdma_free_devices(list);
}

/* The kernel's removal waits for this. */
static void leave(struct nmti_rma_dev *dev)
{
	nmti_timer_cancel(dev->pd->dom, &dev->leaver);
	for (struct nmti_list *node = dev->eps.next; node != &dev->eps; node = node->next) {
		struct nmti_rma_ep *ep = nmti_container(node, struct nmti_rma_ep, all);

		nmti_verbs_strip(ep);
		if (ep->state == VERBS_FENCED)
			nmti_verbs_drained(ep);
	}
	dev->nahead = dev->ahead_pos = 0;
	release(dev);
	let_librdmacm_go();
}

static void leave_late(struct nmti_timer *t)
{
	leave(nmti_container(t, struct nmti_rma_dev, leaver));
}

void nmti_verbs_gone(struct nmti_rma_dev *dev, const char *why)
{
	if (verbs_is_gone(dev))
		return;
	nmti_log(dev->pd->ctx, NMT_LOG_ERROR, "verbs: %s: the adapter is gone (%s)", dev->port.name,
		 why);
	dev->leaving = true;
	for (struct nmti_list *node = dev->eps.next; node != &dev->eps; node = node->next)
		nmti_verbs_fail(nmti_container(node, struct nmti_rma_ep, all), -ENODEV,
				"the adapter is gone (%s)", why);
	dev->leaver.fire = leave_late;
	if (nmti_list_empty(&dev->eps) ||
	    nmti_timer_set(dev->pd->dom, &dev->leaver, nmti_now() + LEAVE_LIMIT))
		leave(dev);
}

void nmti_verbs_ep_left(struct nmti_rma_dev *dev)
{
	if (dev->leaving && dev->port.ctx && nmti_list_empty(&dev->eps))
		leave(dev);
}
