/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The program of README.md: one message, out of borrowed memory, in as a loan. Blocking set-up,
 * both ends in this process.
 *
 * run: "$EXAMPLES/hello" | grep -qx "hello, memory"
 */
#include <nmt/nmt.h>
#include <stdio.h>
#include <string.h>

int main(void)
{
	struct nmt_stream_attr attr = { .size = sizeof(attr), .flags = NMT_STREAM_BLOCKING };
	struct nmt_ctx *ctx;
	struct nmt_domain *dom;
	struct nmt_listener *listener;
	struct nmt_stream *client, *server;
	struct nmt_frag out = { .len = 14 }, in;
	struct nmt_event ev;
	char addr[NMT_ADDR_MAX];

	if (nmt_ctx_open(NULL, &ctx) || nmt_domain_open(ctx, "tcp", NULL, &dom) ||
	    nmt_mr_alloc(ctx, NMT_MEM_HOST, 4096, NMT_ACCESS_SEND, &out.mr) ||
	    nmt_listen(dom, "127.0.0.1:0", &attr, &listener) ||
	    nmt_listener_addr(listener, addr, sizeof(addr)) ||
	    nmt_connect(dom, addr, &attr, &client) || nmt_accept(listener, NULL, &server))
		return 1;
	memcpy(nmt_mr_addr(out.mr), "hello, memory\n", 14);
	nmt_send_mr(client, &out, 1, 0, 0); /* borrowed until NMT_EV_SENT */
	while (nmt_recv_frags(server, &in, 1, 0) != 1)
		nmt_poll(dom, &ev, 1, NMT_FOREVER);
	fwrite((char *)nmt_mr_addr(in.mr) + in.offset, 1, in.len, stdout);
	nmt_release(server, &in, 1); /* the loan goes back */
	return nmt_domain_close(dom) || nmt_mr_close(out.mr) || nmt_ctx_close(ctx);
}
