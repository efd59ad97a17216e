"""The modes of a cluster: what survives the death of a director with each, and that the lab sees it."""

import pytest

from lab import tools
from lab.cluster import PORT, Cluster, kernel_table


def open_connections(t, family, count, **options):
    for real in t.reals:
        tools.serve(real, PORT)
    client = tools.connect(t.client, tools.endpoint(t.vip(family), PORT), count,
                           sources=t.client.addresses[family], **options)
    client.wait_event("open", 20, count)
    return client


@pytest.mark.parametrize("forwarding,family", [("direct", 4), ("nat", 6), ("tunnel", 4)])
def test_ipvs_alone_breaks_all(topology, forwarding, family):
    t = topology(forwarding=forwarding)
    cluster = Cluster(t, "ipvs", families=[family]).start()
    t.route(t.directors[:1])
    client = open_connections(t, family, 40)
    assert len(kernel_table(t.directors[0])) == 40
    cluster.fail(t.directors[0])
    assert t.routed == t.directors[1:]
    assert tools.check(client)["broken"] == 40


@pytest.mark.parametrize("family", [4, 6])
def test_kernel_sync_saves_the_old(topology, family):
    t = topology()
    cluster = Cluster(t, "kernel-sync", families=[family]).start()
    t.route(t.directors[:1])
    old = open_connections(t, family, 40)
    cluster.wait_replicated(40, 20)
    young = tools.connect(t.client, tools.endpoint(t.vip(family), PORT), 1)
    young.wait_event("open")
    cluster.fail(t.directors[0])
    assert tools.check(young)["broken"] == 1
    assert tools.check(old)["broken"] == 0


def test_a_rebooted_director_knows_nothing(topology):
    t = topology()
    cluster = Cluster(t, "ipvs", families=[4]).start()
    t.route(t.directors[:1])
    open_connections(t, 4, 10)
    cluster.fail(t.directors[0])
    cluster.revive(t.directors[0], empty=True)
    assert not kernel_table(t.directors[0])
    t.route(t.directors[:1])
    client = tools.connect(t.client, tools.endpoint(t.vip(4), PORT), 10)
    client.wait_event("open", 10, 10)
    assert len(kernel_table(t.directors[0])) == 10
