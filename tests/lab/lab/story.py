"""The demo's story: many connections through three directors, one of which dies, comes back empty, and is
used again. Told on a screen as it happens; its figures are what it returns.

The youngest connection is SETTLED s old at each of the router's changes: with a scheduler that can't be
guessed, one that has just been opened may be lost. lvsmesh promises half of that, on a machine that has nothing
else to do.
"""

import time
from dataclasses import dataclass

from . import pace, tools
from .cluster import PORT, Cluster, kernel_table
from .lag import Lag

SETTLED = 0.2
RATE_PERIOD = 0.3  # s
TITLES = {"lvsmesh": "lvsmesh", "kernel-sync": "the kernel's own sync daemon", "ipvs": "IPVS alone"}
SHORT = {**TITLES, "kernel-sync": "kernel sync"}


@dataclass(frozen=True)
class Scale:
    connections: int = 100
    downloads: int = 4
    more: int = 40      # new connections in each of the two later waves
    rate: int = 20      # new connections a second
    watch: float = 4.0  # s to look at the traffic after a change
    download_bytes: int = 7_000_000  # long enough to see both changes, short enough to end
    download_rate: int = 400_000


QUICK = Scale(connections=40, downloads=2, more=15, rate=30, watch=1.5, download_bytes=3_000_000)


class Story:
    def __init__(self, topology, mode, screen, scale=Scale()):
        self.t = topology
        self.mode = mode
        self.screen = screen
        self.scale = scale
        self.cluster = Cluster(topology, mode, families=(4,))
        self.lag = Lag(mode)
        self.clients = []
        self.broken = 0
        self.youngest_ms = None  # the youngest connection when d1 died
        self.join_s = None  # how long d1 took to be ready again; None: nobody knows
        self._sent = None  # (when, {director: packets})
        self._rates = {}

    def tell(self):
        """Runs it all; returns the figures."""
        started = time.monotonic()
        self.begin()
        self.first_wave()
        self.death()
        at_death = self.check()
        self.second_wave()
        self.come_back()
        at_return = self.check()
        self.third_wave()
        self.check()
        total = self.counters()
        return {
            "mode": self.mode,
            "opened": total["opened"],
            "broken": total["broken"] + total["failed"],
            "broken_at_death": at_death,
            "broken_at_return": at_return,
            "youngest_ms": self.youngest_ms,
            **self.lag.figures(),
            "entries": {d.name: len(kernel_table(d)) for d in self.t.directors},
            "join_s": self.join_s,
            "messages_answered": total["echoes"],
            "downloaded_bytes": total["streamed_bytes"],
            "downloads_finished": self.downloaded(),
            "seconds": round(time.monotonic() - started, 1),
        }

    # The chapters

    def begin(self):
        self.screen.start(TITLES[self.mode])
        for real in self.t.reals:
            tools.serve(real, PORT)
        self.cluster.start()
        self.lag.watch(*self.t.directors)
        self.screen.say("Three directors are up" + (", know each other, and take traffic."
                                                    if self.mode == "lvsmesh" else "."))

    def first_wave(self):
        s = self.scale
        self.screen.say(f"A client opens {s.connections} connections, which talk twice a second, and starts "
                        f"{s.downloads} downloads.")
        self.open(s.connections + s.downloads, s.downloads)

    def death(self):
        d = self.t.directors[0]
        self.settle()
        self.youngest_ms = (self.cluster.fail(d) - self.youngest()) // 1000
        self.screen.say(f"{d.name} dies: " + ("lvsmeshd is killed (SIGKILL), and " if self.mode == "lvsmesh" else "")
                        + "its link is down. The router rehashes.",
                        f"The youngest connection is {self.youngest_ms} ms old. Connections now reach directors that\n"
                        "never saw them begin; only a replicated entry says which real server each belongs to.\n"
                        "Without it, the connection is reset.", "yellow")
        self.watch(self.scale.watch)

    def second_wave(self):
        self.screen.say(f"{self.scale.more} new connections, over the two directors that are left.")
        self.open(self.scale.more)

    def come_back(self):
        d = self.t.directors[0]
        self.screen.say(f"{d.name} is switched on again. It rebooted: its kernel knows no connection.", style="yellow")
        since = time.monotonic()
        self.cluster.revive(d, empty=True, reroute=False)
        took = time.monotonic() - since
        self.lag.watch(d)
        if self.mode == "lvsmesh":
            self.join_s = round(took, 2)
            self.screen.say(f"{d.name} got {len(kernel_table(d))} connections from the others and is ready, "
                            f"{took:.1f} s after it was switched on.")
        else:
            self.screen.say(f"Nothing says when {d.name} is ready; the router gives it {self.scale.watch / 2:.0f} s.")
        self.watch(self.scale.watch / 2)
        self.settle()
        held = len(kernel_table(d))
        self.t.route(self.t.directors)
        self.screen.say(f"The router uses {d.name} again, which holds {held} connections, and rehashes once more.",
                        style="yellow")
        self.watch(self.scale.watch)

    def third_wave(self):
        self.screen.say(f"{self.scale.more} new connections, over all three directors.")
        self.open(self.scale.more)
        self.watch(self.scale.watch / 2)
        self.watch(10, lambda: self.broken or self.downloaded() >= self.scale.downloads)

    # Traffic

    def open(self, count, downloads=0):
        s, host = self.scale, self.t.client
        client = tools.connect(host, tools.endpoint(self.t.vip(4), PORT), count, sources=host.addresses[4],
                               rate=s.rate, interval=500, streams=downloads,
                               stream_bytes=s.download_bytes, stream_rate=s.download_rate)
        self.clients.append(client)
        self.lag.wave(client, self.cluster.alive())
        self.watch(count / s.rate + 10, lambda: self.begun(client) >= count)
        assert self.begun(client) == count, f"only {self.begun(client)} of {count} connections opened"

    @staticmethod
    def begun(client):
        return len(client.events("open")) + len(client.events("failed"))

    def youngest(self):
        """When the last connection was opened, in us of CLOCK_REALTIME."""
        return max(e["at"] for c in self.clients for e in c.events("open"))

    def settle(self):
        """Until the youngest connection is old enough."""
        time.sleep(max(0, self.youngest() / 1e6 + pace.scaled(SETTLED) - time.time()))

    def check(self):
        """A message on every connection now, and its answer; returns how many have broken since the last time."""
        reports = [tools.check(client) for client in self.clients]
        still = sum(r["open"] for r in reports)
        broken = sum(r["broken"] + r["failed"] for r in reports)
        new, self.broken = broken - self.broken, broken
        if new:
            self.screen.say(f"{new} broke; {still} still answer.", style="red")
        else:
            self.screen.say(f"All {still} connections answer." if not broken else
                            f"No more broke; {still} answer.", style="green")
        return new

    def downloaded(self):
        return sum(len(c.events("streamed")) for c in self.clients)

    def counters(self):
        """The clients' newest reports, added up."""
        reports = [[e for e in c.events() if "opened" in e][-1:] for c in self.clients]
        return {key: sum(r[0][key] for r in reports if r)
                for key in ("opened", "open", "broken", "failed", "echoes", "streamed_bytes")}

    def watch(self, seconds, until=lambda: False):
        """Shows the figures for a while."""
        end = time.monotonic() + seconds
        while not until() and time.monotonic() < end:
            self.figures()
            next_figures = min(end, time.monotonic() + 0.5)
            while not until() and time.monotonic() < next_figures:
                time.sleep(0.02)
        self.figures()

    def figures(self):
        for client in self.clients:
            count = len(client.events("report"))
            client.tell("report")
            client.wait_event("report", count=count + 1)
        n = self.counters()
        broken = n["broken"] + n["failed"]
        words = [(f"{n['open']:3} alive", "green"), (f"{broken} broken", "red" if broken else None),
                 (f"{n['streamed_bytes'] / 1e6:4.1f} MB", None)]
        rates = self.rates()
        for d in self.t.directors:
            words.append((f"{d.name} {len(kernel_table(d)):3} {rates.get(d, 0):3.0f}/s" if d.up else
                          f"{d.name} dead".ljust(13), None if d.up else "red"))
        self.screen.figures(words)

    def rates(self):
        """Packets a second that the router sent to each director, over RATE_PERIOD s at least."""
        now = time.monotonic()
        if self._sent and now - self._sent[0] < RATE_PERIOD:
            return self._rates
        lines = [line.replace(":", " ").split() for line in self.t.router.read("/proc/net/dev").splitlines()]
        sent = {d: int(words[10]) for d in self.t.directors for words in lines if words[0] == d.name}
        before, self._sent = self._sent, (now, sent)
        if before:
            # A rebooted director's link counts from 0 again.
            self._rates = {d: max(0, n - before[1].get(d, 0)) / (now - before[0]) for d, n in sent.items()}
        return self._rates


# Before and after

PICTURE = """
  c1 ── router ─┬─ d1 ─┬─ r1      Three directors share one address. The router spreads connections over
                ├─ d2 ─┼─ r2      them by a hash (ECMP), and moves them when a director comes or goes.
                └─ d3 ─┼─ r3      IPVS gives each connection to a real server in turn (rr), which answers
                       └─ r4      straight to the client: nothing but its entry tells which one it was.

  Figures: connections alive and broken, MB downloaded; for each director the entries in its kernel, and
  the packets a second that the router sends to it.
"""


def introduce(screen):
    screen.text(*PICTURE.split("\n")[:-1])


def summarize(screen, told):
    """told: the figures of one run or more, ours first."""
    ours = told[0]
    rows = [
        ("connections opened", *[str(f["opened"]) for f in told]),
        ("broken when d1 died", *[_broken(f["broken_at_death"]) for f in told]),
        ("broken when d1 was used again", *[_broken(f["broken_at_return"]) for f in told]),
        ("broken altogether", *[_broken(f["broken"]) for f in told]),
        *[(f"{name} lag, {which}", *[_ms(f[f"{name}_p{p}_ms"]) for f in told])
          for name in ("capture", "replication") for p, which in ((50, "median"), (99, "99th percentile"))],
        *[(f"entries in {d} at the end", *[str(f["entries"][d]) for f in told]) for d in ours["entries"]],
        ("d1 ready after its reboot", *["-" if f["join_s"] is None else f"{f['join_s']:.1f} s" for f in told]),
        ("messages answered", *[f"{f['messages_answered']:,}" for f in told]),
        ("downloads that arrived whole", *[str(f["downloads_finished"]) for f in told]),
    ]
    screen.table([""] + [SHORT[f["mode"]] for f in told], rows)
    if ours["broken"]:
        screen.text(screen.style(f"{ours['broken']} of {ours['opened']} connections broke.", "red"))
    else:
        screen.text(screen.style(f"No connection broke, of {ours['opened']}.", "green"))


def _broken(count):
    return str(count), "red" if count else "green"


def _ms(value):
    if value is None:
        return "-"
    return f"{value:.1f} ms" if value < 100 else f"{value / 1000:.2f} s"
