/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The command line of nmt_cat.
 */
#include "options.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "die.h"
#include "units.h"

#define BLOCK_DEFAULT (UINT64_C(1) << 20)
#define BLOCK_MAX (UINT64_C(1) << 30)
#define DEPTH_DEFAULT 4
/* One place of the library's 64 is for the flush. */
#define DEPTH_MAX 63

enum {
	OPT_ONCE = 1,
	OPT_SEND_ONLY,
	OPT_RECV_ONLY,
	OPT_BLOCK,
	OPT_DEPTH,
	OPT_COPY,
	OPT_EXPECT,
	OPT_EXPECT_CHECKSUM,
	OPT_IDLE,
	OPT_PORT_FILE,
	OPT_PROGRESS,
	OPT_STATS,
};

static const struct tk_opt main_options[] = {
	{ 'l', "listen", NULL, "wait for a connection instead of making one" },
	{ 'k', "keep", NULL, "with -l: serve on, one connection after the other" },
	{ OPT_ONCE, "once", NULL, "with -l: serve one connection and exit (the default)" },
	{ 'r', "raw", NULL, "the peer is any TCP program (the same as --mode raw)" },
	{ 'p', "provider", "SPEC",
	  "auto, tcp, verbs, or one on a device (tcp/eth0); nmt_info lists them\n"
	  "(default: NMT_PROVIDER in the environment, else auto)" },
	{ 'o', "output", "FILE", "write what arrives to FILE, not to standard output" },
	{ 'd', "dir", "DIR", "receive files with their names into DIR; the sender needs --names" },
	{ 'n', "names", NULL, "send the files with their names, for a receiver with --dir" },
	{ 'f', "force", NULL, "overwrite files that exist" },
	{ OPT_SEND_ONLY, "send-only", NULL, "ignore what arrives" },
	{ OPT_RECV_ONLY, "recv-only", NULL, "send nothing, do not read standard input" },
	{ OPT_IDLE, "idle", "TIME",
	  "give up when no byte has moved for TIME; without -k also\n"
	  "when nobody connects" },
	{ OPT_PORT_FILE, "port-file", "FILE",
	  "with -l: write the port (line 1) and address (line 2) to FILE" },
	{ 0, NULL, NULL, NULL },
};

static const struct tk_opt check_options[] = {
	{ 'c', "checksum", "[KIND]",
	  "print xxh3 (default) or sha256 and the byte count of what passed,\n"
	  "on standard error: \"xxh3:HEX  BYTES\"" },
	{ OPT_EXPECT, "expect", "BYTES",
	  "exit 3 unless so many bytes were received (--send-only: sent)" },
	{ OPT_EXPECT_CHECKSUM, "expect-checksum", "HEX",
	  "exit 3 unless they have this checksum (16 digits: xxh3, 64: sha256)" },
	{ OPT_BLOCK, "block", "SIZE", "bytes read and sent at a time (default 1M)" },
	{ OPT_DEPTH, "depth", "N", "blocks in flight, 1 to 63 (default 4)" },
	{ OPT_COPY, "copy", NULL, "use the copying calls instead of borrowed and lent memory" },
	{ OPT_PROGRESS, "progress", NULL, "show progress also when standard error is no terminal" },
	{ OPT_STATS, "stats", NULL, "print the library's counters at the end" },
	{ 'q', "quiet", NULL, "no progress, no \"listening on\"" },
	{ 'h', "help", NULL, "print this help" },
	{ 'V', "version", NULL, "print the version" },
	{ 0, NULL, NULL, NULL },
};

static void print_help(void)
{
	puts("Usage: nmt_cat [OPTION...] HOST:PORT [FILE...]\n"
	     "       nmt_cat -l [OPTION...] [ADDR [FILE...]]\n"
	     "Netcat for memory: send files or standard input, receive to a file or standard\n"
	     "output, over libnmt. A client sends standard input unless files are named; a\n"
	     "listener sends only what is named, \"-\" is standard input. The default port is\n"
	     "18515. A peer that is not nmt_cat (nc, curl) needs --raw. Nothing is encrypted.\n");
	tk_opts_help(stdout, main_options);
	puts("\nChecking, blocks, output:");
	tk_opts_help(stdout, check_options);
	puts("\nConnection:");
	tk_opts_help(stdout, tk_stream_options + 1); /* --provider is shown above */
	puts("\nExit status: 0 all went through, 1 failure, 2 wrong options, 3 not what --expect or\n"
	     "--expect-checksum says, 4 time-out, 130 interrupted. With --raw TCP cannot tell a cut\n"
	     "connection from its end: use --expect or --checksum there.\n"
	     "\nExamples:\n"
	     "  nmt_cat -l -o big.bin              nmt_cat host:18515 big.bin\n"
	     "  nmt_cat -l -d incoming             nmt_cat --names host a.bin b.bin\n"
	     "  nmt_cat -l --raw :5000 >x          nc -N host 5000 <x");
}

static uint64_t size_option(const char *name, const char *arg, uint64_t min, uint64_t max)
{
	uint64_t v;

	if (tk_parse_size(arg, &v) < 0 || v < min || v > max)
		tk_usage("--%s: '%s' is not a size in range; write for example 64K or 1M", name,
			 arg);
	return v;
}

static int64_t idle_option(const char *arg)
{
	int64_t v;

	if (tk_parse_time(arg, &v) < 0 || v < 1)
		tk_usage("--idle: '%s' is not a time; write for example 500ms or 10s", arg);
	return v;
}

static uint64_t depth_option(const char *arg)
{
	uint64_t v;

	if (tk_parse_number(arg, 1, DEPTH_MAX, &v) < 0)
		tk_usage("--depth: '%s' is not a number from 1 to %d", arg, DEPTH_MAX);
	return v;
}

static void set_sum(struct cat_options *o, enum checksum_kind kind)
{
	if (o->sum != CHECKSUM_NONE && o->sum != kind)
		tk_usage("--checksum and --expect-checksum are of different kinds");
	o->sum = kind;
}

static void checksum_option(struct cat_options *o, const char *arg)
{
	enum checksum_kind kind = CHECKSUM_XXH3;

	if (arg && checksum_parse_kind(arg, &kind) < 0)
		tk_usage("--checksum: '%s' is unknown; write xxh3 or sha256", arg);
	/* A bare --checksum goes along with any --expect-checksum. */
	if (arg || o->sum == CHECKSUM_NONE)
		set_sum(o, kind);
	o->print_sum = true;
}

static void expect_checksum_option(struct cat_options *o, const char *arg)
{
	enum checksum_kind kind;

	if (checksum_parse(arg, &kind, o->expect_sum, sizeof(o->expect_sum)) < 0)
		tk_usage("--expect-checksum: '%s' is no checksum; write 16 (xxh3) or 64 (sha256) "
			 "hex digits",
			 arg);
	set_sum(o, kind);
}

/* Options that set a flag. */
static bool *flag_of(struct cat_options *o, int code)
{
	switch (code) {
	case 'l':
		return &o->listen;
	case 'k':
		return &o->keep;
	case 'n':
		return &o->names;
	case 'f':
		return &o->force;
	case 'q':
		return &o->quiet;
	case OPT_SEND_ONLY:
		return &o->send_only;
	case OPT_RECV_ONLY:
		return &o->recv_only;
	case OPT_COPY:
		return &o->copy;
	case OPT_PROGRESS:
		return &o->progress;
	case OPT_STATS:
		return &o->stats;
	default:
		return NULL;
	}
}

/* Options that name a file. */
static const char **name_of(struct cat_options *o, int code)
{
	switch (code) {
	case 'o':
		return &o->output;
	case 'd':
		return &o->dir;
	case OPT_PORT_FILE:
		return &o->port_file;
	default:
		return NULL;
	}
}

static void take_value(struct cat_options *o, int code, const char *arg)
{
	switch (code) {
	case 'c':
		checksum_option(o, arg);
		break;
	case OPT_EXPECT:
		o->expect = size_option("expect", arg, 0, INT64_MAX);
		o->has_expect = true;
		break;
	case OPT_EXPECT_CHECKSUM:
		expect_checksum_option(o, arg);
		break;
	case OPT_BLOCK:
		o->block = size_option("block", arg, 1, BLOCK_MAX);
		break;
	case OPT_DEPTH:
		o->depth = depth_option(arg);
		break;
	case OPT_IDLE:
		o->idle = idle_option(arg);
		break;
	case 'p':
		o->stream.provider = arg;
		break;
	default:
		tk_streamopts_take(&o->stream, code, arg);
		break;
	}
}

static void take_option(struct cat_options *o, int code, const char *arg)
{
	bool *flag = flag_of(o, code);
	const char **name = name_of(o, code);

	if (flag)
		*flag = true;
	else if (name)
		*name = arg;
	else if (code == 'r')
		o->stream.attr.mode = NMT_MODE_RAW;
	else if (code == OPT_ONCE)
		o->keep = false;
	else
		take_value(o, code, arg);
}

static void take_operands(struct cat_options *o, int n, char **words)
{
	if (n > 0) {
		o->addr = words[0];
		o->files = words + 1;
		o->n_files = n - 1;
	} else if (!o->listen) {
		tk_usage("to where? name HOST:PORT, or listen with -l");
	}
}

static void check_roles(const struct cat_options *o)
{
	if (!o->listen && (o->keep || o->port_file))
		tk_usage("--keep and --port-file go with --listen");
	if (o->send_only && o->recv_only)
		tk_usage("--send-only and --recv-only exclude each other");
	if (o->recv_only && o->n_files)
		tk_usage("--recv-only: no files can be sent");
	if (o->send_only && (o->output || o->dir))
		tk_usage("--send-only: nothing is received, leave --output and --dir away");
	if (o->send_only && !cat_sends(o))
		tk_usage("--send-only: name the files to send ('-' is standard input)");
	if (o->keep && cat_sends_stdin(o))
		tk_usage("--keep: standard input cannot be sent more than once; name files");
}

static void check_names(struct cat_options *o)
{
	if (o->output && o->dir)
		tk_usage("--output and --dir exclude each other");
	if (o->names && (o->output || o->dir))
		tk_usage("--names sends only; receive with another nmt_cat");
	if (o->names && (!o->n_files || cat_sends_stdin(o)))
		tk_usage("--names: name the files to send (standard input has no name)");
	if (o->dir && cat_sends(o) && o->n_files)
		tk_usage("--dir receives only; send with another nmt_cat");
	if (!o->names && !o->dir)
		return;
	if (o->stream.attr.mode == NMT_MODE_RAW || o->stream.attr.mode == NMT_MODE_EITHER)
		tk_usage("--names and --dir need '--mode negotiated'");
	o->stream.attr.mode = NMT_MODE_NEGOTIATED;
	o->recv_only = o->dir != NULL;
}

static void check_mode(const struct cat_options *o)
{
	if (!o->listen && o->stream.attr.mode == NMT_MODE_EITHER)
		tk_usage("--mode either is for listeners; choose raw or negotiated");
	if (o->stream.attr.flags & NMT_STREAM_RECORDS)
		tk_usage("--records: nmt_cat moves bytes, it has no records");
}

bool cat_sends(const struct cat_options *o)
{
	return !o->recv_only && (o->n_files > 0 || !o->listen);
}

bool cat_sends_stdin(const struct cat_options *o)
{
	if (!cat_sends(o))
		return false;
	for (int i = 0; i < o->n_files; i++) {
		if (strcmp(o->files[i], "-") == 0)
			return true;
	}
	return o->n_files == 0;
}

static void defaults(struct cat_options *o)
{
	*o = (struct cat_options){ .stream = TK_STREAMOPTS_INIT };
	o->block = BLOCK_DEFAULT;
	o->depth = DEPTH_DEFAULT;
}

void cat_options_parse(struct cat_options *o, int argc, char **argv)
{
	struct tk_parser p;
	int code;

	defaults(o);
	tk_parser_init(&p, argc, argv);
	tk_parser_add(&p, main_options);
	tk_parser_add(&p, check_options);
	tk_parser_add(&p, tk_stream_options);
	while ((code = tk_parser_next(&p)) >= 0) {
		if (code == 'h') {
			print_help();
			exit(TK_EXIT_OK);
		}
		if (code == 'V') {
			tk_print_version();
			exit(TK_EXIT_OK);
		}
		take_option(o, code, optarg);
	}
	take_operands(o, argc - optind, argv + optind);
	tk_streamopts_finish(&o->stream);
	check_roles(o);
	check_names(o);
	check_mode(o);
}
