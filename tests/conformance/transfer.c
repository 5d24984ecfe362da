/* SPDX-License-Identifier: BSD-2-Clause */
/* Plain sending and receiving of known bytes, the same for both receive modes. */
#include <stdlib.h>

#include "suite.h"

#define CHUNK (64u * KIB)

static struct got get_copy(struct end *e, unsigned char *buf, size_t len)
{
	struct got got = { 0 };
	struct iovec iov;
	int flags = 0;

	while (got.len < len) {
		ssize_t n;

		iov = (struct iovec){ buf + got.len, len - got.len };
		wait_for(e->env, (n = nmt_recvmsg(e->s, &iov, 1, 0, &flags)) != -EAGAIN);
		if (n < 0) {
			got.status = (int)n;
			return got;
		}
		if (n > (ssize_t)iov.iov_len)
			failf(e->env, "nmt_recvmsg gives %zd of %zu", n, iov.iov_len);
		got.len += (size_t)n;
		if (flags & MSG_EOR)
			got.flags |= NMT_EVF_EOR;
		else if (n == 0)
			got.flags |= NMT_EVF_EOF;
		if (got.flags)
			break;
	}
	return got;
}

/* One posted receive. The stream may have broken before: then posting says so at once. */
static struct got get_post(struct end *e, unsigned char *buf, size_t len)
{
	struct nmt_event ev;
	struct got got;
	int ret;

	if (!e->scratch)
		e->scratch = env_mr(e->env, CHUNK, NMT_ACCESS_ALL);
	e->cookie++;
	wait_for(e->env, (ret = nmt_recv_into(e->s, e->scratch, 0, len, 0, e->cookie)) != -EAGAIN);
	if (ret)
		return (struct got){ .status = ret };
	end_wait(e, NMT_EV_RECEIVED, &ev);
	if (ev.cookie != e->cookie || ev.len > len)
		failf(e->env, "NMT_EV_RECEIVED with cookie %llx and %llu of %zu bytes",
		      (unsigned long long)ev.cookie, (unsigned long long)ev.len, len);
	got = (struct got){ .len = ev.len, .flags = ev.flags, .status = ev.status };
	assert_ok(e->env, nmt_mr_read(e->scratch, 0, buf, got.len));
	return got;
}

struct got end_get(struct end *e, void *buf, size_t len)
{
	struct got sum = { 0 };

	if (e->env->cfg->recv == NMT_RECV_POOL)
		return get_copy(e, buf, len);
	while (sum.len < len && !sum.status && !sum.flags) {
		size_t left = len - sum.len;
		struct got one = get_post(e, (unsigned char *)buf + sum.len,
					  left < CHUNK ? left : CHUNK);

		sum.len += one.len;
		sum.status = one.status;
		sum.flags = one.flags;
	}
	return sum;
}

void end_put(struct end *e, const void *buf, size_t len, int flags)
{
	size_t done = 0;

	while (done < len || (len == 0 && done == 0)) {
		ssize_t n;

		wait_for(e->env, (n = nmt_send(e->s, (const char *)buf + done, len - done,
					       flags)) != -EAGAIN);
		if (n < 0 || n > (ssize_t)(len - done))
			failf(e->env, "nmt_send gives %zd of %zu", n, len - done);
		done += (size_t)n;
		if (len == 0)
			break;
	}
}

void end_put_pattern(struct end *e, uint64_t seed, uint64_t pos, size_t len)
{
	unsigned char *buf = malloc(len);

	pattern_fill(seed, pos, buf, len);
	end_put(e, buf, len, 0);
	free(buf);
}

void end_expect(struct end *e, uint64_t seed, uint64_t pos, size_t len)
{
	unsigned char *buf = malloc(CHUNK);
	size_t done = 0;

	while (done < len) {
		struct got got = end_get(e, buf, len - done < CHUNK ? len - done : CHUNK);
		ssize_t bad = pattern_check(seed, pos + done, buf, got.len);

		if (bad >= 0)
			failf(e->env, "byte %llu is wrong",
			      (unsigned long long)(pos + done) + (unsigned long long)bad);
		done += got.len;
		if (got.status || ((got.flags & NMT_EVF_EOF) && done < len))
			failf(e->env, "receive broke off at %zu of %zu: status %d flags %u", done,
			      len, got.status, got.flags);
	}
	free(buf);
}

void end_expect_eof(struct end *e)
{
	unsigned char byte;
	struct got got = end_get(e, &byte, 1);

	if (got.status || got.len || !(got.flags & NMT_EVF_EOF))
		failf(e->env, "want the end of the stream, got %zu bytes, status %d, flags %u",
		      got.len, got.status, got.flags);
}

/* Bytes before the break may still come; an end of the stream must not. */
void end_expect_error(struct end *e, int error)
{
	unsigned char *buf = malloc(CHUNK);
	struct got got;

	do {
		got = end_get(e, buf, CHUNK);
		if (got.flags & NMT_EVF_EOF)
			failf(e->env, "end of the stream, want error %d", error);
	} while (!got.status);
	free(buf);
	if (got.status != error)
		failf(e->env, "receive gives %d, want %d", got.status, error);
}

/* Full means: -EAGAIN, and no room during the next 30 ms either. */
static bool full(struct end *e)
{
	unsigned int before = e->writable;
	int64_t end = now_ns() + 30 * MS;

	while (e->writable == before && now_ns() < end)
		env_turn_short(e->env, "a full send queue", __FILE__, __LINE__);
	return e->writable == before;
}

uint64_t end_fill(struct end *e, uint64_t seed, uint64_t pos)
{
	unsigned char *buf = malloc(CHUNK);
	uint64_t done = 0;
	ssize_t n;

	do {
		pattern_fill(seed, pos + done, buf, CHUNK);
		n = nmt_send(e->s, buf, CHUNK, 0);
		if (n > 0)
			done += (uint64_t)n;
	} while (n > 0 || (n == -EAGAIN && !full(e)));
	free(buf);
	if (n != -EAGAIN)
		failf(e->env, "nmt_send gives %zd, want -EAGAIN", n);
	return done;
}
