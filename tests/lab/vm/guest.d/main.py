# SPDX-License-Identifier: BSD-2-Clause
"""guest: command line, and what each way of calling it does."""

import argparse
import os
import shutil
import signal
import sys
import tempfile
import time

import keeper
import machine
import setup

TIMED_OUT = 124
DIED = 125
CANNOT = 77

DESCRIPTION = """\
Runs a command as root in a Linux guest under QEMU: Debian's kernel, on top of this machine's own
files (virtiofs), with /tmp, /run, /dev/shm, network and modules of its own. Programs that are
built here run there as they are. The command's output is passed on, its exit status is guest's.
The guest's root can write every file of this machine.

  guest COMMAND...              boot, run, switch off
  guest --shell [COMMAND...]    the same on your terminal; without a command, a shell
  guest --up DIR                boot a guest that stays, with its files in DIR
  guest --in DIR COMMAND...     run a command in it; one at a time
  guest --down DIR              switch it off
"""

EPILOG = """\
A guest that stays also ends with the process that called --up (ctest, or a shell).
DIR/console.log is what its kernel said.

exit status: the command's, and
  77   there can be no guest on this machine; "SKIP: reason". With CI set in the environment 125
  124  the command was not over in time; it was killed
  125  the guest died, or did not come up; the end of its console is shown
Which of these it is stands in the last line on standard error.

environment: NMT_LAB_CACHE, NMT_LAB_KERNEL (see vm/kernel --help); NMT_LAB_ACCEL=tcg or kvm: do not
find out whether KVM works.
"""


def parse(argv):
    p = argparse.ArgumentParser(prog="guest", description=DESCRIPTION, epilog=EPILOG,
                                usage="guest [OPTION]... COMMAND [ARGUMENT]...",
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    how = p.add_mutually_exclusive_group()
    how.add_argument("--shell", action="store_true", help="on this terminal")
    for name in ("up", "in", "down"):
        how.add_argument(f"--{name}", metavar="DIR", help=argparse.SUPPRESS)
    p.add_argument("--timeout", metavar="S", type=float, default=600.0,
                   help="seconds that the command may take (default: 600; not with --shell)")
    p.add_argument("--share", metavar="DIR", action="append", default=[],
                   help="a folder below /tmp, /run or /dev/shm that the guest sees all the same; "
                   "this source tree and the current folder always are")
    p.add_argument("--cpus", metavar="N", type=int, default=2, help="default: 2")
    p.add_argument("--memory", metavar="SIZE", default="2G", help="default: 2G")
    p.add_argument("command", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    args = p.parse_args(argv)
    if args.command[:1] == ["--"]:
        del args.command[0]
    if bool(args.command) == bool(args.up or args.down) and not args.shell:
        p.error("no command belongs to --up and --down" if args.command else "no command")
    return args


def say(text):
    print(f"guest: {text}", file=sys.stderr, flush=True)


def write_out(data):
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def tell(result, limit):
    """Say how a job ended; gives the exit status."""
    if result.left:
        say(f"{result.left} processes of the command could not be killed")
    if result.timed_out:
        say(f"timed out: the command was not over after {limit:g} s and was killed")
        return TIMED_OUT
    say(f"the command ended with status {result.status} after {result.seconds:.2f} s")
    return result.status


def once(args, options):
    """Boot, run, switch off."""
    folder = tempfile.mkdtemp(prefix="nmt-guest.")
    guest = machine.Guest(folder, options)
    try:
        guest.start([os.getcwd(), *args.share])
        say(f"up in {guest.boot_s:.1f} s ({guest.accel}, {os.path.basename(guest.kernel)})")
        return tell(guest.run(args.command, os.getcwd(), dict(os.environ), args.timeout, write_out),
                    args.timeout)
    finally:
        finish(guest)


def shell(args, options):
    folder = tempfile.mkdtemp(prefix="nmt-guest.")
    guest = machine.Guest(folder, options, console=True)
    try:
        size = shutil.get_terminal_size()
        argv = ["sh", "-c", 'stty rows "$1" cols "$2"; shift 2; exec "$@"', "sh", str(size.lines),
                str(size.columns), *(args.command or ["bash", "-i"])]
        setup.job(folder, "console", argv, os.getcwd(), dict(os.environ))
        guest.start([os.getcwd(), *args.share])
        guest.qemu.wait()
        try:
            with open(os.path.join(folder, "status"), encoding="ascii") as f:
                return int(f.read())
        except (OSError, ValueError):
            raise guest.death("died") from None
    finally:
        finish(guest)


def finish(guest):
    """Nothing of the guest is left, whatever happened; a second signal does not change that."""
    for s in SIGNALS:
        signal.signal(s, signal.SIG_IGN)
    guest.stop()
    shutil.rmtree(guest.folder, ignore_errors=True)


def up(args, options):
    begin = time.monotonic()
    text = keeper.up(os.path.abspath(args.up), options, [os.getcwd(), *args.share], os.getppid())
    if text.startswith("cannot: "):
        raise setup.Cannot(text.removeprefix("cannot: "))
    if not text.startswith("up: "):
        raise machine.Died(text)
    say(f"{text} ({time.monotonic() - begin:.1f} s in all)")
    return 0


def inside(args):
    request = {"argv": args.command, "cwd": os.getcwd(), "env": dict(os.environ),
               "limit": args.timeout}
    return tell(keeper.run(getattr(args, "in"), request, write_out), args.timeout)


def act(args):
    options = machine.Options(args.cpus, args.memory, os.environ.get("NMT_LAB_ACCEL", "auto"))
    if args.up:
        return up(args, options)
    if args.down:
        keeper.down(args.down)
        return 0
    if getattr(args, "in"):
        return inside(args)
    return (shell if args.shell else once)(args, options)


SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def stopped(number, _):
    sys.exit(128 + number)


def main(argv):
    args = parse(argv)
    for s in SIGNALS:
        signal.signal(s, stopped)
    try:
        return act(args)
    except setup.Cannot as e:
        if os.environ.get("CI"):
            say(f"there can be no guest on this machine: {e} (with CI set this is a failure)")
            return DIED
        print(f"SKIP: no guest: {e}", flush=True)
        return CANNOT
    except machine.Died as e:
        say(str(e))
        return DIED
