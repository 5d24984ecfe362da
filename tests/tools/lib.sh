# SPDX-License-Identifier: BSD-2-Clause
# Helpers of the tool tests. A test sources this, works in a folder of its own that is removed at
# the end, and calls "pass" last. Every program it starts ends by itself.

shopt -s lastpipe # "x | exits ..." runs exits in this shell

cat=${NMT_CAT:?the program nmt_cat}
info=${NMT_INFO:-}
limit=${NMT_TEST_LIMIT:-40}

work=$(mktemp -d "${TMPDIR:-/tmp}/nmt-tools.XXXXXX") || exit 1
cd "$work" || exit 1
started=()

end()
{
	local pid
	for pid in "${started[@]}"; do
		kill "$pid" 2>/dev/null
	done
	cd /
	rm -rf "$work"
}
trap end EXIT

fail()
{
	echo "FAIL: $*"
	local log
	for log in "$work"/*.log; do
		[ -s "$log" ] && { echo "--- ${log##*/}"; tail -n 20 "$log"; }
	done
	exit 1
}

pass()
{
	echo "ok: $checks checks"
	[ "$checks" -gt 0 ] || fail "no check was made"
	exit 0
}

skip_all()
{
	echo "SKIP: $*"
	exit 77
}

# A part of a test that cannot run here.
skip_part()
{
	echo "SKIP: $*"
}

have()
{
	command -v "$1" >/dev/null
}

checks=0
# check TEXT COMMAND...: the command must succeed.
check()
{
	local text=$1
	shift
	"$@" || fail "$text: $*"
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

# says TEXT [FILE]: the messages of the last run hold TEXT.
says()
{
	grep -qF -- "$1" "${2:-run.log}" || fail "no \"$1\" in ${2:-run.log}: $(cat "${2:-run.log}")"
	checks=$((checks + 1))
}

# same FILE FILE
same()
{
	cmp -s "$1" "$2" || fail "$1 and $2 differ ($(stat -c %s "$1" 2>&1), $(stat -c %s "$2" 2>&1))"
	checks=$((checks + 1))
}

# data FILE BYTES: real bytes of this machine, the same ones every time.
data()
{
	cat "$(command -v bash)" /usr/lib/*/libc.so.6 /usr/bin/* 2>/dev/null | head -c "$2" >"$1"
	[ "$(stat -c %s "$1")" = "$2" ] || skip_all "not enough data in /usr/bin for $2 bytes"
}

# serve OPTION...: nmt_cat -l in the background on a free port; sets $port and $server. Its output
# goes to server.out, its messages to server.log.
serve()
{
	local i
	rm -f port
	timeout "$limit" "$cat" -l --port-file port "$@" 127.0.0.1:0 >server.out 2>server.log &
	server=$!
	started+=($server)
	for ((i = 0; i < 200; i++)); do
		[ -s port ] && break
		kill -0 $server 2>/dev/null || break
		sleep 0.05
	done
	[ -s port ] || fail "the listener did not start: $*"
	port=$(head -n 1 port)
}

# serve_files FILE... -- OPTION...: the same, sending files.
serve_files()
{
	local files=() i
	while [ "$1" != -- ]; do
		files+=("$1")
		shift
	done
	shift
	rm -f port
	timeout "$limit" "$cat" -l --port-file port "$@" 127.0.0.1:0 "${files[@]}" >server.out 2>server.log &
	server=$!
	started+=($server)
	for ((i = 0; i < 200; i++)); do
		[ -s port ] && break
		sleep 0.05
	done
	[ -s port ] || fail "the listener did not start: $*"
	port=$(head -n 1 port)
}

# served CODE: wait for the listener's end.
served()
{
	local got
	wait "$server"
	got=$?
	[ $got = "$1" ] || fail "the listener's exit status is $got, not $1"
	checks=$((checks + 1))
}

# The process nmt_cat under the timeout(1) of serve.
server_pid()
{
	pgrep -P "$server"
}

# until_true COMMAND...: wait up to 5 s for it.
until_true()
{
	local i
	for ((i = 0; i < 100; i++)); do
		"$@" && return
		sleep 0.05
	done
	fail "never: $*"
}
