# SPDX-License-Identifier: BSD-2-Clause
"""The programs that are measured: how both ends are started, and what figures they give."""

import json
import os
import re
import shlex
import signal
import tempfile

from procs import (LIMIT, Failed, Process, free_port, listening, pinned, run, wait_port_file,
                   wait_until)

SERVER_CPU, CLIENT_CPU = 1, 0
GIB = 1 << 30
MODES = {
    "raw": ["--provider", "tcp", "--mode", "raw"],
    "negotiated": [],   # nmt_perf's own default
}


class Bench:
    """Where the programs are, and the command lines that each side used for its first figures;
    later ones differ in ports and names of temporary files."""

    def __init__(self, tools):
        self.tools = tools
        self.commands = {}
        self.noting = None
        self.folder = tempfile.gettempdir()
        self.count = 0

    def serial(self):
        """A number that no name of a file has had."""
        self.count += 1
        return f"{os.getpid()}.{self.count}"

    def begin(self, side):
        self.noting = None if side in self.commands else self.commands.setdefault(side, [])

    def note(self, *lines):
        if self.noting is not None:
            self.noting += [shlex.join(map(str, line)) for line in lines]

    def ends(self, server, client, ready, stop=None):
        """Run SERVER, then the client that CLIENT(port) names, to their ends; READY(process)
        waits for the server and gives the port. STOP: signal for a server that goes on."""
        first = Process([str(word) for word in server])
        second = None
        try:
            line = [str(word) for word in client(ready(first))]
            self.note(server, line)
            second = Process(line)
            client_end = second.finish(LIMIT)
            if stop:
                first.signal(stop)
            return first.finish(LIMIT, (0, -stop) if stop else (0,)), client_end
        finally:
            first.end()
            if second:
                second.end()

    # ---- programs that write their port to a file

    def with_port_file(self, server, client, wrap=None):
        """SERVER(file) and CLIENT(port) are command lines; WRAP(end, cpu, argv) may put a tracer
        before them. The ends' results are (server, client)."""
        wrap = wrap or (lambda end, cpu, argv: pinned(cpu, argv))
        with tempfile.TemporaryDirectory(prefix="nmt-compare-") as folder:
            path = os.path.join(folder, "port")
            return self.ends(wrap("server", SERVER_CPU, server(path)),
                             lambda port: wrap("client", CLIENT_CPU, client(port)),
                             lambda process: wait_port_file(process, path))

    def nmt_perf(self, args, mode, wrap=None):
        """The client's report, and the CPU seconds of both ends."""
        program = self.tools.nmt_perf
        server, client = self.with_port_file(
            lambda path: [program, "--once", "--listen", "127.0.0.1", "-p", "0",
                          "--port-file", path],
            lambda port: [program, *args, *MODES[mode], "--json", f"127.0.0.1:{port}"], wrap)
        return json.loads(client.out), server.cpu_s + client.cpu_s

    def base(self, load, args, wrap=None):
        """The reports of the baseline's server and client."""
        program = self.tools.nmt_base
        server, client = self.with_port_file(
            lambda path: [program, f"{load}-server", "--port-file", path, *args],
            lambda port: [program, f"{load}-client", "--port", port, *args], wrap)
        return json.loads(server.out), json.loads(client.out)

    def idle(self, args):
        argv = [self.tools.nmt_idle, *args]
        self.note(argv)
        return json.loads(run(argv).out)

    # ---- peers

    def iperf3(self, size, blocks, wrap=None):
        """The client's report, and the CPU seconds of both ends, for BLOCKS writes of SIZE."""
        wrap = wrap or (lambda end, cpu, argv: pinned(cpu, argv))
        port = free_port()
        server = ["iperf3", "-s", "-1", "-B", "127.0.0.1", "-p", port]
        client = ["iperf3", "-c", "127.0.0.1", "-p", port, "-l", size, "-n", size * blocks,
                  "-i", "0.1", "-J"]
        server_end, client_end = self.ends(
            wrap("server", SERVER_CPU, server), lambda _: wrap("client", CLIENT_CPU, client),
            lambda process: wait_until(process, lambda: listening(port), "listening iperf3"))
        report = json.loads(client_end.out)
        if "error" in report:
            raise Failed(f"iperf3: {report['error']}")
        return report, server_end.cpu_s + client_end.cpu_s

    def sockperf(self, polling, seconds):
        """Median one-way latency of a TCP ping-pong of 64 bytes, in microseconds."""
        port = free_port()
        with tempfile.NamedTemporaryFile("w", prefix="nmt-compare-", suffix=".feed") as feed:
            feed.write(f"T:127.0.0.1:{port}\n")
            feed.flush()
            how = (["--tcp", "-i", "127.0.0.1", "-p", port, "--nonblocked"] if polling
                   else ["-f", feed.name, "-F", "epoll"])
            _, client = self.ends(
                pinned(SERVER_CPU, ["sockperf", "server", *how]),
                lambda _: pinned(CLIENT_CPU, ["sockperf", "ping-pong", *how, "-m", "64",
                                              "-t", seconds]),
                lambda process: wait_until(process, lambda: listening(port), "listening sockperf"),
                stop=signal.SIGINT)
        found = re.search(r"percentile 50\.000 =\s*([0-9.]+)", client.out)
        if not found:
            raise Failed("sockperf reports no median")
        return float(found.group(1))


# ---- figures

def total_messages(report):
    """Of an nmt_perf report of a run by count, the warm-up included."""
    params = report["params"]
    return (params["iterations"] + params["warm_iterations"]) * params["streams"]


def nmt_bulk(bench, mode, size, messages):
    """Throughput after the warm-up, CPU over all that passed."""
    report, cpu_s = bench.nmt_perf(["bw", "-s", size, "-n", messages], mode)
    return {"bytes_per_s": report["bw_bytes_per_s"],
            "cpu_per_gib": cpu_s * GIB / (total_messages(report) * size)}


def iperf3_bulk(bench, size, blocks):
    """As nmt_bulk; iperf3's warm-up is its first tenth of a second."""
    report, cpu_s = bench.iperf3(size, blocks)
    steady = [i["sum"] for i in report["intervals"]][1:]
    seconds = sum(i["seconds"] for i in steady)
    total = report["end"]["sum_received"]
    if seconds < 0.2:
        rate = total["bits_per_second"] / 8
    else:
        rate = sum(i["bytes"] for i in steady) / seconds
    return {"bytes_per_s": rate, "cpu_per_gib": cpu_s * GIB / total["bytes"]}


def nmt_latency(bench, mode, args):
    report, _ = bench.nmt_perf(["lat", *args], mode)
    return {"us": report["lat_us"]["p50"]}


def nmt_rate(bench, mode, args):
    report, _ = bench.nmt_perf(args, mode)
    return {"per_s": report["msg_per_s"]}


def nmt_throughput(bench, mode, args):
    report, _ = bench.nmt_perf(["bw", *args], mode)
    return {"bytes_per_s": report["bw_bytes_per_s"]}


def base_latency(bench, args):
    _, client = bench.base("pp", args)
    return {"us": client["half_us"]}


def base_rate(bench, load, args):
    server, client = bench.base(load, args)
    return {"per_s": client["per_s"],
            "syscalls": max(client["syscalls_per_turn"], server["syscalls_per_turn"])}
