/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Provider "ofi": fabrics that libfabric reaches. It implements the ops of rma/rma.h; the engine makes
 * streams of them. Shared by the files of the provider.
 *
 * ofi.c       ops table
 * ofi_query.c what libfabric finds on this machine, which of it is of use, and why the rest is not
 * ofi_lib.c   libfabric itself, loaded when it is needed
 * ofi_opt.c   knobs, from the environment
 * ofi_dev.c   opening and closing a device, its limits
 * ofi_mr.c    registrations
 * ofi_ep.c    life of an endpoint: numbers, receives, fence, destroy
 * ofi_cm.c    set-up of connected endpoints (FI_EP_MSG)
 * ofi_rdm.c   set-up over a shared endpoint (FI_EP_RDM)
 * ofi_msg.c   heads of messages, and notifications by message
 * ofi_tx.c    posting: chains, signalling, what the provider does not take now
 * ofi_cq.c    completions, errors in words, sleep
 * ofi_wire.c  what travels
 *
 * In *connected* mode each struct nmti_rma_ep has an endpoint of libfabric's; in *datagram* mode all
 * of a device share one, and names in messages and completion data tell them apart.
 */
#ifndef NMT_OFI_H
#define NMT_OFI_H

#include <errno.h>
#include <rdma/fabric.h>
#include <rdma/fi_cm.h>
#include <rdma/fi_domain.h>
#include <rdma/fi_endpoint.h>
#include <rdma/fi_eq.h>
#include <rdma/fi_errno.h>
#include <rdma/fi_rma.h>
#include <stdint.h>
#include <string.h>

#include "list.h"
#include "ofi_wire.h"
#include "rma/rma.h"

/* What it has at best. */
#define OFI_CAPS                                                                                   \
	(NMTI_RMA_CAPS | NMT_CAP_PLACEMENT | NMT_CAP_ZEROCOPY | NMT_CAP_RAILS | NMT_CAP_RESUME |   \
	 NMT_CAP_REMOTE_FLUSH)

#ifdef FI_MR_DMABUF /* headers of 1.20 or later; the library is not older (ofi_lib.c) */
#define OFI_API FI_VERSION(1, 20)
#define OFI_DMABUF true
#else
#define OFI_API FI_VERSION(1, 17)
#define OFI_DMABUF false
#endif
#define OFI_BATCH 64      /* completions that one poll tells */
#define OFI_MSG_MAX 256u  /* bytes of a message of the engine */
#define OFI_MSG_OUT 16u   /* messages in flight where they cannot be injected */
#define OFI_CHAIN 16u     /* requests that wait for one doorbell */
#define OFI_SCRATCH 8u
#define OFI_WORD_MAX (OFI_HELLO_LEN + 1 + OFI_ADDR_MAX)
#define OFI_TEXT 256
#define OFI_RDM_RECVS 512u /* posted on a shared endpoint; more wait in the provider */

/* From the environment (docs/environment.md), read when a device is opened. */
struct ofi_opt {
	uint8_t type; /* OFI_TYPE_*; 0: not set */
	int inline_max, send_depth, recv_depth;
	int cq_data;         /* bytes of completion data used, at most */
	int poll_us;         /* between looks at a device that cannot wake the domain; idle, 20 times as long */
	int wait_fd;         /* 0, 1: queues have a descriptor; -1: if the domain sleeps */
	int connect_timeout; /* ms */
};

/* One provider and type of endpoint of libfabric's, as ofi_query.c finds it. */
struct ofi_found {
	struct fi_info *info;   /* the best address; NULL when unusable */
	char name[NMT_DEV_MAX]; /* "tcp", "tcp:rdm" */
	uint8_t type;
	uint8_t rank;           /* 0: the kernel's own TCP is better, so not for auto */
	int status;
	char reason[128];
};

/* What the op_context of a completion is. */
struct ofi_ctx {
	struct fi_context2 fi;
	struct nmti_rma_ep *ep; /* NULL: of the device */
	bool recv;
};

enum ofi_op { OFI_WRITE, OFI_TOUCH, OFI_SEND };

/* A request, with the provider or not yet. */
struct ofi_req {
	struct ofi_ctx ctx;
	uint64_t number, remote, key, data;
	const void *addr;
	void *desc, *copy; /* COPY: the bytes of one that may be gone, allocated */
	uint32_t len;
	uint8_t op;        /* enum ofi_op */
	bool signal, inject, done;
	struct ofi_req *next; /* on ep->notes */
};

struct ofi_recv {
	struct ofi_ctx ctx;
	uint32_t slot;
};

struct ofi_reg {
	struct fid_mr *mr; /* NULL: the provider needs none */
	void *desc;
	uint64_t local;    /* what this end calls its byte 0, where the CPU has no address of it */
};

/* An address of a peer on a shared endpoint. */
struct ofi_peer {
	struct nmti_list node;
	fi_addr_t addr;
	uint32_t refs;
	uint32_t nwaiting; /* endpoints on dev->waiting */
	uint32_t refused;  /* the round of nmti_ofi_retry() in which it took nothing more */
	bool broken;       /* the last request that ended says that the connection is lost */
	int64_t since;     /* it takes nothing and is broken; 0: neither */
	uint8_t len, name[OFI_ADDR_MAX];
};

enum ofi_state {
	OFI_EXPECTING,
	OFI_CONNECTING,
	OFI_ACCEPTED, /* the peer has not said that it has the answer */
	OFI_UP,
	OFI_FENCED,
	OFI_DRAINED,
};

enum ofi_drain { OFI_DRAIN_REQUESTS, OFI_DRAIN_SAYS_BYE, OFI_DRAIN_HEARS_BYE };

#define OFI_TELL_CONNECTED 0x1u
#define OFI_TELL_FAILED 0x2u
#define OFI_TELL_DRAINED 0x4u

struct nmti_rma_ep {
	struct nmti_rma_dev *dev;
	struct fid_ep *fid; /* connected mode: its own; NULL: not made yet, or closed */
	void *owner;
	uint8_t state;      /* enum ofi_state */
	uint8_t rail, epoch;
	bool failed;        /* FAILED is told, or queued */
	bool settling;      /* counted in dev->settling */
	bool orphan;        /* destroyed; freed when no completion can name it */
	bool early;         /* DRAINED was told before the end: nobody writes to it */
	bool awaits_bye, bye_heard, bye_due;
	bool unsaid;        /* the last request failed */
	uint8_t drain;      /* enum ofi_drain: what there is time for until DEADLINE */
	uint32_t id;        /* what the peer's writes carry */

	/* Sending; requests are numbered from 1. */
	uint64_t number, posted, done;
	uint64_t own_words; /* those up to it are the provider's own */
	uint32_t depth, mask;
	uint32_t quiet;     /* requests since the last that asked for its completion */
	struct ofi_req *reqs;
	uint64_t *doorbells;

	/* With dev->notes: writes that became a NOTE which the provider has not taken; a slot a request. */
	struct ofi_req *notes, **notes_end;
	uint8_t *note_bytes;
	bool note_lost; /* a NOTE was not sent: what is complete says nothing of what the peer knows */
	struct fid_mr *note_mr;

	/* The peer, once it is known. */
	struct ofi_peer *peer;
	fi_addr_t to;
	uint32_t peer_id;
	uint64_t scratch, scratch_key;
	struct fid_mr *own_mr; /* of OWN, on a shared endpoint */
	uint8_t own[OFI_SCRATCH];
	struct fid_mr *word_mr;
	uint8_t word[OFI_WORD_MAX]; /* of set-up, under way, on a shared endpoint */

	/* Messages: msg_in x msg_max to receive, then OFI_MSG_OUT to send from. */
	struct ofi_recv *recvs;
	uint8_t *msgs;
	struct fid_mr *msg_mr;
	uint32_t msg_max, msg_in, ctrl_slots;
	uint32_t msg_out;
	uint64_t msg_number[OFI_MSG_OUT];

	/* Set-up and end. */
	struct nmti_list all, expected, event, waiting, ending;
	uint8_t events;          /* OFI_TELL_* */
	struct nmti_timer timer; /* of set-up, then of the drain */
	int64_t limit, deadline, patience;
	int attempt;
	uint8_t token[OFI_TOKEN];
	struct ofi_addr goal;
	int status;
	char text[OFI_TEXT];
};

struct nmti_rma_dev {
	struct nmt_pdomain *pd;
	struct ofi_found found;
	struct fi_info *info;
	struct ofi_opt opt;
	struct nmti_rma_limits limits;
	bool rdm;
	/*
	 * Every request tells its completion, since they may come in any order; messages have a head
	 * (struct ofi_head), since they are for any stream, or are NOTEs.
	 */
	bool tracked;
	bool notes;   /* completion data is too small: a NOTE follows each write */
	bool sleeps;  /* its completion queue has a descriptor */
	bool cq_watched;
	bool eq_low;  /* nothing was told of it since its descriptor was seen not ready */
	uint64_t level; /* FI_*_COMPLETE: what says that bytes are safe with the peer */
	struct fid_fabric *fabric;
	struct fid_domain *domain;
	struct fid_eq *eq;
	struct fid_cq *cq;
	struct fid_pep *pep;
	struct fid_ep *ep;   /* datagram mode: the shared one */
	struct fid_av *av;
	struct nmti_source cq_src, eq_src;
	struct nmti_timer look; /* at what cannot wake the domain, or was not taken */
	int64_t nap;            /* before the next one */
	struct ofi_addr name;
	uint32_t inject;     /* bytes that a request can carry itself */
	uint32_t settling;   /* endpoints that are being set up */
	uint32_t looks;      /* at the completion queue */

	/* Memory for writes that carry nothing: to read from, and for the peer to write to. */
	uint8_t zero[OFI_SCRATCH], scratch[OFI_SCRATCH];
	struct fid_mr *zero_mr, *scratch_mr;
	void *zero_desc;

	/* Datagram mode. */
	struct nmti_list peers;
	struct ofi_recv *recvs;
	uint8_t *msgs;
	struct fid_mr *msg_mr;
	uint32_t nrecvs;
	uint32_t nidle;      /* peers without endpoints */

	/* Endpoints by id; ids are used again as late as can be. */
	struct nmti_rma_ep **ids;
	uint32_t nids, next_id;

	struct nmti_list eps, expected, events;
	struct nmti_list waiting; /* requests that the provider did not take */
	uint32_t round;           /* of nmti_ofi_retry() */
	struct nmti_list ending;  /* fenced, and not drained */
	bool fenced;              /* since the completion queue was found empty last */
	struct nmti_list closed;  /* their endpoint of libfabric's is closed: drained soon */
	struct nmti_list graves;  /* destroyed */

	struct fi_cq_data_entry ahead[OFI_BATCH]; /* read, not looked at yet */
	int nahead, ahead_pos;

	/* Receives to post again, and messages, of the poll that runs or ran last. */
	uint32_t nused;
	struct ofi_recv *used[OFI_BATCH];
	uint8_t told[OFI_BATCH][OFI_MSG_MAX];
};

/* ofi.c */
extern const struct nmt_provider_ops nmti_provider_ofi;
extern const struct nmti_rma_ops nmti_ofi_ops;

/* ofi_lib.c: libfabric's entry points. */
/* Loads it. NULL, or why it is not there; before all others. */
const char *nmti_ofi_missing(void);
int nmti_ofi_getinfo(const struct fi_info *hints, struct fi_info **list);
void nmti_ofi_freeinfo(struct fi_info *info);
struct fi_info *nmti_ofi_dupinfo(const struct fi_info *info); /* of NULL: an empty one */
int nmti_ofi_fabric(struct fi_fabric_attr *attr, struct fid_fabric **fabric, void *context);
const char *nmti_ofi_strerror(int err);

/* ofi_query.c */
/* What DEVICE names (empty: the best). 0, or -ENODEV and so on with found->reason. */
int nmti_ofi_find(struct nmt_ctx *ctx, const char *device, struct ofi_found *found);
/* Why a provider that fi_getinfo does not find for streams is of no use. */
const char *nmti_ofi_refusal(const struct fi_info *info);
bool nmti_ofi_absent(void); /* no adapter of a fabric that "auto" takes */
int nmti_ofi_query(struct nmt_ctx *ctx, nmti_info_fn *emit, void *arg);

/* ofi_opt.c */
void nmti_ofi_options(struct nmt_ctx *ctx, struct ofi_opt *opt);

/* ofi_dev.c */
int nmti_ofi_open(struct nmt_pdomain *pd, const char *device, struct nmti_rma_limits *limits,
		  struct nmti_rma_dev **dev);
void nmti_ofi_close(struct nmti_rma_dev *dev);
int nmti_ofi_address(struct nmti_rma_dev *dev, void *blob, uint32_t cap);
uint32_t nmti_ofi_fit(const void *server, uint32_t slen, const void *client, uint32_t clen);

/* ofi_mr.c */
int nmti_ofi_reg(struct nmti_rma_dev *dev, struct nmt_mr *mr, uint64_t offset, uint64_t len,
		 bool remote, struct nmti_rma_reg *reg, const char **reason);
void nmti_ofi_dereg(struct nmti_rma_dev *dev, struct nmti_rma_reg *reg);
/* Memory of the provider's own. 0 or a negative errno; *MR is NULL when none is needed. */
int nmti_ofi_mr_new(struct nmti_rma_dev *dev, void *addr, size_t len, bool remote,
		    struct fid_mr **mr);
void nmti_ofi_mr_free(struct fid_mr **mr);
static inline void *ofi_desc(struct fid_mr *mr)
{
	return mr ? fi_mr_desc(mr) : NULL;
}
/* Where a peer finds ADDR. */
static inline uint64_t ofi_base(const struct nmti_rma_dev *dev, const void *addr)
{
	return dev->info->domain_attr->mr_mode & FI_MR_VIRT_ADDR ? (uintptr_t)addr : 0;
}

/* ofi_ep.c */
int nmti_ofi_ep_new(struct nmti_rma_dev *dev, const struct nmti_rma_ep_attr *attr,
		    struct nmti_rma_ep **ep);
void nmti_ofi_tell(struct nmti_rma_ep *ep, uint8_t what);
/* The first failure of EP counts. The text gets device, peer and rail in front. */
void nmti_ofi_fail(struct nmti_rma_ep *ep, int status, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
void nmti_ofi_established(struct nmti_rma_ep *ep);
void nmti_ofi_settled(struct nmti_rma_ep *ep); /* set-up is over, one way or the other */
void nmti_ofi_set_timer(struct nmti_rma_ep *ep, int64_t at);
void nmti_ofi_fence(struct nmti_rma_ep *ep);
void nmti_ofi_destroy(struct nmti_rma_ep *ep);
void nmti_ofi_fid_close(struct nmti_rma_ep *ep);
/* The completion queue was found empty: true when it has to be read again. */
bool nmti_ofi_emptied(struct nmti_rma_dev *dev);
bool nmti_ofi_ends(const struct nmti_rma_dev *dev); /* an endpoint waits for that */
void nmti_ofi_eps_free(struct nmti_rma_dev *dev);
struct nmti_rma_ep *nmti_ofi_expected(struct nmti_rma_dev *dev, const struct ofi_hello *m);
struct nmti_rma_ep *nmti_ofi_known(struct nmti_rma_dev *dev, const struct ofi_hello *m);
void nmti_ofi_unsaid(struct nmti_rma_ep *ep); /* a request of EP failed, which is fenced */
void nmti_ofi_hello(const struct nmti_rma_ep *ep, uint8_t kind, uint8_t buf[OFI_HELLO_LEN]);
void nmti_ofi_met(struct nmti_rma_ep *ep, const struct ofi_hello *m); /* what the peer said */
void nmti_ofi_describe(const struct nmti_rma_ep *ep, struct nmt_stream_info *info);
static inline struct nmti_rma_ep *ofi_ep_of(const struct nmti_rma_dev *dev, uint32_t id)
{
	return id < dev->nids ? dev->ids[id] : NULL;
}
/* Request NUMBER is complete; what counts are those without a gap behind them. */
static inline void ofi_count_done(struct nmti_rma_ep *ep, uint64_t number)
{
	if (ep->dev->tracked)
		ep->reqs[number & ep->mask].done = true;
	else
		ep->done = number;
	while (ep->done != ep->posted && ep->reqs[(ep->done + 1) & ep->mask].done)
		ep->reqs[++ep->done & ep->mask].done = false;
}

/* ofi_cm.c */
int nmti_ofi_connect(struct nmti_rma_dev *dev, const struct nmti_rma_ep_attr *attr,
		     const void *blob, uint32_t len, struct nmti_rma_ep **ep);
int nmti_ofi_expect(struct nmti_rma_dev *dev, const struct nmti_rma_ep_attr *attr,
		    struct nmti_rma_ep **ep);
int nmti_ofi_listen(struct nmti_rma_dev *dev);
void nmti_ofi_eq_read(struct nmti_rma_dev *dev);
void nmti_ofi_eq_ready(struct nmti_source *src, uint32_t events);

/* ofi_rdm.c */
int nmti_ofi_rdm_open(struct nmti_rma_dev *dev);
void nmti_ofi_rdm_close(struct nmti_rma_dev *dev);
void nmti_ofi_rdm_connect(struct nmti_rma_ep *ep);
void nmti_ofi_rdm_leave(struct nmti_rma_ep *ep); /* it needs its peer's address no more */
void nmti_ofi_rdm_unheard(struct nmti_rma_ep *ep);
void nmti_ofi_rdm_refused(struct nmti_rma_ep *ep); /* its peer takes nothing now */
void nmti_ofi_rdm_bye(struct nmti_rma_ep *ep);
void nmti_ofi_rdm_word(struct nmti_rma_dev *dev, const uint8_t *p, uint32_t len);

/* ofi_msg.c */
/* Messages of EP's begin with that; bytes of it. */
uint32_t nmti_ofi_head(const struct nmti_rma_ep *ep, uint8_t kind, uint8_t *buf);
/*
 * LEN bytes came in, over the connection of *EP, or (NULL) over the shared endpoint. True: with HEAD
 * before them, and for *EP. Else they were set-up, or nobody's.
 */
bool nmti_ofi_headed(struct nmti_rma_dev *dev, const uint8_t *bytes, uint32_t len,
		     struct ofi_head *head, struct nmti_rma_ep **ep);
struct nmti_rma_ep *nmti_ofi_addressee(struct nmti_rma_dev *dev, const uint8_t *bytes,
				       uint32_t len);
int nmti_ofi_notes_new(struct nmti_rma_ep *ep);
void nmti_ofi_notes_free(struct nmti_rma_ep *ep);
/* R, which is not under way, is a NOTE from now on. */
void nmti_ofi_note_fill(struct ofi_req *r);
/* R is complete, but for the NOTE that it becomes; false: it is complete. */
bool nmti_ofi_note_follows(struct ofi_req *r);
ssize_t nmti_ofi_notes_post(struct nmti_rma_ep *ep);
void nmti_ofi_notes_drop(struct nmti_rma_ep *ep);

/* ofi_tx.c */
int nmti_ofi_write(struct nmti_rma_ep *ep, const struct nmti_rma_local *from, uint64_t remote,
		   uint64_t key, uint32_t imm, uint32_t flags, uint64_t *number);
int nmti_ofi_send(struct nmti_rma_ep *ep, const void *msg, uint32_t len, uint32_t flags,
		  uint64_t *number);
int nmti_ofi_ask(struct nmti_rma_ep *ep, uint64_t *number);
void nmti_ofi_kick(struct nmti_rma_ep *ep);
ssize_t nmti_ofi_post(struct nmti_rma_ep *ep, struct ofi_req *r, bool more);
void nmti_ofi_say(struct nmti_rma_ep *ep, uint32_t len); /* EP's word; not while one is under way */
void nmti_ofi_retry(struct nmti_rma_dev *dev); /* what waits */
void nmti_ofi_drop(struct nmti_rma_ep *ep);    /* what was not posted */

/* ofi_cq.c */
int nmti_ofi_poll(struct nmti_rma_dev *dev, struct nmti_rma_wc *wc, int max);
int nmti_ofi_arm(struct nmti_rma_dev *dev);
void nmti_ofi_cq_ready(struct nmti_source *src, uint32_t events);
int nmti_ofi_post_recv(struct nmti_rma_dev *dev, struct ofi_recv *r);

#endif
