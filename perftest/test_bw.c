/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bw: the client sends, the server receives and counts.
 */
#include "engine.h"

static void start_sender(struct worker *w, struct flow *f)
{
	const struct perf_params *p = &w->run->p;

	f->tx_left = p->iterations ? p->warm_iterations + p->iterations : ENDLESS;
}

static void start_receiver(struct worker *w, struct flow *f)
{
	(void)w;
	(void)f;
}

static int client(struct worker *w)
{
	static const struct engine_hooks hooks = { .start = start_sender, .sender = true };

	return engine_run(w, &hooks);
}

static int server(struct worker *w)
{
	static const struct engine_hooks hooks = { .start = start_receiver };

	return engine_run(w, &hooks);
}

const struct test_ops test_bw = {
	.listen = setup_listen,
	.setup = setup_flows,
	.client = client,
	.server = server,
};
