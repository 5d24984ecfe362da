/* SPDX-License-Identifier: BSD-2-Clause */
/* Host b's end of a cable goes down and up. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cable.h"

#define GIDS 8
#define TRIES 2000 /* 10 ms each */

static void run(const char *command)
{
	if (system(command))
		fail_msg("%s", command);
}

void cable_out(const char *number)
{
	char text[128];

	snprintf(text, sizeof(text), "ip -n b link set veth_b%s down", number);
	run(text);
}

/* The carrier is there at once, the queue of the interface behind it a moment later. */
static void wait_up(const char *host, const char *number)
{
	char text[256];

	snprintf(text, sizeof(text),
		 "timeout 20 sh -c 'until ip -n %s -o link show veth_%s%s | grep -q \"state UP\"; "
		 "do sleep 0.01; done'", host, host, number);
	run(text);
}

static bool has_gid(const char *number, const char *gid)
{
	char path[128], line[64];
	bool found = false;

	for (int i = 0; i < GIDS && !found; i++) {
		FILE *f;

		snprintf(path, sizeof(path), "/sys/class/infiniband/rxe_b%s/ports/1/gids/%d", number, i);
		f = fopen(path, "re");
		found = f && fgets(line, sizeof(line), f) && !strncmp(line, gid, strlen(gid));
		if (f)
			fclose(f);
	}
	return found;
}

/* Adapters have the GIDs of their addresses a moment after these. */
static void wait_gid(const char *number, const char *gid)
{
	for (int i = 0; i < TRIES && !has_gid(number, gid); i++)
		usleep(10000);
	if (!has_gid(number, gid))
		fail_msg("rxe_b%s did not get its GID %s", number, gid);
}

void cable_in(const char *number)
{
	const char *digit = *number ? number : "0";
	char text[256];

	snprintf(text, sizeof(text),
		 "ip -n b link set veth_b%s up && "
		 "ip -n b addr replace fd77:7%s::2/64 dev veth_b%s nodad", number, digit, number);
	run(text);
	wait_up("a", number);
	wait_up("b", number);
	snprintf(text, sizeof(text), "0000:0000:0000:0000:0000:ffff:0a4d:0%s02", digit);
	wait_gid(number, text);
	snprintf(text, sizeof(text), "fd77:007%s:0000:0000:0000:0000:0000:0002", digit);
	wait_gid(number, text);
}
