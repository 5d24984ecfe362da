/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The control stream.
 */
#include "ctl.h"

#include <errno.h>
#include <string.h>

#include "cpu.h"

void ctl_attach(struct ctl *c, struct nmt_stream *stream)
{
	c->stream = stream;
	c->open = false;
	c->error = 0;
	c->have = 0;
}

void ctl_detach(struct ctl *c)
{
	if (c->stream)
		nmt_close(c->stream);
	c->stream = NULL;
}

int ctl_send_bytes(struct ctl *c, const void *buf, size_t len)
{
	ssize_t n = nmt_send(c->stream, buf, len, 0);

	if (n < 0)
		return n == -EAGAIN ? -ENOBUFS : (int)n;
	return (size_t)n == len ? 0 : -ENOBUFS;
}

int ctl_send(struct ctl *c, uint32_t type, const void *body)
{
	uint8_t buf[WIRE_HEAD_LEN + WIRE_BODY_MAX];

	wire_put_head(buf, type);
	wire_put_body(type, buf + WIRE_HEAD_LEN, body);
	return ctl_send_bytes(c, buf, WIRE_HEAD_LEN + (size_t)wire_body_len(type));
}

static void refuse_others(struct ctl *c)
{
	uint8_t busy[WIRE_HEAD_LEN];
	struct nmt_stream *s;

	wire_put_head(busy, MSG_BUSY);
	while (nmt_accept(c->listener, NULL, &s) == 0) {
		nmt_send(s, busy, sizeof(busy), 0);
		nmt_close(s);
	}
	c->waiting = false;
}

static void read_some(struct ctl *c)
{
	ssize_t n;

	if (c->have == sizeof(c->in)) {
		c->error = -EPROTO; /* messages are shorter and taken in time */
		return;
	}
	n = nmt_recv(c->stream, c->in + c->have, sizeof(c->in) - c->have, 0);

	if (n > 0)
		c->have += (size_t)n;
	else if (n != -EAGAIN)
		c->error = n < 0 ? (int)n : -ENOTCONN;
}

static void take_event(struct ctl *c, const struct nmt_event *ev)
{
	if (ev->type == NMT_EV_ACCEPT)
		c->waiting = true;
	if (!ev->stream || ev->stream != c->stream)
		return;
	if (ev->type == NMT_EV_CONNECTED)
		c->open = true;
	else if (ev->type == NMT_EV_READABLE)
		read_some(c);
	else if (ev->type == NMT_EV_ERROR && !c->error)
		c->error = ev->status;
}

int ctl_turn(struct ctl *c, int64_t timeout)
{
	struct nmt_event ev[8];
	int n = nmt_poll(c->dom, ev, 8, timeout);

	if (n < 0)
		return n == -EINTR ? 0 : n;
	for (int i = 0; i < n; i++)
		take_event(c, &ev[i]);
	if (c->waiting && c->stream)
		refuse_others(c);
	return 0;
}

static void consume(struct ctl *c, size_t len)
{
	c->have -= len;
	memmove(c->in, c->in + len, c->have);
}

/* The message that begins the input, if all of it is here: its type, else 0. */
static int parse(struct ctl *c, union ctl_body *body)
{
	int type, err;
	size_t len;

	if (c->have < WIRE_HEAD_LEN)
		return 0;
	type = wire_get_head(c->in);
	if (type < 0)
		return type;
	len = (size_t)wire_body_len((uint32_t)type);
	if (c->have < WIRE_HEAD_LEN + len)
		return 0;
	err = wire_get_body((uint32_t)type, c->in + WIRE_HEAD_LEN, body);
	consume(c, WIRE_HEAD_LEN + len);
	return err < 0 ? err : type;
}

int ctl_next(struct ctl *c, union ctl_body *body, int64_t timeout)
{
	int type = parse(c, body);

	if (type != 0)
		return type;
	if (c->error)
		return c->error;
	type = ctl_turn(c, timeout);
	if (type < 0)
		return type;
	type = parse(c, body);
	return type ? type : c->error;
}

int ctl_hello(struct ctl *c, int64_t timeout)
{
	int64_t end = clock_ns() + timeout;
	struct wire_hello hello;
	int err;

	while (c->have < WIRE_HELLO_LEN) {
		if (c->error)
			return c->error;
		if (clock_ns() >= end)
			return -ETIMEDOUT;
		err = ctl_turn(c, end - clock_ns());
		if (err < 0)
			return err;
	}
	err = wire_get_hello(c->in, &hello);
	consume(c, WIRE_HELLO_LEN);
	if (err == 0 && hello.kind != HELLO_CONTROL)
		err = -EPROTO;
	return err;
}
