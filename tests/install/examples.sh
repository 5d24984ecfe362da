#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# Every example of docs/examples builds from the installed tree. Those with a line
#     // run: COMMAND
# (or inside a block comment, "run: COMMAND") are run: each such line is a shell command, in which
# $EXAMPLES is the folder of the built examples and installed programs are in PATH. Exit status 0
# is required.
. "$(dirname "$0")/lib.sh"

need pkg-config pkg-config
install_tree
export EXAMPLES=$work/examples PATH=$root/bin:$PATH
mkdir "$EXAMPLES"
built=0
ran=0
for file in "$source"/docs/examples/*.c; do
	[ -e "$file" ] || fail "docs/examples has no program"
	name=$(basename "$file" .c)
	$CC -std=gnu17 $warnings "$file" $(pkg-config --cflags --libs libnmt) -lpthread \
		-o "$EXAMPLES/$name" || fail "docs/examples/$name.c does not build"
	built=$((built + 1))
done
cd "$work"
for file in "$source"/docs/examples/*.c; do
	while IFS= read -r command; do
		echo "$(basename "$file"): $command"
		run 30 bash -c "set -euo pipefail; $command" </dev/null
		ran=$((ran + 1))
	done < <(sed -nE 's,^ ?(//|\*) run: (.*)$,\2,p' "$file")
done
echo "$built examples built, $ran commands run"
[ $ran -gt 0 ] || fail "no example says how it is run"
