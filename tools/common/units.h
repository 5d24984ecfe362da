/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Sizes, times and rates between people and programs.
 */
#ifndef TK_UNITS_H
#define TK_UNITS_H

#include <stddef.h>
#include <stdint.h>

/*
 * "4096", "64K", "1MiB", "2G", "1T": bytes; units are powers of 1024, in either case, with or
 * without "iB"; a plain "B" is one byte. -EINVAL: anything else, or more than 64 bits hold.
 */
int tk_parse_size(const char *text, uint64_t *bytes);

/*
 * "2", "1.5s", "200ms", "50us", "10ns", "5m", "1h": nanoseconds; a number alone counts seconds.
 * -EINVAL: anything else, or more than 63 bits hold.
 */
int tk_parse_time(const char *text, int64_t *ns);

/* A plain decimal number of MIN..MAX. -EINVAL: anything else. */
int tk_parse_number(const char *text, uint64_t min, uint64_t max, uint64_t *value);

/* "512 B", "1.50 KiB", "3.91 GiB". */
void tk_format_bytes(char *buf, size_t len, uint64_t bytes);

/* The same a second: "1.18 GiB/s". */
void tk_format_rate(char *buf, size_t len, double bytes_per_s);

/* "0:07", "12:34", "3:25:00". */
void tk_format_duration(char *buf, size_t len, int64_t ns);

#endif
