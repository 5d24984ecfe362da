/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Logging: levels, one sink a context, NMT_LOG in the environment. One line a failure, written at
 * the place that decides it.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "internal.h"

static const char *const level_names[] = { "none", "error", "warn", "info", "debug" };

static void log_stderr(void *arg, enum nmt_log_level level, const char *line)
{
	(void)arg;
	fprintf(stderr, "libnmt: %s: %s\n", level_names[level], line);
}

static enum nmt_log_level level_from_env(void)
{
	const char *text = getenv("NMT_LOG");

	if (!text || !*text)
		return NMT_LOG_WARN;
	for (size_t i = 0; i < ARRAY_LEN(level_names); i++)
		if (!strcasecmp(text, level_names[i]) || (text[0] == '0' + (char)i && !text[1]))
			return (enum nmt_log_level)i;
	fprintf(stderr, "libnmt: warn: NMT_LOG=%s is not none, error, warn, info or debug\n", text);
	return NMT_LOG_WARN;
}

void nmti_log_init(struct nmt_ctx *ctx, const struct nmt_ctx_attr *attr)
{
	ctx->log = attr->log ? attr->log : log_stderr;
	ctx->log_arg = attr->log_arg;
	if (attr->log_level)
		ctx->log_level = (enum nmt_log_level)(attr->log_level - 1);
	else
		ctx->log_level = level_from_env();
}

bool nmti_log_on(const struct nmt_ctx *ctx, enum nmt_log_level level)
{
	return level <= ctx->log_level;
}

void nmti_log(struct nmt_ctx *ctx, enum nmt_log_level level, const char *fmt, ...)
{
	char line[512];
	va_list ap;

	if (!nmti_log_on(ctx, level))
		return;
	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	ctx->log(ctx->log_arg, level, line);
}
