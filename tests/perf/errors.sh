# SPDX-License-Identifier: BSD-2-Clause
# Wrong arguments, peers that vanish or hang, a busy server: one clear line and the exit code.

. "$(dirname "$0")/lib.sh"

# wrong TEXT ARGUMENT...
wrong()
{
	local text=$1
	shift
	exits 2 "$perf" "$@"
	says "$text"
	[ "$(wc -l <run.log)" = 1 ] || fail "more than one line: $*"
}

wrong "--size: '0' is not a size" bw -s 0 h
wrong "--size: '2G' is not a size" bw -s 2G h
wrong "--duration: '.' is not a time" -D . h
wrong "-n and -D exclude each other" -n 5 -D 2 h
wrong "lat has one stream a thread" lat -q 4 h
wrong "--blocking is for lat" rr --blocking h
wrong "choose one of copy, borrow, frags, into" bw --call zap h
wrong "'b' is one argument too many" a b
wrong "--mode either is for listeners" --mode either h
wrong "unknown or ambiguous option '--bogus'" --bogus
wrong "conn has no size to vary" conn -a h
wrong "-a and -s exclude each other" -a -s 5 h
wrong "more threads than streams" --threads 2 h
wrong "too much memory" --recv-size 1G --call into -q 100 h
wrong "--port: '70000' is not a number" -p 70000
wrong "-b is for the tests bw and bidir" lat -b h

exits 1 "$perf" bw 127.0.0.1:1
says "refused"
exits 1 "$perf" bw nosuchhost.invalid
says "nosuchhost.invalid"
exits 1 "$perf" --listen 192.0.2.1 -p 0
says "cannot listen on 192.0.2.1:0"

start_server
exits 1 "$perf" -p "${addr##*:}" --listen 127.0.0.1
says "choose another port with -p"
# A second client is told so, the first goes on; then the server serves the next.
"$perf" bw --provider tcp -D 2 "$addr" >first.out 2>first.log &
first=$!
sleep 0.7
exits 1 "$perf" bw "$addr"
says "busy with another client"
wait $first || fail "the first client: $(cat first.log)"
exits 0 "$perf" bw --provider tcp -n 10 --verify "$addr"

# A client that is killed costs the server nothing.
for test in bw rr bidir conn "lat --blocking"; do
	timeout -s KILL 0.5 "$perf" $test --provider tcp -D 20 "$addr" >/dev/null 2>&1
	for i in $(seq 50); do
		"$perf" lat --provider tcp -n 10 "$addr" >run.out 2>run.log && break
		sleep 0.1
	done
	says " lat: provider tcp" run.out
done
# A provider that the server does not have.
exits 0 "$perf" lat --provider tcp -n 10 "$addr"
stop_server

# A server that is killed, in each test; and one that stops answering.
for test in bw rr bidir conn "lat --blocking"; do
	start_server
	"$perf" $test --provider tcp -D 20 --stall 5 "$addr" >run.out 2>run.log &
	client=$!
	sleep 0.6
	kill -KILL "$(server_pid)"
	wait $client
	[ $? = 1 ] || fail "the client of a killed server: $test"
	wait "$server"
	server=
	[ "$(wc -l <run.log)" = 1 ] || fail "more than one line"
	checks=$((checks + 1))
done
start_server
"$perf" rr --provider tcp -D 20 --stall 1 "$addr" >run.out 2>run.log &
client=$!
sleep 0.6
pid=$(server_pid)
kill -STOP "$pid"
wait $client
[ $? = 4 ] || fail "the client of a stopped server"
says "nothing moves any more (--stall); the first stream waits for: bytes from the peer"
kill -CONT "$pid"
exits 0 "$perf" rr --provider tcp -n 10 "$addr"
stop_server

# --once: the server's exit code is the client's luck.
start_server --once
exits 0 "$perf" bw --provider tcp -n 10 "$addr"
wait "$server" || fail "--once"
server=
pass
