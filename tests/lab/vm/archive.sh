# SPDX-License-Identifier: BSD-2-Clause
# Sourced: packages of a Debian suite other than the machine's own, downloaded into a cache and
# unpacked there. Nothing is installed. The archive's address is that of the machine's apt
# configuration; apt checks the suite's signature against Debian's keyring and each package against
# the suite's index.
set -uo pipefail

lab_cache=${NMT_LAB_CACHE:-${XDG_CACHE_HOME:-${HOME:-/var/tmp}/.cache}/libnmt}
keyring=/usr/share/keyrings/debian-archive-keyring.gpg

# say TEXT...: progress, on standard error; standard output is the result's.
say()
{
	printf '== %s\n' "$*" >&2
}

# cannot REASON...: what is wanted is not to be had on this machine.
cannot()
{
	printf '%s\n' "$*"
	exit 77
}

# cache_lock: one script at a time changes the cache. Released when the script ends.
cache_lock()
{
	mkdir -p "$lab_cache" || cannot "cannot make the cache $lab_cache"
	exec 9>"$lab_cache/lock" || cannot "cannot write to the cache $lab_cache"
	flock -n 9 || { say "Waiting for another download"; flock 9; }
}

# cache_free MIB: free space in the cache.
cache_free()
{
	local free
	free=$(df -Pm "$lab_cache" | awk 'NR == 2 { print $4 }')
	[ "$free" -ge "$1" ] || cannot "needs $1 MiB of free disk in $lab_cache, there are $free MiB"
}

# The addresses of Debian's archive that the machine's apt uses, "apt-get indextargets OPTION...".
debian_sites()
{
	apt-get "$@" indextargets --format '$(SITE)' 'Created-By: Packages' 'Origin: Debian' \
		'Label: Debian' 2>/dev/null | sort -u
}

# The address, also where nobody has called apt-get update yet.
archive_site()
{
	local lists=$lab_cache/apt/machine site
	site=$(debian_sites | head -n 1)
	if [ -z "$site" ]; then
		mkdir -p "$lists/partial"
		apt-get -q -o Dir::State::Lists="$lists" update >&2
		site=$(debian_sites -o Dir::State::Lists="$lists" | head -n 1)
		rm -rf "$lists"
	fi
	printf '%s\n' "$site"
}

# archive_open SUITE...: read the indexes of the suites; sets APT_CONFIG to a configuration that
# knows them only. False, with text on standard error, if they cannot be read.
archive_open()
{
	local dir=$lab_cache/apt site suite
	command -v apt-get >/dev/null || cannot "no apt-get: kernel packages come from Debian's archive"
	[ -e "$keyring" ] || cannot "no $keyring (Debian: debian-archive-keyring)"
	site=$(archive_site)
	[ -n "$site" ] || cannot "apt knows no Debian archive that it can reach"
	mkdir -p "$dir/lists/partial" "$dir/cache/archives/partial"
	for suite; do
		printf 'deb [arch=amd64 signed-by=%s] %s %s main\n' "$keyring" "$site" "$suite"
	done >"$dir/sources.list"
	cat >"$dir/apt.conf" <<-END
		Dir::Etc::SourceList "$dir/sources.list";
		Dir::Etc::SourceParts "/dev/null";
		Dir::State::Lists "$dir/lists";
		Dir::State::status "/dev/null";
		Dir::Cache "$dir/cache";
		APT::Architecture "amd64";
		APT::Architectures { "amd64"; };
		APT::Sandbox::User "root";
		APT::Update::Error-Mode "any";
	END
	export APT_CONFIG=$dir/apt.conf
	apt-get -q update >"$dir/update.log" 2>&1 || { cat "$dir/update.log" >&2; return 1; }
}

# archive_version PACKAGE: its newest version there, or nothing.
archive_version()
{
	apt-cache madison "$1" | awk -F ' *\\| *' '{ print $2; exit }'
}

# archive_get DIR PACKAGE[=VERSION]...: download and unpack into DIR.
archive_get()
{
	local dir=$1 debs deb
	shift
	debs=$(mktemp -d "$dir/debs.XXXXXX") || cannot "cannot write to $dir"
	say "Downloading: $*"
	(cd "$debs" && apt-get -q download "$@") >"$debs/log" 2>&1 ||
		{ cat "$debs/log" >&2; cannot "could not download $*"; }
	for deb in "$debs"/*.deb; do
		dpkg-deb -x "$deb" "$dir" || cannot "could not unpack ${deb##*/}"
	done
	rm -rf "$debs"
}
