/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fuzz target of the window of a stream over remote writes. The input is a configuration and a
 * script: the peer's immediates with lengths, control messages (as they are, or well-formed with
 * fields of the input), its word at a resume; and this end's own operations. Whatever the peer says:
 * no run goes outside a region that it announced, nor is one sent without credit; no piece lies
 * outside its segment, and memory that was given back gets no piece any more. After an error the
 * stream is over, as in the adapter.
 */
#include <stdlib.h>
#include <string.h>

#include "rma/window_hot.h"

#define must(cond) ((cond) ? (void)0 : abort())

#define REGION 4096u /* bytes of each own region */
#define SEGS 64u
#define OPS_MAX 400

enum op {
	NEXT, NEXT_FIN, DISCARDED, COMPLETE, ANNOUNCE, ADD, ARRIVED, ARRIVED_GOOD, TAKE, CANCEL,
	GET, PUT_RAW, PUT_COUNTS, PUT_GRANT, PUT_REGION, PUT_INDEX, FENCE, RESUME, RESUME_GOOD,
	LAST,
};

/* Memory that the peer announced, on any rail and in any epoch: what a run may name. */
struct theirs {
	uint64_t base, len, key;
};

struct run {
	const uint8_t *in;
	size_t left;
	struct nmti_win *w;
	struct nmti_win_attr attr;
	uint8_t rails;
	uint32_t seq;      /* of the peer's next run, if it is good */
	uint64_t grants;   /* index of its next grant, likewise */
	struct theirs theirs[64];
	uint32_t ntheirs;
	uint64_t seg_len[SEGS]; /* own segments; 0: none */
	uint64_t seg_at[SEGS];
	uint64_t numbers;
	/* Of this epoch: what was sent, and what the peer said last. */
	uint32_t runs[4], run_slots, run_credit[4], ctrl_sent, ctrl_credit;
	bool over;
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint64_t get(struct run *r, size_t bytes)
{
	uint64_t v = 0;

	for (; bytes && r->left; bytes--, r->left--)
		v = v << 8 | *r->in++;
	return v;
}

/* Mostly small, where small is where the limits are. */
static uint64_t number(struct run *r)
{
	uint8_t how = (uint8_t)get(r, 1);

	if (how < 192)
		return how % 64;
	return how < 240 ? get(r, 2) : UINT64_MAX - get(r, how & 7);
}

/* ---- own operations ------------------------------------------------------------------------- */

static void check_run(const struct run *r, const struct nmti_run *run, uint64_t len)
{
	must(run->rail < r->rails && run->len <= len);
	must((run->offset >> r->attr.tx_stripe) % r->rails == run->rail);
	if (!run->len)
		return;
	must(run->offset >> r->attr.tx_stripe == (run->offset + run->len - 1) >> r->attr.tx_stripe);
	for (uint32_t i = 0; i < r->ntheirs; i++)
		if (r->theirs[i].key == run->key && run->remote >= r->theirs[i].base &&
		    run->remote - r->theirs[i].base <= r->theirs[i].len &&
		    run->len <= r->theirs[i].len - (run->remote - r->theirs[i].base))
			return;
	abort();
}

static void do_next(struct run *r, bool fin)
{
	uint64_t len = fin ? 0 : number(r);
	struct nmti_run run;
	enum nmti_win_wait wait;

	wait = fin ? nmti_win_next_fin(r->w, &run) : nmti_win_next(r->w, len, get(r, 1) & 1, &run);
	if (wait != NMTI_WIN_GO)
		return;
	check_run(r, &run, len);
	r->numbers = run.len ? nmti_win_post_plain(r->w, run.len, run.eor, &run) : 0;
	if (!r->numbers)
		r->numbers = nmti_win_posted(r->w, &run);
	must(++r->runs[run.rail] <= r->run_slots + r->run_credit[run.rail]);
	must(r->numbers - nmti_win_done(r->w) <= r->attr.tx_depth);
}

/* An honest device: no completion of what was not posted, nor below an earlier one. */
static void do_complete(struct run *r)
{
	uint64_t done = nmti_win_done(r->w), ahead = r->numbers - done;

	if (ahead)
		nmti_win_complete(r->w, (uint8_t)(get(r, 1) % r->rails),
				  done + 1 + get(r, 1) % ahead);
	must(nmti_win_done(r->w) >= done && nmti_win_done(r->w) <= r->numbers);
}

static void do_add(struct run *r)
{
	uint32_t slot = (uint32_t)get(r, 1) % SEGS;
	struct nmti_seg seg = { .offset = number(r), .len = number(r), .cookie = slot };

	seg.region = get(r, 1) % 8;
	seg.whole = get(r, 1) & 1;
	if (r->seg_len[slot] || nmti_win_add(r->w, &seg))
		return;
	must(seg.len && seg.offset + seg.len <= REGION);
	r->seg_len[slot] = seg.len;
	r->seg_at[slot] = 0;
}

static void do_returned(struct run *r)
{
	uint64_t cookie;

	while (nmti_win_returned(r->w, &cookie)) {
		must(cookie < SEGS && r->seg_len[cookie]);
		r->seg_len[cookie] = 0;
	}
}

static void do_take(struct run *r)
{
	struct nmti_piece p, plain;

	if (!nmti_win_peek(r->w, &p))
		return;
	if (nmti_win_take_plain(r->w, number(r), &plain))
		must(plain.len == p.len && plain.offset == p.offset && plain.cookie == p.cookie);
	else
		nmti_win_take(r->w);
	if (p.len || p.last) {
		must(p.cookie < SEGS && r->seg_len[p.cookie]);
		must(p.offset == r->seg_at[p.cookie]);
		must(p.len <= r->seg_len[p.cookie] - r->seg_at[p.cookie]);
		r->seg_at[p.cookie] += p.len;
		if (p.last)
			r->seg_len[p.cookie] = 0;
	}
	do_returned(r);
}

static void do_get(struct run *r)
{
	uint8_t buf[NMTI_CTRL_MAX];
	struct nmti_ctrl m;
	int n = nmti_win_ctrl_get(r->w, buf);

	must(n >= 0 || n == -EAGAIN);
	must(n <= r->attr.ctrl_max);
	if (n <= 0)
		return;
	must(!nmti_ctrl_decode(buf, (size_t)n, &m) && m.nrails == r->rails);
	must(++r->ctrl_sent <= r->attr.tx_ctrl + r->ctrl_credit);
}

/* ---- the peer ------------------------------------------------------------------------------- */

static void fails(struct run *r, int err)
{
	must(!err || err == -EPROTO || err == -EPROTONOSUPPORT || err == -ECONNRESET);
	r->over = err;
}

static void do_arrived(struct run *r, bool good)
{
	uint32_t imm = (uint32_t)get(r, 4), len = (uint32_t)number(r);
	uint8_t rail = (uint8_t)get(r, 1) % (r->rails + 1);

	if (good) {
		struct nmti_imm m = { imm % 4, imm >> 2 & 1, nmti_win_epoch(r->w), r->seq };

		rail %= r->rails;
		imm = nmti_imm_encode(&m);
		r->seq = (r->seq + 1) & NMTI_SEQ_MASK;
	}
	if (!nmti_win_arrived_plain(r->w, rail, imm, len))
		fails(r, nmti_win_arrived(r->w, rail, imm, len));
}

static void put_bytes(struct run *r, const void *buf, size_t len)
{
	struct nmti_ctrl m;

	fails(r, nmti_win_ctrl_put(r->w, buf, len));
	if (r->over)
		return;
	must(!nmti_ctrl_decode(buf, len, &m));
	r->ctrl_credit = m.ctrl_credit;
	memcpy(r->run_credit, m.run_credit, r->rails * sizeof(m.run_credit[0]));
}

static void put(struct run *r, const struct nmti_ctrl *m, const struct nmti_grant *g)
{
	uint8_t buf[NMTI_CTRL_MAX];
	int n = nmti_ctrl_encode(m, g, buf, sizeof(buf));

	if (n > 0)
		put_bytes(r, buf, (size_t)n);
}

static void do_put_raw(struct run *r)
{
	size_t n = get(r, 1) % 300;

	n = n < r->left ? n : r->left;
	put_bytes(r, r->in, n);
	r->in += n;
	r->left -= n;
}

static void do_put(struct run *r, enum op op)
{
	struct nmti_ctrl m = { .type = NMTI_CTRL_GRANT, .epoch = nmti_win_epoch(r->w),
			       .nrails = r->rails, .ctrl_credit = r->ctrl_credit };
	struct nmti_grant g[2] = { { 0 }, { 0 } };
	struct nmti_win_pos acked;

	nmti_win_acked(r->w, &acked);
	m.offset = acked.offset;
	m.records = acked.records;
	memcpy(m.run_credit, r->run_credit, sizeof(r->run_credit));
	if (op == PUT_COUNTS) {
		m.offset += number(r);
		m.records += number(r);
		m.ctrl_credit += (uint32_t)number(r);
		for (int i = 0; i < r->rails; i++)
			m.run_credit[i] += (uint32_t)number(r);
	} else if (op == PUT_GRANT) {
		m.count = 1 + get(r, 1) % 2;
		m.index = r->grants + (get(r, 1) == 77);
		for (int i = 0; i < m.count; i++)
			g[i] = (struct nmti_grant){ get(r, 1) % 8, get(r, 1) & 1, 1 + get(r, 1) % 4,
						    number(r), number(r) };
		r->grants += g[0].repeat + g[1].repeat;
	} else if (op == PUT_REGION) {
		m.type = NMTI_CTRL_REGION;
		m.region = (struct nmti_region){ get(r, 1) % 8 * 40, get(r, 1) % r->rails,
						 get(r, 2), number(r), r->ntheirs };
		if (r->ntheirs == 64)
			return;
		r->theirs[r->ntheirs++] = (struct theirs){ m.region.base, m.region.length,
							   m.region.key };
	} else {
		m.type = NMTI_CTRL_CANCEL + get(r, 1) % 3;
		m.index = number(r);
	}
	put(r, &m, g);
}

static void do_resume(struct run *r, bool good)
{
	uint8_t rails = 1 + get(r, 1) % r->attr.rails_max;
	struct nmti_win_resume own, peer;
	struct nmti_win_pos pos;
	int err;

	nmti_win_resume_point(r->w, rails, &own);
	nmti_win_tx_pos(r->w, &pos);
	peer = (struct nmti_win_resume){ own.epoch, rails, pos.fin, r->attr.tx_slots, pos.offset,
					 pos.records, r->grants };
	if (!good)
		peer = (struct nmti_win_resume){ (uint8_t)(own.epoch + get(r, 1) % 4 - 1), rails,
						 get(r, 1) & 1, (uint16_t)number(r), number(r),
						 number(r), number(r) };
	err = nmti_win_resume(r->w, &peer, rails);
	if (err == -ESTALE || err == -EINVAL || err == -EAGAIN)
		return;
	fails(r, err);
	if (err)
		return;
	must(nmti_win_epoch(r->w) == peer.epoch);
	r->rails = rails;
	r->seq = 0;
	r->grants = peer.seg;
	r->numbers = nmti_win_done(r->w);
	r->ctrl_credit = r->ctrl_sent = 0;
	memset(r->run_credit, 0, sizeof(r->run_credit));
	memset(r->runs, 0, sizeof(r->runs));
	r->run_slots = peer.slots;
}

/* ---- script --------------------------------------------------------------------------------- */

static void step(struct run *r)
{
	enum op op = get(r, 1) % LAST;
	uint16_t id;

	switch (op) {
	case NEXT: case NEXT_FIN:
		do_next(r, op == NEXT_FIN);
		break;
	case DISCARDED:
		nmti_win_discarded(r->w);
		break;
	case COMPLETE:
		do_complete(r);
		break;
	case ANNOUNCE:
		id = (uint16_t)get(r, 1) % 8;
		nmti_win_region(r->w, id, (uint8_t)get(r, 1) % (r->rails + 1), 0, REGION, 1);
		break;
	case ADD:
		do_add(r);
		break;
	case ARRIVED: case ARRIVED_GOOD:
		do_arrived(r, op == ARRIVED_GOOD);
		break;
	case TAKE:
		do_take(r);
		break;
	case CANCEL:
		nmti_win_cancel(r->w, number(r));
		break;
	case GET:
		do_get(r);
		break;
	case PUT_RAW:
		do_put_raw(r);
		break;
	case FENCE:
		nmti_win_fence(r->w);
		break;
	case RESUME: case RESUME_GOOD:
		do_resume(r, op == RESUME_GOOD);
		break;
	default:
		do_put(r, op);
	}
	do_returned(r);
}

static void configure(struct run *r)
{
	struct nmti_win_attr *a = &r->attr;

	a->rails_max = 1 + get(r, 1) % 4;
	a->rails = r->rails = 1 + get(r, 1) % a->rails_max;
	a->tx_stripe = a->rx_stripe = 12;
	a->tx_posted = get(r, 1) & 1;
	a->rx_posted = get(r, 1) & 1;
	a->tx_slots = a->rx_slots = 2 + get(r, 1) % 16;
	r->run_slots = a->tx_slots;
	a->tx_ctrl = a->rx_ctrl = 4 + get(r, 1) % 30;
	a->ctrl_max = 128;
	a->tx_depth = 1u << get(r, 1) % 5;
	a->tx_segs = a->rx_segs = 2u << get(r, 1) % 5;
	a->rx_grants = (uint16_t)a->tx_segs;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct run r = { .in = data, .left = size };
	struct nmti_win_stat st;

	configure(&r);
	must(!nmti_win_open(&r.attr, &r.w));
	for (int n = 0; r.left && !r.over && n < OPS_MAX; n++) {
		step(&r);
		nmti_win_stats(r.w, &st);
		must(st.granted <= r.attr.tx_segs);
		must(st.ready + st.held <= (uint32_t)r.attr.rails_max * r.attr.rx_slots);
	}
	nmti_win_close(r.w);
	return 0;
}
