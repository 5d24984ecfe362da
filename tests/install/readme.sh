#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# The program of README.md (the first ```c block with a main()) builds from the installed tree as it
# stands, and says hello.
. "$(dirname "$0")/lib.sh"

need pkg-config pkg-config
install_tree
[ -f "$source/README.md" ] || fail "no README.md"
awk '/^```c$/ { on = 1; text = ""; next }
     /^```/ && on { on = 0; if (text ~ /int main\(/) { printf "%s", text; exit } }
     on { text = text $0 "\n" }' "$source/README.md" >"$work/readme.c"
[ -s "$work/readme.c" ] || fail "README.md has no C program"
$CC -std=gnu17 $warnings "$work/readme.c" $(pkg-config --cflags --libs libnmt) -o "$work/readme" ||
	fail "the program of README.md does not build"
lines=$(grep -cv '^[[:space:]]*$' "$work/readme.c")
[ "$lines" -le 40 ] || fail "the program of README.md has $lines lines"
run 30 "$work/readme" | tee "$work/out"
grep -qx "hello, memory" "$work/out" || fail "the program of README.md does not say hello"
