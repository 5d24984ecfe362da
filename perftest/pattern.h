/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The data of --verify: seeded random bytes whose period is a prime, so that a lost, repeated or
 * moved piece of any usual size shows. Each stream and direction starts elsewhere in the period.
 */
#ifndef PERF_PATTERN_H
#define PERF_PATTERN_H

#include <stddef.h>
#include <stdint.h>

#define PATTERN_PERIOD 1048573u

/* Fill BUF with the first LEN bytes of the pattern; message buffers are period + message long. */
void pattern_fill(uint8_t *buf, size_t len, uint64_t seed);

/* Where stream INDEX starts; SERVER: what the server sends. */
uint32_t pattern_start(uint64_t seed, uint32_t index, int server);

/*
 * Compare LEN bytes that belong at POS (any position since the start of the period) with the
 * pattern in REF, which has at least one period. -1: equal, else the first byte that differs.
 */
int64_t pattern_compare(const uint8_t *ref, uint64_t pos, const uint8_t *data, size_t len);

#endif
