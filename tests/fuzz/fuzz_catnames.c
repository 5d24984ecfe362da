/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fuzz target of "nmt_cat files": what a peer sends to nmt_cat --dir. The input goes to the real
 * sink in pieces, into a folder of its own. Afterwards the folder must hold the files that a plain
 * reading of the input finds, no other ones, and nothing beside the folder may have been touched.
 */
#include "../../tools/nmt_cat/dirsink.c"
#include "../../tools/nmt_cat/fdio.c"
#include "../../tools/nmt_cat/names.c"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

#define must(cond) ((cond) ? (void)0 : abort())

#define OUTSIDE "outside" /* beside the folder */
#define INSIDE "folder"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The sink says what it does not like; thousands of times a second nobody reads it. */
void tk_warn(const char *fmt, ...)
{
	must(fmt[0]);
}

static char parent[] = "/tmp/nmt-fuzz-catnames-XXXXXX";
static int parent_fd = -1, dir_fd = -1;

static void remove_all(void)
{
	unlinkat(parent_fd, INSIDE, AT_REMOVEDIR);
	unlinkat(parent_fd, OUTSIDE, 0);
	rmdir(parent);
}

static void set_up(void)
{
	int fd;

	if (dir_fd >= 0)
		return;
	must(mkdtemp(parent));
	parent_fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	must(parent_fd >= 0 && !mkdirat(parent_fd, INSIDE, 0700));
	dir_fd = openat(parent_fd, INSIDE, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	fd = openat(parent_fd, OUTSIDE, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	must(dir_fd >= 0 && fd >= 0);
	close(fd);
	atexit(remove_all);
}

/* A name as it must be, told in another way than the tool does. */
static bool good_name(const uint8_t *name, size_t len)
{
	char text[NAMES_MAX + 1] = { 0 };

	memcpy(text, name, len);
	if (!len || strlen(text) != len || !strcmp(text, ".") || !strcmp(text, ".."))
		return false;
	for (size_t i = 0; i < len; i++)
		if (name[i] < ' ' || name[i] == 127)
			return false;
	return !strchr(text, '/');
}

/*
 * Read the input in one go. Returns how many whole files it begins with, *END: and they are all;
 * *BYTES: in them.
 */
static uint64_t whole_files(const uint8_t *p, size_t size, bool *end, uint64_t *bytes)
{
	struct names_header h;
	uint64_t files = 0;

	*end = false;
	for (*bytes = 0; size >= NAMES_HEADER && !names_get_header(p, &h); files++) {
		p += NAMES_HEADER;
		size -= NAMES_HEADER;
		if (!h.name_len) {
			*end = !size && h.size == files;
			return files;
		}
		if (size < h.name_len || !good_name(p, h.name_len) || size - h.name_len < h.size)
			return files;
		p += h.name_len + h.size;
		size -= h.name_len + h.size;
		*bytes += h.size;
	}
	return files;
}

/* Give the input to the sink; whether it took all of it and says that it is complete. */
static bool feed(struct sink *s, const uint8_t *data, size_t size, uint32_t seed)
{
	bool fine = true;

	dir_sink_ops.start(s);
	while (size && fine) {
		size_t n = 1 + (seed >> 16) % (seed & 0x400 ? 8 : 500);
		ssize_t r = dir_sink_ops.write(s, data, n < size ? n : size);

		seed = seed * 1103515245 + 12345;
		fine = r >= 0;
		must(!fine || (r > 0 && (size_t)r <= size));
		data += fine ? r : 0;
		size -= fine ? (size_t)r : 0;
	}
	fine = fine && !dir_sink_ops.finish(s);
	dir_sink_ops.stop(s);
	must(s->io.fd == -1);
	return fine;
}

/* How many files the folder has; removes them. */
static uint64_t clear_folder(uint64_t *bytes)
{
	DIR *d = fdopendir(dup(dir_fd));
	struct dirent *e;
	struct stat st;
	uint64_t n = 0;

	must(d);
	rewinddir(d);
	for (*bytes = 0; (e = readdir(d));) {
		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		must(good_name((uint8_t *)e->d_name, strlen(e->d_name)));
		must(!fstatat(dir_fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) && S_ISREG(st.st_mode));
		must(!(st.st_mode & (S_ISUID | S_ISGID | S_ISVTX)));
		must(!unlinkat(dir_fd, e->d_name, 0));
		*bytes += (uint64_t)st.st_size;
		n++;
	}
	closedir(d);
	return n;
}

static void nothing_beside(void)
{
	struct stat st;

	must(!fstatat(parent_fd, OUTSIDE, &st, 0) && !st.st_size);
	must(!fstatat(parent_fd, INSIDE, &st, 0) && S_ISDIR(st.st_mode));
	must(!fstat(parent_fd, &st) && st.st_nlink == 3);
}

static void receive(const uint8_t *data, size_t size, uint8_t flags)
{
	struct cat_options opt = { .force = flags & 1 };
	struct sink s = { .opt = &opt, .name = INSIDE, .dir = dir_fd, .io.fd = -1 };
	uint64_t files, bytes, here, left;
	bool end, fine;

	files = whole_files(data, size, &end, &bytes);
	fine = feed(&s, data, size, flags);
	must(s.got.files <= files && s.got.bytes <= bytes);
	must(!fine || (end && s.got.files == files && s.got.bytes == bytes));
	here = clear_folder(&left);
	if (opt.force) { /* a name may come again */
		must(fine == end);
		must(here <= s.got.files + 1);
	} else {
		must(here >= s.got.files && here <= s.got.files + 1 && left >= s.got.bytes);
	}
	nothing_beside();
}

static void codec(const uint8_t *data, size_t size)
{
	unsigned char buf[NAMES_HEADER];
	struct names_header h;
	struct names_answer a;

	if (size < NAMES_HEADER)
		return;
	if (!names_get_header(data, &h)) {
		names_put_header(buf, &h);
		must(!memcmp(buf, data, NAMES_HEADER));
	}
	if (!names_get_answer(data, &a)) {
		names_put_answer(buf, &a);
		must(!memcmp(buf, data, NAMES_ANSWER));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 1)
		return 0;
	set_up();
	codec(data + 1, size - 1);
	receive(data + 1, size - 1, data[0]);
	if (size - 1 <= NAMES_MAX)
		must(names_allowed((const char *)data + 1, size - 1) ==
		     good_name(data + 1, size - 1));
	return 0;
}
