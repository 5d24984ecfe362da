# SPDX-License-Identifier: BSD-2-Clause
"""Group verbs: streams over RDMA between two hosts with SoftRoCE, in one boot of the guest, against
plain writes with immediate (nmt_perf raw-write), perftest, and rsockets' rstream."""

import counts
import peers
import rdma
from experiment import Experiment, Row, Side
from stats import Target

PROGRAMS = ("ib_write_bw", "ib_send_bw", "ib_write_lat", "rstream", "strace", "taskset")
WHERE = "guest"
NOTE = """\
"raw" is nmt_perf raw-write: writes with immediate without libnmt's engine. Both wait as they do by
default, by a spin and then sleep; rows with .poll, and latency, spin for ever on both ends. Rows of
throughput warm up before they measure, and .start does not: a stream takes and registers its memory
as it needs it, and the emulator clears pages byte by byte. SoftRoCE in an emulated guest: only
ratios of one boot mean anything. rstream sends one way, then the other."""

KIB, MIB = 1 << 10, 1 << 20
SIZES = {"64K": (64 * KIB, 600), "1M": (MIB, 48)}    # and messages of a run by count
TIME = ["-D", "400ms"]
WARM = [*TIME, "--warmup", "400ms"]
LIMIT = Target(">=", 0.95)


def peer(program, run):
    return Side(run, peers.reason(program))


def one_way(label):
    size, count = SIZES[label]
    args = ["-s", size, *WARM]
    frags = ["bw", "--call", "frags", *args]
    sides = {
        "nmt": Side(lambda b: rdma.throughput(b, frags)),
        "copy": Side(lambda b: rdma.throughput(b, ["bw", *args])),
        "raw": Side(lambda b: rdma.throughput(b, ["raw-write", "bw", *args])),
        "nmt_poll": Side(lambda b: rdma.throughput(b, [*frags, "--poll"])),
        "raw_poll": Side(lambda b: rdma.throughput(b, ["raw-write", "bw", "--poll", *args])),
        "write_bw": peer("ib_write_bw",
                         lambda b: rdma.perftest_rate(b, "ib_write_bw", size, count)),
        "send_bw": peer("ib_send_bw", lambda b: rdma.perftest_rate(b, "ib_send_bw", size, count)),
    }
    rows = [Row(f"oneway.{label}", "B/s", "nmt.bytes_per_s", "raw.bytes_per_s", LIMIT,
                "nmt_send_mr and nmt_recv_frags"),
            Row(f"oneway.{label}.copy", "B/s", "copy.bytes_per_s", "raw.bytes_per_s",
                note="nmt_send and nmt_recv")]
    rows += [Row(f"oneway.{label}.poll", "B/s", "nmt_poll.bytes_per_s", "raw_poll.bytes_per_s")]
    rows += [Row(f"oneway.{label}.{p}", "B/s", "nmt.bytes_per_s", f"{p}.bytes_per_s",
                 note=f"peer: ib_{p}") for p in ("write_bw", "send_bw")]
    rows += [Row(f"oneway.{label}.cpu", "s/GiB", "nmt.cpu", "raw.cpu",
                 note="CPU time of both processes")]
    return Experiment(f"oneway.{label}", sides, rows)


def rsockets(label, size, count, call):
    """The peer is the smaller of rstream twice over and what raw writes reach."""
    args = ["-s", size, *WARM]
    sides = {
        "nmt": Side(lambda b: rdma.throughput(b, ["bw", "--call", call, *args])),
        "raw": Side(lambda b: rdma.throughput(b, ["raw-write", "bw", *args])),
        "rstream": peer("rstream", lambda b: rdma.rstream(b, size, count)),
    }
    rows = [Row(f"rstream.{label}", "B/s", "nmt.bytes_per_s",
                "rstream.twice|raw.bytes_per_s", LIMIT,
                "peer: the smaller of 2 x rstream ({rstream.bytes_per_s} B/s) and raw"),
            Row(f"rstream.{label}.cpu", "s/GiB", "nmt.cpu", "rstream.cpu",
                note="CPU time of both processes")]
    return Experiment(f"rstream.{label}", sides, rows)


def latency():
    sides = {
        "nmt": Side(lambda b: rdma.latency(b, ["lat", "--poll", *TIME])),
        "raw": Side(lambda b: rdma.latency(b, ["raw-write", "lat", "--poll", *TIME])),
        "write_lat": peer("ib_write_lat", lambda b: rdma.perftest_latency(b, 64, 2000)),
    }
    note = "64 B, half a round trip, median, both ends polling"
    rows = [Row("latency", "us", "nmt.us", "raw.us", Target("<=", 1.15), note),
            Row("latency.write_lat", "us", "nmt.us", "write_lat.us",
                note="peer: ib_write_lat, which polls memory, not completions")]
    return Experiment("latency", sides, rows)


def both_ways():
    args, start = ["-s", 64 * KIB, *WARM], ["-s", 64 * KIB, *TIME, "--warmup", "1ms"]
    frags = ["bidir", "--call", "frags", *args]
    sides = {
        "nmt": Side(lambda b: rdma.throughput(b, frags)),
        "raw": Side(lambda b: rdma.throughput(b, ["raw-write", "bidir", *args])),
        "nmt_poll": Side(lambda b: rdma.throughput(b, [*frags, "--poll"])),
        "raw_poll": Side(lambda b: rdma.throughput(b, ["raw-write", "bidir", "--poll", *args])),
        "nmt_start": Side(lambda b: rdma.throughput(b, ["bidir", "--call", "frags", *start])),
        "raw_start": Side(lambda b: rdma.throughput(b, ["raw-write", "bidir", *start])),
    }
    rows = [Row("bidir.64K", "B/s", "nmt.bytes_per_s", "raw.bytes_per_s", LIMIT,
                "both directions together"),
            Row("bidir.64K.poll", "B/s", "nmt_poll.bytes_per_s", "raw_poll.bytes_per_s"),
            Row("bidir.64K.start", "B/s", "nmt_start.bytes_per_s", "raw_start.bytes_per_s",
                note="the first 400 ms"),
            Row("bidir.64K.cpu", "s/GiB", "nmt.cpu", "raw.cpu")]
    return Experiment("bidir.64K", sides, rows)


# ---- counts

def bulk_counts(bench):
    """Messages of 4 MiB, 32 segments of 128 KiB each. A write takes many segments when they adjoin,
    so what is bounded for a write of one is bounded for a segment."""
    args = ["bw", "--poll", "--call", "frags", "-s", 4 * MIB]
    c = counts.verbs_of(bench, rdma.messages(bench, args), (16, 80))
    segments = 4 * MIB / (128 * KIB)
    return {"writes": c["client.writes"] / segments,
            "doorbells": c["client.doorbells"] / segments,
            "signalled": c["client.signalled"] / segments,
            "control": c["server.messages"] / segments,
            "completions": (c["client.completions"] + c["server.completions"]) / segments,
            "recv_calls": c["server.recv_calls"] / segments}


def count_bulk():
    sides = {"nmt": Side(bulk_counts)}

    def row(what, most=None, note=""):
        target = most and Target("<=", most, of="ours", slack=0.01)
        return Row(f"count.bulk.{what}", "/segment", f"nmt.{what}", target=target, note=note)
    rows = [row("writes", 1), row("doorbells", 1 / 16, "of the sender, all requests"),
            row("signalled", 1 / 16), row("control", 1 / 8, "messages of the receiver"),
            row("completions", note="polled, both ends"), row("recv_calls", note="ibv_post_recv")]
    return Experiment("count.bulk", sides, rows, count=True)


def syscalls(args, sizes):
    """System calls and doorbells of both ends for a message. The looks at the sockets that a spin
    takes now and then, and the naps of the thread that keeps the time, come with time, not with
    messages, and are left out."""
    def measure(bench):
        c = counts.syscalls_and_verbs(bench, rdma.messages(bench, args), sizes, counts.WAITS)
        return {what: c[f"client.{what}"] + c[f"server.{what}"]
                for what in ("calls", "doorbells")}
    return measure


def count_syscalls():
    bulk = ["bw", "--poll", "--call", "frags", "-s", 64 * KIB]
    small = ["lat", "--poll"]
    result = []
    for label, args, sizes, slack in (("bulk", bulk, (400, 2000), 0.02),
                                      ("latency", small, (500, 2500), 0.05)):
        sides = {"nmt": Side(syscalls(args, sizes), peers.reason("strace"))}
        rows = [Row(f"count.syscalls.{label}", "/message", "nmt.calls",
                    target=Target("<=", "doorbells", of="ours", slack=slack),
                    note="of both ends, without waits; the target is their doorbells")]
        result.append(Experiment(f"count.syscalls.{label}", sides, rows, count=True))
    return result


def count_interposed():
    """Allocations in the program and all its libraries, and locks that libnmt takes: librxe has one
    for each post and poll of its own."""
    def measure(bench):
        args = ["bw", "--poll", "--call", "frags", "-s", 64 * KIB]
        c = counts.preloaded(bench.tools.nmt_count, rdma.messages(bench, args), (800, 2400))
        return {k: max(c[f"{end}.{k}"] for end in counts.ENDS)
                for k in ("allocs", "locks", "lib_locks")}
    zero = Target("<=", 0, of="ours", slack=0.01)
    rows = [Row("count.allocs.bulk", "/message", "nmt.allocs", target=zero),
            Row("count.locks.bulk", "/message", "nmt.lib_locks", target=zero,
                note="of libnmt; all: {nmt.locks}")]
    return Experiment("count.interposed", {"nmt": Side(measure)}, rows, count=True)


def experiments():
    return [count_bulk(), *count_syscalls(), count_interposed(),
            latency(), *map(one_way, SIZES), both_ways(),
            rsockets("64K", 64 * KIB, 400, "frags"), rsockets("64", 64, 4000, "copy")]
