# SPDX-License-Identifier: BSD-2-Clause
"""Finding and building the programs of this tree: nmt_perf and the parts in C."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass

import procs

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))


@dataclass
class Tools:
    build: str
    nmt_perf: str
    nmt_base: str
    nmt_idle: str
    nmt_count: str
    nmt_count_verbs: str

    def versions(self):
        return {name: procs.first_line([getattr(self, name), "--version"])
                for name in ("nmt_perf", "nmt_base", "nmt_idle")}


class Unbuilt(Exception):
    pass


def command(argv):
    done = subprocess.run(argv, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True)
    if done.returncode:
        sys.stderr.write(done.stdout)
        raise Unbuilt(f"failed: {' '.join(argv)}")


def build_tree(build):
    if not os.path.exists(os.path.join(build, "CMakeCache.txt")):
        generator = ["-G", "Ninja"] if shutil.which("ninja") else []
        command(["cmake", "-S", ROOT, "-B", build, *generator])
    command(["cmake", "--build", build, "-j", str(os.cpu_count())])


def setting(build, name):
    """A value in CMake's cache; empty when there is none."""
    try:
        with open(os.path.join(build, "CMakeCache.txt"), encoding="utf-8") as f:
            found = [line for line in f if line.startswith(name + ":")]
    except OSError:
        return ""
    return found[0].split("=", 1)[1].strip() if found else ""


def check_build(build):
    """A figure of a build that nobody would use is worse than none."""
    if not os.path.exists(os.path.join(build, "CMakeCache.txt")):
        raise Unbuilt(f"there is no build in {build}; leave --no-build out")
    if setting(build, "NMT_SANITIZE") or setting(build, "NMT_FUZZ") == "ON":
        raise Unbuilt(f"{build} is built with a sanitizer; choose another with --build")
    kind = setting(build, "CMAKE_BUILD_TYPE")
    if kind not in ("Release", "RelWithDebInfo"):
        raise Unbuilt(f"{build} is a {kind or 'nameless'} build; choose a Release one with --build")


def find(build, prepare, nmt_perf=None):
    """The programs in BUILD, built first if PREPARE; NMT_PERF: an installed one instead."""
    build = os.path.abspath(build)
    if prepare:
        build_tree(build)
    check_build(build)
    parts = os.path.join(build, "perftest", "compare.d")
    tools = Tools(build, nmt_perf or os.path.join(build, "perftest", "nmt_perf"),
                  os.path.join(parts, "nmt_base"), os.path.join(parts, "nmt_idle"),
                  os.path.join(parts, "nmt_count.so"), os.path.join(parts, "nmt_count_verbs.so"))
    for name in ("nmt_perf", "nmt_base", "nmt_idle", "nmt_count"):
        if not os.path.exists(getattr(tools, name)):
            raise Unbuilt(f"there is no {getattr(tools, name)}")
    return tools
