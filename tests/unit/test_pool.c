/* SPDX-License-Identifier: BSD-2-Clause */
/* Receive memory: reserves, shares, the shared budget, stalling, growth on demand, moving bytes. */
#include "unit.h"

#define CELL 4096u
#define SLAB_CELLS ((2u << 20) / CELL)

static void open_pool(struct unit *u, uint32_t shared)
{
	struct nmt_domain_attr attr = NMT_DOMAIN_ATTR_INIT;

	attr.cell_size = CELL;
	attr.pool_size = (uint64_t)shared * CELL;
	attr.spin_ns = -1;
	unit_open_with(u, "tcp", &attr);
}

static struct nmt_stream *stream(struct unit *u, uint32_t reserve, uint32_t share)
{
	struct nmt_stream_attr attr, user = NMT_STREAM_ATTR_INIT;
	struct nmt_stream *s;

	user.pool_reserve = reserve * CELL;
	user.pool_share = share * CELL;
	assert_int_equal(nmti_stream_attr(u->dom, &user, false, &attr), 0);
	assert_int_equal(nmti_stream_new(u->dom, &attr, NMT_MODE_RAW, &s), 0);
	return s;
}

/* Takes cells until there are no more; returns how many. */
static int take_all(struct nmt_stream *s, struct nmti_cell **cell, int max)
{
	int n = 0;

	while (n < max && (cell[n] = nmti_cell_get(s)))
		n++;
	return n;
}

static void put_all(struct nmti_cell **cell, int n)
{
	while (n--)
		nmti_cell_put(cell[n]);
}

static void test_attributes(void **state)
{
	static const uint32_t bad[] = { 1, 2048, 4095, 4097, 12288, 32u << 20, UINT32_MAX };
	struct nmt_domain_attr attr = NMT_DOMAIN_ATTR_INIT;
	struct nmt_domain *dom;
	struct unit u;

	(void)state;
	unit_ctx(&u);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		attr.cell_size = bad[i];
		assert_int_equal(nmt_domain_open(u.ctx, "tcp", &attr, &dom), -EINVAL);
	}
	for (uint32_t size = 4096; size <= 16u << 20; size *= 2) {
		attr.cell_size = size;
		assert_int_equal(nmt_domain_open(u.ctx, "tcp", &attr, &dom), 0);
		assert_int_equal(nmti_cell_size(dom), size);
		nmt_domain_close(dom);
	}
	attr.cell_size = 0;
	assert_int_equal(nmt_domain_open(u.ctx, "tcp", &attr, &dom), 0);
	assert_int_equal(nmti_cell_size(dom), 128 << 10);
	assert_int_equal(dom->pool.shared_max, (256 << 20) / (128 << 10));
	nmt_domain_close(dom);
	unit_close(&u);
}

static void test_kind(void **state)
{
	struct nmt_domain_attr attr = NMT_DOMAIN_ATTR_INIT;
	struct nmt_mem_ops kind = { .kind = NMT_MEM_CUSTOM, .name = "no alloc" };
	struct nmti_cell *cell;
	struct nmt_domain *dom;
	struct unit u;

	(void)state;
	attr.pool_kind = NMT_MEM_HUGE;
	unit_open_with(&u, "tcp", &attr);
	cell = nmti_cell_get(stream(&u, 1, 1));
	assert_int_equal(nmt_mr_kind(cell->mr), NMT_MEM_HUGE);
	nmti_cell_put(cell);
	attr.pool_kind = NMT_MEM_CUDA; /* a kind that this machine has not */
	assert_int_equal(nmt_domain_open(u.ctx, "tcp", &attr, &dom), -EOPNOTSUPP);
	assert_int_equal(nmti_mem_kind_add(u.ctx, &kind), 0);
	attr.pool_kind = NMT_MEM_CUSTOM; /* one that allocates nothing */
	assert_int_equal(nmt_domain_open(u.ctx, "tcp", &attr, &dom), -EOPNOTSUPP);
	attr.pool_kind = 99; /* no kind at all */
	assert_int_equal(nmt_domain_open(u.ctx, "tcp", &attr, &dom), -EINVAL);
	unit_close(&u);
}

/* Memory is taken when the first cell is, a slab at a time. */
static void test_grows_lazily(void **state)
{
	struct nmti_cell *cell[SLAB_CELLS + 1];
	struct nmt_stats st = NMT_STATS_INIT;
	struct nmt_stream *s;
	struct unit u;

	(void)state;
	open_pool(&u, 2 * SLAB_CELLS);
	s = stream(&u, 3, 2 * SLAB_CELLS);
	assert_int_equal(nmt_stats(u.dom, NULL, &st), 0);
	assert_int_equal(st.pool_bytes, 0);
	assert_int_equal(st.pool_reserved, 3 * CELL);
	assert_int_equal(take_all(s, cell, 1), 1);
	assert_int_equal(nmt_stats(u.dom, NULL, &st), 0);
	assert_int_equal(st.pool_bytes, SLAB_CELLS * CELL);
	assert_int_equal(st.pool_held, CELL);
	assert_int_equal(take_all(s, cell + 1, SLAB_CELLS), SLAB_CELLS);
	assert_int_equal(nmt_stats(u.dom, NULL, &st), 0);
	assert_int_equal(st.pool_bytes, 2 * SLAB_CELLS * CELL);
	put_all(cell, SLAB_CELLS + 1);
	assert_int_equal(take_all(s, cell, SLAB_CELLS + 1), SLAB_CELLS + 1);
	assert_int_equal(nmt_stats(u.dom, NULL, &st), 0);
	assert_int_equal(st.pool_bytes, 2 * SLAB_CELLS * CELL); /* what is there is used again */
	put_all(cell, SLAB_CELLS + 1);
	assert_int_equal(nmt_stats(u.dom, NULL, &st), 0);
	assert_int_equal(st.pool_held, 0);
	unit_close(&u);
}

/* No two cells overlap. */
static void test_cells_are_apart(void **state)
{
	struct nmti_cell *cell[100];
	struct nmt_stream *s;
	struct unit u;

	(void)state;
	open_pool(&u, 100);
	s = stream(&u, 1, 100);
	assert_int_equal(take_all(s, cell, 100), 100);
	for (int i = 0; i < 100; i++)
		memset(nmti_mr_cpu(cell[i]->mr, cell[i]->offset), i, CELL);
	for (int i = 0; i < 100; i++) {
		const uint8_t *p = nmti_mr_cpu(cell[i]->mr, cell[i]->offset);

		for (uint32_t k = 0; k < CELL; k++)
			assert_int_equal(p[k], i);
	}
	put_all(cell, 100);
	unit_close(&u);
}

static void test_share(void **state)
{
	struct nmti_cell *cell[16];
	struct nmt_stream *s;
	struct unit u;

	(void)state;
	open_pool(&u, 100);
	s = stream(&u, 2, 5);
	assert_int_equal(take_all(s, cell, 16), 5);
	assert_true(s->stalled);
	assert_int_equal(s->stat.stall_memory, 1);
	assert_int_equal(s->held, 5);
	assert_int_equal(u.dom->pool.shared, 3);
	put_all(cell, 5);
	assert_int_equal(u.dom->pool.shared, 0);
	assert_int_equal(u.dom->pool.held, 0);
	unit_close(&u);
}

/* What others took of the shared cells cannot touch a reserve. */
static void test_reserve_is_safe(void **state)
{
	struct nmti_cell *greedy[16], *modest[16];
	struct nmt_stream *g, *m;
	struct unit u;

	(void)state;
	open_pool(&u, 4);
	g = stream(&u, 1, 100);
	m = stream(&u, 3, 100);
	assert_int_equal(take_all(g, greedy, 16), 1 + 4);
	assert_int_equal(take_all(m, modest, 16), 3);
	assert_true(m->stalled);
	/* A shared cell that comes free is for whoever asks; a reserved one is not. */
	nmti_cell_put(greedy[4]);
	assert_int_equal(take_all(m, modest + 3, 16), 1);
	assert_int_equal(take_all(g, greedy + 4, 1), 0);
	put_all(modest, 4);
	assert_int_equal(take_all(g, greedy + 4, 16), 1);
	put_all(greedy, 5);
	assert_int_equal(u.dom->pool.held, 0);
	assert_int_equal(u.dom->pool.shared, 0);
	unit_close(&u);
}

static void test_leave(void **state)
{
	struct nmt_stream *a, *b;
	struct unit u;

	(void)state;
	open_pool(&u, 4);
	a = stream(&u, 3, 5);
	b = stream(&u, 2, 5);
	assert_int_equal(u.dom->pool.reserved, 5);
	nmti_stream_free(a);
	assert_int_equal(u.dom->pool.reserved, 2);
	nmti_stream_free(b);
	assert_int_equal(u.dom->pool.reserved, 0);
	unit_close(&u);
}

static void test_references(void **state)
{
	struct nmti_cell *cell;
	struct nmt_stream *s;
	struct unit u;

	(void)state;
	open_pool(&u, 4);
	s = stream(&u, 1, 4);
	cell = nmti_cell_get(s);
	assert_int_equal(cell->refs, 1);
	assert_ptr_equal(cell->owner, s);
	cell->refs++;
	nmti_cell_put(cell);
	assert_int_equal(s->held, 1);
	nmti_cell_put(cell);
	assert_int_equal(s->held, 0);
	unit_close(&u);
}

/* A stalled stream is told when it may go on, once, and its posted receives go on. */
static void test_unstall(void **state)
{
	struct nmti_cell *cell[4];
	struct nmt_stream *s;
	struct unit u;

	(void)state;
	open_pool(&u, 4);
	s = stream(&u, 1, 2);
	assert_int_equal(take_all(s, cell, 4), 2);
	assert_true(nmti_list_empty(&s->tell));
	s->rx_told = true;
	nmti_cell_put(cell[1]);
	assert_false(s->stalled);
	assert_false(s->rx_told);
	assert_false(nmti_list_empty(&s->tell));
	assert_true(nmti_list_empty(&s->work));
	nmti_list_del(&s->tell);
	nmti_cell_put(cell[0]); /* it waits for nothing now */
	assert_true(nmti_list_empty(&s->tell));
	assert_int_equal(take_all(s, cell, 4), 2);
	s->posted = 1;
	nmti_cell_put(cell[0]);
	assert_false(nmti_list_empty(&s->work));
	nmti_list_del(&s->work);
	s->posted = 0;
	nmti_cell_put(cell[1]);
	unit_close(&u);
}

/* ---- memory that cannot be had ---- */

static bool no_memory;

static int moody_alloc(struct nmt_mr *mr)
{
	mr->cpu = no_memory ? NULL : calloc(1, mr->size);
	return mr->cpu ? 0 : -ENOMEM;
}

static void moody_free(struct nmt_mr *mr)
{
	free(mr->cpu);
}

static const struct nmt_mem_ops moody = {
	.kind = NMT_MEM_CUSTOM, .name = "moody", .alloc = moody_alloc, .free = moody_free,
};

/* A stream that stalls without holding a cell has nothing to release: it must be told too. */
static void test_no_memory(void **state)
{
	struct nmt_domain_attr attr = NMT_DOMAIN_ATTR_INIT;
	int fd[2];
	struct nmt_frag frag;
	struct unit u;
	int n;

	(void)state;
	unit_ctx(&u);
	assert_int_equal(nmti_mem_kind_add(u.ctx, &moody), 0);
	attr.pool_kind = NMT_MEM_CUSTOM;
	assert_int_equal(nmt_domain_open(u.ctx, "tcp", &attr, &u.dom), 0);
	unit_tcp_pair(fd);
	u.a = unit_adopt(&u, fd[1], false, NULL);
	unit_write(fd[0], "hello", 5);
	unit_take(&u, u.a, NMT_EV_READABLE);
	no_memory = true;
	unit_log_clear(&u);
	assert_int_equal(nmt_recv_frags(u.a, &frag, 1, 0), -ENOBUFS);
	assert_true(unit_logged(&u, "no memory"));
	no_memory = false;
	unit_take(&u, u.a, NMT_EV_READABLE);
	n = nmt_recv_frags(u.a, &frag, 1, 0);
	assert_int_equal(n, 1);
	assert_int_equal(frag.len, 5);
	close(fd[0]);
	unit_close(&u);
}

/* ---- moving bytes between kinds ---- */

static char hidden[2][600 << 10];
static int hidden_count;

static int hidden_alloc(struct nmt_mr *mr)
{
	mr->priv = hidden[hidden_count++ % 2];
	memset(mr->priv, 0, sizeof(hidden[0]));
	return 0;
}

static int hidden_in(struct nmt_mr *mr, uint64_t offset, const void *src, size_t len)
{
	memcpy((char *)mr->priv + offset, src, len);
	return 0;
}

static int hidden_out(const struct nmt_mr *mr, uint64_t offset, void *dst, size_t len)
{
	memcpy(dst, (char *)mr->priv + offset, len);
	return 0;
}

static const struct nmt_mem_ops hidden_kind = {
	.kind = NMT_MEM_CUSTOM, .name = "hidden", .alloc = hidden_alloc,
	.copy_in = hidden_in, .copy_out = hidden_out,
};

static void move(struct unit *u, enum nmt_mem_kind to, enum nmt_mem_kind from)
{
	const size_t size = sizeof(hidden[0]), len = size - 1000;
	struct nmt_mr *dst, *src;
	uint8_t *buf = malloc(size);

	assert_int_equal(nmt_mr_alloc(u->ctx, to, size, NMT_ACCESS_ALL, &dst), 0);
	assert_int_equal(nmt_mr_alloc(u->ctx, from, size, NMT_ACCESS_ALL, &src), 0);
	unit_fill(buf, size, 0);
	assert_int_equal(nmt_mr_write(src, 0, buf, size), 0);
	assert_int_equal(nmti_mr_move(u->dom, dst, 7, src, 300, len), 0);
	assert_int_equal(nmt_mr_read(dst, 0, buf, size), 0);
	unit_check(buf + 7, len, 300);
	for (int i = 0; i < 7; i++)
		assert_int_equal(buf[i], 0);
	assert_int_equal(buf[7 + len], 0);
	assert_int_equal(nmt_mr_close(dst), 0);
	assert_int_equal(nmt_mr_close(src), 0);
	free(buf);
}

/* Longer than the staging memory, between kinds that the CPU can or cannot reach. */
/* Cells of a stream's own slab: neighbours in one region, counted as others, and back to the slab. */
static void test_slab(void **state)
{
	struct nmti_cell *cell[4];
	struct nmti_slab *slab;
	struct nmt_stream *s;
	struct unit u;

	(void)state;
	open_pool(&u, 8);
	s = stream(&u, 1, 3);
	slab = nmti_slab_new(s, 4);
	assert_non_null(slab);
	assert_int_equal(nmti_slab_mr(slab)->size, 4 * CELL);
	assert_int_equal(u.dom->pool.cells, 4);
	for (int i = 0; i < 3; i++) {
		cell[i] = nmti_slab_get(s, slab);
		assert_non_null(cell[i]);
		assert_ptr_equal(cell[i]->mr, nmti_slab_mr(slab));
		assert_int_equal(cell[i]->offset, i * CELL);
	}
	assert_true(nmti_slab_has(slab));
	assert_false(nmti_cell_may(s));
	assert_null(nmti_slab_get(s, slab)); /* beyond the share */
	assert_int_equal(u.dom->pool.held, 3);
	assert_int_equal(u.dom->pool.shared, 2);
	nmti_cell_put(cell[1]);
	nmti_cell_put(cell[0]);
	assert_null(u.dom->pool.free);
	cell[3] = nmti_slab_get(s, slab); /* in turn */
	assert_int_equal(cell[3]->offset, 3 * CELL);
	assert_ptr_equal(nmti_slab_get(s, slab), cell[1]);
	nmti_cell_put(cell[3]);
	assert_ptr_equal(nmti_slab_get(s, slab), cell[0]);
	assert_ptr_equal(nmti_slab_get(s, slab), NULL);
	assert_true(nmti_slab_has(slab));
	nmti_slab_free(s, slab); /* with what is taken */
	assert_int_equal(u.dom->pool.held, 0);
	assert_int_equal(u.dom->pool.shared, 0);
	assert_int_equal(u.dom->pool.cells, 0);
	nmti_stream_free(s);
	unit_close(&u);
}

/* Bytes of it that are being sent, by another stream, stay where they are. */
static void test_slab_in_use(void **state)
{
	struct nmti_slab *slab;
	struct nmt_stream *s;
	struct nmt_mr *mr;
	struct unit u;

	(void)state;
	open_pool(&u, 8);
	s = stream(&u, 1, 3);
	slab = nmti_slab_new(s, 2);
	mr = nmti_slab_mr(slab);
	nmti_mr_hold(mr);
	nmti_slab_free(s, slab);
	memset(nmti_mr_cpu(mr, 0), 1, 2 * CELL);
	nmti_mr_drop(mr);
	nmti_stream_free(s);
	unit_close(&u);
}

static void test_move(void **state)
{
	struct unit u;

	(void)state;
	open_pool(&u, 4);
	assert_int_equal(nmti_mem_kind_add(u.ctx, &hidden_kind), 0);
	move(&u, NMT_MEM_HOST, NMT_MEM_CUSTOM);
	move(&u, NMT_MEM_CUSTOM, NMT_MEM_HOST);
	move(&u, NMT_MEM_CUSTOM, NMT_MEM_CUSTOM);
	unit_close(&u);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_attributes),
	cmocka_unit_test(test_kind),
	cmocka_unit_test(test_grows_lazily),
	cmocka_unit_test(test_cells_are_apart),
	cmocka_unit_test(test_share),
	cmocka_unit_test(test_reserve_is_safe),
	cmocka_unit_test(test_leave),
	cmocka_unit_test(test_references),
	cmocka_unit_test(test_unstall),
	cmocka_unit_test(test_no_memory),
	cmocka_unit_test(test_slab),
	cmocka_unit_test(test_slab_in_use),
	cmocka_unit_test(test_move),
};

UNIT_MAIN(tests)
