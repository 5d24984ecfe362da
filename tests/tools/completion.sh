#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# The bash completion: options of the programs that are installed, values, files.
. "$(dirname "$0")/lib.sh"
PATH=$(dirname "$cat"):$(dirname "$info"):$PATH
. "${NMT_COMPLETION:?the completion file}"

# completes PROGRAM WORD BEFORE WANTED
completes()
{
	COMP_WORDS=("$1" "$3" "$2")
	COMP_CWORD=2
	_nmt "$1" "$2" "$3"
	printf '%s\n' "${COMPREPLY[@]}" >run.log
	check "completion of $1 $3 $2" grep -qx -- "$4" run.log
}
completes nmt_cat --ex "" --expect-checksum
completes nmt_cat --prov "" --provider
completes nmt_cat h --mem huge
completes nmt_cat x --checksum xxh3
completes nmt_cat "" --provider tcp/lo
completes nmt_info --al "" --all
mkdir folder
completes nmt_cat fol --dir folder
completes nmt_cat fol x folder

# Every long option of the help, and nothing else, is offered.
_nmt nmt_cat -- ""
printf '%s\n' "${COMPREPLY[@]}" | grep -- ^-- | sort -u >offered
"$cat" --help | grep -oE '^ +(-[a-zA-Z], )? *--[-a-z]+' | grep -oE -- '--[-a-z]+' | sort -u >real
same real offered
check "many options" [ "$(wc -l <real)" -gt 30 ]
pass
