/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What libfabric finds on this machine: for each of its providers and types of endpoint the best
 * address, or why it is of no use here. A device is called PROVIDER[:TYPE][:DOMAIN], for example
 * "tcp", "tcp:rdm", "tcp:msg:eth0"; without a type it is connected where the provider can.
 */
#include <arpa/inet.h>
#include <dirent.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>

#include "ofi.h"

#define MOST 64 /* providers x types */

/* ---- names ---- */

struct wish {
	char prov[OFI_PROV_MAX + 1];
	char domain[NMT_DEV_MAX];
	uint8_t type; /* 0: the better one */
};

static void read_word(struct wish *w, const char *word, size_t len)
{
	if (len == 3 && !memcmp(word, "msg", 3))
		w->type = OFI_TYPE_MSG;
	else if (len == 3 && !memcmp(word, "rdm", 3))
		w->type = OFI_TYPE_RDM;
	else
		snprintf(w->domain, sizeof(w->domain), "%.*s", (int)len, word);
}

static void read_wish(const struct ofi_opt *opt, const char *device, struct wish *w)
{
	size_t len = strcspn(device, ":");

	*w = (struct wish){ .type = opt->type };
	snprintf(w->prov, sizeof(w->prov), "%.*s", (int)len, device);
	while (device[len]) {
		device += len + 1;
		len = strcspn(device, ":");
		read_word(w, device, len);
	}
}

/* The provider below utility layers: "tcp" of "tcp;ofi_rxm". */
static size_t base_len(const struct fi_info *info)
{
	return strcspn(info->fabric_attr->prov_name, ";");
}

static bool is_base(const struct fi_info *info, const char *name)
{
	return strlen(name) == base_len(info) &&
	       !memcmp(info->fabric_attr->prov_name, name, strlen(name));
}

/* ---- judgement ---- */

/* Providers whose adapters write memory, the best last; 0: none of them. */
static uint8_t rank_of(const struct fi_info *info)
{
	static const char *const names[] = { "ucx", "psm2", "psm3", "opx", "efa", "cxi" };

	for (uint8_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (is_base(info, names[i]))
			return (uint8_t)(i + 1);
	return 0;
}

/* Why a provider is not taken that says it has all that streams need, or NULL. */
static const char *unfit(const struct fi_info *info)
{
	if (is_base(info, "verbs"))
		return "provider verbs reaches these adapters without libfabric";
	if (is_base(info, "udp") && info->ep_attr->type == FI_EP_RDM)
		return "its writes do not complete when they are delivered (ofi_rxd)";
	return NULL;
}

const char *nmti_ofi_refusal(const struct fi_info *info)
{
	const char *why = unfit(info);

	if (why)
		return why;
	if (info->ep_attr->type == FI_EP_DGRAM)
		return "unreliable datagrams (FI_EP_DGRAM)";
	if (info->ep_attr->type != FI_EP_MSG && info->ep_attr->type != FI_EP_RDM)
		return "neither FI_EP_MSG nor FI_EP_RDM";
	if (!(info->caps & FI_RMA))
		return "no writes to remote memory (FI_RMA)";
	if (info->domain_attr->mr_mode & FI_MR_RAW)
		return "raw keys (FI_MR_RAW)";
	if (info->ep_attr->type == FI_EP_MSG && info->domain_attr->mr_mode & FI_MR_ENDPOINT)
		return "registrations bound to endpoints (FI_MR_ENDPOINT) with FI_EP_MSG";
	return "lacks what libnmt asks for: FI_RM_ENABLED, FI_ORDER_SAS, FI_DELIVERY_COMPLETE";
}

static int order_of_address(const struct fi_info *info)
{
	const struct sockaddr *sa = info->src_addr;
	const struct in6_addr *in6;

	if (!sa || (info->addr_format != FI_SOCKADDR_IN && info->addr_format != FI_SOCKADDR_IN6))
		return 1;
	if (sa->sa_family == AF_INET)
		return *(const uint8_t *)&((const struct sockaddr_in *)(const void *)sa)->sin_addr
			== 127 ? 2 : 4;
	in6 = &((const struct sockaddr_in6 *)(const void *)sa)->sin6_addr;
	return IN6_IS_ADDR_LINKLOCAL(in6) ? 0 : IN6_IS_ADDR_LOOPBACK(in6) ? 1 : 3;
}

static const char slow[] = "auto leaves it out: no adapter writes memory here, provider tcp is faster";

/* ---- what there is ---- */

static struct fi_info *hints_for(enum fi_ep_type type, bool virt, bool hmem)
{
	struct fi_info *h = nmti_ofi_dupinfo(NULL);

	if (!h)
		return NULL;
	h->caps = FI_MSG | FI_RMA | (hmem ? FI_HMEM : 0);
	h->mode = FI_CONTEXT | FI_CONTEXT2;
	h->ep_attr->type = type;
	h->domain_attr->threading = FI_THREAD_DOMAIN;
	h->domain_attr->resource_mgmt = FI_RM_ENABLED;
	h->domain_attr->mr_mode = FI_MR_LOCAL | FI_MR_ALLOCATED | FI_MR_PROV_KEY |
				  (virt ? FI_MR_VIRT_ADDR : 0) | (hmem ? FI_MR_HMEM : 0) |
				  (type == FI_EP_RDM ? FI_MR_ENDPOINT : 0);
	h->tx_attr->msg_order = h->rx_attr->msg_order = FI_ORDER_SAS;
	h->tx_attr->op_flags = FI_DELIVERY_COMPLETE;
	return h;
}

static struct fi_info *ask(enum fi_ep_type type, bool virt, bool hmem)
{
	struct fi_info *h = hints_for(type, virt, hmem), *list = NULL;

	if (!h)
		return NULL;
	if (nmti_ofi_getinfo(h, &list))
		list = NULL;
	nmti_ofi_freeinfo(h);
	return list;
}

struct table {
	struct ofi_found at[MOST];
	int n;
};

static uint8_t type_of(const struct fi_info *info)
{
	return info->ep_attr->type == FI_EP_MSG ? OFI_TYPE_MSG :
	       info->ep_attr->type == FI_EP_RDM ? OFI_TYPE_RDM : 0;
}

static struct ofi_found *entry_for(struct table *t, const struct fi_info *info)
{
	const char *prov = info->fabric_attr->prov_name;
	int n = (int)base_len(info);
	struct ofi_found *f;

	for (int i = 0; i < t->n; i++)
		if (t->at[i].type == type_of(info) && strcspn(t->at[i].name, ":") == (size_t)n &&
		    !strncmp(t->at[i].name, prov, (size_t)n))
			return &t->at[i];
	if (t->n == MOST)
		return NULL;
	f = &t->at[t->n++];
	*f = (struct ofi_found){ .type = type_of(info), .status = -EOPNOTSUPP };
	f->rank = rank_of(info);
	snprintf(f->name, sizeof(f->name), "%.*s", n < 32 ? n : 32, prov);
	return f;
}

static void take(struct table *t, const struct fi_info *info, const struct wish *w)
{
	struct ofi_found *f;

	if (unfit(info) || (w->domain[0] && strcmp(w->domain, info->domain_attr->name)))
		return;
	f = entry_for(t, info);
	if (!f || (f->info && order_of_address(f->info) >= order_of_address(info)))
		return;
	if (f->info)
		nmti_ofi_freeinfo(f->info);
	f->info = nmti_ofi_dupinfo(info);
	f->status = f->info ? 0 : -ENOMEM;
	snprintf(f->reason, sizeof(f->reason), "%s", f->rank ? "" : slow);
	if (f->info)
		f->info->tx_attr->op_flags = 0; /* each request says it */
}

static void take_all(struct table *t, enum fi_ep_type type, bool virt, bool hmem,
		     const struct wish *w)
{
	struct fi_info *list = ask(type, virt, hmem);

	for (const struct fi_info *i = list; i; i = i->next)
		if (!hmem || rank_of(i))
			take(t, i, w);
	if (list)
		nmti_ofi_freeinfo(list);
}

/* What there is besides, and is of no use. */
static void take_rest(struct table *t)
{
	struct fi_info *list = NULL;

	if (nmti_ofi_getinfo(NULL, &list))
		return;
	for (const struct fi_info *i = list; i; i = i->next) {
		struct ofi_found *f = entry_for(t, i);

		if (f && !f->info && !f->reason[0])
			snprintf(f->reason, sizeof(f->reason), "%s", nmti_ofi_refusal(i));
	}
	nmti_ofi_freeinfo(list);
}

static bool has_msg(const struct table *t, const struct ofi_found *f)
{
	for (int i = 0; i < t->n; i++)
		if (t->at[i].type == OFI_TYPE_MSG && t->at[i].info && &t->at[i] != f &&
		    strcspn(t->at[i].name, ":") == strlen(f->name) &&
		    !strncmp(t->at[i].name, f->name, strlen(f->name)))
			return true;
	return false;
}

/* Types are told apart by name where the provider has both. */
static void spell_types(struct table *t)
{
	for (int i = 0; i < t->n; i++) {
		struct ofi_found *f = &t->at[i];

		if (f->type == OFI_TYPE_RDM && has_msg(t, f))
			strcat(f->name, ":rdm");
		else if (!f->type)
			strcat(f->name, ":dgram");
	}
}

/*
 * Memory of devices is asked for (FI_HMEM) first, where it can be registered, and of adapters only: others
 * would look at each address for nothing.
 */
static void find_all(const struct wish *w, bool rest, struct table *t)
{
	t->n = 0;
	for (int i = OFI_DMABUF ? 0 : 4; i < 8; i++)
		take_all(t, i & 1 ? FI_EP_RDM : FI_EP_MSG, i & 2, i < 4, w);
	if (rest)
		take_rest(t);
	spell_types(t);
}

static void table_free(struct table *t)
{
	for (int i = 0; i < t->n; i++)
		if (t->at[i].info)
			nmti_ofi_freeinfo(t->at[i].info);
}

/* ---- choice ---- */

static bool fits(const struct ofi_found *f, const struct wish *w)
{
	size_t len = strcspn(f->name, ":");

	return (!w->type || w->type == f->type) &&
	       (!w->prov[0] || (strlen(w->prov) == len && !strncmp(w->prov, f->name, len)));
}

/* By rank, then connected TCP; in libfabric's order otherwise. */
static int worth(const struct ofi_found *f)
{
	if (!f->info)
		return 0;
	return 1 + 8 * f->rank + 4 * !strncmp(f->name, "tcp", 3) +
	       2 * (f->type == OFI_TYPE_MSG);
}

static void explain(const struct table *t, const struct wish *w, const char *device,
		    struct ofi_found *found)
{
	for (int i = 0; i < t->n && !w->domain[0]; i++)
		if (fits(&t->at[i], w) && t->at[i].reason[0]) {
			snprintf(found->reason, sizeof(found->reason), "%.30s: %.90s",
				 t->at[i].name, t->at[i].reason);
			return;
		}
	snprintf(found->reason, sizeof(found->reason), "libfabric has no \"%.60s\" here (fi_info -l)",
		 device);
}

int nmti_ofi_find(struct nmt_ctx *ctx, const char *device, struct ofi_found *found)
{
	struct ofi_found *best = NULL;
	struct ofi_opt opt;
	struct table t;
	struct wish w;

	memset(found, 0, sizeof(*found));
	if (nmti_ofi_missing()) {
		snprintf(found->reason, sizeof(found->reason), "%s", nmti_ofi_missing());
		return -ENODEV;
	}
	nmti_ofi_options(ctx, &opt);
	read_wish(&opt, device, &w);
	find_all(&w, true, &t);
	for (int i = 0; i < t.n; i++)
		if (fits(&t.at[i], &w) && worth(&t.at[i]) > (best ? worth(best) : 0))
			best = &t.at[i];
	if (best) {
		*found = *best;
		best->info = NULL;
	} else {
		explain(&t, &w, device, found);
	}
	table_free(&t);
	return found->info ? 0 : -ENODEV;
}

/* ---- query ---- */

static bool has_entries(const char *path)
{
	DIR *dir = opendir(path);
	struct dirent *e;
	bool found = false;

	while (dir && !found && (e = readdir(dir)))
		found = e->d_name[0] != '.';
	if (dir)
		closedir(dir);
	return found;
}

bool nmti_ofi_absent(void)
{
	return !has_entries("/sys/class/infiniband") && !has_entries("/sys/class/cxi");
}

static int tell(const struct ofi_found *f, nmti_info_fn *emit, void *arg)
{
	struct nmt_info info = { .size = sizeof(info), .numa_node = -1, .status = f->status };

	snprintf(info.device, sizeof(info.device), "%s", f->name);
	snprintf(info.reason, sizeof(info.reason), "%s", f->reason);
	if (f->info) {
		const struct fid_nic *nic = f->info->nic;

		info.flags = NMT_INFO_UP | (f->rank ? 0 : NMT_INFO_ON_REQUEST);
		if (nic && nic->link_attr) {
			info.speed_mbps = (uint32_t)(nic->link_attr->speed / 1000000);
			info.mtu = (uint32_t)nic->link_attr->mtu;
		}
	}
	return emit(arg, &info);
}

int nmti_ofi_query(struct nmt_ctx *ctx, nmti_info_fn *emit, void *arg)
{
	struct nmt_info none = { .size = sizeof(none), .numa_node = -1, .device = "any",
				 .status = -ENODEV, .reason = "libfabric finds nothing (fi_info)" };
	const struct wish all = { .type = 0 };
	struct table t;
	int rc = 0;

	(void)ctx;
	if (nmti_ofi_missing()) {
		snprintf(none.reason, sizeof(none.reason), "%s", nmti_ofi_missing());
		return emit(arg, &none);
	}
	find_all(&all, true, &t);
	for (int i = 0; i < t.n && !rc; i++)
		rc = tell(&t.at[i], emit, arg);
	if (!t.n)
		rc = emit(arg, &none);
	table_free(&t);
	return rc;
}
