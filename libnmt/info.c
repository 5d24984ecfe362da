/* SPDX-License-Identifier: BSD-2-Clause */
/* nmt_getinfo: providers x devices, best first, and why one is not usable. */
#include <stdio.h>
#include <stdlib.h>

#include "internal.h"

struct collect {
	const struct nmt_provider_ops *ops;
	const struct nmt_hints *hints;
	const char *device; /* names with commas between them; NULL: all */
	bool builtin;
	struct nmt_info *list;
	int rc;
};

/* 0: "auto" takes it; 1: it has to be asked for; 2: not usable. */
static int distance(const struct nmt_info *info)
{
	return info->status ? 2 : !!(info->flags & NMT_INFO_ON_REQUEST);
}

static bool goes_before(const struct nmt_info *a, const struct nmt_info *b)
{
	int x = distance(a), y = distance(b);

	return x < y || (x == y && a->rank <= b->rank);
}

/* Insert by usability, then rank, keeping the order of equals. */
static void insert(struct nmt_info **list, struct nmt_info *info)
{
	while (*list && goes_before(*list, info))
		list = &(*list)->next;
	info->next = *list;
	*list = info;
}

static bool named(const char *list, const char *device)
{
	size_t len = strlen(device);

	for (; list; list = strchr(list, ',') ? strchr(list, ',') + 1 : NULL)
		if (strcspn(list, ",") == len && !memcmp(list, device, len))
			return true;
	return false;
}

static bool wanted(const struct collect *c, const struct nmt_info *info)
{
	if (info->status && !(c->hints->flags & NMT_INFO_UNUSABLE))
		return false;
	if (c->device && !named(c->device, info->device))
		return false;
	return (info->caps & c->hints->caps) == c->hints->caps;
}

static int add(void *arg, const struct nmt_info *info)
{
	struct collect *c = arg;
	struct nmt_info *copy = malloc(sizeof(*copy));

	if (!copy)
		return c->rc = -ENOMEM;
	*copy = *info;
	copy->size = sizeof(*copy);
	if (c->ops) {
		snprintf(copy->provider, sizeof(copy->provider), "%s", c->ops->name);
		copy->caps = copy->caps ? copy->caps : c->ops->caps;
		copy->rank = c->ops->rank;
	}
	if (c->builtin)
		copy->flags |= NMT_INFO_BUILTIN;
	if (wanted(c, copy))
		insert(&c->list, copy);
	else
		free(copy);
	return 0;
}

static void add_missing(struct collect *c, const char *name, const char *why)
{
	struct nmt_info info = { .size = sizeof(info), .status = -ENODEV, .numa_node = -1,
				 .rank = UINT32_MAX };

	snprintf(info.provider, sizeof(info.provider), "%s", name);
	snprintf(info.device, sizeof(info.device), "any");
	snprintf(info.reason, sizeof(info.reason), "%s", why);
	add(c, &info);
}

static bool is_module(struct nmt_ctx *ctx, const struct nmt_provider_ops *ops)
{
	const struct nmt_provider_ops *p;
	bool module = false;

	for (int i = 0; (p = nmti_provider_at(ctx, i, &module)); i++)
		if (p == ops)
			return module;
	return false;
}

static int collect_one(struct nmt_ctx *ctx, struct collect *c, const char *name)
{
	char why[128] = "";

	c->ops = nmti_provider_load(ctx, name, why, sizeof(why));
	if (!c->ops) {
		c->builtin = false;
		add_missing(c, name, why);
		return -ENODEV;
	}
	c->builtin = !is_module(ctx, c->ops);
	return c->ops->query(ctx, add, c);
}

/* Known names first, then providers that were added under others. */
static void collect_all(struct nmt_ctx *ctx, struct collect *c)
{
	const struct nmt_provider_ops *ops;

	for (int i = 0; nmti_provider_names[i] && !c->rc; i++)
		collect_one(ctx, c, nmti_provider_names[i]);
	for (int i = 0; (ops = nmti_provider_at(ctx, i, NULL)) && !c->rc; i++) {
		const char *name = ops->name;
		int k = 0;

		while (nmti_provider_names[k] && strcmp(nmti_provider_names[k], name))
			k++;
		if (!nmti_provider_names[k])
			collect_one(ctx, c, name);
	}
}

static int collect_spec(struct nmt_ctx *ctx, struct collect *c, const char *spec)
{
	char name[NMT_NAME_MAX];
	size_t len = strcspn(spec, "/");
	int rc;

	if (len >= sizeof(name))
		return -ENODEV;
	snprintf(name, sizeof(name), "%.*s", (int)len, spec);
	c->device = spec[len] ? spec + len + 1 : NULL;
	rc = collect_one(ctx, c, name);
	if (!c->ops)
		nmti_err(ctx, "provider %s: not in this build, and no module in %s", name,
			 ctx->provider_path);
	return rc;
}

int nmt_getinfo(struct nmt_ctx *ctx, const struct nmt_hints *user, struct nmt_info **list)
{
	struct nmt_hints hints = NMT_HINTS_INIT;
	struct collect c = { .hints = &hints };
	int rc = 0;

	if (!ctx || !list)
		return -EINVAL;
	if (user)
		rc = nmti_attr_copy(&hints, sizeof(hints), user);
	if (rc || hints.flags & ~NMT_INFO_UNUSABLE)
		return -EINVAL;
	if (hints.mem_kind && !nmti_mem_kind(ctx, hints.mem_kind))
		return -ENOENT;
	if (hints.spec && strcmp(hints.spec, "auto"))
		rc = collect_spec(ctx, &c, hints.spec);
	else
		collect_all(ctx, &c);
	rc = c.rc ? c.rc : rc;
	if ((rc && !c.list) || c.rc) {
		nmt_freeinfo(c.list);
		return rc;
	}
	*list = c.list;
	return c.list ? 0 : -ENOENT;
}

void nmt_freeinfo(struct nmt_info *list)
{
	while (list) {
		struct nmt_info *next = list->next;

		free(list);
		list = next;
	}
}
