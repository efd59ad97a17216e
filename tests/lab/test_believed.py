"""What is injected counts when it was seen in the kernel's table: a packet filter that eats it is found and told, and no
director takes traffic for connections that its kernel does not have."""

import pytest

from lab import tools
from lab.cluster import PORT, TAP, Cluster, events, kernel_table
from lab.host import wait_for
from test_daemon import vips

COUNT = 40
FAILING, WORKS = "injection-failing", "injection-recovered"
# A filter that drops by default, as many hosts have one: connections from the tap pass, its datagrams do not.
DEFAULT_DROP = ["-A INPUT -i lo -j ACCEPT", "-A INPUT -i eth0 -j ACCEPT", f"-A INPUT -i {TAP} -p tcp -j ACCEPT", "-P INPUT DROP"]
OPEN = ["-P INPUT ACCEPT", "-F INPUT"]


def filters(director, rules):
    for rule in rules:
        director.run(f"iptables-legacy {rule}")


@pytest.fixture
def cluster(topology):
    t = topology(directors=2, reals=2)
    cluster = Cluster(t, families=[4])
    for real in t.reals:
        tools.serve(real, PORT)
    cluster.start_director(t.directors[0])
    cluster.wait_ready(t.directors[:1])
    t.route(t.directors[:1])
    return cluster


def connect(cluster):
    t = cluster.topology
    client = tools.connect(t.client, tools.endpoint(t.vip(4), PORT), COUNT, sources=t.client.addresses[4])
    client.wait_event("open", 10, COUNT)
    return client


def test_before_the_start(cluster):
    """A director that joins is not ready with an empty kernel; it is as soon as the filter lets it."""
    first, second = cluster.directors
    client = connect(cluster)
    filters(second, DEFAULT_DROP)
    cluster.start_director(second)
    wait_for(lambda: cluster.status(second) and events(cluster, second, FAILING), 10, "it is told", 0.1)
    status = cluster.status(second)
    assert not status["ready"] and not status["announcing"]
    assert any(TAP in p for p in status["problems"]), status["problems"]
    filters(second, OPEN)
    cluster.wait_ready([second])
    assert len(kernel_table(second)) == COUNT
    wait_for(lambda: events(cluster, second, WORKS), 10, "its end is told", 0.1)
    cluster.fail(first)
    assert tools.check(client)["broken"] == 0


def test_while_it_runs(cluster):
    """A rule that is added later: told within 10 s, and what was lost is in the kernel when the rule is gone."""
    first, second = cluster.directors
    cluster.start_director(second)
    cluster.wait_ready([second])
    filters(second, [f"-A INPUT -i {TAP} -p udp -j DROP"])
    client = connect(cluster)
    wait_for(lambda: events(cluster, second, FAILING), 10, "it is told", 0.1)
    status = cluster.status(second)
    assert status["replication"] == "stalled" and status["problems"]
    # Its own connections are carried on, and replicated: it stays in service.
    assert status["ready"] and vips(second)
    assert len(kernel_table(second)) < COUNT
    filters(second, OPEN)
    wait_for(lambda: len(kernel_table(second)) == COUNT, 30, "all are in its kernel", 0.1)
    wait_for(lambda: not cluster.status(second)["problems"], 10, "all is well", 0.1)
    cluster.fail(first)
    assert tools.check(client)["broken"] == 0
