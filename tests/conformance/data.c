/* SPDX-License-Identifier: BSD-2-Clause */
/* Seeded random numbers and byte patterns in which every position has its own value. */
#include <stdio.h>

#include "suite.h"

static uint64_t mix(uint64_t x)
{
	x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
	return x ^ (x >> 31);
}

uint64_t rng_next(uint64_t *state)
{
	*state += UINT64_C(0x9e3779b97f4a7c15);
	return mix(*state);
}

uint64_t rng_below(uint64_t *state, uint64_t n)
{
	return rng_next(state) % n;
}

size_t rng_size(uint64_t *state, size_t max)
{
	unsigned int bits = 0;

	while (bits < 30 && (max >> (bits + 1)))
		bits++;
	bits = (unsigned int)rng_below(state, bits + 1);
	size_t n = 1 + rng_below(state, (size_t)2 << bits);

	return n < max ? n : max;
}

static uint64_t word_at(uint64_t seed, uint64_t index)
{
	return mix(seed ^ (index * UINT64_C(0x9e3779b97f4a7c15)));
}

static unsigned char byte_at(uint64_t seed, uint64_t pos)
{
	return (unsigned char)(word_at(seed, pos / 8) >> (pos % 8 * 8));
}

void pattern_fill(uint64_t seed, uint64_t pos, void *buf, size_t len)
{
	unsigned char *p = buf;
	size_t i = 0;

	for (; i < len && (pos + i) % 8; i++)
		p[i] = byte_at(seed, pos + i);
	for (; i + 8 <= len; i += 8) {
		uint64_t w = word_at(seed, (pos + i) / 8);

		for (int b = 0; b < 8; b++)
			p[i + b] = (unsigned char)(w >> (b * 8));
	}
	for (; i < len; i++)
		p[i] = byte_at(seed, pos + i);
}

/* What stands there instead: bytes of another position, or a byte that the tests fill with. */
void pattern_explain(uint64_t seed, uint64_t pos, const void *buf, size_t len, char *out,
		     size_t max)
{
	unsigned char want[16], near[16];
	const unsigned char *p = buf;
	size_t n = len < sizeof(want) ? len : sizeof(want);

	pattern_fill(seed, pos, want, n);
	for (int64_t off = -(int64_t)MIB; off < (int64_t)MIB && n >= 8; off++) {
		if (off == 0 || (off < 0 && (uint64_t)-off > pos))
			continue;
		pattern_fill(seed, pos + (uint64_t)off, near, n);
		if (!memcmp(near, p, n)) {
			snprintf(out, max, "bytes of %+lld", (long long)off);
			return;
		}
	}
	snprintf(out, max, "%02x %02x %02x %02x, want %02x %02x %02x %02x", p[0], n > 1 ? p[1] : 0,
		 n > 2 ? p[2] : 0, n > 3 ? p[3] : 0, want[0], want[1], want[2], want[3]);
}

ssize_t pattern_check(uint64_t seed, uint64_t pos, const void *buf, size_t len)
{
	const unsigned char *p = buf;
	unsigned char want[512];

	for (size_t i = 0; i < len; i += sizeof(want)) {
		size_t n = len - i < sizeof(want) ? len - i : sizeof(want);

		pattern_fill(seed, pos + i, want, n);
		if (!memcmp(p + i, want, n))
			continue;
		for (size_t j = 0; j < n; j++)
			if (p[i + j] != want[j])
				return (ssize_t)(i + j);
	}
	return -1;
}
