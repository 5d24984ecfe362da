/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Descriptors that other processes gave us. RWF_NOWAIT does it where the kernel has it for the
 * kind of file (pipes since Linux 6.4); elsewhere poll(2) comes first, and a write is kept so small
 * that it cannot wait once POLLOUT was seen (PIPE_BUF, see pipe(7)).
 */
#include "fdio.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

void fdio_init(struct fdio *io, int fd, size_t size)
{
	struct stat st;

	memset(io, 0, sizeof(*io));
	io->fd = fd;
	io->nowait = true;
	if (fd < 0 || fstat(fd, &st) < 0)
		return;
	io->disk = S_ISREG(st.st_mode) || S_ISBLK(st.st_mode);
	io->tty = isatty(fd);
	if (io->disk)
		posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
	if (S_ISFIFO(st.st_mode) && size <= INT_MAX)
		fcntl(fd, F_SETPIPE_SZ, (int)size);
}

static bool ready(int fd, short events)
{
	struct pollfd p = { .fd = fd, .events = events };

	return poll(&p, 1, 0) > 0;
}

static ssize_t result(ssize_t n)
{
	if (n >= 0)
		return n;
	return errno == EINTR ? -EAGAIN : -errno;
}

/* There is no poll(2) for these, so no -EAGAIN either. */
static ssize_t disk_result(ssize_t n)
{
	if (n >= 0)
		return n;
	return errno == EAGAIN ? -EIO : -errno;
}

/* Whether the last RWF_NOWAIT call was refused for this kind of file. */
static bool nowait_refused(struct fdio *io, ssize_t n)
{
	if (n < 0 && (errno == EOPNOTSUPP || errno == ENOSYS || errno == EINVAL || errno == ESPIPE))
		io->nowait = false;
	return !io->nowait;
}

ssize_t fdio_read(struct fdio *io, void *buf, size_t len)
{
	struct iovec iov = { buf, len };
	ssize_t n;

	if (io->disk)
		return disk_result(TEMP_FAILURE_RETRY(read(io->fd, buf, len)));
	if (io->nowait) {
		n = preadv2(io->fd, &iov, 1, -1, RWF_NOWAIT);
		if (!nowait_refused(io, n))
			return result(n);
	}
	if (!ready(io->fd, POLLIN))
		return -EAGAIN;
	return result(read(io->fd, buf, len));
}

ssize_t fdio_write(struct fdio *io, const void *buf, size_t len)
{
	struct iovec iov = { (void *)buf, len };
	ssize_t n;

	if (io->disk)
		return disk_result(TEMP_FAILURE_RETRY(write(io->fd, buf, len)));
	if (io->nowait) {
		n = pwritev2(io->fd, &iov, 1, -1, RWF_NOWAIT);
		if (!nowait_refused(io, n))
			return result(n);
	}
	if (!ready(io->fd, POLLOUT))
		return -EAGAIN;
	return result(write(io->fd, buf, len < PIPE_BUF ? len : PIPE_BUF));
}

int fdio_settle(const struct fdio *io)
{
	int copy = io->fd >= 0 && io->disk ? dup(io->fd) : -1;

	return copy >= 0 && close(copy) < 0 ? -errno : 0;
}
