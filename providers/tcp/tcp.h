/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Provider "tcp": the stream is a kernel TCP socket. Shared by the files of the provider.
 *
 * tcp.c       ops table, set-up, readiness, options
 * tcp_rx.c    receiving: socket, cell, copying calls and loans
 * tcp_rec.c   record frames on a negotiated data socket
 * tcp_post.c  posted receives
 * tcp_tx.c    sending: copying calls, borrowed runs
 * tcp_zc.c    MSG_ZEROCOPY and its completions
 * tcp_close.c acknowledgement, flush, orderly close
 */
#ifndef NMT_TCP_H
#define NMT_TCP_H

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <nmt/provider.h>

#define TCP_REC_HDR 8u
#define TCP_IOV_MAX 64

struct tcp_posts;
struct tcp_tx;

/* What a busy stream touches comes first. */
struct tcp_stream {
	struct nmt_stream *s;
	struct nmti_source src; /* src.fd is the socket, -1 once closed */
	struct tcp_tx *tx;      /* NULL until something cannot go straight to the socket */
	struct tcp_posts *posts; /* NULL until the first nmt_recv_into */

	/* Receiving. Bytes [pos, fill) of the cell were read from the socket and not given out. */
	uint32_t pos, fill;
	uint64_t rx_off;        /* stream bytes given out or lent, without frame headers */
	bool hup;               /* an end waits in the socket: go on reading, no edge will come */
	bool inq;               /* TCP_INQ is on: the kernel tells what a receive left behind */
	uint8_t inq_left;       /* receives until it is not asked any more */
	bool outside;           /* the socket is polled by the application too: always try */
	bool rx_end;            /* the end of the stream was reached */
	bool tx_epipe;          /* what broke was sending to a peer that had ended and gone */
	bool spun;              /* the cell holds what a spin found, and that was all */
	bool closing;
	bool fin_due, fin_sent;
	bool acked;             /* closed in order: the peer's kernel has everything */
	bool zc_on, zc_off;     /* SO_ZEROCOPY is set; not worth asking (any more) */
	bool zc_refused;        /* no memory to pin or to tell with; said once */

	/* Sending. Wire bytes include frame headers. */
	uint64_t tx_off, tx_records;
	uint64_t wire_queued, wire_sent;

	/* The record frame being received. */
	struct nmti_cell *cell;
	uint64_t rx_records;    /* records ended */
	uint32_t frame_left;
	bool frame_eor;         /* the frame ends its record */
	bool mark;              /* an empty frame that ends a record is to be given out */
	bool discard;           /* drop bytes up to the end of this record */
	bool lost;              /* a header was none: the framing is gone */
	uint8_t hdr_have;
	uint8_t hdr[TCP_REC_HDR];

	struct nmti_timer ack;  /* looks again whether the peer's kernel has everything */
	int64_t ack_wait;
};

static inline struct tcp_stream *tcp_of(const struct nmt_stream *s)
{
	return s->priv;
}

/* The smallest power of two that is not below N. */
static inline uint32_t tcp_pow2(uint32_t n)
{
	uint32_t p = 1;

	while (p < n)
		p *= 2;
	return p;
}

static inline size_t tcp_iov_total(const struct iovec *iov, int n)
{
	size_t sum = 0;

	for (int i = 0; i < n; i++)
		sum += iov[i].iov_len;
	return sum;
}

/*
 * send(2) and recv(2) by system call. The functions of libc are cancellation points, which costs in
 * a program with threads, and a thread cancelled in one of ours would leave the stream half done.
 */
static inline ssize_t tcp_sys_send(int fd, const void *buf, size_t len, int flags)
{
#ifdef SYS_sendto
	return syscall(SYS_sendto, fd, buf, len, flags, NULL, 0);
#else
	return send(fd, buf, len, flags);
#endif
}

static inline ssize_t tcp_sys_recv(int fd, void *buf, size_t len, int flags)
{
#ifdef SYS_recvfrom
	return syscall(SYS_recvfrom, fd, buf, len, flags, NULL, NULL);
#else
	return recv(fd, buf, len, flags);
#endif
}

/* Something to give out was read already, whatever the socket has. */
static inline bool tcp_here(const struct tcp_stream *ts)
{
	return !ts->lost && (ts->pos != ts->fill || ts->mark || ts->hdr_have == TCP_REC_HDR);
}

/* tcp_rx.c */
ssize_t nmti_tcp_sock_recv(struct tcp_stream *ts, const struct iovec *iov, int n, size_t want,
		      int flags);
ssize_t nmti_tcp_rx_end(struct tcp_stream *ts);  /* the socket gave 0 or an error: 0, -EAGAIN or why */
ssize_t nmti_tcp_fill(struct tcp_stream *ts);    /* read into the cell: > 0, 0 at the end, or -errno */
void nmti_tcp_consume(struct tcp_stream *ts, uint32_t n);
void nmti_tcp_cell_idle(struct tcp_stream *ts);  /* give an empty cell back */
bool nmti_tcp_may_recv(const struct tcp_stream *ts);
int nmti_tcp_iov_clip(const struct iovec *iov, int n, size_t limit, struct iovec *out, int max,
		 size_t *total);
int nmti_tcp_copy_out(struct tcp_stream *ts, const struct iovec *iov, int n, uint32_t len);
ssize_t nmti_tcp_recv(struct nmt_stream *s, const struct iovec *iov, int n, int flags,
		      int *out_flags);
int nmti_tcp_recv_frags(struct nmt_stream *s, struct nmt_frag *frags, int max);
int nmti_tcp_release(struct nmt_stream *s, const struct nmt_frag *frags, int n);
bool nmti_tcp_spin(struct nmt_stream *s);
void nmti_tcp_rx_discard(struct tcp_stream *ts); /* drop what is there, straight in the kernel */

/* tcp_rec.c */
int nmti_tcp_rec_next(struct tcp_stream *ts); /* 1: in a frame; 0: more bytes needed; < 0: failed */
uint32_t nmti_tcp_rec_take(struct tcp_stream *ts, uint32_t n); /* n payload bytes used: frag flags */
ssize_t nmti_tcp_rec_direct(struct tcp_stream *ts, const struct iovec *iov, int n);
ssize_t nmti_tcp_rec_header(struct tcp_stream *ts);
ssize_t nmti_tcp_rec_recv(struct tcp_stream *ts, const struct iovec *iov, int n, int flags,
		     int *out_flags);

/* tcp_post.c */
int nmti_tcp_recv_into(struct nmt_stream *s, struct nmt_mr *mr, uint64_t offset, size_t len,
		  int flags, uint64_t cookie);
int nmti_tcp_recv_cancel(struct nmt_stream *s, uint64_t cookie);
bool nmti_tcp_posts_run(struct tcp_stream *ts, uint32_t budget);
void nmti_tcp_posts_end(struct tcp_stream *ts, int status);
int nmti_tcp_posts_reap(struct nmt_stream *s, struct nmt_event *ev, int max);
void nmti_tcp_posts_free(struct tcp_stream *ts);

/* tcp_tx.c */
ssize_t nmti_tcp_send(struct nmt_stream *s, const struct iovec *iov, int n, int flags);
int nmti_tcp_send_mr(struct nmt_stream *s, const struct nmt_frag *frags, int n, int flags,
		uint64_t cookie);
int nmti_tcp_flush(struct nmt_stream *s, uint64_t cookie);
/* Hand queued bytes to the kernel, BUDGET system calls at most; true: there is more and room. */
bool nmti_tcp_push(struct tcp_stream *ts, uint32_t budget);
bool nmti_tcp_unsent(const struct tcp_stream *ts);
void nmti_tcp_fail(struct tcp_stream *ts, int err); /* ERR of the socket, logged before */
int nmti_tcp_tx_reap(struct nmt_stream *s, struct nmt_event *ev, int max);
bool nmti_tcp_flush_waits(const struct tcp_stream *ts);
void nmti_tcp_tx_free(struct tcp_stream *ts);

/* tcp_zc.c: MSG_ZEROCOPY calls are numbered by the kernel from 0, modulo 2^32 */
struct tcp_zc {
	uint32_t next, base; /* next number; all before base are complete */
	uint64_t done[16];   /* bit i: base + i is complete */
};
bool nmti_tcp_zc_may(struct tcp_stream *ts, struct tcp_zc *zc);
void nmti_tcp_zc_drain(struct tcp_stream *ts);
struct tcp_zc *nmti_tcp_tx_zc(struct tcp_stream *ts);
static inline bool tcp_zc_complete(const struct tcp_zc *zc, uint32_t id)
{
	return (int32_t)(zc->base - id) > 0;
}

/* tcp_close.c */
bool nmti_tcp_acked(struct tcp_stream *ts, uint64_t wire);
void nmti_tcp_ack_watch(struct tcp_stream *ts);
void nmti_tcp_ack_fire(struct nmti_timer *t);
int nmti_tcp_shutdown(struct nmt_stream *s, int how);
void nmti_tcp_fin(struct tcp_stream *ts); /* end the sending direction once all is with the kernel */
void nmti_tcp_close_stream(struct nmt_stream *s);
void nmti_tcp_close_step(struct tcp_stream *ts);
void nmti_tcp_abort(struct nmt_stream *s);

/* tcp_opt.c */
int nmti_tcp_setopt(struct nmt_stream *s, enum nmt_opt opt, const void *val, size_t len);
int nmti_tcp_getopt(struct nmt_stream *s, enum nmt_opt opt, void *val, size_t *len);
void nmti_tcp_info(const struct nmt_stream *s, struct nmt_stream_info *info);
int nmti_tcp_query(struct nmt_ctx *ctx, nmti_info_fn *emit, void *arg);

#endif
