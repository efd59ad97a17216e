"""A director that is drained while its router does not know yet: what comes is forwarded, nothing loops, and nothing on the
host draws the VIP's traffic any more."""

import pytest

from lab import tools
from lab.cluster import PORT, Cluster, events
from lab.host import wait_for
from lab.topology import FAMILIES

COUNT = 20


@pytest.fixture
def cluster(topology):
    t = topology(directors=2, reals=2)
    cluster = Cluster(t).start()
    for real in t.reals:
        tools.serve(real, PORT)
    t.route(t.directors[:1])
    return cluster


def control(cluster, director, *words):
    return director.run([tools.program("lvsmesh"), *words, "--control", cluster.control(director)], check=False)


def addresses(director):
    """Of the VIPs, with their prefixes, on whatever interface."""
    lines = director.run("ip -o address show").splitlines()
    vips = [director.topology_vip[family] for family in FAMILIES]
    return [line.split()[3] for line in lines if line.split()[3].split("/")[0] in vips]


def silent(director):
    return [line for table in ("-4", "-6") for line in director.run(f"ip {table} route show table local").splitlines()
            if "proto 117" in line]


def exceeded(*hosts):
    """ICMP time exceeded, of packets that went round."""
    total = 0
    for host in hosts:
        names, values = [line.split() for line in host.read("/proc/net/snmp").splitlines() if line.startswith("Icmp:")]
        total += int(values[names.index("OutTimeExcds")])
        for line in host.read("/proc/net/snmp6").splitlines():
            if line.startswith("Icmp6OutTimeExcds"):
                total += int(line.split()[1])
    return total


def connect(t, family):
    client = tools.connect(t.client, tools.endpoint(t.vip(family), PORT), COUNT, sources=t.client.addresses[family])
    client.wait_event("open", 5, COUNT)
    return client


def test_before_the_router_knows(cluster):
    t = cluster.topology
    first = t.directors[0]
    first.topology_vip = {family: t.vip(family) for family in FAMILIES}
    # Left by somebody: with the prefix of a network, and on other interfaces that draw traffic.
    first.ip(f"address add {t.vip(4)}/24 dev lvsmesh-vip", "link add left type dummy", f"address add {t.vip(4)}/32 dev left",
             f"address add {t.vip(6)}/64 dev lo nodad")
    clients = [connect(t, family) for family in FAMILIES]
    control(cluster, first, "drain")
    wait_for(lambda: addresses(first) == [], 5, "the VIPs are off", 0.05)
    assert len(silent(first)) == len(FAMILIES)
    clients += [connect(t, family) for family in FAMILIES]
    assert exceeded(first, t.router) == 0
    assert all(tools.check(client)["broken"] == 0 for client in clients)
    assert cluster.status(first)["problems"] == []
    wait_for(lambda: silent(first) == [], 15, "the grace has ended", 0.1)
    control(cluster, first, "undrain")
    wait_for(lambda: len(addresses(first)) == len(FAMILIES), 10, "the VIPs are on", 0.1)
    assert silent(first) == []


def test_leave(cluster):
    """The daemon goes when the router has had its time, and leaves no route behind."""
    t = cluster.topology
    first = t.directors[0]
    control(cluster, first, "leave")
    clients = [connect(t, family) for family in FAMILIES]
    daemon = cluster.daemons.pop(first)
    wait_for(lambda: not daemon.running(), 20, "it has left", 0.1)
    assert silent(first) == [] and exceeded(first, t.router) == 0
    t.route(t.directors[1:])
    assert all(tools.check(client)["broken"] == 0 for client in clients)


def test_elsewhere(cluster):
    """The VIP on an interface of a network is left there, and told."""
    t = cluster.topology
    first = t.directors[0]
    first.ip(f"address add {t.vip(4)}/32 dev eth0")
    control(cluster, first, "drain")
    wait_for(lambda: any(f"{t.vip(4)} is on eth0" in p for p in cluster.status(first)["problems"]), 10, "it is told", 0.1)
    assert not events(cluster, first, "forwarder-stalled")
