/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Bytes of the engine, the stream over remote writes: the immediate of a run, the control messages
 * beside the runs, and address blobs up to the provider's part of each device. docs/wire.md, "The engine", as C.
 *
 * Pure: no I/O, no allocation, no state between calls. A decoder checks what a message can tell by
 * itself; whether it fits the stream (epoch, rails, credits, indexes, regions) is for the window.
 */
#ifndef NMTI_RMA_WIRE_H
#define NMTI_RMA_WIRE_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bootwire.h"

/* ---- set-up -------------------------------------------------------------------------------- */

#define NMTI_RMA_VERSION 1
/* In front of the provider's own bytes in every address blob (offer, SELECT, RESUME). */
#define NMTI_RMA_SETUP_LEN 16

#define NMTI_STRIPE_MIN 12 /* log2 of bytes */
#define NMTI_STRIPE_MAX 30
#define NMTI_SLOTS_MIN 2   /* up to NMTI_SLOTS_MAX */
#define NMTI_CTRL_SLOTS_MIN 4
#define NMTI_SEGMENTS_MIN 2

/* Bytes of a control message: none is longer, and every receiver takes so many. */
#define NMTI_CTRL_MAX 256
#define NMTI_CTRL_MAX_MIN 128

/* What its sender is as a receiver; segments: as a sender. */
struct nmti_rma_setup {
	uint8_t stripe_log2; /* NMTI_STRIPE_MIN..NMTI_STRIPE_MAX */
	uint8_t rails;       /* 1..NMTI_RAILS_MAX */
	uint16_t slots;      /* for runs, each rail: NMTI_SLOTS_MIN..NMTI_SLOTS_MAX */
	uint16_t ctrl_slots; /* for control messages: NMTI_CTRL_SLOTS_MIN..NMTI_SLOTS_MAX */
	uint16_t ctrl_max;   /* longest that it takes: NMTI_CTRL_MAX_MIN..NMTI_CTRL_MAX */
	uint16_t segments;   /* granted and not ended, that it remembers: NMTI_SEGMENTS_MIN.. */
};

/* NMTI_RMA_SETUP_LEN; -EINVAL: a field is out of the range given above; -ENOSPC: CAP. */
int nmti_rma_setup_encode(const struct nmti_rma_setup *m, void *buf, size_t cap);

/*
 * The first NMTI_RMA_SETUP_LEN of the LEN bytes of a blob; the rest is the provider's. 0; -EPROTO:
 * malformed or too short; -EPROTONOSUPPORT: another version. After an error *M is undefined.
 */
int nmti_rma_setup_decode(const void *blob, size_t len, struct nmti_rma_setup *m);

/* ---- addresses ----------------------------------------------------------------------------- */

#define NMTI_RMA_DEVS_MAX 4
#define NMTI_RMA_ADDR_HEAD 2 /* in front of the provider's bytes of each device */
#define NMTI_RMA_DOUBT 1u    /* a path over it failed lately */

/* Where a device can be connected to. */
struct nmti_rma_addr {
	uint8_t flags; /* NMTI_RMA_DOUBT */
	uint8_t len;   /* >= 1 */
	const uint8_t *bytes; /* of the provider */
};

/* The rest of a blob, behind the set-up. */
struct nmti_rma_addrs {
	uint8_t n; /* 1..NMTI_RMA_DEVS_MAX */
	struct nmti_rma_addr at[NMTI_RMA_DEVS_MAX];
};

/* The length; -EINVAL: a field is out of the range given above; -ENOSPC: CAP. */
int nmti_rma_addrs_encode(const struct nmti_rma_addrs *m, void *buf, size_t cap);

/* All LEN bytes at BUF, which must stay as they are. 0; -EPROTO: malformed, *M is undefined. */
int nmti_rma_addrs_decode(const void *buf, size_t len, struct nmti_rma_addrs *m);

/* ---- runs ---------------------------------------------------------------------------------- */

enum nmti_run_type {
	NMTI_RUN_DATA = 0,
	NMTI_RUN_FIN = 1,   /* the stream ends here */
	NMTI_RUN_STOP = 2,  /* ends the segment: it was cancelled */
	NMTI_RUN_TRUNC = 3, /* ends the segment and the record, whose rest goes nowhere */
};

#define NMTI_SEQ_MASK 0xfffffu /* run numbers are modulo 2^20 */

struct nmti_imm {
	uint8_t type;  /* enum nmti_run_type */
	bool eor;      /* only with DATA */
	uint8_t epoch;
	uint32_t seq;  /* 0..NMTI_SEQ_MASK */
};

/* As a number; the provider brings it into network byte order. Every field in its range. */
static inline uint32_t nmti_imm_encode(const struct nmti_imm *m)
{
	return (uint32_t)m->type << 29 | (uint32_t)m->eor << 28 | (uint32_t)m->epoch << 20 | m->seq;
}

/* The immediate of a run of LEN bytes: 0, or -EPROTO: no such type, or not with this length. */
static inline int nmti_imm_decode(uint32_t imm, uint32_t len, struct nmti_imm *m)
{
	m->type = (uint8_t)(imm >> 29);
	m->eor = imm >> 28 & 1;
	m->epoch = (uint8_t)(imm >> 20);
	m->seq = imm & NMTI_SEQ_MASK;
	if (m->type == NMTI_RUN_DATA)
		return len || m->eor ? 0 : -EPROTO;
	return m->type <= NMTI_RUN_TRUNC && !len && !m->eor ? 0 : -EPROTO;
}

/* ---- control messages ---------------------------------------------------------------------- */

enum nmti_ctrl_type {
	NMTI_CTRL_GRANT = 1,   /* segments that may be filled; without any: credit only */
	NMTI_CTRL_REGION = 2,  /* memory that grants may name */
	NMTI_CTRL_CANCEL = 3,  /* the receiver wants a segment back */
	NMTI_CTRL_SKIPPED = 4, /* answer: nothing was or will be written to it */
	NMTI_CTRL_KEPT = 5,    /* answer: a run ends it */
};

#define NMTI_GRANT_WHOLE 1u /* what a record has beyond the segment is cut off */
#define NMTI_GRANT_LEN 24   /* bytes of an entry */

/* REPEAT consecutive segments of LENGTH bytes, each directly behind the other from OFFSET on. */
struct nmti_grant {
	uint16_t region;
	uint16_t flags;  /* NMTI_GRANT_* */
	uint32_t repeat; /* >= 1 */
	uint64_t offset; /* from the region's start; offset + repeat * length < 2^64 */
	uint64_t length; /* >= 1; 0 with WHOLE, repeat 1: the rest of a full segment after a resume */
};

struct nmti_region {
	uint16_t id;
	uint8_t rail;    /* below nrails */
	uint64_t base;   /* address that writes name; base + length < 2^64 */
	uint64_t length; /* >= 1 */
	uint64_t key;
};

struct nmti_ctrl {
	uint8_t type;           /* enum nmti_ctrl_type */
	uint8_t epoch;
	uint8_t nrails;         /* 1..NMTI_RAILS_MAX */
	uint16_t count;         /* GRANT: entries, as many as fit; the others: 0 */
	uint64_t offset;        /* acknowledged: stream bytes */
	uint64_t records;       /* acknowledged: record ends */
	uint32_t ctrl_credit;   /* cumulative, modulo 2^32 */
	uint32_t run_credit[NMTI_RAILS_MAX]; /* the same; the first nrails */
	union {
		uint64_t index; /* below NMTI_SEGMENT_END: CANCEL, SKIPPED, KEPT; GRANT: the first */
		struct nmti_region region;
	};
	const uint8_t *entries; /* decoded GRANT: in the message; nmti_ctrl_grant() reads them */
};

/* Header and credits of a control message. */
static inline size_t nmti_ctrl_head(uint32_t nrails)
{
	return 24 + (nrails / 2 + 1) * 8;
}

/* How many entries a GRANT of CAP bytes (NMTI_CTRL_MAX_MIN..NMTI_CTRL_MAX) has room for; >= 1. */
static inline uint32_t nmti_ctrl_room(uint32_t nrails, uint32_t cap)
{
	return (uint32_t)((cap - nmti_ctrl_head(nrails) - 8) / NMTI_GRANT_LEN);
}

/*
 * Encode M into CAP bytes at BUF; GRANTS are its COUNT entries, m->entries is not read.
 * Returns its length; -EINVAL: a field is out of the range given above, or an index beyond
 * NMTI_SEGMENT_END is granted; -ENOSPC: longer than CAP, or than any control message.
 */
int nmti_ctrl_encode(const struct nmti_ctrl *m, const struct nmti_grant *grants, void *buf,
		     size_t cap);

/*
 * Decode the one message that the LEN bytes at MSG are. Every field of *M is then in the range
 * given above, so are the entries, and all indexes that they grant are below NMTI_SEGMENT_END;
 * fields that the type does not have are undefined. MSG must stay as it is while entries are read.
 * 0; -EPROTO: malformed, too short or too long; -EPROTONOSUPPORT: another version. After an error
 * *M is undefined.
 */
int nmti_ctrl_decode(const void *msg, size_t len, struct nmti_ctrl *m);

/* The entry AT, below m->count, of a decoded GRANT. */
void nmti_ctrl_grant(const struct nmti_ctrl *m, uint32_t at, struct nmti_grant *g);

#endif
