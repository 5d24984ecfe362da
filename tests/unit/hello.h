/* SPDX-License-Identifier: BSD-2-Clause */
/* The messages of a handshake as a test sends and expects them on a plain socket. */
#ifndef TESTS_HELLO_H
#define TESTS_HELLO_H

#include "setup.h"
#include "unit.h"

/* A HELLO that a "tcp" domain accepts, with the magic in front; returns its length. */
static inline int hello_bytes(uint8_t *buf, size_t cap, uint8_t session, uint64_t required)
{
	struct nmti_hello m = { .ver_min = 1, .ver_max = 1, .noffers = 1 };
	int n;

	memset(m.session, session, sizeof(m.session));
	m.required = required;
	m.features = required | NMTI_FEAT_DATA_SOCKET;
	m.offer[0].rails = 1;
	strcpy(m.offer[0].name, "tcp");
	memcpy(buf, NMTI_MAGIC, NMTI_MAGIC_LEN);
	n = nmti_hello_encode(&m, buf + NMTI_MAGIC_LEN, cap - NMTI_MAGIC_LEN);
	assert_true(n > 0);
	return n + NMTI_MAGIC_LEN;
}

/* Read one whole message; returns its length. */
static inline int msg_read(int fd, uint8_t *buf, size_t cap)
{
	struct nmti_msg_hdr hdr;

	unit_read(fd, buf, NMTI_MSG_HDR_LEN);
	nmti_msg_peek(buf, NMTI_MSG_HDR_LEN, &hdr);
	assert_true(NMTI_MSG_HDR_LEN + hdr.len <= cap);
	unit_read(fd, buf + NMTI_MSG_HDR_LEN, hdr.len);
	return NMTI_MSG_HDR_LEN + (int)hdr.len;
}

static inline uint16_t msg_type(const uint8_t *buf)
{
	struct nmti_msg_hdr hdr;

	nmti_msg_peek(buf, NMTI_MSG_HDR_LEN, &hdr);
	return hdr.type;
}

/* Wait until the peer has ended or reset the connection, passing over what it says before. */
static inline void wait_gone(struct unit *u, int fd)
{
	int64_t limit = nmti_now() + UNIT_LIMIT;
	uint8_t drop[256];
	ssize_t r;

	for (;;) {
		r = recv(fd, drop, sizeof(drop), MSG_DONTWAIT);
		if (!r || (r < 0 && errno != EAGAIN))
			return;
		assert_true(nmti_now() < limit);
		unit_poll(u, UNIT_MS);
	}
}

/* Run the domain until the plain socket has something to read. */
static inline void pump(struct unit *u, int fd)
{
	int64_t limit = nmti_now() + UNIT_LIMIT;
	struct pollfd p = { .fd = fd, .events = POLLIN };

	while (poll(&p, 1, 0) != 1) {
		assert_true(nmti_now() < limit);
		unit_poll(u, UNIT_MS);
	}
}

/* ---- a client by hand ---------------------------------------------------------------------- */

struct hand {
	int ctl, data;
	uint8_t session, token[NMTI_TOKEN_LEN];
	uint16_t port; /* rendezvous */
	uint64_t features;
};

/* HELLO and SELECT with the negotiated listener u->l; the stream is accepted as u->b. */
static inline void hand_hello(struct unit *u, struct hand *h, uint8_t session, uint64_t required)
{
	uint8_t buf[NMTI_MSG_MAX + NMTI_MAGIC_LEN];
	struct nmti_select m;
	int n = hello_bytes(buf, sizeof(buf), session, required);

	memset(h, 0, sizeof(*h));
	h->session = session;
	h->data = -1;
	h->ctl = unit_tcp_connect(unit_port(u->l->src.fd));
	unit_write(h->ctl, buf, (size_t)n);
	unit_take(u, u->l, NMT_EV_ACCEPT);
	assert_int_equal(nmt_accept(u->l, NULL, &u->b), 0);
	n = msg_read(h->ctl, buf, sizeof(buf));
	assert_int_equal(nmti_select_decode(buf, (size_t)n, &m), 0);
	memcpy(h->token, m.token, sizeof(h->token));
	h->port = m.port;
	h->features = m.features;
}

/* The JOIN that brings the data socket, with the magic in front. */
static inline int join_bytes(const struct hand *h, uint8_t *buf, size_t cap, uint16_t kind)
{
	struct nmti_join m = { .kind = kind };
	int n;

	memset(m.session, h->session, sizeof(m.session));
	memcpy(m.token, h->token, sizeof(m.token));
	memcpy(buf, NMTI_MAGIC, NMTI_MAGIC_LEN);
	n = nmti_join_encode(&m, buf + NMTI_MAGIC_LEN, cap - NMTI_MAGIC_LEN);
	assert_true(n > 0);
	return n + NMTI_MAGIC_LEN;
}

static inline void hand_join(struct unit *u, struct hand *h)
{
	struct nmti_confirm m;
	uint8_t buf[256];
	int n = join_bytes(h, buf, sizeof(buf), NMTI_JOIN_DATA);

	h->data = unit_tcp_connect(h->port);
	unit_write(h->data, buf, (size_t)n);
	pump(u, h->ctl);
	n = msg_read(h->ctl, buf, sizeof(buf));
	assert_int_equal(nmti_confirm_decode(buf, (size_t)n, &m), 0);
	assert_int_equal(m.status, 0);
}

/* The whole handshake: u->b is open, h->ctl and h->data are the peer's ends. */
static inline void hand_shake(struct unit *u, struct hand *h, uint64_t required)
{
	struct nmti_confirm m = { .rails = 1 };
	uint8_t buf[64];

	hand_hello(u, h, 1, required);
	hand_join(u, h);
	unit_write(h->ctl, buf, (size_t)nmti_confirm_encode(&m, buf, sizeof(buf)));
	unit_take(u, u->b, NMT_EV_CONNECTED);
}

static inline void hand_close(struct hand *h)
{
	close(h->ctl);
	if (h->data >= 0)
		close(h->data);
}

#endif
