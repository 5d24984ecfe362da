/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Requests and responses of the same size, on the engine: rr has many streams and perhaps several
 * requests in flight, lat one stream and one request.
 */
#ifndef PERF_PINGPONG_H
#define PERF_PINGPONG_H

#include "engine.h"

int pingpong_client(struct worker *w);
int pingpong_server(struct worker *w);

#endif
