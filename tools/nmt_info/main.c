/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * nmt_info: what libnmt can use on this machine, and why not the rest.
 */
#include <stdio.h>
#include <stdlib.h>

#include "die.h"
#include "names.h"
#include "opts.h"
#include "report.h"
#include "streamopts.h"

static const struct tk_opt options[] = {
	{ 'a', "all", NULL, "also what cannot be used, with the reason" },
	{ 'p', "provider", "SPEC", "only this provider (tcp) or device (tcp/eth0), usable or not" },
	{ 'j', "json", NULL, "print JSON (schema nmt_info/1, docs/json.md)" },
	{ TK_OPT_LOG, "log", "LEVEL", "log on standard error: none, error, warn, info or debug" },
	{ 'h', "help", NULL, "print this help" },
	{ 'V', "version", NULL, "print the version" },
	{ 0, NULL, NULL, NULL },
};

static void print_help(void)
{
	puts("Usage: nmt_info [OPTION...]\n"
	     "Show what libnmt can use here: providers, devices, memory, settings.\n");
	tk_opts_help(stdout, options);
	puts("\nExit status: 0 something is usable, 1 nothing is, 2 wrong options.");
}

static void take_option(struct info_options *o, int code)
{
	struct tk_streamopts stream = TK_STREAMOPTS_INIT;

	switch (code) {
	case 'a':
		o->all = true;
		break;
	case 'p':
		o->provider = optarg;
		break;
	case 'j':
		o->json = true;
		break;
	case 'h':
		print_help();
		exit(TK_EXIT_OK);
	case 'V':
		tk_print_version();
		exit(TK_EXIT_OK);
	default:
		tk_streamopts_take(&stream, code, optarg);
		o->log_level = stream.log_level;
		break;
	}
}

static void parse(struct info_options *o, int argc, char **argv)
{
	struct tk_parser p;
	int code;

	tk_parser_init(&p, argc, argv);
	tk_parser_add(&p, options);
	while ((code = tk_parser_next(&p)) >= 0)
		take_option(o, code);
	if (optind < argc)
		tk_usage("'%s': nmt_info takes options only", argv[optind]);
}

int main(int argc, char **argv)
{
	struct info_options opt = { 0 };
	struct info_report report;
	int err = 0, usable;

	parse(&opt, argc, argv);
	info_collect(&report, &opt);
	if (opt.json)
		err = info_print_json(&report);
	else
		info_print_text(&report);
	usable = report.usable > 0;
	info_release(&report);
	if (err < 0 || fflush(stdout) == EOF)
		tk_die(TK_EXIT_FAILURE, "cannot write the report: %s", nmt_strerror(err));
	return usable ? TK_EXIT_OK : TK_EXIT_FAILURE;
}
