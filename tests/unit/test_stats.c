/* SPDX-License-Identifier: BSD-2-Clause */
/* Counters and state: what a transfer, a stall, a failure count; sizes of other versions. */
#include "unit.h"

static struct nmt_stats of(const struct nmt_domain *dom, const struct nmt_stream *s)
{
	struct nmt_stats st = NMT_STATS_INIT;

	assert_int_equal(nmt_stats(dom, s, &st), 0);
	return st;
}

static struct nmt_stream_info info_of(const struct nmt_stream *s)
{
	struct nmt_stream_info info = NMT_STREAM_INFO_INIT;

	assert_int_equal(nmt_stream_info(s, &info), 0);
	return info;
}

static void open_pair(struct unit *u, uint32_t mode, uint32_t flags)
{
	struct nmt_stream_attr attr = NMT_STREAM_ATTR_INIT;

	attr.mode = mode;
	attr.flags = flags;
	unit_open(u, "tcp");
	unit_pair(u, &attr);
}

/* ---- counters ---- */

static void test_bytes(void **state)
{
	struct nmt_stats a, b, dom;
	struct nmt_frag f;
	struct unit u;
	char buf[64];

	(void)state;
	open_pair(&u, NMT_MODE_RAW, 0);
	assert_int_equal(nmt_send(u.a, buf, 30, 0), 30);
	assert_int_equal(nmt_send(u.a, buf, 20, 0), 20);
	unit_arrived(u.b->ops->fd(u.b), 50);
	unit_take(&u, u.b, NMT_EV_READABLE);
	assert_int_equal(nmt_recv(u.b, buf, 10, MSG_PEEK), 10);
	assert_int_equal(of(NULL, u.b).rx_bytes, 0); /* a look takes nothing */
	assert_int_equal(nmt_recv(u.b, buf, 10, 0), 10);
	assert_int_equal(nmt_recv_frags(u.b, &f, 1, 0), 1);
	a = of(NULL, u.a);
	b = of(NULL, u.b);
	dom = of(u.dom, NULL);
	assert_int_equal(a.tx_bytes, 50);
	assert_int_equal(a.tx_ops, 2);
	assert_int_equal(a.tx_syscalls, 2);
	assert_int_equal(a.tx_copied, 0);
	assert_int_equal(a.rx_bytes, 0);
	assert_int_equal(b.rx_bytes, 50);
	assert_int_equal(b.rx_ops, 2);
	assert_int_equal(b.rx_copied, 0);
	assert_int_equal(b.pool_held, 4096);
	assert_int_equal(dom.tx_bytes, 50);
	assert_int_equal(dom.rx_bytes, 50);
	assert_int_equal(dom.pool_held, 4096);
	assert_int_equal(info_of(u.b).lent, 40);
	assert_int_equal(info_of(u.b).held, 4096);
	unit_close(&u);
}

/* What streams did that are gone stays in the domain's sums. */
static void test_gone(void **state)
{
	struct nmt_stats dom;
	struct unit u;

	(void)state;
	open_pair(&u, NMT_MODE_RAW, 0);
	assert_int_equal(of(u.dom, NULL).streams, 2);
	assert_int_equal(nmt_send(u.a, "hello", 5, 0), 5);
	nmt_abort(u.a);
	nmt_abort(u.b);
	unit_take(&u, u.a, NMT_EV_CLOSED);
	unit_take(&u, u.b, NMT_EV_CLOSED);
	dom = of(u.dom, NULL);
	assert_int_equal(dom.streams, 0);
	assert_int_equal(dom.tx_bytes, 5);
	assert_int_equal(dom.connects, 1);
	assert_int_equal(dom.accepts, 1);
	assert_int_equal(dom.pool_reserved, 0);
	assert_int_equal(dom.stream_memory, 0);
	u.a = u.b = NULL;
	unit_close(&u);
}

static void test_failures(void **state)
{
	struct nmt_stream *s;
	struct unit u;

	(void)state;
	unit_open(&u, "tcp");
	assert_int_equal(nmt_connect(u.dom, "127.0.0.1:1", NULL, &s), 0);
	unit_take(&u, s, NMT_EV_ERROR);
	assert_int_equal(of(u.dom, NULL).failures, 1);
	assert_int_equal(of(u.dom, NULL).connects, 1);
	unit_close(&u);
}

static void test_events(void **state)
{
	struct nmt_event ev[8];
	uint64_t before;
	struct unit u;
	int n;

	(void)state;
	open_pair(&u, NMT_MODE_RAW, 0);
	unit_has(&u, u.a, 0);
	before = of(u.dom, NULL).events;
	assert_int_equal(nmt_send(u.a, "x", 1, 0), 1);
	n = nmt_poll(u.dom, ev, 8, UNIT_LIMIT);
	assert_int_equal(of(u.dom, NULL).events, before + (uint64_t)n);
	assert_true(of(u.dom, NULL).poll_syscalls > 0);
	unit_close(&u);
}

static void test_stalls(void **state)
{
	static char big[1 << 20];
	struct nmt_stream_attr attr = NMT_STREAM_ATTR_INIT;
	struct nmt_frag f[4];
	struct unit u;

	(void)state;
	unit_open(&u, "tcp");
	attr.pool_share = 4096;
	unit_pair(&u, &attr);
	while (nmt_send(u.a, big, sizeof(big), 0) > 0)
		;
	assert_true(of(NULL, u.a).stall_window >= 1);
	assert_true(info_of(u.a).waits & NMT_WAIT_WINDOW);
	unit_take(&u, u.b, NMT_EV_READABLE);
	assert_true(info_of(u.b).waits & NMT_WAIT_APP);
	assert_int_equal(nmt_recv_frags(u.b, f, 4, 0), 1);
	assert_int_equal(nmt_recv_frags(u.b, f + 1, 3, 0), -ENOBUFS);
	assert_int_equal(of(NULL, u.b).stall_memory, 1);
	assert_true(info_of(u.b).waits & NMT_WAIT_MEMORY);
	assert_int_equal(nmt_release(u.b, f, 1), 0);
	unit_take(&u, u.b, NMT_EV_READABLE);
	assert_false(info_of(u.b).waits & NMT_WAIT_MEMORY);
	unit_close(&u);
}

/* All memory of a stream is counted: what a batch, borrows and posts need too. */
static void test_stream_memory(void **state)
{
	uint64_t idle, now;
	struct nmt_frag f = { .len = 1 };
	struct nmt_mr *mr;
	struct unit u;

	(void)state;
	open_pair(&u, NMT_MODE_RAW, 0);
	idle = of(NULL, u.a).stream_memory;
	assert_in_range(idle, 1, 2048);
	assert_int_equal(of(u.dom, NULL).stream_memory, 2 * idle);
	assert_int_equal(nmt_mr_alloc(u.ctx, NMT_MEM_HOST, 64, NMT_ACCESS_ALL, &mr), 0);
	f.mr = mr;
	assert_int_equal(nmt_send(u.a, "x", 1, MSG_MORE), 1);
	now = of(NULL, u.a).stream_memory;
	assert_true(now > idle);
	assert_int_equal(nmt_send_mr(u.a, &f, 1, 0, 1), 0);
	assert_true(of(NULL, u.a).stream_memory > now);
	now = of(NULL, u.a).stream_memory;
	assert_int_equal(nmt_recv_into(u.a, mr, 0, 64, 0, 1), 0);
	assert_true(of(NULL, u.a).stream_memory > now);
	assert_int_equal(nmt_domain_close(u.dom), 0);
	assert_int_equal(nmt_mr_close(mr), 0);
	u.a = u.b = NULL;
	u.dom = NULL;
	unit_close(&u);
}

static void test_sizes(void **state)
{
	struct {
		struct nmt_stats st;
		uint64_t later;
	} big;
	struct nmt_stats st;
	struct unit u;

	(void)state;
	open_pair(&u, NMT_MODE_RAW, 0);
	assert_int_equal(nmt_send(u.a, "hello", 5, 0), 5);
	assert_int_equal(nmt_stats(NULL, NULL, &st), -EINVAL);
	assert_int_equal(nmt_stats(u.dom, NULL, NULL), -EINVAL);
	memset(&st, 0xee, sizeof(st));
	st.size = 4;
	assert_int_equal(nmt_stats(u.dom, NULL, &st), -EINVAL);
	st.size = offsetof(struct nmt_stats, rx_bytes); /* an older caller */
	assert_int_equal(nmt_stats(u.dom, NULL, &st), 0);
	assert_int_equal(st.size, offsetof(struct nmt_stats, rx_bytes));
	assert_int_equal(st.tx_bytes, 5);
	assert_int_equal(st.rx_bytes, UINT64_C(0xeeeeeeeeeeeeeeee));
	memset(&big, 0xee, sizeof(big)); /* a newer one */
	big.st.size = sizeof(big);
	assert_int_equal(nmt_stats(u.dom, NULL, &big.st), 0);
	assert_int_equal(big.st.tx_bytes, 5);
	assert_int_equal(big.st.size, sizeof(big));
	unit_close(&u);
}

/* ---- state ---- */

static void test_info(void **state)
{
	char addr[NMT_ADDR_MAX];
	struct nmt_stream_info a, b;
	struct unit u;

	(void)state;
	open_pair(&u, NMT_MODE_RAW, NMT_STREAM_NAGLE);
	assert_int_equal(nmt_listener_addr(u.l, addr, sizeof(addr)), 0);
	a = info_of(u.a);
	b = info_of(u.b);
	assert_int_equal(a.state, NMT_STATE_OPEN);
	assert_int_equal(a.mode, NMT_MODE_RAW);
	assert_string_equal(a.provider, "tcp");
	assert_string_equal(a.device, "any");
	assert_string_equal(a.peer, addr);
	assert_string_equal(b.local, addr);
	assert_string_equal(a.local, b.peer);
	assert_int_equal(a.rails, 1);
	assert_int_equal(a.flags, NMT_STREAM_NAGLE);
	assert_true(a.caps & NMT_CAP_RAW && a.caps & NMT_CAP_FD);
	assert_false(a.caps & NMT_CAP_RECORDS);
	assert_int_equal(a.error, 0);
	assert_int_equal(a.why, NMT_WHY_NONE);
	assert_string_equal(a.why_text, "");
	assert_true(a.waits & NMT_WAIT_PEER);
	assert_int_equal(a.unsent, 0);
	unit_close(&u);
}

static void test_info_negotiated(void **state)
{
	struct nmt_stream_info a;
	struct unit u;

	(void)state;
	open_pair(&u, NMT_MODE_NEGOTIATED, NMT_STREAM_RECORDS);
	a = info_of(u.a);
	assert_int_equal(a.mode, NMT_MODE_NEGOTIATED);
	assert_true(a.caps & NMT_CAP_NEGOTIATED && a.caps & NMT_CAP_RECORDS);
	assert_false(a.caps & NMT_CAP_RAW);
	assert_false(a.caps & NMT_CAP_FD);
	assert_int_equal(a.flags, NMT_STREAM_RECORDS);
	unit_close(&u);
}

static void test_info_device(void **state)
{
	struct unit u;

	(void)state;
	unit_open(&u, "tcp/lo");
	unit_pair(&u, NULL);
	assert_string_equal(info_of(u.a).device, "lo");
	unit_close(&u);
}

/* A stream that was never open says what it can, and why not. */
static void test_info_early(void **state)
{
	struct nmt_stream_info info;
	struct unit u;

	(void)state;
	unit_open(&u, "tcp");
	assert_int_equal(nmt_connect(u.dom, "127.0.0.1:1", NULL, &u.a), 0);
	info = info_of(u.a);
	assert_string_equal(info.provider, "");
	assert_string_equal(info.peer, "");
	unit_take(&u, u.a, NMT_EV_ERROR);
	info = info_of(u.a);
	assert_int_equal(info.state, NMT_STATE_FAILED);
	assert_int_equal(info.error, -ECONNREFUSED);
	assert_int_equal(info.why, NMT_WHY_PATH);
	assert_string_equal(info.why_text, nmt_reason_str(NMT_WHY_PATH));
	unit_close(&u);
}

static void test_info_sizes(void **state)
{
	struct nmt_stream_info info;
	struct unit u;

	(void)state;
	open_pair(&u, NMT_MODE_RAW, 0);
	memset(&info, 0xee, sizeof(info));
	assert_int_equal(nmt_stream_info(NULL, &info), -EINVAL);
	assert_int_equal(nmt_stream_info(u.a, NULL), -EINVAL);
	info.size = 0;
	assert_int_equal(nmt_stream_info(u.a, &info), -EINVAL);
	info.size = offsetof(struct nmt_stream_info, mode);
	assert_int_equal(nmt_stream_info(u.a, &info), 0);
	assert_int_equal(info.state, NMT_STATE_OPEN);
	assert_int_equal(info.mode, 0xeeeeeeee);
	unit_close(&u);
}

/* Bytes taken but not with the kernel are unsent; those that the peer's kernel has not, unacked. */
static void test_unsent(void **state)
{
	static char big[1 << 20];
	struct unit u;

	(void)state;
	open_pair(&u, NMT_MODE_RAW, 0);
	assert_int_equal(nmt_send(u.a, big, 100, MSG_MORE), 100);
	assert_int_equal(info_of(u.a).unsent, 100);
	assert_true(info_of(u.a).waits & NMT_WAIT_QUEUE);
	assert_int_equal(nmt_send(u.a, big, 100, 0), 100);
	assert_int_equal(info_of(u.a).unsent, 0);
	assert_false(info_of(u.a).waits & NMT_WAIT_QUEUE);
	while (nmt_send(u.a, big, sizeof(big), 0) > 0)
		;
	assert_true(info_of(u.a).unacked > 0);
	unit_close(&u);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_bytes),	 cmocka_unit_test(test_gone),
	cmocka_unit_test(test_failures), cmocka_unit_test(test_events),
	cmocka_unit_test(test_stalls),	 cmocka_unit_test(test_stream_memory),
	cmocka_unit_test(test_sizes),	 cmocka_unit_test(test_info),
	cmocka_unit_test(test_info_negotiated), cmocka_unit_test(test_info_device),
	cmocka_unit_test(test_info_early), cmocka_unit_test(test_info_sizes),
	cmocka_unit_test(test_unsent),
};

UNIT_MAIN(tests)
