/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Provider "verbs": RDMA adapters by libibverbs, connections by librdmacm. It implements the ops of
 * rma/rma.h; the engine makes streams of them. Shared by the files of the provider.
 *
 * verbs.c       ops table
 * verbs_query.c adapters, ports and addresses of this machine, and why one is of no use
 * verbs_opt.c   knobs, from the environment
 * verbs_dev.c   opening and closing a device, its listeners, its limits
 * verbs_cm.c    set-up of a connection: address, route, token, queue pair states
 * verbs_park.c  ids of connections that end while the cable is out
 * verbs_ep.c    life of an endpoint: queue pair, receives, fence, destroy
 * verbs_tx.c    posting: chains, signalling, messages
 * verbs_cq.c    completion queues: capacity, polling, arming, errors in words
 * verbs_srq.c   receive queues that many endpoints share
 * verbs_mr.c    registrations
 * verbs_async.c adapter events: port down, queue pair broken, adapter gone
 *
 * A queue pair belongs to a context that is opened here, not to librdmacm's: so its states, its
 * asynchronous events and the end of the context are in our hands. librdmacm carries the handshake.
 */
#ifndef NMT_VERBS_H
#define NMT_VERBS_H

#include <errno.h>
#include <infiniband/verbs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <rdma/rdma_cma.h>
#include <stdint.h>
#include <string.h>

#include "hint.h"
#include "list.h"
#include "min.h"
#include "rma/rma.h"

/* What it has at best. */
#define VERBS_CAPS                                                                                 \
	(NMTI_RMA_CAPS | NMT_CAP_PLACEMENT | NMT_CAP_ZEROCOPY | NMT_CAP_RAILS | NMT_CAP_RESUME |   \
	 NMT_CAP_REMOTE_FLUSH | NMT_CAP_DMABUF)

#define VERBS_ADDRS 8       /* addresses of a device that peers are told */
#define VERBS_CQS 64        /* completion queues of a device */
#define VERBS_CQ_FIRST 4096u /* entries of the first; each further one has twice as many */
#define VERBS_SRQS 64       /* shared receive queues of a device */
#define VERBS_QPS 4096      /* buckets of their queue pairs, by number */
#define VERBS_BATCH 64      /* completions that one poll tells */
#define VERBS_USED (2 * VERBS_BATCH) /* receives that wait to be posted again, at most */
#define VERBS_MSG_MAX 256u  /* bytes of a message */
#define VERBS_MSG_OUT 16u   /* messages in flight where they do not fit into a work request */
#define VERBS_CHAIN 32u     /* work requests that wait for one doorbell */
#define VERBS_STAGE 1024u   /* bytes of theirs that wait too, of inline requests */
#define VERBS_TEXT 256

/* Limits of every bit-field of a wr_id. */
#define VERBS_EPS (1u << 20)
#define VERBS_LOW ((1u << 28) - 1)

/* From the environment (docs/environment.md), read when a device is opened; -1: not set. */
struct verbs_opt {
	int gid_index;
	int mtu; /* enum ibv_mtu */
	int sl, traffic_class, flow_label;
	int retry_count, timeout;
	int inline_max, send_depth, recv_depth;
	int connect_timeout; /* ms */
	int srq; /* endpoints from which on further ones share receive queues; -1: never */
};

/* An address of a port in this network namespace. */
struct verbs_addr {
	struct sockaddr_storage ss;
	struct rdma_cm_id *listen; /* once opened */
	char netdev[IF_NAMESIZE];  /* the interface that has it */
	uint8_t prefix;            /* bits of its subnet */
	uint8_t gid_type;          /* enum ibv_gid_type */
	uint16_t gid_index;
};

/* One port of an adapter, as verbs_query.c finds it. */
struct verbs_port {
	struct ibv_context *ctx;
	struct ibv_device_attr attr;
	struct ibv_port_attr pattr;
	uint8_t port;
	int naddrs;
	struct verbs_addr addrs[VERBS_ADDRS];
	int status;         /* 0 or a negative errno, with the reason */
	char name[NMT_DEV_MAX];
	char reason[128];
};

struct verbs_cq {
	struct ibv_cq *cq;
	uint32_t size;
	uint32_t shared;   /* entries that receives of shared queues may fill */
	uint32_t reserved; /* entries that endpoints may fill */
	uint32_t stale;    /* entries at most that destroyed endpoints have left */
	unsigned int unacked;
	bool armed;
};

/* A shared receive queue, and the buffers of its receives. */
struct verbs_srq {
	struct ibv_srq *srq;
	struct verbs_cq *cq; /* of all its endpoints, with an entry for each slot */
	uint32_t size;     /* slots */
	uint32_t reserved; /* of endpoints */
	uint32_t posted;   /* at the adapter, or completions that were not looked at yet */
	uint32_t *idle;    /* slots that are not posted: the first SIZE - POSTED */
	uint8_t *msgs;     /* SIZE x VERBS_MSG_MAX */
	struct ibv_mr *mr;
};

/* A registration; the handle in struct nmti_rma_reg. MR is NULL once the adapter is gone. */
struct verbs_reg {
	struct nmti_list node;
	struct ibv_mr *mr;
	uint32_t lkey;
};

enum verbs_state {
	VERBS_EXPECTING,  /* passive: no connect of the peer yet */
	VERBS_EMPTYING,   /* passive: a void attempt's queue pair goes once its receives are known */
	VERBS_CONNECTING, /* active */
	VERBS_ACCEPTED,   /* passive: the peer has not said that it has the answer */
	VERBS_UP,
	VERBS_FENCED,
	VERBS_DRAINED,
};

/* How far the receive side of a fenced endpoint with a shared receive queue is. */
enum verbs_recv_end {
	VERBS_OPEN,
	VERBS_SETTLING, /* its last receive may be under way */
	VERBS_LAST,     /* no further completion; the queue is to be polled empty */
	VERBS_CLEAN,
};

struct verbs_tx {
	struct ibv_send_wr wr;
	struct ibv_sge sge;
};

struct nmti_rma_ep {
	struct nmti_rma_dev *dev;
	struct ibv_qp *qp; /* NULL: not made yet, or gone */
	void *owner;
	uint8_t state;     /* enum verbs_state */
	bool failed;       /* FAILED is told, or queued */
	bool connected;    /* it was UP */
	bool marked;       /* a fenced send queue has its marker */
	uint8_t rail, epoch;
	uint16_t generation;
	uint32_t index;

	/* Sending; requests are numbered from 1. */
	uint64_t number, rung, done; /* given out; at the adapter; complete */
	uint32_t depth;
	uint32_t quiet;   /* requests since the last that asked for a completion */
	uint32_t chained, staged;
	uint32_t inline_max;
	uint64_t *doorbells; /* NULL: not counted */

	/* Receiving. */
	uint32_t slots;   /* receives that are kept posted */
	uint32_t posted;  /* of them, at the adapter now */
	struct ibv_recv_wr *repost, *repost_last; /* of this poll */
	struct nmti_list touched;

	/* With a shared receive queue; slots are what it reserved there, posted is 0. */
	struct verbs_srq *srq;       /* NULL: a queue of its own */
	struct nmti_rma_ep *next_qp; /* in the same bucket */
	struct nmti_list quitting;
	uint8_t recv_end; /* enum verbs_recv_end */
	bool last;        /* the adapter said that it took its last receive */
	bool lost;        /* completions may have gone with the queue pair */
	bool orphan;      /* destroyed, but for what the adapter has of it */

	/* Messages: msg_in x msg_max, then VERBS_MSG_OUT x msg_max where inline does not do. */
	uint8_t *msgs;
	struct ibv_mr *msg_mr;
	uint32_t msg_max, msg_in;
	uint32_t msg_out;                   /* next slot to send from */
	uint64_t msg_number[VERBS_MSG_OUT]; /* request that used it */

	struct verbs_tx chain[VERBS_CHAIN];
	uint8_t stage[VERBS_STAGE];

	/* Set-up and end. */
	struct verbs_cq *cq;
	uint32_t cq_share;
	struct nmti_list all, expected, event;
	uint8_t events;             /* VERBS_TELL_* */
	struct nmti_timer timer;    /* of set-up, then of the drain */
	int64_t limit, deadline;    /* of set-up, in time and as a time */
	int64_t patience;           /* until when a refusal may be a matter of order */
	int attempt;
	int addr_ms;                /* what the kernel has for the peer's address, this time */
	struct rdma_cm_id *id;
	struct verbs_addr *from;
	struct sockaddr_storage peer;
	uint8_t token[NMTI_RMA_TOKEN];
	uint8_t mtu;                /* enum ibv_mtu */
	uint8_t sgid_index;
	int status;
	char text[VERBS_TEXT];
};

#define VERBS_TELL_CONNECTED 0x1u
#define VERBS_TELL_FAILED 0x2u
#define VERBS_TELL_DRAINED 0x4u

/* What a poll touches comes first, and large arrays last. */
struct nmti_rma_dev {
	struct nmt_pdomain *pd;
	struct nmti_list events, touched, quitting;
	/* Endpoints by index; a free one has its generation only. */
	struct verbs_slot {
		struct nmti_rma_ep *ep;
		uint32_t generation;
		uint32_t next_free;
	} *slots;
	uint32_t nslots, free_slot;
	uint32_t neps;
	uint32_t ncqs, turn;
	uint32_t asked; /* events at most that COMP still has, or will have */
	uint32_t nused, nmsgs; /* of USED, and of MSGS */
	uint32_t nsrqs;
	int nahead, ahead_pos;
	bool srq_used;           /* receives came back in this poll */
	bool port_down, leaving; /* leaving: the adapter is gone, endpoints drain yet */
	struct verbs_cq cqs[VERBS_CQS];
	struct ibv_wc ahead[VERBS_BATCH]; /* taken from a queue, not looked at yet */

	struct verbs_port port; /* ctx is NULL once the adapter is gone */
	struct verbs_opt opt;
	struct nmti_rma_limits limits;
	struct ibv_pd *ibpd;
	struct ibv_comp_channel *comp;
	struct rdma_event_channel *cm;
	int sock; /* for questions about interfaces */
	struct nmti_timer leaver;
	struct rdma_cm_id **parked; /* to be destroyed when the network works again */
	uint32_t nparked, parked_cap;
	struct nmti_timer park_timer;
	struct nmti_source comp_src, async_src, cm_src;
	struct nmti_list eps, expected, regs;
	struct verbs_srq srqs[VERBS_SRQS];
	struct nmti_rma_ep *by_qp[VERBS_QPS]; /* those with a shared receive queue */

	/* Receives that are to be posted again. */
	struct ibv_recv_wr used[VERBS_USED];
	struct ibv_sge used_sge[VERBS_USED];
	uint8_t msgs[VERBS_BATCH][VERBS_MSG_MAX]; /* of the poll that runs or ran last */
};

/* No endpoint, nothing to tell. */
static inline void verbs_dev_empty(struct nmti_rma_dev *dev)
{
	dev->free_slot = VERBS_EPS;
	nmti_list_init(&dev->eps);
	nmti_list_init(&dev->expected);
	nmti_list_init(&dev->events);
	nmti_list_init(&dev->touched);
	nmti_list_init(&dev->quitting);
	nmti_list_init(&dev->regs);
}

/*
 * ---- wr_id: direction, generation, index of the endpoint, number of the request or slot; for shared
 * receives the index of their queue ----
 */

#define VERBS_RECV (UINT64_C(1) << 63)
#define VERBS_SHARED (UINT64_C(1) << 62)
#define VERBS_GENERATION 0x3fffu

static inline uint64_t verbs_wr_id(const struct nmti_rma_ep *ep, uint64_t low)
{
	return (uint64_t)ep->generation << 48 | (uint64_t)ep->index << 28 | (low & VERBS_LOW);
}

/* The endpoint of a completion, or NULL when it is gone. */
static inline struct nmti_rma_ep *verbs_wr_ep(const struct nmti_rma_dev *dev, uint64_t wr_id)
{
	const struct verbs_slot *slot = &dev->slots[wr_id >> 28 & (VERBS_EPS - 1)];

	return (wr_id >> 48 & VERBS_GENERATION) == slot->generation ? slot->ep : NULL;
}

/* verbs.c */
extern const struct nmt_provider_ops nmti_provider_verbs;
extern const struct nmti_rma_ops nmti_verbs_ops;

/* verbs_query.c */
typedef bool verbs_port_fn(void *arg, struct verbs_port *port); /* true: go on */
/*
 * Call FN for each port; it may take over port->ctx by setting it NULL. Answers 0, or why there is
 * no adapter at all, with the REASON.
 */
int nmti_verbs_ports(const struct verbs_opt *opt, verbs_port_fn *fn, void *arg, char *reason,
		     size_t len);
int nmti_verbs_query(struct nmt_ctx *ctx, nmti_info_fn *emit, void *arg);
uint32_t nmti_verbs_speed(const struct ibv_port_attr *attr); /* Mb/s */
int nmti_verbs_numa(const char *ibdev);
/* GID number INDEX of a port as text, and its enum nmt_gid_type; GID stays when there is none. */
uint32_t nmti_verbs_gid(struct ibv_context *ctx, uint8_t port, uint32_t index,
			char gid[NMT_GID_MAX]);
/* Requests that a port sent again, by its driver's own counters; 0 when it has none. */
uint64_t nmti_verbs_retries(const char *ibdev, uint8_t port);
uint32_t nmti_verbs_mtu(int mtu); /* bytes */

/* verbs_opt.c */
void nmti_verbs_options(struct nmt_ctx *ctx, struct verbs_opt *opt);

/* verbs_dev.c */
int nmti_verbs_open(struct nmt_pdomain *pd, const char *device, struct nmti_rma_limits *limits,
		    struct nmti_rma_dev **dev);
void nmti_verbs_close(struct nmti_rma_dev *dev);
/*
 * Whether the interface of an address lets packets out: it has its cable, which the port may tell a
 * second later, and the kernel calls it running.
 */
bool nmti_verbs_sends(const struct nmti_rma_dev *dev, const struct verbs_addr *addr);
/*
 * The adapter is gone: every endpoint fails. Everything of the context is given back when they have
 * drained and are destroyed, or soon: what arrived until then the peer takes for delivered.
 */
void nmti_verbs_gone(struct nmti_rma_dev *dev, const char *why);
void nmti_verbs_ep_left(struct nmti_rma_dev *dev); /* an endpoint was destroyed */

static inline bool verbs_is_gone(const struct nmti_rma_dev *dev)
{
	return !dev->port.ctx || dev->leaving;
}

/* verbs_cm.c */
int nmti_verbs_address(struct nmti_rma_dev *dev, void *blob, uint32_t cap);
uint32_t nmti_verbs_fit(const void *server, uint32_t slen, const void *client, uint32_t clen);
int nmti_verbs_status(const struct nmti_rma_dev *dev);
int nmti_verbs_connect(struct nmti_rma_dev *dev, const struct nmti_rma_ep_attr *attr,
		       const void *blob, uint32_t len, struct nmti_rma_ep **ep);
int nmti_verbs_expect(struct nmti_rma_dev *dev, const struct nmti_rma_ep_attr *attr,
		      struct nmti_rma_ep **ep);
void nmti_verbs_cm_ready(struct nmti_source *src, uint32_t events);
int nmti_verbs_cm_listen(struct nmti_rma_dev *dev, struct verbs_addr *addr);
void nmti_verbs_established(struct nmti_rma_ep *ep);
void nmti_verbs_expect_again(struct nmti_rma_ep *ep); /* a void attempt is cleared away */

/* verbs_park.c */
void nmti_verbs_cm_end(struct nmti_rma_ep *ep); /* drop the connection's id, tell the peer */
void nmti_verbs_cm_unpark(struct nmti_rma_dev *dev);
void nmti_verbs_cm_late(struct nmti_timer *t);
void nmti_verbs_cm_up(struct nmti_rma_dev *dev); /* the port is */

/* verbs_ep.c */
int nmti_verbs_ep_new(struct nmti_rma_dev *dev, const struct nmti_rma_ep_attr *attr,
		      struct nmti_rma_ep **ep);
int nmti_verbs_qp_new(struct nmti_rma_ep *ep); /* a queue pair, in RESET */
void nmti_verbs_qp_free(struct nmti_rma_ep *ep);
bool nmti_verbs_qp_error(struct nmti_rma_ep *ep); /* to the error state; false: it did not go */
int nmti_verbs_post_recvs(struct nmti_rma_ep *ep); /* all of them, before it is connected */
void nmti_verbs_recv_wr(struct nmti_rma_ep *ep, uint32_t slot, struct ibv_recv_wr *wr,
			struct ibv_sge *sge);
void nmti_verbs_tell(struct nmti_rma_ep *ep, uint8_t what);
/* The first failure of EP counts. The text gets device, port and peer in front. */
void nmti_verbs_fail(struct nmti_rma_ep *ep, int status, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
void nmti_verbs_drained(struct nmti_rma_ep *ep); /* looks whether it is */
void nmti_verbs_fence(struct nmti_rma_ep *ep);
void nmti_verbs_strip(struct nmti_rma_ep *ep); /* give back all that the adapter has of it */
void nmti_verbs_destroy(struct nmti_rma_ep *ep);
void nmti_verbs_ep_free(struct nmti_rma_ep *ep); /* now, whatever the adapter has of it */
void nmti_verbs_describe(const struct nmti_rma_ep *ep, struct nmt_stream_info *info);

/* verbs_tx.c */
int nmti_verbs_write(struct nmti_rma_ep *ep, const struct nmti_rma_local *from, uint64_t remote,
		     uint64_t key, uint32_t imm, uint32_t flags, uint64_t *number);
int nmti_verbs_send(struct nmti_rma_ep *ep, const void *msg, uint32_t len, uint32_t flags,
		    uint64_t *number);
int nmti_verbs_ask(struct nmti_rma_ep *ep, uint64_t *number);
void nmti_verbs_kick(struct nmti_rma_ep *ep);
void nmti_verbs_mark(struct nmti_rma_ep *ep); /* post what completes last, in a fenced queue */

/* verbs_cq.c */
struct verbs_cq *nmti_verbs_cq_find(struct nmti_rma_dev *dev, uint32_t entries); /* NULL: none */
bool nmti_verbs_cq_room(const struct verbs_cq *cq, uint32_t entries);
void nmti_verbs_cq_take(struct nmti_rma_ep *ep, struct verbs_cq *cq, uint32_t entries);
void nmti_verbs_cq_give(struct nmti_rma_ep *ep);
void nmti_verbs_cqs_free(struct nmti_rma_dev *dev);
int nmti_verbs_poll(struct nmti_rma_dev *dev, struct nmti_rma_wc *wc, int max);
void nmti_verbs_repost(struct nmti_rma_dev *dev); /* all receives that were taken */
int nmti_verbs_arm(struct nmti_rma_dev *dev);
void nmti_verbs_comp_ready(struct nmti_source *src, uint32_t events);

/* verbs_srq.c */
void nmti_verbs_srq_take(struct nmti_rma_ep *ep); /* ep->srq stays NULL: a queue of its own */
void nmti_verbs_srq_give(struct nmti_rma_ep *ep);
void nmti_verbs_srq_add(struct nmti_rma_ep *ep); /* its queue pair, to be found by number */
void nmti_verbs_srq_remove(struct nmti_rma_ep *ep);
struct nmti_rma_ep *nmti_verbs_srq_ep(const struct nmti_rma_dev *dev, uint32_t qp_num);
int nmti_verbs_srq_fill(struct nmti_rma_dev *dev, struct verbs_srq *b); /* post what is missing */
void nmti_verbs_srq_repost(struct nmti_rma_dev *dev);
const uint8_t *nmti_verbs_srq_slot(struct nmti_rma_dev *dev, uint64_t wr_id);
/* Of a fenced endpoint whose requests came back: whether no receive of it is under way. */
bool nmti_verbs_srq_clean(struct nmti_rma_ep *ep);
void nmti_verbs_srq_last(struct nmti_rma_ep *ep);
/* Of a void attempt: true when its queue pair has to wait until then; nmti_verbs_expect_again(). */
bool nmti_verbs_srq_empty(struct nmti_rma_ep *ep);
void nmti_verbs_srq_emptied(struct nmti_rma_dev *dev, const struct verbs_cq *cq);
/* Of one that is destroyed: true when it must live on until it has drained. */
bool nmti_verbs_srq_orphan(struct nmti_rma_ep *ep);
void nmti_verbs_srqs_free(struct nmti_rma_dev *dev);

/* verbs_mr.c */
bool nmti_verbs_has_dmabuf(struct ibv_pd *pd);
int nmti_verbs_reg(struct nmti_rma_dev *dev, struct nmt_mr *mr, uint64_t offset, uint64_t len,
		   bool remote, struct nmti_rma_reg *reg, const char **reason);
void nmti_verbs_dereg(struct nmti_rma_dev *dev, struct nmti_rma_reg *reg);
void nmti_verbs_regs_free(struct nmti_rma_dev *dev);

/* verbs_async.c */
void nmti_verbs_async_ready(struct nmti_source *src, uint32_t events);

#endif
