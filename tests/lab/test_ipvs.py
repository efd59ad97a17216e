"""Services, real servers and VIPs, as lvsmeshd programs them: all of IPVS round-trips, and nothing
else is touched."""

import itertools
import json
import re
import socket
import subprocess
from pathlib import Path

import pytest

from lab import tools
from lab.host import Host, wait_for

VIP = {4: "203.0.113.{}", 6: "2001:db8:113::{:x}"}
REAL = {4: "10.1.0.{}", 6: "fd00:1::{:x}"}
# Of the kernel's schedulers, User-Mode Linux lacks twos.
SCHEDULERS = "rr wrr lc wlc lblc lblcr dh sh sed nq fo ovf mh".split()
TUNNELS = [{"type": "ipip"}, {"type": "gue", "port": 6080}, {"type": "gue", "port": 6081, "checksum": "csum"},
           {"type": "gue", "port": 6082, "checksum": "remcsum"}, {"type": "gre"},
           {"type": "gre", "checksum": "csum"}]
WAYS = [{"forwarding": "direct"}, {"forwarding": "nat"}] + [{"forwarding": "tunnel", "tunnel": t} for t in TUNNELS]


class Director(Host):
    """One network namespace with nothing but IPVS in it."""

    def config(self, services):
        config = {"node": {"name": "d1", "state": str(self.directory / self.name)},
                  "cluster": {"listen": ["192.0.2.11:7946"]}, "services": services}
        file = self.directory / f"{self.name}.yaml"
        file.write_text(json.dumps(config))
        return file

    def probe(self, command, *arguments, check=True):
        return self.run([tools.program("ipvs_probe"), command, *arguments], check=check)

    def apply(self, services):
        """Programs the services; returns how many operations it took, none of which failed."""
        file = self.config(services)
        operations, failed = re.search(r"operations (\d+) failed (\d+)", self.probe("apply", file)).groups()
        assert failed == "0"
        self.probe("check", file)
        return int(operations)

    def vips(self):
        shown = json.loads(self.run("ip -j address show dev lvsmesh-vip"))[0]["addr_info"]
        return {f"{a['local']}/{a['prefixlen']}" for a in shown if a["scope"] == "global"}


@pytest.fixture
def director(tmp_path):
    made = []

    def make(name="d"):
        subprocess.run(["ip", "netns", "add", name], check=True)
        made.append(Director(name, tmp_path))
        made[-1].ip("link set lo up", "link add eth0 type dummy", "link set eth0 up",
                    "address add 10.1.0.1/24 dev eth0", "address add fd00:1::1/64 dev eth0 nodad",
                    "neigh add 10.1.0.254 lladdr 02:00:00:00:00:01 dev eth0")
        return made[-1]

    yield make
    for host in made:
        subprocess.run(["ip", "netns", "del", host.name], check=True)


def reals(family, port, ways, weight=1, first=2):
    """One real server for each way of forwarding; only nat reaches another port."""
    return [{"address": tools.endpoint(REAL[family].format(first + i), port + 1000 * (w["forwarding"] == "nat")),
             "weight": weight + i, **w} for i, w in enumerate(ways)]


def everything(variant=0):
    """Every combination that the configuration can say. variant: other settings of the same services."""
    services = []

    def add(family, protocol, port, **settings):
        services.append({"name": f"s{len(services)}", "protocol": protocol,
                         "address": tools.endpoint(VIP[family].format(10), port), **settings})

    ways = WAYS[variant:] + WAYS[:variant]
    for family, protocol in itertools.product((4, 6), ("tcp", "udp", "sctp")):
        for i, scheduler in enumerate(SCHEDULERS):
            scheduler = SCHEDULERS[(i + variant) % len(SCHEDULERS)]
            add(family, protocol, 100 + i, scheduler=scheduler,
                **{"real-servers": reals(family, 100 + i, ways, 10 + variant)})
        masks = [(24, "255.0.255.0"), (64, 1)][family == 6]
        persistences = [{"persistence": f"{60 + variant}s"}, {"persistence": "2h", "persistence-netmask": str(masks[0])},
                        {"persistence": "744h", "persistence-netmask": str(masks[1])}, {}]
        for i in range(4):
            add(family, protocol, 200 + i, **persistences[(i + variant) % 4])
        flags = [list(f) for n in range(4) for f in itertools.combinations(("flag-1", "flag-2", "flag-3"), n)]
        for i in range(len(flags)):
            add(family, protocol, 300 + i, scheduler="mh", **{"scheduler-flags": flags[(i + variant) % len(flags)]})
        for i, scheduler in enumerate(("mh", "sh")):
            add(family, protocol, 320 + i, scheduler=scheduler,
                **{"scheduler-flags": [[f"{scheduler}-port"], [f"{scheduler}-fallback"]][variant % 2]})
        limits = [(0, 0), (10, 0), (2147483647, 2147483647)][variant % 3]
        add(family, protocol, 400, **{"real-servers": [
            {"address": tools.endpoint(REAL[family].format(9), 400), "weight": [0, 65535][variant % 2],
             "upper-threshold": limits[0], "lower-threshold": limits[1]}]})
        services.append({"name": f"s{len(services)}", "protocol": protocol, "persistence": "5m",
                         "address": tools.endpoint(VIP[family].format(11), 0),
                         "real-servers": [{"address": REAL[family].format(20 + variant)}]})
        services.append({"name": f"s{len(services)}", "fwmark": 7 + len(services), "scheduler": "sh",
                         "real-servers": [{"address": REAL[family].format(30 + i)} for i in range(variant + 1)]})
    for family in (4, 6):
        add(family, "udp", 5060, persistence="60s", **({"persistence-engine": "sip"} if variant % 2 == 0 else {}))
        add(family, "udp", 5061, **{"one-packet": variant % 2 == 0})
        add(family, "udp", 5062, persistence="60s", **{"one-packet": True, "persistence-engine": "sip"})
    return services


def count(services):
    return len(services) + sum(len(s.get("real-servers", [])) for s in services)


def test_everything_round_trips(director):
    d = director()
    services = everything()
    assert d.apply(services) == count(services)
    assert d.apply(services) == 0
    shown = d.run("ipvsadm -Sn").splitlines()
    assert len([line for line in shown if line.startswith("-A")]) == len(services)
    assert len(shown) == count(services)
    # Every service is edited to other settings of its own, in place, and again.
    for variant in (1, 2, 3, 0):
        operations = d.apply(everything(variant))
        assert operations > len(services) / 2
        assert d.apply(everything(variant)) == 0
    assert d.apply([]) == len(services)
    assert d.run("ipvsadm -Sn") == ""


def test_ipvsadm_shows_it(director):
    d = director()
    web = [{"address": "10.1.0.2:443", "weight": 100},
           {"address": "10.1.0.3:443", "weight": 5, "upper-threshold": 9, "lower-threshold": 8},
           {"address": "10.1.0.4:8443", "forwarding": "nat"},
           {"address": "10.1.0.5:443", "forwarding": "tunnel", "tunnel": {"type": "gue", "port": 6080, "checksum": "csum"}}]
    d.apply([
        {"name": "web", "address": "203.0.113.10:443", "scheduler": "mh", "real-servers": web,
         "scheduler-flags": ["mh-port", "mh-fallback"]},
        {"name": "sip", "address": "203.0.113.10:5060", "protocol": "udp", "scheduler": "rr", "one-packet": True,
         "persistence": "90s", "persistence-netmask": "24", "persistence-engine": "sip"},
        {"name": "six", "address": "[2001:db8::1]:80", "protocol": "sctp", "persistence": "1m",
         "persistence-netmask": "64", "real-servers": [{"address": "[fd00:1::2]:80"}]},
        {"name": "mark", "fwmark": 7, "scheduler": "sh", "scheduler-flags": ["sh-port"],
         "real-servers": [{"address": "10.1.0.2", "weight": 0}]}])
    assert sorted(line.strip() for line in d.run("ipvsadm -Sn").splitlines()) == sorted([
        "-A -t 203.0.113.10:443 -s mh -b mh-fallback,mh-port",
        "-a -t 203.0.113.10:443 -r 10.1.0.2:443 -g -w 100",
        "-a -t 203.0.113.10:443 -r 10.1.0.3:443 -g -w 5",
        "-a -t 203.0.113.10:443 -r 10.1.0.4:8443 -m -w 1",
        "-a -t 203.0.113.10:443 -r 10.1.0.5:443 -i -w 1 --tun-type gue --tun-port 6080 --tun-csum",
        "-A -u 203.0.113.10:5060 -s rr -p 90 -M 255.255.255.0 --pe sip -o",
        "-A --sctp-service [2001:db8::1]:80 -s wlc -p 60 -M 64",
        "-a --sctp-service [2001:db8::1]:80 -r [fd00:1::2]:80 -g -w 1",
        "-A -f 7 -s sh -b sh-port",
        "-a -f 7 -r 10.1.0.2:0 -g -w 0"])
    assert re.search(r"10\.1\.0\.3:443 +9 +8 ", d.run("ipvsadm -Ln --thresholds"))


def service(name, address, addresses, **settings):
    return {"name": name, "address": address, "real-servers": [
        {"address": a, "weight": w} for a, w in addresses.items()], **settings}


def test_foreign_services_stay(director):
    d = director()
    foreign = ["-A -t 203.0.113.99:80 -s rr", "-a -t 203.0.113.99:80 -r 10.1.0.7:80 -g -w 3",
               "-A -t 169.254.117.1:9 -s rr", "-A -f 99 -s wlc -p 30"]
    d.run(["ipvsadm", "-R"], text="\n".join(foreign) + "\n")
    # One that lvsmesh is told to have is made as it says, whoever made it.
    d.run("ipvsadm -A -t 203.0.113.1:80 -s wlc")
    one = service("one", "203.0.113.1:80", {"10.1.0.2:80": 1}, scheduler="rr")
    two = service("two", "203.0.113.2:80", {"10.1.0.2:80": 1})
    assert d.apply([one, two]) == 4
    # Each call is a process of its own: what is ours is known from the file.
    assert d.apply([two]) == 1
    assert d.apply([]) == 1
    assert sorted(line.strip() for line in d.run("ipvsadm -Sn").splitlines()) == sorted(foreign)


def test_a_damaged_list_is_begun_anew(director):
    d = director()
    one = service("one", "203.0.113.1:80", {"10.1.0.2:80": 1})
    two = service("two", "203.0.113.2:80", {"10.1.0.2:80": 1})
    d.apply([one, two])
    (d.directory / d.name / "services").write_text("tcp 203.0.113.")
    assert "operations 0 failed 0 ours 1 forgot" in d.probe("apply", d.config([one]))
    assert "operations 0 failed 0 ours 1\n" in d.probe("apply", d.config([one]))
    # Not known to be ours any more: left alone.
    assert d.run("ipvsadm -Sn").count("-A") == 2
    assert d.apply([]) == 1


def chosen(host, address, ports=range(20000, 21000)):
    """Which real server each flow gets: UDP datagrams from many ports of the director itself."""
    ip, port = address.rsplit(":", 1)
    for source in ports:
        with host.entered(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.bind(("10.1.0.1", source))
            try:
                s.sendto(b"x", (ip, int(port)))
            except PermissionError:
                pass  # dropped: sh chose a real server with weight 0
    rows = [line.split() for line in host.read("/proc/net/ip_vs_conn").splitlines()[1:]]
    return {int(r[2], 16): r[5] for r in rows}


@pytest.mark.parametrize("scheduler", ["mh", "sh"])
def test_order_after_changes_is_as_after_a_start(director, scheduler):
    """A director with a history sends each flow where one that has just started sends it."""
    histories = [{3: 1, 5: 2}, {2: 1, 3: 1, 4: 4, 5: 2, 6: 0}, {6: 3, 4: 1, 9: 1}, {2: 5, 4: 1, 6: 3, 7: 2, 9: 1},
                 {2: 5, 4: 0, 6: 3, 7: 2, 9: 1}]
    flags = [f"{scheduler}-port"]

    def services(weights):
        return [service("dns", "203.0.113.1:53", {f"10.1.0.{n}:53": w for n, w in weights.items()},
                        protocol="udp", scheduler=scheduler, **{"scheduler-flags": flags})]

    old, fresh = director("old"), director("fresh")
    for weights in histories:
        old.apply(services(weights))
    fresh.apply(services(histories[-1]))
    # Where mh sends nothing may stand anywhere.
    assert sorted(old.probe("list").split("\n")) == sorted(fresh.probe("list").split("\n"))
    ours = chosen(old, "203.0.113.1:53")
    assert ours == chosen(fresh, "203.0.113.1:53")
    # mh sends nothing to a real server with weight 0, nor away.
    if scheduler == "mh":
        assert len(ours) == 1000 and len(set(ours.values())) == 4


def edited(director, services, *edits, command="edit"):
    """Messages to the kernel for each edit."""
    director.run("ip address replace 203.0.113.1/32 dev lo")
    said = director.probe(command, director.config(services), *edits)
    return [int(n) for n in re.findall(r"messages (\d+)", said)]


@pytest.mark.parametrize("scheduler, flags", [("mh", ["mh-port", "mh-fallback"]), ("mh", ["mh-port"]), ("sh", ["sh-port", "sh-fallback"]),
                                              ("wrr", [])])
def test_edits_end_as_a_start(director, scheduler, flags):
    """Weights of single real servers: a message each, and no list. Where 1,000 clients go on this director is where they go on
    one that starts while these weights hold, and on one that has seen others before."""
    addresses = [f"10.1.0.{n}:53" for n in (2, 3, 5, 6, 7, 8)]
    services = [service("dns", "203.0.113.1:53", {a: n + 1 for n, a in enumerate(addresses)}, protocol="udp", scheduler=scheduler,
                        **{"scheduler-flags": flags, "sorry-server": {"address": "10.1.0.4:53"}})]
    old, other, fresh = director("old"), director("other"), director("fresh")
    weights = ["0:1:0", "0:3:7", "0:4:0", "0:0:5"]
    moves = scheduler == "mh" and "mh-fallback" not in flags
    ordinary = scheduler == "wrr"
    assert edited(old, services, *weights) == [2 if moves else 1, 1, 2 if moves else 1, 1]
    before = ["0:1:3", "0:1:0", "0:5:off", "0:sorry:3", "0:4:50", "0:4:0", "0:1:0", "0:5:6", "0:sorry:off", "0:1:0", "0:3:7", "0:0:5"]
    took = edited(other, services, *before)
    if ordinary:
        assert took == [1, 1, 1, 1, 1, 1, 0, 1, 1, 0, 1, 1]
    edited(fresh, services, *weights, command="start")
    # A director that lives on after a restart of its daemon has the same, whatever the kernel remembers.
    edited(old, services, *weights, command="start")
    if not ordinary:
        chosen_by = [chosen(d, "203.0.113.1:53") for d in (old, other, fresh)]
        assert chosen_by[0] == chosen_by[1] == chosen_by[2]
        assert len(chosen_by[0]) == 1000 or scheduler == "sh"
    assert len({"\n".join(sorted(re.findall(r"->.*?\d+ +(?=\d+ +\d+\n)", d.run("ipvsadm -Ln")))) for d in (old, other, fresh)}) == 1


def test_mh_keeps_its_table(director):
    """With mh-fallback, weight 0 moves the clients of that real server, and no other; they are back when it is."""
    addresses = [f"10.1.0.{n}:53" for n in range(2, 12)]
    services = [service("dns", "203.0.113.1:53", {a: 100 for a in addresses}, protocol="udp", scheduler="mh",
                        **{"scheduler-flags": ["mh-port", "mh-fallback"]})]
    names = ["whole", "down", "back"]
    for name, edits in zip(names, ([], ["0:4:0"], ["0:4:0", "0:4:100"])):
        assert edited(director(name), services, *edits) == [1] * len(edits)
    whole, down, back = (chosen(Director(name, Path("/")), "203.0.113.1:53") for name in names)
    assert whole == back
    lost = whole[next(p for p in whole if whole[p] != down[p])]
    assert all((whole[p] == lost) == (whole[p] != down[p]) for p in whole)


def test_edits_do_not_interrupt(topology):
    t = topology(directors=1, reals=4)
    d = Director(t.directors[0].name, t.directory, t.directors[0].address)
    vip = tools.endpoint(t.vip(4), 80)
    addresses = [tools.endpoint(r.address[4], 80) for r in t.reals]

    def services(*weights, **settings):
        named = {a: w for a, w in zip(addresses, weights) if w is not None}
        return [service("web", vip, named, **{"scheduler": "mh", "scheduler-flags": ["mh-port"], **settings})]

    assert d.apply(services(None, 1, 1, 1)) == 4
    for real in t.reals:
        tools.serve(real, 80)
    client = tools.connect(t.client, vip, 60, interval=20, streams=2, stream_bytes=5000000)
    client.wait_event("open", 10, 60)
    for weights, settings in [((None, 9, 1, 5), {}), ((1, 1, 1, 1), {}), ((1, 0, 1, 1), {}), ((1, 1, 1, 1), {}),
                              ((1, 1, 1, 1), {"scheduler": "sh", "scheduler-flags": ["sh-port"]}),
                              ((1, 2, 3, 4), {"scheduler": "wlc", "scheduler-flags": []}),
                              ((None, 2, 3, 4), {"scheduler": "mh"})]:
        assert d.apply(services(*weights, **settings)) > 0
        report = tools.check(client)
        assert (report["open"], report["broken"], report["failed"]) == (60, 0, 0)
    client.wait_event("streamed", 20, 2)
    active = [int(n) for n in re.findall(r" active (\d+)", d.probe("list"))]
    assert sum(active) >= 60
    # The kernel adds its counters up every two seconds.
    wait_for(lambda: re.match(r"tcp \S+ mh connections 6\d packets [1-9]\d+ bytes", d.probe("list")), 5)


def test_failures_say_what_to_do(director):
    d = director()
    good = service("good", "203.0.113.1:80", {"10.1.0.2:80": 1})
    twos = service("twos", "203.0.113.2:80", {"10.1.0.2:80": 1}, scheduler="twos")
    wrong = service("wrong", "203.0.113.3:80", {"10.1.0.255:80": 1, "10.1.0.3:80": 1})
    said = d.probe("apply", d.config([good, twos, wrong]), check=False)
    assert "add tcp 203.0.113.2:80: the kernel lacks its scheduler; run modprobe ip_vs_twos\n" in said
    assert "operations 7 failed 3 ours 3" in said
    assert d.run("ipvsadm -Sn").count("-a") == 2
    said = d.probe("apply", d.config([good, wrong]), check=False)
    assert ("add real server 10.1.0.255:80 of tcp 203.0.113.3:80: the kernel says that it is not a unicast address; "
            "look at ip route get 10.1.0.255\n") in said

    powerless = ["setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin", tools.program("ipvs_probe")]
    config = d.config([good])
    for command in (["list"], ["info"], ["apply", config]):
        assert "not permitted; run lvsmeshd as root or with CAP_NET_ADMIN\n" in d.run(powerless + command, check=False)
    bits = int(Path("/sys/module/ip_vs/parameters/conn_tab_bits").read_text())
    assert f"version 1.2.1 connection table {1 << bits}\n" == d.probe("info")


def test_vips(director):
    d = director()
    one = service("one", "203.0.113.1:80", {})
    two = service("two", "203.0.113.1:81", {})
    six = service("six", "[2001:db8::1]:80", {})
    mark = {"name": "mark", "fwmark": 7, "family": "ipv6"}
    assert "vips 2 added 0 removed interface made" in d.probe("apply", d.config([one, two, six, mark]))
    assert d.vips() == {"203.0.113.1/32", "2001:db8::1/128"}
    assert "tentative" not in d.run("ip -6 address show dev lvsmesh-vip")
    assert "vips 0 added 0 removed\n" in d.probe("apply", d.config([one, two, six, mark]))
    assert "2001:db8::1" not in d.run("ip -6 route show dev lvsmesh-vip")

    d.ip("address add 198.51.100.1/32 dev lvsmesh-vip", "address add 2001:db8::99/128 dev lvsmesh-vip nodad",
         "link set lvsmesh-vip down")
    d.apply([two])
    assert d.vips() == {"203.0.113.1/32", "198.51.100.1/32"}
    assert "UP" in d.run("ip link show dev lvsmesh-vip")
    assert "vips 0 added 1 removed\n" in d.probe("apply", d.config([mark]))
    assert d.vips() == {"198.51.100.1/32"}


@pytest.mark.own_kernel
def test_no_ipvs_and_no_dummy(director):
    """Last: it takes the modules away."""
    d = director()
    d.ip("link del eth0")
    service_of_one = d.config([service("one", "203.0.113.1:80", {})])
    Path("/proc/sys/kernel/modprobe").write_text("/bin/false\n")
    subprocess.run(["rmmod", "dummy"], check=True)
    assert ("prepare the interface lvsmesh-vip: this kernel has no dummy interfaces; run modprobe dummy\n"
            in d.probe("apply", service_of_one, check=False))
    d.run("ipvsadm -C")
    loaded = subprocess.run(["lsmod"], capture_output=True, text=True, check=True).stdout
    subprocess.run(["rmmod", *re.findall(r"^(ip_vs_\w+)", loaded, re.M), "ip_vs"], check=True)
    assert d.probe("list", check=False) == "open IPVS: this kernel has no IPVS; run modprobe ip_vs\n"
