/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Exit codes of all libnmt tools; a process ended by a signal adds 128 to its number, as shells do.
 * The EXIT STATUS section of every man page says the same.
 */
#ifndef TK_EXIT_H
#define TK_EXIT_H

enum tk_exit {
	TK_EXIT_OK = 0,	      /* done, and nothing was lost */
	TK_EXIT_FAILURE = 1,  /* connection, input or output failed */
	TK_EXIT_USAGE = 2,    /* wrong options or arguments; nothing was done */
	TK_EXIT_MISMATCH = 3, /* bytes arrived, but not those expected (size, checksum, contents) */
	TK_EXIT_TIMEOUT = 4,  /* a time-out that the user set, or the connect time-out, was over */
	TK_EXIT_NA = 77,      /* not applicable on this machine */
	TK_EXIT_SIGNAL = 128, /* plus the signal number */
};

#endif
