/* SPDX-License-Identifier: BSD-2-Clause */
/* Provider "verbs": the ops tables. */
#include "verbs.h"

const struct nmti_rma_ops nmti_verbs_ops = {
	.open = nmti_verbs_open,
	.close = nmti_verbs_close,
	.reg = nmti_verbs_reg,
	.dereg = nmti_verbs_dereg,
	.address = nmti_verbs_address,
	.fit = nmti_verbs_fit,
	.status = nmti_verbs_status,
	.connect = nmti_verbs_connect,
	.expect = nmti_verbs_expect,
	.write = nmti_verbs_write,
	.send = nmti_verbs_send,
	.ask = nmti_verbs_ask,
	.kick = nmti_verbs_kick,
	.poll = nmti_verbs_poll,
	.repost = nmti_verbs_repost,
	.arm = nmti_verbs_arm,
	.fence = nmti_verbs_fence,
	.destroy = nmti_verbs_destroy,
	.describe = nmti_verbs_describe,
};

const struct nmt_provider_ops nmti_provider_verbs = {
	.abi = NMT_PROVIDER_ABI,
	.size = sizeof(nmti_provider_verbs),
	.name = "verbs",
	.caps = VERBS_CAPS,
	.rank = 10,
	.max_rails = 16,
	.query = nmti_verbs_query,
	.rma = &nmti_verbs_ops,
};

#ifdef NMT_MODULE
__attribute__((visibility("default"))) const struct nmt_provider_ops *nmt_provider_module(void)
{
	return &nmti_provider_verbs;
}
#endif
