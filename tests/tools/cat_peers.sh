#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# Raw mode with other programs at the other end: nc both ways, curl, bash's /dev/tcp.
. "$(dirname "$0")/lib.sh"
data in $((3 * 1048576 + 11))
ran=0

with_nc()
{
	serve --raw -o out --force
	timeout "$limit" nc -N 127.0.0.1 "$port" <in >/dev/null || fail "nc as client"
	served 0
	same in out

	timeout "$limit" nc -l 127.0.0.1 0 </dev/null >nc.out 2>nc.log &
	local nc=$! nc_port
	started+=($nc)
	until_true nc_listens
	exits 0 "$cat" --raw --send-only "127.0.0.1:$nc_port" in
	wait $nc
	same in nc.out
	ran=1
}

# Which port the nc of ours took.
nc_listens()
{
	nc_port=$(ss -Hltnp 2>/dev/null | sed -n 's/.*127\.0\.0\.1:\([0-9]*\) .*"nc",pid='"$(pgrep -P $nc)"',.*/\1/p')
	[ -n "$nc_port" ]
}

with_curl()
{
	{
		printf 'HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n' "$(stat -c %s in)"
		cat in
	} >response
	serve_files response -- --raw
	timeout "$limit" curl -sS --noproxy '*' -o got "http://127.0.0.1:$port/x" || fail "curl: $?"
	served 0
	same in got
	says "GET /x HTTP/1.1" server.out
	ran=1
}

# An HTTP exchange with nmt_cat at both ends, as somebody would do it by hand.
by_hand()
{
	printf 'HTTP/1.0 200 OK\r\n\r\nhello\n' >response
	serve_files response -- --raw
	printf 'GET / HTTP/1.0\r\n\r\n' | exits 0 "$cat" --raw "127.0.0.1:$port"
	says hello run.out
	served 0
	says "GET / HTTP/1.0" server.out
}

with_bash()
{
	serve --raw -o out --force
	cat in >"/dev/tcp/127.0.0.1/$port" || fail "bash as client"
	served 0
	same in out
}

by_hand
with_bash
if have nc && have ss && nc -h 2>&1 | grep -q OpenBSD; then
	with_nc
else
	skip_part "no nc (netcat-openbsd) or ss here"
fi
if have curl; then
	with_curl
else
	skip_part "no curl here"
fi

# A negotiating client and a peer that knows nothing of libnmt: a time-out, for the peer says nothing.
serve --raw -o /dev/null
exits 4 "$cat" --mode negotiated --timeout 1s "127.0.0.1:$port" in
served 0
pass
