/* SPDX-License-Identifier: BSD-2-Clause */
/* The adapter's table of ops, its part of a domain, completions, and the turn of a stream. */
#include <stdlib.h>

#include "rma/rma_int.h"

#define BATCH 32      /* completions of one call */
#define BATCHES 16    /* calls in a turn of the domain */
#define RUNS 2        /* posted for each unit of a turn's budget: most grants are one burst then */

/* ---- domain ------------------------------------------------------------------------------- */

static int rma_open(struct nmt_pdomain *pd)
{
	struct rma_dom *rd = calloc(1, sizeof(*rd));
	int rc;

	if (!rd)
		return -ENOMEM;
	rd->pd = pd;
	rd->ops = pd->ops->rma;
	rc = nmti_rma_devs_open(rd, pd->device);
	if (rc) {
		nmti_rma_devs_close(rd);
		free(rd);
		return rc;
	}
	pd->priv = rd;
	return 0;
}

static void rma_close(struct nmt_pdomain *pd)
{
	struct rma_dom *rd = pd->priv;

	nmti_rma_regs_fini(rd);
	nmti_rma_devs_close(rd);
	free(rd);
}

/* ---- completions -------------------------------------------------------------------------- */

static void on_written(struct rma_rail *rail, uint64_t number)
{
	struct rma_stream *rs = rail->rs;

	rs->queue_full = false;
	rail->told = number < rail->asked ? rail->told : rail->asked;
	nmti_win_complete(rs->w, rail->index, rail->run_of[number & rs->send_mask]);
}

/* After an error nothing is taken: the window may have stopped in the middle of a message. */
static inline bool takes(const struct rma_stream *rs)
{
	return rs->path <= PATH_FENCING && !rs->s->error && !rs->end;
}

/* True: the stream needs no turn. */
static inline bool on_imm(struct rma_rail *rail, const struct nmti_rma_wc *wc)
{
	struct rma_stream *rs = rail->rs;
	int rc = 0;

	if (!takes(rs))
		return false;
	if (!nmti_win_arrived_plain(rs->w, rail->index, wc->imm, wc->len))
		rc = nmti_win_arrived(rs->w, rail->index, wc->imm, wc->len);
	if (likely(!rc))
		return wc->len && nmti_rma_rx_bytes(rs);
	nmti_rma_protocol(rs, rc, "a run that breaks the protocol");
	return false;
}

static void on_message(struct rma_rail *rail, const struct nmti_rma_wc *wc)
{
	struct rma_stream *rs = rail->rs;
	int rc;

	if (!takes(rs))
		return;
	rc = rail->index ? -EPROTO : nmti_win_ctrl_put(rs->w, wc->data, wc->len);
	if (rc)
		nmti_rma_protocol(rs, rc, "a control message that breaks the protocol");
	rs->stop_check = true;
	nmti_rma_usable(rs);
}

/* True: the stream needs no turn. */
static bool on_event(struct rma_rail *rail, const struct nmti_rma_wc *wc)
{
	switch (wc->event) {
	case NMTI_RMA_CONNECTED:
		nmti_rma_connected(rail);
		break;
	case NMTI_RMA_WRITTEN:
		on_written(rail, wc->number);
		break;
	case NMTI_RMA_MESSAGE:
		on_message(rail, wc);
		break;
	case NMTI_RMA_DRAINED:
		nmti_rma_drained(rail);
		return rail->rs->end == END_BROKEN; /* no turn for what may be closed */
	default:
		nmti_rma_failed(rail, wc->status, wc->text);
	}
	return false;
}

static inline void on_completion(const struct nmti_rma_wc *wc)
{
	struct rma_rail *rail = wc->owner;

	if (wc->ep != rail->ep) /* destroyed since it was polled */
		return;
	if (!(likely(wc->event == NMTI_RMA_IMM) ? on_imm(rail, wc) : on_event(rail, wc)))
		nmti_work(rail->rs->s);
}

nmti_hot static int progress_one(struct rma_dom *rd, struct nmti_rma_dev *dev)
{
	struct nmti_rma_wc wc[BATCH];
	int n, sum = 0;

	for (int i = 0; i < BATCHES; i++) {
		n = rd->ops->poll(dev, wc, BATCH);
		for (int k = 0; k < n; k++)
			on_completion(&wc[k]);
		sum += n;
		if (n < BATCH)
			break;
	}
	return sum;
}

nmti_hot int nmti_rma_progress(struct nmt_pdomain *pd)
{
	struct rma_dom *rd = pd->priv;
	int sum = 0;

	for (uint8_t i = 0; i < rd->ndevs; i++)
		sum += progress_one(rd, rd->dev[i].dev);
	if (__atomic_load_n(&rd->stale, __ATOMIC_RELAXED))
		nmti_rma_regs_sweep(rd);
	return sum;
}

static int rma_arm(struct nmt_pdomain *pd)
{
	struct rma_dom *rd = pd->priv;
	int rc = 0;

	for (uint8_t i = 0; i < rd->ndevs && !rc; i++)
		rc = rd->ops->arm(rd->dev[i].dev);
	return rc;
}

/* ---- a stream's turn ---------------------------------------------------------------------- */

static bool rma_work(struct nmt_stream *s, uint32_t budget)
{
	struct rma_stream *rs = rma_of(s);
	bool more = false;

	if (s->error)
		nmti_rma_break(rs);
	if (s->error || rs->end)
		return false;
	if (rs->lost_early && s->state >= NMT_STATE_OPEN)
		nmti_rma_lost(rs);
	nmti_rma_rx_news(rs);
	if (s->posted && !s->posting)
		more = nmti_rma_posts_run(rs, budget);
	if (rs->tx)
		nmti_rma_completed(rs);
	if (rs->path == PATH_UP) {
		nmti_rma_refill(rs);
		nmti_rma_ctrl(rs, false, false); /* credit before the bytes that it would wait behind */
		more |= nmti_rma_pump(rs, RUNS * budget);
	}
	if (rs->tx) /* what needed nothing to be sent */
		nmti_rma_completed(rs);
	nmti_rma_settle(rs);
	nmti_rma_end_step(rs);
	return more && s->state < NMTI_STATE_CLOSED;
}

static bool rma_unsent(const struct nmt_stream *s)
{
	const struct rma_stream *rs = rma_of(s);

	return rs->nheld || nmti_rma_unsent(rs);
}

static int rma_shutdown(struct nmt_stream *s, int how)
{
	struct rma_stream *rs = rma_of(s);

	if (how == SHUT_WR)
		rs->fin_due = true;
	else
		nmti_rma_posts_cancel(rs);
	nmti_rma_go_on(rs, 0);
	nmti_work(s);
	return 0;
}

/* ---- observation -------------------------------------------------------------------------- */

static uint32_t waits_of(const struct rma_stream *rs)
{
	if (rs->queue_full || rs->wait == NMTI_WIN_DEPTH)
		return NMT_WAIT_QUEUE;
	if (!nmti_rma_unsent(rs))
		return 0;
	return rs->wait == NMTI_WIN_CREDIT ? NMT_WAIT_CREDIT : NMT_WAIT_WINDOW;
}

static uint64_t unsent_bytes(const struct rma_tx *tx)
{
	uint64_t sum = 0;

	for (uint32_t i = tx->cur; i != tx->tail; i++)
		sum += tx->chunk[i & tx->mask].len;
	return sum - tx->done;
}

static uint64_t unacked_bytes(const struct rma_stream *rs)
{
	uint64_t done = nmti_win_done(rs->w), sum = 0;
	const struct rma_tx *tx = rs->tx;

	for (uint32_t i = tx->head; i != tx->cur; i++)
		if (tx->chunk[i & tx->mask].run > done)
			sum += tx->chunk[i & tx->mask].len;
	return sum + tx->done;
}

static void rma_info(const struct nmt_stream *s, struct nmt_stream_info *info)
{
	const struct rma_stream *rs = rma_of(s);

	if (!rs->w)
		return;
	info->rails = rs->nrails;
	info->epoch = nmti_win_epoch(rs->w);
	info->recoveries = s->stat.recoveries;
	info->attempts = rs->tries;
	info->caps = rs->rd->lim.caps;
	if (!s->records)
		info->caps &= ~NMT_CAP_RECORDS;
	if (s->state == NMT_STATE_OPEN)
		info->waits |= waits_of(rs);
	if (rs->tx) {
		info->unsent = unsent_bytes(rs->tx);
		info->unacked = unacked_bytes(rs);
	}
	if (rs->path == PATH_UP && rs->rd->ops->describe)
		rs->rd->ops->describe(rs->rails[0].ep, info);
}

/* ---- the table ---------------------------------------------------------------------------- */

void nmti_rma_fill(struct nmt_provider_ops *ops)
{
	ops->default_mode = NMT_MODE_NEGOTIATED;
	ops->stream_size = sizeof(struct rma_stream);
	ops->open = rma_open;
	ops->close = rma_close;
	ops->progress = nmti_rma_progress;
	ops->arm = rma_arm;
	ops->offer = nmti_rma_offer;
	ops->attach = nmti_rma_attach;
	ops->peer_done = nmti_rma_peer_done;
	ops->peer_path = nmti_rma_peer_path;
	ops->shutdown = rma_shutdown;
	ops->close_stream = nmti_rma_close_stream;
	ops->abort = nmti_rma_abort;
	ops->quiet = nmti_rma_quiet;
	ops->detach = nmti_rma_detach;
	ops->send = nmti_rma_send;
	ops->recv = nmti_rma_recv;
	ops->send_mr = nmti_rma_send_mr;
	ops->recv_frags = nmti_rma_recv_frags;
	ops->release = nmti_rma_release;
	ops->recv_into = nmti_rma_recv_into;
	ops->recv_cancel = nmti_rma_recv_cancel;
	ops->flush = nmti_rma_flush;
	ops->unsent = rma_unsent;
	ops->work = rma_work;
	ops->reap_tx = nmti_rma_tx_reap;
	ops->reap_rx = nmti_rma_posts_reap;
	ops->info = rma_info;
}
