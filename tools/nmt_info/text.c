/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The report for people.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "names.h"
#include "report.h"
#include "units.h"

#define NAME_WIDTH 18
#define RARE_WIDTH 26

static void print_link(const struct nmt_info *i)
{
	if (i->flags & NMT_INFO_LOOPBACK)
		printf(", loopback");
	else if (i->flags & NMT_INFO_UP)
		printf(", up");
	if (i->speed_mbps)
		printf(", %g Gb/s", i->speed_mbps / 1000.0);
	if (i->mtu)
		printf(", mtu %u", i->mtu);
	if (i->adapter_port)
		printf(", port %u", i->adapter_port);
	if (i->gid_type)
		printf(", GID %u %s (%s)", i->gid_index, i->gid,
		       tk_name_of(tk_gid_types, i->gid_type));
	if (i->numa_node >= 0)
		printf(", numa %d", i->numa_node);
	if (i->pci[0])
		printf(", pci %s", i->pci);
}

static void print_caps(uint64_t caps)
{
	printf("  %*s", NAME_WIDTH, "");
	for (const struct tk_name *c = tk_caps; c->name; c++) {
		if (caps & c->value)
			printf("%s ", c->name);
	}
	putchar('\n');
}

static void print_provider(const struct nmt_info *i)
{
	char spec[NMT_NAME_MAX + NMT_DEV_MAX + 1];

	info_spec(i, spec, sizeof(spec));
	printf("  %-*s%s", NAME_WIDTH, spec, i->status ? "not usable" :
	       i->flags & NMT_INFO_ON_REQUEST ? "usable on request" : "usable");
	print_link(i);
	if (!(i->flags & NMT_INFO_BUILTIN))
		printf(", module");
	putchar('\n');
	if (i->status)
		printf("  %*s%s\n", NAME_WIDTH, "",
		       i->reason[0] ? i->reason : nmt_strerror(i->status));
	else if (i->reason[0])
		printf("  %*snote: %s\n", NAME_WIDTH, "", i->reason);
	if (i->caps)
		print_caps(i->caps);
}

static void print_providers(const struct info_report *r)
{
	printf("\nProviders, best first:\n");
	for (const struct nmt_info *i = r->list; i; i = i->next)
		print_provider(i);
	if (!r->list)
		printf("  none usable%s\n", r->opt->all ? "" : " ('nmt_info --all' says why)");
	printf("\nauto takes: %s\n", r->why);
}

static void print_memory(const struct info_report *r)
{
	printf("\nMemory:\n");
	for (size_t i = 0; i < r->n_mem; i++) {
		const struct info_memory *m = &r->mem[i];

		if (m->status && !r->opt->all)
			continue;
		printf("  %-*s%s, %s\n", NAME_WIDTH, m->name, m->status ? "not here" : "usable",
		       m->help);
		if (m->note[0])
			printf("  %*s%s\n", NAME_WIDTH, "", m->note);
	}
}

static void format_default(const struct info_default *d, char *buf, size_t len)
{
	if (d->unit == INFO_BYTES)
		tk_format_bytes(buf, len, d->value);
	else if (d->unit == INFO_NS && d->value < 1000000000)
		snprintf(buf, len, "%" PRIu64 " us", d->value / 1000);
	else if (d->unit == INFO_NS)
		snprintf(buf, len, "%" PRIu64 " s", d->value / 1000000000);
	else
		snprintf(buf, len, "%" PRIu64, d->value);
}

static void print_variable(const struct info_variable *v)
{
	const char *value = getenv(v->name);
	int width = v->rare ? RARE_WIDTH : NAME_WIDTH;

	if (value)
		printf("  %-*s%s\n", width, v->name, value);
	else
		printf("  %-*snot set: %s\n", width, v->name, v->help);
}

static void print_settings(bool all)
{
	char text[32];

	printf("\nEnvironment:\n");
	for (const struct info_variable *v = info_variables; v->name; v++) {
		if (!v->rare || all || getenv(v->name))
			print_variable(v);
	}
	printf("\nDefaults:\n");
	for (const struct info_default *d = info_defaults; d->key; d++) {
		format_default(d, text, sizeof(text));
		printf("  %-*s%-12s %s\n", NAME_WIDTH, d->key, text, d->help);
	}
}

void info_print_text(const struct info_report *r)
{
	printf("libnmt %s\n", nmt_version_string());
	print_providers(r);
	print_memory(r);
	print_settings(r->opt->all);
}
