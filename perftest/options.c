/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The command line: letters as in perftest where they mean the same.
 */
#include "options.h"

#include <nmt/nmt.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "die.h"
#include "raw.h"
#include "units.h"

enum opt {
	OPT_THREADS = 0x2000,
	OPT_CALL,
	OPT_VERIFY,
	OPT_POLL,
	OPT_SLEEP,
	OPT_BLOCKING,
	OPT_INTERVAL,
	OPT_WARMUP,
	OPT_STALL,
	OPT_RECV_SIZE,
	OPT_WINDOW,
	OPT_SEED,
	OPT_JSON,
	OPT_GBITS,
	OPT_MIB,
	OPT_LISTEN,
	OPT_DATA_PORT,
	OPT_PORT_FILE,
	OPT_ONCE,
};

static const struct tk_opt load_options[] = {
	{ 's', "size", "SIZE", "bytes of a message (default 128K; lat and rr 64)" },
	{ 'a', "all", NULL, "all sizes from 2 to 8M, one row each" },
	{ 'n', "iters", "N", "messages of each stream (default: by time)" },
	{ 'D', "duration", "TIME", "measure for so long (default 2s; 500ms a row with -a)" },
	{ OPT_WARMUP, "warmup", "TIME",
	  "before it (default a tenth of -D; with -n a tenth of the messages)" },
	{ 'b', "bidirectional", NULL, "the same as the test bidir" },
	{ 'q', "streams", "N", "data streams (default 1; conn: connections in flight)" },
	{ OPT_THREADS, "threads", "N", "threads on each end, a domain each (default 1)" },
	{ 't', "tx-depth", "N",
	  "operations in flight of a stream: borrowed sends (default 64),\n"
	  "requests of rr (default 1)" },
	{ OPT_CALL, "call", "CALLS",
	  "copy: nmt_send and nmt_recv (default); borrow: nmt_send_mr and\n"
	  "nmt_recv; frags: nmt_send_mr and nmt_recv_frags; into: nmt_send_mr\n"
	  "and nmt_recv_into" },
	{ OPT_RECV_SIZE, "recv-size", "SIZE",
	  "most bytes of a receive (default: the message size, at least 128K)" },
	{ OPT_VERIFY, "verify", NULL, "send random data and compare it" },
	{ OPT_SEED, "seed", "N", "of the random data (default: random)" },
	{ OPT_POLL, "poll", NULL, "never sleep, on both ends" },
	{ OPT_SLEEP, "sleep", NULL, "never spin, on both ends" },
	{ OPT_BLOCKING, "blocking", NULL, "lat: blocking calls instead of nmt_poll" },
	{ OPT_WINDOW, "window", "SIZE", "kernel send and receive buffers, as --sndbuf --rcvbuf" },
	{ OPT_STALL, "stall", "TIME", "give up when nothing moves for so long (default 30s)" },
	{ 0, NULL, NULL, NULL },
};

static const struct tk_opt report_options[] = {
	{ OPT_INTERVAL, "interval", "TIME",
	  "interim lines; 0: none (default 1s on a terminal when -D is over 2s)" },
	{ OPT_JSON, "json", "[FILE]", "report as JSON to FILE, else to standard output" },
	{ OPT_GBITS, "report-gbits", NULL, "rates in Gb/sec (default)" },
	{ OPT_MIB, "report-mib", NULL, "rates in MiB/sec" },
	{ 0, NULL, NULL, NULL },
};

static const struct tk_opt server_options[] = {
	{ 'p', "port", "PORT", "control port of the server (default 18515); 0: any free port" },
	{ OPT_LISTEN, "listen", "HOST", "server: address to listen on (default: all)" },
	{ OPT_DATA_PORT, "data-port", "PORT",
	  "server: first port of data streams, one a thread (default: any)" },
	{ OPT_PORT_FILE, "port-file", "FILE",
	  "server: write the control port, and the address in line 2" },
	{ OPT_ONCE, "once", NULL, "server: end after one client" },
	{ 'h', "help", NULL, "this text" },
	{ 'V', "version", NULL, "print the version" },
	{ 0, NULL, NULL, NULL },
};

static void print_help(void)
{
	printf("Usage: nmt_perf [OPTION]...                       server, serves all tests\n"
	       "       nmt_perf [TEST] [OPTION]... HOST[:PORT]    client\n\n"
	       "Measures libnmt between two hosts. Tests (default bw):\n");
	for (const struct tk_name *t = perf_tests; t->name; t++)
		printf("  %-8s%s\n", t->name, t->help);
	printf("  raw-write [bw | lat | bidir]\n"
	       "          the same by plain RDMA writes, without libnmt: what the adapter can do;\n"
	       "          on libibverbs, or with --provider ofi/tcp, ofi/tcp:rdm, ofi/shm on libfabric;\n"
	       "          to one place of the peer's memory, or in turn to those of --rcvbuf bytes\n");
	printf("\nWhat to measure (client):\n");
	tk_opts_help(stdout, load_options);
	printf("\nReport (client):\n");
	tk_opts_help(stdout, report_options);
	printf("\nServer and others:\n");
	tk_opts_help(stdout, server_options);
	printf("\nConnection (the client's apply to both ends; a server's --provider and\n"
	       "--bind-device replace what clients ask for):\n");
	tk_opts_help(stdout, tk_stream_options);
	printf("\nExit status: 0 done, 1 failed, 2 wrong arguments, 3 --verify found wrong bytes,\n"
	       "4 time-out.\n\n"
	       "Examples:\n"
	       "  nmt_perf                                 on the server\n"
	       "  nmt_perf bw -D 10 server                 throughput, then\n"
	       "  nmt_perf lat --poll server               latency without sleeping\n"
	       "  nmt_perf rr -q 1000 server               a thousand streams\n"
	       "  nmt_perf bw -a --provider tcp --mode raw --json=out.json server\n");
	exit(TK_EXIT_OK);
}

/* ---- options that are a value in a field ---- */

enum value_kind {
	V_SIZE,
	V_NUMBER,
	V_TIME,
};

static const struct value {
	int code;
	enum value_kind kind;
	uint32_t width;
	size_t at;
	uint64_t min, max;
	const char *name;
} values[] = {
#define VALUE(code, kind, f, min, max, name)                             \
	{                                                                \
		code, kind, sizeof(((struct perf_options *)0)->f),       \
			offsetof(struct perf_options, f), min, max, name \
	}
	VALUE('s', V_SIZE, params.size, 1, PERF_MAX_SIZE, "--size"),
	VALUE('n', V_NUMBER, params.iterations, 1, UINT64_C(1) << 40, "--iters"),
	VALUE('D', V_TIME, params.duration_ns, 1000000, PERF_MAX_TIME, "--duration"),
	VALUE(OPT_WARMUP, V_TIME, params.warm_ns, 1, PERF_MAX_TIME, "--warmup"),
	VALUE('q', V_NUMBER, params.streams, 1, PERF_MAX_STREAMS, "--streams"),
	VALUE(OPT_THREADS, V_NUMBER, params.threads, 1, PERF_MAX_THREADS, "--threads"),
	VALUE('t', V_NUMBER, params.depth, 1, PERF_MAX_DEPTH, "--tx-depth"),
	VALUE(OPT_RECV_SIZE, V_SIZE, params.recv_size, 1, PERF_MAX_SIZE, "--recv-size"),
	VALUE(OPT_SEED, V_NUMBER, params.seed, 1, UINT64_MAX, "--seed"),
	VALUE(OPT_STALL, V_TIME, params.stall_ns, 100000000, PERF_MAX_TIME, "--stall"),
	VALUE(OPT_INTERVAL, V_TIME, params.interval_ns, 0, PERF_MAX_TIME, "--interval"),
	VALUE('p', V_NUMBER, port, 0, 65535, "--port"),
	VALUE(OPT_DATA_PORT, V_NUMBER, data_port, 1, 65535, "--data-port"),
#undef VALUE
};

static uint64_t parse_value(const struct value *v, const char *arg)
{
	static const char *const hints[] = {
		[V_SIZE] = "a size from 1 to 1G; write for example 64K",
		[V_NUMBER] = "a number",
		[V_TIME] = "a time in range; write for example 10 (seconds) or 500ms",
	};
	uint64_t value = 0;
	int64_t time;
	int err;

	if (v->kind == V_SIZE) {
		err = tk_parse_size(arg, &value);
	} else if (v->kind == V_TIME) {
		err = tk_parse_time(arg, &time);
		value = err < 0 ? 0 : (uint64_t)time;
	} else {
		err = tk_parse_number(arg, v->min, v->max, &value);
	}
	if (err < 0 && v->kind == V_NUMBER)
		tk_usage("%s: '%s' is not a number from %llu to %llu", v->name, arg,
			 (unsigned long long)v->min, (unsigned long long)v->max);
	if (err < 0 || value < v->min || value > v->max)
		tk_usage("%s: '%s' is not %s", v->name, arg, hints[v->kind]);
	return value;
}

static bool take_value(struct perf_options *o, int code, const char *arg)
{
	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		char *at = (char *)o + values[i].at;
		uint64_t v;

		if (values[i].code != code)
			continue;
		v = parse_value(&values[i], arg);
		if (values[i].width == 8)
			*(uint64_t *)at = v;
		else
			*(uint32_t *)at = (uint32_t)v;
		return true;
	}
	return false;
}

/* ---- the others ---- */

static void take_call(struct perf_params *p, const char *arg)
{
	char list[64];

	if (tk_name_find(perf_calls, arg, &p->call) == 0)
		return;
	tk_name_list(perf_calls, list, sizeof(list));
	tk_usage("--call: '%s' is unknown; choose one of %s", arg, list);
}

static bool take_switch(struct perf_options *o, int code)
{
	switch (code) {
	case 'a':
		return o->sweep = true;
	case 'b':
		return o->bidir = true;
	case OPT_ONCE:
		return o->once = true;
	case OPT_MIB:
		return o->mib = true;
	case OPT_GBITS:
		o->mib = false;
		return true;
	case OPT_VERIFY:
		o->params.flags |= PARAM_VERIFY;
		return true;
	case OPT_BLOCKING:
		o->params.flags |= PARAM_BLOCKING;
		return true;
	case OPT_POLL:
		o->params.wait = WAIT_POLL;
		return true;
	case OPT_SLEEP:
		o->params.wait = WAIT_SLEEP;
		return true;
	default:
		return false;
	}
}

static bool take_other(struct perf_options *o, int code, const char *arg)
{
	switch (code) {
	case OPT_CALL:
		take_call(&o->params, arg);
		return true;
	case OPT_WINDOW:
		tk_streamopts_take(&o->stream, TK_OPT_SNDBUF, arg);
		tk_streamopts_take(&o->stream, TK_OPT_RCVBUF, arg);
		return true;
	case OPT_JSON:
		o->json = arg ? arg : "-";
		return true;
	case OPT_LISTEN:
		o->listen_host = arg;
		return true;
	case OPT_PORT_FILE:
		o->port_file = arg;
		return true;
	case 'h':
		print_help();
		return true;
	case 'V':
		tk_print_version();
		exit(TK_EXIT_OK);
	default:
		return false;
	}
}

/* Test and host, in this order, each perhaps left out. */
static void take_operands(struct perf_options *o, int argc, char **argv)
{
	o->params.test = TEST_BW;
	if (argc > 0 && strcmp(argv[0], "raw-write") == 0) {
		o->params.call = CALL_RAW_WRITE;
		argc--;
		argv++;
	}
	if (argc > 0 && tk_name_find(perf_tests, argv[0], &o->params.test) == 0) {
		argc--;
		argv++;
	}
	if (argc > 1)
		tk_usage("'%s' is one argument too many; write [TEST] [HOST]", argv[1]);
	if (argc > 0)
		o->host = argv[0];
	if (o->bidir && o->params.test != TEST_BW && o->params.test != TEST_BIDIR)
		tk_usage("-b is for the tests bw and bidir");
	if (o->bidir)
		o->params.test = TEST_BIDIR;
}

/* ---- completing ---- */

static void default_times(struct perf_options *o)
{
	struct perf_params *p = &o->params;

	if (p->iterations) {
		if (p->duration_ns)
			tk_usage("-n and -D exclude each other");
		if (p->warm_ns)
			tk_usage("--warmup goes with -D");
		p->warm_iterations = p->iterations / 10 < 1000 ? p->iterations / 10 : 1000;
	} else {
		if (!p->duration_ns)
			p->duration_ns = o->sweep ? 500000000 : 2000000000;
		if (!p->warm_ns)
			p->warm_ns = p->duration_ns / 10;
	}
	if (p->interval_ns == UINT64_MAX)
		p->interval_ns = !o->json && isatty(STDOUT_FILENO) && !o->sweep &&
						 p->duration_ns > 2000000000
					 ? 1000000000
					 : 0;
}

static void take_connection(const struct tk_streamopts *s, struct perf_params *p)
{
	const char *env = getenv("NMT_PROVIDER");
	const char *spec = s->provider ? s->provider : env && *env ? env : "auto";

	if (s->attr.mode == NMT_MODE_EITHER)
		tk_usage("--mode either is for listeners; write raw or negotiated");
	if (strlen(spec) >= sizeof(p->provider))
		tk_usage("--provider: '%s' is too long", spec);
	strcpy(p->provider, spec);
	p->mode = s->attr.mode;
	p->mem = s->mem;
	p->rails = s->attr.rails;
	p->sndbuf = s->attr.sndbuf;
	p->rcvbuf = s->attr.rcvbuf;
	p->zerocopy_min = s->attr.zerocopy_min;
	p->cell = s->domain.cell_size;
	p->pool = s->domain.pool_size;
	p->spin_ns = (uint64_t)s->domain.spin_ns;
	p->flags |= s->attr.flags & NMT_STREAM_NAGLE ? PARAM_NAGLE : 0;
	p->flags |= s->attr.flags & NMT_STREAM_RECORDS ? PARAM_RECORDS : 0;
}

static bool polls_only(const struct perf_params *p)
{
	const char *why;
	const struct raw_ops *ops = raw_ops_of(p->provider, &why);

	return ops && !ops->nap;
}

static void complete(struct perf_options *o)
{
	struct perf_params *p = &o->params;
	bool raw = p->call == CALL_RAW_WRITE;
	struct perf_params row;
	char why[128];

	tk_streamopts_finish(&o->stream);
	take_connection(&o->stream, p);
	if (o->sweep && p->size)
		tk_usage("-a and -s exclude each other");
	if (o->sweep && p->test == TEST_CONN)
		tk_usage("conn has no size to vary; leave -a out");
	if (!p->depth)
		p->depth = p->test == TEST_RR || p->test == TEST_LAT ? 1 : raw ? 128 : 64;
	if (raw && polls_only(p))
		p->wait = WAIT_POLL;
	if (p->test == TEST_LAT && p->depth != 1)
		tk_usage("lat has one message in flight; use rr");
	if (!p->size)
		p->size = params_is_latency(p) ? 64 : 131072;
	if (!p->seed && getrandom(&p->seed, sizeof(p->seed), 0) < 0)
		tk_die(TK_EXIT_FAILURE, "no random numbers from the kernel");
	default_times(o);
	options_row(o, o->sweep ? 8 << 20 : p->size, &row);
	if (params_check(&row, why, sizeof(why)) < 0)
		tk_usage("%s", why);
}

void options_row(const struct perf_options *o, uint64_t size, struct perf_params *p)
{
	uint64_t want;

	*p = o->params;
	p->size = size;
	want = params_is_latency(p) ? size * p->depth + 64 : size < 131072 ? 131072 : size;
	if (want > PERF_MAX_SIZE)
		want = PERF_MAX_SIZE;
	if (p->call == CALL_INTO && params_is_latency(p))
		p->recv_size = size; /* a posted receive ends when it is full */
	else if (!p->recv_size)
		p->recv_size = want;
}

void options_parse(struct perf_options *o, int argc, char **argv)
{
	struct tk_parser parser;
	int code;

	*o = (struct perf_options){ .stream = TK_STREAMOPTS_INIT,
				    .port = 18515,
				    .listen_host = "" };
	o->params = (struct perf_params){
		.call = CALL_COPY,
		.wait = WAIT_ADAPTIVE,
		.streams = 1,
		.threads = 1,
		.stall_ns = 30000000000,
		.interval_ns = UINT64_MAX,
	};
	tk_parser_init(&parser, argc, argv);
	tk_parser_add(&parser, load_options);
	tk_parser_add(&parser, report_options);
	tk_parser_add(&parser, server_options);
	tk_parser_add(&parser, tk_stream_options);
	while ((code = tk_parser_next(&parser)) >= 0) {
		if (!take_switch(o, code) && !take_value(o, code, optarg) &&
		    !take_other(o, code, optarg))
			tk_streamopts_take(&o->stream, code, optarg);
	}
	take_operands(o, argc - optind, argv + optind);
	o->connect_timeout = o->stream.attr.connect_timeout;
	if (!o->connect_timeout)
		o->connect_timeout = 30000000000;
	if (o->host)
		complete(o);
}
