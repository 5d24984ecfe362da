/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What was measured, as text in the columns that perftest users know, and as JSON.
 */
#ifndef PERF_REPORT_H
#define PERF_REPORT_H

#include "hist.h"
#include "options.h"
#include "path.h"
#include "wire.h"

/* One measurement as both ends saw it. */
struct row {
	struct perf_params p;
	struct wire_result client, server;
	struct path path;
	struct hist hist; /* latency tests: ns, the whole round trip */
};

/* Figures that text and JSON have in common. */
struct figures {
	double seconds;
	uint64_t iterations; /* as asked for with -n, else the messages of the measured time */
	uint64_t bytes;	     /* received by applications, both directions */
	double messages;     /* in them: of bw, transactions of rr and lat, connections of conn */
	double bytes_per_s, peak, per_s;
	double client_cpu, server_cpu; /* seconds */
	double cpu_per_gib;	       /* of both ends; 0: no bytes */
};
void report_figures(const struct row *row, struct figures *f);

/* Latency in us as it is reported: lat shows half of the round trip. */
double report_us(const struct row *row, double ns);

/* Text. */
void report_title(const struct perf_params *p, const struct path *path);
void report_columns(const struct perf_options *o);
void report_row(const struct perf_options *o, const struct row *row);
void report_interval(const struct perf_options *o, const struct wire_interval *i);
void report_tail(const struct perf_options *o, const struct row *row);

/* JSON: rows are added one by one, then all is written. 0 or a negative errno. */
struct json_object;
struct json_object *report_json_new(const struct perf_options *o);
void report_json_row(struct json_object *doc, const struct perf_options *o, const struct row *row);
int report_json_write(struct json_object *doc, const struct perf_options *o);

#endif
