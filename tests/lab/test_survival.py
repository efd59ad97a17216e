"""Connections outlive the director that carries them. The scheduler is rr: no other director could guess where
they go. test_cluster.py shows that they break without replication."""

import time

import pytest

from lab import pace, tools
from lab.cluster import PORT, Cluster, kernel_table

CONNECTIONS = 100


def open_through(t, director, family, count=CONNECTIONS):
    """All connections go through one director; the last handshake's time, in us."""
    for real in t.reals:
        if not real.processes:
            tools.serve(real, PORT)
    t.route([director])
    if t.forwarding == "nat":
        t.nat_gateway(director)
    client = tools.connect(t.client, tools.endpoint(t.vip(family), PORT), count, rate=1000,
                           sources=t.client.addresses[family])
    client.wait_event("open", 20, count)
    return client, client.events("open")[-1]["at"]


def fail_at(cluster, director, at):
    """The director dies at that time, in us of CLOCK_REALTIME."""
    time.sleep(max(0, at / 1e6 - time.time()))
    return cluster.fail(director)


@pytest.mark.parametrize("forwarding", ["direct", "nat", "tunnel"])
@pytest.mark.parametrize("family", [4, 6])
def test_death_of_the_carrier(topology, forwarding, family):
    t = topology(forwarding=forwarding)
    cluster = Cluster(t, families=[family]).start()
    for carrier, age_ms, may_break in ((t.directors[0], 100, 0), (t.directors[1], 50, 1)):
        client, last = open_through(t, carrier, family)
        died = fail_at(cluster, carrier, last + pace.scaled(age_ms) * 1000)
        report = tools.check(client)
        assert report["opened"] == CONNECTIONS
        assert report["broken"] <= may_break, f"died {(died - last) / 1000} ms after the last handshake"
        cluster.revive(carrier)


def test_two_deaths_in_a_row(topology):
    """What a director learned and then carried, it replicates in its turn."""
    t = topology()
    cluster = Cluster(t, families=[4]).start()
    client, _ = open_through(t, t.directors[0], 4)
    cluster.wait_replicated(CONNECTIONS)
    for director in t.directors[:2]:
        cluster.fail(director)
        t.route(t.routed[:1])
        assert tools.check(client)["broken"] == 0


def test_a_director_that_comes_back_empty(topology):
    """It is ready only when it has every entry, and then nobody notices that it takes all traffic."""
    t = topology()
    cluster = Cluster(t, families=[4]).start()
    client, _ = open_through(t, t.directors[0], 4, 300)
    cluster.wait_replicated(300)
    died = t.directors[0]
    cluster.fail(died)
    assert tools.check(client)["broken"] == 0
    cluster.revive(died, empty=True, reroute=False)
    assert len(kernel_table(died)) == 300
    t.route([died])
    report = tools.check(client)
    assert (report["open"], report["broken"]) == (300, 0)


def test_a_whole_cluster_spread(topology):
    """All directors carry; streams run while one dies, another one's daemon restarts, and the dead one returns."""
    t = topology(directors=3, resilient=True)
    cluster = Cluster(t, families=[4]).start()
    for real in t.reals:
        tools.serve(real, PORT)
    client = tools.connect(t.client, tools.endpoint(t.vip(4), PORT), 60, interval=100, streams=3,
                           stream_bytes=10000000, stream_rate=2000000, sources=t.client.addresses[4])
    client.wait_event("open", 10, 60)
    cluster.wait_replicated(60)
    first, second, _ = t.directors
    cluster.fail(first)
    cluster.stop_daemon(second)
    cluster.start_director(second)
    cluster.wait_ready([second])
    cluster.revive(first, empty=True)
    client.wait_event("streamed", 30, 3)
    report = tools.check(client)
    assert (report["open"], report["broken"]) == (60, 0)
