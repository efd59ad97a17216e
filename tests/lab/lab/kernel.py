"""Runs a command as root on a kernel with IPVS.

That kernel is User-Mode Linux (an ordinary process, no privileges needed), or the host's own where
LVSMESH_LAB=host asks for it, or where User-Mode Linux is missing. The command sees the host's files
where they are on the host; what it writes is forgotten at the end, except below the directory
`share` given to run(). Its terminal output is streamed, its exit status returned.
"""

import contextlib
import ctypes
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import termios
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent.parent
UML = shutil.which("linux.uml")

# The command's exit status as timeout(1) reports it, and the one for a kernel that did not come up.
TIMED_OUT = 124
NO_KERNEL = 125

PR_SET_CHILD_SUBREAPER = 36

# Nothing of the caller's environment is carried over but what the tests and the programs read.
CARRIED = ("PATH", "HOME", "LANG", "TERM", "PYTHONDONTWRITEBYTECODE")
CARRIED_PREFIXES = ("LVSMESH_", "UBSAN_", "ASAN_", "PYTEST_")


def on_host():
    """True if the host's own kernel is to be used."""
    choice = os.environ.get("LVSMESH_LAB", "uml" if UML else "host")
    if choice not in ("uml", "host"):
        sys.exit(f"LVSMESH_LAB={choice}: want uml or host")
    if choice == "host":
        if os.geteuid() != 0:
            sys.exit("the lab on the host's kernel wants root; or: apt install user-mode-linux")
        if subprocess.run(["modprobe", "ip_vs"]).returncode:
            sys.exit("this host has no ip_vs module; apt install user-mode-linux")
    elif not UML:
        sys.exit("linux.uml is missing; apt install user-mode-linux")
    return choice == "host"


def run(command, timeout, share=None, memory="2G", tty=False, cwd=None, stdout=None):
    """Runs `command` (a list) and returns its exit status; never takes longer than `timeout` s.

    share: a directory in which the command's files last; it is at the same place inside.
    tty: hand over the terminal. stdout: a file for the output, instead of our own.
    """
    with tempfile.TemporaryDirectory(prefix="lvsmesh-lab-") as own, _piped(stdout, tty) as stdout:
        script = Path(own) / "command"
        script.write_text(_script(command, share, cwd or os.getcwd()))
        script.chmod(0o755)
        if on_host():
            argv, env = _host_argv(script), dict(os.environ)
        else:
            argv, env = _uml_argv(own, memory, tty), _uml_env(own)
        return _bounded(argv, env, timeout, tty, stdout, Path(own) / "status")


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


def _script(command, share, cwd):
    """The shell script that is the command, with its surroundings."""
    lines = ["#!/bin/bash"]
    for name, value in sorted(os.environ.items()):
        if name in CARRIED or name.startswith(CARRIED_PREFIXES):
            lines.append(f"export {name}={shlex.quote(value)}")
    lines.append("export LVSMESH_IN_LAB=1")
    if share and not on_host():
        share = shlex.quote(os.path.abspath(share))
        lines.append(f"mkdir -p {share} && mount -t hostfs -o {share} none {share} || exit 125")
    elif on_host():
        lines.append("mount -t tmpfs tmpfs /run && ip link set lo up || exit 125")
    lines.append("mkdir -p /run/netns")
    lines.append(f"cd {shlex.quote(str(cwd))} || exit 125")
    lines.append("exec " + " ".join(shlex.quote(str(word)) for word in command))
    return "\n".join(lines) + "\n"


def _host_argv(script):
    # Namespaces of its own: /run/netns and the "first" network namespace vanish with the command.
    return ["unshare", "--mount", "--net", "--pid", "--fork", "--mount-proc", "--kill-child",
            str(script)]


def _uml_argv(own, memory, tty):
    # One processor: the guest's process and its kernel are host processes that hand over to each
    # other at each system call, which takes 6 us on one processor and 67 us across two.
    argv = ["taskset", "-c", str(_claim_processor()), UML, f"mem={memory}",
            "rootfstype=hostfs", "root=/dev/root", "ro", f"init={HERE}/init",
            "con=null", "con0=fd:0,fd:1", "quiet", "loglevel=2", "selinux=0", f"LAB_DIR={own}"]
    if tty:
        columns, lines = os.get_terminal_size(0)
        argv.append(f"LAB_TTY={lines}x{columns}")
    return argv


def _uml_env(own):
    shim = f"{own}/uml_xstate.so"
    subprocess.run([os.environ.get("CC", "cc"), "-O2", "-Wall", "-Wextra", "-Werror", "-D_GNU_SOURCE",
                    "-shared", "-fPIC", "-o", shim, f"{HERE}/uml_xstate.c"], check=True)
    # The guest's memory is a file in TMPDIR: on a disk every page would be written back.
    return {"PATH": os.environ["PATH"], "HOME": own, "LD_PRELOAD": shim, "TMPDIR": "/dev/shm"}


_claims = []


def _claim_processor():
    """The first processor on which no other lab runs; an abstract socket is the mark, so that
    nothing is left when we are killed."""
    processors = sorted(os.sched_getaffinity(0))
    for processor in processors:
        mark = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            mark.bind(f"\0lvsmesh-lab-processor-{processor}")
        except OSError:
            mark.close()
            continue
        _claims.append(mark)
        return processor
    return processors[os.getpid() % len(processors)]


def _bounded(argv, env, timeout, tty, stdout, status):
    """Runs argv in a process group of its own and kills all of it at the end, hard: User-Mode
    Linux is many processes, and taking down namespaces full of connections can take a minute."""
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
        while _claims:
            _claims.pop().close()
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
    """The command's exit status: from the file that User-Mode Linux leaves, or our child's own."""
    while time.monotonic() < deadline:
        if status.exists():
            return int(status.read_text())
        # Not yet reaped: its process group is to be killed first.
        end = os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if end and on_host():
            return end.si_status + (0 if end.si_code == os.CLD_EXITED else 128)
        if end:
            return NO_KERNEL
        time.sleep(0.02)
    return TIMED_OUT
