/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * nmt_perf: measures libnmt between two hosts.
 */
#include <sys/resource.h>

#include "client.h"
#include "options.h"
#include "server.h"

/* Many streams need many descriptors; what cannot be had shows when they are opened. */
static void raise_descriptor_limit(void)
{
	struct rlimit rl;

	if (getrlimit(RLIMIT_NOFILE, &rl) < 0)
		return;
	rl.rlim_cur = rl.rlim_max;
	setrlimit(RLIMIT_NOFILE, &rl);
}

int main(int argc, char **argv)
{
	struct perf_options o;

	options_parse(&o, argc, argv);
	raise_descriptor_limit();
	return o.host ? client_main(&o) : server_main(&o);
}
