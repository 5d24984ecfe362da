/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Every byte of provider "ofi" on a wire: the address blob, the words of a set-up, the completion
 * data of a write, and heads of messages (docs/wire.md, "ofi"). Pure: no libfabric, no I/O, no
 * allocation.
 */
#ifndef NMT_OFI_WIRE_H
#define NMT_OFI_WIRE_H

#include <stdbool.h>
#include <stdint.h>

#define OFI_WIRE_VERSION 1u
#define OFI_TOKEN 16u
#define OFI_ADDR_MAX 96u /* bytes of an endpoint's name */
#define OFI_PROV_MAX 32u

/* ---- address blob ---- */

#define OFI_ADDR_HEAD 12u

struct ofi_addr {
	uint8_t type;    /* OFI_TYPE_* */
	uint16_t format; /* FI_SOCKADDR_IN and so on */
	uint32_t fabric; /* hash of the fabric's name */
	bool notes;      /* its writes, and those to it, are told by NOTE */
	uint8_t plen, alen;
	char prov[OFI_PROV_MAX];
	uint8_t addr[OFI_ADDR_MAX];
};

#define OFI_TYPE_MSG 1u
#define OFI_TYPE_RDM 2u

/* Bytes written; -ENOSPC. */
int nmti_ofi_addr_encode(const struct ofi_addr *m, void *buf, uint32_t cap);
/* 0 or -EPROTO. */
int nmti_ofi_addr_decode(const void *buf, uint32_t len, struct ofi_addr *m);
/* 0: no connection between them; 1; 2: in one fabric. */
uint32_t nmti_ofi_addr_fit(const struct ofi_addr *a, const struct ofi_addr *b);

/* ---- set-up ---- */

/*
 * HELLO is what a side that connects says of itself, ANSWER what the other one says back: what the
 * writes of the peer are to carry, and where empty ones go. REFUSE: a number of OFI_WHY_*. BYE (datagram
 * mode): what this end wrote is complete, and it writes no more.
 */
#define OFI_HELLO_LEN 48u
#define OFI_HELLO 1u
#define OFI_ANSWER 2u
#define OFI_REFUSE 3u
#define OFI_BYE 4u

#define OFI_WHY_UNEXPECTED 1u
#define OFI_WHY_MALFORMED 2u
#define OFI_WHY_NO_ROOM 3u

struct ofi_hello {
	uint8_t kind, rail, epoch, why;
	uint32_t id;            /* of the endpoint that says it */
	uint32_t to;            /* of the one it is for, where it is known */
	uint64_t scratch, key;  /* memory of 8 bytes for writes that carry nothing */
	uint8_t token[OFI_TOKEN];
};

void nmti_ofi_hello_encode(const struct ofi_hello *m, uint8_t buf[OFI_HELLO_LEN]);
int nmti_ofi_hello_decode(const void *buf, uint32_t len, struct ofi_hello *m);

/* ---- completion data ---- */

/*
 * 8 bytes name the endpoint that they are for, the immediate but for the epoch, which that endpoint
 * knows, and the length, which not every provider tells.
 */
#define OFI_ID_BITS 18
#define OFI_LEN_BITS 22
#define OFI_IDS (1u << OFI_ID_BITS)
#define OFI_WRITE_MAX ((1u << OFI_LEN_BITS) - 4096u)

static inline uint64_t ofi_data_pack(uint32_t id, uint32_t imm, uint32_t len)
{
	uint64_t rest = (uint64_t)(imm >> 28) << 20 | (imm & 0xfffff);

	return rest << (OFI_ID_BITS + OFI_LEN_BITS) | (uint64_t)id << OFI_LEN_BITS | len;
}

static inline uint32_t ofi_data_id(uint64_t data)
{
	return (uint32_t)(data >> OFI_LEN_BITS) & (OFI_IDS - 1);
}

static inline uint32_t ofi_data_len(uint64_t data)
{
	return (uint32_t)data & ((1u << OFI_LEN_BITS) - 1);
}

static inline uint32_t ofi_data_imm(uint64_t data, uint8_t epoch)
{
	uint32_t rest = (uint32_t)(data >> (OFI_ID_BITS + OFI_LEN_BITS));

	return (rest >> 20) << 28 | (uint32_t)epoch << 20 | (rest & 0xfffff);
}

/* ---- heads of messages ---- */

/*
 * READY (datagram mode): the answer came. MESSAGE: one of the engine's follows. NOTE: a write is in
 * place, and this is its completion data, for which the provider has no room (struct ofi_addr, notes).
 */
#define OFI_MSG_HEAD 8u
#define OFI_NOTE_LEN 16u
#define OFI_READY 5u /* behind the kinds of struct ofi_hello */
#define OFI_MESSAGE 6u
#define OFI_NOTE 7u

struct ofi_head {
	uint8_t kind;
	uint32_t id;   /* of the endpoint that it is for; a NOTE has it in DATA too */
	uint64_t data; /* of a NOTE: ofi_data_pack() */
};

/* Bytes written: OFI_MSG_HEAD, of a NOTE OFI_NOTE_LEN. */
uint32_t nmti_ofi_head_encode(const struct ofi_head *m, uint8_t *buf);
/* 0, or -EPROTO: also for what is a struct ofi_hello. */
int nmti_ofi_head_decode(const void *buf, uint32_t len, struct ofi_head *m);

#endif
