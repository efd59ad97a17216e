"""The service manager's watchdog: lvsmeshd tells it from the loop that it turns."""

import socket

import pytest

from lab.cluster import Cluster
from lab.host import wait_for

BEAT = b"WATCHDOG=1"


@pytest.fixture
def manager(tmp_path, monkeypatch):
    """A service manager that listens."""
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(path))
        listener.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", str(path))
        yield listener


def take(listener, told):
    """All that was told so far."""
    while True:
        try:
            told.append(listener.recv(100))
        except BlockingIOError:
            return told


def start(topology):
    t = topology(directors=1, reals=1)
    cluster = Cluster(t, families=[4])
    cluster.start_director(t.directors[0])
    cluster.wait_ready()
    return cluster, t.directors[0]


def test_loop_turns(topology, manager, monkeypatch):
    monkeypatch.setenv("WATCHDOG_USEC", "2000000")
    cluster, director = start(topology)
    told = []
    wait_for(lambda: take(manager, told).count(BEAT) >= 8, 20, "four times in 2 s", 0.1)
    assert b"READY=1" in told
    assert cluster.stop_daemon(director) == 0


@pytest.mark.parametrize("name, value", [("WATCHDOG_USEC", ""), ("WATCHDOG_PID", "1")])
def test_nobody_asks(topology, manager, monkeypatch, name, value):
    """Of no process, or of another one, as sd_watchdog_enabled(3) has it."""
    monkeypatch.setenv("WATCHDOG_USEC", "400000")
    monkeypatch.setenv(name, value)
    start(topology)
    told = []
    wait_for(lambda: b"READY=1" in take(manager, told), 10, "it is ready", 0.1)
    assert BEAT not in told
