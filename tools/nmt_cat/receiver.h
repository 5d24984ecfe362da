/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * From the stream into the sink: fragments that are lent are written from where they lie, or bytes
 * are copied out with nmt_recv.
 */
#ifndef CAT_RECEIVER_H
#define CAT_RECEIVER_H

#include <nmt/nmt.h>

#include "checksum.h"
#include "sink.h"

#define RECEIVER_FRAGS 16

struct receiver {
	struct nmt_stream *stream;
	struct sink *sink;
	struct checksum sum;
	struct nmt_frag frags[RECEIVER_FRAGS]; /* on loan */
	int n_frags, frag;		       /* how many; which is being written */
	uint32_t done;			       /* bytes of it that were written */
	char *buf;	   /* copying calls, or staging of memory that the CPU cannot touch */
	size_t size, fill; /* of buf: size, bytes in it */
	size_t at;	   /* bytes of it that were written */
	bool copy;
	bool idle;    /* the stream had nothing: wait for NMT_EV_READABLE */
	bool blocked; /* the sink took nothing: wait for it */
	bool end;     /* end of stream, and the sink has everything */
};

/* 0 or -errno after a message. */
int receiver_start(struct receiver *rx, const struct cat_options *o, struct nmt_stream *stream,
		   struct sink *sink);
void receiver_stop(struct receiver *rx);

/* 1: moved something; 0: has to wait; -errno of the stream; CAT_TOLD: the sink failed. */
int receiver_step(struct receiver *rx);

/* Descriptor to poll for POLLOUT; -1: none. */
int receiver_fd(const struct receiver *rx);

#endif
