/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * nmt_idle: what many idle streams of libnmt cost in memory. A server process and a client process
 * open some streams, look at their own memory, open many more, let them rest, and look again. Asked
 * of the C library and the kernel, not of libnmt: heap bytes in use, and anonymous resident memory.
 */
#include <errno.h>
#include <getopt.h>
#include <malloc.h>
#include <nmt/nmt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define FIRST 128     /* streams that are there before the first look */
#define CONNECTING 64 /* at a time */
#define GIVE_UP INT64_C(60000000000)

struct options {
	const char *provider;
	uint32_t mode, streams;
	bool use; /* move a message each way on every stream, then let it rest */
};

struct memory {
	uint64_t heap, resident;
};

struct end {
	const struct options *o;
	struct nmt_ctx *ctx;
	struct nmt_domain *dom;
	struct nmt_listener *listener;
	struct nmt_stream **streams;
	uint32_t made, open, heard, all;
	int link; /* to the other process */
};

static _Noreturn void die(const char *what, int err)
{
	fprintf(stderr, "nmt_idle: %s: %s\n", what, nmt_strerror(err));
	exit(1);
}

static void must(const char *what, int err)
{
	if (err < 0)
		die(what, err);
}

/* ---- looking ---- */

static uint64_t resident_bytes(void)
{
	FILE *f = fopen("/proc/self/smaps_rollup", "r");
	unsigned long long kib = 0;
	char line[256];

	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "Anonymous: %llu kB", &kib) == 1)
			break;
	}
	if (!f || !kib)
		die("/proc/self/smaps_rollup", -EIO);
	fclose(f);
	return kib * 1024;
}

static void look(struct memory *m)
{
	struct mallinfo2 info = mallinfo2();

	m->heap = info.uordblks + info.hblkhd;
	m->resident = resident_bytes();
}

/* ---- the two processes in step ---- */

static void say(const struct end *e, const void *what, size_t len)
{
	if (write(e->link, what, len) != (ssize_t)len)
		die("the other process", -EPIPE);
}

static void hear(const struct end *e, void *what, size_t len)
{
	if (read(e->link, what, len) != (ssize_t)len)
		die("the other process", -EPIPE);
}

static void meet(const struct end *e)
{
	char c = 0;

	say(e, &c, 1);
	hear(e, &c, 1);
}

/* ---- streams ---- */

static void open_end(struct end *e, const struct options *o, int link)
{
	*e = (struct end){ .o = o, .link = link, .all = o->streams + FIRST };
	must("nmt_ctx_open", nmt_ctx_open(NULL, &e->ctx));
	must("nmt_domain_open", nmt_domain_open(e->ctx, o->provider, NULL, &e->dom));
	e->streams = malloc(e->all * sizeof(*e->streams));
	if (!e->streams)
		die("memory", -ENOMEM);
	memset(e->streams, 0xff, e->all * sizeof(*e->streams));
}

static void accept_some(struct end *e, uint32_t until)
{
	int err = 0;

	while (e->made < until && (err = nmt_accept(e->listener, NULL, &e->streams[e->made])) == 0)
		e->made++;
	if (err != -EAGAIN)
		must("nmt_accept", err);
}

static void take(struct end *e, const struct nmt_event *ev, uint32_t until)
{
	char buf[64];

	if (ev->type == NMT_EV_ACCEPT)
		accept_some(e, until);
	else if (ev->type == NMT_EV_CONNECTED)
		e->open++;
	else if (ev->type == NMT_EV_ERROR)
		die("a stream", ev->status);
	else if (ev->type == NMT_EV_READABLE && nmt_recv(ev->stream, buf, sizeof(buf), 0) > 0)
		e->heard++;
}

static void progress(struct end *e, uint32_t until)
{
	struct nmt_event ev[64];
	int n = nmt_poll(e->dom, ev, 64, GIVE_UP);

	if (n <= 0)
		die("waiting for streams", n < 0 ? n : -ETIMEDOUT);
	for (int i = 0; i < n; i++)
		take(e, &ev[i], until);
}

/* The server has the listener; the client connects a few at a time. */
static void open_until(struct end *e, const char *addr, uint32_t until)
{
	struct nmt_stream_attr attr = NMT_STREAM_ATTR_INIT;

	attr.mode = e->o->mode;
	if (e->listener)
		accept_some(e, until); /* an event may have been for the streams before */
	while (e->open < until) {
		while (!e->listener && e->made < until && e->made - e->open < CONNECTING) {
			must("nmt_connect", nmt_connect(e->dom, addr, &attr, &e->streams[e->made]));
			e->made++;
		}
		progress(e, until);
	}
}

static void use_streams(struct end *e)
{
	char buf[64] = { 0 };

	for (uint32_t i = 0; i < e->made; i++) {
		if (nmt_send(e->streams[i], buf, sizeof(buf), 0) != sizeof(buf))
			die("nmt_send", -EAGAIN);
	}
	while (e->heard < e->made)
		progress(e, e->made);
	e->heard = 0;
}

/* Open, look, open more, look: bytes for all of the streams that were opened in between. */
static struct memory measure(struct end *e, const char *addr)
{
	struct memory before, after;

	open_until(e, addr, FIRST);
	meet(e);
	if (e->o->use)
		use_streams(e);
	meet(e);
	look(&before);
	meet(e);
	open_until(e, addr, e->all);
	meet(e);
	if (e->o->use)
		use_streams(e);
	meet(e);
	look(&after);
	meet(e);
	after.heap -= before.heap;
	after.resident -= before.resident;
	return after;
}

static void serve(const struct options *o, int link)
{
	struct nmt_stream_attr attr = NMT_STREAM_ATTR_INIT;
	char addr[NMT_ADDR_MAX];
	struct memory m;
	struct end e;

	open_end(&e, o, link);
	attr.mode = o->mode;
	must("nmt_listen", nmt_listen(e.dom, "127.0.0.1:0", &attr, &e.listener));
	must("nmt_listener_addr", nmt_listener_addr(e.listener, addr, sizeof(addr)));
	say(&e, addr, sizeof(addr));
	m = measure(&e, addr);
	say(&e, &m, sizeof(m));
	_exit(0);
}

/* ---- command line ---- */

static void parse(int argc, char **argv, struct options *o)
{
	static const struct option options[] = {
		{ "provider", required_argument, NULL, 'p' },
		{ "negotiated", no_argument, NULL, 'g' },
		{ "streams", required_argument, NULL, 'q' },
		{ "use", no_argument, NULL, 'u' },
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' },
		{ NULL, 0, NULL, 0 },
	};
	int code;

	while ((code = getopt_long(argc, argv, "hV", options, NULL)) >= 0) {
		if (code == 'p') {
			o->provider = optarg;
		} else if (code == 'g') {
			o->mode = NMT_MODE_NEGOTIATED;
		} else if (code == 'q') {
			o->streams = (uint32_t)atoi(optarg);
		} else if (code == 'u') {
			o->use = true;
		} else if (code == 'V') {
			printf("nmt_idle %s\n", nmt_version_string());
			exit(0);
		} else {
			printf("Usage: nmt_idle [--streams N] [--provider tcp] [--negotiated] [--use]\n"
			       "Memory of N (10000) idle streams at both ends, as one line of JSON.\n"
			       "--use: after a message each way on every stream.\n");
			exit(code == 'h' ? 0 : 2);
		}
	}
	if (o->streams < 1 || o->streams > 1000000 || optind != argc) {
		fprintf(stderr, "nmt_idle: --streams is from 1 to 1000000; see --help\n");
		exit(2);
	}
}

static void raise_limit(uint32_t need)
{
	struct rlimit lim;

	getrlimit(RLIMIT_NOFILE, &lim);
	if (lim.rlim_cur >= need)
		return;
	lim.rlim_cur = need;
	if (lim.rlim_max < need)
		lim.rlim_max = need;
	if (setrlimit(RLIMIT_NOFILE, &lim) < 0)
		die("the limit of open files is too low (ulimit -n)", -errno);
}

static void print(const char *name, const struct memory *m, uint32_t n)
{
	printf(", \"%s\": {\"heap\": %.1f, \"resident\": %.1f}", name, (double)m->heap / n,
	       (double)m->resident / n);
}

int main(int argc, char **argv)
{
	struct options o = { .provider = "tcp", .mode = NMT_MODE_RAW, .streams = 10000 };
	struct memory client, server;
	char addr[NMT_ADDR_MAX];
	struct end e;
	int link[2];

	parse(argc, argv, &o);
	/* A negotiated stream has a control channel too. */
	raise_limit((o.mode == NMT_MODE_RAW ? 1 : 2) * (o.streams + FIRST) + 200);
	must("socketpair", socketpair(AF_UNIX, SOCK_STREAM, 0, link) < 0 ? -errno : 0);
	if (fork() == 0) {
		close(link[0]);
		serve(&o, link[1]);
	}
	close(link[1]);
	open_end(&e, &o, link[0]);
	hear(&e, addr, sizeof(addr));
	client = measure(&e, addr);
	hear(&e, &server, sizeof(server));
	printf("{\"streams\": %u", o.streams);
	print("client", &client, o.streams);
	print("server", &server, o.streams);
	printf("}\n");
	fflush(stdout);
	_exit(0);
}
