"""The programs of the benches do what tests/bench wants of them: each gets as little to do as it can, and what it says
has to be there and plausible. No figure is judged here. Where namespaces can't be made, that part is skipped."""

import json
import os
import select
import subprocess
import sys
from ipaddress import IPv4Address
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
BUILD = Path(os.environ["LVSMESH_BUILD"])
# They end as they are, with their memory.
ENVIRONMENT = {**os.environ, "ASAN_OPTIONS": "detect_leaks=0"}
# A network of our own, and names for namespaces that nobody else has.
APART = ["unshare", "-nm" if os.geteuid() == 0 else "-Urnm", "sh", "-c",
         'mount -t tmpfs tmpfs /run && test -w /dev/net/tun && exec "$@"', "sh"]


def lines(*command, **options):
    text = subprocess.run(command, check=True, stdout=subprocess.PIPE, env=ENVIRONMENT, timeout=60, **options).stdout
    return [json.loads(line) for line in text.splitlines()]


def test_tables():
    """bench_sync: the entries of both families, and every figure."""
    figures = lines(BUILD / "tests/sim/bench_sync", "0")
    assert {(f["family"], f["entries"]) for f in figures} == {(4, 10000), (6, 10000)}
    assert {f["metric"] for f in figures} > {"cpu_us_per_entry", "memory_bytes_per_entry", "wire_bytes_per_entry"}
    assert all(f["value"] >= 0 for f in figures)


@pytest.mark.parametrize("command", (("bench_membership_stub", "scale", "20"), ("bench_membership", "flood", "100")))
def test_simulated_members(command):
    """bench_membership, with and without real signatures."""
    figures = lines(BUILD / "tests/sim" / command[0], *command[1:])
    assert figures
    assert all(f["bench"] == "membership" and f["value"] >= 0 for f in figures)


def test_checks():
    """bench_checks: the schedule with hanging targets, and the rate of http; every figure."""
    alone = ["unshare", "-n" if os.geteuid() == 0 else "-Urn", "sh", "-ec", 'ip link set lo up; exec "$@"', "sh"]
    if subprocess.run([*alone, "true"], check=False, capture_output=True).returncode:
        pytest.skip("no namespaces")
    program = BUILD / "tests/checker/bench_checks"
    figures = {f["metric"]: f for f in lines(*alone, program, "schedule", "100", "10", "1")}
    assert set(figures) >= {"checks_on_time_share", "loop_p99_ms", "cpu_us_per_check", "resident_mb", "descriptors"}
    assert figures["checks_per_s"]["value"] > 0 and figures["checks_on_time_share"]["hanging"] == 10
    figures = {f["metric"]: f["value"] for f in lines(*alone, program, "http", "300", "0")}
    assert figures["checks_up_share"] == 1 and figures["checks_per_s_and_core"] > 0


class Member:
    """A director without IPVS, on an address of the loopback that no other run of this takes."""

    def __init__(self, number, *join):
        command = [BUILD / "tests/lab/tools/member", str(number), "fast", *map(self._endpoint, (number, *join))]
        self._popen = subprocess.Popen(command, bufsize=0, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                       env=ENVIRONMENT)
        self.wait_event(event="ready")

    @staticmethod
    def _endpoint(number):
        return f"{IPv4Address((127 << 24) + (os.getpid() << 2) + number)}:7946"

    def wait_event(self, **fields):
        while select.select([self._popen.stdout], [], [], 20)[0]:
            event = json.loads(self._popen.stdout.readline())
            if fields.items() <= event.items():
                return event
        raise TimeoutError(fields)

    def tell(self, command):
        self._popen.stdin.write(command + b"\n")

    def wait(self):
        return self._popen.wait(20)

    def kill(self):
        self._popen.kill()
        self._popen.communicate()


def test_members():
    """member: two of them find each other, say how they are, and one is told that the other leaves."""
    first = Member(1)
    second = Member(2, 1)
    try:
        for member in (first, second):
            member.wait_event(what="member-joined")
            member.tell(b"status")
            assert member.wait_event(event="status").keys() == {"event", "view", "bytes"}
        second.tell(b"leave")
        first.wait_event(what="member-left", member="d2")
        assert second.wait() == 0
    finally:
        first.kill()
        second.kill()


def test_directors():
    """beside_director and what beside.py makes of it: what the first one's kernel tells is in the second one's kernel.
    conntrack_load: the kernel takes its connections, where it tracks any."""
    if subprocess.run([*APART, "true"], check=False, capture_output=True).returncode != 0:
        pytest.skip("no namespaces here, or no TUN")
    said, = lines(*APART, sys.executable, __file__)
    assert said["taken"]["distinct"] == 200
    assert said["status"]["learned"] == 200
    assert said["connections"] in (10, None)


def test_strangers():
    """The whole of what it measures, for as little time as makes figures of it."""
    if subprocess.run([*APART, "true"], check=False, capture_output=True).returncode != 0:
        pytest.skip("no namespaces here, or no TUN")
    figures = lines(*APART, sys.executable, __file__, "strangers")
    assert {f["metric"] for f in figures} == {"probe_p99_ms", "capture_to_peer_p99_ms", "cpu_share", "false_failures",
                                              "join_s", "opened_per_s"}
    assert {f["rate"] for f in figures} == {0, 200}
    assert all(f["bench"] == "strangers" and f["value"] >= 0 for f in figures)


def test_insider():
    """The same, for a member that misbehaves."""
    if subprocess.run([*APART, "true"], check=False, capture_output=True).returncode != 0:
        pytest.skip("no namespaces here, or no TUN")
    figures = lines(*APART, sys.executable, __file__, "insider")
    assert {f["metric"] for f in figures} == {"probe_p99_ms", "capture_to_peer_p99_ms", "cpu_share", "false_failures",
                                              "join_s", "throttled"}
    assert {f["storm"] for f in figures if "storm" in f} == {"quiet", "wants"}
    assert all(f["bench"] == "insider" and f["value"] >= 0 for f in figures)


def tracked(namespace):
    """Connections in its connection tracking; None where the kernel has none."""
    shown = subprocess.run(["ip", "netns", "exec", namespace, "cat", "/proc/sys/net/netfilter/nf_conntrack_count"],
                           check=False, capture_output=True)
    return int(shown.stdout) if shown.returncode == 0 else None


def main():
    sys.path.insert(0, str(HERE))
    import beside  # noqa: PLC0415

    beside.FIRST = []
    if sys.argv[1:]:
        beside.STRANGERS.update(rate=200, sources=100)
        beside.STORMS = beside.STORMS[:1]
        with open(os.devnull, "w") as nowhere:
            figures = beside.Figures(nowhere)
            figures.bench, = sys.argv[1:]
            if figures.bench == "strangers":
                beside.bench_strangers(figures, str(BUILD), {}, seconds=1)
            else:
                beside.bench_insider(figures, str(BUILD), {}, seconds=1, saved=(0, 0))
        return
    with beside.started(beside.Lvsmesh, str(BUILD)) as (daemons, names):
        daemons.start_both()
        said = {"taken": daemons.load(0, 200, 1000), "status": daemons.status(daemons.ends[1])}
        subprocess.run(["ip", "netns", "exec", names[0], BUILD / "tests/beside/conntrack_load", "0", "10", "1000", "1"],
                       check=False, capture_output=True)
        said["connections"] = tracked(names[0])
    print(json.dumps(said))


if __name__ == "__main__":
    main()
