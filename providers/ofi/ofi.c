/* SPDX-License-Identifier: BSD-2-Clause */
/* Provider "ofi": the ops tables. */
#include "ofi.h"

const struct nmti_rma_ops nmti_ofi_ops = {
	.open = nmti_ofi_open,
	.close = nmti_ofi_close,
	.reg = nmti_ofi_reg,
	.dereg = nmti_ofi_dereg,
	.address = nmti_ofi_address,
	.fit = nmti_ofi_fit,
	.connect = nmti_ofi_connect,
	.expect = nmti_ofi_expect,
	.write = nmti_ofi_write,
	.send = nmti_ofi_send,
	.ask = nmti_ofi_ask,
	.kick = nmti_ofi_kick,
	.poll = nmti_ofi_poll,
	.arm = nmti_ofi_arm,
	.fence = nmti_ofi_fence,
	.destroy = nmti_ofi_destroy,
	.describe = nmti_ofi_describe,
};

const struct nmt_provider_ops nmti_provider_ofi = {
	.abi = NMT_PROVIDER_ABI,
	.size = sizeof(nmti_provider_ofi),
	.name = "ofi",
	.caps = OFI_CAPS,
	.rank = 20,
	.max_rails = 16,
	.query = nmti_ofi_query,
	.absent = nmti_ofi_absent,
	.rma = &nmti_ofi_ops,
};

#ifdef NMT_MODULE
__attribute__((visibility("default"))) const struct nmt_provider_ops *nmt_provider_module(void)
{
	return &nmti_provider_ofi;
}
#endif
