"""Thousands of real servers: they are looked at beside the loop, and put back all the same."""

import os
from pathlib import Path

from lab import cluster as lab_cluster
from lab import tools
from lab.cluster import Cluster, events
from lab.host import wait_for

SERVICES, REALS = 50, 100


def many():
    return [{"name": f"many-{s}", "address": f"198.51.100.{s + 1}:80", "scheduler": "rr",
             "real-servers": [{"address": f"10.9.{s}.{r + 1}:80"} for r in range(REALS)]} for s in range(SERVICES)]


def seconds_beside(pid):
    """CPU time of the threads other than the loop's."""
    total = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        if int(task.name) != pid:
            fields = (task / "stat").read_text().rpartition(")")[2].split()
            total += int(fields[11]) + int(fields[12])
    return total / os.sysconf("SC_CLK_TCK")


def test_looked_at_beside_the_loop(topology):
    t = topology(directors=2, reals=1)
    cluster = Cluster(t, services=lab_cluster.services(t, [4]) + many()).start(deadline=60)
    d = t.directors[0]
    pid = cluster.daemons[d].popen.pid
    before = seconds_beside(pid)
    wait_for(lambda: seconds_beside(pid) - before > 0.05, 60, "it looks, beside the loop", 0.1)
    assert not events(cluster, d, "kernel-changed")
    d.run("ipvsadm -d -t 198.51.100.7:80 -r 10.9.6.7:80")
    wait_for(lambda: events(cluster, d, "kernel-changed"), 15, "it is told", 0.1)
    [told] = events(cluster, d, "kernel-changed")
    assert told["fields"]["was"] == "differed in 1 places"
    assert "10.9.6.7:80" in d.run("ipvsadm -Ln -t 198.51.100.7:80")
    code = d.run([tools.program("lvsmesh"), "reload", "--control", cluster.control(d)], check=False)
    assert not events(cluster, t.directors[1], "member-failed"), code
