"""A real server that is not yet on all directors: its connections are on all of them, and find it when it comes."""

from lab import tools
from lab.cluster import PORT, Cluster, services
from lab.host import wait_for

COUNT = 40


def counted(director, real):
    """Connections that the kernel counts for a real server; None: it has no such real server."""
    lines = [line.split() for line in director.run("ipvsadm -Ln").splitlines()]
    found = [w for w in lines if w[:2] == ["->", f"{real.address[4]}:{PORT}"]]
    return int(found[0][4]) + int(found[0][5]) if found else None


def test_a_real_server_that_comes_later(topology):
    """Two real servers are missing on a director. One of them is added; nothing is done about the other's meanwhile."""
    t = topology(directors=2)
    cluster = Cluster(t, families=[4])
    first, second = t.directors
    *_, added, missing = t.reals
    fewer = services(t, [4])
    del fewer[0]["real-servers"][-2:]
    cluster.start_director(first)
    cluster.start_director(second, services=fewer)
    cluster.wait_ready()
    for real in t.reals:
        tools.serve(real, PORT)
    t.route([first])
    client = tools.connect(t.client, tools.endpoint(t.vip(4), PORT), COUNT, sources=t.client.addresses[4])
    client.wait_event("open", 10, COUNT)
    cluster.wait_replicated(COUNT)
    assert counted(first, added) == counted(first, missing) == COUNT / 4
    assert counted(second, added) is None
    more = services(t, [4])
    del more[0]["real-servers"][-1]
    cluster.write_config(second, services=more)
    cluster.lvsmesh(second, "reload")
    wait_for(lambda: counted(second, added) == COUNT / 4, 40, "the kernel counts its connections", interval=0.1)
    # Which takes some rounds of the comparison with the kernel: they went by for the other, too.
    assert [cluster.status(d)["entries"]["reinjected"] for d in t.directors] == [0, COUNT / 4]
    assert counted(second, missing) is None
    cluster.fail(first)
    assert tools.check(client)["broken"] == 0
