"""The daemon's command line, and starts that fail before the kernel is touched."""

import os
import subprocess
from pathlib import Path

import pytest

DONE, REFUSED, USAGE = range(3)


def run(*arguments, **env):
    return subprocess.run([os.environ["LVSMESHD"], *map(str, arguments)], capture_output=True,
                          text=True, timeout=60, env={**os.environ, **env})


@pytest.fixture
def config(tmp_path):
    """A good configuration, whose directories are not there."""
    file = tmp_path / "lvsmesh.yaml"
    file.write_text(f"""
node: {{name: d1, identity: {tmp_path}/identity, state: {tmp_path}/state}}
cluster: {{listen: ['192.0.2.11:7946']}}
control: {tmp_path}/run/control
""")
    return file


def keygen(tmp_path, name):
    cluster = tmp_path / f"cluster-{name}"
    for arguments in (["cluster", cluster],
                      ["node", name, "--cluster", cluster, "--output", tmp_path / "identity"]):
        subprocess.run([os.environ["LVSMESH"], "keygen", *map(str, arguments)], check=True,
                       stdout=subprocess.DEVNULL, timeout=60)


def test_check(config, tmp_path):
    assert run("-n", "-c", config).returncode == DONE
    assert run("--check", "--config", config).returncode == DONE
    config.write_text(config.read_text() + "frobnicate: 1\n")
    result = run("-n", "-c", config)
    assert result.returncode == REFUSED
    assert f"{config}:5:" in result.stderr and "frobnicate" in result.stderr
    assert not list(tmp_path.glob("*/*")), "a check leaves nothing behind"


def test_check_warns(config):
    config.write_text(config.read_text() + "services: [{name: a, address: '203.0.113.1:80', on-down: remove}]\n")
    result = run("-n", "-c", config, JOURNAL_STREAM="8:1")
    assert result.returncode == DONE
    assert result.stderr.startswith(f"<4>{config}:5: service a: on-down does nothing"), result.stderr


def test_usage():
    assert run("--help").stdout.startswith("Usage: lvsmeshd")
    assert run("--version").stdout.startswith("lvsmeshd ")
    for arguments in ["-x"], ["-c"], ["start"]:
        result = run(*arguments)
        assert result.returncode == USAGE and result.stderr, arguments


def test_journal_priorities(config):
    config.write_text("node: [\n")
    assert run("-c", config, JOURNAL_STREAM="8:1").stderr.startswith("<3>")
    assert run("-c", config).stderr.startswith("lvsmeshd: ")


@pytest.mark.skipif(b"__asan_init" in Path(os.environ["LVSMESHD"]).read_bytes(), reason="ASan needs more than any limit")
def test_too_little_memory(config):
    limit = 32 << 20
    result = subprocess.run(["prlimit", f"--data={limit}", os.environ["LVSMESHD"], "-c", str(config)],
                            capture_output=True, text=True, timeout=60)
    assert result.returncode == REFUSED
    assert "may use 32 MB of memory and needs 96" in result.stderr and "LimitDATA=" in result.stderr


def test_identity_is_needed(config, tmp_path):
    result = run("-c", config)
    assert result.returncode == REFUSED
    assert f"{tmp_path}/identity" in result.stderr and "keygen" in result.stderr


def test_identity_of_another(config, tmp_path):
    keygen(tmp_path, "d2")
    result = run("-c", config)
    assert result.returncode == REFUSED
    assert "is the identity of d2, but node.name is d1" in result.stderr
    assert not (tmp_path / "state").exists()
