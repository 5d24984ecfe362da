/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Hostile peers by dice: whole connections, as client and as server, in which any message may be
 * changed, cut, doubled or stuffed, sent in pieces, and followed by any action, in any order. Each
 * run has a seed, which a failure names. What must hold: the well-behaved pair does not notice, all
 * counts come back, and the victim sees an orderly end only where the attacker made one.
 */
#include "foe.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define SEEDS 120
#define PATIENCE_MS 40
#define FAR_MS 500

static struct rig rig;
static unsigned int dice;

/* 0..N-1; a generator of our own, so that a seed means the same everywhere. */
static unsigned int roll(unsigned int n)
{
	dice = dice * 1103515245u + 12345u;
	return (dice >> 16) % n;
}

/* Change the message, or leave it alone (mostly). CAP is at least LEN + 16. */
static size_t spoil(uint8_t *buf, size_t len)
{
	size_t at = roll((unsigned int)len);

	switch (roll(12)) {
	case 0:
		buf[at] ^= (uint8_t)(1u << roll(8));
		return len;
	case 1:
		buf[at] = (uint8_t)roll(256);
		return len;
	case 2:
		return at;
	case 3:
		for (int i = 0; i < 16; i++)
			buf[len++] = (uint8_t)roll(256);
		return len;
	default:
		return len;
	}
}

static void send_pieces(int fd, const uint8_t *buf, size_t len)
{
	while (len) {
		size_t n = roll(3) ? len : 1 + roll((unsigned int)len);

		foe_send(fd, buf, n);
		buf += n;
		len -= n;
		if (len)
			rig_run(&rig, (int)roll(3));
	}
}

static void send_spoilt(int fd, uint8_t *buf, size_t len)
{
	send_pieces(fd, buf, spoil(buf, len));
}

/* ---- set-up ------------------------------------------------------------------------------------ */

static void send_confirm(struct foe *f)
{
	struct nmti_confirm up = { .status = 0, .rails = 1 };
	uint8_t buf[64];

	send_spoilt(f->ctl, buf, (size_t)nmti_confirm_encode(&up, buf, sizeof(buf)));
	for (int i = 0; i < PATIENCE_MS && !f->victim.connected && !f->victim.error; i++)
		rig_run(&rig, 1);
}

static void be_client(struct foe *f)
{
	uint8_t buf[256];

	if (!rig.flags)
		f->hello.features &= ~NMTI_FEAT_RECORDS;
	rig.accept_into = &f->victim;
	f->ctl = foe_dial(&rig, foe_port(rig.addr));
	send_spoilt(f->ctl, buf, foe_hello_bytes(f, buf, sizeof(buf)));
	if (foe_next(&rig, f, PATIENCE_MS) != NMTI_MSG_SELECT ||
	    nmti_select_decode(f->msg, f->msg_len, &f->select))
		return;
	f->data = foe_dial(&rig, f->select.port);
	send_spoilt(f->data, buf, foe_join_bytes(f, buf, sizeof(buf)));
	if (foe_next(&rig, f, PATIENCE_MS) == NMTI_MSG_CONFIRM)
		send_confirm(f);
}

/* The data connection, if the victim makes one; its JOIN is dropped. */
static void take_data(struct foe *f)
{
	struct pollfd p = { .fd = f->listener, .events = POLLIN };
	uint8_t buf[NMTI_MAGIC_LEN + NMTI_MSG_HDR_LEN + 40];

	for (int i = 0; i < PATIENCE_MS && poll(&p, 1, 0) == 0; i++)
		rig_run(&rig, 1);
	if (!(p.revents & POLLIN))
		return;
	f->data = foe_accept(&rig, f);
	p.fd = f->data;
	for (int i = 0; i < PATIENCE_MS && poll(&p, 1, 0) == 0; i++)
		rig_run(&rig, 1);
	if (recv(f->data, buf, sizeof(buf), 0) == sizeof(buf))
		send_confirm(f);
}

static void be_server(struct foe *f)
{
	uint8_t buf[1200];

	foe_called(&rig, f);
	send_spoilt(f->ctl, buf, (size_t)nmti_select_encode(&f->select, buf, sizeof(buf) - 16));
	take_data(f);
}

/* ---- afterwards -------------------------------------------------------------------------------- */

struct end {
	bool fin;        /* a FIN was sent ... */
	uint64_t offset; /* ... and the first one said this */
	bool dirty;      /* the data socket carried bytes that are not the pattern */
};

static void fin(struct foe *f, struct end *e)
{
	uint64_t offset = f->sent + (roll(3) ? 0 : roll(100));

	if (!e->fin)
		e->offset = offset;
	e->fin = true;
	foe_send_fin(f, offset, 0);
}

static void junk(int fd)
{
	uint8_t buf[64];
	size_t len = 1 + roll(sizeof(buf));

	for (size_t i = 0; i < len; i++)
		buf[i] = (uint8_t)roll(256);
	send_pieces(fd, buf, len);
}

static void act(struct foe *f, struct end *e)
{
	switch (roll(9)) {
	case 0:
	case 1:
	case 2:
		foe_send_stream(f, 1 + roll(5000), false);
		return;
	case 3:
		fin(f, e);
		return;
	case 4:
		shutdown(f->data, SHUT_WR);
		return;
	case 5:
		junk(f->ctl);
		return;
	case 6:
		e->dirty = true;
		junk(f->data);
		return;
	case 7:
		foe_send_abort(f, (uint16_t)roll(16));
		return;
	default:
		rig_run(&rig, (int)roll(5));
	}
}

static void leave(struct foe *f)
{
	int *first = roll(2) ? &f->ctl : &f->data, *second = first == &f->ctl ? &f->data : &f->ctl;

	if (roll(2))
		foe_reset(first);
	else
		foe_shut(first);
	rig_run(&rig, (int)roll(5));
	if (roll(2))
		foe_reset(second);
	else
		foe_shut(second);
	foe_shut(&f->listener);
}

static void check(const struct foe *f, const struct end *e, unsigned int seed)
{
	const struct side *s = &f->victim;
	bool orderly = e->fin && e->offset == s->received && s->received <= f->sent;

	if (s->recv_result == 0 && !e->dirty && !orderly)
		fail_msg("seed %u: an end of stream out of nothing, after %llu bytes", seed,
			 (unsigned long long)s->received);
	if (s->corrupt && !e->dirty)
		fail_msg("seed %u: bytes changed on the way", seed);
}

/* The application's part: it closes, or aborts, what it has. */
static void let_go(struct foe *f)
{
	int64_t end = rig_now() + FAR_MS * MS;

	while (f->victim.stream && !f->victim.error && f->victim.recv_result == NO_RESULT &&
	       rig_now() < end)
		rig_turn(&rig);
	if (f->victim.stream && roll(2)) {
		assert_int_equal(nmt_abort(f->victim.stream), 0);
		f->victim.stream = NULL;
		assert_true(rig_until(&rig, &f->victim.closed, REACT_MS));
	}
	side_close(&rig, &f->victim);
}

/* Whether the stream came to be open. */
static bool run_seed(unsigned int seed)
{
	struct counts before = rig_counts(&rig);
	struct end e = { 0 };
	struct foe f;

	dice = seed;
	foe_init(&f);
	if (roll(2))
		be_client(&f);
	else
		be_server(&f);
	for (unsigned int n = roll(8); n && f.data >= 0; n--)
		act(&f, &e);
	leave(&f);
	pair_move(&rig, &rig.good, MIB / 16);
	let_go(&f);
	rig.accept_into = NULL;
	check(&f, &e, seed);
	rig_settle(&rig, &before);
	return f.victim.connected;
}

static void run_seeds(uint32_t flags, unsigned int first)
{
	const struct rig_options opt = { .flags = flags };
	unsigned int opened = 0;

	rig_open(&rig, &opt);
	rig.drop_accepted = true;
	for (unsigned int seed = first; seed < first + SEEDS; seed++)
		opened += run_seed(seed);
	print_message("%u of %u streams opened\n", opened, SEEDS);
	assert_in_range(opened, SEEDS / 10, SEEDS * 9 / 10);
	rig.drop_accepted = false;
	rig_prove(&rig);
	rig_close(&rig);
}

static unsigned int first_seed(void)
{
	const char *text = getenv("NMT_TEST_SEED");

	return text ? (unsigned int)strtoul(text, NULL, 0) : 1;
}

static void test_bare(void **state)
{
	(void)state;
	run_seeds(0, first_seed());
}

static void test_records(void **state)
{
	(void)state;
	run_seeds(NMT_STREAM_RECORDS, first_seed() + SEEDS);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bare),
		cmocka_unit_test(test_records),
	};

	return rig_run_tests(argc, argv, tests, ARRAY_SIZE(tests));
}
