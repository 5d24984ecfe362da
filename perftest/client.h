/* SPDX-License-Identifier: BSD-2-Clause */
/* The client: measures one row or a sweep of sizes with a server, and reports. */
#ifndef PERF_CLIENT_H
#define PERF_CLIENT_H

#include "options.h"

/* Exit code. */
int client_main(const struct perf_options *o);

#endif
