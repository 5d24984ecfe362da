/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The messages of libnmt/bootwire.h behind one interface, for tests that do the same to each.
 */
#ifndef TESTS_BOOTMSG_H
#define TESTS_BOOTMSG_H

#include "bootwire.h"
#include "codec.h"

struct magic_result {
	int match;
};

struct peek_result {
	int total;
};

struct record_header {
	uint32_t len;
	bool eor;
};

union msg {
	struct magic_result magic;
	struct peek_result peek;
	struct nmti_hello hello;
	struct nmti_select select;
	struct nmti_decline decline;
	struct nmti_confirm confirm;
	struct nmti_join join;
	struct nmti_fin fin;
	struct nmti_abort abort;
	struct nmti_resume resume;
	struct nmti_path_down path_down;
	struct record_header record;
};

#define BOOTMSG_WRAP(X)                                                               \
	static inline int decode_##X(const void *buf, size_t len, union msg *m)       \
	{                                                                             \
		return nmti_##X##_decode(buf, len, &m->X);                            \
	}                                                                             \
	static inline int encode_##X(const union msg *m, void *buf, size_t cap)       \
	{                                                                             \
		return nmti_##X##_encode(&m->X, buf, cap);                            \
	}

BOOTMSG_WRAP(hello)
BOOTMSG_WRAP(select)
BOOTMSG_WRAP(decline)
BOOTMSG_WRAP(confirm)
BOOTMSG_WRAP(join)
BOOTMSG_WRAP(fin)
BOOTMSG_WRAP(abort)
BOOTMSG_WRAP(resume)
BOOTMSG_WRAP(path_down)

/* In the order of enum nmti_msg_type, from 1. */
#define BOOTMSG_CODEC(X) { #X, sizeof(struct nmti_##X), decode_##X, encode_##X }
#define BOOTMSG_COUNT 9
static const struct codec messages[BOOTMSG_COUNT] = {
	BOOTMSG_CODEC(hello), BOOTMSG_CODEC(select), BOOTMSG_CODEC(decline),
	BOOTMSG_CODEC(confirm), BOOTMSG_CODEC(join), BOOTMSG_CODEC(fin), BOOTMSG_CODEC(abort),
	BOOTMSG_CODEC(resume), BOOTMSG_CODEC(path_down),
};

#endif
