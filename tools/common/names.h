/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Names, as users write and read them, of the numbers in nmt.h.
 */
#ifndef TK_NAMES_H
#define TK_NAMES_H

#include <stddef.h>
#include <stdint.h>

struct tk_name {
	uint64_t value;
	const char *name; /* NULL ends a table */
	const char *help; /* a few words */
};

extern const struct tk_name tk_mem_kinds[];  /* enum nmt_mem_kind */
extern const struct tk_name tk_modes[];	     /* enum nmt_mode */
extern const struct tk_name tk_log_levels[]; /* enum nmt_log_level */
extern const struct tk_name tk_caps[];	     /* NMT_CAP_* */
extern const struct tk_name tk_gid_types[];  /* enum nmt_gid_type */
extern const struct tk_name tk_waits[];	     /* NMT_WAIT_* */

/* Value of NAME. -ENOENT: not in the table. */
int tk_name_find(const struct tk_name *table, const char *name, uint32_t *value);

/* Name of VALUE; "?" when the table has none. */
const char *tk_name_of(const struct tk_name *table, uint64_t value);

/* "host, huge, cuda": all names of a table. */
void tk_name_list(const struct tk_name *table, char *buf, size_t len);

#endif
