/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Many streams between two processes. What every stream carries and how it ends follows from the
 * seed and its number, so each side knows what it must see from the other (the model).
 */
#ifndef SCALE_H
#define SCALE_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <nmt/nmt.h>
#include <xxhash.h>

#define MS INT64_C(1000000)
#define SEC INT64_C(1000000000)
#define CHUNK 4096u   /* most bytes of one send */
#define HEAD 8u       /* the client's first bytes: the number of the stream */
#define DIGEST 8u     /* the last bytes of each direction: XXH3 of all before */

struct options {
	const char *provider, *listen, *host;
	enum nmt_mode mode;
	bool records, storm;
	unsigned int streams; /* open at the same time */
	unsigned int seconds; /* storm: how long new streams are opened */
	bool objects;         /* crowd: queue pairs and registrations are counted */
	uint64_t memory_max;  /* crowd: bytes of library memory of an idle stream; 0: any */
	uint64_t seed;
};

enum fate {
	FATE_NORMAL,
	FATE_CLOSE, /* one side closes in order in the middle of its bytes */
	FATE_ABORT, /* one side aborts in the middle */
};

struct plan {
	enum fate fate;
	bool by_client;     /* who closes or aborts */
	uint64_t at;        /* after how many bytes of that side */
	uint64_t len[2];    /* bytes of client and of server, with head and digest */
	unsigned int send;  /* 0: copy; 1: borrow */
	unsigned int recv;  /* 0: copy; 1: loans */
};

void plan_make(const struct options *opt, uint64_t id, struct plan *plan);
/* Payload of one side of a stream. */
void plan_bytes(const struct options *opt, uint64_t id, bool client, uint64_t pos, void *buf,
		size_t len);

/* One stream on one side. */
struct conn {
	struct conn *next, **prev; /* list of those that have something to send */
	struct conn *next_open, **prev_open;
	struct side *side;
	struct nmt_stream *s;  /* NULL after close or abort */
	uint64_t id;
	bool known;            /* server: the number has arrived */
	struct plan plan;
	uint8_t head[HEAD];
	XXH3_state_t *tx_sum, *rx_sum;
	uint64_t tx, rx;       /* bytes so far */
	uint8_t tail[DIGEST];  /* the last bytes received */
	uint32_t slot;         /* of borrowed memory */
	bool connected, borrowing, tx_over, tx_failed, rx_over, ended, closed;
	int rx_status;         /* 0: end of the stream, else the error */
	int closed_status;
};

/* One process. */
struct side {
	const struct options *opt;
	bool client;
	struct nmt_ctx *ctx;
	struct nmt_domain *dom;
	struct nmt_mr *slots;
	uint32_t *free_slot, nfree;
	struct conn *sending;  /* list */
	struct conn *conns;    /* list of those that are not closed */
	unsigned int open;     /* connections that are not closed */
	uint64_t finished, odd, bytes, wrong;
	int fds;               /* open before */
	unsigned int regs;     /* registrations before, with opt->objects */
	int (*on_event)(struct side *side, const struct nmt_event *ev);
};

/* Set up and tear down; the latter checks that everything was given back. Negative errno. */
int side_open(struct side *side, const struct options *opt, bool client, unsigned int slots);
int side_close(struct side *side);
/* Give events to the connections and let some of them send. TIMEOUT in ns. */
int side_turn(struct side *side, int64_t timeout);
void side_fail(struct side *side, uint64_t id, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
struct nmt_stream_attr side_attr(const struct side *side);
/* How many objects of a KIND ("qp", "mr") the kernel knows of this process, by the program rdma. */
unsigned int side_objects(const char *kind);
/* Time is over: say of the streams that are open what they wait for. */
void side_stuck(struct side *side);
int64_t now_ns(void);

struct conn *conn_new(struct side *side, uint64_t id);
void conn_event(struct conn *c, const struct nmt_event *ev);
void conn_start(struct conn *c); /* connected and allowed to send */
void conn_free(struct conn *c);
/* Compare what a closed connection saw with the model. */
void verdict(struct conn *c);

int client_run(const struct options *opt, const char *addr);
int server_run(const struct options *opt, int addr_fd, int end_fd);

#endif
