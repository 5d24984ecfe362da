/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Hostile peers of a stream that holds the application's memory: receives are posted, borrowed
 * sends are stuck because the peer does not read, and then it breaks the stream. All memory must
 * come back with an error, once each, and nothing may be written to it afterwards.
 */
#include "foe.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define POSTS 4
#define POST_LEN 65536
#define SEND_LEN 262144
#define SENDS_MAX 64

static struct rig rig;

struct borrow_case {
	const char *name;
	void (*attack)(struct foe *f);
};

static void control_reset(struct foe *f)
{
	foe_reset(&f->ctl);
}

static void data_reset(struct foe *f)
{
	foe_reset(&f->data);
}

static void both_closed(struct foe *f)
{
	foe_shut(&f->ctl);
	foe_shut(&f->data);
}

static void garbage(struct foe *f)
{
	foe_send(f->ctl, "what is this? it is no message", 30);
}

static void aborts(struct foe *f)
{
	foe_send_abort(f, NMT_WHY_NONE);
}

static const struct borrow_case cases[] = {
	{ "control channel reset", control_reset },
	{ "data socket reset", data_reset },
	{ "both closed with bytes unread", both_closed },
	{ "garbage on the control channel", garbage },
	{ "ABORT", aborts },
};

/* Post receives; the first one is partly filled. */
static void post(struct foe *f, struct nmt_mr *mr)
{
	for (unsigned int i = 0; i < POSTS; i++)
		assert_int_equal(nmt_recv_into(f->victim.stream, mr, i * POST_LEN, POST_LEN, 0, i),
				 0);
	foe_send_stream(f, 1000, false);
	rig_run(&rig, 20);
	assert_int_equal(f->victim.received_events, 0);
}

/* Borrow until the peer's silence stops it. How many sends were taken. */
static unsigned int borrow(struct foe *f, struct nmt_mr *mr)
{
	struct nmt_frag frag = { .mr = mr, .len = SEND_LEN };
	unsigned int n = 0;
	int rc;

	while (!(rc = nmt_send_mr(f->victim.stream, &frag, 1, 0, n)) && n < SENDS_MAX)
		n++;
	assert_int_equal(rc, -EAGAIN);
	rig_run(&rig, 20);
	assert_in_range(f->victim.sent_events, 0, n - 1);
	return n;
}

/* The bytes that came are there, and nothing behind them, whatever the peer sends now. */
static void check_posted(struct foe *f, struct nmt_mr *mr)
{
	const uint8_t *p = nmt_mr_addr(mr);

	if (f->data >= 0)
		foe_send_stream(f, 1000, false);
	pair_move(&rig, &rig.good, MIB);
	for (uint64_t i = 0; i < 1000; i++)
		assert_int_equal(p[i], side_byte(f->seed, i));
	for (size_t i = 1000; i < POSTS * POST_LEN; i++)
		assert_int_equal(p[i], 0);
}

static void await_memory(struct foe *f, unsigned int sends)
{
	int64_t end = rig_now() + REACT_MS * MS;
	const struct side *s = &f->victim;

	while ((s->sent_events < sends || s->received_events < POSTS) && rig_now() < end)
		rig_turn(&rig);
	assert_int_equal(s->sent_events, sends);
	assert_int_equal(s->received_events, POSTS);
	assert_int_equal(s->received_failed, POSTS);
	assert_true(s->sent_failed >= 1);
}

static struct nmt_mr *region(size_t size, uint32_t access)
{
	struct nmt_mr *mr;

	assert_int_equal(nmt_mr_alloc(rig.ctx, NMT_MEM_HOST, size, access, &mr), 0);
	return mr;
}

static void attack(const struct borrow_case *c, bool as_server)
{
	struct nmt_mr *in, *out;
	unsigned int sends;
	struct foe f;

	in = region(POSTS * POST_LEN, NMT_ACCESS_RECV);
	out = region(SEND_LEN, NMT_ACCESS_SEND);
	foe_init(&f);
	f.victim.reading = false;
	if (as_server)
		foe_open_server(&rig, &f);
	else
		foe_open_client(&rig, &f);
	post(&f, in);
	sends = borrow(&f, out);
	assert_int_equal(nmt_mr_close(in), -EBUSY);
	assert_int_equal(nmt_mr_close(out), -EBUSY);
	c->attack(&f);
	assert_int_equal(side_await_error(&rig, &f.victim, REACT_MS), -ECONNRESET);
	await_memory(&f, sends);
	check_posted(&f, in);
	side_close(&rig, &f.victim);
	assert_int_equal(f.victim.sent_events, sends);
	assert_int_equal(f.victim.received_events, POSTS);
	foe_close(&f);
	assert_int_equal(nmt_mr_close(in), 0);
	assert_int_equal(nmt_mr_close(out), 0);
}

struct setting {
	const struct borrow_case *c;
	bool as_server; /* then the victim's receives are placed, else gathered */
	uint32_t flags;
	char name[96];
};

static void test_case(void **state)
{
	const struct setting *set = *state;
	const struct rig_options opt = { .flags = set->flags };
	struct counts before;

	rig_open(&rig, &opt);
	rig.recv_mode = set->as_server ? NMT_RECV_POSTED : NMT_RECV_POOL;
	before = rig_counts(&rig);
	attack(set->c, set->as_server);
	rig.recv_mode = NMT_RECV_POOL;
	rig_prove(&rig);
	rig_settle(&rig, &before);
	rig_close(&rig);
}

int main(int argc, char **argv)
{
	static struct setting settings[4 * ARRAY_SIZE(cases)];
	struct CMUnitTest tests[ARRAY_SIZE(settings)];

	for (size_t i = 0; i < ARRAY_SIZE(settings); i++) {
		struct setting *set = &settings[i];

		set->c = &cases[i / 4];
		set->as_server = i & 1;
		set->flags = i & 2 ? NMT_STREAM_RECORDS : 0;
		snprintf(set->name, sizeof(set->name), "%s (attacker: %s, %s)", set->c->name,
			 set->as_server ? "server, posted" : "client, pool",
			 set->flags ? "records" : "bare");
		tests[i] = rig_test(set->name, test_case, set);
	}
	return rig_run_tests(argc, argv, tests, ARRAY_SIZE(tests));
}
