"""What follows from a verdict, as the service's policy says."""

import time

import pytest

from lab import health, pace
from lab.cluster import PORT, events, kernel_table
from lab.health import CHECK, Asking
from lab.host import wait_for
from lab.tools import check, connect, endpoint, serve


def have_vip(w):
    """The directors that have the VIP."""
    return {d.name for d in w.t.directors if f"{w.t.vip(4)}/32" in d.run("ip -4 address show dev lvsmesh-vip", check=False)}


def kill_all(w, *names):
    """One at once after another, and when the last one was."""
    return [w.reals[name].kill() for name in names or w.reals][-1]


@pytest.mark.parametrize("on_down, weight", [("weight-zero", 0), ("remove", None)])
def test_on_down(tended, on_down, weight):
    w = tended(**{"on-down": on_down})
    since = w.reals["r1"].kill()
    w.not_asked(w.taken_out(since, "r1", weight), "r1")
    back = time.monotonic()
    w.reals["r1"].start()
    w.asked_again(back, "r1")


@pytest.mark.parametrize("policy", ["forward", "refuse"])
def test_all_down(tended, policy):
    """All are kept, or none."""
    w = tended(**{"when-all-down": policy, "panic-threshold": "off"})
    since = kill_all(w)
    wait_for(lambda: all(events(w.cluster, d, "service-down") for d in w.t.directors), 15, "it is told")
    time.sleep(pace.scaled(1))
    expected = 1 if policy == "forward" else 0
    for director in w.t.directors:
        assert set(health.weights(director).values()) == {expected}, director.name
    back = time.monotonic()
    for real in w.reals.values():
        real.start()
    wait_for(lambda: all(events(w.cluster, d, "service-up") for d in w.t.directors), 15, "it is up")
    wait_for(lambda: all(set(health.weights(d).values()) == {1} for d in w.t.directors), 5, "all weights are back")
    assert back > since


def test_panic(tended):
    """Three of four at once are more than half: all are kept, and it is told."""
    w = tended(**{"panic-threshold": "50%"})
    kill_all(w, "r1", "r2", "r3")
    wait_for(lambda: all(events(w.cluster, d, "panic") for d in w.t.directors), 15, "it is told")
    wait_for(lambda: all(set(health.weights(d).values()) == {1} for d in w.t.directors), 5, "all are kept")
    w.reals["r3"].start()
    # Half of them are not more than half.
    wait_for(lambda: all(sorted(health.weights(d).values()) == [0, 0, 1, 1] for d in w.t.directors), 15, "panic is over")


def test_sorry_server(tended):
    """Its last real server down, a service is the sorry server's; the first one that is up takes it back."""
    w = tended(reals=3, **{"when-all-down": "refuse", "panic-threshold": "off"})
    sorry = endpoint(health.address_of(w.t, "r3"), PORT)
    for service in w.cluster.services:
        service["real-servers"] = service["real-servers"][:2]
        service["sorry-server"] = {"address": sorry}
    for director in w.t.directors:
        w.cluster.write_config(director)
        w.cluster.lvsmesh(director, "reload")
    wait_for(lambda: all(len(health.weights(d)) == 2 for d in w.t.directors), 5, "two real servers")
    since = time.monotonic()
    w.asking.wait_more(since, 20)
    assert w.asking.who(since) == {"r1", "r2"}
    since = kill_all(w, "r1", "r2")
    when = w.wait(since, "r3", 1, deadline=15)
    at = max(when.values()) + 0.05
    w.asking.wait_more(at, 20)
    assert w.asking.who(at) == {"r3"} and not w.asking.failures(at)
    back = time.monotonic()
    w.reals["r2"].start()
    w.asked_again(back, "r2")
    w.wait(back, "r3", None, deadline=5)


def test_quorum(tended):
    """Below it, the VIP of that service alone leaves the interface; it is back at quorum + hysteresis."""
    w = tended(**{"quorum": 2, "quorum-hysteresis": 1, "panic-threshold": "off"})
    every = {d.name for d in w.t.directors}
    assert have_vip(w) == every
    kill_all(w, "r1", "r2")
    w.wait(0, "r2", 0, deadline=15)
    time.sleep(pace.scaled(1))
    assert have_vip(w) == every  # two are left
    w.reals["r3"].kill()
    wait_for(lambda: not have_vip(w), 15, "the VIP is gone everywhere")
    wait_for(lambda: all(events(w.cluster, d, "service-down") for d in w.t.directors), 5, "it is told")
    back = time.monotonic()
    w.reals["r1"].start()
    w.wait(back, "r1", 1, deadline=15)
    time.sleep(pace.scaled(1))
    assert not have_vip(w)  # two again, which is the quorum, and one less than with its hysteresis
    w.reals["r2"].start()
    wait_for(lambda: have_vip(w) == every, 15, "the VIP is back")


def test_quorum_leaves_other_services(tended):
    """Services have VIPs of their own here: only that of the service without quorum goes."""
    w = tended(vips=2, directors=2, **{"panic-threshold": "off", "quorum": 1, "when-all-down": "refuse"})
    w.cluster.services[1].pop("quorum")
    w.cluster.services[1].pop("check")
    for director in w.t.directors:
        w.cluster.write_config(director)
        w.cluster.lvsmesh(director, "reload")
    kill_all(w)
    wait_for(lambda: not have_vip(w), 15, "the VIP is gone")
    for director in w.t.directors:
        assert f"{w.t.vip(4, 1)}/32" in director.run("ip -4 address show dev lvsmesh-vip")


def test_slow_start(tended):
    """The weight of a real server that comes back grows in steps."""
    w = tended(scheduler="wrr", **{"slow-start": "4s"})
    for service in w.cluster.services:
        for real in service["real-servers"]:
            real["weight"] = 100
    for director in w.t.directors:
        w.cluster.write_config(director)
        w.cluster.lvsmesh(director, "reload")
    wait_for(lambda: all(set(health.weights(d).values()) == {100} for d in w.t.directors), 5, "weights of the file")
    since = w.reals["r1"].kill()
    w.taken_out(since, "r1")
    back = time.monotonic()
    w.reals["r1"].start()
    when = w.wait(back, "r1", 100, deadline=20)
    for director in w.t.directors:
        steps = [(at, weight) for at, name, key, weight in w.watch.since(back) if name == director.name and key[1] == w.endpoint("r1")]
        values = [weight for _, weight in steps]
        assert values == sorted(values) and len(values) >= 4 and values[0] <= 40, steps
        took = when[director.name] - steps[0][0]
        assert 2 <= took <= pace.scaled(6), took


@pytest.mark.parametrize("policy", ["keep", "end"])
def test_connections_of_down(tended, policy):
    """A real server's check fails, while it serves on: its connections are kept, or are ended at once."""
    w = tended(port=81, **{"connections-of-down": policy})
    for real in w.t.reals:
        serve(real, 81)
    client = connect(w.t.client, endpoint(w.t.vip(4), 81), 40, sources=w.t.client.addresses[4])
    client.wait_event("open", 15, 40)
    w.cluster.wait_replicated(40)
    theirs = sum(real == (health.address_of(w.t, "r1"), 81) for real, _ in kernel_table(w.t.directors[0]).values())
    assert theirs >= 8
    since = time.monotonic()
    w.reals["r1"].be("status 503")
    w.taken_out(since, "r1")
    time.sleep(pace.scaled(1))
    report = check(client)
    assert report["broken"] == (theirs if policy == "end" else 0), report
    assert report["open"] == 40 - report["broken"]


def test_nobody_asks_a_service_without_checks(tended):
    """No check: the file's weight, whatever happens."""
    w = tended(directors=2)
    for service in w.cluster.services:
        service.pop("check")
    for director in w.t.directors:
        w.cluster.write_config(director)
        w.cluster.lvsmesh(director, "reload")
    since = w.reals["r1"].kill()
    time.sleep(pace.scaled(health.detection(CHECK)) + 1)
    w.unchanged(since)
    assert isinstance(w.asking, Asking) and w.asking.failures(since)
