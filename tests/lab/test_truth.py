"""What the kernel carries is the truth: the table follows it, and what it lost it gets again."""

import signal
import socket
import time

from lab import tools
from lab.cluster import PORT, Cluster, kernel_table, kernel_templates, services
from lab.host import wait_for

COUNT = 60
PERSISTENCE = 12  # s; the kernel does not report a template that lives for less than 10


def reinjected(cluster, director):
    return cluster.status(director)["entries"]["reinjected"]


def lose(cluster, director, real):
    """The director's kernel loses all connections of a real server, by another hand than lvsmesh's."""
    t = cluster.topology
    director.sysctl(net__ipv4__vs__expire_nodest_conn=1)
    where = f"-t {t.vip(4)}:{PORT} -r {real.address[4]}:{PORT}"
    director.run(f"ipvsadm -d {where}")
    wait_for(lambda: not of_real(director, real), 10, "connections are gone")
    director.run(f"ipvsadm -a {where} -g -w 1")
    director.sysctl(net__ipv4__vs__expire_nodest_conn=0)


def of_real(director, real):
    return {flow for flow, (its, _) in kernel_table(director).items() if its[0] == real.address[4]}


def test_lost_and_unreported(topology):
    """Entries that a kernel lost are there again, whoever carried them; those that it did not report are found."""
    t = topology(directors=2)
    cluster = Cluster(t, families=[4]).start()
    for real in t.reals:
        tools.serve(real, PORT)
    first, second = t.directors
    t.route([first])
    client = tools.connect(t.client, tools.endpoint(t.vip(4), PORT), COUNT, sources=t.client.addresses[4])
    client.wait_event("open", 10, COUNT)
    cluster.wait_replicated(COUNT)
    table = kernel_table(first)
    for director, real in zip(t.directors, t.reals):
        assert reinjected(cluster, director) == 0
        lose(cluster, director, real)
    for director in t.directors:
        wait_for(lambda d=director: set(kernel_table(d)) >= set(table), 40, "connections are there again")
        assert reinjected(cluster, director) >= COUNT / len(t.reals)
    assert {flow: real for flow, (real, _) in kernel_table(second).items()} == \
        {flow: real for flow, (real, _) in table.items()}
    # The kernel is told not to report an established connection before its ninth packet, while lvsmeshd can't put that back.
    cluster.daemons[first].signal(signal.SIGSTOP)
    first.sysctl(net__ipv4__vs__sync_threshold="9\t1000")
    late = tools.connect(t.client, tools.endpoint(t.vip(4), PORT), 2 * COUNT, sources=t.client.addresses[4])
    late.wait_event("open", 10, 2 * COUNT)
    cluster.daemons[first].signal(signal.SIGCONT)
    assert len(kernel_table(second)) < 2 * COUNT
    cluster.wait_replicated(3 * COUNT, 40)
    cluster.fail(first)
    assert tools.check(client)["broken"] == 0
    assert tools.check(late)["broken"] == 0


def counted(director, vip):
    """(active, inactive) connections of a VIP, as its kernel's schedulers count them."""
    lines = director.run("ipvsadm -Ln").splitlines()
    start = next(i for i, line in enumerate(lines) if vip in line)
    of = [line.split()[-2:] for line in lines[start + 1:start + 5]]
    return sum(int(active) for active, _ in of), sum(int(inactive) for _, inactive in of)


def test_found_datagrams(topology):
    """Flows of UDP that a daemon finds when it starts count for the others' schedulers as they do where they are
    carried."""
    t = topology(directors=2)
    cluster = Cluster(t, services=services(t, [4], 53, protocol="udp")).start()
    first, second = t.directors
    t.route([first])
    cluster.kill_daemon(first)
    with t.client.entered():
        for _ in range(8):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
                client.sendto(b"?", (t.vip(4), 53))
    cluster.start_director(first)
    cluster.wait_ready([first])
    wait_for(lambda: len(kernel_table(second)) == 8, 10, "the other director has them")
    assert counted(first, t.vip(4)) == counted(second, t.vip(4)) == (0, 8)


def test_entries_end_with_the_kernels(topology):
    """A connection that lives stays in all kernels far beyond its timeout, and so does its client's template; one that is
    closed, or idle for too long, goes from all of them and from the tables, and neither a restart nor a join brings it
    back."""
    t = topology()
    first, second, third = t.directors
    for director in t.directors:
        director.run("ipvsadm --set 10 3 0")
    cluster = Cluster(t, families=[4], persistence=f"{PERSISTENCE}s").start([first, second])
    for real in t.reals:
        tools.serve(real, PORT)
    t.route([first])
    addresses = t.client.addresses[4]
    living, idle, closed = (tools.connect(t.client, tools.endpoint(t.vip(4), PORT), 10, sources=sources, **options)
                            for sources, options in ((addresses[:3], {"interval": 2000}), (addresses[3:5], {}),
                                                     (addresses[5:], {})))
    for client in (living, idle, closed):
        client.wait_event("open", 10, 10)
    wait_for(lambda: (len(kernel_table(second)), len(kernel_templates(second))) == (30, len(addresses)), 10,
             "entries on the other director", interval=0.05)
    started = time.monotonic()
    closed.stop()
    cluster.kill_daemon(second)
    cluster.start_director(second)
    cluster.wait_ready([second])

    def only_the_living(directors):
        return all((len(kernel_table(d)), len(kernel_templates(d)), cluster.status(d)["entries"]["total"]) == (10, 3, 13)
                   for d in directors)
    # The timeout, as long again until the others are sure that no report of it is missing, and what a sweep takes.
    wait_for(lambda: only_the_living([first, second]), 40, "the others are gone", interval=0.2)
    assert time.monotonic() - started > PERSISTENCE
    cluster.start_director(third)
    cluster.wait_ready([third])
    wait_for(lambda: only_the_living(t.directors), 10, "the third has the same", interval=0.2)
    tables = [{flow: real for flow, (real, _) in kernel_table(d).items()} for d in t.directors]
    assert tables[0] == tables[1] == tables[2]
    assert all(reinjected(cluster, d) == 0 for d in t.directors)
    cluster.fail(first)
    assert tools.check(living)["broken"] == 0
    late = tools.connect(t.client, tools.endpoint(t.vip(4), PORT), 6, sources=addresses[2::-1])
    late.wait_event("open", 10, 6)
    chosen = {(flow[1][0], real) for table in map(kernel_table, t.directors[1:]) for flow, (real, _) in table.items()}
    assert len(chosen) == 3
