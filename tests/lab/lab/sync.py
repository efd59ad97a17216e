"""The kernel's sync protocol on a TUN interface, in Python: an instrument to pin what the kernel does.

Written apart from the C code that it helps to judge.
"""

import contextlib
import fcntl
import ipaddress
import os
import select
import struct
import time
from collections import namedtuple
from pathlib import Path

from . import pace
from .host import wait_for

GROUP, PORT = "224.0.0.81", 8848
LOCAL, REMOTE = "169.254.99.1", "169.254.99.2"
TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 0x0001, 0x1000

ESTABLISHED, FIN_WAIT, CLOSE = 1, 4, 6
DIRECT = 3  # the flags' forwarding method
INACTIVE = 0x0100

Entry = namedtuple("Entry", "caddr cport vaddr vport daddr dport state timeout flags protocol fwmark",
                   defaults=(ESTABLISHED, 900, DIRECT, 6, 0))


def pack(entries, syncid=1):
    """A sync message."""
    body = b""
    for e in entries:
        addresses = [ipaddress.ip_address(a) for a in (e.caddr, e.vaddr, e.daddr)]
        v6 = addresses[0].version == 6
        body += struct.pack("!BBHIHHHHII", v6, e.protocol, 72 if v6 else 36, e.flags, e.state,
                            e.cport, e.vport, e.dport, e.fwmark, e.timeout)
        body += b"".join(a.packed for a in addresses)
    return struct.pack("!BBHBbH", 0, syncid, 8 + len(body), len(entries) & 0xFF, 1, 0) + body


def unpack(message):
    """A sync message's entries; all that fit into its size, whatever its own count says."""
    entries, offset = [], 8
    while offset + 36 <= len(message):
        kind, protocol, length, flags, state, cport, vport, dport, fwmark, timeout = struct.unpack_from(
            "!BBHIHHHHII", message, offset)
        width = 16 if kind & 1 else 4
        caddr, vaddr, daddr = (str(ipaddress.ip_address(
            message[offset + 24 + i * width:offset + 24 + (i + 1) * width])) for i in range(3))
        entries.append(Entry(caddr, cport, vaddr, vport, daddr, dport, state, timeout, flags, protocol, fwmark))
        offset += (length & 0xFFF) + 3 & ~3
    return entries


class Tun:
    """The wire to a director's sync threads. Close it, or the interface stays."""

    def __init__(self, host, name="wire", mtu=1500):
        self.host, self.name = host, name
        with host.entered():
            self.fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
            fcntl.ioctl(self.fd, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TUN | IFF_NO_PI))
        host.ip(f"link set {name} mtu {mtu} multicast on up", f"address add {LOCAL}/30 dev {name}")
        host.sysctl(**{f"net__ipv4__conf__{name}__rp_filter": 0})

    def start(self, *threads, maxlen=1400):
        """Starts "master", "backup", or both if none is named."""
        for thread in threads or ("master", "backup"):
            self.host.run(f"ipvsadm --start-daemon {thread} --mcast-interface {self.name} --syncid 1 "
                          f"--sync-maxlen {maxlen}")

    def close(self):
        os.close(self.fd)

    def read(self, deadline):
        """The next sync message from the kernel; None if none came within `deadline` s."""
        return self._read(time.monotonic() + pace.scaled(deadline))

    def _read(self, end):
        while select.select([self.fd], [], [], max(0, end - time.monotonic()))[0]:
            packet = os.read(self.fd, 65536)
            offset = (packet[0] & 15) * 4
            if packet[0] >> 4 == 4 and packet[9] == 17 and \
                    struct.unpack_from("!H", packet, offset + 2)[0] == PORT:
                return packet[offset + 8:]
        return None

    def read_entry(self, cport, deadline):
        """All entries up to that of the client port `cport`."""
        end, seen = time.monotonic() + pace.scaled(deadline), []
        while not any(e.cport == cport for e in seen):
            message = self._read(end)
            assert message, f"no entry of port {cport} within {deadline} s; {seen}"
            seen += unpack(message)
        return seen

    def write(self, message):
        total = 28 + len(message)
        header = struct.pack("!BBHHHBBH4s4s", 0x45, 0, total, 0, 0, 1, 17, 0,
                             ipaddress.ip_address(REMOTE).packed, ipaddress.ip_address(GROUP).packed)
        checksum = sum(struct.unpack("!10H", header))
        checksum = ~(checksum + (checksum >> 16)) & 0xFFFF
        header = header[:10] + struct.pack("!H", checksum) + header[12:]
        os.write(self.fd, header + struct.pack("!HHHH", PORT, PORT, total - 20, 0) + message)

    def inject(self, *entries):
        self.write(pack(entries))

    def queue(self):
        """(bytes waiting, datagrams dropped) of the backup thread's socket, whose port is 8848."""
        for line in self.host.read("/proc/net/udp").splitlines()[1:]:
            words = line.split()
            if words[1].endswith(f":{PORT:04X}"):
                return int(words[4].split(":")[1], 16), int(words[-1])
        raise AssertionError("no backup thread's socket")


def stop_threads(host):
    for thread in threads(host):
        host.run(f"ipvsadm --stop-daemon {thread}")


def kernel_threads(name):
    """The pids of the kernel's threads whose names begin so; none on the host's kernel, where they can't be seen."""
    found = []
    for file in Path("/proc").glob("[0-9]*/comm"):
        with contextlib.suppress(OSError):  # it has ended
            found += [int(file.parent.name)] if file.read_text().startswith(name) else []
    return found


def threads(host):
    """Which sync threads run: a list of "master", "backup"."""
    return [line.split()[0] for line in host.run("ipvsadm -L --daemon").splitlines() if line]


def kernel_entries(host, file="ip_vs_conn"):
    """The connection table: {(client's address, port): (destination, port, state, rest)}."""
    def address(text):
        return str(ipaddress.ip_address(int(text, 16) if len(text) == 8 else text.strip("[]")))
    found = {}
    for line in host.read(f"/proc/net/{file}").splitlines()[1:]:
        words = line.split()
        found[address(words[1]), int(words[2], 16)] = (
            address(words[5]), int(words[6], 16), words[7], words[8:])
    return found


def wait_entry(host, caddr, cport, deadline=5):
    return wait_for(lambda: kernel_entries(host).get((caddr, cport)), deadline,
                    f"entry of {caddr}:{cport} on {host.name}")
