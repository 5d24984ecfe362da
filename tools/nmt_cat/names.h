/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Several files with their names over one stream: "nmt_cat files", version 1.
 *
 * Used only when the sender has --names and the receiver --dir, over a negotiated stream. All
 * numbers are big-endian. The sender sends, for each file:
 *
 *	 0  8  magic: "nmt_cat" and the byte 1
 *	 8  8  size of the file in bytes, at most 2^63 - 1
 *	16  4  permission bits, at most 0777
 *	20  4  length of the name, 1 to 255
 *	24  n  the name: no '/', no control characters, not "." or ".."
 *	    .  the file's bytes
 *
 * and after the last file a header with a name of length 0, whose size is the number of files;
 * then it ends its direction of the stream. When all files are written and closed the receiver
 * answers, and ends its own direction:
 *
 *	 0  8  magic: "nmt_cat" and the byte 2
 *	 8  8  number of files
 *	16  8  bytes in all files together
 *
 * Without that answer the sender reports a failure. Anything else makes either end abort.
 */
#ifndef CAT_NAMES_H
#define CAT_NAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NAMES_HEADER 24
#define NAMES_MAX 255
#define NAMES_ANSWER 24

struct names_header {
	uint64_t size;
	uint32_t mode;
	uint32_t name_len; /* 0: the end, size is the number of files */
};

struct names_answer {
	uint64_t files;
	uint64_t bytes;
};

void names_put_header(unsigned char *buf, const struct names_header *h);

/* -EPROTO: no header of this version, or a field out of its range. */
int names_get_header(const unsigned char *buf, struct names_header *h);

void names_put_answer(unsigned char *buf, const struct names_answer *a);
int names_get_answer(const unsigned char *buf, struct names_answer *a);

/* Whether a peer may choose NAME (LEN bytes, no NUL needed) as a file in our folder. */
bool names_allowed(const char *name, size_t len);

/* The last part of PATH, as basename(1) without changing PATH: what is sent as the name. */
const char *names_base(const char *path);

#endif
