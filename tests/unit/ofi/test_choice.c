/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which of libfabric's providers is taken, and what "auto" passes over, on machines that the test
 * plays: with adapters that no machine of the tests has. The linker puts the function below in the
 * place of the library's.
 */
#include "devs.h"

struct played {
	const char *prov;
	enum fi_ep_type type;
};

static const struct played *machine; /* in libfabric's order, up to one without a name */

static struct fi_info *play(const struct played *p)
{
	struct fi_info *info = fi_allocinfo();

	assert_non_null(info);
	info->fabric_attr->prov_name = strdup(p->prov);
	info->domain_attr->name = strdup("d0");
	info->ep_attr->type = p->type;
	info->caps = FI_MSG | FI_RMA;
	return info;
}

int __wrap_nmti_ofi_getinfo(const struct fi_info *hints, struct fi_info **list);

/* None has memory of devices. */
int __wrap_nmti_ofi_getinfo(const struct fi_info *hints, struct fi_info **list)
{
	struct fi_info **end = list;

	*list = NULL;
	for (const struct played *p = machine; p->prov; p++) {
		if (hints && (hints->ep_attr->type != p->type || hints->caps & FI_HMEM))
			continue;
		*end = play(p);
		end = &(*end)->next;
	}
	return *list ? 0 : -FI_ENODATA;
}

static const struct played aws[] = {
	{ "tcp;ofi_rxm", FI_EP_RDM }, { "shm", FI_EP_RDM },    { "efa", FI_EP_DGRAM },
	{ "efa", FI_EP_RDM },	      { "tcp", FI_EP_MSG },    { NULL, 0 },
};
static const struct played slingshot[] = {
	{ "psm3", FI_EP_RDM }, { "opx", FI_EP_RDM }, { "tcp", FI_EP_MSG }, { "cxi", FI_EP_RDM }, { NULL, 0 },
};
static const struct played plain[] = {
	{ "udp;ofi_rxd", FI_EP_RDM }, { "shm", FI_EP_RDM }, { "tcp;ofi_rxm", FI_EP_RDM },
	{ "sockets", FI_EP_MSG },     { "tcp", FI_EP_MSG }, { NULL, 0 },
};
static const struct played infiniband[] = {
	{ "verbs;ofi_rxm", FI_EP_RDM }, { "verbs", FI_EP_MSG }, { NULL, 0 },
};

static int find(const struct played *on, const char *asked, struct ofi_found *found)
{
	struct nmt_ctx *ctx;
	int rc;

	machine = on;
	assert_int_equal(nmt_ctx_open(NULL, &ctx), 0);
	rc = nmti_ofi_find(ctx, asked, found);
	assert_int_equal(nmt_ctx_close(ctx), 0);
	return rc;
}

static void t_best(void **state)
{
	static const struct {
		const struct played *machine;
		const char *asked, *taken;
	} cases[] = {
		{ aws, "", "efa" },	     { slingshot, "", "cxi" },	     { plain, "", "tcp" },
		{ aws, "tcp", "tcp" },	     { aws, "tcp:rdm", "tcp:rdm" },  { aws, "shm", "shm" },
		{ slingshot, "opx", "opx" }, { slingshot, "psm3", "psm3" },  { plain, "tcp:msg:d0", "tcp" },
	};
	struct ofi_found found;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		assert_int_equal(find(cases[i].machine, cases[i].asked, &found), 0);
		assert_string_equal(found.name, cases[i].taken);
		nmti_ofi_freeinfo(found.info);
	}
}

static void t_none(void **state)
{
	static const struct {
		const struct played *machine;
		const char *asked, *why;
	} cases[] = {
		{ infiniband, "", "provider verbs reaches these adapters" },
		{ infiniband, "verbs", "provider verbs reaches these adapters" },
		{ plain, "udp", "its writes do not complete" },
		{ plain, "efa", "libfabric has no \"efa\"" },
		{ plain, "shm:msg", "libfabric has no \"shm:msg\"" },
		{ plain, "tcp:msg:d1", "libfabric has no \"tcp:msg:d1\"" },
	};
	struct ofi_found found;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		assert_int_equal(find(cases[i].machine, cases[i].asked, &found), -ENODEV);
		if (!strstr(found.reason, cases[i].why))
			fail_msg("\"%s\" is not in: %s", cases[i].why, found.reason);
	}
}

/* ---- what is told of all of them ---- */

struct told {
	char auto_takes[64]; /* names, a space behind each */
	int n;
};

static int tell(void *arg, const struct nmt_info *info)
{
	struct told *t = arg;
	size_t len;

	t->n++;
	if (info->status) {
		assert_true(info->reason[0]);
		return 0;
	}
	if (info->flags & NMT_INFO_ON_REQUEST) {
		assert_non_null(strstr(info->reason, "auto leaves it out"));
		return 0;
	}
	assert_string_equal(info->reason, "");
	len = strlen(t->auto_takes);
	snprintf(t->auto_takes + len, sizeof(t->auto_takes) - len, "%s ", info->device);
	return 0;
}

static void t_auto(void **state)
{
	static const struct {
		const struct played *machine;
		const char *taken;
		int all;
	} cases[] = {
		{ aws, "efa ", 5 },
		{ slingshot, "psm3 opx cxi ", 4 },
		{ plain, "", 5 },
		{ infiniband, "", 2 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct told t = { .n = 0 };

		machine = cases[i].machine;
		assert_int_equal(nmti_ofi_query(NULL, tell, &t), 0);
		assert_string_equal(t.auto_takes, cases[i].taken);
		assert_int_equal(t.n, cases[i].all);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(t_best),
		cmocka_unit_test(t_none),
		cmocka_unit_test(t_auto),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
