"""Figures: how late entries are, what a process costs, percentiles."""

import os
from pathlib import Path

ESTABLISHED = 1


def percentile(values, p):
    """The nearest rank: a value that was there."""
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * p // 100) - 1)]


def lags(opened, entries, direction):
    """For each "open" event of a traffic client, the ms until lagwatch first saw its established entry pass in
    that direction ("out" or "in"); and how many it never saw. Entries leave the kernel after the handshake's
    third packet, the client reports after its second: a lag may be a little below 0."""
    first = {}
    for e in entries:
        if e["direction"] == direction and e["state"] == ESTABLISHED:
            first.setdefault((e["caddr"], e["cport"]), e["at"])
    seen = [(first[o["source"], o["port"]] - o["at"]) / 1000 for o in opened
            if (o["source"], o["port"]) in first]
    return seen, len(opened) - len(seen)


def cpu_seconds(pid):
    """What a process has used of the processor, exactly."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9


def resident_bytes(pid):
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
