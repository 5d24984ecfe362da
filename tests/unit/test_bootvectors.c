/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reads the test vectors of tests/vectors/bootwire.txt (format: docs/wire.md) and holds the codec
 * to each: the fields that it decodes, or its error, and the bytes that it encodes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bootmsg.h"

#ifndef NMT_VECTORS_DIR
#error "NMT_VECTORS_DIR must name the folder tests/vectors"
#endif

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

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

/* ---- messages as text, the way the vectors have them ---------------------------------------- */

static void say_bytes(FILE *f, const char *name, const uint8_t *p, size_t n)
{
	fprintf(f, "%s %s", name, n ? "" : "-");
	for (size_t i = 0; i < n; i++)
		fprintf(f, "%02x", p[i]);
	fputc('\n', f);
}

static void say_text(FILE *f, const char *name, const char *s)
{
	fprintf(f, "%s %s\n", name, *s ? s : "-");
}

static void say_num(FILE *f, const char *name, uint64_t v)
{
	fprintf(f, "%s %" PRIu64 "\n", name, v);
}

static void say_mask(FILE *f, const char *name, uint64_t v)
{
	if (v)
		fprintf(f, "%s %#" PRIx64 "\n", name, v);
	else
		fprintf(f, "%s 0x0\n", name);
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

static void say_record(const union msg *m, FILE *f)
{
	say_num(f, "len", m->record.len);
	say_num(f, "eor", m->record.eor);
}

/* A decoder that vectors can ask for, and how its result reads there. */
struct vector_type {
	struct codec codec; /* encode NULL: decoded only */
	void (*describe)(const union msg *m, FILE *f);
};

#define TYPE(X) { BOOTMSG_CODEC(X), say_##X }
static const struct vector_type types[] = {
	TYPE(hello), TYPE(select), TYPE(decline), TYPE(confirm), TYPE(join), TYPE(fin), TYPE(abort),
	{ { "magic", sizeof(struct magic_result), decode_magic, NULL }, say_magic },
	{ { "peek", sizeof(struct peek_result), decode_peek, NULL }, say_peek },
	{ { "record", sizeof(struct record_header), decode_record, encode_record }, say_record },
};

static const struct vector_type *find_type(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(types); i++)
		if (!strcmp(types[i].codec.name, name))
			return &types[i];
	fail_msg("no decoder '%s'", name);
	return NULL;
}

/* Decode from a heap copy of exactly LEN bytes, so that a sanitizer sees any read beyond. */
static int decode_exact(const struct codec *c, const void *buf, size_t len, union msg *m)
{
	void *copy = malloc(len ? len : 1);
	int err;

	assert_non_null(copy);
	memcpy(copy, buf, len);
	err = c->decode(copy, len, m);
	free(copy);
	return err;
}

/* ---- vectors -------------------------------------------------------------------------------- */

struct vector {
	char name[64];
	const struct vector_type *type;
	uint8_t bytes[NMTI_MSG_MAX + 64];
	size_t len;
	char fields[8192];
	int error;
	bool canonical;
};

static int error_number(const char *name)
{
	static const struct {
		const char *name;
		int err;
	} errors[] = {
		{ "EPROTO", -EPROTO },
		{ "EMSGSIZE", -EMSGSIZE },
		{ "EPROTONOSUPPORT", -EPROTONOSUPPORT },
	};

	for (size_t i = 0; i < ARRAY_SIZE(errors); i++)
		if (!strcmp(errors[i].name, name))
			return errors[i].err;
	fail_msg("unknown error '%s'", name);
	return 0;
}

static void add_hex(struct vector *v, const char *s)
{
	for (; *s; s++) {
		unsigned int byte = 0;

		if (isspace((unsigned char)*s))
			continue;
		if (v->len == sizeof(v->bytes) || sscanf(s, "%2x", &byte) != 1 ||
		    !isxdigit((unsigned char)s[1]))
			fail_msg("%s: bad or too many hex digits", v->name);
		v->bytes[v->len++] = (uint8_t)byte;
		s++;
	}
}

static void check_fields(const struct vector *v, const union msg *m)
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	assert_non_null(f);
	v->type->describe(m, f);
	fclose(f);
	if (strcmp(text, v->fields))
		fail_msg("%s: decoded\n%sexpected\n%s", v->name, text, v->fields);
	free(text);
}

static void check_encoding(const struct vector *v, const union msg *m)
{
	uint8_t buf[NMTI_MSG_MAX];
	int len = v->type->codec.encode(m, buf, sizeof(buf));
	bool same = len > 0 && (size_t)len == v->len && !memcmp(buf, v->bytes, v->len);

	if (same != v->canonical)
		fail_msg("%s: encoded to %d bytes, %s", v->name, len,
			 same ? "but is said not to be canonical" : "not the vector's");
}

static void check_vector(const struct vector *v)
{
	union msg m;
	int err;

	assert_non_null(v->type);
	err = decode_exact(&v->type->codec, v->bytes, v->len, &m);
	if (err != v->error)
		fail_msg("%s: result %d, expected %d", v->name, err, v->error);
	if (err)
		return;
	check_fields(v, &m);
	if (v->type->codec.encode)
		check_encoding(v, &m);
}

static void add_line(struct vector *v, const char *key, const char *value)
{
	size_t used = strlen(v->fields);

	if (!strcmp(key, "vector")) {
		*v = (struct vector){ .canonical = true };
		snprintf(v->name, sizeof(v->name), "%s", value);
	} else if (!strcmp(key, "type")) {
		v->type = find_type(value);
	} else if (!strcmp(key, "hex")) {
		add_hex(v, value);
	} else if (!strcmp(key, "field")) {
		assert_in_range(strlen(value) + 2, 0, sizeof(v->fields) - used);
		sprintf(v->fields + used, "%s\n", value);
	} else if (!strcmp(key, "error")) {
		v->error = error_number(value);
	} else if (!strcmp(key, "canonical")) {
		v->canonical = strcmp(value, "no");
	} else {
		fail_msg("%s: unknown keyword '%s'", v->name, key);
	}
}

/* Cut the comment and white space at the end; false: nothing is left. */
static bool clean_line(char *line)
{
	char *hash = *line == '#' ? line : strstr(line, " #");
	size_t n;

	if (hash)
		*hash = 0;
	for (n = strlen(line); n && isspace((unsigned char)line[n - 1]); n--)
		line[n - 1] = 0;
	return n > 0;
}

static void test_vectors(void **state)
{
	static struct vector v;
	char line[1024], key[16];
	int count = 0, at;
	FILE *f = fopen(NMT_VECTORS_DIR "/bootwire.txt", "r");

	(void)state;
	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		if (!clean_line(line))
			continue;
		assert_int_equal(sscanf(line, "%15s %n", key, &at), 1);
		if (strcmp(key, "end")) {
			add_line(&v, key, line + at);
			continue;
		}
		check_vector(&v);
		count++;
	}
	fclose(f);
	assert_in_range(count, 140, 10000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vectors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
