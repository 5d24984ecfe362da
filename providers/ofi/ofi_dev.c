/* SPDX-License-Identifier: BSD-2-Clause */
/* Opening a device for a domain: its objects of libfabric's, its limits, what it tells peers. */
#include <stdlib.h>
#include <sys/epoll.h>

#include "ofi.h"

#define CQ_SIZE 4096u

static int failed(struct nmti_rma_dev *dev, const char *what, int rc)
{
	nmti_log(dev->pd->ctx, NMT_LOG_ERROR, "ofi: %s: %s: %s", dev->found.name, what,
		 nmti_ofi_strerror(-rc));
	return rc == -FI_ENOMEM ? -ENOMEM : rc == -FI_EACCES || rc == -FI_EPERM ? -EACCES : -ENODEV;
}

/* ---- queues ---- */

static int find_fd(struct nmti_source *src, struct fid *fid,
		   void (*ready)(struct nmti_source *src, uint32_t events))
{
	src->ready = ready;
	return fi_control(fid, FI_GETWAIT, &src->fd);
}

static int open_eq(struct nmti_rma_dev *dev)
{
	struct fi_eq_attr attr = { .wait_obj = FI_WAIT_FD };
	int rc = fi_eq_open(dev->fabric, &attr, &dev->eq, dev);

	if (!rc)
		rc = find_fd(&dev->eq_src, &dev->eq->fid, nmti_ofi_eq_ready);
	return rc ? rc : nmti_watch(dev->pd->dom, &dev->eq_src, EPOLLIN);
}

static bool wants_fd(const struct nmti_rma_dev *dev)
{
	return dev->opt.wait_fd < 0 ? !nmti_domain_spins(dev->pd->dom) : dev->opt.wait_fd;
}

/*
 * With a descriptor if the domain sleeps and the provider has one; else the device is looked at by
 * time. It is watched for a sleep only: a peer that sends while the domain is awake would pay for what
 * nobody waits for. What it costs all the same, a domain that never sleeps is spared.
 */
static int open_cq(struct nmti_rma_dev *dev)
{
	struct fi_cq_attr attr = { .size = CQ_SIZE, .format = FI_CQ_FORMAT_DATA,
				   .wait_obj = FI_WAIT_FD };

	if (wants_fd(dev) && !fi_cq_open(dev->domain, &attr, &dev->cq, dev)) {
		dev->sleeps = dev->cq_src.bell = true;
		return find_fd(&dev->cq_src, &dev->cq->fid, nmti_ofi_cq_ready);
	}
	attr.wait_obj = FI_WAIT_NONE;
	return fi_cq_open(dev->domain, &attr, &dev->cq, dev);
}

/* ---- limits ---- */

/*
 * What shm takes lies in its peer's queue, in memory of the peer's, which looks at it in order: it is
 * delivered when the peer polls, whatever becomes of the sender. To be told of that needs the sender's
 * CPU for each request of up to 4 KiB, one at a time (smr_select_proto, libfabric 1.17).
 */
static uint64_t level_of(const struct fi_info *info)
{
	return strcmp(info->fabric_attr->prov_name, "shm") ? FI_DELIVERY_COMPLETE :
							     FI_TRANSMIT_COMPLETE;
}

/* cxi says 8 and takes none with writes, unless FI_CXI_ENABLE_WRITEDATA says so (libfabric 2.6). */
static size_t data_of(const struct fi_info *info)
{
	return strcmp(info->fabric_attr->prov_name, "cxi") ? info->domain_attr->cq_data_size : 0;
}

static uint32_t smaller(uint64_t a, uint64_t b)
{
	return (uint32_t)(a < b ? a : b);
}

static void find_limits(struct nmti_rma_dev *dev)
{
	const struct fi_info *info = dev->info;
	struct nmti_rma_limits *l = &dev->limits;

	dev->inject = smaller(info->tx_attr->inject_size, OFI_MSG_MAX + OFI_MSG_HEAD);
	l->send_depth = smaller(info->tx_attr->size, (uint64_t)dev->opt.send_depth);
	l->recv_slots = (uint32_t)dev->opt.recv_depth;
	l->inline_max = smaller(dev->inject, (uint64_t)dev->opt.inline_max);
	l->ctrl_max = OFI_MSG_MAX;
	l->write_max = smaller(info->ep_attr->max_msg_size, OFI_WRITE_MAX);
	l->caps = OFI_CAPS;
	if (dev->level != FI_DELIVERY_COMPLETE)
		l->caps &= ~NMT_CAP_REMOTE_FLUSH;
	l->numa = -1;
	l->unordered = dev->tracked;
	l->shared = dev->rdm;
}

/* ---- open ---- */

static int open_memory(struct nmti_rma_dev *dev)
{
	int rc = nmti_ofi_mr_new(dev, dev->zero, OFI_SCRATCH, false, &dev->zero_mr);

	if (!rc && !dev->rdm)
		rc = nmti_ofi_mr_new(dev, dev->scratch, OFI_SCRATCH, true, &dev->scratch_mr);
	dev->zero_desc = ofi_desc(dev->zero_mr);
	return rc;
}

static uint32_t hash(const char *text)
{
	uint32_t h = 2166136261u;

	for (; text && *text; text++)
		h = (h ^ (uint8_t)*text) * 16777619u;
	return h;
}

static int set_name(struct nmti_rma_dev *dev)
{
	const struct fi_fabric_attr *attr = dev->info->fabric_attr;
	size_t len = strlen(attr->prov_name);

	if (len > OFI_PROV_MAX)
		return -FI_EINVAL;
	dev->name.type = dev->found.type;
	dev->name.format = (uint16_t)dev->info->addr_format;
	dev->name.notes = dev->notes;
	dev->name.fabric = hash(attr->name);
	dev->name.plen = (uint8_t)len;
	memcpy(dev->name.prov, attr->prov_name, len);
	return 0;
}

static int set_up(struct nmti_rma_dev *dev)
{
	int rc = nmti_ofi_fabric(dev->info->fabric_attr, &dev->fabric, dev);

	if (rc)
		return failed(dev, "fi_fabric", rc);
	rc = fi_domain(dev->fabric, dev->info, &dev->domain, dev);
	if (rc)
		return failed(dev, "fi_domain", rc);
	rc = dev->rdm ? 0 : open_eq(dev);
	if (rc)
		return failed(dev, "event queue", rc);
	rc = open_cq(dev);
	if (rc)
		return failed(dev, "completion queue", rc);
	find_limits(dev);
	rc = set_name(dev);
	if (!rc)
		rc = dev->rdm ? nmti_ofi_rdm_open(dev) : 0;
	if (!rc)
		rc = open_memory(dev);
	if (!rc && !dev->rdm)
		rc = nmti_ofi_listen(dev);
	return rc ? failed(dev, "endpoint", rc) : 0;
}

static void lists_init(struct nmti_rma_dev *dev)
{
	nmti_list_init(&dev->peers);
	nmti_list_init(&dev->eps);
	nmti_list_init(&dev->expected);
	nmti_list_init(&dev->events);
	nmti_list_init(&dev->waiting);
	nmti_list_init(&dev->ending);
	nmti_list_init(&dev->closed);
	nmti_list_init(&dev->graves);
}

int nmti_ofi_open(struct nmt_pdomain *pd, const char *device, struct nmti_rma_limits *limits,
		  struct nmti_rma_dev **out)
{
	struct nmti_rma_dev *dev = calloc(1, sizeof(*dev));
	int rc;

	if (!dev)
		return -ENOMEM;
	dev->pd = pd;
	dev->cq_src.fd = dev->eq_src.fd = -1;
	lists_init(dev);
	nmti_ofi_options(pd->ctx, &dev->opt);
	rc = nmti_ofi_find(pd->ctx, device ? device : "", &dev->found);
	if (rc) {
		nmti_log(pd->ctx, NMT_LOG_ERROR, "ofi: %s", dev->found.reason);
	} else {
		dev->info = dev->found.info;
		dev->rdm = dev->found.type == OFI_TYPE_RDM;
		dev->notes = smaller(data_of(dev->info), (uint64_t)dev->opt.cq_data) <
			     sizeof(uint64_t);
		dev->tracked = dev->rdm || dev->notes;
		dev->level = level_of(dev->info);
		rc = set_up(dev);
	}
	if (rc) {
		nmti_ofi_close(dev);
		return rc;
	}
	*limits = dev->limits;
	*out = dev;
	return 0;
}

/* ---- close ---- */

static void close_fid(struct fid *fid)
{
	if (fid)
		fi_close(fid);
}

static void forget(struct nmti_rma_dev *dev, struct nmti_source *src)
{
	if (src->fd >= 0 && src->ready)
		nmti_forget(dev->pd->dom, src);
}

void nmti_ofi_close(struct nmti_rma_dev *dev)
{
	nmti_timer_cancel(dev->pd->dom, &dev->look);
	nmti_ofi_eps_free(dev);
	forget(dev, &dev->cq_src);
	forget(dev, &dev->eq_src);
	nmti_ofi_mr_free(&dev->zero_mr);
	nmti_ofi_mr_free(&dev->scratch_mr);
	close_fid(dev->pep ? &dev->pep->fid : NULL);
	nmti_ofi_rdm_close(dev);
	close_fid(dev->cq ? &dev->cq->fid : NULL);
	close_fid(dev->eq ? &dev->eq->fid : NULL);
	close_fid(dev->domain ? &dev->domain->fid : NULL);
	close_fid(dev->fabric ? &dev->fabric->fid : NULL);
	if (dev->found.info)
		nmti_ofi_freeinfo(dev->found.info);
	free(dev);
}

/* ---- addresses ---- */

int nmti_ofi_address(struct nmti_rma_dev *dev, void *blob, uint32_t cap)
{
	return nmti_ofi_addr_encode(&dev->name, blob, cap);
}

uint32_t nmti_ofi_fit(const void *server, uint32_t slen, const void *client, uint32_t clen)
{
	struct ofi_addr s, c;

	if (nmti_ofi_addr_decode(server, slen, &s) || nmti_ofi_addr_decode(client, clen, &c))
		return 0;
	return nmti_ofi_addr_fit(&s, &c);
}
