/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The connection options that all tools share: provider, mode, memory, time-outs, TCP settings.
 * All are long options, so that each tool is free to use its letters.
 */
#ifndef TK_STREAMOPTS_H
#define TK_STREAMOPTS_H

#include <nmt/nmt.h>

#include "opts.h"

struct tk_streamopts {
	const char *provider; /* spec; NULL: NMT_PROVIDER in the environment, else "auto" */
	uint32_t mem;	      /* enum nmt_mem_kind for regions; the domain's pool has it too */
	uint32_t log_level;   /* enum nmt_log_level + 1, as in nmt_ctx_attr; 0: the default */
	struct nmt_stream_attr attr;   /* ready for nmt_connect and nmt_listen */
	struct nmt_domain_attr domain; /* ready for nmt_domain_open */
};
#define TK_STREAMOPTS_INIT                                                   \
	{                                                                    \
		.attr = NMT_STREAM_ATTR_INIT, .domain = NMT_DOMAIN_ATTR_INIT \
	}

enum tk_streamopt {
	TK_OPT_PROVIDER = 0x1000,
	TK_OPT_MODE,
	TK_OPT_RECORDS,
	TK_OPT_MEM,
	TK_OPT_RAILS,
	TK_OPT_CELL,
	TK_OPT_POOL,
	TK_OPT_SPIN,
	TK_OPT_TIMEOUT,
	TK_OPT_SNDBUF,
	TK_OPT_RCVBUF,
	TK_OPT_NAGLE,
	TK_OPT_KEEPALIVE,
	TK_OPT_USER_TIMEOUT,
	TK_OPT_CONGESTION,
	TK_OPT_BIND_DEVICE,
	TK_OPT_LOCAL,
	TK_OPT_ZEROCOPY_MIN,
	TK_OPT_LOG,
	TK_OPT_STREAM_END,
};

/* For tk_parser_add() and tk_opts_help(). */
extern const struct tk_opt tk_stream_options[];

/*
 * Take one option. 0; -ENOENT: CODE is not of tk_stream_options. A wrong value ends the process
 * with a line that says what to write instead (TK_EXIT_USAGE).
 */
int tk_streamopts_take(struct tk_streamopts *o, int code, const char *arg);

/*
 * After the last option: refuse what does not go together (TK_EXIT_USAGE), and let records or
 * several rails ask for negotiated mode.
 */
void tk_streamopts_finish(struct tk_streamopts *o);

/* Open a context with the log level asked for; LOG may be NULL. Ends the process if it cannot. */
struct nmt_ctx *tk_ctx_open(const struct tk_streamopts *o, nmt_log_fn *log, void *log_arg);

/* Open the domain asked for. Ends the process if it cannot, with what to do about it. */
struct nmt_domain *tk_domain_open(struct nmt_ctx *ctx, const struct tk_streamopts *o);

#endif
