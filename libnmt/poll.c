/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Waiting: nmt_poll spins, then sleeps; nmt_domain_arm lends the domain to another event loop.
 *
 * A harvest collects sources, deadlines and completions and moves the streams that have something
 * to say from "tell" to "now"; events are given out from "now", a budget a stream. What a stream
 * has beyond its budget waits for the next harvest, so that no stream waits behind more than one
 * budget of another, and a stream that always has bytes cannot keep the domain from its sources.
 */
#include <sys/timerfd.h>
#include <unistd.h>

#include "internal.h"

/* Below this a spin is not worth the clock readings. */
#define SPIN_MIN INT64_C(1000)
/* Receives in a row from one stream that make it hot. */
#define HOT_MIN 4
/* Of a spin, one turn in this many looks at the whole domain, not only at the hot stream. */
#define HOT_SHARE 4
#define CLOCK_SHARE 4
/* Most passes in a row that look for completions only: they need no system call, sockets do. */
#define LIGHT_MAX 255

static inline void cpu_relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

static inline bool pending(const struct nmt_domain *dom)
{
	return !nmti_list_empty(&dom->now) || !nmti_list_empty(&dom->tell) ||
	       !nmti_list_empty(&dom->work) || !nmti_list_empty(&dom->listeners_told) ||
	       dom->woken || dom->nreplay;
}

nmti_hot static void run_work(struct nmt_domain *dom)
{
	struct nmti_list round, *node;

	if (nmti_list_empty(&dom->work))
		return;
	nmti_list_init(&round);
	nmti_list_splice_tail(&dom->work, &round);
	while ((node = nmti_list_pop(&round))) {
		struct nmt_stream *s = nmti_container(node, struct nmt_stream, work);

		if (s->ops->work(s, dom->budget))
			nmti_work(s);
	}
}

/* Light passes are worth it as long as it is completions that happen, not sockets. */
nmti_hot static void run_providers(struct nmt_domain *dom, bool sockets)
{
	int n = 0;

	for (int i = 0; i < dom->npd; i++)
		if (dom->pd[i].ops->progress)
			n += dom->pd[i].ops->progress(&dom->pd[i]);
	if (sockets)
		dom->light_most /= 2;
	else if (n && dom->light_most < LIGHT_MAX)
		dom->light_most = 2 * dom->light_most + 1;
}

/* One pass over everything that may have happened, waiting at most TIMEOUT for it. */
static int pass(struct nmt_domain *dom, int64_t timeout)
{
	int n = nmti_reactor_wait(dom, timeout);

	if (n < 0)
		return n;
	dom->light = 0;
	nmti_timers_run(dom);
	run_providers(dom, n > 0);
	run_work(dom);
	return 0;
}

/* A pass over completions and work alone. False: it is time for a whole one. */
nmti_hot static bool light_pass(struct nmt_domain *dom)
{
	if (dom->light >= dom->light_most || dom->nreplay)
		return false;
	dom->light++;
	run_providers(dom, false);
	run_work(dom);
	return true;
}

/* Providers that interrupt must be armed before a sleep; one that has something forbids it. */
static bool may_sleep(struct nmt_domain *dom)
{
	for (int i = 0; i < dom->npd; i++)
		if (dom->pd[i].ops->arm && dom->pd[i].ops->arm(&dom->pd[i]))
			return false;
	return true;
}

/*
 * While one stream is all that the application receives from, in small pieces, looking at that
 * stream costs less than asking the kernel which one is ready. True: it was looked at.
 */
static inline bool try_hot(struct nmt_domain *dom)
{
	struct nmt_stream *s = dom->hot;

	if (!s || dom->hot_count < HOT_MIN || s->state != NMT_STATE_OPEN)
		return false;
	return s->ops->spin(s);
}

/* Spin until something is pending, or (SEEN) more has happened than that; or UNTIL. */
nmti_hot static int spin(struct nmt_domain *dom, int64_t until, const uint64_t *seen)
{
	int rc;

	for (;;) {
		uint32_t i = dom->spin_turn++;
		bool hot = i % HOT_SHARE && try_hot(dom);

		rc = hot || light_pass(dom) ? 0 : pass(dom, 0);
		if (rc || (seen ? dom->happened != *seen : pending(dom)))
			return rc;
		dom->stat.spins++;
		if ((hot || i % CLOCK_SHARE == 0) && nmti_now() >= until)
			return 0;
		if (!hot)
			cpu_relax();
	}
}

/*
 * As an adaptive mutex does: a sleep so short that the longest spin would have seen its end asks
 * for that spin again; a long one halves it.
 */
static int sleep_until(struct nmt_domain *dom, int64_t now, int64_t deadline)
{
	bool idle = may_sleep(dom); /* may set timers */
	int64_t next = nmti_min64(deadline, nmti_timers_next(dom));
	int64_t timeout = next == INT64_MAX ? -1 : next > now ? next - now : 0;
	int rc;

	if (!idle)
		timeout = 0;
	if (timeout)
		dom->stat.sleeps++;
	rc = !idle && light_pass(dom) ? 0 : pass(dom, timeout);
	if (dom->spin_max <= 0)
		return rc;
	if (nmti_now() - now < dom->spin_max)
		dom->spin = dom->spin_max;
	else
		dom->spin = dom->spin / 2 < SPIN_MIN ? 0 : dom->spin / 2;
	return rc;
}

bool nmti_domain_spins(const struct nmt_domain *dom)
{
	return dom->spin_always;
}

static int64_t spin_until(const struct nmt_domain *dom, int64_t now, int64_t deadline)
{
	return dom->spin_always ? deadline : nmti_min64(now + dom->spin, deadline);
}

/* Wait for the first thing to happen. DEADLINE INT64_MAX: for ever; 0: do not wait. */
nmti_hot static int harvest(struct nmt_domain *dom, int64_t deadline)
{
	int64_t now, until;
	int rc;

	if (light_pass(dom) && pending(dom))
		return 0;
	if (deadline == 0 || pending(dom))
		return pass(dom, 0);
	if (dom->spin_max <= 0 && deadline == INT64_MAX && !dom->timers.count)
		return sleep_until(dom, 0, deadline);
	now = nmti_now();
	if (now >= deadline)
		return pass(dom, 0);
	if (dom->spin > 0) {
		until = spin_until(dom, now, deadline);
		rc = spin(dom, until, NULL);
		if (rc || pending(dom) || until == deadline)
			return rc;
		now = nmti_now();
	}
	return sleep_until(dom, now, deadline);
}

int nmti_progress(struct nmt_domain *dom, int64_t timeout)
{
	return harvest(dom, timeout ? nmti_deadline(timeout) : 0);
}

/*
 * Events that the application has not taken must not keep a blocking call from sleeping: only what
 * happens from now on counts.
 */
int nmti_block(struct nmt_domain *dom, int64_t deadline)
{
	uint64_t seen = dom->happened;
	int64_t now, until;
	int rc;

	if (deadline != INT64_MAX && nmti_now() >= deadline)
		return -EAGAIN;
	if (!nmti_list_empty(&dom->work))
		return pass(dom, 0);
	now = nmti_now();
	if (dom->spin > 0) {
		until = spin_until(dom, now, deadline);
		rc = spin(dom, until, &seen);
		if (rc || dom->happened != seen || until == deadline)
			return rc;
		now = nmti_now();
	}
	return sleep_until(dom, now, deadline);
}

/* ---- giving events out ---- */

static int emit_listeners(struct nmt_domain *dom, struct nmt_event *ev, int max)
{
	struct nmti_list *node;
	int n = 0;

	while (n < max && (node = nmti_list_pop(&dom->listeners_told)))
		n += nmti_listener_events(nmti_container(node, struct nmt_listener, told), ev + n);
	return n;
}

nmti_hot static int emit_streams(struct nmt_domain *dom, struct nmt_event *ev, int max)
{
	struct nmti_list *node;
	int n = 0;

	while (n < max && (node = nmti_list_pop(&dom->now))) {
		struct nmt_stream *s = nmti_container(node, struct nmt_stream, tell);
		int room = max - n;

		n += nmti_stream_events(s, ev + n,
					room < (int)dom->budget ? room : (int)dom->budget);
	}
	return n;
}

nmti_hot static int emit(struct nmt_domain *dom, struct nmt_event *ev, int max)
{
	int n = 0;

	if (!nmti_list_empty(&dom->listeners_told))
		n = emit_listeners(dom, ev, max);
	n += emit_streams(dom, ev + n, max - n);
	dom->stat.events += (uint64_t)n;
	return n;
}

nmti_hot int nmt_poll(struct nmt_domain *dom, struct nmt_event *ev, int max, int64_t timeout)
{
	int64_t deadline;
	int n, rc;

	if (!dom || !ev || max < 1)
		return -EINVAL;
	deadline = timeout == 0 ? 0 : timeout < 0 ? INT64_MAX : nmti_deadline(timeout);
	for (;;) {
		rc = 0;
		if (nmti_list_empty(&dom->now)) {
			rc = harvest(dom, deadline);
			nmti_list_splice_tail(&dom->tell, &dom->now);
		}
		n = emit(dom, ev, max);
		if (n || rc)
			return n ? n : rc;
		if (dom->woken || deadline == 0)
			break;
		if (deadline != INT64_MAX && nmti_now() >= deadline)
			break;
	}
	dom->woken = false;
	return 0;
}

static int timerfd_follow(struct nmt_domain *dom)
{
	struct itimerspec it = { 0 };
	int64_t at = nmti_timers_next(dom);

	if (at == INT64_MAX)
		at = 0;
	if (at == dom->timerfd_at)
		return 0;
	it.it_value.tv_sec = at / NMTI_NSEC;
	it.it_value.tv_nsec = at % NMTI_NSEC;
	if (timerfd_settime(dom->timer_src.fd, TFD_TIMER_ABSTIME, &it, NULL))
		return -errno;
	dom->timerfd_at = at;
	return 0;
}

int nmt_domain_arm(struct nmt_domain *dom, int *fd)
{
	int rc;

	if (!dom || !fd)
		return -EINVAL;
	if (!pending(dom)) {
		rc = pass(dom, 0);
		if (rc)
			return rc;
	}
	if (pending(dom) || !may_sleep(dom))
		return -EAGAIN;
	*fd = dom->epfd;
	return timerfd_follow(dom);
}

int nmt_wake(struct nmt_domain *dom)
{
	uint64_t one = 1;
	int saved = errno, rc = 0;

	if (!dom)
		return -EINVAL;
	if (write(dom->wake_src.fd, &one, sizeof(one)) < 0 && errno != EAGAIN)
		rc = -errno;
	errno = saved;
	return rc;
}
