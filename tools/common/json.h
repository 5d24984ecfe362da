/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * JSON output of the tools (json-c). Every document starts with its schema and the version of the
 * tool; docs/json.md describes the schemas.
 */
#ifndef TK_JSON_H
#define TK_JSON_H

#include <json-c/json.h>
#include <stdint.h>

/* {"schema": SCHEMA, "version": "0.1.0", "library": "0.1.0"}; SCHEMA is "nmt_info/1". */
struct json_object *tk_json_new(const char *schema);

void tk_json_str(struct json_object *o, const char *key, const char *text); /* NULL: null */
void tk_json_u64(struct json_object *o, const char *key, uint64_t value);
void tk_json_i64(struct json_object *o, const char *key, int64_t value);
void tk_json_bool(struct json_object *o, const char *key, int value);
void tk_json_double(struct json_object *o, const char *key, double value);

/* Add an empty object or array under KEY and give it out (still owned by O). */
struct json_object *tk_json_object(struct json_object *o, const char *key);
struct json_object *tk_json_array(struct json_object *o, const char *key);

/* Print to PATH ("-": standard output), then free O. 0 or -errno. */
int tk_json_write(struct json_object *o, const char *path);

#endif
