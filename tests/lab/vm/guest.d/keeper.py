# SPDX-License-Identifier: BSD-2-Clause
"""A guest that stays: a process in the background keeps it and takes jobs at a socket in its
folder, one at a time, until it is told to stop, its owner ends, or the guest dies.

Socket: the client sends one line of JSON and gets frames of type (1 byte), length (4 bytes,
big-endian) and text: "o" output, "r" the result as JSON, "d" the guest died: why."""

import json
import os
import select
import signal
import struct
import sys

import machine
import setup


class Client:
    """The keeper's end of a client's connection. A client that has gone is no error here."""

    def __init__(self, sock):
        self.sock = sock

    def request(self):
        with self.sock.makefile("rb") as f:
            return json.loads(f.readline() or b"{}")

    def send(self, kind, data):
        try:
            self.sock.sendall(kind + struct.pack(">I", len(data)) + data)
        except OSError:
            pass


class Keeper:
    def __init__(self, folder, options, owner):
        self.guest = machine.Guest(folder, options)
        self.listener = machine.listen_at(folder, "socket")
        self.owner = os.pidfd_open(owner)
        self.folder = folder

    def serve(self):
        """Until the end, which is an exception or a return."""
        while True:
            watched = [self.listener, self.owner, self.guest.port]
            readable = select.select(watched, [], [])[0]
            if self.owner in readable:
                return
            if self.guest.port in readable:
                raise self.guest.death("died")
            sock = self.listener.accept()[0]
            with sock:
                if not self._one(Client(sock)):
                    return

    def _one(self, client):
        request = client.request()
        if request.get("what") != "run":
            return request.get("what") != "stop"
        try:
            result = self.guest.run(request["argv"], request["cwd"], request["env"],
                                    request["limit"], lambda data: client.send(b"o", data),
                                    cancel=(client.sock, self.owner))
        except machine.Died as e:
            client.send(b"d", str(e).encode())
            raise
        client.send(b"r", json.dumps(vars(result)).encode())
        return True


def note(folder, text):
    """Why no guest is in FOLDER, for those who ask later."""
    setup.write(os.path.join(folder, "gone"), text + "\n")


def keep(folder, options, paths, owner, told):
    """The life of the keeper. TOLD is called with "up", or why not, once."""
    keeper = Keeper(folder, options, owner)
    try:
        try:
            keeper.guest.start(paths, [keeper.owner])
        except setup.Cannot as e:
            note(folder, f"cannot: {e}")
            told(f"cannot: {e}")
            return
        told(f"up: {keeper.guest.boot_s:.1f} s, {keeper.guest.accel}, "
             f"{os.path.basename(keeper.guest.kernel)}")
        keeper.serve()
        note(folder, "it was stopped")
    except machine.Cancelled:
        note(folder, "its owner ended")
    except machine.Died as e:
        note(folder, str(e))
        told(str(e))
    finally:
        for s in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(s, signal.SIG_IGN)
        os.unlink(os.path.join(folder, "socket"))
        keeper.guest.stop()


def prepare(folder):
    os.makedirs(folder, mode=0o700, exist_ok=True)
    for name in ("gone", "socket"):
        try:
            os.unlink(os.path.join(folder, name))
        except FileNotFoundError:
            pass


def up(folder, options, paths, owner):
    """Start a keeper that ends with the process OWNER; gives the text of TOLD."""
    prepare(folder)
    answer, tell = os.pipe()
    sys.stdout.flush()
    if os.fork() == 0:
        try:
            os.setsid()
            os.close(answer)
            log = os.open(os.path.join(folder, "keeper.log"),
                          os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            null = os.open("/dev/null", os.O_RDONLY)
            for fd, to in ((null, 0), (log, 1), (log, 2)):
                os.dup2(fd, to)
            keep(folder, options, paths, owner, lambda text: told(tell, text))
        finally:
            sys.stderr.flush()
            os._exit(0)
    os.close(tell)
    with os.fdopen(answer, encoding="utf-8") as f:
        return f.read() or "the keeper failed; see keeper.log in " + folder


def told(fd, text):
    try:
        os.write(fd, text.encode())
        os.close(fd)
    except OSError:
        pass


# ---- client --------------------------------------------------------------------------------


def call(folder, request):
    """A connection to the keeper with the request sent; ConnectionError or FileNotFoundError if
    there is no keeper."""
    sock = machine.connect_to(folder, "socket")
    sock.sendall(json.dumps(request).encode() + b"\n")
    return sock


def frames(sock):
    with sock.makefile("rb") as f:
        while head := f.read(5):
            kind, length = head[:1], struct.unpack(">I", head[1:])[0]
            yield kind, f.read(length)


def run(folder, request, output):
    """Run a job; gives a machine.Result. Raises machine.Died or setup.Cannot."""
    try:
        sock = call(folder, {"what": "run", **request})
    except OSError:
        raise gone(folder) from None
    for kind, data in frames(sock):
        if kind == b"o":
            output(data)
        elif kind == b"r":
            return machine.Result(**json.loads(data))
        else:
            raise machine.Died(data.decode())
    raise machine.Died("the guest's keeper ended; see keeper.log in " + folder)


def gone(folder):
    """The exception that says why there is no guest in FOLDER."""
    try:
        with open(os.path.join(folder, "gone"), encoding="utf-8") as f:
            text = f.read().rstrip()
    except OSError:
        return machine.Died(f"no guest is up in {folder}")
    if text.startswith("cannot: "):
        return setup.Cannot(text.removeprefix("cannot: "))
    return machine.Died(f"no guest is up in {folder}: {text}")


def down(folder):
    """Stop the guest and wait until it has ended. Raises setup.Cannot if there could be none."""
    try:
        sock = call(folder, {"what": "stop"})
    except OSError:
        why = gone(folder)
        if isinstance(why, setup.Cannot):
            raise why from None
        return
    for _ in frames(sock):
        pass
