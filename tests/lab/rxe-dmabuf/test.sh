#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# In the guest, run by rxe-pair, which preloads the shim: test_dmabuf with it and without, and the
# kernel's opinion. Arguments: the program, "works" or "absent", as the module is.
program=$1 mode=$2
failed=0

expect()
{
	"$@" || { echo "FAIL: $*: exit status $?"; failed=1; }
}

dmesg --clear
expect "$program" "$mode"
# librxe alone never asks the kernel.
expect env -u LD_PRELOAD "$program" absent
if dmesg | grep -E 'WARNING|BUG|Oops|leak'; then
	echo "FAIL: the kernel complains"
	failed=1
fi
exit $failed
