/* SPDX-License-Identifier: BSD-2-Clause */
/* Loans: every token that is not one is told, a failed release changes nothing, drop takes all. */
#include "unit.h"

#define MANY 1000

struct lending {
	struct unit u;
	struct nmt_stream *s, *other;
	struct nmti_cell *cell;
};

static struct nmt_stream *stream(struct unit *u)
{
	struct nmt_stream_attr attr;
	struct nmt_stream *s;

	assert_int_equal(nmti_stream_attr(u->dom, NULL, false, &attr), 0);
	assert_int_equal(nmti_stream_new(u->dom, &attr, NMT_MODE_RAW, &s), 0);
	return s;
}

static int setup(void **state)
{
	struct lending *t = calloc(1, sizeof(*t));

	unit_open(&t->u, "tcp");
	t->s = stream(&t->u);
	t->other = stream(&t->u);
	t->cell = nmti_cell_get(t->s);
	*state = t;
	return 0;
}

static int teardown(void **state)
{
	struct lending *t = *state;

	nmti_cell_put(t->cell);
	unit_close(&t->u);
	free(t);
	return 0;
}

static struct nmt_frag lend(struct lending *t, uint32_t pos, uint32_t len)
{
	struct nmt_frag frag;

	memset(&frag, 0xee, sizeof(frag));
	assert_int_equal(nmti_lend(t->s, t->cell, pos, len, NMT_FRAG_EOR, &frag), 0);
	return frag;
}

static void test_frag(void **state)
{
	struct lending *t = *state;
	struct nmt_frag f = lend(t, 100, 50);

	assert_ptr_equal(f.mr, t->cell->mr);
	assert_int_equal(f.offset, t->cell->offset + 100);
	assert_int_equal(f.len, 50);
	assert_int_equal(f.flags, NMT_FRAG_EOR);
	assert_int_equal(f.reserved, 0);
	assert_int_equal(t->cell->refs, 2);
	assert_int_equal(t->s->lent, 50);
	assert_int_equal(nmti_release(t->s, &f, 1), 0);
	assert_int_equal(t->cell->refs, 1);
	assert_int_equal(t->s->lent, 0);
}

static void test_double(void **state)
{
	struct lending *t = *state;
	struct nmt_frag f = lend(t, 0, 10), later;

	assert_int_equal(nmti_release(t->s, &f, 1), 0);
	assert_int_equal(nmti_release(t->s, &f, 1), -EINVAL);
	later = lend(t, 0, 10); /* the same slot is lent again */
	assert_int_equal(nmti_release(t->s, &f, 1), -EINVAL);
	assert_int_equal(t->s->lent, 10);
	assert_int_equal(nmti_release(t->s, &later, 1), 0);
}

static void test_twice_in_a_call(void **state)
{
	struct lending *t = *state;
	struct nmt_frag f[3] = { lend(t, 0, 1), lend(t, 1, 2) };

	f[2] = f[0];
	assert_int_equal(nmti_release(t->s, f, 3), -EINVAL);
	assert_int_equal(t->s->lent, 3);
	assert_int_equal(t->cell->refs, 3);
	assert_int_equal(nmti_release(t->s, f, 2), 0); /* no trace of the call that failed */
	assert_int_equal(t->s->lent, 0);
}

static void test_foreign(void **state)
{
	struct lending *t = *state;
	struct nmt_frag f = lend(t, 0, 10);

	assert_int_equal(nmti_release(t->other, &f, 1), -EINVAL);
	assert_int_equal(t->s->lent, 10);
	assert_int_equal(t->other->lent, 0);
	assert_int_equal(nmti_release(t->s, &f, 1), 0);
}

static void test_invented(void **state)
{
	struct lending *t = *state;
	struct nmt_frag f = lend(t, 0, 10), bad = f;
	const uint64_t tokens[] = {
		0, 1, UINT32_MAX, UINT64_MAX, f.token + 1, f.token - 1, (uint32_t)f.token,
		f.token & ~(uint64_t)UINT32_MAX, f.token + (UINT64_C(1) << 32),
		f.token ^ (UINT64_C(1) << 63), f.token + (UINT64_C(1) << 31),
	};

	for (size_t i = 0; i < ARRAY_LEN(tokens); i++) {
		bad.token = tokens[i];
		assert_int_equal(nmti_release(t->s, &bad, 1), -EINVAL);
	}
	assert_int_equal(nmti_release(t->s, &f, 1), 0);
}

/* Wherever the bad token stands, none is given back. */
static void test_all_or_nothing(void **state)
{
	struct lending *t = *state;
	struct nmt_frag f[8], bad[8];

	for (int i = 0; i < 8; i++)
		f[i] = lend(t, (uint32_t)i, 1);
	for (int i = 0; i < 8; i++) {
		memcpy(bad, f, sizeof(f));
		bad[i].token ^= UINT64_C(1) << 40;
		assert_int_equal(nmti_release(t->s, bad, 8), -EINVAL);
		assert_int_equal(t->s->lent, 8);
		assert_int_equal(t->cell->refs, 9);
	}
	assert_int_equal(nmti_release(t->s, f, 8), 0);
}

/* Only the token counts; the rest of a fragment may have been changed. */
static void test_only_token(void **state)
{
	struct lending *t = *state;
	struct nmt_frag f = lend(t, 0, 10), bare = { .token = f.token };

	assert_int_equal(nmti_release(t->s, &bare, 1), 0);
	assert_int_equal(t->s->lent, 0);
}

static void shuffle(struct nmt_frag *f, int n)
{
	unsigned int seed = 7;

	for (int i = n - 1; i > 0; i--) {
		int k = rand_r(&seed) % (i + 1);
		struct nmt_frag swap = f[i];

		f[i] = f[k];
		f[k] = swap;
	}
}

static void test_many(void **state)
{
	struct lending *t = *state;
	struct nmt_frag *f = calloc(MANY, sizeof(*f));

	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < MANY; i++)
			f[i] = lend(t, (uint32_t)i, 1);
		shuffle(f, MANY);
		for (int i = 0; i < MANY; i += MANY / 10)
			assert_int_equal(nmti_release(t->s, f + i, MANY / 10), 0);
		assert_int_equal(t->s->lent, 0);
		assert_int_equal(t->cell->refs, 1);
		assert_int_equal(t->s->loan_first, 0);
		for (int i = 0; i < MANY; i++)
			assert_int_equal(nmti_release(t->s, f + i, 1), -EINVAL);
	}
	assert_in_range(t->u.dom->loans.count, MANY, 4 * MANY); /* slots are used again */
	free(f);
}

/* Dropping takes every loan of one stream, and no other's. */
static void test_drop(void **state)
{
	struct lending *t = *state;
	struct nmti_cell *cell = nmti_cell_get(t->other);
	struct nmt_frag f[10], other;

	for (int i = 0; i < 10; i++)
		f[i] = lend(t, (uint32_t)i, 1);
	assert_int_equal(nmti_lend(t->other, cell, 0, 5, 0, &other), 0);
	assert_int_equal(nmti_release(t->s, &f[4], 1), 0);
	nmti_loans_drop(t->s);
	assert_int_equal(t->s->lent, 0);
	assert_int_equal(t->cell->refs, 1);
	for (int i = 0; i < 10; i++)
		assert_int_equal(nmti_release(t->s, &f[i], 1), -EINVAL);
	nmti_loans_drop(t->s);
	assert_int_equal(t->other->lent, 5);
	assert_int_equal(nmti_release(t->other, &other, 1), 0);
	nmti_cell_put(cell);
}

/* The last loan of a cell gives the cell back. */
static void test_cell_goes_back(void **state)
{
	struct lending *t = *state;
	struct nmti_cell *cell = nmti_cell_get(t->s);
	struct nmt_frag f[2];

	assert_int_equal(t->s->held, 2);
	assert_int_equal(nmti_lend(t->s, cell, 0, 1, 0, &f[0]), 0);
	assert_int_equal(nmti_lend(t->s, cell, 1, 1, 0, &f[1]), 0);
	nmti_cell_put(cell);
	assert_int_equal(t->s->held, 2);
	assert_int_equal(nmti_release(t->s, &f[0], 1), 0);
	assert_int_equal(t->s->held, 2);
	assert_int_equal(nmti_release(t->s, &f[1], 1), 0);
	assert_int_equal(t->s->held, 1);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test_setup_teardown(test_frag, setup, teardown),
	cmocka_unit_test_setup_teardown(test_double, setup, teardown),
	cmocka_unit_test_setup_teardown(test_twice_in_a_call, setup, teardown),
	cmocka_unit_test_setup_teardown(test_foreign, setup, teardown),
	cmocka_unit_test_setup_teardown(test_invented, setup, teardown),
	cmocka_unit_test_setup_teardown(test_all_or_nothing, setup, teardown),
	cmocka_unit_test_setup_teardown(test_only_token, setup, teardown),
	cmocka_unit_test_setup_teardown(test_many, setup, teardown),
	cmocka_unit_test_setup_teardown(test_drop, setup, teardown),
	cmocka_unit_test_setup_teardown(test_cell_goes_back, setup, teardown),
};

UNIT_MAIN(tests)
