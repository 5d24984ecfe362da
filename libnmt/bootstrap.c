/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The handshake of negotiated mode, docs/wire.md:
 *
 *   client  -- HELLO -->            control connection
 *           <-- SELECT / DECLINE --
 *           == JOIN(token) ==>      data socket, to the rendezvous port
 *           <-- CONFIRM --          control connection
 *           -- CONFIRM -->
 *
 * A provider without data sockets gets the peer's address blob with HELLO or SELECT, and each side
 * sends CONFIRM when its path is up.
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
	struct nmti_confirm m = { .rails = b->rails };
	uint8_t buf[64];
	int rc = nmti_msg_send(b->src.fd, buf, nmti_confirm_encode(&m, buf, sizeof(buf)), 0);

	if (rc)
		broken(b, rc, "sending CONFIRM");
}

/* FD -1: the provider connects to what BLOB names. The set-up may be over when this returns. */
static int take_path(struct nmti_boot *b, int fd, const void *blob, uint32_t blob_len)
{
	struct nmti_path path = { .fd = fd, .server = b->server, .blob = blob,
				  .blob_len = blob_len, .token = b->token, .rails = b->rails,
				  .recv_mode = b->peer_mode };

	b->s->records = b->features & NMTI_FEAT_RECORDS;
	b->s->tune.rails = b->rails;
	b->s->why = (uint16_t)b->s->dom->why;
	b->s->dom->stat.fallback_path += !!b->s->why;
	return nmti_stream_attach(b->s, b->pd, &path);
}

/* CONFIRM went both ways; what came behind the peer's is the control channel's. */
static void opened(struct nmti_boot *b)
{
	struct nmt_stream *s = b->s;
	int fd = b->src.fd, rc;

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
	if (!b || b->up) /* the set-up failed meanwhile */
		return;
	if (status) {
		nmti_boot_fail(b, status, NMT_WHY_PATH, "the path did not come up");
		return;
	}
	b->up = true;
	if (b->step == BOOT_JOIN)
		b->step = BOOT_CONFIRM;
	confirm(b);
	if (s->boot && b->peer_up)
		opened(b);
}

static bool confirm_fits(const struct nmti_boot *b, const struct nmti_confirm *m)
{
	return !b->peer_up && m->rails == b->rails &&
	       (b->step == BOOT_CONFIRM || b->step == BOOT_JOINED || b->step == BOOT_PATH);
}

/* Client: the data socket is the path now. */
static void take_socket(struct nmti_boot *b)
{
	int fd = b->data.fd, rc;

	b->data.fd = -1;
	rc = take_path(b, fd, NULL, 0);
	if (rc)
		nmti_boot_fail(b, rc, NMT_WHY_PATH, "data socket");
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
	if (!confirm_fits(b, &m)) {
		broken(b, -EPROTO, "CONFIRM before its time, or of other rails than asked");
		return;
	}
	nmti_inbox_next(&b->in, len);
	b->peer_up = true;
	if (b->step == BOOT_JOINED)
		take_socket(b);
	else if (b->up)
		opened(b);
}

/* ---- client ---- */

static uint16_t rails_of(const struct nmt_pdomain *pd, const struct nmt_stream_attr *attr)
{
	return (uint16_t)(attr->rails < pd->ops->max_rails ? attr->rails : pd->ops->max_rails);
}

/* What PD offers, if it can; or the reason, in its own log line, why it cannot. */
static void add_offer(struct nmti_boot *b, struct nmt_pdomain *pd, struct nmti_hello *m)
{
	struct nmti_offer *o = &m->offer[m->noffers];
	int n = pd->ops->offer(pd, b->s, o->blob, sizeof(o->blob));

	if (n < 0)
		return;
	o->blob_len = (uint16_t)n;
	o->rails = rails_of(pd, &b->attr);
	snprintf(o->name, sizeof(o->name), "%s", pd->ops->name);
	m->features |= pd->ops->data_socket ? NMTI_FEAT_DATA_SOCKET : 0;
	m->noffers++;
}

static void fill_hello(struct nmti_boot *b, struct nmti_hello *m)
{
	struct nmt_domain *dom = b->s->dom;

	memcpy(m->session, b->session, sizeof(m->session));
	m->ver_min = NMTI_VERSION_MIN;
	m->ver_max = NMTI_VERSION_MAX;
	m->recv_mode = (uint8_t)b->attr.recv_mode;
	m->required = nmti_features(&b->attr);
	m->features = m->required;
	for (int i = 0; i < dom->npd && m->noffers < NMTI_OFFERS_MAX; i++)
		if (dom->pd[i].ops->caps & NMT_CAP_NEGOTIATED)
			add_offer(b, &dom->pd[i], m);
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
	fd = nmti_socket(b->s->ctx, ss.ss_family, &b->attr, nmti_netdev(b->s->dom));
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

/* A provider of the domain was chosen: bring its path up. */
static void take_select(struct nmti_boot *b, const struct nmti_select *m)
{
	int rc;

	b->features = m->features;
	b->rails = m->rails;
	b->peer_mode = m->recv_mode;
	memcpy(b->token, m->token, sizeof(b->token));
	if (b->pd->ops->data_socket) {
		rc = connect_data(b, m->port);
	} else {
		b->step = BOOT_PATH;
		rc = take_path(b, -1, m->blob, m->blob_len);
	}
	if (rc)
		nmti_boot_fail(b, rc, NMT_WHY_PATH, "bringing the path up");
}

/* With a data socket it says where to, and only then. */
static bool socket_fits(const struct nmti_select *m, const struct nmt_pdomain *pd)
{
	bool socket = m->features & NMTI_FEAT_DATA_SOCKET;

	return socket == pd->ops->data_socket && (!socket || m->port);
}

static void on_select(struct nmti_boot *b, int len)
{
	struct nmti_hello hello = { .noffers = 0 };
	struct nmti_select m;
	int rc = nmti_select_decode(b->in.buf, (size_t)len, &m);

	fill_hello(b, &hello);
	if (!rc)
		rc = nmti_select_check(&m, &hello);
	if (!rc) {
		b->pd = offered(b->s->dom, hello.offer[m.offer].name);
		rc = socket_fits(&m, b->pd) ? 0 : -EPROTO;
	}
	if (rc) {
		broken(b, rc, "SELECT does not answer our HELLO");
		return;
	}
	nmti_inbox_next(&b->in, len);
	take_select(b, &m);
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
	struct nmti_select m = { .version = NMTI_VERSION_MAX, .offer = index, .rails = b->rails };
	uint8_t buf[1024 + NMTI_MSG_HDR_LEN];
	int port = nmti_rdv_port(b->s->dom, b->attr.handshake_timeout);
	int n = b->pd->ops->offer(b->pd, b->s, m.blob, sizeof(m.blob));

	if (port < 0 || n < 0)
		return port < 0 ? port : n;
	memcpy(m.session, hello->session, sizeof(m.session));
	memcpy(m.token, b->token, sizeof(m.token));
	m.recv_mode = (uint8_t)b->attr.recv_mode;
	m.features = b->features & hello->features;
	m.port = (uint16_t)port;
	m.blob_len = (uint16_t)n;
	return nmti_msg_send(b->src.fd, buf, nmti_select_encode(&m, buf, sizeof(buf)), 0);
}

/* What was agreed on with offer O. */
static int agree(struct nmti_boot *b, const struct nmti_hello *hello, const struct nmti_offer *o)
{
	b->pd = offered(b->s->dom, o->name);
	b->features = nmti_features(&b->attr);
	b->features |= b->pd->ops->data_socket ? NMTI_FEAT_DATA_SOCKET : 0;
	b->rails = rails_of(b->pd, &b->attr);
	b->rails = o->rails < b->rails ? o->rails : b->rails;
	b->peer_mode = hello->recv_mode;
	memcpy(b->session, hello->session, sizeof(b->session));
	return random_bytes(b->token, sizeof(b->token));
}

/* Wait for the data socket, or for the client on a path of the provider's own. */
static int await_path(struct nmti_boot *b, const struct nmti_offer *o)
{
	if (b->pd->ops->data_socket) {
		nmti_list_add_tail(&b->node, &b->s->dom->boots);
		return 0;
	}
	b->step = BOOT_PATH;
	return take_path(b, -1, o->blob, o->blob_len);
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
	b->server = true;
	snprintf(b->name, sizeof(b->name), "accepted peer");
	if (attr->mode != NMT_MODE_NEGOTIATED) /* else inherited from the listener */
		nmti_socket_control(fd, attr);
	rc = nmti_timer_set(s->dom, &b->timer, nmti_deadline(attr->handshake_timeout));
	why = rc ? NMT_WHY_BUSY : nmti_choose(s->dom, attr, hello, &index);
	if (why) {
		refuse(b, why);
		return 0;
	}
	rc = agree(b, hello, &hello->offer[index]);
	if (!rc)
		rc = await_path(b, &hello->offer[index]);
	if (!rc)
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
	rc = take_path(b, fd, NULL, 0);
	if (rc)
		nmti_boot_fail(b, rc, NMT_WHY_PATH, "data socket");
}
