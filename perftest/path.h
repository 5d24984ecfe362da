/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The path that the client's first stream took, as text and JSON: what it is when it is open, and
 * what became of it by the end.
 */
#ifndef PERF_PATH_H
#define PERF_PATH_H

#include <stddef.h>

#include <nmt/nmt.h>

struct path {
	struct nmt_stream_info begin, end;
};

/* One line, or two: why there is no better one. */
void path_print(const struct path *p);

/* What happened to it; nothing for paths to which nothing of that kind can happen. */
void path_print_end(const struct path *p);

/* What the stream waited for at the end, in words: "pool memory, the application", or "". */
void path_waits(const struct path *p, char *buf, size_t size);

/* Requests that the adapter sent again meanwhile. */
uint64_t path_retries(const struct path *p);

struct json_object;
void path_json(struct json_object *to, const struct path *p);

#endif
