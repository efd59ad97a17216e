"""Directors that find none of the others, on a real kernel: it is told, and cluster.on-alone decides what they do."""

import pytest

from lab.cluster import CLUSTER_PORT, Cluster, all_alive, events
from lab.host import wait_for
from lab.tools import endpoint
from test_daemon import vips

NOT_FOUND, FOUND = "peers-not-found", "peers-found"


def told(cluster, director, name):
    return wait_for(lambda: cluster.status(director) and events(cluster, director, name), 25,
                    f"{name} on {director.name}", 0.1)


def problem(cluster, director, words):
    return any(words in p for p in cluster.status(director)["problems"])


@pytest.mark.parametrize("address, port", [("10.1.0.99", CLUSTER_PORT), ("10.1.0.12", CLUSTER_PORT + 18)])
def test_nobody_there(topology, address, port):
    """cluster.join names a host that is not there, and a port where nobody listens."""
    t = topology(directors=2, reals=1)
    cluster = Cluster(t, families=[4])
    first, second = t.directors
    cluster.start_director(second, {"join": []})
    cluster.start_director(first, {"join": [endpoint(address, port)]})
    told(cluster, first, NOT_FOUND)
    assert vips(first) and cluster.status(first)["ready"]
    assert problem(cluster, first, f"No director has answered at {endpoint(address, port)}")
    # One without cluster.join is alone by its operator's will.
    assert cluster.status(second)["problems"] == []


def test_cut_at_first_start(topology):
    """Two and two that have never met: each pair says whom it misses, and it is one cluster when the cut ends."""
    t = topology(directors=4, reals=1)
    cluster = Cluster(t, families=[4])
    t.cut(t.directors[:2], t.directors[2:])
    for director in t.directors:
        cluster.start_director(director)
    cluster.wait_ready()
    for director, missed in (t.directors[0], t.directors[2]), (t.directors[2], t.directors[0]):
        wait_for(lambda: problem(cluster, director, endpoint(missed.address[4], CLUSTER_PORT)), 20,
                 f"{director.name} misses {missed.name}", 0.1)
    t.cut()
    wait_for(lambda: all_alive(cluster, t.directors), 60, "one cluster", 0.1)
    for director in t.directors:
        assert not problem(cluster, director, "No director has answered")


def test_waits(topology):
    """on-alone: wait takes no traffic until another director is there."""
    t = topology(directors=2, reals=1)
    cluster = Cluster(t, families=[4])
    first, second = t.directors
    cluster.start_director(first, {"on-alone": "wait"})
    told(cluster, first, NOT_FOUND)
    status = cluster.status(first)
    assert not status["ready"] and not status["announcing"]
    assert status["waiting_for"] == "another director to answer"
    cluster.start_director(second)
    cluster.wait_ready()
    told(cluster, first, FOUND)
    wait_for(lambda: vips(first), 10, "its VIPs are on", 0.1)
