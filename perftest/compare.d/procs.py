# SPDX-License-Identifier: BSD-2-Clause
"""Running the two ends of a measurement: pinned, bounded in time, CPU time taken by wait4."""

import os
import select
import shlex
import signal
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass

LIMIT = 120.0       # seconds for one run


class Failed(Exception):
    """A run that gives no figure; the text is for people."""


@dataclass
class Ended:
    out: str
    cpu_s: float


def pinned(cpu, argv, env=None):
    """ARGV on one CPU, if there are two: the server has CPU 1, the client CPU 0."""
    words = [f"{k}={v}" for k, v in (env or {}).items()]
    prefix = ["taskset", "-c", str(cpu)] if os.cpu_count() > 1 else []
    return prefix + (["env"] + words if words else []) + [str(a) for a in argv]


class Process:
    """A program that runs, in a process group of its own."""

    def __init__(self, argv):
        self.argv = argv
        self.out = tempfile.TemporaryFile()
        self.err = tempfile.TemporaryFile()
        try:
            self.popen = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=self.out,
                                          stderr=self.err, start_new_session=True)
        except OSError as e:
            raise Failed(f"{argv[0]}: {e.strerror}") from e

    def alive(self):
        return os.waitid(os.P_PID, self.popen.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None

    def signal(self, sig):
        try:
            os.killpg(self.popen.pid, sig)
        except ProcessLookupError:
            pass

    def _wait(self, limit):
        fd = os.pidfd_open(self.popen.pid)
        poll = select.poll()
        poll.register(fd, select.POLLIN)
        ended = poll.poll(limit * 1000)
        os.close(fd)
        if not ended:
            self.signal(signal.SIGKILL)
        _, status, usage = os.wait4(self.popen.pid, 0)
        self.popen.returncode = os.waitstatus_to_exitcode(status)
        return bool(ended), usage

    def finish(self, limit=LIMIT, codes=(0,)):
        """Wait for the end. Failed unless the exit status is one of CODES."""
        ended, usage = self._wait(limit)
        if not ended:
            raise Failed(f"no end after {limit:.0f} s: {shlex.join(self.argv)}")
        if self.popen.returncode not in codes:
            raise Failed(f"status {self.popen.returncode} of {shlex.join(self.argv)}: "
                         + self.complaint())
        return Ended(text_of(self.out), usage.ru_utime + usage.ru_stime)

    def complaint(self):
        lines = (text_of(self.err) or text_of(self.out)).strip().splitlines()
        return lines[-1] if lines else "it says nothing"

    def end(self):
        """Whatever its state, it is gone afterwards."""
        if self.popen.returncode is None:
            self.signal(signal.SIGKILL)
            self._wait(LIMIT)
        self.out.close()
        self.err.close()


def text_of(file):
    file.seek(0)
    return file.read().decode(errors="replace")


def run(argv, limit=LIMIT):
    process = Process([str(a) for a in argv])
    try:
        return process.finish(limit)
    finally:
        process.end()


def first_line(argv):
    """Of what a program prints, for its version."""
    try:
        lines = run(argv, 10).out.splitlines()
    except Failed as e:
        return str(e)
    return lines[0].strip() if lines else ""


# ---- readiness of a server

def wait_until(process, ready, what):
    end = time.monotonic() + 20
    while not ready():
        if not process.alive():
            process.finish()
            raise Failed(f"{process.argv[0]} ended before {what}")
        if time.monotonic() > end:
            raise Failed(f"no {what} after 20 s: {shlex.join(process.argv)}")
        time.sleep(0.005)


def wait_port_file(process, path):
    wait_until(process, lambda: os.path.exists(path), "port file")
    with open(path, encoding="ascii") as f:
        return int(f.readline())


def listening(port):
    """Looked up, not tried: a server that takes one connection would take ours for it."""
    with open("/proc/net/tcp", encoding="ascii") as f:
        rows = [line.split() for line in f.readlines()[1:]]
    return any(r[3] == "0A" and int(r[1].split(":")[1], 16) == port for r in rows)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]
