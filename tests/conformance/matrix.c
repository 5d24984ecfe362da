/* SPDX-License-Identifier: BSD-2-Clause */
/* The configurations: every combination that a row of matrix.def allows, with its name. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mem/dmabuf.h"
#include "suite.h"

#define M_RAW 1u
#define M_NEGOTIATED 2u
#define M_RECORDS 4u
#define R_POOL 1u
#define R_POSTED 2u
#define K_HOST 1u
#define K_HUGE 2u
#define K_OPAQUE 4u
#define K_UDMABUF 8u
#define K_DMAHEAP 16u
#define K_DMABUF 32u

struct row {
	const char *spec;
	unsigned int modes, recvs, kinds;
	bool guest;
};

static const struct row rows[] = {
#define PROVIDER(spec, modes, recvs, kinds) { spec, modes, recvs, kinds, false },
#define GUEST(spec, modes, recvs, kinds) { spec, modes, recvs, kinds, true },
#include "matrix.def"
#undef GUEST
#undef PROVIDER
};

static const struct {
	const char *name, *set;
} variants[] = {
	{ "tiny", "NMT_VERBS_SEND_DEPTH=4\nNMT_VERBS_RECV_DEPTH=6\n"
		  "NMT_OFI_SEND_DEPTH=4\nNMT_OFI_RECV_DEPTH=6" },
	{ "rdm", "NMT_OFI_ENDPOINT=rdm" },
	{ "rdmtiny", "NMT_OFI_ENDPOINT=rdm\nNMT_OFI_SEND_DEPTH=4\nNMT_OFI_RECV_DEPTH=6" },
	{ "rdmnotes", "NMT_OFI_ENDPOINT=rdm\nNMT_OFI_CQ_DATA=4" },
	{ "notes", "NMT_OFI_CQ_DATA=0" },
	{ "nofd", "NMT_OFI_WAIT_FD=0" },
	{ "srq", "NMT_VERBS_SRQ=0" },
};

static const struct {
	const char *name;
	unsigned int mask;
	enum nmt_mode mode;
	bool records;
} modes[] = {
	{ "raw", M_RAW, NMT_MODE_RAW, false },
	{ "negotiated", M_NEGOTIATED, NMT_MODE_NEGOTIATED, false },
	{ "records", M_RECORDS, NMT_MODE_NEGOTIATED, true },
};

static const struct {
	const char *name;
	unsigned int mask;
	enum nmt_recv_mode recv;
} recvs[] = {
	{ "pool", R_POOL, NMT_RECV_POOL },
	{ "posted", R_POSTED, NMT_RECV_POSTED },
};

static const struct {
	const char *name;
	unsigned int mask;
	uint32_t kind;
} kinds[] = {
	{ "host", K_HOST, NMT_MEM_HOST },
	{ "huge", K_HUGE, NMT_MEM_HUGE },
	{ "opaque", K_OPAQUE, OPAQUE_KIND },
	{ "udmabuf", K_UDMABUF, NMT_MEM_UDMABUF },
	{ "dmaheap", K_DMAHEAP, NMT_MEM_DMAHEAP },
	{ "dmabuf", K_DMABUF, NMT_MEM_DMABUF },
};

/* CLIENT[+SERVER][:VARIANT][@RAILS] */
static void spell_out(struct config *c, const char *row)
{
	const char *variant = strchr(row, ':'), *rails = strchr(row, '@');
	const char *server = strchr(row, '+');

	server = server ? server + 1 : row;
	snprintf(c->spec, sizeof(c->spec), "%.*s", (int)strcspn(row, "+:@"), row);
	snprintf(c->server, sizeof(c->server), "%.*s", (int)strcspn(server, ":@"), server);
	if (rails)
		c->rails = (uint32_t)atoi(rails + 1);
	for (size_t i = 0; variant && i < ARRAY_LEN(variants); i++)
		if (!strncmp(variant + 1, variants[i].name, strlen(variants[i].name)))
			c->set = variants[i].set;
}

static bool fill(struct config *c, unsigned int r, unsigned int m, unsigned int v, unsigned int k)
{
	if (!(rows[r].modes & modes[m].mask) || !(rows[r].recvs & recvs[v].mask) ||
	    !(rows[r].kinds & kinds[k].mask))
		return false;
	*c = (struct config){ .mode = modes[m].mode, .records = modes[m].records,
			      .recv = recvs[v].recv, .kind = kinds[k].kind, .rails = 1 };
	spell_out(c, rows[r].spec);
	c->brief = rows[r].guest && strpbrk(rows[r].spec, "+:@");
	snprintf(c->name, sizeof(c->name), "%s.%s.%s.%s", rows[r].spec, modes[m].name,
		 recvs[v].name, kinds[k].name);
	return true;
}

bool config_at(unsigned int n, struct config *out)
{
	const unsigned int k = ARRAY_LEN(kinds), v = ARRAY_LEN(recvs), m = ARRAY_LEN(modes);

	for (unsigned int i = 0; i < ARRAY_LEN(rows) * m * v * k; i++)
		if (fill(out, i / (m * v * k), i / (v * k) % m, i / k % v, i % k) && n-- == 0)
			return true;
	return false;
}

bool config_find(const char *name, struct config *out)
{
	for (unsigned int i = 0; config_at(i, out); i++)
		if (!strcmp(out->name, name))
			return true;
	return false;
}

static unsigned int kind_has(const struct config *c)
{
	if (c->kind == NMT_MEM_HOST && !c->brief)
		return T_HOST | T_CPU;
	if (c->kind == NMT_MEM_HOST || c->kind == NMT_MEM_HUGE ||
	    (c->kind == NMT_MEM_UDMABUF && NMTI_DMA_COHERENT))
		return T_CPU;
	return T_OPAQUE;
}

static bool simulated(const struct config *c)
{
	return !strncmp(c->spec, "sim", 3);
}

static bool in_kernel(const struct config *c)
{
	return !strcmp(c->server, "tcp") || !strcmp(c->server, "auto");
}

/* Whoever writes into the peer's memory needs some to be there, and slots for notices. */
static bool buffers(const struct config *c)
{
	return in_kernel(c) || (c->recv == NMT_RECV_POOL && !strstr(c->name, "tiny"));
}

/* A message tells of a write, and goes when the sender polls and finds that complete. */
static bool needs_turns(const struct config *c)
{
	return strstr(c->name, "notes");
}

unsigned int config_has(const struct config *c)
{
	unsigned int has = kind_has(c);

	has |= c->recv == NMT_RECV_POOL ? T_POOL : T_POSTED;
	has |= c->mode == NMT_MODE_RAW ? T_RAW : T_NEGOTIATED;
	has |= c->records ? T_RECORDS : T_STREAM;
	has |= in_kernel(c) ? T_KERNEL : T_REJOIN;
	has |= buffers(c) ? T_BUFFER : 0;
	has |= simulated(c) ? T_SIM : 0;
	has |= needs_turns(c) ? 0 : T_ALONE;
	return has;
}
