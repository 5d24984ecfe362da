#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# The installed programs start without LD_LIBRARY_PATH, answer --help and --version, and refuse
# wrong arguments with exit code 2 and one line; man pages and completions are there for each.
. "$(dirname "$0")/lib.sh"

install_tree
unset LD_LIBRARY_PATH
version=$(sed -n 's/^Version: //p' "$libdir/pkgconfig/libnmt.pc")
found=0
for file in "$root"/bin/*; do
	[ -e "$file" ] || skip "no program is built (Debian: libjson-c-dev libxxhash-dev libssl-dev)"
	name=$(basename "$file")
	found=$((found + 1))
	run 10 "$file" --help >"$work/help" 2>"$work/err" </dev/null
	[ "$(wc -l <"$work/help")" -ge 5 ] || fail "$name --help says too little"
	grep -q "$name" "$work/help" || fail "$name --help does not name the program"
	[ ! -s "$work/err" ] || fail "$name --help writes to standard error"
	run 10 "$file" --version </dev/null | grep -qF "$version" || fail "$name --version is not $version"
	status=0
	timeout 10 "$file" --no-such-option >"$work/out" 2>"$work/err" </dev/null || status=$?
	[ $status = 2 ] || fail "$name --no-such-option exits $status, not 2"
	[ ! -s "$work/out" ] || fail "$name writes an error to standard output"
	[ "$(wc -l <"$work/err")" -le 3 ] || fail "$name needs more than 3 lines for a wrong option"
	[ -n "$(find "$root" -path '*/man1/*' -name "$name.1")" ] || fail "no man page $name(1)"
	completion=$(find "$root" -path '*/bash-completion/completions/*' -name "$name")
	[ -n "$completion" ] || fail "no bash completion for $name"
	bash -n "$completion" || fail "the completion of $name is no valid bash"
done
echo "$found programs"
