/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The messages of libnmt/rma/wire.h behind one interface, for tests that do the same to each.
 */
#ifndef TESTS_RMAMSG_H
#define TESTS_RMAMSG_H

#include "codec.h"
#include "rma/wire.h"

/* What a completion tells; as bytes: the immediate, then the length. */
struct rma_run {
	struct nmti_imm imm;
	uint32_t len;
};
#define RMA_RUN_LEN 8

/* A control message on its own: the entries are here, not in the bytes that it came from. */
struct rma_ctrl {
	struct nmti_ctrl head;
	struct nmti_grant grants[NMTI_CTRL_MAX / NMTI_GRANT_LEN];
};

/* The devices of an address blob, with the provider's bytes here. */
struct rma_addrs {
	struct nmti_rma_addrs head;
	uint8_t bytes[NMTI_RMA_DEVS_MAX][UINT8_MAX];
};
#define RMA_ADDRS_LEN (NMTI_RMA_DEVS_MAX * (NMTI_RMA_ADDR_HEAD + UINT8_MAX))

union msg {
	struct nmti_rma_setup setup;
	struct rma_addrs addrs;
	struct rma_run run;
	struct rma_ctrl ctrl;
};

static inline int decode_setup(const void *buf, size_t len, union msg *m)
{
	memset(m, 0, sizeof(*m));
	return nmti_rma_setup_decode(buf, len, &m->setup);
}

static inline int encode_setup(const union msg *m, void *buf, size_t cap)
{
	return nmti_rma_setup_encode(&m->setup, buf, cap);
}

static inline int decode_addrs(const void *buf, size_t len, union msg *m)
{
	struct nmti_rma_addrs *a = &m->addrs.head;
	int err;

	memset(m, 0, sizeof(*m));
	err = nmti_rma_addrs_decode(buf, len, a);
	for (uint32_t i = 0; !err && i < a->n; i++) {
		memcpy(m->addrs.bytes[i], a->at[i].bytes, a->at[i].len);
		a->at[i].bytes = NULL;
	}
	return err;
}

static inline int encode_addrs(const union msg *m, void *buf, size_t cap)
{
	struct nmti_rma_addrs a = m->addrs.head;

	for (uint32_t i = 0; i < NMTI_RMA_DEVS_MAX; i++)
		a.at[i].bytes = m->addrs.bytes[i];
	return nmti_rma_addrs_encode(&a, buf, cap);
}

static inline uint32_t run_word(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static inline int decode_run(const void *buf, size_t len, union msg *m)
{
	const uint8_t *p = buf;

	if (len != RMA_RUN_LEN)
		return -EPROTO;
	memset(m, 0, sizeof(*m));
	m->run.len = run_word(p + 4);
	return nmti_imm_decode(run_word(p), m->run.len, &m->run.imm);
}

static inline int encode_run(const union msg *m, void *buf, size_t cap)
{
	uint64_t v = (uint64_t)nmti_imm_encode(&m->run.imm) << 32 | m->run.len;
	uint8_t *p = buf;

	if (cap < RMA_RUN_LEN)
		return -ENOSPC;
	for (int i = 0; i < RMA_RUN_LEN; i++)
		p[i] = (uint8_t)(v >> (56 - 8 * i));
	return RMA_RUN_LEN;
}

static inline int decode_ctrl(const void *buf, size_t len, union msg *m)
{
	struct nmti_ctrl *c = &m->ctrl.head;
	int err;

	memset(m, 0, sizeof(*m));
	err = nmti_ctrl_decode(buf, len, c);
	if (err)
		return err;
	for (uint32_t i = 0; i < c->count; i++)
		nmti_ctrl_grant(c, i, &m->ctrl.grants[i]);
	c->entries = NULL;
	return 0;
}

static inline int encode_ctrl(const union msg *m, void *buf, size_t cap)
{
	return nmti_ctrl_encode(&m->ctrl.head, m->ctrl.grants, buf, cap);
}

static const struct codec codec_setup = {
	"setup", sizeof(struct nmti_rma_setup), decode_setup, encode_setup
};
static const struct codec codec_addrs = {
	"addrs", sizeof(struct rma_addrs), decode_addrs, encode_addrs
};
static const struct codec codec_run = { "run", sizeof(struct rma_run), decode_run, encode_run };
static const struct codec codec_ctrl = {
	"ctrl", sizeof(struct rma_ctrl), decode_ctrl, encode_ctrl
};

#endif
