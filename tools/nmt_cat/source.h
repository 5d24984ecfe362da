/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The bytes to send: standard input or files one after the other, with headers of names.h between
 * them when names are sent.
 */
#ifndef CAT_SOURCE_H
#define CAT_SOURCE_H

#include "fdio.h"
#include "names.h"
#include "options.h"

struct source {
	const struct cat_options *opt;
	const char *name;	    /* of what is open, for messages */
	struct fdio io;		    /* fd -1: nothing is open */
	int next;		    /* file operand to open next */
	bool end;		    /* everything was read */
	uint64_t left;		    /* bytes of this file still to send, when names are sent */
	struct names_answer sent;   /* what the receiver has to confirm */
	uint32_t head_len, head_at; /* header bytes not given out yet */
	unsigned char head[NAMES_HEADER + NAMES_MAX];
};

/*
 * Before connecting: refuse files that cannot be read or sent. *TOTAL is the bytes to send, 0 when
 * that is not known. 0, or -errno after a message.
 */
int source_check(const struct cat_options *o, uint64_t *total);

void source_open(struct source *s, const struct cat_options *o);
void source_close(struct source *s);

/* Bytes read; 0: end of all; -EAGAIN: poll source_fd() for POLLIN; else -errno after a message. */
ssize_t source_read(struct source *s, void *buf, size_t len);

int source_fd(const struct source *s);

/* The source is a terminal that waits for the user. */
bool source_is_tty(const struct source *s);

#endif
