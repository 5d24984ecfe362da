/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * lat: ping-pong on one stream a thread. By default on the engine with nmt_poll; with --blocking a
 * loop of blocking calls. One clock reading a round trip: the end of one is the start of the next.
 */
#include <errno.h>

#include "pattern.h"
#include "pingpong.h"

static int set_blocking(struct worker *w)
{
	int64_t on = 1;
	int err = nmt_stream_setopt(w->flows[0].stream, NMT_OPT_BLOCKING, &on, sizeof(on));

	return err < 0 ? worker_fail(w, err, "cannot use blocking calls: %s", nmt_strerror(err))
		       : 0;
}

/* The next message, with its part of the pattern if it is verified. */
static int send_message(struct worker *w, struct flow *f)
{
	uint64_t size = w->run->p.size;
	ssize_t n = nmt_send(f->stream, w->run->tx_buf + f->tx_off, size, 0);

	if (n != (ssize_t)size)
		return n < 0 ? (int)n : -ETIMEDOUT;
	if (w->run->p.flags & PARAM_VERIFY)
		f->tx_off = (f->tx_off + size) % PATTERN_PERIOD;
	return 0;
}

/* 1: a message came; 0: the end of the stream. */
static int receive_message(struct worker *w, struct flow *f)
{
	uint64_t size = w->run->p.size;
	ssize_t n = nmt_recv(f->stream, w->rx_buf, size, MSG_WAITALL);

	if (n == 0)
		return 0;
	if (n != (ssize_t)size)
		return n < 0 ? (n == -EAGAIN ? -ETIMEDOUT : (int)n) : -ECONNRESET;
	if (w->run->p.flags & PARAM_VERIFY) {
		w->verified += size;
		if (pattern_compare(w->run->tx_buf, f->rx_off, w->rx_buf, size) >= 0)
			return -EBADMSG;
		f->rx_off += size;
	}
	worker_count(w, size);
	return 1;
}

static void start(struct worker *w, struct flow *f)
{
	const struct run *run = w->run;

	if (!(run->p.flags & PARAM_VERIFY))
		return;
	f->tx_off = pattern_start(run->p.seed, f->index, run->server);
	f->rx_off = pattern_start(run->p.seed, f->index, !run->server);
}

static int finish(struct worker *w, struct flow *f)
{
	uint8_t byte;
	ssize_t n;

	if (!w->run->server && f->index == 0)
		worker_note_path(w, f->stream, true);
	n = nmt_shutdown(f->stream, SHUT_WR);
	if (n == 0 && !w->run->server)
		n = nmt_recv(f->stream, &byte, 1, 0);
	if (n < 0)
		return (int)n;
	return n == 0 ? 0 : -EPROTO;
}

static int blocking_client(struct worker *w)
{
	const struct perf_params *p = &w->run->p;
	uint64_t left = p->iterations ? p->warm_iterations + p->iterations : ENDLESS;
	struct flow *f = &w->flows[0];
	int64_t before, now = clock_ns();
	int err = set_blocking(w);

	start(w, f);
	for (; err == 0 && left > 0 && run_phase_now(w->run) < PHASE_STOP; left--) {
		before = now;
		err = send_message(w, f);
		if (err == 0)
			err = receive_message(w, f);
		if (err <= 0)
			return err < 0 ? err : -ECONNRESET;
		err = 0;
		now = clock_ns();
		if (run_phase_now(w->run) == PHASE_MEASURE)
			hist_add(w->hist, (uint64_t)(now - before));
	}
	return err < 0 ? err : finish(w, f);
}

static int blocking_server(struct worker *w)
{
	struct flow *f = &w->flows[0];
	int err = set_blocking(w);

	start(w, f);
	if (err < 0)
		return err;
	while ((err = receive_message(w, f)) > 0) {
		err = send_message(w, f);
		if (err < 0)
			break;
	}
	return err < 0 ? err : finish(w, f);
}

static int client(struct worker *w)
{
	return w->run->p.flags & PARAM_BLOCKING ? blocking_client(w) : pingpong_client(w);
}

static int server(struct worker *w)
{
	return w->run->p.flags & PARAM_BLOCKING ? blocking_server(w) : pingpong_server(w);
}

const struct test_ops test_lat = {
	.listen = setup_listen,
	.setup = setup_flows,
	.client = client,
	.server = server,
};
