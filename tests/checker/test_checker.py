"""Checks of real servers (director/checker) against servers that misbehave: each is decided as documented, within its
deadline, and a good check beside it is not delayed."""

import json
import os
import socket
import subprocess
import threading
import time

import pytest

PROBE = os.environ["CHECK_PROBE"]
EMPTY_NETWORK = ["unshare", "-n"] if os.geteuid() == 0 else ["unshare", "-rn"]
LATE = 0.25  # s behind its deadline that a result may come on a busy machine


class Probe:
    """check_probe with checks given to it; results by target."""

    def __init__(self, checks, environment=None, within=()):
        self.process = subprocess.Popen([*within, PROBE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                        env=os.environ | (environment or {}))
        for check in checks:
            self.write(check)

    def write(self, check):
        self.process.stdin.write(json.dumps(check) + "\n")
        self.process.stdin.flush()

    def read(self):
        line = json.loads(self.process.stdout.readline())
        return line

    def end(self, seconds=20):
        """Results, and the counters."""
        out, _ = self.process.communicate(timeout=seconds)
        assert self.process.returncode == 0
        lines = [json.loads(line) for line in out.splitlines()]
        return {line["target"]: line for line in lines[:-1]}, lines[-1]


def run(*checks, **environment):
    """Each check with a target of its number; returns results in the same order, and the counters."""
    numbered = [{"address": "127.0.0.1", "timeout_ms": 500, "target": i} | check for i, check in enumerate(checks)]
    results, counts = Probe(numbered, environment).end()
    assert set(results) >= set(range(len(checks)))
    assert counts["running"] == 0 and counts["programs"] == 0
    for check in numbered:
        for i in range(check.get("repeat", 1)):
            result = results[check["target"] + i]
            assert result["took_us"] < check["timeout_ms"] * 1000 + LATE * 1e6, result
            assert 0 < len(result["reason"]) < 128
    return [results[i] for i in range(len(checks))], counts


def one(check, **environment):
    return run(check, **environment)[0][0]


def said(result):
    return result["state"], result["reason"]


class Server:
    """A TCP server: talk(connection) in a thread for each connection."""

    def __init__(self, talk, address="127.0.0.1"):
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self.talk = talk
        self.seen = []
        self.listener = socket.create_server((address, 0), family=family, backlog=4096)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                connection, peer = self.listener.accept()
            except OSError:
                return
            self.seen.append(peer)
            threading.Thread(target=self.guarded, args=(connection,), daemon=True).start()

    def guarded(self, connection):
        with connection:
            try:
                self.talk(connection)
            except OSError:
                pass  # the check has reset the connection

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


def silent(connection):
    while connection.recv(65536):
        pass


def drip(data, seconds=0.1):
    def talk(connection):
        while True:
            connection.sendall(data)
            time.sleep(seconds)
    return talk


def flood(data):
    def talk(connection):
        while True:
            connection.sendall(data * 1000)
    return talk


def reset(connection):
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")


def answer(data):
    def talk(connection):
        connection.recv(65536)
        connection.sendall(data)
        silent(connection)
    return talk


def port_closed(kind=socket.SOCK_STREAM):
    """A port on which nothing listens."""
    with socket.socket(socket.AF_INET, kind) as unused:
        unused.bind(("127.0.0.1", 0))
        return unused.getsockname()[1]


@pytest.fixture
def good():
    """A server whose check is up at once."""
    with Server(silent) as server:
        yield server


def test_tcp_connects(good):
    result = one({"type": "tcp", "port": good.port})
    assert said(result) == ("up", "connected")
    assert result["took_us"] < LATE * 1e6


def test_tcp_ipv6():
    with Server(silent, "::1") as server:
        assert said(one({"type": "tcp", "address": "::1", "port": server.port})) == ("up", "connected")


def test_tcp_refused_at_once():
    result = one({"type": "tcp", "port": port_closed()})
    assert said(result) == ("down", "connection refused")
    assert result["took_us"] < LATE * 1e6


def test_tcp_hangs_beside_good(good):
    """A backlog that is full: the handshake never ends."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        port = full.getsockname()[1]
        held = [socket.socket() for _ in range(3)]
        for connection in held:
            connection.setblocking(False)
            connection.connect_ex(("127.0.0.1", port))
        hanging, fine = run({"type": "tcp", "port": port}, {"type": "tcp", "port": good.port})[0]
        assert said(hanging) == ("down", "no connection within 500 ms")
        assert hanging["took_us"] >= 500_000
        assert fine["state"] == "up" and fine["took_us"] < LATE * 1e6


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
        assert said(other) == ("down", "no expected answer within 500 ms")
        assert only_sent["state"] == "up"


def test_tcp_expects_of_hostile_servers(good):
    check = {"type": "tcp", "expect": "220"}
    with Server(silent) as quiet, Server(drip(b".")) as slow, Server(flood(b".")) as endless, Server(reset) as resets, \
            Server(lambda _: None) as closes, Server(lambda connection: connection.sendall(b"554")) as other:
        results, counts = run(*({**check, "port": server.port} for server in (quiet, slow, endless, resets, closes, other)),
                              {"type": "tcp", "port": good.port})
        assert [said(result) for result in results[:3]] == [
            ("down", "no expected answer within 500 ms"), ("down", "no expected answer within 500 ms"),
            ("down", "the first 16384 bytes of the answer do not hold the expected ones")]
        assert results[3]["reason"].startswith("connection reset")
        assert [said(result) for result in results[4:6]] == [
            ("down", "closed without an answer"), ("down", "the answer does not hold the expected bytes")]
        assert results[6]["state"] == "up" and results[6]["took_us"] < LATE * 1e6
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
        assert here["state"] == "up" and server.seen[0][0] == "127.0.0.9"
        assert said(nowhere) == ("unchanged",
                                 "not checked: the source address 192.0.2.77: Cannot assign requested address")


def test_unreachable_at_once():
    checks = [{"target": i, "type": kind, "address": address, "port": 80, "timeout_ms": 3000}
              for i, (kind, address) in enumerate([("tcp", "192.0.2.1"), ("tcp", "2001:db8::1")])]
    results, counts = Probe(checks, within=EMPTY_NETWORK).end()
    assert said(results[0]) == ("down", "network unreachable")
    assert said(results[1]) == ("unchanged", "not checked: there is no source address or port for it")
    assert all(result["took_us"] < LATE * 1e6 for result in results.values()) and counts["unreachable"] == 1


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
        probe = Probe([{"target": 10, "repeat": 3000, "type": "tcp", "address": "127.0.0.1", "expect": "x", "timeout_ms": 1000,
                        "port": quiet.getsockname()[1]}])
        probe.write({"target": 1, "type": "tcp", "address": "127.0.0.1", "port": good.port, "timeout_ms": 1000})
        results, counts = probe.end()
        assert results[1]["state"] == "up" and results[1]["took_us"] < LATE * 1e6
        assert len(results) == 3001 and counts["timeout"] == 3000
        assert max(result["took_us"] for result in results.values()) < 1_500_000
