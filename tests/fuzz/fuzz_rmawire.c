/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fuzz target of the engine's codec. The input is taken two ways: as bytes from a peer, given to
 * every decoder; and as a C struct, given to the encoders. What a decoder accepts must encode to the
 * same bytes and keep its promises; what an encoder accepts must decode to the same.
 */
#include <stdlib.h>
#include <string.h>

#include "../unit/rmamsg.h"

#define must(cond) ((cond) ? (void)0 : abort())

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What the window relies on without a look of its own. */
static void check_ctrl(const struct rma_ctrl *m)
{
	const struct nmti_ctrl *c = &m->head;
	unsigned __int128 next = c->index, end = (unsigned __int128)1 << 64;

	must(c->nrails >= 1 && c->nrails <= NMTI_RAILS_MAX);
	must(c->type >= NMTI_CTRL_GRANT && c->type <= NMTI_CTRL_KEPT);
	must(!c->count || c->type == NMTI_CTRL_GRANT);
	if (c->type == NMTI_CTRL_REGION) {
		must(c->region.rail < c->nrails && c->region.length);
		must((unsigned __int128)c->region.base + c->region.length < end);
		return;
	}
	must(c->index < NMTI_SEGMENT_END);
	for (uint32_t i = 0; i < c->count; i++) {
		const struct nmti_grant *g = &m->grants[i];

		must(g->repeat && !(g->flags & ~NMTI_GRANT_WHOLE));
		must(g->length || (g->flags && g->repeat == 1));
		must(g->offset + (unsigned __int128)g->repeat * g->length < end);
		next += g->repeat;
	}
	must(next <= NMTI_SEGMENT_END);
}

static void decode_one(const struct codec *c, const uint8_t *data, size_t size)
{
	uint8_t buf[RMA_ADDRS_LEN];
	union msg m, again;
	int len;

	if (c->decode(data, size, &m))
		return;
	if (c == &codec_ctrl)
		check_ctrl(&m.ctrl);
	len = c->encode(&m, buf, sizeof(buf));
	must(len > 0 && (c == &codec_setup ? (size_t)len <= size : (size_t)len == size));
	must(!memcmp(buf, data, (size_t)len));
	must(!c->decode(buf, (size_t)len, &again));
	must(!memcmp(&m, &again, c->size));
}

/* Once a struct went through the wire, it must go through unchanged. */
static void encode_one(const struct codec *c, const uint8_t *data, size_t size)
{
	uint8_t first[RMA_ADDRS_LEN], second[RMA_ADDRS_LEN];
	union msg m;
	int len;

	memset(&m, 0, sizeof(m));
	memcpy(&m, data, size < c->size ? size : c->size);
	len = c->encode(&m, first, sizeof(first));
	if (len < 0)
		return;
	must(!c->decode(first, (size_t)len, &m));
	must(c->encode(&m, second, sizeof(second)) == len);
	must(!memcmp(first, second, (size_t)len));
	must(c->encode(&m, second, (size_t)len - 1) == -ENOSPC);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	decode_one(&codec_setup, data, size);
	decode_one(&codec_addrs, data, size);
	decode_one(&codec_run, data, size);
	decode_one(&codec_ctrl, data, size);
	encode_one(&codec_setup, data, size);
	encode_one(&codec_addrs, data, size);
	encode_one(&codec_ctrl, data, size);
	return 0;
}
