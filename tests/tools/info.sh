#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# nmt_info: its text, its JSON, its exit status.
. "$(dirname "$0")/lib.sh"

exits 0 "$info"
says "libnmt $("$info" --version | sed 's/.*libnmt \(.*\))/\1/')" run.out
says "auto takes: " run.out
says "tcp/lo " run.out
says "host " run.out
says "NMT_PROVIDER " run.out
exits 0 "$info" --all
says "cuda" run.out
says "NMT_VERBS_SRQ" run.out
says "not here" run.out
exits 0 env NMT_VERBS_MTU=1024 "$info"
says "NMT_VERBS_MTU  " run.out
check "a rare variable that is not set" [ "$(grep -c NMT_VERBS_ run.out)" = 1 ]
exits 0 "$info" -p tcp
exits 1 "$info" -p nosuch
says "not in this build" run.out
exits 2 "$info" surplus
exits 2 "$info" --colour
says "try 'nmt_info --help'"
exits 0 "$info" --help
says --json run.out
"$info" >/dev/full 2>run.log
check "a full disk" [ $? = 1 ]

exits 0 env NMT_PROVIDER=tcp "$info" --json --all
check "the schema" grep -q '"schema": *"nmt_info/1"' run.out
if have jq; then
	check "JSON" jq -e . run.out >/dev/null
	check "tcp is usable" jq -e '[.providers[] | select(.provider == "tcp" and .usable)] | length > 0' run.out >/dev/null
	check "its capabilities" jq -e '[.providers[] | select(.capabilities | index("raw"))] | length > 0' run.out >/dev/null
	check "auto" jq -e '.auto.spec == "tcp" and (.auto.why | length > 0)' run.out >/dev/null
	check "memory" jq -e '[.memory[] | select(.kind == "host") | .usable] == [true]' run.out >/dev/null
	check "unusable memory says why" jq -e 'all(.memory[] | select(.usable | not); .status < 0 and .note != null)' run.out >/dev/null
	check "environment" jq -e '.environment.NMT_PROVIDER == "tcp"' run.out >/dev/null
	check "a variable that is not set" jq -e '.environment | has("NMT_VERBS_SRQ") and .NMT_VERBS_SRQ == null' run.out >/dev/null
	check "port" jq -e '.defaults.port == 18515' run.out >/dev/null
	root=$(dirname "$0")/../..
	bash "$root/scripts/ofi-table" "$info" >table.out
	while read -r row; do
		device=${row#*\`}
		! grep -qF "| \`${device%%\`*}\` |" "$root/docs/ofi.md" ||
			check "docs/ofi.md: as scripts/ofi-table says: $row" grep -qxF "$row" "$root/docs/ofi.md"
	done < <(grep '^| `' table.out)
else
	skip_part "no jq to look into the JSON"
fi
pass
