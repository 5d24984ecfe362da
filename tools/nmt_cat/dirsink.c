/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The sink of --dir: takes the byte stream of names.h apart into files. What comes from the peer is
 * checked before anything is created; a file is never opened through a link.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "die.h"
#include "sender.h"
#include "sink.h"

static void dir_start(struct sink *s)
{
	memset(&s->got, 0, sizeof(s->got));
	s->head_at = 0;
	s->left = 0;
	s->end = false;
}

static void dir_stop(struct sink *s)
{
	if (s->io.fd >= 0) {
		tk_warn("%s/%s is not complete", s->name, (char *)s->head + NAMES_HEADER);
		close(s->io.fd);
	}
	s->io.fd = -1;
}

static ssize_t malformed(const char *what)
{
	tk_warn("%s", what);
	return CAT_TOLD;
}

static ssize_t file_failed(const struct sink *s, int err)
{
	const char *file = (const char *)s->head + NAMES_HEADER;

	if (err == EEXIST)
		tk_warn("%s/%s exists; use --force to overwrite it", s->name, file);
	else
		tk_warn("cannot write to %s/%s: %s", s->name, file, strerror(err));
	return CAT_TOLD;
}

/* The file has all its bytes. */
static ssize_t close_file(struct sink *s)
{
	int fd = s->io.fd;

	s->io.fd = -1;
	if (close(fd) < 0)
		return file_failed(s, errno);
	s->got.files++;
	s->got.bytes += s->header.size;
	return 0;
}

static ssize_t create_file(struct sink *s)
{
	char *name = (char *)s->head + NAMES_HEADER;
	int fd;

	if (!names_allowed(name, s->header.name_len))
		return malformed("the sender named a file that is not allowed here");
	name[s->header.name_len] = '\0';
	if (s->opt->force && unlinkat(s->dir, name, 0) < 0 && errno != ENOENT)
		return file_failed(s, errno);
	fd = openat(s->dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
		    s->header.mode);
	if (fd < 0)
		return file_failed(s, errno);
	fdio_init(&s->io, fd, 0);
	s->left = s->header.size;
	return s->left ? 0 : close_file(s);
}

static ssize_t take_end(struct sink *s)
{
	s->end = true;
	if (s->header.size != s->got.files)
		return malformed("the number of files is wrong");
	return 0;
}

/* Once enough bytes are there: look at the header, then at the name. */
static ssize_t parse_head(struct sink *s)
{
	if (s->head_at == NAMES_HEADER) {
		if (names_get_header(s->head, &s->header) < 0)
			return malformed(
				"no named files arrive; does the sender run with --names?");
		return s->header.name_len ? 0 : take_end(s);
	}
	if (s->head_at < NAMES_HEADER + s->header.name_len)
		return 0;
	s->head_at = 0;
	return create_file(s);
}

static ssize_t take_head(struct sink *s, const void *buf, size_t len)
{
	bool in_name = s->head_at >= NAMES_HEADER;
	size_t want = NAMES_HEADER + (in_name ? s->header.name_len : 0) - s->head_at;
	ssize_t err;

	len = len < want ? len : want;
	memcpy(s->head + s->head_at, buf, len);
	s->head_at += len;
	err = parse_head(s);
	return err < 0 ? err : (ssize_t)len;
}

static ssize_t take_data(struct sink *s, const void *buf, size_t len)
{
	ssize_t n = fdio_write(&s->io, buf, len < s->left ? len : s->left);
	ssize_t err;

	if (n <= 0)
		return file_failed(s, n ? (int)-n : ENOSPC);
	s->left -= (uint64_t)n;
	err = s->left ? 0 : close_file(s);
	return err < 0 ? err : n;
}

static ssize_t dir_write(struct sink *s, const void *buf, size_t len)
{
	if (s->end)
		return malformed("bytes follow the last file");
	return s->io.fd >= 0 ? take_data(s, buf, len) : take_head(s, buf, len);
}

static int dir_finish(struct sink *s)
{
	return s->end ? 0 : (int)malformed("the files ended early");
}

const struct sink_ops dir_sink_ops = { dir_start, dir_write, dir_finish, dir_stop };
