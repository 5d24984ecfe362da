/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which addresses of an adapter provider verbs takes, with an adapter and interfaces that are played
 * here: RoCE v2 before v1, those of the port alone, on InfiniBand by the interfaces' link addresses; and
 * which pair of them connects two ends.
 */
#include "adapter.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if_arp.h>
#include <netpacket/packet.h>
#include <stdio.h>

#undef ibv_query_port
#undef ibv_get_device_list

/* ---- interfaces and GIDs ---- */

struct netif {
	const char *name, *addr;
	int bits;
	unsigned int flags;
};

#define UP IFF_UP
static const struct netif netifs[] = {
	{ "lo", "127.0.0.1", 8, UP | IFF_LOOPBACK },
	{ "eth2", "172.16.0.1", 24, UP },
	{ "eth0", "fe80::1", 64, UP },
	{ "eth0", "fd00::1", 64, UP },
	{ "eth0", "10.0.0.1", 24, UP },
	{ "eth1", "10.0.9.1", 24, UP },
	{ "eth3", "10.0.7.1", 24, 0 },
	{ "ib0", "10.1.0.1", 24, UP },
	{ "ib0", "fd01::1", 64, UP },
	{ "ib1", "10.1.1.1", 24, UP },
};

/* As Linux has it: flags and queue pair, then the GID of the port. */
static const struct link {
	const char *name, *gid;
	unsigned short type;
} links[] = {
	{ "eth0", "fe80::1", ARPHRD_ETHER },
	{ "ib0", "fe80::2:c903:a:1", ARPHRD_INFINIBAND },
	{ "ib1", "fe80::2:c903:a:2", ARPHRD_INFINIBAND },
};

static const struct gid {
	const char *gid;
	uint32_t index, port, type;
} gids[] = {
	{ "fe80::1", 0, 1, IBV_GID_TYPE_ROCE_V2 },
	{ "::ffff:172.16.0.1", 1, 1, IBV_GID_TYPE_ROCE_V1 },
	{ "::ffff:10.0.0.1", 2, 1, IBV_GID_TYPE_ROCE_V1 },
	{ "::ffff:10.0.0.1", 3, 1, IBV_GID_TYPE_ROCE_V2 },
	{ "fd00::1", 4, 1, IBV_GID_TYPE_ROCE_V2 },
	{ "fd00::1", 5, 1, IBV_GID_TYPE_ROCE_V1 },
	{ "::ffff:10.0.9.1", 0, 2, IBV_GID_TYPE_ROCE_V2 },
	{ "::ffff:10.0.7.1", 6, 1, IBV_GID_TYPE_ROCE_V2 },
	{ "::ffff:10.0.8.1", 7, 1, IBV_GID_TYPE_ROCE_V2 },
}, ib_gids[] = {
	{ "fe80::2:c903:a:1", 0, 1, IBV_GID_TYPE_IB },
	{ "fec0::2:c903:a:1", 1, 1, IBV_GID_TYPE_IB },
	{ "fe80::2:c903:a:2", 0, 2, IBV_GID_TYPE_IB },
	{ "fe80::2:c903:a:9", 3, 2, IBV_GID_TYPE_IB },
};
#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static bool infiniband; /* what the adapter is */

static void to_addr(const char *text, struct sockaddr_storage *ss)
{
	struct sockaddr_in6 *in6 = (void *)ss;
	struct sockaddr_in *in = (void *)ss;

	memset(ss, 0, sizeof(*ss));
	ss->ss_family = strchr(text, ':') ? AF_INET6 : AF_INET;
	if (ss->ss_family == AF_INET6)
		assert_int_equal(inet_pton(AF_INET6, text, &in6->sin6_addr), 1);
	else
		assert_int_equal(inet_pton(AF_INET, text, &in->sin_addr), 1);
}

static void to_mask(int bits, struct sockaddr_storage *ss)
{
	struct sockaddr_in6 *in6 = (void *)ss;
	struct sockaddr_in *in = (void *)ss;
	uint8_t *p = ss->ss_family == AF_INET6 ? in6->sin6_addr.s6_addr : (uint8_t *)&in->sin_addr;

	for (int i = 0; i < bits; i++)
		p[i / 8] |= (uint8_t)(0x80 >> i % 8);
}

static struct ifaddrs list[COUNT(netifs) + COUNT(links)];
static struct sockaddr_storage addrs[COUNT(list)], masks[COUNT(netifs)];

static void play_netif(size_t i)
{
	to_addr(netifs[i].addr, &addrs[i]);
	memset(&masks[i], 0, sizeof(masks[i]));
	masks[i].ss_family = addrs[i].ss_family;
	to_mask(netifs[i].bits, &masks[i]);
	list[i] = (struct ifaddrs){ .ifa_name = (char *)(uintptr_t)netifs[i].name,
				    .ifa_flags = netifs[i].flags, .ifa_addr = (void *)&addrs[i],
				    .ifa_netmask = (void *)&masks[i], .ifa_next = &list[i + 1] };
}

static void play_link(size_t i, const struct link *from)
{
	struct sockaddr_ll *ll = (void *)&addrs[i];

	memset(ll, 0, sizeof(addrs[i]));
	ll->sll_family = AF_PACKET;
	ll->sll_hatype = from->type;
	ll->sll_halen = from->type == ARPHRD_INFINIBAND ? 20 : 6;
	assert_int_equal(inet_pton(AF_INET6, from->gid,
				   (char *)ll + offsetof(struct sockaddr_ll, sll_addr) + 4), 1);
	list[i] = (struct ifaddrs){ .ifa_name = (char *)(uintptr_t)from->name,
				    .ifa_flags = UP, .ifa_addr = (void *)ll,
				    .ifa_next = &list[i + 1] };
}

int getifaddrs(struct ifaddrs **out)
{
	for (size_t i = 0; i < COUNT(netifs); i++)
		play_netif(i);
	for (size_t i = 0; i < COUNT(links); i++)
		play_link(COUNT(netifs) + i, &links[i]);
	list[COUNT(list) - 1].ifa_next = NULL;
	*out = list;
	return 0;
}

void freeifaddrs(struct ifaddrs *ifa)
{
	assert_ptr_equal(ifa, list);
}

ssize_t _ibv_query_gid_table(struct ibv_context *c, struct ibv_gid_entry *entries, size_t max,
			     uint32_t flags, size_t size)
{
	const struct gid *from = infiniband ? ib_gids : gids;
	size_t n = infiniband ? COUNT(ib_gids) : COUNT(gids);

	(void)c, (void)flags;
	assert_true(max >= n);
	assert_int_equal(size, sizeof(*entries));
	for (size_t i = 0; i < n; i++) {
		entries[i].gid_index = from[i].index;
		entries[i].port_num = from[i].port;
		entries[i].gid_type = from[i].type;
		assert_int_equal(inet_pton(AF_INET6, from[i].gid, entries[i].gid.raw), 1);
	}
	return (ssize_t)n;
}

/* ---- the adapter ---- */

static struct ibv_device device = { .name = "fake0", .transport_type = IBV_TRANSPORT_IB };
static struct ibv_device *devices[] = { &device, NULL };
static struct ibv_context opened = { .device = &device };

struct ibv_device **ibv_get_device_list(int *n)
{
	*n = 1;
	return devices;
}

void ibv_free_device_list(struct ibv_device **d)
{
	(void)d;
}

const char *ibv_get_device_name(struct ibv_device *d)
{
	return d->name;
}

struct ibv_context *ibv_open_device(struct ibv_device *d)
{
	(void)d;
	return &opened;
}

int ibv_close_device(struct ibv_context *c)
{
	(void)c;
	return 0;
}

int ibv_query_device(struct ibv_context *c, struct ibv_device_attr *attr)
{
	(void)c;
	attr->phys_port_cnt = 1;
	return 0;
}

int ibv_query_port(struct ibv_context *c, uint8_t port, struct _compat_ibv_port_attr *out)
{
	struct ibv_port_attr *attr = (void *)out;

	(void)c, (void)port;
	attr->state = IBV_PORT_ACTIVE;
	attr->link_layer = infiniband ? IBV_LINK_LAYER_INFINIBAND : IBV_LINK_LAYER_ETHERNET;
	return 0;
}

/* ---- which addresses ---- */

static bool keep(void *arg, struct verbs_port *port)
{
	*(struct verbs_port *)arg = *port;
	return true;
}

static void found(int gid_index, struct verbs_port *port)
{
	struct verbs_opt opt = { .gid_index = gid_index };
	char reason[64];

	assert_int_equal(nmti_verbs_ports(&opt, keep, port, reason, sizeof(reason)), 0);
}

static void is(const struct verbs_addr *a, const char *text, int bits, uint32_t index)
{
	struct sockaddr_storage ss;

	to_addr(text, &ss);
	assert_memory_equal(&a->ss, &ss, sizeof(struct sockaddr_in6));
	assert_int_equal(a->prefix, bits);
	assert_int_equal(a->gid_index, index);
}

static void test_order(void **state)
{
	struct verbs_port port;

	(void)state;
	found(-1, &port);
	assert_int_equal(port.naddrs, 3);
	is(&port.addrs[0], "10.0.0.1", 24, 3);
	is(&port.addrs[1], "fd00::1", 64, 4);
	is(&port.addrs[2], "172.16.0.1", 24, 1);
	assert_int_equal(port.addrs[0].gid_type, IBV_GID_TYPE_ROCE_V2);
	assert_int_equal(port.addrs[1].gid_type, IBV_GID_TYPE_ROCE_V2);
	assert_int_equal(port.addrs[2].gid_type, IBV_GID_TYPE_ROCE_V1);
}

static void test_gid_wanted(void **state)
{
	struct verbs_port port;

	(void)state;
	found(2, &port);
	assert_int_equal(port.naddrs, 1);
	is(&port.addrs[0], "10.0.0.1", 24, 2);
	found(7, &port); /* no interface here has it */
	assert_int_equal(port.naddrs, 0);
	assert_int_equal(port.status, -EADDRNOTAVAIL);
	assert_non_null(strstr(port.reason, "NMT_VERBS_GID_INDEX"));
}

/* Of all IPoIB interfaces those of the port, and no others. */
static void test_infiniband(void **state)
{
	struct verbs_port port;

	(void)state;
	infiniband = true;
	found(-1, &port);
	assert_int_equal(port.naddrs, 2);
	is(&port.addrs[0], "10.1.0.1", 24, 0);
	is(&port.addrs[1], "fd01::1", 64, 0);
	assert_int_equal(port.addrs[0].gid_type, IBV_GID_TYPE_IB);
	found(1, &port); /* its interface has another one */
	assert_int_equal(port.naddrs, 0);
	infiniband = false;
}

/* ---- which pair ---- */

static struct sockaddr_storage asked_from, asked_to;

int rdma_create_id(struct rdma_event_channel *ch, struct rdma_cm_id **id, void *context_of,
		   enum rdma_port_space ps)
{
	static struct rdma_cm_id one;

	(void)ch, (void)context_of, (void)ps;
	*id = &one;
	return 0;
}

int rdma_destroy_id(struct rdma_cm_id *id)
{
	(void)id;
	return 0;
}

int rdma_resolve_addr(struct rdma_cm_id *id, struct sockaddr *from, struct sockaddr *to, int ms)
{
	(void)id, (void)ms;
	memcpy(&asked_from, from, sizeof(struct sockaddr_in6));
	memcpy(&asked_to, to, sizeof(struct sockaddr_in6));
	return 0;
}

__be16 rdma_get_src_port(struct rdma_cm_id *id)
{
	(void)id;
	return 0;
}

/* "ADDRESS/BITS ADDRESS/BITS ..." are the device's. */
static void have(const char *text)
{
	char word[64];
	int n;

	dev->port.naddrs = 0;
	for (; sscanf(text, " %63[^/]/%n", word, &n) == 1; dev->port.naddrs++) {
		struct verbs_addr *a = &dev->port.addrs[dev->port.naddrs];

		to_addr(word, &a->ss);
		a->prefix = (uint8_t)strtol(text + n, (char **)(uintptr_t)&text, 10);
	}
}

static uint32_t blob_of(const char *text, uint8_t blob[NMTI_RMA_BLOB_MAX])
{
	int n;

	have(text);
	n = nmti_verbs_address(dev, blob, NMTI_RMA_BLOB_MAX);
	assert_true(n > 0);
	return (uint32_t)n;
}

static const struct {
	const char *own, *peer, *from, *to;
	uint32_t fit;
} pairs[] = {
	{ "10.0.0.1/24", "10.0.0.2/24", "10.0.0.1", "10.0.0.2", 2 },
	{ "10.0.0.1/24", "10.0.1.2/24", "10.0.0.1", "10.0.1.2", 1 },
	{ "10.0.0.1/24 10.0.1.1/24", "10.0.2.2/24 10.0.1.2/24", "10.0.1.1", "10.0.1.2", 2 },
	{ "10.0.0.1/24 10.0.1.1/24", "10.0.1.2/24 10.0.0.2/24", "10.0.0.1", "10.0.0.2", 2 },
	{ "10.0.0.1/8", "10.0.1.2/24 10.0.0.2/24", "10.0.0.1", "10.0.0.2", 2 },
	{ "10.0.0.1/25", "10.0.0.129/24", "10.0.0.1", "10.0.0.129", 1 },
	{ "10.0.0.1/24 fd00::1/64", "10.1.0.2/24 fd00::2/64", "fd00::1", "fd00::2", 2 },
	{ "10.0.0.1/24 fd00::1/64", "fd01::2/64", "fd00::1", "fd01::2", 1 },
	{ "10.0.0.1/24", "fd00::2/64", NULL, NULL, 0 },
};

static void test_pairs(void **state)
{
	static const uint8_t token[NMTI_RMA_TOKEN];
	struct nmti_rma_ep_attr attr = { .run_slots = 8, .send_depth = 7, .token = token };
	uint8_t own[NMTI_RMA_BLOB_MAX], peer[NMTI_RMA_BLOB_MAX];

	(void)state;
	adapter_open(4096);
	dev->opt.srq = dev->opt.traffic_class = -1;
	dev->opt.connect_timeout = 1000;
	for (size_t i = 0; i < COUNT(pairs); i++) {
		uint32_t peer_len = blob_of(pairs[i].peer, peer);
		uint32_t own_len = blob_of(pairs[i].own, own);
		struct sockaddr_storage from, to;
		struct nmti_rma_ep *ep;

		assert_int_equal(nmti_verbs_fit(own, own_len, peer, peer_len), pairs[i].fit);
		assert_int_equal(nmti_verbs_fit(peer, peer_len, own, own_len), pairs[i].fit);
		assert_int_equal(nmti_verbs_connect(dev, &attr, peer, peer_len, &ep), 0);
		assert_int_equal(ep->failed, !pairs[i].fit);
		if (pairs[i].fit) {
			to_addr(pairs[i].from, &from);
			to_addr(pairs[i].to, &to);
			assert_memory_equal(&asked_from, &from, sizeof(struct sockaddr_in6));
			assert_memory_equal(&asked_to, &to, sizeof(struct sockaddr_in6));
		}
		nmti_verbs_ep_free(ep);
	}
	dev->port.naddrs = 0;
	adapter_close();
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_gid_wanted),
		cmocka_unit_test(test_infiniband),
		cmocka_unit_test(test_pairs),
	};

	return cmocka_run_group_tests_name("verbs address", tests, NULL, NULL);
}
