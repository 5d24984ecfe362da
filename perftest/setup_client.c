/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The client's data streams: connect them, a limited number at a time, and say hello on each.
 */
#include <errno.h>

#include "run.h"

#define CONNECTING 128 /* at a time; listeners and SYN queues are finite */

static int start_connects(struct worker *w, const char *addr, uint32_t *next, uint32_t open)
{
	struct nmt_stream_attr attr = w->run->attr;
	struct flow *f;
	int err;

	while (*next < w->nflows && *next - open < CONNECTING) {
		f = &w->flows[*next];
		attr.user = f;
		err = nmt_connect(w->dom, addr, &attr, &f->stream);
		if (err < 0) {
			f->stream = NULL;
			return worker_fail(w, err, "cannot connect stream %u to %s: %s", f->index,
					   addr, nmt_strerror(err));
		}
		++*next;
	}
	return 0;
}

static int say_hello(struct worker *w, struct flow *f)
{
	struct wire_hello hello = { HELLO_DATA, f->index, w->run->p.session };
	uint8_t buf[WIRE_HELLO_LEN];
	ssize_t n;

	wire_put_hello(buf, &hello);
	n = nmt_send(f->stream, buf, sizeof(buf), 0);
	if (n == (ssize_t)sizeof(buf))
		return 0;
	return worker_fail(w, n < 0 ? (int)n : -EIO, "stream %u: cannot say hello: %s", f->index,
			   n < 0 ? nmt_strerror((int)n) : "no room");
}

static int take_event(struct worker *w, const struct nmt_event *ev, uint32_t *open)
{
	struct flow *f = ev->user;

	if (ev->type == NMT_EV_ERROR)
		return worker_fail(w, ev->status, "cannot connect stream %u: %s", f->index,
				   nmt_strerror(ev->status));
	if (ev->type != NMT_EV_CONNECTED || f->open)
		return 0;
	f->open = true;
	++*open;
	return say_hello(w, f);
}

int setup_client(struct worker *w)
{
	uint32_t next = 0, open = 0;
	struct nmt_event ev[32];
	char addr[NMT_ADDR_MAX];
	int err, n;

	setup_addr(addr, sizeof(addr), w->run->peer, w->run->ports[w->index]);
	err = start_connects(w, addr, &next, open);
	while (err == 0 && open < w->nflows) {
		if (run_phase_now(w->run) == PHASE_ABORT)
			return -ECANCELED;
		n = nmt_poll(w->dom, ev, 32, NMT_FOREVER);
		for (int i = 0; err == 0 && i < n; i++)
			err = take_event(w, &ev[i], &open);
		if (err == 0)
			err = start_connects(w, addr, &next, open);
	}
	if (err == 0 && w->index == 0)
		worker_note_path(w, w->flows[0].stream, false);
	return err;
}
