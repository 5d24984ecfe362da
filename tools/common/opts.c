/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Options in tables, parsed by getopt_long(3).
 */
#include "opts.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <nmt/nmt.h>
#include <stdbool.h>
#include <string.h>

#include "die.h"

#define HELP_COLUMN 28

static bool is_short(int code)
{
	return code > ' ' && code < 0x7f;
}

static int arg_kind(const struct tk_opt *o)
{
	if (!o->arg)
		return no_argument;
	return o->arg[0] == '[' ? optional_argument : required_argument;
}

void tk_parser_init(struct tk_parser *p, int argc, char **argv)
{
	memset(p, 0, sizeof(*p));
	p->argc = argc;
	p->argv = argv;
	p->shorts[0] = ':'; /* tell a missing argument from an unknown option */
	opterr = 0;
	optind = 1;
}

static void add_short(struct tk_parser *p, const struct tk_opt *o)
{
	char text[4] = { (char)o->code };

	memset(text + 1, ':', (size_t)arg_kind(o));
	strcat(p->shorts, text);
}

void tk_parser_add(struct tk_parser *p, const struct tk_opt *table)
{
	for (const struct tk_opt *o = table; o->code; o++) {
		assert(p->n < TK_OPTS_MAX);
		if (is_short(o->code))
			add_short(p, o);
		if (o->name)
			p->longs[p->n++] = (struct option){ o->name, arg_kind(o), NULL, o->code };
	}
}

/* How the user wrote the option that getopt_long has just refused. */
static void refused(const struct tk_parser *p, char *buf, size_t len)
{
	const char *word = p->argv[optind - 1];

	if (is_short(optopt) && !(word[0] == '-' && word[1] == '-'))
		snprintf(buf, len, "-%c", optopt);
	else
		snprintf(buf, len, "%s", word);
}

int tk_parser_next(struct tk_parser *p)
{
	int code = getopt_long(p->argc, p->argv, p->shorts, p->longs, NULL);
	char text[128];

	if (code != '?' && code != ':')
		return code;
	refused(p, text, sizeof(text));
	if (code == ':')
		tk_usage("option '%s' needs a value", text);
	if (optopt && strncmp(text, "--", 2) == 0)
		tk_usage("option '%.*s' takes no value", (int)strcspn(text, "="), text);
	tk_usage("unknown or ambiguous option '%s'", text);
}

static int print_names(FILE *out, const struct tk_opt *o)
{
	bool optional = arg_kind(o) == optional_argument;
	const char *glue = o->name ? (optional ? "[=" : " ") : (optional ? "[" : " ");
	int n;

	n = is_short(o->code) ? fprintf(out, "  -%c", o->code) : fprintf(out, "    ");
	if (o->name)
		n += fprintf(out, "%s--%s", is_short(o->code) ? ", " : "  ", o->name);
	if (o->arg)
		n += fprintf(out, "%s%s", glue, o->arg + optional);
	return n;
}

static void print_text(FILE *out, const char *text, int column)
{
	if (column >= HELP_COLUMN) {
		fputc('\n', out);
		column = 0;
	}
	for (;;) {
		int len = (int)strcspn(text, "\n");

		fprintf(out, "%*s%.*s\n", HELP_COLUMN - column, "", len, text);
		text += len;
		if (!*text++)
			return;
		column = 0;
	}
}

void tk_opts_help(FILE *out, const struct tk_opt *table)
{
	for (const struct tk_opt *o = table; o->code; o++) {
		if (o->help)
			print_text(out, o->help, print_names(out, o));
	}
}

void tk_print_version(void)
{
	printf("%s %d.%d.%d (libnmt %s)\n", program_invocation_short_name, NMT_VERSION_MAJOR,
	       NMT_VERSION_MINOR, NMT_VERSION_PATCH, nmt_version_string());
}
