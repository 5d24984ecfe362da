# SPDX-License-Identifier: BSD-2-Clause
"""The network of the pairs: how this machine's TCP is paced, or a loopback of their own."""

import ctypes
import fcntl
import os
import socket
import struct

CLONE_NEWNET = 0x40000000       # unshare(2)
SIOCSIFFLAGS, IFF_UP = 0x8914, 1    # netdevice(7)
SYSCTL = "/proc/sys/net/ipv4/"
PACED = ("bbr",)                # a timer for each segment, and less in flight when data has gaps


class NoNetwork(Exception):
    pass


def setting(name):
    try:
        with open(SYSCTL + name, encoding="ascii") as f:
            return f.read().strip()
    except OSError:
        return ""


def congestion():
    """How TCP controls congestion, for sockets that do not say."""
    return setting("tcp_congestion_control")


def _choose(name):
    try:
        with open(SYSCTL + "tcp_congestion_control", "w", encoding="ascii") as f:
            f.write(name)
    except OSError as e:
        raise NoNetwork(f"--congestion {name}: {e.strerror}; there are: "
                        f"{setting('tcp_allowed_congestion_control')} (more by sysctl "
                        "net.ipv4.tcp_allowed_congestion_control)") from e


def leave(name):
    """From here on this program and its children have a loopback of their own and nothing else, on
    which TCP uses congestion control NAME. The machine's settings stay as they are."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNET):
        why = os.strerror(ctypes.get_errno())
        raise NoNetwork(f"--congestion: no network namespace: {why} (it takes root)")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        fcntl.ioctl(s, SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", IFF_UP))
    _choose(name)


def warning():
    """What is to be said before figures are taken; empty if nothing."""
    name = congestion()
    if name not in PACED:
        return ""
    return (f"TCP of this machine is paced ({name}): figures over it are lower and uneven; "
            "--congestion reno shows them without that")
