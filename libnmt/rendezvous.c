/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The rendezvous port of a domain: connections come back to exactly the stream whose unguessable
 * token they show in their JOIN. Once it brings the data socket; for a stream without one it brings a
 * new control channel, as long as the stream lives. At most JOINS_MAX connections may be silent at a
 * time; the oldest makes room.
 */
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "setup.h"

#define JOINS_MAX 1024u
#define RETRY_NS INT64_C(20000000)

struct nmti_rdv {
	struct nmt_domain *dom;
	struct nmti_source src;
	struct nmti_timer retry;
	struct nmti_list joins;
	unsigned int njoins;
	uint16_t port;
	int64_t patience; /* handshake_timeout of the last stream that waits here */
};

struct join {
	struct nmti_list node;
	struct nmti_rdv *rdv;
	struct nmti_source src;
	struct nmti_timer timer;
	struct nmti_inbox in;
	uint8_t buf[NMTI_MAGIC_LEN + NMTI_MSG_HDR_LEN + 64];
};

static void join_leave(struct join *j)
{
	nmti_timer_cancel(j->rdv->dom, &j->timer);
	nmti_list_del(&j->node);
	j->rdv->njoins--;
}

static void join_drop(struct join *j)
{
	join_leave(j);
	nmti_forget(j->rdv->dom, &j->src);
	close(j->src.fd);
	free(j);
}

static void join_refuse(struct join *j, enum nmt_reason why)
{
	nmti_info(j->rdv->dom->ctx, "rendezvous: connection refused: %s", nmt_reason_str(why));
	j->rdv->dom->stat.declined++;
	join_drop(j);
}

bool nmti_same_secret(const uint8_t *a, const uint8_t *b, size_t len)
{
	uint8_t diff = 0;

	while (len--)
		diff |= (uint8_t)(a[len] ^ b[len]);
	return !diff;
}

/* All tokens of all waiting streams take the same time to compare: nothing leaks by timing. */
static struct nmti_boot *find_boot(struct nmt_domain *dom, const struct nmti_join *m)
{
	struct nmti_boot *found = NULL;
	struct nmti_list *node;

	for (node = dom->boots.next; node != &dom->boots; node = node->next) {
		struct nmti_boot *b = nmti_container(node, struct nmti_boot, node);

		if (nmti_same_secret(b->token, m->token, sizeof(m->token)) &&
		    nmti_same_secret(b->hello.session, m->session, sizeof(m->session)))
			found = b;
	}
	return found;
}

/* It belongs to a stream: its socket lives on. */
static int join_pass(struct join *j)
{
	int fd = j->src.fd;

	join_leave(j);
	if (!j->in.hup)
		nmti_drained(j->rdv->dom, &j->src);
	free(j);
	return fd; /* the next watch takes the descriptor over */
}

/* So that the client need not wonder whether the network did it. */
static void tell_unknown(int fd)
{
	struct nmti_confirm m = { .status = NMT_WHY_TOKEN };
	uint8_t buf[64];

	nmti_msg_send(fd, buf, nmti_confirm_encode(&m, buf, sizeof(buf)), 0);
}

static void join_done(struct join *j, size_t len)
{
	struct nmti_rejoin *r = NULL;
	struct nmti_boot *b = NULL;
	struct nmti_join m;

	if (nmti_join_decode(j->buf, len, &m) || m.rail) {
		join_refuse(j, NMT_WHY_MALFORMED);
		return;
	}
	if (m.kind == NMTI_JOIN_DATA)
		b = find_boot(j->rdv->dom, &m);
	else
		r = nmti_rejoin_find(j->rdv->dom, &m);
	if (b) {
		nmti_boot_join(b, join_pass(j));
	} else if (r) {
		nmti_rejoin_take(r, join_pass(j));
	} else {
		if (m.kind == NMTI_JOIN_CONTROL)
			tell_unknown(j->src.fd);
		join_refuse(j, NMT_WHY_TOKEN);
	}
}

static void join_ready(struct nmti_source *src, uint32_t events)
{
	struct join *j = nmti_container(src, struct join, src);
	int n = nmti_inbox_read(&j->in, src->fd, events);

	if (n == -EAGAIN)
		return;
	if (n < 0 || j->in.have > (uint32_t)n)
		join_refuse(j, NMT_WHY_MALFORMED);
	else
		join_done(j, (size_t)n);
}

static void join_late(struct nmti_timer *t)
{
	join_refuse(nmti_container(t, struct join, timer), NMT_WHY_TIMEOUT);
}

static void join_new(struct nmti_rdv *rdv, int fd)
{
	struct join *j = calloc(1, sizeof(*j));

	if (!j) {
		close(fd);
		return;
	}
	if (rdv->njoins >= JOINS_MAX)
		join_refuse(nmti_container(rdv->joins.next, struct join, node), NMT_WHY_BUSY);
	j->rdv = rdv;
	j->in.buf = j->buf;
	j->in.cap = sizeof(j->buf);
	j->src.fd = fd;
	j->src.ready = join_ready;
	j->timer.fire = join_late;
	nmti_list_add_tail(&j->node, &rdv->joins);
	rdv->njoins++;
	if (nmti_watch(rdv->dom, &j->src, NMTI_SOCK_EVENTS) ||
	    nmti_timer_set(rdv->dom, &j->timer, nmti_deadline(rdv->patience)))
		join_refuse(j, NMT_WHY_BUSY);
}

static void rdv_ready(struct nmti_source *src, uint32_t events)
{
	struct nmti_rdv *rdv = nmti_container(src, struct nmti_rdv, src);
	int fd;

	(void)events;
	for (;;) {
		fd = accept4(src->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd >= 0) {
			join_new(rdv, fd);
		} else if (errno == EAGAIN) {
			return;
		} else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS ||
			   errno == ENOMEM) {
			nmti_warn(rdv->dom->ctx, "rendezvous: accept: %s; raise RLIMIT_NOFILE",
				  strerror(errno));
			nmti_timer_set(rdv->dom, &rdv->retry, nmti_now() + RETRY_NS);
			return;
		}
	}
}

static void rdv_retry(struct nmti_timer *t)
{
	struct nmti_rdv *rdv = nmti_container(t, struct nmti_rdv, retry);

	rdv_ready(&rdv->src, 0);
}

/* ---- opening and closing ---- */

static int rdv_socket(int family)
{
	struct sockaddr_storage any = { .ss_family = (sa_family_t)family };
	int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int off = 0, on = 1, rc;

	if (fd < 0)
		return -errno;
	if (family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)); /* inherited */
	if (!bind(fd, (struct sockaddr *)&any,
		  family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in)) &&
	    !listen(fd, SOMAXCONN))
		return fd;
	rc = -errno;
	close(fd);
	return rc;
}

static int rdv_bind(struct nmti_rdv *rdv)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);
	int fd = rdv_socket(AF_INET6);

	if (fd < 0)
		fd = rdv_socket(AF_INET);
	if (fd < 0)
		return fd;
	rdv->src.fd = fd;
	if (getsockname(fd, (struct sockaddr *)&ss, &len))
		return -errno;
	rdv->port = ntohs(ss.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&ss)->sin6_port
						   : ((struct sockaddr_in *)&ss)->sin_port);
	return nmti_watch(rdv->dom, &rdv->src, EPOLLIN);
}

static struct nmti_rdv *rdv_open(struct nmt_domain *dom, int *err)
{
	struct nmti_rdv *rdv;
	int rc;

	rdv = calloc(1, sizeof(*rdv));
	*err = -ENOMEM;
	if (!rdv)
		return NULL;
	rdv->dom = dom;
	rdv->src.fd = -1;
	rdv->src.ready = rdv_ready;
	rdv->retry.fire = rdv_retry;
	nmti_list_init(&rdv->joins);
	rc = rdv_bind(rdv);
	if (rc) {
		nmti_err(dom->ctx, "no rendezvous port: %s", strerror(-rc));
		if (rdv->src.fd >= 0)
			close(rdv->src.fd);
		free(rdv);
		*err = rc;
		return NULL;
	}
	return rdv;
}

int nmti_rdv_port(struct nmt_domain *dom, int64_t patience)
{
	int err = 0;

	if (!dom->rdv)
		dom->rdv = rdv_open(dom, &err);
	if (!dom->rdv)
		return err;
	dom->rdv->patience = patience;
	return dom->rdv->port;
}

void nmti_rdv_close(struct nmt_domain *dom)
{
	struct nmti_rdv *rdv = dom->rdv;

	if (!rdv)
		return;
	while (!nmti_list_empty(&rdv->joins))
		join_drop(nmti_container(rdv->joins.next, struct join, node));
	nmti_timer_cancel(dom, &rdv->retry);
	nmti_forget(dom, &rdv->src);
	close(rdv->src.fd);
	free(rdv);
	dom->rdv = NULL;
}
