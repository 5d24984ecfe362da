/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Faults of a provider, made by a decorator around its ops table. One fault is on in a process; each
 * stream keeps what the fault needs behind the provider's own part of stream->priv.
 */
#ifndef CONFORMANCE_FAULTS_H
#define CONFORMANCE_FAULTS_H

#include "suite.h"

#include <nmt/provider.h>

enum fault_id {
	/* sending (fault_tx.c) */
	TX_DROP,
	TX_DUPLICATE,
	TX_REORDER,
	TX_FLIP,
	TX_PARTIAL_MISCOUNTED,
	TX_EAGAIN_BUT_SENT,
	TX_EOR_LOST,
	TX_EOR_SPURIOUS,
	TX_EMPTY_RECORD_LOST,
	TX_HELD_BACK,
	SENT_EARLY,
	FLUSH_EARLY,
	FLUSH_LOST,
	/* receiving (fault_rx.c) */
	RX_FLIP,
	RX_SHORT_COUNT,
	RX_EOR_LOST,
	RX_PEEK_CONSUMES,
	RX_EOF_LOST,
	RX_CUT_AS_EOF,
	RX_STARVATION,
	LOAN_OVERWRITTEN,
	LOAN_TWICE,
	LOAN_ENDS_AT_ONCE,
	RELEASE_IGNORED,
	RELEASE_UNCHECKED,
	POST_WHOLE_IGNORED,
	CANCEL_LOST,
	COPY_MISCOUNTED,
	/* events, ends and observation (fault_life.c) */
	SENT_LOST,
	SENT_OUT_OF_ORDER,
	RECEIVED_LOST,
	RECEIVES_STARVED,
	RECEIVED_SHORT,
	POST_BEYOND,
	COOKIE_WRONG,
	READABLE_LOST,
	READABLE_TOO_OFTEN,
	WRITABLE_LOST,
	BUDGET_IGNORED,
	CLOSE_LOSES_TAIL,
	ABORT_AS_EOF,
	SHUTDOWN_LOST,
	SHUTDOWN_BOTH,
	WAITS_HIDDEN,
	OPTION_IGNORED,
	/* of a provider with RMA: requests (fault_rma_tx.c) */
	RMA_WRITE_DROPPED,
	RMA_WRITE_DOUBLED,
	RMA_WRITES_SWAPPED,
	RMA_WRONG_OFFSET,
	RMA_SHORT_WRITE,
	RMA_EOR_LOST,
	RMA_IMM_BEFORE_BYTES,
	RMA_MESSAGE_DROPPED,
	RMA_MESSAGE_DOUBLED,
	RMA_MESSAGE_CUT,
	RMA_MESSAGES_SWAPPED,
	RMA_MESSAGE_READ_LATE,
	RMA_SIGNAL_IGNORED,
	RMA_DOORBELL_LOST,
	RMA_WRITTEN_EARLY,
	/* completions, waiting, memory, ends (fault_rma_rx.c) */
	RMA_WRITTEN_TOO_HIGH,
	RMA_ROOM_UNTOLD,
	RMA_LENGTH_LIES,
	RMA_WRONG_RAIL,
	RMA_SLOT_LOST,
	RMA_CTRL_SLOT_LOST,
	RMA_CONNECTED_LOST,
	RMA_FAILED_LOST,
	RMA_FENCE_LOSES,
	RMA_DRAINED_EARLY,
	RMA_DRAINED_LOST,
	RMA_OLD_EPOCH_WRITES,
	RMA_ARM_LOSES,
	RMA_REG_NOT_REMOTE,
	RMA_DEREG_EARLY,
	RMA_DEREG_LOST,
	NO_FAULT,
};
#define RMA_FAULTS RMA_WRITE_DROPPED /* this one and those behind it */

struct fault_stream {
	unsigned int calls;            /* of the op that the fault sits in */
	struct nmt_frag frag;          /* a loan to spoil, or a send to put off */
	bool have_frag, owe_sent, swallow;
	int flags;
	uint64_t cookie;
	unsigned int delay;
	struct nmt_event held;         /* an event kept back */
	bool have_held;
	bool sends_told;               /* by the last reap_tx */
	uint64_t flushes[16];          /* cookies to answer too early */
	unsigned int nflushes;
	struct nmt_mr *mr[64];         /* posted receives, a ring */
	uint64_t beyond[64];
	unsigned int nposted, nreceived;
};

extern struct nmt_provider_ops fault_real; /* the provider below */
extern enum fault_id fault_on;

struct fault_stream *fault_of(struct nmt_stream *s);
void fault_tx_ops(struct nmt_provider_ops *ops);
void fault_rx_ops(struct nmt_provider_ops *ops);
void fault_life_ops(struct nmt_provider_ops *ops);
/* Work of a send that was put off; true: it waits still. */
bool fault_tx_work(struct nmt_stream *s);

#endif
