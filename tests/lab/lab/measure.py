"""Figures: how late entries are, what a process costs, percentiles."""

import os
from pathlib import Path

ESTABLISHED = 1


class Stalls:
    """Watches for times in which the lab did not have the processor."""

    def __init__(self, host):
        self._watch = host.start([Path(__file__).parents[1] / "tools/stall.py"], name="stall")
        self._watch.wait_event("ready")

    def longest_ms(self):
        return max((e["ms"] for e in self._watch.events("stall")), default=0.0)

    def total_ms(self):
        return sum(e["ms"] for e in self._watch.events("stall"))


def percentile(values, p):
    """The nearest rank: a value that was there."""
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * p // 100) - 1)]


def handshakes(events):
    """When each client (address, port) completed its handshake: a traffic client's "open" events say when it
    noticed, lagwatch's "handshake" events when its kernel did, which is earlier on a busy processor."""
    first = {}
    for e in events:
        if e["event"] in ("open", "handshake"):
            first.setdefault((e["source"], e["port"]), e["at"])
    return first


def lags(opened, entries, direction):
    """For each of handshakes(), the ms until lagwatch first saw its established entry pass in that direction
    ("out" or "in"); and how many it never saw."""
    first = {}
    for e in entries:
        if e["event"] == "entry" and e["direction"] == direction and e["state"] == ESTABLISHED:
            first.setdefault((e["caddr"], e["cport"]), e["at"])
    seen = [(first[client] - at) / 1000 for client, at in opened.items() if client in first]
    return seen, len(opened) - len(seen)


def cpu_seconds(pid):
    """What a process has used of the processor; in User-Mode Linux counted in ticks of 10 ms."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9


def resident_bytes(pid):
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
