#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# On the host: what "guest" promises. Exit status and output come back; a failed command, one that
# takes too long, a guest that dies and a machine that can have none are told apart; nothing is left
# behind, whatever ends guest.
guest=$(realpath "$(dirname "$0")")/guest
checks=0
work=$(mktemp -d) || exit 1
dir="$work/a guest"     # a name that has to be quoted
export TMPDIR=$work
cd "$work" || exit 1

end()
{
	"$guest" --down "$dir" 2>/dev/null
	cd /
	rm -rf "$work"
}
trap end EXIT

fail()
{
	echo "FAIL: $*"
	local log
	for log in out err; do
		[ -s "$work/$log" ] && { echo "--- $log"; tail -n 50 "$work/$log"; }
	done
	exit 1
}

# run STATUS ARGUMENT...: guest ends with this status; leaves out and err.
run()
{
	local want=$1 got
	shift
	"$guest" "$@" >out 2>err </dev/null
	got=$?
	[ $got = 77 ] && { tail -n 1 out; exit 77; }
	[ $got = "$want" ] || fail "guest $*: exit status $got, not $want"
	checks=$((checks + 1))
}

says()
{
	grep -q -- "$1" "$2" || fail "$2 does not say \"$1\""
	checks=$((checks + 1))
}

check()
{
	local text=$1
	shift
	"$@" || fail "$text"
	checks=$((checks + 1))
}

# The processes of the guests in this folder.
processes()
{
	pgrep -f "$work/.*/init"
}

gone()
{
	local i
	for ((i = 0; i < 100; i++)); do
		[ -z "$(processes)" ] && return 0
		sleep 0.1
	done
	return 1
}

inside()
{
	local want=$1
	shift
	run "$want" --in "$dir" "$@"
}

# A machine that can have no guest.
mkdir bin
ln -s "$(python3 -c 'import sys; print(sys.executable)')" bin/python3
ln -s "$(command -v env)" bin/
(unset CI; PATH=$work/bin exec "$guest" true) >out 2>err
check "without QEMU: exit status $?, not 77" [ $? = 77 ]
says '^SKIP: no guest: ' out
CI=1 PATH=$work/bin "$guest" true >out 2>err
check "without QEMU in CI: exit status $?, not 125" [ $? = 125 ]
says 'with CI set this is a failure' err

# A guest that stays.
run 0 --up "$dir"
says 'up: [0-9.]* s' err
cat err
inside 0 true
says 'status 0 after' err
inside 3 sh -c 'exit 3'
says 'status 3 after' err
inside 0 sh -c 'printf "one\n\036end two\n"; echo three >&2; printf "\036"'
check "output is passed on as it is" cmp -s out <(printf 'one\n\036end two\nthree\n\036')
MARK="it's \$here" inside 0 sh -c 'echo "$MARK"; pwd; id -u; uname -r'
check "environment" [ "$(sed -n 1p out)" = "it's \$here" ]
check "folder" [ "$(sed -n 2p out)" = "$work" ]
check "root" [ "$(sed -n 3p out)" = 0 ]
check "another kernel" [ "$(sed -n 4p out)" != "$(uname -r)" ]
inside 0 sh -c 'echo written >file; ls /tmp'
check "a file written there is here" [ "$(cat file)" = written ]
check "/tmp there is not ours" [ "$(wc -l <out)" -le 2 ]

# Time-out; the command is gone, and all that it started, and the guest goes on.
inside 124 --timeout 2 sh -c 'setsid sleep 998 & echo started; sleep 999'
says 'timed out' err
says started out
inside 1 pgrep sleep
# A command leaves nothing.
inside 0 sh -c 'setsid sleep 998 >/dev/null 2>&1 & sleep 0.2; pgrep sleep'
inside 1 pgrep sleep
# A client that is killed takes its command along.
"$guest" --in "$dir" sleep 997 >out 2>err &
client=$!
sleep 1
kill -9 $client
wait $client 2>/dev/null
inside 1 pgrep sleep

# Another guest meanwhile, which runs one command.
run 5 sh -c 'echo once; exit 5'
says once out
says 'status 5 after' err
inside 0 true

# The guest dies.
inside 125 sh -c 'echo before; echo c >/proc/sysrq-trigger; sleep 30'
says 'the guest died' err
says 'sysrq triggered crash' err
says before out
inside 125 true
says 'no guest is up' err
check "nothing is left of it" gone

# starting: a guest is on its way.
starting()
{
	local i
	for ((i = 0; i < 100; i++)); do
		processes >/dev/null && return 0
		sleep 0.1
	done
	return 1
}

# Interrupted; and a guest that stays, but whose owner does not.
for signal in TERM INT; do
	"$guest" sleep 100 >out 2>err &
	client=$!
	check "a guest is starting" starting
	kill -$signal $client
	wait $client
	check "exit status $? after SIG$signal" [ $? -gt 128 ]
	check "nothing is left after SIG$signal" gone
done
bash -c '"$0" --up other & sleep 600' "$guest" >out 2>err &
owner=$!
check "a guest is starting" starting
pkill -P $owner sleep
kill -9 $owner
wait $owner 2>/dev/null
check "a guest ends with its owner" gone
check "no folder is left" eval '! ls -d nmt-guest.* 2>/dev/null | grep .'
echo "ok: $checks checks"
