/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A provider module as small as one can be, for test_provider.c, and by MODULE_FAULT the ways in
 * which one can be wrong. It moves no bytes.
 */
#include <errno.h>

#include <nmt/provider.h>

#ifndef MODULE_NAME
#define MODULE_NAME "uring"
#endif

static int attach(struct nmt_stream *s, const struct nmti_path *path)
{
	(void)s, (void)path;
	return -EOPNOTSUPP;
}

static int end(struct nmt_stream *s, int how)
{
	(void)s, (void)how;
	return 0;
}

static void stop(struct nmt_stream *s)
{
	(void)s;
}

static const struct nmt_provider_ops ops = {
#ifdef MODULE_WRONG_ABI
	.abi = NMT_PROVIDER_ABI + 1,
#else
	.abi = NMT_PROVIDER_ABI,
#endif
	.size = sizeof(ops),
	.name = MODULE_NAME,
	.caps = NMT_CAP_RAW,
	.rank = 70,
	.default_mode = NMT_MODE_RAW,
	.max_rails = 1,
	.stream_size = 8,
	.data_socket = true,
	.attach = attach,
	.shutdown = end,
	.close_stream = stop,
	.abort = stop,
	.detach = stop,
};

#ifndef MODULE_NO_SYMBOL
const struct nmt_provider_ops *nmt_provider_module(void);

__attribute__((visibility("default"))) const struct nmt_provider_ops *nmt_provider_module(void)
{
#ifdef MODULE_NULL
	return NULL;
#endif
	return &ops;
}
#else
__attribute__((visibility("default"))) const void *not_the_symbol(void);

__attribute__((visibility("default"))) const void *not_the_symbol(void)
{
	return &ops;
}
#endif
