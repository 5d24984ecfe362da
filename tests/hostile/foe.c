/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The attacker's side of the hostile-peer tests; see foe.h.
 */
#include "foe.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- sockets -------------------------------------------------------------------------------- */

void foe_shut(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

void foe_reset(int *fd)
{
	struct linger now = { .l_onoff = 1 };

	if (*fd >= 0)
		setsockopt(*fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	foe_shut(fd);
}

static struct sockaddr_in loopback(uint16_t port)
{
	return (struct sockaddr_in){ .sin_family = AF_INET,
				     .sin_port = htons(port),
				     .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
}

static bool ready(struct rig *r, int fd, short events, int ms)
{
	int64_t end = rig_now() + ms * MS;
	struct pollfd p = { .fd = fd, .events = events };

	while (poll(&p, 1, 0) == 0) {
		if (rig_now() > end)
			return false;
		rig_turn(r);
	}
	return true;
}

int foe_dial(struct rig *r, uint16_t port)
{
	struct sockaddr_in sa = loopback(port);
	int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)))
		assert_int_equal(errno, EINPROGRESS);
	assert_true(ready(r, fd, POLLOUT, REACT_MS));
	return fd;
}

uint16_t foe_port(const char *addr)
{
	const char *colon = strrchr(addr, ':');

	assert_non_null(colon);
	return (uint16_t)atoi(colon + 1);
}

void foe_send(int fd, const void *buf, size_t len)
{
	ssize_t n = send(fd, buf, len, MSG_NOSIGNAL);

	if (n < 0)
		assert_true(errno == EPIPE || errno == ECONNRESET);
	else
		assert_int_equal(n, len);
}

int foe_accept(struct rig *r, struct foe *f)
{
	int fd;

	if (!ready(r, f->listener, POLLIN, REACT_MS))
		fail_msg("libnmt does not connect");
	fd = accept4(f->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	assert_true(fd >= 0);
	return fd;
}

/* ---- life ----------------------------------------------------------------------------------- */

void foe_init(struct foe *f)
{
	*f = (struct foe){ .provider = "tcp", .listener = -1, .ctl = -1, .data = -1, .seed = 42 };
	side_init(&f->victim);
	f->victim.seed = f->seed;
	for (size_t i = 0; i < sizeof(f->hello.session); i++)
		f->hello.session[i] = (uint8_t)(rand() >> 7);
	f->hello.ver_min = 1;
	f->hello.ver_max = 1;
	f->hello.features = NMTI_FEAT_RECORDS | NMTI_FEAT_DATA_SOCKET;
	f->hello.noffers = 1;
	f->hello.offer[0].rails = 1;
	strcpy(f->hello.offer[0].name, f->provider);
}

void foe_close(struct foe *f)
{
	foe_shut(&f->ctl);
	foe_shut(&f->data);
	foe_shut(&f->listener);
}

/* ---- messages ------------------------------------------------------------------------------- */

static size_t opener(uint8_t *buf)
{
	memcpy(buf, NMTI_MAGIC, NMTI_MAGIC_LEN);
	return NMTI_MAGIC_LEN;
}

size_t foe_hello_bytes(const struct foe *f, uint8_t *buf, size_t cap)
{
	size_t n = opener(buf);
	int len = nmti_hello_encode(&f->hello, buf + n, cap - n);

	assert_true(len > 0);
	return n + (size_t)len;
}

size_t foe_join_bytes(const struct foe *f, uint8_t *buf, size_t cap)
{
	struct nmti_join join = { .rail = 0, .kind = NMTI_JOIN_DATA };
	size_t n = opener(buf);
	int len;

	memcpy(join.session, f->hello.session, sizeof(join.session));
	memcpy(join.token, f->select.token, sizeof(join.token));
	len = nmti_join_encode(&join, buf + n, cap - n);
	assert_true(len > 0);
	return n + (size_t)len;
}

/* Move the next whole message to f->msg. Its type, FOE_SILENCE if there is none yet, FOE_BAD. */
static int take_message(struct foe *f)
{
	struct nmti_msg_hdr hdr;
	int n = nmti_msg_peek(f->buf, f->have, &hdr);

	if (n <= 0)
		return n ? FOE_BAD : FOE_SILENCE;
	memcpy(f->msg, f->buf, (size_t)n);
	f->msg_len = (size_t)n;
	f->have -= (size_t)n;
	memmove(f->buf, f->buf + n, f->have);
	return hdr.type;
}

/* Read what is there; false: the connection ended. */
static bool fill(struct foe *f)
{
	ssize_t n = recv(f->ctl, f->buf + f->have, sizeof(f->buf) - f->have, 0);

	if (n > 0)
		f->have += (size_t)n;
	return n > 0 || (n < 0 && errno == EAGAIN);
}

int foe_next(struct rig *r, struct foe *f, int ms)
{
	int64_t end = rig_now() + ms * MS;
	int type;

	while ((type = take_message(f)) == FOE_SILENCE && rig_now() < end) {
		if (!fill(f))
			return f->have ? FOE_BAD : FOE_END;
		rig_turn(r);
	}
	return type;
}

bool foe_ends(struct rig *r, int fd, int ms)
{
	int64_t end = rig_now() + ms * MS;
	uint8_t buf[4096];

	while (rig_now() < end) {
		ssize_t n = recv(fd, buf, sizeof(buf), 0);

		if (!n || (n < 0 && errno != EAGAIN))
			return true;
		rig_turn(r);
	}
	return false;
}

int foe_declined(struct rig *r, struct foe *f, int ms)
{
	struct nmti_decline m;
	int type = foe_next(r, f, ms);

	if (type == FOE_END)
		return -1;
	if (type != NMTI_MSG_DECLINE)
		fail_msg("neither DECLINE nor the end of the connection, but %d", type);
	assert_int_equal(nmti_decline_decode(f->msg, f->msg_len, &m), 0);
	assert_int_equal(foe_next(r, f, ms), FOE_END);
	return m.reason;
}

void foe_send_confirm(struct foe *f, uint16_t status)
{
	struct nmti_confirm m = { .status = status, .rails = status ? 0 : f->select.rails };
	uint8_t buf[64];

	foe_send(f->ctl, buf, (size_t)nmti_confirm_encode(&m, buf, sizeof(buf)));
}

void foe_send_fin(struct foe *f, uint64_t offset, uint64_t records)
{
	struct nmti_fin m = { offset, records };
	uint8_t buf[64];

	foe_send(f->ctl, buf, (size_t)nmti_fin_encode(&m, buf, sizeof(buf)));
}

void foe_send_abort(struct foe *f, uint16_t reason)
{
	struct nmti_abort m = { reason };
	uint8_t buf[64];

	foe_send(f->ctl, buf, (size_t)nmti_abort_encode(&m, buf, sizeof(buf)));
}

void foe_send_stream(struct foe *f, size_t len, bool eor)
{
	uint8_t buf[NMTI_REC_HDR_LEN + 16384], *p = buf;

	assert_true(len <= 16384);
	if (f->select.features & NMTI_FEAT_RECORDS) {
		nmti_rec_put(p, (uint32_t)len, eor);
		p += NMTI_REC_HDR_LEN;
	}
	for (size_t i = 0; i < len; i++)
		*p++ = side_byte(f->seed, f->sent + i);
	foe_send(f->data, buf, (size_t)(p - buf));
	f->sent += len;
}

void foe_expect_confirm(struct rig *r, struct foe *f)
{
	struct nmti_confirm m;

	assert_int_equal(foe_next(r, f, REACT_MS), NMTI_MSG_CONFIRM);
	assert_int_equal(nmti_confirm_decode(f->msg, f->msg_len, &m), 0);
	assert_int_equal(m.status, 0);
	assert_int_equal(m.rails, f->select.rails);
}

/* ---- as a client ----------------------------------------------------------------------------- */

void foe_hello(struct rig *r, struct foe *f)
{
	uint8_t buf[NMTI_MAGIC_LEN + NMTI_MSG_MAX];

	if (!(r->flags & NMT_STREAM_RECORDS))
		f->hello.features &= ~NMTI_FEAT_RECORDS;
	f->ctl = foe_dial(r, foe_port(r->addr));
	assert_null(r->accept_into);
	r->accept_into = &f->victim;
	foe_send(f->ctl, buf, foe_hello_bytes(f, buf, sizeof(buf)));
	assert_int_equal(foe_next(r, f, REACT_MS), NMTI_MSG_SELECT);
	assert_int_equal(nmti_select_decode(f->msg, f->msg_len, &f->select), 0);
	assert_int_equal(nmti_select_check(&f->select, &f->hello), 0);
	assert_int_not_equal(f->select.port, 0);
}

void foe_join(struct rig *r, struct foe *f)
{
	uint8_t buf[128];

	f->data = foe_dial(r, f->select.port);
	foe_send(f->data, buf, foe_join_bytes(f, buf, sizeof(buf)));
	foe_expect_confirm(r, f);
}

void foe_confirm(struct rig *r, struct foe *f)
{
	foe_send_confirm(f, 0);
	assert_true(rig_until(r, &f->victim.connected, REACT_MS));
}

void foe_open_client(struct rig *r, struct foe *f)
{
	foe_hello(r, f);
	foe_join(r, f);
	foe_confirm(r, f);
}

/* ---- as a server ----------------------------------------------------------------------------- */

void foe_listen(struct foe *f)
{
	struct sockaddr_in sa = loopback(0);
	socklen_t len = sizeof(sa);

	f->listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	assert_true(f->listener >= 0);
	assert_int_equal(bind(f->listener, (struct sockaddr *)&sa, len), 0);
	assert_int_equal(listen(f->listener, 16), 0);
	assert_int_equal(getsockname(f->listener, (struct sockaddr *)&sa, &len), 0);
	f->port = ntohs(sa.sin_port);
}

/* The next LEN bytes of FD are the opener. */
static void take_opener(struct rig *r, int fd)
{
	uint8_t buf[NMTI_MAGIC_LEN];

	assert_true(ready(r, fd, POLLIN, REACT_MS));
	assert_int_equal(recv(fd, buf, sizeof(buf), 0), sizeof(buf));
	assert_int_equal(nmti_magic_match(buf, sizeof(buf)), NMTI_MAGIC_LEN);
}

void foe_called(struct rig *r, struct foe *f)
{
	struct nmt_stream_attr attr = rig_attr(r, &f->victim);
	char addr[NMT_ADDR_MAX];

	attr.recv_mode = r->recv_mode;
	foe_listen(f);
	snprintf(addr, sizeof(addr), "127.0.0.1:%u", f->port);
	assert_int_equal(nmt_connect(r->client, addr, &attr, &f->victim.stream), 0);
	f->ctl = foe_accept(r, f);
	foe_take_hello(r, f);
}

void foe_take_hello(struct rig *r, struct foe *f)
{
	take_opener(r, f->ctl);
	assert_int_equal(foe_next(r, f, REACT_MS), NMTI_MSG_HELLO);
	assert_int_equal(nmti_hello_decode(f->msg, f->msg_len, &f->hello), 0);
	foe_good_select(f);
}

void foe_good_select(struct foe *f)
{
	f->select = (struct nmti_select){ .version = 1, .rails = 1, .port = f->port };
	memcpy(f->select.session, f->hello.session, sizeof(f->select.session));
	memset(f->select.token, 0x77, sizeof(f->select.token));
	f->select.features = f->hello.features & (NMTI_FEAT_RECORDS | NMTI_FEAT_DATA_SOCKET);
	while (f->select.offer < f->hello.noffers &&
	       strcmp(f->hello.offer[f->select.offer].name, f->provider))
		f->select.offer++;
	assert_true(f->select.offer < f->hello.noffers);
}

void foe_take_join(struct rig *r, struct foe *f)
{
	struct nmti_join m;
	uint8_t buf[NMTI_MSG_HDR_LEN + 40];

	f->data = foe_accept(r, f);
	take_opener(r, f->data);
	assert_true(ready(r, f->data, POLLIN, REACT_MS));
	assert_int_equal(recv(f->data, buf, sizeof(buf), 0), sizeof(buf));
	assert_int_equal(nmti_join_decode(buf, sizeof(buf), &m), 0);
	assert_memory_equal(m.session, f->hello.session, sizeof(m.session));
	assert_memory_equal(m.token, f->select.token, sizeof(m.token));
	assert_int_equal(m.rail, 0);
	assert_int_equal(m.kind, NMTI_JOIN_DATA);
}

void foe_select(struct rig *r, struct foe *f)
{
	uint8_t buf[NMTI_MSG_MAX];
	int len = nmti_select_encode(&f->select, buf, sizeof(buf));

	assert_true(len > 0);
	foe_send(f->ctl, buf, (size_t)len);
	foe_take_join(r, f);
}

void foe_open_server(struct rig *r, struct foe *f)
{
	foe_called(r, f);
	foe_select(r, f);
	foe_send_confirm(f, 0);
	foe_expect_confirm(r, f);
	assert_true(rig_until(r, &f->victim.connected, REACT_MS));
}

void foe_warm_up(struct rig *r, struct foe *f)
{
	int64_t end = rig_now() + REACT_MS * MS;

	foe_send_stream(f, 1000, false);
	while (f->victim.received < f->sent && rig_now() < end)
		rig_turn(r);
	assert_int_equal(f->victim.received, f->sent);
	assert_false(f->victim.corrupt);
}

void foe_expect_end(struct rig *r, struct foe *f)
{
	int64_t end = rig_now() + REACT_MS * MS;

	while (f->victim.recv_result == NO_RESULT && rig_now() < end)
		rig_turn(r);
	assert_int_equal(f->victim.recv_result, 0);
	assert_int_equal(f->victim.received, f->sent);
	assert_false(f->victim.corrupt);
	assert_int_equal(f->victim.error, 0);
}
