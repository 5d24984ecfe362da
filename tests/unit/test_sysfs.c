/* SPDX-License-Identifier: BSD-2-Clause */
/* Numbers and PCI addresses as sysfs has them, from a folder of the test's own. */
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void write_file(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

static void test_number(void **state)
{
	char path[] = "/tmp/nmt-sysfs.XXXXXX";
	int fd = mkstemp(path);

	(void)state;
	assert_true(fd >= 0);
	close(fd);
	write_file(path, "-17\n");
	assert_int_equal(nmti_sysfs_number(path, 5), -17);
	write_file(path, "unknown\n");
	assert_int_equal(nmti_sysfs_number(path, 5), 5);
	write_file(path, "");
	assert_int_equal(nmti_sysfs_number(path, 5), 5);
	unlink(path);
	assert_int_equal(nmti_sysfs_number(path, 5), 5);
}

static void expect_pci(const char *target, const char *want)
{
	char dir[] = "/tmp/nmt-sysfs.XXXXXX", path[64], got[16] = "none";

	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/device", dir);
	if (target)
		assert_int_equal(symlink(target, path), 0);
	nmti_sysfs_pci(path, got, sizeof(got));
	assert_string_equal(got, want);
	unlink(path);
	rmdir(dir);
}

static void test_pci(void **state)
{
	(void)state;
	expect_pci("../../../0000:3b:00.1", "0000:3b:00.1");
	expect_pci("0000:3b:00.1", "0000:3b:00.1");
	expect_pci("../../virtio0", "none");
	expect_pci(NULL, "none");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_number),
		cmocka_unit_test(test_pci),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
