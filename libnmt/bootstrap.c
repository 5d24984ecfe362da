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
 * A provider without data sockets gets the peer's address blob with HELLO or SELECT. The server sends
 * CONFIRM when its path is up, the client when it has that and its own path is up. Until then either
 * may say why the path fails; the server then goes on with the next offer.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <unistd.h>

#include "setup.h"

/* The most that a path which does not come up takes of the time, when there is another offer. */
#define SHARE_MAX (INT64_C(5) * NMTI_NSEC)

static void serve_offer(struct nmti_boot *b);

/* ---- failing ---- */

static void tell_failure(struct nmti_boot *b, enum nmt_reason why)
{
	struct nmti_confirm m = { .status = (uint16_t)why };
	uint8_t buf[64];

	/* Before HELLO there is nobody to tell, or nobody who would understand. */
	if (b->step < BOOT_SELECT || b->step == BOOT_FAILED || b->src.fd < 0)
		return;
	if (b->server && b->step == BOOT_SELECT) /* which is due, or this instead */
		nmti_decline(b->src.fd, why);
	else
		nmti_msg_send(b->src.fd, buf, nmti_confirm_encode(&m, buf, sizeof(buf)), 0);
}

void nmti_boot_fail(struct nmti_boot *b, int err, enum nmt_reason why, const char *what)
{
	struct nmt_stream *s = b->s;

	nmti_info(s->ctx, "%s: %s: %s: %s", s->dom->spec, b->name, what, nmt_strerror(err));
	tell_failure(b, why);
	if (s->why != why)
		nmti_stream_why(s, why, "%s", nmt_reason_str(why));
	nmti_boot_free(s);
	nmti_stream_fail(s, err);
}

void nmti_boot_broken(struct nmt_stream *s)
{
	if (!s->boot)
		return;
	tell_failure(s->boot, NMT_WHY_PATH);
	nmti_stream_why(s, NMT_WHY_PATH, "%s", nmt_reason_str(NMT_WHY_PATH));
	nmti_boot_free(s);
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

static struct nmt_pdomain *offered(struct nmt_domain *dom, const char *name)
{
	for (int i = 0; i < dom->npd; i++)
		if (dom->pd[i].ops->caps & NMT_CAP_NEGOTIATED &&
		    !strcmp(dom->pd[i].ops->name, name))
			return &dom->pd[i];
	return NULL;
}

/* FD -1: the provider connects to what BLOB names. The set-up may be over when this returns. */
static int take_path(struct nmti_boot *b, int fd, const void *blob, uint32_t blob_len)
{
	struct nmti_path path = { .fd = fd, .server = b->server, .blob = blob,
				  .blob_len = blob_len, .token = b->token, .rails = b->rails,
				  .recv_mode = b->peer_mode };

	b->memory = b->s->memory;
	b->s->records = b->features & NMTI_FEAT_RECORDS;
	b->s->tune.rails = b->rails;
	return nmti_stream_attach(b->s, b->pd, &path);
}

/* CONFIRM went both ways; what came behind the peer's is the control channel's. */
static void opened(struct nmti_boot *b)
{
	struct nmt_stream *s = b->s;
	int fd = b->src.fd, rc;

	if (b->lost)
		nmti_work(s);
	b->src.fd = -1;
	s->why = s->why ? s->why : (uint16_t)s->dom->why;
	s->dom->stat.fallback_path += !!s->why;
	rc = nmti_ctl_open(s, fd, b->in.buf, b->in.have);
	nmti_boot_free(s);
	if (rc)
		nmti_stream_fail(s, rc);
	else
		nmti_stream_open(s);
}

static void commit(struct nmti_boot *b)
{
	struct nmt_stream *s = b->s;

	confirm(b);
	if (s->boot)
		opened(b);
}

static void server_up(struct nmti_boot *b)
{
	b->step = BOOT_CONFIRM;
	nmti_timer_cancel(b->s->dom, &b->share);
	confirm(b);
}

bool nmti_path_up(struct nmt_stream *s, int status)
{
	struct nmti_boot *b = s->boot;

	if (s->tune.mode == NMT_MODE_RAW) {
		nmti_stream_open(s);
		return true;
	}
	if (!b || b->step == BOOT_FAILED) /* the set-up failed meanwhile, or this path did */
		return true;
	if (b->step == BOOT_SELECT) { /* inside of the server's attach: serve_offer goes on with it */
		b->early = status;
		b->up = !status;
		return true;
	}
	if (status && b->step == BOOT_CONFIRM) { /* the client may have opened the stream */
		b->lost = true;
		return false;
	}
	if (status) {
		nmti_path_failed(b, status, "the path did not come up");
		return true;
	}
	if (b->up)
		return true;
	b->up = true;
	if (b->server)
		server_up(b);
	else if (b->peer_up)
		commit(b);
	return true;
}

/* ---- one offer after the other ---- */

/* Whether an offer is left that this end knows of. */
static bool more_offers(const struct nmti_boot *b)
{
	uint8_t index = b->next;

	if (!b->server)
		return index < b->hello.noffers;
	return !nmti_choose(b->s->dom, &b->attr, &b->hello, &index);
}

static void share_over(struct nmti_timer *t)
{
	struct nmti_boot *b = nmti_container(t, struct nmti_boot, share);

	nmti_path_failed(b, -ETIMEDOUT, "the path did not come up");
}

static void drop_now(struct nmti_timer *t)
{
	nmti_path_drop(nmti_container(t, struct nmti_boot, drop));
}

/* Offer INDEX has its turn. */
static int begin_path(struct nmti_boot *b, uint8_t index)
{
	int64_t now = nmti_now(), share = SHARE_MAX;

	b->pd = offered(b->s->dom, b->hello.offer[index].name);
	b->next = (uint8_t)(index + 1);
	b->up = b->peer_up = b->lost = false;
	b->early = 0;
	b->share.fire = share_over;
	b->drop.fire = drop_now;
	if (!more_offers(b))
		return 0;
	if (b->timer.slot)
		share = nmti_min64(share, (b->timer.at - now) / 2);
	return nmti_timer_set(b->s->dom, &b->share, now + share);
}

void nmti_path_drop(struct nmti_boot *b)
{
	struct nmt_stream *s = b->s;

	nmti_timer_cancel(s->dom, &b->drop);
	nmti_timer_cancel(s->dom, &b->share);
	nmti_list_del(&b->node);
	nmti_source_close(s->dom, &b->data);
	if (s->priv)
		s->ops->abort(s);
	nmti_stream_detach(s);
	s->ops = NULL;
	s->pd = NULL;
	s->rx_ready = s->tx_ready = s->stalled = false;
	s->tune.rails = (uint16_t)b->attr.rails;
	s->memory = b->memory;
}

/* For nmt_stream_info: the first one that failed would have been the best. */
static void note_reason(struct nmt_stream *s, const struct nmt_pdomain *pd, const char *text)
{
	if (s->why != NMT_WHY_PATH)
		nmti_stream_why(s, NMT_WHY_PATH, "%s: %s", pd->ops->name, text);
}

static void note_failure(struct nmti_boot *b, int err, enum nmt_reason why, const char *what)
{
	struct nmt_stream *s = b->s;

	b->failed = err;
	b->failed_why = (uint16_t)why;
	snprintf(b->failed_what, sizeof(b->failed_what), "%s", what);
	note_reason(s, b->pd, err == -ECONNABORTED ? what : nmt_strerror(err));
	if (more_offers(b))
		nmti_info(s->ctx, "%s: %s: %s: %s: %s: trying the next offer", s->dom->spec,
			  b->name, b->pd->ops->name, what, nmt_strerror(err));
}

void nmti_path_failed(struct nmti_boot *b, int err, const char *what)
{
	note_failure(b, err, NMT_WHY_PATH, what);
	if (!b->server && !more_offers(b)) {
		nmti_boot_fail(b, err, NMT_WHY_PATH, what);
		return;
	}
	tell_failure(b, NMT_WHY_PATH);
	b->step = BOOT_FAILED;
	nmti_timer_cancel(b->s->dom, &b->share);
	nmti_timer_set(b->s->dom, &b->drop, nmti_now());
}

/* It failed at the peer, which this end has to answer if it has not said the same before. */
static void peer_failed(struct nmti_boot *b, uint16_t status)
{
	char what[64];

	if (b->step != BOOT_FAILED) {
		snprintf(what, sizeof(what), "the peer: %s", nmt_reason_str(status));
		note_failure(b, -ECONNABORTED, status, what);
	}
	if (!b->server && !more_offers(b)) {
		nmti_boot_fail(b, b->failed, status, b->failed_what);
		return;
	}
	tell_failure(b, status);
	nmti_path_drop(b);
	b->step = BOOT_SELECT;
	if (b->server)
		serve_offer(b);
}

static bool confirm_fits(const struct nmti_boot *b, const struct nmti_confirm *m)
{
	if (b->peer_up || m->rails != b->rails)
		return false;
	return b->server ? b->step == BOOT_CONFIRM : b->step == BOOT_JOINED || b->step == BOOT_PATH;
}

/* Client: the data socket is the path now. */
static void take_socket(struct nmti_boot *b)
{
	int fd = b->data.fd, rc;

	b->data.fd = -1;
	b->step = BOOT_PATH;
	rc = take_path(b, fd, NULL, 0);
	if (rc)
		nmti_path_failed(b, rc, "data socket");
}

static void on_confirm(struct nmti_boot *b, int len)
{
	struct nmti_confirm m;
	int rc = nmti_confirm_decode(b->in.buf, (size_t)len, &m);

	if (rc) {
		broken(b, rc, "no CONFIRM where one is due");
		return;
	}
	nmti_inbox_next(&b->in, len);
	if (m.status) {
		peer_failed(b, m.status);
	} else if (!b->server && b->step == BOOT_FAILED && !b->peer_up) {
		b->peer_up = true; /* it was under way: the peer's last word is still to come */
	} else if (!confirm_fits(b, &m)) {
		broken(b, -EPROTO, "CONFIRM before its time, or of other rails than asked");
	} else {
		b->peer_up = true;
		if (b->server)
			opened(b);
		else if (b->step == BOOT_JOINED)
			take_socket(b);
		else if (b->up)
			commit(b);
	}
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

	if (n < 0) {
		note_reason(b->s, pd, nmt_strerror(n));
		return;
	}
	o->blob_len = (uint16_t)n;
	o->rails = rails_of(pd, &b->attr);
	snprintf(o->name, sizeof(o->name), "%s", pd->ops->name);
	m->features |= pd->ops->data_socket ? NMTI_FEAT_DATA_SOCKET : 0;
	m->noffers++;
}

static void fill_hello(struct nmti_boot *b, struct nmti_hello *m)
{
	struct nmt_domain *dom = b->s->dom;

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

int nmti_join_send(int fd, const uint8_t *session, const uint8_t *token, uint16_t kind)
{
	struct nmti_join m = { .kind = kind };

	memcpy(m.session, session, sizeof(m.session));
	memcpy(m.token, token, sizeof(m.token));
	return send_opening(fd, encode_join, &m);
}

static void send_join(struct nmti_boot *b)
{
	int rc = nmti_join_send(b->data.fd, b->hello.session, b->token, NMTI_JOIN_DATA);

	if (rc)
		nmti_path_failed(b, rc, "sending JOIN");
	else
		b->step = BOOT_JOINED;
}

static void data_ready(struct nmti_source *src, uint32_t events)
{
	struct nmti_boot *b = nmti_container(src, struct nmti_boot, data);
	int rc = b->step == BOOT_DATA ? nmti_connect_result(src->fd, events) : -EAGAIN;

	if (rc == -EAGAIN)
		return;
	if (rc)
		nmti_path_failed(b, rc, "connecting to the rendezvous port");
	else
		send_join(b);
}

static int connect_data(struct nmti_boot *b)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);
	int fd;

	if (getpeername(b->src.fd, (struct sockaddr *)&ss, &len))
		return -errno;
	if (ss.ss_family == AF_INET6)
		((struct sockaddr_in6 *)&ss)->sin6_port = htons(b->port);
	else
		((struct sockaddr_in *)&ss)->sin_port = htons(b->port);
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
	nmti_boot_fail(b, b->failed ? b->failed : rc, m.reason, text);
}

/* A provider of the domain was chosen: bring its path up. */
static void take_select(struct nmti_boot *b, const struct nmti_select *m)
{
	int rc = begin_path(b, m->offer);

	b->features = m->features;
	b->rails = m->rails;
	b->port = m->port;
	b->peer_mode = m->recv_mode;
	memcpy(b->token, m->token, sizeof(b->token));
	if (!rc && b->pd->ops->data_socket) {
		rc = connect_data(b);
	} else if (!rc) {
		b->step = BOOT_PATH;
		rc = take_path(b, -1, m->blob, m->blob_len);
	}
	if (rc)
		nmti_path_failed(b, rc, "bringing the path up");
}

/* It answers the HELLO, with an offer that has not had its turn, and a socket where one is due. */
static bool select_fits(const struct nmti_boot *b, const struct nmti_select *m)
{
	bool socket = m->features & NMTI_FEAT_DATA_SOCKET;
	const struct nmt_pdomain *pd;

	if (nmti_select_check(m, &b->hello) || m->offer < b->next)
		return false;
	pd = offered(b->s->dom, b->hello.offer[m->offer].name);
	return socket == pd->ops->data_socket && (!socket || m->port);
}

static void on_select(struct nmti_boot *b, int len)
{
	struct nmti_select m;
	int rc = nmti_select_decode(b->in.buf, (size_t)len, &m);

	if (!rc && !select_fits(b, &m))
		rc = -EPROTO;
	if (rc) {
		broken(b, rc, "SELECT does not answer our HELLO");
		return;
	}
	nmti_inbox_next(&b->in, len);
	if (m.offer > b->next && !b->failed)
		nmti_stream_why(b->s, NMT_WHY_NO_PROVIDER, "the peer does not have %s",
				b->hello.offer[b->next].name);
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
			broken(b, n == -ECONNRESET && b->failed ? b->failed : n, "handshake");
		else if (b->server)
			on_confirm(b, n);
		else
			client_message(b, n);
	}
}

void nmti_boot_client(struct nmti_boot *b)
{
	struct nmti_hello *m = &b->hello;
	int rc;

	memset(m, 0, sizeof(*m));
	rc = random_bytes(m->session, sizeof(m->session));
	b->s->state = NMT_STATE_HANDSHAKE;
	b->step = BOOT_SELECT;
	b->in.magic = true; /* only clients send it */
	b->src.ready = control_ready;
	if (!rc) {
		fill_hello(b, m);
		nmti_socket_control(b->src.fd, &b->attr);
		rc = send_opening(b->src.fd, encode_hello, m);
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
	for (; *index < hello->noffers; ++*index)
		if (offered(dom, hello->offer[*index].name))
			return NMT_WHY_NONE;
	return NMT_WHY_NO_PROVIDER;
}

static int make_select(struct nmti_boot *b, uint8_t index, uint8_t *buf, size_t cap)
{
	struct nmti_select m = { .version = NMTI_VERSION_MAX, .offer = index, .rails = b->rails };
	int port = nmti_rdv_port(b->s->dom, b->attr.handshake_timeout);
	int n = b->pd->ops->offer(b->pd, b->s, m.blob, sizeof(m.blob));

	if (port < 0 || n < 0)
		return port < 0 ? port : n;
	memcpy(m.session, b->hello.session, sizeof(m.session));
	memcpy(m.token, b->token, sizeof(m.token));
	m.recv_mode = (uint8_t)b->attr.recv_mode;
	m.features = b->features & b->hello.features;
	m.port = (uint16_t)port;
	m.blob_len = (uint16_t)n;
	return nmti_select_encode(&m, buf, cap);
}

/* What is agreed on with offer INDEX. */
static int agree(struct nmti_boot *b, uint8_t index)
{
	int rc = begin_path(b, index);

	b->features = nmti_features(&b->attr);
	b->features |= b->pd->ops->data_socket ? NMTI_FEAT_DATA_SOCKET : 0;
	b->rails = rails_of(b->pd, &b->attr);
	if (b->hello.offer[index].rails < b->rails)
		b->rails = b->hello.offer[index].rails;
	b->peer_mode = b->hello.recv_mode;
	return rc ? rc : random_bytes(b->token, sizeof(b->token));
}

/* Wait for the data socket, or for the client on a path of the provider's own. */
static int await_path(struct nmti_boot *b, const struct nmti_offer *o)
{
	int rc;

	if (b->pd->ops->data_socket) {
		b->step = BOOT_JOIN;
		nmti_list_add_tail(&b->node, &b->s->dom->boots);
		return 0;
	}
	b->step = BOOT_SELECT;
	rc = take_path(b, -1, o->blob, o->blob_len);
	b->step = BOOT_PATH;
	return rc ? rc : b->early;
}

static void refuse(struct nmti_boot *b, enum nmt_reason why)
{
	b->s->dom->stat.declined++;
	nmti_decline(b->src.fd, why);
	b->step = BOOT_CONNECT; /* told already */
	nmti_boot_fail(b, -ECONNABORTED, why, nmt_reason_str(why));
}

/* What this end has and the client does not, though it would be better. */
static void note_passed(struct nmti_boot *b)
{
	const struct nmt_domain *dom = b->s->dom;

	for (const struct nmt_pdomain *pd = dom->pd; pd < b->pd && !b->s->why; pd++) {
		int i = 0;

		while (i < b->hello.noffers && strcmp(b->hello.offer[i].name, pd->ops->name))
			i++;
		if (i == b->hello.noffers && pd->ops->caps & NMT_CAP_NEGOTIATED)
			nmti_stream_why(b->s, NMT_WHY_NO_PROVIDER,
					"the peer does not offer %s", pd->ops->name);
	}
}

/* The paths of all offers failed. */
static void give_up(struct nmti_boot *b)
{
	nmti_decline(b->src.fd, NMT_WHY_PATH);
	b->step = BOOT_CONNECT; /* told already */
	nmti_boot_fail(b, b->failed, b->failed_why, b->failed_what);
}

/* Answer with the next offer whose path this end can begin to bring up. */
static void serve_offer(struct nmti_boot *b)
{
	uint8_t buf[1024 + NMTI_MSG_HDR_LEN], index = b->next;
	int rc;

	for (; !nmti_choose(b->s->dom, &b->attr, &b->hello, &index); index = b->next) {
		rc = agree(b, index);
		if (!rc)
			rc = await_path(b, &b->hello.offer[index]);
		if (!rc)
			rc = make_select(b, index, buf, sizeof(buf));
		if (rc > 0) {
			note_passed(b);
			rc = nmti_msg_send(b->src.fd, buf, rc, 0);
			if (rc)
				broken(b, rc, "sending SELECT");
			else if (b->up)
				server_up(b);
			return;
		}
		note_failure(b, rc, NMT_WHY_PATH, "bringing the path up");
		nmti_path_drop(b);
	}
	give_up(b);
}

int nmti_boot_server(struct nmt_stream *s, const struct nmt_stream_attr *attr, int fd,
		     const struct nmti_hello *hello)
{
	struct nmti_boot *b = nmti_boot_new(s, attr);
	enum nmt_reason why;
	uint8_t index = 0;
	int rc;

	if (!b) {
		nmti_decline(fd, NMT_WHY_BUSY);
		close(fd);
		return -ENOMEM;
	}
	s->state = NMT_STATE_HANDSHAKE;
	b->src.fd = fd;
	b->src.ready = control_ready;
	b->in.magic = true;
	b->step = BOOT_SELECT;
	b->server = true;
	b->hello = *hello;
	snprintf(b->name, sizeof(b->name), "accepted peer");
	nmti_addr_of_socket(fd, true, b->name);
	if (attr->mode != NMT_MODE_NEGOTIATED) /* else inherited from the listener */
		nmti_socket_control(fd, attr);
	rc = nmti_timer_set(s->dom, &b->timer, nmti_deadline(attr->handshake_timeout));
	if (!rc)
		rc = nmti_watch(s->dom, &b->src, NMTI_SOCK_EVENTS);
	why = rc ? NMT_WHY_BUSY : nmti_choose(s->dom, attr, hello, &index);
	if (why)
		refuse(b, why);
	else
		serve_offer(b);
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
		nmti_path_failed(b, rc, "options of the data socket");
		return;
	}
	rc = take_path(b, fd, NULL, 0);
	if (rc)
		nmti_path_failed(b, rc, "data socket");
}
