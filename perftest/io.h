/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Moving the bytes of one flow with the calls that the parameters choose.
 */
#ifndef PERF_IO_H
#define PERF_IO_H

#include "run.h"

/* Send the current message, or the rest of it. 1: sent; 0: blocked; else a negative errno. */
int io_tx(struct worker *w, struct flow *f);

/*
 * Receive once: the number of bytes, or 0 with f->eof, or -EAGAIN. Not for CALL_INTO. *MORE: there
 * may be more at once.
 */
ssize_t io_rx(struct worker *w, struct flow *f, bool *more);

/* CALL_INTO: post receive K of the flow, and take its bytes when the event has come. */
int io_post(struct worker *w, struct flow *f, uint32_t k);
int io_posted(struct worker *w, struct flow *f, const struct nmt_event *ev);

/* Where in the worker's region receive K of a flow is, and how far apart they are. */
uint64_t io_slot(const struct worker *w, const struct flow *f, uint32_t k);
uint64_t io_stride(const struct worker *w);

#endif
