/* SPDX-License-Identifier: BSD-2-Clause */
/* Provider "tcp": ops table, set-up, and what an edge of the socket means. */
#include <net/if.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "tcp.h"

#define container(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

/* ---- readiness ---- */

static void rx_edge(struct tcp_stream *ts, uint32_t events)
{
	struct nmt_stream *s = ts->s;

	s->rx_ready = !ts->rx_end;
	ts->spun = false;
	if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		ts->hup = true;
	if (s->posted || s->rx_shut || ts->closing)
		nmti_work(s);
	else if (!s->rx_told)
		nmti_tell(s);
}

static void tx_edge(struct tcp_stream *ts)
{
	struct nmt_stream *s = ts->s;

	s->tx_ready = true;
	if (nmti_tcp_unsent(ts) || ts->fin_due || ts->closing)
		nmti_work(s);
	if (s->tx_want)
		nmti_tell(s);
}

/* An error, or completions of MSG_ZEROCOPY; the end of the peer's data may come before either. */
static void err_edge(struct tcp_stream *ts)
{
	int err = 0;
	socklen_t len = sizeof(err);

	nmti_tcp_zc_drain(ts);
	if (ts->closing) { /* what is lost by it depends on what was acknowledged */
		nmti_work(ts->s);
		return;
	}
	if (getsockopt(ts->src.fd, SOL_SOCKET, SO_ERROR, &err, &len) || !err)
		return;
	nmti_log(ts->s->ctx, NMT_LOG_INFO, "tcp: %s", strerror(err));
	nmti_tcp_fail(ts, err);
}

static void sock_ready(struct nmti_source *src, uint32_t events)
{
	struct tcp_stream *ts = container(src, struct tcp_stream, src);

	if (events & EPOLLERR)
		err_edge(ts);
	if (src->fd < 0)
		return;
	if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		rx_edge(ts, events);
	if (events & EPOLLOUT)
		tx_edge(ts);
}

static bool tcp_work(struct nmt_stream *s, uint32_t budget)
{
	struct tcp_stream *ts = tcp_of(s);
	bool more = false;

	if (ts->src.fd < 0)
		return false;
	if (ts->closing) {
		nmti_tcp_close_step(ts);
		return false;
	}
	if (s->rx_shut)
		nmti_tcp_rx_discard(ts);
	if (nmti_tcp_unsent(ts))
		more = nmti_tcp_push(ts, budget);
	nmti_tcp_fin(ts);
	if (s->posted)
		more |= nmti_tcp_posts_run(ts, budget);
	return more;
}

/* ---- set-up ---- */

static int tcp_open(struct nmt_pdomain *pd)
{
	if (pd->device[0] && !if_nametoindex(pd->device))
		return -ENODEV;
	return 0;
}

static int tcp_attach(struct nmt_stream *s, const struct nmti_path *path)
{
	struct tcp_stream *ts = tcp_of(s);
	int rc;

	ts->s = s;
	ts->src.fd = path->fd;
	ts->src.ready = sock_ready;
	ts->ack.fire = nmti_tcp_ack_fire;
	s->tx_ready = true;
	rc = nmti_watch(s->dom, &ts->src, NMTI_SOCK_EVENTS);
	if (rc) {
		close(ts->src.fd);
		ts->src.fd = -1;
		return rc;
	}
	nmti_path_up(s, 0);
	return 0;
}

static void tcp_detach(struct nmt_stream *s)
{
	struct tcp_stream *ts = tcp_of(s);

	nmti_timer_cancel(s->dom, &ts->ack);
	if (ts->src.fd >= 0)
		nmti_tcp_abort(s);
	nmti_tcp_posts_free(ts);
	nmti_tcp_tx_free(ts);
	if (ts->cell)
		nmti_cell_put(ts->cell);
}

/* From now on edges of the domain are not the only news: always try the socket. */
static int tcp_fd(struct nmt_stream *s)
{
	struct tcp_stream *ts = tcp_of(s);

	if (s->tune.mode != NMT_MODE_RAW)
		return -EOPNOTSUPP;
	ts->outside = true;
	return ts->src.fd;
}

const struct nmt_provider_ops nmti_provider_tcp = {
	.abi = NMT_PROVIDER_ABI,
	.size = sizeof(struct nmt_provider_ops),
	.name = "tcp",
	.caps = NMT_CAP_RAW | NMT_CAP_NEGOTIATED | NMT_CAP_RECORDS | NMT_CAP_PLACEMENT |
		NMT_CAP_ZEROCOPY | NMT_CAP_FD | NMT_CAP_REUSEPORT,
	.rank = 90,
	.default_mode = NMT_MODE_RAW,
	.max_rails = 1,
	.stream_size = sizeof(struct tcp_stream),
	.data_socket = true,
	.query = nmti_tcp_query,
	.open = tcp_open,
	.attach = tcp_attach,
	.shutdown = nmti_tcp_shutdown,
	.close_stream = nmti_tcp_close_stream,
	.abort = nmti_tcp_abort,
	.detach = tcp_detach,
	.send = nmti_tcp_send,
	.recv = nmti_tcp_recv,
	.send_mr = nmti_tcp_send_mr,
	.recv_frags = nmti_tcp_recv_frags,
	.release = nmti_tcp_release,
	.recv_into = nmti_tcp_recv_into,
	.recv_cancel = nmti_tcp_recv_cancel,
	.flush = nmti_tcp_flush,
	.work = tcp_work,
	.spin = nmti_tcp_spin,
	.reap_tx = nmti_tcp_tx_reap,
	.reap_rx = nmti_tcp_posts_reap,
	.setopt = nmti_tcp_setopt,
	.getopt = nmti_tcp_getopt,
	.info = nmti_tcp_info,
	.fd = tcp_fd,
};

#ifdef NMT_MODULE
__attribute__((visibility("default"))) const struct nmt_provider_ops *nmt_provider_module(void)
{
	return &nmti_provider_tcp;
}
#endif
