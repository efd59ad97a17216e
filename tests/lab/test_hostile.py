"""What must neither evict a director nor stop it: damaged and old state, a second process with its identity, a
flood of what it has to refuse."""

import contextlib
import itertools
import random
import signal
import socket
import time

import pytest

from lab import tools
from lab.cluster import CLUSTER_PORT, Cluster, all_alive, events, members
from lab.host import wait_for
from test_daemon import vips

DONE, FAILED, NO_DAEMON = 0, 1, 3
ETH_P_ALL = 3
PORT_BYTES = CLUSTER_PORT.to_bytes(2, "big")
BURSTS, REPEATS, BURST = 5, 10, 15
BAD = ("member-failed", "member-left", "quorum-lost", "split-brain-suspected", "split-brain-confirmed",
       "duplicate-identity", "config-divergence")


@pytest.fixture
def cluster(topology):
    made = Cluster(topology(reals=1), families=[4]).start()
    wait_for(lambda: all_alive(made, made.directors), 20, "all know all", interval=0.1)
    return made


def refused(cluster, director):
    """{reason: count} of membership."""
    return cluster.status(director)["counters"]["membership"]


def epoch_of(file):
    """The file's first line; the second is a sum."""
    return int(file.read_text().split()[0])


def unharmed(cluster, directors):
    """All are alive to these, which have told nothing bad of anybody."""
    wait_for(lambda: all_alive(cluster, directors), 20, "all are alive", 0.1)
    for d in directors:
        assert not events(cluster, d, *BAD), events(cluster, d, *BAD)


def ended(cluster, director, deadline=20):
    """The status with which its daemon ends by itself, and what it said."""
    daemon = cluster.daemons.pop(director)
    return wait_for(lambda: not daemon.running() and daemon, deadline, "it ends").popen.returncode, daemon.errors()


def test_damaged_roster(cluster):
    """A director starts without those it knew before, says so, and finds them again."""
    first, *others = cluster.directors
    roster = cluster.state(first) / "roster"
    for damage in (lambda data: data[:len(data) // 2], lambda data: b"\xff" * 3000):
        assert cluster.stop_daemon(first) == DONE
        roster.write_bytes(damage(roster.read_bytes()))
        cluster.start_director(first)
        cluster.wait_ready([first])
        assert f"{roster} is damaged" in cluster.daemons[first].errors()
        unharmed(cluster, cluster.directors)
    # Another cluster's: whoever is in it is no member of this one.
    keys = cluster.topology.directory / "foreign"
    first.run([tools.program("lvsmesh"), "keygen", "cluster", keys])
    first.run([tools.program("lvsmesh"), "keygen", "node", "d1", "--cluster", keys, "--output", keys / "d1"])
    assert cluster.stop_daemon(first) == DONE
    cluster.start_director(first, node={"name": "d1", "identity": str(keys / "d1"),
                                        "state": str(cluster.state(first))})
    wait_for(lambda: cluster.status(first), 10, "it runs")
    wait_for(lambda: events(cluster, first, "message-refused", subject="membership/certificate"), 10, "it says so")
    assert refused(cluster, first)["certificate"] >= 2 and list(members(cluster, first)) == ["d1"]
    unharmed(cluster, [])
    assert cluster.stop_daemon(first) == DONE


def test_roster_not_saved(cluster):
    """A director that can't save whom it knows says so as long as that is so, and then saves it."""
    first, *_, last = cluster.directors

    def told():
        return any("list of members can't be saved" in p for p in cluster.status(first)["problems"])

    roster = cluster.state(first) / "roster"
    wait_for(roster.is_file, 10, "it is saved")
    roster.unlink()
    roster.mkdir()
    assert cluster.stop_daemon(last) == DONE
    cluster.start_director(last)
    wait_for(told, 20, "it says so")
    roster.rmdir()
    wait_for(lambda: roster.is_file() and not told(), 20, "it is saved again")


def test_state_that_went_back(cluster):
    """The others know a director from a later boot: it starts again behind that."""
    first = cluster.directors[0]
    epoch = cluster.state(first) / "epoch"
    before = epoch_of(epoch)
    assert cluster.stop_daemon(first) == DONE
    epoch.write_text(f"{before - 100}\n")
    cluster.start_director(first)
    status, said = ended(cluster, first)
    assert status == FAILED and f"others know this director from epoch {before}" in said, said
    assert "duplicate-identity" not in said
    cluster.start_director(first)
    cluster.wait_ready([first])
    assert cluster.status(first)["epoch"] == epoch_of(epoch) == before + 1
    unharmed(cluster, cluster.directors)
    # What is not a number is not guessed at.
    for damaged in "", "17", "seventeen\n", f"{2 ** 64}\n":
        cluster.stop_daemon(first)
        epoch.write_text(damaged)
        cluster.start_director(first)
        status, said = ended(cluster, first)
        assert status == FAILED and f"{epoch} is damaged" in said, said
        cluster.daemons[first] = first.start(["true"])
    epoch.unlink()
    cluster.start_director(first)
    cluster.wait_ready([first])
    assert epoch_of(epoch) > before
    unharmed(cluster, cluster.directors)


def test_duplicate_identity(cluster):
    """d3's host gets d2's identity: both processes say so, and nobody is taken for dead."""
    first, second, third = cluster.directors
    assert cluster.stop_daemon(third) == DONE
    twin = {"name": "d2", "identity": str(cluster.state(second).parent / "identity"),
            "state": str(cluster.state(third))}
    # Its boots are not the other's; as after a lost state it ends first, to be started again.
    (cluster.state(third) / "epoch").write_text("1000\n")
    cluster.start_director(third, node=twin)
    assert ended(cluster, third)[0] == FAILED
    cluster.start_director(third, node=twin)
    for d in second, third:
        wait_for(lambda d=d: events(cluster, d, "duplicate-identity"), 30, f"{d.name} is told", 0.1)
        assert cluster.status(d)["membership"]["duplicate_identity"]
        assert any("identity" in p for p in cluster.status(d)["problems"])
    for d in first, second:
        assert not events(cluster, d, *(set(BAD) - {"duplicate-identity"})), events(cluster, d)
        assert vips(d)
    assert members(cluster, first)["d2"]["state"] == "alive"
    assert members(cluster, second)["d1"]["state"] == "alive"


def overhear(router, sender, receiver, count):
    """Membership's datagrams from one director to another, as the router passes them on."""
    heard = []
    end = time.monotonic() + 30
    with router.entered(), socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ETH_P_ALL)) as s:
        s.bind((sender.name, ETH_P_ALL))
        s.settimeout(1)
        while len(heard) < count and time.monotonic() < end:
            with contextlib.suppress(TimeoutError):
                packet = s.recv(2000)
                ip, to = packet[:20], socket.inet_aton(receiver.address[4])
                if ip[9] == socket.IPPROTO_UDP and ip[16:20] == to and packet[22:24] == PORT_BYTES:
                    heard.append(packet[28:])
    assert len(heard) == count
    return heard


def disguised(datagram, rng):
    """As if the same sender had said something else later; the MAC is not known."""
    sequence = int.from_bytes(datagram[22:30], "little") + 10000
    return datagram[:22] + sequence.to_bytes(8, "little") + rng.randbytes(len(datagram) - 30)


def test_flood(cluster):
    """All that a stranger on the network can make, in bursts: nobody is taken for dead, and every datagram is
    counted by its reason."""
    t = cluster.topology
    first, second = t.directors[:2]
    chance = random.Random(1)
    heard = overhear(t.router, second, first, BURST)
    kinds = {"replayed": heard, "mac": [disguised(d, chance) for d in heard],
             "unknown-sender": [d[:6] + chance.randbytes(len(d) - 6) for d in heard],
             "version": [b"\xff" + chance.randbytes(len(d)) for d in heard]}
    before = refused(cluster, first)
    with t.router.entered(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.connect((first.address[4], CLUSTER_PORT))
        for burst in range(1, BURSTS + 1):
            for _ in range(REPEATS):
                for datagram in itertools.chain(*kinds.values()):
                    s.send(datagram)
            # No more than its socket has room for.
            wait_for(lambda: all(refused(cluster, first)[kind] - before[kind] >= burst * REPEATS * BURST
                                 for kind in kinds), 20, "all are counted")
    unharmed(cluster, cluster.directors)
    for d in t.directors:
        assert not events(cluster, d, "member-partly-reachable")
    wait_for(lambda: events(cluster, first, "message-refused"), 20, "told")
    assert len(events(cluster, first, "message-refused")) <= len(kinds)


def test_strangers(cluster):
    """Strangers who open the cluster port again and again, silent, dripping, with garbage and another cluster's Hello:
    directors restart meanwhile, the operator is answered, and nobody is taken for dead."""
    first, *_, last = cluster.directors
    router = cluster.topology.router
    router.ip("route add local 198.18.0.0/15 dev lo")
    flood = router.start([tools.program("strangers"), first.address[4], CLUSTER_PORT, 500, 120, 1000, 2],
                         name="strangers")
    flood.wait_event("begun", 20)
    wait_for(lambda: cluster.status(first)["counters"]["stream"]["evicted"] > 500, 30, "they have all places")
    for d in last, first:
        assert cluster.stop_daemon(d) == DONE
        cluster.start_director(d)
        cluster.wait_ready([d])
    asked = time.monotonic()
    assert cluster.status(first)["ready"]
    assert time.monotonic() - asked < 5
    unharmed(cluster, cluster.directors)
    assert flood.running()
    flood.signal(signal.SIGTERM)
    assert flood.wait_event("done", 20)["opened"] > 1000


def test_one_source_of_strangers(cluster):
    """One address has a few places, and most of what it opens is refused at once."""
    first = cluster.directors[0]
    router = cluster.topology.router
    router.ip("route add local 198.18.0.0/15 dev lo")
    flood = router.start([tools.program("strangers"), first.address[4], CLUSTER_PORT, 300, 120, 1, 2], name="strangers")
    flood.wait_event("begun", 20)
    wait_for(lambda: cluster.status(first)["counters"]["stream"]["rate-limited"] > 500, 30, "its share is spent")
    assert cluster.status(first)["counters"]["stream"]["evicted"] == 0
    unharmed(cluster, cluster.directors)


def test_insider(cluster):
    """Somebody has d3's key, and makes d1 as much work as it can: d1 says who it is, goes on, and so does d2, which
    restarts meanwhile."""
    first, second, third = cluster.directors
    assert cluster.stop_daemon(third) == DONE
    ends = [(str(cluster.state(d).parent / "identity"), f"{d.address[4]}:{CLUSTER_PORT}") for d in (third, first)]
    insider = third.start([tools.program("insider"), *ends[0], *ends[1]], name="insider")
    insider.wait_event("joined", 20)
    insider.tell("batches")
    told = wait_for(lambda: events(cluster, first, "member-throttled", subject="d3"), 100, "it is told", 0.5)
    assert len(told) == 1
    status = cluster.status(first)
    assert any("d3" in p and "share" in p for p in status["problems"]), status["problems"]
    assert status["counters"]["account"]["throttled"] > 0
    assert cluster.stop_daemon(second) == DONE
    cluster.start_director(second)
    cluster.wait_ready([second])
    assert insider.running()
    for d in first, second:
        assert vips(d) and not events(cluster, d, "member-failed", subject="d1") + \
            events(cluster, d, "member-failed", subject="d2") + events(cluster, d, "split-brain-suspected")


def test_stopped_daemon(cluster):
    """A command to a daemon that is stopped fails soon, as to none, and is not carried out when that goes on."""
    first = cluster.directors[0]
    daemon = cluster.daemons[first]
    daemon.signal(signal.SIGSTOP)
    asked = [first.start([tools.program("lvsmesh"), word, "--control", cluster.control(first)], name=word)
             for word in ("drain", "leave")]
    for command in asked:
        assert command.popen.wait(20) == NO_DAEMON
        assert "has not answered for 5 s" in command.errors()
    daemon.signal(signal.SIGCONT)
    wait_for(lambda: cluster.status(first)["counters"]["control"]["gone"] == len(asked), 10, "both are dropped")
    assert not cluster.status(first)["draining"]
    wait_for(lambda: all_alive(cluster, cluster.directors), 20, "all are alive", 0.1)
    assert daemon.running() and vips(first)
