/* SPDX-License-Identifier: BSD-2-Clause */
/* The attacker on the engine's wire; see rma_foe.h. */
#include "rma_foe.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct nmt_ctx *world;
static struct nmt_domain *place; /* no more than a home for the device's descriptor */

int rfoe_add(struct nmt_ctx *ctx)
{
	return sim_add(ctx);
}

int rfoe_world_open(void **state)
{
	struct nmt_ctx_attr attr = NMT_CTX_ATTR_INIT;

	(void)state;
	attr.log_level = NMT_LOG_NONE + 1;
	if (nmt_ctx_open(&attr, &world) || sim_add(world))
		return -1;
	return nmt_domain_open(world, "tcp", NULL, &place);
}

int rfoe_world_close(void **state)
{
	(void)state;
	nmt_domain_close(place);
	return nmt_ctx_close(world);
}

static const struct nmti_rma_ops *ops(void)
{
	return nmti_provider_find(world, "sim")->rma;
}

/* ---- life ------------------------------------------------------------------------------------ */

static void own_memory(struct rfoe *x)
{
	const char *why;

	x->pd = (struct nmt_pdomain){ .dom = place, .ctx = world,
				      .ops = nmti_provider_find(world, "sim") };
	assert_int_equal(ops()->open(&x->pd, "", &x->lim, &x->dev), 0);
	assert_int_equal(nmt_mr_alloc(world, NMT_MEM_HOST, RFOE_MEM, NMT_ACCESS_ALL, &x->mr), 0);
	assert_int_equal(ops()->reg(x->dev, x->mr, 0, RFOE_MEM, true, &x->reg, &why), 0);
}

void rfoe_init(struct rig *r, struct rfoe *x, bool server)
{
	memset(x, 0, sizeof(*x));
	foe_init(&x->f);
	x->f.provider = "sim";
	x->server = server;
	x->f.victim.reading = !server || r->recv_mode == NMT_RECV_POOL;
	x->nrails = (uint8_t)(r->rails ? r->rails : 1);
	x->own = (struct nmti_rma_setup){ .stripe_log2 = x->nrails > 1 ? 12 : 30,
					  .rails = x->nrails, .slots = 64, .ctrl_slots = 16,
					  .ctrl_max = 256, .segments = 16 };
	own_memory(x);
}

static void drop_rails(struct rfoe *x)
{
	for (uint8_t i = 0; i < RFOE_RAILS; i++) {
		if (x->ep[i])
			ops()->destroy(x->ep[i]);
		x->ep[i] = NULL;
	}
	x->up = x->drained = 0;
}

void rfoe_close(struct rig *r, struct rfoe *x)
{
	drop_rails(x);
	if (x->f.victim.stream) {
		assert_int_equal(nmt_abort(x->f.victim.stream), 0);
		x->f.victim.stream = NULL;
		assert_true(rig_until(r, &x->f.victim.closed, REACT_MS));
	}
	foe_close(&x->f);
	ops()->dereg(x->dev, &x->reg);
	ops()->close(x->dev);
	assert_int_equal(nmt_mr_close(x->mr), 0);
}

/* ---- what comes on the rails ----------------------------------------------------------------- */

static void take_grants(struct rfoe *x, const struct nmti_ctrl *m)
{
	struct nmti_grant g;

	for (uint32_t i = 0; i < m->count; i++) {
		nmti_ctrl_grant(m, i, &g);
		for (uint32_t k = 0; k < g.repeat; k++, x->segs++)
			x->seg[x->segs % RFOE_SEGS] = (struct rfoe_seg){
				g.region, g.offset + k * g.length, g.length };
	}
}

static void take_message(struct rfoe *x, const struct nmti_rma_wc *wc)
{
	struct nmti_ctrl m;

	assert_int_equal(nmti_ctrl_decode(wc->data, wc->len, &m), 0);
	x->messages++;
	x->last = m;
	if (m.type == NMTI_CTRL_REGION && m.region.id < 256 && m.region.rail < RFOE_RAILS)
		x->region[m.region.rail][m.region.id] = m.region;
	else if (m.type == NMTI_CTRL_GRANT)
		take_grants(x, &m);
}

static void take(struct rfoe *x, const struct nmti_rma_wc *wc)
{
	switch (wc->event) {
	case NMTI_RMA_CONNECTED:
		x->up++;
		break;
	case NMTI_RMA_MESSAGE:
		take_message(x, wc);
		break;
	case NMTI_RMA_IMM:
		x->arrived++;
		x->bytes += wc->len;
		break;
	case NMTI_RMA_DRAINED:
		x->drained++;
		break;
	case NMTI_RMA_FAILED:
		x->failed = true;
		break;
	default:
		break;
	}
}

void rfoe_turn(struct rig *r, struct rfoe *x)
{
	struct nmti_rma_wc wc[16];
	int n = ops()->poll(x->dev, wc, ARRAY_SIZE(wc));

	for (int i = 0; i < n; i++)
		take(x, &wc[i]);
	rig_turn(r);
}

void rfoe_run_turns(struct rig *r, struct rfoe *x, int n)
{
	while (n--)
		rfoe_turn(r, x);
}

/* ---- the handshake --------------------------------------------------------------------------- */

void rfoe_patch(uint8_t *buf, uint8_t at, uint8_t width, uint64_t value)
{
	for (int k = 0; k < width; k++)
		buf[at + k] = (uint8_t)(value >> 8 * (width - 1 - k));
}

static uint16_t put_blob(const struct rfoe *x, uint8_t *blob)
{
	assert_int_equal(nmti_rma_setup_encode(&x->own, blob, NMTI_BLOB_MAX), NMTI_RMA_SETUP_LEN);
	rfoe_patch(blob, x->blob_at, x->blob_width, x->blob_value);
	memcpy(blob + NMTI_RMA_SETUP_LEN, SIM_ADDRS, sizeof(SIM_ADDRS));
	return (uint16_t)(NMTI_RMA_SETUP_LEN + sizeof(SIM_ADDRS) - x->blob_cut);
}

static void bring_up(struct rfoe *x)
{
	struct nmti_rma_ep_attr attr = {
		.run_slots = x->own.slots, .ctrl_slots = x->own.ctrl_slots, .ctrl_max = 256,
		.send_depth = x->lim.send_depth, .epoch = x->epoch, .token = x->f.select.token,
	};

	for (attr.rail = 0; attr.rail < x->nrails; attr.rail++)
		assert_int_equal(x->server ? ops()->expect(x->dev, &attr, &x->ep[attr.rail])
					   : ops()->connect(x->dev, &attr, SIM_ADDR, SIM_BLOB,
							    &x->ep[attr.rail]), 0);
}

static void say_hello(struct rig *r, struct rfoe *x)
{
	struct nmti_offer *o = &x->f.hello.offer[0];
	uint8_t buf[NMTI_MAGIC_LEN + NMTI_MSG_MAX];

	snprintf(o->name, sizeof(o->name), "sim");
	o->rails = x->nrails;
	o->blob_len = put_blob(x, o->blob);
	x->f.hello.features = r->flags & NMT_STREAM_RECORDS ? NMTI_FEAT_RECORDS : 0;
	x->f.hello.recv_mode = x->recv_mode;
	x->f.ctl = foe_dial(r, foe_port(r->addr));
	assert_null(r->accept_into);
	r->accept_into = &x->f.victim;
	foe_send(x->f.ctl, buf, foe_hello_bytes(&x->f, buf, sizeof(buf)));
}

/* Whether the victim takes it. */
static bool as_client(struct rig *r, struct rfoe *x)
{
	struct nmti_select *m = &x->f.select;

	say_hello(r, x);
	if (foe_next(r, &x->f, REACT_MS) != NMTI_MSG_SELECT)
		return false;
	assert_int_equal(nmti_select_decode(x->f.msg, x->f.msg_len, m), 0);
	assert_int_equal(nmti_select_check(m, &x->f.hello), 0);
	assert_int_equal(nmti_rma_setup_decode(m->blob, m->blob_len, &x->peer), 0);
	assert_int_equal(m->rails, x->nrails);
	bring_up(x);
	return true;
}

static void as_server(struct rig *r, struct rfoe *x)
{
	struct nmti_select *m = &x->f.select;
	uint8_t buf[NMTI_MSG_MAX];
	const struct nmti_offer *o;

	foe_called(r, &x->f);
	o = &x->f.hello.offer[m->offer];
	assert_int_equal(nmti_rma_setup_decode(o->blob, o->blob_len, &x->peer), 0);
	m->rails = x->nrails;
	m->blob_len = put_blob(x, m->blob);
	bring_up(x);
	foe_send(x->f.ctl, buf, (size_t)nmti_select_encode(m, buf, sizeof(buf)));
}

static void open_memory(struct rfoe *x)
{
	struct nmti_grant g = rfoe_grant(1, 0, 4096);

	for (uint8_t i = 0; i < x->nrails; i++)
		rfoe_region(x, 0, i, x->reg.base, RFOE_MEM, x->reg.key);
	rfoe_send_grant(x, &g);
}

static bool all_up(struct rig *r, struct rfoe *x)
{
	int64_t end = rig_now() + REACT_MS * MS;

	while (x->up < x->nrails && !x->f.victim.error && rig_now() < end)
		rfoe_turn(r, x);
	return x->up == x->nrails;
}

void rfoe_try(struct rig *r, struct rfoe *x)
{
	bool taken = true;

	if (x->server)
		as_server(r, x);
	else
		taken = as_client(r, x);
	if (!taken || !all_up(r, x))
		return;
	open_memory(x);
	if (x->server) /* the server confirms first */
		foe_send_confirm(&x->f, 0);
	foe_expect_confirm(r, &x->f);
	if (!x->server)
		foe_send_confirm(&x->f, 0);
	rig_until(r, &x->f.victim.connected, REACT_MS);
	rfoe_run_turns(r, x, 2);
}

void rfoe_open(struct rig *r, struct rfoe *x)
{
	rfoe_try(r, x);
	assert_true(x->f.victim.connected);
}

/* ---- control messages ------------------------------------------------------------------------ */

struct nmti_ctrl rfoe_ctrl(const struct rfoe *x, uint8_t type)
{
	struct nmti_ctrl m = { .type = type, .epoch = x->epoch, .nrails = x->nrails,
			       .ctrl_credit = x->messages };

	return m;
}

struct nmti_grant rfoe_grant(uint32_t n, uint64_t offset, uint64_t len)
{
	return (struct nmti_grant){ .repeat = n, .offset = offset, .length = len };
}

void rfoe_raw(struct rfoe *x, uint8_t rail, const void *msg, uint32_t len)
{
	uint64_t number;

	if (!x->failed)
		assert_int_equal(ops()->send(x->ep[rail], msg, len, NMTI_RMA_SIGNAL, &number), 0);
	x->told++;
}

void rfoe_send(struct rfoe *x, const struct nmti_ctrl *m, const struct nmti_grant *g)
{
	uint8_t buf[NMTI_CTRL_MAX];
	int n = nmti_ctrl_encode(m, g, buf, sizeof(buf));

	assert_true(n > 0);
	rfoe_raw(x, 0, buf, (uint32_t)n);
}

void rfoe_send_grant(struct rfoe *x, const struct nmti_grant *g)
{
	struct nmti_ctrl m = rfoe_ctrl(x, NMTI_CTRL_GRANT);

	m.count = 1;
	m.index = x->next_grant;
	x->next_grant += g->repeat;
	rfoe_send(x, &m, g);
}

void rfoe_region(struct rfoe *x, uint16_t id, uint8_t rail, uint64_t base, uint64_t len,
		 uint64_t key)
{
	struct nmti_ctrl m = rfoe_ctrl(x, NMTI_CTRL_REGION);

	m.region = (struct nmti_region){ id, rail, base, len, key };
	rfoe_send(x, &m, NULL);
}

/* ---- runs ------------------------------------------------------------------------------------ */

uint32_t rfoe_imm(const struct rfoe *x, uint8_t type, bool eor)
{
	struct nmti_imm m = { .type = type, .eor = eor, .epoch = x->epoch,
			      .seq = x->seq & NMTI_SEQ_MASK };

	return nmti_imm_encode(&m);
}

/* The victim is granted the first half. */
static uint8_t *source(const struct rfoe *x)
{
	return (uint8_t *)nmt_mr_addr(x->mr) + RFOE_MEM / 2;
}

bool rfoe_write(struct rfoe *x, uint8_t rail, uint32_t imm, uint32_t len, uint64_t remote,
		uint64_t key)
{
	struct nmti_rma_local from = { .addr = source(x), .reg = &x->reg, .offset = RFOE_MEM / 2,
				       .len = len };
	uint64_t number;

	if (x->failed)
		return false;
	assert_int_equal(ops()->write(x->ep[rail], &from, remote, key, imm, NMTI_RMA_SIGNAL,
				      &number), 0);
	x->seq++;
	x->runs++;
	return true;
}

void rfoe_imm_run(struct rfoe *x, uint32_t imm, uint32_t len)
{
	const struct nmti_region *to = &x->region[0][x->seg[0].region];

	rfoe_write(x, 0, imm, len, to->base, to->key);
}

void rfoe_put(struct rig *r, struct rfoe *x, uint32_t len)
{
	const struct rfoe_seg *s = &x->seg[x->seg_at % RFOE_SEGS];
	const struct nmti_region *to = &x->region[0][s->region];
	uint8_t *p = source(x);

	assert_true(x->seg_at < x->segs && len <= s->len - x->seg_used);
	for (uint32_t i = 0; i < len; i++)
		p[i] = side_byte(x->f.seed, x->f.sent + i);
	rfoe_write(x, 0, rfoe_imm(x, NMTI_RUN_DATA, false), len,
		   to->base + s->offset + x->seg_used, to->key);
	x->f.sent += len;
	x->seg_used += len;
	if (x->seg_used == s->len) {
		x->seg_at++;
		x->seg_used = 0;
	}
	rfoe_run_turns(r, x, 2);
}

/* ---- the next epoch -------------------------------------------------------------------------- */

struct nmti_resume rfoe_resume(const struct rfoe *x)
{
	struct nmti_resume m = { .epoch = (uint8_t)(x->epoch + 1), .rails = x->nrails,
				 .slots = x->own.slots, .offset = x->bytes, .segment = 0 };

	m.blob_len = put_blob(x, m.blob);
	return m;
}

void rfoe_send_resume(struct rfoe *x, const struct nmti_resume *m)
{
	uint8_t buf[512];
	int n = nmti_resume_encode(m, buf, sizeof(buf));

	assert_true(n > 0);
	foe_send(x->f.ctl, buf, (size_t)n);
}

void rfoe_send_path_down(struct rfoe *x, uint8_t epoch)
{
	struct nmti_path_down m = { .epoch = epoch, .reason = NMT_WHY_PATH };
	uint8_t buf[64];

	foe_send(x->f.ctl, buf, (size_t)nmti_path_down_encode(&m, buf, sizeof(buf)));
}

void rfoe_next_epoch(struct rig *r, struct rfoe *x, const struct nmti_resume *m)
{
	int64_t end = rig_now() + REACT_MS * MS;
	struct nmti_resume peer;
	int type;

	do {
		rfoe_turn(r, x);
		type = foe_next(r, &x->f, REACT_MS);
		assert_true(type == NMTI_MSG_RESUME || type == NMTI_MSG_PATH_DOWN);
	} while ((type != NMTI_MSG_RESUME ||
		  nmti_resume_decode(x->f.msg, x->f.msg_len, &peer) ||
		  peer.epoch != m->epoch) && rig_now() < end);
	drop_rails(x);
	x->epoch = m->epoch;
	x->failed = false;
	x->seq = x->runs = x->messages = x->arrived = 0;
	x->segs = x->seg_at = x->seg_used = 0;
	x->next_grant = m->segment;
	x->f.sent = peer.offset;
	bring_up(x);
	assert_true(all_up(r, x));
	open_memory(x);
	rfoe_run_turns(r, x, 4);
}

/* ---- verdicts -------------------------------------------------------------------------------- */

static int error_of(struct rig *r, struct rfoe *x)
{
	int64_t end = rig_now() + REACT_MS * MS;

	while (!x->f.victim.error && rig_now() < end)
		rfoe_turn(r, x);
	return x->f.victim.error;
}

void rfoe_expect_malformed(struct rig *r, struct rfoe *x)
{
	struct nmti_abort m;
	int type;

	assert_int_equal(error_of(r, x), -ECONNRESET);
	do
		type = foe_next(r, &x->f, REACT_MS);
	while (type == NMTI_MSG_RESUME || type == NMTI_MSG_PATH_DOWN);
	assert_int_equal(type, NMTI_MSG_ABORT);
	assert_int_equal(nmti_abort_decode(x->f.msg, x->f.msg_len, &m), 0);
	assert_int_equal(m.reason, NMT_WHY_MALFORMED);
	assert_true(foe_ends(r, x->f.ctl, REACT_MS));
}

void rfoe_expect_alive(struct rig *r, struct rfoe *x)
{
	int64_t end = rig_now() + REACT_MS * MS;

	rfoe_run_turns(r, x, 3);
	assert_int_equal(x->f.victim.error, 0);
	rfoe_put(r, x, 50);
	while (x->f.victim.received < x->f.sent && rig_now() < end)
		rfoe_turn(r, x);
	assert_int_equal(x->f.victim.received, x->f.sent);
	assert_false(x->f.victim.corrupt);
	assert_int_equal(x->f.victim.error, 0);
}

/* ---- cases ----------------------------------------------------------------------------------- */

static void run(struct rig *r, const struct rma_case *c, struct rfoe *x)
{
	struct counts before = rig_counts(r);

	rfoe_init(r, x, c->how & FOE_SERVER);
	x->recv_mode = c->how & FOE_WANTS ? NMT_RECV_POSTED : NMT_RECV_POOL;
	rfoe_open(r, x);
	c->attack(r, x);
	if (c->verdict == MALFORMED)
		rfoe_expect_malformed(r, x);
	if (c->verdict == ALIVE)
		rfoe_expect_alive(r, x);
	pair_move(r, &r->good, MIB / 4);
	rfoe_close(r, x);
	r->accept_into = NULL;
	rig_settle(r, &before);
}

void rma_rig_open(struct rig *r, unsigned int how)
{
	const struct rig_options opt = { .spec = "sim", .add = rfoe_add,
					 .rails = how & FOE_RAILS3 ? 3 : 0,
					 .flags = how & FOE_RECORDS ? NMT_STREAM_RECORDS : 0 };

	sim_set(&(struct sim_knobs){ .seed = 1, .hostile = true });
	rig_open(r, &opt);
	r->recv_mode = (how & FOE_POSTED) == FOE_POSTED ? NMT_RECV_POSTED : NMT_RECV_POOL;
}

void rma_rig_close(struct rig *r)
{
	struct sim_counts c;

	rig_prove(r);
	rig_close(r);
	sim_read(&c);
	assert_int_equal(c.violations, 0);
	assert_int_equal(c.regs, 0);
	assert_int_equal(c.endpoints, 0);
}

void rma_case_run(void **state)
{
	static struct rfoe x;
	static struct rig r;
	const struct rma_case *c = *state;

	rma_rig_open(&r, c->how);
	run(&r, c, &x);
	rma_rig_close(&r);
}

int rma_cases_main(int argc, char **argv, const struct rma_case *cases, size_t n,
		   const struct CMUnitTest *more, size_t nmore)
{
	static struct CMUnitTest tests[256];

	assert_true(n + nmore <= ARRAY_SIZE(tests));
	for (size_t i = 0; i < n; i++)
		tests[i] = rig_test(cases[i].name, rma_case_run, &cases[i]);
	for (size_t i = 0; i < nmore; i++)
		tests[n + i] = more[i];
	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return _cmocka_run_group_tests("hostile", tests, n + nmore, rfoe_world_open,
				       rfoe_world_close);
}
