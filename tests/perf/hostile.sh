# SPDX-License-Identifier: BSD-2-Clause
# Peers that are no nmt_perf, or a malicious one. After each case a good client is served, and the
# server has as many descriptors as before.

. "$(dirname "$0")/lib.sh"

descriptors()
{
	ls "/proc/$(server_pid)/fd" | wc -l
}

good_client()
{
	exits 0 "$perf" rr --provider tcp -n 50 -q 3 --verify "$addr"
}

start_server
good_client
before=$(descriptors)
for case in garbage version data truncated oversize flood limits vanish strangers disorder; do
	exits 0 "$foe" client "${addr##*:}" $case
	for i in $(seq 40); do # what ends the case may take the server a moment
		"$perf" lat --provider tcp -n 1 "$addr" >/dev/null 2>&1 && break
		sleep 0.1
	done
	good_client
	for i in $(seq 20); do
		[ "$(descriptors)" = "$before" ] && break
		sleep 0.1
	done
	[ "$(descriptors)" = "$before" ] || fail "$case: $(descriptors) descriptors, not $before"
done

# One that begins and says no more: others are told that the server is busy, until it is gone.
"$foe" client "${addr##*:}" slow &
slow=$!
sleep 0.3
exits 1 "$perf" bw "$addr"
says "busy with another client"
kill $slow
wait $slow 2>/dev/null
sleep 0.3
good_client
stop_server

# Servers.
for case in garbage endless ports early close; do
	rm -f port
	"$foe" server port $case &
	wait_file port
	exits 1 "$perf" bw --provider tcp "127.0.0.1:$(cat port)"
	[ "$(wc -l <run.log)" = 1 ] || fail "$case: more than one line"
	wait $! || fail "$case: the foe"
done
rm -f port
"$foe" server port silent &
wait_file port
exits 4 "$perf" bw --provider tcp --timeout 1 "127.0.0.1:$(cat port)"
wait $!
pass
