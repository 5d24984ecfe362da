/* SPDX-License-Identifier: BSD-2-Clause */
/* The TCP sockets of this process, found from outside the library, to break one of them. */
#include <arpa/inet.h>
#include <dirent.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "suite.h"

int socks_open_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int n = -3; /* ".", ".." and the directory itself */

	if (!dir)
		return 0;
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

static uint16_t port_of(const struct sockaddr_storage *ss)
{
	if (ss->ss_family == AF_INET)
		return ntohs(((const struct sockaddr_in *)ss)->sin_port);
	if (ss->ss_family == AF_INET6)
		return ntohs(((const struct sockaddr_in6 *)ss)->sin6_port);
	return 0;
}

/*
 * The suite cuts control channels, which are on loopback. The datagram fabric has one TCP connection for
 * all streams, on another address. A cut of that one is a lost path for each of them, which libfabric
 * 1.17 tells late, and not to both ends: streams come back from it, but not within the time limits of
 * the tests of cut control channels.
 */
static bool of_fabric(const struct sockaddr_storage *ss)
{
	const struct sockaddr_in *in = (const void *)ss;

	return getenv("NMT_OFI_ENDPOINT") && ss->ss_family == AF_INET &&
	       ntohl(in->sin_addr.s_addr) >> 24 != 127;
}

static bool look(int fd, struct sock *s)
{
	struct sockaddr_storage local, peer;
	socklen_t l = sizeof(local), p = sizeof(peer);

	if (getsockname(fd, (struct sockaddr *)&local, &l) ||
	    getpeername(fd, (struct sockaddr *)&peer, &p))
		return false;
	if (of_fabric(&local))
		return false;
	*s = (struct sock){ .fd = fd, .local = port_of(&local), .peer = port_of(&peer) };
	return s->local && s->peer;
}

int socks_list(struct sock *out, int max)
{
	DIR *dir = opendir("/proc/self/fd");
	struct dirent *de;
	int n = 0;

	while (dir && n < max && (de = readdir(dir)))
		if (de->d_name[0] != '.' && look(atoi(de->d_name), &out[n]))
			n++;
	if (dir)
		closedir(dir);
	return n;
}

uint16_t socks_port(const char *addr)
{
	const char *colon = strrchr(addr, ':');

	return colon ? (uint16_t)atoi(colon + 1) : 0;
}

bool socks_cut(uint16_t listener_port, bool data)
{
	struct sock socks[256];
	int n = socks_list(socks, ARRAY_LEN(socks));

	for (int i = 0; i < n; i++) {
		bool first = socks[i].local == listener_port || socks[i].peer == listener_port;

		if (first != data)
			return shutdown(socks[i].fd, SHUT_RDWR) == 0;
	}
	return false;
}

bool socks_cut_any(unsigned int n)
{
	struct sock socks[256];
	int count = socks_list(socks, ARRAY_LEN(socks));

	return count && shutdown(socks[n % (unsigned int)count].fd, SHUT_RDWR) == 0;
}

/* ---- a thread that cuts ---- */

/*
 * In bunches with a rest behind each, in which a channel has time to come back: a client that is cut off
 * without a word ten times in a row takes its stream for gone (libnmt/rejoin.c).
 */
#define CUTS 4u
#define CUT_US 3000u
#define REST_US 30000u

static struct {
	pthread_t thread;
	bool running;
	int stop, cuts;
	uint64_t rng;
} cutter;

static void *cut_often(void *arg)
{
	for (unsigned int i = 1; !__atomic_load_n(&cutter.stop, __ATOMIC_ACQUIRE); i++) {
		usleep(i % CUTS ? (useconds_t)rng_below(&cutter.rng, CUT_US) : REST_US);
		if (socks_cut_any((unsigned int)rng_next(&cutter.rng)))
			__atomic_fetch_add(&cutter.cuts, 1, __ATOMIC_RELAXED);
	}
	return arg;
}

void socks_cutter_start(uint64_t seed)
{
	cutter.stop = cutter.cuts = 0;
	cutter.rng = seed;
	cutter.running = !pthread_create(&cutter.thread, NULL, cut_often, NULL);
	assert_true(cutter.running);
}

int socks_cutter_cuts(void)
{
	return __atomic_load_n(&cutter.cuts, __ATOMIC_RELAXED);
}

void socks_cutter_stop(void)
{
	if (!cutter.running)
		return;
	__atomic_store_n(&cutter.stop, 1, __ATOMIC_RELEASE);
	pthread_join(cutter.thread, NULL);
	cutter.running = false;
}
