"""Hosts of the lab (network namespaces), the processes on them, and waiting for conditions."""

import contextlib
import ctypes
import fcntl
import json
import os
import shlex
import signal
import socket
import struct
import subprocess
import time
from pathlib import Path

from . import pace

CLONE_NEWNET = 0x40000000
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1
_libc = ctypes.CDLL(None, use_errno=True)


def wait_for(condition, deadline=5.0, what=None, interval=0.01):
    """Calls `condition` until it returns something true, and returns that; fails after `deadline` s (of pace)."""
    end = time.monotonic() + pace.scaled(deadline)
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"not within {deadline} s: {what or condition} (last: {value!r})")
        time.sleep(interval)


class Process:
    """A program on a host. Its output goes to a file, which is read while it runs."""

    def __init__(self, host, name, argv, log, env=None):
        self.host = host
        self.name = name
        self.argv = [str(word) for word in argv]
        self.log = Path(log)
        with host.entered(), open(log, "ab") as out, open(f"{log}.err", "ab") as err:
            self.popen = subprocess.Popen(self.argv, stdin=subprocess.PIPE, stdout=out, stderr=err,
                                          env=dict(os.environ, **(env or {})))
        self._offset = 0
        self._events = []

    def output(self):
        return self.log.read_text(errors="replace")

    def errors(self):
        return Path(f"{self.log}.err").read_text(errors="replace")

    def events(self, kind=None):
        """The JSON lines written so far, all or of one kind ("event")."""
        with open(self.log, "rb") as log:
            log.seek(self._offset)
            text = log.read()
        whole = text[:text.rfind(b"\n") + 1]
        self._offset += len(whole)
        self._events += [json.loads(line) for line in whole.splitlines()]
        return [e for e in self._events if kind is None or e["event"] == kind]

    def wait_event(self, kind, deadline=5.0, count=1):
        """The count-th event of a kind."""
        def enough():
            found = self.events(kind)
            assert len(found) >= count or self.running(), f"{self} ended: {self.errors()}"
            return found[count - 1] if len(found) >= count else None
        return wait_for(enough, deadline, f"{count} {kind!r} of {self}")

    def tell(self, command):
        self.popen.stdin.write(command.encode() + b"\n")
        self.popen.stdin.flush()

    def running(self):
        return self.popen.poll() is None

    def signal(self, number):
        if self.running():
            self.popen.send_signal(number)

    def kill(self):
        """The hard end."""
        self.signal(signal.SIGKILL)
        return self.popen.wait()

    def stop(self, deadline=10.0):
        """The polite end; returns the exit status."""
        self.signal(signal.SIGTERM)
        return self.popen.wait(pace.scaled(deadline))

    def __str__(self):
        return f"{self.name} on {self.host.name}"


class Host:
    """A network namespace. `address` is {4: ..., 6: ...}, on its interface eth0."""

    def __init__(self, name, directory, address=None):
        self.name = name
        self.directory = Path(directory)
        self.address = address or {}
        self.processes = []
        self.up = True

    @contextlib.contextmanager
    def entered(self):
        """Inside, this thread's sockets, /proc/sys/net and new processes are the host's."""
        with open("/proc/self/ns/net") as ours, open(f"/run/netns/{self.name}") as theirs:
            _setns(theirs)
            try:
                yield self
            finally:
                _setns(ours)

    def run(self, command, check=True, timeout=30, text=None):
        """Runs a command line (or a list) and returns what it wrote; its errors too, at the end."""
        argv = shlex.split(command) if isinstance(command, str) else [str(w) for w in command]
        with self.entered():
            done = subprocess.run(argv, input=text, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                  text=True, timeout=pace.scaled(timeout))
        if check and done.returncode:
            raise AssertionError(f"{self.name}: {shlex.join(argv)}: {done.returncode}\n{done.stdout}")
        return done.stdout

    def ip(self, *lines):
        """Runs lines of `ip` in one process; for instance ip("link set lo up", "route add ...")."""
        self.run(["ip", "-batch", "-"], text="\n".join(lines) + "\n")

    def set_link(self, interface, up):
        """As `ip link set`, but at this very moment: starting a program takes some 20 ms."""
        with self.entered(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            request = fcntl.ioctl(s, SIOCGIFFLAGS, struct.pack("16sH14x", interface.encode(), 0))
            flags = struct.unpack("16sH14x", request)[1]
            flags = flags | IFF_UP if up else flags & ~IFF_UP
            fcntl.ioctl(s, SIOCSIFFLAGS, struct.pack("16sH14x", interface.encode(), flags))

    def start(self, argv, name=None, env=None):
        """Starts a program; with `name`, its log is HOST-NAME.log in the topology's directory."""
        argv = shlex.split(argv) if isinstance(argv, str) else list(argv)
        name = name or Path(str(argv[0])).name
        # Also those of before a reboot are kept apart.
        log = f"{self.name}-{name}"
        used = (self.directory / f"{log}.log").exists() + len(list(self.directory.glob(f"{log}#*.log")))
        name = f"{name}#{used}" if used else name
        process = Process(self, name, argv, self.directory / f"{self.name}-{name}.log", env)
        self.processes.append(process)
        return process

    def sysctl(self, **values):
        """sysctl(net__ipv4__ip_forward=1): the names with __ for the dots."""
        with self.entered():
            for name, value in values.items():
                Path("/proc/sys", *name.split("__")).write_text(f"{value}\n")

    def read(self, path):
        """A file of the host's /proc/net or /proc/sys/net."""
        # /proc/net is a link to self/net, which is that of the process's first thread.
        path = str(path).replace("/proc/net/", "/proc/thread-self/net/")
        with self.entered():
            return Path(path).read_text()

    def capture(self, interface="any", expression=""):
        """Starts tcpdump; the file HOST-INTERFACE.pcap is kept with the logs."""
        file = self.directory / f"{self.name}-{interface}.pcap"
        process = self.start(["tcpdump", "-Z", "root", "-n", "-U", "-s", "256", "-i", interface,
                              "-w", file, expression], name=f"tcpdump-{interface}")
        wait_for(lambda: "listening on" in process.errors(), 5, "tcpdump")
        return process

    def kill_all(self):
        for process in self.processes:
            process.signal(signal.SIGKILL)
        for process in self.processes:
            process.popen.wait()
            process.popen.stdin.close()


def _setns(file):
    if _libc.setns(file.fileno(), CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")
