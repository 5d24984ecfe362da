/* SPDX-License-Identifier: BSD-2-Clause */
/* Faults of sending: bytes, records, and borrowed memory given back too early. */
#include <stdlib.h>

#include "faults.h"

static size_t flatten(const struct iovec *iov, int n, unsigned char **out)
{
	size_t len = 0, at = 0;

	for (int i = 0; i < n; i++)
		len += iov[i].iov_len;
	*out = malloc(len + 1);
	for (int i = 0; i < n; at += iov[i++].iov_len)
		if (iov[i].iov_len)
			memcpy(*out + at, iov[i].iov_base, iov[i].iov_len);
	return len;
}

static void spoil(unsigned char *buf, size_t len)
{
	unsigned char first = buf[0];

	if (fault_on == TX_FLIP)
		buf[len / 2] ^= 4;
	if (fault_on == TX_REORDER) {
		memmove(buf, buf + 1, len - 1);
		buf[len - 1] = first;
	}
}

static ssize_t real_send(struct nmt_stream *s, void *buf, size_t len, int flags)
{
	struct iovec iov = { buf, len };

	return fault_real.send(s, &iov, 1, flags);
}

/* Faults that change the bytes; every fourth call, so that the stream gets going. */
static ssize_t send_spoilt(struct nmt_stream *s, const struct iovec *iov, int n, int flags)
{
	unsigned char *buf;
	size_t len = flatten(iov, n, &buf);
	ssize_t r;

	if (fault_of(s)->calls++ % 4 != 3 || len < 2) {
		free(buf);
		return fault_real.send(s, iov, n, flags);
	}
	spoil(buf, len);
	r = real_send(s, buf, fault_on == TX_DROP ? len - 1 : len, flags);
	if (fault_on == TX_DROP && r == (ssize_t)len - 1)
		r++;
	if (fault_on == TX_DUPLICATE && r > 0)
		real_send(s, buf + r - 1, 1, 0);
	free(buf);
	return r;
}

static ssize_t send_miscounted(struct nmt_stream *s, const struct iovec *iov, int n, int flags)
{
	ssize_t r = fault_real.send(s, iov, n, flags);
	size_t len = 0;

	for (int i = 0; i < n; i++)
		len += iov[i].iov_len;
	if (fault_on == TX_PARTIAL_MISCOUNTED && r > 1 && (size_t)r < len)
		return r - 1;
	if (fault_on == TX_EAGAIN_BUT_SENT && r > 0 && fault_of(s)->calls++ == 0)
		return -EAGAIN;
	return r;
}

static int spoil_flags(struct nmt_stream *s, int flags)
{
	if (fault_on == TX_EOR_LOST)
		return flags & ~MSG_EOR;
	if (fault_on == TX_EOR_SPURIOUS && s->records)
		return flags | MSG_EOR;
	return flags;
}

static bool empty(const struct iovec *iov, int n)
{
	for (int i = 0; i < n; i++)
		if (iov[i].iov_len)
			return false;
	return true;
}

static ssize_t fault_send(struct nmt_stream *s, const struct iovec *iov, int n, int flags)
{
	switch (fault_on) {
	case TX_DROP:
	case TX_DUPLICATE:
	case TX_REORDER:
	case TX_FLIP:
		return send_spoilt(s, iov, n, flags);
	case TX_PARTIAL_MISCOUNTED:
	case TX_EAGAIN_BUT_SENT:
		return send_miscounted(s, iov, n, flags);
	case TX_EMPTY_RECORD_LOST:
		return empty(iov, n) ? 0 : fault_real.send(s, iov, n, flags);
	case TX_HELD_BACK:
		/* The last send of a burst never leaves. */
		if (fault_of(s)->calls++ % 4 == 3)
			return iov[0].iov_len ? (ssize_t)iov[0].iov_len : 0;
		return fault_real.send(s, iov, n, flags);
	default:
		return fault_real.send(s, iov, n, spoil_flags(s, flags));
	}
}

/* ---- borrowed sends ---- */

bool fault_tx_work(struct nmt_stream *s)
{
	struct fault_stream *f = fault_of(s);

	if (!f->have_frag || fault_on != SENT_EARLY)
		return false;
	if (f->delay && --f->delay)
		return true;
	f->have_frag = false;
	f->swallow = fault_real.send_mr(s, &f->frag, 1, f->flags, f->cookie) == 0;
	return false;
}

/* Put the first run off, tell SENT at once. */
static int send_mr_early(struct nmt_stream *s, const struct nmt_frag *frags, int n, int flags,
			 uint64_t cookie)
{
	struct fault_stream *f = fault_of(s);

	if (n != 1 || f->have_frag || f->swallow)
		return fault_real.send_mr(s, frags, n, flags, cookie);
	f->frag = frags[0];
	f->have_frag = f->owe_sent = true;
	f->flags = flags;
	f->cookie = cookie;
	f->delay = 8;
	nmti_tell(s);
	nmti_work(s);
	return 0;
}

static int fault_send_mr(struct nmt_stream *s, const struct nmt_frag *frags, int n, int flags,
			 uint64_t cookie)
{
	if (fault_on == SENT_EARLY)
		return send_mr_early(s, frags, n, flags, cookie);
	return fault_real.send_mr(s, frags, n, spoil_flags(s, flags), cookie);
}

static int fault_flush(struct nmt_stream *s, uint64_t cookie)
{
	struct fault_stream *f = fault_of(s);

	if (fault_on == FLUSH_LOST)
		return 0;
	if (fault_on != FLUSH_EARLY || f->nflushes == ARRAY_LEN(f->flushes))
		return fault_real.flush(s, cookie);
	f->flushes[f->nflushes++] = cookie;
	nmti_tell(s);
	return 0;
}

void fault_tx_ops(struct nmt_provider_ops *ops)
{
	ops->send = fault_send;
	ops->send_mr = fault_send_mr;
	ops->flush = fault_flush;
}
