"""The lab itself: its topologies carry traffic through the kernel's IPVS, and say what broke."""

import os
import subprocess
import time
from pathlib import Path

import pytest

from lab import health, tools
from lab.host import wait_for
from lab.sync import Tun

FLAG = {"direct": "-g", "tunnel": "-i", "nat": "-m"}
PORT = 80
LAB = Path(__file__).resolve().parent


def program_ipvs(t, director, family, scheduler="rr"):
    service = tools.endpoint(t.vip(family), PORT)
    director.run(["ipvsadm", "-A", "-t", service, "-s", scheduler])
    for real in t.reals:
        director.run(["ipvsadm", "-a", "-t", service, FLAG[t.forwarding],
                      "-r", tools.endpoint(real.address[family], PORT)])


def connections(director):
    return len(director.read("/proc/net/ip_vs_conn").splitlines()) - 1


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("forwarding", ["direct", "tunnel", "nat"])
def test_traffic_passes(topology, forwarding, family):
    t = topology(directors=1 if forwarding == "nat" else 3, reals=2, forwarding=forwarding)
    for director in t.directors:
        t.add_vips(director)
        program_ipvs(t, director, family)
    for real in t.reals:
        tools.serve(real, PORT)
    client = tools.connect(t.client, tools.endpoint(t.vip(family), PORT), 60, interval=100,
                           sources=t.client.addresses[family], streams=2, stream_bytes=100000)
    client.wait_event("open", 10, 60)
    client.wait_event("streamed", 10, 2)
    report = tools.check(client)
    assert (report["open"], report["broken"], report["failed"]) == (60, 0, 0)
    assert sum(connections(d) for d in t.directors) == 60
    # The router spreads by ports: each director has its share.
    assert all(connections(d) > 5 for d in t.directors)


@pytest.mark.parametrize("resilient", [False, True])
def test_without_entries_connections_break(topology, resilient):
    """IPVS alone: what the lab must be able to see."""
    t = topology(directors=3, reals=4, resilient=resilient)
    for director in t.directors:
        t.add_vips(director)
        program_ipvs(t, director, 4)
    for real in t.reals:
        tools.serve(real, PORT)
    client = tools.connect(t.client, tools.endpoint(t.vip(4), PORT), 90)
    client.wait_event("open", 10, 90)
    held = {d: connections(d) for d in t.directors}

    t.kill(t.directors[0])
    report = tools.check(client)
    assert report["broken"] >= held[t.directors[0]]
    if resilient:
        assert report["broken"] == held[t.directors[0]]
    assert {e["why"] for e in client.events("broken")} == {"reset"}

    t.revive(t.directors[0])
    again = tools.connect(t.client, tools.endpoint(t.vip(4), PORT), 60)
    again.wait_event("open", 10, 60)
    assert tools.check(again)["broken"] == 0


def test_a_silent_director_is_seen(topology):
    t = topology(directors=1, reals=1)
    t.add_vips(t.directors[0])
    program_ipvs(t, t.directors[0], 6)
    tools.serve(t.reals[0], PORT)
    client = tools.connect(t.client, tools.endpoint(t.vip(6), PORT), 5, interval=50, deadline=300)
    client.wait_event("open", 10, 5)
    t.kill(t.directors[0], reroute=False)
    client.wait_event("broken", 10, 5)
    assert {e["why"] for e in client.events("broken")} == {"silent"}


@pytest.mark.parametrize("family", [4, 6])
def test_lagwatch_sees_both_directions(topology, family):
    t = topology(directors=1, reals=1)
    director = t.directors[0]
    director.sysctl(net__ipv4__vs__sync_threshold="0 0", net__ipv4__vs__sync_refresh_period=10)
    t.add_vips(director)
    program_ipvs(t, director, family)
    tools.serve(t.reals[0], PORT)
    tun = Tun(director)
    tun.start("master")
    watcher = tools.watch(director, tun.name)
    client = tools.connect(t.client, tools.endpoint(t.vip(family), PORT), 1)
    opened = client.wait_event("open")

    out = watcher.wait_event("entry")
    assert (out["direction"], out["caddr"], out["cport"]) == ("out", opened["source"], opened["port"])
    assert (out["daddr"], out["dport"]) == (t.reals[0].address[family], PORT)
    assert 0 < out["at"] - opened["at"] < 5_000_000
    tun.inject(*tun.read_entry(opened["port"], 5))
    back = watcher.wait_event("entry", count=2)
    assert back == dict(out, direction="in", at=back["at"])
    tun.write(b"\0\1\0\2\0")
    watcher.stop()
    end = watcher.events("end")[0]
    assert (end["messages"], end["malformed"], end["dropped"]) == (3, 1, 0)
    tun.close()


def test_nothing_is_left(topology):
    t = topology(directors=1, reals=1)
    tools.serve(t.reals[0], PORT)
    t.close()
    assert subprocess.run(["ip", "netns"], capture_output=True, text=True).stdout == ""
    assert "traffic" not in subprocess.run(["ps", "ax"], capture_output=True, text=True).stdout


def test_wait_for_has_a_deadline():
    with pytest.raises(AssertionError, match="not within 0.1 s: rain"):
        wait_for(lambda: 0, 0.1, "rain")


def test_the_kernel_loads_modules_by_itself(topology):
    """Its own modprobe runs in the first root: that must be ours, whatever modules the host has."""
    if os.environ["LVSMESH_IN_LAB"] == "host":
        pytest.skip("the host's root is the kernel's")
    kernel_thread = 2
    assert os.path.samestat(os.stat(f"/proc/{kernel_thread}/root/"), os.stat("/"))
    t = topology(directors=1, reals=1)
    assert not Path("/sys/module/ip_vs_lblc").exists()
    program_ipvs(t, t.directors[0], 4, "lblc")
    assert Path("/sys/module/ip_vs_lblc").exists()


HARMS = ["echo /bin/false >/proc/sys/kernel/modprobe", "sysctl -w vm.swappiness=7", "rmmod ip_vs_mh", "modprobe ip_vs_lblcr",
         "date -s @0", "echo h >/proc/sysrq-trigger", "echo 1 >/sys/module/printk/parameters/time"]


@pytest.mark.skipif(os.environ.get("LVSMESH_IN_LAB") == "host", reason="this is about a lab in this lab")
def test_the_lab_on_the_hosts_kernel_harms_nothing(topology):
    """This kernel plays the host. Each of these would change it for all."""
    topology(directors=1, reals=0)
    settings = Path("/proc/sys/kernel/modprobe").read_text(), Path("/proc/sys/vm/swappiness").read_text()
    before = time.time()
    script = "".join(f"({harm}) >/dev/null 2>&1 && echo 'done: {harm}'\n" for harm in HARMS)
    script += "sysctl -qw net.ipv4.ip_forward=1 && ip netns add one && ip netns exec one true && echo works"
    lab = subprocess.run([LAB / "run-in-kernel", "-t", "60", "bash", "-c", script], capture_output=True, text=True,
                         env={**os.environ, "LVSMESH_LAB": "host"})
    assert (lab.stdout, lab.returncode) == ("works\n", 0), lab.stderr
    assert settings == (Path("/proc/sys/kernel/modprobe").read_text(), Path("/proc/sys/vm/swappiness").read_text())
    assert time.time() > before and Path("/sys/module/ip_vs_mh").exists() and Path("/run/netns/d1").exists()


@pytest.mark.skipif(os.environ.get("LVSMESH_IN_LAB") == "host", reason="this is about a lab in this lab")
def test_scenarios_that_need_their_own_kernel_leave_the_hosts(tmp_path):
    pytest_there = ["/usr/bin/python3", "-m", "pytest", "-p", "no:cacheprovider", f"--basetemp={tmp_path}/there", "-q", "-rs",
                    LAB / "test_modules.py"]
    lab = subprocess.run([LAB / "run-in-kernel", "-t", "60", *pytest_there], capture_output=True, text=True,
                         env={**os.environ, "LVSMESH_LAB": "host"})
    assert "2 skipped" in lab.stdout and "needs a kernel of its own" in lab.stdout, lab.stdout + lab.stderr


def test_a_real_server_fails_as_told(topology):
    t = topology(directors=1, reals=2)
    director, = t.directors
    t.add_vips(director)
    program_ipvs(t, director, 4)
    reals = health.start_reals(t, PORT)
    asking = health.Asking(t.client, t.vip(4), PORT, interval_ms=20, deadline_ms=500)
    asking.wait_more(0, 20)
    assert asking.who(0) == {"r1", "r2"} and not asking.failures()
    for mode, outcome in (("refuse", "refused"), ("hang", "timeout"), ("mute", "timeout"), ("reset", "reset"),
                          ("status 503", 503), ("drip 100", "timeout")):
        since = time.monotonic()
        reals["r1"].be(mode)
        asking.wait_more(since + 0.1, 20)
        assert {e.get("why", e.get("status")) for e in asking.failures(since + 0.1)} == {outcome}, mode
        reals["r1"].be("up")
        since = time.monotonic()
        asking.wait_more(since + 0.1, 10)
        assert asking.who(since + 0.1) == {"r1", "r2"} and not asking.failures(since + 0.1), mode
    since = reals["r1"].kill()
    asking.wait_more(since + 0.1, 10)
    assert {e["why"] for e in asking.failures(since + 0.1)} == {"refused"}


@pytest.mark.parametrize("family", [4, 6])
def test_weights_are_watched(topology, family):
    t = topology(directors=2, reals=2)
    service, real = (tools.endpoint(a, PORT) for a in (t.vip(family), t.reals[0].address[family]))
    for director in t.directors:
        program_ipvs(t, director, family)
    with health.watched(t.directors) as watch:
        since = time.monotonic()
        for weight in (0, 7):
            for director in t.directors:
                director.run(["ipvsadm", "-e", "-t", service, "-r", real, "-g", "-w", weight])
            when = watch.wait(since, real, weight)
            assert all(since < at < time.monotonic() for at in when.values())
        t.directors[0].run(["ipvsadm", "-d", "-t", service, "-r", real])
        watch.wait(since, real, None, directors=t.directors[:1])
    assert [(d, key, weight) for _, d, key, weight in watch.changes if d == "d1"] == [
        ("d1", (service, real), weight) for weight in (0, 7, None)]
    assert health.weights(t.directors[1]) == {(service, tools.endpoint(r.address[family], PORT)): w
                                              for r, w in zip(t.reals, (7, 1))}
