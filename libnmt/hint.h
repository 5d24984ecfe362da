/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Hints for the compiler. What every small message runs through is hot: such functions lie together
 * in the program, so that a message touches few pages of code, which a processor that was asleep, or
 * is emulated, has to find anew.
 */
#ifndef NMTI_HINT_H
#define NMTI_HINT_H

#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)
#define nmti_hot __attribute__((hot))

#endif
