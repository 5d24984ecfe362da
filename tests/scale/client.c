/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The client process. A crowd: open all streams, then let all of them carry traffic until each has
 * ended. A storm: keep so many open for some seconds, each with another fate.
 */
#include <stdlib.h>

#include "scale.h"

#define CONNECTING_MAX 256u

struct client {
	struct side side;
	const char *addr;
	struct nmt_stream_attr attr;
	uint64_t next;
	struct conn **waiting; /* crowd: connected, not started */
	unsigned int nwaiting;
	unsigned int connecting;
	bool started;
	uint64_t machine; /* KiB available before */
};

static struct client *client_of(struct side *side)
{
	return (struct client *)side;
}

static int on_event(struct side *side, const struct nmt_event *ev)
{
	struct client *cl = client_of(side);
	struct conn *c = ev->user;

	cl->connecting--;
	if (cl->started)
		conn_start(c);
	else
		cl->waiting[cl->nwaiting++] = c;
	return 0;
}

static int open_one(struct client *cl)
{
	struct conn *c = conn_new(&cl->side, cl->next++);
	int ret;

	if (!c)
		return -ENOMEM;
	cl->attr.user = c;
	ret = nmt_connect(cl->side.dom, cl->addr, &cl->attr, &c->s);
	if (ret) {
		fprintf(stderr, "client: nmt_connect: %s\n", nmt_strerror(ret));
		cl->side.open--;
		conn_free(c);
		return ret;
	}
	cl->connecting++;
	return 0;
}

/* KiB that the whole machine has left. */
static uint64_t machine_memory(void)
{
	FILE *f = fopen("/proc/meminfo", "re");
	unsigned long long kib = 0;
	char line[128];

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "MemAvailable: %llu kB", &kib) == 1)
			break;
	if (f)
		fclose(f);
	return kib;
}

/* What idle streams take. The machine's part is that of both ends, and of whatever else runs. */
static void memory_check(struct client *cl)
{
	struct nmt_stats st = NMT_STATS_INIT;
	uint64_t each;

	nmt_stats(cl->side.dom, NULL, &st);
	each = st.stream_memory / cl->nwaiting;
	printf("client: an idle stream has %llu bytes of library memory; the machine has %lld KiB a "
	       "stream less\n", (unsigned long long)each,
	       ((long long)cl->machine - (long long)machine_memory()) / (long long)cl->nwaiting);
	if (cl->side.opt->memory_max && each > cl->side.opt->memory_max)
		side_fail(&cl->side, 0, "%llu bytes of memory an idle stream, more than %llu",
			  (unsigned long long)each,
			  (unsigned long long)cl->side.opt->memory_max);
}

/* Each has a queue pair, or they are not counted. */
static void objects_check(struct client *cl)
{
	unsigned int n = cl->side.opt->objects ? side_objects("qp") : cl->nwaiting;

	if (n < cl->nwaiting)
		side_fail(&cl->side, 0, "%u queue pairs of %u streams", n, cl->nwaiting);
}

static void start_all(struct client *cl, int64_t began)
{
	printf("client: %u streams open after %.1f s\n", cl->nwaiting,
	       (double)(now_ns() - began) / 1e9);
	memory_check(cl);
	objects_check(cl);
	fflush(stdout);
	cl->started = true;
	for (unsigned int i = 0; i < cl->nwaiting && !cl->side.wrong; i++)
		conn_start(cl->waiting[i]);
}

static int crowd(struct client *cl, int64_t began)
{
	unsigned int n = cl->side.opt->streams;
	int64_t limit = began + 80 * SEC;
	int ret = 0;

	while (!ret && (cl->next < n || cl->side.open)) {
		while (!ret && cl->next < n && cl->connecting < CONNECTING_MAX)
			ret = open_one(cl);
		if (!cl->started && cl->nwaiting == n)
			start_all(cl, began);
		if (!ret)
			ret = side_turn(&cl->side, 50 * MS);
		if (now_ns() > limit) {
			side_fail(&cl->side, 0, "time is over with %u streams open (%u connected)",
				  cl->side.open, cl->nwaiting);
			side_stuck(&cl->side);
			return -ETIMEDOUT;
		}
	}
	return ret;
}

static int storm(struct client *cl, int64_t began)
{
	int64_t until = began + cl->side.opt->seconds * SEC, limit = until + 30 * SEC;
	int ret = 0;

	cl->started = true;
	while (!ret && (now_ns() < until || cl->side.open)) {
		while (!ret && now_ns() < until && cl->side.open < cl->side.opt->streams)
			ret = open_one(cl);
		if (!ret)
			ret = side_turn(&cl->side, 50 * MS);
		if (now_ns() > limit) {
			side_fail(&cl->side, 0, "%u streams never ended", cl->side.open);
			side_stuck(&cl->side);
			return -ETIMEDOUT;
		}
	}
	return ret;
}

int client_run(const struct options *opt, const char *addr)
{
	struct client cl = { .addr = addr, .machine = machine_memory() };
	int64_t began = now_ns();
	int ret = side_open(&cl.side, opt, true, 2048);

	if (ret)
		return ret;
	cl.waiting = calloc(opt->streams, sizeof(*cl.waiting));
	cl.attr = side_attr(&cl.side);
	cl.side.on_event = on_event;
	ret = opt->storm ? storm(&cl, began) : crowd(&cl, began);
	printf("client: %llu streams ended, %llu of them early by plan, %llu MiB sent, %llu wrong, "
	       "%.1f s\n",
	       (unsigned long long)cl.side.finished, (unsigned long long)cl.side.odd,
	       (unsigned long long)(cl.side.bytes >> 20), (unsigned long long)cl.side.wrong,
	       (double)(now_ns() - began) / 1e9);
	if (!ret && !cl.side.open)
		ret = side_close(&cl.side);
	free(cl.waiting);
	return cl.side.wrong ? -EBADMSG : ret;
}
