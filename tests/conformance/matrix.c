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
};

static const struct row rows[] = {
#define PROVIDER(spec, modes, recvs, kinds) { spec, modes, recvs, kinds },
#include "matrix.def"
#undef PROVIDER
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

static bool fill(struct config *c, unsigned int r, unsigned int m, unsigned int v, unsigned int k)
{
	if (!(rows[r].modes & modes[m].mask) || !(rows[r].recvs & recvs[v].mask) ||
	    !(rows[r].kinds & kinds[k].mask))
		return false;
	*c = (struct config){ .mode = modes[m].mode, .records = modes[m].records,
			      .recv = recvs[v].recv, .kind = kinds[k].kind, .rails = 1 };
	snprintf(c->spec, sizeof(c->spec), "%.*s", (int)strcspn(rows[r].spec, "@"), rows[r].spec);
	if (strchr(rows[r].spec, '@'))
		c->rails = (uint32_t)atoi(strchr(rows[r].spec, '@') + 1);
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
	if (c->kind == NMT_MEM_HOST)
		return T_HOST | T_CPU;
	if (c->kind == NMT_MEM_HUGE || (c->kind == NMT_MEM_UDMABUF && NMTI_DMA_COHERENT))
		return T_CPU;
	return T_OPAQUE;
}

static bool simulated(const struct config *c)
{
	return !strncmp(c->spec, "sim", 3);
}

static bool in_kernel(const struct config *c)
{
	return !strcmp(c->spec, "tcp") || !strcmp(c->spec, "auto");
}

/* Whoever writes into the peer's memory needs some to be there, and slots for notices. */
static bool buffers(const struct config *c)
{
	return in_kernel(c) || (c->recv == NMT_RECV_POOL && !strstr(c->spec, "tiny"));
}

unsigned int config_has(const struct config *c)
{
	unsigned int has = kind_has(c);

	has |= c->recv == NMT_RECV_POOL ? T_POOL : T_POSTED;
	has |= c->mode == NMT_MODE_RAW ? T_RAW : T_NEGOTIATED;
	has |= c->records ? T_RECORDS : T_STREAM;
	has |= in_kernel(c) ? T_KERNEL : 0;
	has |= buffers(c) ? T_BUFFER : 0;
	has |= simulated(c) ? T_SIM : 0;
	return has;
}
