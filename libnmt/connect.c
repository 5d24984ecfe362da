/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * nmt_connect: look the name up, try its addresses in turn, then hand the socket to the provider
 * (raw) or to the handshake (negotiated).
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "setup.h"

static void try_next(struct nmti_boot *b);

static void late(struct nmti_timer *t)
{
	struct nmti_boot *b = nmti_container(t, struct nmti_boot, timer);

	nmti_boot_fail(b, -ETIMEDOUT, NMT_WHY_TIMEOUT, "set-up");
}

struct nmti_boot *nmti_boot_new(struct nmt_stream *s, const struct nmt_stream_attr *attr)
{
	struct nmti_boot *b = malloc(sizeof(*b));

	if (!b)
		return NULL;
	memset(b, 0, offsetof(struct nmti_boot, hello));
	b->in.buf = b->inbuf;
	b->in.cap = sizeof(b->inbuf);
	s->memory += sizeof(*b);
	b->s = s;
	b->src.fd = b->data.fd = -1;
	b->timer.fire = late;
	b->attr = *attr;
	nmti_list_init(&b->node);
	if (nmti_attr_strings(&b->attr, &b->strings)) {
		free(b);
		return NULL;
	}
	s->boot = b;
	return b;
}

void nmti_source_close(struct nmt_domain *dom, struct nmti_source *src)
{
	if (src->fd < 0)
		return;
	nmti_forget(dom, src);
	close(src->fd);
	src->fd = -1;
}

void nmti_boot_free(struct nmt_stream *s)
{
	struct nmti_boot *b = s->boot;

	if (!b)
		return;
	s->boot = NULL;
	s->memory -= sizeof(*b);
	nmti_timer_cancel(s->dom, &b->timer);
	nmti_timer_cancel(s->dom, &b->share);
	nmti_timer_cancel(s->dom, &b->drop);
	nmti_list_del(&b->node);
	if (b->lookup) { /* its descriptor is the look-up's own */
		nmti_unwatch(s->dom, &b->src);
		nmti_lookup_cancel(b->lookup);
		b->src.fd = -1;
	}
	nmti_source_close(s->dom, &b->src);
	nmti_source_close(s->dom, &b->data);
	free(b->strings);
	free(b);
}

/* ---- TCP ---- */

static void connected(struct nmti_boot *b)
{
	struct nmt_stream *s = b->s;
	struct nmti_path path = { .fd = b->src.fd };
	struct nmt_pdomain *pd;
	int rc;

	if (s->tune.mode == NMT_MODE_NEGOTIATED) {
		nmti_boot_client(b);
		return;
	}
	pd = nmti_raw_provider(s->dom);
	b->src.fd = -1; /* the provider's now; its watch takes the descriptor over */
	rc = pd ? nmti_stream_attach(s, pd, &path) : -EOPNOTSUPP;
	if (rc)
		nmti_boot_fail(b, rc, NMT_WHY_PATH, "provider");
	else
		nmti_boot_free(s);
}

static void attempt_failed(struct nmti_boot *b, int err)
{
	b->last_error = err;
	nmti_source_close(b->s->dom, &b->src);
	try_next(b);
}

static void connect_ready(struct nmti_source *src, uint32_t events)
{
	struct nmti_boot *b = nmti_container(src, struct nmti_boot, src);
	int rc = nmti_connect_result(src->fd, events);

	if (rc == -EAGAIN)
		return;
	if (rc)
		attempt_failed(b, rc);
	else
		connected(b);
}

static int bind_local(struct nmti_boot *b, int fd, int family)
{
	struct nmti_addr addr[NMTI_ADDRS_MAX];
	struct nmti_hostport hp;
	int n, on = 1;

	if (!b->attr.local_addr)
		return 0;
	n = nmti_addr_parse(b->attr.local_addr, 0, &hp);
	if (n)
		return n;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	n = nmti_addr_numeric(&hp, true, addr, NMTI_ADDRS_MAX);
	for (int i = 0; i < n; i++)
		if (addr[i].ss.ss_family == family)
			return bind(fd, (struct sockaddr *)&addr[i].ss, addr[i].len) ? -errno : 0;
	return -EADDRNOTAVAIL;
}

static int start(struct nmti_boot *b, const struct nmti_addr *addr)
{
	struct nmt_stream *s = b->s;
	int fd = nmti_socket(s->ctx, addr->ss.ss_family, &b->attr, nmti_netdev(s->dom));
	int rc;

	if (fd < 0)
		return fd;
	b->src.fd = fd;
	b->src.ready = connect_ready;
	rc = bind_local(b, fd, addr->ss.ss_family);
	if (!rc && connect(fd, (const struct sockaddr *)&addr->ss, addr->len) &&
	    errno != EINPROGRESS)
		rc = -errno;
	return rc ? rc : nmti_watch(s->dom, &b->src, NMTI_SOCK_EVENTS);
}

static void try_next(struct nmti_boot *b)
{
	while (b->at < b->naddr) {
		b->s->state = NMT_STATE_CONNECTING;
		b->step = BOOT_CONNECT;
		b->last_error = start(b, &b->addr[b->at++]);
		if (!b->last_error)
			return;
		nmti_source_close(b->s->dom, &b->src);
	}
	nmti_boot_fail(b, b->last_error ? b->last_error : -ENOENT, NMT_WHY_PATH, "connect");
}

/* ---- names ---- */

static void lookup_ready(struct nmti_source *src, uint32_t events)
{
	struct nmti_boot *b = nmti_container(src, struct nmti_boot, src);
	int n;

	(void)events;
	nmti_unwatch(b->s->dom, src);
	n = nmti_lookup_finish(b->lookup, b->addr, NMTI_ADDRS_MAX);
	b->lookup = NULL;
	src->fd = -1;
	if (n < 0) {
		nmti_boot_fail(b, n, NMT_WHY_PATH, "looking the name up");
		return;
	}
	b->naddr = n;
	try_next(b);
}

static int resolve(struct nmti_boot *b, const struct nmti_hostport *hp)
{
	int rc, n = nmti_addr_numeric(hp, false, b->addr, NMTI_ADDRS_MAX);

	if (n > 0) {
		b->naddr = n;
		try_next(b);
		return 0;
	}
	if (n != -EAGAIN)
		return n;
	b->s->state = NMT_STATE_RESOLVING;
	b->step = BOOT_RESOLVE;
	b->src.ready = lookup_ready;
	rc = nmti_lookup_start(hp, &b->lookup, &b->src.fd);
	if (rc) {
		b->src.fd = -1;
		return rc;
	}
	return nmti_watch(b->s->dom, &b->src, EPOLLIN);
}

/* ---- the call ---- */

static int connect_blocking(struct nmt_stream *s)
{
	int rc = 0;

	while (!rc && s->state < NMT_STATE_OPEN)
		rc = nmti_block(s->dom, INT64_MAX); /* the stream has its own deadline */
	return rc ? rc : s->error;
}

static int begin(struct nmt_stream *s, const struct nmt_stream_attr *attr, const char *addr,
		 const struct nmti_hostport *hp)
{
	struct nmti_boot *b = nmti_boot_new(s, attr);
	int rc;

	if (!b)
		return -ENOMEM;
	snprintf(b->name, sizeof(b->name), "%s", addr);
	rc = nmti_timer_set(s->dom, &b->timer, nmti_deadline(attr->connect_timeout));
	if (!rc)
		rc = resolve(b, hp);
	if (!rc && attr->flags & NMT_STREAM_BLOCKING)
		rc = connect_blocking(s);
	return rc;
}

static bool no_resources(int err)
{
	return err == -EMFILE || err == -ENFILE || err == -ENOMEM || err == -ENOBUFS;
}

int nmt_connect(struct nmt_domain *dom, const char *addr, const struct nmt_stream_attr *user,
		struct nmt_stream **out)
{
	struct nmt_stream_attr attr;
	struct nmti_hostport hp;
	struct nmt_stream *s;
	int rc;

	if (!dom || !out)
		return -EINVAL;
	rc = nmti_stream_attr(dom, user, false, &attr);
	if (!rc && attr.local_addr && nmti_addr_parse(attr.local_addr, 0, &hp)) {
		nmti_err(dom->ctx, "connect: local address \"%.80s\" is no address",
			 attr.local_addr);
		rc = -EINVAL;
	}
	if (!rc && nmti_addr_parse(addr, NMT_DEFAULT_PORT, &hp)) {
		nmti_err(dom->ctx, "connect: \"%.80s\" is no address; write host:port, [v6]:port "
			 "or :port", addr ? addr : "");
		rc = -EINVAL;
	}
	if (!rc)
		rc = nmti_stream_new(dom, &attr, attr.mode, &s);
	if (rc)
		return rc;
	dom->stat.connects++;
	rc = begin(s, &attr, addr, &hp);
	if (!rc && no_resources(s->error)) /* failed already: tell at once */
		rc = s->error;
	if (rc) {
		nmti_stream_free(s);
		return rc;
	}
	*out = s;
	return 0;
}
