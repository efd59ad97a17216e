"""Health checks: how soon all directors have taken out a real server that fails, how far apart they are, and what was taken
out though it served; and the same of keepalived, at the same time, for the same real servers and faults.

Part `verdict`: lvsmesh with its defaults, and twice as fast. Part `keepalived`: three directors of each kind side by side, with
equal settings. A check fails three times in a row, a second apart, each within a second; one success is up."""

import random
import time

from lab import health, tools
from lab.cluster import PORT, Cluster, services
from lab.figures import lab, say
from lab.health import Real, start_reals, watched
from lab.keepalived import Keepalived
from lab.measure import percentile

HTTP = {"type": "http", "path": "/healthz"}
# As keepalived's delay_loop 1, retry 2, delay_before_retry 1, connect_timeout 1.
EQUAL = {"interval": "1s", "fast-interval": "1s", "timeout": "1s", "fall": 3, "rise": 1}
FAST = {"interval": "500ms", "fast-interval": "250ms", "timeout": "250ms"}
PATIENCE_S = 20  # then a fault is not found

# What happens to a real server. Its kernel goes on to accept for a frozen process; a silent host is as one without power.
FAULTS = ("killed", "silent", "hang", "freeze", "status 503", "drip 100")
FAULTS_SEEN_BY_TCP = ("killed", "silent")


def endpoint(real):
    return tools.endpoint(real.host.address[4], PORT)


def when_all(watch, since, real, *weights, directors):
    """{director: s after `since`}, of those that got there before patience ended."""
    names = {d.name for d in directors}
    while True:
        over = time.monotonic() > since + PATIENCE_S
        when = {name: at - since for name, at in watch.when(since, endpoint(real), *weights).items() if name in names}
        if over or names <= when.keys():
            return when
        time.sleep(0.05)


# verdict

def bench_verdict(figures, repeat):
    for name, timing in (("default", {}), ("fast", FAST)):
        check = {**HTTP, **timing}
        with lab() as t:
            reals = start_reals(t, PORT)
            Cluster(t, families=[4], check=check, **{"panic-threshold": "off"}).start()
            time.sleep(2)
            with watched(t.directors) as watch:
                for run in range(repeat):
                    for fault in ("killed", "silent", "hang"):
                        verdict_run(figures, t, watch, random.choice(list(reals.values())), fault, {"profile": name, "run": run})
                figures.write("watch_longest_ms", 1000 * watch.longest, "ms", profile=name)


def verdict_run(figures, t, watch, real, fault, conditions):
    time.sleep(random.uniform(0.5, 1.5))
    conditions = {"fault": fault.split()[0], "directors": len(t.directors), **conditions}
    since = health.fail(t, real, fault)
    took = when_all(watch, since, real, 0, None, directors=t.directors)
    figures.write("undetected", len(t.directors) - len(took), "directors", **conditions)
    if len(took) == len(t.directors):
        figures.write("verdict_s", max(took.values()), "s", **conditions)
        figures.write("verdict_skew_s", max(took.values()) - min(took.values()), "s", **conditions)
    back = health.mend(t, real, fault)
    took = when_all(watch, back, real, 1, directors=t.directors)
    if len(took) == len(t.directors):
        figures.write("back_s", max(took.values()), "s", **conditions)
    wrong(figures, watch, since, {endpoint(real)}, t.directors, conditions)


def wrong(figures, watch, since, failed, directors, conditions):
    """Real servers that served and were taken out, each time on each director."""
    names = {d.name for d in directors}
    taken = [c for c in watch.since(since) if c[1] in names and c[3] in (0, None) and c[2][1] not in failed]
    figures.write("wrong_verdicts", len(taken), "verdicts", **conditions)


# keepalived

class Sides:
    """Three directors with lvsmesh, three with keepalived, over the same real servers."""

    def __init__(self, t, kind):
        self.t = t
        self.ours, self.theirs = t.directors[:3], t.directors[3:]
        self.reals: dict[str, Real] = start_reals(t, PORT)
        check = {**(HTTP if kind == "http" else {"type": "tcp"}), **EQUAL}
        made = services(t, [4], check=check, checkers="all", **{"panic-threshold": "off"})
        t.route(self.ours)
        Cluster(t, services=made).start(self.ours)
        beside = Keepalived(t, made, kind)
        for director in self.theirs:
            beside.start(director)
        time.sleep(5)

    def each(self):
        return (("lvsmesh", self.ours), ("keepalived", self.theirs))


def bench_keepalived(figures, repeat):
    for kind, faults in (("http", FAULTS), ("tcp", FAULTS_SEEN_BY_TCP)):
        with lab(directors=6) as t:
            sides = Sides(t, kind)
            with watched(t.directors) as watch:
                ratios = []
                for run in range(repeat):
                    for fault in faults:
                        ratios += beside_run(figures, sides, watch, fault, {"check": kind, "run": run})
                for run in range(repeat):
                    for trouble in (one_is_cut_off, one_loses, all_lose):
                        trouble_run(figures, sides, watch, trouble, {"check": kind, "run": run})
                if ratios:
                    figures.write("detect_ratio_to_keepalived", percentile(ratios, 50), "", check=kind, faults=len(ratios))
                    figures.write("detect_ratio_to_keepalived_max", max(ratios), "", check=kind, faults=len(ratios))


def beside_run(figures, sides, watch, fault, conditions):
    """The ratio of the times in which the last director of each side found the fault; none where one did not."""
    t, real = sides.t, random.choice(list(sides.reals.values()))
    conditions = {**conditions, "fault": fault.split()[0]}
    time.sleep(random.uniform(1, 2))
    since = health.fail(t, real, fault)
    worst = {}
    for mode, directors in sides.each():
        took = when_all(watch, since, real, 0, None, directors=directors)
        if len(took) == len(directors):
            worst[mode] = max(took.values())
            figures.write("detect_s", worst[mode], "s", mode=mode, **conditions)
            figures.write("verdict_skew_s", max(took.values()) - min(took.values()), "s", mode=mode, **conditions)
        figures.write("undetected", len(directors) - len(took), "directors", mode=mode, **conditions)
    back = health.mend(t, real, fault)
    for mode, directors in sides.each():
        took = when_all(watch, back, real, 1, directors=directors)
        if len(took) == len(directors):
            figures.write("back_s", max(took.values()), "s", mode=mode, **conditions)
        wrong(figures, watch, since, {endpoint(real)}, directors, {**conditions, "mode": mode})
    say(f"{fault}: {', '.join(f'{mode} {s:.2f} s' for mode, s in worst.items())}")
    return [worst["lvsmesh"] / worst["keepalived"]] if len(worst) == 2 else []


TROUBLE_S = 20


def one_is_cut_off(sides):
    """A director of each side reaches no real server. Its own way of traffic is cut with it."""
    sides.t.cut([sides.ours[0], sides.theirs[0]], sides.t.reals)


def one_loses(sides):
    lose(sides, [sides.ours[0], sides.theirs[0]], 40)


def all_lose(sides):
    lose(sides, sides.t.directors, 15)


def lose(sides, directors, percent):
    """So many of the packets from the real servers to these directors are lost."""
    names = ", ".join(d.name for d in directors)
    rule = f"oifname {{{names}}} iifname {{{', '.join(r.name for r in sides.t.reals)}}} numgen random mod 100 < {percent} drop"
    sides.t.router.run(["nft", "-f", "-"], text="table bridge cut { chain forward { type filter hook forward priority 0; "
                                                f"{rule}; }}; }}\n")


def trouble_run(figures, sides, watch, trouble, conditions):
    """All real servers serve: none is to be taken out."""
    time.sleep(2)
    since = time.monotonic()
    trouble(sides)
    time.sleep(TROUBLE_S)
    for mode, directors in sides.each():
        wrong(figures, watch, since, set(), directors, {**conditions, "trouble": trouble.__name__.replace("_", "-"),
                                                        "mode": mode, "seconds": TROUBLE_S})
    sides.t.cut()
    time.sleep(5)


def bench(figures, repeat):
    for part in (bench_verdict, bench_keepalived):
        say(f"-- {part.__name__.replace('bench_', '')}")
        part(figures, repeat)
