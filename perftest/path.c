/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Facts of a path.
 */
#include "path.h"

#include <stdio.h>

#include "json.h"
#include "names.h"

uint64_t path_retries(const struct path *p)
{
	return p->end.retries > p->begin.retries ? p->end.retries - p->begin.retries : 0;
}

static void print_adapter(const struct nmt_stream_info *i)
{
	printf(" port %u", i->adapter_port);
	if (i->gid_type)
		printf(", GID %u %s (%s)", i->gid_index, i->gid,
		       tk_name_of(tk_gid_types, i->gid_type));
}

void path_print(const struct path *p)
{
	const struct nmt_stream_info *i = &p->begin;

	printf(" path: device %s", i->device);
	if (i->adapter_port)
		print_adapter(i);
	if (i->mtu)
		printf(", MTU %u", i->mtu);
	if (i->speed_mbps)
		printf(", link %g Gb/s", i->speed_mbps / 1000.0);
	printf(", %u rail%s, %s -> %s\n", i->rails, i->rails == 1 ? "" : "s", i->local, i->peer);
	if (i->why)
		printf(" no better path: %s\n", i->why_text);
}

void path_print_end(const struct path *p)
{
	if (!p->begin.adapter_port)
		return;
	printf(" Path: epoch %u, %llu recoveries in %llu attempts, %llu requests sent again\n",
	       p->end.epoch, (unsigned long long)p->end.recoveries,
	       (unsigned long long)p->end.attempts, (unsigned long long)path_retries(p));
}

void path_waits(const struct path *p, char *buf, size_t size)
{
	size_t len = 0;

	buf[0] = '\0';
	for (const struct tk_name *w = tk_waits; w->name && len < size; w++) {
		if (p->end.waits & w->value)
			len += (size_t)snprintf(buf + len, size - len, "%s%s", len ? ", " : "",
						w->help);
	}
}

static void add_waits(struct json_object *o, uint32_t waits)
{
	struct json_object *list = tk_json_array(o, "waits");

	for (const struct tk_name *w = tk_waits; w->name; w++) {
		if (waits & w->value)
			json_object_array_add(list, json_object_new_string(w->name));
	}
}

void path_json(struct json_object *to, const struct path *p)
{
	struct json_object *o = tk_json_object(to, "path");
	const struct nmt_stream_info *i = &p->begin;

	tk_json_str(o, "device", i->device);
	tk_json_str(o, "local", i->local);
	tk_json_str(o, "peer", i->peer);
	tk_json_str(o, "why", i->why ? i->why_text : NULL);
	tk_json_u64(o, "rails", i->rails);
	tk_json_u64(o, "adapter_port", i->adapter_port);
	tk_json_u64(o, "gid_index", i->gid_index);
	tk_json_str(o, "gid", i->gid[0] ? i->gid : NULL);
	tk_json_str(o, "gid_type", i->gid_type ? tk_name_of(tk_gid_types, i->gid_type) : NULL);
	tk_json_u64(o, "mtu", i->mtu);
	tk_json_u64(o, "speed_mbps", i->speed_mbps);
	tk_json_u64(o, "epoch", p->end.epoch);
	tk_json_u64(o, "recoveries", p->end.recoveries);
	tk_json_u64(o, "attempts", p->end.attempts);
	tk_json_u64(o, "retries", path_retries(p));
	add_waits(o, p->end.waits);
}
