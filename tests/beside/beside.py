#!/usr/bin/python3
"""Whole processes on sockets, lvsmesh and conntrackd beside each other, in two network namespaces of this host:

    beside.py BUILD [--json FILE] [--repeat N] [--only PART]

New connections come evenly, at the same rate, to one of two directors. Their daemons share one core, the loads have
another. Each daemon is told by its kernel as that kernel does it: conntrackd of each connection as it comes; lvsmesh by
the IPVS master thread, a message for each connection, which is woken when eight wait (ip_vs_sync.c). No IPVS is
needed for that: see ./director.c. Counted is the CPU of the daemons, user and system; what a kernel does on behalf of
its load is not theirs."""

import argparse
import contextlib
import json
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lab"))

from lab.figures import Figures, say  # noqa: E402
from lab.measure import cpu_seconds, percentile, resident_bytes  # noqa: E402

DEADLINE = 30
CORES = sorted(os.sched_getaffinity(0))
DAEMONS, LOADS = CORES[-1], CORES[0]
ADDRESSES = ("192.0.2.1", "192.0.2.2")

# Both ends of conntrackd as its authors recommend for this: reliable, unicast, with room enough.
CONNTRACKD = """
Sync {{
    Mode FTFW {{ ResendQueueSize 131072 ACKWindowSize 300 }}
    UDP {{
        IPv4_address {own}
        IPv4_Destination_Address {other}
        Port 3780
        Interface eth0
        SndSocketBuffer 4194304
        RcvSocketBuffer 4194304
        Checksum on
    }}
}}
General {{
    HashSize 131072
    HashLimit 524288
    LogFile {directory}/{name}.log
    LockFile {directory}/{name}.lock
    UNIX {{ Path {directory}/{name}.ctl }}
    NetlinkBufferSize 8388608
    NetlinkBufferSizeMaxGrowth 33554432
    EventIterationLimit 200
}}
"""


# What else runs on the machine is not what is measured.
FIRST = ["chrt", "-r", "10"] if subprocess.run(["chrt", "-r", "10", "true"], check=False,
                                              capture_output=True).returncode == 0 else []


def run(*command):
    subprocess.run(command, check=True, capture_output=True, text=True)


@contextlib.contextmanager
def namespaces():
    """Two hosts, joined by a cable: eth0 of each."""
    names = [f"lvsmesh-bench-{os.getpid()}-{end}" for end in "ab"]
    try:
        for name in names:
            run("ip", "netns", "add", name)
        run("ip", "-n", names[0], "link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", names[1])
        for name, address in zip(names, ADDRESSES):
            run("ip", "-n", name, "address", "add", f"{address}/24", "dev", "eth0")
            for link in ("lo", "eth0"):
                run("ip", "-n", name, "link", "set", link, "up")
        yield names
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "delete", name], capture_output=True, check=False)


def sent_bytes(names):
    """By both ends of the cable."""
    links = [json.loads(subprocess.run(["ip", "-n", name, "-s", "-j", "link", "show", "eth0"], check=True,
                                       capture_output=True).stdout) for name in names]
    return sum(link[0]["stats64"]["tx"]["bytes"] for link in links)


class Process:
    """A program in a namespace, on one core, that says what happens as JSON lines."""

    def __init__(self, namespace, core, *command, first=FIRST):
        # None of these forks: the process is the program.
        self._popen = subprocess.Popen(["ip", "netns", "exec", namespace, "taskset", "-c", str(core), *first, *command],
                                       stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.pid = self._popen.pid
        self._text = b""

    def tell(self, line):
        self._popen.stdin.write(line.encode() + b"\n")
        self._popen.stdin.flush()

    def signal(self, number):
        self._popen.send_signal(number)

    def wait_event(self, name, deadline=DEADLINE):
        end = time.monotonic() + deadline
        while True:
            while b"\n" in self._text:
                line, self._text = self._text.split(b"\n", 1)
                event = json.loads(line)
                if event["event"] == name:
                    return event
            if not select.select([self._popen.stdout], [], [], max(0, end - time.monotonic()))[0]:
                raise TimeoutError(f"no \"{name}\" within {deadline} s")
            read = os.read(self._popen.stdout.fileno(), 65536)
            if not read:
                raise RuntimeError(f"ended with {self._popen.wait()} before \"{name}\"")
            self._text += read

    def stop(self):
        for pipe in (self._popen.stdin, self._popen.stdout):
            pipe.close()
        self._popen.terminate()
        try:
            self._popen.wait(5)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self._popen.wait()


class Lvsmesh:
    name = "lvsmesh"

    def __init__(self, names, directory, build):
        self._names, self.directory, self._build = names, directory, build
        self.ends = []

    def start(self, end, *options, core=DAEMONS):
        director = Process(self._names[end], core, f"{self._build}/tests/beside/beside_director", str(end + 1),
                           ADDRESSES[end], ADDRESSES[1 - end], self.directory, str(LOADS), *options)
        self.ends.append(director)
        director.wait_event("up")
        return director

    def start_both(self):
        for end in (0, 1):
            self.start(end)
        for director in self.ends:
            director.wait_event("ready")

    def load(self, first, count, rate, burst=8):
        """To the first, until the second one's kernel has all of it: what that says."""
        source, sink = self.ends
        source.tell(f"send {first} {count} {rate} {burst} 1")
        source.wait_event("sent")
        return wait_until(lambda: self.taken(sink, count), f"{count} entries")

    _taken = None

    def taken(self, sink, count):
        sink.tell("report")
        taken = sink.wait_event("taken")
        if self._taken:
            taken["distinct"] += self._taken["distinct"]
            for key in ("p50_ms", "p99_ms", "max_ms"):
                taken[key] = max(taken[key], self._taken[key])
        done = taken["distinct"] >= count
        self._taken = None if done else taken
        return taken if done else None

    def status(self, director):
        director.signal(signal.SIGUSR1)
        return director.wait_event("status")

    def stop(self):
        for director in self.ends:
            director.stop()
        self.ends = []


class Conntrackd:
    name = "conntrackd"

    def __init__(self, names, directory, build):
        self._names, self._directory, self._build = names, directory, build
        self.ends = []

    def start_both(self):
        for end, name in enumerate(self._names):
            file = Path(self._directory, f"{name}.conf")
            file.write_text(CONNTRACKD.format(own=ADDRESSES[end], other=ADDRESSES[1 - end], name=name,
                                              directory=self._directory))
            self.ends.append(Process(name, DAEMONS, "conntrackd", "-C", str(file)))
        for end in (0, 1):
            wait_until(lambda end=end: self._statistics(end), "conntrackd answers")

    def _statistics(self, end):
        file = f"{self._directory}/{self._names[end]}.conf"
        return subprocess.run(["conntrackd", "-C", file, "-s"], capture_output=True, text=True, check=False).stdout

    def _held(self, end, cache):
        found = re.search(rf"cache {cache}:\s+current active connections:\s+(\d+)", self._statistics(end))
        return int(found[1]) if found else 0

    def load(self, first, count, rate, _burst=1):
        loader = Process(self._names[0], LOADS, f"{self._build}/tests/beside/conntrack_load",
                         *map(str, (first, count, rate, 1)))
        loader.wait_event("sent")
        loader.stop()
        wait_until(lambda: self._held(1, "external") >= first + count, f"{count} states")

    def stop(self):
        for daemon in self.ends:
            daemon.stop()
        self.ends = []


def wait_until(condition, what):
    end = time.monotonic() + DEADLINE
    while time.monotonic() < end:
        result = condition()
        if result:
            return result
        time.sleep(0.25)
    raise TimeoutError(f"not within {DEADLINE} s: {what}")


@contextlib.contextmanager
def started(kind, build):
    with namespaces() as names, tempfile.TemporaryDirectory(prefix="lvsmesh-bench-", dir="/dev/shm") as directory:
        daemons = kind(names, directory, build)
        try:
            yield daemons, names
        finally:
            daemons.stop()


STEADY = ((200000, 2), (50000, 3), (5000, 4))  # a second, for how many seconds
CONNTRACKD_MAX = 80000  # on one core it loses states above


def steady(figures, kind, build, rate, seconds, conditions):
    """us of CPU a state, of both daemons together."""
    with started(kind, build) as (daemons, names):
        daemons.start_both()
        daemons.load(0, 1000, 1000)  # what happens only once has happened
        count = rate * seconds
        wire, cpu = sent_bytes(names), [cpu_seconds(d.pid) for d in daemons.ends]
        daemons.load(1000, count, rate)
        cpu = [cpu_seconds(d.pid) - before for d, before in zip(daemons.ends, cpu)]
        wire = sent_bytes(names) - wire
    conditions = {"what": "processes", "mode": kind.name, "rate": rate, "entries": count, **conditions}
    for role, seconds in zip(("sender", "receiver"), cpu):
        figures.write("cpu_us_per_entry", 1e6 * seconds / count, "us", **conditions, role=role)
    figures.write("cpu_us_per_entry", 1e6 * sum(cpu) / count, "us", **conditions, role="both")
    figures.write("wire_bytes_per_entry", wire / count, "bytes", **conditions)
    return 1e6 * sum(cpu) / count


def undisturbed(measure):
    """Where the machine was so busy with others that entries were lost before they were read: once more."""
    for attempt in range(3):
        try:
            return measure()
        except TimeoutError as e:
            say(str(e))
            if attempt == 2:
                raise


TURNS = 3  # of both: what else happens on the machine for a while disturbs one of them, and not the median


def bench_beside(figures, build, conditions):
    if DAEMONS == LOADS:
        return say("one processor: nothing to be told from the load's")
    if not shutil.which("conntrackd"):
        say("no conntrackd here: nothing to compare with")
    for rate, seconds in STEADY:
        compared = rate <= CONNTRACKD_MAX and shutil.which("conntrackd")
        used = {kind: [] for kind in ((Lvsmesh, Conntrackd) if compared else (Lvsmesh,))}
        for turn in range(TURNS):
            for kind, values in used.items():
                values.append(undisturbed(lambda kind=kind, turn=turn, rate=rate, seconds=seconds: steady(
                    figures, kind, build, rate, seconds, {"turn": turn, **conditions})))
        if compared:
            ratio = percentile(used[Lvsmesh], 50) / percentile(used[Conntrackd], 50)
            figures.write("cpu_ratio_to_conntrackd", ratio, "", what="processes", rate=rate, **conditions)


LOW_RATES = {100: 300, 1000: 2000}  # a second: how many of them


def bench_latency(figures, build, conditions):
    """From the kernel's message to the message in the other kernel's queue, with few connections."""
    for rate, count in LOW_RATES.items():
        with started(Lvsmesh, build) as (daemons, _):
            daemons.start_both()
            daemons.load(0, 96, 1000)
            taken = daemons.load(1000, count, rate, burst=1)
        for p in (50, 99):
            figures.write(f"capture_to_peer_p{p}_ms", taken[f"p{p}_ms"], "ms", what="processes", rate=rate,
                          entries=count, **conditions)


JOIN_ENTRIES = 1000000
PROBE_MS = 2  # membership asks rarely: so that there are enough answers in a join


def bench_join(figures, build, conditions):
    """A director that starts beside one that has a million entries. Counted from its start until its kernel has
    all of them; and, of that, from the first to the last that the kernel got."""
    with started(Lvsmesh, build) as (daemons, names):
        full = daemons.start(0, str(PROBE_MS))
        alone = resident_bytes(full.pid)
        full.tell(f"send 0 {JOIN_ENTRIES} 1000000 10000 100")
        full.wait_event("sent")
        wait_until(lambda: daemons.status(full)["captured"] == JOIN_ENTRIES, "all captured")
        held = resident_bytes(full.pid)
        before, cpu, wire = time.monotonic_ns() // 1000, cpu_seconds(full.pid), sent_bytes(names)
        joiner = daemons.start(1, str(PROBE_MS), core=LOADS)
        ready = joiner.wait_event("ready")["at_us"]
        probes = [daemons.status(director) for director in (full, joiner)]
        joiner.tell("report")
        taken = joiner.wait_event("taken")
        cpu = [cpu_seconds(full.pid) - cpu, cpu_seconds(joiner.pid)]
        conditions = {"what": "join", "entries": JOIN_ENTRIES, **conditions}
        figures.write("join_s", (ready - before) / 1e6, "s", **conditions)
        figures.write("transfer_s", (taken["last_us"] - taken["first_us"]) / 1e6, "s", **conditions)
        figures.write("missing", JOIN_ENTRIES - taken["distinct"], "entries", **conditions)
        for role, seconds in zip(("sender", "receiver"), cpu):
            figures.write("cpu_us_per_entry", 1e6 * seconds / JOIN_ENTRIES, "us", **conditions, role=role)
        figures.write("wire_bytes_per_entry", (sent_bytes(names) - wire) / JOIN_ENTRIES, "bytes", **conditions)
        figures.write("memory_bytes_per_entry", (held - alone) / JOIN_ENTRIES, "bytes", **conditions, role="sender")
        figures.write("memory_bytes_per_entry", (resident_bytes(joiner.pid) - alone) / JOIN_ENTRIES, "bytes",
                      **conditions, role="receiver")
        for role, status in zip(("sender", "receiver"), probes):
            figures.write("probe_p99_ms", status["probe_p99_ms"], "ms", **conditions, role=role,
                          probes=status["probes"], p50_ms=status["probe_p50_ms"], max_ms=status["probe_max_ms"])


STRANGERS = {"rate": 2000, "sources": 1000}  # connections a second, from so many addresses
NEWCOMER = "192.0.2.3"  # where nobody is known to be


@contextlib.contextmanager
def flood(names, build, seconds=120):
    """Strangers in the second namespace, all the addresses of a network of their own, and the first director."""
    run("ip", "-n", names[1], "route", "add", "local", "198.18.0.0/15", "dev", "lo")
    run("ip", "-n", names[0], "route", "add", "198.18.0.0/15", "via", ADDRESSES[1])
    strangers = Process(names[1], LOADS, f"{build}/tests/lab/tools/strangers", ADDRESSES[0], "4848",
                        *map(str, (STRANGERS["rate"], seconds, STRANGERS["sources"], 2)))
    try:
        strangers.wait_event("begun")
        yield strangers
    finally:
        strangers.stop()


def bench_strangers(figures, build, conditions, seconds=4):
    """A director among strangers who have no key, silent, dripping, with garbage and with recorded Hellos, beside the
    same without any: what it costs, how late it answers and replicates, and how long joins take."""
    with started(Lvsmesh, build) as (daemons, names), contextlib.ExitStack() as stack:
        daemons.start(0, str(PROBE_MS))
        daemons.start(1, str(PROBE_MS), core=LOADS)
        for director in daemons.ends:
            director.wait_event("ready")
        target, peer = daemons.ends
        daemons.load(0, 96, 1000)
        for turn, rate in enumerate((0, STRANGERS["rate"])):
            if rate:
                strangers, flooding = stack.enter_context(flood(names, build)), time.monotonic()
                time.sleep(3)  # sources have spent what they had at first
            for director in daemons.ends:
                daemons.status(director)
            cpu, began = cpu_seconds(target.pid), time.monotonic()
            taken = daemons.load(96 + turn * seconds * 1000, seconds * 1000, 1000)
            share = (cpu_seconds(target.pid) - cpu) / (time.monotonic() - began)
            what = {**STRANGERS, **conditions, "rate": rate}
            status = daemons.status(peer)
            figures.write("probe_p99_ms", status["probe_p99_ms"], "ms", **what, max_ms=status["probe_max_ms"],
                          probes=status["probes"])
            figures.write("capture_to_peer_p99_ms", taken["p99_ms"], "ms", **what)
            figures.write("cpu_share", share, "", **what)
            figures.write("false_failures", sum(daemons.status(d)["failed"] for d in daemons.ends), "", **what)
        for who, number, address, event in (("restarts", 2, ADDRESSES[1], "ready"), ("newcomer", 3, NEWCOMER, "joined")):
            daemons.ends.pop().stop()
            if who == "newcomer":
                run("ip", "-n", names[1], "address", "add", f"{NEWCOMER}/24", "dev", "eth0")
            began = time.monotonic_ns() // 1000
            joiner = Process(names[1], LOADS, f"{build}/tests/beside/beside_director", str(number), address,
                             ADDRESSES[0], daemons.directory, str(LOADS))
            daemons.ends.append(joiner)
            figures.write("join_s", (joiner.wait_event(event)["at_us"] - began) / 1e6, "s", **what, who=who)
        strangers.signal(signal.SIGTERM)
        opened = strangers.wait_event("done")["opened"]
        figures.write("opened_per_s", opened / (time.monotonic() - flooding), "", **what)


INSIDER, INSIDER_ADDRESS = "4", "192.0.2.4"
STORMS = ("wants", "subscribes", "sums", "orphans", "batches", "statements", "forged-gossip", "accusations", "pings")
SAVED = 60, 10  # s: after so long it has used up what it had saved at first, and between two ways


@contextlib.contextmanager
def insider(names, build):
    """A member with a valid key, in the second namespace, that attacks the first director."""
    run("ip", "-n", names[1], "address", "add", f"{INSIDER_ADDRESS}/24", "dev", "eth0")
    # It never rests: the others on its core go first.
    process = Process(names[1], LOADS, f"{build}/tests/lab/tools/insider", INSIDER, f"{INSIDER_ADDRESS}:4848", "1",
                      f"{ADDRESSES[0]}:4848", first=())
    try:
        process.wait_event("joined")
        yield process
    finally:
        process.stop()


def bench_insider(figures, build, conditions, seconds=3, saved=SAVED):
    """A director and a member with a valid key that makes it as much work as it can, each way in turn: what it costs,
    how late it answers and replicates, and how long a join takes."""
    with started(Lvsmesh, build) as (daemons, names):
        daemons.start(0, str(PROBE_MS))
        daemons.start(1, str(PROBE_MS), core=LOADS)
        for director in daemons.ends:
            director.wait_event("ready")
        target, peer = daemons.ends
        daemons.load(0, 100000, 100000, burst=1000)
        with insider(names, build) as attacker:
            first, count = 100000, seconds * 1000
            for storm in ("quiet", *STORMS):
                attacker.tell(storm)
                attacker.wait_event("storm")
                before, end = daemons.status(target)["throttled"], time.monotonic() + saved[storm != STORMS[0]]
                while storm != "quiet" and time.monotonic() < end and daemons.status(target)["throttled"] == before:
                    time.sleep(0.5)
                for director in daemons.ends:
                    daemons.status(director)
                cpu, began = cpu_seconds(target.pid), time.monotonic()
                taken = daemons.load(first, count, 1000)
                share = (cpu_seconds(target.pid) - cpu) / (time.monotonic() - began)
                first += count
                what = {"storm": storm, **conditions}
                status = daemons.status(peer)
                figures.write("probe_p99_ms", status["probe_p99_ms"], "ms", **what, max_ms=status["probe_max_ms"],
                              probes=status["probes"])
                figures.write("capture_to_peer_p99_ms", taken["p99_ms"], "ms", **what)
                figures.write("cpu_share", share, "", **what)
                figures.write("false_failures", sum(daemons.status(d)["failed"] for d in daemons.ends), "", **what)
            attacker.tell("wants")
            daemons.ends.pop().stop()
            began = time.monotonic_ns() // 1000
            joiner = daemons.start(1, core=LOADS)
            figures.write("join_s", (joiner.wait_event("ready")["at_us"] - began) / 1e6, "s", storm="wants", **conditions)
            figures.write("throttled", daemons.status(target)["throttled"], "", **conditions)


def main():
    parser = argparse.ArgumentParser(prog="beside.py")
    parser.add_argument("build")
    parser.add_argument("--json", default="/dev/null")
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--only", choices=BENCHES)
    options = parser.parse_args()
    if os.geteuid() != 0:
        return say("no namespaces without root: nothing is measured beside conntrackd")
    with open(options.json, "a") as file:
        figures = Figures(file)
        for i in range(options.repeat):
            for name, bench in BENCHES.items():
                figures.bench = name if bench in (bench_strangers, bench_insider) else "sync"
                if name == options.only or (options.only is None and figures.bench == "sync"):
                    bench(figures, options.build, {"run": i})


BENCHES = {"beside": bench_beside, "latency": bench_latency, "join": bench_join, "strangers": bench_strangers,
           "insider": bench_insider}


if __name__ == "__main__":
    main()
