/* SPDX-License-Identifier: BSD-2-Clause */
/* Addresses as text: what parses to what, what is refused, and printing. */
#include <arpa/inet.h>

#include "unit.h"

static const struct {
	const char *text, *host;
	uint16_t port;
} good[] = {
	{ "host:1", "host", 1 },
	{ "host", "host", NMT_DEFAULT_PORT },
	{ "host:0", "host", 0 },
	{ "host:65535", "host", 65535 },
	{ "host:00080", "host", 80 },
	{ "a.b-c.example:80", "a.b-c.example", 80 },
	{ "127.0.0.1:5", "127.0.0.1", 5 },
	{ "127.0.0.1", "127.0.0.1", NMT_DEFAULT_PORT },
	{ ":5", "", 5 },
	{ ":0", "", 0 },
	{ "[::1]:5", "::1", 5 },
	{ "[::1]:0", "::1", 0 },
	{ "[::1]", "::1", NMT_DEFAULT_PORT },
	{ "[::]:7", "::", 7 },
	{ "::1", "::1", NMT_DEFAULT_PORT },
	{ "::", "::", NMT_DEFAULT_PORT },
	{ "2001:db8::2", "2001:db8::2", NMT_DEFAULT_PORT },
	{ "fe80::1%eth0", "fe80::1%eth0", NMT_DEFAULT_PORT },
	{ "[fe80::1%eth0]:9", "fe80::1%eth0", 9 },
	{ "[::ffff:1.2.3.4]:9", "::ffff:1.2.3.4", 9 },
};

static const char *const bad[] = {
	"", ":", "host:", "host:x", "host:80x", "host: 80", "host:-1", "host:+1", "host:65536",
	"host:99999999999999999999", "host:0x10", "[]", "[]:1", "[::1", "[::1]x", "[::1]:",
	"[::1]:x", "[::1]:65536", "[host]:1", "[1.2.3.4]:1", "::1]:1", "ho st:1", "host\n:1",
	"ho/st:1", "host[1]:1", "[[::1]]:1",
	/* More than one colon, and no IPv6 address: not a name that can be looked up. */
	"host:1:2", "1.2.3.4:5:6", "http://host:80", "a:b:c",
};

static void test_parse(void **state)
{
	struct nmti_hostport hp;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		memset(&hp, 0xee, sizeof(hp));
		if (nmti_addr_parse(good[i].text, NMT_DEFAULT_PORT, &hp))
			fail_msg("\"%s\" was refused", good[i].text);
		assert_string_equal(hp.host, good[i].host);
		assert_int_equal(hp.port, good[i].port);
	}
}

static void test_parse_bad(void **state)
{
	struct nmti_hostport hp;
	int failed = 0;

	(void)state;
	assert_int_equal(nmti_addr_parse(NULL, NMT_DEFAULT_PORT, &hp), -EINVAL);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		if (nmti_addr_parse(bad[i], NMT_DEFAULT_PORT, &hp) == -EINVAL)
			continue;
		print_error("\"%s\" was taken as host \"%s\" port %u\n", bad[i], hp.host, hp.port);
		failed++;
	}
	assert_int_equal(failed, 0);
}

static void test_parse_length(void **state)
{
	char text[NMTI_HOST_MAX + 16];
	struct nmti_hostport hp;

	(void)state;
	memset(text, 'a', sizeof(text));
	strcpy(text + NMTI_HOST_MAX - 1, ":1");
	assert_int_equal(nmti_addr_parse(text, NMT_DEFAULT_PORT, &hp), 0);
	assert_int_equal(strlen(hp.host), NMTI_HOST_MAX - 1);
	memset(text, 'a', sizeof(text));
	strcpy(text + NMTI_HOST_MAX, ":1");
	assert_int_equal(nmti_addr_parse(text, NMT_DEFAULT_PORT, &hp), -EINVAL);
	memset(text, 'a', sizeof(text));
	text[NMTI_HOST_MAX] = '\0';
	assert_int_equal(nmti_addr_parse(text, NMT_DEFAULT_PORT, &hp), -EINVAL);
}

static void numeric(const char *text, bool passive, struct nmti_addr *out, int n)
{
	struct nmti_hostport hp;

	assert_int_equal(nmti_addr_parse(text, NMT_DEFAULT_PORT, &hp), 0);
	assert_int_equal(nmti_addr_numeric(&hp, passive, out, NMTI_ADDRS_MAX), n);
}

static void check_text(const struct nmti_addr *addr, const char *want)
{
	char buf[NMT_ADDR_MAX];

	assert_int_equal(nmti_addr_format(&addr->ss, buf, sizeof(buf)), 0);
	assert_string_equal(buf, want);
}

static void test_numeric(void **state)
{
	struct nmti_addr a[NMTI_ADDRS_MAX];

	(void)state;
	numeric("1.2.3.4:5", false, a, 1);
	check_text(&a[0], "1.2.3.4:5");
	assert_int_equal(a[0].len, sizeof(struct sockaddr_in));
	numeric("[2001:db8::1]:65535", true, a, 1);
	check_text(&a[0], "[2001:db8::1]:65535");
	assert_int_equal(a[0].len, sizeof(struct sockaddr_in6));
	numeric("localhost:5", false, a, -EAGAIN);
}

/* ":port" is every address of this host to listen on, and loopback to connect to. */
static void test_any(void **state)
{
	struct nmti_addr a[NMTI_ADDRS_MAX];
	struct nmti_hostport hp;

	(void)state;
	numeric(":7", true, a, 2);
	check_text(&a[0], "[::]:7");
	check_text(&a[1], "0.0.0.0:7");
	numeric(":7", false, a, 2);
	check_text(&a[0], "[::1]:7");
	check_text(&a[1], "127.0.0.1:7");
	assert_int_equal(nmti_addr_parse(":7", NMT_DEFAULT_PORT, &hp), 0);
	assert_int_equal(nmti_addr_numeric(&hp, true, a, 1), -EINVAL);
}

static void test_format(void **state)
{
	struct nmti_addr a[NMTI_ADDRS_MAX];
	struct sockaddr_storage ss = { .ss_family = AF_MAX };
	char buf[NMT_ADDR_MAX];

	(void)state;
	numeric("[ffff:eeee:dddd:cccc:bbbb:aaaa:9999:8888]:65535", false, a, 1);
	check_text(&a[0], "[ffff:eeee:dddd:cccc:bbbb:aaaa:9999:8888]:65535");
	numeric("1.2.3.4:5", false, a, 1);
	assert_int_equal(nmti_addr_format(&a[0].ss, buf, strlen("1.2.3.4:5") + 1), 0);
	assert_int_equal(nmti_addr_format(&a[0].ss, buf, strlen("1.2.3.4:5")), -ENOSPC);
	assert_int_equal(nmti_addr_format(&ss, buf, sizeof(buf)), -EAFNOSUPPORT);
}

static void test_resolve(void **state)
{
	struct nmti_addr a[NMTI_ADDRS_MAX];
	struct nmti_hostport hp;
	int n;

	(void)state;
	assert_int_equal(nmti_addr_parse("localhost:9", NMT_DEFAULT_PORT, &hp), 0);
	n = nmti_addr_resolve(&hp, false, a, NMTI_ADDRS_MAX);
	assert_in_range(n, 1, NMTI_ADDRS_MAX);
	for (int i = 0; i < n; i++) {
		char buf[NMT_ADDR_MAX];

		assert_int_equal(nmti_addr_format(&a[i].ss, buf, sizeof(buf)), 0);
		assert_true(!strcmp(buf, "127.0.0.1:9") || !strcmp(buf, "[::1]:9"));
	}
	assert_int_equal(nmti_addr_resolve(&hp, false, a, 1), 1);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_parse),	cmocka_unit_test(test_parse_bad),
	cmocka_unit_test(test_parse_length), cmocka_unit_test(test_numeric),
	cmocka_unit_test(test_any),	cmocka_unit_test(test_format),
	cmocka_unit_test(test_resolve),
};

UNIT_MAIN(tests)
