/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Running checksum and byte count of one direction.
 */
#ifndef CAT_CHECKSUM_H
#define CAT_CHECKSUM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum checksum_kind {
	CHECKSUM_NONE,
	CHECKSUM_XXH3,	 /* 64 bits, as "xxhsum -H3" prints it */
	CHECKSUM_SHA256, /* as sha256sum prints it */
};

/* Longest result as text: "sha256:" and 64 digits. */
#define CHECKSUM_TEXT 80

struct checksum {
	enum checksum_kind kind;
	uint64_t bytes;
	void *state; /* of the library that computes it */
};

/* 0 or -ENOMEM. */
int checksum_init(struct checksum *c, enum checksum_kind kind);
void checksum_update(struct checksum *c, const void *data, size_t len);

/* "xxh3:0123..." of what passed so far; "" without a checksum. */
void checksum_text(const struct checksum *c, char *buf, size_t len);
void checksum_free(struct checksum *c);

/* "xxh3" or "sha256"; -EINVAL: neither. */
int checksum_parse_kind(const char *text, enum checksum_kind *kind);

/*
 * Make "HEX" or "KIND:HEX" (either case) into "kind:hex", the form of checksum_text(); a bare HEX
 * tells its kind by its length. -EINVAL: neither.
 */
int checksum_parse(const char *text, enum checksum_kind *kind, char *buf, size_t len);

#endif
