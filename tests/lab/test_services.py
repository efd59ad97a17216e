"""Entries of every kind of service reach the other directors' kernels as the first one's kernel has them."""

import socket

import pytest

from lab import tools
from lab.cluster import PORT, Cluster, kernel_table, kernel_templates, services
from lab.host import wait_for

SCTP = 132


def same_in_all(cluster, count, templates=False):
    """All directors have the same entries: key, real server, state. The kernel tells of a template before it is
    assured, and then not for a while."""
    of = kernel_templates if templates else kernel_table
    tables = []

    def same():
        tables[:] = [of(d) for d in cluster.directors]
        if templates:
            tables[:] = [{flow: real for flow, (real, _) in table.items()} for table in tables]
        return len(tables[0]) >= count and all(t == tables[0] for t in tables) and tables[0]
    try:
        return wait_for(same, 10, "the same entries everywhere", interval=0.05)
    except AssertionError:
        assert tables[1:] == tables[:1] * (len(tables) - 1)
        raise


@pytest.mark.parametrize("family", [4, 6])
def test_udp(topology, family):
    t = topology()
    cluster = Cluster(t, services=services(t, [family], 5353, protocol="udp")).start()
    t.route(t.directors[:1])
    for port in range(40000, 40020):
        send(t, family, port, 5353, b"?")
    table = same_in_all(cluster, 20)
    assert {flow[0] for flow in table} == {"UDP"}
    assert len({real for real, _ in table.values()}) == 4
    # The flows go on where they were. (In another order, by rr they would go elsewhere.)
    cluster.fail(t.directors[0])
    for port in reversed(range(40000, 40020)):
        send(t, family, port, 5353, b"?")
    assert same_in_all(cluster, 20) == table


def send(t, family, port, service, data):
    """One datagram from the client's port."""
    with t.client.entered(), socket.socket(socket.AF_INET if family == 4 else socket.AF_INET6,
                                           socket.SOCK_DGRAM) as client:
        client.bind((t.client.address[family], port))
        client.sendto(data, (t.vip(family), service))


def sip_templates(director):
    """{call: real server}; what a persistence engine goes by stands at the line's end."""
    lines = [line.split() for line in director.read("/proc/net/ip_vs_conn").splitlines()[1:]]
    return {w[10]: w[5] for w in lines if w[9:10] == ["sip"]}


def test_sip(topology):
    """A call stays with its real server, whichever port and director its messages come through."""
    t = topology()
    t.router.run("modprobe ip_vs_pe_sip")
    cluster = Cluster(t, services=services(t, [4], 5060, protocol="udp",
                                           **{"persistence": "300s", "persistence-engine": "sip"})).start()
    calls = [f"call-{n}" for n in range(10)]

    def invite(order, port):
        for n in order:
            send(t, 4, port + n, 5060, f"INVITE sip:a@b SIP/2.0\r\nCall-ID: {calls[n]}\r\n\r\n".encode())

    def complete(director):
        """{client's port: real server}, when all are there."""
        of = {client[1]: real[0] for (_, client, _), (real, _) in kernel_table(director).items()}
        return len(of) == 20 and of
    t.route(t.directors[:1])
    invite(range(10), 40000)
    wait_for(lambda: all(set(sip_templates(d)) == set(calls) for d in t.directors), 10, "templates everywhere")
    chosen = sip_templates(t.directors[0])
    assert len(set(chosen.values())) == 4
    assert all(sip_templates(d) == chosen for d in t.directors)
    cluster.fail(t.directors[0])
    invite(reversed(range(10)), 50000)
    of = wait_for(lambda: complete(t.directors[1]), 10, "all messages came through")
    assert all(of[50000 + n] == of[40000 + n] for n in range(10))


@pytest.mark.parametrize("family, forwarding", [(4, "nat"), (6, "direct")])
def test_sctp(topology, family, forwarding):
    t = topology(directors=2, forwarding=forwarding)
    t.router.run("modprobe sctp")
    cluster = Cluster(t, services=services(t, [family], 36412, protocol="sctp")).start()
    t.route(t.directors[:1])
    if forwarding == "nat":
        t.nat_gateway(t.directors[0])
    af = socket.AF_INET if family == 4 else socket.AF_INET6
    listeners = []
    for real in t.reals:
        with real.entered():
            listener = socket.socket(af, socket.SOCK_STREAM, SCTP)
        # Not to any: SCTP would answer from an address of its own choice.
        listener.bind((real.address[family] if forwarding == "nat" else t.vip(family), 36412))
        listener.listen()
        listeners.append(listener)
    clients = []
    for _ in range(8):
        with t.client.entered():
            clients.append(socket.socket(af, socket.SOCK_STREAM, SCTP))
        clients[-1].settimeout(10)
        clients[-1].bind((t.client.address[family], 0))
        clients[-1].connect((t.vip(family), 36412))
        # The server's last packet establishes it for IPVS, and the client's next one makes it known.
        clients[-1].send(b"!")
    table = same_in_all(cluster, 8)
    assert {(flow[0], state) for flow, (_, state) in table.items()} == {("SCTP", "ESTABLISHED")}
    servers = [listener.accept()[0] for listener in listeners for _ in range(2)]
    assert [server.recv(9) for server in servers] == [b"!"] * 8
    cluster.fail(t.directors[0])
    for s in clients:
        s.send(b"?")
    for s in servers:
        s.settimeout(10)
        assert s.recv(9) == b"?"
    for s in clients + listeners + servers:
        s.close()


def open_from_all(t, family, port=PORT, count=16):
    """So many connections, some from each of the client's addresses."""
    client = tools.connect(t.client, tools.endpoint(t.vip(family), port), count, sources=t.client.addresses[family])
    client.wait_event("open", 10, count)
    return client


def chosen(table):
    """{client's address: its real servers' addresses}."""
    of = {}
    for flow, (real, _) in table.items():
        of.setdefault(flow[1][0], set()).add(real[0])
    return of


def test_persistence(topology):
    """A client's connections go on when their director dies, and its next one goes to the same real server."""
    t = topology()
    cluster = Cluster(t, services=services(t, [4, 6], PORT, persistence="300s")).start()
    for real in t.reals:
        tools.serve(real, PORT)
    t.route(t.directors[:1])
    clients = [open_from_all(t, family) for family in (4, 6)]
    of = chosen(same_in_all(cluster, 32))
    same_in_all(cluster, 16, templates=True)
    cluster.fail(t.directors[0])
    t.route(t.directors[1:2])
    # In another order: by rr they would go elsewhere.
    t.client.addresses = {family: addresses[::-1] for family, addresses in t.client.addresses.items()}
    clients += [open_from_all(t, family) for family in (4, 6)]
    assert [tools.check(client)["broken"] for client in clients] == [0] * 4
    table = kernel_table(t.directors[1])
    assert len(table) == 64 and chosen(table) == of


@pytest.mark.parametrize("family", [4, 6])
def test_fwmark(topology, family):
    """Two ports of one service by a mark, with persistence: its templates have the mark for an address."""
    t = topology()
    reals = [{"address": real.address[family]} for real in t.reals]
    cluster = Cluster(t, services=[{"name": "marked", "fwmark": 7, "scheduler": "rr", "forwarding": "direct",
                                    "persistence": "300s", "real-servers": reals}]).start()
    iptables = "iptables-legacy" if family == 4 else "ip6tables-legacy"
    for director in t.directors:
        director.run(f"{iptables} -t mangle -A PREROUTING -d {t.vip(family)} -p tcp -m multiport "
                     "--dports 80,443 -j MARK --set-mark 7")
        if t.vip(family) not in director.run("ip address"):
            t.add_vips(director)
    for real in t.reals:
        tools.serve(real, 80, 443)
    t.route(t.directors[:1])
    clients = [open_from_all(t, family, port, 8) for port in (80, 443)]
    of = chosen(same_in_all(cluster, 16))
    assert all(len(reals) == 1 for reals in of.values())
    same_in_all(cluster, 8, templates=True)
    cluster.fail(t.directors[0])
    t.route(t.directors[1:2])
    t.client.addresses = {family: t.client.addresses[family][::-1]}
    clients += [open_from_all(t, family, port, 8) for port in (80, 443)]
    assert [tools.check(client)["broken"] for client in clients] == [0] * 4
    assert chosen(kernel_table(t.directors[1])) == of


@pytest.mark.parametrize("port", [0, 21])
def test_ftp(topology, port):
    """Data connections, which are to other ports than 21, go on as control connections do. A service of every port
    sends a client's next one to the same real server too; one of port 21 does not: the kernel does not find the real
    server of its templates when it is told of them."""
    t = topology(directors=2)
    cluster = Cluster(t, services=services(t, [4], port, persistence="300s")).start()
    for real in t.reals:
        tools.serve(real, 21, 50021)
    t.route(t.directors[:1])
    clients = [open_from_all(t, 4, to, 8) for to in (21, 50021)]
    of = chosen(same_in_all(cluster, 16))
    assert all(len(reals) == 1 for reals in of.values())
    same_in_all(cluster, 8, templates=True)
    cluster.fail(t.directors[0])
    assert [tools.check(client)["broken"] for client in clients] == [0] * 2
    t.client.addresses = {4: t.client.addresses[4][::-1]}
    assert tools.check(open_from_all(t, 4, 50021, 8))["broken"] == 0
    assert (chosen(kernel_table(t.directors[1])) == of) == (port == 0)


def test_foreign_services_are_left_alone(topology):
    t = topology(directors=1)
    director = t.directors[0]
    director.run(["ipvsadm", "-R"],
                 text="-A -t 198.51.100.1:25 -s wlc\n-a -t 198.51.100.1:25 -r 10.1.0.51:25 -g -w 3\n")
    cluster = Cluster(t).start()
    assert "198.51.100.1:25" in director.run("ipvsadm -Sn")
    listed = cluster.lvsmesh(director, "services", "--json")
    assert any(s["foreign"] and s["address"] == "198.51.100.1:25" for s in listed["services"])
    assert cluster.stop_daemon(director) == 0
    assert "-a -t 198.51.100.1:25 -r 10.1.0.51:25 -g -w 3" in director.run("ipvsadm -Sn")
