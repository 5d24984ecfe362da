/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * nmt_killed: one domain has streams to two other processes, all with random checked traffic both
 * ways, and one of these is killed. All streams to it have to fail in time, and those to the other
 * one have to go on, undamaged. With -b it dies between two calls of the library: what shares locks with
 * it could hang otherwise (ofi/shm).
 */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <nmt/nmt.h>

#define MS INT64_C(1000000)
#define SEC INT64_C(1000000000)
#define CHUNK 4096u
#define HEAD 4u          /* a client's first bytes: the number of the stream */
#define BURST 64u        /* sends of a turn */
#define SET_UP (60 * SEC)
#define CONNECTING 128u

struct conn {
	struct nmt_stream *s;
	uint32_t id;
	uint8_t head;      /* bytes of it that were received or sent */
	uint8_t peer;      /* 0: the one that is killed; 1: the other one */
	bool open, failed;
	uint64_t tx, rx, mark;
};

struct side {
	struct nmt_ctx *ctx;
	struct nmt_domain *dom;
	struct conn *conn;
	unsigned int n, made, open, failed, wrong;
	bool client;
	uint64_t rng;
};

static int64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * SEC + ts.tv_nsec;
}

static uint32_t rnd(struct side *side)
{
	side->rng ^= side->rng << 13;
	side->rng ^= side->rng >> 7;
	side->rng ^= side->rng << 17;
	return (uint32_t)(side->rng >> 32);
}

static uint8_t byte_at(const struct conn *c, uint64_t pos, bool of_client)
{
	return (uint8_t)((pos ^ pos >> 8) + c->id * 37 + of_client * 101);
}

static void wrong(struct side *side, const struct conn *c, const char *what)
{
	if (side->wrong++ < 10)
		fprintf(stderr, "%s: stream %u: %s at %llu\n", side->client ? "client" : "hub",
			c->id, what, (unsigned long long)c->rx);
}

/* ---- traffic ---- */

static void send_some(struct side *side, struct conn *c)
{
	uint8_t buf[CHUNK];
	uint32_t len = 1 + rnd(side) % CHUNK;
	ssize_t n;

	if (!c->open || c->failed || c->head < HEAD)
		return;
	for (uint32_t i = 0; i < len; i++)
		buf[i] = byte_at(c, c->tx + i, side->client);
	n = nmt_send(c->s, buf, len, 0);
	if (n > 0)
		c->tx += (uint64_t)n;
}

static void send_head(struct conn *c)
{
	if (nmt_send(c->s, &c->id, HEAD, 0) == HEAD)
		c->head = HEAD;
}

static const uint8_t *take_head(struct side *side, struct conn *c, const uint8_t *p,
				const uint8_t *end)
{
	while (!side->client && c->head < HEAD && p < end)
		((uint8_t *)&c->id)[c->head++] = *p++;
	return p;
}

static void receive(struct side *side, struct conn *c)
{
	uint8_t buf[4 * CHUNK];
	ssize_t n;

	while ((n = nmt_recv(c->s, buf, sizeof(buf), 0)) > 0) {
		const uint8_t *end = buf + n, *p = take_head(side, c, buf, end);

		for (; p < end; p++, c->rx++)
			if (*p != byte_at(c, c->rx, !side->client)) {
				wrong(side, c, "a byte that was not sent");
				return;
			}
	}
}

static void on_failed(struct side *side, struct conn *c)
{
	if (c->failed)
		return;
	c->failed = true;
	side->failed++;
	if (c->peer == 1 || side->client)
		wrong(side, c, "failed");
}

static void accept_all(struct side *side, struct nmt_listener *l, uint8_t peer)
{
	while (side->made < side->n) {
		struct conn *c = &side->conn[side->made];

		if (nmt_accept(l, NULL, &c->s))
			return;
		nmt_stream_set_user(c->s, c);
		c->peer = peer;
		side->made++;
	}
}

static void on_event(struct side *side, const struct nmt_event *ev)
{
	struct conn *c = ev->user;

	switch (ev->type) {
	case NMT_EV_ACCEPT:
		accept_all(side, ev->listener, (uint8_t)(uintptr_t)ev->user);
		break;
	case NMT_EV_CONNECTED:
		c->open = true;
		side->open++;
		if (side->client)
			send_head(c);
		break;
	case NMT_EV_READABLE:
		receive(side, c);
		break;
	case NMT_EV_ERROR:
		on_failed(side, c);
		break;
	default:
		break;
	}
}

static void turn(struct side *side, bool sends)
{
	struct nmt_event ev[64];
	int n = nmt_poll(side->dom, ev, 64, MS);

	for (int i = 0; i < n; i++)
		on_event(side, &ev[i]);
	for (unsigned int i = 0; i < BURST && sends && side->made; i++)
		send_some(side, &side->conn[rnd(side) % side->made]);
}

static int side_open(struct side *side, const char *provider, unsigned int n, bool client)
{
	struct nmt_domain_attr attr = NMT_DOMAIN_ATTR_INIT;
	int rc;

	*side = (struct side){ .n = n, .client = client, .rng = 88172645463325252u + client };
	side->conn = calloc(n, sizeof(*side->conn));
	attr.cell_size = 8192;
	attr.pool_size = 128 << 20;
	rc = side->conn ? nmt_ctx_open(NULL, &side->ctx) : -ENOMEM;
	return rc ? rc : nmt_domain_open(side->ctx, provider, &attr, &side->dom);
}

static int64_t recovery; /* time-out of the control channel; 0: the default */
static bool between_calls;
static volatile sig_atomic_t dies;

static struct nmt_stream_attr stream_attr(void)
{
	struct nmt_stream_attr attr = NMT_STREAM_ATTR_INIT;

	attr.recovery_timeout = recovery;
	attr.mode = NMT_MODE_NEGOTIATED;
	attr.connect_timeout = attr.handshake_timeout = SET_UP;
	attr.max_pending = 8192;
	return attr;
}

/* ---- a client, until it is killed ---- */

static int connect_all(struct side *side, const char *addr)
{
	struct nmt_stream_attr attr = stream_attr();
	int rc = 0;

	while (side->open < side->n && !rc && !side->failed) {
		while (side->made < side->n && side->made - side->open < CONNECTING && !rc) {
			struct conn *c = &side->conn[side->made];

			c->id = side->made++;
			attr.user = c;
			rc = nmt_connect(side->dom, addr, &attr, &c->s);
		}
		turn(side, false);
	}
	return rc;
}

static void on_signal(int number)
{
	(void)number;
	dies = 1;
}

static _Noreturn void client(const char *provider, unsigned int n, int addr_fd)
{
	char addr[NMT_ADDR_MAX];
	struct side side;
	int rc;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	signal(SIGUSR1, on_signal);
	if (read(addr_fd, addr, sizeof(addr)) != sizeof(addr))
		_exit(1);
	rc = side_open(&side, provider, n, true);
	if (!rc)
		rc = connect_all(&side, addr);
	if (rc)
		fprintf(stderr, "client: %s\n", nmt_strerror(rc));
	while (!rc && !side.wrong && !dies)
		turn(&side, true);
	if (dies)
		raise(SIGKILL);
	_exit(1);
}

struct peer {
	pid_t pid;
	int fd; /* to tell it the address */
	struct nmt_listener *l;
};

static int start(struct peer *p, const char *provider, unsigned int n)
{
	int fds[2];

	if (pipe(fds))
		return -errno;
	fflush(NULL);
	p->pid = fork();
	if (!p->pid) {
		close(fds[1]);
		client(provider, n, fds[0]);
	}
	close(fds[0]);
	p->fd = fds[1];
	return p->pid < 0 ? -errno : 0;
}

static int listen_for(struct side *hub, struct peer *p, uintptr_t number)
{
	struct nmt_stream_attr attr = stream_attr();
	char addr[NMT_ADDR_MAX] = "";
	int rc;

	attr.user = (void *)number;
	rc = nmt_listen(hub->dom, "127.0.0.1:0", &attr, &p->l);
	if (!rc)
		rc = nmt_listener_addr(p->l, addr, sizeof(addr));
	if (!rc && write(p->fd, addr, sizeof(addr)) != sizeof(addr))
		rc = -EPIPE;
	return rc;
}

static void stop(struct peer *p)
{
	int status;

	if (p->pid <= 0)
		return;
	kill(p->pid, between_calls ? SIGUSR1 : SIGKILL);
	waitpid(p->pid, &status, 0);
	p->pid = 0;
}

/* ---- the hub ---- */

static void mark(struct side *hub)
{
	for (unsigned int i = 0; i < hub->n; i++)
		hub->conn[i].mark = hub->conn[i].rx;
}

/* Streams to PEER that have received since mark(). */
static unsigned int moved(const struct side *hub, uint8_t peer)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < hub->n; i++)
		n += hub->conn[i].peer == peer && hub->conn[i].rx > hub->conn[i].mark;
	return n;
}

/* Go on until all streams to PEER have moved. */
static bool all_move(struct side *hub, uint8_t peer, int64_t limit)
{
	int64_t end = now_ns() + limit;

	mark(hub);
	for (int i = 0; moved(hub, peer) < hub->n / 2 && now_ns() < end && !hub->wrong; i++)
		for (int k = 0; k < 100; k++)
			turn(hub, true);
	return moved(hub, peer) == hub->n / 2;
}

static int run(struct side *hub, struct peer *p, int64_t patience)
{
	int64_t end = now_ns() + SET_UP, killed;

	while (hub->open < hub->n && now_ns() < end)
		turn(hub, false);
	printf("%u of %u streams are open\n", hub->open, hub->n);
	if (hub->open < hub->n || !all_move(hub, 0, SET_UP) || !all_move(hub, 1, SET_UP)) {
		fprintf(stderr, "traffic does not get going\n");
		return 1;
	}
	stop(&p[0]);
	killed = now_ns();
	while (hub->failed < hub->n / 2 && now_ns() - killed < patience)
		turn(hub, true);
	printf("%u streams failed within %.2f s\n", hub->failed,
	       (double)(now_ns() - killed) / 1e9);
	if (hub->failed != hub->n / 2)
		fprintf(stderr, "%u streams should have\n", hub->n / 2);
	else if (!all_move(hub, 1, SET_UP))
		fprintf(stderr, "only %u of the other streams go on\n", moved(hub, 1));
	else
		return hub->wrong ? 1 : 0;
	return 1;
}

static int hub_run(const char *provider, unsigned int n, int64_t patience)
{
	struct peer p[2] = { { .pid = 0 } };
	struct side hub;
	int rc = start(&p[0], provider, n / 2);

	if (!rc)
		rc = start(&p[1], provider, n / 2);
	if (!rc)
		rc = side_open(&hub, provider, n, false);
	for (uintptr_t i = 0; i < 2 && !rc; i++)
		rc = listen_for(&hub, &p[i], i);
	if (rc)
		fprintf(stderr, "hub: %s\n", nmt_strerror(rc));
	else
		rc = run(&hub, p, patience);
	stop(&p[0]);
	stop(&p[1]);
	return rc ? 1 : 0;
}

int main(int argc, char **argv)
{
	const char *provider = "tcp";
	unsigned int n = 200, patience = 20;
	struct rlimit lim;
	int c;

	while ((c = getopt(argc, argv, "p:n:t:r:b")) != -1) {
		if (c == 'p')
			provider = optarg;
		else if (c == 'n')
			n = (unsigned int)atoi(optarg);
		else if (c == 't')
			patience = (unsigned int)atoi(optarg);
		else if (c == 'r')
			recovery = atoi(optarg) * SEC;
		else if (c == 'b')
			between_calls = true;
		else
			return 2;
	}
	getrlimit(RLIMIT_NOFILE, &lim);
	lim.rlim_cur = lim.rlim_max;
	setrlimit(RLIMIT_NOFILE, &lim);
	return hub_run(provider, n, patience * SEC);
}
