# SPDX-License-Identifier: BSD-2-Clause
"""What a guest needs on this machine, and the files that its PID 1 reads."""

import os
import shlex
import shutil
import subprocess

HERE = os.path.dirname(os.path.abspath(__file__))
VM = os.path.dirname(HERE)
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(VM)))
QEMU = "qemu-system-x86_64"
VIRTIOFSD = ("/usr/lib/qemu/virtiofsd", "/usr/libexec/virtiofsd")
OWN = ("/tmp", "/run", "/dev/shm")      # not shared with the host


class Cannot(Exception):
    """No guest can be had on this machine; the text says why."""


def virtiofsd():
    found = [p for p in VIRTIOFSD if os.access(p, os.X_OK)]
    if not found:
        raise Cannot("no virtiofsd (Debian: qemu-system-common, later virtiofsd)")
    return found[0]


def kernel():
    """The folder of the kernel, fetched if need be."""
    done = subprocess.run([os.path.join(VM, "kernel")], stdout=subprocess.PIPE, text=True,
                          stdin=subprocess.DEVNULL, check=False)
    text = done.stdout.strip()
    if done.returncode:
        raise Cannot(text or f"kernel ended with status {done.returncode}")
    return text


def check():
    """Raise Cannot unless a guest can start; gives the kernel's folder."""
    if os.geteuid():
        raise Cannot("needs root: the guest's root is this machine's")
    for tool, package in ((QEMU, "qemu-system-x86"), ("setpriv", "util-linux"), ("ip", "iproute2")):
        if not shutil.which(tool):
            raise Cannot(f"no {tool} (Debian: {package})")
    virtiofsd()
    return kernel()


def below(path, top):
    return path == top or path.startswith(top.rstrip("/") + "/")


def shared(paths):
    """Of PATHS those that lie in a folder of the guest's own; none below another."""
    real = sorted({os.path.realpath(p) for p in paths})
    real = [p for p in real if any(below(p, top) for top in OWN) and p not in OWN]
    return [p for p in real if not any(below(p, q) for q in real if q != p)]


def fstab(paths):
    rows = ["sysfs /sys sysfs", "dev /dev devtmpfs", "devpts /dev/pts devpts X-mount.mkdir",
            "shm /dev/shm tmpfs X-mount.mkdir", "cgroup2 /sys/fs/cgroup cgroup2",
            "own /dev/own tmpfs X-mount.mkdir"]
    rows += [f"own{top} /dev/own{top} tmpfs X-mount.mkdir,mode=1777" for top in OWN]
    for path in paths:
        word = path.replace("\\", "\\134").replace(" ", "\\040").replace("\t", "\\011")
        rows.append(f"{word} /dev/own{word} none bind,X-mount.mkdir")
    return "".join(row + "\n" for row in rows)


def write(path, text):
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)


def link(path, to):
    if os.path.islink(path):
        os.unlink(path)
    os.symlink(to, path)


def files(folder, kernel_dir, console, paths):
    """Fill FOLDER, which the guest sees too. PATHS: what the jobs need of the host."""
    write(os.path.join(folder, "fstab"), fstab(shared([folder, kernel_dir, ROOT, *paths])))
    write(os.path.join(folder, "config"),
          f"kernel={shlex.quote(kernel_dir)}\nmoves=({' '.join(OWN)})\n"
          f"console={'1' if console else ''}\n")
    os.makedirs(os.path.join(folder, "dev"), exist_ok=True)
    for name, to in (("init", os.path.join(HERE, "init")), ("dev/fd", "/proc/self/fd"),
                     ("dev/stdin", "fd/0"), ("dev/stdout", "fd/1"), ("dev/stderr", "fd/2")):
        link(os.path.join(folder, name), to)


def job(folder, name, argv, cwd, env):
    """Write the script of a job: ARGV in CWD with the environment ENV."""
    names = [k for k in env if k.replace("_", "a").isalnum() and not k[0].isdigit()]
    lines = [f"export {k}={shlex.quote(env[k])}" for k in names if k not in ("SHLVL", "_", "PWD")]
    lines += [f"cd {shlex.quote(cwd)} || exit 126", "exec " + shlex.join(argv)]
    write(os.path.join(folder, f"job-{name}"), "\n".join(lines) + "\n")
