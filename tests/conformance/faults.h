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
	NO_FAULT,
};

struct fault_stream {
	unsigned int calls;            /* of the op that the fault sits in */
	struct nmt_frag frag;          /* a loan to spoil, or a send to put off */
	bool have_frag, owe_sent, swallow;
	int flags;
	uint64_t cookie;
	unsigned int delay;
	struct nmt_event held;         /* an event kept back */
	bool have_held;
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
