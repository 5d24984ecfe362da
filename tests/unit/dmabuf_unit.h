/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What every kind of memory owes that is a dma-buf and can be allocated, whatever device it comes
 * from: zeroed, copied in and out, the same bytes through the descriptor it exports, no leak.
 */
#ifndef TESTS_DMABUF_UNIT_H
#define TESTS_DMABUF_UNIT_H

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "mem/dmabuf.h"
#include "unit.h"

#define DMA_MIB (UINT64_C(1) << 20)

static const size_t dma_sizes[] = { 1, 4095, 4096, 4097, 100000, (2 << 20) + 5 };

static inline struct nmt_mr *dma_alloc(struct unit *u, enum nmt_mem_kind kind, size_t size)
{
	struct nmt_mr *mr;

	assert_int_equal(nmt_mr_alloc(u->ctx, kind, size, NMT_ACCESS_ALL, &mr), 0);
	return mr;
}

static inline int dma_export(const struct nmt_mr *mr, uint64_t *offset)
{
	int fd = mr->ops->export_fd(mr, offset);

	assert_true(fd >= 0);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	return fd;
}

static inline struct nmt_mr *dma_import(struct unit *u, int fd, uint64_t offset, size_t size)
{
	struct nmt_mr *mr;

	assert_int_equal(nmt_mr_import(u->ctx, fd, offset, size, NMT_ACCESS_ALL, &mr), 0);
	assert_int_equal(nmt_mr_kind(mr), NMT_MEM_DMABUF);
	assert_int_equal(nmt_mr_size(mr), size);
	return mr;
}

/* Stream position POS at the region's byte 0. */
static inline void dma_fill(struct nmt_mr *mr, uint64_t pos)
{
	uint8_t *buf = malloc(mr->size);

	unit_fill(buf, mr->size, pos);
	assert_int_equal(nmt_mr_write(mr, 0, buf, mr->size), 0);
	free(buf);
}

static inline void dma_check(const struct nmt_mr *mr, uint64_t pos)
{
	uint8_t *buf = malloc(mr->size);

	assert_int_equal(nmt_mr_read(mr, 0, buf, mr->size), 0);
	unit_check(buf, mr->size, pos);
	free(buf);
}

/* Zeroed, and every byte at its place, also by odd pieces and up to the very end. */
static inline void dma_copies(struct unit *u, enum nmt_mem_kind kind)
{
	for (size_t i = 0; i < ARRAY_LEN(dma_sizes); i++) {
		size_t size = dma_sizes[i], half = size / 2;
		struct nmt_mr *mr = dma_alloc(u, kind, size);
		uint8_t *buf = malloc(size + 1), byte = 7;

		assert_int_equal(nmt_mr_kind(mr), kind);
		assert_int_equal(nmt_mr_size(mr), size);
		assert_int_equal(nmt_mr_read(mr, 0, buf, size), 0);
		for (size_t k = 0; k < size; k++)
			assert_int_equal(buf[k], 0);
		unit_fill(buf, size, 3);
		assert_int_equal(nmt_mr_write(mr, half, buf + half, size - half), 0);
		assert_int_equal(nmt_mr_write(mr, 0, buf, half), 0);
		dma_check(mr, 3);
		assert_int_equal(nmt_mr_write(mr, size, &byte, 1), -EFAULT);
		assert_int_equal(nmt_mr_read(mr, 1, buf, size), -EFAULT);
		assert_int_equal(nmt_mr_write(mr, size, &byte, 0), 0);
		dma_check(mr, 3);
		free(buf);
		assert_int_equal(nmt_mr_close(mr), 0);
	}
}

/* The dma-buf as anybody sees it who has the descriptor, without the library. */
static inline void dma_seen_by_others(const struct nmt_mr *mr, uint64_t pos)
{
	uint64_t offset = 99;
	int fd = dma_export(mr, &offset);
	off_t end = lseek(fd, 0, SEEK_END);
	uint8_t *p = mmap(NULL, (size_t)end, PROT_READ, MAP_SHARED, fd, 0);

	assert_int_equal(offset, 0);
	assert_int_equal(end, nmti_round_up(mr->size, (size_t)sysconf(_SC_PAGESIZE)));
	assert_true(p != MAP_FAILED);
	unit_check(p, mr->size, pos);
	munmap(p, (size_t)end);
	close(fd);
}

static inline void dma_exports(struct unit *u, enum nmt_mem_kind kind)
{
	for (size_t i = 0; i < ARRAY_LEN(dma_sizes); i++) {
		struct nmt_mr *mr = dma_alloc(u, kind, dma_sizes[i]);

		dma_fill(mr, 11);
		dma_seen_by_others(mr, 11);
		assert_int_equal(nmt_mr_close(mr), 0);
	}
}

/* One region and an import of a part of it: the same memory, both ways, any alignment. */
static inline void dma_import_part(struct unit *u, struct nmt_mr *mr, uint64_t at, size_t size)
{
	struct nmt_mr *part;
	uint64_t offset;
	uint8_t *buf = malloc(mr->size);
	int fd = dma_export(mr, &offset);

	part = dma_import(u, fd, offset + at, size);
	close(fd);
	assert_null(nmt_mr_addr(part));
	dma_fill(mr, 21);
	dma_check(part, 21 + at);
	dma_fill(part, 77);
	assert_int_equal(nmt_mr_read(mr, 0, buf, mr->size), 0);
	unit_check(buf, at, 21);
	unit_check(buf + at, size, 77);
	unit_check(buf + at + size, mr->size - at - size, 21 + at + size);
	assert_int_equal(nmt_mr_close(part), 0);
	free(buf);
}

static inline void dma_imports(struct unit *u, enum nmt_mem_kind kind)
{
	static const struct {
		uint64_t at;
		size_t size;
	} parts[] = { { 0, 100000 }, { 0, 1 },	   { 1, 99999 },    { 4095, 2 },
		      { 4096, 4096 }, { 5000, 70001 }, { 99999, 1 } };
	struct nmt_mr *mr = dma_alloc(u, kind, 100000);

	for (size_t i = 0; i < ARRAY_LEN(parts); i++)
		dma_import_part(u, mr, parts[i].at, parts[i].size);
	assert_int_equal(nmt_mr_close(mr), 0);
}

/* The memory lives as long as anybody has it; exports of imports add the offsets up. */
static inline void dma_outlives(struct unit *u, enum nmt_mem_kind kind)
{
	struct nmt_mr *mr = dma_alloc(u, kind, 50000), *part, *again;
	uint64_t offset;
	int fd = dma_export(mr, &offset);

	dma_fill(mr, 31);
	part = dma_import(u, fd, 5000, 20000);
	close(fd);
	assert_int_equal(nmt_mr_close(mr), 0);
	dma_check(part, 31 + 5000);
	fd = dma_export(part, &offset);
	assert_int_equal(offset, 5000);
	again = dma_import(u, fd, offset + 7, 1000);
	close(fd);
	assert_int_equal(nmt_mr_close(part), 0);
	dma_check(again, 31 + 5007);
	assert_int_equal(nmt_mr_close(again), 0);
}

/* Past the end of a real one (it is as long as its pages). */
static inline void dma_import_outside(struct unit *u, enum nmt_mem_kind kind)
{
	size_t size = nmti_round_up(5000, (size_t)sysconf(_SC_PAGESIZE));
	const struct {
		uint64_t at;
		size_t size;
	} bad[] = { { 0, size + 1 }, { 1, size },	 { size, 1 },	       { size + 1, 1 },
		    { 0, SIZE_MAX }, { UINT64_MAX, 1 }, { UINT64_MAX - 5, 10 } };
	struct nmt_mr *mr = dma_alloc(u, kind, 5000), *part = NULL;
	uint64_t offset;
	int fd = dma_export(mr, &offset), fds = unit_open_fds();

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		unit_log_clear(u);
		assert_int_equal(nmt_mr_import(u->ctx, fd, bad[i].at, bad[i].size, NMT_ACCESS_ALL,
					       &part), -EINVAL);
		assert_int_equal(u->lines, 1);
		assert_true(unit_logged(u, "are not within its"));
	}
	assert_int_equal(nmt_mr_import(u->ctx, fd, 0, 0, NMT_ACCESS_ALL, &part), -EINVAL);
	assert_null(part);
	assert_int_equal(unit_open_fds(), fds);
	assert_int_equal(nmt_mr_close(dma_import(u, fd, size - 1, 1)), 0);
	close(fd);
	assert_int_equal(nmt_mr_close(mr), 0);
}

/* More than any machine has. */
static inline void dma_too_large(struct unit *u, enum nmt_mem_kind kind)
{
	static const size_t sizes[] = { SIZE_MAX, SIZE_MAX - 4096, SIZE_MAX / 2, SIZE_MAX / 16 };
	int fds = unit_open_fds();
	struct nmt_mr *mr;

	for (size_t i = 0; i < ARRAY_LEN(sizes); i++)
		assert_int_equal(nmt_mr_alloc(u->ctx, kind, sizes[i], NMT_ACCESS_ALL, &mr),
				 -ENOMEM);
	assert_int_equal(unit_open_fds(), fds);
}

/* Out of descriptors, at whichever of them: an error, nothing left over. */
static inline void dma_no_descriptors(struct unit *u, enum nmt_mem_kind kind)
{
	struct rlimit old, few;
	int fds = unit_open_fds(), failed = 0;
	struct nmt_mr *mr;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	few = old;
	for (int more = 0; more < 6; more++) {
		few.rlim_cur = (rlim_t)(fds + more);
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
		if (nmt_mr_alloc(u->ctx, kind, 4096, NMT_ACCESS_ALL, &mr))
			failed++;
		else
			assert_int_equal(nmt_mr_close(mr), 0);
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
		assert_int_equal(unit_open_fds(), fds);
	}
	assert_in_range(failed, 1, 5);
}

struct dma_worker {
	struct nmt_mr *mr;
	uint64_t at;
	bool good;
};

static inline void *dma_work(void *arg)
{
	struct dma_worker *w = arg;
	uint8_t buf[3001];

	w->good = true;
	for (uint64_t i = 0; i < 200 && w->good; i++) {
		unit_fill(buf, sizeof(buf), i + w->at);
		w->good = !nmt_mr_write(w->mr, w->at, buf, sizeof(buf));
		memset(buf, 0, sizeof(buf));
		w->good = w->good && !nmt_mr_read(w->mr, w->at, buf, sizeof(buf));
		for (size_t k = 0; k < sizeof(buf) && w->good; k++)
			w->good = buf[k] == unit_byte(i + w->at + k);
	}
	return NULL;
}

/* Neighbours that share cache lines do not harm each other. */
static inline void dma_threads(struct unit *u, enum nmt_mem_kind kind)
{
	struct nmt_mr *mr = dma_alloc(u, kind, 4 * 3001);
	struct dma_worker w[4];
	pthread_t thread[4];

	for (int i = 0; i < 4; i++) {
		w[i] = (struct dma_worker){ .mr = mr, .at = (uint64_t)i * 3001 };
		assert_int_equal(pthread_create(&thread[i], NULL, dma_work, &w[i]), 0);
	}
	for (int i = 0; i < 4; i++)
		pthread_join(thread[i], NULL);
	for (int i = 0; i < 4; i++)
		assert_true(w[i].good);
	assert_int_equal(nmt_mr_close(mr), 0);
}

/* As receive memory: bytes of a stream land in it and are read where they were lent. */
static inline void dma_pool(struct unit *u, enum nmt_mem_kind kind)
{
	struct nmt_domain_attr attr = NMT_DOMAIN_ATTR_INIT;
	struct nmt_mr *mr = dma_alloc(u, kind, 3000);
	struct nmt_frag out = { .mr = mr, .len = 3000 }, in;
	uint8_t buf[3000];
	size_t got = 0;

	attr.pool_kind = kind;
	assert_int_equal(nmt_domain_open(u->ctx, "tcp", &attr, &u->dom), 0);
	unit_pair(u, NULL);
	dma_fill(mr, 5);
	assert_int_equal(nmt_send_mr(u->a, &out, 1, 0, 1), 0);
	while (got < sizeof(buf)) {
		int n = nmt_recv_frags(u->b, &in, 1, 0);

		unit_poll(u, n == -EAGAIN ? 10 * UNIT_MS : 0);
		if (n == -EAGAIN)
			continue;
		assert_int_equal(n, 1);
		assert_int_equal(nmt_mr_kind(in.mr), kind);
		assert_int_equal(nmt_mr_read(in.mr, in.offset, buf + got, in.len), 0);
		got += in.len;
		assert_int_equal(nmt_release(u->b, &in, 1), 0);
	}
	unit_check(buf, sizeof(buf), 5);
	unit_take(u, u->a, NMT_EV_SENT);
	assert_int_equal(nmt_mr_close(mr), 0);
}

static inline void dma_locality(struct unit *u, enum nmt_mem_kind kind)
{
	struct nmt_mr *mr = dma_alloc(u, kind, 4096);
	char pci[16] = "x";
	int numa = -2;

	dma_fill(mr, 0);
	assert_int_equal(mr->ops->locality(mr, &numa, pci, sizeof(pci)), 0);
	assert_in_range(numa + 1, 0, 1024);
	assert_string_equal(pci, "");
	assert_int_equal(nmt_mr_close(mr), 0);
}

/* Every check above, as a table of cmocka; the kind is the test's state. */
#define DMA_TEST(check)                                                                            \
	static void test_##check(void **state)                                                     \
	{                                                                                          \
		int fds = unit_open_fds();                                                         \
		struct unit u;                                                                     \
                                                                                                   \
		(void)state;                                                                       \
		unit_ctx(&u);                                                                      \
		dma_##check(&u, DMA_KIND);                                                         \
		unit_close(&u);                                                                    \
		assert_int_equal(unit_open_fds(), fds);                                            \
	}
#define DMA_TESTS                                                                                  \
	DMA_TEST(copies)                                                                           \
	DMA_TEST(exports)                                                                          \
	DMA_TEST(imports)                                                                          \
	DMA_TEST(outlives)                                                                         \
	DMA_TEST(import_outside)                                                                   \
	DMA_TEST(too_large)                                                                        \
	DMA_TEST(no_descriptors)                                                                   \
	DMA_TEST(threads)                                                                          \
	DMA_TEST(pool)                                                                             \
	DMA_TEST(locality)
#define DMA_TEST_ENTRIES                                                                           \
	cmocka_unit_test(test_copies), cmocka_unit_test(test_exports),                             \
	cmocka_unit_test(test_imports), cmocka_unit_test(test_outlives),                           \
	cmocka_unit_test(test_import_outside), cmocka_unit_test(test_too_large),                   \
	cmocka_unit_test(test_no_descriptors), cmocka_unit_test(test_threads),                     \
	cmocka_unit_test(test_pool), cmocka_unit_test(test_locality)

/* A machine without the device: regions and pools are refused, and the log says why. */
static inline void dma_refused(enum nmt_mem_kind kind, const char *device)
{
	struct nmt_domain_attr attr = NMT_DOMAIN_ATTR_INIT;
	int fds = unit_open_fds();
	struct nmt_domain *dom;
	struct nmt_mr *mr = NULL;
	struct unit u;

	unit_ctx(&u);
	unit_log_clear(&u);
	assert_int_equal(nmt_mr_alloc(u.ctx, kind, 4096, NMT_ACCESS_ALL, &mr), -EOPNOTSUPP);
	assert_null(mr);
	assert_int_equal(u.lines, 1);
	assert_true(unit_logged(&u, device));
	attr.pool_kind = kind;
	unit_log_clear(&u);
	assert_int_equal(nmt_domain_open(u.ctx, "tcp", &attr, &dom), -EOPNOTSUPP);
	assert_int_equal(u.lines, 1);
	assert_true(unit_logged(&u, device));
	unit_close(&u);
	assert_int_equal(unit_open_fds(), fds);
}

#endif
