"""The operator's settings: made once, on any director, for all; they win over file and checks until `reset`."""

import time

import pytest

from lab import health, pace
from lab.cluster import PORT
from lab.host import wait_for
from lab.tools import connect, endpoint, program, serve

WITHIN_S = 1


def set_(w, director, real, *words):
    since = time.monotonic()
    w.cluster.lvsmesh(director, "set", w.cluster.services[0]["name"], w.endpoint(real), *words)
    return since


def everywhere(w, since, real, weight):
    when = w.wait(since, real, weight, deadline=pace.scaled(5))
    assert max(when.values()) - since <= pace.scaled(WITHIN_S), {d: round(at - since, 3) for d, at in when.items()}


def all_have(w, real, weight):
    key = w.cluster.services[0]["address"], w.endpoint(real)
    return all(health.weights(d).get(key) == weight for d in w.t.directors)


def test_settings(tended):
    w = tended(scheduler="wrr")
    d1, d2, d3 = w.t.directors
    everywhere(w, set_(w, d1, "r1", "weight", 5), "r1", 5)
    everywhere(w, set_(w, d2, "r1", "drain"), "r1", 0)
    everywhere(w, set_(w, d3, "r1", "up"), "r1", 1)
    everywhere(w, set_(w, d1, "r1", "maintenance"), "r1", 0)
    everywhere(w, set_(w, d2, "r1", "reset"), "r1", 1)


def test_up_wins_over_the_checks(tended):
    w = tended()
    since = w.reals["r1"].kill()
    w.taken_out(since, "r1")
    everywhere(w, set_(w, w.t.directors[0], "r1", "up"), "r1", 1)
    everywhere(w, set_(w, w.t.directors[1], "r1", "reset"), "r1", 0)


def test_drained_is_not_undrained_by_a_check(tended):
    w = tended()
    since = set_(w, w.t.directors[0], "r1", "drain")
    everywhere(w, since, "r1", 0)
    w.reals["r1"].be("status 503")
    time.sleep(pace.scaled(health.detection(w.check)))
    w.reals["r1"].be("up")
    time.sleep(pace.scaled(health.detection(w.check)))
    assert not [c for c in w.watch.since(since) if c[3] not in (0, None)]


def test_survive(tended):
    """Restarts of all directors one by one, a reload on each, and a reboot of one."""
    w = tended(scheduler="wrr")
    everywhere(w, set_(w, w.t.directors[0], "r1", "weight", 7), "r1", 7)
    everywhere(w, set_(w, w.t.directors[1], "r2", "drain"), "r2", 0)
    since = time.monotonic()
    for director in w.t.directors:
        w.cluster.lvsmesh(director, "reload")
    for director in w.t.directors:
        w.cluster.stop_daemon(director)
        w.cluster.start_director(director)
        w.cluster.wait_ready([director])
    time.sleep(pace.scaled(2))
    assert all_have(w, "r1", 7) and all_have(w, "r2", 0)
    w.unchanged(since)
    rebooted = w.t.directors[2]
    w.cluster.fail(rebooted)
    w.cluster.revive(rebooted, empty=True)
    assert all_have(w, "r1", 7) and all_have(w, "r2", 0)
    everywhere(w, set_(w, rebooted, "r1", "reset"), "r1", 1)


def test_survive_the_whole_cluster(tended):
    """All at once: nobody is left who could tell."""
    w = tended(directors=2, scheduler="wrr")
    everywhere(w, set_(w, w.t.directors[0], "r1", "weight", 7), "r1", 7)
    for director in w.t.directors:
        w.cluster.kill_daemon(director)
    w.cluster.start()
    time.sleep(pace.scaled(2))
    assert all_have(w, "r1", 7)


def test_drain_wait(tended):
    """It ends when the last connection is gone, and not before."""
    w = tended(directors=2, port=81)
    for real in w.t.reals:
        serve(real, 81)
    client = connect(w.t.client, endpoint(w.t.vip(4), 81), 8, sources=w.t.client.addresses[4])
    client.wait_event("open", 15, 8)
    w.cluster.wait_replicated(8)
    for one in w.t.directors:  # usually a connection that ended is kept for two minutes
        one.run("ipvsadm --set 0 2 0")
    director = w.t.directors[0]
    real = w.endpoint("r1")
    waiting = director.start([program("lvsmesh"), "drain", real, "--wait", "--control", w.cluster.control(director)], name="drain")
    wait_for(lambda: all(health.weights(d)[endpoint(w.t.vip(4), 81), real] == 0 for d in w.t.directors), 5, "drained")
    time.sleep(pace.scaled(2))
    assert waiting.running()
    client.stop()
    assert wait_for(lambda: not waiting.running() and (waiting.popen.returncode,), 30, "no connection is left") == (0,)


def test_refused(tended):
    w = tended(directors=1, reals=1)
    since = time.monotonic()
    service, real = w.cluster.services[0]["name"], w.endpoint("r1")
    for words in ((service, real, "weight"), (service, real, "weight", 65536), (service, real, "weight", "x"), (service, real, "sideways"),
                  (service, real, "drain", 7), (service, endpoint("10.9.9.9", PORT), "drain"), ("nobody", real, "drain"), (service, real)):
        with pytest.raises(AssertionError, match="lvsmesh"):
            w.cluster.lvsmesh(w.t.directors[0], "set", *words)
    w.unchanged(since)
