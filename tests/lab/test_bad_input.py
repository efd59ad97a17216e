"""What strangers and the careless may send: refused, counted by reason, and nothing else happens."""

import contextlib
import json
import random
import socket
import struct
from pathlib import Path

import pytest

from lab import tools
from lab.cluster import CLUSTER_PORT, PORT, TAP_NET, Cluster, kernel_table
from lab.host import wait_for

COUNT = 30
RECORDER_PORT = 7000
SYNC_GROUP = ("224.0.0.81", 8848)


@pytest.fixture
def cluster(topology):
    """Two directors with connections. What d2 says to d1 is recorded on the way: d1 knows no address of d2's to dial."""
    t = topology(directors=2)
    cluster = Cluster(t, families=[4])
    first, second = t.directors
    cluster.recording = t.directory / "recording"
    recorder = t.router.start([Path(__file__).parent / "tools/record.py",
                               f"{t.router.address[4]}:{RECORDER_PORT}",
                               f"{first.address[4]}:{CLUSTER_PORT}", cluster.recording], name="record")
    recorder.wait_event("ready")
    cluster.start_director(first, cluster={"listen": [tools.endpoint(first.address[4], CLUSTER_PORT)]})
    cluster.start_director(second, cluster={
        "listen": [tools.endpoint(second.address[4], CLUSTER_PORT)],
        "join": [tools.endpoint(t.router.address[4], RECORDER_PORT)]})
    cluster.wait_ready()
    for real in t.reals:
        tools.serve(real, PORT)
    t.route([first])
    client = tools.connect(t.client, tools.endpoint(t.vip(4), PORT), COUNT,
                           sources=t.client.addresses[4])
    client.wait_event("open", 10, COUNT)
    cluster.wait_replicated(COUNT)
    cluster.client = client
    yield cluster
    # Whatever came, the cluster works.
    for director in t.directors:
        assert cluster.daemons[director].running(), cluster.daemons[director].errors()
        assert len(kernel_table(director)) == COUNT
        assert cluster.status(director)["entries"]["total"] == COUNT
    cluster.fail(first)
    assert tools.check(client)["broken"] == 0


def counter(cluster, director, group, name):
    return cluster.status(director)["counters"][group][name]


@contextlib.contextmanager
def counted(cluster, director, group, *names, at_least=1):
    """Inside, these counters rise."""
    def values():
        counters = cluster.status(director)["counters"][group]
        return [counters[name] for name in names]

    before = values()
    yield
    wait_for(lambda: all(v >= b + at_least for v, b in zip(values(), before)), 15,
             f"{director.name}: {group} {names} from {before}")


def say(host, to, *parts, timeout=3.0):
    """Sends bytes over TCP, each part after an answer to the one before; what came back until the other side
    closed, which it must."""
    answer = b""
    with host.entered(), socket.create_connection(to, timeout=timeout) as s:
        with contextlib.suppress(ConnectionError):
            for i, part in enumerate(parts):
                answer += s.recv(65536) if i else b""
                s.sendall(part)
            while more := s.recv(65536):
                answer += more
    return answer


def cluster_port(director):
    return director.address[4], CLUSTER_PORT


def recorded(cluster):
    """What d2 said on its stream to d1: magic, hello, confirm, and what followed."""
    data = max((f.read_bytes() for f in cluster.recording.parent.glob("recording.*")), key=len)
    assert data[:4] == b"LVSM"
    hello_end = 4 + 5 + struct.unpack("!I", data[4:8])[0]
    assert len(data) > hello_end + 21
    return data, hello_end


def test_strangers_on_the_cluster_port(cluster):
    first, stranger = cluster.directors[0], cluster.topology.reals[0]
    with counted(cluster, first, "session", "magic", at_least=3):
        assert say(stranger, cluster_port(first), b"GET / HTTP/1.0\r\n\r\n") == b""
        assert say(stranger, cluster_port(first), b"\x16\x03\x01" + bytes(500)) == b""
        assert say(stranger, cluster_port(first), bytes(70000)) == b""
    with counted(cluster, first, "session", "size"):
        assert say(stranger, cluster_port(first), b"LVSM" + struct.pack("!IB", 1 << 31, 1) + bytes(9)) == b""
    with counted(cluster, first, "session", "malformed"):
        assert say(stranger, cluster_port(first), b"LVSM" + struct.pack("!IB", 40, 1) + b"\xff" * 40) == b""
    with counted(cluster, first, "session", "kind"):
        assert say(stranger, cluster_port(first), b"LVSM" + struct.pack("!IB", 40, 17) + bytes(40)) == b""
    chance = random.Random(4711)
    for _ in range(100):
        data = chance.choice((b"", b"LVSM")) + chance.randbytes(chance.randrange(1, 400))
        # A stranger beyond its share is reset; at times before it knows that it was connected.
        with stranger.entered(), contextlib.suppress(ConnectionError), socket.create_connection(cluster_port(first)) as s:
            s.sendall(data)


def sent(host, to, data):
    """True if they were taken, by a connection that then ends."""
    with contextlib.suppress(OSError), host.entered(), socket.create_connection(to, timeout=3) as s:
        s.sendall(data)
        s.shutdown(socket.SHUT_WR)
        return s.recv(1) is not None
    return False


def test_replay_forgery_and_truncation(cluster):
    first, stranger = cluster.directors[0], cluster.topology.reals[0]
    data, hello_end = recorded(cluster)

    def refused_for(reason, *parts, answer):
        # One source has so many connections a second: some are reset unread.
        before = counter(cluster, first, "session", reason)
        wait_for(lambda: say(stranger, cluster_port(first), *parts)[:4] == answer
                 and counter(cluster, first, "session", reason) > before, 20, f"refused for {reason}", 0.2)

    # The answer has a fresh nonce in it; the old confirmation does not fit.
    refused_for("mac", data[:hello_end], data[hello_end:], answer=b"LVSM")
    # The certificate's signature is its last 64 bytes; wherever it is, the first byte of this name is not d2's.
    name = data.index(b"d2", 0, hello_end)
    refused_for("certificate", data[:name] + b"d3" + data[name + 2:], answer=b"")
    for cut in range(1, hello_end, 37):
        # One source has so many connections a second; what is beyond them is reset.
        wait_for(lambda cut=cut: sent(stranger, cluster_port(first), data[:cut]), 10, f"{cut} bytes are taken", 0.1)


def test_a_foreign_cluster(cluster, tmp_path):
    """A whole director of another cluster, which knows our addresses; and one with our cluster's name on a
    certificate that is not ours."""
    t = cluster.topology
    first, second = t.directors
    foreign = tmp_path / "foreign"
    t.router.run([tools.program("lvsmesh"), "keygen", "cluster", foreign])
    t.router.run([tools.program("lvsmesh"), "keygen", "node", "d2", "--cluster", foreign, "--output",
                  foreign / "d2"])
    cluster.stop_daemon(second)
    with counted(cluster, first, "session", "cluster"):
        cluster.start_director(second, node={"name": "d2", "identity": str(foreign / "d2"),
                                             "state": str(tmp_path / "state")})
        (tmp_path / "state").mkdir()
    wait_for(lambda: cluster.status(second), 10, "the foreign director's status")
    wait_for(lambda: counter(cluster, second, "session", "cluster") > 0, 10, "counted there too")
    assert cluster.status(first)["peers"]["connected"] == 0
    cluster.stop_daemon(second)
    cluster.start_director(second)
    cluster.wait_ready([second])


def test_the_control_socket(cluster):
    first = cluster.directors[0]

    def ask(data):
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(5)
            s.connect(str(cluster.control(first)))
            answer = b""
            # The daemon may answer, and close, before all of it is written.
            with contextlib.suppress(ConnectionError):
                s.sendall(data)
                s.shutdown(socket.SHUT_WR)
            with contextlib.suppress(ConnectionError):
                while part := s.recv(65536):
                    answer += part
        return answer

    for reason, data in (("json", b"\x00\xff\xfe\n"), ("json", b"[1, 2]\n"), ("json", b"{\n"),
                         ("command", b'{"command": "explode"}\n'), ("command", b"{}\n"),
                         ("field", b'{"command": "status", "colour": 1}\n'),
                         ("filter", b'{"command": "connections", "filter": "vip=nowhere"}\n'),
                         ("overlong", b"x" * 70000)):
        with counted(cluster, first, "control", reason):
            answer = ask(data)
            if answer:
                said = json.loads(answer.splitlines()[0])
                assert said["ok"] is False and said["error"] == reason and said["message"]
    assert cluster.control(first).stat().st_mode & 0o007 == 0


def tap_socket(kind):
    """One whose multicast goes out of the tap."""
    s = socket.socket(socket.AF_INET, kind, socket.IPPROTO_UDP)
    s.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(TAP_NET + "1"))
    return s


def master_port(director):
    """The port that the kernel's master thread sends from."""
    group = socket.inet_aton(SYNC_GROUP[0])[::-1].hex().upper() + f":{SYNC_GROUP[1]:04X}"
    return next(int(w[1].split(":")[1], 16)
                for w in map(str.split, director.read("/proc/net/udp").splitlines()[1:]) if w[2] == group)


def test_the_tap(cluster):
    """Whoever is root on a director can write to its tap; a mistake there does no harm either."""
    first = cluster.directors[0]
    before = cluster.status(first)["entries"]["captured"]
    entry = struct.pack("!BBHIHHHHII12x", 0, 6, 36, 3, 1, 1000, 80, 80, 0, 900)
    good = struct.pack("!BBHBbH", 0, 0, 44, 1, 1, 0) + entry
    with first.entered(), tap_socket(socket.SOCK_DGRAM) as user, tap_socket(socket.SOCK_RAW) as root:
        # Any user of the host can send to the group, but not from the master thread's port.
        with counted(cluster, first, "packet", "unknown-sender", at_least=2):
            user.sendto(good, SYNC_GROUP)
            user.sendto(b"garbage", SYNC_GROUP)
        port = master_port(first)

        def send(payload, length=None):
            header = struct.pack("!HHHH", port, SYNC_GROUP[1], length or 8 + len(payload), 0)
            root.sendto(header + payload, (SYNC_GROUP[0], 0))

        with counted(cluster, first, "packet", "length"):
            send(good, length=5)
        with counted(cluster, first, "capture", "header", at_least=3):
            send(b"")
            send(b"garbage")
            send(good[:2] + b"\xff\xff" + good[4:])
        with counted(cluster, first, "capture", "version"):
            send(good[:5] + b"\x05" + good[6:])
        with counted(cluster, first, "capture", "syncid"):
            send(good[:1] + b"\xee" + good[2:])
        chance = random.Random(1)
        for _ in range(300):
            send(chance.randbytes(chance.randrange(0, 1400)))
    assert cluster.status(first)["entries"]["captured"] == before


def test_reload_of_a_bad_configuration(cluster):
    first = cluster.directors[0]
    file = cluster.config(first)
    good = file.read_text()
    services = first.run("ipvsadm -Sn")
    for bad, line in ((good.replace('"rr"', '"random"'), good[:good.index('"rr"')].count("\n") + 1),
                      (good.replace('"services"', '"servcies"'), good[:good.index('"services"')].count("\n") + 1),
                      ("node: [", None), ("", None)):
        file.write_text(bad)
        refused = cluster.status(first)["config"]["reloads_refused"]
        said = cluster.lvsmesh(first, "reload", check=False)
        assert str(file) in said and (line is None or f":{line}:" in said), said
        status = cluster.status(first)
        assert status["config"]["reloads_refused"] == refused + 1 and status["config"]["last_error"]
        assert first.run("ipvsadm -Sn") == services
    file.unlink()
    assert str(file) in cluster.lvsmesh(first, "reload", check=False)
    file.write_text(good)
    assert "Reloaded" in cluster.lvsmesh(first, "reload")
    assert cluster.status(first)["config"]["last_error"] is None


def start_alone(t, prefix=()):
    """One director's daemon that is expected to refuse; what it said."""
    cluster = Cluster(t, families=[4])
    director = t.directors[0]
    cluster.write_config(director)
    daemon = director.start([*prefix, tools.program("lvsmeshd"), "-c", cluster.config(director)],
                            name="lvsmeshd")
    wait_for(lambda: not daemon.running(), 10, "lvsmeshd gave up")
    assert daemon.popen.returncode == 1
    return daemon.errors()


def test_a_missing_capability_is_named(topology):
    said = start_alone(topology(directors=1, reals=1),
                       ["setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin"])
    assert "CAP_NET_ADMIN" in said or "root" in said, said


def test_a_missing_tun_is_named(topology):
    said = start_alone(topology(directors=1, reals=1),
                       ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs none /dev/net && exec "$@"', "sh"])
    assert "modprobe tun" in said, said


def test_a_bad_configuration_at_start(topology):
    t = topology(directors=1, reals=1)
    cluster = Cluster(t, families=[4])
    director = t.directors[0]
    cluster.write_config(director, clutser={})
    said = director.run([tools.program("lvsmeshd"), "-n", "-c", cluster.config(director)], check=False)
    assert f"{cluster.config(director)}:" in said and "clutser" in said, said
