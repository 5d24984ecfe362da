/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The command line of nmt_cat.
 */
#ifndef CAT_OPTIONS_H
#define CAT_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "checksum.h"
#include "streamopts.h"

struct cat_options {
	struct tk_streamopts stream;
	const char *addr;
	char **files; /* "-": standard input */
	int n_files;
	bool listen;
	bool keep; /* serve one connection after the other */
	bool send_only, recv_only;
	bool names; /* files go with their names (names.h) */
	bool force; /* overwrite */
	bool copy;  /* copying calls */
	bool quiet, progress, stats;
	bool print_sum;
	bool has_expect;
	const char *output;    /* NULL: standard output */
	const char *dir;       /* NULL: the stream is one file */
	const char *port_file; /* NULL: none */
	uint64_t block;	       /* bytes read and sent at a time */
	uint64_t depth;	       /* blocks in flight */
	int64_t idle;	       /* ns without a byte moved; 0: for ever */
	uint64_t expect;
	enum checksum_kind sum;
	char expect_sum[CHECKSUM_TEXT]; /* "": none */
};

/* Parse and check; ends the process on --help, --version and mistakes. */
void cat_options_parse(struct cat_options *o, int argc, char **argv);

/* Whether bytes are sent, and whether standard input is among them. */
bool cat_sends(const struct cat_options *o);
bool cat_sends_stdin(const struct cat_options *o);

#endif
