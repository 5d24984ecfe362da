/* SPDX-License-Identifier: BSD-2-Clause */
/* The server: one client at a time, any number of measurements for each. */
#ifndef PERF_SERVER_H
#define PERF_SERVER_H

#include "options.h"

/* Serve until a signal, or one client with --once. Exit code. */
int server_main(const struct perf_options *o);

#endif
