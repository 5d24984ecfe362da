/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A peer that nmt_perf must survive.
 *
 *	perf_foe client PORT CASE	connects to a server at 127.0.0.1
 *	perf_foe server FILE CASE	listens, writes its port to FILE, serves one client
 *
 * Exit code 0: the case was played to its end.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "wire.h"

#define FRAME (WIRE_HEAD_LEN + WIRE_BODY_MAX)

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static struct perf_params good_params(void)
{
	return (struct perf_params){
		.test = TEST_BW,
		.call = CALL_COPY,
		.wait = WAIT_SLEEP,
		.streams = 2,
		.threads = 1,
		.depth = 8,
		.size = 4096,
		.recv_size = 131072,
		.session = 77,
		.duration_ns = 1000000000,
		.stall_ns = 2000000000,
		.provider = "tcp",
	};
}

static size_t put_hello(uint8_t *buf)
{
	struct wire_hello h = { .kind = HELLO_CONTROL };

	wire_put_hello(buf, &h);
	return WIRE_HELLO_LEN;
}

static size_t put_message(uint8_t *buf, uint32_t type, const void *body)
{
	wire_put_head(buf, type);
	wire_put_body(type, buf + WIRE_HEAD_LEN, body);
	return WIRE_HEAD_LEN + (size_t)wire_body_len(type);
}

static int dial(uint16_t port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(port) };
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0)
		die("connect");
	return fd;
}

static void say(int fd, const void *buf, size_t len)
{
	if (send(fd, buf, len, MSG_NOSIGNAL) != (ssize_t)len && errno != EPIPE &&
	    errno != ECONNRESET)
		die("send");
}

/* Until the peer closes; in the end every one must. */
static void await_close(int fd)
{
	struct timeval tv = { .tv_sec = 20 };
	char buf[4096];
	ssize_t n;

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	while ((n = recv(fd, buf, sizeof(buf), 0)) > 0)
		;
	if (n < 0 && errno == EAGAIN)
		die("the peer does not close");
	close(fd);
}

/* ---- clients ---- */

static void client_garbage(uint16_t port)
{
	static const char text[] = "GET / HTTP/1.1\r\nHost: nobody\r\n\r\n 0123456789 0123456789";
	int fd = dial(port);

	say(fd, text, sizeof(text));
	await_close(fd);
}

static void client_version(uint16_t port)
{
	uint8_t buf[WIRE_HELLO_LEN];
	int fd = dial(port);

	put_hello(buf);
	buf[11] = 99;
	say(fd, buf, sizeof(buf));
	await_close(fd);
}

static void client_data_hello(uint16_t port)
{
	struct wire_hello h = { HELLO_DATA, 0, 1 };
	uint8_t buf[WIRE_HELLO_LEN];
	int fd = dial(port);

	wire_put_hello(buf, &h);
	say(fd, buf, sizeof(buf));
	await_close(fd);
}

static void client_truncated(uint16_t port)
{
	struct perf_params p = good_params();
	uint8_t buf[WIRE_HELLO_LEN + FRAME];
	size_t len = put_hello(buf);

	len += put_message(buf + len, MSG_PARAMS, &p);
	for (size_t n = 0; n < len; n++) {
		int fd = dial(port);

		say(fd, buf, n);
		shutdown(fd, SHUT_WR);
		await_close(fd);
	}
}

static void client_oversize(uint16_t port)
{
	uint8_t buf[WIRE_HELLO_LEN + 8] = { 0 };
	int fd = dial(port);

	put_hello(buf);
	buf[WIRE_HELLO_LEN + 3] = MSG_PARAMS;
	memset(buf + WIRE_HELLO_LEN + 4, 0xff, 4);
	say(fd, buf, sizeof(buf));
	await_close(fd);
}

static void client_flood(uint16_t port)
{
	uint8_t buf[WIRE_HELLO_LEN], junk[65536];
	int fd = dial(port);

	put_hello(buf);
	say(fd, buf, sizeof(buf));
	memset(junk, 0xa5, sizeof(junk));
	for (int i = 0; i < 16; i++)
		say(fd, junk, sizeof(junk));
	await_close(fd);
}

/* Frames in order, numbers out of all limits: a refusal, and the server asks for more. */
static void client_limits(uint16_t port)
{
	struct perf_params p = good_params();
	uint8_t buf[WIRE_HELLO_LEN + 2 * FRAME];
	struct wire_ready ready;
	size_t len = put_hello(buf);
	int fd = dial(port);

	p.size = UINT64_MAX;
	p.streams = UINT32_MAX;
	len += put_message(buf + len, MSG_PARAMS, &p);
	say(fd, buf, len);
	len = WIRE_HEAD_LEN + (size_t)wire_body_len(MSG_READY);
	if (recv(fd, buf, len, MSG_WAITALL) != (ssize_t)len || wire_get_head(buf) != MSG_READY ||
	    wire_get_body(MSG_READY, buf + WIRE_HEAD_LEN, &ready) < 0)
		die("no answer");
	if (ready.status != EINVAL || !ready.text[0] || ready.ports != 0) {
		fprintf(stderr, "status %u, \"%s\"\n", ready.status, ready.text);
		exit(1);
	}
	shutdown(fd, SHUT_WR);
	await_close(fd);
}

/* Begins a measurement; PORT of its first data stream. */
static int begin(uint16_t port, uint16_t *data)
{
	struct perf_params p = good_params();
	uint8_t buf[WIRE_HELLO_LEN + FRAME];
	struct wire_ready ready;
	size_t len = put_hello(buf);
	int fd = dial(port);

	len += put_message(buf + len, MSG_PARAMS, &p);
	say(fd, buf, len);
	len = WIRE_HEAD_LEN + (size_t)wire_body_len(MSG_READY);
	if (recv(fd, buf, len, MSG_WAITALL) != (ssize_t)len ||
	    wire_get_body(MSG_READY, buf + WIRE_HEAD_LEN, &ready) < 0 || ready.status)
		die("not ready");
	*data = ready.port[0];
	return fd;
}

static void client_vanish(uint16_t port)
{
	uint16_t data;
	int fd = begin(port, &data);

	close(fd);
}

/* Data streams that are no streams of the session are dropped; the set-up goes on. */
static void client_strangers(uint16_t port)
{
	static const char text[] = "this is not the hello that you look for, is it?";
	struct wire_hello h = { HELLO_DATA, 0, 78 };
	uint8_t buf[WIRE_HELLO_LEN];
	uint16_t data;
	int fd = begin(port, &data), stranger;

	stranger = dial(data);
	say(stranger, text, sizeof(text));
	await_close(stranger);
	wire_put_hello(buf, &h); /* another session */
	stranger = dial(data);
	say(stranger, buf, sizeof(buf));
	await_close(stranger);
	h = (struct wire_hello){ HELLO_DATA, 2, 77 }; /* a stream too many */
	wire_put_hello(buf, &h);
	stranger = dial(data);
	say(stranger, buf, sizeof(buf));
	await_close(stranger);
	close(fd);
}

/* Control messages in the wrong order. */
static void client_disorder(uint16_t port)
{
	struct wire_result result = { 0 };
	uint8_t buf[FRAME];
	uint16_t data;
	int fd = begin(port, &data);

	say(fd, buf, put_message(buf, MSG_RESULT, &result));
	await_close(fd);
}

/* Holds the server until it is killed, or the server gives up. */
static void client_slow(uint16_t port)
{
	uint8_t buf[WIRE_HELLO_LEN];
	int fd = dial(port);

	put_hello(buf);
	say(fd, buf, WIRE_HELLO_LEN - 1);
	await_close(fd);
}

/* ---- servers ---- */

static int listen_on(const char *file)
{
	struct sockaddr_in a = { .sin_family = AF_INET };
	socklen_t len = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	char temporary[4096];
	FILE *f;

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd < 0 || bind(fd, (struct sockaddr *)&a, len) < 0 || listen(fd, 5) < 0 ||
	    getsockname(fd, (struct sockaddr *)&a, &len) < 0)
		die("listen");
	snprintf(temporary, sizeof(temporary), "%s.tmp", file);
	f = fopen(temporary, "w");
	if (!f || fprintf(f, "%u\n", ntohs(a.sin_port)) < 0 || fclose(f) != 0 ||
	    rename(temporary, file) < 0)
		die(file);
	return fd;
}

static void answer(int fd, const char *what)
{
	struct wire_ready ready = { .status = EINVAL };
	struct wire_result result = { .status = ECONNRESET };
	uint8_t buf[FRAME];

	if (strcmp(what, "garbage") == 0) {
		say(fd, "HTTP/1.1 400 Bad Request\r\n\r\n", 28);
	} else if (strcmp(what, "endless") == 0) { /* a text without end */
		memset(ready.text, 'x', sizeof(ready.text));
		say(fd, buf, put_message(buf, MSG_READY, &ready));
	} else if (strcmp(what, "ports") == 0) { /* no ports though ready */
		ready.status = 0;
		say(fd, buf, put_message(buf, MSG_READY, &ready));
	} else if (strcmp(what, "early") == 0) { /* a result of nothing */
		say(fd, buf, put_message(buf, MSG_RESULT, &result));
	} else if (strcmp(what, "close") != 0) {
		fprintf(stderr, "no such case: %s\n", what);
		exit(2);
	}
}

static void serve(const char *file, const char *what)
{
	int listener = listen_on(file);
	int fd = accept(listener, NULL, NULL);

	if (fd < 0)
		die("accept");
	if (strcmp(what, "silent") != 0) {
		answer(fd, what);
		shutdown(fd, SHUT_WR);
	}
	await_close(fd);
}

static const struct {
	const char *name;
	void (*play)(uint16_t port);
} clients[] = {
	{ "garbage", client_garbage },	   { "version", client_version },
	{ "data", client_data_hello },	   { "truncated", client_truncated },
	{ "oversize", client_oversize },   { "flood", client_flood },
	{ "limits", client_limits },	   { "vanish", client_vanish },
	{ "strangers", client_strangers }, { "disorder", client_disorder },
	{ "slow", client_slow },
};

int main(int argc, char **argv)
{
	if (argc != 4)
		return 2;
	if (strcmp(argv[1], "server") == 0) {
		serve(argv[2], argv[3]);
		return 0;
	}
	for (size_t i = 0; i < sizeof(clients) / sizeof(clients[0]); i++) {
		if (strcmp(clients[i].name, argv[3]) == 0) {
			clients[i].play((uint16_t)atoi(argv[2]));
			return 0;
		}
	}
	fprintf(stderr, "no such case: %s\n", argv[3]);
	return 2;
}
