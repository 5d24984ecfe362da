/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The environment variables that libnmt reads, and the defaults that nmt.h documents.
 * tests/tools/test_defaults.c compares the defaults with the library's own.
 */
#include <stdlib.h>

#include "report.h"

static const struct info_variable known[] = {
	{ "NMT_PROVIDER", NULL, "provider when a program names none (else auto)" },
	{ "NMT_LOG", NULL, "none, error, warn, info or debug (else warn)" },
	{ "NMT_PROVIDER_PATH", NULL, "folders with provider modules (else the built-in one)" },
	{ "NMT_DMA_HEAP", NULL, "heap in /dev/dma_heap for memory of kind dmaheap (else system)" },
	{ NULL, NULL, NULL },
};

const struct info_default info_defaults[] = {
	{ "port", NMT_DEFAULT_PORT, INFO_NUMBER, "of an address that names none" },
	{ "pool_size", UINT64_C(256) << 20, INFO_BYTES, "receive memory of a domain" },
	{ "cell_size", UINT64_C(128) << 10, INFO_BYTES, "unit of receive memory" },
	{ "spin", 50000, INFO_NS, "longest spin before sleeping (none on one CPU)" },
	{ "budget", 16, INFO_NUMBER, "units of work of one stream in a turn" },
	{ "connect_timeout", UINT64_C(30000000000), INFO_NS, "resolve, connect and handshake" },
	{ "handshake_timeout", UINT64_C(10000000000), INFO_NS, "of an accepted peer" },
	{ "linger", UINT64_C(30000000000), INFO_NS, "after close, for what is not acknowledged" },
	{ "send_depth", 64, INFO_NUMBER, "borrowed sends in flight" },
	{ "recv_depth", 64, INFO_NUMBER, "posted receives in flight" },
	{ "zerocopy_min", UINT64_C(32) << 10, INFO_BYTES, "smallest MSG_ZEROCOPY send" },
	{ "max_pending", 1024, INFO_NUMBER, "handshakes going on at a listener" },
	{ NULL, 0, INFO_NUMBER, NULL },
};

const struct info_variable *info_variables(struct info_variable *vars, size_t max)
{
	size_t i;

	for (i = 0; known[i].name && i + 1 < max; i++) {
		vars[i] = known[i];
		vars[i].value = getenv(known[i].name);
	}
	vars[i] = (struct info_variable){ NULL, NULL, NULL };
	return vars;
}
