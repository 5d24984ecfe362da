/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Sizes, times and rates between people and programs.
 */
#include "units.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

static const char *const size_units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };

static const struct {
	const char *name;
	int64_t ns;
} time_units[] = {
	{ "", 1000000000 }, { "s", 1000000000 },  { "ms", 1000000 },	  { "us", 1000 },
	{ "ns", 1 },	    { "m", 60000000000 }, { "h", 3600000000000 },
};

/* Digits at *P, which moves behind them. -EINVAL: none, or too large. */
static int parse_digits(const char **p, uint64_t *value)
{
	const char *s = *p;
	uint64_t v = 0;

	if (!isdigit((unsigned char)*s))
		return -EINVAL;
	for (; isdigit((unsigned char)*s); s++) {
		if (__builtin_mul_overflow(v, 10, &v) ||
		    __builtin_add_overflow(v, (uint64_t)(*s - '0'), &v))
			return -EINVAL;
	}
	*p = s;
	*value = v;
	return 0;
}

/* Power of 1024 that SUFFIX names. */
static int size_exponent(const char *suffix)
{
	if (!*suffix || strcasecmp(suffix, "B") == 0)
		return 0;
	for (size_t i = 1; i < ARRAY_SIZE(size_units); i++) {
		bool letter = toupper((unsigned char)suffix[0]) == size_units[i][0] && !suffix[1];

		if (letter || strcasecmp(suffix, size_units[i]) == 0)
			return (int)i;
	}
	return -EINVAL;
}

int tk_parse_size(const char *text, uint64_t *bytes)
{
	uint64_t value;
	int exp;

	if (parse_digits(&text, &value) < 0)
		return -EINVAL;
	exp = size_exponent(text);
	if (exp < 0 || __builtin_mul_overflow(value, UINT64_C(1) << (10 * exp), &value))
		return -EINVAL;
	*bytes = value;
	return 0;
}

static int64_t time_unit(const char *suffix)
{
	for (size_t i = 0; i < ARRAY_SIZE(time_units); i++) {
		if (strcmp(suffix, time_units[i].name) == 0)
			return time_units[i].ns;
	}
	return -EINVAL;
}

/* What follows a decimal point, as billionths; digits beyond the ninth are dropped. */
static int parse_fraction(const char **p, uint64_t *billionths)
{
	uint64_t scale = 100000000, v = 0;

	if (**p != '.')
		return 0;
	if (!isdigit((unsigned char)*++*p))
		return -EINVAL;
	for (; isdigit((unsigned char)**p); ++*p, scale /= 10)
		v += (uint64_t)(**p - '0') * scale;
	*billionths = v;
	return 0;
}

int tk_parse_time(const char *text, int64_t *ns)
{
	uint64_t whole, fraction = 0;
	int64_t unit, value;

	if (parse_digits(&text, &whole) < 0 || parse_fraction(&text, &fraction) < 0)
		return -EINVAL;
	unit = time_unit(text);
	if (unit < 0 || __builtin_mul_overflow(whole, unit, &value))
		return -EINVAL;
	if (__builtin_add_overflow(value, (int64_t)((double)fraction * (double)unit / 1e9), &value))
		return -EINVAL;
	*ns = value;
	return 0;
}

int tk_parse_number(const char *text, uint64_t min, uint64_t max, uint64_t *value)
{
	uint64_t v;

	if (parse_digits(&text, &v) < 0 || *text || v < min || v > max)
		return -EINVAL;
	*value = v;
	return 0;
}

static size_t scale_bytes(double *value)
{
	size_t i = 0;

	/* Not 1024: "1023.99 KiB" must not be shown as "1024.00 KiB". */
	for (; *value >= 1023.995 && i + 1 < ARRAY_SIZE(size_units); i++)
		*value /= 1024;
	return i;
}

void tk_format_bytes(char *buf, size_t len, uint64_t bytes)
{
	double value = (double)bytes;
	size_t i = scale_bytes(&value);

	snprintf(buf, len, "%.*f %s", i ? 2 : 0, value, size_units[i]);
}

void tk_format_rate(char *buf, size_t len, double bytes_per_s)
{
	size_t i = scale_bytes(&bytes_per_s);

	snprintf(buf, len, "%.*f %s/s", i ? 2 : 0, bytes_per_s, size_units[i]);
}

void tk_format_duration(char *buf, size_t len, int64_t ns)
{
	int64_t s = (ns + 500000000) / 1000000000;

	if (s >= 3600)
		snprintf(buf, len, "%d:%02d:%02d", (int)(s / 3600), (int)(s / 60 % 60),
			 (int)(s % 60));
	else
		snprintf(buf, len, "%d:%02d", (int)(s / 60), (int)(s % 60));
}
