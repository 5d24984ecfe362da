#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# A connection that is cut: never success in negotiated mode, at either end; in raw mode --expect
# tells. A peer that is only slow, or stopped for a while, is no failure.
. "$(dirname "$0")/lib.sh"
data in $((2 * 1048576))

# client OPTION...: a sender that has sent the file, and a while later has more in its pipe; sets $client
# to the process itself.
client()
{
	mkfifo hold 2>/dev/null
	(cat in; sleep 1.5; cat in in; sleep 20) >hold &
	feeder=$!
	started+=($feeder)
	"$cat" "$@" "127.0.0.1:$port" <hold 2>client.log &
	client=$!
	started+=($client)
}

for mode in negotiated raw; do
	# The sender dies in the middle.
	rm -f out
	serve --mode $mode -o out --expect 2M
	client --mode $mode
	until_true sh -c '[ "$(stat -c %s out)" = 2097152 ]'
	kill -9 $client
	if [ $mode = negotiated ]; then
		served 1
		says "the connection broke after" server.log
	else
		served 0 # TCP cannot tell; the count was right
	fi
	kill $feeder 2>/dev/null
	same in out
done

# Raw, cut short: --expect tells.
rm -f out
serve --raw -o out --expect 3M
client --raw
until_true sh -c '[ "$(stat -c %s out)" = 2097152 ]'
kill -9 $client
served 3
kill $feeder 2>/dev/null

# The receiver dies: the sender fails, in raw mode once it has more to send.
for mode in negotiated raw; do
	serve --mode $mode -o /dev/null
	client --mode $mode
	sleep 0.3
	kill -9 "$(server_pid)"
	wait $client
	got=$?
	check "the sender's exit status ($mode) $got" [ $got = 1 ]
	kill $feeder 2>/dev/null
	wait $server
done

# A receiver that is stopped for longer than anybody's patience does no harm.
data big $((24 * 1048576))
rm -f out
serve --mode negotiated -o out
receiver=$(server_pid)
kill -STOP "$receiver"
"$cat" --mode negotiated --timeout 10s "127.0.0.1:$port" big 2>client.log &
client=$!
sleep 2
kill -CONT "$receiver"
wait $client
check "the sender after a pause" [ $? = 0 ]
served 0
same big out
pass
