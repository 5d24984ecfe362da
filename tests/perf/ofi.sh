# SPDX-License-Identifier: BSD-2-Clause
# nmt_perf raw-write on libfabric: every load over connected and over datagram endpoints, and what
# cannot be says so.

. "$(dirname "$0")/lib.sh"
start_server

# measure PROVIDER EXPRESSION OPTION...: the expression is on the JSON report d
measure()
{
	local provider=$1 what=$2
	shift 2
	rm -f out.json
	exits 0 "$perf" raw-write "$@" --provider "$provider" --stall 10 --json=out.json "$addr"
	holds out.json "(d['call'] == 'raw-write' and d['provider'] == 'ofi' and
		d['params']['wait'] == 'poll' and ($what))"
}

# Counts tell that no message is lost or counted twice: -n is complete only when all came.
for provider in ofi/tcp ofi/tcp:rdm ofi/shm; do
	device=${provider#ofi/}
	measure $provider "d['bytes'] == 400 * 65536 and
		d['path']['device'].startswith('${device%:*}')" -n 400 -s 64K
	measure $provider "d['bytes'] == 20000 * 64" bw -n 20000 -s 64
	measure $provider "d['bytes'] == 30 * 3000001" bw -n 30 -s 3000001 -t 1
	measure $provider "d['bytes'] == 500 * 70000" bw -n 500 -s 70000 --rcvbuf 200000
	measure $provider "d['iterations'] > 0 and d['bw_bytes_per_s'] > 0" bw -D 200ms -s 4K
	measure $provider "d['bytes'] == 2 * 2000 * 4096" bidir -n 2000 -s 4K
	measure $provider "d['bytes'] > 0 and 0.1 < d['seconds'] < 5" bidir -D 200ms -s 64K
	measure $provider "999 <= d['lat_us']['samples'] <= 1001 and d['bytes'] == 2 * 64 * 1000" \
		lat -n 1000
	measure $provider "d['lat_us']['samples'] > 0" lat -D 200ms -s 8K
done
[[ $(python3 -c 'import json; print(json.load(open("out.json"))["path"]["device"])') = shm ]] ||
	fail "ofi/shm is not libfabric's shm"

exits 2 "$perf" raw-write bw -q 2 --provider ofi/tcp "$addr"
says "one stream"
exits 1 "$perf" raw-write --provider ofi/nosuch "$addr"
says "no provider nosuch with datagram endpoints"
says "fi_info -l lists providers"
exits 1 "$perf" raw-write --provider ofi/shm:msg "$addr"
says "no provider shm with connected endpoints"
for spec in ofi ofi/ ofi/tcp:dgram; do
	exits 1 "$perf" raw-write --provider $spec "$addr"
	says "write ofi/tcp, ofi/tcp:rdm or ofi/shm"
done

# A client that is killed costs the server nothing.
timeout -s KILL 0.5 "$perf" raw-write -D 20 --provider ofi/tcp "$addr" >/dev/null 2>&1
for i in $(seq 100); do
	"$perf" raw-write lat --provider ofi/shm -n 10 "$addr" >run.out 2>run.log && break
	sleep 0.1
done
says " lat: provider ofi" run.out
stop_server

# A server that is killed ends the client.
for provider in ofi/tcp ofi/shm; do
	start_server
	"$perf" raw-write --provider $provider -D 20 --stall 2 "$addr" >run.out 2>run.log &
	client=$!
	sleep 0.8
	kill -KILL "$(server_pid)"
	wait $client
	code=$?
	[ $code = 1 ] || [ $code = 4 ] || fail "status $code of the client of a killed server"
	wait "$server"
	server=
	[ "$(wc -l <run.log)" = 1 ] || fail "more than one line"
	checks=$((checks + 1))
done
pass
