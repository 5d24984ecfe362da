# SPDX-License-Identifier: BSD-2-Clause
# What the scripts of this folder share. Called as: SCRIPT BUILD-FOLDER SOURCE-FOLDER.
set -euo pipefail

build=$1
source=$2
here=$source/tests/install
work=$(mktemp -d "${TMPDIR:-/tmp}/nmt-install.XXXXXX")
trap 'rm -rf "$work"' EXIT
root=$work/root

CC=${CC:-cc}
CXX=${CXX:-c++}
command -v make >/dev/null || export CMAKE_GENERATOR=Ninja
warnings="-Wall -Wextra -Werror"

fail()
{
	echo "FAIL: $*" >&2
	exit 1
}

skip()
{
	echo "SKIP: $*"
	exit 77
}

# need COMMAND PACKAGE: skip the test when COMMAND is missing.
need()
{
	command -v "$1" >/dev/null || skip "no $1 (Debian: $2)"
}

# Install into $root; $libdir is where the library went.
install_tree()
{
	cmake --install "$build" --prefix "$root" >"$work/install.log" ||
		{ cat "$work/install.log"; fail "cmake --install"; }
	libdir=$(dirname "$(find "$root" -name libnmt.so)")
	[ -n "$libdir" ] || fail "no libnmt.so was installed"
	export PKG_CONFIG_PATH=$libdir/pkgconfig LD_LIBRARY_PATH=$libdir
}

# run LIMIT COMMAND...: run within a time limit, show the command when it fails.
run()
{
	local limit=$1
	shift
	timeout "$limit" "$@" || fail "exit status $? of: $*"
}
