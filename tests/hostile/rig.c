/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The victim's side of the hostile-peer tests; see rig.h.
 */
#include "rig.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

const char *rig_spec = "tcp";

struct CMUnitTest rig_test(const char *name, CMUnitTestFunction fn, const void *state)
{
	return (struct CMUnitTest){ .name = name, .test_func = fn, .initial_state = (void *)state };
}

int rig_run_tests(int argc, char **argv, const struct CMUnitTest *tests, size_t n)
{
	if (argc > 1)
		rig_spec = argv[1];
	if (argc > 2)
		cmocka_set_test_filter(argv[2]);
	return _cmocka_run_group_tests("hostile", tests, n, NULL, NULL);
}

int64_t rig_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * INT64_C(1000000000) + ts.tv_nsec;
}

/* ---- one side ------------------------------------------------------------------------------- */

void side_init(struct side *s)
{
	*s = (struct side){ .recv_result = NO_RESULT, .reading = true };
}

uint8_t side_byte(uint8_t seed, uint64_t pos)
{
	return (uint8_t)(seed + pos * 7 + (pos >> 8) * 13 + (pos >> 16));
}

static void verify(struct side *s, const uint8_t *buf, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (buf[i] != side_byte(s->seed, s->received + i))
			s->corrupt = true;
	s->received += len;
}

/* Take what is there. */
static void side_read(struct side *s)
{
	uint8_t buf[16384];
	struct iovec iov = { buf, sizeof(buf) };
	ssize_t n;
	int flags;

	while (s->reading && s->stream && s->recv_result == NO_RESULT) {
		flags = 0;
		n = nmt_recvmsg(s->stream, &iov, 1, 0, &flags);
		if (n == -EAGAIN)
			return;
		if (n > 0)
			verify(s, buf, (size_t)n);
		else if (!(flags & MSG_EOR))
			s->recv_result = (int)n;
	}
}

static void side_event(struct side *s, const struct nmt_event *ev)
{
	switch (ev->type) {
	case NMT_EV_CONNECTED:
		assert_int_equal(ev->status, 0);
		s->connected = true;
		break;
	case NMT_EV_READABLE:
		side_read(s);
		break;
	case NMT_EV_ERROR:
		assert_true(ev->status < 0);
		s->error = ev->status;
		break;
	case NMT_EV_CLOSED:
		s->closed = true;
		s->close_status = ev->status;
		break;
	case NMT_EV_SENT:
		s->sent_events++;
		s->sent_failed += ev->status < 0;
		break;
	case NMT_EV_RECEIVED:
		s->received_events++;
		s->received_failed += ev->status < 0;
		break;
	default:
		break;
	}
}

void side_close(struct rig *r, struct side *s)
{
	if (!s->stream)
		return;
	assert_int_equal(nmt_close(s->stream), 0);
	s->stream = NULL;
	assert_true(rig_until(r, &s->closed, REACT_MS));
}

int side_await_error(struct rig *r, struct side *s, int ms)
{
	int64_t end = rig_now() + ms * MS;

	while (!s->error && rig_now() < end)
		rig_turn(r);
	if (s->error && s->recv_result < 0)
		assert_int_equal(s->recv_result, s->error);
	return s->error;
}

/* ---- time ----------------------------------------------------------------------------------- */

void rig_accept(struct rig *r)
{
	struct nmt_stream *stream;
	int err;

	if (r->no_accept)
		return;
	while (!(err = nmt_accept(r->listener, r->accept_domain, &stream))) {
		struct side *s = r->accept_into;

		if (!s) {
			r->surprises += !r->drop_accepted;
			nmt_abort(stream);
			continue;
		}
		r->accept_into = NULL;
		s->stream = stream;
		nmt_stream_set_user(stream, s);
	}
	assert_int_equal(err, -EAGAIN);
}

static void rig_poll(struct rig *r, struct nmt_domain *dom, int64_t timeout)
{
	struct nmt_event ev[16];
	int n = nmt_poll(dom, ev, ARRAY_SIZE(ev), timeout);

	assert_true(n >= 0);
	for (int i = 0; i < n; i++) {
		if (ev[i].type == NMT_EV_ACCEPT)
			rig_accept(r);
		else if (ev[i].user)
			side_event(ev[i].user, &ev[i]);
	}
}

void rig_turn(struct rig *r)
{
	if (r->server)
		rig_poll(r, r->server, MS / 4);
	rig_poll(r, r->client, r->server ? 0 : MS / 4);
	assert_int_equal(r->surprises, 0);
}

void rig_run(struct rig *r, int ms)
{
	int64_t end = rig_now() + ms * MS;

	do {
		rig_turn(r);
	} while (rig_now() < end);
}

bool rig_until(struct rig *r, const bool *done, int ms)
{
	int64_t end = rig_now() + ms * MS;

	while (!*done && rig_now() < end)
		rig_turn(r);
	return *done;
}

/* ---- pairs ---------------------------------------------------------------------------------- */

struct nmt_stream_attr rig_attr(const struct rig *r, struct side *side)
{
	struct nmt_stream_attr attr = NMT_STREAM_ATTR_INIT;

	attr.mode = NMT_MODE_NEGOTIATED;
	attr.flags = r->flags;
	attr.connect_timeout = 30000 * MS;
	attr.linger = 5000 * MS;
	attr.rails = r->rails;
	attr.user = side;
	return attr;
}

void pair_open(struct rig *r, struct pair *p)
{
	struct nmt_stream_attr attr = rig_attr(r, &p->client);

	side_init(&p->client);
	side_init(&p->server);
	p->server.seed = 17;
	p->client.seed = 99;
	assert_null(r->accept_into);
	r->accept_into = &p->server;
	assert_int_equal(nmt_connect(r->client, r->addr, &attr, &p->client.stream), 0);
	if (!rig_until(r, &p->client.connected, 6000) || !rig_until(r, &p->server.connected, 6000))
		fail_msg("a good pair does not connect: client error %d, server error %d",
			 p->client.error, p->server.error);
}

/* Send from SIDE until it has sent TOTAL or there is no room; SEED is the receiver's. */
static void side_send(struct side *s, uint8_t seed, uint64_t total)
{
	uint8_t buf[16384];

	while (s->sent < total) {
		size_t len = total - s->sent < sizeof(buf) ? total - s->sent : sizeof(buf);
		ssize_t n;

		for (size_t i = 0; i < len; i++)
			buf[i] = side_byte(seed, s->sent + i);
		n = nmt_send(s->stream, buf, len, 0);
		if (n == -EAGAIN)
			return;
		assert_true(n > 0);
		s->sent += (uint64_t)n;
	}
}

void pair_move(struct rig *r, struct pair *p, uint64_t len)
{
	uint64_t there = p->client.sent + len, back = p->server.sent + len / 16;
	int64_t end = rig_now() + 10000 * MS;

	while (p->server.received < there || p->client.received < back) {
		side_send(&p->client, p->server.seed, there);
		side_send(&p->server, p->client.seed, back);
		rig_turn(r);
		if (rig_now() > end)
			fail_msg("a good pair is stuck: %llu of %llu there, %llu of %llu back",
				 (unsigned long long)p->server.received, (unsigned long long)there,
				 (unsigned long long)p->client.received, (unsigned long long)back);
	}
	assert_false(p->client.corrupt);
	assert_false(p->server.corrupt);
	assert_int_equal(p->server.received, there);
	assert_int_equal(p->client.received, back);
	assert_int_equal(p->server.error, 0);
	assert_int_equal(p->client.error, 0);
}

void pair_close(struct rig *r, struct pair *p)
{
	assert_int_equal(nmt_close(p->client.stream), 0);
	assert_int_equal(nmt_close(p->server.stream), 0);
	p->client.stream = NULL;
	p->server.stream = NULL;
	assert_true(rig_until(r, &p->client.closed, REACT_MS));
	assert_true(rig_until(r, &p->server.closed, REACT_MS));
	assert_int_equal(p->client.close_status, 0);
	assert_int_equal(p->server.close_status, 0);
}

void rig_prove(struct rig *r)
{
	struct pair fresh;

	pair_move(r, &r->good, MIB);
	pair_open(r, &fresh);
	pair_move(r, &fresh, MIB);
	pair_close(r, &fresh);
}

/* ---- counts --------------------------------------------------------------------------------- */

static int count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int n = 0;

	assert_non_null(dir);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

static void add_counts(struct counts *c, const struct nmt_domain *dom)
{
	struct nmt_stats st = NMT_STATS_INIT;

	assert_int_equal(nmt_stats(dom, NULL, &st), 0);
	c->streams += st.streams;
	c->held += st.pool_held;
	c->reserved += st.pool_reserved;
	c->memory += st.stream_memory;
}

struct counts rig_counts(const struct rig *r)
{
	struct counts c = { .fds = count_fds() };

	add_counts(&c, r->server);
	add_counts(&c, r->client);
	return c;
}

/* What the good stream grows once, it keeps. */
static void warm_up(struct rig *r)
{
	uint64_t before;

	do {
		before = rig_counts(r).memory;
		for (int i = 0; i < 4; i++)
			pair_move(r, &r->good, MIB);
	} while (rig_counts(r).memory != before);
}

void rig_settle(struct rig *r, const struct counts *before)
{
	int64_t end = rig_now() + REACT_MS * MS;
	struct counts now = rig_counts(r);

	while (memcmp(&now, before, sizeof(now)) && rig_now() < end) {
		rig_turn(r);
		now = rig_counts(r);
	}
	assert_int_equal(now.fds, before->fds);
	assert_int_equal(now.streams, before->streams);
	assert_int_equal(now.held, before->held);
	assert_int_equal(now.reserved, before->reserved);
	assert_int_equal(now.memory, before->memory);
}

uint64_t rig_declined(const struct rig *r)
{
	struct nmt_stats st = NMT_STATS_INIT;

	assert_int_equal(nmt_stats(r->server, NULL, &st), 0);
	return st.declined;
}

void rig_expect_declined(struct rig *r, uint64_t count, int ms)
{
	int64_t end = rig_now() + ms * MS;

	while (rig_declined(r) < count && rig_now() < end)
		rig_turn(r);
	assert_int_equal(rig_declined(r), count);
}

/* ---- open and close -------------------------------------------------------------------------- */

static void open_domain(struct rig *r, const char *spec, struct nmt_domain **dom)
{
	struct nmt_domain_attr attr = NMT_DOMAIN_ATTR_INIT;

	attr.spin_ns = -1;
	attr.pool_size = 8 * MIB;
	attr.cell_size = 32768;
	assert_int_equal(nmt_domain_open(r->ctx, spec, &attr, dom), 0);
}

static void open_listener(struct rig *r, const struct rig_options *opt)
{
	struct nmt_stream_attr attr = rig_attr(r, NULL);

	if (opt->listener_mode)
		attr.mode = opt->listener_mode;
	attr.max_pending = opt->max_pending;
	attr.backlog = opt->backlog;
	attr.handshake_timeout = opt->handshake_timeout ? opt->handshake_timeout : 60000 * MS;
	assert_int_equal(nmt_listen(r->server, "127.0.0.1:0", &attr, &r->listener), 0);
	assert_int_equal(nmt_listener_addr(r->listener, r->addr, sizeof(r->addr)), 0);
}

void rig_open(struct rig *r, const struct rig_options *opt)
{
	static const struct rig_options none;
	struct nmt_ctx_attr attr = NMT_CTX_ATTR_INIT;

	if (!opt)
		opt = &none;
	*r = (struct rig){ .flags = opt->flags, .rails = opt->rails };
	/* the attacks would fill the log with what is expected here */
	attr.log_level = getenv("NMT_LOG") ? 0 : NMT_LOG_NONE + 1;
	assert_int_equal(nmt_ctx_open(&attr, &r->ctx), 0);
	if (opt->add)
		assert_int_equal(opt->add(r->ctx), 0);
	assert_int_equal(nmt_mr_alloc(r->ctx, NMT_MEM_HOST, 65536, NMT_ACCESS_ALL, &r->mr), 0);
	open_domain(r, opt->spec ? opt->spec : rig_spec, &r->server);
	open_domain(r, opt->spec ? opt->spec : rig_spec, &r->client);
	open_listener(r, opt);
	pair_open(r, &r->good);
	warm_up(r);
}

void rig_close(struct rig *r)
{
	if (r->good.client.stream)
		pair_close(r, &r->good);
	if (r->listener)
		assert_int_equal(nmt_listener_close(r->listener), 0);
	assert_int_equal(nmt_domain_close(r->client), 0);
	if (r->server)
		assert_int_equal(nmt_domain_close(r->server), 0);
	assert_int_equal(nmt_mr_close(r->mr), 0);
	assert_int_equal(nmt_ctx_close(r->ctx), 0);
}
