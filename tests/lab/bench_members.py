#!/usr/bin/python3
"""bench_members.py --json FILE [--repeat N]: membership of up to 32 directors, as processes without IPVS.

tests/bench starts it in a network namespace of its own on this host: the lab's kernel has one processor, and nothing
of a director but its IPVS needs that kernel."""

import argparse
import random
import time

from lab.figures import Figures, say
from lab.host import wait_for
from lab.measure import percentile
from lab.member import Members

CLUSTERS = {3: 12, 8: 4, 32: 2}
KILLS = {3: 1, 8: 2, 32: 6}
IDLE_S = 20
CUT_S = 4


def bench(figures, count, profile, repeat):
    """Some are killed, one leaves, half of the others are cut off for a while."""
    firsts, alls, leaves, heals, false = [], [], [], [], 0
    conditions = {"members": count, "profile": profile}
    for run in range(CLUSTERS[count] * repeat):
        with Members(count, profile) as members:
            if run < repeat:
                idle_bytes(figures, members, {**conditions, "run": run})
            if count == 3 and run % 3 == 2:  # of whom one would be left
                heals.append(cut_and_heal(members))
                continue
            killed = random.sample(sorted(members.processes), KILLS[count])
            for member in killed:
                time.sleep(random.uniform(1, 2))
                at = members.kill(member)
                told = members.all_told("member-failed", member)
                firsts.append(min(told) - at)
                alls.append(max(told) - at)
            leaver = random.choice(sorted(members.processes))
            at = members.leave(leaver)
            leaves.append(max(members.all_told("member-left", leaver)) - at)
            false += sum(member not in killed for _, member in members.failures())
            if count > 3:
                heals.append(cut_and_heal(members))
    conditions["kills"] = len(firsts)
    figures.write("detect_first_median_ms", percentile(firsts, 50), "ms", **conditions)
    figures.write("detect_first_max_ms", max(firsts), "ms", **conditions)
    figures.write("detect_all_max_ms", max(alls), "ms", **conditions)
    del conditions["kills"]
    figures.write("leave_all_ms", max(leaves), "ms", **conditions, leaves=len(leaves))
    figures.write("false_failures", false, "members", **conditions)
    figures.write("heal_ms", max(heals), "ms", **conditions, cuts=len(heals))


def idle_bytes(figures, members, conditions):
    time.sleep(1)
    before, started = members.status(), time.monotonic()
    time.sleep(IDLE_S)
    after, took = members.status(), time.monotonic() - started
    sent = sum(after[name]["bytes"] - before[name]["bytes"] for name in before)
    figures.write("idle_bytes_per_s", sent / took / len(before), "bytes/s", **conditions)


def cut_and_heal(members):
    """ms from the mending of the wire until everybody was told that everybody is back."""
    west = [n for n, p in members.processes.items() if p.host is members.west]
    pairs = [(a, b) for a in members.processes for b in members.processes if (a in west) != (b in west)]
    members.cut(True)
    for a, b in pairs:
        wait_for(lambda a=a, b=b: members.told(a, "member-failed", b), 20, f"{a} misses {b}")
    time.sleep(random.uniform(CUT_S, CUT_S + 1))
    at = members.cut(False)
    return max(wait_for(lambda a=a, b=b: members.told(a, "member-recovered", b), 20, f"{a} has {b} back") - at
               for a, b in pairs)


def main():
    parser = argparse.ArgumentParser(prog="bench_members.py")
    parser.add_argument("--json", default="/dev/null")
    parser.add_argument("--repeat", type=int, default=1)
    options = parser.parse_args()
    with open(options.json, "a") as file:
        figures = Figures(file)
        figures.bench = "membership"
        for profile in ("default", "fast"):
            for count in CLUSTERS:
                say(f"== {count} members, profile {profile}")
                bench(figures, count, profile, options.repeat)


if __name__ == "__main__":
    main()
