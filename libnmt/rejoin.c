/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How the control channel of a stream without data sockets comes back after a cut, while the data goes
 * on: the client connects to the rendezvous port again and shows session and token (JOIN of kind 2),
 * the server answers CONFIRM, and the new connection takes the place of the old one. docs/wire.md.
 *
 * A client takes the stream for gone when the server says so, or nobody listens there a few times in a
 * row. A connection that ends without a word may have been cut as well: that takes many. Anything else
 * is the network, and is tried again until the recovery time is over.
 */
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "setup.h"

#define REFUSALS 3u                    /* in a row: nobody is there */
#define SILENCES 10u                   /* in a row: somebody who does not speak this protocol */
#define FIRST_WAIT INT64_C(10000000)   /* before the second try; twice as much before each other */
#define WAIT_DOUBLES 7u
#define TRY_TIME (INT64_C(5) * NMTI_NSEC) /* for one connect */
#define HURRY_TIME (INT64_C(5) * NMTI_NSEC)

static void begin_try(struct nmti_timer *t);
static void limit_over(struct nmti_timer *t);

/* ---- life ---- */

static uint16_t *port_of(struct sockaddr_storage *ss)
{
	if (ss->ss_family == AF_INET6)
		return &((struct sockaddr_in6 *)ss)->sin6_port;
	return &((struct sockaddr_in *)ss)->sin_port;
}

struct nmti_rejoin *nmti_rejoin_new(struct nmti_boot *b, int fd)
{
	struct nmti_rejoin *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->s = b->s;
	r->server = b->server;
	r->src.fd = -1;
	r->retry.fire = begin_try;
	r->limit.fire = limit_over;
	r->attr = b->attr;
	r->strings = b->strings;
	b->strings = NULL;
	memcpy(r->session, b->hello.session, sizeof(r->session));
	memcpy(r->token, b->token, sizeof(r->token));
	nmti_addr_of_socket(fd, false, r->local);
	nmti_addr_of_socket(fd, true, r->peer);
	r->len = sizeof(r->addr);
	if (getpeername(fd, (struct sockaddr *)&r->addr, &r->len))
		r->len = 0;
	*port_of(&r->addr) = htons(b->port);
	nmti_list_init(&r->node);
	if (r->server)
		nmti_list_add_tail(&r->node, &b->s->dom->rejoins);
	r->s->memory += sizeof(*r);
	return r;
}

static void stop(struct nmti_rejoin *r)
{
	nmti_timer_cancel(r->s->dom, &r->retry);
	nmti_timer_cancel(r->s->dom, &r->limit);
	nmti_source_close(r->s->dom, &r->src);
	r->away = r->joined = r->late = false;
	r->tries = r->refusals = r->silences = 0;
}

void nmti_rejoin_free(struct nmti_rejoin *r)
{
	if (!r)
		return;
	stop(r);
	nmti_list_del(&r->node);
	r->s->memory -= sizeof(*r);
	free(r->strings);
	free(r);
}

/* R is gone afterwards. */
static void give_up(struct nmti_rejoin *r, int err, const char *what)
{
	stop(r);
	nmti_ctl_gone(r->s, err, what);
}

/* ---- the time that there is ---- */

static void limit_over(struct nmti_timer *t)
{
	struct nmti_rejoin *r = nmti_container(t, struct nmti_rejoin, limit);

	if (r->joined) { /* connected, but not answered: a peer that is stopped is not lost */
		r->late = true;
	} else if (!r->hurried) {
		give_up(r, -ETIMEDOUT, "the control channel did not come back in time");
	} else if (r->s->lost) {
		give_up(r, -ECONNRESET, "control channel and path are lost");
	} else {
		r->hurried = false;
		nmti_timer_set(r->s->dom, &r->limit, r->until);
	}
}

/* A client that lives is back at once: when the path is lost too, nobody else is waited for. */
static void hurry(struct nmti_rejoin *r)
{
	int64_t at = nmti_now() + HURRY_TIME;

	if (!r->away || !r->server || !r->closed || !r->s->lost || r->hurried)
		return;
	if (at >= r->until)
		return;
	r->hurried = true;
	nmti_timer_set(r->s->dom, &r->limit, at);
}

void nmti_rejoin_start(struct nmti_rejoin *r, bool closed)
{
	struct nmt_domain *dom = r->s->dom;

	if (r->away)
		return;
	r->away = true;
	r->closed = closed;
	r->hurried = false;
	r->until = nmti_deadline(r->s->tune.recovery);
	nmti_timer_set(dom, &r->limit, r->until);
	if (!r->server)
		nmti_timer_set(dom, &r->retry, nmti_now());
	hurry(r);
}

void nmti_rejoin_path(struct nmti_rejoin *r, const void *msg, int len)
{
	struct nmti_msg_hdr hdr;

	nmti_msg_peek(msg, (size_t)len, &hdr);
	if (hdr.type == NMTI_MSG_RESUME && (size_t)len <= sizeof(r->said)) {
		memcpy(r->said, msg, (size_t)len);
		r->said_len = (uint16_t)len;
	}
	hurry(r);
}

/* ---- client ---- */

static bool is_silence(int err)
{
	return err == -ECONNRESET || err == -EPIPE || err == -EPROTO;
}

static void try_failed(struct nmti_rejoin *r, int err)
{
	unsigned int doubles = r->tries < WAIT_DOUBLES ? r->tries : WAIT_DOUBLES;

	nmti_source_close(r->s->dom, &r->src);
	r->joined = false;
	r->tries++;
	r->refusals = err == -ECONNREFUSED ? r->refusals + 1 : 0;
	r->silences = is_silence(err) ? r->silences + 1 : 0;
	nmti_debug(r->s->ctx, "%s: control channel to %s: %s", r->s->ops->name, r->peer,
		   nmt_strerror(err));
	if (r->refusals == REFUSALS || r->silences == SILENCES)
		give_up(r, -ECONNRESET, "the peer does not answer for the stream any more");
	else if (r->late)
		give_up(r, -ETIMEDOUT, "the control channel did not come back in time");
	else
		nmti_timer_set(r->s->dom, &r->retry, nmti_now() + (FIRST_WAIT << doubles));
}

static void on_answer(struct nmti_rejoin *r, int len)
{
	struct nmti_confirm m;
	int fd = r->src.fd;

	if (nmti_confirm_decode(r->buf, (size_t)len, &m)) {
		try_failed(r, -EPROTO);
		return;
	}
	if (m.status) {
		give_up(r, -ECONNRESET, "the peer does not know the stream any more");
		return;
	}
	nmti_inbox_next(&r->in, len);
	r->src.fd = -1; /* the channel's watch takes it over */
	stop(r);
	nmti_ctl_back(r->s, fd, r->buf, r->in.have);
}

static void answer_ready(struct nmti_source *src, uint32_t events)
{
	struct nmti_rejoin *r = nmti_container(src, struct nmti_rejoin, src);
	int n = nmti_inbox_read(&r->in, src->fd, events);

	if (n == -EAGAIN)
		return;
	if (n < 0)
		try_failed(r, n == -EPROTONOSUPPORT || n == -EMSGSIZE ? -EPROTO : n);
	else
		on_answer(r, n);
}

static void connected(struct nmti_rejoin *r)
{
	int rc = nmti_join_send(r->src.fd, r->session, r->token, NMTI_JOIN_CONTROL);

	if (rc) {
		try_failed(r, rc);
		return;
	}
	nmti_timer_cancel(r->s->dom, &r->retry);
	r->joined = true;
	r->in = (struct nmti_inbox){ .buf = r->buf, .cap = sizeof(r->buf), .magic = true };
	r->src.ready = answer_ready;
}

static void connect_ready(struct nmti_source *src, uint32_t events)
{
	struct nmti_rejoin *r = nmti_container(src, struct nmti_rejoin, src);
	int rc = nmti_connect_result(src->fd, events);

	if (rc == -EAGAIN)
		return;
	if (rc)
		try_failed(r, rc);
	else
		connected(r);
}

static int dial(struct nmti_rejoin *r)
{
	struct nmt_domain *dom = r->s->dom;
	int fd = nmti_socket(r->s->ctx, r->addr.ss_family, &r->attr, nmti_netdev(dom));

	if (fd < 0)
		return fd;
	nmti_socket_control(fd, &r->attr);
	r->src.fd = fd;
	r->src.ready = connect_ready;
	if (connect(fd, (struct sockaddr *)&r->addr, r->len) && errno != EINPROGRESS)
		return -errno;
	return nmti_watch(dom, &r->src, NMTI_SOCK_EVENTS);
}

static void begin_try(struct nmti_timer *t)
{
	struct nmti_rejoin *r = nmti_container(t, struct nmti_rejoin, retry);
	int rc;

	if (r->src.fd >= 0) { /* the last one took too long */
		try_failed(r, -ETIMEDOUT);
		return;
	}
	nmti_timer_set(r->s->dom, &r->retry, nmti_now() + TRY_TIME);
	rc = dial(r);
	if (rc)
		try_failed(r, rc);
}

/* ---- server ---- */

/* As in rendezvous.c, all are compared: with 4,000 streams in 39 us. */
struct nmti_rejoin *nmti_rejoin_find(struct nmt_domain *dom, const struct nmti_join *m)
{
	struct nmti_rejoin *found = NULL;
	struct nmti_list *node;

	for (node = dom->rejoins.next; node != &dom->rejoins; node = node->next) {
		struct nmti_rejoin *r = nmti_container(node, struct nmti_rejoin, node);

		if (nmti_same_secret(r->token, m->token, sizeof(m->token)) &&
		    nmti_same_secret(r->session, m->session, sizeof(m->session)))
			found = r;
	}
	return found;
}

void nmti_rejoin_take(struct nmti_rejoin *r, int fd)
{
	struct nmti_confirm m = { .rails = r->s->tune.rails };
	uint8_t buf[64];

	nmti_socket_control(fd, &r->attr);
	/* One that breaks again at once is found out when it is read. */
	nmti_msg_send(fd, buf, nmti_confirm_encode(&m, buf, sizeof(buf)), 0);
	stop(r);
	nmti_ctl_back(r->s, fd, NULL, 0);
}
