/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The endpoints of raw-write on libfabric. The two ends meet over a TCP socket of their own: the
 * client says its session, the server answers with its address, the client with its own. Connected
 * endpoints are then connected, datagram ones put the peer into their address vector. At the end
 * each says over the socket that it is through, and drives its endpoint until the other is.
 */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "raw_ofi.h"

#define STEP_MS 50 /* between looks at the phase */
#define WAIT_MS 10000
#define ACCEPT_MS 60000
#define WIRE_LEN (4 * 8 + OFI_NAME_MAX)
#define KEY 17 /* where the provider has none of its own */

static int failed(struct worker *w, const char *what, int err)
{
	return worker_fail(w, err, "raw-write: %s: %s", what, fi_strerror(-err));
}

/* ---- the spec: ofi/PROVIDER, ofi/PROVIDER:msg, ofi/PROVIDER:rdm ---- */

static int parse_spec(struct worker *w, char *name, size_t len)
{
	struct raw_ofi *o = ofi_of(w);
	const char *spec = w->run->p.provider, *slash = strchr(spec, '/');
	char *type;

	snprintf(name, len, "%s", slash ? slash + 1 : "");
	type = strchr(name, ':');
	if (type)
		*type++ = '\0';
	if (!*name || (type && strcmp(type, "rdm") && strcmp(type, "msg")))
		return worker_fail(w, -EINVAL, "raw-write: --provider %s: write ofi/tcp, ofi/tcp:rdm "
				   "or ofi/shm", spec);
	if (type)
		o->type = strcmp(type, "msg") ? FI_EP_RDM : FI_EP_MSG;
	else
		o->type = strcmp(name, "tcp") ? FI_EP_RDM : FI_EP_MSG;
	return 0;
}

/* ---- the socket ---- */

/* Wait for EVENTS at FD. */
static int wait_fd(struct worker *w, int fd, short events, int ms)
{
	struct pollfd pfd = { .fd = fd, .events = events };

	for (; ms > 0; ms -= STEP_MS) {
		if (run_phase_now(w->run) == PHASE_ABORT)
			return -ECANCELED;
		if (poll(&pfd, 1, STEP_MS) > 0)
			return 0;
	}
	return -ETIMEDOUT;
}

static int send_all(struct worker *w, const void *buf, size_t len)
{
	ssize_t n = send(ofi_of(w)->sock, buf, len, MSG_NOSIGNAL);

	return n == (ssize_t)len ? 0 : failed(w, "telling the peer", n < 0 ? -errno : -EIO);
}

/* LEN bytes, or an error that nobody was told of. */
static int read_all(struct worker *w, void *buf, size_t len)
{
	int fd = ofi_of(w)->sock, err = 0;
	ssize_t n;

	for (size_t at = 0; at < len; at += (size_t)n) {
		err = wait_fd(w, fd, POLLIN, WAIT_MS);
		if (err < 0)
			return err;
		n = recv(fd, (char *)buf + at, len - at, 0);
		if (n <= 0)
			return n < 0 ? -errno : -ECONNRESET;
	}
	return 0;
}

int ofi_listen(struct worker *w, uint16_t port)
{
	struct sockaddr_storage sa = { 0 };
	socklen_t len = sizeof(sa);
	struct raw_ofi *o = ofi_of(w);
	struct addrinfo *list;
	char service[8], name[64];
	int err, on = 1;

	o->listener = o->sock = -1;
	err = parse_spec(w, name, sizeof(name));
	if (err == 0)
		err = raw_address(w, w->run->listen_host, port, &list);
	if (err < 0)
		return err;
	o->listener = socket(list->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	setsockopt(o->listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (o->listener < 0 || bind(o->listener, list->ai_addr, list->ai_addrlen) < 0 ||
	    listen(o->listener, 8) < 0)
		err = failed(w, "listening", -errno);
	freeaddrinfo(list);
	if (err == 0 && getsockname(o->listener, (struct sockaddr *)&sa, &len) == 0 &&
	    getnameinfo((struct sockaddr *)&sa, len, NULL, 0, service, sizeof(service),
			NI_NUMERICSERV) == 0)
		w->port = (uint16_t)atoi(service);
	return err;
}

/* The client of this session; others are sent away. */
static int accept_socket(struct worker *w)
{
	struct raw_ofi *o = ofi_of(w);
	uint64_t session = 0;
	int err;

	while (o->sock < 0) {
		err = wait_fd(w, o->listener, POLLIN, ACCEPT_MS);
		if (err < 0)
			return err == -ETIMEDOUT ? failed(w, "no client", err) : err;
		o->sock = accept(o->listener, NULL, NULL);
		if (o->sock < 0 || (read_all(w, &session, sizeof(session)) == 0 &&
				    be64toh(session) == w->run->p.session))
			continue;
		close(o->sock);
		o->sock = -1;
	}
	return 0;
}

static int dial(struct worker *w, const struct addrinfo *to, const struct addrinfo *from)
{
	struct raw_ofi *o = ofi_of(w);

	o->sock = socket(to->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (o->sock < 0 || (from && bind(o->sock, from->ai_addr, from->ai_addrlen) < 0) ||
	    connect(o->sock, to->ai_addr, to->ai_addrlen) < 0)
		return failed(w, "connecting", -errno);
	return 0;
}

static int connect_socket(struct worker *w)
{
	struct addrinfo *to, *from;
	uint64_t session = htobe64(w->run->p.session);
	int err = raw_ends(w, &to, &from);

	if (err == 0)
		err = dial(w, to, from);
	raw_free_ends(to, from);
	return err ? err : send_all(w, &session, sizeof(session));
}

/* ---- hellos ---- */

static int send_hello(struct worker *w)
{
	struct raw_ofi *o = ofi_of(w);
	uint8_t wire[WIRE_LEN] = { 0 };
	size_t len = OFI_NAME_MAX;
	bool virt = o->info->domain_attr->mr_mode & FI_MR_VIRT_ADDR;
	uint64_t head[4] = { htobe64(w->run->p.session) };
	int err = fi_getname(o->pep ? &o->pep->fid : &o->ep->fid, wire + 32, &len);

	if (err < 0)
		return failed(w, "the endpoint's name", err);
	head[1] = htobe64((virt ? (uintptr_t)o->raw.buf : 0) + w->run->p.size);
	head[2] = htobe64(fi_mr_key(o->mr));
	head[3] = htobe64(len);
	memcpy(wire, head, sizeof(head));
	return send_all(w, wire, sizeof(wire));
}

static int take_hello(struct worker *w)
{
	struct ofi_hello *h = &ofi_of(w)->peer;
	uint8_t wire[WIRE_LEN];
	uint64_t head[4];
	int err = read_all(w, wire, sizeof(wire));

	if (err < 0)
		return err == -ECANCELED ? err : failed(w, "waiting for the peer's address", err);
	memcpy(head, wire, sizeof(head));
	h->session = be64toh(head[0]);
	h->addr = be64toh(head[1]);
	h->key = be64toh(head[2]);
	h->name_len = be64toh(head[3]);
	memcpy(h->name, wire + 32, sizeof(h->name));
	if (h->session != w->run->p.session || !h->name_len || h->name_len > sizeof(h->name))
		return worker_fail(w, -EPROTO, "raw-write: the other end is not of this session");
	return 0;
}

/* ---- fabric, domain, memory ---- */

static void fill_hints(const struct raw_ofi *o, struct fi_info *h, const char *name)
{
	h->caps = FI_MSG | FI_RMA;
	h->mode = FI_RX_CQ_DATA;
	h->ep_attr->type = o->type;
	h->fabric_attr->prov_name = strdup(name);
	h->domain_attr->threading = FI_THREAD_DOMAIN;
	h->domain_attr->resource_mgmt = FI_RM_ENABLED;
	h->domain_attr->cq_data_size = 4;
	h->domain_attr->mr_mode = FI_MR_LOCAL | FI_MR_VIRT_ADDR | FI_MR_ALLOCATED |
				  FI_MR_PROV_KEY | FI_MR_ENDPOINT;
}

/* The host's own address of the socket, for fabrics that have addresses of that kind. */
static int own_host(const struct raw_ofi *o, char host[NI_MAXHOST])
{
	struct sockaddr_storage sa = { 0 };
	socklen_t len = sizeof(sa);

	if (getsockname(o->sock, (struct sockaddr *)&sa, &len) < 0)
		return -errno;
	return getnameinfo((struct sockaddr *)&sa, len, host, NI_MAXHOST, NULL, 0,
			   NI_NUMERICHOST) ? -EIO : 0;
}

static int find_fabric(struct worker *w, const char *name, struct fi_info *hints)
{
	struct raw_ofi *o = ofi_of(w);
	char host[NI_MAXHOST];
	bool dials = o->type == FI_EP_MSG && !w->run->server;
	int err;

	if (dials) {
		hints->dest_addr = malloc(o->peer.name_len);
		hints->dest_addrlen = o->peer.name_len;
		if (!hints->dest_addr)
			return -ENOMEM;
		memcpy(hints->dest_addr, o->peer.name, o->peer.name_len);
	}
	if (dials || strcmp(name, "shm") == 0 || own_host(o, host) < 0)
		return fi_getinfo(FI_VERSION(1, 17), NULL, NULL, 0, hints, &o->info);
	/* An address of an IPv4 peer that an IPv6 socket shows. */
	err = fi_getinfo(FI_VERSION(1, 17), strncmp(host, "::ffff:", 7) ? host : host + 7, NULL,
			 FI_SOURCE, hints, &o->info);
	return err == -FI_ENODATA
		? fi_getinfo(FI_VERSION(1, 17), NULL, NULL, 0, hints, &o->info) : err;
}

static int open_info(struct worker *w)
{
	struct raw_ofi *o = ofi_of(w);
	struct fi_info *hints = fi_allocinfo();
	char name[64];
	int err = parse_spec(w, name, sizeof(name));

	if (err < 0 || !hints)
		return err < 0 ? err : failed(w, "libfabric", -ENOMEM);
	fill_hints(o, hints, name);
	err = find_fabric(w, name, hints);
	fi_freeinfo(hints);
	if (err == 0)
		return 0;
	return worker_fail(w, -ENODEV, "raw-write: libfabric has no provider %s with %s endpoints and "
			   "remote writes with data here: %s (fi_info -l lists providers)", name,
			   o->type == FI_EP_MSG ? "connected" : "datagram", fi_strerror(-err));
}

static int open_domain(struct worker *w)
{
	struct raw_ofi *o = ofi_of(w);
	struct fi_eq_attr eq = { .wait_obj = FI_WAIT_UNSPEC };
	struct fi_cq_attr cq = { .format = FI_CQ_FORMAT_DATA, .wait_obj = FI_WAIT_NONE };
	int err = fi_fabric(o->info->fabric_attr, &o->fabric, NULL);

	if (err == 0)
		err = fi_domain(o->fabric, o->info, &o->domain, NULL);
	if (err == 0 && o->type == FI_EP_MSG)
		err = fi_eq_open(o->fabric, &eq, &o->eq, NULL);
	cq.size = w->run->p.depth + RAW_CREDITS + 1 + RAW_RECVS;
	if (err == 0)
		err = fi_cq_open(o->domain, &cq, &o->cq, NULL);
	o->raw.takes_recvs = o->info->mode & FI_RX_CQ_DATA;
	return err ? failed(w, "opening a domain", err) : 0;
}

static int open_memory(struct worker *w)
{
	struct raw_ofi *o = ofi_of(w);
	size_t len;
	int err = raw_open_buffer(w, &len);

	if (err < 0)
		return err;
	err = fi_mr_reg(o->domain, o->raw.buf, len, FI_WRITE | FI_REMOTE_WRITE, 0, KEY, 0, &o->mr,
			NULL);
	return err ? failed(w, "registering memory (ulimit -l)", err) : 0;
}

static int open_fabric(struct worker *w)
{
	int err = open_info(w);

	if (err == 0)
		err = open_domain(w);
	return err ? err : open_memory(w);
}

/* ---- endpoints ---- */

static int bind_memory(struct raw_ofi *o)
{
	int err = 0;

	if (o->info->domain_attr->mr_mode & FI_MR_ENDPOINT) {
		err = fi_mr_bind(o->mr, &o->ep->fid, 0);
		if (err == 0)
			err = fi_mr_enable(o->mr);
	}
	return err;
}

static int open_endpoint(struct worker *w, struct fi_info *info)
{
	struct raw_ofi *o = ofi_of(w);
	struct fi_av_attr av = { .type = FI_AV_UNSPEC, .count = 1 };
	int err = fi_endpoint(o->domain, info, &o->ep, NULL);

	if (err == 0 && o->type == FI_EP_RDM)
		err = fi_av_open(o->domain, &av, &o->av, NULL);
	if (err == 0)
		err = fi_ep_bind(o->ep, o->av ? &o->av->fid : &o->eq->fid, 0);
	if (err == 0)
		err = fi_ep_bind(o->ep, &o->cq->fid, FI_TRANSMIT | FI_SELECTIVE_COMPLETION);
	if (err == 0)
		err = fi_ep_bind(o->ep, &o->cq->fid, FI_RECV);
	if (err == 0)
		err = fi_enable(o->ep);
	if (err == 0)
		err = bind_memory(o);
	if (err)
		return failed(w, "making an endpoint", err);
	return o->raw.takes_recvs ? raw_post_recvs(&o->raw) : 0;
}

/* The next event, of which the information of a request is kept in *INFO. */
static int next_event(struct worker *w, uint32_t want, struct fi_info **info)
{
	struct raw_ofi *o = ofi_of(w);
	struct fi_eq_cm_entry entry = { 0 };
	struct fi_eq_err_entry e = { 0 };
	uint32_t got = 0;
	ssize_t n = -FI_EAGAIN;

	for (int ms = WAIT_MS; n == -FI_EAGAIN && ms > 0; ms -= STEP_MS) {
		if (run_phase_now(w->run) == PHASE_ABORT)
			return -ECANCELED;
		n = fi_eq_sread(o->eq, &got, &entry, sizeof(entry), STEP_MS, 0);
	}
	if (n == -FI_EAVAIL && fi_eq_readerr(o->eq, &e, 0) > 0)
		return failed(w, "connecting the endpoints", -e.err);
	if (n < 0 || got != want)
		return failed(w, "connecting the endpoints", n < 0 ? (int)n : -ECONNREFUSED);
	if (info)
		*info = entry.info;
	return 0;
}

static int listen_endpoint(struct worker *w)
{
	struct raw_ofi *o = ofi_of(w);
	int err = fi_passive_ep(o->fabric, o->info, &o->pep, NULL);

	if (err == 0)
		err = fi_pep_bind(o->pep, &o->eq->fid, 0);
	if (err == 0)
		err = fi_listen(o->pep);
	return err ? failed(w, "listening with an endpoint", err) : 0;
}

static int accept_endpoint(struct worker *w)
{
	struct raw_ofi *o = ofi_of(w);
	struct fi_info *info = NULL;
	int err = next_event(w, FI_CONNREQ, &info);

	if (err < 0)
		return err;
	err = open_endpoint(w, info);
	fi_freeinfo(info);
	if (err < 0)
		return err;
	err = fi_accept(o->ep, NULL, 0);
	return err ? failed(w, "accepting", err) : next_event(w, FI_CONNECTED, NULL);
}

static int connect_endpoint(struct worker *w)
{
	struct raw_ofi *o = ofi_of(w);
	int err = fi_connect(o->ep, o->peer.name, NULL, 0);

	return err ? failed(w, "connecting", err) : next_event(w, FI_CONNECTED, NULL);
}

static int know_peer(struct worker *w)
{
	struct raw_ofi *o = ofi_of(w);
	int n = fi_av_insert(o->av, o->peer.name, 1, &o->dest, 0, NULL);

	return n == 1 ? 0 : failed(w, "the peer's address", n < 0 ? n : -EINVAL);
}

/* ---- both ends ---- */

int ofi_accept(struct worker *w)
{
	struct raw_ofi *o = ofi_of(w);
	bool connected = o->type == FI_EP_MSG;
	int err = accept_socket(w);

	if (err == 0)
		err = open_fabric(w);
	if (err == 0)
		err = connected ? listen_endpoint(w) : open_endpoint(w, o->info);
	if (err == 0)
		err = send_hello(w);
	if (err == 0)
		err = take_hello(w);
	if (err < 0)
		return err;
	return connected ? accept_endpoint(w) : know_peer(w);
}

static void note_path(struct worker *w)
{
	struct nmt_stream_info *i = &w->run->path.begin;
	const struct raw_ofi *o = ofi_of(w);
	struct sockaddr_storage sa = { 0 };
	socklen_t len = sizeof(sa);

	*i = (struct nmt_stream_info)NMT_STREAM_INFO_INIT;
	i->mode = NMT_MODE_RAW;
	i->rails = 1;
	snprintf(i->provider, sizeof(i->provider), "ofi");
	snprintf(i->device, sizeof(i->device), "%s", o->info->fabric_attr->prov_name);
	if (getsockname(o->sock, (struct sockaddr *)&sa, &len) == 0)
		raw_print_addr((struct sockaddr *)&sa, i->local);
	len = sizeof(sa);
	if (getpeername(o->sock, (struct sockaddr *)&sa, &len) == 0)
		raw_print_addr((struct sockaddr *)&sa, i->peer);
	w->run->path.end = *i;
}

int ofi_connect(struct worker *w)
{
	struct raw_ofi *o = ofi_of(w);
	char name[64];
	int err;

	o->listener = o->sock = -1;
	err = parse_spec(w, name, sizeof(name));
	if (err == 0)
		err = connect_socket(w);
	if (err == 0)
		err = take_hello(w);
	if (err == 0)
		err = open_fabric(w);
	if (err == 0)
		err = open_endpoint(w, o->info);
	if (err == 0)
		err = send_hello(w);
	if (err == 0)
		err = o->type == FI_EP_MSG ? connect_endpoint(w) : know_peer(w);
	if (err == 0)
		note_path(w);
	return err;
}

/* ---- the end ---- */

void ofi_bye(struct worker *w)
{
	struct raw_ofi *o = ofi_of(w);
	int64_t end = clock_ns() + INT64_C(1000000) * RAW_BYE_MS;
	struct fi_cq_data_entry e;
	ssize_t n = 0;
	char c = 0;

	if (send_all(w, &c, 1) < 0)
		return;
	while (recv(o->sock, &c, 1, MSG_DONTWAIT) < 0 && (n >= 0 || n == -FI_EAGAIN) &&
	       clock_ns() < end && run_phase_now(w->run) != PHASE_ABORT)
		n = fi_cq_read(o->cq, &e, 1);
}

static void close_fid(void *fid)
{
	if (fid)
		fi_close(fid);
}

void ofi_close(struct worker *w)
{
	struct raw_ofi *o = ofi_of(w);

	close_fid(o->ep);
	close_fid(o->pep);
	close_fid(o->mr);
	close_fid(o->av);
	close_fid(o->cq);
	close_fid(o->eq);
	close_fid(o->domain);
	close_fid(o->fabric);
	fi_freeinfo(o->info);
	if (o->sock >= 0)
		close(o->sock);
	if (o->listener >= 0)
		close(o->listener);
}
