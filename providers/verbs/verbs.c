/* SPDX-License-Identifier: BSD-2-Clause */
/* Provider "verbs": the ops table. */
#include "verbs.h"

#define CAPS (NMT_CAP_NEGOTIATED | NMT_CAP_RECORDS | NMT_CAP_PLACEMENT | NMT_CAP_ZEROCOPY |        \
	      NMT_CAP_RAILS | NMT_CAP_RESUME | NMT_CAP_REMOTE_FLUSH | NMT_CAP_DMABUF)

const struct nmti_rma_ops nmti_verbs_ops = {
	.name = "verbs",
	.caps = CAPS,
	.rank = 10,
	.max_rails = 16,
	.query = nmti_verbs_query,
	.open = nmti_verbs_open,
	.close = nmti_verbs_close,
	.reg = nmti_verbs_reg,
	.dereg = nmti_verbs_dereg,
	.address = nmti_verbs_address,
	.connect = nmti_verbs_connect,
	.expect = nmti_verbs_expect,
	.write = nmti_verbs_write,
	.send = nmti_verbs_send,
	.kick = nmti_verbs_kick,
	.poll = nmti_verbs_poll,
	.arm = nmti_verbs_arm,
	.fence = nmti_verbs_fence,
	.destroy = nmti_verbs_destroy,
	.describe = nmti_verbs_describe,
};
