/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * From the source into the stream: blocks of a region, several in flight, or one block with the
 * copying calls. At the end of the source it flushes and ends its direction of the stream.
 */
#ifndef CAT_SENDER_H
#define CAT_SENDER_H

#include <nmt/nmt.h>

#include "checksum.h"
#include "source.h"

/* As a result: it failed, and the message was printed. */
#define CAT_TOLD (-4096)

enum sender_state {
	SENDER_OFF, /* nothing to send */
	SENDER_SENDING,
	SENDER_FLUSHING, /* everything was given to the stream */
	SENDER_DONE,	 /* and is with the peer */
};

/* Memory that blocks are sent from; used by one connection after the other. */
struct sender_memory {
	struct nmt_mr *mr; /* depth blocks; NULL with the copying calls */
	char *cpu;	   /* of mr; NULL: blocks are staged */
	char *stage;	   /* one block, where the CPU cannot touch mr or there is none */
	size_t block;
	uint32_t depth;
};

struct sender {
	const struct sender_memory *mem;
	struct nmt_stream *stream;
	struct source src;
	struct checksum sum;
	enum sender_state state;
	uint32_t block;	    /* being filled */
	uint32_t in_flight; /* blocks */
	size_t fill;	    /* bytes in the block */
	size_t taken;	    /* of them, by nmt_send */
	bool end;	    /* the source is at its end */
	bool starved;	    /* the source had nothing: wait for it */
	bool blocked;	    /* the stream took nothing: wait for its event */
	bool ended;	    /* nmt_flush was taken */
};

/* 0 or -errno after a message. */
int sender_memory_alloc(struct sender_memory *m, struct nmt_ctx *ctx, const struct cat_options *o);
void sender_memory_free(struct sender_memory *m);

/* 0 or -errno after a message. */
int sender_start(struct sender *tx, const struct sender_memory *m, const struct cat_options *o,
		 struct nmt_stream *stream);
void sender_stop(struct sender *tx);

/* 1: moved something; 0: has to wait; -errno of the stream; CAT_TOLD: the source failed. */
int sender_step(struct sender *tx);

/* NMT_EV_SENT, _WRITABLE, _FLUSHED. 0 or -errno of the stream. */
int sender_event(struct sender *tx, const struct nmt_event *ev);

/* Descriptor to poll for POLLIN; -1: none. */
int sender_fd(const struct sender *tx);

/* Send nothing more from the source. */
void sender_cut(struct sender *tx);

#endif
