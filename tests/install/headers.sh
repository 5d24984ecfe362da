#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# Each installed header compiles alone, in C and in C++, with every compiler that is there.
. "$(dirname "$0")/lib.sh"

install_tree
tried=0
count=0

# try COMPILER-WORDS...: compile every header alone.
try()
{
	command -v "$1" >/dev/null || return 0
	tried=$((tried + 1))
	for header in $headers; do
		echo "#include <$header>" >"$work/alone.c"
		echo "$*: $header"
		"$@" $warnings -pedantic -I"$root/include" -c "$work/alone.c" -o "$work/alone.o" ||
			fail "$header does not compile alone: $*"
	done
}

headers=$(cd "$root/include" && find . -name '*.h' | sed 's,^\./,,' | sort)
for header in $headers; do count=$((count + 1)); done
[ $count -ge 2 ] || fail "only $count headers installed"
try gcc -std=c11 -D_GNU_SOURCE
try gcc -std=gnu17
try clang -std=gnu17
try g++ -x c++ -std=c++11
try g++ -x c++ -std=c++20
try clang++ -x c++ -std=c++17
[ $tried -gt 0 ] || skip "no compiler"
command -v g++ >/dev/null || command -v clang++ >/dev/null ||
	echo "SKIP: no C++ compiler (Debian: g++)"
