/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One connection from open to closed. Success means: what was sent is with the peer and the peer
 * has ended its direction in order (nmt_cat does so only after everything was written), what
 * arrived is written, and the stream is closed. Everything else aborts the stream, so that the peer
 * fails too.
 */
#include "session.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "die.h"
#include "verdict.h"

#define EVENTS 32
#define STEPS 16

/* How long the events of an aborted stream may take. */
#define ABORT_WAIT INT64_C(2000000000)

static uint64_t bytes_moved(const struct session *s)
{
	return s->tx.sum.bytes + s->rx.sum.bytes;
}

/* ---- one turn ----------------------------------------------------------------------------- */

/* What a peer that goes away early causes: its last bytes are still worth reading. */
static bool peer_gone(int err)
{
	return err == -EPIPE || err == -ECONNRESET;
}

static int step_sender(struct session *s)
{
	int r = s->tx_error ? 0 : sender_step(&s->tx);

	if (!peer_gone(r))
		return r;
	s->tx_error = r;
	return 0;
}

/* Whether nothing more can come, so that an error of the stream is the result. */
static int settled_error(const struct session *s)
{
	bool drained = s->rx.end || s->rx.idle;

	if (s->stream_error && drained)
		return s->stream_error;
	if (s->tx_error && (s->rx.end || s->one_way || !peer_gone(s->tx_error)))
		return s->tx_error;
	return 0;
}

static int step(struct session *s)
{
	int t = step_sender(s);
	int r = t < 0 ? 0 : receiver_step(&s->rx);

	if (t < 0 || r < 0)
		return t < 0 ? t : r;
	/* Nobody types on after the peer has gone. */
	if (s->rx.end && source_is_tty(&s->tx.src))
		sender_cut(&s->tx);
	if (t == 0 && r == 0)
		return settled_error(s);
	return 1;
}

/* Several steps, so that looking for events costs little. As step(). */
static int steps(struct session *s)
{
	int r, moved = 0;

	for (int i = 0; i < STEPS; i++) {
		r = step(s);
		if (r <= 0)
			return r < 0 ? r : moved;
		moved = 1;
	}
	return moved;
}

static bool done(const struct session *s)
{
	bool sent = s->tx.state == SENDER_OFF || s->tx.state == SENDER_DONE;

	return sent && (s->rx.end || s->one_way) && !s->stream_error;
}

/* ---- events ------------------------------------------------------------------------------- */

static void take_event(struct session *s, const struct nmt_event *ev)
{
	int err = 0;

	switch (ev->type) {
	case NMT_EV_READABLE:
		s->rx.idle = false;
		break;
	case NMT_EV_SENT:
	case NMT_EV_WRITABLE:
	case NMT_EV_FLUSHED:
		err = sender_event(&s->tx, ev);
		break;
	case NMT_EV_ERROR:
		s->stream_error = ev->status;
		s->rx.idle = false;
		break;
	case NMT_EV_CLOSED:
		s->closed = true;
		s->close_status = ev->status;
		break;
	default:
		break;
	}
	if (err < 0 && !s->tx_error)
		s->tx_error = err;
}

static void take_events(struct session *s, const struct nmt_event *ev, int n)
{
	for (int i = 0; i < n; i++) {
		if (ev[i].stream == s->stream)
			take_event(s, &ev[i]);
	}
}

/* ---- waiting ------------------------------------------------------------------------------ */

static int64_t min_wait(int64_t a, int64_t b)
{
	if (a < 0 || b < 0)
		return a < 0 ? b : a;
	return a < b ? a : b;
}

static int64_t until(int64_t when, int64_t now)
{
	return when > now ? when - now : 0;
}

static int wait_for_work(struct session *s, struct nmt_event *ev, int64_t now)
{
	int64_t wait = NMT_FOREVER;

	if (s->opt->idle)
		wait = until(s->last_move + s->opt->idle, now);
	if (s->bar->on)
		wait = min_wait(wait, until(s->bar->next, now));
	return loop_wait(s->loop, ev, EVENTS, sender_fd(&s->tx), receiver_fd(&s->rx), wait);
}

static int check_idle(const struct session *s, int64_t now)
{
	if (!s->opt->idle || now - s->last_move < s->opt->idle)
		return 0;
	tk_warn("no byte moved for %.3g s", (double)s->opt->idle / 1e9);
	return -ETIMEDOUT;
}

/* One turn: work, events, clock. 0 to go on; CAT_TOLD, -EINTR or -errno: give up. */
static int turn(struct session *s)
{
	struct nmt_event ev[EVENTS];
	int moved = steps(s), n;
	int64_t now = cat_now();

	if (moved < 0 || done(s))
		return moved < 0 ? moved : 0;
	if (moved)
		n = loop_look(s->loop, ev, EVENTS);
	else
		n = wait_for_work(s, ev, now);
	if (n < 0)
		return n;
	take_events(s, ev, n);
	if (moved || n)
		s->last_move = now = cat_now();
	progress_update(s->bar, bytes_moved(s), now);
	return check_idle(s, cat_now());
}

/* ---- the end ------------------------------------------------------------------------------ */

/* Wait for NMT_EV_CLOSED until DEADLINE. 0, -EINTR, -ETIMEDOUT. */
static int wait_closed(struct session *s, int64_t deadline)
{
	struct nmt_event ev[EVENTS];
	int64_t now, wait = NMT_FOREVER;
	int n;

	while (!s->closed) {
		now = cat_now();
		if (deadline != NMT_FOREVER && now >= deadline)
			return -ETIMEDOUT;
		if (deadline != NMT_FOREVER)
			wait = deadline - now;
		n = loop_wait(s->loop, ev, EVENTS, -1, -1, wait);
		if (n < 0)
			return n;
		take_events(s, ev, n);
	}
	return 0;
}

/* The library's linger time bounds this. A pure receiver has its bytes already. */
static int close_in_order(struct session *s)
{
	int err;

	nmt_close(s->stream);
	err = wait_closed(s, NMT_FOREVER);
	if (err < 0)
		return err;
	return s->tx.state == SENDER_OFF ? 0 : s->close_status;
}

static void abort_stream(struct session *s)
{
	nmt_abort(s->stream);
	wait_closed(s, cat_now() + ABORT_WAIT);
}

static void report_broken(const struct session *s, int err)
{
	tk_warn("the connection broke after %" PRIu64 " bytes sent and %" PRIu64 " received: %s",
		s->tx.sum.bytes, s->rx.sum.bytes, nmt_strerror(err));
}

static int give_up(struct session *s, int err)
{
	progress_clear(s->bar);
	abort_stream(s);
	if (s->loop->signal)
		return TK_EXIT_SIGNAL + s->loop->signal;
	if (err != CAT_TOLD && err != -ETIMEDOUT)
		report_broken(s, err);
	return err == CAT_TOLD ? TK_EXIT_FAILURE : tk_exit_of(err);
}

/* Small enough for the empty send queue of a stream that has sent nothing. */
static int send_answer(struct session *s)
{
	unsigned char answer[NAMES_ANSWER];
	ssize_t n;

	if (!s->opt->dir)
		return 0;
	names_put_answer(answer, &s->rx.sink->got);
	n = nmt_send(s->stream, answer, sizeof(answer), 0);
	if (n < 0)
		return (int)n;
	return n == (ssize_t)sizeof(answer) ? 0 : -EIO;
}

static int conclude(struct session *s)
{
	int err = close_in_order(s);

	if (s->loop->signal)
		return TK_EXIT_SIGNAL + s->loop->signal;
	if (err < 0) {
		report_broken(s, err);
		return TK_EXIT_FAILURE;
	}
	progress_finish(s->bar, bytes_moved(s));
	return verdict(s->opt, &s->tx, &s->rx);
}

/* ---- all of it ---------------------------------------------------------------------------- */

static void set_up(struct session *s, const struct cat_options *o, struct nmt_stream *stream)
{
	struct nmt_stream_info info = NMT_STREAM_INFO_INIT;

	s->opt = o;
	s->stream = stream;
	s->last_move = cat_now();
	if (nmt_stream_info(stream, &info) == 0)
		s->one_way = o->send_only && info.mode == NMT_MODE_RAW;
}

int session_run(struct session *s, const struct cat_options *o, struct loop *l,
		struct nmt_stream *stream, const struct sender_memory *mem, struct sink *sink,
		struct progress *bar, uint64_t total)
{
	int err, result;

	memset(s, 0, sizeof(*s));
	set_up(s, o, stream);
	s->loop = l;
	s->bar = bar;
	progress_start(bar, !o->quiet && (o->progress || isatty(STDERR_FILENO)), total);
	err = sender_start(&s->tx, mem, o, stream);
	if (receiver_start(&s->rx, o, stream, sink) < 0 || err < 0)
		err = CAT_TOLD;
	while (!err && !done(s))
		err = turn(s);
	if (!err)
		err = send_answer(s);
	result = err ? give_up(s, err) : conclude(s);
	sender_stop(&s->tx);
	receiver_stop(&s->rx);
	return result;
}
