"""Runs a command as root on a kernel with IPVS.

LVSMESH_LAB says which one:
    uml     User-Mode Linux: an ordinary process, one processor, no privileges needed. Usual.
    qemu    a stock kernel of Debian (LVSMESH_KERNEL: 6.12 or 6.1) in an emulator with two processors: slow
    host    the host's own, as root; the usual one where User-Mode Linux is missing
The command sees the host's files where they are on the host (on a stock kernel: what the lab needs of them); what it
writes is forgotten at the end, except below the directory `share` given to run(). Its terminal output is streamed,
its exit status returned.
"""

import contextlib
import ctypes
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import termios
import time
from pathlib import Path

from . import host_kernel, pace, qemu, uml

KINDS = ("uml", "qemu", "host")

# The command's exit status as timeout(1) reports it, and the one for a kernel that did not come up.
TIMED_OUT = 124
NO_KERNEL = 125

PR_SET_CHILD_SUBREAPER = 36

# Nothing of the caller's environment is carried over but what the tests and the programs read.
CARRIED = ("PATH", "HOME", "LANG", "TERM", "PYTHONDONTWRITEBYTECODE")
CARRIED_PREFIXES = ("LVSMESH_", "UBSAN_", "ASAN_", "PYTEST_")


def kind():
    """One of KINDS, whose pace is the program's from now on; ends the program if it can't be had here."""
    choice = os.environ.get("LVSMESH_LAB", "uml" if uml.PROGRAM else "host")
    if choice not in KINDS:
        sys.exit(f"LVSMESH_LAB={choice}: want {', '.join(KINDS)}")
    if choice == "host":
        host_kernel.check()
    elif choice == "qemu":
        qemu.check()
        os.environ.setdefault(pace.VARIABLE, str(qemu.slowness()))
    elif not uml.PROGRAM:
        sys.exit("linux.uml is missing; apt install user-mode-linux")
    return choice


def at_once():
    """How many labs may run at a time."""
    return 1 if kind() == "qemu" else len(os.sched_getaffinity(0))


def run(command, timeout, share=None, memory="2G", tty=False, cwd=None, stdout=None):
    """Runs `command` (a list) and returns its exit status; never takes longer than `timeout` s, where the kernel is as
    fast as others (see pace).

    share: a directory in which the command's files last; it is at the same place inside.
    tty: hand over the terminal. stdout: a file for the output, instead of our own.
    """
    which = kind()
    timeout *= pace.slowness()
    share = share and os.path.abspath(share)
    with tempfile.TemporaryDirectory(prefix="lvsmesh-lab-") as own, _piped(stdout, tty) as stdout:
        script = Path(own) / "command"
        cwd = cwd or os.getcwd()
        script.write_text(_script(which, command, share, cwd))
        script.chmod(0o755)
        env = dict(os.environ)
        if which == "host":
            argv = host_kernel.argv(script)
        elif which == "qemu":
            argv = qemu.argv(own, memory, tty, share, cwd)
        else:
            argv, env = uml.argv(own, memory, tty), uml.env(own)
        try:
            return _bounded(argv, env, timeout, tty, stdout, None if which == "host" else Path(own) / "status")
        finally:
            uml.release()
            if which == "qemu":
                qemu.report(own, share)


@contextlib.contextmanager
def _piped(stdout, tty):
    """Where the output goes: never straight to a terminal that is not handed over, since User-Mode Linux changes
    a terminal's settings, and what does so in the background is stopped."""
    if tty or stdout or not os.isatty(1):
        yield stdout
        return
    relay = subprocess.Popen(["cat"], stdin=subprocess.PIPE)
    try:
        yield relay.stdin
    finally:
        relay.stdin.close()
        relay.wait()


def _script(which, command, share, cwd):
    """The shell script that is the command, with its surroundings."""
    lines = ["#!/bin/bash"]
    for name, value in sorted(os.environ.items()):
        if name in CARRIED or name.startswith(CARRIED_PREFIXES):
            lines.append(f"export {name}={shlex.quote(value)}")
    lines.append(f"export LVSMESH_IN_LAB={which}")
    if which == "host":
        lines += host_kernel.surroundings()
    elif which == "uml" and share:
        lines += uml.surroundings(share)
    lines.append("mkdir -p /run/netns")
    lines.append(f"cd {shlex.quote(str(cwd))} || exit 125")
    lines.append("exec " + " ".join(shlex.quote(str(word)) for word in command))
    return "\n".join(lines) + "\n"


def _bounded(argv, env, timeout, tty, stdout, status):
    """Runs argv in a process group of its own and kills all of it at the end, hard: User-Mode
    Linux is many processes, and taking down namespaces full of connections can take a minute.
    status: the file with the exit status to come; None: our child's own is it."""
    # What is left of the group when its leader is killed comes to us, to be waited for.
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, frame: sys.exit(128 + number))
    settings = termios.tcgetattr(0) if tty else None
    child = subprocess.Popen(["setpriv", "--pdeathsig", "KILL"] + argv, env=env, stdin=None if tty else subprocess.DEVNULL,
                             stdout=stdout, process_group=0)
    try:
        if tty:
            # Reading from the terminal is for its foreground process group only.
            signal.signal(signal.SIGTTOU, signal.SIG_IGN)
            os.tcsetpgrp(0, child.pid)
        return _wait(child, time.monotonic() + timeout, status)
    finally:
        _end(child)
        if tty:
            os.tcsetpgrp(0, os.getpgrp())
            termios.tcsetattr(0, termios.TCSADRAIN, settings)


def _end(child):
    os.killpg(child.pid, signal.SIGKILL)
    try:
        while True:
            os.waitpid(-child.pid, 0)
    except ChildProcessError:
        child.returncode = child.returncode or 0


def _wait(child, deadline, status):
    while time.monotonic() < deadline:
        if status and status.exists():
            return int(status.read_text())
        # Not yet reaped: its process group is to be killed first.
        end = os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if end and not status:
            return end.si_status + (0 if end.si_code == os.CLD_EXITED else 128)
        if end:
            return NO_KERNEL
        time.sleep(0.02)
    return TIMED_OUT
