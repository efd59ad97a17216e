"""The lab's network: clients, a router with ECMP over directors, and real servers.

    c1, c2 ... --- router ---+--- d1, d2, d3 ...     the directors
    (a link each)            +--- r1, r2, r3, r4 ... the real servers
                             one Ethernet segment, a bridge on the router

Everything is there in IPv4 and IPv6 at once. The router's routes to the VIPs (VIP_NET) go to all directors that
are `routed`, by a hash over addresses and ports, so that a change of that set moves flows from one director
to another as a data centre's routers do. Real servers answer straight through the router (direct and
tunnel), or through one director (nat).
"""

import os
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

from .host import Host, wait_for

SEGMENT = {4: "10.1.0.{}", 6: "fd00:1::{:x}"}
CLIENTS = {4: "10.{0}.0.{1}", 6: "fd00:{0:x}::{1:x}"}
VIP = {4: "203.0.113.{}", 6: "2001:db8:10::{:x}"}
VIP_NET = {4: "203.0.113.0/24", 6: "2001:db8:10::/64"}
PREFIX = {4: 24, 6: 64}
HOST_PREFIX = {4: 32, 6: 128}
ANY = {4: "0.0.0.0/0", 6: "::/0"}
FAMILIES = (4, 6)

ROUTER, FIRST_DIRECTOR, FIRST_REAL, FIRST_CLIENT_NET = 1, 11, 51, 100
CLIENT_ADDRESSES = 8

# IPv6 addresses are usable at once only without duplicate address detection.
QUIET = dict(net__ipv6__conf__default__accept_dad=0, net__ipv6__conf__all__accept_dad=0,
             net__ipv6__conf__default__accept_ra=0,
             net__ipv4__conf__all__accept_redirects=0, net__ipv4__conf__default__accept_redirects=0,
             net__ipv6__conf__default__accept_redirects=0, net__ipv4__conf__all__rp_filter=0,
             net__ipv4__conf__default__rp_filter=0, net__core__somaxconn=65535)
FORWARDS = dict(net__ipv4__ip_forward=1, net__ipv6__conf__all__forwarding=1,
                net__ipv4__conf__all__send_redirects=0, net__ipv4__conf__default__send_redirects=0)
# The VIP is on many hosts of one segment: none may answer for it, or speak of it, by ARP.
NO_ARP_FOR_VIPS = dict(net__ipv4__conf__all__arp_ignore=1, net__ipv4__conf__all__arp_announce=2)


class Topology:
    """Use as a context manager: at the end all of it is gone.

    forwarding: direct, tunnel or nat, which decides how the real servers are set up.
    vips: how many VIPs there are; vip(family, n) is the n-th's address.
    resilient: the router uses a resilient next-hop group, which moves as few flows as it can.
    With LVSMESH_CAPTURE in the environment every director's packets are captured, and kept with the logs.
    """

    def __init__(self, directors=3, reals=4, clients=1, forwarding="direct", vips=1,
                 resilient=False, directory=None):
        assert forwarding in ("direct", "tunnel", "nat")
        self.forwarding = forwarding
        self.resilient = resilient
        self.vips = vips
        self._own = None if directory else tempfile.mkdtemp(prefix="lvsmesh-topology-")
        self.directory = Path(directory or self._own)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.router = self._host("router", ROUTER)
        self.directors = [self._host(f"d{i + 1}", FIRST_DIRECTOR + i) for i in range(directors)]
        self.reals = [self._host(f"r{i + 1}", FIRST_REAL + i) for i in range(reals)]
        self.clients = [self._client(i) for i in range(clients)]
        self.hosts = [self.router] + self.directors + self.reals + self.clients
        self.routed = []

    @property
    def client(self):
        return self.clients[0]

    @staticmethod
    def vip(family=4, n=0):
        return VIP[family].format(10 + n)

    def _host(self, name, number):
        return Host(name, self.directory, {f: SEGMENT[f].format(number) for f in FAMILIES})

    def _client(self, i):
        """A client has several addresses: `addresses` is {4: [...], 6: [...]}."""
        host = Host(f"c{i + 1}", self.directory)
        host.addresses = {f: [CLIENTS[f].format(FIRST_CLIENT_NET + i, 10 + n)
                              for n in range(CLIENT_ADDRESSES)] for f in FAMILIES}
        host.address = {f: host.addresses[f][0] for f in FAMILIES}
        return host

    def __enter__(self):
        return self.open()

    def __exit__(self, *failure):
        self.close()

    def open(self):
        try:
            _ip_batch([f"netns add {host.name}" for host in self.hosts])
            self._sysctls()
            self._links()
            self._router_up()
            for i, client in enumerate(self.clients):
                self._client_up(client, FIRST_CLIENT_NET + i)
            for director in self.directors:
                self._director_up(director)
            for real in self.reals:
                self._real_up(real)
            self.route(self.directors)
            self._neighbours()
            if "LVSMESH_CAPTURE" in os.environ:
                for director in self.directors:
                    director.capture()
        except BaseException:
            self.close()
            raise
        return self

    def close(self):
        for host in self.hosts:
            host.kill_all()
        _ip_batch([f"netns del {h.name}" for h in self.hosts if Path("/run/netns", h.name).exists()])
        if self._own:
            shutil.rmtree(self._own, ignore_errors=True)

    # Construction

    def _sysctls(self):
        """Before there are interfaces: what is `default` now is theirs then."""
        for host in [self.router] + self.reals + self.clients:
            host.sysctl(**QUIET)
        for director in self.directors:
            self._director_sysctls(director)
        self.router.sysctl(**FORWARDS)
        for real in self.reals:
            real.sysctl(**NO_ARP_FOR_VIPS)
        self.router.sysctl(net__ipv4__fib_multipath_hash_policy=1,
                           net__ipv6__fib_multipath_hash_policy=1)
        for client in self.clients:
            # Many connections from one address: all its ports, and none blocked by TIME_WAIT.
            client.sysctl(net__ipv4__ip_local_port_range="1024 65535", net__ipv4__tcp_tw_reuse=1)

    @staticmethod
    def _director_sysctls(director):
        director.sysctl(**QUIET, **FORWARDS, **NO_ARP_FOR_VIPS)

    def _links(self):
        """Every host's eth0, with its other end on the router."""
        _ip_batch([_link(host) for host in self.hosts if host is not self.router])

    def _router_up(self):
        lines = [f"link add lan address {mac_of(self.router)} type bridge mcast_snooping 0",
                 "link set lo up", "link set lan up"]
        for host in self.directors + self.reals:
            lines += [f"link set {host.name} master lan", f"link set {host.name} up"]
        lines += [f"address add {self.router.address[f]}/{PREFIX[f]} dev lan" for f in FAMILIES]
        lines += [f"route add unreachable {VIP_NET[f]} metric 9999" for f in FAMILIES]
        for i, client in enumerate(self.clients):
            lines.append(f"link set {client.name} up")
            lines += [f"address add {CLIENTS[f].format(FIRST_CLIENT_NET + i, 1)}/{PREFIX[f]} "
                      f"dev {client.name}" for f in FAMILIES]
        self.router.ip(*lines)

    def _client_up(self, client, net):
        lines = ["link set lo up", "link set eth0 up"]
        for family in FAMILIES:
            lines += [f"address add {a}/{PREFIX[family]} dev eth0" for a in client.addresses[family]]
            lines.append(f"route add {ANY[family]} via {CLIENTS[family].format(net, 1)}")
        client.ip(*lines)

    def _director_up(self, director):
        self._segment_up(director)
        director.ip(*_defaults(self.router))

    def _real_up(self, real):
        self._segment_up(real)
        if self.forwarding == "nat":
            real.ip(*_defaults(self.directors[0]))
            return
        lines = _defaults(self.router) + self._vip_lines("lo")
        if self.forwarding == "tunnel":
            subprocess.run(["modprobe", "-a", "ipip", "ip6_tunnel"], check=True)
            lines += ["link set tunl0 up", "link set ip6tnl0 up"]
        real.ip(*lines)

    def _segment_up(self, host):
        host.ip("link set lo up", "link set eth0 up",
                *[f"address add {host.address[f]}/{PREFIX[f]} dev eth0" for f in FAMILIES])

    def _vip_lines(self, interface):
        return [f"address add {self.vip(f, n)}/{HOST_PREFIX[f]} dev {interface}"
                for f in FAMILIES for n in range(self.vips)]

    def _neighbours(self, hosts=None):
        """Everyone on the segment knows everyone's address: no packet ever waits for ARP."""
        segment = [self.router] + self.directors + self.reals
        for host in hosts or segment:
            self._neighbours_of(host, segment)

    @staticmethod
    def _neighbours_of(host, segment):
        interface = "lan" if host.name == "router" else "eth0"
        host.ip(*[f"neighbour replace {other.address[f]} lladdr {mac_of(other)} nud permanent "
                  f"dev {interface}" for other in segment if other is not host for f in FAMILIES])

    # What scenarios do

    def add_vips(self, director, interface="vip"):
        """Puts the VIPs on a director, for scenarios without lvsmeshd (which does it itself)."""
        director.ip(f"link add {interface} type dummy", f"link set {interface} up",
                    *self._vip_lines(interface))

    def route(self, directors):
        """The router sends the VIPs' traffic to these directors, and rehashes."""
        self.routed = list(directors)
        for family in FAMILIES:
            self._route_family(family)

    def nat_gateway(self, director):
        """The real servers' answers go through this director (forwarding nat)."""
        for real in self.reals:
            real.ip(*_defaults(director))

    def kill(self, director, reroute=True):
        """The director dies: its link, its lvsmeshd by SIGKILL; the router rehashes, unless told not to. Nothing that
        waited to be sent gets out."""
        self.link(director, False)
        for process in director.processes:
            if Path(process.argv[0]).name == "lvsmeshd":
                process.kill()
        if reroute:
            self.route([d for d in self.routed if d is not director])

    def link(self, host, up):
        self.router.set_link(host.name, up)
        host.up = up

    def cut(self, *sides, only=""):
        """What these groups of hosts on the segment send one another is lost from one moment to the next (or
        `only` what these words of nft's name). The router and everybody else reach all of them. No sides: what
        was cut is whole again."""
        rules = [f"iifname {{{_names(a)}}} oifname {{{_names(b)}}} {only} drop"
                 for a in sides for b in sides if a is not b]
        table = "add table bridge cut\ndelete table bridge cut\n"
        if rules:
            chain = "; ".join(["type filter hook forward priority 0", *rules])
            table += f"table bridge cut {{ chain forward {{ {chain}; }}; }}\n"
        self.router.run(["nft", "-f", "-"], text=table)

    def revive(self, director, reroute=True):
        """The link is back, and the router uses the director again. Its lvsmeshd is the caller's to start."""
        self.link(director, True)
        # The kernel tells of a carrier that came back up to a second later.
        wait_for(lambda: _reaches(director, self.router.address[4]), 5, f"link of {director.name}")
        if reroute:
            self.route([d for d in self.directors if d in self.routed or d is director])

    def reboot(self, director):
        """A director that died starts with an empty kernel: no IPVS, no connections, nothing runs."""
        director.kill_all()
        director.processes.clear()
        self.router.ip(f"link delete {director.name}")
        _ip_batch([f"netns delete {director.name}", f"netns add {director.name}", _link(director)])
        self._director_sysctls(director)
        self.router.ip(f"link set {director.name} master lan", f"link set {director.name} up")
        self._director_up(director)
        self._neighbours([director])
        director.up = True

    def _route_family(self, family):
        group, route = 600 + family, f"route replace {VIP_NET[family]}"
        lines = []
        if not self.routed:
            lines.append(f"route del {VIP_NET[family]} metric 1")
        elif self.resilient:
            for d in self.directors:
                lines.append(f"nexthop replace id {_nexthop(self, d, family)} "
                             f"via {d.address[family]} dev lan")
            members = "/".join(str(_nexthop(self, d, family)) for d in self.routed)
            lines += [f"nexthop replace id {group} group {members} type resilient buckets 256 "
                      "idle_timer 1 unbalanced_timer 2", f"{route} nhid {group} metric 1"]
        else:
            hops = " ".join(f"nexthop via {d.address[family]} dev lan" for d in self.routed)
            lines.append(f"{route} metric 1 {hops}")
        self.router.ip(*lines)

    def collect(self, directory):
        """Copies all logs and captures, and what the hosts' kernels say, to a directory."""
        directory = Path(directory)
        directory.mkdir(parents=True, exist_ok=True)
        for file in self.directory.iterdir():
            if file.is_file():
                shutil.copy(file, directory)
        for host in self.hosts:
            commands = ["ip address", "ip -4 route", "ip -6 route", "ip neighbour", "ss -tan"]
            if host in self.directors:
                commands += ["ipvsadm -Ln", "ipvsadm -Ln --stats", "ipvsadm -Lcn", "ipvsadm -L --daemon",
                             "sysctl net.ipv4.vs"]
            text = "".join(f"# {c}\n{host.run(c, check=False)}\n" for c in commands)
            (directory / f"{host.name}.state").write_text(text)


def _link(host):
    return (f"link add name {host.name} netns router type veth peer name eth0 address {mac_of(host)} "
            f"netns {host.name}")


def _names(hosts):
    return ", ".join(host.name for host in hosts)


def _defaults(gateway):
    return [f"route replace {ANY[f]} via {gateway.address[f]}" for f in FAMILIES]


def _nexthop(topology, director, family):
    return family * 100 + topology.directors.index(director)


def mac_of(host):
    """Of the interface on the segment; made from the host's number, so that it is known before."""
    last = host.address[4].split(".")[-1]
    kind = "c" if host.name.startswith("c") else "a"
    return f"02:00:00:00:0{kind}:{int(last):02x}"


def _reaches(host, address):
    """True if an answer comes back: a refusal, since nothing listens there."""
    with host.entered():
        try:
            socket.create_connection((address, 9), timeout=0.2).close()
        except ConnectionRefusedError:
            return True
        except OSError:
            return False
    return True


def settle():
    """Returns when the namespaces that were deleted are gone, which takes a while when they are full of connections:
    loading a module that has something in every namespace waits for it. Where the kernel is the host's, and so are its
    modules, this waits for nothing."""
    if os.environ["LVSMESH_IN_LAB"] != "host":
        subprocess.run("modprobe ip_vs_ftp && rmmod ip_vs_ftp", shell=True, check=True)


def _ip_batch(lines):
    if lines:
        subprocess.run(["ip", "-batch", "-"], input="\n".join(lines) + "\n", text=True, check=True)
