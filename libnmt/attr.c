/* SPDX-License-Identifier: BSD-2-Clause */
/* Stream attributes: checked copies with the defaults filled in. */
#include <limits.h>
#include <stdlib.h>

#include "internal.h"

#define SECONDS(n) ((n) * NMTI_NSEC)
#define DEPTH_DEFAULT 64u
#define DEPTH_MAX 65536u
#define ZEROCOPY_MIN_DEFAULT (32u << 10)
#define PENDING_DEFAULT 1024u
#define FLAGS_ALL                                                                                  \
	(NMT_STREAM_BLOCKING | NMT_STREAM_RECORDS | NMT_STREAM_REUSEPORT | NMT_STREAM_V6ONLY |     \
	 NMT_STREAM_NAGLE)

static void fill64(int64_t *v, int64_t fallback)
{
	if (!*v)
		*v = fallback;
}

static void fill32(uint32_t *v, uint32_t fallback)
{
	if (!*v)
		*v = fallback;
}

static void fill_defaults(const struct nmt_domain *dom, struct nmt_stream_attr *a)
{
	fill64(&a->connect_timeout, SECONDS(30));
	fill64(&a->handshake_timeout, SECONDS(10));
	fill64(&a->send_timeout, NMT_FOREVER);
	fill64(&a->recv_timeout, NMT_FOREVER);
	fill64(&a->linger, SECONDS(30));
	fill64(&a->recovery_timeout, SECONDS(30));
	fill32(&a->rails, 1);
	fill32(&a->send_depth, DEPTH_DEFAULT);
	fill32(&a->recv_depth, DEPTH_DEFAULT);
	fill32(&a->zerocopy_min, ZEROCOPY_MIN_DEFAULT);
	fill32(&a->backlog, SOMAXCONN);
	fill32(&a->max_pending, PENDING_DEFAULT);
	if (a->mode == NMT_MODE_DEFAULT)
		a->mode = dom->negotiate ? NMT_MODE_NEGOTIATED : dom->pd[0].ops->default_mode;
}

static bool in_range(const struct nmt_stream_attr *a, bool listener)
{
	if (a->mode > (listener ? NMT_MODE_EITHER : NMT_MODE_NEGOTIATED))
		return false;
	if (a->connect_timeout < NMT_FOREVER || a->handshake_timeout < NMT_FOREVER ||
	    a->send_timeout < NMT_FOREVER || a->recv_timeout < NMT_FOREVER ||
	    a->linger < NMT_FOREVER || a->recovery_timeout < NMT_FOREVER)
		return false;
	return a->recv_mode <= NMT_RECV_POSTED && !(a->flags & ~FLAGS_ALL) &&
	       a->send_depth <= DEPTH_MAX && a->recv_depth <= DEPTH_MAX &&
	       a->backlog <= INT_MAX && a->tos <= 255;
}

/* Options of which some provider of the domain must be capable. */
static int refuse(const struct nmt_domain *dom, const struct nmt_stream_attr *a)
{
	uint64_t caps = 0;
	uint32_t rails = 0;

	for (int i = 0; i < dom->npd; i++) {
		caps |= dom->pd[i].ops->caps;
		if (dom->pd[i].ops->max_rails > rails)
			rails = dom->pd[i].ops->max_rails;
	}
	if (a->mode == NMT_MODE_RAW && (a->flags & NMT_STREAM_RECORDS)) {
		nmti_err(dom->ctx, "records need negotiated mode: a raw TCP stream has none");
		return -EOPNOTSUPP;
	}
	if (a->mode != NMT_MODE_NEGOTIATED && !(caps & NMT_CAP_RAW)) {
		nmti_err(dom->ctx, "%s has no raw mode", dom->spec);
		return -EOPNOTSUPP;
	}
	if (a->mode != NMT_MODE_RAW && !(caps & NMT_CAP_NEGOTIATED)) {
		nmti_err(dom->ctx, "%s has no negotiated mode", dom->spec);
		return -EOPNOTSUPP;
	}
	if (a->rails > rails) {
		nmti_err(dom->ctx, "%s has at most %u rail(s), %u asked", dom->spec, rails,
			 a->rails);
		return -EOPNOTSUPP;
	}
	return 0;
}

int nmti_stream_attr(struct nmt_domain *dom, const struct nmt_stream_attr *user, bool listener,
		     struct nmt_stream_attr *a)
{
	int rc = 0;

	memset(a, 0, sizeof(*a));
	a->size = sizeof(*a);
	if (user)
		rc = nmti_attr_copy(a, sizeof(*a), user);
	if (rc)
		return rc;
	fill_defaults(dom, a);
	return in_range(a, listener) ? refuse(dom, a) : -EINVAL;
}

static uint32_t cells(const struct nmt_domain *dom, uint32_t bytes)
{
	uint32_t size = dom->pool.cell_size;

	return bytes / size + (bytes % size != 0);
}

void nmti_tuning_from(struct nmt_domain *dom, const struct nmt_stream_attr *a, uint32_t mode,
		      struct nmti_tuning *t)
{
	uint64_t quarter = dom->pool.shared_max / 4;

	t->send_timeout = a->send_timeout;
	t->recv_timeout = a->recv_timeout;
	t->linger = a->linger;
	t->recovery = a->recovery_timeout;
	t->send_depth = a->send_depth;
	t->recv_depth = a->recv_depth;
	t->zerocopy_min = a->zerocopy_min;
	t->flags = a->flags;
	t->recv_mode = (uint8_t)a->recv_mode;
	t->mode = (uint8_t)mode;
	t->rails = (uint16_t)a->rails;
	t->pool_reserve = a->pool_reserve ? cells(dom, a->pool_reserve) : 1;
	t->pool_share = a->pool_share ? cells(dom, a->pool_share) : 4;
	if (!a->pool_share && quarter > 4)
		t->pool_share = quarter > UINT32_MAX ? UINT32_MAX : (uint32_t)quarter;
	if (t->pool_share < t->pool_reserve)
		t->pool_share = t->pool_reserve;
}

static char *pack(char *to, const char **text)
{
	size_t len;

	if (!*text)
		return to;
	len = strlen(*text) + 1;
	memcpy(to, *text, len);
	*text = to;
	return to + len;
}

static size_t room(const char *text)
{
	return text ? strlen(text) + 1 : 0;
}

int nmti_attr_strings(struct nmt_stream_attr *a, char **block)
{
	char *p;

	*block = NULL;
	if (!a->congestion && !a->bind_device && !a->local_addr)
		return 0;
	p = *block = malloc(room(a->congestion) + room(a->bind_device) + room(a->local_addr));
	if (!p)
		return -ENOMEM;
	p = pack(p, &a->congestion);
	p = pack(p, &a->bind_device);
	pack(p, &a->local_addr);
	return 0;
}
