/* SPDX-License-Identifier: BSD-2-Clause */
/* Posted receives: the kernel copies straight into the posted memory, several posts a system call. */
#include <stdint.h>
#include <stdlib.h>

#include "tcp.h"

#define POSTS_PER_CALL 64
/* Bytes that are worth a wake-up, of posts so long that saying so pays, while so many are missing. */
#define LOWAT_MAX (128 << 10)
#define LOWAT_MIN (16 << 10)
#define LOWAT_POST (512 << 10)

enum post_state { POST_FREE, POST_WAITS, POST_DONE };

struct tcp_post {
	struct nmt_mr *mr;
	uint64_t offset, cookie;
	size_t len, done;
	int status;
	uint32_t ev_flags;
	uint16_t opts;
	uint16_t state;
};

/* A ring: [head, tail) are posted; those before next are finished. */
struct tcp_posts {
	uint32_t head, next, tail, mask;
	uint32_t ndone;
	int lowat; /* SO_RCVLOWAT of the socket */
	struct tcp_post ring[];
};

static struct tcp_post *at(struct tcp_posts *p, uint32_t i)
{
	return &p->ring[i & p->mask];
}

static int posts_alloc(struct tcp_stream *ts)
{
	uint32_t cap = tcp_pow2(ts->s->tune.recv_depth);

	ts->posts = calloc(1, sizeof(*ts->posts) + cap * sizeof(ts->posts->ring[0]));
	if (!ts->posts)
		return -ENOMEM;
	ts->s->memory += (uint32_t)(sizeof(*ts->posts) + cap * sizeof(ts->posts->ring[0]));
	ts->posts->mask = cap - 1;
	ts->posts->lowat = 1;
	return 0;
}

void nmti_tcp_posts_free(struct tcp_stream *ts)
{
	if (ts->posts)
		nmti_tcp_posts_end(ts, -ECANCELED);
	free(ts->posts);
	ts->posts = NULL;
}

/* Close the holes that cancelled posts left. */
static void squeeze(struct tcp_posts *p)
{
	uint32_t to = p->head;

	for (uint32_t i = p->head; i != p->tail; i++)
		if (at(p, i)->state != POST_FREE)
			*at(p, to++) = *at(p, i);
	p->next = p->head;
	p->tail = to;
}

int nmti_tcp_recv_into(struct nmt_stream *s, struct nmt_mr *mr, uint64_t offset, size_t len,
		  int flags, uint64_t cookie)
{
	struct tcp_stream *ts = tcp_of(s);
	struct tcp_post *post;

	if (!ts->posts && posts_alloc(ts))
		return -ENOMEM;
	if (s->posted + ts->posts->ndone >= s->tune.recv_depth)
		return -EAGAIN;
	if (ts->posts->tail - ts->posts->head > ts->posts->mask)
		squeeze(ts->posts);
	post = at(ts->posts, ts->posts->tail++);
	memset(post, 0, sizeof(*post));
	post->mr = mr;
	post->offset = offset;
	post->len = len;
	post->cookie = cookie;
	post->opts = (uint16_t)flags;
	post->state = POST_WAITS;
	nmti_mr_hold(mr);
	s->posted++;
	s->rx_told = false;
	if (s->rx_ready || s->error || ts->rx_end || tcp_here(ts))
		nmti_work(s);
	return 0;
}

static void finish(struct tcp_stream *ts, struct tcp_post *post, int status, uint32_t ev_flags)
{
	post->state = POST_DONE;
	post->status = status;
	post->ev_flags = ev_flags;
	nmti_mr_drop(post->mr);
	ts->posts->ndone++;
	ts->s->rx_untold = true;
	ts->s->posted--;
	nmti_tell(ts->s);
}

/* The first post that still waits, or NULL. */
static struct tcp_post *current(struct tcp_posts *p)
{
	while (p->next != p->tail && at(p, p->next)->state != POST_WAITS)
		p->next++;
	return p->next == p->tail ? NULL : at(p, p->next);
}

/* How many bytes have to be there before the application learns of any. */
static int lowat_of(const struct tcp_post *post)
{
	size_t rest = post ? post->len - post->done : 0;

	if (rest < LOWAT_MIN || post->len < LOWAT_POST || post->opts & NMT_RECV_SOME)
		return 1;
	return rest < LOWAT_MAX ? (int)rest : LOWAT_MAX;
}

/*
 * Nothing more is to be had now: have the kernel wait for what the first post needs (socket(7), SO_RCVLOWAT),
 * instead of waking this thread, at the sender's expense, for each segment. An end and an error wake
 * it in any case. A mark that is too low costs wake-ups, so it is raised only when that gains much.
 */
static void set_lowat(struct tcp_stream *ts)
{
	struct tcp_posts *p = ts->posts;
	int want = lowat_of(current(p));

	if (want == p->lowat || (want > p->lowat && want / 2 < p->lowat))
		return;
	ts->s->stat.rx_syscalls++;
	if (!setsockopt(ts->src.fd, SOL_SOCKET, SO_RCVLOWAT, &want, sizeof(want)))
		p->lowat = want;
}

static void end_all(struct tcp_stream *ts, int status, uint32_t ev_flags)
{
	struct tcp_post *post;

	while ((post = current(ts->posts)))
		finish(ts, post, status, ev_flags);
}

void nmti_tcp_posts_end(struct tcp_stream *ts, int status)
{
	if (!ts->posts)
		return;
	end_all(ts, status, status ? 0 : NMT_EVF_EOF);
	set_lowat(ts);
}

int nmti_tcp_recv_cancel(struct nmt_stream *s, uint64_t cookie)
{
	struct tcp_stream *ts = tcp_of(s);
	struct tcp_posts *p = ts->posts;
	int found = 0;

	for (uint32_t i = p ? p->head : 0; p && i != p->tail; i++) {
		struct tcp_post *post = at(p, i);

		if (post->state != POST_WAITS || post->cookie != cookie)
			continue;
		finish(ts, post, -ECANCELED, 0);
		found = 1;
	}
	if (found)
		set_lowat(ts);
	if (found && s->rx_ready)
		nmti_tell(s);
	return found ? 0 : -ENOENT;
}

/* ---- filling ---- */

static void credit(struct tcp_stream *ts, struct tcp_post *post, size_t n)
{
	post->done += n;
	ts->s->stat.rx_bytes += n;
	ts->s->stat.rx_ops++;
}

static void finish_if_full(struct tcp_stream *ts, struct tcp_post *post)
{
	if (post->done == post->len || (post->done && post->opts & NMT_RECV_SOME))
		finish(ts, post, 0, 0);
}

/* Hand N received bytes to the posts in order. */
static void spread(struct tcp_stream *ts, size_t n)
{
	ts->rx_off += n;
	while (n) {
		struct tcp_post *post = current(ts->posts);
		size_t part = post->len - post->done;

		part = part < n ? part : n;
		credit(ts, post, part);
		n -= part;
		finish_if_full(ts, post);
	}
}

/* Bytes that arrived before the post did. */
static int from_cell(struct tcp_stream *ts, struct tcp_post *post, uint32_t n)
{
	int rc = nmti_mr_move(ts->s->dom, post->mr, post->offset + post->done, ts->cell->mr,
			      ts->cell->offset + ts->pos, n);

	if (rc)
		return rc;
	ts->s->stat.rx_copied += n;
	nmti_tcp_consume(ts, n);
	nmti_tcp_cell_idle(ts);
	return 0;
}

static ssize_t staged(struct tcp_stream *ts, struct tcp_post *post, size_t limit,
		      ssize_t (*get)(struct tcp_stream *ts, const struct iovec *iov, int n))
{
	struct iovec iov;
	size_t len;
	ssize_t r;
	int rc;

	iov.iov_base = nmti_staging(ts->s->dom, &len);
	iov.iov_len = len < limit ? len : limit;
	if (!iov.iov_base)
		return -ENOMEM;
	r = get(ts, &iov, 1);
	if (r <= 0)
		return r;
	rc = nmt_mr_write(post->mr, post->offset + post->done, iov.iov_base, (size_t)r);
	ts->s->stat.rx_copied += (uint64_t)r;
	ts->s->stat.fallback_staging++;
	return rc ? rc : r;
}

static ssize_t get_plain(struct tcp_stream *ts, const struct iovec *iov, int n)
{
	return nmti_tcp_sock_recv(ts, iov, n, tcp_iov_total(iov, n), 0);
}

/* The rooms of consecutive posts that the CPU can reach. */
static int gather(struct tcp_stream *ts, struct iovec *iov)
{
	struct tcp_posts *p = ts->posts;
	int n = 0;

	for (uint32_t i = p->next; i != p->tail && n < POSTS_PER_CALL; i++) {
		struct tcp_post *post = at(p, i);

		if (post->state != POST_WAITS)
			continue;
		if (!post->mr->cpu)
			break;
		iov[n].iov_base = nmti_mr_cpu(post->mr, post->offset + post->done);
		iov[n++].iov_len = post->len - post->done;
		if (post->opts & NMT_RECV_SOME)
			break;
	}
	return n;
}

static ssize_t fill_plain(struct tcp_stream *ts, struct tcp_post *post)
{
	struct iovec iov[POSTS_PER_CALL];
	uint32_t here = ts->fill - ts->pos;
	ssize_t r;
	int n;

	if (here) {
		if (here > post->len - post->done)
			here = (uint32_t)(post->len - post->done);
		r = from_cell(ts, post, here);
		if (!r)
			spread(ts, here);
		return r ? r : here;
	}
	if (!nmti_tcp_may_recv(ts))
		return ts->s->error ? ts->s->error : -EAGAIN;
	n = gather(ts, iov);
	if (n)
		r = get_plain(ts, iov, n);
	else
		r = staged(ts, post, post->len - post->done, get_plain);
	if (r > 0)
		spread(ts, (size_t)r);
	return r ? r : nmti_tcp_rx_end(ts);
}

/* ---- records ---- */

/* A full post under NMT_RECV_WHOLE waits to learn whether its record is over. */
static void record_step(struct tcp_stream *ts, struct tcp_post *post, uint32_t eor)
{
	if (eor)
		finish(ts, post, 0, NMT_EVF_EOR);
	else if (post->done == post->len && !(post->opts & NMT_RECV_WHOLE))
		finish(ts, post, 0, 0);
	else if (post->done && post->opts & NMT_RECV_SOME)
		finish(ts, post, 0, 0);
}

static void too_long(struct tcp_stream *ts, struct tcp_post *post)
{
	ts->discard = true;
	finish(ts, post, -EMSGSIZE, 0);
}

static ssize_t payload(struct tcp_stream *ts, struct tcp_post *post)
{
	size_t room = post->len - post->done;
	uint32_t here = ts->fill - ts->pos;
	struct iovec iov;
	ssize_t r;

	if (here) {
		here = here < ts->frame_left ? here : ts->frame_left;
		here = here < room ? here : (uint32_t)room;
		r = from_cell(ts, post, here);
		return r ? r : here;
	}
	if (!nmti_tcp_may_recv(ts))
		return ts->s->error ? ts->s->error : -EAGAIN;
	iov.iov_base = nmti_mr_cpu(post->mr, post->offset + post->done);
	iov.iov_len = room;
	return iov.iov_base ? nmti_tcp_rec_direct(ts, &iov, 1)
			    : staged(ts, post, room, nmti_tcp_rec_direct);
}

static ssize_t next_header(struct tcp_stream *ts)
{
	ssize_t r;

	if (!nmti_tcp_may_recv(ts))
		return ts->s->error ? ts->s->error : -EAGAIN;
	r = ts->discard ? nmti_tcp_fill(ts) : nmti_tcp_rec_header(ts);
	return r ? r : nmti_tcp_rx_end(ts);
}

static ssize_t fill_record(struct tcp_stream *ts, struct tcp_post *post)
{
	ssize_t r = nmti_tcp_rec_next(ts);

	if (r < 0)
		return r;
	if (!r)
		return next_header(ts);
	if (ts->mark) {
		record_step(ts, post, nmti_tcp_rec_take(ts, 0));
		return 1;
	}
	if (post->done == post->len) {
		too_long(ts, post);
		return 1;
	}
	r = payload(ts, post);
	if (r > 0) {
		credit(ts, post, (size_t)r);
		record_step(ts, post, nmti_tcp_rec_take(ts, (uint32_t)r));
	}
	return r ? r : nmti_tcp_rx_end(ts);
}

/* Fill posts with what is there. True: there is more to do. */
static bool fill_all(struct tcp_stream *ts, uint32_t budget)
{
	struct nmt_stream *s = ts->s;
	struct tcp_post *post;
	ssize_t r;

	while (ts->posts && (post = current(ts->posts))) {
		if (ts->rx_end) {
			end_all(ts, 0, NMT_EVF_EOF);
			return false;
		}
		if (!budget--)
			return true;
		r = s->records ? fill_record(ts, post) : fill_plain(ts, post);
		if (r == -EAGAIN && s->error)
			r = s->error;
		if (r == -EAGAIN || r == -ENOBUFS)
			return false;
		if (r < 0)
			end_all(ts, (int)r, 0);
	}
	if (tcp_here(ts))
		s->rx_ready = true;
	if (s->rx_ready)
		nmti_tell(s);
	return false;
}

bool nmti_tcp_posts_run(struct tcp_stream *ts, uint32_t budget)
{
	bool more = fill_all(ts, budget);

	if (!more && ts->posts && !ts->s->records)
		set_lowat(ts);
	return more;
}

int nmti_tcp_posts_reap(struct nmt_stream *s, struct nmt_event *ev, int max)
{
	struct tcp_posts *p = tcp_of(s)->posts;
	int n = 0;

	for (uint32_t i = p->head; p->ndone && n < max && i != p->tail; i++) {
		struct tcp_post *post = at(p, i);

		if (post->state != POST_DONE)
			continue;
		memset(&ev[n], 0, sizeof(ev[n]));
		ev[n].type = NMT_EV_RECEIVED;
		ev[n].status = post->status;
		ev[n].cookie = post->cookie;
		ev[n].len = post->done;
		ev[n++].flags = post->ev_flags;
		post->state = POST_FREE;
		p->ndone--;
	}
	while (p->head != p->tail && at(p, p->head)->state == POST_FREE) {
		if (p->next == p->head)
			p->next++;
		p->head++;
	}
	s->rx_untold = p->ndone;
	return n;
}
