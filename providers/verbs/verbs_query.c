/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The RDMA adapters of this machine, by port, with the addresses that connections of it can have in
 * this network namespace: those of its GIDs that an interface here has, RoCE v2 first; on InfiniBand
 * those of the IPoIB interfaces on the port.
 */
#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if_arp.h>
#include <netpacket/packet.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "verbs.h"

#define GIDS_MAX 256
#define IPOIB_LINK 20 /* bytes of a link address: flags and queue pair, then the GID */
#define CM_DEVICE "/dev/infiniband/rdma_cm"

uint32_t nmti_verbs_mtu(int mtu)
{
	return 128u << mtu;
}

uint32_t nmti_verbs_speed(const struct ibv_port_attr *attr)
{
	static const uint32_t lane[] = { 2500, 5000, 10000, 10000, 14000, 25000, 50000, 100000,
					 200000 };
	static const uint32_t lanes[] = { 1, 4, 8, 12, 2 };
	int speed = __builtin_ctz(attr->active_speed | 1u << 8);
	int width = __builtin_ctz(attr->active_width | 1u << 4);

	if (!attr->active_speed || !attr->active_width)
		return 0;
	return lane[speed] * lanes[width];
}

/* ---- sysfs ---- */

int nmti_verbs_numa(const char *ibdev)
{
	char path[160];

	snprintf(path, sizeof(path), "/sys/class/infiniband/%.64s/device/numa_node", ibdev);
	return nmti_sysfs_number(path, -1);
}

static void read_pci(const char *ibdev, char *out, size_t len)
{
	char path[160];

	snprintf(path, sizeof(path), "/sys/class/infiniband/%.64s/device", ibdev);
	nmti_sysfs_pci(path, out, len);
}

uint64_t nmti_verbs_retries(const char *ibdev, uint8_t port)
{
	/* By driver: rdma_rxe; mlx5_ib, three reasons; bnxt_re; irdma. */
	static const char *const names[] = { "completer_retry_err", "local_ack_timeout_err",
					     "packet_seq_err", "rnr_nak_retry_err",
					     "to_retransmits", "RetransSegs" };
	uint64_t sum = 0;
	char path[192];
	int n;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(path, sizeof(path), "/sys/class/infiniband/%.64s/ports/%u/hw_counters/%s",
			 ibdev, port, names[i]);
		n = nmti_sysfs_number(path, 0);
		sum += n > 0 ? (uint64_t)n : 0;
	}
	return sum;
}

/* ---- addresses ---- */

static int bits_of(const uint8_t *mask, int len)
{
	int n = 0;

	for (int i = 0; i < len; i++)
		n += __builtin_popcount(mask[i]);
	return n;
}

/* Fill A from an interface's address: false for what is of no use here. */
static bool addr_of(const struct ifaddrs *ifa, struct verbs_addr *a)
{
	const struct sockaddr_in6 *in6 = (const void *)ifa->ifa_addr;

	memset(a, 0, sizeof(*a));
	snprintf(a->netdev, sizeof(a->netdev), "%s", ifa->ifa_name);
	if (!ifa->ifa_addr || !ifa->ifa_netmask || !(ifa->ifa_flags & IFF_UP) ||
	    ifa->ifa_flags & IFF_LOOPBACK)
		return false;
	if (ifa->ifa_addr->sa_family == AF_INET) {
		const struct sockaddr_in *mask = (const void *)ifa->ifa_netmask;

		memcpy(&a->ss, ifa->ifa_addr, sizeof(struct sockaddr_in));
		a->prefix = (uint8_t)bits_of((const uint8_t *)&mask->sin_addr, 4);
		return true;
	}
	if (ifa->ifa_addr->sa_family != AF_INET6 || IN6_IS_ADDR_LINKLOCAL(&in6->sin6_addr))
		return false;
	memcpy(&a->ss, in6, sizeof(*in6));
	in6 = (const void *)ifa->ifa_netmask;
	a->prefix = (uint8_t)bits_of(in6->sin6_addr.s6_addr, 16);
	return true;
}

uint32_t nmti_verbs_gid(struct ibv_context *ctx, uint8_t port, uint32_t index,
			char gid[NMT_GID_MAX])
{
	struct ibv_gid_entry entry;

	if (ibv_query_gid_ex(ctx, port, index, &entry, 0) ||
	    !inet_ntop(AF_INET6, entry.gid.raw, gid, NMT_GID_MAX))
		return NMT_GID_NONE;
	return NMT_GID_IB + entry.gid_type; /* both count IB, RoCE v1, RoCE v2 */
}

static void mapped_gid(const struct sockaddr_storage *ss, union ibv_gid *gid)
{
	const struct sockaddr_in6 *in6 = (const void *)ss;
	const struct sockaddr_in *in = (const void *)ss;

	memset(gid, 0, sizeof(*gid));
	if (ss->ss_family == AF_INET6) {
		memcpy(gid->raw, in6->sin6_addr.s6_addr, 16);
		return;
	}
	memset(gid->raw + 10, 0xff, 2);
	memcpy(gid->raw + 12, &in->sin_addr, 4);
}

/* The GID of the port that an IPoIB interface is on: the end of its link address (RFC 4391, 9.1.1). */
static bool ipoib_gid(const struct ifaddrs *i, const char *ifname, union ibv_gid *gid)
{
	for (; i; i = i->ifa_next) {
		const struct sockaddr_ll *ll = (const void *)i->ifa_addr;

		if (!ll || ll->sll_family != AF_PACKET || strcmp(i->ifa_name, ifname) != 0)
			continue;
		if (ll->sll_hatype != ARPHRD_INFINIBAND || ll->sll_halen != IPOIB_LINK)
			return false;
		/* getifaddrs has room for all of it, which the type does not say */
		memcpy(gid->raw, (const uint8_t *)ll + offsetof(struct sockaddr_ll, sll_addr) + 4,
		       16);
		return true;
	}
	return false;
}

/* The entry of the port that GID, which A has, is in; RoCE v2 before v1. */
static bool find_gid(const struct verbs_opt *opt, const struct verbs_port *port,
		     const struct ibv_gid_entry *gids, ssize_t n, const union ibv_gid *gid,
		     struct verbs_addr *a)
{
	bool found = false;

	for (ssize_t i = 0; i < n; i++) {
		if (gids[i].port_num != port->port || memcmp(&gids[i].gid, gid, sizeof(*gid)) ||
		    (opt->gid_index >= 0 && (int)gids[i].gid_index != opt->gid_index) ||
		    (found && gids[i].gid_type <= a->gid_type))
			continue;
		a->gid_type = (uint8_t)gids[i].gid_type;
		a->gid_index = (uint16_t)gids[i].gid_index;
		found = true;
	}
	return found;
}

/* RoCE v2 first, then IPv4; otherwise in the order of the interfaces. */
static int order(const struct verbs_addr *a)
{
	return a->gid_type * 2 + (a->ss.ss_family == AF_INET);
}

static void add_addr(struct verbs_port *port, const struct verbs_addr *a)
{
	int at = port->naddrs;

	while (at > 0 && order(&port->addrs[at - 1]) < order(a))
		at--;
	if (at == VERBS_ADDRS)
		return;
	if (port->naddrs == VERBS_ADDRS)
		port->naddrs--;
	memmove(&port->addrs[at + 1], &port->addrs[at],
		(size_t)(port->naddrs - at) * sizeof(*a));
	port->addrs[at] = *a;
	port->naddrs++;
}

static void find_addrs(const struct verbs_opt *opt, struct verbs_port *port)
{
	bool ib = port->pattr.link_layer == IBV_LINK_LAYER_INFINIBAND;
	struct ibv_gid_entry *gids = calloc(GIDS_MAX, sizeof(*gids));
	struct ifaddrs *list = NULL;
	ssize_t n;

	if (!gids || getifaddrs(&list)) {
		free(gids);
		return;
	}
	n = ibv_query_gid_table(port->ctx, gids, GIDS_MAX, 0);
	for (const struct ifaddrs *i = list; i; i = i->ifa_next) {
		struct verbs_addr a;
		union ibv_gid gid;

		if (!addr_of(i, &a))
			continue;
		mapped_gid(&a.ss, &gid);
		if ((!ib || ipoib_gid(list, a.netdev, &gid)) &&
		    find_gid(opt, port, gids, n, &gid, &a))
			add_addr(port, &a);
	}
	freeifaddrs(list);
	free(gids);
}

/* ---- ports ---- */

static void unusable(struct verbs_port *port, int status, const char *reason)
{
	if (port->status)
		return;
	port->status = status;
	snprintf(port->reason, sizeof(port->reason), "%s", reason);
}

static void look_at_port(const struct verbs_opt *opt, struct verbs_port *port)
{
	if (ibv_query_port(port->ctx, port->port, &port->pattr)) {
		unusable(port, -EIO, "ibv_query_port failed");
		return;
	}
	if (port->pattr.state != IBV_PORT_ACTIVE)
		unusable(port, -ENETDOWN,
			 "the port is down (ip link set <its interface> up; rdma link shows both)");
	if (port->ctx->device->transport_type != IBV_TRANSPORT_IB)
		unusable(port, -EOPNOTSUPP, "neither InfiniBand nor RoCE: no write with immediate");
	find_addrs(opt, port);
	if (!port->naddrs)
		unusable(port, -EADDRNOTAVAIL, opt->gid_index >= 0 ?
			 "NMT_VERBS_GID_INDEX is no address of an interface here" :
			 "no interface here has an address of it (ip addr add; other namespace?)");
	if (access(CM_DEVICE, R_OK | W_OK))
		unusable(port, -errno, errno == ENOENT ?
			 "no " CM_DEVICE ": load the module rdma_ucm" :
			 "no permission on " CM_DEVICE);
}

/* libibverbs has another errno after it looked everywhere, so the file is asked itself. */
static void not_opened(struct ibv_device *ibdev, struct verbs_port *port, int err)
{
	char file[96], text[128];

	snprintf(file, sizeof(file), "/dev/infiniband/%.40s", ibdev->dev_name);
	if (access(file, R_OK | W_OK) && errno == EACCES)
		err = EACCES;
	if (err == EACCES || err == EPERM)
		snprintf(text, sizeof(text), "no permission on %s", file);
	else
		snprintf(text, sizeof(text), "ibv_open_device: %s", strerror(err));
	unusable(port, -err, text);
}

/* One adapter that cannot be opened counts as one port. */
static void look_at_device(struct ibv_device *ibdev, struct verbs_port *port)
{
	memset(port, 0, sizeof(*port));
	port->port = 1;
	snprintf(port->name, sizeof(port->name), "%s", ibv_get_device_name(ibdev));
	errno = 0;
	port->ctx = ibv_open_device(ibdev);
	if (!port->ctx)
		not_opened(ibdev, port, errno ? errno : EIO);
	else if (ibv_query_device(port->ctx, &port->attr))
		unusable(port, -EIO, "ibv_query_device failed");
}

/* Each port has a context of its own, since one may be taken over. */
static bool visit_device(const struct verbs_opt *opt, struct ibv_device *ibdev, verbs_port_fn *fn,
			 void *arg)
{
	struct verbs_port port;
	bool go_on;
	int last = 1;

	for (int p = 1; p <= last; p++) {
		look_at_device(ibdev, &port);
		port.port = (uint8_t)p;
		if (port.ctx)
			last = port.attr.phys_port_cnt;
		if (last > 1)
			snprintf(port.name, sizeof(port.name), "%.58s:%u",
				 ibv_get_device_name(ibdev), port.port);
		if (!port.status)
			look_at_port(opt, &port);
		go_on = fn(arg, &port);
		if (port.ctx)
			ibv_close_device(port.ctx);
		if (!go_on)
			return false;
	}
	return true;
}

int nmti_verbs_ports(const struct verbs_opt *opt, verbs_port_fn *fn, void *arg, char *reason,
		     size_t len)
{
	struct ibv_device **list;
	int n = 0;

	errno = 0;
	list = ibv_get_device_list(&n);
	if (!list || !n) {
		snprintf(reason, len, !list && errno == ENOSYS ?
			 "no RDMA in this kernel (modprobe ib_uverbs, and the adapter's driver)" :
			 "no RDMA device (rdma link shows them)");
		if (list)
			ibv_free_device_list(list);
		return -ENODEV;
	}
	for (int i = 0; i < n; i++)
		if (!visit_device(opt, list[i], fn, arg))
			break;
	ibv_free_device_list(list);
	return 0;
}

/* ---- query ---- */

struct query {
	nmti_info_fn *emit;
	void *arg;
	int rc;
};

static bool tell_port(void *arg, struct verbs_port *port)
{
	struct nmt_info info = { .size = sizeof(info), .numa_node = -1 };
	struct query *q = arg;

	snprintf(info.device, sizeof(info.device), "%s", port->name);
	info.status = port->status;
	snprintf(info.reason, sizeof(info.reason), "%s", port->reason);
	if (port->ctx) {
		const char *ibdev = ibv_get_device_name(port->ctx->device);

		info.numa_node = nmti_verbs_numa(ibdev);
		read_pci(ibdev, info.pci, sizeof(info.pci));
		info.speed_mbps = nmti_verbs_speed(&port->pattr);
		info.mtu = port->pattr.active_mtu ? nmti_verbs_mtu(port->pattr.active_mtu) : 0;
		info.flags |= port->pattr.state == IBV_PORT_ACTIVE ? NMT_INFO_UP : 0;
		info.adapter_port = port->port;
		info.gid_index = port->naddrs ? port->addrs[0].gid_index : 0;
		info.gid_type = nmti_verbs_gid(port->ctx, port->port, info.gid_index, info.gid);
	}
	q->rc = q->emit(q->arg, &info);
	return !q->rc;
}

int nmti_verbs_query(struct nmt_ctx *ctx, nmti_info_fn *emit, void *arg)
{
	struct query q = { .emit = emit, .arg = arg };
	struct nmt_info none = { .size = sizeof(none), .numa_node = -1, .device = "any" };
	struct verbs_opt opt;

	nmti_verbs_options(ctx, &opt);
	none.status = nmti_verbs_ports(&opt, tell_port, &q, none.reason, sizeof(none.reason));
	return none.status ? emit(arg, &none) : q.rc;
}
