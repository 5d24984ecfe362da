/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Requests and completions of raw-write on libfabric: a chain is writes with FI_MORE. Where
 * completions come in order only the last asks for one, else each does: a completion's context says
 * how many requests it settles. A single message that fits is injected.
 */
#include <errno.h>
#include <string.h>

#include "raw_ofi.h"

#define ENTRIES 32

static void ofi_prepare(struct raw *r)
{
	struct raw_ofi *o = (struct raw_ofi *)r;
	uint64_t size = o->raw.w->run->p.size;

	o->in_order = (o->info->tx_attr->comp_order & FI_ORDER_STRICT) == FI_ORDER_STRICT;
	o->injected = size <= o->info->tx_attr->inject_size;
	o->desc = fi_mr_desc(o->mr);
	o->iov = (struct iovec){ o->raw.buf, size };
	o->to = (struct fi_rma_iov){ o->peer.addr, size, o->peer.key };
	o->msg = (struct fi_msg_rma){ .msg_iov = &o->iov, .desc = &o->desc, .iov_count = 1,
				      .addr = o->dest, .rma_iov = &o->to, .rma_iov_count = 1 };
}

static int failed(struct raw *r, const char *what, int rc)
{
	return worker_fail(r->w, rc, "raw-write: %s: %s", what, fi_strerror(-rc));
}

/* There is no room for a request: completions make it. */
static int make_room(struct raw *r)
{
	return run_phase_now(r->w->run) == PHASE_ABORT ? -ECANCELED : raw_take(r, ENTRIES);
}

static int write_one(struct raw_ofi *o, const struct fi_msg_rma *msg, uint64_t flags)
{
	int err;

	while ((err = (int)fi_writemsg(o->ep, msg, flags | FI_REMOTE_CQ_DATA)) == -FI_EAGAIN) {
		err = make_room(&o->raw);
		if (err < 0)
			return err;
	}
	return err ? failed(&o->raw, "fi_writemsg", err) : 0;
}

static int inject_one(struct raw_ofi *o)
{
	uint64_t to = o->peer.addr + raw_next_place(&o->raw);
	int err;

	while ((err = (int)fi_inject_writedata(o->ep, o->iov.iov_base, o->iov.iov_len, RAW_DATA,
					       o->dest, to, o->to.key)) == -FI_EAGAIN) {
		err = make_room(&o->raw);
		if (err < 0)
			return err;
	}
	if (err)
		return failed(&o->raw, "fi_inject_writedata", err);
	o->raw.done++;
	return 0;
}

/* The flags and the context of a request that perhaps asks. */
static uint64_t asking(struct raw_ofi *o, bool ask, struct fi_msg_rma *msg)
{
	if (!o->in_order) {
		msg->context = (void *)1;
		return FI_COMPLETION;
	}
	o->unasked++;
	if (!ask)
		return 0;
	msg->context = (void *)o->unasked;
	o->unasked = 0;
	return FI_COMPLETION;
}

static int ofi_post(struct raw *r, uint32_t n, bool ask)
{
	struct raw_ofi *o = (struct raw_ofi *)r;
	uint64_t flags = o->injected ? FI_INJECT : 0;
	int err = 0;

	if (n == 1 && o->injected)
		return inject_one(o);
	while (err == 0 && n-- > 0) {
		o->to.addr = o->peer.addr + raw_next_place(r);
		err = write_one(o, &o->msg, flags | (n ? FI_MORE : 0) |
				asking(o, ask && !n, &o->msg));
	}
	return err;
}

static int ofi_word(struct raw *r, uint32_t data)
{
	struct raw_ofi *o = (struct raw_ofi *)r;
	struct iovec iov = { r->buf, 0 };
	struct fi_rma_iov to = { o->peer.addr, 0, o->to.key };
	struct fi_msg_rma msg = o->msg;

	msg.msg_iov = &iov;
	msg.rma_iov = &to;
	msg.data = data;
	return write_one(o, &msg, asking(o, true, &msg));
}

static int ofi_recvs(struct raw *r, uint32_t n)
{
	struct raw_ofi *o = (struct raw_ofi *)r;
	struct fi_msg msg = { .addr = FI_ADDR_UNSPEC };
	int err = 0;

	while (err == 0 && n-- > 0)
		err = (int)fi_recvmsg(o->ep, &msg, FI_COMPLETION | (n ? FI_MORE : 0));
	return err ? failed(&o->raw, "fi_recvmsg", err) : 0;
}

static int read_error(struct raw_ofi *o)
{
	struct fi_cq_err_entry e = { 0 };
	char text[128];
	int err;

	if (fi_cq_readerr(o->cq, &e, 0) < 0)
		return failed(&o->raw, "fi_cq_readerr", -EIO);
	err = e.err ? -e.err : -EIO;
	return worker_fail(o->raw.w, err, "raw-write: %s: %s", fi_strerror(-err),
			   fi_cq_strerror(o->cq, e.prov_errno, e.err_data, text, sizeof(text)));
}

static int ofi_take(struct raw *r, int most)
{
	struct raw_ofi *o = (struct raw_ofi *)r;
	struct fi_cq_data_entry e[ENTRIES];
	ssize_t n = fi_cq_read(o->cq, e, (size_t)(most < ENTRIES ? most : ENTRIES));

	if (n == -FI_EAGAIN)
		return 0;
	if (n < 0)
		return n == -FI_EAVAIL ? read_error(o) : failed(r, "fi_cq_read", (int)n);
	for (ssize_t i = 0; i < n; i++) {
		if (e[i].flags & FI_REMOTE_CQ_DATA)
			raw_came(r, (uint32_t)e[i].data);
		else
			r->done += (uintptr_t)e[i].op_context;
	}
	return 0;
}

const struct raw_ops raw_ofi = {
	.size = sizeof(struct raw_ofi),
	.listen = ofi_listen,
	.accept = ofi_accept,
	.connect = ofi_connect,
	.prepare = ofi_prepare,
	.close = ofi_close,
	.bye = ofi_bye,
	.post = ofi_post,
	.word = ofi_word,
	.take = ofi_take,
	.recvs = ofi_recvs,
};
