#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# Install under DESTDIR, check where files go and with which modes, uninstall, and nothing of ours
# is left while what was there before still is.
. "$(dirname "$0")/lib.sh"

export DESTDIR=$work/dest
mkdir -p "$DESTDIR/usr/local/lib" "$DESTDIR/usr/local/bin"
echo other >"$DESTDIR/usr/local/lib/libother.so"
echo other >"$DESTDIR/usr/local/bin/other"

cmake --install "$build" --prefix /usr/local >/dev/null
files=$(find "$DESTDIR" ! -type d ! -name '*other*' | wc -l)
[ "$files" -ge 10 ] || fail "only $files files installed under DESTDIR"
find "$DESTDIR" ! -type d | sed "s,^$DESTDIR,," | grep -v '^/usr/local/' && fail "files outside the prefix"
# Nothing of the build machine shows in what is installed.
grep -rlF -e "$build" "$DESTDIR" --include='*.pc' --include='*.cmake' --include='*.h' &&
	fail "the build folder is named in installed files"
find "$DESTDIR" -type f -perm /022 | grep . && fail "files that others may write"
for file in "$DESTDIR"/usr/local/bin/nmt_*; do
	[ ! -e "$file" ] || [ -x "$file" ] || fail "$file is not executable"
done

cmake --build "$build" --target uninstall >"$work/uninstall.log" ||
	{ cat "$work/uninstall.log"; fail "uninstall"; }
left=$(find "$DESTDIR" \( ! -type d -o -name '*nmt*' \) ! -name '*other*')
[ -z "$left" ] || fail "left after uninstall: $left"
[ -e "$DESTDIR/usr/local/lib/libother.so" ] && [ -e "$DESTDIR/usr/local/bin/other" ] ||
	fail "uninstall removed a file of somebody else"

# A second uninstall says that there is nothing to do.
cmake --build "$build" --target uninstall >"$work/again.log" 2>&1 && fail "a second uninstall succeeded"
grep -q "Nothing to uninstall" "$work/again.log" || { cat "$work/again.log"; fail "no clear message"; }
