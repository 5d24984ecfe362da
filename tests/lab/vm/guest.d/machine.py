# SPDX-License-Identifier: BSD-2-Clause
"""One guest: the programs that make it, and jobs in it, one at a time."""

import itertools
import os
import re
import secrets
import select
import socket
import subprocess
import time
from dataclasses import dataclass

import setup

TAIL = 80               # lines of the console that are shown when the guest dies
TCG_BOOTS = 3           # attempts to boot under emulation
DEADLINE = {"kvm": 10.0, "tcg": 180.0}      # seconds until PID 1 answers
CHATTER = re.compile(r"(fv|virtio)_\w+: ")     # what virtiofsd says of every guest
KILL_WAIT = 15.0        # seconds for the guest to end a job that must end
# What an emulated kernel should not spend its time on.
FASTER = ("mitigations=off tsc=reliable nokaslr audit=0 lsm=capability init_on_alloc=0 rcupdate.rcu_expedited=1 "
          "i8042.noaux i8042.nokbd")


class Cancelled(Exception):
    """The guest is no longer wanted."""


class Died(Exception):
    """The guest is gone, or no longer answers; the text has the end of its console."""


@dataclass
class Result:
    status: int         # of the job; -1: none, it was killed
    seconds: float
    left: int = 0       # processes of the job that could not be killed
    timed_out: bool = False


@dataclass
class Options:
    cpus: int = 2
    memory: str = "2G"
    accel: str = "auto"


def listen_at(folder, name):
    """A listening socket FOLDER/NAME, however long the path of FOLDER is."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        s = socket.socket(socket.AF_UNIX)
        s.bind(f"/proc/self/fd/{fd}/{name}")
        s.listen()
        return s
    finally:
        os.close(fd)


def connect_to(folder, name):
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    s = socket.socket(socket.AF_UNIX)
    try:
        s.connect(f"/proc/self/fd/{fd}/{name}")
        return s
    except OSError:
        s.close()
        raise
    finally:
        os.close(fd)


def tied(argv):
    """ARGV that dies with us, whatever kills us."""
    return ["setpriv", "--pdeathsig", "KILL", *argv]


class Accel:
    """Whether /dev/kvm is of use: it may open, and then nothing runs. Found out once a boot of
    this machine, and kept beside the kernel."""

    def __init__(self, kernel):
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as f:
            self.file = os.path.join(kernel, f"kvm-{f.read().strip()}")

    def candidates(self, wanted):
        if wanted != "auto":
            return [wanted]
        if not os.access("/dev/kvm", os.R_OK | os.W_OK) or os.path.exists(self.file):
            return ["tcg"]
        return ["kvm", "tcg"]

    def failed(self):
        setup.write(self.file, "does not run the guest\n")


class Guest:
    def __init__(self, folder, options, console=False):
        self.folder = folder
        self.options = options
        self.console = console          # QEMU has our terminal, and no jobs are taken
        self.kernel = None
        self.accel = None
        self.boot_s = 0.0
        self.qemu = self.daemon = self.port = None
        self.names = (f"{n}-{secrets.token_hex(4)}" for n in itertools.count())

    # ---- life --------------------------------------------------------------------------------

    def start(self, paths, cancel=()):
        """Boot; jobs see the folders PATHS of the host. Raises setup.Cannot, Died, or, when one of
        the files CANCEL becomes readable, Cancelled."""
        self.kernel = setup.check()
        setup.files(self.folder, self.kernel, self.console, paths)
        accel = Accel(self.kernel)
        # Emulated processors now and then lose a race in the kernel's patching of its own code while
        # it boots ("Oops: int3"): try again.
        candidates = [a for a in accel.candidates(self.options.accel)
                      for _ in range(TCG_BOOTS if a == "tcg" else 1)]
        for i, self.accel in enumerate(candidates):
            begin = time.monotonic()
            try:
                self._launch()
                if not self.console:
                    self._wait_ready(DEADLINE[self.accel], cancel)
                self.boot_s = time.monotonic() - begin
                return
            except Died:
                self.kill()
                if i + 1 == len(candidates):
                    raise
                if self.accel != candidates[i + 1]:
                    accel.failed()

    def _launch(self):
        listener = listen_at(self.folder, "fs")
        share = connect_to(self.folder, "fs")
        os.unlink(os.path.join(self.folder, "fs"))
        ours, theirs = socket.socketpair()
        with open(os.path.join(self.folder, "virtiofsd.log"), "wb") as log:
            self.daemon = subprocess.Popen(
                tied([setup.virtiofsd(), f"--fd={listener.fileno()}",
                      "-o", "source=/,cache=always,sandbox=chroot"]),
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                pass_fds=[listener.fileno()])
        with open(os.path.join(self.folder, "qemu.log"), "wb") as log:
            stdio = {} if self.console else {"stdin": subprocess.DEVNULL, "stdout": log,
                                             "stderr": log, "start_new_session": True}
            self.qemu = subprocess.Popen(tied(self._command(share.fileno(), theirs.fileno())),
                                         cwd=self.folder, pass_fds=[share.fileno(), theirs.fileno()],
                                         **stdio)
        for s in (listener, share, theirs):
            s.close()
        self.port = ours

    def _command(self, share, jobs):
        o = self.options
        line = (f'root=host rootfstype=virtiofs rw init="{self.folder}/init" console=ttyS0 quiet '
                f"panic=-1 oops=panic {FASTER}")
        port = (["-chardev", "stdio,id=jobs,signal=off", "-device", "virtconsole,chardev=jobs"]
                if self.console else
                ["-chardev", f"socket,id=jobs,fd={jobs}", "-device", "virtserialport,chardev=jobs"])
        return [setup.QEMU, "-M", "q35", "-cpu", "max", "-smp", str(o.cpus), "-m", o.memory,
                "-accel", "kvm" if self.accel == "kvm" else "tcg,thread=multi",
                "-object", f"memory-backend-memfd,id=mem,size={o.memory},share=on",
                "-numa", "node,memdev=mem",
                "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
                "-chardev", f"socket,id=fs,fd={share}",
                "-device", "vhost-user-fs-pci,chardev=fs,tag=host",
                "-serial", "file:console.log", "-device", "virtio-serial-pci", *port,
                "-kernel", os.path.join(self.kernel, "vmlinuz"), "-append", line]

    def stop(self):
        """Switch off; the guest has written all that its programs wrote."""
        if self.qemu and self.qemu.poll() is None and not self.console:
            try:
                self.port.sendall(b"off\n")
                self.qemu.wait(10)
            except (OSError, subprocess.TimeoutExpired):
                pass
        self.kill()

    def kill(self):
        for process in (self.qemu, self.daemon):
            if process and process.poll() is None:
                process.kill()
            if process:
                process.wait()
        if self.port:
            self.port.close()
        self.qemu = self.daemon = self.port = None

    def death(self, what):
        """The exception for a guest that is gone: WHAT, and the end of what it and QEMU said."""
        text = [f"the guest {what}"]
        for name in ("virtiofsd.log", "qemu.log", "console.log"):
            try:
                with open(os.path.join(self.folder, name), encoding="utf-8", errors="replace") as f:
                    lines = f.read().splitlines()[-TAIL:]
            except OSError:
                continue
            text += [f"  {name}: {line.rstrip()}" for line in lines
                     if line.strip() and not CHATTER.match(line)]
        return Died("\n".join(text))

    # ---- jobs --------------------------------------------------------------------------------

    def _receive(self, deadline, cancel=()):
        """What the guest sent; b"" at the deadline, None when one of CANCEL became readable."""
        left = max(0.0, deadline - time.monotonic())
        readable = select.select([self.port, *cancel], [], [], left)[0]
        if self.port in readable:
            try:
                data = self.port.recv(65536)
            except ConnectionError:
                data = b""
            if not data:
                raise self.death("died")
            return data
        return None if readable else b""

    def _wait_ready(self, limit, cancel):
        deadline = time.monotonic() + limit
        data = b""
        while not data.endswith(b"ready\n"):
            got = self._receive(deadline, cancel)
            if got is None:
                raise Cancelled
            if not got:
                raise self.death(f"did not come up in {limit:.0f} s")
            data += got

    def run(self, argv, cwd, env, limit, output, cancel=()):
        """Run ARGV in the folder CWD with the environment ENV for up to LIMIT seconds. OUTPUT is
        called with what it prints. It is killed when one of the files CANCEL becomes readable.
        Whatever it started has ended with it. Raises Died."""
        name = next(self.names)
        setup.job(self.folder, name, argv, cwd, env)
        begin = time.monotonic()
        self.port.sendall(f"run {name}\n".encode())
        try:
            match, timed_out = self._follow(name, begin + limit, output, cancel)
        finally:
            os.unlink(os.path.join(self.folder, f"job-{name}"))
        seconds = time.monotonic() - begin
        status = -1 if timed_out or match is None else int(match[1])
        return Result(status, seconds, int(match[2]) if match else 0, timed_out)

    def _follow(self, name, deadline, output, cancel):
        """Pass output on up to the end of the job: (match of its last line, whether it had to be
        killed at the deadline)."""
        end = re.compile(rb"\036end %s (\d+) (\d+)\n" % name.encode())
        held, killed, timed_out = b"", False, False
        while True:
            got = self._receive(deadline, () if killed else cancel)
            if not got:
                if killed:
                    raise self.death("no longer answers" + " after a time-out" * timed_out)
                timed_out = got == b""
                killed = True
                self.port.sendall(b"kill\n")
                deadline = time.monotonic() + KILL_WAIT
                continue
            held += got
            match = end.search(held)
            cut = match.start() if match else self._may_begin(held)
            if cut:
                output(held[:cut])
                held = held[cut:]
            if match:
                return match, timed_out

    @staticmethod
    def _may_begin(data):
        """Where in DATA the last line may begin, of which the rest is still to come."""
        at = data.rfind(b"\036", max(0, len(data) - 80))
        return at if at >= 0 else len(data)
