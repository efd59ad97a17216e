"""The operator's command, without a daemon or with one that is made up: exit statuses, messages, keygen, check."""

import contextlib
import json
import os
import socket
import stat
import subprocess
import threading
import time

import pytest
from fake_daemon import fake_daemon

DONE, REFUSED, USAGE, NO_DAEMON = range(4)


def run(*arguments, **options):
    return subprocess.run([os.environ["LVSMESH"], *map(str, arguments)], capture_output=True,
                          text=True, timeout=60, **options)


def expect(status, *arguments, **options):
    result = run(*arguments, **options)
    assert result.returncode == status, result
    return result


@pytest.fixture
def cluster(tmp_path):
    expect(DONE, "keygen", "cluster", tmp_path / "cluster")
    return tmp_path / "cluster"


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_help():
    assert "keygen" in expect(DONE, "--help").stdout
    for command in "keygen", "check", "status", "peers", "services", "connections", "events", "set", "drain", "reload":
        text = expect(DONE, command, "--help").stdout
        assert text.startswith(f"Usage: lvsmesh {command}"), command
        assert max(map(len, text.splitlines())) <= 96
    assert expect(DONE, "--version").stdout.startswith("lvsmesh ")


@pytest.mark.parametrize("arguments", [
    [],
    ["frobnicate"],
    ["status", "extra"],
    ["status", "--colour"],
    ["peers", "--control"],
    ["peers", "--follow"],
    ["peers", "--evidence"],
    ["events", "extra"],
    ["check"],
    ["check", "a", "b"],
    ["set"],
    ["set", "10.1.0.21:80"],
    ["set", "drain"],
    ["set", "10.1.0.21:80", "weight"],
    ["set", "10.1.0.21:80", "weight", "five"],
    ["set", "10.1.0.21:80", "weight", ""],
    ["set", "10.1.0.21:80", "weight", "-1"],
    ["set", "10.1.0.21:80", "weight", "65536"],
    ["set", "10.1.0.21:80", "sideways"],
    ["set", "web", "drain"],
    ["set", "web", "api", "10.1.0.21:80", "drain"],
    ["set", "10.1.0.21:80", "10.1.0.22:80", "drain", "up"],
    ["set", "10.1.0.21:80", "drain", "--wait"],
    ["drain", "web"],
    ["drain", "web", "10.1.0.21:80"],
    ["undrain", "10.1.0.21:80"],
    ["services", "web", "api"],
    ["services", "web", "10.1.0.21", "10.1.0.22"],
    ["keygen"],
    ["keygen", "king"],
    ["keygen", "cluster"],
    ["keygen", "node", "d1"],
    ["keygen", "node", "--cluster", "x"],
    ["keygen", "node", "D 1", "--cluster", "x"],
    ["keygen", "node", "d1", "--cluster", "x", "--days", "0"],
    ["keygen", "node", "d1", "--cluster", "x", "--days", "-1"],
    ["keygen", "node", "d1", "--cluster", "x", "--days", "9d"],
    ["keygen", "node", "d1", "--cluster", "x", "--address", "192.0.2.1:7946"],
    ["keygen", "node", "d1", "--cluster", "x"] + ["--address", "192.0.2.1"] * 17,
])
def test_usage(arguments):
    result = expect(USAGE, *arguments)
    assert result.stdout == ""
    assert result.stderr


@pytest.mark.parametrize("command", ["status", "peers", "services", "connections", "events", "reload"])
def test_no_daemon(command, tmp_path):
    result = expect(NO_DAEMON, command, "--control", tmp_path / "no.sock")
    assert "lvsmeshd" in result.stderr
    expect(NO_DAEMON, command, "--json", "--control", "/" + "x" * 200)


def test_keygen(cluster, tmp_path):
    assert mode(cluster / "cluster.key") == 0o600
    expect(DONE, "keygen", "node", "d1", "--cluster", cluster, "--address", "192.0.2.11",
           "--address", "2001:db8::11", "--days", "30")
    assert mode(cluster / "d1" / "key") == 0o600
    assert (cluster / "d1" / "cluster.pub").read_text() == (cluster / "cluster.pub").read_text()
    expect(DONE, "keygen", "node", "d2", "--cluster", cluster, "--output", tmp_path / "d2")
    assert (tmp_path / "d2" / "certificate").exists()


def test_keygen_renews(cluster, tmp_path):
    node = ["keygen", "node", "d1", "--cluster", cluster]
    expect(DONE, *node, "--address", "192.0.2.11", "--days", "1")
    key, former = ((cluster / "d1" / name).read_text() for name in ("key", "certificate"))
    expect(DONE, *node, "--renew", "--days", "30")
    renewed = (cluster / "d1" / "certificate").read_text()
    assert (cluster / "d1" / "key").read_text() == key and renewed != former
    # the certificate alone will do, wherever it is
    there = tmp_path / "there"
    there.mkdir()
    assert "copy it from the director" in expect(REFUSED, *node, "--renew", "--output", there).stderr
    (there / "certificate").write_text(renewed)
    expect(DONE, *node, "--renew", "--output", there)
    assert sorted(file.name for file in there.iterdir()) == ["certificate"]
    d2 = ["keygen", "node", "d2", "--cluster", cluster, "--renew", "--output", there]
    assert "is the certificate of d1" in expect(REFUSED, *d2).stderr
    expect(DONE, "keygen", "cluster", tmp_path / "other")
    other = ["keygen", "node", "d1", "--cluster", tmp_path / "other", "--renew", "--output", there]
    assert "another cluster" in expect(REFUSED, *other).stderr


def test_keygen_replaces_nothing(cluster):
    before = (cluster / "cluster.key").read_text()
    assert "cluster.key" in expect(REFUSED, "keygen", "cluster", cluster).stderr
    assert (cluster / "cluster.key").read_text() == before
    expect(DONE, "keygen", "node", "d1", "--cluster", cluster)
    before = (cluster / "d1" / "key").read_text()
    expect(REFUSED, "keygen", "node", "d1", "--cluster", cluster)
    assert (cluster / "d1" / "key").read_text() == before


def test_keygen_without_cluster(tmp_path):
    assert "cluster.key" in expect(REFUSED, "keygen", "node", "d1", "--cluster", tmp_path).stderr


def test_keygen_with_open_key(cluster):
    (cluster / "cluster.key").chmod(0o644)
    assert "cluster.key" in expect(REFUSED, "keygen", "node", "d1", "--cluster", cluster).stderr


def test_check(tmp_path):
    example = os.environ["EXAMPLE"]
    assert "is valid" in expect(DONE, "check", example).stdout
    bad = tmp_path / "bad.yaml"
    with open(example) as file:
        bad.write_text(file.read() + "frobnicate: true\n")
    result = expect(REFUSED, "check", bad)
    assert result.stderr.startswith(f"{bad}:") and "frobnicate" in result.stderr
    assert "missing.yaml" in expect(REFUSED, "check", tmp_path / "missing.yaml").stderr


def test_check_warns(tmp_path):
    assert "warning" not in expect(DONE, "check", os.environ["EXAMPLE"]).stderr
    file = tmp_path / "odd.yaml"
    service = "  - {{name: s{0}, address: '203.0.113.{0}:80', scheduler: rr, checkers: 2}}\n"
    file.write_text("node: {name: d1}\ncluster: {listen: ['192.0.2.11:7946']}\nservices:\n" +
                    "".join(service.format(i) for i in range(1, 71)))
    result = expect(DONE, "check", file)
    lines = result.stderr.splitlines()
    assert lines[0].startswith(f"warning: {file}:4: service s1: checkers does nothing")
    assert len(lines) == 65 and lines[-1] == f"warning: {file}: 6 more warnings"
    assert "70 services" in result.stdout


def ask(tmp_path, items, status, *arguments):
    """(What the command prints, what it asked)."""
    with fake_daemon(tmp_path / "sock", items) as requests:
        said = expect(status, *arguments, "--control", tmp_path / "sock").stdout
    (tmp_path / "sock").unlink()
    return said, requests[0]


@pytest.mark.parametrize("word, text", [
    ("works", "works"),
    ("starting", "still starting"),
    ("off", "off for all services"),
    ("alone", "no peer to replicate to"),
    ("stalled", "STALLED"),
    ("full", "TABLE IS FULL"),
    ("incomplete", "INCOMPLETE"),
    ("lagging", "LAGGING"),
    ("of a later version", "of a later version"),
])
def test_replication(word, text, tmp_path):
    said, _ = ask(tmp_path, [{"replication": word, "peers": {"connected": 1, "expected": 2, "worst_lag_ms": 7}}], DONE, "status")
    assert f"\n  replication    {text}: 1 of 2 peers connected, the slowest 7 ms behind\n" in said


def test_real_servers_of_status(tmp_path):
    health = {"up": 7, "down": 2, "total": 10, "services_down": 0, "panic": 1, "sorry_server": 0, "vip_withdrawn": 0}
    said, _ = ask(tmp_path, [{"health": health}], DONE, "status")
    assert "\n  real servers   7 of 10 up, 2 down, 1 in PANIC: all are kept\n" in said
    for none in None, health | {"total": 0}:
        said, _ = ask(tmp_path, [{"health": none}], DONE, "status")
        assert "real servers" not in said


def test_what_went_wrong(tmp_path):
    entries = {"tables_compared": 12}
    said, _ = ask(tmp_path, [{"entries": entries}], DONE, "status")
    assert "\n  tables         compared with those of peers: 12, no faults\n" in said
    assert "dropped" not in said
    entries |= {"repaired_from_peers": 1, "reinjected": 2, "inject_retries": 3, "conflicts": 4, "concurrent_updates": 5,
                "refused_full": 6, "flood_shed": 7}
    counters = {"tap": {"capture_drops": 8, "inject_drops": 9}, "sync": {"entry": 10, "order": 0}}
    said, _ = ask(tmp_path, [{"entries": entries, "counters": counters, "problems": ["The sky."]}], REFUSED, "status")
    assert ("peers: 12; 1 repaired from peers, 2 reinjected, 3 inject retries, 4 conflicts, "
            "5 concurrent updates, 6 refused: table full, 7 shed in floods\n") in said
    assert "dropped by the kernel: 8 packets to be captured, 9 messages to be injected\n" in said
    assert "refused        sync/entry 10\n" in said
    assert said.endswith("Problems:\n  - The sky.\n")


def test_peers(tmp_path):
    stream = {"synced": True, "position": 71, "behind": 3, "entries": 80, "bytes": 4000}
    peers = [{"name": "d2", "id": "2", "address": "192.0.2.2:7946", "state": "ready", "connected": True, "for_s": 9,
              "close_reason": None, "own_entries": 50, "receive": stream, "send": stream | {"behind": 4, "entries": 90, "lag_ms": 5}},
             {"name": None, "id": "00ab", "address": None, "state": "gone", "connected": False, "for_s": None,
              "close_reason": None, "own_entries": 6, "receive": None, "send": None}]
    said, request = ask(tmp_path, peers, DONE, "peers")
    assert request == {"command": "peers"}
    assert [line.split() for line in said.splitlines()] == [
        "PEER ADDRESS STATE FOR POSITION RECEIVED BEHIND SENT UNSENT LAG OWN REASON".split(),
        "d2 192.0.2.2:7946 ready 9 s 71 80 3 90 4 5 ms 50".split(),
        "00ab - gone - - - - - - - 6 -".split()]


def real(address, **fields):
    return {"address": address, "forwarding": "direct", "weight": 1, "in_kernel": True, "active": 0, "inactive": 0,
            "persistent": 0, "connections": 0, "sorry_server": False} | fields


def test_services(tmp_path):
    def votes(*results):
        return [{"director": f"d{i}", "result": result, "counted": i < 4, "since": None, "percent": None,
                 "reason": f"reason {i}"} for i, result in enumerate(results, 1)]

    drained = {"setting": "drain", "weight": None, "director": "d2", "since": "2027-01-15T08:00:00.000Z"}
    reals = [real("10.1.0.21:80", file_weight=100, verdict="up", checkers=votes("up", "down", "up"), operator=None, weight=100),
             real("10.1.0.22:80", file_weight=1, verdict="down", checkers=votes("up", "down", "down", "down"), operator=None,
                  kept=True, active=3),
             real("10.1.0.23:80", file_weight=1, verdict=None, checkers=[], operator=drained, weight=0),
             real("10.1.0.24:80", file_weight=1, verdict="unknown", checkers=[],
                  operator=drained | {"setting": "weight", "weight": 7}, slow_start=True, weight=7),
             real("10.1.0.99:80", sorry_server=True)]
    health = {"up": 1, "down": 1, "total": 4, "service_down": True, "panic": False, "sorry_server": True,
              "vip_withdrawn": True, "checkers": 3}
    service = {"name": "web", "service": "tcp 203.0.113.10:80", "scheduler": "wlc", "programmed": True, "foreign": False,
               "connections": 9, "health": health, "real_servers": reals}
    said, request = ask(tmp_path, [service], DONE, "services", "web", "10.1.0.21:80")
    assert request == {"command": "services", "service": "web", "real": "10.1.0.21:80"}
    assert [" ".join(line.split()) for line in said.splitlines()] == [
        "SERVICE NAME SCHEDULER FORWARDING WEIGHT FILE CHECKS OPERATOR ACTIVE INACTIVE CONNECTIONS",
        "tcp 203.0.113.10:80 web wlc 1 of 4 up, DOWN, sorry server, VIP withdrawn 9",
        "-> 10.1.0.21:80 direct 100 100 up 2/3 - 0 0 0",
        "-> 10.1.0.22:80 direct 1 1 DOWN 2/3, kept: reason 2 - 3 0 0",
        "-> 10.1.0.23:80 direct 0 1 - drain (d2) 0 0 0",
        "-> 10.1.0.24:80 direct 7 1 unknown 0/0, slow start weight 7 (d2) 0 0 0",
        "-> 10.1.0.99:80 direct 1 - sorry server - 0 0 0"]
    # a daemon without checks
    said, request = ask(tmp_path, [service | {"health": None, "real_servers": [real("10.1.0.21:80")]}], DONE, "services")
    assert request == {"command": "services"}
    assert said.splitlines()[2].split() == "-> 10.1.0.21:80 direct 1 - - - 0 0 0".split()


@pytest.mark.parametrize("arguments, request_fields", [
    (["10.1.0.21:80", "weight", "50"], {"real": "10.1.0.21:80", "setting": "weight", "weight": 50}),
    (["web", "10.1.0.21", "weight", "0"], {"service": "web", "real": "10.1.0.21", "setting": "weight", "weight": 0}),
    (["web", "2001:db8::1", "maintenance"], {"service": "web", "real": "2001:db8::1", "setting": "maintenance"}),
    (["[2001:db8::1]:80", "reset"], {"real": "[2001:db8::1]:80", "setting": "reset"}),
])
def test_set(arguments, request_fields, tmp_path):
    items = [{"service": "web", "address": "10.1.0.21:80", "setting": "weight", "weight": 50},
             {"service": "api", "address": "10.1.0.21:81", "setting": "drain", "weight": None}]
    said, request = ask(tmp_path, items, DONE, "set", *arguments)
    assert request == {"command": "set", **request_fields}
    assert said == "web 10.1.0.21:80: weight 50\napi 10.1.0.21:81: drain\n"


def drained(*counts, setting="drain"):
    """A list of services with one real server for each number of connections."""
    return [{"real_servers": [real("10.1.0.21:80", active=count, operator={"setting": setting}), {"active": 0}]}
            for count in counts]


def test_drain_real_server(tmp_path):
    """Ends after three looks in a row that find no connection, in the kernel or in the table."""
    done = [{"service": "web", "address": "10.1.0.21:80", "setting": "drain", "weight": None}]
    entry = {"real": "10.1.0.21:80"}
    with fake_daemon(tmp_path / "sock", done, drained(5, 2), drained(1), drained(0), [entry], drained(0), [], drained(0), [],
                     drained(0), []) as requests:
        result = expect(DONE, "drain", "10.1.0.21", "--wait", "--control", tmp_path / "sock")
    assert result.stdout == ("web 10.1.0.21:80: drain\n7 connections left.\n1 connection left.\nDrained.\n")
    assert requests[0] == {"command": "drain", "real": "10.1.0.21"}
    assert requests[1] == {"command": "services", "real": "10.1.0.21"}
    assert requests[4] == {"command": "connections", "filter": "real=10.1.0.21"}
    assert len(requests) == 11
    (tmp_path / "sock").unlink()
    with fake_daemon(tmp_path / "sock", done, drained(5), drained(5, setting="up")):
        result = expect(REFUSED, "drain", "10.1.0.21", "--wait", "--control", tmp_path / "sock")
    assert "set otherwise meanwhile" in result.stderr
    (tmp_path / "sock").unlink()
    said, request = ask(tmp_path, done, DONE, "drain", "10.1.0.21", "--json")
    assert json.loads(said) == {"drain": done} and request == {"command": "drain", "real": "10.1.0.21"}


def test_stopped_daemon(tmp_path):
    """A daemon that does not go on is told from none, soon; also when its backlog is full."""
    with contextlib.ExitStack() as stack:
        def stopped(backlog):
            listener = stack.enter_context(socket.socket(socket.AF_UNIX))
            listener.bind(str(tmp_path / f"{backlog}"))
            listener.listen(backlog)
            return tmp_path / f"{backlog}"

        full, empty = stopped(0), stopped(10)
        stack.enter_context(socket.socket(socket.AF_UNIX)).connect(str(full))
        began = time.monotonic()
        commands = [stack.enter_context(subprocess.Popen([os.environ["LVSMESH"], command, "--control", path],
                                                         stderr=subprocess.PIPE, text=True))
                    for command in ("status", "drain", "leave") for path in (full, empty)]
        for command in commands:
            said = command.communicate(timeout=20)[1]
            assert command.returncode == NO_DAEMON and "has not answered for 5 s" in said, said
        assert 4 < time.monotonic() - began < 15


def test_refused_unasked(tmp_path):
    """A daemon that refuses and closes before it was asked is heard all the same."""
    def refuse():
        for _ in range(20):
            with listener.accept()[0] as client:
                client.sendall(b'{"ok": false, "error": "busy", "message": "too many clients ask at once"}\n')

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "sock"))
        listener.listen(1)
        thread = threading.Thread(target=refuse)
        thread.start()
        for _ in range(20):
            assert "too many clients" in expect(REFUSED, "status", "--control", tmp_path / "sock").stderr
        thread.join()


def test_full_disk():
    with open("/dev/full", "w") as full:
        result = subprocess.run([os.environ["LVSMESH"], "--help"], stdout=full, timeout=60,
                                stderr=subprocess.PIPE, text=True)
    assert result.returncode == REFUSED
