/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The command line.
 */
#ifndef PERF_OPTIONS_H
#define PERF_OPTIONS_H

#include "params.h"
#include "streamopts.h"

struct perf_options {
	struct tk_streamopts stream;
	struct perf_params params; /* of the (first) row */
	const char *host;	   /* NULL: server */
	const char *listen_host;   /* server: "" for any */
	const char *port_file;
	const char *json; /* file, "-" for standard output; NULL: none */
	uint32_t port, data_port;
	bool sweep; /* -a */
	bool bidir; /* -b */
	bool once;
	bool mib; /* MiB/sec instead of Gb/sec */
	int64_t connect_timeout;
};

/* Parse, check and complete; ends the process on --help, --version and wrong arguments. */
void options_parse(struct perf_options *o, int argc, char **argv);

/* The parameters of one size: what depends on the size is derived here. */
void options_row(const struct perf_options *o, uint64_t size, struct perf_params *p);

#endif
