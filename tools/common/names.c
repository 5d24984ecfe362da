/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Names, as users write and read them, of the numbers in nmt.h.
 */
#include "names.h"

#include <errno.h>
#include <nmt/nmt.h>
#include <stdio.h>
#include <string.h>

const struct tk_name tk_mem_kinds[] = {
	{ NMT_MEM_HOST, "host", "ordinary pages" },
	{ NMT_MEM_HUGE, "huge", "huge pages, ordinary ones where there are none" },
	{ NMT_MEM_UDMABUF, "udmabuf", "host pages that are also a dma-buf" },
	{ NMT_MEM_DMAHEAP, "dmaheap", "a kernel dma-buf heap" },
	{ NMT_MEM_CUDA, "cuda", "GPU memory" },
	{ 0, NULL, NULL },
};

const struct tk_name tk_modes[] = {
	{ NMT_MODE_RAW, "raw", "the peer may be any TCP program" },
	{ NMT_MODE_NEGOTIATED, "negotiated", "the peer is libnmt" },
	{ NMT_MODE_EITHER, "either", "a listener that serves both" },
	{ 0, NULL, NULL },
};

const struct tk_name tk_log_levels[] = {
	{ NMT_LOG_NONE, "none", "nothing" },
	{ NMT_LOG_ERROR, "error", "failures" },
	{ NMT_LOG_WARN, "warn", "what works worse than asked" },
	{ NMT_LOG_INFO, "info", "which path was taken and why" },
	{ NMT_LOG_DEBUG, "debug", "set-up and tear-down step by step" },
	{ 0, NULL, NULL },
};

const struct tk_name tk_caps[] = {
	{ NMT_CAP_RAW, "raw", "the peer may be any TCP program" },
	{ NMT_CAP_NEGOTIATED, "negotiated", "speaks the libnmt handshake" },
	{ NMT_CAP_RECORDS, "records", "keeps record boundaries" },
	{ NMT_CAP_PLACEMENT, "placement", "receives into posted memory without a copy of ours" },
	{ NMT_CAP_ZEROCOPY, "zerocopy", "sends borrowed memory without a copy of ours" },
	{ NMT_CAP_FD, "fd", "hands out its socket" },
	{ NMT_CAP_REUSEPORT, "reuseport", "accept sharding by SO_REUSEPORT" },
	{ NMT_CAP_RAILS, "rails", "several rails for one stream" },
	{ NMT_CAP_RESUME, "resume", "survives the loss of a path" },
	{ NMT_CAP_REMOTE_FLUSH, "remote-flush", "a flush reaches the peer's memory" },
	{ NMT_CAP_DMABUF, "dmabuf", "reaches dma-buf memory without staging" },
	{ NMT_CAP_NIC_MEMORY, "nic-memory", "receive memory is shared by the NIC" },
	{ 0, NULL, NULL },
};

const struct tk_name tk_gid_types[] = {
	{ NMT_GID_IB, "IB", "InfiniBand" },
	{ NMT_GID_ROCE_V1, "RoCE v1", "Ethernet frames of their own" },
	{ NMT_GID_ROCE_V2, "RoCE v2", "UDP" },
	{ 0, NULL, NULL },
};

const struct tk_name tk_waits[] = {
	{ NMT_WAIT_PEER, "peer", "bytes from the peer" },
	{ NMT_WAIT_WINDOW, "window", "the peer takes no more" },
	{ NMT_WAIT_CREDIT, "credit", "notification credit of the peer" },
	{ NMT_WAIT_QUEUE, "queue", "its own send queue" },
	{ NMT_WAIT_MEMORY, "memory", "pool memory" },
	{ NMT_WAIT_APP, "app", "the application" },
	{ 0, NULL, NULL },
};

int tk_name_find(const struct tk_name *table, const char *name, uint32_t *value)
{
	for (; table->name; table++) {
		if (strcmp(table->name, name) == 0) {
			*value = (uint32_t)table->value;
			return 0;
		}
	}
	return -ENOENT;
}

const char *tk_name_of(const struct tk_name *table, uint64_t value)
{
	for (; table->name; table++) {
		if (table->value == value)
			return table->name;
	}
	return "?";
}

void tk_name_list(const struct tk_name *table, char *buf, size_t len)
{
	size_t used = 0;

	buf[0] = '\0';
	for (const struct tk_name *t = table; t->name && used < len; t++)
		used += (size_t)snprintf(buf + used, len - used, "%s%s", t == table ? "" : ", ",
					 t->name);
}
