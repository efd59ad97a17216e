"""Odd addresses: whatever `lvsmesh check` calls good the kernel takes; and what it refuses all the same, since only the host
knows, is the trouble of its own service."""

import ipaddress
import json
import random

from lab import tools
from lab.cluster import PORT, Cluster, events
from lab.host import wait_for

GOOD = {"name": "good", "address": "203.0.113.10:80", "scheduler": "rr", "real-servers": [{"address": "10.1.0.51:80"}]}
ODD_V4 = ["0.1.2.3", "127.0.0.1", "127.9.9.9", "169.254.3.4", "192.0.0.1", "223.255.255.254", "224.0.0.1", "239.1.1.1", "240.0.0.1",
          "255.255.255.254", "255.255.255.255", "100.64.0.1", "198.18.0.1", "10.0.0.0", "10.255.255.255"]
ODD_V6 = ["::", "::1", "::2", "::ffff:10.1.0.51", "::10.1.0.51", "64:ff9b::1", "100::1", "2002::1", "fc00::1", "fe80::33", "fec0::1",
          "ff02::1", "ffff::1", "2001:db8::", "3fff::1"]


def service(number, real):
    vip = f"203.0.{number // 200}.{number % 200 + 1}" if real.version == 4 else f"2001:db8:5::{number + 1:x}"
    return {"name": f"odd{number}", "address": tools.endpoint(vip, PORT), "scheduler": "rr",
            "real-servers": [{"address": tools.endpoint(str(real), PORT)}]}


def test_what_check_accepts(topology):
    t = topology(directors=1, reals=1)
    cluster = Cluster(t, services=[])
    d = t.directors[0]
    chance = random.Random(1)
    reals = [ipaddress.ip_address(a) for a in ODD_V4 + ODD_V6]
    reals += [ipaddress.IPv4Address(chance.getrandbits(32)) for _ in range(30)]
    reals += [ipaddress.IPv6Address(chance.getrandbits(128)) for _ in range(30)]
    accepted = []
    for number, real in enumerate(reals):
        cluster.services = [service(number, real)]
        cluster.write_config(d)
        if "is valid" in d.run([tools.program("lvsmesh"), "check", cluster.config(d)], check=False):
            accepted += cluster.services
    assert 50 < len(accepted) < len(reals)
    cluster.services = accepted
    cluster.start_director(d)
    cluster.wait_ready([d])
    status = cluster.status(d)
    assert status["services"]["programmed"], status["services"]["error"]
    assert d.run("ipvsadm -Sn").count(" -r ") == len(accepted) + 2  # and the two services of the wire tap


def test_one_refused(topology):
    """The broadcast address of the host's own subnet: the good service is announced, at a start and after a reload."""
    t = topology(directors=1, reals=1)
    bad = {"name": "bad", "address": "203.0.113.11:80", "scheduler": "rr", "real-servers": [{"address": "10.1.0.255:80"}]}
    cluster = Cluster(t, services=[GOOD, bad])
    d = t.directors[0]
    cluster.start_director(d)
    cluster.wait_ready([d])
    assert "203.0.113.10:80 -r 10.1.0.51:80" in d.run("ipvsadm -Sn")
    wait_for(lambda: events(cluster, d, "service-refused"), 10, "it is told", 0.1)
    assert any("10.1.0.255" in p for p in cluster.status(d)["problems"])
    cluster.services = [GOOD]
    cluster.write_config(d)
    d.run([tools.program("lvsmesh"), "reload", "--control", cluster.control(d)])
    wait_for(lambda: events(cluster, d, "service-accepted"), 10, "its end is told", 0.1)
    assert json.dumps(cluster.status(d)["problems"]) == "[]"
