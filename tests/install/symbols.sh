#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# Four lists are the same: functions declared in nmt.h, symbols that libnmt.so exports as public,
# names in the version map, man pages of section 3.
. "$(dirname "$0")/lib.sh"

install_tree
need nm binutils

# The header, without comments and preprocessor lines: every nmt_name( that is not a typedef.
$CC -E -P -I"$root/include" "$root/include/nmt/nmt.h" | tr '\n' ' ' | sed 's/[;{}]/;\n/g' |
	grep -v typedef | grep -oE '\bnmt_[a-z0-9_]+ ?\(' | tr -d ' (' | sort -u >"$work/header"
nm -D --defined-only "$libdir/libnmt.so" |
	sed -n 's/.* [TWD] \(nmt_[a-z0-9_]*\)@@NMT_0\.[0-9]*$/\1/p' | sort -u >"$work/exported"
sed -n 's/^[[:space:]]*\(nmt_[a-z0-9_]*\);$/\1/p' "$source/libnmt/libnmt.map" | sort -u >"$work/map"
find "$root" -path '*/man3/*' -name 'nmt_*.3' -printf '%f\n' | sed 's/\.3$//' | sort -u >"$work/man"

bad=0
# same A B: complain about names that only one of the lists has.
same()
{
	local only
	only=$(comm -23 "$work/$1" "$work/$2")
	[ -z "$only" ] || { echo "in $1, not in $2:" $only; bad=1; }
	only=$(comm -13 "$work/$1" "$work/$2")
	[ -z "$only" ] || { echo "in $2, not in $1:" $only; bad=1; }
}

[ "$(wc -l <"$work/header")" -ge 40 ] || fail "nmt.h was not understood: $(wc -l <"$work/header") functions"
same header exported
same header map
same header man

# Whatever else is exported is private, by name and by version.
other=$(nm -D --defined-only "$libdir/libnmt.so" |
	grep -vE ' (nmt_[a-z0-9_]+@@NMT_0\.[0-9]+|nmti_[a-z0-9_]+@@NMT_PRIVATE_[0-9]+|NMT_[A-Z0-9_.]+)$' || true)
[ -z "$other" ] || { echo "stray exports:"; echo "$other"; bad=1; }
readelf -d "$libdir/libnmt.so" | grep -q 'SONAME.*\[libnmt\.so\.0\]' || { echo "soname is not libnmt.so.0"; bad=1; }

# A static library must not take names that belong to the program.
other=$(nm --defined-only -g "$libdir/libnmt.a" | awk 'NF == 3 { print $3 }' | grep -vE '^nmti?_' |
	grep -vE '^__(odr_asan|asan|tsan|gcov)' || true)
[ -z "$other" ] || { echo "libnmt.a defines names outside nmt_ and nmti_:" $other; bad=1; }

# The overview exists, and pages are well-formed where a checker is at hand.
[ -n "$(find "$root" -path '*/man7/nmt.7')" ] || { echo "no man page nmt(7)"; bad=1; }
if command -v mandoc >/dev/null; then
	find "$root" -path '*/man/man*' -type f -print0 | xargs -0r mandoc -T lint -W error >"$work/lint" ||
		{ cat "$work/lint"; bad=1; }
else
	echo "SKIP: man pages are not linted, no mandoc (Debian: mandoc)"
fi
exit $bad
