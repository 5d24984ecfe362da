/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The receiver of --dir against every way in which a peer can cut, split or bend the sequence of
 * files: nmt_cat/dirsink.c and names.c, no network.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "sender.h"
#include "sink.h"

struct fixture {
	char dir[64];
	struct cat_options opt;
	struct sink sink;
	unsigned char bytes[1024];
	size_t len;
};

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	snprintf(f->dir, sizeof(f->dir), "/tmp/nmt-dirsink.XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	f->opt.dir = f->dir;
	f->sink.ops = &dir_sink_ops;
	f->sink.opt = &f->opt;
	f->sink.name = f->dir;
	f->sink.io.fd = -1;
	f->sink.dir = open(f->dir, O_RDONLY | O_DIRECTORY);
	assert_true(f->sink.dir >= 0);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	f->sink.ops->stop(&f->sink);
	unlinkat(f->sink.dir, "one", 0);
	unlinkat(f->sink.dir, "two", 0);
	close(f->sink.dir);
	assert_int_equal(rmdir(f->dir), 0); /* nothing else was created */
	free(f);
	return 0;
}

static void add(struct fixture *f, const char *name, uint64_t size, const char *data)
{
	struct names_header h = { size, 0644, (uint32_t)strlen(name) };

	names_put_header(f->bytes + f->len, &h);
	memcpy(f->bytes + f->len + NAMES_HEADER, name, h.name_len);
	f->len += NAMES_HEADER + h.name_len;
	memcpy(f->bytes + f->len, data, strlen(data));
	f->len += strlen(data);
}

/* Give the bytes to the sink, STEP at a time. Bytes taken, or what the sink said. */
static ssize_t feed(struct fixture *f, size_t len, size_t step)
{
	size_t at = 0;
	ssize_t n;

	f->sink.ops->start(&f->sink);
	while (at < len) {
		n = f->sink.ops->write(&f->sink, f->bytes + at, len - at < step ? len - at : step);
		if (n < 0)
			return n;
		assert_true(n > 0);
		at += (size_t)n;
	}
	return (ssize_t)at;
}

static void expect_file(const struct fixture *f, const char *name, const char *data)
{
	char got[64] = "";
	int fd = openat(f->sink.dir, name, O_RDONLY);

	assert_true(fd >= 0);
	assert_int_equal(read(fd, got, sizeof(got)), strlen(data));
	assert_string_equal(got, data);
	close(fd);
}

static void two_files(struct fixture *f)
{
	f->len = 0;
	add(f, "one", 5, "first");
	add(f, "two", 0, "");
	add(f, "", 2, "");
}

/* Whatever the pieces in which it arrives, the files are the same. */
static void any_pieces(void **state)
{
	struct fixture *f = *state;

	two_files(f);
	for (size_t step = 1; step <= f->len; step++) {
		assert_int_equal(feed(f, f->len, step), f->len);
		assert_int_equal(f->sink.ops->finish(&f->sink), 0);
		assert_int_equal(f->sink.got.files, 2);
		assert_int_equal(f->sink.got.bytes, 5);
		expect_file(f, "one", "first");
		expect_file(f, "two", "");
		unlinkat(f->sink.dir, "one", 0);
		unlinkat(f->sink.dir, "two", 0);
	}
}

/* An end at any other byte is an error. */
static void any_cut(void **state)
{
	struct fixture *f = *state;

	two_files(f);
	for (size_t len = 0; len < f->len; len++) {
		assert_int_equal(feed(f, len, 7), len);
		assert_int_equal(f->sink.ops->finish(&f->sink), CAT_TOLD);
		f->sink.ops->stop(&f->sink);
		unlinkat(f->sink.dir, "one", 0);
		unlinkat(f->sink.dir, "two", 0);
	}
}

static void refused_names(void **state)
{
	static const char *const names[] = {
		".", "..", "/", "/x", "../x", "x/y", "x/", "\n", "\x7f"
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		f->len = 0;
		add(f, names[i], 1, "x");
		assert_int_equal(feed(f, f->len, 1000), CAT_TOLD);
	}
	assert_false(names_allowed("a\0b", 3));
	assert_false(names_allowed("", 0));
	assert_true(names_allowed("...", 3));
	assert_true(names_allowed("a b \xc3\xa4", 6));
}

/* Each field of the header out of its range, and every wrong byte of the magic. */
static void refused_headers(void **state)
{
	static const struct names_header bad[] = {
		{ UINT64_C(1) << 63, 0, 1 }, { 1, 01000, 1 }, { 1, 0, NAMES_MAX + 1 },
		{ 1, 0, UINT32_MAX },	     { 7, 0, 0 }, /* an end that counts wrong */
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		names_put_header(f->bytes, &bad[i]);
		assert_int_equal(feed(f, NAMES_HEADER, 1000), CAT_TOLD);
	}
	for (size_t i = 0; i < 8; i++) {
		two_files(f);
		f->bytes[i] ^= 1;
		assert_int_equal(feed(f, f->len, 1000), CAT_TOLD);
	}
}

static void no_overwrite(void **state)
{
	struct fixture *f = *state;

	f->len = 0;
	add(f, "one", 5, "first");
	add(f, "one", 6, "second");
	add(f, "", 2, "");
	assert_int_equal(feed(f, f->len, 1000), CAT_TOLD);
	expect_file(f, "one", "first");
	f->opt.force = true;
	assert_int_equal(feed(f, f->len, 1000), f->len);
	expect_file(f, "one", "second");
}

static void nothing_after_the_end(void **state)
{
	struct fixture *f = *state;

	f->len = 0;
	add(f, "", 0, "x");
	assert_int_equal(feed(f, f->len, 1), CAT_TOLD);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(any_pieces, set_up, tear_down),
		cmocka_unit_test_setup_teardown(any_cut, set_up, tear_down),
		cmocka_unit_test_setup_teardown(refused_names, set_up, tear_down),
		cmocka_unit_test_setup_teardown(refused_headers, set_up, tear_down),
		cmocka_unit_test_setup_teardown(no_overwrite, set_up, tear_down),
		cmocka_unit_test_setup_teardown(nothing_after_the_end, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
