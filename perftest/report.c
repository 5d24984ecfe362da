/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The report as text.
 */
#include "report.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "stats.h"

#define GIB 1073741824.0
#define RULE \
	"------------------------------------------------------------------------------------------"

static double cpu_s(const struct wire_result *r)
{
	return (double)(r->user_ns + r->sys_ns) * 1e-9;
}

static double per_s(uint64_t n, uint64_t ns)
{
	return ns ? (double)n * 1e9 / (double)ns : 0;
}

/* Streaming: what receivers counted, in the time that they measured. */
static void stream_figures(const struct row *row, struct figures *f)
{
	const struct wire_result *s = &row->server, *c = &row->client;

	f->seconds = (double)s->elapsed_ns * 1e-9;
	f->bytes = s->progress;
	f->bytes_per_s = per_s(s->progress, s->elapsed_ns);
	f->peak = (double)s->peak;
	if (row->p.test == TEST_BIDIR) {
		f->bytes += c->progress;
		f->bytes_per_s += per_s(c->progress, c->elapsed_ns);
		f->peak += (double)c->peak;
	}
	f->peak = fmax(f->peak, f->bytes_per_s);
	f->messages = (double)f->bytes / (double)row->p.size;
	f->per_s = f->bytes_per_s / (double)row->p.size;
}

static void turn_figures(const struct row *row, struct figures *f)
{
	const struct wire_result *c = &row->client;
	uint64_t unit = row->p.test == TEST_CONN ? 1 : row->p.size;

	f->seconds = (double)c->elapsed_ns * 1e-9;
	f->messages = (double)c->progress / (double)unit;
	f->per_s = per_s(c->progress, c->elapsed_ns) / (double)unit;
	if (row->p.test == TEST_CONN)
		return;
	f->bytes = 2 * c->progress;
	f->bytes_per_s = 2 * per_s(c->progress, c->elapsed_ns);
	f->peak = fmax(2 * (double)c->peak, f->bytes_per_s);
}

void report_figures(const struct row *row, struct figures *f)
{
	memset(f, 0, sizeof(*f));
	if (params_is_latency(&row->p))
		turn_figures(row, f);
	else
		stream_figures(row, f);
	f->iterations = row->p.iterations * row->p.streams;
	if (row->p.test == TEST_BIDIR)
		f->iterations *= 2;
	if (!f->iterations)
		f->iterations = (uint64_t)(f->messages + 0.5);
	f->client_cpu = cpu_s(&row->client);
	f->server_cpu = cpu_s(&row->server);
	if (f->bytes)
		f->cpu_per_gib = (f->client_cpu + f->server_cpu) / ((double)f->bytes / GIB);
}

double report_us(const struct row *row, double ns)
{
	return row->p.test == TEST_LAT ? ns / 2000 : ns / 1000;
}

static double rate(const struct perf_options *o, double bytes_per_s)
{
	return o->mib ? bytes_per_s / 1048576 : bytes_per_s * 8e-9;
}

void report_title(const struct perf_params *p, const struct path *path)
{
	printf(RULE "\n %s: provider %s, mode %s, call %s, waiting %s%s, "
		    "%u stream%s, %u thread%s%s\n",
	       tk_name_of(perf_tests, p->test), path->begin.provider,
	       tk_name_of(tk_modes, path->begin.mode),
	       tk_name_of(perf_calls, p->call), tk_name_of(perf_waits, p->wait),
	       p->flags & PARAM_BLOCKING ? ", blocking calls" : "", p->streams,
	       p->streams == 1 ? "" : "s", p->threads, p->threads == 1 ? "" : "s",
	       p->flags & PARAM_VERIFY ? ", verified" : "");
	path_print(path);
	printf(RULE "\n");
	fflush(stdout);
}

void report_columns(const struct perf_options *o)
{
	const char *unit = o->mib ? "MiB/sec" : "Gb/sec";

	if (!params_is_latency(&o->params)) {
		printf(" #bytes     #iterations    BW peak[%s]    BW average[%s]   MsgRate[Mpps]   "
		       "CPU[s/GiB]\n",
		       unit, unit);
		return;
	}
	printf(" #bytes #iterations    ");
	if (o->params.test != TEST_LAT)
		printf("rate[1/sec]    ");
	printf("t_min[usec]    t_max[usec]  t_typical[usec]    t_avg[usec]    t_stdev[usec]   "
	       "99%% percentile[usec]   99.9%% percentile[usec]   99.99%% percentile[usec]\n");
}

static void print_bw(const struct perf_options *o, const struct row *row, const struct figures *f)
{
	printf(" %-10llu %-14llu %-18.2f %-19.2f %-15.6f %.4f\n", (unsigned long long)row->p.size,
	       (unsigned long long)f->iterations, rate(o, f->peak), rate(o, f->bytes_per_s),
	       f->per_s * 1e-6, f->cpu_per_gib);
}

static void print_latency(const struct row *row, const struct figures *f)
{
	const struct hist *h = &row->hist;

	printf(" %-6llu %-14llu ", (unsigned long long)(row->p.test == TEST_CONN ? 0 : row->p.size),
	       (unsigned long long)f->iterations);
	if (row->p.test != TEST_LAT)
		printf("%-14.0f ", f->per_s);
	printf("%-14.2f %-12.2f %-18.2f %-14.2f %-15.2f %-22.2f %-24.2f %.2f\n",
	       report_us(row, h->count ? (double)h->min : 0), report_us(row, (double)h->max),
	       report_us(row, hist_percentile(h, 50)), report_us(row, hist_mean(h)),
	       report_us(row, hist_stdev(h)), report_us(row, hist_percentile(h, 99)),
	       report_us(row, hist_percentile(h, 99.9)), report_us(row, hist_percentile(h, 99.99)));
}

void report_row(const struct perf_options *o, const struct row *row)
{
	struct figures f;

	report_figures(row, &f);
	if (params_is_latency(&row->p))
		print_latency(row, &f);
	else
		print_bw(o, row, &f);
	fflush(stdout);
}

void report_interval(const struct perf_options *o, const struct wire_interval *i)
{
	double s = (double)(i->to_ns - i->from_ns) * 1e-9;
	const struct perf_params *p = &o->params;

	printf(" %6.2f-%-6.2f s  ", (double)i->from_ns * 1e-9, (double)i->to_ns * 1e-9);
	if (!params_is_latency(p))
		printf("%.2f %s\n", rate(o, (double)i->bytes / s), o->mib ? "MiB/sec" : "Gb/sec");
	else
		printf("%.0f %s/sec\n",
		       (double)i->bytes / s / (p->test == TEST_CONN ? 1 : (double)p->size),
		       p->test == TEST_CONN ? "connections" : "transactions");
	fflush(stdout);
}

/* What an end waited for, if it did. */
static void print_stalls(const char *end, const struct wire_result *r)
{
	uint64_t window = stats_of(r, "stall_window"), credit = stats_of(r, "stall_credit");
	uint64_t queue = stats_of(r, "stall_queue"), memory = stats_of(r, "stall_memory");

	if (window + credit + queue + memory == 0)
		return;
	printf(" Waits of the %s: %llu sends found no room; stopped %llu times for credit, %llu for "
	       "its queue; %llu receives found no pool memory\n",
	       end, (unsigned long long)window, (unsigned long long)credit,
	       (unsigned long long)queue, (unsigned long long)memory);
}

void report_tail(const struct perf_options *o, const struct row *row)
{
	struct figures f;

	report_figures(row, &f);
	printf(RULE "\n");
	if (o->sweep)
		return;
	printf(" CPU in %.2f s: client %.3f s, server %.3f s", f.seconds, f.client_cpu,
	       f.server_cpu);
	if (f.bytes && !params_is_latency(&row->p))
		printf(", together %.4f s/GiB", f.cpu_per_gib);
	else if (f.messages > 0)
		printf(", together %.3f us each", (f.client_cpu + f.server_cpu) * 1e6 / f.messages);
	printf("\n");
	path_print_end(&row->path);
	print_stalls("client", &row->client);
	print_stalls("server", &row->server);
	if (row->p.flags & PARAM_VERIFY)
		printf(" Verified: %llu bytes at the client, %llu at the server\n",
		       (unsigned long long)row->client.verified,
		       (unsigned long long)row->server.verified);
}
