/* SPDX-License-Identifier: BSD-2-Clause */
/* What a stream or a domain says of itself: counters, state, options. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "internal.h"

static void from_rma_counters(struct nmt_stats *st, const struct nmti_counters *c)
{
	st->rma_writes = c->rma_writes;
	st->rma_doorbells = c->rma_doorbells;
	st->rma_signalled = c->rma_signalled;
	st->ctrl_sent = c->ctrl_sent;
	st->grants = c->grants;
	st->stall_credit = c->stall_credit;
	st->stall_queue = c->stall_queue;
	st->recoveries = c->recoveries;
}

static void from_counters(struct nmt_stats *st, const struct nmti_counters *c)
{
	st->tx_bytes = c->tx_bytes;
	st->rx_bytes = c->rx_bytes;
	st->tx_ops = c->tx_ops;
	st->rx_ops = c->rx_ops;
	st->tx_copied = c->tx_copied;
	st->rx_copied = c->rx_copied;
	st->tx_syscalls = c->tx_syscalls;
	st->rx_syscalls = c->rx_syscalls;
	st->zc_sends = c->zc_sends;
	st->zc_copied = c->zc_copied;
	st->stall_window = c->stall_window;
	st->stall_memory = c->stall_memory;
	st->fallback_zerocopy = c->fallback_zerocopy;
	st->fallback_staging = c->fallback_staging;
	from_rma_counters(st, c);
}

static uint64_t memory_of(const struct nmt_stream *s)
{
	return sizeof(*s) + (s->priv ? s->ops->stream_size : 0) + s->memory;
}

static void domain_stats(const struct nmt_domain *dom, struct nmt_stats *st)
{
	struct nmti_counters sum = dom->gone;
	const struct nmti_list *node;
	uint64_t memory = 0;

	for (node = dom->streams.next; node != &dom->streams; node = node->next) {
		const struct nmt_stream *s = nmti_container(node, struct nmt_stream, all);

		nmti_counters_add(&sum, &s->stat);
		memory += memory_of(s);
	}
	*st = dom->stat;
	from_counters(st, &sum);
	st->streams = dom->nstreams;
	st->pool_bytes = dom->pool.cells * dom->pool.cell_size;
	st->pool_held = dom->pool.held * dom->pool.cell_size;
	st->pool_reserved = dom->pool.reserved * dom->pool.cell_size;
	st->stream_memory = memory;
}

/* Fill as much of a caller's struct as the caller knows. */
static int give(void *user, const void *full, size_t known)
{
	size_t size = *(size_t *)user;

	if (size < sizeof(size_t))
		return -EINVAL;
	memcpy(user, full, size < known ? size : known);
	*(size_t *)user = size;
	return 0;
}

int nmt_stats(const struct nmt_domain *dom, const struct nmt_stream *s, struct nmt_stats *user)
{
	struct nmt_stats st = NMT_STATS_INIT;

	if (!user || (!dom && !s))
		return -EINVAL;
	if (s) {
		from_counters(&st, &s->stat);
		st.pool_held = (uint64_t)s->held * s->dom->pool.cell_size;
		st.pool_reserved = (uint64_t)s->tune.pool_reserve * s->dom->pool.cell_size;
		st.stream_memory = memory_of(s);
		st.streams = 1;
	} else {
		domain_stats(dom, &st);
	}
	return give(user, &st, sizeof(st));
}

static uint32_t waits_of(const struct nmt_stream *s)
{
	uint32_t waits = 0;

	if (s->state != NMT_STATE_OPEN)
		return 0;
	if (s->stalled)
		waits |= NMT_WAIT_MEMORY;
	else if (s->rx_ready)
		waits |= NMT_WAIT_APP;
	else
		waits |= NMT_WAIT_PEER;
	if (s->tx_want && !s->tx_ready)
		waits |= NMT_WAIT_WINDOW;
	return waits;
}

static void put_text(char *out, size_t size, const char *text)
{
	snprintf(out, size, "%s", text);
}

void nmti_stream_why(struct nmt_stream *s, enum nmt_reason why, const char *fmt, ...)
{
	va_list ap;

	s->why = (uint16_t)why;
	free(s->why_text);
	va_start(ap, fmt);
	if (vasprintf(&s->why_text, fmt, ap) < 0)
		s->why_text = NULL;
	va_end(ap);
}

static const char *why_text(const struct nmt_stream *s)
{
	if (s->why_text)
		return s->why_text;
	if (s->why == s->dom->why && s->dom->why_text[0])
		return s->dom->why_text;
	return nmt_reason_str(s->why);
}

int nmt_stream_info(const struct nmt_stream *s, struct nmt_stream_info *user)
{
	struct nmt_stream_info info = NMT_STREAM_INFO_INIT;

	if (!s || !user)
		return -EINVAL;
	info.state = s->state;
	info.mode = s->tune.mode;
	info.rails = s->tune.rails;
	info.recv_mode = s->tune.recv_mode;
	info.flags = s->tune.flags;
	info.error = s->error;
	info.lent = s->lent;
	info.held = (uint64_t)s->held * s->dom->pool.cell_size;
	info.waits = waits_of(s);
	info.why = s->why;
	if (s->why)
		put_text(info.why_text, sizeof(info.why_text), why_text(s));
	if (s->pd) {
		put_text(info.provider, sizeof(info.provider), s->ops->name);
		put_text(info.device, sizeof(info.device),
			 s->pd->device[0] ? s->pd->device : "any");
		info.caps = s->ops->caps;
		if (!s->ops->data_socket) /* it is known by its control channel's */
			nmti_ctl_addrs(s, info.local, info.peer);
	}
	if (s->priv)
		s->ops->info(s, &info);
	return give(user, &info, sizeof(info));
}

void nmt_stream_set_user(struct nmt_stream *s, void *user)
{
	if (s)
		s->user = user;
}

void *nmt_stream_user(const struct nmt_stream *s)
{
	return s ? s->user : NULL;
}

int nmt_stream_fd(struct nmt_stream *s)
{
	if (!s || s->state > NMT_STATE_FAILED)
		return -EINVAL;
	return s->priv ? s->ops->fd(s) : -ENOTCONN;
}

/* ---- options that the core keeps ---- */

static int64_t *kept_time(struct nmt_stream *s, enum nmt_opt opt)
{
	switch (opt) {
	case NMT_OPT_SEND_TIMEOUT:
		return &s->tune.send_timeout;
	case NMT_OPT_RECV_TIMEOUT:
		return &s->tune.recv_timeout;
	case NMT_OPT_LINGER:
		return &s->tune.linger;
	default:
		return NULL;
	}
}

static int set_kept(struct nmt_stream *s, enum nmt_opt opt, int64_t v)
{
	int64_t *t = kept_time(s, opt);

	if (t) {
		if (v < NMT_FOREVER)
			return -EINVAL;
		*t = v;
		return 0;
	}
	if (opt == NMT_OPT_BLOCKING) {
		if (v != 0 && v != 1)
			return -EINVAL;
		s->tune.flags &= ~NMT_STREAM_BLOCKING;
		s->tune.flags |= v ? NMT_STREAM_BLOCKING : 0;
		s->blocking = v;
		return 0;
	}
	if (v < 0 || v > UINT32_MAX)
		return -EINVAL;
	s->tune.zerocopy_min = (uint32_t)v;
	return 0;
}

static bool is_kept(enum nmt_opt opt)
{
	return opt == NMT_OPT_BLOCKING || opt == NMT_OPT_SEND_TIMEOUT ||
	       opt == NMT_OPT_RECV_TIMEOUT || opt == NMT_OPT_LINGER ||
	       opt == NMT_OPT_ZEROCOPY_MIN;
}

static int opt_check(const struct nmt_stream *s, enum nmt_opt opt, const void *val)
{
	if (!s || !val || s->state > NMT_STATE_FAILED)
		return -EINVAL;
	return opt < NMT_OPT_BLOCKING || opt > NMT_OPT_CONGESTION ? -ENOPROTOOPT : 0;
}

int nmt_stream_setopt(struct nmt_stream *s, enum nmt_opt opt, const void *val, size_t len)
{
	int64_t v = 0;
	int rc = opt_check(s, opt, val);

	if (rc)
		return rc;
	if (opt != NMT_OPT_CONGESTION) {
		if (len != sizeof(v))
			return -EINVAL;
		memcpy(&v, val, sizeof(v));
	}
	if (is_kept(opt))
		return set_kept(s, opt, v);
	return s->priv ? s->ops->setopt(s, opt, val, len) : -ENOTCONN;
}

int nmt_stream_getopt(struct nmt_stream *s, enum nmt_opt opt, void *val, size_t *len)
{
	int64_t v;
	int rc = opt_check(s, opt, val);

	if (rc || !len)
		return rc ? rc : -EINVAL;
	if (opt != NMT_OPT_CONGESTION && *len < sizeof(v))
		return -EINVAL;
	if (!is_kept(opt))
		return s->priv ? s->ops->getopt(s, opt, val, len) : -ENOTCONN;
	if (opt == NMT_OPT_BLOCKING)
		v = s->blocking;
	else if (opt == NMT_OPT_ZEROCOPY_MIN)
		v = s->tune.zerocopy_min;
	else
		v = *kept_time(s, opt);
	memcpy(val, &v, sizeof(v));
	*len = sizeof(v);
	return 0;
}
