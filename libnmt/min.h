/* SPDX-License-Identifier: BSD-2-Clause */
/* The smaller of two, for the core, the engine and its providers. */
#ifndef NMTI_MIN_H
#define NMTI_MIN_H

#include <stdint.h>

static inline int64_t nmti_min64(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

static inline uint32_t min32(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

#endif
