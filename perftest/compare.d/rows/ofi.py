# SPDX-License-Identifier: BSD-2-Clause
"""Group ofi: streams over libfabric on this machine, connected over TCP and as datagram endpoints
over shared memory, against the same writes made directly on libfabric (nmt_perf raw-write)."""

import fabric
import peers
from experiment import Experiment, Row, Side
from stats import Target

PROGRAMS = ("fi_pingpong", "taskset")
NOTE = """\
"raw" is nmt_perf raw-write: writes with data made directly on libfabric, the same provider and sizes,
both ends polling, into a window of 4 MiB as a stream has one, with as many bytes under way. It may
write again where the peer has not looked yet, and does not ask for delivery. Its queue has no
descriptor (FI_WAIT_NONE), as nobody sleeps on it. "deep" is the same with up to 128 writes under way,
whatever their size, "place" that into one place, which stays in the cache. "cell" is the row with
cells of the message's size (nmt_perf --cell); by default they are 128 KiB, and a write takes many
where they adjoin. fi_pingpong is one message at a time, each way in turn."""

KIB, MIB = 1 << 10, 1 << 20
TIME = ["-D", "400ms"]
SIZES = {"64K": 64 * KIB, "128K": 128 * KIB, "256K": 256 * KIB, "1M": MIB}
STREAMS = {"tcp": 500, "shm": 2000}     # connected, and over one datagram endpoint
WINDOW, CELL = 4 * MIB, 128 * KIB       # of a stream by default
ENDPOINTS = {"tcp": "msg", "shm": "rdm"}


def pingpong(provider, size, count):
    return Side(lambda b: fabric.pingpong(b, provider, ENDPOINTS[provider], size, count),
                peers.reason("fi_pingpong"))


def throughput(provider, label, limit):
    size, spec = SIZES[label], f"ofi/{provider}"
    args = ["-s", size, *TIME]
    name = f"{provider}.{label}"

    def side(*words):
        return Side(lambda b: fabric.throughput(b, spec, [*words, "--poll", *args]))

    sides = {
        "nmt": side("bw", "--call", "frags"),
        "copy": side("bw"),
        "raw": side("raw-write", "bw", "--rcvbuf", WINDOW, "--tx-depth", WINDOW // size),
        "deep": side("raw-write", "bw", "--rcvbuf", WINDOW),
        "place": side("raw-write", "bw"),
        "pingpong": pingpong(provider, size, max(100, 128 * MIB // size)),
    }
    rows = [Row(name, "B/s", "nmt.bytes_per_s", "raw.bytes_per_s", Target(">=", limit),
                "nmt_send_mr and nmt_recv_frags"),
            Row(f"{name}.copy", "B/s", "copy.bytes_per_s", "raw.bytes_per_s",
                note="nmt_send and nmt_recv"),
            Row(f"{name}.cpu", "s/GiB", "nmt.cpu", "raw.cpu", note="CPU time of both processes"),
            Row(f"{name}.deep", "B/s", "nmt.bytes_per_s", "deep.bytes_per_s"),
            Row(f"{name}.place", "B/s", "nmt.bytes_per_s", "place.bytes_per_s"),
            Row(f"{name}.pingpong", "B/s", "raw.bytes_per_s", "pingpong.bytes_per_s",
                note="ours: raw; peer: fi_pingpong")]
    if size > CELL:
        sides["cell"] = side("bw", "--call", "frags", "--cell", size)
        rows.append(Row(f"{name}.cell", "B/s", "cell.bytes_per_s", "raw.bytes_per_s"))
    return Experiment(name, sides, rows)


def latency(provider, target):
    spec = f"ofi/{provider}"
    sides = {
        "nmt": Side(lambda b: fabric.latency(b, spec, ["lat", "--poll", *TIME])),
        "raw": Side(lambda b: fabric.latency(b, spec, ["raw-write", "lat", "--poll", *TIME])),
        "pingpong": pingpong(provider, 64, 10000),
    }
    note = "64 B, half a round trip, median, both ends polling"
    rows = [Row(f"{provider}.latency", "us", "nmt.us", "raw.us", target, note),
            Row(f"{provider}.latency.pingpong", "us", "raw.us", "pingpong.us",
                note="ours: raw; peer: fi_pingpong, the mean")]
    return Experiment(f"{provider}.latency", sides, rows)


def memory(provider):
    """Of libnmt and libfabric together: what the process has."""
    streams = STREAMS[provider]
    sides = {"nmt": Side(lambda b: fabric.memory(b, f"ofi/{provider}", streams))}
    rows = [Row(f"{provider}.memory.{what}", "B/stream", f"nmt.{what}",
                note=f"{streams} streams on {ENDPOINTS[provider]} endpoints, the worse end")
            for what in ("heap", "resident")]
    return Experiment(f"{provider}.memory", sides, rows, count=True)


def experiments():
    return [memory("tcp"), memory("shm"),
            latency("tcp", Target("<=", 1.15)), latency("shm", None),
            *(throughput("tcp", label, 0.95) for label in ("128K", "1M")),
            *(throughput("shm", label, 0.9) for label in ("64K", "256K", "1M"))]
