/* SPDX-License-Identifier: BSD-2-Clause */
/* Knobs of the provider, from the environment: docs/environment.md. */
#include <stdlib.h>

#include "ofi.h"

static bool parse(const char *text, long min, long max, int *value)
{
	char *end;
	long v;

	errno = 0;
	v = strtol(text, &end, 10);
	if (errno || end == text || *end || v < min || v > max)
		return false;
	*value = (int)v;
	return true;
}

/* What is no number in range is complained about, and the default holds. */
static int number(struct nmt_ctx *ctx, const char *name, int min, int max, int fallback)
{
	const char *text = secure_getenv(name);
	int value = fallback;

	if (text && *text && !parse(text, min, max, &value))
		nmti_log(ctx, NMT_LOG_WARN, "ofi: %s=%s is no number from %d to %d; using %d", name,
			 text, min, max, fallback);
	return value;
}

static uint8_t type(struct nmt_ctx *ctx)
{
	const char *text = secure_getenv("NMT_OFI_ENDPOINT");

	if (!text || !*text)
		return 0;
	if (!strcmp(text, "msg"))
		return OFI_TYPE_MSG;
	if (!strcmp(text, "rdm"))
		return OFI_TYPE_RDM;
	nmti_log(ctx, NMT_LOG_WARN, "ofi: NMT_OFI_ENDPOINT=%s is neither msg nor rdm", text);
	return 0;
}

void nmti_ofi_options(struct nmt_ctx *ctx, struct ofi_opt *opt)
{
	opt->type = type(ctx);
	opt->inline_max = number(ctx, "NMT_OFI_INLINE", 0, 4096, 128);
	opt->send_depth = number(ctx, "NMT_OFI_SEND_DEPTH", 2, 4096, 128);
	opt->cq_data = number(ctx, "NMT_OFI_CQ_DATA", 0, 8, 8);
	opt->recv_depth = number(ctx, "NMT_OFI_RECV_DEPTH", 6, 4096, 4096);
	opt->poll_us = number(ctx, "NMT_OFI_POLL_US", 1, 1000000, 50);
	opt->wait_fd = number(ctx, "NMT_OFI_WAIT_FD", 0, 1, -1);
	opt->connect_timeout = number(ctx, "NMT_OFI_CONNECT_TIMEOUT", 1, 600000, 10000);
}
