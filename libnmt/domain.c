/* SPDX-License-Identifier: BSD-2-Clause */
/* Domains: progress scope over one provider, or over every usable one ("auto"). */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "internal.h"

#define SPIN_DEFAULT INT64_C(50000)
#define BUDGET_DEFAULT 16u
#define BUDGET_MAX 65536u

static int domain_attr(const struct nmt_domain_attr *user, struct nmt_domain_attr *attr)
{
	int rc = user ? nmti_attr_copy(attr, sizeof(*attr), user) : 0;

	if (rc)
		return rc;
	if (attr->flags & ~NMT_DOMAIN_SPIN_ALWAYS || attr->budget > BUDGET_MAX)
		return -EINVAL;
	return 0;
}

/* On one CPU a spinning thread keeps away the very peer that it waits for. */
static void set_spin(struct nmt_domain *dom, const struct nmt_domain_attr *attr)
{
	dom->spin_always = attr->flags & NMT_DOMAIN_SPIN_ALWAYS;
	if (attr->spin_ns > 0)
		dom->spin_max = attr->spin_ns;
	else if (!attr->spin_ns)
		dom->spin_max = sysconf(_SC_NPROCESSORS_ONLN) > 1 ? SPIN_DEFAULT : 0;
	if (dom->spin_always && dom->spin_max <= 0)
		dom->spin_max = SPIN_DEFAULT;
	dom->spin = dom->spin_max;
}

static int add_provider(struct nmt_domain *dom, const struct nmt_provider_ops *ops,
			const char *device)
{
	struct nmt_pdomain *pd = &dom->pd[dom->npd];
	int rc;

	pd->dom = dom;
	pd->ctx = dom->ctx;
	pd->ops = ops;
	snprintf(pd->device, sizeof(pd->device), "%s", device);
	rc = ops->open(pd);
	if (!rc)
		dom->npd++;
	return rc;
}

struct nmt_pdomain *nmti_raw_provider(struct nmt_domain *dom)
{
	for (int i = 0; i < dom->npd; i++)
		if (dom->pd[i].ops->caps & NMT_CAP_RAW)
			return &dom->pd[i];
	return NULL;
}

/* The device of a provider without data sockets is no network device. */
const char *nmti_netdev(const struct nmt_domain *dom)
{
	return dom->pd[0].ops->data_socket ? dom->pd[0].device : "";
}

static int open_named(struct nmt_domain *dom, const char *spec)
{
	char name[NMT_NAME_MAX], why[128] = "";
	const struct nmt_provider_ops *ops;
	size_t len = strcspn(spec, "/");
	const char *device = spec[len] ? spec + len + 1 : "";
	int rc;

	if (!len || len >= sizeof(name) || strlen(device) >= NMT_DEV_MAX ||
	    (spec[len] && !*device)) {
		nmti_err(dom->ctx, "\"%.40s\" is no provider; write auto, NAME or NAME/DEVICE "
			 "(nmt_info lists them)", spec);
		return -EINVAL;
	}
	snprintf(name, sizeof(name), "%.*s", (int)len, spec);
	ops = nmti_provider_load(dom->ctx, name, why, sizeof(why));
	if (!ops) {
		nmti_err(dom->ctx, "provider %s: %s (nmt_info --all lists them)", name, why);
		return -ENODEV;
	}
	rc = add_provider(dom, ops, device);
	if (rc)
		nmti_err(dom->ctx, "provider %s: %s", spec, nmt_strerror(rc));
	return rc;
}

/* The next provider by rank that can negotiate and is not open yet. */
static const struct nmt_provider_ops *best_left(struct nmt_domain *dom, uint32_t tried)
{
	const struct nmt_provider_ops *best = NULL, *ops;

	for (int i = 0; (ops = nmti_provider_at(dom->ctx, i, NULL)); i++) {
		if (tried & 1u << i || !(ops->caps & NMT_CAP_NEGOTIATED))
			continue;
		if (!best || ops->rank < best->rank)
			best = ops;
	}
	return best;
}

static uint32_t index_bit(struct nmt_ctx *ctx, const struct nmt_provider_ops *ops)
{
	const struct nmt_provider_ops *p;

	for (int i = 0; (p = nmti_provider_at(ctx, i, NULL)); i++)
		if (p == ops)
			return 1u << i;
	return 0;
}

/* What would be preferred to the providers that are here: shown as the reason for the path. */
static void note_missing(struct nmt_domain *dom)
{
	const char *first = nmti_provider_names[0];

	if (nmti_provider_find(dom->ctx, first))
		return;
	dom->why = NMT_WHY_NOT_BUILT;
	snprintf(dom->why_text, sizeof(dom->why_text), "%s is not in this build", first);
	nmti_info(dom->ctx, "auto: %s is not in this build: negotiated streams take the best of "
		  "what both ends have (nmt_info --all says why)", first);
}

struct devices {
	bool usable;
	char reason[128]; /* of the first one that is not */
};

static int look_at(void *arg, const struct nmt_info *info)
{
	struct devices *d = arg;

	bool wanted = !info->status && !(info->flags & NMT_INFO_ON_REQUEST);

	d->usable |= wanted;
	if (!wanted && !d->reason[0])
		snprintf(d->reason, sizeof(d->reason), "%s", info->reason);
	return 0;
}

/* Asked before, so that a machine without such a device is no error. */
static bool has_device(struct nmt_domain *dom, const struct nmt_provider_ops *ops,
		       struct devices *d)
{
	memset(d, 0, sizeof(*d));
	if (ops->absent && ops->absent()) {
		snprintf(d->reason, sizeof(d->reason), "no adapter for it here");
		return false;
	}
	if (ops->data_socket || ops->query(dom->ctx, look_at, d) || d->usable)
		return true;
	return !d->reason[0];
}

static void note_unusable(struct nmt_domain *dom, const char *name, const char *reason)
{
	nmti_info(dom->ctx, "auto: not using %s: %s", name, reason);
	if (dom->npd || dom->why) /* there is a better one, or one that is missed more */
		return;
	dom->why = NMT_WHY_NO_DEVICE;
	snprintf(dom->why_text, sizeof(dom->why_text), "%s: %.80s", name, reason);
}

static void add_usable(struct nmt_domain *dom, const struct nmt_provider_ops *ops)
{
	struct devices d;
	int rc;

	if (!has_device(dom, ops, &d)) {
		note_unusable(dom, ops->name, d.reason);
		return;
	}
	rc = add_provider(dom, ops, "");
	if (rc)
		note_unusable(dom, ops->name, nmt_strerror(rc));
}

static int open_auto(struct nmt_domain *dom)
{
	const struct nmt_provider_ops *ops;
	char why[128];
	uint32_t tried = 0;

	for (int i = 0; nmti_provider_names[i]; i++)
		nmti_provider_load(dom->ctx, nmti_provider_names[i], why, sizeof(why));
	dom->negotiate = true;
	note_missing(dom);
	while ((ops = best_left(dom, tried))) {
		tried |= index_bit(dom->ctx, ops);
		add_usable(dom, ops);
	}
	if (dom->npd)
		return 0;
	nmti_err(dom->ctx, "auto: no provider is usable (nmt_info --all says why)");
	return -ENODEV;
}

static void lists_init(struct nmt_domain *dom)
{
	nmti_list_init(&dom->streams);
	nmti_list_init(&dom->listeners);
	nmti_list_init(&dom->boots);
	nmti_list_init(&dom->rejoins);
	nmti_list_init(&dom->tell);
	nmti_list_init(&dom->now);
	nmti_list_init(&dom->work);
	nmti_list_init(&dom->listeners_told);
}

static void count_domain(struct nmt_ctx *ctx, int delta)
{
	pthread_mutex_lock(&ctx->lock);
	ctx->ndomains = (unsigned int)((int)ctx->ndomains + delta);
	pthread_mutex_unlock(&ctx->lock);
}

static void domain_free(struct nmt_domain *dom)
{
	while (dom->npd) {
		struct nmt_pdomain *pd = &dom->pd[--dom->npd];

		pd->ops->close(pd);
	}
	nmti_timer_cancel(dom, &dom->pool.retry);
	nmti_loans_fini(dom);
	nmti_pool_fini(dom);
	nmti_reactor_fini(dom);
	count_domain(dom->ctx, -1);
	free(dom);
}

static int domain_setup(struct nmt_domain *dom, const struct nmt_domain_attr *attr)
{
	int rc = nmti_reactor_init(dom);

	if (!rc)
		rc = nmti_pool_init(dom, attr);
	if (!rc)
		rc = strcmp(dom->spec, "auto") ? open_named(dom, dom->spec) : open_auto(dom);
	return rc;
}

static const char *default_spec(void)
{
	const char *spec = getenv("NMT_PROVIDER");

	return spec && *spec ? spec : "auto";
}

int nmt_domain_open(struct nmt_ctx *ctx, const char *spec, const struct nmt_domain_attr *user,
		    struct nmt_domain **out)
{
	struct nmt_domain_attr attr = NMT_DOMAIN_ATTR_INIT;
	struct nmt_domain *dom;
	int rc;

	if (!ctx || !out)
		return -EINVAL;
	spec = spec ? spec : default_spec();
	rc = domain_attr(user, &attr);
	if (!rc && strlen(spec) >= sizeof(dom->spec))
		rc = -EINVAL;
	if (rc)
		return rc;
	dom = calloc(1, sizeof(*dom));
	if (!dom)
		return -ENOMEM;
	dom->ctx = ctx;
	dom->epfd = dom->timer_src.fd = dom->wake_src.fd = -1;
	dom->budget = attr.budget ? attr.budget : BUDGET_DEFAULT;
	snprintf(dom->spec, sizeof(dom->spec), "%s", spec);
	lists_init(dom);
	set_spin(dom, &attr);
	count_domain(ctx, 1);
	rc = domain_setup(dom, &attr);
	if (rc) {
		domain_free(dom);
		return rc;
	}
	*out = dom;
	return 0;
}

static bool all_closed(const struct nmt_domain *dom)
{
	const struct nmti_list *node;

	for (node = dom->streams.next; node != &dom->streams; node = node->next)
		if (nmti_container(node, struct nmt_stream, all)->state != NMTI_STATE_CLOSED)
			return false;
	return true;
}

static void close_streams(struct nmt_domain *dom)
{
	struct nmti_list *node;

	for (node = dom->streams.next; node != &dom->streams; node = node->next) {
		struct nmt_stream *s = nmti_container(node, struct nmt_stream, all);

		s->at_domain_close = s->state == NMT_STATE_OPEN || s->state == NMTI_STATE_CLOSING;
		if (s->state < NMTI_STATE_CLOSING)
			nmt_close(s);
	}
	/* Each stream has its linger deadline, so this ends. */
	while (!all_closed(dom)) {
		dom->woken = false;
		nmti_list_splice_tail(&dom->tell, &dom->now);
		nmti_progress(dom, NMT_FOREVER);
		while (nmti_list_pop(&dom->now))
			;
	}
}

static void free_streams(struct nmt_domain *dom)
{
	struct nmt_event ev[16];

	while (!nmti_list_empty(&dom->streams)) {
		struct nmt_stream *s =
			nmti_container(dom->streams.next, struct nmt_stream, all);

		while (nmti_stream_events(s, ev, ARRAY_LEN(ev)) == ARRAY_LEN(ev) &&
		       ev[ARRAY_LEN(ev) - 1].type != NMT_EV_CLOSED)
			;
	}
}

int nmt_domain_close(struct nmt_domain *dom)
{
	int rc;

	if (!dom)
		return -EINVAL;
	while (!nmti_list_empty(&dom->listeners))
		nmti_listener_free(nmti_container(dom->listeners.next, struct nmt_listener, node));
	close_streams(dom);
	free_streams(dom);
	nmti_rdv_close(dom);
	rc = dom->close_status;
	domain_free(dom);
	return rc;
}
