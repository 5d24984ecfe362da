/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * From the stream into the sink.
 */
#include "receiver.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "die.h"
#include "sender.h"

int receiver_start(struct receiver *rx, const struct cat_options *o, struct nmt_stream *stream,
		   struct sink *sink)
{
	int err;

	memset(rx, 0, sizeof(*rx));
	rx->stream = stream;
	rx->sink = sink;
	rx->copy = o->copy;
	rx->size = o->block;
	rx->buf = malloc(rx->size);
	err = rx->buf ? checksum_init(&rx->sum, o->sum) : -ENOMEM;
	if (err < 0)
		tk_warn("cannot allocate a block of %zu bytes: %s", rx->size, strerror(-err));
	sink->ops->start(sink);
	return err;
}

void receiver_stop(struct receiver *rx)
{
	rx->sink->ops->stop(rx->sink);
	checksum_free(&rx->sum);
	free(rx->buf);
	rx->buf = NULL;
}

int receiver_fd(const struct receiver *rx)
{
	return rx->blocked ? sink_fd(rx->sink) : -1;
}

static ssize_t write_out(struct receiver *rx, const char *at, size_t len)
{
	ssize_t n = rx->sink->ops->write(rx->sink, at, len);

	rx->blocked = n == -EAGAIN;
	if (n > 0)
		checksum_update(&rx->sum, at, (size_t)n);
	return n;
}

/* 0 bytes: the end of the stream. */
static int take_end(struct receiver *rx)
{
	int err = rx->sink->ops->finish(rx->sink);

	rx->end = err == 0;
	return err < 0 ? err : 1;
}

/* Result of a receive call that gave no bytes. */
static int no_bytes(struct receiver *rx, ssize_t n)
{
	if (n == 0)
		return take_end(rx);
	if (n != -EAGAIN && n != -ENOBUFS)
		return (int)n;
	rx->idle = true;
	return 0;
}

/* ---- copying ------------------------------------------------------------------------------ */

static int step_copy(struct receiver *rx)
{
	ssize_t n;

	if (rx->at == rx->fill) {
		n = nmt_recv(rx->stream, rx->buf, rx->size, 0);
		if (n <= 0)
			return no_bytes(rx, n);
		rx->fill = (size_t)n;
		rx->at = 0;
	}
	n = write_out(rx, rx->buf + rx->at, rx->fill - rx->at);
	if (n < 0)
		return n == -EAGAIN ? 0 : (int)n;
	rx->at += (size_t)n;
	return 1;
}

/* ---- lent fragments ----------------------------------------------------------------------- */

/* Where the CPU sees the rest of F, or a part of it that was staged; *LEN bytes. */
static const char *fragment_bytes(struct receiver *rx, const struct nmt_frag *f, size_t *len)
{
	const char *cpu = nmt_mr_addr(f->mr);

	*len = f->len - rx->done;
	if (cpu)
		return cpu + f->offset + rx->done;
	if (*len > rx->size)
		*len = rx->size;
	if (nmt_mr_read(f->mr, f->offset + rx->done, rx->buf, *len) < 0)
		return NULL;
	return rx->buf;
}

static int write_fragment(struct receiver *rx, const struct nmt_frag *f)
{
	const char *at;
	size_t len;
	ssize_t n;

	at = fragment_bytes(rx, f, &len);
	if (!at)
		return -EIO;
	n = len ? write_out(rx, at, len) : 0;
	if (n < 0)
		return n == -EAGAIN ? 0 : (int)n;
	rx->done += (uint32_t)n;
	if (rx->done < f->len)
		return 1;
	rx->done = 0;
	rx->frag++;
	return nmt_release(rx->stream, f, 1) < 0 ? -EIO : 1;
}

static int step_lent(struct receiver *rx)
{
	int n;

	if (rx->frag == rx->n_frags) {
		rx->frag = rx->n_frags = 0;
		n = nmt_recv_frags(rx->stream, rx->frags, RECEIVER_FRAGS, 0);
		if (n <= 0)
			return no_bytes(rx, n);
		rx->n_frags = n;
	}
	return write_fragment(rx, &rx->frags[rx->frag]);
}

int receiver_step(struct receiver *rx)
{
	if (rx->end || rx->idle)
		return 0;
	return rx->copy ? step_copy(rx) : step_lent(rx);
}
