#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# cat_files.sh MODE MEMORY [copy]: a file from one nmt_cat to another, all sizes around the block,
# with checksums on both ends.
. "$(dirname "$0")/lib.sh"
mode=$1
memory=$2
options=(--mode "$mode" --mem "$memory" --checksum --block 64K --idle 20s)
[ "${3:-}" = copy ] && options+=(--copy)

sum_of()
{
	grep -oE '^xxh3:[0-9a-f]{16}  [0-9]+$' "$1"
}

transfer()
{
	data in "$1"
	rm -f out
	serve "${options[@]}" -o out
	exits 0 "$cat" "${options[@]}" "127.0.0.1:$port" in
	served 0
	same in out
	check "the sums of $1 bytes" [ -n "$(sum_of run.log)" ]
	check "the same sums for $1 bytes" [ "$(sum_of run.log)" = "$(sum_of server.log)" ]
	check "the count of $1 bytes" grep -q "  $1\$" run.log
}

for bytes in 0 1 65535 65536 65537 $((5 * 1048576 + 12345)); do
	transfer $bytes
done

# More blocks in flight, larger than a cell.
options+=(--block 1M --depth 16)
transfer $((9 * 1048576 + 7))

# Few blocks, reused at once: memory that came back too early shows as wrong bytes.
options+=(--block 256K --depth 2)
for i in 1 2 3 4 5; do
	transfer $((4 * 1048576 + i))
done

# The checksum is that of a program that everybody knows.
exits 0 sha256sum in
expected=$(cut -d ' ' -f 1 run.out)
rm -f out
serve "${options[@]/--checksum/--checksum=sha256}" --expect-checksum "$expected" -o out
exits 0 "$cat" "${options[@]/--checksum/--checksum=sha256}" "127.0.0.1:$port" in
says "sha256:$expected"
served 0
pass
