# SPDX-License-Identifier: BSD-2-Clause
"""Peers and tracers that are Debian packages: installed when missing, their versions."""

import os
import shutil
import subprocess
import sys

import procs

# Program: (package, how it tells its version)
PACKAGES = {
    "iperf3": ("iperf3", ["iperf3", "--version"]),
    "sockperf": ("sockperf", ["sockperf", "--version"]),
    "strace": ("strace", ["strace", "-V"]),
    "valgrind": ("valgrind", ["valgrind", "--version"]),
    "taskset": ("util-linux", ["taskset", "--version"]),
    "ib_write_bw": ("perftest", ["ib_write_bw", "--version"]),
    "ib_send_bw": ("perftest", ["ib_send_bw", "--version"]),
    "ib_write_lat": ("perftest", ["ib_write_lat", "--version"]),
    "fi_pingpong": ("libfabric-bin", ["fi_info", "--version"]),
    "rstream": ("rdmacm-utils", ["dpkg-query", "-W", "rdmacm-utils"]),
}


def missing(programs):
    return sorted(p for p in programs if not shutil.which(p))


def as_root():
    """Words before a command that needs root; None: there is no way."""
    if os.geteuid() == 0:
        return []
    if not shutil.which("sudo"):
        return None
    if sys.stdin.isatty():
        return ["sudo"]
    able = subprocess.run(["sudo", "-n", "true"], check=False, capture_output=True)
    return ["sudo", "-n"] if able.returncode == 0 else None


def install(programs):
    """Install what is missing; what still is then shows in the rows."""
    packages = [PACKAGES[p][0] for p in missing(programs)]
    root = as_root()
    if not packages or os.environ.get("NMT_NO_INSTALL") or not shutil.which("apt-get"):
        return
    if root is None:
        print(f"compare: neither root nor sudo; on Debian: apt-get install {' '.join(packages)}",
              file=sys.stderr)
        return
    print(f"== Installing: {' '.join(packages)}", file=sys.stderr, flush=True)
    get = root + ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-q",
                  "-o", "DPkg::Lock::Timeout=300"]
    for words in (["update"], ["install", "-y", "--no-install-recommends", *packages]):
        subprocess.run(get + words, check=False, stdout=subprocess.DEVNULL)


def reason(program):
    """Why a side that needs PROGRAM cannot run; empty: it can."""
    if shutil.which(program):
        return ""
    return f"{program} is missing (Debian package {PACKAGES[program][0]})"


def versions(programs):
    return {p: procs.first_line(PACKAGES[p][1]) for p in programs if shutil.which(p)}
