/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bidir: both ends send and receive at once; each counts what it receives.
 */
#include "engine.h"

static void start_sender(struct worker *w, struct flow *f)
{
	const struct perf_params *p = &w->run->p;

	f->tx_left = p->iterations ? p->warm_iterations + p->iterations : ENDLESS;
}

static int both(struct worker *w)
{
	static const struct engine_hooks hooks = { .start = start_sender };

	return engine_run(w, &hooks);
}

const struct test_ops test_bidir = {
	.listen = setup_listen,
	.setup = setup_flows,
	.client = both,
	.server = both,
};
