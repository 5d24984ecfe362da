#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# configure.sh NAME BUILD SOURCE: another configuration builds and does something small.
#   bare    as on a machine with a C compiler and libc only
#   clang   library and tools with clang, warnings are errors (the tests: build-test/tsan is clang's)
#   module  provider tcp as a module: found by NMT_PROVIDER_PATH, moves bytes
#   off     no provider at all: a clear refusal
# The build folders stay in BUILD/configure, so that the next run is fast.
name=$1
shift
. "$(dirname "$0")/lib.sh"

b=$build/configure/$name
lib=$b/libnmt
small="-DCMAKE_BUILD_TYPE=Debug -DNMT_BUILD_TESTS=OFF" # compiled without optimization: sooner done
generator=()
# "bare" takes what cmake takes by itself, which is make where there is one.
[ -e "$b/CMakeCache.txt" ] || [ "$name" = bare ] || ! command -v ninja >/dev/null || generator=(-G Ninja)

# configure OPTION...: configure and build; the output of the former is in $work/log.
configure()
{
	echo "cmake -S $source -B $b $*"
	timeout 120 cmake -S "$source" -B "$b" "${generator[@]}" "$@" >"$work/log" 2>&1 ||
		{ cat "$work/log"; fail "cmake"; }
	timeout 580 cmake --build "$b" -j "$(nproc)" >"$work/make" 2>&1 ||
		{ cat "$work/make"; fail "cmake --build"; }
	export LD_LIBRARY_PATH=$lib
	[ -e "$lib/libnmt.so" ] && [ -e "$lib/libnmt.a" ] || fail "no library was built"
}

consumer()
{
	$CC $warnings -I"$source/libnmt/include" "$here/consumer.c" -L"$lib" -lnmt -o "$work/consumer" ||
		fail "consumer.c does not build"
}

bare()
{
	configure -DNMT_WITHOUT="CMOCKA;JSON;XXHASH;OPENSSL;IBVERBS;RDMACM" -DNMT_WERROR=ON
	grep -q "Left out: the tests.*libcmocka-dev" "$work/log" || fail "the missing package of the tests is not named"
	grep -q "Left out: nmt_info.*libjson-c-dev" "$work/log" || fail "the missing package of nmt_info is not named"
	consumer
	run 30 "$work/consumer"
}

clang()
{
	command -v clang >/dev/null || skip "no clang (Debian: clang)"
	configure $small -DCMAKE_C_COMPILER=clang -DNMT_WERROR=ON
}

module()
{
	configure $small -DNMT_PROVIDER_TCP=MODULE
	local module
	module=$(find "$b" -name libnmt-tcp.so)
	[ -n "$module" ] || fail "no module was built"
	[ "$(nm -D --defined-only "$module" | grep -c ' T ')" = 1 ] || fail "the module exports more than its entry"
	consumer
	NMT_PROVIDER_PATH=$(dirname "$module") run 30 "$work/consumer"
	refused "$work" "$work"

	DESTDIR=$root cmake --install "$b" --prefix /usr >/dev/null
	module=$(find "$root" -path '*/nmt/libnmt-tcp.so')
	[ -n "$module" ] || fail "the module is not installed in the nmt folder of the library folder"
}

# refused PATH TEXT: with modules looked for in PATH, opening "tcp" fails with a message that
# contains TEXT.
refused()
{
	if NMT_PROVIDER_PATH=$1 timeout 30 "$work/consumer" >"$work/out" 2>&1; then
		fail "the consumer ran without a provider"
	fi
	cat "$work/out"
	grep -qF "$2" "$work/out" || fail "the message does not say \"$2\""
}

off()
{
	configure $small -DNMT_PROVIDER_TCP=OFF
	consumer
	refused "$work" tcp
}

$name
