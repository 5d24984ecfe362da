/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Sending: batches that MSG_MORE makes, their order with borrowed runs and plain sends, frames that
 * the kernel takes in part (a tiny SO_SNDBUF), depth, flush.
 */
#include "../../providers/tcp/tcp.h"
#include "unit.h"

#define SIZE (1u << 20)

struct tx {
	struct unit u;
	struct nmt_stream *s;
	struct nmt_mr *mr;
	uint8_t *mem;
	int peer;
	uint64_t sent, got; /* stream bytes */
	unsigned int seed;
	/* reading frames at the peer */
	uint8_t hdr[TCP_REC_HDR];
	uint32_t hdr_have, left, records;
	bool eor;
};

static void open_attr(struct tx *t, bool records, const struct nmt_stream_attr *attr)
{
	int fd[2];

	memset(t, 0, sizeof(*t));
	t->seed = 5;
	unit_open(&t->u, "tcp");
	unit_tcp_pair(fd);
	t->peer = fd[0];
	t->s = t->u.a = unit_adopt(&t->u, fd[1], records, attr);
	assert_int_equal(nmt_mr_alloc(t->u.ctx, NMT_MEM_HOST, SIZE, NMT_ACCESS_ALL, &t->mr), 0);
	t->mem = nmt_mr_addr(t->mr);
}

static void open_tx(struct tx *t)
{
	open_attr(t, false, NULL);
}

/*
 * A send buffer as small as the kernel lets it be. The receive buffer is smaller than the bytes of
 * a test, but not so small that TCP waits for its timers.
 */
static void open_tiny(struct tx *t, bool records)
{
	struct nmt_stream_attr attr = NMT_STREAM_ATTR_INIT;
	int one = 1, some = 64 << 10;

	attr.zerocopy_min = UINT32_MAX;
	open_attr(t, records, &attr);
	setsockopt(t->s->ops->fd(t->s), SOL_SOCKET, SO_SNDBUF, &one, sizeof(one));
	setsockopt(t->peer, SOL_SOCKET, SO_RCVBUF, &some, sizeof(some));
	tcp_of(t->s)->outside = false; /* only edges tell, as without nmt_stream_fd */
}

static void close_tx(struct tx *t)
{
	nmt_domain_close(t->u.dom);
	t->u.a = NULL;
	t->u.dom = NULL;
	close(t->peer);
	assert_int_equal(nmt_mr_close(t->mr), 0);
	unit_close(&t->u);
}

static void say(struct tx *t, const char *text, int flags)
{
	assert_int_equal(nmt_send(t->s, text, strlen(text), flags), strlen(text));
}

static void lend(struct tx *t, const char *text, int flags, uint64_t cookie)
{
	struct nmt_frag f = { .mr = t->mr, .offset = t->sent, .len = (uint32_t)strlen(text) };

	memcpy(t->mem + t->sent, text, f.len);
	t->sent += f.len;
	assert_int_equal(nmt_send_mr(t->s, &f, 1, flags, cookie), 0);
}

static void hear(struct tx *t, const char *text)
{
	char buf[256] = "";

	unit_read(t->peer, buf, strlen(text));
	assert_string_equal(buf, text);
}

static bool silent(struct tx *t)
{
	char c;

	return recv(t->peer, &c, 1, MSG_DONTWAIT | MSG_PEEK) < 0 && errno == EAGAIN;
}

/* ---- batches ---- */

/* Held until a send without MSG_MORE, and then one system call for all. */
static void test_more(void **state)
{
	uint64_t before;
	struct tx t;

	(void)state;
	open_tx(&t);
	before = t.s->stat.tx_syscalls;
	say(&t, "one ", MSG_MORE);
	say(&t, "two ", MSG_MORE);
	assert_true(silent(&t));
	assert_int_equal(t.s->stat.tx_syscalls, before);
	say(&t, "three", 0);
	assert_int_equal(t.s->stat.tx_syscalls, before + 1);
	hear(&t, "one two three");
	before = t.s->stat.tx_syscalls;
	say(&t, "four", 0); /* a plain send is never held back */
	assert_int_equal(t.s->stat.tx_syscalls, before + 1);
	hear(&t, "four");
	close_tx(&t);
}

static void test_more_until_poll(void **state)
{
	struct tx t;

	(void)state;
	open_tx(&t);
	say(&t, "one ", MSG_MORE);
	say(&t, "two", MSG_MORE);
	assert_true(silent(&t));
	unit_poll(&t.u, 0);
	hear(&t, "one two");
	close_tx(&t);
}

/* Or until the direction ends. */
static void test_more_until_shutdown(void **state)
{
	struct tx t;
	char c;

	(void)state;
	open_tx(&t);
	say(&t, "one ", MSG_MORE);
	say(&t, "two", MSG_MORE);
	assert_int_equal(nmt_shutdown(t.s, SHUT_WR), 0);
	hear(&t, "one two");
	assert_int_equal(recv(t.peer, &c, 1, 0), 0);
	close_tx(&t);
}

/* More than a batch holds, in pieces of any size: nothing is lost or swapped. */
static void test_more_much(void **state)
{
	static const size_t sizes[] = { 1, 100, 5000, 16 << 10, (16 << 10) + 1, 40000 };
	uint8_t *buf = malloc(SIZE), *back = malloc(SIZE);
	struct tx t;

	(void)state;
	open_tx(&t);
	for (int i = 0; i < 60; i++) {
		size_t len = sizes[(size_t)rand_r(&t.seed) % ARRAY_LEN(sizes)], done = 0;

		unit_fill(buf, len, t.sent);
		while (done < len) {
			ssize_t r = nmt_send(t.s, buf + done, len - done, MSG_MORE);

			assert_true(r > 0 || r == -EAGAIN);
			done += r > 0 ? (size_t)r : 0;
			unit_poll(&t.u, 0);
			r = recv(t.peer, back, SIZE, MSG_DONTWAIT);
			if (r > 0) {
				unit_check(back, (size_t)r, t.got);
				t.got += (size_t)r;
			}
		}
		t.sent += len;
	}
	assert_int_equal(nmt_shutdown(t.s, SHUT_WR), 0);
	for (ssize_t r; (r = recv(t.peer, back, SIZE, 0)) > 0; t.got += (size_t)r)
		unit_check(back, (size_t)r, t.got);
	assert_int_equal(t.got, t.sent);
	free(buf);
	free(back);
	close_tx(&t);
}

/* ---- order ---- */

static void test_stage_then_runs(void **state)
{
	struct tx t;

	(void)state;
	open_tx(&t);
	say(&t, "a", MSG_MORE);
	lend(&t, "b", MSG_MORE, 1);
	say(&t, "c", MSG_MORE);
	lend(&t, "d", 0, 2);
	say(&t, "e", 0);
	hear(&t, "abcde");
	assert_int_equal(unit_take(&t.u, t.s, NMT_EV_SENT).cookie, 1);
	assert_int_equal(unit_take(&t.u, t.s, NMT_EV_SENT).cookie, 2);
	close_tx(&t);
}

/* Borrowed runs of several calls go out in one, with what was staged before. */
static void test_one_call(void **state)
{
	uint64_t before;
	struct tx t;

	(void)state;
	open_tx(&t);
	before = t.s->stat.tx_syscalls;
	say(&t, "stage ", MSG_MORE);
	for (uint64_t i = 0; i < 9; i++)
		lend(&t, "run ", MSG_MORE, i);
	lend(&t, "last", 0, 9);
	assert_int_equal(t.s->stat.tx_syscalls, before + 1);
	hear(&t, "stage run run run run run run run run run last");
	for (uint64_t i = 0; i <= 9; i++)
		assert_int_equal(unit_take(&t.u, t.s, NMT_EV_SENT).cookie, i);
	assert_int_equal(t.mr->busy, 0);
	close_tx(&t);
}

/* Runs of one call, empty ones among them. */
static void test_runs(void **state)
{
	struct nmt_frag f[64];
	struct nmt_event ev;
	uint8_t back[64];
	struct tx t;

	(void)state;
	open_tx(&t);
	unit_fill(t.mem, 64, 0);
	for (uint32_t i = 0; i < 64; i++)
		f[i] = (struct nmt_frag){ .mr = t.mr, .offset = i, .len = i % 3 != 1 };
	assert_int_equal(nmt_send_mr(t.s, f, 64, 0, 7), 0);
	ev = unit_take(&t.u, t.s, NMT_EV_SENT);
	assert_int_equal(ev.cookie, 7);
	assert_int_equal(ev.len, 43);
	unit_read(t.peer, back, 43);
	for (uint32_t i = 0, k = 0; i < 64; i++)
		if (i % 3 != 1)
			assert_int_equal(back[k++], unit_byte(i));
	f[0].len = 0; /* nothing at all is something to tell of, too */
	assert_int_equal(nmt_send_mr(t.s, f, 1, 0, 8), 0);
	assert_int_equal(unit_take(&t.u, t.s, NMT_EV_SENT).cookie, 8);
	close_tx(&t);
}

static void test_many_buffers(void **state)
{
	struct iovec iov[1024];
	uint8_t buf[1024], back[1024];
	ssize_t r;
	struct tx t;

	(void)state;
	unit_fill(buf, sizeof(buf), 0);
	for (int staged = 0; staged < 2; staged++) {
		size_t done = 0;

		open_tx(&t);
		if (staged)
			say(&t, "x", MSG_MORE);
		for (size_t i = 0; i < 1024; i++)
			iov[i] = (struct iovec){ buf + i, i >= 512 };
		while (done < 512) { /* the first 512 are empty */
			r = nmt_sendmsg(t.s, iov + (done ? 512 + done : 0),
					1024 - (done ? 512 + (int)done : 0), 0);
			assert_true(r > 0);
			done += (size_t)r;
		}
		if (staged)
			unit_read(t.peer, back, 1);
		unit_read(t.peer, back, 512);
		unit_check(back, 512, 512);
		close_tx(&t);
	}
}

/* ---- the kernel takes a part ---- */

/* Reads what is there at the peer; the stream bytes must be the next ones. */
static void drain_plain(struct tx *t)
{
	uint8_t buf[4096];
	ssize_t r = recv(t->peer, buf, 1 + (size_t)rand_r(&t->seed) % sizeof(buf), MSG_DONTWAIT);

	if (r > 0) {
		unit_check(buf, (size_t)r, t->got);
		t->got += (size_t)r;
	}
}

static void header_done(struct tx *t)
{
	t->hdr_have = 0;
	assert_int_equal(nmti_rec_get(t->hdr, &t->left, &t->eor), 0);
	t->records += !t->left;
}

/* Reads frames at the peer, whatever pieces they come in. */
static void drain_frames(struct tx *t)
{
	uint8_t buf[4096], *p = buf;
	ssize_t r = recv(t->peer, buf, 1 + (size_t)rand_r(&t->seed) % sizeof(buf), MSG_DONTWAIT);

	while (r > 0) {
		size_t n;

		if (!t->left) {
			n = TCP_REC_HDR - t->hdr_have;
			n = n < (size_t)r ? n : (size_t)r;
			memcpy(t->hdr + t->hdr_have, p, n);
			t->hdr_have += (uint32_t)n;
			if (t->hdr_have == TCP_REC_HDR)
				header_done(t);
		} else {
			n = t->left < (size_t)r ? t->left : (size_t)r;
			unit_check(p, n, t->got);
			t->got += n;
			t->left -= (uint32_t)n;
			t->records += !t->left && t->eor;
		}
		p += n;
		r -= (ssize_t)n;
	}
}

/* Random sends of all kinds into a socket that takes little; the peer must see all, in order. */
static void storm(bool records, void (*drain)(struct tx *t), uint32_t steps)
{
	uint8_t *buf = malloc(SIZE);
	uint32_t ended = 0;
	struct tx t;

	open_tiny(&t, records);
	for (uint32_t i = 0; i < steps; i++) {
		int flags = rand_r(&t.seed) % 3 ? 0 : MSG_MORE;
		size_t len = 1 + (size_t)rand_r(&t.seed) % (rand_r(&t.seed) % 4 ? 900 : 90000);
		ssize_t r;

		if (records && rand_r(&t.seed) % 2)
			flags |= MSG_EOR;
		if (rand_r(&t.seed) % 3 == 0) {
			uint64_t at = (uint64_t)(i % 8) * (SIZE / 8);
			struct nmt_frag f = { .mr = t.mr, .offset = at, .len = (uint32_t)len };

			if (t.mr->busy) /* one at a time: the memory is used again */
				goto drain;
			unit_fill(t.mem + at, len, t.sent);
			r = nmt_send_mr(t.s, &f, 1, flags, i);
			r = r ? r : (ssize_t)len;
		} else {
			unit_fill(buf, len, t.sent);
			r = nmt_send(t.s, buf, len, flags);
		}
		assert_true(r > 0 || r == -EAGAIN);
		t.sent += r > 0 ? (uint64_t)r : 0;
		ended += r == (ssize_t)len && flags & MSG_EOR;
drain:
		drain(&t);
		unit_poll(&t.u, 0);
		t.u.nev = 0;
	}
	assert_int_equal(nmt_shutdown(t.s, SHUT_WR), 0);
	for (int64_t limit = nmti_now() + UNIT_LIMIT; t.got < t.sent; drain(&t)) {
		assert_true(nmti_now() < limit);
		unit_poll(&t.u, 0);
		t.u.nev = 0;
	}
	drain(&t);
	assert_int_equal(t.got, t.sent);
	assert_true(t.sent > 100000);
	if (records)
		assert_int_equal(t.records, ended);
	free(buf);
	close_tx(&t);
}

static void test_partial_plain(void **state)
{
	(void)state;
	storm(false, drain_plain, 600);
}

static void test_partial_frames(void **state)
{
	(void)state;
	storm(true, drain_frames, 600);
}

/* A frame of which the kernel took a part is accepted whole; sends go on behind its rest. */
static void test_promised_frame(void **state)
{
	uint8_t *buf = malloc(SIZE);
	struct tx t;
	ssize_t r;

	(void)state;
	open_tiny(&t, true);
	for (int i = 0; i < 50; i++) {
		unit_fill(buf, SIZE, t.sent);
		r = nmt_send(t.s, buf, SIZE, 0);
		if (r == -EAGAIN)
			break;
		assert_true(r > 0);
		t.sent += (uint64_t)r;
	}
	assert_int_equal(r, -EAGAIN);
	assert_true(nmti_tcp_unsent(tcp_of(t.s)));
	while (t.got < t.sent) {
		drain_frames(&t);
		unit_poll(&t.u, 0);
	}
	assert_int_equal(t.got, t.sent);
	assert_false(nmti_tcp_unsent(tcp_of(t.s)));
	unit_take(&t.u, t.s, NMT_EV_WRITABLE);
	free(buf);
	close_tx(&t);
}

/* Many empty buffers in front, with frames: no frame of length 0, and the bytes. */
static void test_empty_buffers(void **state)
{
	struct iovec iov[200];
	uint8_t buf[5], wire[TCP_REC_HDR + 5];
	struct tx t;
	uint32_t len;
	bool eor;

	(void)state;
	unit_fill(buf, 5, 0);
	open_attr(&t, true, NULL);
	for (int i = 0; i < 200; i++)
		iov[i] = (struct iovec){ buf, i == 199 ? 5 : 0 };
	assert_int_equal(nmt_sendmsg(t.s, iov, 200, MSG_EOR), 5);
	unit_read(t.peer, wire, sizeof(wire));
	assert_int_equal(nmti_rec_get(wire, &len, &eor), 0);
	assert_int_equal(len, 5);
	assert_true(eor);
	unit_check(wire + TCP_REC_HDR, 5, 0);
	assert_true(silent(&t));
	close_tx(&t);
}

static void test_empty_record(void **state)
{
	struct nmt_frag f = { .len = 0 };
	uint8_t wire[TCP_REC_HDR];
	struct tx t;
	uint32_t len;
	bool eor;

	(void)state;
	open_attr(&t, true, NULL);
	f.mr = t.mr;
	assert_int_equal(nmt_send(t.s, NULL, 0, 0), 0);
	assert_true(silent(&t));
	for (int way = 0; way < 3; way++) {
		if (way == 0)
			assert_int_equal(nmt_send(t.s, NULL, 0, MSG_EOR), 0);
		else if (way == 1)
			assert_int_equal(nmt_send_mr(t.s, &f, 1, MSG_EOR, 1), 0);
		else
			assert_int_equal(nmt_send(t.s, NULL, 0, MSG_EOR | MSG_MORE), 0);
		unit_poll(&t.u, 0);
		unit_read(t.peer, wire, sizeof(wire));
		assert_int_equal(nmti_rec_get(wire, &len, &eor), 0);
		assert_int_equal(len, 0);
		assert_true(eor);
	}
	assert_int_equal(tcp_of(t.s)->tx_records, 3);
	close_tx(&t);
}

/* ---- depth and flush ---- */

static void test_depth(void **state)
{
	struct nmt_stream_attr attr = NMT_STREAM_ATTR_INIT;
	struct nmt_frag f = { .len = 1 };
	struct tx t;

	(void)state;
	attr.send_depth = 3;
	open_attr(&t, false, &attr);
	f.mr = t.mr;
	for (uint64_t i = 0; i < 3; i++)
		assert_int_equal(nmt_send_mr(t.s, &f, 1, MSG_MORE, i), 0);
	assert_int_equal(nmt_send_mr(t.s, &f, 1, 0, 9), -EAGAIN);
	assert_int_equal(nmt_flush(t.s, 9), -EAGAIN);
	assert_int_equal(t.mr->busy, 3);
	for (uint64_t i = 0; i < 3; i++)
		assert_int_equal(unit_take(&t.u, t.s, NMT_EV_SENT).cookie, i);
	unit_take(&t.u, t.s, NMT_EV_WRITABLE);
	assert_int_equal(nmt_send_mr(t.s, &f, 1, 0, 9), 0);
	close_tx(&t);
}

/* All that was sent before is acknowledged; in order with what was borrowed. */
static void test_flush(void **state)
{
	struct tx t;

	(void)state;
	open_tx(&t);
	assert_int_equal(nmt_flush(t.s, 1), 0); /* of nothing */
	assert_int_equal(unit_take(&t.u, t.s, NMT_EV_FLUSHED).cookie, 1);
	say(&t, "one ", MSG_MORE);
	assert_int_equal(nmt_flush(t.s, 2), 0);
	lend(&t, "two ", 0, 3);
	assert_int_equal(nmt_flush(t.s, 4), 0);
	assert_int_equal(unit_take(&t.u, t.s, NMT_EV_FLUSHED).cookie, 2);
	assert_int_equal(unit_take(&t.u, t.s, NMT_EV_SENT).cookie, 3);
	assert_int_equal(unit_take(&t.u, t.s, NMT_EV_FLUSHED).cookie, 4);
	hear(&t, "one two ");
	close_tx(&t);
}

/* A peer whose kernel takes no more: no flush before it does. */
static void test_flush_waits(void **state)
{
	uint8_t *buf = calloc(1, SIZE);
	struct tx t;
	ssize_t r;

	(void)state;
	open_tiny(&t, false);
	do { /* until there is no room, and none comes */
		while ((r = nmt_send(t.s, buf, SIZE, 0)) > 0)
			t.sent += (uint64_t)r;
		unit_poll(&t.u, 50 * UNIT_MS);
	} while (t.s->tx_ready);
	assert_int_equal(nmt_flush(t.s, 1), 0);
	for (int i = 0; i < 5; i++)
		unit_poll(&t.u, 5 * UNIT_MS);
	assert_false(unit_has(&t.u, t.s, NMT_EV_FLUSHED));
	while (t.got < t.sent) {
		r = recv(t.peer, buf, SIZE, 0);
		assert_true(r > 0);
		t.got += (uint64_t)r;
	}
	unit_take(&t.u, t.s, NMT_EV_FLUSHED);
	free(buf);
	close_tx(&t);
}

/* Memory that the CPU cannot reach goes through staging, run by run, in order. */
static uint8_t far[SIZE];

static int far_alloc(struct nmt_mr *mr)
{
	mr->priv = far;
	return 0;
}

static int far_out(const struct nmt_mr *mr, uint64_t offset, void *dst, size_t len)
{
	memcpy(dst, (uint8_t *)mr->priv + offset, len);
	return 0;
}

static void test_staged(void **state)
{
	static const struct nmt_mem_ops ops = {
		.kind = NMT_MEM_CUSTOM, .name = "far", .alloc = far_alloc, .copy_out = far_out,
	};
	struct nmt_frag f[3];
	uint8_t *back = malloc(SIZE);
	struct nmt_mr *mr;
	struct tx t;

	(void)state;
	open_tx(&t);
	assert_int_equal(nmti_mem_kind_add(t.u.ctx, &ops), 0);
	assert_int_equal(nmt_mr_alloc(t.u.ctx, NMT_MEM_CUSTOM, SIZE, NMT_ACCESS_SEND, &mr), 0);
	unit_fill(far, SIZE, 0);
	unit_fill(t.mem, 1000, 700000);
	f[0] = (struct nmt_frag){ .mr = mr, .offset = 0, .len = 700000 };
	f[1] = (struct nmt_frag){ .mr = t.mr, .offset = 0, .len = 1000 };
	f[2] = (struct nmt_frag){ .mr = mr, .offset = 701000, .len = 5000 };
	assert_int_equal(nmt_send_mr(t.s, f, 3, 0, 1), 0);
	while (t.got < 706000) {
		ssize_t r = recv(t.peer, back, SIZE, MSG_DONTWAIT);

		if (r > 0) {
			unit_check(back, (size_t)r, t.got);
			t.got += (uint64_t)r;
		}
		unit_poll(&t.u, 0);
	}
	unit_take(&t.u, t.s, NMT_EV_SENT);
	assert_int_equal(t.s->stat.tx_copied, 705000);
	assert_true(t.s->stat.fallback_staging > 0);
	assert_int_equal(nmt_mr_close(mr), 0);
	free(back);
	close_tx(&t);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_more),
	cmocka_unit_test(test_more_until_poll),
	cmocka_unit_test(test_more_until_shutdown),
	cmocka_unit_test(test_more_much),
	cmocka_unit_test(test_stage_then_runs),
	cmocka_unit_test(test_one_call),
	cmocka_unit_test(test_runs),
	cmocka_unit_test(test_many_buffers),
	cmocka_unit_test(test_partial_plain),
	cmocka_unit_test(test_partial_frames),
	cmocka_unit_test(test_promised_frame),
	cmocka_unit_test(test_empty_buffers),
	cmocka_unit_test(test_empty_record),
	cmocka_unit_test(test_depth),
	cmocka_unit_test(test_flush),
	cmocka_unit_test(test_flush_waits),
	cmocka_unit_test(test_staged),
};

UNIT_MAIN(tests)
