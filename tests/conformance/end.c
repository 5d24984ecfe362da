/* SPDX-License-Identifier: BSD-2-Clause */
/* Ends of streams: the events that they see, with the rules that hold in every test. */
#include <stdlib.h>

#include "suite.h"

struct end *end_new(struct env *env, enum side side)
{
	struct end *e = calloc(1, sizeof(*e));

	if (!e)
		failf(env, "no memory");
	e->env = env;
	e->side = side;
	e->next = env->ends;
	e->cookie = UINT64_C(0xfeed000000000000);
	env->ends = e;
	return e;
}

static void keep(struct end *e, const struct nmt_event *ev)
{
	if (e->ndone == e->cap) {
		e->cap = e->cap ? e->cap * 2 : 64;
		e->done = realloc(e->done, e->cap * sizeof(*e->done));
		if (!e->done)
			failf(e->env, "no memory");
	}
	e->done[e->ndone++] = *ev;
}

static void on_connected(struct end *e, const struct nmt_event *ev)
{
	if (e->connected || ev->status)
		failf(e->env, "NMT_EV_CONNECTED twice, or with status %d", ev->status);
	e->connected = true;
}

static void on_error(struct end *e, const struct nmt_event *ev)
{
	if (e->error || ev->status >= 0)
		failf(e->env, "NMT_EV_ERROR twice, or with status %d", ev->status);
	e->error = ev->status;
}

static void on_closed(struct end *e, const struct nmt_event *ev)
{
	if (e->s)
		failf(e->env, "NMT_EV_CLOSED (%d) of a stream that is open", ev->status);
	e->closed = true;
	e->closed_status = ev->status;
}

void end_event(struct env *env, const struct nmt_event *ev)
{
	struct end *e = ev->user;

	if (!e || e->closed)
		failf(env, "event %u %s", ev->type, e ? "after NMT_EV_CLOSED" : "with no user");
	if (e->s && ev->stream != e->s)
		failf(env, "event %u names another stream", ev->type);
	switch (ev->type) {
	case NMT_EV_CONNECTED:
		on_connected(e, ev);
		break;
	case NMT_EV_READABLE:
		e->readable++;
		break;
	case NMT_EV_WRITABLE:
		e->writable++;
		break;
	case NMT_EV_SENT:
	case NMT_EV_RECEIVED:
	case NMT_EV_FLUSHED:
		keep(e, ev);
		break;
	case NMT_EV_ERROR:
		on_error(e, ev);
		break;
	case NMT_EV_CLOSED:
		on_closed(e, ev);
		break;
	default:
		failf(env, "unknown event %u", ev->type);
	}
}

bool end_take(struct end *e, uint32_t type, struct nmt_event *out)
{
	for (unsigned int i = 0; i < e->ndone; i++) {
		if (e->done[i].type != type)
			continue;
		*out = e->done[i];
		memmove(&e->done[i], &e->done[i + 1], (--e->ndone - i) * sizeof(*out));
		return true;
	}
	return false;
}

unsigned int end_count(const struct end *e, uint32_t type)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < e->ndone; i++)
		n += e->done[i].type == type;
	return n;
}

static const char *event_name(uint32_t type)
{
	static const char *const names[] = {
		[NMT_EV_SENT] = "NMT_EV_SENT",
		[NMT_EV_RECEIVED] = "NMT_EV_RECEIVED",
		[NMT_EV_FLUSHED] = "NMT_EV_FLUSHED",
	};

	return type < ARRAY_LEN(names) && names[type] ? names[type] : "an event";
}

void end_wait(struct end *e, uint32_t type, struct nmt_event *out)
{
	while (!end_count(e, type) && !e->closed)
		env_turn(e->env, event_name(type), __FILE__, __LINE__);
	if (!end_take(e, type, out))
		failf(e->env, "NMT_EV_CLOSED before %s", event_name(type));
}

void end_close(struct end *e)
{
	struct nmt_stream *s = e->s;

	e->s = NULL;
	assert_ok(e->env, nmt_close(s));
}

void end_abort(struct end *e)
{
	struct nmt_stream *s = e->s;

	e->s = NULL;
	assert_ok(e->env, nmt_abort(s));
}

void end_closed(struct end *e, int status)
{
	wait_for(e->env, e->closed);
	if (e->closed_status != status)
		failf(e->env, "NMT_EV_CLOSED says %d, want %d", e->closed_status, status);
}

uint64_t end_stat(const struct end *e, size_t field)
{
	struct nmt_stats st = NMT_STATS_INIT;
	uint64_t value;

	assert_ok(e->env, nmt_stats(e->env->dom[e->side], e->s, &st));
	memcpy(&value, (char *)&st + field, sizeof(value));
	return value;
}

struct nmt_stream_info end_info(const struct end *e)
{
	struct nmt_stream_info info = NMT_STREAM_INFO_INIT;

	assert_ok(e->env, nmt_stream_info(e->s, &info));
	return info;
}
