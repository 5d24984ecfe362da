/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A fabric inside of one process that can write remote memory, as provider "sim": endpoints are
 * ordered and reliable, each at its own pace, until they are broken on purpose. It checks what a
 * device would: keys, bounds, receives posted, and that nothing uses an endpoint that is gone.
 *
 * The device names the kind of fabric: "sim" (fast), "sim/tiny" (few slots, short queues, delays),
 * "sim/slow" (delays), "sim/far" (short ones), "sim/scarce" (registrations fail), "sim/short" (writes);
 * "sim/left,right": two unequal ones; "sim/mixed" (one endpoint for all: writes arrive in any order, and
 * some behind a fence).
 */
#ifndef TESTS_SIM_H
#define TESTS_SIM_H

#include <nmt/provider.h>

int sim_add(struct nmt_ctx *ctx);
int sim_add_best(struct nmt_ctx *ctx); /* so that "auto" prefers it to all others */

/* Which end hears of a loss. */
enum sim_heard { SIM_HEARD_BOTH, SIM_HEARD_CLIENT, SIM_HEARD_SERVER };

/* What is lost: a rail, or for good a device of an end that hears, a cable at both ends, or a cable
 * of which no device says that it is dead. */
enum sim_lost { SIM_LOST_RAIL, SIM_LOST_ADAPTER, SIM_LOST_CABLE, SIM_LOST_SILENT };

#define SIM_NETS 9u

/* Address of a device in network 0, and as the engine tells a peer of the only one. */
#define SIM_BLOB 5u /* "simd", network */
#define SIM_ADDR "simd\0"
#define SIM_ADDRS ((const unsigned char[]){ SIM_BLOB, 0, 's', 'i', 'm', 'd', 0 })

/* Of all fabrics of the process; between tests. */
struct sim_knobs {
	uint64_t seed;
	/* The rail on which delivery number LOSE_AT happens breaks; 0: none does. */
	uint64_t lose_at;
	bool lose_after;       /* behind the delivery: what was delivered is not acknowledged */
	uint32_t lose_again;   /* so many deliveries later, once more; 0: no */
	uint32_t heard;        /* enum sim_heard */
	uint32_t lost;         /* enum sim_lost */
	bool deaf;             /* nobody is connected, until this is false again */
	/* Called at delivery number CALL_AT, and once more CALL_AGAIN deliveries later; 0: no. */
	uint64_t call_at;
	uint32_t call_again;
	void (*call)(void);
	/* To measure what lies between: BEGINS when a poll has told of bytes, not when a write begins. */
	void (*turn)(bool begins);
	bool hostile;          /* what a device refuses to a peer breaks the rail, and is no bug; devices
				* post receives again by themselves, so that it is the engine that counts */
};
void sim_set(const struct sim_knobs *knobs);

struct sim_counts {
	uint64_t on_net[SIM_NETS]; /* deliveries by network; not what was under way when it was lost */
	uint64_t deliveries, losses, refused; /* refused: connects that nobody expected in time */
	uint64_t denied;       /* requests that a device refused, with HOSTILE */
	uint64_t violations;   /* ever, of the rules of a device: each is a bug, told on standard error */
	uint64_t writes, sends, asks, signalled, doorbells, bytes;
	uint64_t deepest; /* most requests under way */
	uint64_t regs;         /* registrations now */
	uint64_t endpoints;    /* now */
};
void sim_read(struct sim_counts *counts);

#endif
