/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Codec of the engine's messages. They come and go beside the data, so they have fixed places:
 * one look at the length, then loads and stores, no cursor.
 */
#include <endian.h>
#include <string.h>

#include "rma/wire.h"

/* Offsets in a control message; the body is behind the credits. */
enum {
	AT_TYPE = 0,
	AT_VERSION = 1,
	AT_EPOCH = 2,
	AT_NRAILS = 3,
	AT_LENGTH = 4,
	AT_COUNT = 6,
	AT_OFFSET = 8,
	AT_RECORDS = 16,
	AT_CREDITS = 24,
};

#define INDEX_LEN 8
#define REGION_LEN 32

/* ---- loads and stores ----------------------------------------------------------------------- */

static inline uint16_t load16(const uint8_t *p)
{
	uint16_t v;

	memcpy(&v, p, sizeof(v));
	return be16toh(v);
}

static inline uint32_t load32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return be32toh(v);
}

static inline uint64_t load64(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return be64toh(v);
}

static inline void store16(uint8_t *p, uint16_t v)
{
	v = htobe16(v);
	memcpy(p, &v, sizeof(v));
}

static inline void store32(uint8_t *p, uint32_t v)
{
	v = htobe32(v);
	memcpy(p, &v, sizeof(v));
}

static inline void store64(uint8_t *p, uint64_t v)
{
	v = htobe64(v);
	memcpy(p, &v, sizeof(v));
}

/* ---- ranges of fields, the same in both directions ------------------------------------------ */

static bool between(uint32_t v, uint32_t min, uint32_t max)
{
	return v >= min && v <= max;
}

static bool setup_ok(const struct nmti_rma_setup *m)
{
	return between(m->stripe_log2, NMTI_STRIPE_MIN, NMTI_STRIPE_MAX) &&
	       between(m->rails, 1, NMTI_RAILS_MAX) &&
	       between(m->slots, NMTI_SLOTS_MIN, NMTI_SLOTS_MAX) &&
	       between(m->ctrl_slots, NMTI_CTRL_SLOTS_MIN, NMTI_SLOTS_MAX) &&
	       between(m->ctrl_max, NMTI_CTRL_MAX_MIN, NMTI_CTRL_MAX) &&
	       m->segments >= NMTI_SEGMENTS_MIN;
}

static inline bool head_ok(const struct nmti_ctrl *m)
{
	return between(m->type, NMTI_CTRL_GRANT, NMTI_CTRL_KEPT) &&
	       between(m->nrails, 1, NMTI_RAILS_MAX) && (!m->count || m->type == NMTI_CTRL_GRANT);
}

static inline bool grant_ok(const struct nmti_grant *g)
{
	uint64_t bytes, end;

	return !(g->flags & ~NMTI_GRANT_WHOLE) && g->repeat &&
	       (g->length || (g->flags && g->repeat == 1)) &&
	       !__builtin_mul_overflow(g->length, g->repeat, &bytes) &&
	       !__builtin_add_overflow(g->offset, bytes, &end);
}

static bool region_ok(const struct nmti_region *r, uint8_t nrails)
{
	uint64_t end;

	return r->rail < nrails && r->length && !__builtin_add_overflow(r->base, r->length, &end);
}

/* Of the whole message. */
static inline size_t ctrl_len(const struct nmti_ctrl *m)
{
	size_t head = nmti_ctrl_head(m->nrails);

	if (m->type == NMTI_CTRL_REGION)
		return head + REGION_LEN;
	if (m->type == NMTI_CTRL_GRANT)
		return m->count ? head + INDEX_LEN + m->count * (size_t)NMTI_GRANT_LEN : head;
	return head + INDEX_LEN;
}

/* ---- set-up --------------------------------------------------------------------------------- */

int nmti_rma_setup_encode(const struct nmti_rma_setup *m, void *buf, size_t cap)
{
	uint8_t *p = buf;

	if (!setup_ok(m))
		return -EINVAL;
	if (cap < NMTI_RMA_SETUP_LEN)
		return -ENOSPC;
	memset(p, 0, NMTI_RMA_SETUP_LEN);
	p[0] = NMTI_RMA_VERSION;
	p[2] = m->stripe_log2;
	p[3] = m->rails;
	store16(p + 4, m->slots);
	store16(p + 6, m->ctrl_slots);
	store16(p + 8, m->ctrl_max);
	store16(p + 10, m->segments);
	return NMTI_RMA_SETUP_LEN;
}

int nmti_rma_setup_decode(const void *blob, size_t len, struct nmti_rma_setup *m)
{
	const uint8_t *p = blob;

	if (len < NMTI_RMA_SETUP_LEN)
		return -EPROTO;
	if (p[0] != NMTI_RMA_VERSION)
		return -EPROTONOSUPPORT;
	m->stripe_log2 = p[2];
	m->rails = p[3];
	m->slots = load16(p + 4);
	m->ctrl_slots = load16(p + 6);
	m->ctrl_max = load16(p + 8);
	m->segments = load16(p + 10);
	return !p[1] && !load32(p + 12) && setup_ok(m) ? 0 : -EPROTO;
}

/* ---- addresses ------------------------------------------------------------------------------ */

static bool addr_ok(uint8_t flags, uint8_t len)
{
	return !(flags & ~NMTI_RMA_DOUBT) && len;
}

int nmti_rma_addrs_encode(const struct nmti_rma_addrs *m, void *buf, size_t cap)
{
	uint8_t *p = buf;
	size_t len = 0;

	if (!between(m->n, 1, NMTI_RMA_DEVS_MAX))
		return -EINVAL;
	for (uint32_t i = 0; i < m->n; i++) {
		if (!addr_ok(m->at[i].flags, m->at[i].len))
			return -EINVAL;
		len += NMTI_RMA_ADDR_HEAD + m->at[i].len;
	}
	if (len > cap)
		return -ENOSPC;
	for (uint32_t i = 0; i < m->n; i++) {
		p[0] = m->at[i].len;
		p[1] = m->at[i].flags;
		memcpy(p + NMTI_RMA_ADDR_HEAD, m->at[i].bytes, p[0]);
		p += NMTI_RMA_ADDR_HEAD + p[0];
	}
	return (int)len;
}

int nmti_rma_addrs_decode(const void *buf, size_t len, struct nmti_rma_addrs *m)
{
	const uint8_t *p = buf;

	for (m->n = 0; len; m->n++) {
		struct nmti_rma_addr *a = &m->at[m->n];

		if (m->n == NMTI_RMA_DEVS_MAX || len < NMTI_RMA_ADDR_HEAD)
			return -EPROTO;
		*a = (struct nmti_rma_addr){ p[1], p[0], p + NMTI_RMA_ADDR_HEAD };
		if (!addr_ok(a->flags, a->len) || len - NMTI_RMA_ADDR_HEAD < a->len)
			return -EPROTO;
		p += NMTI_RMA_ADDR_HEAD + a->len;
		len -= NMTI_RMA_ADDR_HEAD + (size_t)a->len;
	}
	return m->n ? 0 : -EPROTO;
}

/* ---- encoding of control messages ----------------------------------------------------------- */

static void store_grant(uint8_t *p, const struct nmti_grant *g)
{
	store16(p, g->region);
	store16(p + 2, g->flags);
	store32(p + 4, g->repeat);
	store64(p + 8, g->offset);
	store64(p + 16, g->length);
}

static int store_grants(uint8_t *p, const struct nmti_ctrl *m, const struct nmti_grant *grants)
{
	uint64_t next = m->index;

	if (next >= NMTI_SEGMENT_END)
		return -EINVAL;
	store64(p, next);
	p += INDEX_LEN;
	for (uint32_t i = 0; i < m->count; i++, p += NMTI_GRANT_LEN) {
		next += grants[i].repeat;
		if (!grant_ok(&grants[i]) || next > NMTI_SEGMENT_END)
			return -EINVAL;
		store_grant(p, &grants[i]);
	}
	return 0;
}

static int store_region(uint8_t *p, const struct nmti_region *r, uint8_t nrails)
{
	if (!region_ok(r, nrails))
		return -EINVAL;
	store16(p, r->id);
	p[2] = r->rail;
	p[3] = 0;
	store32(p + 4, 0);
	store64(p + 8, r->base);
	store64(p + 16, r->length);
	store64(p + 24, r->key);
	return 0;
}

static int store_index(uint8_t *p, uint64_t index)
{
	if (index >= NMTI_SEGMENT_END)
		return -EINVAL;
	store64(p, index);
	return 0;
}

static void store_head(uint8_t *p, const struct nmti_ctrl *m, size_t len)
{
	p[AT_TYPE] = m->type;
	p[AT_VERSION] = NMTI_RMA_VERSION;
	p[AT_EPOCH] = m->epoch;
	p[AT_NRAILS] = m->nrails;
	store16(p + AT_LENGTH, (uint16_t)len);
	store16(p + AT_COUNT, m->count);
	store64(p + AT_OFFSET, m->offset);
	store64(p + AT_RECORDS, m->records);
	p += AT_CREDITS;
	store32(p, m->ctrl_credit);
	for (uint32_t i = 0; i < m->nrails; i++)
		store32(p += 4, m->run_credit[i]);
	if (!(m->nrails & 1))
		store32(p + 4, 0);
}

int nmti_ctrl_encode(const struct nmti_ctrl *m, const struct nmti_grant *grants, void *buf,
		     size_t cap)
{
	uint8_t *p = buf;
	size_t len;
	int err = 0;

	if (!head_ok(m))
		return -EINVAL;
	len = ctrl_len(m);
	if (len > cap || len > NMTI_CTRL_MAX)
		return -ENOSPC;
	store_head(p, m, len);
	p += nmti_ctrl_head(m->nrails);
	if (m->type == NMTI_CTRL_REGION)
		err = store_region(p, &m->region, m->nrails);
	else if (m->type != NMTI_CTRL_GRANT)
		err = store_index(p, m->index);
	else if (m->count)
		err = store_grants(p, m, grants);
	return err ? err : (int)len;
}

/* ---- decoding of control messages ----------------------------------------------------------- */

void nmti_ctrl_grant(const struct nmti_ctrl *m, uint32_t at, struct nmti_grant *g)
{
	const uint8_t *p = m->entries + at * (size_t)NMTI_GRANT_LEN;

	g->region = load16(p);
	g->flags = load16(p + 2);
	g->repeat = load32(p + 4);
	g->offset = load64(p + 8);
	g->length = load64(p + 16);
}

/* The index in front of the entries, and a look at each of them. */
static int load_grants(const uint8_t *p, struct nmti_ctrl *m)
{
	struct nmti_grant g;
	uint64_t next = load64(p);

	if (next >= NMTI_SEGMENT_END)
		return -EPROTO;
	m->index = next;
	m->entries = p + INDEX_LEN;
	for (uint32_t i = 0; i < m->count; i++) {
		nmti_ctrl_grant(m, i, &g);
		next += g.repeat;
		if (!grant_ok(&g) || next > NMTI_SEGMENT_END)
			return -EPROTO;
	}
	return 0;
}

static int load_region(const uint8_t *p, struct nmti_ctrl *m)
{
	struct nmti_region *r = &m->region;

	r->id = load16(p);
	r->rail = p[2];
	r->base = load64(p + 8);
	r->length = load64(p + 16);
	r->key = load64(p + 24);
	return !p[3] && !load32(p + 4) && region_ok(r, m->nrails) ? 0 : -EPROTO;
}

static int load_index(const uint8_t *p, struct nmti_ctrl *m)
{
	m->index = load64(p);
	return m->index < NMTI_SEGMENT_END ? 0 : -EPROTO;
}

static int load_credits(const uint8_t *p, struct nmti_ctrl *m)
{
	m->ctrl_credit = load32(p);
	for (uint32_t i = 0; i < m->nrails; i++)
		m->run_credit[i] = load32(p += 4);
	return m->nrails & 1 || !load32(p + 4) ? 0 : -EPROTO;
}

int nmti_ctrl_decode(const void *msg, size_t len, struct nmti_ctrl *m)
{
	const uint8_t *p = msg;

	if (len < AT_CREDITS)
		return -EPROTO;
	if (p[AT_VERSION] != NMTI_RMA_VERSION)
		return -EPROTONOSUPPORT;
	m->type = p[AT_TYPE];
	m->epoch = p[AT_EPOCH];
	m->nrails = p[AT_NRAILS];
	m->count = load16(p + AT_COUNT);
	if (len > NMTI_CTRL_MAX || len != load16(p + AT_LENGTH) || !head_ok(m) ||
	    len != ctrl_len(m))
		return -EPROTO;
	m->offset = load64(p + AT_OFFSET);
	m->records = load64(p + AT_RECORDS);
	if (load_credits(p + AT_CREDITS, m))
		return -EPROTO;
	p += nmti_ctrl_head(m->nrails);
	if (m->type == NMTI_CTRL_REGION)
		return load_region(p, m);
	if (m->type != NMTI_CTRL_GRANT)
		return load_index(p, m);
	return m->count ? load_grants(p, m) : 0;
}
