/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * nmt_base: the same loads as nmt_perf's rr, conn, lat and bw, written directly on sockets and epoll with no
 * code of libnmt. perftest/compare holds libnmt against it.
 */
#ifndef NMT_BASE_H
#define NMT_BASE_H

#include <stdbool.h>
#include <stdint.h>

struct base_options {
	uint16_t port;	       /* client: where the server listens */
	const char *port_file; /* server: where to write the port */
	uint32_t streams;      /* rr: connections; conn: those in flight; bulk: buffers */
	uint32_t size;	       /* rr: bytes of a request and of a response */
	bool watched;	       /* pp: in an epoll set, too */
	uint64_t count;	       /* turns or connections to make; 0: duration_ns counts */
	int64_t duration_ns;
};

/* What the program itself did in the measured loop: one count for each kind of system call. */
struct base_counts {
	uint64_t turns;
	uint64_t wait, recv, send, other;
	int64_t elapsed_ns;
	int64_t typical_ns; /* pp: median of a round trip */
};

int rr_client(const struct base_options *o, struct base_counts *c);
int rr_server(const struct base_options *o, struct base_counts *c);
int conn_client(const struct base_options *o, struct base_counts *c);
int conn_server(const struct base_options *o, struct base_counts *c);
int bulk_client(const struct base_options *o, struct base_counts *c);
int bulk_server(const struct base_options *o, struct base_counts *c);
int pp_client(const struct base_options *o, struct base_counts *c);
int pp_server(const struct base_options *o, struct base_counts *c);

/* ---- base_sock.c: each ends the process with a message when it cannot do its work ---- */

int64_t base_now(void);
_Noreturn void base_die(const char *what);

/* A listener on a free loopback port, which is written to O->port_file. */
int base_listen(const struct base_options *o);

/* A connected socket, not blocking, without Nagle's algorithm. */
int base_connect(const struct base_options *o);
int base_accept(int listener);
int base_epoll(void);
void base_watch(int ep, int fd, uint32_t events, uint64_t data);

#endif
