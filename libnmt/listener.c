/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Listeners. A raw one leaves connections in the kernel's queue until nmt_accept; a negotiated or
 * either one greets them first (greet.c), so that nmt_accept only gives out peers that spoke.
 */
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "setup.h"

/* After EMFILE and its like: how long before trying again. */
#define RETRY_NS INT64_C(20000000)

static bool greets(const struct nmt_listener *l)
{
	return l->attr.mode != NMT_MODE_RAW;
}

void nmti_listener_tell(struct nmt_listener *l)
{
	l->dom->happened++;
	if (nmti_list_empty(&l->told))
		nmti_list_add_tail(&l->told, &l->dom->listeners_told);
}

static bool has_connection(struct nmt_listener *l)
{
	bool has;

	if (!greets(l))
		return l->ready;
	pthread_mutex_lock(&l->lock);
	has = l->queued;
	pthread_mutex_unlock(&l->lock);
	return has;
}

int nmti_listener_events(struct nmt_listener *l, struct nmt_event *ev)
{
	if (!has_connection(l))
		return 0;
	memset(ev, 0, sizeof(*ev));
	ev->type = NMT_EV_ACCEPT;
	ev->listener = l;
	ev->user = l->attr.user;
	return 1;
}

static void listener_ready(struct nmti_source *src, uint32_t events)
{
	struct nmt_listener *l = nmti_container(src, struct nmt_listener, src);

	(void)events;
	l->ready = true;
	if (greets(l))
		nmti_greet_accept(l);
	else
		nmti_listener_tell(l);
}

static void retry_fire(struct nmti_timer *t)
{
	struct nmt_listener *l = nmti_container(t, struct nmt_listener, retry);

	listener_ready(&l->src, 0);
}

/* Errors of accept(2) that say "not now" leave the connection in the queue: try again later. */
int nmti_accept_error(struct nmt_listener *l, int err)
{
	switch (err) {
	case EAGAIN:
		l->ready = false;
		return -EAGAIN;
	case EMFILE:
	case ENFILE:
	case ENOBUFS:
	case ENOMEM:
		if (!l->retry.slot)
			nmti_warn(l->dom->ctx, "accept: %s; raise RLIMIT_NOFILE or close streams",
				  strerror(err));
		nmti_timer_set(l->dom, &l->retry, nmti_now() + RETRY_NS);
		return -err;
	default: /* accept(2): errors of the connection itself are as if it had never come */
		return 0;
	}
}

/* ---- listening ---- */

static int bind_one(struct nmt_domain *dom, const struct nmti_addr *addr,
		    const struct nmt_stream_attr *a)
{
	int on = 1, v6only = !!(a->flags & NMT_STREAM_V6ONLY), rc;
	int fd = nmti_socket(dom->ctx, addr->ss.ss_family, a, nmti_netdev(dom));

	if (fd < 0)
		return fd;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (a->flags & NMT_STREAM_REUSEPORT)
		setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
	if (addr->ss.ss_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6only, sizeof(v6only));
	if (a->mode == NMT_MODE_NEGOTIATED)
		nmti_socket_control(fd, a);
	rc = bind(fd, (const struct sockaddr *)&addr->ss, addr->len);
	if (!rc)
		rc = listen(fd, (int)a->backlog);
	if (!rc)
		return fd;
	rc = -errno;
	close(fd);
	return rc;
}

static int bind_any(struct nmt_domain *dom, const char *text, const struct nmt_stream_attr *a)
{
	struct nmti_addr addr[NMTI_ADDRS_MAX];
	struct nmti_hostport hp;
	int n = nmti_addr_parse(text, NMT_DEFAULT_PORT, &hp), fd = -ENOENT;

	if (n) {
		nmti_err(dom->ctx, "listen: \"%.80s\" is no address; write host:port, [v6]:port "
			 "or :port", text ? text : "");
		return n;
	}
	n = nmti_addr_resolve(&hp, true, addr, NMTI_ADDRS_MAX);
	if (n < 0)
		fd = n;
	for (int i = 0; i < n; i++) {
		fd = bind_one(dom, &addr[i], a);
		if (fd >= 0)
			return fd;
	}
	nmti_err(dom->ctx, "listen on %s: %s", text, strerror(-fd));
	return fd;
}

static int listener_setup(struct nmt_listener *l, const char *addr)
{
	int fd = bind_any(l->dom, addr, &l->attr), rc;

	if (fd < 0)
		return fd;
	l->src.fd = fd;
	l->src.ready = listener_ready;
	l->retry.fire = retry_fire;
	rc = nmti_watch(l->dom, &l->src, EPOLLIN);
	if (rc)
		close(fd);
	return rc;
}

static void listener_release(struct nmt_listener *l)
{
	pthread_mutex_destroy(&l->lock);
	free(l->strings);
	free(l);
}

int nmt_listen(struct nmt_domain *dom, const char *addr, const struct nmt_stream_attr *user,
	       struct nmt_listener **out)
{
	struct nmt_listener *l;
	int rc;

	if (!dom || !out)
		return -EINVAL;
	l = calloc(1, sizeof(*l));
	if (!l)
		return -ENOMEM;
	l->dom = dom;
	pthread_mutex_init(&l->lock, NULL);
	nmti_list_init(&l->node);
	nmti_list_init(&l->told);
	nmti_list_init(&l->queue);
	nmti_list_init(&l->greets);
	rc = nmti_stream_attr(dom, user, true, &l->attr);
	if (!rc)
		rc = nmti_attr_strings(&l->attr, &l->strings);
	if (!rc)
		rc = listener_setup(l, addr);
	if (rc) {
		listener_release(l);
		return rc;
	}
	nmti_list_add_tail(&l->node, &dom->listeners);
	*out = l;
	return 0;
}

void nmti_listener_free(struct nmt_listener *l)
{
	nmti_timer_cancel(l->dom, &l->retry);
	nmti_unwatch(l->dom, &l->src);
	close(l->src.fd);
	nmti_list_del(&l->node);
	nmti_list_del(&l->told);
	nmti_greets_drop(l);
	listener_release(l);
}

int nmt_listener_close(struct nmt_listener *l)
{
	if (!l)
		return -EINVAL;
	nmti_listener_free(l);
	return 0;
}

int nmt_listener_addr(const struct nmt_listener *l, char *buf, size_t len)
{
	struct sockaddr_storage ss;
	socklen_t sslen = sizeof(ss);

	if (!l || !buf)
		return -EINVAL;
	if (getsockname(l->src.fd, (struct sockaddr *)&ss, &sslen))
		return -errno;
	return nmti_addr_format(&ss, buf, len);
}

/* ---- accepting ---- */

static int open_raw(struct nmt_listener *l, struct nmt_domain *dom, int fd,
		    struct nmt_stream **out)
{
	struct nmti_path path = { .fd = fd, .server = true };
	struct nmt_pdomain *pd = nmti_raw_provider(dom);
	struct nmt_stream *s;
	int rc = pd ? nmti_stream_new(dom, &l->attr, NMT_MODE_RAW, &s) : -EOPNOTSUPP;

	if (rc) {
		close(fd);
		return rc;
	}
	rc = nmti_stream_attach(s, pd, &path);
	if (rc) {
		nmti_stream_free(s);
		return rc;
	}
	dom->stat.accepts++;
	*out = s;
	return 0;
}

/* The listener's own thread has the timer that repeats NMT_EV_ACCEPT. */
static int foreign_error(struct nmt_listener *l, int err)
{
	if (err == EAGAIN)
		return -EAGAIN;
	if (err != EMFILE && err != ENFILE && err != ENOBUFS && err != ENOMEM)
		return 0;
	__atomic_store_n(&l->again, true, __ATOMIC_RELEASE);
	nmt_wake(l->dom);
	return -err;
}

void nmti_listener_woken(struct nmt_listener *l)
{
	if (__atomic_exchange_n(&l->again, false, __ATOMIC_ACQUIRE))
		nmti_timer_set(l->dom, &l->retry, nmti_now() + RETRY_NS);
}

static int accept_raw(struct nmt_listener *l, struct nmt_domain *dom, struct nmt_stream **out)
{
	int fd, rc;

	if (l->dom == dom && !l->ready)
		return -EAGAIN;
	do {
		fd = accept4(l->src.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd >= 0)
			return open_raw(l, dom, fd, out);
		rc = l->dom == dom ? nmti_accept_error(l, errno) : foreign_error(l, errno);
	} while (!rc);
	return rc;
}

static struct nmti_greet *take_greet(struct nmt_listener *l)
{
	struct nmti_list *node;

	pthread_mutex_lock(&l->lock);
	node = nmti_list_pop(&l->queue);
	l->queued -= !!node;
	pthread_mutex_unlock(&l->lock);
	return node ? nmti_container(node, struct nmti_greet, node) : NULL;
}

static int open_negotiated(struct nmt_listener *l, struct nmt_domain *dom,
			   const struct nmti_greet *g, struct nmt_stream **out)
{
	struct nmt_stream *s;
	int rc = nmti_stream_new(dom, &l->attr, NMT_MODE_NEGOTIATED, &s);

	if (rc) {
		nmti_decline(g->src.fd, NMT_WHY_BUSY);
		close(g->src.fd);
		return rc;
	}
	rc = nmti_boot_server(s, &l->attr, g->src.fd, &g->hello);
	if (rc) {
		nmti_stream_free(s);
		return rc;
	}
	dom->stat.accepts++;
	*out = s;
	return 0;
}

static int accept_greeted(struct nmt_listener *l, struct nmt_domain *dom, struct nmt_stream **out)
{
	struct nmti_greet *g = take_greet(l);
	int rc;

	if (!g)
		return -EAGAIN;
	rc = g->raw ? open_raw(l, dom, g->src.fd, out) : open_negotiated(l, dom, g, out);
	g->src.fd = -1;
	nmti_greet_free(g);
	return rc;
}

static int accept_once(struct nmt_listener *l, struct nmt_domain *dom, struct nmt_stream **out)
{
	int rc = greets(l) ? accept_greeted(l, dom, out) : accept_raw(l, dom, out);

	if (!rc && l->dom == dom)
		nmti_listener_tell(l); /* there may be more: NMT_EV_ACCEPT looks */
	return rc;
}

/* A signal ends the call, not the handshake: the next one goes on with it. */
static int wait_open(struct nmt_listener *l, struct nmt_stream *s)
{
	int rc = nmti_block(l->dom, INT64_MAX);

	if (rc)
		l->half = s;
	return rc;
}

/* A blocking accept gives out streams that are open, and passes over those that failed. */
static int accept_blocking(struct nmt_listener *l, struct nmt_stream **out)
{
	struct nmt_domain *dom = l->dom;
	struct nmt_stream *s;
	int rc;

	for (;;) {
		s = l->half;
		l->half = NULL;
		rc = s ? 0 : accept_once(l, dom, &s);
		while (!rc && s->state < NMT_STATE_OPEN)
			rc = wait_open(l, s);
		if (!rc && s->state == NMT_STATE_OPEN) {
			*out = s;
			return 0;
		}
		if (!rc)
			nmti_stream_free(s);
		else if (rc == -EAGAIN)
			rc = nmti_block(dom, INT64_MAX);
		if (rc)
			return rc;
	}
}

int nmt_accept(struct nmt_listener *l, struct nmt_domain *dom, struct nmt_stream **out)
{
	if (!l || !out)
		return -EINVAL;
	dom = dom ? dom : l->dom;
	if (dom->ctx != l->dom->ctx)
		return -EINVAL;
	if (l->attr.flags & NMT_STREAM_BLOCKING && dom == l->dom)
		return accept_blocking(l, out);
	return accept_once(l, dom, out);
}
