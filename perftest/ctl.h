/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The control stream: messages of wire.h over an ordinary raw TCP stream, on a domain of its own
 * that the main thread uses. On the server the domain also has the listener for control streams.
 */
#ifndef PERF_CTL_H
#define PERF_CTL_H

#include <nmt/nmt.h>

#include "wire.h"

/* For the last words on a path that is gone: ns. */
#define CTL_LINGER INT64_C(2000000000)

struct ctl {
	struct nmt_domain *dom;
	struct nmt_listener *listener; /* server */
	struct nmt_stream *stream;     /* the client being served; NULL: none */
	bool waiting;		       /* clients may wait in the listener */
	bool open;
	int error; /* the control stream broke or ended: negative errno */
	size_t have;
	uint8_t in[2 * (WIRE_HEAD_LEN + WIRE_BODY_MAX)];
};

union ctl_body {
	struct perf_params params;
	struct wire_ready ready;
	struct wire_interval interval;
	struct wire_result result;
};

/* Begin with a control stream that has just been connected or accepted. */
void ctl_attach(struct ctl *c, struct nmt_stream *stream);

/* Close the control stream. */
void ctl_detach(struct ctl *c);

/* Send bytes, or a message. -ENOBUFS: the peer does not read. */
int ctl_send_bytes(struct ctl *c, const void *buf, size_t len);
int ctl_send(struct ctl *c, uint32_t type, const void *body);

/*
 * One turn: wait for events up to TIMEOUT, answer other clients with "busy". Ends early when
 * another thread wakes the domain, and at once when unread bytes are there.
 */
int ctl_turn(struct ctl *c, int64_t timeout);

/*
 * Next message: its type, with BODY filled; 0: none came within a turn of TIMEOUT.
 * -ENOTCONN: the peer closed; -EPROTO: it sent what is no message; else why the stream broke.
 */
int ctl_next(struct ctl *c, union ctl_body *body, int64_t timeout);

/* Wait up to TIMEOUT for the hello that starts the stream; server. */
int ctl_hello(struct ctl *c, int64_t timeout);

#endif
