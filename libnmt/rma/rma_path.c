/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The rails of a stream: brought up with the peer's address, lost, fenced, and brought up again in
 * the next epoch. docs/wire.md, "Failure and resume".
 */
#include <stdlib.h>

#include "rma/rma_int.h"

#define SLOTS 128u      /* receives for runs, each rail */
#define CTRL_SLOTS 16u
#define STRIPE 16u      /* 64 KiB a rail in turn */
#define SEGMENTS 64u    /* that a sender remembers */
#define DEPTH_MAX 1024u /* runs in flight */
#define DONE_GRACE NMTI_NSEC /* for the peer's word when all was delivered */

/* ---- set-up ------------------------------------------------------------------------------- */

static void own_setup(const struct rma_dom *rd, uint32_t rails, struct nmti_rma_setup *m)
{
	uint32_t room = min32(rd->lim.recv_slots, SLOTS + CTRL_SLOTS);
	uint32_t ctrl = room / 8 < NMTI_CTRL_SLOTS_MIN ? NMTI_CTRL_SLOTS_MIN : room / 8;

	*m = (struct nmti_rma_setup){
		.stripe_log2 = rd->lim.stripe_log2 ? rd->lim.stripe_log2 : STRIPE,
		.rails = (uint8_t)rails,
		.slots = (uint16_t)(room - ctrl),
		.ctrl_slots = (uint16_t)ctrl,
		.ctrl_max = (uint16_t)min32(rd->lim.ctrl_max, NMTI_CTRL_MAX),
		.segments = SEGMENTS,
	};
	if (rails == 1)
		m->stripe_log2 = NMTI_STRIPE_MAX;
}

static int blob_put(const struct rma_dom *rd, uint32_t rails, const struct rma_own *own,
		    uint8_t *blob, uint32_t cap)
{
	struct nmti_rma_setup m;
	int n;

	own_setup(rd, rails, &m);
	n = nmti_rma_setup_encode(&m, blob, cap);
	if (n < 0)
		return n;
	if (cap - NMTI_RMA_SETUP_LEN < own->len)
		return -ENOSPC;
	memcpy(blob + NMTI_RMA_SETUP_LEN, own->bytes, own->len);
	return n + own->len;
}

/* A server that offers is attached already: it expects its peer at what it chose then. */
int nmti_rma_offer(struct nmt_pdomain *pd, const struct nmt_stream *s, void *blob, uint32_t cap)
{
	uint32_t rails = min32(s->tune.rails, pd->ops->max_rails);
	struct rma_own own;
	uint8_t doubt = 0;
	int rc;

	if (s->priv && s->pd == pd)
		return blob_put(pd->priv, rails, &rma_of(s)->own, blob, cap);
	rc = nmti_rma_own_addrs(pd->priv, &doubt, &own);
	return rc ? rc : blob_put(pd->priv, rails, &own, blob, cap);
}

static uint32_t rx_segments(const struct rma_stream *rs)
{
	const struct nmt_stream *s = rs->s;
	uint32_t n = RMA_WINDOW / nmti_cell_size(s->dom);

	if (s->posting)
		n = 2 * s->tune.recv_depth;
	return rma_pow2(n < 8 ? 8 : min32(n, 1u << 15));
}

static void window_attr(struct rma_stream *rs, const struct nmti_path *path,
			const struct nmti_rma_setup *peer)
{
	const struct rma_dom *rd = rs->rd;
	struct nmti_rma_setup own;
	uint32_t depth = min32(path->rails * rd->lim.send_depth, DEPTH_MAX);

	own_setup(rd, path->rails, &own);
	rs->attr = (struct nmti_win_attr){
		.rails = (uint8_t)path->rails,
		.rails_max = (uint8_t)path->rails,
		.tx_stripe = peer->stripe_log2,
		.rx_stripe = own.stripe_log2,
		.tx_posted = path->recv_mode == NMT_RECV_POSTED,
		.rx_posted = rs->s->posting,
		.rx_unordered = rd->lim.unordered,
		.tx_slots = peer->slots,
		.rx_slots = own.slots,
		.tx_ctrl = peer->ctrl_slots,
		.rx_ctrl = own.ctrl_slots,
		.ctrl_max = (uint16_t)min32(peer->ctrl_max, own.ctrl_max),
		.tx_depth = rma_pow2(depth < 16 ? 16 : depth),
		.tx_segs = SEGMENTS,
		.rx_segs = rx_segments(rs),
		.rx_grants = peer->segments,
	};
}

static int rails_alloc(struct rma_stream *rs)
{
	uint32_t ring = rma_pow2(rs->rd->lim.send_depth);
	size_t bytes = rs->rails_max * (sizeof(*rs->rails) + ring * sizeof(uint64_t));
	uint64_t *run_of;

	rs->rails = calloc(1, bytes);
	if (!rs->rails)
		return -ENOMEM;
	run_of = (uint64_t *)(rs->rails + rs->rails_max);
	rs->send_mask = ring - 1;
	for (uint8_t i = 0; i < rs->rails_max; i++) {
		rs->rails[i].rs = rs;
		rs->rails[i].index = i;
		rs->rails[i].run_of = run_of + (size_t)i * ring;
	}
	rs->s->memory += (uint32_t)(bytes + nmti_win_bytes(&rs->attr));
	return 0;
}

static int connect_rail(struct rma_stream *rs, struct rma_rail *rail,
			const struct nmti_rma_addrs *peer)
{
	const struct rma_dev *dev = &rs->rd->dev[rail->dev];
	const struct nmti_rma_addr *to = &peer->at[rail->to];
	const struct nmti_rma_ops *ops = rs->rd->ops;
	struct nmti_rma_ep_attr attr = {
		.run_slots = rs->attr.rx_slots,
		.ctrl_slots = rail->index ? 0 : rs->attr.rx_ctrl,
		.ctrl_max = NMTI_CTRL_MAX,
		.send_depth = dev->lim.send_depth,
		.rail = rail->index,
		.epoch = nmti_win_epoch(rs->w),
		.brief = rs->resuming && (rs->own.ndevs > 1 || peer->n > 1),
		.token = rs->token,
		.owner = rail,
		.doorbells = &rs->s->stat.rma_doorbells,
	};

	rail->up = rail->drained = false;
	rma_asks(rail, 0);
	rail->told = 0;
	rail->last_run = rs->last;
	return rs->server ? ops->expect(dev->dev, &attr, &rail->ep)
			  : ops->connect(dev->dev, &attr, to->bytes, to->len, &rail->ep);
}

static void destroy_rails(struct rma_stream *rs)
{
	for (uint8_t i = 0; i < rs->rails_max && rs->rails; i++) {
		if (rs->rails[i].ep)
			rs->rd->ops->destroy(rs->rails[i].ep);
		rs->rails[i].ep = NULL;
	}
}

static int connect_rails(struct rma_stream *rs, const struct nmti_rma_addrs *peer)
{
	int rc = 0;

	rs->path = PATH_CONNECTING;
	for (uint8_t i = 0; i < rs->nrails && !rc; i++)
		rc = connect_rail(rs, &rs->rails[i], peer);
	return rc;
}

/* Both parts of a blob that are the engine's. */
static int blob_get(const uint8_t *blob, uint32_t len, struct nmti_rma_setup *m,
		    struct nmti_rma_addrs *addrs)
{
	int rc = nmti_rma_setup_decode(blob, len, m);

	return rc ? rc : nmti_rma_addrs_decode(blob + NMTI_RMA_SETUP_LEN, len - NMTI_RMA_SETUP_LEN,
					       addrs);
}

int nmti_rma_attach(struct nmt_stream *s, const struct nmti_path *path)
{
	struct rma_stream *rs = rma_of(s);
	struct nmti_rma_addrs addrs;
	struct nmti_rma_setup peer;
	int rc = blob_get(path->blob, path->blob_len, &peer, &addrs);

	rs->s = s;
	rs->rd = s->pd->priv;
	rs->server = path->server;
	rs->nrails = rs->rails_max = (uint8_t)path->rails;
	rs->timer.fire = nmti_rma_path_late;
	rs->retry.fire = nmti_rma_path_retry;
	memcpy(rs->token, path->token, sizeof(rs->token));
	s->tx_ready = true;
	if (!rc)
		rc = nmti_rma_own_addrs(rs->rd, &rs->doubt, &rs->own);
	if (rc)
		return rc;
	window_attr(rs, path, &peer);
	rc = nmti_win_open(&rs->attr, &rs->w);
	if (!rc)
		rc = rails_alloc(rs);
	if (rc)
		return rc;
	nmti_rma_assign(rs, &addrs);
	return connect_rails(rs, &addrs);
}

static bool all_up(const struct rma_stream *rs)
{
	for (uint8_t i = 0; i < rs->nrails; i++)
		if (!rs->rails[i].up)
			return false;
	return true;
}

/*
 * The path is up when the peer can be written to: its first grant came, or it grants only what its
 * application posts. So what is sent first needs no help of nmt_poll.
 */
void nmti_rma_usable(struct rma_stream *rs)
{
	struct nmti_win_stat st;

	if (rs->usable || rs->path != PATH_UP)
		return;
	nmti_win_stats(rs->w, &st);
	if (!st.grants_got && !rs->attr.tx_posted)
		return;
	rs->usable = true;
	nmti_path_up(rs->s, 0);
}

void nmti_rma_connected(struct rma_rail *rail)
{
	struct rma_stream *rs = rail->rs;
	char peer[NMT_ADDR_MAX];

	rail->up = true;
	if (rs->path != PATH_CONNECTING || !all_up(rs))
		return;
	rs->path = PATH_UP;
	if (!rs->resuming) {
		nmti_rma_usable(rs);
		return;
	}
	rs->resuming = rs->s->lost = false;
	rs->attempts = 0;
	rs->s->stat.recoveries++;
	nmti_timer_cancel(rs->s->dom, &rs->timer);
	nmti_info(rs->s->ctx, "%s: stream with %s: path is back, %u rail(s), epoch %u",
		  rs->s->ops->name, nmti_stream_peer(rs->s, peer), rs->nrails,
		  nmti_win_epoch(rs->w));
}

/* ---- loss --------------------------------------------------------------------------------- */

void nmti_rma_protocol(struct rma_stream *rs, int err, const char *what)
{
	char peer[NMT_ADDR_MAX];

	if (rs->s->error)
		return;
	nmti_err(rs->s->ctx, "%s: stream with %s: %s: %s", rs->s->ops->name,
		 nmti_stream_peer(rs->s, peer), what, nmt_strerror(err));
	nmti_stream_fail(rs->s, err == -EPROTONOSUPPORT ? -EPROTO : err);
}

static void fail(struct rma_stream *rs, int err, const char *what)
{
	char peer[NMT_ADDR_MAX];

	if (rs->s->error)
		return;
	nmti_warn(rs->s->ctx, "%s: stream with %s: %s", rs->s->ops->name,
		  nmti_stream_peer(rs->s, peer), what);
	nmti_stream_fail(rs->s, err);
}

static bool rails_end(struct rma_stream *rs, enum rma_end end);

void nmti_rma_path_late(struct nmti_timer *t)
{
	struct rma_stream *rs = nmti_container(t, struct rma_stream, timer);

	if (!rs->done_sent) {
		fail(rs, -ETIMEDOUT, "the path did not come back in time; raise attr.recovery_timeout");
	} else if (!nmti_done_told(rs->s)) { /* it would take the end for a loss */
		nmti_timer_set(rs->s->dom, &rs->timer, nmti_now() + DONE_GRACE);
	} else if (rails_end(rs, END_OVER)) { /* all was delivered; the peer is slow to say so */
		nmti_rma_over(rs);
	}
}

static void tell_path_down(struct rma_stream *rs)
{
	struct nmti_path_down m = { .epoch = nmti_win_epoch(rs->w), .reason = NMT_WHY_PATH };
	uint8_t buf[64];

	nmti_path_tell(rs->s, buf, nmti_path_down_encode(&m, buf, sizeof(buf)));
}

static void tell_resume(struct rma_stream *rs)
{
	uint8_t buf[NMTI_MSG_HDR_LEN + 32 + NMTI_BLOB_MAX];
	struct nmti_win_resume r;
	struct nmti_resume m;
	int n;

	memset(&m, 0, sizeof(m));
	nmti_win_resume_point(rs->w, rs->rails_max, &r);
	m.epoch = r.epoch;
	m.flags = r.fin ? NMTI_RESUME_FIN : 0;
	m.rails = r.rails;
	m.slots = r.slots;
	m.offset = r.offset;
	m.records = r.records;
	m.segment = r.seg;
	n = nmti_rma_own_addrs(rs->rd, &rs->doubt, &rs->own);
	if (!n)
		n = blob_put(rs->rd, rs->rails_max, &rs->own, m.blob, sizeof(m.blob));
	if (n < 0) {
		fail(rs, n, "no address for the next path");
		return;
	}
	m.blob_len = (uint16_t)n;
	nmti_path_tell(rs->s, buf, nmti_resume_encode(&m, buf, sizeof(buf)));
}

static void fenced(struct rma_stream *rs);
static void broken(struct rma_stream *rs);

static bool all_drained(const struct rma_stream *rs)
{
	for (uint8_t i = 0; i < rs->nrails; i++)
		if (!rs->rails[i].drained)
			return false;
	return true;
}

static void fence_rails(struct rma_stream *rs)
{
	rs->path = PATH_FENCING;
	rs->lost_early = false;
	rs->nheld = 0;
	rs->ctrl_len = 0;
	rs->queue_full = false;
	for (uint8_t i = 0; i < rs->nrails; i++) {
		rs->rails[i].drained = !rs->rails[i].ep;
		if (rs->rails[i].ep)
			rs->rd->ops->fence(rs->rails[i].ep);
	}
}

/* Fence all rails. The rest follows when they are drained. */
static void path_down(struct rma_stream *rs)
{
	rs->s->lost = true;
	if (!rs->timer.slot)
		nmti_timer_set(rs->s->dom, &rs->timer, nmti_deadline(rs->s->tune.recovery));
	fence_rails(rs);
	if (all_drained(rs)) /* there was none */
		fenced(rs);
}

/*
 * The device that it went over may not work. A peer that hung up says nothing of it, and of one that
 * is down or gone the provider tells as long as it is.
 */
static void doubt(struct rma_rail *rail, int status)
{
	if (status != -ECONNRESET && status != -ENOTCONN && status != -ENETDOWN &&
	    status != -ENODEV)
		rail->rs->doubt |= (uint8_t)(1u << rail->dev);
}

void nmti_rma_lost(struct rma_stream *rs)
{
	if (!rs->peer_done)
		tell_path_down(rs);
	path_down(rs);
}

void nmti_rma_failed(struct rma_rail *rail, int status, const char *text)
{
	struct rma_stream *rs = rail->rs;
	char peer[NMT_ADDR_MAX];

	if ((rs->path != PATH_CONNECTING && rs->path != PATH_UP) || rs->lost_early)
		return;
	nmti_info(rs->s->ctx, "%s: stream with %s: rail %u: %s", rs->s->ops->name,
		  nmti_stream_peer(rs->s, peer), rail->index, text ? text : nmt_strerror(status));
	if (rs->s->state < NMT_STATE_OPEN) {
		rs->lost_early = !nmti_path_up(rs->s, status);
		return;
	}
	doubt(rail, status);
	nmti_rma_lost(rs);
}

/* Nothing of the epoch can happen any more. */
static void fenced(struct rma_stream *rs)
{
	destroy_rails(rs);
	nmti_rma_keys_close(rs);
	nmti_win_fence(rs->w);
	rs->path = PATH_LOST;
	nmti_rma_rx_news(rs);
	if (rs->peer_done)
		return; /* nmti_rma_end_step() */
	if (rs->resuming && rs->attempts++) {
		nmti_timer_set(rs->s->dom, &rs->retry,
			       nmti_now() + (INT64_C(10000000) << min32(rs->attempts, 7)));
		return;
	}
	rs->resuming = true;
	nmti_rma_path_retry(&rs->retry);
}

void nmti_rma_drained(struct rma_rail *rail)
{
	struct rma_stream *rs = rail->rs;

	rail->drained = true;
	if (rs->path != PATH_FENCING || !all_drained(rs))
		return;
	if (rs->end == END_OVER)
		nmti_rma_over(rs);
	else if (rs->end == END_BROKEN)
		broken(rs);
	else
		fenced(rs);
}

/* ---- resume ------------------------------------------------------------------------------- */

static int begin_epoch(struct rma_stream *rs)
{
	struct nmti_win_resume r = {
		.epoch = rs->peer.epoch,
		.rails = rs->peer.rails,
		.fin = rs->peer.flags & NMTI_RESUME_FIN,
		.slots = rs->peer.slots,
		.offset = rs->peer.offset,
		.records = rs->peer.records,
		.seg = rs->peer.segment,
	};
	uint8_t rails = (uint8_t)min32(rs->rails_max, rs->peer.rails);
	int rc = nmti_win_resume(rs->w, &r, rails);

	if (rc == -EAGAIN) { /* the peer is ahead: its epoch is the next one */
		tell_resume(rs);
		rc = nmti_win_resume(rs->w, &r, rails);
	}
	rs->nrails = rc ? rs->nrails : rails;
	return rc;
}

/* Both ends know what the other one has. */
static void resume(struct rma_stream *rs)
{
	struct nmti_rma_addrs addrs;
	struct nmti_rma_setup m;
	int rc = blob_get(rs->peer.blob, rs->peer.blob_len, &m, &addrs);

	if (!rc)
		rc = begin_epoch(rs);
	rs->have_peer = false;
	if (rc == -ESTALE)
		return;
	if (rc == -ECONNRESET) {
		fail(rs, rc, "the peer lost bytes that it had confirmed");
		return;
	}
	if (rc) {
		nmti_rma_protocol(rs, rc, "a RESUME that does not fit");
		return;
	}
	nmti_rma_tx_rewind(rs);
	nmti_rma_assign(rs, &addrs);
	rc = nmti_rma_announce(rs);
	if (rc) {
		fail(rs, rc, "no memory for the next epoch");
		return;
	}
	rc = connect_rails(rs, &addrs);
	if (rc == -EPROTO)
		nmti_rma_protocol(rs, rc, "a RESUME with an address that is none");
	else if (rc)
		path_down(rs);
	nmti_work(rs->s);
}

void nmti_rma_path_retry(struct nmti_timer *t)
{
	struct rma_stream *rs = nmti_container(t, struct rma_stream, retry);

	if (rs->path != PATH_LOST || rs->s->error)
		return;
	rs->tries++;
	tell_resume(rs);
	if (rs->have_peer && !rs->s->error)
		resume(rs);
}

static int on_resume(struct rma_stream *rs, const void *msg, uint32_t len)
{
	struct nmti_resume m;

	if (nmti_resume_decode(msg, len, &m))
		return -EPROTO;
	if (rs->path == PATH_GONE || (int8_t)(m.epoch - nmti_win_epoch(rs->w)) <= 0)
		return 0;
	rs->peer = m;
	rs->have_peer = true;
	if (rs->path == PATH_UP || rs->path == PATH_CONNECTING)
		path_down(rs);
	else if (rs->path == PATH_LOST && !rs->retry.slot)
		resume(rs);
	return 0;
}

static int on_path_down(struct rma_stream *rs, const void *msg, uint32_t len)
{
	struct nmti_path_down m;

	if (nmti_path_down_decode(msg, len, &m))
		return -EPROTO;
	if (m.epoch == nmti_win_epoch(rs->w) &&
	    (rs->path == PATH_UP || rs->path == PATH_CONNECTING))
		path_down(rs);
	return 0;
}

int nmti_rma_peer_path(struct nmt_stream *s, const void *msg, uint32_t len)
{
	struct rma_stream *rs = rma_of(s);
	struct nmti_msg_hdr hdr;

	nmti_msg_peek(msg, len, &hdr);
	nmti_work(s);
	return hdr.type == NMTI_MSG_RESUME ? on_resume(rs, msg, len) : on_path_down(rs, msg, len);
}

/* ---- the end ------------------------------------------------------------------------------ */

static void no_rails(struct rma_stream *rs)
{
	nmti_timer_cancel(rs->s->dom, &rs->timer);
	nmti_timer_cancel(rs->s->dom, &rs->retry);
	destroy_rails(rs);
	nmti_rma_keys_close(rs);
	rs->path = PATH_GONE;
}

void nmti_rma_over(struct rma_stream *rs)
{
	no_rails(rs);
	rs->end = END_NOT;
	nmti_rma_tx_end(rs, 0, -EPIPE);
	nmti_rma_posts_end(rs, -ECANCELED);
	nmti_work(rs->s);
}

/*
 * Whether the rails can go now. Where a fence alone keeps no peer from writing, memory waits until they
 * are drained.
 */
static bool rails_end(struct rma_stream *rs, enum rma_end end)
{
	if (rs->path == PATH_GONE || !rs->rd->lim.shared)
		return true;
	if (!rs->end)
		nmti_timer_cancel(rs->s->dom, &rs->timer);
	rs->end = (uint8_t)end;
	if (rs->path == PATH_CONNECTING || rs->path == PATH_UP)
		fence_rails(rs);
	return rs->path != PATH_FENCING || all_drained(rs);
}

static void broken(struct rma_stream *rs)
{
	nmti_rma_break(rs);
	if (rs->s->aborting)
		nmti_stream_closed(rs->s, 0);
}

void nmti_rma_break(struct rma_stream *rs)
{
	int err = rs->s->error;

	if (!rs->w || !rails_end(rs, END_BROKEN))
		return;
	if (rs->path != PATH_GONE)
		no_rails(rs);
	nmti_rma_rx_news(rs);
	if (err && !rs->s->posting && rs->s->posted)
		nmti_rma_posts_run(rs, UINT32_MAX);
	nmti_rma_tx_end(rs, err ? err : -ECONNABORTED, err ? err : -ECONNABORTED);
	nmti_rma_posts_end(rs, err ? err : -ECANCELED);
}

void nmti_rma_abort(struct nmt_stream *s)
{
	struct rma_stream *rs = rma_of(s);

	if (!rs->w)
		rs->path = PATH_GONE;
	/* What was posted behind an error has to end as well. */
	else if (rs->path != PATH_GONE || s->posted)
		nmti_rma_break(rs);
}

bool nmti_rma_quiet(const struct nmt_stream *s)
{
	return rma_of(s)->path == PATH_GONE;
}

/* A path that was not open yet goes without a word: nobody has written to it. */
void nmti_rma_detach(struct nmt_stream *s)
{
	struct rma_stream *rs = rma_of(s);

	nmti_rma_abort(s);
	if (rs->path != PATH_GONE)
		no_rails(rs);
	nmti_rma_posts_free(rs);
	nmti_rma_tx_free(rs);
	nmti_rma_rx_free(rs);
	free(rs->rails);
	if (rs->w)
		nmti_win_close(rs->w);
}

void nmti_rma_peer_done(struct nmt_stream *s)
{
	struct rma_stream *rs = rma_of(s);

	rs->peer_done = true;
	nmti_rma_tx_drop(rs);
	nmti_work(s);
}

void nmti_rma_close_stream(struct nmt_stream *s)
{
	struct rma_stream *rs = rma_of(s);

	rs->closing = rs->fin_due = true;
	nmti_rma_posts_cancel(rs);
	nmti_rma_go_on(rs, 0);
	nmti_work(s);
}

static bool peer_ended(const struct rma_stream *rs)
{
	struct nmti_win_resume r;

	nmti_win_resume_point(rs->w, 1, &r);
	return r.fin;
}

/* Nothing of this end is under way. */
static bool quiet(const struct rma_stream *rs)
{
	return rs->path == PATH_LOST || (!rs->nheld && nmti_win_done(rs->w) >= rs->last);
}

static void say_done(struct rma_stream *rs)
{
	bool own = rs->fin_sent && nmti_win_done(rs->w) >= rs->fin_run;

	if (rs->done_sent || rs->s->state < NMT_STATE_OPEN)
		return;
	if (own ? rs->closing || peer_ended(rs) : rs->peer_done && quiet(rs) && peer_ended(rs)) {
		rs->done_sent = true;
		nmti_done(rs->s);
	}
}

void nmti_rma_end_step(struct rma_stream *rs)
{
	struct nmt_stream *s = rs->s;

	if (rs->path != PATH_GONE) {
		if (!rs->fin_due && !rs->peer_done)
			return;
		say_done(rs);
		if (rs->done_sent && rs->peer_done)
			nmti_rma_over(rs);
		else if (rs->peer_done && rs->path == PATH_LOST)
			fail(rs, -ECONNRESET, "the path ended before the peer's end arrived");
		else if (rs->closing && rs->done_sent && !rs->timer.slot)
			nmti_timer_set(s->dom, &rs->timer, nmti_now() + DONE_GRACE);
	}
	if (rs->path == PATH_GONE && rs->closing && !s->error && !rs->over_told) {
		rs->over_told = true;
		nmti_stream_closed(s, rs->lost_bytes ? -ECONNRESET : 0);
	}
}

/* ---- control messages --------------------------------------------------------------------- */

/* What the message tells the peer of must be there: receives of all rails, on any device. */
static void repost(const struct rma_dom *rd)
{
	for (uint8_t i = 0; i < rd->ndevs && rd->ops->repost; i++)
		rd->ops->repost(rd->dev[i].dev);
}

/* With a request to follow, as there is with RING false, one doorbell does. */
void nmti_rma_ctrl_send(struct rma_stream *rs, bool more, bool ring)
{
	struct rma_rail *rail = &rs->rails[0];
	uint32_t flags = ring || !rs->tx ? 0 : NMTI_RMA_MORE;
	struct nmti_win_stat st;
	uint64_t number;
	int n;

	while (rs->path == PATH_UP && !rs->s->error) {
		if (!rs->ctrl_len) {
			if (!nmti_win_due_now(rs->w, more))
				return;
			repost(rs->rd);
			n = nmti_win_ctrl_get(rs->w, rs->ctrl);
			if (n <= 0)
				return;
			rs->ctrl_len = (uint16_t)n;
		}
		n = rs->rd->ops->send(rail->ep, rs->ctrl, rs->ctrl_len, flags, &number);
		if (n == -EAGAIN)
			return;
		if (n) {
			nmti_rma_failed(rail, n, "sending a control message");
			return;
		}
		if (flags)
			rs->tx->unrung |= 1u << rail->index;
		rail->run_of[number & rs->send_mask] = rail->last_run;
		rs->ctrl_len = 0;
		nmti_win_stats(rs->w, &st);
		rs->s->stat.ctrl_sent++;
		rs->s->stat.grants = st.grants_sent;
	}
}
