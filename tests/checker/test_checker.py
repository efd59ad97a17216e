"""Checks of real servers (director/checker) against servers that misbehave: each is decided as documented, within its
deadline, and a good check beside it is not delayed."""

import json
import os
import socket
import subprocess
import threading
import time

import pytest

from probe import EMPTY_NETWORK, PROBE, Probe, one, prompt, run, said
from servers import Datagrams, Server, answer, drip, flood, port_closed, reset, silent

@pytest.fixture
def good():
    """A server whose check is up at once."""
    with Server(silent) as server:
        yield server


def test_tcp_connects(good):
    results, counts = run({"type": "tcp", "port": good.port})
    assert said(results[0]) == ("up", "connected")
    assert prompt(counts, *results)


def test_tcp_ipv6():
    with Server(silent, "::1") as server:
        assert said(one({"type": "tcp", "address": "::1", "port": server.port})) == ("up", "connected")


def test_tcp_refused_at_once():
    results, counts = run({"type": "tcp", "port": port_closed()})
    assert said(results[0]) == ("down", "connection refused")
    assert prompt(counts, *results)


def test_tcp_hangs_beside_good(good):
    """A backlog that is full: the handshake never ends."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        port = full.getsockname()[1]
        held = [socket.socket() for _ in range(3)]
        for connection in held:
            connection.setblocking(False)
            connection.connect_ex(("127.0.0.1", port))
        (hanging, fine), counts = run({"type": "tcp", "port": port}, {"type": "tcp", "port": good.port})
        assert said(hanging) == ("down", "no connection within 2 s")
        assert hanging["took_us"] >= 2_000_000
        assert fine["state"] == "up" and prompt(counts, fine)


def test_tcp_ends_with_reset():
    ended = threading.Event()

    def talk(connection):
        try:
            connection.recv(1)
        except ConnectionResetError:
            ended.set()

    with Server(talk) as server:
        one({"type": "tcp", "port": server.port})
        assert ended.wait(5)


def test_tcp_send_and_expect():
    with Server(answer(b"220 ready\r\n")) as server:
        expected, other, only_sent = run(
            {"type": "tcp", "port": server.port, "send": "HELO\r\n", "expect": "220"},
            {"type": "tcp", "port": server.port, "send": "HELO\r\n", "expect": "554"},
            {"type": "tcp", "port": server.port, "send": "HELO\r\n"})[0]
        assert said(expected) == ("up", "answered as expected")
        assert said(other) == ("down", "no expected answer within 2 s")
        assert only_sent["state"] == "up"


def test_tcp_expects_of_hostile_servers(good):
    check = {"type": "tcp", "expect": "220"}
    with Server(silent) as quiet, Server(drip(b".")) as slow, Server(flood(b".")) as endless, Server(reset) as resets, \
            Server(lambda _: None) as closes, Server(lambda connection: connection.sendall(b"554")) as other:
        results, counts = run(*({**check, "port": server.port} for server in (quiet, slow, endless, resets, closes, other)),
                              {"type": "tcp", "port": good.port})
        assert [said(result) for result in results[:3]] == [
            ("down", "no expected answer within 2 s"), ("down", "no expected answer within 2 s"),
            ("down", "the first 16384 bytes of the answer do not hold the expected ones")]
        assert results[3]["reason"].startswith("reset before the ")
        assert [said(result) for result in results[4:6]] == [
            ("down", "closed without an answer"), ("down", "the answer does not hold the expected bytes")]
        assert results[6]["state"] == "up" and prompt(counts, results[6])
        assert counts["timeout"] == 2 and counts["too_long"] == 1 and counts["ok"] == 1
        assert counts["broken_off"] == 2 and counts["answer"] == 1


def test_tcp_reset_after_accept_is_connected():
    """Without expect a check asks for the handshake alone."""
    with Server(reset) as resets:
        assert all(said(one({"type": "tcp", "port": resets.port})) == ("up", "connected") for _ in range(20))


def test_source_address():
    with Server(silent) as server:
        here, nowhere = run({"type": "tcp", "port": server.port, "source": "127.0.0.9"},
                            {"type": "tcp", "port": server.port, "source": "192.0.2.77"})[0]
        assert here["state"] == "up" and server.peer() == "127.0.0.9"
        assert said(nowhere) == ("unchanged",
                                 "not checked: the source address 192.0.2.77: Cannot assign requested address")


def test_unreachable_at_once():
    checks = [{"target": i, "type": kind, "address": address, "port": 80, "timeout_ms": 3000}
              for i, (kind, address) in enumerate([("tcp", "192.0.2.1"), ("tcp", "2001:db8::1")])]
    results, counts = Probe(checks, within=EMPTY_NETWORK).end()
    assert said(results[0]) == ("down", "network unreachable")
    assert said(results[1]) == ("unchanged", "not checked: there is no source address or port for it")
    assert all(result["took_us"] < 2_000_000 for result in results.values()) and counts["unreachable"] == 1


def test_udp():
    with Datagrams(lambda data: [b"pong " + data] if data == b"ping" else []) as server:
        check = {"type": "udp", "port": server.port}
        results, counts = run(check | {"send": "ping"}, check | {"send": "ping", "expect": "pong"}, check | {"send": "ping", "expect": "x"},
                              check | {"send": "other"}, {"type": "udp", "port": port_closed(socket.SOCK_DGRAM), "send": "ping"})
        assert [said(result) for result in results] == [
            ("up", "answered as expected"), ("up", "answered as expected"), ("down", "the answer does not hold the expected bytes"),
            ("down", "no answer within 2 s"), ("down", "port unreachable")]
        assert prompt(counts, *results[:3], *results[4:])
        assert counts["refused"] == 1


def test_ping():
    results, _ = run({"type": "ping"}, {"type": "ping", "address": "127.9.8.7", "source": "127.0.0.5"}, {"type": "ping", "address": "::1"})
    if results[0]["state"] == "unchanged":
        assert "ping_group_range" in results[0]["reason"]
        pytest.skip("this machine allows no ping")
    assert [said(result) for result in results] == [("up", "replied")] * 3


def in_network(script, *checks):
    """The checks in a network of their own that the script has made."""
    results, counts = Probe([{"target": i, "timeout_ms": 2000} | check for i, check in enumerate(checks)],
                            within=[*EMPTY_NETWORK, "sh", "-ec", script + '\nexec "$0"']).end()
    return [results[i] for i in range(len(checks))], counts


def test_ping_socket_forbidden():
    """Without a place in ping_group_range the raw socket serves; without CAP_NET_RAW too, what to do is told."""
    up = "ip link set lo up; echo '1 0' >/proc/sys/net/ipv4/ping_group_range"
    checks = {"type": "ping", "address": "127.0.0.1"}, {"type": "ping", "address": "::1"}
    results, _ = in_network(up, *checks)
    assert [said(result) for result in results] == [("up", "replied")] * 2
    results, counts = in_network(up + "; exec setpriv --bounding-set -net_raw --inh-caps -net_raw " + PROBE, *checks)
    assert {said(result) for result in results} == {
        ("unchanged", "not checked: give lvsmeshd CAP_NET_RAW, or its group a place in net.ipv4.ping_group_range")}
    assert counts["local"] == 2


def test_ping_unreachable_at_once():
    """The neighbour that does not answer ARP is told by the kernel after 3 s, an ICMP error at once."""
    results, _ = in_network("ip link set lo up; ip route add unreachable 192.0.2.0/24; ip route add prohibit 198.51.100.0/24",
                            {"type": "ping", "address": "192.0.2.1"}, {"type": "tcp", "address": "192.0.2.1", "port": 80},
                            {"type": "udp", "address": "192.0.2.1", "port": 80, "send": "x"})
    assert [said(result) for result in results] == [("down", "host unreachable")] * 3


def dns_answer(rcode, cut=False, records=b""):
    """The answer to a query: its header and question again."""
    def answer(data):
        return [data[:2] + bytes([0x83 if cut else 0x81, 0x80 | rcode]) + data[4:] + records]
    return answer


def test_dns():
    check = {"type": "dns", "name": "www.example.org"}
    with Datagrams(dns_answer(0)) as fine, Datagrams(dns_answer(3)) as unknown, Datagrams(lambda _: []) as quiet, \
            Datagrams(lambda data: [b"", b"\0" * 600, data, b"\1\2" + data[2:]]) as noise, \
            Datagrams(lambda data: [b"noise", *dns_answer(0)(data)]) as forged:
        results, _ = run(*(check | {"port": server.port} for server in (fine, unknown, quiet, noise, forged)),
                         check | {"port": unknown.port, "rcode": 3}, check | {"port": port_closed(socket.SOCK_DGRAM)},
                         check | {"port": fine.port, "name": "a..b"})
        assert [said(result) for result in results] == [
            ("up", "answered NOERROR"), ("down", "NXDOMAIN, expected NOERROR"), ("down", "no answer within 2 s"),
            ("down", "no answer within 2 s"), ("up", "answered NOERROR"), ("up", "answered NXDOMAIN"), ("down", "port unreachable"),
            ("unchanged", 'not checked: "a..b" is not a name of DNS')]


def over_tcp(change=lambda message: message, seconds=0, size=100):
    """DNS by TCP: so many bytes of the answer at a time."""
    def talk(connection):
        data = connection.recv(65536)
        message = change(dns_answer(0, records=b"." * 900)(data[2:])[0])
        message = len(message).to_bytes(2, "big") + message
        for i in range(0, len(message), size):
            connection.sendall(message[i:i + size])
            time.sleep(seconds)
        silent(connection)
    return talk


@pytest.mark.parametrize("talk, expected", [
    (over_tcp(), ("up", "answered NOERROR")), (over_tcp(lambda _: b"\0" * 900), ("down", "TCP: no answer to the query")),
    (over_tcp(seconds=0.3, size=1), ("down", "no answer by TCP within 2 s")), (lambda connection: connection.recv(65536), ("down", "TCP: closed before the answer")),
    (flood(b"\xff"), ("down", "TCP: no answer to the query"))])
def test_dns_cut_answer_by_tcp(talk, expected):
    address = f"127.{os.getpid() >> 14 & 127}.{os.getpid() >> 7 & 127}.{os.getpid() & 127 | 128}"  # no other test's
    with Server(talk, address=address) as server, Datagrams(dns_answer(0, cut=True), server.port, address) as datagrams:
        check = {"type": "dns", "name": "www.example.org", "address": address}
        assert said(one(check | {"port": datagrams.port})) == expected


def test_dns_ten_thousand_names_that_do_not_resolve(good):
    """No name is looked up by this host: each query goes to the server that is checked, and ends in time."""
    check = {"type": "dns", "name": "nowhere.invalid", "repeat": 5000, "timeout_ms": 3000}
    beside = {"type": "tcp", "port": good.port}
    with Datagrams(dns_answer(3)) as server, Datagrams(lambda _: []) as quiet:
        results, counts = run(beside, check | {"port": server.port, "target": 10_000}, check | {"port": quiet.port, "target": 20_000}, beside)
    assert counts["begun"] == 10_002 and counts["answer"] > 0 and counts["timeout"] >= 5000
    assert results[0]["state"] == results[3]["state"] == "up" and prompt(counts, results[0], results[3])


def test_agent():
    lines = {b"up\n": ("up", -1), b"75% up\r\nrest": ("up", 75), b"drain\n": ("drain", -1), b"maint #upgrade\n": ("maint", -1),
             b"down#disk full\n": ("down", -1), b"HTTP/1.1 200 OK\r\n": ("unchanged", -1), b"\xff\0\x1b[2J\n": ("unchanged", -1), b"\n": ("unchanged", -1)}
    servers = [Server(answer(line)) for line in lines]
    results, counts = run(*({"type": "agent", "port": server.port, "send": "hello"} for server in servers))
    assert [(result["state"], result["weight"]) for result in results] == list(lines.values())
    assert results[4]["reason"] == 'the agent says "down#disk full"'
    assert results[5]["reason"] == 'the agent\'s line is not understood: "HTTP/1.1 200 OK"'
    assert results[6]["reason"] == 'the agent\'s line is not understood: "?"'
    assert counts["garbage"] == 3 and counts["ok"] == 4 and counts["answer"] == 1


def test_agent_hostile(good):
    with Server(silent) as quiet, Server(drip(b"u")) as slow, Server(flood(b"u")) as endless, Server(lambda _: None) as closes, \
            Server(lambda connection: connection.sendall(b"up")) as unended:
        results, counts = run(*({"type": "agent", "port": server.port} for server in (quiet, slow, endless, closes, unended)),
                              {"type": "agent", "port": port_closed()}, {"type": "tcp", "port": good.port})
        assert [said(result) for result in results] == [
            ("down", "no whole line within 2 s"), ("down", "no whole line within 2 s"),
            ("unchanged", "the agent's line is longer than 1024 bytes"), ("down", "closed without an answer"), ("up", 'the agent says "up"'),
            ("down", "connection refused"), ("up", "connected")]
        assert counts["too_long"] == 1
        assert prompt(counts, results[6])


def test_mark():
    """The packets of a check carry its mark, whatever its type: a route for that mark refuses them."""
    routes = "ip link set lo up; ip rule add fwmark 77 prohibit priority 1; ip -6 rule add fwmark 77 prohibit priority 1; ip rule del priority 0; ip rule add lookup local priority 2"
    checks = [{"type": kind, "address": "127.0.0.1", "port": 9, "send": "x", "name": "a", "path": "/"}
              for kind in ("tcp", "udp", "ping", "dns", "agent", "http", "grpc")]
    with_mark, _ = in_network(routes, *(check | {"mark": 77} for check in checks))
    without, _ = in_network(routes, *checks)
    assert {said(result) for result in with_mark} == {("unchanged", with_mark[0]["reason"])}
    assert "Permission denied" in with_mark[0]["reason"]
    assert all(result["state"] != "unchanged" for result in without)


def test_cancelled(good):
    with Server(silent) as quiet:
        probe = Probe([{"target": 1, "type": "tcp", "address": "127.0.0.1", "port": quiet.port, "expect": "x"},
                       {"target": 2, "type": "tcp", "address": "127.0.0.1", "port": good.port}, {"cancel": 1}])
        results, counts = probe.end()
        assert set(results) == {2} and counts["cancelled"] == 1


def test_too_many_at_once(good):
    with Server(silent) as quiet:
        results, counts = run({"type": "tcp", "port": quiet.port, "expect": "x"}, {"type": "tcp", "port": good.port}, RUNS="1")
        assert said(results[1]) == ("unchanged", "not checked: 1 checks are under way already")
        assert counts["local"] == 1


def test_no_descriptor_left(good):
    script = f'ulimit -n 20; exec "{PROBE}"'
    checks = "".join(json.dumps({"type": "tcp", "address": "127.0.0.1", "port": good.port, "target": i * 100, "repeat": 1,
                                 "expect": "x", "timeout_ms": 300}) + "\n" for i in range(40))
    out = subprocess.run(["bash", "-c", script], input=checks, capture_output=True, text=True, check=True).stdout
    results = [json.loads(line) for line in out.splitlines()][:-1]
    starved = [result for result in results if result["state"] == "unchanged"]
    assert len(results) == 40 and 15 < len(starved) < 40
    assert {result["reason"] for result in starved} == {"not checked: no descriptor is left: raise LimitNOFILE"}


def test_thousands_that_hang(good):
    """All of them end in time, and a good one beside them is not delayed."""
    with socket.create_server(("127.0.0.1", 0), backlog=4096) as quiet:
        results, counts = run({"target": 10, "repeat": 3000, "type": "tcp", "expect": "x", "port": quiet.getsockname()[1]},
                              {"type": "tcp", "port": good.port})
        assert results[1]["state"] == "up" and prompt(counts, results[1])
        assert counts["timeout"] == 3000
