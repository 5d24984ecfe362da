/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * --stats.
 */
#ifndef CAT_REPORT_H
#define CAT_REPORT_H

#include <nmt/nmt.h>

/* Print the domain's counters that are not 0 on standard error, "name value" a line. */
void cat_print_stats(const struct nmt_domain *domain);

#endif
