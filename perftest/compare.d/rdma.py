# SPDX-License-Identifier: BSD-2-Clause
"""The programs of group verbs: server on host b, client on host a of tests/lab/vm/rxe-pair, which
runs in the guest. Figures of nmt_perf come as JSON, those of perftest and rstream are read here."""

import json
import os
import time

from procs import Failed, free_port, pinned, wait_until, wait_port_file
from programs import GIB, total_messages

HOST = "10.77.0.2"
GID = 1             # of both adapters: RoCE v2, the IPv4 address
INSIDE = "NMT_GUEST"


def inside():
    return INSIDE in os.environ


def on(host, argv):
    return ["ip", "netns", "exec", host, *[str(a) for a in argv]]


def ends(bench, server, client, ready, wrap=None):
    """The results of both; each on its host and its CPU."""
    wrap = wrap or (lambda end, cpu, argv: pinned(cpu, argv))
    return bench.ends(wrap("server", 1, on("b", server)),
                      lambda port: wrap("client", 0, on("a", client(port))), ready)


# ---- nmt_perf

def nmt(bench, args, wrap=None):
    """The client's report, and the CPU seconds of both."""
    program = bench.tools.nmt_perf
    path = os.path.join(bench.folder, f"port.{bench.serial()}")
    server, client = ends(
        bench, [program, "--once", "--listen", HOST, "-p", "0", "--port-file", path,
                "--provider", "verbs/rxe_b"],
        lambda port: [program, *args, "--provider", "verbs/rxe_a", "--json", f"{HOST}:{port}"],
        lambda process: wait_port_file(process, path), wrap)
    os.unlink(path)
    return json.loads(client.out), server.cpu_s + client.cpu_s


def throughput(bench, args):
    report, _ = nmt(bench, args)
    return {"bytes_per_s": report["bw_bytes_per_s"], "cpu": report["cpu"]["s_per_gib"]}


def latency(bench, args):
    report, _ = nmt(bench, args)
    return {"us": report["lat_us"]["p50"]}


# ---- perftest

def last_figures(text, columns):
    """The numbers of the last line that has so many and nothing else."""
    for line in reversed(text.splitlines()):
        words = line.split()
        if len(words) >= columns:
            try:
                return [float(w) for w in words]
            except ValueError:
                pass
    raise Failed("no line with figures")


def listens(process, port):
    """In the process's own network namespace."""
    try:
        with open(f"/proc/{process.popen.pid}/net/tcp", encoding="ascii") as f:
            rows = [line.split() for line in f.readlines()[1:]]
    except OSError:
        return False
    return any(r[3] == "0A" and int(r[1].split(":")[1], 16) == port for r in rows)


def perftest(bench, program, size, count, extra=()):
    port = free_port()
    line = [program, "-x", GID, "-s", size, "-n", count, "-F", "-p", port, *extra]
    server, client = ends(
        bench, [*line, "-d", "rxe_b"], lambda _: [*line, "-d", "rxe_a", HOST],
        lambda process: wait_until(process, lambda: listens(process, port), f"listening {program}"))
    return client.out, server.cpu_s + client.cpu_s


def perftest_rate(bench, program, size, count):
    """Columns: bytes, iterations, peak, average, messages."""
    out, cpu = perftest(bench, program, size, count, ["--report_gbits"])
    return {"bytes_per_s": last_figures(out, 5)[3] * 1e9 / 8, "cpu": cpu * GIB / (size * count)}


def perftest_latency(bench, size, count):
    """Columns: bytes, iterations, least, most, typical, ..."""
    out, _ = perftest(bench, "ib_write_lat", size, count)
    return {"us": last_figures(out, 9)[4]}


# ---- rstream

def has_cm(process):
    """It has opened the connection manager, whose listeners are in no file."""
    folder = f"/proc/{process.popen.pid}/fd"
    try:
        return any("rdma_cm" in os.readlink(os.path.join(folder, fd)) for fd in os.listdir(folder))
    except OSError:
        return False


def rstream_rate(text):
    """Its columns: name, bytes, transfers, iterations, total, seconds ("0.52s"), Gb/s, usec."""
    for line in reversed(text.splitlines()):
        words = line.split()
        if len(words) == 8 and words[5].endswith("s"):
            return float(words[6]) * 1e9 / 8
    raise Failed("rstream reports no rate")


def rstream(bench, size, count):
    """COUNT transfers one way, then as many back."""
    port = free_port()
    line = ["rstream", "-p", port, "-S", size, "-C", count, "-I", 1]

    def ready(process):
        wait_until(process, lambda: has_cm(process), "listening rstream")
        time.sleep(0.3)
    server, client = ends(bench, [*line, "-b", HOST], lambda _: [*line, "-s", HOST], ready)
    rate = rstream_rate(client.out)
    return {"bytes_per_s": rate, "twice": 2 * rate,
            "cpu": (server.cpu_s + client.cpu_s) * GIB / (2 * size * count)}


# ---- counts of a run, the end's difference of a short and a long one for a message

def messages(bench, args):
    def run(n, wrap):
        report, _ = nmt(bench, [*args, "-n", n], wrap)
        return total_messages(report)
    return run
