/* SPDX-License-Identifier: BSD-2-Clause */
/* The context: process scope, thread-safe; owner of the provider table, memory kinds and regions. */
#include <stdlib.h>

#include "internal.h"

int nmti_attr_copy(void *dst, size_t known, const void *user)
{
	const char *bytes = user;
	size_t size = *(const size_t *)user;

	if (size < sizeof(size_t))
		return -EINVAL;
	for (size_t i = known; i < size; i++)
		if (bytes[i])
			return -EINVAL;
	memcpy(dst, user, size < known ? size : known);
	*(size_t *)dst = known;
	return 0;
}

static int ctx_attr(const struct nmt_ctx_attr *user, struct nmt_ctx_attr *attr)
{
	int rc = user ? nmti_attr_copy(attr, sizeof(*attr), user) : 0;

	if (rc)
		return rc;
	return attr->flags || attr->log_level > NMT_LOG_DEBUG + 1 ? -EINVAL : 0;
}

static int ctx_paths(struct nmt_ctx *ctx, const struct nmt_ctx_attr *attr)
{
	const char *path = attr->provider_path;

	if (!path)
		path = secure_getenv("NMT_PROVIDER_PATH");
	if (!path)
		path = NMTI_PROVIDER_DIR;
	ctx->provider_path = strdup(path);
	return ctx->provider_path ? 0 : -ENOMEM;
}

int nmt_ctx_open(const struct nmt_ctx_attr *user, struct nmt_ctx **out)
{
	struct nmt_ctx_attr attr = NMT_CTX_ATTR_INIT;
	struct nmt_ctx *ctx;
	int rc;

	if (!out)
		return -EINVAL;
	rc = ctx_attr(user, &attr);
	if (rc)
		return rc;
	ctx = calloc(1, sizeof(*ctx));
	if (!ctx)
		return -ENOMEM;
	if (ctx_paths(ctx, &attr)) {
		free(ctx);
		return -ENOMEM;
	}
	pthread_mutex_init(&ctx->lock, NULL);
	nmti_list_init(&ctx->mrs);
	nmti_log_init(ctx, &attr);
	nmti_mem_init(ctx);
	nmti_providers_init(ctx);
	*out = ctx;
	return 0;
}

int nmt_ctx_close(struct nmt_ctx *ctx)
{
	bool busy;

	if (!ctx)
		return -EINVAL;
	pthread_mutex_lock(&ctx->lock);
	busy = ctx->ndomains || !nmti_list_empty(&ctx->mrs);
	pthread_mutex_unlock(&ctx->lock);
	if (busy)
		return -EBUSY;
	nmti_providers_fini(ctx);
	pthread_mutex_destroy(&ctx->lock);
	free(ctx->provider_path);
	free(ctx);
	return 0;
}
