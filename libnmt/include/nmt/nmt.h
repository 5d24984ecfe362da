/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * libnmt: a TCP-like byte stream straight between the memory of two machines.
 *
 * Conventions that hold for every call unless its comment says otherwise:
 *
 * Results   0 or a count on success, else a negative errno (-EAGAIN: not now, an event will tell).
 * Units     sizes are bytes, times are nanoseconds on CLOCK_MONOTONIC.
 * Threads   a context and its memory regions may be used by any thread at any time. A domain, with
 *           all its listeners and streams, is used by one thread at a time; it may pass from thread
 *           to thread under the application's own synchronisation. Exceptions: nmt_wake() may be
 *           called from anywhere; nmt_accept() is called by the thread of the domain that it
 *           accepts into, which need not be the listener's.
 * Waiting   streams are non-blocking. With NMT_STREAM_BLOCKING the calls marked "blocks" wait, and
 *           meanwhile the whole domain makes progress.
 * Structs   attribute, hint and info structs start with their size; use the NMT_*_INIT
 *           initialisers, zero in any other field means "the default".
 * Signals   no call raises SIGPIPE. No call but nmt_wake() is async-signal-safe.
 */
#ifndef NMT_NMT_H
#define NMT_NMT_H

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>

#ifdef __cplusplus
template <class T> static inline T nmt_sized_()
{
	T t = T();

	t.size = sizeof(T);
	return t;
}
#define NMT_SIZED_(type) nmt_sized_<struct type>()
extern "C" {
#else
#define NMT_SIZED_(type) { .size = sizeof(struct type) }
#endif

#define NMT_VERSION_MAJOR 0
#define NMT_VERSION_MINOR 1
#define NMT_VERSION_PATCH 0
#define NMT_VERSION ((NMT_VERSION_MAJOR << 16) | (NMT_VERSION_MINOR << 8) | NMT_VERSION_PATCH)

/* The port of an address that names none. */
#define NMT_DEFAULT_PORT 18515

/* Longest provider name, device name and printed address, with the final NUL. */
#define NMT_NAME_MAX 16
#define NMT_DEV_MAX 64
#define NMT_ADDR_MAX 80
/* Longest printed GID, with the final NUL. */
#define NMT_GID_MAX 48

/* "For ever" as a time-out; as a deadline attribute, "none". */
#define NMT_FOREVER INT64_C(-1)

struct nmt_ctx;      /* process scope: providers, memory regions, log */
struct nmt_domain;   /* progress scope: one thread at a time */
struct nmt_mr;       /* memory region of a context */
struct nmt_listener; /* accepts streams */
struct nmt_stream;   /* a connected byte stream */

/* ---- version and errors ------------------------------------------------------------------- */

/* Version of the library that runs, as NMT_VERSION counts; any thread. */
uint32_t nmt_version(void);

/* The same as text, "0.1.0"; static storage. */
const char *nmt_version_string(void);

/*
 * What a result means here, in words that say more than strerror(3) where libnmt uses an errno in
 * a special way. Takes the error with either sign. Static storage, any thread, never NULL.
 */
const char *nmt_strerror(int err);

/* ---- context ------------------------------------------------------------------------------ */

enum nmt_log_level {
	NMT_LOG_NONE = 0,  /* nothing */
	NMT_LOG_ERROR = 1, /* something failed that the application asked for */
	NMT_LOG_WARN = 2,  /* something works, but not as well as asked (the default) */
	NMT_LOG_INFO = 3,  /* which path was taken and why */
	NMT_LOG_DEBUG = 4, /* set-up and tear-down, step by step */
};

/*
 * Log sink: one finished line without a newline. Called on the thread that logs, perhaps on several
 * at once; must not call into libnmt.
 */
typedef void nmt_log_fn(void *arg, enum nmt_log_level level, const char *line);

struct nmt_ctx_attr {
	size_t size;
	nmt_log_fn *log;           /* NULL: standard error */
	void *log_arg;
	uint32_t log_level;        /* enum nmt_log_level + 1; 0: NMT_LOG in the environment, else warn */
	uint32_t flags;            /* none defined: 0 */
	const char *provider_path; /* where modules are; NULL: NMT_PROVIDER_PATH, else built in */
};
#define NMT_CTX_ATTR_INIT NMT_SIZED_(nmt_ctx_attr)

/*
 * Open a context. ATTR may be NULL. Any thread; a process may have several.
 * -ENOMEM; -EINVAL: unknown flag, or a size that this library does not know.
 */
int nmt_ctx_open(const struct nmt_ctx_attr *attr, struct nmt_ctx **ctx);

/* Close a context. -EBUSY, and nothing is closed, while a domain or a memory region of it lives. */
int nmt_ctx_close(struct nmt_ctx *ctx);

/* ---- what there is ------------------------------------------------------------------------ */

/* Capabilities: of a provider on a device (nmt_info) and of a stream (nmt_stream_info). */
#define NMT_CAP_RAW (UINT64_C(1) << 0)        /* the peer may be any TCP program */
#define NMT_CAP_NEGOTIATED (UINT64_C(1) << 1) /* speaks the libnmt handshake */
#define NMT_CAP_RECORDS (UINT64_C(1) << 2)    /* MSG_EOR boundaries (negotiated mode) */
#define NMT_CAP_PLACEMENT (UINT64_C(1) << 3)  /* nmt_recv_into without a copy by the library */
#define NMT_CAP_ZEROCOPY (UINT64_C(1) << 4)   /* nmt_send_mr without a copy by the library */
#define NMT_CAP_FD (UINT64_C(1) << 5)         /* nmt_stream_fd hands out the socket */
#define NMT_CAP_REUSEPORT (UINT64_C(1) << 6)  /* accept sharding by SO_REUSEPORT */
#define NMT_CAP_RAILS (UINT64_C(1) << 7)      /* several rails for one stream */
#define NMT_CAP_RESUME (UINT64_C(1) << 8)     /* survives the loss of a path */
#define NMT_CAP_REMOTE_FLUSH (UINT64_C(1) << 9) /* nmt_flush: in the peer's memory, not only its kernel */
#define NMT_CAP_DMABUF (UINT64_C(1) << 10)    /* reaches dma-buf memory without staging */
#define NMT_CAP_NIC_MEMORY (UINT64_C(1) << 11) /* receive memory is shared by the NIC: no reserved share */

/* What an adapter port calls itself on the wire, and which protocol goes with it. */
enum nmt_gid_type {
	NMT_GID_NONE = 0, /* no GID, or not known */
	NMT_GID_IB,       /* InfiniBand */
	NMT_GID_ROCE_V1,  /* Ethernet frames of their own */
	NMT_GID_ROCE_V2,  /* UDP */
};

struct nmt_hints {
	size_t size;
	const char *spec;  /* as for nmt_domain_open; NULL or "auto": everything */
	uint64_t caps;     /* only what has all of these */
	uint32_t mem_kind; /* only what reaches this kind of memory; 0: any */
	uint32_t flags;    /* NMT_INFO_* */
};
#define NMT_HINTS_INIT NMT_SIZED_(nmt_hints)
#define NMT_INFO_UNUSABLE 1u /* also what cannot be used, with the reason */

/* One provider on one device. */
struct nmt_info {
	size_t size;
	struct nmt_info *next;
	char provider[NMT_NAME_MAX];
	char device[NMT_DEV_MAX];   /* "any": not bound to a device */
	char pci[16];               /* PCI address, empty: none */
	int32_t status;             /* 0: usable, else a negative errno */
	int32_t numa_node;          /* -1: unknown */
	uint32_t rank;              /* order in which "auto" prefers it, 0 first */
	uint32_t speed_mbps;        /* 0: unknown */
	uint32_t mtu;               /* 0: unknown */
	uint32_t flags;             /* NMT_INFO_* */
	uint64_t caps;              /* NMT_CAP_* */
	char reason[128];           /* why it is not usable, or what it lacks; may be empty */
	uint32_t adapter_port;      /* of an RDMA adapter, from 1; 0: none */
	uint32_t gid_index;         /* of the GID that streams have unless an address asks for another */
	uint32_t gid_type;          /* enum nmt_gid_type; NMT_GID_NONE: no GID */
	char gid[NMT_GID_MAX];      /* it, as an IPv6 address is written; may be empty */
};
#define NMT_INFO_UP 1u       /* the device is up */
#define NMT_INFO_LOOPBACK 2u /* it reaches this machine only */
#define NMT_INFO_BUILTIN 4u  /* the provider is in the library, not a module */
#define NMT_INFO_ON_REQUEST 8u /* usable, and "auto" passes it over: the reason says why */

/*
 * List providers x devices, best first, as a chain that nmt_freeinfo() frees. HINTS may be NULL.
 * -ENOENT: nothing matches; -ENODEV: no provider of that name (the log says where modules were
 * looked for); -ENOMEM.
 */
int nmt_getinfo(struct nmt_ctx *ctx, const struct nmt_hints *hints, struct nmt_info **list);
void nmt_freeinfo(struct nmt_info *list);

/* ---- memory ------------------------------------------------------------------------------- */

enum nmt_mem_kind {
	NMT_MEM_DEFAULT = 0, /* host */
	NMT_MEM_HOST = 1,    /* ordinary pages */
	NMT_MEM_HUGE = 2,    /* huge pages; ordinary ones, with a log line, where there are none */
	NMT_MEM_UDMABUF = 3, /* host pages that are also a dma-buf (/dev/udmabuf) */
	NMT_MEM_DMAHEAP = 4, /* a kernel dma-buf heap (/dev/dma_heap/system, or NMT_DMA_HEAP) */
	NMT_MEM_CUDA = 5,    /* GPU memory */
	NMT_MEM_DMABUF = 6,  /* an imported dma-buf: nmt_mr_import */
	NMT_MEM_CUSTOM = 64, /* kinds that a test or a module adds */
};

/* What the network may do with a region. */
#define NMT_ACCESS_SEND 1u /* bytes may be sent from it */
#define NMT_ACCESS_RECV 2u /* bytes may be received into it */
#define NMT_ACCESS_ALL (NMT_ACCESS_SEND | NMT_ACCESS_RECV)

/*
 * Allocate SIZE bytes of a kind and make them a region. The memory is zeroed and the library's;
 * nmt_mr_close() frees it. -EOPNOTSUPP: this machine has no such kind (the log says why);
 * -EINVAL: size 0, unknown kind or access; -EMFILE; -ENOMEM, also for a limit of the kind.
 */
int nmt_mr_alloc(struct nmt_ctx *ctx, enum nmt_mem_kind kind, size_t size, uint32_t access,
		 struct nmt_mr **mr);

/*
 * Make the application's own memory a region; it stays the application's and must live until
 * nmt_mr_close(). Host or device address: detected. -EFAULT: NULL or a range that wraps;
 * -EINVAL: size 0 or unknown access.
 */
int nmt_mr_reg(struct nmt_ctx *ctx, void *addr, size_t size, uint32_t access, struct nmt_mr **mr);

/*
 * Make a part of a dma-buf a region, at any OFFSET; the descriptor may be closed afterwards. Where
 * the exporter allows no mapping, and for RECV where the descriptor is read-only, only providers
 * with NMT_CAP_DMABUF can use the region; others answer -EOPNOTSUPP.
 * -EBADF; -EINVAL: no dma-buf, or a range outside it; -EMFILE, -ENOMEM.
 */
int nmt_mr_import(struct nmt_ctx *ctx, int dmabuf_fd, uint64_t offset, size_t size,
		  uint32_t access, struct nmt_mr **mr);

/* Close a region. -EBUSY, and it stays open, while it is borrowed, posted or lent. */
int nmt_mr_close(struct nmt_mr *mr);

/*
 * Address at which the CPU sees byte 0, or NULL when it cannot touch this memory, or not without
 * telling the exporter (dma-bufs, except NMT_MEM_UDMABUF on cache-coherent machines): then
 * nmt_mr_read and nmt_mr_write.
 */
void *nmt_mr_addr(const struct nmt_mr *mr);
size_t nmt_mr_size(const struct nmt_mr *mr);
enum nmt_mem_kind nmt_mr_kind(const struct nmt_mr *mr);

/*
 * Copy between a region, whatever its kind, and CPU memory. -EFAULT: outside the region;
 * -EOPNOTSUPP: a dma-buf that cannot be mapped, -EACCES: a read-only one.
 * Any thread, as long as nobody else writes there.
 */
int nmt_mr_read(const struct nmt_mr *mr, uint64_t offset, void *dst, size_t len);
int nmt_mr_write(struct nmt_mr *mr, uint64_t offset, const void *src, size_t len);

/* ---- domain ------------------------------------------------------------------------------- */

struct nmt_domain_attr {
	size_t size;
	uint64_t pool_size;  /* receive memory that streams share beyond their reserves; 0: 256 MiB */
	uint32_t cell_size;  /* unit of receive memory, a power of two 4 KiB..16 MiB; 0: 128 KiB */
	uint32_t pool_kind;  /* enum nmt_mem_kind of receive memory; 0: host */
	int64_t spin_ns;     /* longest spin of nmt_poll before it sleeps; 0: the default (50 us,
			      * none on one CPU); negative: never spin */
	uint32_t budget;     /* units of work (events, receives) of one stream in a turn; 0: 16 */
	uint32_t flags;      /* NMT_DOMAIN_* */
};
#define NMT_DOMAIN_ATTR_INIT NMT_SIZED_(nmt_domain_attr)
#define NMT_DOMAIN_SPIN_ALWAYS 1u /* never sleep: nmt_poll spins until its time-out */

/*
 * Open a domain over the providers that SPEC names: "auto" (every usable one, negotiated), a
 * provider ("tcp"), or a provider on a device ("tcp/eth0": sockets are bound to it), or on several
 * ("verbs/mlx5_0,mlx5_1").
 * NULL: NMT_PROVIDER in the environment, else "auto". ATTR may be NULL.
 * -ENODEV: unknown provider or device; -EINVAL: malformed spec or attribute; -EOPNOTSUPP: no memory
 * of pool_kind here; -EMFILE, -ENOMEM.
 */
int nmt_domain_open(struct nmt_ctx *ctx, const char *spec, const struct nmt_domain_attr *attr,
		    struct nmt_domain **domain);

/*
 * Close a domain with all its listeners and streams; streams are closed as by nmt_close(), and the
 * call waits until each is done or its linger time is over. Undelivered events are lost.
 * 0, or -ETIMEDOUT / -ECONNRESET when bytes that were accepted for sending may not have arrived
 * (the domain is gone all the same).
 */
int nmt_domain_close(struct nmt_domain *domain);

/* ---- streams: attributes ------------------------------------------------------------------ */

enum nmt_mode {
	NMT_MODE_DEFAULT = 0,    /* raw for "tcp", "uring", "devmem"; negotiated for the others */
	NMT_MODE_RAW = 1,        /* the TCP connection is the stream; the peer is any TCP program */
	NMT_MODE_NEGOTIATED = 2, /* the peer is libnmt; records, paths other than TCP */
	NMT_MODE_EITHER = 3,     /* listeners only: each client decides with its first bytes */
};

enum nmt_recv_mode {
	NMT_RECV_POOL = 0,   /* bytes land in pool memory and are lent as fragments */
	NMT_RECV_POSTED = 1, /* bytes land only in memory posted by nmt_recv_into */
};

#define NMT_STREAM_BLOCKING 1u  /* copying calls, connect and accept wait */
#define NMT_STREAM_RECORDS 2u   /* MSG_EOR boundaries; needs negotiated mode on both sides */
#define NMT_STREAM_REUSEPORT 4u /* listener: SO_REUSEPORT, the kernel shards connections */
#define NMT_STREAM_V6ONLY 8u    /* listener: a wildcard address takes IPv6 only */
#define NMT_STREAM_NAGLE 16u    /* leave Nagle's algorithm on (default: TCP_NODELAY) */

struct nmt_stream_attr {
	size_t size;
	uint32_t mode;      /* enum nmt_mode */
	uint32_t recv_mode; /* enum nmt_recv_mode */
	uint32_t flags;     /* NMT_STREAM_* */
	uint32_t rails;     /* paths side by side; 0: 1. More than the provider has: -EOPNOTSUPP */
	void *user;         /* shown in every event of the stream or listener */

	/* Deadlines; 0: the default, NMT_FOREVER: none. */
	int64_t connect_timeout;   /* resolve + connect + handshake; 30 s */
	int64_t handshake_timeout; /* what an accepted peer has for its part; 10 s */
	int64_t send_timeout;      /* a blocking send; none (then -EAGAIN, or the count so far) */
	int64_t recv_timeout;      /* a blocking receive; none */
	int64_t linger;            /* after nmt_close, for bytes not acknowledged yet; 30 s */

	/* Memory and queues; 0: the default. */
	uint32_t pool_reserve; /* pool bytes set aside for this stream; one cell */
	uint32_t pool_share;   /* most pool bytes it may hold; 1/4 of the pool, at least 4 cells */
	uint32_t send_depth;   /* borrowed sends (nmt_send_mr, nmt_flush) in flight; 64 */
	uint32_t recv_depth;   /* posted receives (nmt_recv_into) in flight; 64 */
	uint32_t zerocopy_min; /* smallest borrowed send that asks for MSG_ZEROCOPY; 32 KiB;
				* UINT32_MAX: never */
	uint32_t backlog;      /* listener: connections waiting; SOMAXCONN */
	uint32_t max_pending;  /* listener: handshakes going on; 1024 */

	/* TCP; 0 or NULL: the system's default. */
	uint32_t sndbuf;         /* SO_SNDBUF */
	uint32_t rcvbuf;         /* SO_RCVBUF */
	uint32_t keepalive_idle; /* seconds; 0: 60 on the control channel, off on data sockets */
	uint32_t keepalive_intvl;
	uint32_t keepalive_cnt;
	uint32_t user_timeout_ms; /* TCP_USER_TIMEOUT. It also kills a peer that does not read. */
	uint32_t tos;             /* IP_TOS / IPV6_TCLASS */
	uint32_t busy_poll_us;    /* SO_BUSY_POLL */
	const char *congestion;   /* TCP_CONGESTION */
	const char *bind_device;  /* SO_BINDTODEVICE; the spec's device when NULL */
	const char *local_addr;   /* connect: bind to this address and port first */

	/* A deadline as above: how long a lost path may be away (NMT_CAP_RESUME); 30 s. */
	int64_t recovery_timeout;
};
#define NMT_STREAM_ATTR_INIT NMT_SIZED_(nmt_stream_attr)

/* ---- streams: set-up ---------------------------------------------------------------------- */

/*
 * Addresses are "host:port", "[v6]:port", "host", ":port" (any local address, or loopback for
 * connect) and ":0" (any free port; ask nmt_listener_addr). A host is a name or a number.
 */

/*
 * Listen. Listening never resolves names over the network for long: give a number, or a name of
 * this host. ATTR may be NULL; it also describes the accepted streams. NMT_EV_ACCEPT tells when
 * nmt_accept has something.
 * -EINVAL: malformed address or attribute; -EADDRINUSE, -EADDRNOTAVAIL, -EACCES as bind(2);
 * -ENOENT: unknown name; -EOPNOTSUPP: a mode or option that the provider does not have.
 */
int nmt_listen(struct nmt_domain *domain, const char *addr, const struct nmt_stream_attr *attr,
	       struct nmt_listener **listener);

/*
 * Accept a stream into DOMAIN (NULL: the listener's), which may be any domain of the context that
 * has a provider for it. Blocks if the listener's attributes say so and DOMAIN is the listener's.
 * A raw stream is open at once. A negotiated one finishes its handshake in DOMAIN: NMT_EV_CONNECTED
 * tells, until then transfers are -EAGAIN. Every accepted stream reports NMT_EV_CONNECTED once.
 * -EAGAIN: none waiting; -EMFILE, -ENFILE, -ENOBUFS: no room now, the connection keeps waiting and
 * NMT_EV_ACCEPT comes again; -ENOMEM: the connection is lost; -EINVAL: a domain of another context.
 */
int nmt_accept(struct nmt_listener *listener, struct nmt_domain *domain,
	       struct nmt_stream **stream);

/* Address that the listener has, as "1.2.3.4:5" or "[::]:5". -ENOSPC: LEN too small (NMT_ADDR_MAX does). */
int nmt_listener_addr(const struct nmt_listener *listener, char *buf, size_t len);

/* Stop listening; connections not accepted yet are reset. Accepted streams live on. */
int nmt_listener_close(struct nmt_listener *listener);

/*
 * Connect. Returns at once (unless blocking) with a stream that is not open yet; NMT_EV_CONNECTED
 * or NMT_EV_ERROR tells how it ended. Names are resolved by a helper thread. ATTR may be NULL.
 * At once: -EINVAL: malformed address or attribute; -EOPNOTSUPP; -EMFILE, -ENOMEM.
 * By event (or as the result, if blocking): -ENOENT: unknown name; -ECONNREFUSED, -EHOSTUNREACH,
 * -ENETUNREACH; -ETIMEDOUT: attr.connect_timeout is over; -EPROTO: the peer does not speak libnmt;
 * -EPROTONOSUPPORT: no common version or provider; -ECONNABORTED: the peer declined (log: why).
 */
int nmt_connect(struct nmt_domain *domain, const char *addr, const struct nmt_stream_attr *attr,
		struct nmt_stream **stream);

/* ---- streams: transfer -------------------------------------------------------------------- */

/* A run of stream bytes in memory. */
struct nmt_frag {
	struct nmt_mr *mr;
	uint64_t offset; /* into mr */
	uint32_t len;
	uint32_t flags;  /* NMT_FRAG_* */
	uint64_t token;  /* give back unchanged to nmt_release */
	uint64_t reserved;
};
#define NMT_FRAG_EOR 1u    /* last run of a record */
#define NMT_FRAG_LINEAR 2u /* landed in host memory although the pool is elsewhere */

/*
 * Send by copy, as send(2). FLAGS: MSG_MORE (more follows: may be held to make a batch, until a
 * send without it, or nmt_poll), MSG_EOR (the bytes end a record), MSG_DONTWAIT, MSG_NOSIGNAL.
 * Returns the bytes taken, perhaps fewer than LEN; NMT_EV_WRITABLE tells when there is room again.
 * Blocks until all are taken. LEN 0 does nothing, but with MSG_EOR it sends an empty record.
 * -EAGAIN; -EPIPE: after nmt_shutdown(SHUT_WR), or the peer takes no more; -ECONNRESET;
 * -EOPNOTSUPP: MSG_OOB, or MSG_EOR on a stream without records; -EINVAL: other flags.
 */
ssize_t nmt_send(struct nmt_stream *stream, const void *buf, size_t len, int flags);

/* The same from several buffers, in one system call where the provider has one. N <= 1024. */
ssize_t nmt_sendmsg(struct nmt_stream *stream, const struct iovec *iov, int n, int flags);

/*
 * Receive by copy, as recv(2). FLAGS: MSG_PEEK, MSG_WAITALL, MSG_DONTWAIT, MSG_TRUNC is not known.
 * Returns the bytes received; 0: end of stream, or an empty record (nmt_recvmsg tells them apart).
 * Never goes past the end of a record. Blocks. Bytes lent by nmt_recv_frags are not seen again.
 * -EAGAIN: nothing now; -ECONNRESET: the stream broke (after the bytes before the break);
 * -EOPNOTSUPP: posted mode or MSG_OOB; -EBUSY: receives are posted, the bytes belong to them.
 */
ssize_t nmt_recv(struct nmt_stream *stream, void *buf, size_t len, int flags);

/* The same into several buffers. *OUT_FLAGS (may be NULL): MSG_EOR when these bytes end a record. N <= 1024. */
ssize_t nmt_recvmsg(struct nmt_stream *stream, const struct iovec *iov, int n, int flags,
		    int *out_flags);

/*
 * Send without copying: the N runs are borrowed until NMT_EV_SENT with COOKIE, in order. All or
 * nothing is taken. Only mr, offset, len of the runs are read; N <= 64. FLAGS: MSG_EOR, MSG_MORE.
 * -EAGAIN: attr.send_depth operations are in flight; -EINVAL: N, flags, or a region of another
 * context; -EFAULT: outside its region; -EACCES: region without NMT_ACCESS_SEND; -EOPNOTSUPP: a
 * dma-buf that nothing here can reach (nmt_mr_import); as nmt_send.
 */
int nmt_send_mr(struct nmt_stream *stream, const struct nmt_frag *frags, int n, int flags,
		uint64_t cookie);

/*
 * Take up to MAX arrived runs as a loan. Their bytes stay unchanged until nmt_release.
 * Returns how many; 0: end of stream. FLAGS: none. An empty record is a run of length 0 with
 * NMT_FRAG_EOR. -EAGAIN: nothing now; -ENOBUFS: bytes wait, but this stream holds its share of the
 * pool: release some, NMT_EV_READABLE tells; -EOPNOTSUPP: posted mode; -ECONNRESET; -EBUSY.
 */
int nmt_recv_frags(struct nmt_stream *stream, struct nmt_frag *frags, int max, int flags);

/*
 * Give loans back, in any order. All or nothing: -EINVAL when any token is not a loan of this
 * stream (released before, foreign, or twice in this call).
 */
int nmt_release(struct nmt_stream *stream, const struct nmt_frag *frags, int n);

/*
 * Receive into a region. Posted receives fill in order; NMT_EV_RECEIVED with COOKIE, the byte count
 * and NMT_EVF_EOR comes when one is full, a record ends, or the stream ends (status 0 and fewer
 * bytes; NMT_EVF_EOF), or it was cancelled (-ECANCELED) or broke. FLAGS: NMT_RECV_WHOLE, or
 * NMT_RECV_SOME. In pool mode it gathers (also bytes that arrived before); in posted mode it places.
 * -EAGAIN: attr.recv_depth are posted; -EINVAL: length 0, foreign region, flags; -EFAULT: outside
 * the region; -EACCES: region without NMT_ACCESS_RECV; -EOPNOTSUPP: as nmt_send_mr; -EPIPE: after
 * nmt_shutdown(SHUT_RD).
 */
int nmt_recv_into(struct nmt_stream *stream, struct nmt_mr *mr, uint64_t offset, size_t len,
		  int flags, uint64_t cookie);
#define NMT_RECV_WHOLE 1 /* a record longer than LEN is -EMSGSIZE; the rest of it is discarded */
#define NMT_RECV_SOME 2  /* complete with any bytes at all, as recv(2) does (pool mode) */

/*
 * Cancel posted receives with this cookie. Asynchronous: NMT_EV_RECEIVED tells the final count.
 * -ENOENT: none is posted.
 */
int nmt_recv_cancel(struct nmt_stream *stream, uint64_t cookie);

/*
 * Ask for NMT_EV_FLUSHED with COOKIE when everything sent so far is with the peer: in its memory
 * (NMT_CAP_REMOTE_FLUSH), or acknowledged by its kernel. -EAGAIN: attr.send_depth is in flight.
 */
int nmt_flush(struct nmt_stream *stream, uint64_t cookie);

/*
 * End one or both directions. SHUT_WR: the peer sees the end of the stream after all bytes sent
 * before. SHUT_RD: loans return to the library, what arrives is discarded, receives
 * give 0. -ENOTCONN: not open.
 */
int nmt_shutdown(struct nmt_stream *stream, int how);

/*
 * Close in order. The handle is dead for every call when this returns; loans return to the library
 * and posted receives are cancelled. Bytes sent before are delivered in the background for up to
 * attr.linger. Outstanding NMT_EV_SENT still come; the last event of the stream is NMT_EV_CLOSED
 * (0: all delivered; -ETIMEDOUT: linger is over; -ECONNRESET: the peer broke the stream). Delivery,
 * and freeing the stream, need the domain to be driven (nmt_poll, or nmt_domain_close).
 */
int nmt_close(struct nmt_stream *stream);

/* Close at once: the peer gets -ECONNRESET. Events as for nmt_close; NMT_EV_CLOSED says -ECONNABORTED. */
int nmt_abort(struct nmt_stream *stream);

/* ---- events ------------------------------------------------------------------------------- */

enum nmt_event_type {
	NMT_EV_ACCEPT = 1,   /* listener: nmt_accept until -EAGAIN */
	NMT_EV_CONNECTED,    /* the stream is open */
	NMT_EV_READABLE,     /* bytes, end or error to receive. Comes again only after a receive call
			      * was made and something is left or new. */
	NMT_EV_WRITABLE,     /* room to send again, after a call that returned -EAGAIN or too little */
	NMT_EV_SENT,         /* nmt_send_mr: the memory is yours again (status: 0 or why not sent) */
	NMT_EV_RECEIVED,     /* nmt_recv_into: len bytes */
	NMT_EV_FLUSHED,      /* nmt_flush: all that was sent before is with the peer */
	NMT_EV_ERROR,        /* the stream failed with status; close it */
	NMT_EV_CLOSED,       /* after nmt_close or nmt_abort: the last event */
};

struct nmt_event {
	uint32_t type;  /* enum nmt_event_type */
	int32_t status; /* 0 or a negative errno */
	struct nmt_stream *stream;     /* NULL for listeners; only a name after nmt_close */
	struct nmt_listener *listener; /* NULL for streams */
	void *user;                    /* attr.user */
	uint64_t cookie;
	uint64_t len;   /* bytes, of NMT_EV_SENT and NMT_EV_RECEIVED */
	uint32_t flags; /* NMT_EVF_* */
	uint32_t reserved0;
	uint64_t reserved[2];
};
#define NMT_EVF_EOR 1u /* the bytes end a record */
#define NMT_EVF_EOF 2u /* the stream ended */

/*
 * Make progress and take up to MAX events. Waits for the first one: TIMEOUT 0 not at all,
 * NMT_FOREVER without end. Spins, then sleeps (domain attributes). Streams take turns: each gives
 * at most attr.budget events before the next one's, and neither direction of a stream waits for ever
 * behind finished operations of the other.
 * Returns how many, 0: time-out or nmt_wake. -EINTR: a signal came and there is no event;
 * -EINVAL: max < 1.
 */
int nmt_poll(struct nmt_domain *domain, struct nmt_event *events, int max, int64_t timeout);

/*
 * Prepare to sleep in another event loop: 0 and *FD, which becomes readable (EPOLLIN, also edge-
 * triggered) when nmt_poll has something to do; the same FD each time, owned by the domain.
 * -EAGAIN: there is something already, call nmt_poll. Call it before each sleep.
 */
int nmt_domain_arm(struct nmt_domain *domain, int *fd);

/* Make a thread that is in nmt_poll on DOMAIN, or enters it next, return. Any thread, signal handlers too. */
int nmt_wake(struct nmt_domain *domain);

/* ---- options and observation -------------------------------------------------------------- */

/* Options of an open stream. All are int64_t, but CONGESTION (text). */
enum nmt_opt {
	NMT_OPT_BLOCKING = 1,     /* 0 or 1 */
	NMT_OPT_SEND_TIMEOUT,     /* ns */
	NMT_OPT_RECV_TIMEOUT,     /* ns */
	NMT_OPT_LINGER,           /* ns */
	NMT_OPT_ZEROCOPY_MIN,     /* bytes */
	NMT_OPT_NODELAY,          /* 0 or 1 */
	NMT_OPT_SNDBUF,           /* bytes, as the kernel reports them */
	NMT_OPT_RCVBUF,           /* the same */
	NMT_OPT_KEEPALIVE_IDLE,   /* seconds; 0 off */
	NMT_OPT_USER_TIMEOUT,     /* ms */
	NMT_OPT_TOS,              /* IP_TOS / IPV6_TCLASS */
	NMT_OPT_CONGESTION,       /* name, as TCP_CONGESTION */
};
/* -ENOPROTOOPT: not an option, or not of this provider; -EINVAL: LEN or value; else as setsockopt(2). */
int nmt_stream_setopt(struct nmt_stream *stream, enum nmt_opt opt, const void *val, size_t len);
int nmt_stream_getopt(struct nmt_stream *stream, enum nmt_opt opt, void *val, size_t *len);

void nmt_stream_set_user(struct nmt_stream *stream, void *user);
void *nmt_stream_user(const struct nmt_stream *stream);

/*
 * The socket of a raw TCP stream, for poll(2) in another event loop; it stays the stream's: do not
 * read, write or close it. -EOPNOTSUPP: the stream has no such thing (use nmt_domain_arm).
 */
int nmt_stream_fd(struct nmt_stream *stream);

enum nmt_stream_state {
	NMT_STATE_RESOLVING = 1, /* looking up the name */
	NMT_STATE_CONNECTING,    /* TCP connect */
	NMT_STATE_HANDSHAKE,     /* negotiation, path set-up */
	NMT_STATE_OPEN,          /* bytes flow */
	NMT_STATE_FAILED,        /* nmt_stream_info.error says why; close it */
};

/* What a stream waits for. */
#define NMT_WAIT_PEER (UINT32_C(1) << 0)   /* bytes from the peer */
#define NMT_WAIT_WINDOW (UINT32_C(1) << 1) /* the peer, or the network, takes no more */
#define NMT_WAIT_CREDIT (UINT32_C(1) << 2) /* notification credit of the peer */
#define NMT_WAIT_QUEUE (UINT32_C(1) << 3)  /* its own send queue */
#define NMT_WAIT_MEMORY (UINT32_C(1) << 4) /* pool memory: release some */
#define NMT_WAIT_APP (UINT32_C(1) << 5)    /* the application has not taken what is there */

/* Why a path was refused, or is not the best one. On the wire in DECLINE and CONFIRM. */
enum nmt_reason {
	NMT_WHY_NONE = 0,
	NMT_WHY_VERSION = 1,       /* no common protocol version */
	NMT_WHY_NO_PROVIDER = 2,   /* no common provider */
	NMT_WHY_FEATURE = 3,       /* a required feature is missing */
	NMT_WHY_RECV_MODE = 4,     /* receive modes do not fit */
	NMT_WHY_BUSY = 5,          /* too many handshakes, or no memory */
	NMT_WHY_MALFORMED = 6,     /* a message broke the protocol */
	NMT_WHY_TIMEOUT = 7,       /* the handshake took too long */
	NMT_WHY_PATH = 8,          /* the path could not be brought up */
	NMT_WHY_TOKEN = 9,         /* unknown or used token */
	NMT_WHY_SHUTDOWN = 10,     /* the listener or domain is closing */
	NMT_WHY_NOT_BUILT = 11,    /* the provider is not in this build */
	NMT_WHY_NO_DEVICE = 12,    /* no device */
	NMT_WHY_CLOSED = 13,       /* closed in order: takes no more */
};
const char *nmt_reason_str(enum nmt_reason why); /* never NULL, static */

struct nmt_stream_info {
	size_t size;
	uint32_t state; /* enum nmt_stream_state */
	uint32_t mode;  /* NMT_MODE_RAW or NMT_MODE_NEGOTIATED */
	char provider[NMT_NAME_MAX];
	char device[NMT_DEV_MAX];
	char local[NMT_ADDR_MAX];
	char peer[NMT_ADDR_MAX];
	uint64_t caps;     /* NMT_CAP_* of this stream */
	uint32_t rails;
	uint32_t waits;    /* NMT_WAIT_* */
	uint32_t why;      /* enum nmt_reason: why no better path */
	int32_t error;     /* 0, or why the stream failed */
	uint32_t recv_mode;
	uint32_t flags;    /* NMT_STREAM_* in force */
	uint64_t lent;     /* bytes on loan to the application */
	uint64_t held;     /* pool bytes that the stream holds */
	uint64_t unsent;   /* bytes accepted but not with the kernel or NIC yet */
	uint64_t unacked;  /* bytes not acknowledged yet (0 when unknown) */
	char why_text[96]; /* why no better path, in words */

	/* The path of an RDMA stream, its first rail; 0 or empty: none, or not known. */
	uint32_t adapter_port;
	uint32_t gid_index;
	uint32_t gid_type; /* enum nmt_gid_type */
	uint32_t mtu;      /* bytes of a packet */
	uint32_t speed_mbps;
	uint32_t epoch;      /* 0: the first path; each later one counts one up, modulo 256 */
	uint64_t recoveries; /* times that a lost path came back */
	uint64_t attempts;   /* times that it was tried to */
	uint64_t retries;    /* requests that the adapter port sent again, for all its users, ever */
	char gid[NMT_GID_MAX]; /* as an IPv6 address is written */
};
#define NMT_STREAM_INFO_INIT NMT_SIZED_(nmt_stream_info)
/* INFO->size says how much of it to fill. */
int nmt_stream_info(const struct nmt_stream *stream, struct nmt_stream_info *info);

struct nmt_stats {
	size_t size;
	uint64_t tx_bytes, rx_bytes;   /* stream bytes taken from / given to the application */
	uint64_t tx_ops, rx_ops;       /* calls and operations that moved them */
	uint64_t tx_copied, rx_copied; /* bytes that the library itself copied (the kernel's not) */
	uint64_t tx_syscalls, rx_syscalls, poll_syscalls;
	uint64_t zc_sends, zc_copied;  /* MSG_ZEROCOPY calls; those that the kernel copied after all */
	uint64_t spins, sleeps;        /* empty polls of nmt_poll; times it slept */
	uint64_t events;               /* events given out */
	uint64_t stall_window;         /* sends that found no room */
	uint64_t stall_memory;         /* receives that found no pool memory */
	uint64_t accepts, connects, failures;
	uint64_t declined;             /* peers refused or timed out in the handshake */
	uint64_t streams;              /* now open */
	uint64_t pool_bytes;           /* pool memory allocated */
	uint64_t pool_held;            /* of it, held by streams now */
	uint64_t pool_reserved;        /* reserves of all streams */
	uint64_t stream_memory;        /* bytes of library memory for the streams, without the pool */
	uint64_t fallback_zerocopy;    /* times a stream gave MSG_ZEROCOPY up, or was refused it */
	uint64_t fallback_staging;     /* transfers staged because the CPU cannot touch the memory */
	uint64_t fallback_path;        /* negotiated streams that did not get the best path */

	/* Providers that write remote memory. */
	uint64_t rma_writes;           /* writes handed to the adapter */
	uint64_t rma_doorbells;        /* times that it was told of new requests, messages included */
	uint64_t rma_signalled;        /* writes whose completion the library asked for */
	uint64_t ctrl_sent;            /* messages to the peer beside the writes */
	uint64_t grants;               /* pieces of memory opened to the peer */
	uint64_t stall_credit;         /* times that sending stopped: no notification credit */
	uint64_t stall_queue;          /* the same: too much in flight */
	uint64_t recoveries;           /* lost paths that came back */
};
#define NMT_STATS_INIT NMT_SIZED_(nmt_stats)
/*
 * Counters of DOMAIN (all its streams, closed ones too), or of STREAM alone when it is not NULL
 * (domain fields are then 0). STATS->size says how much to fill.
 */
int nmt_stats(const struct nmt_domain *domain, const struct nmt_stream *stream,
	      struct nmt_stats *stats);

#ifdef __cplusplus
}
#endif

#endif
