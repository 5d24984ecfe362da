/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The control channel of a stream without data sockets is cut and comes back, as a peer by hand sees
 * and does it: whose JOIN is taken, what is said again, when the stream is given up.
 */
#include "fakepath.h"

static struct unit unit, *const u = &unit;

struct peer {
	struct hand h;
	int l;              /* as a server */
	struct nmt_stream *s; /* libnmt's end */
};

static void begin(void)
{
	memset(&fake, 0, sizeof(fake));
	unit_ctx(u);
	fake_add(u->ctx, "verbs", 1); /* in place of the one that may be built in */
	assert_int_equal(nmt_domain_open(u->ctx, "verbs", NULL, &u->dom), 0);
}

static struct nmt_stream_attr attr_of(int64_t recovery)
{
	struct nmt_stream_attr attr = NMT_STREAM_ATTR_INIT;

	attr.recovery_timeout = recovery;
	return attr;
}

static int read_message(struct peer *p, uint8_t buf[static 512])
{
	pump(u, p->h.ctl);
	return msg_read(p->h.ctl, buf, 512);
}

static void expect_confirm(struct peer *p)
{
	struct nmti_confirm m;
	uint8_t buf[512];
	int n = read_message(p, buf);

	assert_int_equal(nmti_confirm_decode(buf, (size_t)n, &m), 0);
	assert_int_equal(m.status, 0);
	assert_int_equal(m.rails, 1);
}

static void send_confirm(struct peer *p, uint16_t status)
{
	struct nmti_confirm m = { .status = status, .rails = 1 };
	uint8_t buf[64];

	unit_write(p->h.ctl, buf, (size_t)nmti_confirm_encode(&m, buf, sizeof(buf)));
}

static void send_closed(struct peer *p)
{
	struct nmti_abort m = { .reason = NMT_WHY_CLOSED };
	uint8_t buf[64];

	unit_write(p->h.ctl, buf, (size_t)nmti_abort_encode(&m, buf, sizeof(buf)));
}

static int resume_bytes(uint8_t *buf, uint8_t epoch)
{
	struct nmti_resume m = { .epoch = epoch, .rails = 1, .slots = 3, .offset = 77 };

	return nmti_resume_encode(&m, buf, 512);
}

static void expect_resume(struct peer *p, uint8_t epoch)
{
	uint8_t buf[512], want[512];
	int n = read_message(p, buf);

	assert_int_equal(n, resume_bytes(want, epoch));
	assert_memory_equal(buf, want, (size_t)n);
}

static void expect_closed(struct peer *p)
{
	struct nmti_abort m;
	uint8_t buf[512];
	int n = read_message(p, buf);

	assert_int_equal(nmti_abort_decode(buf, (size_t)n, &m), 0);
	assert_int_equal(m.reason, NMT_WHY_CLOSED);
}

/* Nothing comes, and nothing has happened to the stream. */
static void expect_silence(struct peer *p)
{
	char c;

	assert_false(unit_has(u, p->s, NMT_EV_ERROR));
	if (p->h.ctl >= 0)
		assert_int_equal(recv(p->h.ctl, &c, 1, MSG_DONTWAIT), -1);
	assert_int_equal(p->s->state, NMT_STATE_OPEN);
}

/* The channel carries both ways. */
static void expect_channel(struct peer *p)
{
	uint8_t buf[512];
	int n = resume_bytes(buf, 9), before = fake.words;
	int64_t limit = nmti_now() + UNIT_LIMIT;

	unit_write(p->h.ctl, buf, (size_t)n);
	while (fake.words == before) {
		assert_true(nmti_now() < limit);
		unit_poll(u, UNIT_MS);
	}
	assert_int_equal(fake.word_len, n);
	nmti_path_tell(p->s, buf, n);
	expect_resume(p, 9);
}

/* Long enough for what was sent to arrive, and be looked at. */
static void settle(void)
{
	for (int64_t end = nmti_now() + 30 * UNIT_MS; nmti_now() < end;)
		unit_poll(u, UNIT_MS);
}

static void wait_done(void)
{
	for (int64_t limit = nmti_now() + UNIT_LIMIT; !fake.done;) {
		assert_true(nmti_now() < limit);
		unit_poll(u, UNIT_MS);
	}
}

static void cut(struct peer *p)
{
	close(p->h.ctl);
	p->h.ctl = -1;
	settle();
}

static void finish(struct peer *p)
{
	if (p->h.ctl >= 0)
		close(p->h.ctl);
	if (p->l >= 0)
		close(p->l);
	unit_close(u);
	assert_int_equal(fake.attached[0] + fake.attached[1],
			 fake.detached[0] + fake.detached[1]);
}

static uint64_t declined(void)
{
	struct nmt_stats st = NMT_STATS_INIT;

	assert_int_equal(nmt_stats(u->dom, NULL, &st), 0);
	return st.declined;
}

/* ---- libnmt is the server ---- */

static int hello(uint8_t *buf)
{
	struct nmti_hello m = { .ver_min = 1, .ver_max = 1, .noffers = 1 };
	int n;

	memset(m.session, 5, sizeof(m.session));
	strcpy(m.offer[0].name, "verbs");
	m.offer[0].rails = 1;
	m.offer[0].blob_len = 4;
	memcpy(buf, NMTI_MAGIC, NMTI_MAGIC_LEN);
	n = nmti_hello_encode(&m, buf + NMTI_MAGIC_LEN, NMTI_MSG_MAX);
	return n + NMTI_MAGIC_LEN;
}

/* Up to the server's CONFIRM. */
static void greet(struct peer *p, int64_t recovery)
{
	struct nmt_stream_attr attr = attr_of(recovery);
	uint8_t buf[NMTI_MAGIC_LEN + NMTI_MSG_MAX];
	struct nmti_select m;
	char addr[NMT_ADDR_MAX];
	int n = hello(buf);

	begin();
	memset(p, 0, sizeof(*p));
	p->l = p->h.data = -1;
	p->h.session = 5;
	unit_listen(u, &attr, addr);
	p->h.ctl = unit_tcp_connect(unit_port(u->l->src.fd));
	unit_write(p->h.ctl, buf, (size_t)n);
	unit_take(u, u->l, NMT_EV_ACCEPT);
	assert_int_equal(nmt_accept(u->l, NULL, &u->b), 0);
	p->s = u->b;
	n = msg_read(p->h.ctl, buf, sizeof(buf));
	assert_int_equal(nmti_select_decode(buf, (size_t)n, &m), 0);
	memcpy(p->h.token, m.token, sizeof(m.token));
	p->h.port = m.port;
	assert_int_not_equal(m.port, 0);
	expect_confirm(p);
}

static void serve(struct peer *p, int64_t recovery)
{
	greet(p, recovery);
	send_confirm(p, 0);
	unit_take(u, p->s, NMT_EV_CONNECTED);
}

/* A connection that shows LEN bytes. */
static int show(const struct peer *p, const uint8_t *buf, size_t len)
{
	int fd = unit_tcp_connect(p->h.port);

	unit_write(fd, buf, len);
	return fd;
}

static void rejoin(struct peer *p)
{
	uint8_t buf[128];
	int n = join_bytes(&p->h, buf, sizeof(buf), NMTI_JOIN_CONTROL);

	p->h.ctl = show(p, buf, (size_t)n);
	expect_confirm(p);
}

static void test_server(void **state)
{
	struct peer p;

	(void)state;
	serve(&p, 0);
	for (int i = 0; i < 5; i++) {
		cut(&p);
		expect_silence(&p);
		rejoin(&p);
		if (i)
			expect_resume(&p, 9); /* what was said last, again */
		expect_channel(&p);
	}
	assert_true(unit_logged(u, "control channel lost"));
	assert_true(unit_logged(u, "the control channel is back"));
	finish(&p);
}

/* The client noticed first: what it brings takes the place of what is there. */
static void test_replaced(void **state)
{
	struct peer p;
	int old;

	(void)state;
	serve(&p, 0);
	for (int i = 0; i < 3; i++) {
		old = p.h.ctl;
		unit_write(old, "\0\7", 2); /* half a word, which is void now */
		rejoin(&p);
		if (i)
			expect_resume(&p, 9);
		wait_gone(u, old);
		close(old);
		expect_channel(&p);
		expect_silence(&p);
	}
	finish(&p);
}

/* It is told, and so has not to wonder whether the network did it. */
static void expect_unknown(int fd)
{
	struct nmti_confirm m;
	uint8_t buf[512];
	int n;

	pump(u, fd);
	n = msg_read(fd, buf, sizeof(buf));
	assert_int_equal(nmti_confirm_decode(buf, (size_t)n, &m), 0);
	assert_int_equal(m.status, NMT_WHY_TOKEN);
}

/* Whose JOIN is not taken, and is counted, while the channel is there and while it is away. */
static void test_refused(void **state)
{
	enum { TOKEN, SESSION, KIND, RAIL, BEHIND, WRONGS };
	uint8_t buf[128];
	struct peer p;

	(void)state;
	serve(&p, 0);
	for (int what = 0; what < 2 * WRONGS; what++) {
		uint16_t kind = what % WRONGS == KIND ? NMTI_JOIN_DATA : NMTI_JOIN_CONTROL;
		size_t n = (size_t)join_bytes(&p.h, buf, sizeof(buf), kind);
		uint64_t before = declined();
		int fd;

		if (what == WRONGS)
			cut(&p);
		if (what % WRONGS == TOKEN)
			buf[NMTI_MAGIC_LEN + NMTI_MSG_HDR_LEN + 31] ^= 1;
		if (what % WRONGS == SESSION)
			buf[NMTI_MAGIC_LEN + NMTI_MSG_HDR_LEN] ^= 0x80;
		if (what % WRONGS == RAIL)
			buf[NMTI_MAGIC_LEN + NMTI_MSG_HDR_LEN + 33] = 1;
		if (what % WRONGS == BEHIND)
			buf[n++] = 0;
		fd = show(&p, buf, n);
		if (what % WRONGS == TOKEN || what % WRONGS == SESSION)
			expect_unknown(fd);
		wait_gone(u, fd);
		close(fd);
		assert_int_equal(declined(), before + 1);
		expect_silence(&p);
	}
	rejoin(&p);
	expect_channel(&p);
	finish(&p);
}

/* A stream that is not open yet has no channel that could come back. */
static void test_not_open(void **state)
{
	uint8_t buf[128];
	struct peer p;
	int fd, n;

	(void)state;
	greet(&p, 0);
	n = join_bytes(&p.h, buf, sizeof(buf), NMTI_JOIN_CONTROL);
	fd = show(&p, buf, (size_t)n);
	wait_gone(u, fd);
	close(fd);
	send_confirm(&p, 0);
	unit_take(u, p.s, NMT_EV_CONNECTED);
	expect_channel(&p);
	finish(&p);
}

/* Many at once, good ones and bad ones: one channel is left, and nothing else. */
static void test_flood(void **state)
{
	enum { JOINS = 200 };
	uint64_t memory;
	uint8_t buf[128];
	int fd[JOINS], fds, gone = 0;
	struct nmt_stats st = NMT_STATS_INIT;
	struct peer p;

	(void)state;
	serve(&p, 0);
	fds = unit_open_fds();
	assert_int_equal(nmt_stats(NULL, p.s, &st), 0);
	memory = st.stream_memory;
	for (int i = 0; i < JOINS; i++) {
		int n = join_bytes(&p.h, buf, sizeof(buf), NMTI_JOIN_CONTROL);

		buf[20] ^= (uint8_t)(i % 3 ? i : 0);
		fd[i] = show(&p, buf, (size_t)n);
		if (i % 40 == 0)
			unit_poll(u, 0);
	}
	settle();
	for (int i = 0; i < JOINS; i++) {
		struct pollfd pfd = { .fd = fd[i], .events = POLLRDHUP };

		gone += poll(&pfd, 1, 0) == 1;
		if (pfd.revents) {
			close(fd[i]);
		} else {
			close(p.h.ctl);
			p.h.ctl = fd[i];
		}
	}
	assert_int_equal(gone, JOINS - 1);
	expect_confirm(&p);
	expect_channel(&p);
	assert_int_equal(unit_open_fds(), fds);
	assert_int_equal(nmt_stats(NULL, p.s, &st), 0);
	assert_int_equal(st.stream_memory, memory);
	finish(&p);
}

/* What was said before the cut, or while there is no channel, is said on the next one. */
static void test_said_again(void **state)
{
	uint8_t buf[512];
	struct peer p;
	int n = resume_bytes(buf, 1);

	(void)state;
	serve(&p, 0);
	nmti_path_tell(p.s, buf, n);
	expect_resume(&p, 1);
	cut(&p);
	rejoin(&p);
	expect_resume(&p, 1);
	cut(&p);
	n = resume_bytes(buf, 2);
	nmti_path_tell(p.s, buf, n); /* only the last one counts */
	nmti_done(p.s);
	assert_false(nmti_done_told(p.s));
	rejoin(&p);
	expect_resume(&p, 2);
	expect_closed(&p);
	for (int64_t limit = nmti_now() + UNIT_LIMIT; !nmti_done_told(p.s);)
		assert_true(nmti_now() < limit);
	cut(&p);
	assert_true(nmti_done_told(p.s)); /* the peer's kernel had it */
	rejoin(&p);
	expect_resume(&p, 2);
	expect_closed(&p);
	expect_silence(&p);
	finish(&p);
}

/* The peer says again that it is done: on a new channel, and not on the same one. */
static void test_heard_again(void **state)
{
	struct peer p;

	(void)state;
	serve(&p, 0);
	for (int i = 0; i < 3; i++) {
		send_closed(&p);
		wait_done();
		settle();
		assert_int_equal(fake.done, 1);
		expect_silence(&p);
		cut(&p);
		rejoin(&p);
	}
	send_closed(&p);
	send_closed(&p);
	assert_int_equal(unit_take(u, p.s, NMT_EV_ERROR).status, -ECONNRESET);
	finish(&p);
}

/* All was said and heard: the end of the channel is the end. */
static void test_over(void **state)
{
	struct peer p;

	(void)state;
	serve(&p, 100 * UNIT_MS);
	send_closed(&p);
	wait_done();
	nmti_done(p.s);
	expect_closed(&p);
	cut(&p);
	assert_false(unit_logged(u, "control channel lost"));
	for (int i = 0; i < 10; i++)
		unit_poll(u, 20 * UNIT_MS);
	expect_silence(&p);
	assert_int_equal(nmt_close(p.s), 0);
	assert_int_equal(unit_take(u, p.s, NMT_EV_CLOSED).status, 0);
	u->b = NULL;
	finish(&p);
}

/*
 * The peer says that it is done and closes its socket. Its path ends with it, so this end may talk of
 * that before it reads: the last word counts all the same, and nobody is waited for.
 */
static void test_last_word(void **state)
{
	uint8_t buf[512];
	struct peer p;

	(void)state;
	serve(&p, 0);
	send_closed(&p);
	close(p.h.ctl);
	p.h.ctl = -1;
	for (uint8_t epoch = 1; epoch < 4; epoch++) /* the first is answered with a reset */
		nmti_path_tell(p.s, buf, resume_bytes(buf, epoch));
	wait_done();
	expect_silence(&p);
	finish(&p);
}

static void test_recovery_over(void **state)
{
	struct peer p;

	(void)state;
	for (int done = 0; done < 2; done++) {
		int64_t start;

		serve(&p, 100 * UNIT_MS);
		start = nmti_now();
		if (done)
			nmti_done(p.s);
		close(p.h.ctl);
		p.h.ctl = -1;
		if (done) { /* the peer needed nothing more */
			wait_done();
			expect_silence(&p);
		} else {
			assert_int_equal(unit_take(u, p.s, NMT_EV_ERROR).status, -ETIMEDOUT);
			assert_true(unit_logged(u, "did not come back in time"));
		}
		assert_in_range(nmti_now() - start, 95 * UNIT_MS, 5 * UNIT_SEC);
		finish(&p);
	}
}

/* The path is lost as well: who lives is back soon, whatever the recovery time. */
static void test_killed(void **state)
{
	uint8_t buf[512];
	int64_t start = nmti_now();
	struct peer p;
	int n = resume_bytes(buf, 1);

	(void)state;
	serve(&p, 0);
	cut(&p);
	p.s->lost = true;
	nmti_path_tell(p.s, buf, n);
	assert_int_equal(unit_take(u, p.s, NMT_EV_ERROR).status, -ECONNRESET);
	assert_in_range(nmti_now() - start, 4 * UNIT_SEC, 9 * UNIT_SEC);
	finish(&p);
}

/* A token dies with its stream. */
static void test_gone(void **state)
{
	uint8_t buf[128];
	struct peer p;
	int fd, n;

	(void)state;
	for (int how = 0; how < 3; how++) {
		serve(&p, 0);
		n = join_bytes(&p.h, buf, sizeof(buf), NMTI_JOIN_CONTROL);
		if (how != 1)
			cut(&p);
		if (how == 2)
			nmti_stream_fail(p.s, -EIO);
		else
			assert_int_equal(nmt_abort(p.s), 0);
		fd = show(&p, buf, (size_t)n);
		expect_unknown(fd);
		wait_gone(u, fd);
		close(fd);
		if (how != 2)
			u->b = NULL;
		finish(&p);
	}
}

/* ---- libnmt is the client ---- */

static void take_hello(struct peer *p, uint8_t session[16])
{
	uint8_t buf[NMTI_MAGIC_LEN + NMTI_MSG_MAX];
	struct nmti_hello m;
	int n;

	pump(u, p->h.ctl);
	unit_read(p->h.ctl, buf, NMTI_MAGIC_LEN);
	n = msg_read(p->h.ctl, buf, sizeof(buf));
	assert_int_equal(nmti_hello_decode(buf, (size_t)n, &m), 0);
	memcpy(session, m.session, 16);
}

static uint8_t client_session[16];

static void call(struct peer *p, int64_t recovery, bool port)
{
	struct nmt_stream_attr attr = attr_of(recovery);
	struct nmti_select m = { .version = 1, .rails = 1, .blob_len = 4 };
	uint8_t buf[1100];
	char addr[64];

	begin();
	memset(p, 0, sizeof(*p));
	p->h.data = -1;
	p->l = unit_tcp_listen();
	snprintf(addr, sizeof(addr), "127.0.0.1:%u", unit_port(p->l));
	assert_int_equal(nmt_connect(u->dom, addr, &attr, &u->a), 0);
	p->s = u->a;
	p->h.ctl = unit_tcp_accept(p->l);
	take_hello(p, client_session);
	memcpy(m.session, client_session, 16);
	memset(m.token, 0x33, sizeof(m.token));
	m.port = port ? unit_port(p->l) : 0;
	unit_write(p->h.ctl, buf, (size_t)nmti_select_encode(&m, buf, sizeof(buf)));
	send_confirm(p, 0);
	expect_confirm(p);
	unit_take(u, p->s, NMT_EV_CONNECTED);
}

/* The client comes to the rendezvous port and shows what it has to. */
static void take_rejoin(struct peer *p)
{
	uint8_t buf[128];
	struct nmti_join m;
	int n;

	pump(u, p->l);
	p->h.ctl = unit_tcp_accept(p->l);
	pump(u, p->h.ctl);
	unit_read(p->h.ctl, buf, NMTI_MAGIC_LEN);
	assert_memory_equal(buf, NMTI_MAGIC, NMTI_MAGIC_LEN);
	n = msg_read(p->h.ctl, buf, sizeof(buf));
	assert_int_equal(nmti_join_decode(buf, (size_t)n, &m), 0);
	assert_int_equal(m.kind, NMTI_JOIN_CONTROL);
	assert_int_equal(m.rail, 0);
	assert_memory_equal(m.session, client_session, 16);
	for (int i = 0; i < 16; i++)
		assert_int_equal(m.token[i], 0x33);
}

static void test_client(void **state)
{
	struct peer p;

	(void)state;
	call(&p, 0, true);
	for (int i = 0; i < 4; i++) {
		cut(&p);
		take_rejoin(&p);
		send_confirm(&p, 0);
		if (i)
			expect_resume(&p, 9);
		expect_channel(&p);
	}
	expect_silence(&p);
	finish(&p);
}

/* The server speaks at once: CONFIRM and what it says again in one segment. */
static void test_client_all_at_once(void **state)
{
	struct nmti_confirm m = { .rails = 1 };
	uint8_t buf[1024];
	struct peer p;
	int n;

	(void)state;
	call(&p, 0, true);
	cut(&p);
	take_rejoin(&p);
	n = nmti_confirm_encode(&m, buf, sizeof(buf));
	n += resume_bytes(buf + n, 3);
	unit_write(p.h.ctl, buf, (size_t)n);
	send_closed(&p);
	wait_done();
	assert_int_equal(fake.words, 1);
	expect_silence(&p);
	finish(&p);
}

/* Nobody is there any more, or nobody who knows the stream: found out at once. */
static void test_client_refused(void **state)
{
	(void)state;
	for (int how = 0; how < 3; how++) {
		int64_t start = nmti_now();
		struct peer p;

		call(&p, 0, how != 2);
		if (how == 0) {
			close(p.l);
			p.l = -1;
		}
		cut(&p);
		if (how == 1) {
			take_rejoin(&p);
			send_confirm(&p, NMT_WHY_TOKEN);
		}
		assert_int_equal(unit_take(u, p.s, NMT_EV_ERROR).status, -ECONNRESET);
		assert_true(nmti_now() - start < 3 * UNIT_SEC);
		finish(&p);
	}
}

/* Somebody who hangs up again and again is not the server. */
static void test_client_hung_up(void **state)
{
	int64_t start = nmti_now();
	struct peer p;

	(void)state;
	call(&p, 0, true);
	cut(&p);
	for (int i = 0; i < 10; i++) {
		take_rejoin(&p);
		if (i % 2)
			unit_write(p.h.ctl, "220 mail.example ESMTP\r\n", 24);
		cut(&p);
	}
	assert_int_equal(unit_take(u, p.s, NMT_EV_ERROR).status, -ECONNRESET);
	assert_true(nmti_now() - start < 9 * UNIT_SEC);
	finish(&p);
}

/* A few times it may be the network. */
static void test_client_patient(void **state)
{
	struct peer p;

	(void)state;
	call(&p, 0, true);
	for (int i = 0; i < 3; i++) {
		cut(&p);
		for (int k = 0; k < 5; k++) {
			take_rejoin(&p);
			cut(&p);
			expect_silence(&p);
		}
		take_rejoin(&p);
		send_confirm(&p, 0);
		if (i)
			expect_resume(&p, 9);
		expect_channel(&p);
	}
	finish(&p);
}

/* A server that is stopped: its kernel has the JOIN, and the stream waits. */
static void test_client_stopped_server(void **state)
{
	struct peer p;

	(void)state;
	for (int answered = 0; answered < 2; answered++) {
		call(&p, 50 * UNIT_MS, true);
		cut(&p);
		take_rejoin(&p);
		for (int i = 0; i < 20; i++)
			unit_poll(u, 10 * UNIT_MS);
		expect_silence(&p);
		if (answered) {
			send_confirm(&p, 0);
			expect_channel(&p);
		} else {
			close(p.h.ctl);
			p.h.ctl = -1;
			assert_int_equal(unit_take(u, p.s, NMT_EV_ERROR).status, -ETIMEDOUT);
		}
		finish(&p);
	}
}

/* The end was said: who does not hear the peer's word any more needed nothing more. */
static void test_client_done(void **state)
{
	struct peer p;

	(void)state;
	call(&p, 0, true);
	nmti_done(p.s);
	expect_closed(&p);
	close(p.l);
	p.l = -1;
	cut(&p);
	wait_done();
	expect_silence(&p);
	finish(&p);
}

/* Closing and aborting while it is away leaves nothing behind. */
static void test_client_closes(void **state)
{
	struct peer p;

	(void)state;
	for (int how = 0; how < 4; how++) {
		int before;

		call(&p, 0, true);
		before = unit_open_fds();
		cut(&p);
		if (how > 1)
			take_rejoin(&p);
		assert_int_equal(how % 2 ? nmt_close(p.s) : nmt_abort(p.s), 0);
		unit_take(u, p.s, NMT_EV_CLOSED);
		u->a = NULL;
		assert_int_equal(unit_open_fds(), before - 2 + (how > 1));
		finish(&p);
	}
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_server),	       cmocka_unit_test(test_replaced),
	cmocka_unit_test(test_refused),	       cmocka_unit_test(test_said_again),
	cmocka_unit_test(test_not_open),       cmocka_unit_test(test_flood),
	cmocka_unit_test(test_heard_again),    cmocka_unit_test(test_over),
	cmocka_unit_test(test_last_word),
	cmocka_unit_test(test_recovery_over),  cmocka_unit_test(test_killed),
	cmocka_unit_test(test_gone),	       cmocka_unit_test(test_client),
	cmocka_unit_test(test_client_all_at_once), cmocka_unit_test(test_client_refused),
	cmocka_unit_test(test_client_hung_up), cmocka_unit_test(test_client_patient),
	cmocka_unit_test(test_client_stopped_server),
	cmocka_unit_test(test_client_done),    cmocka_unit_test(test_client_closes),
};

UNIT_MAIN(tests)
