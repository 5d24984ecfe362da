/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The environment variables that libnmt reads, and the defaults that nmt.h documents.
 * tests/tools/test_defaults.c compares the defaults with the library's own.
 */
#include "report.h"

static const struct info_variable known[] = {
	{ "NMT_PROVIDER", "provider when a program names none (else auto)", false },
	{ "NMT_LOG", "none, error, warn, info or debug (else warn)", false },
	{ "NMT_PROVIDER_PATH", "folders with provider modules (else the built-in one)", false },
	{ "NMT_DMA_HEAP", "heap in /dev/dma_heap for memory of kind dmaheap (else system)", false },
	{ "NMT_VERBS_GID_INDEX", "use this GID only (else the best one)", true },
	{ "NMT_VERBS_MTU", "largest path MTU (else the port's)", true },
	{ "NMT_VERBS_TRAFFIC_CLASS", "DSCP and ECN bits (else the kernel's)", true },
	{ "NMT_VERBS_SL", "service level (else the route's)", true },
	{ "NMT_VERBS_FLOW_LABEL", "of rail 0 (else by token, rail and epoch)", true },
	{ "NMT_VERBS_TIMEOUT", "4.096 us x 2^N for an acknowledgement (else 15)", true },
	{ "NMT_VERBS_RETRY_COUNT", "retries after that (else 6)", true },
	{ "NMT_VERBS_INLINE", "bytes copied into a request (else 512)", true },
	{ "NMT_VERBS_SEND_DEPTH", "requests in flight of an endpoint (else 256)", true },
	{ "NMT_VERBS_RECV_DEPTH", "most receives of an endpoint (else what is asked for)", true },
	{ "NMT_VERBS_SRQ", "endpoints from which on receives are shared (else 64)", true },
	{ "NMT_VERBS_CONNECT_TIMEOUT", "milliseconds for a connection (else 10000)", true },
	{ "NMT_OFI_ENDPOINT", "msg or rdm where the spec says neither (else msg if it can)", true },
	{ "NMT_OFI_INLINE", "bytes that a request carries itself (else 128)", true },
	{ "NMT_OFI_SEND_DEPTH", "requests in flight of an endpoint (else 128)", true },
	{ "NMT_OFI_RECV_DEPTH", "most receives of an endpoint (else what is asked for)", true },
	{ "NMT_OFI_CQ_DATA", "bytes of completion data used, at most (else 8)", true },
	{ "NMT_OFI_POLL_US", "microseconds between looks at what cannot wake (else 50)", true },
	{ "NMT_OFI_WAIT_FD", "0 or 1: queues have a descriptor (else if the domain sleeps)", true },
	{ "NMT_OFI_CONNECT_TIMEOUT", "milliseconds for a connection (else 10000)", true },
	{ NULL, NULL, false },
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

const struct info_variable *const info_variables = known;
