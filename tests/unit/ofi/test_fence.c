/* SPDX-License-Identifier: BSD-2-Clause */
/* The end of an endpoint: what it waits for where the device has one for all, and what it does not. */
#include "devs.h"

/* The peer may be writing until it has fenced as well. */
static void t_waits_for_the_peer(void **state)
{
	struct side a, b;

	(void)state;
	sides_join(&a, &b, "ofi/tcp:rdm");
	nmti_ofi_ops.fence(a.ep);
	assert_false(sides_until(&a, &b, NMTI_RMA_DRAINED, 300 * MS));
	nmti_ofi_ops.fence(b.ep);
	assert_true(sides_until(&a, &b, NMTI_RMA_DRAINED, 1000 * MS));
	assert_true(sides_until(&b, &a, NMTI_RMA_DRAINED, 1000 * MS));
	side_leave(&a);
	side_leave(&b);
}

/* Else one whose control channel is cut would be waited for until it is given up. */
static void t_tells_the_peer(void **state)
{
	struct side a, b;

	(void)state;
	sides_join(&a, &b, "ofi/tcp:rdm");
	nmti_ofi_ops.fence(a.ep);
	assert_true(sides_until(&b, &a, NMTI_RMA_FAILED, 1000 * MS));
	assert_int_equal(b.status, -ECONNRESET);
	side_leave(&a);
	side_leave(&b);
}

static void t_destroyed_is_fenced(void **state)
{
	struct side a, b;

	(void)state;
	sides_join(&a, &b, "ofi/tcp:rdm");
	nmti_ofi_ops.destroy(a.ep);
	nmti_ofi_ops.fence(b.ep);
	assert_true(sides_until(&b, &a, NMTI_RMA_DRAINED, 500 * MS));
	side_leave(&b);
	side_close(&a);
}

/* Words for an endpoint that is gone are not for the one that has its id. */
static void t_id_is_kept(void **state)
{
	struct nmti_rma_ep_attr attr = side_attr(side_token);
	struct nmti_rma_ep *more;
	struct side a, b;
	uint32_t id;

	(void)state;
	sides_join(&a, &b, "ofi/tcp:rdm");
	id = a.ep->id;
	nmti_ofi_ops.destroy(a.ep);
	for (int i = 0; i < 2000; i++) {
		assert_int_equal(nmti_ofi_ops.expect(a.dev, &attr, &more), 0);
		assert_int_not_equal(more->id, id);
		nmti_ofi_ops.destroy(more);
		side_poll(&a);
	}
	side_leave(&b);
	side_close(&a);
}

static void t_peer_that_is_gone(void **state)
{
	struct side a, b;

	(void)state;
	sides_join(&a, &b, "ofi/tcp:rdm");
	side_close(&b);
	nmti_ofi_ops.fence(a.ep);
	assert_true(sides_until(&a, NULL, NMTI_RMA_DRAINED, 2000 * MS));
	side_leave(&a);
}

/* Nobody can have written to one that was never connected. */
static void t_not_connected(void **state)
{
	struct nmti_rma_ep_attr attr = side_attr(side_token);
	uint8_t blob[NMTI_RMA_BLOB_MAX];
	struct side a, b;
	int len;

	(void)state;
	side_open(&a, "ofi/tcp:rdm");
	side_open(&b, "ofi/tcp:rdm");
	len = nmti_ofi_ops.address(b.dev, blob, sizeof(blob));
	assert_int_equal(nmti_ofi_ops.expect(b.dev, &attr, &b.ep), 0);
	side_close(&b);
	assert_int_equal(nmti_ofi_ops.connect(a.dev, &attr, blob, (uint32_t)len, &a.ep), 0);
	side_poll(&a);
	nmti_ofi_ops.fence(a.ep);
	assert_true(sides_until(&a, NULL, NMTI_RMA_DRAINED, 100 * MS));
	side_leave(&a);
}

static void t_connected_mode_does_not_wait(void **state)
{
	struct side a, b;

	(void)state;
	sides_join(&a, &b, "ofi/tcp:msg:lo");
	nmti_ofi_ops.fence(a.ep);
	assert_true(sides_until(&a, NULL, NMTI_RMA_DRAINED, 500 * MS));
	side_leave(&a);
	side_leave(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(t_waits_for_the_peer),
		cmocka_unit_test(t_tells_the_peer),
		cmocka_unit_test(t_destroyed_is_fenced),
		cmocka_unit_test(t_id_is_kept),
		cmocka_unit_test(t_peer_that_is_gone),
		cmocka_unit_test(t_not_connected),
		cmocka_unit_test(t_connected_mode_does_not_wait),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
