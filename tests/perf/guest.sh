# SPDX-License-Identifier: BSD-2-Clause
# Between two hosts with SoftRoCE: nmt_info and nmt_perf show the path, the RDMA loads run over
# verbs and as plain writes, and the plain ones say what they cannot do.

. "$(dirname "$0")/lib.sh"
info=${NMT_INFO:?the program nmt_info}
host=10.77.0.2

# serve: a server on host b
serve()
{
	rm -f port
	ip netns exec b timeout 110 "$perf" --listen $host -p 0 --port-file port \
		--provider verbs/rxe_b "$@" >server.log 2>&1 &
	server=$!
	wait_file port
	addr=$host:$(head -n 1 port)
}

# measure EXPRESSION OPTION...: from host a; the expression is on the JSON report d
on_a=(ip netns exec a)
measure()
{
	local what=$1
	shift
	rm -f out.json
	exits 0 "${on_a[@]}" "$perf" "$@" --provider verbs/rxe_a --stall 10 --json=out.json "$addr"
	holds out.json "($what)"
}

path="d['path']['device'] == 'rxe_a' and d['path']['adapter_port'] == 1 and
	d['path']['gid'] == '::ffff:10.77.0.1' and d['path']['gid_type'] == 'RoCE v2' and
	d['path']['gid_index'] == 1 and d['path']['mtu'] == 4096 and d['path']['why'] is None"

exits 0 ip netns exec a "$info" --json --provider verbs/rxe_a
holds run.out "all(p['adapter_port'] == 1 and p['gid_type'] == 'RoCE v2' and
	p['gid'] == '::ffff:10.77.0.1' and p['mtu'] == 4096 and p['speed_mbps'] > 0 for p in d['providers'])"

serve
measure "$path and d['provider'] == 'verbs' and d['call'] == 'frags' and
	d['verified'] == 220 * 65536 and d['path']['recoveries'] == 0 and
	d['path']['speed_mbps'] > 0 and d['path']['rails'] == 1 and
	d['stats']['client']['rma_writes'] >= 220 and d['stats']['server']['ctrl_sent'] > 0" \
	bw -n 200 -s 64K --call frags --verify
says "path: device rxe_a port 1, GID 1 ::ffff:10.77.0.1 (RoCE v2), MTU 4096" run.out
says " Gb/s, 1 rail, 10.77.0.1:" run.out
says "Path: epoch 0, 0 recoveries" run.out
# The kernel shows an adapter's counters in the /sys of the first network namespace only.
on_a=(nsenter --net=/run/netns/a)
ip netns exec a tc qdisc add dev veth_a root netem loss 1% || fail "tc"
measure "d['verified'] == 220 * 65536 and d['path']['retries'] > 0 and d['path']['recoveries'] == 0" \
	bw -n 200 -s 64K --call frags --verify
grep -Eq "Path: epoch 0, .* [1-9][0-9]* requests sent again" run.out || fail "no requests sent again"
ip netns exec a tc qdisc del dev veth_a root || fail "tc"
on_a=(ip netns exec a)
measure "$path and d['path']['rails'] == 3 and isinstance(d['path']['waits'], list)" \
	bw -n 100 -s 64K --rails 3
measure "$path and d['lat_us']['samples'] > 0" lat -n 200 --poll

measure "$path and d['call'] == 'raw-write' and d['provider'] == 'verbs' and
	d['bytes'] == 400 * 65536 and d['params']['wait'] == 'adaptive'" raw-write -n 400 -s 64K
measure "$path and d['iterations'] > 0 and d['bw_bytes_per_s'] > 0" raw-write bw -D 200ms -s 4K
measure "$path and d['bytes'] == 2 * 2000 * 4096" raw-write bidir -n 2000 -s 4K
measure "d['bytes'] > 0 and 0.1 < d['seconds'] < 5" raw-write bidir -D 300ms -s 64K
measure "$path and 999 <= d['lat_us']['samples'] <= 1001 and d['bytes'] == 2 * 64 * 1000" \
	raw-write lat -n 1000
measure "d['lat_us']['samples'] > 0" raw-write lat -D 200ms -s 8K
exits 2 ip netns exec a "$perf" raw-write bw -q 2 "$addr"
says "one stream"
exits 1 ip netns exec a "$perf" raw-write --provider verbs/rxe_b "$addr"
says "belong to rxe_a, not to rxe_b"
measure "d['bytes'] > 0" raw-write -n 10

# A cable that is pulled for good ends the client soon after --stall, not only when its last words
# on the control connection are given up.
sleep 2 && ip netns exec a ip link set veth_a down &
exits 4 timeout 20 ip netns exec a "$perf" bw -D 60s --stall 3 --provider verbs/rxe_a "$addr"
says "the first stream waits for: "
wait $!
ip netns exec a ip link set veth_a up
stop_server
pass
