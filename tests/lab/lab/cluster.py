"""A cluster of directors over a topology, in one of three modes:

    lvsmesh      lvsmeshd on every director
    kernel-sync  IPVS, and between the directors the kernel's own sync daemon
    ipvs         IPVS alone: every director knows only what it has seen itself

Scenarios, benches and the demo do the same things to all three; what a mode does not have (a daemon, its
status) is None or done already.
"""

import datetime
import json
import shutil
import time
from pathlib import Path

from .host import wait_for
from .tools import endpoint, program
from .topology import FAMILIES

MODES = ("lvsmesh", "kernel-sync", "ipvs")
PORT = 80
CLUSTER_PORT = 7946
TAP = "lvsmesh-tap"
TAP_NET = "169.254.117."
SYNC_ID = 7

_FORWARDING = {"direct": "-g", "tunnel": "-i", "nat": "-m"}
_PROTOCOL = {"tcp": "-t", "udp": "-u", "sctp": "--sctp-service"}


def services(topology, families=FAMILIES, port=PORT, **options):
    """A service for each VIP and family, with all real servers; options: keys of the configuration."""
    return [{"name": f"web{family}-{n}", "address": endpoint(topology.vip(family, n), port),
             "forwarding": topology.forwarding, **{"scheduler": "rr", **options},
             "real-servers": [{"address": endpoint(real.address[family], port)} for real in topology.reals]}
            for family in families for n in range(topology.vips)]


def many_services(count, reals, weight=100):
    """Services without traffic, each of an address of its own."""
    return [{"name": f"s{i}", "address": endpoint(f"203.0.{i // 250}.{i % 250 + 1}", PORT), "scheduler": "rr",
             "real-servers": [{"address": endpoint(f"10.{20 + i % 100}.{j // 250}.{j % 250 + 1}", PORT), "weight": weight}
                              for j in range(reals)]} for i in range(count)]


def kernel_table(director):
    """{flow: (real server, state)} of a director's kernel, a flow being (protocol, client, VIP); templates
    and the probe service's own connection are left out."""
    return {flow: what for flow, what in _entries(director) if flow[1][1]}


def kernel_templates(director):
    """The same of persistence templates, which have no client port."""
    return {flow: what for flow, what in _entries(director) if not flow[1][1]}


def _entries(director):
    for line in director.read("/proc/net/ip_vs_conn").splitlines()[1:]:
        w = line.split()
        flow = (w[0], (_address(w[1]), int(w[2], 16)), (_address(w[3]), int(w[4], 16)))
        if not flow[2][0].startswith(TAP_NET):
            yield flow, ((_address(w[5]), int(w[6], 16)), w[7])


def _address(text):
    """IPv4 addresses are written there in hexadecimal, IPv6 ones in full."""
    if len(text) != 8:
        return text.strip("[]")
    return ".".join(str(int(text[i:i + 2], 16)) for i in range(0, 8, 2))


def events(cluster, director, *names, subject=None):
    """What a director has told, oldest first."""
    listed = cluster.lvsmesh(director, "events", "--json")["events"]
    return [e for e in listed if (not names or e["event"] in names) and subject in (None, e["subject"])]


def told_at(event):
    """s of CLOCK_REALTIME."""
    return datetime.datetime.fromisoformat(event["time"].replace("Z", "+00:00")).timestamp()


def members(cluster, director):
    """{name: member}."""
    return {m["name"]: m for m in cluster.lvsmesh(director, "members", "--json")["members"]}


def all_alive(cluster, directors):
    """True if each of them sees all directors alive."""
    for director in directors:
        seen = members(cluster, director)
        if any(d.name not in seen or seen[d.name]["state"] != "alive" for d in cluster.directors):
            return False
    return True


class Cluster:
    """services: what the configuration says under that name; the function above makes the usual ones."""

    def __init__(self, topology, mode="lvsmesh", services=None, **options):
        assert mode in MODES
        self.topology = topology
        self.mode = mode
        self.services = globals()["services"](topology, **options) if services is None else services
        self.daemons = {}
        self.programs = {}  # of a director; else lvsmeshd
        self._files = {}
        if mode == "lvsmesh":
            self._make_identities()

    @property
    def directors(self):
        return self.topology.directors

    # Life of the directors

    def start(self, directors=None, deadline=20):
        """Starts them all at once; all of them take traffic when this returns."""
        directors = self.directors if directors is None else directors
        for director in directors:
            self.start_director(director)
        self.wait_ready(directors, deadline)
        return self

    def start_director(self, director, membership=None, **changed):
        """membership, changed: as in write_config()."""
        if self.mode == "lvsmesh":
            self.write_config(director, membership, **changed)
            daemon = program(self.programs.get(director, "lvsmeshd"))
            self.daemons[director] = director.start([daemon, "-c", self.config(director)], name="lvsmeshd")
            return
        self.topology.add_vips(director)
        director.run(["ipvsadm", "-R"], text=self._rules())
        if self.mode == "kernel-sync":
            # The settings under which it tells of a connection first.
            director.sysctl(net__ipv4__vs__sync_threshold="0\t0", net__ipv4__vs__sync_refresh_period=10)
            for role in ("master", "backup"):
                director.run(f"ipvsadm --start-daemon {role} --mcast-interface eth0 --syncid {SYNC_ID}")

    def stop_daemon(self, director, deadline=10):
        """lvsmeshd ends as asked; its exit status."""
        return self.daemons.pop(director).stop(deadline)

    def kill_daemon(self, director):
        self.daemons.pop(director).kill()

    def fail(self, director):
        """The director dies: its link, then its daemon by SIGKILL; when it is dead the others get its traffic.
        Returns when it died, in us of CLOCK_REALTIME."""
        t = self.topology
        died = time.time_ns() // 1000
        t.kill(director, reroute=False)
        self.daemons.pop(director, None)
        t.route([d for d in t.routed if d is not director] or [d for d in t.directors if d.up])
        if t.forwarding == "nat":
            t.nat_gateway(t.routed[0])
        return died

    def revive(self, director, empty=False, reroute=True, deadline=20):
        """The director is back and gets traffic when it is ready; `empty`: rebooted, its kernel's tables are
        empty. With IPVS alone its services are still there unless it was rebooted."""
        if empty:
            self.topology.reboot(director)
        else:
            self.topology.revive(director, reroute=False)
        if self.mode == "lvsmesh" or empty:
            self.start_director(director)
            self.wait_ready([director], deadline)
        if reroute:
            t = self.topology
            t.route([d for d in t.directors if d in t.routed or d is director])

    # lvsmeshd

    def config(self, director):
        """Its configuration file."""
        return self._files[director] / "lvsmesh.yaml"

    def control(self, director):
        return self._files[director] / "control"

    def state(self, director):
        """The directory of what it keeps."""
        return self._files[director] / "state"

    def write_config(self, director, membership=None, **changed):
        """JSON is YAML too. membership: keys of the section `cluster`, changed: top-level keys, that are other than
        usual."""
        own = self._files[director]
        settings = {
            "node": {"name": director.name, "identity": str(own / "identity"), "state": str(own / "state")},
            "cluster": {"listen": [endpoint(director.address[4], CLUSTER_PORT)],
                        "join": [endpoint(d.address[4], CLUSTER_PORT) for d in self.directors
                                 if d is not director], **(membership or {})},
            "control": str(self.control(director)),
            "services": self.services,
        }
        self.config(director).write_text(json.dumps({**settings, **changed}, indent=2) + "\n")

    def lvsmesh(self, director, *words, check=True):
        """Runs the operator's command; with --json, what it said, or None if the daemon does not run."""
        said = director.run([program("lvsmesh"), *words, "--control", self.control(director)], check=check)
        if "--json" not in words:
            return said
        return json.loads(said) if said.startswith(("{", "[")) else None

    def status(self, director):
        """`lvsmesh status --json`; None if there is no daemon. A director with problems answers too."""
        if self.mode != "lvsmesh":
            return None
        return self.lvsmesh(director, "status", "--json", check=False)

    def ready(self, director):
        if self.mode != "lvsmesh":
            return True
        daemon = self.daemons[director]
        assert daemon.running(), f"{daemon} ended: {daemon.errors()}"
        status = self.status(director)
        return bool(status and status["ready"] and status["announcing"])

    def wait_ready(self, directors=None, deadline=20):
        for director in self.directors if directors is None else directors:
            wait_for(lambda d=director: self.ready(d), deadline, f"{director.name} ready", interval=0.05)

    # Entries

    def alive(self):
        return [d for d in self.directors if d.up]

    def entries_everywhere(self, count=None, state="ESTABLISHED"):
        """True if every director that is alive has all entries that any of them has in `state` (at least
        `count`), with the same real server."""
        tables = [{flow: real for flow, (real, its) in kernel_table(d).items() if state in (None, its)}
                  for d in self.alive()]
        union = {}
        for table in tables:
            union.update(table)
        return len(union) >= (count or 0) and all(table == union for table in tables)

    def wait_replicated(self, count=None, deadline=10):
        wait_for(lambda: self.entries_everywhere(count), deadline, "entries everywhere", interval=0.05)

    # Construction

    def _make_identities(self):
        """The cluster's key, and for each director its identity, in d1/, d2/ ..."""
        keys = self.topology.directory / "keys"
        router = self.topology.router
        router.run([program("lvsmesh"), "keygen", "cluster", keys])
        for director in self.directors:
            own = self.topology.directory / director.name
            shutil.rmtree(own, ignore_errors=True)
            (own / "state").mkdir(parents=True)
            router.run([program("lvsmesh"), "keygen", "node", director.name, "--cluster", keys,
                        "--address", director.address[4], "--output", own / "identity"])
            self._files[director] = own

    def _rules(self):
        """The services in the language of `ipvsadm -R`."""
        lines = []
        for s in self.services:
            if "fwmark" in s:
                six = ":" in s["real-servers"][0]["address"]
                service = f"-f {s['fwmark']}" + (" -6" if six else "")
            else:
                service = f"{_PROTOCOL[s.get('protocol', 'tcp')]} {s['address']}"
            more = f" -p {s['persistence'].rstrip('s')}" if "persistence" in s else ""
            more += f" -b {','.join(s['scheduler-flags'])}" if "scheduler-flags" in s else ""
            lines.append(f"-A {service} -s {s['scheduler']}{more}")
            lines += [f"-a {service} -r {real['address']} {_FORWARDING[s['forwarding']]} "
                      f"-w {real.get('weight', 1)}" for real in s["real-servers"]]
        return "\n".join(lines) + "\n"
