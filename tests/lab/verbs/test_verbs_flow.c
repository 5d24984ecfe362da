/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * In the guest: queues of the verbs ops between two hosts with SoftRoCE: send queues that are full,
 * doorbells and completions counted at the driver, receive slots, completion queues, sleeping.
 * Argument: a pattern of tests, as test_verbs_ops.
 */
#include "rig.h"

#include <poll.h>

static struct side a, b;
static struct end x, y;

static int setup(void **state)
{
	(void)state;
	side_open(&a, "a", "rxe_a");
	side_open(&b, "b", "rxe_b");
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	side_close(&a);
	side_close(&b);
	return 0;
}

/* ---- accounting ---- */

/* The queue takes DEPTH, then says so, and a completion makes room, signalled or not. */
static void test_queue_full(void **state)
{
	struct nmti_rma_ep_attr attr = rig_attr(&x, NULL);
	struct mem ma, mb;

	(void)state;
	mem_new(&ma, &a, 64);
	mem_new(&mb, &b, 64);
	for (uint32_t depth = 2; depth <= 9; depth++) {
		uint32_t n = 0;

		attr.send_depth = depth;
		ends_join(&x, &a, &y, &b, &attr);
		rig_count(&a);
		while (n < 200) {
			uint32_t took = 0;

			side_enter(&a);
			while (!end_write(&x, &ma.reg, 0, 8, &mb.reg, 0, n, NMTI_RMA_MORE)) {
				took++;
				n++;
			}
			assert_int_equal(end_write(&x, &ma.reg, 0, 8, &mb.reg, 0, n, 0), -EAGAIN);
			assert_in_range(took, depth / 2, depth);
			RIG_UNTIL(&a, &b, RIG_LIMIT, x.ep->number - x.number < depth);
		}
		RIG_UNTIL(&a, &b, RIG_LIMIT, y.imms == n && x.written >= n / (depth / 2));
		for (uint32_t i = 0; i < n; i++)
			assert_int_equal(y.imm[i].imm, i);
		assert_int_equal(counts.requests, n);
		assert_int_equal(counts.signalled, n / (depth / 2));
		assert_int_equal(x.written, n / (depth / 2));
		ends_part(&x, &y);
	}
	mem_free(&ma);
	mem_free(&mb);
}

/* One doorbell for a chain; a completion only where one is due or asked for. */
static void test_chains(void **state)
{
	struct mem ma, mb;

	(void)state;
	mem_new(&ma, &a, 4096);
	mem_new(&mb, &b, 4096);
	ends_join(&x, &a, &y, &b, NULL);
	rig_count(&a);
	side_enter(&a);
	for (uint32_t i = 0; i < 15; i++)
		assert_int_equal(end_write(&x, &ma.reg, 0, 64, &mb.reg, 0, i, NMTI_RMA_MORE), 0);
	assert_int_equal(counts.doorbells, 0);
	assert_int_equal(end_write(&x, &ma.reg, 0, 64, &mb.reg, 0, 15, NMTI_RMA_SIGNAL), 0);
	assert_int_equal(counts.doorbells, 1);
	assert_int_equal(counts.requests, 16);
	assert_int_equal(counts.signalled, 1);
	RIG_UNTIL(&a, &b, RIG_LIMIT, y.imms == 16 && x.number == 16);
	assert_int_equal(x.written, 1);
	/* Every one on its own, and a chain that is kicked. */
	rig_count(&a);
	side_enter(&a);
	for (uint32_t i = 0; i < 4; i++)
		assert_int_equal(end_write(&x, &ma.reg, 0, 64, &mb.reg, 0, i, 0), 0);
	assert_int_equal(counts.doorbells, 4);
	for (uint32_t i = 0; i < 4; i++)
		assert_int_equal(end_write(&x, &ma.reg, 0, 64, &mb.reg, 0, i, NMTI_RMA_MORE), 0);
	ops->kick(x.ep);
	ops->kick(x.ep);
	assert_int_equal(counts.doorbells, 5);
	assert_int_equal(counts.longest, 4);
	RIG_UNTIL(&a, &b, RIG_LIMIT, y.imms == 24);
	ends_part(&x, &y);
	mem_free(&ma);
	mem_free(&mb);
}

/* A burst many times as long as a chain: a doorbell for a chain, a completion for 32. */
static void test_burst(void **state)
{
	struct nmti_rma_ep_attr attr = rig_attr(&x, NULL);
	uint32_t total = 800, n = 0;
	struct mem ma, mb;

	(void)state;
	attr.run_slots = 1000;
	mem_new(&ma, &a, 4096);
	mem_new(&mb, &b, 4096);
	ends_join(&x, &a, &y, &b, &attr);
	rig_count(&a);
	rig_count(&b);
	while (n < total) {
		side_enter(&a);
		for (int i = 0; i < 16; i++, n++) {
			uint32_t more = i < 15 ? NMTI_RMA_MORE : 0;

			if (end_write(&x, &ma.reg, 0, 64, &mb.reg, 0, n, more))
				break;
		}
		RIG_UNTIL(&a, &b, RIG_LIMIT, x.ep->number - x.number <= 48);
	}
	RIG_UNTIL(&a, &b, RIG_LIMIT, y.imms == total && counts.recvs >= total);
	assert_int_equal(counts.doorbells, total / 16);
	assert_int_equal(counts.signalled, total / 32);
	assert_int_equal(counts.recvs, total);
	print_message("%u writes: %u doorbells, %u completions, %u calls for %u receives\n", total,
		      counts.doorbells, counts.signalled, counts.recv_calls, counts.recvs);
	ends_part(&x, &y);
	mem_free(&ma);
	mem_free(&mb);
}

static uint32_t slots_posted(void)
{
	return y.ep->srq ? y.ep->srq->posted : y.ep->posted;
}

/* As many arrivals as slots, each time before the receiver looks: never one too few, always all. */
static void test_slots(void **state)
{
	struct nmti_rma_ep_attr attr = rig_attr(&x, NULL);
	struct mem ma, mb;
	uint32_t n = 0;

	(void)state;
	attr.run_slots = 5;
	attr.ctrl_slots = 2;
	mem_new(&ma, &a, 64);
	mem_new(&mb, &b, 64);
	ends_join(&x, &a, &y, &b, &attr);
	for (int turn = 0; turn < 20; turn++) {
		side_enter(&a);
		for (uint32_t i = 0; i < 7; i++, n++)
			assert_int_equal(end_write(&x, &ma.reg, 0, 8, &mb.reg, 0, n,
						   NMTI_RMA_SIGNAL), 0);
		RIG_UNTIL(&a, NULL, RIG_LIMIT, x.number == n || x.failed);
		if (x.failed)
			fail_msg("%s", x.text);
		assert_int_equal(y.imms, n - 7);
		side_step(&b);
		RIG_UNTIL(&a, &b, RIG_LIMIT, y.imms == n && slots_posted() == 7);
	}
	/* One more than there are: the sender hears of it. */
	side_enter(&a);
	for (uint32_t i = 0; i < 8; i++)
		assert_int_equal(end_write(&x, &ma.reg, 0, 8, &mb.reg, 0, i, NMTI_RMA_SIGNAL), 0);
	RIG_UNTIL(&a, NULL, RIG_LIMIT, x.failed);
	assert_int_equal(x.status, -EPROTO);
	assert_non_null(strstr(x.text, "no receive posted"));
	ends_part(&x, &y);
	mem_free(&ma);
	mem_free(&mb);
}

/* More endpoints than the first completion queue holds; all of them work. */
#define MANY 120

static void test_many(void **state)
{
	struct end *xs = calloc(MANY, sizeof(*xs)), *ys = calloc(MANY, sizeof(*ys));
	struct nmti_rma_ep_attr attr = rig_attr(NULL, NULL);
	uint8_t token[NMTI_RMA_TOKEN] = "many";
	struct mem ma, mb;

	(void)state;
	attr.token = token;
	attr.ctrl_slots = 0;
	mem_new(&ma, &a, 64);
	mem_new(&mb, &b, 64);
	for (uint32_t i = 0; i < MANY; i++) {
		token[15] = (uint8_t)i;
		assert_int_equal(end_expect(&ys[i], &b, &attr), 0);
		assert_int_equal(end_connect(&xs[i], &a, &b, &attr), 0);
	}
	for (uint32_t i = 0; i < MANY; i++)
		RIG_UNTIL(&a, &b, RIG_LIMIT, xs[i].connected && ys[i].connected);
	assert_true(a.dev->nsrqs || a.dev->ncqs > 1);
	for (uint32_t c = 0; c < a.dev->ncqs; c++)
		assert_true(nmti_verbs_cq_room(&a.dev->cqs[c], 0));
	for (uint32_t k = 0; k < 3 * MANY; k++) {
		side_enter(&a);
		assert_int_equal(end_write(&xs[k % MANY], &ma.reg, 0, 8, &mb.reg, 0, k, 0), 0);
	}
	for (uint32_t i = 0; i < MANY; i++) {
		RIG_UNTIL(&a, &b, RIG_LIMIT, ys[i].imms == 3);
		for (uint32_t k = 0; k < 3; k++)
			assert_int_equal(ys[i].imm[k].imm, i + k * MANY);
		ends_part(&xs[i], &ys[i]);
	}
	for (uint32_t c = 0; c < a.dev->ncqs; c++)
		assert_int_equal(a.dev->cqs[c].reserved, 0);
	mem_free(&ma);
	mem_free(&mb);
	free(xs);
	free(ys);
}

/* ---- shared receive queues ---- */

#define CROWD 112u
#define OWN 8u    /* of them, with queues of their own */
#define EACH 40u  /* slots */

static struct end *xs, *ys;

static void crowd_begin(uint32_t i)
{
	struct nmti_rma_ep_attr attr = rig_attr(NULL, NULL);
	uint8_t token[NMTI_RMA_TOKEN] = "crowd";

	attr.token = token;
	token[15] = (uint8_t)i;
	assert_int_equal(end_expect(&ys[i], &b, &attr), 0);
	assert_int_equal(end_connect(&xs[i], &a, &b, &attr), 0);
}

static void crowd_connected(uint32_t i)
{
	RIG_UNTIL(&a, &b, RIG_LIMIT, (xs[i].connected && ys[i].connected) || xs[i].failed);
	if (xs[i].failed)
		fail_msg("%u: %s", i, xs[i].text);
}

/* What is reserved is that of the endpoints there are, posted, and no slot is in two places. */
static void crowd_check(const struct nmti_rma_dev *dev)
{
	for (uint32_t k = 0; k < dev->nsrqs; k++) {
		const struct verbs_srq *q = &dev->srqs[k];
		uint8_t *seen = calloc(1, q->size);
		uint32_t sum = 0;

		for (struct nmti_list *i = dev->eps.next; i != &dev->eps; i = i->next) {
			const struct nmti_rma_ep *ep = nmti_container(i, struct nmti_rma_ep, all);

			sum += ep->srq == q ? ep->slots : 0;
		}
		assert_int_equal(q->reserved, sum);
		assert_in_range(q->posted, q->reserved, q->size);
		for (uint32_t i = 0; i < q->size - q->posted; i++)
			assert_int_equal(seen[q->idle[i]]++, 0);
		free(seen);
	}
}

/* All peers use all their slots while nobody looks; none hears that a receive is missing. */
static void crowd_fill(struct mem *ma, struct mem *mb)
{
	uint8_t msg[8] = { 0 };

	side_enter(&a);
	for (uint32_t i = 0; i < CROWD; i++) {
		msg[0] = (uint8_t)i;
		ys[i].imms = ys[i].msgs = 0;
		for (uint32_t k = 0; k < EACH - 1; k++)
			assert_int_equal(end_write(&xs[i], &ma->reg, 0, 8, &mb->reg, 0, i,
						   NMTI_RMA_MORE), 0);
		assert_int_equal(end_send(&xs[i], msg, 8, NMTI_RMA_SIGNAL), 0);
	}
	for (uint32_t i = 0; i < CROWD; i++) {
		RIG_UNTIL(&a, NULL, RIG_LIMIT, xs[i].number == xs[i].ep->number || xs[i].failed);
		if (xs[i].failed)
			fail_msg("%u: %s", i, xs[i].text);
	}
	for (uint32_t i = 0; i < CROWD; i++) {
		RIG_UNTIL(&a, &b, RIG_LIMIT, ys[i].imms == EACH - 1 && ys[i].msgs == 1);
		for (uint32_t k = 0; k < EACH - 1; k++)
			assert_int_equal(ys[i].imm[k].imm, i);
		assert_int_equal(ys[i].msg[0].len, 8);
		assert_int_equal(ys[i].msg[0].data[0], i);
	}
}

/* Ends go under traffic, drained or not, looked at or not, and others take their place. */
static void crowd_churn(struct mem *ma, struct mem *mb)
{
	for (uint32_t turn = 0; turn < 24; turn++) {
		uint32_t i = OWN + (uint32_t)(rig_random() % (CROWD - OWN));

		side_enter(&a);
		for (uint32_t k = 0; k < EACH; k++)
			assert_int_equal(end_write(&xs[i], &ma->reg, 0, 8, &mb->reg, 0, i, 0), 0);
		RIG_FOR(&a, turn % 3 ? NULL : &b, turn % 4 * 3 * MS);
		if (turn % 6 == 5) {
			ends_part(&xs[i], &ys[i]);
		} else {
			end_destroy(&ys[i]);
			end_destroy(&xs[i]);
		}
		crowd_begin(i);
		crowd_connected(i);
		crowd_check(b.dev);
	}
	RIG_UNTIL(&a, &b, RIG_LIMIT, a.dev->neps == CROWD && b.dev->neps == CROWD);
	crowd_check(a.dev);
	crowd_check(b.dev);
}

static void crowd_part(void)
{
	for (uint32_t i = 0; i < CROWD; i++) {
		side_enter(&a);
		ops->fence(xs[i].ep);
		side_enter(&b);
		ops->fence(ys[i].ep);
	}
	for (uint32_t i = 0; i < CROWD; i++) {
		RIG_UNTIL(&a, &b, RIG_LIMIT, xs[i].drained && ys[i].drained);
		end_destroy(&xs[i]);
		end_destroy(&ys[i]);
	}
	assert_false(side_logged(&b, "did not drain"));
}

static void test_shared(void **state)
{
	int qp, cq, mr, qp2, cq2, mr2;
	struct mem ma, mb;

	(void)state;
	xs = calloc(CROWD, sizeof(*xs));
	ys = calloc(CROWD, sizeof(*ys));
	a.dev->opt.srq = b.dev->opt.srq = OWN;
	mem_new(&ma, &a, 64);
	mem_new(&mb, &b, 64);
	rig_objects("rxe_b", &qp, &cq, &mr);
	for (uint32_t i = 0; i < CROWD; i++)
		crowd_begin(i);
	for (uint32_t i = 0; i < CROWD; i++)
		crowd_connected(i);
	for (uint32_t i = 0; i < CROWD; i++)
		assert_int_equal(!ys[i].ep->srq, i < OWN);
	assert_int_equal(b.dev->nsrqs, 2);
	assert_int_equal(b.dev->srqs[0].posted + b.dev->srqs[1].posted, (CROWD - OWN) * EACH);
	crowd_check(b.dev);
	crowd_fill(&ma, &mb);
	crowd_churn(&ma, &mb);
	crowd_fill(&ma, &mb);
	assert_int_equal(b.dev->nsrqs, 2);
	crowd_part();
	crowd_check(a.dev);
	crowd_check(b.dev);
	rig_objects("rxe_b", &qp2, &cq2, &mr2);
	assert_int_equal(qp2, qp);
	/* A surplus is used up before anything is posted. */
	a.dev->opt.srq = b.dev->opt.srq = 0;
	rig_count(&a);
	rig_count(&b);
	ends_join(&x, &a, &y, &b, NULL);
	assert_non_null(y.ep->srq);
	assert_int_equal(counts.recvs, 0);
	ends_part(&x, &y);
	mem_free(&ma);
	mem_free(&mb);
	free(xs);
	free(ys);
}

/* ---- sleep ---- */

/* Arm as the core does: the sources first, then the device. Answers what to wait for. */
static int arm(struct side *s)
{
	int fd = -1;

	side_enter(s);
	assert_int_equal(nmt_domain_arm(s->dom, &fd), 0);
	assert_int_equal(ops->arm(s->dev), 0);
	return fd;
}

static bool ready(int fd, int ms)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, ms) == 1;
}

static void test_arm(void **state)
{
	struct mem ma, mb;
	int fd;

	(void)state;
	ends_join(&x, &a, &y, &b, NULL);
	mem_new(&ma, &a, 64);
	mem_new(&mb, &b, 64);
	RIG_FOR(&a, &b, 50 * MS);
	for (uint32_t i = 0; i < 20; i++) {
		fd = arm(&b);
		assert_false(ready(fd, 20)); /* nothing comes, nothing wakes */
		side_enter(&a);
		assert_int_equal(end_write(&x, &ma.reg, 0, 8, &mb.reg, 0, i, NMTI_RMA_SIGNAL), 0);
		assert_true(ready(fd, 5000));
		RIG_UNTIL(&a, &b, RIG_LIMIT, y.imms == i + 1 && x.number == i + 1);
	}
	/* What came before the question is not slept over, nor lost. */
	side_enter(&a);
	assert_int_equal(end_write(&x, &ma.reg, 0, 8, &mb.reg, 0, 99, NMTI_RMA_SIGNAL), 0);
	RIG_UNTIL(&a, NULL, RIG_LIMIT, x.number == 21);
	side_enter(&b);
	assert_int_equal(ops->arm(b.dev), -EAGAIN);
	assert_int_equal(ops->arm(b.dev), -EAGAIN);
	RIG_UNTIL(&a, &b, RIG_LIMIT, y.imms == 21);
	assert_int_equal(y.imm[20].imm, 99);
	ends_part(&x, &y);
	mem_free(&ma);
	mem_free(&mb);
}

/* A caller that takes one completion at a time gets all of them, in order. */
static void test_small_polls(void **state)
{
	struct nmti_rma_wc wc;
	struct mem ma, mb;
	uint32_t next = 0;

	(void)state;
	ends_join(&x, &a, &y, &b, NULL);
	mem_new(&ma, &a, 64);
	mem_new(&mb, &b, 64);
	side_enter(&a);
	for (uint32_t i = 0; i < 30; i++)
		assert_int_equal(end_write(&x, &ma.reg, 0, 8, &mb.reg, 0, i, 0), 0);
	side_enter(&b);
	for (int64_t until = nmti_now() + RIG_LIMIT; next < 30 && nmti_now() < until;) {
		if (ops->poll(b.dev, &wc, 1) != 1)
			continue;
		assert_int_equal(wc.event, NMTI_RMA_IMM);
		assert_int_equal(wc.imm, next++);
	}
	assert_int_equal(next, 30);
	ends_part(&x, &y);
	mem_free(&ma);
	mem_free(&mb);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		TEST(test_queue_full),
		TEST(test_chains),
		TEST(test_burst),
		TEST(test_slots),
		TEST(test_many),
		TEST(test_shared),
		TEST(test_arm),
		TEST(test_small_polls),
	};

	alarm(240);
	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests_name("verbs flow", tests, NULL, NULL);
}
