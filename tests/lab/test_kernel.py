"""What lvsmesh relies on in the kernel, pinned. Nothing of lvsmesh runs here: a failure says that the
kernel is another one than we think."""

import contextlib
import os
import re
import time

import pytest

from lab import pace, tools
from lab.host import wait_for
from lab.sync import (CLOSE, DIRECT, FIN_WAIT, INACTIVE, Entry, Tun, kernel_entries, kernel_threads, pack, stop_threads, threads, unpack,
                      wait_entry)
from test_lab import FLAG, PORT, program_ipvs

# On each change of state, and no more often than the refresh period: what lvsmesh sets.
ON_CHANGE = dict(net__ipv4__vs__sync_threshold="0 0", net__ipv4__vs__sync_refresh_period=10)


@pytest.fixture
def lab(topology):
    """A director with rr, whose sync threads are on a TUN; a client and two real servers."""
    t = topology(directors=1, reals=2)
    t.d = t.directors[0]
    t.d.sysctl(**ON_CHANGE)
    t.add_vips(t.d)
    program_ipvs(t, t.d, 4)
    for real in t.reals:
        tools.serve(real, PORT)
    return t


def open_connections(t, count, **options):
    client = tools.connect(t.client, tools.endpoint(t.vip(4), PORT), count, **options)
    client.wait_event("open", 10, count)
    return client, client.events("open")


def entry(t, cport, real=0, **fields):
    return Entry("10.100.0.99", cport, t.vip(4), PORT, t.reals[real].address[4], PORT, **fields)


def test_master_speaks_and_backup_listens_on_a_tun(lab):
    tun = Tun(lab.d)
    tun.start()
    tun.inject(entry(lab, 1001))
    assert wait_entry(lab.d, "10.100.0.99", 1001)[:3] == (lab.reals[0].address[4], PORT, "ESTABLISHED")

    _, (opened,) = open_connections(lab, 1)
    seen = tun.read_entry(opened["port"], 5)
    ours = [e for e in seen if e.cport == opened["port"]][0]
    assert (ours.caddr, ours.vaddr, ours.vport, ours.dport) == (opened["source"], lab.vip(4), PORT, PORT)
    # What was injected does not come out again.
    assert not [e for e in seen if e.caddr == "10.100.0.99"]
    tun.close()


def test_ipv6_entries(lab):
    program_ipvs(lab, lab.d, 6)
    tun = Tun(lab.d)
    tun.start()
    client = tools.connect(lab.client, tools.endpoint(lab.vip(6), PORT), 1)
    opened = client.wait_event("open")
    ours = [e for e in tun.read_entry(opened["port"], 5) if e.cport == opened["port"]][0]
    assert (ours.caddr, ours.vaddr) == (opened["source"], lab.vip(6))
    tun.inject(ours._replace(cport=1001))
    assert wait_entry(lab.d, opened["source"], 1001)[0] == ours.daddr
    tun.close()


def test_a_half_full_buffer_waits(lab):
    """The reason for the metronome."""
    tun = Tun(lab.d)
    tun.start("master")
    _, (opened,) = open_connections(lab, 1)
    tun.read_entry(opened["port"], 5)
    lag = time.time() - opened["at"] / 1e6
    assert 1 < lag < pace.scaled(4)
    tun.close()


def test_a_full_buffer_leaves_at_once(lab):
    """What the metronome makes of it: eight full buffers wake the master thread."""
    tun = Tun(lab.d)
    tun.start("master", maxlen=1)
    _, opened = open_connections(lab, 200)
    tun.read_entry(opened[0]["port"], 5)
    assert time.time() - opened[0]["at"] / 1e6 < pace.scaled(0.5)
    tun.close()


def test_threads_outlive_the_tun_deaf(lab):
    tun = Tun(lab.d)
    tun.start()
    tun.close()
    assert threads(lab.d) == ["master", "backup"]

    tun = Tun(lab.d)
    deadline = time.monotonic() + 0.5
    while time.monotonic() < deadline:
        tun.inject(entry(lab, 1001))
        assert not kernel_entries(lab.d)
    stop_threads(lab.d)
    assert threads(lab.d) == []
    tun.start()
    tun.inject(entry(lab, 1001))
    wait_entry(lab.d, "10.100.0.99", 1001)

    # The table is untouched meanwhile, and so are the connections.
    client, _ = open_connections(lab, 5)
    tun.close()
    stop_threads(lab.d)
    assert len(kernel_entries(lab.d)) == 6
    assert tools.check(client)["broken"] == 0


def test_another_real_server_replaces_the_entry(lab):
    tun = Tun(lab.d)
    tun.start("backup")
    tun.inject(entry(lab, 1001, real=0))
    assert wait_entry(lab.d, "10.100.0.99", 1001)[0] == lab.reals[0].address[4]
    tun.inject(entry(lab, 1001, real=1))
    wait_for(lambda: wait_entry(lab.d, "10.100.0.99", 1001)[0] == lab.reals[1].address[4],
             what="the other real server")
    tun.close()


def test_the_end_of_a_connection_elsewhere_is_ignored(lab):
    """Unless the same message says first that it lives there."""
    tun = Tun(lab.d)
    tun.start("backup")
    lives = entry(lab, 1001, real=1, state=FIN_WAIT, timeout=120)
    ends = lives._replace(flags=lives.flags | 0x100)

    def counts():
        """Active and inactive connections of each real server."""
        lines = [line.split() for line in lab.d.run("ipvsadm -Ln").splitlines()]
        return [[int(w[4]), int(w[5])] for r in lab.reals for w in lines
                if len(w) > 5 and w[1] == tools.endpoint(r.address[4], PORT)]
    tun.inject(entry(lab, 1001))
    wait_entry(lab.d, "10.100.0.99", 1001)
    tun.inject(ends, entry(lab, 1002))
    wait_entry(lab.d, "10.100.0.99", 1002)
    assert wait_entry(lab.d, "10.100.0.99", 1001)[0] == lab.reals[0].address[4]
    tun.inject(lives, ends, entry(lab, 1003))
    wait_entry(lab.d, "10.100.0.99", 1003)
    # The other one ends by a timer.
    wait_for(lambda: wait_entry(lab.d, "10.100.0.99", 1001)[0::2] == (lab.reals[1].address[4], "FIN_WAIT"),
             what="another real server's")
    wait_for(lambda: counts() == [[2, 0], [0, 1]], what="one that has ended")
    tun.close()


@pytest.mark.parametrize("forwarding, method", [("direct", DIRECT), ("tunnel", 2), ("nat", 0)])
def test_a_connection_that_is_closed_elsewhere_is_reset(topology, forwarding, method):
    """A connection of a real server that is silent hangs, whatever state its entry gets; on another real server, closed,
    its client's next packet is answered with RST."""
    t = topology(directors=1, reals=2, forwarding=forwarding)
    d, (dead, other) = t.directors[0], t.reals
    t.add_vips(d)
    program_ipvs(t, d, 4)
    for real in t.reals:
        tools.serve(real, PORT)
    tun = Tun(d)
    tun.start("backup")
    client, _ = open_connections(t, 10)
    t.link(dead, False)

    def flows():
        return [client for client, e in kernel_entries(d).items() if e[0] == dead.address[4]]
    assert len(flows()) == 5
    for source in flows():
        lives = Entry(*source, t.vip(4), PORT, other.address[4], PORT, state=CLOSE, timeout=10, flags=method)
        tun.inject(lives, lives._replace(flags=method | INACTIVE))
    wait_for(lambda: not flows(), 10, "all are elsewhere", 0.1)
    began = time.monotonic()
    assert tools.check(client)["broken"] == 5
    took = time.monotonic() - began
    assert [e["why"] for e in client.events("broken")] == ["reset"] * 5
    assert took < pace.scaled(2)
    wait_for(lambda: len(kernel_entries(d)) == 5, 30, "their entries end", 0.5)
    tun.close()


@pytest.mark.parametrize("expire", [0, 1])
def test_a_template_of_weight_0(lab, expire):
    """A persistence template sends new connections to a real server of weight 0, unless it is given up."""
    d, service = lab.d, ["-t", tools.endpoint(lab.vip(4), PORT)]
    d.sysctl(net__ipv4__vs__expire_quiescent_template=expire)
    d.run(["ipvsadm", "-E", *service, "-s", "rr", "-p", "300"])
    client, _ = open_connections(lab, 1)
    [chosen] = {e[0] for source, e in kernel_entries(d).items() if source[1]}
    d.run(["ipvsadm", "-e", *service, "-r", tools.endpoint(chosen, PORT), "-w", "0", FLAG[lab.forwarding]])
    open_connections(lab, 3)
    now = {e[0] for source, e in kernel_entries(d).items() if source[1]}
    assert now == ({chosen} if not expire else {r.address[4] for r in lab.reals})
    assert tools.check(client)["broken"] == 0


def test_a_stale_message_rewinds_an_entry(lab):
    """The kernel takes what comes: to order it is up to us."""
    tun = Tun(lab.d)
    tun.start("backup")

    def state(wanted):
        return wait_for(lambda: wait_entry(lab.d, "10.100.0.99", 1001)[2] == wanted, what=wanted)
    tun.inject(entry(lab, 1001))
    state("ESTABLISHED")
    tun.inject(entry(lab, 1001, state=FIN_WAIT, timeout=120))
    state("FIN_WAIT")
    tun.inject(entry(lab, 1001))
    state("ESTABLISHED")
    assert kernel_entries(lab.d, "ip_vs_conn_sync")["10.100.0.99", 1001][3][0] == "SYNC"
    tun.close()


def test_an_entry_binds_when_its_real_server_comes(lab):
    """Known by the count of the real server's connections."""
    tun = Tun(lab.d)
    tun.start("backup")
    service = ["-t", tools.endpoint(lab.vip(4), PORT)]
    real = ["-r", tools.endpoint(lab.reals[0].address[4], PORT)]
    lab.d.run(["ipvsadm", "-d"] + service + real)
    tun.inject(entry(lab, 1001))
    wait_entry(lab.d, "10.100.0.99", 1001)
    lab.d.run(["ipvsadm", "-a", "-g"] + service + real)
    tun.inject(entry(lab, 1001))

    def active():
        lines = [line.split() for line in lab.d.run("ipvsadm -Ln").splitlines()]
        return [int(w[4]) for w in lines if len(w) > 4 and w[1] == real[1]] == [1]
    wait_for(active, what="a bound entry")
    tun.close()


def test_the_count_of_entries_wraps(lab):
    """Why the master's sync_maxlen has a limit."""
    tun = Tun(lab.d, mtu=65000)
    tun.start("master", maxlen=60000)
    open_connections(lab, 300)
    message = tun.read(5)
    assert len(unpack(message)) > 255
    assert message[4] == len(unpack(message)) % 256
    tun.close()


def test_syn_recv_is_not_synced(lab):
    """An entry comes with the handshake's end, not before: no flood of SYNs comes out."""
    tun = Tun(lab.d)
    tun.start("master", maxlen=1)
    for real in lab.reals:
        real.ip("link set eth0 down")
    tools.connect(lab.client, tools.endpoint(lab.vip(4), PORT), 20)
    wait_for(lambda: len(kernel_entries(lab.d)) == 20, what="20 half-open connections")
    assert tun.read(3) is None
    tun.close()


def percpu(host):
    """(connections, packets in) over all processors, from the live counters."""
    rows = [[int(word, 16) for word in line.split()]
            for line in host.read("/proc/net/ip_vs_stats_percpu").splitlines()
            if re.fullmatch(r"\s*[0-9A-F]+( +[0-9A-F]+){5}", line)]
    return sum(row[1] for row in rows), sum(row[2] for row in rows)


def test_percpu_counters_are_live(lab):
    before = percpu(lab.d)
    client, _ = open_connections(lab, 10)
    conns, packets = percpu(lab.d)
    assert conns - before[0] == 10
    assert packets - before[1] >= 20
    tools.check(client)
    assert percpu(lab.d)[1] > packets


def test_backup_only_stops_forwarding(lab):
    tun = Tun(lab.d)
    tun.start()
    client, _ = open_connections(lab, 5, deadline=500)
    lab.d.sysctl(net__ipv4__vs__backup_only=1)
    assert tools.check(client)["broken"] == 5
    tun.close()


@pytest.mark.parametrize("scheduler, sloppy, survives",
                         [("rr", 0, False), ("mh", 0, False), ("mh", 1, True)])
def test_a_flow_without_an_entry(topology, scheduler, sloppy, survives):
    t = topology(directors=2, reals=4)
    for d in t.directors:
        d.sysctl(net__ipv4__vs__sloppy_tcp=sloppy)
        t.add_vips(d)
        program_ipvs(t, d, 4, scheduler)
        # Consistent hashing must see the ports, or all connections go to one real server.
        if scheduler == "mh":
            d.run(["ipvsadm", "-E", "-t", tools.endpoint(t.vip(4), PORT), "-s", "mh", "-b", "mh-port"])
    for real in t.reals:
        tools.serve(real, PORT)
    t.route(t.directors[:1])
    client, _ = open_connections(t, 40)
    t.route(t.directors[1:])
    assert tools.check(client)["broken"] == (0 if survives else 40)


@contextlib.contextmanager
def without_threads(name):
    """Inside, the kernel's threads of that name wait: they may use one processor only, and we keep it."""
    threads = kernel_threads(name)
    all_processors = os.sched_getaffinity(0)
    one = {min(all_processors)}
    for thread in threads:
        os.sched_setaffinity(thread, one)
    os.sched_setaffinity(0, one)
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    try:
        yield
    finally:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
        os.sched_setaffinity(0, all_processors)
        for thread in threads:
            os.sched_setaffinity(thread, all_processors)


def test_a_burst_is_dropped_silently_and_paced_is_not(lab):
    """Last of all: its entries take their time to go."""
    tun = Tun(lab.d)
    tun.start("backup")
    messages = [pack([entry(lab, 1024 + 38 * m + i, timeout=20) for i in range(38)])
                for m in range(400)]
    # Faster than the backup thread on any machine: it does not run meanwhile.
    with without_threads("ipvs-b"):
        for message in messages:
            tun.write(message)
    wait_for(lambda: tun.queue()[0] == 0, 10, "the queue to be worked off")
    dropped = tun.queue()[1]
    assert dropped > 0
    assert len(kernel_entries(lab.d)) == 38 * (400 - dropped)

    for message in messages:
        wait_for(lambda: tun.queue()[0] < 50000, 10, "room in the queue")
        tun.write(message)
    wait_for(lambda: tun.queue()[0] == 0, 10, "the queue to be worked off")
    assert tun.queue()[1] == dropped
    wait_for(lambda: len(kernel_entries(lab.d)) == 38 * 400, 5, "all entries")
    tun.close()
