/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Getting a connected stream.
 */
#include "link.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "die.h"
#include "progress.h"

#define EVENTS 16
#define STR(x) STR_(x)
#define STR_(x) #x

/* Pause after an accept that found no room (descriptors, memory). */
#define ACCEPT_PAUSE INT64_C(100000000)

/* 1: STREAM is open; 0: not yet; -errno: it failed. */
static int look_for(const struct nmt_stream *stream, const struct nmt_event *ev, int n)
{
	for (int i = 0; i < n; i++) {
		if (ev[i].stream != stream)
			continue;
		if (ev[i].type == NMT_EV_CONNECTED)
			return ev[i].status < 0 ? ev[i].status : 1;
		if (ev[i].type == NMT_EV_ERROR)
			return ev[i].status < 0 ? ev[i].status : -ECONNRESET;
	}
	return 0;
}

/* The library's own time-outs end this. */
static int wait_open(struct loop *l, const struct nmt_stream *stream)
{
	struct nmt_event ev[EVENTS];
	int n, r = 0;

	while (r == 0) {
		n = loop_wait(l, ev, EVENTS, -1, -1, NMT_FOREVER);
		r = n < 0 ? n : look_for(stream, ev, n);
	}
	return r < 0 ? r : 0;
}

/* ---- connect ------------------------------------------------------------------------------ */

/* Whether the library has told the user since MARK; its messages say more than a result can. */
static bool told(const struct loop *l, uint32_t mark)
{
	return *l->log_errors != mark;
}

static int connect_failed(const struct cat_options *o, int err)
{
	const char *hint = "";

	if (err == -EPROTO || err == -ECONNRESET)
		hint = " (is the peer nmt_cat? for any other TCP program use --raw)";
	tk_warn("cannot connect to %s: %s%s", o->addr, nmt_strerror(err), hint);
	return err;
}

int link_connect(struct loop *l, const struct cat_options *o, struct nmt_stream **stream)
{
	uint32_t mark = *l->log_errors;
	int err = nmt_connect(l->domain, o->addr, &o->stream.attr, stream);

	if (err < 0 && told(l, mark))
		return err;
	if (err == -EINVAL)
		tk_usage("'%s' is no HOST:PORT, or an option does not fit", o->addr);
	if (err < 0)
		return connect_failed(o, err);
	err = wait_open(l, *stream);
	if (err < 0) {
		nmt_abort(*stream);
		return err == -EINTR || told(l, mark) ? err : connect_failed(o, err);
	}
	return 0;
}

/* ---- listen ------------------------------------------------------------------------------- */

static int write_port_file(const char *path, const char *addr)
{
	const char *colon = strrchr(addr, ':');
	char tmp[4096];
	FILE *f;
	int err = 0;

	if (snprintf(tmp, sizeof(tmp), "%s.%d", path, (int)getpid()) >= (int)sizeof(tmp))
		return -ENAMETOOLONG;
	f = fopen(tmp, "wxe");
	if (!f)
		return -errno;
	fprintf(f, "%s\n%s\n", colon ? colon + 1 : addr, addr);
	if (fclose(f) == EOF || rename(tmp, path) < 0) {
		err = -errno;
		unlink(tmp);
	}
	return err;
}

static int announce(const struct cat_options *o, struct nmt_listener *listener)
{
	char addr[NMT_ADDR_MAX];
	int err = nmt_listener_addr(listener, addr, sizeof(addr));

	if (err < 0) {
		tk_warn("cannot tell the address: %s", nmt_strerror(err));
		return err;
	}
	err = o->port_file ? write_port_file(o->port_file, addr) : 0;
	if (err < 0)
		tk_warn("cannot write %s: %s", o->port_file, strerror(-err));
	else if (!o->quiet)
		tk_warn("listening on %s", addr);
	return err;
}

int link_listen(struct loop *l, const struct cat_options *o, struct nmt_listener **listener)
{
	const char *addr = o->addr ? o->addr : ":" STR(NMT_DEFAULT_PORT);
	uint32_t mark = *l->log_errors;
	int err = nmt_listen(l->domain, addr, &o->stream.attr, listener);

	if (err < 0 && told(l, mark))
		return err;
	if (err == -EINVAL)
		tk_usage("'%s' is no [HOST]:PORT, or an option does not fit", addr);
	if (err < 0) {
		tk_warn("cannot listen on %s: %s", addr, nmt_strerror(err));
		return err;
	}
	return announce(o, *listener);
}

/* ---- accept ------------------------------------------------------------------------------- */

static int no_room(int err)
{
	return err == -EMFILE || err == -ENFILE || err == -ENOBUFS || err == -ENOMEM;
}

/* A connection, not open yet. */
static int take_connection(struct loop *l, struct nmt_listener *listener, int64_t deadline,
			   struct nmt_stream **stream)
{
	struct nmt_event ev[EVENTS];
	int64_t left = NMT_FOREVER;
	int err, n;

	for (;;) {
		err = nmt_accept(listener, NULL, stream);
		if (err != -EAGAIN && !no_room(err))
			return err;
		if (deadline != NMT_FOREVER)
			left = deadline - cat_now();
		if (deadline != NMT_FOREVER && left <= 0)
			return -ETIMEDOUT;
		if (no_room(err) && (left < 0 || left > ACCEPT_PAUSE))
			left = ACCEPT_PAUSE;
		n = loop_wait(l, ev, EVENTS, -1, -1, left);
		if (n < 0)
			return n;
		left = NMT_FOREVER;
	}
}

static int accept_failed(const struct cat_options *o, int err)
{
	if (err == -ETIMEDOUT)
		tk_warn("nobody connected for %.3g s", (double)o->idle / 1e9);
	else if (err != -EINTR)
		tk_warn("cannot accept a connection: %s", nmt_strerror(err));
	return err;
}

int link_accept(struct loop *l, const struct cat_options *o, struct nmt_listener *listener,
		struct nmt_stream **stream)
{
	int64_t deadline = o->idle && !o->keep ? cat_now() + o->idle : NMT_FOREVER;
	int err;

	for (;;) {
		err = take_connection(l, listener, deadline, stream);
		if (err < 0)
			return accept_failed(o, err);
		err = wait_open(l, *stream);
		if (err == 0)
			return 0;
		nmt_abort(*stream);
		if (err == -EINTR)
			return err;
		tk_warn("a peer did not complete the handshake: %s", nmt_strerror(err));
	}
}
