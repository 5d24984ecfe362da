/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A provider with paths of its own for tests of the handshake: they come up, fail, or are lost where a
 * plan says so, on the side that it names.
 */
#ifndef TESTS_FAKEPATH_H
#define TESTS_FAKEPATH_H

#include "hello.h"

enum { CLIENT, SERVER };

#define NEVER 1 /* the path neither comes up nor fails */

struct plan {
	int offer, attach; /* errors */
	int later;         /* of nmti_path_up(); NEVER */
	int lost;          /* the same again, a moment later; 0: no */
	bool inside;       /* nmti_path_up() comes inside of attach */
	int64_t delay;
};

static struct {
	struct plan plan[2];
	int attached[2], detached[2], aborted[2];
	int worked;        /* turns of an open stream whose path was lost before */
	bool kept;         /* nmti_path_up() said that the loss is the provider's matter */
	int done, words;   /* peer_done; messages of the path */
	uint32_t word_len; /* of the last one */
} fake;

struct fake_stream {
	struct nmt_stream *s;
	struct nmti_timer timer;
	bool server, up;
};

static int fake_offer(struct nmt_pdomain *pd, const struct nmt_stream *s, void *blob, uint32_t cap)
{
	(void)pd, (void)cap;
	memcpy(blob, "fake", 4);
	return fake.plan[s->boot->server].offer ? fake.plan[s->boot->server].offer : 4;
}

static void fake_fire(struct nmti_timer *t)
{
	struct fake_stream *fs = nmti_container(t, struct fake_stream, timer);
	const struct plan *p = &fake.plan[fs->server];
	struct nmt_domain *dom = fs->s->dom;

	if (fs->up) {
		fake.kept = !nmti_path_up(fs->s, p->lost);
		return;
	}
	fs->up = !p->later;
	if (fs->up && p->lost)
		nmti_timer_set(dom, &fs->timer, nmti_now() + 20 * UNIT_MS);
	nmti_path_up(fs->s, p->later);
}

static int fake_attach(struct nmt_stream *s, const struct nmti_path *path)
{
	struct fake_stream *fs = s->priv;
	const struct plan *p = &fake.plan[path->server];

	assert_int_equal(path->fd, -1);
	assert_int_equal(path->blob_len, 4);
	fs->s = s;
	fs->server = path->server;
	fs->timer.fire = fake_fire;
	s->memory += 1000;
	s->rx_ready = s->tx_ready = true;
	fake.attached[fs->server]++;
	if (p->inside)
		nmti_path_up(s, p->later);
	else if (!p->attach && p->later != NEVER)
		nmti_timer_set(s->dom, &fs->timer, nmti_now() + p->delay);
	return p->attach;
}

static void fake_peer_done(struct nmt_stream *s)
{
	(void)s;
	fake.done++;
}

static int fake_peer_path(struct nmt_stream *s, const void *msg, uint32_t len)
{
	(void)s, (void)msg;
	fake.words++;
	fake.word_len = len;
	return 0;
}

static int fake_shutdown(struct nmt_stream *s, int how)
{
	(void)s, (void)how;
	return 0;
}

static void fake_close(struct nmt_stream *s)
{
	nmti_stream_closed(s, 0);
}

static void fake_abort(struct nmt_stream *s)
{
	struct fake_stream *fs = s->priv;

	fake.aborted[fs->server]++;
	nmti_timer_cancel(s->dom, &fs->timer);
}

static void fake_detach(struct nmt_stream *s)
{
	struct fake_stream *fs = s->priv;

	fake.detached[fs->server]++;
	nmti_timer_cancel(s->dom, &fs->timer);
}

static bool fake_work(struct nmt_stream *s, uint32_t budget)
{
	(void)budget;
	fake.worked += s->state == NMT_STATE_OPEN && fake.kept;
	return false;
}

static void fake_add(struct nmt_ctx *ctx, const char *name, uint32_t rank)
{
	struct nmt_provider_ops ops = {
		.abi = NMT_PROVIDER_ABI, .size = sizeof(ops), .name = name, .rank = rank,
		.caps = NMT_CAP_NEGOTIATED | NMT_CAP_RECORDS, .max_rails = 4,
		.default_mode = NMT_MODE_NEGOTIATED, .stream_size = sizeof(struct fake_stream),
		.offer = fake_offer, .attach = fake_attach, .peer_done = fake_peer_done,
		.peer_path = fake_peer_path,
		.shutdown = fake_shutdown, .close_stream = fake_close, .abort = fake_abort,
		.detach = fake_detach, .work = fake_work,
	};

	assert_int_equal(nmti_provider_add(ctx, &ops), 0);
}

#endif
