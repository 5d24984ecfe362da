#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# Pipes at both ends, slow ones too; both directions at once; several files; what a listener sends.
. "$(dirname "$0")/lib.sh"
data in $((3 * 1048576 + 5))

# From a pipe into a pipe that is read slowly, in both modes.
for mode in raw negotiated; do
	rm -f port slow
	(timeout "$limit" "$cat" -l --mode $mode --port-file port 127.0.0.1:0 2>server.log |
		(sleep 0.3; while head -c 200000 >chunk && [ -s chunk ]; do cat chunk; sleep 0.02; done) >slow) &
	server=$!
	until_true [ -s port ]
	(head -c 1000000 in; sleep 0.2; tail -c +1000001 in) |
		exits 0 "$cat" --mode $mode "127.0.0.1:$(head -n 1 port)"
	wait $server
	same in slow
done

# Both directions: the client sends and receives at once.
data back $((2 * 1048576 + 1))
for call in "" --copy; do
	serve_files back -- --mode negotiated $call
	timeout "$limit" "$cat" --mode negotiated --checksum $call "127.0.0.1:$port" <in >got 2>run.log ||
		fail "both directions, client: $?"
	served 0
	same in server.out
	same back got
	says "  sent"
	says "  received"
done

# A listener sends "-".
rm -f port
timeout "$limit" "$cat" -l --port-file port 127.0.0.1:0 - <in 2>server.log &
server=$!
until_true [ -s port ]
exits 0 "$cat" --recv-only "127.0.0.1:$(head -n 1 port)"
served 0
same in run.out

# Several files, standard input between them.
serve
exits 0 "$cat" "127.0.0.1:$port" back - back <in
served 0
cat back in back >all
same all server.out

# A redirected file that was read in part already: the rest of it.
serve
(head -c 4096 >/dev/null; exec timeout "$limit" "$cat" "127.0.0.1:$port") <in 2>run.log || fail "rest of a file"
served 0
cmp -s server.out <(tail -c +4097 in) || cmp -s server.out in || fail "rest of a file differs"

# An empty pipe is an empty stream.
serve --expect 0
exits 0 "$cat" --send-only "127.0.0.1:$port" </dev/null
served 0

# Descriptors keep their flags: standard input is not made non-blocking for others.
serve -o flags.out
(exec 5<in; timeout "$limit" "$cat" "127.0.0.1:$port" <&5 2>run.log
	grep -E '^flags:' /proc/self/fdinfo/5 >flags) || fail "shared descriptor"
served 0
check "no O_NONBLOCK" sh -c '[ $(( 0$(cut -f 2 flags) & 04000 )) = 0 ]'

# --keep serves one after the other and appends; a signal ends it.
serve --keep
exits 0 "$cat" "127.0.0.1:$port" back
exits 0 "$cat" "127.0.0.1:$port" back
cat back back >all
until_true cmp -s all server.out
kill -INT "$(server_pid)"
served 130
pass
