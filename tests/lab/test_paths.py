"""The way of a real server's packets, for checks that go the same way: a packet with its mark to VIP:port of the director itself
reaches that real server, and no other, as any client's does; what is missing on that way is found."""

import socket
import subprocess
from ipaddress import ip_address

import pytest

from lab import tools
from lab.cluster import PORT, Cluster, endpoint, events, kernel_table
from lab.host import wait_for

FIRST, LAST = 0x4c000000, 0x4cffffff
GUE_PORT = 6080
STRICT = "net/ipv4/conf/eth0/rp_filter"
LOCAL = "net/ipv4/conf/eth0/accept_local"
WAYS = {"direct": {"forwarding": "direct"}, "ipip": {"forwarding": "tunnel", "tunnel": {"type": "ipip"}},
        "gue": {"forwarding": "tunnel", "tunnel": {"type": "gue", "port": GUE_PORT}},
        "gre": {"forwarding": "tunnel", "tunnel": {"type": "gre"}}}
# The devices that take a tunnel's packets.
DEVICES = {"ipip": {4: "tunl0", 6: "ip6tnl0"}, "gue": {4: "tunl0", 6: "ip6tnl0"}, "gre": {4: "gre0", 6: "ip6gre0"}}
SO_MARK = 36


def through(t, way, via="forwarding"):
    return [{"name": f"web{f}", "address": endpoint(t.vip(f), PORT), "scheduler": "rr", **WAYS[way],
             "check": {"type": "tcp", "via": via},
             "real-servers": [{"address": endpoint(r.address[f], PORT)} for r in t.reals]} for f in (4, 6)]


def open_tunnels(t, way):
    modules = {"gue": ["fou", "fou6"], "gre": ["ip_gre", "ip6_gre"]}.get(way, [])
    if modules:
        subprocess.run(["modprobe", "-a", *modules], check=True)
    for real in t.reals:
        if way == "gue":
            for family in ("-4", "-6"):
                real.run(f"ip {family} fou add port {GUE_PORT} gue")
        if way != "direct":
            real.ip(*[f"link set {device} up" for device in DEVICES[way].values()])
        tools.serve(real, PORT)


def marks(director):
    """{real server's address: the mark of its hidden service}."""
    found, mark = {}, None
    for words in (line.split() for line in director.run("ipvsadm -Ln").splitlines()):
        if words[:1] == ["FWM"]:
            mark = int(words[1])
        elif words[:1] in (["TCP"], ["UDP"]):
            mark = None
        elif words[:1] == ["->"] and mark and FIRST <= mark <= LAST:
            found[words[1].rpartition(":")[0].strip("[]")] = mark
    return found


def probe(t, director, family, mark, timeout=1):
    """As a check does it: which real server answers; None: none does."""
    kind = {4: socket.AF_INET, 6: socket.AF_INET6}[family]
    with director.entered():
        client = socket.socket(kind)
    with client:
        client.settimeout(timeout)
        client.setsockopt(socket.SOL_SOCKET, SO_MARK, mark)
        client.bind((director.address[family], 0))
        try:
            client.connect((t.vip(family), PORT))
        except OSError:
            return None
        own = client.getsockname()[:2]
        return next(str(ip_address(real[0])) for (_, source, _), (real, _) in kernel_table(director).items()
                    if (str(ip_address(source[0])), source[1]) == own)


@pytest.mark.parametrize("way", WAYS)
def test_reaches_that_real_server(topology, way):
    """VIPs are up, and reverse-path filters strict."""
    t = topology(directors=2, reals=3, forwarding=WAYS[way]["forwarding"])
    open_tunnels(t, way)
    for d in t.directors:
        d.sysctl(net__ipv4__conf__eth0__rp_filter=1, net__ipv4__conf__all__rp_filter=1)
    cluster = Cluster(t, services=through(t, way)).start()
    d = t.directors[0]
    wait_for(lambda: d.read("/proc/sys/" + LOCAL) == "1\n", 5, "replies are accepted", 0.1)
    assert d.read("/proc/sys/" + STRICT) == "2\n"
    of = marks(d)
    assert len(set(of.values())) == 6 == len(of)
    for family in (4, 6):
        for real in t.reals:
            for _ in range(3):
                assert probe(t, d, family, of[real.address[family]]) == real.address[family]
    # They are nobody's connections.
    other = t.directors[1]
    client = tools.connect(t.client, endpoint(t.vip(4), PORT), 20, sources=t.client.addresses[4])
    client.wait_event("open", 10, 20)
    cluster.wait_replicated(20)
    assert not [f for f in kernel_table(other) if str(ip_address(f[1][0])) in d.address.values()]
    assert {s["name"] for s in cluster.lvsmesh(d, "services", "--json")["services"]} == {"web4", "web6"}
    assert not events(cluster, d, "kernel-changed")
    # What one of them lacks is found, for this one alone.
    broken, *others = t.reals
    for family in (4, 6):
        if way == "direct":
            broken.ip(f"address del {t.vip(family)}/{32 if family == 4 else 128} dev lo")
        else:
            broken.ip(f"link set {DEVICES[way][family]} down")
        assert probe(t, d, family, of[broken.address[family]]) is None
        assert all(probe(t, d, family, of[r.address[family]]) == r.address[family] for r in others)
    # Settings are put back when others change them, and when lvsmeshd stops.
    d.sysctl(net__ipv4__conf__eth0__accept_local=0)
    wait_for(lambda: events(cluster, d, "kernel-changed", subject="net.ipv4.conf.eth0.accept_local"), 20, "it is told", 0.2)
    assert d.read("/proc/sys/" + LOCAL) == "1\n"
    assert cluster.stop_daemon(d) == 0
    assert (d.read("/proc/sys/" + LOCAL), d.read("/proc/sys/" + STRICT)) == ("0\n", "1\n")


def test_over_reloads_and_restarts(topology):
    """Marks stay; hidden services go when they are not needed; connections of checks are not adopted."""
    t = topology(directors=2, reals=3)
    open_tunnels(t, "direct")
    cluster = Cluster(t, services=through(t, "direct")).start()
    d = t.directors[0]
    of = marks(d)
    assert len(of) == 6
    services = through(t, "direct")
    services[0]["real-servers"] = services[0]["real-servers"][1:]
    cluster.write_config(d, services=services)
    cluster.lvsmesh(d, "reload")
    assert marks(d) == {a: m for a, m in of.items() if a != t.reals[0].address[4]}
    cluster.write_config(d)
    cluster.lvsmesh(d, "reload")
    assert marks(d) == of
    assert probe(t, d, 4, of[t.reals[1].address[4]]) == t.reals[1].address[4]
    cluster.kill_daemon(d)
    cluster.start_director(d)
    cluster.wait_ready([d])
    assert marks(d) == of
    assert [f for f in kernel_table(d) if f[1][0] == d.address[4]]
    assert cluster.status(d)["entries"]["adopted"] == 0
    cluster.write_config(d, services=through(t, "direct", via="address"))
    cluster.lvsmesh(d, "reload")
    assert not marks(d)
    assert d.read("/proc/sys/" + LOCAL) == "0\n"
    assert not events(cluster, d, "kernel-changed")


def test_a_mark_of_ours_is_refused(topology):
    t = topology(directors=1)
    mark = {"name": "marked", "fwmark": FIRST + 5, "scheduler": "rr", "real-servers": [{"address": t.reals[0].address[4]}]}
    cluster = Cluster(t, services=[mark])
    cluster.write_config(t.directors[0])
    said = t.directors[0].run([tools.program("lvsmesh"), "check", cluster.config(t.directors[0])], check=False)
    assert "lvsmesh's own" in said
