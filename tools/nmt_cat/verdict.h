/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * After a connection that ended in order: print checksums, compare with what was expected.
 */
#ifndef CAT_VERDICT_H
#define CAT_VERDICT_H

#include "receiver.h"
#include "sender.h"

/* enum tk_exit: TK_EXIT_OK, _MISMATCH, or _FAILURE when a --dir receiver confirmed something else. */
int verdict(const struct cat_options *o, const struct sender *tx, const struct receiver *rx);

#endif
