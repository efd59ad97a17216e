"""Real servers that fail, clients that notice it, and what the directors' kernels make of it."""

import contextlib
import ipaddress
import signal
import threading
import time
from pathlib import Path

from . import pace
from .cluster import TAP_NET
from .host import wait_for
from .tools import endpoint

PATH_MARKS = 0x4c
TOOLS = Path(__file__).resolve().parents[1] / "tools"


class Real:
    """The server on a real server's host. Its name is what it answers."""

    def __init__(self, host, *ports):
        self.host = host
        self.ports = ports
        self.start()

    def start(self):
        self.process = self.host.start([TOOLS / "real.py", self.host.name, *self.ports], name="real")
        self.process.wait_event("ready", 10)

    def be(self, mode):
        """As tools/real.py has them; it does so when this returns."""
        count = len(self.process.events("mode"))
        self.process.tell(mode)
        self.process.wait_event("mode", 10, count + 1)

    def kill(self):
        """The process: its port is closed, what was connected is reset. Returns when, s of CLOCK_MONOTONIC."""
        at = time.monotonic()
        self.process.kill()
        return at

    def freeze(self):
        """The kernel goes on to accept, until its backlog is full."""
        self.process.signal(signal.SIGSTOP)

    def thaw(self):
        self.process.signal(signal.SIGCONT)

    def lose_vip(self, address):
        self.host.ip(f"address del {address} dev lo")

    def lose_tunnel(self):
        self.host.ip("link set tunl0 down", "link set ip6tnl0 down")


def fail(topology, real, fault):
    """killed: its process. freeze: that is stopped, and its kernel still accepts. silent: as without power. Else as
    tools/real.py has it. Returns when, s of CLOCK_MONOTONIC."""
    at = time.monotonic()
    if fault == "killed":
        real.kill()
    elif fault == "silent":
        topology.link(real.host, False)
    elif fault == "freeze":
        real.freeze()
    else:
        real.be(fault)
    return at


def mend(topology, real, fault):
    """Likewise."""
    at = time.monotonic()
    if fault == "killed":
        real.start()
    elif fault == "silent":
        topology.link(real.host, True)
    elif fault == "freeze":
        real.thaw()
    else:
        real.be("get /healthz" if fault.startswith("get") else "up")
    return at


def start_reals(topology, *ports):
    """{name: Real}."""
    return {host.name: Real(host, *ports) for host in topology.reals}


def address_of(topology, name, family=4):
    return next(host.address[family] for host in topology.reals if host.name == name)


def weights(director):
    """{(service, real server): weight} as the director's kernel has them, but for lvsmeshd's own probe service and what it
    checks forwarding paths with; an fwmark service's name is its number."""
    found, service = {}, None
    for line in director.read("/proc/net/ip_vs").splitlines()[3:]:
        words = line.split()
        if words[0] == "->" and not _internal(service):
            found[service, _endpoint(words[1])] = int(words[3])
        elif words[0] != "->":
            service = str(int(words[1], 16)) if words[0] == "FWM" else _endpoint(words[1])
    return found


def _internal(service):
    return service.startswith(TAP_NET) or service.isdigit() and int(service) >> 24 == PATH_MARKS


def _endpoint(text):
    """IPv4 addresses are written there in hexadecimal, IPv6 ones in full."""
    address, port = text.rsplit(":", 1)
    if address.startswith("["):
        return endpoint(str(ipaddress.ip_address(address.strip("[]"))), int(port, 16))
    return endpoint(".".join(str(int(address[i:i + 2], 16)) for i in range(0, 8, 2)), int(port, 16))


class Watch(threading.Thread):
    """Looks at the weights of all directors' kernels every few ms, and keeps each change: (s of CLOCK_MONOTONIC, director's
    name, (service, real server), weight; None: it is not there)."""

    STEP = 0.01

    def __init__(self, directors):
        super().__init__(daemon=True)
        self.directors = directors
        self.changes = []
        self.longest = 0.0  # between two looks
        self._last = {director.name: weights(director) for director in directors}
        self._ended = threading.Event()
        self.start()

    def _look(self):
        for director in self.directors:
            try:
                now = weights(director)
            except OSError:  # it is being made anew
                continue
            at, before = time.monotonic(), self._last.get(director.name, {})
            self.changes += [(at, director.name, key, now.get(key)) for key in sorted(before.keys() | now.keys())
                             if before.get(key) != now.get(key)]
            self._last[director.name] = now

    def run(self):
        before = time.monotonic()
        while not self._ended.wait(self.STEP):
            self._look()
            now = time.monotonic()
            self.longest = max(self.longest, now - before)
            before = now

    def stop(self):
        self._ended.set()
        self.join()

    def since(self, at):
        return [change for change in list(self.changes) if change[0] >= at]

    def when(self, since, real, *values, service=None):
        """{director: when its kernel first had one of these weights of the real server, after `since`}."""
        found = {}
        for at, director, key, weight in self.since(since):
            if key[1] == real and service in (None, key[0]) and weight in values:
                found.setdefault(director, at)
        return found

    def wait(self, since, real, *values, deadline=10, directors=None, service=None):
        """The same when all of the directors have it."""
        names = {d.name for d in directors or self.directors}

        def all_have():
            found = self.when(since, real, *values, service=service)
            return {n: found[n] for n in names} if names <= found.keys() else None
        try:
            return wait_for(all_have, deadline, f"{real} has a weight of {values}")
        except AssertionError as e:
            raise AssertionError(f"{e}; changes since: {[(round(c[0] - since, 2), *c[1:]) for c in self.since(since)]}") from e


@contextlib.contextmanager
def watched(directors):
    watch = Watch(directors)
    try:
        yield watch
    finally:
        watch.stop()


def skew(when):
    return max(when.values()) - min(when.values())


class Asking:
    """A client that opens connections all the time."""

    def __init__(self, host, address, port, interval_ms=20, deadline_ms=1000):
        self.process = host.start([TOOLS / "ask.py", address, port, interval_ms, int(pace.scaled(deadline_ms))], name="ask")
        self.process.wait_event("ready", 10)

    def asked(self, since=0.0, until=float("inf")):
        """What began after `since` and before `until`, s of CLOCK_MONOTONIC, and is over."""
        ahead = time.time() - time.monotonic()
        return [e for e in self.process.events() if e["event"] in ("answer", "failure") and
                since <= e["at"] / 1e6 - ahead < until]

    def who(self, since, until=float("inf")):
        return {e.get("who") for e in self.asked(since, until)}

    def failures(self, since=0.0, until=float("inf")):
        return [e for e in self.asked(since, until) if e["event"] == "failure" or e["status"] != 200]

    def wait_more(self, since, count, deadline=10):
        """At least so many that began after `since` are over."""
        return wait_for(lambda: len(self.asked(since)) >= count and self.asked(since), deadline, f"{count} more connections")

    def stop(self):
        self.process.stop()


CHECK = {"type": "http", "path": "/healthz", "interval": "300ms", "fast-interval": "200ms", "timeout": "300ms", "fall": 3, "rise": 2}


def seconds(text):
    return float(text[:-2]) / 1000 if text.endswith("ms") else float(text[:-1])


def detection(check):
    """All directors have changed the weight of a real server that failed, after so many s."""
    return check["fall"] * seconds(check["interval"]) + seconds(check["timeout"]) + 1
