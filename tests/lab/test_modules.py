"""What lvsmesh says when the kernel lacks a module. In a file, and so in a kernel, of its own: modules are removed."""

import subprocess
from pathlib import Path

import pytest

from lab import tools

pytestmark = pytest.mark.own_kernel
SCHEDULERS = ["ip_vs_rr", "ip_vs_wrr", "ip_vs_mh"]


@pytest.fixture
def remove():
    """Removes modules, and keeps the kernel from loading them by itself until the end."""
    loader = Path("/proc/sys/kernel/modprobe")
    former, removed = loader.read_text(), []
    loader.write_text("/bin/false")

    def rmmod(*names):
        removed.extend(names)
        subprocess.run(["rmmod", *names], check=True)

    yield rmmod
    loader.write_text(former)
    subprocess.run(["modprobe", "-a", *removed], check=True)


def refused(directory):
    done = subprocess.run([tools.build_directory() / "tests/lab/tools/tap_probe", directory], capture_output=True,
                          text=True, stdin=subprocess.DEVNULL, timeout=20)
    assert done.returncode == 1
    return done.stderr


def test_no_scheduler(tmp_path, remove):
    remove(*SCHEDULERS)
    assert "modprobe ip_vs_rr" in refused(tmp_path)
    # Nothing is left of the attempt.
    assert list(tmp_path.iterdir()) == []
    assert Path("/proc/sys/net/ipv4/vs/sloppy_tcp").read_text() == "0\n"
    assert "lvsmesh-tap" not in Path("/proc/net/dev").read_text()


def test_no_ipvs(tmp_path, remove):
    remove(*SCHEDULERS, "ip_vs")
    assert "modprobe ip_vs" in refused(tmp_path)
    assert "lvsmesh-tap" not in Path("/proc/net/dev").read_text()
