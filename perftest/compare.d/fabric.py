# SPDX-License-Identifier: BSD-2-Clause
"""The programs of group ofi: nmt_perf with a provider of libfabric, and fi_pingpong, whose figures
are read here."""

from procs import Failed, free_port, listening, pinned, wait_until
from programs import CLIENT_CPU, SERVER_CPU


def nmt(bench, spec, args):
    report, _ = bench.nmt_perf([*args, "--provider", spec, "--stall", "10"], "negotiated")
    return report


def throughput(bench, spec, args):
    report = nmt(bench, spec, args)
    return {"bytes_per_s": report["bw_bytes_per_s"], "cpu": report["cpu"]["s_per_gib"]}


def latency(bench, spec, args):
    return {"us": nmt(bench, spec, args)["lat_us"]["p50"]}


def memory(bench, spec, streams):
    report = bench.idle(["--provider", spec, "--negotiated", "--streams", streams])
    return {what: max(report[end][what] for end in ("client", "server"))
            for what in ("heap", "resident")}


# ---- fi_pingpong

def pingpong_figures(text):
    """Its columns: bytes, sent, acknowledged, total, seconds, MB/s of both ways, microseconds of a
    message, messages a second."""
    for line in reversed(text.splitlines()):
        words = line.split()
        if len(words) == 8 and words[4].endswith("s"):
            try:
                return {"bytes_per_s": float(words[5]) * 1e6, "us": float(words[6])}
            except ValueError:
                pass
    raise Failed("fi_pingpong reports no figures")


def pingpong(bench, provider, endpoint, size, count):
    port = free_port()
    line = ["fi_pingpong", "-p", provider, "-e", endpoint, "-I", count, "-S", size]
    _, client = bench.ends(
        pinned(SERVER_CPU, [*line, "-B", port]),
        lambda _: pinned(CLIENT_CPU, [*line, "-P", port, "127.0.0.1"]),
        lambda process: wait_until(process, lambda: listening(port), "listening fi_pingpong"))
    return pingpong_figures(client.out)
