/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Error entries of a completion queue: which endpoint fails of it, with which words, and that others go on.
 * What libfabric's tcp makes of broken requests is tried for real; the rest is put into the queue.
 */
#include "devs.h"

/* Two pairs of endpoints between two devices: a.ep and b.ep are the second one. */
struct rig {
	struct side a, b;
	struct nmti_rma_ep *first_a, *first_b;
	struct memory from, to;
};

static const uint8_t other_token[NMTI_RMA_TOKEN] = { 9, 9 };

static void rig_open(struct rig *r, const char *spec)
{
	struct nmti_rma_ep_attr attr = side_attr(other_token);

	sides_join(&r->a, &r->b, spec);
	r->first_a = r->a.ep;
	r->first_b = r->b.ep;
	sides_connect(&r->a, &r->b, &attr, &attr);
	memory_new(&r->a, false, &r->from);
	memory_new(&r->b, true, &r->to);
}

static void rig_close(struct rig *r)
{
	memory_free(&r->a, &r->from);
	memory_free(&r->b, &r->to);
	nmti_ofi_ops.destroy(r->first_a);
	nmti_ofi_ops.destroy(r->first_b);
	side_leave(&r->a);
	side_leave(&r->b);
}

static void goes_on(struct rig *r, struct nmti_rma_ep *ep)
{
	r->a.seen = r->b.seen = 0;
	write_one(ep, &r->from, &r->to, 100);
	assert_true(sides_until(&r->b, &r->a, NMTI_RMA_IMM, 5000 * MS));
	assert_true(sides_until(&r->a, &r->b, NMTI_RMA_WRITTEN, 5000 * MS));
	assert_false(side_saw(&r->a, NMTI_RMA_FAILED));
	assert_false(side_saw(&r->b, NMTI_RMA_FAILED));
}

static void message_from(struct side *from, struct side *to)
{
	uint64_t number;

	to->seen = 0;
	assert_int_equal(nmti_ofi_ops.send(from->ep, "word", 4, 0, &number), 0);
	assert_true(sides_until(to, from, NMTI_RMA_MESSAGE, 5000 * MS));
}

static void has(const char *text, const char *part)
{
	if (!strstr(text, part))
		fail_msg("\"%s\" is not in: %s", part, text);
}

/* ---- for real ---- */

static void t_key_that_nobody_gave(void **state)
{
	struct rig r;
	struct memory bad;

	(void)state;
	rig_open(&r, "ofi/tcp:msg:lo");
	bad = r.to;
	bad.reg.key ^= 0x5a5a;
	write_one(r.a.ep, &r.from, &bad, 100);
	assert_true(sides_until(&r.a, &r.b, NMTI_RMA_FAILED, 5000 * MS));
	assert_ptr_equal(r.a.failed, r.a.ep);
	assert_int_equal(r.a.status, -ECONNRESET);
	has(r.a.text, "tcp rail 0: ");
	assert_false(side_saw(&r.b, NMTI_RMA_IMM));
	assert_true(sides_until(&r.b, &r.a, NMTI_RMA_FAILED, 5000 * MS));
	assert_ptr_equal(r.b.failed, r.b.ep);
	goes_on(&r, r.first_a);
	rig_close(&r);
}

static void t_message_longer_than_the_receive(void **state)
{
	struct nmti_rma_ep_attr of_a = side_attr(side_token), of_b = side_attr(side_token);
	static const char long_message[64];
	struct nmti_rma_ep *small_a, *small_b;
	struct rig r;
	uint64_t number;

	(void)state;
	rig_open(&r, "ofi/tcp:msg:lo");
	small_a = r.a.ep;
	small_b = r.b.ep;
	of_b.ctrl_max = 32;
	sides_connect(&r.a, &r.b, &of_a, &of_b);
	assert_int_equal(nmti_ofi_ops.send(r.a.ep, long_message, 64, 0, &number), 0);
	assert_true(sides_until(&r.b, &r.a, NMTI_RMA_FAILED, 5000 * MS));
	assert_ptr_equal(r.b.failed, r.b.ep);
	assert_int_equal(r.b.status, -EPROTO);
	has(r.b.text, "a receive: ");
	assert_false(side_saw(&r.b, NMTI_RMA_MESSAGE));
	assert_true(sides_until(&r.a, &r.b, NMTI_RMA_FAILED, 5000 * MS)); /* tcp gives it up */
	goes_on(&r, small_a);
	nmti_ofi_ops.destroy(small_a);
	nmti_ofi_ops.destroy(small_b);
	rig_close(&r);
}

/* tcp;ofi_rxm gives the connection up that it came over; those of other peers go on. */
static void t_long_message_on_a_shared_endpoint(void **state)
{
	static const uint8_t junk[OFI_MSG_MAX + OFI_MSG_HEAD + 1];
	struct nmti_rma_ep_attr attr = side_attr(side_token);
	struct nmti_rma_ep *own;
	struct side c;
	struct rig r;

	(void)state;
	rig_open(&r, "ofi/tcp:rdm");
	own = r.b.ep;
	side_open(&c, "ofi/tcp:rdm");
	sides_connect(&c, &r.b, &attr, &attr);
	r.b.seen = 0;
	assert_int_equal(fi_inject(r.a.dev->ep, junk, sizeof(junk), r.a.ep->to), 0);
	assert_false(sides_until(&r.b, &r.a, NMTI_RMA_FAILED, 50 * MS));
	for (uint32_t i = 0; i < 2 * r.b.dev->nrecvs; i++)
		message_from(&c, &r.b);
	nmti_ofi_ops.destroy(r.b.ep);
	r.b.ep = own;
	side_leave(&c);
	rig_close(&r);
}

/* Its receives come back cancelled, which is no failure of anybody's. */
static void t_receives_of_an_endpoint_that_is_fenced(void **state)
{
	struct rig r;

	(void)state;
	rig_open(&r, "ofi/tcp:msg:lo");
	nmti_ofi_ops.fence(r.b.ep);
	assert_true(sides_until(&r.b, &r.a, NMTI_RMA_DRAINED, 5000 * MS));
	assert_false(side_saw(&r.b, NMTI_RMA_FAILED));
	assert_true(sides_until(&r.a, &r.b, NMTI_RMA_FAILED, 5000 * MS));
	assert_ptr_equal(r.a.failed, r.a.ep);
	assert_int_equal(r.a.status, -ECONNRESET);
	goes_on(&r, r.first_a);
	rig_close(&r);
}

/* ---- from a queue that is played ---- */

static struct fi_cq_err_entry played;
static int left;

static ssize_t played_read(struct fid_cq *cq, void *buf, size_t count)
{
	struct fi_cq_data_entry *e = buf;

	(void)cq, (void)count;
	if (!left)
		return -FI_EAGAIN;
	if (played.err)
		return -FI_EAVAIL;
	left--;
	*e = (struct fi_cq_data_entry){ .op_context = played.op_context, .flags = FI_SEND | FI_MSG };
	return 1;
}

static ssize_t played_readerr(struct fid_cq *cq, struct fi_cq_err_entry *e, uint64_t flags)
{
	(void)cq, (void)flags;
	left--;
	*e = played;
	return 1;
}

static const char *played_strerror(struct fid_cq *cq, int err, const void *data, char *buf,
				   size_t len)
{
	(void)cq, (void)data, (void)buf, (void)len;
	return err == 77 ? "the fabric's own words" : "";
}

/* ERR 0: a message was sent. */
static void play(struct side *s, struct ofi_ctx *ctx, int err)
{
	struct fi_ops_cq ops = { .size = sizeof(ops), .read = played_read,
				 .readerr = played_readerr, .strerror = played_strerror };
	struct fid_cq cq = { .ops = &ops }, *real = s->dev->cq;

	played = (struct fi_cq_err_entry){ .op_context = ctx, .err = err, .prov_errno = 77 };
	left = 1;
	s->dev->cq = &cq;
	s->seen = 0;
	s->logged[0] = '\0';
	side_poll(s);
	s->dev->cq = real;
	assert_int_equal(left, 0);
}

static void t_request_that_failed(void **state)
{
	static const struct {
		int err, status;
	} cases[] = {
		{ FI_ETIMEDOUT, -ETIMEDOUT },	 { FI_EHOSTUNREACH, -ETIMEDOUT },
		{ FI_ENETUNREACH, -ETIMEDOUT },	 { FI_EACCES, -EACCES },
		{ FI_EPERM, -EACCES },		 { FI_ENOKEY, -EACCES },
		{ FI_ECANCELED, -ECONNRESET },	 { FI_ECONNRESET, -ECONNRESET },
		{ FI_ENOTCONN, -ECONNRESET },	 { FI_ESHUTDOWN, -ECONNRESET },
		{ FI_ECONNABORTED, -ECONNRESET }, { FI_ECONNREFUSED, -ECONNRESET },
		{ EPIPE, -ECONNRESET },		 { FI_EIO, -EIO },
		{ FI_EOTHER, -EIO },
	};
	struct rig r;

	(void)state;
	for (size_t i = 0; i < 2 * ARRAY_LEN(cases); i++) {
		rig_open(&r, i % 2 ? "ofi/shm" : "ofi/tcp:msg:lo");
		write_one(r.a.ep, &r.from, &r.to, 100);
		play(&r.a, &r.a.ep->reqs[r.a.ep->number & r.a.ep->mask].ctx, cases[i / 2].err);
		assert_true(side_saw(&r.a, NMTI_RMA_FAILED));
		assert_false(side_saw(&r.a, NMTI_RMA_WRITTEN));
		assert_ptr_equal(r.a.failed, r.a.ep);
		assert_int_equal(r.a.status, cases[i / 2].status);
		has(r.a.text, i % 2 ? "shm rail 0: a request: " : "tcp rail 0: a request: ");
		has(r.a.text, nmti_ofi_strerror(cases[i / 2].err));
		has(r.a.text, ": the fabric's own words");
		has(r.a.logged, "the fabric's own words");
		rig_close(&r);
	}
}

static void t_receive_that_failed(void **state)
{
	static const struct {
		int err, status;
	} cases[] = { { FI_EIO, -EIO }, { FI_ETRUNC, -EPROTO }, { FI_ECONNRESET, -ECONNRESET } };
	struct rig r;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		rig_open(&r, "ofi/tcp:msg:lo");
		play(&r.b, &r.b.ep->recvs[0].ctx, cases[i].err);
		assert_ptr_equal(r.b.failed, r.b.ep);
		assert_int_equal(r.b.status, cases[i].status);
		has(r.b.text, "tcp rail 0: a receive: ");
		has(r.b.text, ": the fabric's own words");
		goes_on(&r, r.first_a);
		rig_close(&r);
	}
}

/* A receive of a shared endpoint is no stream's, and is posted again; a peer's request is nobody's. */
static void t_entries_that_fail_nobody(void **state)
{
	struct rig r;

	(void)state;
	rig_open(&r, "ofi/shm");
	play(&r.b, &r.b.dev->recvs[0].ctx, FI_EIO);
	assert_int_equal(r.b.dev->nused, 1);
	assert_ptr_equal(r.b.dev->used[0], &r.b.dev->recvs[0]);
	play(&r.b, NULL, FI_EIO);
	has(r.b.logged, "a peer's request failed: the fabric's own words");
	assert_int_equal(r.b.seen, 0);
	play(&r.b, NULL, 0); /* an injected message, which nobody waits for */
	assert_int_equal(r.b.seen, 0);
	goes_on(&r, r.first_a);
	goes_on(&r, r.a.ep);
	rig_close(&r);
	rig_open(&r, "ofi/tcp:msg:lo");
	play(&r.b, &r.b.ep->recvs[0].ctx, FI_ECANCELED);
	assert_int_equal(r.b.seen, 0);
	goes_on(&r, r.a.ep);
	rig_close(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(t_key_that_nobody_gave),
		cmocka_unit_test(t_message_longer_than_the_receive),
		cmocka_unit_test(t_long_message_on_a_shared_endpoint),
		cmocka_unit_test(t_receives_of_an_endpoint_that_is_fenced),
		cmocka_unit_test(t_request_that_failed), cmocka_unit_test(t_receive_that_failed),
		cmocka_unit_test(t_entries_that_fail_nobody),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
