/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Sinks for one file or standard output, for nothing, and for a receiver's answer.
 */
#include "sink.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "die.h"
#include "sender.h"

static void nothing(struct sink *s)
{
	(void)s;
}

/* ---- one file ----------------------------------------------------------------------------- */

static ssize_t file_write(struct sink *s, const void *buf, size_t len)
{
	ssize_t n = fdio_write(&s->io, buf, len);

	if (n > 0 || n == -EAGAIN)
		return n;
	tk_warn("cannot write to %s: %s", s->name, strerror(n ? (int)-n : ENOSPC));
	s->broken = true;
	return CAT_TOLD;
}

static int file_finish(struct sink *s)
{
	int err = fdio_settle(&s->io);

	if (!err)
		return 0;
	tk_warn("cannot write to %s: %s", s->name, strerror(-err));
	s->broken = true;
	return CAT_TOLD;
}

static const struct sink_ops file_sink_ops = { nothing, file_write, file_finish, nothing };

/* Opening anything but a regular file destroys nothing. */
static bool may_open(const char *name)
{
	struct stat st;

	return stat(name, &st) == 0 && !S_ISREG(st.st_mode);
}

static int open_output(const char *name, bool force)
{
	int flags = O_WRONLY | O_CREAT | O_CLOEXEC | (force ? O_TRUNC : O_EXCL);
	int fd = may_open(name) ? open(name, O_WRONLY | O_CLOEXEC) : open(name, flags, 0666);

	if (fd >= 0)
		return fd;
	if (errno == EEXIST)
		tk_warn("%s exists; use --force to overwrite it", name);
	else
		tk_warn("cannot open %s: %s", name, strerror(errno));
	return -errno;
}

static int open_file(struct sink *s)
{
	const char *name = s->opt->output;
	bool is_stdout = !name || strcmp(name, "-") == 0;
	int fd = is_stdout ? STDOUT_FILENO : open_output(name, s->opt->force);

	if (fd < 0)
		return fd;
	s->ops = &file_sink_ops;
	s->name = is_stdout ? "standard output" : name;
	fdio_init(&s->io, fd, s->opt->block);
	return 0;
}

/* ---- nothing ------------------------------------------------------------------------------ */

static ssize_t null_write(struct sink *s, const void *buf, size_t len)
{
	(void)s;
	(void)buf;
	return (ssize_t)len;
}

static int null_finish(struct sink *s)
{
	(void)s;
	return 0;
}

static const struct sink_ops null_sink_ops = { nothing, null_write, null_finish, nothing };

/* ---- the answer to --names ---------------------------------------------------------------- */

static void answer_start(struct sink *s)
{
	s->head_at = 0;
}

static ssize_t answer_write(struct sink *s, const void *buf, size_t len)
{
	size_t room = NAMES_ANSWER - s->head_at;

	if (len > room) {
		tk_warn("the receiver sent more than its answer; does it run with --dir?");
		return CAT_TOLD;
	}
	memcpy(s->head + s->head_at, buf, len);
	s->head_at += len;
	return (ssize_t)len;
}

static int answer_finish(struct sink *s)
{
	if (s->head_at == NAMES_ANSWER && names_get_answer(s->head, &s->got) == 0)
		return 0;
	tk_warn("the receiver did not confirm the files; does it run with --dir?");
	return CAT_TOLD;
}

static const struct sink_ops answer_sink_ops = { answer_start, answer_write, answer_finish,
						 nothing };

/* ---- choice ------------------------------------------------------------------------------- */

static int open_dir(struct sink *s)
{
	s->ops = &dir_sink_ops;
	s->name = s->opt->dir;
	s->dir = open(s->opt->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (s->dir >= 0)
		return 0;
	tk_warn("cannot open folder %s: %s", s->name, strerror(errno));
	return -errno;
}

int sink_open(struct sink *s, const struct cat_options *o)
{
	memset(s, 0, sizeof(*s));
	s->opt = o;
	s->dir = s->io.fd = -1;
	if (o->dir)
		return open_dir(s);
	if (o->names)
		s->ops = &answer_sink_ops;
	else if (o->send_only)
		s->ops = &null_sink_ops;
	else
		return open_file(s);
	return 0;
}

void sink_close(struct sink *s)
{
	if (s->io.fd > STDERR_FILENO)
		close(s->io.fd);
	if (s->dir >= 0)
		close(s->dir);
	s->io.fd = s->dir = -1;
}
