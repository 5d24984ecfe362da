/* SPDX-License-Identifier: BSD-2-Clause */
/* Holds the engine's codec to the test vectors of tests/vectors/rmawire.txt. */
#include "rmamsg.h"
#include "vectors.h"

static void say_setup(const union msg *m, FILE *f)
{
	say_num(f, "stripe_log2", m->setup.stripe_log2);
	say_num(f, "rails", m->setup.rails);
	say_num(f, "slots", m->setup.slots);
	say_num(f, "ctrl_slots", m->setup.ctrl_slots);
	say_num(f, "ctrl_max", m->setup.ctrl_max);
	say_num(f, "segments", m->setup.segments);
}

static void say_addrs(const union msg *m, FILE *f)
{
	for (uint32_t i = 0; i < m->addrs.head.n; i++) {
		char name[16];

		snprintf(name, sizeof(name), "flags%" PRIu32, i);
		say_mask(f, name, m->addrs.head.at[i].flags);
		snprintf(name, sizeof(name), "addr%" PRIu32, i);
		say_bytes(f, name, m->addrs.bytes[i], m->addrs.head.at[i].len);
	}
}

static void say_run(const union msg *m, FILE *f)
{
	say_num(f, "type", m->run.imm.type);
	say_num(f, "eor", m->run.imm.eor);
	say_num(f, "epoch", m->run.imm.epoch);
	say_num(f, "seq", m->run.imm.seq);
	say_num(f, "length", m->run.len);
}

static void say_grants(const struct rma_ctrl *m, FILE *f)
{
	say_num(f, "count", m->head.count);
	if (m->head.count)
		say_num(f, "index", m->head.index);
	for (uint32_t i = 0; i < m->head.count; i++) {
		const struct nmti_grant *g = &m->grants[i];

		fprintf(f, "grant%" PRIu32 " %u %#x %" PRIu32 " %" PRIu64 " %" PRIu64 "\n", i,
			g->region, g->flags, g->repeat, g->offset, g->length);
	}
}

static void say_region(const struct nmti_region *r, FILE *f)
{
	say_num(f, "region", r->id);
	say_num(f, "rail", r->rail);
	say_mask(f, "base", r->base);
	say_num(f, "length", r->length);
	say_mask(f, "key", r->key);
}

static void say_ctrl(const union msg *m, FILE *f)
{
	const struct nmti_ctrl *c = &m->ctrl.head;

	say_num(f, "type", c->type);
	say_num(f, "epoch", c->epoch);
	say_num(f, "nrails", c->nrails);
	say_num(f, "offset", c->offset);
	say_num(f, "records", c->records);
	say_num(f, "ctrl_credit", c->ctrl_credit);
	fputs("run_credit", f);
	for (uint32_t i = 0; i < c->nrails; i++)
		fprintf(f, " %" PRIu32, c->run_credit[i]);
	fputc('\n', f);
	if (c->type == NMTI_CTRL_GRANT)
		say_grants(&m->ctrl, f);
	else if (c->type == NMTI_CTRL_REGION)
		say_region(&c->region, f);
	else
		say_num(f, "index", c->index);
}

static void test_vectors(void **state)
{
	const struct vector_type types[] = {
		{ codec_setup, say_setup },
		{ codec_addrs, say_addrs },
		{ codec_run, say_run },
		{ codec_ctrl, say_ctrl },
		{ .codec.name = NULL },
	};

	(void)state;
	assert_in_range(check_vectors("rmawire.txt", types), 90, 10000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vectors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
