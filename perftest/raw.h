/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * raw-write: the load of bw, bidir and lat by remote writes with data into a buffer of the peer,
 * with nothing of libnmt's engine: what the adapter and its driver can do. raw_write.c has the loops;
 * below them is libibverbs (raw_verbs*.c) or libfabric (raw_ofi*.c), each with its own ops.
 */
#ifndef PERF_RAW_H
#define PERF_RAW_H

#include "run.h"

#define RAW_CHAIN 16u  /* most messages that are posted together */
#define RAW_SLOTS 512u /* writes that the receiver takes before it has to give credit */
#define RAW_BATCH 32u  /* receives that are posted again together */
#define RAW_RECVS (RAW_SLOTS + 2 * RAW_BATCH) /* with those for credits, and those not yet posted again */
#define RAW_CREDITS 16u /* that may be in the send queue */
#define RAW_BYE_MS 5000

/* The 32 bits that go with a write: what it is, and for words without bytes a count. */
#define RAW_DATA 0u
#define RAW_LAST (UINT32_C(1) << 30)   /* and messages sent before it */
#define RAW_CREDIT (UINT32_C(2) << 30) /* and receives posted again, in all */
#define RAW_COUNT (RAW_LAST - 1)

struct raw {
	struct worker *w;
	const struct raw_ops *ops;
	uint8_t *buf;	      /* what is sent, then the window: what is received into */
	uint64_t window;      /* its bytes; messages go to its places in turn */
	uint64_t place;	      /* of the next one */
	bool takes_recvs;     /* a write with data uses up a receive of the peer */
	bool counts_received; /* progress is what came */
	bool last_came;
	uint32_t last;	      /* what came with it */

	uint64_t posted, done; /* requests */
	uint64_t messages;     /* received */
	uint64_t credit;       /* receives of the peer that our writes may use */
	uint32_t used;	       /* own receives to be posted again */
	uint64_t reposted;     /* in all */
};

struct raw_ops {
	size_t size;   /* of the struct that begins with a struct raw */
	int (*listen)(struct worker *w, uint16_t port);
	int (*accept)(struct worker *w);
	int (*connect)(struct worker *w);
	void (*prepare)(struct raw *r); /* the request of a message; the peer is known */
	void (*close)(struct worker *w);
	void (*bye)(struct worker *w); /* all is sent and received: until the peer knows */

	/* Post N messages; ASK: their completion will be wanted. r->posted counts them already. */
	int (*post)(struct raw *r, uint32_t n, bool ask);
	int (*word)(struct raw *r, uint32_t data);
	/* Take up to MOST completions, by raw_came() and r->done. */
	int (*take)(struct raw *r, int most);
	int (*recvs)(struct raw *r, uint32_t n); /* post so many receives */
	/*
	 * Nothing came for a while. Ask for an event of the next completion, and return, so that what
	 * came before is taken; if that was done, sleep until it or MS are over. NULL: never sleeps.
	 */
	int (*nap)(struct raw *r, int ms);
};
extern const struct raw_ops raw_verbs, raw_ofi;

/* The ops for a provider spec. NULL: not built in, and *WHY is what to install. */
const struct raw_ops *raw_ops_of(const char *spec, const char **why);

/* Take up to MOST completions, and post again what receives they used. */
int raw_take(struct raw *r, int most);
/* Post all receives. */
int raw_post_recvs(struct raw *r);

/* Where the next message goes, from the beginning of the peer's window. */
static inline uint64_t raw_next_place(struct raw *r)
{
	uint64_t at = r->place, size = r->w->run->p.size;

	r->place = at + size < r->window ? at + size : 0;
	return at;
}

/* A write of the peer came. */
static inline void raw_came(struct raw *r, uint32_t data)
{
	r->used += r->takes_recvs;
	if (__builtin_expect(data == RAW_DATA, 1)) {
		r->messages++;
		if (r->counts_received)
			worker_count(r->w, r->w->run->p.size);
	} else if (data & RAW_LAST) {
		r->last_came = true;
		r->last = data & RAW_COUNT;
	} else { /* how many were posted again, modulo 2^30 */
		r->credit += (data + RAW_SLOTS - (uint32_t)r->credit) & RAW_COUNT;
	}
}

/* ---- raw_addr.c ---- */

struct addrinfo;
struct sockaddr;

/* The host of TEXT, which may end with a port, with PORT. NULL text: any address. */
int raw_address(struct worker *w, const char *text, uint16_t port, struct addrinfo **list);
/* The peer, and what to connect from (NULL: anything), both to be given to raw_free_ends. */
int raw_ends(struct worker *w, struct addrinfo **to, struct addrinfo **from);
void raw_free_ends(struct addrinfo *to, struct addrinfo *from);
void raw_print_addr(const struct sockaddr *sa, char out[NMT_ADDR_MAX]);

/* The buffer of r->buf, *LEN bytes of it, and the size of the window. */
int raw_open_buffer(struct worker *w, size_t *len);

#endif
