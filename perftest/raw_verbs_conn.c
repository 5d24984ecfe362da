/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The queue pair of raw-write on libibverbs, connected by librdmacm. Where each end may write is told in the
 * private data of the handshake, with the session, so that nobody else gets in.
 */
#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "raw_verbs.h"

#define STEP_MS 50 /* between looks at the phase */
#define RESOLVE_MS 5000
#define HELLO_LEN 20u

struct cm_event {
	enum rdma_cm_event_type type;
	struct rdma_cm_id *id;
	int status;
	struct verbs_hello hello;
};

static int failed(struct worker *w, const char *what)
{
	int err = errno ? errno : EIO;

	return worker_fail(w, -err, "raw-write: %s: %s", what, strerror(err));
}

/* ---- private data ---- */

static void put_hello(const struct worker *w, uint8_t buf[HELLO_LEN])
{
	const struct raw_verbs *r = verbs_of(w);
	uint64_t session = htobe64(w->run->p.session);
	uint64_t addr = htobe64((uintptr_t)r->raw.buf + w->run->p.size);
	uint32_t rkey = htobe32(r->mr->rkey);

	memcpy(buf, &session, 8);
	memcpy(buf + 8, &addr, 8);
	memcpy(buf + 16, &rkey, 4);
}

static void get_hello(const struct rdma_conn_param *param, struct verbs_hello *h)
{
	const uint8_t *buf = param->private_data;

	memset(h, 0, sizeof(*h));
	if (!buf || param->private_data_len < HELLO_LEN)
		return;
	memcpy(&h->session, buf, 8);
	memcpy(&h->addr, buf + 8, 8);
	memcpy(&h->rkey, buf + 16, 4);
	h->session = be64toh(h->session);
	h->addr = be64toh(h->addr);
	h->rkey = be32toh(h->rkey);
}

/* ---- events of the handshake ---- */

/* The next one, or -ETIMEDOUT after MS, or -ECANCELED. */
static int next_event(struct worker *w, int ms, struct cm_event *out)
{
	struct raw_verbs *r = verbs_of(w);
	struct pollfd pfd = { .fd = r->channel->fd, .events = POLLIN };
	struct rdma_cm_event *ev;

	while (rdma_get_cm_event(r->channel, &ev)) {
		if (errno != EAGAIN)
			return failed(w, "waiting for the connection");
		if (run_phase_now(w->run) == PHASE_ABORT)
			return -ECANCELED;
		if (ms <= 0)
			return -ETIMEDOUT;
		poll(&pfd, 1, STEP_MS);
		ms -= STEP_MS;
	}
	*out = (struct cm_event){ .type = ev->event, .id = ev->id, .status = ev->status };
	if (ev->event == RDMA_CM_EVENT_CONNECT_REQUEST || ev->event == RDMA_CM_EVENT_ESTABLISHED)
		get_hello(&ev->param.conn, &out->hello);
	rdma_ack_cm_event(ev);
	return 0;
}

static int expect(struct worker *w, enum rdma_cm_event_type want, struct cm_event *ev)
{
	int err = next_event(w, RESOLVE_MS, ev);

	if (err == -ETIMEDOUT)
		return worker_fail(w, err, "raw-write: no %s", rdma_event_str(want));
	if (err == 0 && ev->type != want)
		err = worker_fail(w, -ECONNREFUSED, "raw-write: %s instead of %s (status %d)",
				  rdma_event_str(ev->type), rdma_event_str(want), ev->status);
	return err;
}

/* ---- memory, queues ---- */

static int check_device(struct worker *w)
{
	const char *want = strchr(w->run->p.provider, '/');
	const char *have = ibv_get_device_name(verbs_of(w)->id->verbs->device);

	if (!want || strcmp(want + 1, have) == 0)
		return 0;
	return worker_fail(w, -ENODEV, "raw-write: these addresses belong to %s, not to %s (choose "
			   "the host's address, and --local)", have, want + 1);
}

static int open_memory(struct worker *w)
{
	struct raw_verbs *r = verbs_of(w);
	size_t len;
	int err = raw_open_buffer(w, &len);

	if (err < 0)
		return err;
	r->mr = ibv_reg_mr(r->id->pd, r->raw.buf, len,
			   IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE);
	return r->mr ? 0 : failed(w, "registering memory (ulimit -l)");
}

static int create_qp(struct worker *w)
{
	struct raw_verbs *r = verbs_of(w);
	struct ibv_qp_init_attr attr = {
		.send_cq = r->cq,
		.recv_cq = r->cq,
		.cap = { .max_send_wr = w->run->p.depth + RAW_CREDITS + 1, .max_recv_wr = RAW_RECVS,
			 .max_send_sge = 1, .max_recv_sge = 1, .max_inline_data = 256 },
		.qp_type = IBV_QPT_RC,
	};

	if (rdma_create_qp(r->id, NULL, &attr)) {
		attr.cap.max_inline_data = 0;
		if (rdma_create_qp(r->id, NULL, &attr))
			return failed(w, "making a queue pair");
	}
	r->inlined = w->run->p.size <= attr.cap.max_inline_data;
	return 0;
}

static int open_queues(struct worker *w)
{
	struct raw_verbs *r = verbs_of(w);
	int entries = (int)(w->run->p.depth + RAW_CREDITS + 1 + RAW_RECVS);
	int err = check_device(w);

	if (err < 0)
		return err;
	r->events = ibv_create_comp_channel(r->id->verbs);
	if (r->events)
		r->cq = ibv_create_cq(r->id->verbs, entries, NULL, r->events, 0);
	if (!r->cq)
		return failed(w, "making a completion queue");
	err = create_qp(w);
	if (err == 0)
		err = open_memory(w);
	return err ? err : raw_post_recvs(&r->raw);
}

/* ---- connecting ---- */

static int open_channel(struct worker *w, struct rdma_cm_id **id)
{
	struct raw_verbs *r = verbs_of(w);

	r->raw.takes_recvs = true;
	r->channel = rdma_create_event_channel();
	if (!r->channel)
		return failed(w, "no RDMA connection manager (modprobe rdma_ucm)");
	fcntl(r->channel->fd, F_SETFL, O_NONBLOCK);
	if (rdma_create_id(r->channel, id, NULL, RDMA_PS_TCP))
		return failed(w, "rdma_create_id");
	return 0;
}

int verbs_listen(struct worker *w, uint16_t port)
{
	struct rdma_cm_id *id = NULL;
	struct addrinfo *list;
	int err = open_channel(w, &id);

	if (err < 0)
		return err;
	verbs_of(w)->listen = id;
	err = raw_address(w, w->run->listen_host, port, &list);
	if (err < 0)
		return err;
	if (rdma_bind_addr(id, list->ai_addr) || rdma_listen(id, 8))
		err = failed(w, "listening (has an RDMA device this address?)");
	freeaddrinfo(list);
	w->port = ntohs(rdma_get_src_port(id));
	return err;
}

static struct rdma_conn_param conn_param(const struct worker *w, uint8_t hello[HELLO_LEN])
{
	put_hello(w, hello);
	return (struct rdma_conn_param){ .private_data = hello, .private_data_len = HELLO_LEN,
		.responder_resources = 1, .initiator_depth = 1, .retry_count = 7,
		.rnr_retry_count = 7 };
}

static int take_hello(struct worker *w, const struct cm_event *ev)
{
	if (ev->hello.session != w->run->p.session)
		return worker_fail(w, -EPROTO, "raw-write: the other end is not of this session");
	verbs_of(w)->peer = ev->hello;
	return 0;
}

int verbs_accept(struct worker *w)
{
	struct rdma_conn_param param;
	uint8_t hello[HELLO_LEN];
	struct raw_verbs *r = verbs_of(w);
	struct cm_event ev;
	int err;

	do {
		err = next_event(w, 60000, &ev);
		if (err < 0)
			return err;
		if (ev.type == RDMA_CM_EVENT_CONNECT_REQUEST &&
		    ev.hello.session != w->run->p.session) {
			rdma_reject(ev.id, NULL, 0);
			rdma_destroy_id(ev.id);
		}
	} while (ev.type != RDMA_CM_EVENT_CONNECT_REQUEST || ev.hello.session != w->run->p.session);
	r->id = ev.id;
	err = take_hello(w, &ev);
	if (err == 0)
		err = open_queues(w);
	if (err < 0)
		return err;
	param = conn_param(w, hello);
	if (rdma_accept(r->id, &param))
		return failed(w, "accepting");
	return expect(w, RDMA_CM_EVENT_ESTABLISHED, &ev);
}

/* rdma_resolve_addr or rdma_resolve_route was called, with this result. */
static int resolved(struct worker *w, int rc, enum rdma_cm_event_type want)
{
	struct cm_event ev;

	return rc ? failed(w, "finding the way to the server") : expect(w, want, &ev);
}

static int resolve(struct worker *w)
{
	struct addrinfo *to, *from;
	int err = raw_ends(w, &to, &from);

	if (err == 0)
		err = resolved(w, rdma_resolve_addr(verbs_of(w)->id, from ? from->ai_addr : NULL,
						    to->ai_addr, RESOLVE_MS),
			       RDMA_CM_EVENT_ADDR_RESOLVED);
	if (err == 0)
		err = resolved(w, rdma_resolve_route(verbs_of(w)->id, RESOLVE_MS),
			       RDMA_CM_EVENT_ROUTE_RESOLVED);
	raw_free_ends(to, from);
	return err;
}

/* ---- what the report shows of the path ---- */

static uint32_t link_speed(const struct run *run, const char *device)
{
	struct nmt_hints hints = NMT_HINTS_INIT;
	struct nmt_info *list = NULL;
	uint32_t speed = 0;
	char spec[96];

	snprintf(spec, sizeof(spec), "verbs/%s", device);
	hints.spec = spec;
	if (nmt_getinfo(run->ctx, &hints, &list) == 0)
		speed = list->speed_mbps;
	nmt_freeinfo(list);
	return speed;
}

static void note_path(struct worker *w)
{
	struct nmt_stream_info *i = &w->run->path.begin;
	struct rdma_cm_id *id = verbs_of(w)->id;
	struct ibv_qp_init_attr init;
	struct ibv_gid_entry gid;
	struct ibv_qp_attr attr;

	*i = (struct nmt_stream_info)NMT_STREAM_INFO_INIT;
	i->mode = NMT_MODE_RAW;
	i->rails = 1;
	i->adapter_port = id->port_num;
	snprintf(i->provider, sizeof(i->provider), "verbs");
	snprintf(i->device, sizeof(i->device), "%s", ibv_get_device_name(id->verbs->device));
	i->speed_mbps = link_speed(w->run, i->device);
	raw_print_addr(rdma_get_local_addr(id), i->local);
	raw_print_addr(rdma_get_peer_addr(id), i->peer);
	if (ibv_query_qp(id->qp, &attr, IBV_QP_PATH_MTU | IBV_QP_AV, &init) == 0) {
		i->mtu = 128u << attr.path_mtu;
		i->gid_index = attr.ah_attr.grh.sgid_index;
		if (ibv_query_gid_ex(id->verbs, id->port_num, i->gid_index, &gid, 0) == 0 &&
		    inet_ntop(AF_INET6, gid.gid.raw, i->gid, sizeof(i->gid)))
			i->gid_type = NMT_GID_IB + gid.gid_type;
	}
	w->run->path.end = *i;
}

int verbs_connect(struct worker *w)
{
	struct rdma_conn_param param;
	uint8_t hello[HELLO_LEN];
	struct rdma_cm_id *id;
	struct cm_event ev;
	int err = open_channel(w, &id);

	if (err < 0)
		return err;
	verbs_of(w)->id = id;
	err = resolve(w);
	if (err == 0)
		err = open_queues(w);
	if (err < 0)
		return err;
	param = conn_param(w, hello);
	if (rdma_connect(id, &param))
		return failed(w, "connecting");
	err = expect(w, RDMA_CM_EVENT_ESTABLISHED, &ev);
	if (err == 0)
		err = take_hello(w, &ev);
	if (err == 0)
		note_path(w);
	return err;
}

/* ---- the end ---- */

void verbs_bye(struct worker *w)
{
	struct cm_event ev;

	if (!w->run->server)
		rdma_disconnect(verbs_of(w)->id);
	while (next_event(w, RAW_BYE_MS, &ev) == 0 && ev.type != RDMA_CM_EVENT_DISCONNECTED)
		;
	if (w->run->server)
		rdma_disconnect(verbs_of(w)->id);
}

void verbs_close(struct worker *w)
{
	struct raw_verbs *r = verbs_of(w);

	if (r->id && r->id->qp)
		rdma_destroy_qp(r->id);
	if (r->cq)
		ibv_destroy_cq(r->cq);
	if (r->events)
		ibv_destroy_comp_channel(r->events);
	if (r->mr)
		ibv_dereg_mr(r->mr);
	if (r->id)
		rdma_destroy_id(r->id);
	if (r->listen)
		rdma_destroy_id(r->listen);
	if (r->channel)
		rdma_destroy_event_channel(r->channel);
}
