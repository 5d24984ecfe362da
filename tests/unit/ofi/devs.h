/* SPDX-License-Identifier: BSD-2-Clause */
/* For tests of the ops of provider ofi: two domains with a device each, polled by the test. */
#ifndef TESTS_UNIT_OFI_DEVS_H
#define TESTS_UNIT_OFI_DEVS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "ofi.h"
#include "rma/rma_int.h"

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define MS INT64_C(1000000)

struct side {
	struct nmt_ctx *ctx;
	struct nmt_domain *dom;
	struct nmti_rma_dev *dev;
	struct nmti_rma_ep *ep;
	unsigned int seen; /* bits by enum nmti_rma_event */
	uint32_t imms;     /* how many IMM */
	uint32_t imm, len; /* of the last one */
	int status;        /* of FAILED */
	struct nmti_rma_ep *failed;
	char text[256];
	char logged[4096];
};

static inline void side_log(void *arg, enum nmt_log_level level, const char *text)
{
	struct side *s = arg;

	(void)level;
	strncat(s->logged, text, sizeof(s->logged) - strlen(s->logged) - 1);
}

static inline void side_open(struct side *s, const char *spec)
{
	struct nmt_ctx_attr attr = NMT_CTX_ATTR_INIT;

	memset(s, 0, sizeof(*s));
	attr.log = side_log;
	attr.log_arg = s;
	attr.log_level = NMT_LOG_INFO + 1;
	assert_int_equal(nmt_ctx_open(&attr, &s->ctx), 0);
	assert_int_equal(nmt_domain_open(s->ctx, spec, NULL, &s->dom), 0);
	s->dev = ((struct rma_dom *)s->dom->pd[0].priv)->dev[0].dev;
}

static inline void side_close(struct side *s)
{
	assert_int_equal(nmt_domain_close(s->dom), 0);
	assert_int_equal(nmt_ctx_close(s->ctx), 0);
}

/* The engine knows nothing of the test's endpoints: they are polled here, timers run in the domain. */
static inline void side_poll(struct side *s)
{
	struct nmti_rma_wc wc[16];
	int n;

	if (s->dev->eq)
		nmti_ofi_eq_read(s->dev);
	n = nmti_ofi_ops.poll(s->dev, wc, ARRAY_LEN(wc));
	for (int i = 0; i < n; i++) {
		s->seen |= 1u << wc[i].event;
		if (wc[i].event == NMTI_RMA_IMM) {
			s->imms++;
			s->imm = wc[i].imm;
			s->len = wc[i].len;
		} else if (wc[i].event == NMTI_RMA_FAILED) {
			s->status = wc[i].status;
			s->failed = wc[i].ep;
			snprintf(s->text, sizeof(s->text), "%s", wc[i].text);
		}
	}
}

static inline bool side_saw(const struct side *s, enum nmti_rma_event event)
{
	return s->seen & 1u << event;
}

/* Poll both until A saw EVENT, or for LIMIT; B may be NULL. */
static inline bool sides_until(struct side *a, struct side *b, enum nmti_rma_event event,
			       int64_t limit)
{
	int64_t end = nmti_now() + limit;

	while (!side_saw(a, event) && nmti_now() < end) {
		side_poll(a);
		if (b)
			side_poll(b);
		nmti_timers_run(a->dom);
	}
	return side_saw(a, event);
}

static inline struct nmti_rma_ep_attr side_attr(const uint8_t token[NMTI_RMA_TOKEN])
{
	return (struct nmti_rma_ep_attr){ .run_slots = 16, .ctrl_slots = 8, .ctrl_max = 64,
					  .send_depth = 16, .token = token };
}

static const uint8_t side_token[NMTI_RMA_TOKEN] = { 7, 1, 4 };

/* An endpoint of A connected to one of B. */
static inline void sides_connect(struct side *a, struct side *b,
				 const struct nmti_rma_ep_attr *of_a,
				 const struct nmti_rma_ep_attr *of_b)
{
	uint8_t blob[NMTI_RMA_BLOB_MAX];
	int len = nmti_ofi_ops.address(b->dev, blob, sizeof(blob));

	assert_true(len > 0);
	a->seen = b->seen = 0;
	assert_int_equal(nmti_ofi_ops.expect(b->dev, of_b, &b->ep), 0);
	assert_int_equal(nmti_ofi_ops.connect(a->dev, of_a, blob, (uint32_t)len, &a->ep), 0);
	assert_true(sides_until(a, b, NMTI_RMA_CONNECTED, 5000 * MS));
	assert_true(sides_until(b, a, NMTI_RMA_CONNECTED, 5000 * MS));
}

/* A device each, and an endpoint of A connected to one of B. */
static inline void sides_join(struct side *a, struct side *b, const char *spec)
{
	struct nmti_rma_ep_attr attr = side_attr(side_token);

	side_open(a, spec);
	side_open(b, spec);
	sides_connect(a, b, &attr, &attr);
}

static inline void side_leave(struct side *s)
{
	nmti_ofi_ops.destroy(s->ep);
	side_close(s);
}

/* ---- writes ---- */

#define MEMORY 65536u

struct memory {
	struct nmt_mr *mr;
	struct nmti_rma_reg reg;
};

static inline uint8_t *memory_new(struct side *s, bool remote, struct memory *m)
{
	const char *why;

	assert_int_equal(nmt_mr_alloc(s->ctx, NMT_MEM_HOST, MEMORY, NMT_ACCESS_ALL, &m->mr), 0);
	assert_int_equal(nmti_ofi_ops.reg(s->dev, m->mr, 0, MEMORY, remote, &m->reg, &why), 0);
	return nmt_mr_addr(m->mr);
}

static inline void memory_free(struct side *s, struct memory *m)
{
	nmti_ofi_ops.dereg(s->dev, &m->reg);
	assert_int_equal(nmt_mr_close(m->mr), 0);
}

static inline void write_one(struct nmti_rma_ep *ep, const struct memory *from,
			     const struct memory *to, uint32_t len)
{
	struct nmti_rma_local local = { .addr = nmt_mr_addr(from->mr), .reg = &from->reg,
					.len = len };
	uint64_t number;

	assert_int_equal(nmti_ofi_ops.write(ep, &local, to->reg.base, to->reg.key, 1,
					    NMTI_RMA_SIGNAL, &number), 0);
}

#endif
