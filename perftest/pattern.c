/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The data of --verify.
 */
#include "pattern.h"

#include <string.h>

/* splitmix64: every state gives another number. */
static uint64_t mix(uint64_t *state)
{
	uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

void pattern_fill(uint8_t *buf, size_t len, uint64_t seed)
{
	size_t first = len < PATTERN_PERIOD ? len : PATTERN_PERIOD;
	uint64_t r;

	for (size_t i = 0; i < first; i += sizeof(r)) {
		r = mix(&seed);
		memcpy(buf + i, &r, first - i < sizeof(r) ? first - i : sizeof(r));
	}
	for (size_t i = first; i < len; i += PATTERN_PERIOD)
		memcpy(buf + i, buf, len - i < PATTERN_PERIOD ? len - i : PATTERN_PERIOD);
}

uint32_t pattern_start(uint64_t seed, uint32_t index, int server)
{
	uint64_t state = seed ^ ((uint64_t)index * 2 + !!server);

	return (uint32_t)(mix(&state) % PATTERN_PERIOD);
}

static int64_t first_difference(const uint8_t *a, const uint8_t *b, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (a[i] != b[i])
			return (int64_t)i;
	}
	return -1;
}

int64_t pattern_compare(const uint8_t *ref, uint64_t pos, const uint8_t *data, size_t len)
{
	size_t done = 0;

	while (done < len) {
		size_t at = (pos + done) % PATTERN_PERIOD;
		size_t n = PATTERN_PERIOD - at < len - done ? PATTERN_PERIOD - at : len - done;

		if (memcmp(ref + at, data + done, n) != 0)
			return (int64_t)done + first_difference(ref + at, data + done, n);
		done += n;
	}
	return -1;
}
