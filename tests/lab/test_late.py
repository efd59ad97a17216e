"""What comes late: an older word about a flow never rewinds it in the kernels that have a newer one."""

import signal
import socket
import time

import pytest

from lab import tools
from lab.cluster import CLUSTER_PORT, PORT, Cluster, kernel_table
from lab.host import wait_for

COUNT = 20


@pytest.fixture
def opened(topology):
    """(cluster, clients): connections through the first director."""
    t = topology()
    cluster = Cluster(t, families=[4]).start()
    for real in t.reals:
        tools.serve(real, PORT)
    first = t.directors[0]
    t.route([first])
    clients = []
    for _ in range(COUNT):
        with t.client.entered():
            clients.append(socket.create_connection((t.vip(4), PORT), 10))
    cluster.wait_replicated(COUNT)
    return cluster, clients


def reported_again(director, clients):
    """Their kernel has something to report of each."""
    time.sleep(1.2)
    # Just now: lvsmeshd puts it back within seconds.
    director.sysctl(net__ipv4__vs__sync_refresh_period=1)
    for client in clients:
        client.send(b"?")


def close_by(cluster, director, clients):
    """The clients say through that director that they have said all."""
    cluster.topology.route([director])
    for client in clients:
        client.shutdown(socket.SHUT_WR)
    wait_for(lambda: states(director) == {"FIN_WAIT"}, 5, "its kernel knows")


def states(director):
    table = kernel_table(director)
    assert len(table) == COUNT
    return {state for _, state in table.values()}


def told(cluster, director):
    """How often its kernel has told it of a flow."""
    entries = cluster.status(director)["entries"]
    return entries["captured"] + entries["stale"]


def stale(cluster, director):
    return cluster.status(director)["entries"]["stale"]


def test_from_a_peer(opened):
    """A director that was cut off tells what it knew then, before it hears anything."""
    cluster, clients = opened
    t = cluster.topology
    first, second, third = t.directors
    before = stale(cluster, third)
    t.cut([first], [second, third])
    captured = cluster.status(first)["entries"]["captured"]
    reported_again(first, clients)
    wait_for(lambda: cluster.status(first)["entries"]["captured"] >= captured + COUNT, 5, "it knows more")
    close_by(cluster, second, clients)
    wait_for(lambda: states(third) == {"FIN_WAIT"}, 5, "it is told")
    first.run(f"iptables-legacy -A OUTPUT -p tcp --dport {CLUSTER_PORT} -j DROP")
    t.cut()
    wait_for(lambda: stale(cluster, third) >= before + COUNT, 20, "late words come")
    assert states(first) == {"ESTABLISHED"}
    assert states(second) == states(third) == {"FIN_WAIT"}
    first.run("iptables-legacy -F OUTPUT")
    wait_for(lambda: states(first) == {"FIN_WAIT"}, 20, "it is told")
    assert states(second) == states(third) == {"FIN_WAIT"}


def test_from_a_daemon_that_slept(opened):
    """What its kernel told meanwhile it reads late."""
    cluster, clients = opened
    first, second, third = cluster.directors
    cluster.daemons[first].signal(signal.SIGSTOP)
    reported_again(first, clients)
    close_by(cluster, second, clients)
    wait_for(lambda: states(third) == {"FIN_WAIT"}, 5, "it is told")
    cluster.daemons[first].signal(signal.SIGCONT)
    wait_for(lambda: told(cluster, first) >= 2 * COUNT, 10, "it has read all of it")
    wait_for(lambda: states(first) == {"FIN_WAIT"}, 10, "it is told, too")
    assert states(second) == states(third) == {"FIN_WAIT"}
