/* SPDX-License-Identifier: BSD-2-Clause */
/* Faults of RMA requests: writes, messages, doorbells, and completions that come too early. */
#include <stdlib.h>

#include "fault_rma.h"

#include "rma/wire.h"

#define EOR_BIT (UINT32_C(1) << 28)

/* Faults that happen now and then, so that a stream gets going before. */
static bool now_and_then(unsigned int *calls)
{
	return ++*calls % 4 == 0;
}

/* What a fault made of a request, besides a negative errno. */
enum { TO_POST, POSTED, KEPT };

static void told(struct fault_ep *f, uint32_t flags, uint64_t *number)
{
	*number = f->last = *number + (uint64_t)f->skew;
	f->signals &= ~(UINT64_C(1) << *number % 64);
	if (flags & NMTI_RMA_SIGNAL)
		f->signals |= UINT64_C(1) << *number % 64;
}

/* Pretend that it was posted. */
static int dropped(struct fault_ep *f, uint64_t *number)
{
	f->skew++;
	*number = ++f->last;
	return KEPT;
}

/* ---- one request behind the other ---- */

/* Post what was kept back. */
void fault_post_held(struct fault_ep *f)
{
	struct fault_req r = f->held;
	uint64_t number;

	if (!r.have)
		return;
	f->held.have = false;
	if (!r.msg)
		fault_rma_real.write(f->ep, &r.from, r.remote, r.key, r.imm, 0, &number);
	else
		fault_rma_real.send(f->ep, r.msg, r.len, 0, &number);
}

static int keep_write(struct fault_ep *f, const struct nmti_rma_local *from, uint64_t remote,
		      uint64_t key, uint32_t imm, uint64_t *number)
{
	f->held = (struct fault_req){ .have = true, .from = *from, .remote = remote, .key = key,
				      .imm = imm };
	*number = ++f->last;
	return KEPT;
}

static int keep_message(struct fault_ep *f, const void *msg, uint32_t len, uint64_t *number)
{
	f->held = (struct fault_req){ .have = true, .msg = msg, .len = len };
	if (fault_on == RMA_MESSAGES_SWAPPED)
		f->held.msg = memcpy(f->held.copy, msg, len);
	*number = ++f->last;
	return KEPT;
}

/* ---- writes ---- */

static int write_twice(struct fault_ep *f, const struct nmti_rma_local *from, uint64_t remote,
		       uint64_t key, uint32_t imm, uint32_t flags, uint64_t *number)
{
	int rc = fault_rma_real.write(f->ep, from, remote, key, imm, flags, number);

	if (!rc)
		rc = fault_rma_real.write(f->ep, from, remote, key, imm, flags, number);
	return rc ? rc : POSTED;
}

/* The immediate goes with other bytes; the right ones follow. */
static int write_late(struct fault_ep *f, const struct nmti_rma_local *from, uint64_t remote,
		      uint64_t key, uint32_t imm, uint32_t flags, uint64_t *number)
{
	struct nmti_rma_local other = *from;
	unsigned char *junk = malloc(from->len); /* for ever: the fabric reads it when it likes */
	int rc;

	memset(junk, 0x99, from->len);
	other.addr = junk;
	rc = fault_rma_real.write(f->ep, &other, remote, key, imm, flags, number);
	if (!rc)
		fault_late_start(fault_late_new(from->addr, from->len, remote, key), 12);
	return rc ? rc : POSTED;
}

/* TO_POST: with what was changed. */
static int spoil_write(struct fault_ep *f, struct nmti_rma_local *from, uint64_t *remote,
		       uint64_t key, uint32_t *imm, uint32_t flags, uint64_t *number)
{
	switch (fault_on) {
	case RMA_WRITE_DROPPED:
		return now_and_then(&f->writes) ? dropped(f, number) : TO_POST;
	case RMA_WRITE_DOUBLED:
		return now_and_then(&f->writes)
			       ? write_twice(f, from, *remote, key, *imm, flags, number) : TO_POST;
	case RMA_WRITES_SWAPPED:
		if (flags & NMTI_RMA_MORE && !(flags & NMTI_RMA_INLINE) && !f->held.have)
			return keep_write(f, from, *remote, key, *imm, number);
		return TO_POST;
	case RMA_IMM_BEFORE_BYTES:
		return from->addr && from->len
			       ? write_late(f, from, *remote, key, *imm, flags, number) : TO_POST;
	case RMA_WRONG_OFFSET:
		*remote += from->len && now_and_then(&f->writes) ? 8 : 0;
		return TO_POST;
	case RMA_SHORT_WRITE:
		from->len -= from->len > 1 && now_and_then(&f->writes);
		return TO_POST;
	case RMA_EOR_LOST:
		*imm &= from->len ? ~EOR_BIT : ~UINT32_C(0);
		return TO_POST;
	default:
		return TO_POST;
	}
}

static void remember(struct fault_ep *f, const struct nmti_rma_local *from, uint64_t remote,
		     uint64_t key)
{
	if (fault_on != RMA_OLD_EPOCH_WRITES || !from->addr || !from->len)
		return;
	free(f->newest);
	f->newest = fault_late_new(from->addr, from->len, remote, key);
}

/* And what was kept back before goes behind it. */
static void posted(struct fault_ep *f, uint32_t flags, uint64_t *number)
{
	if (f->held.have) {
		fault_post_held(f);
		++*number;
	}
	told(f, flags, number);
}

static uint32_t spoil_flags(uint32_t flags)
{
	if (fault_on == RMA_SIGNAL_IGNORED)
		return flags & ~NMTI_RMA_SIGNAL;
	return fault_on == RMA_DOORBELL_LOST ? flags | NMTI_RMA_MORE : flags;
}

static int fault_write(struct nmti_rma_ep *ep, const struct nmti_rma_local *from, uint64_t remote,
		       uint64_t key, uint32_t imm, uint32_t flags, uint64_t *number)
{
	struct fault_ep *f = fault_ep_of(ep);
	struct nmti_rma_local local = *from;
	int rc;

	remember(f, from, remote, key);
	flags = spoil_flags(flags);
	rc = spoil_write(f, &local, &remote, key, &imm, flags, number);
	if (rc == TO_POST)
		rc = fault_rma_real.write(ep, &local, remote, key, imm, flags, number);
	if (rc < 0 || rc == KEPT)
		return rc < 0 ? rc : 0;
	posted(f, flags, number);
	if (fault_on == RMA_WRITTEN_EARLY || (fault_on == RMA_WRITTEN_TOO_HIGH && f->ahead))
		fault_tell(f, NMTI_RMA_WRITTEN, *number);
	f->ahead = false;
	return 0;
}

/* ---- messages ---- */

static bool is_grant(const void *msg, uint32_t len)
{
	struct nmti_ctrl m;

	return !nmti_ctrl_decode(msg, len, &m) && m.type == NMTI_CTRL_GRANT && m.count;
}

/* The first grant brings the path up; a later one is better found. */
static bool later_grant(struct fault_ep *f, const void *msg, uint32_t len)
{
	return is_grant(msg, len) && ++f->sends > 1;
}

/* As spoil_write(). */
static int spoil_message(struct fault_ep *f, const void *msg, uint32_t *len, uint64_t *number)
{
	switch (fault_on) {
	case RMA_MESSAGE_DROPPED:
		return later_grant(f, msg, *len) ? dropped(f, number) : TO_POST;
	case RMA_MESSAGE_DOUBLED:
		if (later_grant(f, msg, *len))
			fault_rma_real.send(f->ep, msg, *len, 0, number);
		return TO_POST;
	case RMA_MESSAGE_CUT:
		*len -= later_grant(f, msg, *len) ? 8 : 0;
		return TO_POST;
	case RMA_MESSAGES_SWAPPED:
		return !f->held.have && later_grant(f, msg, *len)
			       ? keep_message(f, msg, *len, number) : TO_POST;
	case RMA_MESSAGE_READ_LATE:
		return f->held.have ? TO_POST : keep_message(f, msg, *len, number);
	default:
		return TO_POST;
	}
}

static int fault_send(struct nmti_rma_ep *ep, const void *msg, uint32_t len, uint32_t flags,
		      uint64_t *number)
{
	struct fault_ep *f = fault_ep_of(ep);
	int rc;

	if (fault_on == RMA_MESSAGE_READ_LATE)
		fault_post_held(f);
	rc = spoil_message(f, msg, &len, number);
	if (rc == TO_POST)
		rc = fault_rma_real.send(ep, msg, len, spoil_flags(flags), number);
	if (rc < 0 || rc == KEPT)
		return rc < 0 ? rc : 0;
	posted(f, flags, number);
	return 0;
}

static void fault_kick(struct nmti_rma_ep *ep)
{
	if (fault_on != RMA_DOORBELL_LOST)
		fault_rma_real.kick(ep);
}

void fault_rma_tx_ops(struct nmti_rma_ops *ops)
{
	ops->write = fault_write;
	ops->send = fault_send;
	ops->kick = fault_kick;
}
