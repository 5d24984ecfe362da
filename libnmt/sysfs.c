/* SPDX-License-Identifier: BSD-2-Clause */
/* What sysfs tells of devices, for the queries of providers and memory kinds. */
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "internal.h"

int nmti_sysfs_number(const char *path, int fallback)
{
	FILE *f = fopen(path, "re");
	int n;

	if (!f)
		return fallback;
	if (fscanf(f, "%d", &n) != 1)
		n = fallback;
	fclose(f);
	return n;
}

void nmti_sysfs_pci(const char *path, char *buf, size_t len)
{
	char target[PATH_MAX];
	const char *base;
	ssize_t n = readlink(path, target, sizeof(target) - 1);

	if (n <= 0)
		return;
	target[n] = '\0';
	base = strrchr(target, '/');
	base = base ? base + 1 : target;
	if (strlen(base) == strlen("0000:00:00.0"))
		snprintf(buf, len, "%.15s", base);
}
