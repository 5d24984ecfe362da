# SPDX-License-Identifier: BSD-2-Clause
"""Group tcp: streams over kernel TCP on the loopback interface, against iperf3, sockperf, and the
same loads written directly on epoll."""

import counts
import peers
import programs
from experiment import Experiment, Row, Side
from stats import Target

PROGRAMS = ("iperf3", "sockperf", "strace", "valgrind", "taskset")
NOTE = """\
Loopback always copies in the kernel, also what the library neither copies on sending nor on
receiving: "copied" counts the bytes that the two programs and libnmt copy, not the kernel."""

KIB, MIB = 1 << 10, 1 << 20
BLOCK = 128 * KIB
MODES = ("raw", "negotiated")
SIZES = {"4K": 4 * KIB, "16K": 16 * KIB, "64K": 64 * KIB, "256K": 256 * KIB, "1M": MIB}
NO_SLOWER = Target(">=", 1.0)
ZERO = Target("<=", 0, of="ours", slack=0.0005)


def both(make):
    """A side for each mode."""
    return {mode: Side(make(mode)) for mode in MODES}


def peer(program, run):
    return Side(run, peers.reason(program))


def traced(program, sides):
    """The sides, if the tracer is there."""
    for side in sides.values():
        side.missing = side.missing or peers.reason(program)
    return sides


# ---- one stream, 128 KiB messages

def bulk():
    messages = 16384    # 2 GiB
    sides = both(lambda mode: lambda b: programs.nmt_bulk(b, mode, BLOCK, messages))
    sides["iperf3"] = peer("iperf3", lambda b: programs.iperf3_bulk(b, BLOCK, messages))
    rows = [Row(f"bulk.throughput.{m}", "B/s", f"{m}.bytes_per_s", "iperf3.bytes_per_s", NO_SLOWER)
            for m in MODES]
    rows += [Row(f"bulk.cpu.{m}", "s/GiB", f"{m}.cpu_per_gib", "iperf3.cpu_per_gib",
                 Target("<=", 1.05), "CPU time of both processes, from wait4") for m in MODES]
    return Experiment("bulk", sides, rows)


def bulk_syscalls():
    """How much a receive finds depends on how the two ends run: so these counts are taken in
    pairs, both programs under strace."""
    sizes = (200, 4200)
    sides = both(lambda mode: lambda b: counts.syscalls_of(
        counts.nmt_mib(b, ["bw", "-s", BLOCK], mode, BLOCK), sizes))
    sides["iperf3"] = peer("iperf3", lambda b: counts.syscalls_of(
        counts.iperf3_run(b, BLOCK), sizes))
    rows = [Row(f"syscalls.bulk.{role}.{m}", "/MiB", f"{m}.{end}", f"iperf3.{end}",
                Target("<=", 1.0))
            for role, end in (("sender", "client"), ("receiver", "server")) for m in MODES]
    return Experiment("syscalls.bulk", traced("strace", sides), rows)


# ---- ping-pong of 64 bytes

def latency(how, option, polling):
    args = ["-D", "600ms"]
    sides = both(lambda mode: lambda b: programs.nmt_latency(b, mode, [*args, option]))
    blocking = [*args, option, "--blocking"]
    sides["blocking"] = Side(lambda b: programs.nmt_latency(b, "raw", blocking))
    if not polling:
        sides["adaptive"] = Side(lambda b: programs.nmt_latency(b, "raw", args))
    sides["sockperf"] = peer("sockperf", lambda b: {"us": b.sockperf(polling, 1)})
    rows = [Row(f"latency.{how}.{m}", "us", f"{m}.us", "sockperf.us", Target("<=", 1.05),
                "half a round trip, median") for m in MODES]
    rows.append(Row(f"latency.{how}.raw.blocking", "us", "blocking.us", "sockperf.us",
                    note="blocking calls"))
    if polling:
        for name, extra in (("bare", []), ("watched", ["--watched"])):
            sides[name] = Side(lambda b, extra=extra: programs.base_latency(
                b, ["--time", 600, *extra]))
        rows += [Row("latency.poll.bare", "us", "bare.us", "sockperf.us",
                     note="send and recv alone, no libnmt"),
                 Row("latency.poll.watched", "us", "watched.us", "sockperf.us",
                     note="the same with the socket in an epoll set"),
                 Row("latency.poll.raw.watched", "us", "raw.us", "watched.us",
                     note="libnmt against the row before")]
    if not polling:
        rows.append(Row(f"latency.{how}.raw.adaptive", "us", "adaptive.us", "sockperf.us",
                        note="nmt_perf without --sleep: spins, then sleeps"))
    return Experiment(f"latency.{how}", sides, rows)


# ---- requests and responses of 64 bytes

def rr_many():
    streams = 1000
    sides = both(lambda mode: lambda b: programs.nmt_rate(
        b, mode, ["rr", "-q", streams, "-D", "1s"]))
    sides["epoll"] = Side(lambda b: programs.base_rate(
        b, "rr", ["--streams", streams, "--time", 1000]))
    note = "epoll: {epoll.syscalls} system calls a turn, the worse end"
    rows = [Row(f"rr.1000.{m}", "/s", f"{m}.per_s", "epoll.per_s", Target(">=", 0.97), note)
            for m in MODES]
    return Experiment("rr.1000", sides, rows)


def rr_syscalls():
    """One stream, sleeping: wait, receive, send."""
    sizes = (2000, 6000)
    sides = both(lambda mode: lambda b: counts.turn_calls_of(
        counts.nmt_run(b, ["rr", "--sleep"], mode), sizes))
    sides["epoll"] = Side(lambda b: counts.turn_calls_of(counts.base_run(b, 1), sizes))
    rows = [Row(f"syscalls.rr.1.{end}.{m}", "/turn", f"{m}.{end}", f"epoll.{end}",
                Target("<=", 3, of="ours", slack=0.01)) for end in counts.ENDS for m in MODES]
    return Experiment("syscalls.rr.1", traced("strace", sides), rows, count=True)


def rr_batches():
    """Many streams, sleeping: a wait is shared by the n that are ready at once."""
    streams, sizes = 64, (100, 300)
    sides = both(lambda mode: lambda b: counts.turn_calls_of(
        counts.nmt_run(b, ["rr", "--sleep", "-q", streams], mode), sizes))
    sides["epoll"] = Side(lambda b: counts.turn_calls_of(counts.base_run(b, streams), sizes))
    rows = [Row(f"syscalls.rr.{streams}.{end}.{m}", "/turn", f"{m}.{end}", f"epoll.{end}",
                Target("<=", f"{end}_limit", of="ours", slack=0.02),
                f"the target is 2 + 1/n, n = {{{m}.{end}_ready}} ready at once")
            for end in counts.ENDS for m in MODES]
    return Experiment(f"syscalls.rr.{streams}", traced("strace", sides), rows, count=True)


# ---- allocator, locks, copies

LOADS = {
    "bulk": (["bw"], (1000, 3000)),
    "borrow": (["bw", "--call", "borrow"], (1000, 3000)),
    "into": (["bw", "--call", "into"], (1000, 3000)),
    "rr": (["rr", "-q", "16"], (1000, 3000)),
}


def interposed(load):
    args, sizes = LOADS[load]
    sides = both(lambda mode: lambda b: counts.interposed(b, args, mode, sizes))
    rows = [Row(f"{what}.{load}.{m}", f"/{'turn' if load == 'rr' else 'message'}", f"{m}.{what}",
                target=ZERO) for what in ("allocs", "locks") for m in MODES]
    return Experiment(f"interposed.{load}", sides, rows, count=True)


def worst_copied(bench, mode, call):
    """Bytes copied for each byte moved, of the worst size."""
    worst = {size: counts.interposed(bench, ["bw", "--call", call, "-s", size], mode,
                                     (1000, 2000))["copied"] / size for size in SIZES.values()}
    return {"copied": max(worst.values())}


def copied(call):
    sides = both(lambda mode: lambda b: worst_copied(b, mode, call))
    rows = [Row(f"copied.{call}.{m}", "B/B", f"{m}.copied", target=ZERO,
                note="the worst of " + " ".join(SIZES)) for m in MODES]
    return Experiment(f"copied.{call}", sides, rows, count=True)


def placement(label, size):
    """Calls that do not copy, against those that do."""
    calls = ("copy", "borrow", "into")
    sides = {f"{mode}-{call}": Side(lambda b, mode=mode, call=call: programs.nmt_throughput(
        b, mode, ["-s", size, "-D", "400ms", "--call", call])) for mode in MODES for call in calls}
    rows = [Row(f"{call}.{label}.{mode}", "B/s", f"{mode}-{call}.bytes_per_s",
                f"{mode}-copy.bytes_per_s", NO_SLOWER, "peer: the copying calls of libnmt")
            for mode in MODES for call in calls[1:]]
    return Experiment(f"placement.{label}", sides, rows)


# ---- instructions

def instructions():
    """In libnmt alone, for a turn of one stream that sleeps; the epoll program as a whole."""
    sizes = (2000, 4000)
    sides = both(lambda mode: lambda b: counts.instructions_of(
        counts.nmt_run(b, ["rr", "--sleep"], mode), sizes))
    sides["epoll"] = Side(lambda b: counts.instructions_of(
        counts.base_run(b, 1), sizes, "nmt_base"))
    rows = [Row(f"instructions.rr.{end}.{m}", "/turn", f"{m}.{end}", f"epoll.{end}",
                note="user space: libnmt.so against all of nmt_base")
            for end in counts.ENDS for m in MODES]
    return Experiment("instructions.rr", traced("valgrind", sides), rows, count=True)


def instructions_per_byte(call):
    """That nobody copies in a loop that is no call of memcpy: a copy takes 0.03 at the least. What
    it is besides is one wake-up more or less, 0.004 to 0.014 by the kernel's mood."""
    args = ["bw", "--sleep", "--call", call, "-s", MIB]

    def per_byte(bench, mode):
        figures = counts.instructions_of(counts.nmt_run(bench, args, mode), (100, 300), "")
        return {"each": max(figures.values()) / MIB}
    sides = both(lambda mode: lambda b: per_byte(b, mode))
    rows = [Row(f"instructions.{call}.1M.{m}", "/B", f"{m}.each",
                target=Target("<=", 0.02, of="ours"),
                note="user space of the whole program, the worse end") for m in MODES]
    return Experiment(f"instructions.{call}", traced("valgrind", sides), rows, count=True)


# ---- many streams, many connections

def worse_end(report, what):
    return max(report["client"][what], report["server"][what])


def idle():
    def run(args):
        def measure(bench):
            report = bench.idle(args)
            return {what: worse_end(report, what) for what in ("heap", "resident")}
        return measure
    sides = {"raw": Side(run([])), "used": Side(run(["--use"])),
             "negotiated": Side(run(["--negotiated", "--streams", 4000]))}
    most = Target("<=", 2048, of="ours")
    rows = [Row(f"idle.{what}.raw", "B/stream", f"raw.{what}", target=most,
                note="10,000 streams, the worse end") for what in ("heap", "resident")]
    rows += [Row(f"idle.{what}.raw.used", "B/stream", f"used.{what}",
                 note="after a message each way on each") for what in ("heap", "resident")]
    rows += [Row("idle.heap.negotiated", "B/stream", "negotiated.heap", note="4,000 streams")]
    return Experiment("idle", sides, rows, count=True)


def connections(flight, targets):
    sides = both(lambda mode: lambda b: programs.nmt_rate(
        b, mode, ["conn", "-q", flight, "-D", "1s"]))
    sides["sockets"] = Side(lambda b: programs.base_rate(
        b, "conn", ["--streams", flight, "--time", 1000]))
    rows = [Row(f"connect.{flight}.{m}", "/s", f"{m}.per_s", "sockets.per_s", targets.get(m),
                f"{flight} in flight") for m in MODES]
    return Experiment(f"connect.{flight}", sides, rows)


def experiments():
    """Counts first: they are quick, and the gate."""
    return [
        bulk_syscalls(), rr_syscalls(), rr_batches(), *map(interposed, LOADS),
        *map(copied, ("borrow", "into")),
        instructions(), *map(instructions_per_byte, ("borrow", "into")), idle(),
        bulk(), latency("sleep", "--sleep", False), latency("poll", "--poll", True), rr_many(),
        *(placement(label, size) for label, size in SIZES.items()),
        connections(16, {"raw": Target(">=", 0.9), "negotiated": Target(">=", 0.3)}),
        connections(1, {}),
    ]
