"""Programs as checks: what their ends mean, and programs that hang, flood, fork and ignore signals."""

import os
import subprocess
import time

import pytest

from probe import Probe, one, prompt, run, said
from servers import Server, silent


OWN = f"{os.getpid():07}"  # no other run of these tests has processes with it in their arguments


def sh(script, **more):
    return {"type": "exec", "command": ["/bin/sh", "-c", script], "port": 80, "timeout_ms": 5000} | more


def alive(name):
    """Processes with this argument."""
    return subprocess.run(["pgrep", "-f", name], stdout=subprocess.PIPE, text=True, check=False).stdout.split()


def ended(name, seconds=10):
    limit = time.monotonic() + seconds
    while alive(name):
        if time.monotonic() > limit:
            return False
        time.sleep(0.05)
    return True


@pytest.mark.parametrize("script, expected", [
    ("true", ("up", "exit status 0")),
    ("echo all is well; echo more", ("up", "exit status 0: all is well")),
    ("echo no disk >&2; exit 1", ("down", "exit status 1: no disk")),
    ("exit 3", ("unchanged", "exit status 3, neither 0 nor 1")),
    ("kill -9 $$", ("unchanged", "ended by signal 9")),
    ("printf 'a\\033[2J\\001b'", ("up", "exit status 0: a?[2J?b")),
])
def test_ends(script, expected):
    assert said(one(sh(script))) == expected


def test_program_missing():
    for command, error in (["/nowhere"], "No such file or directory"), (["/etc/passwd"], "Permission denied"):
        result = one({"type": "exec", "command": command})
        assert said(result) == ("unchanged", f"not checked: {command[0]} does not start: {error}")


def test_environment(tmp_path):
    file = tmp_path / "environment"
    one(sh(f'env | sort >{file}; ls -l /proc/$$/fd >>{file}; ulimit -n >>{file}; echo "$@" >>{file}; cat >>{file}', vip="192.0.2.80",
           vip_port=443), SECRET="of the daemon's")
    text = file.read_text()
    for line in ("LVSMESH_SERVICE=web", "LVSMESH_REAL_SERVER=192.0.2.1:80", "LVSMESH_ADDRESS=127.0.0.1", "LVSMESH_PORT=80", "LVSMESH_VIP=192.0.2.80",
                 "LVSMESH_VIP_PORT=443", "LVSMESH_TIMEOUT=5000", "1024"):
        assert line in text.splitlines(), line
    assert "SECRET" not in text
    assert sum(" -> " in line for line in text.splitlines()) == 4  # the standard ones, and ls's own or sh's


def test_arguments_as_they_are(tmp_path):
    result = one({"type": "exec", "command": ["/bin/echo", "$HOME", "*", "a b", ";"]})
    assert said(result) == ("up", "exit status 0: $HOME * a b ;")


def test_hangs_with_its_children():
    """Time up is down at once; then SIGTERM, which ends all of the group."""
    result = one(sh(f"sleep 42{OWN} & sleep 42{OWN}; true", timeout_ms=300))
    assert said(result) == ("down", "no exit within 300 ms")
    assert ended(f"sleep 42{OWN}", 10)


def test_ignores_sigterm():
    probe = Probe([{"target": 1} | sh(f"trap '' TERM; sleep 43{OWN} & while :; do sleep 0.01; done", timeout_ms=300, address="127.0.0.1")])
    result = probe.read()
    assert said(result) == ("down", "no exit within 300 ms")
    assert ended(f"sleep 43{OWN}", 10)
    probe.end()


def test_children_left_behind():
    """The program's end is the check's, whatever its children hold open; they are killed."""
    result = one(sh(f"sleep 44{OWN} & echo done"))
    assert said(result) == ("up", "exit status 0: done")
    assert ended(f"sleep 44{OWN}", 10)


def test_floods():
    results, counts = run(sh("yes"), sh("yes | head -c 60000; exit 1"), sh("cat /dev/zero"), {"type": "exec", "command": ["/bin/true"]})
    assert said(results[0]) == said(results[2]) == ("unchanged", "the program printed more than 65536 bytes")
    assert said(results[1]) == ("down", "exit status 1: y")
    assert results[3]["state"] == "up"
    assert counts["too_long"] == 2


def test_so_many_at_once():
    """Further ones wait; one that has no turn in time decides nothing."""
    results, counts = run(sh("sleep 0.5"), sh("sleep 0.5"), sh("sleep 0.5"), sh("true", timeout_ms=100), PROGRAMS="2")
    assert [result["state"] for result in results] == ["up", "up", "up", "unchanged"]
    assert results[2]["took_us"] > 500_000
    assert results[3]["reason"] == "not checked within 100 ms: 2 programs run already"


def test_cancelled_and_closed():
    """A program whose check is cancelled is ended, and so are all at the end of the daemon."""
    for seconds in (0, 0.3):
        probe = Probe([{"target": 1, "address": "127.0.0.1"} | sh(f"sleep 45{OWN}", timeout_ms=60_000)])
        time.sleep(seconds)
        probe.write({"cancel": 1})
        results, counts = probe.end()
        assert results == {} and counts["cancelled"] == 1
        assert ended(f"sleep 45{OWN}", 10)


def test_good_ones_beside_hundreds_that_hang():
    with Server(silent) as server:
        results, counts = run(*[sh(f"trap '' TERM; sleep 46{OWN}", timeout_ms=2000, target=100 + i) for i in range(100)],
                              {"type": "tcp", "port": server.port, "target": 1}, PROGRAMS="50")
        assert results[-1]["state"] == "up" and prompt(counts, results[-1])
        states = [result["state"] for result in results[:-1]]
        assert states.count("down") == 50 and states.count("unchanged") == 50
    assert ended(f"sleep 46{OWN}", 10)
