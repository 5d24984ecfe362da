#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# What goes wrong, and the exit status for it: usage, files, full disk, closed pipe, time-outs,
# expectations, signals.
. "$(dirname "$0")/lib.sh"
data in $((4 * 1048576 + 3))

# usage WORD... TEXT: exit status 2 with one line that holds TEXT.
usage()
{
	local text=${*: -1}
	exits 2 "$cat" "${@:1:$#-1}"
	says "$text"
	check "one line" [ "$(wc -l <run.log)" = 1 ]
}
usage "to where?"
usage --no-such-option x "unknown or ambiguous option '--no-such-option'"
usage --block 12Q h:1 "write for example 64K"
usage --block 0 h:1 "in range"
usage --block "needs a value"
usage --quiet=yes h:1 "takes no value"
usage --depth 64 h:1 "1 to 63"
usage --mem gold h:1 "choose one of host"
usage --mode either h:1 "for listeners"
usage --log loud h:1 "none, error, warn"
usage --idle soon h:1 "not a time"
usage --expect-checksum 12 h:1 "no checksum"
usage --checksum=crc h:1 "xxh3 or sha256"
usage --provider nosuch h:1 "nmt_info --all"
usage --keep h:1 "go with --listen"
usage --send-only --recv-only h:1 "exclude each other"
usage --recv-only h:1 in "no files"
usage -l --keep :0 - "more than once"
usage -l --send-only "name the files"
usage h:99999 "is no address; write host:port"
usage -l h:99999 "is no address; write host:port"
usage --records h:1 "has no records"
exits 0 "$cat" --help
says --expect-checksum run.out
exits 0 "$cat" --version
says nmt_cat run.out

# Files.
exits 1 "$cat" 127.0.0.1:1 no-such-file
says "cannot read no-such-file: No such file"
exits 1 "$cat" 127.0.0.1:1 /tmp
says "Is a directory"
echo old >old
exits 1 "$cat" -l -o old 127.0.0.1:0
says "old exists; use --force to overwrite it"
check "untouched" [ "$(cat old)" = old ]
serve -o old --force
exits 0 "$cat" "127.0.0.1:$port" in
served 0
same in old

# Nobody there.
serve -o /dev/null
exits 0 "$cat" "127.0.0.1:$port" old
served 0
exits 1 "$cat" "127.0.0.1:$port" in
says "Connection refused"
exits 1 "$cat" --timeout 5s no-such-host.invalid:1 in

# A full disk: both ends fail. ("-o" takes a device, it destroys nothing.)
for mode in raw negotiated; do
	serve --mode $mode -o /dev/full
	exits 1 "$cat" --mode $mode "127.0.0.1:$port" in
	served 1
	says "cannot write to /dev/full: No space left on device" server.log
done
if [ "$(id -u)" = 0 ] && mkdir disk && mount -t tmpfs -o size=1m nmt-test disk 2>/dev/null; then
	serve --mode negotiated -o disk/out
	exits 1 "$cat" --mode negotiated "127.0.0.1:$port" in
	served 1
	says "disk/out: No space left on device" server.log
	umount disk
else
	skip_part "no small file system can be mounted here"
fi

# A closed pipe is a failure, not a signal.
serve_files in in in -- --mode negotiated
timeout "$limit" "$cat" --mode negotiated --recv-only "127.0.0.1:$port" 2>run.log | head -c 1000 >/dev/null
check "exit status after a closed pipe" [ "${PIPESTATUS[0]}" = 1 ]
says "standard output: Broken pipe"
served 1

# Time-outs.
exits 4 "$cat" -l --idle 200ms 127.0.0.1:0
says "nobody connected"
serve --mode negotiated
(sleep 1) | exits 4 "$cat" --mode negotiated --idle 300ms "127.0.0.1:$port"
says "no byte moved"
served 1
serve --mode negotiated --idle 2s
(sleep 4) | exits 1 "$cat" --mode negotiated "127.0.0.1:$port"
served 4
says "no byte moved" server.log

# Expectations.
serve --expect $((4 * 1048576 + 3))
exits 0 "$cat" "127.0.0.1:$port" in
served 0
serve --expect 4M
exits 0 "$cat" "127.0.0.1:$port" in
served 3
says "expected 4194304" server.log
serve --expect-checksum 0123456789abcdef
exits 3 "$cat" --send-only --expect 1 "127.0.0.1:$port" in
served 3
says "expected xxh3:0123456789abcdef" server.log

# Signals: the stream is aborted, so that the peer fails too.
for signal in INT TERM; do
	serve --mode negotiated -o /dev/null
	(sleep 2) | timeout "$limit" "$cat" --mode negotiated "127.0.0.1:$port" 2>run.log &
	client=$!
	until_true pgrep -f "$cat --mode negotiated 127.0.0.1:$port" >/dev/null
	sleep 0.5
	kill -$signal "$(pgrep -f "^$cat --mode negotiated 127.0.0.1:$port")"
	wait $client
	check "exit status after SIG$signal" [ $? = $((128 + $(kill -l $signal))) ]
	served 1
done
pass
