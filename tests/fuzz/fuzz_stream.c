/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fuzz target of an open negotiated stream of the provider "tcp": record headers on the data socket,
 * messages on the control channel. The input is a script: the peer sends bytes, good frames, FIN,
 * ABORT, or ends; the application receives in every way there is. What comes out must be what the
 * peer put in, in order, with record ends where the headers have them; an end only where FIN says
 * so; an error only for a reason; loans unchanged; and all of that within a bounded number of turns.
 *
 * Both sockets are adopted without a handshake, so that one run takes a fraction of a millisecond.
 */
#include "fuzz_stream.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#define OPS_MAX 80
#define SLOTS 8
#define SLOT_LEN (64u << 10)
#define HELD_MAX 24
#define DRAIN_TURNS 4000 /* enough for DATA_MAX in the smallest steps that drain() takes */
#define CLOSE_TURNS 3000
#define CELL 4096

/* The first byte of the input. */
enum {
	RECORDS = 1,
	TCP = 2,
	POSTED = 4,
	SPIN = 8,
	DRAIN_FRAGS = 16,
	DRAIN_INTO = 32
};

enum op {
	DATA,
	FRAME,
	CTL,
	FIN,
	ABORT,
	DATA_END,
	CTL_END,
	RECV,
	FRAGS,
	RELEASE,
	INTO,
	CANCEL,
	POLL,
	SEND,
	SHUTDOWN,
	LAST,
};

struct held {
	struct nmt_frag frag;
	uint8_t *copy;
};

struct run {
	const uint8_t *in;
	size_t left; /* of the input */
	uint8_t conf;
	struct nmt_domain *dom;
	struct nmt_stream *s; /* NULL: closed */
	int data, ctl;	      /* the peer's ends */
	bool data_end, ctl_end, reset;
	bool rx_shut, ended, closing;
	bool told; /* NMT_EV_READABLE came since the last receive */
	uint32_t errors;
	struct held held[HELD_MAX];
	int nheld;
	uint32_t posted[SLOTS]; /* lengths; 0: free */
	uint64_t cookie;
	struct model m;
};

/* Opened once. */
static struct nmt_ctx *ctx;
static struct nmt_domain *doms[2];
static struct nmt_mr *mr;
static int listener;
static struct run r;
static uint8_t buf[SLOT_LEN];

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* ---- input ---- */

static uint8_t next(void)
{
	if (!r.left)
		return 0;
	r.left--;
	return *r.in++;
}

/* Small lengths one by one, larger ones around the sizes that libnmt decides by. */
static size_t length(void)
{
	uint8_t n = next();

	switch (n >> 6) {
	case 0:
		return n;
	case 1:
		return (n & 63) * 64u;
	case 2:
		return CELL - 32 + (n & 63);
	default:
		return (n & 63) * 1024u;
	}
}

/* ---- the peer ---- */

static void send_some(int fd, bool *end, uint8_t *log, size_t *sent, size_t max, size_t n)
{
	ssize_t put;

	if (*end || n > max - *sent)
		return;
	put = send(fd, log + *sent, n, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (put < 0 && errno != EAGAIN)
		*end = r.reset = true; /* libnmt has closed its end */
	*sent += put > 0 ? (size_t)put : 0;
}

static void put_data(const void *p, size_t n)
{
	n = n < DATA_MAX - r.m.sent ? n : DATA_MAX - r.m.sent;
	memcpy(r.m.bytes + r.m.sent, p, n);
	send_some(r.data, &r.data_end, r.m.bytes, &r.m.sent, DATA_MAX, n);
}

static void put_ctl(const void *p, size_t n)
{
	n = n < CTL_MAX - r.m.ctl_sent ? n : CTL_MAX - r.m.ctl_sent;
	memcpy(r.m.ctl + r.m.ctl_sent, p, n);
	send_some(r.ctl, &r.ctl_end, r.m.ctl, &r.m.ctl_sent, CTL_MAX, n);
}

static void op_bytes(bool ctl)
{
	size_t n = next();

	n = n < r.left ? n : r.left;
	if (ctl)
		put_ctl(r.in, n);
	else
		put_data(r.in, n);
	r.in += n;
	r.left -= n;
}

/* A run as a peer sends it; ARG: ends its record, header only, says more than it has. */
static void op_frame(uint8_t arg)
{
	uint8_t hdr[NMTI_REC_HDR_LEN] = { 0x4e, 0x4d, 1, arg & 1 };
	size_t n = length(), told = n + (arg & 4 ? 5 : 0);

	for (int i = 0; i < 4; i++)
		hdr[4 + i] = (uint8_t)(told >> (24 - 8 * i));
	for (size_t i = 0; i < n; i++)
		buf[i] = (uint8_t)((r.m.sent + i) * 131 + ((r.m.sent + i) >> 8) * 17);
	if (r.m.records)
		put_data(hdr, sizeof(hdr));
	if (!(arg & 2))
		put_data(buf, n);
}

static void poll_all(void);

/* In two pieces with a look in between. */
static void put_ctl_cut(const uint8_t *p, size_t n, size_t cut)
{
	cut = cut < n ? cut : n;
	put_ctl(p, cut);
	if (cut && cut < n)
		poll_all();
	put_ctl(p + cut, n - cut);
}

static void op_fin(uint8_t arg)
{
	struct total t = model_total(&r.m);
	struct nmti_fin m = { t.payload + (arg == 1), t.records + (arg == 2) };
	uint8_t msg[64];

	put_ctl_cut(msg, (size_t)nmti_fin_encode(&m, msg, sizeof(msg)), next());
}

static void op_abort(uint8_t arg)
{
	struct nmti_abort m = { .reason = arg ? arg : NMT_WHY_CLOSED };
	uint8_t msg[64];

	put_ctl_cut(msg, (size_t)nmti_abort_encode(&m, msg, sizeof(msg)), next());
}

static void end_socket(int fd, bool *end)
{
	if (!*end)
		shutdown(fd, SHUT_WR);
	*end = true;
}

static void take_answers(void)
{
	while (recv(r.data, buf, sizeof(buf), MSG_DONTWAIT) > 0)
		;
	while (recv(r.ctl, buf, sizeof(buf), MSG_DONTWAIT) > 0)
		;
}

/* ---- events ---- */

/* libnmt says that the stream ended in order. */
static void on_end(void)
{
	if (r.rx_shut)
		return;
	must(r.data_end && model_all(&r.m) && model_fin_fits(&r.m));
	r.ended = true;
}

static void on_received(const struct nmt_event *ev)
{
	uint32_t slot = ev->cookie % SLOTS;

	must(r.posted[slot] && ev->len <= r.posted[slot]);
	must(r.closing || !ev->status || ev->status == -EMSGSIZE || ev->status == -ECANCELED ||
	     ev->status == r.s->error);
	r.posted[slot] = 0;
	model_given(&r.m, (uint8_t *)nmti_mr_cpu(mr, slot * SLOT_LEN), ev->len,
		    ev->flags & NMT_EVF_EOR);
	if (ev->status == -EMSGSIZE)
		r.m.discard = true;
	if (ev->flags & NMT_EVF_EOF)
		on_end();
}

static void on_event(const struct nmt_event *ev)
{
	must(ev->stream == r.s);
	if (ev->type == NMT_EV_RECEIVED)
		on_received(ev);
	if (ev->type == NMT_EV_ERROR)
		must(ev->status < 0 && ++r.errors == 1);
	if (ev->type == NMT_EV_READABLE)
		r.told = true;
	if (ev->type == NMT_EV_CLOSED)
		r.s = NULL;
}

static int poll_some(int64_t wait)
{
	struct nmt_event ev[16];
	int n = nmt_poll(r.dom, ev, 16, wait);

	must(n >= 0 || n == -EINTR);
	for (int i = 0; i < n; i++)
		on_event(&ev[i]);
	return n;
}

static uint32_t posts(void)
{
	uint32_t n = 0;

	for (int i = 0; i < SLOTS; i++)
		n += !!r.posted[i];
	return n;
}

static void poll_all(void)
{
	int turns = 0;

	while (poll_some(0) > 0)
		must(++turns < 1000);
	must(!r.s || posts() == r.s->posted);
}

/* ---- the application ---- */

static void refused(ssize_t rc)
{
	if (r.conf & POSTED)
		must(rc == -EOPNOTSUPP);
	else if (posts())
		must(rc == -EBUSY);
	else
		must(rc == -EAGAIN || rc == -ENOBUFS || (r.s->error && rc == r.s->error));
}

static ssize_t receive(size_t len, int flags, int pieces)
{
	struct iovec iov[3];
	int eor = 0;
	ssize_t n;

	for (int i = 0; i < pieces; i++) {
		iov[i].iov_base = buf + i * (len / (size_t)pieces);
		iov[i].iov_len =
			i == pieces - 1 ? len - i * (len / (size_t)pieces) : len / (size_t)pieces;
	}
	poll_all();
	r.told &= !len;
	n = nmt_recvmsg(r.s, iov, pieces, flags, &eor);
	must(n <= (ssize_t)len);
	if (n < 0)
		refused(n);
	else if (!n && !(eor & MSG_EOR))
		len ? on_end() : (void)0;
	else if (flags & MSG_PEEK)
		model_shown(&r.m, buf, (size_t)n, eor & MSG_EOR);
	else
		model_given(&r.m, buf, (size_t)n, eor & MSG_EOR);
	return n;
}

static void op_recv(uint8_t arg)
{
	receive(length(), arg & 1 ? MSG_PEEK : 0, arg & 2 ? 3 : 1);
}

static void hold(const struct nmt_frag *f)
{
	struct held *h = &r.held[r.nheld++];
	uint8_t *p = nmti_mr_cpu(f->mr, f->offset);

	must(!(f->flags & ~NMT_FRAG_EOR) && f->len <= CELL);
	model_given(&r.m, p, f->len, f->flags & NMT_FRAG_EOR);
	h->frag = *f;
	h->copy = malloc(f->len + 1u);
	must(h->copy);
	memcpy(h->copy, p, f->len);
}

static int lend(int max)
{
	struct nmt_frag frags[HELD_MAX];
	int n;

	poll_all();
	max = max < HELD_MAX - r.nheld ? max : HELD_MAX - r.nheld;
	if (!max)
		return 1;
	r.told = false;
	n = nmt_recv_frags(r.s, frags, max, 0);
	must(n <= max);
	if (n < 0)
		refused(n);
	else if (!n)
		on_end();
	for (int i = 0; i < n; i++)
		hold(&frags[i]);
	return n;
}

/* What was lent must be as it was; FIRST: begin with the oldest. */
static void release(int n, bool first)
{
	while (n-- && r.nheld) {
		struct held *h = &r.held[first ? 0 : r.nheld - 1];

		must(!memcmp(h->copy, nmti_mr_cpu(h->frag.mr, h->frag.offset), h->frag.len));
		must(!nmt_release(r.s, &h->frag, 1));
		must(nmt_release(r.s, &h->frag, 1) == -EINVAL);
		free(h->copy);
		r.nheld--;
		if (first)
			memmove(r.held, r.held + 1, (size_t)r.nheld * sizeof(r.held[0]));
	}
}

/* The library takes the loans back by itself. */
static void forget_loans(void)
{
	while (r.nheld)
		free(r.held[--r.nheld].copy);
}

static int into(size_t len, int flags)
{
	uint64_t slot = (r.cookie + 1) % SLOTS;
	int rc;

	if (r.posted[slot])
		return -EAGAIN;
	rc = nmt_recv_into(r.s, mr, slot * SLOT_LEN, len, flags, r.cookie + 1);
	if (!rc)
		r.posted[++r.cookie % SLOTS] = (uint32_t)len;
	else if (!len || (flags & NMT_RECV_SOME && r.conf & POSTED))
		must(rc == -EINVAL);
	else
		must(r.rx_shut ? rc == -EPIPE : rc == -EAGAIN || (r.s->error && rc == r.s->error));
	return rc;
}

static void op_into(uint8_t arg)
{
	static const int flags[] = { 0, NMT_RECV_WHOLE, NMT_RECV_SOME };

	into(length(), flags[arg % 3]);
}

/* The newest posts. */
static void cancel(uint64_t n)
{
	for (uint64_t c = r.cookie - (n < r.cookie ? n : r.cookie) + 1; c <= r.cookie; c++) {
		int rc = nmt_recv_cancel(r.s, c);

		must(!rc || rc == -ENOENT);
	}
}

static void op_send(uint8_t arg)
{
	size_t n = length();
	ssize_t rc = nmt_send(r.s, buf, n, arg & 1 && r.m.records ? MSG_EOR : 0);

	must(rc <= (ssize_t)n);
	must(rc >= 0 || rc == -EAGAIN || rc == -EPIPE || rc == r.s->error);
}

static void op_shutdown(uint8_t arg)
{
	int how = arg % 3;

	if (how != SHUT_WR) {
		release(HELD_MAX, true);
		poll_all();
		r.rx_shut = true;
	}
	nmt_shutdown(r.s, how);
}

/* ---- the run ---- */

static void step(enum op op, uint8_t arg)
{
	switch (op) {
	case DATA:
	case CTL:
		op_bytes(op == CTL);
		break;
	case FRAME:
		op_frame(arg);
		break;
	case FIN:
		op_fin(arg);
		break;
	case ABORT:
		op_abort(arg);
		break;
	case DATA_END:
		end_socket(r.data, &r.data_end);
		break;
	case CTL_END:
		end_socket(r.ctl, &r.ctl_end);
		break;
	case RECV:
		op_recv(arg);
		break;
	case FRAGS:
		lend(1 + arg);
		break;
	case RELEASE:
		release(1 + arg / 2, arg & 1);
		break;
	case INTO:
		op_into(arg);
		break;
	case CANCEL:
		cancel(1 + arg % SLOTS);
		break;
	case SEND:
		op_send(arg);
		break;
	case SHUTDOWN:
		op_shutdown(arg);
		break;
	default:
		poll_all();
	}
}

static bool drain_into(void)
{
	size_t at = r.m.at;

	if (!posts() && into(CELL + 100, 0))
		return false;
	poll_all();
	return r.m.at != at;
}

/* An application that sleeps until NMT_EV_READABLE must not sleep for ever. */
static void wait_readable(void)
{
	poll_all();
	for (int i = 0; !r.told && !r.rx_shut && !r.s->error && !model_all(&r.m); i++) {
		must(r.conf & TCP && i < 2000);
		poll_some(1000000);
	}
}

/* Take what is there; whether there may be more. */
static bool drain_step(void)
{
	ssize_t n;

	if (r.conf & (DRAIN_INTO | POSTED))
		return drain_into();
	wait_readable();
	if (r.conf & DRAIN_FRAGS) {
		n = lend(8);
		release(HELD_MAX, false);
	} else {
		n = receive(40000, 0, 1);
		n += !n && !r.ended && !r.rx_shut; /* an empty record */
	}
	must(n != -ENOBUFS);
	return n > 0;
}

/* Everything that came must come out, but what the application did not want or a fault cut off. */
static bool complete(void)
{
	struct ctl_said c = model_ctl(&r.m);

	if (c.broken)
		return r.s->error;
	if (r.ctl_end || r.reset || r.rx_shut)
		return true;
	if (!model_all(&r.m))
		return false;
	if (r.m.bad)
		return r.s->error == -ECONNRESET;
	if (!r.data_end || (!c.good && model_total(&r.m).whole))
		return !r.s->error;
	return model_fin_fits(&r.m) ? r.ended && !r.s->error : r.s->error == -ECONNRESET;
}

static void drain(void)
{
	int turns = 0;

	release(HELD_MAX, true);
	poll_all();
	cancel(SLOTS);
	poll_all();
	for (;;) {
		while (!r.ended && drain_step())
			must(++turns < DRAIN_TURNS);
		if (posts()) {
			cancel(SLOTS);
			poll_all();
		}
		if (complete())
			return;
		must(++turns < DRAIN_TURNS);
		if (r.conf & TCP && turns > 3)
			poll_some(1000000);
	}
}

static void finish(uint8_t how)
{
	if (how & 1 && how & 2)
		drain();
	forget_loans();
	r.closing = true;
	must(!(how & 1 && !(how & 2) ? nmt_close(r.s) : nmt_abort(r.s)));
	for (int turns = 0; r.s; turns++) {
		must(turns < CLOSE_TURNS);
		take_answers();
		poll_some(turns ? 1000000 : 0);
	}
	must(!r.dom->nstreams && !r.dom->pool.held && !posts());
	close(r.data);
	close(r.ctl);
}

static void run(void)
{
	uint8_t how = 3;

	for (int i = 0; i < OPS_MAX && r.left; i++) {
		uint8_t b = next();

		if ((b & 15) == LAST) {
			how = b >> 4;
			break;
		}
		step(b & 15, b >> 4);
	}
	finish(how);
}

/* ---- set-up ---- */

static void open_domain(int i, int64_t spin)
{
	struct nmt_domain_attr attr = NMT_DOMAIN_ATTR_INIT;

	attr.cell_size = CELL;
	attr.pool_size = 32 * CELL;
	attr.spin_ns = spin;
	must(!nmt_domain_open(ctx, "tcp", &attr, &doms[i]));
}

static void set_up(void)
{
	struct sockaddr_in sin = { .sin_family = AF_INET,
				   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct nmt_ctx_attr attr = NMT_CTX_ATTR_INIT;

	if (ctx)
		return;
	attr.log_level = NMT_LOG_NONE + 1;
	must(!nmt_ctx_open(&attr, &ctx));
	open_domain(0, -1);
	open_domain(1, 1000);
	must(!nmt_mr_alloc(ctx, NMT_MEM_HOST, SLOTS * SLOT_LEN, NMT_ACCESS_RECV, &mr));
	listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	must(!bind(listener, (struct sockaddr *)&sin, sizeof(sin)) && !listen(listener, 8));
}

/* Port numbers come back at once when both ends reset. */
static void tcp_pair(int fd[2])
{
	struct linger now = { .l_onoff = 1 };
	struct sockaddr_in sin;
	socklen_t len = sizeof(sin);

	fd[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	must(!getsockname(listener, (struct sockaddr *)&sin, &len));
	must(!connect(fd[0], (struct sockaddr *)&sin, len));
	fd[1] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	must(fd[1] >= 0);
	for (int i = 0; i < 2; i++)
		must(!setsockopt(fd[i], SOL_SOCKET, SO_LINGER, &now, sizeof(now)));
	must(!fcntl(fd[1], F_SETFL, O_NONBLOCK));
}

static void unix_pair(int fd[2])
{
	must(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fd));
}

/* As the bootstrap leaves it. */
static void adopt(int data, int ctl)
{
	struct nmt_stream_attr user = NMT_STREAM_ATTR_INIT, attr;
	struct nmti_path path = { .fd = data };

	user.recv_mode = r.conf & POSTED ? NMT_RECV_POSTED : NMT_RECV_POOL;
	user.recv_depth = SLOTS;
	user.pool_share = 4 * CELL;
	user.linger = 100000000;
	must(!nmti_stream_attr(r.dom, &user, false, &attr));
	must(!nmti_stream_new(r.dom, &attr, NMT_MODE_RAW, &r.s));
	r.s->records = r.m.records;
	must(!nmti_stream_attach(r.s, &r.dom->pd[0], &path));
	r.s->tune.mode = NMT_MODE_NEGOTIATED;
	must(!nmti_ctl_open(r.s, ctl, "", 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int d[2], c[2];

	set_up();
	memset(&r, 0, offsetof(struct run, m) + offsetof(struct model, bytes));
	r.in = data;
	r.left = size;
	r.conf = next();
	r.m.records = r.conf & RECORDS;
	r.dom = doms[!!(r.conf & SPIN)];
	if (r.conf & TCP)
		tcp_pair(d);
	else
		unix_pair(d);
	unix_pair(c);
	r.data = d[0];
	r.ctl = c[0];
	adopt(d[1], c[1]);
	run();
	return 0;
}
