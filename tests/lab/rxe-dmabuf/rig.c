/* SPDX-License-Identifier: BSD-2-Clause */
/* Devices, queue pairs and dma-bufs for test_dmabuf.c; see rig.h. */
#include "rig.h"

#include <fcntl.h>
#include <linux/dma-buf.h>
#include <linux/dma-heap.h>
#include <linux/udmabuf.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define BUFINFO "/sys/kernel/debug/dma_buf/bufinfo"

const char *const exporter_names[EXPORTERS] = { "udmabuf", "dma_heap" };

/* ---- devices and queue pairs ------------------------------------------------------------------ */

static struct ibv_context *open_device(const char *name)
{
	int i, n = 0;
	struct ibv_device **list = ibv_get_device_list(&n);
	struct ibv_context *ctx = NULL;

	assert_non_null(list);
	for (i = 0; i < n; i++)
		if (!strcmp(ibv_get_device_name(list[i]), name))
			ctx = ibv_open_device(list[i]);
	ibv_free_device_list(list);
	if (!ctx)
		fail_msg("cannot open RDMA device %s", name);
	return ctx;
}

void end_open(struct end *end, const char *name)
{
	struct ibv_qp_init_attr attr = {
		.cap = {
			.max_send_wr = 16,
			.max_recv_wr = 16,
			.max_send_sge = 1,
			.max_recv_sge = 1,
		},
		.qp_type = IBV_QPT_RC,
		.sq_sig_all = 1,
	};

	end->ctx = open_device(name);
	end->pd = ibv_alloc_pd(end->ctx);
	assert_non_null(end->pd);
	end->cq = ibv_create_cq(end->ctx, 64, NULL, NULL, 0);
	assert_non_null(end->cq);
	attr.send_cq = attr.recv_cq = end->cq;
	end->qp = ibv_create_qp(end->pd, &attr);
	assert_non_null(end->qp);
	assert_int_equal(ibv_query_gid(end->ctx, 1, 1, &end->gid), 0);
}

void end_close(struct end *end)
{
	assert_int_equal(ibv_destroy_qp(end->qp), 0);
	assert_int_equal(ibv_destroy_cq(end->cq), 0);
	assert_int_equal(ibv_dealloc_pd(end->pd), 0);
	assert_int_equal(ibv_close_device(end->ctx), 0);
}

static void to_init(struct ibv_qp *qp)
{
	struct ibv_qp_attr attr = {
		.qp_state = IBV_QPS_INIT,
		.port_num = 1,
		.qp_access_flags = IBV_ACCESS_REMOTE_WRITE | IBV_ACCESS_REMOTE_READ,
	};

	assert_int_equal(ibv_modify_qp(qp, &attr, IBV_QP_STATE | IBV_QP_PKEY_INDEX | IBV_QP_PORT |
				       IBV_QP_ACCESS_FLAGS), 0);
}

static void to_rtr(struct ibv_qp *qp, const struct end *peer)
{
	struct ibv_qp_attr attr = {
		.qp_state = IBV_QPS_RTR,
		.path_mtu = IBV_MTU_4096,
		.dest_qp_num = peer->qp->qp_num,
		.max_dest_rd_atomic = 4,
		.min_rnr_timer = 12,
		.ah_attr = {
			.is_global = 1,
			.port_num = 1,
			.grh = { .dgid = peer->gid, .sgid_index = 1, .hop_limit = 64 },
		},
	};

	assert_int_equal(ibv_modify_qp(qp, &attr, IBV_QP_STATE | IBV_QP_AV | IBV_QP_PATH_MTU |
				       IBV_QP_DEST_QPN | IBV_QP_RQ_PSN |
				       IBV_QP_MAX_DEST_RD_ATOMIC | IBV_QP_MIN_RNR_TIMER), 0);
}

static void to_rts(struct ibv_qp *qp)
{
	struct ibv_qp_attr attr = {
		.qp_state = IBV_QPS_RTS,
		.timeout = 14,
		.retry_cnt = 7,
		.rnr_retry = 7,
		.max_rd_atomic = 4,
	};

	assert_int_equal(ibv_modify_qp(qp, &attr, IBV_QP_STATE | IBV_QP_TIMEOUT |
				       IBV_QP_RETRY_CNT | IBV_QP_RNR_RETRY | IBV_QP_SQ_PSN |
				       IBV_QP_MAX_QP_RD_ATOMIC), 0);
}

static void reset(struct end *end)
{
	struct ibv_qp_attr attr = { .qp_state = IBV_QPS_RESET };
	struct ibv_wc wc;

	assert_int_equal(ibv_modify_qp(end->qp, &attr, IBV_QP_STATE), 0);
	while (ibv_poll_cq(end->cq, 1, &wc) > 0)
		;
}

void ends_connect(struct end *a, struct end *b)
{
	reset(a);
	reset(b);
	to_init(a->qp);
	to_init(b->qp);
	to_rtr(a->qp, b);
	to_rtr(b->qp, a);
	to_rts(a->qp);
	to_rts(b->qp);
}

struct ibv_wc end_completion(struct end *end)
{
	time_t limit = time(NULL) + 10;
	struct ibv_wc wc = { 0 };
	int n;

	while ((n = ibv_poll_cq(end->cq, 1, &wc)) == 0)
		if (time(NULL) > limit)
			fail_msg("no completion in 10 s");
	assert_int_equal(n, 1);
	return wc;
}

/* ---- dma-bufs --------------------------------------------------------------------------------- */

static int open_or_fail(const char *path)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);

	if (fd < 0)
		fail_msg("%s: %m", path);
	return fd;
}

/* The memfd is mapped, which shows the pages of the dma-buf. */
static void make_udmabuf(struct dmabuf *buf)
{
	int dev = open_or_fail("/dev/udmabuf");
	int memfd = memfd_create("lab", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	struct udmabuf_create create = { .memfd = (__u32)memfd, .size = buf->len };

	assert_true(memfd >= 0);
	assert_int_equal(ftruncate(memfd, (off_t)buf->len), 0);
	assert_int_equal(fcntl(memfd, F_ADD_SEALS, F_SEAL_SHRINK), 0);
	buf->fd = ioctl(dev, UDMABUF_CREATE, &create);
	assert_true(buf->fd >= 0);
	buf->cpu = mmap(NULL, buf->len, PROT_READ | PROT_WRITE, MAP_SHARED, memfd, 0);
	assert_true(buf->cpu != MAP_FAILED);
	close(memfd);
	close(dev);
}

static void make_heap(struct dmabuf *buf)
{
	int dev = open_or_fail("/dev/dma_heap/system");
	struct dma_heap_allocation_data data = { .len = buf->len, .fd_flags = O_RDWR | O_CLOEXEC };

	assert_int_equal(ioctl(dev, DMA_HEAP_IOCTL_ALLOC, &data), 0);
	buf->fd = (int)data.fd;
	buf->cpu = mmap(NULL, buf->len, PROT_READ | PROT_WRITE, MAP_SHARED, buf->fd, 0);
	assert_true(buf->cpu != MAP_FAILED);
	close(dev);
}

void dmabuf_make(struct dmabuf *buf, enum exporter from, size_t len)
{
	buf->from = from;
	buf->len = len;
	if (from == UDMABUF)
		make_udmabuf(buf);
	else
		make_heap(buf);
}

void dmabuf_free(struct dmabuf *buf)
{
	munmap(buf->cpu, buf->len);
	if (buf->fd >= 0)
		close(buf->fd);
}

static void sync_cpu(struct dmabuf *buf, __u64 flags)
{
	struct dma_buf_sync sync = { .flags = flags | DMA_BUF_SYNC_RW };

	if (buf->fd >= 0)
		assert_int_equal(ioctl(buf->fd, DMA_BUF_IOCTL_SYNC, &sync), 0);
}

void dmabuf_begin(struct dmabuf *buf)
{
	sync_cpu(buf, DMA_BUF_SYNC_START);
}

void dmabuf_end(struct dmabuf *buf)
{
	sync_cpu(buf, DMA_BUF_SYNC_END);
}

long dmabufs_in_kernel(void)
{
	char line[512];
	long n = -1;
	FILE *f = fopen(BUFINFO, "re");

	if (!f && !mount("debug", "/sys/kernel/debug", "debugfs", 0, NULL))
		f = fopen(BUFINFO, "re");
	if (!f)
		fail_msg(BUFINFO ": %m");
	while (fgets(line, sizeof(line), f))
		(void)sscanf(line, "Total %ld objects", &n);
	fclose(f);
	assert_true(n >= 0);
	return n;
}
