"""Any number of connections in a director's kernel, without clients: by the kernel's own sync protocol, in
its plain form, over the segment. For use before the director's lvsmeshd starts."""

import socket
import struct

from .host import wait_for

GROUP, PORT = "224.0.0.81", 8848
ENTRIES = 40  # a message: what the thread takes, an Ethernet frame
TCP, ESTABLISHED, TIMEOUT = 6, 1, 900
METHOD = {"nat": 0, "tunnel": 2, "direct": 3}
SYNC_ID = 9


def flow(i):
    """Client address and port of the i-th of these connections."""
    return f"198.{18 + (i >> 24)}.{i >> 16 & 255}.{i >> 8 & 255}", 1024 + (i & 255)


def pour(topology, director, count, vip, port, first=0, timeout=lambda i: TIMEOUT):
    """Puts `count` established connections of a VIP (IPv4), spread over the real servers, from the `first`-th on;
    each ends after timeout(i) seconds."""
    director.run(f"ipvsadm --start-daemon backup --mcast-interface eth0 --syncid {SYNC_ID}")
    with topology.router.entered(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF,
                     socket.inet_aton(topology.router.address[4]))
        for at in range(first, first + count, ENTRIES):
            s.sendto(message(topology, range(at, min(at + ENTRIES, first + count)), vip, port, timeout),
                     (GROUP, PORT))
            wait_for(lambda: queue(director) == 0, 5, "backup thread took a message", interval=0.001)
    director.run("ipvsadm --stop-daemon backup")


def message(topology, numbers, vip, port, timeout=lambda i: TIMEOUT):
    entries = b""
    for i in numbers:
        caddr, cport = flow(i)
        real = topology.reals[i % len(topology.reals)]
        entries += struct.pack("!BBHIHHHHII4s4s4s", 0, TCP, 36, METHOD[topology.forwarding], ESTABLISHED,
                               cport, port, port, 0, timeout(i),
                               *(socket.inet_aton(a) for a in (caddr, vip, real.address[4])))
    return struct.pack("!BBHBbH", 0, SYNC_ID, 8 + len(entries), len(numbers), 1, 0) + entries


def queue(director):
    """Bytes that wait in the backup thread's socket."""
    for line in director.read("/proc/net/udp").splitlines()[1:]:
        words = line.split()
        if words[1].endswith(f":{PORT:04X}"):
            return int(words[4].split(":")[1], 16)
    raise AssertionError(f"{director.name} has no backup thread")
