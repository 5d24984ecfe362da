/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Bytes of the bootstrap, the control channel and the record header: docs/wire.md as C.
 *
 * Pure: no I/O, no allocation, no state between calls. The numbers here are the wire's, so none of
 * them changes within a version of a message.
 */
#ifndef NMTI_BOOTWIRE_H
#define NMTI_BOOTWIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <nmt/nmt.h>

/* The client's first bytes on every connection; no text protocol starts with 0x89. */
#define NMTI_MAGIC "\x89NMT\r\n\x1a\n"
#define NMTI_MAGIC_LEN 8

#define NMTI_MSG_VERSION 1
#define NMTI_MSG_HDR_LEN 8
#define NMTI_MSG_MAX (NMTI_MSG_HDR_LEN + 4096)

/* Versions of the protocol as a whole that this code speaks, for HELLO and SELECT. */
#define NMTI_VERSION_MIN 1
#define NMTI_VERSION_MAX 1

#define NMTI_SESSION_LEN 16
#define NMTI_TOKEN_LEN 16
#define NMTI_OFFERS_MAX 8
#define NMTI_RAILS_MAX 16
#define NMTI_BLOB_MAX 256
#define NMTI_TEXT_MAX 128
#define NMTI_SLOTS_MAX 32767
#define NMTI_SEGMENT_END (UINT64_C(1) << 63) /* behind the last segment that there can be */

enum nmti_msg_type {
	NMTI_MSG_HELLO = 1,
	NMTI_MSG_SELECT = 2,
	NMTI_MSG_DECLINE = 3,
	NMTI_MSG_CONFIRM = 4,
	NMTI_MSG_JOIN = 5,
	NMTI_MSG_FIN = 6,
	NMTI_MSG_ABORT = 7,
	NMTI_MSG_RESUME = 8,
	NMTI_MSG_PATH_DOWN = 9,
};

/* Features of HELLO and SELECT. */
#define NMTI_FEAT_RECORDS (UINT64_C(1) << 0)     /* record framing on the data socket */
#define NMTI_FEAT_DATA_SOCKET (UINT64_C(1) << 1) /* the stream is a TCP connection of its own */

/* Extensions. The critical bit says: refuse me rather than skip this. */
#define NMTI_EXT_CRITICAL 0x8000u
#define NMTI_EXT_STARTTLS 1u   /* reserved */
#define NMTI_EXT_TRANSCRIPT 2u /* reserved: hash of the handshake */

enum nmti_join_kind {
	NMTI_JOIN_DATA = 1,    /* data socket of a rail */
	NMTI_JOIN_CONTROL = 2, /* the control channel comes back */
};

struct nmti_msg_hdr {
	uint16_t type; /* enum nmti_msg_type */
	uint8_t version;
	uint8_t flags;
	uint32_t len; /* of the body */
};

struct nmti_offer {
	uint16_t rails;            /* 1..NMTI_RAILS_MAX */
	char name[NMT_NAME_MAX];   /* of the provider: 1..15 of a-z 0-9 _ */
	char device[NMT_DEV_MAX];  /* 0..63 printable characters, no space */
	uint16_t blob_len;         /* 0..NMTI_BLOB_MAX */
	uint8_t blob[NMTI_BLOB_MAX]; /* address blob, the provider's own format */
};

struct nmti_hello {
	uint8_t session[NMTI_SESSION_LEN];
	uint8_t ver_min, ver_max; /* 1 <= min <= max */
	uint8_t recv_mode;        /* enum nmt_recv_mode of the client */
	uint64_t features;        /* offered */
	uint64_t required;        /* of those, the ones that SELECT must contain */
	uint16_t noffers;         /* 1..NMTI_OFFERS_MAX, best first */
	struct nmti_offer offer[NMTI_OFFERS_MAX];
};

struct nmti_select {
	uint8_t session[NMTI_SESSION_LEN]; /* the client's */
	uint8_t version;   /* chosen, >= 1 */
	uint8_t offer;     /* index of the chosen offer */
	uint8_t recv_mode; /* enum nmt_recv_mode of the server */
	uint64_t features; /* in force */
	uint16_t rails;    /* 1..NMTI_RAILS_MAX */
	uint16_t port;     /* rendezvous port on the same host; 0: none */
	uint8_t token[NMTI_TOKEN_LEN];
	uint16_t blob_len; /* 0..NMTI_BLOB_MAX */
	uint8_t blob[NMTI_BLOB_MAX];
};

struct nmti_decline {
	uint16_t reason; /* enum nmt_reason, or a number that a later version knows */
	char text[NMTI_TEXT_MAX + 1]; /* printable ASCII */
};

struct nmti_confirm {
	uint16_t status; /* 0: the path is up; else as nmti_decline.reason */
	uint16_t rails;  /* that are up, 0..NMTI_RAILS_MAX; at least 1 when status is 0 */
};

struct nmti_join {
	uint8_t session[NMTI_SESSION_LEN];
	uint8_t token[NMTI_TOKEN_LEN];
	uint16_t rail; /* 0..NMTI_RAILS_MAX - 1 */
	uint16_t kind; /* enum nmti_join_kind */
};

struct nmti_fin {
	uint64_t offset;  /* stream bytes sent in this direction, all told */
	uint64_t records; /* records ended in this direction; 0 without NMTI_FEAT_RECORDS */
};

struct nmti_abort {
	uint16_t reason; /* as nmti_decline.reason */
};

#define NMTI_RESUME_FIN 1u /* the end of the stream has arrived */

/* Streams over remote writes: what a receiver has when its old path is fenced, and its next one. */
struct nmti_resume {
	uint8_t epoch;     /* the one to come */
	uint8_t flags;     /* NMTI_RESUME_* */
	uint8_t rails;     /* offered, 1..NMTI_RAILS_MAX */
	uint16_t slots;    /* run credit of each rail to begin with, 0..NMTI_SLOTS_MAX */
	uint64_t offset;   /* stream bytes received */
	uint64_t records;  /* record ends received */
	uint64_t segment;  /* index of the next one to fill, 0..NMTI_SEGMENT_END */
	uint16_t blob_len; /* 0..NMTI_BLOB_MAX */
	uint8_t blob[NMTI_BLOB_MAX]; /* as in an offer */
};

struct nmti_path_down {
	uint8_t epoch;   /* whose path is lost */
	uint16_t reason; /* as nmti_decline.reason */
};

/*
 * Are these the first bytes of a libnmt client? NMTI_MAGIC_LEN: yes; 0: so far, more bytes are
 * needed; -EPROTO: no (told at the first byte that differs).
 */
int nmti_magic_match(const void *buf, size_t len);

/*
 * Look at the message that starts at BUF. 0: it is not all there yet; > 0: it is, and has this many
 * bytes, header included; NMTI_MSG_MAX bytes of buffer are enough for any.
 * Errors show as soon as the header is there: -EPROTONOSUPPORT: other header version; -EPROTO:
 * unknown type (or one that no version will have), flags, or a body too short for its type;
 * -EMSGSIZE: body over the limit of its type.
 * *HDR (may be NULL) is written whenever LEN >= NMTI_MSG_HDR_LEN.
 */
int nmti_msg_peek(const void *buf, size_t len, struct nmti_msg_hdr *hdr);

/*
 * Encode a message with its header (no magic) into CAP bytes at BUF.
 * Returns its length; -EINVAL: a field is out of the range given above; -ENOSPC: CAP.
 */
int nmti_hello_encode(const struct nmti_hello *m, void *buf, size_t cap);
int nmti_select_encode(const struct nmti_select *m, void *buf, size_t cap);
int nmti_decline_encode(const struct nmti_decline *m, void *buf, size_t cap);
int nmti_confirm_encode(const struct nmti_confirm *m, void *buf, size_t cap);
int nmti_join_encode(const struct nmti_join *m, void *buf, size_t cap);
int nmti_fin_encode(const struct nmti_fin *m, void *buf, size_t cap);
int nmti_abort_encode(const struct nmti_abort *m, void *buf, size_t cap);
int nmti_resume_encode(const struct nmti_resume *m, void *buf, size_t cap);
int nmti_path_down_encode(const struct nmti_path_down *m, void *buf, size_t cap);

/*
 * Decode the one message that the LEN bytes at MSG are, header included. Every field of *M is then
 * in the range given above, and unused bytes of it are zero. 0; -EPROTO: malformed, of another
 * type, too short or too long; -EPROTONOSUPPORT: other header version, or an unknown critical
 * extension. After an error *M is undefined.
 */
int nmti_hello_decode(const void *msg, size_t len, struct nmti_hello *m);
int nmti_select_decode(const void *msg, size_t len, struct nmti_select *m);
int nmti_decline_decode(const void *msg, size_t len, struct nmti_decline *m);
int nmti_confirm_decode(const void *msg, size_t len, struct nmti_confirm *m);
int nmti_join_decode(const void *msg, size_t len, struct nmti_join *m);
int nmti_fin_decode(const void *msg, size_t len, struct nmti_fin *m);
int nmti_abort_decode(const void *msg, size_t len, struct nmti_abort *m);
int nmti_resume_decode(const void *msg, size_t len, struct nmti_resume *m);
int nmti_path_down_decode(const void *msg, size_t len, struct nmti_path_down *m);

/*
 * Is SELECT an answer to HELLO? -EPROTO: other session, a version, an offer or a feature that was
 * not offered, a required feature left out, or more rails than offered. The client calls it before
 * it believes a SELECT.
 */
int nmti_select_check(const struct nmti_select *select, const struct nmti_hello *hello);

/* Header of a record on a data socket with NMTI_FEAT_RECORDS, in front of LEN bytes of payload. */
#define NMTI_REC_HDR_LEN 8

/* LEN 0 only with EOR. */
void nmti_rec_put(uint8_t hdr[NMTI_REC_HDR_LEN], uint32_t len, bool eor);

/* 0, or -EPROTO: not a record header. */
int nmti_rec_get(const uint8_t hdr[NMTI_REC_HDR_LEN], uint32_t *len, bool *eor);

#endif
