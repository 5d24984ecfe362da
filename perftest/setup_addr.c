/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Addresses with another port.
 */
#include <stdio.h>
#include <string.h>

#include "run.h"

/* Length of the host part of "host", "host:port", "[v6]:port", ":port" or a bare IPv6 number. */
static size_t host_len(const char *addr)
{
	const char *colon = strrchr(addr, ':');

	if (addr[0] == '[') {
		const char *end = strchr(addr, ']');

		return end ? (size_t)(end + 1 - addr) : strlen(addr);
	}
	if (!colon || strchr(addr, ':') != colon)
		return strlen(addr);
	return (size_t)(colon - addr);
}

void setup_addr(char *out, size_t len, const char *addr, uint16_t port)
{
	size_t n = host_len(addr);
	int bare_v6 = addr[0] != '[' && memchr(addr, ':', n) != NULL;

	snprintf(out, len, bare_v6 ? "[%.*s]:%u" : "%.*s:%u", (int)n, addr, port);
}

void setup_addr_default(char *out, size_t len, const char *addr, uint16_t port)
{
	if (addr[host_len(addr)] == ':')
		snprintf(out, len, "%s", addr);
	else
		setup_addr(out, len, addr, port);
}
