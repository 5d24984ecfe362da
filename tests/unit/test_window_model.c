/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Random operations on two windows, against a plain model: what an application sent is a number of
 * bytes, whose values follow from their places, and a list of record ends; the receiver must see
 * exactly that, in memory that was its window's at the time. Every run of the fabric really writes.
 *
 *	unit_window_model [SEED [OPERATIONS]]		(or NMT_SEED in the environment)
 *
 * Each scenario draws a configuration, does some thousand operations, then lets both ends finish:
 * they must, with control messages only when they are due. A failure prints SEED for this one alone.
 */
#include <time.h>

#include "window_app.h"

/* ---- the fabric ----------------------------------------------------------------------------- */

/* What the write of a run does to the receiver's memory. */
static void land(struct end *from, const struct item *it, uint32_t len)
{
	struct end *to = other(from);
	struct fab_region *g = NULL;
	uint64_t off;

	if (!it->run.len)
		return;
	for (uint32_t i = 0; i < REGIONS; i++)
		if (to->region[i].key[it->run.rail] == it->run.key)
			g = &to->region[i];
	must(g && it->run.remote >= g->base[it->run.rail]);
	off = it->run.remote - g->base[it->run.rail];
	must(off + it->run.len <= SEGS_MOST * p.seg_len);
	must(all(g->map + off, it->run.len, OPEN));
	must(it->src >= from->freed);
	memcpy(g->mem + off, pattern(it->src), len);
}

static void arrive(struct end *from, const struct item *it, uint8_t rail)
{
	struct end *to = other(from);
	struct flow *f = &from->out;
	struct nmti_win_stat st;

	if (it->ctrl) {
		uint32_t slot = f->head++ % CTRL_MOST;

		must(!nmti_win_ctrl_put(to->w, f->msg[slot], (size_t)f->msg_len[slot]));
		returned(to);
		return;
	}
	land(from, it, it->run.len);
	if (one_in(3) || !nmti_win_arrived_plain(to->w, rail, it->run.imm, it->run.len))
		must(!nmti_win_arrived(to->w, rail, it->run.imm, it->run.len));
	f->lane[rail].delivered = it->number;
	nmti_win_stats(to->w, &st);
	must(st.ready + st.held <= (uint32_t)to->attr.rails_max * to->attr.rx_slots);
}

static bool deliver(struct end *from, uint8_t rail)
{
	struct lane *l = &from->out.lane[rail];
	struct item *it = &l->q[l->head % QUEUE];

	if (l->head == l->tail || other(from)->fenced ||
	    nmti_win_epoch(from->w) != nmti_win_epoch(other(from)->w))
		return false;
	l->head++;
	l->runs -= !it->ctrl;
	arrive(from, it, rail);
	return true;
}

static bool tell(struct end *e)
{
	struct flow *f = &e->out;
	struct lane *l = &f->lane[0];
	uint32_t slot = f->tail % CTRL_MOST;
	int len = nmti_win_ctrl_get(e->w, f->msg[slot]);

	if (len <= 0) {
		must(!len || len == -EAGAIN);
		return false;
	}
	must(len <= e->attr.ctrl_max);
	f->msg_len[slot] = len;
	f->tail++;
	l->q[l->tail++ % QUEUE] = (struct item){ .ctrl = true };
	count_room(e, l, 0);
	return true;
}

/* ---- failure and resume --------------------------------------------------------------------- */

/*
 * E's queue pairs go down. Of what is on its way, some arrived before that; some of the next run is
 * written; the rest is lost. What E wrote may arrive until the other end is fenced, too.
 */
static void fence(struct end *e)
{
	struct end *peer = other(e);

	for (uint8_t rail = 0; rail < p.rails; rail++) {
		struct lane *l = &peer->out.lane[rail];

		while (one_in(2) && deliver(peer, rail))
			;
		while (l->head != l->tail && l->q[l->head % QUEUE].ctrl)
			l->head++;
		if (l->head != l->tail && nmti_win_epoch(e->w) == nmti_win_epoch(peer->w))
			land(peer, &l->q[l->head % QUEUE],
			     below(l->q[l->head % QUEUE].run.len + 1));
		l->head = l->tail; /* nothing more arrives at E */
		l->runs = 0;
		if (one_in(2))
			complete(e, rail);
	}
	peer->out.head = peer->out.tail;
	nmti_win_fence(e->w);
	e->fenced = true;
	returned(e);
}

static void clear(struct flow *f)
{
	for (uint32_t i = 0; i < RAILS; i++) {
		f->lane[i].head = f->lane[i].tail;
		f->lane[i].runs = 0;
	}
	f->head = f->tail;
}

static void resume(struct end *e, const struct nmti_win_resume *point)
{
	struct place *at;

	must(!nmti_win_resume(e->w, point, p.rails));
	must(nmti_win_resume(e->w, point, p.rails) == -ESTALE);
	e->fenced = false;
	e->number = nmti_win_done(e->w);
	at = &e->log[e->number % LOG];
	if (e->number) {
		e->src = at->src;
		e->record = at->record;
	} else {
		e->src = e->record = 0;
	}
	must(e->src >= e->freed);
	e->freed = e->src;
	e->fin = point->fin;
	for (uint32_t i = 0; i < RAILS; i++)
		e->out.lane[i].delivered = e->number;
	for (uint32_t i = 0; i < REGIONS; i++)
		announce(e, &e->region[i]);
}

static void step(struct end *e);

static void pause(void)
{
	while (!one_in(4))
		step(&p.end[below(2)]);
}

/* Both ends fence, in any order, with life between all steps; then both go on. */
static void outage(void)
{
	struct end *a = &p.end[below(2)], *b = other(a);
	struct nmti_win_resume from_a, from_b, again;
	uint8_t rails = (uint8_t)between(1, a->attr.rails_max);

	fence(a);
	nmti_win_resume_point(a->w, rails, &from_a);
	must(nmti_win_resume(b->w, &from_a, rails) == -EINVAL);
	pause();
	fence(b);
	nmti_win_resume_point(b->w, rails, &from_b);
	pause();
	nmti_win_resume_point(a->w, rails, &again);
	must(again.offset == from_a.offset && again.slots == from_a.slots);
	clear(&a->out);
	clear(&b->out);
	p.rails = rails;
	resume(a, &from_b);
	pause();
	if (one_in(4)) { /* A's word is lost, and it goes on to a later epoch */
		fence(a);
		clear(&a->out);
		nmti_win_resume_point(a->w, rails, &from_a);
		must(nmti_win_resume(b->w, &from_a, rails) == -EAGAIN);
		nmti_win_resume_point(b->w, rails, &from_b);
		resume(a, &from_b);
	}
	resume(b, &from_a);
}

/* ---- a step --------------------------------------------------------------------------------- */

static void some(bool (*what)(struct end *), struct end *e, uint32_t most)
{
	for (uint32_t n = between(1, most); n && what(e); n--)
		;
}

static void tell_due(struct end *e)
{
	while (nmti_win_due(e->w) == NMTI_WIN_NOW && tell(e))
		;
}

static void pump_some(struct end *e)
{
	some(pump, e, 8);
}

static void take_some(struct end *e)
{
	some(take, e, 8);
}

static void deliver_some(struct end *e)
{
	for (uint32_t n = between(1, 4); n; n--)
		deliver(e, (uint8_t)below(p.rails));
}

static void complete_some(struct end *e)
{
	complete(e, (uint8_t)below(p.rails));
}

static void tell_any(struct end *e)
{
	tell(e);
}

/* Often what moves data, seldom what disturbs it; how often is another matter in each scenario. */
static const struct {
	void (*what)(struct end *);
	uint32_t most; /* of DICE */
} kinds[] = {
	{ submit, 16 }, { pump_some, 24 }, { deliver_some, 32 }, { complete_some, 8 },
	{ take_some, 16 }, { let_go, 16 }, { add, 16 }, { cancel, 12 }, { move_region, 4 },
	{ tell_due, 16 }, { tell_any, 4 },
};

static void draw_dice(void)
{
	uint32_t at = 0;

	memset(p.dice, 2, sizeof(p.dice)); /* deliver_some */
	for (uint8_t kind = 0; kind < sizeof(kinds) / sizeof(kinds[0]); kind++)
		for (uint32_t n = between(1, kinds[kind].most); n && at < DICE; n--)
			p.dice[at++] = kind;
}

static void step(struct end *e)
{
	p.ops++;
	kinds[p.dice[below(DICE)]].what(e);
}

/* ---- the end -------------------------------------------------------------------------------- */

/* All that E can do now. Whether anything moved. */
static bool drive(struct end *e)
{
	bool moved = false;

	for (uint32_t i = 0; i < 8; i++) {
		add(e);
		let_go(e);
	}
	while (pump(e))
		moved = true;
	tell_due(e);
	for (uint8_t rail = 0; rail < p.rails; rail++) {
		while (deliver(e, rail))
			moved = true;
		complete(e, rail);
	}
	while (take(other(e)))
		moved = true;
	return moved;
}

static bool complete_end(const struct end *e)
{
	return e->ended && p.end[e == &p.end[0]].fin;
}

static void check_end(struct end *e)
{
	const struct end *from = other(e);
	bool cut = e->skipping && e->got_records > from->nends; /* a record that never ended */
	struct nmti_win_pos pos;

	if (e->skipping)
		e->want = cut ? from->given : from->ends[e->got_records - 1];
	must(e->want == from->given && e->got_records == from->nends + cut);
	must(from->src == from->given && from->freed <= from->src);
	nmti_win_tx_pos(from->w, &pos);
	must(pos.fin && pos.records == e->got_records);
	for (uint32_t i = 0; i < SEGS_MOST; i++)
		must(!e->seg[i].used || e->seg[i].over);
}

static void finish(void)
{
	uint32_t still = 0;

	finish_sending(&p.end[0]);
	finish_sending(&p.end[1]);
	p.calm = true;
	while (!complete_end(&p.end[0]) || !complete_end(&p.end[1])) {
		bool a = drive(&p.end[0]), b = drive(&p.end[1]);

		/* Once more, for segments that were added and credit that went round. */
		still = a || b ? 0 : still + 1;
		must(still < 20 || !"deadlock");
	}
	check_end(&p.end[0]);
	check_end(&p.end[1]);
	for (still = 0; nmti_win_due(p.end[0].w) == NMTI_WIN_NOW ||
			nmti_win_due(p.end[1].w) == NMTI_WIN_NOW; still++) {
		must(still < 20 || !"messages without end");
		drive(&p.end[0]);
		drive(&p.end[1]);
	}
	for (uint8_t rail = 0; rail < p.rails; rail++)
		complete(&p.end[0], rail);
	must(p.end[0].freed == p.end[0].given);
}

/* ---- a scenario ----------------------------------------------------------------------------- */

static uint32_t power(uint32_t min, uint32_t max)
{
	return 1u << between(min, max);
}

static void draw(struct nmti_win_attr *a, struct nmti_win_attr *b)
{
	static const uint32_t lens[] = { 8, 64, 300, 3000, 9000 };
	uint8_t max = (uint8_t)between(1, RAILS);

	*a = (struct nmti_win_attr){
		.rails = (uint8_t)between(1, max), .rails_max = max,
		.tx_stripe = one_in(3) ? 20 : 12, .rx_stripe = one_in(3) ? 20 : 12,
		.tx_posted = one_in(2), .rx_posted = one_in(2),
		.tx_slots = (uint16_t)(one_in(2) ? between(2, 5) : between(2, SLOTS_MOST)),
		.rx_slots = (uint16_t)(one_in(2) ? between(2, 5) : between(2, SLOTS_MOST)),
		.tx_ctrl = (uint16_t)between(4, CTRL_MOST),
		.rx_ctrl = (uint16_t)between(4, CTRL_MOST),
		.ctrl_max = one_in(2) ? 128 : 256, .tx_depth = power(0, 8),
		.tx_segs = power(1, 6), .rx_segs = power(0, 6), .rx_grants = (uint16_t)power(1, 6),
	};
	*b = *a;
	b->tx_stripe = a->rx_stripe, b->rx_stripe = a->tx_stripe;
	b->tx_posted = a->rx_posted, b->rx_posted = a->tx_posted;
	b->tx_slots = a->rx_slots, b->rx_slots = a->tx_slots;
	b->tx_ctrl = a->rx_ctrl, b->rx_ctrl = a->tx_ctrl;
	b->tx_depth = power(0, 8);
	b->tx_segs = a->rx_grants, b->rx_grants = (uint16_t)a->tx_segs;
	b->rx_segs = power(0, 6);
	p.rails = a->rails;
	p.seg_len = lens[below(5)];
}

static void end_open(struct end *e)
{
	static const uint16_t ids[] = { 0, 5, 3, 255, 1, 40 };
	uint32_t first = below(3);

	must(!nmti_win_open(&e->attr, &e->w));
	e->ends = malloc(RECORDS * sizeof(*e->ends));
	must(e->ends);
	for (uint32_t i = 0; i < REGIONS; i++) {
		struct fab_region *g = &e->region[i];

		g->id = ids[first + i];
		g->mem = malloc(SEGS_MOST * p.seg_len);
		g->map = malloc(SEGS_MOST * p.seg_len);
		must(g->mem && g->map);
		memset(g->map, MINE, SEGS_MOST * p.seg_len);
		announce(e, g);
	}
}

static void end_close(struct end *e)
{
	nmti_win_close(e->w);
	free(e->ends);
	for (uint32_t i = 0; i < REGIONS; i++) {
		free(e->region[i].mem);
		free(e->region[i].map);
	}
}

static uint64_t scenario(uint64_t seed)
{
	uint32_t steps, outages;

	fab.seed = seed;
	fab.rnd = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
	memset(&p, 0, sizeof(p));
	draw(&p.end[0].attr, &p.end[1].attr);
	end_open(&p.end[0]);
	end_open(&p.end[1]);
	draw_dice();
	steps = between(100, 6000);
	outages = one_in(3) ? 0 : between(100, 1000);
	for (uint32_t i = 0; i < steps; i++) {
		step(&p.end[below(2)]);
		if (outages && one_in(outages))
			outage();
		if (i > steps / 2 && one_in(1000))
			finish_sending(&p.end[below(2)]);
	}
	finish();
	end_close(&p.end[0]);
	end_close(&p.end[1]);
	return p.ops;
}

int main(int argc, char **argv)
{
	const char *env = argc > 1 ? argv[1] : getenv("NMT_SEED");
	uint64_t seed = env ? strtoull(env, NULL, 0) : (uint64_t)time(NULL) << 20;
	uint64_t ops = argc > 2 ? strtoull(argv[2], NULL, 0) : 3000000, done = 0, n = 0;

	for (size_t i = 0; i < sizeof(fab.pattern); i++)
		fab.pattern[i] = (uint8_t)(i % PATTERN * 131 + i % PATTERN / 251);
	for (; done < ops; n++)
		done += scenario(seed + n);
	printf("%llu operations in %llu scenarios from seed %llu\n", (unsigned long long)done,
	       (unsigned long long)n, (unsigned long long)seed);
	return 0;
}
