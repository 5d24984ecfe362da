# SPDX-License-Identifier: BSD-2-Clause
# Every test with every way of moving bytes, verified, by count and by time, in one mode.
# usage: loads.sh MODE

. "$(dirname "$0")/lib.sh"
mode=$1
start_server

# run EXPRESSION OPTION...: on the JSON report d
run()
{
	local what=$1
	shift
	rm -f out.json
	exits 0 "$perf" --provider tcp --mode "$mode" --stall 5 --json=out.json "$@" "$addr"
	holds out.json "d['mode'] == '$mode' and d['provider'] == 'tcp'"
	holds out.json "$what"
}

for call in copy borrow frags into; do
	by_count="d['call'] == '$call' and d['iterations'] == 3000 and d['seconds'] > 0"
	run "$by_count and d['verified'] == 3 * 1100 * 5000" \
		bw -n 1000 -q 3 -s 5000 --verify --call $call
	run "d['verified'] == 2 * 2 * 110 * 131072 and d['iterations'] == 400" \
		bidir -n 100 -q 2 --verify --call $call
	run "d['verified'] == 2 * 550 * 64 and d['lat_us']['samples'] > 0" \
		lat -n 500 --verify --call $call
	run "d['verified'] == 2 * 10 * 220 * 100 and d['lat_us']['samples'] >= 1000" \
		rr -n 200 -q 10 -t 3 -s 100 --threads 2 --verify --call $call
	run "d['verified'] > 0 and 0.1 < d['seconds'] < 5 and d['bw_bytes_per_s'] > 0" \
		bw -D 200ms --verify --threads 2 -q 5 --call $call
	run "d['verified'] > 0 and d['lat_us']['p50'] <= d['lat_us']['p99_99']" \
		rr -D 200ms --verify -q 50 --call $call
	run "d['verified'] > 0 and d['bytes'] > 0" bidir -D 200ms --verify -s 10000 --call $call
done
run "d['verified'] == 2 * 550 * 64" lat -n 500 --verify --blocking
run "d['lat_us']['samples'] > 10 and d['params']['blocking']" lat -D 200ms --blocking
run "d['params']['wait'] == 'sleep' and d['stats']['client']['spins'] == 0" lat -D 100ms --sleep
run "d['params']['wait'] == 'poll' and d['stats']['client']['sleeps'] == 0" lat -D 100ms --poll
run "d['iterations'] == 100 and d['stats']['server']['accepts'] >= 100" conn -n 25 -q 4
run "d['iterations'] > 10 and d['lat_us']['p50'] > 0" conn -D 200ms -q 3 --threads 2
run "d['verified'] == 9 * 1048576 * 11" bw -n 10 -q 9 -s 1M --verify --threads 3
[ "$mode" = raw ] ||
	run "d['params']['records'] and d['verified'] == 2 * 550 * 3000" \
		rr -n 500 -s 3000 --records --verify
stop_server
pass
