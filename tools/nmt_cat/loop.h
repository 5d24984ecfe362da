/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The event loop: libnmt's domain, two descriptors of ours and signals, in one wait.
 */
#ifndef CAT_LOOP_H
#define CAT_LOOP_H

#include <nmt/nmt.h>

struct loop {
	struct nmt_domain *domain;
	int64_t spin; /* ns to spin in nmt_poll before sleeping; 0: not at all */
	int sigfd;
	int signal;		    /* that ended the wait; 0: none */
	uint32_t turns;		    /* since signals were looked at */
	const uint32_t *log_errors; /* how many errors the library has logged */
};

/*
 * SIGINT and SIGTERM come through the loop from here on; SIGPIPE is ignored. Open what may block
 * (a FIFO) before. 0 or -errno.
 */
int loop_init(struct loop *l, struct nmt_domain *domain, int64_t spin, const uint32_t *log_errors);
void loop_close(struct loop *l);

/*
 * Wait until the domain has events, IN_FD can be read, OUT_FD can be written (-1: not wanted) or
 * TIMEOUT (ns, NMT_FOREVER) is over. Returns the number of events, perhaps 0; -EINTR: a signal,
 * see l->signal; else -errno.
 */
int loop_wait(struct loop *l, struct nmt_event *events, int max, int in_fd, int out_fd,
	      int64_t timeout);

/* The domain's events only, without waiting. */
int loop_look(struct loop *l, struct nmt_event *events, int max);

#endif
