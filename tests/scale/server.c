/* SPDX-License-Identifier: BSD-2-Clause */
/* The server process: accepts until told that no more come, then waits for the last one to end. */
#include <poll.h>
#include <unistd.h>

#include "scale.h"

static int accept_all(struct side *side, struct nmt_listener *l)
{
	struct nmt_stream *s;
	struct conn *c;
	int ret;

	while (!(ret = nmt_accept(l, NULL, &s))) {
		c = conn_new(side, 0);
		if (!c)
			return -ENOMEM;
		c->s = s;
		nmt_stream_set_user(s, c);
	}
	if (ret != -EAGAIN)
		side_fail(side, 0, "nmt_accept gives %d", ret);
	return 0;
}

static int on_event(struct side *side, const struct nmt_event *ev)
{
	return ev->listener ? accept_all(side, ev->listener) : 0;
}

/* The client closes its end of the pipe when it has had the end of all its streams. */
static bool told_to_end(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, 0) > 0;
}

static int serve(struct side *side, int end_fd)
{
	int64_t patience = 0;
	int ret = 0;

	while (!ret) {
		ret = side_turn(side, 50 * MS);
		if (!told_to_end(end_fd))
			continue;
		if (side->open == 0)
			break;
		patience = patience ? patience : now_ns() + 10 * SEC;
		if (now_ns() > patience) {
			side_fail(side, 0, "%u streams never ended", side->open);
			side_stuck(side);
			break;
		}
	}
	return ret;
}

int server_run(const struct options *opt, int addr_fd, int end_fd)
{
	char addr[NMT_ADDR_MAX] = "";
	struct nmt_stream_attr attr;
	struct nmt_listener *l;
	struct side side;
	int ret = side_open(&side, opt, false, 2048);

	if (ret)
		return ret;
	side.on_event = on_event;
	attr = side_attr(&side);
	ret = nmt_listen(side.dom, opt->listen, &attr, &l);
	if (!ret)
		ret = nmt_listener_addr(l, addr, sizeof(addr));
	if (write(addr_fd, addr, sizeof(addr)) != sizeof(addr) || ret)
		return ret ? ret : -EPIPE;
	ret = serve(&side, end_fd);
	nmt_listener_close(l);
	printf("server: %llu streams ended, %llu of them early by plan, %llu MiB sent, %llu wrong\n",
	       (unsigned long long)side.finished, (unsigned long long)side.odd,
	       (unsigned long long)(side.bytes >> 20), (unsigned long long)side.wrong);
	if (!ret && !side.open)
		ret = side_close(&side);
	return side.wrong ? -EBADMSG : ret;
}
