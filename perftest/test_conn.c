/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * conn: connections a second. The client keeps a number of connections in flight (--streams); the
 * server closes each as soon as it is open, the client when it sees that end. Latency is from the
 * connect call to the open stream.
 */
#include <errno.h>

#include "engine.h"

#define EVENTS 64

/* ---- client: a flow is a place for one connection after another ---- */

static int connect_next(struct worker *w, struct flow *f, const char *addr)
{
	struct nmt_stream_attr attr = w->run->attr;
	int err;

	if (!f->todo)
		return 0;
	if (f->todo != ENDLESS)
		f->todo--;
	attr.user = f;
	*worker_sent_at(w, f, 0) = w->now;
	err = nmt_connect(w->dom, addr, &attr, &f->stream);
	if (err < 0) {
		f->stream = NULL;
		return worker_fail(w, err, "cannot connect to %s: %s", addr, nmt_strerror(err));
	}
	w->live++;
	return 0;
}

static int ended(struct worker *w, struct flow *f, const char *addr)
{
	uint8_t byte;
	ssize_t n = nmt_recv(f->stream, &byte, 1, 0);

	if (n == -EAGAIN)
		return 0;
	if (n != 0)
		return worker_fail(w, n < 0 ? (int)n : -EPROTO, "a connection broke: %s",
				   n < 0 ? nmt_strerror((int)n) : "unexpected bytes");
	nmt_close(f->stream);
	f->stream = NULL;
	w->live--;
	worker_count(w, 1);
	return connect_next(w, f, addr);
}

static int client_event(struct worker *w, const struct nmt_event *ev, const char *addr)
{
	struct flow *f = ev->user;

	if (!f || ev->stream != f->stream)
		return 0;
	switch (ev->type) {
	case NMT_EV_CONNECTED:
		if (!w->count && w->index == 0)
			worker_note_path(w, f->stream, false);
		if (run_phase_now(w->run) == PHASE_MEASURE)
			hist_add(w->hist, (uint64_t)(clock_ns() - *worker_sent_at(w, f, 0)));
		return 0;
	case NMT_EV_READABLE:
		return ended(w, f, addr);
	case NMT_EV_ERROR:
		return worker_fail(w, ev->status, "a connection failed: %s",
				   nmt_strerror(ev->status));
	default:
		return 0;
	}
}

static int client_turn(struct worker *w, const char *addr)
{
	struct nmt_event ev[EVENTS];
	int phase = run_phase_now(w->run);
	int n, err = 0;

	if (phase == PHASE_ABORT)
		return -ECANCELED;
	for (uint32_t i = 0; phase == PHASE_STOP && i < w->nflows; i++)
		w->flows[i].todo = 0;
	n = nmt_poll(w->dom, ev, EVENTS, phase == PHASE_STOP ? 0 : NMT_FOREVER);
	w->now = clock_ns();
	for (int i = 0; err == 0 && i < n; i++)
		err = client_event(w, &ev[i], addr);
	return err;
}

static int client(struct worker *w)
{
	const struct perf_params *p = &w->run->p;
	char addr[NMT_ADDR_MAX];
	int err = 0;

	setup_addr(addr, sizeof(addr), w->run->peer, w->run->ports[w->index]);
	w->now = clock_ns();
	for (uint32_t i = 0; err == 0 && i < w->nflows; i++) {
		w->flows[i].todo = p->iterations ? p->warm_iterations + p->iterations : ENDLESS;
		err = connect_next(w, &w->flows[i], addr);
	}
	while (err == 0 && w->live)
		err = client_turn(w, addr);
	return err;
}

/* ---- server ---- */

static int accept_all(struct worker *w)
{
	struct nmt_stream *s;
	int err;

	while ((err = nmt_accept(w->listener, NULL, &s)) == 0)
		;
	if (err == -EAGAIN)
		return 0;
	return worker_fail(w, err, "cannot accept: %s", nmt_strerror(err));
}

static int server_event(struct worker *w, const struct nmt_event *ev)
{
	switch (ev->type) {
	case NMT_EV_ACCEPT:
		return accept_all(w);
	case NMT_EV_CONNECTED:
		worker_count(w, 1);
		nmt_close(ev->stream);
		return 0;
	case NMT_EV_ERROR: /* before it was open; once closed there are no errors */
		nmt_close(ev->stream);
		return 0;
	default:
		return 0;
	}
}

static int server(struct worker *w)
{
	struct nmt_event ev[EVENTS];
	int err = accept_all(w); /* the event may have come before the start */
	int n, phase;

	while (err == 0 && (phase = run_phase_now(w->run)) < PHASE_STOP) {
		n = nmt_poll(w->dom, ev, EVENTS, NMT_FOREVER);
		for (int i = 0; err == 0 && i < n; i++)
			err = server_event(w, &ev[i]);
	}
	return err;
}

const struct test_ops test_conn = { .listen = setup_listen, .client = client, .server = server };
