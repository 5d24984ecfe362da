/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What nmt_info finds out, apart from how it is shown: collect.c fills a report, text.c and
 * document.c print it.
 */
#ifndef INFO_REPORT_H
#define INFO_REPORT_H

#include <nmt/nmt.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define INFO_MEM_MAX 8
#define INFO_TEXT_MAX 256

struct info_options {
	const char *provider; /* spec; NULL: all */
	bool all;	      /* also what is not usable */
	bool json;
	uint32_t log_level; /* enum nmt_log_level + 1; 0: log lines are shown as reasons only */
};

struct info_memory {
	const char *name;
	const char *help;
	int status;		  /* 0 or a negative errno */
	char note[INFO_TEXT_MAX]; /* what the library said about it */
};

/* Their values are in the environment. */
struct info_variable {
	const char *name;
	const char *help; /* what it does, and without it */
	bool rare;	  /* in the text when it is set, or when everything is asked for */
};

enum info_unit {
	INFO_NUMBER,
	INFO_BYTES,
	INFO_NS
};

struct info_default {
	const char *key;
	uint64_t value;
	enum info_unit unit;
	const char *help;
};

struct info_report {
	const struct info_options *opt;
	struct nmt_ctx *ctx;
	struct nmt_info *list;	       /* what is shown */
	struct nmt_info *everything;   /* all providers, for the choice of auto */
	const struct nmt_info *chosen; /* by auto, in everything; NULL: nothing usable */
	char why[2 * INFO_TEXT_MAX];   /* the choice in one line */
	struct info_memory mem[INFO_MEM_MAX];
	size_t n_mem;
	size_t usable; /* entries of list that are */
	char last_log[INFO_TEXT_MAX];
};

/* Ends with name NULL or key NULL. */
extern const struct info_default info_defaults[];
extern const struct info_variable *const info_variables;

/* "tcp" or "tcp/eth0": what a user writes as --provider. */
void info_spec(const struct nmt_info *i, char *buf, size_t len);

/* Fill R as OPT says. Ends the process if that cannot be done at all. */
void info_collect(struct info_report *r, const struct info_options *opt);
void info_release(struct info_report *r);

void info_print_text(const struct info_report *r);

/* JSON on standard output. 0 or a negative errno. */
int info_print_json(const struct info_report *r);

#endif
