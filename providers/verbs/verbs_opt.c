/* SPDX-License-Identifier: BSD-2-Clause */
/* Knobs of the provider, from the environment: docs/environment.md. */
#include <stdlib.h>

#include "verbs.h"

/*
 * Retries of 134 ms and more: a dead path is known in 1 s, or in 4 s on adapters that round up. Not
 * 7 of them, which SoftRoCE takes for "without end".
 */
#define TIMEOUT 15
#define RETRIES 6

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
		nmti_log(ctx, NMT_LOG_WARN, "verbs: %s=%s is no number from %d to %d; using %d",
			 name, text, min, max, fallback);
	return value;
}

static int mtu(struct nmt_ctx *ctx)
{
	int bytes = number(ctx, "NMT_VERBS_MTU", 256, 4096, -1);

	for (int m = IBV_MTU_4096; bytes > 0; m--)
		if (m == IBV_MTU_256 || (int)nmti_verbs_mtu(m) <= bytes)
			return m;
	return -1;
}

void nmti_verbs_options(struct nmt_ctx *ctx, struct verbs_opt *opt)
{
	opt->gid_index = number(ctx, "NMT_VERBS_GID_INDEX", 0, 65535, -1);
	opt->mtu = mtu(ctx);
	opt->sl = number(ctx, "NMT_VERBS_SL", 0, 15, -1);
	opt->traffic_class = number(ctx, "NMT_VERBS_TRAFFIC_CLASS", 0, 255, -1);
	opt->flow_label = number(ctx, "NMT_VERBS_FLOW_LABEL", 0, 0xfffff, -1);
	opt->retry_count = number(ctx, "NMT_VERBS_RETRY_COUNT", 0, 7, RETRIES);
	opt->timeout = number(ctx, "NMT_VERBS_TIMEOUT", 1, 31, TIMEOUT);
	opt->inline_max = number(ctx, "NMT_VERBS_INLINE", 0, 4096, 512);
	opt->send_depth = number(ctx, "NMT_VERBS_SEND_DEPTH", 2, 32768, 256);
	opt->recv_depth = number(ctx, "NMT_VERBS_RECV_DEPTH", 6, 16384, 16384);
	opt->srq = number(ctx, "NMT_VERBS_SRQ", -1, 1000000, 64);
	opt->connect_timeout = number(ctx, "NMT_VERBS_CONNECT_TIMEOUT", 1, 600000, 10000);
}
