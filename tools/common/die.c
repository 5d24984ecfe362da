/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Messages of a tool on standard error. A line is put together first and written in one piece, so
 * that lines of processes that share a terminal do not mix.
 */
#include "die.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static void say(const char *suffix, const char *fmt, va_list ap)
{
	char text[1024];

	vsnprintf(text, sizeof(text), fmt, ap);
	fflush(stdout);
	fprintf(stderr, "%s: %s%s\n", program_invocation_short_name, text, suffix);
}

noreturn void tk_die(int code, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say("", fmt, ap);
	va_end(ap);
	exit(code);
}

noreturn void tk_usage(const char *fmt, ...)
{
	char hint[128];
	va_list ap;

	snprintf(hint, sizeof(hint), " (try '%s --help')", program_invocation_short_name);
	va_start(ap, fmt);
	say(hint, fmt, ap);
	va_end(ap);
	exit(TK_EXIT_USAGE);
}

void tk_warn(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say("", fmt, ap);
	va_end(ap);
}

int tk_exit_of(int err)
{
	if (err == 0)
		return TK_EXIT_OK;
	return err == -ETIMEDOUT ? TK_EXIT_TIMEOUT : TK_EXIT_FAILURE;
}
