/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The provider table of a context: built-in providers, modules found in NMT_PROVIDER_PATH and
 * loaded when asked for, and the defaults for ops that a provider does not have.
 */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

#include "internal.h"
#include "rma/rma.h"

extern const struct nmt_provider_ops nmti_provider_ofi, nmti_provider_tcp,
	nmti_provider_verbs;

static const struct nmt_provider_ops *const builtin[] = {
#ifdef NMT_PROVIDER_VERBS
	&nmti_provider_verbs,
#endif
#ifdef NMT_PROVIDER_OFI
	&nmti_provider_ofi,
#endif
#ifdef NMT_PROVIDER_TCP
	&nmti_provider_tcp,
#endif
	NULL,
};

const char *const nmti_provider_names[] = { "verbs", "ofi", "devmem", "uring", "tcp", NULL };

/* ---- defaults ---- */

static int no_query(struct nmt_ctx *ctx, nmti_info_fn *emit, void *arg)
{
	(void)ctx, (void)emit, (void)arg;
	return 0;
}

static int no_open(struct nmt_pdomain *pd)
{
	(void)pd;
	return 0;
}

static void no_close(struct nmt_pdomain *pd)
{
	(void)pd;
}

static int no_offer(struct nmt_pdomain *pd, const struct nmt_stream *s, void *blob, uint32_t cap)
{
	(void)pd, (void)s, (void)blob, (void)cap;
	return 0;
}

static ssize_t no_send(struct nmt_stream *s, const struct iovec *iov, int n, int flags)
{
	(void)s, (void)iov, (void)n, (void)flags;
	return -EOPNOTSUPP;
}

static ssize_t no_recv(struct nmt_stream *s, const struct iovec *iov, int n, int flags,
		       int *out_flags)
{
	(void)s, (void)iov, (void)n, (void)flags, (void)out_flags;
	return -EOPNOTSUPP;
}

static int no_send_mr(struct nmt_stream *s, const struct nmt_frag *frags, int n, int flags,
		      uint64_t cookie)
{
	(void)s, (void)frags, (void)n, (void)flags, (void)cookie;
	return -EOPNOTSUPP;
}

static int no_recv_frags(struct nmt_stream *s, struct nmt_frag *frags, int max)
{
	(void)s, (void)frags, (void)max;
	return -EOPNOTSUPP;
}

static int no_recv_into(struct nmt_stream *s, struct nmt_mr *mr, uint64_t offset, size_t len,
			int flags, uint64_t cookie)
{
	(void)s, (void)mr, (void)offset, (void)len, (void)flags, (void)cookie;
	return -EOPNOTSUPP;
}

static int no_cookie(struct nmt_stream *s, uint64_t cookie)
{
	(void)s, (void)cookie;
	return -EOPNOTSUPP;
}

static bool no_work(struct nmt_stream *s, uint32_t budget)
{
	(void)s, (void)budget;
	return false;
}

static int no_reap(struct nmt_stream *s, struct nmt_event *ev, int max)
{
	(void)s, (void)ev, (void)max;
	return 0;
}

static int no_setopt(struct nmt_stream *s, enum nmt_opt opt, const void *val, size_t len)
{
	(void)s, (void)opt, (void)val, (void)len;
	return -ENOPROTOOPT;
}

static int no_getopt(struct nmt_stream *s, enum nmt_opt opt, void *val, size_t *len)
{
	(void)s, (void)opt, (void)val, (void)len;
	return -ENOPROTOOPT;
}

static void no_info(const struct nmt_stream *s, struct nmt_stream_info *info)
{
	(void)s, (void)info;
}

static int no_fd(struct nmt_stream *s)
{
	(void)s;
	return -EOPNOTSUPP;
}

#define DEFAULT(op, fn) (ops->op = ops->op ? ops->op : (fn))

void nmti_provider_defaults(struct nmt_provider_ops *ops)
{
	if (ops->rma)
		nmti_rma_fill(ops);
	DEFAULT(query, no_query);
	DEFAULT(open, no_open);
	DEFAULT(close, no_close);
	DEFAULT(offer, no_offer);
	DEFAULT(send, no_send);
	DEFAULT(recv, no_recv);
	DEFAULT(send_mr, no_send_mr);
	DEFAULT(recv_frags, no_recv_frags);
	DEFAULT(release, nmti_release);
	DEFAULT(recv_into, no_recv_into);
	DEFAULT(recv_cancel, no_cookie);
	DEFAULT(flush, no_cookie);
	DEFAULT(work, no_work);
	DEFAULT(reap_tx, no_reap);
	DEFAULT(reap_rx, no_reap);
	DEFAULT(setopt, no_setopt);
	DEFAULT(getopt, no_getopt);
	DEFAULT(info, no_info);
	DEFAULT(fd, no_fd);
}

/* ---- the table ---- */

static struct nmti_provider *find_locked(struct nmt_ctx *ctx, const char *name)
{
	for (int i = 0; i < ctx->nproviders; i++)
		if (!strcmp(ctx->providers[i]->ops.name, name))
			return ctx->providers[i];
	return NULL;
}

static int add_locked(struct nmt_ctx *ctx, const struct nmt_provider_ops *ops, void *module)
{
	struct nmti_provider *p = find_locked(ctx, ops->name);

	if (!p) {
		if (ctx->nproviders == NMTI_PROVIDERS_MAX)
			return -ENOSPC;
		p = calloc(1, sizeof(*p));
		if (!p)
			return -ENOMEM;
		ctx->providers[ctx->nproviders++] = p;
	}
	p->ops = *ops;
	p->module = module;
	nmti_provider_defaults(&p->ops);
	return 0;
}

static int abi_check(const struct nmt_provider_ops *ops)
{
	if (ops->abi != NMT_PROVIDER_ABI || ops->size != sizeof(*ops))
		return -EPROTONOSUPPORT;
	if (ops->name && ops->rma) /* the engine has the rest */
		return 0;
	if (!ops->name || !ops->attach || !ops->shutdown || !ops->close_stream || !ops->abort ||
	    !ops->detach || (!ops->data_socket && !ops->peer_done))
		return -EINVAL;
	return 0;
}

int nmti_provider_add(struct nmt_ctx *ctx, const struct nmt_provider_ops *ops)
{
	int rc = abi_check(ops);

	if (rc)
		return rc;
	pthread_mutex_lock(&ctx->lock);
	rc = add_locked(ctx, ops, NULL);
	pthread_mutex_unlock(&ctx->lock);
	return rc;
}

const struct nmt_provider_ops *nmti_provider_find(struct nmt_ctx *ctx, const char *name)
{
	struct nmti_provider *p;

	pthread_mutex_lock(&ctx->lock);
	p = find_locked(ctx, name);
	pthread_mutex_unlock(&ctx->lock);
	return p ? &p->ops : NULL;
}

const struct nmt_provider_ops *nmti_provider_at(struct nmt_ctx *ctx, int index, bool *module)
{
	struct nmti_provider *p = NULL;

	pthread_mutex_lock(&ctx->lock);
	if (index < ctx->nproviders)
		p = ctx->providers[index];
	pthread_mutex_unlock(&ctx->lock);
	if (p && module)
		*module = p->module;
	return p ? &p->ops : NULL;
}

/* ---- modules ---- */

static int module_take(struct nmt_ctx *ctx, void *handle, const char *name, const char *file,
		       char *why, size_t len)
{
	nmt_provider_module_fn *entry;
	const struct nmt_provider_ops *ops;
	int rc;

	entry = (nmt_provider_module_fn *)dlsym(handle, NMT_PROVIDER_MODULE_SYMBOL);
	ops = entry ? entry() : NULL;
	if (!ops || abi_check(ops) || strcmp(ops->name, name)) {
		snprintf(why, len, "%.80s is no provider module of ABI %d", file, NMT_PROVIDER_ABI);
		return -EPROTONOSUPPORT;
	}
	pthread_mutex_lock(&ctx->lock);
	/* Another thread may have loaded it meanwhile: the first one stays. */
	rc = find_locked(ctx, name) ? -EEXIST : add_locked(ctx, ops, handle);
	pthread_mutex_unlock(&ctx->lock);
	return rc;
}

static int module_open(struct nmt_ctx *ctx, const char *dir, int dir_len, const char *name,
		       char *why, size_t len)
{
	char file[512];
	void *handle;
	int rc;

	snprintf(file, sizeof(file), "%.*s/libnmt-%s.so", dir_len, dir, name);
	handle = dlopen(file, RTLD_NOW | RTLD_LOCAL);
	if (!handle) {
		nmti_debug(ctx, "provider %s: %s", name, dlerror());
		return -ENOENT;
	}
	rc = module_take(ctx, handle, name, file, why, len);
	if (rc)
		dlclose(handle);
	return rc == -EEXIST ? 0 : rc;
}

static int module_search(struct nmt_ctx *ctx, const char *name, char *why, size_t len)
{
	const char *dir = ctx->provider_path;
	int rc = -ENOENT;

	snprintf(why, len, "not in this build, and no libnmt-%s.so in %.64s", name, dir);
	while (rc == -ENOENT && *dir) {
		int n = (int)strcspn(dir, ":");

		if (n)
			rc = module_open(ctx, dir, n, name, why, len);
		dir += n + (dir[n] == ':');
	}
	return rc;
}

static bool name_valid(const char *name)
{
	size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_");

	return n && !name[n] && n < NMT_NAME_MAX;
}

const struct nmt_provider_ops *nmti_provider_load(struct nmt_ctx *ctx, const char *name, char *why,
						  size_t len)
{
	const struct nmt_provider_ops *ops;

	if (!name_valid(name)) {
		snprintf(why, len, "not a provider name");
		return NULL;
	}
	ops = nmti_provider_find(ctx, name);
	if (!ops && !module_search(ctx, name, why, len))
		ops = nmti_provider_find(ctx, name);
	return ops;
}

void nmti_providers_init(struct nmt_ctx *ctx)
{
	for (int i = 0; builtin[i]; i++)
		add_locked(ctx, builtin[i], NULL);
}

void nmti_providers_fini(struct nmt_ctx *ctx)
{
	for (int i = 0; i < ctx->nproviders; i++) {
		if (ctx->providers[i]->module)
			dlclose(ctx->providers[i]->module);
		free(ctx->providers[i]);
	}
}
