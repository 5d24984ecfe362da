/* SPDX-License-Identifier: BSD-2-Clause */
/* nmt_scale: options, descriptor limit, and the two processes. */
#include <fcntl.h>
#include <getopt.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "scale.h"

static const char help_text[] =
	"Usage: nmt_scale [--provider SPEC] [--mode MODE] [--streams N] [--storm [--seconds S]]\n"
	"                 [--seed N] [--listen ADDRESS] [--host NS] [--memory BYTES]\n"
	"       nmt_scale --soak SECONDS [...]\n"
	"\n"
	"Moves random checked traffic over many streams between two processes.\n"
	"\n"
	"  -p, --provider SPEC  of both domains (default tcp)\n"
	"  -m, --mode MODE      raw, negotiated or records (default raw)\n"
	"  -n, --streams N      streams open at once (default 1000)\n"
	"  -S, --storm          streams of every fate (close, abort, half-close) come and go;\n"
	"                       without it all are opened first, and one in a hundred ends early\n"
	"  -d, --seconds S      how long a storm lasts (default 10)\n"
	"      --soak SECONDS   storm and crowd in turn, with new seeds, for so long\n"
	"  -l, --listen ADDRESS of the server (default 127.0.0.1:0)\n"
	"  -H, --host NS        network namespace of the server\n"
	"  -M, --memory BYTES   crowd: wrong if a stream, before its traffic, has more of the library's\n"
	"  -O, --objects        crowd: wrong if queue pairs are left when all streams are closed, or more\n"
	"                       registrations than the shared queues keep\n"
	"  -s, --seed N         seed of everything random (or NMT_SEED; default: the time)\n"
	"  -h, --help           this text\n"
	"  -V, --version        version of the library\n"
	"\n"
	"Exit: 0 all as the model says, 1 not, 2 wrong arguments.\n";

static const struct option long_options[] = {
	{ "mode", required_argument, NULL, 'm' },    { "streams", required_argument, NULL, 'n' },
	{ "storm", no_argument, NULL, 'S' },         { "seconds", required_argument, NULL, 'd' },
	{ "soak", required_argument, NULL, 'k' },    { "seed", required_argument, NULL, 's' },
	{ "provider", required_argument, NULL, 'p' }, { "listen", required_argument, NULL, 'l' },
	{ "host", required_argument, NULL, 'H' },     { "memory", required_argument, NULL, 'M' },
	{ "objects", no_argument, NULL, 'O' },
	{ "help", no_argument, NULL, 'h' },          { "version", no_argument, NULL, 'V' },
	{ NULL, 0, NULL, 0 },
};

static _Noreturn void usage(const char *what, const char *arg)
{
	fprintf(stderr, "nmt_scale: %s%s; see --help\n", what, arg);
	exit(2);
}

static uint64_t number(const char *text, uint64_t max)
{
	char *end;
	unsigned long long n;

	errno = 0;
	n = strtoull(text, &end, 0);
	if (errno || end == text || *end || *text == '-' || n > max)
		usage("not a number that fits: ", text);
	return n;
}

static void set_mode(struct options *opt, const char *text)
{
	opt->records = !strcmp(text, "records");
	if (!strcmp(text, "raw"))
		opt->mode = NMT_MODE_RAW;
	else if (opt->records || !strcmp(text, "negotiated"))
		opt->mode = NMT_MODE_NEGOTIATED;
	else
		usage("no such mode: ", text);
}

static void parse_one(struct options *opt, unsigned int *soak, int c)
{
	switch (c) {
	case 'm':
		set_mode(opt, optarg);
		break;
	case 'n':
		opt->streams = (unsigned int)number(optarg, 1000000);
		break;
	case 'S':
		opt->storm = true;
		break;
	case 'd':
		opt->seconds = (unsigned int)number(optarg, 1000000);
		break;
	case 'k':
		*soak = (unsigned int)number(optarg, 10000000);
		break;
	case 'p':
		opt->provider = optarg;
		break;
	case 'l':
		opt->listen = optarg;
		break;
	case 'H':
		opt->host = optarg;
		break;
	case 'M':
		opt->memory_max = number(optarg, UINT32_MAX);
		break;
	case 'O':
		opt->objects = true;
		break;
	case 's':
		opt->seed = number(optarg, UINT64_MAX);
		break;
	case 'h':
		fputs(help_text, stdout);
		exit(0);
	case 'V':
		printf("nmt_scale %s\n", nmt_version_string());
		exit(0);
	default:
		exit(2);
	}
}

static void parse(struct options *opt, unsigned int *soak, int argc, char **argv)
{
	const char *seed = getenv("NMT_SEED");
	int c;

	opt->seed = seed && *seed ? number(seed, UINT64_MAX) : (uint64_t)now_ns();
	while ((c = getopt_long(argc, argv, "p:m:n:Sd:l:H:M:Os:hV", long_options, NULL)) != -1)
		parse_one(opt, soak, c);
	if (optind < argc)
		usage("unexpected argument: ", argv[optind]);
	if (!opt->streams)
		usage("--streams has to be at least 1", "");
}

/* Descriptors that a process gets; fewer streams where they do not suffice. */
static void fit_descriptors(struct options *opt)
{
	unsigned int each = opt->mode == NMT_MODE_RAW ? 1 : 2;
	rlim_t need = (rlim_t)opt->streams * each + 100;
	struct rlimit lim;

	getrlimit(RLIMIT_NOFILE, &lim);
	lim.rlim_cur = lim.rlim_max;
	setrlimit(RLIMIT_NOFILE, &lim);
	getrlimit(RLIMIT_NOFILE, &lim);
	printf("descriptors: %llu for each process, %llu wanted\n",
	       (unsigned long long)lim.rlim_cur, (unsigned long long)need);
	if (lim.rlim_cur >= need)
		return;
	opt->streams = (unsigned int)((lim.rlim_cur - 100) / each);
	printf("scaled down to %u streams: raise the hard limit (ulimit -Hn) for more\n",
	       opt->streams);
}

/* The network namespace that "ip netns" knows as NAME; NULL: this one. */
static int enter_host(const char *name)
{
	char path[128];
	int fd, ret = 0;

	if (!name)
		return 0;
	snprintf(path, sizeof(path), "/run/netns/%s", name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || setns(fd, CLONE_NEWNET))
		ret = -errno;
	if (fd >= 0)
		close(fd);
	return ret;
}

static pid_t fork_server(const struct options *opt, int addr_pipe[2], int end_pipe[2])
{
	pid_t pid;
	int ret;

	fflush(NULL);
	pid = fork();
	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	close(end_pipe[1]);
	close(addr_pipe[0]);
	ret = enter_host(opt->host);
	if (!ret)
		ret = server_run(opt, addr_pipe[1], end_pipe[0]);
	if (ret)
		fprintf(stderr, "server: %s\n", nmt_strerror(ret));
	fflush(NULL);
	_exit(ret ? 1 : 0);
}

static int run(const struct options *opt)
{
	int addr_pipe[2], end_pipe[2], status = 0, ret = 1;
	char addr[NMT_ADDR_MAX];
	pid_t pid;

	printf("%s: %u streams, %s, seed %llu\n",
	       opt->records ? "records" : opt->mode == NMT_MODE_RAW ? "raw" : "negotiated",
	       opt->streams, opt->storm ? "storm" : "crowd", (unsigned long long)opt->seed);
	if (pipe(addr_pipe) || pipe(end_pipe))
		return 1;
	pid = fork_server(opt, addr_pipe, end_pipe);
	close(addr_pipe[1]);
	close(end_pipe[0]);
	if (read(addr_pipe[0], addr, sizeof(addr)) == sizeof(addr) && addr[0]) {
		ret = client_run(opt, addr);
		if (ret)
			fprintf(stderr, "client: %s\n", nmt_strerror(ret));
	}
	close(end_pipe[1]);
	close(addr_pipe[0]);
	waitpid(pid, &status, 0);
	if (!WIFEXITED(status) || WEXITSTATUS(status))
		fprintf(stderr, "the server process ends with status %#x\n", (unsigned int)status);
	return ret || status ? 1 : 0;
}

static int soak(struct options *opt, unsigned int seconds)
{
	int64_t until = now_ns() + seconds * SEC;
	int ret = 0;

	for (; now_ns() < until && !ret; opt->seed++) {
		opt->storm = !opt->storm;
		ret = run(opt);
	}
	return ret;
}

int main(int argc, char **argv)
{
	struct options opt = { .provider = "tcp", .listen = "127.0.0.1:0", .mode = NMT_MODE_RAW,
			       .streams = 1000, .seconds = 10 };
	unsigned int soak_seconds = 0;

	parse(&opt, &soak_seconds, argc, argv);
	fit_descriptors(&opt);
	return soak_seconds ? soak(&opt, soak_seconds) : run(&opt);
}
