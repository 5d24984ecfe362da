# SPDX-License-Identifier: BSD-2-Clause
"""perftest/compare: command line, and the way through."""

import argparse
import fnmatch
import importlib
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time

import network
import peers
import programs
import rdma
import report
import stats
import tools

GROUPS = ("tcp", "verbs", "ofi")

DESCRIPTION = """\
Runs libnmt's nmt_perf and programs that people know side by side on this machine, and prints one
row a target: ours, peer, the median of the ratio of pairs with its bootstrap interval, target, and
verdict. Pairs are short and interleaved: 15 of them, and 5 more at a time up to 60 while the
interval does not decide. Rows of counts (system calls, allocations, locks, copies, memory,
instructions) are taken from outside by strace, callgrind and a preloaded library.
"""

EPILOG = """\
verdicts:
  met        the interval's worse end is within 0.03 of the target or beyond it (counts: at most
             the target)
  missed     the interval's better end is not (counts: more than the target)
  undecided  neither, after 60 pairs
  context    there is no target; it stands beside one that has
  absent     a side did not run, or its program is missing; the row says why
  quick      --quick: too few pairs for a verdict

exit status: 0 every target is met (--quick: every row is there and every count is met); 1 one is
not, or a row or peer is absent; 2 wrong arguments.

Packages that are missing are installed (Debian, as root or with sudo; NMT_NO_INSTALL=1: not).
Nothing else should run meanwhile: on a machine with other work intervals get wide.
The first run builds the tree. Then group tcp takes 15 to 60 minutes, with --quick about 6. Group
verbs boots a Linux guest (docs/testing.md) and takes 10 to 30 minutes, with --quick about 5. Group
ofi takes 5 to 20 minutes, with --quick about 3.
"""


def parse(argv):
    p = argparse.ArgumentParser(prog="compare", description=DESCRIPTION, epilog=EPILOG,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("group", nargs="*", metavar="GROUP",
                   help=f"of: {' '.join(GROUPS)} (default: all)")
    p.add_argument("--json", metavar="FILE", help="write rows, samples, command lines and versions")
    p.add_argument("--only", metavar="NAME", action="append", default=[],
                   help="only rows of this name or pattern (quote *), or below it: --only rr.1000")
    p.add_argument("--quick", action="store_true", help="5 pairs, to try it out; gives no verdict")
    p.add_argument("--list", action="store_true", help="name the rows and their targets")
    p.add_argument("--build", metavar="DIR", default=os.path.join(tools.ROOT, "build"),
                   help="build folder, made if there is none (default: build/)")
    p.add_argument("--no-build", action="store_true", help="take the build folder as it is")
    p.add_argument("--nmt-perf", metavar="FILE", help="an installed nmt_perf, not the built one")
    p.add_argument("--congestion", metavar="NAME",
                   help="on a loopback of their own (a network namespace: root) where TCP uses this "
                        "congestion control, as reno; default: the machine's")
    p.add_argument("--version", action="version", version=f"compare (libnmt) {version()}")
    args = p.parse_args(argv)
    unknown = [g for g in args.group if g not in GROUPS]
    if unknown:
        p.error(f"no group '{unknown[0]}'; there are: {' '.join(GROUPS)}")
    if args.congestion and "verbs" in (args.group or GROUPS):
        p.error("--congestion is for groups tcp and ofi: name them; verbs runs in a guest")
    return args


def version():
    """Of the tree, from its top CMake file."""
    with open(os.path.join(tools.ROOT, "CMakeLists.txt"), encoding="utf-8") as f:
        line = next(line for line in f if line.startswith("project("))
    return line.split("VERSION")[1].split()[0]


def selected(name, patterns):
    return not patterns or any(fnmatch.fnmatch(name, p) or name.startswith(p + ".")
                               for p in patterns)


def choose(groups, patterns):
    """[(group, module, experiments)] with the rows that are wanted."""
    chosen = []
    for group in groups:
        module = importlib.import_module(f"rows.{group}")
        experiments = module.experiments()
        for e in experiments:
            e.rows = [r for r in e.rows if selected(r.name, patterns)]
        chosen.append((group, module, [e for e in experiments if e.rows]))
    return chosen


def print_list(chosen):
    for group, _, experiments in chosen:
        for row in (r for e in experiments for r in e.rows):
            what = row.peer.split(".")[0] or "-"
            target = row.target.text() if row.target else "(context)"
            print(f"{group}  {row.name:32} {row.unit:9} peer {what:9} {target}")


def cpu_model():
    with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as f:
        found = [line.split(":")[1].strip() for line in f if line.startswith("model name")]
    return found[0] if found else platform.machine()


def about(args, chosen, built):
    wanted = [p for _, module, _ in chosen for p in module.PROGRAMS]
    return {
        "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "quick": args.quick,
        "machine": {"kernel": platform.release(), "cpu": cpu_model(), "cpus": os.cpu_count(),
                    "load": os.getloadavg()[0], "congestion": network.congestion()},
        "versions": {**built.versions(), **peers.versions(dict.fromkeys(wanted))},
        "build": {"type": tools.setting(built.build, "CMAKE_BUILD_TYPE"),
                  "compiler": tools.setting(built.build, "CMAKE_C_COMPILER")},
        "pinning": "server on CPU 1, client on CPU 0" if os.cpu_count() > 1 else "none: one CPU",
    }


def progress(text):
    if sys.stderr.isatty():
        print(f"\r\033[K== {text}", end="", file=sys.stderr, flush=True)
    elif rdma.inside() and text:
        print(f"== {text}", file=sys.stderr, flush=True)


# ---- groups that run in the guest: this program again, in one boot

GUEST = os.path.join(tools.ROOT, "tests", "lab", "vm", "guest")
PAIR = os.path.join(tools.ROOT, "tests", "lab", "vm", "rxe-pair")
GUEST_LIMIT = 3600


def guest_line(args, group, build, path):
    words = [GUEST, "--timeout", str(GUEST_LIMIT), "--share", build, PAIR, sys.executable, "-B",
             os.path.join(tools.ROOT, "perftest", "compare"), group, "--no-build", "--build", build,
             "--json", path]
    for name in args.only:
        words += ["--only", name]
    return words + (["--quick"] if args.quick else [])


def absent(group, experiments, why):
    for e in experiments:
        e.failed = {name: why for name in e.sides}
    return [{"group": group, **e.result(r)} for e in experiments for r in e.rows]


def run_in_guest(args, group, experiments, build):
    """The document that the program in the guest wrote; without one, rows that are absent."""
    with tempfile.TemporaryDirectory(prefix="compare-", dir=build) as folder:
        path = os.path.join(folder, "rows.json")
        status = subprocess.run(guest_line(args, group, build, path), check=False).returncode
        if os.path.exists(path):
            with open(path, encoding="utf-8") as f:
                return json.load(f)
    rows = absent(group, experiments, f"the guest ended with status {status}")
    report.print_table(rows, "")
    return {"rows": rows, "samples": {}, "commands": {}, "failed_runs": []}


def in_guest(module):
    """Whether its pairs run in the guest, and this program does not."""
    return getattr(module, "WHERE", "") == "guest" and not rdma.inside()


def run_all(args, chosen, bench, guests):
    rows = []
    for group, module, experiments in chosen:
        if in_guest(module):
            guests.append(run_in_guest(args, group, experiments, bench.tools.build))
            rows += guests[-1]["rows"]
            continue
        try:
            for e in experiments:
                e.run(bench, args.quick, progress)
                rows += [{"group": group, **e.result(r, args.quick)} for r in e.rows]
        finally:    # also what there is when somebody ends it
            progress("")
            report.print_table([r for r in rows if r["group"] == group], module.NOTE)
    return rows


def passed(rows, quick):
    good = {stats.MET, "context"} | ({"quick"} if quick else set())
    return bool(rows) and all(r["verdict"] in good for r in rows)


def warn(chosen):
    load = os.getloadavg()[0]
    if load > 0.5:
        print(f"compare: this machine is busy (load {load:.1f}); intervals will be wide",
              file=sys.stderr)
    why = network.warning()
    if why and not all(in_guest(module) for _, module, _ in chosen):
        print(f"compare: {why}", file=sys.stderr)


def main(argv):
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    args = parse(argv)
    chosen = choose(args.group or GROUPS, args.only)
    if not any(experiments for _, _, experiments in chosen):
        print("compare: no row has that name; see --list", file=sys.stderr)
        return 2
    if args.list:
        print_list(chosen)
        return 0
    if not rdma.inside():
        peers.install(dict.fromkeys(p for _, module, _ in chosen for p in module.PROGRAMS))
    chosen = choose(args.group or GROUPS, args.only)    # what is missing may be there now
    try:
        built = tools.find(args.build, not args.no_build, args.nmt_perf)
        if args.congestion:
            network.leave(args.congestion)
    except (tools.Unbuilt, network.NoNetwork) as e:
        print(f"compare: {e}", file=sys.stderr)
        return 1
    if not rdma.inside():
        warn(chosen)
    bench = programs.Bench(built)
    facts = about(args, chosen, built)
    guests = []
    rows = run_all(args, chosen, bench, guests)
    print(f"\n{len(rows)} rows: {report.tally(rows)}; TCP: {facts['machine']['congestion']}")
    if args.json:
        everything = [e for _, _, experiments in chosen for e in experiments]
        report.write_json(args.json, report.document(rows, everything, bench, facts, guests))
    return 0 if passed(rows, args.quick) else 1
