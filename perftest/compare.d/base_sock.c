/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Sockets on the loopback interface, for both loads.
 */
#include "base.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

int64_t base_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

void base_die(const char *what)
{
	fprintf(stderr, "nmt_base: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void write_port(const struct base_options *o, int fd)
{
	struct sockaddr_in a;
	socklen_t len = sizeof(a);
	char temporary[4096];
	FILE *f;

	if (getsockname(fd, (struct sockaddr *)&a, &len) < 0)
		base_die("getsockname");
	snprintf(temporary, sizeof(temporary), "%s.tmp", o->port_file);
	f = fopen(temporary, "w");
	if (!f || fprintf(f, "%u\n", ntohs(a.sin_port)) < 0 || fclose(f) != 0 ||
	    rename(temporary, o->port_file) < 0)
		base_die(o->port_file);
}

int base_listen(const struct base_options *o)
{
	struct sockaddr_in a = { .sin_family = AF_INET };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0 || listen(fd, SOMAXCONN) < 0)
		base_die("listen");
	write_port(o, fd);
	return fd;
}

static void no_delay(int fd)
{
	int on = 1;

	if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) < 0)
		base_die("TCP_NODELAY");
}

int base_connect(const struct base_options *o)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(o->port) };
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0)
		base_die("connect");
	if (fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
		base_die("fcntl");
	no_delay(fd);
	return fd;
}

int base_accept(int listener)
{
	int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);

	if (fd < 0 && (errno == EAGAIN || errno == ECONNABORTED))
		return -1;
	if (fd < 0)
		base_die("accept");
	no_delay(fd);
	return fd;
}

int base_epoll(void)
{
	int ep = epoll_create1(0);

	if (ep < 0)
		base_die("epoll_create1");
	return ep;
}

void base_watch(int ep, int fd, uint32_t events, uint64_t data)
{
	struct epoll_event ev = { .events = events, .data.u64 = data };

	if (epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev) < 0)
		base_die("epoll_ctl");
}
