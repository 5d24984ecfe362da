/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The report as JSON, schema nmt_perf/1 (docs/json.md). A sweep has its rows in "rows", a single
 * measurement has its figures in the document itself.
 */
#include "json.h"
#include "names.h"
#include "report.h"
#include "stats.h"

struct json_object *report_json_new(const struct perf_options *o)
{
	struct json_object *doc = tk_json_new("nmt_perf/1");

	tk_json_str(doc, "test", tk_name_of(perf_tests, o->params.test));
	if (o->sweep)
		tk_json_array(doc, "rows");
	return doc;
}

static void add_params(struct json_object *to, const struct perf_params *p)
{
	struct json_object *o = tk_json_object(to, "params");

	tk_json_str(o, "provider", p->provider);
	tk_json_str(o, "wait", tk_name_of(perf_waits, p->wait));
	tk_json_bool(o, "blocking", !!(p->flags & PARAM_BLOCKING));
	tk_json_bool(o, "verify", !!(p->flags & PARAM_VERIFY));
	tk_json_bool(o, "nagle", !!(p->flags & PARAM_NAGLE));
	tk_json_bool(o, "records", !!(p->flags & PARAM_RECORDS));
	tk_json_u64(o, "streams", p->streams);
	tk_json_u64(o, "threads", p->threads);
	tk_json_u64(o, "tx_depth", p->depth);
	tk_json_u64(o, "recv_size", p->recv_size);
	tk_json_u64(o, "iterations", p->iterations);
	tk_json_u64(o, "warm_iterations", p->warm_iterations);
	tk_json_u64(o, "duration_ns", p->duration_ns);
	tk_json_u64(o, "warm_ns", p->warm_ns);
	tk_json_u64(o, "rails", p->rails ? p->rails : 1);
	tk_json_str(o, "mem", p->mem ? tk_name_of(tk_mem_kinds, p->mem) : "host");
	tk_json_u64(o, "sndbuf", p->sndbuf);
	tk_json_u64(o, "rcvbuf", p->rcvbuf);
	tk_json_u64(o, "zerocopy_min", p->zerocopy_min);
	tk_json_u64(o, "seed", p->seed);
}

static void add_latency(struct json_object *to, const struct row *row)
{
	static const struct {
		const char *name;
		double percent;
	} list[] = {
		{ "p50", 50 }, { "p90", 90 }, { "p99", 99 }, { "p99_9", 99.9 }, { "p99_99", 99.99 },
	};
	struct json_object *o = tk_json_object(to, "lat_us");
	const struct hist *h = &row->hist;

	tk_json_double(o, "min", report_us(row, h->count ? (double)h->min : 0));
	for (size_t i = 0; i < sizeof(list) / sizeof(list[0]); i++)
		tk_json_double(o, list[i].name,
			       report_us(row, hist_percentile(h, list[i].percent)));
	tk_json_double(o, "max", report_us(row, (double)h->max));
	tk_json_double(o, "avg", report_us(row, hist_mean(h)));
	tk_json_double(o, "stdev", report_us(row, hist_stdev(h)));
	tk_json_u64(o, "samples", h->count);
}

static void add_cpu(struct json_object *to, const struct row *row, const struct figures *f)
{
	struct json_object *o = tk_json_object(to, "cpu");

	tk_json_double(o, "client_s", f->client_cpu);
	tk_json_double(o, "client_user_s", (double)row->client.user_ns * 1e-9);
	tk_json_double(o, "server_s", f->server_cpu);
	tk_json_double(o, "server_user_s", (double)row->server.user_ns * 1e-9);
	tk_json_double(o, "s_per_gib", f->cpu_per_gib);
}

static void add_stats(struct json_object *to, const char *key, const struct wire_result *r)
{
	struct json_object *o = tk_json_object(to, key);

	for (uint32_t i = 0; i < r->stats && stats_name(i); i++)
		tk_json_u64(o, stats_name(i), r->stat[i]);
}

static void add_row(struct json_object *to, const struct row *row)
{
	const struct perf_params *p = &row->p;
	struct json_object *stats;
	struct figures f;

	report_figures(row, &f);
	add_params(to, p);
	tk_json_str(to, "provider", row->path.begin.provider);
	tk_json_str(to, "mode", tk_name_of(tk_modes, row->path.begin.mode));
	tk_json_str(to, "call", tk_name_of(perf_calls, p->call));
	tk_json_u64(to, "size", p->test == TEST_CONN ? 0 : p->size);
	tk_json_u64(to, "iterations", f.iterations);
	tk_json_double(to, "seconds", f.seconds);
	tk_json_u64(to, "bytes", f.bytes);
	tk_json_double(to, "bw_bytes_per_s", f.bytes_per_s);
	tk_json_double(to, "bw_peak", f.peak);
	tk_json_double(to, "msg_per_s", f.per_s);
	if (params_is_latency(p))
		add_latency(to, row);
	add_cpu(to, row, &f);
	path_json(to, &row->path);
	stats = tk_json_object(to, "stats");
	add_stats(stats, "client", &row->client);
	add_stats(stats, "server", &row->server);
	tk_json_u64(to, "verified", row->client.verified + row->server.verified);
}

void report_json_row(struct json_object *doc, const struct perf_options *o, const struct row *row)
{
	struct json_object *item;

	if (!o->sweep) {
		add_row(doc, row);
		return;
	}
	item = json_object_new_object();
	add_row(item, row);
	json_object_array_add(json_object_object_get(doc, "rows"), item);
}

int report_json_write(struct json_object *doc, const struct perf_options *o)
{
	return tk_json_write(doc, o->json);
}
