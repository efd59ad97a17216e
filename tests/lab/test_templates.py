"""Persistence templates that two directors' kernels hold with different real servers: the kernel replaces none of them by
itself, and lvsmesh says so until it has."""

import time
from ipaddress import ip_address

import pytest

from lab import pace, tools
from lab.cluster import PORT, Cluster, all_alive, endpoint, events, kernel_table, kernel_templates
from lab.host import wait_for

MARK, MARKED = 7, 8080
CLIENTS = 8
PARTS = [(4, PORT), (6, PORT), (4, MARKED)]  # family and port of each service
COUNT = CLIENTS * len(PARTS)
# A template that the kernel has given up has the port 0xffff.
GIVEN_UP = 0xffff


def persistent(t):
    """A service of a VIP for each family, and one of a mark."""
    common = {"scheduler": "rr", "forwarding": t.forwarding, "persistence": "300s"}
    reals = {f: [{"address": endpoint(r.address[f], PORT)} for r in t.reals] for f in (4, 6)}
    return [*({"name": f"web{f}", "address": endpoint(t.vip(f), PORT), "real-servers": reals[f], **common} for f in (4, 6)),
            {"name": "marked", "fwmark": MARK, "real-servers": [{"address": r.address[4]} for r in t.reals], **common}]


@pytest.fixture
def make(topology):
    def start(forwarding):
        t = topology(directors=2, reals=4, forwarding=forwarding)
        cluster = Cluster(t, services=persistent(t)).start()
        for d in t.directors:
            d.run(f"iptables-legacy -t mangle -A PREROUTING -d {t.vip(4)} -p tcp --dport {MARKED} -j MARK --set-mark {MARK}")
        for real in t.reals:
            tools.serve(real, PORT, MARKED)
        wait_for(lambda: all_alive(cluster, t.directors), 10, "all know all", interval=0.1)
        return cluster
    return start


def route(t, *directors):
    """To these, and back through the first where answers go that way."""
    t.route(directors)
    if t.forwarding == "nat":
        t.nat_gateway(directors[0])


def connect(t, order, each=1):
    """A connection of each client address to each service, or several at once, in this order."""
    count = CLIENTS * each
    clients = [tools.connect(t.client, endpoint(t.vip(family), port), count, sources=t.client.addresses[family][::order])
               for family, port in PARTS]
    for client in clients:
        client.wait_event("open", 10, count)
    return clients


def broken(clients):
    return sum(tools.check(c)["broken"] for c in clients)


def template(client, vip, port):
    """A client's address, and to whom it connects: a mark stands for the port that bears it."""
    to = ip_address(vip)
    return ip_address(client), (4, MARKED) if to == ip_address(MARK) else (to.version, port)


def templates(director):
    """{template: real server's address} of its kernel."""
    return {template(client[0], *vip): ip_address(real[0])
            for (_, client, vip), (real, _) in kernel_templates(director).items() if vip[1] != GIVEN_UP}


def claimed(cluster, director):
    """The same of those that lvsmesh lists as in the kernel."""
    def parts(text):
        address, port = text.replace(f"fwmark {MARK}", f"0.0.0.{MARK}:0").rsplit(":", 1)
        return address.strip("[]"), int(port)
    return {template(parts(x["client"])[0], *parts(x["vip"])): ip_address(parts(x["real"])[0])
            for x in cluster.lvsmesh(director, "connections", "--json")["connections"]
            if x["template"] and (x["own"] or x["in_kernel"])}


def real_servers(director, clients):
    """The same of these clients' connections."""
    ports = {(ip_address(e["source"]), e["port"]) for c in clients for e in c.events("open")}
    return {(ip_address(client[0]), (ip_address(vip[0]).version, vip[1])): ip_address(real[0])
            for (_, client, vip), (real, _) in kernel_table(director).items() if (ip_address(client[0]), client[1]) in ports}


def differing(cluster):
    first, second = (templates(d) for d in cluster.directors)
    return {flow for flow in first.keys() | second.keys() if first.get(flow) != second.get(flow)}


def entries(cluster, name):
    return [cluster.status(d)["entries"][name] for d in cluster.directors]


def split(cluster):
    """Cut in two, the second gives each client another real server than the first. The connections of both; the first's
    templates are to be replaced, as they are older."""
    t = cluster.topology
    t.cut(t.directors[:1], t.directors[1:])
    wait_for(lambda: all(events(cluster, d, "member-failed") for d in t.directors), 20, "each holds the other failed", 0.1)
    clients = []
    for director, order in zip(t.directors, (1, -1)):
        route(t, director)
        clients.append(connect(t, order))
    assert len(differing(cluster)) == COUNT
    return clients


def go_where(cluster, held):
    """Each client's next connection goes where its template says, through either director. The connections."""
    t = cluster.topology
    clients = []
    for d in t.directors:
        route(t, d)
        new = connect(t, 1)
        assert real_servers(d, new) == held
        clients += new
    assert len(held) == COUNT and not differing(cluster)
    return clients


@pytest.mark.parametrize("forwarding", ["direct", "nat", "tunnel"])
def test_after_a_split(make, forwarding):
    """Both kernels hold the same templates soon after they hear of each other. No connection breaks, though all that the
    templates control are used meanwhile, and each client's next one goes to the same real server through either. All the
    while no template is listed as in a kernel that has it otherwise."""
    cluster = make(forwarding)
    t = cluster.topology
    first, second = split(cluster)
    route(t, t.directors[0])
    t.cut()
    heard = None
    while differing(cluster):
        for d in t.directors:
            said, held, still = claimed(cluster, d), templates(d), claimed(cluster, d)
            assert all(held.get(key) == real for key, real in said.items() if still.get(key) == real), (d.name, said, held)
        if not heard and all_alive(cluster, t.directors):
            heard = time.monotonic()
        assert not heard or time.monotonic() < heard + pace.scaled(10), differing(cluster)
        assert broken(first) == 0
    wait_for(lambda: entries(cluster, "templates_differ") == [0, 0], 10, "it was seen", 0.05)
    assert entries(cluster, "templates_replaced") == [COUNT, 0]
    clients = first + second
    for d in t.directors:
        wait_for(lambda d=d: not cluster.status(d)["problems"], 10, "all is well", 0.1)
    clients += go_where(cluster, templates(t.directors[0]))
    assert broken(clients) == 0


def settled(cluster):
    """The templates are the same, and stay as they are: what one director reported may be on its way to the other."""
    before = templates(cluster.directors[0])
    time.sleep(1)
    return not differing(cluster) and entries(cluster, "templates_differ") == [0, 0] and templates(cluster.directors[0]) == before


def test_a_burst(make):
    """Both directors give clients real servers in the same moment, as a browser's first connections reach both."""
    cluster = make("direct")
    clients = connect(cluster.topology, 1, 6)
    cluster.wait_replicated(6 * COUNT)
    wait_for(lambda: settled(cluster), 20, "they are the same", 0)
    clients += go_where(cluster, templates(cluster.directors[0]))
    print(entries(cluster, "templates_replaced"), "replaced")
    assert broken(clients) == 0


def test_a_client_that_does_not_pause(make):
    """A template that can't be replaced is told, and listed as not in the kernel; it is replaced when the client pauses."""
    cluster = make("direct")
    t = cluster.topology
    first, second = t.directors
    clients = sum(split(cluster), [])
    route(t, first)
    (family, port), source = PARTS[0], t.client.addresses[4][0]
    busy = tools.connect(t.client, endpoint(t.vip(family), port), 1000, sources=[source], rate=5)
    t.cut()
    key = ip_address(source), PARTS[0]
    wait_for(lambda: differing(cluster) == {key}, 60, "all others are replaced", 0.1)

    def told(director):
        return any("persistence" in p for p in cluster.status(director)["problems"])
    wait_for(lambda: told(first), 15, "it is told", 0.2)
    assert not told(second)
    listed = cluster.lvsmesh(first, "connections", "--json")["connections"]
    missing = {x["client"].rsplit(":", 1)[0] for x in listed if x["template"] and not x["in_kernel"]}
    assert differing(cluster) == {key} and missing == {source}
    busy.tell("stop")
    wait_for(lambda: not differing(cluster), 60, "it is replaced", 0.1)
    wait_for(lambda: not told(first), 10, "its end is told", 0.1)
    assert broken(clients) == 0
