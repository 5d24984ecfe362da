/* SPDX-License-Identifier: BSD-2-Clause */
/* Reading and writing of whole set-up and control messages on a socket. */
#include "setup.h"

static int receive(int fd, void *buf, size_t len)
{
	ssize_t r = recv(fd, buf, len, MSG_DONTWAIT);

	if (r > 0)
		return (int)r;
	if (!r)
		return -ECONNRESET;
	return errno == EINTR ? -EAGAIN : -errno;
}

/* Read until HAVE bytes are there. */
static int fill(struct nmti_inbox *in, int fd, uint32_t want)
{
	while (in->have < want) {
		int r = receive(fd, in->buf + in->have, want - in->have);

		if (r < 0)
			return r;
		in->have += (uint32_t)r;
	}
	return 0;
}

static int read_magic(struct nmti_inbox *in, int fd)
{
	int rc = fill(in, fd, NMTI_MAGIC_LEN);

	if (nmti_magic_match(in->buf, in->have) < 0)
		return -EPROTO;
	if (rc)
		return rc;
	in->magic = true;
	in->have = 0;
	return 0;
}

int nmti_inbox_read(struct nmti_inbox *in, int fd, uint32_t limit)
{
	struct nmti_msg_hdr hdr;
	int rc = in->magic ? 0 : read_magic(in, fd), total;

	if (!rc)
		rc = fill(in, fd, NMTI_MSG_HDR_LEN);
	if (rc)
		return rc;
	total = nmti_msg_peek(in->buf, in->have, &hdr);
	if (!total) /* the header alone gives the length */
		total = NMTI_MSG_HDR_LEN + (int)hdr.len;
	if (total < 0)
		return total;
	if ((uint32_t)total > limit)
		return -EMSGSIZE;
	rc = fill(in, fd, (uint32_t)total);
	return rc ? rc : total;
}

void nmti_inbox_next(struct nmti_inbox *in)
{
	in->have = 0;
}

int nmti_msg_send(int fd, const void *msg, int len)
{
	ssize_t r;

	if (len < 0)
		return len;
	r = send(fd, msg, (size_t)len, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (r < 0)
		return -errno;
	/* The first bytes of a connection always fit into its send buffer. */
	return r == len ? 0 : -ENOBUFS;
}
