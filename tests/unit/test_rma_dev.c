/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The devices of a domain, without any: what a peer is told of them, and that two ends that only
 * know each other's list give every rail the same two devices.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "rma/rma_int.h"

#define ROUNDS 20000

struct nmti_rma_dev {
	int status;
	uint8_t net, want;
};

static uint64_t rng = 42;

static uint32_t below(uint32_t n)
{
	rng = rng * UINT64_C(6364136223846793005) + 1442695040888963407u;
	return (uint32_t)((rng >> 33) % n);
}

/* A blob is the network, then as much as there is room for, up to WANT bytes. */
static int fake_address(struct nmti_rma_dev *dev, void *blob, uint32_t cap)
{
	uint32_t n = dev->want < cap ? dev->want : cap;

	if (dev->status == -ENODEV)
		return -ENODEV;
	memset(blob, dev->net, n);
	return (int)n;
}

static int fake_status(const struct nmti_rma_dev *dev)
{
	return dev->status;
}

static uint32_t fake_fit(const void *server, uint32_t slen, const void *client, uint32_t clen)
{
	const uint8_t *s = server, *c = client;

	assert_true(slen && clen);
	if (*s == 99 || *c == 99)
		return 0;
	return 1 + (*s == *c);
}

static const struct nmti_rma_ops fake = {
	.address = fake_address, .status = fake_status, .fit = fake_fit,
};

/* ---- what the peer is told ---- */

static struct nmti_rma_dev devs[RMA_DEVS];
static struct rma_dom dom;

static void make(uint8_t n, uint8_t want)
{
	dom = (struct rma_dom){ .ops = &fake, .ndevs = n };
	for (uint8_t i = 0; i < n; i++) {
		devs[i] = (struct nmti_rma_dev){ 0, (uint8_t)(i + 1), want };
		dom.dev[i].dev = &devs[i];
	}
}

/* The list has the devices of MASK, in order, those of DOUBTED in doubt. */
static void told(uint8_t *doubt, uint32_t mask, uint32_t doubted)
{
	struct nmti_rma_addrs m;
	struct rma_own own;
	uint8_t at = 0;

	assert_int_equal(nmti_rma_own_addrs(&dom, doubt, &own), 0);
	assert_int_equal(nmti_rma_addrs_decode(own.bytes, own.len, &m), 0);
	assert_int_equal(m.n, __builtin_popcount(mask));
	assert_int_equal(own.ndevs, m.n);
	for (uint8_t i = 0; i < RMA_DEVS; i++) {
		if (!(mask >> i & 1))
			continue;
		assert_int_equal(own.dev[at], i);
		assert_int_equal(m.at[at].bytes[0], devs[i].net);
		assert_int_equal(m.at[at++].flags, doubted >> i & 1);
	}
}

static void test_usable(void **state)
{
	struct rma_own own;
	uint8_t doubt = 0;

	(void)state;
	make(4, 20);
	told(&doubt, 15, 0);
	devs[1].status = -ENETDOWN;
	told(&doubt, 13, 0);
	devs[3].status = -ENODEV;
	told(&doubt, 5, 0);
	devs[0].status = devs[2].status = -ENETDOWN;
	told(&doubt, 7, 0); /* none is up: all that are there */
	devs[1].status = 0;
	told(&doubt, 2, 0);
	for (int i = 0; i < 4; i++)
		devs[i].status = -ENODEV;
	assert_int_equal(nmti_rma_own_addrs(&dom, &doubt, &own), -ENODEV);
	assert_int_equal(own.len, 0);
}

static void test_doubt(void **state)
{
	uint8_t doubt = 1;

	(void)state;
	make(3, 20);
	told(&doubt, 7, 1);
	doubt = 5;
	told(&doubt, 7, 5);
	doubt = 7; /* all: that tells nothing */
	told(&doubt, 7, 0);
	assert_int_equal(doubt, 0);
	doubt = 4;
	devs[0].status = devs[1].status = -ENETDOWN;
	told(&doubt, 4, 0);
	assert_int_equal(doubt, 0);
}

/* All get their share of the room, and what one leaves goes to the next ones. */
static void test_room(void **state)
{
	struct nmti_rma_addrs m;
	struct rma_own own;
	uint8_t doubt = 0;

	(void)state;
	for (uint8_t n = 1; n <= RMA_DEVS; n++) {
		make(n, UINT8_MAX);
		assert_int_equal(nmti_rma_own_addrs(&dom, &doubt, &own), 0);
		assert_int_equal(own.len, NMTI_RMA_BLOB_MAX);
		assert_int_equal(nmti_rma_addrs_decode(own.bytes, own.len, &m), 0);
		for (uint8_t i = 0; i < n; i++)
			assert_int_equal(m.at[i].len, NMTI_RMA_BLOB_MAX / n - NMTI_RMA_ADDR_HEAD);
	}
	make(2, UINT8_MAX);
	devs[0].want = 24;
	assert_int_equal(nmti_rma_own_addrs(&dom, &doubt, &own), 0);
	assert_int_equal(nmti_rma_addrs_decode(own.bytes, own.len, &m), 0);
	assert_int_equal(m.at[0].len, 24);
	assert_int_equal(m.at[1].len, NMTI_RMA_BLOB_MAX - 24 - 2 * NMTI_RMA_ADDR_HEAD);
}

/* ---- pairs ---- */

struct end {
	struct nmti_rma_dev devs[RMA_DEVS];
	struct rma_dom rd;
	struct rma_rail rails[NMTI_RAILS_MAX];
	struct rma_stream rs;
	struct nmti_rma_addrs list;
};

static struct nmti_win *window(uint8_t rails)
{
	struct nmti_win_attr attr = { .rails = rails, .rails_max = rails, .tx_stripe = 16,
		.rx_stripe = 16, .tx_slots = 8, .rx_slots = 8, .tx_ctrl = 4, .rx_ctrl = 4,
		.ctrl_max = 256, .tx_depth = 16, .tx_segs = 16, .rx_segs = 16, .rx_grants = 16 };
	struct nmti_win *w;

	assert_int_equal(nmti_win_open(&attr, &w), 0);
	return w;
}

static void end_make(struct end *e, bool server, uint8_t n, uint8_t rails, uint8_t token)
{
	memset(e, 0, sizeof(*e));
	e->rd = (struct rma_dom){ .ops = &fake, .ndevs = n };
	for (uint8_t i = 0; i < n; i++) {
		e->devs[i] = (struct nmti_rma_dev){ 0, 7, 4 };
		e->rd.dev[i].dev = &e->devs[i];
	}
	e->rs.rd = &e->rd;
	e->rs.server = server;
	e->rs.rails = e->rails;
	e->rs.nrails = rails;
	e->rs.token[0] = token;
}

static void assign(struct end *server, struct end *client)
{
	struct end *e[] = { server, client };

	for (int i = 0; i < 2; i++) {
		e[i]->rs.w = window(e[i]->rs.nrails);
		assert_int_equal(nmti_rma_own_addrs(&e[i]->rd, &e[i]->rs.doubt, &e[i]->rs.own), 0);
		assert_int_equal(nmti_rma_addrs_decode(e[i]->rs.own.bytes, e[i]->rs.own.len,
						       &e[i]->list), 0);
	}
	nmti_rma_assign(&server->rs, &client->list);
	nmti_rma_assign(&client->rs, &server->list);
	for (uint8_t r = 0; r < server->rs.nrails; r++) {
		const struct rma_rail *s = &server->rails[r], *c = &client->rails[r];

		assert_int_equal(s->dev, server->rs.own.dev[c->to]);
		assert_int_equal(c->dev, client->rs.own.dev[s->to]);
	}
	nmti_win_close(server->rs.w);
	nmti_win_close(client->rs.w);
}

/* Whatever the lists: both ends agree, on a pair that is as good as any. */
static void test_agree(void **state)
{
	static struct end s, c;

	(void)state;
	for (int round = 0; round < ROUNDS; round++) {
		uint8_t rails = (uint8_t)(1 + below(16)), token = (uint8_t)below(256);
		uint32_t best = 0;

		end_make(&s, true, (uint8_t)(1 + below(4)), rails, token);
		end_make(&c, false, (uint8_t)(1 + below(4)), rails, token);
		for (int i = 0; i < 4; i++) {
			s.devs[i].net = (uint8_t)(below(8) ? below(3) : 99);
			c.devs[i].net = (uint8_t)(below(8) ? below(3) : 99);
			s.devs[i].status = below(8) ? 0 : -ENETDOWN;
			c.devs[i].status = below(8) ? 0 : -ENETDOWN;
		}
		s.rs.doubt = (uint8_t)(below(2) ? 0 : below(16));
		c.rs.doubt = (uint8_t)(below(2) ? 0 : below(16));
		assign(&s, &c);
		for (uint8_t i = 0; i < s.list.n; i++)
			for (uint8_t k = 0; k < c.list.n; k++) {
				uint32_t fit = fake_fit(s.list.at[i].bytes, 1,
							c.list.at[k].bytes, 1);

				best = fit > best ? fit : best;
			}
		for (uint8_t r = 0; r < rails; r++) {
			uint32_t fit = fake_fit(c.list.at[s.rails[r].to].bytes, 1,
						s.list.at[c.rails[r].to].bytes, 1);

			assert_true(fit == best || (fit && best == 2)); /* doubt of both weighs as much */
		}
	}
}

/* Rails spread over all devices that are as good, in each epoch and for each stream. */
static void test_spread(void **state)
{
	static struct end s, c;

	(void)state;
	for (uint8_t sn = 1; sn <= RMA_DEVS; sn++) {
		for (uint8_t cn = 1; cn <= RMA_DEVS; cn++) {
			uint8_t n = sn < cn ? sn : cn;

			for (int token = 0; token < 256; token++) {
				uint32_t of_s = 0, of_c = 0;

				end_make(&s, true, sn, n, (uint8_t)token);
				end_make(&c, false, cn, n, (uint8_t)token);
				assign(&s, &c);
				for (uint8_t r = 0; r < n; r++) {
					of_s |= 1u << s.rails[r].dev;
					of_c |= 1u << c.rails[r].dev;
				}
				assert_int_equal(__builtin_popcount(of_s), n);
				assert_int_equal(__builtin_popcount(of_c), n);
			}
		}
	}
}

/* Two cables of their own: the one that an end doubts is left, even if the ends doubt another. */
static void test_two_cables(void **state)
{
	static struct end s, c;

	(void)state;
	for (uint8_t doubts = 0; doubts < 9; doubts++) {
		uint32_t used = 0, want = 3;

		end_make(&s, true, 2, 2, 1);
		end_make(&c, false, 2, 2, 1);
		s.devs[1].net = c.devs[1].net = 8;
		s.rs.doubt = doubts % 3;
		c.rs.doubt = doubts / 3;
		if (s.rs.doubt != 3 - c.rs.doubt && (s.rs.doubt | c.rs.doubt))
			want = 3u & ~(uint32_t)(s.rs.doubt | c.rs.doubt);
		assign(&s, &c);
		for (uint8_t r = 0; r < 2; r++) {
			assert_int_equal(s.rails[r].dev, c.rails[r].dev);
			used |= 1u << s.rails[r].dev;
		}
		assert_int_equal(used, want);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_usable),
		cmocka_unit_test(test_doubt),
		cmocka_unit_test(test_room),
		cmocka_unit_test(test_agree),
		cmocka_unit_test(test_spread),
		cmocka_unit_test(test_two_cables),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
