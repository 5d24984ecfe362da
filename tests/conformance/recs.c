/* SPDX-License-Identifier: BSD-2-Clause */
/* The sequence of records of a flow: lengths that both sides know from the seed, some of them empty. */
#include "suite.h"

static void start(struct recs *r)
{
	uint64_t rng = r->seed + r->index * 77;
	uint64_t len = rng_below(&rng, 8) ? rng_size(&rng, 100000) : 0;

	r->left = len < r->total - r->pos ? len : r->total - r->pos;
	r->open = true;
}

void recs_init(struct recs *r, uint64_t seed, uint64_t total, bool on)
{
	*r = (struct recs){ .seed = seed, .total = total, .on = on };
	if (on && total)
		start(r);
}

bool recs_done(const struct recs *r)
{
	return r->pos == r->total && !r->open;
}

size_t recs_clip(const struct recs *r, size_t want)
{
	uint64_t left = r->on ? r->left : r->total - r->pos;

	return want < left ? want : (size_t)left;
}

bool recs_advance(struct recs *r, size_t n, bool eor)
{
	if (n > recs_clip(r, n) || (eor && !r->on))
		return false;
	r->pos += n;
	if (!r->on)
		return true;
	r->left -= n;
	if (eor != (r->left == 0))
		return false;
	if (!eor)
		return true;
	r->index++;
	r->open = false;
	if (r->pos < r->total)
		start(r);
	return true;
}
