/* SPDX-License-Identifier: BSD-2-Clause */
/* A cable of rxe-pair, by the number that ends the names of its devices: "" where there is one. */
#ifndef LAB_VERBS_CABLE_H
#define LAB_VERBS_CABLE_H

/* Out at once: the kernel may need a second to tell the adapters. */
void cable_out(const char *number);
/*
 * In again, with the addresses and GIDs that went with it; when this returns, both ends send. A message
 * of the connection manager that is sent earlier breaks SoftRoCE's management queue pair for good.
 */
void cable_in(const char *number);

#endif
