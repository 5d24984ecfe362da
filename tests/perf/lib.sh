# SPDX-License-Identifier: BSD-2-Clause
# Helpers of the nmt_perf tests: a folder of its own, a server, counted checks. Every program that
# is started ends by itself, and at the latest with the test.

perf=${NMT_PERF:?the program nmt_perf}
foe=${NMT_FOE:-}
limit=${NMT_TEST_LIMIT:-40}
checks=0
server=

if ! command -v python3 >/dev/null; then
	echo "SKIP: no python3 to read JSON reports with (Debian: python3)"
	exit 77
fi
work=$(mktemp -d "${TMPDIR:-/tmp}/nmt-perf.XXXXXX") || exit 1
cd "$work" || exit 1

end()
{
	[ -n "$server" ] && kill "$server" 2>/dev/null
	cd /
	rm -rf "$work"
}
trap end EXIT

fail()
{
	echo "FAIL: $*"
	local file
	for file in run.out run.log server.log; do
		[ -s "$file" ] && { echo "--- $file"; tail -n 20 "$file"; }
	done
	exit 1
}

pass()
{
	[ "$checks" -gt 0 ] || fail "no check was made"
	echo "ok: $checks checks"
	exit 0
}

wait_file()
{
	local i
	for i in $(seq 200); do
		[ -s "$1" ] && return 0
		sleep 0.05
	done
	fail "$1 did not come"
}

# start_server [OPTION...]: sets $server and $addr.
start_server()
{
	rm -f port
	timeout 110 "$perf" --listen 127.0.0.1 -p 0 --port-file port "$@" >server.log 2>&1 &
	server=$!
	wait_file port
	addr=127.0.0.1:$(head -n 1 port)
}

# The process of the server itself, not of its timeout(1).
server_pid()
{
	pgrep -P "$server"
}

stop_server()
{
	local status
	kill "$server"
	wait "$server"
	status=$?
	server=
	[ $status = 124 ] && fail "the server did not end at a signal"
	checks=$((checks + 1))
}

# exits CODE COMMAND...: run with a time limit, output to run.out and run.log.
exits()
{
	local want=$1 got
	shift
	timeout "$limit" "$@" >run.out 2>run.log
	got=$?
	[ $got = "$want" ] || fail "exit status $got, not $want: $*"
	checks=$((checks + 1))
}

# says TEXT [FILE]
says()
{
	grep -qF -- "$1" "${2:-run.log}" || fail "no \"$1\" in ${2:-run.log}"
	checks=$((checks + 1))
}

# holds FILE EXPRESSION: a Python expression on the JSON object d.
holds()
{
	python3 -c 'import json, sys
d = json.load(open(sys.argv[1]))
sys.exit(0 if eval(sys.argv[2]) else 1)' "$1" "$2" || fail "not so in $1: $2: $(cat "$1")"
	checks=$((checks + 1))
}
