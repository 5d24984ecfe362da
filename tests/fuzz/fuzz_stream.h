/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the target fuzz_stream knows without libnmt: the bytes that the peer put on the data socket
 * and on the control channel, read in the plainest way (docs/wire.md).
 */
#ifndef TESTS_FUZZ_STREAM_H
#define TESTS_FUZZ_STREAM_H

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "setup.h"

#define must(cond) ((cond) ? (void)0 : abort())

#define DATA_MAX (256u << 10)
#define CTL_MAX 512u
#define CTL_BODY_MAX 40u

struct model {
	bool records;
	bool bad;     /* no record header is where one is due */
	bool discard; /* the rest of this record is passed over */
	bool open;    /* inside a run */
	bool eor;     /* of the run */
	size_t left;  /* of the run */
	size_t at;    /* bytes gone through */
	size_t sent;
	size_t ctl_sent;
	uint8_t bytes[DATA_MAX];
	uint8_t ctl[CTL_MAX];
};

static inline void model_header(struct model *m, const uint8_t *h)
{
	m->left = (size_t)h[4] << 24 | (size_t)h[5] << 16 | (size_t)h[6] << 8 | h[7];
	m->eor = h[3] & 1;
	m->bad = h[0] != 0x4e || h[1] != 0x4d || h[2] != 1 || h[3] > 1 || (!m->left && !m->eor);
	m->open = !m->bad;
	m->at += m->bad ? 0 : 8;
}

/* Whether the cursor is in a run (of which perhaps no byte has come). */
static inline bool model_enter(struct model *m)
{
	if (!m->records) {
		m->left = m->sent - m->at;
		m->open = m->left;
	} else if (!m->open && !m->bad && m->sent - m->at >= 8) {
		model_header(m, m->bytes + m->at);
	}
	return m->open;
}

/* Go N bytes of the run on; whether a record ended with them. */
static inline bool model_go(struct model *m, size_t n)
{
	must(n <= m->left && n <= m->sent - m->at);
	m->at += n;
	m->left -= n;
	if (m->left)
		return false;
	m->open = false;
	return m->records && m->eor;
}

static inline size_t model_here(const struct model *m, size_t n)
{
	size_t here = m->sent - m->at < m->left ? m->sent - m->at : m->left;

	return here < n ? here : n;
}

static inline void model_settle(struct model *m)
{
	while (m->discard && model_enter(m) && (!m->left || m->sent > m->at))
		m->discard = !model_go(m, model_here(m, SIZE_MAX));
}

/* libnmt gave out N bytes at BUF; EOR: it said that they end a record. */
static inline void model_given(struct model *m, const uint8_t *buf, size_t n, bool eor)
{
	bool ended = false;
	size_t part;

	model_settle(m);
	while (n || (eor && !ended)) {
		must(!ended && model_enter(m));
		must(n || !m->left);
		part = model_here(m, n);
		must(part || !n);
		must(!memcmp(m->bytes + m->at, buf, part));
		buf += part;
		n -= part;
		ended = model_go(m, part);
	}
	must(ended == eor);
}

/* The same for a look ahead. */
static inline void model_shown(struct model *m, const uint8_t *buf, size_t n, bool eor)
{
	model_settle(m);
	must(model_enter(m) && n <= model_here(m, n));
	must(!memcmp(m->bytes + m->at, buf, n));
	must(eor == (m->records && m->eor && n == m->left));
}

/* Whether libnmt has given out all that came. */
static inline bool model_all(struct model *m)
{
	model_settle(m);
	return !model_enter(m) || (m->left && m->at == m->sent);
}

struct total {
	uint64_t payload, records;
	bool whole; /* the bytes end where a run ends */
};

/* From the first byte on, whatever was given out. */
static inline struct total model_total(const struct model *m)
{
	static struct model again;
	struct total t = { 0 };

	memcpy(&again, m, offsetof(struct model, bytes) + m->sent);
	again.at = again.left = 0;
	again.open = again.bad = again.discard = false;
	while (model_enter(&again) && (!again.left || again.at < again.sent)) {
		size_t n = model_here(&again, SIZE_MAX);

		t.payload += n;
		t.records += model_go(&again, n);
	}
	t.whole = !again.open && again.at == again.sent;
	return t;
}

/* What the messages on the control channel come to. */
struct ctl_said {
	int good;    /* how many came as they may: FIN, then ABORT(CLOSED) */
	bool broken; /* then something else came */
	struct nmti_fin fin;
};

static inline bool model_ctl_good(struct ctl_said *c, const uint8_t *msg, size_t len)
{
	struct nmti_abort bye;

	if (!c->good)
		return !nmti_fin_decode(msg, len, &c->fin);
	return c->good == 1 && !nmti_abort_decode(msg, len, &bye) && bye.reason == NMT_WHY_CLOSED;
}

static inline struct ctl_said model_ctl(const struct model *m)
{
	struct nmti_msg_hdr hdr = { 0 };
	struct ctl_said c = { 0 };
	size_t at = 0;
	int n;

	while (!c.broken && (n = nmti_msg_peek(m->ctl + at, m->ctl_sent - at, &hdr))) {
		c.broken = n < 0 || !model_ctl_good(&c, m->ctl + at, (size_t)n);
		c.good += !c.broken;
		at += n > 0 ? (size_t)n : 0;
	}
	/* No message that may come here is so long: that shows before it is all there. */
	if (m->ctl_sent - at >= NMTI_MSG_HDR_LEN && hdr.len > CTL_BODY_MAX)
		c.broken = true;
	return c;
}

/* Whether what was sent so far ends as the FIN says. */
static inline bool model_fin_fits(const struct model *m)
{
	struct total t = model_total(m);
	struct ctl_said c = model_ctl(m);

	return c.good && t.whole && c.fin.offset == t.payload && c.fin.records == t.records;
}

#endif
