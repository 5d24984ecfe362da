/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * MSG_ZEROCOPY (Linux Documentation/networking/msg_zerocopy.rst): calls are numbered from 0 a
 * socket, completions come from the error queue as ranges, in any order. When the kernel says that
 * it copied after all, as it always does on loopback, the stream stops asking: a copy plus a
 * notification costs more than a copy.
 */
#include <netinet/in.h>
#include <stdint.h>
#include <time.h>

#include <linux/errqueue.h> /* needs struct timespec */

#include "tcp.h"

#define ZC_WINDOW 1024u /* calls in flight: bits in tcp_zc.done */

bool nmti_tcp_zc_may(struct tcp_stream *ts, struct tcp_zc *zc)
{
	int on = 1;

	if (ts->zc_off || zc->next - zc->base >= ZC_WINDOW)
		return false;
	if (ts->zc_on)
		return true;
	if (setsockopt(ts->src.fd, SOL_SOCKET, SO_ZEROCOPY, &on, sizeof(on))) {
		ts->zc_off = true;
		ts->s->stat.fallback_zerocopy++;
		return false;
	}
	ts->zc_on = true;
	return true;
}

static void mark_copied(struct tcp_stream *ts)
{
	if (!ts->zc_off) {
		ts->s->stat.fallback_zerocopy++;
		nmti_log(ts->s->ctx, NMT_LOG_DEBUG, "tcp: the kernel copies MSG_ZEROCOPY sends on "
			 "this path: not asking any more");
	}
	ts->zc_off = true;
}

static void set_done(struct tcp_zc *zc, uint32_t id)
{
	uint32_t i = id - zc->base;

	if (i < ZC_WINDOW)
		zc->done[(id % ZC_WINDOW) / 64] |= UINT64_C(1) << (id % 64);
}

/* Move base over the calls that are complete without a gap. */
static void advance(struct tcp_zc *zc)
{
	while (zc->base != zc->next) {
		uint64_t *word = &zc->done[(zc->base % ZC_WINDOW) / 64];
		uint64_t bit = UINT64_C(1) << (zc->base % 64);

		if (!(*word & bit))
			break;
		*word &= ~bit;
		zc->base++;
	}
}

static void completed(struct tcp_stream *ts, const struct sock_extended_err *ee)
{
	struct tcp_zc *zc = nmti_tcp_tx_zc(ts);
	uint32_t id = ee->ee_info, n = ee->ee_data - ee->ee_info + 1;

	if (ee->ee_errno || ee->ee_origin != SO_EE_ORIGIN_ZEROCOPY || !zc || n > ZC_WINDOW)
		return;
	if (ee->ee_code & SO_EE_CODE_ZEROCOPY_COPIED) {
		ts->s->stat.zc_copied += n;
		mark_copied(ts);
	}
	while (n--)
		set_done(zc, id++);
	advance(zc);
}

static bool drain_one(struct tcp_stream *ts)
{
	char control[256];
	struct msghdr msg = { .msg_control = control, .msg_controllen = sizeof(control) };

	ts->s->stat.tx_syscalls++;
	if (recvmsg(ts->src.fd, &msg, MSG_ERRQUEUE | MSG_DONTWAIT) < 0)
		return false;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c)) {
		struct sock_extended_err ee;

		if (!((c->cmsg_level == SOL_IP && c->cmsg_type == IP_RECVERR) ||
		      (c->cmsg_level == SOL_IPV6 && c->cmsg_type == IPV6_RECVERR)))
			continue;
		memcpy(&ee, CMSG_DATA(c), sizeof(ee));
		completed(ts, &ee);
	}
	return true;
}

void nmti_tcp_zc_drain(struct tcp_stream *ts)
{
	while (ts->zc_on && drain_one(ts))
		;
	nmti_tell(ts->s);
}
