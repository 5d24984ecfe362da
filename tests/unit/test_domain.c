/* SPDX-License-Identifier: BSD-2-Clause */
/* Domains: specs, attributes, descriptors, and closing with all kinds of things open. */
#include <sys/resource.h>
#include <time.h>

#include "unit.h"

static int try_open(struct unit *u, const char *spec, const struct nmt_domain_attr *attr)
{
	struct nmt_domain *dom;
	int rc = nmt_domain_open(u->ctx, spec, attr, &dom);

	if (!rc)
		assert_int_equal(nmt_domain_close(dom), 0);
	return rc;
}

/* ---- specs ---- */

static void test_specs(void **state)
{
	static const struct {
		const char *spec;
		int rc;
	} cases[] = {
		{ "tcp", 0 },		{ "auto", 0 },		 { "tcp/lo", 0 },
		{ "nosuch", -ENODEV },	{ "TCP", -ENODEV },	 { "tcp/nosuch0", -ENODEV },
		{ "tcp/lo/x", -ENODEV }, { "auto/lo", -ENODEV }, { "nosuch/lo", -ENODEV },
		{ "", -EINVAL },	{ "/", -EINVAL },	 { "/lo", -EINVAL },
		{ "tcp/", -EINVAL },	{ "a_name_that_is_too_long", -EINVAL },
	};
	struct unit u;

	(void)state;
	unit_ctx(&u);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		unit_log_clear(&u);
		if (try_open(&u, cases[i].spec, NULL) != cases[i].rc)
			fail_msg("spec \"%s\"", cases[i].spec);
		if (cases[i].rc)
			assert_true(u.lines > 0); /* the reason is told */
	}
	unit_log_clear(&u);
	assert_int_equal(try_open(&u, "tcp/nosuch0", NULL), -ENODEV);
	assert_true(unit_logged(&u, "provider tcp/nosuch0: "));
	unit_close(&u);
}

static void test_spec_length(void **state)
{
	char spec[256] = "tcp/";
	struct unit u;

	(void)state;
	unit_ctx(&u);
	memset(spec + 4, 'x', NMT_DEV_MAX);
	assert_int_equal(try_open(&u, spec, NULL), -EINVAL);
	memset(spec + 4, 'x', sizeof(spec) - 5);
	assert_int_equal(try_open(&u, spec, NULL), -EINVAL);
	unit_close(&u);
}

static void test_environment(void **state)
{
	struct unit u;

	(void)state;
	unit_ctx(&u);
	setenv("NMT_PROVIDER", "tcp", 1);
	assert_int_equal(nmt_domain_open(u.ctx, NULL, NULL, &u.dom), 0);
	assert_false(u.dom->negotiate);
	nmt_domain_close(u.dom);
	setenv("NMT_PROVIDER", "nosuch", 1);
	assert_int_equal(nmt_domain_open(u.ctx, NULL, NULL, &u.dom), -ENODEV);
	assert_int_equal(try_open(&u, "tcp", NULL), 0); /* what the caller says counts */
	setenv("NMT_PROVIDER", "", 1);
	assert_int_equal(nmt_domain_open(u.ctx, NULL, NULL, &u.dom), 0);
	assert_true(u.dom->negotiate);
	nmt_domain_close(u.dom);
	unsetenv("NMT_PROVIDER");
	assert_int_equal(nmt_domain_open(u.ctx, NULL, NULL, &u.dom), 0);
	assert_true(u.dom->negotiate);
	unit_close(&u);
}

/* ---- what "auto" leaves out ---- */

static const char *no_device; /* why not; NULL: there is one */
static int opens, open_result;

static int query_device(struct nmt_ctx *ctx, nmti_info_fn *emit, void *arg)
{
	struct nmt_info info = { .size = sizeof(info), .device = "any" };

	(void)ctx;
	info.status = no_device ? -ENODEV : 0;
	snprintf(info.reason, sizeof(info.reason), "%s", no_device ? no_device : "");
	return emit(arg, &info);
}

static int open_device(struct nmt_pdomain *pd)
{
	(void)pd;
	opens++;
	return open_result;
}

static void no_stream(struct nmt_stream *s)
{
	(void)s;
}

static int no_path(struct nmt_stream *s, const struct nmti_path *path)
{
	(void)s, (void)path;
	return -ENODEV;
}

static int no_end(struct nmt_stream *s, int how)
{
	(void)s, (void)how;
	return 0;
}

/* In place of the best provider that there can be. */
static void add_best(struct unit *u, const char *name)
{
	struct nmt_provider_ops ops = {
		.abi = NMT_PROVIDER_ABI, .size = sizeof(ops), .name = name, .rank = 1,
		.caps = NMT_CAP_NEGOTIATED, .max_rails = 1, .stream_size = 8,
		.query = query_device, .open = open_device, .attach = no_path,
		.peer_done = no_stream, .shutdown = no_end, .close_stream = no_stream,
		.abort = no_stream, .detach = no_stream,
	};

	assert_int_equal(nmti_provider_add(u->ctx, &ops), 0);
}

static void test_left_out(void **state)
{
	static const struct {
		const char *device;
		int result, opens;
		enum nmt_reason why;
		const char *text;
	} cases[] = {
		{ NULL, 0, 1, NMT_WHY_NONE, "" },
		{ "no such adapter", 0, 0, NMT_WHY_NO_DEVICE, "verbs: no such adapter" },
		{ NULL, -EACCES, 1, NMT_WHY_NO_DEVICE, "verbs: Permission denied" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct unit u;

		unit_ctx(&u);
		add_best(&u, "verbs");
		no_device = cases[i].device;
		open_result = cases[i].result;
		opens = 0;
		assert_int_equal(nmt_domain_open(u.ctx, "auto", NULL, &u.dom), 0);
		assert_int_equal(opens, cases[i].opens);
		assert_int_equal(u.dom->why, cases[i].why);
		assert_string_equal(u.dom->why_text, cases[i].text);
		assert_int_equal(u.dom->npd, cases[i].why ? 1 : 2);
		if (cases[i].why)
			assert_true(unit_logged(&u, "not using verbs: "));
		unit_close(&u);
	}
}

/* Its streams say so, and count. */
static void test_left_out_stream(void **state)
{
	struct nmt_stream_info info = NMT_STREAM_INFO_INIT;
	struct nmt_stats st = NMT_STATS_INIT;
	struct unit u;

	(void)state;
	unit_ctx(&u);
	add_best(&u, "verbs");
	no_device = "no such adapter";
	assert_int_equal(nmt_domain_open(u.ctx, "auto", NULL, &u.dom), 0);
	unit_pair(&u, NULL);
	assert_int_equal(nmt_stream_info(u.a, &info), 0);
	assert_int_equal(info.why, NMT_WHY_NO_DEVICE);
	assert_string_equal(info.why_text, "verbs: no such adapter");
	assert_int_equal(nmt_stats(u.dom, NULL, &st), 0);
	assert_int_equal(st.fallback_path, 2);
	unit_close(&u);
}

/* ---- attributes ---- */

static void test_attributes(void **state)
{
	struct nmt_domain_attr good = NMT_DOMAIN_ATTR_INIT, attr;
	struct unit u;

	(void)state;
	unit_ctx(&u);
	assert_int_equal(nmt_domain_open(NULL, "tcp", NULL, &u.dom), -EINVAL);
	assert_int_equal(nmt_domain_open(u.ctx, "tcp", NULL, NULL), -EINVAL);
	assert_int_equal(nmt_domain_close(NULL), -EINVAL);
	assert_int_equal(try_open(&u, "tcp", &good), 0);
	attr = good;
	attr.flags = 2;
	assert_int_equal(try_open(&u, "tcp", &attr), -EINVAL);
	attr = good;
	attr.budget = 65537;
	assert_int_equal(try_open(&u, "tcp", &attr), -EINVAL);
	attr = good;
	attr.cell_size = 5000;
	assert_int_equal(try_open(&u, "tcp", &attr), -EINVAL);
	attr = good;
	attr.size = 2;
	assert_int_equal(try_open(&u, "tcp", &attr), -EINVAL);
	u.dom = NULL;
	unit_close(&u);
}

static void test_defaults(void **state)
{
	struct nmt_domain_attr attr = NMT_DOMAIN_ATTR_INIT;
	struct unit u;

	(void)state;
	unit_open_with(&u, "tcp", NULL);
	assert_int_equal(u.dom->budget, 16);
	assert_int_equal(u.dom->spin_max, sysconf(_SC_NPROCESSORS_ONLN) > 1 ? 50000 : 0);
	unit_close(&u);
	attr.spin_ns = -5;
	unit_open_with(&u, "tcp", &attr);
	assert_int_equal(u.dom->spin_max, 0);
	unit_close(&u);
	attr.spin_ns = 12345;
	unit_open_with(&u, "tcp", &attr);
	assert_int_equal(u.dom->spin_max, 12345);
	unit_close(&u);
}

/* ---- descriptors ---- */

/* Whatever descriptor is one too many: -EMFILE, nothing leaks, the context can be closed. */
static void test_no_descriptors(void **state)
{
	struct rlimit old, low;
	struct nmt_domain *dom;
	struct unit u;
	int before, next;

	(void)state;
	unit_ctx(&u);
	assert_int_equal(try_open(&u, "tcp", NULL), 0); /* what is opened once for all is open */
	before = unit_open_fds();
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	next = dup(0);
	close(next);
	for (int room = 0; room < 3; room++) {
		low = old;
		low.rlim_cur = (rlim_t)(next + room);
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
		assert_int_equal(nmt_domain_open(u.ctx, "tcp", NULL, &dom), -EMFILE);
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
		assert_int_equal(unit_open_fds(), before);
	}
	unit_close(&u);
}

/* ---- closing ---- */

static void test_close_leaves_nothing(void **state)
{
	struct nmt_stream_attr attr = NMT_STREAM_ATTR_INIT;
	int before;
	struct unit u;

	(void)state;
	unit_open(&u, "tcp"); /* once, for what libc opens and keeps */
	unit_pair(&u, NULL);
	unit_close(&u);
	for (uint32_t mode = NMT_MODE_RAW; mode <= NMT_MODE_NEGOTIATED; mode++) {
		attr.mode = mode;
		unit_ctx(&u);
		before = unit_open_fds();
		assert_int_equal(nmt_domain_open(u.ctx, "tcp", NULL, &u.dom), 0);
		unit_pair(&u, &attr);
		assert_int_equal(nmt_domain_close(u.dom), 0);
		assert_int_equal(unit_open_fds(), before);
		assert_int_equal(nmt_ctx_close(u.ctx), 0);
	}
}

/* Streams that are still being set up, accepted ones not taken, listeners: all go. */
static void test_close_half_way(void **state)
{
	struct nmt_stream_attr attr = NMT_STREAM_ATTR_INIT;
	struct nmt_stream *s[4];
	char addr[NMT_ADDR_MAX];
	int before;
	struct unit u;

	(void)state;
	unit_ctx(&u);
	before = unit_open_fds();
	attr.mode = NMT_MODE_NEGOTIATED;
	for (int polls = 0; polls < 8; polls++) {
		assert_int_equal(nmt_domain_open(u.ctx, "tcp", NULL, &u.dom), 0);
		unit_listen(&u, &attr, addr);
		for (int i = 0; i < 4; i++)
			assert_int_equal(nmt_connect(u.dom, addr, &attr, &s[i]), 0);
		for (int i = 0; i < polls; i++)
			unit_poll(&u, 0);
		if (polls > 4)
			nmt_accept(u.l, NULL, &u.b);
		nmt_domain_close(u.dom);
		assert_int_equal(unit_open_fds(), before);
		u.nev = 0;
	}
	assert_int_equal(nmt_ctx_close(u.ctx), 0);
}

static void close_with_loans(struct unit *u)
{
	struct nmt_frag frag;

	assert_int_equal(nmt_send(u->a, "hello", 5, 0), 5);
	unit_take(u, u->b, NMT_EV_READABLE);
	assert_int_equal(nmt_recv_frags(u->b, &frag, 1, 0), 1);
	assert_int_equal(nmt_domain_close(u->dom), 0);
}

static void test_close_with_loans(void **state)
{
	struct unit u;

	(void)state;
	unit_open(&u, "tcp");
	unit_pair(&u, NULL);
	close_with_loans(&u);
	assert_int_equal(nmt_ctx_close(u.ctx), 0);
}

/* Posted and borrowed regions are free again afterwards. */
static void test_close_with_posts(void **state)
{
	struct nmt_frag frag = { .len = 64 };
	struct nmt_mr *mr;
	struct unit u;

	(void)state;
	unit_open(&u, "tcp");
	unit_pair(&u, NULL);
	assert_int_equal(nmt_mr_alloc(u.ctx, NMT_MEM_HOST, 64, NMT_ACCESS_ALL, &mr), 0);
	frag.mr = mr;
	assert_int_equal(nmt_recv_into(u.b, mr, 0, 64, 0, 1), 0);
	assert_int_equal(nmt_send_mr(u.b, &frag, 1, 0, 2), 0);
	assert_int_equal(nmt_mr_close(mr), -EBUSY);
	assert_int_equal(nmt_domain_close(u.dom), 0);
	assert_int_equal(nmt_mr_close(mr), 0);
	assert_int_equal(nmt_ctx_close(u.ctx), 0);
}

/* Bytes sent before are with the peer when the call returns. */
static void test_close_delivers(void **state)
{
	uint8_t buf[20000];
	struct nmt_stream *s;
	struct unit u;
	int fd[2];

	(void)state;
	unit_open(&u, "tcp");
	unit_tcp_pair(fd);
	s = unit_adopt(&u, fd[1], false, NULL);
	unit_fill(buf, sizeof(buf), 0);
	assert_int_equal(nmt_send(s, buf, sizeof(buf) / 2, MSG_MORE), sizeof(buf) / 2);
	assert_int_equal(nmt_send(s, buf + sizeof(buf) / 2, sizeof(buf) / 2, MSG_MORE),
			 sizeof(buf) / 2);
	assert_int_equal(nmt_domain_close(u.dom), 0);
	memset(buf, 0, sizeof(buf));
	unit_read(fd[0], buf, sizeof(buf));
	unit_check(buf, sizeof(buf), 0);
	assert_int_equal(recv(fd[0], buf, 1, 0), 0);
	close(fd[0]);
	assert_int_equal(nmt_ctx_close(u.ctx), 0);
}

/* A peer that takes nothing: linger ends, and the result says so. */
static void test_close_lingers(void **state)
{
	struct nmt_stream_attr attr = NMT_STREAM_ATTR_INIT;
	static uint8_t buf[1 << 20];
	int64_t start;
	struct nmt_stream *s;
	struct unit u;
	int fd[2];

	(void)state;
	unit_open(&u, "tcp");
	unit_tcp_pair(fd);
	attr.linger = 20 * UNIT_MS;
	s = unit_adopt(&u, fd[1], false, &attr);
	while (nmt_send(s, buf, sizeof(buf), 0) > 0)
		;
	start = nmti_now();
	assert_int_equal(nmt_domain_close(u.dom), -ETIMEDOUT);
	assert_in_range(nmti_now() - start, 20 * UNIT_MS, 5 * UNIT_SEC);
	close(fd[0]);
	assert_int_equal(nmt_ctx_close(u.ctx), 0);
}

/* While it lingers it sleeps, also when somebody called nmt_wake before. */
static void test_close_sleeps(void **state)
{
	struct nmt_stream_attr attr = NMT_STREAM_ATTR_INIT;
	static uint8_t buf[1 << 20];
	struct timespec a, b;
	struct nmt_stream *s;
	struct unit u;
	int fd[2];

	(void)state;
	unit_open(&u, "tcp");
	unit_tcp_pair(fd);
	attr.linger = 200 * UNIT_MS;
	s = unit_adopt(&u, fd[1], false, &attr);
	while (nmt_send(s, buf, sizeof(buf), 0) > 0)
		;
	assert_int_equal(nmt_wake(u.dom), 0);
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &a);
	assert_int_equal(nmt_domain_close(u.dom), -ETIMEDOUT);
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &b);
	assert_in_range((b.tv_sec - a.tv_sec) * UNIT_SEC + b.tv_nsec - a.tv_nsec, 0, 100 * UNIT_MS);
	close(fd[0]);
	assert_int_equal(nmt_ctx_close(u.ctx), 0);
}

/* What an earlier stream of the domain came to is no loss of this call's. */
static void test_close_after_abort(void **state)
{
	struct nmt_stream *s;
	struct unit u;

	(void)state;
	unit_open(&u, "tcp");
	unit_pair(&u, NULL);
	assert_int_equal(nmt_abort(u.a), 0);
	unit_take(&u, u.a, NMT_EV_CLOSED);
	unit_take(&u, u.b, NMT_EV_ERROR);
	assert_int_equal(nmt_close(u.b), 0);
	unit_take(&u, u.b, NMT_EV_CLOSED);
	assert_int_equal(nmt_domain_close(u.dom), 0);
	assert_int_equal(nmt_domain_open(u.ctx, "tcp", NULL, &u.dom), 0);
	assert_int_equal(nmt_connect(u.dom, "127.0.0.1:1", NULL, &s), 0);
	unit_take(&u, s, NMT_EV_ERROR);
	assert_int_equal(nmt_close(s), 0);
	unit_take(&u, s, NMT_EV_CLOSED);
	assert_int_equal(nmt_domain_close(u.dom), 0);
	assert_int_equal(nmt_ctx_close(u.ctx), 0);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_specs),
	cmocka_unit_test(test_spec_length),
	cmocka_unit_test(test_environment),
	cmocka_unit_test(test_left_out),
	cmocka_unit_test(test_left_out_stream),
	cmocka_unit_test(test_attributes),
	cmocka_unit_test(test_defaults),
	cmocka_unit_test(test_no_descriptors),
	cmocka_unit_test(test_close_leaves_nothing),
	cmocka_unit_test(test_close_half_way),
	cmocka_unit_test(test_close_with_loans),
	cmocka_unit_test(test_close_with_posts),
	cmocka_unit_test(test_close_delivers),
	cmocka_unit_test(test_close_lingers),
	cmocka_unit_test(test_close_sleeps),
	cmocka_unit_test(test_close_after_abort),
};

UNIT_MAIN(tests)
