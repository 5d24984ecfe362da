/* SPDX-License-Identifier: BSD-2-Clause */
/* Addresses as text: "host:port", "[v6]:port", "host", ":port"; parsing, printing, looking up. */
#include <arpa/inet.h>
#include <net/if.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>

#include "internal.h"

static int parse_port(const char *text, uint16_t *port)
{
	char *end;
	unsigned long n;

	if (*text < '0' || *text > '9')
		return -EINVAL;
	errno = 0;
	n = strtoul(text, &end, 10);
	if (errno || *end || n > UINT16_MAX)
		return -EINVAL;
	*port = (uint16_t)n;
	return 0;
}

static int take_host(struct nmti_hostport *hp, const char *text, size_t len)
{
	if (len >= sizeof(hp->host))
		return -EINVAL;
	memcpy(hp->host, text, len);
	hp->host[len] = '\0';
	return strpbrk(hp->host, " \t\r\n[]/") ? -EINVAL : 0;
}

/* A bare IPv6 address, perhaps with a scope, has no port. */
static int take_bare_v6(struct nmti_hostport *hp, const char *text)
{
	char bare[INET6_ADDRSTRLEN];
	struct in6_addr addr;

	snprintf(bare, sizeof(bare), "%.*s", (int)strcspn(text, "%"), text);
	if (inet_pton(AF_INET6, bare, &addr) != 1)
		return -EINVAL;
	return take_host(hp, text, strlen(text));
}

static int parse_bracketed(const char *text, struct nmti_hostport *hp)
{
	const char *close = strchr(text, ']');

	if (!close || close == text + 1 || take_host(hp, text + 1, (size_t)(close - text - 1)))
		return -EINVAL;
	if (!strchr(hp->host, ':'))
		return -EINVAL;
	if (!close[1])
		return 0;
	return close[1] == ':' ? parse_port(close + 2, &hp->port) : -EINVAL;
}

int nmti_addr_parse(const char *text, uint16_t port, struct nmti_hostport *hp)
{
	const char *colon;

	memset(hp, 0, sizeof(*hp));
	hp->port = port;
	if (!text || !*text)
		return -EINVAL;
	if (*text == '[')
		return parse_bracketed(text, hp);
	colon = strrchr(text, ':');
	if (!colon)
		return take_host(hp, text, strlen(text));
	if (strchr(text, ':') != colon)
		return take_bare_v6(hp, text);
	if (take_host(hp, text, (size_t)(colon - text)))
		return -EINVAL;
	return parse_port(colon + 1, &hp->port);
}

/* IPv4 as a dual-stack socket shows it, ::ffff:1.2.3.4, back to IPv4. */
static void unmap(struct sockaddr_storage *ss)
{
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)ss;
	struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = v6->sin6_port };

	if (ss->ss_family != AF_INET6 || !IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr))
		return;
	memcpy(&v4.sin_addr, &v6->sin6_addr.s6_addr[12], sizeof(v4.sin_addr));
	memcpy(ss, &v4, sizeof(v4));
}

int nmti_addr_format(const struct sockaddr_storage *full, char *buf, size_t len)
{
	struct sockaddr_storage copy = *full, *ss = &copy;
	char host[INET6_ADDRSTRLEN + IF_NAMESIZE + 1];
	char port[8];
	socklen_t sslen;
	int n;

	unmap(ss);
	sslen = ss->ss_family == AF_INET6 ? sizeof(struct sockaddr_in6)
					  : sizeof(struct sockaddr_in);
	if (getnameinfo((const struct sockaddr *)ss, sslen, host, sizeof(host), port, sizeof(port),
			NI_NUMERICHOST | NI_NUMERICSERV))
		return -EAFNOSUPPORT;
	n = snprintf(buf, len, ss->ss_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host, port);
	return n < 0 || (size_t)n >= len ? -ENOSPC : 0;
}

static int from_gai(int rc)
{
	switch (rc) {
	case EAI_AGAIN:
		return -EHOSTUNREACH;
	case EAI_MEMORY:
		return -ENOMEM;
	case EAI_SYSTEM:
		return errno ? -errno : -EIO;
	default:
		return -ENOENT;
	}
}

static int lookup(const struct nmti_hostport *hp, int flags, struct nmti_addr *out, int max)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = flags | AI_NUMERICSERV };
	struct addrinfo *list, *ai;
	char port[8];
	int rc, n = 0;

	snprintf(port, sizeof(port), "%u", hp->port);
	rc = getaddrinfo(hp->host[0] ? hp->host : NULL, port, &hints, &list);
	if (rc)
		return from_gai(rc);
	for (ai = list; ai && n < max; ai = ai->ai_next) {
		if (ai->ai_family != AF_INET && ai->ai_family != AF_INET6)
			continue;
		memcpy(&out[n].ss, ai->ai_addr, ai->ai_addrlen);
		out[n++].len = ai->ai_addrlen;
	}
	freeaddrinfo(list);
	return n ? n : -ENOENT;
}

/* ":port": one dual-stack socket to listen on, or both loopback addresses to connect to. */
static int any_host(const struct nmti_hostport *hp, bool passive, struct nmti_addr *out, int max)
{
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_port = htons(hp->port) };
	struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = htons(hp->port) };

	if (max < 2)
		return -EINVAL;
	if (!passive) {
		v6.sin6_addr = in6addr_loopback;
		v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	}
	memset(out, 0, 2 * sizeof(*out));
	memcpy(&out[0].ss, &v6, sizeof(v6));
	out[0].len = sizeof(v6);
	memcpy(&out[1].ss, &v4, sizeof(v4));
	out[1].len = sizeof(v4);
	return 2;
}

/* The usual case without getaddrinfo(3), which costs as much as a connection. */
static int plain_number(const struct nmti_hostport *hp, struct nmti_addr *out)
{
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&out->ss;
	struct sockaddr_in *v4 = (struct sockaddr_in *)&out->ss;

	memset(out, 0, sizeof(*out));
	if (inet_pton(AF_INET, hp->host, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons(hp->port);
		out->len = sizeof(*v4);
		return 1;
	}
	if (inet_pton(AF_INET6, hp->host, &v6->sin6_addr) == 1) {
		v6->sin6_family = AF_INET6;
		v6->sin6_port = htons(hp->port);
		out->len = sizeof(*v6);
		return 1;
	}
	return 0;
}

void nmti_addr_of_socket(int fd, bool peer, char buf[NMT_ADDR_MAX])
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);

	if (peer ? getpeername(fd, (struct sockaddr *)&ss, &len)
		 : getsockname(fd, (struct sockaddr *)&ss, &len))
		return;
	nmti_addr_format(&ss, buf, NMT_ADDR_MAX);
}

int nmti_addr_numeric(const struct nmti_hostport *hp, bool passive, struct nmti_addr *out, int max)
{
	int n;

	if (!hp->host[0])
		return any_host(hp, passive, out, max);
	if (max > 0 && plain_number(hp, out))
		return 1;
	n = lookup(hp, AI_NUMERICHOST, out, max);
	return n == -ENOENT ? -EAGAIN : n;
}

int nmti_addr_resolve(const struct nmti_hostport *hp, bool passive, struct nmti_addr *out, int max)
{
	int n = nmti_addr_numeric(hp, passive, out, max);

	return n == -EAGAIN ? lookup(hp, passive ? AI_PASSIVE : 0, out, max) : n;
}
