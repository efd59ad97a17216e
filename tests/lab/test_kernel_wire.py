"""Every kind of entry that the kernel's master thread sends: what we read from it, and that the same message makes
the same connection in another director's kernel.

With LVSMESH_CORPUS=DIRECTORY the messages are written there, for the fuzz target's corpus.
"""

import os
import socket
import struct
import subprocess
from pathlib import Path

import pytest

from lab import tools
from lab.host import wait_for

ESTABLISHED = 1
SCTP_ESTABLISHED = 8
TEMPLATE = 0x1000
SEQUENCE = 0x0600
TCP, UDP, SCTP = socket.IPPROTO_TCP, socket.IPPROTO_UDP, socket.IPPROTO_SCTP
FLAG = {TCP: "-t", UDP: "-u", SCTP: "--sctp-service"}
KIND = {TCP: socket.SOCK_STREAM, UDP: socket.SOCK_DGRAM, SCTP: socket.SOCK_STREAM}
FAMILY = {4: socket.AF_INET, 6: socket.AF_INET6}


def start(director, directory):
    state = directory / f"state-{director.name}"
    state.mkdir()
    probe = director.start([tools.build_directory() / "tests/lab/tools/tap_probe", state])
    probe.wait_event("ready")
    return probe


class Pair:
    """Two directors with the same services; traffic goes through the first, the second is told by replaying."""

    def __init__(self, topology, directory, port=80, **options):
        self.t = topology(directors=2, reals=1, **options)
        self.port = port
        self.directory = directory
        for director in self.t.directors:
            self.t.add_vips(director)
        self.t.route(self.t.directors[:1])
        self.probes = [start(d, directory) for d in self.t.directors]

    def service(self, service, method="-g", family=4, options=()):
        real = tools.endpoint(self.t.reals[0].address[family], self.port)
        for director in self.t.directors:
            director.run(["ipvsadm", "-A", *service, "-s", "rr", *options])
            director.run(["ipvsadm", "-a", *service, method, "-r", real])

    def endpoint(self, family=4):
        return tools.endpoint(self.t.vip(family), self.port)

    def connect(self, protocol=TCP, family=4, say=b"hello"):
        """A client's socket with a server behind it; both stay open as long as the caller keeps them."""
        with self.t.reals[0].entered():
            server = socket.socket(FAMILY[family], KIND[protocol], protocol)
            server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            # Not to any: SCTP would answer from an address of its own choice.
            where = self.t.reals[0].address[family] if self.t.forwarding == "nat" else self.t.vip(family)
            server.bind((where, self.port))
            if protocol != UDP:
                server.listen()
        with self.t.client.entered():
            client = socket.socket(FAMILY[family], KIND[protocol], protocol)
            client.settimeout(5)
            client.bind((self.t.client.address[family], 0))
            client.connect((self.t.vip(family), self.port))
            client.send(say)
        return client, server

    def captured(self, template=0, **want):
        """The newest message with an entry like this."""
        def find():
            return [e for e in self.probes[0].events("captured")
                    if e["flags"] & TEMPLATE == template and all(e[k] == v for k, v in want.items())]
        event = wait_for(find, 5, f"an entry with {want}")[-1]
        if "LVSMESH_CORPUS" in os.environ:
            name = os.environ["PYTEST_CURRENT_TEST"].split("::")[1].split(" ")[0].translate(str.maketrans("[]-", "___"))
            Path(os.environ["LVSMESH_CORPUS"], f"{name}_{event['flags']:x}").write_bytes(bytes.fromhex(event["payload"]))
        return event

    def replay(self, payload, i=1):
        """Injects it, and returns when it was written."""
        def injected():
            seen = len(self.probes[i].events("status"))
            self.probes[i].tell("status")
            return self.probes[i].wait_event("status", 5, seen + 1)["injected_messages"]
        before = injected()
        self.probes[i].tell("replay " + payload)
        wait_for(lambda: injected() == before + 1, 5, "the injection")

    def table(self, i):
        """Connections without when they expire, and the probe's own. A template is ASSURED by its first
        connection's handshake, which the kernel does not send until it refreshes the template."""
        lines = self.t.directors[i].read("/proc/net/ip_vs_conn").splitlines()[1:]
        fields = [line.split() for line in lines]
        return sorted(f[:7] + [f[7].replace("ASSURED", "NONE")] + f[9:] for f in fields if f[1] != "A9FE7502")

    def same(self, count):
        assert len(self.table(0)) == count
        wait_for(lambda: self.table(1) == self.table(0), 5, "the same table on both")


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("protocol, state", [(TCP, ESTABLISHED), (UDP, 0), (SCTP, SCTP_ESTABLISHED)])
def test_connection(topology, tmp_path, protocol, state, family):
    if protocol == SCTP:
        subprocess.run(["modprobe", "sctp"], check=True)
    pair = Pair(topology, tmp_path)
    pair.service([FLAG[protocol], pair.endpoint(family)], family=family)
    sockets = pair.connect(protocol, family)
    event = pair.captured(protocol=protocol, state=state)
    assert event["client"] == pair.t.client.address[family]
    assert event["port"] == sockets[0].getsockname()[1]
    assert event["flags"] & 7 == 3
    pair.replay(event["payload"])
    pair.same(1)


@pytest.mark.parametrize("method, forwarding, bits", [("-g", "direct", 3), ("-i", "tunnel", 2), ("-m", "nat", 0)])
def test_forwarding_method(topology, tmp_path, method, forwarding, bits):
    pair = Pair(topology, tmp_path, forwarding=forwarding)
    pair.service(["-t", pair.endpoint()], method)
    keep = pair.connect()
    event = pair.captured(state=ESTABLISHED)
    assert event["flags"] & 7 == bits
    pair.replay(event["payload"])
    pair.same(1)
    del keep


def test_closing_states(topology, tmp_path):
    pair = Pair(topology, tmp_path)
    pair.service(["-t", pair.endpoint()])
    client, server = pair.connect()
    pair.captured(state=ESTABLISHED)
    client.close()
    event = pair.captured(state=4)  # FIN_WAIT: replies do not pass here
    assert event["flags"] & 0x100
    pair.replay(event["payload"])
    pair.same(1)
    del server


def test_template(topology, tmp_path):
    pair = Pair(topology, tmp_path)
    pair.service(["-t", pair.endpoint()], options=["-p", "300"])
    keep = pair.connect()
    template = pair.captured(TEMPLATE)
    assert (template["protocol"], template["port"], template["timeout"]) == (TCP, 0, 300)
    pair.replay(template["payload"])
    pair.replay(pair.captured(state=ESTABLISHED)["payload"])
    pair.same(2)


def test_fwmark_template(topology, tmp_path):
    pair = Pair(topology, tmp_path)
    for director in pair.t.directors:
        director.run(["iptables-legacy", "-t", "mangle", "-A", "PREROUTING", "-d", pair.t.vip(), "-j", "MARK",
                      "--set-mark", "7"])
    pair.service(["-f", "7"], options=["-p", "300"])
    keep = pair.connect()
    template = pair.captured(TEMPLATE, protocol=0)
    assert template["fwmark"] == 7
    pair.replay(template["payload"])
    pair.replay(pair.captured(state=ESTABLISHED)["payload"])
    pair.same(2)
    del keep


def test_engine_data(topology, tmp_path):
    subprocess.run(["modprobe", "ip_vs_pe_sip"], check=True)
    pair = Pair(topology, tmp_path, port=5060)
    pair.service(["-u", pair.endpoint()], options=["-p", "300", "--pe", "sip"])
    keep = pair.connect(UDP, say=b"OPTIONS sip:a@example SIP/2.0\r\nCall-ID: 8f4c-77@client.example\r\n\r\n")
    template = pair.captured(TEMPLATE, engine="sip")
    assert template["engine_data"] == len("8f4c-77@client.example")
    pair.replay(template["payload"])
    pair.replay(pair.captured(protocol=UDP)["payload"])
    pair.same(2)
    assert "sip" in str(pair.table(1))
    del keep


def test_sequence_numbers(topology, tmp_path):
    """Today's kernels leave them to conntrack, but send the option for a flow that they are told has some. What is
    in it is no use: ip_vs_sync_conn() calls hton_seq() with source and target exchanged."""
    pair = Pair(topology, tmp_path)
    pair.service(["-t", pair.endpoint()])
    client, server = pair.connect()
    told = with_sequence(bytes.fromhex(pair.captured(state=ESTABLISHED)["payload"]))
    pair.replay(told.hex(), 0)
    client.close()
    event = pair.captured(state=4)
    assert event["sequence"] and event["flags"] & SEQUENCE == SEQUENCE
    assert len(event["payload"]) == 2 * len(told)
    pair.replay(event["payload"])
    pair.same(1)
    del server


def with_sequence(payload):
    """The message, whose one entry has sequence numbers now."""
    numbers = struct.pack(">6I", 0x11111111, 5, 6, 0x22222222, 7, 8)
    entry = bytearray(payload[8:]) + bytes((1, len(numbers))) + numbers
    struct.pack_into(">H", entry, 2, len(entry))
    struct.pack_into(">I", entry, 4, struct.unpack_from(">I", entry, 4)[0] | SEQUENCE)
    return payload[:2] + struct.pack(">H", 8 + len(entry)) + payload[4:8] + bytes(entry)
