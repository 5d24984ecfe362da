#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# Checks what the documents show against the sources: the programs in nmt(7) and README.md are those
# of docs/examples, docs/errors.md has every message that the library logs, docs/environment.md and
# nmt_info have every variable that it reads, docs/providers.md has every op of a provider, the man
# pages are free of warnings (mandoc).
# No arguments. Exit status: 0 all is well, 1 something differs.
cd "$(dirname "$0")/../.." || exit 1
bad=0

# differs WHAT FILE TEXT: compare, show where.
differs()
{
	diff -u "$2" - <<<"$3" >&2 && return
	echo "$1 does not show $2 as it stands" >&2
	bad=1
}

program=$(sed -n '/^\.Bd -literal$/,/^\.Ed$/p' docs/man/nmt.7 | sed '1d;$d; s/^\\&//; s/\\e/\\/g')
differs docs/man/nmt.7 docs/examples/overview.c "$program"

# README.md leaves out the comment at the top.
program=$(sed -n '/^```c$/,/^```$/p' README.md | sed '/^```$/q' | sed '1d;$d')
head=$(sed -n '1,/^ \*\/$/p' docs/examples/hello.c)
differs README.md docs/examples/hello.c "$head
$program"

# The parts that do not vary of every text that a call which logs or fails is given.
messages()
{
	perl -0777 -ne '
		while (/\b(?:nmti_(?:err|warn|info|debug|log|boot_fail)|broken|ctl_fail|nmti_rma_protocol|fail)\(((?:"(?:[^"\\]|\\.)*"|[^";])*);/g) {
			my $call = $1;
			$call =~ s/"\s*"//g;
			while ($call =~ /"((?:[^"\\]|\\.)*)"/g) {
				my $text = $1;
				$text =~ s/\\"/"/g;
				/[a-z]{3}/ && length > 7 && print "$_\n" for split /%[-.0-9*lz]*[a-z]/, $text;
			}
		}' libnmt/*.c libnmt/mem/*.c libnmt/rma/*.c providers/*/*.c | sort -u
}

while IFS= read -r text; do
	grep -qF -- "$text" docs/errors.md && continue
	echo "docs/errors.md lacks the message \"$text\"" >&2
	bad=1
done < <(messages)

# The provider guide says why each op exists.
while IFS= read -r name; do
	grep -q -- "\`$name\`" docs/providers.md && continue
	echo "docs/providers.md lacks the op $name" >&2
	bad=1
done < <(sed -n '/^struct nmt_provider_ops {/,/^};/s/.*(\*\([a-z_]*\))(.*/\1/p' libnmt/include/nmt/provider.h)

# Every variable that the library reads is documented, and shown by nmt_info.
while IFS= read -r name; do
	for file in docs/environment.md tools/nmt_info/settings.c; do
		grep -qw -- "$name" "$file" && continue
		echo "$file lacks the variable $name" >&2
		bad=1
	done
done < <(grep -rohE '"NMT_[A-Z_]+"' --include='*.c' libnmt providers | tr -d '"' | sort -u)

if command -v mandoc >/dev/null; then
	find docs/man -type f -name '*.[1-8]' -print0 | xargs -0 mandoc -T lint -W warning >&2 || bad=1
else
	echo "SKIP: man pages are not linted, no mandoc (Debian: mandoc)"
fi
exit $bad
