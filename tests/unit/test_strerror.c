/* SPDX-License-Identifier: BSD-2-Clause */
/* Version, errors and reasons in words: each enum value has a text, and no two the same. */
#include <limits.h>

#include "unit.h"

/* Errors that nmt.h names as results. */
static const int documented[] = {
	EAGAIN, EBUSY, ECANCELED, ECONNABORTED, ECONNREFUSED, ECONNRESET, EFAULT, EINVAL, EMSGSIZE,
	ENOBUFS, ENODEV, ENOENT, EOPNOTSUPP, EPIPE, EPROTO, EPROTONOSUPPORT, ETIMEDOUT, ENOMEM,
	EMFILE, ENFILE, EACCES, EADDRINUSE, EADDRNOTAVAIL, EHOSTUNREACH, ENETUNREACH, ENOSPC,
	ENOTCONN, ENOPROTOOPT, EINTR, EBADF,
};

static void test_errors(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(documented); i++) {
		const char *text = nmt_strerror(documented[i]);

		assert_non_null(text);
		assert_string_not_equal(text, "unknown error");
		assert_in_range(strlen(text), 4, 200);
		assert_ptr_equal(text, nmt_strerror(-documented[i])); /* either sign */
		for (size_t k = 0; k < i; k++)
			assert_string_not_equal(text, nmt_strerror(documented[k]));
	}
}

/* Where libnmt uses an errno in a special way it says more than strerror(3). */
static void test_own_words(void **state)
{
	static const struct {
		int err;
		const char *word;
	} own[] = {
		{ EAGAIN, "event" },  { EBUSY, "use" },	     { ENOBUFS, "release" },
		{ ENODEV, "nmt_info" }, { EPROTO, "libnmt" }, { EMSGSIZE, "record" },
		{ EOPNOTSUPP, "provider" }, { ECONNRESET, "peer" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(own); i++) {
		assert_non_null(strstr(nmt_strerror(own[i].err), own[i].word));
		assert_string_not_equal(nmt_strerror(own[i].err), strerror(own[i].err));
	}
}

static void test_odd_errors(void **state)
{
	(void)state;
	assert_non_null(nmt_strerror(0));
	assert_string_equal(nmt_strerror(99999), "unknown error");
	assert_string_equal(nmt_strerror(INT_MAX), "unknown error");
	assert_non_null(nmt_strerror(INT_MIN));
}

static void test_reasons(void **state)
{
	(void)state;
	for (int i = NMT_WHY_NONE; i <= NMT_WHY_CLOSED; i++) {
		const char *text = nmt_reason_str((enum nmt_reason)i);

		assert_non_null(text);
		assert_string_not_equal(text, "unknown reason");
		for (int k = NMT_WHY_NONE; k < i; k++)
			assert_string_not_equal(text, nmt_reason_str((enum nmt_reason)k));
	}
	assert_string_equal(nmt_reason_str((enum nmt_reason)(NMT_WHY_CLOSED + 1)),
			    "unknown reason");
	assert_string_equal(nmt_reason_str((enum nmt_reason)-1), "unknown reason");
}

/* What a reason is shown in: nmt_stream_info.why_text, and DECLINE. */
static void test_reasons_fit(void **state)
{
	struct nmt_stream_info info;

	(void)state;
	for (int i = NMT_WHY_NONE; i <= NMT_WHY_CLOSED; i++)
		assert_true(strlen(nmt_reason_str((enum nmt_reason)i)) < sizeof(info.why_text));
}

static void test_version(void **state)
{
	char text[32];

	(void)state;
	assert_int_equal(nmt_version(), NMT_VERSION);
	snprintf(text, sizeof(text), "%d.%d.%d", NMT_VERSION_MAJOR, NMT_VERSION_MINOR,
		 NMT_VERSION_PATCH);
	assert_string_equal(nmt_version_string(), text);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_errors),	   cmocka_unit_test(test_own_words),
	cmocka_unit_test(test_odd_errors), cmocka_unit_test(test_reasons),
	cmocka_unit_test(test_reasons_fit), cmocka_unit_test(test_version),
};

UNIT_MAIN(tests)
