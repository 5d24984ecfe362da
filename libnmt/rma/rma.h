/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Streams over remote writes: what a provider that can write remote memory (verbs, libfabric, the
 * simulated fabric of the tests) implements, and the adapter that makes a stream provider of it.
 *
 * Words. A *device* is one opened adapter port with its completion queue, shared by the streams of
 * a domain, which may have several. An *endpoint* is one rail of one stream and epoch: a reliable, ordered connection (a
 * queue pair). A *registration* makes memory known to a device. A *completion* is told by poll.
 *
 * The engine owns windows, retries of a full send queue, staging, epochs and recovery. The provider
 * owns posting, receive slots (those that were taken are posted again when `repost` says so, or
 * sooner), completion queues that cannot overrun, and the words of an error.
 *
 * Threads: all ops of a device run on the thread that uses the domain; query on any.
 */
#ifndef NMTI_RMA_RMA_H
#define NMTI_RMA_RMA_H

#include <nmt/provider.h>

#define NMTI_RMA_BLOB_MAX 240u /* addresses of all devices, behind the engine's own 16 bytes */
#define NMTI_RMA_TOKEN 16u

struct nmti_rma_dev; /* the provider's; begins with nothing the engine looks at */
struct nmti_rma_ep;

/* What an opened device can do. */
struct nmti_rma_limits {
	uint32_t send_depth;  /* work requests that an endpoint holds, 2 at least */
	uint32_t recv_slots;  /* receives that an endpoint can have posted */
	uint32_t inline_max;  /* bytes that write and send take without a registration */
	uint32_t ctrl_max;    /* longest message of send */
	uint64_t write_max;   /* longest write, 32 KiB at least */
	uint64_t caps;        /* NMT_CAP_*: what streams of it have; NMT_CAP_DMABUF as probed */
	uint8_t stripe_log2;  /* of streams with several rails; 0: the engine's choice */
	int numa;             /* -1: unknown */
	/*
	 * Writes of an endpoint may arrive in another order than they were requested in; messages do
	 * not, and WRITTEN still means all up to its number.
	 */
	bool unordered;
	/*
	 * Endpoints of the device are one for the fabric: a fence does not keep the peer from writing
	 * before it has fenced as well. So DRAINED waits for that, some seconds at most, and memory
	 * that the peer was told of, or that requests read, is kept until then. A peer that goes on is
	 * kept out by the dereg that follows: the engine registers what a stream opens to its peer for
	 * that stream alone, and anew in each epoch.
	 */
	bool shared;
};

/* Memory as a device knows it. */
struct nmti_rma_reg {
	uint64_t base;  /* remote address of its byte 0 */
	uint64_t key;   /* remote key; 0 when registered without remote access */
	void *handle;   /* of the provider */
};

/* A piece of registered (or, with FLAG_INLINE, any) memory to write from. */
struct nmti_rma_local {
	const void *addr;               /* where the CPU, or the registration, sees it */
	const struct nmti_rma_reg *reg; /* NULL only with NMTI_RMA_INLINE or LEN 0 */
	uint64_t offset;                /* into the registration */
	uint32_t len;
};

/* These bits of an immediate are the epoch of its endpoint; the provider may see to them itself. */
#define NMTI_RMA_IMM_EPOCH 0x0ff00000u

#define NMTI_RMA_MORE 0x1u   /* another request follows at once: the doorbell may wait for it */
#define NMTI_RMA_SIGNAL 0x2u /* tell the completion of this one (and so of all before it) */
#define NMTI_RMA_INLINE 0x4u /* LEN is within inline_max and the memory is free on return */

enum nmti_rma_event {
	NMTI_RMA_CONNECTED, /* the endpoint can be written to */
	NMTI_RMA_WRITTEN,   /* requests up to NUMBER are complete: the peer's memory has them */
	NMTI_RMA_IMM,       /* a write with immediate of the peer arrived */
	NMTI_RMA_MESSAGE,   /* a message of the peer arrived; DATA is valid until poll is called again */
	NMTI_RMA_DRAINED,   /* after fence: nothing of this endpoint comes any more, no one writes */
	NMTI_RMA_FAILED,    /* the path is lost; STATUS, TEXT. Once, then fence it */
};

struct nmti_rma_wc {
	struct nmti_rma_ep *ep;
	void *owner;      /* as told to connect or accept */
	uint8_t event;    /* enum nmti_rma_event */
	uint32_t imm, len;
	uint64_t number;  /* of the last request that is complete: as told to write and send */
	const void *data;
	int status;       /* negative errno */
	const char *text; /* device, port, peer, status in words, the likely knob; until the next poll */
};

/* How an endpoint is wanted. */
struct nmti_rma_ep_attr {
	uint16_t run_slots;  /* receives for writes with immediate */
	uint16_t ctrl_slots; /* receives for messages besides; 0 on rails that carry none */
	uint16_t ctrl_max;   /* bytes of a message */
	uint32_t send_depth; /* requests in flight, at most limits.send_depth */
	uint8_t rail;        /* number of it, for path entropy and messages */
	uint8_t epoch;
	bool brief;          /* there are other devices to try: do not hold out for this one */
	const uint8_t *token; /* NMTI_RMA_TOKEN bytes that both ends know and nobody else */
	void *owner;
	uint64_t *doorbells; /* counts them, beyond the endpoint's life; NULL: nobody wants to know */
};

struct nmti_rma_ops {
	/*
	 * Open DEVICE (empty: the best). What wakes the domain when there is something to poll are
	 * sources of the provider's own (nmti_watch). -ENODEV, -EACCES, -ENOMEM.
	 */
	int (*open)(struct nmt_pdomain *pd, const char *device, struct nmti_rma_limits *limits,
		    struct nmti_rma_dev **dev);
	void (*close)(struct nmti_rma_dev *dev);

	/*
	 * Register LEN bytes at OFFSET of a region; REMOTE: the peer may write it. -EOPNOTSUPP: the
	 * device cannot reach this kind (REASON says why; the engine stages), -ENOMEM; -ENODEV: it is
	 * gone. What was registered with a device that goes is still given back by dereg.
	 */
	int (*reg)(struct nmti_rma_dev *dev, struct nmt_mr *mr, uint64_t offset, uint64_t len,
		   bool remote, struct nmti_rma_reg *reg, const char **reason);
	void (*dereg)(struct nmti_rma_dev *dev, struct nmti_rma_reg *reg);

	/* Where this device can be connected to: bytes written to BLOB, at most CAP. */
	int (*address)(struct nmti_rma_dev *dev, void *blob, uint32_t cap);
	/*
	 * How well the devices of two address blobs go together: 0 not at all, up to 7. Both ends ask,
	 * each with the bytes that were sent, and must come to the same answer. NULL: always 1.
	 */
	uint32_t (*fit)(const void *server, uint32_t slen, const void *client, uint32_t clen);
	/* 0: usable; -ENETDOWN: not now; -ENODEV: gone for good. NULL: always 0. */
	int (*status)(const struct nmti_rma_dev *dev);

	/*
	 * Begin to connect to the device that BLOB names, or to expect the peer's connect with the
	 * same token, rail and epoch. NMTI_RMA_CONNECTED or NMTI_RMA_FAILED follows. A connect may
	 * come a little before its expect. Of epoch 0 it fails at the first obstacle, so that another
	 * path gets its turn; later ones try until a deadline, since a lost network may come back
	 * (attr.brief: for some seconds only).
	 * -EPROTO: BLOB; -EINVAL: more than the limits; -ENODEV: the device is gone; -ENOMEM.
	 */
	int (*connect)(struct nmti_rma_dev *dev, const struct nmti_rma_ep_attr *attr,
		       const void *blob, uint32_t len, struct nmti_rma_ep **ep);
	int (*expect)(struct nmti_rma_dev *dev, const struct nmti_rma_ep_attr *attr,
		      struct nmti_rma_ep **ep);

	/*
	 * Write FROM to the peer's memory at REMOTE and tell it IMM. Requests of an endpoint are
	 * numbered from 1, *NUMBER tells. A request is in the send queue until poll told WRITTEN of
	 * it or of a later one. -EAGAIN: attr.send_depth are; WRITTEN will make room (the provider
	 * asks for completions of its own often enough). -ENOTCONN: not connected yet, failed, or
	 * fenced.
	 */
	int (*write)(struct nmti_rma_ep *ep, const struct nmti_rma_local *from, uint64_t remote,
		     uint64_t key, uint32_t imm, uint32_t flags, uint64_t *number);
	/* A message of LEN <= ctrl_max bytes; copied. -EAGAIN as write. */
	int (*send)(struct nmti_rma_ep *ep, const void *msg, uint32_t len, uint32_t flags,
		    uint64_t *number);
	/* A request that moves nothing, and asks for its completion. -EAGAIN as write. */
	int (*ask)(struct nmti_rma_ep *ep, uint64_t *number);
	/* Ring the doorbell for what MORE held back. */
	void (*kick)(struct nmti_rma_ep *ep);

	/* Up to MAX completions of all endpoints; how many. */
	int (*poll)(struct nmti_rma_dev *dev, struct nmti_rma_wc *wc, int max);
	/*
	 * A peer is told of credit next: all receives that were taken are posted again before this
	 * returns. Optional, for devices that post sooner by themselves.
	 */
	void (*repost)(struct nmti_rma_dev *dev);
	/* Before sleep. -EAGAIN: something came, poll again. */
	int (*arm)(struct nmti_rma_dev *dev);

	/*
	 * Stop both directions now; completions go on until NMTI_RMA_DRAINED. Also for an endpoint
	 * that is not connected yet.
	 */
	void (*fence)(struct nmti_rma_ep *ep);
	/*
	 * Free it, drained or not: no completion of it is told and no peer writes after this
	 * (limits.shared: if it was drained, or nothing is under way). Entries of the poll before that
	 * name it are void: the caller skips them.
	 */
	void (*destroy)(struct nmti_rma_ep *ep);

	/* Fill what is known of the path: device, addresses, port, GID, MTU, speed, retries. */
	void (*describe)(const struct nmti_rma_ep *ep, struct nmt_stream_info *info);
};

/* What a provider with RMA can at least, and what its streams are by default. */
#define NMTI_RMA_CAPS (NMT_CAP_NEGOTIATED | NMT_CAP_RECORDS)

/* Fill the ops of a stream provider that has ops->rma with the engine's. */
void nmti_rma_fill(struct nmt_provider_ops *ops);

#endif
