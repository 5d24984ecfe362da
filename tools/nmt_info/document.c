/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The report for programs: schema nmt_info/1 of docs/json.md. It always holds everything that is
 * shown under the options given, usable or not; a change of meaning gets a new schema number.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "json.h"
#include "names.h"
#include "report.h"

static void add_caps(struct json_object *o, uint64_t caps)
{
	struct json_object *list = tk_json_array(o, "capabilities");

	for (const struct tk_name *c = tk_caps; c->name; c++) {
		if (caps & c->value)
			json_object_array_add(list, json_object_new_string(c->name));
	}
}

static void add_device(struct json_object *o, const struct nmt_info *i)
{
	tk_json_str(o, "pci", i->pci[0] ? i->pci : NULL);
	tk_json_i64(o, "numa_node", i->numa_node);
	tk_json_u64(o, "speed_mbps", i->speed_mbps);
	tk_json_u64(o, "mtu", i->mtu);
	tk_json_u64(o, "adapter_port", i->adapter_port);
	tk_json_u64(o, "gid_index", i->gid_index);
	tk_json_str(o, "gid", i->gid[0] ? i->gid : NULL);
	tk_json_str(o, "gid_type", i->gid_type ? tk_name_of(tk_gid_types, i->gid_type) : NULL);
	tk_json_bool(o, "up", !!(i->flags & NMT_INFO_UP));
	tk_json_bool(o, "loopback", !!(i->flags & NMT_INFO_LOOPBACK));
}

static struct json_object *provider_object(const struct nmt_info *i)
{
	struct json_object *o = json_object_new_object();
	char spec[NMT_NAME_MAX + NMT_DEV_MAX + 1];

	info_spec(i, spec, sizeof(spec));
	tk_json_str(o, "spec", spec);
	tk_json_str(o, "provider", i->provider);
	tk_json_str(o, "device", i->device);
	tk_json_bool(o, "usable", i->status == 0);
	tk_json_i64(o, "status", i->status);
	tk_json_str(o, "reason", i->reason[0] ? i->reason : NULL);
	tk_json_u64(o, "rank", i->rank);
	tk_json_bool(o, "builtin", !!(i->flags & NMT_INFO_BUILTIN));
	tk_json_bool(o, "on_request", !!(i->flags & NMT_INFO_ON_REQUEST));
	add_device(o, i);
	add_caps(o, i->caps);
	return o;
}

static void add_auto(struct json_object *doc, const struct info_report *r)
{
	struct json_object *o = tk_json_object(doc, "auto");

	tk_json_str(o, "spec", r->chosen ? r->chosen->provider : NULL);
	tk_json_str(o, "why", r->why);
}

static void add_memory(struct json_object *doc, const struct info_report *r)
{
	struct json_object *list = tk_json_array(doc, "memory");

	for (size_t i = 0; i < r->n_mem; i++) {
		struct json_object *o;

		if (r->mem[i].status && !r->opt->all)
			continue;
		o = json_object_new_object();
		tk_json_str(o, "kind", r->mem[i].name);
		tk_json_bool(o, "usable", r->mem[i].status == 0);
		tk_json_i64(o, "status", r->mem[i].status);
		tk_json_str(o, "note", r->mem[i].note[0] ? r->mem[i].note : NULL);
		json_object_array_add(list, o);
	}
}

static void add_settings(struct json_object *doc)
{
	struct json_object *env = tk_json_object(doc, "environment");
	struct json_object *defaults = tk_json_object(doc, "defaults");
	char key[64];

	for (const struct info_variable *v = info_variables; v->name; v++)
		tk_json_str(env, v->name, getenv(v->name));
	for (const struct info_default *d = info_defaults; d->key; d++) {
		snprintf(key, sizeof(key), "%s%s", d->key, d->unit == INFO_NS ? "_ns" : "");
		tk_json_u64(defaults, key, d->value);
	}
}

int info_print_json(const struct info_report *r)
{
	struct json_object *doc = tk_json_new("nmt_info/1");
	struct json_object *list;

	if (!doc)
		return -ENOMEM;
	list = tk_json_array(doc, "providers");
	for (const struct nmt_info *i = r->list; i; i = i->next)
		json_object_array_add(list, provider_object(i));
	add_auto(doc, r);
	add_memory(doc, r);
	add_settings(doc);
	return tk_json_write(doc, "-");
}
