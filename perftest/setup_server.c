/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The server's data streams: each worker listens on a port of its own, accepts its share, and reads
 * the hello that says which stream it is. Streams that are not of this session are dropped.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "io.h"
#include "run.h"

#define HELLO_COOKIE UINT64_MAX

int setup_listen(struct worker *w, uint16_t port)
{
	struct nmt_stream_attr attr = w->run->attr;
	char addr[NMT_ADDR_MAX];
	int err;

	setup_addr(addr, sizeof(addr), w->run->listen_host, port);
	err = nmt_listen(w->dom, addr, &attr, &w->listener);
	if (err < 0) {
		w->listener = NULL;
		return worker_fail(w, err, "cannot listen on %s: %s", addr, nmt_strerror(err));
	}
	err = nmt_listener_addr(w->listener, addr, sizeof(addr));
	w->port = (uint16_t)atoi(strrchr(addr, ':') + 1);
	return err;
}

static struct flow *free_flow(struct worker *w, uint32_t hint)
{
	while (w->flows[hint].stream)
		hint = (hint + 1) % w->nflows;
	return &w->flows[hint];
}

static int accept_some(struct worker *w, uint32_t *taken)
{
	struct nmt_stream *s;
	struct flow *f;
	int err = 0;

	while (*taken < w->nflows) {
		err = nmt_accept(w->listener, NULL, &s);
		if (err < 0)
			break;
		f = free_flow(w, *taken);
		f->stream = s;
		f->hello_pos = 0;
		nmt_stream_set_user(s, f);
		++*taken;
	}
	if (err == 0 || err == -EAGAIN)
		return 0;
	return worker_fail(w, err, "cannot accept a data stream: %s", nmt_strerror(err));
}

/* The stream is not one of ours, or broke before it said so: make room for another. */
static int drop(struct worker *w, struct flow *f, uint32_t *taken)
{
	nmt_stream_set_user(f->stream, NULL);
	nmt_abort(f->stream);
	f->stream = NULL;
	--*taken;
	return accept_some(w, taken);
}

static int hello_done(struct worker *w, struct flow *f, uint32_t *taken, uint32_t *open)
{
	const struct perf_params *p = &w->run->p;
	struct wire_hello h;

	if (wire_get_hello(f->hello, &h) < 0 || h.kind != HELLO_DATA || h.session != p->session ||
	    h.index >= p->streams || h.index % p->threads != w->index)
		return drop(w, f, taken);
	f->index = h.index;
	f->open = true;
	++*open;
	return 0;
}

static int read_hello(struct worker *w, struct flow *f, uint32_t *taken, uint32_t *open)
{
	ssize_t n =
		nmt_recv(f->stream, f->hello + f->hello_pos, sizeof(f->hello) - f->hello_pos, 0);

	if (n == -EAGAIN)
		return 0;
	if (n <= 0)
		return drop(w, f, taken);
	f->hello_pos += (uint32_t)n;
	return f->hello_pos == sizeof(f->hello) ? hello_done(w, f, taken, open) : 0;
}

static int posted_hello(struct worker *w, struct flow *f, const struct nmt_event *ev,
			uint32_t *taken, uint32_t *open)
{
	if (ev->status < 0 || ev->len != sizeof(f->hello) ||
	    nmt_mr_read(w->rx_mr, io_slot(w, f, 0), f->hello, sizeof(f->hello)) < 0)
		return drop(w, f, taken);
	return hello_done(w, f, taken, open);
}

static int post_hello(struct worker *w, struct flow *f)
{
	int err = nmt_recv_into(f->stream, w->rx_mr, io_slot(w, f, 0), sizeof(f->hello), 0,
				HELLO_COOKIE);

	return err < 0 ? worker_fail(w, err, "cannot receive into memory: %s", nmt_strerror(err))
		       : 0;
}

static int take_event(struct worker *w, const struct nmt_event *ev, uint32_t *taken, uint32_t *open)
{
	struct flow *f = ev->user;
	bool into = w->run->p.call == CALL_INTO;

	if (ev->type == NMT_EV_ACCEPT)
		return accept_some(w, taken);
	if (!f || ev->stream != f->stream || f->open)
		return 0;
	if (ev->type == NMT_EV_ERROR)
		return drop(w, f, taken);
	if (ev->type == NMT_EV_RECEIVED)
		return posted_hello(w, f, ev, taken, open);
	if (ev->type == NMT_EV_CONNECTED && into)
		return post_hello(w, f);
	if ((ev->type == NMT_EV_READABLE || ev->type == NMT_EV_CONNECTED) && !into)
		return read_hello(w, f, taken, open);
	return 0;
}

int setup_server(struct worker *w)
{
	uint32_t taken = 0, open = 0;
	struct nmt_event ev[32];
	int err = 0, n;

	while (err == 0 && open < w->nflows) {
		if (run_phase_now(w->run) == PHASE_ABORT)
			return -ECANCELED;
		n = nmt_poll(w->dom, ev, 32, NMT_FOREVER);
		for (int i = 0; err == 0 && i < n; i++)
			err = take_event(w, &ev[i], &taken, &open);
	}
	nmt_listener_close(w->listener);
	w->listener = NULL;
	return err;
}
