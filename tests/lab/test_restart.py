"""Forwarding never depends on lvsmeshd: it stops, is killed and starts again under traffic."""

import re
import signal

import pytest

from lab import flood, pace, tools
from lab.cluster import PORT, TAP, TAP_NET, Cluster, kernel_table
from lab.host import wait_for
from lab.measure import Stalls

COUNT = 60


@pytest.fixture
def busy(topology):
    """(cluster, client): a director that carries steady traffic, and another one."""
    t = topology(directors=2)
    before = vs_sysctls(t.directors[0])
    cluster = Cluster(t).start()
    cluster.sysctls_before = before
    cluster.stalls = Stalls(t.router)
    for real in t.reals:
        tools.serve(real, PORT)
    t.route(t.directors[:1])
    client = tools.connect(t.client, tools.endpoint(t.vip(4), PORT), COUNT, interval=50, streams=2,
                           stream_bytes=4000000, stream_rate=1000000, sources=t.client.addresses[4])
    client.wait_event("open", 10, COUNT)
    cluster.wait_replicated(COUNT)
    return cluster, client


def vs_sysctls(director):
    return {line.split(" = ")[0]: line for line in director.run("sysctl net.ipv4.vs").splitlines()}


def nobody_noticed(cluster, client):
    client.wait_event("streamed", 30, 2)
    report = tools.check(client)
    assert (report["open"], report["broken"]) == (COUNT, 0)
    # None waited for the daemon to come back. (A busy machine makes all of them wait for a while.)
    assert report["slowest_echo_us"] / 1000 < pace.scaled(5000) + cluster.stalls.total_ms()


def more_connections(t, count):
    client = tools.connect(t.client, tools.endpoint(t.vip(4), PORT), count, sources=t.client.addresses[4])
    client.wait_event("open", 10, count)
    return client


def end(cluster, director, how):
    if how == "stopped":
        assert cluster.stop_daemon(director) == 0
    else:
        cluster.kill_daemon(director)


@pytest.mark.parametrize("how", ["stopped", "killed"])
def test_without_the_daemon(busy, how):
    cluster, client = busy
    director = cluster.directors[0]
    services, table = configured(director), kernel_table(director)
    end(cluster, director, how)
    # What is there stays there, and takes new connections.
    assert configured(director) == services
    assert cluster.topology.vip(4) in director.run("ip address")
    late = more_connections(cluster.topology, 20)
    assert set(kernel_table(director)) >= set(table)
    assert tools.check(late)["broken"] == 0
    if how == "stopped":
        assert vs_sysctls(director) == cluster.sysctls_before
        assert TAP not in director.run("ip link")
        assert "syncid" not in director.run("ipvsadm -L --daemon")
    nobody_noticed(cluster, client)


def configured(director):
    """Services and real servers, without the metronome's."""
    return [line for line in director.run("ipvsadm -Sn").splitlines() if TAP_NET not in line]


@pytest.mark.parametrize("how", ["stopped", "killed"])
def test_restart(busy, how):
    cluster, client = busy
    t, director = cluster.topology, cluster.directors[0]
    addresses = director.start("ip -o monitor address dev lvsmesh-vip", name="addresses")
    end(cluster, director, how)
    # These nobody captures: the daemon finds them when it starts.
    late = more_connections(t, 20)
    cluster.start_director(director)
    cluster.wait_ready([director])
    # The VIPs that it found were never off meanwhile.
    assert not re.search(r"[1-9]\d* removed", cluster.daemons[director].errors())
    assert cluster.status(director)["entries"]["total"] >= COUNT + 20
    cluster.wait_replicated(COUNT + 20)
    nobody_noticed(cluster, client)
    assert "Deleted" not in addresses.output(), addresses.output()
    cluster.fail(director)
    assert tools.check(late)["broken"] == 0
    assert tools.check(client)["broken"] == 0
    # A clean stop after a kill still restores what was before both.
    t.revive(director, reroute=False)
    cluster.start_director(director)
    cluster.wait_ready([director])
    assert cluster.stop_daemon(director) == 0
    assert vs_sysctls(director) == cluster.sysctls_before


def test_a_paused_daemon_catches_up(busy):
    cluster, client = busy
    director = cluster.directors[0]
    daemon = cluster.daemons[director]
    daemon.signal(signal.SIGSTOP)
    late = more_connections(cluster.topology, 40)
    daemon.signal(signal.SIGCONT)
    cluster.wait_replicated(COUNT + 40)
    nobody_noticed(cluster, client)
    assert tools.check(late)["broken"] == 0


def test_the_other_daemons_restart(busy):
    """A peer that comes back gets what it has missed."""
    cluster, client = busy
    other = cluster.directors[1]
    cluster.kill_daemon(other)
    more_connections(cluster.topology, 30)
    cluster.start_director(other)
    cluster.wait_ready([other])
    wait_for(lambda: len(kernel_table(other)) >= COUNT + 30, 10, "entries on the other director")
    nobody_noticed(cluster, client)


def test_ends_of_two_lives_ago(busy):
    """A connection that was captured two starts ago ends while the daemon is down: the kernel is right, not the peer."""
    cluster, client = busy
    t, director, other = cluster.topology, *cluster.directors
    before = set(kernel_table(other))
    late = more_connections(t, 20)
    cluster.wait_replicated(COUNT + 20)
    noted = cluster.state(director) / "returned"
    earlier = noted.stat().st_mtime
    cluster.kill_daemon(director)
    cluster.start_director(director)
    cluster.wait_ready([director])
    wait_for(lambda: noted.stat().st_mtime > earlier, 10, "what the peer returned, noted")
    cluster.kill_daemon(director)
    late.kill()
    wait_for(lambda: not established(director, before), 10, "the ends, in the kernel that carries")
    cluster.start_director(director)
    cluster.wait_ready([director])
    wait_for(lambda: not established(other, before), 10, "the ends, in the other kernel")
    assert not established(director, before)
    nobody_noticed(cluster, client)


def established(director, but):
    return [flow for flow, (_, state) in kernel_table(director).items() if state == "ESTABLISHED" and flow not in but]


STAY, END = 5000, 10000


def test_all_of_a_large_table_are_found(topology):
    """The kernel's list skips an entry whenever an earlier one ends between two reads: two of three here end meanwhile."""
    t = topology(directors=1)
    director = t.directors[0]
    cluster = Cluster(t, families=[4])
    flood.pour(t, director, STAY, t.vip(4), PORT)
    flood.pour(t, director, END, t.vip(4), PORT, first=STAY, timeout=lambda i: 2 + i % 4)
    cluster.start_director(director)
    wait_for(lambda: held(cluster, director) == STAY, pace.scaled(60), "those that stay", interval=0.5)


def held(cluster, director):
    status = cluster.status(director)
    return status and status["entries"]["total"]
