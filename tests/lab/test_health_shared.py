"""Verdicts are reached together: no director alone takes a real server out, whatever it sees or says, and no loss of
directors, or of the network between them, does."""

import time

from lab import health, pace
from lab.cluster import all_alive, events
from lab.health import CHECK
from lab.host import wait_for
from lab.tools import program

SEVERAL = pace.scaled(2 * health.detection(CHECK))


def test_one_is_cut_off_from_the_real_servers(tended):
    """It tells so, and goes on to send them traffic: the others see them up."""
    w = tended()
    alone, *others = w.t.directors
    since = time.monotonic()
    w.t.cut([alone], w.t.reals)
    told = wait_for(lambda: (e := events(w.cluster, alone, "real-server-unreachable-here")) and len(e) >= 4 and e, SEVERAL,
                    "it tells of all four")
    assert len({e["subject"] for e in told}) == 4
    time.sleep(SEVERAL)
    w.unchanged(since)
    assert not any(events(w.cluster, d, "real-server-down", "service-down") for d in w.t.directors)
    w.t.cut()


def test_control_network_cut_in_half(tended):
    """Each half goes on to check by itself: nothing that serves is taken out, what dies is on both sides."""
    w = tended(directors=4)
    west, east = w.t.directors[:2], w.t.directors[2:]
    since = time.monotonic()
    w.t.cut(west, east)
    wait_for(lambda: not all_alive(w.cluster, w.t.directors), 20, "the cut is seen", interval=0.2)
    time.sleep(SEVERAL)
    w.unchanged(since)
    died = w.reals["r1"].kill()
    w.not_asked(w.taken_out(died, "r1"), "r1")
    w.t.cut()
    wait_for(lambda: all_alive(w.cluster, w.t.directors), 30, "whole again", interval=0.2)
    time.sleep(SEVERAL)
    w.unchanged(since, "r1")
    back = time.monotonic()
    w.reals["r1"].start()
    w.asked_again(back, "r1")


def test_checker_killed(tended):
    """One after another; the last one trusts itself."""
    w = tended()
    since = time.monotonic()
    for director in w.t.directors[:2]:
        w.cluster.fail(director)
        time.sleep(SEVERAL)
    last = w.t.directors[2:]
    assert not [c for c in w.watch.since(since) if c[1] == last[0].name]
    died = w.reals["r4"].kill()
    when = w.wait(died, "r4", 0, directors=last)
    assert max(when.values()) - died <= pace.scaled(health.detection(CHECK))
    back = time.monotonic()
    w.reals["r4"].start()
    w.wait(back, "r4", 1, directors=last, deadline=15)


def test_all_checkers_die_while_one_is_down(tended):
    """Their verdict holds until others have one: it is neither lost nor turned into "all down"."""
    w = tended(directors=4, checkers=1)
    died = w.reals["r1"].kill()
    w.taken_out(died, "r1")
    since = time.monotonic()
    for director in w.t.directors[:3]:
        w.cluster.fail(director)
    time.sleep(SEVERAL + pace.scaled(5))
    changed = [c for c in w.watch.since(since) if c[1] == w.t.directors[3].name]
    assert not changed, changed


def never_sent(w, since, director, name):
    """From then on that director's kernel never had a weight for it."""
    key = w.cluster.services[0]["address"], w.endpoint(name)
    assert health.weights(director)[key] == 0
    changed = [(round(c[0] - since, 3), c[3]) for c in w.watch.since(since) if c[1] == director.name and c[2] == key]
    assert not [c for c in changed if c[1] not in (0, None)], changed


def test_daemon_restarts_under_traffic(tended):
    """While a real server is down: the kernel goes on with its weights, and the new daemon takes them over."""
    w = tended()
    since = w.reals["r2"].kill()
    out = w.taken_out(since, "r2")
    for director, end in zip(w.t.directors, (w.cluster.kill_daemon, w.cluster.stop_daemon)):
        end(director)
        w.cluster.start_director(director)
        w.cluster.wait_ready([director])
        time.sleep(pace.scaled(1))
        never_sent(w, out, director, "r2")
    assert not w.asking.failures(out + 0.05)


def test_director_reboots(tended):
    """While a real server is down: it knows so when it takes traffic."""
    w = tended()
    w.taken_out(w.reals["r2"].kill(), "r2")
    director = w.t.directors[1]
    w.cluster.fail(director)
    w.cluster.revive(director, empty=True, reroute=False)
    ready = time.monotonic()
    w.t.route(w.t.directors)
    w.asking.wait_more(ready, 100)
    assert not w.asking.failures(ready)
    never_sent(w, ready, director, "r2")


def test_a_checker_lies(tended):
    """A director with a valid key says that all real servers are down, of which one is."""
    w = tended(directors=4)
    liar, *others = w.t.directors
    w.cluster.stop_daemon(liar)
    w.t.route(others)
    died = w.reals["r1"].kill()
    w.wait(died, "r1", 0, directors=others)
    since = time.monotonic()
    process = liar.start([program("liar"), w.cluster.config(liar)], name="liar")
    process.wait_event("lie", 20, 3)
    time.sleep(SEVERAL)
    assert all_alive(w.cluster, others)
    w.unchanged(since)
    back = time.monotonic()
    w.reals["r1"].start()
    w.wait(back, "r1", 1, directors=others, deadline=15)
    w.unchanged(since, "r1")
