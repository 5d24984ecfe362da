/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A codec behind one interface, for tests that do the same to each. Who includes this defines
 * union msg, which has room for what any of its codecs decodes.
 */
#ifndef TESTS_CODEC_H
#define TESTS_CODEC_H

#include <stdlib.h>
#include <string.h>

union msg;

struct codec {
	const char *name;
	size_t size; /* of what is decoded */
	int (*decode)(const void *buf, size_t len, union msg *m);
	int (*encode)(const union msg *m, void *buf, size_t cap); /* NULL: decoded only */
};

/* Decode from a heap copy of exactly LEN bytes, so that a sanitizer sees any read beyond. */
static inline int decode_exact(const struct codec *c, const void *buf, size_t len, union msg *m)
{
	void *copy = malloc(len ? len : 1);
	int err;

	if (!copy)
		abort();
	if (len)
		memcpy(copy, buf, len);
	err = c->decode(copy, len, m);
	free(copy);
	return err;
}

#endif
