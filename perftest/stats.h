/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The library's counters (struct nmt_stats) as a list of names and numbers: for the wire and JSON.
 * The order is part of the protocol; new counters go at the end.
 */
#ifndef PERF_STATS_H
#define PERF_STATS_H

#include <nmt/nmt.h>

#include "wire.h"

/* Name of counter I; NULL after the last. */
const char *stats_name(uint32_t i);

/* A counter of an end's result; 0 when it did not tell it. */
uint64_t stats_of(const struct wire_result *r, const char *name);

/* Add all counters of STATS to SUM[WIRE_MAX_STATS]; returns how many there are. */
uint32_t stats_add(uint64_t *sum, const struct nmt_stats *stats);

#endif
