/* SPDX-License-Identifier: BSD-2-Clause */
/* Logging: levels, the sink, NMT_LOG, long lines, standard error as the default. */
#include <fcntl.h>

#include "unit.h"

struct sink {
	int count;
	enum nmt_log_level level;
	char line[1024];
};

static void take(void *arg, enum nmt_log_level level, const char *line)
{
	struct sink *s = arg;

	s->count++;
	s->level = level;
	snprintf(s->line, sizeof(s->line), "%s", line);
}

static struct nmt_ctx *open_at(uint32_t level, struct sink *sink)
{
	struct nmt_ctx_attr attr = NMT_CTX_ATTR_INIT;
	struct nmt_ctx *ctx;

	memset(sink, 0, sizeof(*sink));
	attr.log = take;
	attr.log_arg = sink;
	attr.log_level = level;
	assert_int_equal(nmt_ctx_open(&attr, &ctx), 0);
	return ctx;
}

/* Logs a line at each level and asserts that those up to LEVEL came. */
static void check_level(struct nmt_ctx *ctx, struct sink *sink, int level)
{
	for (int i = NMT_LOG_ERROR; i <= NMT_LOG_DEBUG; i++) {
		int before = sink->count;

		nmti_log(ctx, (enum nmt_log_level)i, "line %d", i);
		assert_int_equal(sink->count - before, i <= level);
		assert_int_equal(nmti_log_on(ctx, (enum nmt_log_level)i), i <= level);
		if (i > level)
			continue;
		assert_int_equal(sink->level, i);
		assert_int_equal(sink->line[5], '0' + i);
		assert_null(strchr(sink->line, '\n'));
	}
}

static void test_levels(void **state)
{
	struct sink sink;
	struct nmt_ctx *ctx;

	(void)state;
	setenv("NMT_LOG", "debug", 1); /* the attribute wins */
	for (int level = NMT_LOG_NONE; level <= NMT_LOG_DEBUG; level++) {
		ctx = open_at((uint32_t)level + 1, &sink);
		check_level(ctx, &sink, level);
		assert_int_equal(nmt_ctx_close(ctx), 0);
	}
	unsetenv("NMT_LOG");
}

static void test_environment(void **state)
{
	static const struct {
		const char *text;
		int level;
	} cases[] = {
		{ NULL, NMT_LOG_WARN },	   { "", NMT_LOG_WARN },      { "none", NMT_LOG_NONE },
		{ "error", NMT_LOG_ERROR }, { "warn", NMT_LOG_WARN },  { "info", NMT_LOG_INFO },
		{ "debug", NMT_LOG_DEBUG }, { "DEBUG", NMT_LOG_DEBUG }, { "0", NMT_LOG_NONE },
		{ "4", NMT_LOG_DEBUG },
	};
	struct sink sink;
	struct nmt_ctx *ctx;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		if (cases[i].text)
			setenv("NMT_LOG", cases[i].text, 1);
		else
			unsetenv("NMT_LOG");
		ctx = open_at(0, &sink);
		check_level(ctx, &sink, cases[i].level);
		assert_int_equal(nmt_ctx_close(ctx), 0);
	}
	unsetenv("NMT_LOG");
}

/* A line too long is cut, and still ends in a NUL. */
static void test_long(void **state)
{
	char text[2000];
	struct sink sink;
	struct nmt_ctx *ctx = open_at(NMT_LOG_WARN + 1, &sink);

	(void)state;
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	nmti_log(ctx, NMT_LOG_ERROR, "%s", text);
	assert_int_equal(sink.count, 1);
	assert_in_range(strlen(sink.line), 200, sizeof(sink.line) - 1);
	assert_int_equal(strspn(sink.line, "x"), strlen(sink.line));
	assert_int_equal(nmt_ctx_close(ctx), 0);
}

/* Runs with standard error in a pipe, and gives what was written there. */
static void stderr_of(const char *env, char *buf, size_t len)
{
	int old = dup(2), fd[2];
	struct nmt_ctx *ctx;
	ssize_t n;

	assert_int_equal(pipe2(fd, O_NONBLOCK), 0);
	fflush(stderr);
	dup2(fd[1], 2);
	setenv("NMT_LOG", env, 1);
	if (!nmt_ctx_open(NULL, &ctx)) {
		nmti_log(ctx, NMT_LOG_WARN, "hello %d", 7);
		nmti_log(ctx, NMT_LOG_INFO, "not shown");
		nmt_ctx_close(ctx);
	}
	fflush(stderr);
	dup2(old, 2);
	close(old);
	n = read(fd[0], buf, len - 1);
	buf[n > 0 ? n : 0] = '\0';
	close(fd[0]);
	close(fd[1]);
	unsetenv("NMT_LOG");
}

static void test_stderr(void **state)
{
	char buf[1024];

	(void)state;
	stderr_of("warn", buf, sizeof(buf));
	assert_string_equal(buf, "libnmt: warn: hello 7\n");
	stderr_of("none", buf, sizeof(buf));
	assert_string_equal(buf, "");
	stderr_of("loud", buf, sizeof(buf)); /* said once, then the default */
	assert_non_null(strstr(buf, "NMT_LOG=loud"));
	assert_non_null(strstr(buf, "hello 7"));
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_levels), cmocka_unit_test(test_environment),
	cmocka_unit_test(test_long), cmocka_unit_test(test_stderr),
};

UNIT_MAIN(tests)
