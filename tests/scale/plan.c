/* SPDX-License-Identifier: BSD-2-Clause */
/* What each stream carries and how it ends, from the seed and its number. */
#include "scale.h"

static uint64_t draw(uint64_t *state)
{
	uint64_t word[2] = { *state, 0x9e37 };

	*state += 0x632be59bd9b4e019;
	return XXH3_64bits(word, sizeof(word));
}

/* 1..MAX, small ones as often as large ones. */
static uint64_t length(uint64_t *state, uint64_t max)
{
	uint64_t cap = UINT64_C(16) << (draw(state) % 15);

	return 1 + draw(state) % (cap < max ? cap : max);
}

void plan_make(const struct options *opt, uint64_t id, struct plan *plan)
{
	uint64_t state = opt->seed * 0x10001 + id;
	unsigned int odd = opt->storm ? 75 : 1;

	*plan = (struct plan){ 0 };
	plan->len[0] = HEAD + length(&state, 262144) + DIGEST;
	plan->len[1] = length(&state, 262144) + DIGEST;
	plan->send = draw(&state) % 4 == 0;
	plan->recv = draw(&state) % 2;
	if (draw(&state) % 100 >= odd)
		return;
	plan->fate = draw(&state) % 2 ? FATE_CLOSE : FATE_ABORT;
	plan->by_client = draw(&state) % 2;
	plan->at = plan->by_client ? HEAD + draw(&state) % (plan->len[0] - HEAD) :
				     draw(&state) % plan->len[1];
}

void plan_bytes(const struct options *opt, uint64_t id, bool client, uint64_t pos, void *buf,
		size_t len)
{
	uint64_t word[3] = { opt->seed, id * 2 + client, 0 }, value = 0;
	unsigned char *out = buf;

	for (size_t i = 0; i < len; i++, pos++) {
		if (i == 0 || pos % 8 == 0) {
			word[2] = pos / 8;
			value = XXH3_64bits(word, sizeof(word));
		}
		out[i] = (unsigned char)(value >> (pos % 8 * 8));
	}
}
