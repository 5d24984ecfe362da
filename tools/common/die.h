/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Messages of a tool on standard error, each one line that starts with the program's name.
 */
#ifndef TK_DIE_H
#define TK_DIE_H

#include <stdnoreturn.h>

#include "tk_exit.h"

/* Print "PROG: message" and exit with CODE (enum tk_exit). */
noreturn void tk_die(int code, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Print "PROG: message (try 'PROG --help')" and exit with TK_EXIT_USAGE. */
noreturn void tk_usage(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Print "PROG: message" and go on. */
void tk_warn(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* TK_EXIT_TIMEOUT for -ETIMEDOUT, TK_EXIT_OK for 0, else TK_EXIT_FAILURE. */
int tk_exit_of(int err);

#endif
