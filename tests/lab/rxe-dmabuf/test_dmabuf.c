/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * In the guest: RDMA into and out of dma-bufs with plain verbs, between rxe_a and rxe_b of rxe-pair.
 *
 *   test_dmabuf works    rdma_rxe with dma-bufs and the shim: everything moves, and is refused, as on
 *                        an adapter
 *   test_dmabuf absent   any other pair of module and library: registering a dma-buf is refused with
 *                        EOPNOTSUPP, and ordinary memory works
 */
#include "rig.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#define PAGE 4096u
#define GUARD 64u
#define IMMEDIATE 0x1234
#define LOCAL IBV_ACCESS_LOCAL_WRITE
#define REMOTE (IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE | IBV_ACCESS_REMOTE_READ)

static struct end a, b;

/* ---- memory that is registered ---------------------------------------------------------------- */

/* A dma-buf with its registration, or ordinary memory. */
struct mem {
	struct dmabuf buf;
	struct ibv_mr *mr;
	unsigned char *cpu;
	uint64_t iova;		/* that of cpu[0] */
	size_t len;
	int plain;
};

/* An address that no mapping has, to see that iova counts and nothing else. */
#define IOVA 0x7f1234560000u

static void mem_dmabuf(struct mem *m, struct end *end, enum exporter from, size_t len)
{
	memset(m, 0, sizeof(*m));
	dmabuf_make(&m->buf, from, len);
	m->mr = ibv_reg_dmabuf_mr(end->pd, 0, len, IOVA, m->buf.fd, REMOTE);
	if (!m->mr)
		fail_msg("ibv_reg_dmabuf_mr of %s: %m", exporter_names[from]);
	m->cpu = m->buf.cpu;
	m->iova = IOVA;
	m->len = len;
}

static void mem_plain(struct mem *m, struct end *end, size_t len)
{
	memset(m, 0, sizeof(*m));
	m->plain = 1;
	m->cpu = aligned_alloc(PAGE, len);
	assert_non_null(m->cpu);
	m->mr = ibv_reg_mr(end->pd, m->cpu, len, REMOTE);
	assert_non_null(m->mr);
	m->iova = (uintptr_t)m->cpu;
	m->len = len;
}

static void mem_free(struct mem *m)
{
	assert_int_equal(ibv_dereg_mr(m->mr), 0);
	if (m->plain)
		free(m->cpu);
	else
		dmabuf_free(&m->buf);
}

static void fill(struct mem *m, uint32_t seed)
{
	size_t i;

	if (!m->plain)
		dmabuf_begin(&m->buf);
	for (i = 0; i < m->len; i++) {
		seed = seed * 1664525u + 1013904223u;
		m->cpu[i] = (unsigned char)(seed >> 24);
	}
	if (!m->plain)
		dmabuf_end(&m->buf);
}

/* ---- transfers -------------------------------------------------------------------------------- */

struct move {
	struct mem *from, *to;	/* of end a and end b; for READ the other way round */
	size_t from_at, to_at, len;
	enum ibv_wr_opcode how;
};

static void post(struct end *end, const struct mem *mine, size_t my_at, const struct mem *peer,
		 size_t peer_at, size_t len, enum ibv_wr_opcode how)
{
	struct ibv_sge sge = { mine->iova + my_at, (uint32_t)len, mine->mr->lkey };
	struct ibv_send_wr *bad, wr = {
		.wr_id = 1,
		.sg_list = &sge,
		.num_sge = 1,
		.opcode = how,
		.imm_data = htobe32(IMMEDIATE),
		.wr.rdma = { peer->iova + peer_at, peer->mr->rkey },
	};

	assert_int_equal(ibv_post_send(end->qp, &wr, &bad), 0);
}

static void expect_immediate(struct end *end, size_t len)
{
	struct ibv_wc wc = end_completion(end);

	assert_int_equal(wc.status, IBV_WC_SUCCESS);
	assert_int_equal(wc.opcode, IBV_WC_RECV_RDMA_WITH_IMM);
	assert_int_equal(be32toh(wc.imm_data), IMMEDIATE);
	assert_int_equal(wc.byte_len, len);
}

static void post_receive(struct end *end)
{
	struct ibv_recv_wr *bad, wr = { .wr_id = 2 };

	assert_int_equal(ibv_post_recv(end->qp, &wr, &bad), 0);
}

static int differs(const unsigned char *now, const unsigned char *then, size_t from, size_t to,
		   const char *what)
{
	size_t i;

	for (i = from; i < to && now[i] == then[i]; i++)
		;
	if (i < to)
		print_error("%s: byte %zu is %02x, not %02x\n", what, i, now[i], then[i]);
	return i < to;
}

/* The bytes are there, and those around them are what they were. */
static void check_move(const struct move *m, const unsigned char *before)
{
	size_t low = m->to_at < GUARD ? 0 : m->to_at - GUARD;
	size_t end = m->to_at + m->len, high = end + GUARD < m->to->len ? end + GUARD : m->to->len;
	int bad;

	if (!m->to->plain)
		dmabuf_begin(&m->to->buf);
	bad = differs(m->to->cpu, before, low, m->to_at, "before");
	bad |= differs(m->to->cpu, before, end, high, "after");
	bad |= differs(m->to->cpu + m->to_at, m->from->cpu + m->from_at, 0, m->len, "moved");
	if (!m->to->plain)
		dmabuf_end(&m->to->buf);
	if (bad)
		fail_msg("opcode %d, %zu bytes from %zu to %zu", m->how, m->len, m->from_at, m->to_at);
}

static void move(const struct move *m)
{
	unsigned char *before = malloc(m->to->len);

	assert_non_null(before);
	if (!m->to->plain)
		dmabuf_begin(&m->to->buf);
	memcpy(before, m->to->cpu, m->to->len);
	if (!m->to->plain)
		dmabuf_end(&m->to->buf);
	if (m->how == IBV_WR_RDMA_READ) {
		post(&b, m->to, m->to_at, m->from, m->from_at, m->len, m->how);
		assert_int_equal(end_completion(&b).status, IBV_WC_SUCCESS);
	} else {
		if (m->how == IBV_WR_RDMA_WRITE_WITH_IMM)
			post_receive(&b);
		post(&a, m->from, m->from_at, m->to, m->to_at, m->len, m->how);
		assert_int_equal(end_completion(&a).status, IBV_WC_SUCCESS);
		if (m->how == IBV_WR_RDMA_WRITE_WITH_IMM)
			expect_immediate(&b, m->len);
	}
	check_move(m, before);
	free(before);
}

static const size_t sizes[] = { 1, 7, 64, 4095, 4096, 4097, 8191, 65536, 100003, 262144 };
static const size_t offsets[][2] = { { GUARD, GUARD }, { 4032, 65 }, { 67, 4095 }, { 4097, 8190 } };
#define ROOM (262144 + 4 * PAGE)

static void move_ways(struct mem *from, struct mem *to, size_t len, const size_t at[2])
{
	static const enum ibv_wr_opcode ways[] = { IBV_WR_RDMA_WRITE, IBV_WR_RDMA_WRITE_WITH_IMM,
						   IBV_WR_RDMA_READ };
	static uint32_t seed;
	struct move m = { .from = from, .to = to, .from_at = at[0], .to_at = at[1], .len = len };
	size_t i;

	for (i = 0; i < sizeof(ways) / sizeof(*ways); i++) {
		fill(from, ++seed);
		fill(to, ++seed);
		m.how = ways[i];
		move(&m);
	}
}

/* Every size at every pair of offsets, each way of moving; of the large ones two pairs. */
static void move_all(struct mem *from, struct mem *to)
{
	size_t i, j;

	for (i = 0; i < sizeof(sizes) / sizeof(*sizes); i++)
		for (j = 0; j < (sizes[i] > 65536 ? 2 : sizeof(offsets) / sizeof(*offsets)); j++)
			move_ways(from, to, sizes[i], offsets[j]);
}

static void between(enum exporter from, enum exporter to)
{
	struct mem source, target;

	mem_dmabuf(&source, &a, from, ROOM);
	mem_dmabuf(&target, &b, to, ROOM);
	move_all(&source, &target);
	mem_free(&source);
	mem_free(&target);
}

static void udmabuf_to_udmabuf(void **state)
{
	(void)state;
	between(UDMABUF, UDMABUF);
}

static void heap_to_heap(void **state)
{
	(void)state;
	between(HEAP, HEAP);
}

static void plain_to_and_from_dmabuf(void **state)
{
	struct mem plain_a, plain_b, target, source;

	(void)state;
	mem_plain(&plain_a, &a, ROOM);
	mem_dmabuf(&target, &b, UDMABUF, ROOM);
	move_all(&plain_a, &target);
	mem_free(&target);
	mem_free(&plain_a);
	mem_dmabuf(&source, &a, HEAP, ROOM);
	mem_plain(&plain_b, &b, ROOM);
	move_all(&source, &plain_b);
	mem_free(&source);
	mem_free(&plain_b);
}

static void many_pages(void **state)
{
	const size_t len = 8u << 20;
	struct mem source, target;
	struct move m = { &source, &target, 3, 1001, len - 2000, IBV_WR_RDMA_WRITE };

	(void)state;
	mem_dmabuf(&source, &a, UDMABUF, len);
	mem_dmabuf(&target, &b, HEAP, len);
	fill(&source, 11);
	fill(&target, 12);
	move(&m);
	mem_free(&source);
	mem_free(&target);
}

/* ---- registration ----------------------------------------------------------------------------- */

/* Registering fails with this error. */
static void refused_as(int want, uint64_t offset, size_t len, uint64_t iova, int fd, int access)
{
	struct ibv_mr *mr;

	errno = 0;
	mr = ibv_reg_dmabuf_mr(a.pd, offset, len, iova, fd, access);
	if (mr) {
		ibv_dereg_mr(mr);
		fail_msg("registered: offset %#lx, %zu bytes, iova %#lx, fd %d, access %#x",
			 (unsigned long)offset, len, (unsigned long)iova, fd, (unsigned)access);
	}
	assert_int_equal(errno, want);
}

static void bad_descriptors(void **state)
{
	int null = open("/dev/null", O_RDWR), memfd = memfd_create("lab", 0);

	(void)state;
	assert_int_equal(ftruncate(memfd, PAGE), 0);
	refused_as(EBADF, 0, PAGE, 0, -1, LOCAL);
	refused_as(EBADF, 0, PAGE, 0, 999, LOCAL);
	refused_as(EINVAL, 0, PAGE, 0, null, LOCAL);
	refused_as(EINVAL, 0, PAGE, 0, memfd, LOCAL);
	close(null);
	close(memfd);
}

static void bad_ranges(void **state)
{
	struct dmabuf buf;
	int i;

	(void)state;
	for (i = 0; i < EXPORTERS; i++) {
		dmabuf_make(&buf, (enum exporter)i, 4 * PAGE);
		refused_as(EINVAL, 0, 4 * PAGE + 1, 0, buf.fd, LOCAL);
		refused_as(EINVAL, PAGE, 4 * PAGE, 0, buf.fd, LOCAL);
		refused_as(EINVAL, UINT64_MAX - PAGE + 1, 2 * PAGE, 0, buf.fd, LOCAL);
		refused_as(EINVAL, 0, 0, 0, buf.fd, LOCAL);
		refused_as(EINVAL, 0, PAGE, 1, buf.fd, LOCAL);
		refused_as(EINVAL, 5, PAGE, PAGE, buf.fd, LOCAL);
		refused_as(EINVAL, 0, PAGE, 0, buf.fd, IBV_ACCESS_REMOTE_WRITE);
		refused_as(EINVAL, 0, PAGE, 0, buf.fd, LOCAL | IBV_ACCESS_ON_DEMAND);
		refused_as(EINVAL, 0, PAGE, 0, buf.fd, LOCAL | IBV_ACCESS_MW_BIND);
		dmabuf_free(&buf);
	}
}

/* A part of a dma-buf, of odd offset and length; one byte more is refused, on the wire too. */
static void window(void **state)
{
	const size_t offset = 12411, len = 5001;
	struct mem source, target;
	struct move m = { &source, &target, 0, 0, len, IBV_WR_RDMA_WRITE };
	uint64_t iova = IOVA + (offset & (PAGE - 1));

	(void)state;
	mem_plain(&source, &a, 2 * PAGE);
	mem_dmabuf(&target, &b, UDMABUF, 8 * PAGE);
	assert_int_equal(ibv_dereg_mr(target.mr), 0);
	target.mr = ibv_reg_dmabuf_mr(b.pd, offset, len, iova, target.buf.fd, REMOTE);
	assert_non_null(target.mr);
	target.iova = iova - offset;
	fill(&source, 21);
	fill(&target, 22);
	m.to_at = offset;
	move(&m);
	post(&a, &source, 0, &target, offset, len + 1, IBV_WR_RDMA_WRITE);
	assert_int_equal(end_completion(&a).status, IBV_WC_REM_ACCESS_ERR);
	ends_connect(&a, &b);
	post(&a, &source, 0, &target, offset - 1, 2, IBV_WR_RDMA_WRITE);
	assert_int_equal(end_completion(&a).status, IBV_WC_REM_ACCESS_ERR);
	ends_connect(&a, &b);
	mem_free(&source);
	mem_free(&target);
}

/* The registration holds the memory; the descriptor is not needed. */
static void descriptor_closed(void **state)
{
	struct mem source, target;
	struct move m = { &source, &target, 1, 2, 3 * PAGE, IBV_WR_RDMA_WRITE_WITH_IMM };

	(void)state;
	mem_dmabuf(&source, &a, HEAP, 4 * PAGE);
	mem_dmabuf(&target, &b, UDMABUF, 4 * PAGE);
	fill(&source, 31);
	fill(&target, 32);
	close(source.buf.fd);
	close(target.buf.fd);
	source.buf.fd = target.buf.fd = -1;
	move(&m);
	mem_free(&source);
	mem_free(&target);
}

static void nothing_is_left(void **state)
{
	long before = dmabufs_in_kernel();
	struct dmabuf buf;
	struct ibv_mr *mr;
	int i;

	(void)state;
	dmabuf_make(&buf, HEAP, 16 * PAGE);
	for (i = 0; i < 200; i++) {
		mr = ibv_reg_dmabuf_mr(a.pd, 0, 16 * PAGE, 0, buf.fd, REMOTE);
		assert_non_null(mr);
		assert_int_equal(ibv_dereg_mr(mr), 0);
	}
	mr = ibv_reg_dmabuf_mr(a.pd, 0, 16 * PAGE, 0, buf.fd, REMOTE);
	assert_non_null(mr);
	dmabuf_free(&buf);
	assert_int_equal(dmabufs_in_kernel(), before + 1);
	assert_int_equal(ibv_dereg_mr(mr), 0);
	assert_int_equal(dmabufs_in_kernel(), before);
}

/* ---- without dma-bufs ------------------------------------------------------------------------- */

static void absent(void **state)
{
	struct dmabuf buf;
	int i;

	(void)state;
	refused_as(EOPNOTSUPP, 0, PAGE, 0, -1, LOCAL);
	for (i = 0; i < EXPORTERS; i++) {
		dmabuf_make(&buf, (enum exporter)i, 4 * PAGE);
		refused_as(EOPNOTSUPP, 0, PAGE, 0, buf.fd, LOCAL);
		dmabuf_free(&buf);
	}
}

/* What a library falls back to: the pages of a udmabuf, registered by the mapping of its memfd. */
static void pages_by_address(void **state)
{
	struct mem source, target;
	struct move m = { &source, &target, 5, 6, 3 * PAGE, IBV_WR_RDMA_WRITE_WITH_IMM };
	struct dmabuf buf;

	(void)state;
	mem_plain(&source, &a, 4 * PAGE);
	dmabuf_make(&buf, UDMABUF, 4 * PAGE);
	target = (struct mem){ .plain = 1, .cpu = buf.cpu, .len = 4 * PAGE };
	target.iova = (uintptr_t)buf.cpu;
	target.mr = ibv_reg_mr(b.pd, buf.cpu, buf.len, REMOTE);
	assert_non_null(target.mr);
	fill(&source, 41);
	fill(&target, 42);
	move(&m);
	assert_int_equal(ibv_dereg_mr(target.mr), 0);
	dmabuf_free(&buf);
	mem_free(&source);
}

/* ---- main ------------------------------------------------------------------------------------- */

static int set_up(void **state)
{
	(void)state;
	end_open(&a, "rxe_a");
	end_open(&b, "rxe_b");
	ends_connect(&a, &b);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	end_close(&a);
	end_close(&b);
	return 0;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest works[] = {
		cmocka_unit_test(bad_descriptors),
		cmocka_unit_test(bad_ranges),
		cmocka_unit_test(udmabuf_to_udmabuf),
		cmocka_unit_test(heap_to_heap),
		cmocka_unit_test(plain_to_and_from_dmabuf),
		cmocka_unit_test(many_pages),
		cmocka_unit_test(window),
		cmocka_unit_test(descriptor_closed),
		cmocka_unit_test(nothing_is_left),
	};
	const struct CMUnitTest without[] = {
		cmocka_unit_test(absent),
		cmocka_unit_test(pages_by_address),
	};

	if (argc == 2 && !strcmp(argv[1], "works"))
		return cmocka_run_group_tests(works, set_up, tear_down);
	if (argc == 2 && !strcmp(argv[1], "absent"))
		return cmocka_run_group_tests(without, set_up, tear_down);
	fprintf(stderr, "usage: test_dmabuf works|absent\n");
	return 2;
}
