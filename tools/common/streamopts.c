/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The connection options that all tools share. Most options are a value in a field of
 * struct tk_streamopts; the table "fields" says which field and how the value is written.
 */
#include "streamopts.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "die.h"
#include "names.h"
#include "units.h"

const struct tk_opt tk_stream_options[] = {
	{ TK_OPT_PROVIDER, "provider", "SPEC",
	  "auto, tcp, verbs, or one on a device (tcp/eth0); nmt_info lists them\n"
	  "(default: NMT_PROVIDER in the environment, else auto)" },
	{ TK_OPT_MODE, "mode", "MODE",
	  "raw: the peer is any TCP program; negotiated: the peer is libnmt;\n"
	  "either: a listener for both (default: raw for tcp, else negotiated)" },
	{ TK_OPT_RECORDS, "records", NULL, "keep record boundaries (negotiated mode, both ends)" },
	{ TK_OPT_MEM, "mem", "KIND",
	  "memory to send from and receive into: host, huge, udmabuf, dmaheap,\n"
	  "cuda (default host)" },
	{ TK_OPT_RAILS, "rails", "N", "paths side by side for one stream (default 1)" },
	{ TK_OPT_CELL, "cell", "SIZE", "unit of receive memory, a power of two (default 128K)" },
	{ TK_OPT_POOL, "pool", "SIZE", "receive memory of all streams together (default 256M)" },
	{ TK_OPT_SPIN, "spin", "TIME",
	  "longest spin before sleeping; 0: never spin (default 50us)" },
	{ TK_OPT_TIMEOUT, "timeout", "TIME",
	  "for resolving, connecting and the handshake (default 30s)" },
	{ TK_OPT_SNDBUF, "sndbuf", "SIZE", "kernel send buffer" },
	{ TK_OPT_RCVBUF, "rcvbuf", "SIZE", "kernel receive buffer" },
	{ TK_OPT_NAGLE, "nagle", NULL, "leave Nagle's algorithm on" },
	{ TK_OPT_KEEPALIVE, "keepalive", "S", "TCP keepalive after S idle seconds" },
	{ TK_OPT_USER_TIMEOUT, "user-timeout", "MS",
	  "give up when data is not acknowledged for MS milliseconds; also\n"
	  "gives up on a peer that does not read" },
	{ TK_OPT_CONGESTION, "congestion", "NAME", "TCP congestion control, for example bbr" },
	{ TK_OPT_BIND_DEVICE, "bind-device", "DEV", "use this network interface only" },
	{ TK_OPT_LOCAL, "local", "ADDR", "connect from this local address and port" },
	{ TK_OPT_ZEROCOPY_MIN, "zerocopy-min", "SIZE",
	  "smallest send that asks the kernel not to copy, or never (default 32K)" },
	{ TK_OPT_LOG, "log", "LEVEL",
	  "none, error, warn, info or debug (default: NMT_LOG in the\n"
	  "environment, else warn)" },
	{ 0, NULL, NULL, NULL },
};

enum value_kind {
	V_TEXT,
	V_SIZE32, /* uint32_t, a size above 0 */
	V_SIZE64,
	V_NUMBER, /* uint32_t above 0 */
	V_FLAG,	  /* a bit of uint32_t */
	V_TIME,	  /* int64_t above 0 */
};

#define FIELD(f) offsetof(struct tk_streamopts, f)

static const struct field {
	int code;
	enum value_kind kind;
	size_t at;
	uint32_t flag;
} fields[] = {
	{ TK_OPT_PROVIDER, V_TEXT, FIELD(provider), 0 },
	{ TK_OPT_RECORDS, V_FLAG, FIELD(attr.flags), NMT_STREAM_RECORDS },
	{ TK_OPT_NAGLE, V_FLAG, FIELD(attr.flags), NMT_STREAM_NAGLE },
	{ TK_OPT_RAILS, V_NUMBER, FIELD(attr.rails), 0 },
	{ TK_OPT_CELL, V_SIZE32, FIELD(domain.cell_size), 0 },
	{ TK_OPT_POOL, V_SIZE64, FIELD(domain.pool_size), 0 },
	{ TK_OPT_TIMEOUT, V_TIME, FIELD(attr.connect_timeout), 0 },
	{ TK_OPT_SNDBUF, V_SIZE32, FIELD(attr.sndbuf), 0 },
	{ TK_OPT_RCVBUF, V_SIZE32, FIELD(attr.rcvbuf), 0 },
	{ TK_OPT_KEEPALIVE, V_NUMBER, FIELD(attr.keepalive_idle), 0 },
	{ TK_OPT_USER_TIMEOUT, V_NUMBER, FIELD(attr.user_timeout_ms), 0 },
	{ TK_OPT_CONGESTION, V_TEXT, FIELD(attr.congestion), 0 },
	{ TK_OPT_BIND_DEVICE, V_TEXT, FIELD(attr.bind_device), 0 },
	{ TK_OPT_LOCAL, V_TEXT, FIELD(attr.local_addr), 0 },
	{ TK_OPT_ZEROCOPY_MIN, V_SIZE32, FIELD(attr.zerocopy_min), 0 },
};

static const char *option_name(int code)
{
	for (const struct tk_opt *o = tk_stream_options; o->code; o++) {
		if (o->code == code)
			return o->name;
	}
	return "?";
}

static uint64_t size_arg(int code, const char *arg, uint64_t max)
{
	uint64_t v;

	if (tk_parse_size(arg, &v) < 0 || v < 1 || v > max)
		tk_usage("--%s: '%s' is not a size; write for example 64K or 1M", option_name(code),
			 arg);
	return v;
}

static uint32_t number_arg(int code, const char *arg)
{
	uint64_t v;

	if (tk_parse_number(arg, 1, INT32_MAX, &v) < 0)
		tk_usage("--%s: '%s' is not a number above 0", option_name(code), arg);
	return (uint32_t)v;
}

static int64_t time_arg(int code, const char *arg, int64_t min)
{
	int64_t v;

	if (tk_parse_time(arg, &v) < 0 || v < min)
		tk_usage("--%s: '%s' is not a time; write for example 50us, 200ms or 5s",
			 option_name(code), arg);
	return v;
}

static uint32_t name_arg(int code, const struct tk_name *table, const char *arg)
{
	char list[160];
	uint32_t v;

	if (tk_name_find(table, arg, &v) < 0) {
		tk_name_list(table, list, sizeof(list));
		tk_usage("--%s: '%s' is unknown; choose one of %s", option_name(code), arg, list);
	}
	return v;
}

static void set_field(struct tk_streamopts *o, const struct field *f, const char *arg)
{
	void *at = (char *)o + f->at;

	switch (f->kind) {
	case V_TEXT:
		*(const char **)at = arg;
		break;
	case V_SIZE32:
		*(uint32_t *)at = (uint32_t)size_arg(f->code, arg, UINT32_MAX - 1);
		break;
	case V_SIZE64:
		*(uint64_t *)at = size_arg(f->code, arg, INT64_MAX);
		break;
	case V_NUMBER:
		*(uint32_t *)at = number_arg(f->code, arg);
		break;
	case V_FLAG:
		*(uint32_t *)at |= f->flag;
		break;
	case V_TIME:
		*(int64_t *)at = time_arg(f->code, arg, 1);
		break;
	}
}

/* 0 on the command line means "never", which the attribute writes as a negative number. */
static int64_t spin_arg(const char *arg)
{
	int64_t ns = time_arg(TK_OPT_SPIN, arg, 0);

	return ns ? ns : -1;
}

static int take_field(struct tk_streamopts *o, int code, const char *arg)
{
	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		if (fields[i].code == code) {
			set_field(o, &fields[i], arg);
			return 0;
		}
	}
	return -ENOENT;
}

int tk_streamopts_take(struct tk_streamopts *o, int code, const char *arg)
{
	switch (code) {
	case TK_OPT_MODE:
		o->attr.mode = name_arg(code, tk_modes, arg);
		return 0;
	case TK_OPT_MEM:
		o->mem = name_arg(code, tk_mem_kinds, arg);
		o->domain.pool_kind = o->mem;
		return 0;
	case TK_OPT_SPIN:
		o->domain.spin_ns = spin_arg(arg);
		return 0;
	case TK_OPT_LOG:
		o->log_level = name_arg(code, tk_log_levels, arg) + 1;
		return 0;
	case TK_OPT_ZEROCOPY_MIN:
		if (strcmp(arg, "never") == 0) {
			o->attr.zerocopy_min = UINT32_MAX;
			return 0;
		}
		break;
	default:
		break;
	}
	return take_field(o, code, arg);
}

void tk_streamopts_finish(struct tk_streamopts *o)
{
	struct nmt_stream_attr *a = &o->attr;
	bool special = (a->flags & NMT_STREAM_RECORDS) || a->rails > 1;

	if (special && (a->mode == NMT_MODE_RAW || a->mode == NMT_MODE_EITHER))
		tk_usage("records and several rails need '--mode negotiated'");
	if (special)
		a->mode = NMT_MODE_NEGOTIATED;
	if (a->connect_timeout)
		a->handshake_timeout = a->connect_timeout;
}

struct nmt_ctx *tk_ctx_open(const struct tk_streamopts *o, nmt_log_fn *log, void *log_arg)
{
	struct nmt_ctx_attr attr = NMT_CTX_ATTR_INIT;
	struct nmt_ctx *ctx;
	int err;

	attr.log = log;
	attr.log_arg = log_arg;
	attr.log_level = o->log_level;
	err = nmt_ctx_open(&attr, &ctx);
	if (err < 0)
		tk_die(TK_EXIT_FAILURE, "cannot start libnmt: %s", nmt_strerror(err));
	return ctx;
}

/* Whether the library's own message, which says more, cannot be seen. */
static bool log_is_off(const struct tk_streamopts *o)
{
	const char *env = getenv("NMT_LOG");

	if (o->log_level)
		return o->log_level == NMT_LOG_NONE + 1;
	return env && strcmp(env, "none") == 0;
}

struct nmt_domain *tk_domain_open(struct nmt_ctx *ctx, const struct tk_streamopts *o)
{
	const char *env = getenv("NMT_PROVIDER");
	const char *spec = o->provider ? o->provider : env ? env : "auto";
	struct nmt_domain *domain;
	int err = nmt_domain_open(ctx, o->provider, &o->domain, &domain);

	if ((err == -ENODEV || err == -EOPNOTSUPP) && !log_is_off(o))
		exit(err == -ENODEV ? TK_EXIT_USAGE : TK_EXIT_FAILURE);
	if (err == -ENODEV)
		tk_usage("no usable provider '%s'; 'nmt_info --all' lists them", spec);
	if (err == -EINVAL)
		tk_usage("provider '%s', --cell, --pool or --spin: malformed", spec);
	if (err < 0)
		tk_die(TK_EXIT_FAILURE, "cannot open provider '%s': %s", spec, nmt_strerror(err));
	return domain;
}
