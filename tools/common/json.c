/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * JSON output of the tools (json-c).
 */
#include "json.h"

#include <errno.h>
#include <nmt/nmt.h>
#include <stdio.h>
#include <string.h>

#define STR(x) STR_(x)
#define STR_(x) #x
#define VERSION_TEXT STR(NMT_VERSION_MAJOR) "." STR(NMT_VERSION_MINOR) "." STR(NMT_VERSION_PATCH)

struct json_object *tk_json_new(const char *schema)
{
	struct json_object *o = json_object_new_object();

	tk_json_str(o, "schema", schema);
	tk_json_str(o, "version", VERSION_TEXT);
	tk_json_str(o, "library", nmt_version_string());
	return o;
}

void tk_json_str(struct json_object *o, const char *key, const char *text)
{
	json_object_object_add(o, key, text ? json_object_new_string(text) : NULL);
}

void tk_json_u64(struct json_object *o, const char *key, uint64_t value)
{
	json_object_object_add(o, key, json_object_new_uint64(value));
}

void tk_json_i64(struct json_object *o, const char *key, int64_t value)
{
	json_object_object_add(o, key, json_object_new_int64(value));
}

void tk_json_bool(struct json_object *o, const char *key, int value)
{
	json_object_object_add(o, key, json_object_new_boolean(value));
}

void tk_json_double(struct json_object *o, const char *key, double value)
{
	json_object_object_add(o, key, json_object_new_double(value));
}

struct json_object *tk_json_object(struct json_object *o, const char *key)
{
	struct json_object *child = json_object_new_object();

	json_object_object_add(o, key, child);
	return child;
}

struct json_object *tk_json_array(struct json_object *o, const char *key)
{
	struct json_object *child = json_object_new_array();

	json_object_object_add(o, key, child);
	return child;
}

static int write_text(const char *text, const char *path)
{
	FILE *f = strcmp(path, "-") == 0 ? stdout : fopen(path, "w");
	int err = 0;

	if (!f)
		return -errno;
	if (fprintf(f, "%s\n", text) < 0 || fflush(f) == EOF)
		err = -errno;
	if (f != stdout && fclose(f) == EOF && !err)
		err = -errno;
	return err;
}

int tk_json_write(struct json_object *o, const char *path)
{
	const char *text = json_object_to_json_string_ext(
		o,
		JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED | JSON_C_TO_STRING_NOSLASHESCAPE);
	int err = text ? write_text(text, path) : -ENOMEM;

	json_object_put(o);
	return err;
}
