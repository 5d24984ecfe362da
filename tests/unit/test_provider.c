/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The provider table: built-in ones, adding and replacing, defaults for missing ops, ABI refusal,
 * and modules. Modules are built from module/module.c into NMT_MODULE_DIR, one file for each way
 * to be wrong.
 */
#include <sys/eventfd.h>

#include "unit.h"

/* ---- a provider that does nothing ---- */

static int nothing_attach(struct nmt_stream *s, const struct nmti_path *path)
{
	(void)s;
	close(path->fd);
	return -EOPNOTSUPP;
}

static int nothing_shutdown(struct nmt_stream *s, int how)
{
	(void)s, (void)how;
	return 0;
}

static void nothing(struct nmt_stream *s)
{
	(void)s;
}

static struct nmt_provider_ops minimal(const char *name)
{
	struct nmt_provider_ops ops = {
		.abi = NMT_PROVIDER_ABI,
		.size = sizeof(ops),
		.name = name,
		.caps = NMT_CAP_RAW,
		.max_rails = 1,
		.default_mode = NMT_MODE_RAW,
		.data_socket = true,
		.attach = nothing_attach,
		.shutdown = nothing_shutdown,
		.close_stream = nothing,
		.abort = nothing,
		.detach = nothing,
	};

	return ops;
}

/* ---- the table ---- */

static void test_builtin(void **state)
{
	const struct nmt_provider_ops *tcp;
	struct unit u;

	(void)state;
	unit_ctx(&u);
	tcp = nmti_provider_find(u.ctx, "tcp");
	assert_non_null(tcp);
	assert_string_equal(tcp->name, "tcp");
	assert_int_equal(tcp->abi, NMT_PROVIDER_ABI);
	assert_null(nmti_provider_find(u.ctx, "tc"));
	assert_null(nmti_provider_find(u.ctx, ""));
	unit_close(&u);
}

static void test_names(void **state)
{
	int n = 0;

	(void)state;
	for (; nmti_provider_names[n]; n++) {
		assert_in_range(strlen(nmti_provider_names[n]), 1, NMT_NAME_MAX - 1);
		for (int k = 0; k < n; k++)
			assert_string_not_equal(nmti_provider_names[n], nmti_provider_names[k]);
	}
	assert_string_equal(nmti_provider_names[n - 1], "tcp"); /* the last resort */
}

static void test_abi(void **state)
{
	struct nmt_provider_ops ops = minimal("mine"), bad;
	struct unit u;

	(void)state;
	unit_ctx(&u);
	bad = ops;
	bad.abi++;
	assert_int_equal(nmti_provider_add(u.ctx, &bad), -EPROTONOSUPPORT);
	bad = ops;
	bad.size -= 8;
	assert_int_equal(nmti_provider_add(u.ctx, &bad), -EPROTONOSUPPORT);
	bad = ops;
	bad.name = NULL;
	assert_int_equal(nmti_provider_add(u.ctx, &bad), -EINVAL);
	bad = ops;
	bad.attach = NULL;
	assert_int_equal(nmti_provider_add(u.ctx, &bad), -EINVAL);
	bad = ops;
	bad.shutdown = NULL;
	assert_int_equal(nmti_provider_add(u.ctx, &bad), -EINVAL);
	bad = ops;
	bad.close_stream = NULL;
	assert_int_equal(nmti_provider_add(u.ctx, &bad), -EINVAL);
	bad = ops;
	bad.abort = NULL;
	assert_int_equal(nmti_provider_add(u.ctx, &bad), -EINVAL);
	bad = ops;
	bad.detach = NULL;
	assert_int_equal(nmti_provider_add(u.ctx, &bad), -EINVAL);
	assert_null(nmti_provider_find(u.ctx, "mine"));
	assert_int_equal(nmti_provider_add(u.ctx, &ops), 0);
	unit_close(&u);
}

/* One of the same name is replaced; the ops are copied. */
static void test_replace(void **state)
{
	struct nmt_provider_ops ops = minimal("mine");
	struct unit u;

	(void)state;
	unit_ctx(&u);
	ops.rank = 5;
	assert_int_equal(nmti_provider_add(u.ctx, &ops), 0);
	ops.rank = 6;
	assert_int_equal(nmti_provider_find(u.ctx, "mine")->rank, 5);
	assert_int_equal(nmti_provider_add(u.ctx, &ops), 0);
	assert_int_equal(nmti_provider_find(u.ctx, "mine")->rank, 6);
	unit_close(&u);
}

static void test_full(void **state)
{
	static char names[NMTI_PROVIDERS_MAX][8];
	struct nmt_provider_ops ops;
	struct unit u;
	int rc = 0, n = 0, builtin;

	(void)state;
	unit_ctx(&u);
	builtin = u.ctx->nproviders;
	for (; n < NMTI_PROVIDERS_MAX && !rc; n++) {
		snprintf(names[n], sizeof(names[n]), "p%d", n);
		ops = minimal(names[n]);
		rc = nmti_provider_add(u.ctx, &ops);
	}
	assert_int_equal(rc, -ENOSPC);
	assert_int_equal(n - 1, NMTI_PROVIDERS_MAX - builtin);
	ops = minimal("p0");
	assert_int_equal(nmti_provider_add(u.ctx, &ops), 0); /* replacing needs none */
	unit_close(&u);
}

/* ---- defaults ---- */

static void test_defaults_filled(void **state)
{
	struct nmt_provider_ops ops = minimal("mine");

	(void)state;
	nmti_provider_defaults(&ops);
	assert_non_null(ops.query);
	assert_non_null(ops.open);
	assert_non_null(ops.close);
	assert_null(ops.progress); /* the core looks before it calls these */
	assert_null(ops.arm);
	assert_ptr_equal(ops.attach, nothing_attach);
	assert_ptr_equal(ops.release, nmti_release);
}

static void test_defaults_answer(void **state)
{
	struct nmt_provider_ops ops = minimal("mine");
	size_t len = 8;
	int64_t v = 0;

	(void)state;
	nmti_provider_defaults(&ops);
	assert_int_equal(ops.query(NULL, NULL, NULL), 0);
	assert_int_equal(ops.open(NULL), 0);
	assert_int_equal(ops.offer(NULL, NULL, NULL, 0), 0);
	assert_int_equal(ops.send(NULL, NULL, 0, 0), -EOPNOTSUPP);
	assert_int_equal(ops.recv(NULL, NULL, 0, 0, NULL), -EOPNOTSUPP);
	assert_int_equal(ops.send_mr(NULL, NULL, 0, 0, 0), -EOPNOTSUPP);
	assert_int_equal(ops.recv_frags(NULL, NULL, 0), -EOPNOTSUPP);
	assert_int_equal(ops.recv_into(NULL, NULL, 0, 0, 0, 0), -EOPNOTSUPP);
	assert_int_equal(ops.recv_cancel(NULL, 0), -EOPNOTSUPP);
	assert_int_equal(ops.flush(NULL, 0), -EOPNOTSUPP);
	assert_false(ops.work(NULL, 1));
	assert_int_equal(ops.reap_tx(NULL, NULL, 0), 0);
	assert_int_equal(ops.reap_rx(NULL, NULL, 0), 0);
	assert_int_equal(ops.setopt(NULL, NMT_OPT_TOS, &v, len), -ENOPROTOOPT);
	assert_int_equal(ops.getopt(NULL, NMT_OPT_TOS, &v, &len), -ENOPROTOOPT);
	assert_int_equal(ops.fd(NULL), -EOPNOTSUPP);
	ops.close(NULL);
	ops.info(NULL, NULL);
}

/* A domain and a failing connect over a provider with nothing but the required ops. */
static void test_minimal_works(void **state)
{
	struct nmt_provider_ops ops = minimal("mine");
	char addr[NMT_ADDR_MAX];
	struct nmt_event ev;
	struct unit u;

	(void)state;
	unit_ctx(&u);
	assert_int_equal(nmti_provider_add(u.ctx, &ops), 0);
	assert_int_equal(nmt_domain_open(u.ctx, "mine", NULL, &u.dom), 0);
	unit_listen(&u, NULL, addr);
	assert_int_equal(nmt_connect(u.dom, addr, NULL, &u.a), 0);
	ev = unit_take(&u, u.a, NMT_EV_ERROR);
	assert_int_equal(ev.status, -EOPNOTSUPP);
	unit_close(&u);
}

struct probe {
	struct nmti_source src;
	uint32_t events;
};

static void probe_ready(struct nmti_source *src, uint32_t events)
{
	nmti_container(src, struct probe, src)->events |= events;
}

/* The socket of an attach that failed is gone: the next descriptor of its number starts afresh. */
static void test_failed_attach(void **state)
{
	struct nmt_provider_ops ops = minimal("mine");
	struct probe p = { .src.ready = probe_ready };
	char addr[64];
	struct unit u;
	int l = unit_tcp_listen(), next;

	(void)state;
	unit_ctx(&u);
	assert_int_equal(nmti_provider_add(u.ctx, &ops), 0);
	assert_int_equal(nmt_domain_open(u.ctx, "mine", NULL, &u.dom), 0);
	snprintf(addr, sizeof(addr), "127.0.0.1:%u", unit_port(l));
	next = dup(0);
	close(next);
	assert_int_equal(nmt_connect(u.dom, addr, NULL, &u.a), 0);
	unit_take(&u, u.a, NMT_EV_ERROR);
	p.src.fd = eventfd(0, EFD_NONBLOCK);
	assert_int_equal(p.src.fd, next);
	assert_int_equal(nmti_watch(u.dom, &p.src, NMTI_SOCK_EVENTS), 0);
	for (int i = 0; i < 3; i++)
		unit_poll(&u, 0);
	assert_int_equal(p.events & EPOLLIN, 0);
	assert_int_equal(eventfd_write(p.src.fd, 1), 0);
	for (int i = 0; i < 3; i++)
		unit_poll(&u, 0);
	assert_true(p.events & EPOLLIN);
	nmti_unwatch(u.dom, &p.src);
	close(p.src.fd);
	close(l);
	unit_close(&u);
}

/* ---- looking for modules ---- */

static struct nmt_ctx *open_at(struct unit *u, const char *path)
{
	unit_ctx(u);
	free(u->ctx->provider_path);
	u->ctx->provider_path = strdup(path);
	return u->ctx;
}

static void test_bad_names(void **state)
{
	static const char *const bad[] = {
		"", "TCP", "../tcp", "a/b", "a.b", "a b", "averyveryverylongname",
	};
	struct unit u;
	char why[128];

	(void)state;
	open_at(&u, "/tmp");
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		why[0] = '\0';
		assert_null(nmti_provider_load(u.ctx, bad[i], why, sizeof(why)));
		assert_true(strlen(why) > 0);
	}
	unit_close(&u);
}

static void test_no_module(void **state)
{
	struct unit u;
	char why[128];

	(void)state;
	open_at(&u, "::/nonexistent/one:/nonexistent/two:");
	assert_null(nmti_provider_load(u.ctx, "uring", why, sizeof(why)));
	assert_non_null(strstr(why, "/nonexistent/one"));
	assert_true(unit_logged(&u, "/nonexistent/two/libnmt-uring.so"));
	unit_close(&u);
}

#ifdef NMT_MODULE_DIR
static void test_module(void **state)
{
	const struct nmt_provider_ops *ops;
	struct nmt_domain *dom;
	struct unit u;
	char why[128];

	(void)state;
	open_at(&u, "/nonexistent:" NMT_MODULE_DIR "/good");
	ops = nmti_provider_load(u.ctx, "uring", why, sizeof(why));
	assert_non_null(ops);
	assert_string_equal(ops->name, "uring");
	assert_int_equal(ops->rank, 70);
	assert_int_equal(ops->fd(NULL), -EOPNOTSUPP); /* defaults are in */
	assert_ptr_equal(nmti_provider_load(u.ctx, "uring", why, sizeof(why)), ops);
	assert_int_equal(nmt_domain_open(u.ctx, "uring", NULL, &dom), 0);
	assert_int_equal(nmt_domain_close(dom), 0);
	unit_close(&u);
}

static void test_bad_modules(void **state)
{
	static const char *const dirs[] = {
		NMT_MODULE_DIR "/abi", NMT_MODULE_DIR "/null", NMT_MODULE_DIR "/symbol",
		NMT_MODULE_DIR "/name",
	};
	struct nmt_domain *dom;
	struct unit u;
	char why[256];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(dirs); i++) {
		open_at(&u, dirs[i]);
		why[0] = '\0';
		assert_null(nmti_provider_load(u.ctx, "uring", why, sizeof(why)));
		assert_non_null(strstr(why, "libnmt-uring.so"));
		assert_null(nmti_provider_find(u.ctx, "uring"));
		unit_log_clear(&u);
		assert_int_equal(nmt_domain_open(u.ctx, "uring", NULL, &dom), -ENODEV);
		assert_true(unit_logged(&u, "ABI"));
		unit_close(&u);
	}
}

static void *list_all(void *arg)
{
	struct nmt_ctx *ctx = arg;
	struct nmt_info *list;

	for (int i = 0; i < 20; i++)
		if (!nmt_getinfo(ctx, NULL, &list))
			nmt_freeinfo(list);
	return NULL;
}

/* Any thread may be the one that loads a module. */
static void test_module_threads(void **state)
{
	pthread_t thread[4];
	struct unit u;
	int builtin;

	(void)state;
	for (int round = 0; round < 10; round++) {
		open_at(&u, NMT_MODULE_DIR "/good");
		builtin = u.ctx->nproviders;
		for (int i = 0; i < 4; i++)
			assert_int_equal(pthread_create(&thread[i], NULL, list_all, u.ctx), 0);
		for (int i = 0; i < 4; i++)
			pthread_join(thread[i], NULL);
		assert_non_null(nmti_provider_find(u.ctx, "uring"));
		assert_int_equal(u.ctx->nproviders, builtin + 1);
		unit_close(&u);
	}
}
#endif

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_builtin),
	cmocka_unit_test(test_names),
	cmocka_unit_test(test_abi),
	cmocka_unit_test(test_replace),
	cmocka_unit_test(test_full),
	cmocka_unit_test(test_defaults_filled),
	cmocka_unit_test(test_defaults_answer),
	cmocka_unit_test(test_minimal_works),
	cmocka_unit_test(test_failed_attach),
	cmocka_unit_test(test_bad_names),
	cmocka_unit_test(test_no_module),
#ifdef NMT_MODULE_DIR
	cmocka_unit_test(test_module),
	cmocka_unit_test(test_bad_modules),
	cmocka_unit_test(test_module_threads),
#endif
};

UNIT_MAIN(tests)
