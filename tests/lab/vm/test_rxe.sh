#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# In the guest, run by rxe-pair: two hosts, with their addresses, GIDs and traffic between them.
# Argument: the number of rails.
rails=${1:-1}
checks=0
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT

fail()
{
	echo "FAIL: $*"
	tail -n 20 "$work"/*
	exit 1
}

# check TEXT COMMAND...
check()
{
	local text=$1
	shift
	"$@" || fail "$text"
	checks=$((checks + 1))
}

on()
{
	ip netns exec "$@"
}

# listens HOST PORT: whether a TCP server is there.
listens()
{
	on "$1" ss -Hltn "sport = :$2" | grep -q .
}

# both NAME READY SERVER... : CLIENT...: a server on host b,
# once READY holds a client on host a; both end well.
both()
{
	local name=$1 ready=$2 server=() tries pid
	shift 2
	while [ "$1" != : ]; do server+=("$1"); shift; done
	shift
	on b "${server[@]}" >"$work/server" 2>&1 &
	pid=$!
	for ((tries = 0; tries < 100; tries++)); do
		eval "$ready" && break
		sleep 0.1
	done
	on a "$@" >"$work/client" 2>&1 || fail "$name, client: exit status $?"
	wait $pid || fail "$name, server: exit status $?"
	checks=$((checks + 1))
}

has_words()
{
	local file=$1 word
	shift
	for word; do grep -qF -- "$word" "$file" || { echo "no \"$word\""; return 1; }; done
}

for ((i = 0; i < rails; i++)); do
	s=$i
	[ "$rails" -gt 1 ] || s=
	for host in a b; do
		n=1
		[ $host = a ] || n=2
		on $host ip -o addr show "veth_$host$s" >"$work/addr"
		check "addresses of veth_$host$s" has_words "$work/addr" "10.77.$i.$n/24" "fd77:7$i::$n/64"
		rdma link show "rxe_$host$s/1" >"$work/link"
		check "state of rxe_$host$s" has_words "$work/link" "state ACTIVE"
		read -r gid <"/sys/class/infiniband/rxe_$host$s/ports/1/gids/1"
		check "GID 1 of rxe_$host$s is $gid" \
			[ "$gid" = "$(printf '0000:0000:0000:0000:0000:ffff:0a4d:%02x%02x' $i $n)" ]
		read -r type <"/sys/class/infiniband/rxe_$host$s/ports/1/gid_attrs/types/1"
		check "GID type of rxe_$host$s is $type" [ "$type" = "RoCE v2" ]
	done
	both "ibv_rc_pingpong, rail $i" "listens b 18515" \
		ibv_rc_pingpong -d "rxe_b$s" -g 1 -n 50 -c : \
		ibv_rc_pingpong -d "rxe_a$s" -g 1 -n 50 -c "10.77.$i.2"
	check "its figures" grep -q '50 iters in' "$work/client"
	both "rping, rail $i" "on b rdma resource show cm_id | grep -q LISTEN" \
		rping -s -a "10.77.$i.2" -C 5 -V : rping -c -a "10.77.$i.2" -C 5 -V -v
	check "its data" grep -q 'rdma-ping-4: ' "$work/client"
done
both "ib_write_bw" "listens b 18515" \
	ib_write_bw -d "rxe_b$s" -x 1 -s 65536 -n 50 : \
	ib_write_bw -d "rxe_a$s" -x 1 -s 65536 -n 50 "10.77.$((rails - 1)).2"
grep -E '^ *65536 ' "$work/client"
echo "ok: $checks checks"
