/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fuzz target of a whole stream of the engine: adapter, window and control channel, over the
 * simulated fabric. The input is a script: the peer writes runs, sends control messages, RESUME,
 * PATH_DOWN and ABORT, good ones, changed ones, and plain bytes, and brings rails up again; the
 * application uses its end in every way there is. Whatever comes: the fabric's rules hold (no access
 * outside of what is registered, nothing on an endpoint that is not up), each operation ends once,
 * an error comes once, and when the stream is gone nothing of it is left.
 *
 * The stream is made without a handshake, as the bootstrap would leave it.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "rma/rma.h"
#include "rma/wire.h"
#include "setup.h"
#include "sim.h"

#define must(cond) ((cond) ? (void)0 : abort())

#define OPS_MAX 200
#define CELL 4096u
#define MEM (64u << 10)
#define SLOTS 8u
#define HELD_MAX 16
#define CLOSE_TURNS 4000
#define RAILS_MAX 3

/* The first byte of the input. */
enum { SERVER = 1, RECORDS = 2, POSTED = 4, PEER_POSTED = 8, RAILS3 = 16 };

enum op {
	RUN, RUN_ANY, GRANT, REGION, INDEX, COUNTS, CTRL_BYTES, RESUME, PATH_DOWN, CTL_BYTES, ABORT,
	CTL_END, REJOIN, SEND, BORROW, FLUSH, RECV, FRAGS, RELEASE, INTO, CANCEL, SHUTDOWN, POLL,
	WAIT, LAST,
};

struct run {
	const uint8_t *in;
	size_t left;
	uint8_t conf;
	struct nmt_stream *s; /* NULL: closed */
	int ctl;              /* the peer's end of the control channel */
	uint32_t errors;

	/* the peer */
	struct nmti_rma_ep *ep[RAILS_MAX];
	uint8_t nrails, epoch;
	bool lost, up[RAILS_MAX];
	uint32_t seq, messages, arrived;
	uint64_t bytes, grants;
	struct nmti_region theirs[RAILS_MAX]; /* the last one told for each rail */

	/* the application */
	struct nmt_frag held[HELD_MAX];
	int nheld;
	uint64_t posted, received, borrowed, sent; /* counts of operations */
};

/* Opened once. */
static struct nmt_ctx *ctx, *foe_ctx;
static struct nmt_domain *dom, *foe_dom;
static struct nmt_pdomain pd;
static const struct nmti_rma_ops *ops;
static struct nmti_rma_dev *dev;
static struct nmti_rma_limits lim;
static struct nmt_mr *mr, *foe_mr;
static struct nmti_rma_reg foe_reg;
static struct run r;
static uint8_t buf[MEM];
static const uint8_t token[NMTI_RMA_TOKEN] = "fuzz";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* ---- input ---- */

static uint8_t next(void)
{
	if (!r.left)
		return 0;
	r.left--;
	return *r.in++;
}

static uint64_t get(size_t n)
{
	uint64_t v = 0;

	while (n--)
		v = v << 8 | next();
	return v;
}

/* Mostly small, and near where the limits are. */
static uint64_t number(void)
{
	uint8_t how = next();

	if (how < 128)
		return how;
	if (how < 192)
		return (how - 127) * 1024u - next() % 3;
	return how < 240 ? get(2) : UINT64_MAX - get(how & 7);
}

/* ---- the peer's rails ---- */

static void heard(const struct nmti_rma_wc *wc)
{
	struct nmti_ctrl m;

	r.lost |= wc->event == NMTI_RMA_FAILED;
	for (int i = 0; i < RAILS_MAX; i++)
		r.up[i] |= wc->ep == r.ep[i] && wc->event == NMTI_RMA_CONNECTED;
	if (wc->event == NMTI_RMA_IMM) {
		r.arrived++;
		r.bytes += wc->len;
	}
	if (wc->event != NMTI_RMA_MESSAGE)
		return;
	must(!nmti_ctrl_decode(wc->data, wc->len, &m));
	r.messages++;
	if (m.type == NMTI_CTRL_REGION)
		r.theirs[m.region.rail % RAILS_MAX] = m.region;
}

static void peer_poll(void)
{
	struct nmti_rma_wc wc[16];
	int n = ops->poll(dev, wc, 16);

	for (int i = 0; i < n; i++)
		heard(&wc[i]);
}

static void leave(void)
{
	for (int i = 0; i < RAILS_MAX; i++) {
		if (r.ep[i])
			ops->destroy(r.ep[i]);
		r.ep[i] = NULL;
		r.up[i] = false;
	}
}

static void join(uint8_t epoch)
{
	struct nmti_rma_ep_attr attr = { .run_slots = 64, .ctrl_slots = 16, .ctrl_max = 256,
					 .send_depth = lim.send_depth, .epoch = epoch,
					 .token = token };

	leave();
	for (attr.rail = 0; attr.rail < r.nrails; attr.rail++)
		must(!(r.conf & SERVER ? ops->connect(dev, &attr, SIM_ADDR, SIM_BLOB,
						      &r.ep[attr.rail])
				       : ops->expect(dev, &attr, &r.ep[attr.rail])));
	r.epoch = epoch;
	r.seq = r.messages = r.arrived = 0;
	r.lost = false;
}

static void message(const void *msg, uint32_t len)
{
	uint64_t n;

	if (r.up[0] && !r.lost)
		ops->send(r.ep[0], msg, len, NMTI_RMA_SIGNAL, &n);
}

static struct nmti_ctrl head(uint8_t type)
{
	struct nmti_ctrl m = { .type = type, .epoch = r.epoch, .nrails = r.nrails,
			       .ctrl_credit = r.messages };

	return m;
}

static void put(const struct nmti_ctrl *m, const struct nmti_grant *g)
{
	uint8_t msg[NMTI_CTRL_MAX];
	int n = nmti_ctrl_encode(m, g, msg, sizeof(msg));

	if (n > 0)
		message(msg, (uint32_t)n);
}

static void op_grant(void)
{
	struct nmti_ctrl m = head(NMTI_CTRL_GRANT);
	struct nmti_grant g = { next() % 4, next() & 1, 1 + next() % 8, number(), number() };

	m.count = 1;
	m.index = r.grants + (next() == 77);
	r.grants += g.repeat;
	put(&m, &g);
}

static void op_region(void)
{
	struct nmti_ctrl m = head(NMTI_CTRL_REGION);

	m.region = (struct nmti_region){ next() % 4 * 60, next() % r.nrails, foe_reg.base,
					 1 + number() % MEM, foe_reg.key + !next() };
	put(&m, NULL);
}

static void op_index(void)
{
	struct nmti_ctrl m = head((uint8_t)(NMTI_CTRL_CANCEL + next() % 3));

	m.index = number() % NMTI_SEGMENT_END;
	put(&m, NULL);
}

static void op_counts(void)
{
	struct nmti_ctrl m = head(NMTI_CTRL_GRANT);

	m.offset = r.bytes + (next() ? 0 : number());
	m.records = next() < 200 ? 0 : number();
	for (int i = 0; i < r.nrails; i++)
		m.run_credit[i] = r.nrails == 1 ? r.arrived : next();
	put(&m, NULL);
}

static void op_bytes(bool ctl)
{
	size_t n = next();

	n = n < r.left ? n : r.left;
	if (ctl && r.ctl >= 0)
		(void)!send(r.ctl, r.in, n, MSG_DONTWAIT | MSG_NOSIGNAL);
	else if (!ctl)
		message(r.in, (uint32_t)n);
	r.in += n;
	r.left -= n;
}

static void op_run(bool good)
{
	uint8_t rail = next() % r.nrails;
	struct nmti_imm m = { next() % 32 ? 0 : next() % 8, !(next() % 4), r.epoch,
			      r.seq & NMTI_SEQ_MASK };
	struct nmti_rma_local from = { .addr = nmt_mr_addr(foe_mr), .reg = &foe_reg };
	uint32_t imm = nmti_imm_encode(&m);
	uint64_t at = number(), n;

	from.len = (uint32_t)(number() % MEM);
	if (!good)
		imm ^= (uint32_t)get(4);
	if (!r.up[rail] || r.lost)
		return;
	ops->write(r.ep[rail], &from, r.theirs[rail].base + at, r.theirs[rail].key, imm,
		   NMTI_RMA_SIGNAL, &n);
	r.seq++;
}

/* ---- the peer's end of the control channel ---- */

static void tell(const void *msg, int n)
{
	if (n > 0 && r.ctl >= 0)
		(void)!send(r.ctl, msg, (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static uint16_t put_blob(uint8_t *blob)
{
	struct nmti_rma_setup m = { .stripe_log2 = 12, .rails = r.nrails, .slots = 64,
				    .ctrl_slots = 16, .ctrl_max = 256, .segments = 16 };

	must(nmti_rma_setup_encode(&m, blob, NMTI_BLOB_MAX) == NMTI_RMA_SETUP_LEN);
	memcpy(blob + NMTI_RMA_SETUP_LEN, SIM_ADDRS, sizeof(SIM_ADDRS));
	return NMTI_RMA_SETUP_LEN + sizeof(SIM_ADDRS);
}

static void op_resume(void)
{
	uint8_t how = next(), msg[512];
	struct nmti_resume m = { .epoch = (uint8_t)(r.epoch + 1), .rails = r.nrails, .slots = 64,
				 .offset = r.bytes, .segment = r.grants };

	m.blob_len = put_blob(m.blob);
	if (how & 1)
		m.epoch = (uint8_t)(m.epoch + next());
	if (how & 2)
		m.offset += number();
	if (how & 4)
		m.segment = number() % NMTI_SEGMENT_END;
	if (how & 8)
		m.slots = (uint16_t)number();
	if (how & 16)
		m.blob[next() % m.blob_len] ^= next();
	if (how & 32)
		m.flags = NMTI_RESUME_FIN;
	tell(msg, nmti_resume_encode(&m, msg, sizeof(msg)));
	if (!(how & 0x80))
		r.grants = m.segment;
}

static void op_path_down(void)
{
	struct nmti_path_down m = { .epoch = (uint8_t)(r.epoch + next() % 2), .reason = next() };
	uint8_t msg[64];

	tell(msg, nmti_path_down_encode(&m, msg, sizeof(msg)));
}

static void op_abort(void)
{
	struct nmti_abort m = { .reason = next() & 1 ? NMT_WHY_CLOSED : next() };
	uint8_t msg[64];

	tell(msg, nmti_abort_encode(&m, msg, sizeof(msg)));
}

static void ctl_end(void)
{
	if (r.ctl >= 0)
		close(r.ctl);
	r.ctl = -1;
}

static void drop_answers(void)
{
	uint8_t junk[1024];

	while (r.ctl >= 0 && recv(r.ctl, junk, sizeof(junk), MSG_DONTWAIT) > 0)
		;
}

/* ---- events ---- */

static void on_event(const struct nmt_event *ev)
{
	must(ev->stream == r.s);
	switch (ev->type) {
	case NMT_EV_ERROR:
		must(ev->status < 0 && ++r.errors == 1);
		break;
	case NMT_EV_RECEIVED:
		must(++r.received <= r.posted && ev->len <= MEM);
		break;
	case NMT_EV_SENT:
	case NMT_EV_FLUSHED:
		must(++r.sent <= r.borrowed);
		break;
	case NMT_EV_CLOSED:
		r.s = NULL;
		break;
	default:
		break;
	}
}

static void turn(int64_t wait)
{
	struct nmt_event ev[16];
	int n;

	peer_poll();
	n = nmt_poll(dom, ev, 16, wait);
	must(n >= 0 || n == -EINTR);
	for (int i = 0; i < n; i++)
		on_event(&ev[i]);
	drop_answers();
}

/* ---- the application ---- */

static void refused(ssize_t rc)
{
	must(rc == -EAGAIN || rc == -EPIPE || rc == -ENOBUFS || rc == -EBUSY ||
	     rc == -EOPNOTSUPP || rc == -ENOENT || rc == r.s->error);
}

static void op_send(void)
{
	size_t n = number() % MEM;
	ssize_t rc = nmt_send(r.s, buf, n, next() & 1 && r.s->records ? MSG_EOR : 0);

	must(rc <= (ssize_t)n);
	if (rc < 0)
		refused(rc);
}

static void op_borrow(bool flush)
{
	struct nmt_frag frag = { .mr = mr, .len = (uint32_t)(1 + number() % (MEM / 2)) };
	int rc = flush ? nmt_flush(r.s, 1) : nmt_send_mr(r.s, &frag, 1, 0, 2);

	r.borrowed += !rc;
	if (rc)
		refused(rc);
}

static void op_recv(void)
{
	ssize_t rc = nmt_recv(r.s, buf, 1 + number() % MEM, next() % 8 ? 0 : MSG_PEEK);

	if (rc < 0)
		refused(rc);
}

static void op_frags(void)
{
	int rc, room = HELD_MAX - r.nheld;

	if (!room)
		return;
	rc = nmt_recv_frags(r.s, r.held + r.nheld, 1 + next() % room, 0);
	must(rc <= room);
	if (rc < 0)
		refused(rc);
	else
		r.nheld += rc;
}

static void release_all(void)
{
	while (r.nheld)
		must(!nmt_release(r.s, &r.held[--r.nheld], 1));
}

static void op_into(void)
{
	uint64_t at = number() % (MEM / 2), len = 1 + number() % (MEM / 2);
	int rc = nmt_recv_into(r.s, mr, at, len, next() % 4 ? 0 : NMT_RECV_WHOLE, next() % SLOTS);

	r.posted += !rc;
	if (rc)
		refused(rc);
}

static void op_shutdown(void)
{
	uint8_t how = next() % 3;

	if (how != SHUT_WR)
		release_all();
	nmt_shutdown(r.s, how);
}

static void use(enum op op)
{
	switch (op) {
	case SEND:
		op_send();
		break;
	case BORROW:
	case FLUSH:
		op_borrow(op == FLUSH);
		break;
	case RECV:
		op_recv();
		break;
	case FRAGS:
		op_frags();
		break;
	case RELEASE:
		release_all();
		break;
	case INTO:
		op_into();
		break;
	case CANCEL:
		nmt_recv_cancel(r.s, next() % SLOTS);
		break;
	case SHUTDOWN:
		op_shutdown();
		break;
	case WAIT:
		turn(50000);
		break;
	default:
		turn(0);
	}
}

static void step(enum op op)
{
	switch (op) {
	case RUN:
	case RUN_ANY:
		op_run(op == RUN);
		break;
	case GRANT:
		op_grant();
		break;
	case REGION:
		op_region();
		break;
	case INDEX:
		op_index();
		break;
	case COUNTS:
		op_counts();
		break;
	case CTRL_BYTES:
	case CTL_BYTES:
		op_bytes(op == CTL_BYTES);
		break;
	case RESUME:
		op_resume();
		break;
	case PATH_DOWN:
		op_path_down();
		break;
	case ABORT:
		op_abort();
		break;
	case CTL_END:
		ctl_end();
		break;
	case REJOIN:
		join((uint8_t)(r.epoch + 1));
		break;
	default:
		use(op);
	}
}

/* ---- set-up ---- */

static void open_foe(void)
{
	const char *why;

	must(!sim_add(foe_ctx) && !nmt_domain_open(foe_ctx, "tcp", NULL, &foe_dom));
	pd = (struct nmt_pdomain){ .dom = foe_dom, .ctx = foe_ctx,
				   .ops = nmti_provider_find(foe_ctx, "sim") };
	ops = pd.ops->rma;
	must(!ops->open(&pd, "", &lim, &dev));
	must(!nmt_mr_alloc(foe_ctx, NMT_MEM_HOST, MEM, NMT_ACCESS_ALL, &foe_mr));
	must(!ops->reg(dev, foe_mr, 0, MEM, true, &foe_reg, &why));
}

static void set_up(void)
{
	struct nmt_domain_attr dattr = NMT_DOMAIN_ATTR_INIT;
	struct nmt_ctx_attr attr = NMT_CTX_ATTR_INIT;

	if (ctx)
		return;
	attr.log_level = NMT_LOG_NONE + 1;
	must(!nmt_ctx_open(&attr, &ctx) && !nmt_ctx_open(&attr, &foe_ctx));
	must(!sim_add(ctx));
	dattr.cell_size = CELL;
	dattr.pool_size = 64 * CELL;
	dattr.spin_ns = -1;
	must(!nmt_domain_open(ctx, "sim", &dattr, &dom));
	must(!nmt_mr_alloc(ctx, NMT_MEM_HOST, MEM, NMT_ACCESS_ALL, &mr));
	open_foe();
}

static void attach(void)
{
	struct nmt_stream_attr user = NMT_STREAM_ATTR_INIT, attr;
	uint8_t blob[NMTI_BLOB_MAX];
	struct nmti_path path = { .fd = -1, .server = r.conf & SERVER, .rails = r.nrails,
				  .recv_mode = r.conf & PEER_POSTED ? NMT_RECV_POSTED
								    : NMT_RECV_POOL,
				  .blob = blob, .token = token };

	path.blob_len = put_blob(blob);
	user.recv_mode = r.conf & POSTED ? NMT_RECV_POSTED : NMT_RECV_POOL;
	user.recv_depth = SLOTS;
	user.linger = 1000000;
	user.rails = r.nrails;
	must(!nmti_stream_attr(dom, &user, false, &attr));
	must(!nmti_stream_new(dom, &attr, NMT_MODE_RAW, &r.s));
	r.s->records = r.conf & RECORDS;
	must(!nmti_stream_attach(r.s, &dom->pd[0], &path));
}

/* The peer is where a good one is when its streams open. */
static void open_stream(void)
{
	struct nmti_ctrl m;
	struct nmti_grant g = { .repeat = 1, .length = 2000 };
	int fd[2];

	attach();
	join(0);
	turn(0);
	must(r.up[0]);
	for (uint8_t i = 0; i < r.nrails; i++) {
		m = head(NMTI_CTRL_REGION);
		m.region = (struct nmti_region){ 0, i, foe_reg.base, MEM, foe_reg.key };
		put(&m, NULL);
	}
	m = head(NMTI_CTRL_GRANT);
	m.count = 1;
	r.grants = 1;
	put(&m, &g);
	for (int i = 0; r.s->state != NMT_STATE_OPEN; i++) {
		must(i < 10);
		turn(0);
	}
	must(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fd));
	r.ctl = fd[0];
	r.s->tune.mode = NMT_MODE_NEGOTIATED;
	must(!nmti_ctl_open(r.s, fd[1], "", 0));
}

static void finish(uint8_t how)
{
	struct sim_counts c;

	r.nheld = 0; /* the library takes loans back by itself */
	must(!(how & 1 ? nmt_close(r.s) : nmt_abort(r.s)));
	if (how & 2)
		ctl_end();
	for (int i = 0; r.s; i++) {
		must(i < CLOSE_TURNS);
		turn(i ? 1000000 : 0);
	}
	must(r.received == r.posted && r.sent == r.borrowed);
	must(!dom->nstreams && !dom->pool.held);
	ctl_end();
	leave();
	sim_read(&c);
	must(!c.violations && !c.endpoints);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t how = 0;

	set_up();
	r = (struct run){ .in = data, .left = size, .ctl = -1 };
	r.conf = next();
	r.nrails = r.conf & RAILS3 ? 3 : 1;
	sim_set(&(struct sim_knobs){ .seed = r.conf, .hostile = true });
	open_stream();
	for (int i = 0; i < OPS_MAX && r.left; i++) {
		uint8_t b = next();

		if (b % (LAST + 1) == LAST) {
			how = b / (LAST + 1);
			break;
		}
		step(b % (LAST + 1));
	}
	finish(how);
	return 0;
}
