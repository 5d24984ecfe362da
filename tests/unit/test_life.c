/* SPDX-License-Identifier: BSD-2-Clause */
/* The life of a stream: states, the events owed on the way, closing, failing, lingering. */
#include "unit.h"

static void open_mode(struct unit *u, uint32_t mode)
{
	struct nmt_stream_attr attr = NMT_STREAM_ATTR_INIT;

	attr.mode = mode;
	unit_open(u, "tcp");
	unit_pair(u, &attr);
}

static struct nmt_stream_info info_of(const struct nmt_stream *s)
{
	struct nmt_stream_info info = NMT_STREAM_INFO_INIT;

	assert_int_equal(nmt_stream_info(s, &info), 0);
	return info;
}

static int closed_at(const struct unit *u, const struct nmt_stream *s)
{
	for (int i = 0; i < u->nev; i++)
		if (u->ev[i].stream == s && u->ev[i].type == NMT_EV_CLOSED)
			return i;
	return -1;
}

/* Status of NMT_EV_CLOSED; asserts that no event of the stream comes behind it. */
static int closed(struct unit *u, struct nmt_stream **s)
{
	int64_t limit = nmti_now() + UNIT_LIMIT;
	int at, status;

	while ((at = closed_at(u, *s)) < 0) {
		assert_true(nmti_now() < limit);
		unit_poll(u, 100 * UNIT_MS);
	}
	status = u->ev[at].status;
	for (int i = 0; i < 4; i++)
		unit_poll(u, 0);
	while (++at < u->nev)
		assert_ptr_not_equal(u->ev[at].stream, *s);
	*s = NULL;
	return status;
}

/* Until there is something to receive; a stream may be told and find that it is too early. */
static ssize_t receive(struct unit *u, struct nmt_stream *s, void *buf, size_t len)
{
	ssize_t r;

	while ((r = nmt_recv(s, buf, len, 0)) == -EAGAIN)
		unit_take(u, s, NMT_EV_READABLE);
	return r;
}

/* ---- opening ---- */

static void test_states(void **state)
{
	struct nmt_stream_attr attr = NMT_STREAM_ATTR_INIT;
	int seen = 0, last = 0, now;
	char addr[NMT_ADDR_MAX];
	struct unit u;

	(void)state;
	unit_open(&u, "tcp");
	attr.mode = NMT_MODE_NEGOTIATED;
	unit_listen(&u, &attr, addr);
	assert_int_equal(nmt_connect(u.dom, addr, &attr, &u.a), 0);
	while ((now = (int)info_of(u.a).state) != NMT_STATE_OPEN) {
		assert_true(now >= last && now >= NMT_STATE_CONNECTING);
		last = now;
		seen |= 1 << now;
		assert_int_equal(info_of(u.a).waits, 0);
		unit_poll(&u, 10 * UNIT_MS);
		if (!u.b)
			nmt_accept(u.l, NULL, &u.b);
	}
	assert_true(seen & 1 << NMT_STATE_CONNECTING);
	assert_true(seen & 1 << NMT_STATE_HANDSHAKE);
	unit_take(&u, u.a, NMT_EV_CONNECTED);
	unit_take(&u, u.b, NMT_EV_CONNECTED);
	assert_false(unit_has(&u, u.a, NMT_EV_CONNECTED)); /* each end once */
	assert_false(unit_has(&u, u.b, NMT_EV_CONNECTED));
	unit_close(&u);
}

/* ---- failing ---- */

static void test_fail_once(void **state)
{
	struct nmt_event ev;
	struct unit u;

	(void)state;
	open_mode(&u, NMT_MODE_RAW);
	nmti_stream_fail(u.a, -ETIMEDOUT);
	nmti_stream_fail(u.a, -ECONNRESET); /* the first one counts */
	ev = unit_take(&u, u.a, NMT_EV_ERROR);
	assert_int_equal(ev.status, -ETIMEDOUT);
	assert_false(unit_has(&u, u.a, NMT_EV_ERROR));
	assert_int_equal(info_of(u.a).state, NMT_STATE_FAILED);
	assert_int_equal(info_of(u.a).error, -ETIMEDOUT);
	assert_int_equal(nmt_send(u.a, "x", 1, 0), -ETIMEDOUT);
	assert_int_equal(nmt_shutdown(u.a, SHUT_WR), -ETIMEDOUT);
	assert_int_equal(nmt_close(u.a), 0);
	assert_int_equal(closed(&u, &u.a), -ETIMEDOUT);
	unit_close(&u);
}

/* A failure by the time of which the stream was closed gives no error event. */
static void test_fail_unseen(void **state)
{
	struct unit u;
	struct nmt_stream *a;

	(void)state;
	open_mode(&u, NMT_MODE_RAW);
	a = u.a;
	nmti_stream_fail(a, -ETIMEDOUT);
	assert_int_equal(nmt_close(a), 0);
	closed(&u, &u.a);
	assert_false(unit_has(&u, a, NMT_EV_ERROR));
	unit_close(&u);
}

/* Bytes that arrived before the break are still there. */
static void test_bytes_before_break(void **state)
{
	char buf[16];
	struct unit u;

	(void)state;
	for (uint32_t mode = NMT_MODE_RAW; mode <= NMT_MODE_NEGOTIATED; mode++) {
		open_mode(&u, mode);
		assert_int_equal(nmt_send(u.a, "hello", 5, 0), 5);
		unit_take(&u, u.b, NMT_EV_READABLE);
		nmti_stream_fail(u.b, -ECONNRESET);
		assert_int_equal(nmt_recv(u.b, buf, sizeof(buf), 0), 5);
		assert_int_equal(nmt_recv(u.b, buf, sizeof(buf), 0), -ECONNRESET);
		unit_take(&u, u.b, NMT_EV_ERROR);
		unit_close(&u);
	}
}

/* ---- closing ---- */

static void check_close(uint32_t mode)
{
	struct nmt_stream *a;
	char buf[8];
	struct unit u;

	open_mode(&u, mode);
	a = u.a;
	assert_int_equal(nmt_send(a, "bye", 3, 0), 3);
	assert_int_equal(nmt_close(a), 0);
	assert_int_equal(nmt_close(a), -EINVAL); /* dead for every call, while it lingers */
	assert_int_equal(nmt_abort(a), -EINVAL);
	assert_int_equal(nmt_send(a, "x", 1, 0), -EINVAL);
	assert_int_equal(nmt_recv(a, buf, 1, 0), -EINVAL);
	assert_int_equal(nmt_shutdown(a, SHUT_WR), -EINVAL);
	assert_int_equal(nmt_flush(a, 0), -EINVAL);
	assert_int_equal(nmt_stream_fd(a), -EINVAL);
	unit_take(&u, u.b, NMT_EV_READABLE);
	assert_int_equal(nmt_recv(u.b, buf, sizeof(buf), 0), 3);
	assert_int_equal(nmt_close(u.b), 0);
	assert_int_equal(closed(&u, &u.a), 0);
	assert_int_equal(closed(&u, &u.b), 0);
	assert_int_equal(u.dom->nstreams, 0);
	unit_close(&u);
}

static void test_close(void **state)
{
	(void)state;
	assert_int_equal(nmt_close(NULL), -EINVAL);
	assert_int_equal(nmt_abort(NULL), -EINVAL);
	check_close(NMT_MODE_RAW);
	check_close(NMT_MODE_NEGOTIATED);
}

static void check_end_then_close(uint32_t mode)
{
	struct unit u;
	char c;

	open_mode(&u, mode);
	assert_int_equal(nmt_close(u.a), 0);
	assert_int_equal(receive(&u, u.b, &c, 1), 0);
	assert_int_equal(nmt_close(u.b), 0);
	assert_int_equal(closed(&u, &u.a), 0);
	assert_int_equal(closed(&u, &u.b), 0);
	unit_close(&u);
}

static void test_end_then_close(void **state)
{
	(void)state;
	check_end_then_close(NMT_MODE_RAW);
	check_end_then_close(NMT_MODE_NEGOTIATED);
}

static void check_abort(uint32_t mode)
{
	struct nmt_event ev;
	struct unit u;
	char c;

	open_mode(&u, mode);
	assert_int_equal(nmt_abort(u.a), 0);
	assert_int_equal(closed(&u, &u.a), -ECONNABORTED);
	ev = unit_take(&u, u.b, NMT_EV_ERROR);
	assert_int_equal(ev.status, -ECONNRESET);
	assert_int_equal(nmt_recv(u.b, &c, 1, 0), -ECONNRESET);
	assert_int_equal(nmt_send(u.b, &c, 1, 0), -ECONNRESET);
	assert_int_equal(nmt_close(u.b), 0);
	assert_int_equal(closed(&u, &u.b), -ECONNRESET);
	unit_close(&u);
}

static void test_abort(void **state)
{
	(void)state;
	check_abort(NMT_MODE_RAW);
	check_abort(NMT_MODE_NEGOTIATED);
}

/* Borrowed memory comes back before the last event, whichever way it ends. */
static void check_borrows(bool abort)
{
	struct nmt_frag f = { .len = 100 };
	uint64_t want = 1;
	struct nmt_stream *a;
	struct nmt_mr *mr;
	struct unit u;

	open_mode(&u, NMT_MODE_RAW);
	a = u.a;
	assert_int_equal(nmt_mr_alloc(u.ctx, NMT_MEM_HOST, 100, NMT_ACCESS_ALL, &mr), 0);
	f.mr = mr;
	for (uint64_t i = 1; i <= 5; i++)
		assert_int_equal(nmt_send_mr(a, &f, 1, i < 5 ? MSG_MORE : 0, i), 0);
	assert_int_equal(abort ? nmt_abort(a) : nmt_close(a), 0);
	while (want <= 5) {
		struct nmt_event ev = unit_take(&u, a, NMT_EV_SENT);

		assert_int_equal(ev.cookie, want++);
		assert_int_equal(ev.len, 100);
	}
	assert_int_equal(closed(&u, &u.a), abort ? -ECONNABORTED : 0);
	assert_int_equal(nmt_mr_close(mr), 0);
	unit_close(&u);
}

static void test_borrows_come_back(void **state)
{
	(void)state;
	check_borrows(false);
	check_borrows(true);
}

/* Posted receives are cancelled, loans go back, and no other event follows the last. */
static void test_loans_and_posts(void **state)
{
	struct nmt_stats st = NMT_STATS_INIT;
	struct nmt_stream *b;
	struct nmt_frag f;
	struct nmt_mr *mr;
	struct unit u;

	(void)state;
	open_mode(&u, NMT_MODE_RAW);
	b = u.b;
	assert_int_equal(nmt_mr_alloc(u.ctx, NMT_MEM_HOST, 100, NMT_ACCESS_ALL, &mr), 0);
	assert_int_equal(nmt_send(u.a, "hello", 5, 0), 5);
	unit_take(&u, b, NMT_EV_READABLE);
	assert_int_equal(nmt_recv_frags(b, &f, 1, 0), 1);
	assert_int_equal(nmt_recv_into(b, mr, 0, 100, 0, 9), 0);
	assert_int_equal(nmt_close(b), 0);
	assert_int_equal(nmt_release(b, &f, 1), -EINVAL);
	assert_int_equal(unit_take(&u, b, NMT_EV_RECEIVED).status, -ECANCELED);
	assert_int_equal(closed(&u, &u.b), 0);
	assert_int_equal(nmt_stats(u.dom, NULL, &st), 0);
	assert_int_equal(st.pool_held, 0);
	assert_int_equal(nmt_mr_close(mr), 0);
	unit_close(&u);
}

/* ---- flush and close ---- */

/* All is with the peer's kernel: the flush that was asked for before the close succeeded. */
static void test_flush_and_close(void **state)
{
	struct nmt_stream *a;
	struct nmt_event ev;
	struct unit u;
	char c;

	(void)state;
	for (uint32_t mode = NMT_MODE_RAW; mode <= NMT_MODE_NEGOTIATED; mode++) {
		open_mode(&u, mode);
		a = u.a;
		assert_int_equal(nmt_send(a, "x", 1, 0), 1);
		assert_int_equal(nmt_flush(a, 4), 0);
		assert_int_equal(nmt_close(a), 0);
		ev = unit_take(&u, a, NMT_EV_FLUSHED);
		assert_int_equal(ev.cookie, 4);
		assert_int_equal(ev.status, 0);
		unit_take(&u, u.b, NMT_EV_READABLE);
		assert_int_equal(nmt_recv(u.b, &c, 1, 0), 1);
		assert_int_equal(nmt_close(u.b), 0);
		assert_int_equal(closed(&u, &u.a), 0);
		assert_int_equal(closed(&u, &u.b), 0);
		unit_close(&u);
	}
}

/* ---- lingering ---- */

static struct nmt_stream *full_stream(struct unit *u, int64_t linger, int *peer)
{
	struct nmt_stream_attr attr = NMT_STREAM_ATTR_INIT;
	static char big[1 << 20];
	int fd[2];

	unit_open(u, "tcp");
	unit_tcp_pair(fd);
	attr.linger = linger;
	u->a = unit_adopt(u, fd[1], false, &attr);
	while (nmt_send(u->a, big, sizeof(big), 0) > 0)
		;
	*peer = fd[0];
	return u->a;
}

static void test_linger(void **state)
{
	struct nmt_stream *s;
	struct unit u;
	int64_t start;
	int peer;

	(void)state;
	s = full_stream(&u, 30 * UNIT_MS, &peer);
	start = nmti_now();
	assert_int_equal(nmt_close(s), 0);
	assert_int_equal(closed(&u, &u.a), -ETIMEDOUT);
	assert_true(nmti_now() - start >= 30 * UNIT_MS);
	assert_true(unit_logged(&u, "linger"));
	close(peer);
	unit_close(&u);
}

/* The peer reads on in the meantime: all arrives. */
static void test_linger_delivers(void **state)
{
	static char buf[1 << 16];
	struct nmt_stream *s;
	struct nmt_event ev;
	uint64_t sent, got = 0;
	struct unit u;
	int peer;

	(void)state;
	s = full_stream(&u, 0, &peer);
	sent = s->stat.tx_bytes;
	assert_int_equal(nmt_close(s), 0);
	while (!unit_find(&u, s, NMT_EV_CLOSED, &ev)) {
		ssize_t r = recv(peer, buf, sizeof(buf), MSG_DONTWAIT);

		got += r > 0 ? (uint64_t)r : 0;
		unit_poll(&u, 0);
	}
	for (ssize_t r; (r = recv(peer, buf, sizeof(buf), 0)) > 0;)
		got += (uint64_t)r;
	assert_int_equal(ev.status, 0);
	assert_true(got == sent);
	u.a = NULL;
	close(peer);
	unit_close(&u);
}

/* The peer resets while bytes are on their way. */
static void test_linger_broken(void **state)
{
	struct linger now = { .l_onoff = 1 };
	struct nmt_stream *s;
	struct unit u;
	int peer;

	(void)state;
	s = full_stream(&u, 0, &peer);
	assert_int_equal(nmt_close(s), 0);
	unit_poll(&u, 0);
	assert_int_equal(setsockopt(peer, SOL_SOCKET, SO_LINGER, &now, sizeof(now)), 0);
	close(peer);
	assert_int_equal(closed(&u, &u.a), -ECONNRESET);
	unit_close(&u);
}

/* ---- counters ---- */

static void test_counters(void **state)
{
	struct nmti_counters sum = { .tx_bytes = 1, .fallback_staging = 2 };
	struct nmti_counters c = { .tx_bytes = 10, .rx_ops = 5, .fallback_staging = 20 };

	(void)state;
	nmti_counters_add(&sum, &c);
	assert_int_equal(sum.tx_bytes, 11);
	assert_int_equal(sum.rx_ops, 5);
	assert_int_equal(sum.fallback_staging, 22);
}

static void test_user(void **state)
{
	struct nmt_stream *a;
	struct unit u;
	int mine;

	(void)state;
	assert_null(nmt_stream_user(NULL));
	nmt_stream_set_user(NULL, &mine);
	open_mode(&u, NMT_MODE_RAW);
	a = u.a;
	nmt_stream_set_user(a, &mine);
	assert_ptr_equal(nmt_stream_user(a), &mine);
	assert_int_equal(nmt_close(a), 0);
	assert_ptr_equal(unit_take(&u, a, NMT_EV_CLOSED).user, &mine);
	u.a = NULL;
	unit_close(&u);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_states),
	cmocka_unit_test(test_fail_once),
	cmocka_unit_test(test_fail_unseen),
	cmocka_unit_test(test_bytes_before_break),
	cmocka_unit_test(test_close),
	cmocka_unit_test(test_end_then_close),
	cmocka_unit_test(test_abort),
	cmocka_unit_test(test_borrows_come_back),
	cmocka_unit_test(test_loans_and_posts),
	cmocka_unit_test(test_flush_and_close),
	cmocka_unit_test(test_linger),
	cmocka_unit_test(test_linger_delivers),
	cmocka_unit_test(test_linger_broken),
	cmocka_unit_test(test_counters),
	cmocka_unit_test(test_user),
};

UNIT_MAIN(tests)
