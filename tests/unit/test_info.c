/* SPDX-License-Identifier: BSD-2-Clause */
/* nmt_getinfo: what is listed, in which order, hints, and why something is not usable. */
#include "unit.h"

static struct nmt_info devices[8];
static int ndevices, query_result;

static int query(struct nmt_ctx *ctx, nmti_info_fn *emit, void *arg)
{
	int rc = query_result;

	(void)ctx;
	for (int i = 0; i < ndevices && !rc; i++)
		rc = emit(arg, &devices[i]);
	return rc;
}

static int no_attach(struct nmt_stream *s, const struct nmti_path *path)
{
	(void)s, (void)path;
	return -EOPNOTSUPP;
}

static int no_shutdown(struct nmt_stream *s, int how)
{
	(void)s, (void)how;
	return 0;
}

static void nothing(struct nmt_stream *s)
{
	(void)s;
}

/* A context in which the provider "fake" has the given devices. */
static void open_fake(struct unit *u, uint32_t rank)
{
	struct nmt_provider_ops ops = {
		.abi = NMT_PROVIDER_ABI, .size = sizeof(ops), .name = "fake", .rank = rank,
		.caps = NMT_CAP_NEGOTIATED | NMT_CAP_RAILS, .query = query, .data_socket = true,
		.attach = no_attach,
		.shutdown = no_shutdown, .close_stream = nothing, .abort = nothing,
		.detach = nothing,
	};

	unit_ctx(u);
	ndevices = 0;
	query_result = 0;
	assert_int_equal(nmti_provider_add(u->ctx, &ops), 0);
}

static void device(const char *name, int status, uint64_t caps)
{
	struct nmt_info *info = &devices[ndevices++];

	memset(info, 0, sizeof(*info));
	info->size = sizeof(*info);
	snprintf(info->device, sizeof(info->device), "%s", name);
	info->status = status;
	info->caps = caps;
	if (status)
		snprintf(info->reason, sizeof(info->reason), "broken %s", name);
}

static int getinfo(struct unit *u, const char *spec, uint64_t caps, uint32_t flags,
		   struct nmt_info **list)
{
	struct nmt_hints hints = NMT_HINTS_INIT;

	hints.spec = spec;
	hints.caps = caps;
	hints.flags = flags;
	*list = NULL;
	return nmt_getinfo(u->ctx, &hints, list);
}

static const struct nmt_info *find(const struct nmt_info *list, const char *provider,
				   const char *dev)
{
	for (; list; list = list->next)
		if (!strcmp(list->provider, provider) && (!dev || !strcmp(list->device, dev)))
			return list;
	return NULL;
}

static void test_tcp(void **state)
{
	const struct nmt_info *lo;
	struct nmt_info *list;
	struct unit u;

	(void)state;
	unit_ctx(&u);
	assert_int_equal(getinfo(&u, "tcp", 0, 0, &list), 0);
	lo = find(list, "tcp", "lo");
	assert_non_null(lo);
	assert_int_equal(lo->size, sizeof(*lo));
	assert_int_equal(lo->status, 0);
	assert_true(lo->flags & NMT_INFO_LOOPBACK);
	assert_true(lo->flags & NMT_INFO_UP);
	assert_true(lo->flags & NMT_INFO_BUILTIN);
	assert_true(lo->mtu > 0);
	assert_true(lo->caps & NMT_CAP_RAW && lo->caps & NMT_CAP_NEGOTIATED);
	for (const struct nmt_info *i = list; i; i = i->next)
		assert_string_equal(i->provider, "tcp");
	nmt_freeinfo(list);
	assert_int_equal(getinfo(&u, "tcp/lo", 0, 0, &list), 0);
	assert_string_equal(list->device, "lo");
	assert_null(list->next);
	nmt_freeinfo(list);
	unit_close(&u);
}

static void test_arguments(void **state)
{
	struct nmt_hints hints = NMT_HINTS_INIT;
	struct nmt_info *list;
	struct unit u;

	(void)state;
	unit_ctx(&u);
	assert_int_equal(nmt_getinfo(NULL, NULL, &list), -EINVAL);
	assert_int_equal(nmt_getinfo(u.ctx, NULL, NULL), -EINVAL);
	hints.flags = 2;
	assert_int_equal(nmt_getinfo(u.ctx, &hints, &list), -EINVAL);
	hints.flags = 0;
	hints.size = 1;
	assert_int_equal(nmt_getinfo(u.ctx, &hints, &list), -EINVAL);
	assert_int_equal(nmt_getinfo(u.ctx, NULL, &list), 0);
	nmt_freeinfo(list);
	nmt_freeinfo(NULL);
	unit_close(&u);
}

static void test_nothing(void **state)
{
	struct nmt_info *list;
	struct unit u;

	(void)state;
	unit_ctx(&u);
	assert_int_equal(getinfo(&u, "tcp/nosuch0", 0, 0, &list), -ENOENT);
	assert_int_equal(getinfo(&u, NULL, UINT64_C(1) << 63, 0, &list), -ENOENT);
	assert_int_equal(getinfo(&u, "tcp", NMT_CAP_RAILS, 0, &list), -ENOENT);
	assert_null(list);
	unit_close(&u);
}

/* "the log says where modules were looked for" */
static void test_unknown(void **state)
{
	static const char *const names[] = { "nosuch", "nosuch/lo", "", "/lo", "UPPER",
					     "a_name_that_is_far_too_long" };
	struct nmt_info *list;
	struct unit u;

	(void)state;
	unit_ctx(&u);
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		assert_int_equal(getinfo(&u, names[i], 0, 0, &list), -ENODEV);
	u.ctx->log_level = NMT_LOG_ERROR;
	unit_log_clear(&u);
	assert_int_equal(getinfo(&u, "nosuch", 0, 0, &list), -ENODEV);
	assert_true(unit_logged(&u, "/nonexistent"));
	unit_close(&u);
}

static void test_mem_kind(void **state)
{
	struct nmt_hints hints = NMT_HINTS_INIT;
	struct nmt_info *list;
	struct unit u;

	(void)state;
	unit_ctx(&u);
	hints.mem_kind = NMT_MEM_HOST;
	assert_int_equal(nmt_getinfo(u.ctx, &hints, &list), 0);
	nmt_freeinfo(list);
	hints.mem_kind = NMT_MEM_CUDA;
	assert_int_equal(nmt_getinfo(u.ctx, &hints, &list), -ENOENT);
	unit_close(&u);
}

static void check_order(struct nmt_info *list, const char *const *want, int n)
{
	struct nmt_info *i = list;

	for (int k = 0; k < n; k++, i = i->next) {
		assert_non_null(i);
		assert_string_equal(i->device, want[k]);
	}
	assert_null(i);
	nmt_freeinfo(list);
}

/* Usable ones first, those for "auto" before the others; the order of equals stays. */
static void test_order(void **state)
{
	static const char *const all[] = { "one", "two", "asked", "bad1", "bad2" };
	struct nmt_info *list;
	struct unit u;

	(void)state;
	open_fake(&u, 50);
	device("bad1", -ENETDOWN, 0);
	device("asked", 0, 0);
	devices[ndevices - 1].flags |= NMT_INFO_ON_REQUEST;
	device("one", 0, 0);
	device("bad2", -EACCES, 0);
	device("two", 0, 0);
	assert_int_equal(getinfo(&u, "fake", 0, 0, &list), 0);
	check_order(list, all, 3);
	assert_int_equal(getinfo(&u, "fake", 0, NMT_INFO_UNUSABLE, &list), 0);
	assert_string_equal(find(list, "fake", "bad1")->reason, "broken bad1");
	assert_int_equal(find(list, "fake", "bad2")->status, -EACCES);
	check_order(list, all, 5);
	unit_close(&u);
}

/* Providers by rank, whatever the order of the table. */
static void test_rank(void **state)
{
	struct nmt_info *list;
	struct unit u;

	(void)state;
	for (uint32_t rank = 1; rank < 200; rank += 150) {
		open_fake(&u, rank);
		device("dev", 0, 0);
		assert_int_equal(getinfo(&u, NULL, 0, 0, &list), 0);
		for (const struct nmt_info *i = list; i->next; i = i->next)
			if (!(i->next->flags & NMT_INFO_ON_REQUEST))
				assert_true(i->rank <= i->next->rank);
		assert_non_null(find(list, "fake", "dev"));
		assert_non_null(find(list, "tcp", "lo"));
		assert_int_equal(!strcmp(list->provider, "fake"), rank == 1);
		nmt_freeinfo(list);
		unit_close(&u);
	}
}

/* Capabilities that the device does not name are the provider's. */
static void test_caps(void **state)
{
	struct nmt_info *list;
	struct unit u;

	(void)state;
	open_fake(&u, 50);
	device("all", 0, 0);
	device("few", 0, NMT_CAP_NEGOTIATED);
	assert_int_equal(getinfo(&u, "fake", NMT_CAP_RAILS, 0, &list), 0);
	assert_string_equal(list->device, "all");
	assert_null(list->next);
	nmt_freeinfo(list);
	assert_int_equal(getinfo(&u, "auto", NMT_CAP_NEGOTIATED, 0, &list), 0);
	assert_non_null(find(list, "fake", "few"));
	assert_non_null(find(list, "tcp", "lo"));
	nmt_freeinfo(list);
	unit_close(&u);
}

/* Providers that are not in this build are listed with the reason, if asked for. */
static void test_unusable(void **state)
{
	const struct nmt_info *absent;
	const char *name = NULL;
	struct nmt_info *list;
	struct unit u;

	(void)state;
	unit_ctx(&u);
	assert_int_equal(getinfo(&u, NULL, 0, NMT_INFO_UNUSABLE, &list), 0);
	for (int i = 0; nmti_provider_names[i]; i++)
		assert_non_null(find(list, nmti_provider_names[i], NULL));
	for (int i = 0; nmti_provider_names[i] && !name; i++)
		if (!nmti_provider_find(u.ctx, nmti_provider_names[i]))
			name = nmti_provider_names[i];
	assert_non_null(name);
	absent = find(list, name, NULL);
	assert_true(absent->status < 0);
	assert_true(strlen(absent->reason) > 0);
	assert_string_equal(absent->device, "any");
	assert_false(absent->flags & NMT_INFO_BUILTIN);
	nmt_freeinfo(list);
	assert_int_equal(getinfo(&u, NULL, 0, 0, &list), 0);
	assert_null(find(list, name, NULL));
	nmt_freeinfo(list);
	unit_close(&u);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_tcp),	  cmocka_unit_test(test_arguments),
	cmocka_unit_test(test_nothing),	  cmocka_unit_test(test_unknown),
	cmocka_unit_test(test_mem_kind),  cmocka_unit_test(test_order),
	cmocka_unit_test(test_rank),	  cmocka_unit_test(test_caps),
	cmocka_unit_test(test_unusable),
};

UNIT_MAIN(tests)
