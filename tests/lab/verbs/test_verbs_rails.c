/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * In the guest: streams of two rails between two hosts with two cables, rxe-pair --rails 2. One
 * cable, or one adapter, is lost for good while bytes go both ways: all of them arrive once, in
 * order, over the other one. Argument: a pattern of tests, as test_verbs_ops.
 *
 * The control channel is on cable 0, so what is lost is of cable 1.
 */
#include "cable.h"
#include "rig.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/wait.h>

#define ROUND (256u << 10)

/* One end of the stream, on a host of its own. */
struct host {
	const char *name;
	int ns;
	struct nmt_ctx *ctx;
	struct nmt_domain *dom;
	struct nmt_listener *listener;
	struct nmt_stream *s;
	bool open;
	int error;
	uint64_t sent, got, limit; /* bytes; sends up to LIMIT */
	char log[65536];
	size_t log_len;
};
static struct host a, b;

/* ---- hosts ---- */

static void log_line(void *arg, enum nmt_log_level level, const char *line)
{
	struct host *h = arg;
	size_t room = sizeof(h->log) - h->log_len;

	if (getenv("RIG_VERBOSE"))
		fprintf(stderr, "%s %d: %s\n", h->name, level, line);
	if (room > 600)
		h->log_len += (size_t)snprintf(h->log + h->log_len, room, "%s\n", line);
}

static void enter(const struct host *h)
{
	if (setns(h->ns, CLONE_NEWNET))
		fail_msg("setns %s: %m", h->name);
}

static void host_open(struct host *h, const char *name)
{
	struct nmt_ctx_attr attr = { .size = sizeof(attr), .log = log_line, .log_arg = h,
				     .log_level = NMT_LOG_DEBUG + 1 };
	char text[64];
	int rc;

	memset(h, 0, sizeof(*h));
	h->name = name;
	snprintf(text, sizeof(text), "/run/netns/%s", name);
	h->ns = open(text, O_RDONLY | O_CLOEXEC);
	enter(h);
	assert_int_equal(nmt_ctx_open(&attr, &h->ctx), 0);
	snprintf(text, sizeof(text), "verbs/rxe_%s0,rxe_%s1", name, name);
	rc = nmt_domain_open(h->ctx, text, NULL, &h->dom);
	if (rc)
		fail_msg("%s: %s\n%s", text, nmt_strerror(rc), h->log);
}

static void host_close(struct host *h)
{
	enter(h);
	nmt_domain_close(h->dom);
	assert_int_equal(nmt_ctx_close(h->ctx), 0);
	close(h->ns);
}

/* ---- traffic ---- */

static uint8_t pattern(const struct host *from, uint64_t at)
{
	return (uint8_t)((at * 167) ^ (at >> 11) ^ (uint64_t)from->name[0]);
}

static void send_some(struct host *h)
{
	uint8_t buf[8192];
	uint64_t n = h->limit - h->sent < sizeof(buf) ? h->limit - h->sent : sizeof(buf);
	ssize_t rc;

	for (uint64_t i = 0; i < n; i++)
		buf[i] = pattern(h, h->sent + i);
	rc = n ? nmt_send(h->s, buf, n, 0) : 0;
	h->sent += rc > 0 ? (uint64_t)rc : 0;
}

static void recv_some(struct host *h, const struct host *from)
{
	uint8_t buf[8192];
	ssize_t rc = nmt_recv(h->s, buf, sizeof(buf), 0);

	for (ssize_t i = 0; i < rc; i++)
		if (buf[i] != pattern(from, h->got + (uint64_t)i))
			fail_msg("host %s: byte %llu is wrong", h->name,
				 (unsigned long long)h->got + (unsigned long long)i);
	h->got += rc > 0 ? (uint64_t)rc : 0;
}

static void on_event(struct host *h, const struct nmt_event *ev)
{
	if (ev->type == NMT_EV_ACCEPT) {
		int rc = nmt_accept(h->listener, NULL, &h->s);

		assert_true(rc == 0 || rc == -EAGAIN);
	}
	h->open |= ev->type == NMT_EV_CONNECTED;
	if (ev->type == NMT_EV_ERROR)
		h->error = ev->status;
}

static void step(struct host *h, const struct host *other)
{
	struct nmt_event ev[16];
	int n;

	enter(h);
	n = nmt_poll(h->dom, ev, 16, 0);
	for (int i = 0; i < n; i++)
		on_event(h, &ev[i]);
	if (!h->open || h->error)
		return;
	send_some(h);
	recv_some(h, other);
}

#define UNTIL(limit, cond)                                                                         \
	do {                                                                                       \
		int64_t until_ = nmti_now() + (limit);                                             \
		while (!(cond)) {                                                                  \
			if (nmti_now() >= until_)                                                  \
				fail_msg("not within %lld ms: %s\n--- a\n%s--- b\n%s",             \
					 (long long)((limit) / MS), #cond, a.log, b.log);          \
			step(&a, &b);                                                              \
			step(&b, &a);                                                              \
		}                                                                                  \
	} while (0)

/* MORE bytes each way, all of them arrived. */
static void go_on(uint64_t more)
{
	a.limit += more;
	b.limit += more;
	UNTIL(RIG_LIMIT, b.got == a.limit && a.got == b.limit);
	assert_int_equal(a.error | b.error, 0);
}

static bool logged(const struct host *h, const char *text)
{
	return strstr(h->log, text);
}

/* "rxe_HOST" CABLE WHAT is in its log. */
static bool device_logged(const struct host *h, char cable, const char *what)
{
	char text[64];

	snprintf(text, sizeof(text), "rxe_%s%c: %s", h->name, cable, what);
	return logged(h, text);
}

static void logs_clear(void)
{
	a.log_len = b.log_len = 0;
	a.log[0] = b.log[0] = '\0';
}

static void stream_open(int64_t recovery)
{
	struct nmt_stream_attr attr = NMT_STREAM_ATTR_INIT;
	char addr[NMT_ADDR_MAX];

	host_open(&a, "a");
	host_open(&b, "b");
	attr.rails = 2;
	attr.recovery_timeout = recovery;
	enter(&b);
	assert_int_equal(nmt_listen(b.dom, "10.77.0.2:0", &attr, &b.listener), 0);
	assert_int_equal(nmt_listener_addr(b.listener, addr, sizeof(addr)), 0);
	enter(&a);
	assert_int_equal(nmt_connect(a.dom, addr, &attr, &a.s), 0);
	UNTIL(RIG_LIMIT, a.open && b.open);
	go_on(ROUND);
	for (char cable = '0'; cable < '2'; cable++) /* both are used, each by a rail */
		assert_true(device_logged(&a, cable, "rail") && device_logged(&b, cable, "rail"));
	logs_clear();
}

static void stream_close(void)
{
	enter(&a);
	nmt_abort(a.s);
	enter(&b);
	nmt_abort(b.s);
	host_close(&a);
	host_close(&b);
}

/* ---- one cable ---- */

/* Lose something by COMMAND while bytes are under way; the stream goes on over cable LEFT. */
static void lose(const char *command, int64_t limit, const char *what, char left)
{
	char gone = left == '0' ? '1' : '0';
	int64_t begin;

	a.limit += 64 * ROUND; /* far more than can be sent meanwhile */
	b.limit += 64 * ROUND;
	UNTIL(RIG_LIMIT, a.got > ROUND + 20000 && b.got > ROUND + 20000);
	begin = nmti_now();
	assert_int_equal(rig_shell("%s", command), 0);
	UNTIL(limit, (logged(&a, "path is back") && logged(&b, "path is back")) || a.error || b.error);
	if (a.error || b.error)
		fail_msg("%s: %d, %d\n--- a\n%s--- b\n%s", what, a.error, b.error, a.log, b.log);
	print_message("%s: resumed after %lld ms\n", what, (long long)((nmti_now() - begin) / MS));
	a.limit = a.sent;
	b.limit = b.sent;
	go_on(ROUND);
	assert_true(device_logged(&a, left, "rail 0") && device_logged(&a, left, "rail 1"));
	assert_true(device_logged(&b, left, "rail 0") && device_logged(&b, left, "rail 1"));
	assert_false(device_logged(&a, gone, "rail 0, epoch") ||
		     device_logged(&a, gone, "rail 1, epoch"));
}

static void test_link(void **state)
{
	(void)state;
	stream_open(0);
	lose("ip -n b link set veth_b1 down", 5 * SEC, "link down", '0');
	cable_in("1");
	stream_close();
}

/* Packets vanish in both directions, and no port says so: the retries of the adapter find out. */
static void test_silent(void **state)
{
	(void)state;
	stream_open(0);
	lose("ip netns exec a tc qdisc add dev veth_a1 root netem loss 100% && "
	     "ip netns exec b tc qdisc add dev veth_b1 root netem loss 100%", 10 * SEC,
	     "packets vanish", '0');
	assert_int_equal(rig_shell("ip netns exec a tc qdisc del dev veth_a1 root; "
				   "ip netns exec b tc qdisc del dev veth_b1 root"), 0);
	stream_close();
}

/* ---- both cables ---- */

static void test_both(void **state)
{
	int64_t begin;

	(void)state;
	stream_open(3 * SEC);
	a.limit += 64 * ROUND;
	begin = nmti_now();
	cable_out("1");
	cable_out("0");
	UNTIL(8 * SEC, a.error && b.error);
	print_message("both cables: given up after %lld ms\n",
		      (long long)((nmti_now() - begin) / MS));
	assert_true(nmti_now() - begin > 2 * SEC);
	cable_in("0");
	cable_in("1");
	stream_close();
}

/* ---- an adapter ---- */

/* Removed under the stream; the domain goes on with the other, also for what is new. */
static void test_removed(void **state)
{
	(void)state;
	stream_open(0);
	lose("rdma link delete rxe_a1 &", 5 * SEC, "adapter removed", '0');
	assert_true(logged(&a, "the adapter is gone"));
	stream_close();
	assert_int_equal(rig_shell("ip netns exec a rdma link add rxe_a1 type rxe netdev veth_a1"), 0);
	sleep(1); /* its GIDs come a moment later */
}

/* A cable that came back is there for the stream that left it, once it loses the other one. */
static void test_back(void **state)
{
	(void)state;
	stream_open(0);
	lose("ip -n b link set veth_b1 down", 5 * SEC, "link down", '0');
	cable_in("1");
	UNTIL(RIG_LIMIT, device_logged(&a, '1', "the port is up") &&
	      device_logged(&b, '1', "the port is up"));
	logs_clear();
	lose("rdma link delete rxe_a0 &", 5 * SEC, "the other adapter removed", '1');
	stream_close();
	assert_int_equal(rig_shell("ip netns exec a rdma link add rxe_a0 type rxe netdev veth_a0"), 0);
	sleep(1); /* its GIDs come a moment later */
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_link),
		cmocka_unit_test(test_silent),
		cmocka_unit_test(test_removed),
		cmocka_unit_test(test_back),
		cmocka_unit_test(test_both),
	};

	alarm(120);
	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests_name("verbs rails", tests, NULL, NULL);
}
