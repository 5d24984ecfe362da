#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# Files with their names: --names to --dir, what is refused, and mixed-up ends.
. "$(dirname "$0")/lib.sh"
mkdir src dst
data "src/a b.bin" 1234567
data src/c.bin 65536
: >src/empty
chmod 750 src/c.bin
umask 022

serve --dir dst --checksum
exits 0 "$cat" --names --checksum "127.0.0.1:$port" "src/a b.bin" src/empty src/c.bin
served 0
for file in "a b.bin" empty c.bin; do
	same "src/$file" "dst/$file"
done
check "permissions" [ "$(stat -c %a dst/c.bin)" = 750 ]
check "the same sums" [ "$(grep xxh3 run.log)" = "$(grep xxh3 server.log)" ]

# What exists is not overwritten, and both ends fail.
echo old >dst/empty
serve --dir dst
exits 1 "$cat" --names "127.0.0.1:$port" src/empty
served 1
says "use --force" server.log
check "untouched" [ "$(cat dst/empty)" = old ]
serve --dir dst --force
exits 0 "$cat" --names "127.0.0.1:$port" src/empty
served 0
same src/empty dst/empty

# With --force a link is replaced, not followed.
echo precious >precious
ln -sf ../precious dst/link
echo new >src/link
serve --dir dst --force
exits 0 "$cat" --names "127.0.0.1:$port" src/link
served 0
check "the link's target is untouched" [ "$(cat precious)" = precious ]
same src/link dst/link

# Mixed-up ends.
serve --dir dst --mode negotiated
exits 1 "$cat" --mode negotiated "127.0.0.1:$port" src/c.bin
served 1
says "does the sender run with --names?" server.log
serve --mode negotiated
exits 1 "$cat" --names "127.0.0.1:$port" src/c.bin
says "does it run with --dir?"
served 0

# A sender that lies: names that lead out of the folder, and a stream that ends early.
# header NAME SIZE
header()
{
	printf 'nmt_cat\1\0\0\0\0\0\0\0'"\\$(printf %03o "$2")"'\0\0\1\244\0\0\0'"\\$(printf %03o ${#1})"'%s' "$1"
}
for name in ../evil a/b . .. $'x\ny'; do
	header "$name" 1 >lie
	printf x >>lie
	serve --dir dst --mode negotiated
	exits 1 "$cat" --mode negotiated "127.0.0.1:$port" lie
	served 1
	says "not allowed" server.log
	check "nothing outside" [ ! -e evil ]
done
{ header short 200; printf x; } >lie
serve --dir dst --mode negotiated
exits 1 "$cat" --mode negotiated "127.0.0.1:$port" lie
served 1
says "ended early" server.log
says "not complete" server.log

# Refused before anything is sent.
exits 2 "$cat" --names 127.0.0.1:1
exits 2 "$cat" --names 127.0.0.1:1 -
exits 2 "$cat" --names --raw 127.0.0.1:1 src/c.bin
exits 2 "$cat" -l --dir dst -o x
mkdir other
cp src/c.bin other
exits 1 "$cat" --names 127.0.0.1:1 src/c.bin other/c.bin
says "two files are called 'c.bin'"
exits 1 "$cat" --names 127.0.0.1:1 /dev/null
exits 1 "$cat" -l --dir nowhere 127.0.0.1:0
pass
