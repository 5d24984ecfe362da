/* SPDX-License-Identifier: BSD-2-Clause */
/* Holds the bootstrap's codec to the test vectors of tests/vectors/bootwire.txt. */
#include "bootmsg.h"
#include "vectors.h"

static int decode_magic(const void *buf, size_t len, union msg *m)
{
	m->magic.match = nmti_magic_match(buf, len);
	return m->magic.match < 0 ? m->magic.match : 0;
}

static int decode_peek(const void *buf, size_t len, union msg *m)
{
	m->peek.total = nmti_msg_peek(buf, len, NULL);
	return m->peek.total < 0 ? m->peek.total : 0;
}

static int decode_record(const void *buf, size_t len, union msg *m)
{
	assert_int_equal(len, NMTI_REC_HDR_LEN);
	return nmti_rec_get(buf, &m->record.len, &m->record.eor);
}

static int encode_record(const union msg *m, void *buf, size_t cap)
{
	assert_true(cap >= NMTI_REC_HDR_LEN);
	nmti_rec_put(buf, m->record.len, m->record.eor);
	return NMTI_REC_HDR_LEN;
}

static void say_magic(const union msg *m, FILE *f)
{
	say_num(f, "match", (uint64_t)m->magic.match);
}

static void say_peek(const union msg *m, FILE *f)
{
	say_num(f, "total", (uint64_t)m->peek.total);
}

static void say_offer(const struct nmti_offer *o, int i, FILE *f)
{
	fprintf(f, "offer%d.rails %u\n", i, o->rails);
	fprintf(f, "offer%d.name %s\n", i, o->name);
	fprintf(f, "offer%d.device %s\n", i, *o->device ? o->device : "-");
	fprintf(f, "offer%d.", i);
	say_bytes(f, "blob", o->blob, o->blob_len);
}

static void say_hello(const union msg *m, FILE *f)
{
	const struct nmti_hello *h = &m->hello;

	say_bytes(f, "session", h->session, sizeof(h->session));
	say_num(f, "ver_min", h->ver_min);
	say_num(f, "ver_max", h->ver_max);
	say_num(f, "recv_mode", h->recv_mode);
	say_mask(f, "features", h->features);
	say_mask(f, "required", h->required);
	say_num(f, "noffers", h->noffers);
	for (int i = 0; i < h->noffers; i++)
		say_offer(&h->offer[i], i, f);
}

static void say_select(const union msg *m, FILE *f)
{
	const struct nmti_select *s = &m->select;

	say_bytes(f, "session", s->session, sizeof(s->session));
	say_num(f, "version", s->version);
	say_num(f, "offer", s->offer);
	say_num(f, "recv_mode", s->recv_mode);
	say_mask(f, "features", s->features);
	say_num(f, "rails", s->rails);
	say_num(f, "port", s->port);
	say_bytes(f, "token", s->token, sizeof(s->token));
	say_bytes(f, "blob", s->blob, s->blob_len);
}

static void say_decline(const union msg *m, FILE *f)
{
	say_num(f, "reason", m->decline.reason);
	say_text(f, "text", m->decline.text);
}

static void say_confirm(const union msg *m, FILE *f)
{
	say_num(f, "status", m->confirm.status);
	say_num(f, "rails", m->confirm.rails);
}

static void say_join(const union msg *m, FILE *f)
{
	say_bytes(f, "session", m->join.session, sizeof(m->join.session));
	say_bytes(f, "token", m->join.token, sizeof(m->join.token));
	say_num(f, "rail", m->join.rail);
	say_num(f, "kind", m->join.kind);
}

static void say_fin(const union msg *m, FILE *f)
{
	say_num(f, "offset", m->fin.offset);
	say_num(f, "records", m->fin.records);
}

static void say_abort(const union msg *m, FILE *f)
{
	say_num(f, "reason", m->abort.reason);
}

static void say_resume(const union msg *m, FILE *f)
{
	const struct nmti_resume *r = &m->resume;

	say_num(f, "epoch", r->epoch);
	say_num(f, "flags", r->flags);
	say_num(f, "rails", r->rails);
	say_num(f, "slots", r->slots);
	say_num(f, "offset", r->offset);
	say_num(f, "records", r->records);
	say_num(f, "segment", r->segment);
	say_bytes(f, "blob", r->blob, r->blob_len);
}

static void say_path_down(const union msg *m, FILE *f)
{
	say_num(f, "epoch", m->path_down.epoch);
	say_num(f, "reason", m->path_down.reason);
}

static void say_record(const union msg *m, FILE *f)
{
	say_num(f, "len", m->record.len);
	say_num(f, "eor", m->record.eor);
}

#define TYPE(X) { BOOTMSG_CODEC(X), say_##X }
static const struct vector_type types[] = {
	TYPE(hello), TYPE(select), TYPE(decline), TYPE(confirm), TYPE(join), TYPE(fin), TYPE(abort),
	TYPE(resume), TYPE(path_down),
	{ { "magic", sizeof(struct magic_result), decode_magic, NULL }, say_magic },
	{ { "peek", sizeof(struct peek_result), decode_peek, NULL }, say_peek },
	{ { "record", sizeof(struct record_header), decode_record, encode_record }, say_record },
	{ .codec.name = NULL },
};

static void test_vectors(void **state)
{
	(void)state;
	assert_in_range(check_vectors("bootwire.txt", types), 160, 10000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vectors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
