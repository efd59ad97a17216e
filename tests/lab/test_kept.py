"""What is lvsmesh's in the kernel, changed by somebody else: it is put back within 10 s, told once, and no entry is lost."""

import signal

import pytest

from lab import tools
from lab.cluster import PORT, TAP, Cluster, events, kernel_table
from lab.host import wait_for
from lab.tools import results_directory
from lab.topology import Topology

CHANGED = "kernel-changed"
SYSCTL = "net.ipv4.vs."


def sysctl(name, value, was=None):
    return pytest.param(SYSCTL + name, f"was set to {value}", [f'sysctl -qw {SYSCTL}{name}="{value}"'], id=name)


def device(part, was, command):
    return pytest.param(f"{TAP} {part}", was, [command], id=part)


CHANGES = [
    sysctl("sync_version", "0"),
    sysctl("sync_threshold", "3 50"),
    sysctl("sync_refresh_period", "0"),
    sysctl("backup_only", "1"),
    sysctl("sloppy_tcp", "0"),
    device("link", "was down", f"ip link set {TAP} down"),
    device("address", "was removed", f"ip address flush dev {TAP}"),
    device("route", "was removed", f"ip route flush dev {TAP}"),
    device("MTU", "was changed", f"ip link set {TAP} mtu 1500"),
    device("multicast", "was off", f"ip link set {TAP} multicast off"),
    device("filter", "was changed", f"tc qdisc del dev {TAP} ingress"),
    pytest.param(TAP, "was deleted", [f"ip link del {TAP}"], id="deleted"),
    pytest.param("backup sync thread", "was one on eth0",
                 ["ipvsadm --stop-daemon backup", "ipvsadm --start-daemon backup --mcast-interface eth0"],
                 id="foreign-backup"),
    pytest.param("master sync thread", "was stopped", ["ipvsadm --stop-daemon master"], id="no-master"),
    pytest.param("lvsmesh-vip", "had lost 1 VIPs", ["ip address flush dev lvsmesh-vip"], id="vip"),
    # Last: the probe service goes too, and the director takes no traffic for a moment.
    pytest.param("IPVS services", "differed in 3 places", ["ipvsadm -C"], id="services"),
]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    t = Topology(directory=tmp_path_factory.mktemp("kept"), directors=2, reals=2).open()
    cluster = Cluster(t, families=[4]).start()
    for real in t.reals:
        tools.serve(real, PORT)
    cluster.opened = 0
    yield cluster
    t.collect(results_directory() / "test_kept")
    t.close()


@pytest.mark.parametrize("what, was, commands", CHANGES)
def test_put_back(cluster, what, was, commands):
    t = cluster.topology
    d, other = t.directors

    def told():
        return [e["fields"]["was"] for e in events(cluster, d, CHANGED, subject=what)]

    # It does not look while this is done: half of it would be put back already.
    cluster.daemons[d].signal(signal.SIGSTOP)
    for command in commands:
        d.run(command)
    cluster.daemons[d].signal(signal.SIGCONT)
    wait_for(told, 10, f"{what} {was} is told", 0.1)
    assert told() == [was]
    # A forwarder that stalls again soon is trusted later each time.
    wait_for(lambda: healthy(cluster, d), 30, "all is well again", 0.1)
    # What is carried here gets to the other one, and the other way round.
    for carrier, peer in (d, other), (other, d):
        t.route([carrier])
        client = tools.connect(t.client, tools.endpoint(t.vip(4), PORT), 10, sources=t.client.addresses[4])
        client.wait_event("open", 10, 10)
        cluster.opened += 10
        wait_for(lambda: len(kernel_table(peer)) == cluster.opened, 10, f"{peer.name} has all", 0.1)


def healthy(cluster, director):
    status = cluster.status(director)
    return status["forwarder"]["ok"] and status["announcing"] and not status["problems"]


def test_again_and_again(cluster):
    """Another program that insists: it is put back each time, and status names the contest."""
    d = cluster.directors[0]
    name = SYSCTL + "sloppy_sctp"

    def contested():
        d.run(f"sysctl -qw {name}=0")
        return [p for p in cluster.status(d)["problems"] if name in p]

    wait_for(contested, 30, "the contest is told", 0.5)
    assert len(events(cluster, d, CHANGED, subject=name)) == 1
