/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The transfer calls of nmt.h: arguments are checked here, blocking is done here, bytes are moved by
 * the provider.
 */
#include <limits.h>

#include "internal.h"

#define IOV_LIMIT 1024
#define FRAGS_LIMIT 64
/* While a blocking receive spins on its own stream, the rest of the domain gets a look this often. */
#define SPIN_SHARE 16

/* ---- state ---- */

/* 0: transfers may be tried; -EAGAIN: not open yet; else why not. */
static int usable(struct nmt_stream *s)
{
	if (!s || s->state > NMT_STATE_FAILED)
		return -EINVAL;
	if (s->state < NMT_STATE_OPEN)
		return -EAGAIN;
	return s->priv ? 0 : s->error;
}

/* The same for sending. */
static inline int sendable(struct nmt_stream *s)
{
	int rc = s->state == NMT_STATE_OPEN && s->priv ? 0 : usable(s);

	if (rc == -EAGAIN)
		s->tx_want = true;
	if (rc)
		return rc;
	if (s->error)
		return s->error;
	return s->tx_shut || s->peer_gone ? -EPIPE : 0;
}

static bool blocking(const struct nmt_stream *s, int flags)
{
	return s->blocking && !(flags & MSG_DONTWAIT);
}

static inline int total_length(const struct iovec *iov, int n, size_t *total)
{
	size_t sum = 0;

	if (n == 1 && iov && iov->iov_base) {
		*total = iov->iov_len;
		return *total > SSIZE_MAX ? -EINVAL : 0;
	}
	if (n < 0 || n > IOV_LIMIT || (n && !iov))
		return -EINVAL;
	for (int i = 0; i < n; i++) {
		if (iov[i].iov_len && !iov[i].iov_base)
			return -EFAULT;
		if (iov[i].iov_len > SSIZE_MAX - sum)
			return -EINVAL;
		sum += iov[i].iov_len;
	}
	*total = sum;
	return 0;
}

/* Copy of the part of an iovec that begins DONE bytes into it; returns its length. */
static int iov_from(const struct iovec *iov, int n, size_t done, struct iovec *out)
{
	int m = 0;

	for (int i = 0; i < n; i++) {
		if (done >= iov[i].iov_len) {
			done -= iov[i].iov_len;
			continue;
		}
		out[m].iov_base = (char *)iov[i].iov_base + done;
		out[m++].iov_len = iov[i].iov_len - done;
		done = 0;
	}
	return m;
}

/* ---- sending ---- */

static int send_flags(const struct nmt_stream *s, int flags)
{
	if (flags & MSG_OOB)
		return -EOPNOTSUPP;
	if (flags & ~(MSG_MORE | MSG_EOR | MSG_DONTWAIT | MSG_NOSIGNAL))
		return -EINVAL;
	if (flags & MSG_EOR && s->state >= NMT_STATE_OPEN && !s->records)
		return -EOPNOTSUPP;
	return 0;
}

static inline ssize_t send_once(struct nmt_stream *s, const struct iovec *iov, int n, size_t len,
				int flags)
{
	ssize_t r = s->ops->send(s, iov, n, flags);

	if (r == -EAGAIN || (r >= 0 && (size_t)r < len)) {
		s->tx_want = true;
		s->stat.stall_window++;
		if (s->tx_ready)
			nmti_tell(s);
	}
	if (r >= 0) {
		s->stat.tx_ops++;
		s->stat.tx_bytes += (uint64_t)r;
	}
	return r;
}

/*
 * A send that had to wait for the peer goes on until all of it is under way: bytes that the provider
 * buffers would stay there if nobody drove the domain next.
 */
static void send_rest(struct nmt_stream *s, int64_t deadline)
{
	while (s->ops->unsent && !s->error && s->ops->unsent(s))
		if (nmti_block(s->dom, deadline) < 0)
			return;
}

static ssize_t send_blocking(struct nmt_stream *s, const struct iovec *iov, int n, size_t len,
			     int flags)
{
	int64_t deadline = nmti_deadline(s->tune.send_timeout);
	struct iovec rest[IOV_LIMIT];
	bool waited = false;
	size_t done = 0;
	ssize_t r;

	for (;;) {
		r = sendable(s);
		if (!r)
			r = send_once(s, rest, iov_from(iov, n, done, rest), len - done, flags);
		if (r >= 0 && (done += (size_t)r) == len) {
			if (waited)
				send_rest(s, deadline);
			return (ssize_t)done;
		}
		if (r >= 0 && s->tx_ready)
			continue;
		waited = true;
		if (r >= 0 || r == -EAGAIN)
			r = nmti_block(s->dom, deadline);
		if (r < 0)
			return done ? (ssize_t)done : r;
	}
}

static inline ssize_t send_msg(struct nmt_stream *s, const struct iovec *iov, int n, int flags)
{
	size_t len;
	ssize_t r;

	r = s && s->state <= NMT_STATE_FAILED ? send_flags(s, flags) : -EINVAL;
	if (!r)
		r = total_length(iov, n, &len);
	if (r)
		return r;
	if (blocking(s, flags) && (len || flags & MSG_EOR))
		return send_blocking(s, iov, n, len, flags);
	r = sendable(s);
	if (r)
		return r;
	if (!len && !(flags & MSG_EOR))
		return 0;
	return send_once(s, iov, n, len, flags);
}

nmti_hot ssize_t nmt_sendmsg(struct nmt_stream *s, const struct iovec *iov, int n, int flags)
{
	return send_msg(s, iov, n, flags);
}

nmti_hot ssize_t nmt_send(struct nmt_stream *s, const void *buf, size_t len, int flags)
{
	struct iovec iov = { .iov_base = (void *)buf, .iov_len = len };

	return send_msg(s, &iov, 1, flags);
}

static int check_frags(const struct nmt_stream *s, const struct nmt_frag *frags, int n)
{
	int rc = 0;

	if (!frags || n < 1 || n > FRAGS_LIMIT)
		return -EINVAL;
	for (int i = 0; i < n && !rc; i++)
		rc = nmti_mr_check(s, frags[i].mr, frags[i].offset, frags[i].len, NMT_ACCESS_SEND);
	return rc;
}

nmti_hot int nmt_send_mr(struct nmt_stream *s, const struct nmt_frag *frags, int n, int flags,
			 uint64_t cookie)
{
	int rc;

	if (!s || s->state > NMT_STATE_FAILED)
		return -EINVAL;
	rc = send_flags(s, flags);
	if (!rc)
		rc = check_frags(s, frags, n);
	if (!rc)
		rc = sendable(s);
	if (!rc)
		rc = s->ops->send_mr(s, frags, n, flags, cookie);
	if (rc == -EAGAIN) {
		s->tx_want = true;
		s->stat.stall_window++;
	} else if (!rc) {
		s->stat.tx_ops++;
		for (int i = 0; i < n; i++)
			s->stat.tx_bytes += frags[i].len;
	}
	return rc;
}

int nmt_flush(struct nmt_stream *s, uint64_t cookie)
{
	int rc = usable(s);

	if (!rc)
		rc = s->error ? s->error : s->ops->flush(s, cookie);
	if (rc == -EAGAIN)
		s->tx_want = true;
	return rc;
}

/* ---- receiving ---- */

static int recv_flags(const struct nmt_stream *s, int flags)
{
	if (flags & MSG_OOB || s->posting)
		return -EOPNOTSUPP;
	return flags & ~(MSG_PEEK | MSG_WAITALL | MSG_DONTWAIT) ? -EINVAL : 0;
}

/* Remember who small receives come from, for the spin of nmt_poll. */
static inline void note_hot(struct nmt_stream *s, size_t n)
{
	struct nmt_domain *dom = s->dom;

	if (!s->ops->spin)
		return;
	if (dom->hot == s && n <= NMTI_HOT_BYTES) {
		dom->hot_count++;
		return;
	}
	dom->hot = n <= NMTI_HOT_BYTES ? s : NULL;
	dom->hot_count = 0;
}

static inline ssize_t recv_once(struct nmt_stream *s, const struct iovec *iov, int n, int flags,
				int *out_flags)
{
	ssize_t r;

	s->rx_told = false;
	r = s->ops->recv(s, iov, n, flags, out_flags);
	if (r > 0 && !(flags & MSG_PEEK)) {
		s->stat.rx_ops++;
		s->stat.rx_bytes += (uint64_t)r;
		note_hot(s, (size_t)r);
	}
	if (s->rx_ready)
		nmti_tell(s);
	return r;
}

/*
 * Try the stream itself for a while: a system call less than asking the domain first. Not for one
 * whose bytes come by completions, which the domain looks at.
 */
static ssize_t recv_spin(struct nmt_stream *s, const struct iovec *iov, int n, int flags,
			 int *out_flags, int64_t deadline)
{
	int64_t until = nmti_min64(nmti_deadline(s->dom->spin), deadline);
	ssize_t r;
	int rc, i = 0;

	do {
		s->rx_ready = true;
		r = recv_once(s, iov, n, flags, out_flags);
		if (r != -EAGAIN)
			return r;
		if (++i % SPIN_SHARE)
			continue;
		rc = nmti_progress(s->dom, 0);
		if (rc)
			return rc;
	} while (nmti_now() < until);
	return -EAGAIN;
}

static ssize_t recv_wait(struct nmt_stream *s, const struct iovec *iov, int n, int flags,
			 int *out_flags, int64_t deadline)
{
	ssize_t r;
	int rc;

	for (;;) {
		r = usable(s);
		if (!r)
			r = recv_once(s, iov, n, flags, out_flags);
		if (r == -EAGAIN && s->state == NMT_STATE_OPEN && s->ops->spin && s->dom->spin > 0)
			r = recv_spin(s, iov, n, flags, out_flags, deadline);
		if (r != -EAGAIN)
			return r;
		if (s->rx_ready && s->state == NMT_STATE_OPEN)
			continue; /* the last look at the domain found something */
		rc = nmti_block(s->dom, deadline);
		if (rc)
			return rc;
	}
}

/* MSG_WAITALL: until the buffers are full, a record ends, the stream ends or breaks. */
static ssize_t recv_blocking(struct nmt_stream *s, const struct iovec *iov, int n, size_t len,
			     int flags, int *out_flags)
{
	int64_t deadline = nmti_deadline(s->tune.recv_timeout);
	bool all = (flags & (MSG_WAITALL | MSG_PEEK)) == MSG_WAITALL;
	struct iovec rest[IOV_LIMIT];
	size_t done = 0;
	ssize_t r;

	if (!all)
		return recv_wait(s, iov, n, flags, out_flags, deadline);
	for (;;) {
		r = recv_wait(s, rest, iov_from(iov, n, done, rest), flags, out_flags, deadline);
		if (r <= 0)
			return done ? (ssize_t)done : r;
		done += (size_t)r;
		if (done == len || *out_flags & MSG_EOR)
			return (ssize_t)done;
	}
}

static inline ssize_t recv_msg(struct nmt_stream *s, const struct iovec *iov, int n, int flags,
			       int *out_flags)
{
	size_t len;
	ssize_t r;

	r = s && s->state <= NMT_STATE_FAILED ? recv_flags(s, flags) : -EINVAL;
	if (!r)
		r = total_length(iov, n, &len);
	if (r)
		return r;
	*out_flags = 0;
	if (s->posted)
		return -EBUSY;
	if (s->rx_shut)
		return 0;
	if (blocking(s, flags) && len)
		return recv_blocking(s, iov, n, len, flags, out_flags);
	r = usable(s);
	if (r || !len)
		return r;
	return recv_once(s, iov, n, flags, out_flags);
}

nmti_hot ssize_t nmt_recvmsg(struct nmt_stream *s, const struct iovec *iov, int n, int flags,
			     int *out_flags)
{
	int unused;

	return recv_msg(s, iov, n, flags, out_flags ? out_flags : &unused);
}

nmti_hot ssize_t nmt_recv(struct nmt_stream *s, void *buf, size_t len, int flags)
{
	struct iovec iov = { .iov_base = buf, .iov_len = len };
	int out_flags;

	return recv_msg(s, &iov, 1, flags, &out_flags);
}

nmti_hot int nmt_recv_frags(struct nmt_stream *s, struct nmt_frag *frags, int max, int flags)
{
	int n = usable(s);

	if (n == -EINVAL || flags || !frags || max < 1)
		return -EINVAL;
	if (s->posting)
		return -EOPNOTSUPP;
	if (n)
		return n;
	if (s->posted)
		return -EBUSY;
	if (s->rx_shut)
		return 0;
	s->rx_told = false;
	n = s->ops->recv_frags(s, frags, max);
	for (int i = 0; i < n; i++)
		s->stat.rx_bytes += frags[i].len;
	s->stat.rx_ops += n > 0;
	if (s->rx_ready && !s->stalled)
		nmti_tell(s);
	return n;
}

nmti_hot int nmt_release(struct nmt_stream *s, const struct nmt_frag *frags, int n)
{
	if (!s || s->state > NMT_STATE_FAILED || !frags || n < 1)
		return -EINVAL;
	return s->priv ? s->ops->release(s, frags, n) : -EINVAL;
}

int nmt_recv_into(struct nmt_stream *s, struct nmt_mr *mr, uint64_t offset, size_t len, int flags,
		  uint64_t cookie)
{
	int rc;

	if (!s || s->state > NMT_STATE_FAILED || !len || flags & ~(NMT_RECV_WHOLE | NMT_RECV_SOME))
		return -EINVAL;
	if (flags & NMT_RECV_SOME && (flags & NMT_RECV_WHOLE || s->posting))
		return -EINVAL;
	rc = nmti_mr_check(s, mr, offset, len, NMT_ACCESS_RECV);
	if (!rc)
		rc = usable(s);
	if (!rc && s->rx_shut)
		rc = -EPIPE;
	return rc ? rc : s->ops->recv_into(s, mr, offset, len, flags, cookie);
}

int nmt_recv_cancel(struct nmt_stream *s, uint64_t cookie)
{
	int rc = usable(s);

	if (rc == -EAGAIN)
		return -ENOENT;
	return rc ? rc : s->ops->recv_cancel(s, cookie);
}

/* ---- ending ---- */

static int shut_rd(struct nmt_stream *s)
{
	if (s->rx_shut)
		return 0;
	s->rx_shut = true;
	s->rx_ready = false;
	nmti_loans_drop(s);
	return s->ops->shutdown(s, SHUT_RD);
}

static int shut_wr(struct nmt_stream *s)
{
	if (s->tx_shut)
		return 0;
	s->tx_shut = true;
	return s->ops->shutdown(s, SHUT_WR);
}

int nmt_shutdown(struct nmt_stream *s, int how)
{
	int rc = 0;

	if (!s || s->state > NMT_STATE_FAILED || how < SHUT_RD || how > SHUT_RDWR)
		return -EINVAL;
	if (s->state != NMT_STATE_OPEN)
		return s->error ? s->error : -ENOTCONN;
	if (how != SHUT_WR)
		rc = shut_rd(s);
	if (!rc && how != SHUT_RD)
		rc = shut_wr(s);
	return rc;
}
