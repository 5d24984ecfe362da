/* SPDX-License-Identifier: BSD-2-Clause */
/* What there is to see and to set: devices, options of an open stream, its state. */
#include <dirent.h>
#include <limits.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "tcp.h"

/* ---- options ---- */

static const struct {
	enum nmt_opt opt;
	int level, name;
	int max;
} int_opts[] = {
	{ NMT_OPT_NODELAY, IPPROTO_TCP, TCP_NODELAY, 1 },
	{ NMT_OPT_SNDBUF, SOL_SOCKET, SO_SNDBUF, INT_MAX },
	{ NMT_OPT_RCVBUF, SOL_SOCKET, SO_RCVBUF, INT_MAX },
	{ NMT_OPT_KEEPALIVE_IDLE, IPPROTO_TCP, TCP_KEEPIDLE, INT_MAX },
	{ NMT_OPT_USER_TIMEOUT, IPPROTO_TCP, TCP_USER_TIMEOUT, INT_MAX },
};

static int family_of(int fd)
{
	int family = AF_INET;
	socklen_t len = sizeof(family);

	getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &len);
	return family;
}

static int find(int fd, enum nmt_opt opt, int *level, int *name, int *max)
{
	for (size_t i = 0; i < sizeof(int_opts) / sizeof(int_opts[0]); i++) {
		if (int_opts[i].opt != opt)
			continue;
		*level = int_opts[i].level;
		*name = int_opts[i].name;
		*max = int_opts[i].max;
		return 0;
	}
	if (opt != NMT_OPT_TOS)
		return -ENOPROTOOPT;
	*max = 255;
	*level = family_of(fd) == AF_INET6 ? IPPROTO_IPV6 : IPPROTO_IP;
	*name = family_of(fd) == AF_INET6 ? IPV6_TCLASS : IP_TOS;
	return 0;
}

/* 0 seconds switch keepalive off; any other value switches it on. */
static int set_keepalive(int fd, int seconds)
{
	int on = seconds != 0;

	return setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on)) ? -errno : 0;
}

int nmti_tcp_setopt(struct nmt_stream *s, enum nmt_opt opt, const void *val, size_t len)
{
	int fd = tcp_of(s)->src.fd, level, name, max, v, rc;
	int64_t wide;

	if (opt == NMT_OPT_CONGESTION) {
		rc = setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, val, (socklen_t)len);
		return rc ? -errno : 0;
	}
	rc = find(fd, opt, &level, &name, &max);
	if (rc)
		return rc;
	memcpy(&wide, val, sizeof(wide));
	if (wide < 0 || wide > max)
		return -EINVAL;
	v = (int)wide;
	if (opt == NMT_OPT_KEEPALIVE_IDLE && !v)
		return set_keepalive(fd, v);
	if (setsockopt(fd, level, name, &v, sizeof(v)))
		return -errno;
	return opt == NMT_OPT_KEEPALIVE_IDLE ? set_keepalive(fd, v) : 0;
}

static int get_congestion(int fd, void *val, size_t *len)
{
	socklen_t n = (socklen_t)*len;

	if (getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, val, &n))
		return -errno;
	*len = strnlen(val, n);
	return 0;
}

int nmti_tcp_getopt(struct nmt_stream *s, enum nmt_opt opt, void *val, size_t *len)
{
	int fd = tcp_of(s)->src.fd, level, name, max, v = 0, on = 1, rc;
	socklen_t n = sizeof(v);
	int64_t wide;

	if (opt == NMT_OPT_CONGESTION)
		return get_congestion(fd, val, len);
	rc = find(fd, opt, &level, &name, &max);
	if (rc)
		return rc;
	if (getsockopt(fd, level, name, &v, &n))
		return -errno;
	if (opt == NMT_OPT_KEEPALIVE_IDLE) {
		n = sizeof(on);
		getsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, &n);
	}
	wide = on ? v : 0;
	memcpy(val, &wide, sizeof(wide));
	*len = sizeof(wide);
	return 0;
}

/* ---- state ---- */

void nmti_tcp_info(const struct nmt_stream *s, struct nmt_stream_info *info)
{
	const struct tcp_stream *ts = tcp_of(s);
	int n = 0;

	if (s->tune.mode == NMT_MODE_NEGOTIATED)
		info->caps &= ~(NMT_CAP_RAW | NMT_CAP_FD);
	if (!s->records)
		info->caps &= ~NMT_CAP_RECORDS;
	info->unsent = ts->wire_queued - ts->wire_sent;
	if (nmti_tcp_unsent(ts))
		info->waits |= NMT_WAIT_QUEUE;
	if (ts->src.fd < 0)
		return;
	nmti_addr_of_socket(ts->src.fd, false, info->local);
	nmti_addr_of_socket(ts->src.fd, true, info->peer);
	if (!ioctl(ts->src.fd, SIOCOUTQ, &n))
		info->unacked = (uint64_t)n;
}

/* ---- devices ---- */

static int read_number(const char *dev, const char *file, int fallback)
{
	char path[128];

	snprintf(path, sizeof(path), "/sys/class/net/%s/%s", dev, file);
	return nmti_sysfs_number(path, fallback);
}

static void read_pci(const char *dev, char *out, size_t len)
{
	char path[128];

	snprintf(path, sizeof(path), "/sys/class/net/%s/device", dev);
	nmti_sysfs_pci(path, out, len);
}

#define IFF_UP_LOOPBACK(flags) (((flags) & IFF_UP ? NMT_INFO_UP : 0) |                             \
				((flags) & IFF_LOOPBACK ? NMT_INFO_LOOPBACK : 0))

static unsigned int if_flags(const char *dev)
{
	char path[128];
	unsigned int flags = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/sys/class/net/%s/flags", dev);
	f = fopen(path, "re");
	if (!f)
		return 0;
	if (fscanf(f, "%x", &flags) != 1)
		flags = 0;
	fclose(f);
	return flags;
}

static void describe(const char *dev, struct nmt_info *info)
{
	int speed = read_number(dev, "speed", 0);

	snprintf(info->device, sizeof(info->device), "%s", dev);
	info->numa_node = read_number(dev, "device/numa_node", -1);
	info->mtu = (uint32_t)read_number(dev, "mtu", 0);
	info->speed_mbps = speed > 0 ? (uint32_t)speed : 0;
	info->flags |= IFF_UP_LOOPBACK(if_flags(dev));
	read_pci(dev, info->pci, sizeof(info->pci));
	if (!(info->flags & NMT_INFO_UP)) {
		info->status = -ENETDOWN;
		snprintf(info->reason, sizeof(info->reason), "the interface is down (ip link set %s up)",
			 info->device);
	}
}

int nmti_tcp_query(struct nmt_ctx *ctx, nmti_info_fn *emit, void *arg)
{
	struct nmt_info any = { .size = sizeof(any), .numa_node = -1, .device = "any" };
	struct if_nameindex *list = if_nameindex();
	int rc = 0;

	(void)ctx;
	if (!list || access("/sys/class/net", X_OK)) { /* works, but there is nothing to tell */
		if (list)
			if_freenameindex(list);
		return emit(arg, &any);
	}
	for (struct if_nameindex *i = list; i->if_index && !rc; i++) {
		struct nmt_info info = { .size = sizeof(info), .numa_node = -1 };

		describe(i->if_name, &info);
		rc = emit(arg, &info);
	}
	if_freenameindex(list);
	return rc;
}
