"""How many files a director may open: it takes as many as it can have, and does not start with too few."""

from lab import tools
from lab.cluster import Cluster
from lab.host import wait_for


def start(cluster, director, limit):
    return director.start(["prlimit", f"--nofile={limit}", tools.program("lvsmeshd"), "-c", cluster.config(director)],
                          name="lvsmeshd")


def test_files(topology):
    t = topology(directors=1, reals=1)
    cluster = Cluster(t, families=[4])
    director = t.directors[0]
    cluster.write_config(director)
    for limit in 12, 24, 1023:
        daemon = start(cluster, director, limit)
        wait_for(lambda: not daemon.running(), 10, f"refuses {limit} files", 0.05)
        assert f"may open {limit} files and needs 1024" in daemon.errors()
    cluster.daemons[director] = start(cluster, director, "12:4096")
    cluster.wait_ready()
