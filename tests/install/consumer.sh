#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# A program built from the installed tree with pkg-config: shared and static, C and C++.
. "$(dirname "$0")/lib.sh"

need pkg-config pkg-config
install_tree
shared=$(pkg-config --cflags --libs libnmt)
static=$(pkg-config --static --cflags --libs libnmt | sed 's/-lnmt\b/-l:libnmt.a/')
version=$(sed -n 's/^#define NMT_VERSION_\(MAJOR\|MINOR\|PATCH\) //p' "$root/include/nmt/nmt.h" | paste -sd .)
[ "$(pkg-config --modversion libnmt)" = "$version" ] || fail "libnmt.pc is not of version $version, as nmt.h is"

# build NAME COMPILER-WORDS...: build consumer.c and run it.
build()
{
	local name=$1
	shift
	echo "$name: $*"
	"$@" -o "$work/$name" || fail "$name does not build"
	run 30 "$work/$name"
}

# uses NAME yes|no: whether the program needs libnmt.so at run time.
uses()
{
	local has=no
	readelf -d "$work/$1" | grep -q 'NEEDED.*libnmt\.so\.0' && has=yes
	[ $has = "$2" ] || fail "$1 depends on libnmt.so.0: $has, expected $2"
}

build c-shared $CC -std=c11 $warnings "$here/consumer.c" $shared
uses c-shared yes
build c-static $CC -std=c11 $warnings "$here/consumer.c" $static
uses c-static no
if command -v "$CXX" >/dev/null; then
	# g++ finds members missing behind the .size of NMT_*_INIT; in C it knows better.
	warnings="$warnings -Wno-missing-field-initializers"
	build cxx-shared $CXX -x c++ $warnings "$here/consumer.c" $shared
	build cxx-static $CXX -std=c++20 -pedantic -x c++ $warnings "$here/consumer.c" -x none $static
else
	echo "SKIP: no C++ compiler (Debian: g++)"
fi
