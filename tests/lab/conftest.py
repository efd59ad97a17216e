"""Fixtures for the scenarios, which run inside the lab's kernel (tests/lab/suite starts them there)."""

import os
import re
from pathlib import Path

import pytest

from lab.tended import Tended
from lab.topology import Topology
from lab.tools import results_directory


OWN_KERNEL = "needs a kernel of its own, which it changes for good: modules, or settings that no namespace has"


def pytest_configure(config):
    config.addinivalue_line("markers", f"own_kernel: {OWN_KERNEL}")


def pytest_collection_modifyitems(items):
    if "LVSMESH_IN_LAB" not in os.environ:
        pytest.exit("scenarios run inside the lab: tests/run lab", returncode=2)
    if os.environ["LVSMESH_IN_LAB"] == "host":
        for item in items:
            if item.get_closest_marker("own_kernel"):
                item.add_marker(pytest.mark.skip(reason=OWN_KERNEL))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    if call.when == "call" and report.failed:
        item.lab_failed = True


@pytest.fixture
def topology(request, tmp_path):
    """Makes a topology (arguments as Topology's); logs and state are kept if the test fails."""
    made = []

    def make(**options):
        made.append(Topology(directory=tmp_path / f"topology{len(made)}", **options))
        return made[-1].open()

    yield make
    for t in made:
        if getattr(request.node, "lab_failed", False):
            name = re.sub(r"[^\w.-]+", "_", request.node.name)
            t.collect(results_directory() / f"{Path(request.node.fspath).stem}-{name}")
        t.close()


@pytest.fixture
def tended(topology):
    made = []

    def make(forwarding="direct", directors=3, reals=4, vips=1, **options):
        made.append(Tended(topology(forwarding=forwarding, directors=directors, reals=reals, vips=vips), **options))
        return made[-1]

    yield make
    for one in made:
        one.watch.stop()
