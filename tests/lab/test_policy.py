"""What is replicated: services that are not, flows that are too young, and what a flood costs the others."""

import os
import random
import socket
import struct
import time

from lab import tools
from lab.cluster import PORT, Cluster, kernel_table, services
from lab.host import wait_for

OFF_PORT = 81
MIN_AGE = 2


def flows(director, port):
    return {flow for flow in kernel_table(director) if flow[2][1] == port}


def not_replicated(cluster, director):
    listed = cluster.lvsmesh(director, "connections", "--json")["connections"]
    return sum(not c["replicated"] for c in listed)


def test_off_and_min_age(topology):
    """A flow comes to the others at its age and not before, one of a service that is off does not, until it is on."""
    t = topology(directors=2)
    web, quiet = services(t, families=[4]), services(t, families=[4], port=OFF_PORT, sync="off")
    quiet[0]["name"] = "quiet"
    cluster = Cluster(t, services=web + quiet)
    first, second = t.directors
    cluster.start_director(first, sync={"min-age": f"{MIN_AGE}s"})
    cluster.start_director(second)
    cluster.wait_ready()
    for real in t.reals:
        tools.serve(real, PORT, OFF_PORT)
    t.route([first])
    began = time.monotonic()
    for port in PORT, OFF_PORT:
        tools.connect(t.client, tools.endpoint(t.vip(4), port), 10).wait_event("open", 10, 10)
    wait_for(lambda: not_replicated(cluster, first) == 20, 5, "all are known where they are carried")
    wait_for(lambda: flows(second, PORT), 10, "the first is old enough")
    assert time.monotonic() - began >= MIN_AGE
    wait_for(lambda: len(flows(second, PORT)) == 10, 5, "all are")
    assert not_replicated(cluster, first) == 10 and not flows(second, OFF_PORT)
    assert cluster.status(first)["entries"]["withheld"] == 10
    del quiet[0]["sync"]
    cluster.write_config(first)
    cluster.lvsmesh(first, "reload")
    wait_for(lambda: len(flows(second, OFF_PORT)) == 10, 5, "the service is replicated")
    assert not_replicated(cluster, first) == 0


def cpu(cluster, director):
    """Of a daemon, s."""
    with open(f"/proc/{cluster.daemons[director].popen.pid}/stat", encoding="ascii") as stat:
        words = stat.read().rsplit(")", 1)[1].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total >> 16) + (total & 0xFFFF)
    return ~(total + (total >> 16)) & 0xFFFF


def syn(vip, chance):
    """A first packet of a client that does not exist."""
    source = struct.pack("!BBH", 198, 18, chance.randrange(65536))
    target = socket.inet_aton(vip)
    segment = struct.pack("!HHIIBBHHH", chance.randrange(1024, 65536), PORT, chance.randrange(2**32), 0, 0x50, 2, 8192,
                          0, 0)
    total = checksum(source + target + struct.pack("!BBH", 0, socket.IPPROTO_TCP, len(segment)) + segment)
    header = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(segment), 0, 0, 64, socket.IPPROTO_TCP, 0, source, target)
    return header + segment[:16] + struct.pack("!H", total) + segment[18:]


def test_a_flood_of_syns(topology):
    """The others' daemons do not notice one; connections of clients that answer are replicated in the middle of it."""
    t = topology()
    cluster = Cluster(t, families=[4]).start()
    for real in t.reals:
        tools.serve(real, PORT)
    first, *others = t.directors
    t.route([first])
    chance = random.Random(1)
    packets = [syn(t.vip(4), chance) for _ in range(20000)]

    def spent(action):
        before, began = [cpu(cluster, d) for d in others], time.monotonic()
        action()
        took = time.monotonic() - began
        return max(cpu(cluster, d) - b for d, b in zip(others, before)) / took, took

    with t.client.entered(), socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as raw:
        def flood():
            for packet in packets:
                raw.sendto(packet, (t.vip(4), 0))
        idle, _ = spent(lambda: time.sleep(2))
        client = tools.connect(t.client, tools.endpoint(t.vip(4), PORT), 20, rate=10)
        busy, took = spent(flood)
    client.wait_event("open", 10, 20)
    cluster.wait_replicated(20)
    print(f"{len(packets) / took:.0f} SYN/s, CPU of the others' daemons {idle:.1%} idle, {busy:.1%} in the flood")
    half_open = sum(state == "SYN_RECV" for _, state in kernel_table(first).values())
    assert half_open > len(packets) * 0.9
    for director in others:
        assert len(kernel_table(director)) == 20
        assert cluster.status(director)["entries"]["held"] == 20
    assert busy < idle + 0.1
    cluster.fail(first)
    assert tools.check(client)["broken"] == 0
