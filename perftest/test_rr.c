/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * rr: requests and responses on many streams. The clock is read once a turn of nmt_poll: a response
 * counts as arrived, and the next request as sent, when the poll returned that brought it.
 */
#include "pingpong.h"

static void start_client(struct worker *w, struct flow *f)
{
	const struct perf_params *p = &w->run->p;

	f->todo = p->iterations ? p->warm_iterations + p->iterations : ENDLESS;
	f->tx_left = f->todo < p->depth ? f->todo : p->depth;
	if (f->todo != ENDLESS)
		f->todo -= f->tx_left;
}

static void responses(struct worker *w, struct flow *f, uint64_t n)
{
	bool measuring = run_phase_now(w->run) == PHASE_MEASURE;

	while (n--) {
		if (measuring)
			hist_add(w->hist, (uint64_t)(w->now - *worker_sent_at(w, f, f->answered)));
		if (++f->answered == w->run->p.depth)
			f->answered = 0;
		if (!f->todo)
			continue;
		if (f->todo != ENDLESS)
			f->todo--;
		f->tx_left++;
	}
}

static void start_server(struct worker *w, struct flow *f)
{
	(void)w;
	(void)f;
}

static void requests(struct worker *w, struct flow *f, uint64_t n)
{
	(void)w;
	f->tx_left += n;
}

int pingpong_client(struct worker *w)
{
	static const struct engine_hooks hooks = { .start = start_client,
						   .messages = responses,
						   .timed = true };

	return engine_run(w, &hooks);
}

int pingpong_server(struct worker *w)
{
	static const struct engine_hooks hooks = { .start = start_server, .messages = requests };

	return engine_run(w, &hooks);
}

const struct test_ops test_rr = {
	.listen = setup_listen,
	.setup = setup_flows,
	.client = pingpong_client,
	.server = pingpong_server,
};
