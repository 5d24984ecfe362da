/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The bytes to send.
 */
#include "source.h"

#include <errno.h>
#include <fcntl.h>
#include <nmt/nmt.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "die.h"

static bool is_stdin(const char *name)
{
	return strcmp(name, "-") == 0;
}

static int file_operands(const struct cat_options *o)
{
	return o->n_files ? o->n_files : 1;
}

static const char *operand(const struct cat_options *o, int i)
{
	return o->n_files ? o->files[i] : "-";
}

/* ---- before connecting -------------------------------------------------------------------- */

static int complain(const char *name, int err)
{
	tk_warn("cannot read %s: %s", is_stdin(name) ? "standard input" : name, strerror(-err));
	return err;
}

static int look_at(const char *name, struct stat *st)
{
	int r = is_stdin(name) ? fstat(STDIN_FILENO, st) : stat(name, st);

	if (r < 0 || (!is_stdin(name) && access(name, R_OK) < 0))
		return complain(name, -errno);
	if (S_ISDIR(st->st_mode))
		return complain(name, -EISDIR);
	return 0;
}

/* Names must be ones that a receiver accepts, and differ. */
static int check_name(const struct cat_options *o, int i, const struct stat *st)
{
	const char *base = names_base(o->files[i]);

	if (!S_ISREG(st->st_mode) || !names_allowed(base, strlen(base))) {
		tk_warn("--names: '%s' is no regular file, or its name cannot be sent",
			o->files[i]);
		return -EINVAL;
	}
	for (int k = 0; k < i; k++) {
		if (strcmp(names_base(o->files[k]), base) == 0) {
			tk_warn("--names: two files are called '%s'", base);
			return -EINVAL;
		}
	}
	return 0;
}

static uint64_t bytes_of(const char *name, const struct stat *st)
{
	off_t at = is_stdin(name) ? lseek(STDIN_FILENO, 0, SEEK_CUR) : 0;

	return at > 0 && at < st->st_size ? (uint64_t)(st->st_size - at) : (uint64_t)st->st_size;
}

int source_check(const struct cat_options *o, uint64_t *total)
{
	bool known = true;
	struct stat st;
	int err;

	*total = 0;
	for (int i = 0; cat_sends(o) && i < file_operands(o); i++) {
		err = look_at(operand(o, i), &st);
		if (!err && o->names)
			err = check_name(o, i, &st);
		if (err)
			return err;
		known = known && S_ISREG(st.st_mode);
		*total += bytes_of(operand(o, i), &st);
	}
	if (!known)
		*total = 0;
	return 0;
}

/* ---- while sending ------------------------------------------------------------------------ */

void source_open(struct source *s, const struct cat_options *o)
{
	memset(s, 0, sizeof(*s));
	s->opt = o;
	s->io.fd = -1;
	s->end = !cat_sends(o);
}

static void close_file(struct source *s)
{
	if (s->io.fd > STDERR_FILENO)
		close(s->io.fd);
	s->io.fd = -1;
}

void source_close(struct source *s)
{
	close_file(s);
	s->end = true;
}

static void queue_header(struct source *s, const struct names_header *h, const char *name)
{
	names_put_header(s->head, h);
	memcpy(s->head + NAMES_HEADER, name, h->name_len);
	s->head_len = NAMES_HEADER + h->name_len;
	s->head_at = 0;
}

static int queue_file_header(struct source *s)
{
	const char *base = names_base(s->name);
	struct names_header h = { 0 };
	struct stat st;

	if (fstat(s->io.fd, &st) < 0)
		return complain(s->name, -errno);
	h.size = s->left = (uint64_t)st.st_size;
	h.mode = st.st_mode & 0777;
	h.name_len = (uint32_t)strlen(base);
	s->sent.files++;
	s->sent.bytes += h.size;
	queue_header(s, &h, base);
	return 0;
}

static int open_next(struct source *s)
{
	int fd = STDIN_FILENO;

	s->name = operand(s->opt, s->next++);
	if (!is_stdin(s->name))
		fd = open(s->name, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return complain(s->name, -errno);
	fdio_init(&s->io, fd, s->opt->block);
	return s->opt->names ? queue_file_header(s) : 0;
}

/* Go on to the next file or to the end. */
static int advance(struct source *s)
{
	struct names_header end = { .size = s->sent.files };

	close_file(s);
	if (s->next < file_operands(s->opt))
		return open_next(s);
	s->end = true;
	if (s->opt->names)
		queue_header(s, &end, "");
	return 0;
}

static size_t take_head(struct source *s, void *buf, size_t len)
{
	size_t n = s->head_len - s->head_at;

	n = n < len ? n : len;
	memcpy(buf, s->head + s->head_at, n);
	s->head_at += (uint32_t)n;
	return n;
}

/* Bytes of the open file; 0: its end. */
static ssize_t read_file(struct source *s, void *buf, size_t len)
{
	ssize_t n;

	if (s->opt->names && s->left < len)
		len = s->left;
	n = len ? fdio_read(&s->io, buf, len) : 0;
	if (n < 0 && n != -EAGAIN)
		return complain(s->name, (int)n);
	if (n == 0 && s->opt->names && s->left) {
		tk_warn("%s became shorter while it was sent", s->name);
		return -EIO;
	}
	if (n > 0 && s->opt->names)
		s->left -= (uint64_t)n;
	return n;
}

ssize_t source_read(struct source *s, void *buf, size_t len)
{
	ssize_t n;

	for (;;) {
		if (s->head_at < s->head_len)
			return (ssize_t)take_head(s, buf, len);
		n = s->io.fd >= 0 ? read_file(s, buf, len) : 0;
		if (n != 0 || s->end)
			return n;
		n = advance(s);
		if (n < 0)
			return n;
	}
}

int source_fd(const struct source *s)
{
	return s->io.disk ? -1 : s->io.fd;
}

bool source_is_tty(const struct source *s)
{
	return s->io.fd >= 0 && s->io.tty;
}
