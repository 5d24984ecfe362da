/* SPDX-License-Identifier: BSD-2-Clause */
/* Inside of the simulated fabric, for sim*.c. One lock guards all of it. */
#ifndef TESTS_SIM_INT_H
#define TESTS_SIM_INT_H

#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "rma/rma.h"
#include "sim.h"

struct sim_profile {
	const char *name;
	uint32_t send_depth, recv_slots, inline_max;
	uint8_t stripe_log2;
	int64_t delay;      /* longest, ns */
	uint32_t reg_fails; /* one in so many; 0: none */
	bool shared;        /* one endpoint for all: writes in any order, and behind a fence */
	uint32_t write_max; /* bytes */
};

struct sim_reg {
	struct sim_reg *next;
	struct nmt_mr *mr;
	uint64_t offset, len, base, key;
	bool remote;
};

/* A request on its way. */
struct sim_item {
	struct sim_item *next;
	uint64_t number, remote, key;
	const void *addr;        /* of the sender; NULL: DATA */
	uint32_t len, imm;
	int64_t due, ack_due;
	bool message, empty, signal, delivered;
	uint8_t data[];
};

/* FENCING: what was under way may still happen, until DRAINED is told. */
enum sim_state { SIM_WAITS, SIM_UP, SIM_BROKEN, SIM_FENCING, SIM_FENCED };

struct nmti_rma_ep {
	struct nmti_rma_ep *next;  /* of the device */
	struct nmti_rma_ep *other; /* of the fabric, while it waits for its peer */
	struct nmti_rma_dev *dev;
	struct nmti_rma_ep *peer;
	struct nmti_rma_ep_attr attr;
	uint8_t token[NMTI_RMA_TOKEN];
	bool server, starved;
	uint32_t net;              /* that it connects, or is connected to, on */
	enum sim_state state;
	struct sim_item *head, *tail; /* own requests that are not acknowledged */
	struct sim_item *held;        /* the first one that the doorbell was not rung for */
	uint64_t number;              /* of the last request */
	uint64_t acked, queued, told; /* acknowledged; in the completion queue; polled */
	int64_t last_due;             /* of what keeps its order */
	uint32_t imms, messages;      /* receives that arrivals have */
	uint32_t took_imms, took_messages; /* of these, polled: free when they are posted again */
	/* Once either end is not UP any more: the peer's last request that still comes. */
	bool cut;
	uint64_t last_in, torn;       /* torn: of this one the bytes come, and no word of it */
	int64_t drained_at;
};

struct sim_cqe {
	struct nmti_rma_wc wc;
	uint8_t data[256];
};

struct nmti_rma_dev {
	struct nmti_rma_dev *next;
	struct nmt_pdomain *pd;
	const struct sim_profile *profile;
	uint32_t net;                 /* number of the profile */
	int lost;                     /* 0; for good: -ENODEV, -ENETDOWN; -ETIMEDOUT: it says nothing */
	struct nmti_source src;       /* eventfd */
	struct nmti_timer timer;
	struct nmti_rma_ep *eps;
	struct sim_reg *regs;
	struct sim_cqe *cq;
	uint32_t head, tail, cap;
	uint8_t (*told)[256];         /* messages of the last poll */
	bool armed;
};

struct sim_fabric {
	pthread_mutex_t lock;
	struct nmti_rma_ep *waiting;
	struct nmti_rma_dev *devs;
	struct sim_knobs knobs;
	struct sim_counts counts;
	uint64_t rng, lose_at, call_at, keys;
};
extern struct sim_fabric sim;

void sim_violation(const char *what);
uint64_t sim_random(void);
/* A completion for the endpoint's device. */
struct sim_cqe *sim_complete(struct nmti_rma_ep *ep, uint8_t event);
void sim_wake(struct nmti_rma_dev *dev);
void sim_break(struct nmti_rma_ep *ep, bool here);
void sim_wait_no_more(struct nmti_rma_ep *ep);
/* Stop both directions; what happens yet has happened when sim_run() tells DRAINED. */
void sim_stop(struct nmti_rma_ep *ep);
/* Deliver what is due at DEV and acknowledge what was. When there is more to do; INT64_MAX: never. */
int64_t sim_run(struct nmti_rma_dev *dev, int64_t now);
void sim_drop_items(struct nmti_rma_ep *ep);

const struct sim_reg *sim_target(const struct nmti_rma_dev *dev, uint64_t remote, uint64_t key,
				 uint32_t len);

/* sim_stray.c */
void sim_strays_land(struct nmti_rma_ep *ep); /* what is under way to EP, at the last moment */
/* How long EP waits for its peer to stop; 0: no longer. */
int64_t sim_strays_until(const struct nmti_rma_ep *ep, int64_t now);
void sim_strays_check(const struct nmti_rma_ep *ep); /* before it is destroyed */

/* sim_dev.c */
uint32_t sim_fit(const void *server, uint32_t slen, const void *client, uint32_t clen);
int sim_status(const struct nmti_rma_dev *dev);
void sim_refuse(struct nmti_rma_ep *ep);
void sim_dev_lose(struct nmti_rma_ep *ep); /* what the endpoint goes over, as the knobs say */

int sim_write(struct nmti_rma_ep *ep, const struct nmti_rma_local *from, uint64_t remote,
	      uint64_t key, uint32_t imm, uint32_t flags, uint64_t *number);
int sim_send(struct nmti_rma_ep *ep, const void *msg, uint32_t len, uint32_t flags,
	     uint64_t *number);
int sim_ask(struct nmti_rma_ep *ep, uint64_t *number);
void sim_kick(struct nmti_rma_ep *ep);

#endif
