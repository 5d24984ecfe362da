/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Find out what libnmt has on this machine. Whether a memory kind works is found by allocating a
 * little of it; the library's log line about that is kept as the reason.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "die.h"
#include "names.h"
#include "report.h"

#define PROBE_SIZE 65536

/* Log sink: keep the newest line, and show it when the user asked for its level. */
static void keep_log(void *arg, enum nmt_log_level level, const char *line)
{
	struct info_report *r = arg;

	snprintf(r->last_log, sizeof(r->last_log), "%s", line);
	if ((uint32_t)level < r->opt->log_level)
		fprintf(stderr, "%s\n", line);
}

static void open_context(struct info_report *r)
{
	struct nmt_ctx_attr attr = NMT_CTX_ATTR_INIT;
	uint32_t reasons = NMT_LOG_INFO + 1;
	int err;

	attr.log = keep_log;
	attr.log_arg = r;
	attr.log_level = r->opt->log_level > reasons ? r->opt->log_level : reasons;
	err = nmt_ctx_open(&attr, &r->ctx);
	if (err < 0)
		tk_die(TK_EXIT_FAILURE, "cannot start libnmt: %s", nmt_strerror(err));
}

static int query(struct info_report *r, const char *spec, uint32_t flags, struct nmt_info **list)
{
	struct nmt_hints hints = NMT_HINTS_INIT;

	hints.spec = spec;
	hints.flags = flags;
	*list = NULL;
	return nmt_getinfo(r->ctx, &hints, list);
}

static void collect_providers(struct info_report *r)
{
	uint32_t flags = r->opt->all || r->opt->provider ? NMT_INFO_UNUSABLE : 0;
	int err = query(r, r->opt->provider, flags, &r->list);

	if (err == -ENODEV || err == -EINVAL)
		tk_die(TK_EXIT_USAGE, "no provider or device '%s'; 'nmt_info --all' lists them",
		       r->opt->provider ? r->opt->provider : "auto");
	if (err < 0 && err != -ENOENT)
		tk_die(TK_EXIT_FAILURE, "cannot list providers: %s", nmt_strerror(err));
	for (const struct nmt_info *i = r->list; i; i = i->next)
		r->usable += i->status == 0;
}

void info_spec(const struct nmt_info *i, char *buf, size_t len)
{
	bool any = !i->device[0] || strcmp(i->device, "any") == 0;

	snprintf(buf, len, "%s%s%s", i->provider, any ? "" : "/", any ? "" : i->device);
}

/* What would have been better than I, if it worked. */
static const struct nmt_info *better_but_unusable(const struct info_report *r,
						  const struct nmt_info *chosen)
{
	for (const struct nmt_info *i = r->everything; i; i = i->next) {
		if (i->status < 0 && i->rank < chosen->rank)
			return i;
	}
	return NULL;
}

/* Devices of the chosen provider that are usable. */
static size_t usable_devices(const struct info_report *r)
{
	size_t n = 0;

	for (const struct nmt_info *i = r->everything; i; i = i->next)
		n += i->status == 0 && strcmp(i->provider, r->chosen->provider) == 0;
	return n;
}

/* auto binds to no device: the kernel's routes choose, or the provider. */
static void explain_choice(struct info_report *r)
{
	const struct nmt_info *better = better_but_unusable(r, r->chosen);
	size_t n = usable_devices(r);

	if (better)
		snprintf(r->why, sizeof(r->why), "%s; %s would be better, but: %s",
			 r->chosen->provider, better->provider,
			 better->reason[0] ? better->reason : nmt_strerror(better->status));
	else
		snprintf(r->why, sizeof(r->why), "%s, the best usable provider here (%zu device%s)",
			 r->chosen->provider, n, n == 1 ? "" : "s");
}

static void collect_choice(struct info_report *r)
{
	query(r, NULL, NMT_INFO_UNUSABLE, &r->everything);
	for (const struct nmt_info *i = r->everything; i; i = i->next) {
		if (i->status < 0 || i->flags & NMT_INFO_ON_REQUEST ||
		    !(i->caps & NMT_CAP_NEGOTIATED))
			continue;
		if (!r->chosen || i->rank < r->chosen->rank)
			r->chosen = i;
	}
	if (r->chosen)
		explain_choice(r);
	else
		snprintf(r->why, sizeof(r->why), "nothing: no usable provider negotiates");
}

static void probe_memory(struct info_report *r, const struct tk_name *kind)
{
	struct info_memory *m = &r->mem[r->n_mem++];
	struct nmt_mr *mr;

	m->name = kind->name;
	m->help = kind->help;
	r->last_log[0] = '\0';
	m->status = nmt_mr_alloc(r->ctx, (enum nmt_mem_kind)kind->value, PROBE_SIZE, NMT_ACCESS_ALL,
				 &mr);
	snprintf(m->note, sizeof(m->note), "%s", r->last_log);
	if (m->status == 0)
		nmt_mr_close(mr);
	else if (!m->note[0])
		snprintf(m->note, sizeof(m->note), "%s", nmt_strerror(m->status));
}

void info_collect(struct info_report *r, const struct info_options *opt)
{
	memset(r, 0, sizeof(*r));
	r->opt = opt;
	open_context(r);
	collect_providers(r);
	collect_choice(r);
	for (const struct tk_name *k = tk_mem_kinds; k->name && r->n_mem < INFO_MEM_MAX; k++)
		probe_memory(r, k);
}

void info_release(struct info_report *r)
{
	nmt_freeinfo(r->list);
	nmt_freeinfo(r->everything);
	nmt_ctx_close(r->ctx);
}
