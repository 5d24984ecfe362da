/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a provider or a memory kind gives to the core, and what it may ask of the core.
 *
 * This is an in-tree interface: it changes without notice, and NMT_PROVIDER_ABI counts the changes.
 * The provider guide (docs/providers.md) says why each op exists.
 *
 * Division of labour. The core checks arguments, owns the life of a stream, waits, blocks, times
 * out, negotiates, and gives events out. A provider moves bytes: each data op does what it can
 * without waiting and answers -EAGAIN otherwise. When a reason to wait goes away, the provider
 * sets rx_ready or tx_ready and calls nmti_tell() (events for the application) or nmti_work()
 * (queued operations to go on with).
 *
 * Threads: every op runs on the thread that uses the domain, but query, which any thread may call.
 */
#ifndef NMT_PROVIDER_H
#define NMT_PROVIDER_H

#include <nmt/nmt.h>
#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

#define NMT_PROVIDER_ABI 9

/* Circular list with a head, as in the kernel. */
struct nmti_list {
	struct nmti_list *next, *prev;
};

/* ---- memory kinds ------------------------------------------------------------------------- */

struct nmt_mem_ops;

struct nmt_mr {
	struct nmt_ctx *ctx;
	const struct nmt_mem_ops *ops;
	struct nmti_list node;  /* in the context, under its lock */
	struct nmti_list maps;  /* struct nmti_map, the same */
	void *cpu;              /* where the CPU sees byte 0; NULL: it does not */
	uint64_t dev;           /* device address, for kinds that have one */
	size_t size;
	uint32_t access;        /* NMT_ACCESS_* */
	uint16_t owned;         /* the kind allocated it and frees it */
	uint16_t pool;          /* receive memory of a domain, not the application's */
	uint32_t busy;          /* borrows and posts that name it; atomic */
	void *priv;             /* of the kind */
	bool no_cpu;            /* not even copy_in and copy_out reach it: for devices only */
};

/* Ops of a memory kind. A NULL op is "not supported". */
struct nmt_mem_ops {
	uint32_t kind;    /* enum nmt_mem_kind */
	const char *name; /* "host" */

	/*
	 * Whether this machine can allocate it: 0, or a negative errno and a reason for people.
	 * Asked before each region and each pool. NULL: always.
	 */
	int (*probe)(struct nmt_ctx *ctx, char *reason, size_t len);

	/* Fill cpu / dev / priv for mr->size zeroed bytes. -ENOMEM, -EOPNOTSUPP (log why). */
	int (*alloc)(struct nmt_mr *mr);

	/* Take over application memory at ADDR; -ENXIO: not of this kind (the next kind is asked). */
	int (*reg)(struct nmt_mr *mr, void *addr);

	/* Make mr->size bytes at OFFSET of a dma-buf the region. FD stays the caller's: dup it. */
	int (*import)(struct nmt_mr *mr, int fd, uint64_t offset);

	/* Undo alloc, reg or import (mr->owned tells memory that alloc made). */
	void (*free)(struct nmt_mr *mr);

	/* Copy between CPU memory and the region; the range is checked. NULL: memcpy at mr->cpu. */
	int (*copy_in)(struct nmt_mr *mr, uint64_t offset, const void *src, size_t len);
	int (*copy_out)(const struct nmt_mr *mr, uint64_t offset, void *dst, size_t len);

	/*
	 * A descriptor of the dma-buf that the region lies in, which the caller closes, and the
	 * OFFSET of the region's byte 0 in it (of any alignment). -EMFILE.
	 */
	int (*export_fd)(const struct nmt_mr *mr, uint64_t *offset);

	/* NUMA node of the memory (-1: any) and, for device memory, its PCI address. */
	int (*locality)(const struct nmt_mr *mr, int *numa, char *pci, size_t len);
};

/* Add a kind to a context, before any region of it; the ops must outlive the context. -EEXIST. */
int nmti_mem_kind_add(struct nmt_ctx *ctx, const struct nmt_mem_ops *ops);
const struct nmt_mem_ops *nmti_mem_kind(struct nmt_ctx *ctx, uint32_t kind);

/* Address for the CPU at OFFSET, or NULL when the bytes have to be staged. */
static inline void *nmti_mr_cpu(const struct nmt_mr *mr, uint64_t offset)
{
	return mr->cpu ? (char *)mr->cpu + offset : NULL;
}

/*
 * What a device knows of a region, beyond single operations. GONE is called when the region closes,
 * on any thread, under the context's lock: it only makes a note of it.
 */
struct nmti_map {
	struct nmti_list node;
	void (*gone)(struct nmti_map *map);
};
void nmti_mr_map(struct nmt_mr *mr, struct nmti_map *map);
/* Of a region that is not gone, or is: no GONE runs any more when this returns. */
void nmti_mr_unmap(struct nmt_ctx *ctx, struct nmti_map *map);

static inline void nmti_mr_hold(struct nmt_mr *mr)
{
	__atomic_fetch_add(&mr->busy, 1, __ATOMIC_RELAXED);
}

static inline void nmti_mr_drop(struct nmt_mr *mr)
{
	__atomic_fetch_sub(&mr->busy, 1, __ATOMIC_RELEASE);
}

/* ---- what the core offers: sources, timers, log ------------------------------------------- */

/*
 * A descriptor that the domain watches, edge-triggered. READY runs inside nmt_poll with the EPOLL*
 * bits; it may unwatch and free any source, its own too. A second watch of a descriptor hands it
 * over to the new source, which hears again what was reported so far.
 */
struct nmti_source {
	void (*ready)(struct nmti_source *src, uint32_t events);
	int fd;
	bool bell; /* it says no more than that ops->progress finds something */
};
int nmti_watch(struct nmt_domain *dom, struct nmti_source *src, uint32_t events);
/*
 * By level, and told once: nothing more is heard of it until it is watched again. For what would be
 * told all the time while the domain is awake and looks there anyway.
 */
int nmti_watch_once(struct nmt_domain *dom, struct nmti_source *src, uint32_t events);
void nmti_unwatch(struct nmt_domain *dom, struct nmti_source *src);
/* The same for a descriptor that is closed next, which takes it out of epoll by itself. */
void nmti_forget(struct nmt_domain *dom, struct nmti_source *src);
/* Whether the domain never sleeps in a call of nmt.h; it may still be armed for another loop. */
bool nmti_domain_spins(const struct nmt_domain *dom);
/* What sockets are watched for, all of them, so that handing one over costs no system call. */
#define NMTI_SOCK_EVENTS (EPOLLIN | EPOLLOUT | EPOLLRDHUP)

/* A deadline. FIRE runs inside nmt_poll at or after AT, once; it may set the timer again. */
struct nmti_timer {
	void (*fire)(struct nmti_timer *t);
	int64_t at;
	uint32_t slot; /* in the heap; 0: not set */
};
int nmti_timer_set(struct nmt_domain *dom, struct nmti_timer *t, int64_t at);
void nmti_timer_cancel(struct nmt_domain *dom, struct nmti_timer *t);
int64_t nmti_now(void); /* CLOCK_MONOTONIC, ns */

/* "1.2.3.4:5" or "[::1]:5"; an IPv4 peer of a dual-stack socket is shown as IPv4. -ENOSPC. */
int nmti_addr_format(const struct sockaddr_storage *ss, char *buf, size_t len);
/* The same for the own (PEER: the other) end of a connected socket; BUF stays when there is none. */
void nmti_addr_of_socket(int fd, bool peer, char buf[NMT_ADDR_MAX]);

/* The number that a file of sysfs holds; FALLBACK: it has none. Any thread. */
int nmti_sysfs_number(const char *path, int fallback);
/* "0000:00:00.0" of the PCI device that the link PATH leads to; BUF stays when it is none. */
void nmti_sysfs_pci(const char *path, char *buf, size_t len);

/* One line for the context's sink. Check the level first where the arguments cost something. */
void nmti_log(struct nmt_ctx *ctx, enum nmt_log_level level, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
bool nmti_log_on(const struct nmt_ctx *ctx, enum nmt_log_level level);

/* ---- streams ------------------------------------------------------------------------------ */

struct nmti_ctl;  /* control channel, core */
struct nmti_boot; /* set-up in progress, core */

struct nmti_rma_ops; /* rma/rma.h */

/* One provider in a domain. */
struct nmt_pdomain {
	struct nmt_domain *dom;
	struct nmt_ctx *ctx;
	const struct nmt_provider_ops *ops;
	char device[NMT_DEV_MAX]; /* empty: any */
	void *priv;               /* of the provider */
};

/* Counters that the provider keeps, by stream; the core adds them up. The busiest come first. */
struct nmti_counters {
	uint64_t tx_bytes, rx_bytes, tx_ops, rx_ops;
	uint64_t tx_syscalls, rx_syscalls, tx_copied, rx_copied;
	uint64_t zc_sends, zc_copied, stall_window, stall_memory;
	uint64_t fallback_zerocopy, fallback_staging;
	uint64_t rma_writes, rma_doorbells, rma_signalled, ctrl_sent, grants;
	uint64_t stall_credit, stall_queue, recoveries;
};

/* Attributes that live as long as the stream. */
struct nmti_tuning {
	uint32_t flags;      /* NMT_STREAM_* */
	uint8_t recv_mode;   /* enum nmt_recv_mode */
	uint8_t mode;        /* NMT_MODE_RAW or NMT_MODE_NEGOTIATED */
	uint16_t rails;
	uint32_t pool_reserve, pool_share; /* cells */
	uint32_t send_depth, recv_depth;
	uint32_t zerocopy_min;
	int64_t send_timeout, recv_timeout, linger, recovery;
};

/*
 * What a busy stream touches comes first, in two cache lines: with thousands of streams, lines are
 * what a turn costs. The core aligns it, and priv, to a line.
 */
struct nmt_stream {
	struct nmt_domain *dom;
	const struct nmt_provider_ops *ops; /* = pd->ops */
	void *priv;                         /* ops->stream_size bytes, zeroed, of the provider */
	void *user;
	struct nmti_ctl *ctl;               /* core */
	struct nmti_list tell;              /* core */

	/* Shared between provider and core. */
	int error;       /* sticky: negative errno; bytes before it can still be received */
	uint32_t posted; /* provider: posted receives that are not finished */
	bool rx_ready;   /* provider: a receive may find bytes, the end or an error */
	bool tx_ready;   /* provider: a send may find room */
	bool tx_slot;    /* provider: an operation finished after one was refused for depth */
	bool rx_told;    /* core: READABLE was given since the last receive call */
	bool tx_want;    /* core: a send found no room; tell WRITABLE */
	bool rx_shut, tx_shut; /* the application ended this direction */
	bool peer_gone;  /* core: the peer takes nothing more */
	bool records;    /* record boundaries are on */
	bool rx_untold : 1; /* provider: reap_rx may find a finished receive */
	bool tx_untold : 1; /* provider: reap_tx may find a finished send or flush */
	bool rx_first;   /* core: this turn, what was received is told before what was sent */
	bool stalled;    /* provider: a receive waits for pool memory */
	uint8_t state;   /* core: enum nmt_stream_state, or NMTI_STATE_* */
	uint8_t owe;     /* core: NMTI_OWE_*, events that the application has not had yet */
	bool blocking;   /* core: tune.flags has NMT_STREAM_BLOCKING */
	bool posting;    /* tune.recv_mode is NMT_RECV_POSTED */
	struct nmti_counters stat;
	struct nmti_tuning tune;
	struct nmt_pdomain *pd; /* once the provider is chosen */
	struct nmt_ctx *ctx;
	bool lost; /* provider without data sockets: the path is lost, and may come back */

	/* Core only. */
	struct nmti_list work, all;
	struct nmti_boot *boot;
	struct nmti_timer closer;
	int64_t bye_by;
	int close_status;
	char *why_text;       /* of WHY, allocated; NULL: words for all streams */
	uint16_t why;         /* enum nmt_reason */
	bool at_domain_close; /* its status counts for nmt_domain_close */
	bool aborting;        /* until the path is quiet; CLOSE_STATUS is set */
	uint32_t held;        /* pool cells */
	uint32_t loan_first;  /* loans, 0: none */
	uint32_t memory;      /* library memory of the stream besides this struct and priv */
	uint64_t lent;        /* bytes on loan */
};

/*
 * Put the stream on the domain's list of those with events, or with work to go on with. Cheap, may
 * be called any number of times.
 */
void nmti_tell(struct nmt_stream *s);
void nmti_work(struct nmt_stream *s);

/*
 * The stream broke: remember ERR (the first one counts), owe NMT_EV_ERROR. The provider logs the
 * cause before, as it alone knows it; receives still give what arrived before the break. -EPROTO
 * on an open stream becomes -ECONNRESET, and the peer is told.
 */
void nmti_stream_fail(struct nmt_stream *s, int err);

/*
 * The path that attach was asked for is up (0), or cannot be brought up, or was up and is lost before
 * the stream is open (negative errno). True: the core sees to the rest; a path that failed is aborted
 * and detached soon, and another one may be attached. False: the peer may count on the path already;
 * it is to be treated as lost when the stream is open, and ops->work runs then.
 */
bool nmti_path_up(struct nmt_stream *s, int status);

/*
 * ops->close_stream has finished: STATUS is what NMT_EV_CLOSED says. Or ops->abort has, of a closing
 * stream that was not quiet at once. The core then calls ops->detach.
 */
void nmti_stream_closed(struct nmt_stream *s, int status);

/*
 * The peer's orderly end, as the control channel tells it. RX_OFFSET, RX_RECORDS: stream bytes and
 * records received so far.
 * 1: the end of the stream is here; 0: not yet, the core will set rx_ready and tell when it knows;
 * -ECONNRESET: the path ended elsewhere. Raw streams: 1 always.
 */
int nmti_peer_fin(struct nmt_stream *s, uint64_t rx_offset, uint64_t rx_records);

/*
 * The sending direction ended after TX_OFFSET stream bytes: tell the peer. LAST: the provider calls
 * nmti_stream_closed() next. No-op on raw streams.
 */
void nmti_send_fin(struct nmt_stream *s, uint64_t tx_offset, uint64_t records, bool last);

/*
 * Providers without data sockets have the end of a direction in band, and tell the core when the
 * whole stream is done: all that this side sent was received, and it takes no more. Told to the
 * peer once, and again on each new channel; its own word comes by ops->peer_done. No-op when the
 * channel is gone. nmti_done_told: the peer's kernel has it, or there is no channel any more.
 */
void nmti_done(struct nmt_stream *s);
bool nmti_done_told(const struct nmt_stream *s);

/*
 * A message of the path (RESUME, PATH_DOWN; whole, of bootwire.h) on the control channel. When that is
 * away it is not sent; the last RESUME is said (again) on each new one.
 */
void nmti_path_tell(struct nmt_stream *s, const void *msg, int len);

/*
 * Header in front of each run of payload on a data socket with records (docs/wire.md). LEN 0 only
 * with EOR. nmti_rec_get: -EPROTO when HDR is none.
 */
void nmti_rec_put(uint8_t hdr[8], uint32_t len, bool eor);
int nmti_rec_get(const uint8_t hdr[8], uint32_t *len, bool *eor);

/* ---- receive memory and loans ------------------------------------------------------------- */

struct nmti_cell {
	struct nmt_mr *mr;
	uint64_t offset;    /* of the cell in its region */
	struct nmti_cell *next;
	struct nmt_stream *owner;
	struct nmti_slab *slab;
	uint32_t refs;      /* loans, and one while the provider fills it */
};

/* Bytes in each cell of the domain. */
uint32_t nmti_cell_size(const struct nmt_domain *dom);

/*
 * Take a cell (refs = 1) within the stream's reserve and share; NULL: not now, and s->stalled is
 * set; the core tells the stream when it may try again.
 */
struct nmti_cell *nmti_cell_get(struct nmt_stream *s);
void nmti_cell_put(struct nmti_cell *cell); /* drop one reference */

/*
 * COUNT cells for one stream alone, in one region of pool memory: what is made known to its peer
 * holds no bytes of another stream. Cells are taken and put as others, and come back to their slab.
 * nmti_slab_new: NULL: no memory (a log line). nmti_slab_get: NULL as nmti_cell_get, or none of it
 * is free. nmti_slab_free: takes back what the provider holds of it; no cell of it is lent.
 */
struct nmti_slab *nmti_slab_new(struct nmt_stream *s, uint32_t count);
void nmti_slab_free(struct nmt_stream *s, struct nmti_slab *slab);
struct nmti_cell *nmti_slab_get(struct nmt_stream *s, struct nmti_slab *slab);
struct nmt_mr *nmti_slab_mr(const struct nmti_slab *slab);
bool nmti_slab_has(const struct nmti_slab *slab); /* a free cell */
/* Whether the stream's reserve and share allow another cell now. */
bool nmti_cell_may(const struct nmt_stream *s);

/*
 * Lend LEN bytes at POS of a cell: fills FRAG and takes a reference. -ENOMEM.
 * nmti_release: all or nothing, -EINVAL for a token that is no loan of this stream.
 */
int nmti_lend(struct nmt_stream *s, struct nmti_cell *cell, uint32_t pos, uint32_t len,
	      uint32_t flags, struct nmt_frag *frag);
int nmti_release(struct nmt_stream *s, const struct nmt_frag *frags, int n);

/* Copy between regions of any kinds, through the staging memory where the CPU reaches neither. */
int nmti_mr_move(struct nmt_domain *dom, struct nmt_mr *dst, uint64_t dst_off,
		 const struct nmt_mr *src, uint64_t src_off, size_t len);

/* Host memory of the domain for one copy at a time through the CPU; *LEN says how much. */
void *nmti_staging(struct nmt_domain *dom, size_t *len);

/* ---- a provider --------------------------------------------------------------------------- */

/* What attach gets: the TCP connection that is, or carries, the data, or the peer's address blob. */
struct nmti_path {
	int fd;             /* connected, non-blocking; the provider's from now on. -1: none */
	bool server;        /* this side accepted */
	uint8_t recv_mode;  /* enum nmt_recv_mode of the peer */
	uint16_t rails;     /* to bring up */
	const void *blob;   /* of the peer */
	uint32_t blob_len;
	const uint8_t *token; /* 16 bytes that both ends know, and nobody else */
};

/* A receive as small as this makes its stream the one to look at while spinning. */
#define NMTI_HOT_BYTES 1024u
/* Looks at it in a row: a few microseconds. */
#define NMTI_HOT_TRIES 15

typedef int nmti_info_fn(void *arg, const struct nmt_info *info);

struct nmt_provider_ops {
	uint32_t abi;  /* NMT_PROVIDER_ABI */
	uint32_t size; /* of this struct */
	const char *name;
	uint64_t caps;         /* what it has at best */
	uint32_t rank;         /* order for "auto", small is better */
	uint32_t default_mode; /* NMT_MODE_RAW or NMT_MODE_NEGOTIATED */
	uint32_t max_rails;
	size_t stream_size;    /* bytes of stream->priv */
	bool data_socket;      /* the bytes of a stream travel on a TCP connection of their own */
	/*
	 * A provider that can write remote memory has these (rma/rma.h), and only what stands above
	 * and query: the engine's ops make a stream provider of it. NULL: a stream provider.
	 */
	const struct nmti_rma_ops *rma;

	/* -- discovery -- */

	/* EMIT one nmt_info a device (status and reason set), stop when it answers non-zero. */
	int (*query)(struct nmt_ctx *ctx, nmti_info_fn *emit, void *arg);
	/*
	 * A quick look before "auto" asks query, which loads a large library: true, there can be no
	 * device that auto takes. NULL: query tells.
	 */
	bool (*absent)(void);

	/* -- domain -- */

	/* Open on pd->device. -ENODEV: no such device. */
	int (*open)(struct nmt_pdomain *pd);
	/* Close; no stream of it is left. */
	void (*close)(struct nmt_pdomain *pd);
	/* Poll completions, a budget at most; returns how many. NULL: sources tell everything. */
	int (*progress)(struct nmt_pdomain *pd);
	/* Before sleep: arm completion interrupts. -EAGAIN: something came, progress again. NULL: 0. */
	int (*arm)(struct nmt_pdomain *pd);

	/* -- set-up and tear-down of a stream -- */

	/*
	 * Address blob of a stream of PD for HELLO (client) or SELECT (server), before attach; may be
	 * asked for more than once. Its length, or a negative errno: not offered. NULL: 0.
	 */
	int (*offer)(struct nmt_pdomain *pd, const struct nmt_stream *s, void *blob, uint32_t cap);
	/*
	 * Bring the path up. Ends, now or later, with nmti_path_up(). Takes path->fd over also when
	 * it fails. With data_socket it gets the socket, else the peer's blob; then the server attaches
	 * before it answers the client, who gets DECLINE, or another offer, where that fails at once.
	 * detach follows also when it fails.
	 */
	int (*attach)(struct nmt_stream *s, const struct nmti_path *path);
	/* Without data_socket. The peer needs the path no more: see nmti_done(). */
	void (*peer_done)(struct nmt_stream *s);
	/*
	 * Without data_socket. A message of the path. 0 or -EPROTO. NULL: none is expected. A RESUME
	 * may come again.
	 */
	int (*peer_path)(struct nmt_stream *s, const void *msg, uint32_t len);
	/* End a direction: SHUT_WR after all that was accepted; SHUT_RD: discard. */
	int (*shutdown)(struct nmt_stream *s, int how);
	/*
	 * Close in order, as nmt_close(): send what was accepted, make sure that it arrived, give
	 * borrows and posts back, then nmti_stream_closed(). Called once.
	 */
	void (*close_stream)(struct nmt_stream *s);
	/* Break the path: no peer writes to, and no device reads from, memory when it is quiet. */
	void (*abort)(struct nmt_stream *s);
	/*
	 * Behind abort. False: not quiet yet, in some seconds at most; nmti_stream_closed() says when, if
	 * the stream is closing. NULL: always true.
	 */
	bool (*quiet)(const struct nmt_stream *s);
	/* Free everything in priv. After abort or nmti_stream_closed, or when attach failed. */
	void (*detach)(struct nmt_stream *s);

	/* -- data: never wait; arguments are checked -- */

	ssize_t (*send)(struct nmt_stream *s, const struct iovec *iov, int n, int flags);
	ssize_t (*recv)(struct nmt_stream *s, const struct iovec *iov, int n, int flags,
			int *out_flags);
	int (*send_mr)(struct nmt_stream *s, const struct nmt_frag *frags, int n, int flags,
		       uint64_t cookie);
	int (*recv_frags)(struct nmt_stream *s, struct nmt_frag *frags, int max);
	int (*release)(struct nmt_stream *s, const struct nmt_frag *frags, int n);
	int (*recv_into)(struct nmt_stream *s, struct nmt_mr *mr, uint64_t offset, size_t len,
			 int flags, uint64_t cookie);
	int (*recv_cancel)(struct nmt_stream *s, uint64_t cookie);
	int (*flush)(struct nmt_stream *s, uint64_t cookie);

	/* Bytes that send took still wait for the peer or the device. NULL: never, or not to be known. */
	bool (*unsent)(const struct nmt_stream *s);
	/*
	 * Go on with queued operations, as many as a budget (a small multiple of it where one doorbell
	 * or system call takes them all); true: there is more to do now.
	 */
	bool (*work)(struct nmt_stream *s, uint32_t budget);
	/*
	 * nmt_poll spins: look NMTI_HOT_TRIES times for bytes of this stream (NMTI_HOT_BYTES at most)
	 * without waiting for an event; tell if there are. False: not now, ask the sources. NULL: never.
	 */
	bool (*spin)(struct nmt_stream *s);
	/*
	 * Take up to MAX (0: none) finished sends and flushes, or receives, as events (type, status,
	 * cookie, len, flags are filled). Called when s->tx_untold or s->rx_untold is set.
	 */
	int (*reap_tx)(struct nmt_stream *s, struct nmt_event *ev, int max);
	int (*reap_rx)(struct nmt_stream *s, struct nmt_event *ev, int max);

	/* -- observation and options -- */

	int (*setopt)(struct nmt_stream *s, enum nmt_opt opt, const void *val, size_t len);
	int (*getopt)(struct nmt_stream *s, enum nmt_opt opt, void *val, size_t *len);
	/* Fill what the provider knows: device, caps, waits, unsent, unacked. */
	void (*info)(const struct nmt_stream *s, struct nmt_stream_info *info);
	/* Socket for other event loops. -EOPNOTSUPP. */
	int (*fd)(struct nmt_stream *s);
};

/*
 * A module libnmt-<name>.so exports this function; it is asked once a context.
 * NULL or a wrong ABI number: the module is refused, with a log line.
 */
#define NMT_PROVIDER_MODULE_SYMBOL "nmt_provider_module"
typedef const struct nmt_provider_ops *nmt_provider_module_fn(void);

/*
 * Add a provider to a context, before the first domain; one of the same name is replaced. The ops
 * are copied and missing ones filled with the defaults. For modules and tests.
 */
int nmti_provider_add(struct nmt_ctx *ctx, const struct nmt_provider_ops *ops);
const struct nmt_provider_ops *nmti_provider_find(struct nmt_ctx *ctx, const char *name);

/*
 * The engine's ops for a provider with RMA, then every NULL op that the core calls without looking:
 * one that says -EOPNOTSUPP.
 */
void nmti_provider_defaults(struct nmt_provider_ops *ops);

#ifdef __cplusplus
}
#endif

#endif
