/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The handshake of negotiated mode, docs/wire.md:
 *
 *   client  -- HELLO -->            control connection
 *           <-- SELECT / DECLINE --
 *           == JOIN(token) ==>      data socket, to the rendezvous port
 *           <-- CONFIRM --          control connection
 *           -- CONFIRM -->
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <unistd.h>

#include "setup.h"

/* ---- failing ---- */

static void tell_failure(struct nmti_boot *b, enum nmt_reason why)
{
	struct nmti_confirm m = { .status = (uint16_t)why };
	uint8_t buf[64];

	/* Before SELECT there is nobody to tell, or nobody who would understand. */
	if (b->step < BOOT_SELECT || b->src.fd < 0)
		return;
	nmti_msg_send(b->src.fd, buf, nmti_confirm_encode(&m, buf, sizeof(buf)), 0);
}

void nmti_boot_fail(struct nmti_boot *b, int err, enum nmt_reason why, const char *what)
{
	struct nmt_stream *s = b->s;

	nmti_info(s->ctx, "%s: %s: %s: %s", s->dom->spec, b->name, what, nmt_strerror(err));
	tell_failure(b, why);
	s->why = (uint16_t)why;
	nmti_boot_free(s);
	nmti_stream_fail(s, err);
}

static void broken(struct nmti_boot *b, int err, const char *what)
{
	enum nmt_reason why = NMT_WHY_MALFORMED;

	if (err == -ECONNRESET || err == -EPIPE)
		why = NMT_WHY_PATH;
	if (err == -EMSGSIZE)
		err = -EPROTO;
	nmti_boot_fail(b, err, why, what);
}

void nmti_decline(int fd, enum nmt_reason why)
{
	struct nmti_decline m = { .reason = (uint16_t)why };
	uint8_t buf[256];

	snprintf(m.text, sizeof(m.text), "%s", nmt_reason_str(why));
	nmti_msg_send(fd, buf, nmti_decline_encode(&m, buf, sizeof(buf)), 0);
}

/* ---- both ends ---- */

uint64_t nmti_features(const struct nmt_stream_attr *attr)
{
	return attr->flags & NMT_STREAM_RECORDS ? NMTI_FEAT_RECORDS : 0;
}

static int random_bytes(void *buf, size_t len)
{
	return getrandom(buf, len, 0) == (ssize_t)len ? 0 : -EIO;
}

static void confirm(struct nmti_boot *b)
{
	struct nmti_confirm m = { .rails = 1 };
	uint8_t buf[64];
	int rc = nmti_msg_send(b->src.fd, buf, nmti_confirm_encode(&m, buf, sizeof(buf)), 0);

	if (rc)
		broken(b, rc, "sending CONFIRM");
}

static int take_path(struct nmti_boot *b, int fd)
{
	struct nmti_path path = { .fd = fd, .server = b->step == BOOT_JOIN };

	b->s->records = b->features & NMTI_FEAT_RECORDS;
	b->s->why = (uint16_t)b->s->dom->why;
	b->s->dom->stat.fallback_path += !!b->s->why;
	return nmti_stream_attach(b->s, b->pd, &path);
}

/* CONFIRM, LEN bytes, was the last message of the handshake; what is behind it is the channel's. */
static void opened(struct nmti_boot *b, int len)
{
	struct nmt_stream *s = b->s;
	int fd = b->src.fd, rc;

	nmti_inbox_next(&b->in, len);
	b->src.fd = -1;
	rc = nmti_ctl_open(s, fd, b->in.buf, b->in.have);
	nmti_boot_free(s);
	if (rc)
		nmti_stream_fail(s, rc);
	else
		nmti_stream_open(s);
}

void nmti_path_up(struct nmt_stream *s, int status)
{
	struct nmti_boot *b = s->boot;

	if (s->tune.mode == NMT_MODE_RAW) {
		nmti_stream_open(s);
		return;
	}
	if (status) {
		nmti_boot_fail(b, status, NMT_WHY_PATH, "the path did not come up");
		return;
	}
	b->step = b->step == BOOT_JOIN ? BOOT_CONFIRM : BOOT_JOINED;
	confirm(b);
}

static void on_confirm(struct nmti_boot *b, int len)
{
	struct nmti_confirm m;
	int rc = nmti_confirm_decode(b->in.buf, (size_t)len, &m);

	if (rc) {
		broken(b, rc, "no CONFIRM where one is due");
		return;
	}
	if (m.status) {
		nmti_boot_fail(b, -ECONNABORTED, m.status, nmt_reason_str(m.status));
		return;
	}
	if (m.rails != 1 || (b->step != BOOT_CONFIRM && b->step != BOOT_JOINED)) {
		broken(b, -EPROTO, "CONFIRM before its time, or of more rails than asked");
		return;
	}
	if (b->step == BOOT_CONFIRM) {
		opened(b, len);
		return;
	}
	rc = take_path(b, b->data.fd);
	b->data.fd = -1;
	if (rc)
		nmti_boot_fail(b, rc, NMT_WHY_PATH, "data socket");
	else if (b->s->boot)
		opened(b, len);
}

/* ---- client ---- */

static void fill_hello(struct nmti_boot *b, struct nmti_hello *m)
{
	struct nmt_domain *dom = b->s->dom;

	memcpy(m->session, b->session, sizeof(m->session));
	m->ver_min = NMTI_VERSION_MIN;
	m->ver_max = NMTI_VERSION_MAX;
	m->recv_mode = (uint8_t)b->attr.recv_mode;
	m->required = nmti_features(&b->attr);
	m->features = m->required | NMTI_FEAT_DATA_SOCKET;
	for (int i = 0; i < dom->npd && m->noffers < NMTI_OFFERS_MAX; i++) {
		struct nmti_offer *o = &m->offer[m->noffers];

		if (!(dom->pd[i].ops->caps & NMT_CAP_NEGOTIATED))
			continue;
		o->rails = (uint16_t)b->attr.rails;
		snprintf(o->name, sizeof(o->name), "%s", dom->pd[i].ops->name);
		o->blob_len = (uint16_t)dom->pd[i].ops->offer(b->s, o->blob, sizeof(o->blob));
		m->noffers++;
	}
}

static int send_opening(int fd, int (*encode)(const void *m, void *buf, size_t cap), const void *m)
{
	uint8_t buf[NMTI_MAGIC_LEN + NMTI_MSG_MAX];
	int n = encode(m, buf + NMTI_MAGIC_LEN, sizeof(buf) - NMTI_MAGIC_LEN);

	memcpy(buf, NMTI_MAGIC, NMTI_MAGIC_LEN);
	return nmti_msg_send(fd, buf, n < 0 ? n : n + NMTI_MAGIC_LEN, 0);
}

static int encode_hello(const void *m, void *buf, size_t cap)
{
	return nmti_hello_encode(m, buf, cap);
}

static int encode_join(const void *m, void *buf, size_t cap)
{
	return nmti_join_encode(m, buf, cap);
}

static void send_join(struct nmti_boot *b)
{
	struct nmti_join m = { .kind = NMTI_JOIN_DATA };
	int rc;

	memcpy(m.session, b->session, sizeof(m.session));
	memcpy(m.token, b->token, sizeof(m.token));
	rc = send_opening(b->data.fd, encode_join, &m);
	if (rc)
		nmti_boot_fail(b, rc, NMT_WHY_PATH, "sending JOIN");
	else
		b->step = BOOT_JOINED;
}

static void data_ready(struct nmti_source *src, uint32_t events)
{
	struct nmti_boot *b = nmti_container(src, struct nmti_boot, data);
	int err = 0;
	socklen_t len = sizeof(err);

	(void)events;
	if (b->step != BOOT_DATA)
		return;
	if (getsockopt(src->fd, SOL_SOCKET, SO_ERROR, &err, &len))
		err = errno;
	if (err)
		nmti_boot_fail(b, -err, NMT_WHY_PATH, "connecting to the rendezvous port");
	else if (events & EPOLLOUT)
		send_join(b);
}

static int connect_data(struct nmti_boot *b, uint16_t port)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);
	int fd;

	if (getpeername(b->src.fd, (struct sockaddr *)&ss, &len))
		return -errno;
	if (ss.ss_family == AF_INET6)
		((struct sockaddr_in6 *)&ss)->sin6_port = htons(port);
	else
		((struct sockaddr_in *)&ss)->sin_port = htons(port);
	fd = nmti_socket(b->s->ctx, ss.ss_family, &b->attr, b->s->dom->pd[0].device);
	if (fd < 0)
		return fd;
	b->data.fd = fd;
	b->data.ready = data_ready;
	if (connect(fd, (struct sockaddr *)&ss, len) && errno != EINPROGRESS)
		return -errno;
	b->step = BOOT_DATA;
	return nmti_watch(b->s->dom, &b->data, NMTI_SOCK_EVENTS);
}

static struct nmt_pdomain *offered(struct nmt_domain *dom, const char *name)
{
	for (int i = 0; i < dom->npd; i++)
		if (dom->pd[i].ops->caps & NMT_CAP_NEGOTIATED &&
		    !strcmp(dom->pd[i].ops->name, name))
			return &dom->pd[i];
	return NULL;
}

static void on_decline(struct nmti_boot *b, int len)
{
	struct nmti_decline m;
	int rc = nmti_decline_decode(b->in.buf, (size_t)len, &m);
	char text[NMTI_TEXT_MAX + 32];

	if (rc) {
		broken(b, rc, "bad DECLINE");
		return;
	}
	snprintf(text, sizeof(text), "the peer declined: %s",
		 m.text[0] ? m.text : nmt_reason_str(m.reason));
	b->step = BOOT_CONNECT; /* it has closed: nobody to tell */
	rc = m.reason == NMT_WHY_VERSION || m.reason == NMT_WHY_NO_PROVIDER ? -EPROTONOSUPPORT
									    : -ECONNABORTED;
	nmti_boot_fail(b, rc, m.reason, text);
}

static void on_select(struct nmti_boot *b, int len)
{
	struct nmti_hello hello = { .noffers = 0 };
	struct nmti_select m;
	int rc = nmti_select_decode(b->in.buf, (size_t)len, &m);

	fill_hello(b, &hello);
	if (!rc)
		rc = nmti_select_check(&m, &hello);
	if (!rc && !m.port)
		rc = -EPROTO;
	if (rc) {
		broken(b, rc, "SELECT does not answer our HELLO");
		return;
	}
	b->pd = offered(b->s->dom, hello.offer[m.offer].name);
	b->features = m.features;
	memcpy(b->token, m.token, sizeof(b->token));
	rc = connect_data(b, m.port);
	if (rc)
		nmti_boot_fail(b, rc, NMT_WHY_PATH, "data socket");
}

static void client_message(struct nmti_boot *b, int len)
{
	struct nmti_msg_hdr hdr;

	nmti_msg_peek(b->in.buf, (size_t)len, &hdr);
	if (b->step == BOOT_SELECT && hdr.type == NMTI_MSG_DECLINE)
		on_decline(b, len);
	else if (b->step == BOOT_SELECT)
		on_select(b, len);
	else
		on_confirm(b, len);
}

static void control_ready(struct nmti_source *src, uint32_t events)
{
	struct nmti_boot *b = nmti_container(src, struct nmti_boot, src);
	struct nmt_stream *s = b->s;

	while (s->boot) {
		int n = nmti_inbox_read(&b->in, src->fd, events);

		if (n == -EAGAIN)
			return;
		if (n <= 0)
			broken(b, n, "handshake");
		else if (b->step <= BOOT_JOINED)
			client_message(b, n);
		else
			on_confirm(b, n);
		if (s->boot)
			nmti_inbox_next(&b->in, n);
	}
}

void nmti_boot_client(struct nmti_boot *b)
{
	struct nmti_hello m = { .noffers = 0 };
	int rc = random_bytes(b->session, sizeof(b->session));

	b->s->state = NMT_STATE_HANDSHAKE;
	b->step = BOOT_SELECT;
	b->in.magic = true; /* only clients send it */
	b->src.ready = control_ready;
	if (!rc) {
		fill_hello(b, &m);
		nmti_socket_control(b->src.fd, &b->attr);
		rc = send_opening(b->src.fd, encode_hello, &m);
	}
	if (!rc)
		rc = nmti_watch(b->s->dom, &b->src, NMTI_SOCK_EVENTS);
	if (rc)
		nmti_boot_fail(b, rc, NMT_WHY_PATH, "sending HELLO");
}

/* ---- server ---- */

enum nmt_reason nmti_choose(struct nmt_domain *dom, const struct nmt_stream_attr *attr,
			    const struct nmti_hello *hello, uint8_t *index)
{
	uint64_t mine = nmti_features(attr);

	if (hello->ver_min > NMTI_VERSION_MAX || hello->ver_max < NMTI_VERSION_MIN)
		return NMT_WHY_VERSION;
	if ((hello->features & mine) != mine ||
	    hello->required & ~(mine | NMTI_FEAT_DATA_SOCKET))
		return NMT_WHY_FEATURE;
	for (int i = 0; i < hello->noffers; i++) {
		*index = (uint8_t)i;
		if (offered(dom, hello->offer[i].name))
			return NMT_WHY_NONE;
	}
	return NMT_WHY_NO_PROVIDER;
}

static int send_select(struct nmti_boot *b, const struct nmti_hello *hello, uint8_t index)
{
	struct nmti_select m = { .version = NMTI_VERSION_MAX, .offer = index, .rails = 1 };
	uint8_t buf[1024 + NMTI_MSG_HDR_LEN];
	int port = nmti_rdv_port(b->s->dom, b->attr.handshake_timeout);

	if (port < 0)
		return port;
	if (random_bytes(b->token, sizeof(b->token)))
		return -EIO;
	memcpy(m.session, hello->session, sizeof(m.session));
	memcpy(m.token, b->token, sizeof(m.token));
	memcpy(b->session, hello->session, sizeof(b->session));
	m.recv_mode = (uint8_t)b->attr.recv_mode;
	m.features = b->features & hello->features;
	m.port = (uint16_t)port;
	m.blob_len = (uint16_t)b->pd->ops->offer(b->s, m.blob, sizeof(m.blob));
	return nmti_msg_send(b->src.fd, buf, nmti_select_encode(&m, buf, sizeof(buf)), 0);
}

static void refuse(struct nmti_boot *b, enum nmt_reason why)
{
	b->s->dom->stat.declined++;
	nmti_decline(b->src.fd, why);
	b->step = BOOT_CONNECT; /* told already */
	nmti_boot_fail(b, -ECONNABORTED, why, nmt_reason_str(why));
}

int nmti_boot_server(struct nmt_stream *s, const struct nmt_stream_attr *attr, int fd,
		     const struct nmti_hello *hello)
{
	struct nmti_boot *b = nmti_boot_new(s, attr);
	enum nmt_reason why;
	uint8_t index = 0;
	int rc;

	if (!b) {
		close(fd);
		return -ENOMEM;
	}
	s->state = NMT_STATE_HANDSHAKE;
	b->src.fd = fd;
	b->src.ready = control_ready;
	b->in.magic = true;
	b->step = BOOT_JOIN;
	snprintf(b->name, sizeof(b->name), "accepted peer");
	if (attr->mode != NMT_MODE_NEGOTIATED) /* else inherited from the listener */
		nmti_socket_control(fd, attr);
	nmti_list_add_tail(&b->node, &s->dom->boots);
	rc = nmti_timer_set(s->dom, &b->timer, nmti_deadline(attr->handshake_timeout));
	why = rc ? NMT_WHY_BUSY : nmti_choose(s->dom, attr, hello, &index);
	if (why) {
		refuse(b, why);
		return 0;
	}
	b->pd = offered(s->dom, hello->offer[index].name);
	b->features = nmti_features(attr) | NMTI_FEAT_DATA_SOCKET;
	rc = send_select(b, hello, index);
	if (!rc)
		rc = nmti_watch(s->dom, &b->src, NMTI_SOCK_EVENTS);
	if (rc)
		nmti_boot_fail(b, rc, NMT_WHY_BUSY, "sending SELECT");
	return 0;
}

void nmti_boot_join(struct nmti_boot *b, int fd)
{
	int rc;

	nmti_list_del(&b->node);
	rc = nmti_socket_tune(b->s->ctx, fd, &b->attr);
	if (rc) {
		nmti_forget_fd(b->s->dom, fd);
		close(fd);
		nmti_boot_fail(b, rc, NMT_WHY_PATH, "options of the data socket");
		return;
	}
	rc = take_path(b, fd);
	if (rc)
		nmti_boot_fail(b, rc, NMT_WHY_PATH, "data socket");
}
