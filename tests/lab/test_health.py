"""A real server that fails gets no more new connections, on any director, within its checks' time; it comes back by
itself."""

import time

import pytest

from lab import health, pace
from lab.cluster import events
from lab.health import CHECK
from lab.host import wait_for

TCP = {key: value for key, value in {**CHECK, "type": "tcp"}.items() if key != "path"}


@pytest.mark.parametrize("check, family", [(TCP, 4), (CHECK, 6)], ids=["tcp", "http-ipv6"])
def test_killed(tended, check, family):
    w = tended(check=check, family=family)
    since = w.reals["r1"].kill()
    w.not_asked(w.taken_out(since, "r1"), "r1")
    event = wait_for(lambda: events(w.cluster, w.t.directors[1], "real-server-down"), 5, "it is told")[0]
    assert w.endpoint("r1") in event["message"]
    back = time.monotonic()
    w.reals["r1"].start()
    w.asked_again(back, "r1")
    w.unchanged(since, "r1")
    wait_for(lambda: events(w.cluster, w.t.directors[1], "real-server-up"), 5, "it is told")


def test_fails_in_every_way(tended):
    """Two at once: that is not more than half of them."""
    w = tended()
    began = time.monotonic()
    for modes in (("hang", "silent"), ("mute", "reset"), ("status 503", "freeze"), ("slow 2000", "drip 100"), ("get /other", "refuse")):
        since = time.monotonic()
        for name, mode in zip(("r2", "r4"), modes):
            health.fail(w.t, w.reals[name], mode)
        out = max(w.taken_out(since, name) for name in ("r2", "r4"))
        w.asking.wait_more(out + 0.05, 40)
        assert w.asking.who(out + 0.05) == {"r1", "r3"} and not w.asking.failures(out + 0.05), modes
        back = time.monotonic()
        for name, mode in zip(("r2", "r4"), modes):
            health.mend(w.t, w.reals[name], mode)
        for name in ("r2", "r4"):
            w.wait(back, name, 1, deadline=15)
    w.unchanged(began, "r2", "r4")


def test_a_lost_answer_is_nothing(tended):
    """Less than `fall` failures in a row change nothing."""
    w = tended()
    since = time.monotonic()
    for _ in range(2):
        w.reals["r1"].be("status 503")
        time.sleep(0.35)
        w.reals["r1"].be("up")
        time.sleep(1)
    w.unchanged(since)


@pytest.mark.parametrize("forwarding, fault, family", [("direct", "vip", 6), ("tunnel", "vip", 4), ("tunnel", "tunnel", 6)])
def test_forwarding_path(tended, forwarding, fault, family):
    """A real server that answers on its own address, but does not get what the directors forward, is found."""
    w = tended(forwarding=forwarding, family=family, check={**CHECK, "via": "forwarding"})
    since, real = time.monotonic(), w.reals["r3"]
    if fault == "vip":
        real.lose_vip(w.t.vip(family))
    else:
        real.lose_tunnel()
    w.not_asked(w.taken_out(since, "r3"), "r3")
    w.unchanged(since, "r3")


def test_own_check(tended):
    """A real server may be checked in another way than the others of its service: here, on another port."""
    w = tended(directors=2)
    extra = health.Real(w.t.reals[0], 8080)
    for service in w.cluster.services:
        service["real-servers"][0]["check"] = {"type": "http", "port": 8080}
    for director in w.t.directors:
        w.cluster.write_config(director)
        w.cluster.lvsmesh(director, "reload")
    since = time.monotonic()
    w.reals["r1"].be("get /")  # its usual check would fail
    time.sleep(pace.scaled(health.detection(CHECK)))
    w.unchanged(since)
    since = extra.kill()
    w.taken_out(since, "r1")
