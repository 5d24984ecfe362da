/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One connection from open to closed: sender and receiver side by side, progress, time-outs, and
 * the verdict.
 */
#ifndef CAT_SESSION_H
#define CAT_SESSION_H

#include "loop.h"
#include "options.h"
#include "progress.h"
#include "receiver.h"
#include "sender.h"

struct session {
	const struct cat_options *opt;
	struct loop *loop;
	struct nmt_stream *stream;
	struct progress *bar;
	struct sender tx;
	struct receiver rx;
	int tx_error;	  /* the stream takes no more; bytes may still arrive */
	int stream_error; /* NMT_EV_ERROR: read what is left, then fail */
	bool one_way;	  /* raw --send-only: the peer's end is not waited for */
	bool closed;	  /* NMT_EV_CLOSED came */
	int close_status;
	int64_t last_move; /* when a byte or an event last moved */
};

/*
 * Run STREAM, which is open, to its end; it is closed afterwards. TOTAL: bytes expected for the
 * progress bar, 0: unknown. Returns enum tk_exit, after messages.
 */
int session_run(struct session *s, const struct cat_options *o, struct loop *l,
		struct nmt_stream *stream, const struct sender_memory *mem, struct sink *sink,
		struct progress *bar, uint64_t total);

#endif
