"""What a flood through one director costs the others. The largest comes last: in a kernel full of connections all
that looks at them is slow, and so is the end of a director."""

import os
import socket
import struct
import time

import pytest

from lab import tools
from lab.cluster import PORT, Cluster, kernel_table, services
from lab.host import wait_for

UDP_PORT = 53
RATE = 200_000  # a second, if the machine can
FLOOD_RATE = 500
DATAGRAMS, SYNS = 20_000, 500_000


def cpu(cluster, director):
    """Of a daemon, s."""
    with open(f"/proc/{cluster.daemons[director].popen.pid}/stat", encoding="ascii") as stat:
        words = stat.read().rsplit(")", 1)[1].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


class Spent:
    """Share of a processor that daemons took, the most of any."""

    def __init__(self, cluster, directors):
        self.of = {d: (cluster, cpu(cluster, d)) for d in directors}
        self.began = time.monotonic()

    def so_far(self):
        took = time.monotonic() - self.began
        return max(cpu(cluster, d) - before for d, (cluster, before) in self.of.items()) / took


def echo(client):
    """As the traffic server's request (tools/traffic.h)."""
    request = struct.pack("=IIQ", 0x4c456563, 0, 1)
    client.send(request)
    assert client.recv(len(request), socket.MSG_WAITALL) == request


def connected(t):
    """A connection of a client that answers."""
    with t.client.entered():
        client = socket.socket()
    client.settimeout(10)
    client.connect((t.vip(4), PORT))
    echo(client)
    return client


def replicated(t, others, clients):
    """Opens one more connection; s until its entry is in the others' kernels."""
    clients.append(connected(t))
    began, flow = time.monotonic(), ("TCP", clients[-1].getsockname(), (t.vip(4), PORT))
    wait_for(lambda: all(flow in kernel_table(d) for d in others), 10, "it is replicated", interval=0.02)
    return time.monotonic() - began


def median(numbers):
    return sorted(numbers)[len(numbers) // 2]


def flood(cluster, director, port, count, *options):
    """(packets a second; the others' share of a processor, and how long replication takes, while it lasts)."""
    t, others = cluster.topology, [d for d in cluster.directors if d is not director]
    spent, clients = Spent(cluster, others), []
    sender = tools.storm(t, director, port, count, "--rate", RATE, *options)
    late = median([replicated(t, others, clients) for _ in range(5)])
    sent = sender.wait_event("sent", 60)
    return sent["packets"] / sent["seconds"], spent.so_far(), late, clients


def carried(director):
    """Connections that its kernel counts for real servers."""
    return sum(int(n) for line in director.run("ipvsadm -Ln").splitlines() if "Route" in line for n in line.split()[-2:])


def carried(director):
    """Connections that its kernel counts for real servers."""
    return sum(int(n) for line in director.run("ipvsadm -Ln").splitlines() if "Route" in line for n in line.split()[-2:])


def entries(director, port):
    return sum(flow[2][1] == port for flow in kernel_table(director))


@pytest.fixture
def flooded(topology):
    """A cluster whose first director gets everything."""
    t = topology()
    made = services(t, [4]) + [{**s, "name": "udp"} for s in services(t, [4], UDP_PORT, protocol="udp")]
    cluster = Cluster(t, services=made)
    for director in t.directors:
        cluster.start_director(director, sync={"flood-rate": FLOOD_RATE})
    cluster.wait_ready()
    for real in t.reals:
        tools.serve(real, PORT)
    t.route(t.directors[:1])
    return cluster


def test_datagrams(flooded):
    """The others hear of so many a second as are allowed, and of every connection of a client that answers."""
    first, *others = flooded.directors
    began = time.monotonic()
    rate, busy, late, clients = flood(flooded, first, UDP_PORT, DATAGRAMS, "--udp")
    print(f"{rate:.0f} datagrams/s: the others' daemons take {busy:.1%} of a processor, a connection is there after "
          f"{late * 1e3:.0f} ms")
    for director in others:
        held = flooded.status(director)["entries"]["total"]
        # What a second allows may come at once.
        assert len(clients) < held < FLOOD_RATE * (time.monotonic() - began + 2)
        assert sum(flow[2][1] == PORT for flow in kernel_table(director)) == len(clients)
    go_on(flooded, first, clients)


def test_syns(flooded):
    """The others notice nothing, and connections of clients that answer are replicated in the middle of it."""
    first, *others = flooded.directors
    spent, clients = Spent(flooded, others), []
    usual = median([replicated(flooded.topology, others, clients) for _ in range(20)])
    idle = spent.so_far()
    rate, busy, late, more = flood(flooded, first, PORT, SYNS)
    clients += more
    print(f"{rate:.0f} SYN/s: the others' daemons take {busy:.1%} of a processor ({idle:.1%} before), a "
          f"connection is there after {late * 1e3:.0f} ms ({usual * 1e3:.0f})")
    assert carried(first) > 0.9 * SYNS
    assert busy < idle + 0.25 and late < 10 * usual + 0.5
    for director in others:
        assert flooded.status(director)["entries"]["total"] == len(kernel_table(director)) == len(clients)
    go_on(flooded, first, clients)


def go_on(cluster, director, clients):
    cluster.fail(director)
    for client in clients:
        echo(client)
        client.close()
