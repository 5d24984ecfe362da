/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Record frames in band: cut at every byte, received by copy, by loan and by posts; empty records,
 * records longer than a post, rubbish where a header is due, ends in the middle.
 */
#include "../../providers/tcp/tcp.h"
#include "unit.h"

#define MAX_TRACE 64

struct rec {
	struct unit u;
	struct nmt_stream *s;
	struct nmt_mr *mr;
	int peer;
};

/* What was received: runs of bytes and the ends of records. */
struct trace {
	uint8_t bytes[256 << 10];
	size_t len;
	size_t end[MAX_TRACE]; /* offsets at which a record ended */
	int ends;
};

static void open_mode(struct rec *t, uint32_t recv_mode)
{
	struct nmt_stream_attr attr = NMT_STREAM_ATTR_INIT;

	memset(t, 0, sizeof(*t));
	attr.recv_mode = recv_mode;
	t->peer = unit_open_tcp(&t->u, true, &attr);
	t->s = t->u.a;
	assert_int_equal(nmt_mr_alloc(t->u.ctx, NMT_MEM_HOST, 256 << 10, NMT_ACCESS_ALL, &t->mr),
			 0);
}

static void open_rec(struct rec *t)
{
	open_mode(t, NMT_RECV_POOL);
}

static void close_rec(struct rec *t)
{
	nmt_domain_close(t->u.dom);
	t->u.a = NULL;
	t->u.dom = NULL;
	close(t->peer);
	assert_int_equal(nmt_mr_close(t->mr), 0);
	unit_close(&t->u);
}

/* ---- making a wire ---- */

static size_t frame(uint8_t *wire, size_t at, uint32_t len, bool eor, uint64_t pos)
{
	nmti_rec_put(wire + at, len, eor);
	unit_fill(wire + at + TCP_REC_HDR, len, pos);
	return at + TCP_REC_HDR + len;
}

/* Records of 10 (in three frames), 0, 1, 0 and 20 bytes. */
static size_t make_wire(uint8_t *wire)
{
	size_t n = 0;

	n = frame(wire, n, 3, false, 0);
	n = frame(wire, n, 6, false, 3);
	n = frame(wire, n, 1, true, 9);
	n = frame(wire, n, 0, true, 10);
	n = frame(wire, n, 1, true, 10);
	n = frame(wire, n, 0, true, 11);
	n = frame(wire, n, 20, false, 11);
	return frame(wire, n, 0, true, 31); /* the end alone */
}

static void check_trace(const struct trace *t)
{
	static const size_t ends[] = { 10, 10, 11, 11, 31 };

	assert_int_equal(t->len, 31);
	unit_check(t->bytes, 31, 0);
	assert_int_equal(t->ends, 5);
	assert_memory_equal(t->end, ends, sizeof(ends));
}

static void add(struct trace *t, const void *p, size_t len, bool eor)
{
	memcpy(t->bytes + t->len, p, len);
	t->len += len;
	assert_in_range(t->ends, 0, MAX_TRACE - 1);
	if (eor)
		t->end[t->ends++] = t->len;
}

/* ---- receiving, each way ---- */

static void by_copy(struct rec *t, struct trace *trace)
{
	uint8_t buf[16];
	struct iovec iov = { buf, 7 };
	ssize_t r;
	int flags;

	while ((r = nmt_recvmsg(t->s, &iov, 1, 0, &flags)) > 0 || (!r && flags & MSG_EOR))
		add(trace, buf, (size_t)r, flags & MSG_EOR);
	assert_int_equal(r, -EAGAIN);
}

static void by_peek(struct rec *t, struct trace *trace)
{
	uint8_t buf[16], look[16];
	struct iovec iov = { buf, sizeof(buf) }, peek = { look, 5 };
	ssize_t r, seen;
	int flags, peeked;

	for (;;) {
		seen = nmt_recvmsg(t->s, &peek, 1, MSG_PEEK, &peeked);
		iov.iov_len = seen > 0 ? (size_t)seen : sizeof(buf);
		r = nmt_recvmsg(t->s, &iov, 1, 0, &flags);
		assert_int_equal(r, seen);
		if (r < 0 || (!r && !(flags & MSG_EOR)))
			break;
		assert_int_equal(peeked, flags);
		assert_memory_equal(buf, look, r);
		add(trace, buf, (size_t)r, flags & MSG_EOR);
	}
	assert_int_equal(r, -EAGAIN);
}

static void by_loan(struct rec *t, struct trace *trace)
{
	struct nmt_frag f[3];
	int n;

	while ((n = nmt_recv_frags(t->s, f, 3, 0)) > 0) {
		for (int i = 0; i < n; i++)
			add(trace, (char *)nmt_mr_addr(f[i].mr) + f[i].offset, f[i].len,
			    f[i].flags & NMT_FRAG_EOR);
		assert_int_equal(nmt_release(t->s, f, n), 0);
	}
	assert_int_equal(n, -EAGAIN);
}

typedef void take_fn(struct rec *t, struct trace *trace);

static take_fn *const ways[] = { by_copy, by_peek, by_loan };

static void settle(struct rec *t, size_t len)
{
	if (len)
		unit_arrived(t->s->ops->fd(t->s), (int)len);
	t->s->rx_ready = true; /* as the edge will say */
}

/* The wire cut at every byte, received after each piece. */
static void test_cut(void **state)
{
	uint8_t wire[256];
	size_t n = make_wire(wire);

	(void)state;
	for (size_t w = 0; w < ARRAY_LEN(ways); w++) {
		for (size_t cut = 1; cut < n; cut++) {
			struct trace *trace = calloc(1, sizeof(*trace));
			struct rec t;

			open_rec(&t);
			unit_write(t.peer, wire, cut);
			settle(&t, cut);
			ways[w](&t, trace);
			unit_write(t.peer, wire + cut, n - cut);
			settle(&t, n - cut);
			ways[w](&t, trace);
			check_trace(trace);
			free(trace);
			close_rec(&t);
		}
	}
}

static void test_byte_by_byte(void **state)
{
	uint8_t wire[256];
	size_t n = make_wire(wire);

	(void)state;
	for (size_t w = 0; w < ARRAY_LEN(ways); w++) {
		struct trace *trace = calloc(1, sizeof(*trace));
		struct rec t;

		open_rec(&t);
		for (size_t i = 0; i < n; i++) {
			unit_write(t.peer, wire + i, 1);
			settle(&t, 1);
			ways[w](&t, trace);
		}
		check_trace(trace);
		free(trace);
		close_rec(&t);
	}
}

/* One way after another on one stream. */
static void test_mixed(void **state)
{
	uint8_t wire[256];
	size_t n = make_wire(wire);
	struct trace *trace = calloc(1, sizeof(*trace));
	struct rec t;

	(void)state;
	open_rec(&t);
	for (size_t i = 0; i < n; i++) {
		unit_write(t.peer, wire + i, 1);
		settle(&t, 1);
		ways[i % ARRAY_LEN(ways)](&t, trace);
	}
	check_trace(trace);
	free(trace);
	close_rec(&t);
}

/* Large frames: payload into place, the next header behind it in the same call. */
static void test_large(void **state)
{
	static uint8_t wire[200 << 10], buf[64 << 10];
	size_t n = 0, got = 0;
	struct iovec iov = { buf, sizeof(buf) };
	int flags = 0, ends = 0;
	struct rec t;
	ssize_t r;

	(void)state;
	for (int i = 0; i < 3; i++)
		n = frame(wire, n, 50000, true, (uint64_t)i * 50000);
	open_rec(&t);
	unit_write(t.peer, wire, n);
	while (ends < 3) {
		r = nmt_recvmsg(t.s, &iov, 1, 0, &flags);
		if (r == -EAGAIN) {
			unit_take(&t.u, t.s, NMT_EV_READABLE);
			continue;
		}
		assert_true(r > 0);
		unit_check(buf, (size_t)r, got);
		got += (size_t)r;
		ends += !!(flags & MSG_EOR);
		assert_int_equal(!!(flags & MSG_EOR), got % 50000 == 0);
	}
	assert_int_equal(got, 150000);
	assert_int_equal(t.s->stat.rx_copied, 0);
	close_rec(&t);
}

/* Empty buffers in front of the real one, more than fit into one call of ours. */
static void test_empty_buffers(void **state)
{
	uint8_t wire[64], buf[8];
	struct iovec iov[200];
	size_t n = frame(wire, 0, 5, true, 0);
	struct rec t;
	int flags;

	(void)state;
	for (int buffered = 0; buffered < 2; buffered++) {
		for (int i = 0; i < 200; i++)
			iov[i] = (struct iovec){ buf, 0 };
		iov[199].iov_len = sizeof(buf);
		open_rec(&t);
		unit_write(t.peer, wire, n);
		settle(&t, n);
		if (buffered)
			assert_int_equal(nmt_recv(t.s, buf, 1, MSG_PEEK), 1);
		assert_int_equal(nmt_recvmsg(t.s, iov, 200, 0, &flags), 5);
		assert_int_equal(flags, MSG_EOR);
		unit_check(buf, 5, 0);
		close_rec(&t);
	}
}

/* ---- posts ---- */

struct want {
	size_t len;
	int opts;
	int status;
	size_t got;
	uint32_t flags;
};

/* Posts receives as told, feeds the wire in pieces of STEP, and checks what each came to. */
static void posts(const struct want *want, int n, const uint8_t *wire, size_t len, size_t step,
		  uint32_t mode)
{
	uint64_t pos = 0;
	struct rec t;

	open_mode(&t, mode);
	for (int i = 0; i < n; i++)
		assert_int_equal(nmt_recv_into(t.s, t.mr, (uint64_t)i * 1000, want[i].len,
					       want[i].opts, (uint64_t)i), 0);
	for (size_t at = 0; at < len; at += step) {
		unit_write(t.peer, wire + at, len - at < step ? len - at : step);
		unit_poll(&t.u, 0);
	}
	for (int i = 0; i < n; i++) {
		struct nmt_event ev = unit_take(&t.u, t.s, NMT_EV_RECEIVED);

		assert_int_equal(ev.cookie, i);
		assert_int_equal(ev.status, want[i].status);
		assert_int_equal(ev.len, want[i].got);
		assert_int_equal(ev.flags, want[i].flags);
		if (want[i].status)
			continue;
		unit_check((uint8_t *)nmt_mr_addr(t.mr) + i * 1000, ev.len, pos);
		pos += ev.len;
	}
	close_rec(&t);
}

static void each_step(const struct want *want, int n, const uint8_t *wire, size_t len)
{
	for (size_t step = 1; step <= len; step += step < 10 ? 1 : len / 3)
		for (uint32_t mode = NMT_RECV_POOL; mode <= NMT_RECV_POSTED; mode++)
			posts(want, n, wire, len, step, mode);
}

/* A record ends its post; a longer one goes on in the next. */
static void test_posts(void **state)
{
	static const struct want want[] = {
		{ 7, 0, 0, 7, 0 },	       { 7, 0, 0, 3, NMT_EVF_EOR },
		{ 7, 0, 0, 0, NMT_EVF_EOR },   { 1, NMT_RECV_WHOLE, 0, 1, NMT_EVF_EOR },
		{ 7, 0, 0, 0, NMT_EVF_EOR },   { 100, 0, 0, 20, NMT_EVF_EOR },
	};
	uint8_t wire[256];
	size_t len = make_wire(wire);

	(void)state;
	each_step(want, ARRAY_LEN(want), wire, len);
}

/* A record longer than a post that wants it whole: -EMSGSIZE, the rest is dropped. */
static void test_too_long(void **state)
{
	static const struct want want[] = {
		{ 9, NMT_RECV_WHOLE, -EMSGSIZE, 9, 0 },
		{ 10, NMT_RECV_WHOLE, 0, 0, NMT_EVF_EOR }, /* the empty record behind it */
		{ 1, NMT_RECV_WHOLE, 0, 1, NMT_EVF_EOR },
		{ 5, NMT_RECV_WHOLE, 0, 0, NMT_EVF_EOR },
		{ 19, NMT_RECV_WHOLE, -EMSGSIZE, 19, 0 },
	};
	uint8_t wire[256];
	size_t len = make_wire(wire);
	struct rec t;

	(void)state;
	for (size_t step = 1; step <= len; step += 3) {
		open_rec(&t);
		for (size_t i = 0; i < ARRAY_LEN(want); i++)
			assert_int_equal(nmt_recv_into(t.s, t.mr, i * 100, want[i].len,
						       want[i].opts, i), 0);
		for (size_t at = 0; at < len; at += step) {
			unit_write(t.peer, wire + at, len - at < step ? len - at : step);
			unit_poll(&t.u, 0);
		}
		for (size_t i = 0; i < ARRAY_LEN(want); i++) {
			struct nmt_event ev = unit_take(&t.u, t.s, NMT_EV_RECEIVED);
			const uint8_t *p = (uint8_t *)nmt_mr_addr(t.mr) + i * 100;

			assert_int_equal(ev.cookie, i);
			assert_int_equal(ev.status, want[i].status);
			assert_int_equal(ev.flags & NMT_EVF_EOR, want[i].flags);
			assert_int_equal(p[want[i].len], 0);
		}
		close_rec(&t);
	}
}

/* ---- rubbish and ends ---- */

static void test_garbage(void **state)
{
	uint8_t wire[64], buf[64];
	struct rec t;

	(void)state;
	for (int first = 0; first < 2; first++) {
		size_t n = first ? frame(wire, 0, 5, true, 0) : 0;
		ssize_t r;

		open_rec(&t);
		memcpy(wire + n, "GET / HTTP/1.0\r\n", 16);
		unit_write(t.peer, wire, n + 16);
		settle(&t, n + 16);
		if (first)
			assert_int_equal(nmt_recv(t.s, buf, sizeof(buf), 0), 5);
		r = nmt_recv(t.s, buf, sizeof(buf), 0);
		assert_true(r == -EPROTO || r == -ECONNRESET);
		assert_true(unit_logged(&t.u, "record header"));
		assert_true(unit_take(&t.u, t.s, NMT_EV_ERROR).status < 0);
		assert_int_equal(nmt_recv(t.s, buf, sizeof(buf), 0), r);
		close_rec(&t);
	}
}

/* Each bit of a header that must be zero, and a frame of length 0 that ends nothing. */
static void test_bad_headers(void **state)
{
	uint8_t hdr[TCP_REC_HDR];
	uint32_t len;
	bool eor;
	int bad = 0;

	(void)state;
	nmti_rec_put(hdr, 5, true);
	assert_int_equal(nmti_rec_get(hdr, &len, &eor), 0);
	assert_int_equal(len, 5);
	assert_true(eor);
	for (int bit = 0; bit < 64; bit++) {
		nmti_rec_put(hdr, 5, true);
		hdr[bit / 8] ^= (uint8_t)(1 << bit % 8);
		bad += nmti_rec_get(hdr, &len, &eor) == -EPROTO;
	}
	assert_true(bad >= 24); /* all but length and flags */
	nmti_rec_put(hdr, 0, false);
	assert_int_equal(nmti_rec_get(hdr, &len, &eor), -EPROTO);
}

/* The end anywhere but between frames is a cut, whichever way one receives. */
static void test_end(void **state)
{
	uint8_t wire[64], buf[64];
	size_t n = frame(wire, 0, 5, true, 0);
	struct iovec iov = { buf, sizeof(buf) };
	struct rec t;
	ssize_t r;
	int flags;

	(void)state;
	for (size_t cut = 0; cut <= n; cut++) {
		open_rec(&t);
		unit_write(t.peer, wire, cut);
		shutdown(t.peer, SHUT_WR);
		for (;;) {
			r = nmt_recvmsg(t.s, &iov, 1, 0, &flags);
			if (r == -EAGAIN)
				unit_take(&t.u, t.s, NMT_EV_READABLE);
			else if (r <= 0)
				break;
		}
		assert_int_equal(r, cut == 0 || cut == n ? 0 : -ECONNRESET);
		close_rec(&t);
	}
}

static void test_end_of_posts(void **state)
{
	uint8_t wire[64];
	size_t n = frame(wire, 0, 5, false, 0);
	struct nmt_event ev;
	struct rec t;

	(void)state;
	for (size_t cut = 1; cut <= n; cut++) {
		open_rec(&t);
		assert_int_equal(nmt_recv_into(t.s, t.mr, 0, 100, 0, 1), 0);
		unit_write(t.peer, wire, cut);
		shutdown(t.peer, SHUT_WR);
		ev = unit_take(&t.u, t.s, NMT_EV_RECEIVED);
		assert_int_equal(ev.status, cut == n ? 0 : -ECONNRESET);
		assert_int_equal(ev.len, cut <= TCP_REC_HDR ? 0 : cut - TCP_REC_HDR);
		assert_int_equal(ev.flags, cut == n ? NMT_EVF_EOF : 0);
		close_rec(&t);
	}
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_cut),	   cmocka_unit_test(test_byte_by_byte),
	cmocka_unit_test(test_mixed),	   cmocka_unit_test(test_large),
	cmocka_unit_test(test_empty_buffers), cmocka_unit_test(test_posts),
	cmocka_unit_test(test_too_long),   cmocka_unit_test(test_garbage),
	cmocka_unit_test(test_bad_headers), cmocka_unit_test(test_end),
	cmocka_unit_test(test_end_of_posts),
};

UNIT_MAIN(tests)
