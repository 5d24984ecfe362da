/* SPDX-License-Identifier: BSD-2-Clause */
/* Look-ups on a helper thread: result, cancelling, many at once, no descriptor left. */
#include "unit.h"

static struct nmti_lookup *start(const char *text, int *fd)
{
	struct nmti_lookup *l;
	struct nmti_hostport hp;

	assert_int_equal(nmti_addr_parse(text, NMT_DEFAULT_PORT, &hp), 0);
	assert_int_equal(nmti_lookup_start(&hp, &l, fd), 0);
	assert_true(*fd >= 0);
	return l;
}

static void test_found(void **state)
{
	struct nmti_addr a[NMTI_ADDRS_MAX];
	char buf[NMT_ADDR_MAX];
	struct nmti_lookup *l;
	int fd, n;

	(void)state;
	l = start("localhost:7", &fd);
	assert_true(unit_fd_ready(fd));
	n = nmti_lookup_finish(l, a, NMTI_ADDRS_MAX);
	assert_in_range(n, 1, NMTI_ADDRS_MAX);
	assert_int_equal(nmti_addr_format(&a[0].ss, buf, sizeof(buf)), 0);
	assert_true(!strcmp(buf, "127.0.0.1:7") || !strcmp(buf, "[::1]:7"));
}

static void test_few_wanted(void **state)
{
	struct nmti_addr a[2];
	struct nmti_lookup *l;
	int fd;

	(void)state;
	memset(a, 0, sizeof(a));
	l = start("localhost:7", &fd);
	assert_true(unit_fd_ready(fd));
	assert_int_equal(nmti_lookup_finish(l, a, 1), 1);
	assert_int_equal(a[1].len, 0);
}

/* A name that no resolver would even ask for: the answer needs no network. */
static void test_not_found(void **state)
{
	struct nmti_addr a[NMTI_ADDRS_MAX];
	struct nmti_lookup *l;
	int fd;

	(void)state;
	l = start("no..such..name:7", &fd);
	assert_true(unit_fd_ready(fd));
	assert_int_equal(nmti_lookup_finish(l, a, NMTI_ADDRS_MAX), -ENOENT);
}

/* Who lets go last frees it, whichever side that is. The helper threads are seen to end. */
static void test_cancel(void **state)
{
	struct nmti_lookup *l;
	int before = unit_open_fds(), fd;
	int64_t limit = nmti_now() + UNIT_LIMIT;

	(void)state;
	for (int i = 0; i < 50; i++) {
		l = start("localhost:7", &fd);
		if (i % 2)
			assert_true(unit_fd_ready(fd));
		nmti_lookup_cancel(l);
	}
	while (unit_open_fds() != before)
		assert_true(nmti_now() < limit);
}

static void test_many(void **state)
{
	struct nmti_lookup *l[32];
	struct nmti_addr a[NMTI_ADDRS_MAX];
	char name[32];
	int fd[32];

	(void)state;
	for (int i = 0; i < 32; i++) {
		snprintf(name, sizeof(name), "localhost:%d", 1000 + i);
		l[i] = start(name, &fd[i]);
	}
	for (int i = 31; i >= 0; i--) {
		assert_true(unit_fd_ready(fd[i]));
		assert_true(nmti_lookup_finish(l[i], a, NMTI_ADDRS_MAX) > 0);
		assert_int_equal(ntohs(((struct sockaddr_in *)&a[0].ss)->sin_port), 1000 + i);
	}
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_cancel), /* first: no helper thread of another test lives */
	cmocka_unit_test(test_found),
	cmocka_unit_test(test_few_wanted),
	cmocka_unit_test(test_not_found),
	cmocka_unit_test(test_many),
};

UNIT_MAIN(tests)
