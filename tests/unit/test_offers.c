/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One offer after the other, as a peer by hand sees and says it: which words end the turn of an offer,
 * in which order, and what a peer says that it must not.
 */
#include "fakepath.h"

static struct unit unit, *const u = &unit;

static void fake_begin(void)
{
	memset(&fake, 0, sizeof(fake));
	unit_ctx(u);
	fake_add(u->ctx, "verbs", 1); /* in place of the one that may be built in */
}

/* ---- a client by hand ---- */

static void hello_auto(struct hand *h)
{
	struct nmti_hello m = { .ver_min = 1, .ver_max = 1, .noffers = 3,
				.features = NMTI_FEAT_DATA_SOCKET };
	static const char *const names[] = { "verbs", "unknown", "tcp" };
	uint8_t buf[NMTI_MAGIC_LEN + NMTI_MSG_MAX];
	int n;

	memset(h, 0, sizeof(*h));
	h->data = -1;
	for (int i = 0; i < m.noffers; i++) {
		strcpy(m.offer[i].name, names[i]);
		m.offer[i].rails = 1;
		m.offer[i].blob_len = 4;
	}
	memcpy(buf, NMTI_MAGIC, NMTI_MAGIC_LEN);
	n = nmti_hello_encode(&m, buf + NMTI_MAGIC_LEN, NMTI_MSG_MAX);
	h->ctl = unit_tcp_connect(unit_port(u->l->src.fd));
	unit_write(h->ctl, buf, (size_t)n + NMTI_MAGIC_LEN);
	unit_take(u, u->l, NMT_EV_ACCEPT);
	assert_int_equal(nmt_accept(u->l, NULL, &u->b), 0);
}

static uint8_t expect_select(struct hand *h)
{
	uint8_t buf[1100], token[16];
	struct nmti_select m;
	int n;

	memcpy(token, h->token, sizeof(token));
	pump(u, h->ctl);
	n = msg_read(h->ctl, buf, sizeof(buf));
	assert_int_equal(nmti_select_decode(buf, (size_t)n, &m), 0);
	memcpy(h->token, m.token, sizeof(token));
	h->port = m.port;
	assert_memory_not_equal(token, h->token, sizeof(token));
	return m.offer;
}

static uint16_t expect_confirm(struct hand *h)
{
	struct nmti_confirm m;
	uint8_t buf[64];
	int n;

	pump(u, h->ctl);
	n = msg_read(h->ctl, buf, sizeof(buf));
	assert_int_equal(nmti_confirm_decode(buf, (size_t)n, &m), 0);
	return m.status;
}

static void send_confirm(struct hand *h, uint16_t status)
{
	struct nmti_confirm m = { .status = status, .rails = 1 };
	uint8_t buf[64];

	unit_write(h->ctl, buf, (size_t)nmti_confirm_encode(&m, buf, sizeof(buf)));
}

static void serve_by_hand(struct hand *h)
{
	struct nmt_stream_attr attr = NMT_STREAM_ATTR_INIT;
	char addr[NMT_ADDR_MAX];

	fake_begin();
	fake.plan[SERVER].later = NEVER;
	attr.mode = NMT_MODE_NEGOTIATED;
	assert_int_equal(nmt_domain_open(u->ctx, "auto", NULL, &u->dom), 0);
	unit_listen(u, &attr, addr);
	hello_auto(h);
	assert_int_equal(expect_select(h), 0);
}

static void serve_end(struct hand *h)
{
	hand_close(h);
	unit_close(u);
	assert_int_equal(fake.attached[SERVER], fake.detached[SERVER]);
}

/* Each order in which both may say it; each word once. */
static void test_words(void **state)
{
	static const int later[] = { NEVER, 0, -EHOSTUNREACH };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(later); i++) {
		struct hand h;
		char c;

		serve_by_hand(&h);
		if (later[i] != NEVER)
			nmti_path_up(u->b, later[i]);
		if (later[i] <= 0)
			assert_int_equal(expect_confirm(&h), later[i] ? NMT_WHY_PATH : 0);
		unit_has(u, u->b, 0);
		assert_int_equal(recv(h.ctl, &c, 1, MSG_DONTWAIT), -1);
		send_confirm(&h, NMT_WHY_BUSY);
		if (later[i] >= 0)
			assert_int_equal(expect_confirm(&h), NMT_WHY_BUSY);
		assert_int_equal(expect_select(&h), 2);
		hand_join(u, &h);
		send_confirm(&h, 0);
		unit_take(u, u->b, NMT_EV_CONNECTED);
		serve_end(&h);
	}
}

/* What is no word for now fails the set-up, and nothing else. */
static void test_wrong_words(void **state)
{
	struct hand h;

	(void)state;
	for (int what = 0; what < 4; what++) {
		serve_by_hand(&h);
		if (what == 0) { /* CONFIRM(0) before the server's */
			send_confirm(&h, 0);
		} else if (what == 1) { /* CONFIRM(0) behind the server's failure */
			nmti_path_up(u->b, -EHOSTUNREACH);
			assert_int_equal(expect_confirm(&h), NMT_WHY_PATH);
			send_confirm(&h, 0);
		} else if (what == 2) { /* CONFIRM(0) behind the own failure */
			send_confirm(&h, NMT_WHY_PATH);
			assert_int_equal(expect_confirm(&h), NMT_WHY_PATH);
			send_confirm(&h, 0);
		} else { /* a SELECT of one's own */
			static const uint8_t zeros[52];

			unit_write(h.ctl, "\0\2\1\0\0\0\0\x34", 8);
			unit_write(h.ctl, zeros, sizeof(zeros));
		}
		assert_int_equal(unit_take(u, u->b, NMT_EV_ERROR).status, -EPROTO);
		wait_gone(u, h.ctl);
		serve_end(&h);
	}
}

/* Every offer of the client's fails: DECLINE, and no more. */
static void test_all_fail(void **state)
{
	struct nmti_decline m;
	uint8_t buf[300];
	struct hand h;
	int n;

	(void)state;
	serve_by_hand(&h);
	send_confirm(&h, NMT_WHY_BUSY);
	assert_int_equal(expect_confirm(&h), NMT_WHY_BUSY);
	assert_int_equal(expect_select(&h), 2);
	send_confirm(&h, NMT_WHY_TIMEOUT);
	assert_int_equal(expect_confirm(&h), NMT_WHY_TIMEOUT);
	pump(u, h.ctl);
	n = msg_read(h.ctl, buf, sizeof(buf));
	assert_int_equal(nmti_decline_decode(buf, (size_t)n, &m), 0);
	assert_int_equal(m.reason, NMT_WHY_PATH);
	assert_int_equal(unit_take(u, u->b, NMT_EV_ERROR).status, -ECONNABORTED);
	wait_gone(u, h.ctl);
	serve_end(&h);
}

/* The token of a path that failed opens nothing. */
static void test_old_token(void **state)
{
	struct hand h, old;
	uint8_t buf[128];
	int fd, n;

	(void)state;
	serve_by_hand(&h);
	old = h;
	send_confirm(&h, NMT_WHY_BUSY);
	assert_int_equal(expect_confirm(&h), NMT_WHY_BUSY);
	assert_int_equal(expect_select(&h), 2);
	n = join_bytes(&old, buf, sizeof(buf), NMTI_JOIN_DATA);
	fd = unit_tcp_connect(h.port);
	unit_write(fd, buf, (size_t)n);
	wait_gone(u, fd);
	close(fd);
	hand_join(u, &h);
	serve_end(&h);
}

/* ---- a server by hand ---- */

struct srv {
	int l, ctl;
	struct nmti_hello hello;
};

/* The client u->a has said HELLO: verbs, tcp. */
static void called_by_hand(struct srv *v)
{
	struct nmt_stream_attr attr = NMT_STREAM_ATTR_INIT;
	uint8_t buf[NMTI_MAGIC_LEN + NMTI_MSG_MAX];
	char addr[64];
	int n;

	fake_begin();
	fake.plan[CLIENT].later = NEVER;
	attr.mode = NMT_MODE_NEGOTIATED;
	assert_int_equal(nmt_domain_open(u->ctx, "auto", NULL, &u->dom), 0);
	v->l = unit_tcp_listen();
	snprintf(addr, sizeof(addr), "127.0.0.1:%u", unit_port(v->l));
	assert_int_equal(nmt_connect(u->dom, addr, &attr, &u->a), 0);
	v->ctl = unit_tcp_accept(v->l);
	pump(u, v->ctl);
	unit_read(v->ctl, buf, NMTI_MAGIC_LEN);
	n = msg_read(v->ctl, buf, sizeof(buf));
	assert_int_equal(nmti_hello_decode(buf, (size_t)n, &v->hello), 0);
	assert_int_equal(v->hello.noffers, 2);
	assert_string_equal(v->hello.offer[0].name, "verbs");
	assert_string_equal(v->hello.offer[1].name, "tcp");
}

static void hand_select(struct srv *v, uint8_t offer)
{
	struct nmti_select m = { .version = 1, .offer = offer, .rails = 1, .blob_len = 4 };
	uint8_t buf[1100];

	memcpy(m.session, v->hello.session, sizeof(m.session));
	memset(m.token, offer, sizeof(m.token));
	m.port = unit_port(v->l);
	if (offer == 1) {
		m.features = NMTI_FEAT_DATA_SOCKET;
		m.blob_len = 0;
	}
	unit_write(v->ctl, buf, (size_t)nmti_select_encode(&m, buf, sizeof(buf)));
}

static void hand_decline(struct srv *v)
{
	struct nmti_decline m = { .reason = NMT_WHY_PATH, .text = "no other path" };
	uint8_t buf[300];

	unit_write(v->ctl, buf, (size_t)nmti_decline_encode(&m, buf, sizeof(buf)));
}

static void hand_confirm(struct srv *v, uint16_t status)
{
	struct hand h = { .ctl = v->ctl };

	send_confirm(&h, status);
}

static void check_hand_confirm(struct srv *v, uint16_t status)
{
	struct hand h = { .ctl = v->ctl };

	assert_int_equal(expect_confirm(&h), status);
}

static void called_end(struct srv *v)
{
	close(v->ctl);
	close(v->l);
	unit_close(u);
	assert_int_equal(fake.attached[CLIENT], fake.detached[CLIENT]);
}

/* The server's path failed: the client says so too, and takes the next offer. */
static void test_next_offer(void **state)
{
	struct srv v;
	int data;

	(void)state;
	for (int own = 0; own < 2; own++) {
		called_by_hand(&v);
		fake.plan[CLIENT].later = own ? -EHOSTUNREACH : NEVER;
		hand_select(&v, 0);
		if (own)
			check_hand_confirm(&v, NMT_WHY_PATH);
		if (own)
			hand_confirm(&v, 0); /* it was under way */
		hand_confirm(&v, NMT_WHY_BUSY);
		if (!own)
			check_hand_confirm(&v, NMT_WHY_BUSY);
		hand_select(&v, 1);
		pump(u, v.l);
		data = unit_tcp_accept(v.l);
		pump(u, data);
		hand_confirm(&v, 0);
		unit_take(u, u->a, NMT_EV_CONNECTED);
		check_hand_confirm(&v, 0);
		assert_string_equal(u->a->pd->ops->name, "tcp");
		assert_int_equal(u->a->why, NMT_WHY_PATH);
		close(data);
		called_end(&v);
	}
}

enum word { SELECT0, SELECT1, FAIL, UP, DECLINE, GONE, END };

static const struct {
	enum word word[6];
	int error;
} wrongs[] = {
	{ { SELECT0, SELECT0, END }, -EPROTO },             /* while one is being tried */
	{ { SELECT0, SELECT1, END }, -EPROTO },
	{ { SELECT0, FAIL, SELECT0, END }, -EPROTO },       /* it had its turn */
	{ { SELECT0, FAIL, FAIL, END }, -EPROTO },
	{ { SELECT0, FAIL, UP, END }, -EPROTO },
	{ { SELECT0, UP, UP, END }, -EPROTO },
	{ { SELECT1, SELECT0, END }, -EPROTO },             /* none is due */
	{ { SELECT0, DECLINE, END }, -EPROTO },
	{ { SELECT0, FAIL, DECLINE, END }, -ECONNABORTED },
	{ { SELECT0, FAIL, GONE, END }, -ECONNABORTED },
	{ { SELECT0, FAIL, SELECT1, FAIL, END }, -ECONNABORTED },
	{ { SELECT0, GONE, END }, -ECONNRESET },
};

static void say(struct srv *v, enum word word)
{
	switch (word) {
	case SELECT0:
		hand_select(v, 0);
		break;
	case SELECT1:
		hand_select(v, 1);
		break;
	case FAIL:
		hand_confirm(v, NMT_WHY_PATH);
		break;
	case UP:
		hand_confirm(v, 0);
		break;
	case DECLINE:
		hand_decline(v);
		break;
	default:
		shutdown(v->ctl, SHUT_WR);
	}
}

static void test_wrong_servers(void **state)
{
	struct srv v;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(wrongs); i++) {
		called_by_hand(&v);
		for (int k = 0; wrongs[i].word[k] != END; k++)
			say(&v, wrongs[i].word[k]);
		if (unit_take(u, u->a, NMT_EV_ERROR).status != wrongs[i].error)
			fail_msg("case %zu gives %d", i, u->a->error);
		wait_gone(u, v.ctl);
		called_end(&v);
	}
}

/* The own reason counts where all that the peer says is no. */
static void test_own_reason(void **state)
{
	struct srv v;

	(void)state;
	called_by_hand(&v);
	fake.plan[CLIENT].later = -EHOSTUNREACH;
	hand_select(&v, 0);
	check_hand_confirm(&v, NMT_WHY_PATH);
	hand_confirm(&v, NMT_WHY_PATH);
	hand_decline(&v);
	assert_int_equal(unit_take(u, u->a, NMT_EV_ERROR).status, -EHOSTUNREACH);
	assert_true(unit_logged(u, "no other path"));
	called_end(&v);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_words),	       cmocka_unit_test(test_wrong_words),
	cmocka_unit_test(test_all_fail),       cmocka_unit_test(test_old_token),
	cmocka_unit_test(test_next_offer),     cmocka_unit_test(test_wrong_servers),
	cmocka_unit_test(test_own_reason),
};

UNIT_MAIN(tests)
