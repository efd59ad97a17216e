"""deploy/demo before it installs, builds or runs anything: help, and options that it does not take."""

import os
import subprocess

import pytest


def demo(*arguments, cwd=None):
    return subprocess.run([os.environ["DEMO"], *map(str, arguments)], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=30, cwd=cwd)


def test_help():
    for arguments in ["--help"], ["-h"], ["--compare", "--help"]:
        result = demo(*arguments)
        assert (result.returncode, result.stderr) == (0, "")
        for option in "--compare", "--quick", "--json", "--keep":
            assert option in result.stdout
        assert max(map(len, result.stdout.splitlines())) <= 80


@pytest.mark.parametrize("arguments, complaint", [
    (["--frobnicate"], "unknown option `--frobnicate`"),
    (["now"], "unknown option `now`"),
    ([""], "unknown option ``"),
    (["--json"], "--json takes a file"),
    (["--json", ""], "can't write ``"),
    (["--json", "/"], "can't write `/`"),
    (["--json", "/nowhere/figures"], "can't write `/nowhere/figures`"),
    (["--keep"], "not a terminal"),
    (["--compare", "--keep", "--quick"], "not a terminal"),
])
def test_refused(tmp_path, arguments, complaint):
    result = demo(*arguments, cwd=tmp_path)
    assert (result.returncode, result.stdout) == (2, "")
    assert complaint in result.stderr and "deploy/demo --help" in result.stderr
    assert len(result.stderr.splitlines()) == 1
