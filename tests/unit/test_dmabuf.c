/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Imported dma-bufs without a device: a memfd that passes for one, so that each bracket of the CPU's
 * accesses can be watched and made to fail. The real thing is in test_udmabuf.c and test_dmaheap.c.
 *
 * fstatfs() and ioctl() of this program are those below, for the library that is linked into it too.
 */
#include <fcntl.h>
#include <linux/dma-buf.h>
#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/statfs.h>
#include <sys/syscall.h>

#include "mem/dmabuf.h"
#include "unit.h"

#define SIZE 20000u

static bool fake;              /* every file is a dma-buf */
static uint64_t seen[8];       /* flags of the sync calls */
static unsigned int nseen;
static unsigned int fail_at;   /* this sync call, counted from 1, fails */
static int fail_with;

int fstatfs(int fd, struct statfs *fs)
{
	int rc = (int)syscall(SYS_fstatfs, fd, fs);

	if (!rc && fake)
		fs->f_type = DMA_BUF_MAGIC;
	return rc;
}

static int fake_sync(const struct dma_buf_sync *sync)
{
	if (nseen < ARRAY_LEN(seen))
		seen[nseen] = sync->flags;
	if (++nseen != fail_at)
		return 0;
	errno = fail_with;
	return -1;
}

int ioctl(int fd, unsigned long request, ...)
{
	void *arg;
	va_list ap;

	va_start(ap, request);
	arg = va_arg(ap, void *);
	va_end(ap);
	if (fake && request == DMA_BUF_IOCTL_SYNC)
		return fake_sync(arg);
	return (int)syscall(SYS_ioctl, fd, request, arg);
}

static void watch(unsigned int at, int with)
{
	nseen = 0;
	fail_at = at;
	fail_with = with;
}

static int fake_fd(void)
{
	int fd = memfd_create("unit-dmabuf", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, SIZE), 0);
	fake = true;
	return fd;
}

/* The same file again, with another access mode. */
static int reopen(int fd, int flags)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return open(path, flags | O_CLOEXEC);
}

static struct nmt_mr *import(struct unit *u, int fd, uint64_t offset, size_t size, uint32_t access)
{
	struct nmt_mr *mr;

	assert_int_equal(nmt_mr_import(u->ctx, fd, offset, size, access, &mr), 0);
	assert_null(nmt_mr_addr(mr));
	return mr;
}

/* ---- what is no dma-buf ---- */

static void refuse(struct unit *u, int fd, int want)
{
	int fds = unit_open_fds();
	struct nmt_mr *mr = NULL;

	fake = false;
	unit_log_clear(u);
	assert_int_equal(nmt_mr_import(u->ctx, fd, 0, 1, NMT_ACCESS_ALL, &mr), want);
	assert_null(mr);
	assert_int_equal(u->lines, 1);
	assert_int_equal(unit_open_fds(), fds);
}

static void test_no_dmabuf(void **state)
{
	int memfd = fake_fd(), null = open("/dev/null", O_RDWR), file = open("/proc/self/exe", 0);
	int sock = socket(AF_INET, SOCK_STREAM, 0), p[2];
	struct unit u;

	(void)state;
	unit_ctx(&u);
	assert_int_equal(pipe(p), 0);
	refuse(&u, -1, -EBADF);
	refuse(&u, 999, -EBADF);
	refuse(&u, memfd, -EINVAL);
	assert_true(unit_logged(&u, "is no dma-buf"));
	refuse(&u, null, -EINVAL);
	refuse(&u, file, -EINVAL);
	refuse(&u, sock, -EINVAL);
	refuse(&u, p[0], -EINVAL);
	close(memfd);
	refuse(&u, memfd, -EBADF);
	close(null);
	close(file);
	close(sock);
	close(p[0]);
	close(p[1]);
	unit_close(&u);
}

static void test_bad_arguments(void **state)
{
	struct nmt_mr *mr = NULL;
	struct unit u;
	int fd = fake_fd();

	(void)state;
	unit_ctx(&u);
	assert_int_equal(nmt_mr_import(NULL, fd, 0, 1, 1, &mr), -EINVAL);
	assert_int_equal(nmt_mr_import(u.ctx, fd, 0, 0, 1, &mr), -EINVAL);
	assert_int_equal(nmt_mr_import(u.ctx, fd, 0, 1, 0, &mr), -EINVAL);
	assert_int_equal(nmt_mr_import(u.ctx, fd, 0, 1, 8, &mr), -EINVAL);
	assert_int_equal(nmt_mr_import(u.ctx, fd, 0, 1, 1, NULL), -EINVAL);
	assert_int_equal(nmt_mr_import(u.ctx, fd, 0, SIZE + 1, 1, &mr), -EINVAL);
	assert_int_equal(nmt_mr_import(u.ctx, fd, SIZE, 1, 1, &mr), -EINVAL);
	assert_int_equal(nmt_mr_import(u.ctx, fd, UINT64_MAX, 2, 1, &mr), -EINVAL);
	assert_int_equal(nmt_mr_alloc(u.ctx, NMT_MEM_DMABUF, 8, 1, &mr), -EOPNOTSUPP);
	assert_null(mr);
	close(fd);
	unit_close(&u);
}

/* ---- brackets ---- */

static void test_brackets(void **state)
{
	uint8_t buf[100], file[100];
	int fd = fake_fd();
	struct nmt_mr *mr;
	struct unit u;

	(void)state;
	unit_ctx(&u);
	mr = import(&u, fd, 4095, 10000, NMT_ACCESS_ALL);
	unit_fill(buf, sizeof(buf), 9);
	watch(0, 0);
	assert_int_equal(nmt_mr_write(mr, 50, buf, sizeof(buf)), 0);
	assert_int_equal(nseen, 2);
	assert_int_equal(seen[0], DMA_BUF_SYNC_START | DMA_BUF_SYNC_WRITE);
	assert_int_equal(seen[1], DMA_BUF_SYNC_END | DMA_BUF_SYNC_WRITE);
	assert_int_equal(pread(fd, file, sizeof(file), 4095 + 50), sizeof(file));
	unit_check(file, sizeof(file), 9);
	watch(0, 0);
	memset(buf, 0, sizeof(buf));
	assert_int_equal(nmt_mr_read(mr, 50, buf, sizeof(buf)), 0);
	unit_check(buf, sizeof(buf), 9);
	assert_int_equal(nseen, 2);
	assert_int_equal(seen[0], DMA_BUF_SYNC_START | DMA_BUF_SYNC_READ);
	assert_int_equal(seen[1], DMA_BUF_SYNC_END | DMA_BUF_SYNC_READ);
	watch(0, 0);
	assert_int_equal(nmt_mr_read(mr, 10000, buf, 0), 0);
	assert_int_equal(nmt_mr_read(mr, 9999, buf, 2), -EFAULT);
	assert_int_equal(nseen, 0);
	assert_int_equal(nmt_mr_close(mr), 0);
	close(fd);
	unit_close(&u);
}

/* An interrupted call is made again; another failure is the caller's, and nothing was touched. */
static void test_brackets_fail(void **state)
{
	static const int again[] = { EINTR, EAGAIN };
	char byte = 'x', got = 0;
	int fd = fake_fd();
	struct nmt_mr *mr;
	struct unit u;

	(void)state;
	unit_ctx(&u);
	mr = import(&u, fd, 0, SIZE, NMT_ACCESS_ALL);
	for (unsigned int i = 0; i < ARRAY_LEN(again); i++) {
		watch(1 + i, again[i]);
		assert_int_equal(nmt_mr_write(mr, i, &byte, 1), 0);
		assert_int_equal(nseen, 3);
		assert_int_equal(pread(fd, &got, 1, i), 1);
		assert_int_equal(got, 'x');
	}
	watch(1, EIO);
	assert_int_equal(nmt_mr_write(mr, 100, &byte, 1), -EIO);
	assert_int_equal(nseen, 1);
	assert_int_equal(pread(fd, &got, 1, 100), 1);
	assert_int_equal(got, 0);
	watch(1, EIO);
	assert_int_equal(nmt_mr_read(mr, 0, &got, 1), -EIO);
	assert_int_equal(got, 0);
	watch(2, ETIMEDOUT);
	assert_int_equal(nmt_mr_read(mr, 0, &got, 1), -ETIMEDOUT);
	watch(0, 0);
	assert_int_equal(nmt_mr_read(mr, 0, &got, 1), 0); /* the lock was given back */
	assert_int_equal(nmt_mr_close(mr), 0);
	close(fd);
	unit_close(&u);
}

/* ---- what the exporter does not allow ---- */

/* Whether a stream of PROVIDER caps may use the region. */
static int used(const struct unit *u, const struct nmt_mr *mr, uint64_t caps, uint32_t access)
{
	struct nmt_provider_ops ops = { .caps = caps };
	struct nmt_stream s = { .ctx = u->ctx, .ops = &ops };

	return nmti_mr_check(&s, mr, 0, 1, access);
}

static void test_no_mapping(void **state)
{
	int fd = fake_fd(), blind = reopen(fd, O_WRONLY), fds = unit_open_fds(), out;
	uint64_t offset = 0;
	struct nmt_mr *mr;
	struct unit u;
	char byte = 1;

	(void)state;
	unit_ctx(&u);
	unit_log_clear(&u);
	mr = import(&u, blind, 5000, 1000, NMT_ACCESS_ALL);
	assert_true(unit_logged(&u, "the CPU cannot reach the region"));
	assert_int_equal(nmt_mr_read(mr, 0, &byte, 1), -EOPNOTSUPP);
	assert_int_equal(nmt_mr_write(mr, 0, &byte, 1), -EOPNOTSUPP);
	assert_int_equal(nmt_mr_read(mr, 0, &byte, 0), -EOPNOTSUPP);
	assert_int_equal(used(&u, mr, 0, NMT_ACCESS_SEND), -EOPNOTSUPP);
	assert_int_equal(used(&u, mr, NMT_CAP_DMABUF, NMT_ACCESS_SEND), 0);
	out = mr->ops->export_fd(mr, &offset);
	assert_true(out >= 0);
	assert_int_equal(offset, 5000);
	close(out);
	assert_int_equal(nmt_mr_close(mr), 0);
	unit_close(&u);
	assert_int_equal(unit_open_fds(), fds);
	close(blind);
	close(fd);
}

static void test_read_only(void **state)
{
	int fd = fake_fd(), ro = reopen(fd, O_RDONLY);
	struct nmt_mr *mr;
	struct unit u;
	char byte = 'w';

	(void)state;
	unit_ctx(&u);
	assert_int_equal(pwrite(fd, &byte, 1, 7), 1);
	unit_log_clear(&u);
	mr = import(&u, ro, 7, 1000, NMT_ACCESS_SEND);
	assert_true(unit_logged(&u, "read-only"));
	byte = 0;
	assert_int_equal(nmt_mr_read(mr, 0, &byte, 1), 0);
	assert_int_equal(byte, 'w');
	assert_int_equal(nmt_mr_write(mr, 0, &byte, 1), -EACCES);
	assert_int_equal(used(&u, mr, 0, NMT_ACCESS_SEND), 0);
	assert_int_equal(nmt_mr_close(mr), 0);
	mr = import(&u, ro, 7, 1000, NMT_ACCESS_ALL);
	assert_int_equal(nmt_mr_read(mr, 0, &byte, 1), 0);
	assert_int_equal(used(&u, mr, 0, NMT_ACCESS_RECV), -EOPNOTSUPP);
	assert_int_equal(used(&u, mr, NMT_CAP_DMABUF, NMT_ACCESS_RECV), 0);
	assert_int_equal(nmt_mr_close(mr), 0);
	close(ro);
	close(fd);
	unit_close(&u);
}

/* Streams use what they can: bytes are staged on their way out of and into an import. */
static void test_stream(void **state)
{
	struct nmt_stats st = NMT_STATS_INIT;
	struct nmt_frag frag = { .len = 3000 };
	uint8_t buf[3000];
	int fd = fake_fd();
	struct nmt_mr *to;
	struct unit u;

	(void)state;
	unit_open(&u, "tcp");
	unit_pair(&u, NULL);
	frag.mr = import(&u, fd, 1, 3000, NMT_ACCESS_SEND);
	to = import(&u, fd, 10001, 3000, NMT_ACCESS_RECV);
	unit_fill(buf, sizeof(buf), 0);
	assert_int_equal(nmt_mr_write(frag.mr, 0, buf, sizeof(buf)), 0);
	assert_int_equal(nmt_recv_into(u.b, to, 0, 3000, 0, 1), 0);
	assert_int_equal(nmt_send_mr(u.a, &frag, 1, 0, 1), 0);
	unit_take(&u, u.b, NMT_EV_RECEIVED);
	unit_take(&u, u.a, NMT_EV_SENT);
	assert_int_equal(pread(fd, buf, sizeof(buf), 10001), sizeof(buf));
	unit_check(buf, sizeof(buf), 0);
	assert_int_equal(nmt_stats(u.dom, NULL, &st), 0);
	assert_true(st.fallback_staging >= 2);
	assert_int_equal(nmt_mr_close(frag.mr), 0);
	assert_int_equal(nmt_mr_close(to), 0);
	close(fd);
	unit_close(&u);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_no_dmabuf),   cmocka_unit_test(test_bad_arguments),
	cmocka_unit_test(test_brackets),    cmocka_unit_test(test_brackets_fail),
	cmocka_unit_test(test_no_mapping),  cmocka_unit_test(test_read_only),
	cmocka_unit_test(test_stream),
};

UNIT_MAIN(tests)
