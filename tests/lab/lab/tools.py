"""Where the built programs and the results are, and how the lab's own programs are started."""

import os
from pathlib import Path

from . import pace
from .topology import mac_of

ROOT = Path(__file__).resolve().parents[3]


def build_directory():
    return Path(os.environ.get("LVSMESH_BUILD", ROOT / "build-lab")).absolute()


def results_directory():
    """What lasts of a run inside the lab."""
    return Path(os.environ.get("LVSMESH_RESULTS", "/tmp/lvsmesh-results")).absolute()


def program(name):
    """A built program: lvsmeshd, lvsmesh, traffic, lagwatch."""
    own = ("kernel_model", "traffic", "lagwatch", "ipvs_probe", "lvsmeshd_next", "member", "storm", "strangers", "insider", "liar")
    folder = "tests/lab/tools" if name in own else "director"
    return build_directory() / folder / name


def serve(host, *ports):
    """Starts a traffic server; it is ready when this returns."""
    server = host.start([program("traffic"), "server", *ports], name="server")
    server.wait_event("ready")
    return server


def connect(host, to, count, sources=(), **options):
    """Starts a traffic client. options: rate, interval, deadline (ms; usually 5 s of pace), streams, stream_bytes,
    stream_rate."""
    options.setdefault("deadline", int(pace.scaled(5000)))
    argv = [program("traffic"), "client", "--to", to, "--count", count]
    for source in sources:
        argv += ["--source", source]
    for name, value in options.items():
        argv += ["--" + name.replace("_", "-"), value]
    return host.start(argv, name="client")


def watch(host, interface, *options):
    """Starts lagwatch. It is often late itself, but its stamps are the kernel's."""
    watcher = host.start([program("lagwatch"), *options, interface], name=f"lagwatch-{interface}")
    watcher.wait_event("ready")
    return watcher


def storm(topology, director, port, count, *options):
    """Starts a flood of first packets of clients that do not exist, to a director's port (IPv4), as from its router.
    What the real servers would answer is lost. options: --rate, --udp."""
    for real in topology.reals:
        real.ip("route replace blackhole 198.18.0.0/15")
    argv = ["--interface", director.name, "--to-mac", mac_of(director), "--to", topology.vip(4), "--port", port,
            "--count", count, *options]
    sender = topology.router.start([program("storm"), *argv], name="storm")
    sender.wait_event("began")
    return sender


def check(client, deadline=30):
    """Sends a message on all of a client's connections; its report when all answered or broke."""
    count = len(client.events("checked"))
    client.tell("check")
    return client.wait_event("checked", deadline, count + 1)


def endpoint(address, port):
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
