/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Sending. Copying calls go straight to the socket. What cannot - a batch that MSG_MORE began, the
 * rest of a record frame that the kernel took only in part, borrowed runs - waits in order: first
 * the stage, then the runs. While runs wait, copying calls answer -EAGAIN.
 */
#include <stdint.h>
#include <stdlib.h>

#include "tcp.h"

#define STAGE_BYTES (64u << 10)
/* A MSG_MORE send longer than this gains nothing from being copied into a batch. */
#define BATCH_MAX (16u << 10)
#define FRAME_MAX STAGE_BYTES
#define FRAMES_PER_CALL 16
#define RUNS_MIN 256u

/* A borrowed send or a flush. */
struct tcp_op {
	uint64_t cookie;
	uint64_t begin, end; /* wire offsets of its first byte and behind its last */
	uint64_t len;
	uint32_t runs, zc_id; /* zc_id: last MSG_ZEROCOPY call with bytes of it */
	bool zc, flush;
};

/* A piece of memory to send: of a region, or a frame header. */
struct tcp_run {
	struct nmt_mr *mr; /* NULL: hdr */
	union {
		uint64_t offset;
		uint8_t hdr[TCP_REC_HDR];
	};
	uint32_t len;
	bool zc;
};

struct tcp_tx {
	uint8_t *stage;
	uint32_t stage_pos, stage_len;
	uint32_t op_head, op_tail, op_mask;
	uint32_t run_head, run_cur, run_tail, run_mask;
	uint32_t run_done;    /* bytes of run_cur that the kernel has */
	bool refused;         /* an operation found no room since the last one finished */
	struct tcp_op *op;
	struct tcp_run *run;
	struct tcp_zc zc;
};

/* ---- state ---- */

static struct tcp_tx *tx_get(struct tcp_stream *ts)
{
	if (!ts->tx) {
		ts->tx = calloc(1, sizeof(*ts->tx));
		ts->s->memory += ts->tx ? sizeof(*ts->tx) : 0;
	}
	return ts->tx;
}

static int rings_get(struct tcp_stream *ts)
{
	struct tcp_tx *tx = tx_get(ts);
	uint32_t ops = tcp_pow2(ts->s->tune.send_depth);
	uint32_t runs = tcp_pow2(2 * ts->s->tune.send_depth);

	if (!tx)
		return -ENOMEM;
	if (tx->run)
		return 0;
	runs = runs < RUNS_MIN ? RUNS_MIN : runs;
	tx->op = calloc(ops, sizeof(*tx->op));
	tx->run = calloc(runs, sizeof(*tx->run));
	if (!tx->op || !tx->run) {
		free(tx->op);
		free(tx->run);
		tx->op = NULL;
		tx->run = NULL;
		return -ENOMEM;
	}
	ts->s->memory += (uint32_t)(ops * sizeof(*tx->op) + runs * sizeof(*tx->run));
	tx->op_mask = ops - 1;
	tx->run_mask = runs - 1;
	return 0;
}

static int stage_get(struct tcp_stream *ts)
{
	struct tcp_tx *tx = tx_get(ts);

	if (tx && !tx->stage) {
		tx->stage = malloc(STAGE_BYTES);
		ts->s->memory += tx->stage ? STAGE_BYTES : 0;
	}
	return tx && tx->stage ? 0 : -ENOMEM;
}

static uint32_t staged(const struct tcp_stream *ts)
{
	return ts->tx ? ts->tx->stage_len - ts->tx->stage_pos : 0;
}

static bool runs_wait(const struct tcp_stream *ts)
{
	return ts->tx && ts->tx->run_cur != ts->tx->run_tail;
}

bool nmti_tcp_unsent(const struct tcp_stream *ts)
{
	return staged(ts) || runs_wait(ts);
}

struct tcp_zc *nmti_tcp_tx_zc(struct tcp_stream *ts)
{
	return ts->tx ? &ts->tx->zc : NULL;
}

static struct tcp_op *op_at(struct tcp_tx *tx, uint32_t i)
{
	return &tx->op[i & tx->op_mask];
}

static struct tcp_run *run_at(struct tcp_tx *tx, uint32_t i)
{
	return &tx->run[i & tx->run_mask];
}

static void op_drop(struct tcp_tx *tx)
{
	struct tcp_op *op = op_at(tx, tx->op_head++);

	while (op->runs--) {
		struct tcp_run *run = run_at(tx, tx->run_head);

		if (run->mr)
			nmti_mr_drop(run->mr);
		if (tx->run_cur == tx->run_head) {
			tx->run_cur++;
			tx->run_done = 0;
		}
		tx->run_head++;
	}
}

void nmti_tcp_tx_free(struct tcp_stream *ts)
{
	struct tcp_tx *tx = ts->tx;

	if (!tx)
		return;
	while (tx->op_head != tx->op_tail)
		op_drop(tx);
	free(tx->op);
	free(tx->run);
	free(tx->stage);
	free(tx);
	ts->tx = NULL;
}

/* ---- the socket ---- */

/* A reset before the peer's end is ECONNRESET, one behind it EPIPE: tcp_reset() in Linux. */
void nmti_tcp_fail(struct tcp_stream *ts, int err)
{
	ts->tx_epipe = err == EPIPE && !ts->s->error;
	nmti_stream_fail(ts->s, err == EPIPE ? -ECONNRESET : -err);
}

/* Bytes that the kernel took, -EAGAIN, or the error that the stream failed with. */
static ssize_t sock_send(struct tcp_stream *ts, const struct iovec *iov, int n, size_t want,
			 int flags)
{
	struct msghdr msg = { .msg_iov = (struct iovec *)iov, .msg_iovlen = (size_t)n };
	ssize_t r;
	int err;

	ts->s->stat.tx_syscalls++;
	flags |= MSG_DONTWAIT | MSG_NOSIGNAL;
	r = n == 1 ? tcp_sys_send(ts->src.fd, iov->iov_base, iov->iov_len, flags)
		   : sendmsg(ts->src.fd, &msg, flags);
	if (r >= 0) {
		ts->wire_sent += (uint64_t)r;
		if ((size_t)r < want)
			ts->s->tx_ready = false;
		return r;
	}
	err = errno;
	if (err == EAGAIN || err == EINTR) {
		ts->s->tx_ready = err == EINTR;
		return -EAGAIN;
	}
	if (err == ENOBUFS && flags & MSG_ZEROCOPY)
		return -ENOBUFS;
	if (!ts->s->error) {
		nmti_log(ts->s->ctx, NMT_LOG_INFO, "tcp: send: %s", strerror(err));
		nmti_tcp_fail(ts, err);
	}
	return -err;
}

/* ---- copying calls ---- */

static ssize_t batch(struct tcp_stream *ts, const struct iovec *iov, int n, uint32_t len)
{
	struct tcp_tx *tx;

	if (stage_get(ts))
		return -ENOMEM;
	tx = ts->tx;
	if (tx->stage_pos == tx->stage_len)
		tx->stage_pos = tx->stage_len = 0;
	for (int i = 0; i < n; i++) {
		memcpy(tx->stage + tx->stage_len, iov[i].iov_base, iov[i].iov_len);
		tx->stage_len += (uint32_t)iov[i].iov_len;
	}
	ts->wire_queued += len;
	ts->s->stat.tx_copied += len;
	nmti_work(ts->s);
	return len;
}

static uint32_t stage_room(const struct tcp_stream *ts)
{
	if (!ts->tx || ts->tx->stage_pos == ts->tx->stage_len)
		return STAGE_BYTES;
	return STAGE_BYTES - ts->tx->stage_len;
}

/* Take what the kernel took out of the stage; the rest belongs to what came behind it. */
static size_t unstage(struct tcp_stream *ts, size_t r)
{
	uint32_t n = staged(ts);

	n = r < n ? (uint32_t)r : n;
	if (n)
		ts->tx->stage_pos += n;
	return r - n;
}

static int stage_iov(struct tcp_stream *ts, struct iovec *iov)
{
	uint32_t n = staged(ts);

	if (!n)
		return 0;
	iov->iov_base = ts->tx->stage + ts->tx->stage_pos;
	iov->iov_len = n;
	return 1;
}

static ssize_t send_plain(struct tcp_stream *ts, const struct iovec *iov, int n, int flags)
{
	struct iovec part[TCP_IOV_MAX + 1];
	uint32_t before = staged(ts);
	size_t len;
	ssize_t r;
	int m;

	if (flags & MSG_MORE) {
		len = tcp_iov_total(iov, n);
		if (len <= BATCH_MAX && len <= stage_room(ts))
			return batch(ts, iov, n, (uint32_t)len);
	}
	if (!before && n <= TCP_IOV_MAX) {
		r = sock_send(ts, iov, n, tcp_iov_total(iov, n), 0);
		if (r > 0)
			ts->wire_queued += (uint64_t)r;
		return r;
	}
	m = stage_iov(ts, part);
	m += nmti_tcp_iov_clip(iov, n, SIZE_MAX, part + m, TCP_IOV_MAX, &len);
	r = sock_send(ts, part, m, len + before, 0);
	if (r < 0)
		return r;
	r = (ssize_t)unstage(ts, (size_t)r);
	ts->wire_queued += (uint64_t)r;
	return r || !len ? r : -EAGAIN;
}

/* ---- record frames of copying calls ---- */

struct framing {
	uint8_t hdr[FRAMES_PER_CALL][TCP_REC_HDR];
	uint32_t len[FRAMES_PER_CALL]; /* payload */
	struct iovec iov[1 + FRAMES_PER_CALL + TCP_IOV_MAX + FRAMES_PER_CALL];
	int frames, n;
	size_t payload; /* in all frames */
};

/* Append LEN bytes from OFFSET of the caller's buffers. */
static void add_payload(struct framing *f, const struct iovec *iov, int n, size_t offset,
			uint32_t len)
{
	for (int i = 0; i < n && len; i++) {
		size_t part = iov[i].iov_len;

		if (offset >= part) {
			offset -= part;
			continue;
		}
		part -= offset;
		part = part < len ? part : len;
		f->iov[f->n].iov_base = (char *)iov[i].iov_base + offset;
		f->iov[f->n++].iov_len = part;
		len -= (uint32_t)part;
		offset = 0;
	}
}

static void add_frame(struct framing *f, const struct iovec *iov, int n, uint32_t len, bool eor)
{
	nmti_rec_put(f->hdr[f->frames], len, eor);
	f->len[f->frames] = len;
	f->iov[f->n].iov_base = f->hdr[f->frames++];
	f->iov[f->n++].iov_len = TCP_REC_HDR;
	add_payload(f, iov, n, f->payload, len);
	f->payload += len;
}

static void frame_all(struct framing *f, const struct iovec *iov, int n, size_t total, bool eor)
{
	do {
		size_t left = total - f->payload;
		uint32_t len = left < FRAME_MAX - TCP_REC_HDR ? (uint32_t)left
							      : FRAME_MAX - TCP_REC_HDR;

		add_frame(f, iov, n, len, eor && len == left);
	} while (f->payload < total && f->frames < FRAMES_PER_CALL);
}

/* Copy bytes [FROM, TO) of what the iovec spans into the empty stage. */
static void keep_rest(struct tcp_stream *ts, const struct iovec *iov, int n, size_t from, size_t to)
{
	struct tcp_tx *tx = ts->tx;
	size_t at = 0;

	tx->stage_pos = tx->stage_len = 0;
	for (int i = 0; i < n && at < to; at += iov[i++].iov_len) {
		size_t a = from > at ? from - at : 0;
		size_t b = to - at < iov[i].iov_len ? to - at : iov[i].iov_len;

		if (a >= b)
			continue;
		memcpy(tx->stage + tx->stage_len, (char *)iov[i].iov_base + a, b - a);
		tx->stage_len += (uint32_t)(b - a);
	}
	ts->s->stat.tx_copied += to - from;
}

/*
 * The kernel took R bytes of the frames. A frame of which it took any is promised to the peer: its
 * rest goes to the stage. Returns the payload accepted, or -EAGAIN.
 */
static ssize_t frames_sent(struct tcp_stream *ts, const struct framing *f, const struct iovec *iov,
			   int n, size_t r)
{
	size_t accepted = 0, wire = 0;

	for (int i = 0; i < f->frames && wire < r; i++) {
		wire += TCP_REC_HDR + f->len[i];
		accepted += f->len[i];
	}
	if (!wire)
		return -EAGAIN;
	ts->wire_queued += wire;
	if (r < wire)
		keep_rest(ts, iov, n, r, wire);
	return (ssize_t)accepted;
}

static ssize_t send_records(struct tcp_stream *ts, const struct iovec *iov, int n, int flags)
{
	struct iovec user[TCP_IOV_MAX];
	struct framing f = { .frames = 0 };
	size_t all = tcp_iov_total(iov, n), total;
	int first;
	ssize_t r;

	if (stage_get(ts))
		return -ENOMEM;
	n = nmti_tcp_iov_clip(iov, n, SIZE_MAX, user, TCP_IOV_MAX, &total);
	if (flags & MSG_MORE && total == all && total <= BATCH_MAX &&
	    total + TCP_REC_HDR <= stage_room(ts)) {
		frame_all(&f, user, n, total, flags & MSG_EOR);
		batch(ts, f.iov, f.n, (uint32_t)total + TCP_REC_HDR);
		return (ssize_t)total;
	}
	first = f.n = stage_iov(ts, f.iov);
	frame_all(&f, user, n, total, flags & MSG_EOR && total == all);
	r = sock_send(ts, f.iov, f.n, tcp_iov_total(f.iov, f.n), 0);
	if (r < 0)
		return r;
	r = (ssize_t)unstage(ts, (size_t)r);
	return frames_sent(ts, &f, f.iov + first, f.n - first, (size_t)r);
}

ssize_t nmti_tcp_send(struct nmt_stream *s, const struct iovec *iov, int n, int flags)
{
	struct tcp_stream *ts = tcp_of(s);
	ssize_t r;

	if (runs_wait(ts) && nmti_tcp_push(ts, 4))
		nmti_work(s);
	if (runs_wait(ts) || !(s->tx_ready || ts->outside))
		return s->error ? s->error : -EAGAIN;
	r = s->records ? send_records(ts, iov, n, flags) : send_plain(ts, iov, n, flags);
	if (r < 0)
		return r;
	ts->tx_off += (uint64_t)r;
	if (flags & MSG_EOR && (size_t)r == tcp_iov_total(iov, n))
		ts->tx_records++;
	return r;
}

/* ---- borrowed runs ---- */

static bool op_zerocopy(struct tcp_stream *ts, const struct nmt_frag *frags, int n, uint64_t len)
{
	if (ts->zc_off || len < ts->s->tune.zerocopy_min)
		return false;
	for (int i = 0; i < n; i++)
		if (!frags[i].mr->cpu)
			return false;
	return true;
}

static void add_run(struct tcp_tx *tx, struct tcp_op *op, const struct tcp_run *run)
{
	*run_at(tx, tx->run_tail++) = *run;
	op->runs++;
	op->end += run->len;
}

static void add_runs(struct tcp_stream *ts, struct tcp_op *op, const struct nmt_frag *frags, int n,
		     int flags)
{
	bool zc = op_zerocopy(ts, frags, n, op->len);

	for (int i = 0; i < n; i++) {
		struct tcp_run run = { .len = TCP_REC_HDR, .zc = zc };
		bool eor = flags & MSG_EOR && i == n - 1;

		if (ts->s->records && (frags[i].len || eor)) {
			nmti_rec_put(run.hdr, frags[i].len, eor);
			add_run(ts->tx, op, &run);
		}
		run.mr = frags[i].mr;
		run.offset = frags[i].offset;
		run.len = frags[i].len;
		nmti_mr_hold(run.mr);
		add_run(ts->tx, op, &run);
	}
}

static struct tcp_op *op_new(struct tcp_stream *ts, uint64_t cookie)
{
	struct tcp_tx *tx = ts->tx;
	struct tcp_op *op;

	if (tx->op_tail - tx->op_head >= ts->s->tune.send_depth)
		return NULL;
	ts->s->tx_untold = true;
	op = op_at(tx, tx->op_tail);
	memset(op, 0, sizeof(*op));
	op->cookie = cookie;
	op->begin = op->end = ts->wire_queued;
	return op;
}

static bool runs_fit(const struct tcp_stream *ts, int n)
{
	const struct tcp_tx *tx = ts->tx;
	uint32_t used = tx->run_tail - tx->run_head;

	return tx->run_mask + 1 - used >= (uint32_t)n * (ts->s->records ? 2 : 1);
}

int nmti_tcp_send_mr(struct nmt_stream *s, const struct nmt_frag *frags, int n, int flags,
		uint64_t cookie)
{
	struct tcp_stream *ts = tcp_of(s);
	struct tcp_op *op;

	if (rings_get(ts))
		return -ENOMEM;
	op = runs_fit(ts, n) ? op_new(ts, cookie) : NULL;
	if (!op) {
		ts->tx->refused = true;
		return -EAGAIN;
	}
	for (int i = 0; i < n; i++)
		op->len += frags[i].len;
	add_runs(ts, op, frags, n, flags);
	ts->tx->op_tail++;
	ts->wire_queued = op->end;
	ts->tx_off += op->len;
	ts->tx_records += !!(flags & MSG_EOR);
	if (flags & MSG_MORE || (s->tx_ready && nmti_tcp_push(ts, 4)))
		nmti_work(s);
	nmti_tell(s);
	return 0;
}

int nmti_tcp_flush(struct nmt_stream *s, uint64_t cookie)
{
	struct tcp_stream *ts = tcp_of(s);
	struct tcp_op *op;

	if (rings_get(ts))
		return -ENOMEM;
	op = op_new(ts, cookie);
	if (!op) {
		ts->tx->refused = true;
		return -EAGAIN;
	}
	op->flush = true;
	ts->tx->op_tail++;
	if (nmti_tcp_unsent(ts))
		nmti_work(s);
	if (nmti_tcp_acked(ts, op->end))
		nmti_tell(s);
	else
		nmti_tcp_ack_watch(ts);
	return 0;
}

/* ---- pushing the queue ---- */

/* Runs alike in their use of MSG_ZEROCOPY, from run_cur on. */
static int gather(struct tcp_stream *ts, struct iovec *iov, int max, bool *zc)
{
	struct tcp_tx *tx = ts->tx;
	uint32_t skip = tx->run_done;
	int n = 0;

	*zc = tx->run_cur != tx->run_tail && run_at(tx, tx->run_cur)->zc;
	for (uint32_t i = tx->run_cur; i != tx->run_tail && n < max; i++) {
		struct tcp_run *run = run_at(tx, i);
		void *p = run->mr ? nmti_mr_cpu(run->mr, run->offset) : run->hdr;

		if (run->zc != *zc || !p)
			break;
		iov[n].iov_base = (char *)p + skip;
		iov[n++].iov_len = run->len - skip;
		skip = 0;
	}
	return n;
}

/* The first run is in memory that the CPU cannot touch. */
static ssize_t push_staged(struct tcp_stream *ts)
{
	struct tcp_run *run = run_at(ts->tx, ts->tx->run_cur);
	size_t room, left = run->len - ts->tx->run_done;
	struct iovec iov;
	int rc;

	iov.iov_base = nmti_staging(ts->s->dom, &room);
	iov.iov_len = left < room ? left : room;
	if (!iov.iov_base)
		return -EAGAIN;
	rc = nmt_mr_read(run->mr, run->offset + ts->tx->run_done, iov.iov_base, iov.iov_len);
	if (rc) {
		nmti_stream_fail(ts->s, rc);
		return rc;
	}
	ts->s->stat.tx_copied += iov.iov_len;
	ts->s->stat.fallback_staging++;
	return sock_send(ts, &iov, 1, iov.iov_len, 0);
}

/* The kernel has N more bytes of the runs. */
static void runs_sent(struct tcp_tx *tx, size_t n)
{
	while (tx->run_cur != tx->run_tail) {
		uint32_t left = run_at(tx, tx->run_cur)->len - tx->run_done;

		if (n < left) {
			tx->run_done += (uint32_t)n;
			return;
		}
		n -= left;
		tx->run_cur++;
		tx->run_done = 0;
	}
}

/* Operations with bytes in (FROM, wire_sent] depend on this MSG_ZEROCOPY call. */
static void note_zc(struct tcp_stream *ts, uint64_t from, uint32_t id)
{
	struct tcp_tx *tx = ts->tx;

	for (uint32_t i = tx->op_head; i != tx->op_tail; i++) {
		struct tcp_op *op = op_at(tx, i);

		if (op->end <= from)
			continue;
		if (op->begin >= ts->wire_sent)
			break;
		op->zc = true;
		op->zc_id = id;
	}
}

/* Memory for notifications or for pinning may be there for the next call again, so that one asks. */
static void note_zc_refused(struct tcp_stream *ts)
{
	ts->s->stat.fallback_zerocopy++;
	if (!ts->zc_refused)
		nmti_log(ts->s->ctx, NMT_LOG_INFO, "tcp: MSG_ZEROCOPY: %s; copying. Raise "
			 "net.core.optmem_max or RLIMIT_MEMLOCK", strerror(ENOBUFS));
	ts->zc_refused = true;
}

static ssize_t push_zc(struct tcp_stream *ts, const struct iovec *iov, int n, size_t want)
{
	struct tcp_zc *zc = &ts->tx->zc;
	uint64_t from = ts->wire_sent;
	ssize_t r;

	r = sock_send(ts, iov, n, want, MSG_ZEROCOPY);
	if (r == -ENOBUFS) {
		note_zc_refused(ts);
		return sock_send(ts, iov, n, want, 0);
	}
	if (r > 0) {
		ts->s->stat.zc_sends++;
		note_zc(ts, from, zc->next++);
	}
	return r;
}

static ssize_t push_once(struct tcp_stream *ts)
{
	struct iovec iov[TCP_IOV_MAX + 1];
	int m = stage_iov(ts, iov), n;
	bool zc;
	size_t want;
	ssize_t r;

	n = runs_wait(ts) ? gather(ts, iov + m, TCP_IOV_MAX, &zc) : 0;
	if (!m && !n)
		return push_staged(ts);
	zc = n && zc && nmti_tcp_zc_may(ts, &ts->tx->zc);
	if (m && zc)
		n = 0; /* the batch goes ahead by copy */
	want = tcp_iov_total(iov, m + n);
	r = zc && n ? push_zc(ts, iov, n, want) : sock_send(ts, iov, m + n, want, 0);
	return r;
}

bool nmti_tcp_push(struct tcp_stream *ts, uint32_t budget)
{
	ssize_t r;

	while (nmti_tcp_unsent(ts) && !ts->s->error && (ts->s->tx_ready || ts->outside)) {
		if (!budget--)
			return true;
		r = push_once(ts);
		if (r < 0)
			break;
		if (ts->tx->run)
			runs_sent(ts->tx, unstage(ts, (size_t)r));
		else
			unstage(ts, (size_t)r);
	}
	if (ts->tx && ts->tx->op_head != ts->tx->op_tail)
		nmti_tell(ts->s);
	return false;
}

/* ---- finished operations ---- */

bool nmti_tcp_flush_waits(const struct tcp_stream *ts)
{
	struct tcp_tx *tx = ts->tx;

	for (uint32_t i = tx ? tx->op_head : 0; tx && i != tx->op_tail; i++)
		if (op_at(tx, i)->flush)
			return true;
	return false;
}

/* 1: finished; 0: not yet; < 0: finished with this error. */
static int op_state(struct tcp_stream *ts, struct tcp_op *op)
{
	if (ts->src.fd < 0 || ts->s->error) {
		if (op->end <= ts->wire_sent && (!op->flush || ts->acked))
			return 1;
		return ts->s->error ? ts->s->error : -ECONNABORTED;
	}
	if (op->end > ts->wire_sent)
		return 0;
	if (op->flush)
		return nmti_tcp_acked(ts, op->end);
	return !op->zc || tcp_zc_complete(&ts->tx->zc, op->zc_id);
}

int nmti_tcp_tx_reap(struct nmt_stream *s, struct nmt_event *ev, int max)
{
	struct tcp_stream *ts = tcp_of(s);
	struct tcp_tx *tx = ts->tx;
	int n = 0, state;

	while (tx && n < max && tx->op_head != tx->op_tail) {
		struct tcp_op *op = op_at(tx, tx->op_head);

		state = op_state(ts, op);
		if (!state)
			break;
		memset(&ev[n], 0, sizeof(ev[n]));
		ev[n].type = op->flush ? NMT_EV_FLUSHED : NMT_EV_SENT;
		ev[n].status = state < 0 ? state : 0;
		ev[n].cookie = op->cookie;
		ev[n++].len = op->len;
		op_drop(tx);
	}
	if (n && tx->refused) {
		tx->refused = false;
		s->tx_slot = true;
	}
	s->tx_untold = tx && tx->op_head != tx->op_tail;
	return n;
}
