/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where received bytes go: a file or standard output, files in a folder (names.h), nowhere, or into
 * a check of the receiver's answer. A sink of the first kind outlives a connection.
 */
#ifndef CAT_SINK_H
#define CAT_SINK_H

#include "fdio.h"
#include "names.h"
#include "options.h"

struct sink;

struct sink_ops {
	/* A connection begins. */
	void (*start)(struct sink *s);
	/* Bytes taken, above 0; -EAGAIN: poll sink_fd() for POLLOUT; CAT_TOLD. */
	ssize_t (*write)(struct sink *s, const void *buf, size_t len);
	/* The stream has ended in order: 0, or CAT_TOLD when something is missing or not safe. */
	int (*finish)(struct sink *s);
	/* The connection is over, however it ended. */
	void (*stop)(struct sink *s);
};

struct sink {
	const struct sink_ops *ops;
	const struct cat_options *opt;
	const char *name;
	struct fdio io;
	bool broken;		    /* it will take no other connection either */
	int dir;		    /* of --dir */
	struct names_answer got;    /* files and bytes written, or the answer expected */
	struct names_header header; /* of the file being received */
	uint64_t left;		    /* bytes of it still to come */
	bool end;		    /* nothing may follow */
	size_t head_at;		    /* bytes in head */
	unsigned char head[NAMES_HEADER + NAMES_MAX + 1];
};

/* Open what OPT asks for; refuses to overwrite. 0 or -errno after a message. */
int sink_open(struct sink *s, const struct cat_options *o);
void sink_close(struct sink *s);

static inline int sink_fd(const struct sink *s)
{
	return s->io.disk ? -1 : s->io.fd;
}

extern const struct sink_ops dir_sink_ops; /* dirsink.c */

#endif
