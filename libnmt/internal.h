/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the files of the core share: the objects behind the handles of nmt.h and the calls between
 * files. Providers and front doors never include this.
 */
#ifndef NMTI_INTERNAL_H
#define NMTI_INTERNAL_H

#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdbool.h>
#include <string.h>

#include <nmt/provider.h>

#include "hint.h"
#include "list.h"
#include "min.h"

#define NMTI_PROVIDERS_MAX 16
#define NMTI_KINDS_MAX 16
#define NMTI_NSEC INT64_C(1000000000)

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

#define nmti_err(ctx, ...) nmti_log(ctx, NMT_LOG_ERROR, __VA_ARGS__)
#define nmti_warn(ctx, ...) nmti_log(ctx, NMT_LOG_WARN, __VA_ARGS__)
#define nmti_info(ctx, ...) nmti_log(ctx, NMT_LOG_INFO, __VA_ARGS__)
#define nmti_debug(ctx, ...)                                                                       \
	do {                                                                                       \
		if (nmti_log_on(ctx, NMT_LOG_DEBUG))                                               \
			nmti_log(ctx, NMT_LOG_DEBUG, __VA_ARGS__);                                 \
	} while (0)

/* ---- context (ctx.c, provider.c, log.c) ---- */

struct nmti_provider {
	struct nmt_provider_ops ops;
	void *module; /* dlopen handle, NULL: built in or added */
};

struct nmt_ctx {
	nmt_log_fn *log;
	void *log_arg;
	enum nmt_log_level log_level;
	char *provider_path;
	pthread_mutex_t lock; /* guards all below */
	struct nmti_provider *providers[NMTI_PROVIDERS_MAX];
	int nproviders;
	const struct nmt_mem_ops *kinds[NMTI_KINDS_MAX];
	int nkinds;
	struct nmti_list mrs;
	unsigned int ndomains;
};

/* Copy SIZE bytes of a user's attribute struct over defaults. -EINVAL: unknown size or non-zero tail. */
int nmti_attr_copy(void *dst, size_t known, const void *user);

/* The provider at INDEX of the table, or NULL past its end; *MODULE: it was loaded. */
const struct nmt_provider_ops *nmti_provider_at(struct nmt_ctx *ctx, int index, bool *module);

/* Find NAME among the built-in ones and those added, else load its module. -ENODEV, reason in WHY. */
const struct nmt_provider_ops *nmti_provider_load(struct nmt_ctx *ctx, const char *name, char *why,
						  size_t len);
void nmti_providers_init(struct nmt_ctx *ctx);
void nmti_providers_fini(struct nmt_ctx *ctx);
/* Every name that libnmt knows, built in or not; NULL ends. */
extern const char *const nmti_provider_names[];

void nmti_log_init(struct nmt_ctx *ctx, const struct nmt_ctx_attr *attr);

void nmti_mem_init(struct nmt_ctx *ctx);
/*
 * Check a region and a range that the application named: -EINVAL, -EFAULT, -EACCES, -EOPNOTSUPP
 * (only a device can reach it, and the provider has none that does).
 */
int nmti_mr_check(const struct nmt_stream *s, const struct nmt_mr *mr, uint64_t offset, size_t len,
		  uint32_t access);

/* ---- domain (domain.c, reactor.c, poll.c) ---- */

struct nmti_pool {
	uint32_t cell_size;
	uint64_t shared_max, shared; /* cells beyond the reserves */
	uint64_t reserved;           /* cells, sum of reserves */
	uint64_t cells, held;
	enum nmt_mem_kind kind;
	struct nmti_cell *free;
	struct nmti_slab *slabs;
	struct nmti_timer retry; /* after memory ran out */
};

struct nmti_loan {
	struct nmti_cell *cell;
	struct nmt_stream *owner; /* NULL: not lent */
	uint32_t gen, len;
	uint32_t prev, next;      /* the owner's list; next: free list when not lent */
	bool marked;
};

struct nmti_loans {
	struct nmti_loan *slot; /* slot 0 is never used */
	uint32_t count, free;
};

struct nmti_heap {
	struct nmti_timer **slot; /* slot[1] is due first */
	uint32_t count, cap;
};

struct nmt_domain {
	struct nmt_ctx *ctx;
	struct nmt_pdomain pd[NMTI_PROVIDERS_MAX];
	int npd;
	bool negotiate;   /* opened as "auto" */
	enum nmt_reason why; /* of "auto": why a better path cannot be taken */
	char why_text[96];   /* in words; empty: those of WHY */
	char spec[NMT_NAME_MAX + NMT_DEV_MAX];

	/* waiting */
	int epfd;
	bool whole_ms;            /* no epoll_pwait2: time-outs in milliseconds */
	int64_t timerfd_at;       /* what the timerfd is set to; 0: disarmed */
	struct nmti_source timer_src, wake_src;
	struct nmti_heap timers;
	int64_t spin_max, spin;   /* ns; spin adapts between 0 and spin_max */
	bool spin_always;
	struct nmt_stream *hot;   /* the stream that small receives come from, or NULL */
	uint32_t hot_count;       /* how many of them in a row */
	uint32_t spin_turn;
	uint32_t light, light_most; /* passes since sockets and timers were looked at; to be at most */
	bool woken;
	uint64_t happened;        /* counts what nmti_tell and its like were called for */
	uint32_t budget;
	struct slot *slots;       /* by descriptor, reactor.c */
	uint32_t nslots, nreplay;
	int replay[32];           /* descriptors whose new owner hears what was seen before */

	/* streams */
	struct nmti_list streams, listeners, boots, rejoins;
	struct nmti_list tell, now; /* streams with events: for the next harvest; being given out */
	struct nmti_list work;      /* streams with operations to go on with */
	struct nmti_list listeners_told;
	struct nmti_rdv *rdv;
	struct nmti_pool pool;
	struct nmti_loans loans;
	void *staging;
	struct nmti_counters gone; /* of streams that ended */
	struct nmt_stats stat;
	uint64_t nstreams;
	int close_status;
};

/* The provider of DOM for raw streams, or NULL. */
struct nmt_pdomain *nmti_raw_provider(struct nmt_domain *dom);
/* The network device that sockets of DOM are bound to; empty: none. */
const char *nmti_netdev(const struct nmt_domain *dom);
/* Wait up to TIMEOUT (NMT_FOREVER) for sources and timers, run them, and work lists. -EINTR. */
int nmti_progress(struct nmt_domain *dom, int64_t timeout);
int nmti_reactor_init(struct nmt_domain *dom);
void nmti_reactor_fini(struct nmt_domain *dom);
/* Run the sources that are ready, at most TIMEOUT ns later. How many, without bells; -EINTR. */
int nmti_reactor_wait(struct nmt_domain *dom, int64_t timeout);
/* A descriptor that was closed, by number. */
void nmti_forget_fd(struct nmt_domain *dom, int fd);
/* Everything that came was read: the next owner need not hear of it. */
void nmti_drained(struct nmt_domain *dom, const struct nmti_source *src);
int nmti_timers_run(struct nmt_domain *dom);
int64_t nmti_timers_next(const struct nmt_domain *dom); /* INT64_MAX: none */
/* Absolute deadline of a relative time-out; INT64_MAX for NMT_FOREVER. */
int64_t nmti_deadline(int64_t timeout);

int nmti_pool_init(struct nmt_domain *dom, const struct nmt_domain_attr *attr);
void nmti_pool_fini(struct nmt_domain *dom);
void nmti_pool_join(struct nmt_stream *s);  /* account the stream's reserve */
void nmti_pool_leave(struct nmt_stream *s);
void nmti_loans_fini(struct nmt_domain *dom);
void nmti_loans_drop(struct nmt_stream *s); /* take every loan of the stream back */

/* ---- addresses (addr.c, resolve.c) ---- */

#define NMTI_HOST_MAX 256

struct nmti_hostport {
	char host[NMTI_HOST_MAX]; /* empty: any */
	uint16_t port;
};

struct nmti_addr {
	struct sockaddr_storage ss;
	socklen_t len;
};

#define NMTI_ADDRS_MAX 8

/* PORT is the one of an address that names none. -EINVAL. */
int nmti_addr_parse(const char *text, uint16_t port, struct nmti_hostport *hp);
/* Addresses of a host that need no name service; -EAGAIN: it has to be resolved. */
int nmti_addr_numeric(const struct nmti_hostport *hp, bool passive, struct nmti_addr *out, int max);
int nmti_addr_resolve(const struct nmti_hostport *hp, bool passive, struct nmti_addr *out, int max);

struct nmti_lookup;
/* Resolve on a helper thread; *FD becomes readable when done. */
int nmti_lookup_start(const struct nmti_hostport *hp, struct nmti_lookup **lookup, int *fd);
/* Count of addresses, or a negative errno. Frees the lookup. */
int nmti_lookup_finish(struct nmti_lookup *lookup, struct nmti_addr *out, int max);
void nmti_lookup_cancel(struct nmti_lookup *lookup);

/* ---- sockets (sockopt.c) ---- */

/* A non-blocking TCP socket with the options of ATTR; DEVICE may be empty. Logs failures. */
int nmti_socket(struct nmt_ctx *ctx, int family, const struct nmt_stream_attr *attr,
		const char *device);
/* Options for a data socket that came to the rendezvous port (which has TCP_NODELAY on). */
int nmti_socket_tune(struct nmt_ctx *ctx, int fd, const struct nmt_stream_attr *attr);
/* Liveness of a control channel; set on a listener, its connections inherit it. */
void nmti_socket_control(int fd, const struct nmt_stream_attr *attr);
/* Of a connect that was under way, after epoll's EVENTS: 0, -EAGAIN (still is), or why it failed. */
int nmti_connect_result(int fd, uint32_t events);

/* ---- attributes (attr.c) ---- */

/* Copy and check, fill defaults. -EINVAL, -EOPNOTSUPP. */
int nmti_stream_attr(struct nmt_domain *dom, const struct nmt_stream_attr *user, bool listener,
		     struct nmt_stream_attr *out);
/* Move the texts of A into one block that the caller frees (NULL: there are none). */
int nmti_attr_strings(struct nmt_stream_attr *a, char **block);
void nmti_tuning_from(struct nmt_domain *dom, const struct nmt_stream_attr *attr, uint32_t mode,
		      struct nmti_tuning *tune);

/* ---- streams (stream.c, life.c) ---- */

enum {
	NMTI_STATE_CLOSING = NMT_STATE_FAILED + 1, /* the handle is dead */
	NMTI_STATE_CLOSED,                         /* waits for its last event */
};

#define NMTI_OWE_CONNECTED 1u
#define NMTI_OWE_ERROR 2u
#define NMTI_OWE_CLOSED 4u

int nmti_stream_new(struct nmt_domain *dom, const struct nmt_stream_attr *attr, uint32_t mode,
		    struct nmt_stream **out);
void nmti_stream_free(struct nmt_stream *s);
/* Choose the provider and give it the path. FD is taken over also on failure. */
int nmti_stream_attach(struct nmt_stream *s, struct nmt_pdomain *pd, const struct nmti_path *path);
/* The provider lets go of the stream, after abort or a close. */
void nmti_stream_detach(struct nmt_stream *s);
/* The stream is open: owe NMT_EV_CONNECTED. */
void nmti_stream_open(struct nmt_stream *s);
/* Events of one stream, a budget at most. */
int nmti_stream_events(struct nmt_stream *s, struct nmt_event *ev, int max);
void nmti_counters_add(struct nmti_counters *sum, const struct nmti_counters *c);
/* Why there is no better path, or none: for nmt_stream_info, in words of at most 95 bytes. */
void nmti_stream_why(struct nmt_stream *s, enum nmt_reason why, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* Who the stream talks to, for log lines. */
const char *nmti_stream_peer(const struct nmt_stream *s, char buf[static NMT_ADDR_MAX]);
/* Wait inside a blocking call. 0: look again; -EAGAIN: deadline is over; -EINTR. */
int nmti_block(struct nmt_domain *dom, int64_t deadline);

/* ---- set-up (connect.c, listener.c, bootstrap.c, rendezvous.c, ctl.c) ---- */

struct nmt_listener {
	struct nmt_domain *dom;
	struct nmti_list node, told;
	struct nmti_source src;
	struct nmti_timer retry;  /* after EMFILE */
	struct nmt_stream_attr attr;
	char *strings;            /* of attr */
	bool ready;               /* the kernel may have connections */
	bool again;               /* atomic: a foreign thread found no room */
	pthread_mutex_t lock;     /* guards the queue: any thread may accept from it */
	struct nmti_list queue;   /* greeted connections, struct nmti_greet */
	unsigned int queued;
	struct nmti_list greets;  /* being greeted */
	unsigned int ngreets;
	struct nmt_stream *half;  /* a blocking accept was interrupted in its handshake */
};

int nmti_listener_events(struct nmt_listener *l, struct nmt_event *ev);
void nmti_listener_free(struct nmt_listener *l);
void nmti_listener_tell(struct nmt_listener *l);
void nmti_listener_woken(struct nmt_listener *l);

void nmti_boot_free(struct nmt_stream *s);
/* The provider failed the stream before it was open: tell the peer, and free it. */
void nmti_boot_broken(struct nmt_stream *s);

void nmti_rdv_close(struct nmt_domain *dom);

/* Control channel of an open negotiated stream; takes FD over. BYTES came already. */
int nmti_ctl_open(struct nmt_stream *s, int fd, const void *bytes, size_t len);
void nmti_ctl_end(struct nmt_stream *s); /* close its socket */
void nmti_ctl_free(struct nmt_stream *s);
void nmti_ctl_abort(struct nmt_stream *s, uint16_t reason);
void nmti_ctl_bye(struct nmt_stream *s); /* orderly: this side takes no more */
bool nmti_ctl_drained(struct nmt_stream *s);
/* Addresses of the connection that goes with the stream; the first one, if it came back. */
void nmti_ctl_addrs(const struct nmt_stream *s, char *local, char *peer);

#endif
