/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The codec: a table per message says which fields of its struct follow each other, how wide.
 */
#include "wire.h"

#include <endian.h>
#include <errno.h>
#include <string.h>

#define MAGIC "NMTPERF"

struct field {
	uint16_t at;	/* in the struct */
	uint16_t count; /* elements; of width 1: text with a final NUL */
	uint8_t width;	/* bytes of an element */
};

#define MEMBER(s, f) ((struct s *)0)->f
#define ONE(s, f)                                              \
	{                                                      \
		offsetof(struct s, f), 1, sizeof(MEMBER(s, f)) \
	}
#define MANY(s, f, n)                                             \
	{                                                         \
		offsetof(struct s, f), n, sizeof(MEMBER(s, f)[0]) \
	}
#define END             \
	{               \
		0, 0, 0 \
	}

static const struct field hello_fields[] = {
	ONE(wire_hello, kind),
	ONE(wire_hello, index),
	ONE(wire_hello, session),
	END,
};

static const struct field params_fields[] = {
	ONE(perf_params, test),
	ONE(perf_params, call),
	ONE(perf_params, wait),
	ONE(perf_params, flags),
	ONE(perf_params, mode),
	ONE(perf_params, mem),
	ONE(perf_params, rails),
	ONE(perf_params, streams),
	ONE(perf_params, threads),
	ONE(perf_params, depth),
	ONE(perf_params, size),
	ONE(perf_params, recv_size),
	ONE(perf_params, iterations),
	ONE(perf_params, warm_iterations),
	ONE(perf_params, duration_ns),
	ONE(perf_params, warm_ns),
	ONE(perf_params, interval_ns),
	ONE(perf_params, stall_ns),
	ONE(perf_params, seed),
	ONE(perf_params, session),
	ONE(perf_params, sndbuf),
	ONE(perf_params, rcvbuf),
	ONE(perf_params, zerocopy_min),
	ONE(perf_params, cell),
	ONE(perf_params, pool),
	ONE(perf_params, spin_ns),
	MANY(perf_params, provider, PERF_SPEC_MAX),
	END,
};

static const struct field ready_fields[] = {
	ONE(wire_ready, status),
	ONE(wire_ready, ports),
	MANY(wire_ready, port, PERF_MAX_THREADS),
	MANY(wire_ready, text, WIRE_TEXT_MAX),
	END,
};

static const struct field interval_fields[] = {
	ONE(wire_interval, from_ns),
	ONE(wire_interval, to_ns),
	ONE(wire_interval, bytes),
	END,
};

static const struct field result_fields[] = {
	ONE(wire_result, status),
	ONE(wire_result, stats),
	ONE(wire_result, elapsed_ns),
	ONE(wire_result, progress),
	ONE(wire_result, peak),
	ONE(wire_result, user_ns),
	ONE(wire_result, sys_ns),
	ONE(wire_result, verified),
	MANY(wire_result, stat, WIRE_MAX_STATS),
	MANY(wire_result, text, WIRE_TEXT_MAX),
	END,
};

static const struct field no_fields[] = { END };

static const struct field *const bodies[MSG_LAST + 1] = {
	[MSG_PARAMS] = params_fields, [MSG_READY] = ready_fields, [MSG_STARTED] = no_fields,
	[MSG_MARK] = no_fields,	      [MSG_STOP] = no_fields,	  [MSG_INTERVAL] = interval_fields,
	[MSG_RESULT] = result_fields, [MSG_BUSY] = no_fields,
};

static void put_uint(uint8_t *to, const void *from, unsigned width)
{
	uint16_t v16;
	uint32_t v32;
	uint64_t v64;

	switch (width) {
	case 2:
		v16 = htobe16(*(const uint16_t *)from);
		memcpy(to, &v16, 2);
		break;
	case 4:
		v32 = htobe32(*(const uint32_t *)from);
		memcpy(to, &v32, 4);
		break;
	default:
		v64 = htobe64(*(const uint64_t *)from);
		memcpy(to, &v64, 8);
	}
}

static void get_uint(const uint8_t *from, void *to, unsigned width)
{
	uint16_t v16;
	uint32_t v32;
	uint64_t v64;

	switch (width) {
	case 2:
		memcpy(&v16, from, 2);
		*(uint16_t *)to = be16toh(v16);
		break;
	case 4:
		memcpy(&v32, from, 4);
		*(uint32_t *)to = be32toh(v32);
		break;
	default:
		memcpy(&v64, from, 8);
		*(uint64_t *)to = be64toh(v64);
	}
}

static size_t put_fields(uint8_t *buf, const struct field *f, const void *body)
{
	const uint8_t *from;
	size_t pos = 0;

	for (; f->width; f++) {
		from = (const uint8_t *)body + f->at;
		if (f->width == 1)
			memcpy(buf + pos, from, f->count);
		for (unsigned i = 0; f->width > 1 && i < f->count; i++)
			put_uint(buf + pos + i * f->width, from + i * f->width, f->width);
		pos += (size_t)f->width * f->count;
	}
	return pos;
}

static int get_fields(const uint8_t *buf, const struct field *f, void *body)
{
	uint8_t *to;

	for (; f->width; f++) {
		to = (uint8_t *)body + f->at;
		if (f->width == 1) {
			if (!memchr(buf, '\0', f->count))
				return -EPROTO;
			memcpy(to, buf, f->count);
		}
		for (unsigned i = 0; f->width > 1 && i < f->count; i++)
			get_uint(buf + i * f->width, to + i * f->width, f->width);
		buf += (size_t)f->width * f->count;
	}
	return 0;
}

void wire_put_hello(uint8_t buf[WIRE_HELLO_LEN], const struct wire_hello *h)
{
	uint32_t version = WIRE_VERSION;

	memset(buf, 0, WIRE_HELLO_LEN);
	memcpy(buf, MAGIC, sizeof(MAGIC));
	put_uint(buf + 8, &version, 4);
	put_fields(buf + 12, hello_fields, h);
}

int wire_get_hello(const uint8_t buf[WIRE_HELLO_LEN], struct wire_hello *h)
{
	uint32_t version;

	if (memcmp(buf, MAGIC, sizeof(MAGIC)) != 0)
		return -EPROTO;
	get_uint(buf + 8, &version, 4);
	if (version != WIRE_VERSION)
		return -EPROTONOSUPPORT;
	return get_fields(buf + 12, hello_fields, h);
}

int wire_body_len(uint32_t type)
{
	size_t len = 0;

	if (type < MSG_PARAMS || type > MSG_LAST)
		return -EPROTO;
	for (const struct field *f = bodies[type]; f->width; f++)
		len += (size_t)f->width * f->count;
	return (int)len;
}

void wire_put_head(uint8_t buf[WIRE_HEAD_LEN], uint32_t type)
{
	uint32_t len = (uint32_t)wire_body_len(type);

	put_uint(buf, &type, 4);
	put_uint(buf + 4, &len, 4);
}

int wire_get_head(const uint8_t buf[WIRE_HEAD_LEN])
{
	uint32_t type, len;

	get_uint(buf, &type, 4);
	get_uint(buf + 4, &len, 4);
	if (wire_body_len(type) < 0 || len != (uint32_t)wire_body_len(type))
		return -EPROTO;
	return (int)type;
}

void wire_put_body(uint32_t type, uint8_t *buf, const void *body)
{
	put_fields(buf, bodies[type], body);
}

int wire_get_body(uint32_t type, const uint8_t *buf, void *body)
{
	int err = get_fields(buf, bodies[type], body);

	if (err < 0)
		return err;
	if (type == MSG_READY && ((struct wire_ready *)body)->ports > PERF_MAX_THREADS)
		return -EPROTO;
	if (type == MSG_RESULT && ((struct wire_result *)body)->stats > WIRE_MAX_STATS)
		return -EPROTO;
	return 0;
}
