#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# The program of README.md (the first ```c block with a main()) builds from the installed tree as it
# stands, and prints what nmt_cat sends it.
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
[ "$lines" -le 27 ] || fail "the program of README.md has $lines lines"
run 30 "$work/readme" 127.86.75.65:4000 >"$work/out" &
until echo "hello, memory" | timeout 10 "$root/bin/nmt_cat" -q -p auto 127.86.75.65:4000 2>"$work/err"; do
	kill -0 $! 2>/dev/null || fail "the program of README.md ended: $(cat "$work/err")"
	sleep 0.1
done
wait $! || fail "the program of README.md ends with $?"
grep -qx "hello, memory" "$work/out" || fail "the program of README.md does not say hello"
