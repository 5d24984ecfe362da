/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Codec of the bootstrap and control messages and of the record header.
 *
 * Every message is walked by a cursor that knows its end and keeps the first error, so the bodies
 * below read like the drawings in docs/wire.md and check once, at their end.
 */
#include <errno.h>
#include <string.h>

#include "bootwire.h"

/* What is left to read, and the first error. */
struct get {
	const uint8_t *p, *end;
	int err;
};

/* Room left to write, and the first error. */
struct put {
	uint8_t *start, *p, *end;
	int err;
};

/* Body lengths that a type can have. */
static const struct {
	uint16_t min, max;
} body_limit[] = {
	[NMTI_MSG_HELLO] = { 53, 4096 }, /* one offer with a name of one character */
	[NMTI_MSG_SELECT] = { 52, 1024 },
	[NMTI_MSG_DECLINE] = { 4, 256 },
	[NMTI_MSG_CONFIRM] = { 8, 64 },
	[NMTI_MSG_JOIN] = { 40, 64 },
	[NMTI_MSG_FIN] = { 16, 16 },
	[NMTI_MSG_ABORT] = { 8, 8 },
	[NMTI_MSG_RESUME] = { 32, 32 + NMTI_BLOB_MAX },
	[NMTI_MSG_PATH_DOWN] = { 8, 8 },
};

/* Of all versions, so that another protocol is not taken for another version. */
#define TYPE_MAX 255

#define REC_MARK 0x4e4d
#define REC_VERSION 1
#define REC_EOR 1u

/* ---- reading ------------------------------------------------------------------------------ */

static inline size_t get_left(const struct get *g)
{
	return (size_t)(g->end - g->p);
}

static inline void get_fail(struct get *g, int err)
{
	if (!g->err)
		g->err = err;
}

/* The next N bytes, or NULL when there are fewer. */
static inline const uint8_t *get_span(struct get *g, size_t n)
{
	const uint8_t *p = g->p;

	if (g->err || n > get_left(g)) {
		get_fail(g, -EPROTO);
		return NULL;
	}
	g->p += n;
	return p;
}

/* An unsigned integer of N bytes; 0 after an error. */
static inline uint64_t get_be(struct get *g, size_t n)
{
	const uint8_t *p = get_span(g, n);
	uint64_t v = 0;

	for (size_t i = 0; p && i < n; i++)
		v = v << 8 | p[i];
	return v;
}

static inline uint8_t get_u8(struct get *g)
{
	return (uint8_t)get_be(g, 1);
}

static inline uint16_t get_u16(struct get *g)
{
	return (uint16_t)get_be(g, 2);
}

static inline uint32_t get_u32(struct get *g)
{
	return (uint32_t)get_be(g, 4);
}

static inline uint64_t get_u64(struct get *g)
{
	return get_be(g, 8);
}

static inline void get_zero(struct get *g, size_t n)
{
	if (get_be(g, n))
		get_fail(g, -EPROTO);
}

static inline void get_bytes(struct get *g, void *dst, size_t n)
{
	const uint8_t *p = get_span(g, n);

	if (p && n)
		memcpy(dst, p, n);
}

static inline void get_check(struct get *g, bool ok)
{
	if (!ok)
		get_fail(g, -EPROTO);
}

/* Extensions up to the end of the body. This version knows none, so only critical ones matter. */
static void get_extensions(struct get *g)
{
	while (!g->err && get_left(g)) {
		uint16_t type = get_u16(g);
		uint16_t len = get_u16(g);

		if (get_span(g, len) && type & NMTI_EXT_CRITICAL)
			get_fail(g, -EPROTONOSUPPORT);
	}
}

/* Result of a decoder for a type without extensions, or after they were read. */
static inline int get_done(struct get *g)
{
	get_check(g, !get_left(g));
	return g->err;
}

/* Cursor over the body of the message MSG, which must be all of the LEN bytes and of TYPE. */
static struct get get_open(const void *msg, size_t len, uint16_t type)
{
	const uint8_t *p = msg;
	struct nmti_msg_hdr hdr;
	int n = nmti_msg_peek(msg, len, &hdr);

	if (n == -EPROTONOSUPPORT)
		return (struct get){ .err = n };
	if (n <= 0 || (size_t)n != len || hdr.type != type)
		return (struct get){ .err = -EPROTO };
	return (struct get){ .p = p + NMTI_MSG_HDR_LEN, .end = p + len };
}

/* ---- writing ------------------------------------------------------------------------------ */

static inline uint8_t *put_span(struct put *w, size_t n)
{
	uint8_t *p = w->p;

	if (w->err || n > (size_t)(w->end - p)) {
		w->err = -ENOSPC;
		return NULL;
	}
	w->p += n;
	return p;
}

static inline void store_be(uint8_t *p, uint64_t v, size_t n)
{
	while (n--) {
		p[n] = (uint8_t)v;
		v >>= 8;
	}
}

static inline void put_be(struct put *w, uint64_t v, size_t n)
{
	uint8_t *p = put_span(w, n);

	if (p)
		store_be(p, v, n);
}

static inline void put_u8(struct put *w, uint8_t v)
{
	put_be(w, v, 1);
}

static inline void put_u16(struct put *w, uint16_t v)
{
	put_be(w, v, 2);
}

static inline void put_u32(struct put *w, uint32_t v)
{
	put_be(w, v, 4);
}

static inline void put_u64(struct put *w, uint64_t v)
{
	put_be(w, v, 8);
}

static inline void put_bytes(struct put *w, const void *src, size_t n)
{
	uint8_t *p = put_span(w, n);

	if (p && n)
		memcpy(p, src, n);
}

/* Cursor over BUF with the header of a TYPE message written; put_done() fills its length in. */
static struct put put_open(void *buf, size_t cap, uint16_t type)
{
	uint8_t *p = buf;
	struct put w = { .start = p, .p = p, .end = p + cap };

	put_u16(&w, type);
	put_u8(&w, NMTI_MSG_VERSION);
	put_u8(&w, 0);
	put_u32(&w, 0);
	return w;
}

static int put_done(struct put *w)
{
	size_t len = (size_t)(w->p - w->start);

	if (w->err)
		return w->err;
	store_be(w->start + 4, len - NMTI_MSG_HDR_LEN, 4);
	return (int)len;
}

/* ---- ranges of fields, the same in both directions ----------------------------------------- */

static bool name_ok(const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		bool ok = (s[i] >= 'a' && s[i] <= 'z') || (s[i] >= '0' && s[i] <= '9') ||
			  s[i] == '_';

		if (!ok)
			return false;
	}
	return len >= 1 && len < NMT_NAME_MAX;
}

static bool printable(const char *s, size_t len, char first)
{
	for (size_t i = 0; i < len; i++)
		if (s[i] < first || s[i] > '~')
			return false;
	return true;
}

static bool device_ok(const char *s, size_t len)
{
	return len < NMT_DEV_MAX && printable(s, len, '!');
}

static bool rails_ok(uint16_t rails)
{
	return rails >= 1 && rails <= NMTI_RAILS_MAX;
}

static bool recv_mode_ok(uint8_t mode)
{
	return mode == NMT_RECV_POOL || mode == NMT_RECV_POSTED;
}

static bool hello_ok(const struct nmti_hello *m)
{
	return m->ver_min >= 1 && m->ver_min <= m->ver_max && recv_mode_ok(m->recv_mode) &&
	       !(m->required & ~m->features) && m->noffers >= 1 && m->noffers <= NMTI_OFFERS_MAX;
}

static bool select_ok(const struct nmti_select *m)
{
	return m->version >= 1 && m->offer < NMTI_OFFERS_MAX && recv_mode_ok(m->recv_mode) &&
	       rails_ok(m->rails) && m->blob_len <= NMTI_BLOB_MAX;
}

static bool confirm_ok(const struct nmti_confirm *m)
{
	return m->rails <= NMTI_RAILS_MAX && (m->status || m->rails);
}

static bool join_ok(const struct nmti_join *m)
{
	return m->rail < NMTI_RAILS_MAX &&
	       (m->kind == NMTI_JOIN_DATA || m->kind == NMTI_JOIN_CONTROL);
}

static bool resume_ok(const struct nmti_resume *m)
{
	return !(m->flags & ~NMTI_RESUME_FIN) && rails_ok(m->rails) && m->slots <= NMTI_SLOTS_MAX &&
	       m->segment <= NMTI_SEGMENT_END && m->blob_len <= NMTI_BLOB_MAX;
}

/* ---- magic and header --------------------------------------------------------------------- */

int nmti_magic_match(const void *buf, size_t len)
{
	size_t n = len < NMTI_MAGIC_LEN ? len : NMTI_MAGIC_LEN;

	if (n && memcmp(buf, NMTI_MAGIC, n))
		return -EPROTO;
	return n < NMTI_MAGIC_LEN ? 0 : NMTI_MAGIC_LEN;
}

/* 0, or the error that the header alone shows. */
static int check_header(const struct nmti_msg_hdr *hdr)
{
	if (!hdr->type || hdr->type > TYPE_MAX)
		return -EPROTO;
	if (hdr->version != NMTI_MSG_VERSION)
		return -EPROTONOSUPPORT;
	if (hdr->type > NMTI_MSG_PATH_DOWN || hdr->flags)
		return -EPROTO;
	if (hdr->len > body_limit[hdr->type].max)
		return -EMSGSIZE;
	return hdr->len < body_limit[hdr->type].min ? -EPROTO : 0;
}

int nmti_msg_peek(const void *buf, size_t len, struct nmti_msg_hdr *hdr)
{
	struct get g = { .p = buf, .end = (const uint8_t *)buf + len };
	struct nmti_msg_hdr h;
	int err;

	if (len < NMTI_MSG_HDR_LEN)
		return 0;
	h.type = get_u16(&g);
	h.version = get_u8(&g);
	h.flags = get_u8(&g);
	h.len = get_u32(&g);
	if (hdr)
		*hdr = h;
	err = check_header(&h);
	if (err)
		return err;
	return get_left(&g) < h.len ? 0 : (int)(NMTI_MSG_HDR_LEN + h.len);
}

/* ---- HELLO -------------------------------------------------------------------------------- */

static void put_offer(struct put *w, const struct nmti_offer *o)
{
	size_t name_len = strlen(o->name);
	size_t dev_len = strlen(o->device);

	put_u16(w, o->rails);
	put_u8(w, (uint8_t)name_len);
	put_u8(w, (uint8_t)dev_len);
	put_u16(w, o->blob_len);
	put_u16(w, 0);
	put_bytes(w, o->name, name_len);
	put_bytes(w, o->device, dev_len);
	put_bytes(w, o->blob, o->blob_len);
}

static bool offer_ok(const struct nmti_offer *o)
{
	return rails_ok(o->rails) && o->blob_len <= NMTI_BLOB_MAX &&
	       name_ok(o->name, strnlen(o->name, sizeof(o->name))) &&
	       device_ok(o->device, strnlen(o->device, sizeof(o->device)));
}

int nmti_hello_encode(const struct nmti_hello *m, void *buf, size_t cap)
{
	struct put w = put_open(buf, cap, NMTI_MSG_HELLO);

	if (!hello_ok(m))
		return -EINVAL;
	put_bytes(&w, m->session, sizeof(m->session));
	put_u8(&w, m->ver_min);
	put_u8(&w, m->ver_max);
	put_u8(&w, m->recv_mode);
	put_u8(&w, 0);
	put_u32(&w, 0);
	put_u64(&w, m->features);
	put_u64(&w, m->required);
	put_u16(&w, m->noffers);
	put_u16(&w, 0);
	for (int i = 0; i < m->noffers; i++) {
		if (!offer_ok(&m->offer[i]))
			return -EINVAL;
		put_offer(&w, &m->offer[i]);
	}
	return put_done(&w);
}

static void get_offer(struct get *g, struct nmti_offer *o)
{
	uint8_t name_len, dev_len;

	o->rails = get_u16(g);
	name_len = get_u8(g);
	dev_len = get_u8(g);
	o->blob_len = get_u16(g);
	get_zero(g, 2);
	get_check(g, rails_ok(o->rails) && name_len < NMT_NAME_MAX && dev_len < NMT_DEV_MAX &&
			     o->blob_len <= NMTI_BLOB_MAX);
	if (g->err)
		return;
	get_bytes(g, o->name, name_len);
	get_bytes(g, o->device, dev_len);
	get_bytes(g, o->blob, o->blob_len);
	get_check(g, name_ok(o->name, name_len) && device_ok(o->device, dev_len));
}

int nmti_hello_decode(const void *msg, size_t len, struct nmti_hello *m)
{
	struct get g = get_open(msg, len, NMTI_MSG_HELLO);

	memset(m, 0, sizeof(*m));
	get_bytes(&g, m->session, sizeof(m->session));
	m->ver_min = get_u8(&g);
	m->ver_max = get_u8(&g);
	m->recv_mode = get_u8(&g);
	get_zero(&g, 1);
	get_zero(&g, 4);
	m->features = get_u64(&g);
	m->required = get_u64(&g);
	m->noffers = get_u16(&g);
	get_zero(&g, 2);
	get_check(&g, hello_ok(m));
	for (int i = 0; !g.err && i < m->noffers; i++)
		get_offer(&g, &m->offer[i]);
	get_extensions(&g);
	return get_done(&g);
}

/* ---- SELECT ------------------------------------------------------------------------------- */

int nmti_select_encode(const struct nmti_select *m, void *buf, size_t cap)
{
	struct put w = put_open(buf, cap, NMTI_MSG_SELECT);

	if (!select_ok(m))
		return -EINVAL;
	put_bytes(&w, m->session, sizeof(m->session));
	put_u8(&w, m->version);
	put_u8(&w, m->offer);
	put_u8(&w, m->recv_mode);
	put_u8(&w, 0);
	put_u64(&w, m->features);
	put_u16(&w, m->rails);
	put_u16(&w, m->port);
	put_u16(&w, m->blob_len);
	put_u16(&w, 0);
	put_bytes(&w, m->token, sizeof(m->token));
	put_bytes(&w, m->blob, m->blob_len);
	return put_done(&w);
}

int nmti_select_decode(const void *msg, size_t len, struct nmti_select *m)
{
	struct get g = get_open(msg, len, NMTI_MSG_SELECT);

	memset(m, 0, sizeof(*m));
	get_bytes(&g, m->session, sizeof(m->session));
	m->version = get_u8(&g);
	m->offer = get_u8(&g);
	m->recv_mode = get_u8(&g);
	get_zero(&g, 1);
	m->features = get_u64(&g);
	m->rails = get_u16(&g);
	m->port = get_u16(&g);
	m->blob_len = get_u16(&g);
	get_zero(&g, 2);
	get_bytes(&g, m->token, sizeof(m->token));
	get_check(&g, select_ok(m));
	if (!g.err)
		get_bytes(&g, m->blob, m->blob_len);
	get_extensions(&g);
	return get_done(&g);
}

int nmti_select_check(const struct nmti_select *select, const struct nmti_hello *hello)
{
	if (memcmp(select->session, hello->session, sizeof(hello->session)) ||
	    select->version < hello->ver_min || select->version > hello->ver_max ||
	    select->offer >= hello->noffers ||
	    select->rails > hello->offer[select->offer].rails ||
	    select->features & ~hello->features || hello->required & ~select->features)
		return -EPROTO;
	return 0;
}

/* ---- DECLINE ------------------------------------------------------------------------------ */

int nmti_decline_encode(const struct nmti_decline *m, void *buf, size_t cap)
{
	struct put w = put_open(buf, cap, NMTI_MSG_DECLINE);
	size_t n = strnlen(m->text, sizeof(m->text));

	if (n > NMTI_TEXT_MAX || !printable(m->text, n, ' '))
		return -EINVAL;
	put_u16(&w, m->reason);
	put_u16(&w, (uint16_t)n);
	put_bytes(&w, m->text, n);
	return put_done(&w);
}

int nmti_decline_decode(const void *msg, size_t len, struct nmti_decline *m)
{
	struct get g = get_open(msg, len, NMTI_MSG_DECLINE);
	uint16_t n;

	memset(m, 0, sizeof(*m));
	m->reason = get_u16(&g);
	n = get_u16(&g);
	get_check(&g, n <= NMTI_TEXT_MAX);
	if (!g.err)
		get_bytes(&g, m->text, n);
	/* the text goes to terminals and logs */
	for (int i = 0; !g.err && i < n; i++)
		if (!printable(&m->text[i], 1, ' '))
			m->text[i] = '?';
	get_extensions(&g);
	return get_done(&g);
}

/* ---- CONFIRM ------------------------------------------------------------------------------ */

int nmti_confirm_encode(const struct nmti_confirm *m, void *buf, size_t cap)
{
	struct put w = put_open(buf, cap, NMTI_MSG_CONFIRM);

	if (!confirm_ok(m))
		return -EINVAL;
	put_u16(&w, m->status);
	put_u16(&w, m->rails);
	put_u32(&w, 0);
	return put_done(&w);
}

int nmti_confirm_decode(const void *msg, size_t len, struct nmti_confirm *m)
{
	struct get g = get_open(msg, len, NMTI_MSG_CONFIRM);

	memset(m, 0, sizeof(*m));
	m->status = get_u16(&g);
	m->rails = get_u16(&g);
	get_zero(&g, 4);
	get_check(&g, confirm_ok(m));
	get_extensions(&g);
	return get_done(&g);
}

/* ---- JOIN --------------------------------------------------------------------------------- */

int nmti_join_encode(const struct nmti_join *m, void *buf, size_t cap)
{
	struct put w = put_open(buf, cap, NMTI_MSG_JOIN);

	if (!join_ok(m))
		return -EINVAL;
	put_bytes(&w, m->session, sizeof(m->session));
	put_bytes(&w, m->token, sizeof(m->token));
	put_u16(&w, m->rail);
	put_u16(&w, m->kind);
	put_u32(&w, 0);
	return put_done(&w);
}

int nmti_join_decode(const void *msg, size_t len, struct nmti_join *m)
{
	struct get g = get_open(msg, len, NMTI_MSG_JOIN);

	memset(m, 0, sizeof(*m));
	get_bytes(&g, m->session, sizeof(m->session));
	get_bytes(&g, m->token, sizeof(m->token));
	m->rail = get_u16(&g);
	m->kind = get_u16(&g);
	get_zero(&g, 4);
	get_check(&g, join_ok(m));
	return get_done(&g);
}

/* ---- FIN and ABORT ------------------------------------------------------------------------ */

int nmti_fin_encode(const struct nmti_fin *m, void *buf, size_t cap)
{
	struct put w = put_open(buf, cap, NMTI_MSG_FIN);

	put_u64(&w, m->offset);
	put_u64(&w, m->records);
	return put_done(&w);
}

int nmti_fin_decode(const void *msg, size_t len, struct nmti_fin *m)
{
	struct get g = get_open(msg, len, NMTI_MSG_FIN);

	memset(m, 0, sizeof(*m));
	m->offset = get_u64(&g);
	m->records = get_u64(&g);
	return get_done(&g);
}

int nmti_abort_encode(const struct nmti_abort *m, void *buf, size_t cap)
{
	struct put w = put_open(buf, cap, NMTI_MSG_ABORT);

	put_u16(&w, m->reason);
	put_u16(&w, 0);
	put_u32(&w, 0);
	return put_done(&w);
}

int nmti_abort_decode(const void *msg, size_t len, struct nmti_abort *m)
{
	struct get g = get_open(msg, len, NMTI_MSG_ABORT);

	memset(m, 0, sizeof(*m));
	m->reason = get_u16(&g);
	get_zero(&g, 2);
	get_zero(&g, 4);
	return get_done(&g);
}

/* ---- RESUME and PATH_DOWN ------------------------------------------------------------------ */

int nmti_resume_encode(const struct nmti_resume *m, void *buf, size_t cap)
{
	struct put w = put_open(buf, cap, NMTI_MSG_RESUME);

	if (!resume_ok(m))
		return -EINVAL;
	put_u8(&w, m->epoch);
	put_u8(&w, m->flags);
	put_u8(&w, m->rails);
	put_u8(&w, 0);
	put_u16(&w, m->slots);
	put_u16(&w, m->blob_len);
	put_u64(&w, m->offset);
	put_u64(&w, m->records);
	put_u64(&w, m->segment);
	put_bytes(&w, m->blob, m->blob_len);
	return put_done(&w);
}

int nmti_resume_decode(const void *msg, size_t len, struct nmti_resume *m)
{
	struct get g = get_open(msg, len, NMTI_MSG_RESUME);

	memset(m, 0, sizeof(*m));
	m->epoch = get_u8(&g);
	m->flags = get_u8(&g);
	m->rails = get_u8(&g);
	get_zero(&g, 1);
	m->slots = get_u16(&g);
	m->blob_len = get_u16(&g);
	m->offset = get_u64(&g);
	m->records = get_u64(&g);
	m->segment = get_u64(&g);
	get_check(&g, resume_ok(m));
	if (!g.err)
		get_bytes(&g, m->blob, m->blob_len);
	return get_done(&g);
}

int nmti_path_down_encode(const struct nmti_path_down *m, void *buf, size_t cap)
{
	struct put w = put_open(buf, cap, NMTI_MSG_PATH_DOWN);

	put_u8(&w, m->epoch);
	put_u8(&w, 0);
	put_u16(&w, m->reason);
	put_u32(&w, 0);
	return put_done(&w);
}

int nmti_path_down_decode(const void *msg, size_t len, struct nmti_path_down *m)
{
	struct get g = get_open(msg, len, NMTI_MSG_PATH_DOWN);

	memset(m, 0, sizeof(*m));
	m->epoch = get_u8(&g);
	get_zero(&g, 1);
	m->reason = get_u16(&g);
	get_zero(&g, 4);
	return get_done(&g);
}

/* ---- record header ------------------------------------------------------------------------ */

void nmti_rec_put(uint8_t hdr[NMTI_REC_HDR_LEN], uint32_t len, bool eor)
{
	store_be(hdr, REC_MARK, 2);
	hdr[2] = REC_VERSION;
	hdr[3] = eor ? REC_EOR : 0;
	store_be(hdr + 4, len, 4);
}

int nmti_rec_get(const uint8_t hdr[NMTI_REC_HDR_LEN], uint32_t *len, bool *eor)
{
	struct get g = { .p = hdr, .end = hdr + NMTI_REC_HDR_LEN };
	uint8_t flags;

	get_check(&g, get_u16(&g) == REC_MARK);
	get_check(&g, get_u8(&g) == REC_VERSION);
	flags = get_u8(&g);
	*len = get_u32(&g);
	*eor = flags & REC_EOR;
	get_check(&g, !(flags & ~REC_EOR) && (*len || *eor));
	return g.err;
}
