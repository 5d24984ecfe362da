/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Options in tables: one entry is the parser's and the help text's, so that the two cannot differ.
 * getopt_long(3) does the parsing.
 *
 *	struct tk_parser p;
 *
 *	tk_parser_init(&p, argc, argv);
 *	tk_parser_add(&p, own_options);
 *	tk_parser_add(&p, tk_stream_options);
 *	while ((code = tk_parser_next(&p)) >= 0)
 *		...; the argument is in optarg, operands start at argv[optind]
 */
#ifndef TK_OPTS_H
#define TK_OPTS_H

#include <getopt.h>
#include <stdio.h>

struct tk_opt {
	int code;	  /* printable: also the short option; 0 ends the table */
	const char *name; /* long option; NULL: none */
	const char *arg;  /* what to call the argument; NULL: none; "[X]": may be left out */
	const char *help; /* may have several lines */
};

#define TK_OPTS_MAX 96

struct tk_parser {
	int argc;
	char **argv;
	size_t n;
	char shorts[2 * TK_OPTS_MAX + 2];
	struct option longs[TK_OPTS_MAX + 1];
};

void tk_parser_init(struct tk_parser *p, int argc, char **argv);

/* Add a table that ends with code 0. All tables together hold at most TK_OPTS_MAX options. */
void tk_parser_add(struct tk_parser *p, const struct tk_opt *table);

/* The next option's code, or -1 after the last. A wrong option ends the process (TK_EXIT_USAGE). */
int tk_parser_next(struct tk_parser *p);

/* Print the help of a table, a line or more an option. */
void tk_opts_help(FILE *out, const struct tk_opt *table);

/* Print "PROG VERSION (libnmt VERSION)" for --version. */
void tk_print_version(void);

#endif
