/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Sizes, times and checksums as people write them: tools/common/units.c, nmt_cat/checksum.c.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "checksum.h"
#include "units.h"

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

static void sizes(void **state)
{
	static const struct {
		const char *text;
		uint64_t bytes;
	} good[] = {
		{ "0", 0 },
		{ "4096", 4096 },
		{ "7B", 7 },
		{ "64K", 65536 },
		{ "64k", 65536 },
		{ "64KiB", 65536 },
		{ "3mib", 3145728 },
		{ "2G", UINT64_C(2) << 30 },
		{ "1T", UINT64_C(1) << 40 },
		{ "15EiB", UINT64_C(15) << 60 },
		{ "18446744073709551615", UINT64_MAX },
	};
	static const char *const bad[] = {
		"",
		" 1",
		"1 ",
		"-1",
		"+1",
		"0x10",
		"K",
		"1KB",
		"1Q",
		"1.5K",
		"1KiBs",
		"16E",
		"18446744073709551616",
		"18014398509481984K",
	};
	uint64_t v;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		assert_int_equal(tk_parse_size(good[i].text, &v), 0);
		assert_int_equal(v, good[i].bytes);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(tk_parse_size(bad[i], &v), -EINVAL);
}

static void times(void **state)
{
	static const struct {
		const char *text;
		int64_t ns;
	} good[] = {
		{ "0", 0 },
		{ "2", 2000000000 },
		{ "1.5", 1500000000 },
		{ "0.000000001", 1 },
		{ "50us", 50000 },
		{ "1.5us", 1500 },
		{ "200ms", 200000000 },
		{ "10ns", 10 },
		{ "3s", 3000000000 },
		{ "2m", INT64_C(120000000000) },
		{ "1h", INT64_C(3600000000000) },
		{ "0.5h", INT64_C(1800000000000) },
	};
	static const char *const bad[] = {
		"",
		"-1",
		"s",
		"1.",
		".5",
		"1.s",
		"1d",
		"1 s",
		"nan",
		"inf",
		"1e3",
		"9223372036854775808ns",
		"9223372037s",
		"2562048h",
	};
	int64_t v;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		assert_int_equal(tk_parse_time(good[i].text, &v), 0);
		assert_int_equal(v, good[i].ns);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(tk_parse_time(bad[i], &v), -EINVAL);
}

static void numbers(void **state)
{
	uint64_t v;

	(void)state;
	assert_int_equal(tk_parse_number("7", 1, 7, &v), 0);
	assert_int_equal(v, 7);
	assert_int_equal(tk_parse_number("8", 1, 7, &v), -EINVAL);
	assert_int_equal(tk_parse_number("0", 1, 7, &v), -EINVAL);
	assert_int_equal(tk_parse_number("7x", 1, 7, &v), -EINVAL);
}

static void formats(void **state)
{
	char text[32];

	(void)state;
	tk_format_bytes(text, sizeof(text), 0);
	assert_string_equal(text, "0 B");
	tk_format_bytes(text, sizeof(text), 1023);
	assert_string_equal(text, "1023 B");
	tk_format_bytes(text, sizeof(text), 1536);
	assert_string_equal(text, "1.50 KiB");
	tk_format_bytes(text, sizeof(text), (1 << 20) - 1);
	assert_string_equal(text, "1.00 MiB");
	tk_format_bytes(text, sizeof(text), UINT64_MAX);
	assert_string_equal(text, "16.00 EiB");
	tk_format_rate(text, sizeof(text), 1.25 * (1 << 30));
	assert_string_equal(text, "1.25 GiB/s");
	tk_format_duration(text, sizeof(text), INT64_C(7400000000));
	assert_string_equal(text, "0:07");
	tk_format_duration(text, sizeof(text), INT64_C(3725) * 1000000000);
	assert_string_equal(text, "1:02:05");
}

/* The empty input and "abc", as xxhsum -H3 and sha256sum print them. */
static void checksums(void **state)
{
	char text[CHECKSUM_TEXT];
	struct checksum c;

	(void)state;
	assert_int_equal(checksum_init(&c, CHECKSUM_XXH3), 0);
	checksum_text(&c, text, sizeof(text));
	assert_string_equal(text, "xxh3:2d06800538d394c2");
	checksum_update(&c, "ab", 2);
	checksum_update(&c, "c", 1);
	checksum_text(&c, text, sizeof(text));
	assert_string_equal(text, "xxh3:78af5f94892f3950");
	assert_int_equal(c.bytes, 3);
	checksum_free(&c);

	assert_int_equal(checksum_init(&c, CHECKSUM_SHA256), 0);
	checksum_update(&c, "abc", 3);
	checksum_text(&c, text, sizeof(text));
	assert_string_equal(text, "sha256:ba7816bf8f01cfea414140de5dae2223"
				  "b00361a396177a9cb410ff61f20015ad");
	checksum_free(&c);
}

static void expected_checksums(void **state)
{
	enum checksum_kind kind;
	char text[CHECKSUM_TEXT];

	(void)state;
	assert_int_equal(checksum_parse("2D06800538D394C2", &kind, text, sizeof(text)), 0);
	assert_int_equal(kind, CHECKSUM_XXH3);
	assert_string_equal(text, "xxh3:2d06800538d394c2");
	assert_int_equal(checksum_parse("xxh3:2d06800538d394c2", &kind, text, sizeof(text)), 0);
	assert_int_equal(checksum_parse("sha256:2d06800538d394c2", &kind, text, sizeof(text)),
			 -EINVAL);
	assert_int_equal(checksum_parse("2d06800538d394c", &kind, text, sizeof(text)), -EINVAL);
	assert_int_equal(checksum_parse("2d06800538d394cg", &kind, text, sizeof(text)), -EINVAL);
	assert_int_equal(checksum_parse("", &kind, text, sizeof(text)), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sizes),     cmocka_unit_test(times),
		cmocka_unit_test(numbers),   cmocka_unit_test(formats),
		cmocka_unit_test(checksums), cmocka_unit_test(expected_checksums),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
