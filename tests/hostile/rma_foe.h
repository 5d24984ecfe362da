/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An attacker on the engine's wire: it speaks the handshake as a good peer of provider "sim" does,
 * and then has its end of the rails in its own hands: any control message, any immediate, and writes
 * to wherever a key of the victim lets it.
 */
#ifndef HOSTILE_RMA_FOE_H
#define HOSTILE_RMA_FOE_H

#include "foe.h"
#include "rma/rma.h"
#include "rma/wire.h"
#include "sim.h"

#define RFOE_MEM (256u << 10) /* bytes of its own memory that the victim may write */
#define RFOE_RAILS 3u
#define RFOE_SEGS 512u

struct rfoe_seg {
	uint16_t region;
	uint64_t offset, len;
};

struct rfoe {
	struct foe f;               /* the handshake and the control channel */
	bool server;                /* it accepts, the victim connects (and may be in posted mode) */
	uint8_t recv_mode;          /* of its own, as a client */
	struct nmti_rma_setup own, peer;
	uint8_t blob_at, blob_width, blob_cut; /* what is changed in its blob; bytes left out */
	uint32_t blob_value;
	struct nmt_pdomain pd;
	struct nmti_rma_dev *dev;
	struct nmti_rma_limits lim;
	struct nmt_mr *mr;
	struct nmti_rma_reg reg;
	struct nmti_rma_ep *ep[RFOE_RAILS];
	uint8_t nrails, epoch, up, drained;
	bool failed;                /* a rail is lost */

	/* What it told, as a good peer would count it. */
	uint32_t seq, runs;
	uint64_t next_grant;        /* number of its next segment */
	uint64_t told;              /* control messages of this epoch */

	/* What the victim told. */
	struct nmti_ctrl last;      /* its last control message; entries are not kept */
	uint32_t messages, arrived; /* control messages, runs, of this epoch */
	uint64_t bytes;             /* of runs */
	struct nmti_region region[RFOE_RAILS][256];
	struct rfoe_seg seg[RFOE_SEGS]; /* granted, from number 0 of the epoch on */
	uint64_t segs, seg_at, seg_used; /* how many; the current one; bytes of it */
};

/* Once a program: a context and a domain of the attackers' own. */
int rfoe_world_open(void **state);
int rfoe_world_close(void **state);
/* Provider "sim", for rig_options. */
int rfoe_add(struct nmt_ctx *ctx);

void rfoe_init(struct rig *r, struct rfoe *x, bool server);
/* The handshake, with a region and a grant of 4 KiB, so that the victim is open. */
void rfoe_open(struct rig *r, struct rfoe *x);
/* The same, but the victim may refuse it. */
void rfoe_try(struct rig *r, struct rfoe *x);
/* The big-endian number of WIDTH bytes at AT. */
void rfoe_patch(uint8_t *buf, uint8_t at, uint8_t width, uint64_t value);
void rfoe_close(struct rig *r, struct rfoe *x);
/* Let time pass, and take what comes on the rails. */
void rfoe_turn(struct rig *r, struct rfoe *x);
void rfoe_run_turns(struct rig *r, struct rfoe *x, int n);

/* The head of a good control message, with all credit returned. */
struct nmti_ctrl rfoe_ctrl(const struct rfoe *x, uint8_t type);
/* A grant that fits, of N segments of LEN bytes from OFFSET of region 0 on. */
struct nmti_grant rfoe_grant(uint32_t n, uint64_t offset, uint64_t len);
/* Encode and send; asserts that the message is well-formed. */
void rfoe_send(struct rfoe *x, const struct nmti_ctrl *m, const struct nmti_grant *g);
void rfoe_send_grant(struct rfoe *x, const struct nmti_grant *g); /* counts what it grants */
void rfoe_raw(struct rfoe *x, uint8_t rail, const void *msg, uint32_t len);
void rfoe_region(struct rfoe *x, uint16_t id, uint8_t rail, uint64_t base, uint64_t len,
		 uint64_t key);

/* A write with this immediate; LEN bytes, to an address of the victim. False: the rail is lost. */
bool rfoe_write(struct rfoe *x, uint8_t rail, uint32_t imm, uint32_t len, uint64_t remote,
		uint64_t key);
uint32_t rfoe_imm(const struct rfoe *x, uint8_t type, bool eor); /* the one that is due */
/* A run without bytes on rail 0, or with LEN bytes at the start of the victim's region 0. */
void rfoe_imm_run(struct rfoe *x, uint32_t imm, uint32_t len);
/* LEN good bytes, as a good peer sends them (one rail). */
void rfoe_put(struct rig *r, struct rfoe *x, uint32_t len);

/* RESUME that fits, for the epoch after this one. */
struct nmti_resume rfoe_resume(const struct rfoe *x);
void rfoe_send_resume(struct rfoe *x, const struct nmti_resume *m);
void rfoe_send_path_down(struct rfoe *x, uint8_t epoch);
/* Go to the epoch of M: drain the rails, and connect those of it. */
void rfoe_next_epoch(struct rig *r, struct rfoe *x, const struct nmti_resume *m);

/* The victim broke off for a broken rule: -ECONNRESET, and ABORT(MALFORMED) for the attacker. */
void rfoe_expect_malformed(struct rig *r, struct rfoe *x);
/* Nothing happened: bytes still come through. */
void rfoe_expect_alive(struct rig *r, struct rfoe *x);

/* ---- cases ----------------------------------------------------------------------------------- */

enum { MALFORMED, ALIVE, OWN }; /* verdicts; OWN: the attack itself looks */
enum {
	FOE_SERVER = 1,              /* the victim connects */
	FOE_POSTED = 2 | FOE_SERVER, /* and is in posted mode */
	FOE_RECORDS = 4,
	FOE_RAILS3 = 8,
	FOE_WANTS = 16,              /* the attacker is in posted mode */
};

struct rma_case {
	const char *name;
	void (*attack)(struct rig *r, struct rfoe *x);
	unsigned int how;
	int verdict;
};

void rma_rig_open(struct rig *r, unsigned int how);
void rma_rig_close(struct rig *r); /* after proof that others go on, and that nothing is left */
void rma_case_run(void **state);
/* All cases, and MORE tests. Argument of the program: a pattern for names. */
int rma_cases_main(int argc, char **argv, const struct rma_case *cases, size_t n,
		   const struct CMUnitTest *more, size_t nmore);

#endif
