/* SPDX-License-Identifier: BSD-2-Clause */
/* Codecs of ofi_wire.h. All numbers are big-endian. */
#include <endian.h>
#include <errno.h>
#include <string.h>

#include "ofi_wire.h"

static void put16(uint8_t *p, uint16_t v)
{
	v = htobe16(v);
	memcpy(p, &v, sizeof(v));
}

static void put32(uint8_t *p, uint32_t v)
{
	v = htobe32(v);
	memcpy(p, &v, sizeof(v));
}

static void put64(uint8_t *p, uint64_t v)
{
	v = htobe64(v);
	memcpy(p, &v, sizeof(v));
}

static uint16_t get16(const uint8_t *p)
{
	uint16_t v;

	memcpy(&v, p, sizeof(v));
	return be16toh(v);
}

static uint32_t get32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return be32toh(v);
}

static uint64_t get64(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return be64toh(v);
}

/* ---- address blob ---- */

int nmti_ofi_addr_encode(const struct ofi_addr *m, void *buf, uint32_t cap)
{
	uint32_t len = OFI_ADDR_HEAD + m->plen + m->alen;
	uint8_t *p = buf;

	if (cap < len)
		return -ENOSPC;
	memset(p, 0, OFI_ADDR_HEAD);
	p[0] = OFI_WIRE_VERSION;
	p[1] = m->type;
	put16(p + 2, m->format);
	put32(p + 4, m->fabric);
	p[8] = m->plen;
	p[9] = m->alen;
	p[10] = m->notes;
	memcpy(p + OFI_ADDR_HEAD, m->prov, m->plen);
	memcpy(p + OFI_ADDR_HEAD + m->plen, m->addr, m->alen);
	return (int)len;
}

static bool head_valid(const uint8_t *p, uint32_t len)
{
	return len >= OFI_ADDR_HEAD && p[0] == OFI_WIRE_VERSION &&
	       (p[1] == OFI_TYPE_MSG || p[1] == OFI_TYPE_RDM) && p[8] && p[8] <= OFI_PROV_MAX &&
	       p[9] && p[9] <= OFI_ADDR_MAX && p[10] <= 1 && !p[11] &&
	       len == OFI_ADDR_HEAD + (uint32_t)p[8] + p[9];
}

int nmti_ofi_addr_decode(const void *buf, uint32_t len, struct ofi_addr *m)
{
	const uint8_t *p = buf;

	memset(m, 0, sizeof(*m));
	if (!head_valid(p, len))
		return -EPROTO;
	m->type = p[1];
	m->format = get16(p + 2);
	m->fabric = get32(p + 4);
	m->plen = p[8];
	m->alen = p[9];
	m->notes = p[10];
	memcpy(m->prov, p + OFI_ADDR_HEAD, m->plen);
	memcpy(m->addr, p + OFI_ADDR_HEAD + m->plen, m->alen);
	return 0;
}

uint32_t nmti_ofi_addr_fit(const struct ofi_addr *a, const struct ofi_addr *b)
{
	if (a->type != b->type || a->format != b->format || a->notes != b->notes ||
	    a->plen != b->plen || memcmp(a->prov, b->prov, a->plen))
		return 0;
	return 1 + (a->fabric == b->fabric);
}

/* ---- set-up ---- */

void nmti_ofi_hello_encode(const struct ofi_hello *m, uint8_t buf[OFI_HELLO_LEN])
{
	buf[0] = OFI_WIRE_VERSION;
	buf[1] = m->kind;
	buf[2] = m->rail;
	buf[3] = m->epoch;
	put32(buf + 4, m->id);
	put32(buf + 8, m->to);
	put32(buf + 12, m->why);
	put64(buf + 16, m->scratch);
	put64(buf + 24, m->key);
	memcpy(buf + 32, m->token, OFI_TOKEN);
}

int nmti_ofi_hello_decode(const void *buf, uint32_t len, struct ofi_hello *m)
{
	const uint8_t *p = buf;

	memset(m, 0, sizeof(*m));
	if (len < OFI_HELLO_LEN || p[0] != OFI_WIRE_VERSION || p[1] < OFI_HELLO ||
	    p[1] > OFI_BYE || get32(p + 4) >= OFI_IDS || get32(p + 8) >= OFI_IDS ||
	    get32(p + 12) > UINT8_MAX)
		return -EPROTO;
	m->kind = p[1];
	m->rail = p[2];
	m->epoch = p[3];
	m->id = get32(p + 4);
	m->to = get32(p + 8);
	m->why = (uint8_t)get32(p + 12);
	m->scratch = get64(p + 16);
	m->key = get64(p + 24);
	memcpy(m->token, p + 32, OFI_TOKEN);
	return 0;
}

/* ---- heads of messages ---- */

uint32_t nmti_ofi_head_encode(const struct ofi_head *m, uint8_t *buf)
{
	memset(buf, 0, OFI_MSG_HEAD);
	buf[0] = OFI_WIRE_VERSION;
	buf[1] = m->kind;
	put32(buf + 4, m->id);
	if (m->kind != OFI_NOTE)
		return OFI_MSG_HEAD;
	put64(buf + OFI_MSG_HEAD, m->data);
	return OFI_NOTE_LEN;
}

static bool note_valid(const struct ofi_head *m, uint32_t len)
{
	return len == OFI_NOTE_LEN && ofi_data_id(m->data) == m->id &&
	       ofi_data_len(m->data) <= OFI_WRITE_MAX;
}

int nmti_ofi_head_decode(const void *buf, uint32_t len, struct ofi_head *m)
{
	const uint8_t *p = buf;

	memset(m, 0, sizeof(*m));
	if (len < OFI_MSG_HEAD || p[0] != OFI_WIRE_VERSION || p[1] < OFI_READY ||
	    p[1] > OFI_NOTE || p[2] || p[3])
		return -EPROTO;
	m->kind = p[1];
	m->id = get32(p + 4);
	if (m->kind != OFI_NOTE)
		return 0;
	m->data = len < OFI_NOTE_LEN ? 0 : get64(p + OFI_MSG_HEAD);
	return note_valid(m, len) ? 0 : -EPROTO;
}
