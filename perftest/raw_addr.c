/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What both kinds of raw-write need to come up: addresses, the buffer.
 */
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "raw.h"

int raw_address(struct worker *w, const char *text, uint16_t port, struct addrinfo **list)
{
	struct addrinfo hints = { .ai_flags = AI_NUMERICSERV | AI_PASSIVE,
				  .ai_socktype = SOCK_STREAM };
	char addr[NMT_ADDR_MAX + 256], service[8], *host = NULL;
	int rc;

	snprintf(service, sizeof(service), "%u", port);
	if (text && *text) {
		setup_addr(addr, sizeof(addr), text, port);
		*strrchr(addr, ':') = '\0';
		host = addr;
		if (host[0] == '[') {
			host++;
			host[strcspn(host, "]")] = '\0';
		}
	} else {
		hints.ai_family = AF_INET6;
	}
	rc = getaddrinfo(host, service, &hints, list);
	return rc ? worker_fail(w, -EADDRNOTAVAIL, "raw-write: %s: %s", text, gai_strerror(rc)) : 0;
}

int raw_ends(struct worker *w, struct addrinfo **to, struct addrinfo **from)
{
	const char *own = w->run->attr.local_addr;
	int err;

	*to = *from = NULL;
	err = raw_address(w, w->run->peer, w->run->ports[w->index], to);
	return err || !own ? err : raw_address(w, own, 0, from);
}

void raw_free_ends(struct addrinfo *to, struct addrinfo *from)
{
	if (to)
		freeaddrinfo(to);
	if (from)
		freeaddrinfo(from);
}

void raw_print_addr(const struct sockaddr *sa, char out[NMT_ADDR_MAX])
{
	socklen_t len = sa->sa_family == AF_INET ? sizeof(struct sockaddr_in)
						 : sizeof(struct sockaddr_in6);
	char host[NI_MAXHOST], port[NI_MAXSERV];

	if (getnameinfo(sa, len, host, sizeof(host), port, sizeof(port),
			NI_NUMERICHOST | NI_NUMERICSERV) == 0)
		snprintf(out, NMT_ADDR_MAX, sa->sa_family == AF_INET ? "%.60s:%.8s" : "[%.60s]:%.8s",
			 host, port);
}

int raw_open_buffer(struct worker *w, size_t *len)
{
	const struct perf_params *p = &w->run->p;
	struct raw *r = w->raw;

	r->window = p->rcvbuf > p->size ? p->rcvbuf / p->size * p->size : p->size;
	*len = (p->size + r->window + 4095) / 4096 * 4096;
	r->buf = aligned_alloc(4096, *len);
	if (!r->buf)
		return worker_fail(w, -ENOMEM, "raw-write: buffers: %s", strerror(ENOMEM));
	memset(r->buf, 1, p->size);
	memset(r->buf + p->size, 0, *len - p->size);
	return 0;
}
