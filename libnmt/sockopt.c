/* SPDX-License-Identifier: BSD-2-Clause */
/* TCP sockets with the options of a stream's attributes. */
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "internal.h"

/* Control channel: a peer that is gone is noticed in about two minutes, whatever the data does. */
#define CTL_IDLE_S 60
#define CTL_INTVL_S 10
#define CTL_USER_TIMEOUT_MS 120000

static int set_int(struct nmt_ctx *ctx, int fd, int level, int name, uint32_t value,
		   const char *what)
{
	int v = (int)value, rc;

	if (!setsockopt(fd, level, name, &v, sizeof(v)))
		return 0;
	rc = -errno;
	nmti_err(ctx, "tcp: setting %s to %d: %s", what, v, strerror(-rc));
	return rc;
}

static int set_text(struct nmt_ctx *ctx, int fd, int level, int name, const char *value,
		    const char *what, const char *knob)
{
	int rc;

	if (!value || !*value)
		return 0;
	if (!setsockopt(fd, level, name, value, (socklen_t)strlen(value)))
		return 0;
	rc = -errno;
	nmti_err(ctx, "tcp: %s \"%s\": %s; %s", what, value, strerror(-rc), knob);
	return rc;
}

static int set_keepalive(struct nmt_ctx *ctx, int fd, uint32_t idle, uint32_t intvl, uint32_t cnt)
{
	int rc = set_int(ctx, fd, SOL_SOCKET, SO_KEEPALIVE, 1, "SO_KEEPALIVE");

	if (!rc)
		rc = set_int(ctx, fd, IPPROTO_TCP, TCP_KEEPIDLE, idle, "TCP_KEEPIDLE");
	if (!rc && intvl)
		rc = set_int(ctx, fd, IPPROTO_TCP, TCP_KEEPINTVL, intvl, "TCP_KEEPINTVL");
	if (!rc && cnt)
		rc = set_int(ctx, fd, IPPROTO_TCP, TCP_KEEPCNT, cnt, "TCP_KEEPCNT");
	return rc;
}

static int set_tos(struct nmt_ctx *ctx, int fd, int family, uint32_t tos)
{
	int rc = 0;

	if (family == AF_INET6) /* and IP_TOS for the IPv4 peers of a dual-stack socket */
		rc = set_int(ctx, fd, IPPROTO_IPV6, IPV6_TCLASS, tos, "IPV6_TCLASS");
	return rc ? rc : set_int(ctx, fd, IPPROTO_IP, IP_TOS, tos, "IP_TOS");
}

/* Options that accepted sockets inherit from their listener. */
static int set_inherited(struct nmt_ctx *ctx, int fd, int family, const struct nmt_stream_attr *a,
			 const char *device)
{
	int rc = set_int(ctx, fd, IPPROTO_TCP, TCP_NODELAY, !(a->flags & NMT_STREAM_NAGLE),
			 "TCP_NODELAY");

	if (!rc && a->sndbuf)
		rc = set_int(ctx, fd, SOL_SOCKET, SO_SNDBUF, a->sndbuf, "SO_SNDBUF");
	if (!rc && a->rcvbuf)
		rc = set_int(ctx, fd, SOL_SOCKET, SO_RCVBUF, a->rcvbuf, "SO_RCVBUF");
	if (!rc && a->user_timeout_ms)
		rc = set_int(ctx, fd, IPPROTO_TCP, TCP_USER_TIMEOUT, a->user_timeout_ms,
			     "TCP_USER_TIMEOUT");
	if (!rc && a->keepalive_idle)
		rc = set_keepalive(ctx, fd, a->keepalive_idle, a->keepalive_intvl,
				   a->keepalive_cnt);
	if (!rc && a->tos)
		rc = set_tos(ctx, fd, family, a->tos);
	if (!rc && a->busy_poll_us)
		rc = set_int(ctx, fd, SOL_SOCKET, SO_BUSY_POLL, a->busy_poll_us, "SO_BUSY_POLL");
	if (!rc)
		rc = set_text(ctx, fd, IPPROTO_TCP, TCP_CONGESTION, a->congestion,
			      "congestion control",
			      "see net.ipv4.tcp_available_congestion_control");
	if (!rc)
		rc = set_text(ctx, fd, SOL_SOCKET, SO_BINDTODEVICE,
			      a->bind_device ? a->bind_device : device, "bind to device",
			      "see ip link");
	return rc;
}

int nmti_socket_tune(struct nmt_ctx *ctx, int fd, const struct nmt_stream_attr *attr)
{
	int family = AF_INET6;
	socklen_t len = sizeof(family);

	if (!(attr->flags & NMT_STREAM_NAGLE) && !attr->sndbuf && !attr->rcvbuf &&
	    !attr->user_timeout_ms && !attr->keepalive_idle && !attr->tos &&
	    !attr->busy_poll_us && !attr->congestion)
		return 0;
	getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &len);
	return set_inherited(ctx, fd, family, attr, NULL);
}

int nmti_socket(struct nmt_ctx *ctx, int family, const struct nmt_stream_attr *attr,
		const char *device)
{
	int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int rc;

	if (fd < 0)
		return -errno;
	rc = set_inherited(ctx, fd, family, attr, device);
	if (rc) {
		close(fd);
		return rc;
	}
	return fd;
}

void nmti_socket_control(int fd, const struct nmt_stream_attr *a)
{
	int on = 1, idle = CTL_IDLE_S, intvl = CTL_INTVL_S;
	int limit = CTL_USER_TIMEOUT_MS;

	if (a->keepalive_idle)
		idle = (int)a->keepalive_idle;
	if (a->keepalive_intvl)
		intvl = (int)a->keepalive_intvl;
	/*
	 * Liveness is an extra: a kernel without these still carries the stream. The user time-out
	 * decides, not the count of probes (tcp(7)).
	 */
	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &intvl, sizeof(intvl));
	setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &limit, sizeof(limit));
}

int nmti_connect_result(int fd, uint32_t events)
{
	int err = 0;
	socklen_t len = sizeof(err);

	if (!(events & (EPOLLOUT | EPOLLERR | EPOLLHUP)))
		return -EAGAIN;
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len))
		return -errno;
	return -err;
}
