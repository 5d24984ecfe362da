/* SPDX-License-Identifier: BSD-2-Clause */
/* Arguments of the transfer calls: each wrong one has its error, and nothing moves. */
#include <limits.h>

#include "unit.h"

struct args {
	struct unit u;
	struct nmt_stream *s;
	struct nmt_mr *mr, *sendonly, *recvonly, *foreign;
	struct unit other;
	char buf[64];
};

static void open_args(struct args *t, const struct nmt_stream_attr *attr)
{
	unit_open(&t->u, "tcp");
	unit_ctx(&t->other);
	unit_pair(&t->u, attr);
	t->s = t->u.a;
	assert_int_equal(nmt_mr_alloc(t->u.ctx, NMT_MEM_HOST, 100, NMT_ACCESS_ALL, &t->mr), 0);
	assert_int_equal(nmt_mr_alloc(t->u.ctx, NMT_MEM_HOST, 100, NMT_ACCESS_SEND, &t->sendonly),
			 0);
	assert_int_equal(nmt_mr_alloc(t->u.ctx, NMT_MEM_HOST, 100, NMT_ACCESS_RECV, &t->recvonly),
			 0);
	assert_int_equal(nmt_mr_alloc(t->other.ctx, NMT_MEM_HOST, 100, NMT_ACCESS_ALL, &t->foreign),
			 0);
}

static int setup(void **state)
{
	*state = calloc(1, sizeof(struct args));
	open_args(*state, NULL);
	return 0;
}

static int setup_posted(void **state)
{
	struct nmt_stream_attr attr = NMT_STREAM_ATTR_INIT;

	attr.recv_mode = NMT_RECV_POSTED;
	*state = calloc(1, sizeof(struct args));
	open_args(*state, &attr);
	return 0;
}

static int teardown(void **state)
{
	struct args *t = *state;

	nmt_domain_close(t->u.dom);
	t->u.a = t->u.b = NULL;
	t->u.dom = NULL;
	assert_int_equal(nmt_mr_close(t->mr), 0);
	assert_int_equal(nmt_mr_close(t->sendonly), 0);
	assert_int_equal(nmt_mr_close(t->recvonly), 0);
	assert_int_equal(nmt_mr_close(t->foreign), 0);
	unit_close(&t->u);
	unit_close(&t->other);
	free(t);
	return 0;
}

/* Nothing was sent by what went before: the peer reads exactly this. */
static void check_silent(struct args *t)
{
	char buf[16];

	assert_int_equal(nmt_send(t->s, "end", 3, 0), 3);
	unit_take(&t->u, t->u.b, NMT_EV_READABLE);
	assert_int_equal(nmt_recv(t->u.b, buf, sizeof(buf), 0), 3);
	assert_memory_equal(buf, "end", 3);
}

/* ---- sending ---- */

static void test_send(void **state)
{
	struct args *t = *state;
	struct iovec iov[2] = { { t->buf, 4 }, { NULL, 4 } };

	assert_int_equal(nmt_send(NULL, "x", 1, 0), -EINVAL);
	assert_int_equal(nmt_send(t->s, NULL, 1, 0), -EFAULT);
	assert_int_equal(nmt_send(t->s, NULL, 0, 0), 0);
	assert_int_equal(nmt_send(t->s, "x", 0, MSG_MORE), 0);
	assert_int_equal(nmt_send(t->s, "x", 1, MSG_OOB), -EOPNOTSUPP);
	assert_int_equal(nmt_send(t->s, "x", 1, MSG_EOR), -EOPNOTSUPP);
	assert_int_equal(nmt_send(t->s, "x", 0, MSG_EOR), -EOPNOTSUPP);
	assert_int_equal(nmt_send(t->s, "x", 1, MSG_PEEK), -EINVAL);
	assert_int_equal(nmt_send(t->s, "x", 1, MSG_CONFIRM), -EINVAL);
	assert_int_equal(nmt_send(t->s, "x", SIZE_MAX, 0), -EINVAL);
	assert_int_equal(nmt_sendmsg(NULL, iov, 1, 0), -EINVAL);
	assert_int_equal(nmt_sendmsg(t->s, NULL, 1, 0), -EINVAL);
	assert_int_equal(nmt_sendmsg(t->s, iov, -1, 0), -EINVAL);
	assert_int_equal(nmt_sendmsg(t->s, iov, 1025, 0), -EINVAL);
	assert_int_equal(nmt_sendmsg(t->s, iov, 0, 0), 0);
	assert_int_equal(nmt_sendmsg(t->s, iov, 2, 0), -EFAULT);
	iov[1] = (struct iovec){ t->buf, SSIZE_MAX };
	assert_int_equal(nmt_sendmsg(t->s, iov, 2, 0), -EINVAL);
	check_silent(t);
}

static void test_send_mr(void **state)
{
	struct args *t = *state;
	struct nmt_frag f[65] = { { .mr = t->mr, .offset = 0, .len = 10 } };
	const struct {
		struct nmt_mr *mr;
		uint64_t offset;
		uint32_t len;
		int rc;
	} bad[] = {
		{ t->mr, 91, 10, -EFAULT },    { t->mr, 101, 0, -EFAULT },
		{ t->mr, 0, 101, -EFAULT },    { t->mr, UINT64_MAX, 2, -EFAULT },
		{ t->recvonly, 0, 1, -EACCES }, { t->foreign, 0, 1, -EINVAL },
		{ NULL, 0, 1, -EINVAL },
	};

	assert_int_equal(nmt_send_mr(NULL, f, 1, 0, 0), -EINVAL);
	assert_int_equal(nmt_send_mr(t->s, NULL, 1, 0, 0), -EINVAL);
	assert_int_equal(nmt_send_mr(t->s, f, 0, 0, 0), -EINVAL);
	assert_int_equal(nmt_send_mr(t->s, f, -1, 0, 0), -EINVAL);
	assert_int_equal(nmt_send_mr(t->s, f, 65, 0, 0), -EINVAL);
	assert_int_equal(nmt_send_mr(t->s, f, 1, MSG_EOR, 0), -EOPNOTSUPP);
	assert_int_equal(nmt_send_mr(t->s, f, 1, MSG_OOB, 0), -EOPNOTSUPP);
	assert_int_equal(nmt_send_mr(t->s, f, 1, MSG_PEEK, 0), -EINVAL);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		f[1] = (struct nmt_frag){ .mr = bad[i].mr, .offset = bad[i].offset,
					  .len = bad[i].len };
		assert_int_equal(nmt_send_mr(t->s, f, 2, 0, 0), bad[i].rc);
	}
	assert_int_equal(t->mr->busy, 0);
	check_silent(t);
	assert_int_equal(nmt_send_mr(t->s, f, 1, 0, 5), 0);
	assert_int_equal(unit_take(&t->u, t->s, NMT_EV_SENT).cookie, 5);
}

/* ---- receiving ---- */

static void test_recv(void **state)
{
	struct args *t = *state;
	struct iovec iov[2] = { { t->buf, 4 }, { NULL, 4 } };
	int flags = -1;

	assert_int_equal(nmt_send(t->u.b, "hello", 5, 0), 5);
	unit_take(&t->u, t->s, NMT_EV_READABLE);
	assert_int_equal(nmt_recv(NULL, t->buf, 1, 0), -EINVAL);
	assert_int_equal(nmt_recv(t->s, NULL, 1, 0), -EFAULT);
	assert_int_equal(nmt_recv(t->s, NULL, 0, 0), 0);
	assert_int_equal(nmt_recv(t->s, t->buf, 1, MSG_OOB), -EOPNOTSUPP);
	assert_int_equal(nmt_recv(t->s, t->buf, 1, MSG_TRUNC), -EINVAL);
	assert_int_equal(nmt_recv(t->s, t->buf, 1, MSG_MORE), -EINVAL);
	assert_int_equal(nmt_recvmsg(NULL, iov, 1, 0, NULL), -EINVAL);
	assert_int_equal(nmt_recvmsg(t->s, NULL, 1, 0, NULL), -EINVAL);
	assert_int_equal(nmt_recvmsg(t->s, iov, -1, 0, NULL), -EINVAL);
	assert_int_equal(nmt_recvmsg(t->s, iov, 1025, 0, NULL), -EINVAL);
	assert_int_equal(nmt_recvmsg(t->s, iov, 2, 0, NULL), -EFAULT);
	assert_int_equal(nmt_recvmsg(t->s, iov, 1, 0, &flags), 4); /* all is still there */
	assert_int_equal(flags, 0);
	assert_memory_equal(t->buf, "hell", 4);
}

static void test_recv_frags(void **state)
{
	struct args *t = *state;
	struct nmt_frag f[2];

	assert_int_equal(nmt_send(t->u.b, "hello", 5, 0), 5);
	unit_take(&t->u, t->s, NMT_EV_READABLE);
	assert_int_equal(nmt_recv_frags(NULL, f, 1, 0), -EINVAL);
	assert_int_equal(nmt_recv_frags(t->s, NULL, 1, 0), -EINVAL);
	assert_int_equal(nmt_recv_frags(t->s, f, 0, 0), -EINVAL);
	assert_int_equal(nmt_recv_frags(t->s, f, -1, 0), -EINVAL);
	assert_int_equal(nmt_recv_frags(t->s, f, 1, MSG_PEEK), -EINVAL);
	assert_int_equal(nmt_recv_frags(t->s, f, 2, 0), 1);
	assert_int_equal(f[0].len, 5);
	assert_int_equal(nmt_recv_frags(t->s, f + 1, 1, 0), -EAGAIN);
	assert_int_equal(nmt_release(NULL, f, 1), -EINVAL);
	assert_int_equal(nmt_release(t->s, NULL, 1), -EINVAL);
	assert_int_equal(nmt_release(t->s, f, 0), -EINVAL);
	assert_int_equal(nmt_release(t->s, f, -1), -EINVAL);
	assert_int_equal(nmt_release(t->u.b, f, 1), -EINVAL);
	assert_int_equal(nmt_mr_close(f[0].mr), -EBUSY); /* pool memory is the domain's */
	assert_int_equal(nmt_release(t->s, f, 1), 0);
}

static void test_recv_into(void **state)
{
	struct args *t = *state;
	struct nmt_stream *s = t->s;

	assert_int_equal(nmt_recv_into(NULL, t->mr, 0, 1, 0, 0), -EINVAL);
	assert_int_equal(nmt_recv_into(s, NULL, 0, 1, 0, 0), -EINVAL);
	assert_int_equal(nmt_recv_into(s, t->foreign, 0, 1, 0, 0), -EINVAL);
	assert_int_equal(nmt_recv_into(s, t->mr, 0, 0, 0, 0), -EINVAL);
	assert_int_equal(nmt_recv_into(s, t->mr, 0, 1, 4, 0), -EINVAL);
	assert_int_equal(nmt_recv_into(s, t->mr, 0, 1, NMT_RECV_WHOLE | NMT_RECV_SOME, 0), -EINVAL);
	assert_int_equal(nmt_recv_into(s, t->mr, 1, 100, 0, 0), -EFAULT);
	assert_int_equal(nmt_recv_into(s, t->mr, 101, 1, 0, 0), -EFAULT);
	assert_int_equal(nmt_recv_into(s, t->mr, UINT64_MAX, 2, 0, 0), -EFAULT);
	assert_int_equal(nmt_recv_into(s, t->mr, 2, SIZE_MAX - 1, 0, 0), -EFAULT);
	assert_int_equal(nmt_recv_into(s, t->sendonly, 0, 1, 0, 0), -EACCES);
	assert_int_equal(nmt_recv_cancel(NULL, 0), -EINVAL);
	assert_int_equal(nmt_recv_cancel(s, 0), -ENOENT);
	assert_int_equal(s->posted, 0);
	assert_int_equal(t->mr->busy, 0);
}

/* While receives are posted the bytes belong to them. */
static void test_busy(void **state)
{
	struct args *t = *state;
	struct nmt_frag f;
	char c;

	assert_int_equal(nmt_recv_into(t->s, t->mr, 0, 10, 0, 7), 0);
	assert_int_equal(nmt_recv(t->s, &c, 1, 0), -EBUSY);
	assert_int_equal(nmt_recv_frags(t->s, &f, 1, 0), -EBUSY);
	assert_int_equal(nmt_mr_close(t->mr), -EBUSY);
	assert_int_equal(nmt_recv_cancel(t->s, 8), -ENOENT);
	assert_int_equal(nmt_recv_cancel(t->s, 7), 0);
	assert_int_equal(unit_take(&t->u, t->s, NMT_EV_RECEIVED).status, -ECANCELED);
	assert_int_equal(nmt_recv(t->s, &c, 1, 0), -EAGAIN);
}

static void test_posted_mode(void **state)
{
	struct args *t = *state;
	struct nmt_frag f;
	char c;

	assert_int_equal(nmt_recv(t->s, &c, 1, 0), -EOPNOTSUPP);
	assert_int_equal(nmt_recv_frags(t->s, &f, 1, 0), -EOPNOTSUPP);
	assert_int_equal(nmt_recv_into(t->s, t->mr, 0, 1, NMT_RECV_SOME, 0), -EINVAL);
	assert_int_equal(nmt_recv_into(t->s, t->mr, 0, 1, 0, 3), 0);
	assert_int_equal(nmt_send(t->u.b, "x", 1, 0), 1);
	assert_int_equal(unit_take(&t->u, t->s, NMT_EV_RECEIVED).cookie, 3);
}

/* ---- before it is open, and after the end ---- */

static void test_not_open(void **state)
{
	struct args *t = *state;
	struct nmt_frag f = { .mr = t->mr, .len = 1 };
	struct nmt_stream *s;
	char c, addr[64];
	int64_t v = 1;
	int l = unit_tcp_listen();

	snprintf(addr, sizeof(addr), "127.0.0.1:%u", unit_port(l));
	assert_int_equal(nmt_connect(t->u.dom, addr, NULL, &s), 0);
	assert_int_equal(nmt_send(s, "x", 1, 0), -EAGAIN);
	assert_int_equal(nmt_send(s, "x", 1, MSG_OOB), -EOPNOTSUPP);
	assert_int_equal(nmt_send_mr(s, &f, 1, 0, 0), -EAGAIN);
	assert_int_equal(nmt_recv(s, &c, 1, 0), -EAGAIN);
	assert_int_equal(nmt_recv_frags(s, &f, 1, 0), -EAGAIN);
	assert_int_equal(nmt_recv_into(s, t->mr, 0, 1, 0, 0), -EAGAIN);
	assert_int_equal(nmt_recv_cancel(s, 0), -ENOENT);
	assert_int_equal(nmt_flush(s, 0), -EAGAIN);
	assert_int_equal(nmt_release(s, &f, 1), -EINVAL);
	assert_int_equal(nmt_shutdown(s, SHUT_WR), -ENOTCONN);
	assert_int_equal(nmt_stream_fd(s), -ENOTCONN);
	assert_int_equal(nmt_stream_setopt(s, NMT_OPT_NODELAY, &v, sizeof(v)), -ENOTCONN);
	unit_take(&t->u, s, NMT_EV_CONNECTED);
	unit_take(&t->u, s, NMT_EV_WRITABLE); /* the send above wanted room */
	assert_int_equal(nmt_send(s, "x", 1, 0), 1);
	close(l);
}

static void test_shutdown(void **state)
{
	struct args *t = *state;
	struct nmt_frag f = { .mr = t->mr, .len = 1 };
	char c;

	assert_int_equal(nmt_shutdown(NULL, SHUT_WR), -EINVAL);
	assert_int_equal(nmt_shutdown(t->s, 3), -EINVAL);
	assert_int_equal(nmt_shutdown(t->s, -1), -EINVAL);
	assert_int_equal(nmt_shutdown(t->s, SHUT_WR), 0);
	assert_int_equal(nmt_shutdown(t->s, SHUT_WR), 0);
	assert_int_equal(nmt_send(t->s, "x", 1, 0), -EPIPE);
	assert_int_equal(nmt_send_mr(t->s, &f, 1, 0, 0), -EPIPE);
	unit_take(&t->u, t->u.b, NMT_EV_READABLE);
	assert_int_equal(nmt_recv(t->u.b, &c, 1, 0), 0);
	assert_int_equal(nmt_send(t->u.b, "y", 1, 0), 1); /* the other direction lives */
	unit_take(&t->u, t->s, NMT_EV_READABLE);
	assert_int_equal(nmt_recv(t->s, &c, 1, 0), 1);
	assert_int_equal(nmt_shutdown(t->s, SHUT_RD), 0);
	assert_int_equal(nmt_recv(t->s, &c, 1, 0), 0);
	assert_int_equal(nmt_recv_frags(t->s, &f, 1, 0), 0);
	assert_int_equal(nmt_recv_into(t->s, t->mr, 0, 1, 0, 0), -EPIPE);
	assert_int_equal(nmt_shutdown(t->s, SHUT_RDWR), 0);
}

/* ---- blocking ---- */

static void test_blocking_times_out(void **state)
{
	struct args *t = *state;
	static char big[1 << 20];
	int64_t on = 1, wait = 10 * UNIT_MS, start = nmti_now();
	ssize_t r;
	char c;

	assert_int_equal(nmt_stream_setopt(t->s, NMT_OPT_BLOCKING, &on, sizeof(on)), 0);
	assert_int_equal(nmt_stream_setopt(t->s, NMT_OPT_RECV_TIMEOUT, &wait, sizeof(wait)), 0);
	assert_int_equal(nmt_stream_setopt(t->s, NMT_OPT_SEND_TIMEOUT, &wait, sizeof(wait)), 0);
	assert_int_equal(nmt_recv(t->s, &c, 1, MSG_DONTWAIT), -EAGAIN);
	assert_int_equal(nmt_recv(t->s, &c, 1, 0), -EAGAIN);
	assert_true(nmti_now() - start >= wait);
	while ((r = nmt_send(t->s, big, sizeof(big), 0)) == sizeof(big))
		;
	if (r > 0) /* the count so far; then nothing more fits */
		r = nmt_send(t->s, big, sizeof(big), 0);
	assert_int_equal(r, -EAGAIN);
}

static void *talk(void *arg)
{
	unit_write(*(int *)arg, "lo wor", 6);
	unit_write(*(int *)arg, "ld", 2);
	return NULL;
}

static void test_blocking_waitall(void **state)
{
	struct args *t = *state;
	pthread_t thread;
	char buf[16];
	int64_t on = 1;
	int fd[2];

	unit_tcp_pair(fd);
	t->s = unit_adopt(&t->u, fd[1], false, NULL);
	assert_int_equal(nmt_stream_setopt(t->s, NMT_OPT_BLOCKING, &on, sizeof(on)), 0);
	unit_write(fd[0], "hel", 3);
	assert_int_equal(nmt_recv(t->s, buf, 16, 0), 3);
	unit_write(fd[0], "hel", 3);
	assert_int_equal(pthread_create(&thread, NULL, talk, &fd[0]), 0);
	assert_int_equal(nmt_recv(t->s, buf, 11, MSG_WAITALL), 11);
	assert_memory_equal(buf, "hello world", 11);
	pthread_join(thread, NULL);
	unit_write(fd[0], "end", 3);
	close(fd[0]);
	assert_int_equal(nmt_recv(t->s, buf, 11, MSG_WAITALL), 3); /* the end cuts it short */
	assert_int_equal(nmt_recv(t->s, buf, 11, MSG_WAITALL), 0);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

static const struct CMUnitTest tests[] = {
	T(test_send),
	T(test_send_mr),
	T(test_recv),
	T(test_recv_frags),
	T(test_recv_into),
	T(test_busy),
	cmocka_unit_test_setup_teardown(test_posted_mode, setup_posted, teardown),
	T(test_not_open),
	T(test_shutdown),
	T(test_blocking_times_out),
	T(test_blocking_waitall),
};

UNIT_MAIN(tests)
