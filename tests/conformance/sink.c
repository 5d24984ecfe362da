/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The receiving side of a random flow: all receive calls mixed. Loans are held a while and checked
 * again before they are given back; posted memory is checked beyond its end.
 */
#include <stdlib.h>

#include "suite.h"

#define GUARD 64u
#define GUARD_BYTE 0x5a

static void advance(struct flow *f, const char *call, size_t n, bool eor)
{
	if (!recs_advance(&f->in, n, eor))
		failf(f->env, "%s: %zu bytes, end of record %d, do not fit record %llu (%llu left)",
		      call, n, eor, (unsigned long long)f->in.index,
		      (unsigned long long)f->in.left);
}

/* BAD is where BUF, which holds N bytes of the stream from POS on, is wrong first; -1: nowhere. */
static void complain(struct flow *f, const char *call, uint64_t pos, const void *buf, size_t n,
		     ssize_t bad)
{
	char why[100];

	if (bad < 0)
		return;
	pattern_explain(f->seed, pos + (uint64_t)bad, (const char *)buf + bad, n - (size_t)bad, why,
			sizeof(why));
	failf(f->env, "%s of %zu bytes at %llu: wrong from %zd on: %s", call, n,
	      (unsigned long long)pos, bad, why);
}

static void check(struct flow *f, const char *call, const void *buf, size_t n)
{
	complain(f, call, f->in.pos, buf, n, pattern_check(f->seed, f->in.pos, buf, n));
}

static void check_mr(struct flow *f, const char *call, uint64_t pos, const struct nmt_mr *mr,
		     uint64_t offset, size_t n)
{
	unsigned char *buf;

	if (mr_check(mr, offset, f->seed, pos, n) < 0)
		return;
	buf = malloc(n);
	assert_int_equal(nmt_mr_read(mr, offset, buf, n), 0);
	complain(f, call, pos, buf, n, pattern_check(f->seed, pos, buf, n));
	free(buf);
}

/* True when N is a count to look at; false: nothing now. */
static bool usable(struct flow *f, const char *call, ssize_t n, size_t max)
{
	if (n == -EAGAIN || n == -ENOBUFS)
		return false;
	if (n < 0 || n > (ssize_t)max)
		failf(f->env, "%s gives %zd of %zu", call, n, max);
	if (n == 0 && !(f->in.on && f->in.left == 0))
		failf(f->env, "%s: end of the stream at %llu of %llu", call,
		      (unsigned long long)f->in.pos, (unsigned long long)f->total);
	return true;
}

/* nmt_recv tells no ends of records, but never goes past one. */
static bool recv_plain(struct flow *f, int flags)
{
	size_t max = rng_size(&f->env->rng, f->rx_max);
	unsigned char *buf = malloc(max);
	ssize_t n = nmt_recv(f->rx->s, buf, max, flags);
	bool ok = usable(f, "nmt_recv", n, max);

	if (ok) {
		check(f, "nmt_recv", buf, (size_t)n);
		if (!(flags & MSG_PEEK))
			advance(f, "nmt_recv", (size_t)n, f->in.on && (size_t)n == f->in.left);
		else if ((size_t)n > recs_clip(&f->in, (size_t)n))
			failf(f->env, "MSG_PEEK goes past the end of a record");
	}
	free(buf);
	return ok;
}

static bool recv_vector(struct flow *f)
{
	size_t max = rng_size(&f->env->rng, f->rx_max), head = rng_below(&f->env->rng, max);
	unsigned char *buf = malloc(max);
	struct iovec iov[2] = { { buf, head }, { buf + head, max - head } };
	int flags = -1;
	ssize_t n = nmt_recvmsg(f->rx->s, iov, 2, 0, &flags);
	bool ok = usable(f, "nmt_recvmsg", n, max);

	if (ok) {
		check(f, "nmt_recvmsg", buf, (size_t)n);
		advance(f, "nmt_recvmsg", (size_t)n, flags & MSG_EOR);
	}
	free(buf);
	return ok;
}

static void check_loan(struct flow *f, const struct loan *l, const char *when)
{
	check_mr(f, when, l->pos, l->frag.mr, l->frag.offset, l->frag.len);
}

void sink_release(struct flow *f, unsigned int keep)
{
	while (f->nloans > keep) {
		unsigned int i = (unsigned int)rng_below(&f->env->rng, f->nloans);
		struct loan *l = &f->loan[i];

		check_loan(f, l, "a loan before its release,");
		assert_ok(f->env, nmt_release(f->rx->s, &l->frag, 1));
		*l = f->loan[--f->nloans];
	}
}

static bool recv_lent(struct flow *f)
{
	struct nmt_frag frags[8];
	int max = 1 + (int)rng_below(&f->env->rng, ARRAY_LEN(frags));
	int n;

	if (f->nloans + ARRAY_LEN(frags) > FLOW_LOANS)
		sink_release(f, FLOW_LOANS / 2);
	n = nmt_recv_frags(f->rx->s, frags, max, 0);
	if (n == -EAGAIN || n == -ENOBUFS)
		return false;
	if (n <= 0 || n > max)
		failf(f->env, "nmt_recv_frags gives %d of %d", n, max);
	for (int i = 0; i < n; i++) {
		struct loan *l = &f->loan[f->nloans++];

		*l = (struct loan){ .frag = frags[i], .pos = f->in.pos };
		check_loan(f, l, "a new loan");
		advance(f, "nmt_recv_frags", frags[i].len, frags[i].flags & NMT_FRAG_EOR);
	}
	return true;
}

/* Post up to FLOW_POSTS receives, never more bytes than will come. */
static bool post(struct flow *f)
{
	uint64_t left = f->total - f->in.pos, at = 0;
	unsigned int want = 1 + (unsigned int)rng_below(&f->env->rng, FLOW_POSTS);

	while (f->nposts < want && left) {
		struct post *p = &f->post[f->nposts];
		size_t len = rng_size(&f->env->rng, left < f->rx_max ? left : f->rx_max);
		bool some = f->env->cfg->recv == NMT_RECV_POOL && rng_below(&f->env->rng, 2);

		*p = (struct post){ .cookie = rng_next(&f->env->rng), .offset = at, .len = len };
		mr_fill(f->rx_mr, at, GUARD_BYTE, len + GUARD);
		assert_ok(f->env, nmt_recv_into(f->rx->s, f->rx_mr, at, len,
						some ? NMT_RECV_SOME : 0, p->cookie));
		f->nposts++;
		at += len + GUARD;
		left -= len;
	}
	return true;
}

static void check_post(struct flow *f, const struct post *p, const struct nmt_event *ev)
{
	if (ev->status || ev->cookie != p->cookie || ev->len > p->len ||
	    (ev->flags & NMT_EVF_EOF))
		failf(f->env, "NMT_EV_RECEIVED %llx: status %d, %llu of %zu bytes, flags %u",
		      (unsigned long long)ev->cookie, ev->status, (unsigned long long)ev->len,
		      p->len, ev->flags);
	check_mr(f, "a posted receive", f->in.pos, f->rx_mr, p->offset, ev->len);
	if (!mr_is(f->rx_mr, p->offset + ev->len, GUARD_BYTE, p->len - ev->len + GUARD))
		failf(f->env, "posted receive: bytes beyond its end were touched");
}

static bool reap(struct flow *f)
{
	struct nmt_event ev;
	bool any = false;

	while (f->nposts && end_take(f->rx, NMT_EV_RECEIVED, &ev)) {
		check_post(f, &f->post[0], &ev);
		advance(f, "nmt_recv_into", ev.len, ev.flags & NMT_EVF_EOR);
		memmove(f->post, f->post + 1, --f->nposts * sizeof(f->post[0]));
		any = true;
	}
	return any;
}

static unsigned int choose(struct flow *f)
{
	unsigned int how;

	do
		how = 1u << rng_below(&f->env->rng, 5);
	while (!(how & f->rx_how));
	return how;
}

bool sink_step(struct flow *f)
{
	if (f->nposts)
		return reap(f);
	if (recs_done(&f->in))
		return false;
	switch (choose(f)) {
	case RX_RECV:
		return recv_plain(f, 0);
	case RX_RECVMSG:
		return recv_vector(f);
	case RX_PEEK:
		return recv_plain(f, MSG_PEEK) && recv_plain(f, MSG_WAITALL);
	case RX_FRAGS:
		return recv_lent(f);
	default:
		return post(f);
	}
}
