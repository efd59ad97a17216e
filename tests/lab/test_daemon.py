"""lvsmeshd on a real kernel: directors replicate connections; what an operator and strangers do to them."""

import contextlib
import json
import os
import signal
import socket
import time

import pytest

from lab import tools
from lab.cluster import CLUSTER_PORT, PORT, TAP, Cluster, events, kernel_table
from lab.host import wait_for

DONE, REFUSED = 0, 1


def open_connections(t, family, count, **options):
    for real in t.reals:
        tools.serve(real, PORT)
    client = tools.connect(t.client, tools.endpoint(t.vip(family), PORT), count,
                           sources=t.client.addresses[family], **options)
    client.wait_event("open", 20, count)
    return client


def control(cluster, director, command):
    """(exit status, what it said)."""
    with director.entered():
        process = director.start([tools.program("lvsmesh"), *command, "--control", cluster.control(director)])
    return process.popen.wait(30), process.output() + process.errors()


def vips(director):
    shown = json.loads(director.run("ip -j address show dev lvsmesh-vip"))[0]["addr_info"]
    return sorted(a["local"] for a in shown if a["scope"] == "global")


def held(cluster, director):
    """{client: connection} of what a daemon knows."""
    listed = cluster.lvsmesh(director, "connections", "--json")["connections"]
    return {c["client"]: c for c in listed}


@pytest.mark.parametrize("forwarding,family", [("direct", 4), ("direct", 6), ("tunnel", 4), ("nat", 6)])
def test_connections_survive(topology, forwarding, family):
    t = topology(forwarding=forwarding)
    cluster = Cluster(t, families=[family]).start()
    if forwarding == "nat":
        t.route(t.directors[:1])  # the replies pass one director only
    client = open_connections(t, family, 40)
    cluster.wait_replicated(40)
    cluster.fail(t.directors[0])
    assert tools.check(client)["broken"] == 0
    cluster.revive(t.directors[0], empty=True)
    cluster.wait_replicated(40)
    assert tools.check(client)["broken"] == 0


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_forwarding_needs_no_daemon(topology, how):
    t = topology()
    cluster = Cluster(t, families=[4]).start()
    d = t.directors[0]
    t.route([d])
    client = open_connections(t, 4, 30)
    cluster.wait_replicated(30)
    before = {name: d.read(f"/proc/sys/net/ipv4/vs/{name}") for name in ("sync_threshold", "sync_sock_size")}

    if how == "stop":
        assert cluster.stop_daemon(d) == DONE
        assert not d.run("ip link show dev " + TAP, check=False).startswith("2:")
        assert "sync" not in d.run("ipvsadm -L --daemon", check=False)
        after = {name: d.read(f"/proc/sys/net/ipv4/vs/{name}") for name in before}
        assert all(after[name] != before[name] for name in before), "the settings are as they were before us"
        assert control(cluster, d, ["status"])[0] == 3
    else:
        cluster.kill_daemon(d)
    assert vips(d) == [t.vip(4)]
    assert len(kernel_table(d)) == 30
    assert tools.check(client)["broken"] == 0
    late = tools.connect(t.client, tools.endpoint(t.vip(4), PORT), 10, sources=t.client.addresses[4])
    late.wait_event("open", 20, 10)

    # What came while nobody looked is known afterwards, here and at the others.
    cluster.start_director(d)
    cluster.wait_ready([d])
    assert cluster.status(d)["adoption_done"]
    wait_for(lambda: cluster.status(d)["problems"] == [], 10, "all is well", interval=0.1)
    assert len(held(cluster, d)) >= 40
    cluster.wait_replicated(40)
    for other in t.directors[1:]:
        wait_for(lambda o=other: len(held(cluster, o)) >= 40, 10, f"all known on {other.name}")
    cluster.fail(d)
    assert tools.check(client)["broken"] == 0
    assert tools.check(late)["broken"] == 0


def test_status(topology):
    t = topology()
    cluster = Cluster(t, families=[4, 6]).start()
    d = t.directors[0]
    open_connections(t, 4, 20)
    cluster.wait_replicated(20)
    wait_for(lambda: cluster.status(d)["problems"] == [], 10, "all is well", interval=0.1)
    code, said = control(cluster, d, ["status"])
    assert code == DONE and "All is well." in said and "replication    works: 2 of 2 peers" in said, said
    status = cluster.status(d)
    assert status["name"] == d.name
    assert status["replication"] == "works"
    assert status["peers"] == {"connected": 2, "expected": 2, "away": 0, "worst_lag_ms": status["peers"]["worst_lag_ms"]}
    assert status["entries"]["total"] == 20
    assert sum(cluster.status(x)["entries"]["own"] for x in t.directors) == 20
    assert all(value == 0 for reasons in ("session", "sync", "capture", "control", "packet", "adopt")
               for value in status["counters"][reasons].values()), status["counters"]

    services = cluster.lvsmesh(d, "services", "--json")["services"]
    assert [s["name"] for s in services] == ["web4-0", "web6-0"]
    assert all(s["programmed"] and not s["foreign"] and len(s["real_servers"]) == 4 for s in services)
    origins = [c["origin"] for c in held(cluster, d).values()]
    peers = cluster.lvsmesh(d, "peers", "--json")["peers"]
    assert {p["name"]: p["own_entries"] for p in peers} == {x.name: origins.count(x.name) for x in t.directors[1:]}
    names = set(origins)
    assert names <= {x.name for x in t.directors}
    for name in names:
        listed = cluster.lvsmesh(d, "connections", f"origin={name}", f"vip={t.vip(4)}:80", "--json")["connections"]
        assert listed and all(c["origin"] == name for c in listed)
    assert cluster.lvsmesh(d, "connections", "state=CLOSE", "--json")["connections"] == []
    for whose, count in ("own", origins.count(d.name)), ("learned", 20 - origins.count(d.name)):
        listed = cluster.lvsmesh(d, "connections", "service=web4-0", whose, "--json")["connections"]
        assert len(listed) == count, whose

    cluster.kill_daemon(t.directors[2])
    wait_for(lambda: cluster.status(d)["peers"]["connected"] == 1, 10, "the loss is seen")
    code, said = control(cluster, d, ["status"])
    assert code == REFUSED and t.directors[2].name in said and "not connected both ways" in said, said
    assert "replication    INCOMPLETE: 1 of 2 peers" in said, said
    peers = {p["name"]: p for p in cluster.lvsmesh(d, "peers", "--json")["peers"]}
    assert peers[t.directors[1].name]["connected"] and not peers[t.directors[2].name]["connected"]


def test_events(topology, tmp_path):
    t = topology()
    cluster = Cluster(t, families=[4]).start()
    d, lost = t.directors[0], t.directors[2]
    told, script = tmp_path / "told", tmp_path / "alert"
    script.write_text(f"#!/bin/sh\ncat >>{told}\n")
    script.chmod(0o755)
    cluster.write_config(d, alerts={"exec": [str(script)]})
    code, said = control(cluster, d, ["reload"])
    assert code == DONE, said

    def events(name):
        listed = cluster.lvsmesh(d, "events", "--json")["events"]
        return [e for e in listed if e["event"] == name and e["subject"] == lost.name]

    def told_of():
        """What the program has got of the one that is lost; it may have come before the reload or after it."""
        lines = told.read_text().splitlines() if told.exists() else []
        return [e for e in map(json.loads, lines) if e["subject"] == lost.name and e["event"] != "member-joined"]

    wait_for(lambda: events("member-joined"), 10, "it joined")
    cluster.kill_daemon(lost)
    wait_for(lambda: events("member-failed"), 10, "the failure is an event")
    status = cluster.status(d)
    assert [i["subject"] for i in status["incidents"]] == [lost.name]
    assert sum(lost.name in p for p in status["problems"]) == 1
    cluster.start_director(lost)
    wait_for(lambda: events("member-recovered"), 20, "the recovery is another")
    assert cluster.status(d)["incidents"] == []
    wait_for(lambda: len(told_of()) == 2, 10, "the program has run twice")
    failed, recovered = told_of()
    assert [failed] == events("member-failed") and [recovered] == events("member-recovered")
    assert failed["role"] == "opens" and recovered["role"] == "closes"
    assert failed["incident"] == recovered["incident"]

    # A packet that is no peer's is said once, not for each.
    for _ in range(5):
        send(t.directors[1], socket.AF_INET, (d.address[4], CLUSTER_PORT), b"GET / HTTP/1.0\r\n\r\n")

    def refused():
        return [e for e in cluster.lvsmesh(d, "events", "--json")["events"] if e["event"] == "message-refused"]

    wait_for(refused, 10, "the refusal is an event")
    assert [e["subject"] for e in refused()] == ["session/magic"]


def test_reload(topology):
    t = topology(vips=2)
    cluster = Cluster(t, families=[4]).start()
    d = t.directors[0]
    client = open_connections(t, 4, 10)
    d.run("ipvsadm -A -t 192.0.2.99:25 -s wlc")
    assert len(vips(d)) == 2

    good = cluster.config(d).read_text()
    cluster.config(d).write_text(good.replace('"rr"', '"rrr"', 1))
    code, said = control(cluster, d, ["reload"])
    assert code == REFUSED and "rrr" in said and f"{cluster.config(d)}:" in said, said
    status = cluster.status(d)
    assert status["config"]["reloads_refused"] == 1 and "rrr" in status["config"]["last_error"]
    assert any("rrr" in p for p in status["problems"])
    cluster.write_config(d, control="/run/elsewhere")
    code, said = control(cluster, d, ["reload"])
    assert code == REFUSED and "control can't change" in said, said
    assert d.run("ipvsadm -Ln").count("203.0.113.") == 2

    # One service fewer, by the signal; what is not ours stays.
    cluster.write_config(d, services=cluster.services[:1])
    cluster.daemons[d].signal(1)
    wait_for(lambda: cluster.status(d)["config"]["reloads"] == 1, 5, "reloaded")
    status = cluster.status(d)
    assert status["config"]["last_error"] is None and status["services"]["configured"] == 1
    wait_for(lambda: vips(d) == [t.vip(4)], 5, "the VIP is off")
    listed = d.run("ipvsadm -Ln")
    assert t.vip(4, 1) not in listed and "192.0.2.99:25" in listed
    foreign = [s for s in cluster.lvsmesh(d, "services", "--json")["services"] if s["foreign"]]
    assert [s["address"] for s in foreign] == ["192.0.2.99:25"]
    assert tools.check(client)["broken"] == 0

    # What is changed behind our back is put right.
    d.run(f"ipvsadm -D -t {t.vip(4)}:80")
    wait_for(lambda: t.vip(4) in d.run("ipvsadm -Ln"), 15, "the service is back")
    cluster.write_config(d)
    assert control(cluster, d, ["reload"])[0] == DONE
    assert len(vips(d)) == 2


def test_a_service_that_fails_draws_no_traffic(topology):
    t = topology(directors=2, vips=2)
    cluster = Cluster(t, families=[4])
    d = t.directors[0]
    services, cluster.services = cluster.services, cluster.services[:1]
    cluster.start()
    assert vips(d) == [t.vip(4)]
    broken = [dict(services[0], scheduler="wlc"), dict(services[1], scheduler="twos")]
    cluster.write_config(d, services=broken)
    control(cluster, d, ["reload"])
    assert any("twos" in p for p in cluster.status(d)["problems"])
    assert vips(d) == [t.vip(4)]
    cluster.write_config(d, services=services)
    assert control(cluster, d, ["reload"])[0] == DONE
    assert len(vips(d)) == 2


def test_broken_forwarder(topology):
    """A director whose kernel does not forward takes no traffic, also if the daemon finds it so when it starts."""
    t = topology(directors=2)
    cluster = Cluster(t, families=[4]).start()
    d = t.directors[0]
    assert vips(d) == [t.vip(4)]
    d.run("ip link del lvsmesh-vip")
    wait_for(lambda: d.run("ip address").count(t.vip(4)), 15, "the VIP and its interface are back")

    d.run(f"iptables-legacy -A INPUT -i {TAP} -p tcp -j DROP")
    wait_for(lambda: vips(d) == [], 10, "the VIP is off")
    assert not cluster.status(d)["forwarder"]["ok"] and cluster.status(d)["problems"]
    d.run("iptables-legacy -F INPUT")
    wait_for(lambda: vips(d) == [t.vip(4)], 10, "the VIP is on again")

    cluster.kill_daemon(d)
    d.run(f"iptables-legacy -A INPUT -i {TAP} -p tcp -j DROP")
    cluster.start_director(d)
    wait_for(lambda: vips(d) == [], 15, "what the former daemon left is off")
    d.run("iptables-legacy -F INPUT")
    wait_for(lambda: vips(d) == [t.vip(4)], 10, "the VIP is on again")


def test_deleted_tap(topology):
    t = topology(directors=2)
    cluster = Cluster(t, families=[4]).start()
    d = t.directors[0]
    client = open_connections(t, 4, 20)
    d.run(f"ip link del {TAP}")
    wait_for(lambda: [e["fields"]["was"] for e in events(cluster, d, "kernel-changed", subject=TAP)] == ["was deleted"],
             10, "it is told", 0.1)
    wait_for(lambda: cluster.ready(d), 10, "works again", 0.1)
    cluster.wait_replicated(20)
    assert tools.check(client)["broken"] == 0


def test_threads_of_a_killed_daemon(topology):
    """What the unit runs after a crash: the threads end, those of others do not, and a start finds nothing in its way."""
    t = topology(directors=1)
    cluster = Cluster(t, families=[4]).start()
    d = t.directors[0]
    stop = [tools.program("lvsmeshd"), "-c", cluster.config(d), "--stop-threads"]
    cluster.kill_daemon(d)
    assert d.run("ipvsadm -l --daemon").count(TAP) == 2
    d.run(stop)
    assert d.run("ipvsadm -l --daemon").strip() == ""
    d.run(stop)
    d.run("ipvsadm --start-daemon backup --mcast-interface eth0")
    d.run(stop)
    assert "eth0" in d.run("ipvsadm -l --daemon")
    d.run("ipvsadm --stop-daemon backup")
    cluster.start_director(d)
    cluster.wait_ready([d])


def test_overload_is_no_stall(topology):
    """A daemon that gets too little time hears few of its probes; it keeps the VIPs, for the kernel forwards."""
    t = topology(directors=2)
    cluster = Cluster(t, families=[4]).start()
    d = t.directors[0]
    for real in t.reals:
        tools.serve(real, PORT)
    t.route(t.directors[:1])
    d.run(f"ip link set {TAP} txqueuelen 20")
    tools.connect(t.client, tools.endpoint(t.vip(4), PORT), 9000, rate=600, sources=t.client.addresses[4])
    end = time.monotonic() + 12
    while time.monotonic() < end:
        cluster.daemons[d].signal(signal.SIGSTOP)
        time.sleep(0.25)
        cluster.daemons[d].signal(signal.SIGCONT)
        time.sleep(0.01)
    assert cluster.status(d)["counters"]["tap"]["capture_drops"] > 1000
    assert "does not forward" not in cluster.daemons[d].errors()


def send(host, family, address, data):
    """Sends and reads to the end."""
    with host.entered():
        s = socket.socket(family, socket.SOCK_STREAM)
    with s:
        s.settimeout(20)
        s.connect(address)
        with contextlib.suppress(ConnectionError):
            s.sendall(data)
        answer = b""
        with contextlib.suppress(ConnectionError):
            while piece := s.recv(65536):
                answer += piece
        return answer


def test_strangers(topology):
    t = topology(directors=2)
    cluster = Cluster(t, families=[4]).start()
    d = t.directors[0]
    client = open_connections(t, 4, 10)
    cluster.wait_replicated(10)
    before = cluster.status(d)

    where = (d.address[4], CLUSTER_PORT)
    for garbage in b"GET / HTTP/1.0\r\n\r\n", bytes(1000), b"\xff" * 100000, os.urandom(4096):
        send(t.directors[1], socket.AF_INET, where, garbage)
    socket_path = str(cluster.control(d))
    for request, error in ((b"status\n", b'"json"'), (b"x" * 5000, b'"overlong"'),
                           (b'{"command": "drop"}\n', b'"command"'), (b'{"command": "status", "x": 1}\n', b'"field"'),
                           (b'{"command": "connections", "filter": "x"}\n', b'"filter"')):
        assert error in send(d, socket.AF_UNIX, socket_path, request)
    with d.entered():
        idle = [socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) for _ in range(16)]
    for s in idle:
        s.connect(socket_path)
    assert cluster.status(d), "idle clients keep nobody out"
    idle[0].settimeout(20)
    assert b'"evicted"' in idle[0].recv(1000)
    for s in idle:
        s.close()

    after = wait_for(lambda: cluster.status(d), 5)
    assert sum(after["counters"]["session"].values()) >= 4
    control = after["counters"]["control"]
    assert {name: control[name] for name in ("overlong", "json", "command", "field", "filter", "busy")} == {
        "overlong": 1, "json": 1, "command": 1, "field": 1, "filter": 1, "busy": 0}
    assert control["evicted"] >= 1
    assert after["entries"]["total"] == before["entries"]["total"] and after["problems"] == []
    assert tools.check(client)["broken"] == 0


def test_says_what_is_missing(topology):
    t = topology(directors=2)
    cluster = Cluster(t, families=[4])
    d = t.directors[0]
    cluster.write_config(d)
    daemon = [tools.program("lvsmeshd"), "-c", cluster.config(d)]

    def refused(*before, words):
        process = d.start([*before, *daemon], name="lvsmeshd")
        assert process.popen.wait(20) == REFUSED
        assert words in process.errors(), process.errors()

    refused("setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin", words="CAP_NET_ADMIN")
    refused("unshare", "-m", "sh", "-c", 'mount -t tmpfs none /dev/net; exec "$@"', "sh", words="modprobe tun")
    d.run(["ip", "address", "del", d.address[4] + "/24", "dev", "eth0"])
    refused(words="cluster.listen")
    d.run(["ip", "address", "add", d.address[4] + "/24", "dev", "eth0"])
    cluster.start_director(d)
    wait_for(lambda: (cluster.status(d) or {"forwarder": {}})["forwarder"].get("ok"), 10, "the first runs")
    refused(words="another lvsmeshd runs here")
    assert cluster.status(d)["forwarder"]["ok"]
    identity = cluster.config(t.directors[1]).parent / "identity"
    cluster.stop_daemon(d)
    cluster.write_config(d, node={"name": d.name, "identity": str(identity), "state": str(identity.parent / "state")})
    refused(words=f"is the identity of {t.directors[1].name}")
    cluster.config(d).write_text("node: [\n")
    refused(words=str(cluster.config(d)) + ":")


def test_missed_entries_are_found(topology):
    """A daemon that is stopped for a while, with a tap that holds few messages."""
    t = topology(directors=2)
    cluster = Cluster(t, families=[4]).start()
    t.route(t.directors[:1])
    director = t.directors[0]
    director.run(f"ip link set {TAP} txqueuelen 5")
    cluster.daemons[director].signal(signal.SIGSTOP)
    client = open_connections(t, 4, 50)
    time.sleep(3)  # the kernel's master thread sends what it has within 2 s
    cluster.daemons[director].signal(signal.SIGCONT)
    cluster.wait_replicated(50, 20)
    assert cluster.status(director)["counters"]["tap"]["capture_drops"] > 0
    cluster.fail(director)
    assert tools.check(client)["broken"] == 0
