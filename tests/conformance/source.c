/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The sending side of a random flow: all send calls mixed, in random sizes. Memory given back by
 * NMT_EV_SENT is overwritten at once, so bytes that were still needed arrive wrong.
 */
#include <stdlib.h>

#include "suite.h"

/* Slots of borrowed memory, used in turn. */
static size_t slot_size(const struct flow *f)
{
	return nmt_mr_size(f->tx_mr) / FLOW_SLOTS;
}

static bool take_back(struct flow *f)
{
	struct nmt_event ev;
	bool any = false;

	while (end_take(f->tx, NMT_EV_SENT, &ev)) {
		size_t slot = f->returned % FLOW_SLOTS;

		if (ev.status || ev.cookie != f->returned || ev.len != f->slot_len[slot])
			failf(f->env, "NMT_EV_SENT %llu: status %d, len %llu; want %llu, len %zu",
			      (unsigned long long)ev.cookie, ev.status, (unsigned long long)ev.len,
			      (unsigned long long)f->returned, f->slot_len[slot]);
		mr_fill(f->tx_mr, slot * slot_size(f), 0xee, f->slot_len[slot]);
		f->returned++;
		any = true;
	}
	return any;
}

static int more_or_eor(struct flow *f, bool eor)
{
	if (eor)
		return MSG_EOR;
	return rng_below(&f->env->rng, 4) ? 0 : MSG_MORE;
}

static void sent(struct flow *f, size_t n, size_t want, bool eor)
{
	if (n > want || !recs_advance(&f->out, n, eor && n == want))
		failf(f->env, "sending gives %zu of %zu", n, want);
}

static bool copied(struct flow *f, ssize_t n, size_t want, bool eor)
{
	if (n == -EAGAIN) {
		f->tx_blocked = true;
		return false;
	}
	if (n < 0)
		failf(f->env, "sending gives %zd", n);
	sent(f, (size_t)n, want, eor);
	return true;
}

static bool send_plain(struct flow *f, size_t len, bool eor)
{
	unsigned char *buf = malloc(len + 1);
	ssize_t n;

	pattern_fill(f->seed, f->out.pos, buf, len);
	n = nmt_send(f->tx->s, buf, len, more_or_eor(f, eor));
	memset(buf, 0xdd, len);
	free(buf);
	return copied(f, n, len, eor);
}

/* Cut BUF into random runs, some of them empty. */
static int split(struct flow *f, unsigned char *buf, size_t len, struct iovec *iov, int max)
{
	int n = 0;

	while (n < max - 1) {
		size_t part = rng_below(&f->env->rng, len + 1);

		iov[n++] = (struct iovec){ buf, part };
		buf += part;
		len -= part;
	}
	iov[n++] = (struct iovec){ buf, len };
	return n;
}

static bool send_vector(struct flow *f, size_t len, bool eor)
{
	unsigned char *buf = malloc(len + 1);
	struct iovec iov[5];
	ssize_t n;

	pattern_fill(f->seed, f->out.pos, buf, len);
	n = split(f, buf, len, iov, 1 + (int)rng_below(&f->env->rng, ARRAY_LEN(iov)));
	n = nmt_sendmsg(f->tx->s, iov, (int)n, more_or_eor(f, eor));
	memset(buf, 0xdd, len);
	free(buf);
	return copied(f, n, len, eor);
}

static bool send_borrow(struct flow *f, size_t len, bool eor)
{
	size_t slot = f->borrowed % FLOW_SLOTS, at = slot * slot_size(f);
	size_t head = rng_below(&f->env->rng, len);
	struct nmt_frag frags[2] = {
		{ .mr = f->tx_mr, .offset = at, .len = (uint32_t)head },
		{ .mr = f->tx_mr, .offset = at + head, .len = (uint32_t)(len - head) },
	};
	int first = head == 0, ret;

	mr_pattern(f->tx_mr, at, f->seed, f->out.pos, len);
	ret = nmt_send_mr(f->tx->s, frags + first, 2 - first, more_or_eor(f, eor), f->borrowed);
	if (ret == -EAGAIN)
		return copied(f, ret, len, eor);
	assert_ok(f->env, ret);
	f->slot_len[slot] = len;
	f->borrowed++;
	sent(f, len, len, eor);
	return true;
}

static unsigned int choose(struct flow *f, bool empty)
{
	unsigned int how;

	do
		how = 1u << rng_below(&f->env->rng, 3);
	while (!(how & f->tx_how));
	if (how == TX_BORROW && empty)
		return TX_SEND;
	if (how == TX_BORROW && f->borrowed - f->returned == FLOW_SLOTS)
		return f->tx_how & TX_SEND;
	return how;
}

bool source_step(struct flow *f)
{
	bool any = take_back(f);
	size_t max = f->tx_max < slot_size(f) ? f->tx_max : slot_size(f), len;
	bool eor;

	if (recs_done(&f->out))
		return any;
	len = recs_clip(&f->out, rng_size(&f->env->rng, max));
	eor = f->out.on && len == f->out.left;
	switch (choose(f, len == 0)) {
	case TX_SEND:
		return send_plain(f, len, eor) || any;
	case TX_SENDMSG:
		return send_vector(f, len, eor) || any;
	case TX_BORROW:
		return send_borrow(f, len, eor) || any;
	default:
		return any;
	}
}
