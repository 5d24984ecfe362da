/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Descriptors that other processes gave us: read and write them without waiting, and without
 * setting O_NONBLOCK, which would change them for everybody who shares them.
 */
#ifndef CAT_FDIO_H
#define CAT_FDIO_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct fdio {
	int fd;	   /* -1: none */
	bool disk; /* regular file or block device: never waits long, cannot be polled */
	bool tty;
	bool nowait; /* RWF_NOWAIT has not been refused */
};

/* Look at FD; -1 is allowed. A pipe is made as large as SIZE where that is permitted. */
void fdio_init(struct fdio *io, int fd, size_t size);

/* Bytes read; 0: end; -EAGAIN: poll for POLLIN first; else -errno. */
ssize_t fdio_read(struct fdio *io, void *buf, size_t len);

/* Bytes written, above 0; -EAGAIN: poll for POLLOUT first; else -errno. */
ssize_t fdio_write(struct fdio *io, const void *buf, size_t len);

/*
 * Errors that only a close shows (NFS, quota), without closing: 0 or -errno. Descriptors that
 * cannot be duplicated or closed twice are left alone.
 */
int fdio_settle(const struct fdio *io);

#endif
