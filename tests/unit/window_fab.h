/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Two windows, and the fabric between them: a queue of writes and messages for each rail and
 * direction. What a run writes is checked when it lands: the key is one that was announced, the
 * bytes are in memory that its owner gave to the window and has not back. For test_window_model.c.
 */
#ifndef TESTS_WINDOW_FAB_H
#define TESTS_WINDOW_FAB_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rma/window_hot.h"

#define RAILS 4u
#define SLOTS_MOST 64u
#define CTRL_MOST 8u
#define QUEUE (SLOTS_MOST + CTRL_MOST)
#define REGIONS 4u
#define PATTERN 65521u /* bytes, a prime */
#define RUN_MOST (1u << 14)

struct item {
	bool ctrl;
	struct nmti_run run;
	uint64_t src;    /* where the application's bytes begin */
	uint64_t number;
};

/* One direction on one rail. */
struct lane {
	struct item q[QUEUE];
	uint32_t head, tail, runs; /* runs: of those in it */
	uint64_t delivered; /* number of the last run that landed */
};

struct flow {
	struct lane lane[RAILS];
	uint8_t msg[CTRL_MOST][NMTI_CTRL_MAX];
	int msg_len[CTRL_MOST];
	uint32_t head, tail; /* of the messages */
};

/* Of a byte: who may touch it. */
enum {
	MINE = 0x10,  /* the application's, or nobody's: a write to it is the bug to find */
	OPEN = 0x20,  /* the window's */
	TAKEN = 0x30, /* in a segment that is not over, given out as a piece */
};

struct fab_region {
	uint16_t id;
	uint64_t base[RAILS], key[RAILS];
	uint8_t *mem, *map;
	uint32_t users; /* segments */
};

struct fab {
	uint64_t seed; /* for messages */
	uint64_t rnd;
	uint8_t pattern[PATTERN + RUN_MOST];
};

extern struct fab fab;

static inline uint64_t rnd(void)
{
	fab.rnd ^= fab.rnd << 13;
	fab.rnd ^= fab.rnd >> 7;
	fab.rnd ^= fab.rnd << 17;
	return fab.rnd * UINT64_C(0x2545f4914f6cdd1d) >> 16;
}

static inline uint32_t below(uint32_t n)
{
	return (uint32_t)(rnd() % n);
}

/* From MIN to MAX. */
static inline uint32_t between(uint32_t min, uint32_t max)
{
	return min + below(max - min + 1);
}

static inline bool one_in(uint32_t n)
{
	return !below(n);
}

#define must(cond) ((cond) ? (void)0 : fab_fail(#cond, __FILE__, __LINE__))

void fab_fail(const char *what, const char *file, int line);

static inline const uint8_t *pattern(uint64_t src)
{
	return fab.pattern + src % PATTERN;
}

static inline bool all(const uint8_t *map, uint32_t len, uint8_t state)
{
	return !len || (map[0] == state && !memcmp(map, map + 1, len - 1));
}

#endif
