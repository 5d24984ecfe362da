# SPDX-License-Identifier: BSD-2-Clause
"""Counts, taken from outside the library: system calls by strace, calls of allocator, locks and
copies by a preloaded library, instructions by callgrind. What setting up and ending cost is taken
off by measuring a short and a long run: a count is the difference of the two, for one operation."""

import os
import re
import tempfile

from procs import Failed, pinned
from programs import total_messages

MIB = 1 << 20
ENDS = ("client", "server")


class Wrap:
    """Puts a tracer before both ends, in a folder for its files."""

    def __init__(self, prefix):
        self.folder = tempfile.TemporaryDirectory(prefix="nmt-compare-")
        self.prefix = prefix

    def path(self, end):
        return os.path.join(self.folder.name, end)

    def __call__(self, end, cpu, argv):
        words, env = self.prefix(self.path(end))
        return pinned(cpu, words + list(argv), env)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.folder.cleanup()

    def lines(self, end):
        try:
            with open(self.path(end), encoding="ascii", errors="replace") as f:
                return f.read().splitlines()
        except OSError as e:
            raise Failed(f"no counts of the {end}: {e.strerror}") from e


def per_op(counts, ops):
    """The difference of two runs for one operation. COUNTS: [short, long], OPS the same."""
    return (counts[1] - counts[0]) / (ops[1] - ops[0])


def twice(run, sizes):
    """RUN(n) for both sizes gives ({name: count}, operations); {name: count for one operation}."""
    results = [run(n) for n in sizes]
    ops = [r[1] for r in results]
    return {name: per_op([r[0].get(name, 0) for r in results], ops)
            for name in {**results[0][0], **results[1][0]}}


# ---- system calls

def strace_summary(path):
    return ["strace", "-f", "-c", "-U", "calls,name", "-o", path], None


WAITS = ("epoll_wait", "epoll_pwait", "epoll_pwait2", "clock_nanosleep")


def summed(lines, without=()):
    """All calls of an strace summary."""
    calls = [line.split() for line in lines]
    return sum(int(c[0]) for c in calls if len(c) == 2 and c[0].isdigit() and
               c[1] != "total" and c[1] not in without)


def syscalls_of(run, sizes, without=()):
    """RUN(n, wrap) gives the operations. System calls for one operation, by end."""
    def once(n):
        with Wrap(strace_summary) as wrap:
            ops = run(n, wrap)
            return {end: summed(wrap.lines(end), without) for end in ENDS}, ops
    return twice(once, sizes)


def strace_full(path):
    return ["strace", "-f", "-qq", "-e", "signal=none", "-o", path], None


WAIT = re.compile(r"epoll_p?wait2?(?:\(| resumed>).*= (\d+)$")


def traced(lines):
    """Of the busiest thread, which does the work: calls, waits that found something, and how much
    they found. (A benchmark may have another thread that looks at the clock now and then.)"""
    threads = [line.split(maxsplit=1)[0] for line in lines]
    busiest = max(set(threads), key=threads.count)
    lines = [line for line, thread in zip(lines, threads) if thread == busiest]
    calls = sum(1 for line in lines if "resumed>" not in line and "+++" not in line)
    found = [int(m.group(1)) for m in map(WAIT.search, lines) if m and m.group(1) != "0"]
    return {"calls": calls, "waits": len(found), "ready": sum(found)}


def turn_calls_of(run, sizes):
    """System calls for one operation of the thread that does them, by end, and how many streams
    were ready at once, on average of the waits."""
    def once(n):
        with Wrap(strace_full) as wrap:
            ops = run(n, wrap)
            return {f"{end}.{k}": v for end in ENDS
                    for k, v in traced(wrap.lines(end)).items()}, ops
    figures = twice(once, sizes)
    result = {}
    for end in ENDS:
        ready = figures[f"{end}.ready"] / figures[f"{end}.waits"]
        result.update({end: figures[f"{end}.calls"], f"{end}_ready": ready,
                       f"{end}_limit": 2 + 1 / ready})
    return result


# ---- allocator, locks, copies

def preload(tools):
    def prefix(path):
        return [], {"LD_PRELOAD": tools.nmt_count, "NMT_COUNT_FILE": path}
    return prefix


def counted(lines):
    return {k: int(v) for k, v in (line.split() for line in lines)}


def counted_by_end(wrap, suffix=""):
    return {f"{end}.{k}": v for end in ENDS for k, v in counted(wrap.lines(end + suffix)).items()}


def preloaded(library, run, sizes):
    """What the preloaded LIBRARY counts for one operation, by "end.name"."""
    def once(n):
        def prefix(path):
            return [], {"LD_PRELOAD": library, "NMT_COUNT_FILE": path}
        with Wrap(prefix) as wrap:
            ops = run(n, wrap)
            return counted_by_end(wrap), ops
    return twice(once, sizes)


def sees_verbs(c):
    """C, the counts by "end.name". A counter that sees nothing would pass."""
    if not c.get("client.writes") or not c.get("server.recvs"):
        raise Failed("the preloaded counter does not see the adapter's requests")
    return c


def verbs_of(bench, run, sizes):
    """Requests, doorbells, completions of one operation."""
    return sees_verbs(preloaded(bench.tools.nmt_count_verbs, run, sizes))


def syscalls_and_verbs(bench, run, sizes, without=()):
    """What verbs_of() gives, and as "end.calls" the system calls of the same runs: under strace
    messages are slower, and doorbells take fewer of them."""
    def prefix(path):
        words, _ = strace_summary(path)
        return [*words, "-E", f"LD_PRELOAD={bench.tools.nmt_count_verbs}",
                "-E", f"NMT_COUNT_FILE={path}.verbs"], None

    def once(n):
        with Wrap(prefix) as wrap:
            ops = run(n, wrap)
            calls = {f"{end}.calls": summed(wrap.lines(end), without) for end in ENDS}
            return {**calls, **counted_by_end(wrap, ".verbs")}, ops
    return sees_verbs(twice(once, sizes))


def interposed(bench, args, mode, sizes):
    """What one operation of an nmt_perf test costs, the worse end; copied bytes: both ends."""
    def once(n):
        with Wrap(preload(bench.tools)) as wrap:
            report, _ = bench.nmt_perf([*args, "-n", n], mode, wrap)
            ends = [dict(line.split() for line in wrap.lines(end)) for end in ENDS]
            check_preload(ends, args)
            counts = {f"{end}.{k}": int(v) for end, c in zip(ENDS, ends) for k, v in c.items()}
            return counts, total_messages(report)
    c = twice(once, sizes)
    return {"allocs": max(c[f"{end}.allocs"] for end in ENDS),
            "locks": max(c[f"{end}.locks"] for end in ENDS),
            "copied": sum(c[f"{end}.{k}"] for end in ENDS for k in ("lib_copied", "copied"))}


def check_preload(ends, args):
    """A counter that sees nothing would pass: the benchmark's own set-up is known to show."""
    for counts in ends:
        if int(counts["libnmt"]) != 1 or int(counts["allocs"]) == 0 or int(counts["locks"]) == 0:
            raise Failed("the preloaded counter does not see libnmt; is it linked statically?")
    if "--call" in args and int(ends[0]["lib_copied"]) == 0:
        raise Failed("the preloaded counter does not see the copy that nmt_mr_write makes")


# ---- instructions

def callgrind(path):
    return ["valgrind", "--tool=callgrind", "-q", "--compress-strings=no", "--compress-pos=no",
            f"--callgrind-out-file={path}"], None


def own_cost(lines, obj):
    """Instructions of functions of the objects whose name contains OBJ, those they call not
    included: a line after "calls=" is the callee's."""
    total, here, callee = 0, False, False
    for line in lines:
        if line.startswith("ob="):
            here = obj in line
        elif line.startswith("calls="):
            callee = True
        elif line[:1].isdigit():
            if here and not callee:
                total += int(line.split()[1])
            callee = False
    return total


def instructions_of(run, sizes, obj="libnmt.so"):
    """Instructions of OBJ for one operation, by end."""
    def once(n):
        with Wrap(callgrind) as wrap:
            ops = run(n, wrap)
            return {end: own_cost(wrap.lines(end), obj) for end in ENDS}, ops
    return twice(once, sizes)


# ---- loads: each gives its operations

def nmt_run(bench, args, mode):
    def run(n, wrap):
        report, _ = bench.nmt_perf([*args, "-n", n], mode, wrap)
        return total_messages(report)
    return run


def base_run(bench, streams):
    def run(n, wrap):
        _, client = bench.base("rr", ["--streams", streams, "--count", n * streams], wrap)
        return client["turns"]
    return run


def iperf3_run(bench, size):
    """Its operations are MiB."""
    def run(n, wrap):
        report, _ = bench.iperf3(size, n, wrap)
        return report["end"]["sum_received"]["bytes"] / MIB
    return run


def nmt_mib(bench, args, mode, size):
    run = nmt_run(bench, args, mode)
    return lambda n, wrap: run(n, wrap) * size / MIB
