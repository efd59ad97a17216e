"""Many directors without IPVS, as processes of tests/lab/tools/member: they have the daemon's node and its sockets,
and any host carries 32 of them. Half of them are on each side of a wire that can be cut:

    west (d1, d2 ...) --- wire, a bridge --- east (the others)
"""

import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from .host import Host, wait_for
from .tools import endpoint, program

PORT = 7946
SEGMENT = "10.2.0.{}"


class Members:
    """Use as a context manager: they all know each other inside, and at the end all of it is gone."""

    def __init__(self, count, profile="default"):
        self.count = count
        self.profile = profile
        self.directory = Path(tempfile.mkdtemp(prefix="lvsmesh-members-"))
        self.west, self.east, self.wire = self.hosts = [Host(name, self.directory) for name in ("west", "east", "wire")]
        self.processes = {}

    def __enter__(self):
        try:
            for host in self.hosts:
                subprocess.run(["ip", "netns", "add", host.name], check=True)
            self._links()
            for number in range(1, self.count + 1):
                self._start(number)
            self.wait_whole(30)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *failure):
        self.close()

    def close(self):
        for host in self.hosts:
            host.kill_all()
            if Path("/run/netns", host.name).exists():
                subprocess.run(["ip", "netns", "del", host.name], check=True)
        shutil.rmtree(self.directory, ignore_errors=True)

    def side(self, number):
        return self.west if number <= (self.count + 1) // 2 else self.east

    def _links(self):
        self.wire.ip("link set lo up", "link add br0 type bridge", "link set br0 up",
                     *(f"link add {h.name} type veth peer name eth0 netns {h.name}" for h in (self.west, self.east)),
                     *(f"link set {h.name} master br0 up" for h in (self.west, self.east)))
        for host in (self.west, self.east):
            own = [n for n in range(1, self.count + 1) if self.side(n) is host]
            host.ip("link set lo up", "link set eth0 up", *(f"addr add {SEGMENT.format(n)}/24 dev eth0" for n in own))

    def _start(self, number):
        at = [endpoint(SEGMENT.format(n), PORT) for n in (number, 2 if number == 1 else 1)]
        self.processes[f"d{number}"] = self.side(number).start(
            [program("member"), number, self.profile, *at], name=f"d{number}")

    def status(self):
        """What each of them says."""
        for process in self.processes.values():
            seen = len(process.events("status"))
            process.tell("status")
            process.seen = seen + 1
        return {name: process.wait_event("status", 10, process.seen) for name, process in self.processes.items()}

    def wait_whole(self, deadline):
        wait_for(lambda: all(s["view"] == len(self.processes) for s in self.status().values()), deadline,
                 "each sees all", interval=0.2)

    def told(self, observer, what, member):
        """When it was first told of that, in ms of CLOCK_REALTIME; None: not yet."""
        return next((e["at"] / 1000 for e in self.processes[observer].events("notice")
                     if (e["what"], e["member"]) == (what, member)), None)

    def all_told(self, what, member, deadline=20):
        """When each of the others was."""
        others = [name for name in self.processes if name != member]
        return [wait_for(lambda n=name: self.told(n, what, member), deadline, f"{name} is told: {member} {what}")
                for name in others]

    def failures(self):
        """(observer, member) of everything that was told as a failure."""
        return [(name, e["member"]) for name, process in self.processes.items() for e in process.events("notice")
                if e["what"] == "member-failed"]

    def kill(self, member):
        """Returns when, as told() does."""
        at = 1000 * time.time()
        self.processes.pop(member).kill()
        return at

    def leave(self, member):
        """Returns when it was asked to; it ends."""
        at = 1000 * time.time()
        process = self.processes.pop(member)
        process.tell("leave")
        return at

    def cut(self, cut):
        """Or mends it. Returns when."""
        at = 1000 * time.time()
        self.wire.set_link("br0", not cut)
        return at
