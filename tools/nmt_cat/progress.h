/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The progress line on standard error.
 */
#ifndef CAT_PROGRESS_H
#define CAT_PROGRESS_H

#include <nmt/nmt.h>
#include <stdbool.h>
#include <stdint.h>

struct progress {
	bool on;
	bool shown;	     /* a line is on the screen */
	uint32_t log_errors; /* lines of NMT_LOG_ERROR so far */
	uint64_t total;	     /* expected bytes; 0: unknown */
	int64_t start, next;
	uint64_t last_bytes;
	int64_t last_time;
	double rate; /* bytes a second, smoothed */
};

#define PROGRESS_PERIOD INT64_C(200000000)

int64_t cat_now(void); /* CLOCK_MONOTONIC, ns */

void progress_start(struct progress *p, bool on, uint64_t total);

/* Show BYTES if it is time to. */
void progress_update(struct progress *p, uint64_t bytes, int64_t now);

/* Replace the line by the result: bytes, time, mean rate. */
void progress_finish(struct progress *p, uint64_t bytes);

/* Take the line off the screen, before a message. */
void progress_clear(struct progress *p);

/* Log sink (ARG: struct progress): the line does not get mixed with messages. */
void progress_log(void *arg, enum nmt_log_level level, const char *line);

#endif
