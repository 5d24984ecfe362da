/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * nmt_base: command line and report.
 */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base.h"

static const struct load {
	const char *name;
	int (*run)(const struct base_options *o, struct base_counts *c);
} loads[] = {
	{ "rr-client", rr_client },
	{ "rr-server", rr_server },
	{ "conn-client", conn_client },
	{ "conn-server", conn_server },
	{ "bulk-client", bulk_client },
	{ "bulk-server", bulk_server },
	{ "pp-client", pp_client },
	{ "pp-server", pp_server },
};

static const char usage_text[] =
	"Usage: nmt_base rr-server|conn-server|pp-server|bulk-server --port-file FILE [OPTION]...\n"
	"       nmt_base rr-client|conn-client|pp-client|bulk-client --port PORT [OPTION]...\n"
	"The loads of nmt_perf's rr, conn, lat --poll and bw, directly on sockets and epoll, on the loopback\n"
	"interface. The report is one line of JSON.\n\n"
	"  --streams N   connections (rr: default 1000; conn: in flight, default 1);\n"
	"                bulk: buffers that the server fills in turn (default 1)\n"
	"  --size N      bytes of a message or buffer (default 64)\n"
	"  --watched     pp: the socket is in an epoll set, which is never asked\n"
	"  --count N     end after N turns or connections\n"
	"  --time MS     end after so many milliseconds (default 1000)\n"
	"  --help        this text\n"
	"  --version     print the version\n";

static uint64_t number(const char *name, const char *arg, uint64_t max)
{
	char *end;
	uint64_t v = strtoull(arg, &end, 10);

	if (*end || end == arg || v < 1 || v > max) {
		fprintf(stderr, "nmt_base: --%s: '%s' is not a number from 1 to %" PRIu64 "\n",
			name, arg, max);
		exit(2);
	}
	return v;
}

static void info(const char *text)
{
	fputs(text, stdout);
	exit(0);
}

static void take(struct base_options *o, int code, const char *arg)
{
	switch (code) {
	case 'p':
		o->port = (uint16_t)number("port", arg, 65535);
		break;
	case 'f':
		o->port_file = arg;
		break;
	case 'q':
		o->streams = (uint32_t)number("streams", arg, 100000);
		break;
	case 's':
		o->size = (uint32_t)number("size", arg, 1 << 20);
		break;
	case 'n':
		o->count = number("count", arg, UINT64_C(1) << 40);
		break;
	case 't':
		o->duration_ns = (int64_t)number("time", arg, 3600000) * 1000000;
		break;
	case 'w':
		o->watched = true;
		break;
	case 'h':
		info(usage_text);
		break;
	case 'V':
		info("nmt_base " NMT_BASE_VERSION "\n");
		break;
	default:
		exit(2);
	}
}

static const struct load *parse(int argc, char **argv, struct base_options *o)
{
	static const struct option options[] = {
		{ "port", required_argument, NULL, 'p' },
		{ "port-file", required_argument, NULL, 'f' },
		{ "streams", required_argument, NULL, 'q' },
		{ "size", required_argument, NULL, 's' },
		{ "count", required_argument, NULL, 'n' },
		{ "time", required_argument, NULL, 't' },
		{ "watched", no_argument, NULL, 'w' },
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' },
		{ NULL, 0, NULL, 0 },
	};
	int code;

	while ((code = getopt_long(argc, argv, "hV", options, NULL)) >= 0)
		take(o, code, optarg);
	for (size_t i = 0; argc == optind + 1 && i < sizeof(loads) / sizeof(loads[0]); i++) {
		bool server = strstr(loads[i].name, "server");

		if (strcmp(argv[optind], loads[i].name) == 0 && (server ? !!o->port_file : o->port))
			return &loads[i];
	}
	fprintf(stderr, "nmt_base: name one load, a server with --port-file, a client with --port; "
			"see --help\n");
	exit(2);
}

int main(int argc, char **argv)
{
	struct base_options o = { .size = 64, .duration_ns = 1000000000 };
	const struct load *load = parse(argc, argv, &o);
	struct base_counts c = { 0 };
	uint64_t all;

	if (!o.streams)
		o.streams = load->run == rr_client || load->run == rr_server ? 1000 : 1;
	load->run(&o, &c);
	all = c.wait + c.recv + c.send + c.other;
	printf("{\"load\": \"%s\", \"turns\": %" PRIu64 ", \"seconds\": %.6f, \"per_s\": %.3f, "
	       "\"wait\": %" PRIu64 ", \"recv\": %" PRIu64 ", \"send\": %" PRIu64
	       ", \"other\": %" PRIu64 ", \"syscalls_per_turn\": %.4f, \"half_us\": %.4f}\n",
	       load->name, c.turns, (double)c.elapsed_ns * 1e-9,
	       c.elapsed_ns ? (double)c.turns * 1e9 / (double)c.elapsed_ns : 0, c.wait, c.recv,
	       c.send, c.other, c.turns ? (double)all / (double)c.turns : 0,
	       (double)c.typical_ns / 2000);
	return 0;
}
