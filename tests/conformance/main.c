/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The conformance suite: what every provider owes to the users of nmt.h (docs/testing.md). One run
 * is one configuration of the matrix, with or without a fault put under it on purpose.
 */
#include <fnmatch.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "sim.h"
#include "suite.h"

#define TESTS_MAX 256
#define WHY_MAX 256

enum { SKIPPED = 77 };

const struct test *const topics[] = {
	tests_bytes, tests_close, tests_cut, tests_records, tests_loans, tests_share,
	tests_borrow, tests_posted, tests_events, tests_wait, tests_args, tests_argmem,
	tests_connect, tests_listen, tests_blocking, tests_pause, tests_observe, tests_memory,
	tests_limits, tests_threads, tests_variants, tests_lost,
	NULL,
};

static const char help_text[] =
	"Usage: nmt_conformance --config NAME [--test PATTERN] [--seed N] [--fault NAME]\n"
	"       nmt_conformance --faults[=LAYER] [--fault NAME]\n"
	"\n"
	"Checks that a provider behaves as nmt.h says, over one configuration\n"
	"(provider.mode.receive.memory).\n"
	"\n"
	"  -c, --config NAME    the configuration to run\n"
	"  -t, --test PATTERN   only tests whose name matches (shell pattern)\n"
	"  -s, --seed N         seed of all random choices (or NMT_SEED; default: the time)\n"
	"  -f, --fault NAME     put this fault between core and provider: a test has to fail\n"
	"  -F, --faults[=LAYER] run every fault and check that its test finds it; LAYER:\n"
	"                       provider, rma (the ops below the engine)\n"
	"  -H, --host NS        the server's domain has the devices of this network namespace\n"
	"  -m, --limit MS       cap of the time limit of each test\n"
	"  -l, --list           list configurations\n"
	"  -T, --tests          list the tests of the configuration, or all\n"
	"  -L, --list-faults    list faults, with the test that finds each\n"
	"  -h, --help           this text\n"
	"  -V, --version        version of the library\n"
	"\n"
	"Exit: 0 all passed, 1 a test failed, 2 wrong arguments, 77 nothing to run here.\n";

struct opts {
	struct suite suite;
	const char *config, *pattern, *fault, *layer;
	bool faults, tests;
};

static const struct option long_options[] = {
	{ "config", required_argument, NULL, 'c' }, { "test", required_argument, NULL, 't' },
	{ "seed", required_argument, NULL, 's' },   { "fault", required_argument, NULL, 'f' },
	{ "host", required_argument, NULL, 'H' },   { "faults", optional_argument, NULL, 'F' },
	{ "limit", required_argument, NULL, 'm' },
	{ "list", no_argument, NULL, 'l' },         { "tests", no_argument, NULL, 'T' },
	{ "list-faults", no_argument, NULL, 'L' },  { "help", no_argument, NULL, 'h' },
	{ "version", no_argument, NULL, 'V' },      { NULL, 0, NULL, 0 },
};

static _Noreturn void usage(const char *what, const char *arg)
{
	fprintf(stderr, "nmt_conformance: %s%s; see --help\n", what, arg);
	exit(2);
}

static uint64_t number(const char *text)
{
	char *end;
	unsigned long long n;

	errno = 0;
	n = strtoull(text, &end, 0);
	if (errno || end == text || *end || *text == '-')
		usage("not a number: ", text);
	return n;
}

static void list_configs(void)
{
	struct config c;

	for (unsigned int i = 0; config_at(i, &c); i++)
		puts(c.name);
}

static void list_faults(void)
{
	const struct fault *f;

	for (unsigned int i = 0; (f = fault_at(i)); i++)
		printf("%-24s %-32s %s\n", f->name, f->config, f->test);
}

static void parse_one(struct opts *o, int c)
{
	switch (c) {
	case 'c':
		o->config = optarg;
		break;
	case 't':
		o->pattern = optarg;
		break;
	case 's':
		o->suite.seed = number(optarg);
		break;
	case 'f':
		o->fault = optarg;
		break;
	case 'F':
		o->faults = true;
		o->layer = optarg;
		break;
	case 'm':
		o->suite.limit_ms = (unsigned int)number(optarg);
		break;
	case 'H':
		o->suite.host = optarg;
		break;
	case 'T':
		o->tests = true;
		break;
	default:
		exit(2);
	}
}

/* Options that only print. */
static bool tell(int c)
{
	if (c == 'l')
		list_configs();
	else if (c == 'L')
		list_faults();
	else if (c == 'h')
		fputs(help_text, stdout);
	else if (c == 'V')
		printf("nmt_conformance %s\n", nmt_version_string());
	else
		return false;
	return true;
}

static void parse(struct opts *o, int argc, char **argv)
{
	const char *seed = getenv("NMT_SEED");
	int c;

	o->suite.seed = seed && *seed ? number(seed) : (uint64_t)now_ns();
	while ((c = getopt_long(argc, argv, "c:t:s:f:FH:m:lTLhV", long_options, NULL)) != -1) {
		if (tell(c))
			exit(0);
		parse_one(o, c);
	}
	if (optind < argc)
		usage("unexpected argument: ", argv[optind]);
	if (o->config && !config_find(o->config, &o->suite.cfg))
		usage("no such configuration (see --list): ", o->config);
	if (o->fault && !fault_find(o->fault))
		usage("no such fault (see --list-faults): ", o->fault);
	if (!o->config && !o->faults && !o->tests)
		usage("say which configuration", "");
	o->suite.fault = o->fault;
}

static void run_one(void **state)
{
	void **arg = *state;

	env_run(arg[0], arg[1]);
}

static void collect(struct opts *o, struct CMUnitTest *out, void *args[][2], unsigned int *n)
{
	unsigned int has = o->config ? config_has(&o->suite.cfg) : ~0u;

	for (unsigned int t = 0; topics[t]; t++) {
		for (const struct test *test = topics[t]; test->name; test++) {
			if ((test->needs & has) != test->needs ||
			    (o->pattern && fnmatch(o->pattern, test->name, 0)))
				continue;
			if (*n == TESTS_MAX)
				usage("more tests than TESTS_MAX", "");
			args[*n][0] = &o->suite;
			args[*n][1] = (void *)(uintptr_t)test;
			out[*n] = (struct CMUnitTest){ test->name, run_one, NULL, NULL, args[*n] };
			(*n)++;
		}
	}
}

static void keep_line(void *arg, enum nmt_log_level level, const char *line)
{
	(void)level;
	snprintf(arg, WHY_MAX, "%s", line);
}

/*
 * Its providers and its memory, tried. What libraries below open once and keep is open then, so that
 * no test is blamed for it.
 */
static int try_config(struct nmt_ctx *ctx, const struct suite *suite)
{
	struct nmt_domain_attr attr = NMT_DOMAIN_ATTR_INIT;
	const struct config *cfg = &suite->cfg;
	struct nmt_domain *dom;
	struct nmt_mr *mr;
	int ret = opaque_add(ctx);

	if (!ret && !strncmp(cfg->spec, "sim", 3))
		ret = sim_add(ctx);
	if (!ret)
		ret = config_mr(ctx, cfg, 1, NMT_ACCESS_ALL, &mr);
	if (ret)
		return ret;
	nmt_mr_close(mr);
	attr.pool_kind = config_pool(cfg);
	ret = nmt_domain_open(ctx, cfg->spec, &attr, &dom);
	if (ret)
		return ret;
	nmt_domain_close(dom);
	ret = env_open_server(suite, ctx, &attr, &dom);
	if (!ret)
		nmt_domain_close(dom);
	return ret;
}

/* The reason why the configuration cannot run on this machine; empty: it can. */
static void unusable(const struct suite *suite, char why[static WHY_MAX])
{
	struct nmt_ctx_attr attr = NMT_CTX_ATTR_INIT;
	struct nmt_ctx *ctx;
	int ret;

	attr.log = keep_line;
	attr.log_arg = why;
	attr.log_level = NMT_LOG_ERROR + 1;
	why[0] = '\0';
	if (nmt_ctx_open(&attr, &ctx))
		return;
	ret = try_config(ctx, suite);
	if (ret && !why[0])
		snprintf(why, WHY_MAX, "provider %s: %s", suite->cfg.spec, nmt_strerror(ret));
	if (!ret)
		why[0] = '\0';
	nmt_ctx_close(ctx);
}

/* A test that hangs inside a call of the library. */
static void on_alarm(int sig)
{
	static const char text[] = "time limit: a call of the library hangs\n";

	(void)sig;
	if (write(STDERR_FILENO, text, sizeof(text) - 1) < 0)
		_exit(1);
	_exit(1);
}

/* What the variant of the configuration asks for. */
static void set_environment(const struct config *cfg)
{
	char *text = strdup(cfg->set ? cfg->set : ""), *save = NULL;

	for (char *word = strtok_r(text, "\n", &save); word; word = strtok_r(NULL, "\n", &save)) {
		char *eq = strchr(word, '=');

		*eq = '\0';
		setenv(word, eq + 1, 1);
	}
	free(text);
}

static int run_config(struct opts *o)
{
	static struct CMUnitTest tests[TESTS_MAX];
	static void *args[TESTS_MAX][2];
	unsigned int n = 0;
	char why[WHY_MAX];

	set_environment(&o->suite.cfg);
	collect(o, tests, args, &n);
	if (o->tests) {
		for (unsigned int i = 0; i < n; i++)
			puts(tests[i].name);
		return 0;
	}
	unusable(&o->suite, why);
	if (why[0] || !n) {
		printf("SKIP: %s\n", why[0] ? why : "no test matches");
		return SKIPPED;
	}
	printf("%s: seed %llu\n", o->suite.cfg.name, (unsigned long long)o->suite.seed);
	fflush(stdout);
	signal(SIGALRM, on_alarm);
	return _cmocka_run_group_tests(o->suite.cfg.name, tests, n, NULL, NULL) ? 1 : 0;
}

int main(int argc, char **argv)
{
	struct opts o = { 0 };

	parse(&o, argc, argv);
	if (o.faults)
		return faults_check("/proc/self/exe", o.fault, o.layer);
	return run_config(&o);
}
