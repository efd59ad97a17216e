"""How late the entries of a story's connections are: out of the kernel that saw them begin (capture), and
into the other directors' (replication)."""

from . import tools
from .cluster import TAP
from .measure import handshakes, lags, percentile


class Lag:
    """Nothing is measured where nothing is replicated."""

    def __init__(self, mode):
        self._interface = {"lvsmesh": TAP, "kernel-sync": "eth0"}.get(mode)
        self._watchers = {}
        self._waves = []

    def watch(self, *directors):
        """Each of them anew, after a reboot too."""
        if self._interface:
            self._watchers.update({d: tools.watch(d, self._interface) for d in directors})

    def wave(self, client, directors):
        """The connections that this client opens while these directors are alive."""
        self._waves.append((client, [self._watchers[d] for d in directors if d in self._watchers]))

    def measured(self):
        """(capture, replication): the lags so far, in ms."""
        capture, replication = [], []
        for client, watchers in self._waves:
            opened = handshakes(client.events("open"))
            entries = [w.events("entry") for w in watchers]
            everyones = sorted((e for its in entries for e in its), key=lambda e: e["at"])
            capture += lags(opened, everyones, "out")[0]
            for its in entries:
                replication += lags(opened, _learned(its), "in")[0]
        return capture, replication

    def figures(self):
        """Percentiles in ms, None without a measured connection."""
        return {f"{name}_p{p}_ms": round(percentile(values, p), 1) if values else None
                for name, values in zip(("capture", "replication"), self.measured()) for p in (50, 99)}


def _learned(entries):
    """Without the connections that this director carried before anyone told it of them."""
    first = {}
    for e in entries:
        first.setdefault((e["caddr"], e["cport"]), e["direction"])
    return [e for e in entries if first[e["caddr"], e["cport"]] == "in"]
