/* SPDX-License-Identifier: BSD-2-Clause */
/* The model: what a side must have seen of a stream, given its plan; and setting a side up. */
#include <stdarg.h>
#include <stdio.h>
#include <dirent.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "scale.h"

int64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * SEC + ts.tv_nsec;
}

void side_fail(struct side *side, uint64_t id, const char *fmt, ...)
{
	char text[200];
	va_list ap;

	if (side->wrong++ >= 10)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	fprintf(stderr, "%s, stream %llu: %s (seed %llu)\n", side->client ? "client" : "server",
		(unsigned long long)id, text, (unsigned long long)side->opt->seed);
}

static const char *fate_name(const struct conn *c)
{
	if (c->plan.fate == FATE_NORMAL)
		return "normal";
	if (c->plan.fate == FATE_CLOSE)
		return c->plan.by_client ? "client closes" : "server closes";
	return c->plan.by_client ? "client aborts" : "server aborts";
}

static void wrong(struct conn *c, const char *what)
{
	side_fail(c->side, c->id,
		  "%s [%s at %llu]: received %llu of %llu, then %d; sent %llu%s; closed with %d",
		  what, fate_name(c), (unsigned long long)c->plan.at, (unsigned long long)c->rx,
		  (unsigned long long)c->plan.len[c->side->client ? 1 : 0], c->rx_status,
		  (unsigned long long)c->tx, c->tx_failed ? " (failed)" : "", c->closed_status);
}

static void judge_normal(struct conn *c)
{
	uint64_t sum;

	if (!c->rx_over || c->rx_status || c->rx != c->plan.len[c->side->client ? 1 : 0])
		wrong(c, "not all bytes, or no orderly end");
	memcpy(&sum, c->tail, DIGEST);
	if (XXH3_64bits_digest(c->rx_sum) != sum)
		wrong(c, "checksum differs");
	if (c->tx_failed || c->closed_status)
		wrong(c, "own direction failed");
}

/*
 * The peer closed in order after plan.at bytes: all of them arrive. What this side sends into the
 * close is answered with a reset, so either end may follow.
 */
static void judge_peer_closed(struct conn *c)
{
	if (c->rx != c->plan.at)
		wrong(c, "bytes sent before the close are missing, or there are more");
	if (c->rx_status && c->rx_status != -ECONNRESET)
		wrong(c, "odd error after the peer's close");
}

/* Never an end of the stream. */
static void judge_peer_aborted(struct conn *c)
{
	if (c->rx > c->plan.at)
		wrong(c, "more bytes than the peer sent");
	if (!c->rx_over || c->rx_status != -ECONNRESET)
		wrong(c, "the abort is no -ECONNRESET");
}

static void judge_own(struct conn *c)
{
	int want = c->plan.fate == FATE_ABORT ? -ECONNABORTED : 0;

	if (c->closed_status != want)
		wrong(c, "NMT_EV_CLOSED tells something else");
}

void verdict(struct conn *c)
{
	struct side *side = c->side;

	side->finished++;
	if (!c->known) {
		/* Only an abort can overtake the number. */
		if (c->rx_status != -ECONNRESET)
			side_fail(side, 0, "a stream without a number ends with %d", c->rx_status);
		return;
	}
	side->odd += c->plan.fate != FATE_NORMAL;
	if (c->plan.fate == FATE_NORMAL)
		judge_normal(c);
	else if (c->ended)
		judge_own(c);
	else if (c->plan.fate == FATE_CLOSE)
		judge_peer_closed(c);
	else
		judge_peer_aborted(c);
}

static void stuck(const struct conn *c)
{
	struct nmt_stream_info info = NMT_STREAM_INFO_INIT;

	if (c->s)
		nmt_stream_info(c->s, &info);
	fprintf(stderr,
		"%s, stream %llu: %s [%s at %llu]: received %llu of %llu%s, sent %llu of %llu%s%s; "
		"state %u, error %d, waits %#x, unsent %llu, unacked %llu, epoch %u, path %s\n",
		c->side->client ? "client" : "server", (unsigned long long)c->id,
		c->s ? "open" : "closing", fate_name(c), (unsigned long long)c->plan.at,
		(unsigned long long)c->rx, (unsigned long long)c->plan.len[c->side->client ? 1 : 0],
		c->rx_over ? " (over)" : "", (unsigned long long)c->tx,
		(unsigned long long)c->plan.len[c->side->client ? 0 : 1], c->tx_over ? " (over)" : "",
		c->borrowing ? " (borrowing)" : "", info.state, info.error, info.waits,
		(unsigned long long)info.unsent, (unsigned long long)info.unacked, info.epoch,
		info.gid[0] ? "up" : "down");
}

void side_stuck(struct side *side)
{
	const struct conn *c = side->conns;

	for (int i = 0; c && i < 10; c = c->next_open, i++)
		stuck(c);
}

struct nmt_stream_attr side_attr(const struct side *side)
{
	struct nmt_stream_attr attr = NMT_STREAM_ATTR_INIT;

	attr.mode = side->opt->mode;
	attr.flags = side->opt->records ? NMT_STREAM_RECORDS : 0;
	attr.linger = 30 * SEC;
	attr.connect_timeout = 50 * SEC;
	attr.handshake_timeout = 50 * SEC;
	attr.max_pending = 8192;
	return attr;
}

static int open_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int n = 0;

	while (dir && readdir(dir))
		n++;
	if (dir)
		closedir(dir);
	return n;
}

unsigned int side_objects(const char *kind)
{
	unsigned int n = 0;
	char cmd[64];
	FILE *f;
	int c;

	snprintf(cmd, sizeof(cmd), "rdma res show %s pid %d", kind, (int)getpid());
	f = popen(cmd, "re");
	while (f && (c = fgetc(f)) != EOF)
		n += c == '\n';
	if (f)
		pclose(f);
	return n;
}

/* What libraries below open once they keep open. */
static int warm_up(const struct options *opt)
{
	struct nmt_domain *dom;
	struct nmt_ctx *ctx;
	int ret = nmt_ctx_open(NULL, &ctx);

	if (ret)
		return ret;
	ret = nmt_domain_open(ctx, opt->provider, NULL, &dom);
	if (!ret)
		nmt_domain_close(dom);
	nmt_ctx_close(ctx);
	return ret;
}

int side_open(struct side *side, const struct options *opt, bool client, unsigned int slots)
{
	struct nmt_domain_attr attr = NMT_DOMAIN_ATTR_INIT;
	int ret = warm_up(opt);

	if (ret)
		return ret;
	*side = (struct side){ .opt = opt, .client = client, .fds = open_fds() };
	attr.cell_size = 8192;
	attr.pool_size = 64 << 20;
	ret = nmt_ctx_open(NULL, &side->ctx);
	if (!ret)
		ret = nmt_domain_open(side->ctx, opt->provider, &attr, &side->dom);
	side->regs = !ret && opt->objects ? side_objects("mr") : 0;
	if (!ret)
		ret = nmt_mr_alloc(side->ctx, NMT_MEM_HOST, (size_t)slots * CHUNK,
				   NMT_ACCESS_SEND, &side->slots);
	if (ret)
		return ret;
	side->free_slot = calloc(slots, sizeof(*side->free_slot));
	if (!side->free_slot)
		return -ENOMEM;
	for (; side->nfree < slots; side->nfree++)
		side->free_slot[side->nfree] = side->nfree;
	return 0;
}

static int left_over(struct side *side, const char *what, uint64_t n)
{
	if (n == 0)
		return 0;
	side_fail(side, 0, "%llu %s left at the end", (unsigned long long)n, what);
	return -EBUSY;
}

#define KEPT 16u /* registrations of a domain's own: shared queues, memory that is sent from */

/* The domain is open yet; a queue pair lives on for a moment, until what it had has come back. */
static int objects_left(struct side *side)
{
	int64_t until = now_ns() + 5 * SEC;
	unsigned int qps = 1, regs;
	int ret = 0;

	while (!ret && qps && now_ns() < until) {
		ret = side_turn(side, 50 * MS);
		qps = side_objects("qp");
	}
	regs = side_objects("mr");
	printf("%s: %u registrations before, %u behind\n", side->client ? "client" : "server",
	       side->regs, regs);
	if (!ret)
		ret = left_over(side, "queue pairs", qps);
	if (!ret && regs > side->regs + KEPT)
		ret = left_over(side, "registrations", regs - side->regs);
	return ret;
}

int side_close(struct side *side)
{
	struct nmt_stats st = NMT_STATS_INIT;
	int ret = nmt_stats(side->dom, NULL, &st);

	if (!ret)
		ret = left_over(side, "streams", st.streams);
	if (!ret)
		ret = left_over(side, "bytes of pool memory in use", st.pool_held);
	if (!ret)
		ret = left_over(side, "reserved bytes of pool memory", st.pool_reserved);
	if (!ret && side->opt->objects)
		ret = objects_left(side);
	nmt_domain_close(side->dom);
	ret = nmt_mr_close(side->slots) ?: ret;
	ret = nmt_ctx_close(side->ctx) ?: ret;
	free(side->free_slot);
	if (!ret && open_fds() > side->fds)
		ret = left_over(side, "descriptors", (uint64_t)(open_fds() - side->fds));
	return ret;
}
