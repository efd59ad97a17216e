"""The forwarding method of what is injected: the director's own, whatever the one that carried the connection has."""

import socket
import struct

from lab import tools
from lab.cluster import PORT, TAP, Cluster, services
from lab.host import wait_for

COUNT = 20
DIRECT, TUNNEL = 3, 2
ETH_P_IP = 0x0800


def methods(packet):
    """{client's port: forwarding method} of the IPv4 entries for the service in a sync message."""
    message = packet[(packet[0] & 15) * 4 + 8:]
    found, at = {}, 8
    while packet[9] == socket.IPPROTO_UDP and at + 36 <= len(message):
        _, _, size, flags, _, client, vip = struct.unpack_from("!BBHIHHH", message, at)
        if vip == PORT:
            found[client] = flags & 7
        at += (size & 0xfff) + 3 & ~3
    return found


def test_own_method(topology):
    t = topology(directors=2, forwarding="tunnel")
    cluster = Cluster(t, families=[4])
    first, second = t.directors
    direct = [{**s, "forwarding": "direct"} for s in services(t, [4])]
    cluster.start_director(first, services=direct)
    cluster.start_director(second)
    cluster.wait_ready()
    for real in t.reals:
        tools.serve(real, PORT)
    t.route([first])
    with second.entered():
        injected = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ETH_P_IP))
    with injected:
        injected.bind((TAP, ETH_P_IP))
        injected.setblocking(False)
        client = tools.connect(t.client, tools.endpoint(t.vip(4), PORT), COUNT, sources=t.client.addresses[4])
        client.wait_event("open", 10, COUNT)
        seen = {}

        def all_seen():
            while True:
                try:
                    packet, (_, _, kind, *_) = injected.recvfrom(70000)
                except BlockingIOError:
                    return len(seen) >= COUNT
                if kind != socket.PACKET_OUTGOING:
                    seen.update(methods(packet))

        wait_for(all_seen, 10, "all are injected", 0.1)
    assert set(seen.values()) == {TUNNEL}
    cluster.fail(first)
    assert tools.check(client)["broken"] == 0
