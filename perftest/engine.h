/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The event loop of a worker: sends what its test allows (flow.tx_left), receives what comes, tells
 * the test of complete messages, and ends streams in order: each side ends its direction, and is
 * done when it has seen the other's end.
 */
#ifndef PERF_ENGINE_H
#define PERF_ENGINE_H

#include "run.h"

#define ENDLESS UINT64_MAX /* messages, until told to stop */

struct engine_hooks {
	/* Set todo and tx_left before the start. */
	void (*start)(struct worker *w, struct flow *f);
	/* N messages are complete; may raise tx_left. NULL: messages do not matter. */
	void (*messages)(struct worker *w, struct flow *f, uint64_t n);
	bool sender; /* progress is what was sent */
	bool timed;  /* keep w->now and the times of sending */
};

/* Buffers of a worker: flows, receive memory, histogram; and free them. */
int engine_open(struct worker *w);
void engine_close(struct worker *w);

/* Progress at which a run with a fixed number of iterations is complete. */
uint64_t engine_last_mark(const struct worker *w);

/* Run until all flows have ended. */
int engine_run(struct worker *w, const struct engine_hooks *hooks);

#endif
