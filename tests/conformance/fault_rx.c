/* SPDX-License-Identifier: BSD-2-Clause */
/* Faults of receiving: bytes, ends, loans, posted receives. */
#include "faults.h"

/* The stream that starves the others: the first one that had something to receive. */
static struct nmt_stream *greedy;

static bool starved(struct nmt_stream *s)
{
	if (fault_on != RX_STARVATION)
		return false;
	if (!greedy)
		greedy = s;
	return s != greedy;
}

static ssize_t spoil_count(struct nmt_stream *s, ssize_t r, const struct iovec *iov)
{
	if (fault_on == RX_CUT_AS_EOF && r == -ECONNRESET)
		return 0;
	if (fault_on == RX_EOF_LOST && r == 0)
		return -EAGAIN;
	if (fault_on == RX_SHORT_COUNT && r > 1 && fault_of(s)->calls++ == 3)
		return r - 1;
	if (fault_on == RX_FLIP && r > 0 && iov[0].iov_len && fault_of(s)->calls++ == 3)
		*(unsigned char *)iov[0].iov_base ^= 16;
	return r;
}

static ssize_t fault_recv(struct nmt_stream *s, const struct iovec *iov, int n, int flags,
			  int *out_flags)
{
	ssize_t r;

	if (starved(s))
		return -EAGAIN;
	if (fault_on == RX_PEEK_CONSUMES)
		flags &= ~MSG_PEEK;
	r = fault_real.recv(s, iov, n, flags, out_flags);
	if (fault_on == RX_EOR_LOST && out_flags)
		*out_flags &= ~MSG_EOR;
	return spoil_count(s, r, iov);
}

/* ---- loans ---- */

static void overwrite(struct fault_stream *f, const struct nmt_frag *frags, int n)
{
	if (f->have_frag)
		nmt_mr_write(f->frag.mr, f->frag.offset, "overwritten", f->frag.len < 11 ?
			     f->frag.len : 11);
	if (n > 0 && !f->have_frag) {
		f->frag = frags[0];
		f->have_frag = true;
	}
}

static int recv_twice(struct nmt_stream *s, struct nmt_frag *frags, int max)
{
	struct fault_stream *f = fault_of(s);
	int n;

	if (f->have_frag && f->calls++ == 1) {
		frags[0] = f->frag;
		return 1;
	}
	n = fault_real.recv_frags(s, frags, max);
	if (n > 0) {
		f->frag = frags[0];
		f->have_frag = true;
	}
	return n;
}

static int fault_recv_frags(struct nmt_stream *s, struct nmt_frag *frags, int max)
{
	int n;

	if (starved(s))
		return -EAGAIN;
	if (fault_on == LOAN_TWICE)
		return recv_twice(s, frags, max);
	n = fault_real.recv_frags(s, frags, max);
	if (fault_on == LOAN_OVERWRITTEN)
		overwrite(fault_of(s), frags, n);
	if (fault_on == LOAN_ENDS_AT_ONCE && n > 0)
		fault_real.release(s, frags, n);
	for (int i = 0; i < n && fault_on == RX_EOR_LOST; i++)
		frags[i].flags &= ~NMT_FRAG_EOR;
	return (int)spoil_count(s, n, &(struct iovec){ 0 });
}

static int fault_release(struct nmt_stream *s, const struct nmt_frag *frags, int n)
{
	struct fault_stream *f = fault_of(s);
	int ret;

	if (fault_on == RELEASE_IGNORED || fault_on == LOAN_ENDS_AT_ONCE)
		return 0;
	for (int i = 0; i < n; i++)
		f->have_frag = f->have_frag && frags[i].token != f->frag.token;
	ret = fault_real.release(s, frags, n);
	return fault_on == RELEASE_UNCHECKED ? 0 : ret;
}

/* ---- posted receives ---- */

static int fault_recv_into(struct nmt_stream *s, struct nmt_mr *mr, uint64_t offset, size_t len,
			   int flags, uint64_t cookie)
{
	struct fault_stream *f = fault_of(s);
	unsigned int slot = f->nposted % ARRAY_LEN(f->mr);
	int ret;

	if (fault_on == POST_WHOLE_IGNORED)
		flags &= ~NMT_RECV_WHOLE;
	ret = fault_real.recv_into(s, mr, offset, len, flags, cookie);
	if (ret)
		return ret;
	if (fault_on == COPY_MISCOUNTED)
		s->stat.rx_copied += len;
	f->mr[slot] = mr;
	f->beyond[slot] = offset + len;
	f->nposted++;
	return 0;
}

static int fault_recv_cancel(struct nmt_stream *s, uint64_t cookie)
{
	return fault_on == CANCEL_LOST ? 0 : fault_real.recv_cancel(s, cookie);
}

void fault_rx_ops(struct nmt_provider_ops *ops)
{
	ops->recv = fault_recv;
	ops->recv_frags = fault_recv_frags;
	ops->release = fault_release;
	ops->recv_into = fault_recv_into;
	ops->recv_cancel = fault_recv_cancel;
}
