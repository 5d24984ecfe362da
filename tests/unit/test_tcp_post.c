/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Posted receives on a plain stream: order, depth, cancelling in the middle, bytes that came
 * before, several posts a system call, ends.
 */
#include "../../providers/tcp/tcp.h"
#include "unit.h"

#define SIZE (1u << 20)

struct post {
	struct unit u;
	struct nmt_stream *s;
	struct nmt_mr *mr;
	uint8_t *mem;
	int peer;
};

static void open_depth(struct post *t, uint32_t recv_mode, uint32_t depth)
{
	struct nmt_stream_attr attr = NMT_STREAM_ATTR_INIT;

	memset(t, 0, sizeof(*t));
	attr.recv_mode = recv_mode;
	attr.recv_depth = depth;
	t->peer = unit_open_tcp(&t->u, false, &attr);
	t->s = t->u.a;
	assert_int_equal(nmt_mr_alloc(t->u.ctx, NMT_MEM_HOST, SIZE, NMT_ACCESS_ALL, &t->mr), 0);
	t->mem = nmt_mr_addr(t->mr);
}

static void open_post(struct post *t)
{
	open_depth(t, NMT_RECV_POOL, 0);
}

static void close_post(struct post *t)
{
	nmt_domain_close(t->u.dom);
	t->u.a = NULL;
	t->u.dom = NULL;
	close(t->peer);
	assert_int_equal(nmt_mr_close(t->mr), 0); /* nothing holds it */
	unit_close(&t->u);
}

static void put(struct post *t, uint64_t at, size_t len, int flags, uint64_t cookie)
{
	assert_int_equal(nmt_recv_into(t->s, t->mr, at, len, flags, cookie), 0);
}

static void feed(struct post *t, uint64_t pos, size_t len)
{
	uint8_t *buf = malloc(len);

	unit_fill(buf, len, pos);
	unit_write(t->peer, buf, len);
	free(buf);
}

/* Take what the peer has sent; nothing of it is an event. */
static void settle(struct post *t, uint64_t done)
{
	while (t->s->stat.rx_bytes < done)
		unit_poll(&t->u, UNIT_MS);
}

static struct nmt_event received(struct post *t, uint64_t cookie, int status, uint64_t len)
{
	struct nmt_event ev = unit_take(&t->u, t->s, NMT_EV_RECEIVED);

	assert_int_equal(ev.cookie, cookie);
	assert_int_equal(ev.status, status);
	assert_int_equal(ev.len, len);
	return ev;
}

/* In order, each full before the next, the memory around them untouched. */
static void test_order(void **state)
{
	struct post t;

	(void)state;
	for (uint32_t mode = NMT_RECV_POOL; mode <= NMT_RECV_POSTED; mode++) {
		open_depth(&t, mode, 0);
		for (uint64_t i = 0; i < 20; i++)
			put(&t, i * 100 + 1, 10 + i, 0, i);
		feed(&t, 0, 390);
		for (uint64_t i = 0, pos = 0; i < 20; i++) {
			received(&t, i, 0, 10 + i);
			unit_check(t.mem + i * 100 + 1, 10 + i, pos);
			assert_int_equal(t.mem[i * 100], 0);
			assert_int_equal(t.mem[i * 100 + 11 + i], 0);
			pos += 10 + i;
		}
		assert_int_equal(t.s->stat.rx_bytes, 390);
		assert_int_equal(t.s->stat.rx_copied, 0);
		close_post(&t);
	}
}

/* Pieces that fit no post. */
static void test_pieces(void **state)
{
	struct post t;
	uint64_t pos = 0;

	(void)state;
	open_post(&t);
	for (uint64_t i = 0; i < 10; i++)
		put(&t, i * 100, 30, 0, i);
	for (int i = 0; i < 300; i += 7) {
		feed(&t, (uint64_t)i, i + 7 <= 300 ? 7 : 300 - (size_t)i);
		unit_poll(&t.u, 0);
	}
	for (uint64_t i = 0; i < 10; i++, pos += 30) {
		received(&t, i, 0, 30);
		unit_check(t.mem + i * 100, 30, pos);
	}
	close_post(&t);
}

/* Several posts are filled by one call: 16 posts of what is there cost far fewer. */
static void test_batched(void **state)
{
	struct post t;
	uint64_t before;

	(void)state;
	open_post(&t);
	feed(&t, 0, 1600);
	unit_arrived(t.s->ops->fd(t.s), 1600);
	for (uint64_t i = 0; i < 16; i++)
		put(&t, i * 100, 100, 0, i);
	before = t.s->stat.rx_syscalls;
	for (uint64_t i = 0; i < 16; i++)
		received(&t, i, 0, 100);
	unit_check(t.mem, 1600, 0);
	assert_in_range(t.s->stat.rx_syscalls - before, 1, 4);
	close_post(&t);
}

static void test_some(void **state)
{
	struct post t;

	(void)state;
	open_post(&t);
	put(&t, 0, 100, NMT_RECV_SOME, 1);
	put(&t, 100, 100, NMT_RECV_SOME, 2);
	feed(&t, 0, 30);
	received(&t, 1, 0, 30);
	assert_false(unit_has(&t.u, t.s, NMT_EV_RECEIVED)); /* nothing is there for the next */
	feed(&t, 30, 1);
	received(&t, 2, 0, 1);
	unit_check(t.mem, 30, 0);
	unit_check(t.mem + 100, 1, 30);
	close_post(&t);
}

/* Bytes that a loan left behind come first, then the socket's. */
static void test_buffered_first(void **state)
{
	struct nmt_frag f;
	struct post t;
	uint8_t c[4];

	(void)state;
	open_post(&t);
	feed(&t, 0, 6000); /* more than a cell */
	unit_arrived(t.s->ops->fd(t.s), 6000);
	t.s->rx_ready = true;
	assert_int_equal(nmt_recv_frags(t.s, &f, 1, 0), 1);
	assert_int_equal(f.len, 4096);
	assert_int_equal(nmt_recv(t.s, c, 4, 0), 4);
	unit_check(c, 4, 4096);
	put(&t, 0, 6000 - 4100, 0, 1);
	received(&t, 1, 0, 6000 - 4100);
	unit_check(t.mem, 6000 - 4100, 4100);
	unit_check((uint8_t *)nmt_mr_addr(f.mr) + f.offset, 4096, 0); /* the loan is unchanged */
	assert_int_equal(nmt_release(t.s, &f, 1), 0);
	close_post(&t);
}

/* Posts are done: what is left is told as READABLE. */
static void test_rest_is_readable(void **state)
{
	struct post t;
	uint8_t buf[64];

	(void)state;
	open_post(&t);
	put(&t, 0, 10, 0, 1);
	feed(&t, 0, 30);
	received(&t, 1, 0, 10);
	unit_take(&t.u, t.s, NMT_EV_READABLE);
	assert_int_equal(nmt_recv(t.s, buf, sizeof(buf), 0), 20);
	unit_check(buf, 20, 10);
	close_post(&t);
}

/* ---- depth and cancelling ---- */

static void test_depth(void **state)
{
	struct post t;

	(void)state;
	open_depth(&t, NMT_RECV_POOL, 3); /* no power of two */
	for (int round = 0; round < 5; round++) {
		for (uint64_t i = 0; i < 3; i++)
			put(&t, i * 10, 10, 0, i);
		assert_int_equal(nmt_recv_into(t.s, t.mr, 0, 10, 0, 9), -EAGAIN);
		assert_int_equal(t.mr->busy, 3);
		feed(&t, 0, 30);
		for (uint64_t i = 0; i < 3; i++)
			received(&t, i, 0, 10);
	}
	close_post(&t);
}

static void test_cancel(void **state)
{
	struct post t;

	(void)state;
	open_post(&t);
	for (uint64_t i = 0; i < 6; i++)
		put(&t, i * 10, 10, 0, i % 3); /* cookies 0 1 2 0 1 2 */
	feed(&t, 0, 4);
	settle(&t, 4);
	assert_int_equal(nmt_recv_cancel(t.s, 7), -ENOENT);
	assert_int_equal(nmt_recv_cancel(t.s, 1), 0);
	assert_int_equal(nmt_recv_cancel(t.s, 1), -ENOENT);
	received(&t, 1, -ECANCELED, 0);
	received(&t, 1, -ECANCELED, 0);
	assert_int_equal(nmt_recv_cancel(t.s, 0), 0);
	received(&t, 0, -ECANCELED, 4); /* the final count */
	received(&t, 0, -ECANCELED, 0);
	feed(&t, 4, 20); /* what is left takes the bytes in its order */
	received(&t, 2, 0, 10);
	received(&t, 2, 0, 10);
	unit_check(t.mem, 4, 0);
	unit_check(t.mem + 20, 10, 4);
	unit_check(t.mem + 50, 10, 14);
	assert_int_equal(t.mr->busy, 0);
	close_post(&t);
}

/* A cancelled post counts no more, although an older one still waits. */
static void test_cancel_makes_room(void **state)
{
	struct post t;

	(void)state;
	open_depth(&t, NMT_RECV_POOL, 2);
	put(&t, 0, 10, 0, 1);
	for (uint64_t i = 2; i < 20; i++) {
		put(&t, 10, 10, 0, i);
		assert_int_equal(nmt_recv_into(t.s, t.mr, 0, 10, 0, 99), -EAGAIN);
		assert_int_equal(nmt_recv_cancel(t.s, i), 0);
		received(&t, i, -ECANCELED, 0);
	}
	put(&t, 20, 10, 0, 50);
	feed(&t, 0, 20);
	received(&t, 1, 0, 10);
	received(&t, 50, 0, 10);
	unit_check(t.mem + 20, 10, 10);
	close_post(&t);
}

/* Random posts, cancels and bytes against a plain queue: nothing is lost, nothing comes twice. */
static void test_random(void **state)
{
	struct { uint64_t at; size_t len; bool live; } model[4096];
	uint64_t next = 0, fed = 0, pos = 0;
	unsigned int seed = 11;
	struct nmt_event ev;
	struct post t;

	(void)state;
	open_depth(&t, NMT_RECV_POOL, 8);
	while (next < 4000) {
		int what = rand_r(&seed) % 4;

		if (what < 2) {
			size_t len = 1 + (size_t)rand_r(&seed) % 200;
			uint64_t at = next % 256 * 256;
			int rc = nmt_recv_into(t.s, t.mr, at, len, 0, next);

			assert_true(rc == 0 || (rc == -EAGAIN && t.mr->busy == 8));
			if (!rc) {
				model[next].at = at;
				model[next].len = len;
				model[next++].live = true;
			}
		} else if (what == 2 && next) {
			uint64_t victim = next - 1 - (uint64_t)rand_r(&seed) % 8 % next;

			nmt_recv_cancel(t.s, victim);
		} else {
			size_t len = 1 + (size_t)rand_r(&seed) % 300;

			if (fed - pos < 4000) {
				feed(&t, fed, len);
				fed += len;
			}
		}
		unit_poll(&t.u, 0);
		while (unit_find(&t.u, t.s, NMT_EV_RECEIVED, &ev)) {
			assert_true(ev.cookie < next && model[ev.cookie].live);
			model[ev.cookie].live = false;
			assert_true(ev.status == 0 || ev.status == -ECANCELED);
			assert_true(ev.status || ev.len == model[ev.cookie].len);
			unit_check(t.mem + model[ev.cookie].at, ev.len, pos);
			pos += ev.len;
		}
		t.u.nev = 0; /* READABLE in between */
	}
	assert_true(pos > 10000);
	close_post(&t);
}

/* ---- ends ---- */

static void test_end(void **state)
{
	struct nmt_event ev;
	struct post t;

	(void)state;
	open_post(&t);
	for (uint64_t i = 0; i < 3; i++)
		put(&t, i * 10, 10, 0, i);
	feed(&t, 0, 15);
	shutdown(t.peer, SHUT_WR);
	assert_int_equal(received(&t, 0, 0, 10).flags, 0);
	ev = received(&t, 1, 0, 5);
	assert_int_equal(ev.flags, NMT_EVF_EOF);
	assert_int_equal(received(&t, 2, 0, 0).flags, NMT_EVF_EOF);
	put(&t, 0, 10, 0, 7); /* and any later one */
	assert_int_equal(received(&t, 7, 0, 0).flags, NMT_EVF_EOF);
	close_post(&t);
}

static void test_reset(void **state)
{
	struct linger now = { .l_onoff = 1 };
	struct post t;

	(void)state;
	open_post(&t);
	put(&t, 0, 10, 0, 1);
	put(&t, 10, 10, 0, 2);
	feed(&t, 0, 3);
	settle(&t, 3);
	setsockopt(t.peer, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(t.peer);
	t.peer = dup(0);
	received(&t, 1, -ECONNRESET, 3);
	received(&t, 2, -ECONNRESET, 0);
	assert_int_equal(unit_take(&t.u, t.s, NMT_EV_ERROR).status, -ECONNRESET);
	put(&t, 0, 10, 0, 3);
	received(&t, 3, -ECONNRESET, 0);
	close_post(&t);
}

/* SHUT_RD ends them with what they have. */
static void test_shutdown(void **state)
{
	struct post t;

	(void)state;
	open_post(&t);
	put(&t, 0, 10, 0, 1);
	feed(&t, 0, 3);
	settle(&t, 3);
	assert_int_equal(nmt_shutdown(t.s, SHUT_RD), 0);
	assert_int_equal(received(&t, 1, 0, 3).flags, NMT_EVF_EOF);
	assert_int_equal(nmt_recv_into(t.s, t.mr, 0, 10, 0, 2), -EPIPE);
	close_post(&t);
}

static void test_close(void **state)
{
	struct nmt_stream *s;
	struct post t;

	(void)state;
	for (int abort = 0; abort < 2; abort++) {
		open_post(&t);
		s = t.s;
		for (uint64_t i = 0; i < 5; i++)
			put(&t, i * 10, 10, 0, i);
		assert_int_equal(abort ? nmt_abort(s) : nmt_close(s), 0);
		for (uint64_t i = 0; i < 5; i++)
			received(&t, i, -ECANCELED, 0);
		unit_take(&t.u, s, NMT_EV_CLOSED);
		assert_int_equal(t.mr->busy, 0);
		close_post(&t);
	}
}

static int lowat(struct post *t)
{
	socklen_t len = sizeof(int);
	int v;

	assert_int_equal(getsockopt(tcp_of(t->s)->src.fd, SOL_SOCKET, SO_RCVLOWAT, &v, &len), 0);
	return v;
}

/* A long post is not woken for each segment, and is when its last byte is there. */
static void test_lowat(void **state)
{
	struct post t;

	(void)state;
	open_post(&t);
	put(&t, 0, 600000, 0, 1);
	feed(&t, 0, 1000);
	settle(&t, 1000);
	assert_int_equal(lowat(&t), 131072);
	feed(&t, 1000, 500000);
	settle(&t, 400000);
	feed(&t, 501000, 99000);
	received(&t, 1, 0, 600000);
	assert_int_equal(lowat(&t), 1);
	unit_check(t.mem, 600000, 0);
	close_post(&t);
}

/* Short posts, and those that any byte finishes, are woken for each. */
static void test_no_lowat(void **state)
{
	struct post t;

	(void)state;
	open_post(&t);
	put(&t, 0, 500000, 0, 1);
	feed(&t, 0, 1000);
	settle(&t, 1000);
	assert_int_equal(lowat(&t), 1);
	feed(&t, 1000, 499000);
	received(&t, 1, 0, 500000);
	put(&t, 0, SIZE, NMT_RECV_SOME, 2);
	put(&t, 0, SIZE, NMT_RECV_SOME, 3);
	feed(&t, 0, 1000);
	received(&t, 2, 0, 1000);
	assert_int_equal(lowat(&t), 1);
	close_post(&t);
}

/* Bytes below the mark are not lost to what comes after the post. */
static void test_lowat_cancel(void **state)
{
	uint8_t buf[2000];
	struct post t;

	(void)state;
	open_post(&t);
	put(&t, 0, SIZE, 0, 1);
	feed(&t, 0, 1000);
	settle(&t, 1000);
	feed(&t, 1000, 2000);
	assert_int_equal(nmt_poll(t.u.dom, t.u.ev, 1, 20 * UNIT_MS), 0);
	assert_int_equal(t.s->stat.rx_bytes, 1000);
	assert_int_equal(nmt_recv_cancel(t.s, 1), 0);
	received(&t, 1, -ECANCELED, 1000);
	unit_take(&t.u, t.s, NMT_EV_READABLE);
	assert_int_equal(nmt_recv(t.s, buf, sizeof(buf), 0), 2000);
	unit_check(buf, 2000, 1000);
	close_post(&t);
}

/* The end of the stream does not wait for the mark. */
static void test_lowat_end(void **state)
{
	struct post t;

	(void)state;
	open_post(&t);
	put(&t, 0, SIZE, 0, 1);
	feed(&t, 0, 1000);
	settle(&t, 1000);
	feed(&t, 1000, 500);
	shutdown(t.peer, SHUT_WR);
	assert_true(received(&t, 1, 0, 1500).flags & NMT_EVF_EOF);
	close_post(&t);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_order),	 cmocka_unit_test(test_pieces),
	cmocka_unit_test(test_batched),	 cmocka_unit_test(test_some),
	cmocka_unit_test(test_buffered_first), cmocka_unit_test(test_rest_is_readable),
	cmocka_unit_test(test_depth),	 cmocka_unit_test(test_cancel),
	cmocka_unit_test(test_cancel_makes_room), cmocka_unit_test(test_random),
	cmocka_unit_test(test_end),	 cmocka_unit_test(test_reset),
	cmocka_unit_test(test_shutdown), cmocka_unit_test(test_close),
	cmocka_unit_test(test_lowat),	 cmocka_unit_test(test_lowat_cancel),
	cmocka_unit_test(test_lowat_end), cmocka_unit_test(test_no_lowat),
};

UNIT_MAIN(tests)
