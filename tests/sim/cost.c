/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sim_cost COUNT: COUNT messages of 64 bytes over the simulated fabric, each taken before the next
 * is sent. Under callgrind the difference of two runs tells what the engine costs a message.
 */
#include <stdio.h>
#include <stdlib.h>

#include "sim.h"
#include "suite.h"

static unsigned long count;

static void t_messages(struct env *env)
{
	struct nmt_domain_attr attr = NMT_DOMAIN_ATTR_INIT;
	char buf[64] = "";
	struct pair p;

	env_open(env, &attr);
	pair_open(env, &p);
	for (unsigned long i = 0; i < count; i++) {
		assert_int_equal(nmt_send(p.c->s, buf, sizeof(buf), 0), sizeof(buf));
		while (nmt_recv(p.s->s, buf, sizeof(buf), 0) != sizeof(buf))
			env_spin(env, 1);
	}
}

int main(int argc, char **argv)
{
	struct test test = { .name = "cost", .run = t_messages, .limit_ms = 300000 };
	struct suite suite = { .seed = 1 };

	count = argc == 2 ? strtoul(argv[1], NULL, 0) : 0;
	if (!count) {
		fprintf(stderr, "usage: sim_cost COUNT\n");
		return 2;
	}
	if (!config_find("sim.negotiated.pool.host", &suite.cfg))
		return 1;
	snprintf(suite.cfg.spec, sizeof(suite.cfg.spec), "sim");
	sim_set(&(struct sim_knobs){ .seed = 1 });
	env_run(&suite, &test);
	return 0;
}
