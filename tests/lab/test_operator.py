"""What the operator is told besides who is alive: evidence, whose fault it is, and two of one name."""

import shutil

import pytest

from lab.cluster import Cluster, all_alive, events, members
from lab.host import wait_for
from lab.tools import program
from test_daemon import control
from test_membership import DONE


@pytest.fixture
def cluster(topology):
    made = Cluster(topology(), families=[4]).start()
    wait_for(lambda: all_alive(made, made.directors), 10, "all know all", interval=0.1)
    return made


def evidence(cluster, director, *names):
    listed = cluster.lvsmesh(director, "events", "--evidence", "--json")["events"]
    return [e for e in listed if e["event"] in names]


def test_evidence(cluster):
    *others, lost = cluster.directors
    cluster.kill_daemon(lost)
    for d in others:
        wait_for(lambda d=d: events(cluster, d, "member-failed", subject=lost.name), 10, f"{d.name} is told")
        told = evidence(cluster, d, "suspected", "member-failed")
        # First who suspected it on what, then that it has failed.
        assert [e["subject"] for e in told] == [lost.name] * len(told)
        assert [e["event"] for e in told] == ["suspected"] * (len(told) - 1) + ["member-failed"], told
        own, = [e for e in told if e["fields"].get("accuser") == d.name]
        assert own["role"] == "evidence" and own["severity"] == "info" and own["incident"] is None
        assert own["fields"]["pings"] > 0 and "no-udp" in own["fields"]["evidence"], own
        assert d.name in told[-1]["fields"]["accusers"]
        assert not events(cluster, d, "suspected")
        code, said = control(cluster, d, ["events", "--evidence"])
        assert code == DONE and own["message"] in said, said
        assert f"suspected: {own['message']}" in cluster.daemons[d].errors()


def test_own_udp_dead(cluster):
    """It says so itself; the others name it. (The simulator has the rest: once, and nobody has failed.)"""
    deaf, *others = cluster.directors
    deaf.run("iptables-legacy -A INPUT -i eth0 -p udp -j DROP")
    for d in cluster.directors:
        wait_for(lambda d=d: events(cluster, d, "member-partly-reachable", subject=deaf.name), 10, "it is told")
    told, = events(cluster, deaf, "member-partly-reachable", subject=deaf.name)
    assert "none by UDP" in told["message"], told
    assert members(cluster, deaf)[deaf.name]["partly_reachable"]
    deaf.run("iptables-legacy -F INPUT")
    for d in cluster.directors:
        over = wait_for(lambda d=d: events(cluster, d, "member-reachable", subject=deaf.name), 20, "it is over")
        assert over[0]["incident"] == events(cluster, d, "member-partly-reachable", subject=deaf.name)[0]["incident"]


def test_installed_anew(cluster):
    """New keys and the old name: the former self counts for nothing any more, and nobody has to remove it."""
    first, second, anew = cluster.directors
    old = members(cluster, first)[anew.name]["id"]
    cluster.kill_daemon(anew)
    for d in (first, second):
        wait_for(lambda d=d: members(cluster, d)[anew.name]["state"] == "failed", 10, "it has failed")
    own = cluster.topology.directory / anew.name
    shutil.rmtree(own / "state")
    (own / "state").mkdir()
    cluster.topology.router.run([program("lvsmesh"), "keygen", "node", anew.name, "--cluster",
                                 cluster.topology.directory / "keys", "--output", own / "again"])
    cluster.start_director(anew, node={"name": anew.name, "identity": str(own / "again"), "state": str(own / "state")})
    for d in (first, second):
        wait_for(lambda d=d: events(cluster, d, "member-left", subject=anew.name), 10, f"{d.name} lets the old one go")
        wait_for(lambda d=d: members(cluster, d)[anew.name]["state"] == "alive", 10, f"{d.name} has the new one")
        assert cluster.status(d)["membership"]["members_total"] == 3
        assert members(cluster, d)[anew.name]["id"] != old
    assert not [p for p in cluster.status(first)["problems"] if anew.name in p], cluster.status(first)["problems"]
    # Of three one more may fail.
    cluster.kill_daemon(anew)
    wait_for(lambda: members(cluster, first)[anew.name]["state"] == "failed", 10, "the new one has failed")
    assert cluster.status(first)["membership"]["quorum"] == "majority"
    assert cluster.status(first)["membership"]["members_total"] == 3
