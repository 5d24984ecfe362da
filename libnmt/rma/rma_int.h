/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Inside of the adapter that makes a stream provider of remote writes, for rma*.c:
 *
 * rma.c       ops table, domain, progress, the work of a stream, options
 * rma_dev.c   devices of a domain: opened, told to the peer, paired with the peer's
 * rma_reg.c   memory that the devices know: registrations of regions, bounce memory
 * rma_path.c  rails: brought up, lost, fenced, resumed; the end of a stream
 * rma_tx.c    sending: the queue of operations
 * rma_ring.c  sending: memory of copied bytes
 * rma_run.c   runs made of it, posted, taken back by a resume
 * rma_rx.c    receiving in pool mode: slabs, loans, copying calls
 * rma_post.c  posted receives, in both receive modes
 *
 * The window (window.h) has the state of the protocol. Here are the memory that it speaks of and
 * the queue pairs that it never sees.
 */
#ifndef NMTI_RMA_INT_H
#define NMTI_RMA_INT_H

#include "internal.h"
#include "rma/rma.h"
#include "rma/window_hot.h"
#include "rma/wire.h"

/* ---- domain ------------------------------------------------------------------------------- */

#define RMA_BUCKETS 64u
#define RMA_DEVS NMTI_RMA_DEVS_MAX

/*
 * Memory as the devices of the domain know it: all of them, but for those that were gone already. A
 * run may take any rail, so what one device cannot reach is staged for all.
 */
struct rma_mem {
	struct nmti_rma_reg at[RMA_DEVS];
	uint8_t have; /* bit by device */
};

/* A region: for reading only, and for the peer to write to. */
struct rma_reg {
	struct nmti_map map;
	struct rma_reg *next;  /* in its bucket */
	struct rma_dom *rd;
	struct nmt_mr *mr;     /* atomic. NULL: the region is closed */
	const void *of;        /* the one stream that has it; NULL: all of the domain */
	uint32_t refs;         /* of streams that announced it */
	uint8_t tried, have;   /* bit 0: for reading; bit 1: for the peer */
	bool closed;           /* to the peer, until the next epoch */
	struct rma_mem mem[2];
};

struct rma_dev {
	struct nmti_rma_dev *dev;
	struct nmti_rma_limits lim;
};

struct rma_dom {
	struct nmt_pdomain *pd;
	const struct nmti_rma_ops *ops;
	struct rma_dev dev[RMA_DEVS];
	uint8_t ndevs;
	struct nmti_rma_limits lim; /* what all have; send_depth: what the best one has */
	struct rma_reg *bucket[RMA_BUCKETS];
	bool stale;            /* atomic: a region of the cache was closed */
	uint32_t rings;        /* bytes of rings that have grown */
};

/* rma_dev.c. Open the devices of a list with commas. */
int nmti_rma_devs_open(struct rma_dom *rd, const char *list);
void nmti_rma_devs_close(struct rma_dom *rd);

/* What a peer is told of the devices of this end. */
struct rma_own {
	uint8_t ndevs, dev[RMA_DEVS]; /* which ones, in the order told */
	uint8_t len, bytes[NMTI_RMA_BLOB_MAX];
};

/* Those that are usable now. *DOUBT: bits of those that failed; none when all did. -ENODEV. */
int nmti_rma_own_addrs(const struct rma_dom *rd, uint8_t *doubt, struct rma_own *own);

/* rma_reg.c. Make MR known to all devices, or to none. What registering says; -ENODEV: all gone. */
int nmti_rma_mem_reg(struct rma_dom *rd, struct nmt_mr *mr, bool remote, struct rma_mem *mem,
		     const char **why);
void nmti_rma_mem_dereg(struct rma_dom *rd, struct rma_mem *mem);
/*
 * The registration of a region, made when first used; NULL: it has to be staged. OF: for this stream
 * alone (limits.shared), or NULL.
 */
struct rma_reg *nmti_rma_reg_get(struct rma_dom *rd, struct nmt_mr *mr, bool remote,
				 const void *of);
/* Close what the peer may write of it, and open it again with other keys. -ENOMEM, or what it says. */
void nmti_rma_reg_close(struct rma_reg *reg);
int nmti_rma_reg_reopen(struct rma_reg *reg);
void nmti_rma_reg_put(struct rma_reg *reg);
void nmti_rma_regs_sweep(struct rma_dom *rd);
void nmti_rma_regs_fini(struct rma_dom *rd);
/* Host memory of the library that the devices know. -ENOMEM and what registering says. */
struct rma_bounce {
	struct nmt_mr *mr;
	struct rma_mem mem;
};
int nmti_rma_bounce_new(struct rma_dom *rd, size_t len, bool remote, struct rma_bounce *b);
void nmti_rma_bounce_free(struct rma_dom *rd, struct rma_bounce *b);

/* ---- stream: rails ------------------------------------------------------------------------ */

/* limits.shared: what goes on when its rails are drained. */
enum rma_end { END_NOT, END_OVER, END_BROKEN };

enum rma_path_state {
	PATH_CONNECTING, /* some rail is not up yet */
	PATH_UP,
	PATH_FENCING,    /* lost: waits until its rails are drained */
	PATH_LOST,       /* RESUME was sent, the peer's is to come */
	PATH_GONE,       /* no rails any more, nor will there be */
};

struct rma_rail {
	struct rma_stream *rs;
	struct nmti_rma_ep *ep;
	uint64_t *run_of;    /* by request number: the last run posted with it or before it */
	uint64_t last_run;   /* number of the last one on it */
	uint64_t asked, told; /* requests: the last to tell its completion; the last that was told */
	uint32_t quiet, quiet_kept; /* runs behind ASKED, and bytes of ours in them */
	uint64_t quiet_bytes;       /* of all in them */
	uint8_t index;
	uint8_t dev, to;         /* device of this end; number in the peer's list */
	bool up, drained;
	uint32_t inline_max;     /* of the device */
};

/* Request NUMBER asks for its completion; 0: none did yet. */
static inline void rma_asks(struct rma_rail *rail, uint64_t number)
{
	rail->asked = number;
	rail->quiet = rail->quiet_kept = 0;
	rail->quiet_bytes = 0;
}

/* ---- stream: sending ---------------------------------------------------------------------- */

#define CHUNK_EOR 1u   /* a record ends behind it */
#define CHUNK_OP 2u    /* an operation ends with it */
#define CHUNK_LOST 4u  /* the peer did not take all of it */

/* Bytes to send that lie in one piece. */
struct rma_chunk {
	struct nmt_mr *mr;              /* borrowed; NULL: copied into the ring */
	const struct rma_mem *mem;      /* of mr; NULL: staged */
	uint64_t at;                    /* offset into mr, or position in the ring */
	uint64_t run;                   /* the last run that carries any of it */
	uint32_t len;
	uint32_t flags;
};

/* A borrowed send or a flush. */
struct rma_op {
	uint64_t cookie, len;
	int status;
	bool flush;
};

/* Where the sending stood before a run, to go back there after a resume. */
struct rma_place {
	uint32_t chunk, done;
};

#define STAGE_BLOCKS 8u
#define STAGE_BLOCK (32u << 10)

/* Memory that the device cannot read goes through here, block by block. */
struct rma_stage {
	struct rma_bounce mem;
	uint64_t run[STAGE_BLOCKS];  /* the last one that reads it */
	uint32_t next;
};

/* A run that the window counts as posted and the device does not have yet. */
struct rma_held {
	struct nmti_run run;
	struct nmti_rma_local from;
	uint64_t number;
	uint32_t kept; /* bytes of the ring that it keeps until it is complete; a block of the stage is
			* dearer */
};

#define RMA_RING_FIRST (128u << 10)
#define RMA_FLIGHT (1u << 20) /* bytes under way, from which on bursts wait for each other */

/* Bytes from position HEAD to TAIL are in it; those before FROM in OLD, if there is one. */
struct rma_ring {
	struct rma_bounce mem, old;
	uint64_t from, head, tail;
	uint32_t size; /* of MEM, a power of 2 */
};

/* Rings: [head, cur) is sent, [cur, tail) waits. */
struct rma_tx {
	struct rma_ring ring;
	struct rma_chunk *chunk;
	uint32_t head, cur, tail, mask;
	uint32_t done;               /* bytes of cur that were sent */
	uint32_t signal_runs;        /* of so many runs on a rail one asks for its completion; of half as many again at least one */
	uint32_t unrung;             /* rails, by bits: MORE keeps requests back from the device */
	struct rma_op *op;
	uint32_t op_head, op_done, op_tail, op_mask; /* [head, done) are to be told */
	struct rma_place *log;       /* by run number */
	uint64_t trunc;              /* the last TRUNC */
	struct rma_stage stage;

	struct rma_held held[2];     /* the first rs->nheld */
	bool refused;                /* an operation found no room since the last one finished */
	bool settled;                /* nothing was posted since the turn before */
};

/* ---- stream: receiving -------------------------------------------------------------------- */

#define RMA_SLABS 16u
#define RMA_WINDOW (4u << 20) /* most bytes of pool memory that wait for the peer */
#define RMA_REGIONS_POSTED (NMTI_WIN_REGIONS - RMA_SLABS)

struct rma_slab {
	struct nmti_slab *slab;
	struct nmt_mr *shadow;       /* where the peer writes if a device cannot reach the slab */
	struct rma_mem mem;          /* of that, or of the slab */
};

enum post_state { POST_FREE, POST_WAITS, POST_DONE };

struct rma_post {
	struct nmt_mr *mr;
	uint64_t offset, cookie;
	size_t len, done;
	struct rma_bounce bounce;    /* mr NULL: none is needed */
	int status;
	uint32_t ev_flags;
	uint16_t opts, region;
	uint8_t state;
	bool placed;                 /* posted mode: it is a segment of the window */
};

/* A ring: [head, tail) are posted; those before next are finished. */
struct rma_posts {
	uint32_t head, next, tail, mask;
	uint32_t ndone;
	struct rma_post ring[];
};

/* Region ids RMA_SLABS and up: memory that the application posted. */
struct rma_region {
	struct rma_reg *reg;         /* NULL: free, or bounce memory */
	const struct rma_mem *mem;   /* of REG, or of the one post in it */
	uint64_t len;
	uint32_t users;              /* posts */
	bool told;                   /* in this epoch */
};

struct rma_rx {
	uint32_t nslabs, cells;      /* cells of all slabs */
	uint32_t turn;               /* the slab that gave the last cell */
	uint32_t segs, target;       /* cells in the window; how many there are to be */
	uint32_t used;               /* bytes of the next piece that were given out */
	uint32_t done;               /* cells since SINCE */
	int64_t since;               /* the last time that a whole window had come */
	struct nmti_cell *last;      /* the newest one in the window, or NULL */
	bool staged;                 /* some slab has a shadow */
	bool apart;                  /* some slab has one, or the CPU cannot read it */
	bool end;                    /* the end of the stream was reached */
	bool discard;                /* drop bytes up to the end of this record */
	struct rma_region *region;
	uint32_t nregions;
	struct rma_slab slab[RMA_SLABS];
};

/* ---- stream ------------------------------------------------------------------------------- */

struct rma_stream {
	struct nmt_stream *s;
	struct rma_dom *rd;
	struct nmti_win *w;
	struct rma_tx *tx;           /* NULL until something is sent */
	struct rma_posts *posts;     /* NULL until the first nmt_recv_into */
	struct rma_rail *rails;
	uint8_t nrails, rails_max;
	uint8_t doubt;               /* devices that a path failed over, by bits */
	uint8_t path;                /* enum rma_path_state */
	uint8_t end;                 /* enum rma_end */
	uint8_t wait;                /* enum nmti_win_wait: what sending waits for */
	bool queue_full;             /* the device takes no more */
	uint8_t nheld;               /* runs in tx->held */
	bool fin_due, fin_sent, closing, done_sent, peer_done, over_told;
	bool lost_bytes;             /* the peer closed before it took everything */
	bool usable;                 /* epoch 0 is up, and the core knows */
	bool resuming;               /* epoch 0 was up, and the path was lost since */
	bool lost_early;             /* it was lost before the stream was open */
	bool stop_check;             /* a control message came: a STOP may be owed */
	bool server;
	uint64_t last, fin_run;      /* number of the last run; of FIN */
	uint16_t ctrl_len;           /* a control message that the device did not take */
	uint32_t attempts, send_mask;
	struct rma_rx rx;
	struct nmti_win_attr attr;
	struct nmti_timer timer;     /* recovery, or the grace at the end */
	struct nmti_timer retry;     /* before the next try to come back */
	uint64_t tries;              /* to come back, in all */
	bool have_peer;              /* the peer's RESUME is in PEER */
	struct nmti_resume peer;
	struct rma_own own;          /* what the peer was told last */
	uint8_t token[NMTI_RMA_TOKEN];
	uint8_t ctrl[NMTI_CTRL_MAX];
};

static inline struct rma_stream *rma_of(const struct nmt_stream *s)
{
	return s->priv;
}

static inline uint32_t rma_pow2(uint32_t n)
{
	uint32_t p = 1;

	while (p < n)
		p *= 2;
	return p;
}

/* rma.c */
int nmti_rma_progress(struct nmt_pdomain *pd);

/*
 * rma_dev.c. The devices that the rails of this epoch take. The best pairs by turns; each epoch, and
 * each stream, begins with another one: so streams spread over devices.
 */
void nmti_rma_assign(struct rma_stream *rs, const struct nmti_rma_addrs *peer);
/* The registration that a rail uses. */
static inline const struct nmti_rma_reg *rma_reg_at(const struct rma_mem *mem,
						    const struct rma_rail *rail)
{
	return &mem->at[rail->dev];
}

/* rma_path.c */
int nmti_rma_offer(struct nmt_pdomain *pd, const struct nmt_stream *s, void *blob, uint32_t cap);
int nmti_rma_attach(struct nmt_stream *s, const struct nmti_path *path);
void nmti_rma_connected(struct rma_rail *rail);
void nmti_rma_usable(struct rma_stream *rs);
void nmti_rma_failed(struct rma_rail *rail, int status, const char *text);
void nmti_rma_lost(struct rma_stream *rs);     /* tell the peer, and fence */
void nmti_rma_drained(struct rma_rail *rail);
int nmti_rma_peer_path(struct nmt_stream *s, const void *msg, uint32_t len);
void nmti_rma_peer_done(struct nmt_stream *s);
void nmti_rma_end_step(struct rma_stream *rs); /* close and done, as far as they go now */
void nmti_rma_close_stream(struct nmt_stream *s);
void nmti_rma_abort(struct nmt_stream *s);
bool nmti_rma_quiet(const struct nmt_stream *s);
void nmti_rma_over(struct rma_stream *rs);     /* both ends are done */
/* Everything ends: at once, or (limits.shared) once the rails are drained. */
void nmti_rma_break(struct rma_stream *rs);
void nmti_rma_path_late(struct nmti_timer *t);
void nmti_rma_path_retry(struct nmti_timer *t);
void nmti_rma_detach(struct nmt_stream *s);
void nmti_rma_ctrl_send(struct rma_stream *rs, bool more, bool ring);
/*
 * Send the control messages that are due. MORE: see nmti_win_due_now(). RING false: nmti_rma_pump()
 * is called next, and rings the doorbell.
 */
static inline void nmti_rma_ctrl(struct rma_stream *rs, bool more, bool ring)
{
	if (unlikely(rs->ctrl_len || nmti_win_due_now(rs->w, more)))
		nmti_rma_ctrl_send(rs, more, ring);
}
void nmti_rma_protocol(struct rma_stream *rs, int err, const char *what);

/* rma_tx.c */
int nmti_rma_tx_alloc(struct rma_stream *rs);
/*
 * There is more to send: all that can go goes now, unless FLAGS has MSG_MORE, since a caller that
 * does not drive the domain next counts on it.
 */
void nmti_rma_go_on(struct rma_stream *rs, int flags);
ssize_t nmti_rma_send(struct nmt_stream *s, const struct iovec *iov, int n, int flags);
int nmti_rma_send_mr(struct nmt_stream *s, const struct nmt_frag *frags, int n, int flags,
		     uint64_t cookie);
int nmti_rma_flush(struct nmt_stream *s, uint64_t cookie);
void nmti_rma_completed(struct rma_stream *rs); /* give back what is complete */
bool nmti_rma_unsent(const struct rma_stream *rs);
/* Everything ends: what was sent and is not known to be complete, and what was not sent. */
void nmti_rma_tx_end(struct rma_stream *rs, int sent, int unsent);
void nmti_rma_tx_drop(struct rma_stream *rs); /* the peer takes no more */
int nmti_rma_tx_reap(struct nmt_stream *s, struct nmt_event *ev, int max);
void nmti_rma_tx_free(struct rma_stream *rs);

/* rma_ring.c */
int nmti_rma_ring_new(struct rma_stream *rs);
void nmti_rma_ring_free(struct rma_stream *rs);
/* It is full. False: it stays as it is. */
bool nmti_rma_ring_grow(struct rma_stream *rs);
void nmti_rma_ring_drop(struct rma_stream *rs, uint64_t to); /* bytes before TO are done with */

static inline uint32_t rma_chunks_room(const struct rma_tx *tx)
{
	return tx->mask + 1 - (tx->tail - tx->head);
}

/* How many bytes more it takes. */
static inline uint32_t rma_ring_room(const struct rma_ring *ring)
{
	uint64_t head = ring->head > ring->from ? ring->head : ring->from;

	return ring->size - (uint32_t)(ring->tail - head);
}

/* rma_run.c */
/* Post runs, BUDGET at most; true: there are more that could go now. */
bool nmti_rma_pump(struct rma_stream *rs, uint32_t budget);
/*
 * A message that one run takes whole, while nothing else is to be sent: most. False: it is not so
 * simple, and nothing was done.
 */
bool nmti_rma_send_alone(struct rma_stream *rs, const struct iovec *iov, bool eor);
/* Nothing more to post in this turn: see that what is waited for will be told as complete. */
void nmti_rma_settle(struct rma_stream *rs);
void nmti_rma_tx_rewind(struct rma_stream *rs); /* to where the window stands in a new epoch */

/* rma_rx.c */
void nmti_rma_refill(struct rma_stream *rs);   /* memory for the bytes to come */
int nmti_rma_announce(struct rma_stream *rs);  /* all regions, in a new epoch; -ENOMEM */
void nmti_rma_keys_close(struct rma_stream *rs); /* the peer can write nothing of it any more */
void nmti_rma_rx_news(struct rma_stream *rs);  /* runs arrived, or segments came back */
/* A run with bytes arrived. True: the application was told, if need be, and that was all to do. */
bool nmti_rma_rx_bytes(struct rma_stream *rs);
void nmti_rma_rx_discard(struct rma_stream *rs);
/* The next piece with bytes, or an end; of it USED bytes are gone already. */
bool nmti_rma_piece(struct rma_stream *rs, struct nmti_piece *p);
void nmti_rma_use(struct rma_stream *rs, const struct nmti_piece *p, uint32_t n);
int nmti_rma_piece_move(struct rma_stream *rs, const struct nmti_piece *p, struct nmt_mr *mr,
			uint64_t offset, uint32_t n);
ssize_t nmti_rma_recv(struct nmt_stream *s, const struct iovec *iov, int n, int flags,
		      int *out_flags);
int nmti_rma_recv_frags(struct nmt_stream *s, struct nmt_frag *frags, int max);
int nmti_rma_release(struct nmt_stream *s, const struct nmt_frag *frags, int n);
void nmti_rma_rx_free(struct rma_stream *rs);

/* rma_post.c */
int nmti_rma_recv_into(struct nmt_stream *s, struct nmt_mr *mr, uint64_t offset, size_t len,
		       int flags, uint64_t cookie);
int nmti_rma_recv_cancel(struct nmt_stream *s, uint64_t cookie);
bool nmti_rma_posts_run(struct rma_stream *rs, uint32_t budget); /* pool mode: gather */
void nmti_rma_post_back(struct rma_stream *rs, uint64_t cookie); /* no one writes to it */
void nmti_rma_posts_take(struct rma_stream *rs);  /* posted mode: what arrived in place */
void nmti_rma_posts_cancel(struct rma_stream *rs); /* ask for all of them back */
void nmti_rma_posts_end(struct rma_stream *rs, int status);
int nmti_rma_posts_reap(struct nmt_stream *s, struct nmt_event *ev, int max);
void nmti_rma_posts_free(struct rma_stream *rs);
int nmti_rma_posts_announce(struct rma_stream *rs);
void nmti_rma_posts_close(struct rma_stream *rs); /* keys_close, of posted memory */
int nmti_rma_posts_reopen(struct rma_stream *rs);

#endif
