/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The program of README.md: prints what one peer sends. The bytes are lent where they landed, over
 * RDMA where both ends have it, and given back.
 *
 * run: "$EXAMPLES/hello" 127.86.75.64:4000 >out & until echo "hello, memory" | nmt_cat -q -p auto 127.86.75.64:4000; do sleep 0.1; done; wait $!; grep -qx "hello, memory" out
 */
#include <errno.h>
#include <nmt/nmt.h>
#include <stdio.h>

int main(int argc, char **argv)
{
	struct nmt_stream_attr attr = { .size = sizeof(attr), .flags = NMT_STREAM_BLOCKING };
	struct nmt_ctx *ctx;
	struct nmt_domain *domain;
	struct nmt_listener *listener;
	struct nmt_stream *stream;
	struct nmt_frag frag;
	struct nmt_event event;
	int n;

	if (nmt_ctx_open(NULL, &ctx) || nmt_domain_open(ctx, "auto", NULL, &domain) ||
	    nmt_listen(domain, argc > 1 ? argv[1] : ":4000", &attr, &listener) ||
	    nmt_accept(listener, NULL, &stream))
		return 1;
	do {
		while ((n = nmt_recv_frags(stream, &frag, 1, 0)) == 1) {
			fwrite((char *)nmt_mr_addr(frag.mr) + frag.offset, 1, frag.len, stdout);
			nmt_release(stream, &frag, 1); /* the loan goes back */
		}
	} while (n == -EAGAIN && nmt_poll(domain, &event, 1, NMT_FOREVER) >= 0);
	return n || nmt_domain_close(domain) || nmt_ctx_close(ctx);
}
