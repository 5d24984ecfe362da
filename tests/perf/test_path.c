/* SPDX-License-Identifier: BSD-2-Clause */
/* What a stream waits for, in the words of reports. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <json-c/json.h>

#include "path.h"

static const struct {
	uint32_t wait;
	const char *name, *text;
} words[] = {
	{ NMT_WAIT_PEER, "peer", "bytes from the peer" },
	{ NMT_WAIT_WINDOW, "window", "the peer takes no more" },
	{ NMT_WAIT_CREDIT, "credit", "notification credit of the peer" },
	{ NMT_WAIT_QUEUE, "queue", "its own send queue" },
	{ NMT_WAIT_MEMORY, "memory", "pool memory" },
	{ NMT_WAIT_APP, "app", "the application" },
};

#define WORDS (sizeof(words) / sizeof(words[0]))

/* The names in the report, each followed by a space. */
static void names_of(const struct path *p, char *buf)
{
	struct json_object *doc = json_object_new_object(), *path, *waits;

	path_json(doc, p);
	assert_true(json_object_object_get_ex(doc, "path", &path));
	assert_true(json_object_object_get_ex(path, "waits", &waits));
	buf[0] = '\0';
	for (size_t i = 0; i < json_object_array_length(waits); i++) {
		strcat(buf, json_object_get_string(json_object_array_get_idx(waits, i)));
		strcat(buf, " ");
	}
	json_object_put(doc);
}

static void test_words(void **state)
{
	char text[256], names[256], want[256];
	struct path p = { .end = { .waits = 0 } };

	(void)state;
	for (uint32_t mask = 0; mask < 1u << WORDS; mask++) {
		char want_names[256] = "";

		want[0] = '\0';
		p.end.waits = 0;
		for (size_t i = 0; i < WORDS; i++) {
			if (!(mask >> i & 1))
				continue;
			p.end.waits |= words[i].wait;
			strcat(strcat(want_names, words[i].name), " ");
			strcat(strcat(want, want[0] ? ", " : ""), words[i].text);
		}
		names_of(&p, names);
		assert_string_equal(names, want_names);
		path_waits(&p, text, sizeof(text));
		assert_string_equal(text, want);
	}
}

/* It is cut where the room ends. */
static void test_room(void **state)
{
	struct path p = { .end = { .waits = NMT_WAIT_PEER | NMT_WAIT_APP } };
	char text[24];

	(void)state;
	for (size_t size = 1; size <= sizeof(text); size++) {
		path_waits(&p, text, size);
		assert_int_equal(strlen(text), size - 1);
		assert_int_equal(strncmp(text, "bytes from the peer, the application", size - 1), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_words),
		cmocka_unit_test(test_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
