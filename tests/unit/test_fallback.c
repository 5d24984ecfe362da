/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A path that cannot be brought up: the stream goes on with the next offer, in the end kernel TCP, and
 * says why; without another offer it fails with that reason.
 */
#include "fakepath.h"

/* ---- two ends, each in a domain of its own ---- */

struct two {
	struct unit u;             /* the client's */
	struct nmt_domain *server;
	struct nmt_stream *s[2];
	int connected[2], error[2];
	char addr[NMT_ADDR_MAX];
	int64_t handshake, connect; /* time-outs */
	uint32_t flags;
};

static struct two t;

static void turn(struct nmt_domain *dom)
{
	struct nmt_event ev[8];
	int n = nmt_poll(dom, ev, 8, UNIT_MS / 4);

	for (int i = 0; i < n; i++) {
		int side = ev[i].stream == t.s[SERVER];

		if (ev[i].type == NMT_EV_ACCEPT)
			assert_int_equal(nmt_accept(t.u.l, NULL, &t.s[SERVER]), 0);
		if (ev[i].type == NMT_EV_CONNECTED)
			t.connected[side]++;
		if (ev[i].type == NMT_EV_ERROR)
			t.error[side] = ev[i].status;
	}
}

static void two_turn(void)
{
	turn(t.u.dom);
	turn(t.server);
}

static bool settled(int side)
{
	return t.connected[side] || t.error[side];
}

/* Plans are made before; the ends connect, or fail. */
static void two_open(const char *client, const char *server)
{
	struct nmt_domain_attr da = NMT_DOMAIN_ATTR_INIT;
	struct nmt_stream_attr attr = NMT_STREAM_ATTR_INIT;
	int64_t limit = nmti_now() + UNIT_LIMIT;

	da.spin_ns = -1;
	attr.mode = NMT_MODE_NEGOTIATED;
	attr.flags = t.flags;
	attr.handshake_timeout = t.handshake;
	attr.connect_timeout = t.connect;
	assert_int_equal(nmt_domain_open(t.u.ctx, client, &da, &t.u.dom), 0);
	assert_int_equal(nmt_domain_open(t.u.ctx, server, &da, &t.server), 0);
	assert_int_equal(nmt_listen(t.server, "127.0.0.1:0", &attr, &t.u.l), 0);
	assert_int_equal(nmt_listener_addr(t.u.l, t.addr, sizeof(t.addr)), 0);
	assert_int_equal(nmt_connect(t.u.dom, t.addr, &attr, &t.s[CLIENT]), 0);
	while (!settled(CLIENT) || !t.s[SERVER] || !settled(SERVER)) {
		assert_true(nmti_now() < limit);
		two_turn();
	}
	for (int i = 0; i < 20; i++) /* nothing comes behind it */
		two_turn();
}

static void two_begin(void)
{
	memset(&t, 0, sizeof(t));
	memset(&fake, 0, sizeof(fake));
	unit_ctx(&t.u);
	fake_add(t.u.ctx, "verbs", 1); /* in place of the one that may be built in */
}

static void two_close(void)
{
	for (int i = 0; i < 2; i++)
		assert_int_equal(nmt_abort(t.s[i]), 0);
	assert_int_equal(nmt_domain_close(t.server), 0);
	unit_close(&t.u);
	for (int i = 0; i < 2; i++)
		assert_int_equal(fake.attached[i], fake.detached[i]);
}

static struct nmt_stream_info info_of(int side)
{
	struct nmt_stream_info info = NMT_STREAM_INFO_INIT;

	assert_int_equal(nmt_stream_info(t.s[side], &info), 0);
	return info;
}

static struct nmt_stats stats_of(int side)
{
	struct nmt_stats st = NMT_STATS_INIT;

	assert_int_equal(nmt_stats(NULL, t.s[side], &st), 0);
	return st;
}

static uint64_t fallbacks(int side)
{
	struct nmt_stats st = NMT_STATS_INIT;

	assert_int_equal(nmt_stats(side ? t.server : t.u.dom, NULL, &st), 0);
	return st.fallback_path;
}

/* Bytes both ways. */
static void check_works(void)
{
	for (int side = 0; side < 2; side++) {
		int64_t limit = nmti_now() + UNIT_LIMIT;
		char buf[8];
		ssize_t n;

		assert_int_equal(nmt_send(t.s[side], "hello", 5, MSG_EOR * !!t.flags), 5);
		while ((n = nmt_recv(t.s[!side], buf, sizeof(buf), 0)) == -EAGAIN) {
			assert_true(nmti_now() < limit);
			two_turn();
		}
		assert_int_equal(n, 5);
		assert_memory_equal(buf, "hello", 5);
	}
}

/* The end is on TCP, once, and says why. */
static void check_side(int side, enum nmt_reason why, const char *text)
{
	struct nmt_stream_info info = info_of(side);

	assert_int_equal(t.connected[side], 1);
	assert_int_equal(t.error[side], 0);
	assert_string_equal(info.provider, "tcp");
	assert_int_equal(info.state, NMT_STATE_OPEN);
	assert_int_equal(info.rails, 1);
	assert_int_equal(info.why, why);
	if (!strstr(info.why_text, text))
		fail_msg("\"%s\" says nothing of \"%s\"", info.why_text, text);
	assert_int_equal(fallbacks(side), 1);
}

/* What a stream has that never was on another path. */
static uint64_t plain_memory(void)
{
	uint64_t memory;

	two_begin();
	two_open("tcp", "tcp");
	memory = stats_of(CLIENT).stream_memory;
	two_close();
	return memory;
}

/* ---- one end fails, at each step ---- */

struct where {
	struct plan plan[2];
	enum nmt_reason why[2];
	const char *text[2];
};

#define PLAN(...) { __VA_ARGS__ }
#define WHY_PATH { NMT_WHY_PATH, NMT_WHY_PATH }

static const struct where places[] = {
	{ { PLAN(.offer = -ENODEV), PLAN(0) }, { NMT_WHY_PATH, NMT_WHY_NO_PROVIDER },
	  { "verbs: ", "the peer does not offer verbs" } },
	{ { PLAN(0), PLAN(.offer = -ENODEV) }, { NMT_WHY_NO_PROVIDER, NMT_WHY_PATH },
	  { "the peer does not have verbs", "verbs: " } },
	{ { PLAN(.attach = -ENOMEM), PLAN(0) }, WHY_PATH, { "verbs: ", "verbs: the peer: " } },
	{ { PLAN(0), PLAN(.attach = -ENOMEM) }, { NMT_WHY_NO_PROVIDER, NMT_WHY_PATH },
	  { "the peer does not have verbs", "verbs: " } },
	{ { PLAN(.attach = -ENOMEM), PLAN(.later = NEVER) }, WHY_PATH,
	  { "verbs: ", "verbs: the peer: " } },
	{ { PLAN(.later = -EHOSTUNREACH, .inside = true), PLAN(0) }, WHY_PATH,
	  { "verbs: ", "verbs: the peer: " } },
	{ { PLAN(0), PLAN(.later = -EHOSTUNREACH, .inside = true) },
	  { NMT_WHY_NO_PROVIDER, NMT_WHY_PATH }, { "the peer does not have verbs", "verbs: " } },
	{ { PLAN(.later = -EHOSTUNREACH), PLAN(.later = NEVER) }, WHY_PATH,
	  { "verbs: ", "verbs: the peer: " } },
	{ { PLAN(.later = -EHOSTUNREACH, .delay = 20 * UNIT_MS), PLAN(0) }, WHY_PATH,
	  { "verbs: ", "verbs: the peer: " } },
	{ { PLAN(.later = NEVER), PLAN(.later = -EHOSTUNREACH) }, WHY_PATH,
	  { "verbs: the peer: ", "verbs: " } },
	{ { PLAN(0), PLAN(.later = -EHOSTUNREACH, .delay = 20 * UNIT_MS) }, WHY_PATH,
	  { "verbs: the peer: ", "verbs: " } },
	{ { PLAN(.later = -EHOSTUNREACH), PLAN(.later = -EHOSTUNREACH) }, WHY_PATH,
	  { "verbs: ", "verbs: " } },
	/* up, and then lost before the other end is */
	{ { PLAN(.lost = -ECONNRESET), PLAN(.later = NEVER) }, WHY_PATH,
	  { "verbs: ", "verbs: the peer: " } },
	{ { PLAN(.later = -ECONNRESET, .delay = 60 * UNIT_MS), PLAN(.lost = -ECONNRESET) },
	  WHY_PATH, { "verbs: ", "verbs: the peer: " } },
};

static void run_place(const struct where *w, uint64_t memory)
{
	char line[NMT_ADDR_MAX + 32];

	two_begin();
	t.handshake = t.connect = 4 * UNIT_SEC;
	memcpy(fake.plan, w->plan, sizeof(fake.plan));
	two_open("auto", "auto");
	for (int side = 0; side < 2; side++)
		check_side(side, w->why[side], w->text[side]);
	snprintf(line, sizeof(line), "auto: %s: verbs: ", t.addr); /* who, by what, and why */
	if (w->why[CLIENT] == NMT_WHY_PATH && !w->plan[CLIENT].offer)
		assert_true(unit_logged(&t.u, line));
	if (memory) /* the words for it aside, all of the other path is gone */
		assert_int_equal(stats_of(CLIENT).stream_memory, memory);
	check_works();
	two_close();
	for (int side = 0; side < 2; side++) /* what was not attached needs no abort */
		assert_int_equal(fake.aborted[side],
				 fake.attached[side] - !!w->plan[side].attach);
}

static void test_places(void **state)
{
	uint64_t memory = plain_memory();

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(places); i++)
		run_place(&places[i], memory);
}

static void test_records(void **state)
{
	(void)state;
	two_begin();
	t.flags = NMT_STREAM_RECORDS;
	fake.plan[CLIENT].later = -ENETUNREACH;
	two_open("auto", "auto");
	check_side(CLIENT, NMT_WHY_PATH, "verbs");
	assert_true(t.s[CLIENT]->records && t.s[SERVER]->records);
	check_works();
	two_close();
}

/* ---- a path that never answers ---- */

/* It takes half of the time of the end that has less patience, and no more. */
static void test_never(void **state)
{
	static const int64_t patience[][2] = { { 0, 400 }, { 400, 0 }, { 400, 600 } };
	static const int later[][2] = { { NEVER, NEVER }, { NEVER, 0 }, { 0, NEVER } };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(patience); i++) {
		for (size_t k = 0; k < ARRAY_LEN(later); k++) {
			int64_t start = nmti_now();

			if (later[k][SERVER] != NEVER && !patience[i][CLIENT])
				continue; /* only the client can end it, with the default */
			two_begin();
			t.connect = patience[i][CLIENT] * UNIT_MS;
			t.handshake = patience[i][SERVER] * UNIT_MS;
			fake.plan[CLIENT].later = later[k][CLIENT];
			fake.plan[SERVER].later = later[k][SERVER];
			two_open("auto", "auto");
			check_side(CLIENT, NMT_WHY_PATH, "verbs: ");
			check_side(SERVER, NMT_WHY_PATH, "verbs: ");
			assert_in_range(nmti_now() - start, 190 * UNIT_MS, 5 * UNIT_SEC);
			check_works();
			two_close();
		}
	}
}

/* ---- lost when the server has confirmed ---- */

/* The client may be open: the server keeps the path, and its provider hears when it is open. */
static void test_confirmed(void **state)
{
	(void)state;
	two_begin();
	fake.plan[SERVER].lost = -ECONNRESET;
	fake.plan[CLIENT].delay = 60 * UNIT_MS;
	two_open("auto", "auto");
	assert_int_equal(t.connected[CLIENT], 1);
	assert_int_equal(t.connected[SERVER], 1);
	assert_string_equal(info_of(SERVER).provider, "verbs");
	assert_int_equal(info_of(SERVER).why, NMT_WHY_NONE);
	assert_int_equal(fallbacks(SERVER), 0);
	assert_true(fake.kept);
	assert_true(fake.worked > 0);
	two_close();
}

/* ---- nothing to fall back to ---- */

static void check_failed(int side, int err, enum nmt_reason why)
{
	assert_int_equal(t.connected[side], 0);
	assert_int_equal(t.error[side], err);
	assert_int_equal(info_of(side).state, NMT_STATE_FAILED);
	assert_int_equal(info_of(side).why, why);
}

static void test_explicit(void **state)
{
	static const char *const specs[][2] = { { "verbs", "verbs" }, { "verbs", "auto" },
						{ "auto", "verbs" } };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(specs); i++) {
		for (int side = 0; side < 2; side++) {
			int64_t start = nmti_now();

			two_begin();
			fake.plan[side].later = -EHOSTUNREACH;
			fake.plan[!side].later = NEVER;
			two_open(specs[i][CLIENT], specs[i][SERVER]);
			check_failed(side, -EHOSTUNREACH, NMT_WHY_PATH);
			check_failed(!side, -ECONNABORTED, NMT_WHY_PATH);
			assert_true(nmti_now() - start < UNIT_SEC); /* at once */
			assert_true(unit_logged(&t.u, "the path did not come up"));
			two_close();
		}
	}
}

/* At once also where the server cannot even begin: DECLINE comes instead of a SELECT. */
static void test_explicit_attach(void **state)
{
	static const struct plan plans[] = {
		{ .attach = -ENOMEM }, { .offer = -ENOMEM }, { .later = -ENOMEM, .inside = true },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(plans); i++) {
		two_begin();
		fake.plan[SERVER] = plans[i];
		two_open("auto", "verbs");
		assert_true(unit_logged(&t.u, "the peer declined"));
		check_failed(CLIENT, -ECONNABORTED, NMT_WHY_PATH);
		check_failed(SERVER, -ENOMEM, NMT_WHY_PATH);
		two_close();
	}
}

/* ---- up at once ---- */

/* SELECT comes before CONFIRM also where a path is up before attach returns. */
static void test_up_inside(void **state)
{
	(void)state;
	for (int both = 0; both < 2; both++) {
		two_begin();
		fake.plan[SERVER].inside = true;
		fake.plan[CLIENT].inside = both;
		two_open("verbs", "verbs");
		for (int side = 0; side < 2; side++) {
			assert_int_equal(t.connected[side], 1);
			assert_int_equal(info_of(side).why, NMT_WHY_NONE);
		}
		two_close();
	}
}

/* ---- not even tried ---- */

static void test_peer_without(void **state)
{
	(void)state;
	two_begin();
	two_open("auto", "tcp");
	check_side(CLIENT, NMT_WHY_NO_PROVIDER, "the peer does not have verbs");
	assert_int_equal(info_of(SERVER).why, NMT_WHY_NONE);
	check_works();
	two_close();
	two_begin();
	two_open("tcp", "auto");
	check_side(SERVER, NMT_WHY_NO_PROVIDER, "the peer does not offer verbs");
	assert_int_equal(info_of(CLIENT).why, NMT_WHY_NONE);
	check_works();
	two_close();
}

static void test_several(void **state)
{
	(void)state;
	two_begin();
	fake_add(t.u.ctx, "second", 2);
	fake.plan[CLIENT].later = -EHOSTUNREACH;
	two_open("auto", "auto");
	check_side(CLIENT, NMT_WHY_PATH, "verbs: "); /* the best of those that failed */
	check_side(SERVER, NMT_WHY_PATH, "verbs: the peer: ");
	assert_int_equal(fake.attached[CLIENT], 2);
	assert_int_equal(fake.attached[SERVER], 2);
	check_works();
	two_close();
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_places),	       cmocka_unit_test(test_records),
	cmocka_unit_test(test_never),	       cmocka_unit_test(test_confirmed),
	cmocka_unit_test(test_explicit),       cmocka_unit_test(test_explicit_attach),
	cmocka_unit_test(test_peer_without),   cmocka_unit_test(test_several),
	cmocka_unit_test(test_up_inside),
};

UNIT_MAIN(tests)
