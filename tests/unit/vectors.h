/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reads a file of test vectors (format: docs/wire.md) and holds codecs to each: the fields that
 * they decode, or their error, and the bytes that they encode. Who includes this defines union msg
 * before.
 */
#ifndef TESTS_VECTORS_H
#define TESTS_VECTORS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec.h"

#ifndef NMT_VECTORS_DIR
#error "NMT_VECTORS_DIR must name the folder tests/vectors"
#endif

#define VECTOR_BYTES 8192
#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

/* ---- messages as text, the way the vectors have them ---------------------------------------- */

static inline void say_bytes(FILE *f, const char *name, const uint8_t *p, size_t n)
{
	fprintf(f, "%s %s", name, n ? "" : "-");
	for (size_t i = 0; i < n; i++)
		fprintf(f, "%02x", p[i]);
	fputc('\n', f);
}

static inline void say_text(FILE *f, const char *name, const char *s)
{
	fprintf(f, "%s %s\n", name, *s ? s : "-");
}

static inline void say_num(FILE *f, const char *name, uint64_t v)
{
	fprintf(f, "%s %" PRIu64 "\n", name, v);
}

static inline void say_mask(FILE *f, const char *name, uint64_t v)
{
	if (v)
		fprintf(f, "%s %#" PRIx64 "\n", name, v);
	else
		fprintf(f, "%s 0x0\n", name);
}

/* A decoder that vectors can ask for, and how its result reads there. */
struct vector_type {
	struct codec codec;
	void (*describe)(const union msg *m, FILE *f);
};

/* ---- vectors -------------------------------------------------------------------------------- */

struct vector {
	char name[64];
	const struct vector_type *type;
	uint8_t bytes[VECTOR_BYTES];
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
	uint8_t buf[VECTOR_BYTES];
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

/* The last of TYPES has no name. */
static const struct vector_type *find_type(const struct vector_type *types, const char *name)
{
	for (; types->codec.name; types++)
		if (!strcmp(types->codec.name, name))
			return types;
	fail_msg("no decoder '%s'", name);
	return NULL;
}

static void add_line(struct vector *v, const struct vector_type *types, const char *key,
		     const char *value)
{
	size_t used = strlen(v->fields);

	if (!strcmp(key, "vector")) {
		*v = (struct vector){ .canonical = true };
		snprintf(v->name, sizeof(v->name), "%s", value);
	} else if (!strcmp(key, "type")) {
		v->type = find_type(types, value);
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

/* Check all vectors of the file NAME and return their number. */
static int check_vectors(const char *name, const struct vector_type *types)
{
	static struct vector v;
	char path[512], line[1024], key[16];
	int count = 0, at;
	FILE *f;

	snprintf(path, sizeof(path), NMT_VECTORS_DIR "/%s", name);
	f = fopen(path, "r");
	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		if (!clean_line(line))
			continue;
		assert_int_equal(sscanf(line, "%15s %n", key, &at), 1);
		if (strcmp(key, "end")) {
			add_line(&v, types, key, line + at);
			continue;
		}
		check_vector(&v);
		count++;
	}
	fclose(f);
	return count;
}

#endif
