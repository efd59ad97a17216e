"""A cluster that is cut in two, on a real kernel: what its parts are told, and which of them go on."""

import time

import pytest

from lab import tools
from lab.cluster import Cluster, all_alive, events, members, told_at
from lab.host import wait_for
from test_daemon import vips
from test_membership import BAD
from test_survival import CONNECTIONS, open_through

SUSPECTED, CONFIRMED, HEALED = "split-brain-suspected", "split-brain-confirmed", "split-brain-healed"
WITNESS = {"witness": "10.1.0.1"}  # the router


@pytest.fixture
def make(topology):
    """A cluster of directors that all know one another. changed: {name: keys of its section `cluster`}."""
    def start(directors, changed=None):
        t = topology(directors=directors, reals=1)
        cluster = Cluster(t, families=[4])
        for director in t.directors:
            cluster.start_director(director, (changed or {}).get(director.name))
        cluster.wait_ready()
        wait_for(lambda: all_alive(cluster, t.directors), 10, "all know all", interval=0.1)
        return cluster
    return start


def told(cluster, director, name, deadline=90):
    """The only event of that name, as soon as it is there."""
    found = wait_for(lambda: events(cluster, director, name), deadline, f"{name} on {director.name}", 0.1)
    assert len(found) == 1
    return found[0]


def opening(cluster, director, here, there, name):
    """The event that says so, with who is on which side; its evidence."""
    event = told(cluster, director, name)
    said = event["fields"]
    assert set(said["this_side"].split(", ")) == {x.name for x in here}
    assert set(said["other_side"].split(", ")) == {x.name for x in there}
    assert (said["members_alive"], said["members_total"]) == (len(here), len(here) + len(there))
    assert said["members_lost"] == len(there)
    return said.get("evidence", "").split(", ")


def closed(cluster, director, *opening):
    """All that was told of one split: these, in this order, and then that it is over."""
    told(cluster, director, HEALED)
    listed = events(cluster, director, SUSPECTED, CONFIRMED, HEALED)
    assert [e["event"] for e in listed] == [*opening, HEALED], listed
    assert len({e["incident"] for e in listed}) == 1
    assert [e["role"] for e in listed] == ["opens", *(["worsens"] * (len(opening) - 1)), "closes"]
    assert listed[-1]["lasted_s"] == pytest.approx(told_at(listed[-1]) - told_at(listed[0]), abs=2)
    assert listed[-1]["fields"]["concurrent_updates"] == 0
    # Each held the other failed, in boots that still last.
    assert "mutual" in listed[-1]["fields"]["evidence"]


def test_two_and_two(make):
    """One side has a witness, which proves nothing; both learn what it was when it is over."""
    cluster = make(4, changed={"d3": WITNESS, "d4": WITNESS})
    t = cluster.topology
    left, right = t.directors[:2], t.directors[2:]
    t.cut(left, right)
    for d in left:
        assert opening(cluster, d, left, right, SUSPECTED) == [""]
    for d in right:
        assert opening(cluster, d, right, left, SUSPECTED) == ["witness-answers"]
    for d in t.directors:
        assert told(cluster, d, "quorum-lost")["fields"]["members_alive"] == 2
        status = cluster.status(d)
        assert status["membership"]["quorum"] == "half" and status["membership"]["split"]
        assert status["announcing"] and vips(d)
    t.cut()
    for d in t.directors:
        closed(cluster, d, SUSPECTED, CONFIRMED)
        told(cluster, d, "quorum-regained")
        assert cluster.status(d)["membership"]["split"] is None
        there = {x.name for x in (right if d in left else left)}
        for name in "member-failed", "member-recovered":
            listed = wait_for(lambda: events(cluster, d, name)[1:] and events(cluster, d, name), 10, name, 0.1)
            assert len(listed) == 2 and {e["subject"] for e in listed} == there


def test_a_crash_is_no_split(make):
    """One of four loses power; then the daemons of two more are killed. The last one asks a witness, too."""
    cluster = make(4, changed={"d1": WITNESS})
    t = cluster.topology
    first, *killed, lost = t.directors
    t.kill(lost)
    cluster.daemons.pop(lost)
    told(cluster, first, "member-failed")
    for d in killed:
        cluster.kill_daemon(d)
    wait_for(lambda: len(events(cluster, first, "member-failed")) == 3, 20, "all have failed", 0.1)
    told(cluster, first, "quorum-lost")
    # Longer than a cluster of four is watched before a split is suspected.
    until = time.monotonic() + 7
    wait_for(lambda: time.monotonic() > until or events(cluster, first, SUSPECTED, CONFIRMED), 10, interval=0.5)
    assert not events(cluster, first, SUSPECTED, CONFIRMED)


def test_who_goes_on(make):
    """Three, one and one: who is to withdraw when there are few does so, and nobody else."""
    few = {"on-minority": "withdraw"}
    cluster = make(5, changed={name: few for name in ("d1", "d2", "d3", "d4")})
    t = cluster.topology
    *many, withdraws, forwards = t.directors
    watched = {d: d.start("ip -o monitor address dev lvsmesh-vip", name="addresses") for d in t.directors}
    t.cut(many, [withdraws], [forwards])
    wait_for(lambda: not vips(withdraws), 20, "its VIPs are off", 0.1)
    for d in withdraws, forwards:
        told(cluster, d, "quorum-lost")
        assert cluster.status(d)["membership"]["quorum"] == "minority"
    status = cluster.status(withdraws)
    assert not status["announcing"] and any("minority" in p for p in status["problems"]), status["problems"]
    assert all(len(events(cluster, d, "member-failed")) == 2 for d in many)
    t.cut()
    wait_for(lambda: vips(withdraws), 20, "its VIPs are on again", 0.1)
    wait_for(lambda: all_alive(cluster, t.directors), 20, "whole again", 0.1)
    for d, watch in watched.items():
        assert watch.output().count("Deleted") == (d is withdraws), watch.output()


def test_a_pair(make):
    """Half of it is lost with one director: nobody can tell a split from a crash. A witness says only that we are not
    the one that is cut off."""
    cluster = make(2, changed={"d2": WITNESS})
    first, second = cluster.directors
    cluster.topology.cut([first], [second])
    assert opening(cluster, first, [first], [second], SUSPECTED) == [""]
    assert opening(cluster, second, [second], [first], SUSPECTED) == ["witness-answers"]
    assert "or d2 has crashed" in events(cluster, first, SUSPECTED)[0]["message"]
    assert "the witness" in events(cluster, second, SUSPECTED)[0]["message"]
    cluster.topology.cut()
    for d in cluster.directors:
        closed(cluster, d, SUSPECTED, CONFIRMED)


def test_a_bridge(make):
    """Two halves that do not reach each other, and one director that both reach: nobody has failed, and each is told
    once of the cut."""
    cluster = make(5)
    t = cluster.topology
    bridge, *others = t.directors
    left, right = others[:2], others[2:]
    client, _ = open_through(t, left[0], 4)
    cluster.wait_replicated(CONNECTIONS)
    t.cut(left, right)
    cut = time.time()
    opened = {d: told(cluster, d, "partial-partition", 30) for d in t.directors}
    for d, event in opened.items():
        assert told_at(event) - cut < 15
        assert event["fields"]["cut"] == "d2, d3 | d4, d5" and event["fields"]["pairs"] == 4, event
        assert event["message"] == "Some directors reach each other only through others: d2, d3 | d4, d5."
        status = cluster.status(d)
        assert status["membership"]["partition"] == {"cut": "d2, d3 | d4, d5", "directors": 4, "pairs": 4}
        assert any(event["message"] in problem for problem in status["problems"])
        away = right if d in left else left if d in right else []
        assert {name for name, m in members(cluster, d).items() if m["indirect_only"]} == {x.name for x in away}
    # As long as it took a cluster that knew nothing of links to call others failed.
    until = time.monotonic() + 10
    wait_for(lambda: time.monotonic() > until or any(events(cluster, d, *BAD) for d in t.directors), 20, interval=1)
    assert tools.check(client)["broken"] == 0
    t.cut()
    for d, event in opened.items():
        assert told(cluster, d, "partition-ended", 30)["incident"] == event["incident"]
        assert len(events(cluster, d, "partial-partition")) == 1
        assert not events(cluster, d, *BAD), events(cluster, d)
        assert cluster.status(d)["membership"]["partition"] is None
    assert all_alive(cluster, t.directors)
    assert tools.check(client)["broken"] == 0
